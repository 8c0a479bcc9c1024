// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vCPU and device threads at once: to be run under TSan, and checked for what must hold in any
 * order. Random choices come from a printed seed.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/irqremap/world.h"

#define ROUNDS  3000
#define VECTORS 4
#define THREADS 4

static struct ioapic *io;
static struct irq_vector *vectors[VECTORS];
static unsigned int seed;

static void on_eoi(void *ctx, unsigned int pin)
{
	ioapic_set(ctx, pin, false);
}

/* The driver of a device: raises its line and signals vectors. */
static void *device_thread(void *arg)
{
	unsigned int s = seed + 100 + (unsigned int)(uintptr_t)arg, i;

	for (i = 0; i < ROUNDS; i++) {
		ioapic_set(io, 8 + rand_r(&s) % 4, rand_r(&s) % 4 != 0);
		irq_vector_fire(vectors[rand_r(&s) % VECTORS]);
		if (i % 16 == 0)
			irq_recorder_run(&rec);
	}
	return NULL;
}

/* A vCPU: registers, EOIs, MSI-X table. */
static void *vcpu_thread(void *arg)
{
	unsigned int s = seed + (unsigned int)(uintptr_t)arg, i;
	struct irq_stats stats;

	for (i = 0; i < ROUNDS; i++) {
		unsigned int pin = 8 + rand_r(&s) % 4;
		struct irq_vector *v = vectors[rand_r(&s) % VECTORS];

		switch (rand_r(&s) % 8) {
		case 0: irq_vector_mask(v); break;
		case 1: ck_assert_int_eq(irq_vector_unmask(v, NULL), 0); break;
		case 2: ck_assert_int_eq(irq_vector_set(v, MSI(0x30 + i % 64), NULL), 0); break;
		case 3: irq_vector_pending(v); break;
		case 4:
			ioapic_write(io, 0, 4, 0x10 + 2 * pin);
			ioapic_write(io, 0x10, 4, 0x8030u + pin + (rand_r(&s) & 0x10000));
			break;
		case 5: ioapic_read(io, 0x10, 4); break;
		case 6: irq_router_stats(router, &stats); break;
		default: ioapic_eoi(io, (uint8_t)(0x30 + pin)); break;
		}
	}
	return NULL;
}

/* After the storm the pins still work and no signal is left behind. */
START_TEST(router_and_ioapic_stand_many_threads)
{
	pthread_t t[2 * THREADS];
	unsigned int i, pin;

	world_up();
	printf("seed %u\n", seed);
	ck_assert_int_eq(ioapic_create(router, 0xf0f8, NULL, &io), 0);
	for (i = 0; i < VECTORS; i++) {
		ck_assert_int_eq(irq_vector_create(router, RID, NULL, &vectors[i]), 0);
		ck_assert_int_eq(irq_vector_set(vectors[i], MSI(0x30), NULL), 0);
	}
	for (pin = 8; pin < 12; pin++)
		ioapic_on_eoi(io, pin, on_eoi, io);
	for (i = 0; i < THREADS; i++) {
		pthread_create(&t[2 * i], NULL, device_thread, (void *)(uintptr_t)i);
		pthread_create(&t[2 * i + 1], NULL, vcpu_thread, (void *)(uintptr_t)i);
	}
	for (i = 0; i < 2 * THREADS; i++)
		pthread_join(t[i], NULL);

	irq_recorder_run(&rec);
	for (i = 0; i < VECTORS; i++) {
		ck_assert_int_eq(irq_vector_unmask(vectors[i], NULL), 0);
		irq_vector_mask(vectors[i]);
		ck_assert(!irq_vector_pending(vectors[i]));
	}
	ck_assert_uint_eq(rec.n_attached, 0);
	for (pin = 8; pin < 12; pin++) {
		ioapic_write(io, 0, 4, 0x10 + 2 * pin);
		ioapic_write(io, 0x10, 4, 0x8030 + pin);
		ioapic_set(io, pin, false);
		ioapic_eoi(io, (uint8_t)(0x30 + pin));
		irq_recorder_clear(&rec);
		ioapic_set(io, pin, true);
		ck_calls(0, 0, 1);
		ck_assert_uint_eq(rec.route[pin].data, 0xc030 + pin);
	}
	for (i = 0; i < VECTORS; i++)
		irq_vector_destroy(vectors[i]);
	ioapic_destroy(io);
	world_down();
}
END_TEST

int main(void)
{
	const char *given = getenv("VIADUCT_TEST_SEED");
	Suite *s = suite_create("irqremap threads");
	TCase *t = tcase_create("threads");
	SRunner *sr;
	int failed;

	seed = given ? (unsigned int)strtoul(given, NULL, 0) : (unsigned int)time(NULL);
	tcase_add_test(t, router_and_ioapic_stand_many_threads);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
