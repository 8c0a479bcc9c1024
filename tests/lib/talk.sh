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

# tell NAME COMMAND: do not wait; one heard() is due for each. Nobody reads what a guest that ended is told.
tell()
{
	talk_gone "$1" || timeout 60 bash -c 'echo "$1" >"$2"' - "$2" "$scratch/$1.in"
}

# heard NAME [SECONDS]: wait for the answer; leaves $said, what was printed, and $rc, the exit status.
heard()
{
	local line end=$((SECONDS + ${2:-120})) left

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
	heard "$1" "${3:-120}"
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

ms()
{
	echo $((${EPOCHREALTIME/./} / 1000))
}

# ---- what guests with a card on a switch are told ----

# join NAME IP: its card goes up and gets an address.
join()
{
	ask "$1" "ip link set eth0 up; ip addr add $2/24 dev eth0; until [ \"\$(cat /sys/class/net/eth0/carrier)\" = 1 ]; do sleep 0.1; done"
}

# pings WHO IP: five of five
pings()
{
	ask "$1" "for i in 1 2 3 4 5 6 7 8 9; do ping -c 1 -W 2 $2 >/dev/null && break; done; ping -c 5 -i 0.2 -W 5 $2"
	matches "$said" "5 packets transmitted, 5 packets received" "pings from $1 to $2"
}

# fetches WHO IP SUM: the file of another's web server
fetches()
{
	local begin

	begin=$(ms)
	ask "$1" "wget -q -O - http://$2:8080/data | sha256sum"
	equal "${said%% *}" "$3" "checksum of what $1 fetched from $2"
	echo "  $((size / ($(ms) - begin))) kB/s"
}

# serves WHO: leaves the checksum in $said
size=6000000
serves()
{
	ask "$1" "mkdir -p /tmp/www; head -c $size /dev/urandom >/tmp/www/data; httpd -p 8080 -h /tmp/www; sha256sum </tmp/www/data"
	said=${said%% *}
}

features() # WHO: of its card, as the driver accepted them
{
	ask "$1" "cat /sys/bus/virtio/devices/virtio0/features"
	bits=${said%$'\n'}
}

# traffic_start WHO IP SUM: pings ten times a second, and fetches over and over
traffic_start()
{
	ask "$1" "rm -f /tmp/stop /tmp/sums; ping -i 0.1 $2 >/tmp/pings & ping=\$!"
	ask "$1" "while [ ! -e /tmp/stop ]; do wget -q -O - http://$2:8080/data | sha256sum >>/tmp/sums; done & fetch=\$!"
	ask "$1" "until [ -s /tmp/sums ] && grep -q seq= /tmp/pings; do sleep 0.1; done"
}

# traffic_goes WHO: something new arrived since now, of both kinds
traffic_goes()
{
	ask "$1" 'a=$(wc -l </tmp/sums); b=$(wc -l </tmp/pings); until [ $(wc -l </tmp/sums) -gt $((a + 1)) -a $(wc -l </tmp/pings) -gt $((b + 2)) ]; do sleep 0.1; done' 120
}

# traffic_stop WHO SUM: all that was fetched was right, no ping was answered twice; says the pause
traffic_stop()
{
	ask "$1" 'touch /tmp/stop; wait $fetch; kill -INT $ping; wait $ping; sort /tmp/sums | uniq -c; tail -n 3 /tmp/pings' 120
	matches "$said" "^ +[0-9]+ $2  -" "checksums of what $1 fetched"
	equal "$(grep -c '  -$' <<<"$said")" 1 "different contents fetched"
	echo "  $(grep transmitted <<<"$said")"
	ask "$1" 'grep -c "DUP!" /tmp/pings'
	equal "$said" $'0\n' "pings answered twice"
	# When each answer came, by when its question was sent; the longest time between two.
	ask "$1" "tr = ' ' </tmp/pings | awk '/seq/ { t[n++] = \$6 * 100 + \$10 } END { while (++i < n) if (t[i] - t[i - 1] > max) max = t[i] - t[i - 1]; print int(max) }'"
	echo "  longest pause between two answers: ${said%$'\n'} ms"
}

# What the driver says after its start, a reset would be among it.
driver_log()
{
	ask "$1" 'dmesg | grep -E "virtio|NETDEV|eth0"'
}
