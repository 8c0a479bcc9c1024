#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: vf_monitor.py BUILD_DIR (runs itself in the lab)
# `viaduct vf monitor` with a real kernel and igb: each thing that is done is told, every line fits the
# schema, and a picture kept from the events is what a second monitor finds at the end.
import copy
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
DEV = "/sys/bus/pci/devices"


def outside(build):
    lab = os.path.join(build, "cli/viaduct-lab")
    if not os.access(lab, os.X_OK):
        print(f"skipped: {lab} is not built")
        sys.exit(77)
    if not shutil.which("qemu-system-x86_64"):
        print("skipped: no qemu-system-x86_64")
        sys.exit(77)
    os.execv(lab, [lab, "run", "--nic", "igb", "--", sys.executable, os.path.realpath(__file__), "--inside",
                   os.path.join(build, "cli/viaduct-vf")])


class Monitor:
    def __init__(self, vf, *args):
        self.run = subprocess.Popen([vf, "monitor", *args], stdout=subprocess.PIPE)
        self.rest = b""
        self.seen = []
        self.functions = {}

    def next(self, seconds=60):
        end = time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = end - time.monotonic()
            ready = select.select([self.run.stdout], [], [], max(0, left))[0]
            if not ready:
                return None
            data = os.read(self.run.stdout.fileno(), 65536)
            assert data, "the monitor ended"
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        e = json.loads(line)
        if SCHEMA:
            SCHEMA.validate(e)
        self.seen.append(e)
        self.take(e)
        return e

    def until(self, **want):
        """Read on until an event has these members; it may be among those read before."""
        for e in self.seen:
            if all(e.get(k) == v for k, v in want.items()):
                return e
        while True:
            e = self.next()
            assert e is not None, f"never told: {want}; told since: {[(x['event'], x.get('bdf'), x.get('after')) for x in self.seen]}"
            if all(e.get(k) == v for k, v in want.items()):
                return e

    def forget(self):
        self.seen = []

    def take(self, e):
        """Keep the picture."""
        kind = e["event"]
        if kind == "snapshot":
            self.functions = {f["bdf"]: copy.deepcopy(f) for f in e["functions"]}
            return
        f = self.functions.get(e.get("bdf"))
        if kind == "add":
            assert f is None, e
            self.functions[e["bdf"]] = copy.deepcopy(e["function"])
        elif kind == "remove":
            assert f, e
            del self.functions[e["bdf"]]
        elif kind == "vfs":
            assert f["num_vfs"] == e["before"], (f, e)
            f["num_vfs"] = e["after"]
        elif kind == "bind":
            assert f["driver"] is None, (f, e)
            f["driver"] = e["driver"]
        elif kind == "unbind":
            assert f["driver"] == e["driver"], (f, e)
            f["driver"] = None
        elif kind == "interface":
            f["interface"] = e["after"]
        elif kind == "setting":
            assert f["settings"][e["key"]] == e["before"], (f, e)
            f["settings"][e["key"]] = e["after"]
        elif kind == "settings":
            assert all(v is None for v in f["settings"].values()), (f, e)
            f["settings"] = dict(e["settings"])


def vf(*args):
    subprocess.run([VF, *args], check=True, stdout=subprocess.DEVNULL)


def klog(line):
    with open("/dev/kmsg", "w", encoding="ascii") as f:
        # Without its end it would wait for more, unread.
        f.write(line + "\n")


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


if sys.argv[1] != "--inside":
    outside(os.path.realpath(sys.argv[1]))
VF = sys.argv[2]
try:
    import jsonschema
    with open(os.path.join(HERE, "../../docs/schema/vf-monitor.json"), encoding="utf-8") as schema_file:
        SCHEMA = jsonschema.Draft7Validator(json.load(schema_file))
except ImportError:
    SCHEMA = None

PF = os.path.basename(next(os.path.join(d, f) for d in ["/sys/bus/pci/drivers/igb"]
                           for f in sorted(os.listdir(d)) if f.startswith("0000:")))
ETH = os.listdir(f"{DEV}/{PF}/net")[0]
subprocess.run(["ip", "link", "set", ETH, "up"], check=True)
m = Monitor(VF)
s = m.until(event="snapshot")
assert s["unseen"] is None and [f["bdf"] for f in s["functions"]] == [PF], s
m.until(event="link", interface=ETH, after="up") if s["functions"][0]["link"] != "up" else None
print("ok: the snapshot has the PF, and nothing is unseen")

vf("carve", PF, "2")
m.until(event="vfs", bdf=PF, after=2)
A, B = (os.path.basename(os.readlink(f"{DEV}/{PF}/virtfn{i}")) for i in range(2))
m.until(event="add", bdf=A)
assert m.until(event="add", bdf=B)["function"]["index"] == 1
print("ok: carve is told")

vf("set", A, "mac=52:54:00:00:aa:01", "max-rate=500")
m.until(event="setting", bdf=A, key="mac", after="52:54:00:00:aa:01")
m.until(event="setting", bdf=A, key="max-rate", after="500")
subprocess.run(["ip", "link", "set", ETH, "vf", "1", "vlan", "7"], check=True)
m.until(event="setting", bdf=B, key="vlan", before="0", after="7")
print("ok: what the PF gives its VFs is told, also when others set it")

m.forget()
vf("bind", A, "igbvf")
m.until(event="bind", bdf=A, driver="igbvf")
eth = m.until(event="interface", bdf=A, before=None)["after"]
assert eth in os.listdir(f"{DEV}/{A}/net"), eth
m.forget()
vf("bind", A, "vfio-pci")
m.until(event="interface", bdf=A, before=eth, after=None)
m.until(event="unbind", bdf=A, driver="igbvf")
m.until(event="bind", bdf=A, driver="vfio-pci")
print("ok: drivers and the interfaces that come with them are told")

m.forget()
subprocess.run(["ip", "link", "set", ETH, "down"], check=True)
m.until(event="link", interface=ETH, after="down")
subprocess.run(["ip", "link", "set", ETH, "address", "52:54:00:00:aa:77"], check=True)
m.until(event="mac", interface=ETH, after="52:54:00:00:aa:77")
subprocess.run(["ip", "link", "set", ETH, "up"], check=True)
m.until(event="link", interface=ETH, before="down", after="up")
print("ok: link and address of an interface are told")

# A holder that dies, as any program that has a lease.
RUN = "/run/viaduct/vf/lease"
os.makedirs(RUN, mode=0o700, exist_ok=True)
guard = os.open(RUN, os.O_RDONLY | os.O_DIRECTORY)
fcntl.flock(guard, fcntl.LOCK_EX)
holder = subprocess.Popen(["sleep", "1000"])
lease = os.open(f"{RUN}/{A}", os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(lease, fcntl.LOCK_EX)
os.write(lease, f"owner vm1\npid {holder.pid}\nsince {int(time.time())}\nend\n".encode())
os.close(guard)
assert m.until(event="lease-taken", bdf=A)["lease"]["owner"] == "vm1"
m.forget()
klog(f"<3>DMAR: [DMA Write NO_PASID] Request device [{A[5:]}] fault addr 0xdead000 [fault reason 0x05] "
     "PTE Write access is not set")
e = m.until(event="dma-fault", bdf=A)
assert e["lease"]["owner"] == "vm1" and e["address"] == "0xdead000" and e["access"] == "write", e
klog(f"<4>vfio-pci {A}: Relaying device request to user (#10)")
e = m.until(event="kernel-log", bdf=A)
assert e["cause"] and e["cause"]["fix"], e
holder.kill()
holder.wait()
os.close(lease)
m.until(event="lease-stale", bdf=A)
os.unlink(f"{RUN}/{A}")
m.until(event="lease-freed", bdf=A)
print("ok: leases, and whose DMA fault it is, are told")

m.forget()
vf("release", A)
write(f"{DEV}/{PF}/sriov_numvfs", "0")
m.until(event="vfs", bdf=PF, after=0)
write(f"{DEV}/{PF}/sriov_numvfs", "7")
m.until(event="vfs", bdf=PF, after=7)
m.until(event="bind", driver="igbvf")
m.forget()
vf("carve", PF, "0")
m.until(event="vfs", bdf=PF, after=0)
vf("carve", PF, "3")
m.until(event="vfs", bdf=PF, after=3)
while m.next(3):
    pass
other = Monitor(VF)
other.until(event="snapshot")
for bdf, f in m.functions.items():
    for key in ("kind", "driver", "interface", "num_vfs", "settings"):
        assert f.get(key) == other.functions[bdf].get(key), (bdf, key, f, other.functions[bdf])
assert m.functions.keys() == other.functions.keys()
print("ok: a picture kept from the events is what there is")

write(f"/sys/bus/pci/devices/{PF}/remove", "1")
m.until(event="remove", bdf=PF)
assert not m.functions, m.functions
write("/sys/bus/pci/rescan", "1")
m.until(event="add", bdf=PF)
m.until(event="bind", bdf=PF, driver="igb")
print("ok: a PF that goes and comes back is told")

# Stopped while more is told than the kernel keeps for it, and something changes after that.
m.forget()
m.run.send_signal(signal.SIGSTOP)
fd = os.open(f"{DEV}/{PF}/uevent", os.O_WRONLY)
for _ in range(20000):
    os.pwrite(fd, b"change", 0)
os.close(fd)
subprocess.run(["ip", "link", "set", os.listdir(f"{DEV}/{PF}/net")[0], "up"], check=True)
vf("carve", PF, "1")
m.run.send_signal(signal.SIGCONT)
assert m.until(event="lost")["from"] == "uevents"
m.until(event="vfs", bdf=PF, after=1)
m.until(event="snapshot")
print("ok: a loss is said, and what changed meanwhile is told")

m.run.send_signal(signal.SIGTERM)
assert m.run.wait(60) == 0
other.run.stdout.close()
assert other.run.wait(60) == 0
print("ok: ended by a signal, and by its reader")
