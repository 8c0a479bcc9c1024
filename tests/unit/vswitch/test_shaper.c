// SPDX-License-Identifier: GPL-2.0-or-later
/* Egress shaping: the rate is kept, the queue is bounded, the order stays; and tc's units. */
#include <check.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "vswitch/shaper.h"
#include "vswitch/units.h"

#define MS 1000000ull

static struct shaper s;

static void *frame(uintptr_t n)
{
	return (void *)n; /* NOLINT: never looked at */
}

START_TEST(shaper_keeps_the_rate_to_the_byte)
{
	/* 1 MB/s: 1000 bytes take a millisecond. */
	const struct shape cfg = {.rate = 1000000, .burst = 1000, .limit = UINT64_MAX};
	uint64_t now = 5 * MS;
	uintptr_t out = 0;

	shaper_init(&s, &cfg, now);
	for (uintptr_t i = 1; i <= 100; i++)
		ck_assert_int_eq(shaper_push(&s, frame(i), 1000), 0);
	/* The burst lets one go ahead. */
	for (unsigned int ms = 0; ms < 98; ms++, now += MS) {
		void *f;

		while ((f = shaper_pop(&s, now)))
			ck_assert_uint_eq((uintptr_t)f, ++out);
		ck_assert_uint_eq(out, ms + 2);
		ck_assert_uint_eq(shaper_wait_ns(&s, now), MS);
	}
}
END_TEST

START_TEST(shaper_keeps_rates_that_do_not_divide)
{
	/* 64-byte frames at 7 GB/s take 9.142857 ns: a rounded one would be 1.6 % off. */
	const struct shape cfg = {.rate = 7000000000u, .burst = 14000, .limit = UINT64_MAX};
	uint64_t now = 0, sent = 0;

	shaper_init(&s, &cfg, now);
	while (now <= MS) {
		while (shaper_push(&s, frame(1), 64) == 0)
			;
		while (shaper_pop(&s, now))
			sent++;
		now += 1000;
	}
	/* 7 GB/s * 1 ms / 64, and the burst ahead of time */
	ck_assert_uint_ge(sent, 109375 + 14000 / 64);
	ck_assert_uint_le(sent, 109375 + 14000 / 64 + 2);
}
END_TEST

START_TEST(shaper_earns_no_more_than_its_burst_in_a_pause)
{
	const struct shape cfg = {.rate = 1000000, .burst = 3000, .limit = UINT64_MAX};
	unsigned int n = 0;

	shaper_init(&s, &cfg, 0);
	for (uintptr_t i = 1; i <= 10; i++)
		ck_assert_int_eq(shaper_push(&s, frame(i), 1000), 0);
	while (shaper_pop(&s, 1000000 * MS))
		n++;
	ck_assert_uint_eq(n, 4); /* three ahead of time and the one whose time it is */
	ck_assert_uint_eq(shaper_wait_ns(&s, 1000000 * MS), MS);
}
END_TEST

START_TEST(shaper_sends_frames_larger_than_its_burst)
{
	const struct shape cfg = {.rate = 1000, .burst = 1, .limit = 10000};

	shaper_init(&s, &cfg, 0);
	ck_assert_int_eq(shaper_push(&s, frame(1), 9000), 0);
	ck_assert_int_eq(shaper_push(&s, frame(2), 60), 0);
	ck_assert_ptr_eq(shaper_pop(&s, 0), frame(1));
	ck_assert_ptr_null(shaper_pop(&s, 8998 * MS));
	ck_assert_ptr_eq(shaper_pop(&s, 9000 * MS), frame(2));
	ck_assert_uint_eq(shaper_wait_ns(&s, 0), SHAPER_NEVER);
}
END_TEST

START_TEST(shaper_bounds_what_waits_in_bytes_and_frames)
{
	const struct shape few = {.rate = 1, .burst = 1, .limit = 2500},
			   many = {.rate = 1, .burst = 1, .limit = UINT64_MAX};

	shaper_init(&s, &few, 0);
	ck_assert_int_eq(shaper_push(&s, frame(1), 1500), 0);
	ck_assert_int_eq(shaper_push(&s, frame(2), 1001), -ENOBUFS);
	ck_assert_int_eq(shaper_push(&s, frame(2), 1000), 0);
	ck_assert_int_eq(shaper_push(&s, frame(3), 1), -ENOBUFS);
	ck_assert_ptr_eq(shaper_take(&s), frame(1));
	ck_assert_int_eq(shaper_push(&s, frame(3), 1500), 0);

	shaper_init(&s, &many, 0);
	for (uintptr_t i = 1; i <= SHAPER_FRAMES_MAX; i++)
		ck_assert_int_eq(shaper_push(&s, frame(i), 60), 0);
	ck_assert_int_eq(shaper_push(&s, frame(1), 60), -ENOBUFS);
	for (uintptr_t i = 1; i <= SHAPER_FRAMES_MAX; i++)
		ck_assert_ptr_eq(shaper_take(&s), frame(i));
	ck_assert_ptr_null(shaper_take(&s));
	ck_assert_uint_eq(s.bytes, 0);
}
END_TEST

START_TEST(shaper_lets_all_go_when_the_limit_is_lifted)
{
	const struct shape slow = {.rate = 1, .burst = 1, .limit = 10000}, none = {.limit = 1};

	shaper_init(&s, &slow, 0);
	for (uintptr_t i = 1; i <= 3; i++)
		ck_assert_int_eq(shaper_push(&s, frame(i), 1000), 0);
	ck_assert_ptr_eq(shaper_pop(&s, 0), frame(1));
	ck_assert_ptr_null(shaper_pop(&s, 0));
	shaper_set(&s, &none, 0);
	ck_assert_ptr_eq(shaper_pop(&s, 0), frame(2));
	ck_assert_ptr_eq(shaper_pop(&s, 0), frame(3));
}
END_TEST

static const struct {
	const char *text;
	uint64_t bytes; /* 0 = refused */
} rates[] =
	{
		{"100mbit", 12500000},
		{"100Mbit", 12500000},
		{"1gbit", 125000000},
		{"2.5Gbit", 312500000},
		{"8", 1},
		{"800bit", 100},
		{"10kbps", 10000},
		{"1mibit", 131072},
		{"7", 0},
		{"", 0},
		{"mbit", 0},
		{"-1mbit", 0},
		{"0", 0},
		{"0x10mbit", 0},
		{"inf", 0},
		{"nan", 0},
		{"1e300gbit", 0},
		{"100 mbit", 0},
		{"100mbits", 0},
		{"100packets", 0},
},
  sizes[] = {
	  {"1500", 1500},
	  {"32kb", 32768},
	  {"32K", 32768},
	  {"1m", 1048576},
	  {"1.5k", 1536},
	  {"8kbit", 1000},
	  {"0", 0},
	  {"k", 0},
	  {"1x", 0},
	  {"99999999gb", 0},
};

START_TEST(units_are_those_of_tc)
{
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		uint64_t v = 0;

		ck_assert_msg(rate_parse(rates[i].text, &v) == (rates[i].bytes ? 0 : -EINVAL), "%s",
			rates[i].text);
		ck_assert_uint_eq(v, rates[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t v = 0;

		ck_assert_msg(size_parse(sizes[i].text, &v) == (sizes[i].bytes ? 0 : -EINVAL), "%s",
			sizes[i].text);
		ck_assert_uint_eq(v, sizes[i].bytes);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vswitch-shaper");
	TCase *tc = tcase_create("core");
	SRunner *sr = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, shaper_keeps_the_rate_to_the_byte);
	tcase_add_test(tc, shaper_keeps_rates_that_do_not_divide);
	tcase_add_test(tc, shaper_earns_no_more_than_its_burst_in_a_pause);
	tcase_add_test(tc, shaper_sends_frames_larger_than_its_burst);
	tcase_add_test(tc, shaper_bounds_what_waits_in_bytes_and_frames);
	tcase_add_test(tc, shaper_lets_all_go_when_the_limit_is_lifted);
	tcase_add_test(tc, units_are_those_of_tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
