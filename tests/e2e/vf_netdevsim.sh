#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every setting of a VF, and devlink's modes, ports and rates, by our messages against a kernel that has
# netdevsim, a network card in software that takes all of them. Debian's kernels are built without
# it (CONFIG_NETDEVSIM is not set in 6.1 and 6.12): there this asks devlink about igb, which it does not
# know, and reports the rest as skipped.
# shellcheck disable=SC2154
# shellcheck source=tests/lib/vf.sh
. "${0%/*}/../lib/vf.sh"
in_lab --nic igb

probe=$build/tests/e2e/netdevsim-probe
bus=/sys/bus/netdevsim

# device ID VFS: a new one; leaves $netdev
device()
{
	echo "$1 1" >$bus/new_device || return 1
	for _ in $(seq 100); do
		netdev=$(ls $bus/devices/netdevsim"$1"/net 2>/dev/null | head -n 1)
		[ -n "$netdev" ] && break
		sleep 0.05
	done
	if [ "$2" -gt 4 ]; then
		echo "$2" >/sys/kernel/debug/netdevsim/netdevsim"$1"/max_vfs || return 1
	fi
	echo "$2" >$bus/devices/netdevsim"$1"/sriov_numvfs
}

# probe WHAT ID VFS TEST
probe()
{
	run "$probe" "$netdev" netdevsim"$2" "$3" "$4"
	echo "$said"
	ok "$1" exits 0
}

# A driver that is not in devlink at all.
vf set "$(by_driver igb)" eswitch=switchdev
ok "igb has no eswitch" exits 1
ok "and that is said" says "no such switch"

if ! modprobe -q netdevsim; then
	[ "$failures" = 0 ] || done_testing
	skip "the lab's kernel has no netdevsim; what igb could show is as it should be"
fi
mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug

device 1 4
probe "every setting is read back as it was set" 1 4 settings
probe "devlink: modes, ports, rates" 1 4 devlink
device 2 252
probe "252 VFs" 2 252 many
device 3 1000
probe "1000 VFs" 3 1000 many

done_testing
