#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# `viaduct info` of a guest whose interrupts are known (tests/guest/vectors.S), its names, and clients of
# its socket that mean ill.
#   run_info.py VIADUCT KERNEL SCHEMAS
import atexit
import json
import os
import signal
import socket
import subprocess
import sys

viaduct, kernel, schemas = sys.argv[1:4]
name = f"info-test-{os.getpid()}"
failed = 0
try:
    import jsonschema
except ImportError:
    jsonschema = None
    print("no python3-jsonschema: the schemas are not checked")


def check(what, holds, more=""):
    global failed
    failed += not holds
    print(("ok: " if holds else "FAILED: ") + what + ("" if holds else f" {more}"))


def equal(what, have, want):
    check(what, have == want, f"{have!r}, not {want!r}")


if not os.access("/dev/kvm", os.R_OK | os.W_OK):
    print("skipped: no access to /dev/kvm")
    sys.exit(77)
if os.geteuid() and "XDG_RUNTIME_DIR" not in os.environ:
    print("skipped: no runtime directory")
    sys.exit(77)
home = "/run" if os.geteuid() == 0 else os.environ["XDG_RUNTIME_DIR"]
home += "/viaduct/guest/"


running = []


@atexit.register
def end_all():
    for p in running:
        p.kill()


# No step takes long; one that hangs must not hang whoever runs this.
signal.signal(signal.SIGALRM, lambda *_: sys.exit("FAILED: it takes too long"))
signal.alarm(200)


def start(*options):
    """A guest that has said it is ready, or one that has ended."""
    p = subprocess.Popen([viaduct, "run", "--kernel", kernel, *options], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    running.append(p)
    if p.stdout.readline() != "ready\n":
        p.wait()
    return p


def end(p, how=signal.SIGTERM):
    p.send_signal(how)
    return p.communicate()[1], p.returncode


def info(*arguments):
    r = subprocess.run([viaduct, "info", *arguments], capture_output=True, text=True, timeout=60,
                       stdin=subprocess.DEVNULL, check=False)
    return r.returncode, r.stdout, r.stderr


def told(schema, *arguments):
    status, out, err = info("--json", *arguments)
    equal(f"info {' '.join(arguments)}: status", (status, err), (0, ""))
    found = json.loads(out)
    if jsonschema:
        with open(f"{schemas}/info-{schema}.json", encoding="utf-8") as f:
            jsonschema.validate(found, json.load(f))
    return found


def listed():
    return {g["name"]: g for g in told("list")["guests"]}


tap = f"vi{os.getpid()}"
guest = start("--name", name, "--net", f"tap={tap}", "--memory", "64")
if guest.returncode is not None:
    print("skipped: no guest with a tap interface here:", guest.communicate()[1].strip())
    sys.exit(77)

# What it is.
g = told("guest", name)
check("whether the host remaps interrupts, and who says so", g["host"]["interrupt_remapping"] in
      ("on", "off", "unknown") and g["host"]["evidence"] and g["host"]["source"], g)
equal("name, process, CPUs, memory", (g["name"], g["pid"], g["cpus"], g["memory"]),
      (name, guest.pid, 1, 64 << 20))
equal("nothing assigned", g["assigned"], [])
equal("its net", g["net"], [{"guest_bdf": "0000:00:01.0", "model": "virtio", "kind": "tap", "name": tap}])
equal("it is in the list", listed()[name]["pid"], guest.pid)
equal("mode of the socket", oct(os.stat(home + name + ".sock").st_mode & 0o777), "0o600")
text = info(name)[1]
check("for people", f"process    {guest.pid}\n" in text and tap in text, text)
check("the list for people", any(line.split()[:3] == [name, str(guest.pid), "1"]
                                 for line in info()[1].splitlines()))

# Its interrupts.
irqs = told("irqs", name, "--irqs")
v = [(x["kind"], x["index"], x["delivery"], x["gsi"]) for x in irqs["vectors"]]
equal("the vectors", v, [("msix", 0, "irqfd", 24), ("msix", 1, "masked", None),
                         ("msix", 2, "nowhere", None), ("msix", 3, "masked", None)])
equal("vector 0 as it arrives", irqs["vectors"][0]["target"],
      {"destination": 0, "logical": False, "vector": 0x31, "mode": "fixed", "level": False})
equal("vector 1, never unmasked, as it would", irqs["vectors"][1]["target"],
      {"destination": 0, "logical": False, "vector": 0x32, "mode": "fixed", "level": False})
equal("vector 2 as it was written", irqs["vectors"][2]["message"], {"address": "0x1000", "data": "0x33"})
equal("vector 3", irqs["vectors"][3]["message"], None)
equal("pins that are not masked", [(p["pin"], p["delivery"], p["trigger"], p["target"]["vector"])
                                   for p in irqs["pins"] if p["delivery"] != "masked"],
      [(5, "user-space", "edge", 0x45)])
equal("who drives pin 4", irqs["pins"][4]["lines"], "com1")
text = info(name, "--irqs")[1]
check("interrupts for people", "apic 0 vector 0x31" in text and "nowhere" in text, text)

# Names.
other = start("--name", name)
err, status = end(other)
check("a second guest of the name is refused, and told whose it is",
      status == 1 and f"as process {guest.pid}" in err, (status, err))
equal("the first one is asked as before", told("guest", name)["pid"], guest.pid)
equal("no guest of that name", info("nobody-" + name)[0], 3)
equal("no name at all", info("../x")[0], 2)
equal("--irqs of nobody", info("--irqs")[0], 2)
equal("--watch of no number", info(name, "--watch", "0")[0], 2)


# Clients.
def client():
    s = socket.socket(socket.AF_UNIX)
    s.connect(home + name + ".sock")
    s.settimeout(30)
    return s


def talk(data):
    """The answer's line; "" when the connection ends without."""
    with client() as s:
        s.sendall(data)
        answer = b""
        while not answer.endswith(b"\n"):
            more = s.recv(65536)
            if not more:
                break
            answer += more
        return answer.decode()


def code(data):
    return json.loads(talk(data))["error"]["code"]


equal("no JSON", code(b"hello\n"), -32700)
equal("bytes", code(bytes(range(11, 256)) + b"\n"), -32700)
equal("NUL bytes", code(b"\0\0\n"), -32700)
equal("deep nesting", code(b'{"a":' * 800 + b"\n"), -32700)
equal("a batch", code(b'[{"jsonrpc":"2.0","id":1,"method":"irqs"}]\n'), -32600)
equal("no such method", code(b'{"jsonrpc":"2.0","id":1,"method":"stop"}\n'), -32601)
equal("a parameter", code(b'{"jsonrpc":"2.0","id":1,"method":"irqs","params":{"x":1}}\n'), -32602)
equal("a line without end", code(b"x" * 5000), -32600)
mute = client()
ask = b'{"jsonrpc":"2.0","id":1,"method":"irqs"}\n'
mute.setblocking(False)
try:
    for _ in range(100000):
        mute.send(ask * 50)
except BlockingIOError:
    pass
equal("one that never reads keeps nobody from an answer", told("guest", name)["pid"], guest.pid)
crowd = [client() for _ in range(40)]
equal("nor do forty that say nothing", told("guest", name)["pid"], guest.pid)
ended = 0
for s in crowd:
    s.settimeout(0.05)
    try:
        ended += s.recv(1) == b""
    except (TimeoutError, socket.timeout):
        pass
check("who is silent longest makes way", ended >= 33, ended)
for s in crowd + [mute]:
    s.close()
g = told("guest", name)
check("what was refused is counted", g["control"]["refused"] >= 8 and g["control"]["displaced"] >= 33,
      g["control"])

# Stopped, killed, and the name taken anew.
guest.send_signal(signal.SIGSTOP)
check("one that is stopped is listed with the reason", "does not answer" in listed()[name].get("error", ""))
guest.send_signal(signal.SIGCONT)
end(guest, signal.SIGKILL)
equal("one that was killed is not listed", name in listed(), False)
equal("and cannot be asked", info(name)[0], 3)
check("it has left its files", os.path.exists(home + name + ".sock"))
guest = start("--name", name)
equal("its name is taken over", told("guest", name)["pid"], guest.pid)
watch = subprocess.Popen([viaduct, "info", "--json", "--watch", "1", name], stdout=subprocess.PIPE, text=True)
equal("--watch prints a line each time", [json.loads(watch.stdout.readline())["pid"] for _ in range(2)],
      [guest.pid] * 2)
end(guest)
watch.stdout.read()
equal("and ends with the guest", watch.wait(30), 0)
equal("nothing is left", [f for f in os.listdir(home) if f.startswith(name)], [])

# Without a name there is one all the same.
two = [start(), start()]
# Whose the short name is depends on the guests of others.
names = {g["pid"]: n for n, g in listed().items()}
check("two without a name are both there",
      all(names.get(p.pid) in ("guest", f"guest-{p.pid}") for p in two), names)
for p in two:
    end(p)
sys.exit(1 if failed else 0)
