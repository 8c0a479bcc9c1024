#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Everything `viaduct run` can be asked for that cannot be: the exit status, a message that names the
# thing and the remedy, and nothing left behind.
# shellcheck disable=SC2154
# shellcheck source=tests/lib/run.sh
. "${0%/*}/../lib/run.sh"
in_lab --nic igb
dev=/sys/bus/pci/devices

# refuses STATUS WORDS... -- COMMAND...: it ends with this status and says each of these words, in one
# line, and what is assigned is as before. $wrap, an array, is put in front of the command.
wrap=()
refuses()
{
	local want=$1 word before
	local -a words=()

	shift
	while [ "$1" != -- ]; do
		words+=("$1")
		shift
	done
	shift
	before=$(driver_of "${vf[0]}") status=0
	# ${wrap[@]} may take away rights, so the files are opened out here.
	timeout -k 5 60 "${wrap[@]}" "$@" </dev/null >"$out" 2>"$err" || status=$?
	equal "$status" "$want" "exit status"
	for word in "${words[@]}"; do
		holds "does not say \"$word\"" grep -qF -- "$word" "$err"
	done
	# argp adds a hint where to find help.
	equal "$(grep -vc "Try .*--help" "$err")" 1 "lines of message"
	equal "$(cat "$out")" "" "standard output"
	equal "$(driver_of "${vf[0]}")" "$before" "the VF's driver"
	equal "$(ls "$stats".* 2>/dev/null)" "" "figures of a guest that never ran"
}

stats=$scratch/stats.json
carve 0000:01:00.0 2
bridge=$(for d in "$dev"/*; do [[ $(<"$d/class") == 0x0604* ]] && basename "$d" && break; done)
with=(viaduct run --kernel "$kernel" --initrd "$initrd" --kaslr --stats "$stats")
vf_ok=${vf[0]}

it "kernel: missing"
refuses 1 "kernel $scratch/none" "No such file" -- viaduct run --kernel "$scratch/none"
it "kernel: not given"
refuses 2 "--kernel FILE is missing" -- viaduct run
it "kernel: a directory"
refuses 1 "kernel $scratch" "not a regular file" -- viaduct run --kernel "$scratch"
it "kernel: not a kernel"
refuses 1 "$0" "not a" -- viaduct run --kernel "$0" --assign "$vf_ok"
it "kernel: empty"
: >"$scratch/empty"
refuses 1 "$scratch/empty" -- viaduct run --kernel "$scratch/empty"
it "kernel: truncated, at several places"
size=$(stat -L -c %s "$kernel")
for n in 100 600 5000 $((size / 2)) $((size - 20000)); do
	head -c "$n" "$kernel" >"$scratch/short"
	refuses 1 "kernel" "$scratch/short" -- viaduct run --kernel "$scratch/short" --assign "$vf_ok"
done
it "kernel: no permission"
# A place that anybody may read; the lab throws it away.
public=$(mktemp -d -p /)
chmod 755 "$public"
install -m 600 /dev/null "$public/private"
install -m 644 "$kernel" "$public/kernel"
# The build may lie where only root can go.
install -m 755 "$(command -v viaduct)" "$(dirname "$(command -v viaduct)")/viaduct-run" "$public"
chmod 666 /dev/kvm
wrap=(setpriv --reuid 65534 --regid 65534 --clear-groups)
refuses 1 "kernel $public/private" "Permission denied" -- "$public/viaduct" run --kernel "$public/private"
chmod 600 /dev/kvm
wrap=()

it "devices' errors and requests: policies there are none of"
refuses 2 "--on-device-error: isolate or stop, not 'detach'" -- "${with[@]}" --on-device-error detach
refuses 2 "--on-device-request: detach or shutdown, not ''" -- "${with[@]}" --on-device-request=
for n in 0 -1 3601 30s 99999999999999999999; do
	refuses 2 "--device-timeout: '$n' is not a number" -- "${with[@]}" --device-timeout="$n"
done

it "initrd: missing, a directory, empty"
refuses 1 "initrd $scratch/none" "No such file" -- viaduct run --kernel "$kernel" --initrd "$scratch/none"
refuses 1 "initrd $scratch" "not a regular file" -- viaduct run --kernel "$kernel" --initrd "$scratch"
refuses 1 "initrd $scratch/empty" -- viaduct run --kernel "$kernel" --initrd "$scratch/empty"
it "initrd: larger than memory"
truncate -s 300M "$scratch/large"
refuses 1 "initrd $scratch/large" "314572800 bytes do not fit" "larger --memory" -- viaduct run --kernel "$kernel" --initrd "$scratch/large"

it "memory: none, no number, odd, more than the host's, too little for the kernel"
refuses 2 "--memory" "0 is none" -- "${with[@]}" --memory 0
for bad in -1 x 12Q 1GG "" 99999999999999999999; do
	refuses 2 "--memory: '$bad'" "MiB" -- "${with[@]}" --memory "$bad"
done
refuses 1 "guest memory" "this host has" -- "${with[@]}" --memory 64G
refuses 1 "guest memory" -- "${with[@]}" --memory 17179869183G
refuses 1 "kernel" "memory" -- "${with[@]}" --memory 4
refuses 2 "--memory-below-4g: '0'" -- "${with[@]}" --memory-below-4g 0
refuses 2 "--memory-below-4g: '4G'" "3072" -- "${with[@]}" --memory-below-4g 4G

it "cpus, name and other options: odd values"
for bad in 0 -1 x 1.5 "" 99999999999; do
	refuses 2 "--cpus: '$bad'" -- "${with[@]}" --cpus "$bad"
done
refuses 1 "4096 vCPUs" "takes 1 to" -- "${with[@]}" --cpus 4096
for bad in "" ../x "a b" -x "$(head -c 65 /dev/zero | tr '\0' x)"; do
	refuses 2 "--name: '$bad'" "letters" -- "${with[@]}" "--name=$bad"
done
refuses 2 "--nonsense" -- "${with[@]}" --nonsense
refuses 2 "'stray' is not an option" -- "${with[@]}" stray
it "cmdline: too long for the kernel"
refuses 1 "command line" -- "${with[@]}" --cmdline "$(head -c 5000 /dev/zero | tr '\0' x)"

it "stats: a place that cannot be written"
refuses 1 "--stats" "$scratch/no/such" "No such file" -- \
	viaduct run --kernel "$kernel" --stats "$scratch/no/such/file"
refuses 1 "--stats" "$scratch" "is a directory" -- viaduct run --kernel "$kernel" --stats "$scratch"
refuses 1 "--stats" "/dev/null is no regular file" -- viaduct run --kernel "$kernel" --stats /dev/null
holds "/dev/null is no device any more" test -c /dev/null
wrap=(setpriv --reuid 65534 --regid 65534 --clear-groups)
refuses 1 "--stats" "$scratch/p.json" "Permission denied" -- \
	"$public/viaduct" run --kernel "$public/kernel" --stats "$scratch/p.json"
wrap=()

it "assign: no address, twice, no such function, a bridge"
for bad in x 01:10 0000:01:10.8 0000:01:20.0 eth0; do
	refuses 2 "--assign: '$bad'" "0000:3b:02.1" -- "${with[@]}" --assign "$bad"
done
refuses 2 "$vf_ok is given twice" -- "${with[@]}" --assign "$vf_ok,$vf_ok"
refuses 1 "0000:7f:1f.7" "no such PCI function" -- "${with[@]}" --assign 0000:7f:1f.7
refuses 1 "$bridge" "is a bridge" -- "${with[@]}" --assign "$bridge"
it "assign: not bound to vfio-pci"
refuses 1 "0000:01:00.0" "bound to igb" "viaduct vf bind" "vfio-pci" -- "${with[@]}" --assign 0000:01:00.0
echo "${vf[1]}" >"$dev/${vf[1]}/driver/unbind"
refuses 1 "${vf[1]}" "no driver is bound" "vfio-pci" -- "${with[@]}" --assign "${vf[1]}"
# The first one is opened by then, and must be let go.
refuses 1 "${vf[1]}" -- "${with[@]}" --assign "$vf_ok" --assign "${vf[1]}"
echo "${vf[1]}" >/sys/bus/pci/drivers_probe
equal "$(driver_of "${vf[1]}")" vfio-pci "the second VF's driver"

it "assign: in a group that is not viable"
sata=0000:00:1f.2 smbus=0000:00:1f.3
modprobe ahci 2>/dev/null
if [ "$(driver_of $sata)" = ahci ]; then
	echo vfio-pci >$dev/$smbus/driver_override
	[ -e $dev/$smbus/driver ] && echo $smbus >$dev/$smbus/driver/unbind
	echo $smbus >/sys/bus/pci/drivers_probe
	refuses 1 "$smbus: not isolated (group-viable)" "$sata (ahci)" -- "${with[@]}" --assign $smbus
	echo $smbus >$dev/$smbus/driver/unbind
	echo >$dev/$smbus/driver_override
else
	echo "  not shown: no host driver for $sata here"
fi

it "assign: another guest has it, and is named"
append=viaduct.end=hang guest_start holder 'echo up' --assign "$vf_ok" --memory 128
until_seen "$scratch/holder.out" '^up'
refuses 1 "$vf_ok" "leased by holder (process ${guest_pid[holder]})" -- "${with[@]}" --assign "$vf_ok"
# Without a lease VFIO itself refuses it.
viaduct vf lease free -q --force "$vf_ok"
refuses 1 "$vf_ok" "in use" "process ${guest_pid[holder]} (viaduct:holder)" -- \
	"${with[@]}" --assign "$vf_ok"
kill "${guest_pid[holder]}"
guest_wait holder 20
equal "$status" 143 "exit status of the holder"
out=$scratch/stdout err=$scratch/stderr

it "memlock: too small for what is assigned"
wrap=(prlimit --memlock=1048576 setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock)
refuses 1 "RLIMIT_MEMLOCK is 1024 KiB" "262144 KiB must stay locked" "ulimit -l 262144" -- "${with[@]}" --assign "$vf_ok"
wrap=()

it "permission: no right to the group's node, nor to /dev/kvm"
chmod 666 /dev/kvm
prlimit --memlock=unlimited --pid $$
wrap=(setpriv --reuid 65534 --regid 65534 --clear-groups)
refuses 1 "no permission to open /dev/vfio/" -- \
	"$public/viaduct" run --kernel "$public/kernel" --assign "$vf_ok"
chmod 600 /dev/kvm
refuses 1 "/dev/kvm" "group kvm" -- "$public/viaduct" run --kernel "$public/kernel"
wrap=()
it "kvm: none"
mv /dev/kvm "$scratch/kvm"
refuses 1 "/dev/kvm" "No such file" "kvm_amd" -- "${with[@]}" --assign "$vf_ok"
mv "$scratch/kvm" /dev/kvm
chmod 600 /dev/kvm

it "leaves nothing, and the VF still works"
clean
GUEST_TIMEOUT=60 guest 'ls -1 /sys/class/net' --assign "$vf_ok"
equal "$status" 0 "exit status"
prints guest eth0
clean
host_well
done_testing
