// SPDX-License-Identifier: GPL-2.0-or-later
/* What split and packed rings have in common: begin, end, notifications, indirect tables. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/event.h"
#include "vswitch/vring_internal.h"

#define BIT(features, n) ((features) >> (n)&1)

enum { F_VERSION_1 = 32, F_RING_PACKED = 34 };

unsigned int vring_break(
	struct vring_dev *r, struct vring_burst *b, enum vring_error error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(r->broken, sizeof(r->broken), fmt, args);
	va_end(args);
	r->running = false;
	b->broke = error;
	r->errors[error]++;
	return 0;
}

void vring_extent(uint64_t features, uint16_t size, uint64_t *ret_desc, uint64_t *ret_avail,
	uint64_t *ret_used)
{
	/* Each of the split ring's two ends in an event index, negotiated or not. */
	bool packed = BIT(features, F_RING_PACKED);
	uint64_t event = BIT(features, VIRTIO_RING_F_EVENT_IDX) ? 2 : 0;

	*ret_desc = (uint64_t)size * sizeof(struct vring_desc);
	*ret_avail =
		packed ? sizeof(struct vring_packed_desc_event) : 4 + (uint64_t)size * 2 + event;
	*ret_used =
		packed ? sizeof(struct vring_packed_desc_event) : 4 + (uint64_t)size * 8 + event;
}

size_t vring_inflight_size(bool packed, uint16_t size)
{
	size_t n = packed ? sizeof(struct vring_inflight_packed) +
				    size * sizeof(struct vring_inflight_desc_packed)
			  : sizeof(struct vring_inflight_split) +
				    size * sizeof(struct vring_inflight_desc_split);

	return (n + 63) & ~(size_t)63;
}

static int setup_check(const struct vring_setup *s, struct err *e)
{
	bool packed = BIT(s->features, F_RING_PACKED);
	uintptr_t avail_mask = packed ? 3 : 1;

	if (!s->size || s->size > VRING_SIZE_MAX)
		return err_set(e, EINVAL, "a ring of %u entries: 1 to %d are possible", s->size,
			VRING_SIZE_MAX);
	if (!packed && s->size & (s->size - 1))
		return err_set(
			e, EINVAL, "a split ring of %u entries: not a power of two", s->size);
	if (!s->desc || !s->avail || !s->used)
		return err_set(e, EINVAL, "a ring without an address");
	/* Virtio 1.2 §2.7, §2.8.10.1 */
	if ((uintptr_t)s->desc & 15 || (uintptr_t)s->avail & avail_mask || (uintptr_t)s->used & 3)
		return err_set(e, EINVAL, "a ring that is not aligned: %p %p %p", s->desc, s->avail,
			s->used);
	if (s->inflight && ((uintptr_t)s->inflight & 7 ||
				   s->inflight_size < vring_inflight_size(packed, s->size)))
		return err_set(e, EINVAL, "an inflight area of %zu bytes: %zu are needed",
			s->inflight_size, vring_inflight_size(packed, s->size));
	return 0;
}

int vring_start(struct vring_dev *r, const struct vring_setup *s, struct err *e)
{
	int rc = setup_check(s, e);

	if (rc < 0)
		return rc;
	*r = (struct vring_dev){
		.packed = BIT(s->features, F_RING_PACKED),
		.event_idx = BIT(s->features, VIRTIO_RING_F_EVENT_IDX),
		.indirect = BIT(s->features, VIRTIO_RING_F_INDIRECT_DESC),
		.to_guest = s->to_guest,
		/* Virtio 1.2 §5.1.6.1 */
		.header = BIT(s->features, VIRTIO_NET_F_MRG_RXBUF) || BIT(s->features, F_VERSION_1)
				  ? 12
				  : 10,
		.size = s->size,
		.features = s->features,
		.mem = s->mem,
		.desc = s->desc,
		.avail = s->avail,
		.used = s->used,
		.kick_fd = s->kick_fd,
		.call_fd = s->call_fd,
	};
	if (r->packed) {
		rc = vring_packed_begin(r, s->base, e);
		if (!rc && s->inflight)
			rc = vring_packed_inflight(r, s, e);
	} else {
		vring_split_begin(r);
		if (s->inflight)
			rc = vring_split_inflight(r, s, e);
	}
	if (rc < 0)
		return rc;
	r->running = true;
	r->told = r->next;
	vring_disarm(r);
	/* A back end before us may have used something and died before it said so. */
	vring_call_fd_set(r, s->call_fd);
	return 0;
}

uint32_t vring_stop(struct vring_dev *r)
{
	uint32_t base = r->next;

	r->running = false;
	if (!r->packed)
		return base;
	base |= (uint32_t)r->wrap << 15;
	return base | base << 16;
}

static void signal_guest(struct vring_dev *r)
{
	event_signal(r->call_fd);
	r->notifications++;
}

void vring_call_fd_set(struct vring_dev *r, int fd)
{
	r->call_fd = fd;
	if (r->running)
		signal_guest(r);
}

void vring_kick_fd_set(struct vring_dev *r, int fd)
{
	r->kick_fd = fd;
}

unsigned int vring_fetch(struct vring_dev *r, struct vring_burst *b, unsigned int max)
{
	b->n = b->nr_segs = b->nr_bad = 0;
	b->broke = VRING_OK;
	if (unlikely(!r->running))
		return 0;
	if (max > VRING_BURST)
		max = VRING_BURST;
	return r->packed ? vring_packed_fetch(r, b, max) : vring_split_fetch(r, b, max);
}

void vring_publish(struct vring_dev *r, const struct vring_burst *b, unsigned int n)
{
	if (unlikely(!n || !r->running))
		return;
	if (unlikely(b->nr_bad))
		for (unsigned int i = 0; i < n; i++)
			if (b->chain[i].error != VRING_OK)
				r->errors[b->chain[i].error]++;
	if (r->packed)
		vring_packed_publish(r, b, n);
	else
		vring_split_publish(r, b, n);
	r->unsaid = true;
}

void vring_notify(struct vring_dev *r)
{
	if (!r->unsaid || !r->running)
		return;
	/* Pairs with the guest's, between its wish to be told and its look at what is used. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!r->told_any || (r->packed ? vring_packed_wanted(r) : vring_split_wanted(r)))
		signal_guest(r);
	r->told_any = true;
	r->unsaid = false;
	r->told = r->next;
}

bool vring_arm(struct vring_dev *r)
{
	if (!r->running)
		return false;
	if (r->packed)
		vring_packed_kicks(r, true);
	else
		vring_split_kicks(r, true);
	/* Pairs with the guest's, between what it makes available and its look at our wish. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return r->packed ? vring_packed_pending(r) : vring_split_pending(r);
}

void vring_disarm(struct vring_dev *r)
{
	uint64_t count;
	struct iovec v = {&count, sizeof(count)};

	if (!r->running)
		return;
	if (r->packed)
		vring_packed_kicks(r, false);
	else
		vring_split_kicks(r, false);
	/* The descriptor is the peer's: it may be of any kind, and it must not block us. */
	if (r->kick_fd >= 0)
		(void)!preadv2(r->kick_fd, &v, 1, -1, RWF_NOWAIT);
}

enum vring_error vring_table_open(
	const struct vring_dev *r, uint64_t gpa, uint32_t len, struct vring_table *ret)
{
	if (!r->indirect || !len || len % sizeof(struct vring_desc) ||
		len / sizeof(struct vring_desc) > VRING_SEGS)
		return VRING_ERROR_INDIRECT;
	*ret = (struct vring_table){
		gpa, vmem_gpa(r->mem, gpa, len), len / sizeof(struct vring_desc)};
	return VRING_OK;
}

enum vring_error vring_table_read(const struct vring_dev *r, const struct vring_table *t,
	unsigned int i, union vring_word *ret)
{
	if (t->hva)
		*ret = vring_word_read(t->hva + i * sizeof(*ret));
	else if (vmem_read(r->mem, t->gpa + i * sizeof(*ret), ret, sizeof(*ret)) < 0)
		return VRING_ERROR_ADDRESS;
	return VRING_OK;
}
