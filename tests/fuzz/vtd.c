// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The remapping unit under any register writes and any memory. After a global invalidation each
 * vector is attached exactly if a second decoder, written bit by bit from VT-d §9.10, allows it, and
 * its route is that decoder's. So it is with DMA: after an invalidation each requester is let through
 * exactly if a decoder of VT-d §9.1 and §9.3 says so. The fault status agrees with the records at all times.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "irqremap/vtd.h"
#include "tests/fakes/irq_recorder.h"

#define MEM     0x8000u
#define VECTORS 4
#define DEVICES 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	uint8_t mem[MEM];
	struct irq_recorder rec;
	struct irq_router *router;
	struct vtd *vtd;
	struct irq_vector *v[VECTORS];
	struct irq_msi msg[VECTORS];
	uint16_t rid[VECTORS];
	bool masked[VECTORS];
	/* what the last SIRTP latched; before the first there is no table */
	uint64_t irta;
	bool latched;
	/* DMA */
	uint64_t root;
	struct vtd_requester dev[DEVICES];
	bool allowed[DEVICES];
};

static const uint16_t dev_rid[DEVICES] = {0x0010, 0x0011, 0xff07};

#define must(cond)                                              \
	do {                                                    \
		if (!(cond)) {                                  \
			fprintf(stderr, "broken: %s\n", #cond); \
			abort();                                \
		}                                               \
	} while (0)

static int mem_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	struct world *w = ctx;

	if (gpa >= MEM || len > MEM - gpa)
		return -EFAULT;
	memcpy(buf, w->mem + gpa, len);
	return 0;
}

static int mem_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
	struct world *w = ctx;

	if (gpa >= MEM || len > MEM - gpa)
		return -EFAULT;
	memcpy(w->mem + gpa, buf, len);
	return 0;
}

/* ---- the second decoder ---- */

static unsigned int bits(const uint8_t *e, unsigned int from, unsigned int to)
{
	unsigned int v = 0;

	for (unsigned int i = to + 1; i-- > from;)
		v = v << 1 | (e[i / 8] >> i % 8 & 1);
	return v;
}

static bool source_ok(const uint8_t *e, uint16_t rid)
{
	unsigned int sid = bits(e, 64, 79), q = bits(e, 80, 81), type = bits(e, 82, 83);
	unsigned int keep = q == 0 ? 0xffff : q == 1 ? 0xfffb : q == 2 ? 0xfff9 : 0xfff8;

	if (type == 0)
		return true;
	if (type == 1)
		return (sid & keep) == (rid & keep);
	return rid / 256u >= sid / 256 && rid / 256u <= sid % 256;
}

static bool decode(struct world *w, unsigned int i, bool compat, struct irq_msi *ret)
{
	struct irq_msi m = w->msg[i];
	bool wide = w->irta & 0x800;
	unsigned int index, dest;
	uint64_t at;
	uint8_t *e;

	if (!(m.addr & 16)) {
		*ret = m;
		return compat && !wide;
	}
	index = (unsigned int)(m.addr >> 5 & 0x7fff) + (m.addr & 4 ? 0x8000 : 0);
	if (m.addr & 8) {
		if (m.data > 0xffff)
			return false;
		index += m.data;
	}
	if (!w->latched || index >= 2u << (w->irta & 15))
		return false;
	at = (w->irta & ~0xfffull) + index * 16ull;
	/* Where index 0 is no memory, no other wraps around into it. */
	if ((w->irta & ~0xfffull) >= MEM || at >= MEM || at + 16 > MEM)
		return false;
	e = w->mem + at;
	if (!bits(e, 0, 0) || bits(e, 12, 14) || bits(e, 15, 15) || bits(e, 24, 31) ||
		bits(e, 84, 115) || bits(e, 116, 127) || bits(e, 82, 83) == 3 ||
		bits(e, 5, 7) == 3 || bits(e, 5, 7) == 6)
		return false;
	if (!wide && (bits(e, 32, 39) || bits(e, 48, 63)))
		return false;
	if (!source_ok(e, w->rid[i]))
		return false;
	dest = wide ? bits(e, 32, 63) : bits(e, 40, 47);
	ret->addr = ((uint64_t)(dest / 256) << 40) + 0xfee00000u + dest % 256 * 4096 +
		    bits(e, 3, 3) * 8 + bits(e, 2, 2) * 4;
	ret->data = bits(e, 16, 23) + bits(e, 5, 7) * 256 + 0x4000 + bits(e, 4, 4) * 0x8000;
	return true;
}

static bool all_zero(const uint8_t *e, unsigned int from, unsigned int to)
{
	while (from <= to && !bits(e, from, from))
		from++;
	return from > to;
}

static bool dma_decode(struct world *w, uint16_t rid)
{
	uint64_t at = w->root + rid / 256 * 16;
	uint8_t *e;

	if (at > MEM - 16)
		return false;
	e = w->mem + at;
	if (!bits(e, 0, 0) || !all_zero(e, 1, 11) || !all_zero(e, 48, 127))
		return false;
	at = (uint64_t)bits(e, 12, 31) << 12 | (uint64_t)bits(e, 32, 47) << 32;
	at += rid % 256 * 16;
	if (at > MEM - 16)
		return false;
	e = w->mem + at;
	return bits(e, 0, 0) && bits(e, 2, 3) == 2 && all_zero(e, 4, 11) && bits(e, 64, 66) == 2 &&
	       !bits(e, 71, 71) && all_zero(e, 80, 127);
}

/* ---- the checks ---- */

static void told(void *ctx, bool allowed)
{
	bool *known = ctx;

	must(*known != allowed);
	*known = allowed;
}

static void check_dma(struct world *w)
{
	bool on = vtd_read(w->vtd, 0x1c, 4) >> 31;

	vtd_write(w->vtd, 0x28, 8, 1ull << 63 | 1ull << 61);
	must(vtd_read(w->vtd, 0x28, 8) == (1ull << 61 | 1ull << 59));
	for (unsigned int i = 0; i < DEVICES; i++) {
		bool want = !on || dma_decode(w, dev_rid[i]);

		must(w->allowed[i] == want);
		must(vtd_dma_request(&w->dev[i], i * 0x1234, i & 1) == want);
	}
}

static void check_faults(struct world *w)
{
	uint32_t fsts = (uint32_t)vtd_read(w->vtd, 0x34, 4);
	bool any = false;

	for (unsigned int i = 0; i < 8; i++)
		any |= vtd_read(w->vtd, 0x220 + 16 * i + 8, 8) >> 63;
	must(any == !!(fsts & 2));
	must(vtd_read(w->vtd, 0x80, 8) < 16u << 15);
}

static void check_vectors(struct world *w)
{
	uint32_t gsts = (uint32_t)vtd_read(w->vtd, 0x1c, 4);
	struct irq_msi want;

	/* All translated anew, through the front door; the one-shot commands are not repeated. */
	gsts &= ~(1u << 30 | 1u << 24);
	vtd_write(w->vtd, 0x18, 4, gsts ^ 1u << 23);
	vtd_write(w->vtd, 0x18, 4, gsts);
	for (unsigned int i = 0; i < VECTORS; i++) {
		bool allowed = gsts & 1u << 25 ? decode(w, i, gsts & 1u << 23, &want) : true,
		     on = false;
		uint32_t gsi = 0;

		if (!(gsts & 1u << 25))
			want = w->msg[i];
		for (unsigned int n = 0; n < w->rec.n_attached; n++)
			if (w->rec.attached[n].fd == irq_vector_fd(w->v[i]))
				on = true, gsi = w->rec.attached[n].gsi;
		must(on == (allowed && !w->masked[i]));
		if (on)
			must(w->rec.route[gsi].addr == want.addr &&
				w->rec.route[gsi].data == want.data);
	}
}

static void latch(struct world *w, unsigned int off, unsigned int len, uint64_t val)
{
	if (off != 0x18 || len != 4)
		return;
	if (val & 1u << 30)
		w->root = vtd_read(w->vtd, 0x20, 8);
	if (!(val & 1u << 24))
		return;
	w->irta = vtd_read(w->vtd, 0xb8, 8);
	w->latched = true;
}

static void reg_op(struct world *w, const uint8_t *d)
{
	static const uint16_t regs[] = {0x18, 0x34, 0x38, 0x3c, 0x40, 0x44, 0x80, 0x88, 0x90, 0x9c,
		0xa0, 0xa4, 0xa8, 0xac, 0xb8, 0x20, 0x28, 0xf8, 0x2c, 0xfc, 0x22c, 0x23c};
	unsigned int len = d[1] & 1 ? 8 : 4;
	unsigned int off = d[1] & 2 ? d[0] * 4u : regs[d[0] % (sizeof(regs) / sizeof(*regs))];
	uint64_t val = le_load(d + 2, 8);

	/* Mostly inside the memory there is. */
	if (d[1] & 4)
		val &= 0xf0007fff;
	if (off == 0x18)
		len = 4;
	vtd_write(w->vtd, off, len, val);
	latch(w, off, len, val);
	(void)vtd_read(w->vtd, off, len);
}

static void vector_op(struct world *w, const uint8_t *d)
{
	unsigned int i = d[0] % VECTORS;
	struct irq_msi m = {
		0xfee00000u | (le_load(d + 2, 4) & 0xfffffu), (uint32_t)le_load(d + 6, 4)};

	if (d[1] & 1) {
		if (!(d[1] & 2))
			m.addr &= 0xfee000ffu;
		w->msg[i] = m;
		irq_vector_set(w->v[i], m, NULL);
	}
	if (d[1] & 4)
		irq_vector_fire(w->v[i]);
	w->masked[i] = d[1] & 8;
	if (w->masked[i])
		irq_vector_mask(w->v[i]);
	else
		irq_vector_unmask(w->v[i], NULL);
	if (d[1] & 16)
		irq_router_send(w->router, w->rid[i], m);
}

/* Also what is nearly an entry, where the vectors' requests look for it. */
static void mem_op(struct world *w, const uint8_t *d, bool entry)
{
	uint64_t val = le_load(d + 2, 8);

	if (entry)
		le_store(w->mem + (w->irta & 0x7000) + d[0] % 8 * 16 + d[1] % 2 * 8, 8,
			d[1] % 2 ? val & 0xfffff : (val & 0xff0000ff0fffull) | 1);
	else
		memcpy(w->mem + le_load(d, 2) % (MEM - 8), d + 2, 8);
}

/* What is nearly a way to pass-through, for one of the devices. */
static void dma_op(struct world *w, const uint8_t *d)
{
	uint16_t rid = dev_rid[d[0] % DEVICES];
	uint64_t root = (w->root & 0x7000) + rid / 256 * 16, table = (d[0] & 0x70) << 8;
	uint64_t at = table + rid % 256 * 16;

	le_store(w->mem + root, 8, table | 1 | (d[1] & 1 ? 1ull << d[5] % 64 : 0));
	le_store(w->mem + root + 8, 8, d[1] & 2 ? d[4] : 0);
	if (at > MEM - 16)
		return;
	le_store(w->mem + at, 8, 9 ^ (d[1] & 4 ? 1ull << d[2] % 64 : 0));
	le_store(w->mem + at + 8, 8, 2 ^ (d[1] & 8 ? 1ull << d[3] % 64 : 0));
}

static void up(struct world *w)
{
	const struct vtd_memory m = {mem_read, mem_write, w};
	struct irq_backend be;

	irq_recorder_init(&w->rec);
	be = irq_recorder_backend(&w->rec);
	must(irq_router_create(&be, 64, NULL, &w->router) == 0);
	must(vtd_create(w->router, &m, NULL, &w->vtd) == 0);
	vtd_dma_offer(w->vtd);
	for (unsigned int i = 0; i < DEVICES; i++) {
		w->allowed[i] = true;
		vtd_dma_attach(w->vtd, dev_rid[i], told, &w->allowed[i], &w->dev[i]);
	}
	for (unsigned int i = 0; i < VECTORS; i++) {
		w->rid[i] = (uint16_t)(0x100 * i + i);
		w->masked[i] = true;
		w->msg[i] = (struct irq_msi){0xfee00000, 0x30};
		must(irq_vector_create(w->router, w->rid[i], NULL, &w->v[i]) == 0);
		irq_vector_set(w->v[i], w->msg[i], NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = calloc(1, sizeof(*w));

	must(w);
	up(w);
	for (size_t at = 0; at + 12 <= size; at += 12) {
		const uint8_t *d = data + at + 1;

		switch (data[at] % 4) {
		case 0: reg_op(w, d); break;
		case 1: vector_op(w, d); break;
		case 2: mem_op(w, d, data[at] & 4); break;
		case 3:
			if (data[at] & 8)
				dma_op(w, d);
			if (data[at] & 4)
				check_dma(w);
			else
				check_vectors(w);
			break;
		}
		check_faults(w);
	}
	for (unsigned int i = 0; i < VECTORS; i++)
		irq_vector_destroy(w->v[i]);
	for (unsigned int i = 0; i < DEVICES; i++)
		vtd_dma_detach(&w->dev[i]);
	vtd_destroy(w->vtd);
	irq_router_destroy(w->router);
	irq_recorder_finish(&w->rec);
	free(w);
	return 0;
}
