#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests with testpmd's virtio-user driver on `viaduct switch`, in all the ways it drives rings: split and
packed, in order or not, with mergeable buffers or not, vectorised, one and two pairs of queues, the
switch as server and as client of the socket.

One testpmd holds eight pairs of guests at a time, each pair in a VLAN of its own. A guest sends what
testpmd reads from a file of numbered frames and writes what it receives to a file: each frame must be
there once, whole, and behind the one before it of the same flow; and the switch's counters must say so.
Usage: switch_virtio_user.py BUILD_DIR
"""
import itertools
import os
import re
import shutil
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from switch import Switch, build_dir, check, result, skip, wait_for  # noqa: E402

# Of each guest. A round of testpmd's puts 32 into each sending queue and takes 32 from each receiving one,
# so this many never overrun a ring of RING[pairs], even if all flows go to one of two queues.
FRAMES = 1500
RING = {1: 256, 2: 1024}
BUFFERS = {1: 12000, 2: 44000}
MEMORY = {1: "112", 2: "208"}  # MiB
PATTERN = bytes(i & 255 for i in range(2048))
KINDS = {"split": "in_order=0", "split in-order": "in_order=1", "packed": "packed_vq=1,in_order=0",
         "packed in-order": "packed_vq=1,in_order=1"}


def mac(name):
    return bytes([2, 0, 0, 0, name[0], name[1]])


def frame(src, dst, flow, number):
    """Numbered frame of a flow (a UDP port); size and content follow from its number."""
    size = (60, 64, 65, 128, 590, 1500, 1514)[number % 7]
    payload = struct.pack("!HI", flow, number)
    payload += PATTERN[number & 255:][:size - 42 - len(payload)]
    udp = struct.pack("!HHHH", 1000 + flow, 9, 8 + len(payload), 0)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), number & 0xFFFF, 0, 64, 17, 0, src[2:6], dst[2:6])
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", 0xFFFF - total) + ip[12:]
    return dst + src + b"\x08\0" + ip + udp + payload


def pcap_write(path, frames):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for b in frames:
            f.write(struct.pack("<IIII", 0, 0, len(b), len(b)) + b)


def pcap_read(path):
    with open(path, "rb") as f:
        data = f.read()
    at, frames = 24, []
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        frames.append(data[at + 16:at + 16 + size])
        at += 16 + size
    return frames


def wrong_with(files, src, dst, flows):
    """What is not as it should be of the frames in @files, the queues of one guest."""
    seen = {flow: 0 for flow in range(flows)}
    for f in itertools.chain(*(pcap_read(p) for p in files)):
        flow, number = struct.unpack_from("!HI", f, 42)
        if f[:6] != dst or f[6:12] != src:
            return f"a frame for {f[:6].hex()} from {f[6:12].hex()}"
        # The other queue's file begins again; a flow is in one of them.
        if flow not in seen or number != seen[flow] * flows + flow:
            return f"frame {number} of flow {flow} where {seen.get(flow, 0) * flows + flow} was due"
        if f != frame(src, dst, flow, number):
            return f"frame {number} has another content"
        seen[flow] += 1
    total = sum(seen.values())
    return "" if total == FRAMES else f"{total} of {FRAMES} frames"


class Guests:
    """One run of testpmd. @variants: (name, device arguments)."""

    def __init__(self, sw, run, variants, pairs, server, more=()):
        self.sw, self.run, self.variants, self.pairs = sw, run, variants, pairs
        self.ports = [f"r{run}v{i}{end}" for i in range(len(variants)) for end in "ab"]
        self.macs = {p: mac((run + 1, n)) for n, p in enumerate(self.ports)}
        self.flows = 1 if pairs == 1 else 8
        args = []
        for n, port in enumerate(self.ports):
            other = self.macs[self.ports[n ^ 1]]
            files = [f"rx_pcap={sw.path(f'{port}.in{q}')}" for q in range(pairs)]
            files += [f"tx_pcap={sw.path(f'{port}.out{q}')}" for q in range(pairs)]
            for q in range(pairs):
                pcap_write(sw.path(f"{port}.in{q}"),
                           [frame(self.macs[port], other, i % self.flows, i) for i in range(FRAMES)
                            if i % self.flows % pairs == q])
            m = ":".join(f"{b:02x}" for b in self.macs[port])
            args += ["--vdev", f"net_pcap{n}," + ",".join(files), "--vdev",
                     f"net_virtio_user{n},path={sw.path(port)},mac={m},queues={pairs},queue_size={RING[pairs]},"
                     f"server={server:d}," + variants[n // 2][1]]
        self.args = args
        self.more = list(more)
        self.server = server

    def add(self, n):
        name = self.ports[n]
        self.sw.ask("port.add", config=f"{{name: {name}, vhost-user: {self.sw.path(name)}, vlan: {{access: {n // 2 + 1}}}"
                                       f"{', client: true' if self.server else ''}}}")

    def go(self):
        sw, log = self.sw, self.sw.path(f"testpmd{self.run}")
        cpu = max(os.sched_getaffinity(0))
        command = ["dpdk-testpmd", "--lcores", f"0@{cpu},1@{cpu}", "--no-pci", "--no-huge", "-m", MEMORY[self.pairs], "--no-telemetry",
                   "--no-shconf", f"--file-prefix=fits-{os.getpid()}-{self.run}", "--log-level=pmd.net.virtio.init:debug",
                   *self.more, *self.args, "--", "-i", "--forward-mode=io", "--port-topology=paired",
                   f"--total-num-mbufs={BUFFERS[self.pairs]}", f"--rxq={self.pairs}", f"--txq={self.pairs}", f"--rxd={RING[self.pairs]}", "--txd=64",
                   "--tx-offloads=0", "--no-flush-rx"]
        if not self.server:
            for n in range(len(self.ports)):
                self.add(n)
        with open(log, "w") as out:
            p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out, text=True)
        try:
            if self.server:
                # It makes one socket, waits for who connects, and goes on to the next.
                for n, port in enumerate(self.ports):
                    wait_for(lambda: p.poll() is not None or os.path.exists(sw.path(port)), 20)
                    self.add(n)
            up = wait_for(lambda: p.poll() is not None or all(sw.up(n) for n in self.ports), 30)
            if not check(f"run {self.run}: all {len(self.ports)} guests connect", up and p.poll() is None,
                         open(log).read()[-2000:]):
                return
            # Never give up a frame that the ring has no room for yet.
            p.stdin.write("set fwd io retry\nset burst tx delay 5 retry 1000000\nstart\n")
            p.stdin.flush()
            wait_for(lambda: all(sw.port(n)["tx-packets"] >= FRAMES for n in self.ports), 20)
            # What the switch has sent testpmd has yet to read.
            wait_for(lambda: self.read(p) >= 2 * FRAMES * len(self.ports), 10)
            p.stdin.write("stop\nquit\n")
            p.stdin.flush()
            p.wait(20)
        finally:
            if p.poll() is None:
                p.kill()
                p.wait()
        for i, (name, _) in enumerate(self.variants):
            self.judge(name, *self.ports[2 * i:2 * i + 2])
        for port in self.ports:
            sw.ask("port.del", name=port)

    def read(self, p):
        """Frames that testpmd has read, from the rings and from files."""
        p.stdin.write("show fwd stats all\n")
        p.stdin.flush()
        time.sleep(0.05)
        counts = re.findall(r"for all ports.*\n +RX-packets: (\d+)", self.said())
        return int(counts[-1]) if counts else 0

    def judge(self, name, a, b):
        sw, wrong = self.sw, []
        for src, dst in (a, b), (b, a):
            bad = wrong_with([sw.path(f"{dst}.out{q}") for q in range(self.pairs)], self.macs[src], self.macs[dst],
                             self.flows)
            if bad:
                wrong.append(f"{dst} has got {bad}")
            s, d = sw.port(src), sw.port(dst)
            if s["rx-packets"] != FRAMES or d["tx-packets"] != FRAMES:
                wrong.append(f"the switch counts {s['rx-packets']} from {src}, {d['tx-packets']} to {dst}")
            if sw.drops(src):
                wrong.append(f"drops at {src}: {sw.drops(src)}")
        check(f"{name}: each of {2 * FRAMES} frames once, whole, in order, and counted", not wrong, "; ".join(wrong))

    def said(self):
        with open(self.sw.path(f"testpmd{self.run}")) as f:
            return f.read()

    def queues_used(self):
        """Receive queues that got something, of all guests."""
        return sum(len(pcap_read(self.sw.path(f"{p}.out{q}"))) > 0 for p in self.ports for q in range(self.pairs))


def main():
    build = build_dir()
    if not shutil.which("dpdk-testpmd"):
        skip("no dpdk-testpmd (package dpdk-dev)")
    if len(os.sched_getaffinity(0)) < 2:
        skip("needs two CPUs")
    with open("/proc/cpuinfo") as f:
        avx512 = " avx512f" in f.read()
    matrix = [(f"{kind}{', mergeable' if mrg else ''}", f"{args},mrg_rxbuf={mrg}")
              for (kind, args), mrg in itertools.product(KINDS.items(), (0, 1))]
    runs = [(pairs, server, matrix) for pairs in (1, 2) for server in (False, True)]
    vector = [("split, vectorised", "in_order=0,mrg_rxbuf=0,vectorized=1")]
    if avx512:
        vector.append(("packed, vectorised", "packed_vq=1,in_order=1,mrg_rxbuf=0,vectorized=1"))
    else:
        print("not tried: packed, vectorised: this CPU has no AVX-512")
    runs.append((1, False, vector))
    with Switch(build, "", top=f"core: {min(os.sched_getaffinity(0))}\n") as sw:
        for r, (pairs, server, variants) in enumerate(runs):
            side = "client" if server else "server"
            guests = Guests(sw, r, [(f"switch as {side}, {pairs} pair{'s'[:pairs - 1]}, {name}", args)
                                    for name, args in variants], pairs, server,
                            ["--force-max-simd-bitwidth=512"] if variants is vector else [])
            guests.go()
            if pairs == 2:
                used = guests.queues_used()
                # Where a flow goes is its hash's: not every guest has one for each of its two.
                check("guests receive by both their queues", used > 1.2 * len(guests.ports),
                      f"{used} of {2 * len(guests.ports)}")
            if variants is vector:
                said = guests.said()
                check("testpmd's split rings were vectorised", re.search(r"using vectorized Rx path", said))
                if avx512:
                    check("testpmd's packed rings were vectorised",
                          re.search(r"using packed ring vectorized Rx path", said) and
                          re.search(r"using packed ring vectorized Tx path", said))
    return result()


if __name__ == "__main__":
    sys.exit(main())
