#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Two guests of QEMU, with software CPUs, on `viaduct switch`: Debian's kernel and its virtio_net driver.

Each guest has a card of each kind - QEMU as client and as server of the socket, several queues, packed
rings, no mergeable buffers, an MTU, offloads off - in a VLAN with the other's. Over each they ping and
send each other a file over TCP. Then, in the middle of such a transfer, the switch is killed and started
again; a guest is reset; a QEMU is killed.
Usage: switch_qemu.py BUILD_DIR
"""
import base64
import hashlib
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from switch import Switch, build_dir, check, result, skip, wait_for  # noqa: E402
from switch_flow import Flow, pump  # noqa: E402
from vhost_user_frontend import Frontend  # noqa: E402

# name: (QEMU is the server, arguments of the network device, of the card)
CARDS = {
    "client": (False, "", ""),
    "server": (True, "", ""),
    "queues": (False, ",queues=2", ",mq=on,vectors=6"),
    "packed": (False, "", ",packed=on"),
    "packed server": (True, "", ",packed=on"),
    "unmerged": (False, "", ",mrg_rxbuf=off"),
    "mtu": (False, "", ",host_mtu=1400"),
    "plain": (True, "", ",csum=off,gso=off,guest_csum=off,guest_tso4=off,guest_tso6=off,event_idx=off,indirect_desc=off"),
}
# QEMU 10 does not look where a packed ring stands when its back end dies: it says where it began. After
# that the guest's driver has to begin again.
LASTING = [i for i, name in enumerate(CARDS) if "packed" not in name]
MIB, LONG = 1, 4  # of a file; of one during which things happen
KILLS = 3
X, Y = (bytes.fromhex(f"02000000ff{n}") for n in ("0a", "0b"))

AGENT = """
dmesg -n 1
stty -echo </dev/console
n=0
echo "@0 0"
while read -r line && [ "$line" != end ]; do
	eval "$line" </dev/null
	rc=$?
	n=$((n + 1))
	echo "@$n $rc"
done </dev/console
"""


class Guest:
    """A QEMU whose guest obeys its console."""

    def __init__(self, sw, name, kernel, initrd):
        self.name, self.number = name, 1 + "ab".index(name)
        self.next = 0
        self.text = ""
        self.said = ""
        run = base64.b64encode(AGENT.encode()).decode()
        args = ["qemu-system-x86_64", "-machine", "q35,memory-backend=mem", "-accel", "tcg", "-cpu", "EPYC", "-smp", "2",
                "-m", "224", "-object", "memory-backend-memfd,id=mem,size=224M,share=on", "-nodefaults", "-no-user-config",
                "-display", "none", "-serial", "stdio", "-qmp", f"unix:{sw.path(name + '.qmp')},server=on,wait=off",
                "-kernel", kernel, "-initrd", initrd, "-append",
                f"console=ttyS0 quiet tsc=reliable no_timer_check mitigations=off random.trust_cpu=on viaduct.run={run} viaduct.end=reboot"]
        for i, (server, net, card) in enumerate(CARDS.values()):
            end = "server=on,wait=off" if server else "reconnect-ms=100"
            args += ["-chardev", f"socket,id=c{i},path={sw.path(f'{name}{i}')},{end}",
                     "-netdev", f"vhost-user,id=n{i},chardev=c{i}{net}",
                     "-device", f"virtio-net-pci,netdev=n{i},mac=02:00:00:00:{i:02x}:{self.number:02x},romfile={card}"]
        self.log = open(sw.path(f"{name}.log"), "w")
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.qmp_path = sw.path(name + ".qmp")

    def heard(self, seconds=60):
        """Wait for the answer to the oldest command; returns its exit status, None if there is none."""
        end = time.monotonic() + seconds
        mark = re.compile(rf"^@{self.next} (\d+)\r?$", re.M)
        while not (m := mark.search(self.text)):
            left = end - time.monotonic()
            if left <= 0 or self.process.poll() is not None:
                self.said = self.text[-2000:]
                return None
            if select.select([self.process.stdout], [], [], left)[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    self.said = self.ended()
                    return None
                self.log.write(data.decode(errors="replace"))
                self.log.flush()
                self.text += data.decode(errors="replace")
        self.said, self.text = self.text[:m.start()].replace("\r", ""), self.text[m.end():]
        self.next += 1
        return int(m.group(1))

    def ended(self):
        """What is known of a QEMU that has closed its console."""
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:
            status = "still there"
        with open(self.log.name, errors="replace") as f:
            return f"{self.name}: QEMU ended with status {status}: {f.read()[-1500:]}"

    def tell(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, command, seconds=60):
        """The exit status of a command in the guest; what it printed is in said."""
        self.tell(command)
        return self.heard(seconds)

    def setup(self):
        """Wait until it is up and give its cards addresses. In the order of their MAC."""
        return self.heard(120) == 0 and self.ask(
            'for d in /sys/class/net/*; do m=$(cat $d/address); case $m in 02:*) '
            'i=$(printf %d 0x$(echo $m | cut -d: -f5)); k=${d##*/}; '
            f'ip addr add 10.9.$i.{self.number}/24 dev $k; ip link set $k up; echo $k >/tmp/card$i;; esac; done; '
            # nc that has nothing more to say hangs up: this it waits for, for ever.
            f'mkfifo /tmp/fifo; dd if=/dev/urandom of=/tmp/file bs=64k count={16 * MIB} 2>/dev/null; md5sum </tmp/file', 120) == 0

    def qmp(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.qmp_path)
            f = s.makefile("rw")
            f.readline()
            for c in "qmp_capabilities", command:
                f.write(json.dumps({"execute": c}) + "\n")
                f.flush()
                while "return" not in json.loads(f.readline()):
                    pass

    def kill(self):
        self.process.kill()
        self.process.wait()


def file_sent(a, b, i):
    """Whether a file came from @a to @b over card @i, whole."""
    b.tell(f"nc -l -p {7000 + i} <>/tmp/fifo >/tmp/got; md5sum </tmp/got")
    # It listens when the other's connection is not refused.
    rc = a.ask(f"md5sum </tmp/file; for i in 1 2 3 4 5 6 7 8 9; do nc -w 20 10.9.{i}.{b.number} {7000 + i} </tmp/file && break; "
               f"usleep 200000; done")
    sent = a.said.split()
    heard = b.heard(60)
    # The sum of nothing would be equal, too.
    return rc == 0 and heard == 0 and sent[0] == b.said.split()[0] != hashlib.md5(b"").hexdigest()


def features(guest, i):
    """Numbers of the features that the guest's driver and QEMU have agreed on."""
    guest.ask(f"cat /sys/class/net/$(cat /tmp/card{i})/device/features")
    return {bit for bit, c in enumerate(guest.said.strip()) if c == "1"}


def transfers_begin(a, b):
    """A file over each card at once, and no waiting."""
    cards = " ".join(map(str, LASTING))
    b.ask(f"for i in {cards}; do (nc -l -p $((7100 + i)) <>/tmp/fifo | md5sum >/tmp/sum$i) & done")
    a.tell(f"for i in {cards}; do (for n in $(seq 30); do dd if=/dev/zero bs=64k count={16 * LONG} 2>/dev/null | "
           f"tr '\\0' $i | nc -w 20 10.9.$i.{b.number} $((7100 + i)) && break; usleep 200000; done) & done; wait")


def transfers_end(a, b):
    """Cards over which the file did not come whole."""
    a.heard(60)
    sums = {}
    wait_for(lambda: b.ask(f"cat {' '.join(f'/tmp/sum{i}' for i in LASTING)} | wc -l") != 0 or
             b.said.strip() == str(len(LASTING)), 20)
    for i in LASTING:
        b.ask(f"cat /tmp/sum{i}")
        sums[i] = b.said.split()[:1]
    return [list(CARDS)[i] for i in LASTING if sums[i] != [hashlib.md5(str(i).encode() * (LONG << 20)).hexdigest()]]


def rebind(guest, i):
    """The driver of a card begins again."""
    return guest.ask(f"d=$(basename $(readlink -f /sys/class/net/$(cat /tmp/card{i})/device)); cd /sys/bus/virtio/drivers/virtio_net; "
                     f"echo $d >unbind; echo $d >bind; k=$(ls /sys/bus/virtio/devices/$d/net); echo $k >/tmp/card{i}; "
                     f"ip addr add 10.9.{i}.{guest.number}/24 dev $k; ip link set $k up; cd /") == 0


def main():
    build = build_dir()
    if not shutil.which("qemu-system-x86_64"):
        skip("no qemu-system-x86_64: run ./scripts/setup")
    image = subprocess.run([f"{build}/cli/viaduct", "lab", "image"], capture_output=True, text=True)
    if image.returncode:
        skip(f"no kernel for guests: {image.stderr.strip()}")
    kernel, initrd = (re.search(rf"^{k}='(.*)'$", image.stdout, re.M).group(1) for k in ("kernel", "initrd"))
    ports = "\n".join(f"- {{name: {g}{i}, vhost-user: @/{g}{i}, vlan: {{access: {10 + i}}}{', client: true' if server else ''}}}"
                      for i, (server, _, _) in enumerate(CARDS.values()) for g in "ab")
    ports += "".join(f"\n- {{name: {n}, vhost-user: @/{n}, vlan: {{access: 9}}}}" for n in "xy")
    guests = []
    with Switch(build, ports) as sw:
        try:
            run(sw, kernel, initrd, guests)
        finally:
            for g in guests:
                if g.process.poll() is None:
                    g.kill()
    return result()


def ports_of(guest):
    return [f"{guest.name}{i}" for i in range(len(CARDS))]


def all_up(sw, *guests):
    ports = [p for g in guests for p in ports_of(g)]
    wait_for(lambda: all(sw.up(p) for p in ports), 20)
    down = [p for p in ports if not sw.up(p)]
    return check("all links are up", not down, down)


def carried(sw, guest):
    return sum(sw.port(p)["tx-packets"] for p in ports_of(guest))


def run(sw, kernel, initrd, guests):
    begin = time.monotonic()

    def now(what):
        print(f"{time.monotonic() - begin:.1f} s: {what}", flush=True)

    a, b = (Guest(sw, n, kernel, initrd) for n in "ab")
    guests += [a, b]
    if not check("two guests boot", all([g.setup() for g in guests]), a.said + b.said):
        return
    now("each kind of card")
    all_up(sw, a, b)
    for i, name in enumerate(CARDS):
        before = sw.drops(f"a{i}"), sw.drops(f"b{i}")
        check(f"{name}: ping", a.ask(f"ping -c 2 -i 0.1 -W 5 10.9.{i}.2") == 0, a.said)
        check(f"{name}: a file each way, whole", file_sent(a, b, i) and file_sent(b, a, i), a.said + b.said)
        # Before the other guest's driver was there, some found no buffers.
        check(f"{name}: nothing dropped", before == (sw.drops(f"a{i}"), sw.drops(f"b{i}")),
              f"{sw.drops(f'a{i}')}, {sw.drops(f'b{i}')}")
        has = features(a, i)
        want = {"packed": 34, "packed server": 34, "queues": 22, "mtu": 3}.get(name)
        check(f"{name}: has its feature", want is None or want in has, sorted(has))
        if name == "client":
            print("features of the guests' cards:", *sorted(has))
    mtu = list(CARDS).index("mtu")
    check("mtu: the guest's card has it", a.ask(f"cat /sys/class/net/$(cat /tmp/card{mtu})/mtu") == 0 and
          a.said.strip() == "1400", a.said)

    now("the switch is killed in the middle of transfers")
    for g in guests:
        g.ask("date >/tmp/since; touch /tmp/alive")
    transfers_begin(a, b)
    for _ in range(KILLS):
        since = carried(sw, b)
        if not check("traffic flows", wait_for(lambda: carried(sw, b) > since + 300, 20)):
            break
        sw.kill()
        sw.start()
        if not all_up(sw, a, b):
            break
    broken = transfers_end(a, b)
    check(f"after {KILLS} kills each transfer has come to its end, whole", not broken, f"{broken} {a.said} {b.said}")
    for i in range(len(CARDS)):
        if i not in LASTING:
            check(f"{list(CARDS)[i]}: goes on when its driver has begun again", rebind(a, i) and rebind(b, i) and
                  a.ask(f"ping -c 2 -i 0.1 -W 5 10.9.{i}.2") == 0, a.said)
    check("no guest was reset", all([g.ask("test -e /tmp/alive") == 0 for g in guests]))
    for g in guests:
        g.ask("dmesg | grep -iE 'virtio|hung|tx timeout|BUG'")
        check(f"guest {g.name} has nothing to say about it", "TX timeout" not in g.said and "BUG" not in g.said, g.said)

    now("a guest is reset under traffic")
    for i in range(len(CARDS)):
        a.ask(f"ping -i 0.02 -s 1000 10.9.{i}.2 >/dev/null 2>&1 &")
    since = carried(sw, a)
    wait_for(lambda: carried(sw, a) > since + 200, 20)
    b.qmp("system_reset")
    b.next, b.text = 0, ""
    check("it boots again", b.setup(), b.said)
    all_up(sw, a, b)
    for i, name in enumerate(CARDS):
        check(f"{name}: ping", b.ask(f"ping -c 2 -i 0.1 -W 5 10.9.{i}.1") == 0, b.said)
    check("a file each way", file_sent(a, b, 0) and file_sent(b, a, 0), a.said + b.said)

    now("a QEMU is killed under traffic")
    with Frontend(sw.path("x")) as x, Frontend(sw.path("y")) as y:
        for fe in x, y:
            fe.start()
        flow = Flow(x, y, X, Y, 1, 128)
        wait_for(lambda: sw.up("x") and sw.up("y"))
        pump([flow], 5, lambda: flow.delivered > 1000)
        b.kill()
        check("its links go down", pump([flow], 20, lambda: not any(sw.up(p) for p in ports_of(b))))
        check("the others' do not", all(sw.up(p) for p in ports_of(a)))
        since = flow.delivered
        pump([flow], 5, lambda: flow.delivered > since + 1000)
        wait_for(lambda: pump([], 0) or flow.take(y.receive()) or flow.settled(), 5)
        check("other guests' frames all came, once, in order", flow.settled() and not flow.wrong, flow.wrong)
    a.ask("killall ping")
    check("the other guest is well", a.ask("ping -c 1 10.9.0.1") == 0, a.said)
    now("the end")


if __name__ == "__main__":
    sys.exit(main())
