#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: build.sh VERSION [FILE=DEST...]
# Builds the guests' initramfs (busybox, guest drivers, init, and each FILE as DEST) unless the cache
# has it. An empty VERSION is the distribution's own kernel. Prints the kernel image, the initramfs.
set -euo pipefail
here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
# shellcheck source=lab/lib.sh
. "$here/../lib.sh"

modules="virtio_pci virtio_net virtio_blk virtio_console igbvf igb e1000 e1000e nvme button evdev"

version=$1
shift
for add in "$@"; do
	[ -f "${add%%=*}" ] || die "--add $add: no file ${add%%=*}"
	case ${add#*=}/ in
	*/../* | *//* | /proc/* | /sys/* | /dev/*) die "--add $add: not a usable place in the image" ;;
	/init/) die "--add $add: /init is the image's own" ;;
	/?*) ;;
	*) die "--add $add: write FILE=/PATH/IN/GUEST" ;;
	esac
done

cache=$(cache_dir)
rel=$(kernel_release "$version")
need busybox busybox-static
busybox=$(command -v busybox)
hash=$({
	printf '%s\n' "$rel" "$modules" "${@#*=}"
	cat "$busybox" "$here/../lib.sh" "$here/build.sh" "$here/init"
	for add in "$@"; do
		stat -L -c %a "${add%%=*}"
		sha256sum <"${add%%=*}"
	done
} | inputs_hash)
image=$cache/images/guest-$rel-$hash.cpio
if [ ! -e "$image" ] || [ ! -e "$cache/kernels/$rel/.complete" ]; then
	# A dynamic one needs libraries that the image has not.
	case $(LC_ALL=C readelf -l "$busybox" 2>/dev/null || true) in
	*INTERP*) die "busybox is not a static program: install the Debian package busybox-static" ;;
	esac
	cache_lock
	work_dir
	kernel_fetch "$rel"
	[ -n "$version" ] || kernel_default_set "$rel"
	if [ ! -e "$image" ]; then
		tree=$work/tree
		mkdir -p "$tree"/{bin,sbin,usr/bin,usr/sbin,etc,root,proc,sys,dev,tmp,run}
		cp "$here/init" "$tree/init"
		chmod 755 "$tree/init"
		"$busybox" --list-full | while read -r link; do
			ln -sf /bin/busybox "$tree/$link" 2>/dev/null || true
		done
		rm -f "$tree/bin/busybox"
		cp "$busybox" "$tree/bin/busybox"
		# shellcheck disable=SC2086
		modules_stage "$rel" "$tree/lib/modules/$rel/kernel" $modules >/dev/null
		depmod -b "$tree" "$rel" 2>/dev/null
		find "$tree/lib/modules/$rel" -name '*.bin' -delete # busybox reads the text
		for add in "$@"; do
			mkdir -p "$tree$(dirname "${add#*=}")"
			cp -L "${add%%=*}" "$tree${add#*=}"
		done
		archive_pack "$tree" "$image"
		images_prune
	fi
fi
printf '%s\n' "$cache/kernels/$rel/boot/vmlinuz-$rel" "$image"
