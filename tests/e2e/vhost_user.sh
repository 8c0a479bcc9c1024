#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016,SC2154
# Guests of ours on our switch: pings and files with verified content between them and with the host,
# over sockets made by either side, split and packed rings, one and two queue pairs, segments of 64 KiB
# between those who take them. Then the switch is killed under traffic
# and comes back, a guest's monitor is killed under traffic and another takes its place.
# shellcheck source=tests/lib/run.sh
. "${0%/*}/../lib/run.sh"
# shellcheck source=tests/lib/talk.sh
. "${0%/*}/../lib/talk.sh"
command -v busybox >/dev/null || skip "no busybox: run ./scripts/setup"
in_lab --cpus 3 --memory 2700

export VIADUCT_SWITCH=$scratch/control
cat >"$scratch/switch.yaml" <<END
socket: $VIADUCT_SWITCH
core: 2
ports:
- {name: a, vhost-user: $scratch/a.sock, client: true, offloads: [csum, tso]}
- {name: b, vhost-user: $scratch/b.sock, offloads: [csum, tso]}
- {name: host, tap: vt0}
END

switch_start()
{
	viaduct switch run --config "$scratch/switch.yaml" >>"$scratch/switch.log" 2>&1 &
	switch=$!
	until_holds 60 viaduct switch port list >/dev/null 2>&1 || fail "no switch: $(cat "$scratch/switch.log")"
}

port_up() # NAME
{
	viaduct switch port list 2>/dev/null | grep -qE "^$1 +[a-z-]+ +up "
}

# number PORT KEY: of `stats`
number()
{
	viaduct switch --json stats | "$python" -c '
import json, sys
for p in json.load(sys.stdin)["ports"]:
    if p["name"] == sys.argv[1]:
        print(p[sys.argv[2]])' "$1" "$2"
}

# ---- two guests ----

it "connects two guests, as server and as client"
switch_start
talk_boot alpha --cpus 2 --net "vhost-user=$scratch/a.sock,mac=52:54:00:00:00:0a,queues=2"
talk_boot beta --net "vhost-user=$scratch/b.sock,mac=52:54:00:00:00:0b,mode=client,packed=off"
heard alpha 200 && heard beta 100 || done_testing
join alpha 192.0.2.10
join beta 192.0.2.11
ip addr add 192.0.2.1/24 dev vt0 && ip link set vt0 up
holds "ports: $(viaduct switch port list)" port_up a
holds "ports: $(viaduct switch port list)" port_up b
ask alpha 'ls -d /sys/class/net/eth0/queues/rx-* | wc -l; cat /sys/class/net/eth0/address'
equal "$said" $'2\n52:54:00:00:00:0a\n' "queue pairs and address"
features beta
equal "${bits:34:1}" 0 "beta's packed rings"
features alpha
equal "${bits:34:1}" 1 "alpha's packed rings"
# CSUM and GUEST_CSUM; GUEST_TSO4 and 6, HOST_TSO4 and 6
equal "${bits:0:2} ${bits:7:2} ${bits:11:2}" "11 11 11" "alpha's offloads"
echo "  features of alpha $bits"

it "carries pings between them and the host"
pings alpha 192.0.2.11
pings beta 192.0.2.1
ask alpha 'for cpu in 1 2; do taskset $cpu ping -c 2 -W 5 192.0.2.11; done | grep -c "2 packets received"'
equal "$said" $'2\n' "rounds of pings, one from each queue"

it "carries files with their content"
serves alpha
sum_a=$said
serves beta
sum_b=$said
frames=$(number a tx-packets) bytes=$(number a tx-bytes)
fetches alpha 192.0.2.11 "$sum_b"
frames=$(($(number a tx-packets) - frames)) bytes=$(($(number a tx-bytes) - bytes))
holds "segments of beta's were cut: $((bytes / frames)) bytes a frame" test $((bytes / frames)) -gt 2000
fetches beta 192.0.2.10 "$sum_a"
it "completes what a port without offloads cannot take"
frames=$(number host tx-packets) bytes=$(number host tx-bytes)
equal "$(busybox wget -q -O - http://192.0.2.11:8080/data | sha256sum | cut -d ' ' -f 1)" "$sum_b" \
	"checksum of what the host fetched from beta"
frames=$(($(number host tx-packets) - frames)) bytes=$(($(number host tx-bytes) - bytes))
holds "$((bytes / frames)) bytes a frame to the host" test $((bytes / frames)) -le 1514

# ---- the switch dies under traffic ----

it "brings traffic back when the switch was killed and returns"
driver_log alpha && before=$said
traffic_start alpha 192.0.2.11
kill -9 "$switch"
wait "$switch" 2>/dev/null
begin=$(ms)
switch_start
echo "  the switch was back after $(($(ms) - begin)) ms"
until_holds 60 port_up a && until_holds 60 port_up b
echo "  both guests were connected after $(($(ms) - begin)) ms"
traffic_goes alpha
traffic_stop alpha "$sum_b"
driver_log alpha
equal "$said" "$before" "what alpha's driver has to say"
pings beta 192.0.2.10

# ---- a guest dies under traffic ----

it "goes on when a guest is killed, and takes another in its place"
ip addr add 192.0.2.1/24 dev vt0 && ip link set vt0 up
traffic_start alpha 192.0.2.11
ask alpha 'ping -i 0.1 192.0.2.1 >/tmp/host & host=$!'
talk_kill beta
equal "$status" 137 "exit status of the killed"
talk_boot gamma --net "vhost-user=$scratch/b.sock,mac=52:54:00:00:00:0c,mode=client,csum=off"
heard gamma 200 || done_testing
join gamma 192.0.2.12
features gamma
equal "${bits:0:2}${bits:7:2}${bits:11:2}" "000000" "gamma's offloads"
pings gamma 192.0.2.10
pings alpha 192.0.2.12
fetches gamma 192.0.2.10 "$sum_a"
ask alpha 'kill $ping $fetch; kill -INT $host; wait $host; tail -n 2 /tmp/host | head -n 1; grep -c "DUP!" /tmp/host'
matches "$said" " 0% packet loss" "alpha's pings of the host in the meantime"
matches "$said" "^0$" "pings answered twice"
holds "switch died" kill -0 "$switch"

it "ends in peace"
for name in alpha gamma; do
	driver_log $name
	talk_end $name
	equal "$status" 0 "exit status of $name"
	equal "$(figure "$scratch/$name.json" needs_reset)" 0 "times $name's device needed a reset"
	equal "$(figure "$scratch/$name.json" trapped_kicks)" "$(figure "$scratch/$name.json" commands)" \
		"doorbells of $name trapped: those of commands"
done
viaduct switch stats
kill "$switch"
status=0
wait "$switch" || status=$?
equal "$status" 0 "exit status of the switch"
# DPDK's tap driver speaks of processes that there are none of.
equal "$(grep -v '^tap_mp_' "$scratch/switch.log")" "" "what the switch had to say"
clean
host_well
done_testing
