# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbered frames from one front end to another through a switch that may be killed at any moment, and an
account of each: what the rings prove about it, and what became of it."""
import time

from vhost_user_frontend import numbered, number_of


class Flow:
    """From @src to @dst, front ends with the addresses @src_mac and @dst_mac; @stream is in each frame.

    A switch that is killed has taken some frames from the sender's ring. The ring says which: those whose
    descriptors it has given back. crashed() reads that, and from then on

    - no frame that was given back comes again: what is used belongs to the guest, the successor cannot
      read it. If it had not been delivered it is lost;
    - every frame that was not given back is still in the ring, and the successor takes all of them, from
      the first one on and in order. If it had been delivered already it is repeated.

    The switch has at most one burst in hand between the two rings, so each kill costs at most so many
    lost and so many repeated frames. The successor may meet the sender before the receiver; what it then
    drops, from the first one on, it counts. Anything else is an error, told in `wrong`."""

    def __init__(self, src, dst, src_mac, dst_mac, stream, window):
        self.src, self.dst, self.macs, self.stream, self.window = src, dst, (dst_mac, src_mac), stream, window
        self.sent = self.returned = self.due = 0  # due: the number that comes next
        self.resume = None  # after a crash: the first number that had not been given back
        self.lost, self.repeated, self.missed = [], [], []  # of each crash; missed: at the next start
        self.delivered = 0
        self.others = 0  # frames that are none of ours
        self.wrong = ""

    def push(self, most=32, publish=True):
        self.src.reap()
        self.returned = self.sent - len(self.src.rings[1].chains)
        # What was missed at a start does not come any more.
        last = self.due if self.resume is None else max(self.due, self.returned)
        n = min(most, self.window - (self.sent - last))
        if n > 0:
            self.sent += self.src.send_frames(
                [numbered(self.sent + i, *self.macs, 60 + (self.sent + i) * 37 % 1400, self.stream) for i in range(n)],
                publish=publish)

    def take(self, frames):
        """What @dst has received."""
        for f in frames:
            if f[:6] != self.macs[0] or f[6:12] != self.macs[1]:
                self.others += 1
                continue
            who = number_of(f)
            if not who or who[0] != self.stream:
                self.wrong = self.wrong or f"a frame is not whole: {f[:40].hex()}"
                continue
            number = who[1]
            if self.resume is not None:
                if number < self.resume:
                    self.wrong = self.wrong or f"frame {number} came again, but {self.resume} was the first not given back"
                self.account(number)
            if number != self.due:
                self.wrong = self.wrong or f"frame {number} where {self.due} was due"
            self.due = number + 1
            self.delivered += 1

    def crashed(self):
        """The switch is dead: read what the rings say."""
        self.src.reap()
        self.returned = self.sent - len(self.src.rings[1].chains)
        self.take(self.dst.receive(refill=False))
        if self.resume is not None:  # nothing has come since the last one
            self.account(self.returned)
        self.resume = self.returned

    def account(self, number):
        """The first frame since a crash is this one."""
        self.lost.append(max(0, self.resume - self.due))
        self.repeated.append(max(0, self.due - number))
        self.missed.append(max(0, number - max(self.due, self.resume)))
        self.due, self.resume = number, None

    def settled(self):
        """Whether all that was sent has come and its descriptors are back."""
        self.src.reap()
        return self.due == self.sent and not self.src.rings[1].chains


def pump(flows, seconds, until=None):
    """Frames through all flows for so long, or until @until() is true. Both ways between the same front
    ends are fine. Returns whether @until() came true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for f in flows:
            f.push()
        collect(flows)
        if until and until():
            return True
    return False


def collect(flows):
    for f in flows:
        f.take(f.dst.receive())
