#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces of this machine on `viaduct switch`: two by tap ports, one by an interface whose frames
the switch takes (af-packet), and a guest with testpmd's virtio-user driver that answers pings. Each can
talk to each, files come whole over TCP, and what one sends ends up in a capture file.
Usage: switch_taps.py BUILD_DIR; as root
"""
import ctypes
import fcntl
import hashlib
import os
import shutil
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from switch import Switch, build_dir, check, result, skip, wait_for  # noqa: E402

MIB = 24
TAG = f"{os.getpid() % 100000}"
SPACES = {"one": f"v1x{TAG}", "two": f"v2x{TAG}", "veth": f"v3x{TAG}"}  # and their interfaces' names
ADDRESS = {name: f"10.77.0.{i + 1}" for i, name in enumerate(SPACES)}
RECEIVE = """
import hashlib, socket, sys
with socket.create_server(("0.0.0.0", 7000)) as s:
    print("listening", flush=True)
    c, h = s.accept()[0], hashlib.sha256()
    while data := c.recv(1 << 16):
        h.update(data)
    print(h.hexdigest())
"""
SEND = """
import random, socket, sys
rnd = random.Random(int(sys.argv[2]))
with socket.create_connection((sys.argv[1], 7000), 10) as s:
    for _ in range(int(sys.argv[3])):
        s.sendall(rnd.randbytes(1 << 20))
"""


def ip(*args):
    return subprocess.run(["ip", *args], capture_output=True, text=True)


def space(name):
    return f"viaduct-{name}-{TAG}"


def inside(name, *args, **more):
    return ["ip", "netns", "exec", space(name), *args]


def ping(name, address, *options):
    p = subprocess.run(inside(name, "ping", "-c", "3", "-i", "0.1", "-W", "5", *options, address), capture_output=True,
                       text=True)
    return p.returncode == 0 and " 0% packet loss" in p.stdout


def transfer(src, dst, seed):
    """Whether random bytes came whole from one namespace to another."""
    import random
    rnd, want = random.Random(seed), hashlib.sha256()
    for _ in range(MIB):
        want.update(rnd.randbytes(1 << 20))
    r = subprocess.Popen(inside(dst, sys.executable, "-c", RECEIVE), stdout=subprocess.PIPE, text=True)
    try:
        r.stdout.readline()
        s = subprocess.run(inside(src, sys.executable, "-c", SEND, ADDRESS[dst], str(seed), str(MIB)), timeout=60)
        return s.returncode == 0 and r.communicate(timeout=60)[0].strip() == want.hexdigest()
    except subprocess.TimeoutExpired:
        return False
    finally:
        if r.poll() is None:
            r.kill()
            r.wait()


def join(name, interface):
    """The interface belongs to the namespace from now on."""
    for args in (("link", "set", interface, "netns", space(name)),
                 ("-n", space(name), "addr", "add", f"{ADDRESS[name]}/24", "dev", interface),
                 ("-n", space(name), "link", "set", interface, "up")):
        p = ip(*args)
        if p.returncode:
            return check(f"ip {' '.join(args)}", False, p.stderr.strip())
    return True


def finish_checksums(interface):
    """Who sends by it computes checksums itself (ETHTOOL_STXCSUM 0): an af-packet port cannot see that one is
    left to an interface that never sends."""
    value = ctypes.create_string_buffer(struct.pack("=II", 0x17, 0))
    request = struct.pack("=16sQ16x", interface.encode(), ctypes.addressof(value))
    with socket.socket() as s:
        fcntl.ioctl(s, 0x8946, request)


def captured(path, pattern):
    try:
        with open(path, "rb") as f:
            return f.read().count(pattern)
    except OSError:
        return 0


def main():
    build = build_dir()
    if os.geteuid():
        skip("makes network namespaces: run as root")
    for tool, package in ("ip", "iproute2"), ("ping", "iputils-ping"):
        if not shutil.which(tool):
            skip(f"no {tool} (package {package})")
    if ip("netns", "add", space("one")).returncode:
        skip("this kernel makes no network namespaces")
    try:
        for name in "two", "veth":
            ip("netns", "add", space(name))
        peer = f"v4x{TAG}"
        veth = not ip("link", "add", SPACES["veth"], "type", "veth", "peer", "name", peer).returncode
        if veth:
            ip("link", "set", peer, "up")
            finish_checksums(SPACES["veth"])
        run(build, peer if veth else None)
    finally:
        for name in SPACES:
            ip("netns", "del", space(name))
        ip("link", "del", SPACES["veth"])
    return result()


def run(build, peer):
    names = ["one", "two"] + (["veth"] if peer else [])
    ports = "\n".join(f"- {{name: {n}, tap: {SPACES[n]}}}" for n in ("one", "two"))
    ports += "\n- {name: guest, vhost-user: @/guest}\n- {name: file, pcap: {tx: @/file.pcap}}"
    if peer:
        ports += f"\n- {{name: veth, af-packet: {peer}}}"
    else:
        print("not tried: af-packet: this kernel has no veth")
    with Switch(build, ports) as sw:
        check("tap ports make their interfaces", all(not ip("link", "show", SPACES[n]).returncode for n in ("one", "two")))
        if not all([join(n, SPACES[n]) for n in names]):
            return
        check("links come up", wait_for(lambda: all(sw.up(n) for n in names)), [n for n in names if not sw.up(n)])
        for n in names:
            for other in names:
                if n != other:
                    check(f"{n} pings {other}", ping(n, ADDRESS[other]))
        check("frames of full size pass", ping("one", ADDRESS["two"], "-s", "1472", "-M", "do"))
        before = sw.port("two")["tx-packets"]
        for seed, (src, dst) in enumerate((("one", "two"), ("two", "one")) + ((("one", "veth"), ("veth", "two"))
                                                                            if peer else ())):
            check(f"{MIB} MiB from {src} to {dst} come whole", transfer(src, dst, seed))
        check("are counted", sw.port("two")["tx-packets"] - before > MIB)
        guest(sw)
        mac = ip("-n", space("one"), "-o", "link", "show", SPACES["one"]).stdout.split("link/ether ")[1][:17]
        gone(sw)
        check("ends when told to", sw.stop() == 0)
        check("what was flooded is in the file", captured(sw.path("file.pcap"), b"\xff" * 6 + bytes.fromhex(mac.replace(":", ""))))
        check("taps are gone with it", all(ip("-n", space(n), "link", "show", SPACES[n]).returncode for n in ("one", "two")))


def gone(sw):
    """What is left of a tap that somebody deletes is a descriptor that is ready for ever."""
    sw.ask("port.add", config=f"{{name: third, tap: v4d{TAG}}}")
    check("a port is added", sw.up("third"))
    check("its tap is deleted", not ip("link", "del", f"v4d{TAG}").returncode)
    third = [p for p in sw.ask("port.list") if p["name"] == "third"][0]
    check("that is why the link is down", not third["up"] and "gone" in third["why-down"], third)
    before = sw.ask("stats")
    check("the switch still sleeps", wait_for(lambda: sw.ask("stats")["sleeps"] > before["sleeps"] + 100))
    after = sw.ask("stats")
    rounds, sleeps = (after[k] - before[k] for k in ("rounds", "sleeps"))
    check("and looks no more often than it must", rounds < 100 * sleeps, (rounds, sleeps))
    sw.ask("port.del", name="third")


def guest(sw):
    if not shutil.which("dpdk-testpmd"):
        print("not tried: a virtio-user guest: no dpdk-testpmd (package dpdk-dev)")
        return
    with open(sw.path("testpmd"), "w") as out:
        p = subprocess.Popen(["dpdk-testpmd", "--lcores", "0@0,1@0", "--no-pci", "--no-huge", "-m", "64", "--no-telemetry",
                              "--no-shconf", f"--file-prefix=taps-{TAG}", "--vdev",
                              f"net_virtio_user0,path={sw.path('guest')},mac=02:00:00:00:77:09,queue_size=256", "--",
                              "-i", "--forward-mode=icmpecho", "--total-num-mbufs=4096", "--auto-start"],
                             stdin=subprocess.PIPE, stdout=out, stderr=out)
    try:
        check("a virtio-user guest connects", wait_for(lambda: sw.up("guest"), 20), open(sw.path("testpmd")).read()[-500:])
        ping("one", "10.77.0.9")
        before = sw.drops("guest")
        for name in "one", "two":
            check(f"{name} pings it", ping(name, "10.77.0.9") and ping(name, "10.77.0.9", "-s", "1472"))
        check("nothing for it was dropped", sw.drops("guest") == before, sw.drops("guest"))
        p.communicate(b"stop\nquit\n", timeout=20)
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()


if __name__ == "__main__":
    sys.exit(main())
