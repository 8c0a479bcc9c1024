#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: docs/man/build.sh SCDOC PAGE.scd
# One page as roff on standard output. Two comments of the source are replaced before scdoc reads it,
# so that nothing is written twice:
#   ; include FILE    by that file of this folder
#   ; pages PATTERN   by name and purpose of the pages it matches, from their NAME sections
set -eu
scdoc=$1
dir=$(dirname "$2")

# Functions are one level below their program: viaduct-?* must not list viaduct-vf-carve.
pages()
{
	for page in "$dir"/$1.1.scd; do
		name=$(basename "$page" .1.scd)
		case $name in "${1%%\?\**}"*-*) continue ;; esac
		sed -n "s/^$name - \(.*\)/*$name*(1)\n\t\1\n/p" "$page"
	done
}

while IFS= read -r line; do
	case $line in
	"; include "*) cat "$dir/${line#; include }" ;;
	"; pages "*) pages "${line#; pages }" ;;
	*) printf '%s\n' "$line" ;;
	esac
done <"$2" | cat -s | "$scdoc"
