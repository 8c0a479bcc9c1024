#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The vhost-user front end against DPDK's vhost driver in testpmd, no guest and no KVM: frames go
# out and come back, in both socket directions, over split and packed rings; testpmd is killed under
# traffic and comes back, and the probe knows of each frame what may have become of it.
#   vhost_user_dpdk.sh PROBE
set -u
probe=$1
command -v dpdk-testpmd >/dev/null || { echo "dpdk-testpmd is not installed" >&2; exit 77; }
[ "$(nproc)" -ge 2 ] || { echo "testpmd needs two cores" >&2; exit 77; }
dir=$(mktemp -d)
pmd='' prb=''
end() {
	[ -n "$pmd" ] && pkill -9 -P "$pmd"
	[ -n "$prb" ] && kill "$prb" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$dir"
}
trap end EXIT
fail() {
	echo "FAIL: $*" >&2
	tail -n 5 "$dir"/*.out >&2
	exit 1
}

# Standard input is left open: testpmd forwards until it is told or killed.
mkfifo "$dir/in"
exec 3<>"$dir/in"
testpmd() { # client|server pairs
	local client=0
	[ "$1" = client ] && client=1
	# It drops nothing because the other direction is not ready yet or is full for a moment.
	printf '%s\n' 'set fwd macswap retry' 'set burst tx delay 50 retry 20000' start >&3
	# A bound for a machine that forgets us.
	timeout -s KILL 100 dpdk-testpmd -l 0,1 --no-huge -m 128 --no-pci --no-shconf \
		--file-prefix="vuser$$" --no-telemetry \
		--vdev "net_vhost0,iface=$dir/sock,client=$client,queues=$2" -- -i \
		--total-num-mbufs=4096 --no-mlockall --no-flush-rx --rxq="$2" --txq="$2" \
		<"$dir/in" >"$dir/testpmd.out" 2>&1 &
	pmd=$!
}
killed() {
	# The time-out process and, with it gone, its child.
	pkill -9 -P "$pmd"
	wait "$pmd" 2>/dev/null
	pmd=
}
links_up() { # how often
	for _ in $(seq 400); do
		[ "$(grep -c 'link up' "$dir/probe.out")" -ge "$1" ] && return 0
		kill -0 "$prb" 2>/dev/null || break
		sleep 0.05
	done
	fail "no link"
}

run() { # probe's mode, testpmd's mode, pairs, what the probe negotiates
	[ "$1" = client ] && testpmd "$2" "$3"
	timeout 90 "$probe" "$dir/sock" "$1" 2 "$4,pairs=$3" >"$dir/probe.out" 2>&1 &
	prb=$!
	[ "$1" = server ] && testpmd "$2" "$3"
	for life in 1 2; do
		links_up "$life"
		sleep 0.7
		killed
		[ "$2" = server ] && rm -f "$dir/sock"
		testpmd "$2" "$3"
	done
	wait "$prb" || fail "probe as $1 with $4: $(tail -n 1 "$dir/probe.out")"
	prb=
	killed
	# Killed twice, reset once.
	grep -q ' starts 4 losses 2 ' "$dir/probe.out" || fail "$(tail -n 1 "$dir/probe.out")"
	echo "ok: front end as $1, $3 pairs, $4: $(grep -m 1 '^ok' "$dir/probe.out")"
	rm -f "$dir/sock"
}
run server client 1 split
run client server 2 split,mrg
run server client 2 packed,mrg
run client server 1 packed
