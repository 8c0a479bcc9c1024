#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `viaduct vf isolate` on the lab's hardware, a boot for each kind: VT-d with ACS, AMD without ACS (one
# group for a port and all below it), no IOMMU at all. Two NICs behind a conventional bridge share a
# group in the first.
. "${0%/*}/../lib/lab.sh"

if [ "${1:-}" != --inside ]; then
	lab_need igb e1000
	for kind in ${VIADUCT_LAB_KINDS:-vtd amd none}; do
		it "isolates functions with $kind"
		case $kind in
		vtd) options="--nic igb --bridged 2" ;;
		amd) options="--iommu amd --no-acs --nic igb" ;;
		none) options="--iommu none --nic igb" ;;
		esac
		# shellcheck disable=SC2086
		lab_run $options -- bash "$(readlink -f "$0")" --inside "$kind" "$(command -v viaduct)"
		equal "$status" 0 "exit status"
		[ "$status" = 0 ] || cat "$out"
		matches "$(tail -n 1 "$out")" "^[0-9]+ checks$" "its last line"
		nothing_left
	done
	done_testing
	exit
fi

kind=$2
viaduct=$3
dev=/sys/bus/pci/devices

isolate() # FUNCTION; leaves $json and $rc
{
	json=$("$viaduct" vf isolate --json "$1" 2>&1)
	rc=$?
}

# finding ID STATUS TEXT VERDICT: of the last isolate
finding()
{
	local got

	got=$(python3 -c "
import json, sys
j = json.loads(sys.argv[1])
f = {x['id']: x for x in j['findings']}[sys.argv[2]]
print(j['verdict'], f['status'], f['text'])" "$json" "$1" 2>&1)
	it "$kind: $1"
	matches "$got" "^${4:-.*} $2 .*$3" "finding"
}

driver_bind() # BDF DRIVER: past what `vf bind` refuses
{
	echo "$2" >"$dev/$1/driver_override"
	[ ! -e "$dev/$1/driver" ] || echo "$1" >"$dev/$1/driver/unbind"
	echo "$1" >/sys/bus/pci/drivers_probe
}

pf=$(basename "$(ls -d /sys/bus/pci/drivers/igb/0000:*)")
port=$(basename "$(dirname "$(readlink -f "$dev/$pf")")")
"$viaduct" vf carve "$pf" 2 || fail "carve"
vf=$(basename "$(readlink "$dev/$pf/virtfn0")")

isolate "$vf"
it "$kind: exit status is the verdict's"
case $kind in
vtd)
	equal "$rc" 0 "$json, its exit status"
	finding iommu PASS '1 unit' PASS
	finding interrupt-remapping PASS 'remapped.*DMAR-IR: Enabled IRQ remapping' PASS
	finding acs-path PASS "$port"
	finding group-shared PASS ''
	finding pf-vf-group PASS "$pf"
	finding vf-token PASS igb

	# The build tree may lie where only its owner goes.
	mkdir -m 755 /run/everyone
	cp "$viaduct" "${viaduct%/*}/viaduct-vf" /run/everyone
	json=$(setpriv --reuid 65534 --regid 65534 --clear-groups /run/everyone/viaduct vf isolate --json "$vf")
	finding acs-path SKIP "unknown: $port" WARN
	finding interrupt-remapping PASS ''
	finding dma-fault SKIP ''

	"$viaduct" vf bind "$vf" vfio-pci || fail "bind"
	isolate "$vf"
	finding group-viable PASS '' PASS
	echo Y >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
	isolate "$vf"
	finding unsafe-interrupts WARN vfio_iommu_type1 WARN
	echo N >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts

	# The port stops redirecting; groups were made before.
	setpci -s "$port" ECAP_ACS+6.w=0011 || fail "setpci"
	isolate "$vf"
	finding acs-path FAIL "$port.*RR CR.*after boot" FAIL
	setpci -s "$port" ECAP_ACS+6.w=001d

	mapfile -t bridged < <(cd /sys/bus/pci/drivers/e1000 && ls -d 0000:*)
	isolate "${bridged[0]}"
	finding group-viable FAIL "${bridged[1]} \(e1000\)" FAIL
	finding acs-path WARN 'look like one'
	driver_bind "${bridged[1]}" vfio-pci
	isolate "${bridged[0]}"
	finding group-viable PASS ''
	finding group-shared WARN "${bridged[1]} \(vfio-pci\)" WARN
	;;
amd)
	equal "$rc" 6 "exit status"
	finding iommu PASS '1 unit'
	finding interrupt-remapping PASS remapped
	finding group-viable FAIL "$pf \(igb\)" FAIL
	finding pf-vf-group FAIL "$pf"
	finding acs-path WARN "$port \(root port\) has no ACS"
	isolate "$pf"
	finding pf-vf-group FAIL "2 VFs"
	;;
none)
	equal "$rc" 6 "exit status"
	finding iommu FAIL '' FAIL
	finding interrupt-remapping FAIL 'not remapped'
	finding group-viable FAIL 'in no IOMMU group'
	modprobe vfio-pci
	switch=/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
	if [ -e "$switch" ]; then
		echo Y >"$switch"
		isolate "$vf"
		finding no-iommu FAIL 'mode is on'
		driver_bind "$vf" vfio-pci
		isolate "$vf"
		finding no-iommu FAIL 'gives out 1 function without'
		finding group-viable FAIL 'no-IOMMU mode \(group'
	else
		# Debian's kernels are built without it.
		isolate "$vf"
		finding no-iommu PASS off
	fi
	finding iommu FAIL 'no IOMMU is in use'
	;;
esac
it "$kind: a bridge is no function to ask about"
"$viaduct" vf isolate "$port" >/dev/null 2>"$err"
equal "$?" 1 "exit status"
matches "$(cat "$err")" "bridge cannot be given" "message"
[ "$failures" = 0 ] || exit 1
echo "$checks checks"
