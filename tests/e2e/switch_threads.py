#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A switch with two threads between two guests with two queue pairs each: every frame once, whole and in
the order of its flow, while ports come and go beside them; queues that change threads; a thread that
sleeps and is woken by one frame, a thousand times; and the same with one thread.
Usage: switch_threads.py BUILD_DIR"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from switch import Switch, build_dir, check, result, skip, wait_for
from vhost_user_frontend import Frontend, number_of, numbered

PORTS = "- {name: a, vhost-user: @/a, queues: 2}\n- {name: b, vhost-user: @/b, queues: 2}"
MAC = {"a": bytes([2, 0, 0, 0, 0, 10]), "b": bytes([2, 0, 0, 0, 0, 11])}
WINDOW = 100  # of one flow; both flows of a guest fit in one queue of the other
FRAMES = 8000


class Flow:
    """Numbered frames from one queue of a guest to the other guest."""

    def __init__(self, guests, src, pair, stream):
        self.fe, self.pair, self.stream = guests[src], pair, stream
        self.macs = MAC["b" if src == "a" else "a"], MAC[src]
        self.sent = 0
        self.seen = []  # (number, the pair it came by)

    def push(self):
        n = min(32, WINDOW - (self.sent - len(self.seen)))
        if n > 0:
            self.sent += self.fe.send_frames(
                [numbered(self.sent + i, *self.macs, 60 + (self.sent + i) % 700, self.stream) for i in range(n)],
                pair=self.pair)

    def numbers(self):
        return [n for n, _ in self.seen]


class Traffic:
    """All four flows at once."""

    def __init__(self, guests, first):
        self.guests = guests
        self.flows = [Flow(guests, src, pair, first + i) for i, (src, pair) in
                      enumerate((s, p) for s in "ab" for p in (0, 1))]
        self.by_stream = {f.stream: f for f in self.flows}
        self.strange = 0

    def turn(self, more=True):
        for f in self.flows:
            if more and f.sent < FRAMES:
                f.push()
        for fe in self.guests.values():
            for pair in 0, 1:
                for frame in fe.receive(pair):
                    who = number_of(frame)
                    if who and who[0] in self.by_stream:
                        self.by_stream[who[0]].seen.append((who[1], pair))
                    else:
                        self.strange += 1

    def done(self):
        self.turn()
        return all(len(f.seen) >= FRAMES for f in self.flows)

    def complete(self):
        return all(sorted(f.numbers()) == list(range(f.sent)) for f in self.flows)

    def said(self):
        return ", ".join(f"{len(f.seen)} of {f.sent}" for f in self.flows) + f", {self.strange} strange"


def guests_start(sw):
    guests = {n: Frontend(sw.path(n), pairs=2, num=256) for n in "ab"}
    for fe in guests.values():
        fe.start()
        for pair in 0, 1:
            fe.fill(pair)
    check("both guests' links come up", wait_for(lambda: sw.up("a") and sw.up("b")))
    check("with two queues each", wait_for(lambda: all(len(sw.port(n)["rx-queues"]) == 2 for n in "ab")))
    for src, dst in ("a", "b"), ("b", "a"):
        guests[src].send_frames([numbered(0, b"\xff" * 6, MAC[src], 60, 99)])
        check(f"what {src} says to all comes to {dst}",
              wait_for(lambda: any(guests[dst].receive(p) for p in (0, 1))))
    return guests


def drops(sw):
    return {n: sw.drops(n) for n in "ab" if sw.drops(n)}


def test_order(sw, guests):
    """And ports that come and go meanwhile lose nothing for the others."""
    before = {n: sw.port(n) for n in "ab"}
    t, changes, end = Traffic(guests, 1), 0, time.monotonic() + 60
    while not t.done() and time.monotonic() < end:
        name = f"x{changes % 7}"
        sw.ask("port.add", config=f"{{name: {name}, vhost-user: {sw.path(name)}}}")
        for _ in range(5):
            t.turn()
        sw.ask("port.del", name=name)
        changes += 1
    wait_for(lambda: t.turn(False) or t.complete(), 5)
    check("every frame has come once and whole", t.complete() and not t.strange, t.said())
    check("in the order of its flow", all(f.numbers() == sorted(f.numbers()) for f in t.flows))
    check("each flow by one queue", all(len({p for _, p in f.seen}) == 1 for f in t.flows))
    check(f"while {changes} ports came and went", changes >= 20, changes)
    after = {n: sw.port(n) for n in "ab"}
    for n in "ab":
        for key in "rx-packets", "tx-packets":
            check(f"{key} of {n} says so", after[n][key] - before[n][key] == sum(
                f.sent for f in t.flows if (f.fe is guests[n]) == (key[0] == "r")))
    check("and nothing was dropped", not drops(sw), drops(sw))
    return {f.stream: f.seen[0][1] for f in t.flows if f.seen}


def test_moves(sw, guests, cores):
    """Queues change threads under traffic."""
    t, moves, end = Traffic(guests, 11), 0, time.monotonic() + 60
    while not t.done() and time.monotonic() < end:
        order = cores if moves % 2 else cores[::-1]
        for n in "ab":
            sw.ask("port.set",
                   config=f"{{name: {n}, vhost-user: {sw.path(n)}, queues: 2, rx-cores: [{order[0]}, {order[1]}]}}")
            if moves < 2:
                check(f"the queues of {n} are where rx-cores says",
                      [q["core"] for q in sw.port(n)["rx-queues"]] == order, sw.port(n)["rx-queues"])
        for _ in range(5):
            t.turn()
        sw.ask("balance")
        moves += 1
    wait_for(lambda: t.turn(False) or t.complete(), 5)
    check(f"nothing is lost or doubled while queues move {moves} times", t.complete() and moves >= 10, t.said())
    check("nor dropped", not drops(sw), drops(sw))


def test_wakes(sw, guests, pair):
    """@pair: by which b receives what a sends by its first queue."""
    before, missed = sw.ask("stats")["sleeps"], 0
    for i in range(1000):
        guests["a"].send_frames([numbered(i, MAC["b"], MAC["a"], 60, 50)])
        frames = guests["b"].wait(2, pair)
        missed += not any(number_of(f) == (50, i) for f in frames)
        # Long enough for it to fall asleep mostly; how often it did is looked at.
        time.sleep(0.0005)
    check("one frame wakes a switch that sleeps, 1000 times", not missed, f"{missed} missed")
    slept = sw.ask("stats")["sleeps"] - before
    check("which it did", slept >= 500, slept)


def test_threads(build, cores):
    top = f"cores: [{', '.join(map(str, cores))}]\n"
    with Switch(build, PORTS, top) as sw:
        guests = guests_start(sw)
        check("there is a thread on each core", [t["core"] for t in sw.ask("stats")["threads"]] == cores)
        if len(cores) > 1:
            used = {q["core"] for n in "ab" for q in sw.port(n)["rx-queues"]}
            check("each polls something", used == set(cores), used)
        try:
            sw.ask("port.add", config=f"{{name: c, vhost-user: {sw.path('c')}, rx-cores: [1000]}}")
            check("refuses a core that has no thread", False)
        except RuntimeError as e:
            check("refuses a core that has no thread", "no datapath thread on CPU 1000" in str(e), e)
        pairs = test_order(sw, guests)
        test_wakes(sw, guests, pairs.get(1, 0))
        if len(cores) > 1:
            test_moves(sw, guests, cores)
        for fe in guests.values():
            fe.close()
        check("ends when told to", sw.stop() == 0)


build = build_dir()
cpus = sorted(os.sched_getaffinity(0))
if len(cpus) < 2:
    skip("needs two CPUs")
for cores in [cpus[:2], cpus[:1]]:
    print(f"--- on CPUs {cores}")
    test_threads(build, cores)
sys.exit(result())
