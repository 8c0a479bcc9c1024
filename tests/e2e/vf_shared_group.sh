#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# IOMMU groups of more than one, in the lab: two NICs behind one conventional PCI bridge, and an igb whose
# root port has no ACS, so that the PF and its VFs are one group. What the tools say must be what the
# kernel then does.
# shellcheck disable=SC2012,SC2016,SC2154
# shellcheck source=tests/lib/vf.sh
. "${0%/*}/../lib/vf.sh"
lab_options=(--nic igb --bridged 2 --no-acs)
in_lab "${lab_options[@]}"

info=$build/vfio/viaduct-vdev-info
probe=$build/tests/e2e/vfio-probe
a=$(by_driver e1000 1) b=$(by_driver e1000 2)
pf=$(by_driver igb)
echo "igb $pf, bridged $a $b, groups $(group_of "$pf") $(group_of "$a") $(group_of "$b")"

it "two NICs behind a conventional bridge are one group"
equal "$(group_of "$a")" "$(group_of "$b")" "their group"
vf isolate "$a"
echo "$said"
ok "isolate fails" exits 6
ok "says FAIL" says FAIL
ok "names the other NIC" says "$b"
ok "and its driver" says e1000

it "with one of them on vfio-pci, the other still keeps both from a guest"
vf bind --whole "$a" vfio-pci
ok "bind" exits 0
vf isolate "$a"
ok "isolate fails" exits 6
ok "names the other NIC" says "$b"
run "$info" "$a"
ok "the kernel says the same" says "not viable"
vf isolate --json "$a"
ok "in JSON as well" json "'$b' in json.dumps(d)" viaduct-vf isolate --json "$a"

it "with both on vfio-pci the group can be had, by one guest"
vf bind --whole "$b" vfio-pci
ok "bind" exits 0
vf isolate "$a"
echo "$said"
ok "isolate has no one who blocks, but warns" says WARN
ok "the other NIC is still named" says "$b"
run "$info" "$a"
ok "the kernel agrees" exits 0
# Neither has a reset of its own: their bus has one, which meets both.
run "$probe" leave "$a"
ok "a process dies with a NIC's receive ring programmed" says "ok: its receive ring is programmed"
run "$probe" fresh "$a"
echo "$said"
ok "the next finds the NIC reset" exits 0
vf release "$a"
vf release "$b"
ok "both have their driver back" eval 'driver_is "$a" e1000 && driver_is "$b" e1000'

it "a PF and its VFs below a port without ACS are one group"
vf carve -q "$pf" 2
v=$(vf_of "$pf" 0) w=$(vf_of "$pf" 1)
equal "$(group_of "$v") $(group_of "$w")" "$(group_of "$pf") $(group_of "$pf")" "their groups"
vf bind "$v" vfio-pci
vf isolate "$v"
echo "$said"
ok "isolate fails" exits 6
ok "names the PF" says "$pf"
ok "says that ACS is what is missing" says ACS
run "$info" "$v"
ok "the kernel says the same" says "not viable"
run viaduct run --kernel "$kernel" --initrd "$initrd" --assign "$v"
ok "run refuses it" test "$rc" != 0
ok "naming the PF" says "$pf"

it "doctor says so, too"
run viaduct doctor --for "$v"
echo "$said"
ok "doctor --for a VF of it fails" test "$rc" != 0
ok "naming the PF" says "$pf"
vf release "$v"
vf carve -q "$pf" 0
host_well
done_testing
