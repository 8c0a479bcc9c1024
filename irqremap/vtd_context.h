/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest's root and context tables say of a requester, in legacy mode: VT-d §3.4, §9.1, §9.3.
 * The tables are the guest's: each entry is read once. Keeps nothing.
 */
#ifndef VIADUCT_IRQREMAP_VTD_CONTEXT_H
#define VIADUCT_IRQREMAP_VTD_CONTEXT_H

#include "irqremap/vtd.h"

/* Fault reasons, VT-d table of non-recoverable faults, legacy mode. */
enum vtd_dma_fault {
	VTD_DMA_OK = 0,
	VTD_DMA_ROOT_ABSENT = 0x1,
	VTD_DMA_CONTEXT_ABSENT = 0x2,
	VTD_DMA_CONTEXT_INVALID = 0x3, /* a translation type or address width not offered */
	VTD_DMA_ROOT_ACCESS = 0x8,     /* the root table is not in memory */
	VTD_DMA_CONTEXT_ACCESS = 0x9,  /* the context table is not in memory */
	VTD_DMA_ROOT_RESERVED = 0xa,
	VTD_DMA_CONTEXT_RESERVED = 0xb,
};

/* @root: address of the root table. Any thread; no locks. */
void vtd_context_walk(
	const struct vtd_memory *mem, uint64_t root, uint16_t rid, struct vtd_context *ret);

#endif
