#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: vf_monitor.py SOURCE_DIR VIADUCT
# `viaduct vf monitor` as a process, on a made-up PCI tree and with real leases: every line fits the
# schema, what is done to leases is told, it ends well however it is ended, and it does not spin.
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time

source, viaduct = sys.argv[1:3]
VF = "0000:01:10.0"
try:
    import jsonschema
except ImportError:
    print("skipped: no python3-jsonschema")
    sys.exit(77)
with open(os.path.join(source, "docs/schema/vf-monitor.json"), encoding="utf-8") as f:
    schema = jsonschema.Draft7Validator(json.load(f))


def put(root, bdf, **attrs):
    d = os.path.join(root, "sys/bus/pci/devices", bdf)
    os.makedirs(d)
    for name, value in attrs.items():
        with open(os.path.join(d, name), "w", encoding="ascii") as out:
            out.write(value + "\n")
    return d


class Monitor:
    def __init__(self, root, *args):
        self.run = subprocess.Popen(
            [viaduct, "vf", "monitor", "--root", root, "--run-dir", root + "/run", *args],
            stdout=subprocess.PIPE)
        self.rest = b""

    def line(self):
        """The next line; a minute is for a machine that is busy elsewhere."""
        end = time.monotonic() + 60
        while b"\n" not in self.rest:
            ready = select.select([self.run.stdout], [], [], max(0, end - time.monotonic()))[0]
            data = os.read(self.run.stdout.fileno(), 65536) if ready else b""
            assert data, f"no line; so far: {self.rest!r}"
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()

    def event(self, kind):
        e = json.loads(self.line())
        schema.validate(e)
        assert e["event"] == kind, e
        return e

    def end(self, how):
        how(self.run)
        assert self.run.wait(timeout=60) == 0, f"status {self.run.returncode}"


with tempfile.TemporaryDirectory() as top:
    pf = put(top, "0000:01:00.0", vendor="0x8086", device="0x10c9", sriov_totalvfs="7",
             **{"class": "0x020000"})
    vf = put(top, VF, vendor="0x8086", device="0x10ca", **{"class": "0x020000"})
    os.symlink("../0000:01:00.0", vf + "/physfn")
    os.symlink("../" + VF, pf + "/virtfn0")
    put(top, "0000:02:00.0", vendor="0x8086", device="0x10d3", **{"class": "0x020000"})

    m = Monitor(top)
    s = m.event("snapshot")
    assert [f["bdf"] for f in s["functions"]] == ["0000:01:00.0", VF], s
    assert s["functions"][0]["num_vfs"] == 1 and s["functions"][1]["index"] == 0, s
    assert s["leases"] == [], s

    # The directory is made while it is watched for; the file as lease.c makes it, under its lock.
    os.makedirs(top + "/run/lease", mode=0o700)
    guard = os.open(top + "/run/lease", os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(guard, fcntl.LOCK_EX)
    holder = os.open(f"{top}/run/lease/{VF}", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(holder, fcntl.LOCK_EX)
    os.write(holder, b"owner vm1\npid 4321\nsince 1700000000\nend\n")
    os.close(guard)
    e = m.event("lease-taken")
    assert e["bdf"] == VF and e["pf"] == "0000:01:00.0", e
    assert e["lease"] == {"owner": "vm1", "pid": 4321, "since": 1700000000, "held": True}, e

    # Whoever starts now sees it at once, and those not asked for are left out.
    other = Monitor(top, "--for", VF)
    s = other.event("snapshot")
    assert [f["bdf"] for f in s["functions"]] == [VF], s
    assert s["functions"][0]["lease"]["owner"] == "vm1", s
    other.end(lambda run: run.send_signal(signal.SIGINT))
    people = Monitor(top, "--text", "--all")
    line = people.line()
    assert "snapshot of 3 functions, 1 leases" in line, line
    people.end(lambda run: run.stdout.close())

    os.close(holder)
    e = m.event("lease-stale")
    assert e["lease"]["owner"] == "vm1" and not e["lease"]["held"], e
    os.unlink(f"{top}/run/lease/{VF}")
    m.event("lease-freed")

    # What it does itself must not wake it: it would never sleep again.
    time.sleep(2.5)
    with open(f"/proc/{m.run.pid}/stat", encoding="ascii") as f:
        before = f.read().rsplit(")", 1)[1].split()
    time.sleep(1)
    with open(f"/proc/{m.run.pid}/stat", encoding="ascii") as f:
        after = f.read().rsplit(")", 1)[1].split()
    assert int(after[11]) + int(after[12]) - int(before[11]) - int(before[12]) < 20, "it spins"
    m.end(lambda run: run.send_signal(signal.SIGTERM))
