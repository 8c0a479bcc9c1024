#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: build.sh INIT [VERSION]
# Builds L1's initramfs (the static program INIT, and the modules L1 uses) unless the cache has it.
# Prints three lines: kernel image, initramfs, module tree.
set -euo pipefail
here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
# shellcheck source=lab/lib.sh
. "$here/../lib.sh"

# First the five that reach the root file system and the control port, then what a host has loaded.
modules="virtio_pci virtio_console 9pnet_virtio 9p overlay
kvm-amd vfio-pci vfio_iommu_type1 igb igbvf e1000 e1000e nvme virtio_net tun"

init=$1
version=${2:-}
cache=$(cache_dir)
rel=$(kernel_release "$version")
[ -x "$init" ] || die "$init is missing: build the project first (ninja -C build)"

hash=$({ printf '%s\n' "$rel" "$modules"; cat "$init" "$here/../lib.sh" "$here/build.sh"; } | inputs_hash)
image=$cache/images/host-$rel-$hash.cpio
if [ ! -e "$image" ] || [ ! -e "$cache/kernels/$rel/.complete" ]; then
	cache_lock
	work_dir
	kernel_fetch "$rel"
	[ -n "$version" ] || kernel_default_set "$rel"
	if [ ! -e "$image" ]; then
		mkdir -p "$work"/tree/{proc,sys,dev,lower,rw,root}
		cp "$init" "$work/tree/init"
		# shellcheck disable=SC2086
		modules_stage "$rel" "$work/tree/modules" $modules >"$work/order"
		mv "$work/order" "$work/tree/modules.load"
		archive_pack "$work/tree" "$image"
		images_prune
	fi
fi
printf '%s\n' "$cache/kernels/$rel/boot/vmlinuz-$rel" "$image" "$cache/kernels/$rel/lib/modules/$rel"
