// SPDX-License-Identifier: GPL-2.0-or-later
/* The table of addresses, mostly against a model that is a plain list in order of last sight. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vswitch/fdb.h"

#define PORTS 5
#define KEYS  200

static struct fdb *table(uint32_t capacity, uint32_t ageing)
{
	const struct fdb_config cfg = {
		.capacity = capacity, .nr_ports = PORTS, .ageing_s = ageing, .seed = 42};
	struct fdb *f;

	ck_assert_int_eq(fdb_create(&cfg, &f), 0);
	return f;
}

static uint64_t key(unsigned int i)
{
	return fdb_key(0x020000000000ull + i, (uint16_t)(1 + i % 3));
}

START_TEST(fdb_refuses_impossible_numbers)
{
	const struct fdb_config bad[] = {
		{.capacity = 0, .nr_ports = 1},
		{.capacity = (1u << 20) + 1, .nr_ports = 1},
		{.capacity = 1, .nr_ports = 0},
		{.capacity = 1, .nr_ports = FDB_NO_PORT},
	};
	struct fdb *f = NULL;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(fdb_create(&bad[i], &f), -EINVAL);
	ck_assert_ptr_null(f);
	fdb_destroy(NULL);
}
END_TEST

START_TEST(fdb_never_learns_group_or_zero_addresses)
{
	struct fdb *f = table(16, 300);

	ck_assert_int_eq(fdb_learn(f, fdb_key(0x010000000001ull, 1), 0, 1), FDB_REFUSED);
	ck_assert_int_eq(fdb_learn(f, fdb_key(0, 1), 0, 1), FDB_REFUSED);
	ck_assert_int_eq(fdb_learn(f, 0, 0, 1), FDB_REFUSED);
	ck_assert_uint_eq(fdb_lookup(f, 0), FDB_NO_PORT);
	ck_assert_int_eq(fdb_add_static(f, fdb_key(0xffffffffffffull, 1), 0), -EINVAL);
	ck_assert_int_eq(fdb_add_static(f, key(1), PORTS), -EINVAL);
	ck_assert_uint_eq(fdb_count(f), 0);
	fdb_destroy(f);
}
END_TEST

START_TEST(fdb_moves_mac_to_new_port)
{
	struct fdb_port_stats s;
	struct fdb *f = table(16, 300);

	ck_assert_int_eq(fdb_learn(f, key(1), 0, 1), FDB_NEW);
	ck_assert_int_eq(fdb_learn(f, key(1), 0, 2), FDB_KNOWN);
	ck_assert_int_eq(fdb_learn(f, key(1), 3, 3), FDB_MOVED);
	ck_assert_uint_eq(fdb_lookup(f, key(1)), 3);
	fdb_port_stats_get(f, 3, &s);
	ck_assert_uint_eq(s.moved, 1);
	ck_assert_uint_eq(s.entries, 1);
	fdb_port_stats_get(f, 0, &s);
	ck_assert_uint_eq(s.entries, 0);
	fdb_destroy(f);
}
END_TEST

START_TEST(fdb_keeps_one_address_apart_in_two_vlans)
{
	struct fdb *f = table(16, 300);

	fdb_learn(f, fdb_key(0x020000000001ull, 1), 0, 1);
	fdb_learn(f, fdb_key(0x020000000001ull, 2), 1, 1);
	ck_assert_uint_eq(fdb_lookup(f, fdb_key(0x020000000001ull, 1)), 0);
	ck_assert_uint_eq(fdb_lookup(f, fdb_key(0x020000000001ull, 2)), 1);
	ck_assert_uint_eq(fdb_lookup(f, fdb_key(0x020000000001ull, 3)), FDB_NO_PORT);
	fdb_destroy(f);
}
END_TEST

START_TEST(fdb_static_entry_neither_moves_nor_ages_nor_is_evicted)
{
	struct fdb_port_stats s;
	struct fdb *f = table(8, 300);

	ck_assert_int_eq(fdb_learn(f, key(0), 1, 1), FDB_NEW);
	ck_assert_int_eq(fdb_add_static(f, key(0), 2), 0);
	ck_assert_int_eq(fdb_learn(f, key(0), 1, 1), FDB_REFUSED);
	ck_assert_int_eq(fdb_learn(f, key(0), 2, 1), FDB_KNOWN);
	for (unsigned int i = 1; i < 100; i++)
		fdb_learn(f, key(i), 1, i);
	fdb_age(f, 100000, UINT32_MAX);
	ck_assert_uint_eq(fdb_count(f), 1);
	ck_assert_uint_eq(fdb_lookup(f, key(0)), 2);
	ck_assert_uint_eq(fdb_flush(f, FDB_NO_PORT, FDB_ANY_VLAN, false), 0);
	ck_assert_uint_eq(fdb_flush(f, FDB_NO_PORT, FDB_ANY_VLAN, true), 1);
	fdb_port_stats_get(f, 1, &s);
	ck_assert_uint_eq(s.refused, 1);
	fdb_destroy(f);
}
END_TEST

START_TEST(fdb_full_of_static_entries_takes_no_more)
{
	struct fdb *f = table(8, 300);

	for (unsigned int i = 0; i < 8; i++)
		ck_assert_int_eq(fdb_add_static(f, key(i), 0), 0);
	ck_assert_int_eq(fdb_add_static(f, key(9), 0), -ENOSPC);
	ck_assert_int_eq(fdb_learn(f, key(9), 1, 1), FDB_FULL);
	ck_assert_int_eq(fdb_remove(f, key(3)), 0);
	ck_assert_int_eq(fdb_remove(f, key(3)), -ENOENT);
	ck_assert_int_eq(fdb_learn(f, key(9), 1, 1), FDB_NEW);
	fdb_destroy(f);
}
END_TEST

/* A guest that invents addresses pays itself: the quiet one keeps its few. */
START_TEST(fdb_flood_of_addresses_evicts_only_the_flooder)
{
	struct fdb_port_stats s;
	struct fdb *f = table(64, 300);

	for (unsigned int i = 0; i < 5; i++)
		fdb_learn(f, key(i), 0, 1);
	for (unsigned int i = 100; i < 10000; i++)
		ck_assert_int_eq(fdb_learn(f, key(i), 1, 2), FDB_NEW);
	for (unsigned int i = 0; i < 5; i++)
		ck_assert_uint_eq(fdb_lookup(f, key(i)), 0);
	ck_assert_uint_le(fdb_count(f), 64);
	fdb_port_stats_get(f, 0, &s);
	ck_assert_uint_eq(s.evicted, 0);
	fdb_destroy(f);
}
END_TEST

START_TEST(fdb_port_limit_evicts_the_longest_unseen)
{
	struct fdb *f = table(64, 300);

	fdb_limit_set(f, 0, 3);
	for (unsigned int i = 0; i < 3; i++)
		fdb_learn(f, key(i), 0, i);
	fdb_learn(f, key(0), 0, 5);
	fdb_learn(f, key(7), 0, 6);
	ck_assert_uint_eq(fdb_lookup(f, key(1)), FDB_NO_PORT);
	ck_assert_uint_eq(fdb_lookup(f, key(0)), 0);
	ck_assert_uint_eq(fdb_lookup(f, key(7)), 0);
	fdb_limit_set(f, 0, 1);
	ck_assert_uint_eq(fdb_count(f), 1);
	ck_assert_uint_eq(fdb_lookup(f, key(7)), 0);
	fdb_limit_set(f, 0, 0);
	ck_assert_int_eq(fdb_learn(f, key(8), 0, 7), FDB_FULL);
	fdb_destroy(f);
}
END_TEST

START_TEST(fdb_holds_its_whole_capacity)
{
	struct fdb *f = table(10000, 300);
	unsigned int missing = 0;

	for (unsigned int i = 0; i < 10000; i++)
		fdb_learn(f, key(i), (uint16_t)(i % PORTS), 1);
	for (unsigned int i = 0; i < 10000; i++)
		missing += fdb_lookup(f, key(i)) != i % PORTS;
	/* Two full buckets are possible, and rare when half is free. */
	ck_assert_uint_le(missing, 20);
	fdb_destroy(f);
}
END_TEST

/* What the model knows of a key. */
struct known {
	bool there, is_static;
	uint16_t port;
	uint32_t seen, order; /* order of last sight */
};

static struct known model[KEYS];
static uint32_t model_clock, limits[PORTS];

static unsigned int model_learned(uint16_t port)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < KEYS; i++)
		n += model[i].there && !model[i].is_static && model[i].port == port;
	return n;
}

static void model_evict(uint16_t port)
{
	struct known *old = NULL;

	for (unsigned int i = 0; i < KEYS; i++)
		if (model[i].there && !model[i].is_static && model[i].port == port &&
			(!old || model[i].order < old->order))
			old = &model[i];
	ck_assert_ptr_nonnull(old);
	old->there = false;
}

static void model_learn(unsigned int k, uint16_t port, uint32_t now)
{
	struct known *m = &model[k];

	if (m->there && m->is_static)
		return;
	if (m->there && m->port == port) {
		if (m->seen != now)
			m->order = ++model_clock;
		m->seen = now;
		return;
	}
	m->there = false;
	if (!limits[port])
		return;
	if (model_learned(port) >= limits[port])
		model_evict(port);
	*m = (struct known){.there = true, .port = port, .seen = now, .order = ++model_clock};
}

static void model_compare(struct fdb *f)
{
	struct fdb_entry e;
	unsigned int n = 0, walked = 0;
	size_t cursor = 0;

	for (unsigned int i = 0; i < KEYS; i++) {
		ck_assert_uint_eq(
			fdb_lookup(f, key(i)), model[i].there ? model[i].port : FDB_NO_PORT);
		n += model[i].there;
	}
	ck_assert_uint_eq(fdb_count(f), n);
	while (fdb_next(f, &cursor, &e)) {
		const struct known *m = &model[e.mac - 0x020000000000ull];

		ck_assert(m->there && m->is_static == e.is_static && m->port == e.port);
		walked++;
	}
	ck_assert_uint_eq(walked, n);
}

/* Entries that are flushed stay in their slots for a while; their number comes round again. */
START_TEST(fdb_what_is_flushed_never_comes_back)
{
	struct fdb *f = table(64, 300);

	for (unsigned int i = 0; i < 100000; i++) {
		ck_assert_int_eq(fdb_learn(f, key(i % 50), 1, 1), FDB_NEW);
		ck_assert_uint_eq(fdb_count(f), 1);
		ck_assert_uint_eq(fdb_flush(f, 1, FDB_ANY_VLAN, true), 1);
		ck_assert_uint_eq(fdb_lookup(f, key(i % 50)), FDB_NO_PORT);
		if (i % 1000 == 0)
			fdb_age(f, 1, 10);
	}
	ck_assert_uint_eq(fdb_count(f), 0);
	fdb_destroy(f);
}
END_TEST

START_TEST(fdb_does_as_a_plain_list_does)
{
	unsigned int seed = (unsigned int)time(NULL) ^ (unsigned int)_i;
	struct fdb *f = table(4096, 20);
	uint32_t now = 1;

	printf("seed %u\n", seed);
	srand(seed);
	memset(model, 0, sizeof(model));
	for (unsigned int p = 0; p < PORTS; p++)
		limits[p] = FDB_LIMIT_NONE;
	for (unsigned int step = 0; step < 3000; step++) {
		unsigned int k = (unsigned int)rand() % KEYS, op = (unsigned int)rand() % 40;
		uint16_t port = (uint16_t)((unsigned int)rand() % PORTS);

		now += rand() % 8 == 0;
		if (op < 30) {
			model_learn(k, port, now);
			fdb_learn(f, key(k), port, now);
		} else if (op < 32) {
			ck_assert_int_eq(fdb_remove(f, key(k)), model[k].there ? 0 : -ENOENT);
			model[k].there = false;
		} else if (op == 32) {
			ck_assert_int_eq(fdb_add_static(f, key(k), port), 0);
			model[k] = (struct known){.there = true, .is_static = true, .port = port};
		} else if (op < 36) {
			while (fdb_age(f, now, 7) == 7)
				;
			for (unsigned int i = 0; i < KEYS; i++)
				if (!model[i].is_static && now - model[i].seen > 20)
					model[i].there = false;
		} else if (op == 36) {
			uint16_t vlan = (uint16_t)(1 + rand() % 3);

			if (rand() % 2)
				vlan = FDB_ANY_VLAN;
			fdb_flush(f, port, vlan, false);
			for (unsigned int i = 0; i < KEYS; i++)
				if (!model[i].is_static && model[i].port == port &&
					(vlan == FDB_ANY_VLAN || 1 + i % 3 == vlan))
					model[i].there = false;
		} else if (op == 37) {
			limits[port] = (uint32_t)rand() % 30;
			while (model_learned(port) > limits[port])
				model_evict(port);
			fdb_limit_set(f, port, limits[port]);
		} else {
			model_compare(f);
		}
	}
	model_compare(f);
	fdb_destroy(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fdb");
	TCase *tc = tcase_create("fdb");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, fdb_refuses_impossible_numbers);
	tcase_add_test(tc, fdb_never_learns_group_or_zero_addresses);
	tcase_add_test(tc, fdb_moves_mac_to_new_port);
	tcase_add_test(tc, fdb_keeps_one_address_apart_in_two_vlans);
	tcase_add_test(tc, fdb_static_entry_neither_moves_nor_ages_nor_is_evicted);
	tcase_add_test(tc, fdb_full_of_static_entries_takes_no_more);
	tcase_add_test(tc, fdb_flood_of_addresses_evicts_only_the_flooder);
	tcase_add_test(tc, fdb_port_limit_evicts_the_longest_unseen);
	tcase_add_test(tc, fdb_holds_its_whole_capacity);
	tcase_add_test(tc, fdb_what_is_flushed_never_comes_back);
	tcase_add_loop_test(tc, fdb_does_as_a_plain_list_does, 0, 20);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
