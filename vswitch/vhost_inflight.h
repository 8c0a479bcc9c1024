/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory in which a back end notes what it has taken from the rings and not given back, so that
 * the next one can go on where it died: "Inflight I/O tracking" of the vhost-user protocol. We make
 * it, the front end keeps it. One part per ring, each as long as the longest ring's; vring.h writes
 * and reads them. Private to vswitch.
 */
#ifndef VIADUCT_VSWITCH_VHOST_INFLIGHT_H
#define VIADUCT_VSWITCH_VHOST_INFLIGHT_H

#include <stdbool.h>

#include "vswitch/vhost_mem.h"

/* Zero-initialise. */
struct vhost_inflight {
	struct vhost_map *map;
	unsigned int queues;
	uint16_t queue_size;
	size_t stride;
};

/*
 * Make an area for @d's queues of @d's size; fills in the rest of @d. The caller owns *@ret_fd.
 * -EINVAL: no such queues (at most @queues_max); or what memfd_create(2) says.
 */
int vhost_inflight_make(bool packed, unsigned int queues_max, struct vhost_inflight_desc *d,
	struct err *e, int *ret_fd);

/*
 * Use the area @fd holds, which stays the caller's, in place of another one. -EINVAL: it cannot hold
 * what @d says; or as vhost_map_create().
 */
int vhost_inflight_set(struct vhost_inflight *f, bool packed, unsigned int queues_max,
	const struct vhost_inflight_desc *d, int fd, int wake_fd, struct err *e);

/* The part of a ring of @size, and in *@ret_size its bytes; NULL when it has none. */
void *vhost_inflight_part(
	const struct vhost_inflight *f, unsigned int ring, uint16_t size, size_t *ret_size);

void vhost_inflight_finish(struct vhost_inflight *f);

#endif
