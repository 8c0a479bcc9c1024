// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * As vring_split.c, for a packed ring and the inflight area, which is a front end's to fill.
 * Input: features, size, base, then the area, descriptors, event structures and tables as bytes.
 */
#include "tests/fuzz/vring_memory.h"

#define AREA 256 /* bytes of the area that the input fills */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Entries of the ring the chain takes; 0: it does not end. */
static unsigned int chain_walk(struct model *m, unsigned int i, unsigned int room, uint16_t *ret_id)
{
	for (unsigned int step = 1; step <= room; step++) {
		struct vring_packed_desc d;

		bytes_get(m, DESC + i * 16, &d, 16);
		*ret_id = d.id;
		if (m->error == VRING_OK && d.flags & VRING_DESC_F_INDIRECT) {
			if (!m->indirect || d.flags & VRING_DESC_F_NEXT || step > 1 || !d.len ||
				d.len % 16 || d.len > VRING_SEGS * 16)
				m->error = VRING_ERROR_INDIRECT;
			else if (!bytes_are(d.addr, d.len))
				m->error = VRING_ERROR_ADDRESS;
			for (unsigned int k = 0; m->error == VRING_OK && k < d.len / 16; k++) {
				struct vring_packed_desc in;

				bytes_get(m, d.addr + k * 16, &in, 16);
				if (in.flags & VRING_DESC_F_INDIRECT)
					m->error = VRING_ERROR_INDIRECT;
				else
					model_add(
						m, in.addr, in.len, in.flags & VRING_DESC_F_WRITE);
			}
		} else {
			model_add(m, d.addr, d.len, d.flags & VRING_DESC_F_WRITE);
		}
		if (!(d.flags & VRING_DESC_F_NEXT))
			return step;
		i = (i + 1) % m->size;
	}
	return 0;
}

static bool burst_do(struct model *m, struct vring_dev *r, struct vring_burst *b, unsigned int max)
{
	unsigned int at = r->next, room = m->size, n = vring_fetch(r, b, max);
	bool wrap = r->wrap;
	uint16_t id, flags;

	if (vring_broken(r)) {
		CHECK(!n && b->broke == VRING_ERROR_LOOP);
		model_begin(m);
		CHECK(!chain_walk(m, at, room, &id));
		return false;
	}
	CHECK(n <= max && n <= m->size);
	for (unsigned int i = 0; i < n; i++) {
		unsigned int slots;

		bytes_get(m, DESC + at * 16 + 14, &flags, 2);
		CHECK((flags >> 7 & 1) == wrap && (flags >> 15 & 1) != wrap);
		model_begin(m);
		slots = chain_walk(m, at, room, &id);
		model_end(m);
		CHECK(slots && b->chain[i].slots == slots && b->chain[i].id == id);
		model_compare(m, b, i);
		room -= slots;
		at += slots;
		if (at >= m->size) {
			at -= m->size;
			wrap = !wrap;
		}
	}
	if (n < max && room) {
		bytes_get(m, DESC + at * 16 + 14, &flags, 2);
		/* There is no more, or it goes on in the next burst. */
		if ((flags >> 7 & 1) == wrap && (flags >> 15 & 1) != wrap) {
			model_begin(m);
			CHECK(n &&
				(!chain_walk(m, at, room, &id) || b->nr_segs + m->n >= VRING_SEGS));
		}
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint64_t area[1024];
	static struct model m;
	static struct vring_burst b;
	struct vring_setup s = {.mem = &m.mem, .kick_fd = -1, .call_fd = -1};
	struct vring_dev r;

	if (size < 4 + AREA || memory_make(&m) < 0)
		return 0;
	m.size = s.size = data[1] % 65;
	m.indirect = data[0] & 1;
	m.to_guest = s.to_guest = data[0] & 4;
	s.features = 1ull << 32 | 1ull << 34 | (uint64_t)m.indirect << VIRTIO_RING_F_INDIRECT_DESC |
		     (uint64_t)(data[0] >> 1 & 1) << VIRTIO_RING_F_EVENT_IDX;
	s.base = (uint32_t)(data[2] | (data[3] & 1) << 15);
	if (data[0] & 8) {
		memset(area, 0, sizeof(area));
		memcpy(area, data + 4, AREA);
		if (data[0] & 0x40) /* version and size as they would be */
			memcpy((uint8_t *)area + 8, (uint8_t[]){1, 0, (uint8_t)m.size, 0}, 4);
		s.inflight = area;
		s.inflight_size = sizeof(area);
	}
	size -= AREA;
	memcpy(m.ram[0], data + 4 + AREA, size - 4 < FILL ? size - 4 : FILL);
	if (data[0] & 0x40)
		memory_tame(&m);
	s.desc = m.ram[0] + DESC;
	s.avail = m.ram[0] + AVAIL;
	s.used = m.ram[0] + USED;
	if (vring_start(&r, &s, NULL) == 0) {
		CHECK(r.next < m.size);
		for (unsigned int i = 0; i < 100; i++) {
			if (!burst_do(&m, &r, &b, 1 + data[2] % VRING_BURST))
				break;
			for (unsigned int k = 0; k < b.n; k++) {
				b.chain[k].used_len = m.to_guest;
				b.chain[k].more = ((data[3] >> 1) + k) & 1;
			}
			vring_publish(&r, &b, b.n > 2 ? b.n - i % 2 : b.n);
			vring_notify(&r);
			CHECK(r.next < m.size);
		}
		(void)vring_arm(&r);
		vring_disarm(&r);
		(void)vring_stop(&r);
	}
	memory_free(&m);
	return 0;
}
