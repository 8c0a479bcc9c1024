#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames that a guest leaves unfinished, to ports that take them so and to ports that do not: checksums
completed, TCP segments cut, in floods, with tags, through a mirror and a file; and headers that lie.
Usage: switch_offloads.py BUILD_DIR"""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from switch import Switch, build_dir, check, result, wait_for
import vhost_user_frontend as vu
from vhost_user_frontend import Frontend

OFFLOADS = vu.bits(vu.CSUM, vu.GUEST_CSUM, vu.HOST_TSO4, vu.HOST_TSO6, vu.HOST_ECN, vu.GUEST_TSO4, vu.GUEST_TSO6,
                   vu.GUEST_ECN)
PORTS = """\
- {name: a, vhost-user: @/a}
- {name: b, vhost-user: @/b}
- {name: c, vhost-user: @/c, offloads: []}
- {name: d, vhost-user: @/d, vlan: {trunk: ["1"]}, offloads: []}
- {name: small, vhost-user: @/small, mtu: 576, offloads: []}
- {name: watch, vhost-user: @/watch, offloads: [], no-flood: [unknown, broadcast, multicast]}
- {name: file, pcap: {tx: @/out.pcap}}
mirrors:
- {name: m, from: [a], to: watch, direction: in}"""
NAMES = "a", "b", "c", "d", "small", "watch"
MAC = {name: bytes([2, 0, 0, 0, 0, 10 + i]) for i, name in enumerate(NAMES)}
NEEDS_CSUM, TCP4, TCP6, ECN = 1, 1, 4, 0x80


def checksum(data):
    data += b"\0" * (len(data) & 1)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(ip, v6, length, proto):
    return (ip[8:40] if v6 else ip[12:20]) + struct.pack("!II" if v6 else "!HH", *((length, proto) if v6 else
                                                                                (proto, length)))


def ip_header(v6, length, proto):
    if v6:
        return struct.pack("!IHBB", 6 << 28, length, proto, 64) + bytes(15) + b"\1" + bytes(15) + b"\2"
    h = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 7, 0, 64, proto, 0) + bytes([10, 0, 0, 1, 10, 0, 0, 2])
    return h[:10] + struct.pack("!H", ~checksum(h) & 0xFFFF) + h[12:]


def tcp(dst, payload, v6=False, src="a", flags=0x99, seq=0xFFFFFF00):
    """With the checksum of the pseudo header only."""
    head = struct.pack("!HHIIBBHHH", 1, 2, seq, 0, 5 << 4, flags, 1000, 0, 0)
    ip = ip_header(v6, 20 + len(payload), 6)
    part = checksum(pseudo(ip, v6, 20 + len(payload), 6))
    return (dst + MAC[src] + (b"\x86\xdd" if v6 else b"\x08\0") + ip + head[:16] + struct.pack("!H", part) + head[18:] +
            payload)


def udp(dst, payload, src="a"):
    ip = ip_header(False, 8 + len(payload), 17)
    part = checksum(pseudo(ip, False, 8 + len(payload), 17))
    return dst + MAC[src] + b"\x08\0" + ip + struct.pack("!HHHH", 68, 67, 8 + len(payload), part) + payload


def header(start, offset, gso=0, size=0, flags=NEEDS_CSUM, hdr_len=0):
    return struct.pack("<BBHHHHH", flags, gso, hdr_len, size, start, offset, 0)


def whole(frame, v6=False, tagged=False):
    """(payload, sequence number, TCP flags) of a TCP frame all of whose checksums and lengths are right."""
    at = 18 if tagged else 14
    assert len(frame) > at + 40, f"{len(frame)} bytes"
    ip, rest = frame[at:at + (40 if v6 else 20)], frame[at + (40 if v6 else 20):]
    if v6:
        assert struct.unpack("!H", ip[4:6])[0] == len(rest), "IPv6 length"
    else:
        assert struct.unpack("!H", ip[2:4])[0] == 20 + len(rest), "IPv4 length"
        assert checksum(ip) == 0xFFFF, "IPv4 checksum"
    assert checksum(pseudo(ip, v6, len(rest), 6) + rest) == 0xFFFF, "TCP checksum"
    return rest[20:], struct.unpack("!I", rest[4:8])[0], rest[13]


def joined(frames, payload, size, v6=False, tagged=False):
    """Are these @payload in segments of @size, as hardware would cut them?"""
    at = 0
    try:
        for n, frame in enumerate(frames):
            part, seq, flags = whole(frame, v6, tagged)
            last = n == len(frames) - 1
            assert part == payload[at:at + size], f"segment {n}'s payload"
            assert seq == 0xFFFFFF00 + at & 0xFFFFFFFF, f"segment {n}'s number"
            assert flags == 0x10 | (0x80 if n == 0 else 0) | (0x09 if last else 0), f"segment {n}'s flags {flags:#x}"
            at += len(part)
        assert at == len(payload), f"{at} bytes of {len(payload)}"
    except AssertionError as e:
        return str(e)
    return ""


def main():
    with Switch(build_dir(), PORTS) as sw:
        guests = {n: Frontend(sw.path(n), slot=65600 if n in "ab" else 2048, num=64,
                              features=OFFLOADS if n in "ab" else 0) for n in NAMES}
        for fe in guests.values():
            fe.start()
        a, b = guests["a"], guests["b"]
        check("guests negotiate offloads by default", a.features & OFFLOADS == OFFLOADS and
              not guests["c"].offered & OFFLOADS, f"{a.features:#x}")
        check("all ports are up", wait_for(lambda: all(sw.port(n)["up"] for n in NAMES)))
        for name, fe in guests.items():
            tag = b"\x81\x00\x00\x01" if name == "d" else b""
            fe.send_frames([b"\xff" * 6 + MAC[name] + tag + b"\x88\xb5" + bytes(50)])
        check("all addresses are known", wait_for(lambda: all(sw.port(n)["addresses"] == 1 for n in NAMES)))

        def clear():
            for fe in guests.values():
                while fe.receive():
                    pass

        def arrived(name, n):
            got = []
            wait_for(lambda: len(got.extend(guests[name].receive(headers=True)) or got) >= n, 5)
            return got

        payload = bytes(i * 7 & 255 for i in range(20000))
        clear()

        frame = tcp(MAC["b"], payload[:999])
        a.send_frames([frame], header=header(34, 16))
        got = arrived("b", 1)
        check("a partial checksum passes to a guest that takes it, untouched",
              got == [(header(34, 16)[:10] + b"\1\0", frame)], got[:1])
        a.send_frames([tcp(MAC["c"], payload[:999])], header=header(34, 16))
        got = arrived("c", 1)
        why = joined([f for _, f in got], payload[:999], 1448).replace("segment 0's flags 0x99", "")
        check("it is completed for one that does not", got and not why and got[0][0][:10] == bytes(10), why)

        for v6 in False, True:
            size, start, kind = (1428, 54, TCP6) if v6 else (1448, 34, TCP4)
            name = "IPv6" if v6 else "IPv4"
            clear()
            frame = tcp(MAC["b"], payload, v6)
            a.send_frames([frame], header=header(start, 16, kind | ECN, size, hdr_len=1))
            got = arrived("b", 1)
            check(f"a TCP frame over {name} of 20 KB passes to a guest that takes it",
                  len(got) == 1 and got[0][1] == frame and got[0][0][:10] ==
                  header(start, 16, kind | ECN, size, hdr_len=start + 20)[:10], got and got[0][0])
            count = -(-len(payload) // size)
            for dst in "c", "d":
                a.send_frames([tcp(MAC[dst], payload, v6)], header=header(start, 16, kind, size))
                why = joined([f for _, f in arrived(dst, count)], payload, size, v6, dst == "d")
                check(f"it is cut into {count} segments for one that does not{', with tags' * (dst == 'd')} ({name})",
                      not why, why)

        clear()
        a.send_frames([udp(b"\xff" * 6, payload[:301])], header=header(34, 6))
        got_b, got_c = arrived("b", 1), arrived("c", 1)
        frame = got_c[0][1] if got_c else bytes(60)
        check("a flooded checksum stays partial where it may and is completed where it must",
              len(got_b) == 1 and got_b[0][0][0] == NEEDS_CSUM and
              checksum(pseudo(frame[14:34], False, 309, 17) + frame[34:]) == 0xFFFF and got_c[0][0][:10] == bytes(10))
        clear()
        a.send_frames([tcp(b"\2\0\0\0\0\x77", payload)], header=header(34, 16, TCP4, 1448))
        count = -(-len(payload) // 1448)
        got_b, got_c, got_d = arrived("b", 1), arrived("c", count), arrived("d", count)
        why = joined([f for _, f in got_c], payload, 1448) or joined([f for _, f in got_d], payload, 1448, tagged=True)
        check("a flooded TCP frame goes whole to one and in segments to the others",
              [len(f) for _, f in got_b] == [54 + len(payload)] and not why, why)

        clear()
        before = sw.port("small")["drops"].get("oversize", 0)
        a.send_frames([tcp(MAC["small"], payload)], header=header(34, 16, TCP4, 1448))
        check("segments longer than a port's MTU are dropped there, and named", wait_for(
            lambda: sw.port("small")["drops"].get("oversize", 0) > before))
        a.send_frames([tcp(MAC["small"], payload)], header=header(34, 16, TCP4, 536))
        why = joined([f for _, f in arrived("small", 38)], payload, 536)
        check("shorter ones arrive", not why, why)

        clear()
        a.send_frames([tcp(MAC["b"], payload)], header=header(34, 16, TCP4, 1448))
        why = joined([f for _, f in arrived("watch", 14)], payload, 1448)
        check("a mirror that takes no offloads gets them in segments too", not why, why)

        lies = {
            "onto the source address": header(14, 12),
            "onto the ports": header(34, 0),
            "onto the Ethernet header": header(0, 0),
            "past the frame": header(34, 60000),
            "segments of nothing": header(34, 16, TCP4, 0),
            "segments of one byte": header(34, 16, TCP4, 1),
            "TSO without a checksum": header(34, 16, TCP4, 1448, flags=0),
            "the wrong IP": header(34, 16, TCP6, 1448),
            "UDP fragmentation": header(34, 16, 3, 1448),
            "an unknown kind": header(34, 16, 7, 1448),
        }
        clear()
        for what, head in lies.items():
            before = sw.port("a")["drops"].get("bad-offload", 0)
            a.send_frames([tcp(MAC["c"], payload[:5000])], header=head)
            check(f"a header that lies is dropped: {what}", wait_for(
                lambda: sw.port("a")["drops"].get("bad-offload", 0) == before + 1))
        check("and nothing of them went anywhere", not guests["c"].receive() and not b.receive())
        guests["c"].send_frames([tcp(MAC["a"], payload[:100], src="c")], header=header(34, 16, TCP4, 1))
        got = arrived("a", 1)
        check("a guest that negotiated nothing has nothing to say there", len(got) == 1 and got[0][0][:10] == bytes(10))
        check("guest memory is as it was", all(fe.mem.guards_intact() for fe in guests.values()))
        for fe in guests.values():
            fe.close()
        sw.stop()
        with open(sw.path("out.pcap"), "rb") as f:
            data = f.read()
        at, seen = 24, []
        while at < len(data):
            length = struct.unpack_from("<I", data, at + 8)[0]
            seen.append(data[at + 16:at + 16 + length])
            at += 16 + length
        segments = [f for f in seen if f[:6] == b"\2\0\0\0\0\x77"]
        why = joined(segments, payload, 1448)
        check("a port of DPDK's gets whole frames", not why, why)
    return result()


if __name__ == "__main__":
    sys.exit(main())
