// SPDX-License-Identifier: GPL-2.0-or-later
#include "irqremap/vtd_context.h"

#include "irqremap/vtd_regs.h"

#define ENTRY_P   (1ull << 0)
#define ABOVE_HAW (~0ull << VTD_HAW)

/* Root entry, VT-d §9.1; its upper half is reserved. */
#define ROOT_RESERVED (0xffeull | ABOVE_HAW)

/* Context entry, VT-d §9.3. */
#define CONTEXT_FPD         (1ull << 1)
#define CONTEXT_TYPE(lo)    ((lo) >> 2 & 3)
#define CONTEXT_RESERVED_LO 0xff0ull
#define CONTEXT_WIDTH(hi)   ((hi)&7)
#define CONTEXT_DOMAIN(hi)  ((uint16_t)((hi) >> 8))
/* Bits 6:3 are software's. Domain ids have as many bits as CAP.ND says. */
#define CONTEXT_RESERVED_HI (1ull << 7 | ~0ull << (8 + VTD_DOMAIN_BITS))

/*
 * Translation types. Second-level translation is not offered yet: this is where its walk will start.
 * With device TLBs (01b) it would be the same, and ECAP has none.
 */
enum { TYPE_PASS_THROUGH = 2 };

struct entry {
	uint64_t lo, hi;
};

static enum vtd_dma_fault root_read(
	const struct vtd_memory *mem, uint64_t root, uint8_t bus, uint64_t *ret_table)
{
	struct entry t;

	if (mem->read(mem->ctx, root + bus * sizeof(t), &t, sizeof(t)) < 0)
		return VTD_DMA_ROOT_ACCESS;
	if (!(t.lo & ENTRY_P))
		return VTD_DMA_ROOT_ABSENT;
	if (t.lo & ROOT_RESERVED || t.hi)
		return VTD_DMA_ROOT_RESERVED;
	*ret_table = t.lo & PAGE_ADDR;
	return VTD_DMA_OK;
}

static enum vtd_dma_fault context_check(const struct entry *t)
{
	if (!(t->lo & ENTRY_P))
		return VTD_DMA_CONTEXT_ABSENT;
	if (t->lo & CONTEXT_RESERVED_LO || t->hi & CONTEXT_RESERVED_HI)
		return VTD_DMA_CONTEXT_RESERVED;
	/* Pass-through wants the largest width there is; the pointer to a table is not looked at. */
	if (CONTEXT_TYPE(t->lo) != TYPE_PASS_THROUGH || CONTEXT_WIDTH(t->hi) != VTD_WIDTH)
		return VTD_DMA_CONTEXT_INVALID;
	return VTD_DMA_OK;
}

void vtd_context_walk(
	const struct vtd_memory *mem, uint64_t root, uint16_t rid, struct vtd_context *ret)
{
	struct vtd_context c = {0};
	struct entry t = {0};
	uint64_t table = 0;

	c.fault = root_read(mem, root, (uint8_t)(rid >> 8), &table);
	if (!c.fault && mem->read(mem->ctx, table + (rid & 0xff) * sizeof(t), &t, sizeof(t)) < 0)
		c.fault = VTD_DMA_CONTEXT_ACCESS;
	if (!c.fault) {
		c.fault = context_check(&t);
		/* Looked at whether the entry is present or not. */
		c.quiet = t.lo & CONTEXT_FPD;
		c.domain = CONTEXT_DOMAIN(t.hi);
	}
	*ret = c;
}
