// SPDX-License-Identifier: GPL-2.0-or-later
/* Regions: what the kernel says about them, access through the fd, and mapping. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vfio/internal.h"

#define ALIGN_MAX (1ull << 30) /* the largest page of a pfnmap */

static uint64_t page_up(uint64_t v, uint64_t page)
{
	return (v + page - 1) & -page;
}

static int area_cmp(const void *a, const void *b)
{
	const struct vdev_area *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Add an area, cut down to whole pages; the end of the region counts as the end of a page. */
static int area_add(struct vdev_region *reg, uint64_t off, uint64_t size, uint64_t page)
{
	uint64_t end, start;

	if (__builtin_add_overflow(off, size, &end) || end > reg->size)
		return -EPROTO;
	start = page_up(off, page);
	if (end != reg->size)
		end &= -page;
	/* Empty ones occur: an older kernel says so that nothing around the MSI-X table is left.
	 * What is beyond our table is not mapped and so trapped: slower, not wrong. */
	if (start < off || start >= end || reg->n_areas == VDEV_MAX_AREAS)
		return 0;
	reg->areas[reg->n_areas++] = (struct vdev_area){start, end - start};
	return 0;
}

static int areas_parse(const struct info_cap *cap, uint64_t page, struct vdev_region *reg)
{
	const size_t head = offsetof(struct vfio_region_info_cap_sparse_mmap, areas);
	uint32_t n;

	if (cap->len < head)
		return -EPROTO;
	memcpy(&n, cap->data + offsetof(struct vfio_region_info_cap_sparse_mmap, nr_areas),
		sizeof(n));
	if (n > (cap->len - head) / sizeof(struct vfio_region_sparse_mmap_area))
		return -EPROTO;
	reg->n_areas = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct vfio_region_sparse_mmap_area a;
		int r;

		memcpy(&a, cap->data + head + i * sizeof(a), sizeof(a));
		r = area_add(reg, a.offset, a.size, page);
		if (r < 0)
			return r;
	}
	qsort(reg->areas, reg->n_areas, sizeof(reg->areas[0]), area_cmp);
	for (unsigned int i = 1; i < reg->n_areas; i++) {
		if (reg->areas[i - 1].offset + reg->areas[i - 1].size > reg->areas[i].offset)
			return -EPROTO;
	}
	return 0;
}

int region_info_parse(const void *buf, size_t len, uint64_t page, struct vdev_region *ret)
{
	struct vdev_region reg = {0};
	struct vfio_region_info head;
	struct info_caps caps;
	struct info_cap cap;
	bool sparse = false;
	uint64_t end;
	int r = 0;

	if (len < sizeof(head))
		return -EPROTO;
	memcpy(&head, buf, sizeof(head));
	if (__builtin_add_overflow(head.offset, head.size, &end) || end > INT64_MAX)
		return -EPROTO;
	reg.size = head.size;
	reg.offset = head.offset;
	reg.readable = head.flags & VFIO_REGION_INFO_FLAG_READ;
	reg.writable = head.flags & VFIO_REGION_INFO_FLAG_WRITE;
	reg.mappable = reg.size && (head.flags & VFIO_REGION_INFO_FLAG_MMAP);
	if (head.flags & VFIO_REGION_INFO_FLAG_CAPS) {
		info_caps_init(&caps, buf, len, sizeof(head), head.cap_offset);
		while ((r = info_caps_next(&caps, &cap)) > 0) {
			if (cap.id == VFIO_REGION_INFO_CAP_MSIX_MAPPABLE)
				reg.msix_mappable = true;
			if (cap.id != VFIO_REGION_INFO_CAP_SPARSE_MMAP || !reg.mappable)
				continue;
			sparse = true;
			r = areas_parse(&cap, page, &reg);
			if (r < 0)
				return r;
		}
	}
	if (r < 0)
		return r;
	if (reg.mappable && !sparse)
		area_add(&reg, 0, reg.size, page);
	*ret = reg;
	return 0;
}

int vdev_regions_read(struct vdev *d, struct err *e)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (unsigned int i = 0; i < d->n_regions; i++) {
		struct vfio_region_info head = {.argsz = sizeof(head), .index = i};
		_cleanup_free_ void *buf = NULL;
		size_t len;
		int r;

		r = info_query(d->sys, d->at.fd, VFIO_DEVICE_GET_REGION_INFO, &head, sizeof(head),
			&buf, &len);
		/* The VGA region of a function without VGA; it stays at size 0. */
		if (r == -EINVAL && i > VFIO_PCI_CONFIG_REGION_INDEX)
			continue;
		if (r < 0)
			return err_sys(
				e, -r, "%s: VFIO_DEVICE_GET_REGION_INFO of region %u", d->name, i);
		r = region_info_parse(buf, len, page, &d->regions[i]);
		if (r < 0)
			return err_set(e, -r,
				"%s: the kernel's answer about region %u contradicts itself",
				d->name, i);
	}
	return 0;
}

int vdev_region(const struct vdev *d, unsigned int index, struct vdev_region *ret)
{
	if (index >= d->n_regions)
		return -EINVAL;
	*ret = d->regions[index];
	return 0;
}

/* Position in the device fd of [off, off+len) of a region. */
static int region_pos(
	const struct vdev *d, unsigned int index, uint64_t off, size_t len, uint64_t *ret)
{
	const struct vdev_region *reg;

	if (index >= d->n_regions)
		return -EINVAL;
	reg = &d->regions[index];
	if (off > reg->size || len > reg->size - off)
		return -EINVAL;
	*ret = reg->offset + off;
	return 0;
}

int vdev_read(const struct vdev *d, unsigned int index, uint64_t off, void *buf, size_t len)
{
	uint64_t pos;
	ssize_t n;
	int r;

	r = region_pos(d, index, off, len, &pos);
	if (r >= 0) {
		n = d->sys->pread(d->sys->ctx, d->at.fd, buf, len, pos);
		if (n >= 0 && (size_t)n == len)
			return 0;
		r = n < 0 ? (int)n : -EIO;
	}
	memset(buf, 0xff, len);
	return r;
}

int vdev_write(const struct vdev *d, unsigned int index, uint64_t off, const void *buf, size_t len)
{
	uint64_t pos;
	ssize_t n;
	int r;

	r = region_pos(d, index, off, len, &pos);
	if (r < 0)
		return r;
	n = d->sys->pwrite(d->sys->ctx, d->at.fd, buf, len, pos);
	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EIO;
}

static bool area_holds(const struct vdev_region *reg, uint64_t off, uint64_t size)
{
	for (unsigned int i = 0; i < reg->n_areas; i++) {
		const struct vdev_area *a = &reg->areas[i];

		if (off >= a->offset && off - a->offset < a->size &&
			size <= a->size - (off - a->offset))
			return true;
	}
	return false;
}

/*
 * mmap @len bytes at @pos of the device so that the address is @off modulo @align: reserve more
 * than needed, map over the middle, give the rest back.
 */
static int map_aligned(struct vdev *d, int prot, uint64_t len, uint64_t align, uint64_t off,
	uint64_t pos, void **ret)
{
	const struct vfio_sys *sys = d->sys;
	uintptr_t room, at;
	void *base, *p;
	int r;

	r = sys->mmap(sys->ctx, NULL, len + align, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, &base);
	if (r < 0)
		return r;
	room = (uintptr_t)base;
	at = room + ((off - room) & (align - 1));
	r = sys->mmap(sys->ctx, (void *)at, len, prot, MAP_SHARED | MAP_FIXED, d->at.fd, pos, &p);
	if (r < 0) {
		sys->munmap(sys->ctx, base, len + align);
		return r;
	}
	if (at > room)
		sys->munmap(sys->ctx, base, at - room);
	sys->munmap(sys->ctx, (void *)(at + len), room + align - at);
	*ret = p;
	return 0;
}

int vdev_region_mmap(
	struct vdev *d, unsigned int index, uint64_t off, uint64_t size, struct err *e, void **ret)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), align = page, len;
	const struct vdev_region *reg;
	struct vdev_mapping *m;
	int prot, r;

	if (index >= d->n_regions || !size || off & (page - 1) ||
		!area_holds(&d->regions[index], off, size))
		return err_set(e, EINVAL, "%s: [%#llx, +%#llx) of region %u may not be mapped",
			d->name, (unsigned long long)off, (unsigned long long)size, index);
	reg = &d->regions[index];
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_sys(e, ENOMEM, "%s: map region %u", d->name, index);
	prot = (reg->readable ? PROT_READ : 0) | (reg->writable ? PROT_WRITE : 0);
	len = page_up(size, page);
	while (align < len && align < ALIGN_MAX)
		align <<= 1;
	r = map_aligned(d, prot, len, align, off, reg->offset + off, &m->hva);
	if (r < 0) {
		free(m);
		return err_sys(e, -r, "%s: map [%#llx, +%#llx) of region %u", d->name,
			(unsigned long long)off, (unsigned long long)size, index);
	}
	m->size = len;
	m->next = d->maps;
	d->maps = m;
	*ret = m->hva;
	return 0;
}

void vdev_region_munmap(struct vdev *d, void *hva, uint64_t size)
{
	for (struct vdev_mapping **p = &d->maps; *p; p = &(*p)->next) {
		struct vdev_mapping *m = *p;

		if (m->hva != hva)
			continue;
		*p = m->next;
		d->sys->munmap(d->sys->ctx, m->hva, m->size);
		free(m);
		return;
	}
}

void vdev_regions_unmap(struct vdev *d)
{
	while (d->maps)
		vdev_region_munmap(d, d->maps->hva, d->maps->size);
}
