# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-or-later
# What the benchmarks share; sourced by bash, with $here the directory they are in.

skip()
{
	echo "SKIP: $*"
	exit 77
}

usage()
{
	sed -n '3,/^set /s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

# bench_arguments ARGUMENT...: leaves $build, $rounds, $json, $only.
bench_arguments()
{
	build='' rounds=5 json='' only=''
	while [ $# -gt 0 ]; do
		case $1 in
		--rounds | --json | --only)
			[ $# -gt 1 ] || usage
			declare -g "${1#--}=$2"
			shift
			;;
		-*) usage ;;
		*) [ -z "$build" ] || usage; build=$(cd "$1" && pwd) || exit 2 ;;
		esac
		shift
	done
	[ -n "$build" ] || usage
	[[ $rounds =~ ^[1-9][0-9]*$ ]] || usage
}

# What the lab is made of; a benchmark may set its own before bench_lab.
bench_lab_options=(--nic igb)

# bench_lab SCRIPT ARGUMENT...: run it with --inside in the lab; its output is left in the file $raw.
# VIADUCT_LAB_LOCK=FILE makes several build trees on one machine take turns.
bench_lab()
{
	local script=$1 status=0

	shift
	command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64: run ./scripts/setup"
	qemu-system-x86_64 -device help 2>/dev/null | grep -q '^name "igb"' ||
		skip "this QEMU has no igb: run ./scripts/setup"
	[ -x "$build/cli/viaduct-lab" ] || skip "$build/cli/viaduct-lab is not built"
	"$build/cli/viaduct" lab image >/dev/null || skip "no kernel for the lab"
	raw=$(mktemp)
	trap 'rm -f "$raw"' EXIT
	if [ -n "${VIADUCT_LAB_LOCK:-}" ]; then
		exec 9>"$VIADUCT_LAB_LOCK"
		flock 9
	fi
	"$build/cli/viaduct" lab run "${bench_lab_options[@]}" -- bash "${here:?}/$script" --inside "$build" "$@" \
		>"$raw" 9>&- </dev/null || status=$?
	if [ "$status" != 0 ]; then
		cat "$raw"
		echo "$script failed in the lab with status $status" >&2
		exit 1
	fi
}

# ---- in the lab ----

# bench_inside: from now on a failing command says which it was.
bench_inside()
{
	set -E
	trap 'echo "bench: ${BASH_SOURCE[0]##*/} line $LINENO: \"$BASH_COMMAND\" failed" >&2' ERR
}

# bench_tracing: what KVM and tracepoints count, from now on; leaves $tracing.
bench_tracing()
{
	tracing=/sys/kernel/tracing
	mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
	mountpoint -q $tracing || mount -t tracefs tracefs $tracing
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for()
{
	local end=$((SECONDS + $1))

	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

emit() # CASE ROUND KEY VALUE: a line of the output
{
	printf '%s\t%s\t%s\t%s\n' "$@"
}

# bench_vf: a VF for guests; leaves $pf and $vf.
bench_vf()
{
	local dir

	for dir in /sys/bus/pci/drivers/igb/0000:*; do
		pf=${dir##*/}
		break
	done
	viaduct vf carve --wait-link "$pf" 1 >/dev/null
	vf=$(basename "$(readlink "/sys/bus/pci/devices/$pf/virtfn0")")
	viaduct vf set "$vf" mac=02:00:00:00:00:01 >/dev/null
	viaduct vf bind "$vf" vfio-pci >/dev/null
}
