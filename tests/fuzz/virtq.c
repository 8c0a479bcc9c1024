// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest's ring of any content: what virtq_pop() makes of it is compared with a plain reading of
 * the specification, and every buffer must lie in guest memory.
 * Input: features, size, last_avail, then the rings and two indirect tables as bytes.
 */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "devices/virtq.h"

#define MEM   0x10000u
#define DESC  0x0000u /* up to 64 descriptors, then the tables */
#define TABLE 0x0400u
#define AVAIL 0x0800u
#define USED  0x0900u
#define FILL  0x0b00u /* how much the input fills */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

struct buffer {
	uint64_t addr;
	uint32_t len;
	bool write;
};

struct model {
	const uint8_t *ram;
	unsigned int size;
	bool packed, indirect;
	struct buffer b[VIRTQ_IOV + 1];
	unsigned int n;
	bool bad, any_in;
	uint64_t out, in;
};

static void model_add(struct model *m, uint64_t addr, uint32_t len, bool write)
{
	if (!write && m->any_in)
		m->bad = true;
	if (m->bad || !len)
		return;
	if (m->n == VIRTQ_IOV || addr > MEM || len > MEM - addr) {
		m->bad = true;
		return;
	}
	m->any_in |= write;
	m->b[m->n++] = (struct buffer){addr, len, write};
	*(write ? &m->in : &m->out) += len;
}

static void model_split(struct model *m, uint64_t table, unsigned int n, unsigned int i, bool inner)
{
	for (unsigned int step = 0; !m->bad; step++) {
		struct vring_desc d;

		if (step == n || i >= n) {
			m->bad = true;
			return;
		}
		memcpy(&d, m->ram + table + i * 16, 16);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			m->bad = !m->indirect || inner || d.flags & VRING_DESC_F_NEXT || !d.len ||
				 d.len % 16 || d.len > VIRTQ_IOV * 16 || d.addr > MEM ||
				 d.len > MEM - d.addr;
			if (!m->bad)
				model_split(m, d.addr, d.len / 16, 0, true);
			return;
		}
		model_add(m, d.addr, d.len, d.flags & VRING_DESC_F_WRITE);
		if (!(d.flags & VRING_DESC_F_NEXT))
			return;
		i = d.next;
	}
}

/* Entries of the ring it takes. */
static unsigned int model_packed(struct model *m, unsigned int i, uint16_t *ret_id)
{
	for (unsigned int step = 1; step <= m->size; step++) {
		struct vring_packed_desc d;

		memcpy(&d, m->ram + DESC + i * 16, 16);
		*ret_id = d.id;
		if (d.flags & VRING_DESC_F_INDIRECT) {
			m->bad = !m->indirect || d.flags & VRING_DESC_F_NEXT || step > 1 ||
				 !d.len || d.len % 16 || d.len > VIRTQ_IOV * 16 || d.addr > MEM ||
				 d.len > MEM - d.addr;
			for (unsigned int k = 0; !m->bad && k < d.len / 16; k++) {
				struct vring_packed_desc in;

				memcpy(&in, m->ram + d.addr + k * 16, 16);
				if (in.flags & VRING_DESC_F_INDIRECT)
					m->bad = true;
				else
					model_add(
						m, in.addr, in.len, in.flags & VRING_DESC_F_WRITE);
			}
			return step;
		}
		model_add(m, d.addr, d.len, d.flags & VRING_DESC_F_WRITE);
		if (m->bad || !(d.flags & VRING_DESC_F_NEXT))
			return step;
		i = (i + 1) % m->size;
	}
	m->bad = true;
	return 0;
}

static bool model_available(const struct model *m, struct virtq_pos at, uint16_t *ret_head)
{
	uint16_t v;

	if (m->packed) {
		memcpy(&v, m->ram + DESC + at.idx * 16 + 14, 2);
		return (v >> 7 & 1) == at.wrap && (v >> 15 & 1) != at.wrap;
	}
	memcpy(&v, m->ram + AVAIL + 2, 2);
	v = (uint16_t)(v - at.idx);
	if (!v)
		return false;
	memcpy(ret_head, m->ram + AVAIL + 4 + (at.idx % m->size) * 2, 2);
	return true;
}

static void one(struct virtq *q, struct model *m, struct virtq_chain *c, bool *ret_go)
{
	struct virtq_pos at = q->next;
	uint16_t head = 0, ahead = 0, id = 0;
	unsigned int slots = 1;
	bool some = model_available(m, at, &head);
	int r;

	m->n = 0;
	m->bad = m->any_in = false;
	m->out = m->in = 0;
	if (some && m->packed) {
		slots = model_packed(m, at.idx, &id);
	} else if (some) {
		memcpy(&ahead, m->ram + AVAIL + 2, 2);
		m->bad = (uint16_t)(ahead - at.idx) > m->size || head >= m->size;
		id = head;
		if (!m->bad)
			model_split(m, DESC, m->size, head, false);
	}
	r = virtq_pop(q, c);
	*ret_go = r > 0;
	CHECK(r == (!some ? 0 : m->bad ? -71 : 1));
	if (r <= 0)
		return;
	CHECK(c->id == id && c->n_out + c->n_in == m->n);
	CHECK(c->out_len == m->out && c->in_len == m->in);
	CHECK(!m->packed || c->slots == slots);
	for (unsigned int i = 0; i < m->n; i++) {
		CHECK((const uint8_t *)c->iov[i].iov_base == m->ram + m->b[i].addr);
		CHECK(c->iov[i].iov_len == m->b[i].len);
		CHECK(m->b[i].write == (i >= c->n_out));
	}
}

/* Bring most fields near what a driver writes, else chains end at their first address. */
static void tame(uint8_t *ram, unsigned int size)
{
	for (unsigned int i = 0; i < AVAIL / 16; i++) {
		uint8_t *d = ram + DESC + i * 16;

		memset(d + 2, 0, 6);
		memset(d + 10, 0, 2);
		d[9] &= 0x0f;
		if (d[12] & VRING_DESC_F_INDIRECT) {
			d[0] = 0;
			d[1] = TABLE >> 8 | (d[1] & 3);
			d[8] &= 0xf0;
			d[9] &= 1;
			d[12] &= d[8] & 0x10 ? 0xff : 0xfe;
		}
		d[14] = (uint8_t)(size ? d[14] % size : 0);
		d[15] &= i % 16 ? 0x80 : 0xff;
	}
	for (unsigned int i = 0; size && i < 64; i++) {
		ram[AVAIL + 4 + i * 2] = (uint8_t)(ram[AVAIL + 4 + i * 2] % size);
		ram[AVAIL + 5 + i * 2] = 0;
	}
	ram[AVAIL + 3] = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct gmem_config cfg = {.size = MEM};
	struct virtq_setup s = {.desc = DESC, .driver = AVAIL, .device = USED};
	struct gmem *mem;
	struct model *m = calloc(1, sizeof(*m));
	struct virtq_chain *c = malloc(sizeof(*c));
	struct virtq q;
	uint8_t *ram;
	bool go = true;

	if (size < 4 || !m || !c || gmem_create(&cfg, NULL, &mem) < 0)
		goto out;
	ram = gmem_hva(mem, 0, MEM);
	s.size = data[0] & 0x80 ? data[1] % 70 : (uint16_t)(1u << data[1] % 7);
	m->indirect = data[0] & 1;
	m->packed = data[0] & 4;
	s.features = (uint64_t)m->indirect << VIRTIO_RING_F_INDIRECT_DESC |
		     (uint64_t)(data[0] >> 1 & 1) << VIRTIO_RING_F_EVENT_IDX |
		     (uint64_t)m->packed << VIRTIO_F_RING_PACKED;
	s.last_avail = (uint16_t)(data[2] | (m->packed ? (data[3] & 1) << 15 : data[3] << 8));
	memcpy(ram, data + 4, size - 4 < FILL ? size - 4 : FILL);
	if (data[0] & 0x40)
		tame(ram, s.size);
	m->ram = ram;
	m->size = s.size;
	if (virtq_init(&q, mem, &s, NULL) == 0) {
		for (unsigned int i = 0; go && i < 200; i++) {
			struct virtq_pos mark = q.next;

			one(&q, m, c, &go);
			if (!go)
				break;
			if (i % 5 == 4) {
				virtq_rewind(&q, mark);
				one(&q, m, c, &go);
			}
			/* Gives back; may change the very ring that is read next. */
			virtq_push(&q, c, c->in_len);
			if (i % 3 == 0)
				(void)virtq_flush(&q);
			CHECK(q.used.idx < q.size || !q.packed);
		}
		(void)virtq_flush(&q);
		virtq_quiet(&q);
		(void)virtq_listen(&q);
	}
	gmem_destroy(mem);
out:
	free(m);
	free(c);
	return 0;
}
