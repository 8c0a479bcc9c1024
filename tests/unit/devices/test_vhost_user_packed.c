// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where a packed ring goes on after a crash, against a model: a driver that fills a ring and a
 * device that empties it, which dies at any store of its own.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "devices/vhost_user_packed.h"

#define MAX 64u

enum { AVAIL = 1 << 7, USED = 1 << 15, BOTH = AVAIL | USED };

#define INDIRECT (1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define IN_ORDER (1ull << VIRTIO_F_IN_ORDER)

struct pos {
	unsigned int idx;
	bool wrap;
};

static struct {
	struct vring_packed_desc ring[MAX];
	unsigned int size, longest;
	bool in_order;
	struct pos drv_avail, drv_used, dev;
	unsigned int free, n_ids;
	uint16_t id[MAX];
	unsigned int len[MAX]; /* of the chain with this id */
	/* chains made available and not yet used, oldest first */
	uint16_t fifo[MAX];
	unsigned int first, n;
} m;

static void step(struct pos *p, unsigned int n)
{
	p->idx += n;
	if (p->idx >= m.size) {
		p->idx -= m.size;
		p->wrap = !p->wrap;
	}
}

static uint16_t encode(struct pos p)
{
	return (uint16_t)(p.idx | (p.wrap ? 0x8000 : 0));
}

static void model_init(unsigned int size, unsigned int longest, bool in_order)
{
	memset(&m, 0, sizeof(m));
	m.size = m.free = size;
	m.longest = longest;
	m.in_order = in_order;
	m.drv_avail.wrap = m.drv_used.wrap = m.dev.wrap = true;
	for (unsigned int i = 0; i < size; i++)
		m.id[m.n_ids++] = (uint16_t)(size - 1 - i);
}

static bool driver_add(void)
{
	unsigned int len = 1 + (unsigned int)rand() % m.longest;
	uint16_t id;

	if (m.free < len)
		return false;
	/* Drivers that were promised order name buffers by their place. */
	id = m.in_order ? (uint16_t)m.drv_avail.idx : m.id[--m.n_ids];
	for (unsigned int i = 0; i < len; i++) {
		struct vring_packed_desc *d = &m.ring[m.drv_avail.idx];

		d->addr = 0x1000;
		d->len = 64;
		d->id = id;
		__atomic_store_n(&d->flags,
			(uint16_t)((m.drv_avail.wrap ? AVAIL : USED) |
				   (i + 1 < len ? VRING_DESC_F_NEXT : 0)),
			__ATOMIC_RELEASE);
		step(&m.drv_avail, 1);
	}
	m.free -= len;
	m.len[id] = len;
	m.fifo[(m.first + m.n++) % MAX] = id;
	return true;
}

/* What the driver sees as used. The oldest chain is the one a used entry at its place is for. */
static unsigned int seen_oldest, seen_n;
static uint16_t seen[MAX];

static void driver_take(void)
{
	for (;;) {
		struct vring_packed_desc *d = &m.ring[m.drv_used.idx];
		uint16_t last = d->id, id;

		if (!seen_n || (d->flags & BOTH) != (m.drv_used.wrap ? BOTH : 0))
			return;
		do {
			id = seen[seen_oldest];
			seen_oldest = (seen_oldest + 1) % MAX;
			seen_n--;
			if (!m.in_order)
				m.id[m.n_ids++] = id;
			m.free += m.len[id];
			step(&m.drv_used, m.len[id]);
		} while (id != last);
	}
}

static void mark(struct pos at, uint16_t id, bool flags)
{
	m.ring[at.idx].id = id;
	m.ring[at.idx].len = 0;
	if (flags)
		m.ring[at.idx].flags = at.wrap ? BOTH : 0;
}

static uint16_t device_pop(void)
{
	uint16_t id = m.fifo[m.first];

	m.first = (m.first + 1) % MAX;
	m.n--;
	seen[(seen_oldest + seen_n++) % MAX] = id;
	return id;
}

/*
 * Use up to @n chains as one batch; dies after @stores stores of flags, the first entry's being the
 * last. True: it lives.
 */
static bool device_batch(unsigned int n, unsigned int stores)
{
	struct pos first = m.dev, at = m.dev;
	uint16_t first_id = 0, id = 0;

	if (n > m.n)
		n = m.n;
	if (!n)
		return true;
	if (m.in_order) {
		if (!stores)
			return false;
		for (unsigned int i = 0; i < n; i++) {
			id = device_pop();
			step(&at, m.len[id]);
		}
		mark(first, id, true);
		m.dev = at;
		return true;
	}
	for (unsigned int i = 0; i < n; i++) {
		if (i && i == stores)
			return false;
		id = device_pop();
		if (!i)
			first_id = id;
		else
			mark(at, id, true);
		step(&at, m.len[id]);
		/* Used up, if one after the first was marked. */
		if (i)
			m.dev = at;
	}
	if (stores < n)
		return false;
	mark(first, first_id, true);
	m.dev = at;
	return true;
}

static void run(uint64_t features, unsigned int longest, unsigned int *told)
{
	unsigned int size = 1 + (unsigned int)rand() % MAX;
	bool live = true;
	uint16_t pos = 0xffff;
	int r;

	seen_oldest = seen_n = 0;
	model_init(size, longest < size ? longest : size, features & IN_ORDER);
	for (unsigned int life = 1 + (unsigned int)rand() % 200; live && life; life--) {
		for (unsigned int k = (unsigned int)rand() % (size + 1); k; k--)
			driver_add();
		live = device_batch(
			(unsigned int)rand() % 8, life > 1 ? 99 : (unsigned int)rand() % 8);
		if (rand() % 4)
			driver_take();
	}
	r = vu_packed_resume(m.ring, size, features, true, &pos);
	if (r == -EUCLEAN) {
		ck_assert_uint_eq(pos, 0xffff);
		return;
	}
	ck_assert_int_eq(r, 0);
	ck_assert_msg(pos == encode(m.dev), "size %u: at 0x%x, the device was at 0x%x", size, pos,
		encode(m.dev));
	(*told)++;
	/* The driver sees all that was used: nothing keeps it from going round. */
	driver_take();
	ck_assert_uint_eq(encode(m.drv_used), encode(m.dev));
}

static const struct {
	uint64_t features;
	unsigned int longest;
	bool always;
} worlds[] = {
	{INDIRECT, 1, true},
	{INDIRECT | IN_ORDER, 1, false},
	{IN_ORDER, 4, false},
	{0, 1, false},
};

START_TEST(a_ring_goes_on_where_the_device_died)
{
	unsigned int told = 0, seed = (unsigned int)time(NULL);

	printf("seed %u\n", seed);
	srand(seed);
	for (unsigned int i = 0; i < 5000; i++)
		run(worlds[_i].features, worlds[_i].longest, &told);
	if (worlds[_i].always)
		ck_assert_uint_eq(told, 5000);
	else
		ck_assert_uint_gt(told, 1000);
}
END_TEST

/* A used chain leaves its tail behind, which looks as if it were available. */
START_TEST(a_ring_that_does_not_tell_is_not_guessed)
{
	uint16_t pos = 0x1234;

	seen_oldest = seen_n = 0;
	model_init(8, 1, false);
	m.ring[0] = (struct vring_packed_desc){1, 1, 5, VRING_DESC_F_NEXT | AVAIL};
	m.ring[1] = (struct vring_packed_desc){1, 1, 5, AVAIL};
	m.ring[0].flags = BOTH;
	ck_assert_int_eq(vu_packed_resume(m.ring, 8, 0, true, &pos), -EUCLEAN);
	/* Of another name, it is no tail. */
	m.ring[1].id = 6;
	ck_assert_int_eq(vu_packed_resume(m.ring, 8, 0, true, &pos), 0);
	ck_assert_uint_eq(pos, 0x8001);
}
END_TEST

/* With a record of its own the back end fills the hole itself. */
START_TEST(a_hole_is_left_to_who_keeps_a_record)
{
	uint16_t pos;

	model_init(8, 1, false);
	for (unsigned int i = 0; i < 4; i++)
		driver_add();
	device_batch(3, 2);
	ck_assert_int_eq(vu_packed_resume(m.ring, 8, INDIRECT, false, &pos), 0);
	ck_assert_uint_eq(pos, 0x8000);
	ck_assert_uint_eq(m.ring[0].flags & BOTH, AVAIL);
	ck_assert_int_eq(vu_packed_resume(m.ring, 8, INDIRECT, true, &pos), 0);
	ck_assert_uint_eq(pos, 0x8002);
	ck_assert_uint_eq(m.ring[0].flags & BOTH, BOTH);
}
END_TEST

/* Whatever a guest wrote there: an answer inside the ring, or none. */
START_TEST(garbage_is_survived)
{
	srand((unsigned int)time(NULL));
	for (unsigned int i = 0; i < 300; i++) {
		unsigned int size = 1 + (unsigned int)rand() % MAX;
		uint16_t pos;

		for (unsigned int k = 0; k < sizeof(m.ring); k++)
			((uint8_t *)m.ring)[k] = (uint8_t)rand();
		/* Few changes of AVAIL, so that it is looked at further. */
		for (unsigned int k = 0; i % 8 && k < MAX; k++)
			m.ring[k].flags = (uint16_t)((m.ring[k].flags & ~AVAIL) |
						     (k > i % 7 * 9 ? AVAIL : 0));
		for (unsigned int f = 0; f < 4; f++) {
			if (vu_packed_resume(m.ring, size,
				    (f & 1 ? INDIRECT : 0) | (f & 2 ? IN_ORDER : 0), f & 1,
				    &pos) == 0)
				ck_assert_uint_lt(pos & 0x7fff, size);
		}
	}
}
END_TEST

static void *driver_goes_on(void *arg)
{
	while (driver_add())
		;
	return NULL;
}

/* The vCPUs run on. */
START_TEST(a_driver_may_go_on_meanwhile)
{
	for (unsigned int i = 0; i < 500; i++) {
		pthread_t t;
		uint16_t pos;

		seen_oldest = seen_n = 0;
		model_init(MAX, 1, false);
		for (unsigned int k = 0; k < i % MAX; k++) {
			driver_add();
			device_batch(1, 99);
			driver_take();
		}
		ck_assert_int_eq(pthread_create(&t, NULL, driver_goes_on, NULL), 0);
		ck_assert_int_eq(vu_packed_resume(m.ring, MAX, INDIRECT, true, &pos), 0);
		ck_assert_uint_eq(pos, encode(m.dev));
		pthread_join(t, NULL);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user packed rings");
	TCase *tc = tcase_create("resume");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(
		tc, a_ring_goes_on_where_the_device_died, 0, sizeof(worlds) / sizeof(*worlds));
	tcase_add_test(tc, a_ring_that_does_not_tell_is_not_guessed);
	tcase_add_test(tc, a_hole_is_left_to_who_keeps_a_record);
	tcase_add_test(tc, garbage_is_survived);
	tcase_add_test(tc, a_driver_may_go_on_meanwhile);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
