#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016,SC2119
# What a command in the lab sees and gives back is what it would be outside.
# shellcheck source=tests/lib/lab.sh
. "${0%/*}/../lib/lab.sh"
lab_need

it "passes arguments, environment, directory and streams through, and the exit status"
mkdir "$scratch/a dir"
cd "$scratch/a dir" || exit 1
odd=$'two words\nand "quotes" \x27 $HOME \\ *'
start=$SECONDS
LAB_TEST_ODD=$odd lab_run -- sh -c 'pwd; id -u; command -v viaduct; printf %s "$1" | od -An -tx1
	printf %s "$LAB_TEST_ODD" | od -An -tx1; echo "[$2]"; echo complaint >&2; exit 7' name "$odd" ""
took=$((SECONDS - start))
hex=$(printf %s "$odd" | od -An -tx1)
equal "$status" 7 "exit status"
equal "$(cat "$err")" complaint "stderr"
equal "$(cat "$out")" "$PWD
0
$(command -v viaduct)
$hex
$hex
[]" "stdout"
echo "  boot, command and power-off took $took s"
nothing_left

it "carries a binary stream in and out unchanged, to its end"
head -c 3000001 /dev/urandom >"$scratch/data"
lab_run -- cat <"$scratch/data"
equal "$status" 0 "exit status"
holds "output differs from input" cmp "$scratch/data" "$out"

it "boots anew when a boot hangs"
cat >"$scratch/late-qemu" <<'END'
#!/bin/sh
echo boot >>"$LATE"
[ "$(wc -l <"$LATE")" -gt 1 ] || exec sleep 600
exec qemu-system-x86_64 "$@"
END
chmod +x "$scratch/late-qemu"
LATE=$scratch/boots VIADUCT_LAB_BOOT=1 VIADUCT_QEMU=$scratch/late-qemu lab_run --nic igb -- sh -c 'echo here; cat' <<<"input"
equal "$status" 0 "exit status"
equal "$(cat "$out")" "here
input" "output"
# The second, of two seconds, may have been enough.
matches "$(wc -l <"$scratch/boots")" '^[23]$' "boots"
nothing_left

it "boots anew when QEMU crashes before L1 is ready, or L1 resets itself"
cat >"$scratch/first-qemu" <<'END'
#!/bin/sh
echo boot >>"$LATE"
[ "$(wc -l <"$LATE")" -gt 1 ] || eval "$FIRST"
exec qemu-system-x86_64 "$@"
END
chmod +x "$scratch/first-qemu"
for first in 'kill -ABRT $$' 'exit 0'; do
	rm -f "$scratch/boots"
	FIRST=$first LATE=$scratch/boots VIADUCT_QEMU=$scratch/first-qemu lab_run -- cat <<<"input"
	equal "$status" 0 "exit status after $first"
	equal "$(cat "$out")" input "output after $first"
	equal "$(wc -l <"$scratch/boots")" 2 "boots after $first"
done
nothing_left

it "says so when every QEMU crashes"
FIRST='kill -ABRT $$' LATE=/dev/null VIADUCT_QEMU=$scratch/first-qemu lab_run -- true
equal "$status" 125 "exit status"
matches "$(cat "$err")" 'L1 did not boot; QEMU crashed \(SIGABRT\)' "stderr"
rm -f "$TMPDIR"/viaduct-lab-console-*.log

it "ends when the reader of its output does"
{
	timeout 120 viaduct lab run -- yes 9>&-
	echo $? >"$scratch/status"
} 2>"$err" | head -n 1 >"$out"
equal "$(cat "$out")" y "the line read"
equal "$(cat "$scratch/status")" 141 "exit status"
nothing_left

it "looks like a booted host"
lab_run --nic igb -- bash -c '
	for p in /proc /sys /dev/pts /dev/shm /run /sys/kernel/debug /sys/kernel/tracing /dev/hugepages
	do mountpoint -q $p || echo "$p is no mount"; done
	cat <(echo substitution)
	test -c /dev/kvm && test -c /dev/vfio/vfio && test -c /dev/net/tun || echo "a device is missing"
	ping -c1 -W5 127.0.0.1 >/dev/null || echo "no loopback"
	echo probe 2>/dev/null >/etc/viaduct-lab-probe && cat /etc/viaduct-lab-probe
	touch "$PWD/probe" && echo writable
	modprobe vhost_net && echo modprobe
	test "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)" = tsc || echo no tsc'
equal "$(cat "$out")" "substitution
probe
writable
modprobe" "what it found"
holds "a write inside reached the machine outside" test ! -e /etc/viaduct-lab-probe -a ! -e "$PWD/probe"

it "shares a directory for writing where asked to"
mkdir "$scratch/share, with comma"
lab_run --share "$scratch/share, with comma" -- \
	sh -c 'echo result >"$1/file"; mkdir "$1/sub"; touch "$1/../outside"' sh "$scratch/share, with comma"
equal "$(cat "$scratch/share, with comma/file")" result "file content"
holds "directory made inside" test -d "$scratch/share, with comma/sub"
holds "a file outside the share appeared" test ! -e "$scratch/outside"

it "runs with its streams closed"
viaduct lab run -- sh -c 'cat; echo unseen; exit 4' <&- >&- 2>&- 9>&-
equal $? 4 "exit status"

it "reports a command's death by signal as 128+n"
lab_run -- sh -c 'kill -9 $$'
equal "$status" 137 "exit status"

it "reports a command that does not exist as 127"
lab_run -- /nonexistent/program
equal "$status" 127 "exit status"
matches "$(cat "$err")" '/nonexistent/program: No such file' "message"

it "says so when the machine dies under the command, and keeps the console's log"
lab_run -- sh -c 'echo c >/proc/sysrq-trigger; sleep 60'
equal "$status" 125 "exit status"
matches "$(cat "$err")" "L1 went down .*console: $TMPDIR/[^ ]*log" "message"
log=$(sed -n 's/.*console: //p' "$err")
holds "the log tells of the crash" grep -q 'sysrq triggered crash' "$log"
rm -f "$log"

it "says so when QEMU crashes under the command, which is not run again"
mkdir "$scratch/runs"
cat >"$scratch/known-qemu" <<'END'
#!/bin/sh
echo $$ >"$RUNS/qemu"
exec qemu-system-x86_64 "$@"
END
chmod +x "$scratch/known-qemu"
RUNS=$scratch/runs VIADUCT_QEMU=$scratch/known-qemu \
	lab_run --share "$scratch/runs" -- sh -c 'echo ran >>"$RUNS/command"; sleep 60' &
lab=$!
until [ -s "$scratch/runs/command" ] || ! kill -0 "$lab" 2>/dev/null; do
	sleep 0.1
done
kill -ABRT "$(cat "$scratch/runs/qemu")"
wait "$lab"
matches "$(cat "$err")" 'L1 went down while the command ran; QEMU crashed \(SIGABRT\)' "message"
equal "$(cat "$scratch/runs/command")" ran "runs of the command"
rm -f "$TMPDIR"/viaduct-lab-console-*.log
nothing_left
done_testing
