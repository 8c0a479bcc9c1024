#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The PCI side of the machine this runs on, as topology.h describes it, to stdout. As root, or the
# capabilities are missing. Zero rows of config space are left out.
# Usage: record.sh [SYSFS]
set -euo pipefail
sys=${1:-/sys}
devices=$sys/bus/pci/devices

attr() # FILE: its text, or nothing
{
	cat "$1" 2>/dev/null || true
}
link() # FILE: last component of its target, or nothing
{
	[ ! -L "$1" ] || basename "$(readlink "$1")"
}

echo "# recorded by record.sh on kernel $(uname -r)"
case $(ls "$sys/class/iommu" 2>/dev/null) in
*dmar*) echo "iommu intel" ;;
*ivhd*) echo "iommu amd" ;;
*) echo "iommu none" ;;
esac
echo "cmdline $(cat /proc/cmdline)"
for g in $(ls "$sys/kernel/iommu_groups" 2>/dev/null | sort -n); do
	echo "group $g type $(attr "$sys/kernel/iommu_groups/$g/type")"
	while read -r start end type; do
		echo "group $g reserved ${start#0x} ${end#0x} $type"
	done <"$sys/kernel/iommu_groups/$g/reserved_regions"
done
# By path: what is above comes before what is below, and a PF before its VFs.
for d in $(for link in "$devices"/*; do readlink -f "$link"; done | sort); do
	b=$(basename "$d") above=$(basename "$(dirname "$d")")
	vendor=$(attr "$d/vendor") device=$(attr "$d/device") class=$(attr "$d/class")
	echo "$b ${vendor#0x}:${device#0x} ${class#0x}"
	[[ $above != *:*.* ]] || printf '\tbelow %s\n' "$above"
	for pair in driver:driver iommu_group:group; do
		value=$(link "$d/${pair%:*}")
		[ -z "$value" ] || printf '\t%s %s\n' "${pair#*:}" "$value"
	done
	node=$(attr "$d/numa_node")
	[ "${node:--1}" = -1 ] || printf '\tnode %s\n' "$node"
	if [ -L "$d/physfn" ]; then
		pf=$(readlink -f "$d/physfn")
		for v in "$pf"/virtfn*; do
			[ "$(link "$v")" != "$b" ] ||
				printf '\tvf-of %s %s\n' "$(basename "$pf")" "${v##*virtfn}"
		done
	fi
	for name in reset_method sriov_totalvfs sriov_numvfs sriov_offset sriov_stride \
		sriov_vf_device sriov_drivers_autoprobe ari_enabled; do
		[ ! -e "$d/$name" ] || printf '\tattr %s %s\n' "$name" "$(attr "$d/$name")"
	done
	for n in "$d"/net/*; do
		[ -e "$n/address" ] || continue
		printf '\tnet %s %s %s %s\n' "$(basename "$n")" "$(attr "$n/address")" \
			"$(attr "$n/operstate" | sed 's/^up$/up/;t;s/.*/down/')" "$(attr "$n/ifindex")"
	done
	size=$(stat -Lc %s "$d/config")
	printf '\tsize %s\n' "$size"
	od -An -v -t x1 -w16 "$d/config" |
		awk '{ row = $0; sub(/^ /, "", row); if (row !~ /^[0 ]*$/) printf "\t%02x: %s\n", (NR - 1) * 16, row }'
done
