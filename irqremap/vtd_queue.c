// SPDX-License-Identifier: GPL-2.0-or-later
/* Queued invalidation: VT-d §6.5.2. */
#include <errno.h>

#include "irqremap/vtd_priv.h"

#define DESC_SIZE 16u

enum { DESC_CONTEXT = 1, DESC_IOTLB, DESC_DEVICE, DESC_IEC, DESC_WAIT };

/* VT-d §6.5.2.1, §6.5.2.2; what they say of domain, source or page is not looked at. */
#define INV_GRAIN(lo)     ((lo) >> 4 & 3)
#define CONTEXT_RESERVED  (0xf1c0ull | 0xfffcull << 48)
#define IOTLB_RESERVED    (0xf100ull | 0xffffffffull << 32)
#define IOTLB_RESERVED_HI 0xf80ull

/* VT-d §6.5.2.7 */
#define IEC_INDEXED     (1ull << 4)
#define IEC_RESERVED    (0x7ffffe0ull | 0xffffull << 48)
#define IEC_MASK_SHIFT  27
#define IEC_INDEX_SHIFT 32
#define IEC_MASK_MAX    15u /* as ECAP says */

/* VT-d §6.5.2.8 */
#define WAIT_INTERRUPT   (1ull << 4)
#define WAIT_STATUS      (1ull << 5)
#define WAIT_RESERVED    0xffffff80ull /* bit 7 drains page requests, which are not offered */
#define WAIT_RESERVED_HI 3ull

struct desc {
	uint64_t lo, hi;
};

/* All is looked at again, whatever the grain: hardware may forget more than it was asked to. */
static int dma_caches(struct vtd *v, const struct desc *d, uint64_t reserved, uint64_t reserved_hi)
{
	if (d->lo & reserved || d->hi & reserved_hi || INV_GRAIN(d->lo) == GRAIN_NONE)
		return -EINVAL;
	vtd_dma_update(v);
	return 0;
}

static int iec(struct vtd *v, const struct desc *d)
{
	unsigned int mask = d->lo >> IEC_MASK_SHIFT & 0x1f;
	uint32_t index = d->lo >> IEC_INDEX_SHIFT & 0xffff;

	if (d->lo & IEC_RESERVED || d->hi)
		return -EINVAL;
	if (!(d->lo & IEC_INDEXED)) {
		irq_router_retranslate(v->router, 0, UINT32_MAX);
	} else {
		if (mask > IEC_MASK_MAX)
			return -EINVAL;
		index &= ~((1u << mask) - 1);
		irq_router_retranslate(v->router, index, index + (1u << mask) - 1);
	}
	pthread_mutex_lock(&v->lock);
	v->stats.invalidations++;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static int wait(struct vtd *v, const struct desc *d)
{
	uint32_t status = (uint32_t)(d->lo >> 32);

	if (d->lo & WAIT_RESERVED || d->hi & WAIT_RESERVED_HI)
		return -EINVAL;
	if (d->lo & WAIT_STATUS && v->mem.write(v->mem.ctx, d->hi, &status, sizeof(status)) < 0)
		return -EFAULT;
	if (d->lo & WAIT_INTERRUPT) {
		pthread_mutex_lock(&v->lock);
		if (!(*vtd_reg(v, VTD_ICS) & ICS_IWC)) {
			*vtd_reg(v, VTD_ICS) |= ICS_IWC;
			vtd_event_raise(v, VTD_IECTL);
		}
		pthread_mutex_unlock(&v->lock);
	}
	return 0;
}

static int desc_do(struct vtd *v, const struct desc *d)
{
	/* Bits 11:9 extend the type. */
	switch ((d->lo & 0xf) | (d->lo >> 5 & 0x70)) {
	case DESC_CONTEXT: return dma_caches(v, d, CONTEXT_RESERVED, ~0ull);
	case DESC_IOTLB: return dma_caches(v, d, IOTLB_RESERVED, IOTLB_RESERVED_HI);
	/* No device caches translations. */
	case DESC_DEVICE: return 0;
	case DESC_IEC: return iec(v, d);
	case DESC_WAIT: return wait(v, d);
	default: return -EINVAL;
	}
}

/* Where the next descriptor is. False: nothing to do; in error the queue stops and says so. */
static bool queue_next(struct vtd *v, uint64_t *ret_gpa)
{
	uint64_t iqa = vtd_reg64(v, VTD_IQA);
	uint32_t size = DESC_SIZE << ((iqa & IQA_SIZE) + 8), head = *vtd_reg(v, VTD_IQH),
		 tail = *vtd_reg(v, VTD_IQT);

	if (!(*vtd_reg(v, VTD_GSTS) & CMD_QIE) || *vtd_reg(v, VTD_FSTS) & FSTS_IQE || head == tail)
		return false;
	if (iqa & IQA_WIDE || tail >= size || head >= size) {
		v->stats.queue_errors++;
		vtd_fault_status(v, FSTS_IQE);
		return false;
	}
	*ret_gpa = (iqa & PAGE_ADDR) + head;
	return true;
}

static void queue_done(struct vtd *v, int r)
{
	uint32_t size = DESC_SIZE << ((vtd_reg64(v, VTD_IQA) & IQA_SIZE) + 8);

	if (r < 0) {
		/* The head stays at the descriptor that is wrong. */
		v->stats.queue_errors++;
		vtd_fault_status(v, FSTS_IQE);
		return;
	}
	v->stats.descriptors++;
	*vtd_reg(v, VTD_IQH) = (*vtd_reg(v, VTD_IQH) + DESC_SIZE) % size;
}

/* Ends: the tail does not move while registers are locked, and no queue has more than 32768. */
void vtd_queue_run(struct vtd *v)
{
	struct desc d;
	uint64_t gpa;
	bool more;
	int r;

	for (;;) {
		pthread_mutex_lock(&v->lock);
		more = queue_next(v, &gpa);
		pthread_mutex_unlock(&v->lock);
		if (!more)
			return;
		r = v->mem.read(v->mem.ctx, gpa, &d, sizeof(d));
		if (r == 0)
			r = desc_do(v, &d);
		pthread_mutex_lock(&v->lock);
		queue_done(v, r);
		pthread_mutex_unlock(&v->lock);
	}
}
