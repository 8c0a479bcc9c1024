#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2034,SC2154,SC2317
# Guests of ours on the switches of others: Open vSwitch with DPDK (NORMAL), then DPDK's testpmd, which
# carries frames from one guest to the other, then our own. The guests stay up while one is killed under
# their traffic and the next takes its place: pings and files with verified content go over each.
# shellcheck source=tests/lib/run.sh
. "${0%/*}/../lib/run.sh"
# shellcheck source=tests/lib/talk.sh
. "${0%/*}/../lib/talk.sh"
command -v busybox >/dev/null || skip "no busybox: run ./scripts/setup"
command -v dpdk-testpmd >/dev/null || skip "no dpdk-testpmd: run ./scripts/setup"
ovs=/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk
[ -x $ovs ] || skip "no Open vSwitch with DPDK: run ./scripts/setup"
in_lab --cpus 3 --memory 2700

export OVS_RUNDIR=$scratch/ovs OVS_LOGDIR=$scratch/ovs OVS_DBDIR=$scratch/ovs
database=unix:$scratch/ovs/db.sock

vsctl()
{
	ovs-vsctl --db="$database" --timeout=100 "$@"
}

# Each takes CPU 2 for what it moves frames with, as the guests' sockets' client.
ovs_start()
{
	local setting

	mkdir "$scratch/ovs"
	ovsdb-tool create "$scratch/ovs/conf.db" /usr/share/openvswitch/vswitch.ovsschema
	ovsdb-server "$scratch/ovs/conf.db" --remote="punix:$scratch/ovs/db.sock" -vconsole:off &
	db=$!
	until_holds 60 test -S "$scratch/ovs/db.sock"
	vsctl --no-wait init
	# A pool of buffers for all ports takes what memory there is, and sometimes more.
	for setting in dpdk-init=true per-port-memory=true dpdk-lcore-mask=0x1 pmd-cpu-mask=0x4 n-handler-threads=1 \
		n-revalidator-threads=1 \
		'dpdk-extra="--no-huge --legacy-mem -m 512 --no-telemetry --no-shconf --no-pci"'; do
		vsctl --no-wait set Open_vSwitch . "other_config:$setting"
	done
	$ovs "$database" -vconsole:off --log-file="$scratch/ovs/log" &
	back_end=$!
	vsctl add-br br0 -- set bridge br0 datapath_type=netdev
	for name in a b; do
		vsctl add-port br0 $name -- set interface $name type=dpdkvhostuserclient \
			options:vhost-server-path="$scratch/$name.sock"
	done
}

testpmd_start()
{
	mkfifo "$scratch/testpmd.in"
	dpdk-testpmd --lcores 0@0,1@2 --no-huge -m 128 --no-pci --no-shconf --no-telemetry \
		--vdev "net_vhost0,iface=$scratch/a.sock,client=1,queues=1" \
		--vdev "net_vhost1,iface=$scratch/b.sock,client=1,queues=1" -- -i --auto-start \
		--total-num-mbufs=4096 --forward-mode=io --no-mlockall --no-lsc-interrupt \
		<>"$scratch/testpmd.in" >"$scratch/testpmd.log" 2>&1 &
	back_end=$!
}

switch_start()
{
	cat >"$scratch/switch.yaml" <<END
socket: $scratch/control
core: 2
ports:
- {name: a, vhost-user: $scratch/a.sock, client: true, offloads: [csum]}
- {name: b, vhost-user: $scratch/b.sock, client: true, offloads: [csum]}
END
	viaduct switch run --config "$scratch/switch.yaml" >"$scratch/switch.log" 2>&1 &
	back_end=$!
}

# The guests were offered what Open vSwitch can do, and the others can do more: so it comes first.
it "runs guests on Open vSwitch with DPDK"
ovs_start
talk_boot alpha --net "vhost-user=$scratch/a.sock,mac=52:54:00:00:00:0a,tso=off"
talk_boot beta --net "vhost-user=$scratch/b.sock,mac=52:54:00:00:00:0b,tso=off,packed=off"
heard alpha 200 && heard beta 100 || {
	tail -n 20 "$scratch/ovs/log"
	done_testing
}
for name in alpha beta; do
	features $name
	echo "  features of $name $bits"
	equal "${bits:1:1}" 1 "checksum offload of $name"
done
join alpha 192.0.2.10
join beta 192.0.2.11
size=3000000
serves alpha
sum_a=$said
serves beta
sum_b=$said
declare -A log
for name in alpha beta; do
	driver_log $name
	log[$name]=$said
done

# carries: both kinds of traffic, both ways
carries()
{
	pings alpha 192.0.2.11
	pings beta 192.0.2.10
	fetches alpha 192.0.2.11 "$sum_b"
	fetches beta 192.0.2.10 "$sum_a"
	holds "$1 has died" kill -0 "$back_end"
}
carries "Open vSwitch"
[ "$failures" = 0 ] || {
	tail -n 30 "$scratch/ovs/log" "$scratch"/*.err
	vsctl show
	done_testing
}
equal "$(ovs-appctl -t "$(echo "$scratch"/ovs/ovs-vswitchd*.ctl)" fdb/show br0 | grep -c 52:54:00:00:00:0)" 2 \
	"addresses Open vSwitch has learned"

# The one in service dies under traffic, which the next carries on.
replaced_by() # NAME
{
	traffic_start alpha 192.0.2.11
	kill -9 "$back_end"
	wait "$back_end" 2>/dev/null
	"$1_start"
	traffic_goes alpha
	traffic_stop alpha "$sum_b"
}

it "goes on with testpmd in its place"
replaced_by testpmd
carries testpmd

it "goes on with our switch in its place"
replaced_by switch
carries "our switch"

it "has kept the guests' drivers running"
for name in alpha beta; do
	driver_log $name
	equal "$said" "${log[$name]}" "what $name's driver has to say"
	talk_end $name
	equal "$status" 0 "exit status of $name"
	equal "$(figure "$scratch/$name.json" needs_reset)" 0 "times $name's device needed a reset"
done
kill "$back_end" "$db"
wait
clean
host_well
done_testing
