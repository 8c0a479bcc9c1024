/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables: RSDP, XSDT, FADT (hardware-reduced), MADT, MCFG, DSDT with the PCI root and COM1.
 * The DSDT is compiled by iasl at build time; what differs between VMs it reads from a small memory
 * operation region that acpi_build() fills. ACPI 6.4.
 */
#ifndef VIADUCT_VMM_ACPI_H
#define VIADUCT_VMM_ACPI_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/range.h"
#include "vmm/gmem.h"

struct acpi_config {
	unsigned int cpus;
	const uint32_t *apic_ids; /* cpus of them; above 254 a MADT x2APIC entry is written */
	struct range mmio32, mmio64, pio;
	bool remap; /* there is a remapping unit at LAYOUT_VTD: write a DMAR table */
};

/* Write the tables at LAYOUT_ACPI. -E2BIG: too many vCPUs for the room. */
int acpi_build(const struct acpi_config *cfg, struct gmem *g, struct err *e, uint64_t *ret_rsdp);

#endif
