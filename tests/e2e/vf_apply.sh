#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `viaduct vf plan`, `apply` and `diff` with a real igb and a real NVMe controller in the lab: the smallest
# change, nothing written when nothing is to do, kill -9 in between, two at once, held VFs, what fails is
# taken back.
# shellcheck disable=SC2012,SC2016,SC2154
# shellcheck source=tests/lib/vf.sh
. "${0%/*}/../lib/vf.sh"
in_lab --nic igb --nvme-vfs 2

await_driver nvme
pf=$(by_driver igb) nvme=$(by_driver nvme)
netdev=$(ls "$dev/$pf/net")
file=$scratch/vf.yaml
pf_mac=$(cat "/sys/class/net/$netdev/address")

# desired N [DRIVER]: N VFs of the igb with an address, a VLAN, a rate and a driver each, and two NVMe VFs.
# The card takes a rate only with a link, which its carve takes down.
desired()
{
	local i

	echo "pfs:"
	echo "- pf: $pf"
	echo "  num-vfs: $1"
	echo "  vfs:"
	for ((i = 0; i < $1; i++)); do
		echo "  - {index: $i, mac: '02:56:00:00:00:0$i', vlan: $((100 + i)), max-rate: 100, driver: ${2:-vfio-pci}}"
	done
	echo "- pf: $nvme"
	echo "  num-vfs: 2"
	echo "  vfs:"
	echo "  - {index: 0-1, driver: vfio-pci}"
}

# as_desired N [DRIVER]: the kernel says so
as_desired()
{
	local i links

	links=$(ip link show "$netdev")
	[ "$(numvfs "$pf") $(numvfs "$nvme")" = "$1 2" ] || return 1
	for ((i = 0; i < $1; i++)); do
		driver_is "$(vf_of "$pf" "$i")" "${2:-vfio-pci}" || return 1
		grep -q "vf $i .*02:56:00:00:00:0$i.*vlan $((100 + i)),.*100Mbps" <<<"$links" || return 1
	done
	driver_is "$(vf_of "$nvme" 0)" vfio-pci && driver_is "$(vf_of "$nvme" 1)" vfio-pci
}

# clear: everything back to nothing, without us
clear()
{
	local bdf

	for bdf in $(by_driver vfio-pci "1,\$"); do
		echo "$bdf" >"$dev/$bdf/driver/unbind"
	done
	echo 0 >"$dev/$pf/sriov_numvfs"
	echo 0 >"$dev/$nvme/sriov_numvfs"
	echo 1 >"$dev/$pf/sriov_drivers_autoprobe"
	echo 1 >"$dev/$nvme/sriov_drivers_autoprobe"
	rm -rf /run/viaduct/vf
	until_true 10 carrier "$pf"
}

it "plan shows what it would do and does nothing"
desired 3 >"$file"
run_traced viaduct-vf plan "$file"
echo "$said"
ok "plan" exits 0
ok "it writes nothing" changes_nothing
ok "it names the PF" says "$pf"
ok "it names the address of a VF that is not there yet" says_like "0000:01:10\\.[0-9]"
ok "no VF is there" test "$(numvfs "$pf")" = 0
run_traced viaduct-vf apply --dry-run "$file"
ok "apply --dry-run" exits 0
ok "writes nothing either" changes_nothing

it "apply does it, for a NIC and for a controller without interfaces"
vf apply "$file"
echo "$said"
ok "apply" exits 0
ok "all is as in the file" as_desired 3
ok "autoprobe is as it was" test "$(cat "$dev/$pf/sriov_drivers_autoprobe")" = 1

it "a second apply writes nothing"
run_traced viaduct-vf apply "$file"
echo "$said"
ok "apply" exits 0
ok "it writes nothing: $(head -n 3 "$changes")" changes_nothing
run_traced viaduct-vf diff "$file"
ok "diff finds nothing" exits 0
ok "and writes nothing" changes_nothing

it "one attribute is one change"
sed 's/vlan: 101/vlan: 201/' "$file" >"$scratch/one.yaml"
vf diff "$scratch/one.yaml"
ok "diff shows it" says 201
ok "and nothing of another VF" test "${said/02:56:00:00:00:00/}" = "$said"
run_traced viaduct-vf apply "$scratch/one.yaml"
ok "apply" exits 0
ok "the VLAN is set" bash -c "ip link show $netdev | grep -q 'vf 1 .*vlan 201,'"
ok "by one request, and no write to sysfs: $(cat "$changes")" test "$(wc -l <"$changes")" = 1
vf apply -q "$file"
ok "and back" as_desired 3

it "what show prints can be applied"
viaduct-vf show --json "$pf" >"$scratch/shown.json"
run_traced viaduct-vf apply "$scratch/shown.json"
ok "apply" exits 0
ok "it writes nothing: $(head -n 3 "$changes")" changes_nothing

it "a VF that is open is not destroyed, and whoever has it is named, within a second"
limit_measure
held=$(vf_of "$pf" 1)
hold "/dev/vfio/$(group_of "$held")"
desired 2 >"$scratch/two.yaml"
vf apply "$scratch/two.yaml"
ok "apply is refused (in $ms ms)" exits 3
ok "naming the holder" says "$holder"
ok "in time" quick
ok "all is as before" as_desired 3
vf apply "$file"
ok "what changes nothing goes on" exits 0
unhold

it "changing their number destroys the VFs, which has to be asked for"
vf apply "$scratch/two.yaml"
if exits 0; then
	ok "two are there" as_desired 2
else
	ok "it says how" says "--recreate"
	ok "all is as before" as_desired 3
	vf apply --recreate "$scratch/two.yaml"
	ok "apply --recreate" exits 0
	ok "two are there" as_desired 2
fi

it "kill -9 at any point, then apply again: the same end"
n=0
for point in "numvfs_is 3" "test -e $dev/$pf/virtfn0" "vlan_is 0" "vlan_is 2" "bound 0" "bound 2" "nvme_there" ; do
	numvfs_is() { [ "$(numvfs "$pf")" = "$1" ]; }
	vlan_is() { ip link show "$netdev" | grep -q "vf $1 .*vlan $((100 + $1)),"; }
	bound() { [ -e "$dev/$pf/virtfn$1/driver" ]; }
	nvme_there() { [ -e "$dev/$nvme/virtfn0" ]; }
	clear
	viaduct-vf apply -q "$file" >"$scratch/victim" 2>&1 &
	victim=$!
	# No pause: the next step is not to come first.
	for _ in $(seq 3000); do $point && break; done
	if kill -9 $victim 2>/dev/null; then
		n=$((n + 1))
	fi
	wait $victim 2>/dev/null
	vf apply "$file"
	ok "apply after kill -9 at '$point'" exits 0
	ok "all is as in the file" as_desired 3
	ok "autoprobe is on" test "$(cat "$dev/$pf/sriov_drivers_autoprobe")" = 1
done
ok "it was killed $n times before it was through" test $n -ge 4

it "two at once: one waits, or is refused by name"
clear
viaduct-vf apply "$file" >"$scratch/first" 2>&1 &
first=$!
viaduct-vf apply "$file" >"$scratch/second" 2>&1 &
second=$!
wait $first
rc=$?
said=$(cat "$scratch/first")
[ $rc = 0 ] || ok "the first was refused, naming who is at it" says_like "process|pid|\\[[0-9]+\\]"
wait $second
rc2=$?
said=$(cat "$scratch/second")
[ $rc2 = 0 ] || ok "the second was refused, naming who is at it" says_like "process|pid|\\[[0-9]+\\]"
ok "one of them at least did it ($rc, $rc2)" test $rc = 0 -o $rc2 = 0
ok "all is as in the file" as_desired 3

it "what fails is taken back"
clear
{ desired 2; echo "- {pf: $pf, num-vfs: 2}"; } >"$scratch/twice.yaml"
vf apply "$scratch/twice.yaml"
ok "a PF listed twice is refused before anything is done" exits 1
ok "nothing is done" test "$(numvfs "$pf")" = 0
desired 2 | sed 's/index: 1,/index: 1, rss-query: true,/' >"$scratch/bad.yaml"
vf apply --rollback-on-fail "$scratch/bad.yaml"
echo "$said"
ok "a setting the driver does not have fails" exits 1
ok "it is named" says rss-query
ok "there are no VFs, as before" test "$(numvfs "$pf") $(numvfs "$nvme")" = "0 0"
ok "no driver is left with an override or a record" nothing_recorded
ok "autoprobe is on" test "$(cat "$dev/$pf/sriov_drivers_autoprobe")" = 1

it "VFs that are not in the file are left alone unless the PF is exclusive"
vf carve -q "$pf" 3
vf set "$(vf_of "$pf" 2)" vlan=7
vf bind "$(vf_of "$pf" 2)" igbvf
cat >"$scratch/some.yaml" <<END
pfs:
- pf: $netdev
  num-vfs: 3
  vfs:
  - {index: 0, vlan: 100}
END
vf apply "$scratch/some.yaml"
ok "apply, the PF by its interface's name" exits 0
ok "VF 2 keeps its VLAN" bash -c "ip link show $netdev | grep -q 'vf 2 .*vlan 7,'"
ok "and its driver" driver_is "$(vf_of "$pf" 2)" igbvf
sed -e "s/pf: .*/pf: mac=$pf_mac/" -e 's/num-vfs: 3/num-vfs: 3\n  exclusive: true/' "$scratch/some.yaml" >"$scratch/exclusive.yaml"
vf apply "$scratch/exclusive.yaml"
ok "apply, the PF by its address" exits 0
ok "VF 2 has no VLAN" bash -c "! ip link show $netdev | grep -q 'vf 2 .*vlan 7,'"
ok "VF 0 has its own" bash -c "ip link show $netdev | grep -q 'vf 0 .*vlan 100,'"

it "what is wrong with a file is said with line and column"
printf 'pfs:\n- pf: %s\n  num-vfs: many\n' "$pf" >"$scratch/wrong.yaml"
vf apply "$scratch/wrong.yaml"
ok "it is refused" test "$rc" = 1 -o "$rc" = 2
ok "FILE:LINE:COLUMN" says_like "wrong.yaml:3:[0-9]+"

it "the boot's unit does it with nothing but its own environment"
clear
unit=$build/cli/viaduct-vf.service
if [ -e "$unit" ]; then
	mkdir -p /etc/viaduct
	cp "$file" /etc/viaduct/vf.yaml
	start=$(sed -n 's/^ExecStart=[-+!@:]*//p' "$unit" | head -n 1)
	# It names the installed program; the one that was built is here.
	start=${start/#*bin\/viaduct /"$(command -v viaduct)" }
	run env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -c "$start"
	echo "$start: $said"
	ok "the unit's command" exits 0
	ok "all is as in the file" as_desired 3
else
	echo "not shown: the boot's unit (none is in the build tree)"
fi
host_well
done_testing
