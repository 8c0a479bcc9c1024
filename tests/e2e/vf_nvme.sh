#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# VFs of an NVMe controller in the lab, which has no interface to ask: carve, verdict, bind, lease, a guest
# that drives one, and back.
# shellcheck disable=SC2012,SC2016,SC2154
# shellcheck source=tests/lib/vf.sh
. "${0%/*}/../lib/vf.sh"
in_lab --nvme-vfs 2

await_driver nvme
nvme=$(by_driver nvme)
until_true 30 test -e "$dev/$nvme/nvme"
controller=$(ls "$dev/$nvme/nvme")
until_true 30 grep -qx live "/sys/class/nvme/$controller/state"

# The queues and interrupts of VFs are the controller's flexible ones, which the PF has at first.
ask_nvme "$controller" 1,0,0,0 1,1,0,0 || fail "take the PF's flexible resources"
echo 1 >"/sys/class/nvme/$controller/reset_controller"
until_true 20 grep -qx live "/sys/class/nvme/$controller/state" || fail "the controller does not come back"

it "its VFs have a group of their own, and isolate has nothing against them"
vf carve "$nvme" 2
ok "carve" exits 0
n=$(vf_of "$nvme" 0) m=$(vf_of "$nvme" 1)
ok "list" json "len({f[x]['iommu_group'] for x in ['$nvme', '$n', '$m']} - {None}) == 3"
vf isolate "$n"
echo "$said"
ok "no FAIL" eval '(exits 0 || exits 5) && [ "${said/FAIL/}" = "$said" ]'

it "an NVMe VF is bound, leased and released without any interface"
vf bind "$n" vfio-pci
ok "bind" driver_is "$n" vfio-pci
vf show "$n"
ok "show" exits 0
vf set "$n" mac=02:56:00:00:00:01
ok "an address is refused: there is no interface" exits 1
vf stats "$n"
ok "stats say that there are none" test -n "$said"

it "a guest drives it, and has its lease meanwhile"
ask_nvme "$controller" 8,0,1,2 8,1,1,1 9,0,1,0 || fail "put the VF online"
head -c 65536 /dev/urandom >"$scratch/block"
dd if="$scratch/block" of="/dev/${controller}n1" bs=64k oflag=direct status=none
guest_start disk 'for i in $(seq 100); do [ -b /dev/nvme0n1 ] && break; sleep 0.1; done
head -c 65536 /dev/nvme0n1 | md5sum; echo from the guest | dd of=/dev/nvme0n1 bs=512 seek=256 conv=sync,fsync
echo here; sleep 1000' --assign "$n" --stats "$scratch/disk.json"
until_seen "$scratch/disk.out" '^here' 1 90
vf lease list
echo "$said"
ok "the lease list has it" says "$n"
ok "with the guest's name" says disk
vf carve "$nvme" 0
ok "its VFs cannot be destroyed now" exits 3
ok "the guest is named" says_like "disk|viaduct-run"
ok "the guest read what the host wrote" grep -q "$(md5sum <"$scratch/block" | cut -c 1-32)" "$scratch/disk.out"
equal "$(dd if="/dev/${controller}n1" bs=512 skip=256 count=1 iflag=direct status=none | tr -d '\0')" \
	"from the guest" "what the guest wrote"
kill -9 "${guest_pid[disk]}"
wait "${guest_pid[disk]}" 2>/dev/null
vf lease list
ok "the lease ended with the guest, which was killed" test "${said/held/}" = "$said"
vf carve "$nvme" 0
ok "its VFs can be destroyed now" exits 0
vf lease gc
ok "nothing stays behind" nothing_recorded
host_well
done_testing
