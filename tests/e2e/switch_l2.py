#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the switch does to frames, told from outside: scripted stations on veth pairs whose other ends
are the switch's ports, all in a network namespace of the test's own.
Usage: switch_l2.py BUILD_DIR"""
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
VIADUCT = BUILD + "/cli/viaduct"
PORTS = ["a", "b", "c", "d", "e"]
ALL = b"\xff" * 6
failed = 0


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def namespace_enter():
    """Starts over in a network namespace where nobody else sends."""
    if os.environ.get("SWITCH_L2_INSIDE"):
        return
    if not os.path.exists(BUILD + "/cli/viaduct-switch"):
        skip("viaduct-switch is not built")
    if len(os.sched_getaffinity(0)) < 2:
        skip("needs two CPUs")
    for tool in "unshare", "ip":
        if not shutil.which(tool):
            skip("no " + tool)
    probe = subprocess.run(["unshare", "-n", "ip", "link", "add", "x", "type", "veth", "peer", "name", "y"],
                           capture_output=True, text=True)
    if probe.returncode:
        skip("cannot make a network namespace with veth pairs: " + probe.stderr.strip())
    os.environ["SWITCH_L2_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])


def ok(what, true, *detail):
    global failed
    if true:
        print("ok:", what, flush=True)
    else:
        failed = 1
        print("FAILED:", what, *detail, flush=True)


def wait_for(what, seconds=5):
    """Asks again until it is true, so that nothing depends on how fast the machine is."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.02)


def mac(n):
    return bytes([2, 0, 0, 0, 0, n])


def tag(vid, tpid=0x8100):
    return struct.pack("!HH", tpid, vid)


def frame(dst, src, n=0, tags=b"", size=60, kind=0x88b5, body=None):
    """A frame; by default of a private type, with the number @n in its first two bytes."""
    payload = struct.pack("!H", n) if body is None else body
    f = dst + src + tags + struct.pack("!H", kind) + payload
    return f + bytes(max(0, size - len(f)))


class Station:
    """What is plugged into a port: the other end of its veth pair."""

    def __init__(self, port):
        self.port = port
        subprocess.run(["ip", "link", "add", "s" + port, "type", "veth", "peer", "name", "g" + port], check=True)
        for name in "s" + port, "g" + port:
            subprocess.run(["ip", "link", "set", name, "addrgenmode", "none"], check=True)
            subprocess.run(["ip", "link", "set", name, "up", "promisc", "on"], check=True)
        self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.s.bind(("g" + port, 0))
        self.s.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.s.setblocking(False)

    def send(self, f):
        self.s.send(f)

    def receive(self):
        """The next frame that has come, its tag where it was, or None."""
        while True:
            try:
                data, anc, _, where = self.s.recvmsg(65536, 256)
            except BlockingIOError:
                return None
            if where[2] == 4:  # PACKET_OUTGOING
                continue
            for level, kind, aux in anc:
                if level == 263 and kind == 8:
                    status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", aux[:20])
                    if status & 0x10:  # TP_STATUS_VLAN_VALID
                        data = data[:12] + struct.pack("!HH", tpid or 0x8100, tci) + data[12:]
            return data

    def drain(self):
        got = []
        while (f := self.receive()) is not None:
            got.append(f)
        return got

    def collect(self, n, seconds=5):
        """@n frames, or as many as come within the time."""
        got = []
        end = time.monotonic() + seconds
        while len(got) < n and time.monotonic() < end:
            select.select([self.s], [], [], 0.05)
            got += self.drain()
        return got


class Switch:
    def __init__(self, work):
        self.dir = work
        self.control = work + "/control"
        self.process = None

    def config(self, settings=None, top=""):
        """@settings: what each port has besides its device. Two CPUs are all a test may expect."""
        lines = ["socket: " + self.control, "core: 0"] + ([top] if top else []) + ["ports:"]
        for p in PORTS:
            lines.append("- {name: %s, device: 'net_af_packet_%s,iface=s%s'%s}" % (
                p, p, p, ", " + settings[p] if settings and p in settings else ""))
        path = self.dir + "/switch.yaml"
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
        return path

    def start(self, settings=None, top=""):
        self.process = subprocess.Popen([VIADUCT, "switch", "run", "--config", self.config(settings, top)],
                                        stderr=open(self.dir + "/log", "w", encoding="utf-8"))
        if not wait_for(lambda: self.ask("stats", check=False) is not None, 10):
            with open(self.dir + "/log", encoding="utf-8") as f:
                print("FAILED: the switch does not start:", f.read())
            sys.exit(1)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        self.process = None
        ok("the switch ends when told to", code == 0, code)

    def run(self, *words, **more):
        return subprocess.run([VIADUCT, "switch", "--socket", self.control, *words],
                              capture_output=True, text=True, timeout=20, check=False, **more)

    def ask(self, *words, check=True):
        r = self.run("--json", *words)
        if r.returncode:
            if check:
                print("FAILED: viaduct switch", *words, r.stderr.strip())
                sys.exit(1)
            return None
        return json.loads(r.stdout)

    def port(self, name):
        return [p for p in self.ask("stats")["ports"] if p["name"] == name][0]

    def drops(self, name, reason):
        return self.port(name)["drops"].get(reason, 0)

    def set(self, name, settings=""):
        r = self.run("port", "set", "{name: %s, device: 'net_af_packet_%s,iface=s%s'%s}" % (
            name, name, name, ", " + settings if settings else ""))
        return r.returncode == 0 or print("FAILED: port set:", r.stderr)


def number(f):
    """What frame() put in; behind any tags."""
    at = 12
    while f[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return struct.unpack("!H", f[at + 2:at + 4])[0] if f[at:at + 2] == b"\x88\xb5" else None


def learn(st):
    """Each station says once where it is: mac(1) at the first, and so on."""
    for i, s in enumerate(st.values()):
        s.send(frame(ALL, mac(i + 1), 0xffff))
    for s in st.values():
        s.collect(len(st) - 1)


# ---------------------------------------------------------------------------------------------------

def check_shaping(sw, st):
    a, b = st["a"], st["b"]
    n, size, rate = 100, 1000, 4_000_000
    ok("a rate is set while it runs", sw.set("b", "shape: {rate: 4mbit, burst: 2000, limit: 200kb}"))
    learn(st)
    for i in range(n):
        a.send(frame(mac(2), mac(1), i, size=size))
    first = b.collect(1)
    start = time.monotonic()
    got = first + b.collect(n - len(first), 10)
    took = time.monotonic() - start
    ok("a shaped port loses nothing that its queue holds", [number(f) for f in got] == list(range(n)), len(got))
    least = (n * size - 2000 - 2 * size) * 8 / rate
    ok("it is not faster than its rate", took >= least * 0.95, took, least)
    ok("frames that wait leave though nothing else happens", len(got) == n and took < 20 * least, took)

    sw.set("b", "shape: {rate: 80kbit, burst: 1000, limit: 5000}")
    learn(st)
    for i in range(n):
        a.send(frame(mac(2), mac(1), i, size=size))
    ok("what its queue does not hold is dropped by name", wait_for(lambda: sw.drops("b", "shaped") >= n - 8),
       sw.port("b"))
    sw.set("b")
    got = b.collect(7, 1)
    learn(st)
    a.send(frame(mac(2), mac(1), 500))
    got = [number(f) for f in b.collect(1)]
    ok("without the rate frames go at once", got == [500], got)
    out = sw.run("port", "set", "{name: b, device: 'net_af_packet_b,iface=sb', shape: {rate: 4mbits}}").stderr
    ok("a rate that is none is refused", "no rate such as" in out, out)


def main():
    namespace_enter()
    with tempfile.TemporaryDirectory() as work:
        sw = Switch(work)
        try:
            st = {p: Station(p) for p in PORTS}
            sw.start()
            check_shaping(sw, st)
            sw.stop()
        finally:
            if sw.process:
                sw.process.kill()
                sw.process.wait()
    print("all passed" if not failed else "some failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
