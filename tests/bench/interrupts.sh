#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: interrupts.sh BUILD_DIR [--rounds N] [--json FILE] [--only CASE,...]
# What an interrupt of an assigned device costs the VMM, and what moving one to another CPU does: exits to
# the process per MSI-X interrupt and per INTx, ioctls per move, interrupts of the host and of the guest
# compared. viaduct, QEMU with a remapping unit (q35) and QEMU as it comes (q35-plain) in one lab run.
# Exit status: 0; 1 a figure of viaduct is over its limit; 2 usage; 77 it cannot run.
set -euo pipefail

cases="viaduct q35 q35-plain"
packets=1000 # there, and as many back
moves=300

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
# shellcheck source=tests/bench/lib.sh
. "$here/lib.sh"

if [ "${1:-}" != --inside ]; then
	bench_arguments "$@"
	image=$("$build/cli/viaduct" lab image --add "$build/tests/bench/packets=/bin/packets") ||
		skip "no image for the guest"
	# shellcheck disable=SC2034 # bench_lab reads it
	bench_lab_options=(--iommu vtd-eim --nic igb --nic e1000)
	bench_lab interrupts.sh "$rounds" "${only:-$cases}" "$image"
	python3 "$here/interrupts_report.py" "$raw" ${json:+"$json"}
	exit
fi

# ---- in the lab ----
bench_inside
build=$2 rounds=$3 wanted=${4//,/ }
kernel="" initrd=""
eval "$5"
bench_tracing

bench_vf
netdev=$(ls "/sys/bus/pci/devices/$pf/net")
ip addr add 10.7.0.1/24 dev "$netdev"
ip addr add 10.8.0.1/24 dev "$netdev"
ip link set "$netdev" up
for dir in /sys/bus/pci/drivers/e1000/0000:*; do
	e1000=${dir##*/}
done
ip link set "$(ls "/sys/bus/pci/devices/$e1000/net")" down
viaduct vf bind -q --whole "$e1000" vfio-pci

# The guest moves the VF's vectors from CPU to CPU each time it is asked, and tells what each of them
# has counted whenever it is asked that.
script=$(base64 -w0 <<END
of() { basename /sys/bus/pci/drivers/\$1/*/net/*; }
v=\$(of igbvf) e=\$(of e1000)
sysctl -q -w net.ipv4.conf.all.arp_ignore=1
ip addr add 10.7.0.2/24 dev \$v
ip addr add 10.8.0.2/24 dev \$e
ip link set \$v up
ip link set \$e up
until [ "\$(cat /sys/class/net/\$v/carrier 2>/dev/null)\$(cat /sys/class/net/\$e/carrier)" = 11 ]; do usleep 100000; done
packets echo 7000 &
dmesg -n 1
stty -echo </dev/console
echo bench-ready
irqs=\$(awk "/ \$v(-|\$)/{print \\\$1 + 0}" /proc/interrupts)
while read what n; do
	case \$what in
	move)
		cpu=0 m=0
		while [ \$m -lt \$n ]; do
			cpu=\$((1 - cpu))
			for i in \$irqs; do
				echo \$cpu >/proc/irq/\$i/smp_affinity_list && m=\$((m + 1))
			done
		done
		echo bench-moved \$m ;;
	count) awk -v n=\$n "/ \$v(-|\$)/{m += \\\$2 + \\\$3} / \$e\$/{i += \\\$2 + \\\$3} END{print \"bench-count\", n, m, i}" /proc/interrupts ;;
	esac
done </dev/console
END
)
append="console=ttyS0 quiet viaduct.run=$script"
asked=0

ask() # WHAT...: leaves the guest's answer in $answer
{
	local word=bench-moved n=0

	asked=$((asked + 1))
	n=$(grep -c "$word" "$log" || true)
	if [ "$1" = count ]; then
		word="bench-count $asked" n=0
		echo "count $asked" >&8
	else
		echo "$@" >&8
	fi
	wait_for 120 eval "[ \$(grep -c '$word' '$log') -gt $n ]"
	answer=$(tr -d '\r' <"$log" | grep "$word" | tail -n 1)
}

# The ioctls of interrupts, by their numbers on x86.
declare -A ioctls=([routing]=0x4008ae6a [irqfd]=0x4020ae76 [signal_msi]=0x4020aea5 [set_irqs]=0x3b6e)
filter=''
for cmd in "${ioctls[@]}"; do
	filter+="${filter:+ || }cmd == $cmd"
done
echo "$filter" >$tracing/events/syscalls/sys_enter_ioctl/filter

trace_switch() # 1 or 0
{
	echo "$1" >$tracing/events/kvm/kvm_userspace_exit/enable
	echo "$1" >$tracing/events/syscalls/sys_enter_ioctl/enable
}

trace_begin()
{
	echo >$tracing/trace
	trace_switch 1
}

trace_emit() # CASE ROUND WHAT
{
	local name

	emit "$1" "$2" "$3.exits" "$(grep -c 'kvm_userspace_exit:' $tracing/trace || true)"
	emit "$1" "$2" "$3.reasons" "$(sed -n 's/.*kvm_userspace_exit: reason \([A-Z_]*\).*/\1/p' $tracing/trace |
		sort | uniq -c | tr -s ' \n' ' ')"
	for name in "${!ioctls[@]}"; do
		emit "$1" "$2" "$3.$name" "$(grep -ciE "sys_ioctl\(.*cmd: (0x)?${ioctls[$name]#0x}" $tracing/trace || true)"
	done
}

host_irqs() # KIND
{
	awk -v k="$1" '$0 ~ k {for (i = 2; $i ~ /^[0-9]+$/; i++) s += $i} END {print s + 0}' /proc/interrupts
}

# interval CASE ROUND WHAT COMMAND...: what happened meanwhile.
interval()
{
	local c=$1 r=$2 what=$3 msix intx out

	shift 3
	ask count
	emit "$c" "$r" "$what.guest.a" "$answer"
	msix=$(host_irqs "vfio-msix.*$vf") intx=$(host_irqs "vfio-intx.*$e1000")
	trace_begin
	out=$("$@") || true
	trace_switch 0
	emit "$c" "$r" "$what.msix" $(($(host_irqs "vfio-msix.*$vf") - msix))
	emit "$c" "$r" "$what.intx" $(($(host_irqs "vfio-intx.*$e1000") - intx))
	ask count
	emit "$c" "$r" "$what.guest.b" "$answer"
	trace_emit "$c" "$r" "$what"
	emit "$c" "$r" "$what.blast" "${out:-{\}}"
}

blast()
{
	"$build/tests/bench/packets" blast "$1" 7000 $packets 100
}

blast_moved()
{
	ask move $moves &
	blast 10.7.0.2
	wait $!
}

for c in $wanted; do
	log=/tmp/$c.log fifo=/tmp/$c.in
	mkfifo "$fifo"
	exec 8<>"$fifo"
	q35=(-accel kvm -cpu host -smp 2 -m 256 -nodefaults -no-user-config -display none -serial stdio -no-reboot
		-kernel "$kernel" -initrd "$initrd" -append "$append")
	case $c in
	viaduct) viaduct run --kernel "$kernel" --initrd "$initrd" --memory 256 --cpus 2 --cmdline "$append" \
		--assign "$vf,$e1000" --name bench <"$fifo" >"$log" 2>&1 8>&- & ;;
	q35) qemu-system-x86_64 -M q35,kernel-irqchip=split "${q35[@]}" -device intel-iommu,intremap=on,eim=on,caching-mode=on \
		-device "vfio-pci,host=$vf" -device "vfio-pci,host=$e1000" <"$fifo" >"$log" 2>&1 8>&- & ;;
	q35-plain) qemu-system-x86_64 -M q35 "${q35[@]}" \
		-device "vfio-pci,host=$vf" -device "vfio-pci,host=$e1000" <"$fifo" >"$log" 2>&1 8>&- & ;;
	*)
		echo "bench: no case '$c'" >&2
		exit 2
		;;
	esac
	pid=$!
	if ! wait_for 120 grep -q bench-ready "$log"; then
		echo "bench: $c: the guest's functions did not come up:" >&2
		tail -n 20 "$log" >&2
		exit 1
	fi
	# ARP, and whatever else comes once.
	for to in 10.7.0.2 10.8.0.2; do
		for _ in $(seq 10); do
			"$build/tests/bench/packets" blast $to 7000 50 100 >/dev/null && break
			sleep 0.5
		done
	done
	# Round 0 is without traffic: what happens anyway.
	interval "$c" 0 idle sleep 3
	emit "$c" 0 moves $moves
	for round in $(seq "$rounds"); do
		interval "$c" "$round" msix blast 10.7.0.2
		interval "$c" "$round" intx blast 10.8.0.2
		interval "$c" "$round" moved blast_moved
	done
	kill -TERM "$pid"
	wait "$pid" || true
	exec 8>&-
done
