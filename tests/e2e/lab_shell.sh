#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016,SC2119
# `viaduct lab shell` is a terminal: its size, its keys, its exit status; ours comes back as it was.
# shellcheck source=tests/lib/lab.sh
. "${0%/*}/../lib/lab.sh"
lab_need
command -v python3 >/dev/null || skip "no python3 to drive a terminal"

cat >"$scratch/drive.py" <<'END'
import fcntl, os, pty, select, struct, sys, termios, time

pid, fd = pty.fork()
if not pid:
    os.execvp("viaduct", ["viaduct", "lab", "shell"])

def resize(rows, cols):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

def expect(text, seconds=120):
    seen, end = b"", time.time() + seconds
    while text not in seen:
        if not select.select([fd], [], [], max(0, end - time.time()))[0]:
            sys.exit("waited for %r, saw %r" % (text, seen))
        try:
            data = os.read(fd, 65536)
        except OSError:
            data = b""
        if not data:
            sys.exit("wanted %r before the end, saw %r" % (text, seen))
        seen += data

resize(33, 77)
before = termios.tcgetattr(fd)
expect(b"# ")
os.write(fd, b"echo size=$(stty size) lab=$VIADUCT_IN_LAB\n")
expect(b"size=33 77 lab=1")
resize(40, 90)
# The new size takes its way through L1; ask until it is there.
os.write(fd, b"until [ \"$(stty size)\" = '40 90' ]; do sleep 0.1; done; echo re''sized\n")
expect(b"resized")
os.write(fd, b"sleep 100; echo not''reached\n")
time.sleep(1)
os.write(fd, b"\x03")
expect(b"# ")
mode = sys.argv[1]
os.write(fd, b"exit 5\n" if mode == "exit" else b"\x1d\x1d\x1d")
while True:
    try:
        if not os.read(fd, 65536):
            break
    except OSError:
        break
    if termios.tcgetattr(fd)[3] == before[3]:
        break
status = os.waitpid(pid, 0)[1]
print(os.waitstatus_to_exitcode(status), "restored" if termios.tcgetattr(fd)[3] == before[3] else "raw")
END

it "works as a terminal and ends with the shell's status"
timeout 200 python3 "$scratch/drive.py" exit >"$out" 2>"$err" 9>&-
equal "$(cat "$out")" "5 restored" "status and terminal"
nothing_left

it "switches off on three times Ctrl-]"
timeout 200 python3 "$scratch/drive.py" escape >"$out" 2>"$err" 9>&-
equal "$(cat "$out")" "143 restored" "status and terminal"
nothing_left
done_testing
