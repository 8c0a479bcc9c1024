/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the remapping unit share. Locks, outermost first: regs_lock, then the IOAPIC's,
 * the router's, then lock. A register access holds regs_lock until its effects are there, so that a
 * queue's wait descriptor says what is true; a message is translated under lock alone.
 */
#ifndef VIADUCT_IRQREMAP_VTD_PRIV_H
#define VIADUCT_IRQREMAP_VTD_PRIV_H

#include <pthread.h>

#include "irqremap/internal.h"
#include "irqremap/irte.h"
#include "irqremap/vtd.h"
#include "irqremap/vtd_context.h"
#include "irqremap/vtd_regs.h"

struct vtd {
	struct irq_router *router;
	struct vtd_memory mem;
	pthread_mutex_t regs_lock;
	/* With regs_lock; what a requester's context says is changed with both, read with either. */
	struct vtd_requester *requesters;
	uint64_t access; /* register accesses so far */
	struct log_limit flapping;
	pthread_mutex_t lock; /* all below */
	uint32_t reg[VTD_END / 4];
	/* As the last "set interrupt remapping table pointer" latched it. */
	uint64_t table;
	uint32_t entries;
	bool extended;
	bool dma;                /* pass-through is offered; constant once the guest runs */
	uint64_t root;           /* as the last "set root table pointer" latched it */
	unsigned int next_fault; /* record to fill next */
	struct vtd_stats stats;
};

static inline uint32_t *vtd_reg(struct vtd *v, unsigned int off)
{
	return &v->reg[off / 4];
}

static inline uint64_t vtd_reg64(const struct vtd *v, unsigned int off)
{
	return v->reg[off / 4] | (uint64_t)v->reg[off / 4 + 1] << 32;
}

/* ---- vtd_fault.c, with the lock ---- */

/*
 * Record a fault of @rid's request and tell the guest. @info: the index of the entry in the top 16 bits,
 * or the page of a DMA; @what: the reason, and FRCD_READ.
 */
void vtd_fault_record(struct vtd *v, uint16_t rid, uint64_t info, uint32_t what);
/* Set bits of FSTS and raise the fault event if the guest knew of none (VT-d §7.3). */
void vtd_fault_status(struct vtd *v, uint32_t bits);
/* The guest wrote FSTS, or the last word of a fault record at @off. */
void vtd_fault_clear(struct vtd *v, uint32_t bits);
void vtd_fault_record_write(struct vtd *v, unsigned int off, uint32_t val);
/* Raise the event whose control register is at @ctl, or leave it pending while masked. */
void vtd_event_raise(struct vtd *v, unsigned int ctl);
/* The guest wrote that register. */
void vtd_event_control(struct vtd *v, unsigned int ctl, uint32_t val);

/* ---- vtd_dma.c, with regs_lock alone ---- */

/* Look at every requester's context entry again: translation was switched, or an invalidation. */
void vtd_dma_update(struct vtd *v);

/* ---- vtd_queue.c, with regs_lock alone ---- */

/* Carry out descriptors until the queue is empty or in error. */
void vtd_queue_run(struct vtd *v);

#endif
