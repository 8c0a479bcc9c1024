// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vmm/cpuid.h"

#define IDX KVM_CPUID_FLAG_SIGNIFCANT_INDEX

/* What a KVM on an Intel or an AMD host could answer, everything set that we must take out. */
static const struct kvm_cpuid_entry2 host_intel[] = {
	{.function = 0, .eax = 0x1f, .ebx = 0x756e6547},
	{.function = 1, .ebx = 0x3f400800, .ecx = UINT32_MAX, .edx = UINT32_MAX},
	{.function = 4, .index = 0, .flags = IDX, .eax = 0xfc1fc121},
	{.function = 4, .index = 3, .flags = IDX, .eax = 0xfc1fc163},
	{.function = 4, .index = 4, .flags = IDX, .eax = 0},
	{.function = 0xa, .eax = 0x07300404, .edx = 0x603},
	{.function = 0xb, .index = 0, .flags = IDX, .eax = 7, .ebx = 99, .edx = 63},
	{.function = 0x1f, .index = 0, .flags = IDX, .eax = 7, .ebx = 99, .edx = 63},
	{.function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b},
	{.function = 0x40000001, .eax = 0x01007efb},
	{.function = 0x80000001, .ecx = UINT32_MAX},
	{.function = 0x80000008, .eax = 0x302e, .ecx = 0},
};

static const struct kvm_cpuid_entry2 host_amd[] = {
	{.function = 0, .eax = 0xd, .ebx = 0x68747541},
	{.function = 1, .ebx = 0x3f400800, .ecx = UINT32_MAX, .edx = UINT32_MAX},
	{.function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b},
	{.function = 0x80000001, .ecx = UINT32_MAX},
	{.function = 0x80000008, .eax = 0x3030, .ecx = 0x703f},
	{.function = 0x8000000a, .eax = 1, .ebx = 8, .edx = 0xff},
	{.function = 0x8000001d, .index = 0, .flags = IDX, .eax = 0x4121},
	{.function = 0x8000001d, .index = 3, .flags = IDX, .eax = 0x1c163},
	{.function = 0x8000001e, .eax = 63, .ebx = 0x11f, .ecx = 0x301},
	{.function = 0x80000022, .eax = 1, .ebx = 6},
};

static struct kvm_cpuid2 *host_make(const struct kvm_cpuid_entry2 *v, uint32_t n)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + n * sizeof(*v));

	ck_assert_ptr_nonnull(c);
	c->nent = n;
	memcpy(c->entries, v, n * sizeof(*v));
	return c;
}

static struct kvm_cpuid2 *guest(bool amd, unsigned int cpus, uint32_t apic_id, uint32_t khz)
{
	struct cpuid_config cfg = {.cpus = cpus, .tsc_deadline = true, .tsc_khz = khz};
	_cleanup_free_ struct kvm_cpuid2 *host =
		amd ? host_make(host_amd, ARRAY_SIZE(host_amd))
		    : host_make(host_intel, ARRAY_SIZE(host_intel));
	struct kvm_cpuid2 *c = NULL;

	ck_assert_int_eq(cpuid_guest(host, &cfg, apic_id, NULL, &c), 0);
	return c;
}

static struct kvm_cpuid_entry2 leaf(const struct kvm_cpuid2 *c, uint32_t f, uint32_t i)
{
	const struct kvm_cpuid_entry2 *x = cpuid_find(c, f, i);

	ck_assert_msg(x != NULL, "leaf 0x%x.%u", f, i);
	return *x;
}

static const unsigned int cpu_counts[] = {1, 2, 3, 4, 5, 64, 255};

/* Both vendors: a guest that finds two answers for its topology trusts neither. */
START_TEST(cpuid_topology_leaves_agree)
{
	unsigned int cpus = cpu_counts[_i], shift;

	for (int amd = 0; amd < 2; amd++) {
		_cleanup_free_ struct kvm_cpuid2 *c = guest(amd, cpus, cpus - 1, 0);

		ck_assert_uint_eq(leaf(c, 1, 0).ebx >> 24, cpus - 1);
		ck_assert_uint_eq(leaf(c, 1, 0).ebx >> 16 & 0xff, cpus);
		ck_assert_uint_eq(leaf(c, 1, 0).ebx & 0xffff, 0x0800); /* CLFLUSH kept */
		ck_assert_uint_eq(leaf(c, 1, 0).edx >> 28 & 1, cpus > 1);
		ck_assert_uint_ge(leaf(c, 0, 0).eax, 0xb);
		ck_assert_uint_eq(leaf(c, 0xb, 0).ebx, 1);
		ck_assert_uint_eq(leaf(c, 0xb, 0).ecx, 0x100);
		ck_assert_uint_eq(leaf(c, 0xb, 1).ebx, cpus);
		ck_assert_uint_eq(leaf(c, 0xb, 1).ecx, 0x201);
		ck_assert_uint_eq(leaf(c, 0xb, 2).ebx, 0);
		for (uint32_t i = 0; i < 3; i++)
			ck_assert_uint_eq(leaf(c, 0xb, i).edx, cpus - 1);
		shift = leaf(c, 0xb, 1).eax;
		ck_assert_uint_ge(1u << shift, cpus);
		ck_assert(shift == 0 || 1u << (shift - 1) < cpus);
		if (amd) {
			ck_assert_uint_eq(leaf(c, 0x80000008, 0).ecx, (cpus - 1) | shift << 12);
			ck_assert_uint_eq(leaf(c, 0x8000001e, 0).eax, cpus - 1);
			ck_assert_uint_eq(leaf(c, 0x8000001e, 0).ebx, cpus - 1);
			ck_assert_uint_eq(leaf(c, 0x8000001e, 0).ecx, 0);
			ck_assert_uint_eq(leaf(c, 0x80000001, 0).ecx >> 1 & 1, cpus > 1);
			ck_assert_uint_eq(
				leaf(c, 0x8000001d, 3).eax >> 14 & 0xfff, (1u << shift) - 1);
			ck_assert_uint_eq(leaf(c, 0x8000001d, 0).eax >> 14 & 0xfff, 0);
		} else {
			ck_assert_uint_eq(leaf(c, 0x1f, 1).ebx, cpus);
			ck_assert_uint_eq(leaf(c, 4, 3).eax >> 14 & 0xfff, (1u << shift) - 1);
			ck_assert_uint_eq(leaf(c, 4, 0).eax >> 14 & 0xfff, 0);
			ck_assert_uint_eq(leaf(c, 4, 4).eax, 0);
		}
	}
}
END_TEST

START_TEST(cpuid_takes_out_what_we_do_not_offer)
{
	_cleanup_free_ struct kvm_cpuid2 *intel = guest(false, 2, 0, 0);
	_cleanup_free_ struct kvm_cpuid2 *amd = guest(true, 2, 0, 0);

	ck_assert_uint_eq(leaf(intel, 1, 0).ecx & (1u << 5 | 1u << 15 | 1u << 27), 0);
	ck_assert_uint_eq(leaf(intel, 0xa, 0).eax | leaf(intel, 0xa, 0).edx, 0);
	ck_assert_uint_eq(leaf(amd, 0x80000001, 0).ecx & (1u << 2 | 1u << 23 | 1u << 24), 0);
	ck_assert_uint_eq(leaf(amd, 0x8000000a, 0).edx, 0);
	ck_assert_uint_eq(leaf(amd, 0x80000022, 0).ebx, 0);
	ck_assert_uint_eq(leaf(amd, 1, 0).ecx >> 31, 1);
	ck_assert_uint_eq(leaf(amd, 1, 0).ecx >> 24 & 1, 1);
}
END_TEST

/* A guest that believes the frequency does not calibrate, and calibrating costs exits. */
START_TEST(cpuid_tells_the_tsc_frequency_when_kvm_knows_it)
{
	_cleanup_free_ struct kvm_cpuid2 *with = guest(false, 1, 0, 2600000);
	_cleanup_free_ struct kvm_cpuid2 *without = guest(false, 1, 0, 0);

	ck_assert_uint_eq(leaf(with, 0x40000000, 0).eax, 0x40000010);
	ck_assert_uint_eq(leaf(with, 0x40000010, 0).eax, 2600000);
	ck_assert_uint_eq(leaf(with, 0x40000010, 0).ebx, 1000000);
	ck_assert_uint_eq(leaf(with, 0x40000001, 0).eax, 0x01007efb);
	ck_assert_uint_eq(leaf(without, 0x40000000, 0).eax, 0x40000001);
	ck_assert_ptr_null(cpuid_find(without, 0x40000010, 0));
}
END_TEST

START_TEST(cpuid_phys_bits_are_sane_whatever_the_leaf_says)
{
	static const struct {
		uint32_t eax;
		unsigned int want;
	} cases[] = {{0x3030, 48}, {0x302e, 46}, {0, 36}, {0xff, 36}, {20, 36}, {52, 52}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kvm_cpuid_entry2 x = {.function = 0x80000008, .eax = cases[i].eax};
		_cleanup_free_ struct kvm_cpuid2 *c = host_make(&x, 1);

		ck_assert_uint_eq(cpuid_phys_bits(c), cases[i].want);
		c->nent = 0;
		ck_assert_uint_eq(cpuid_phys_bits(c), 36);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cpuid");
	TCase *t = tcase_create("cpuid");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, cpuid_topology_leaves_agree, 0, (int)ARRAY_SIZE(cpu_counts));
	tcase_add_test(t, cpuid_takes_out_what_we_do_not_offer);
	tcase_add_test(t, cpuid_tells_the_tsc_frequency_when_kvm_knows_it);
	tcase_add_test(t, cpuid_phys_bits_are_sane_whatever_the_leaf_says);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
