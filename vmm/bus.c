// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The regions in order of arrival, and a table derived from them: disjoint pieces sorted by
 * address, each answered by the region that arrived first. An access searches the table under a
 * read lock, copies the region and calls it with no lock held.
 */
#include "vmm/bus.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/log.h"
#include "common/range.h"

struct piece {
	struct range at;
	size_t region; /* index into bus.region */
};

struct bus {
	const char *name;
	pthread_rwlock_t lock;
	struct bus_region *region;
	/* n regions have 2n edges and make at most 2n - 1 pieces: both fit 2 * cap. */
	uint64_t *edge;
	struct piece *piece;
	size_t n, cap, pieces;
	_Atomic uint64_t unclaimed;
};

int bus_create(const char *name, struct err *e, struct bus **ret)
{
	struct bus *b = calloc(1, sizeof(*b));

	if (!b)
		return err_sys(e, ENOMEM, "%s bus", name);
	b->name = name;
	pthread_rwlock_init(&b->lock, NULL);
	*ret = b;
	return 0;
}

void bus_destroy(struct bus *b)
{
	if (!b)
		return;
	pthread_rwlock_destroy(&b->lock);
	free(b->region);
	free(b->edge);
	free(b->piece);
	free(b);
}

/* Room for one more region, so that the table can be rebuilt without allocating. */
static int bus_grow(struct bus *b)
{
	size_t cap = b->cap ? b->cap * 2 : 16;
	void *p;

	if (b->n < b->cap)
		return 0;
	p = realloc(b->region, cap * sizeof(*b->region));
	if (!p)
		return -ENOMEM;
	b->region = p;
	p = realloc(b->edge, 2 * cap * sizeof(*b->edge));
	if (!p)
		return -ENOMEM;
	b->edge = p;
	p = realloc(b->piece, 2 * cap * sizeof(*b->piece));
	if (!p)
		return -ENOMEM;
	b->piece = p;
	b->cap = cap;
	return 0;
}

static int edge_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* How many bytes an access to @r can begin at. */
static uint64_t region_span(const struct bus_region *r)
{
	return r->starts && r->starts < r->size ? r->starts : r->size;
}

/* Index of the region that answers at @addr, b->n when none does. */
static size_t bus_first_at(const struct bus *b, uint64_t addr)
{
	size_t i;

	for (i = 0; i < b->n; i++)
		if (addr >= b->region[i].base &&
			addr - b->region[i].base < region_span(&b->region[i]))
			break;
	return i;
}

static void bus_rebuild(struct bus *b)
{
	size_t edges = 0;

	for (size_t i = 0; i < b->n; i++) {
		b->edge[edges++] = b->region[i].base;
		b->edge[edges++] = b->region[i].base + region_span(&b->region[i]);
	}
	if (edges)
		qsort(b->edge, edges, sizeof(*b->edge), edge_cmp);
	b->pieces = 0;
	for (size_t i = 0; i + 1 < edges; i++) {
		struct range at = {b->edge[i], b->edge[i + 1]};
		size_t r = bus_first_at(b, at.start);
		struct piece *last = b->pieces ? &b->piece[b->pieces - 1] : NULL;

		if (range_size(at) == 0 || r == b->n)
			continue;
		if (last && last->region == r && last->at.end == at.start)
			last->at.end = at.end;
		else
			b->piece[b->pieces++] = (struct piece){at, r};
	}
}

int bus_add(struct bus *b, const struct bus_region *r, struct err *e)
{
	struct range at;
	int ret;

	if (r->size == 0 || !range_make(r->base, r->size, &at))
		return err_set(e, EINVAL, "%s: 0x%" PRIx64 " bytes at 0x%" PRIx64 " on the %s bus",
			r->name, r->size, r->base, b->name);
	pthread_rwlock_wrlock(&b->lock);
	ret = bus_grow(b);
	if (ret == 0) {
		b->region[b->n++] = *r;
		bus_rebuild(b);
	}
	pthread_rwlock_unlock(&b->lock);
	if (ret < 0)
		return err_sys(e, -ret, "%s on the %s bus", r->name, b->name);
	return 0;
}

void bus_remove(struct bus *b, uint64_t base, void *ctx)
{
	pthread_rwlock_wrlock(&b->lock);
	for (size_t i = 0; i < b->n; i++) {
		if (b->region[i].base != base || b->region[i].ctx != ctx)
			continue;
		b->n--;
		memmove(&b->region[i], &b->region[i + 1], (b->n - i) * sizeof(*b->region));
		bus_rebuild(b);
		break;
	}
	pthread_rwlock_unlock(&b->lock);
}

/* The region that takes the whole access, copied to @ret. */
static bool bus_find(struct bus *b, uint64_t addr, unsigned int len, struct bus_region *ret)
{
	size_t lo = 0, hi;
	bool found = false;

	pthread_rwlock_rdlock(&b->lock);
	hi = b->pieces;
	while (lo < hi) { /* the first piece that ends after addr */
		size_t mid = lo + (hi - lo) / 2;

		if (b->piece[mid].at.end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < b->pieces && b->piece[lo].at.start <= addr) {
		const struct bus_region *r = &b->region[b->piece[lo].region];

		found = len <= r->size && addr - r->base <= r->size - len;
		if (found)
			*ret = *r;
	}
	pthread_rwlock_unlock(&b->lock);
	if (!found)
		atomic_fetch_add_explicit(&b->unclaimed, 1, memory_order_relaxed);
	return found;
}

uint64_t bus_read(struct bus *b, uint64_t addr, unsigned int len)
{
	struct bus_region r;

	if (!bus_find(b, addr, len, &r)) {
		log_debug("%s: nobody answers a read of %u at 0x%" PRIx64, b->name, len, addr);
		return ones(len);
	}
	return r.read(r.ctx, addr - r.base, len) & ones(len);
}

void bus_write(struct bus *b, uint64_t addr, unsigned int len, uint64_t val)
{
	struct bus_region r;

	val &= ones(len);
	if (!bus_find(b, addr, len, &r)) {
		log_debug("%s: nobody takes a write of %u at 0x%" PRIx64 ": 0x%" PRIx64, b->name,
			len, addr, val);
		return;
	}
	r.write(r.ctx, addr - r.base, len, val);
}

uint64_t bus_unclaimed(const struct bus *b)
{
	return atomic_load_explicit(&b->unclaimed, memory_order_relaxed);
}
