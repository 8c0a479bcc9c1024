# SPDX-License-Identifier: GPL-2.0-or-later
"""A vhost-user front end that means harm: any message, any numbers, any descriptors, in any order.
Usage: switch_hostile.py SOCKET SEED CONNECTIONS"""
import array, os, random, socket, struct, sys
path, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print("seed", seed)
rnd = random.Random(seed)
EDGES = [0, 1, 2, 8, 255, 256, 257, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 63, (1 << 64) - 1, 0x1000, 0xfffffffffffff000]
SIZES = {5: 8 + 8 * 32, 2: 8, 1: 0, 3: 0, 8: 8, 9: 40, 10: 8, 11: 8, 12: 8, 13: 8, 16: 8, 18: 8, 20: 8, 31: 24, 32: 24}

def word():
    return rnd.choice(EDGES) if rnd.random() < .8 else rnd.getrandbits(64)

def payload(req):
    if req == 5:  # SET_MEM_TABLE
        n = rnd.choice([0, 1, 2, 8, 9, 0xffffffff])
        return struct.pack("<II", n, 0) + b"".join(
            struct.pack("<QQQQ", *[word() for _ in range(4)]) for _ in range(min(n, 8)))
    size = SIZES.get(req, rnd.choice([0, 4, 8, 16, 40, 200]))
    if size == 8 and rnd.random() < .7:  # index and number
        return struct.pack("<II", rnd.choice([0, 1, 2, 255, 256, 0xffffffff]), rnd.choice([0, 1, 256, 32768, 65536]))
    return b"".join(struct.pack("<Q", word() & (1 << 64) - 1) for _ in range((size + 7) // 8))[:size]

for i in range(count):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(.02)
    try:
        s.connect(path)
        for _ in range(rnd.randrange(1, 30)):
            req = rnd.choice(list(SIZES) + list(range(45)))
            data = payload(req)
            size = len(data) if rnd.random() < .9 else rnd.choice([0, 1, 0xffffffff, len(data) + 1])
            msg = struct.pack("<III", req, 1 | rnd.choice([0, 8, 0, 0xf0]), size) + data
            fds = [os.memfd_create("x") if rnd.random() < .7 else os.eventfd(0) for _ in range(rnd.choice([0, 0, 1, 1, 2, 8]))]
            for fd in fds:
                try:
                    os.ftruncate(fd, rnd.choice([0, 4096, 1 << 20]))
                except OSError:
                    pass
            socket.send_fds(s, [msg], fds) if fds else s.sendall(msg)
            for fd in fds:
                os.close(fd)
            if rnd.random() < .3:
                try:
                    s.recv(4096)
                except OSError:
                    pass
    except OSError:
        pass
    s.close()
