// SPDX-License-Identifier: GPL-2.0-or-later
/* The tables are read back by offsets from the MP specification 1.4, not from mptable.c. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "irqremap/irqremap.h"
#include "vmm/layout.h"
#include "vmm/mptable.h"

#define MEMORY   (16ull << 20)
#define CPUS_MAX 300u

static struct gmem *mem;
static uint32_t ids[CPUS_MAX];

static void setup(void)
{
	ck_assert_int_eq(gmem_create(&(struct gmem_config){.size = MEMORY}, NULL, &mem), 0);
	for (unsigned int i = 0; i < CPUS_MAX; i++)
		ids[i] = i;
}

static void teardown(void)
{
	gmem_destroy(mem);
}

static unsigned int sum(const uint8_t *p, size_t len)
{
	unsigned int s = 0;

	while (len--)
		s += *p++;
	return s & 0xff;
}

/* The configuration table, by way of the pointer where a guest searches for it. */
static uint8_t *table(void)
{
	uint8_t *f = gmem_hva(mem, LAYOUT_EBDA, 16), *t;
	uint64_t gpa;

	ck_assert(memcmp(f, "_MP_", 4) == 0);
	ck_assert_uint_eq(f[8], 1); /* 16 bytes */
	ck_assert_uint_eq(f[9], 4);
	ck_assert_uint_eq(f[11], 0); /* a table, not a default configuration */
	ck_assert_uint_eq(sum(f, 16), 0);
	gpa = le_load(f + 4, 4);
	t = gmem_hva(mem, gpa, 44);
	ck_assert_ptr_nonnull(t);
	ck_assert(memcmp(t, "PCMP", 4) == 0);
	ck_assert_uint_le(gpa + le_load(t + 4, 2), 0xa0000);
	ck_assert_uint_eq(sum(t, le_load(t + 4, 2)), 0);
	ck_assert_uint_eq(le_load(t + 36, 4), LAYOUT_LAPIC);
	return t;
}

/* Walks the entries; @n counts them by type, @last is the last one of each. */
static void walk(uint8_t *t, unsigned int n[static 5], uint8_t *last[static 5])
{
	static const uint8_t size[5] = {20, 8, 8, 8, 8};
	uint8_t *p = t + 44, *end = t + le_load(t + 4, 2), type = 0;

	for (unsigned int i = 0; i < le_load(t + 34, 2); i++) {
		ck_assert_uint_ge(p[0], type); /* sorted */
		type = p[0];
		ck_assert_uint_lt(type, 5);
		n[type]++;
		last[type] = p;
		p += size[type];
	}
	ck_assert_ptr_eq(p, end);
}

/* A guest that believes a wrong table talks to the wrong pin. */
START_TEST(mptable_names_cpus_ioapic_and_com1)
{
	unsigned int n[5] = {0};
	uint8_t *last[5] = {NULL}, *t;

	ck_assert_int_eq(mptable_build(3, ids, mem, NULL), 0);
	t = table();
	walk(t, n, last);
	ck_assert_uint_eq(n[0], 3);
	ck_assert_uint_eq(t[44 + 3], 3);  /* enabled, boots */
	ck_assert_uint_eq(last[0][1], 2); /* APIC id */
	ck_assert_uint_eq(last[0][3], 1); /* enabled */
	ck_assert_uint_eq(n[1], 1);
	ck_assert(memcmp(last[1] + 2, "ISA   ", 6) == 0);
	ck_assert_uint_eq(n[2], 1);
	ck_assert_uint_eq(last[2][3], 1);
	ck_assert_uint_eq(le_load(last[2] + 4, 4), IOAPIC_BASE);
	ck_assert_uint_eq(n[3], 1);
	ck_assert_uint_eq(last[3][1], 0);
	ck_assert_uint_eq(last[3][5], LAYOUT_GSI_COM1);
	ck_assert_uint_eq(last[3][7], LAYOUT_GSI_COM1);
	ck_assert_uint_eq(n[4], 1);
	ck_assert_uint_eq(last[4][1], 1); /* NMI */
	ck_assert_uint_eq(last[4][7], 1); /* on LINT1 */
}
END_TEST

/* Many processors must not run over the end of low memory, nor an id over its byte. */
START_TEST(mptable_keeps_to_what_fits)
{
	static const struct {
		unsigned int cpus, first, wanted;
	} cases[] = {{1, 0, 1}, {40, 0, 40}, {41, 0, 40}, {300, 0, 40}, {20, 250, 5}};
	uint8_t *beyond = gmem_hva(mem, 0xa0000, 16);

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		unsigned int n[5] = {0};
		uint8_t *last[5] = {NULL};

		memset(beyond, 0x5a, 16);
		ck_assert_int_eq(mptable_build(cases[i].cpus, ids + cases[i].first, mem, NULL), 0);
		walk(table(), n, last);
		ck_assert_uint_eq(n[0], cases[i].wanted);
		ck_assert_uint_eq(beyond[0], 0x5a);
	}
}
END_TEST

START_TEST(mptable_needs_low_memory)
{
	struct err e = {0};
	struct gmem *tiny;

	ck_assert_int_eq(gmem_create(&(struct gmem_config){.size = 0x80000}, NULL, &tiny), 0);
	ck_assert_int_eq(mptable_build(1, ids, tiny, &e), -EFAULT);
	ck_assert_ptr_nonnull(strstr(e.text, "MP tables"));
	gmem_destroy(tiny);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mptable");
	TCase *t = tcase_create("mptable");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, mptable_names_cpus_ioapic_and_com1);
	tcase_add_test(t, mptable_keeps_to_what_fits);
	tcase_add_test(t, mptable_needs_low_memory);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
