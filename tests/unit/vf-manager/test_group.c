// SPDX-License-Identifier: GPL-2.0-or-later
/* IOMMU groups: members, and who of them blocks. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/kernel_world.h"
#include "vf-manager/group.h"

#define GROUPS "sys/kernel/iommu_groups/"

static struct bdf bdf(const char *s)
{
	struct bdf b;

	ck_assert_int_eq(bdf_parse(s, &b), 0);
	return b;
}

/* Function @name in group @group with @driver ("" = none). */
static void add(const char *name, unsigned class, int group, const char *driver)
{
	char path[256], target[256], text[16];

	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/class", name);
	snprintf(text, sizeof(text), "0x%06x\n", class);
	fake_puts(&k, path, text);
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/iommu_group", name);
	snprintf(target, sizeof(target), "../../../../kernel/iommu_groups/%d", group);
	fake_link(&k, path, target);
	if (*driver) {
		snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/driver", name);
		snprintf(target, sizeof(target), "../../drivers/%s", driver);
		fake_link(&k, path, target);
	}
	snprintf(path, sizeof(path), GROUPS "%d/devices/%s", group, name);
	snprintf(target, sizeof(target), "../../../../bus/pci/devices/%s", name);
	fake_link(&k, path, target);
}

START_TEST(driver_that_leaves_dma_alone_is_known_by_its_whole_name)
{
	static const struct {
		const char *driver;
		bool manages_no_dma;
	} t[] = {
		{"vfio-pci", true},
		{"mlx5_vfio_pci", true},
		{"nvgrace-gpu-vfio-pci", true},
		{"hisi-acc-vfio-pci", true},
		{"vfio-platform", true},
		{"vfio-fsl-mc", true},
		{"pci-stub", true},
		{"pcieport", true},
		{"igb", false},
		{"nvme", false},
		{"uio_pci_generic", false},
		{"igb_uio", false},
		{"pci-pf-stub", false},
		{"shpchp", false},
		{"vfio-pci-not", false},
		{"notvfio-pci", false},
		{"_vfio_pci", false},
		{"vfio", false},
		{"", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		ck_assert_msg(vfm_driver_manages_no_dma(t[i].driver) == t[i].manages_no_dma, "%s",
			t[i].driver);
}
END_TEST

START_TEST(group_lists_members_in_address_order_with_who_blocks)
{
	_cleanup_free_ struct vfm_group *g = NULL;

	add("0000:03:00.1", 0x020000, 70, "vfio-pci");
	add("0000:03:00.0", 0x010802, 70, "nvme");
	add("0000:00:1c.1", 0x060400, 70, "pcieport");
	add("0000:02:1f.0", 0x060400, 70, "");
	add("0001:00:00.0", 0x020000, 70, "");
	fake_puts(&k, GROUPS "70/type", "identity\n");
	fake_link(&k, GROUPS "70/devices/INTC0001:00", "../../../../devices/platform/INTC0001:00");
	fake_link(&k, "sys/devices/platform/INTC0001:00/driver", "../../x/intel-dma");
	ck_assert_int_eq(vfm_group(v, bdf("0000:03:00.1"), &g, &e), 0);
	ck_assert_int_eq(g->number, 70);
	ck_assert_str_eq(g->type, "identity");
	ck_assert_uint_eq(g->n, 6);
	ck_assert_str_eq(g->member[0].name, "0000:00:1c.1");
	ck_assert(g->member[0].bridge && !g->member[0].blocks);
	ck_assert_str_eq(g->member[1].name, "0000:02:1f.0");
	ck_assert(!g->member[1].blocks && !*g->member[1].driver);
	ck_assert_str_eq(g->member[2].name, "0000:03:00.0");
	ck_assert_str_eq(g->member[2].driver, "nvme");
	ck_assert(g->member[2].blocks && !g->member[2].bridge);
	ck_assert_str_eq(g->member[3].name, "0000:03:00.1");
	ck_assert(!g->member[3].blocks);
	ck_assert_str_eq(g->member[4].name, "0001:00:00.0");
	ck_assert(!g->member[5].pci && g->member[5].blocks);
	ck_assert_str_eq(g->member[5].name, "INTC0001:00");
	ck_assert_str_eq(g->member[5].driver, "intel-dma");
}
END_TEST

START_TEST(group_without_iommu_behind_it_is_told_apart)
{
	_cleanup_free_ struct vfm_group *g = NULL;

	add("0000:03:00.0", 0x020000, 71, "vfio-pci");
	fake_puts(&k, GROUPS "71/name", "vfio-noiommu\n");
	ck_assert_int_eq(vfm_group(v, bdf("0000:03:00.0"), &g, &e), 0);
	ck_assert(g->no_iommu);
}
END_TEST

START_TEST(group_errors_say_which)
{
	struct vfm_group *g;

	ck_assert_int_eq(vfm_group(v, bdf("0000:99:00.0"), &g, &e), -ENODEV);
	fake_puts(&k, "sys/bus/pci/devices/0000:04:00.0/class", "0x020000\n");
	ck_assert_int_eq(vfm_group(v, bdf("0000:04:00.0"), &g, &e), -ENOENT);
	ck_assert(strstr(e.text, "intel_iommu=on"));
	/* A link that leads nowhere or elsewhere is no group. */
	fake_link(&k, "sys/bus/pci/devices/0000:04:00.0/iommu_group", "../../x/99999999999999");
	ck_assert_int_eq(vfm_group(v, bdf("0000:04:00.0"), &g, &e), -EIO);
	fake_link(&k, "sys/bus/pci/devices/0000:04:00.0/iommu_group", "../../x/12x");
	ck_assert_int_eq(vfm_group(v, bdf("0000:04:00.0"), &g, &e), -EIO);
	fake_link(&k, "sys/bus/pci/devices/0000:04:00.0/iommu_group", "../../x/500");
	ck_assert_int_eq(vfm_group(v, bdf("0000:04:00.0"), &g, &e), -EIO);
	/* Its list has others only: whose group is it? */
	add("0000:05:00.0", 0x020000, 500, "");
	ck_assert_int_eq(vfm_group(v, bdf("0000:04:00.0"), &g, &e), -EIO);
	ck_assert(strstr(e.text, "not among"));
}
END_TEST

/* What cannot be told to be harmless blocks. */
START_TEST(group_takes_a_strange_driver_for_one_that_blocks)
{
	_cleanup_free_ struct vfm_group *g = NULL;
	char target[256] = "../../drivers/";

	add("0000:03:00.0", 0x020000, 72, "");
	add("0000:03:00.1", 0x020000, 72, "vfio\x1b[31m-pci");
	add("0000:03:00.2", 0x020000, 72, "");
	/* Cut to VFM_NAME_MAX it would be somebody else's. */
	memset(target + 14, 'x', 54);
	strcpy(target + 14 + 54, "_vfio_pci_not");
	fake_link(&k, "sys/bus/pci/devices/0000:03:00.2/driver", target);
	fake_puts(&k, "sys/bus/pci/devices/0000:03:00.0/driver", "no link");
	fake_puts(&k, "sys/bus/pci/devices/0000:03:00.1/class", "0x0604");
	ck_assert_int_eq(vfm_group(v, bdf("0000:03:00.0"), &g, &e), 0);
	ck_assert_uint_eq(g->n, 3);
	for (size_t i = 0; i < g->n; i++)
		ck_assert_msg(g->member[i].blocks, "%s", g->member[i].name);
	ck_assert_str_eq(g->member[0].driver, "?");
	ck_assert(!strchr(g->member[1].driver, '\x1b'));
}
END_TEST

START_TEST(regions_are_read_or_refused)
{
	static const struct {
		const char *text;
		int r;
		unsigned direct, relaxable, reserved, msi;
	} t[] = {
		{"", 0, 0, 0, 0, 0},
		{"0x00000000fee00000 0x00000000feefffff msi", 0, 0, 0, 0, 1},
		{"0x00000000000e0000 0x00000000000fffff direct\n"
		 "0x00000000fee00000 0x00000000feefffff msi\n",
			0, 1, 0, 0, 1},
		{"0x000000009c000000 0x000000009e1fffff direct-relaxable\n"
		 "0x000000fd00000000 0x000000ffffffffff reserved\n",
			0, 0, 1, 1, 0},
		{"0x0 0xffffffffffffffff direct", 0, 1, 0, 0, 0},
		{"0x0 0xfffffffffffffffff direct", -EINVAL, 0, 0, 0, 0},
		{"0x2 0x1 direct", -EINVAL, 0, 0, 0, 0},
		{"0x1 0x2 directly", -EINVAL, 0, 0, 0, 0},
		{"0x1 0x2 direct ", -EINVAL, 0, 0, 0, 0},
		{"0x1  0x2 direct", -EINVAL, 0, 0, 0, 0},
		{"0x1 0x2", -EINVAL, 0, 0, 0, 0},
		{"0x 0x2 direct", -EINVAL, 0, 0, 0, 0},
		{"1 2 direct", -EINVAL, 0, 0, 0, 0},
		{"0x1 0x2 a-type-that-does-not-fit-the-buffer-it-is-copied-to", -EINVAL, 0, 0, 0,
			0},
		{"0x1\n0x2 direct", -EINVAL, 0, 0, 0, 0},
		{"0x1 0x2 \ndirect", -EINVAL, 0, 0, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct vfm_regions g = {0};

		ck_assert_msg(vfm_regions_parse(t[i].text, &g) == t[i].r, "%s", t[i].text);
		ck_assert_uint_eq(g.direct, t[i].direct);
		ck_assert_uint_eq(g.relaxable, t[i].relaxable);
		ck_assert_uint_eq(g.reserved, t[i].reserved);
		ck_assert_uint_eq(g.msi, t[i].msi);
	}
}
END_TEST

START_TEST(group_with_a_direct_region_has_an_rmrr)
{
	struct vfm_group *g;

	add("0000:03:00.0", 0x020000, 73, "");
	fake_puts(&k, GROUPS "73/reserved_regions", "0x1000 0x1fff direct-relaxable\n");
	ck_assert_int_eq(vfm_group(v, bdf("0000:03:00.0"), &g, &e), 0);
	ck_assert(!g->rmrr);
	free(g);
	fake_puts(&k, GROUPS "73/reserved_regions", "0x1000 0x1fff direct\n");
	ck_assert_int_eq(vfm_group(v, bdf("0000:03:00.0"), &g, &e), 0);
	ck_assert(g->rmrr);
	free(g);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("group");
	TCase *t = tcase_create("group");

	tcase_add_checked_fixture(t, world_up, world_down);
	tcase_add_test(t, driver_that_leaves_dma_alone_is_known_by_its_whole_name);
	tcase_add_test(t, group_lists_members_in_address_order_with_who_blocks);
	tcase_add_test(t, group_without_iommu_behind_it_is_told_apart);
	tcase_add_test(t, group_errors_say_which);
	tcase_add_test(t, group_takes_a_strange_driver_for_one_that_blocks);
	tcase_add_test(t, regions_are_read_or_refused);
	tcase_add_test(t, group_with_a_direct_region_has_an_rmrr);
	suite_add_tcase(s, t);
	return suite_run(s);
}
