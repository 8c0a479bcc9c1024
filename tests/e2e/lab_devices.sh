#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016,SC2119
# The hardware asked for is there: IOMMUs of each kind, NICs, and functions that can be carved.
# shellcheck source=tests/lib/lab.sh
. "${0%/*}/../lib/lab.sh"
lab_need igb e1000 e1000e intel-iommu amd-iommu nvme nvme-subsys

groups='ls /sys/kernel/iommu_groups | wc -l; dmesg | grep -E "DMAR-IR|AMD-Vi|IRQ remapping"'

it "has a VT-d with interrupt remapping by default"
lab_run -- sh -c "$groups"
matches "$(head -n 1 "$out")" '^[1-9][0-9]*$' "number of groups"
matches "$(cat "$out")" 'Enabled IRQ remapping in xapic mode' "kernel log"

it "has a VT-d that remaps to x2APIC destinations with vtd-eim"
lab_run --iommu vtd-eim -- sh -c "$groups"
matches "$(head -n 1 "$out")" '^[1-9][0-9]*$' "number of groups"
matches "$(cat "$out")" 'Enabled IRQ remapping in x2apic mode' "kernel log"

it "has an AMD IOMMU with amd"
lab_run --iommu amd --nic igb -- sh -c "$groups; readlink /sys/bus/pci/devices/0000:01:00.0/iommu_group"
matches "$(head -n 1 "$out")" '^[1-9][0-9]*$' "number of groups"
matches "$(cat "$out")" 'AMD-Vi: Interrupt remapping enabled' "kernel log"
matches "$(tail -n 1 "$out")" 'iommu_groups/[0-9]' "the NIC's group"

it "has no groups at all with none"
lab_run --iommu none --nic igb -- sh -c "$groups; ls -d /sys/bus/pci/devices/0000:01:00.0"
equal "$(head -n 1 "$out")" 0 "number of groups"
matches "$(tail -n 1 "$out")" '0000:01:00.0$' "the NIC"

it "has NICs of each kind, on one wire, with addresses of their own"
lab_run --cpus 1 --nic igb --nic e1000 --nic e1000e -- bash -c '
	nproc
	for i in 0 1 2; do basename "$(readlink /sys/class/net/eth$i/device/driver)"; done | sort
	cat /sys/class/net/eth?/address | sort -u | wc -l
	for i in 0 1 2; do
		ip netns add n$i && ip link set eth$i netns n$i
		ip -n n$i addr add 10.9.0.$((i + 1))/24 dev eth$i && ip -n n$i link set eth$i up
	done
	for i in 2 3; do ip netns exec n0 ping -q -c 3 -i 0.5 -w 20 10.9.0.$i >/dev/null && echo pong; done'
equal "$(cat "$out")" "1
e1000
e1000e
igb
3
pong
pong" "what it found"

it "carves functions of an igb, each in a group of its own"
lab_run --nic igb -- bash -c '
	ip link set eth0 up
	echo 2 >/sys/class/net/eth0/device/sriov_numvfs
	for vf in /sys/class/net/eth0/device/virtfn*; do
		ls "$vf/iommu_group/devices"
		cat "$vf"/net/*/address
	done'
functions=$(grep -cE '^0000:' "$out")
equal "$functions" 2 "functions in two groups"
equal "$(grep -cE '^([0-9a-f]{2}:){5}[0-9a-f]{2}$' "$out")" 2 "addresses"
equal "$(sort -u "$out" | wc -l)" 4 "distinct functions and addresses"

it "carves functions of an NVMe controller, each in a group of its own"
lab_run --nvme-vfs 4 -- bash -c '
	cd /sys/class/nvme/nvme0/device && cat sriov_totalvfs
	echo 0 >sriov_drivers_autoprobe
	echo 4 >sriov_numvfs
	for vf in virtfn*; do ls "$vf/iommu_group/devices"; done
	head -c 100000 /dev/urandom >/tmp/block && dd if=/tmp/block of=/dev/nvme0n1 conv=fsync status=none
	cmp -n 100000 /tmp/block /dev/nvme0n1 && echo kept'
equal "$(sort -u "$out" | grep -c '^0000:')" 4 "functions in groups of one"
equal "$(head -n 1 "$out"; tail -n 1 "$out")" "4
kept" "total and data"
done_testing
