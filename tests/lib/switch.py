# SPDX-License-Identifier: GPL-2.0-or-later
"""What the Python tests of `viaduct switch` share: the process, its control socket, named checks.

    with Switch(build, "- {name: a, vhost-user: @/a}") as sw:    # @ is a directory of its own
        check("has a port", sw.port("a")["link"] ...)
    sys.exit(result())
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

_failed = []


def check(what, good, detail=""):
    """Say how it went; returns @good."""
    print(f"ok: {what}" if good else f"FAILED: {what}{f' ({detail})' if detail else ''}", flush=True)
    if not good:
        _failed.append(what)
    return good


def result():
    """The exit status of the test."""
    print(f"{len(_failed)} failed" if _failed else "all passed")
    return 1 if _failed else 0


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def build_dir():
    """The build tree, the test's first argument; skips without the switch in it."""
    build = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
    if not os.access(f"{build}/cli/viaduct-switch", os.X_OK):
        skip("viaduct-switch is not built")
    return build


def wait_for(what, seconds=10):
    """Whether @what() has come true in that time."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Switch:
    """@ports: the list of ports, in YAML; @top: more lines of the configuration. Every @ in both is the
    directory, which the caller may give to keep it."""

    def __init__(self, build, ports, top="", directory=None):
        self.build = build
        self.own = directory is None
        self.dir = directory or tempfile.mkdtemp(prefix="switch-")
        self.control = f"{self.dir}/control"
        self.config = f"{self.dir}/switch.yaml"
        self.log = f"{self.dir}/switch.log"
        with open(self.config, "w") as f:
            f.write((f"socket: {self.control}\n" + top + (f"ports:\n{ports}\n" if ports else "")).replace(
                "@", self.dir))
        self.process = None
        self.prefix = []  # what the switch runs under, such as valgrind

    def path(self, name):
        return f"{self.dir}/{name}"

    def start(self, wait=True):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                self.prefix + [f"{self.build}/cli/viaduct-switch", "run", "--config", self.config],
                stdout=log, stderr=log)
        if wait and not wait_for(self.ready, 20):
            raise RuntimeError(f"the switch does not start: {self.said()}")
        return self

    def ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the switch ended with {self.process.returncode}: {self.said()}")
        try:
            self.ask("port.list")
            return True
        except OSError:
            return False

    def said(self):
        with open(self.log) as f:
            return f.read()

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        """kill -9, and it is gone when this returns."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def ask(self, method, **params):
        """The result of a request; an error raises RuntimeError."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(self.control)
            request = {"jsonrpc": "2.0", "id": 1, "method": method}
            if params:
                request["params"] = params
            s.sendall(json.dumps(request).encode() + b"\n")
            line = s.makefile().readline()
        if not line:
            raise ConnectionError("the switch hung up")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def port(self, name):
        """Its numbers: rx-packets, tx-packets, ... and those of "drops" beside them."""
        result = self.ask("stats")
        p = [p for p in result["ports"] if p["name"] == name][0]
        return {**p, **p.get("drops", {})}

    def drops(self, name):
        """The reasons of what was dropped at the port, with their numbers."""
        return {k: v for k, v in self.port(name).get("drops", {}).items() if v}

    def up(self, name):
        ports = self.ask("port.list")
        if isinstance(ports, dict):
            ports = ports["ports"]
        return [p for p in ports if p["name"] == name][0]["up"]

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident(self):
        """KiB of memory of its own."""
        with open(f"/proc/{self.pid}/status") as f:
            return sum(int(line.split()[1]) for line in f if line.startswith("RssAnon"))

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.alive():
            self.stop()
        if self.own:
            shutil.rmtree(self.dir, ignore_errors=True)
