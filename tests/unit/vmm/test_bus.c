// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "vmm/bus.h"

/* A device whose reads name it: id in the top half of the low 32 bits, offset below. */
struct dev {
	unsigned int id;
	_Atomic unsigned int writes;
	uint64_t last_off, last_val;
	unsigned int last_len;
};

static uint64_t dev_read(void *ctx, uint64_t off, unsigned int len)
{
	struct dev *d = ctx;

	return 0xffffffff00000000 | d->id << 16 | (off & 0xffff);
}

static void dev_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	struct dev *d = ctx;

	d->writes++;
	d->last_off = off;
	d->last_len = len;
	d->last_val = val;
}

static struct bus *bus;

static void setup(void)
{
	ck_assert_int_eq(bus_create("test", NULL, &bus), 0);
}

static void teardown(void)
{
	bus_destroy(bus);
}

static int add(uint64_t base, uint64_t size, struct dev *d)
{
	struct bus_region r = {
		.base = base,
		.size = size,
		.read = dev_read,
		.write = dev_write,
		.ctx = d,
		.name = "dev",
	};

	return bus_add(bus, &r, NULL);
}

START_TEST(bus_write_arrives_with_offset_length_and_value)
{
	struct dev d = {1};

	ck_assert_int_eq(add(0x1000, 0x10, &d), 0);
	bus_write(bus, 0x100c, 4, 0xffffffffdeadbeef);
	ck_assert_uint_eq(d.last_off, 0xc);
	ck_assert_uint_eq(d.last_len, 4);
	ck_assert_uint_eq(d.last_val, 0xdeadbeef);
	ck_assert_uint_eq(bus_unclaimed(bus), 0);
}
END_TEST

/* A device's stray high bits must not reach the guest's register. */
START_TEST(bus_read_is_cut_to_its_length)
{
	struct dev d = {0x12};

	ck_assert_int_eq(add(0x1000, 0x10, &d), 0);
	ck_assert_uint_eq(bus_read(bus, 0x1004, 1), 0x04);
	ck_assert_uint_eq(bus_read(bus, 0x1004, 2), 0x0004);
	ck_assert_uint_eq(bus_read(bus, 0x1004, 4), 0x00120004);
	ck_assert_uint_eq(bus_read(bus, 0x1004, 8), 0xffffffff00120004);
}
END_TEST

static const struct {
	uint64_t addr;
	unsigned int len;
} strays[] = {
	{0, 1},
	{0xfff, 1},
	{0xfff, 2},
	{0x1010, 1},
	{0x100f, 2},
	{0x1009, 8},
	{UINT64_MAX, 1},
	{UINT64_MAX, 8},
};

/* The only region is [0x1000, 0x1010). */
START_TEST(bus_answers_all_ones_where_nobody_takes_the_whole_access)
{
	struct dev d = {1};
	unsigned int len = strays[_i].len;

	ck_assert_int_eq(add(0x1000, 0x10, &d), 0);
	ck_assert_uint_eq(
		bus_read(bus, strays[_i].addr, len), len == 8 ? UINT64_MAX : (1ull << 8 * len) - 1);
	bus_write(bus, strays[_i].addr, len, 5);
	ck_assert_uint_eq(d.writes, 0);
	ck_assert_uint_eq(bus_unclaimed(bus), 2);
}
END_TEST

START_TEST(bus_add_refuses_what_is_no_range)
{
	struct dev d = {1};

	ck_assert_int_eq(add(0x1000, 0, &d), -EINVAL);
	ck_assert_int_eq(add(UINT64_MAX, 2, &d), -EINVAL);
	ck_assert_int_eq(add(2, UINT64_MAX, &d), -EINVAL);
	ck_assert_uint_eq(bus_read(bus, 0x1000, 1), 0xff);
}
END_TEST

/* A guest may move one BAR over another while it sizes them: the older keeps answering. */
START_TEST(bus_region_added_first_answers_where_two_overlap)
{
	struct dev a = {1}, b = {2};

	ck_assert_int_eq(add(0x1008, 0x10, &a), 0);
	ck_assert_int_eq(add(0x1000, 0x100, &b), 0);
	ck_assert_uint_eq(bus_read(bus, 0x1000, 4), 2u << 16);
	ck_assert_uint_eq(bus_read(bus, 0x1008, 4), 1u << 16);
	ck_assert_uint_eq(bus_read(bus, 0x1018, 4), (2u << 16) + 0x18);
	bus_remove(bus, 0x1008, &b); /* right base, other owner */
	bus_remove(bus, 0x1000, &a);
	ck_assert_uint_eq(bus_read(bus, 0x1008, 4), 1u << 16);
	bus_remove(bus, 0x1008, &a);
	ck_assert_uint_eq(bus_read(bus, 0x1008, 4), (2u << 16) + 8);
	bus_remove(bus, 0x1000, &b);
	ck_assert_uint_eq(bus_read(bus, 0x1008, 4), 0xffffffff);
}
END_TEST

static void move_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	struct dev *d = ctx;
	struct bus_region r = {
		.base = val, .size = 0x10, .read = dev_read, .write = move_write, .ctx = d};

	bus_remove(bus, d->last_off, d);
	ck_assert_int_eq(bus_add(bus, &r, NULL), 0);
	d->last_off = val;
}

/* A config write moves the region it came through: no lock may be held meanwhile. */
START_TEST(bus_region_may_move_itself)
{
	struct dev d = {3, .last_off = 0x1000};
	struct bus_region r = {
		.base = 0x1000, .size = 0x10, .read = dev_read, .write = move_write, .ctx = &d};

	ck_assert_int_eq(bus_add(bus, &r, NULL), 0);
	bus_write(bus, 0x1000, 4, 0x5000);
	ck_assert_uint_eq(bus_read(bus, 0x1000, 1), 0xff);
	ck_assert_uint_eq(bus_read(bus, 0x5002, 2), 2);
}
END_TEST

#define WORLD   512u
#define REGIONS 40u

/* Random adds, removes and accesses against a plain list searched from its start. */
START_TEST(bus_agrees_with_a_plain_list)
{
	struct {
		uint64_t base, size;
		struct dev *d;
	} list[REGIONS];
	struct dev devs[256];
	unsigned int n = 0, seed = (unsigned int)time(NULL);
	uint64_t stray = 0;

	printf("bus seed %u\n", seed);
	srand(seed);
	for (unsigned int i = 0; i < 20000; i++) {
		unsigned int what = (unsigned int)rand() % 8, k;
		uint64_t addr = (uint64_t)rand() % WORLD, got, want = 0;
		unsigned int len = 1u << rand() % 4;

		if (what == 0 && n < REGIONS) {
			struct dev *d = &devs[i % 256];

			d->id = i % 256;
			list[n].base = addr;
			list[n].size = 1 + (uint64_t)rand() % 60;
			list[n].d = d;
			ck_assert_int_eq(add(addr, list[n].size, d), 0);
			n++;
			continue;
		}
		if (what == 1 && n) {
			unsigned int gone = (unsigned int)rand() % n;

			for (k = 0; list[k].base != list[gone].base || list[k].d != list[gone].d;)
				k++;
			bus_remove(bus, list[gone].base, list[gone].d);
			n--;
			memmove(&list[k], &list[k + 1], (n - k) * sizeof(list[0]));
			continue;
		}
		for (k = 0; k < n; k++)
			if (addr >= list[k].base && addr < list[k].base + list[k].size)
				break;
		want = UINT64_MAX;
		if (k < n && addr + len <= list[k].base + list[k].size)
			want = 0xffffffff00000000 | list[k].d->id << 16 | (addr - list[k].base);
		else
			stray++;
		if (len < 8)
			want &= (1ull << 8 * len) - 1;
		got = bus_read(bus, addr, len);
		ck_assert_msg(got == want, "seed %u step %u: 0x%lx, not 0x%lx", seed, i,
			(unsigned long)got, (unsigned long)want);
		ck_assert_uint_eq(bus_unclaimed(bus), stray);
	}
}
END_TEST

static _Atomic bool stop;

static void *reader(void *arg)
{
	uint64_t *seen = arg;

	while (!stop) {
		uint64_t v = bus_read(bus, 0x1000 + 0x10 * (*seen % 64), 4);

		ck_assert(v == 0xffffffff || v >> 16 == 7);
		(*seen)++;
		bus_write(bus, 0x9000, 4, v);
	}
	return NULL;
}

/* BARs come and go under the other vCPUs' accesses. For the thread sanitizer above all. */
START_TEST(bus_changes_under_concurrent_accesses)
{
	struct dev steady = {7}, moving = {7};
	uint64_t seen[3] = {0};
	pthread_t t[3];

	stop = false;
	ck_assert_int_eq(add(0x1000, 0x10, &steady), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, reader, &seen[i]), 0);
	for (unsigned int i = 0; i < 5000; i++) {
		uint64_t base = 0x1010 + 0x10 * (i % 63);

		ck_assert_int_eq(add(base, 0x10, &moving), 0);
		bus_remove(bus, base, &moving);
	}
	stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("bus");
	TCase *t = tcase_create("bus");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, bus_write_arrives_with_offset_length_and_value);
	tcase_add_test(t, bus_read_is_cut_to_its_length);
	tcase_add_loop_test(t, bus_answers_all_ones_where_nobody_takes_the_whole_access, 0,
		(int)ARRAY_SIZE(strays));
	tcase_add_test(t, bus_add_refuses_what_is_no_range);
	tcase_add_test(t, bus_region_added_first_answers_where_two_overlap);
	tcase_add_test(t, bus_region_may_move_itself);
	tcase_add_test(t, bus_agrees_with_a_plain_list);
	tcase_add_test(t, bus_changes_under_concurrent_accesses);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
