/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest of two neighbouring regions for the targets of rings, and chains as the model sees them. */
#ifndef VIADUCT_TESTS_FUZZ_VRING_MEMORY_H
#define VIADUCT_TESTS_FUZZ_VRING_MEMORY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/vring.h"

#define MEM   0x8000u /* of each region; the rings and tables lie in the first */
#define DESC  0x0000u /* up to 64 descriptors, then the tables */
#define TABLE 0x0400u
#define AVAIL 0x0800u
#define USED  0x0900u
#define FILL  0x0b00u /* how much the input fills */

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

struct model_seg {
	uint64_t at, len;
};

struct model {
	uint8_t *ram[2];
	struct vmem mem;
	uint16_t size;
	bool indirect, to_guest;
	struct model_seg seg[VRING_SEGS + 1];
	unsigned int n;
	uint64_t len;
	int error; /* of the chain in hand */
};

static inline int memory_make(struct model *m)
{
	m->mem.nr = 0;
	for (unsigned int i = 0; i < 2; i++) {
		struct vmem_region r = {.gpa = i * MEM, .size = MEM, .uva = i * MEM};

		m->ram[i] = aligned_alloc(64, MEM);
		if (!m->ram[i])
			return -1;
		memset(m->ram[i], 0, MEM);
		r.hva = m->ram[i];
		CHECK(vmem_add(&m->mem, &r, NULL) == 0);
	}
	return 0;
}

static inline void memory_free(struct model *m)
{
	free(m->ram[0]);
	free(m->ram[1]);
}

static inline void bytes_get(const struct model *m, uint64_t gpa, void *to, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		((uint8_t *)to)[i] = m->ram[(gpa + i) / MEM][(gpa + i) % MEM];
}

static inline bool bytes_are(uint64_t gpa, uint64_t len)
{
	return gpa <= 2 * MEM && len <= 2 * MEM - gpa;
}

static inline void model_begin(struct model *m)
{
	m->n = 0;
	m->len = 0;
	m->error = VRING_OK;
}

/* Bytes one by one into pieces; what is in front of an end of memory does not matter any more. */
static inline void model_add(struct model *m, uint64_t gpa, uint32_t len, bool write)
{
	if (m->error != VRING_OK)
		return;
	if (write != m->to_guest) {
		m->error = VRING_ERROR_DIRECTION;
		return;
	}
	if (len && !bytes_are(gpa, len)) {
		m->error = VRING_ERROR_ADDRESS;
		return;
	}
	while (len) {
		uint32_t part = gpa < MEM && len > MEM - gpa ? MEM - (uint32_t)gpa : len;

		if (m->n == VRING_SEGS) {
			m->error = VRING_ERROR_LOOP;
			return;
		}
		m->seg[m->n++] = (struct model_seg){gpa, part};
		m->len += part;
		gpa += part;
		len -= part;
	}
}

static inline void model_end(struct model *m)
{
	if (m->error == VRING_OK && m->len < 12u + !m->to_guest)
		m->error = VRING_ERROR_SHORT;
	if (m->error == VRING_OK && !m->to_guest && m->len > VRING_FRAME_MAX + 12)
		m->error = VRING_ERROR_LONG;
}

/* Which of several errors a chain has is named does not matter; that there is one does. */
static inline void model_compare(const struct model *m, const struct vring_burst *b, unsigned int i)
{
	const struct vring_chain *c = &b->chain[i];

	CHECK((c->error == VRING_OK) == (m->error == VRING_OK));
	if (m->error != VRING_OK) {
		CHECK(!c->nr_segs && c->error < VRING_ERROR_COUNT);
		return;
	}
	CHECK(c->nr_segs == m->n && c->len == m->len);
	for (unsigned int k = 0; k < m->n; k++) {
		const struct vring_seg *s = &b->seg[c->seg + k];

		CHECK(s->hva == m->ram[m->seg[k].at / MEM] + m->seg[k].at % MEM);
		CHECK(s->len == m->seg[k].len);
	}
}

/* Bring most fields near what a driver writes, else chains end at their first address. */
static inline void memory_tame(struct model *m)
{
	uint8_t *ram = m->ram[0];

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
		if (d[15] & 0x10)
			d[12] = m->to_guest ? VRING_DESC_F_WRITE : 0;
		d[14] = (uint8_t)(m->size ? d[14] % m->size : 0);
		d[15] &= i % 16 ? 0x80 : 0xff;
	}
	for (unsigned int i = 0; m->size && i < 64; i++) {
		ram[AVAIL + 4 + i * 2] = (uint8_t)(ram[AVAIL + 4 + i * 2] % m->size);
		ram[AVAIL + 5 + i * 2] = 0;
	}
	ram[AVAIL + 3] = ram[USED + 3] = 0;
}

#endif
