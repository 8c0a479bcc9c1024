#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016,SC2119
# Ended by a signal at any moment, the lab leaves no process and no file behind.
# shellcheck source=tests/lib/lab.sh
. "${0%/*}/../lib/lab.sh"
lab_need

seed=${LAB_TEST_SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed"

# ended_by SIGNAL STATUS SECONDS
ended_by()
{
	local pid

	# A shell in the background ignores SIGINT for its children; env puts it back.
	env --default-signal=INT,HUP,TERM viaduct lab run --nic igb -- sh -c 'echo started; sleep 600' \
		>"$out" 2>"$err" 9>&- &
	pid=$!
	# Until env has put the signals back, SIGINT is ignored and would be lost.
	until [[ $(cat "/proc/$pid/comm") == viaduct* ]]; do :; done
	sleep "$3"
	kill -s "$1" "$pid"
	wait "$pid"
	equal $? "$2" "exit status after SIG$1 at $3 s"
	equal "$(cat "$err")" "" "stderr"
	nothing_left
}

for round in INT:130 TERM:143 HUP:129 INT:130 TERM:143 HUP:129; do
	delay=$((RANDOM % 8)).$((RANDOM % 10))
	it "goes away on SIG${round%:*} after $delay s"
	ended_by "${round%:*}" "${round#*:}" "$delay"
done

it "goes away at once, before it has started anything"
ended_by TERM 143 0.005

it "takes the machine along when it is killed outright"
env viaduct lab run -- sleep 600 >"$out" 2>"$err" 9>&- &
pid=$!
sleep 3
kill -9 "$pid"
wait "$pid" 2>/dev/null
nothing_left

it "leaves nothing of an image build that is cut short"
mkdir "$scratch/cache"
release=$(viaduct lab image | sed -n "s/^kernel='\(.*\)\/kernels\/.*/\1/p")
ln -s "$release/kernels" "$scratch/cache/kernels"
for delay in 0.02 0.05 0.1 0.15 0.2 0.3; do
	VIADUCT_CACHE=$scratch/cache env --default-signal=INT viaduct lab image >"$out" 2>"$err" 9>&- &
	pid=$!
	sleep $delay
	kill -INT "$pid" 2>/dev/null
	wait "$pid"
	equal "$(find "$scratch/cache" -name 'tmp.*')" "" "temporary directories after $delay s"
	equal "$(find "$scratch/cache/images" -type f -size -100k 2>/dev/null)" "" "truncated images"
done
VIADUCT_CACHE=$scratch/cache viaduct lab image >"$out" 2>"$err"
equal $? 0 "status of an undisturbed build"

it "builds one image when two ask at once"
rm -rf "$scratch/cache/images"
VIADUCT_CACHE=$scratch/cache viaduct lab image >"$scratch/one" 2>"$err" &
pid=$!
VIADUCT_CACHE=$scratch/cache viaduct lab image >"$scratch/two" 2>>"$err"
equal $? 0 "status of the one"
wait "$pid"
equal $? 0 "status of the other"
equal "$(cat "$scratch/one")" "$(cat "$scratch/two")" "their results"
nothing_left
done_testing
