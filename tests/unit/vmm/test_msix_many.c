// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tables of 2048 vectors: what many vectors at once cost the kernel, and what is left when it refuses.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/log.h"
#include "tests/fakes/irq_recorder.h"
#include "vmm/msi.h"

#define N      MSIX_MAX
#define FEW    12u /* for sweeps over every call */
#define ENABLE 0x8000u
#define FMASK  0x4000u

static struct irq_recorder *rec;
static struct irq_router *router;
static unsigned int arms;

static int owner_arm(void *ctx, unsigned int count, const int *fds)
{
	arms++;
	return 0;
}

static const struct msi_ops ops = {owner_arm, NULL, NULL};

static void setup(void)
{
	struct irq_backend be;
	struct rlimit l;

	/* As `viaduct run` does at its start. */
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &l), 0);
	l.rlim_cur = l.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
	log_level_set(LOG_LEVEL_ERROR);
	arms = 0;
	rec = malloc(sizeof(*rec));
	ck_assert_ptr_nonnull(rec);
	irq_recorder_init(rec);
	be = irq_recorder_backend(rec);
	ck_assert_int_eq(irq_router_create(&be, IRQ_RECORDER_GSIS, NULL, &router), 0);
}

static void teardown(void)
{
	irq_router_destroy(router);
	ck_assert_uint_eq(rec->n_attached, 0);
	irq_recorder_finish(rec);
	free(rec);
}

static struct msix *table_new(unsigned int n, uint16_t rid)
{
	struct msix *m;

	ck_assert_int_eq(msix_create(router, rid, n, &ops, NULL, &m), 0);
	return m;
}

static uint32_t data_of(unsigned int i)
{
	return 0x20 + i % 0xd0;
}

static uint64_t addr_of(unsigned int i, unsigned int shift)
{
	return 0xfee00000u | ((i / 0xd0 + shift) & 0xff) << 12;
}

static void entry_put(struct msix *m, unsigned int i, unsigned int shift, bool masked)
{
	msix_table_write(m, i * 16, 8, addr_of(i, shift));
	msix_table_write(m, i * 16 + 8, 8, (uint64_t)masked << 32 | data_of(i));
}

static void entries_put(struct msix *m, unsigned int n, unsigned int shift)
{
	for (unsigned int i = 0; i < n; i++)
		entry_put(m, i, shift, false);
}

static void ck_calls(unsigned int routes_set, unsigned int irqfd, unsigned int n_arms)
{
	ck_assert_uint_eq(rec->routes_set, routes_set);
	ck_assert_uint_eq(rec->irqfd, irqfd);
	ck_assert_uint_eq(arms, n_arms);
	irq_recorder_clear(rec);
	arms = 0;
}

/* Vectors [0, n) fire at once: each arrives at the target its entry names, once. */
static void ck_all_arrive(struct msix *m, unsigned int n, unsigned int shift)
{
	unsigned int seen[N] = {0};

	rec->n_msi = 0;
	for (unsigned int i = 0; i < n; i++)
		msix_fire(m, i);
	irq_recorder_run(rec);
	ck_assert_uint_eq(rec->n_msi, n);
	for (unsigned int k = 0; k < n; k++) {
		unsigned int cpu = rec->msi[k].addr >> 12 & 0xff;
		unsigned int i = (cpu - shift) * 0xd0 + rec->msi[k].data - 0x20;

		ck_assert_uint_lt(i, n);
		ck_assert_uint_eq(seen[i]++, 0);
	}
}

START_TEST(enable_of_2048_vectors_is_one_commit_and_one_arm)
{
	struct msix *m = table_new(N, 0x10);

	entries_put(m, N, 0);
	ck_calls(0, 0, 0);
	msix_control(m, ENABLE);
	ck_calls(1, N, 1);
	ck_assert_uint_eq(rec->n_routes, N);
	ck_all_arrive(m, N, 0);
	ck_assert_uint_eq(msix_errors(m), 0);
	irq_recorder_clear(rec);
	msix_control(m, 0);
	ck_calls(0, N, 0);
	/* The routes that went with them are overwritten by the next. */
	msix_control(m, ENABLE);
	ck_calls(1, N, 1);
	ck_assert_uint_eq(rec->n_routes, N);
	msix_reset(m);
	ck_calls(0, N, 0);
	msix_destroy(m);
}
END_TEST

START_TEST(function_mask_of_2048_vectors_costs_commits_only_for_what_moved)
{
	struct msix *m = table_new(N, 0x10);

	msix_control(m, ENABLE | FMASK);
	entries_put(m, N, 0);
	ck_calls(0, 0, 1);
	msix_control(m, ENABLE);
	ck_calls(1, N, 1);
	msix_control(m, ENABLE | FMASK);
	ck_calls(0, N, 0);
	msix_control(m, ENABLE);
	ck_calls(0, N, 0);
	msix_control(m, ENABLE | FMASK);
	entries_put(m, N, 1);
	irq_recorder_clear(rec);
	msix_control(m, ENABLE);
	ck_calls(1, N, 0);
	ck_all_arrive(m, N, 1);
	msix_destroy(m);
}
END_TEST

START_TEST(one_of_2048_vectors_costs_what_one_alone_does)
{
	struct msix *m = table_new(N, 0x10);

	entries_put(m, N, 0);
	msix_control(m, ENABLE);
	irq_recorder_clear(rec);
	arms = 0;
	entry_put(m, 77, 0, true);
	ck_calls(0, 1, 0);
	entry_put(m, 77, 0, false);
	ck_calls(0, 1, 0);
	/* A move without masking. */
	msix_table_write(m, 77 * 16, 4, addr_of(77, 9));
	ck_calls(1, 0, 0);
	msix_destroy(m);
}
END_TEST

/* 4096 routes, 24 of them the IOAPIC's, and two functions of 2048. */
START_TEST(vectors_beyond_the_routing_table_stay_masked_and_pending)
{
	struct msix *a = table_new(N, 0x10), *b = table_new(N, 0x18);
	unsigned int over = 2 * N + IRQ_IOAPIC_PINS - IRQ_RECORDER_GSIS, last = N - 1;
	struct irq_stats s;

	entries_put(a, N, 0);
	entries_put(b, N, 100);
	msix_control(a, ENABLE);
	ck_calls(1, N, 1);
	msix_control(b, ENABLE);
	ck_calls(1, N - over, 1);
	ck_assert_uint_eq(msix_errors(a), 0);
	ck_assert_uint_eq(msix_errors(b), over);
	irq_router_stats(router, &s);
	ck_assert_uint_eq(s.routes, IRQ_RECORDER_GSIS - IRQ_IOAPIC_PINS);
	ck_assert_uint_eq(s.refused, over);
	ck_all_arrive(a, N, 0);
	ck_all_arrive(b, N - over, 100);
	/* As of a masked vector: nothing arrives, and the pending bit shows it. */
	rec->n_msi = 0;
	msix_fire(b, last);
	irq_recorder_run(rec);
	ck_assert_uint_eq(rec->n_msi, 0);
	ck_assert_uint_eq(msix_pba_read(b, last / 64 * 8, 8), 1ull << 63);
	/* Room comes with the other function's end, and it is tried at the next write. */
	msix_control(a, 0);
	irq_recorder_clear(rec);
	msix_table_write(b, last * 16 + 12, 4, 0);
	ck_calls(1, 1, 0);
	ck_assert_uint_eq(rec->n_msi, 0);
	irq_recorder_run(rec);
	ck_assert_uint_eq(msix_pba_read(b, last / 64 * 8, 8), 0);
	msix_destroy(a);
	msix_destroy(b);
}
END_TEST

START_TEST(refused_commit_leaves_all_masked_and_nothing_in_the_kernel)
{
	struct msix *m = table_new(N, 0x10);
	struct irq_stats s;

	entries_put(m, N, 0);
	rec->fail_at = 1;
	rec->fail_errno = ENOMEM;
	msix_control(m, ENABLE);
	ck_calls(1, 0, 1);
	ck_assert_uint_eq(msix_errors(m), N);
	irq_router_stats(router, &s);
	ck_assert_uint_eq(s.routes, 0);
	msix_fire(m, 5);
	ck_assert_uint_eq(msix_pba_read(m, 0, 8), 1u << 5);
	rec->fail_at = 0;
	msix_control(m, ENABLE | FMASK);
	msix_control(m, ENABLE);
	ck_calls(1, N, 0);
	irq_recorder_run(rec);
	msix_destroy(m);
}
END_TEST

/* The move of many is refused: none may raise the interrupt it had before. */
START_TEST(refused_move_of_many_raises_no_old_interrupt)
{
	struct msi *m;

	ck_assert_int_eq(msi_create(router, 0x10, MSI_MAX, NULL, NULL, &m), 0);
	msi_update(m, true, 0xfee00000, 0x40, MSI_MAX, 0);
	ck_calls(1, MSI_MAX, 0);
	msi_update(m, true, 0xfee01000, 0x60, MSI_MAX, 0);
	ck_calls(1, 0, 0);
	rec->fail_at = 1;
	msi_update(m, true, 0xfee02000, 0x80, MSI_MAX, 0);
	ck_calls(1, MSI_MAX, 0);
	ck_assert_uint_eq(msi_errors(m), MSI_MAX);
	msi_fire(m, 3);
	irq_recorder_run(rec);
	ck_assert_uint_eq(rec->n_msi, 0);
	ck_assert_uint_eq(msi_pending(m), 1u << 3);
	rec->fail_at = 0;
	msi_update(m, true, 0xfee02000, 0x80, MSI_MAX, 0);
	irq_recorder_run(rec);
	ck_assert_uint_eq(rec->n_msi, 1);
	ck_assert_uint_eq(rec->msi[0].addr, 0xfee02000);
	ck_assert_uint_eq(rec->msi[0].data, 0x83);
	msi_destroy(m);
}
END_TEST

/* Enable, move, mask, unmask, disable. */
static void life(struct msix *m)
{
	entries_put(m, FEW, 0);
	msix_control(m, ENABLE);
	msix_control(m, ENABLE | FMASK);
	entries_put(m, FEW, 3);
	msix_control(m, ENABLE);
	entry_put(m, 2, 3, true);
	entry_put(m, 2, 7, false);
	entry_put(m, 2, 3, false);
}

START_TEST(any_refused_call_is_made_good_by_the_next_enable)
{
	for (unsigned int at = 1;; at++) {
		struct msix *m = table_new(FEW, 0x10);
		struct irq_stats s;
		bool met;

		irq_recorder_clear(rec);
		rec->fail_at = at;
		life(m);
		met = rec->calls >= at;
		rec->fail_at = 0;
		/* What the book has, KVM has: what is not unmasked now is in neither. */
		for (unsigned int i = 0; i < rec->n_attached; i++)
			ck_assert_uint_ne(rec->route[rec->attached[i].gsi].addr, 0);
		msix_control(m, ENABLE | FMASK);
		msix_control(m, ENABLE);
		ck_all_arrive(m, FEW, 3);
		irq_router_stats(router, &s);
		ck_assert_uint_eq(s.routes, FEW);
		ck_assert_uint_eq(rec->n_attached, FEW);
		msix_destroy(m);
		ck_assert_uint_eq(rec->n_attached, 0);
		irq_router_stats(router, &s);
		ck_assert_uint_eq(s.routes, 0);
		if (!met)
			break;
		ck_assert_uint_lt(at, 200);
	}
}
END_TEST

/* The table works as far as the descriptors go; the guest sees the rest masked. */
START_TEST(too_few_descriptors_cost_the_vectors_that_lack_one)
{
	struct msix *m = table_new(N, 0x10);
	struct rlimit old, l;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	l = old;
	l.rlim_cur = 1024;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
	entries_put(m, N, 0);
	msix_control(m, ENABLE);
	ck_assert_uint_gt(rec->n_attached, 900);
	ck_assert_uint_eq(msix_errors(m), N - rec->n_attached);
	ck_assert_uint_eq(rec->routes_set, 1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	msix_control(m, ENABLE | FMASK);
	msix_control(m, ENABLE);
	ck_assert_uint_eq(rec->n_attached, N);
	msix_destroy(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vmm-msix-many");
	TCase *t = tcase_create("many");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, enable_of_2048_vectors_is_one_commit_and_one_arm);
	tcase_add_test(t, function_mask_of_2048_vectors_costs_commits_only_for_what_moved);
	tcase_add_test(t, one_of_2048_vectors_costs_what_one_alone_does);
	tcase_add_test(t, vectors_beyond_the_routing_table_stay_masked_and_pending);
	tcase_add_test(t, refused_commit_leaves_all_masked_and_nothing_in_the_kernel);
	tcase_add_test(t, refused_move_of_many_raises_no_old_interrupt);
	tcase_add_test(t, any_refused_call_is_made_good_by_the_next_enable);
	tcase_add_test(t, too_few_descriptors_cost_the_vectors_that_lack_one);
	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
