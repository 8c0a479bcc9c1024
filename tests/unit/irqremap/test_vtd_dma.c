// SPDX-License-Identifier: GPL-2.0-or-later
/* The DMA side of the guest's remapping unit: whose requests pass, and when that changes. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "irqremap/vtd.h"
#include "irqremap/vtd_context.h"

/* Bytes of guest memory, for vtd_world.h. */
#define MEM 0x100000u
#include "tests/unit/irqremap/vtd_world.h"

#define ROOT    0x10000u
#define CONTEXT 0x11000u /* of bus 0 */
#define QUEUE   0x20000u
#define STATUS  0x30000u
#define RID_A   0x0010u /* 00:02.0 */
#define RID_B   0x0018u

#define RTADDR 0x20
#define CCMD   0x28
#define IVA    0xf0
#define IOTLB  0xf8

#define TE   (1u << 31)
#define SRTP (1u << 30)
#define ICC  (1ull << 63)
#define T    (1ull << 62)

/* A good context entry: present, pass-through, 48 bits, domain 5. */
#define GOOD_LO 0x9ull
#define GOOD_HI (2ull | 5ull << 8)

struct device {
	struct vtd_requester q;
	bool allowed;
	unsigned int calls;
};

static struct device dev_a, dev_b;

static void told(void *ctx, bool allowed)
{
	struct device *d = ctx;

	ck_assert_msg(d->allowed != allowed, "told what it knew");
	d->allowed = allowed;
	d->calls++;
}

static void device_up(struct device *d, uint16_t rid)
{
	*d = (struct device){.allowed = true};
	vtd_dma_attach(vtd, rid, told, d, &d->q);
}

static void up(void)
{
	world_up();
	memset(mem, 0, sizeof(mem));
	tail = 0;
	ck_assert_int_eq(vtd_create(router, &memory, NULL, &vtd), 0);
	vtd_dma_offer(vtd);
	device_up(&dev_a, RID_A);
	device_up(&dev_b, RID_B);
}

static void down(void)
{
	vtd_dma_detach(&dev_a.q);
	vtd_dma_detach(&dev_b.q);
	vtd_destroy(vtd);
	world_down();
}

static void root_put(unsigned int bus, uint64_t lo, uint64_t hi)
{
	le_store(mem + ROOT + bus * 16, 8, lo);
	le_store(mem + ROOT + bus * 16 + 8, 8, hi);
}

static void context_put(uint16_t rid, uint64_t lo, uint64_t hi)
{
	le_store(mem + CONTEXT + (rid & 0xff) * 16, 8, lo);
	le_store(mem + CONTEXT + (rid & 0xff) * 16 + 8, 8, hi);
}

/* As Linux does it: tables, queue, root pointer, then translation. */
static void translation_on(void)
{
	root_put(0, CONTEXT | 1, 0);
	context_put(RID_A, GOOD_LO, GOOD_HI);
	context_put(RID_B, GOOD_LO, GOOD_HI);
	vtd_write(vtd, IQA, 8, QUEUE);
	put(GCMD, QIE);
	vtd_write(vtd, RTADDR, 8, ROOT);
	put(GCMD, QIE | SRTP);
	put(GCMD, QIE | TE);
	ck_assert_uint_eq(get(GSTS), QIE | SRTP | TE);
}

static void desc_put(uint64_t lo, uint64_t hi)
{
	le_store(mem + QUEUE + tail * 16, 8, lo);
	le_store(mem + QUEUE + tail * 16 + 8, 8, hi);
	tail = (tail + 1) % 256;
}

static void queue_go(void)
{
	vtd_write(vtd, IQT, 8, (uint64_t)tail * 16);
}

#define CC_GLOBAL    (1ull | 1 << 4)
#define IOTLB_GLOBAL (2ull | 1 << 4)

static void context_invalidate(void)
{
	desc_put(CC_GLOBAL, 0);
	queue_go();
}

/* ---- the walk ---- */

static const struct {
	const char *what;
	uint64_t root_lo, root_hi, lo, hi;
	int fault;
	bool quiet;
} walks[] = {
	{"pass-through", CONTEXT | 1, 0, GOOD_LO, GOOD_HI, 0, false},
	{"its table pointer is not looked at", CONTEXT | 1, 0, GOOD_LO | ~0xfffull, GOOD_HI, 0,
		false},
	{"software's bits", CONTEXT | 1, 0, GOOD_LO, GOOD_HI | 0x78, 0, false},
	{"largest domain", CONTEXT | 1, 0, GOOD_LO, 2 | 0xff00, 0, false},
	{"faults off, passing", CONTEXT | 1, 0, GOOD_LO | 2, GOOD_HI, 0, true},
	{"no root entry", CONTEXT, 0, GOOD_LO, GOOD_HI, 1, false},
	{"no root entry, all else wrong", ~1ull, ~0ull, GOOD_LO, GOOD_HI, 1, false},
	{"root reserved bit 1", CONTEXT | 3, 0, GOOD_LO, GOOD_HI, 0xa, false},
	{"root reserved bit 11", CONTEXT | 0x801, 0, GOOD_LO, GOOD_HI, 0xa, false},
	{"root above the address width", CONTEXT | 1 | 1ull << 48, 0, GOOD_LO, GOOD_HI, 0xa, false},
	{"root upper half", CONTEXT | 1, 1, GOOD_LO, GOOD_HI, 0xa, false},
	{"root upper half, top", CONTEXT | 1, 1ull << 63, GOOD_LO, GOOD_HI, 0xa, false},
	{"context table after memory", MEM | 1, 0, 0, 0, 9, false},
	{"context table far away", 1 | 0xfffffffff000, 0, 0, 0, 9, false},
	{"no context entry", CONTEXT | 1, 0, GOOD_LO & ~1ull, GOOD_HI, 2, false},
	{"no context entry, all else wrong", CONTEXT | 1, 0, ~3ull, ~0ull, 2, false},
	{"no context entry, faults off", CONTEXT | 1, 0, 2, 0, 2, true},
	{"context reserved bit 4", CONTEXT | 1, 0, GOOD_LO | 0x10, GOOD_HI, 0xb, false},
	{"context reserved bit 11", CONTEXT | 1, 0, GOOD_LO | 0x800, GOOD_HI, 0xb, false},
	{"context reserved bit 71", CONTEXT | 1, 0, GOOD_LO, GOOD_HI | 0x80, 0xb, false},
	{"domain too large", CONTEXT | 1, 0, GOOD_LO, GOOD_HI | 0x10000, 0xb, false},
	{"context reserved bit 88", CONTEXT | 1, 0, GOOD_LO, GOOD_HI | 1 << 24, 0xb, false},
	{"context reserved bit 127", CONTEXT | 1, 0, GOOD_LO, GOOD_HI | 1ull << 63, 0xb, false},
	{"reserved, faults off", CONTEXT | 1, 0, GOOD_LO | 0x12, GOOD_HI, 0xb, true},
	{"second level", CONTEXT | 1, 0, 1, GOOD_HI, 3, false},
	{"with device TLB", CONTEXT | 1, 0, 5, GOOD_HI, 3, false},
	{"type 3", CONTEXT | 1, 0, 0xd, GOOD_HI, 3, false},
	{"39 bits", CONTEXT | 1, 0, GOOD_LO, 1 | 5 << 8, 3, false},
	{"57 bits", CONTEXT | 1, 0, GOOD_LO, 3 | 5 << 8, 3, false},
	{"width 7", CONTEXT | 1, 0, GOOD_LO, 7 | 5 << 8, 3, false},
};

START_TEST(tables_give_pass_through_or_the_fault_of_the_specification)
{
	struct vtd_context c;

	memset(mem, 0, sizeof(mem));
	root_put(0, walks[_i].root_lo, walks[_i].root_hi);
	context_put(RID_A, walks[_i].lo, walks[_i].hi);
	vtd_context_walk(&memory, ROOT, RID_A, &c);
	ck_assert_msg((int)c.fault == walks[_i].fault, "%s: fault %#x", walks[_i].what, c.fault);
	ck_assert_msg(c.quiet == walks[_i].quiet, "%s: quiet %d", walks[_i].what, c.quiet);
	if (!c.fault)
		ck_assert_uint_eq(c.domain, walks[_i].hi >> 8 & 0xff);
}
END_TEST

START_TEST(tables_at_the_end_of_memory_are_read_to_its_last_byte)
{
	struct vtd_context c;

	memset(mem, 0, sizeof(mem));
	/* The last bus in the last page; the last function in the page before. */
	le_store(mem + MEM - 16, 8, (MEM - 0x2000) | 1);
	le_store(mem + MEM - 0x1000 - 16, 8, GOOD_LO);
	le_store(mem + MEM - 0x1000 - 8, 8, GOOD_HI);
	vtd_context_walk(&memory, MEM - 0x1000, 0xffff, &c);
	ck_assert_int_eq((int)c.fault, 0);
	vtd_context_walk(&memory, MEM - 0x1000, 0xfffe, &c);
	ck_assert_int_eq((int)c.fault, 2);
	vtd_context_walk(&memory, MEM, 0, &c);
	ck_assert_int_eq((int)c.fault, 8);
	vtd_context_walk(&memory, MEM - 0x800, 0xff00, &c);
	ck_assert_int_eq((int)c.fault, 8);
	vtd_context_walk(&memory, ~0xfffull, 0xff00, &c);
	ck_assert_int_eq((int)c.fault, 8);
}
END_TEST

/* The second decoder: VT-d §9.1 and §9.3, bit by bit. */
static unsigned int bit(uint64_t lo, uint64_t hi, unsigned int n)
{
	return (n < 64 ? lo >> n : hi >> (n - 64)) & 1;
}

static bool any(uint64_t lo, uint64_t hi, unsigned int from, unsigned int to)
{
	for (unsigned int n = from; n <= to; n++)
		if (bit(lo, hi, n))
			return true;
	return false;
}

static int decode(uint64_t rl, uint64_t rh, uint64_t cl, uint64_t ch)
{
	if (!bit(rl, rh, 0))
		return 1;
	if (any(rl, rh, 1, 11) || any(rl, rh, 48, 127))
		return 0xa;
	if (!bit(cl, ch, 0))
		return 2;
	if (any(cl, ch, 4, 11) || any(cl, ch, 71, 71) || any(cl, ch, 80, 127))
		return 0xb;
	if (bit(cl, ch, 2) || !bit(cl, ch, 3))
		return 3;
	if (bit(cl, ch, 64) || !bit(cl, ch, 65) || bit(cl, ch, 66))
		return 3;
	return 0;
}

START_TEST(every_single_bit_and_many_pairs_agree_with_a_second_decoder)
{
	struct vtd_context c;

	memset(mem, 0, sizeof(mem));
	for (unsigned int a = 0; a < 256; a++) {
		for (unsigned int b = a; b < 256; b++) {
			uint64_t e[4] = {CONTEXT | 1, 0, GOOD_LO, GOOD_HI};
			int want;

			e[a / 64] ^= 1ull << a % 64;
			if (b != a)
				e[b / 64] ^= 1ull << b % 64;
			want = decode(e[0], e[1], e[2], e[3]);
			root_put(0, e[0], e[1]);
			context_put(RID_A, e[2], e[3]);
			vtd_context_walk(&memory, ROOT, RID_A, &c);
			/* A table elsewhere is empty, or not in memory. */
			if ((e[0] & ~0xfffull) != CONTEXT && want != 1 && want != 0xa)
				want = (e[0] & ~0xfffull) < MEM ? 2 : 9;
			ck_assert_msg((int)c.fault == want, "bits %u, %u: %#x, not %#x", a, b,
				c.fault, want);
		}
	}
}
END_TEST

/* ---- the unit ---- */

START_TEST(what_is_offered_is_what_linux_needs_for_pass_through)
{
	uint64_t cap = vtd_read(vtd, 0x08, 8), ecap = vtd_read(vtd, 0x10, 8);

	ck_assert_uint_eq(cap >> 8 & 0x1f, 4);         /* SAGAW: 48 bits */
	ck_assert_uint_eq((cap >> 16 & 0x3f) + 1, 48); /* MGAW */
	ck_assert_uint_eq(cap >> 7 & 1, 1);            /* CM */
	ck_assert_uint_eq(cap >> 4 & 7, 0);            /* RWBF, PLMR, PHMR */
	ck_assert_uint_eq(cap >> 39 & 1, 0);           /* PSI */
	ck_assert_uint_eq(ecap >> 6 & 1, 1);           /* PT */
	ck_assert_uint_eq(ecap >> 2 & 1, 0);           /* DT */
	vtd_reset(vtd);
	ck_assert_uint_eq(vtd_read(vtd, 0x08, 8), cap);
}
END_TEST

START_TEST(a_unit_that_does_not_offer_it_lets_everything_through)
{
	struct vtd *offered = vtd;
	uint64_t cap;

	/* As test_vtd.c has it: a second router, no offer. */
	vtd_dma_detach(&dev_a.q);
	vtd_dma_detach(&dev_b.q);
	vtd_destroy(offered);
	ck_assert_int_eq(vtd_create(router, &memory, NULL, &vtd), 0);
	device_up(&dev_a, RID_A);
	cap = vtd_read(vtd, 0x08, 8);
	ck_assert_uint_eq(cap & 0x1f80, 0);
	put(GCMD, SRTP);
	put(GCMD, TE);
	ck_assert_uint_eq(get(GSTS), TE | SRTP);
	ck_assert(dev_a.allowed);
	ck_assert(vtd_dma_request(&dev_a.q, 0x1000, true));
}
END_TEST

START_TEST(pass_through_entries_keep_everybody_running)
{
	struct vtd_stats s;

	translation_on();
	ck_assert_uint_eq(dev_a.calls + dev_b.calls, 0);
	ck_assert(vtd_dma_request(&dev_a.q, 0x1000, true));
	vtd_stats(vtd, &s);
	ck_assert(s.dma_on);
	ck_assert_uint_eq(s.dma_blocked + s.dma_faults + s.faults, 0);
	ck_assert_uint_eq(get(FSTS), 0);
	put(GCMD, QIE);
	vtd_stats(vtd, &s);
	ck_assert(!s.dma_on);
	ck_assert_uint_eq(dev_a.calls + dev_b.calls, 0);
}
END_TEST

START_TEST(a_device_without_an_entry_is_blocked_alone_and_its_accesses_recorded)
{
	struct vtd_stats s;

	translation_on();
	context_put(RID_A, 0, 0);
	/* Cached until it is invalidated. */
	ck_assert(vtd_dma_request(&dev_a.q, 0x1000, true));
	context_invalidate();
	ck_assert(!dev_a.allowed);
	ck_assert(dev_b.allowed);
	ck_assert_uint_eq(get(FSTS), 0);
	ck_assert(!vtd_dma_request(&dev_a.q, 0x123456789abc, false));
	ck_assert(!vtd_dma_request(&dev_a.q, 0x1fff, true));
	ck_assert(vtd_dma_request(&dev_b.q, 0x1000, true));
	ck_assert_uint_eq(vtd_read(vtd, FRCD, 8), 0x123456789000);
	ck_assert_uint_eq(vtd_read(vtd, FRCD + 8, 8), F | T | 2ull << 32 | RID_A);
	ck_assert_uint_eq(vtd_read(vtd, FRCD + 16, 8), 0x1000);
	ck_assert_uint_eq(vtd_read(vtd, FRCD + 24, 8), F | 2ull << 32 | RID_A);
	ck_assert_uint_eq(get(FSTS), 2);
	vtd_stats(vtd, &s);
	ck_assert_uint_eq(s.dma_blocked, 1);
	ck_assert_uint_eq(s.dma_faults, 2);
	ck_assert_uint_eq(s.faults, 2);
	/* Caching mode: it comes back with its invalidation. */
	context_put(RID_A, GOOD_LO, GOOD_HI);
	ck_assert(!vtd_dma_request(&dev_a.q, 0, true));
	context_invalidate();
	ck_assert(dev_a.allowed);
	ck_assert_uint_eq(dev_a.calls, 2);
	ck_assert_uint_eq(dev_b.calls, 0);
	vtd_stats(vtd, &s);
	ck_assert_uint_eq(s.dma_blocked, 0);
}
END_TEST

START_TEST(page_tables_are_not_translated_but_block_the_device)
{
	translation_on();
	context_put(RID_A, 0x40001, GOOD_HI);
	context_invalidate();
	ck_assert(!dev_a.allowed);
	ck_assert(!vtd_dma_request(&dev_a.q, 0x5000, true));
	ck_assert_uint_eq(vtd_read(vtd, FRCD + 8, 8), F | 3ull << 32 | RID_A);
}
END_TEST

START_TEST(fault_processing_disabled_blocks_a_device_in_silence)
{
	struct vtd_stats s;

	translation_on();
	context_put(RID_A, 2, 0);
	context_invalidate();
	ck_assert(!vtd_dma_request(&dev_a.q, 0x5000, true));
	ck_assert_uint_eq(get(FSTS), 0);
	vtd_stats(vtd, &s);
	ck_assert_uint_eq(s.dma_faults, 1);
	ck_assert_uint_eq(s.faults_lost, 1);
}
END_TEST

START_TEST(switching_on_without_tables_blocks_all_and_off_frees_all)
{
	put(GCMD, TE);
	ck_assert(!dev_a.allowed && !dev_b.allowed);
	put(GCMD, 0);
	ck_assert(dev_a.allowed && dev_b.allowed);
	ck_assert_uint_eq(get(GSTS), 0);
	/* A root pointer counts from its command. */
	root_put(0, CONTEXT | 1, 0);
	context_put(RID_A, GOOD_LO, GOOD_HI);
	vtd_write(vtd, RTADDR, 8, ROOT);
	put(GCMD, TE);
	ck_assert(!dev_a.allowed);
	put(GCMD, 0);
	put(GCMD, SRTP);
	put(GCMD, TE);
	ck_assert(dev_a.allowed && !dev_b.allowed);
	vtd_reset(vtd);
	ck_assert(dev_a.allowed && dev_b.allowed);
	ck_assert_uint_eq(get(GSTS), 0);
	/* The root pointer is gone, too. */
	put(GCMD, TE);
	ck_assert(!dev_a.allowed);
}
END_TEST

START_TEST(a_new_root_counts_from_the_invalidation)
{
	translation_on();
	vtd_write(vtd, RTADDR, 8, MEM);
	put(GCMD, QIE | TE | SRTP);
	ck_assert(dev_a.allowed);
	context_invalidate();
	ck_assert(!dev_a.allowed);
	ck_assert(!vtd_dma_request(&dev_a.q, 0, true));
	ck_assert_uint_eq(vtd_read(vtd, FRCD + 8, 8), F | 8ull << 32 | RID_A);
}
END_TEST

START_TEST(scalable_mode_cannot_be_asked_for)
{
	vtd_write(vtd, RTADDR, 8, ROOT | 0xc00);
	ck_assert_uint_eq(vtd_read(vtd, RTADDR, 8), ROOT);
}
END_TEST

static const struct {
	const char *what;
	unsigned int reg;
	uint64_t val, want;
	bool done;
} commands[] = {
	{"context, global", CCMD, ICC | 1ull << 61, 1ull << 61 | 1ull << 59, true},
	{"context, domain", CCMD, ICC | 2ull << 61 | 5, 2ull << 61 | 2ull << 59 | 5, true},
	{"context, device", CCMD, ICC | 3ull << 61 | RID_A << 16,
		3ull << 61 | 3ull << 59 | RID_A << 16, true},
	{"context, reserved", CCMD, ICC, 0, false},
	{"context, no command", CCMD, 3ull << 59 | 1ull << 61, 1ull << 61, false},
	{"IOTLB, global", IOTLB, ICC | 1ull << 60, 1ull << 60 | 1ull << 57, true},
	{"IOTLB, domain", IOTLB, ICC | 2ull << 60 | 5ull << 32,
		2ull << 60 | 2ull << 57 | 5ull << 32, true},
	/* Pages are not offered: the domain it is. */
	{"IOTLB, pages", IOTLB, ICC | 3ull << 60, 3ull << 60 | 2ull << 57, true},
	{"IOTLB, reserved", IOTLB, ICC, 0, false},
	{"IOTLB, no command", IOTLB, 1ull << 60, 1ull << 60, false},
};

START_TEST(register_invalidation_is_done_at_once_and_says_at_which_grain)
{
	translation_on();
	context_put(RID_A, 0, 0);
	vtd_write(vtd, IVA, 8, 0x12345000 | 0x40);
	ck_assert_uint_eq(vtd_read(vtd, IVA, 8), 0x12345040);
	vtd_write(vtd, commands[_i].reg, 8, commands[_i].val);
	ck_assert_msg(vtd_read(vtd, commands[_i].reg, 8) == commands[_i].want, "%s: %#llx",
		commands[_i].what, (unsigned long long)vtd_read(vtd, commands[_i].reg, 8));
	ck_assert_msg(dev_a.allowed != commands[_i].done, "%s", commands[_i].what);
}
END_TEST

static const struct {
	const char *what;
	uint64_t lo, hi;
	bool ok;
} descriptors[] = {
	{"context, global", 1 | 1 << 4, 0, true},
	{"context, domain", 1 | 2 << 4 | 5ull << 16, 0, true},
	{"context, device with a function mask", 1 | 3 << 4 | (uint64_t)RID_A << 32 | 3ull << 48, 0,
		true},
	{"context, no grain", 1, 0, false},
	{"context, reserved bit 6", 1 | 1 << 4 | 1 << 6, 0, false},
	{"context, reserved bit 15", 1 | 1 << 4 | 1 << 15, 0, false},
	{"context, reserved bit 50", 1 | 1 << 4 | 1ull << 50, 0, false},
	{"context, second half", 1 | 1 << 4, 1, false},
	{"IOTLB, global, draining", 2 | 1 << 4 | 3 << 6, 0, true},
	{"IOTLB, domain", 2 | 2 << 4 | 5ull << 16, 0, true},
	{"IOTLB, pages", 2 | 3 << 4, 0x12345000 | 0x7f, true},
	{"IOTLB, no grain", 2, 0, false},
	{"IOTLB, reserved bit 8", 2 | 1 << 4 | 1 << 8, 0, false},
	{"IOTLB, reserved bit 32", 2 | 1 << 4 | 1ull << 32, 0, false},
	{"IOTLB, second half", 2 | 1 << 4, 0x80, false},
};

START_TEST(queued_invalidation_is_done_or_stops_the_queue)
{
	bool ok = descriptors[_i].ok;

	translation_on();
	context_put(RID_A, 0, 0);
	desc_put(descriptors[_i].lo, descriptors[_i].hi);
	desc_put(5 | 1 << 5 | 7ull << 32, STATUS);
	queue_go();
	ck_assert_msg(get(FSTS) == (ok ? 0 : 0x10u), "%s", descriptors[_i].what);
	ck_assert_msg(dev_a.allowed != ok, "%s", descriptors[_i].what);
	ck_assert_uint_eq(le_load(mem + STATUS, 4), ok ? 7 : 0);
}
END_TEST

START_TEST(a_device_that_comes_while_translation_is_on_is_told_at_once)
{
	struct device late;

	translation_on();
	device_up(&late, 0x0020);
	ck_assert(!late.allowed);
	ck_assert_uint_eq(late.calls, 1);
	vtd_dma_detach(&late.q);
	/* Nobody is there any more. */
	context_put(0x0020, GOOD_LO, GOOD_HI);
	context_invalidate();
	ck_assert_uint_eq(late.calls, 1);
	/* Twice is harmless, so is one that was never attached. */
	vtd_dma_detach(&late.q);
}
END_TEST

/* ---- a guest that changes its tables meanwhile ---- */

static void flip(void *ctx, bool allowed)
{
	struct device *d = ctx;

	d->allowed = allowed;
	d->calls++;
	context_put(RID_A, allowed ? 0 : GOOD_LO, allowed ? 0 : GOOD_HI);
}

START_TEST(an_entry_that_flips_under_a_queue_opens_its_device_once)
{
	struct device d = {.allowed = true};

	translation_on();
	vtd_dma_detach(&dev_a.q);
	vtd_dma_attach(vtd, RID_A, flip, &d, &d.q);
	context_put(RID_A, 0, 0);
	for (unsigned int i = 0; i < 200; i++)
		desc_put(CC_GLOBAL, 0);
	queue_go();
	/* Closed, opened, closed; the other openings wait. */
	ck_assert_uint_eq(d.calls, 3);
	ck_assert(!d.allowed);
	ck_assert(!vtd_dma_request(&d.q, 0, true));
	/* The next command finds what is there then. */
	context_invalidate();
	ck_assert(d.allowed);
	vtd_dma_detach(&d.q);
}
END_TEST

static _Atomic bool stop;

static void *switcher(void *arg)
{
	while (!atomic_load(&stop)) {
		put(GCMD, QIE);
		put(GCMD, QIE | TE);
	}
	return NULL;
}

static void *invalidator(void *arg)
{
	while (!atomic_load(&stop))
		vtd_write(vtd, CCMD, 8, ICC | 1ull << 61);
	return NULL;
}

START_TEST(switching_against_invalidations_and_accesses_ends_in_step)
{
	pthread_t a, b;
	struct vtd_stats s;

	translation_on();
	context_put(RID_A, 0, 0);
	atomic_store(&stop, false);
	ck_assert_int_eq(pthread_create(&a, NULL, switcher, NULL), 0);
	ck_assert_int_eq(pthread_create(&b, NULL, invalidator, NULL), 0);
	for (unsigned int i = 0; i < 20000; i++) {
		ck_assert(vtd_dma_request(&dev_b.q, i, true));
		(void)vtd_dma_request(&dev_a.q, i, true);
	}
	atomic_store(&stop, true);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	put(GCMD, QIE | TE);
	ck_assert(!dev_a.allowed && dev_b.allowed);
	vtd_stats(vtd, &s);
	ck_assert_uint_eq(s.dma_blocked, 1);
	put(GCMD, QIE);
	ck_assert(dev_a.allowed && dev_b.allowed);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("irqremap-vtd-dma");
	TCase *t = tcase_create("dma");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, up, down);
	tcase_set_timeout(t, 50);
#define ROWS(a) (int)(sizeof(a) / sizeof(*(a)))
	tcase_add_loop_test(
		t, tables_give_pass_through_or_the_fault_of_the_specification, 0, ROWS(walks));
	tcase_add_test(t, tables_at_the_end_of_memory_are_read_to_its_last_byte);
	tcase_add_test(t, every_single_bit_and_many_pairs_agree_with_a_second_decoder);
	tcase_add_test(t, what_is_offered_is_what_linux_needs_for_pass_through);
	tcase_add_test(t, a_unit_that_does_not_offer_it_lets_everything_through);
	tcase_add_test(t, pass_through_entries_keep_everybody_running);
	tcase_add_test(t, a_device_without_an_entry_is_blocked_alone_and_its_accesses_recorded);
	tcase_add_test(t, page_tables_are_not_translated_but_block_the_device);
	tcase_add_test(t, fault_processing_disabled_blocks_a_device_in_silence);
	tcase_add_test(t, switching_on_without_tables_blocks_all_and_off_frees_all);
	tcase_add_test(t, a_new_root_counts_from_the_invalidation);
	tcase_add_test(t, scalable_mode_cannot_be_asked_for);
	tcase_add_loop_test(t, register_invalidation_is_done_at_once_and_says_at_which_grain, 0,
		ROWS(commands));
	tcase_add_loop_test(
		t, queued_invalidation_is_done_or_stops_the_queue, 0, ROWS(descriptors));
	tcase_add_test(t, a_device_that_comes_while_translation_is_on_is_told_at_once);
	tcase_add_test(t, an_entry_that_flips_under_a_queue_opens_its_device_once);
	tcase_add_test(t, switching_against_invalidations_and_accesses_ends_in_step);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
