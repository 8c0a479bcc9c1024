# SPDX-License-Identifier: GPL-2.0-or-later
"""vf_traffic_report.py RAW [JSON]: what a packet through an assigned VF costs.

RAW has lines of case, round, key and value, separated by tabs; round 0 is without traffic.
"""
import json
import sys

PACKETS_MIN = 2000


def read(path):
    cases = {}
    for line in open(path):
        parts = line.rstrip("\n").split("\t")
        if len(parts) == 4:
            cases.setdefault(parts[0], {}).setdefault(int(parts[1]), {})[parts[2]] = parts[3]
    return cases


def figures(r):
    def delta(key):
        return int(r[key + ".b"]) - int(r[key + ".a"])

    blast = json.loads(r.get("blast") or "{}")
    f = {
        "packets": blast.get("sent", 0) + blast.get("back", 0),
        "lost": blast.get("sent", 0) - blast.get("back", 0),
        "ms": blast.get("ms", 0),
        "userspace_exits_traced": int(r["traced"]),
        "reasons": r["reasons"].strip(),
        "kvm_exits": delta("kvm_exits"),
        "kvm_io_exits": delta("kvm_io_exits"),
        "kvm_mmio_exits": delta("kvm_mmio_exits"),
        "vfio_interrupts": delta("vfio_irqs"),
        "main_thread_wakeups": delta("wakeups"),
    }
    if "stats.a" in r:
        a, b = json.loads(r["stats.a"]), json.loads(r["stats.b"])
        f["exits"] = b["exits"]["total"] - a["exits"]["total"]
        f["irqfd"] = b["interrupts"]["irqfd"] - a["interrupts"]["irqfd"]
        f["own"] = b["interrupts"]["own"] - a["interrupts"]["own"]
    return f


def verdicts(rounds):
    for n, f in sorted(rounds.items()):
        if n == 0:
            continue
        enough = f["packets"] >= PACKETS_MIN
        yield "round %d: packets" % n, "%d of at least %d" % (f["packets"], PACKETS_MIN), enough
        yield "round %d: exits of the process, its own count" % n, "%d" % f["exits"], f["exits"] == 0
        yield ("round %d: exits of the process, traced in the kernel" % n,
               "%d" % f["userspace_exits_traced"], f["userspace_exits_traced"] == 0)
        yield ("round %d: interrupts" % n, "%d by irqfd, %d by the process" % (f["irqfd"], f["own"]),
               f["own"] == 0 and f["irqfd"] > 0)


def main():
    cases = {c: {n: figures(r) for n, r in rounds.items()} for c, rounds in read(sys.argv[1]).items()}
    row = "%-8s %5s %8s %5s %6s | %9s %9s %9s %9s | %9s %9s"
    print(row % ("", "round", "packets", "lost", "ms", "exits to", "by its", "main thr.", "VF inter-", "exits", "per"))
    print(row % ("", "", "", "", "", "process", "count", "wake-ups", "rupts", "in KVM", "packet"))
    for c, rounds in cases.items():
        for n, f in sorted(rounds.items()):
            per = "%.2f" % (f["kvm_exits"] / f["packets"]) if f["packets"] else "-"
            print(row % (c, n or "idle", f["packets"], f["lost"], f["ms"], f["userspace_exits_traced"],
                         f.get("exits", "-"), f["main_thread_wakeups"], f["vfio_interrupts"], f["kvm_exits"], per))
    results = list(verdicts(cases.get("viaduct", {})))
    for what, figure, holds in results:
        print("%-6s %s: %s" % ("ok" if holds else "FAILED", what, figure))
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w") as out:
            json.dump({"cases": cases, "criteria": [
                {"criterion": w, "figure": fig, "holds": h} for w, fig, h in results]}, out, indent=2)
            out.write("\n")
    return 0 if results and all(h for _, _, h in results) else 1


sys.exit(main())
