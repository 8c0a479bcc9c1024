// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * MSI: PCI 3.0 §6.8.1, PCIe 5.0 §7.7.1. All enabled vectors are made at once, for a device cannot
 * be told to use only some of them, and VFIO arms them as one block.
 */
#include "vmm/msi.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"

struct msi {
	pthread_mutex_t lock; /* everything below */
	struct irq_router *router;
	struct msi_ops ops;
	uint16_t rid;
	unsigned int n;
	unsigned int count; /* vectors made and armed; 0 = disabled, or arming failed */
	uint64_t errors;
	struct log_limit limit;
	uint32_t live; /* vectors unmasked */
	uint32_t mask; /* as the guest has it */
	struct irq_vector *vec[MSI_MAX];
};

static void msi_complain(struct msi *m, unsigned int n, const char *what, const char *why)
{
	m->errors += n;
	log_guest(&m->limit, "00:%02x.%u: MSI stays masked (vectors: %u): %s: %s", m->rid >> 3 & 31,
		m->rid & 7, n, what, why);
}

static void vectors_free(struct msi *m)
{
	for (unsigned int i = 0; i < MSI_MAX; i++) {
		irq_vector_destroy(m->vec[i]);
		m->vec[i] = NULL;
	}
	m->live = 0;
	m->count = 0;
}

static void msi_disable(struct msi *m)
{
	if (!m->count)
		return;
	for (unsigned int i = 0; i < m->count; i++) {
		if (m->live >> i & 1)
			irq_vector_mask(m->vec[i]);
	}
	/* The owner lets go of the fds before they are closed. */
	if (m->ops.disarm)
		m->ops.disarm(m->ops.ctx);
	vectors_free(m);
}

static void msi_enable(struct msi *m, unsigned int count)
{
	int fds[MSI_MAX], r = 0;
	struct err e = {0};

	for (unsigned int i = 0; i < count; i++) {
		if (irq_vector_create(m->router, m->rid, &e, &m->vec[i]) < 0) {
			m->vec[i] = NULL;
			vectors_free(m);
			msi_complain(m, count, "create", e.text);
			return;
		}
		fds[i] = irq_vector_fd(m->vec[i]);
	}
	if (m->ops.arm)
		r = m->ops.arm(m->ops.ctx, count, fds);
	if (r < 0) {
		if (m->ops.disarm)
			m->ops.disarm(m->ops.ctx);
		vectors_free(m);
		msi_complain(m, count, "arm", strerror(-r));
		return;
	}
	m->count = count;
}

static void vector_mask(struct msi *m, unsigned int i)
{
	if (m->live >> i & 1)
		irq_vector_mask(m->vec[i]);
	m->live &= ~(1u << i);
}

/* All unmasked vectors get their messages, by one commit of routes. */
static void vectors_start(struct msi *m, uint64_t addr, uint16_t data, uint32_t mask)
{
	struct irq_batch batch;
	struct err e = {0};
	uint32_t failed = 0;

	irq_batch_begin(m->router, &batch);
	for (unsigned int i = 0; i < m->count; i++) {
		if (mask >> i & 1)
			vector_mask(m, i);
		else
			/* PCI 3.0 §6.8.1.3: its number goes into the low bits of the data. */
			irq_batch_add(&batch, m->vec[i],
				(struct irq_msi){addr, ((uint32_t)data & ~(m->count - 1)) | i});
	}
	irq_batch_end(&batch, &e);
	for (unsigned int i = 0; i < m->count; i++) {
		if (mask >> i & 1)
			continue;
		m->live |= 1u << i;
		if (irq_vector_masked(m->vec[i])) {
			m->live &= ~(1u << i);
			failed++;
		}
	}
	if (failed)
		msi_complain(m, failed, "unmask", e.text);
}

void msi_update(
	struct msi *m, bool enable, uint64_t addr, uint16_t data, unsigned int count, uint32_t mask)
{
	pthread_mutex_lock(&m->lock);
	if (count > m->n)
		count = m->n;
	if (!count)
		count = 1;
	m->mask = mask;
	if (!enable || count != m->count)
		msi_disable(m);
	if (enable && !m->count)
		msi_enable(m, count);
	vectors_start(m, addr, data, mask);
	pthread_mutex_unlock(&m->lock);
}

uint32_t msi_pending(struct msi *m)
{
	uint32_t val = 0;

	pthread_mutex_lock(&m->lock);
	for (unsigned int i = 0; i < m->count; i++) {
		if (!(m->live >> i & 1) && irq_vector_pending(m->vec[i]))
			val |= 1u << i;
	}
	pthread_mutex_unlock(&m->lock);
	return val;
}

void msi_fire(struct msi *m, unsigned int i)
{
	pthread_mutex_lock(&m->lock);
	/* A device that was given fewer vectors than it has shares them out. */
	if (m->count)
		irq_vector_fire(m->vec[i & (m->count - 1)]);
	pthread_mutex_unlock(&m->lock);
}

void msi_snapshot(struct msi *m, unsigned int i, struct msi_vector *ret)
{
	pthread_mutex_lock(&m->lock);
	*ret = (struct msi_vector){
		.enabled = i < m->count,
		.masked = m->mask >> i & 1,
		.made = i < m->count,
		.vec.gsi = -1,
	};
	if (ret->made) {
		irq_vector_snapshot(m->vec[i], &ret->vec);
		ret->pending = ret->vec.pending;
	}
	pthread_mutex_unlock(&m->lock);
}

unsigned int msi_count(const struct msi *m)
{
	return m->n;
}

uint64_t msi_errors(struct msi *m)
{
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	n = m->errors;
	pthread_mutex_unlock(&m->lock);
	return n;
}

void msi_reset(struct msi *m)
{
	pthread_mutex_lock(&m->lock);
	msi_disable(m);
	pthread_mutex_unlock(&m->lock);
}

int msi_create(struct irq_router *r, uint16_t rid, unsigned int n, const struct msi_ops *ops,
	struct err *e, struct msi **ret)
{
	struct msi *m;

	if (n == 0 || n > MSI_MAX || (n & (n - 1)))
		return err_set(e, EINVAL,
			"MSI with %u vectors; a power of two up to %u is possible", n, MSI_MAX);
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_sys(e, ENOMEM, "MSI");
	pthread_mutex_init(&m->lock, NULL);
	m->router = r;
	m->rid = rid;
	m->n = n;
	if (ops)
		m->ops = *ops;
	*ret = m;
	return 0;
}

void msi_destroy(struct msi *m)
{
	if (!m)
		return;
	msi_disable(m);
	pthread_mutex_destroy(&m->lock);
	free(m);
}
