# SPDX-License-Identifier: GPL-2.0-or-later
"""interrupts_report.py RAW [JSON]: what an interrupt costs, and a move of one.

RAW has lines of case, round, key and value, separated by tabs; round 0 is without traffic.
"""
import json
import statistics
import sys

IOCTLS = "routing", "irqfd", "signal_msi", "set_irqs"
MIN = 100  # interrupts that make a figure


def read(path):
    cases = {}
    for line in open(path):
        parts = line.rstrip("\n").split("\t")
        if len(parts) == 4:
            cases.setdefault(parts[0], {}).setdefault(int(parts[1]), {})[parts[2]] = parts[3]
    return cases


def figures(r, what):
    before, after = ([int(x) for x in r[f"{what}.guest.{end}"].split()[2:]] for end in "ab")
    blast = json.loads(r.get(what + ".blast") or "{}")
    f = {"msix": int(r[what + ".msix"]), "intx": int(r[what + ".intx"]),
         "guest_msix": after[0] - before[0], "guest_intx": after[1] - before[1],
         "exits": int(r[what + ".exits"]), "reasons": r[what + ".reasons"].strip(),
         "sent": blast.get("sent", 0), "back": blast.get("back", 0)}
    f.update({k: int(r[f"{what}.{k}"]) for k in IOCTLS})
    return f


def spread(values):
    return "%.2f (%.2f-%.2f)" % (statistics.median(values), min(values), max(values)) if values else "-"


def main():
    cases = read(sys.argv[1])
    out, verdicts = {}, []
    print("%-10s | %-20s %-20s | %-18s %-18s | %s" % (
        "", "exits per MSI-X", "exits per INTx", "ioctls per move", "of those, routing", "lost packets; host and guest MSI-X"))
    for c, rounds in cases.items():
        rows = {what: [figures(rounds[n], what) for n in sorted(rounds) if n] for what in ("msix", "intx", "moved")}
        moves = int(rounds[0]["moves"])
        per = {
            "exits_per_msix": [f["exits"] / f["msix"] for f in rows["msix"] if f["msix"] >= MIN],
            "exits_per_intx": [f["exits"] / f["intx"] for f in rows["intx"] if f["intx"] >= MIN],
            "ioctls_per_move": [sum(f[k] for k in IOCTLS) / moves for f in rows["moved"]],
            "routings_per_move": [f["routing"] / moves for f in rows["moved"]],
        }
        every = [f for fs in rows.values() for f in fs]
        lost = sum(f["sent"] - f["back"] for f in every)
        host, guest = sum(f["msix"] for f in every), sum(f["guest_msix"] for f in every)
        print("%-10s | %-20s %-20s | %-18s %-18s | %d of %d; %d and %d" % (
            c, spread(per["exits_per_msix"]), spread(per["exits_per_intx"]), spread(per["ioctls_per_move"]),
            spread(per["routings_per_move"]), lost, sum(f["sent"] for f in every), host, guest))
        out[c] = {"idle": figures(rounds[0], "idle"), "rounds": rows, "moves": moves, **per,
                  "lost": lost, "host_msix": host, "guest_msix": guest}
        if c == "viaduct":
            verdicts = [
                ("an MSI-X interrupt: no exit", max(per["exits_per_msix"], default=1), 0.01),
                ("an INTx: one exit", max(per["exits_per_intx"], default=2), 1.01),
                ("a move: one ioctl", max(per["ioctls_per_move"], default=2), 1.01),
                ("packets lost", lost, 0),
            ]
    for what, figure, limit in verdicts:
        print("%-6s %s: %.3g" % ("ok" if figure <= limit else "FAILED", what, figure))
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w") as f:
            json.dump({"cases": out, "criteria": [
                {"criterion": w, "figure": n, "limit": l, "holds": n <= l} for w, n, l in verdicts]}, f, indent=2)
            f.write("\n")
    return 0 if verdicts and all(n <= l for _, n, l in verdicts) else 1


sys.exit(main())
