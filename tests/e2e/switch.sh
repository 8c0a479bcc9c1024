#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `viaduct switch` as a process: frames between two virtio-user ports of testpmd, pcap ports with
# VLANs, changes while it runs, kill -9 under traffic, and what it says to wrong configurations.
# Usage: switch.sh BUILD_DIR
set -u
build=$(cd "${1:-build}" && pwd) || exit 1
viaduct=$build/cli/viaduct
[ -x "$build/cli/viaduct-switch" ] || { echo "skipped: viaduct-switch is not built"; exit 77; }
command -v dpdk-testpmd >/dev/null || { echo "skipped: no dpdk-testpmd (package dpdk-dev)"; exit 77; }
[ "$(nproc)" -ge 2 ] || { echo "skipped: needs two CPUs"; exit 77; }

dir=$(mktemp -d)
export VIADUCT_SWITCH=$dir/control
pid= peer= failed=0 out=

finish()
{
	[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null
	[ -z "$peer" ] || kill -9 "$peer" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT

ok() # DESCRIPTION COMMAND...
{
	local what=$1
	shift
	if "$@"; then
		echo "ok: $what"
	else
		echo "FAILED: $what${out:+ (output: $out)}"
		failed=1
	fi
}

ask() { out=$("$viaduct" switch "$@" 2>&1); }
says() { [[ $out == *"$1"* ]]; }
wait_for() # COMMAND...: within 5 s or so
{
	for _ in $(seq 50); do
		"$@" && return 0
		sleep 0.1
	done
	return 1
}

start() # FILE
{
	"$viaduct" switch run --config "$1" 2>"$dir/log" &
	pid=$!
	wait_for test -S "$dir/control" || { cat "$dir/log"; return 1; }
	wait_for ask stats
}

stop() # SIGNAL
{
	kill "-$1" "$pid" && wait "$pid" 2>/dev/null
	local rc=$?
	pid=
	return $rc
}

# field PORT KEY: a number of `stats`
field()
{
	"$viaduct" switch --json stats 2>/dev/null | python3 -c '
import json, sys
text = sys.stdin.read() or exit(print(-1))
p = [p for p in json.loads(text)["ports"] if p["name"] == sys.argv[1]][0]
print(p["drops"].get(sys.argv[2], 0) if sys.argv[2] not in p else p[sys.argv[2]])' "$1" "$2"
}
more_than() { [ "$(field "$1" "$2")" -gt "$3" ]; }

# testpmd SERVER FEATURES: two ports that send to each other through the switch, for ever
testpmd()
{
	rm -f "$dir/in"
	mkfifo "$dir/in"
	dpdk-testpmd --lcores '0@1,1@1' --no-pci --no-huge -m 256 --no-telemetry --no-shconf \
		--file-prefix="e2e-$$" \
		--vdev "net_virtio_user0,path=$dir/a,queue_size=256,server=$1,mac=02:00:00:00:00:0a,$2" \
		--vdev "net_virtio_user1,path=$dir/b,queue_size=256,server=$1,mac=02:00:00:00:00:0b,$2" \
		-- -i --forward-mode=mac --total-num-mbufs=16384 \
		--eth-peer=0,02:00:00:00:00:0b --eth-peer=1,02:00:00:00:00:0a \
		<"$dir/in" >"$dir/testpmd" 2>&1 &
	peer=$!
	exec 3>"$dir/in"
}

testpmd_end()
{
	echo stop >&3
	echo quit >&3
	exec 3>&-
	wait "$peer" 2>/dev/null
	peer=
}

both_up() { ask port list && [ "$(grep -c ' up ' <<<"$out")" = 2 ]; }

# --- wrong configurations
refuses() # DESCRIPTION WORDS YAML
{
	printf '%b' "$3" >"$dir/bad.yaml"
	out=$(timeout 20 "$viaduct" switch run --config "$dir/bad.yaml" 2>&1)
	[ $? = 1 ] && says "$2"
	ok "refuses $1" test $? = 0
}
top="socket: $dir/control\n"
refuses "an unknown key" "bad.yaml:2:1: 'speed' is no key here" "${top}speed: 3\n"
refuses "a wrong value and names the line" "bad.yaml:2:7: core" "${top}core: fast\n"
refuses "two ports of one name" "two ports 'a'" \
	"${top}ports:\n- {name: a, vhost-user: $dir/a}\n- {name: a, vhost-user: $dir/b}\n"
refuses "a CPU that is not there" "core" "${top}core: 1000\n"
touch "$dir/file"
refuses "a path that is no socket" "is no socket" "${top}ports:\n- {name: a, vhost-user: $dir/file}\n"
refuses "a directory that is not there" "No such file" \
	"${top}ports:\n- {name: a, vhost-user: $dir/none/a}\n"
refuses "a device nobody drives" "no DPDK driver" "${top}ports:\n- {name: a, device: net_none0}\n"
ok "leaves nothing of what it refused" test "$(ls "$dir")" = "$(printf 'bad.yaml\nfile')"

# --- frames between two guests
cat >"$dir/server.yaml" <<END
socket: $dir/control
core: 0
ports:
- {name: a, vhost-user: $dir/a}
- {name: b, vhost-user: $dir/b}
END
ok "starts" start "$dir/server.yaml"
out=$(timeout 20 "$viaduct" switch run --config "$dir/server.yaml" 2>&1)
ok "a second one does not take its sockets" says "somebody listens"
ask port list
ok "says why a link is down" says "nobody has connected"
before=$(awk '{print $14 + $15}' "/proc/$pid/stat")
sleep 2
ok "sleeps when nothing moves" test $(($(awk '{print $14 + $15}' "/proc/$pid/stat") - before)) -le 4

for features in mrg_rxbuf=1,in_order=0 mrg_rxbuf=0,in_order=0 mrg_rxbuf=1,in_order=1 packed_vq=1,mrg_rxbuf=1; do
	testpmd 0 "$features"
	ok "testpmd connects with $features" wait_for both_up
	a=$(field a tx-packets) b=$(field b tx-packets)
	echo "start tx_first 4" >&3
	wait_for more_than a tx-packets $((a + 20000)) && wait_for more_than b tx-packets $((b + 20000))
	ok "frames go both ways with $features" test $? = 0
	testpmd_end
done
ask fdb show
ok "has learned one address" says "02:00:00:00:00:0a  1     a"
ok "has learned the other" says "02:00:00:00:00:0b  1     b"
ok "testpmd got all that was sent" test "$(grep -c 'RX-dropped: 0 ' "$dir/testpmd")" -ge 3

# --- changes while it runs
ok "adds a port" ask port add "{name: c, vhost-user: $dir/c, vlan: {access: 7}}"
ok "with its socket" test -S "$dir/c"
ask port add "{name: c, vhost-user: $dir/d}"
ok "refuses a name twice" says "there is a port 'c' already"
ask port add "{name: d, vhost-user: $dir/c}"
ok "refuses a socket twice" says "already"
ask port add "{name: d, vhost-user: $dir/d, vlan: {access: 5000}}"
ok "refuses an impossible VLAN" says "1 to 4094"
ok "adds a static address" ask fdb add 02:00:00:00:00:0c --port c --vlan 7
ask fdb add 02:00:00:00:00:0c --port c
ok "refuses one in a VLAN the port is not in" says "not in VLAN 1"
ok "removes the port" ask port del c
ok "and its socket" test ! -e "$dir/c"
ask fdb show
ok "and its addresses" eval '! says 0c'
ask fdb flush
ok "flushes" says "2 removed"
ask port del c
ok "does not remove it twice" says "no port 'c'"
for text in '' 'x' '[]' '{"method":1}' '{"method":"stats","params":[]}' '{"method":"none"}' \
	'{"method":"port.add"}' '{"method":"fdb.add","params":{"mac":1,"port":"a"}}'; do
	out=$(python3 - "$dir/control" "$text" <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\n")
print(s.makefile().readline())
END
	)
	ok "answers '$text' with an error" says '"error"'
done
stop TERM
ok "ends when told to" test $? = 0
ok "and leaves nothing" test ! -e "$dir/a" -a ! -e "$dir/b" -a ! -e "$dir/control"

# --- kill -9 under traffic; the guest side keeps the sockets
sed "s|$dir/\([ab]\)}|$dir/\1, client: true}|" "$dir/server.yaml" >"$dir/client.yaml"
testpmd 1 mrg_rxbuf=1,in_order=0
ok "starts as a client" start "$dir/client.yaml"
ok "connects to who listens" wait_for both_up
echo "start tx_first 4" >&3
ok "frames go" wait_for more_than a tx-packets 20000
stop KILL
ok "leaves no files in /tmp when killed" test -z "$(ls -d /tmp/viaduct-switch-* 2>/dev/null)"
from=$(date +%s%3N)
ok "starts again over what it left" start "$dir/client.yaml"
ok "connects again" wait_for both_up
echo stop >&3
echo "start tx_first 4" >&3
ok "frames go again" wait_for more_than a tx-packets 1000
echo "after $(($(date +%s%3N) - from)) ms"
testpmd_end
stop TERM

# --- VLANs, told from files of frames
python3 - "$dir" <<'END'
import struct, sys
def pcap(name, frames):
    with open(f"{sys.argv[1]}/{name}", "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for b in frames:
            f.write(struct.pack("<IIII", 0, 0, len(b), len(b)) + b)
def frame(dst, src, vid=None, n=0):
    tag = b"" if vid is None else struct.pack("!HH", 0x8100, vid)
    return bytes.fromhex(dst) + bytes.fromhex(src) + tag + b"\x88\xb5" + bytes([n]) * 50
A, ALL = "020000000001", "ff" * 6
pcap("in.pcap", [frame(ALL, A, n=1), frame(ALL, A, 10, 2), frame(ALL, A, 20, 3), frame(ALL, A, 99, 4),
                 frame(ALL, ALL, n=5), b"\0" * 13])
END
cat >"$dir/pcap.yaml" <<END
socket: $dir/control
ports:
- {name: t1, device: "net_pcap1,tx_pcap=$dir/t1.pcap", vlan: {access: 1}}
- {name: t10, device: "net_pcap2,tx_pcap=$dir/t10.pcap", vlan: {access: 10}}
- {name: all, device: "net_pcap3,tx_pcap=$dir/all.pcap", vlan: {trunk: ["1-4094"]}}
- {name: in, device: "net_pcap0,rx_pcap=$dir/in.pcap", vlan: {native: 1, trunk: ["10", "20"]}}
END
ok "starts with files as ports" start "$dir/pcap.yaml"
ok "reads them" wait_for more_than in rx-packets 5
ok "names a VLAN that is not the port's" test "$(field in vlan-not-allowed)" = 1
ok "names a source that is a group" test "$(field in bad-source)" = 1
ok "names a frame that is none" test "$(field in runt)" = 1
stop TERM
out=$(python3 - "$dir" <<'END'
import struct, sys
for name in "t1", "t10", "all":
    b = open(f"{sys.argv[1]}/{name}.pcap", "rb").read()[24:]
    got = []
    while b:
        n = struct.unpack("<I", b[8:12])[0]
        f, b = b[16:16 + n], b[16 + n:]
        tag = f[12:14] == b"\x81\x00"
        got.append(f"{f[-1]}" + (f"@{struct.unpack('!H', f[14:16])[0]}" if tag else ""))
    print(name, *got, end="; ")
END
)
ok "each port gets its VLANs in its form" test "$out" = "t1 1; t10 2; all 1@1 2@10 3@20; "

[ $failed = 0 ] && echo "all passed"
exit $failed
