# SPDX-License-Identifier: GPL-2.0-or-later
"""boot_report.py RAW [JSON]: the table of the boot benchmark, and whether its limits hold.

RAW has lines of round, case and boot-probe's JSON, separated by tabs; round 0 does not count.
"""
import json
import statistics
import sys

PEER = "microvm"
OURS = ("viaduct", "viaduct-kaslr", "viaduct+vf")
FILE_KB, PRIVATE_KB = 4096, 3072


def read(path):
    runs = {}
    for line in open(path):
        parts = line.rstrip("\n").split("\t")
        if len(parts) != 3:
            continue
        rounds = runs.setdefault(parts[1], [])
        if int(parts[0]) > 0:
            rounds.append(json.loads(parts[2]))
    return runs


def figures(rounds):
    """Median, least and most of each figure over the rounds that booted."""
    good = [r for r in rounds if r]
    keys = sorted({k for r in good for k in r})
    values = {k: [r[k] for r in good if k in r] for k in keys}
    f = {k: {"median": statistics.median(v), "min": min(v), "max": max(v)} for k, v in values.items()}
    return {"rounds": len(rounds), "booted": len(good), "figures": f}


def spread(case, key):
    f = case["figures"].get(key)
    return "%.0f (%d-%d)" % (f["median"], f["min"], f["max"]) if f else "-"


def median(case, key):
    return case["figures"][key]["median"]


def verdicts(cases, runs):
    """(criterion, figure, holds): True or False, or None for what is measured but not judged."""
    for name, c in cases.items():
        if c["booted"] < c["rounds"]:
            yield "%s boots" % name, "%d of %d rounds" % (c["booted"], c["rounds"]), False
    for name, c in cases.items():
        if name not in OURS or not c["booted"]:
            continue
        kb = c["figures"]["rss_file_kb"]["max"]
        yield "%s: file-backed memory" % name, "%d kB of %d" % (kb, FILE_KB), kb <= FILE_KB
        kb = c["figures"]["private_kb"]["max"]
        yield ("%s: private memory beside the guest's" % name, "%d kB of %d" % (kb, PRIVATE_KB),
               kb <= PRIVATE_KB)
    ours, peer = cases.get("viaduct"), cases.get(PEER)
    if ours and peer and ours["booted"] and peer["booted"]:
        a, b = median(ours, "exits"), median(peer, "exits")
        yield "KVM exits at or below microvm's", "%d to %d" % (a, b), a <= b
        ratios = [x["ms"] / y["ms"] for x, y in zip(runs["viaduct"], runs[PEER]) if x and y]
        a, b = median(ours, "ms"), median(peer, "ms")
        yield ("time at or below microvm's", "%.0f to %.0f ms: ratio %.2f; within one round %.2f-%.2f: %s"
               % (a, b, a / b, min(ratios), max(ratios), "yes" if a <= b else "NO"), None)


def main():
    runs = read(sys.argv[1])
    cases = {name: figures(rounds) for name, rounds in runs.items()}
    peer = cases.get(PEER, {"booted": 0})
    row = "%-14s %22s %6s %22s %6s %6s %8s %8s"
    print(row % ("", "ms to userspace", "ratio", "KVM exits", "I/O", "MMIO", "file kB", "priv. kB"))
    for name, c in sorted(cases.items(), key=lambda x: x[1]["figures"].get("ms", {}).get("median", 1e9)):
        if not c["booted"]:
            print("%-14s did not boot" % name)
            continue
        ratio = "%.2f" % (median(c, "ms") / median(peer, "ms")) if peer["booted"] else "-"
        print(row % (name, spread(c, "ms"), ratio, spread(c, "exits"), "%d" % median(c, "io_exits"),
                     "%d" % median(c, "mmio_exits"), "%d" % median(c, "rss_file_kb"), "%d" % median(c, "private_kb")))
    results = list(verdicts(cases, runs))
    for what, figure, holds in results:
        print("%-6s %s: %s" % ({True: "ok", False: "FAILED", None: "-"}[holds], what, figure))
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w") as f:
            json.dump({"cases": cases, "criteria": [
                {"criterion": w, "figure": fig, "holds": h} for w, fig, h in results]}, f, indent=2)
            f.write("\n")
    failed = any(holds is False for _, _, holds in results)
    return 1 if failed or not results else 0


sys.exit(main())
