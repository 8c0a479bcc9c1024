/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupt requests and remapping table entries as bits: VT-d §5.1.2, §9.10. Pure functions. */
#ifndef VIADUCT_IRQREMAP_IRTE_H
#define VIADUCT_IRQREMAP_IRTE_H

#include "irqremap/irqremap.h"

/* Fault reasons, VT-d table 25 ("interrupt-remapping fault conditions"). */
enum irte_fault {
	IRTE_OK = 0,
	IRTE_FAULT_REQUEST = 0x20,  /* a reserved field of the request is set */
	IRTE_FAULT_INDEX = 0x21,    /* beyond the table */
	IRTE_FAULT_ABSENT = 0x22,   /* not present */
	IRTE_FAULT_ACCESS = 0x23,   /* the table is not in memory */
	IRTE_FAULT_RESERVED = 0x24, /* a reserved field of the entry is set */
	IRTE_FAULT_COMPAT = 0x25,   /* compatibility format is blocked */
	IRTE_FAULT_SOURCE = 0x26,   /* the requester is not the one it is for */
};

/* Is @m in remappable format? */
bool irte_is_request(struct irq_msi m);
/* The entry a remappable request asks for, VT-d §5.1.3; up to 0x1fffe. IRTE_FAULT_REQUEST or OK. */
enum irte_fault irte_index(struct irq_msi m, uint32_t *ret);

struct irte {
	uint64_t lo, hi;
};

/* Is the entry's "fault processing disable" set? */
bool irte_is_quiet(struct irte t);
/*
 * The message that @t makes of a request by @rid, with bits 31:8 of a 32-bit destination in bits
 * 63:40 of the address, as KVM wants them. @extended: the destination has 32 bits.
 */
enum irte_fault irte_message(struct irte t, uint16_t rid, bool extended, struct irq_msi *ret);

#endif
