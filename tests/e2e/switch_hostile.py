#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Front ends that mean harm, on the sockets of a running `viaduct switch`: any message, number or
descriptor, in any order, or none at all.

Each row is named after what it once did to others. After it the switch lives and has as many descriptors
and as much memory as before, frames between two honest guests have come through whole, the port says why
it dropped a connection, and serves an honest guest. The last row is random; its seed is printed.
Usage: switch_hostile.py BUILD_DIR [WORD]: only rows with WORD in their name
"""
import os
import random
import resource
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from switch import Switch, build_dir, check, result, wait_for  # noqa: E402
import vhost_user_frontend as vu  # noqa: E402
from vhost_user_frontend import BackendError, Frontend, Memory, number_of, numbered  # noqa: E402

A, B, X = (bytes.fromhex(f"0200000000{n}") for n in ("0a", "0b", "66"))
SEED = int(os.environ.get("SEED", "0")) or random.randrange(1, 1 << 30)
BIG = [1 << 31, 1 << 32, 1 << 47, 1 << 48, 1 << 63, (1 << 64) - 4096, (1 << 64) - 1]
rows = []


def row(name, says=None):
    """@says: words of the port's last error."""
    def add(f):
        rows.append((name, says, f))
        return f
    return add


class Raw(Frontend):
    """A connection to the port under attack. What the switch refuses raises BackendError."""

    def __init__(self, sw, ready=False, **kw):
        super().__init__(sw.path("x"), num=64, timeout=5, **kw)
        self.connect()
        if ready:
            self.negotiate()
            self.share_memory()
            self.share_inflight()

    def u64(self, request, value, fds=()):
        self.message(request, struct.pack("<Q", value & (1 << 64) - 1), fds)

    def state(self, request, index, number):
        self.message(request, struct.pack("<II", index & 0xffffffff, number & 0xffffffff))

    def gone(self):
        """Whether the switch hangs up, having read all."""
        try:
            self.sock.settimeout(5)
            while self.sock.recv(4096):
                pass
            return True
        except ConnectionResetError:
            return True
        except OSError:
            return False

    def lives(self):
        """Whether it still answers."""
        try:
            return self.ask(vu.GET_FEATURES) > 0
        except BackendError:
            return False


def refused(sw, attack, ready=True, **kw):
    """Whether @attack on a new connection makes the switch hang up."""
    with Raw(sw, ready, **kw) as x:
        try:
            attack(x)
        except BackendError:
            return True
        return x.gone()


def memfd(size=4096):
    fd = os.memfd_create("x", os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    return fd


@row("CVE-2019-14818: the same message a thousand times, few descriptors left")
def replay(sw, wrong):
    limits = resource.prlimit(sw.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(sw.pid, resource.RLIMIT_NOFILE, (sw.descriptors() + 24, limits[1]))
    try:
        with Raw(sw, True) as x:
            for i in range(1000):
                x.state(vu.SET_VRING_NUM, 0, 64)
                x.state(vu.SET_VRING_BASE, 0, 0)
                x.u64(vu.SET_VRING_KICK, 0, [x.kicks[0]])
                x.u64(vu.SET_VRING_CALL, 0, [x.calls[0]])
                x.u64(vu.SET_VRING_ERR, 0, [x.calls[0]])
                if not i % 10:
                    x.share_memory()
            if not x.lives():
                wrong.append("hung up on messages that are repeated")
    finally:
        resource.prlimit(sw.pid, resource.RLIMIT_NOFILE, limits)


@row("CVE-2019-14818: connections without end")
def connections(sw, wrong):
    for i in range(500):
        s = socket.socket(socket.AF_UNIX)
        s.connect(sw.path("x"))
        fd = memfd()
        try:
            socket.send_fds(s, [struct.pack("<III", i % 45, 1, 0)], [fd] * (i % 9))
        except OSError:
            pass
        os.close(fd)
        s.close()


@row("CVE-2020-10722: log of any size at any place")
def log(sw, wrong):
    fd = memfd(1 << 20)
    for number in BIG + [0, 8]:
        for request, payload in ((vu.SET_LOG_BASE, struct.pack("<QQ", number, (1 << 64) - number - 1)),
                                 (vu.SET_LOG_BASE, struct.pack("<Q", number)), (vu.SET_LOG_FD, b"")):
            with Raw(sw, True) as x:
                try:
                    x.tell(request, payload, [fd])
                    wrong.append(f"takes a log of {number:#x}")
                except BackendError:
                    pass
            if not refused(sw, lambda x: x.message(request, payload, [fd])):
                wrong.append("neither takes nor refuses a log")
    os.close(fd)
    if not refused(sw, lambda x: x.tell(vu.SET_FEATURES, struct.pack("<Q", x.features | 1 << 26))):
        wrong.append("agrees to log")


@row("CVE-2020-10723: ring numbers that are too large, or would fit once cut", says="SET_VRING")
def indexes(sw, wrong):
    for index in (32, 255, 256, 257, 0x10000, 0x80000000, 0xffffff00, 0xffffffff):
        for request in (vu.SET_VRING_NUM, vu.SET_VRING_BASE, vu.GET_VRING_BASE, vu.SET_VRING_ENABLE):
            if not refused(sw, lambda x: x.state(request, index, 1)):
                wrong.append(f"request {request} of ring {index}")
        if not refused(sw, lambda x: x.message(vu.SET_VRING_ADDR, struct.pack("<IIQQQQ", index, 0, 0, 0, 0, 0))):
            wrong.append(f"addresses of ring {index}")
        for request in (vu.SET_VRING_KICK, vu.SET_VRING_CALL, vu.SET_VRING_ERR):
            for high in (0, 1 << 32, 1 << 63):
                if index != 256 and not refused(sw, lambda x: x.u64(request, index | high, [x.kicks[0]])):
                    wrong.append(f"request {request} of ring {index | high:#x}")


@row("CVE-2020-10725: addresses of rings in no memory", says="lies in no shared memory")
def addresses(sw, wrong):
    for field in range(3):
        for bad in BIG + [0, 1, Memory.uva(0)]:
            def attack(x):
                place = [Memory.uva(g) for g in (x.rings[0].desc_gpa, x.rings[0].used_gpa, x.rings[0].avail_gpa)]
                place[field] = bad
                x.state(vu.SET_VRING_NUM, 0, 64)
                x.message(vu.SET_VRING_ADDR, struct.pack("<IIQQQQ", 0, 0, *place, 0))
                x.u64(vu.SET_VRING_KICK, 0, [x.kicks[0]])
            if not refused(sw, attack):
                wrong.append(f"field {field} at {bad:#x}")


@row("CVE-2020-10725: memory that is not where it is said to be", says="SET_MEM_TABLE")
def tables(sw, wrong):
    fd = memfd(1 << 20)
    for bad in BIG:
        for region in ((0, bad, 0, 0), (bad, 4096, 0, bad), (0, 4096, bad, bad), (0, 1 << 20, 0, bad)):
            def attack(x):
                x.message(vu.SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, *region), [fd])
            if region[3] == bad and not refused(sw, attack):
                wrong.append(str(region))
    os.close(fd)


@row("CVE-2020-10726: asking for inflight areas without end", says="without protocol feature")
def inflight_asked(sw, wrong):
    with Raw(sw, True, inflight=True) as x:
        for _ in range(1000):
            x.message(vu.GET_INFLIGHT_FD, struct.pack("<QQHH", 0, 0, 32, 32768))
            for fd in x.reply(vu.GET_INFLIGHT_FD)[1]:
                os.close(fd)
    if not refused(sw, lambda x: x.message(vu.GET_INFLIGHT_FD, struct.pack("<QQHH", 0, 0, 1, 64))):
        wrong.append("an area where none was agreed upon")


@row("CVE-2021-3839: an inflight area for more queues than there are", says="inflight area")
def inflight_lies(sw, wrong):
    fd = memfd(1 << 16)
    for size, offset, queues, depth in (
            (1 << 16, 0, 33, 64), (1 << 16, 0, 0xffff, 0xffff), (1 << 16, 0, 32, 32768), (0, 0, 1, 64),
            (1 << 16, 1 << 63, 1, 64), ((1 << 64) - 1, 0, 32, 32768), (1 << 16, 1 << 16, 1, 64),
            ((1 << 64) - 8, (1 << 64) - 8, 1, 64), (1 << 16, 0, 0, 64), (1 << 16, 0, 1, 0)):
        data = struct.pack("<QQHH", size, offset, queues, depth)
        if not refused(sw, lambda x: x.message(vu.SET_INFLIGHT_FD, data, [fd]), inflight=True):
            wrong.append(f"{size:#x} at {offset:#x} for {queues} of {depth}")
        if not 1 <= queues <= 32 or not depth or depth > 32768:
            if not refused(sw, lambda x: x.message(vu.GET_INFLIGHT_FD, data), inflight=True):
                wrong.append(f"asks for {queues} of {depth}")
    os.close(fd)


@row("CVE-2022-0669: every message with 0 to 8 stray descriptors")
def stray(sw, wrong):
    for request in range(46):
        for n in range(9):
            for size in {0, 8, {5: 8 + 32 * n, 9: 40, 31: 24, 32: 24, 37: 40, 38: 40}.get(request, 8)}:
                with Raw(sw, n & 1) as x:
                    fd = memfd()
                    try:
                        x.message(request, struct.pack("<II", n if request == 5 else 0, 0).ljust(size, b"\0")[:size],
                                  [fd] * n)
                    except BackendError:
                        pass
                    os.close(fd)


@row("CVE-2020-10724, CVE-2020-14374 to 14378: crypto sessions", says="message 2")
def crypto(sw, wrong):
    for request in (26, 27):
        for size in (0, 8, 264, 1000):
            if not refused(sw, lambda x: x.message(request, bytes(size))):
                wrong.append(f"message {request} of {size} bytes")


@row("sizes beyond any message", says="announces")
def sizes(sw, wrong):
    for size in (265, 4096, 1 << 16, 1 << 31, (1 << 32) - 1):
        if not refused(sw, lambda x: x.sock.sendall(struct.pack("<III", 2, 1, size) + bytes(200))):
            wrong.append(str(size))


@row("shared memory cut short under traffic", says="took memory back")
def cut(sw, wrong):
    for keep in (0, 4096):
        x = Frontend(sw.path("x"), num=64, timeout=5)
        x.start()
        x.send_frames([numbered(i, B, X, 1400, 66) for i in range(30)], publish=False)
        # Python's own mapping must not be touched again: only the switch is to find it gone.
        fd = os.dup(x.mem.fd)
        x.publish(1)
        os.ftruncate(fd, keep)
        try:
            os.eventfd_write(x.kicks[1], 1)
        except OSError:
            pass
        honest.traffic(20, count=40, to=X)
        if not wait_for(lambda: x.hung_up(0.01), 5):
            wrong.append(f"goes on with memory cut to {keep}")
        os.close(fd)
        x.disconnect()


@row("inflight area cut short", says="took memory back")
def cut_inflight(sw, wrong):
    fd = memfd(1 << 16)
    with Raw(sw, inflight=True) as x:
        x.negotiate()
        x.share_memory()
        x.tell(vu.SET_INFLIGHT_FD, struct.pack("<QQHH", 1 << 16, 0, 2, 64), [fd])
        os.ftruncate(fd, 0)
        try:
            for i in range(2):
                x.share_ring(i)
        except BackendError:
            pass
        if not x.gone():
            wrong.append("goes on without it")
    os.close(fd)


@row("a call descriptor that is full and blocks, a kick that is always there")
def blocking(sw, wrong):
    r, w = os.pipe()
    with Raw(sw, True, suppress=False) as x:
        for i in range(2):
            x.share_ring(i)
        x.tell(vu.SET_VRING_CALL, struct.pack("<Q", 1), [w])
        for i in range(2):
            x.enable(i)
        for fd in x.calls + [w]:
            os.set_blocking(fd, False)
            try:
                while os.write(fd, struct.pack("<Q", (1 << 64) - 2)):
                    pass
            except OSError:
                pass
            os.set_blocking(fd, True)
        x.fill()
        sent = sum(x.send_frames([numbered(i, B, X, 64, 66)]) for i in range(50))
        if not wait_for(lambda: not x.reap() or x.room() == 64, 5):
            wrong.append(f"{sent} frames are not taken")
        # Readable for ever: who waits on it must not spin on the control thread.
        x.tell(vu.SET_VRING_KICK, struct.pack("<Q", 1), [r])
        if not x.lives():
            wrong.append("does not live with a pipe")
    os.close(r)
    os.close(w)


@row("descriptors that no ring can be kicked by", says="neither an eventfd nor a pipe")
def kinds(sw, wrong):
    s = socket.socketpair()
    fds = [memfd(), os.open("/dev/zero", os.O_RDWR), os.open("/", os.O_RDONLY), s[0].fileno()]
    for fd in fds:
        for request in (vu.SET_VRING_KICK, vu.SET_VRING_CALL, vu.SET_VRING_ERR):
            if not refused(sw, lambda x: x.u64(request, 0, [fd])):
                wrong.append(f"descriptor {fd} in request {request}")
    for fd in fds[:3]:
        os.close(fd)


@row("messages that change what is in use")
def running(sw, wrong):
    with Raw(sw) as x:
        x.negotiate()
        x.share_memory()
        for i in range(2):
            x.share_ring(i)
            x.enable(i)
        for i in range(200):
            x.share_memory()
            x.tell(vu.SET_VRING_CALL, struct.pack("<Q", i & 1), [x.calls[i & 1]])
            x.tell(vu.SET_VRING_KICK, struct.pack("<Q", i & 1), [x.kicks[i & 1]])
            x.enable(i & 1, i & 2 > 0)
            x.state(vu.SET_VRING_NUM, i & 1, 64)
            x.message(vu.SET_VRING_ADDR, x.ring_addr(i & 1))
            if not i % 20:
                x.ring_base(i & 1)
                x.share_ring(i & 1)
        if not x.lives():
            wrong.append("hung up")


@row("a flood of messages", says=None)
def flood(sw, wrong):
    with Raw(sw, True) as x:
        x.sock.settimeout(0.2)
        end = time.monotonic() + 1
        data = struct.pack("<IIIQ", vu.SET_VRING_CALL, 1, 8, 0x100) * 50
        while time.monotonic() < end:
            try:
                x.sock.send(data)
            except OSError:
                break
        honest.traffic(200)


@row("a front end that never reads, and a second one meanwhile")
def deaf(sw, wrong):
    with Raw(sw) as x:
        x.sock.setblocking(False)
        try:
            while True:
                x.sock.send(struct.pack("<III", vu.GET_FEATURES, 1, 0) * 100)
        except OSError:
            pass
        honest.traffic(100)
        before = sw.port("x")["connections-refused"]
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(sw.path("x"))
            if s.recv(1):
                wrong.append("talks to two")
        if sw.port("x")["connections-refused"] != before + 1:
            wrong.append("does not count the second one")


@row("a front end that stops in the middle of a message", says="stopped in the middle")
def halfway(sw, wrong):
    with Raw(sw) as x:
        x.sock.sendall(struct.pack("<III", vu.SET_FEATURES, 1, 8))
        x.sock.settimeout(15)
        try:
            if x.sock.recv(1):
                wrong.append("answers half a message")
        except socket.timeout:
            wrong.append("waits for ever")


@row("messages that come byte by byte")
def trickle(sw, wrong):
    with Raw(sw) as x:
        send = x.sock.sendall
        x.message = lambda request, payload=b"", fds=(), flags=vu.VERSION: (
            socket.send_fds(x.sock, [struct.pack("<I", request)[:1]], list(fds)),
            [send(bytes([b])) for b in (struct.pack("<III", request, flags, len(payload)) + payload)[1:]])
        x.negotiate()
        x.share_memory()
        for i in range(2):
            x.share_ring(i)
        for i in range(2):
            x.enable(i)
        if not wait_for(lambda: sw.up("x"), 5):
            wrong.append("does not come up")


@row("features that are not offered", says="SET_FEATURES asks for")
def features(sw, wrong):
    for extra in (1 << 26, 1 << 33, 1 << 40, 1 << 63):
        if not refused(sw, lambda x: x.tell(vu.SET_FEATURES, struct.pack("<Q", x.features | extra))):
            wrong.append(f"{extra:#x}")


@row("anything at all, in any order")
def anything(sw, wrong):
    rnd = random.Random(SEED)
    edges = [0, 1, 2, 8, 64, 255, 256, 257, 4096, 0x7fffffff, 0xffffffff] + BIG
    sizes = {1: 0, 3: 0, 9: 40, 31: 24, 32: 24, 37: 40, 38: 40}

    def payload(request, x):
        if request == 5 and rnd.random() < .5:
            return x.mem.table()
        if request == 5:
            n = rnd.choice([0, 1, 2, 8, 9, 0xffffffff])
            return struct.pack("<II", n, 0) + b"".join(
                struct.pack("<QQQQ", *[rnd.choice(edges) for _ in range(4)]) for _ in range(min(n, 8)))
        if request == 9 and rnd.random() < .5:
            return x.ring_addr(rnd.randrange(2))
        size = sizes.get(request, 8)
        if size == 8 and rnd.random() < .8:
            return struct.pack("<II", rnd.choice([0, 1, 0, 1, 255, 256]), rnd.choice([0, 1, 64, 64, 32768, 65536]))
        return b"".join(struct.pack("<Q", rnd.choice(edges)) for _ in range((size + 7) // 8))[:size]

    for _ in range(300):
        with Raw(sw) as x:
            x.sock.settimeout(.02)
            try:
                if rnd.random() < .5:
                    x.negotiate()
                for _ in range(rnd.randrange(1, 40)):
                    request = rnd.choice([2, 5, 5, 8, 9, 9, 10, 11, 12, 12, 13, 16, 18] + list(range(45)))
                    fds = [rnd.choice([x.mem.fd, x.kicks[0], x.calls[0], 0]) for _ in range(rnd.choice([0, 0, 1, 1, 2, 8]))]
                    x.message(request, payload(request, x), fds, 1 | rnd.choice([0, 8, 0, 0xf0]))
                    if rnd.random() < .3:
                        x.sock.recv(4096)
            except (BackendError, OSError, struct.error):
                pass


class Honest:
    """Two guests whose frames to each other must come through, whatever happens beside them."""

    def __init__(self, sw):
        self.a, self.b = Frontend(sw.path("a"), timeout=10), Frontend(sw.path("b"), timeout=10)
        for fe, mac, to in (self.a, A, B), (self.b, B, A):
            fe.start()
        self.next = self.descriptors = 0

    def traffic(self, want, count=None, to=None):
        """Frames from a to b, all of them and in order; with @to, frames to somebody else."""
        if to:
            self.a.send_frames([numbered(i, to, A, 200, 2) for i in range(count)])
            time.sleep(.05)
            self.a.reap()
            return True
        got, first = [], self.next
        self.next += want
        sent, end = 0, time.monotonic() + 10
        while len(got) < want and time.monotonic() < end:
            self.a.reap()
            # No more on their way than b has buffers for.
            sent += self.a.send_frames([numbered(first + i, B, A, 200, 1) for i in range(sent, min(want, len(got) + 100))])
            got += [number_of(f)[1] for f in self.b.receive() if f[:6] == B and f[6:12] == A]
        return got == list(range(first, first + want))


def run(sw, name, says, attack):
    wrong = []
    memory = sw.resident()
    try:
        attack(sw, wrong)
    except (BackendError, OSError) as e:
        wrong.append(f"{type(e).__name__}: {e}")
    if not sw.alive():
        return check(name, False, f"the switch ended with {sw.process.returncode}: {sw.said()[-500:]}")
    if not honest.traffic(100):
        wrong.append("honest frames are lost")
    if says and says not in sw.port("x").get("last-error", ""):
        wrong.append(f"the port says '{sw.port('x').get('last-error')}'")
    if not wait_for(lambda: sw.descriptors() <= honest.descriptors, 20):
        wrong.append(f"{honest.descriptors} descriptors before, {sw.descriptors()} after")
    if sw.resident() > memory + 1024:
        wrong.append(f"{memory} KiB before, {sw.resident()} after")
    try:
        with Frontend(sw.path("x"), num=64, timeout=10) as x:
            x.start()
            x.send_frames([numbered(i, B, X, 100, 66) for i in range(20)])
            got, end = [], time.monotonic() + 5
            while len(got) < 20 and time.monotonic() < end:
                got += [number_of(f)[1] for f in honest.b.receive() if f[6:12] == X]
            if got != list(range(20)):
                wrong.append(f"an honest guest after it is not served: {got}")
    except (BackendError, OSError) as e:
        wrong.append(f"an honest guest after it: {e}")
    check(name, not wrong, "; ".join(wrong[:10]))
    return True


def main():
    global honest
    build = build_dir()
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    print("seed", SEED)
    with Switch(build, "\n".join(f"- {{name: {n}, vhost-user: @/{n}}}" for n in "abx")) as sw:
        honest = Honest(sw)
        check("honest frames go", honest.traffic(500))
        # Once, at rest: a session that ends closes many, and a worker changes its epoll instance for another.
        honest.descriptors = sw.descriptors()
        for name, says, attack in rows:
            if only in name and not run(sw, name, says, attack):
                return result()
        with Raw(sw, True) as x:
            x.message(vu.SEND_RARP, X + b"\0\0")
            check("learns who is announced", wait_for(lambda: any(
                e["mac"] == X.hex(":") and e["port"] == "x" for e in sw.ask("fdb.show"))), sw.ask("fdb.show"))
            check("and lets the others know", wait_for(lambda: any(
                f[:6] == b"\xff" * 6 and f[6:14] == X + b"\x80\x35" for f in honest.b.receive())))
        check("counts connections it had to end", only or sw.port("x")["peer-errors"] > 100, sw.port("x"))
        check("ends when told to", sw.stop() == 0)
    return result()


honest = None
if __name__ == "__main__":
    sys.exit(main())
