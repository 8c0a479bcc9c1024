#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The vhost-user front end on `viaduct switch`, no guest and no KVM: frames between two links, in both
# socket directions, over split and packed rings. The switch is killed under traffic and comes back;
# then the front end is, and another one takes its place.
#   vhost_user_switch.sh PROBE VIADUCT
set -u
probe=$1 viaduct=$2
[ "$(nproc)" -ge 2 ] || { echo "the switch needs a core to itself" >&2; exit 77; }
dir=$(mktemp -d)
sw='' prb=''
end() {
	[ -n "$sw" ] && kill -9 "$sw" 2>/dev/null
	[ -n "$prb" ] && kill -9 "$prb" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$dir"
}
trap end EXIT
fail() {
	echo "FAIL: $*" >&2
	tail -n 5 "$dir"/*.out >&2
	exit 1
}

switch_up() { # true: the switch connects
	cat >"$dir/switch.yaml" <<-END
		socket: $dir/control
		core: 1
		ports:
		- {name: a, vhost-user: $dir/a.sock, client: $1}
		- {name: b, vhost-user: $dir/b.sock, client: $1}
	END
	"$viaduct" switch run --config "$dir/switch.yaml" >"$dir/switch.out" 2>&1 &
	sw=$!
}
killed() { # PID
	kill -9 "$1"
	wait "$1" 2>/dev/null
}
probe_up() { # server|client, losses, what is negotiated
	timeout -s KILL 90 "$probe" "$dir/a.sock,$dir/b.sock" "$1" "$2" "$3" >"$dir/probe.out" 2>&1 &
	prb=$!
}
links_up() { # how often
	for _ in $(seq 400); do
		[ "$(grep -c 'link up' "$dir/probe.out")" -ge "$1" ] && return 0
		kill -0 "$prb" 2>/dev/null || break
		sleep 0.05
	done
	fail "no link"
}

run() { # the front end's mode, what is negotiated
	local client=false

	[ "$1" = server ] && client=true
	rm -f "$dir"/*.sock
	switch_up "$client"
	probe_up "$1" 2 "$2"
	for life in 1 2; do
		links_up "$life"
		sleep 0.5
		killed "$sw"
		switch_up "$client"
	done
	wait "$prb" || fail "front end as $1 with $2: $(tail -n 1 "$dir/probe.out")"
	grep -q ' starts 4 losses 2 ' "$dir/probe.out" || fail "$(tail -n 1 "$dir/probe.out")"
	echo "ok: front end as $1, $2: $(grep -m 1 '^ok' "$dir/probe.out")"

	probe_up "$1" 99 "$2"
	links_up 1
	sleep 0.5
	pkill -9 -P "$prb"
	wait "$prb" 2>/dev/null # time-out and probe
	probe_up "$1" 0 "$2"
	wait "$prb" || fail "after a front end was killed: $(tail -n 1 "$dir/probe.out")"
	echo "ok: after a front end was killed: $(grep -m 1 '^ok' "$dir/probe.out")"
	prb=
	killed "$sw"
	sw=
}
run server split,mrg
run client packed,mrg
run client split,mrg,pairs=2
run server packed
