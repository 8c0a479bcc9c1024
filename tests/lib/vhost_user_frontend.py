# SPDX-License-Identifier: GPL-2.0-or-later
"""A vhost-user front end and the driver of a virtio network card, in one plain Python object, so that a
test owns every byte a back end sees: messages, memory table, descriptors, headers, frames.

    fe = Frontend("/tmp/a.sock")            # or server=True, packed=True, num=256, pairs=2, ...
    fe.start()                              # connect or accept, negotiate, hand the rings over
    fe.send_frames([frame, ...])            # returns how many the ring had room for
    frames = fe.receive()                   # what has arrived
    fe.close()

After the back end has died, `fe.start()` again hands the same rings over where their used part ends,
which is all that a front end can know without an inflight region (see `inflight`).

Guest memory is one memfd: regions, and around each of them guard bytes that `mem.guards_intact()`
compares. What a back end may do is done with methods; what it must survive is done by hand on
`ring.desc()`, `ring.avail_idx()`, `fe.message()` and `mem.write()`.

"Vhost-user Protocol", QEMU docs/interop/vhost-user.rst; rings: Virtio 1.2 §2.7 and §2.8.
"""
import collections
import mmap
import os
import select
import socket
import struct
import threading
import time

# Feature bits
CSUM, GUEST_CSUM, MTU, MAC = 0, 1, 3, 5
GUEST_TSO4, GUEST_TSO6, GUEST_ECN, GUEST_UFO, HOST_TSO4, HOST_TSO6, HOST_ECN, HOST_UFO = range(7, 15)
MRG_RXBUF, STATUS, CTRL_VQ, GUEST_ANNOUNCE, MQ = 15, 16, 17, 21, 22
INDIRECT_DESC, EVENT_IDX, PROTOCOL_FEATURES, VERSION_1, RING_PACKED, IN_ORDER = 28, 29, 30, 32, 34, 35

# Protocol feature bits
P_MQ, P_LOG_SHMFD, P_RARP, P_REPLY_ACK, P_MTU, P_INFLIGHT, P_STATUS = 0, 1, 2, 3, 4, 12, 16

# Requests
GET_FEATURES, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE, SET_LOG_BASE, SET_LOG_FD = range(1, 8)
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE = range(8, 12)
SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR = range(12, 15)
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE = range(15, 19)
SEND_RARP, NET_SET_MTU, GET_INFLIGHT_FD, SET_INFLIGHT_FD, SET_STATUS = 19, 20, 31, 32, 39

F_NEXT, F_WRITE, F_INDIRECT, F_AVAIL, F_USED = 1, 2, 4, 1 << 7, 1 << 15
HDR = 12  # struct virtio_net_hdr_v1
VERSION, REPLY, NEED_REPLY = 1, 4, 8
PAGE = 4096
GUARD = 16 * PAGE
GUARD_BYTE = 0xA5


def bits(*numbers):
    return sum(1 << n for n in numbers)


class BackendError(Exception):
    """The back end said no, hung up or did not answer."""


_lock = threading.Lock()


def barrier():
    """A store before it is seen before a load behind it is done: taking a lock is a locked operation."""
    with _lock:
        pass


class Memory:
    """Guest memory. @sizes: of the regions. @adjacent: one region's guest addresses go on where the last
    one's end (in the memfd there is always a guard between them)."""

    def __init__(self, sizes=(4 << 20,), gpa=0x100000, adjacent=False):
        self.regions = []  # (gpa, size, offset in the memfd)
        self.guards = []
        at = 0
        for size in sizes:
            self.guards.append(at)
            at += GUARD
            self.regions.append((gpa, size, at))
            at += size
            gpa += size if adjacent else size + (1 << 30)
        self.guards.append(at)
        self.size = at + GUARD
        self.fd = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, self.size)
        self.map = mmap.mmap(self.fd, self.size)
        # Accesses through these are single loads and stores of that size.
        self.u16 = memoryview(self.map).cast("H")
        self.u32 = memoryview(self.map).cast("I")
        self.u64 = memoryview(self.map).cast("Q")
        self._pattern = bytes([GUARD_BYTE]) * GUARD
        for g in self.guards:
            self.map[g:g + GUARD] = self._pattern
        self._next = self.regions[0][0]

    def close(self):
        for view in self.u16, self.u32, self.u64:
            view.release()
        self.map.close()
        os.close(self.fd)

    def alloc(self, size, align=64):
        """Guest address of so many bytes of the first region."""
        gpa = -(-self._next // align) * align
        self._next = gpa + size
        first = self.regions[0]
        if self._next > first[0] + first[1]:
            raise MemoryError("the first region is full")
        return gpa

    def offset(self, gpa):
        for start, size, off in self.regions:
            if start <= gpa < start + size:
                return off + gpa - start
        raise ValueError(f"{gpa:#x} is not guest memory")

    def write(self, gpa, data):
        off = self.offset(gpa)
        self.map[off:off + len(data)] = data

    def read(self, gpa, size):
        off = self.offset(gpa)
        return self.map[off:off + size]

    def guards_intact(self):
        return all(self.map[g:g + GUARD] == self._pattern for g in self.guards)

    @staticmethod
    def uva(gpa):
        """What the front end says its own address of @gpa is: no number a back end could use as it is."""
        return gpa + 0x7F0000000000

    def table(self):
        return struct.pack("<II", len(self.regions), 0) + b"".join(
            struct.pack("<QQQQ", gpa, size, self.uva(gpa), off) for gpa, size, off in self.regions)


class SplitRing:
    """Virtio 1.2 §2.7. Chains of descriptors are lists of (gpa, len, writable by the device)."""

    packed = False

    def __init__(self, mem, num, event_idx=False):
        self.mem, self.num, self.event_idx = mem, num, event_idx
        self.desc_gpa = mem.alloc(16 * num, 16)
        self.avail_gpa = mem.alloc(6 + 2 * num, 2)
        self.used_gpa = mem.alloc(6 + 8 * num, 4)
        self._desc = mem.offset(self.desc_gpa)
        self._avail = mem.offset(self.avail_gpa) // 2
        self._used = mem.offset(self.used_gpa)
        self.reset()

    def reset(self):
        self.mem.write(self.desc_gpa, bytes(16 * self.num))
        self.mem.write(self.avail_gpa, bytes(6 + 2 * self.num))
        self.mem.write(self.used_gpa, bytes(6 + 8 * self.num))
        self.free = list(range(self.num))
        self.chains = {}  # head: its descriptors
        self.next_avail = self.next_used = self._told = 0

    # By hand
    def desc(self, i, addr, length, flags=0, follower=0):
        struct.pack_into("=QIHH", self.mem.map, self._desc + 16 * i, addr, length, flags, follower)

    def avail_set(self, slot, head):
        self.mem.u16[self._avail + 2 + slot % self.num] = head

    def avail_idx(self, value):
        barrier()
        self.mem.u16[self._avail + 1] = value & 0xFFFF

    def used_idx(self):
        return self.mem.u16[self._used // 2 + 1]

    # As it should be
    def post(self, chain):
        """Put a chain into the ring, to be seen with the next publish(). Returns its id, None if full."""
        if len(chain) > len(self.free):
            return None
        ids = [self.free.pop() for _ in chain]
        for n, (gpa, length, write) in enumerate(chain):
            last = n == len(chain) - 1
            self.desc(ids[n], gpa, length, (F_WRITE if write else 0) | (0 if last else F_NEXT),
                      0 if last else ids[n + 1])
        self.chains[ids[0]] = ids
        self.mem.u16[self._avail + 2 + self.next_avail % self.num] = ids[0]
        self.next_avail = self.next_avail + 1 & 0xFFFF
        return ids[0]

    def publish(self):
        """Returns whether the device wants to be told."""
        self.mem.u16[self._avail + 1] = self.next_avail
        barrier()
        old, self._told = self._told, self.next_avail
        if self.event_idx:
            event = self.mem.u16[(self._used + 4 + 8 * self.num) // 2]
            return (self.next_avail - event - 1 & 0xFFFF) < (self.next_avail - old & 0xFFFF)
        return not self.mem.u16[self._used // 2] & 1

    def completed(self):
        """(id, bytes written) of what the device has used since the last call."""
        done = []
        end = self.used_idx()
        while self.next_used != end:
            at = (self._used + 4 + 8 * (self.next_used % self.num)) // 4
            head, length = self.mem.u32[at], self.mem.u32[at + 1]
            if head not in self.chains:
                raise BackendError(f"the back end used descriptor {head}, which is not its own")
            self.free += self.chains.pop(head)
            self.next_used = self.next_used + 1 & 0xFFFF
            done.append((head, length))
        return done

    def interrupts(self, on):
        """What it says to the device about interrupts; with EVENT_IDX: after the next use."""
        self.mem.u16[self._avail] = 0 if on else 1
        if self.event_idx:
            self.mem.u16[self._avail + 2 + self.num] = self.next_used if on else self.next_used - 1 & 0xFFFF
        barrier()

    def base(self):
        """Where a device that knows nothing starts: behind what is used."""
        return self.used_idx()


class PackedRing:
    """Virtio 1.2 §2.8."""

    packed = True

    def __init__(self, mem, num, event_idx=False):
        self.mem, self.num, self.event_idx = mem, num, event_idx
        self.desc_gpa = mem.alloc(16 * num, 16)
        self.avail_gpa = mem.alloc(4, 4)  # the driver's event suppression
        self.used_gpa = mem.alloc(4, 4)  # the device's
        self._desc = mem.offset(self.desc_gpa)
        self._driver, self._device = mem.offset(self.avail_gpa) // 2, mem.offset(self.used_gpa) // 2
        self.reset()

    def reset(self):
        self.mem.write(self.desc_gpa, bytes(16 * self.num))
        self.mem.write(self.avail_gpa, bytes(4))
        self.mem.write(self.used_gpa, bytes(4))
        self.free = list(range(self.num))
        self.chains = {}  # id: number of descriptors
        self.room = self.num
        self.next_avail = self.next_used = 0
        self.avail_wrap = self.used_wrap = 1
        self._pending = []  # flags that publish() writes, the first descriptor's last

    # By hand
    def desc(self, i, addr, length, flags=0, ident=0):
        off = self._desc + 16 * i
        struct.pack_into("=QIH", self.mem.map, off, addr, length, ident)
        barrier()
        self.mem.u16[off // 2 + 7] = flags

    def flags_avail(self, wrap=None):
        return F_AVAIL if (self.avail_wrap if wrap is None else wrap) else F_USED

    # As it should be
    def post(self, chain):
        if len(chain) > self.room or not self.free:
            return None
        ident = self.free.pop()
        self.chains[ident] = len(chain)
        self.room -= len(chain)
        for n, (gpa, length, write) in enumerate(chain):
            flags = (F_WRITE if write else 0) | (0 if n == len(chain) - 1 else F_NEXT) | self.flags_avail()
            off = self._desc + 16 * self.next_avail
            struct.pack_into("=QIH", self.mem.map, off, gpa, length, ident)
            self._pending.append((off // 2 + 7, flags))
            self.next_avail += 1
            if self.next_avail == self.num:
                self.next_avail, self.avail_wrap = 0, self.avail_wrap ^ 1
        return ident

    def publish(self):
        new, self._pending = self._pending, []
        for at, flags in reversed(new):
            self.mem.u16[at] = flags
        barrier()
        event, flags = self.mem.u16[self._device], self.mem.u16[self._device + 1]
        if flags != 2:
            return flags == 0
        place = (event & 0x7FFF) - (0 if event >> 15 == self.avail_wrap else self.num)
        return self.next_avail - len(new) <= place < self.next_avail

    def _step(self, at, wrap, known):
        """What is used at descriptor @at: (id, length, next at, its wrap), or None."""
        off = self._desc + 16 * at
        flags = self.mem.u16[off // 2 + 7]
        if bool(flags & F_AVAIL) != bool(wrap) or bool(flags & F_USED) != bool(wrap):
            return None
        _, length, ident = struct.unpack_from("=QIH", self.mem.map, off)
        if ident not in known:
            raise BackendError(f"the back end used buffer {ident}, which is not its own")
        at += known[ident]
        return ident, length, at % self.num, wrap ^ at // self.num

    def completed(self):
        done = []
        while self.chains:
            step = self._step(self.next_used, self.used_wrap, self.chains)
            if not step:
                break
            ident, length, self.next_used, self.used_wrap = step
            self.free.append(ident)
            self.room += self.chains.pop(ident)
            done.append((ident, length))
        return done

    def interrupts(self, on):
        self.mem.u16[self._driver + 1] = 0 if on else 1
        barrier()

    def used_idx(self):
        """Behind what is used, whether completed() has told of it or not; the wrap counter is the top bit."""
        at, wrap, left = self.next_used, self.used_wrap, dict(self.chains)
        while left:
            step = self._step(at, wrap, left)
            if not step:
                break
            del left[step[0]]
            _, _, at, wrap = step
        return at | wrap << 15

    def base(self):
        """The device's place in what is available and in what is used: where a new one starts."""
        return self.used_idx() | self.used_idx() << 16


class Frontend:
    """One port: @pairs pairs of rings of @num entries, ring 2n receives.

    @server: listen on @path and accept, else connect. @features: bits to take of what is offered, besides
    those that the other arguments ask for. @inflight: take the back end's inflight region, if it has one,
    and hand it on to its successor. @quarantine: buffers that were given back rest for as long as the ring
    has entries, and `trespassed` counts those that were written to meanwhile: they are the guest's, whose
    kernel has long put something else there. @suppress: tell the back end of new buffers only when it asks for it,
    as a driver does; else always. @slot: bytes of a buffer, header included."""

    def __init__(self, path, server=False, num=256, pairs=1, packed=False, mrg=True, features=0,
                 mem=None, inflight=False, event_idx=False, suppress=True, slot=2048, timeout=10, rx=True, quarantine=False):
        self.path, self.server, self.num, self.pairs, self.slot = path, server, num, pairs, slot
        slots = 2 * num if quarantine else num
        self.mem = mem or Memory((max(4 << 20, 2 * pairs * (slots * slot + num * 64) + (1 << 20)),))
        self.suppress, self.timeout, self.inflight, self.rx = suppress, timeout, inflight, rx
        self.want = features | bits(VERSION_1, PROTOCOL_FEATURES)
        for feature, on in (MRG_RXBUF, mrg), (RING_PACKED, packed), (EVENT_IDX, event_idx), (MQ, pairs > 1):
            self.want |= on << feature
        self.offered = self.features = self.protocol = 0
        self.sock = self.listener = None
        self.inflight_fd, self.inflight_place = -1, None
        make = PackedRing if packed else SplitRing
        self.rings = [make(self.mem, num, event_idx) for _ in range(2 * pairs)]
        self.kicks = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in self.rings]
        self.calls = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in self.rings]
        # Buffers: one per descriptor or two, found by the chain's id.
        self.buffers = [self.mem.alloc(slots * slot, PAGE) for _ in self.rings]
        self._spare = [collections.deque(range(slots)) for _ in self.rings]
        self._resting = bytes([GUARD_BYTE]) * slot if quarantine else None
        self.trespassed = 0
        if quarantine:
            for gpa in self.buffers:
                self.mem.write(gpa, self._resting * slots)
        self._held = [{} for _ in self.rings]  # chain id: buffer
        self._parts = [[] for _ in self.rings]
        self.sent_kicks = 0
        if server:
            self.listen()

    # --- messages
    def listen(self):
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)

    def connect(self, timeout=None):
        """Meet a back end; the old connection, if any, is forgotten."""
        self.disconnect()
        end = time.monotonic() + (timeout or self.timeout)
        if self.server:
            self.listener.settimeout(timeout or self.timeout)
            try:
                self.sock = self.listener.accept()[0]
            except socket.timeout:
                raise BackendError("no back end has connected") from None
        else:
            while True:
                s = socket.socket(socket.AF_UNIX)
                try:
                    s.connect(self.path)
                    self.sock = s
                    break
                except OSError as e:
                    s.close()
                    if time.monotonic() > end:
                        raise BackendError(f"connect to {self.path}: {e}") from None
                    time.sleep(0.002)
        self.sock.settimeout(self.timeout)

    def disconnect(self):
        if self.sock:
            self.sock.close()
            self.sock = None

    def message(self, request, payload=b"", fds=(), flags=VERSION):
        """Send one message, whatever it is."""
        data = struct.pack("<III", request, flags, len(payload)) + payload
        try:
            socket.send_fds(self.sock, [data], list(fds)) if fds else self.sock.sendall(data)
        except OSError as e:
            raise BackendError(f"request {request}: {e}") from None

    def reply(self, request):
        """(payload, descriptors) of the answer to @request."""
        try:
            data, fds, _, _ = socket.recv_fds(self.sock, 12, 8)
            while 0 < len(data) < 12:
                data += self.sock.recv(12 - len(data))
            if len(data) < 12:
                raise BackendError(f"request {request}: the back end hung up")
            got, flags, size = struct.unpack("<III", data)
            payload = b""
            while len(payload) < size:
                more = self.sock.recv(size - len(payload))
                if not more:
                    raise BackendError(f"request {request}: the back end hung up")
                payload += more
        except OSError as e:
            raise BackendError(f"request {request}: {e or 'no answer'}") from None
        if got != request or not flags & REPLY:
            raise BackendError(f"request {request} was answered by {got}, flags {flags:#x}")
        return payload, fds

    def ask(self, request, payload=b""):
        self.message(request, payload)
        return struct.unpack("<Q", self.reply(request)[0][:8])[0]

    def tell(self, request, payload=b"", fds=()):
        """A message without an answer of its own; with REPLY_ACK wait for its result."""
        if self.protocol >> P_REPLY_ACK & 1:
            self.message(request, payload, fds, VERSION | NEED_REPLY)
            result = struct.unpack("<Q", self.reply(request)[0])[0]
            if result:
                raise BackendError(f"request {request}: the back end answers {result}")
        else:
            self.message(request, payload, fds)

    def negotiate(self):
        self.offered = self.ask(GET_FEATURES)
        self.features = self.offered & self.want
        if self.want >> RING_PACKED & 1 and not self.features >> RING_PACKED & 1:
            raise BackendError("the back end has no packed ring")
        self.protocol = 0
        if self.features >> PROTOCOL_FEATURES & 1:
            mine = bits(P_MQ, P_REPLY_ACK, P_MTU) | self.inflight << P_INFLIGHT
            self.protocol_offered = self.ask(GET_PROTOCOL_FEATURES)
            mine &= self.protocol_offered
            self.message(SET_PROTOCOL_FEATURES, struct.pack("<Q", mine))
            self.protocol = mine
            self.queue_num = self.ask(GET_QUEUE_NUM) if mine >> P_MQ & 1 else 1
            if self.queue_num < self.pairs:
                raise BackendError(f"the back end has {self.queue_num} queue pairs")
        self.tell(SET_OWNER)
        self.tell(SET_FEATURES, struct.pack("<Q", self.features))

    def share_memory(self):
        self.tell(SET_MEM_TABLE, self.mem.table(), [self.mem.fd] * len(self.mem.regions))

    def share_inflight(self):
        if not self.protocol >> P_INFLIGHT & 1:
            return
        if self.inflight_fd < 0:
            self.message(GET_INFLIGHT_FD, struct.pack("<QQHH", 0, 0, len(self.rings), self.num))
            payload, fds = self.reply(GET_INFLIGHT_FD)
            self.inflight_place = struct.unpack("<QQHH", payload[:20])
            self.inflight_fd = fds[0]
        self.tell(SET_INFLIGHT_FD, struct.pack("<QQHH", *self.inflight_place), [self.inflight_fd])

    def ring_addr(self, i):
        r = self.rings[i]
        return struct.pack("<IIQQQQ", i, 0, Memory.uva(r.desc_gpa), Memory.uva(r.used_gpa),
                           Memory.uva(r.avail_gpa), 0)

    def share_ring(self, i, base=None):
        r = self.rings[i]
        self.tell(SET_VRING_NUM, struct.pack("<II", i, r.num))
        self.tell(SET_VRING_BASE, struct.pack("<II", i, r.base() if base is None else base))
        self.tell(SET_VRING_ADDR, self.ring_addr(i))
        self.tell(SET_VRING_CALL, struct.pack("<Q", i), [self.calls[i]])
        self.tell(SET_VRING_KICK, struct.pack("<Q", i), [self.kicks[i]])

    def enable(self, i, on=True):
        if self.protocol or self.features >> PROTOCOL_FEATURES & 1:
            self.tell(SET_VRING_ENABLE, struct.pack("<II", i, on))

    def start(self, timeout=None):
        """Meet a back end, the first or its successor, and give it all it needs."""
        self.connect(timeout)
        self.negotiate()
        self.share_memory()
        self.share_inflight()
        for i in range(len(self.rings)):
            self.share_ring(i)
        for i in range(len(self.rings)):
            self.enable(i)
        if self.rx:
            for pair in range(self.pairs):
                self.fill(pair)
        # What was available before is so still: a new back end must look.
        for i in range(len(self.rings)):
            self.kick(i)

    def stop(self):
        """Take the rings back one by one, in peace. Returns where the back end was in each."""
        return [self.ring_base(i) for i in range(len(self.rings))]

    def ring_base(self, i):
        self.message(GET_VRING_BASE, struct.pack("<II", i, 0))
        return struct.unpack("<II", self.reply(GET_VRING_BASE)[0])[1]

    def hung_up(self, timeout=0):
        """Whether the back end has closed the connection."""
        if not self.sock or not select.select([self.sock], [], [], timeout)[0]:
            return False
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def close(self):
        self.disconnect()
        if self.listener:
            self.listener.close()
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                pass
        for fd in self.kicks + self.calls + ([self.inflight_fd] if self.inflight_fd >= 0 else []):
            os.close(fd)
        self.mem.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- frames
    def kick(self, i):
        self.sent_kicks += 1
        os.eventfd_write(self.kicks[i], 1)

    def publish(self, i):
        if self.rings[i].publish() or not self.suppress:
            self.kick(i)

    def _buffer_back(self, i, at):
        """It is ours again."""
        self._spare[i].append(at)
        if self._resting:
            self.mem.write(self.buffers[i] + at * self.slot, self._resting)

    def _buffer_take(self, i):
        """That which has been ours for the longest time."""
        at = self._spare[i].popleft()
        if self._resting:
            self.trespassed += self.mem.read(self.buffers[i] + at * self.slot, self.slot) != self._resting
        return at

    def room(self, pair=0):
        self.reap(pair)
        return len(self._spare[2 * pair + 1])

    def send_frames(self, frames, pair=0, header=bytes(HDR), publish=True):
        """How many frames have been put into the ring; the rest found it full. @header: of each of them.
        Not published, they wait for publish()."""
        i = 2 * pair + 1
        ring, spare, held = self.rings[i], self._spare[i], self._held[i]
        buffers, slot, mem = self.buffers[i], self.slot, self.mem
        self.reap(pair)
        n = 0
        for frame in frames:
            if not spare:
                break
            at = self._buffer_take(i)
            gpa = buffers + at * slot
            mem.write(gpa, header + frame)
            ident = ring.post([(gpa, HDR + len(frame), False)])
            if ident is None:
                self._buffer_back(i, at)
                break
            held[ident] = at
            n += 1
        if n and publish:
            self.publish(i)
        return n

    def reap(self, pair=0):
        """How many frames the back end has taken since the last call."""
        i = 2 * pair + 1
        done = self.rings[i].completed()
        for ident, _ in done:
            self._buffer_back(i, self._held[i].pop(ident))
        return len(done)

    def fill(self, pair=0):
        """Give the back end all free buffers to receive into."""
        i = 2 * pair
        ring, spare, held = self.rings[i], self._spare[i], self._held[i]
        buffers, slot = self.buffers[i], self.slot
        n = 0
        while spare:
            ident = ring.post([(buffers + spare[0] * slot, slot, True)])
            if ident is None:
                break
            held[ident] = self._buffer_take(i)
            n += 1
        if n:
            self.publish(i)

    def receive(self, pair=0, refill=True, headers=False):
        """Frames that have arrived, whole; with @headers (header, frame) of each."""
        i = 2 * pair
        frames = []
        done = self.rings[i].completed()
        parts = self._parts[i]
        for ident, length in done:
            at = self._held[i].pop(ident)
            if length > self.slot:
                raise BackendError(f"{length} bytes used of a buffer of {self.slot}")
            parts.append(self.mem.read(self.buffers[i] + at * self.slot, length))
            self._buffer_back(i, at)
            head = parts[0]
            if len(head) < HDR:
                raise BackendError(f"{len(head)} bytes are no header")
            need = struct.unpack_from("<H", head, 10)[0]
            if self.features >> MRG_RXBUF & 1 and len(parts) < need:
                continue
            frame = head[HDR:] + b"".join(parts[1:])
            frames.append((head[:HDR], frame) if headers else frame)
            parts.clear()
        if refill and done:
            self.fill(pair)
        return frames

    def wait(self, timeout, pair=0):
        """Sleep until something arrives, as a driver does: ask for the interrupt, look again, sleep."""
        i = 2 * pair
        ring = self.rings[i]
        end = time.monotonic() + timeout
        frames = self.receive(pair)
        while not frames and time.monotonic() < end:
            ring.interrupts(True)
            frames = self.receive(pair)
            if not frames and select.select([self.calls[i]], [], [], max(0, end - time.monotonic()))[0]:
                os.eventfd_read(self.calls[i])
                frames = self.receive(pair)
        return frames


def numbered(number, dst, src, size=64, stream=0):
    """A frame with a number in it and a content that follows from the number; see number_of()."""
    head = dst + src + b"\x88\xb5" + struct.pack("<IQ", stream, number)
    body = (number * 0x9E3779B97F4A7C15 + stream & (1 << 64) - 1).to_bytes(8, "little")
    return head + (body * (size // 8 + 1))[:size - len(head)]


def number_of(frame):
    """(stream, number) of a frame of numbered(); None if it is another one or not whole."""
    if len(frame) < 26 or frame[12:14] != b"\x88\xb5":
        return None
    stream, number = struct.unpack_from("<IQ", frame, 14)
    return (stream, number) if frame == numbered(number, frame[:6], frame[6:12], len(frame), stream) else None
