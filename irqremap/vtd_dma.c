// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The DMA side of the remapping unit: whose requests pass. What a context entry says is remembered
 * with its requester, which is the context cache of hardware (VT-d §6.2.2).
 */
#include <errno.h>

#include "irqremap/vtd_priv.h"

static void context_get(struct vtd *v, uint16_t rid, struct vtd_context *ret)
{
	if (v->dma && *vtd_reg(v, VTD_GSTS) & CMD_TE)
		vtd_context_walk(&v->mem, v->root, rid, ret);
	else
		*ret = (struct vtd_context){0};
}

/*
 * A guest that changes its tables while we read them could have a device opened and closed at each of
 * the thousands of descriptors of a queue, and opening maps memory. Tables that nobody changes
 * meanwhile open it once in an access to the registers at most; so does this.
 */
static bool opened_before(const struct vtd *v, const struct vtd_requester *q)
{
	return q->opened == v->access;
}

static void requester_update(struct vtd *v, struct vtd_requester *q)
{
	struct vtd_context c;
	bool changed;

	context_get(v, q->rid, &c);
	if (!c.fault && q->context.fault && opened_before(v, q)) {
		log_guest(&v->flapping,
			"function %02x:%02x.%u: its context entry changed while it was "
			"invalidated; its DMA stays blocked until the next invalidation",
			q->rid >> 8, q->rid >> 3 & 0x1f, q->rid & 7);
		return;
	}
	pthread_mutex_lock(&v->lock);
	changed = !c.fault != !q->context.fault;
	q->context = c;
	if (changed && c.fault)
		v->stats.dma_blocked++;
	else if (changed)
		v->stats.dma_blocked--;
	pthread_mutex_unlock(&v->lock);
	if (!changed)
		return;
	if (!c.fault)
		q->opened = v->access;
	q->fn(q->ctx, !c.fault);
}

void vtd_dma_update(struct vtd *v)
{
	for (struct vtd_requester *q = v->requesters; q; q = q->next)
		requester_update(v, q);
}

void vtd_dma_attach(struct vtd *v, uint16_t rid, vtd_dma_fn fn, void *ctx, struct vtd_requester *q)
{
	*q = (struct vtd_requester){.vtd = v, .rid = rid, .fn = fn, .ctx = ctx};
	pthread_mutex_lock(&v->regs_lock);
	q->next = v->requesters;
	v->requesters = q;
	requester_update(v, q);
	pthread_mutex_unlock(&v->regs_lock);
}

void vtd_dma_detach(struct vtd_requester *q)
{
	struct vtd *v = q->vtd;
	struct vtd_requester **p;

	if (!v)
		return;
	pthread_mutex_lock(&v->regs_lock);
	for (p = &v->requesters; *p && *p != q; p = &(*p)->next)
		;
	if (*p)
		*p = q->next;
	pthread_mutex_lock(&v->lock);
	if (q->context.fault)
		v->stats.dma_blocked--;
	pthread_mutex_unlock(&v->lock);
	pthread_mutex_unlock(&v->regs_lock);
	q->vtd = NULL;
}

bool vtd_dma_request(struct vtd_requester *q, uint64_t gpa, bool write)
{
	struct vtd *v = q->vtd;
	uint32_t f;

	if (!v->dma)
		return true;
	pthread_mutex_lock(&v->lock);
	f = (uint32_t)q->context.fault;
	if (f) {
		v->stats.faults++;
		v->stats.dma_faults++;
		if (q->context.quiet)
			v->stats.faults_lost++;
		else
			vtd_fault_record(v, q->rid, gpa & PAGE_ADDR, f | (write ? 0 : FRCD_READ));
	}
	pthread_mutex_unlock(&v->lock);
	return !f;
}

void vtd_dma_offer(struct vtd *v)
{
	pthread_mutex_lock(&v->lock);
	v->dma = true;
	*vtd_reg(v, VTD_CAP) |= CAP_DMA;
	pthread_mutex_unlock(&v->lock);
}
