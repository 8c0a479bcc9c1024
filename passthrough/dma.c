// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Guest RAM in an I/O address space: a listener of guest memory that maps gpa = iova, and takes it
 * all away while the guest's own remapping unit blocks a device in there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "passthrough/internal.h"

struct dma_map {
	struct gmem_listener listener;
	struct ioas *io;
	struct gmem *mem;
	pthread_mutex_t lock; /* the address space, while the guest runs; and what is below */
	unsigned int blocks;  /* devices that are blocked */
	bool mapped;
};

static int dma_map_add(struct gmem_listener *l, const struct gmem_region *r, struct err *e)
{
	struct dma_map *m = container_of(l, struct dma_map, listener);
	int ret;

	ret = ioas_map(m->io, r->gpa, r->size, r->hva, IOAS_READ | IOAS_WRITE, e);
	if (ret < 0)
		return err_wrap(e, ret, "map guest RAM at gpa %#" PRIx64 " for DMA", r->gpa);
	return 0;
}

static void dma_map_del(struct gmem_listener *l, const struct gmem_region *r)
{
	struct dma_map *m = container_of(l, struct dma_map, listener);
	struct err e = {0};

	if (!m->mapped)
		return;
	if (ioas_unmap(m->io, r->gpa, r->size, &e) < 0)
		log_debug("unmap guest RAM: %s", e.text);
}

static int dma_map_all(struct dma_map *m, struct err *e)
{
	const struct gmem_region *v;
	unsigned int n = gmem_regions(m->mem, &v);

	for (unsigned int i = 0; i < n; i++) {
		int r = dma_map_add(&m->listener, &v[i], e);

		if (r < 0) {
			while (i-- > 0)
				(void)ioas_unmap(m->io, v[i].gpa, v[i].size, NULL);
			return r;
		}
	}
	m->mapped = true;
	return 0;
}

/* To the end whatever fails: each region less is one that the device cannot reach. */
static int dma_unmap_all(struct dma_map *m, struct err *e)
{
	const struct gmem_region *v;
	unsigned int n = gmem_regions(m->mem, &v);
	int r = 0;

	for (unsigned int i = n; i-- > 0;) {
		int one = ioas_unmap(m->io, v[i].gpa, v[i].size, e);

		r = one < 0 ? one : r;
	}
	m->mapped = r < 0;
	return r;
}

int dma_map_block(struct dma_map *m, bool block, struct err *e)
{
	int r = 0;

	pthread_mutex_lock(&m->lock);
	m->blocks += block ? 1 : -1u;
	if (m->blocks && m->mapped)
		r = dma_unmap_all(m, e);
	else if (!m->blocks && !m->mapped)
		r = dma_map_all(m, e);
	pthread_mutex_unlock(&m->lock);
	return r;
}

void dma_map_leave(struct dma_map *m, struct vdev *d, bool blocked)
{
	struct err e = {0};

	if (!m) {
		vdev_close_wanted(d);
		return;
	}
	pthread_mutex_lock(&m->lock);
	vdev_close_wanted(d);
	pthread_mutex_unlock(&m->lock);
	/* -ENODEV: it was the last. */
	if (blocked && dma_map_block(m, false, &e) < 0)
		log_debug("%s", e.text);
}

/* The reserved window, i.e. the gap of @windows, in which @ram first leaves them. */
static struct range window_reserved(const struct range_list *windows, struct range ram)
{
	struct range gap = {.start = 0, .end = UINT64_MAX};

	for (size_t i = 0; i < windows->n; i++) {
		gap.end = windows->v[i].start;
		if (range_overlaps(gap, ram))
			return gap;
		gap.start = windows->v[i].end;
	}
	gap.end = UINT64_MAX;
	return gap;
}

static int windows_check(struct ioas *io, struct gmem *mem, struct err *e)
{
	_cleanup_(range_list_finish) struct range_list windows = {0};
	const struct gmem_region *v;
	struct range ram, gap;
	unsigned int n;
	int r;

	r = ioas_windows(io, &windows);
	if (r < 0)
		return err_sys(e, -r, "ask for the DMA windows of the IOMMU");
	n = gmem_regions(mem, &v);
	for (unsigned int i = 0; i < n; i++) {
		if (!range_make(v[i].gpa, v[i].size, &ram))
			return err_set(e, ERANGE, "guest RAM at %#" PRIx64 " wraps", v[i].gpa);
		if (range_list_contains(&windows, ram))
			continue;
		gap = window_reserved(&windows, ram);
		if (gap.end == UINT64_MAX)
			return err_set(e, ERANGE,
				"guest RAM [%#" PRIx64 ", %#" PRIx64
				") ends above what the IOMMU can translate (%#" PRIx64
				"): give the guest less memory",
				ram.start, ram.end, gap.start);
		return err_set(e, ERANGE,
			"guest RAM [%#" PRIx64 ", %#" PRIx64
			") overlaps the IOMMU's reserved window [%#" PRIx64 ", %#" PRIx64
			"): give the guest less memory, so that it ends below",
			ram.start, ram.end, gap.start, gap.end);
	}
	return 0;
}

int dma_map_create(struct ioas *io, struct gmem *mem, struct err *e, struct dma_map **ret)
{
	struct dma_map *m;
	int r;

	/* Both would come back from the kernel as a bare errno after seconds of pinning. */
	r = ioas_memlock_check(gmem_size(mem), e);
	if (r < 0)
		return r;
	r = windows_check(io, mem, e);
	if (r < 0)
		return r;
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_sys(e, ENOMEM, "DMA mapping of guest RAM");
	*m = (struct dma_map){
		.listener = {.add = dma_map_add, .del = dma_map_del},
		.io = io,
		.mem = mem,
		.mapped = true,
	};
	pthread_mutex_init(&m->lock, NULL);
	r = gmem_listen(mem, &m->listener, e);
	if (r < 0) {
		pthread_mutex_destroy(&m->lock);
		free(m);
		return r;
	}
	*ret = m;
	return 0;
}

void dma_map_destroy(struct dma_map *m)
{
	if (!m)
		return;
	gmem_unlisten(m->mem, &m->listener);
	pthread_mutex_destroy(&m->lock);
	free(m);
}
