#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016,SC2119
# The guests' image boots under KVM in the lab, runs what it is told and ends as it is told.
# shellcheck source=tests/lib/lab.sh
. "${0%/*}/../lib/lab.sh"
lab_need

cat >"$scratch/guest.sh" <<'END'
eval "$(viaduct lab image --add "$1=/bin/tests/added")" || exit 1
guest()
{
	qemu-system-x86_64 -M microvm,acpi=on,pcie=on -accel kvm -cpu host -m 256 -nodefaults -no-reboot \
		-display none -serial stdio -kernel "$kernel" -initrd "$initrd" \
		-netdev hubport,id=n,hubid=0 -device virtio-net-pci,netdev=n \
		-append "console=ttyS0 quiet $*" </dev/null
}
guest "viaduct.run=$(printf 'cat /bin/tests/added; cat /sys/class/net/eth0/address; exit 3' | base64 -w0)"
END
echo "content of the added file" >"$scratch/added"

it "runs the script of its command line with its drivers loaded, and powers off"
lab_run -- bash "$scratch/guest.sh" "$scratch/added"
equal "$status" 0 "exit status"
seen=$(tr -d '\r' <"$out" | grep -vE '^\[')
equal "$seen" "viaduct-guest: userspace
content of the added file
52:54:00:12:34:56
viaduct-guest: status 3" "the guest's console"

it "is the same image for the same content, another for another"
one=$(viaduct lab image --add "$scratch/added=/bin/x")
equal "$(viaduct lab image --add "$scratch/added=/bin/x")" "$one" "second result"
echo other >"$scratch/added"
holds "changed content gave the old image" test "$(viaduct lab image --add "$scratch/added=/bin/x")" != "$one"
done_testing
