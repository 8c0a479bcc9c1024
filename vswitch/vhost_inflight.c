// SPDX-License-Identifier: GPL-2.0-or-later
#include "vswitch/vhost_inflight.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "vswitch/vring.h"

/* Both numbers are the peer's; what is multiplied from them must stay small. */
static int queues_check(const struct vhost_inflight_desc *d, unsigned int queues_max, struct err *e)
{
	if (!d->queues || d->queues > queues_max || !d->queue_size ||
		d->queue_size > VRING_SIZE_MAX)
		return err_set(e, EINVAL,
			"inflight area for %u queues of %u: there are 1 to %u of 1 to %u",
			d->queues, d->queue_size, queues_max, VRING_SIZE_MAX);
	return 0;
}

int vhost_inflight_make(bool packed, unsigned int queues_max, struct vhost_inflight_desc *d,
	struct err *e, int *ret_fd)
{
	_cleanup_fd_ int fd = -1;
	uint64_t size;
	int r = queues_check(d, queues_max, e);

	if (r < 0)
		return r;
	size = vring_inflight_size(packed, d->queue_size) * d->queues;
	fd = memfd_create("viaduct-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(e, errno, "make an inflight area of %" PRIu64 " bytes", size);
	d->size = size;
	d->offset = 0;
	*ret_fd = fd_steal(&fd);
	return 0;
}

int vhost_inflight_set(struct vhost_inflight *f, bool packed, unsigned int queues_max,
	const struct vhost_inflight_desc *d, int fd, int wake_fd, struct err *e)
{
	struct vhost_map *map;
	size_t stride;
	int r = queues_check(d, queues_max, e);

	if (r < 0)
		return r;
	stride = vring_inflight_size(packed, d->queue_size);
	if (d->size < (uint64_t)stride * d->queues || d->offset % 8)
		return err_set(e, EINVAL,
			"inflight area of %" PRIu64 " bytes at %" PRIu64
			": %u queues of %u take %zu, at a multiple of 8",
			d->size, d->offset, d->queues, d->queue_size, stride * d->queues);
	r = vhost_map_create(fd, d->offset, (uint64_t)stride * d->queues, wake_fd, e, &map);
	if (r < 0)
		return err_wrap(e, r, "inflight area");
	vhost_inflight_finish(f);
	*f = (struct vhost_inflight){
		.map = map, .queues = d->queues, .queue_size = d->queue_size, .stride = stride};
	return 0;
}

void *vhost_inflight_part(
	const struct vhost_inflight *f, unsigned int ring, uint16_t size, size_t *ret_size)
{
	if (!f->map || ring >= f->queues || size > f->queue_size)
		return NULL;
	*ret_size = f->stride;
	return f->map->hva + ring * f->stride;
}

void vhost_inflight_finish(struct vhost_inflight *f)
{
	vhost_map_destroy(f->map);
	*f = (struct vhost_inflight){0};
}
