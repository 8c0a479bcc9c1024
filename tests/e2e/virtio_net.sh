#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016,SC2119
# A guest of ours with virtio-net on a tap of the emulated host: it pings, moves data both ways with
# verified content, and no doorbell of the data path reaches our process. On one queue pair, then two.
# shellcheck source=tests/lib/lab.sh
. "${0%/*}/../lib/lab.sh"
lab_need
command -v busybox >/dev/null || skip "no busybox: run ./scripts/setup"

cat >"$scratch/guest.sh" <<'END'
ip link set eth0 up
ip addr add 192.0.2.2/24 dev eth0
echo "mac $(cat /sys/class/net/eth0/address) mtu $(cat /sys/class/net/eth0/mtu)"
echo "queues $(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
ping -c 5 -W 5 192.0.2.1 | grep received
wget -q -O /tmp/down http://192.0.2.1:8080/data && sha256sum /tmp/down
nc 192.0.2.1 9000 </tmp/down
# The filter follows the interface: promiscuous and back, another address.
ip link set eth0 promisc on
ip link set eth0 promisc off
ip link set eth0 address 52:54:00:00:00:99 && ping -c 2 -W 5 192.0.2.1 | grep received
echo "carrier $(cat /sys/class/net/eth0/carrier)"
END

cat >"$scratch/host.sh" <<'END'
dir=$1
eval "$(viaduct lab image)" || exit 1
mkdir /tmp/www && head -c 3000000 /dev/urandom >/tmp/www/data
for queues in 1 2; do
	[ "$queues" = 1 ] && many='' || many=multi_queue
	ip tuntap add dev vt0 mode tap $many && ip addr add 192.0.2.1/24 dev vt0 &&
		ip link set vt0 up || exit 1
	busybox httpd -f -p 192.0.2.1:8080 -h /tmp/www &
	httpd=$!
	# An end of file on its input would be one on the guest's, which then sends no more.
	mkfifo /tmp/hold
	busybox nc -l -p 9000 >/tmp/up <>/tmp/hold &
	nc=$!
	timeout 100 viaduct run --kernel "$kernel" --initrd "$initrd" --cpus "$queues" \
		--stats /tmp/stats --net "tap=vt0,mac=52:54:00:00:00:42,mtu=1400,queues=$queues" \
		--cmdline "console=ttyS0 quiet viaduct.run=$(base64 -w0 <"$dir/guest.sh")" </dev/null
	echo "run $?"
	echo "sent $(sha256sum </tmp/www/data)"
	echo "back $(sha256sum </tmp/up)"
	cat /tmp/stats
	kill "$httpd" "$nc" 2>/dev/null
	rm /tmp/hold
	ip link del vt0
	echo "== end of $queues"
done
viaduct run --kernel "$kernel" --net tap=lo </dev/null 2>&1
END

it "runs guests on a tap"
lab_run -- bash "$scratch/host.sh" "$scratch"
sed -i 's/\r//' "$out"
matches "$(cat "$out")" "tap lo: .*no tap" "refusal of what is no tap"

# figure NAME: a number of the one device in the statistics
figure()
{
	sed -n '/"net"/,/\]/s/.*"'"$1"'": \([0-9]*\).*/\1/p' <<<"$part"
}

from=1
for queues in 1 2; do
	end=$(grep -n "^== end of $queues" "$out" | cut -d : -f 1)
	part=$(sed -n "$from,${end:-\$}p" "$out")
	from=$((${end:-0} + 1))

	it "pings and moves data on $queues queue pair(s)"
	matches "$part" "^mac 52:54:00:00:00:42 mtu 1400" "MAC and MTU"
	matches "$part" "^queues $queues$" "queues in the guest"
	equal "$(grep -cE "^(5 packets transmitted, 5|2 packets transmitted, 2) packets received" <<<"$part")" \
		2 "answered pings"
	sum=$(sed -n 's/^sent //p' <<<"$part" | cut -d ' ' -f 1)
	matches "$part" "^$sum  /tmp/down" "what the guest received"
	equal "$(sed -n 's/^back //p' <<<"$part" | cut -d ' ' -f 1)" "$sum" "what the guest sent back"
	matches "$part" "^carrier 1" "carrier"
	matches "$part" "^run 0" "exit status of viaduct run"

	it "has no exit of ours per packet on $queues queue pair(s)"
	equal "$(figure trapped_kicks)" "$(figure commands)" "doorbells trapped: those of commands"
	holds "few packets: $(figure tx_packets)" test "$(figure tx_packets)" -gt 40
	equal "$(figure needs_reset)" 0 "times the device needed a reset"
	equal "$(figure command_errors)" 0 "refused commands"
	equal "$(figure pairs)" "$queues" "pairs in use"
	sed -n '/"net"/,/\]/p;/"exits"/,/}/p' <<<"$part"
done
[ "$failures" = 0 ] || cat "$out"
nothing_left
done_testing
