// SPDX-License-Identifier: GPL-2.0-or-later
/* What the inventory says of recorded machines: see topologies/topology.h. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/topologies/topology.h"
#include "vf-manager/caps.h"
#include "vf-manager/select.h"

static struct topology t;
static struct vfm *v;
static struct err e;

static void open_topology(const char *name)
{
	topology_load(&t, name);
	ck_assert_int_eq(
		vfm_create(&(struct vfm_config){.root = t.root, .run_dir = t.run_dir}, &v, &e), 0);
}

static void close_topology(void)
{
	vfm_destroy(v);
	topology_finish(&t);
}

static struct bdf bdf(const char *s)
{
	struct bdf b;

	ck_assert_int_eq(bdf_parse(s, &b), 0);
	return b;
}

static const struct {
	const char *topology, *bdf;
	struct vfm_caps want;
} caps[] = {
	{"x58-82576", "0000:00:01.0",
		{.port = VFM_PORT_ROOT,
			.bridge = true,
			.sriov = VFM_NO,
			.ari = VFM_NO,
			.ari_forwarding_cap = VFM_YES,
			.ari_forwarding = VFM_YES,
			.acs = VFM_YES,
			.acs_cap = 0x1f,
			.acs_ctl = 0,
			.flr = VFM_NO,
			.msi = 2}},
	{"x58-82576", "0000:09:00.0",
		{.port = VFM_PORT_ENDPOINT,
			.multifunction = true,
			.sriov = VFM_YES,
			.total_vfs = 8,
			.initial_vfs = 8,
			.vf_offset = 128,
			.vf_stride = 2,
			.vf_device = 0x10ca,
			.vf_ari_hierarchy = true,
			.ari = VFM_YES,
			.acs = VFM_NO,
			.flr = VFM_YES,
			.msi = 1,
			.msix = 10}},
	{"x58-82576", "0000:09:10.2", {.port = VFM_PORT_ENDPOINT, .flr = VFM_YES, .msix = 3}},
	{"shared-root-port", "0000:00:02.2",
		{.port = VFM_PORT_ROOT, .bridge = true, .multifunction = true}},
	{"multifunction", "0000:00:01.0",
		{.port = VFM_PORT_ROOT, .bridge = true, .ari_forwarding_cap = VFM_YES}},
	/* ACS that can do nothing is ACS all the same; what it is worth is told from its bits. */
	{"multifunction", "0000:01:00.1",
		{.port = VFM_PORT_ENDPOINT,
			.multifunction = true,
			.sriov = VFM_YES,
			.total_vfs = 64,
			.initial_vfs = 64,
			.vf_offset = 79,
			.vf_stride = 1,
			.vf_device = 0x154c,
			.ari = VFM_YES,
			.acs = VFM_YES,
			.flr = VFM_YES,
			.msi = 1,
			.msix = 129}},
	{"conventional-bridge", "0000:00:1e.0", {.port = VFM_PORT_CONVENTIONAL, .bridge = true}},
	{"conventional-bridge", "0000:06:0d.0",
		{.port = VFM_PORT_CONVENTIONAL, .multifunction = true}},
	{"rmrr", "0000:00:1a.0", {.port = VFM_PORT_CONVENTIONAL, .flr = VFM_YES}},
};

#define SAME(field) ck_assert_int_eq(f.field, caps[_i].want.field)

START_TEST(capabilities_are_as_recorded)
{
	struct vfm_caps f;

	open_topology(caps[_i].topology);
	ck_assert_int_eq(vfm_caps(v, bdf(caps[_i].bdf), &f, &e), 0);
	SAME(port);
	SAME(bridge);
	SAME(multifunction);
	SAME(sriov);
	SAME(total_vfs);
	SAME(initial_vfs);
	SAME(vf_offset);
	SAME(vf_stride);
	SAME(vf_device);
	SAME(vf_ari_hierarchy);
	SAME(ari);
	SAME(ari_forwarding_cap);
	SAME(ari_forwarding);
	SAME(acs);
	SAME(acs_cap);
	SAME(acs_ctl);
	SAME(flr);
	SAME(msi);
	SAME(msix);
	close_topology();
}
END_TEST

static const struct {
	const char *topology, *pf;
	unsigned index;
	const char *want; /* NULL: out of range */
} predicted[] = {
	{"multifunction", "0000:01:00.0", 0, "0000:01:02.0"},
	{"multifunction", "0000:01:00.0", 63, "0000:01:09.7"},
	{"multifunction", "0000:01:00.1", 0, "0000:01:0a.0"},
	{"multifunction", "0000:01:00.1", 64, NULL},
	{"rmrr", "0000:01:00.0", 0, "0000:02:10.0"}, /* the next bus, which the port has not */
	{"rmrr", "0000:01:00.0", 2, "0000:02:11.0"},
	/* Carved ones are where they are. */
	{"next-bus", "0000:3b:00.0", 0, "0000:3c:10.0"},
	{"next-bus", "0000:3b:00.0", 9, "0000:3c:12.2"},
	{"sriov-64", "0000:5e:00.0", 63, "0000:5e:09.7"},
	{"sriov-64", "0000:5e:00.0", 64, NULL},
};

START_TEST(addresses_of_vfs_are_told_before_they_are_there)
{
	struct bdf b;
	int r;

	open_topology(predicted[_i].topology);
	r = vfm_predict(v, bdf(predicted[_i].pf), predicted[_i].index, &b, &e);
	if (predicted[_i].want) {
		ck_assert_msg(r == 0, "%d: %s", r, e.text);
		ck_assert(bdf_equal(b, bdf(predicted[_i].want)));
	} else {
		ck_assert_int_eq(r, -ERANGE);
	}
	close_topology();
}
END_TEST

static const struct {
	const char *topology, *bdf, *path;
} paths[] = {
	{"x58-82576", "0000:09:00.0", "path=0000:00:01.0/00.0"},
	{"multifunction", "0000:01:00.1", "path=0000:00:01.0/00.1"},
	{"conventional-bridge", "0000:06:0d.1", "path=0000:00:1e.0/0d.1"},
	{"shared-root-port", "0000:00:02.3", "path=0000:00:02.3"},
};

START_TEST(a_path_leads_back_to_its_function)
{
	char text[VFM_SELECTOR_MAX];
	struct bdf b;

	open_topology(paths[_i].topology);
	ck_assert_int_eq(vfm_path_format(v, bdf(paths[_i].bdf), text, sizeof(text)), 0);
	ck_assert_str_eq(text, paths[_i].path);
	ck_assert_msg(vfm_select(v, text, &b, &e) == 0, "%s", e.text);
	ck_assert(bdf_equal(b, bdf(paths[_i].bdf)));
	close_topology();
}
END_TEST

static const struct {
	const char *topology;
	int pfs_and_vfs, all; /* all but bridges */
} counts[] = {
	{"x58-82576", 5, 5},
	{"shared-root-port", 0, 5},
	{"multifunction", 2, 3},
	{"sriov-64", 65, 65},
	{"next-bus", 9, 9},
	{"conventional-bridge", 0, 2},
	{"rmrr", 1, 2},
	{"synthetic-256", 260, 260},
};

START_TEST(a_list_has_every_function)
{
	_cleanup_free_ struct vfm_function *some = NULL, *all = NULL;

	open_topology(counts[_i].topology);
	ck_assert_int_eq(vfm_list(v, 0, &some, &e), counts[_i].pfs_and_vfs);
	ck_assert_int_eq(vfm_list(v, VFM_LIST_ALL, &all, &e), counts[_i].all);
	for (int i = 0; i < counts[_i].pfs_and_vfs; i++)
		ck_assert(some[i].kind == VFM_PF ? some[i].index == -1 : some[i].index >= 0);
	close_topology();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-topologies");
	TCase *tc = tcase_create("topologies");

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, capabilities_are_as_recorded, 0, ARRAY_SIZE(caps));
	tcase_add_loop_test(
		tc, addresses_of_vfs_are_told_before_they_are_there, 0, ARRAY_SIZE(predicted));
	tcase_add_loop_test(tc, a_path_leads_back_to_its_function, 0, ARRAY_SIZE(paths));
	tcase_add_loop_test(tc, a_list_has_every_function, 0, ARRAY_SIZE(counts));
	return suite_run(s);
}
