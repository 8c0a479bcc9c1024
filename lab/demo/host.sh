#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154
# Usage: host.sh PROBE [JSON] - the demo, run on a machine with an igb NIC and nested KVM (the lab).
# PROBE is the path of dma-probe. Prints a table of what was done and seen; exit status 0 only when
# every row was checked and held.
#
# Two networks: 10.99.0.0/24 is the wire with the PF and the VFs, 10.98.0.0/24 is the switch's. Guests
# alpha and beta have a VF each, gamma and delta a virtio card on the switch, alpha has both. A third VF
# is the switch's uplink. It takes frames for its own address only, as the card's VFs do, so that
# address is gamma's: gamma is on the wire, too.
set -u

probe=$1
json=${2:-}
here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
# shellcheck source=lab/demo/lib.sh
. "$here/lib.sh"
pf_ip=10.99.0.1
macs=(02:56:44:00:00:01 02:56:44:00:00:02 02:56:44:00:00:03) # of the VFs; the last is gamma's
alpha_net_mac=02:56:44:00:01:01
delta_mac=02:56:44:00:01:04
data=8000000 # bytes to fetch

# What the host's log says of trouble since the demo began; booting has warnings of its own.
mark="viaduct demo $$ begins"
echo "$mark" >/dev/kmsg
trouble()
{
	dmesg | sed "1,/$mark/d" | grep -E 'BUG:|Oops|WARNING:|Call Trace'
}

# ---- carve, configure, bind ----

pf=$(basename "$(ls -d /sys/bus/pci/drivers/igb/0000:* 2>/dev/null | head -n 1)")
row "find an SR-IOV NIC" "$pf, igb" test -n "$pf"
[ -n "$pf" ] || exit 1

start=$(ms)
viaduct vf carve --wait-link "$pf" 3 >&2
vfs=()
for i in 0 1 2; do
	vfs+=("$(basename "$(readlink "$dev/$pf/virtfn$i")")")
done
row "carve 3 VFs" "${vfs[*]} in $(($(ms) - start)) ms" \
	test -e "$dev/${vfs[0]}" -a -e "$dev/${vfs[2]}" -a "$(cat "$dev/$pf/sriov_numvfs")" = 3

groups_differ()
{
	alone_in_group "${vfs[0]}" && alone_in_group "${vfs[1]}" && alone_in_group "${vfs[2]}"
}
row "an IOMMU group for each VF" "groups $(for vf in "${vfs[@]}"; do group_of "$vf"; done | xargs)" \
	groups_differ

# The rest is written down, once: what is there already is not done again.
cat >"$work/vf.yaml" <<END
pfs:
- pf: "$pf"
  num-vfs: 3
  vfs:
  - {index: 0, mac: "${macs[0]}", driver: vfio-pci}
  - {index: 1, mac: "${macs[1]}", driver: vfio-pci}
  - {index: 2, mac: "${macs[2]}", driver: vfio-pci}
END
viaduct vf plan "$work/vf.yaml" >"$work/plan"
cat "$work/plan" >&2
start=$(ms)
viaduct vf apply "$work/vf.yaml" >&2
rc=$?
row "apply a file: addresses, vfio-pci" "$(grep -c . "$work/plan") lines of plan, $(($(ms) - start)) ms" test $rc = 0
viaduct vf diff "$work/vf.yaml" >"$work/diff"
rc=$?
row "nothing left to apply" "vf diff: status $rc" test $rc = 0
netdev=$(ls "$dev/$pf/net")
# Read back by another tool.
macs_set()
{
	local i

	for i in 0 1 2; do
		ip link show "$netdev" | grep -q "vf $i .*${macs[i]}" || return 1
	done
}
row "set the VFs' MACs" "${macs[*]}" macs_set
row "bind the VFs to vfio-pci" "${vfs[*]}" drivers_are vfio-pci "${vfs[@]}"
ip addr add "$pf_ip/24" dev "$netdev"

# VERDICT of a VF, and what doctor finds that would keep a guest from having it
for i in 0 1 2; do
	viaduct vf isolate "${vfs[i]}" >"$work/isolate.$i"
	echo $? >>"$work/isolate.rc"
done
head -n 20 "$work/isolate.0" >&2
row "is each VF isolated?" "$(grep -ohE 'PASS|WARN|FAIL' "$work"/isolate.[012] | sort | uniq -c | xargs)" \
	test "$(sort -u "$work/isolate.rc")" = 0
viaduct doctor --for "${vfs[0]}" >"$work/doctor"
rc=$?
row "doctor --for ${vfs[0]}" "$(grep -oE 'PASS|WARN|FAIL|SKIP' "$work/doctor" | sort | uniq -c | xargs)" \
	test -s "$work/doctor" -a "$(grep -c FAIL "$work/doctor")" = 0

# ---- the switch ----

# The guests' addresses are pinned: the emulated card gives a VF its own broadcasts back.
cat >"$work/switch.yaml" <<END
socket: $work/control
core: 2
fdb:
  static:
  - {mac: "$alpha_net_mac", port: alpha}
  - {mac: "${macs[2]}", port: gamma}
  - {mac: "$delta_mac", port: delta}
ports:
- {name: alpha, vhost-user: $work/alpha.sock, client: true}
- {name: gamma, vhost-user: $work/gamma.sock, client: true}
- {name: delta, vhost-user: $work/delta.sock, client: true}
- {name: uplink, pci: "${vfs[2]}"}
END
export VIADUCT_SWITCH=$work/control

switch_ready()
{
	viaduct switch port list >"$work/ports" 2>/dev/null
}

# up NAME...: these ports have a link
ports_up()
{
	local name

	switch_ready || return 1
	for name; do
		grep -qE "^$name( +[^ ]+)? +up " "$work/ports" || return 1
	done
}

switch_start()
{
	viaduct switch run --config "$work/switch.yaml" 2>>"$work/switch.err" &
	switch=$!
	pids+=($!)
}

start=$(ms)
switch_start
await 120 ports_up uplink
row "start the switch, a VF its uplink" "${vfs[2]}, link up after $(($(ms) - start)) ms" ports_up uplink

# ---- four guests at once ----

eval "$(viaduct lab image --add "$probe=/bin/dma-probe" --add "$here/guest.sh=/bin/demo-guest")"
net() # NAME MAC: its card on the switch
{
	echo "vhost-user=$work/$1.sock,mac=$2"
}
start=$(ms)
boot alpha "VF=10.99.0.11 NET=10.98.0.11" --assign "${vfs[0]}" --net "$(net alpha "$alpha_net_mac")"
boot beta "VF=10.99.0.12" --assign "${vfs[1]}"
boot gamma "NET='10.98.0.13 10.99.0.13'" --net "$(net gamma "${macs[2]}")"
boot delta "NET=10.98.0.14" --net "$(net delta "$delta_mac")"
say "four guests are booting"
await 300 all_ready_or_one_ended
row "boot four guests" "all ready after $(($(ms) - start)) ms" all_ready
if [ $bad != 0 ]; then
	tail -n 20 "$work"/*.console "$work"/*.err >&2
	table "$json"
	exit 1
fi

viaduct vf lease list >"$work/leases"
cat "$work/leases" >&2
row "the guests have their VFs' leases" "alpha ${vfs[0]}, beta ${vfs[1]}" \
	eval 'grep "${vfs[0]}" "$work/leases" | grep -q alpha && grep "${vfs[1]}" "$work/leases" | grep -q beta'
said=$(viaduct vf carve "$pf" 0 2>&1)
rc=$?
echo "$said" >&2
row "taking the VFs away is refused" "vf carve 0: status $rc" test $rc = 3 -a "$(cat "$dev/$pf/sriov_numvfs")" = 3
for i in 0 1; do
	name=$([ $i = 0 ] && echo alpha || echo beta)
	row "guest $name drives its VF" "$(answer $name driver), $(answer $name mac)" \
		test "$(answer $name driver | cut -d' ' -f1) $(answer $name mac)" = "igbvf ${macs[i]}"
	pings "guest $name pings the PF" $name $pf_ip
done
pings "guest alpha pings guest beta" alpha 10.99.0.12
pings "guest beta pings guest alpha" beta 10.99.0.11

# ---- through the switch ----

for name in gamma delta; do
	mac=$([ $name = gamma ] && echo "${macs[2]}" || echo $delta_mac)
	row "guest $name drives its virtio card" "$(answer $name virtio)" \
		test "$(answer $name virtio)" = "virtio_net $mac"
done
pings "guest gamma pings guest delta, by the switch" gamma 10.98.0.14
sum=$(ask gamma serve serve $data)
fetched "guest delta fetches a file from gamma" "$sum" "$(ask delta fetch fetch 10.98.0.13)"
sum_delta=$(ask delta serve serve $data)
fetched "guest gamma fetches a file from delta" "$sum_delta" "$(ask gamma fetch fetch 10.98.0.14)"
pings "guest alpha pings delta, by its virtio card" alpha 10.98.0.14
fetched "guest alpha fetches a file from delta" "$sum_delta" "$(ask alpha fetch fetch 10.98.0.14)"
pings "guest gamma pings the PF, by the uplink" gamma $pf_ip
pings "guest gamma pings beta's VF, by the uplink" gamma 10.99.0.12
fetched "guest beta fetches a file, by VF and uplink" "$sum" "$(ask beta fetch fetch 10.99.0.13)"

# ---- the switch dies ----

say "killing the switch while delta pings gamma and fetches its file over and over"
ask delta flow flow 10.98.0.13 >/dev/null
kill -9 $switch
wait $switch 2>/dev/null
start=$(ms)
switch_start
await 120 ports_up alpha gamma delta uplink
took=$(($(ms) - start))
read -r sent got twice pause fetches flow_sum <<<"$(ask delta flowed flowed)"
row "the switch is killed and comes back" "guests and uplink connected after $took ms" \
	ports_up alpha gamma delta uplink
row "delta's pings go on" "${got:-0} of ${sent:-0} answered, ${twice:-?} twice, pause ${pause:-?} ms" \
	test "${got:-0}" -gt 0 -a "${twice:-1}" = 0
row "delta's files are whole" "${fetches:-0} fetched, sha256 ${flow_sum:0:12}..." \
	test -n "$sum" -a "${flow_sum:-none}" = "$sum"

# ---- isolation ----

# Host memory, but none of the guest's: it has 256 MiB from 0.
outside=0x20000000
say "guest alpha tells its NIC to read host memory at $outside"
read -r rc said <<<"$(ask alpha dma dma $outside)"
await 60 answered alpha rebind 1
fault_line()
{
	grep "viaduct run: alpha: ${vfs[0]}: the IOMMU blocked a DMA .* at iova $outside" "$work/alpha.err" | head -n 1
}
row "alpha's NIC reads outside its memory" "${said:0:60}" test "${rc:-1}" = 0
await 10 test -n "$(fault_line)"
row "the IOMMU stops it" "guest alpha, ${vfs[0]}, iova $outside" test -n "$(fault_line)"
[ -z "$(fault_line)" ] || say "$(fault_line)"
pings "guest alpha goes on" alpha $pf_ip
pings "guest beta goes on" beta $pf_ip
pings "guests gamma and delta go on" gamma 10.98.0.14
trouble >&2
row "the host goes on" "$(trouble | wc -l) warnings in its log" test -z "$(trouble)"

# ---- end ----

status=()
for name in alpha beta gamma delta; do
	tell $name end
done
for name in alpha beta gamma delta; do
	wait "${guest[$name]}"
	status+=($?)
done
row "all guests power off" "status ${status[*]}" test "${status[*]}" = "0 0 0 0"
kill $switch
wait $switch
rc=$?
pids=()
row "the switch ends" "status $rc" test $rc = 0
for name in alpha beta; do
	irqfd=$(stat_of $name interrupts irqfd)
	trapped=$(stat_of $name assigned 0 bar_accesses)
	row "guest $name: device interrupts by irqfd" "$irqfd, and $trapped trapped BAR accesses" \
		test "$irqfd" -gt 0 -a "$trapped" = 0
done
for name in gamma delta; do
	trapped=$(stat_of $name net 0 trapped_kicks)
	commands=$(stat_of $name net 0 commands)
	row "guest $name: doorbells that came to us" "$trapped, its $commands commands" \
		test "$trapped" = "$commands"
done
for vf in "${vfs[@]}"; do
	viaduct vf release "$vf" >&2
done
row "release the VFs" "drivers: $(for vf in "${vfs[@]}"; do driver_of "$vf"; done | xargs)" \
	drivers_are none "${vfs[@]}"
viaduct vf carve "$pf" 0 >&2
row "take the VFs away" "$(cat "$dev/$pf/sriov_numvfs") left" test "$(cat "$dev/$pf/sriov_numvfs")" = 0

table "$json" || bad=1
exit $bad
