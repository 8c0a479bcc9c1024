#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vfio/ against real igb VFs, VT-d and vfio-pci in the lab: regions, interrupts, mappings, and each
# refusal with the words that say what to do.
# shellcheck disable=SC2154
# shellcheck source=tests/lib/vf.sh
. "${0%/*}/../lib/vf.sh"
in_lab --nic igb --nic e1000e + --iommu none --nic igb

info=$build/vfio/viaduct-vdev-info
probe=$build/tests/e2e/vfio-probe

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

pf=$(by_driver igb)
if [[ $VIADUCT_TEST_LAB == *none* ]]; then
	refuses "no IOMMU" "$pf" "no IOMMU group" "intel_iommu=on"
	done_testing
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

ok "both VFs are bound to vfio-pci" eval 'bind_by_hand $vf0 vfio-pci && bind_by_hand $vf1 vfio-pci'
run "$info" "$vf0"
echo "$said"
ok "viaduct-vdev-info opens the VF" exits 0
ok "it is an igb VF that can be reset" says "id 8086:10ca reset"
for line in "region BAR0    size 0x4000 rwm" "region BAR3    size 0x4000 rwm" \
	"region config  size 0x1000 rw-" "irq    MSI-X   count 3" "irq    error   count 1" \
	"irq    request count 1" "window [0, 0xfee00000)"; do
	ok "it lists: $line" says "$line"
done

run "$probe" use "$vf0" "$vf1"
echo "$said"
ok "all calls work" exits 0
echo 4 >/sys/module/vfio_iommu_type1/parameters/dma_entry_limit
run "$probe" limit "$vf0"
echo "$said"
ok "the entry limit is told" exits 0
echo 65535 >/sys/module/vfio_iommu_type1/parameters/dma_entry_limit
run "$probe" memlock "$vf0"
echo "$said"
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

# An e1000e has no FLR, and in this host the way through D3hot leaves its registers as they are.
nic=$(by_driver e1000e)
bind_by_hand "$nic" vfio-pci
echo "$nic: reset_method $(<"$dev/$nic/reset_method")"
run "$probe" leave "$nic"
ok "a process dies with the NIC's receive ring programmed" says "ok: its receive ring is programmed"
run "$probe" fresh "$nic"
echo "$said"
ok "the next finds the NIC reset" exits 0

# Three functions of the chipset share a group: one on vfio-pci, one on a host driver.
sata=0000:00:1f.2 smbus=0000:00:1f.3
if modprobe ahci 2>/dev/null && [ -e "$dev/$sata/driver" ] && bind_by_hand $smbus vfio-pci; then
	refuses "a group that is not viable" $smbus "not viable" "$sata (bound to ahci)"
	bind_by_hand $sata vfio-pci
	run "$info" $smbus
	ok "with its sibling on vfio-pci it opens" exits 0
else
	echo "not shown: a group that is not viable (no host driver for $sata here)"
fi

# A PF on vfio-pci makes its VFs demand a token.
echo 0 >"$dev/$pf/sriov_numvfs"
if echo 1 >/sys/module/vfio_pci/parameters/enable_sriov && bind_by_hand "$pf" vfio-pci &&
	echo 1 >"$dev/$pf/sriov_numvfs"; then
	vf0=$(basename "$(readlink "$dev/$pf/virtfn0")")
	refuses "a VF of a PF on vfio-pci" "$vf0" "VF token"
else
	echo "not shown: a VF token (this vfio-pci makes no VFs)"
fi
done_testing
