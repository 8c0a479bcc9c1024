# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
# Helpers of the tests of `viaduct run`; sourced by bash, together with all of lab.sh. Such a test boots
# the lab once and goes on inside it, for that is the slow part:
#
#	. "${0%/*}/../lib/run.sh"
#	in_lab --nic igb            # outside: boots the lab with these options, runs this file there
#	carve 0000:01:00.0 2        # from here on inside; leaves ${vf[0]}, ${vf[1]}
#	guest 'ip link' --assign "${vf[0]}"
#	equal "$status" 0 "exit status"
#	done_testing
#
# $kernel and $initrd are the guest's. VIADUCT_TEST_SEED repeats what was random.
# shellcheck source=tests/lib/lab.sh
. "${BASH_SOURCE[0]%/*}/lab.sh"

# Options of `viaduct lab image` for the guest's image; a test sets it before in_lab.
image_options=()

# The lab boots once for each set of options; several are separated by a lone "+".
in_lab()
{
	local -a set=()
	local word rc=0 failed=0

	if [ -n "${VIADUCT_IN_LAB:-}" ]; then
		inside_setup
		return
	fi
	# shellcheck disable=SC2046
	lab_need $(grep -oE 'igb|e1000e|amd-iommu' <<<"$*" | sort -u)
	eval "$(viaduct lab image "${image_options[@]}")" || skip "no guest image"
	export kernel initrd
	# Read by the inner half: a run that failed can be had again.
	export VIADUCT_TEST_SEED=${VIADUCT_TEST_SEED:-$RANDOM}
	before_lab
	for word in "$@" +; do
		if [ "$word" != + ]; then
			set+=("$word")
			continue
		fi
		VIADUCT_LAB_LOCK='' VIADUCT_TEST_LAB="${set[*]}" timeout -k 10 "${LAB_TIMEOUT:-400}" \
			viaduct lab run "${set[@]}" -- bash "$(readlink -f "$0")" </dev/null 9>&- || rc=$?
		[ "$rc" = 0 ] || failed=$rc
		rc=0 set=()
	done
	exit "$failed"
}

# What a test prepares outside, where it is quick; it may define its own.
before_lab()
{
	:
}

inside_setup()
{
	RANDOM=$VIADUCT_TEST_SEED
	python=python3
	[ -x /usr/bin/python3 ] && python=/usr/bin/python3 # a shim that asks which is slow here
	mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
	dmesg -C
	echo "lab ${VIADUCT_TEST_LAB:-}, seed $VIADUCT_TEST_SEED"
}

# it TEXT, with the seconds so far: what takes long is seen.
it()
{
	current=$*
	echo "- [$SECONDS s] $current"
}

# carve PF N: N functions on vfio-pci in ${vf[@]}, MACs 02:00:00:00:00:01 and up; the PF's interface is
# $netdev, up, with address 10.9.0.1.
carve()
{
	local i

	netdev=$(ls "/sys/bus/pci/devices/$1/net")
	viaduct vf carve -q --wait-link "$1" "$2" || fail "carve $1"
	vf=()
	for ((i = 0; i < $2; i++)); do
		vf[i]=$(basename "$(readlink "/sys/bus/pci/devices/$1/virtfn$i")")
		viaduct vf set -q "${vf[i]}" mac="02:00:00:00:00:0$((i + 1))" || fail "set ${vf[i]}"
		viaduct vf bind -q "${vf[i]}" vfio-pci || fail "bind ${vf[i]}"
	done
	ip addr add 10.9.0.1/24 dev "$netdev"
	ip link set "$netdev" up
}

by_driver() # DRIVER [N]: the Nth PCI address it has, the first by default
{
	find "/sys/bus/pci/drivers/$1/" -name '0000:*' -printf '%f\n' 2>/dev/null | sort | sed -n "${2:-1}p"
}

driver_of() # BDF
{
	basename "$(readlink "/sys/bus/pci/devices/$1/driver" || echo none)"
}

# For a guest's script: bring the first interface up with this address, and ping the host.
guest_net() # ADDRESS [WHO]
{
	cat <<END
ip addr add $1/24 dev eth0; ip link set eth0 up
for i in \$(seq 60); do [ "\$(cat /sys/class/net/eth0/carrier)" = 1 ] && break; sleep 0.5; done
for i in 1 2 3 4 5; do ping -c 1 -W 3 ${2:-10.9.0.1} >/dev/null && echo "pong ${2:-10.9.0.1}" && break; done
END
}

cmdline() # SCRIPT [MORE]
{
	echo "console=ttyS0 quiet ${2:-} viaduct.run=$(base64 -w0 <<<"$1")"
}

# guest SCRIPT [OPTION...]: run a guest to its end; leaves $status, $out and $err. $append goes to its
# command line.
guest()
{
	local script=$1

	shift
	status=0
	timeout -k 5 "${GUEST_TIMEOUT:-100}" viaduct run --kernel "$kernel" --initrd "$initrd" \
		--cmdline "$(cmdline "$script" "${append:-}")" "$@" </dev/null >"$out" 2>"$err" || status=$?
}

# guest_start NAME SCRIPT [OPTION...]: the same in the background. Its files are $scratch/NAME.out and
# .err, its process ${guest_pid[NAME]}.
declare -A guest_pid=()
guest_start()
{
	local name=$1 script=$2

	shift 2
	viaduct run --kernel "$kernel" --initrd "$initrd" --cmdline "$(cmdline "$script" "${append:-}")" \
		--name "$name" "$@" </dev/null >"$scratch/$name.out" 2>"$scratch/$name.err" &
	guest_pid[$name]=$!
}

# guest_wait NAME [SECONDS]: wait for its end; leaves $status, $out and $err.
guest_wait()
{
	local pid=${guest_pid[$1]}

	out=$scratch/$1.out err=$scratch/$1.err status=0
	for _ in $(seq $((10 * ${2:-100}))); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -9 "$pid" 2>/dev/null && fail "guest $1 did not end in ${2:-100} s"
	wait "$pid" || status=$?
}

# until_seen FILE REGEX [COUNT [SECONDS]]
until_seen()
{
	local n

	for _ in $(seq $((10 * ${4:-60}))); do
		n=$(grep -acE -- "$2" "$1" 2>/dev/null)
		[ "${n:-0}" -ge "${3:-1}" ] && return 0
		sleep 0.1
	done
	fail "no '$2' in $(basename "$1"), which ends: $(tail -n 3 "$1" | tr -d '\r')"
	return 1
}

# prints WHAT TEXT...: the guest's console has each of these lines.
prints()
{
	local what=$1 line

	shift
	for line in "$@"; do
		if tr -d '\r' <"$out" | grep -aqxF -- "$line"; then
			pass
		else
			fail "$what: no line '$line' on the guest's console"
		fi
	done
}

# figure FILE KEY [N]: the number of the Nth such key of a --stats file.
figure()
{
	sed -n "s/^ *\"$2\": \([0-9.-]*\),\{0,1\}\$/\1/p" "$1" | sed -n "${3:-1}p"
}

run_processes()
{
	local exe

	for exe in /proc/[0-9]*/exe; do
		case $(readlink "$exe" 2>/dev/null) in
		*/viaduct-run) echo "${exe//[!0-9]/}" ;;
		esac
	done
}

vfio_descriptors()
{
	find /proc/[0-9]*/fd -lname '/dev/vfio/*' 2>/dev/null
	find /proc/[0-9]*/fd -lname 'anon_inode:*vfio*' 2>/dev/null
}

# Nothing of `viaduct run` is left. A process that was killed may take a moment to go.
clean()
{
	local left

	for _ in $(seq 50); do
		left=$(run_processes)
		[ -z "$left" ] && break
		sleep 0.1
	done
	equal "$left" "" "processes left"
	equal "$(vfio_descriptors)" "" "VFIO descriptors left"
	equal "$(find "$scratch" -name '*.tmp')" "" "temporary files left"
}

# The host's log has nothing that should worry anybody.
host_well()
{
	equal "$(dmesg | grep -E 'BUG|WARNING:|Oops|Call Trace|soft lockup|hung task' | head -n 5)" "" \
		"the host's log"
}
