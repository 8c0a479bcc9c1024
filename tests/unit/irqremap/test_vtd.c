// SPDX-License-Identifier: GPL-2.0-or-later
/* The guest's remapping unit, driven as a guest's driver does: tables and queue in memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "irqremap/irte.h"
#include "irqremap/snapshot.h"
#include "irqremap/vtd.h"

/* Bytes of guest memory, for vtd_world.h. */
#define MEM 0x200000u
#include "tests/unit/irqremap/vtd_world.h"

#define TABLE  0x10000u /* 256 entries */
#define QUEUE  0x20000u /* 256 descriptors */
#define STATUS 0x30000u
#define DEST   0x12345u

#define FECTL 0x38
#define IQH   0x80
#define ICS   0x9c
#define IECTL 0xa0
#define IRTA  0xb8

#define IRE   (1u << 25)
#define SIRTP (1u << 24)
#define CFI   (1u << 23)
#define EIME  0x800u
#define PPF   2u
#define PFO   1u
#define IQE   0x10u

static struct ioapic *io;

static void vtd_up(void)
{
	world_up();
	memset(mem, 0, sizeof(mem));
	tail = 0;
	ck_assert_int_eq(vtd_create(router, &memory, NULL, &vtd), 0);
	ck_assert_int_eq(ioapic_create(router, 0xf0f8, NULL, &io), 0);
}

static void vtd_down(void)
{
	ioapic_destroy(io);
	vtd_destroy(vtd);
	world_down();
}

static void entry_put(unsigned int index, uint64_t lo, uint64_t hi)
{
	le_store(mem + TABLE + index * 16, 8, lo);
	le_store(mem + TABLE + index * 16 + 8, 8, hi);
}

/* Present, fixed, to @dest, of the requester of the tests. */
static void entry_set(unsigned int index, uint8_t vector, uint32_t dest)
{
	entry_put(index, 1 | (uint64_t)vector << 16 | (uint64_t)dest << 32, RID | 1 << 18);
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

static void iec_global(void)
{
	desc_put(4, 0);
	queue_go();
}

static void iec_index(unsigned int index, unsigned int mask)
{
	desc_put(4 | 1 << 4 | (uint64_t)mask << 27 | (uint64_t)index << 32, 0);
	queue_go();
}

/* As Linux does it: queue, table, remapping. */
static void remap_on(uint64_t mode)
{
	vtd_write(vtd, IQA, 8, QUEUE);
	put(GCMD, QIE);
	vtd_write(vtd, IRTA, 8, TABLE | mode | 7);
	put(GCMD, QIE | SIRTP);
	put(GCMD, QIE | IRE);
	ck_assert_uint_eq(get(GSTS) & (QIE | IRE | SIRTP), QIE | IRE | SIRTP);
}

/* A message in remappable format, VT-d §5.1.2.2. */
static struct irq_msi request(uint32_t handle)
{
	return (struct irq_msi){
		.addr = 0xfee00000u | (handle & 0x7fff) << 5 | 1 << 4 | (handle & 0x8000 ? 4 : 0)};
}

static struct irq_vector *vector_of(struct irq_msi m)
{
	struct irq_vector *v;

	ck_assert_int_eq(irq_vector_create(router, RID, NULL, &v), 0);
	ck_assert_int_eq(irq_vector_set(v, m, NULL), 0);
	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	return v;
}

static uint64_t fault_wait(unsigned int i)
{
	const struct timespec step = {0, 100000};
	uint64_t hi = 0;

	for (unsigned int n = 0; n < 100000 && !(hi & F); n++) {
		hi = vtd_read(vtd, FRCD + 16 * i + 8, 8);
		if (!(hi & F))
			nanosleep(&step, NULL);
	}
	return hi;
}

/* ---- entries ---- */

#define SID(sq, svt, id) ((uint64_t)(svt) << 18 | (uint64_t)(sq) << 16 | (id))

static const struct {
	const char *what;
	uint64_t lo, hi;
	bool extended;
	uint16_t rid;
	int fault;
	struct irq_msi out;
} entries[] = {
	{"fixed, edge", 1 | 0x31ull << 16 | 0x0500ull << 32, 0, false, 0, 0, {0xfee05000, 0x4031}},
	{"extended", 1 | 0x31ull << 16 | 0x0500ull << 32, 0, true, 0, 0,
		{0x50000000000ull | 0xfee00000, 0x4031}},
	{"logical, hint, lowest, level", 0x3d | 0x40ull << 16 | 0x12345678ull << 32, 0, true, 0, 0,
		{0x1234560000000000ull | 0xfee78000 | 8 | 4, 0xc140}},
	{"absent", 0, 0, false, 0, 0x22, {0}},
	{"absent, all else wrong", ~1ull, ~0ull, true, 0, 0x22, {0}},
	{"reserved bit 12", 1 | 1 << 12, 0, true, 0, 0x24, {0}},
	{"posted mode", 1 | 1 << 15, 0, true, 0, 0x24, {0}},
	{"reserved bit 24", 1 | 1 << 24, 0, true, 0, 0x24, {0}},
	{"software's bits", 1 | 0xf00, 0, true, 0, 0, {0xfee00000, 0x4000}},
	{"destination above 8 bits", 1 | 1ull << 48, 0, false, 0, 0x24, {0}},
	{"destination below them", 1 | 1ull << 32, 0, false, 0, 0x24, {0}},
	{"reserved upper", 1, 1 << 20, true, 0, 0x24, {0}},
	{"type 3", 1, SID(0, 3, 0), true, 0, 0x24, {0}},
	{"mode 3", 1 | 3 << 5, 0, true, 0, 0x24, {0}},
	{"mode 6", 1 | 6 << 5, 0, true, 0, 0x24, {0}},
	{"NMI", 1 | 4 << 5, 0, true, 0, 0, {0xfee00000, 0x4400}},
	{"source fits", 1, SID(0, 1, 0x1234), true, 0x1234, 0, {0xfee00000, 0x4000}},
	{"source does not", 1, SID(0, 1, 0x1234), true, 0x1235, 0x26, {0}},
	{"function bit 2 ignored", 1, SID(1, 1, 0x1230), true, 0x1234, 0, {0xfee00000, 0x4000}},
	{"function bit 1 not", 1, SID(1, 1, 0x1230), true, 0x1232, 0x26, {0}},
	{"function bits 2:1 ignored", 1, SID(2, 1, 0x1230), true, 0x1236, 0, {0xfee00000, 0x4000}},
	{"function ignored", 1, SID(3, 1, 0x1230), true, 0x1237, 0, {0xfee00000, 0x4000}},
	{"device is not", 1, SID(3, 1, 0x1230), true, 0x1238, 0x26, {0}},
	{"bus in range", 1, SID(0, 2, 0x1012), true, 0x11ff, 0, {0xfee00000, 0x4000}},
	{"bus first", 1, SID(0, 2, 0x1012), true, 0x1000, 0, {0xfee00000, 0x4000}},
	{"bus below", 1, SID(0, 2, 0x1012), true, 0x0fff, 0x26, {0}},
	{"bus above", 1, SID(0, 2, 0x1012), true, 0x1300, 0x26, {0}},
	{"no check", 1, SID(0, 0, 0x1234), true, 0x4321, 0, {0xfee00000, 0x4000}},
};

START_TEST(entry_becomes_a_message_or_the_fault_of_the_specification)
{
	struct irq_msi out = {0};
	int f = irte_message((struct irte){entries[_i].lo, entries[_i].hi}, entries[_i].rid,
		entries[_i].extended, &out);

	ck_assert_msg(f == entries[_i].fault, "%s: fault %#x", entries[_i].what, f);
	if (!f)
		ck_assert_msg(out.addr == entries[_i].out.addr && out.data == entries[_i].out.data,
			"%s: %#llx %#x", entries[_i].what, (unsigned long long)out.addr, out.data);
}
END_TEST

START_TEST(request_names_its_entry)
{
	uint32_t i = 0;

	ck_assert(!irte_is_request((struct irq_msi){0xfee00000, 0}));
	ck_assert_int_eq(irte_index(request(0xffff), &i), 0);
	ck_assert_uint_eq(i, 0xffff);
	ck_assert_int_eq(irte_index((struct irq_msi){0xfee00018 | 5 << 5, 7}, &i), 0);
	ck_assert_uint_eq(i, 12);
	/* Without the subhandle the data is nobody's. */
	ck_assert_int_eq(irte_index((struct irq_msi){0xfee00010 | 5 << 5, 0x70007}, &i), 0);
	ck_assert_uint_eq(i, 5);
	ck_assert_int_eq(irte_index((struct irq_msi){0xfee00018, 0x10000}, &i), 0x20);
}
END_TEST

/* ---- the unit ---- */

START_TEST(unit_says_what_it_can)
{
	uint64_t cap = vtd_read(vtd, 0x08, 8), ecap = vtd_read(vtd, 0x10, 8);

	ck_assert_uint_eq(get(0), 0x10);
	ck_assert_uint_eq(cap >> 8 & 0x1f, 0); /* SAGAW: no DMA translation */
	ck_assert_uint_eq((cap >> 24 & 0x3ff) * 16, FRCD);
	ck_assert_uint_eq(ecap & 0x5a, 0x5a); /* QI, IR, EIM, PT */
	ck_assert_uint_eq(cap & 1 << 7, 0);   /* CM */
	/* Nothing of it can be written. */
	vtd_write(vtd, 0x08, 8, ~0ull);
	vtd_write(vtd, 0x10, 8, ~0ull);
	put(GSTS, ~0u);
	ck_assert_uint_eq(vtd_read(vtd, 0x08, 8), cap);
	ck_assert_uint_eq(vtd_read(vtd, 0x10, 8), ecap);
	ck_assert_uint_eq(get(GSTS), 0);
	/* Odd accesses answer nothing. */
	ck_assert_uint_eq(vtd_read(vtd, 2, 4) + vtd_read(vtd, 4, 8) + vtd_read(vtd, 0, 2), 0);
	ck_assert_uint_eq(vtd_read(vtd, 0xffc, 4) + vtd_read(vtd, 0xff8, 8), 0);
}
END_TEST

START_TEST(messages_pass_untouched_while_it_is_off)
{
	struct irq_vector *v = vector_of(MSI(0x31));

	ck_assert_uint_eq(rec.route[24].addr, 0xfee00000);
	irq_vector_destroy(v);
	ck_assert_int_gt(irq_router_send(router, RID, MSI(0x32)), 0);
}
END_TEST

START_TEST(entry_decides_where_a_vector_goes)
{
	struct irq_vector *v;

	entry_set(5, 0x41, DEST);
	remap_on(EIME);
	irq_recorder_clear(&rec);
	v = vector_of(request(5));
	ck_assert_uint_eq(rec.route[24].addr,
		(uint64_t)(DEST & ~0xffu) << 32 | 0xfee00000 | (DEST & 0xff) << 12);
	ck_assert_uint_eq(rec.route[24].data, 0x4041);
	ck_calls(1, 1, 0);
	/* A change counts from its invalidation, and costs one commit. */
	entry_set(5, 0x42, DEST);
	ck_calls(0, 0, 0);
	iec_index(5, 0);
	ck_assert_uint_eq(rec.route[24].data, 0x4042);
	ck_calls(1, 0, 0);
	/* What did not change costs none. */
	iec_global();
	iec_index(4, 0);
	ck_calls(0, 0, 0);
	entry_set(5, 0x43, DEST);
	iec_index(4, 1);
	ck_assert_uint_eq(rec.route[24].data, 0x4043);
	irq_vector_destroy(v);
}
END_TEST

/* Who looks at a message of a vector that is not there yet: its entry, and no fault. */
START_TEST(message_is_told_with_its_entry_and_records_no_fault)
{
	struct irq_way w;

	entry_set(5, 0x51, 3);
	irq_msi_snapshot(router, RID, request(5), &w);
	ck_assert(!w.remapped);
	remap_on(EIME);
	irq_msi_snapshot(router, RID, request(5), &w);
	ck_assert(w.remapped && w.handle == 5 && w.reaches);
	ck_assert_uint_eq(irq_target_of(w.out).dest, 3);
	ck_assert_uint_eq(irq_target_of(w.out).vector, 0x51);
	irq_msi_snapshot(router, RID + 1, request(5), &w);
	ck_assert(w.remapped && w.handle == 5 && !w.reaches);
	irq_msi_snapshot(router, RID, request(6), &w);
	ck_assert(w.remapped && w.handle == 6 && !w.reaches);
	irq_msi_snapshot(router, RID, MSI(0x31), &w);
	ck_assert(!w.remapped && !w.reaches);
	ck_assert_uint_eq(get(FSTS), 0);
}
END_TEST

START_TEST(one_invalidation_of_many_is_one_commit)
{
	struct irq_vector *v[64];

	for (unsigned int i = 0; i < 64; i++)
		entry_set(i, (uint8_t)(0x40 + i), 1);
	remap_on(EIME);
	for (unsigned int i = 0; i < 64; i++)
		v[i] = vector_of(request(i));
	irq_recorder_clear(&rec);
	for (unsigned int i = 0; i < 64; i++)
		entry_set(i, (uint8_t)(0x40 + i), 2);
	iec_global();
	ck_calls(1, 0, 0);
	for (unsigned int i = 0; i < 64; i++) {
		ck_assert_uint_eq(rec.route[24 + i].addr, 0xfee02000);
		irq_vector_destroy(v[i]);
	}
}
END_TEST

/* As when the guest turns its driver on before it fills the table. */
START_TEST(one_invalidation_that_allows_many_is_one_commit)
{
	struct irq_vector *v[64];

	remap_on(EIME);
	for (unsigned int i = 0; i < 64; i++)
		v[i] = vector_of(request(i));
	irq_recorder_clear(&rec);
	for (unsigned int i = 0; i < 64; i++)
		entry_set(i, (uint8_t)(0x40 + i), 1);
	iec_global();
	ck_calls(1, 64, 0);
	/* Refused: the old routes stay, in KVM and in the book, and the next one tries again. */
	for (unsigned int i = 0; i < 64; i++)
		entry_set(i, (uint8_t)(0x40 + i), 2);
	rec.fail_at = 1;
	iec_global();
	ck_calls(1, 0, 0);
	ck_assert_uint_eq(rec.route[rec.attached[0].gsi].addr, 0xfee01000);
	rec.fail_at = 0;
	iec_global();
	ck_calls(1, 0, 0);
	for (unsigned int i = 0; i < 64; i++) {
		ck_assert_uint_eq(rec.route[rec.attached[0].gsi].addr, 0xfee02000);
		irq_vector_destroy(v[i]);
	}
}
END_TEST

START_TEST(blocked_vector_records_a_fault_each_time_and_works_when_it_is_allowed)
{
	struct irq_vector *v;
	uint64_t hi;

	remap_on(EIME);
	v = vector_of(request(9));
	ck_assert_uint_eq(rec.n_attached, 0);
	/* No interrupt, no fault. */
	ck_assert_uint_eq(get(FSTS), 0);
	irq_vector_fire(v);
	hi = fault_wait(0);
	ck_assert_uint_eq(hi, F | 0x22ull << 32 | RID);
	ck_assert_uint_eq(vtd_read(vtd, FRCD, 8), 9ull << 48);
	ck_assert_uint_eq(get(FSTS), PPF);
	irq_vector_fire(v);
	ck_assert_uint_eq(fault_wait(1), hi);
	/* Present now; what was not is not cached (VT-d §6.5.3), so nothing is invalidated. */
	entry_set(9, 0x51, 1);
	irq_vector_fire(v);
	for (unsigned int i = 0; i < 50000 && !rec.n_msi; i++) {
		const struct timespec step = {0, 100000};

		irq_recorder_run(&rec);
		nanosleep(&step, NULL);
	}
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(rec.msi[0].data, 0x4051);
	irq_vector_destroy(v);
}
END_TEST

START_TEST(vector_stops_when_its_entry_goes)
{
	struct irq_vector *v;

	entry_set(1, 0x41, 1);
	remap_on(EIME);
	v = vector_of(request(1));
	ck_assert_uint_eq(rec.n_attached, 1);
	entry_put(1, 0, 0);
	iec_global();
	ck_assert_uint_eq(rec.n_attached, 0);
	entry_set(1, 0x41, 1);
	iec_global();
	ck_assert_uint_eq(rec.n_attached, 1);
	/* Masked vectors are nobody's. */
	irq_vector_mask(v);
	iec_global();
	ck_assert_uint_eq(rec.n_attached, 0);
	irq_vector_destroy(v);
}
END_TEST

START_TEST(fault_processing_disabled_blocks_in_silence)
{
	struct vtd_stats s;

	entry_put(3, 2, 0);
	remap_on(EIME);
	ck_assert_int_eq(irq_router_send(router, RID, request(3)), 0);
	ck_assert_uint_eq(get(FSTS), 0);
	vtd_stats(vtd, &s);
	ck_assert_uint_eq(s.faults, 1);
	ck_assert_uint_eq(s.faults_lost, 1);
	/* But an index beyond the table has no entry that could say so. */
	ck_assert_int_eq(irq_router_send(router, RID, request(256)), 0);
	ck_assert_uint_eq(fault_wait(0), F | 0x21ull << 32 | RID);
}
END_TEST

static const struct {
	uint64_t mode;
	uint32_t cmd;
	bool passes;
} compat[] = {{0, CFI, true}, {0, 0, false}, {EIME, CFI, false}, {EIME, 0, false}};

START_TEST(compatibility_format_passes_only_where_it_may)
{
	remap_on(compat[_i].mode);
	put(GCMD, QIE | IRE | compat[_i].cmd);
	ck_assert_int_eq(irq_router_send(router, RID, MSI(0x31)) > 0, compat[_i].passes);
	ck_assert_uint_eq(
		vtd_read(vtd, FRCD + 8, 8), compat[_i].passes ? 0 : F | 0x25ull << 32 | RID);
}
END_TEST

START_TEST(table_outside_memory_is_an_access_fault)
{
	remap_on(EIME);
	vtd_write(vtd, IRTA, 8, MEM | EIME | 7);
	/* Not before the command. */
	entry_set(0, 0x41, 1);
	ck_assert_int_gt(irq_router_send(router, RID, request(0)), 0);
	put(GCMD, QIE | IRE | SIRTP);
	ck_assert_int_eq(irq_router_send(router, RID, request(0)), 0);
	ck_assert_uint_eq(fault_wait(0), F | 0x23ull << 32 | RID);
}
END_TEST

/* ---- faults and events ---- */

static void fault_make(void)
{
	ck_assert_int_eq(irq_router_send(router, RID, request(200)), 0);
}

static void event_set(unsigned int ctl)
{
	put(ctl + 4, 0x77);
	put(ctl + 8, 0xfee01000);
	put(ctl + 12, 0x300);
}

START_TEST(fault_event_comes_once_until_all_is_cleared)
{
	remap_on(EIME);
	event_set(FECTL);
	put(FECTL, 0);
	irq_recorder_clear(&rec);
	fault_make();
	fault_make();
	ck_assert_uint_eq(rec.n_msi, 1);
	/* Not remapped itself, with the upper destination. */
	ck_assert_uint_eq(rec.msi[0].addr, 0x300fee01000ull);
	ck_assert_uint_eq(rec.msi[0].data, 0x77);
	put(FRCD + 12, 1u << 31);
	ck_assert_uint_eq(get(FSTS) & PPF, PPF);
	put(FRCD + 16 + 12, 1u << 31);
	ck_assert_uint_eq(get(FSTS) & PPF, 0);
	fault_make();
	ck_assert_uint_eq(rec.n_msi, 2);
	ck_assert_uint_eq(get(FSTS), PPF | 2 << 8);
}
END_TEST

START_TEST(masked_fault_event_waits)
{
	remap_on(EIME);
	event_set(FECTL);
	irq_recorder_clear(&rec);
	fault_make();
	ck_assert_uint_eq(rec.n_msi, 0);
	ck_assert_uint_eq(get(FECTL), 3u << 30);
	put(FECTL, 0);
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(get(FECTL), 0);
	/* And is void when the guest has seen to it before. */
	put(FECTL, 1u << 31);
	put(FRCD + 12, 1u << 31);
	fault_make();
	ck_assert_uint_eq(get(FECTL), 3u << 30);
	put(FRCD + 16 + 12, 1u << 31);
	ck_assert_uint_eq(get(FECTL), 1u << 31);
	put(FECTL, 0);
	ck_assert_uint_eq(rec.n_msi, 1);
}
END_TEST

START_TEST(more_faults_than_records_set_the_overflow)
{
	struct vtd_stats s;

	remap_on(EIME);
	for (unsigned int i = 0; i < 11; i++)
		fault_make();
	ck_assert_uint_eq(get(FSTS), PPF | PFO);
	vtd_stats(vtd, &s);
	ck_assert_uint_eq(s.faults, 11);
	ck_assert_uint_eq(s.faults_lost, 3);
	/* Room alone is not enough: the overflow must be cleared. */
	for (unsigned int i = 0; i < 8; i++)
		put(FRCD + 16 * i + 12, 1u << 31);
	fault_make();
	ck_assert_uint_eq(vtd_read(vtd, FRCD + 8, 8) & F, 0);
	put(FSTS, PFO);
	fault_make();
	ck_assert_uint_eq(vtd_read(vtd, FRCD + 8, 8) & F, F);
	ck_assert_uint_eq(get(FSTS), PPF);
}
END_TEST

/* ---- the queue ---- */

START_TEST(wait_descriptor_writes_and_interrupts)
{
	remap_on(EIME);
	event_set(IECTL);
	put(IECTL, 0);
	irq_recorder_clear(&rec);
	desc_put(5 | 1 << 5 | 0xabcdull << 32, STATUS);
	queue_go();
	ck_assert_uint_eq(le_load(mem + STATUS, 4), 0xabcd);
	ck_assert_uint_eq(rec.n_msi, 0);
	ck_assert_uint_eq(get(ICS), 0);
	desc_put(5 | 1 << 4 | 1 << 6, 0);
	desc_put(5 | 1 << 4, 0);
	queue_go();
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(get(ICS), 1);
	put(ICS, 1);
	ck_assert_uint_eq(get(ICS), 0);
	ck_assert_uint_eq(get(IQH), get(IQT));
}
END_TEST

START_TEST(queue_wraps)
{
	remap_on(EIME);
	for (unsigned int i = 0; i < 1000; i++) {
		desc_put(5 | 1 << 5 | (uint64_t)i << 32, STATUS);
		queue_go();
		ck_assert_uint_eq(le_load(mem + STATUS, 4), i);
	}
	ck_assert_uint_eq(get(IQH), 1000 % 256 * 16);
}
END_TEST

static const struct {
	const char *what;
	uint64_t lo, hi;
} wrong[] = {
	{"no type", 0, 0},
	{"unknown type", 6, 0},
	{"extended type", 4 | 1 << 9, 0},
	{"IEC reserved", 4 | 1 << 5, 0},
	{"IEC reserved upper", 4 | 1ull << 48, 0},
	{"IEC second half", 4, 1},
	{"IEC mask above what is offered", 4 | 1 << 4 | 16ull << 27, 0},
	{"wait reserved", 5 | 1 << 8, 0},
	{"wait for page requests, which are not offered", 5 | 1 << 7, 0},
	{"wait reserved, last of the first half", 5 | 1ull << 31, 0},
	{"wait status address not of a dword", 5 | 1 << 5, STATUS | 1},
	{"wait reserved second half", 5, 2},
	{"wait status outside memory", 5 | 1 << 5, MEM},
	{"wait status at the end of memory", 5 | 1 << 5, ~3ull},
	{"wait status in the interrupt window", 5 | 1 << 5, 0xfee00000},
	{"wait status in the unit itself", 5 | 1 << 5, 0xfed90088},
};

START_TEST(wrong_descriptor_stops_the_queue_until_it_is_mended)
{
	remap_on(EIME);
	desc_put(wrong[_i].lo, wrong[_i].hi);
	desc_put(5 | 1 << 5 | 7ull << 32, STATUS);
	queue_go();
	ck_assert_msg(get(FSTS) == IQE, "%s", wrong[_i].what);
	ck_assert_uint_eq(get(IQH), 0);
	ck_assert_uint_eq(le_load(mem + STATUS, 4), 0);
	queue_go();
	ck_assert_uint_eq(get(IQH), 0);
	/* Linux puts a wait descriptor in its place and clears the error. */
	le_store(mem + QUEUE, 8, 5);
	le_store(mem + QUEUE + 8, 8, 0);
	put(FSTS, IQE);
	ck_assert_uint_eq(get(FSTS), 0);
	ck_assert_uint_eq(le_load(mem + STATUS, 4), 7);
	ck_assert_uint_eq(get(IQH), 32);
}
END_TEST

START_TEST(queue_outside_memory_or_beyond_its_size_is_an_error)
{
	remap_on(EIME);
	vtd_write(vtd, IQT, 8, 256 * 16);
	ck_assert_uint_eq(get(FSTS), IQE);
	put(GCMD, IRE);
	ck_assert_uint_eq(get(IQH), 0);
	vtd_write(vtd, IQA, 8, MEM);
	vtd_write(vtd, IQT, 8, 16);
	put(FSTS, IQE);
	put(GCMD, IRE | QIE);
	ck_assert_uint_eq(get(FSTS), IQE);
	ck_assert_uint_eq(get(IQH), 0);
	vtd_write(vtd, IQA, 8, QUEUE | 1 << 11);
	put(FSTS, IQE);
	ck_assert_uint_eq(get(FSTS), IQE);
}
END_TEST

START_TEST(register_commands_are_done_at_once)
{
	vtd_write(vtd, 0x28, 8, 1ull << 63 | 1ull << 61);
	ck_assert_uint_eq(vtd_read(vtd, 0x28, 8), 1ull << 61 | 1ull << 59);
	vtd_write(vtd, 0xf8, 8, 1ull << 63 | 2ull << 60);
	ck_assert_uint_eq(vtd_read(vtd, 0xf8, 8), 2ull << 60 | 2ull << 57);
	put(GCMD, 1u << 30);
	put(GCMD, 1u << 31);
	ck_assert_uint_eq(get(GSTS), 3u << 30);
}
END_TEST

START_TEST(reset_turns_it_off)
{
	struct irq_vector *v;

	entry_set(1, 0x41, 1);
	remap_on(EIME);
	v = vector_of(request(1));
	fault_make();
	vtd_reset(vtd);
	ck_assert_uint_eq(get(GSTS) | get(FSTS), 0);
	ck_assert_uint_eq(vtd_read(vtd, FRCD + 8, 8), 0);
	ck_assert_int_gt(irq_router_send(router, RID, MSI(0x31)), 0);
	irq_vector_destroy(v);
}
END_TEST

/* ---- a hostile guest: the fault the specification asks for each time, and no interrupt ---- */

/* A fresh unit, so that the next fault is in the first record. */
static void again(uint64_t mode)
{
	vtd_reset(vtd);
	tail = 0;
	remap_on(mode);
	irq_recorder_clear(&rec);
}

/* VT-d table 25 and §11.4.14.1: reason, requester, and the index where the request gave one. */
static void ck_blocked(
	const char *what, uint16_t rid, struct irq_msi m, unsigned int reason, uint32_t index)
{
	ck_assert_msg(irq_router_send(router, rid, m) == 0, "%s: passed", what);
	ck_assert_msg(rec.n_msi == 0, "%s: sent", what);
	ck_assert_msg(vtd_read(vtd, FRCD + 8, 8) == (F | (uint64_t)reason << 32 | rid),
		"%s: recorded %#llx", what, (unsigned long long)vtd_read(vtd, FRCD + 8, 8));
	ck_assert_msg(vtd_read(vtd, FRCD, 8) == (uint64_t)index << 48, "%s: index %#llx", what,
		(unsigned long long)vtd_read(vtd, FRCD, 8));
	ck_assert_uint_eq(get(FSTS), PPF);
}

static void ck_passes(const char *what, uint16_t rid, struct irq_msi m)
{
	ck_assert_msg(irq_router_send(router, rid, m) > 0, "%s: blocked", what);
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(get(FSTS), 0);
}

START_TEST(each_reserved_bit_of_an_entry_is_fault_24)
{
	char what[32];

	for (unsigned int bit = 1; bit < 128; bit++) {
		bool reserved = (bit >= 12 && bit <= 15) || (bit >= 24 && bit <= 31) || bit >= 84 ||
				(!_i && ((bit >= 32 && bit <= 39) || (bit >= 48 && bit <= 63)));

		again(_i ? EIME : 0);
		entry_put(7, 1 | (bit < 64 ? 1ull << bit : 0), bit < 64 ? 0 : 1ull << (bit - 64));
		snprintf(what, sizeof(what), "bit %u", bit);
		if (reserved)
			ck_blocked(what, RID, request(7), 0x24, 7);
		else if (bit == 82 || bit == 83)
			/* The source is checked now, and the entry is for 00:00.0 or bus 0. */
			ck_blocked(what, RID, request(7), 0x26, 7);
		else
			ck_passes(what, RID, request(7));
	}
}
END_TEST

/* VT-d §9.10 in other words: which requesters an entry is for. */
static bool source_is(unsigned int svt, unsigned int sq, unsigned int sid, unsigned int rid)
{
	static const char *const compared[] = {"210", "10", "0", ""};

	if (svt == 0)
		return true;
	if (svt == 2)
		return rid / 256 >= sid / 256 && rid / 256 <= sid % 256;
	if (rid / 8 != sid / 8)
		return false;
	/* SQ 1 ignores bit 2 of the function, 2 bits 2 and 1, 3 all. */
	for (const char *c = compared[sq]; *c; c++)
		if ((rid ^ sid) >> (*c - '0') & 1)
			return false;
	return true;
}

START_TEST(source_of_each_kind_is_checked_and_a_wrong_one_is_fault_26)
{
	static const uint16_t ids[] = {0, 0x0108, 0x0109, 0x010a, 0x010c, 0x010f, 0x0110, 0x0208,
		0x0102, 0x0201, 0x00ff, 0xff00, 0xffff};
	unsigned int svt = (unsigned int)_i / 4, sq = (unsigned int)_i % 4;
	char what[64];

	for (unsigned int s = 0; s < ARRAY_SIZE(ids); s++) {
		for (unsigned int r = 0; r < ARRAY_SIZE(ids); r++) {
			again(EIME);
			entry_put(7, 1 | 0x31 << 16, SID(sq, svt, ids[s]));
			snprintf(what, sizeof(what), "SVT %u SQ %u SID %#x, from %#x", svt, sq,
				ids[s], ids[r]);
			if (svt == 3)
				ck_blocked(what, ids[r], request(7), 0x24, 7);
			else if (source_is(svt, sq, ids[s], ids[r]))
				ck_passes(what, ids[r], request(7));
			else
				ck_blocked(what, ids[r], request(7), 0x26, 7);
		}
	}
}
END_TEST

/* All sizes: the last entry is read, the first after it is not. */
START_TEST(index_beyond_the_table_is_fault_21)
{
	uint32_t count = 2u << _i;
	struct irq_msi far = {0xfee0001cu | 0x7fff << 5, 0xffff};

	again(EIME);
	vtd_write(vtd, IRTA, 8, TABLE | EIME | (unsigned int)_i);
	put(GCMD, QIE | IRE | SIRTP);
	entry_set(count - 1, 0x41, 1);
	ck_passes("last", RID, request(count - 1));
	irq_recorder_clear(&rec);
	if (count <= 0xffff) {
		entry_set(count, 0x42, 1);
		ck_blocked("first after it", RID, request(count), 0x21, count);
		vtd_reset(vtd);
		tail = 0;
		remap_on(EIME);
	}
	/* Handle and subhandle together reach further than any table; 16 bits of it are recorded. */
	vtd_write(vtd, IRTA, 8, TABLE | EIME | (unsigned int)_i);
	put(GCMD, QIE | IRE | SIRTP);
	ck_blocked("handle and subhandle", RID, far, 0x21, 0xfffe);
}
END_TEST

START_TEST(reserved_bit_of_a_request_is_fault_20)
{
	for (unsigned int bit = 16; bit < 32; bit++) {
		again(EIME);
		entry_set(7, 0x41, 1);
		ck_blocked("data", RID, (struct irq_msi){0xfee00018 | 7 << 5, 1u << bit}, 0x20, 0);
	}
}
END_TEST

static const uint64_t tables[] = {MEM, MEM - 0x1000, 0x7ffffffffffff000, 0xfffffffffffff000};

START_TEST(table_that_is_not_memory_is_fault_23)
{
	/* The one that begins in memory ends outside; the last would go on at address 0. */
	uint32_t index = tables[_i] < MEM || tables[_i] + 0x1000 == 0 ? 256 : 0;

	again(EIME);
	vtd_write(vtd, IRTA, 8, tables[_i] | EIME | 9);
	put(GCMD, QIE | IRE | SIRTP);
	ck_blocked("table", RID, request(index), 0x23, index);
}
END_TEST

/* What one device writes in the name of another: its own id is what counts, and is recorded. */
START_TEST(message_forged_by_another_device_is_blocked_and_recorded)
{
	struct irq_vector *owner, *thief;

	entry_set(5, 0x41, 1);
	remap_on(EIME);
	owner = vector_of(request(5));
	ck_assert_uint_eq(rec.n_attached, 1);
	ck_blocked("write", RID + 1, request(5), 0x26, 5);
	/* And by the thief's own MSI-X entry: it never gets an irqfd. */
	ck_assert_int_eq(irq_vector_create(router, RID + 8, NULL, &thief), 0);
	ck_assert_int_eq(irq_vector_set(thief, request(5), NULL), 0);
	ck_assert_int_eq(irq_vector_unmask(thief, NULL), 0);
	ck_assert_uint_eq(rec.n_attached, 1);
	irq_vector_fire(thief);
	ck_assert_uint_eq(fault_wait(1), F | 0x26ull << 32 | (RID + 8));
	ck_assert_uint_eq(rec.n_msi, 0);
	/* The owner is none the worse for it. */
	irq_vector_fire(owner);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(rec.msi[0].data, 0x4041);
	irq_vector_destroy(thief);
	irq_vector_destroy(owner);
}
END_TEST

static const uint64_t nowhere[] = {0, 0xfed00010, 0xfef00010, 0x1fee00010, 0xfee000000010,
	0x80000000fee00010, 0xfffffffffee00010};

/* No request, so neither an interrupt nor a fault. */
START_TEST(address_that_is_no_interrupt_is_neither_sent_nor_a_fault)
{
	struct irq_msi m = {nowhere[_i], 0x41};
	struct irq_vector *v;

	entry_set(0, 0x41, 1);
	remap_on(EIME);
	irq_recorder_clear(&rec);
	ck_assert_int_eq(irq_router_send(router, RID, m), 0);
	v = vector_of(m);
	irq_vector_fire(v);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_attached, 0);
	irq_vector_destroy(v);
	ck_assert_uint_eq(rec.n_msi, 0);
	ck_assert_uint_eq(get(FSTS), 0);
}
END_TEST

#define LONG_QUEUE 0x100000u /* 32768 descriptors, the most there are */
#define LONG_BYTES 0x80000u

/* Whatever is in it: a write of the tail ends, with the head at the tail or an error said. */
START_TEST(longest_queue_ends_wherever_it_begins)
{
	struct vtd_stats st;

	for (unsigned int at = 0; at < LONG_BYTES; at += 16)
		le_store(mem + LONG_QUEUE + at, 8, 4 | 1 << 4);
	vtd_write(vtd, IQA, 8, LONG_QUEUE | 7);
	put(GCMD, QIE);
	vtd_write(vtd, IQT, 8, LONG_BYTES - 16);
	ck_assert_uint_eq(get(IQH), LONG_BYTES - 16);
	/* Around the end, up to just behind the head. */
	vtd_write(vtd, IQT, 8, LONG_BYTES - 32);
	ck_assert_uint_eq(get(IQH), LONG_BYTES - 32);
	vtd_stats(vtd, &st);
	ck_assert_uint_eq(st.invalidations, 2 * 32767);
	ck_assert_uint_eq(get(FSTS), 0);
	/* The tail where the head is: nothing to do, however often it is said. */
	vtd_write(vtd, IQT, 8, LONG_BYTES - 32);
	vtd_stats(vtd, &st);
	ck_assert_uint_eq(st.invalidations, 2 * 32767);
}
END_TEST

/* A queue that writes itself while it is carried out, the guest's own memory being what it is. */
START_TEST(queue_that_rewrites_itself_stops_at_what_is_wrong)
{
	remap_on(EIME);
	/* The status of the first is the type of the second: 0 is none. */
	desc_put(5 | 1 << 5, QUEUE + 16);
	desc_put(4, 0);
	desc_put(5 | 1 << 5 | 7ull << 32, STATUS);
	queue_go();
	ck_assert_uint_eq(get(FSTS), IQE);
	ck_assert_uint_eq(get(IQH), 16);
	ck_assert_uint_eq(le_load(mem + STATUS, 4), 0);
}
END_TEST

/* ---- the IOAPIC's pins ---- */

static void pin_put(unsigned int pin, uint64_t rte)
{
	for (unsigned int half = 0; half < 2; half++) {
		ioapic_write(io, 0, 4, 0x11 + 2 * pin - half);
		ioapic_write(io, 0x10, 4, (uint32_t)(rte >> (half ? 0 : 32)));
	}
}

/* VT-d §5.1.5.1: bit 48 the format, 63:49 the handle. */
static uint64_t rte_request(unsigned int index, uint64_t low)
{
	return (uint64_t)index << 49 | 1ull << 48 | low;
}

START_TEST(pins_are_remapped_with_the_ioapics_source_id)
{
	entry_put(2, 1 | 0x61ull << 16 | 3ull << 32, 0xf0f8 | 1 << 18);
	entry_put(3, 1 | 0x62ull << 16 | 3ull << 32, RID | 1 << 18);
	remap_on(EIME);
	pin_put(4, rte_request(2, 4));
	pin_put(5, rte_request(3, 5));
	irq_recorder_clear(&rec);
	ioapic_set(io, 4, true);
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(rec.msi[0].addr, 0xfee03000);
	ck_assert_uint_eq(rec.msi[0].data, 0x4061);
	ioapic_set(io, 5, true);
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(fault_wait(0), F | 0x26ull << 32 | 0xf0f8);
}
END_TEST

START_TEST(level_pin_with_another_vector_ends_by_the_eoi_register)
{
	entry_put(2, 1 | 1 << 4 | 0x61ull << 16 | 3ull << 32, 0);
	remap_on(EIME);
	/* Linux writes the pin's number as the vector of a remapped entry. */
	pin_put(16, rte_request(2, 0x8000 | 16));
	irq_recorder_clear(&rec);
	ioapic_set(io, 16, true);
	ck_assert_uint_eq(rec.msi[0].data, 0xc061);
	ck_assert_uint_eq(rec.n_msi, 1);
	/* No route, so no exit at the LAPIC's EOI. */
	ck_assert_uint_eq(rec.n_routes, 0);
	ioapic_eoi(io, 0x61);
	ck_assert_uint_eq(rec.n_msi, 1);
	ioapic_write(io, 0x40, 4, 16);
	ck_assert_uint_eq(rec.n_msi, 2);
	ioapic_set(io, 16, false);
	ioapic_write(io, 0x40, 4, 16);
	ck_assert_uint_eq(rec.n_msi, 2);
}
END_TEST

START_TEST(level_pin_with_the_same_vector_ends_by_the_lapic)
{
	entry_put(2, 1 | 1 << 4 | 0x61ull << 16 | 3ull << 32, 0);
	remap_on(EIME);
	pin_put(16, rte_request(2, 0x8061));
	ck_assert_uint_eq(rec.n_routes, 1);
	irq_recorder_clear(&rec);
	ioapic_set(io, 16, true);
	ck_assert_uint_eq(rec.n_msi, 1);
	ioapic_eoi(io, 0x61);
	ck_assert_uint_eq(rec.n_msi, 2);
}
END_TEST

/* One request, one fault: other pins' traffic must not fill the records with it. */
START_TEST(blocked_level_is_one_fault_until_it_is_asserted_anew)
{
	struct vtd_stats s;

	remap_on(EIME);
	pin_put(16, rte_request(2, 0x8061));
	ioapic_set(io, 16, true);
	for (unsigned int i = 0; i < 20; i++)
		ioapic_set(io, 4, i % 2);
	iec_global();
	vtd_stats(vtd, &s);
	ck_assert_uint_eq(s.faults, 1);
	ck_assert_uint_eq(fault_wait(0), F | 0x22ull << 32 | 0xf0f8);
	ioapic_set(io, 16, false);
	ioapic_set(io, 16, true);
	vtd_stats(vtd, &s);
	ck_assert_uint_eq(s.faults, 2);
	pin_put(16, rte_request(3, 0x8061));
	vtd_stats(vtd, &s);
	ck_assert_uint_ge(s.faults, 3);
}
END_TEST

START_TEST(invalidation_moves_pins_and_delivers_what_was_blocked)
{
	remap_on(EIME);
	pin_put(16, rte_request(2, 0x8061));
	irq_recorder_clear(&rec);
	ioapic_set(io, 16, true);
	ck_assert_uint_eq(rec.n_msi, 0);
	entry_put(2, 1 | 1 << 4 | 0x61ull << 16 | 3ull << 32, 0);
	iec_index(2, 0);
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(rec.route[16].addr, 0xfee03000);
	entry_put(2, 1 | 1 << 4 | 0x61ull << 16 | 4ull << 32, 0);
	iec_global();
	ck_assert_uint_eq(rec.route[16].addr, 0xfee04000);
}
END_TEST

START_TEST(one_invalidation_of_many_pins_is_one_commit)
{
	remap_on(EIME);
	for (unsigned int pin = 16; pin < 24; pin++) {
		entry_put(pin, 1 | 1 << 4 | (0x60ull + pin) << 16 | 3ull << 32, 0);
		pin_put(pin, rte_request(pin, 0x8060 + pin));
	}
	ck_assert_uint_eq(rec.n_routes, 8);
	irq_recorder_clear(&rec);
	for (unsigned int pin = 16; pin < 24; pin++)
		entry_put(pin, 1 | 1 << 4 | (0x60ull + pin) << 16 | 4ull << 32, 0);
	/* A refused one leaves the old routes; the pins wait for the next try. */
	rec.fail_at = 1;
	iec_global();
	ck_assert_uint_eq(rec.routes_set, 1);
	ck_assert_uint_eq(rec.route[16].addr, 0xfee03000);
	rec.fail_at = 0;
	irq_recorder_clear(&rec);
	iec_global();
	ck_assert_uint_eq(rec.routes_set, 1);
	for (unsigned int pin = 16; pin < 24; pin++)
		ck_assert_uint_eq(rec.route[pin].addr, 0xfee04000);
	ck_assert_uint_eq(rec.n_routes, 8);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("irqremap-vtd");
	TCase *t = tcase_create("vtd");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, vtd_up, vtd_down);
	tcase_set_timeout(t, 50);
#define ROWS(a) (int)(sizeof(a) / sizeof(*(a)))
	tcase_add_loop_test(
		t, entry_becomes_a_message_or_the_fault_of_the_specification, 0, ROWS(entries));
	tcase_add_test(t, request_names_its_entry);
	tcase_add_test(t, unit_says_what_it_can);
	tcase_add_test(t, messages_pass_untouched_while_it_is_off);
	tcase_add_test(t, entry_decides_where_a_vector_goes);
	tcase_add_test(t, message_is_told_with_its_entry_and_records_no_fault);
	tcase_add_test(t, one_invalidation_of_many_is_one_commit);
	tcase_add_test(t, one_invalidation_that_allows_many_is_one_commit);
	tcase_add_test(t, one_invalidation_of_many_pins_is_one_commit);
	tcase_add_test(t, blocked_vector_records_a_fault_each_time_and_works_when_it_is_allowed);
	tcase_add_test(t, vector_stops_when_its_entry_goes);
	tcase_add_test(t, fault_processing_disabled_blocks_in_silence);
	tcase_add_loop_test(t, compatibility_format_passes_only_where_it_may, 0, ROWS(compat));
	tcase_add_test(t, table_outside_memory_is_an_access_fault);
	tcase_add_test(t, fault_event_comes_once_until_all_is_cleared);
	tcase_add_test(t, masked_fault_event_waits);
	tcase_add_test(t, more_faults_than_records_set_the_overflow);
	tcase_add_test(t, wait_descriptor_writes_and_interrupts);
	tcase_add_test(t, queue_wraps);
	tcase_add_loop_test(t, wrong_descriptor_stops_the_queue_until_it_is_mended, 0, ROWS(wrong));
	tcase_add_test(t, queue_outside_memory_or_beyond_its_size_is_an_error);
	tcase_add_test(t, register_commands_are_done_at_once);
	tcase_add_test(t, reset_turns_it_off);
	tcase_add_loop_test(t, each_reserved_bit_of_an_entry_is_fault_24, 0, 2);
	tcase_add_loop_test(t, source_of_each_kind_is_checked_and_a_wrong_one_is_fault_26, 0, 16);
	tcase_add_loop_test(t, index_beyond_the_table_is_fault_21, 0, 16);
	tcase_add_test(t, reserved_bit_of_a_request_is_fault_20);
	tcase_add_loop_test(t, table_that_is_not_memory_is_fault_23, 0, ROWS(tables));
	tcase_add_test(t, message_forged_by_another_device_is_blocked_and_recorded);
	tcase_add_loop_test(
		t, address_that_is_no_interrupt_is_neither_sent_nor_a_fault, 0, ROWS(nowhere));
	tcase_add_test(t, longest_queue_ends_wherever_it_begins);
	tcase_add_test(t, queue_that_rewrites_itself_stops_at_what_is_wrong);
	tcase_add_test(t, pins_are_remapped_with_the_ioapics_source_id);
	tcase_add_test(t, level_pin_with_another_vector_ends_by_the_eoi_register);
	tcase_add_test(t, level_pin_with_the_same_vector_ends_by_the_lapic);
	tcase_add_test(t, blocked_level_is_one_fault_until_it_is_asserted_anew);
	tcase_add_test(t, invalidation_moves_pins_and_delivers_what_was_blocked);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
