// SPDX-License-Identifier: GPL-2.0-or-later
#include "irqremap/irte.h"

#include "irqremap/message.h"

/* Request, VT-d §5.1.2.2. */
#define REQ_FORMAT    (1u << 4)
#define REQ_SHV       (1u << 3) /* subhandle valid */
#define REQ_HANDLE_15 (1u << 2)

/* Entry, VT-d §9.10. */
#define IRTE_P        (1ull << 0)
#define IRTE_FPD      (1ull << 1)
#define IRTE_LOGICAL  (1ull << 2)
#define IRTE_REDIRECT (1ull << 3)
#define IRTE_LEVEL    (1ull << 4)
#define IRTE_POSTED   (1ull << 15)
/* Posting is not offered, so its mode bit is reserved, too. */
#define IRTE_RESERVED_LO (0xff007000ull | IRTE_POSTED)
/* Without extended mode the destination is bits 47:40. */
#define IRTE_RESERVED_DEST (0xffff00ffull << 32)
#define IRTE_RESERVED_HI   0xfffffffffff00000ull

enum { SVT_NONE, SVT_ID, SVT_BUS, SVT_RESERVED };
enum { MODE_RESERVED_3 = 3, MODE_RESERVED_6 = 6 };

bool irte_is_request(struct irq_msi m)
{
	return m.addr & REQ_FORMAT;
}

enum irte_fault irte_index(struct irq_msi m, uint32_t *ret)
{
	uint32_t handle = (m.addr >> 5 & 0x7fff) | (m.addr & REQ_HANDLE_15 ? 0x8000 : 0);

	if (m.addr & REQ_SHV) {
		if (m.data >> 16)
			return IRTE_FAULT_REQUEST;
		handle += m.data & 0xffff;
	}
	*ret = handle;
	return IRTE_OK;
}

bool irte_is_quiet(struct irte t)
{
	return t.lo & IRTE_FPD;
}

/* VT-d §9.10, SID, SQ and SVT. */
static bool source_fits(uint64_t hi, uint16_t rid)
{
	static const uint16_t ignored[] = {0, 4, 6, 7};
	uint16_t sid = (uint16_t)hi, mask = (uint16_t)~ignored[hi >> 16 & 3];

	switch (hi >> 18 & 3) {
	case SVT_NONE: return true;
	case SVT_ID: return (rid & mask) == (sid & mask);
	/* From the bus in its upper half to the one in its lower. */
	default: return rid >> 8 >= sid >> 8 && rid >> 8 <= (sid & 0xff);
	}
}

enum irte_fault irte_message(struct irte t, uint16_t rid, bool extended, struct irq_msi *ret)
{
	uint32_t mode = t.lo >> 5 & 7, dest = (uint32_t)(t.lo >> 32);

	if (!(t.lo & IRTE_P))
		return IRTE_FAULT_ABSENT;
	if (t.lo & (IRTE_RESERVED_LO | (extended ? 0 : IRTE_RESERVED_DEST)) ||
		t.hi & IRTE_RESERVED_HI || (t.hi >> 18 & 3) == SVT_RESERVED ||
		mode == MODE_RESERVED_3 || mode == MODE_RESERVED_6)
		return IRTE_FAULT_RESERVED;
	if (!source_fits(t.hi, rid))
		return IRTE_FAULT_SOURCE;
	if (!extended)
		dest = dest >> 8 & 0xff;
	*ret = (struct irq_msi){
		.addr = (uint64_t)(dest & 0xffffff00u) << 32 | MSI_BASE |
			(dest & 0xff) << MSI_DEST_SHIFT |
			(t.lo & IRTE_REDIRECT ? MSI_REDIRECT : 0) |
			(t.lo & IRTE_LOGICAL ? MSI_LOGICAL : 0),
		.data = (uint32_t)(t.lo >> 16 & 0xff) | mode << MSI_MODE_SHIFT | MSI_ASSERT |
			(t.lo & IRTE_LEVEL ? MSI_LEVEL : 0),
	};
	return IRTE_OK;
}
