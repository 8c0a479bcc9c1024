#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# systemd takes the units as they are meant: no unknown key, no ordering cycle, the sandbox closed; udev's rule
# names the unit that exists.
# Usage: vf_units.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
source=$1
units=$2/cli
command -v systemd-analyze >/dev/null || { echo "SKIP: no systemd-analyze here"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail()
{
	printf 'FAIL: %s\n' "$*" >&2
	exit 1
}

for unit in viaduct-vf.service viaduct-vf@.service; do
	grep -q '@[a-z]*@' "$units/$unit" && fail "$unit: something was not filled in"
	# The program is not installed yet; its arguments stay.
	sed -E 's#^(Exec[A-Za-z]+=)[^ ]+/viaduct #\1/bin/true #' "$units/$unit" >"$dir/$unit"
	grep -q '^ExecStart=/bin/true vf apply .*/etc/viaduct/vf.yaml$' "$dir/$unit" ||
		fail "$unit does not apply the file"
done
for unit in viaduct-vf.service viaduct-vf@.service; do
	said=$(SYSTEMD_UNIT_PATH="$dir:" systemd-analyze verify --man=no --recursive-errors=no "$dir/$unit" 2>&1) ||
		fail "$unit: $said"
	# What is wrong but ignored is only said.
	if grep -F "$dir" <<<"$said" | grep -q .; then
		fail "$unit: $said"
	fi
done
systemd-analyze security --offline=yes --threshold=45 "$dir/viaduct-vf.service" >"$dir/score" 2>&1 ||
	fail "the sandbox is more open than it was: $(tail -1 "$dir/score")"

rules=$source/cli/90-viaduct-vf.rules
if udevadm verify --help >/dev/null 2>&1; then
	udevadm verify "$rules" || fail "udev does not take the rules"
fi
[ "$(grep -c 'SYSTEMD_WANTS}+="viaduct-vf@\$\(kernel\|id\)\.service"' "$rules")" = 2 ] ||
	fail "the rules do not start viaduct-vf@.service"
echo "the units hold"
