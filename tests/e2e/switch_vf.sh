#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A VF on vfio-pci as a port of `viaduct switch`, in the lab: added to a switch that was started with
# no PCI function, without huge pages; a ping through it; what is said when it cannot be had; removed and
# added again.
. "${0%/*}/../lib/run.sh"
in_lab --nic igb

pf=$(by_driver igb)
carve "$pf" 2
viaduct vf bind -q "${vf[1]}" igbvf
export VIADUCT_SWITCH=$scratch/control

ask()
{
	status=0
	timeout 30 viaduct switch "$@" >"$out" 2>"$err" || status=$?
}
field() # EXPRESSION over p, the ports by name
{
	viaduct switch --json port list | "$python" -c "
import json, sys
r = json.load(sys.stdin)
p = {x['name']: x for x in (r['ports'] if isinstance(r, dict) else r)}
print($1)"
}

# The function hears its own broadcasts: without the static address they would move it there.
cat >"$scratch/c.yaml" <<END
socket: $scratch/control
ports:
- {name: t, tap: vdt0}
fdb: {static: [{mac: "02:00:00:00:00:01", port: t}]}
END
viaduct switch run --config "$scratch/c.yaml" 2>"$scratch/switch.err" &
switch=$!
for _ in $(seq 300); do
	[ -S "$VIADUCT_SWITCH" ] && break
	sleep 0.1
done
it "starts with no PCI function and no huge page"
ask port list
equal "$status" 0 "exit status"

it "refuses a function another driver has, and says what to do"
ask port add "{name: up, pci: '${vf[1]}'}"
equal "$status" 1 "exit status"
matches "$(cat "$err")" "is bound to igbvf; bind it first: viaduct vf bind ${vf[1]} vfio-pci" "message"
it "names who has the function"
sleep 1000 3<>"/dev/vfio/$(basename "$(readlink "/sys/bus/pci/devices/${vf[0]}/iommu_group")")" &
holder=$!
sleep 0.5
ask port add "{name: up, pci: '${vf[0]}'}"
equal "$status" 1 "exit status"
matches "$(cat "$err")" "in use by sleep \(process $holder\)" "message"
kill $holder
wait $holder 2>/dev/null

for turn in 1 2; do
	it "adds the VF while it runs, turn $turn"
	ask port add "{name: up, pci: '${vf[0]}'}"
	equal "$status" 0 "exit status"
	for _ in $(seq 100); do
		[ "$(field "p['up']['up']")" = True ] && break
		sleep 0.1
	done
	equal "$(field "p['up']['up']")" True "link"
	it "carries frames through it, turn $turn"
	ip netns add guest$turn
	ip link set vdt0 address 02:00:00:00:00:01
	ip link set vdt0 netns guest$turn
	ip -n guest$turn addr add 10.9.0.2/24 dev vdt0
	ip -n guest$turn link set vdt0 up
	ip netns exec guest$turn ping -c 3 -i 0.3 -W 5 10.9.0.1 >"$out" 2>&1
	equal "$?" 0 "ping's exit status"
	ip -n guest$turn link set vdt0 netns 1
	ip netns del guest$turn
	it "lets go of it, turn $turn"
	ask port del up
	equal "$status" 0 "exit status"
	equal "$(vfio_descriptors | grep -c '/dev/vfio/[0-9]')" 0 "groups still open"
done
it "ends"
kill $switch
wait $switch
equal "$?" 0 "exit status"
equal "$(grep -v ^EAL "$scratch/switch.err")" "" "messages"
host_well
done_testing
