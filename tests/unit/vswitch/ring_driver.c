// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/vswitch/ring_driver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Offsets in the ring's region. */
#define DESC   0x0u
#define AVAIL  0x40000u
#define USED   0x60000u
#define TABLES 0x90000u

static uint8_t *block_of(struct ring_driver *d, uint64_t gpa, uint64_t *ret_offset)
{
	for (unsigned int i = 0; i < d->mem.nr; i++)
		if (gpa >= d->mem.regions[i].gpa &&
			gpa < d->mem.regions[i].gpa + d->mem.regions[i].size) {
			*ret_offset = gpa - d->mem.regions[i].gpa;
			return d->mem.regions[i].hva;
		}
	return NULL;
}

uint8_t *driver_hva(struct ring_driver *d, uint64_t gpa)
{
	uint64_t offset = 0;
	uint8_t *base = block_of(d, gpa, &offset);

	HOLDS(base);
	return base + offset;
}

struct vring_desc *driver_desc(struct ring_driver *d, unsigned int i)
{
	return (struct vring_desc *)driver_hva(d, RING_GPA + DESC) + i;
}

struct vring_packed_desc *driver_pdesc(struct ring_driver *d, unsigned int i)
{
	return (struct vring_packed_desc *)driver_hva(d, RING_GPA + DESC) + i;
}

struct vring_avail *driver_avail(struct ring_driver *d)
{
	return (struct vring_avail *)driver_hva(d, RING_GPA + AVAIL);
}

struct vring_used *driver_used(struct ring_driver *d)
{
	return (struct vring_used *)driver_hva(d, RING_GPA + USED);
}

struct vring_packed_desc_event *driver_event(struct ring_driver *d)
{
	return (struct vring_packed_desc_event *)driver_hva(d, RING_GPA + AVAIL);
}

struct vring_packed_desc_event *device_event(struct ring_driver *d)
{
	return (struct vring_packed_desc_event *)driver_hva(d, RING_GPA + USED);
}

int driver_start_device(struct ring_driver *d, bool to_guest, uint32_t base, struct err *e)
{
	struct vring_setup s = {
		.mem = &d->mem,
		.features = d->features,
		.to_guest = to_guest,
		.size = d->size,
		.desc = driver_desc(d, 0),
		.avail = driver_avail(d),
		.used = driver_used(d),
		.base = base,
		.inflight = d->inflight,
		.inflight_size = d->inflight ? vring_inflight_size(d->packed, d->size) : 0,
		.kick_fd = d->kick_fd,
		.call_fd = d->call_fd,
	};

	return vring_start(&d->dev, &s, e);
}

static void region_make(struct ring_driver *d, uint64_t gpa, uint64_t size)
{
	unsigned int i = d->mem.nr;
	struct vmem_region r = {.gpa = gpa, .size = size, .uva = gpa + (1ull << 40)};
	struct err e;

	d->block[i] = aligned_alloc(64, size + 2 * GUARD);
	memset(d->block[i], 0xa5, size + 2 * GUARD);
	memset(d->block[i] + GUARD, 0, size);
	r.hva = d->block[i] + GUARD;
	ck_assert_int_eq(vmem_add(&d->mem, &r, &e), 0);
}

void driver_init(struct ring_driver *d, uint64_t features, uint16_t size, bool to_guest)
{
	struct err e = {0};

	*d = (struct ring_driver){
		.features = features | BIT(F_VERSION1),
		.packed = features & BIT(F_PACKED),
		.size = size,
		.avail_wrap = true,
		.used_wrap = true,
		.free_slots = size,
		.nr_free = size,
	};
	ck_assert_uint_le(size, 1024);
	region_make(d, RING_GPA, RING_SIZE);
	/* The second in front of the first, here. */
	region_make(d, BUF_GPA + BUF_SIZE, BUF_SIZE);
	region_make(d, BUF_GPA, BUF_SIZE);
	for (uint16_t i = 0; i < size; i++)
		d->free_ids[i] = (uint16_t)(size - 1 - i);
	/* Soon to go round. */
	if (!d->packed)
		d->avail = d->used = driver_avail(d)->idx = driver_used(d)->idx = 0xfff8;
	d->kick_fd = eventfd(0, EFD_NONBLOCK);
	d->call_fd = eventfd(0, EFD_NONBLOCK);
	ck_assert_msg(
		driver_start_device(d, to_guest, d->packed ? 1 << 15 : 0, &e) == 0, "%s", e.text);
}

void driver_finish(struct ring_driver *d)
{
	ck_assert(driver_guards(d));
	for (unsigned int i = 0; i < d->mem.nr; i++)
		free(d->block[i]);
	close(d->kick_fd);
	close(d->call_fd);
	free(d->inflight);
}

bool driver_guards(const struct ring_driver *d)
{
	for (unsigned int i = 0; i < d->mem.nr; i++)
		for (unsigned int k = 0; k < GUARD; k++)
			if (d->block[i][k] != 0xa5 ||
				d->block[i][GUARD + d->mem.regions[i].size + k] != 0xa5)
				return false;
	return true;
}

static uint64_t table_make(struct ring_driver *d, const struct part *p, unsigned int n)
{
	uint64_t gpa;

	if (TABLES + d->tables + n * 16 > RING_SIZE)
		d->tables = 0;
	gpa = RING_GPA + TABLES + d->tables;
	d->tables += n * 16;
	for (unsigned int i = 0; i < n; i++) {
		void *at = driver_hva(d, gpa + i * 16);
		uint16_t flags = p[i].write ? VRING_DESC_F_WRITE : 0;

		if (d->packed)
			*(struct vring_packed_desc *)at = (struct vring_packed_desc){
				.addr = p[i].gpa, .len = p[i].len, .flags = flags};
		else
			*(struct vring_desc *)at = (struct vring_desc){.addr = p[i].gpa,
				.len = p[i].len,
				.flags = flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0),
				.next = (uint16_t)(i + 1)};
	}
	return gpa;
}

static int split_add(struct ring_driver *d, const struct part *p, unsigned int n, bool indirect)
{
	unsigned int slots = indirect ? 1 : n, head = 0, last = 0;

	if (d->free_slots < slots)
		return -1;
	for (unsigned int i = 0; i < slots; i++) {
		/* Whichever entry is free, so heads and nexts are in no order. */
		uint16_t at = d->free_ids[--d->nr_free];

		if (indirect)
			*driver_desc(d, at) = (struct vring_desc){.addr = table_make(d, p, n),
				.len = n * 16,
				.flags = VRING_DESC_F_INDIRECT};
		else
			*driver_desc(d, at) = (struct vring_desc){.addr = p[i].gpa,
				.len = p[i].len,
				.flags = p[i].write ? VRING_DESC_F_WRITE : 0};
		if (i) {
			driver_desc(d, last)->flags |= VRING_DESC_F_NEXT;
			driver_desc(d, last)->next = at;
		} else {
			head = at;
		}
		last = at;
	}
	d->free_slots -= slots;
	d->slots_of[head] = (uint16_t)slots;
	d->out[head] = true;
	driver_avail(d)->ring[d->avail % d->size] = (uint16_t)head;
	__atomic_store_n(&driver_avail(d)->idx, ++d->avail, __ATOMIC_RELEASE);
	return (int)head;
}

static int packed_add(struct ring_driver *d, const struct part *p, unsigned int n, bool indirect)
{
	unsigned int slots = indirect ? 1 : n;
	uint16_t first = d->avail, id, first_flags = 0;

	if (d->free_slots < slots)
		return -1;
	id = d->free_ids[--d->nr_free];
	for (unsigned int i = 0; i < slots; i++) {
		struct vring_packed_desc *at = driver_pdesc(d, d->avail);
		uint16_t flags = d->avail_wrap ? 1 << 7 : 1 << 15;

		if (indirect) {
			at->addr = table_make(d, p, n);
			at->len = n * 16;
			flags |= VRING_DESC_F_INDIRECT;
		} else {
			at->addr = p[i].gpa;
			at->len = p[i].len;
			flags |= (p[i].write ? VRING_DESC_F_WRITE : 0) |
				 (i + 1 < n ? VRING_DESC_F_NEXT : 0);
		}
		/* Only the last one's counts. */
		at->id = i + 1 == slots ? id : 0xdead;
		if (i)
			at->flags = flags;
		else
			first_flags = flags;
		if (++d->avail == d->size) {
			d->avail = 0;
			d->avail_wrap = !d->avail_wrap;
		}
	}
	__atomic_store_n(&driver_pdesc(d, first)->flags, first_flags, __ATOMIC_RELEASE);
	d->free_slots -= slots;
	d->slots_of[id] = (uint16_t)slots;
	d->out[id] = true;
	return id;
}

int driver_add(struct ring_driver *d, const struct part *parts, unsigned int n, bool indirect)
{
	return d->packed ? packed_add(d, parts, n, indirect) : split_add(d, parts, n, indirect);
}

static void entries_free(struct ring_driver *d, uint16_t id)
{
	uint16_t at = id;

	for (unsigned int i = 0; i < (d->packed ? 1u : d->slots_of[id]); i++) {
		d->free_ids[d->nr_free++] = at;
		at = driver_desc(d, at)->next;
	}
	d->free_slots += d->slots_of[id];
}

bool driver_take(struct ring_driver *d, uint16_t *ret_id, uint32_t *ret_len)
{
	if (d->packed) {
		const struct vring_packed_desc *at = driver_pdesc(d, d->used);
		uint16_t flags = __atomic_load_n(&at->flags, __ATOMIC_ACQUIRE);

		if (!!(flags & 1 << 7) != d->used_wrap || !!(flags & 1 << 15) != d->used_wrap)
			return false;
		*ret_id = at->id;
		*ret_len = at->len;
		HOLDS(*ret_id < d->size);
		d->used += d->slots_of[*ret_id];
		if (d->used >= d->size) {
			d->used -= d->size;
			d->used_wrap = !d->used_wrap;
		}
	} else {
		const struct vring_used_elem *at = &driver_used(d)->ring[d->used % d->size];

		if (__atomic_load_n(&driver_used(d)->idx, __ATOMIC_ACQUIRE) == d->used)
			return false;
		HOLDS(at->id < d->size);
		*ret_id = (uint16_t)at->id;
		*ret_len = at->len;
		d->used++;
	}
	HOLDS(d->out[*ret_id]);
	d->out[*ret_id] = false;
	entries_free(d, *ret_id);
	return true;
}
