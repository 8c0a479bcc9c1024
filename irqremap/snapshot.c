// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages read for those who look. */
#include "irqremap/snapshot.h"

#include "irqremap/internal.h"
#include "irqremap/irte.h"
#include "irqremap/message.h"
#include "irqremap/vtd.h"

struct irq_target irq_target_of(struct irq_msi m)
{
	return (struct irq_target){
		.dest = (uint32_t)(m.addr >> 32 & 0xffffff00u) |
			(uint8_t)(m.addr >> MSI_DEST_SHIFT),
		.vector = (uint8_t)m.data,
		.mode = m.data >> MSI_MODE_SHIFT & 7,
		.logical = m.addr & MSI_LOGICAL,
		.level = m.data & MSI_LEVEL,
	};
}

const char *irq_mode_name(unsigned int mode)
{
	static const char *const names[] = {
		"fixed", "lowest-priority", "smi", "reserved", "nmi", "init", "reserved", "extint"};

	return names[mode & 7];
}

void irq_way_find(struct irq_router *r, uint16_t rid, struct irq_msi msg, struct irq_way *ret)
{
	struct vtd_stats s = {0};

	*ret = (struct irq_way){.msg = msg};
	/* What is no interrupt would be told of in the log, and nobody has sent it. */
	if ((msg.addr & MSI_ADDR_MASK) != MSI_BASE)
		return;
	if (r->vtd)
		vtd_stats(r->vtd, &s);
	if (s.enabled && irte_is_request(msg))
		ret->remapped = irte_index(msg, &ret->handle) == IRTE_OK;
	ret->reaches = irq_translate(r, rid, msg, false, &ret->out) == 0;
}

void irq_msi_snapshot(struct irq_router *r, uint16_t rid, struct irq_msi msg, struct irq_way *ret)
{
	pthread_mutex_lock(&r->lock);
	irq_way_find(r, rid, msg, ret);
	pthread_mutex_unlock(&r->lock);
}
