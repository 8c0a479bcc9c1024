# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
# Helpers of the tests of PCI functions, `viaduct vf` above all; sourced by bash, together with all of
# run.sh. Such a test boots the lab once and makes many checks there:
#
#	. "${0%/*}/../lib/vf.sh"
#	in_lab --nic igb
#	run viaduct-vf carve "$pf" 2     # leaves $said, $rc and $ms
#	ok "carve makes 2 VFs" exits 0
#	ok "and says so" says "2 VFs made"
#	done_testing
# shellcheck source=tests/lib/run.sh
. "${BASH_SOURCE[0]%/*}/run.sh"

dev=/sys/bus/pci/devices
build=$(dirname "$(command -v viaduct || echo build/cli/viaduct)")/..
said='' rc=0 ms=0

# ok WHAT COMMAND...: the command succeeds. What run() left is shown when it does not.
ok()
{
	local what=$1

	shift
	if "$@"; then
		pass
		echo "ok: $what"
	else
		fail "$what (exit $rc, output: $said)"
	fi
}

# run COMMAND...: its output in $said, its exit status in $rc, its milliseconds in $ms.
run()
{
	local start=${EPOCHREALTIME/./}

	rc=0
	said=$("$@" 2>&1) || rc=$?
	ms=$(((${EPOCHREALTIME/./} - start) / 1000))
}

says()
{
	[[ $said == *"$1"* ]]
}

says_like() # EXTENDED-REGEX
{
	[[ $said =~ $1 ]]
}

exits()
{
	[ "$rc" = "$1" ]
}

# vf COMMAND ARGUMENT...: `viaduct vf`, without the wrapper's start.
vf()
{
	run viaduct-vf "$@"
}

# A time for what must be quick: a second, and what starting a program takes on a machine as loaded as
# this one is now. Leaves $limit.
limit=1000
limit_measure()
{
	vf --help
	limit=$((1000 + 10 * ms))
}

quick()
{
	[ "$ms" -lt "$limit" ]
}

# until_true SECONDS COMMAND...
until_true()
{
	local end=$((SECONDS + $1))

	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

# A driver may probe in its own time, as nvme does.
await_driver() # DRIVER
{
	until_true 30 eval '[ -n "$(by_driver "'"$1"'")" ]' || fail "nothing is bound to $1"
}

driver_is() # BDF DRIVER, "" for none
{
	local d=

	[ -e "$dev/$1/driver" ] && d=$(basename "$(readlink "$dev/$1/driver")")
	[ "$d" = "$2" ]
}

vf_of() # PF INDEX
{
	basename "$(readlink "$dev/$1/virtfn$2")"
}

numvfs() # PF
{
	cat "$dev/$1/sriov_numvfs"
}

group_of() # BDF
{
	basename "$(readlink "$dev/$1/iommu_group")"
}

carrier() # PF
{
	[ "$(cat "$dev/$1"/net/*/carrier 2>/dev/null)" = 1 ]
}

# json EXPRESSION [COMMAND...]: a Python expression over d, the JSON that the command (default
# "viaduct-vf list --json") prints, and f, the functions in it by address.
json()
{
	local expression=$1

	shift
	[ $# -gt 0 ] || set -- viaduct-vf list --json
	"$@" 2>/dev/null | "$python" -c "
import json, sys
d = json.load(sys.stdin)
f = {x['bdf']: x for x in d.get('functions', [])} if isinstance(d, dict) else {}
sys.exit(0 if ($expression) else 1)"
}

# bind_by_hand BDF DRIVER: without us.
bind_by_hand()
{
	echo "$2" >"$dev/$1/driver_override"
	[ -e "$dev/$1/driver" ] && echo "$1" >"$dev/$1/driver/unbind"
	echo "$1" >/sys/bus/pci/drivers_probe
	driver_is "$1" "$2"
}

# hold NODE: a process that has it open; leaves $holder.
hold()
{
	sleep 1000 3<>"$1" &
	holder=$!
	until_true 10 grep -q sleep /proc/$holder/comm || fail "nobody holds $1"
}

unhold()
{
	kill "$holder"
	wait "$holder" 2>/dev/null
}

# What no command may leave behind: a record or lock that is not a lock file.
nothing_recorded()
{
	[ -z "$(find /run/viaduct/vf -type f ! -name '*.lock' 2>/dev/null)" ]
}

# What a command changes in the kernel: it runs under strace, which leaves a line for each write below
# /sys and each rtnetlink request that changes a link in the file $changes. Leaves what run() leaves.
changes=$scratch/changes
run_traced()
{
	run strace -f -qq -y -s 80 -e trace=write,pwrite64,writev,sendto,sendmsg -o "$scratch/trace" "$@"
	grep -aE '(write|pwrite64|writev)\([0-9]+</sys/|RTM_(SET|NEW)LINK' "$scratch/trace" >"$changes" || true
}

changes_nothing()
{
	[ ! -s "$changes" ]
}

# ask_nvme CONTROLLER ACTION,RESOURCE,ID,N...: the NVMe command Virtualization Management (NVM Express 1.4
# §5.22). Actions: 1 set the PF's own number of resources, 7 take VF ID offline, 8 give it N, 9 put it
# online. Resources: 0 queue pairs, 1 interrupts.
ask_nvme()
{
	local controller=$1

	shift
	"$python" - "/dev/$controller" "$@" <<-'END'
		import fcntl, struct, sys
		fd = open(sys.argv[1])
		for a in sys.argv[2:]:
		    action, resource, cntlid, n = map(int, a.split(","))
		    cmd = bytearray(struct.pack("<BBHIIIQQIIIIIIIIII", 0x1c, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		        action | resource << 8 | cntlid << 16, n, 0, 0, 0, 0, 5000, 0))
		    status = fcntl.ioctl(fd, 0xC0484E41, cmd)  # NVME_IOCTL_ADMIN_CMD
		    if status:
		        sys.exit("virtualization management %s: status %#x" % (a, status))
	END
}
