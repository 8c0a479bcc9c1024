// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/vfio.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "vfio/internal.h"

void ioas_init(struct ioas *io, const struct ioas_ops *ops, const struct vfio_sys *sys)
{
	*io = (struct ioas){.ops = ops, .sys = sys};
}

void ioas_finish(struct ioas *io)
{
	range_list_finish(&io->windows);
	free(io->maps);
	io->maps = NULL;
	io->n_maps = io->cap_maps = 0;
}

void ioas_destroy(struct ioas *io)
{
	if (!io)
		return;
	assert(!io->open);
	io->ops->destroy(io);
}

/* Windows and page sizes, as they are with all present devices. */
static int ioas_refresh(struct ioas *io, struct err *e)
{
	struct ioas_info info = {0};
	int r;

	r = io->ops->info(io, e, &info);
	if (r >= 0 && !info.windows_known) {
		/* Linux before 5.5 does not list its windows, but sysfs lists what is reserved. */
		r = range_list_add(&info.windows, (struct range){0, UINT64_MAX});
		for (size_t i = 0; r >= 0 && i < io->n_resv; i++)
			r = range_list_sub(&info.windows, io->resv[i].r);
	}
	if (r < 0) {
		range_list_finish(&info.windows);
		return r;
	}
	range_list_finish(&io->windows);
	io->windows = info.windows;
	io->page_sizes = info.page_sizes ? info.page_sizes : (uint64_t)sysconf(_SC_PAGESIZE);
	io->known = true;
	return 0;
}

int ioas_joined(struct ioas *io, const struct attach_req *req, struct err *e)
{
	int r;

	io->n_resv += group_resv(
		req->sysfs, req->group, io->resv + io->n_resv, IOAS_MAX_RESV - io->n_resv);
	r = ioas_refresh(io, e);
	if (r < 0)
		return err_wrap(e, r, "%s", req->name);
	if (io->live)
		return 0;
	/* On failure the caller leaves the address space again, which unmaps what was done. */
	for (size_t i = 0; i < io->n_maps; i++) {
		r = io->ops->map(io, &io->maps[i]);
		if (r < 0)
			return err_sys(e, -r, "%s: map [%#" PRIx64 ", %#" PRIx64 ") again",
				req->name, io->maps[i].iova.start, io->maps[i].iova.end);
	}
	io->live = true;
	return 0;
}

void ioas_left(struct ioas *io)
{
	io->live = false;
	io->n_resv = 0;
}

int ioas_windows(const struct ioas *io, struct range_list *ret)
{
	struct range_list l = {0};

	if (!io->known)
		return -ENODEV;
	for (size_t i = 0; i < io->windows.n; i++) {
		int r = range_list_add(&l, io->windows.v[i]);

		if (r < 0) {
			range_list_finish(&l);
			return r;
		}
	}
	*ret = l;
	return 0;
}

uint64_t ioas_page_sizes(const struct ioas *io)
{
	return io->page_sizes;
}

/* @want is not within the windows: say which reserved window it touches. */
static int refuse_outside(const struct ioas *io, struct range want, struct err *e)
{
	const struct range_list *w = &io->windows;
	struct range gap = {0, 0};

	for (size_t i = 0; i < io->n_resv; i++) {
		if (range_overlaps(io->resv[i].r, want))
			return err_set(e, ERANGE,
				"map iova [%#" PRIx64 ", %#" PRIx64 "): it touches [%#" PRIx64
				", %#" PRIx64 "), which the IOMMU reserves (%s)",
				want.start, want.end, io->resv[i].r.start, io->resv[i].r.end,
				io->resv[i].type);
	}
	for (size_t i = 0; i < w->n; i++) {
		gap.end = w->v[i].start;
		if (range_overlaps(gap, want))
			return err_set(e, ERANGE,
				"map iova [%#" PRIx64 ", %#" PRIx64 "): it touches [%#" PRIx64
				", %#" PRIx64 "), which the IOMMU reserves",
				want.start, want.end, gap.start, gap.end);
		gap.start = w->v[i].end;
	}
	return err_set(e, ERANGE,
		"map iova [%#" PRIx64 ", %#" PRIx64
		"): the IOMMU translates addresses below %#" PRIx64 " only",
		want.start, want.end, gap.start);
}

/* Index of the first mapping that ends after @iova. */
static size_t map_index(const struct ioas *io, uint64_t iova)
{
	size_t lo = 0, hi = io->n_maps;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (io->maps[mid].iova.end <= iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int map_reserve(struct ioas *io)
{
	size_t want = io->cap_maps ? io->cap_maps * 2 : 16;
	struct ioas_mapping *v;

	if (io->n_maps < io->cap_maps)
		return 0;
	v = realloc(io->maps, want * sizeof(*v));
	if (!v)
		return -ENOMEM;
	io->maps = v;
	io->cap_maps = want;
	return 0;
}

static int map_check(const struct ioas *io, uint64_t iova, uint64_t size, void *hva,
	enum ioas_prot prot, struct err *e, struct range *ret)
{
	uint64_t granule = io->page_sizes & -io->page_sizes;
	const struct ioas_mapping *m;
	struct range want;
	size_t i;

	if (!size || ((iova | size | (uintptr_t)hva) & (granule - 1)))
		return err_set(e, EINVAL,
			"map iova %#" PRIx64 " size %#" PRIx64
			" to %p: all three must be multiples of the IOMMU's page size %#" PRIx64
			" and the size not 0",
			iova, size, hva, granule);
	if (!prot || (prot & ~(IOAS_READ | IOAS_WRITE)))
		return err_set(e, EINVAL, "map iova %#" PRIx64 ": protection %#x", iova,
			(unsigned int)prot);
	if (!range_make(iova, size, &want))
		return err_set(e, ERANGE,
			"map iova %#" PRIx64 " size %#" PRIx64
			": beyond the end of the address space",
			iova, size);
	if (!range_list_contains(&io->windows, want))
		return refuse_outside(io, want, e);
	i = map_index(io, iova);
	m = i < io->n_maps ? &io->maps[i] : NULL;
	if (m && range_overlaps(m->iova, want))
		return err_set(e, EEXIST,
			"map iova [%#" PRIx64 ", %#" PRIx64 "): [%#" PRIx64 ", %#" PRIx64
			") is mapped already",
			want.start, want.end, m->iova.start, m->iova.end);
	*ret = want;
	return 0;
}

/* The kernel said @code (negative) to a mapping that we found good. */
static int map_failed(struct ioas *io, const struct ioas_mapping *m, int code, struct err *e)
{
	uint64_t size = range_size(m->iova);
	struct ioas_info info = {0};
	bool full = code == -ENOSPC;

	if (code == -ENOMEM || code == -ENOSPC) {
		struct err why = {0};

		if (io->ops->info(io, NULL, &info) >= 0 && info.avail_known && !info.avail)
			full = true;
		range_list_finish(&info.windows);
		if (full)
			return err_set(e, ENOMEM,
				"map iova [%#" PRIx64 ", %#" PRIx64
				"): all of the %zu mappings the kernel allows are in use; use "
				"larger "
				"pieces of memory, or raise dma_entry_limit of vfio_iommu_type1",
				m->iova.start, m->iova.end, io->n_maps);
		if (ioas_memlock_check(size, &why) < 0)
			return err_set(e, ENOMEM, "map iova [%#" PRIx64 ", %#" PRIx64 "): %s",
				m->iova.start, m->iova.end, why.text);
	}
	return err_sys(e, -code, "map iova [%#" PRIx64 ", %#" PRIx64 ") (%" PRIu64 " KiB) to %p",
		m->iova.start, m->iova.end, size >> 10, m->hva);
}

int ioas_map(struct ioas *io, uint64_t iova, uint64_t size, void *hva, enum ioas_prot prot,
	struct err *e)
{
	struct ioas_mapping m = {.hva = hva, .prot = prot};
	size_t i;
	int r;

	if (!io->live)
		return err_set(e, ENODEV,
			"map iova %#" PRIx64 ": no device is attached; open one first", iova);
	r = map_check(io, iova, size, hva, prot, e, &m.iova);
	if (r < 0)
		return r;
	r = map_reserve(io);
	if (r < 0)
		return err_sys(e, -r, "map iova %#" PRIx64, iova);
	r = io->ops->map(io, &m);
	if (r < 0)
		return map_failed(io, &m, r, e);
	i = map_index(io, iova);
	memmove(io->maps + i + 1, io->maps + i, (io->n_maps - i) * sizeof(m));
	io->maps[i] = m;
	io->n_maps++;
	io->stats.map_calls++;
	io->stats.map_bytes += size;
	log_debug("%s: map [%#" PRIx64 ", %#" PRIx64 ")", io->ops->name, m.iova.start, m.iova.end);
	return 0;
}

int ioas_unmap(struct ioas *io, uint64_t iova, uint64_t size, struct err *e)
{
	size_t i = map_index(io, iova);
	uint64_t done = size;
	int r = 0;

	if (i == io->n_maps || io->maps[i].iova.start != iova ||
		range_size(io->maps[i].iova) != size)
		return err_set(e, ENOENT,
			"unmap iova %#" PRIx64 " size %#" PRIx64 ": no mapping is just there", iova,
			size);
	if (io->live) {
		r = io->ops->unmap(io, io->maps[i].iova, &done);
		if (r < 0)
			return err_sys(e, -r, "unmap iova %#" PRIx64 " size %#" PRIx64, iova, size);
		io->stats.unmap_calls++;
		io->stats.unmap_bytes += done;
	}
	/* With a part still mapped the record stays: the device can still reach that memory. */
	if (done < size)
		return err_set(e, EIO,
			"unmap iova %#" PRIx64 ": the kernel unmapped %#" PRIx64 " of %#" PRIx64
			" bytes",
			iova, done, size);
	memmove(io->maps + i, io->maps + i + 1, (io->n_maps - i - 1) * sizeof(*io->maps));
	io->n_maps--;
	if (done > size)
		return err_set(e, EIO,
			"unmap iova %#" PRIx64 ": the kernel unmapped %#" PRIx64
			" bytes, more than the %#" PRIx64 " asked for",
			iova, done, size);
	return 0;
}

void ioas_stats(const struct ioas *io, struct ioas_stats *ret)
{
	*ret = io->stats;
}
