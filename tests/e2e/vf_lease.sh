#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Who has which VF: guests lease theirs and lose the lease with their life; a pool of two PFs; what is
# in use is neither rebound nor destroyed, and --force says first who loses what; release puts settings
# and driver back.
# shellcheck disable=SC2012,SC2154
# shellcheck source=tests/lib/run.sh
. "${0%/*}/../lib/run.sh"

before_lab()
{
	tiny=$(cd "$(dirname "$(command -v viaduct)")/../tests/guest" && pwd)/poweroff
	[ -f "$tiny" ] || skip "$tiny is not built"
	export tiny
}
in_lab --nic igb --nic igb --nvme-vfs 1

mapfile -t pfs < <(cd /sys/bus/pci/drivers/igb && printf "%s\n" 0000:*)
a=${pfs[0]} b=${pfs[1]}
vf_of() { basename "$(readlink "/sys/bus/pci/devices/$1/virtfn$2")"; }

vf() # ARGUMENTS of viaduct vf; leaves $status, $text and $ms
{
	local start

	start=$(date +%s%3N)
	status=0
	text=$(viaduct vf "$@" 2>&1) || status=$?
	ms=$(($(date +%s%3N) - start))
}

leased() # BDF OWNER: held by it
{
	viaduct vf lease list | grep -qE "^$1 +$2 .* held\$"
}

until_leased() # BDF OWNER
{
	for _ in $(seq 200); do
		leased "$1" "$2" && return 0
		sleep 0.1
	done
	fail "$2 has no lease of $1: $(viaduct vf lease list); $(cat "$scratch/$2.err")"
}

# A guest that only powers off.
short_guest() # OPTION...
{
	status=0
	timeout -k 5 60 viaduct run --kernel "$tiny" --memory 64 "$@" </dev/null >"$out" 2>"$err" ||
		status=$?
}

stop_guest() # NAME SIGNAL
{
	kill "-$2" "${guest_pid[$1]}"
	wait "${guest_pid[$1]}" 2>/dev/null
}

it "a guest leases its VF; another guest, bind, release, carve and free are refused, naming it"
carve "$a" 2
v0=${vf[0]} v1=${vf[1]}
guest_start one 'sleep 1000' --assign "$v0" --memory 128
until_leased "$v0" one
pid=${guest_pid[one]}
short_guest --assign "$v0" --name two
equal "$status" 1 "exit status of the second guest"
matches "$(cat "$err")" "$v0 is leased by one \(process $pid\)" "what the second guest says"
for command in "bind $v0 igbvf" "release $v0" "carve $a 0" "lease free $v0"; do
	# shellcheck disable=SC2086
	vf $command
	equal "$status" 3 "exit status of '$command'"
	matches "$text" "one \(process $pid\)|viaduct:one \(process $pid\)" "'$command'"
	echo "  $command: refused in $ms ms"
done
equal "$(driver_of "$v0")" vfio-pci "its driver"

it "a kill -9 of the guest frees the lease at once"
stop_guest one KILL
matches "$(viaduct vf lease list)" "^$v0 +one .* stale\$" "the list"
short_guest --assign "$v0" --name two
equal "$status:$(cat "$err")" 0: "the next guest"
equal "$(viaduct vf lease list)" "" "leases left by a guest that ended well"

it "a lease taken for another command keeps guests out, and lets in what that command starts"
viaduct vf lease take --owner other "$v0" -- sleep 1000 &
holder=$!
until_leased "$v0" other
short_guest --assign "$v0"
equal "$status" 1 "exit status"
matches "$(cat "$err")" "leased by other \(process $holder\)" "what the guest says"
vf lease free --force "$v0"
equal "$status" 0 "exit status of a forced free"
matches "$text" "other \(process $holder\) loses its claim" "what it costs"
holds "the holder lives" kill -0 "$holder"
kill "$holder"
wait "$holder" 2>/dev/null
status=0
viaduct vf lease take "$v0" -- viaduct run --kernel "$tiny" --memory 64 --assign "$v0" \
	</dev/null >"$out" 2>"$err" || status=$?
equal "$status:$(cat "$err")" 0: "a guest under 'lease take'"
sleep 1000 &
holder=$!
vf lease take "$v0" --pid "$holder" --owner later
equal "$status" 0 "exit status of take --pid"
holds "it is leased" leased "$v0" later
kill "$holder"
wait "$holder" 2>/dev/null
for _ in $(seq 50); do [ -z "$(viaduct vf lease list)" ] && break; sleep 0.1; done
equal "$(viaduct vf lease list)" "" "leases after its end"

it "settings and driver are put back by release, of all VFs of a PF"
for v in "$v0" "$v1"; do viaduct vf release -q "$v"; done
before=$(ip link show "$netdev")
vf set "$v0" vlan=100 qos=3 trust=on
vf set "$v0" vlan=200
vf set "$v1" mac=02:00:00:00:00:77
vf bind "$v1" vfio-pci
vf release "$a"
equal "$status" 0 "exit status"
equal "$(ip link show "$netdev")" "$before" "what the PF gives them"
equal "$(driver_of "$v1")" none "the driver"
equal "$(find /run/viaduct/vf -maxdepth 1 -name '*.settings' -o -maxdepth 1 -name '*.driver')" "" "records left"

it "a VF whose interface is used is not taken from its driver, except by force"
vf bind "$v0" igbvf
own=$(ls "/sys/bus/pci/devices/$v0/net")
refused() # WHAT
{
	vf bind "$v0" vfio-pci
	equal "$status" 3 "exit status with $1"
	matches "$text" "$1" "what it says"
	vf carve "$a" 0
	equal "$status" 3 "exit status of carve with $1"
	equal "$(driver_of "$v0")" igbvf "its driver"
}
ip link set "$own" up
vf bind "$v0" vfio-pci
equal "$status" 0 "up alone, with the kernel's own link-local address, is no use: $text"
vf bind "$v0" igbvf
own=$(ls "/sys/bus/pci/devices/$v0/net")
ip addr add 10.77.0.1/24 dev "$own"
refused "has the address 10.77.0.1/24"
ip addr flush dev "$own"
ip link add br7 type bridge 2>/dev/null || modprobe bridge && ip link add br7 type bridge 2>/dev/null
if ip link set "$own" master br7 2>/dev/null; then
	refused "is in br7"
	ip link del br7
else
	echo "  no bridge here: not tried"
fi
if ip link add link "$own" name vl7 type vlan id 7 2>/dev/null; then
	refused "vl7 is on its interface"
	ip link del vl7
fi
unshare -n sleep 1000 &
ns=$!
for _ in $(seq 100); do
	[ "$(readlink "/proc/$ns/ns/net")" != "$(readlink /proc/self/ns/net)" ] && break
	sleep 0.05
done
ip link set "$own" netns "$ns"
refused "another network namespace"
vf bind --force "$v0" vfio-pci
equal "$status" 0 "exit status with --force"
matches "$text" "forced though .*namespace" "what it costs"
equal "$(driver_of "$v0")" vfio-pci "its driver"
kill "$ns"
wait "$ns" 2>/dev/null
vf release "$v0"

it "a PF with VFs is never unbound, and a mounted disk keeps its controller"
vf bind --whole --force "$a" vfio-pci
equal "$status" 3 "exit status"
matches "$text" "has 2 VFs" "what it says"
nvme=$(by_driver nvme)
if command -v mkfs.ext4 >/dev/null && mkfs.ext4 -q /dev/nvme0n1 && mkdir -p "$scratch/mnt" &&
	mount /dev/nvme0n1 "$scratch/mnt"; then
	vf bind --whole "$nvme" vfio-pci
	equal "$status" 3 "exit status"
	matches "$text" "mounted on $scratch/mnt" "what it says"
	umount "$scratch/mnt"
else
	echo "  no ext4 here: not mounted"
fi
sleep 1000 7</dev/nvme0n1 &
holder=$!
for _ in $(seq 100); do
	[ "$(cat "/proc/$holder/comm")" = sleep ] && break
	sleep 0.05
done
vf bind --whole "$nvme" vfio-pci
equal "$status" 3 "exit status while the disk is open"
matches "$text" "is open by sleep \(process $holder\)" "what it says"
kill "$holder"
wait "$holder" 2>/dev/null
equal "$(driver_of "$nvme")" nvme "its driver"

it "a pool of two PFs: each guest gets a VF of another PF, the third is refused"
vf carve "$a" 0
cat >"$scratch/pool.yaml" <<END
pfs:
  - {pf: "$a", num-vfs: 1, pool: fast}
  - {pf: "$b", num-vfs: 1, pool: fast}
END
vf apply "$scratch/pool.yaml"
equal "$status" 0 "exit status of apply: $text"
p0=$(vf_of "$a" 0) p1=$(vf_of "$b" 0)
guest_start g1 'sleep 1000' --assign pool=fast --memory 128
guest_start g2 'sleep 1000' --assign pool=fast,numa=prefer --memory 128
for _ in $(seq 200); do
	[ "$(viaduct vf lease list | grep -c held)" = 2 ] && break
	sleep 0.1
done
matches "$(viaduct vf lease list)" "^$p0 +g[12] .* held" "the lease of $p0"
matches "$(viaduct vf lease list)" "^$p1 +g[12] .* held" "the lease of $p1"
short_guest --assign pool=fast --name third
equal "$status" 1 "exit status of the third"
matches "$(cat "$err")" "pool fast: none of its 2 VFs is free" "what it says"
short_guest --assign pool=slow
matches "$(cat "$err")" "no PF is in pool slow" "an unknown pool"
for _ in $(seq 200); do
	[ "$(driver_of "$p0") $(driver_of "$p1")" = "vfio-pci vfio-pci" ] && break
	sleep 0.1
done
stop_guest g1 KILL
short_guest --assign pool=fast --name third
equal "$status:$(cat "$err")" 0: "the third, after a kill -9 of the first"
stop_guest g2 TERM
# What was killed gave nothing back; the other did.
equal "$( (driver_of "$p0"; driver_of "$p1") | sort | xargs)" "none vfio-pci" "the drivers"
vf release --all
equal "$status" 0 "exit status of release --all"
equal "$(driver_of "$p0") $(driver_of "$p1")" "none none" "the drivers"
clean

it "two starters on one pool, 10 rounds: never the same VF, and never none"
for round in $(seq 10); do
	for i in 1 2; do
		timeout -k 5 60 viaduct run --kernel "$tiny" --memory 64 --assign pool=fast --name "s$i" \
			</dev/null >"$scratch/s$i.out" 2>"$scratch/s$i.err" &
		starter[i]=$!
	done
	for i in 1 2; do
		wait "${starter[i]}" || fail "round $round, starter $i: $(cat "$scratch/s$i.err")"
	done
done
pass
clean
host_well
done_testing
