#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vfio/ against real igb VFs, VT-d and vfio-pci in the lab: regions, interrupts, mappings, and each
# refusal with the words that say what to do.
# Usage: vfio.sh BUILD_DIR (runs itself in the lab)
set -u

if [ "${1:-}" != --inside ]; then
	build=$(cd "${1:-build}" && pwd) || exit 1
	lab=$build/cli/viaduct-lab
	[ -x "$lab" ] || { echo "skipped: $lab is not built"; exit 77; }
	command -v qemu-system-x86_64 >/dev/null || { echo "skipped: no qemu-system-x86_64"; exit 77; }
	self=$(readlink -f "$0")
	"$lab" run --nic igb -- bash "$self" --inside "$build" main || exit 1
	"$lab" run --iommu none --nic igb -- bash "$self" --inside "$build" none
	exit
fi

info=$2/vfio/viaduct-vdev-info
probe=$2/tests/e2e/vfio-probe
failed=0 out= rc=0
dev=/sys/bus/pci/devices

ok() # DESCRIPTION COMMAND...
{
	local what=$1
	shift
	if "$@"; then
		echo "ok: $what"
	else
		echo "FAILED: $what (exit $rc, output: $out)"
		failed=1
	fi
}

run() # COMMAND...; leaves $out and $rc
{
	out=$("$@" 2>&1)
	rc=$?
}

exits() { [ "$rc" = "$1" ]; }
says() { [[ $out == *"$1"* ]]; }
refuses() # DESCRIPTION BDF WORDS...
{
	local what=$1 bdf=$2
	shift 2
	run "$info" "$bdf"
	ok "$what: exit status 1" exits 1
	for words in "$bdf: " "$@"; do
		ok "$what: says \"$words\"" says "$words"
	done
}

bind() # BDF DRIVER
{
	echo "$2" >"$dev/$1/driver_override"
	[ -e "$dev/$1/driver" ] && echo "$1" >"$dev/$1/driver/unbind"
	echo "$1" >/sys/bus/pci/drivers_probe
	[ "$(basename "$(readlink "$dev/$1/driver")")" = "$2" ]
}

pf=$(basename "$(ls -d /sys/bus/pci/drivers/igb/0000:* | head -1)")
if [ "$3" = none ]; then
	refuses "no IOMMU" "$pf" "no IOMMU group" "intel_iommu=on"
	exit $failed
fi

ip link set "$(ls "$dev/$pf/net")" up
echo 2 >"$dev/$pf/sriov_numvfs"
vf0=$(basename "$(readlink "$dev/$pf/virtfn0")")
vf1=$(basename "$(readlink "$dev/$pf/virtfn1")")
group=$(basename "$(readlink "$dev/$vf0/iommu_group")")
bridge=$(for d in "$dev"/*; do
	[[ $(<"$d/class") == 0x0604* ]] && basename "$d" && break
done)
echo "PF $pf, VFs $vf0 (group $group) $vf1, bridge $bridge"

refuses "a VF on its own driver" "$vf0" "bound to igbvf" "viaduct vf bind $vf0 vfio-pci"
refuses "a missing function" 0000:7f:1f.7 "no such PCI function"
refuses "a bridge" "$bridge" "is a bridge"
echo "$vf0" >"$dev/$vf0/driver/unbind"
refuses "a VF without a driver" "$vf0" "no driver is bound"

ok "both VFs are bound to vfio-pci" eval 'bind $vf0 vfio-pci && bind $vf1 vfio-pci'
run "$info" "$vf0"
echo "$out"
ok "viaduct-vdev-info opens the VF" exits 0
ok "it is an igb VF that can be reset" says "id 8086:10ca reset"
for line in "region BAR0    size 0x4000 rwm" "region BAR3    size 0x4000 rwm" \
	"region config  size 0x1000 rw-" "irq    MSI-X   count 3" "irq    error   count 1" \
	"irq    request count 1" "window [0, 0xfee00000)"; do
	ok "it lists: $line" says "$line"
done

run "$probe" use "$vf0" "$vf1"
echo "$out"
ok "all calls work" exits 0
echo 4 >/sys/module/vfio_iommu_type1/parameters/dma_entry_limit
run "$probe" limit "$vf0"
echo "$out"
ok "the entry limit is told" exits 0
echo 65535 >/sys/module/vfio_iommu_type1/parameters/dma_entry_limit
run "$probe" memlock "$vf0"
echo "$out"
ok "the memory limit is told" exits 0

# Busy: the group of vf0 is held by another process, which then dies without a word.
coproc HOLD { exec "$probe" hold "$vf0"; }
holder=$HOLD_PID
read -r -t 30 line <&"${HOLD[0]}"
ok "another process holds the VF" test "$line" = held
refuses "a VF in use" "$vf0" "in use" "process $holder (vfio-probe)" "/dev/vfio/$group"
run "$info" "$vf1"
ok "the other VF is free" exits 0
kill -9 "$holder"
wait "$holder" 2>/dev/null
run "$info" "$vf0"
ok "after kill -9 of the holder it opens at once" exits 0

run setpriv --reuid 65534 --regid 65534 --clear-groups "$info" "$vf0"
ok "without permission: exit status 1" exits 1
ok "without permission: says which node" says "no permission to open /dev/vfio/$group"

# Three functions of the chipset share a group: one on vfio-pci, one on a host driver.
sata=0000:00:1f.2 smbus=0000:00:1f.3
if modprobe ahci 2>/dev/null && [ -e "$dev/$sata/driver" ] && bind $smbus vfio-pci; then
	refuses "a group that is not viable" $smbus "not viable" "$sata (bound to ahci)"
	bind $sata vfio-pci
	run "$info" $smbus
	ok "with its sibling on vfio-pci it opens" exits 0
else
	echo "not shown: a group that is not viable (no host driver for $sata here)"
fi

# A PF on vfio-pci makes its VFs demand a token.
echo 0 >"$dev/$pf/sriov_numvfs"
if echo 1 >/sys/module/vfio_pci/parameters/enable_sriov && bind "$pf" vfio-pci &&
	echo 1 >"$dev/$pf/sriov_numvfs"; then
	vf0=$(basename "$(readlink "$dev/$pf/virtfn0")")
	refuses "a VF of a PF on vfio-pci" "$vf0" "VF token"
else
	echo "not shown: a VF token (this vfio-pci makes no VFs)"
fi
exit $failed
