#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016,SC2119
# A guest of ours with virtio-net on a tap of the emulated host: it pings, moves data both ways with
# verified content, and no doorbell of the data path reaches our process. On one queue pair, then two.
# Then the same with Linux's e1000 on the emulated card, whose interrupt is a pin that is remapped.
# shellcheck source=tests/lib/lab.sh
. "${0%/*}/../lib/lab.sh"
lab_need
command -v busybox >/dev/null || skip "no busybox: run ./scripts/setup"

cat >"$scratch/guest.sh" <<'END'
ip link set eth0 up
ip addr add 192.0.2.2/24 dev eth0
for i in $(seq 100); do [ "$(cat /sys/class/net/eth0/carrier)" = 1 ] && break; sleep 0.1; done
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
echo "driver $(basename "$(readlink /sys/class/net/eth0/device/driver)")"
sed -n 's/.* \(IR-IO-APIC\) .*-fasteoi .*eth0.*/pin \1/p' /proc/interrupts
awk '/eth0/{print "interrupts " $2}' /proc/interrupts
echo "errors $(cat /sys/class/net/eth0/statistics/rx_errors /sys/class/net/eth0/statistics/tx_errors | tr '\n' ' ')"
END

cat >"$scratch/host.sh" <<'END'
dir=$1
eval "$(viaduct lab image)" || exit 1
mkdir /tmp/www && head -c 3000000 /dev/urandom >/tmp/www/data
for queues in 1 2 e1000; do
	many='' cpus=$queues model=mtu=1400,queues=$queues
	case $queues in
	2) many=multi_queue ;;
	e1000) cpus=1 model=model=e1000 ;;
	esac
	ip tuntap add dev vt0 mode tap $many && ip addr add 192.0.2.1/24 dev vt0 &&
		ip link set vt0 up || exit 1
	busybox httpd -f -p 192.0.2.1:8080 -h /tmp/www &
	httpd=$!
	# An end of file on its input would be one on the guest's, which then sends no more.
	mkfifo /tmp/hold
	busybox nc -l -p 9000 >/tmp/up <>/tmp/hold &
	nc=$!
	timeout 100 viaduct run --kernel "$kernel" --initrd "$initrd" --cpus "$cpus" \
		--stats /tmp/stats --net "tap=vt0,mac=52:54:00:00:00:42,$model" \
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
for queues in 1 2 e1000; do
	end=$(grep -n "^== end of $queues" "$out" | cut -d : -f 1)
	part=$(sed -n "$from,${end:-\$}p" "$out")
	from=$((${end:-0} + 1))

	it "pings and moves data: $queues"
	equal "$(grep -cE "^(5 packets transmitted, 5|2 packets transmitted, 2) packets received" <<<"$part")" \
		2 "answered pings"
	sum=$(sed -n 's/^sent //p' <<<"$part" | cut -d ' ' -f 1)
	matches "$part" "^$sum  /tmp/down" "what the guest received"
	equal "$(sed -n 's/^back //p' <<<"$part" | cut -d ' ' -f 1)" "$sum" "what the guest sent back"
	matches "$part" "^carrier 1" "carrier"
	matches "$part" "^run 0" "exit status of viaduct run"
	holds "few packets: $(figure tx_packets)" test "$(figure tx_packets)" -gt 40
	sed -n '/"net"/,/\]/p;/"exits"/,/}/p' <<<"$part"
	if [ "$queues" = e1000 ]; then
		it "is an e1000 to Linux, and its pin is remapped"
		matches "$part" "^mac 52:54:00:00:00:42 mtu 1500" "MAC and MTU"
		matches "$part" "^driver e1000$" "driver"
		matches "$part" "^pin IR-IO-APIC$" "interrupt controller"
		matches "$part" "^errors 0 0 $" "errors that Linux counts"
		raised=$(sed -n 's/^interrupts //p' <<<"$part")
		holds "few interrupts: $raised" test "${raised:-0}" -gt 20
		holds "the pin rose $(figure irqs) times" test "$(figure irqs)" -ge 20
		equal "$(figure bad_rings) $(figure bad_dma)" "0 0" "what no driver writes"
		continue
	fi
	it "has no exit of ours per packet on $queues queue pair(s)"
	matches "$part" "^mac 52:54:00:00:00:42 mtu 1400" "MAC and MTU"
	matches "$part" "^queues $queues$" "queues in the guest"
	equal "$(figure trapped_kicks)" "$(figure commands)" "doorbells trapped: those of commands"
	equal "$(figure needs_reset)" 0 "times the device needed a reset"
	equal "$(figure command_errors)" 0 "refused commands"
	equal "$(figure pairs)" "$queues" "pairs in use"
done
[ "$failures" = 0 ] || cat "$out"
nothing_left
done_testing
