// SPDX-License-Identifier: GPL-2.0-or-later
/* Vectors and the routing table, with the ioctls counted. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/irqremap/world.h"

static struct irq_vector *vector_new(struct irq_msi m)
{
	struct irq_vector *v = NULL;

	ck_assert_int_eq(irq_vector_create(router, RID, NULL, &v), 0);
	ck_assert_int_eq(irq_vector_set(v, m, NULL), 0);
	return v;
}

static uint64_t routes_now(void)
{
	struct irq_stats s;

	irq_router_stats(router, &s);
	return s.routes;
}

/* Guests make tables of 2048 entries and use three: unused ones must cost the kernel nothing. */
START_TEST(vector_takes_nothing_of_kvm_before_its_first_unmask)
{
	struct irq_vector *v = vector_new(MSI(0x31));

	ck_calls(0, 0, 0);
	ck_assert_uint_eq(routes_now(), 0);
	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	ck_calls(1, 1, 0);
	ck_assert_uint_eq(routes_now(), 1);
	ck_assert_uint_eq(rec.attached[0].gsi, IRQ_IOAPIC_PINS);
	ck_assert_int_eq(rec.attached[0].fd, irq_vector_fd(v));
	irq_vector_destroy(v);
	ck_calls(0, 1, 0);
	ck_assert_uint_eq(routes_now(), 0);
}
END_TEST

/* Linux masks and unmasks around every affinity change; each must cost one KVM_IRQFD. */
START_TEST(vector_mask_and_unmask_are_two_irqfd_calls_and_no_commit)
{
	struct irq_vector *v = vector_new(MSI(0x31));

	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	irq_recorder_clear(&rec);
	irq_vector_mask(v);
	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	ck_calls(0, 2, 0);
	/* and what is said twice costs nothing */
	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	irq_vector_mask(v);
	irq_vector_mask(v);
	ck_calls(0, 1, 0);
	irq_vector_destroy(v);
	ck_calls(0, 0, 0);
}
END_TEST

/* The irqfd stays attached: in no moment is there nobody to take a signal. */
START_TEST(vector_retarget_while_unmasked_is_exactly_one_commit)
{
	struct irq_vector *v = vector_new(MSI(0x31));

	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	irq_recorder_clear(&rec);
	ck_assert_int_eq(irq_vector_set(v, MSI(0x42), NULL), 0);
	ck_calls(1, 0, 0);
	ck_assert_int_eq(irq_vector_set(v, MSI(0x42), NULL), 0);
	ck_calls(0, 0, 0);
	irq_vector_fire(v);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(rec.msi[0].data, 0x42);
	irq_vector_destroy(v);
}
END_TEST

/* A refused message is not the vector's: setting it again must try again. */
START_TEST(vector_keeps_its_message_when_the_commit_is_refused)
{
	struct irq_vector *v = vector_new(MSI(0x31));

	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	irq_recorder_clear(&rec);
	rec.fail_at = 1;
	ck_assert_int_eq(irq_vector_set(v, MSI(0x42), NULL), -EIO);
	irq_vector_fire(v);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(rec.msi[0].data, 0x31);
	ck_assert_int_eq(irq_vector_set(v, MSI(0x42), NULL), 0);
	ck_assert_uint_eq(rec.route[24].data, 0x42);
	irq_vector_destroy(v);
}
END_TEST

START_TEST(vector_retarget_while_masked_waits_for_the_unmask)
{
	struct irq_vector *v = vector_new(MSI(0x31));

	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	irq_vector_mask(v);
	irq_recorder_clear(&rec);
	ck_assert_int_eq(irq_vector_set(v, (struct irq_msi){0xfee01000, 0x32}, NULL), 0);
	ck_assert_int_eq(irq_vector_set(v, (struct irq_msi){0xfee02000, 0x33}, NULL), 0);
	ck_calls(0, 0, 0);
	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	ck_calls(1, 1, 0);
	ck_assert_uint_eq(rec.route[24].addr, 0xfee02000);
	ck_assert_uint_eq(rec.route[24].data, 0x33);
	irq_vector_destroy(v);
}
END_TEST

/* PCI 3.0 §6.8.2.9: an interrupt of a masked vector is pending, and sent at the unmask. */
START_TEST(vector_signalled_while_masked_is_pending_then_delivered_once)
{
	struct irq_vector *v = vector_new(MSI(0x31));

	ck_assert(!irq_vector_pending(v));
	irq_vector_fire(v);
	irq_vector_fire(v);
	ck_assert(irq_vector_pending(v));
	ck_assert(irq_vector_pending(v));
	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	ck_assert(!irq_vector_pending(v));
	ck_assert_uint_eq(rec.n_msi, 1);
	irq_vector_mask(v);
	ck_assert(!irq_vector_pending(v));
	irq_vector_destroy(v);
}
END_TEST

/* KVM takes a signal at its leisure: the guest must never see it in the PBA. */
START_TEST(vector_is_never_pending_while_unmasked)
{
	struct irq_vector *v = vector_new(MSI(0x31));

	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	irq_vector_fire(v);
	ck_assert(!irq_vector_pending(v));
	irq_vector_clear(v);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 1);
	irq_vector_destroy(v);
}
END_TEST

START_TEST(vector_clear_forgets_what_was_signalled_while_masked)
{
	struct irq_vector *v = vector_new(MSI(0x31));

	irq_vector_fire(v);
	irq_vector_clear(v);
	ck_assert(!irq_vector_pending(v));
	irq_vector_clear(v);
	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	ck_assert_uint_eq(rec.n_msi, 0);
	irq_vector_destroy(v);
}
END_TEST

static const uint64_t not_msi[] = {
	0,
	0x1000,
	0xfed00000,
	0xfedfffff,
	0xfef00000,
	0x1fee00000,
	0xffffffff00000000,
	0xfee0000000000000,
	0xffffffffffffffff,
};

/*
 * KVM would take such a route and interrupt whoever bits 19:2 name; hardware writes to memory. The
 * recorder refuses the route, so a unit that passes one fails here.
 */
START_TEST(vector_with_an_address_that_is_no_interrupt_reaches_nobody)
{
	struct irq_msi bad = {not_msi[_i], 0x31};
	struct irq_vector *v = vector_new(bad);

	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	ck_calls(0, 0, 0);
	irq_vector_fire(v);
	ck_assert(!irq_vector_pending(v));
	/* what was signalled meanwhile went nowhere */
	ck_assert_int_eq(irq_vector_set(v, MSI(0x31), NULL), 0);
	ck_assert_uint_eq(rec.n_msi, 0);
	ck_calls(1, 1, 0);
	irq_vector_fire(v);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 1);
	/* and back: detached before the call returns */
	ck_assert_int_eq(irq_vector_set(v, bad, NULL), 0);
	ck_assert_uint_eq(rec.n_attached, 0);
	irq_vector_fire(v);
	irq_vector_mask(v);
	ck_assert(!irq_vector_pending(v));
	irq_vector_fire(v);
	ck_assert(irq_vector_pending(v));
	irq_vector_destroy(v);
}
END_TEST

START_TEST(router_send_ignores_an_address_that_is_no_interrupt)
{
	struct irq_stats s;

	ck_assert_int_eq(irq_router_send(router, RID, (struct irq_msi){not_msi[_i], 0x31}), 0);
	ck_calls(0, 0, 0);
	ck_assert_int_eq(irq_router_send(router, RID, MSI(0x31)), 1);
	rec.msi_result = 0;
	ck_assert_int_eq(irq_router_send(router, RID, MSI(0x31)), 0);
	rec.msi_result = -ENXIO;
	ck_assert_int_eq(irq_router_send(router, RID, MSI(0x31)), -ENXIO);
	irq_router_stats(router, &s);
	ck_assert_uint_eq(s.sent, 1);
}
END_TEST

/* The table holds few routes in this world: 24 pins and 3 more. */
START_TEST(vector_unmask_in_a_full_table_names_the_limit_and_the_function)
{
	struct irq_backend be = irq_recorder_backend(&rec);
	struct irq_router *small;
	struct irq_vector *v[4];
	struct err e = {0};
	int i;

	ck_assert_int_eq(irq_router_create(&be, 27, NULL, &small), 0);
	for (i = 0; i < 4; i++) {
		ck_assert_int_eq(irq_vector_create(small, RID, NULL, &v[i]), 0);
		ck_assert_int_eq(irq_vector_set(v[i], MSI(0x31 + i), NULL), 0);
		ck_assert_int_eq(irq_vector_unmask(v[i], &e), i < 3 ? 0 : -ENOSPC);
	}
	ck_assert_ptr_nonnull(strstr(e.text, "27"));
	ck_assert_ptr_nonnull(strstr(e.text, "01:01.0"));
	/* a GSI given back is the next one's, with the next one's route */
	irq_vector_destroy(v[1]);
	ck_assert_int_eq(irq_vector_unmask(v[3], NULL), 0);
	ck_assert_uint_eq(rec.route[25].data, 0x34);
	ck_assert_uint_eq(rec.n_routes, 3);
	irq_vector_destroy(v[0]);
	irq_vector_destroy(v[2]);
	irq_vector_destroy(v[3]);
	irq_vector_destroy(NULL);
	irq_router_destroy(small);
}
END_TEST

START_TEST(router_create_refuses_a_table_without_place_for_vectors)
{
	static const unsigned int bad[] = {0, 1, IRQ_IOAPIC_PINS, UINT32_MAX};
	struct irq_backend be = irq_recorder_backend(&rec);
	struct irq_router *r = NULL;

	ck_assert_int_eq(irq_router_create(&be, bad[_i], NULL, &r), -EINVAL);
	ck_assert_ptr_null(r);
	irq_router_destroy(r);
}
END_TEST

/* All 4072 GSIs an x86 KVM has for messages. */
START_TEST(router_serves_every_gsi_of_the_kernels_table)
{
	enum { N = 4096 - IRQ_IOAPIC_PINS };
	struct rlimit lim;
	struct irq_vector **v;
	unsigned int i, n;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	n = lim.rlim_max < N + 64 ? (unsigned int)lim.rlim_max - 64 : N;
	v = calloc(n, sizeof(struct irq_vector *));
	ck_assert_ptr_nonnull(v);
	for (i = 0; i < n; i++) {
		v[i] = vector_new((struct irq_msi){0xfee00000u + (i << 4), 0x31});
		ck_assert_int_eq(irq_vector_unmask(v[i], NULL), 0);
	}
	ck_assert_uint_eq(rec.n_routes, n);
	ck_assert_uint_eq(rec.route[23 + n].addr, 0xfee00000u + ((n - 1) << 4));
	while (n--)
		irq_vector_destroy(v[n]);
	free(v);
}
END_TEST

START_TEST(vector_create_reports_that_descriptors_ran_out)
{
	struct rlimit lim, none;
	struct irq_vector *v = NULL;
	struct err e = {0};
	int err, fd = open("/dev/null", O_RDONLY);

	getrlimit(RLIMIT_NOFILE, &lim);
	none = lim;
	none.rlim_cur = (rlim_t)fd + 1;
	setrlimit(RLIMIT_NOFILE, &none);
	err = irq_vector_create(router, RID, &e, &v);
	setrlimit(RLIMIT_NOFILE, &lim);
	close(fd);
	ck_assert_int_eq(err, -EMFILE);
	ck_assert_ptr_null(v);
	ck_assert_ptr_nonnull(strstr(e.text, "RLIMIT_NOFILE"));
}
END_TEST

/* The life of two vectors with every call the kernel can refuse. Returns the first error. */
static int life(struct irq_vector *a, struct irq_vector *b)
{
	struct err e = {0};
	int err;

	err = irq_vector_unmask(a, &e);
	if (!err)
		err = irq_vector_unmask(b, &e);
	if (!err)
		err = irq_vector_set(a, MSI(0x51), &e);
	irq_vector_mask(a);
	if (!err)
		err = irq_vector_set(a, MSI(0x61), &e);
	if (!err)
		err = irq_vector_unmask(a, &e);
	ck_assert_int_eq(err, -e.code);
	ck_assert_int_eq(err != 0, strstr(e.text, "01:01.0") != NULL);
	return err;
}

/* Whatever call the kernel refuses, afterwards book and kernel agree and all works again. */
START_TEST(vector_survives_the_refusal_of_any_call)
{
	unsigned int n;

	for (n = 1;; n++) {
		struct irq_vector *a = vector_new(MSI(0x31)), *b = vector_new(MSI(0x41));
		unsigned int calls;

		irq_recorder_clear(&rec);
		rec.fail_at = n;
		life(a, b);
		calls = rec.calls;
		rec.fail_at = 0;
		irq_recorder_clear(&rec);

		ck_assert_int_eq(irq_vector_set(a, MSI(0x71), NULL), 0);
		ck_assert_int_eq(irq_vector_unmask(a, NULL), 0);
		ck_assert_int_eq(irq_vector_unmask(b, NULL), 0);
		ck_assert_uint_eq(rec.n_attached, 2);
		ck_assert_uint_eq(routes_now(), 2);
		ck_assert_uint_eq(rec.n_routes, 2);
		irq_vector_fire(a);
		irq_recorder_run(&rec);
		ck_assert_uint_eq(rec.n_msi, 1);
		ck_assert_uint_eq(rec.msi[0].data, 0x71);
		irq_vector_destroy(a);
		irq_vector_destroy(b);
		ck_assert_uint_eq(rec.n_attached, 0);
		ck_assert_uint_eq(routes_now(), 0);
		if (calls < n)
			break;
	}
	ck_assert_uint_gt(n, 5);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("irqremap vectors");
	TCase *t = tcase_create("vector");

	tcase_add_checked_fixture(t, world_up, world_down);
	tcase_add_test(t, vector_takes_nothing_of_kvm_before_its_first_unmask);
	tcase_add_test(t, vector_mask_and_unmask_are_two_irqfd_calls_and_no_commit);
	tcase_add_test(t, vector_retarget_while_unmasked_is_exactly_one_commit);
	tcase_add_test(t, vector_keeps_its_message_when_the_commit_is_refused);
	tcase_add_test(t, vector_retarget_while_masked_waits_for_the_unmask);
	tcase_add_test(t, vector_signalled_while_masked_is_pending_then_delivered_once);
	tcase_add_test(t, vector_is_never_pending_while_unmasked);
	tcase_add_test(t, vector_clear_forgets_what_was_signalled_while_masked);
	tcase_add_loop_test(t, vector_with_an_address_that_is_no_interrupt_reaches_nobody, 0,
		sizeof(not_msi) / sizeof(not_msi[0]));
	tcase_add_loop_test(t, router_send_ignores_an_address_that_is_no_interrupt, 0,
		sizeof(not_msi) / sizeof(not_msi[0]));
	tcase_add_test(t, vector_unmask_in_a_full_table_names_the_limit_and_the_function);
	tcase_add_loop_test(t, router_create_refuses_a_table_without_place_for_vectors, 0, 4);
	tcase_add_test(t, router_serves_every_gsi_of_the_kernels_table);
	tcase_add_test(t, vector_create_reports_that_descriptors_ran_out);
	tcase_add_test(t, vector_survives_the_refusal_of_any_call);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	int failed;

	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
