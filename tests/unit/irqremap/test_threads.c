// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vCPU and device threads at once: to be run under TSan, and checked for what must hold in any
 * order. Random choices come from a printed seed.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/bytes.h"
#include "irqremap/vtd.h"
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

/* ---- with the guest's remapping unit ---- */

#define MEM     0x4000u
#define QUEUE   0x2000u /* behind two tables of 256 entries */
#define VECTOR0 0x60u   /* what tables say; requests and pins say others */

static struct vtd *vtd;
static uint8_t mem[MEM];
static pthread_mutex_t mem_lock = PTHREAD_MUTEX_INITIALIZER;

static int mem_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	if (gpa >= MEM || len > MEM - gpa)
		return -EFAULT;
	pthread_mutex_lock(&mem_lock);
	memcpy(buf, mem + gpa, len);
	pthread_mutex_unlock(&mem_lock);
	return 0;
}

static int mem_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
	return -EFAULT;
}

static void table_put(unsigned int table, unsigned int first, unsigned int vector, bool present)
{
	pthread_mutex_lock(&mem_lock);
	for (unsigned int i = 0; i < 16; i++) {
		uint8_t *at = mem + 0x1000 * table + 16 * (first + i);

		le_store(at, 8, present | (i >= 8) << 4 | (uint64_t)(vector + i) << 16);
		le_store(at + 8, 8, 0);
	}
	pthread_mutex_unlock(&mem_lock);
}

static void invalidate(void)
{
	uint32_t tail = (uint32_t)vtd_read(vtd, 0x88, 4);

	pthread_mutex_lock(&mem_lock);
	le_store(mem + QUEUE + tail, 8, 4);
	le_store(mem + QUEUE + tail + 8, 8, 0);
	pthread_mutex_unlock(&mem_lock);
	vtd_write(vtd, 0x88, 4, (tail + 16) % 4096);
}

static struct irq_msi request(unsigned int index)
{
	return (struct irq_msi){0xfee00010u | index << 5, 0};
}

/* A driver that makes another table the one, or changes it, or forbids what it allowed. */
static void *driver_thread(void *arg)
{
	unsigned int s = seed + 999;

	for (unsigned int i = 0; i < ROUNDS / 4; i++) {
		unsigned int table = (i + 1) % 2;

		table_put(table, 0, 0xe0, true); /* not the one, so nobody may see it */
		vtd_write(vtd, 0xb8, 8, (0x1000 * table) | 7);
		(void)irq_router_send(router, RID, request(i % 8));
		table_put(table, 0, VECTOR0 + 16 * (rand_r(&s) % 4), rand_r(&s) % 4 != 0);
		vtd_write(vtd, 0x18, 4, 1u << 26 | 1u << 25 | 1u << 24);
		invalidate();
		table_put(!table, 0, 0xf0, true);
		/* Faults come all the time: take them, as a driver does. */
		for (unsigned int r = 0; r < 8; r++)
			vtd_write(vtd, 0x22c + 16 * r, 4, 1u << 31);
		vtd_write(vtd, 0x34, 4, 1);
	}
	return NULL;
}

static void *remapped_thread(void *arg)
{
	unsigned int s = seed + (unsigned int)(uintptr_t)arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int pin = 8 + rand_r(&s) % 4;
		struct irq_vector *v = vectors[rand_r(&s) % VECTORS];

		switch (rand_r(&s) % 8) {
		case 0: irq_vector_mask(v); break;
		case 1: ck_assert_int_eq(irq_vector_unmask(v, NULL), 0); break;
		case 2:
			ck_assert_int_eq(irq_vector_set(v, request(rand_r(&s) % 8), NULL), 0);
			break;
		case 3: ioapic_write(io, 0x40, 4, pin); break;
		case 4: ioapic_set(io, pin, rand_r(&s) % 2); break;
		case 5: irq_recorder_run(&rec); break;
		case 6: (void)irq_router_send(router, RID, request(rand_r(&s) % 8)); break;
		default: irq_vector_fire(v); break;
		}
	}
	return NULL;
}

/* Only what a table that was the one has said was sent, and after the storm all goes its way. */
START_TEST(unit_stands_many_threads)
{
	const struct vtd_memory m = {mem_read, mem_write, NULL};
	pthread_t t[THREADS + 1];

	world_up();
	printf("seed %u\n", seed);
	ck_assert_int_eq(vtd_create(router, &m, NULL, &vtd), 0);
	ck_assert_int_eq(ioapic_create(router, 0xf0f8, NULL, &io), 0);
	table_put(0, 0, VECTOR0, true);
	vtd_write(vtd, 0x90, 8, QUEUE);
	vtd_write(vtd, 0xb8, 8, 7);
	vtd_write(vtd, 0x18, 4, 1u << 26 | 1u << 24);
	vtd_write(vtd, 0x18, 4, 1u << 26 | 1u << 25);
	for (unsigned int i = 0; i < VECTORS; i++) {
		ck_assert_int_eq(irq_vector_create(router, RID, NULL, &vectors[i]), 0);
		ck_assert_int_eq(irq_vector_set(vectors[i], request(i), NULL), 0);
	}
	/* Pins 8 to 11 are entries 8 to 11, level, as Linux has them. */
	for (unsigned int pin = 8; pin < 12; pin++) {
		ioapic_write(io, 0, 4, 0x11 + 2 * pin);
		ioapic_write(io, 0x10, 4, pin << 17 | 1 << 16);
		ioapic_write(io, 0, 4, 0x10 + 2 * pin);
		ioapic_write(io, 0x10, 4, 0x8000 | pin);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, remapped_thread, (void *)(uintptr_t)i);
	pthread_create(&t[THREADS], NULL, driver_thread, NULL);
	for (unsigned int i = 0; i <= THREADS; i++)
		pthread_join(t[i], NULL);
	for (unsigned int i = 0; i < rec.n_msi && i < IRQ_RECORDER_MSIS; i++) {
		unsigned int vector = rec.msi[i].data & 0xff;

		ck_assert_msg(vector >= VECTOR0 && vector < VECTOR0 + 64, "vector %#x", vector);
	}
	table_put(0, 0, VECTOR0, true);
	vtd_write(vtd, 0xb8, 8, 7);
	vtd_write(vtd, 0x18, 4, 1u << 26 | 1u << 25 | 1u << 24);
	invalidate();
	irq_recorder_run(&rec);
	for (unsigned int i = 0; i < VECTORS; i++) {
		irq_vector_mask(vectors[i]);
		irq_vector_clear(vectors[i]);
		ck_assert_int_eq(irq_vector_set(vectors[i], request(i), NULL), 0);
		ck_assert_int_eq(irq_vector_unmask(vectors[i], NULL), 0);
		irq_recorder_clear(&rec);
		irq_vector_fire(vectors[i]);
		irq_recorder_run(&rec);
		ck_assert_uint_eq(rec.n_msi, 1);
		ck_assert_uint_eq(rec.msi[0].data, 0x4000 + VECTOR0 + i);
	}
	for (unsigned int pin = 8; pin < 12; pin++) {
		ioapic_set(io, pin, false);
		ioapic_write(io, 0x40, 4, pin);
		irq_recorder_clear(&rec);
		ioapic_set(io, pin, true);
		ck_assert_uint_eq(rec.n_msi, 1);
		ck_assert_uint_eq(rec.msi[0].data, 0xc000 + VECTOR0 + pin);
	}
	for (unsigned int i = 0; i < VECTORS; i++)
		irq_vector_destroy(vectors[i]);
	ioapic_destroy(io);
	vtd_destroy(vtd);
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
	tcase_add_test(t, unit_stands_many_threads);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
