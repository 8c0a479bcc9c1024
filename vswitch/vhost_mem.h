/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory a front end shares: files it sends, mapped here. "Memory regions description" of the
 * vhost-user protocol. A file may be shorter than its description says, become shorter later (see
 * bus_guard.h), or have its pages come from a process that never delivers them; the first and the last
 * are refused. Control thread, the datapath paused where memory in use goes away. Private to vswitch.
 */
#ifndef VIADUCT_VSWITCH_VHOST_MEM_H
#define VIADUCT_VSWITCH_VHOST_MEM_H

#include "common/err.h"
#include "vswitch/bus_guard.h"
#include "vswitch/vhost_msg.h"
#include "vswitch/vmem.h"

struct vhost_map {
	struct bus_guard guard;
	uint8_t *hva; /* of the piece asked for; the mapping may begin before it */
};

/*
 * Map bytes [@offset, @offset + @size) of @fd, which stays the caller's; @wake_fd is signalled when
 * they go away. -EINVAL: no such bytes, no regular file, or one whose pages another process or host
 * delivers; or what fstat(2) and mmap(2) say.
 */
int vhost_map_create(
	int fd, uint64_t offset, uint64_t size, int wake_fd, struct err *e, struct vhost_map **ret);
void vhost_map_destroy(struct vhost_map *m);

/* Zero-initialise. */
struct vhost_mem {
	struct vmem vmem;
	struct vhost_map *map[VMEM_REGIONS];
};

/* Map @region of @fd, which stays the caller's, and add it. As vhost_map_create() and vmem_add(). */
int vhost_mem_add(
	struct vhost_mem *m, const struct vhost_region *region, int fd, int wake_fd, struct err *e);

/* Take out what has @region's addresses and size. -ENOENT */
int vhost_mem_del(struct vhost_mem *m, const struct vhost_region *region, struct err *e);

void vhost_mem_finish(struct vhost_mem *m);

#endif
