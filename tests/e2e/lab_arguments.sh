#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016,SC2119
# Wrong arguments and missing tools end in a message that says what to do, before anything is booted.
# shellcheck source=tests/lib/lab.sh
. "${0%/*}/../lib/lab.sh"
lab_need

# refused STATUS REGEX COMMAND...
refused()
{
	local want=$1 regex=$2

	shift 2
	status=0
	timeout 60 "$@" >"$out" 2>"$err" </dev/null 9>&- || status=$?
	it "refuses: $*"
	equal "$status" "$want" "exit status"
	matches "$(cat "$err")" "$regex" "message"
	equal "$(cat "$out")" "" "stdout"
}

refused 2 'Usage: viaduct COMMAND' viaduct
refused 2 "unknown command 'frobnicate'" viaduct frobnicate
refused 2 "unknown command '../lab'" viaduct ../lab
refused 2 'Usage: viaduct lab' viaduct lab
refused 2 "unknown command 'walk'" viaduct lab walk
refused 2 'no command' viaduct lab run
refused 2 'no command' viaduct lab run --nic igb --
refused 2 'unrecognized option' viaduct lab run --frobnicate -- true
for bad in 0 -1 65 99999999999999999999 0x2 ' 2' 2x '' '2 '; do
	refused 2 '--cpus must be a number from 1 to 64' viaduct lab run "--cpus=$bad" -- true
done
for bad in 0 511 1048577 2G -2048; do
	refused 2 '--memory must be a number' viaduct lab run "--memory=$bad" -- true
done
refused 2 '--iommu must be one of vtd, vtd-eim, vtd-noir, amd, none' viaduct lab run --iommu smmu -- true
refused 2 '--nic must be one of igb, e1000, e1000e' viaduct lab run --nic igb,romfile=/etc/passwd -- true
nics=()
for _ in $(seq 9); do nics+=(--nic igb); done
refused 2 'at most 8 --nic' viaduct lab run "${nics[@]}" -- true
refused 2 '--nvme-vfs must be a number from 1 to' viaduct lab run --nvme-vfs 0 -- true
refused 2 '--nvme-vfs must be a number from 1 to' viaduct lab run --nvme-vfs 127 -- true
refused 2 "No such file" viaduct lab run --share /nonexistent -- true
refused 2 "not a directory" viaduct lab run --share /etc/hostname -- true
# shellcheck disable=SC2016,SC2119
for bad in '' '../../etc' '6.1;reboot' '$(reboot)' '-6' 'six' '6.1 '; do
	refused 2 '--kernel must be a version' viaduct lab run "--kernel=$bad" -- true
done
refused 125 'no kernel 9.99' viaduct lab run --kernel 9.99 -- true
refused 2 "takes no command" viaduct lab shell -- true
refused 2 "needs a terminal" viaduct lab shell
refused 2 '--add must be FILE=' viaduct lab image --add /etc/hostname
refused 2 '--add must be FILE=' viaduct lab image --add /etc/hostname=relative
refused 125 'no file /nonexistent' viaduct lab image --add /nonexistent=/bin/x
refused 125 'not a usable place' viaduct lab image --add /etc/hostname=/../x
refused 125 "image's own" viaduct lab image --add /etc/hostname=/init
refused 2 "unexpected argument 'x'" viaduct lab image x
refused 125 'console log /nonexistent/x' viaduct lab run --console /nonexistent/x -- true
refused 125 'is not an absolute path' env VIADUCT_CACHE=relative viaduct lab image

# A machine without the tool: only the programs linked here are on PATH.
mkdir "$scratch/bin"
for tool in bash sh cat cut sed awk sort head tail find mkdir mktemp mv cp rm ln sha256sum flock stat \
	grep touch readelf tr xz zstd apt-cache apt-get dpkg-deb depmod modprobe dirname chmod cpio busybox; do
	ln -s "$(PATH=$PATH:/usr/sbin:/sbin command -v $tool)" "$scratch/bin/$tool" 2>/dev/null
done
viaduct=$(command -v viaduct)
kernels=$(viaduct lab image | sed -n "s/^kernel='\(.*\/kernels\)\/.*/\1/p")
# without TOOL REGEX COMMAND...: an empty cache beside the kernels, and the tool hidden.
without()
{
	local tool=$1 regex=$2

	shift 2
	rm -rf "$scratch/cache"
	mkdir "$scratch/cache"
	ln -s "$kernels" "$scratch/cache/kernels"
	[ "$tool" = qemu ] || mv "$scratch/bin/$tool" "$scratch/hidden"
	refused 125 "$regex" env PATH="$scratch/bin" VIADUCT_CACHE="$scratch/cache" \
		"$viaduct" lab "$@"
	[ "$tool" = qemu ] || mv "$scratch/hidden" "$scratch/bin/$tool"
}
without qemu 'package qemu-system-x86 .*scripts/setup' run -- true
without cpio 'package cpio .*scripts/setup' run -- true
without cpio 'package cpio .*scripts/setup' image
without busybox 'package busybox-static .*scripts/setup' image

it "names what to install when QEMU has no igb"
cat >"$scratch/old-qemu" <<'END'
#!/bin/sh
echo "qemu-system-x86_64: -device igb: 'igb' is not a valid device model name" >&2
exit 1
END
chmod +x "$scratch/old-qemu"
refused 125 'qemu-system-x86 8.0 or newer.*backports.*scripts/setup' \
	env VIADUCT_QEMU="$scratch/old-qemu" viaduct lab run --nic igb -- true

it "passes QEMU's own complaint on"
cat >"$scratch/bad-qemu" <<'END'
#!/bin/sh
echo "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory" >&2
exit 1
END
chmod +x "$scratch/bad-qemu"
refused 125 'L1 did not boot.*Cannot allocate memory.*console: ' \
	env VIADUCT_QEMU="$scratch/bad-qemu" viaduct lab run -- true
it "does not believe all that L1 says"
cat >"$scratch/lying-qemu" <<'END'
#!/bin/bash
for arg; do
	case $arg in
	socket,id=control,fd=*) printf "$LAB_TEST_FRAME" >&"${arg##*=}" ;;
	esac
done
sleep 600
END
chmod +x "$scratch/lying-qemu"
# lies REGEX FRAME
lies()
{
	refused 125 "$1" env VIADUCT_QEMU="$scratch/lying-qemu" LAB_TEST_FRAME="$2" viaduct lab run -- true
}
lies 'frame of 4294967295 bytes' '\014\0\0\0\377\377\377\377'
lies 'unknown frame 255' '\377\0\0\0\0\0\0\0'
lies 'unknown frame 1' '\001\0\0\0\0\0\0\0'
lies 'credit for input it never got' '\012\0\0\0\0\0\0\0\015\0\0\0\004\0\0\0\001\0\0\0'
lies 'L1: no such luck' '\017\0\0\0\014\0\0\0no such luck'
rm -f "$TMPDIR"/viaduct-lab-console-*.log
nothing_left
done_testing
