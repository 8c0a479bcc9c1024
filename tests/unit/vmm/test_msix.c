// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "tests/fakes/irq_recorder.h"
#include "vmm/msi.h"

#define N         70u /* more than one word of pending bits */
#define ENABLE    0x8000u
#define FMASK     0x4000u
#define ADDR(cpu) (0xfee00000u | (cpu) << 12)

/* The owner of the device: what it was told, as VFIO would be. */
struct owner {
	unsigned int arms, disarms, count, fail_at;
	int fds[MSIX_MAX];
};

static struct irq_recorder rec;
static struct irq_router *router;
static struct owner own;

static int owner_arm(void *ctx, unsigned int count, const int *fds)
{
	struct owner *o = ctx;

	if (++o->arms == o->fail_at)
		return -EIO;
	o->count = count;
	memcpy(o->fds, fds, count * sizeof(*fds));
	return 0;
}

static void owner_disarm(void *ctx)
{
	struct owner *o = ctx;

	o->disarms++;
	o->count = 0;
}

static const struct msi_ops ops = {owner_arm, owner_disarm, &own};

static void setup(void)
{
	struct irq_backend be;

	log_level_set(LOG_LEVEL_ERROR);
	memset(&own, 0, sizeof(own));
	irq_recorder_init(&rec);
	be = irq_recorder_backend(&rec);
	ck_assert_int_eq(irq_router_create(&be, IRQ_RECORDER_GSIS, NULL, &router), 0);
}

static void teardown(void)
{
	/* The router asserts that all vectors are gone. */
	irq_router_destroy(router);
	ck_assert_uint_eq(rec.n_attached, 0);
	irq_recorder_finish(&rec);
}

static struct msix *table_new(unsigned int n)
{
	struct msix *m;

	ck_assert_int_eq(msix_create(router, 0x10, n, &ops, NULL, &m), 0);
	return m;
}

static void entry_message(struct msix *m, unsigned int i, uint32_t cpu, uint32_t data)
{
	msix_table_write(m, i * 16, 4, ADDR(cpu));
	msix_table_write(m, i * 16 + 4, 4, 0);
	msix_table_write(m, i * 16 + 8, 4, data);
}

static void entry_mask(struct msix *m, unsigned int i, bool on)
{
	msix_table_write(m, i * 16 + 12, 4, on);
}

static bool pending(struct msix *m, unsigned int i)
{
	return msix_pba_read(m, i / 64 * 8, 8) >> (i % 64) & 1;
}

/* ---- table ---- */

START_TEST(msix_refuses_impossible_sizes)
{
	struct msix *m = NULL;
	struct err e;

	ck_assert_int_eq(msix_create(router, 0, 0, NULL, &e, &m), -EINVAL);
	ck_assert_int_eq(msix_create(router, 0, MSIX_MAX + 1, NULL, &e, &m), -EINVAL);
	ck_assert_ptr_null(m);
	msix_destroy(NULL);
	m = table_new(MSIX_MAX);
	msix_destroy(m);
}
END_TEST

static const struct {
	uint64_t off;
	unsigned int len;
	bool works;
} access_cases[] = {
	{0, 4, true},
	{4, 4, true},
	{8, 4, true},
	{0, 8, true},
	{8, 8, true},
	{N * 16 - 4, 4, true},
	{N * 16 - 8, 8, true},
	{0, 1, false},
	{0, 2, false},
	{2, 4, false},
	{4, 8, false},
	{N * 16, 4, false},
	{N * 16, 8, false},
	{N * 16 - 4, 8, false},
	{UINT64_MAX - 3, 4, false},
	{UINT64_MAX - 7, 8, false},
};

/* PCIe leaves the others undefined; here they do nothing and never reach past the table. */
START_TEST(msix_table_takes_aligned_dwords_and_quadwords_only)
{
	struct msix *m = table_new(N);
	uint64_t ones = access_cases[_i].len == 8 ? UINT64_MAX : UINT32_MAX, want = ones;

	msix_table_write(m, access_cases[_i].off, access_cases[_i].len, ones);
	/* Of vector control only the mask bit exists. */
	if (access_cases[_i].off % 16 == 8 && access_cases[_i].len == 8)
		want = 0x1ffffffffull;
	if (access_cases[_i].off % 16 == 12)
		want = 1;
	ck_assert_uint_eq(msix_table_read(m, access_cases[_i].off, access_cases[_i].len),
		access_cases[_i].works ? want : 0);
	for (unsigned int i = 0; !access_cases[_i].works && i < N; i++) {
		ck_assert_uint_eq(msix_table_read(m, i * 16, 8), 0);
		ck_assert_uint_eq(msix_table_read(m, i * 16 + 8, 8), 1ull << 32);
	}
	msix_destroy(m);
}
END_TEST

/* A device with 2048 vectors of which the guest uses 3 must cost 3. */
START_TEST(msix_makes_vectors_at_first_unmask)
{
	struct msix *m = table_new(N);

	entry_message(m, 3, 0, 0x41);
	entry_mask(m, 3, false);
	ck_assert_uint_eq(own.arms, 0);
	msix_control(m, ENABLE | FMASK);
	ck_assert_uint_eq(own.arms, 1);
	ck_assert_uint_eq(own.count, N);
	ck_assert_int_eq(own.fds[3], -1);
	ck_assert_uint_eq(rec.calls, 0);
	msix_control(m, ENABLE);
	ck_assert_uint_eq(own.arms, 2);
	ck_assert_int_ge(own.fds[3], 0);
	ck_assert_int_eq(own.fds[2], -1);
	ck_assert_uint_eq(rec.n_attached, 1);
	ck_assert_int_eq(rec.attached[0].fd, own.fds[3]);
	ck_assert_uint_eq(rec.route[rec.attached[0].gsi].data, 0x41);
	entry_message(m, 7, 1, 0x42);
	ck_assert_uint_eq(own.arms, 2);
	entry_mask(m, 7, false);
	ck_assert_uint_eq(own.arms, 3);
	ck_assert_uint_eq(rec.n_attached, 2);
	msix_control(m, 0);
	ck_assert_uint_eq(own.disarms, 1);
	ck_assert_uint_eq(rec.n_attached, 0);
	/* The table survives, and enabling again starts what is unmasked with one arm call. */
	msix_control(m, ENABLE);
	ck_assert_uint_eq(own.arms, 4);
	ck_assert_uint_eq(rec.n_attached, 2);
	msix_destroy(m);
	ck_assert_uint_eq(own.disarms, 2);
}
END_TEST

/* Linux moves an interrupt by mask, three writes, unmask: each ioctl more is paid per move. */
START_TEST(msix_retarget_costs_two_irqfd_calls_and_one_commit)
{
	struct msix *m = table_new(N);

	msix_control(m, ENABLE);
	entry_message(m, 0, 0, 0x41);
	entry_mask(m, 0, false);
	irq_recorder_clear(&rec);
	entry_mask(m, 0, true);
	entry_message(m, 0, 1, 0x51);
	entry_mask(m, 0, false);
	ck_assert_uint_eq(rec.irqfd, 2);
	ck_assert_uint_le(rec.routes_set, 1);
	ck_assert_uint_eq(rec.n_attached, 1);
	ck_assert_uint_eq(rec.route[rec.attached[0].gsi].addr, ADDR(1));
	ck_assert_uint_eq(rec.route[rec.attached[0].gsi].data, 0x51);
	irq_recorder_clear(&rec);
	entry_mask(m, 0, true);
	entry_mask(m, 0, false);
	ck_assert_uint_eq(rec.routes_set, 0);
	ck_assert_uint_eq(own.arms, 2);
	msix_destroy(m);
}
END_TEST

/* Undefined by the specification; a careless guest still gets what it wrote last. */
START_TEST(msix_entry_may_be_written_while_unmasked)
{
	struct msix *m = table_new(N);

	msix_control(m, ENABLE);
	entry_message(m, 0, 0, 0x41);
	entry_mask(m, 0, false);
	entry_message(m, 0, 2, 0x61);
	ck_assert_uint_eq(rec.n_attached, 1);
	ck_assert_uint_eq(rec.route[rec.attached[0].gsi].addr, ADDR(2));
	ck_assert_uint_eq(rec.route[rec.attached[0].gsi].data, 0x61);
	/* Not an interrupt address: nothing may reach the kernel's table but 0xfeexxxxx. */
	msix_table_write(m, 0, 4, 0x12345678);
	msix_fire(m, 0);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 0);
	msix_destroy(m);
}
END_TEST

/* ---- looking ---- */

static void ck_shows(struct msix *m, unsigned int i, unsigned int cpu, unsigned int vector)
{
	struct irq_target t;
	struct msi_vector v;

	msix_snapshot(m, i, &v);
	ck_assert(v.vec.way.reaches && !v.vec.way.remapped);
	ck_assert_uint_eq(v.vec.way.msg.data, vector);
	t = irq_target_of(v.vec.way.out);
	ck_assert_uint_eq(t.dest, cpu);
	ck_assert_uint_eq(t.vector, vector);
}

/* Also what was never unmasked, or written since it was: it is told as it would arrive. */
START_TEST(msix_message_is_told_whatever_masks_it)
{
	struct msix *m = table_new(N);
	struct msi_vector v;

	entry_message(m, 3, 1, 0x41);
	ck_shows(m, 3, 1, 0x41);
	msix_control(m, ENABLE);
	ck_shows(m, 3, 1, 0x41);
	msix_snapshot(m, 3, &v);
	ck_assert(v.enabled && v.masked && !v.made && v.vec.gsi == -1);
	entry_mask(m, 3, false);
	ck_shows(m, 3, 1, 0x41);
	entry_mask(m, 3, true);
	entry_message(m, 3, 2, 0x52);
	ck_shows(m, 3, 2, 0x52);
	msix_snapshot(m, 3, &v);
	ck_assert(v.made && v.masked && v.vec.gsi >= 0);
	msix_control(m, 0);
	ck_shows(m, 3, 2, 0x52);
	/* As at power-on, and what is no interrupt: nobody is reached, and nobody is told in the log. */
	msix_snapshot(m, 4, &v);
	ck_assert(!v.vec.way.reaches && !v.vec.way.msg.addr);
	msix_table_write(m, 3 * 16, 4, 0x12345678);
	msix_snapshot(m, 3, &v);
	ck_assert(!v.vec.way.reaches);
	ck_assert_uint_eq(v.vec.way.msg.addr, 0x12345678);
	msix_destroy(m);
}
END_TEST

/* ---- masking and pending ---- */

enum quiet { BY_ENTRY, BY_FUNCTION, NEVER_USED };

/* An interrupt of the masked time is shown as pending and delivered once at the unmask. */
START_TEST(msix_masked_interrupt_is_pending_then_delivered)
{
	struct msix *m = table_new(N);
	unsigned int v = 66;

	msix_control(m, ENABLE);
	entry_message(m, v, 0, 0x41);
	if (_i != NEVER_USED)
		entry_mask(m, v, false);
	if (_i == BY_ENTRY)
		entry_mask(m, v, true);
	if (_i == BY_FUNCTION)
		msix_control(m, ENABLE | FMASK);
	ck_assert(!pending(m, v));
	msix_fire(m, v);
	msix_fire(m, v);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 0);
	ck_assert(pending(m, v));
	ck_assert(!pending(m, 65));
	ck_assert_uint_eq(msix_pba_read(m, 0, 8), 0);
	ck_assert_uint_eq(msix_pba_read(m, 8, 4), 1u << 2);
	ck_assert_uint_eq(msix_pba_read(m, 12, 4), 0);
	ck_assert_uint_eq(msix_pba_read(m, 16, 8), 0);
	ck_assert_uint_eq(msix_pba_read(m, 4, 8), 0);
	entry_mask(m, v, false);
	msix_control(m, ENABLE);
	irq_recorder_run(&rec);
	ck_assert(!pending(m, v));
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(rec.msi[0].data, 0x41);
	msix_destroy(m);
}
END_TEST

START_TEST(msix_fire_is_ignored_while_disabled_or_out_of_range)
{
	struct msix *m = table_new(N);

	msix_fire(m, 0);
	msix_control(m, ENABLE);
	msix_fire(m, N);
	msix_fire(m, UINT32_MAX);
	ck_assert_uint_eq(msix_pba_read(m, 0, 8), 0);
	msix_fire(m, 1);
	ck_assert(pending(m, 1));
	msix_control(m, 0);
	msix_control(m, ENABLE);
	ck_assert(!pending(m, 1));
	msix_destroy(m);
}
END_TEST

START_TEST(msix_reset_masks_and_forgets)
{
	struct msix *m = table_new(N);

	msix_control(m, ENABLE);
	entry_message(m, 0, 0, 0x41);
	entry_mask(m, 0, false);
	msix_fire(m, 1);
	msix_reset(m);
	ck_assert_uint_eq(own.disarms, 1);
	ck_assert_uint_eq(rec.n_attached, 0);
	ck_assert_uint_eq(msix_table_read(m, 0, 8), 0);
	ck_assert_uint_eq(msix_table_read(m, 8, 8), 1ull << 32);
	ck_assert_uint_eq(msix_pba_read(m, 0, 8), 0);
	msix_reset(m);
	ck_assert_uint_eq(own.disarms, 1);
	msix_destroy(m);
}
END_TEST

/* ---- failures ---- */

/* What VFIO refuses must not look unmasked to anyone, and the next try may succeed. */
START_TEST(msix_arm_failure_leaves_the_vector_masked)
{
	struct msix *m = table_new(N);

	msix_control(m, ENABLE);
	entry_message(m, 0, 0, 0x41);
	entry_message(m, 1, 0, 0x42);
	entry_mask(m, 0, false);
	own.fail_at = own.arms + 1;
	entry_mask(m, 1, false);
	ck_assert_uint_eq(msix_errors(m), 1);
	ck_assert_uint_eq(rec.n_attached, 1);
	ck_assert_int_eq(rec.attached[0].fd, own.fds[0]);
	entry_mask(m, 1, true);
	entry_mask(m, 1, false);
	ck_assert_uint_eq(rec.n_attached, 2);
	msix_control(m, 0);
	ck_assert_uint_eq(own.disarms, 1);
	msix_destroy(m);
}
END_TEST

/* The guest has given the old message away: another device may have it by now. */
START_TEST(msix_move_that_fails_does_not_raise_the_old_interrupt)
{
	struct msix *m = table_new(N);

	msix_control(m, ENABLE);
	entry_message(m, 0, 0, 0x41);
	entry_mask(m, 0, false);
	irq_recorder_clear(&rec);
	rec.fail_at = 1;
	msix_table_write(m, 8, 4, 0x51);
	ck_assert_uint_eq(msix_errors(m), 1);
	msix_fire(m, 0);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 0);
	msix_table_write(m, 8, 4, 0x51);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(rec.msi[0].data, 0x51);
	msix_destroy(m);
}
END_TEST

START_TEST(msi_move_that_fails_does_not_raise_the_old_interrupt)
{
	struct msi *m;

	ck_assert_int_eq(msi_create(router, 0x10, 1, &ops, NULL, &m), 0);
	msi_update(m, true, ADDR(0), 0x41, 1, 0);
	irq_recorder_clear(&rec);
	rec.fail_at = 1;
	msi_update(m, true, ADDR(0), 0x51, 1, 0);
	ck_assert_uint_eq(msi_errors(m), 1);
	msi_fire(m, 0);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 0);
	ck_assert_uint_eq(msi_pending(m), 1);
	msi_update(m, true, ADDR(0), 0x51, 1, 0);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(rec.msi[0].data, 0x51);
	msi_destroy(m);
}
END_TEST

/* Fails each call of the kernel in turn until one run meets no failure. */
START_TEST(msix_survives_every_kernel_failure)
{
	for (unsigned int at = 1;; at++) {
		struct msix *m = table_new(N);
		bool failed;

		irq_recorder_clear(&rec);
		rec.fail_at = at;
		msix_control(m, ENABLE | FMASK);
		for (unsigned int i = 0; i < 3; i++) {
			entry_message(m, i, i, 0x41 + i);
			entry_mask(m, i, false);
		}
		msix_control(m, ENABLE);
		entry_mask(m, 0, true);
		entry_message(m, 0, 4, 0x61);
		entry_mask(m, 0, false);
		entry_message(m, 1, 5, 0x62);
		failed = rec.calls >= at;
		rec.fail_at = 0;
		/* A further write brings everything in step again. */
		for (unsigned int i = 0; i < 3; i++) {
			entry_mask(m, i, true);
			entry_mask(m, i, false);
		}
		irq_recorder_run(&rec);
		ck_assert_uint_eq(rec.n_attached, 3);
		for (unsigned int i = 0; i < 3; i++) {
			rec.n_msi = 0;
			msix_fire(m, i);
			irq_recorder_run(&rec);
			ck_assert_uint_eq(rec.n_msi, 1);
			ck_assert_uint_eq(rec.msi[0].data, ((uint32_t[]){0x61, 0x62, 0x43})[i]);
		}
		msix_destroy(m);
		ck_assert_uint_eq(rec.n_attached, 0);
		if (!failed)
			break;
		ck_assert_uint_lt(at, 100);
	}
}
END_TEST

/* ---- MSI ---- */

static struct msi *msi_new(unsigned int n)
{
	struct msi *m;

	ck_assert_int_eq(msi_create(router, 0x10, n, &ops, NULL, &m), 0);
	return m;
}

START_TEST(msi_refuses_odd_counts)
{
	struct msi *m = NULL;

	ck_assert_int_eq(msi_create(router, 0, 0, NULL, NULL, &m), -EINVAL);
	ck_assert_int_eq(msi_create(router, 0, 3, NULL, NULL, &m), -EINVAL);
	ck_assert_int_eq(msi_create(router, 0, 64, NULL, NULL, &m), -EINVAL);
	ck_assert_ptr_null(m);
	msi_destroy(NULL);
}
END_TEST

START_TEST(msi_numbers_its_vectors_in_the_low_data_bits)
{
	struct msi *m = msi_new(8);

	msi_update(m, true, ADDR(1), 0x4f, 4, 0);
	ck_assert_uint_eq(own.arms, 1);
	ck_assert_uint_eq(own.count, 4);
	ck_assert_uint_eq(rec.n_attached, 4);
	for (unsigned int i = 0; i < 4; i++) {
		rec.n_msi = 0;
		msi_fire(m, i);
		irq_recorder_run(&rec);
		ck_assert_uint_eq(rec.n_msi, 1);
		ck_assert_uint_eq(rec.msi[0].data, 0x4c + i);
	}
	/* The device has 8, the guest gave it 4. */
	rec.n_msi = 0;
	msi_fire(m, 5);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.msi[0].data, 0x4d);
	msi_update(m, true, ADDR(1), 0x4f, 1, 0);
	ck_assert_uint_eq(own.count, 1);
	ck_assert_uint_eq(rec.n_attached, 1);
	msi_update(m, false, ADDR(1), 0x4f, 1, 0);
	ck_assert_uint_eq(own.arms, own.disarms);
	ck_assert_uint_eq(rec.n_attached, 0);
	msi_fire(m, 0);
	msi_destroy(m);
}
END_TEST

START_TEST(msi_masked_vector_is_pending)
{
	struct msi *m = msi_new(2);

	msi_update(m, true, ADDR(0), 0x40, 2, 2);
	msi_fire(m, 0);
	msi_fire(m, 1);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(msi_pending(m), 2);
	msi_update(m, true, ADDR(0), 0x40, 2, 0);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 2);
	ck_assert_uint_eq(msi_pending(m), 0);
	msi_reset(m);
	ck_assert_uint_eq(rec.n_attached, 0);
	msi_destroy(m);
}
END_TEST

/* The guest writes address and data one by one while enabled: only changes may cost a commit. */
START_TEST(msi_commits_only_changes)
{
	struct msi *m = msi_new(1);

	msi_update(m, true, ADDR(0), 0x40, 1, 0);
	irq_recorder_clear(&rec);
	msi_update(m, true, ADDR(0), 0x40, 1, 0);
	ck_assert_uint_eq(rec.calls, 0);
	msi_update(m, true, ADDR(1), 0x40, 1, 0);
	ck_assert_uint_eq(rec.routes_set, 1);
	ck_assert_uint_eq(rec.irqfd, 0);
	ck_assert_uint_eq(rec.route[rec.attached[0].gsi].addr, ADDR(1));
	msi_destroy(m);
}
END_TEST

START_TEST(msi_arm_failure_is_retried)
{
	struct msi *m = msi_new(2);

	own.fail_at = 1;
	msi_update(m, true, ADDR(0), 0x40, 2, 0);
	ck_assert_uint_eq(msi_errors(m), 2);
	ck_assert_uint_eq(rec.n_attached, 0);
	msi_fire(m, 0);
	msi_update(m, true, ADDR(0), 0x40, 2, 0);
	ck_assert_uint_eq(rec.n_attached, 2);
	msi_destroy(m);
	ck_assert_uint_eq(own.arms, own.disarms);
}
END_TEST

START_TEST(msi_survives_every_kernel_failure)
{
	for (unsigned int at = 1;; at++) {
		struct msi *m = msi_new(4);
		bool failed;

		irq_recorder_clear(&rec);
		rec.fail_at = at;
		msi_update(m, true, ADDR(0), 0x40, 4, 0);
		msi_update(m, true, ADDR(1), 0x50, 4, 5);
		msi_update(m, true, ADDR(1), 0x50, 4, 0);
		failed = rec.calls >= at;
		rec.fail_at = 0;
		msi_update(m, true, ADDR(1), 0x50, 4, 0);
		ck_assert_uint_eq(rec.n_attached, 4);
		rec.n_msi = 0;
		msi_fire(m, 3);
		irq_recorder_run(&rec);
		ck_assert_uint_eq(rec.n_msi, 1);
		ck_assert_uint_eq(rec.msi[0].addr, ADDR(1));
		ck_assert_uint_eq(rec.msi[0].data, 0x53);
		msi_destroy(m);
		ck_assert_uint_eq(rec.n_attached, 0);
		if (!failed)
			break;
		ck_assert_uint_lt(at, 100);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vmm-msix");
	TCase *t = tcase_create("msix");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, msix_refuses_impossible_sizes);
	tcase_add_loop_test(t, msix_table_takes_aligned_dwords_and_quadwords_only, 0,
		(int)ARRAY_SIZE(access_cases));
	tcase_add_test(t, msix_makes_vectors_at_first_unmask);
	tcase_add_test(t, msix_retarget_costs_two_irqfd_calls_and_one_commit);
	tcase_add_test(t, msix_entry_may_be_written_while_unmasked);
	tcase_add_test(t, msix_message_is_told_whatever_masks_it);
	tcase_add_loop_test(
		t, msix_masked_interrupt_is_pending_then_delivered, BY_ENTRY, NEVER_USED + 1);
	tcase_add_test(t, msix_fire_is_ignored_while_disabled_or_out_of_range);
	tcase_add_test(t, msix_reset_masks_and_forgets);
	tcase_add_test(t, msix_arm_failure_leaves_the_vector_masked);
	tcase_add_test(t, msix_move_that_fails_does_not_raise_the_old_interrupt);
	tcase_add_test(t, msi_move_that_fails_does_not_raise_the_old_interrupt);
	tcase_add_test(t, msix_survives_every_kernel_failure);
	tcase_add_test(t, msi_refuses_odd_counts);
	tcase_add_test(t, msi_numbers_its_vectors_in_the_low_data_bits);
	tcase_add_test(t, msi_masked_vector_is_pending);
	tcase_add_test(t, msi_commits_only_changes);
	tcase_add_test(t, msi_arm_failure_is_retried);
	tcase_add_test(t, msi_survives_every_kernel_failure);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
