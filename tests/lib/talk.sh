# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
# Guests that are told what to do, one command after another; sourced by bash after run.sh:
#
#	talk_start alpha --net tap=vt0 || done_testing
#	ask alpha 'ping -c 1 192.0.2.1'
#	equal "$rc" 0 "ping's exit status"
#	matches "$said" "1 packets received" "what it printed"
#	talk_end alpha; equal "$status" 0 "exit status of viaduct run"
#
# A command is one line for the guest's shell, of at most 4000 characters. All that a guest's console
# said is in $scratch/NAME.log.
declare -A talk_pid=() talk_from=() talk_next=()
said='' rc=0

# What the guest runs: obey the console.
talk_agent()
{
	cat <<'AGENT'
dmesg -n 1
stty -echo </dev/console
n=0
echo "@0 0"
while read -r line && [ "$line" != end ]; do
	eval "$line" </dev/null
	rc=$?
	n=$((n + 1))
	echo "@$n $rc"
done </dev/console
AGENT
}

# talk_boot NAME [OPTION...]: start it, do not wait. $append goes to its command line.
talk_boot()
{
	local name=$1 fd

	shift
	rm -f "$scratch/$name.in" "$scratch/$name.say"
	mkfifo "$scratch/$name.in" "$scratch/$name.say"
	viaduct run --kernel "$kernel" --initrd "$initrd" --name "$name" --stats "$scratch/$name.json" \
		--cmdline "$(cmdline "$(talk_agent)" "${append:-}")" "$@" \
		<>"$scratch/$name.in" >"$scratch/$name.say" 2>"$scratch/$name.err" &
	talk_pid[$name]=$!
	exec {fd}<"$scratch/$name.say"
	talk_from[$name]=$fd
	talk_next[$name]=0
}

# tell NAME COMMAND: do not wait; one heard() is due for each.
tell()
{
	echo "$2" >"$scratch/$1.in"
}

# heard NAME [SECONDS]: wait for the answer; leaves $said, what was printed, and $rc, the exit status.
heard()
{
	local line end=$((SECONDS + ${2:-60})) left

	said='' rc=-1
	while left=$((end - SECONDS)) && [ "$left" -gt 0 ] &&
		IFS= read -r -t "$left" -u "${talk_from[$1]}" line; do
		line=${line%$'\r'}
		printf '%s\n' "$line" >>"$scratch/$1.log"
		if [[ $line =~ ^@${talk_next[$1]}\ ([0-9]+)$ ]]; then
			rc=${BASH_REMATCH[1]}
			talk_next[$1]=$((talk_next[$1] + 1))
			return 0
		fi
		said+=$line$'\n'
	done
	fail "guest $1 gave no answer $((${talk_next[$1]})); its console ends:"
	tail -n 8 "$scratch/$1.log" "$scratch/$1.err" | sed 's/^/    /'
	return 1
}

# ask NAME COMMAND [SECONDS]
ask()
{
	tell "$1" "$2"
	heard "$1" "${3:-60}"
}

# talk_end NAME: power it off; leaves $status.
talk_end()
{
	local fd=${talk_from[$1]} line

	tell "$1" end
	# To the end of file: it must not wait for somebody to read.
	while IFS= read -r -t 60 -u "$fd" line; do
		printf '%s\n' "$line" >>"$scratch/$1.log"
	done
	until_holds 10 talk_gone "$1" || fail "guest $1 does not end"
	talk_kill "$1"
}

talk_gone() # NAME
{
	! kill -0 "${talk_pid[$1]}" 2>/dev/null
}

# talk_kill NAME: kill -9 what is left of it; leaves $status.
talk_kill()
{
	local fd=${talk_from[$1]}

	exec {fd}<&-
	kill -KILL "${talk_pid[$1]}" 2>/dev/null
	status=0
	wait "${talk_pid[$1]}" 2>/dev/null || status=$?
}

# until_holds SECONDS COMMAND...
until_holds()
{
	local end=$((SECONDS + $1))

	shift
	until "$@"; do
		[ $SECONDS -lt "$end" ] || return 1
		sleep 0.1
	done
}
