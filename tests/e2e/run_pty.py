#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Run COMMAND (a `viaduct run` whose guest gives a shell) on a terminal of its own.

run_pty.py escape LOG COMMAND...       type, use the escape key, end with Ctrl-A x
run_pty.py signal:SIG:MS LOG COMMAND.. send signal SIG after MS milliseconds

Prints what was seen, a line each; the console goes to LOG."""
import os
import pty
import select
import signal
import sys
import termios
import time

how, log, command = sys.argv[1], open(sys.argv[2], "wb"), sys.argv[3:]
master, slave = pty.openpty()
before = termios.tcgetattr(slave)
seen = b""


def pump(until, seconds):
    """Read the terminal until it shows `until`, after what was waited for before."""
    global seen
    end = time.monotonic() + seconds
    while until is None or until not in seen:
        left = end - time.monotonic()
        if left <= 0:
            return False
        if select.select([master], [], [], min(left, 0.2))[0]:
            data = os.read(master, 4096)
            log.write(data)
            log.flush()
            seen += data
        elif until is None and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return True
    seen = seen.split(until, 1)[1]
    return True


# Python's own handler would swallow a signal that comes before exec.
signal.signal(signal.SIGINT, signal.SIG_DFL)
pid = os.fork()
if pid == 0:
    os.setsid()
    os.close(master)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.close(slave)
    # A session of its own with this terminal, as a shell's job would have it.
    os.close(os.open(os.ttyname(0), os.O_RDWR))
    os.execvp(command[0], command)

if how == "escape":
    if not pump(b"viaduct-guest: status 0", 60):
        print("the guest did not start")
    flags = termios.tcgetattr(slave)[3]
    print("cooked" if flags & (termios.ICANON | termios.ECHO | termios.ISIG) else "raw")
    pump(b"/ # ", 10)
    os.write(master, b"echo $((40 + 2))\r")
    print("echoed" if pump(b"\n42\r", 10) else "no echo")
    os.write(master, b"head -c 1 | od -An -tx1\r")
    time.sleep(2)
    os.write(master, b"\x01\x01\n")
    print("one escape key" if pump(b" 01\r", 10) else "no escape key")
    os.write(master, b"\x01x")
else:
    _, name, ms = how.split(":")
    pump(None, int(ms) / 1000)
    os.kill(pid, getattr(signal, name))

if not pump(None, 20):
    print("killed")
    os.kill(pid, signal.SIGKILL)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print("status", status if status >= 0 else 128 - status)
print("restored" if termios.tcgetattr(slave) == before else "not restored")
