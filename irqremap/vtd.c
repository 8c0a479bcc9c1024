// SPDX-License-Identifier: GPL-2.0-or-later
/* The remapping unit: its registers, and the translation of a message. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "irqremap/vtd_priv.h"

/* ---- translation ---- */

static enum irte_fault translate(struct vtd *v, uint16_t rid, struct irq_msi in,
	uint32_t *ret_index, bool *ret_quiet, struct irq_msi *ret)
{
	struct irte entry;
	enum irte_fault f;
	uint64_t at;

	*ret_index = 0;
	*ret_quiet = false;
	if (!irte_is_request(in)) {
		if (v->extended || !(*vtd_reg(v, VTD_GSTS) & CMD_CFI))
			return IRTE_FAULT_COMPAT;
		*ret = in;
		return IRTE_OK;
	}
	f = irte_index(in, ret_index);
	if (f)
		return f;
	if (*ret_index >= v->entries)
		return IRTE_FAULT_INDEX;
	at = v->table + *ret_index * sizeof(entry);
	/* Nor does a table at the very end go on at address 0. */
	if (v->table >> VTD_HAW || v->mem.read(v->mem.ctx, at, &entry, sizeof(entry)) < 0)
		return IRTE_FAULT_ACCESS;
	f = irte_message(entry, rid, v->extended, ret);
	*ret_quiet = irte_is_quiet(entry);
	return f;
}

int vtd_translate(struct vtd *v, uint16_t rid, struct irq_msi in, bool request, struct irq_msi *ret)
{
	enum irte_fault f = IRTE_OK;
	uint32_t index;
	bool quiet;

	pthread_mutex_lock(&v->lock);
	if (*vtd_reg(v, VTD_GSTS) & CMD_IRE)
		f = translate(v, rid, in, &index, &quiet, ret);
	else
		*ret = in;
	if (f && request) {
		v->stats.faults++;
		if (quiet)
			v->stats.faults_lost++;
		else
			vtd_fault_record(v, rid, (uint64_t)index << 48, f);
	}
	pthread_mutex_unlock(&v->lock);
	return f ? -EINVAL : 0;
}

/* ---- registers ---- */

/* Bits that the guest's write simply becomes. */
static const struct {
	uint16_t off;
	uint32_t mask;
} plain[] = {
	{VTD_RTADDR, (uint32_t)PAGE_ADDR}, /* legacy mode is the only one */
	{VTD_RTADDR + 4, 0xffffffff},
	{VTD_CCMD, 0xffffffff},
	{VTD_FECTL + 4, 0xffffffff},
	{VTD_FECTL + 8, 0xfffffffc},
	{VTD_FECTL + 12, 0xffffffff},
	{VTD_IECTL + 4, 0xffffffff},
	{VTD_IECTL + 8, 0xfffffffc},
	{VTD_IECTL + 12, 0xffffffff},
	{VTD_IQT, IQ_INDEX},
	{VTD_IQA, (uint32_t)PAGE_ADDR | IQA_WIDE | IQA_SIZE},
	{VTD_IQA + 4, 0xffffffff},
	{VTD_IRTA, (uint32_t)PAGE_ADDR | IRTA_EIME | IRTA_SIZE},
	{VTD_IRTA + 4, 0xffffffff},
	{VTD_IVA, 0xffffffff},
	{VTD_IVA + 4, 0xffffffff},
	{VTD_IOTLB, 0xffffffff},
};

static void plain_write(struct vtd *v, unsigned int off, uint32_t val)
{
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (plain[i].off == off)
			*vtd_reg(v, off) = val & plain[i].mask;
}

/* What must follow a write once the lock is gone. */
enum { RUN_QUEUE = 1, RETRANSLATE = 2, UPDATE_DMA = 4 };

static unsigned int command(struct vtd *v, uint32_t val)
{
	uint32_t *gsts = vtd_reg(v, VTD_GSTS), before = *gsts;
	uint64_t irta = vtd_reg64(v, VTD_IRTA);
	unsigned int todo = 0;

	*gsts = (before & CMD_ONCE) | (val & (CMD_ONCE | CMD_SWITCHES));
	if (val & CMD_SIRTP) {
		v->table = irta & PAGE_ADDR;
		v->entries = 2u << (irta & IRTA_SIZE);
		v->extended = irta & IRTA_EIME;
		todo |= RETRANSLATE;
	}
	if ((before ^ val) & (CMD_IRE | CMD_CFI))
		todo |= RETRANSLATE;
	/* What is cached of the old tables stays until it is invalidated (VT-d §6.6). */
	if (val & CMD_SRTP)
		v->root = vtd_reg64(v, VTD_RTADDR) & PAGE_ADDR;
	if ((before ^ val) & CMD_TE)
		todo |= UPDATE_DMA;
	if (!(val & CMD_QIE))
		*vtd_reg(v, VTD_IQH) = 0;
	else if (!(before & CMD_QIE))
		todo |= RUN_QUEUE;
	return todo;
}

/*
 * Register-based invalidation, VT-d §11.4.6: the last word of CCMD or IOTLB was written, with the grain
 * that is asked for at bit @asked and the one carried out at @done. All that is cached goes, which
 * any grain allows; it is done before the register can be read again. The finest is @finest.
 */
static unsigned int invalidate(struct vtd *v, unsigned int off, uint32_t val, unsigned int asked,
	unsigned int done, uint32_t finest)
{
	uint32_t grain = val >> asked & 3;

	val &= ~(3u << done);
	if (!(val & DONE_BIT)) {
		*vtd_reg(v, off) = val | (*vtd_reg(v, off) & 3u << done);
		return 0;
	}
	if (grain > finest)
		grain = finest;
	*vtd_reg(v, off) = (val & ~DONE_BIT) | grain << done;
	return grain == GRAIN_NONE ? 0 : UPDATE_DMA;
}

static unsigned int reg_write(struct vtd *v, unsigned int off, uint32_t val)
{
	if (off >= VTD_FRCD) {
		if (off % 16 == 12)
			vtd_fault_record_write(v, off, val);
		return 0;
	}
	switch (off) {
	case VTD_GCMD: return command(v, val);
	case VTD_FSTS: {
		uint32_t was = *vtd_reg(v, VTD_FSTS);

		vtd_fault_clear(v, val);
		/* The queue goes on where it stopped. */
		return was & val & FSTS_IQE ? RUN_QUEUE : 0;
	}
	case VTD_FECTL:
	case VTD_IECTL: vtd_event_control(v, off, val); return 0;
	case VTD_ICS:
		if (val & ICS_IWC) {
			*vtd_reg(v, VTD_ICS) = 0;
			*vtd_reg(v, VTD_IECTL) &= ~EVENT_PENDING;
		}
		return 0;
	case VTD_CCMD + 4: return invalidate(v, off, val, 29, 27, GRAIN_FINEST);
	case VTD_IOTLB + 4: return invalidate(v, off, val, 28, 25, GRAIN_DOMAIN);
	default: plain_write(v, off, val); return off == VTD_IQT ? RUN_QUEUE : 0;
	}
}

static bool access_fits(uint64_t off, unsigned int len)
{
	return (len == 4 || len == 8) && off % len == 0 && off + len <= VTD_END;
}

uint64_t vtd_read(struct vtd *v, uint64_t off, unsigned int len)
{
	uint64_t val;

	if (!access_fits(off, len))
		return 0;
	pthread_mutex_lock(&v->regs_lock);
	pthread_mutex_lock(&v->lock);
	val = len == 8 ? vtd_reg64(v, (unsigned int)off) : *vtd_reg(v, (unsigned int)off);
	pthread_mutex_unlock(&v->lock);
	pthread_mutex_unlock(&v->regs_lock);
	return val;
}

void vtd_write(struct vtd *v, uint64_t off, unsigned int len, uint64_t val)
{
	unsigned int todo;

	if (!access_fits(off, len))
		return;
	pthread_mutex_lock(&v->regs_lock);
	v->access++;
	pthread_mutex_lock(&v->lock);
	/* The low half first: what starts something is in the upper one, but for IQT. */
	todo = reg_write(v, (unsigned int)off, (uint32_t)val);
	if (len == 8)
		todo |= reg_write(v, (unsigned int)off + 4, (uint32_t)(val >> 32));
	pthread_mutex_unlock(&v->lock);
	if (todo & UPDATE_DMA)
		vtd_dma_update(v);
	if (todo & RETRANSLATE)
		irq_router_retranslate(v->router, 0, UINT32_MAX);
	if (todo & RUN_QUEUE)
		vtd_queue_run(v);
	pthread_mutex_unlock(&v->regs_lock);
}

/* ---- life ---- */

static void power_on(struct vtd *v)
{
	memset(v->reg, 0, sizeof(v->reg));
	*vtd_reg(v, VTD_VER) = VER_1_0;
	*vtd_reg(v, VTD_CAP) = (uint32_t)CAP_VALUE;
	*vtd_reg(v, VTD_CAP + 4) = (uint32_t)(CAP_VALUE >> 32);
	*vtd_reg(v, VTD_ECAP) = (uint32_t)ECAP_VALUE;
	*vtd_reg(v, VTD_ECAP + 4) = (uint32_t)(ECAP_VALUE >> 32);
	*vtd_reg(v, VTD_FECTL) = EVENT_MASKED;
	*vtd_reg(v, VTD_IECTL) = EVENT_MASKED;
	if (v->dma)
		*vtd_reg(v, VTD_CAP) |= CAP_DMA;
	v->root = 0;
	v->table = 0;
	v->entries = 0;
	v->extended = false;
	v->next_fault = 0;
}

int vtd_create(struct irq_router *r, const struct vtd_memory *mem, struct err *e, struct vtd **ret)
{
	struct vtd *v = calloc(1, sizeof(*v));
	int err;

	if (!v)
		return err_sys(e, ENOMEM, "remapping unit");
	v->router = r;
	v->mem = *mem;
	pthread_mutex_init(&v->regs_lock, NULL);
	pthread_mutex_init(&v->lock, NULL);
	power_on(v);
	err = irq_watch_create(r, e, &r->watch);
	if (err < 0) {
		vtd_destroy(v);
		return err;
	}
	assert(!r->vtd && !r->vectors);
	r->vtd = v;
	*ret = v;
	return 0;
}

void vtd_destroy(struct vtd *v)
{
	if (!v)
		return;
	if (v->router->vtd == v) {
		assert(!v->router->vectors);
		irq_watch_destroy(v->router->watch);
		v->router->watch = NULL;
		v->router->vtd = NULL;
	}
	pthread_mutex_destroy(&v->regs_lock);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

void vtd_reset(struct vtd *v)
{
	pthread_mutex_lock(&v->regs_lock);
	v->access++;
	pthread_mutex_lock(&v->lock);
	power_on(v);
	pthread_mutex_unlock(&v->lock);
	vtd_dma_update(v);
	irq_router_retranslate(v->router, 0, UINT32_MAX);
	pthread_mutex_unlock(&v->regs_lock);
}

void vtd_stats(struct vtd *v, struct vtd_stats *ret)
{
	pthread_mutex_lock(&v->lock);
	*ret = v->stats;
	ret->dma_on = v->dma && *vtd_reg(v, VTD_GSTS) & CMD_TE;
	ret->enabled = *vtd_reg(v, VTD_GSTS) & CMD_IRE;
	ret->extended = ret->enabled && v->extended;
	pthread_mutex_unlock(&v->lock);
}
