#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: start.sh BUILD_DIR [--json FILE] [--only CASE,...]
# What a VMM asks of the kernel before its first KVM_RUN: system calls, ioctls by name (strace), and
# what the IOMMU is made to map. Counts only: strace makes everything slow.
# Exit status: 0; 1 a case did not start; 2 usage; 77 it cannot run here.
set -euo pipefail

cases="viaduct viaduct+vf microvm q35+vf"

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
# shellcheck source=tests/bench/lib.sh
. "$here/lib.sh"

if [ "${1:-}" != --inside ]; then
	bench_arguments "$@"
	command -v strace >/dev/null || skip "no strace: install the Debian package strace"
	bench_lab start.sh "${only:-$cases}"
	python3 "$here/start_report.py" "$raw" ${json:+"$json"}
	exit
fi

# ---- in the lab ----
bench_inside
wanted=${3//,/ }
tracing=/sys/kernel/tracing
kernel="" initrd=""
eval "$(viaduct lab image)"
mountpoint -q $tracing || mount -t tracefs tracefs $tracing

bench_vf

viaduct=(viaduct run --kernel "$kernel" --initrd "$initrd" --memory 256 --cmdline "console=ttyS0 quiet")
qemu=(qemu-system-x86_64 -accel kvm -cpu host -smp 1 -m 256 -nodefaults -no-user-config -display none
	-serial stdio -no-reboot -kernel "$kernel" -initrd "$initrd" -append "console=ttyS0 quiet")
command_of()
{
	case $1 in
	viaduct) cmd=("${viaduct[@]}") ;;
	viaduct+vf) cmd=("${viaduct[@]}" --assign "$vf" --stats /tmp/stats.json) ;;
	microvm) cmd=("${qemu[@]}" -M "microvm,acpi=on,pcie=on,rtc=on") ;;
	q35+vf) cmd=("${qemu[@]}" -M q35 -device "vfio-pci,host=$vf") ;;
	*)
		echo "bench: no case '$1'" >&2
		exit 2
		;;
	esac
}

for c in $wanted; do
	command_of "$c"
	echo >$tracing/trace
	echo 1 >$tracing/events/iommu/map/enable
	strace -f -qq -o /tmp/trace "${cmd[@]}" </dev/null >/tmp/out 2>&1 &
	strace=$!
	for _ in $(seq 600); do
		grep -q 'KVM_RUN' /tmp/trace 2>/dev/null && break
		kill -0 "$strace" 2>/dev/null || break
		sleep 0.1
	done
	echo 0 >$tracing/events/iommu/map/enable
	# Its child is the VMM.
	pkill -TERM -P "$strace" || true
	wait "$strace" || true
	if ! grep -q KVM_RUN /tmp/trace; then
		echo "bench: $c did not start:" >&2
		tail -n 5 /tmp/out >&2
		exit 1
	fi
	# Lines of other threads may follow the first KVM_RUN's; they are not looked at.
	sed '/KVM_RUN/q' /tmp/trace | sed -E -n \
		-e 's/^[0-9]+ +ioctl\([0-9]+, ([A-Z_0-9]+|0x[0-9a-f]+).*/ioctl \1/p;t' \
		-e 's/^[0-9]+ +([a-z0-9_]+)\(.*/\1/p' |
		sort | uniq -c | while read -r n what; do
		printf '%s\t%s\t%s\n' "$c" "$what" "$n"
	done
	# iommu:map: IOMMU: iova=0x... - 0x... paddr=0x... size=N
	printf '%s\tiommu maps\t%s\n' "$c" "$(grep -c 'map: IOMMU' $tracing/trace || true)"
	printf '%s\tiommu bytes\t%s\n' "$c" \
		"$(sed -n 's/.*map: IOMMU.*size=\([0-9]*\).*/\1/p' $tracing/trace | awk '{s += $1} END {printf "%.0f", s}')"
	if [ "$c" = viaduct+vf ] && [ -s /tmp/stats.json ]; then
		printf '%s\tstats\t%s\n' "$c" "$(tr -d '\n' </tmp/stats.json)"
	fi
done
