#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# VFs behind an AMD IOMMU in the lab: carve, verdict, doctor, a file, leases, and back. No NVMe: with QEMU's
# AMD IOMMU the host's own driver gets no interrupts of it.
# shellcheck disable=SC2012,SC2016,SC2154
# shellcheck source=tests/lib/vf.sh
. "${0%/*}/../lib/vf.sh"
in_lab --iommu amd --nic igb

pf=$(by_driver igb)

it "VFs have a group of their own"
vf carve "$pf" 2
ok "carve" exits 0
a=$(vf_of "$pf" 0) b=$(vf_of "$pf" 1)
vf list
echo "$said"
ok "list" json "len({f[x]['iommu_group'] for x in ['$pf', '$a', '$b']} - {None}) == 3"

it "isolate passes them"
for x in "$a" "$b"; do
	vf isolate "$x"
	echo "$said"
	ok "no FAIL for $x" eval '(exits 0 || exits 5) && [ "${said/FAIL/}" = "$said" ]'
done

it "doctor finds the AMD IOMMU"
run viaduct doctor
echo "$said"
ok "by its table or name" says_like "AMD|IVRS"
ok "and does not ask for intel_iommu" test "${said/intel_iommu=on/}" = "$said"

it "a file gives them to guests, a lease promises one"
cat >"$scratch/vf.yaml" <<END
pfs:
- pf: $pf
  num-vfs: 2
  vfs:
  - {index: 0, mac: 02:56:00:00:00:01, driver: vfio-pci}
  - {index: 1, vlan: 7, driver: vfio-pci}
END
vf apply "$scratch/vf.yaml"
ok "apply" exits 0
ok "they are on vfio-pci" eval 'driver_is "$a" vfio-pci && driver_is "$b" vfio-pci'
vf diff "$scratch/vf.yaml"
ok "nothing is left to do" exits 0
run "$build/vfio/viaduct-vdev-info" "$a"
ok "the kernel gives one away" exits 0
viaduct-vf lease take --owner somebody "$b" -- sleep 1000 >"$scratch/lease" 2>&1 &
lease=$!
until_true 20 eval 'vf lease list; says somebody' || fail "no lease was taken: $(cat "$scratch/lease")"
vf carve "$pf" 0
ok "leased, it is not destroyed" exits 3
ok "the owner is named" says somebody
kill $lease
wait $lease 2>/dev/null
vf carve "$pf" 0
ok "free, it is" exits 0
vf lease gc
ok "nothing stays behind" nothing_recorded
host_well
done_testing
