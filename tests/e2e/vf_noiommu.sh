#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A host without an IOMMU, in the lab: all that needs none works, for a NIC and for an NVMe controller;
# what needs one is refused with the reason and the remedy, and the no-IOMMU mode is never called safe.
# shellcheck disable=SC2012,SC2016,SC2154
# shellcheck source=tests/lib/vf.sh
. "${0%/*}/../lib/vf.sh"
in_lab --iommu none --nic igb --nvme-vfs 2

await_driver nvme
pf=$(by_driver igb) nvme=$(by_driver nvme)
netdev=$(ls "$dev/$pf/net")

it "VFs are listed, carved, configured and given to drivers"
vf list
echo "$said"
ok "list" exits 0
vf carve "$pf" 2
ok "carve" exits 0
vf carve "$nvme" 2
ok "carve of a controller" exits 0
a=$(vf_of "$pf" 0) n=$(vf_of "$nvme" 0)
ok "list has no groups" json "f['$a']['iommu_group'] is None and f['$n']['iommu_group'] is None"
vf set "$a" mac=02:56:00:00:00:01 vlan=7
ok "set" exits 0
vf bind "$a" igbvf
ok "bind to a host driver" driver_is "$a" igbvf
vf release "$a"
ok "and back" driver_is "$a" ""

it "binding to vfio-pci is refused, with the remedy"
for x in "$a" "$n"; do
	vf bind "$x" vfio-pci
	ok "bind $x" exits 1
	ok "says what is missing" says "IOMMU"
	ok "and what to do" says "intel_iommu=on"
	ok "it has no driver, as before" driver_is "$x" ""
	ok "and no override" test "$(cat "$dev/$x/driver_override")" = "(null)"
done

it "isolate fails and says why"
vf isolate "$a"
echo "$said"
ok "exit status" exits 6
ok "FAIL" says FAIL
ok "no IOMMU" says_like "[Nn]o IOMMU|IOMMU is (off|absent|not)|no IOMMU group"

it "the no-IOMMU mode makes it no better"
if [ -e /sys/module/vfio/parameters/enable_unsafe_noiommu_mode ]; then
	echo 1 >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
	vf isolate "$a"
	ok "isolate still fails" exits 6
	ok "naming the switch" says_like "unsafe_noiommu|no-IOMMU"
	bind_by_hand "$a" vfio-pci
	vf isolate "$a"
	echo "$said"
	ok "on vfio-pci as well" exits 6
	ok "doctor names it" eval 'run viaduct doctor; says unsafe_noiommu || says no-IOMMU'
	echo "$a" >"$dev/$a/driver/unbind"
	echo >"$dev/$a/driver_override"
	echo 0 >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
else
	echo "not shown: the no-IOMMU mode (this kernel has none)"
fi

it "doctor fails with the IOMMU's check, and says what to do"
run viaduct doctor
echo "$said"
ok "it fails" test "$rc" != 0
ok "naming what switched it off" says "iommu=off"
ok "and that this firmware has none" says "no IOMMU (neither"
ok "JSON has a failed check" \
	json "d['verdict'] == 'FAIL' and any(x['id'] == 'iommu' and x['status'] == 'FAIL' for x in d['findings'])" \
	viaduct doctor --json

it "a file that wants no guest's driver is applied; one that does is refused and taken back"
vf carve -q "$pf" 0
vf carve -q "$nvme" 0
cat >"$scratch/plain.yaml" <<END
pfs:
- {pf: $pf, num-vfs: 2, vfs: [{index: 0-1, vlan: 7}]}
- {pf: $nvme, num-vfs: 1}
END
vf apply "$scratch/plain.yaml"
ok "apply" exits 0
ok "it is there" test "$(numvfs "$pf") $(numvfs "$nvme")" = "2 1"
ok "with its VLAN" bash -c "ip link show $netdev | grep -q 'vf 1 .*vlan 7,'"
vf carve -q "$pf" 0
vf carve -q "$nvme" 0
sed 's/vlan: 7/driver: vfio-pci/' "$scratch/plain.yaml" >"$scratch/guest.yaml"
vf apply --rollback-on-fail "$scratch/guest.yaml"
echo "$said"
ok "vfio-pci is refused" exits 1
ok "with the reason" says IOMMU
ok "nothing is left of it" test "$(numvfs "$pf") $(numvfs "$nvme")" = "0 0"
ok "no record either" nothing_recorded
host_well
done_testing
