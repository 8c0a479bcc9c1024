// SPDX-License-Identifier: GPL-2.0-or-later
/* Packed virtqueues. Virtio 1.2 §2.8. */
#include <endian.h>
#include <string.h>
#include <linux/virtio_ring.h>

#include "devices/virtq_internal.h"

#define F_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED  (1u << VRING_PACKED_DESC_F_USED)

static bool packed_available(const struct virtq *q, struct virtq_pos at)
{
	const struct vring_packed_desc *ring = q->desc;
	uint16_t flags = ring_load(&ring[at.idx].flags);

	/* §2.8.1: available when AVAIL equals the wrap counter and USED does not. */
	return !!(flags & F_AVAIL) == at.wrap && !!(flags & F_USED) != at.wrap;
}

/* A table in one buffer: no NEXT, no id; its length is its number of entries. §2.8.7 */
static int packed_indirect(struct virtq *q, struct virtq_chain *c, uint64_t gpa, uint32_t len)
{
	const struct vring_packed_desc *table;

	if (!q->indirect)
		return virtq_break(q, "an indirect table that was not negotiated");
	if (!len || len % sizeof(*table) || len / sizeof(*table) > VIRTQ_IOV)
		return virtq_break(q, "an indirect table of impossible size");
	table = gmem_hva(q->mem, gpa, len);
	if (!table)
		return virtq_break(q, "an indirect table outside guest memory");
	for (unsigned int i = 0; i < len / sizeof(*table); i++) {
		struct vring_packed_desc d;
		uint16_t flags;
		int r;

		memcpy(&d, &table[i], sizeof(d));
		__asm__ volatile("" : "+m"(d));
		flags = le16toh(d.flags);
		/* §2.8.7: only WRITE has a meaning here. */
		if (flags & VRING_DESC_F_INDIRECT)
			return virtq_break(q, "an indirect table in an indirect table");
		r = virtq_chain_add(
			q, c, le64toh(d.addr), le32toh(d.len), flags & VRING_DESC_F_WRITE);
		if (r < 0)
			return r;
	}
	return 0;
}

int packed_pop(struct virtq *q, struct virtq_chain *c)
{
	const struct vring_packed_desc *ring = q->desc;
	unsigned int i = q->next.idx;

	/* Acquire: pairs with the driver's barrier before it writes the first descriptor's flags. */
	if (!packed_available(q, q->next))
		return 0;
	for (unsigned int step = 1; step <= q->size; step++) {
		struct vring_packed_desc d;
		uint16_t flags;
		int r;

		memcpy(&d, &ring[i], sizeof(d));
		__asm__ volatile("" : "+m"(d));
		flags = le16toh(d.flags);
		c->slots = (uint16_t)step;
		c->id = le16toh(d.id);
		if (flags & VRING_DESC_F_INDIRECT) {
			/* §2.8.5: a chain is direct, or one indirect descriptor */
			if (flags & VRING_DESC_F_NEXT || step > 1)
				return virtq_break(q, "an indirect table in a chain");
			return packed_indirect(q, c, le64toh(d.addr), le32toh(d.len)) ?: 1;
		}
		r = virtq_chain_add(
			q, c, le64toh(d.addr), le32toh(d.len), flags & VRING_DESC_F_WRITE);
		if (r < 0)
			return r;
		if (!(flags & VRING_DESC_F_NEXT))
			return 1;
		i = i + 1 < q->size ? i + 1 : 0;
	}
	return virtq_break(q, "a chain longer than the ring");
}

void packed_push(struct virtq *q, uint16_t id, uint16_t slots, uint32_t len)
{
	struct vring_packed_desc *ring = q->desc, *d = &ring[q->used.idx];
	uint16_t flags =
		(uint16_t)((q->used.wrap ? F_AVAIL | F_USED : 0) | (len ? VRING_DESC_F_WRITE : 0));
	uint32_t le_len = htole32(len);
	uint16_t le_id = htole16(id);

	memcpy(&d->len, &le_len, sizeof(le_len));
	memcpy(&d->id, &le_id, sizeof(le_id));
	/* The first one's flags come last: the driver sees all of a batch or nothing. */
	if (!q->first_staged) {
		q->first_staged = true;
		q->first = q->used;
		q->first_flags = flags;
	} else {
		ring_store(&d->flags, flags);
	}
	q->staged = (uint16_t)(q->staged + slots);
	q->used.idx = (uint16_t)(q->used.idx + slots);
	if (q->used.idx >= q->size) {
		q->used.idx = (uint16_t)(q->used.idx - q->size);
		q->used.wrap = !q->used.wrap;
		q->signalled_valid = false;
	}
}

bool packed_flush(struct virtq *q)
{
	struct vring_packed_desc *ring = q->desc;
	const struct vring_packed_desc_event *wish = q->driver;
	uint16_t old = q->signalled, flags, off_wrap;
	bool valid = q->signalled_valid;
	int event;

	if (!q->first_staged)
		return false;
	ring_store(&ring[q->first.idx].flags, q->first_flags);
	q->first_staged = false;
	q->staged = 0;
	/* Pairs with the driver's barrier between its event area and its next look at the ring. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	q->signalled = q->used.idx;
	q->signalled_valid = true;
	/* §2.8.10: offset first, then flags, in the driver's order of writing. */
	flags = ring_load(&wish->flags) & 3;
	off_wrap = ring_load(&wish->off_wrap);
	if (flags == VRING_PACKED_EVENT_FLAG_DISABLE)
		return false;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !q->event_idx || !valid)
		return true;
	event = off_wrap & 0x7fff;
	if ((off_wrap >> 15) != q->used.wrap)
		event -= q->size;
	return vring_need_event((uint16_t)event, q->used.idx, old);
}

void packed_quiet(struct virtq *q)
{
	struct vring_packed_desc_event *wish = q->device;

	ring_store(&wish->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
}

bool packed_listen(struct virtq *q)
{
	struct vring_packed_desc_event *wish = q->device;

	if (q->event_idx) {
		ring_store(&wish->off_wrap, (uint16_t)(q->seen.idx | (q->seen.wrap ? 0x8000 : 0)));
		ring_store(&wish->flags, VRING_PACKED_EVENT_FLAG_DESC);
	} else {
		ring_store(&wish->flags, VRING_PACKED_EVENT_FLAG_ENABLE);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return packed_available(q, q->seen);
}
