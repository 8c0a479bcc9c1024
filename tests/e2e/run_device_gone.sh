#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Devices that leave a running guest: the host unbinds one or takes the VFs away, and one reports an error.
# Whoever asks gets the device in bounded time, also from a guest that never looks.
# shellcheck disable=SC2016,SC2154
# shellcheck source=tests/lib/run.sh
. "${0%/*}/../lib/run.sh"
in_lab --nic igb
pf=0000:01:00.0

# takes WHAT FILE TEXT: the write comes back, and soon.
takes()
{
	local start=$SECONDS

	timeout 25 bash -c "echo '$3' >'$2'" || fail "$1: the write failed or hangs"
	echo "  $1 in $((SECONDS - start)) s"
}

# The kernel's own loopback, on the VMM's device fd: SET_IRQS, DATA_NONE | ACTION_TRIGGER.
fires() # NAME INDEX: 3 error, 4 request
{
	"$python" - "${guest_pid[$1]}" "$2" <<'END' || fail "loopback of index $2"
import ctypes, fcntl, os, struct, sys
pid = int(sys.argv[1])
# `viaduct` execs viaduct-run, so the process is the same.
libc = ctypes.CDLL(None, use_errno=True)
fds = [int(fd) for fd in os.listdir(f'/proc/{pid}/fd')
       if 'vfio-device' in os.readlink(f'/proc/{pid}/fd/{fd}')]
fd = libc.syscall(438, os.pidfd_open(pid), fds[0], 0)  # pidfd_getfd
assert fd >= 0, os.strerror(ctypes.get_errno())
fcntl.ioctl(fd, 0x3b6e, struct.pack('5I', 20, 1 | 1 << 5, int(sys.argv[2]), 0, 1))
END
}

# What a guest does with a device until it is gone, and afterwards.
until_gone='d=/sys/bus/pci/devices/0000:00:01.0
echo ready; while [ "$(head -c 4 $d/config | od -An -tx1)" != " ff ff ff ff" ]; do sleep 0.2; done; echo all ones
head -c 2 $d/config >/dev/null; cat /sys/class/net/eth0/address >/dev/null; lived=1'

carve "$pf" 2
it "an unbind by the host detaches the VF at once; the guest lives on with the other"
guest_start one "$(guest_net 10.9.0.2)
$until_gone; ip link set eth0 down; sleep 1; ip link set eth1 up && echo lived \$lived" \
	--assign "${vf[0]},${vf[1]}" --stats "$scratch/one.json" --on-device-request detach
until_seen "$scratch/one.out" '^ready'
takes "unbind" /sys/bus/pci/drivers/vfio-pci/unbind "${vf[0]}"
equal "$(driver_of "${vf[0]}")" none "the driver of the VF"
guest_wait one 60
equal "$status" 0 "exit status"
prints guest "pong 10.9.0.1" "all ones" "lived 1"
holds "told with its address" grep -q "${vf[0]}: the host wanted the device back and has it" "$err"
equal "$(figure "$scratch/one.json" requests 1) $(figure "$scratch/one.json" requests 2)" "1 0" "requests"
equal "$(grep -o '"state": "[a-z]*"' "$scratch/one.json" | tr '\n' ' ')" \
	'"state": "detached" "state": "present" ' "states"
clean

it "an error isolates the device, which stays the guest's process's; the next and a request are counted"
viaduct vf bind -q "${vf[0]}" vfio-pci || fail "bind ${vf[0]}"
guest_start two "$until_gone; echo lived; while :; do sleep 1; done" --assign "${vf[0]}" --stats "$scratch/two.json"
until_seen "$scratch/two.out" '^ready'
fires two 3
until_seen "$scratch/two.out" '^lived'
until_seen "$scratch/two.err" "${vf[0]}: the hardware reported an uncorrectable error; the device is isolated"
fires two 3
for _ in $(seq 50); do
	kill -USR1 "${guest_pid[two]}"
	sleep 0.2
	[ "$(figure "$scratch/two.json" errors 2>/dev/null)" = 2 ] && break
done
equal "$(figure "$scratch/two.json" errors)" 2 "errors"
holds "isolated" grep -q '"state": "isolated"' "$scratch/two.json"

it "sriov_numvfs = 0 takes it from a guest that does not look"
rm "$scratch/two.json"
takes "no VFs" "/sys/bus/pci/devices/$pf/sriov_numvfs" 0
holds "the VF is gone" test ! -e "/sys/bus/pci/devices/${vf[0]}"
until_seen "$scratch/two.err" "${vf[0]}: the host wanted the device back and has it"
kill "${guest_pid[two]}"
guest_wait two 20
equal "$status" 143 "exit status"
equal "$(figure "$scratch/two.json" errors) $(figure "$scratch/two.json" requests)" "2 1" "errors, requests"
clean

it "three guests, three policies"
carve "$pf" 3 2>/dev/null
guest_start three 'echo ready; while :; do sleep 1; done' --assign "${vf[0]}" --memory 128 \
	--on-device-error stop
guest_start four 'modprobe -a button evdev; until [ -e /dev/input/event0 ]; do sleep 0.2; done
echo ready; dd if=/dev/input/event0 of=/dev/null bs=24 count=1 2>/dev/null; echo pressed' \
	--assign "${vf[1]}" --memory 128 --on-device-request shutdown --device-timeout 60
guest_start five 'echo ready; while :; do sleep 1; done' --assign "${vf[2]}" --memory 128 \
	--on-device-request shutdown --device-timeout 2
for g in three four five; do
	until_seen "$scratch/$g.out" '^ready'
done

it "an error stops the guest, by policy"
fires three 3
guest_wait three 20
equal "$status" 7 "exit status"
holds "says why" grep -q "${vf[0]}: the hardware reported an uncorrectable error; the guest is stopped" "$err"

it "a request presses the power button, which the guest obeys"
takes "unbind" /sys/bus/pci/drivers/vfio-pci/unbind "${vf[1]}"
guest_wait four 20
equal "$status" 0 "exit status"
prints guest pressed
holds "says so" grep -q "${vf[1]}: the host wants the device back; the guest is asked to shut down" "$err"

it "a guest that does not listen is ended in time"
takes "unbind" /sys/bus/pci/drivers/vfio-pci/unbind "${vf[2]}"
guest_wait five 20
equal "$status" 8 "exit status"
holds "says so" grep -q "did not shut down in 2 s" "$err"
clean
host_well
done_testing
