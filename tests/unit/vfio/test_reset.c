// SPDX-License-Identifier: GPL-2.0-or-later
/* Which reset a device gets: at open, when asked, and at close. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vfio/world.h"
#include "vfio/internal.h"

#define VF_A "0000:01:10.0"
#define VF_B "0000:01:10.2"
#define NIC  "0000:02:00.0"

static struct world w;
static struct ioas *io;
static struct err e;

static void setup(void)
{
	memset(&w, 0, sizeof(w));
	memset(&e, 0, sizeof(e));
	io = NULL;
	world_init(&w);
	ck_assert_int_eq(ioas_create_type1(&w.k.sys, &e, &io), 0);
}

static void teardown(void)
{
	ioas_destroy(io);
	ck_assert(!vfio_kernel_leaks(&w.k));
	world_finish(&w);
}

static struct vdev *opened(const char *bdf)
{
	struct vdev *d = NULL;
	int r = vdev_open(io, &w.sysfs, world_bdf(bdf), NULL, &e, &d);

	ck_assert_msg(r == 0, "open %s: %s", bdf, e.text);
	return d;
}

static struct fk_device *device(const char *bdf)
{
	return world_device(&w, bdf);
}

static void fails(const char *call, int code, unsigned int times)
{
	w.k.fail_name = call;
	w.k.fail_errno = code;
	w.k.fail_times = times;
}

#define assert_text(want) ck_assert_msg(strstr(e.text, want), "\"%s\" lacks \"%s\"", e.text, want)

START_TEST(vdev_reset_is_refused_without_a_method)
{
	struct vdev *d;

	device(VF_A)->flags = VFIO_DEVICE_FLAGS_PCI;
	device(VF_A)->root_bus = true;
	d = opened(VF_A);
	ck_assert(!vdev_can_reset(d));
	ck_assert_int_eq(vdev_reset(d, true, &e), -EOPNOTSUPP);
	vdev_close(d);
	ck_assert_uint_eq(device(VF_A)->resets + device(VF_A)->hot_resets, 0);
	d = opened(VF_B);
	ck_assert_uint_eq(device(VF_B)->resets, 1); /* the kernel's own */
	ck_assert_int_eq(vdev_reset(d, true, &e), 0);
	ck_assert_uint_eq(device(VF_B)->resets, 2);
	vdev_close(d);
	ck_assert_uint_ge(device(VF_B)->resets, 3);
}
END_TEST

static const struct {
	int code;
	unsigned int times;
	int want;
	const char *text;
} reset_cases[] = {
	{EIO, 1, -EIO, "VFIO_DEVICE_RESET"},
	{EAGAIN, 3, 0, ""},
	{EAGAIN, 1000, -EAGAIN, "locked by another reset"},
};

START_TEST(vdev_reset_waits_out_a_lock_but_not_for_ever)
{
	struct vdev *d = opened(VF_A);

	w.k.fail_name = "RESET";
	w.k.fail_errno = reset_cases[_i].code;
	w.k.fail_times = reset_cases[_i].times;
	ck_assert_int_eq(vdev_reset(d, true, &e), reset_cases[_i].want);
	assert_text(reset_cases[_i].text);
	ck_assert_uint_le(w.k.pauses, 20);
	vdev_close(d);
}
END_TEST

/* ---- reset_method, as Linux 5.15 and later write it ---- */

static const struct {
	const char *methods;
	unsigned int neighbours;
	bool root_bus;
	/* Of the open: resets by the bus, and through VFIO_DEVICE_RESET beside the kernel's own. */
	unsigned int hot, own;
} method_cases[] = {
	{"flr pm bus\n", 0, false, 0, 0},
	{"flr\n", 0, false, 0, 0},
	{"device_specific pm bus\n", 0, false, 0, 0},
	{"bus\n", 0, false, 0, 0},
	{"pm bus\n", 0, false, 1, 0},
	{"pm\n", 0, false, 1, 0},
	{"pm", 0, false, 1, 0},
	/* Not alone: nothing else may be met. */
	{"pm\n", 1, false, 0, 1},
	{"pm\n", 200, false, 0, 1},
	{"pm\n", 0, true, 0, 1},
	/* No text a kernel writes. */
	{"", 0, false, 0, 0},
	{"\n", 0, false, 0, 0},
	{"pmx bus\n", 0, false, 0, 0},
	{"PM\n", 0, false, 0, 0},
	{NULL, 0, false, 0, 0},
};

START_TEST(vdev_open_does_not_trust_the_way_through_d3hot)
{
	struct fk_device *k = device(NIC);
	struct vdev *d;

	if (method_cases[_i].methods)
		world_write(
			&w, "sys/bus/pci/devices/" NIC "/reset_method", method_cases[_i].methods);
	k->neighbours = method_cases[_i].neighbours;
	k->root_bus = method_cases[_i].root_bus;
	d = opened(NIC);
	ck_assert_uint_eq(k->hot_resets, method_cases[_i].hot);
	ck_assert_uint_eq(k->resets, 1 + method_cases[_i].own);

	ck_assert_int_eq(vdev_reset(d, true, &e), 0);
	ck_assert_uint_eq(k->hot_resets, 2 * method_cases[_i].hot);
	vdev_close(d);
	ck_assert_uint_eq(k->hot_resets, 3 * method_cases[_i].hot);
}
END_TEST

static void weak(void)
{
	world_write(&w, "sys/bus/pci/devices/" NIC "/reset_method", "pm bus\n");
}

START_TEST(a_function_without_a_reset_of_its_own_is_reset_by_its_bus)
{
	struct vdev *d;

	device(NIC)->flags = VFIO_DEVICE_FLAGS_PCI;
	d = opened(NIC);
	ck_assert(vdev_can_reset(d));
	ck_assert_uint_eq(device(NIC)->hot_resets, 1);
	ck_assert_int_eq(vdev_reset(d, false, &e), 0);
	vdev_close(d);
	ck_assert_uint_eq(device(NIC)->hot_resets, 3);
	ck_assert_uint_eq(device(NIC)->resets, 0);
}
END_TEST

/* A and B share a group and a bus, as two NICs behind one conventional bridge do. */
START_TEST(two_functions_of_one_bus_are_reset_together_or_not_at_all)
{
	struct fk_device *a = device(VF_A), *b = device(VF_B);
	struct vdev *da, *db;

	a->flags = b->flags = VFIO_DEVICE_FLAGS_PCI;
	da = opened(VF_A);
	ck_assert_uint_eq(a->hot_resets, 1); /* B is nobody's */
	db = opened(VF_B);
	ck_assert_uint_eq(b->hot_resets, 1); /* with A, a moment ago */
	ck_assert_int_eq(vdev_reset(da, false, &e), -EOPNOTSUPP);
	assert_text(VF_A);
	ck_assert_uint_eq(b->hot_resets, 1);
	/* The whole machine is. */
	ck_assert_int_eq(vdev_reset(da, true, &e), 0);
	ck_assert_int_eq(vdev_reset(db, true, &e), 0);
	ck_assert_uint_eq(a->hot_resets, 3);
	ck_assert_uint_eq(b->hot_resets, 3);
	/* One is unplugged, the other goes on. */
	vdev_close_wanted(da);
	ck_assert_uint_eq(b->hot_resets, 3);
	ck_assert_int_eq(vdev_reset(db, false, &e), 0);
	da = opened(VF_A);
	ck_assert_uint_eq(b->hot_resets, 4);
	vdev_close(db);
	ck_assert_uint_eq(a->hot_resets, 4);
	vdev_close(da);
	ck_assert_uint_eq(a->hot_resets, 5);
	ck_assert_uint_eq(a->resets + b->resets, 0);
}
END_TEST

START_TEST(functions_of_a_bus_in_two_groups_are_reset_when_both_are_ours)
{
	struct fk_device *a = device(VF_A), *b = device(VF_B);
	struct vdev *da, *db;

	vfio_kernel_group(&w.k, 5);
	a->flags = b->flags = VFIO_DEVICE_FLAGS_PCI;
	world_link(&w, "sys/bus/pci/devices/" VF_B "/iommu_group",
		"../../../../kernel/iommu_groups/5");
	b->group = 5;
	da = opened(VF_A);
	ck_assert_uint_eq(a->hot_resets, 0); /* group 5 is not */
	ck_assert(!vdev_can_reset(da));
	db = opened(VF_B);
	ck_assert_int_eq(vdev_reset(da, true, &e), 0);
	ck_assert_uint_eq(a->hot_resets, 1);
	ck_assert_uint_eq(b->hot_resets, 1);
	vdev_close(da);
	vdev_close(db);
	ck_assert_uint_eq(b->hot_resets, 1);
}
END_TEST

START_TEST(a_neighbour_that_comes_later_is_not_met)
{
	struct vdev *d;

	weak();
	d = opened(NIC);
	device(NIC)->neighbours = 1;
	ck_assert_int_eq(vdev_reset(d, true, &e), 0);
	ck_assert_uint_eq(device(NIC)->hot_resets, 1);
	ck_assert_uint_eq(device(NIC)->resets, 2);
	vdev_close(d);
	ck_assert_uint_eq(device(NIC)->hot_resets, 1);
}
END_TEST

START_TEST(a_kernel_that_contradicts_itself_leaves_the_devices_own_way)
{
	struct vdev *d;

	weak();
	device(NIC)->met = _i;
	d = opened(NIC);
	ck_assert_int_eq(vdev_reset(d, true, &e), 0);
	ck_assert_uint_eq(device(NIC)->hot_resets, _i == FK_HONEST ? 2 : 0);
	ck_assert_uint_eq(device(NIC)->resets, _i == FK_HONEST ? 1 : 3);
	vdev_close(d);
}
END_TEST

static const struct {
	int code;
	unsigned int times;
	int want;
	unsigned int hot, own; /* of one vdev_reset() */
} hot_cases[] = {
	{EAGAIN, 3, 0, 1, 0},
	/* The lock is the same for both: another way does not help. */
	{EAGAIN, 1000, -EAGAIN, 0, 0},
	{EPERM, 1, 0, 0, 1},
	{EINVAL, 1, 0, 0, 1},
	{ENODEV, 1, 0, 0, 1},
	{ENOTTY, 1, 0, 0, 1},
};

START_TEST(a_bus_that_is_not_reset_leaves_the_kernels_own_way)
{
	struct vdev *d;
	unsigned int own;

	weak();
	d = opened(NIC);
	own = device(NIC)->resets;
	fails("PCI_HOT_RESET", hot_cases[_i].code, hot_cases[_i].times);
	ck_assert_int_eq(vdev_reset(d, true, &e), hot_cases[_i].want);
	ck_assert_uint_eq(device(NIC)->hot_resets, 1 + hot_cases[_i].hot);
	ck_assert_uint_eq(device(NIC)->resets, own + hot_cases[_i].own);
	fails(NULL, 0, 0);
	vdev_close(d);
}
END_TEST

START_TEST(vdev_open_fails_when_a_weak_device_cannot_be_reset)
{
	struct vdev *d;

	weak();
	fails("PCI_HOT_RESET", EAGAIN, 1000);
	ck_assert_int_eq(vdev_open(io, &w.sysfs, world_bdf(NIC), NULL, &e, &d), -EAGAIN);
	assert_text(NIC);
	assert_text("locked by another reset");
}
END_TEST

START_TEST(a_device_that_the_host_waits_for_is_tried_once)
{
	struct vdev *d;

	weak();
	d = opened(NIC);
	w.k.pauses = 0;
	fails("PCI_HOT_RESET", EAGAIN, 1000);
	vdev_close_wanted(d);
	ck_assert_uint_eq(w.k.pauses, 0);
	ck_assert_uint_eq(w.k.fail_times, 999);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vfio-reset");
	TCase *t = tcase_create("reset");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, vdev_reset_is_refused_without_a_method);
	tcase_add_loop_test(
		t, vdev_reset_waits_out_a_lock_but_not_for_ever, 0, ARRAY_SIZE(reset_cases));
	tcase_add_loop_test(
		t, vdev_open_does_not_trust_the_way_through_d3hot, 0, ARRAY_SIZE(method_cases));
	tcase_add_test(t, a_function_without_a_reset_of_its_own_is_reset_by_its_bus);
	tcase_add_test(t, two_functions_of_one_bus_are_reset_together_or_not_at_all);
	tcase_add_test(t, functions_of_a_bus_in_two_groups_are_reset_when_both_are_ours);
	tcase_add_test(t, a_neighbour_that_comes_later_is_not_met);
	tcase_add_loop_test(
		t, a_bus_that_is_not_reset_leaves_the_kernels_own_way, 0, ARRAY_SIZE(hot_cases));
	tcase_add_loop_test(t, a_kernel_that_contradicts_itself_leaves_the_devices_own_way,
		FK_HONEST, FK_NOT_ITSELF + 1);
	tcase_add_test(t, vdev_open_fails_when_a_weak_device_cannot_be_reset);
	tcase_add_test(t, a_device_that_the_host_waits_for_is_tried_once);
	suite_add_tcase(s, t);
	return suite_run(s);
}
