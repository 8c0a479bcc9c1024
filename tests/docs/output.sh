#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: output.sh VIADUCT
# A command whose output could not be written says so and fails, whatever it had to say.
viaduct=$1
failures=0
count=0
err=$(mktemp)
trap 'rm -f "$err"' EXIT

# full COMMAND...: /dev/full takes nothing.
full()
{
	local status=0

	count=$((count + 1))
	"$viaduct" "$@" >/dev/full 2>"$err" </dev/null || status=$?
	if [ "$status" != 1 ] || [ "$(grep -c '^viaduct.*: standard output could not be written' "$err")" != 1 ]; then
		echo "FAILED: viaduct $* >/dev/full: status $status, stderr: $(cat "$err")"
		failures=$((failures + 1))
	fi
}

full --version
for command in "" doctor info lab run switch vf "vf list" "switch mirror"; do
	# shellcheck disable=SC2086
	full $command --help
done
full doctor
full doctor --json
full doctor --list
full info --json
full vf list --json
full vf show --json
full vf lease list --json
full vf stats
full vf stats --json

# A closed stdout is one that cannot be written; nothing to say is no failure.
count=$((count + 1))
"$viaduct" --version >&- 2>"$err" && echo "FAILED: a closed stdout is not noticed" && failures=$((failures + 1))
count=$((count + 1))
"$viaduct" nonsense >/dev/full 2>"$err"
if [ $? != 2 ] || grep -q written "$err"; then
	echo "FAILED: without output: $(cat "$err")"
	failures=$((failures + 1))
fi
echo "$((count - failures)) of $count as they should be"
[ "$failures" = 0 ]
