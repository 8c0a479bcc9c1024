/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables a PC had before ACPI: Intel MultiProcessor Specification 1.4. A guest without ACPI
 * finds its processors, IOAPIC and COM1 there, and Linux, with ACPI or without, searches the last
 * KiB of low memory and then 64 KiB of BIOS area for them, 16 bytes a mapping: 80 ms of a boot in
 * the lab where there are none (tests/bench/boot.sh).
 */
#ifndef VIADUCT_VMM_MPTABLE_H
#define VIADUCT_VMM_MPTABLE_H

#include <stdint.h>

#include "common/err.h"
#include "vmm/gmem.h"

/* More do not fit the last KiB of low memory; a guest with ACPI knows them all the same. */
#define MPTABLE_CPUS_MAX 40u

/*
 * Write the floating pointer at LAYOUT_EBDA and the tables behind it, with the first
 * MPTABLE_CPUS_MAX of the @cpus processors whose APIC ids fit 8 bits. -EFAULT: not RAM there.
 */
int mptable_build(unsigned int cpus, const uint32_t *apic_ids, struct gmem *g, struct err *e);

#endif
