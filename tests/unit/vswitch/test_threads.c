// SPDX-License-Identifier: GPL-2.0-or-later
/* What several datapath threads share: the table, token buckets, decisions. For ThreadSanitizer too. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/forward.h"

#define THREADS 3
#define PORTS   4
#define KEYS    40
#define ROUNDS  300000

struct crew {
	struct fdb *fdb;
	struct forward *fw;
	struct meter meter;
	uint64_t now_ns; /* moves on as the threads do */
	uint64_t taken;
	uint32_t wrong;
	bool done;
};

struct hand {
	struct crew *crew;
	unsigned int no;
	uint32_t seed;
};

static uint32_t dice(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void crew_run(struct crew *c, void *(*work)(void *), void (*meanwhile)(struct crew *))
{
	struct hand hands[THREADS];
	pthread_t threads[THREADS];

	for (unsigned int i = 0; i < THREADS; i++) {
		hands[i] = (struct hand){c, i, i * 77 + 1};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &hands[i]), 0);
	}
	if (meanwhile)
		meanwhile(c);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void wrong(struct crew *c)
{
	__atomic_fetch_add(&c->wrong, 1, __ATOMIC_RELAXED);
}

static struct fdb *table(uint32_t capacity)
{
	const struct fdb_config cfg = {
		.capacity = capacity, .nr_ports = PORTS, .ageing_s = 3, .seed = 9};
	struct fdb *f;

	ck_assert_int_eq(fdb_create(&cfg, &f), 0);
	return f;
}

static uint64_t key(unsigned int i)
{
	return fdb_key(0x020000000000ull + i, 1);
}

/* Key i lives on port i % PORTS or the next one. */
static bool port_allowed(unsigned int i, uint16_t port)
{
	return port == i % PORTS || port == (i + 1) % PORTS;
}

static void *fdb_hammer(void *arg)
{
	struct hand *h = arg;

	for (unsigned int n = 0; n < ROUNDS; n++) {
		unsigned int i = dice(&h->seed) % KEYS;
		uint16_t port = fdb_lookup(h->crew->fdb, key(i));

		if (port != FDB_NO_PORT && !port_allowed(i, port))
			wrong(h->crew);
		if (dice(&h->seed) % 4 == 0)
			fdb_learn(h->crew->fdb, key(i),
				(uint16_t)((i + dice(&h->seed) % 2) % PORTS), n / 1000);
	}
	__atomic_store_n(&h->crew->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void fdb_control(struct crew *c)
{
	uint32_t seed = 5;

	for (uint32_t n = 0; !__atomic_load_n(&c->done, __ATOMIC_ACQUIRE); n++) {
		unsigned int i = dice(&seed) % KEYS;
		struct fdb_port_stats stats;
		struct fdb_entry e;
		size_t cursor = 0;

		switch (dice(&seed) % 8) {
		case 0: fdb_flush(c->fdb, (uint16_t)(i % PORTS), FDB_ANY_VLAN, false); break;
		case 1: fdb_flush(c->fdb, FDB_NO_PORT, 1, true); break;
		case 2: fdb_add_static(c->fdb, key(i), (uint16_t)(i % PORTS)); break;
		case 3: fdb_remove(c->fdb, key(i)); break;
		case 4: fdb_age(c->fdb, n / 100, 16); break;
		case 5: fdb_limit_set(c->fdb, (uint16_t)(i % PORTS), 20 + i); break;
		case 6: fdb_port_stats_get(c->fdb, (uint16_t)(i % PORTS), &stats); break;
		case 7:
			while (fdb_next(c->fdb, &cursor, &e))
				if (!port_allowed((unsigned int)(e.mac & 0xffff), e.port))
					wrong(c);
			break;
		}
		sched_yield();
	}
}

/* Small tables evict all the time, so that slots change hands. */
START_TEST(fdb_readers_never_see_another_keys_port)
{
	struct crew c = {.fdb = table(_i ? 4096 : 8)};
	uint32_t n = 0, sum = 0;
	struct fdb_entry e;
	size_t cursor = 0;

	crew_run(&c, fdb_hammer, fdb_control);
	ck_assert_uint_eq(c.wrong, 0);
	while (fdb_next(c.fdb, &cursor, &e)) {
		ck_assert_uint_eq(fdb_lookup(c.fdb, fdb_key(e.mac, e.vlan)), e.port);
		n++;
	}
	ck_assert_uint_eq(fdb_count(c.fdb), n);
	for (uint16_t p = 0; p < PORTS; p++) {
		struct fdb_port_stats stats;

		fdb_port_stats_get(c.fdb, p, &stats);
		sum += stats.entries;
	}
	ck_assert_uint_eq(sum, n);
	fdb_destroy(c.fdb);
}
END_TEST

static void *meter_hammer(void *arg)
{
	struct hand *h = arg;

	for (unsigned int n = 0; n < ROUNDS; n++) {
		uint64_t now = __atomic_fetch_add(&h->crew->now_ns, 700, __ATOMIC_RELAXED);

		if (meter_take_shared(&h->crew->meter, 1 + n % 3, now))
			__atomic_fetch_add(&h->crew->taken, 1 + n % 3, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* They want 2.9 units a microsecond and may have one. */
START_TEST(meter_of_several_threads_gives_its_rate_once)
{
	struct crew c = {0};
	uint64_t most;

	meter_init(&c.meter, 1000000, 50, 0);
	crew_run(&c, meter_hammer, NULL);
	most = c.now_ns / 1000 + 50;
	ck_assert_uint_le(c.taken, most);
	/* What does not fit is left in the bucket. */
	ck_assert_uint_ge(c.taken, most - 60);
}
END_TEST

static void frame_put(uint8_t *b, uint64_t dst, uint64_t src)
{
	for (unsigned int i = 0; i < 6; i++) {
		b[i] = (uint8_t)(dst >> (40 - 8 * i));
		b[6 + i] = (uint8_t)(src >> (40 - 8 * i));
	}
	b[12] = 0x88;
	b[13] = 0xb5;
}

/* Each thread is a port with stations of its own that write to those of the others. */
static void *forward_hammer(void *arg)
{
	struct hand *h = arg;
	struct forward_frame f[32];
	struct verdict v[32];
	uint8_t bytes[32][64];

	memset(bytes, 0, sizeof(bytes));
	for (unsigned int n = 0; n < ROUNDS / 32; n++) {
		uint64_t now = __atomic_fetch_add(&h->crew->now_ns, 1000000, __ATOMIC_RELAXED);

		for (unsigned int i = 0; i < 32; i++) {
			uint64_t to = dice(&h->seed) % THREADS << 8 | dice(&h->seed) % 50;

			frame_put(bytes[i], n % 5 ? 0x020000000000ull | to : 0xffffffffffffull,
				0x020000000000ull | h->no << 8 | dice(&h->seed) % 50);
			f[i] = (struct forward_frame){bytes[i], 64, 64, 64};
		}
		forward_decide(h->crew->fw, (uint16_t)h->no, f, 32, now, v);
		for (unsigned int i = 0; i < 32; i++)
			if (v[i].kind == VERDICT_PORT && v[i].port != bytes[i][4])
				wrong(h->crew);
			else if (v[i].kind == VERDICT_FLOOD && v[i].cast == FRAME_BROADCAST)
				__atomic_fetch_add(&h->crew->taken, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

START_TEST(forward_decides_for_several_threads_as_for_one)
{
	const struct fdb_config cfg = {
		.capacity = 128, .nr_ports = FORWARD_PORTS_MAX, .ageing_s = 1, .seed = 3};
	struct crew c = {0};

	ck_assert_int_eq(forward_create(&cfg, &c.fw), 0);
	c.fw->shared = true;
	for (unsigned int i = 0; i < THREADS; i++) {
		forward_port_init(&c.fw->ports[i]);
		meter_init(&c.fw->ports[i].police, 1u << 30, 1u << 30, 0);
		meter_init(&c.fw->ports[i].storm_broadcast, 1, 100, 0);
	}
	crew_run(&c, forward_hammer, NULL);
	ck_assert_uint_eq(c.wrong, 0);
	ck_assert_uint_ge(c.taken, THREADS * 100);
	ck_assert_uint_le(c.taken, THREADS * (101 + c.now_ns / 1000000000));
	forward_destroy(c.fw);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("threads");
	TCase *tc = tcase_create("threads");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, fdb_readers_never_see_another_keys_port, 0, 2);
	tcase_add_test(tc, meter_of_several_threads_gives_its_rate_once);
	tcase_add_test(tc, forward_decides_for_several_threads_as_for_one);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
