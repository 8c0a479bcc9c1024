// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vfio/internal.h"

/* The longest honest answer, 2^16 iova ranges, is 1 MiB; anything above is refused. */
#define INFO_MAX (2u << 20)

void info_caps_init(struct info_caps *c, const void *buf, size_t len, size_t head, uint32_t first)
{
	*c = (struct info_caps){buf, len, head, first, len / sizeof(struct vfio_info_cap_header)};
}

int info_caps_next(struct info_caps *c, struct info_cap *ret)
{
	struct vfio_info_cap_header h;

	if (!c->next)
		return 0;
	if (c->next < c->head || c->next > c->len || c->len - c->next < sizeof(h) || !c->budget--)
		return -EPROTO;
	memcpy(&h, c->buf + c->next, sizeof(h));
	*ret = (struct info_cap){h.id, h.version, c->buf + c->next, c->len - c->next};
	c->next = h.next;
	return 1;
}

int info_query(const struct vfio_sys *sys, int fd, unsigned long req, const void *head,
	size_t head_size, void **ret, size_t *ret_len)
{
	size_t size = head_size;

	/* The answer may grow between two calls, e.g. by an iova range: ask again, not for ever. */
	for (int tries = 0; tries < 4; tries++) {
		_cleanup_free_ uint8_t *buf = calloc(1, size);
		uint32_t argsz = (uint32_t)size;
		int r;

		if (!buf)
			return -ENOMEM;
		memcpy(buf, head, head_size);
		memcpy(buf, &argsz, sizeof(argsz));
		r = sys->ioctl(sys->ctx, fd, req, buf);
		if (r < 0)
			return r;
		memcpy(&argsz, buf, sizeof(argsz));
		if (argsz <= size) {
			*ret = ptr_steal(buf);
			*ret_len = size;
			return 0;
		}
		if (argsz > INFO_MAX)
			return -EPROTO;
		size = argsz;
	}
	return -EPROTO;
}
