#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A PF that goes away, in the lab: taken out by software and by a hand at the slot, while it is carved, while
# its VFs are bound, leased and used. Nothing may hang, what is said must be true, and when it comes back
# nothing that was remembered of its predecessor may matter.
# shellcheck disable=SC2012,SC2016,SC2154
# shellcheck source=tests/lib/vf.sh
. "${0%/*}/../lib/vf.sh"
in_lab --nic igb --nic igb

pf=$(by_driver igb 1) other=$(by_driver igb 2)

gone() { [ ! -e "$dev/$1" ]; }
back() { [ -n "$(ls "$dev/$1/net" 2>/dev/null)" ]; }

# rescan: the kernel looks again, and finds it
rescan()
{
	echo 1 >/sys/bus/pci/rescan
	until_true 20 back "$pf" || fail "$pf does not come back"
}

it "a PF that is removed before, while and after it is carved"
removed=0
for point in "true" "test ! -e /sys/bus/pci/drivers/igb/$pf/net" "test -e $dev/$pf/virtfn0" "test -e $dev/$pf/virtfn6"; do
	(viaduct-vf carve "$pf" 7 >"$scratch/carve" 2>&1; echo $? >"$scratch/carve.rc") &
	carve=$!
	for _ in $(seq 500); do
		$point 2>/dev/null && break
	done
	timeout 60 bash -c "echo 1 >$dev/$pf/remove" || fail "remove hangs at '$point'"
	until_true 30 test -e "$scratch/carve.rc" || fail "carve hangs at '$point'"
	wait $carve
	rc=$(cat "$scratch/carve.rc") said=$(cat "$scratch/carve")
	rm -f "$scratch/carve.rc"
	ok "removed at '$point': $(tail -n 1 "$scratch/carve" | cut -c 1-160)" test "$rc" = 0 -o "$rc" = 1
	[ "$rc" = 0 ] || removed=$((removed + 1))
	[ "$rc" = 0 ] || ok "it says which one" says "$pf"
	ok "it is gone" until_true 10 gone "$pf"
	vf list
	ok "list goes on with the other" says "$other"
	ok "without it" test "${said/$pf/}" = "$said"
	rescan
	vf carve "$pf" 1
	ok "carve works again" exits 0
	ok "autoprobe is on" test "$(cat "$dev/$pf/sriov_drivers_autoprobe")" = 1
	vf carve -q "$pf" 0
done
echo "$removed of 4 carves were interrupted"

it "a command for a PF that is not there"
echo 1 >"$dev/$pf/remove"
until_true 10 gone "$pf"
for command in "carve $pf 1" "show $pf" "isolate $pf" "set $pf mac=02:56:00:00:00:01"; do
	# shellcheck disable=SC2086
	vf $command
	ok "$command" exits 1
	ok "says so" says "$pf"
done
printf 'pfs:\n- {pf: "%s", num-vfs: 1}\n- {pf: "%s", num-vfs: 1}\n' "$pf" "$other" >"$scratch/vf.yaml"
vf apply --rollback-on-fail "$scratch/vf.yaml"
echo "$said"
ok "apply of a file with it fails" exits 1
ok "naming it" says "$pf"
ok "the other is as it was" test "$(numvfs "$other")" = 0
rescan
vf apply "$scratch/vf.yaml"
ok "and works when it is back" exits 0
ok "for both" test "$(numvfs "$pf") $(numvfs "$other")" = "1 1"
vf carve -q "$other" 0
vf carve -q "$pf" 0

it "a PF whose VFs are bound and leased is taken out of its slot"
vf carve -q "$pf" 2
a=$(vf_of "$pf" 0) b=$(vf_of "$pf" 1)
vf bind -q "$a" igbvf
vf bind -q "$a" vfio-pci
vf bind -q "$b" vfio-pci
viaduct-vf lease take --owner somebody "$b" -- sleep 1000 >"$scratch/lease" 2>&1 &
lease=$!
until_true 20 eval 'vf lease list; says somebody' || fail "no lease was taken: $(cat "$scratch/lease")"
run viaduct lab unplug nic0
ok "the slot's button is pressed" exits 0
ok "it goes, with its VFs" until_true 60 gone "$pf"
ok "all of them" eval 'gone $a && gone $b'
vf list
ok "list goes on" says "$other"
vf lease list
echo "$said"
ok "the lease is still somebody's, who lives" says somebody
vf release "$a"
ok "release of what is gone says so" exits 1
kill $lease
wait $lease 2>/dev/null
vf lease gc
ok "gc" exits 0
vf lease list
ok "and then nobody has it" test "${said/somebody/}" = "$said"

it "put back, it is a new one"
run viaduct lab plug nic0
ok "the slot is filled" exits 0
until_true 60 back "$pf" || fail "$pf does not come back: $(ls "$dev")"
vf carve "$pf" 2
ok "carve" exits 0
vf list
echo "$said"
ok "its VF is not said to be taken" json "not f['$a'].get('taken') and not f['$a'].get('original_driver')"
vf release "$a"
ok "release leaves it alone" driver_is "$a" ""
vf bind "$a" vfio-pci
vf release "$a"
ok "and after a bind it has no driver, as before" driver_is "$a" ""

it "a PF is taken out while a guest has its VF"
vf set -q "$a" mac=02:00:00:00:00:01
vf bind -q "$a" vfio-pci
guest_start g 'ip link set eth0 up; echo up; sleep 1000' --assign "$a"
until_seen "$scratch/g.out" '^up' 1 90
run viaduct lab unplug nic0
ok "the button is pressed" exits 0
# The kernel asks the guest's monitor for the device and waits until it is closed: nobody may hang.
limit_measure
sleep 1
vf list
ok "list answers (in $ms ms)" quick
kill "${guest_pid[g]}"
guest_wait g 20
ok "with the guest it goes" until_true 60 gone "$pf"
vf lease list
echo "$said"
ok "nobody has a lease" test "${said/0000:/}" = "$said"
host_well
done_testing
