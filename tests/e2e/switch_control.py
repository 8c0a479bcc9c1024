#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The control side of `viaduct switch`: apply under traffic, refusals, counters for others, systemd,
hostile clients. Usage: switch_control.py BUILD_DIR"""
import json, os, re, shutil, signal, socket, subprocess, sys, tempfile, time

build = os.path.abspath(sys.argv[1])
viaduct = build + "/cli/viaduct"
if not os.path.exists(build + "/cli/viaduct-switch"):
    print("skipped: viaduct-switch is not built")
    sys.exit(77)
if os.geteuid() != 0 or not os.access("/dev/net/tun", os.W_OK):
    print("skipped: needs root and /dev/net/tun")
    sys.exit(77)
d = tempfile.mkdtemp()
tag = f"vc{os.getpid() % 100000}"
env = dict(os.environ, VIADUCT_SWITCH=d + "/ctl")
env.pop("NOTIFY_SOCKET", None)
failed = 0
proc = None
PORT = 20000 + os.getpid() % 20000


def check(what, ok, more=""):
    global failed
    print(("ok: " if ok else "FAILED: ") + what + ("" if ok else f" ({more})"))
    failed += not ok


def sh(*args):
    return subprocess.run(args, capture_output=True, text=True)


def ask(*args, **kw):
    r = subprocess.run([viaduct, "switch", *args], capture_output=True, text=True, env=env, timeout=30, **kw)
    return r.returncode, (r.stdout + r.stderr).strip()


def js(*args):
    code, out = ask("--json", *args)
    if code:
        print("it said:", out)
    return json.loads(out) if code == 0 else None


def wait_for(fn, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if fn():
            return True
        time.sleep(0.05)
    return False


def write(name, text):
    with open(f"{d}/{name}", "w") as f:
        f.write(text)
    return f"{d}/{name}"


def start(config, **more):
    global proc
    proc = subprocess.Popen([viaduct, "switch", "run", "--config", config], env={**env, **more},
                            stderr=open(d + "/log", "w"))
    return wait_for(lambda: proc.poll() is not None or ask("stats")[0] == 0, 20) and proc.poll() is None


def stop(sig=signal.SIGTERM):
    proc.send_signal(sig)
    return proc.wait(20)


def rpc(*lines, raw=None):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(d + "/ctl")
    s.sendall(raw if raw is not None else "".join(l + "\n" for l in lines).encode())
    f = s.makefile()
    return [json.loads(f.readline()) for _ in lines or [0]]


def config(ports, more=""):
    return f"socket: {d}/ctl\nprometheus: 127.0.0.1:{PORT}\n{more}ports:\n" + "".join(f"- {p}\n" for p in ports)


def connected(s):
    s.settimeout(0.2)
    try:
        return s.recv(1) != b""
    except socket.timeout:
        return True
    except OSError:
        return False


def bad_configs():
    """Each is refused by `run` with exit status 1, naming file, line and what is wrong; nothing is left."""
    taken = socket.socket(socket.AF_UNIX)
    taken.bind(d + "/taken")
    taken.listen()
    other = socket.socket(socket.AF_UNIX)
    other.bind(d + "/other")
    other.close()
    os.chown(d + "/other", 65534, 65534)
    open(d + "/file", "w").close()
    top = f"socket: {d}/ctl\n"
    table = [
        (top + "speed: 1\n", r"bad.yaml:2:1: 'speed' is no key here; there are socket"),
        (top + "memory-mib: lots\n", r"bad.yaml:2:13: memory-mib"),
        (top + "ports:\n- {name: a, vhost-user: /x/a, vlan: {access: 4095}}\n", r"bad.yaml:3:46: port 'a'.*4094"),
        (top + "ports:\n- {name: a, vhost-user: /x/a, vlan: {trunk: [0]}}\n", r"bad.yaml:3:46: .*'0' is no VLAN"),
        (top + "ports:\n- {name: a, vhost-user: /x/a, police: {kbit: 0}}\n", r"bad.yaml:3:\d+: .*kbit must be"),
        (top + "ports:\n- {name: a, vhost-user: /x/a, shape: {rate: fast}}\n", r"bad.yaml:3:\d+: .*no rate such as"),
        (top + "ports:\n- {name: a, vhost-user: /x/a}\n- {name: a, vhost-user: /x/b}\n", r"bad.yaml:4:10: there are two ports 'a'"),
        (top + "ports:\n- {name: a, vhost-user: /x/a}\n- {name: b, vhost-user: /x/a}\n", r"bad.yaml:4:3: .*one socket, /x/a"),
        (top + "ports:\n- {name: a, tap: t}\n- {name: b, tap: t}\n", r"bad.yaml:4:3: .*one device, t"),
        (top + "ports: [\n", r"bad.yaml:3:1: "),
        (top + "prometheus: 0.0.0.0:9000\n", r"bad.yaml:2:13: prometheus: anybody could reach"),
        (top + "group: no-such-group-here\n", r"bad.yaml:2:8: .*there is no group 'no-such-group-here'"),
        ("socket: /nonexistent/dir/x\n", r"bad.yaml:1:9: .*/nonexistent/dir/x: No such file"),
        (f"socket: {d}/file\n", r"bad.yaml:1:9: .*exists and is no socket; choose another path"),
        (f"socket: {d}/taken\n", r"bad.yaml:1:9: .*somebody listens on .*; choose another path"),
        (f"socket: {d}/other\n", r"bad.yaml:1:9: .*belongs to user 65534; choose another path"),
        (top + f"ports:\n- {{name: a, vhost-user: {d}/taken}}\n", r"bad.yaml:3:25: port 'a': somebody listens on"),
        (top + f"ports:\n- name: a\n  mtu: 1400\n  vhost-user: {d}/other\n", r"bad.yaml:5:15: port 'a': .*belongs to user 65534"),
        (top + f"ports:\n- {{name: a, vhost-user: {d}/no/a}}\n", r"bad.yaml:3:25: port 'a': .*/no/a: No such file"),
        (top + f"ports:\n- name: a\n  vhost-user: {d}/a\n  rx-cores: [1000]\n", r"bad.yaml:5:13: port 'a': rx-cores"),
        (top + "cores: [1000]\n", r"bad.yaml:2:8: core: 1000 is no CPU"),
        (top + f"prometheus: {d}/taken\n", r"bad.yaml:2:13: .*somebody listens on"),
        (top + "ports:\n- {name: a, af-packet: none0}\n", r"bad.yaml:3:24: port 'a': there is no interface 'none0'"),
        (top + "ports:\n- {name: a, pci: '0000:ff:1f.0'}\n", r"bad.yaml:3:18: port 'a': there is no PCI function 0000:ff:1f.0"),
        (top + "ports:\n- {name: a, pcap: {rx: /nonexistent}}\n", r"bad.yaml:3:19: port 'a': read /nonexistent: No such file"),
    ]
    before = sorted(os.listdir(d))
    for text, says in table:
        path = write("bad.yaml", text)
        r = subprocess.run([viaduct, "switch", "run", "--config", path], capture_output=True, text=True, timeout=30)
        check(f"refuses: {says}", r.returncode == 1 and re.search(says, r.stderr), f"{r.returncode}: {r.stderr}")
    os.unlink(d + "/bad.yaml")
    check("what was refused leaves nothing", sorted(os.listdir(d)) == before, sorted(os.listdir(d)))
    taken.close()
    for name in "taken", "other", "file":
        os.unlink(f"{d}/{name}")


def prometheus_parse(text):
    """Format 0.0.4, strictly. Returns {(name, labels): value}."""
    typed, helped, samples, done, current = {}, set(), {}, set(), None
    assert text.endswith("\n"), "no final line feed"
    for line in text.splitlines():
        if m := re.fullmatch(r"# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)", line):
            assert m[1] not in helped, line
            helped.add(m[1])
        elif m := re.fullmatch(r"# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)", line):
            assert m[1] not in typed and m[1] in helped, line
            typed[m[1]] = m[2]
        else:
            m = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (\d+)', line)
            assert m and m[1] in typed, line
            if m[1] != current:
                assert m[1] not in done, f"{m[1]} is in two groups"
                done.add(m[1])
                current = m[1]
            assert typed[m[1]] != "counter" or m[1].endswith("_total"), line
            assert (m[1], m[2]) not in samples, line
            samples[m[1], m[2]] = int(m[3])
    return samples


def http(request, read=True):
    s, out = None, b""
    try:
        s = socket.create_connection(("127.0.0.1", PORT), 5)
        s.settimeout(5)
        s.sendall(request)
        while read and (b := s.recv(65536)):
            out += b
    except OSError:
        pass
    return out if read else s


def counters():
    code, text = ask("stats", "--prometheus")
    try:
        m = prometheus_parse(text + "\n")
    except AssertionError as e:
        check("Prometheus text keeps to its format", False, e)
        return
    check("Prometheus text keeps to its format", True)
    check("with a sample for each port and reason", ("viaduct_port_drops_total", 'port="t",reason="runt"') in m, list(m)[:5])
    check("and frames that were counted", m["viaduct_port_receive_frames_total", 'port="t"'] > 0)
    answer = http(b"GET /metrics HTTP/1.0\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    check("HTTP serves the same", b" 200 " in head and b"text/plain; version=0.0.4" in head and
          prometheus_parse(body.decode()).keys() == m.keys(), head)
    for what, request, says in [("another path", b"GET / HTTP/1.0\r\n\r\n", b" 404 "),
                                ("POST", b"POST /metrics HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", b" 405 "),
                                ("nonsense", b"\0\xff\r\n\r\n", None),
                                ("an endless head", b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 100000, None)]:
        answer = http(request)
        check(f"HTTP refuses {what}", says in answer if says else b" 200 " not in answer, answer[:60])
    served = True
    for many in 16, 17, 24:
        for c in [http(b"GET /met", False) for _ in range(many)]:
            if c:
                c.close()
        served = served and wait_for(lambda: b" 200 " in http(b"GET /metrics HTTP/1.0\r\n\r\n"), 30)
    check("and lives after many that never end", served)
    if not shutil.which("dpdk-telemetry.py"):
        print("dpdk-telemetry.py is not installed, left out")
        return
    r = subprocess.run(["dpdk-telemetry.py", "-f", "ctl"], env=dict(env, RUNTIME_DIRECTORY=d), text=True, timeout=20,
                       input="/viaduct/ports\n/viaduct/port,t\n/viaduct/port,none\n/viaduct/fdb\n/viaduct/stats\n",
                       capture_output=True)
    got = [json.loads(l[l.index("{"):]) for l in r.stdout.splitlines() if "/viaduct" in l]
    check("dpdk-telemetry.py sees the ports", got and "t" in got[0]["/viaduct/ports"], r.stdout + r.stderr)
    check("and one port", len(got) > 2 and got[1]["/viaduct/port"]["rx_packets"] > 0 and got[2]["/viaduct/port"] is None, got)


def hostile():
    long = socket.socket(socket.AF_UNIX)
    long.connect(d + "/ctl")
    try:
        for _ in range(80):
            long.sendall(b"x" * 65536)
    except OSError:
        pass
    long.settimeout(5)
    try:
        answer = long.recv(65536)
    except OSError:
        answer = b""
    check("ends who sends a line without end", answer == b"" or b"-32600" in answer, answer[:80])
    held = []
    for _ in range(60):
        s = socket.socket(socket.AF_UNIX)
        s.connect(d + "/ctl")
        s.sendall(b'{"jsonrpc":')
        held.append(s)
    check("serves beside many who never end their line", ask("stats")[0] == 0)
    for s in held:
        s.close()
    mute = socket.socket(socket.AF_UNIX)
    mute.connect(d + "/ctl")
    mute.setblocking(False)
    try:
        for _ in range(2000):
            mute.send(b'{"jsonrpc":"2.0","id":1,"method":"stats"}\n' * 100)
    except BlockingIOError:
        pass
    check("serves beside one who never reads", ask("stats")[0] == 0)
    mute.close()
    check("answers deep nesting with a parse error", rpc(raw=b"[" * 1000000 + b"\n")[0]["error"]["code"] == -32700)
    check("answers what is no UTF-8", rpc(raw=b'{"jsonrpc":"2.0","id":1,"method":"\xff"}\n')[0]["error"]["code"] == -32700)
    batch = rpc('[{"jsonrpc":"2.0","id":1,"method":"port.list"},{"jsonrpc":"2.0","method":"port.list"},3]')[0]
    check("answers a batch", [a.get("id") for a in batch] == [1, None] and "error" in batch[1], batch)
    for wrong in '"dry-run":"yes"', '"dry-run":1', '"file":7':
        a = rpc('{"jsonrpc":"2.0","id":1,"method":"apply","params":{"config":"' f'socket: {d}/ctl' '",' + wrong + '}}')[0]
        check(f"apply takes no {wrong}", a.get("error", {}).get("code") == -32602, a)
    a = rpc('{"jsonrpc":"2.0","method":"stats"}\n{"jsonrpc":"2.0","id":"z","method":"fdb.show"}')[0]
    check("says nothing to a notification", a["id"] == "z", a)
    rss = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{proc.pid}/status").read())[1])
    check("and holds no memory of them", rss < 200000, rss)


def notifications(path):
    n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    n.bind(d + "/notify")
    n.settimeout(10)
    seen = []

    def until(word):
        try:
            while not any(word in m for m in seen):
                seen.append(n.recv(4096).decode())
            return True
        except socket.timeout:
            return False
    check("starts for systemd", start(path, NOTIFY_SOCKET=d + "/notify", WATCHDOG_USEC="500000"))
    check("says READY", until("READY=1"), seen)
    check("and a STATUS", until("STATUS="), seen)
    check("and feeds the watchdog", until("WATCHDOG=1"), seen)
    seen.clear()
    proc.send_signal(signal.SIGHUP)
    check("tells of a reload", until("RELOADING=1") and until("READY=1"), seen)
    with open(path) as f:
        good = f.read()
    write(os.path.basename(path), good + "wrong: 1\n")
    seen.clear()
    proc.send_signal(signal.SIGHUP)
    check("and of one that failed", until("STATUS=not reloaded") and "'wrong' is no key" in "".join(seen), seen)
    check("after which it is as before", js("port", "list") is not None and proc.poll() is None)
    write(os.path.basename(path), good.replace("mtu: 1400", "mtu: 1300"))
    seen.clear()
    proc.send_signal(signal.SIGHUP)
    until("READY=1")
    check("a reload applies the file", js("port", "show", "t")["mtu"] == 1300)
    seen.clear()
    check("ends in order", stop() == 0)
    check("and says STOPPING", until("STOPPING=1"), seen)
    n.close()
    os.unlink(d + "/notify")


def main():
    bad_configs()
    a, b = tag + "a", tag + "b"
    sh("ip", "netns", "add", a)
    sh("ip", "netns", "add", b)
    sh("ip", "link", "add", tag, "type", "veth", "peer", "name", "eth0", "netns", b)
    sh("ip", "link", "set", tag, "up")
    sh("ip", "-n", b, "addr", "add", "10.99.0.2/24", "dev", "eth0")
    sh("ip", "-n", b, "link", "set", "eth0", "up")
    tap, wire, guest = f"{{name: t, tap: {tag}t}}", f"{{name: w, af-packet: {tag}}}", f"{{name: g, vhost-user: {d}/g}}"
    path = write("c.yaml", config([tap, wire, guest], "group: tty\n"))
    check("starts", start(path), open(d + "/log").read())
    st = os.stat(d + "/ctl")
    check("the socket is its group's", st.st_mode & 0o777 == 0o660 and st.st_gid != 0, oct(st.st_mode))
    sh("ip", "link", "set", tag + "t", "netns", a)
    sh("ip", "-n", a, "addr", "add", "10.99.0.1/24", "dev", tag + "t")
    sh("ip", "-n", a, "link", "set", tag + "t", "up")
    check("a tap and an interface exchange frames",
          wait_for(lambda: sh("ip", "netns", "exec", a, "ping", "-c", "1", "-W", "1", "10.99.0.2").returncode == 0))
    front = socket.socket(socket.AF_UNIX)
    front.connect(d + "/g")

    # --- apply, with frames in flight
    with open(d + "/show.json", "w") as f:
        json.dump(js("show"), f)
    code, out = ask("apply", d + "/show.json")
    check("what show says changes nothing", code == 0 and out.startswith("nothing to do"), out)
    check("nor does the file", ask("apply", path)[1].startswith("nothing to do"))
    learned = {e["mac"] for e in js("fdb", "show")}
    pings = 60
    ping = subprocess.Popen(["ip", "netns", "exec", a, "ping", "-i", "0.05", "-c", str(pings), "-W", "2", "10.99.0.2"],
                            stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    limit = guest[:-1] + ", mtu: 1400, police: {kbit: 8000}}"
    write("c.yaml", config([tap, wire, limit, f"{{name: n, vhost-user: {d}/n}}"], "group: tty\n"))
    r = js("apply", path, "--dry-run")
    check("a dry run says what would be done", [(s["do"], s["port"]) for s in r["steps"]] ==
          [("port-add", "n"), ("port-set", "g")] and not r["changed"], r)
    check("and does nothing", js("port", "show", "g")["mtu"] == 1500 and not os.path.exists(d + "/n"))
    r = js("apply", path)
    check("apply does it", r and r["changed"] and js("port", "show", "g")["mtu"] == 1400 and os.path.exists(d + "/n"), r)
    check("a limit does not disconnect a guest", connected(front))
    check("the second time there is nothing to do", js("apply", path)["steps"] == [])
    write("c.yaml", config([tap[:-1] + ", storm: {broadcast: 1000}, mtu: 1400}", wire, limit], "group: tty\n"))
    r = js("apply", path)
    check("apply changes and removes", [s["do"] for s in r["steps"]] == ["port-set", "port-del"] and
          not os.path.exists(d + "/n"), r)

    # --- all or nothing: the last port is refused by the driver, when others are there already
    write("bad.yaml", config([tap, wire, f"{{name: n, vhost-user: {d}/n}}", "{name: z, pcap: {rx: /etc/passwd}}"], "group: tty\n"))
    before = js("show")
    code, out = ask("apply", d + "/bad.yaml")
    check("apply fails as a whole", code == 1 and re.search(r"bad.yaml:\d+:\d+: port 'z': .*all is as before", out), out)
    lines = open(d + "/bad.yaml").read().splitlines()
    check("and names the line", f"bad.yaml:{1 + next(i for i, l in enumerate(lines) if 'name: z' in l)}:" in out, out)
    check("and all is as before", js("show") == before and not os.path.exists(d + "/n"))
    check("and the guest is still there", connected(front))
    write("bad.yaml", config([tap], "cores: [0]\nmemory-mib: 256\n").replace("ctl", "ctl2"))
    code, out = ask("apply", d + "/bad.yaml")
    check("what cannot change is named", code == 1 and all(w in out for w in
          ["bad.yaml:1:9: cannot", "cores (", "memory-mib (128, not 256)", "socket (", "group (", "start it again"]), out)
    write("bad.yaml", config([tap, "{name: q, speed: 3}"]))
    code, out = ask("apply", d + "/bad.yaml")
    check("a bad file is named with its line", code == 1 and "bad.yaml:5:13: 'speed' is no key" in out, out)
    out = ping.communicate()[0]
    check("of the ports that stayed no frame was lost", f"{pings} packets transmitted, {pings} received" in out, out[-200:])
    check("and no address forgotten", learned <= {e["mac"] for e in js("fdb", "show")})

    # --- port set, port add in words
    check("port set changes what it names", ask("port", "set", "g", "vlan.access=7", "mtu=1280")[0] == 0 and
          (p := js("port", "show", "g"))["mtu"] == 1280 and p["vlan"] == {"access": 7} and p["police"]["kbit"] == 8000)
    check("and disconnects nobody", connected(front))
    code, out = ask("port", "set", "g", "mtu=1")
    check("and refuses what cannot be", code == 1 and "mtu must be" in out, out)
    check("port add takes words", ask("port", "add", "c", f"vhost-user={d}/c", "client=true", "isolated=true")[0] == 0)
    code, out = ask("port", "list")
    check("port list says why a link is down", re.search(rf"^c +vhost-user +down .*{d}/c \(client\)  \w+", out, re.M), out)
    check("port add takes a description", ask("port", "add", f"{{name: e, pcap: {{tx: {d}/e.pcap}}}}")[0] == 0)
    check("stats of one port", js("stats", "t")["rx-packets"] > 0)
    check("the old form of port set replaces", ask("port", "set", f"{{name: g, vhost-user: {d}/g}}")[0] == 0 and
          js("port", "show", "g")["mtu"] == 1500 and "police" not in js("port", "show", "g"))
    for words in ["port", "show"], ["port", "add"], ["apply"], ["show", "x"], ["nothing"]:
        check(f"usage: {' '.join(words)}", ask(*words)[0] == 2)
    counters()
    hostile()
    r = subprocess.run([viaduct, "switch", "run", "--config", path], capture_output=True, text=True, timeout=30)
    check("a second switch is refused", r.returncode == 1 and "somebody listens" in r.stderr, r.stderr)
    check("and takes nothing of the first", js("port", "list") is not None and os.path.exists(d + "/dpdk/ctl/dpdk_telemetry.v2"))
    check("what another file makes of the guest disconnects it", js("apply", write(
          "c2.yaml", config([tap, wire, f"{{name: g, vhost-user: {d}/g2}}"], "group: tty\n"))) and not connected(front))

    # --- kill -9: nothing that it leaves is in the way
    stop(signal.SIGKILL)
    check("leaves its sockets when killed", os.path.exists(d + "/ctl"))
    check("starts over them", start(path), open(d + "/log").read())
    check("all its ports are back", {p["name"] for p in js("port", "list")} == {"t", "w", "g"})
    check("ends", stop() == 0)
    os.unlink(d + "/g2")
    notifications(path)
    front.close()
    left = sorted(f for f in os.listdir(d) if f not in ("c.yaml", "c2.yaml", "bad.yaml", "show.json", "log", "e.pcap"))
    check("leaves nothing when it ends", left == [], left)


try:
    main()
finally:
    if proc and proc.poll() is None:
        proc.kill()
        proc.wait()
    sh("ip", "link", "del", tag)
    sh("ip", "netns", "del", tag + "a")
    sh("ip", "netns", "del", tag + "b")
    shutil.rmtree(d)
print(f"{failed} failed" if failed else "all passed")
sys.exit(bool(failed))
