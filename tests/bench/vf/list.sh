#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `viaduct vf list` on 256 synthetic VFs: the library with a fake of rtnetlink (vf-list-bench), and the
# whole command on the same files below --root, where there is no rtnetlink. Fastest and median of 21.
# Usage: list.sh BUILD_DIR
set -eu
build=$(cd "${1:-build}" && pwd)
topologies=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../unit/vf-manager/topologies" && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
"$build/tests/unit/vf-manager/topologies/topology-make" "$topologies/synthetic-256.topo" "$root"
printf 'library  '
"$build/tests/bench/vf-list-bench"
for args in "list" "list --json" "show"; do
	for _ in $(seq 21); do
		start=$(date +%s%N)
		# shellcheck disable=SC2086
		"$build/cli/viaduct-vf" $args --root "$root" --run-dir "$root/run" >"$root/out"
		echo $((($(date +%s%N) - start) / 10000))
	done | sort -n | awk -v what="$args" '
		{ ms[NR] = $1 / 100 }
		END { printf "%-12s min %.1f ms, median %.1f ms\n", what, ms[1], ms[int((NR + 1) / 2)] }'
done
