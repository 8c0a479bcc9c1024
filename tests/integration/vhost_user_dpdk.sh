#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The vhost-user front end against DPDK's vhost driver in testpmd, no guest and no KVM: frames go
# out and come back, in both socket directions; testpmd is killed under traffic and comes back.
#   vhost_user_dpdk.sh PROBE
set -u
probe=$1
command -v dpdk-testpmd >/dev/null || { echo "dpdk-testpmd is not installed" >&2; exit 77; }
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
testpmd() { # client|server
	local client=0
	[ "$1" = client ] && client=1
	# A bound for a machine that forgets us.
	timeout -s KILL 100 dpdk-testpmd -l 0,1 --no-huge -m 128 --no-pci --no-shconf \
		--file-prefix="vuser$$" --no-telemetry \
		--vdev "net_vhost0,iface=$dir/sock,client=$client,queues=1" -- -i --auto-start \
		--total-num-mbufs=2048 --forward-mode=macswap --no-mlockall \
		<"$dir/in" >"$dir/testpmd.out" 2>&1 &
	pmd=$!
}
link_up() {
	for _ in $(seq 300); do
		grep -q 'link up' "$dir/probe.out" && return 0
		sleep 0.1
	done
	fail "no link"
}

[ "$(nproc)" -ge 2 ] || { echo "testpmd needs two cores" >&2; exit 77; }
run() { # probe's mode, testpmd's mode
	[ "$1" = client ] && testpmd "$2"
	timeout 90 "$probe" "$dir/sock" "$1" 20000 8000 >"$dir/probe.out" 2>&1 &
	prb=$!
	[ "$1" = server ] && testpmd "$2"
	link_up
	sleep 1
	# The time-out process and, with it gone, its child.
	pkill -9 -P "$pmd"
	wait "$pmd" 2>/dev/null
	[ "$2" = server ] && rm -f "$dir/sock"
	testpmd "$2"
	wait "$prb" || fail "probe as $1: $(tail -n 1 "$dir/probe.out")"
	prb=
	pkill -9 -P "$pmd"
	wait "$pmd" 2>/dev/null
	pmd=
	# Killed once, reset once.
	grep -q ' starts 3 losses 1 ' "$dir/probe.out" || fail "$(tail -n 1 "$dir/probe.out")"
	grep '^sent' "$dir/probe.out" | grep -qv ' twice 0 ' && fail "frames came twice"
	echo "ok: front end as $1: $(grep '^sent' "$dir/probe.out")"
	rm -f "$dir/sock"
}
run server client
run client server
