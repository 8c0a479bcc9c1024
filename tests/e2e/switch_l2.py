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

    def until(self, f, seconds=5):
        """All that comes up to @f."""
        got = []
        end = time.monotonic() + seconds
        while f not in got and time.monotonic() < end:
            got += self.collect(1, 0.1)
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

    def config(self, settings=None, top="", extra=""):
        """@settings: what each port has besides its device. Two CPUs are all a test may expect."""
        lines = ["socket: " + self.control, "core: 0"] + ([top] if top else []) + ["ports:"]
        for p in PORTS:
            lines.append("- {name: %s, device: 'net_af_packet_%s,iface=s%s'%s}" % (
                p, p, p, ", " + settings[p] if settings and p in settings else ""))
        path = self.dir + "/switch.yaml"
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n" + extra)
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
        """Its numbers, without starting a program: this is asked often."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.control)
            s.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "stats"}\n')
            with s.makefile() as f:
                answer = json.loads(f.readline())
        return [p for p in answer["result"]["ports"] if p["name"] == name][0]

    def drops(self, name, reason):
        return self.port(name)["drops"].get(reason, 0)

    @staticmethod
    def description(name, settings=""):
        return "{name: %s, device: 'net_af_packet_%s,iface=s%s'%s}" % (
            name, name, name, ", " + settings if settings else "")

    def set(self, name, settings=""):
        r = self.run("port", "set", self.description(name, settings))
        return r.returncode == 0 or print("FAILED: port set:", r.stderr)


def number(f):
    """What frame() put in; behind any tags."""
    at = 12
    while f[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return struct.unpack("!H", f[at + 2:at + 4])[0] if f[at:at + 2] == b"\x88\xb5" else None


def learn(st, seconds=5):
    """Each station says once where it is: mac(1) at the first, and so on."""
    for i, s in enumerate(st.values()):
        s.send(frame(ALL, mac(i + 1), 0xffff))
    for s in st.values():
        s.collect(len(st) - 1, seconds)


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
    learn(st)
    last = frame(mac(2), mac(1), 500)
    a.send(last)
    ok("without the rate frames go at once", last in b.until(last))
    out = sw.run("port", "set", "{name: b, device: 'net_af_packet_b,iface=sb', shape: {rate: 4mbits}}").stderr
    ok("a rate that is none is refused", "no rate such as" in out, out)


def sees(station, numbers):
    """Does it get these frames, in any order, and no others of ours?"""
    got = [number(f) for f in station.collect(len(numbers), 2)]
    return sorted(n for n in got if n is not None and n < 0xf000) == sorted(numbers)


def check_mirrors(sw, st):
    a, b, c, d, e = (st[p] for p in PORTS)
    learn(st)
    sw.ask("mirror", "add", "m", "--from", "a", "--to", "c")
    a.send(frame(mac(2), mac(1), 1))
    b.send(frame(mac(1), mac(2), 2))
    b.send(frame(mac(4), mac(2), 3))
    ok("a mirror shows what comes in at a port and what leaves by it", sees(c, [1, 2]))
    ok("and loses none of it", sees(b, [1]) and sees(a, [2]) and sees(d, [3]))
    a.send(frame(ALL, mac(1), 4))
    got = c.collect(2, 2)
    ok("what floods is seen once by its way and once by the mirror", [number(f) for f in got] == [4, 4], got)
    a.send(frame(mac(2), ALL, 5))
    ok("it shows what is dropped on its way in", sees(c, [5]))
    sw.ask("mirror", "del", "m")
    for s in st.values():
        s.drain()

    sw.ask("mirror", "add", "m", "--from", "a,b", "--direction", "out", "--to", "e", "--reserved")
    a.send(frame(mac(2), mac(1), 6))
    a.send(frame(ALL, mac(1), 7))
    e.send(frame(ALL, mac(5), 8))
    ok("a reserved port gets copies and nothing else", sees(e, [6, 7]), )
    ok("and nothing that comes in at it goes on",
       wait_for(lambda: sw.drops("e", "mirror-port") == 1) and sees(c, [7]), sw.port("e"))
    listed = sw.ask("mirror", "list")
    ok("mirrors are listed with what they copied", len(listed) == 1 and listed[0]["frames"] == 2
       and listed[0]["from"] == ["a", "b"] and listed[0]["to"] == "e" and listed[0]["reserved"], listed)
    ok("and as a table", "OVER RATE" in sw.run("mirror", "list").stdout)
    sw.ask("mirror", "del", "m")
    learn(st)
    a.send(frame(mac(5), mac(1), 9))
    ok("without the mirror the port is as before", sees(e, [9]))

    path = sw.config(extra="mirrors:\n- {name: m, from: [a], to: c}\n- {name: n, from: [b], vlan: 9}\n")
    r = sw.run("apply", path)
    ok("apply adds mirrors", r.returncode == 0 and "mirror-add m" in r.stdout and
       [x["name"] for x in sw.ask("mirror", "list")] == ["m", "n"], r)
    r = sw.run("apply", path)
    ok("and finds nothing to do the next time", "nothing to do" in r.stdout, r)
    ok("show describes them", [x["name"] for x in sw.ask("show")["mirrors"]] == ["m", "n"], sw.ask("show"))
    path = sw.config(extra="mirrors:\n- {name: m, from: [a, b], to: c}\n")
    r = sw.run("apply", path)
    ok("apply changes and removes them", r.returncode == 0 and
       [x["from"] for x in sw.ask("mirror", "list")] == [["a", "b"]], r, sw.ask("mirror", "list"))
    sw.run("apply", sw.config())
    ok("and leaves none that is not described", not sw.ask("mirror", "list"))
    learn(st)

    # Remote: b carries VLAN 99 tagged, c untagged; a is a trunk.
    sw.set("a", "vlan: {native: 1, trunk: ['10', '99']}")
    sw.set("b", "vlan: {native: 1, trunk: ['99']}")
    sw.set("c", "vlan: {access: 99}")
    learn(st, 0.5)  # not all are in one VLAN now
    sw.ask("mirror", "add", "r", "--from", "a", "--direction", "in", "--vlan", "99")
    a.send(frame(mac(4), mac(1), 20))
    a.send(frame(mac(4), mac(1), 21, tags=tag(10)))
    a.send(frame(mac(4), mac(1), 22, tags=tag(99)))
    tagged = [f for f in b.collect(3, 2)]
    ok("a remote mirror puts its VLAN before the frame's own tag",
       sorted(f[12:12 + 8] for f in tagged if number(f) in (20, 21)) ==
       sorted([tag(99) + b"\x88\xb5\x00\x14", tag(99) + tag(10)]), tagged)
    plain = [f for f in c.collect(3, 2)]
    ok("and leaves the frame as it was where the VLAN is untagged",
       sorted(f[12:16] for f in plain if number(f) in (20, 21)) == sorted([b"\x88\xb5\x00\x14", tag(10)]), plain)
    ok("what is in the mirror's VLAN already is not copied", [number(f) for f in plain].count(22) == 1
       and [number(f) for f in tagged].count(22) == 1)
    ok("and nothing comes back to the port that is looked at", not [f for f in a.drain() if number(f) in (20, 21)])
    sw.ask("mirror", "del", "r")
    for p in "abc":
        sw.set(p)

    learn(st)
    sw.ask("mirror", "add", "x", "--from", "a", "--to", "b")
    sw.ask("mirror", "add", "y", "--from", "b", "--to", "a")
    a.send(frame(mac(3), mac(1), 30))
    b.send(frame(mac(3), mac(2), 31))
    ok("mirrors that face each other do not loop", sees(b, [30]) and sees(a, [31]) and sees(c, [30, 31]))
    ok("nor afterwards", not a.drain() and not b.drain())
    sw.ask("mirror", "del", "x")
    sw.ask("mirror", "del", "y")

    sw.ask("mirror", "add", "slow", "--from", "a", "--to", "c", "--rate", "8kbit")
    for i in range(100):
        a.send(frame(mac(2), mac(1), i, size=1500))
    ok("a mirror's rate costs the traffic nothing", sees(b, list(range(100))))
    m = sw.ask("mirror", "list")[0]
    ok("and what is over it is counted", m["limited"] >= 50 and m["frames"] + m["limited"] == 100, m)
    sw.ask("mirror", "del", "slow")
    sw.set("c", "mtu: 500")
    sw.ask("mirror", "add", "small", "--from", "a", "--to", "c", "--direction", "in")
    before = sw.drops("c", "oversize")
    a.send(frame(mac(2), mac(1), 40, size=1000))
    ok("what the mirror's port cannot take is dropped there, by name", sees(b, [40])
       and wait_for(lambda: sw.drops("c", "oversize") == before + 1), sw.port("c"))
    sw.run("port", "del", "c")
    a.send(frame(mac(2), mac(1), 41))
    ok("without its port a mirror copies nothing", sees(b, [41]))
    sw.run("port", "add", sw.description("c"))
    ok("with the port back it goes on", wait_for(lambda: mirror_again(a, b, st["c"])))
    sw.ask("mirror", "del", "small")
    for words, says in ((["add", "q", "--from", "a", "--to", "z"], "no port 'z'"),
                        (["add", "q", "--from", "a", "--to", "a"], "itself"),
                        (["del", "q"], "no mirror 'q'")):
        r = sw.run("mirror", *words)
        ok("refuses mirror " + " ".join(words), r.returncode == 1 and says in r.stderr, r)


def mirror_again(a, b, c):
    c.drain()
    a.send(frame(mac(2), mac(1), 42))
    b.collect(1, 1)
    return 42 in [number(f) for f in c.collect(1, 1)]


def pcapng_read(data):
    """A reader of our own: the blocks as dictionaries, or an exception where the file is not valid."""
    blocks = []
    while data:
        kind, size = struct.unpack("<II", data[:8])
        if size % 4 or size < 12 or struct.unpack("<I", data[size - 4:size])[0] != size:
            raise ValueError("lengths of a block do not agree")
        body, data = data[8:size - 4], data[size:]
        b = {"kind": kind}
        if kind == 0x0a0d0d0a:
            b["magic"], b["major"], b["minor"], _ = struct.unpack("<IHHq", body[:16])
            opts = body[16:]
        elif kind == 1:
            b["link"], _, b["snaplen"] = struct.unpack("<HHI", body[:8])
            opts = body[8:]
        elif kind == 6:
            _, hi, lo, n, b["len"] = struct.unpack("<IIIII", body[:20])
            b["time"], b["bytes"] = hi << 32 | lo, body[20:20 + n]
            opts = body[20 + (n + 3) // 4 * 4:]
        elif kind == 5:
            opts = body[12:]
        else:
            raise ValueError("unknown block")
        b["options"] = {}
        while opts:
            code, n = struct.unpack("<HH", opts[:4])
            if code == 0:
                break
            b["options"][code] = opts[4:4 + n]
            opts = opts[4 + (n + 3) // 4 * 4:]
        blocks.append(b)
    kinds = [b["kind"] for b in blocks]
    if kinds[:2] != [0x0a0d0d0a, 1] or set(kinds[2:]) - {5, 6}:
        raise ValueError("blocks in a wrong order")
    return blocks


class Capture:
    def __init__(self, sw, *words):
        self.file = sw.dir + "/capture.pcapng"
        if os.path.exists(self.file):
            os.unlink(self.file)
        self.process = subprocess.Popen([VIADUCT, "switch", "--socket", sw.control, "--json", "capture", *words,
                                         "-w", self.file], stderr=subprocess.PIPE, text=True)
        # The header is there once the switch has begun.
        wait_for(lambda: os.path.exists(self.file) and os.path.getsize(self.file) > 28
                 or self.process.poll() is not None)

    def end(self, how=signal.SIGINT):
        if how:
            self.process.send_signal(how)
        err = self.process.communicate(timeout=20)[1]
        self.summary = json.loads(err) if err.startswith("{") else err
        return self.read()

    def read(self):
        with open(self.file, "rb") as f:
            self.blocks = pcapng_read(f.read())
        return [b for b in self.blocks if b["kind"] == 6]


def check_capture(sw, st):
    a, b = st["a"], st["b"]
    learn(st)
    started = time.time_ns()
    c = Capture(sw, "a")
    a.send(frame(mac(2), mac(1), 1))
    b.send(frame(mac(1), mac(2), 2, size=1514))
    wait_for(lambda: len([x for x in c.read() if x]) >= 2)
    ok("frames are in the file while it is written", len(c.read()) == 2)
    got = c.end()
    ok("a capture ends when interrupted", c.process.returncode == 0, c.process.returncode, c.summary)
    ok("its file is pcapng with all there is", [number(x["bytes"]) for x in got] == [1, 2], got)
    ok("frames say which way they went", [x["options"][2] for x in got] == [b"\1\0\0\0", b"\2\0\0\0"])
    ok("and when", all(started <= x["time"] <= time.time_ns() for x in got) and got[0]["time"] <= got[1]["time"])
    ok("and how long they were", [x["len"] for x in got] == [60, 1514])
    ok("the interface has the port's name and counts nanoseconds",
       c.blocks[1]["options"][2] == b"a" and c.blocks[1]["options"][9] == b"\x09" and c.blocks[1]["link"] == 1)
    ok("the end says how many were seen and lost", c.blocks[-1]["kind"] == 5 and c.blocks[-1]["options"][4] ==
       struct.pack("<Q", 2) and c.blocks[-1]["options"][5] == bytes(8), c.blocks[-1])
    for tool, words in ("capinfos", ["-c"]), ("tcpdump", ["-nr"]), ("tshark", ["-r"]):
        if shutil.which(tool):
            r = subprocess.run([tool, *words, c.file], capture_output=True, text=True, check=False)
            ok(tool + " reads it", r.returncode == 0, r.stderr)

    c = Capture(sw, "a", "--direction", "in", "--count", "2", "--size", "20", "--filter", "ether[14:2] >= 11")
    for i in 10, 11, 12, 13:
        a.send(frame(mac(2), mac(1), i))
        b.send(frame(mac(1), mac(2), i))
    got = c.end(None)
    ok("it ends by itself after so many that pass the filter, cut to size, one way only",
       [(number(x["bytes"]), len(x["bytes"]), x["len"]) for x in got] == [(11, 20, 60), (12, 20, 60)] and
       c.blocks[1]["snaplen"] == 20 and c.blocks[1]["options"][11] == b"\0ether[14:2] >= 11", got)
    r = sw.run("capture", "a", "-w", "-", "--filter", "no such thing")
    ok("a filter that is none is refused", r.returncode == 1 and "filter" in r.stderr, r)
    r = sw.run("capture", "z", "-w", "-")
    ok("a port that is none is refused", r.returncode == 1 and "no port 'z'" in r.stderr, r)

    # A reader that stands still: the ring fills, the traffic does not notice.
    learn(st)
    c = Capture(sw, "a", "--direction", "in")
    c.process.send_signal(signal.SIGSTOP)
    n, lost = 6000, 0
    b.drain()
    for i in range(n):
        a.send(frame(mac(2), mac(1), i, size=1514))
        if i % 50 == 49:
            lost += 50 - len([f for f in b.collect(50, 2) if len(f) == 1514])
    ok("a reader that stands still costs the traffic nothing", lost == 0, lost)
    c.process.send_signal(signal.SIGCONT)
    a.send(frame(mac(2), mac(1), 7777))
    got = c.end()
    told = sum(struct.unpack("<Q", x["options"].get(4, bytes(8)))[0] for x in got)
    ok("what it missed is counted, in the file and at the end",
       c.summary["dropped"] > 1000 and len(got) + c.summary["dropped"] >= n and told in (0, c.summary["dropped"])
       and struct.unpack("<Q", c.blocks[-1]["options"][5])[0] == c.summary["dropped"], c.summary, len(got), told)

    # Eight captures at most; killed ones make room.
    many = [Capture(sw, "a") for _ in range(8)]
    r = sw.run("capture", "a", "-w", "-")
    ok("there is an end to how many there are", r.returncode == 1 and "8 captures" in r.stderr, r)
    for m in many:
        m.process.kill()
        m.process.wait()
        m.process.stderr.close()
    c = None

    def again():
        nonlocal c
        c = Capture(sw, "a")
        return c.process.poll() is None
    ok("a capture ends with its client, also by kill -9", wait_for(again))
    sw.run("port", "del", "a")
    c.process.wait(10)
    ok("and with its port", "was deleted" in c.process.stderr.read())
    c.process.stderr.close()
    sw.run("port", "add", sw.description("a"))
    c = Capture(sw, "b")
    sw.stop()
    c.process.wait(10)
    ok("and with the switch", "switch ended" in c.process.stderr.read())
    c.process.stderr.close()
    sw.start()


def csum(b):
    v = sum(struct.unpack("!%dH" % (len(b) // 2), b + bytes(len(b) % 2) if len(b) % 2 else b))
    while v >> 16:
        v = (v & 0xffff) + (v >> 16)
    return ~v & 0xffff


def ipv4(src, dst, proto, body, offset=0):
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, offset, 1, proto, 0, socket.inet_aton(src),
                       socket.inet_aton(dst)) + body


def udp(sport, dport, body=b"x" * 8):
    return struct.pack("!HHHH", sport, dport, 8 + len(body), 0) + body


def ipv6(src, dst, nxt, body, hops=255):
    return struct.pack("!IHBB16s16s", 6 << 28, len(body), nxt, hops, socket.inet_pton(socket.AF_INET6, src),
                       socket.inet_pton(socket.AF_INET6, dst)) + body


def icmp6(src, dst, body, hops=255, before=b"", nxt=58):
    """@before: extension headers, of which @nxt is the first."""
    pseudo = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + struct.pack(
        "!II", len(body), 58)
    body = body[:2] + struct.pack("!H", csum(pseudo + body)) + body[4:]
    return ipv6(src, dst, nxt, before + body, hops)


def group_mac(group):
    if ":" in group:
        return b"\x33\x33" + socket.inet_pton(socket.AF_INET6, group)[12:]
    a = socket.inet_aton(group)
    return bytes([1, 0, 0x5e, a[1] & 0x7f, a[2], a[3]])


def igmp(n, kind, group, to=None):
    m = struct.pack("!BBH4s", kind, 100, 0, socket.inet_aton(group))
    m = m[:2] + struct.pack("!H", csum(m)) + m[4:]
    to = to or (group if kind in (0x12, 0x16) else "224.0.0.1" if kind == 0x11 else "224.0.0.2")
    return frame(group_mac(to), mac(n), kind=0x800, body=ipv4("10.0.0.%d" % n, to, 2, m))


def check_multicast(sw, st):
    a, b, c, d, e = (st[p] for p in PORTS)

    marks = iter(range(0x8000, 0xf000))

    def reaches(f):
        """The ports that get it before a frame that all get, of all but the one it is sent from (a)."""
        mark = frame(ALL, mac(1), next(marks))
        a.send(f)
        a.send(mark)
        return "".join(p for p in PORTS[1:] if f in st[p].until(mark))

    sw.stop()
    sw.start(top="multicast: {snooping: true, ageing: 30}", settings={"c": "multicast: {fast-leave: true}"})
    learn(st)
    data = frame(group_mac("239.1.1.1"), mac(1), kind=0x800, body=ipv4("10.0.0.1", "239.1.1.1", 17, udp(9, 9)))
    ok("a group nobody listens to is flooded", reaches(data) == "bcde")
    join = igmp(2, 0x16, "239.1.1.1")
    b.send(join)
    ok("a join is learned", wait_for(lambda: [(x["vlan"], x["group"], x["port"]) for x in
                                              sw.ask("mcast", "show")["entries"]] == [(1, "239.1.1.1", "b")]))
    ok("and told to no other guest", sw.drops("b", "no-member") == 1 and not any(join in s.drain() for s in (a, c, d, e)))
    ok("the group goes to who listens", reaches(data) == "b")
    query = igmp(5, 0x11, "0.0.0.0")
    e.send(query)
    ok("a query goes to all", all(query in s.until(query) for s in (a, b, c, d)))
    ok("who sends it is a router and gets all groups", reaches(data) == "be")
    c.send(igmp(3, 0x16, "239.1.1.1"))
    again = igmp(3, 0x16, "239.1.1.1")
    ok("and the joins", again in e.until(again) and again not in d.drain())
    ok("a second listener gets it too", reaches(data) == "bce")
    leave = igmp(3, 0x17, "239.1.1.1")
    c.send(leave)
    e.until(leave)
    ok("who leaves fast is gone at once", reaches(data) == "be")
    b.send(igmp(2, 0x17, "239.1.1.1"))
    ok("who leaves otherwise, when nobody else has answered",
       wait_for(lambda: not [x for x in sw.ask("mcast", "show")["entries"] if x["port"] == "b"]))
    local = frame(group_mac("224.0.0.251"), mac(1), kind=0x800, body=ipv4("10.0.0.1", "224.0.0.251", 17, udp(9, 9)))
    ok("groups of the link are flooded", reaches(local) == "bcde")
    m = bytes([143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0]) + socket.inet_pton(socket.AF_INET6, "ff05::1234")
    d.send(frame(group_mac("ff02::16"), mac(4), kind=0x86dd, body=icmp6(
        "fe80::4", "ff02::16", m, 1, before=bytes([58, 0, 5, 2, 0, 0, 1, 0]), nxt=0)))
    ok("MLD reports are learned behind their options", wait_for(lambda: "ff05::1234" in [
        x.get("group") for x in sw.ask("mcast", "show")["entries"]]))
    six = frame(group_mac("ff05::1234"), mac(1), kind=0x86dd, body=ipv6("fe80::1", "ff05::1234", 17, udp(9, 9)))
    ok("and the group goes there", reaches(six) == "de")
    for i in range(200):
        b.send(igmp(2, 0x16, "239.7.0.%d" % (i + 1)))
    stats = None

    def full():
        nonlocal stats
        stats = [x for x in sw.ask("mcast", "show")["ports"] if x["port"] == "b"][0]
        return stats["joins"] >= 201
    ok("a guest that joins all there is gets its share", wait_for(full) and stats["entries"] == 64
       and stats["refused"] >= 136, stats)
    ok("there is a table for people", "(router)" in sw.run("mcast", "show").stdout)
    sw.stop()
    sw.start(top="multicast: {snooping: true, unregistered: drop}", settings={"e": "multicast: {router: always}"})
    learn(st)
    ok("unregistered groups go to routers only when so configured", reaches(data) == "e")
    sw.stop()
    sw.start()


LL2 = "fe80::ff:fe00:2"  # of mac(2)


def check_guard(sw, st):
    b, c = st["b"], st["c"]
    sw.set("b", "anti-spoofing: {mac: ['02:00:00:00:00:02'], ipv4: [10.0.0.2], ipv6: ['2001:db8::2'], "
                "no-dhcp-server: true, no-router: true}")
    learn(st)

    def arp(sha, spa, op=1):
        return struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, op, sha, socket.inet_aton(spa), bytes(6),
                           socket.inet_aton("10.0.0.3"))

    def nd(kind, target, lla=None):
        option = bytes([2 if kind == 136 else 1, 1]) + lla if lla else b""
        return bytes([kind, 0, 0, 0, 0, 0, 0, 0]) + socket.inet_pton(socket.AF_INET6, target) + option

    ra = bytes([134, 0, 0, 0] + [0] * 12)
    dhcp6 = ipv6(LL2, "ff02::1", 17, udp(5000, 546))
    cases = [
        ("its own ARP", 0x806, arp(mac(2), "10.0.0.2"), None),
        ("ARP with another's IPv4 address", 0x806, arp(mac(2), "10.0.0.9"), "spoofed-arp"),
        ("ARP whose sender is not Ethernet's", 0x806, arp(mac(9), "10.0.0.2"), "spoofed-arp"),
        ("gratuitous ARP for another", 0x806, arp(mac(2), "10.0.0.3", 2), "spoofed-arp"),
        ("its own IPv4", 0x800, ipv4("10.0.0.2", "10.0.0.3", 17, udp(1, 2)), None),
        ("another's IPv4", 0x800, ipv4("10.0.0.9", "10.0.0.3", 17, udp(1, 2)), "spoofed-ipv4"),
        ("a DHCP client", 0x800, ipv4("0.0.0.0", "255.255.255.255", 17, udp(68, 67)), None),
        ("a DHCP server", 0x800, ipv4("10.0.0.2", "255.255.255.255", 17, udp(67, 68)), "rogue-dhcp"),
        ("a DHCP server on another port", 0x800, ipv4("10.0.0.2", "255.255.255.255", 17, udp(4000, 68)),
         "rogue-dhcp"),
        ("its own IPv6", 0x86dd, ipv6("2001:db8::2", "2001:db8::3", 17, udp(1, 2)), None),
        ("its own link-local IPv6", 0x86dd, ipv6(LL2, "2001:db8::3", 17, udp(1, 2)), None),
        ("another's IPv6", 0x86dd, ipv6("2001:db8::9", "2001:db8::3", 17, udp(1, 2)), "spoofed-ipv6"),
        ("its own advertisement", 0x86dd, icmp6(LL2, "ff02::1", nd(136, "2001:db8::2", mac(2))), None),
        ("an advertisement for another", 0x86dd, icmp6(LL2, "ff02::1", nd(136, "2001:db8::3")), "spoofed-nd"),
        ("an advertisement of another's link address", 0x86dd, icmp6(LL2, "ff02::1", nd(136, "2001:db8::2", mac(9))),
         "spoofed-nd"),
        ("its own duplicate check", 0x86dd, icmp6("::", "ff02::1:ff00:2", nd(135, "2001:db8::2")), None),
        ("a duplicate check for another", 0x86dd, icmp6("::", "ff02::1:ff00:3", nd(135, "2001:db8::3")), "spoofed-nd"),
        ("a router advertisement", 0x86dd, icmp6(LL2, "ff02::1", ra), "rogue-ra"),
        ("one behind options", 0x86dd, icmp6(LL2, "ff02::1", ra, before=bytes([58] + [0] * 7), nxt=60), "rogue-ra"),
        ("one in a first fragment", 0x86dd, icmp6(LL2, "ff02::1", ra, before=bytes([58, 0, 0, 1, 0, 0, 0, 1]), nxt=44),
         "rogue-ra"),
        ("one whose type is in the second fragment", 0x86dd, ipv6(LL2, "ff02::1", 44, bytes(
            [60, 0, 0, 1, 0, 0, 0, 1, 58, 0, 0, 0, 0, 0, 0, 0])) + b"\x80" * 8, "bad-headers"),
        ("a redirect", 0x86dd, icmp6(LL2, "ff02::1", bytes([137] + [0] * 39)), "rogue-ra"),
        ("a DHCPv6 server", 0x86dd, dhcp6, "rogue-dhcp"),
        ("IPv4 behind two tags", 0x8100, bytes([0, 0, 0x81, 0, 0, 0, 8, 0]) + ipv4("10.0.0.9", "10.0.0.3", 17, b""),
         "nested-tag"),
        ("IPv4 in SNAP", 60, bytes([0xaa, 0xaa, 3, 0, 0, 0, 8, 0]) + ipv4("10.0.0.9", "10.0.0.3", 17, b""),
         "bad-headers"),
    ]
    for what, kind, body, reason in cases:
        f = frame(mac(3), mac(2), kind=kind, body=body)
        c.drain()
        before = sw.drops("b", reason) if reason else 0
        b.send(f)
        if reason:
            ok(what + " is dropped: " + reason, wait_for(lambda: sw.drops("b", reason) == before + 1) and
               f not in c.drain(), sw.port("b")["drops"])
        else:
            ok(what + " passes", f in c.until(f), sw.port("b")["drops"])
    b.send(frame(mac(3), mac(9), 1))
    ok("another's address is dropped: spoofed-mac", wait_for(lambda: sw.drops("b", "spoofed-mac") == 1))
    sw.set("b")


def check_limits(sw, st):
    a, b, c, d, _ = (st[p] for p in PORTS)
    learn(st)
    for what, dst, key in (("broadcast", ALL, "storm-broadcast"), ("multicast", group_mac("239.1.1.1"), "storm-multicast"),
                           ("unknown", mac(77), "storm-unknown")):
        sw.set("a", "storm: {%s: 10}" % what)
        before = sw.drops("a", key)
        for i in range(100):
            a.send(frame(dst, mac(1), i))
        ok("a storm of " + what + " is held", wait_for(lambda: sw.drops("a", key) - before >= 60), sw.port("a"))
        a.send(frame(mac(2), mac(1), 500))
        ok("and other frames are not", wait_for(lambda: 500 in [number(f) for f in b.drain()]))
    sw.set("a", "isolated: true")
    sw.set("b", "isolated: true")
    learn(st)
    a.send(frame(mac(2), mac(1), 1))
    a.send(frame(mac(3), mac(1), 2))
    ok("isolated ports exchange nothing", sees(c, [2]) and not [f for f in b.drain() if number(f) == 1]
       and sw.drops("a", "isolated") + sw.drops("a", "storm-unknown") > 0)
    sw.set("a")
    sw.set("b", "mtu: 300")
    learn(st)
    a.send(frame(mac(2), mac(1), 3, size=400))
    ok("a frame over the MTU is dropped by name", wait_for(lambda: sw.drops("b", "oversize") >= 1))
    sw.set("b")
    moved = sw.port("c")["moved"] + sw.port("d")["moved"]
    c.send(frame(ALL, mac(50), 4))
    wait_for(lambda: "02:00:00:00:00:32" in [x["mac"] for x in sw.ask("fdb", "show")])
    d.send(frame(ALL, mac(50), 5))
    ok("an address that moves is counted", wait_for(
        lambda: sw.port("c")["moved"] + sw.port("d")["moved"] == moved + 1), sw.port("d"))
    sw.set("d", "fdb-limit: 3")
    for i in range(60, 80):
        d.send(frame(ALL, mac(i), 6))
    ok("a port over its limit pays itself, counted", wait_for(lambda: sw.port("d")["evicted"] >= 17) and
       sw.port("d")["addresses"] <= 3 and sw.port("c")["evicted"] == 0, sw.port("d"))
    sw.set("d")


def main():
    namespace_enter()
    for name in "all", "default":
        try:
            with open("/proc/sys/net/ipv6/conf/%s/disable_ipv6" % name, "w", encoding="ascii") as f:
                f.write("1")
        except OSError:
            pass  # no IPv6, or not ours to set: addrgenmode below does most of it
    with tempfile.TemporaryDirectory() as work:
        sw = Switch(work)
        try:
            st = {p: Station(p) for p in PORTS}
            sw.start()
            check_shaping(sw, st)
            check_mirrors(sw, st)
            check_capture(sw, st)
            check_guard(sw, st)
            check_limits(sw, st)
            check_multicast(sw, st)
            sw.stop()
        finally:
            if sw.process:
                sw.process.kill()
                sw.process.wait()
    print("all passed" if not failed else "some failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
