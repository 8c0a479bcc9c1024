#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 of `viaduct switch` and of guests, under traffic, at any moment.

The switch: numbered frames go both ways between two guests while it is killed and started again, in both
socket directions, with split and packed rings, with and without an inflight region. What the rings prove
must hold of every frame (tests/lib/switch_flow.py says what that is), the guests' rings go on where they
were, and nothing is reset. A guest: it is killed while it sends and receives; the switch forgets it
without a trace and other guests lose nothing.
Usage: switch_restart.py BUILD_DIR [SEED]
"""
import os
import random
import signal
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from switch import Switch, build_dir, check, result, wait_for  # noqa: E402
from switch_flow import Flow, collect, pump  # noqa: E402
from vhost_user_frontend import P_INFLIGHT, Frontend, number_of, numbered  # noqa: E402

A, B, C, X = (bytes.fromhex(f"0200000000{n}") for n in ("0a", "0b", "0c", "66"))
BURST = 64  # what the switch has in hand at most, VRING_BURST
WINDOW = 128  # frames on their way: with a burst that is repeated they fit into a ring
KILLS = 3  # of each kind
GUEST_KILLS = 12  # of each kind


def finish(flows, seconds=10):
    """Send no more, and wait for what was sent."""
    end = time.monotonic() + seconds
    while not all(f.settled() for f in flows) and time.monotonic() < end:
        collect(flows)
    return all(f.settled() for f in flows)


def between(sw, rnd, packed, server, inflight, kills):
    """Two guests while the switch is killed; returns the times to recover."""
    name = (f"{'packed' if packed else 'split'}, switch as {'client' if server else 'server'}"
            f"{', inflight region' if inflight else ''}")
    times = []
    kind = dict(server=server, packed=packed, inflight=inflight, quarantine=True)
    with Frontend(sw.path("a"), **kind) as a, Frontend(sw.path("b"), **kind) as b:
        sw.start()
        for fe in a, b:
            fe.start()
        wait_for(lambda: sw.up("a") and sw.up("b"))
        flows = [Flow(a, b, A, B, 1, WINDOW), Flow(b, a, B, A, 2, WINDOW)]
        pump(flows, 10, lambda: all(f.delivered > 300 for f in flows))
        for _ in range(kills):
            pump(flows, rnd.uniform(0.01, 0.15))
            # All that is allowed to be on its way at once, and the kill in the middle of it.
            finish(flows)
            for f in flows:
                f.push(WINDOW, publish=False)
            for fe in a, b:
                fe.publish(1)
            until = time.perf_counter() + rnd.uniform(0, 150e-6)
            while time.perf_counter() < until:
                pass
            sw.kill()
            for f in flows:
                f.crashed()
            before = [f.delivered for f in flows]
            begin = time.monotonic()
            sw.start(wait=False)
            for fe in a, b:
                fe.start()
            if not pump(flows, 10, lambda: any(f.delivered > n for f, n in zip(flows, before))):
                check(f"{name}: frames flow again", False, sw.said()[-300:])
                break
            times.append(time.monotonic() - begin)
            if not pump(flows, 10, lambda: all(f.delivered > n + 100 for f, n in zip(flows, before))):
                check(f"{name}: frames flow again both ways", False, sw.said()[-300:])
                break
            missed = sum(f.missed[-1] for f in flows)
            dropped = sum(sw.drops("a").values()) + sum(sw.drops("b").values())
            if missed != dropped:
                flows[0].wrong = flows[0].wrong or f"{missed} frames missed at a start, {dropped} counted"
        done = finish(flows)
        wrong = [f.wrong for f in flows if f.wrong]
        lost, repeated, missed = (f[0] + f[1] for f in zip(*((f.lost, f.repeated, f.missed) for f in flows)))
        check(f"{name}: {kills} kills, {sum(f.delivered for f in flows)} frames, {sum(lost)} lost, "
              f"{sum(repeated)} repeated, {sum(missed)} dropped at a start, all accounted for", done and not wrong,
              "; ".join(wrong) or "not all that was sent came")
        check(f"{name}: at most a burst is lost or repeated", max(lost + repeated, default=0) <= BURST, f"{lost}, {repeated}")
        again = [f.delivered for f in flows]
        pump(flows, 10, lambda: all(f.delivered > n + 3 * a.num for f, n in zip(flows, again)))
        check(f"{name}: every descriptor is still of use", finish(flows) and not any(f.wrong for f in flows),
              "; ".join(f.wrong for f in flows))
        check(f"{name}: nothing is written into what was given back", not a.trespassed + b.trespassed,
              f"{a.trespassed} and {b.trespassed} buffers")
        check(f"{name}: nothing beside the memory has changed", a.mem.guards_intact() and b.mem.guards_intact())
        if inflight and not a.protocol >> P_INFLIGHT & 1:
            print("not tried: the switch offers no inflight region")
        sw.stop()
    return times


def victim(path, server, packed, stream):
    """A process that is a guest until it is killed: sends to C, receives."""
    child = os.fork()
    if child:
        return child
    try:
        x = Frontend(path, server=server, packed=packed)
        x.start()
        n = 0
        while os.getppid() != 1:
            n += x.send_frames([numbered(n + i, C, X, 300, stream) for i in range(32)])
            x.receive()
    finally:
        os._exit(0)


def guests_die(sw, rnd, kills):
    with sw, Frontend(sw.path("a")) as a, Frontend(sw.path("b")) as b, Frontend(sw.path("c")) as c:
        for fe in a, b, c:
            fe.start()
        wait_for(lambda: all(sw.up(n) for n in "abc"))
        flow = Flow(a, b, A, B, 1, WINDOW)
        c.send_frames([numbered(0, X, C)])
        pump([flow], 5, lambda: flow.delivered > 300)
        seen = {"n": 0, "stream": 100}

        def alive():
            """The victim's frames come; give it some."""
            for f in c.receive():
                who = number_of(f)
                if who and who[0] == seen["stream"]:
                    seen["n"] += 1
            c.send_frames([numbered(i, X, C, 500, 8) for i in range(8)])
            return seen["n"] > 200

        def round_of(port, server, packed):
            seen["n"] = 0
            seen["stream"] += 1  # frames of the one before may still come
            child = victim(sw.path(port), server, packed, seen["stream"])
            came = pump([flow], 10, alive)
            pump([flow], rnd.uniform(0, 0.02), lambda: alive() and False)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            if server:
                os.unlink(sw.path(port))
            return came and wait_for(lambda: pump([flow], 0.01) or not sw.up(port))

        kinds = [(port, server, packed) for port, server in (("x", False), ("y", True)) for packed in (False, True)]
        for kind in kinds:
            round_of(*kind)
        descriptors, memory = sw.descriptors(), sw.resident()
        finish([flow])
        counted = sw.port("b")["tx-packets"], flow.delivered
        for port, server, packed in kinds:
            good = [round_of(port, server, packed) for _ in range(kills)]
            check(f"a guest is killed {kills} times, {'packed' if packed else 'split'}, switch as "
                  f"{'client' if server else 'server'}: it comes back each time", all(good), f"{good}")
        check("no descriptors are left of them", wait_for(lambda: sw.descriptors() <= descriptors),
              f"{descriptors} before, {sw.descriptors()} after")
        # AddressSanitizer keeps what is freed for a while.
        with open(f"{build_dir()}/cli/viaduct-switch", "rb") as f:
            spare = 65536 if b"__asan_init" in f.read() else 1024
        check("no memory is left of them", sw.resident() <= memory + spare, f"{memory} KiB before, {sw.resident()} after")
        done = finish([flow])
        check(f"another guest's {flow.delivered} frames all came, once, in order", done and not flow.wrong, flow.wrong)
        want = counted[0] + flow.delivered - counted[1]
        check("and were counted", wait_for(lambda: sw.port("b")["tx-packets"] == want, 2) and not sw.drops("b"),
              f"{want} wanted, {sw.port('b')['tx-packets']}; {sw.drops('b')}")
        check("ends when told to", sw.stop() == 0)


def main():
    build = build_dir()
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print("seed", seed)
    rnd = random.Random(seed)
    times = []
    for server in False, True:
        ports = "\n".join(f"- {{name: {n}, vhost-user: @/{n}{', client: true' if server else ''}}}" for n in "ab")
        for packed in False, True:
            for inflight in False, True:
                sw = Switch(build, ports)
                try:
                    times += between(sw, rnd, packed, server, inflight, KILLS)
                finally:
                    sw.__exit__()
    print(f"from the start of a process to the first frame: median {statistics.median(times) * 1000:.0f} ms, "
          f"worst {max(times) * 1000:.0f} ms of {len(times)}")
    # What is sent to a guest that is gone is flooded: not to those whose frames are counted.
    ports = "\n".join(f"- {{name: {n}, vhost-user: @/{n}, vlan: {{access: {2 if n in 'ab' else 1}}}"
                      f"{', client: true' if n == 'y' else ''}}}" for n in "abcxy")
    guests_die(Switch(build, ports), rnd, GUEST_KILLS)
    return result()


if __name__ == "__main__":
    sys.exit(main())
