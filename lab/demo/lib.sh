# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
# Helpers of host.sh: rows of the table, guests that are told what to do and answer, conditions that
# are waited for.

work=$(mktemp -d)
dev=/sys/bus/pci/devices
pids=() # of all that runs in the background
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
	echo $((${EPOCHREALTIME/./} / 1000))
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

# ---- guests ----

declare -A guest=() # their processes by name

# boot NAME VARIABLES OPTION...: VARIABLES are for guest.sh
boot()
{
	local name=$1 vars=$2 script

	shift 2
	mkfifo "$work/$name.in"
	script=$(printf '%s\n' "$vars" ". /bin/demo-guest" | base64 -w0)
	viaduct run --name "$name" --kernel "$kernel" --initrd "$initrd" --memory 256 \
		--cmdline "console=ttyS0 quiet viaduct.run=$script" --stats "$work/$name.json" "$@" \
		<>"$work/$name.in" >"$work/$name.console" 2>"$work/$name.err" &
	guest[$name]=$!
	pids+=($!)
}

# A guest's console has CR LF.
answer() # NAME KEY: the rest of the last line "@KEY ..." of its console
{
	tr -d '\r' <"$work/$1.console" | sed -n "s/^@$2 *//p" | tail -n 1
}

answered() # NAME KEY COUNT: has it said KEY that often?
{
	[ "$(tr -d '\r' <"$work/$1.console" | grep -c "^@$2\( \|$\)")" -ge "$3" ]
}

all_ready()
{
	local name

	for name in "${!guest[@]}"; do
		answered "$name" ready 1 || return 1
	done
}

# One that has ended will not be.
all_ready_or_one_ended()
{
	local name

	for name in "${!guest[@]}"; do
		kill -0 "${guest[$name]}" 2>/dev/null || return 0
	done
	all_ready
}

tell() # NAME COMMAND
{
	echo "$2" >"$work/$1.in"
}

# ask NAME KEY COMMAND...: the answer to it; the command's first word is the key by default
ask()
{
	local name=$1 key=$2 n

	shift 2
	n=$(tr -d '\r' <"$work/$name.console" | grep -c "^@$key\( \|$\)")
	tell "$name" "$*"
	await 120 answered "$name" "$key" $((n + 1)) && answer "$name" "$key"
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

# pings STEP NAME IP: five of five, a row
pings()
{
	local sent got avg

	read -r sent got avg <<<"$(ask "$2" ping ping "$3")"
	row "$1" "${got:-0} of ${sent:-0} answered, ${avg:-?} ms" test "${sent:-0}" -ge 5 -a "${got:-0}" = "${sent:-0}"
}

# fetched STEP SUM ANSWER: what a guest fetched is what SUM says, a row
fetched()
{
	local sum bytes ms

	read -r sum bytes ms <<<"$3"
	row "$1" "$((${bytes:-0} / 1000)) kB, sha256 ${sum:0:12}..., $((${bytes:-0} / (${ms:-0} + 1))) kB/s" \
		test -n "$2" -a "${sum:-none}" = "$2"
}

# ---- PCI functions ----

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

# drivers_are DRIVER BDF...
drivers_are()
{
	local want=$1 bdf

	shift
	for bdf in "$@"; do
		[ "$(driver_of "$bdf")" = "$want" ] || return 1
	done
}

# ---- the table ----

table() # [JSON-FILE]
{
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
    print("%-*s  %-*s  %s" % (w[0], r["step"], w[1], r["result"], r["figure"]))' "${1:-}"
}
