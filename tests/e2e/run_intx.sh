#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# INTx: a device that has nothing else at ten thousand interrupts, drivers that use nothing else, two
# devices on one pin, and switching among the kinds.
# shellcheck disable=SC2012,SC2016,SC2034,SC2154
# shellcheck source=tests/lib/run.sh
. "${0%/*}/../lib/run.sh"
in_lab --nic igb --nic e1000 --nic e1000e --nvme-vfs 1

take() # BDF: from the host's driver
{
	local net

	net=$(ls "/sys/bus/pci/devices/$1/net" 2>/dev/null)
	[ -z "$net" ] || ip link set "$net" down
	viaduct vf bind -q --whole "$1" vfio-pci || fail "bind $1"
}
# The exits of our process for the end of an interrupt: one each, and one more may be under way. (With
# remapping Linux writes the IOAPIC's EOI register instead: run_irqremap.sh.)
one_exit_each() # FILE
{
	local irqs eoi

	irqs=$(figure "$1" intx 1)
	[ "$(figure "$1" intx 2)" = "" ] || irqs=$((irqs + $(figure "$1" intx 2)))
	eoi=$(figure "$1" ioapic-eoi)
	echo "  $irqs interrupts, $eoi EOI exits"
	holds "one EOI exit per interrupt" test "$eoi" -ge $((irqs - 2)) -a "$eoi" -le $((irqs + 2))
}

pf=$(by_driver igb)
carve "$pf" 7
e1000=$(by_driver e1000) e1000e=$(by_driver e1000e) disk=$(by_driver nvme)
take "$e1000"

# A tenth of the ten thousand in the suite: an interrupt takes this emulated host milliseconds.
count=${INTX_COUNT:-1000}
it "an e1000, which has INTx alone, at $count interrupts"
guest_start one "$(guest_net 10.9.0.4)
irqs() { set -- \$(grep 'IO-APIC.*fasteoi.*eth0' /proc/interrupts); echo \$2; }
echo ready; while [ \"\$(irqs)\" -lt $count ]; do sleep 1; done; echo enough" \
	--assign "$e1000" --irq-remap off --stats "$scratch/one.json"
until_seen "$scratch/one.out" '^ready'
lost=0
for _ in $(seq $((count / 50 + 10))); do
	ping -A -q -c 200 -w 60 10.9.0.4 | grep -q ' 0% packet loss' && continue
	# The last round may meet a guest that has ended.
	grep -q '^enough' "$scratch/one.out" && break
	lost=$((lost + 1))
done
equal "$lost" 0 "rounds of pings with one lost"
guest_wait one 60
equal "$status" 0 "exit status"
equal "$(cat "$err")" "" "standard error"
prints guest "pong 10.9.0.1" enough
one_exit_each "$scratch/one.json"
clean

it "two devices on one pin, drivers held to INTx, seven functions without any between them"
take "$e1000e"
ip addr add 10.9.1.1/24 dev "$netdev"
append='pci=nomsi'
# Slot 1 and slot 9: INTA# of both is GSI 17.
guest "e=\$(basename /sys/bus/pci/drivers/e1000e/*/net/*)
ip addr add 10.9.0.4/24 dev eth0; ip addr add 10.9.1.5/24 dev \$e; ip link set eth0 up; ip link set \$e up
for a in 10.9.0.1 10.9.1.1; do for i in \$(seq 20); do ping -c 1 -W 2 \$a >/dev/null && echo pong \$a && break; done; done
ping -c 200 -i 0.01 -q 10.9.0.1 >/tmp/a & ping -c 200 -i 0.01 -q 10.9.1.1 >/tmp/b; wait
grep -ho ' [0-9]*% packet loss' /tmp/a /tmp/b
echo shared \$(grep ' 17-fasteoi ' /proc/interrupts | grep eth0 | grep -c \$e)" \
	--assign "$e1000,${vf[0]},${vf[1]},${vf[2]},${vf[3]},${vf[4]},${vf[5]},${vf[6]},$e1000e" \
	--stats "$scratch/two.json"
equal "$status" 0 "exit status"
prints guest "pong 10.9.0.1" "pong 10.9.1.1" " 0% packet loss" "shared 1"
clean

it "an NVMe controller held to INTx reads what the host wrote"
head -c 65536 /dev/urandom >"$scratch/block"
dd if="$scratch/block" of=/dev/nvme0n1 bs=64k conv=fsync status=none
take "$disk"
guest 'for i in $(seq 50); do [ -b /dev/nvme0n1 ] && break; sleep 0.2; done
head -c 65536 /dev/nvme0n1 | md5sum; echo $(grep -c "fasteoi.*nvme0q" /proc/interrupts)' \
	--assign "$disk" --irq-remap off --stats "$scratch/nvme.json"
equal "$status" 0 "exit status"
prints nvme "$(md5sum <"$scratch/block")"
one_exit_each "$scratch/nvme.json"
clean

it "INTx, then MSI-X, then INTx of one device in one boot"
append=
guest "$(guest_net 10.9.0.6)
d=\$(basename \$(readlink -f /sys/class/net/eth0/device)); p=/sys/bus/pci/drivers/e1000e
for i in 1 2 3; do
echo \$d >\$p/unbind; echo 0 >/sys/bus/pci/devices/\$d/msi_bus; echo \$d >\$p/bind
$(guest_net 10.9.0.6 | sed 's/pong/intx/')
echo \$d >\$p/unbind; echo 1 >/sys/bus/pci/devices/\$d/msi_bus; echo \$d >\$p/bind
$(guest_net 10.9.0.6 | sed 's/pong/msix/')
done" --assign "$e1000e" --stats "$scratch/switch.json"
equal "$status" 0 "exit status"
equal "$(tr -d '\r' <"$out" | grep -c 'intx 10.9.0.1')" 3 "rounds with INTx"
equal "$(tr -d '\r' <"$out" | grep -c 'msix 10.9.0.1')" 3 "rounds with MSI-X"
holds "INTx was used" test "$(figure "$scratch/switch.json" intx)" -gt 3
holds "MSI-X was used" test "$(figure "$scratch/switch.json" irqfd)" -gt 3
clean
host_well
done_testing
