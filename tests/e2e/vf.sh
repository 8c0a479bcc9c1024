#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `viaduct vf` against a real igb, e1000e and NVMe controller, VT-d and vfio-pci in the lab: carve,
# list, set, bind, refuse while held, release, destroy, kill -9 in between.
# shellcheck disable=SC2012,SC2016,SC2154
# shellcheck source=tests/lib/vf.sh
. "${0%/*}/../lib/vf.sh"
in_lab --nic igb --nic e1000e --nvme-vfs 4

await_driver nvme
pf=$(by_driver igb) plain=$(by_driver e1000e) nvme=$(by_driver nvme)
netdev=$(ls "$dev/$pf/net")
echo "igb $pf ($netdev), e1000e $plain, nvme $nvme"
ip link set "$netdev" down

vf carve --wait-link "$pf" 2
ok "carve makes 2 VFs" exits 0
ok "carve says that it brought the PF up" says "brought $netdev up"
ok "there are 2 links" test -e "$dev/$pf/virtfn1" -a ! -e "$dev/$pf/virtfn2"
ok "the PF is up with carrier" test "$(cat "$dev/$pf/net/$netdev/carrier")" = 1
ok "autoprobe is on again" test "$(cat "$dev/$pf/sriov_drivers_autoprobe")" = 1
a=$(basename "$(readlink "$dev/$pf/virtfn0")") b=$(basename "$(readlink "$dev/$pf/virtfn1")")
ok "the VFs have no driver" driver_is "$a" ""
vf carve "$pf" 2
ok "carving the same number again does nothing" exits 0
ok "and says so" says "nothing to do"
vf list
echo "$said"
ok "list shows the VFs" says "$b"
ok "list has an IOMMU group for each VF" \
	json "f['$a']['iommu_group'] is not None and f['$a']['iommu_group'] != f['$b']['iommu_group']"
ok "list tells PF from VF" \
	json "f['$pf']['kind'] == 'pf' and f['$pf']['num_vfs'] == 2 and f['$b']['index'] == 1"

vf set "$a" mac=52:54:00:00:aa:01
ok "set mac" exits 0
ok "list reports it" json "f['$a']['mac'] == '52:54:00:00:aa:01'"
ok "the kernel reports it" bash -c "ip link show $netdev | grep -qi 'vf 0 .*52:54:00:00:aa:01'"
vf set "$b" mac=52:54:00:00:aa:01
ok "the same address twice is refused" exits 1
ok "naming the VF that has it" says "VF 0"
vf set "$b" mac=01:54:00:00:aa:01
ok "a multicast address is refused" exits 1
vf set "$pf" mac=52:54:00:00:aa:03
ok "a PF is no VF" says "not a virtual function"

# The emulated card is an 82576: what its driver has calls for, and what it has none for.
vf set "$a" vlan=100 qos=3 spoofchk=off trust=on
ok "set a VLAN, spoof check and trust" exits 0
ok "the kernel reports the VLAN" \
	bash -c "ip link show $netdev | grep -q 'vf 0 .*vlan 100, qos 3.*spoof checking off.*trust on'"
vf set "$a" vlan=100 trust=on qos=4
ok "what is there already is not set again" says "vlan 100 (already) qos 4 trust on (already)"
vf set "$a" vlan=7 proto=802.1ad
ok "another protocol is refused by its driver" exits 1
vf set "$a" trust=off rss-query=on
ok "what the driver cannot do is refused" says "driver cannot do this"
ok "and what was set before it is put back" bash -c "ip link show $netdev | grep -q 'vf 0 .*vlan 100, qos 4.*trust on'"
vf show "$a"
ok "show says what is not reported" says "rss-query       not reported"
vf set "$a" vlan=none spoofchk=on trust=off
ok "and all of it can be taken back" bash -c "ip link show $netdev | grep 'vf 0 ' | grep -qv vlan"

vf bind "$a" vfio-pci
ok "bind to vfio-pci" exits 0
ok "the driver link says so" driver_is "$a" vfio-pci
group=$(basename "$(readlink "$dev/$a/iommu_group")")
ok "its group node is there" test -c "/dev/vfio/$group"
vf bind "$a" vfio-pci
ok "binding again does nothing" exits 0

hold "/dev/vfio/$group"
limit_measure
for n in 0 1 3; do
	vf carve "$pf" "$n"
	ok "carve $n is refused while a VF is open (in $ms ms)" exits 3
	ok "within a second" quick
	ok "naming the holder" says "sleep (process $holder)"
done
vf release "$a"
ok "release is refused while it is open (in $ms ms)" exits 3
ok "within a second" quick
ok "naming the holder" says "sleep (process $holder)"
ok "list names it" json "f['$a']['holder'] == {'pid': $holder, 'comm': 'sleep'}"
vf carve "$pf" 2
ok "the same number is still a no-op" exits 0
unhold

# A device fd outlives the group's, and /proc then names no /dev/vfio node.
python3 -c '
import fcntl, os, sys, time
c, g = os.open("/dev/vfio/vfio", os.O_RDWR), os.open("/dev/vfio/" + sys.argv[1], os.O_RDWR)
fcntl.ioctl(g, 0x3b68, c.to_bytes(4, sys.byteorder))
fcntl.ioctl(c, 0x3b66, 1)
d = fcntl.ioctl(g, 0x3b6a, sys.argv[2].encode() + b"\0")
os.close(g)
print("ready", flush=True)
time.sleep(1000)' "$group" "$a" >"$scratch/holder" &
holder=$!
for _ in $(seq 200); do grep -q ready "$scratch/holder" && break; sleep 0.05; done
vf carve "$pf" 0
ok "carve is refused when only a device fd is left (in $ms ms)" exits 3
ok "and says that the process is not to be seen" says "/proc does not show"
kill $holder
wait $holder 2>/dev/null

vf release "$a"
ok "release" exits 0
ok "it had no driver and has none" driver_is "$a" ""
ok "the override is gone" test "$(cat "$dev/$a/driver_override")" = "(null)"

vf bind "$a" igbvf
ok "bind to igbvf" driver_is "$a" igbvf
vf release "$a"
ok "and back to none" driver_is "$a" ""
echo igbvf >"$dev/$a/driver_override"
echo "$a" >/sys/bus/pci/drivers_probe
echo >"$dev/$a/driver_override"
ok "igbvf was bound by hand" driver_is "$a" igbvf
vf bind "$a" vfio-pci
ok "bind takes it from igbvf" driver_is "$a" vfio-pci
ok "list remembers igbvf" json "f['$a']['original_driver'] == 'igbvf'"
vf release "$a"
ok "release restores igbvf" driver_is "$a" igbvf
ok "and says so" says igbvf

echo 0 >"$dev/$pf/sriov_drivers_autoprobe"
vf bind "$a" vfio-pci
vf release "$a"
ok "release restores igbvf with autoprobe off too" driver_is "$a" igbvf
echo 1 >"$dev/$pf/sriov_drivers_autoprobe"
vf bind "$a" no-such-driver
ok "an unknown driver is refused" exits 1
ok "and the old one kept" driver_is "$a" igbvf
vf bind "$a" e1000e
ok "a driver that does not take the device fails" exits 1
ok "and the old one is back" driver_is "$a" igbvf
ok "with no override" test "$(cat "$dev/$a/driver_override")" = "(null)"
vf bind "$pf" vfio-pci
ok "a PF with VFs is never unbound" exits 3

# Whatever a kill -9 interrupts, release puts the first driver back.
for delay in 0.00 0.01 0.02 0.04 0.08 0.16; do
	viaduct-vf bind "$a" vfio-pci >/dev/null 2>&1 &
	victim=$!
	sleep $delay
	kill -9 $victim 2>/dev/null
	wait $victim 2>/dev/null
	for _ in $(seq 100); do pgrep -x viaduct-vf >/dev/null || break; sleep 0.05; done
	vf release "$a"
	ok "release after kill -9 at $delay s" exits 0
	ok "igbvf is back" driver_is "$a" igbvf
	ok "no override is left" test "$(cat "$dev/$a/driver_override")" = "(null)"
done
viaduct-vf carve "$pf" 0 >/dev/null
for delay in 0.02 0.05 0.1 0.2; do
	viaduct-vf carve "$pf" 2 >/dev/null 2>&1 &
	victim=$!
	sleep $delay
	kill -9 $victim 2>/dev/null
	wait $victim 2>/dev/null
	vf carve "$pf" 2
	ok "carve after kill -9 at $delay s" exits 0
	ok "autoprobe is on" test "$(cat "$dev/$pf/sriov_drivers_autoprobe")" = 1
	vf carve "$pf" 0
done

vf carve "$pf" 2
a=$(basename "$(readlink "$dev/$pf/virtfn0")")
vf carve "$pf" 3
ok "growing with nothing open" exits 0
ok "makes 3" test -e "$dev/$pf/virtfn2"
vf carve "$pf" 0
ok "carve 0 destroys them" exits 0
ok "no link is left" test ! -e "$dev/$pf/virtfn0"
vf carve "$pf" 8
ok "more than it has is refused" exits 1
ok "with the number it has" says "7 at most"
vf carve "$plain" 1
ok "a PF without SR-IOV is refused" exits 1
ok "clearly" says "no SR-IOV"
vf carve 0000:77:00.0 1
ok "an address that does not exist is refused" says "no such PCI function"
vf bind "$plain" vfio-pci
ok "a whole device needs --whole" says "--whole"

vf carve "$nvme" 2
ok "an NVMe PF carves with no interface" exits 0
n0=$(basename "$(readlink "$dev/$nvme/virtfn0")")
vf bind "$n0" vfio-pci
ok "its VF binds" driver_is "$n0" vfio-pci
vf set "$n0" mac=52:54:00:00:aa:01
ok "it has no address to set" says "no network interface"
vf carve "$nvme" 0
ok "and is destroyed while bound but not open" test ! -e "$dev/$nvme/virtfn0"
ok "no lock or record is left but lock files" nothing_recorded
host_well
done_testing
