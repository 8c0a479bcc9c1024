# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
# Shared by the image builders: where the cache is, which kernel, how modules and an archive are
# packed. Sourced by bash with `set -euo pipefail`; only results go to stdout, the rest to stderr.

PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C

say()
{
	printf 'lab: %s\n' "$*" >&2
}

die()
{
	say "$*"
	exit 1
}

# need TOOL PACKAGE
need()
{
	command -v "$1" >/dev/null 2>&1 ||
		die "'$1' not found: install the Debian package $2 (apt-get install $2) or run ./scripts/setup"
}

cache_dir()
{
	local base=${VIADUCT_CACHE:-}

	if [ -z "$base" ]; then
		base=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/viaduct
	fi
	case $base in
	/*) ;;
	*) die "the cache directory '$base' is not an absolute path: set VIADUCT_CACHE to one" ;;
	esac
	mkdir -p "$base" 2>/dev/null || [ -d "$base" ] ||
		die "cannot create the cache directory $base: set VIADUCT_CACHE to a writable place"
	printf '%s\n' "$base"
}

# A temporary directory in the cache, so that the final rename stays on one file system. It goes
# away with the script, however that ends; a leftover of a killed one goes after a day.
work_dir()
{
	[ -w "$cache" ] || die "the cache directory $cache is not writable"
	find "$cache" -maxdepth 1 -name 'tmp.*' -mtime +0 -exec rm -rf {} + 2>/dev/null || true
	work=$(mktemp -d "$cache/tmp.XXXXXXXX")
	trap 'rm -rf "$work"' EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# One builder at a time per cache; the second then finds the first one's result.
cache_lock()
{
	exec {lock_fd}>"$cache/.lock" || die "cannot lock the cache directory $cache"
	flock -n "$lock_fd" || {
		say "waiting for another build in $cache"
		flock "$lock_fd"
	}
}

# kernel_match PREFIX: releases on stdin that PREFIX names ("6.1" is 6.1.0-50-amd64, not 6.12...),
# newest last.
kernel_match()
{
	local prefix rel

	prefix=${1%-amd64}
	while read -r rel; do
		case ${rel%-amd64} in
		"$prefix" | "$prefix".* | "$prefix"-* | "$prefix"+*) printf '%s\n' "$rel" ;;
		esac
	done | sort -V
}

kernels_cached()
{
	local dir

	for dir in "$cache"/kernels/*-amd64; do
		if [ -e "$dir/.complete" ]; then
			printf '%s\n' "${dir##*/}"
		fi
	done
}

# Releases of the stock flavour that apt can download.
kernels_known()
{
	apt-cache pkgnames linux-image- 2>/dev/null | sed -n 's/^linux-image-\([0-9][^ ]*-amd64\)$/\1/p' |
		grep -Ev -- '-(cloud|rt|dbg)-' | grep -E -- '^[0-9]+\.[0-9]+\.[0-9]+' || true
}

# The release that the distribution's own linux-image-amd64 installs today.
kernel_default_release()
{
	apt-cache depends linux-image-amd64 2>/dev/null |
		sed -n 's/^ *Depends: linux-image-\([0-9].*-amd64\)$/\1/p' | head -n 1
}

# kernel_release [VERSION]: print the release to use, preferring what is in the cache.
kernel_release()
{
	local want=${1:-} rel

	case $want in
	'')
		if [ -e "$cache/kernels/default" ]; then
			rel=$(cat "$cache/kernels/default")
			if [ -e "$cache/kernels/$rel/.complete" ]; then
				printf '%s\n' "$rel"
				return
			fi
		fi
		need apt-cache apt
		rel=$(kernel_default_release)
		[ -n "$rel" ] ||
			die "apt knows no package linux-image-amd64: run 'apt-get update' or ./scripts/setup"
		;;
	*[!0-9a-z.+~-]* | [!0-9]*)
		die "'$want' is not a kernel version: give one such as 6.1 or 6.1.0-50" ;;
	*)
		rel=$(kernels_cached | kernel_match "$want" | tail -n 1)
		if [ -z "$rel" ]; then
			need apt-cache apt
			rel=$(kernels_known | kernel_match "$want" | tail -n 1)
		fi
		[ -n "$rel" ] ||
			die "no kernel $want: apt knows $(kernels_known | sort -V | tr '\n' ' ')(run ./scripts/setup to refresh)"
		;;
	esac
	printf '%s\n' "$rel"
}

# kernel_fetch RELEASE: download and unpack the package unless the cache has it. The machine's own
# /boot and package database are not touched.
kernel_fetch()
{
	local rel=$1 dir=$cache/kernels/$1 pkg=linux-image-$1

	if [ -e "$dir/.complete" ]; then
		return
	fi
	need apt-get apt
	need dpkg-deb dpkg
	need depmod kmod
	mkdir -p "$cache/kernels"
	say "fetching $pkg into $cache (about 70 MB)"
	mkdir "$work/deb" "$work/root"
	# apt's own sandbox user cannot write below a private cache directory.
	(cd "$work/deb" && apt-get -o APT::Sandbox::User=root -qq download "$pkg" >&2) ||
		die "cannot download $pkg: run ./scripts/setup, which refreshes apt's package lists"
	say "unpacking $pkg"
	dpkg-deb -x "$work"/deb/*.deb "$work/root"
	if [ ! -d "$work/root/lib/modules" ]; then
		mkdir -p "$work/root/lib"
		mv "$work/root/usr/lib/modules" "$work/root/lib/modules"
	fi
	[ -e "$work/root/boot/vmlinuz-$rel" ] || die "$pkg holds no boot/vmlinuz-$rel"
	depmod -b "$work/root" "$rel"
	touch "$work/root/.complete"
	rm -rf "$dir"
	mv -T "$work/root" "$dir"
}

# Remember RELEASE as what no version at all means, so that the next run need not ask apt.
kernel_default_set()
{
	printf '%s\n' "$1" >"$work/default"
	mv "$work/default" "$cache/kernels/default"
}

# module_copy FILE DEST: neither L1's init nor busybox unpacks a compressed module (6.12 has them).
module_copy()
{
	case $1 in
	*.xz)
		need xz xz-utils
		xz -dc "$1" >"$2"
		;;
	*.zst)
		need zstd zstd
		zstd -qdc "$1" >"$2"
		;;
	*) cp "$1" "$2" ;;
	esac
}

# modules_stage RELEASE DEST MODULE...: copy the modules and what they need to DEST, flat, and
# print their file names in the order in which they load. A builtin or absent one is no error.
modules_stage()
{
	local rel=$1 dest=$2 mod line file

	shift 2
	need modprobe kmod
	mkdir -p "$dest"
	for mod in "$@"; do
		modprobe -C /dev/null -d "$cache/kernels/$rel" -S "$rel" --show-depends "$mod" 2>/dev/null ||
			say "kernel $rel has no module $mod"
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r line; do
		file=${line##*/}
		file=${file%%.*}.ko
		module_copy "$line" "$dest/$file"
		printf '%s\n' "$file"
	done
}

# archive_pack TREE FILE: the tree as an uncompressed initramfs; a software CPU copies faster than
# it inflates. The rename makes it appear whole.
archive_pack()
{
	need cpio cpio
	(cd "$1" && find . | sort | cpio --quiet -o -H newc -R 0:0) >"$work/archive"
	mkdir -p "${2%/*}"
	mv "$work/archive" "$2"
}

# Images nobody has opened in a week belong to sources that have changed since.
images_prune()
{
	find "$cache/images" -type f -atime +7 -mtime +7 -delete 2>/dev/null || true
}

# inputs_hash: of everything on stdin.
inputs_hash()
{
	sha256sum | cut -c 1-16
}
