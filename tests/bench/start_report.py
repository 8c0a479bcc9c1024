# SPDX-License-Identifier: GPL-2.0-or-later
"""start_report.py RAW [JSON]: the table of what a start asks of the kernel.

RAW has lines of case, what and count, separated by tabs; "stats" holds viaduct's own figures.
"""
import json
import sys


def main():
    cases = {}
    for line in open(sys.argv[1]):
        parts = line.rstrip("\n").split("\t")
        if len(parts) == 3:
            cases.setdefault(parts[0], {})[parts[1]] = parts[2]
    stats = {c: json.loads(v.pop("stats")) for c, v in cases.items() if "stats" in v}
    cases = {c: {k: int(n) for k, n in v.items()} for c, v in cases.items()}

    names = list(cases)
    row = "%-36s" + " %12s" * len(names)
    print(row % ("before the first KVM_RUN", *names))

    def line(label, count):
        print(row % (label, *(count(cases[c]) for c in names)))

    line("system calls", lambda v: sum(n for k, n in v.items() if not k.startswith("iommu")))
    for label, prefix in (("ioctls", "ioctl "), ("  of KVM", "ioctl KVM_"), ("  of VFIO", "ioctl VFIO_")):
        line(label, lambda v, p=prefix: sum(n for k, n in v.items() if k.startswith(p)))
    for key in ("ioctl VFIO_IOMMU_MAP_DMA", "ioctl VFIO_DEVICE_RESET", "ioctl KVM_SET_GSI_ROUTING",
                "ioctl KVM_CHECK_EXTENSION", "execve", "openat", "mmap", "madvise"):
        line(key.replace("ioctl ", "  "), lambda v, k=key: v.get(k, 0))
    line("mappings of the IOMMU driver", lambda v: v["iommu maps"])
    line("MiB they hold", lambda v: "%.1f" % (v["iommu bytes"] / 2**20))
    for c, s in stats.items():
        print("%s, its own count: %d DMA map calls, %.1f MiB, %.0f ms (under strace)" % (
            c, s["dma"]["map_calls"], s["dma"]["map_bytes"] / 2**20, s["phases_ms"]["dma_map"]))
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w") as f:
            json.dump({"cases": cases, "stats": stats}, f, indent=2)
            f.write("\n")
    return 0 if cases else 1


sys.exit(main())
