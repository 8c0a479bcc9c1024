#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: boot.sh BUILD_DIR [--rounds N] [--json FILE] [--only CASE,...]
# From the start of a VMM to the first line of userspace: time, KVM exits and memory of viaduct and of
# its peers, with the same kernel, initrd, 256 MiB and one vCPU, in one lab run and in mixed order.
# In the environment: BENCH_SEED=N for the same order again; BENCH_AGAINST=BUILD_DIR for another build
# of viaduct in the same run; EXTRA_<name>=COMMAND for one more QEMU.
# Exit status: 0; 1 a count is over its limit; 2 usage; 77 it cannot run here.
set -euo pipefail

marker="viaduct-guest: userspace"
cases="viaduct viaduct-kaslr microvm q35 viaduct+vf q35+vf lkvm"

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
# shellcheck source=tests/bench/lib.sh
. "$here/lib.sh"

if [ "${1:-}" != --inside ]; then
	bench_arguments "$@"
	bench_lab boot.sh "$rounds" "${only:-$cases}"
	python3 "$here/boot_report.py" "$raw" ${json:+"$json"}
	exit
fi

# ---- in the lab ----
bench_inside
build=$2 rounds=$3 wanted=,${4//[ ,]/,},
probe=$build/tests/bench/boot-probe
# Where no file has to come from the machine underneath.
mkdir -p /tmp/bench
kernel="" initrd=""
eval "$(viaduct lab image)"
cp "$kernel" /tmp/bench/kernel
cp "$initrd" /tmp/bench/initrd
mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug

guest=(-kernel /tmp/bench/kernel -initrd /tmp/bench/initrd -append "console=ttyS0 quiet")
qemu=(qemu-system-x86_64 -accel kvm -cpu host -smp 1 -m 256 -nodefaults -no-user-config -display none
	-serial stdio -no-reboot)
viaduct=(viaduct run --kernel /tmp/bench/kernel --initrd /tmp/bench/initrd --memory 256
	--cmdline "console=ttyS0 quiet")

vf=
if [[ $wanted == *+vf,* ]]; then
	bench_vf
fi

list=()
for c in viaduct viaduct-kaslr microvm q35 viaduct+vf q35+vf lkvm; do
	[[ $wanted == *,$c,* ]] || continue
	if [ "$c" = lkvm ] && ! command -v lkvm >/dev/null; then
		echo "bench: lkvm left out: kvmtool is not installed" >&2
		continue
	fi
	list+=("$c")
done

# command_of CASE: leaves the array $cmd.
command_of()
{
	case $1 in
	viaduct) cmd=("${viaduct[@]}") ;;
	viaduct-against) cmd=("$BENCH_AGAINST/cli/${viaduct[0]}" "${viaduct[@]:1}") ;;
	viaduct-kaslr) cmd=("${viaduct[@]}" --kaslr) ;;
	viaduct+vf) cmd=("${viaduct[@]}" --assign "$vf") ;;
	# rtc=on: without one Linux reads the absent CMOS 20,000 times before it gives up.
	microvm) cmd=("${qemu[@]}" -M "microvm,acpi=on,pcie=on,rtc=on" "${guest[@]}") ;;
	q35) cmd=("${qemu[@]}" -M q35 "${guest[@]}") ;;
	q35+vf) cmd=("${qemu[@]}" -M q35 -device "vfio-pci,host=$vf" "${guest[@]}") ;;
	lkvm) cmd=(lkvm run -k /tmp/bench/kernel -i /tmp/bench/initrd -m 256 -c 1 --console serial
		-p "console=ttyS0 quiet") ;;
	*)
		read -ra cmd <<<"${!1}"
		cmd+=("${guest[@]}")
		;;
	esac
}
for c in ${!EXTRA_*}; do
	list+=("$c")
done
[ -z "${BENCH_AGAINST:-}" ] || list+=(viaduct-against)

seed=${BENCH_SEED:-$RANDOM}
echo "bench: seed $seed" >&2
RANDOM=$seed
# Round 0 warms the page cache and does not count.
for round in $(seq 0 "$rounds"); do
	order=
	for c in "${list[@]}"; do
		order+="$RANDOM $c"$'\n'
	done
	# shellcheck disable=SC2013
	for c in $(sort -n <<<"$order" | cut -d' ' -f2); do
		command_of "$c"
		if r=$("$probe" "$marker" "${cmd[@]}"); then
			printf '%s\t%s\t%s\n' "$round" "$c" "$r"
			echo "bench: round $round: $c: $r" >&2
		else
			echo "bench: round $round: $c did not boot" >&2
			printf '%s\t%s\t{}\n' "$round" "$c"
		fi
	done
done
