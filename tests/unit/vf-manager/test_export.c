// SPDX-License-Identifier: GPL-2.0-or-later
/* What is told to others: the text, and what is refused and with which remedy. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "vf-manager/export.h"

static struct vfm_function vf(uint8_t bus, uint8_t fn, int index, const char *driver)
{
	struct vfm_function f = {
		.bdf = {0, bus, 0x10, fn},
		.kind = VFM_VF,
		.vendor = 0x8086,
		.device = 0x10ca,
		.class = 0x020000,
		.iommu_group = 10 + bus + fn,
		.numa_node = -1,
		.pf = {0, bus, 0, 0},
		.index = index,
	};

	strcpy(f.driver, driver);
	return f;
}

static struct err e;

static char *told(const struct vfm_export *x)
{
	char *text = NULL;

	e = (struct err){0};
	ck_assert_msg(vfm_export(x, &text, &e) == 0, "%s", e.text);
	return text;
}

static void assert_refused(const struct vfm_export *x, int code, const char *says)
{
	char *text = NULL;

	e = (struct err){0};
	ck_assert_int_eq(vfm_export(x, &text, &e), -code);
	ck_assert_ptr_null(text);
	ck_assert_msg(strstr(e.text, says) != NULL, "'%s' is not in: %s", says, e.text);
}

START_TEST(device_plugin_is_told_ranges_of_vfs_of_each_pf)
{
	struct vfm_function f[] = {vf(1, 0, 0, "vfio-pci"), vf(1, 2, 1, "vfio-pci"),
		vf(1, 4, 2, "vfio-pci"), vf(1, 6, 5, "vfio-pci"), vf(2, 0, 3, "vfio-pci"),
		vf(1, 7, 6, "igbvf")};
	struct vfm_export x = {VFM_EXPORT_DEVICE_PLUGIN, f, ARRAY_SIZE(f), "fast", false};
	_cleanup_free_ char *text = told(&x);

	ck_assert_str_eq(text,
		"{\n  \"resourceList\": [\n    {\n      \"resourceName\": \"fast\",\n"
		"      \"deviceType\": \"netDevice\",\n      \"selectors\": [\n        {\n"
		"          \"vendors\": [\n            \"8086\"\n          ],\n"
		"          \"devices\": [\n            \"10ca\"\n          ],\n"
		"          \"drivers\": [\n            \"vfio-pci\"\n          ],\n"
		"          \"rootDevices\": [\n            \"0000:01:00.0#0-2,5\",\n"
		"            \"0000:02:00.0#3\"\n          ]\n        },\n        {\n"
		"          \"vendors\": [\n            \"8086\"\n          ],\n"
		"          \"devices\": [\n            \"10ca\"\n          ],\n"
		"          \"drivers\": [\n            \"igbvf\"\n          ],\n"
		"          \"rootDevices\": [\n            \"0000:01:00.0#6\"\n          ]\n"
		"        }\n      ]\n    }\n  ]\n}\n");
}
END_TEST

START_TEST(cdi_is_told_nodes_of_group_or_cdev)
{
	struct vfm_function f = vf(1, 0, 0, "vfio-pci");
	struct vfm_export x = {VFM_EXPORT_CDI, &f, 1, NULL, false};
	_cleanup_free_ char *group = told(&x), *cdev = NULL;

	ck_assert_str_eq(group,
		"{\n  \"cdiVersion\": \"0.5.0\",\n  \"kind\": \"viaduct/vf\",\n  \"devices\": [\n  "
		"  {\n"
		"      \"name\": \"0000:01:10.0\",\n      \"containerEdits\": {\n        \"env\": "
		"[\n"
		"          \"PCIDEVICE_0000_01_10_0=0000:01:10.0\"\n        ],\n"
		"        \"deviceNodes\": [\n          {\n            \"path\": \"/dev/vfio/11\",\n"
		"            \"permissions\": \"rw\"\n          }\n        ]\n      }\n    }\n  "
		"],\n"
		"  \"containerEdits\": {\n    \"deviceNodes\": [\n      {\n"
		"        \"path\": \"/dev/vfio/vfio\",\n        \"permissions\": \"rw\"\n      }\n"
		"    ]\n  }\n}\n");
	x.iommufd = true;
	assert_refused(&x, ENOTSUP, "leave --iommufd out");
	strcpy(f.vfio_cdev, "vfio3");
	cdev = told(&x);
	ck_assert_ptr_nonnull(strstr(cdev, "\"/dev/vfio/devices/vfio3\""));
	ck_assert_ptr_nonnull(strstr(cdev, "\"/dev/iommu\""));
	ck_assert_ptr_null(strstr(cdev, "/dev/vfio/11"));
}
END_TEST

START_TEST(libvirt_is_told_a_hostdev_of_one_and_a_network_of_several)
{
	struct vfm_function f[] = {vf(1, 0, 0, "vfio-pci"), vf(0x3b, 2, 1, "vfio-pci")};
	struct vfm_export x = {VFM_EXPORT_LIBVIRT, f, 1, NULL, false};
	_cleanup_free_ char *one = told(&x), *two = NULL, *named = NULL;

	ck_assert_str_eq(one,
		"<hostdev mode='subsystem' type='pci' managed='no'>\n  <driver name='vfio'/>\n"
		"  <source>\n    <address domain='0x0000' bus='0x01' slot='0x10' function='0x0'/>\n"
		"  </source>\n</hostdev>\n");
	x.n = 2;
	two = told(&x);
	ck_assert_str_eq(two,
		"<network>\n  <name>viaduct-vfs</name>\n  <forward mode='hostdev' managed='no'>\n"
		"    <driver name='vfio'/>\n"
		"    <address type='pci' domain='0x0000' bus='0x01' slot='0x10' function='0x0'/>\n"
		"    <address type='pci' domain='0x0000' bus='0x3b' slot='0x10' function='0x2'/>\n"
		"  </forward>\n</network>\n");
	x.n = 1;
	x.name = "dmz";
	named = told(&x);
	ck_assert_ptr_nonnull(strstr(named, "<name>dmz</name>"));
	/* NVMe: alone, yes; as a pool, libvirt has none. */
	f[0].class = 0x010802;
	assert_refused(&x, ENOTSUP, "export it alone and without --name");
}
END_TEST

START_TEST(nova_is_told_a_device_spec_each)
{
	struct vfm_function f[] = {vf(1, 0, 0, "vfio-pci"), vf(2, 2, 1, "mlx5_vfio_pci")};
	struct vfm_export x = {VFM_EXPORT_NOVA, f, 2, "physnet1", false};
	_cleanup_free_ char *text = told(&x), *bare = NULL;

	ck_assert_str_eq(text,
		"[pci]\ndevice_spec = {\"vendor_id\":\"8086\",\"product_id\":\"10ca\",\"address\":"
		"\"0000:01:10.0\",\"physical_network\":\"physnet1\",\"managed\":\"no\"}\n"
		"device_spec = {\"vendor_id\":\"8086\",\"product_id\":\"10ca\",\"address\":"
		"\"0000:02:10.2\",\"physical_network\":\"physnet1\",\"managed\":\"no\"}\n");
	/* What is no network card is on no network. */
	f[0].class = 0x010802;
	x.n = 1;
	bare = told(&x);
	ck_assert_ptr_null(strstr(bare, "physical_network"));
}
END_TEST

static const struct {
	enum vfm_export_format format;
	const char *driver;
	uint32_t class, domain;
	enum vfm_kind kind;
	unsigned num_vfs;
	int group;
	const char *says;
} unfit[] = {
	{VFM_EXPORT_LIBVIRT, "igbvf", 0x020000, 0, VFM_VF, 0, 1,
		"is bound to igbvf, and libvirt is told to take it as it is, from VFIO: run "
		"'viaduct vf bind 0000:01:10.0 vfio-pci'"},
	{VFM_EXPORT_CDI, "igbvf", 0x020000, 0, VFM_VF, 0, 1, "viaduct vf bind"},
	{VFM_EXPORT_NOVA, "igbvf", 0x020000, 0, VFM_VF, 0, 1, "viaduct vf bind"},
	{VFM_EXPORT_DEVICE_PLUGIN, "", 0x020000, 0, VFM_VF, 0, 1, "has no driver"},
	{VFM_EXPORT_NOVA, "", 0x020000, 0, VFM_VF, 0, 1, "has no driver"},
	{VFM_EXPORT_DEVICE_PLUGIN, "nvme", 0x010802, 0, VFM_VF, 0, 1,
		"(class 0108) is neither a network card nor an accelerator"},
	{VFM_EXPORT_LIBVIRT, "vfio-pci", 0x020000, 0x10000, VFM_VF, 0, 1, "turn VMD off"},
	{VFM_EXPORT_NOVA, "vfio-pci", 0x020000, 0x10000, VFM_VF, 0, 1, "turn VMD off"},
	{VFM_EXPORT_CDI, "vfio-pci", 0x020000, 0, VFM_VF, 0, -1, "viaduct doctor"},
	{VFM_EXPORT_CDI, "igb", 0x020000, 0, VFM_PF, 3, 1, "is a PF that has VFs: export these"},
	{VFM_EXPORT_LIBVIRT, "pcieport", 0x060400, 0, VFM_OTHER, 0, 1, "is a bridge"},
};

START_TEST(what_cannot_be_told_is_refused_with_a_remedy)
{
	struct vfm_function f = vf(1, 0, 0, unfit[_i].driver);
	struct vfm_export x = {unfit[_i].format, &f, 1, NULL, false};

	f.class = unfit[_i].class;
	f.bdf.domain = unfit[_i].domain;
	f.kind = unfit[_i].kind;
	f.num_vfs = unfit[_i].num_vfs;
	f.iommu_group = unfit[_i].group;
	assert_refused(&x, ENOTSUP, unfit[_i].says);
	ck_assert_int_eq(vfm_export_check(&x, &f, &e), -ENOTSUP);
}
END_TEST

START_TEST(several_that_cannot_go_together_are_refused)
{
	struct vfm_function f[] = {vf(1, 0, 0, "vfio-pci"), vf(1, 2, 1, "vfio-pci")};
	struct vfm_export x = {VFM_EXPORT_CDI, f, 2, NULL, false};

	f[1].iommu_group = f[0].iommu_group;
	assert_refused(&x, ENOTSUP, "are in IOMMU group 11");
	f[1] = f[0];
	assert_refused(&x, EINVAL, "named twice");
	f[1] = vf(1, 2, 1, "vfio-pci");
	f[1].class = 0x120000;
	x.format = VFM_EXPORT_DEVICE_PLUGIN;
	assert_refused(&x, ENOTSUP, "export them apart");
	x.n = 0;
	assert_refused(&x, EINVAL, "no function to export");
}
END_TEST

START_TEST(names_that_the_formats_do_not_have_are_refused)
{
	static const char *const bad[] = {"", "a b", "<x>", "a&b", "\"", "a/b", "$x", "-x", "x-",
		"0123456789012345678901234567890123456789012345678901234567890123"};
	struct vfm_function f = vf(1, 0, 0, "vfio-pci");

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		for (int format = 0; format < VFM_EXPORT_COUNT; format++) {
			struct vfm_export x = {
				(enum vfm_export_format)format, &f, 1, bad[i], false};

			assert_refused(&x, EINVAL, "--name");
		}
}
END_TEST

START_TEST(formats_are_found_by_name)
{
	enum vfm_export_format format;

	for (int i = 0; i < VFM_EXPORT_COUNT; i++) {
		ck_assert_int_eq(
			vfm_export_parse(vfm_export_name((enum vfm_export_format)i), &format, &e),
			0);
		ck_assert_int_eq((int)format, i);
	}
	ck_assert_int_eq(vfm_export_parse("docker", &format, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "device-plugin, cdi, libvirt and nova"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vf-export");
	TCase *tc = tcase_create("export");

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, device_plugin_is_told_ranges_of_vfs_of_each_pf);
	tcase_add_test(tc, cdi_is_told_nodes_of_group_or_cdev);
	tcase_add_test(tc, libvirt_is_told_a_hostdev_of_one_and_a_network_of_several);
	tcase_add_test(tc, nova_is_told_a_device_spec_each);
	tcase_add_loop_test(
		tc, what_cannot_be_told_is_refused_with_a_remedy, 0, (int)ARRAY_SIZE(unfit));
	tcase_add_test(tc, several_that_cannot_go_together_are_refused);
	tcase_add_test(tc, names_that_the_formats_do_not_have_are_refused);
	tcase_add_test(tc, formats_are_found_by_name);
	return suite_run(suite);
}
