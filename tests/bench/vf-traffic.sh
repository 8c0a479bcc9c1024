#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: vf-traffic.sh BUILD_DIR [--rounds N] [--json FILE] [--only CASE,...]
# Steady traffic through an assigned VF, to the guest and back, and what it costs the VMM: exits to
# the process, wake-ups of its main thread, interrupts; viaduct and QEMU q35 in one lab run.
# Exit status: 0; 1 a packet costs an exit or an interrupt of the process; 2 usage; 77 it cannot run.
set -euo pipefail

cases="viaduct q35"
packets=3000 # there, and as many back

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
# shellcheck source=tests/bench/lib.sh
. "$here/lib.sh"

if [ "${1:-}" != --inside ]; then
	bench_arguments "$@"
	image=$("$build/cli/viaduct" lab image --add "$build/tests/bench/packets=/bin/packets") ||
		skip "no image for the guest"
	bench_lab vf-traffic.sh "$rounds" "${only:-$cases}" "$image"
	python3 "$here/vf_traffic_report.py" "$raw" ${json:+"$json"}
	exit
fi

# ---- in the lab ----
bench_inside
build=$2 rounds=$3 wanted=${4//,/ }
kernel="" initrd=""
eval "$5"
bench_tracing

bench_vf
netdev=$(ls "/sys/bus/pci/devices/$pf/net")
ip addr add 10.7.0.1/24 dev "$netdev"
ip link set "$netdev" up

script=$(base64 -w0 <<'END'
for n in /sys/class/net/*; do [ -e $n/device ] && dev=${n##*/}; done
ip addr add 10.7.0.2/24 dev $dev
ip link set $dev up
until [ "$(cat /sys/class/net/$dev/carrier 2>/dev/null)" = 1 ]; do usleep 100000; done
echo bench-ready
exec packets echo 7000
END
)
append="console=ttyS0 quiet viaduct.run=$script"

# What the process and KVM have counted so far. viaduct's own figures come first before the traffic
# and last after it, for asking costs a wake-up.
own_stats() # CASE ROUND KEY
{
	[ "$1" = viaduct ] || return 0
	rm -f /tmp/stats.json
	kill -USR1 "$pid"
	wait_for 10 test -e /tmp/stats.json
	emit "$1" "$2" "$3" "$(tr -d '\n' </tmp/stats.json)"
}

outside() # CASE ROUND WHEN
{
	local d n

	for n in exits io_exits mmio_exits irq_injections; do
		for d in /sys/kernel/debug/kvm/"$pid"-*; do
			emit "$1" "$2" "kvm_$n.$3" "$(cat "$d/$n")"
		done
	done
	emit "$1" "$2" "wakeups.$3" \
		"$(sed -n 's/^voluntary_ctxt_switches:\t//p' "/proc/$pid/task/$pid/status")"
	emit "$1" "$2" "vfio_irqs.$3" \
		"$(awk '/vfio-msi/ {for (i = 2; $i ~ /^[0-9]+$/; i++) s += $i} END {print s + 0}' /proc/interrupts)"
}

interval() # CASE ROUND COMMAND...: leaves what happened meanwhile in the output
{
	local c=$1 r=$2 out

	shift 2
	own_stats "$c" "$r" stats.a
	outside "$c" "$r" a
	echo >$tracing/trace
	echo 1 >$tracing/events/kvm/kvm_userspace_exit/enable
	out=$("$@") || true
	echo 0 >$tracing/events/kvm/kvm_userspace_exit/enable
	outside "$c" "$r" b
	own_stats "$c" "$r" stats.b
	emit "$c" "$r" traced "$(grep -c 'kvm_userspace_exit:' $tracing/trace || true)"
	emit "$c" "$r" reasons "$(sed -n 's/.*kvm_userspace_exit: reason \([A-Z_]*\).*/\1/p' $tracing/trace |
		sort | uniq -c | tr -s ' \n' ' ')"
	emit "$c" "$r" blast "${out:-{\}}"
}

for c in $wanted; do
	log=/tmp/$c.log
	case $c in
	viaduct) viaduct run --kernel "$kernel" --initrd "$initrd" --memory 256 --cmdline "$append" \
		--assign "$vf" --name bench --stats /tmp/stats.json </dev/null >"$log" 2>&1 & ;;
	q35) qemu-system-x86_64 -accel kvm -cpu host -M q35 -smp 1 -m 256 -nodefaults -no-user-config \
		-display none -serial stdio -no-reboot -kernel "$kernel" -initrd "$initrd" \
		-append "$append" -device "vfio-pci,host=$vf" </dev/null >"$log" 2>&1 & ;;
	*)
		echo "bench: no case '$c'" >&2
		exit 2
		;;
	esac
	pid=$!
	if ! wait_for 90 grep -q bench-ready "$log"; then
		echo "bench: $c: the guest's VF did not come up:" >&2
		tail -n 20 "$log" >&2
		exit 1
	fi
	# ARP, and whatever else comes once.
	for _ in $(seq 10); do
		"$build/tests/bench/packets" blast 10.7.0.2 7000 50 100 >/dev/null && break
		sleep 0.5
	done
	# Round 0 is without traffic: what happens anyway.
	interval "$c" 0 sleep 3
	for round in $(seq "$rounds"); do
		interval "$c" "$round" "$build/tests/bench/packets" blast 10.7.0.2 7000 $packets 100
	done
	kill -TERM "$pid"
	wait "$pid" || true
done
