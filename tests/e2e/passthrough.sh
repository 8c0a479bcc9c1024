#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# passthrough/ against a real igb VF, VT-d, vfio-pci and KVM in the lab, and dma-probe on a VF of the
# emulated host itself: the fault must show in its log.
# Usage: passthrough.sh BUILD_DIR (runs itself in the lab)
set -u

if [ "${1:-}" != --inside ]; then
	build=$(cd "${1:-build}" && pwd) || exit 1
	lab=$build/cli/viaduct-lab
	[ -x "$lab" ] || { echo "skipped: $lab is not built"; exit 77; }
	command -v qemu-system-x86_64 >/dev/null || { echo "skipped: no qemu-system-x86_64"; exit 77; }
	exec "$lab" run --nic igb -- bash "$(readlink -f "$0")" --inside "$build"
fi

build=$2
failed=0
dev=/sys/bus/pci/devices

ok() # DESCRIPTION COMMAND...
{
	local what=$1
	shift
	if "$@"; then
		echo "ok: $what"
	else
		echo "FAILED: $what"
		failed=1
	fi
}

pf=$(basename "$(ls -d /sys/bus/pci/drivers/igb/0000:* | head -1)")
netdev=$(ls "$dev/$pf/net")
ip link set "$netdev" up
for _ in $(seq 100); do
	[ "$(cat "$dev/$pf/net/$netdev/carrier" 2>/dev/null)" = 1 ] && break
	sleep 0.1
done
echo 1 >"$dev/$pf/sriov_numvfs"
vf=$(basename "$(readlink "$dev/$pf/virtfn0")")
for _ in $(seq 100); do
	[ -d "$dev/$vf/net" ] && [ "$(cat "$dev/$pf/net/$netdev/carrier" 2>/dev/null)" = 1 ] && break
	sleep 0.1
done

address=0x7000000000
dmesg -C
ok "dma-probe makes the VF read at $address" "$build/tests/guest/dma-probe" "$vf" $address
fault=$(dmesg | grep "DMAR: .*fault addr $address")
echo "$fault"
ok "the IOMMU stopped it and names the VF" test -n "$fault" -a -z "${fault##*"[${vf#0000:}]"*}"
ok "igbvf takes the VF back" "$build/tests/guest/dma-probe" --rebind "$vf"

echo vfio-pci >"$dev/$vf/driver_override"
echo "$vf" >"$dev/$vf/driver/unbind"
echo "$vf" >/sys/bus/pci/drivers_probe
dmesg -C
ok "the probe passes" "$build/tests/e2e/passthrough-probe" "$vf"
bad=$(dmesg | grep -E "BUG|WARNING|Oops|DMAR: .*fault")
ok "the host's log has no fault and no warning" test -z "$bad"
[ -z "$bad" ] || echo "$bad"
echo >"$dev/$vf/driver_override"
echo "$vf" >"$dev/$vf/driver/unbind"
echo "$vf" >/sys/bus/pci/drivers_probe
ok "igbvf takes the VF back after assignment" test "$(basename "$(readlink "$dev/$vf/driver")")" = igbvf
exit $failed
