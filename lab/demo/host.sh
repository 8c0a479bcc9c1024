#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: host.sh PROBE [JSON] - the demo, run on a machine with an igb NIC and nested KVM (the lab).
# PROBE is the path of dma-probe. Prints a table of what was done and seen; exit status 0 only when
# every row was checked and held.
set -u

probe=$1
json=${2:-}
here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
work=$(mktemp -d)
dev=/sys/bus/pci/devices
names=(alpha beta)
pf_ip=10.99.0.1
ips=(10.99.0.11 10.99.0.12)
macs=(02:56:44:00:00:01 02:56:44:00:00:02)
pids=()
rows=()
bad=0


say()
{
	printf 'demo: %s\n' "$*" >&2
}

# row STEP FIGURE COMMAND...: COMMAND says whether it holds.
row()
{
	local step=$1 figure=$2 result=ok
	shift 2
	if ! "$@"; then
		result=failed
		bad=1
	fi
	rows+=("$step"$'\t'"$result"$'\t'"$figure")
	say "$step: $result${figure:+ ($figure)}"
}

cleanup()
{
	local pid

	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null
	done
	wait
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
trap 'exit 129' HUP

ms()
{
	echo $(($(date +%s%N) / 1000000))
}

# A guest's console has CR LF.
answer() # NAME KEY: the rest of the last line "@KEY ..." of its console
{
	tr -d '\r' <"$work/$1.console" | sed -n "s/^@$2 *//p" | tail -n 1
}

# await SECONDS COMMAND...: until it holds.
await()
{
	local end=$(($(ms) + $1 * 1000))

	shift
	until "$@"; do
		[ "$(ms)" -lt $end ] || return 1
		sleep 0.1
	done
}

answered() # NAME KEY COUNT: has it said KEY that often?
{
	[ "$(tr -d '\r' <"$work/$1.console" | grep -c "^@$2\( \|$\)")" -ge "$3" ]
}

tell() # NAME TEXT
{
	echo "$2" >"$work/$1.in"
}

ping_figure() # "SENT RECEIVED AVERAGE"
{
	# shellcheck disable=SC2086
	set -- $1
	echo "${2:-0} of ${1:-0} answered, ${3:-?} ms"
}

ping_held() # "SENT RECEIVED AVERAGE": all of at least 5 came back
{
	# shellcheck disable=SC2086
	set -- $1
	[ "${1:-0}" -ge 5 ] && [ "${2:-0}" = "$1" ]
}

group_of()
{
	basename "$(readlink -f "$dev/$1/iommu_group")"
}

alone_in_group()
{
	[ "$(find "$dev/$1/iommu_group/devices/" -mindepth 1 | wc -l)" = 1 ]
}

driver_of()
{
	local link

	link=$(readlink "$dev/$1/driver") && basename "$link" || echo none
}

stat_of() # NAME KEY...: a number from its --stats
{
	python3 -c '
import json, sys
v = json.load(open(sys.argv[1]))
for k in sys.argv[2:]:
    v = v[int(k)] if k.isdigit() else v[k]
print(v)' "$work/$1.json" "${@:2}" 2>/dev/null || echo "?"
}

# What the host's log says of trouble since the demo began; booting has warnings of its own.
mark="viaduct demo $$ begins"
echo "$mark" >/dev/kmsg
trouble()
{
	dmesg | sed "1,/$mark/d" | grep -E 'BUG:|Oops|WARNING:|Call Trace'
}

# ---- carve, configure, bind ----

pf=$(basename "$(ls -d /sys/bus/pci/drivers/igb/0000:* 2>/dev/null | head -n 1)")
row "find an SR-IOV NIC" "$pf, igb" test -n "$pf"
[ -n "$pf" ] || exit 1

start=$(ms)
viaduct vf carve "$pf" 2 >&2
vfs=("$(basename "$(readlink "$dev/$pf/virtfn0")")" "$(basename "$(readlink "$dev/$pf/virtfn1")")")
row "carve 2 VFs" "${vfs[*]} in $(($(ms) - start)) ms" \
	test -e "$dev/${vfs[0]}" -a -e "$dev/${vfs[1]}" -a "$(cat "$dev/$pf/sriov_numvfs")" = 2

groups_differ()
{
	alone_in_group "${vfs[0]}" && alone_in_group "${vfs[1]}" &&
		[ "$(group_of "${vfs[0]}")" != "$(group_of "${vfs[1]}")" ]
}
row "an IOMMU group for each VF" "groups $(group_of "${vfs[0]}") and $(group_of "${vfs[1]}")" groups_differ

for i in 0 1; do
	viaduct vf set "${vfs[i]}" "mac=${macs[i]}" >&2
	viaduct vf bind "${vfs[i]}" vfio-pci >&2
done
netdev=$(ls "$dev/$pf/net")
# Read back by another tool.
macs_set()
{
	ip link show "$netdev" | grep -q "vf 0 .*${macs[0]}" && ip link show "$netdev" | grep -q "vf 1 .*${macs[1]}"
}
row "set the VFs' MACs" "${macs[*]}" macs_set
row "bind the VFs to vfio-pci" "$(driver_of "${vfs[0]}"), $(driver_of "${vfs[1]}")" \
	test "$(driver_of "${vfs[0]}")$(driver_of "${vfs[1]}")" = vfio-pcivfio-pci
ip addr add "$pf_ip/24" dev "$netdev"

# ---- two guests at once ----

eval "$(viaduct lab image --add "$probe=/bin/dma-probe")"
start=$(ms)
for i in 0 1; do
	name=${names[i]}
	mkfifo "$work/$name.in"
	script=$({
		echo "IP=${ips[i]} PF=$pf_ip PEER=${ips[1 - i]}"
		cat "$here/guest.sh"
	} | base64 -w0)
	viaduct run --name "$name" --kernel "$kernel" --initrd "$initrd" --memory 256 \
		--cmdline "console=ttyS0 quiet viaduct.run=$script" --assign "${vfs[i]}" \
		--stats "$work/$name.json" <>"$work/$name.in" >"$work/$name.console" 2>"$work/$name.err" &
	pids+=($!)
done
say "two guests are booting"
both()
{
	"$1" "${names[0]}" "${@:2}" && "$1" "${names[1]}" "${@:2}"
}
await 90 both answered ready 1
row "boot two guests, a VF each" "both ready after $(($(ms) - start)) ms" both answered ready 1
if [ $bad != 0 ]; then
	tail -n 20 "$work"/*.console "$work"/*.err >&2
fi
for i in 0 1; do
	name=${names[i]}
	row "guest $name drives its VF" "$(answer "$name" driver), $(answer "$name" mac)" \
		test "$(answer "$name" driver | cut -d' ' -f1) $(answer "$name" mac)" = "igbvf ${macs[i]}"
	row "guest $name pings the PF" "$(ping_figure "$(answer "$name" pf)")" ping_held "$(answer "$name" pf)"
done
for i in 0 1; do
	name=${names[i]}
	tell "$name" go
	await 40 answered "$name" peer 1
	row "guest $name pings guest ${names[1 - i]}" "$(ping_figure "$(answer "$name" peer)")" \
		ping_held "$(answer "$name" peer)"
done

# ---- isolation ----

# Host memory, but none of the guest's: it has 256 MiB from 0.
outside=0x20000000
say "guest alpha tells its NIC to read host memory at $outside"
tell alpha "dma $outside"
await 60 answered alpha rebind 1
fault_line()
{
	grep "viaduct run: alpha: ${vfs[0]}: the IOMMU blocked a DMA .* at iova $outside" "$work/alpha.err" | head -n 1
}
row "alpha's NIC reads outside its memory" "$(answer alpha dma | cut -d' ' -f2- | cut -c1-60)" \
	test "$(answer alpha dma | cut -d' ' -f1)" = 0
await 10 test -n "$(fault_line)"
row "the IOMMU stops it" "guest alpha, ${vfs[0]}, iova $outside" test -n "$(fault_line)"
[ -z "$(fault_line)" ] || say "$(fault_line)"
tell alpha ping
await 40 answered alpha again 1
row "guest alpha goes on" "$(ping_figure "$(answer alpha again)")" ping_held "$(answer alpha again)"
tell beta ping
await 40 answered beta again 1
row "guest beta goes on" "$(ping_figure "$(answer beta again)")" ping_held "$(answer beta again)"
trouble >&2
row "the host goes on" "$(trouble | wc -l) warnings in its log" test -z "$(trouble)"

# ---- end ----

for name in "${names[@]}"; do
	tell "$name" end
done
status=()
for pid in "${pids[@]}"; do
	wait "$pid"
	status+=($?)
done
pids=()
row "both guests power off" "status ${status[*]}" test "${status[*]}" = "0 0"
for name in "${names[@]}"; do
	irqfd=$(stat_of "$name" interrupts irqfd)
	trapped=$(stat_of "$name" assigned 0 bar_accesses)
	row "guest $name: device interrupts by irqfd" "$irqfd, and $trapped trapped BAR accesses" \
		test "$irqfd" -gt 0 -a "$trapped" = 0
done
for vf in "${vfs[@]}"; do
	viaduct vf release "$vf" >&2
done
row "release the VFs" "drivers: $(driver_of "${vfs[0]}"), $(driver_of "${vfs[1]}")" \
	test "$(driver_of "${vfs[0]}")$(driver_of "${vfs[1]}")" = nonenone
viaduct vf carve "$pf" 0 >&2
row "take the VFs away" "$(cat "$dev/$pf/sriov_numvfs") left" test "$(cat "$dev/$pf/sriov_numvfs")" = 0

# ---- the table ----

printf '%s\n' "${rows[@]}" | python3 -c '
import json, sys
rows = [dict(zip(("step", "result", "figure"), line.rstrip("\n").split("\t"))) for line in sys.stdin]
if sys.argv[1]:
    with open(sys.argv[1], "w") as f:
        json.dump({"rows": rows}, f, indent=2)
        f.write("\n")
w = [max(len(r[k]) for r in rows + [{"step": "STEP", "result": "RESULT"}]) for k in ("step", "result")]
print("%-*s  %-*s  %s" % (w[0], "STEP", w[1], "RESULT", "FIGURE"))
for r in rows:
    print("%-*s  %-*s  %s" % (w[0], r["step"], w[1], r["result"], r["figure"]))' "$json" || bad=1
exit $bad
