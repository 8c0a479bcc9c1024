// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A split ring of any content: what vring_fetch() makes of it is compared with a plain reading of the
 * specification, chain by chain. Input: features, size, then rings and indirect tables as bytes.
 */
#include "tests/fuzz/vring_memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void chain_walk(struct model *m, uint64_t table, unsigned int n, unsigned int i, bool inner)
{
	for (unsigned int step = 0; m->error == VRING_OK; step++) {
		struct vring_desc d;

		if (step == n || i >= n) {
			m->error = VRING_ERROR_LOOP;
			return;
		}
		bytes_get(m, table + i * 16, &d, 16);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!m->indirect || inner || d.flags & VRING_DESC_F_NEXT || !d.len ||
				d.len % 16 || d.len > VRING_SEGS * 16)
				m->error = VRING_ERROR_INDIRECT;
			else if (!bytes_are(d.addr, d.len))
				m->error = VRING_ERROR_ADDRESS;
			else
				chain_walk(m, d.addr, d.len / 16, 0, true);
			return;
		}
		model_add(m, d.addr, d.len, d.flags & VRING_DESC_F_WRITE);
		if (!(d.flags & VRING_DESC_F_NEXT))
			return;
		i = d.next;
	}
}

/* A table that leaves memory is read as far as it goes, and may end there before that is noticed. */
static bool table_leaves(const struct model *m, uint16_t head)
{
	for (unsigned int step = 0, i = head; step < m->size && i < m->size; step++) {
		struct vring_desc d;

		bytes_get(m, DESC + i * 16, &d, 16);
		if (d.flags & VRING_DESC_F_INDIRECT)
			return !bytes_are(d.addr, d.len);
		if (!(d.flags & VRING_DESC_F_NEXT))
			return false;
		i = d.next;
	}
	return false;
}

static bool burst_do(struct model *m, struct vring_dev *r, struct vring_burst *b, unsigned int max)
{
	uint16_t avail, next = r->next, ahead;
	unsigned int n;

	bytes_get(m, AVAIL + 2, &avail, 2);
	ahead = (uint16_t)(avail - next);
	n = vring_fetch(r, b, max);
	if (vring_broken(r)) {
		CHECK(!n && b->broke == VRING_ERROR_INDEX);
		return false;
	}
	CHECK(n <= max && n <= m->size);
	/* What was once counted stays so, whatever the index says now. */
	CHECK(n || !max || !ahead);
	for (unsigned int i = 0; i < n; i++) {
		uint16_t head;

		bytes_get(m, AVAIL + 4 + (uint16_t)(next + i) % m->size * 2, &head, 2);
		CHECK(b->chain[i].id == head && head < m->size);
		if (table_leaves(m, head))
			continue;
		model_begin(m);
		chain_walk(m, DESC, m->size, head, false);
		model_end(m);
		model_compare(m, b, i);
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model m;
	static struct vring_burst b;
	struct vring_setup s = {.mem = &m.mem, .kick_fd = -1, .call_fd = -1};
	struct vring_dev r;

	if (size < 4 || memory_make(&m) < 0)
		return 0;
	m.size = s.size = (uint16_t)(data[0] & 0x80 ? data[1] % 70 : 1u << data[1] % 7);
	m.indirect = data[0] & 1;
	m.to_guest = s.to_guest = data[0] & 4;
	s.features = 1ull << 32 | (uint64_t)m.indirect << VIRTIO_RING_F_INDIRECT_DESC |
		     (uint64_t)(data[0] >> 1 & 1) << VIRTIO_RING_F_EVENT_IDX;
	memcpy(m.ram[0], data + 4, size - 4 < FILL ? size - 4 : FILL);
	if (data[0] & 0x40)
		memory_tame(&m);
	s.desc = m.ram[0] + DESC;
	s.avail = m.ram[0] + AVAIL;
	s.used = m.ram[0] + USED;
	if (vring_start(&r, &s, NULL) == 0) {
		for (unsigned int i = 0; i < 100; i++) {
			if (!burst_do(&m, &r, &b, 1 + data[2] % VRING_BURST))
				break;
			/* Gives back; may change the very ring that is read next. */
			vring_publish(&r, &b, b.n > 2 ? b.n - i % 2 : b.n);
			vring_notify(&r);
		}
		(void)vring_arm(&r);
		vring_disarm(&r);
		(void)vring_stop(&r);
	}
	memory_free(&m);
	return 0;
}
