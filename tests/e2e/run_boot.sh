#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `viaduct run` boots Linux in every way it offers, and the guest ends in every way a guest can: CPUs,
# memory, kernel formats, console, terminal, reboots, figures.
# shellcheck disable=SC2154,SC2016
# shellcheck source=tests/lib/run.sh
. "${0%/*}/../lib/run.sh"

# The ELF inside a bzImage (Documentation/arch/x86/boot.rst: setup_sects, payload_offset, _length).
before_lab()
{
	python3 - "$kernel" "$scratch/payload" <<'END'
import struct, sys
d = open(sys.argv[1], "rb").read()
start = (d[0x1f1] + 1) * 512 + struct.unpack_from("<I", d, 0x248)[0]
open(sys.argv[2], "wb").write(d[start:start + struct.unpack_from("<I", d, 0x24c)[0]])
END
	# Behind the stream are four bytes of size, which neither tool likes.
	export vmlinux=$scratch/vmlinux
	case $(head -c 4 "$scratch/payload" | od -An -tx1) in
	' fd 37 7a 58') xz -dc --single-stream --ignore-check <"$scratch/payload" ;;
	' 28 b5 2f fd') zstd -dc <"$scratch/payload" ;;
	esac >"$vmlinux" 2>/dev/null
	[ "$(head -c 4 "$vmlinux" | tail -c 3)" = ELF ] || skip "no way to unpack $kernel"
}
in_lab --nic igb

it "boots a bzImage with 2 vCPUs and memory above 4 GiB, and tells its figures"
guest 'echo cpus $(cat /sys/devices/system/cpu/online)
normal() { awk "/Normal/ {z = 1} z && /nr_free_pages/ {print \$2; exit}" /proc/zoneinfo; }
grep -q "^1.*-.* : System RAM" /proc/iomem && echo high memory; grep System.RAM /proc/iomem
a=$(normal); yes viaduct | head -c 16777216 >/tmp/f; b=$(normal)
[ $((a - b)) -gt 3500 ] && echo filled above || echo took $((a - b)) pages
md5sum </tmp/f' \
	--cpus 2 --memory 256 --memory-below-4g 128 --name two --stats "$scratch/two.json"
sum=$(yes viaduct | head -c 16777216 | md5sum)
equal "$status" 0 "exit status"
prints guest "cpus 0-1" "high memory" "filled above" "viaduct-guest: status 0"
equal "$(grep -acF "$sum" "$out")" 1 "right sum"
equal "$(cat "$err")" "" "standard error"
stats=$scratch/two.json
equal "$(grep -cE '"(name|end)": "(two|poweroff)"' "$stats")" 2 "name and end in the figures"
equal "$(figure "$stats" exit_status) $(figure "$stats" reboots)" "0 0" "exit status and reboots"
for key in load first_run total total io irq_injections irq_exits file anon shmem; do
	matches "$(figure "$stats" $key)" '^[0-9.]+$' "$key"
done
holds "phases are in order" awk "BEGIN {exit !(0 < $(figure "$stats" load) &&
	$(figure "$stats" load) < $(figure "$stats" first_run) &&
	$(figure "$stats" first_run) < $(figure "$stats" total))}"
holds "exits add up" awk "BEGIN {exit !($(figure "$stats" total 2) >= $(figure "$stats" io) &&
	$(figure "$stats" io) > 0)}"
equal "$(figure "$stats" irqfd) $(figure "$stats" map_calls)" "0 0" "irqfd and DMA figures without a device"
# 16 MiB were filled, and what is behind guest memory is no file-backed memory of ours.
holds "guest memory counts as shared" test "$(figure "$stats" shmem)" -gt 17000
holds "at most 4 MB of files are resident" test "$(figure "$stats" file)" -le 4096
clean

# Those that need one CPU each boot two at a time.
it "boots an ELF kernel through PVH with 1 vCPU"
guest_start pvh 'echo cpus $(cat /sys/devices/system/cpu/online); uname -r' --kernel "$vmlinux"
guest_start kaslr 'echo text $(grep " T _text$" /proc/kallsyms)' --kaslr
guest_wait pvh
equal "$status" 0 "exit status"
prints guest "cpus 0" "$(basename "$kernel" | sed 's/vmlinuz-//')"

it "lets the kernel choose its address with --kaslr"
guest_wait kaslr
equal "$status" 0 "exit status"
one=$(grep -a '^text' "$out" | tr -d '\r')
matches "$one" '^text ffffffff[0-9a-f]+ T _text' "the kernel's address"

it "tells a reboot through ACPI, 0xCF9 and the keyboard controller with --no-reboot"
for how in p k; do
	append="viaduct.end=reboot reboot=$how" guest_start "reboot-$how" 'echo here' --no-reboot
done
for how in p k; do
	guest_wait "reboot-$how"
	equal "$status" 4 "exit status after reboot=$how"
	prints "reboot=$how" here
done

it "tells a triple fault"
append="viaduct.end=reboot reboot=t" guest_start falls 'echo here' --stats "$scratch/falls.json"
timeout -k 5 100 viaduct run --kernel "$kernel" --cmdline "console=ttyS0 quiet panic=-1" --no-reboot \
	</dev/null >"$scratch/panic.out" 2>"$scratch/panic.err"
panic=$?
guest_wait falls
equal "$status" 3 "exit status"
matches "$(cat "$err")" 'falls: .*crashed.*triple fault' "standard error"
equal "$(grep -c '"end": "crash"' "$scratch/falls.json")" 1 "end in the figures"

it "without an initrd the kernel panics, which is a reboot"
out=$scratch/panic.out err=$scratch/panic.err
equal "$panic" 4 "exit status"
matches "$(grep -a 'Kernel panic' "$out")" 'not syncing' "the console"
err=$scratch/stderr

it "takes console input from a pipe, more at once than the UART holds"
{
	until_seen "$scratch/piped.out" '^viaduct-guest: status 0' >&2
	printf 'echo piped $((6 * 7)); stty -echo\n'
	# Or the echo of what comes next runs into the answer.
	until_seen "$scratch/piped.out" '^piped 42' >&2
	printf 'wc -c <<END\n%s\nEND\n' "$(head -c 3000 /dev/zero | tr '\0' 'x' | fold -w 100)"
	printf 'exit\n'
} | {
	timeout -k 5 60 viaduct run --kernel "$kernel" --initrd "$initrd" \
		--cmdline "$(cmdline true viaduct.shell)" >"$scratch/piped.out" 2>"$err"
	echo $? >"$scratch/piped.status"
}
out=$scratch/piped.out
equal "$(cat "$scratch/piped.status")" 0 "exit status"
matches "$(tr -d '\r' <"$out" | grep -a '^piped')" '^piped 42' "the answer of the shell"
matches "$(tr -d '\r' <"$out" | grep -aE '3030$')" '> 3030$' "the number of bytes that arrived"
matches "$(tr -d '\r' <"$out" | grep -a 'echo piped')" 'echo piped \$\(\(6' "what was typed is echoed"

it "makes a terminal raw, has an escape key, and gives it back as it was"
$python "${0%/*}/run_pty.py" escape "$scratch/pty.out" viaduct run --kernel "$kernel" --initrd "$initrd" \
	--cmdline "$(cmdline true viaduct.shell)" >"$scratch/pty" 2>&1
out=$scratch/pty.out err=$scratch/pty
equal "$(cat "$scratch/pty")" "raw
echoed
one escape key
status 6
restored" "what the terminal saw"
err=$scratch/stderr

it "starts again when the guest reboots, with an assigned VF that works each time"
carve 0000:01:00.0 1
before=$(driver_of "${vf[0]}")
out=$scratch/again.out
{
	for n in 1 2 3; do
		until_seen "$out" '^viaduct-guest: status 0' $n >&2
		[ $n = 3 ] && echo "poweroff -f" || echo "reboot -f"
	done
} | {
	timeout -k 5 150 viaduct run --kernel "$kernel" --initrd "$initrd" --assign "${vf[0]}" \
		--cmdline "$(cmdline "$(guest_net 10.9.0.2)" viaduct.shell)" --cpus 2 \
		--stats "$scratch/again.json" >"$out" 2>"$err"
	echo $? >"$scratch/again.status"
}
equal "$(cat "$scratch/again.status")" 0 "exit status"
equal "$(grep -ac '^viaduct-guest: userspace' "$out")" 3 "boots"
equal "$(grep -ac '^pong 10.9.0.1' "$out")" 3 "pings that came back"
equal "$(figure "$scratch/again.json" reboots)" 2 "reboots in the figures"
equal "$(driver_of "${vf[0]}")" "$before" "the VF's driver"
clean

it "takes reserved huge pages, and says what is missing when there are none"
out=$scratch/stdout
guest true --hugepages --memory 128
equal "$status" 1 "exit status without"
matches "$(cat "$err")" '64 needed: reserve them with .*nr_hugepages' "message"
echo 64 >/proc/sys/vm/nr_hugepages
holds "64 huge pages can be had" test "$(cat /proc/sys/vm/nr_hugepages)" = 64
guest 'echo here' --hugepages --memory 128 --stats "$scratch/huge.json"
equal "$status" 0 "exit status with"
prints guest here
equal "$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages)" 64 "huge pages free again"
echo 0 >/proc/sys/vm/nr_hugepages
clean
host_well
done_testing
