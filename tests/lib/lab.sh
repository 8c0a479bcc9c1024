# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-or-later
# Helpers of the end-to-end tests; sourced by bash. A test file:
#
#	. "${0%/*}/../lib/lab.sh"
#	lab_need igb
#	it "says what should hold"
#	lab_run --nic igb -- sh -c 'echo out; exit 3'
#	equal "$status" 3 "exit status"
#	equal "$(cat "$out")" out "stdout"
#	done_testing
#
# meson puts the build tree's programs on PATH. VIADUCT_LAB_LOCK=FILE makes the tests of several build
# trees on one machine take turns.
set -u

# Where a test may leave files: gone with it, and the TMPDIR of all it starts.
scratch=$(mktemp -d)
export TMPDIR=$scratch/tmp
mkdir "$TMPDIR"
# Every process of this test carries it in its environment; see processes_left().
export VIADUCT_TEST_MARK="lab-$$-$RANDOM$RANDOM"
trap 'rm -rf "$scratch"' EXIT
out=$scratch/stdout
err=$scratch/stderr
status=0
failures=0
checks=0
current='test'

if [ -n "${VIADUCT_LAB_LOCK:-}" ]; then
	exec 9>"$VIADUCT_LAB_LOCK"
	flock 9
fi

# skip REASON: this machine cannot run the test.
skip()
{
	echo "SKIP: $*"
	exit 77
}

# lab_need [DEVICE...]: skip unless the lab, and these QEMU devices, can be had here.
lab_need()
{
	local device

	command -v viaduct >/dev/null || skip "viaduct is not on PATH: run 'meson test -C build'"
	command -v qemu-system-x86_64 >/dev/null ||
		skip "no qemu-system-x86_64: run ./scripts/setup"
	for device in "$@"; do
		qemu-system-x86_64 -device help 2>/dev/null | grep -q "^name \"$device\"" ||
			skip "this QEMU has no device $device: run ./scripts/setup"
	done
	viaduct lab image >/dev/null 2>"$scratch/image" ||
		skip "no kernel for the lab: $(tail -n 1 "$scratch/image")"
}

# it TEXT: what the checks that follow show.
it()
{
	current=$*
	echo "- $current"
}

fail()
{
	failures=$((failures + 1))
	echo "  FAILED: $current: $*"
	if [ -s "$err" ]; then
		tail -n 20 "$err" | sed 's/^/    stderr: /'
	fi
	# A guest's console, mostly: what it was at when it went wrong.
	if [ -s "$out" ]; then
		tail -n 12 "$out" | tr -d '\r' | sed 's/^/    stdout: /'
	fi
}

pass()
{
	checks=$((checks + 1))
}

# equal GOT WANTED WHAT
equal()
{
	if [ "$1" = "$2" ]; then
		pass
	else
		fail "$3 is '$1', not '$2'"
	fi
}

# matches TEXT EXTENDED-REGEX WHAT
matches()
{
	if grep -qE -- "$2" <<<"$1"; then
		pass
	else
		fail "$3 is '$1', which does not match '$2'"
	fi
}

# holds WHAT COMMAND...: the command succeeds.
holds()
{
	local what=$1

	shift
	if "$@"; then
		pass
	else
		fail "$what"
	fi
}

# lab_run [OPTION...] -- COMMAND...: leaves $status, and the streams in the files $out and $err.
lab_run()
{
	status=0
	timeout -k 10 "${LAB_TIMEOUT:-240}" viaduct lab run "$@" >"$out" 2>"$err" 9>&- || status=$?
}

# Processes that this test started and that are still there, besides its own shells.
processes_left()
{
	local dir pid

	for dir in /proc/[0-9]*; do
		pid=${dir#/proc/}
		if [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] &&
			grep -qz "^VIADUCT_TEST_MARK=$VIADUCT_TEST_MARK\$" "$dir/environ" 2>/dev/null &&
			grep -qaE 'qemu|viaduct|build\.sh' "$dir/cmdline" 2>/dev/null; then
			tr '\0' ' ' <"$dir/cmdline" 2>/dev/null
		fi
	done
}

# Nothing of the lab is left: no process, no file. A killed process may take a moment to go.
nothing_left()
{
	local left

	for _ in $(seq 50); do
		left=$(processes_left)
		[ -z "$left" ] && break
		sleep 0.1
	done
	equal "$left" "" "processes left"
	equal "$(ls -A "$TMPDIR")" "" "files left"
}

done_testing()
{
	if [ "$failures" != 0 ]; then
		echo "$failures failed, $checks passed"
		exit 1
	fi
	echo "$checks checks passed"
	exit 0
}
