#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# passthrough/ against a real igb VF, VT-d, vfio-pci and KVM in the lab, and dma-probe on a VF of the
# emulated host itself: the fault must show in its log. An NVMe controller with 2048 vectors, of which the
# host has interrupts for some: they are fired by VFIO and counted by a guest.
# shellcheck disable=SC2154
# shellcheck source=tests/lib/vf.sh
. "${0%/*}/../lib/vf.sh"
in_lab --nic igb --nvme-vectors 2048

pf=$(by_driver igb)
netdev=$(ls "$dev/$pf/net")
ip link set "$netdev" up
until_true 10 carrier "$pf"
echo 1 >"$dev/$pf/sriov_numvfs"
vf=$(basename "$(readlink "$dev/$pf/virtfn0")")
until_true 10 test -d "$dev/$vf/net"
until_true 10 carrier "$pf"

address=0x7000000000
dmesg -C
ok "dma-probe makes the VF read at $address" "$build/tests/guest/dma-probe" "$vf" $address
fault=$(dmesg | grep "DMAR: .*fault addr $address")
echo "$fault"
ok "the IOMMU stopped it and names the VF" test -n "$fault" -a -z "${fault##*"[${vf#0000:}]"*}"
ok "igbvf takes the VF back" "$build/tests/guest/dma-probe" --rebind "$vf"

bind_by_hand "$vf" vfio-pci
dmesg -C
ok "the probe passes" "$build/tests/e2e/passthrough-probe" "$vf"
bad=$(dmesg | grep -E "BUG|WARNING|Oops|DMAR: .*fault")
ok "the host's log has no fault and no warning" test -z "$bad"
[ -z "$bad" ] || echo "$bad"
echo >"$dev/$vf/driver_override"
echo "$vf" >"$dev/$vf/driver/unbind"
echo "$vf" >/sys/bus/pci/drivers_probe
ok "igbvf takes the VF back after assignment" test "$(basename "$(readlink "$dev/$vf/driver")")" = igbvf

nvme=$(by_driver nvme)
bind_by_hand "$nvme" vfio-pci
dmesg -C
ok "every vector that the host has an interrupt for arrives" "$build/tests/e2e/vectors-probe" "$nvme"
bad=$(dmesg | grep -E "BUG|WARNING|Oops|DMAR: .*fault")
ok "the host's log has no fault and no warning" test -z "$bad"
[ -z "$bad" ] || echo "$bad"
done_testing
