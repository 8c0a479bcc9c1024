// SPDX-License-Identifier: GPL-2.0-or-later
/* Receive queues over threads. */
#include <check.h>
#include <stdlib.h>

#include "vswitch/balance.h"

#define NEW BALANCE_NONE
#define ANY BALANCE_NONE

static const struct {
	const char *what;
	unsigned int threads;
	size_t n;
	struct balance_queue q[6];
	uint16_t want[6];
	int moved;
} cases[] = {
	{"new ones in turn", 2, 4, {{0, ANY, NEW}, {0, ANY, NEW}, {0, ANY, NEW}, {0, ANY, NEW}},
		{0, 1, 0, 1}, 0},
	{"one thread takes all", 1, 3, {{5, ANY, NEW}, {5, ANY, 0}, {9, ANY, 0}}, {0, 0, 0}, 0},
	{"a new one goes where there is least to do", 2, 3,
		{{7, ANY, 0}, {5, ANY, 1}, {0, ANY, NEW}}, {0, 1, 1}, 0},
	{"two heavy ones part", 2, 2, {{50, ANY, 0}, {50, ANY, 0}}, {0, 1}, 1},
	{"nothing moves for little", 2, 3, {{50, ANY, 0}, {44, ANY, 1}, {3, ANY, 0}}, {0, 1, 0}, 0},
	{"what is fixed moves there, the other makes room", 2, 2, {{1, 1, 0}, {1, ANY, 1}}, {1, 0},
		2},
	{"others make room for what is fixed", 2, 3, {{90, 0, 0}, {30, ANY, 0}, {30, ANY, 0}},
		{0, 1, 1}, 2},
	{"idle ones stay", 3, 3, {{0, ANY, 2}, {0, ANY, 2}, {0, ANY, 2}}, {2, 2, 2}, 0},
	{"a thread that is no more", 2, 1, {{4, ANY, 5}}, {0}, 1},
	{"heavy first, light ones fill up", 2, 5,
		{{10, ANY, 0}, {20, ANY, 0}, {30, ANY, 0}, {40, ANY, 0}, {0, ANY, 0}},
		{0, 1, 1, 0, 0}, 2},
};

START_TEST(balance_does_as_the_table_says)
{
	struct balance_queue q[6];

	for (size_t i = 0; i < cases[_i].n; i++)
		q[i] = cases[_i].q[i];
	ck_assert_int_eq(balance(q, cases[_i].n, cases[_i].threads), cases[_i].moved);
	for (size_t i = 0; i < cases[_i].n; i++)
		ck_assert_msg(q[i].thread == cases[_i].want[i], "%s: queue %zu on %u",
			cases[_i].what, i, q[i].thread);
}
END_TEST

/* By any numbers: the busiest thread has at most 4/3 of what the best division gives it (Graham). */
START_TEST(balance_is_never_far_from_even)
{
	struct balance_queue q[40];
	uint64_t load[7] = {0}, sum = 0, most = 0, largest = 0;

	srand((unsigned int)_i);
	for (unsigned int i = 0; i < 40; i++) {
		q[i] = (struct balance_queue){(uint64_t)(rand() % 1000), ANY, NEW};
		sum += q[i].load;
		largest = q[i].load > largest ? q[i].load : largest;
	}
	ck_assert_int_eq(balance(q, 40, 7), 0);
	for (unsigned int i = 0; i < 40; i++) {
		ck_assert_uint_lt(q[i].thread, 7);
		load[q[i].thread] += q[i].load;
	}
	for (unsigned int i = 0; i < 7; i++)
		most = load[i] > most ? load[i] : most;
	ck_assert_uint_le(most, (sum / 7 > largest ? sum / 7 : largest) * 4 / 3 + 1);
	/* And then it is at rest. */
	ck_assert_int_eq(balance(q, 40, 7), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("balance");
	TCase *tc = tcase_create("balance");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(
		tc, balance_does_as_the_table_says, 0, (int)(sizeof(cases) / sizeof(cases[0])));
	tcase_add_loop_test(tc, balance_is_never_far_from_even, 0, 50);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
