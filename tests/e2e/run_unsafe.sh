#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A host whose IOMMU does not remap interrupts: nothing is assigned unless both the user and VFIO's module
# parameter say so. And a port whose ACS was switched off.
# shellcheck disable=SC2154
# shellcheck source=tests/lib/run.sh
. "${0%/*}/../lib/run.sh"

before_lab()
{
	tiny=$(cd "$(dirname "$(command -v viaduct)")/../tests/guest" && pwd)/poweroff
	[ -f "$tiny" ] || skip "$tiny is not built"
	export tiny
}
in_lab --iommu vtd-noir --nic igb
dev=/sys/bus/pci/devices

short_guest() # OPTION...: one that only powers off
{
	status=0
	timeout -k 5 60 viaduct run --kernel "$tiny" --memory 64 --name web "$@" </dev/null >"$out" 2>"$err" ||
		status=$?
}

refused() # WORDS...: the last one was, saying so, and nothing has changed
{
	equal "$status" 1 "exit status"
	for word in "$@"; do
		holds "does not say \"$word\"" grep -qF -- "$word" "$err"
	done
	equal "$(driver_of "${vf[0]}")" vfio-pci "the VF's driver"
	equal "$(viaduct vf lease list)" "" "leases"
}

pf=$(by_driver igb)
port=$(basename "$(dirname "$(readlink -f "$dev/$pf")")")
carve "$pf" 1
allow=/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
equal "$(cat $allow)" N "the module parameter at first"

it "isolate says so"
viaduct vf isolate "${vf[0]}" >"$out" 2>"$err"
equal "$?" 6 "exit status"
matches "$(cat "$out")" 'FAIL +interrupt-remapping +.*IO-APIC of' "the finding"

for value in N Y; do
	it "refused without the option, the parameter being $value"
	echo $value >$allow
	short_guest --assign "${vf[0]}" --stats "$scratch/never.json"
	refused "interrupt remapping of this host is off" "IO-APIC of" /proc/interrupts firmware \
		--unsafe-interrupts "$allow"
	equal "$(wc -l <"$err")" 1 "lines of message"
	holds "no figures of a guest that never ran" test ! -e "$scratch/never.json"
done

it "the option alone is not enough: the kernel refuses, and why is said"
echo N >$allow
short_guest --assign "${vf[0]}" --unsafe-interrupts
refused "web: --unsafe-interrupts: interrupts are not remapped" "the kernel refuses" \
	"allow_unsafe_interrupts is N" "echo Y >$allow" \
	"'options vfio_iommu_type1 allow_unsafe_interrupts=1' in /etc/modprobe.d"

it "with both the guest drives the VF, and each start warns"
echo Y >$allow
guest "$(guest_net 10.9.0.2)" --assign "${vf[0]}" --unsafe-interrupts --stats "$scratch/unsafe.json"
equal "$status" 0 "exit status"
prints guest "pong 10.9.0.1"
equal "$(wc -l <"$err")" 1 "lines on standard error"
matches "$(cat "$err")" 'guest: --unsafe-interrupts: .* take over the host$' "the warning"
holds "interrupts came by irqfd" test "$(figure "$scratch/unsafe.json" irqfd)" -gt 5
for line in '"interrupt_remapping": "off"' '"unsafe_interrupts": true' '"leased": true'; do
	holds "no $line in the figures" grep -qF "$line" "$scratch/unsafe.json"
done
clean

it "what is assigned to nobody needs none of it"
short_guest --stats "$scratch/none.json"
equal "$status:$(cat "$err")" 0: "exit status and standard error"
holds "the figures tell" grep -qF '"interrupt_remapping": "off"' "$scratch/none.json"

it "a port that lost its ACS: refused, until --unsafe-isolation"
setpci -s "$port" ECAP_ACS+6.w=0011 || fail "setpci"
short_guest --assign "${vf[0]}" --unsafe-interrupts
refused "${vf[0]}: not isolated (acs-path)" "$port" --unsafe-isolation "viaduct vf isolate"
short_guest --assign "${vf[0]}" --unsafe-interrupts --unsafe-isolation
equal "$status" 0 "exit status"
matches "$(cat "$err")" "--unsafe-isolation: ${vf[0]}: acs-path: .*$port" "the warning"
setpci -s "$port" ECAP_ACS+6.w=001d
clean
host_well
done_testing
