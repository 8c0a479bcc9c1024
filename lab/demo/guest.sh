# SPDX-License-Identifier: GPL-2.0-or-later
# What a guest of the demo does; its init runs this with sh. Variables set in front: IP, PF, PEER.
# It answers with lines "@KEY VALUE..." and waits at each gate for a line on its console.

gate()
{
	read -r cmd </dev/console
}

# ping KEY ADDRESS: "@KEY SENT RECEIVED AVERAGE-ms"
try()
{
	ping -c 5 -W 5 "$2" >/tmp/ping 2>&1
	awk -v key="$1" '
		/transmitted/ { sent = $1; got = $4 }
		/min\/avg\/max/ { split($4, t, "/"); avg = t[2] }
		END { print "@" key, sent + 0, got + 0, avg + 0 }' /tmp/ping
}

carrier()
{
	for _ in $(seq 150); do
		[ "$(cat /sys/class/net/eth0/carrier 2>/dev/null)" = 1 ] && return 0
		sleep 0.2
	done
	return 1
}

link_up()
{
	ip addr add "$IP/24" dev eth0 2>/dev/null
	ip link set eth0 up
	carrier
}

dmesg -n 1
bdf=$(basename "$(ls -d /sys/bus/pci/drivers/igbvf/0000:* | head -n 1)")
link_up
echo "@driver $(basename "$(readlink "/sys/bus/pci/devices/$bdf/driver")") $bdf"
echo "@mac $(cat /sys/class/net/eth0/address)"
try pf "$PF"
echo "@ready"
gate
try peer "$PEER"
while gate && [ "$cmd" != end ]; do
	case $cmd in
	dma*)
		dma-probe "$bdf" "${cmd#dma }" >/tmp/probe 2>&1
		echo "@dma $? $(tail -n 1 /tmp/probe)"
		dma-probe --rebind "$bdf" >/tmp/probe 2>&1
		echo "@rebind $?"
		link_up
		;;
	ping*) try again "$PF" ;;
	esac
done
