// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The MSI-X table: shadowed entries, and a vector behind each entry the guest uses.
 * PCIe 5.0 §6.1.4, §7.7.2.
 *
 * A guest moves an interrupt by masking its entry, writing address and data, and unmasking it. Only
 * the two ends cost anything: what is written while masked stays here until the entry goes live.
 *
 * No access walks the table: bitmaps say which entries are unmasked, live or have a vector.
 */
#include "vmm/msi.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"

#define CTL_ENABLE  0x8000u
#define CTL_FMASK   0x4000u
#define ENTRY_MASK  0x1u /* vector control; the other bits are reserved */
#define BITMAP_LEN  (MSIX_MAX / 64)
#define ENTRY_WORDS (MSIX_ENTRY_SIZE / 4)

enum { WORD_ADDR_LO, WORD_ADDR_HI, WORD_DATA, WORD_CTL };

struct msix_entry {
	uint32_t word[ENTRY_WORDS];
	struct irq_vector *vec; /* NULL until first used */
};

struct msix {
	pthread_mutex_t lock; /* everything below */
	struct irq_router *router;
	struct msi_ops ops;
	uint16_t rid;
	unsigned int n;
	bool enabled, fmask;
	bool armed; /* the owner knows all of fds */
	bool lent;  /* arm was called since the last disarm */
	uint64_t errors;
	struct log_limit limit;
	uint64_t unmasked[BITMAP_LEN]; /* vector control bit clear */
	uint64_t made[BITMAP_LEN];     /* has a vector */
	uint64_t live[BITMAP_LEN];     /* its vector is unmasked */
	uint64_t early[BITMAP_LEN];    /* fired before it had a vector: pending */
	struct msix_entry *entry;
	int *fds;
};

static bool bit_test(const uint64_t *map, unsigned int i)
{
	return map[i / 64] >> (i % 64) & 1;
}

static void bit_put(uint64_t *map, unsigned int i, bool on)
{
	uint64_t bit = 1ull << (i % 64);

	map[i / 64] = on ? map[i / 64] | bit : map[i / 64] & ~bit;
}

/* For each set bit of a copy of @map: the body may change the map. */
#define for_each_bit(i, map)                                                                   \
	for (unsigned int _w = 0; _w < BITMAP_LEN; _w++)                                       \
		for (uint64_t _left = (map)[_w];                                               \
			_left && ((i) = _w * 64 + (unsigned int)__builtin_ctzll(_left), true); \
			_left &= _left - 1)

/* @n vectors, of which @i is the first. */
static void msix_complain(
	struct msix *m, unsigned int i, unsigned int n, const char *what, const char *why)
{
	m->errors += n;
	if (n == 1)
		log_guest(&m->limit, "00:%02x.%u: MSI-X vector %u stays masked: %s: %s",
			m->rid >> 3 & 31, m->rid & 7, i, what, why);
	else
		log_guest(&m->limit,
			"00:%02x.%u: %u MSI-X vectors stay masked, %u is the first: %s: %s",
			m->rid >> 3 & 31, m->rid & 7, n, i, what, why);
}

/* Tell the owner of the fds as they are now. @i: the vector it is for, for the message. */
static void msix_arm(struct msix *m, unsigned int i)
{
	int r = 0;

	if (m->armed)
		return;
	m->lent = true;
	if (m->ops.arm)
		r = m->ops.arm(m->ops.ctx, m->n, m->fds);
	m->armed = r == 0;
	if (r < 0)
		msix_complain(m, i, 1, "arm", strerror(-r));
}

/* Returns whether there is a vector now. */
static bool entry_make(struct msix *m, unsigned int i, struct err *e)
{
	if (m->entry[i].vec)
		return true;
	if (irq_vector_create(m->router, m->rid, e, &m->entry[i].vec) < 0) {
		m->entry[i].vec = NULL;
		return false;
	}
	bit_put(m->made, i, true);
	m->fds[i] = irq_vector_fd(m->entry[i].vec);
	m->armed = false;
	if (bit_test(m->early, i)) {
		bit_put(m->early, i, false);
		irq_vector_fire(m->entry[i].vec);
	}
	return true;
}

/* Make the vectors of @map that are not there yet. */
static void entries_make(struct msix *m, const uint64_t *map)
{
	unsigned int i, first = 0, failed = 0;
	struct err e = {0};

	for_each_bit(i, map)
	{
		/* After a failure the others would fail alike: one reason is told, with their number. */
		if (entry_make(m, i, failed ? NULL : &e))
			continue;
		if (!failed++)
			first = i;
	}
	if (failed)
		msix_complain(m, first, failed, "create", e.text);
}

static void entry_stop(struct msix *m, unsigned int i)
{
	if (!bit_test(m->live, i))
		return;
	irq_vector_mask(m->entry[i].vec);
	bit_put(m->live, i, false);
}

/*
 * Give the vectors of @map their messages and unmask them: one commit of routes for all. The owner
 * has the fds of those that are made; a live one was armed before, so that another's failure to arm
 * does not stop it.
 */
static void entries_start(struct msix *m, const uint64_t *map)
{
	unsigned int i, first = 0, failed = 0;
	struct irq_batch batch;
	struct err e = {0};

	irq_batch_begin(m->router, &batch);
	for_each_bit(i, map)
	{
		const struct msix_entry *en = &m->entry[i];

		if (en->vec && (m->armed || bit_test(m->live, i)))
			irq_batch_add(&batch, en->vec,
				(struct irq_msi){
					.addr = (uint64_t)en->word[WORD_ADDR_HI] << 32 |
						en->word[WORD_ADDR_LO],
					.data = en->word[WORD_DATA],
				});
	}
	irq_batch_end(&batch, &e);
	for_each_bit(i, map)
	{
		const struct msix_entry *en = &m->entry[i];
		bool live = en->vec && !irq_vector_masked(en->vec);

		bit_put(m->live, i, live);
		if (live || !en->vec || !m->armed)
			continue;
		if (!failed++)
			first = i;
	}
	if (failed)
		msix_complain(m, first, failed, "unmask", e.text);
}

/* Bring the vectors of @map, which are all unmasked and enabled, in step with their entries. */
static void entries_sync(struct msix *m, const uint64_t *map, unsigned int first)
{
	entries_make(m, map);
	msix_arm(m, first);
	entries_start(m, map);
}

/* Bring vector @i in step with its entry. */
static void entry_sync(struct msix *m, unsigned int i)
{
	uint64_t map[BITMAP_LEN] = {0};

	if (!m->enabled || m->fmask || !bit_test(m->unmasked, i)) {
		entry_stop(m, i);
		return;
	}
	bit_put(map, i, true);
	entries_sync(m, map, i);
}

static void msix_disable(struct msix *m)
{
	unsigned int i;

	for_each_bit(i, m->live) entry_stop(m, i);
	/* The owner lets go of the fds before they are closed. */
	if (m->lent && m->ops.disarm)
		m->ops.disarm(m->ops.ctx);
	m->lent = false;
	m->armed = false;
	for_each_bit(i, m->made)
	{
		irq_vector_destroy(m->entry[i].vec);
		m->entry[i].vec = NULL;
		m->fds[i] = -1;
	}
	memset(m->made, 0, sizeof(m->made));
	memset(m->early, 0, sizeof(m->early));
	m->enabled = false;
}

static void msix_enable(struct msix *m)
{

	m->enabled = true;
	/* The device's own enable bit follows the guest's, also without a vector. */
	if (m->fmask)
		msix_arm(m, 0);
	else
		entries_sync(m, m->unmasked, 0);
}

void msix_control(struct msix *m, uint16_t ctl)
{
	bool enable = ctl & CTL_ENABLE, fmask = ctl & CTL_FMASK;
	unsigned int i;

	pthread_mutex_lock(&m->lock);
	if (enable == m->enabled && fmask == m->fmask) {
		pthread_mutex_unlock(&m->lock);
		return;
	}
	m->fmask = fmask;
	if (!enable && m->enabled) {
		msix_disable(m);
	} else if (enable && m->enabled && fmask) {
		for_each_bit(i, m->live) entry_stop(m, i);
	} else if (enable) {
		msix_enable(m);
	}
	pthread_mutex_unlock(&m->lock);
}

/* ---- table and PBA ---- */

static bool access_ok(uint64_t off, unsigned int len, uint64_t size)
{
	return (len == 4 || len == 8) && off % len == 0 && off < size && len <= size - off;
}

uint64_t msix_table_read(struct msix *m, uint64_t off, unsigned int len)
{
	const uint32_t *w;
	uint64_t val;

	if (!access_ok(off, len, (uint64_t)m->n * MSIX_ENTRY_SIZE))
		return 0;
	pthread_mutex_lock(&m->lock);
	w = &m->entry[off / MSIX_ENTRY_SIZE].word[off % MSIX_ENTRY_SIZE / 4];
	val = w[0];
	if (len == 8)
		val |= (uint64_t)w[1] << 32;
	pthread_mutex_unlock(&m->lock);
	return val;
}

void msix_table_write(struct msix *m, uint64_t off, unsigned int len, uint64_t val)
{
	unsigned int i = (unsigned int)(off / MSIX_ENTRY_SIZE);
	unsigned int w = off % MSIX_ENTRY_SIZE / 4;
	struct msix_entry *en;

	if (!access_ok(off, len, (uint64_t)m->n * MSIX_ENTRY_SIZE))
		return;
	pthread_mutex_lock(&m->lock);
	en = &m->entry[i];
	en->word[w] = (uint32_t)val;
	if (len == 8)
		en->word[w + 1] = (uint32_t)(val >> 32);
	en->word[WORD_CTL] &= ENTRY_MASK;
	bit_put(m->unmasked, i, !en->word[WORD_CTL]);
	entry_sync(m, i);
	pthread_mutex_unlock(&m->lock);
}

uint64_t msix_pba_read(struct msix *m, uint64_t off, unsigned int len)
{
	uint64_t val = 0;

	if (!access_ok(off, len, ((uint64_t)m->n + 63) / 64 * 8))
		return 0;
	pthread_mutex_lock(&m->lock);
	for (unsigned int b = 0; b < len * 8; b++) {
		unsigned int i = (unsigned int)off * 8 + b;

		if (i >= m->n)
			break;
		if (bit_test(m->early, i) || (bit_test(m->made, i) && !bit_test(m->live, i) &&
						     irq_vector_pending(m->entry[i].vec)))
			val |= 1ull << b;
	}
	pthread_mutex_unlock(&m->lock);
	return val;
}

void msix_fire(struct msix *m, unsigned int i)
{
	if (i >= m->n)
		return;
	pthread_mutex_lock(&m->lock);
	if (m->enabled) {
		if (m->entry[i].vec)
			irq_vector_fire(m->entry[i].vec);
		else
			bit_put(m->early, i, true);
	}
	pthread_mutex_unlock(&m->lock);
}

void msix_snapshot(struct msix *m, unsigned int i, struct msi_vector *ret)
{
	const uint32_t *w;
	struct irq_msi table;

	assert(i < m->n);
	pthread_mutex_lock(&m->lock);
	w = m->entry[i].word;
	table = (struct irq_msi){(uint64_t)w[WORD_ADDR_HI] << 32 | w[WORD_ADDR_LO], w[WORD_DATA]};
	*ret = (struct msi_vector){
		.enabled = m->enabled,
		.masked = m->fmask || !bit_test(m->unmasked, i),
		.pending = bit_test(m->early, i),
		.made = m->entry[i].vec,
		.vec.gsi = -1,
	};
	if (ret->made) {
		irq_vector_snapshot(m->entry[i].vec, &ret->vec);
		ret->pending |= ret->vec.pending;
	}
	/* What was written while masked is the vector's with the unmask. */
	if (!bit_test(m->live, i))
		irq_msi_snapshot(m->router, m->rid, table, &ret->vec.way);
	pthread_mutex_unlock(&m->lock);
}

uint64_t msix_errors(struct msix *m)
{
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	n = m->errors;
	pthread_mutex_unlock(&m->lock);
	return n;
}

/* ---- life ---- */

/* PCIe 5.0 §7.7.2.2 to .5: every entry masked; the rest is undefined, 0 here. */
static void msix_power_on(struct msix *m)
{
	msix_disable(m);
	m->fmask = false;
	memset(m->unmasked, 0, sizeof(m->unmasked));
	for (unsigned int i = 0; i < m->n; i++) {
		memset(m->entry[i].word, 0, sizeof(m->entry[i].word));
		m->entry[i].word[WORD_CTL] = ENTRY_MASK;
	}
}

void msix_reset(struct msix *m)
{
	pthread_mutex_lock(&m->lock);
	msix_power_on(m);
	pthread_mutex_unlock(&m->lock);
}

int msix_create(struct irq_router *r, uint16_t rid, unsigned int n, const struct msi_ops *ops,
	struct err *e, struct msix **ret)
{
	struct msix *m;

	if (n == 0 || n > MSIX_MAX)
		return err_set(
			e, EINVAL, "MSI-X table of %u vectors; 1 to %u are possible", n, MSIX_MAX);
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_sys(e, ENOMEM, "MSI-X table");
	pthread_mutex_init(&m->lock, NULL);
	m->router = r;
	m->rid = rid;
	if (ops)
		m->ops = *ops;
	m->entry = calloc(n, sizeof(*m->entry));
	m->fds = malloc(n * sizeof(*m->fds));
	if (!m->entry || !m->fds) {
		msix_destroy(m);
		return err_sys(e, ENOMEM, "MSI-X table of %u vectors", n);
	}
	m->n = n;
	for (unsigned int i = 0; i < n; i++)
		m->fds[i] = -1;
	msix_power_on(m);
	*ret = m;
	return 0;
}

void msix_destroy(struct msix *m)
{
	if (!m)
		return;
	if (m->n)
		msix_disable(m);
	pthread_mutex_destroy(&m->lock);
	free(m->entry);
	free(m->fds);
	free(m);
}
