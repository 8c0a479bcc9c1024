#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `viaduct doctor` on this machine and in the lab, by root and by an ordinary user: what it says against
# what a shell can see, and its JSON against the schema.
# Usage: doctor.sh BUILD_DIR (runs itself in the lab)
set -u
source=$(cd "$(dirname "$0")/../.." && pwd)
failed=0 out= rc=0

run() # ARGUMENTS of viaduct-doctor; leaves $out and $rc
{
	out=$("$doctor" "$@" 2>&1)
	rc=$?
}

nobody() # the same by an ordinary user
{
	out=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$doctor" "$@" 2>&1)
	rc=$?
}

ok() # DESCRIPTION COMMAND...
{
	local what=$1
	shift
	if "$@"; then
		echo "ok: $what"
	else
		echo "FAILED: $what (exit $rc)"
		echo "$out"
		failed=1
	fi
}

says() { [[ $out == *"$1"* ]]; }
exits() { [ "$rc" = "$1" ]; }
line() # STATUS ID [PART]: some line of this check has that status
{
	grep -Eq "^$1 +$2 .*${3:-}" <<<"$out"
}
json_is_good()
{
	python3 - "$source/docs/schema/doctor.json" "$rc" "$out" <<'END'
import json, sys
schema, rc, found = json.load(open(sys.argv[1])), int(sys.argv[2]), json.loads(sys.argv[3])
try:
    import jsonschema
    jsonschema.validate(found, schema)
except ImportError:
    print("no python3-jsonschema: the schema is not checked")
order = ["PASS", "SKIP", "WARN", "FAIL"]
worst = max((f["status"] for f in found["findings"]), key=order.index)
assert found["verdict"] == worst, worst
assert rc == {"PASS": 0, "SKIP": 0, "WARN": 5, "FAIL": 6}[worst], rc
assert sum(found["count"].values()) == len(found["findings"])
for f in found["findings"]:
    assert f["fix"] or f["status"] in ("PASS", "SKIP"), f
END
}

if [ "${1:-}" = --inside ]; then
	doctor=$2/viaduct-doctor vf=$2/viaduct-vf
	pf=$(basename "$(ls -d /sys/bus/pci/drivers/igb/0000:* | head -1)")
	netdev=$(ls "/sys/bus/pci/devices/$pf/net")
	ip link set "$netdev" down

	run
	echo "$out"
	ok "the lab can do it all: warnings only" exits 5
	for id in privilege cpu-virtualization kvm-access kvm-linux vfio-modules iommu-table iommu \
		interrupt-remapping no-iommu lab; do
		ok "$id passes" line PASS "$id"
	done
	ok "it says that this KVM can boot Linux" says "this KVM can boot Linux"
	ok "the PF's interface is down" line WARN pf-link "$netdev is down"
	"$vf" carve "$pf" 2 >/dev/null || failed=1
	a=$(basename "$(readlink "/sys/bus/pci/devices/$pf/virtfn0")")
	run --for "$netdev"
	ok "VFs that nobody uses are told of" line WARN unused-vfs "2 VFs"
	"$vf" bind "$a" vfio-pci >/dev/null || failed=1
	group=$(basename "$(readlink "/sys/bus/pci/devices/$a/iommu_group")")
	before=$(ip link show "$netdev" | grep 'vf ')
	run --for "$netdev" --probe
	ok "probing tells what igb can set" line PASS attributes "can set mac, vlan, rate, spoofchk, trust"
	ok "and what it cannot" line PASS attributes "cannot set link-state"
	ok "and changes no value" test "$before" = "$(ip link show "$netdev" | grep 'vf ')"
	ok "all its VFs fit" line PASS bus-numbers
	ok "their BARs have memory" line PASS vf-bars
	run --for "$a"
	ok "the VF is ready" line PASS group-viable
	ok "its node may be opened" line PASS vfio-node "/dev/vfio/$group"
	ok "it is reset" line PASS reset-method flr
	ok "only this device is looked at" test -z "$(grep "^0000:" <<<"$out" | grep -v "^$a\$")"
	sleep 1000 3<>"/dev/vfio/$group" &
	holder=$!
	for _ in $(seq 100); do
		grep -q sleep /proc/$holder/comm && [ -e /proc/$holder/fd/3 ] && break
		sleep 0.05
	done
	run --for "$a"
	ok "who holds it is named" line WARN in-use "sleep"
	kill $holder
	wait $holder 2>/dev/null
	run --for "$a" --user nobody
	ok "another user's rights" line FAIL vfio-node "nobody may not open /dev/vfio/$group"
	chmod 666 "/dev/vfio/$group" /dev/vfio/vfio
	run --for "$a" --user nobody
	ok "are asked again" line PASS vfio-node "nobody may open /dev/vfio/$group"
	run --json
	ok "its JSON is as the schema says" json_is_good

	nobody --for "$a"
	ok "an ordinary user gets a verdict" exits 6
	ok "with what he cannot see" line WARN privilege "lacks CAP_SYS_ADMIN"
	ok "the kernel log among it" line SKIP kernel-log
	ok "what he may not open" line FAIL kvm-access
	ok "and what he can see" line PASS interrupt-remapping
	ok "and how much he may lock" line WARN memlock "may lock 8 MiB"
	nobody --json
	ok "his JSON is as the schema says too" json_is_good

	echo Y >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
	run -q
	ok "an unsafe switch is seen" line WARN unsafe-interrupts
	ok "quiet says nothing of what is well" test -z "$(grep ^PASS <<<"$out")"
	echo N >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
	ip addr add 192.0.2.1/24 dev "$netdev"
	ip route add default via 192.0.2.2
	run --for "$pf"
	ok "the default route is seen" line WARN pf-safety "default route"
	mkdir -p /etc/systemd/network
	printf '[Match]\nOriginalName=%s\n[Link]\nSR-IOVVirtualFunctions=4\n' "$netdev" \
		>/etc/systemd/network/10-pf.link
	run --for "$pf"
	ok "a .link file that makes VFs is named" \
		line WARN managed-elsewhere "/etc/systemd/network/10-pf.link:4"
	exit $failed
fi

build=$(cd "${1:-build}" && pwd) || exit 1
doctor=$build/cli/viaduct-doctor
[ -x "$doctor" ] || { echo "skipped: $doctor is not built"; exit 77; }

# This machine, whatever it is.
run --list
ok "it lists its checks" says "interrupt-remapping"
checks=$(wc -l <<<"$out")
ok "each once" test "$(cut -d ' ' -f 1 <<<"$out" | sort -u | wc -l)" = "$checks"
run --json
ok "its JSON is as the schema says" json_is_good
run
echo "$out"
if [ -e /sys/firmware/acpi/tables/DMAR ] || [ -e /sys/firmware/acpi/tables/IVRS ]; then
	ok "firmware announces an IOMMU" line PASS iommu-table
elif [ -d /sys/firmware/acpi/tables ]; then
	ok "firmware announces no IOMMU" line FAIL iommu-table
	ok "and the kernel uses none" line FAIL iommu
	ok "so the lab is named" says "viaduct lab"
fi
if grep -Eqw 'vmx|svm' /proc/cpuinfo; then
	ok "the processor can run guests" line PASS cpu-virtualization
else
	ok "the processor cannot run guests" line FAIL cpu-virtualization
fi
if [ ! -e /dev/kvm ]; then
	ok "there is no KVM" line FAIL kvm-access
elif [ -w /dev/kvm ]; then
	ok "KVM is tried" line "(PASS|WARN|FAIL)" kvm-linux
fi
run --for 0000:ff:1f.7
ok "a device that is not there is an error" exits 1
ok "which is named" says "0000:ff:1f.7"
run --for 'a b'
ok "a name that is none is wrong usage" exits 2
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	nobody
	ok "an ordinary user is told what he cannot see" line WARN privilege
fi

lab=$build/cli/viaduct-lab
command -v qemu-system-x86_64 >/dev/null && [ -x "$lab" ] || {
	echo "the lab is not to be had: that part is left out"
	exit $failed
}
"$lab" run --nic igb -- bash "$(readlink -f "$0")" --inside "$build/cli" || failed=1
exit $failed
