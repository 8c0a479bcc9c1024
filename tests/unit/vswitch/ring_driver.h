/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a virtqueue, written from the specification and as plainly as can be: it makes
 * chains available, takes what was used, and checks that each was given out and comes back once. Its
 * memory is three regions: [A, A + size) with rings and tables, and two that are neighbours to the
 * guest and far apart here.
 */
#ifndef VIADUCT_TESTS_RING_DRIVER_H
#define VIADUCT_TESTS_RING_DRIVER_H

#include <check.h>

#include "vswitch/vring.h"

#define F_INDIRECT 28
#define F_EVENT    29
#define F_VERSION1 32
#define F_PACKED   34
#define F_INORDER  35
#define BIT(n)     (1ull << (n))

#define RING_GPA  0x100000u
#define RING_SIZE 0x100000u
#define BUF_GPA   0x40000000u /* two regions of BUF_SIZE from here on */
#define BUF_SIZE  0x40000u
#define GUARD     64 /* bytes around each region that must stay as they are */

/* Each ck_assert() that holds is a write to a pipe: too many, in loops. */
#define HOLDS(c)                                \
	do {                                    \
		if (!(c))                       \
			ck_abort_msg("%s", #c); \
	} while (0)

struct part {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

struct ring_driver {
	uint8_t *block[3]; /* with guards */
	struct vmem mem;
	uint64_t features;
	bool packed;
	uint16_t size;
	struct vring_dev dev;
	int kick_fd, call_fd;
	void *inflight;

	/* the driver's own */
	uint16_t avail, used; /* split: free running; packed: position */
	bool avail_wrap, used_wrap;
	uint16_t free_ids[1024], nr_free;
	uint16_t slots_of[1024]; /* packed, by id */
	uint16_t free_slots;
	bool out[1024];
	uint16_t desc_next; /* split: the next entry of the table to fill */
	uint32_t tables;    /* of indirect tables, offset in the ring's region */
	/* in front of what driver_kick_next() makes visible */
	uint16_t first_flags, first_slot;
	bool pending;
};

/* All of it, empty, and the device started unless @no_start. */
void driver_init(struct ring_driver *d, uint64_t features, uint16_t size, bool to_guest);
void driver_finish(struct ring_driver *d);
int driver_start_device(struct ring_driver *d, bool to_guest, uint32_t base, struct err *e);

uint8_t *driver_hva(struct ring_driver *d, uint64_t gpa);

/* Make a chain available; @indirect: by a table. Returns its id, or -1 when there is no room. */
int driver_add(struct ring_driver *d, const struct part *parts, unsigned int n, bool indirect);

/* Take one used; false: there is none. Checks that it was out. */
bool driver_take(struct ring_driver *d, uint16_t *ret_id, uint32_t *ret_len);

/* Are all guards as they were? */
bool driver_guards(const struct ring_driver *d);

struct vring_desc *driver_desc(struct ring_driver *d, unsigned int i);
struct vring_packed_desc *driver_pdesc(struct ring_driver *d, unsigned int i);
struct vring_avail *driver_avail(struct ring_driver *d);
struct vring_used *driver_used(struct ring_driver *d);
struct vring_packed_desc_event *driver_event(struct ring_driver *d); /* what the driver wants */
struct vring_packed_desc_event *device_event(struct ring_driver *d); /* what the device wants */

#endif
