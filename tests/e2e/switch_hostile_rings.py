#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that mean harm, through a real vhost-user connection to `viaduct switch`: descriptors, chains,
indexes, headers and ring addresses as no driver would write them, also while they are read.

Each row is a connection of its own. After it the switch lives and other ports' numbered frames have come
through whole and in order, no byte outside any guest's memory table has changed or been sent to anybody,
frames the row says are good have arrived, the port has counted what was wrong by name, and an honest
guest is served at the same port. Rows and what they were once good for: docs of CVE-2018-1059,
CVE-2020-10725, CVE-2022-2132, CVE-2024-11614 and the fixes in DPDK's lib/vhost without a number.
Usage: switch_hostile_rings.py BUILD_DIR [WORD]: only rows with WORD in their name
"""
import os
import random
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from switch import Switch, build_dir, check, result, wait_for  # noqa: E402
from vhost_user_frontend import (  # noqa: E402
    CSUM, F_INDIRECT, F_NEXT, F_USED, F_WRITE, GUARD_BYTE, GUEST_CSUM, HDR, HOST_TSO4, HOST_TSO6, INDIRECT_DESC,
    PAGE, BackendError, Frontend, Memory, bits, number_of, numbered)

A, B, C, X = (bytes.fromhex(f"0200000000{n}") for n in ("0a", "0b", "0c", "66"))
STREAM = 66
NUM = 64
LEAK = bytes([GUARD_BYTE]) * 8
ALL = "address indirect chain direction short long".split()
rows = []


def row(name, kinds="split packed", errors=(), regions=(8 << 20,), adjacent=False, anything=False, features=0):
    """A row: its function gets the Guest and returns the numbers of the frames that must arrive.
    @errors: names of which the port must count one. @anything: frames of any content may arrive."""
    def add(f):
        for kind in kinds.split():
            rows.append((f"{kind}: {name}", kind == "packed", f, errors, regions, adjacent, anything, features))
        return f
    return add


class Guest:
    """The hostile one: its rings by hand."""

    def __init__(self, path, packed, regions, adjacent, features):
        self.packed = packed
        self.mem = Memory(regions, adjacent=adjacent)
        self.fe = Frontend(path, num=NUM, packed=packed, mem=self.mem, suppress=False, rx=False, timeout=5,
                           features=features | bits(INDIRECT_DESC))
        self.fe.start()
        self.rx, self.tx = self.fe.rings[:2]
        self.next = [0, 0]  # next slot to make available, rx and tx
        self.number = 0

    def frame(self, size=64):
        """(number, header and bytes) of one more good frame to C."""
        self.number += 1
        return self.number, bytes(HDR) + numbered(self.number, C, X, size, STREAM)

    def place(self, data, align=1):
        gpa = self.mem.alloc(len(data), align)
        self.mem.write(gpa, data)
        return gpa

    def post(self, descs, ring=1, kick=True):
        """Make descriptors (addr, len, flags) available as one chain, as they are."""
        r = self.fe.rings[ring]
        at = self.next[ring]
        if self.packed:
            for n, (addr, length, flags) in enumerate(descs):
                slot = (at + n) % NUM
                wrap = 1 - (at + n) // NUM % 2
                more = F_NEXT if n < len(descs) - 1 else 0
                if n:
                    r.desc(slot, addr, length, flags | more | r.flags_avail(wrap), at % NUM)
            addr, length, flags = descs[0]
            more = F_NEXT if len(descs) > 1 else 0
            r.desc(at % NUM, addr, length, flags | more | r.flags_avail(1 - at // NUM % 2), at % NUM)
            self.next[ring] += len(descs)
        else:
            base = self.next[ring] % NUM
            for n, (addr, length, flags) in enumerate(descs):
                more = F_NEXT if n < len(descs) - 1 else 0
                r.desc((base + n) % NUM, addr, length, flags | more, (base + n + 1) % NUM if more else 0)
            r.avail_set(r.next_avail, base)
            r.next_avail += 1
            r.avail_idx(r.next_avail)
            self.next[ring] += len(descs)
        if kick:
            self.kick(ring)

    def kick(self, ring=1):
        self.fe.kick(ring)

    def send(self, descs, **more):
        self.post([(addr, length, 0) for addr, length in descs], **more)

    def close(self):
        self.fe.close()


# ---- what goes out

@row("a header of one byte per descriptor (CVE-2022-2132)")
def header_bytewise(g):
    good = []
    for size in 60, 200:
        n, data = g.frame(size)
        gpa = g.place(data)
        g.send([(gpa + i, 1) for i in range(HDR)] + [(gpa + HDR, len(data) - HDR)])
        good.append(n)
        settle(g)
    return good


@row("header and frame cut at every place")
def cut_everywhere(g):
    good = []
    for cut in range(1, 40):
        n, data = g.frame(60)
        gpa = g.place(data)
        g.send([(gpa, cut), (gpa + cut, len(data) - cut)])
        good.append(n)
        if cut % 16 == 0:
            settle(g)
    return good


@row("a frame in pieces of one byte each")
def all_bytewise(g):
    n, data = g.frame(NUM - HDR - 2)
    gpa = g.place(data)
    g.send([(gpa + i, 1) for i in range(len(data))])
    return [n]


@row("chains shorter than the header", errors=("short",))
def short_chains(g):
    gpa = g.place(bytes(64))
    for length in range(1, HDR + 1):
        g.send([(gpa, length)])
    for cut in range(1, 6):
        g.send([(gpa, cut), (gpa + cut, 6 - cut)])
    settle(g)
    n, data = g.frame()
    g.send([(g.place(data), len(data))])
    return [n]


@row("descriptors of no length", errors=("short",))
def no_length(g):
    g.send([(g.place(bytes(64)), 0)])
    g.send([(0, 0), (0, 0), (0, 0)])
    return []


@row("descriptors across a region's ends, one byte less to one more (CVE-2018-1059)", errors=("address",),
     regions=(1 << 20, 64 * PAGE, 64 * PAGE))
def straddle(g):
    good = []
    for start, size, _ in g.mem.regions[1:]:
        end = start + size
        for length in HDR + 60, HDR + 1000:
            n, data = g.frame(length - HDR)
            g.mem.write(end - length, data)
            g.send([(end - length, length)])  # ends where the region ends
            settle(g)
            good.append(n)
            g.send([(end - length + 1, length)])
            g.send([(end - length, length + 1)])
            g.send([(end - 1, length)])
            g.send([(end, length)])
            g.send([(start - 1, length)])
            g.send([(start - length, length)])
            n, data = g.frame(length - HDR)
            g.mem.write(start, data)
            g.send([(start, length)])
            settle(g)
            good.append(n)
    return good


@row("buffers across two regions that are one to the guest", regions=(1 << 20, 64 * PAGE, 64 * PAGE), adjacent=True,
     features=0)
def across_regions(g):
    # Whole or not at all; what is between the regions in the file is nobody's.
    edge = g.mem.regions[2][0]
    for before in 1, HDR - 1, HDR, HDR + 1, HDR + 14, 60:
        n, data = g.frame(100)
        g.mem.write(edge - before, data[:before])
        g.mem.write(edge, data[before:])
        g.send([(edge - before, len(data))])
        settle(g)
    return []


@row("addresses nobody has (CVE-2020-10725)", errors=("address",))
def no_address(g):
    gpa = g.place(bytes(HDR))
    for addr in 0, 1, 0x1000, (1 << 63), (1 << 64) - 1, (1 << 64) - 64, Memory.uva(gpa), g.mem.regions[0][0] - 1:
        g.send([(addr, 76)])
        g.send([(gpa, HDR), (addr, 64)])
    return []


@row("lengths that wrap round", errors=("address", "long"))
def wrap_length(g):
    gpa = g.place(bytes(4096))
    for addr, length in (gpa, 0xFFFFFFFF), ((1 << 64) - 16, 32), (gpa, 0x80000000), ((1 << 64) - 1, 0xFFFFFFFF):
        g.send([(addr, length)])
        g.send([(gpa, HDR), (addr, length), (gpa, 60)])
    return []


@row("a frame longer than any", errors=("long",), regions=(8 << 20,))
def too_long(g):
    gpa = g.place(bytes(1 << 20))
    g.send([(gpa, 1 << 20)])
    g.send([(gpa, 65000)] * 8)
    return []


@row("a buffer to be written where one to be read belongs", errors=("direction",))
def wrong_way(g):
    _, data = g.frame()
    gpa = g.place(data)
    g.post([(gpa, len(data), F_WRITE)])
    g.post([(gpa, HDR, 0), (gpa + HDR, 64, F_WRITE)])
    g.post([(gpa, HDR, F_WRITE), (gpa + HDR, 64, 0)])
    return []


@row("a chain that is a circle", kinds="split", errors=("chain",))
def circle(g):
    gpa = g.place(bytes(64))
    for i, follower in (0, 0), (1, 2), (2, 1):
        g.tx.desc(i, gpa, 16, F_NEXT, follower)
    g.tx.avail_set(0, 0)
    g.tx.avail_set(1, 1)
    g.tx.avail_idx(2)
    g.kick()
    return []


@row("a next, and a head, outside the table", kinds="split", errors=("chain",))
def outside_table(g):
    gpa = g.place(bytes(64))
    for i, follower in (0, NUM), (1, 0xFFFF), (2, NUM + 1):
        g.tx.desc(i, gpa, 16, F_NEXT, follower)
    for slot, head in enumerate((0, 1, 2, NUM, 0x7FFF, 0xFFFF)):
        g.tx.avail_set(slot, head)
        g.tx.avail_idx(slot + 1)
        g.kick()
        settle(g)
    return []


@row("an available index that jumps", kinds="split", errors=("broken",), anything=True)
def index_jumps(g):
    _, data = g.frame()
    gpa = g.place(data)
    for i in range(NUM):
        g.tx.desc(i, gpa, len(data))
        g.tx.avail_set(i, i)
    for jump in 1, NUM + 1, 0x8000, 0xFFFF, 3, 0:
        g.tx.avail_idx(jump)
        g.kick()
        settle(g)
    return []


@row("a chain that fills the ring and does not end", kinds="packed", errors=("broken",))
def endless(g):
    gpa = g.place(bytes(64))
    for i in reversed(range(NUM)):
        g.tx.desc(i, gpa, 1, F_NEXT | g.tx.flags_avail(1), 0)
    g.kick()
    return []


@row("buffer ids of no sense", kinds="packed", anything=True)
def strange_ids(g):
    for i, ident in enumerate((0xFFFF, NUM, 0x8000, 7, 7, 7)):
        n, data = g.frame()
        g.tx.desc(i, g.place(data), len(data), g.tx.flags_avail(1), ident)
        g.kick()
    return []


@row("wrap counters that change back", kinds="packed", anything=True)
def wrap_flips(g):
    _, data = g.frame()
    gpa = g.place(data)
    for turn in range(8):
        for i in range(NUM):
            g.tx.desc(i, gpa, len(data), g.tx.flags_avail(turn & 1) ^ (F_USED if i % 5 == 4 else 0), i)
        g.kick()
        settle(g)
    return []


@row("indirect tables that are empty, cut, nested, elsewhere, too long", errors=("indirect", "address", "chain"))
def indirect(g):
    gpa = g.place(bytes(256))
    table = g.place(struct.pack("<QIHH", gpa, 76, 0, 0) * 4, 16)
    nested = g.place(struct.pack("<QIHH", table, 16, F_INDIRECT, 0), 16)
    loop = g.place(struct.pack("<QIHH", gpa, 16, F_NEXT, 0), 16)
    far = g.place(struct.pack("<QIHH", gpa, 16, F_NEXT, 0xFFFF), 16)
    end = g.mem.regions[0][0] + g.mem.regions[0][1]
    for addr, length in ((table, 0), (table, 15), (table, 17), (table, 1 << 20), (table, 0xFFFFFFF0), (nested, 16),
                         (loop, 16), (far, 16), (end - 16, 32), (0, 16), ((1 << 64) - 16, 32), (end, 16)):
        g.post([(addr, length, F_INDIRECT)])
        settle(g)
    g.post([(table, 16, F_INDIRECT), (gpa, 64, 0)])
    return []


@row("good indirect tables, also with a header in pieces")
def indirect_good(g):
    good = []
    for pieces in 1, 2, 14:
        n, data = g.frame(100)
        gpa = g.place(data)
        cuts = list(range(pieces)) + [len(data)]
        descs = [(gpa + a, b - a) for a, b in zip(cuts, cuts[1:])]
        table = b"".join(struct.pack("<QI", addr, length) +
                         (struct.pack("<HH", 0, 0) if g.packed or i == len(descs) - 1 else
                          struct.pack("<HH", F_NEXT, i + 1))
                         for i, (addr, length) in enumerate(descs))
        g.post([(g.place(table, 16), len(table), F_INDIRECT)])
        good.append(n)
    return good


def headers(g, cases):
    """Frames with headers that lie; each is dropped or comes out whole, never with bytes of others."""
    for flags, gso_type, hdr_len, gso_size, start, offset in cases:
        n, data = g.frame(100)
        data = struct.pack("<BBHHHHH", flags, gso_type, hdr_len, gso_size, start, offset, 0) + data[HDR:]
        g.send([(g.place(data), len(data))])
        settle(g)


@row("headers that lie: checksums past the frame, segments of no size (CVE-2024-11614)", anything=True,
     features=bits(CSUM, GUEST_CSUM, HOST_TSO4, HOST_TSO6))
def lying_headers(g):
    headers(g, [(1, 0, 0, 0, start, offset) for start in (0, 13, 34, 99, 100, 101, 0x7FFF, 0xFFFF)
                for offset in (0, 1, 16, 0xFFFE, 0xFFFF)])
    headers(g, [(f, t, h, s, 34, 16) for f in (0, 1, 0xFF) for t in (1, 4, 3, 0x81, 0xFF)
                for h in (0, 54, 0xFFFF) for s in (0, 1, 0xFFFF)])


@row("headers that lie and were not negotiated", anything=True)
def lying_unasked(g):
    headers(g, [(1, t, 54, s, 34, 16) for t in (0, 1, 4, 0xFF) for s in (0, 1, 1448)])


# ---- what comes in

def deliver(g, n=8):
    """Honest frames for the hostile guest to receive."""
    honest.a.send_frames([numbered(i, X, A, 900, STREAM) for i in range(n)])
    settle(g)


@row("receive buffers across a region's ends", errors=("address",), regions=(1 << 20, 64 * PAGE, 64 * PAGE))
def rx_straddle(g):
    for start, size, _ in g.mem.regions[1:]:
        end = start + size
        for addr in end - 1, end - HDR, end - 100, end - 911, start - 1, start - 500, end:
            g.post([(addr, 1500, F_WRITE)], ring=0)
            deliver(g, 2)


@row("receive buffers too small for a header", errors=("short",))
def rx_short(g):
    gpa = g.place(bytes(4096))
    for length in range(1, HDR):
        g.post([(gpa, length, F_WRITE)], ring=0)
    deliver(g)
    for cut in range(1, HDR):
        g.post([(gpa, cut, F_WRITE), (gpa + cut, 2000, F_WRITE)], ring=0)
        deliver(g, 1)


@row("receive buffers that are for reading", errors=("direction",))
def rx_readonly(g):
    gpa = g.place(b"\x11" * 2048)
    for _ in range(4):
        g.post([(gpa, 2048, 0)], ring=0)
    g.post([(gpa, 12, F_WRITE), (gpa + 12, 2000, 0)], ring=0)
    deliver(g)


@row("receive buffers nobody has, or of no length", errors=("address", "short"))
def rx_nowhere(g):
    for addr, length in (0, 2048), ((1 << 64) - 1, 2048), ((1 << 63), 0xFFFFFFFF), (g.mem.regions[0][0], 0), \
            (g.mem.regions[0][0] - 1, 2048), (Memory.uva(g.mem.regions[0][0]), 2048):
        g.post([(addr, length, F_WRITE)], ring=0)
        deliver(g, 1)


@row("receive buffers that lie over the ring itself", anything=True)
def rx_over_ring(g):
    for addr in g.rx.desc_gpa, g.rx.avail_gpa, g.rx.used_gpa, g.tx.desc_gpa, g.tx.used_gpa:
        g.post([(addr, 2048, F_WRITE)], ring=0)
        deliver(g, 2)


@row("a circle to receive into", kinds="split", errors=("chain",))
def rx_circle(g):
    gpa = g.place(bytes(64))
    g.rx.desc(0, gpa, 16, F_NEXT | F_WRITE, 1)
    g.rx.desc(1, gpa, 16, F_NEXT | F_WRITE, 0)
    g.rx.avail_set(0, 0)
    g.rx.avail_idx(1)
    deliver(g)


@row("tiny receive buffers that a frame takes all of")
def rx_tiny(g):
    gpa = g.place(bytes(8192))
    for i in range(NUM):
        g.post([(gpa + 16 * i, 16, F_WRITE)], ring=0, kick=False)
    deliver(g)


# ---- while it is read

def race(g, seconds, step):
    """A second process that runs @step(random) on the shared memory all the while; frames go on."""
    child = os.fork()
    if not child:
        try:
            rnd = random.Random(1)
            while True:
                for _ in range(100):
                    step(rnd)
                if os.getppid() == 1:
                    break
        finally:
            os._exit(0)
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            g.kick(0)
            g.kick(1)
            honest.a.send_frames([numbered(i, X, A, 900, STREAM) for i in range(4)])
            honest.traffic(20)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def keep_posted(g):
    """All of the ring available, for ever and again."""
    n, data = g.frame(100)
    gpa = g.place(data)
    if not g.packed:
        for i in range(NUM):
            g.tx.desc(i, gpa, len(data))
            g.tx.avail_set(i, i)
    return gpa, len(data)


@row("a header that changes while it is read (285e6b8b18)", anything=True,
     features=bits(CSUM, GUEST_CSUM, HOST_TSO4, HOST_TSO6))
def racing_header(g):
    gpa, length = keep_posted(g)
    off = g.mem.offset(gpa)
    good = struct.pack("<BBHHHHH", 1, 1, 54, 40, 34, 16, 0)
    state = {"idx": 0}

    def step(rnd):
        g.mem.map[off:off + HDR] = good
        if g.packed:
            i = state["idx"]
            g.tx.desc(i % NUM, gpa, length, g.tx.flags_avail(1 - i // NUM % 2), i % NUM)
            state["idx"] += 1
        else:
            state["idx"] = g.tx.used_idx() + NUM
            g.tx.avail_idx(state["idx"])
        g.mem.map[off + rnd.randrange(HDR - 2)] = rnd.choice((0, 1, 0x7F, 0xFF))
        g.mem.map[off + 6:off + 10] = rnd.choice((b"\xff\xff\xff\xff", b"\x63\0\xff\xff", b"\0\0\0\0"))

    race(g, 0.7, step)


@row("descriptors that change while they are read", anything=True)
def racing_descriptors(g):
    gpa, length = keep_posted(g)
    end = g.mem.regions[0][0] + g.mem.regions[0][1]
    lengths = (length, 0, 1, 11, 12, 13, 0xFFFFFFFF, 65536, 1 << 20)
    addresses = (gpa, gpa, end - 1, end - 60, end, 0, (1 << 64) - 1)
    rx = g.place(bytes(4096))

    def step(rnd):
        for ring, addr in (g.tx, gpa), (g.rx, rx):
            i = rnd.randrange(NUM)
            flags = rnd.choice((0, 0, F_NEXT, F_INDIRECT, F_WRITE, F_NEXT | F_WRITE))
            if ring is g.rx:
                flags |= F_WRITE
            if g.packed:
                flags |= ring.flags_avail(rnd.randrange(2))
            ring.desc(i, rnd.choice(addresses + (addr,)), rnd.choice(lengths), flags, rnd.choice((i, i + 1, 0, NUM, 0xFFFF)))
            if not g.packed:
                ring.avail_set(rnd.randrange(NUM), rnd.choice((i, i, i, NUM, 0xFFFF)))
                ring.avail_idx(ring.used_idx() + rnd.choice((NUM, 3, NUM // 2)))

    race(g, 0.7, step)


@row("rings of noise", anything=True)
def noise(g):
    def step(rnd):
        for r in g.rx, g.tx:
            g.mem.write(r.desc_gpa + rnd.randrange(16 * NUM - 8), rnd.randbytes(8))
            g.mem.write(r.avail_gpa + rnd.randrange(2 if g.packed else 4 + 2 * NUM), rnd.randbytes(2))
            g.mem.write(r.used_gpa + rnd.randrange(2 if g.packed else 4 + 8 * NUM), rnd.randbytes(2))

    race(g, 0.7, step)


# ---- the rings' own places

@row("rings that begin or end outside the memory", regions=(1 << 20, 16 * PAGE))
def ring_places(g):
    start, size, _ = g.mem.regions[1]
    end = start + size
    fe = g.fe
    for addr in (end - 1, end - 2, end - 16, end, start - 16, start - 1, 0, (1 << 64) - 16, (1 << 64) - 1,
                 end - 16 * NUM + 1, end - 16 * NUM + 16, start + 1):
        for field in range(3):  # descriptors, used, available
            where = [g.tx.desc_gpa, g.tx.used_gpa, g.tx.avail_gpa]
            where[field] = addr
            uva = [Memory.uva(w) & (1 << 64) - 1 for w in where]
            try:
                fe.ring_base(1)
                fe.tell(9, struct.pack("<IIQQQQ", 1, 0, *uva, 0))
                fe.tell(13, struct.pack("<Q", 1), [fe.calls[1]])
                fe.tell(12, struct.pack("<Q", 1), [fe.kicks[1]])
                g.kick()
            except BackendError:
                fe.start()
            settle(g)


@row("ring addresses that are taken away while the ring runs", anything=True)
def ring_moves(g):
    fe = g.fe
    for i in range(30):
        n, data = g.frame()
        try:
            g.send([(g.place(data), len(data))])
            fe.tell(9, struct.pack("<IIQQQQ", 1, 0, *([Memory.uva(g.mem.regions[0][0] + 16 * i)] * 3), 0))
            fe.tell(5, g.mem.table(), [g.mem.fd] * len(g.mem.regions))
        except BackendError:
            fe.start()


class Honest:
    """Two ports that exchange numbered frames, each of which must arrive, once, whole, in order; and a
    third one that the hostile guest sends to."""

    def __init__(self, sw):
        self.a, self.b, self.c = self.all = [Frontend(sw.path(n)) for n in "abc"]
        for fe in self.all:
            fe.start()
        self.sent = self.got = 0
        self.strange = None  # what came that should not
        self.anything = False
        self.others = []  # numbers of frames of the hostile guest, in order
        for fe, mac in (self.b, B), (self.c, C):
            fe.send_frames([numbered(0, A, mac)])
            self.a.wait(5)

    def take(self):
        for fe in self.all:
            for f in fe.receive():
                self.look(fe, f)

    def look(self, fe, f):
        who = number_of(f)
        if fe is self.b and f[6:12] == A and f[:6] == B:
            if who != (0, self.got):
                self.strange = self.strange or f"frame {who} where {self.got} was due"
            self.got += 1
        elif fe is self.c and who and who[0] == STREAM and f[6:12] == X:
            self.others.append(who[1])
        elif LEAK in f:
            self.strange = "a frame with bytes from outside of memory"
        elif fe is self.c and f[:6] == C and not self.anything:
            self.strange = self.strange or f"{len(f)} bytes nobody sent: {f[:40].hex()}"

    def traffic(self, n):
        """Whether so many frames have come through."""
        end = time.monotonic() + 5
        last = self.sent + n
        while self.got < last and time.monotonic() < end:
            # No more on their way than the receiver has buffers for, with some left for others.
            m = min(32, last - self.sent, 128 - (self.sent - self.got))
            if m > 0:
                self.sent += self.a.send_frames([numbered(self.sent + i, B, A, 64 + (self.sent + i) % 200)
                                                 for i in range(m)])
            self.take()
        if self.got != last:
            self.strange = self.strange or f"{last - self.got} frames lost"
            self.got = self.sent
        return not self.strange


def settle(g):
    """Until the switch has looked at the rings: it asks every port in each few of its rounds."""
    honest.traffic(40)


def ring_errors(sw, port):
    """What the port has counted about its rings, by name."""
    found = {}

    def walk(node):
        if isinstance(node, dict):
            for k, v in node.items():
                if k.startswith("ring-") and isinstance(v, int):
                    found[k] = found.get(k, 0) + v
                walk(v)
        elif isinstance(node, list):
            for v in node:
                walk(v)

    walk(sw.port(port))
    return found


def named(sw, errors, before, after):
    """Whether one of the errors has been counted, or, for "broken", the port says so of a ring."""
    if "broken" in errors and "is broken" in str(sw.port("x")):
        return True
    return any(after.get(f"ring-bad-{e}", 0) > before.get(f"ring-bad-{e}", 0) or
               after.get(f"ring-{e}", 0) > before.get(f"ring-{e}", 0) for e in errors)


def serve_row(sw, name, packed, f, errors, regions, adjacent, anything, features):
    before = ring_errors(sw, "x")
    honest.others, honest.strange, honest.anything = [], None, anything
    wrong = []
    g = Guest(sw.path("x"), packed, regions, adjacent, features)
    try:
        good = f(g)
        settle(g)
        good = set(good or ())
        end = time.monotonic() + 2
        while not good <= set(honest.others) and time.monotonic() < end:
            g.kick()
            honest.traffic(40)
        missing = good - set(honest.others)
        if missing:
            wrong.append(f"good frames {sorted(missing)} have not arrived")
        if not anything and len(honest.others) != len(set(honest.others)):
            wrong.append("frames came twice")
        after = ring_errors(sw, "x")
        if errors and not named(sw, errors, before, after):
            wrong.append(f"the port counts none of {', '.join(errors)}: {after}")
        if not g.mem.guards_intact():
            wrong.append("bytes outside of the guest's memory were written")
    except (BackendError, OSError) as e:
        wrong.append(f"{type(e).__name__}: {e}")
    finally:
        if sw.alive():
            honest.traffic(100)
        g.close()
    if not sw.alive():
        return check(name, False, f"the switch ended: {sw.said()[-500:]}")
    if honest.strange:
        wrong.append(honest.strange)
    if not all(fe.mem.guards_intact() for fe in honest.all):
        wrong.append("bytes outside of another guest's memory were written")
    # The same port, an honest guest.
    honest.others, honest.strange = [], None
    try:
        with Frontend(sw.path("x"), packed=packed, timeout=5) as x:
            x.start()
            x.send_frames([numbered(i, C, X, 100, STREAM) for i in range(20)])
            end = time.monotonic() + 5
            while len(honest.others) < 20 and time.monotonic() < end:
                honest.traffic(10)
            if honest.others != list(range(20)):
                wrong.append(f"an honest guest after it is not served: {honest.others}")
            x.receive()
            honest.a.send_frames([numbered(i, X, A, 300, STREAM) for i in range(20)])
            came, end = [], time.monotonic() + 5
            while len(came) < 20 and time.monotonic() < end:
                came += [number_of(f) for f in x.receive() if f[:6] == X]
            if came != [(STREAM, i) for i in range(20)]:
                wrong.append(f"an honest guest after it gets {came}")
    except (BackendError, OSError) as e:
        wrong.append(f"an honest guest after it: {type(e).__name__}: {e}")
    check(name, not wrong, "; ".join(wrong))
    return True


def main():
    global honest
    build = build_dir()
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    ports = "\n".join(f"- {{name: {n}, vhost-user: @/{n}}}" for n in "abcx")
    with Switch(build, ports) as sw:
        honest = Honest(sw)
        check("honest frames go", honest.traffic(500), honest.strange)
        descriptors = sw.descriptors()
        for name, *rest in rows:
            if only in name and not serve_row(sw, name, *rest):
                return result()
        check("leaves no descriptors behind", wait_for(lambda: sw.descriptors() <= descriptors),
              f"{descriptors} before the first row, {sw.descriptors()} after the last")
        port = sw.port("a")
        check("counts each honest frame", port["rx-packets"] >= honest.sent, f"{port}, {honest.sent} sent")
        check("drops none of them", not sw.drops("b").get("tx-full"), sw.drops("b"))
        check("ends when told to", sw.stop() == 0)
    return result()


honest = None
if __name__ == "__main__":
    sys.exit(main())
