# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a guest of the demo does; sourced by sh in it. Set in front: VF, the address of its
# virtual function's card; NET, the addresses of its virtio card; nothing for what it has not.
# Its console gives it commands, a line each, and takes the answers: lines "@KEY VALUE...".

iface_of() # DRIVER'S-DEVICE
{
	basename "$(ls -d "$1"/net/* | head -n 1)"
}

# up IFACE ADDRESS...
up()
{
	local i=$1 ip

	shift
	ip link set "$i" up
	for ip in "$@"; do
		ip addr add "$ip/24" dev "$i" 2>/dev/null
	done
	until [ "$(cat "/sys/class/net/$i/carrier" 2>/dev/null)" = 1 ]; do
		sleep 0.1
	done
}

vf_up()
{
	bdf=$(basename "$(ls -d /sys/bus/pci/drivers/igbvf/0000:* | head -n 1)")
	vf=$(iface_of "/sys/bus/pci/devices/$bdf")
	up "$vf" "$VF"
}

# "SENT RECEIVED AVERAGE-ms"
ping_five()
{
	# The first may wait for a link that has just come up and for the way to be learned.
	ping -c 1 -W 5 "$1" >/dev/null 2>&1
	ping -c 5 -i 0.2 -W 5 "$1" 2>&1 | awk '
		/transmitted/ { sent = $1; got = $4 }
		/min\/avg\/max/ { split($4, t, "/"); avg = t[2] }
		END { print sent + 0, got + 0, avg + 0 }'
}

now_ms()
{
	awk '{ print int($1 * 1000) }' /proc/uptime
}

# "SHA256 BYTES ms"
fetch()
{
	local begin

	begin=$(now_ms)
	wget -q -O /tmp/got "http://$1:8080/data"
	echo "$(sha256sum </tmp/got | cut -c 1-64) $(stat -c %s /tmp/got) $(($(now_ms) - begin))"
}

# "SENT RECEIVED TWICE PAUSE-ms" of pings ten times a second; the longest pause between two answers
flow_figures()
{
	tr '=' ' ' <"$1" | awk '
		/ seq / { t = $6 * 100 + $10; if (n++ && t - last > max) max = t - last; last = t }
		/DUP!/ { twice++ }
		/transmitted/ { sent = $1; got = $4 }
		END { print sent + 0, got + 0, twice + 0, int(max) }'
}

dmesg -n 1
stty -echo </dev/console
# Its cards may be on one wire: each speaks for its own addresses only.
echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce
if [ -n "$VF" ]; then
	vf_up
	echo "@driver $(basename "$(readlink "/sys/bus/pci/devices/$bdf/driver")") $bdf"
	echo "@mac $(cat "/sys/class/net/$vf/address")"
fi
if [ -n "$NET" ]; then
	net=$(iface_of /sys/bus/virtio/devices/virtio0)
	# shellcheck disable=SC2086
	up "$net" $NET
	echo "@virtio $(basename "$(readlink /sys/bus/virtio/devices/virtio0/driver)") $(cat "/sys/class/net/$net/address")"
fi
echo "@ready"
while read -r cmd arg && [ "$cmd" != end ]; do
	case $cmd in
	ping) echo "@ping $(ping_five "$arg")" ;;
	serve)
		mkdir -p /tmp/www
		head -c "$arg" /dev/urandom >/tmp/www/data
		httpd -p 8080 -h /tmp/www
		echo "@serve $(sha256sum </tmp/www/data | cut -c 1-64)"
		;;
	fetch) echo "@fetch $(fetch "$arg")" ;;
	flow) # pings, and a file fetched over and over; answers when both have begun
		rm -f /tmp/got /tmp/stop /tmp/fetched
		ping -i 0.1 "$arg" >/tmp/flow &
		ping=$!
		while [ ! -e /tmp/stop ]; do
			fetch "$arg" >>/tmp/fetched
		done &
		fetch=$!
		until grep -q seq= /tmp/flow && [ -s /tmp/got ]; do
			sleep 0.1
		done
		echo "@flow"
		;;
	flowed) # the fetch going on is the last; then: what of the pings, how many fetches, their sums
		touch /tmp/stop
		wait $fetch
		kill -INT $ping
		wait $ping
		echo "@flowed $(flow_figures /tmp/flow) $(grep -c . /tmp/fetched) $(cut -c 1-64 /tmp/fetched | sort -u)"
		;;
	dma)
		dma-probe "$bdf" "$arg" >/tmp/probe 2>&1
		echo "@dma $? $(tail -n 1 /tmp/probe)"
		dma-probe --rebind "$bdf" >/tmp/probe 2>&1
		echo "@rebind $?"
		vf_up
		;;
	esac </dev/null
done </dev/console
