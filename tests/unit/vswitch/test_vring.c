// SPDX-License-Identifier: GPL-2.0-or-later
/* The device's side of rings against a driver of another hand: all kinds, all features, bad input. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/vswitch/ring_driver.h"

#define SEAM (BUF_GPA + BUF_SIZE) /* where two regions meet */
#define END  (SEAM + BUF_SIZE)

static const struct {
	uint64_t features;
	uint16_t size;
} kinds[] = {
	{0, 1},
	{0, 2},
	{0, 256},
	{BIT(F_INDIRECT), 4},
	{BIT(F_EVENT), 8},
	{BIT(F_INDIRECT) | BIT(F_EVENT), 1024},
	{BIT(F_INDIRECT) | BIT(F_EVENT) | BIT(F_INORDER), 64},
	{BIT(F_PACKED), 1},
	{BIT(F_PACKED), 2},
	{BIT(F_PACKED), 3},
	{BIT(F_PACKED), 7},
	{BIT(F_PACKED), 256},
	{BIT(F_PACKED) | BIT(F_INDIRECT), 5},
	{BIT(F_PACKED) | BIT(F_EVENT), 6},
	{BIT(F_PACKED) | BIT(F_INDIRECT) | BIT(F_EVENT), 1000},
	{BIT(F_PACKED) | BIT(F_INDIRECT) | BIT(F_EVENT) | BIT(F_INORDER), 64},
};

#define KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))

/* One split, one packed: where the rest does not matter. */
static const uint64_t both[] = {BIT(F_INDIRECT), BIT(F_PACKED) | BIT(F_INDIRECT)};

static bool called(struct ring_driver *d)
{
	uint64_t n;

	return read(d->call_fd, &n, sizeof(n)) == sizeof(n);
}

static uint32_t gather(const struct vring_burst *b, unsigned int i, uint8_t *to)
{
	uint32_t n = 0;

	for (unsigned int k = 0; k < b->chain[i].nr_segs; k++) {
		const struct vring_seg *s = &b->seg[b->chain[i].seg + k];

		memcpy(to + n, s->hva, s->len);
		n += s->len;
	}
	HOLDS(n == b->chain[i].len);
	return n;
}

struct want {
	int id;
	uint32_t len, sum;
};

static uint32_t sum_of(const uint8_t *p, uint32_t n)
{
	uint32_t s = 1;

	for (uint32_t i = 0; i < n; i++)
		s = s * 31 + p[i];
	return s;
}

/* A chain of random shape with random bytes. */
static bool chain_offer(struct ring_driver *d, bool write, struct want *w)
{
	bool indirect = d->features & BIT(F_INDIRECT) && rand() % 3 == 0;
	unsigned int max = indirect      ? 20
			   : d->size < 6 ? d->size
					 : 6,
		     n = 1 + (unsigned int)rand() % max;
	struct part p[20];
	uint8_t all[20 * 64];

	w->len = 0;
	for (unsigned int i = 0; i < n; i++) {
		p[i].len = (uint32_t)(i ? rand() % 40 : 13 + rand() % 40);
		p[i].gpa = rand() % 4 ? BUF_GPA + (unsigned int)rand() % (BUF_SIZE - 64)
				      : SEAM - (unsigned int)rand() % 64;
		p[i].write = write;
	}
	w->id = driver_add(d, p, n, indirect);
	if (w->id < 0)
		return false;
	for (unsigned int i = 0; i < n; i++)
		for (uint32_t k = 0; k < p[i].len; k++) {
			uint8_t *at = driver_hva(d, p[i].gpa + k);

			all[w->len++] = *at;
		}
	w->sum = sum_of(all, w->len);
	return true;
}

/* What was offered and not yet given back. */
struct offered {
	struct want queue[2048];
	unsigned int head, tail;
};

static void run(struct ring_driver *d, struct offered *o, bool to_guest, unsigned int rounds)
{
	static struct vring_burst b;
	struct want *queue = o->queue;
	unsigned int head = o->head, tail = o->tail;

	for (unsigned int r = 0; r < rounds; r++) {
		unsigned int offer = (unsigned int)rand() % 12, n, take = (unsigned int)rand() % 12;
		uint16_t id;
		uint32_t len;

		while (offer-- && tail - head < 2000 &&
			chain_offer(d, to_guest, &queue[tail % 2048]))
			tail++;
		n = vring_fetch(&d->dev, &b, take);
		HOLDS(n <= take);
		HOLDS(n || !take || head == tail);
		/* Less than was fetched may be given back; the rest comes again. */
		if (n && rand() % 4 == 0)
			n = (unsigned int)rand() % n;
		for (unsigned int i = 0; i < n; i++) {
			const struct want *w = &queue[(head + i) % 2048];
			uint8_t all[2048];

			HOLDS(b.chain[i].error == VRING_OK);
			HOLDS(b.chain[i].id == w->id);
			HOLDS(b.chain[i].len == w->len);
			gather(&b, i, all);
			HOLDS(sum_of(all, w->len) == w->sum);
			b.chain[i].used_len = to_guest ? w->len : 0;
		}
		vring_publish(&d->dev, &b, n);
		vring_notify(&d->dev);
		for (unsigned int i = 0; i < n; i++, head++) {
			HOLDS(driver_take(d, &id, &len));
			HOLDS(id == queue[head % 2048].id);
			HOLDS(len == (to_guest ? queue[head % 2048].len : 0));
		}
		HOLDS(!driver_take(d, &id, &len));
	}
	ck_assert_ptr_null(vring_broken(&d->dev));
	o->head = head;
	o->tail = tail;
}

/* The sizes make indexes and wrap counters go round many times. */
START_TEST(chains_come_as_they_were_offered_and_go_back_in_order)
{
	struct ring_driver d;

	srand(1);
	for (int to_guest = 0; to_guest < 2; to_guest++) {
		static struct offered o;

		o.head = o.tail = 0;
		driver_init(&d, kinds[_i].features, kinds[_i].size, to_guest);
		run(&d, &o, to_guest, kinds[_i].size > 16 ? 1000 : 4000);
		driver_finish(&d);
	}
}
END_TEST

/* The position survives GET_VRING_BASE and SET_VRING_BASE at any point of the ring. */
START_TEST(a_ring_goes_on_where_it_stopped)
{
	static struct offered o;
	struct ring_driver d;
	struct err e;

	srand(2);
	o.head = o.tail = 0;
	driver_init(&d, kinds[_i].features, kinds[_i].size, false);
	for (unsigned int i = 0; i < 40; i++) {
		uint32_t base = vring_stop(&d.dev);

		ck_assert(!vring_running(&d.dev));
		ck_assert_int_eq(driver_start_device(&d, false, base, &e), 0);
		run(&d, &o, false, 7);
	}
	driver_finish(&d);
}
END_TEST

/* A header of 12 bytes and a frame, in pieces of one byte each (CVE-2022-2132). */
START_TEST(bytes_in_descriptors_of_their_own_come_together)
{
	static struct vring_burst b;
	struct ring_driver d;
	struct part p[72];
	uint8_t all[72];

	driver_init(&d, both[_i], 128, false);
	for (unsigned int i = 0; i < 72; i++) {
		p[i] = (struct part){BUF_GPA + 999 * i, 1, false};
		*driver_hva(&d, p[i].gpa) = (uint8_t)i;
	}
	ck_assert_int_ge(driver_add(&d, p, 72, false), 0);
	ck_assert_uint_eq(vring_fetch(&d.dev, &b, 64), 1);
	ck_assert_uint_eq(gather(&b, 0, all), 72);
	for (unsigned int i = 0; i < 72; i++)
		ck_assert_uint_eq(all[i], i);
	driver_finish(&d);
}
END_TEST

struct bad {
	const char *what;
	struct part parts[2];
	int error;
	bool to_guest;
	bool legacy;
};

/* Every row both as a chain of descriptors and as an indirect table. */
static const struct bad bad[] = {
	{"to the last byte", {{END - 100, 100}}, VRING_OK},
	{"one byte behind", {{END - 100, 101}}, VRING_ERROR_ADDRESS},
	{"from the first byte", {{BUF_GPA, 100}}, VRING_OK},
	{"one byte in front", {{BUF_GPA - 1, 100}}, VRING_ERROR_ADDRESS},
	{"across two regions", {{SEAM - 50, 100}}, VRING_OK},
	{"across two regions, one byte", {{SEAM - 1, 100}}, VRING_OK},
	{"across two regions, all but one byte", {{SEAM - 99, 100}}, VRING_OK},
	{"across and behind", {{SEAM - 50, BUF_SIZE + 51}}, VRING_ERROR_ADDRESS},
	{"nobody's", {{0x1000, 100}}, VRING_ERROR_ADDRESS},
	{"an address that wraps", {{UINT64_MAX - 10, 100}}, VRING_ERROR_ADDRESS},
	{"the longest length", {{BUF_GPA, UINT32_MAX}}, VRING_ERROR_ADDRESS},
	{"the second part is nobody's", {{BUF_GPA, 20}, {0, 20}}, VRING_ERROR_ADDRESS},
	{"of no length", {{BUF_GPA, 0}}, VRING_ERROR_SHORT},
	{"no length and nobody's", {{0, 0}, {BUF_GPA, 60}}, VRING_OK},
	{"shorter than the header", {{BUF_GPA, 11}}, VRING_ERROR_SHORT},
	{"a header alone", {{BUF_GPA, 12}}, VRING_ERROR_SHORT},
	{"a header and a byte", {{BUF_GPA, 12}, {BUF_GPA, 1}}, VRING_OK},
	{"to be written", {{BUF_GPA, 100, true}}, VRING_ERROR_DIRECTION},
	{"the second to be written", {{BUF_GPA, 100}, {BUF_GPA, 1, true}}, VRING_ERROR_DIRECTION},
	{"the longest frame", {{BUF_GPA, VRING_FRAME_MAX + 12}}, VRING_OK},
	{"longer than any frame", {{BUF_GPA, VRING_FRAME_MAX + 13}}, VRING_ERROR_LONG},
	{"to receive", {{BUF_GPA, 100, true}}, VRING_OK, true},
	{"to receive into what is to be read", {{BUF_GPA, 100}}, VRING_ERROR_DIRECTION, true},
	{"to receive, no room for a header", {{BUF_GPA, 11, true}}, VRING_ERROR_SHORT, true},
	{"to receive a header", {{BUF_GPA, 12, true}}, VRING_OK, true},
	{"to receive behind the end", {{END - 5, 20, true}}, VRING_ERROR_ADDRESS, true},
	{"to receive more than any frame", {{BUF_GPA, 2 * BUF_SIZE, true}}, VRING_OK, true},
};

START_TEST(a_bad_chain_is_named_and_given_back_and_the_next_is_good)
{
	static struct vring_burst b;
	unsigned int n = bad[_i].parts[1].len || bad[_i].parts[1].gpa ? 2 : 1;
	const struct part good = {BUF_GPA, 100, bad[_i].to_guest};

	for (unsigned int k = 0; k < 4; k++) {
		struct ring_driver d;
		uint32_t len;
		uint16_t id;
		int ids[3];

		driver_init(&d, both[k & 1], 8, bad[_i].to_guest);
		ids[0] = driver_add(&d, &good, 1, false);
		ids[1] = driver_add(&d, bad[_i].parts, n, k & 2);
		ids[2] = driver_add(&d, &good, 1, false);
		ck_assert_uint_eq(vring_fetch(&d.dev, &b, 32), 3);
		ck_assert_int_eq(b.chain[0].error, VRING_OK);
		ck_assert_msg(b.chain[1].error == bad[_i].error, "%s, %s%s: %d", bad[_i].what,
			k & 1 ? "packed" : "split", k & 2 ? ", indirect" : "", b.chain[1].error);
		ck_assert_int_eq(b.chain[2].error, VRING_OK);
		ck_assert_uint_eq(b.nr_bad, bad[_i].error != VRING_OK);
		ck_assert(bad[_i].error == VRING_OK || !b.chain[1].nr_segs);
		vring_publish(&d.dev, &b, 3);
		for (unsigned int i = 0; i < 3; i++) {
			ck_assert(driver_take(&d, &id, &len));
			ck_assert_int_eq(id, ids[i]);
		}
		if (bad[_i].error != VRING_OK)
			ck_assert_uint_eq(d.dev.errors[bad[_i].error], 1);
		ck_assert_ptr_null(vring_broken(&d.dev));
		driver_finish(&d);
	}
}
END_TEST

/* What a driver would not write; each changes the one indirect table or chain there is. */
static void make_circle(struct ring_driver *d, int id)
{
	struct vring_desc *t = driver_desc(d, (unsigned int)id);

	t->flags |= VRING_DESC_F_NEXT;
	t->next = (uint16_t)id;
}

static void *table_of(struct ring_driver *d, int id)
{
	return driver_hva(
		d, d->packed ? driver_pdesc(d, 0)->addr : driver_desc(d, (unsigned int)id)->addr);
}

static void make_far_next(struct ring_driver *d, int id)
{
	struct vring_desc *t = driver_desc(d, (unsigned int)id);

	t->flags |= VRING_DESC_F_NEXT;
	t->next = d->size;
}

static void make_table_circle(struct ring_driver *d, int id)
{
	struct vring_desc *t = table_of(d, id);

	t[1].flags |= VRING_DESC_F_NEXT;
	t[1].next = 0;
}

static void make_table_far_next(struct ring_driver *d, int id)
{
	struct vring_desc *t = table_of(d, id);

	t[0].next = 2;
}

static void make_table_nested(struct ring_driver *d, int id)
{
	struct vring_desc *t = table_of(d, id);

	if (d->packed)
		((struct vring_packed_desc *)t)->flags |= VRING_DESC_F_INDIRECT;
	else
		t[0].flags |= VRING_DESC_F_INDIRECT;
}

static void set_len(struct ring_driver *d, int id, uint32_t len)
{
	if (d->packed)
		driver_pdesc(d, 0)->len = len;
	else
		driver_desc(d, (unsigned int)id)->len = len;
}

static void make_table_empty(struct ring_driver *d, int id)
{
	set_len(d, id, 0);
}

static void make_table_cut(struct ring_driver *d, int id)
{
	set_len(d, id, 31);
}

static void make_table_long(struct ring_driver *d, int id)
{
	set_len(d, id, (VRING_SEGS + 1) * 16);
}

static void make_table_elsewhere(struct ring_driver *d, int id)
{
	if (d->packed)
		driver_pdesc(d, 0)->addr = 16;
	else
		driver_desc(d, (unsigned int)id)->addr = 16;
}

static void make_table_with_next(struct ring_driver *d, int id)
{
	driver_desc(d, (unsigned int)id)->flags |= VRING_DESC_F_NEXT;
}

static void make_not_negotiated(struct ring_driver *d, int id)
{
	d->dev.indirect = false;
}

static const struct {
	const char *what;
	void (*change)(struct ring_driver *d, int id);
	int error;
	bool indirect, split_only;
} twisted[] = {
	{"a circle", make_circle, VRING_ERROR_LOOP, false, true},
	{"a next outside the ring", make_far_next, VRING_ERROR_LOOP, false, true},
	{"a circle in a table", make_table_circle, VRING_ERROR_LOOP, true, true},
	{"a next outside its table", make_table_far_next, VRING_ERROR_LOOP, true, true},
	{"a table with a next", make_table_with_next, VRING_ERROR_INDIRECT, true, true},
	{"a table in a table", make_table_nested, VRING_ERROR_INDIRECT, true},
	{"an empty table", make_table_empty, VRING_ERROR_INDIRECT, true},
	{"half an entry", make_table_cut, VRING_ERROR_INDIRECT, true},
	{"a table of too many", make_table_long, VRING_ERROR_INDIRECT, true},
	{"a table nobody has", make_table_elsewhere, VRING_ERROR_ADDRESS, true},
	{"a table, not negotiated", make_not_negotiated, VRING_ERROR_INDIRECT, true},
};

START_TEST(a_twisted_chain_ends)
{
	static struct vring_burst b;
	const struct part p[2] = {{BUF_GPA, 20, false}, {BUF_GPA + 20, 60, false}};

	for (int packed = 0; packed < 2 - twisted[_i].split_only; packed++) {
		struct ring_driver d;
		int id;

		driver_init(&d, both[packed], 8, false);
		id = driver_add(&d, p, 2, twisted[_i].indirect);
		twisted[_i].change(&d, id);
		ck_assert_uint_eq(vring_fetch(&d.dev, &b, 32), 1);
		ck_assert_msg(b.chain[0].error == twisted[_i].error, "%s: %d", twisted[_i].what,
			b.chain[0].error);
		ck_assert_int_eq(b.chain[0].id, id);
		vring_publish(&d.dev, &b, 1);
		ck_assert_ptr_null(vring_broken(&d.dev));
		driver_finish(&d);
	}
}
END_TEST

/* In a split ring a table across two regions is one to the guest; in both, its entries may be cut. */
START_TEST(an_indirect_table_may_lie_across_regions)
{
	static struct vring_burst b;

	for (uint32_t at = 1; at < 48; at++) {
		const struct part p[3] = {{BUF_GPA, 20}, {BUF_GPA + 100, 30}, {BUF_GPA + 200, 40}};
		struct ring_driver d;
		int id;

		driver_init(&d, both[_i], 8, false);
		id = driver_add(&d, p, 3, true);
		for (uint32_t i = 0; i < 48; i++)
			*driver_hva(&d, SEAM - at + i) = ((uint8_t *)table_of(&d, id))[i];
		if (d.packed)
			driver_pdesc(&d, 0)->addr = SEAM - at;
		else
			driver_desc(&d, (unsigned int)id)->addr = SEAM - at;
		ck_assert_uint_eq(vring_fetch(&d.dev, &b, 32), 1);
		ck_assert_int_eq(b.chain[0].error, VRING_OK);
		ck_assert_uint_eq(b.chain[0].len, 90);
		driver_finish(&d);
	}
}
END_TEST

/* More pieces than a burst has room for wait for the next burst; more than that are too many. */
START_TEST(a_burst_ends_where_its_room_does)
{
	static struct part p[VRING_SEGS + 1];
	static struct vring_burst b;
	struct ring_driver d;
	unsigned int n;

	for (unsigned int i = 0; i <= VRING_SEGS; i++)
		p[i] = (struct part){BUF_GPA + i, 1, false};
	driver_init(&d, both[_i], 8, false);
	ck_assert_int_ge(driver_add(&d, p, 600, true), 0);
	ck_assert_int_ge(driver_add(&d, p, VRING_SEGS, true), 0);
	/* A table of as many, but a piece that counts twice. */
	p[7] = (struct part){SEAM - 1, 2, false};
	ck_assert_int_ge(driver_add(&d, p, VRING_SEGS, true), 0);
	for (unsigned int i = 0; i < 3; i++) {
		n = vring_fetch(&d.dev, &b, 32);
		ck_assert_uint_eq(n, 1);
		ck_assert_int_eq(b.chain[0].error, i == 2 ? VRING_ERROR_LOOP : VRING_OK);
		ck_assert_uint_eq(b.chain[0].nr_segs, i == 2 ? 0 : i ? VRING_SEGS : 600);
		vring_publish(&d.dev, &b, 1);
	}
	driver_finish(&d);
}
END_TEST

START_TEST(an_index_that_jumps_stops_the_ring_with_a_reason)
{
	static struct vring_burst b;
	static const uint16_t jumps[] = {9, 100, 0x8000, 0xffff};

	for (unsigned int i = 0; i < 5; i++) {
		struct ring_driver d;
		struct err e;

		driver_init(&d, 0, 8, false);
		if (i < 4) {
			driver_avail(&d)->idx += jumps[i];
		} else {
			driver_avail(&d)->ring[0] = 8;
			driver_avail(&d)->idx++;
		}
		ck_assert_uint_eq(vring_fetch(&d.dev, &b, 32), 0);
		ck_assert_int_eq(b.broke, VRING_ERROR_INDEX);
		ck_assert_ptr_nonnull(vring_broken(&d.dev));
		ck_assert(!vring_running(&d.dev));
		ck_assert_uint_eq(vring_fetch(&d.dev, &b, 32), 0);
		ck_assert(!vring_arm(&d.dev));
		vring_disarm(&d.dev);
		vring_publish(&d.dev, &b, 0);
		/* cppcheck-suppress selfAssignment ; they are not the same ring */
		driver_avail(&d)->idx = driver_used(&d)->idx;
		ck_assert_int_eq(driver_start_device(&d, false, vring_stop(&d.dev), &e), 0);
		ck_assert_ptr_null(vring_broken(&d.dev));
		driver_finish(&d);
	}
}
END_TEST

START_TEST(a_packed_chain_without_end_stops_the_ring)
{
	static struct vring_burst b;
	struct ring_driver d;

	driver_init(&d, BIT(F_PACKED), 5, false);
	for (unsigned int i = 0; i < 5; i++)
		*driver_pdesc(&d, i) = (struct vring_packed_desc){
			.addr = BUF_GPA, .len = 20, .flags = 1 << 7 | VRING_DESC_F_NEXT};
	ck_assert_uint_eq(vring_fetch(&d.dev, &b, 32), 0);
	ck_assert_int_eq(b.broke, VRING_ERROR_LOOP);
	ck_assert_ptr_nonnull(vring_broken(&d.dev));
	driver_finish(&d);
}
END_TEST

/* Said to be available for ever, also behind the wrap: no more than a ring in one burst. */
START_TEST(a_burst_is_no_longer_than_the_ring)
{
	static struct vring_burst b;
	struct ring_driver d;

	driver_init(&d, BIT(F_PACKED), 4, false);
	for (unsigned int i = 0; i < 4; i++)
		*driver_pdesc(&d, i) =
			(struct vring_packed_desc){.addr = BUF_GPA, .len = 20, .flags = 1 << 7};
	ck_assert_uint_eq(vring_fetch(&d.dev, &b, 64), 4);
	driver_finish(&d);
}
END_TEST

START_TEST(setups_that_cannot_be_are_refused)
{
	struct ring_driver d;
	struct err e;
	struct vring_setup good, s;
	uint64_t area[128];

	driver_init(&d, BIT(F_PACKED), 8, false);
	good = (struct vring_setup){.mem = &d.mem,
		.size = 8,
		.desc = driver_desc(&d, 0),
		.avail = driver_avail(&d),
		.used = driver_used(&d),
		.kick_fd = -1,
		.call_fd = -1};
#define REFUSED(change)                                                   \
	do {                                                              \
		s = good;                                                 \
		change;                                                   \
		ck_assert_int_eq(vring_start(&d.dev, &s, &e), -EINVAL);   \
		ck_assert_uint_gt(strlen(e.text), 0);                     \
		ck_assert_int_eq(vring_start(&d.dev, &s, NULL), -EINVAL); \
	} while (0)
	REFUSED(s.size = 0);
	REFUSED(s.size = 7);
	REFUSED(s.size = 32769);
	REFUSED(s.desc = NULL);
	REFUSED(s.desc = (uint8_t *)s.desc + 8);
	REFUSED(s.avail = (uint8_t *)s.avail + 1);
	REFUSED(s.used = (uint8_t *)s.used + 2);
	REFUSED((s.inflight = area, s.inflight_size = 16));
	REFUSED((s.inflight = (uint8_t *)area + 4, s.inflight_size = sizeof(area)));
	good.features = BIT(F_PACKED);
	REFUSED(s.avail = (uint8_t *)s.avail + 2);
	REFUSED(s.base = 8);
	REFUSED(s.base = 0x7fff);
	s = good;
	s.size = 7;
	ck_assert_int_eq(vring_start(&d.dev, &s, &e), 0);
	driver_finish(&d);
}
END_TEST

START_TEST(legacy_headers_are_ten_bytes_unless_buffers_merge)
{
	struct ring_driver d;
	struct err e;

	driver_init(&d, 0, 8, false);
	ck_assert_uint_eq(d.dev.header, 12);
	d.features = 0;
	ck_assert_int_eq(driver_start_device(&d, false, 0, &e), 0);
	ck_assert_uint_eq(d.dev.header, 10);
	d.features = BIT(VIRTIO_NET_F_MRG_RXBUF);
	ck_assert_int_eq(driver_start_device(&d, false, 0, &e), 0);
	ck_assert_uint_eq(d.dev.header, 12);
	driver_finish(&d);
}
END_TEST

/* ---- notifications ---- */

static void one_used(struct ring_driver *d)
{
	static struct vring_burst b;
	const struct part p = {BUF_GPA, 100, false};
	uint32_t len;
	uint16_t id;

	ck_assert_int_ge(driver_add(d, &p, 1, false), 0);
	HOLDS(vring_fetch(&d->dev, &b, 32) == 1);
	vring_publish(&d->dev, &b, 1);
	vring_notify(&d->dev);
	HOLDS(driver_take(d, &id, &len));
}

/* The guest is called exactly when it has asked to be, at every place of the ring. */
START_TEST(the_guest_is_called_as_it_asked)
{
	struct ring_driver d;
	bool event = kinds[_i].features & BIT(F_EVENT);

	driver_init(&d, kinds[_i].features, kinds[_i].size, false);
	one_used(&d);
	(void)called(&d);
	for (unsigned int i = 0; i < (d.size > 64 ? 64u : 3u * d.size + 10u); i++) {
		/* Not at all. */
		if (!event && !d.packed)
			driver_avail(&d)->flags = VRING_AVAIL_F_NO_INTERRUPT;
		else if (!d.packed)
			driver_avail(&d)->ring[d.size] = (uint16_t)(d.used - 1);
		else
			driver_event(&d)->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
		one_used(&d);
		HOLDS(!called(&d));
		/* At the next. */
		if (!event && !d.packed) {
			driver_avail(&d)->flags = 0;
		} else if (!d.packed) {
			driver_avail(&d)->ring[d.size] = d.used;
		} else if (!event) {
			driver_event(&d)->flags = VRING_PACKED_EVENT_FLAG_ENABLE;
		} else {
			driver_event(&d)->off_wrap = (uint16_t)(d.used | d.used_wrap << 15);
			driver_event(&d)->flags = VRING_PACKED_EVENT_FLAG_DESC;
		}
		one_used(&d);
		HOLDS(called(&d));
		/* Once; an event index stays where it is. */
		vring_notify(&d.dev);
		HOLDS(!called(&d));
		if (event && d.size > 2) {
			one_used(&d);
			HOLDS(!called(&d));
		}
	}
	driver_finish(&d);
}
END_TEST

/* Would the guest kick for what it makes available next, by its reading of our wish? */
static bool guest_kicks(struct ring_driver *d)
{
	bool event = d->features & BIT(F_EVENT);

	if (!d->packed && !event)
		return !(driver_used(d)->flags & VRING_USED_F_NO_NOTIFY);
	if (!d->packed)
		return *(uint16_t *)&driver_used(d)->ring[d->size] == d->avail;
	switch (device_event(d)->flags) {
	case VRING_PACKED_EVENT_FLAG_ENABLE: return true;
	case VRING_PACKED_EVENT_FLAG_DESC:
		return device_event(d)->off_wrap == (uint16_t)(d->avail | d->avail_wrap << 15);
	default: return false;
	}
}

START_TEST(a_ring_that_is_armed_is_kicked_and_else_not)
{
	const struct part p = {BUF_GPA, 100, false};
	uint64_t one = 1;
	struct ring_driver d;

	driver_init(&d, kinds[_i].features, kinds[_i].size, false);
	for (unsigned int i = 0; i < (d.size > 64 ? 64u : 3u * d.size); i++) {
		struct pollfd pfd = {d.kick_fd, POLLIN, 0};

		HOLDS(!vring_arm(&d.dev));
		HOLDS(guest_kicks(&d));
		HOLDS(write(d.kick_fd, &one, sizeof(one)) == (sizeof(one)));
		vring_disarm(&d.dev);
		HOLDS(!guest_kicks(&d));
		HOLDS(poll(&pfd, 1, 0) == 0);
		one_used(&d);
		/* Came before we asked: no sleep. */
		if (d.size > 1) {
			static struct vring_burst b;
			uint32_t len;
			uint16_t id;

			ck_assert_int_ge(driver_add(&d, &p, 1, false), 0);
			HOLDS(vring_arm(&d.dev));
			vring_disarm(&d.dev);
			HOLDS(vring_fetch(&d.dev, &b, 32) == 1);
			vring_publish(&d.dev, &b, 1);
			HOLDS(driver_take(&d, &id, &len));
		}
	}
	/* Twice is as once; an fd that is no eventfd, or none, does not hold us up. */
	vring_disarm(&d.dev);
	vring_kick_fd_set(&d.dev, -1);
	vring_call_fd_set(&d.dev, -1);
	vring_disarm(&d.dev);
	one_used(&d);
	driver_finish(&d);
}
END_TEST

/* ---- a back end dies ---- */

struct crash {
	struct ring_driver d;
	struct vring_burst b;
};

static void crash_init(struct crash *c, uint64_t features, uint16_t size, bool to_guest)
{
	struct err e = {0};

	driver_init(&c->d, features, size, to_guest);
	vring_stop(&c->d.dev);
	c->d.inflight = calloc(1, vring_inflight_size(c->d.packed, size));
	ck_assert_int_eq(driver_start_device(&c->d, to_guest, c->d.packed ? 1 << 15 : 0, &e), 0);
}

/* As after kill -9: nothing is said, and the front end knows no better base than the first. */
static void crash(struct crash *c, bool to_guest)
{
	struct err e = {0};

	memset(&c->d.dev, 0xee, sizeof(c->d.dev));
	ck_assert_msg(driver_start_device(&c->d, to_guest, c->d.packed ? 1 << 15 : 0, &e) == 0,
		"%s", e.text);
}

/* Between fetch and publish, and after it, at every place: nothing is lost, nothing comes twice. */
START_TEST(a_new_back_end_goes_on_where_the_dead_one_was)
{
	static struct crash c;

	srand(3);
	crash_init(&c, kinds[_i].features, kinds[_i].size, false);
	for (unsigned int i = 0; i < 60; i++) {
		struct want w[8];
		unsigned int n = 0, got;
		uint32_t len;
		uint16_t id;

		while (n < 8 && chain_offer(&c.d, false, &w[n]))
			n++;
		got = vring_fetch(&c.d.dev, &c.b, 8);
		crash(&c, false);
		for (unsigned int k = 0; k < n;) {
			unsigned int part;

			got = vring_fetch(&c.d.dev, &c.b, 8);
			ck_assert_uint_ge(got, 1);
			HOLDS(got == n - k);
			part = 1 + (unsigned int)rand() % got;
			for (unsigned int j = 0; j < part; j++)
				HOLDS(c.b.chain[j].id == w[k + j].id);
			vring_publish(&c.d.dev, &c.b, part);
			crash(&c, false);
			for (unsigned int j = 0; j < part; j++, k++) {
				HOLDS(driver_take(&c.d, &id, &len));
				HOLDS(id == w[k].id);
			}
			HOLDS(!driver_take(&c.d, &id, &len));
		}
	}
	driver_finish(&c.d);
}
END_TEST

/* Offsets of struct QueueRegionPacked, vhost-user specification. */
static void area_put(void *area, unsigned int offset, const void *v, size_t n)
{
	memcpy((uint8_t *)area + offset, v, n);
}

/*
 * Cut short within the stores of a publish: the area says where it would have ended, and of the
 * entries only the first @_i % 4 are marked; or of a frame of many, all but the first.
 */
START_TEST(a_publish_that_was_cut_short_is_finished_or_undone)
{
	const struct part p = {BUF_GPA, 100, true},
			  pair[2] = {{BUF_GPA, 50, true}, {BUF_GPA, 50, true}};
	unsigned int marked = (unsigned int)_i % 4, start = (unsigned int)_i / 8;
	bool many = _i % 8 >= 4;
	static struct crash c;
	int ids[3];
	struct vring_packed_desc before[8], after[8];
	uint8_t area[40];
	uint32_t len;
	uint16_t id;

	crash_init(&c, BIT(F_PACKED), 8, true);
	/* Begin at each place, so that it is cut across the wrap too. */
	for (unsigned int i = 0; i < start; i++) {
		ck_assert_int_ge(driver_add(&c.d, &p, 1, false), 0);
		ck_assert_uint_eq(vring_fetch(&c.d.dev, &c.b, 1), 1);
		c.b.chain[0].used_len = 33;
		vring_publish(&c.d.dev, &c.b, 1);
		ck_assert(driver_take(&c.d, &id, &len));
	}
	ids[0] = driver_add(&c.d, &p, 1, false);
	ids[1] = driver_add(&c.d, pair, 2, false);
	ids[2] = driver_add(&c.d, &p, 1, false);
	memcpy(before, driver_pdesc(&c.d, 0), sizeof(before));
	memcpy(area, c.d.inflight, 32);
	ck_assert_uint_eq(vring_fetch(&c.d.dev, &c.b, 8), 3);
	for (unsigned int i = 0; i < 3; i++) {
		c.b.chain[i].used_len = 44;
		c.b.chain[i].more = many && i < 2;
	}
	vring_publish(&c.d.dev, &c.b, 3);
	memcpy(after, driver_pdesc(&c.d, 0), sizeof(after));
	/* Back to the moment: old_used_idx and old_used_wrap are as they were, and some of the ring. */
	area_put(c.d.inflight, 18, area + 18, 2);
	area_put(c.d.inflight, 21, area + 21, 1);
	memcpy(driver_pdesc(&c.d, 0), before, sizeof(before));
	for (unsigned int i = 0; i < 3; i++) {
		unsigned int at = (start + (i ? i + (i > 1) : 0)) % 8;

		if (many ? i > marked % 3 : i < marked)
			*driver_pdesc(&c.d, at) = after[at];
	}
	crash(&c, true);
	if (many)
		marked = 0;
	for (unsigned int i = 0; i < marked && i < 3; i++) {
		ck_assert(driver_take(&c.d, &id, &len));
		ck_assert_int_eq(id, ids[i]);
	}
	ck_assert(!driver_take(&c.d, &id, &len));
	ck_assert_uint_eq(vring_fetch(&c.d.dev, &c.b, 8), 3 - (marked < 3 ? marked : 3));
	for (unsigned int i = 0; i < c.b.n; i++) {
		ck_assert_int_eq(c.b.chain[i].error, VRING_OK);
		ck_assert_uint_eq(c.b.chain[i].len, 100);
		ck_assert_int_eq(c.b.chain[i].id, ids[i + marked]);
	}
	vring_publish(&c.d.dev, &c.b, c.b.n);
	driver_finish(&c.d);
}
END_TEST

/*
 * Cut short in a full ring, and the guest has taken what was published and filled its entries again
 * before the next back end comes; or, from 4 on, cut between the two stores that say where it ended,
 * which at a ring's end are of different laps.
 */
START_TEST(entries_that_were_filled_again_are_not_waited_for)
{
	const struct part p = {BUF_GPA, 100, true};
	unsigned int marked = (unsigned int)_i % 4, start = (unsigned int)_i / 8;
	bool torn = _i % 8 >= 4;
	static struct crash c;
	struct vring_packed_desc before[8], after[8];
	uint8_t area[40];
	uint32_t len;
	uint16_t id;
	int ids[11];

	crash_init(&c, BIT(F_PACKED), 8, true);
	for (unsigned int i = 0; i < start; i++) {
		ck_assert_int_ge(driver_add(&c.d, &p, 1, false), 0);
		ck_assert_uint_eq(vring_fetch(&c.d.dev, &c.b, 1), 1);
		vring_publish(&c.d.dev, &c.b, 1);
		ck_assert(driver_take(&c.d, &id, &len));
	}
	for (unsigned int i = 0; i < 8; i++)
		ids[i] = driver_add(&c.d, &p, 1, false);
	memcpy(before, driver_pdesc(&c.d, 0), sizeof(before));
	memcpy(area, c.d.inflight, 32);
	ck_assert_uint_eq(vring_fetch(&c.d.dev, &c.b, 3), 3);
	vring_publish(&c.d.dev, &c.b, 3);
	memcpy(after, driver_pdesc(&c.d, 0), sizeof(after));
	if (torn) {
		area_put(c.d.inflight, 21, area + 21, 1);
		marked = 3;
	} else {
		area_put(c.d.inflight, 18, area + 18, 2);
		area_put(c.d.inflight, 21, area + 21, 1);
		memcpy(driver_pdesc(&c.d, 0), before, sizeof(before));
		for (unsigned int i = 0; i < marked; i++)
			*driver_pdesc(&c.d, (start + i) % 8) = after[(start + i) % 8];
	}
	for (unsigned int i = 0; i < marked; i++) {
		ck_assert(driver_take(&c.d, &id, &len));
		ck_assert_int_eq(id, ids[i]);
		ids[8 + i] = driver_add(&c.d, &p, 1, false);
		ck_assert_int_ge(ids[8 + i], 0);
	}
	crash(&c, true);
	ck_assert(!driver_take(&c.d, &id, &len));
	ck_assert_uint_eq(vring_fetch(&c.d.dev, &c.b, 8), 8);
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_int_eq(c.b.chain[i].id, ids[marked + i]);
	vring_publish(&c.d.dev, &c.b, 8);
	driver_finish(&c.d);
}
END_TEST

/* What another back end had in flight when it died comes back empty, once. */
START_TEST(descriptors_of_a_dead_back_end_are_given_back)
{
	const struct part p = {BUF_GPA, 100, false};
	static struct crash c;
	uint32_t len;
	uint16_t id;
	uint8_t *area;
	int ids[4];

	crash_init(&c, 0, 8, false);
	area = c.d.inflight;
	for (unsigned int i = 0; i < 4; i++)
		ids[i] = driver_add(&c.d, &p, 1, false);
	/* It had taken three, used the second, and died before it wrote so. */
	for (unsigned int i = 0; i < 3; i++)
		area[16 + ids[i] * 16] = 1;
	area[12] = (uint8_t)ids[1];
	driver_used(&c.d)->ring[0] = (struct vring_used_elem){.id = (uint32_t)ids[1]};
	driver_used(&c.d)->idx++;
	crash(&c, false);
	ck_assert(driver_take(&c.d, &id, &len) && id == ids[1]);
	ck_assert(driver_take(&c.d, &id, &len) && (id == ids[0] || id == ids[2]));
	ck_assert(driver_take(&c.d, &id, &len) && (id == ids[0] || id == ids[2]));
	ck_assert(!driver_take(&c.d, &id, &len));
	ck_assert_uint_eq(vring_fetch(&c.d.dev, &c.b, 8), 1);
	ck_assert_int_eq(c.b.chain[0].id, ids[3]);
	driver_finish(&c.d);
}
END_TEST

/* The area is the front end's memory: anything may stand there. */
START_TEST(an_inflight_area_of_noise_does_no_harm)
{
	static struct crash c;

	srand(4);
	crash_init(&c, both[_i], 8, false);
	for (unsigned int i = 0; i < 1000; i++) {
		uint8_t *area = c.d.inflight;
		struct err e;

		for (unsigned int k = 0; k < vring_inflight_size(c.d.packed, 8); k++)
			area[k] = (uint8_t)(rand() % 4 ? rand() % 9 : rand());
		area[8] = 1;
		area[9] = 0;
		area[10] = 8;
		area[11] = 0;
		for (unsigned int k = 0; k < 8; k++)
			driver_pdesc(&c.d, k)->flags = (uint16_t)rand();
		driver_avail(&c.d)->idx = driver_used(&c.d)->idx;
		if (driver_start_device(&c.d, false, (uint32_t)rand() & 0x8007, &e) == 0) {
			vring_fetch(&c.d.dev, &c.b, 8);
			vring_publish(&c.d.dev, &c.b, c.b.n);
		}
		ck_assert(driver_guards(&c.d));
	}
	driver_finish(&c.d);
}
END_TEST

/* ---- while it is read ---- */

struct race {
	struct ring_driver d;
	_Atomic bool stop;
};

static void *flip(void *arg)
{
	struct race *r = arg;
	unsigned int seed = 5;

	while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
		unsigned int slot = (unsigned int)rand_r(&seed) % r->d.size;
		uint64_t *w = (uint64_t *)driver_desc(&r->d, slot);
		static const uint64_t addr[] = {
			BUF_GPA, SEAM - 10, END - 10, 0, UINT64_MAX - 5, RING_GPA + 0x90000};
		uint64_t len = (uint64_t)rand_r(&seed) % 200, flags = (uint64_t)rand_r(&seed) & 7;

		if (r->d.packed)
			flags |= (uint64_t)(rand_r(&seed) & 1) << 7 | (uint64_t)(rand_r(&seed) & 1)
									      << 15;
		__atomic_store_n(w, addr[rand_r(&seed) % 6], __ATOMIC_RELAXED);
		/* split: flags, then next; packed: id, then flags */
		__atomic_store_n(w + 1,
			r->d.packed ? len | (uint64_t)slot << 32 | flags << 48
				    : len | flags << 32 |
					      ((uint64_t)rand_r(&seed) % (r->d.size + 1u)) << 48,
			__ATOMIC_RELAXED);
		__atomic_store_n(w + (0x90000 / 8), addr[rand_r(&seed) % 6], __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Whatever is written to descriptors meanwhile, every address handed out is inside. */
START_TEST(descriptors_that_change_while_they_are_read_stay_inside)
{
	static struct vring_burst b;
	static struct race r;
	pthread_t t;

	memset(&r, 0, sizeof(r));
	driver_init(&r.d, both[_i], 64, false);
	for (uint16_t i = 0; i < 64; i++)
		driver_avail(&r.d)->ring[i] = r.d.packed ? 0 : i;
	ck_assert_int_eq(pthread_create(&t, NULL, flip, &r), 0);
	for (unsigned int i = 0; i < 10000; i++) {
		struct err e;

		if (!r.d.packed)
			__atomic_store_n(&driver_avail(&r.d)->idx,
				(uint16_t)(driver_used(&r.d)->idx + 64), __ATOMIC_RELEASE);
		vring_fetch(&r.d.dev, &b, 64);
		for (unsigned int k = 0; k < b.nr_segs; k++) {
			const struct vring_seg *s = &b.seg[k];
			bool inside = false;

			for (unsigned int m = 0; m < r.d.mem.nr; m++) {
				const struct vmem_region *g = &r.d.mem.regions[m];

				inside |= s->hva >= g->hva && s->len &&
					  s->hva + s->len <= g->hva + g->size;
			}
			HOLDS(inside);
		}
		vring_publish(&r.d.dev, &b, b.n);
		if (vring_broken(&r.d.dev))
			ck_assert_int_eq(driver_start_device(&r.d, false, 1 << 15, &e), 0);
	}
	atomic_store(&r.stop, true);
	pthread_join(t, NULL);
	driver_finish(&r.d);
}
END_TEST

/* ---- the memory table ---- */

START_TEST(regions_that_overlap_or_wrap_are_refused)
{
	static uint8_t bytes[64];
	struct vmem mem = {0};
	struct vmem_region got;
	struct err e;
	static const struct {
		struct vmem_region r;
		int ret;
	} rows[] = {
		{{0x1000, 0x1000, 0x1000, bytes}, 0},
		{{0x2000, 0, 0x2000, bytes}, -EINVAL},
		{{0x2000, 0x1000, 0x3000, NULL}, -EINVAL},
		{{0x1fff, 0x1000, 0x4000, bytes}, -EINVAL},
		{{0x0, 0x1001, 0x4000, bytes}, -EINVAL},
		{{0x0, UINT64_MAX, 0x4000, bytes}, -EINVAL},
		{{0x3000, 0x1000, 0x1fff, bytes}, -EINVAL},
		{{0x3000, UINT64_MAX - 0x2ffe, 0x4000, bytes}, -EINVAL},
		{{0x2000, 0x1000, UINT64_MAX - 0xffe, bytes}, -EINVAL},
		{{0x2000, 0x1000, 0x2000, bytes}, 0},
	};

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_int_eq(vmem_add(&mem, &rows[i].r, &e), rows[i].ret);
	for (uint64_t i = 2; i < VMEM_REGIONS; i++)
		ck_assert_int_eq(
			vmem_add(&mem, &(struct vmem_region){0x10000 * i, 1, 0x10000 * i, bytes},
				NULL),
			0);
	ck_assert_int_eq(
		vmem_add(&mem, &(struct vmem_region){0x10000 * 9, 1, 0x10000 * 9, bytes}, &e),
		-ENOSPC);
	ck_assert_int_eq(vmem_del(&mem, 0x1000, 0x1000, 0x1001, &got), -ENOENT);
	ck_assert_int_eq(vmem_del(&mem, 0x1000, 0x1000, 0x1000, &got), 0);
	ck_assert_ptr_eq(got.hva, bytes);
	ck_assert_ptr_null(vmem_gpa(&mem, 0x1000, 1));
	ck_assert_ptr_nonnull(vmem_gpa(&mem, 0x2000, 0x1000));
	ck_assert_ptr_null(vmem_gpa(&mem, 0x2000, 0x1001));
	ck_assert_ptr_null(vmem_uva(&mem, 0x2000, 0x1001));
	ck_assert_ptr_null(vmem_uva(&mem, 0x2fff, UINT64_MAX));
	ck_assert_ptr_eq(vmem_uva(&mem, 0x2001, 0xfff), bytes + 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vswitch-vring");
	TCase *t = tcase_create("vring");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, chains_come_as_they_were_offered_and_go_back_in_order, 0, KINDS);
	tcase_add_loop_test(t, a_ring_goes_on_where_it_stopped, 0, KINDS);
	tcase_add_loop_test(t, bytes_in_descriptors_of_their_own_come_together, 0, 2);
	tcase_add_loop_test(t, a_bad_chain_is_named_and_given_back_and_the_next_is_good, 0,
		(int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_loop_test(
		t, a_twisted_chain_ends, 0, (int)(sizeof(twisted) / sizeof(twisted[0])));
	tcase_add_loop_test(t, an_indirect_table_may_lie_across_regions, 0, 2);
	tcase_add_loop_test(t, a_burst_ends_where_its_room_does, 0, 2);
	tcase_add_test(t, an_index_that_jumps_stops_the_ring_with_a_reason);
	tcase_add_test(t, a_packed_chain_without_end_stops_the_ring);
	tcase_add_test(t, a_burst_is_no_longer_than_the_ring);
	tcase_add_test(t, setups_that_cannot_be_are_refused);
	tcase_add_test(t, legacy_headers_are_ten_bytes_unless_buffers_merge);
	tcase_add_loop_test(t, the_guest_is_called_as_it_asked, 0, KINDS);
	tcase_add_loop_test(t, a_ring_that_is_armed_is_kicked_and_else_not, 0, KINDS);
	tcase_add_loop_test(t, a_new_back_end_goes_on_where_the_dead_one_was, 0, KINDS);
	tcase_add_loop_test(t, a_publish_that_was_cut_short_is_finished_or_undone, 0, 8 * 8);
	tcase_add_loop_test(t, entries_that_were_filled_again_are_not_waited_for, 0, 8 * 8);
	tcase_add_test(t, descriptors_of_a_dead_back_end_are_given_back);
	tcase_add_loop_test(t, an_inflight_area_of_noise_does_no_harm, 0, 2);
	tcase_add_loop_test(t, descriptors_that_change_while_they_are_read_stay_inside, 0, 2);
	tcase_add_test(t, regions_that_overlap_or_wrap_are_refused);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
