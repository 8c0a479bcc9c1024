// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vmm/slots.h"

/* What KVM would hold, and which call it refuses. */
struct fake_kvm {
	struct kvm_userspace_memory_region slot[8];
	unsigned int calls, fail_at;
	int fail_with;
};

static int fake_set(void *ctx, const struct kvm_userspace_memory_region *r)
{
	struct fake_kvm *k = ctx;

	if (++k->calls == k->fail_at)
		return -k->fail_with;
	ck_assert_uint_lt(r->slot, ARRAY_SIZE(k->slot));
	k->slot[r->slot] = *r;
	return 0;
}

static unsigned int fake_used(const struct fake_kvm *k)
{
	unsigned int n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(k->slot); i++)
		n += k->slot[i].memory_size != 0;
	return n;
}

static struct fake_kvm kvm;
static struct slots *slots;
static void *const HVA = (void *)0x7f0000000000;

static void setup(void)
{
	struct slots_backend be = {.set = fake_set, .ctx = &kvm};

	memset(&kvm, 0, sizeof(kvm));
	ck_assert_int_eq(slots_create(&be, ARRAY_SIZE(kvm.slot), NULL, &slots), 0);
}

static void teardown(void)
{
	slots_destroy(slots);
	ck_assert_uint_eq(fake_used(&kvm), 0);
}

static const struct {
	uint64_t gpa, size, hva;
	int want;
} add_cases[] = {
	{0x2000, 0x1000, 0x1000, 0},
	{0xf000, 0x1000, 0x1000, 0},
	{0x14000, 0x1000, 0x1000, 0},
	{0x10000, 0x1000, 0x1000, -EEXIST},
	{0x13000, 0x1000, 0x1000, -EEXIST},
	{0xf000, 0x2000, 0x1000, -EEXIST},
	{0xf000, 0x10000, 0x1000, -EEXIST},
	{0x2000, 0, 0x1000, -EINVAL},
	{0x2001, 0x1000, 0x1000, -EINVAL},
	{0x2000, 0x1001, 0x1000, -EINVAL},
	{0x2000, 0x1000, 0x1010, -EINVAL},
	{0xfffffffffffff000, 0x2000, 0x1000, -EINVAL},
};

/* KVM takes some of these and then answers for the wrong page. The slot is [0x10000, 0x14000). */
START_TEST(slots_add_takes_whole_pages_that_are_free)
{
	unsigned int first, id = 99;
	struct err e = {0};

	ck_assert_int_eq(slots_add(slots, 0x10000, 0x4000, HVA, &e, &first), 0);
	ck_assert_int_eq(slots_add(slots, add_cases[_i].gpa, add_cases[_i].size,
				 (void *)(uintptr_t)add_cases[_i].hva, &e, &id),
		add_cases[_i].want);
	if (add_cases[_i].want == 0) {
		ck_assert_uint_ne(id, first);
		ck_assert_uint_eq(kvm.slot[id].guest_phys_addr, add_cases[_i].gpa);
	} else {
		ck_assert_uint_eq(id, 99);
		ck_assert_uint_eq(fake_used(&kvm), 1);
	}
}
END_TEST

/* A BAR moves thousands of times in a guest's life: ids must come back. */
START_TEST(slots_del_frees_the_slot_for_reuse)
{
	unsigned int id;

	for (unsigned int i = 0; i < 100; i++) {
		ck_assert_int_eq(slots_add(slots, 0x1000 * i, 0x1000, HVA, NULL, &id), 0);
		ck_assert_uint_eq(id, 0);
		slots_del(slots, id);
		slots_del(slots, id); /* twice is harmless */
		ck_assert_uint_eq(fake_used(&kvm), 0);
	}
	ck_assert_uint_eq(kvm.calls, 200);
}
END_TEST

START_TEST(slots_add_says_when_all_are_used)
{
	struct err e = {0};
	unsigned int id;

	for (unsigned int i = 0; i < ARRAY_SIZE(kvm.slot); i++)
		ck_assert_int_eq(slots_add(slots, 0x1000 * i, 0x1000, HVA, NULL, &id), 0);
	ck_assert_int_eq(slots_add(slots, 0x100000, 0x1000, HVA, &e, &id), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(e.text, "all 8 slots"));
}
END_TEST

/* A refused slot must not be remembered, or the next attempt would be told it overlaps. */
START_TEST(slots_add_forgets_what_the_kernel_refused)
{
	struct err e = {0};
	unsigned int id;

	kvm.fail_at = 1;
	kvm.fail_with = E2BIG;
	ck_assert_int_eq(slots_add(slots, 0x1000, 0x1000, HVA, &e, &id), -E2BIG);
	ck_assert_ptr_nonnull(strstr(e.text, "0x1000"));
	ck_assert_ptr_nonnull(strstr(e.text, strerror(E2BIG)));
	ck_assert_int_eq(slots_add(slots, 0x1000, 0x1000, HVA, &e, &id), 0);
	ck_assert_uint_eq(id, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("slots");
	TCase *t = tcase_create("slots");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(
		t, slots_add_takes_whole_pages_that_are_free, 0, (int)ARRAY_SIZE(add_cases));
	tcase_add_test(t, slots_del_frees_the_slot_for_reuse);
	tcase_add_test(t, slots_add_says_when_all_are_used);
	tcase_add_test(t, slots_add_forgets_what_the_kernel_refused);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
