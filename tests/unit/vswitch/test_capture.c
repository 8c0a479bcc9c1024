// SPDX-License-Identifier: GPL-2.0-or-later
/* The ring between the switch and who captures: nothing is torn, lost without being counted, or waited
 * for; and a reader that writes nonsense into the memory harms itself only. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vswitch/capture.h"
#include "vswitch/pcapng.h"

static struct capture *c;
static struct capture_reader r;

static void open_both(uint32_t snaplen)
{
	struct err e = {0};

	ck_assert_msg(!capture_create(1, 3, snaplen, &e, &c), "%s", e.text);
	ck_assert_msg(
		!capture_reader_init(&r, dup(c->memory_fd), dup(c->event_fd), &e), "%s", e.text);
}

static void setup(void)
{
	open_both(CAPTURE_SNAPLEN);
}

static void teardown(void)
{
	capture_reader_finish(&r);
	capture_destroy(c);
	c = NULL;
}

/* Frame @n has a length and bytes that follow from its number. */
static uint32_t len_of(uint32_t n)
{
	return n * 7919 % 9000;
}

static bool frame_put(uint32_t n)
{
	uint32_t caplen;
	uint8_t *p = capture_begin(c, 1, n, len_of(n), &caplen);

	if (!p)
		return false;
	memset(p, (int)n, caplen);
	capture_commit(c);
	return true;
}

static bool frame_get(uint32_t *n)
{
	struct capture_record rec;
	const uint8_t *bytes;

	if (!capture_reader_next(&r, &rec, &bytes))
		return false;
	*n = (uint32_t)rec.time_ns;
	ck_assert_uint_eq(rec.len, len_of(*n));
	for (uint32_t i = 0; i < rec.caplen; i++)
		if (bytes[i] != (*n & 255))
			ck_abort_msg("frame %u is torn at byte %u", *n, i);
	return true;
}

START_TEST(capture_carries_frames_whole_and_in_order)
{
	uint32_t put = 0, got = 0, n;

	/* Many times around the ring, with the reader at any distance. */
	for (uint32_t round = 0; round < 150; round++) {
		for (uint32_t i = 0; i < round % 97 * 6; i++)
			put += frame_put(put);
		while (frame_get(&n) && ++got)
			ck_assert_uint_eq(n, got - 1);
	}
	ck_assert_uint_eq(got, put);
	ck_assert_uint_eq(atomic_load(&c->shared->dropped), 0);
	ck_assert_uint_gt(c->head, 10ull * CAPTURE_BYTES);
}
END_TEST

START_TEST(capture_counts_what_a_slow_reader_misses)
{
	struct capture_record rec;
	const uint8_t *bytes;
	uint64_t in = 0, out = 0;

	for (uint32_t i = 0; i < 3000; i++)
		in += frame_put(i);
	ck_assert_uint_lt(in, 3000);
	ck_assert_uint_eq(atomic_load(&c->shared->dropped), 3000 - in);
	while (capture_reader_next(&r, &rec, &bytes))
		out++;
	ck_assert_uint_eq(out, in);
	ck_assert(frame_put(5));
	ck_assert(capture_reader_next(&r, &rec, &bytes));
	ck_assert_uint_eq(rec.dropped, 3000 - in);
}
END_TEST

START_TEST(capture_cuts_frames_to_size)
{
	struct capture_record rec;
	const uint8_t *bytes;

	teardown();
	open_both(100);
	ck_assert(frame_put(1));
	ck_assert(capture_reader_next(&r, &rec, &bytes));
	ck_assert_uint_eq(rec.caplen, 100);
	ck_assert_uint_eq(rec.len, len_of(1));
}
END_TEST

START_TEST(capture_wakes_only_who_sleeps)
{
	uint64_t count;

	ck_assert(frame_put(1));
	capture_wake(c);
	ck_assert_int_lt((int)read(r.event_fd, &count, sizeof(count)), 0);
	/* There is something: do not sleep. */
	ck_assert(!capture_reader_arm(&r));
	while (frame_get(&(uint32_t){0}))
		;
	ck_assert(capture_reader_arm(&r));
	ck_assert(frame_put(2));
	capture_wake(c);
	ck_assert_int_eq((int)read(r.event_fd, &count, sizeof(count)), sizeof(count));
	ck_assert_uint_eq(count, 1);
	capture_wake(c);
	ck_assert_int_lt((int)read(r.event_fd, &count, sizeof(count)), 0);
	capture_end(c);
	ck_assert_int_eq((int)read(r.event_fd, &count, sizeof(count)), sizeof(count));
}
END_TEST

START_TEST(capture_survives_a_reader_that_writes_anything)
{
	static const uint64_t tails[] = {1, 7, UINT64_MAX, UINT64_MAX - 7, 1ull << 63,
		CAPTURE_BYTES - 1, CAPTURE_BYTES + 1, 2ull * CAPTURE_BYTES};
	uint8_t *all = (uint8_t *)c->shared;

	ck_assert_int_lt(ftruncate(c->memory_fd, 4096), 0);
	ck_assert_int_lt(ftruncate(c->memory_fd, 1 << 30), 0);
	srand(1);
	for (uint32_t i = 0; i < 20000; i++) {
		atomic_store(
			&c->shared->tail, tails[i % ARRAY_SIZE(tails)] + (i & 64 ? c->head : 0));
		all[(uint32_t)rand() % 4096] = (uint8_t)rand();
		frame_put(i);
		capture_wake(c);
	}
	ck_assert_uint_eq(c->head % 8, 0);
}
END_TEST

START_TEST(reader_takes_no_record_that_leaves_the_ring)
{
	static const struct capture_record bad[] = {{.size = 0}, {.size = 4}, {.size = 12},
		{.size = 16, .len = 5}, {.size = CAPTURE_BYTES + 8}, {.size = UINT32_MAX & ~7u},
		{.size = 48, .len = 100, .caplen = 17}, {.size = 48, .caplen = UINT32_MAX}};
	struct capture_record rec;
	const uint8_t *bytes;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memcpy(c->shared->data, &bad[i], sizeof(bad[i]));
		atomic_store(&c->shared->head, 64);
		r.tail = r.size = 0;
		ck_assert_msg(!capture_reader_next(&r, &rec, &bytes), "%zu", i);
	}
}
END_TEST

START_TEST(pcapng_says_when_it_cannot_be_written)
{
	const struct capture_record rec = {.len = 60, .caplen = 60};
	static const uint8_t bytes[60];
	_cleanup_file_ FILE *f = fopen("/dev/full", "w");

	ck_assert(f);
	setvbuf(f, NULL, _IONBF, 0);
	ck_assert_int_eq(pcapng_header(f, "a", 100, NULL), -ENOSPC);
	ck_assert_int_eq(pcapng_frame(f, &rec, bytes, 0), -ENOSPC);
	ck_assert_int_eq(pcapng_statistics(f, 0, 1, 2, 3), -ENOSPC);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vswitch-capture");
	TCase *tc = tcase_create("core");
	SRunner *sr = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, capture_carries_frames_whole_and_in_order);
	tcase_add_test(tc, capture_counts_what_a_slow_reader_misses);
	tcase_add_test(tc, capture_cuts_frames_to_size);
	tcase_add_test(tc, capture_wakes_only_who_sleeps);
	tcase_add_test(tc, capture_survives_a_reader_that_writes_anything);
	tcase_add_test(tc, reader_takes_no_record_that_leaves_the_ring);
	tcase_add_test(tc, pcapng_says_when_it_cannot_be_written);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
