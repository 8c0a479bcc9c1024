// SPDX-License-Identifier: GPL-2.0-or-later
/* Split virtqueues, and what both kinds of ring share. Virtio 1.2 §2.7. */
#include "devices/virtq.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/cleanup.h"
#include "devices/virtq_internal.h"

/* ---- set-up ---- */

struct part {
	const char *name;
	uint64_t gpa, len;
	unsigned int align;
};

static int part_map(const struct gmem *mem, const struct part *p, struct err *e, void **ret)
{
	void *hva;

	if (p->gpa % p->align)
		return err_set(e, EINVAL, "%s at 0x%" PRIx64 " is not aligned to %u bytes", p->name,
			p->gpa, p->align);
	hva = gmem_hva(mem, p->gpa, p->len);
	if (!hva)
		return err_set(
			e, EFAULT, "%s at 0x%" PRIx64 " is not in guest memory", p->name, p->gpa);
	*ret = hva;
	return 0;
}

int virtq_init(struct virtq *q, const struct gmem *mem, const struct virtq_setup *s, struct err *e)
{
	bool packed = s->features >> VIRTIO_F_RING_PACKED & 1;
	uint64_t n = s->size;
	/* Virtio 1.2 §2.7 and §2.8.10.1: sizes and alignment. */
	const struct part split_part[3] = {
		{"descriptor table", s->desc, n * 16, 16},
		{"available ring", s->driver, 6 + n * 2, 2},
		{"used ring", s->device, 6 + n * 8, 4},
	};
	const struct part packed_part[3] = {
		{"descriptor ring", s->desc, n * 16, 16},
		{"driver event area", s->driver, 4, 4},
		{"device event area", s->device, 4, 4},
	};
	const struct part *part = packed ? packed_part : split_part;
	int r;

	if (!s->size || s->size > VIRTQ_MAX_SIZE || (!packed && (s->size & (s->size - 1))))
		return err_set(e, EINVAL, "a ring of %u entries", s->size);
	*q = (struct virtq){
		.mem = mem,
		.size = s->size,
		.packed = packed,
		.indirect = s->features >> VIRTIO_RING_F_INDIRECT_DESC & 1,
		.event_idx = s->features >> VIRTIO_RING_F_EVENT_IDX & 1,
	};
	if (packed)
		q->next = (struct virtq_pos){s->last_avail & 0x7fff, s->last_avail >> 15};
	else
		q->next.idx = s->last_avail;
	if (packed && q->next.idx >= q->size)
		return err_set(e, EINVAL, "position %u in a ring of %u", q->next.idx, q->size);
	q->seen = q->used = q->next;
	r = part_map(mem, &part[0], e, &q->desc);
	if (r == 0)
		r = part_map(mem, &part[1], e, &q->driver);
	if (r == 0)
		r = part_map(mem, &part[2], e, &q->device);
	return r;
}

uint16_t virtq_last_avail(const struct virtq *q)
{
	return (uint16_t)(q->next.idx | (q->packed && q->next.wrap ? 0x8000 : 0));
}

/* ---- chains ---- */

int virtq_chain_add(
	struct virtq *q, struct virtq_chain *c, uint64_t gpa, uint32_t len, bool writable)
{
	unsigned int n = c->n_out + c->n_in;
	uint32_t *total = writable ? &c->in_len : &c->out_len;
	void *hva;

	/* Virtio 1.2 §2.7.4.2: readable before writable. */
	if (!writable && c->n_in)
		return virtq_break(q, "a readable buffer after a writable one");
	if (!len)
		return 0;
	if (n == VIRTQ_IOV)
		return virtq_break(q, "a chain of too many buffers");
	if (__builtin_add_overflow(*total, len, total))
		return virtq_break(q, "a chain of 4 GiB or more");
	hva = gmem_hva(q->mem, gpa, len);
	if (!hva)
		return virtq_break(q, "a buffer outside guest memory");
	c->iov[n] = (struct iovec){hva, len};
	if (writable)
		c->n_in++;
	else
		c->n_out++;
	return 0;
}

/* Walk a table of @n descriptors from @i. At most @n steps, so a loop ends. */
static int split_walk(struct virtq *q, struct virtq_chain *c, const struct vring_desc *table,
	unsigned int n, unsigned int i, bool nested)
{
	for (unsigned int step = 0; step < n; step++) {
		struct vring_desc d;
		uint16_t flags;
		int r;

		memcpy(&d, &table[i], sizeof(d));
		/* d is a copy now: the compiler must not go back to the table. */
		__asm__ volatile("" : "+m"(d));
		flags = le16toh(d.flags);
		if (flags & VRING_DESC_F_INDIRECT) {
			uint32_t len = le32toh(d.len);
			const void *inner;

			/* Virtio 1.2 §2.7.5.3.1 */
			if (!q->indirect)
				return virtq_break(q, "an indirect table that was not negotiated");
			if (nested)
				return virtq_break(q, "an indirect table in an indirect table");
			if (flags & VRING_DESC_F_NEXT)
				return virtq_break(q, "a descriptor after an indirect table");
			if (!len || len % sizeof(d) || len / sizeof(d) > VIRTQ_IOV)
				return virtq_break(q, "an indirect table of impossible size");
			inner = gmem_hva(q->mem, le64toh(d.addr), len);
			if (!inner)
				return virtq_break(q, "an indirect table outside guest memory");
			return split_walk(q, c, inner, len / sizeof(d), 0, true);
		}
		r = virtq_chain_add(
			q, c, le64toh(d.addr), le32toh(d.len), flags & VRING_DESC_F_WRITE);
		if (r < 0)
			return r;
		if (!(flags & VRING_DESC_F_NEXT))
			return 0;
		i = le16toh(d.next);
		if (i >= n)
			return virtq_break(q, "a next descriptor outside the table");
	}
	return virtq_break(q, "a chain that is a loop");
}

static int split_pop(struct virtq *q, struct virtq_chain *c)
{
	const struct vring_avail *avail = q->driver;
	/* Pairs with the driver's write barrier before it moves avail->idx. */
	uint16_t n = (uint16_t)(ring_load(&avail->idx) - q->next.idx), head;

	if (!n)
		return 0;
	if (n > q->size)
		return virtq_break(q, "an available index that jumped");
	head = ring_load(&avail->ring[q->next.idx & (q->size - 1)]);
	if (head >= q->size)
		return virtq_break(q, "a head outside the table");
	c->id = head;
	c->slots = 1;
	return split_walk(q, c, q->desc, q->size, head, false) ?: 1;
}

int virtq_pop(struct virtq *q, struct virtq_chain *ret)
{
	bool follow = virtq_pos_equal(q->next, q->seen);
	int r;

	if (q->broken)
		return -EPROTO;
	ret->n_out = ret->n_in = 0;
	ret->out_len = ret->in_len = 0;
	ret->out = ret->iov;
	r = q->packed ? packed_pop(q, ret) : split_pop(q, ret);
	if (r > 0) {
		ret->in = ret->iov + ret->n_out;
		q->next.idx = (uint16_t)(q->next.idx + ret->slots);
		if (q->packed && q->next.idx >= q->size) {
			q->next.idx = (uint16_t)(q->next.idx - q->size);
			q->next.wrap = !q->next.wrap;
		}
	}
	if (follow || r == 0)
		q->seen = q->next;
	return r;
}

void virtq_rewind(struct virtq *q, struct virtq_pos mark)
{
	q->next = mark;
}

/* ---- used elements ---- */

static void split_push(struct virtq *q, uint16_t id, uint32_t len)
{
	struct vring_used *used = q->device;
	uint16_t at = (uint16_t)(q->used.idx + q->staged++) & (q->size - 1);
	struct vring_used_elem el = {.id = htole32(id), .len = htole32(len)};

	memcpy(&used->ring[at], &el, sizeof(el));
}

static bool split_flush(struct virtq *q)
{
	struct vring_used *used = q->device;
	const struct vring_avail *avail = q->driver;
	uint16_t old = q->signalled, now;
	bool valid = q->signalled_valid;

	if (!q->staged)
		return false;
	now = q->used.idx = (uint16_t)(q->used.idx + q->staged);
	q->staged = 0;
	/* The elements are seen before the index: pairs with the driver's read barrier. */
	ring_store(&used->idx, now);
	/*
	 * The index is seen before the driver's wish is read: pairs with the barrier between the
	 * driver's write of used_event or flags and its next look at used->idx.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_idx)
		return !(ring_load(&avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	q->signalled = now;
	q->signalled_valid = true;
	return !valid || vring_need_event(ring_load(&avail->ring[q->size]), now, old);
}

void virtq_push_id(struct virtq *q, uint16_t id, uint16_t slots, uint32_t len)
{
	if (q->packed)
		packed_push(q, id, slots, len);
	else
		split_push(q, id, len);
}

void virtq_push(struct virtq *q, const struct virtq_chain *c, uint32_t len)
{
	virtq_push_id(q, c->id, c->slots, len);
}

bool virtq_flush(struct virtq *q)
{
	return q->packed ? packed_flush(q) : split_flush(q);
}

/* ---- doorbells ---- */

void virtq_quiet(struct virtq *q)
{
	struct vring_used *used = q->device;

	if (q->packed)
		packed_quiet(q);
	else if (!q->event_idx)
		ring_store(&used->flags, VRING_USED_F_NO_NOTIFY);
	/* With EVENT_IDX the old avail_event stays, which the driver has passed. */
}

static bool split_listen(struct virtq *q)
{
	struct vring_used *used = q->device;
	const struct vring_avail *avail = q->driver;

	if (q->event_idx)
		ring_store(&used->ring[q->size], q->seen.idx);
	else
		ring_store(&used->flags, 0);
	/* Pairs with the driver's barrier between avail->idx and its look at our wish. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ring_load(&avail->idx) != q->seen.idx;
}

bool virtq_listen(struct virtq *q)
{
	if (q->broken)
		return false;
	return q->packed ? packed_listen(q) : split_listen(q);
}

/* ---- iovecs ---- */

static size_t iov_copy(
	const struct iovec *iov, unsigned int n, size_t off, uint8_t *buf, size_t len, bool put)
{
	size_t done = 0;

	for (unsigned int i = 0; i < n && done < len; i++) {
		size_t part = iov[i].iov_len;
		uint8_t *p = iov[i].iov_base;

		if (off >= part) {
			off -= part;
			continue;
		}
		p += off;
		part -= off;
		off = 0;
		if (part > len - done)
			part = len - done;
		if (put)
			memcpy(p, buf + done, part);
		else
			memcpy(buf + done, p, part);
		done += part;
	}
	return done;
}

size_t iov_take(const struct iovec *iov, unsigned int n, size_t off, void *buf, size_t len)
{
	return iov_copy(iov, n, off, buf, len, false);
}

size_t iov_put(const struct iovec *iov, unsigned int n, size_t off, const void *buf, size_t len)
{
	return iov_copy(iov, n, off, (uint8_t *)(uintptr_t)buf, len, true);
}
