#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The guest's remapping unit under a Linux that uses it: assigned, virtio, emulated and INTx devices at once,
# affinity changed under traffic, an APIC id above 255; and without it.
# shellcheck disable=SC2012,SC2016,SC2154
# shellcheck source=tests/lib/run.sh
. "${0%/*}/../lib/run.sh"
in_lab --iommu vtd-eim --nic igb --nic e1000

pf=$(by_driver igb)
e1000=$(by_driver e1000)
carve "$pf" 1
ip link set "$(ls "/sys/bus/pci/devices/$e1000/net")" down
viaduct vf bind -q --whole "$e1000" vfio-pci || fail "bind $e1000"
ip addr add 10.9.2.1/24 dev "$netdev"
ip tuntap add dev tap0 mode tap
ip addr add 10.9.1.1/24 dev tap0
ip link set tap0 up
ip tuntap add dev tap1 mode tap
ip addr add 10.9.3.1/24 dev tap1
ip link set tap1 up

# seen NAME WHAT REGEX: a row of `viaduct info NAME --irqs`, now or soon: what is moved may be masked.
seen()
{
	for _ in $(seq 20); do
		viaduct info "$1" --irqs >"$scratch/irqs" 2>&1
		grep -qE "$3" "$scratch/irqs" && pass && return
	done
	fail "viaduct info: $2: no row '$3' in:"
	sed 's/^/    info: /' "$scratch/irqs"
}
target='(apic|logical) [0-9]+ vector 0x[0-9a-f]{2}( [a-z-]+)?'

# The fifty are traffic. ping counts a last answer as lost that is later than twice the longest before it, so
# it is one alone that tells whether the card still interrupts: it is waited for.
# Twelve thousand or more by hand; the emulated host does a few hundred a second.
moves=${IRQ_MOVES:-1000}
it "a VF, a virtio device, an assigned and an emulated e1000, all remapped, while interrupts are moved $moves times"
guest_start all "of() { basename /sys/bus/pci/drivers/\$1/*/net/*; }; f=\$(of igbvf)
for i in /sys/bus/pci/drivers/e1000/*/net/*; do
case \$(cat \$i/address) in 52:54:00:00:0e:10) m=\${i##*/} ;; *) e=\${i##*/} ;; esac; done
v=\$(basename /sys/bus/virtio/devices/*/net/*)
ip addr add 10.9.0.2/24 dev \$f; ip addr add 10.9.1.2/24 dev \$v; ip addr add 10.9.2.2/24 dev \$e
ip addr add 10.9.3.2/24 dev \$m
for i in \$f \$v \$e \$m; do ip link set \$i up; done
for a in 10.9.0.1 10.9.1.1 10.9.2.1 10.9.3.1; do for i in \$(seq 20); do ping -c 1 -W 2 \$a >/dev/null && echo pong \$a && break; done; done
echo mode \$(dmesg | grep -c 'DMAR-IR: Enabled IRQ remapping in x2apic mode')
echo unmapped \$(grep -E \"\$f|virtio|\$e|\$m\" /proc/interrupts | grep -vc ' IR-')
for a in 10.9.0.1 10.9.1.1 10.9.2.1 10.9.3.1; do (while [ ! -e /tmp/end ]; do
ping -c 50 -i 0.02 -q \$a >/dev/null; ping -c 1 -W 30 -q \$a | grep -o '[0-9]*% packet loss'; done) >/tmp/\$a & done
irqs=\$(awk '/ IR-/{print \$1 + 0}' /proc/interrupts)
n=0; cpu=0; while [ \$n -lt $moves ]; do cpu=\$((1 - cpu)); for i in \$irqs; do
echo \$cpu >/proc/irq/\$i/smp_affinity_list && n=\$((n + 1)); done; done; touch /tmp/end; wait; echo moved \$n
echo rounds \$(cat /tmp/10.9.* | sort | uniq -c)
dmesg | grep -E 'DMAR.*(fault|error)|nobody cared'; grep -E ' IR-' /proc/interrupts" \
	--assign "${vf[0]},$e1000" --net tap=tap0 --cpus 2 --stats "$scratch/all.json" \
	--net tap=tap1,model=e1000,mac=52:54:00:00:0e:10
until_seen "$scratch/all.out" '^unmapped 0'
seen all "the VF, counted by the host" "${vf[0]} +msix +[0-9] +irqfd +$target +[0-9]+ +[0-9]+ +[0-9]+ +[1-9]"
seen all "the virtio device" "00:0[0-9].0 +- +msix +[0-9] +irqfd +$target +[0-9]+ +[0-9]+ +- +-$"
seen all "the e1000" "$e1000 +intx +0 +user-space +$target +[0-9]+ +[0-9]+ +[0-9]+ +[1-9]"
seen all "its pin" "^[0-9]+ +00:0[0-9].0 +user-space.* level +(high|low) +$target +[0-9]+ +[1-9]"
guest_wait all "${GUEST_TIMEOUT:-100}"
equal "$status" 0 "exit status"
equal "$(cat "$err")" "" "standard error"
prints guest "pong 10.9.0.1" "pong 10.9.1.1" "pong 10.9.2.1" "pong 10.9.3.1" "mode 1" "unmapped 0"
matches "$(tr -d '\r' <"$out" | grep -a '^rounds')" '^rounds [0-9]+ 0% packet loss$' "pings while moved"
equal "$(figure "$scratch/all.json" faults)" 0 "faults"
holds "the host remaps, too" grep -qF '"interrupt_remapping": "on"' "$scratch/all.json"
# Linux puts the move of a level interrupt off to its next, and the unit's own needs none.
holds "moves are invalidations" test "$(figure "$scratch/all.json" invalidations)" -ge "$((moves / 4))"
commits=$(figure "$scratch/all.json" route_commits)
echo "  $(figure "$scratch/all.json" invalidations) invalidations, $commits commits of routes"
holds "a move is one ioctl at most" test "$commits" -le "$((moves + 100))"
holds "interrupts came by irqfd" test "$(figure "$scratch/all.json" irqfd)" -gt 100
# One that finds the one before still pending merges with it, as on hardware; so less may arrive, never
# more. That none is lost is what the pings say, and by number tests/integration/irq_load_kvm.c.
fired=$(tr -d '\r' <"$out" | awk '/IR-PCI-MSI/ && !/virtio/ {s += $2 + $3} END {print s + 0}')
came=$(figure "$scratch/all.json" irqfd)
holds "no interrupt of the VF came twice: $came on the host, $fired in the guest" \
	test "$fired" -gt 100 -a "$fired" -le "$came"
holds "the emulated card's pin was" test "$(figure "$scratch/all.json" irqs)" -gt 10
holds "INTx was remapped, too" test "$(figure "$scratch/all.json" intx 2)" -gt 10
equal "$(figure "$scratch/all.json" ioapic-eoi)" "" "EOI exits besides the EOI register's"
clean

it "a vCPU whose APIC id is 300 gets the interrupts of a VF"
guest_start far "$(guest_net 10.9.0.2); echo apicid \$(awk '/^apicid/{print \$3}' /proc/cpuinfo)
for i in /proc/irq/*/smp_affinity_list; do echo 1 2>/dev/null >\$i; done
count() { awk '/eth0/{s+=\$3} END{print s}' /proc/interrupts; }
a=\$(count); ping -c 20 -i 0.05 -q 10.9.0.1 >/dev/null; [ \$((\$(count) - a)) -ge 20 ] && echo there
cd /sys/bus/pci/drivers/igbvf && basename 0000:* >unbind; echo unbound; sleep 1000" \
	--assign "${vf[0]}" --cpus 2 --apic-ids 0,300
until_seen "$scratch/far.out" '^there'
until_seen "$scratch/far.out" '^unbound'
seen far "no driver" "${vf[0]} +msix +[0-9-]+ +disabled"
equal "$(grep -c "${vf[0]}.* irqfd" "$scratch/irqs")" 0 "vectors delivered without a driver"
kill "${guest_pid[far]}"
guest_wait far
equal "$status" 143 "exit status"
prints guest "pong 10.9.0.1" "apicid 0 300" there
clean

it "without the unit nothing speaks of it"
guest "$(guest_net 10.9.0.2); echo units \$(dmesg | grep -c DMAR) plain \$(grep -c ' PCI-MSI .*eth0' /proc/interrupts)" \
	--assign "${vf[0]}" --irq-remap off --stats "$scratch/off.json"
equal "$status" 0 "exit status"
prints guest "pong 10.9.0.1" "units 0 plain 3"
equal "$(grep -c '"remap": null' "$scratch/off.json")" 1 "figures"
clean

# The guest's kernel moves its e1000 into a domain with page tables, which we do not offer, and back.
it "a guest that turns DMA translation on passes through, and a device that it wants translated is blocked alone"
append="intel_iommu=on iommu=pt" guest "of() { basename /sys/bus/pci/drivers/\$1/*/net/*; }
up() { ip addr add \$2/24 dev \$1; ip link set \$1 up; }
pings() { for i in \$(seq \$2); do ping -c 1 -W 1 \$1 >/dev/null && return; done; false; }
up \$(of igbvf) 10.9.0.2; up \$(basename /sys/bus/virtio/devices/*/net/*) 10.9.1.2; up \$(of e1000) 10.9.2.2
for a in 10.9.0.1 10.9.1.1 10.9.2.1; do pings \$a 40 && echo pong \$a; done
echo types \$(cat /sys/kernel/iommu_groups/*/type | sort -u)
dmesg | grep -o 'Default domain type: [A-Za-z]*'; ls /sys/class/iommu
d=\$(basename /sys/bus/pci/drivers/e1000/0000:*); g=/sys/kernel/iommu_groups/\$(basename \$(readlink /sys/bus/pci/devices/\$d/iommu_group))
turn() { echo \$d >/sys/bus/pci/drivers/e1000/unbind; echo \$1 >\$g/type; echo \$d >/sys/bus/pci/drivers/e1000/bind
up \$(of e1000) 10.9.2.2; echo now \$(cat \$g/type); }
turn DMA; pings 10.9.2.1 5 || echo blocked; pings 10.9.0.1 5 && pings 10.9.1.1 5 && echo others work
turn identity; pings 10.9.2.1 40 && echo allowed" \
	--assign "${vf[0]},$e1000" --net tap=tap0 --irq-remap on,dma=passthrough --stats "$scratch/dma.json"
equal "$status" 0 "exit status"
prints guest "pong 10.9.0.1" "pong 10.9.1.1" "pong 10.9.2.1" "types identity" \
	"Default domain type: Passthrough" dmar0 "now DMA" blocked "others work" "now identity" allowed
equal "$(figure "$scratch/dma.json" dma_blocked)" 0 "devices blocked at the end"
echo "  $(figure "$scratch/dma.json" dma_faults) accesses of it heard of"
# Two spaces, RAM in each; the e1000's was taken away and put back.
equal "$(figure "$scratch/dma.json" map_calls) $(figure "$scratch/dma.json" unmap_calls)" "3 1" \
	"mappings made and taken away"
clean
host_well
done_testing
