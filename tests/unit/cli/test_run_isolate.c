// SPDX-License-Identifier: GPL-2.0-or-later
/* What `viaduct run` makes of a host that does not remap, and of a function that is not isolated. */
#include <check.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run_isolate.h"
#include "common/bytes.h"
#include "common/cleanup.h"
#include "tests/fakes/pci_kernel.h"

#define GROUP "sys/kernel/iommu_groups/7/"
#define DEV   "sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0"
#define PORT  "sys/devices/pci0000:00/0000:00:1c.0"

static struct pci_kernel k;
static struct vfm *v;
static struct err e;
static char *said;
static size_t said_len;
static struct run_trust trust;

static void link_to(const char *path, const char *target)
{
	fake_link(&k, path, target);
}

/* A root port with ACS as given, and one function of a group of its own below. */
static void machine(uint16_t acs_ctl)
{
	uint8_t c[4096] = {0};

	c[PCI_HEADER_TYPE] = 1;
	c[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	c[PCI_CAPABILITY_LIST] = 0x40;
	c[0x40] = PCI_CAP_ID_EXP;
	le_store(c + 0x42, 2, PCI_EXP_TYPE_ROOT_PORT << 4 | 2);
	le_store(c + 256, 4, PCI_EXT_CAP_ID_ACS | 1 << 16);
	le_store(c + 256 + PCI_ACS_CAP, 2, 0x1d);
	le_store(c + 256 + PCI_ACS_CTRL, 2, acs_ctl);
	fake_put(&k, PORT "/config", c, sizeof(c));
	fake_puts(&k, PORT "/class", "0x060400\n");
	memset(c + 256, 0, 256);
	c[PCI_HEADER_TYPE] = 0;
	le_store(c + 0x42, 2, 2);
	fake_put(&k, DEV "/config", c, sizeof(c));
	fake_puts(&k, DEV "/class", "0x020000\n");
	link_to("sys/bus/pci/devices/0000:00:1c.0", "../../../devices/pci0000:00/0000:00:1c.0");
	link_to("sys/bus/pci/devices/0000:01:00.0",
		"../../../devices/pci0000:00/0000:00:1c.0/0000:01:00.0");
	link_to(DEV "/iommu_group", "../../kernel/iommu_groups/7");
	link_to(DEV "/driver", "../../bus/pci/drivers/vfio-pci");
	link_to(GROUP "devices/0000:01:00.0",
		"../../../../devices/pci0000:00/0000:00:1c.0/0000:01:00.0");
	fake_puts(&k, GROUP "type", "DMA-FQ\n");
	fake_puts(&k, GROUP "reserved_regions", "0xfee00000 0xfeefffff msi\n");
}

static void setup(void)
{
	pci_kernel_init(&k);
	fake_remove(&k, "sys");
	fake_puts(&k, "sys/bus/pci/devices/.keep", "");
	fake_remove(&k, "sys/bus/pci/devices/.keep");
	fake_puts(&k, "proc/cmdline", "quiet\n");
	fake_puts(&k, "proc/sys/kernel/osrelease", "6.1.0\n");
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	e = (struct err){0};
	trust = (struct run_trust){.name = "web", .warnings = open_memstream(&said, &said_len)};
}

static void teardown(void)
{
	fclose(trust.warnings);
	free(said);
	vfm_destroy(v);
	pci_kernel_finish(&k);
}

static const char *warnings(void)
{
	fflush(trust.warnings);
	return said;
}

static const struct {
	enum vfm_tri on, insists;
	enum vfm_status status;
	bool flag;
	int ret;
	const char *error, *warning; /* NULL: none */
} hosts[] = {
	{VFM_YES, VFM_YES, VFM_PASS, false, 0, NULL, NULL},
	{VFM_YES, VFM_NO, VFM_PASS, false, 0, NULL, NULL},
	{VFM_YES, VFM_UNKNOWN, VFM_PASS, true, 0, NULL, NULL},
	{VFM_YES, VFM_YES, VFM_WARN, false, 0, NULL, "what was seen (/proc/x); a remedy"},
	{VFM_NO, VFM_YES, VFM_FAIL, false, -EPERM, "is off: what was seen", NULL},
	{VFM_NO, VFM_NO, VFM_FAIL, false, -EPERM, "--unsafe-interrupts and set", NULL},
	{VFM_NO, VFM_NO, VFM_FAIL, false, -EPERM, "a remedy; or", NULL},
	{VFM_NO, VFM_NO, VFM_FAIL, false, -EPERM,
		"/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", NULL},
	{VFM_NO, VFM_UNKNOWN, VFM_FAIL, false, -EPERM, "is off", NULL},
	{VFM_NO, VFM_YES, VFM_FAIL, true, 0, NULL, "--unsafe-interrupts: what was seen"},
	{VFM_NO, VFM_NO, VFM_FAIL, true, 0, NULL, "viaduct run: web: "},
	{VFM_UNKNOWN, VFM_YES, VFM_SKIP, false, 0, NULL, "is N"},
	{VFM_UNKNOWN, VFM_NO, VFM_SKIP, false, -EPERM, "is unknown: what was seen", NULL},
	{VFM_UNKNOWN, VFM_UNKNOWN, VFM_SKIP, false, -EPERM, "is unknown", NULL},
	{VFM_UNKNOWN, VFM_NO, VFM_SKIP, true, 0, NULL, "take over the host"},
};

START_TEST(host_must_remap_or_the_kernel_insist_or_the_user_take_the_risk)
{
	struct vfm_remapping r = {
		.on = hosts[_i].on,
		.kernel_insists = hosts[_i].insists,
		.module = "vfio_iommu_type1",
		.finding = {.id = "interrupt-remapping",
			.status = hosts[_i].status,
			.text = "what was seen",
			.source = "/proc/x",
			.remedy = "a remedy"},
	};

	trust.unsafe_interrupts = hosts[_i].flag;
	ck_assert_int_eq(run_remapping_check(&trust, &r, &e), hosts[_i].ret);
	if (hosts[_i].error)
		ck_assert_msg(strstr(e.text, hosts[_i].error) != NULL, "%s", e.text);
	if (hosts[_i].warning)
		ck_assert_msg(strstr(warnings(), hosts[_i].warning) != NULL, "%s", said);
	else
		ck_assert_str_eq(warnings(), "");
}
END_TEST

/* The same with what a whole host shows. */
START_TEST(host_that_does_not_remap_is_refused_with_what_it_shows)
{
	struct vfm_remapping r;

	fake_puts(&k, "proc/interrupts", "  CPU0\n  9: 0 PCI-MSI 1-edge eth0\n");
	fake_puts(&k, "sys/class/iommu/dmar0/intel-iommu/ecap", "f020d7\n");
	fake_puts(&k, "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n");
	ck_assert_int_eq(vfm_remapping_read(v, &r, &e), 0);
	ck_assert_int_eq(run_remapping_check(&trust, &r, &e), -EPERM);
	ck_assert_msg(strstr(e.text, "PCI-MSI of eth0") && strstr(e.text, "/proc/interrupts") &&
			      strstr(e.text, "x2APIC") && strstr(e.text, "to Y"),
		"%s", e.text);
}
END_TEST

static int check(enum vfm_status *ret)
{
	struct bdf b;

	ck_assert_int_eq(bdf_parse("0000:01:00.0", &b), 0);
	return run_isolation_check(&trust, v, b, ret, &e);
}

/* One change to a function that is isolated; @waive: --unsafe-isolation helps. */
static const struct {
	const char *path, *text, *says;
	int ret;
	uint16_t acs;
	bool waive;
} functions[] = {
	{NULL, NULL, NULL, 0, 0x1d, false},
	{NULL, NULL, "acs-path", -EPERM, 0x01, true},
	{GROUP "reserved_regions", "0xe0000 0xfffff direct\n", "reserved-regions", -EPERM, 0x01,
		false},
	{GROUP "reserved_regions", "0xe0000 0xfffff direct\n", "RMRR", -EPERM, 0x1d, false},
	{GROUP "name", "vfio-noiommu\n", "no-IOMMU mode", -EPERM, 0x1d, false},
	/* What cannot be seen is left to the kernel. */
	{GROUP "reserved_regions", "garbage\n", NULL, 0, 0x1d, false},
};

START_TEST(function_that_is_not_isolated_is_refused)
{
	enum vfm_status s = VFM_PASS;

	machine(functions[_i].acs);
	if (functions[_i].path)
		fake_puts(&k, functions[_i].path, functions[_i].text);
	ck_assert_msg(check(&s) == functions[_i].ret, "%s", e.text);
	ck_assert_int_eq(s == VFM_FAIL, functions[_i].ret < 0);
	ck_assert_str_eq(warnings(), "");
	if (!functions[_i].says)
		return;
	ck_assert_msg(strstr(e.text, functions[_i].says) && strstr(e.text, "0000:01:00.0") &&
			      strstr(e.text, "vf isolate"),
		"%s", e.text);
	ck_assert_int_eq(strstr(e.text, "--unsafe-isolation") != NULL, functions[_i].waive);
	trust.unsafe_isolation = true;
	ck_assert_int_eq(check(&s), functions[_i].waive ? 0 : -EPERM);
	if (functions[_i].waive)
		ck_assert_msg(
			strstr(warnings(), "--unsafe-isolation: 0000:01:00.0") != NULL, "%s", said);
}
END_TEST

/* Others in the group go nowhere else; what the kernel takes for separate by a quirk may. */
START_TEST(only_what_reaches_out_of_the_group_is_warned_of)
{
	enum vfm_status s;

	machine(0x01);
	/* The port itself is in the group. */
	link_to(PORT "/iommu_group", "../../../kernel/iommu_groups/7");
	link_to(GROUP "devices/0000:00:1c.0", "../../../../devices/pci0000:00/0000:00:1c.0");
	link_to(PORT "/driver", "../../../bus/pci/drivers/pcieport");
	ck_assert_msg(check(&s) == 0, "%s", e.text);
	ck_assert_int_eq(s, VFM_WARN);
	ck_assert_str_eq(warnings(), "");
	fake_remove(&k, GROUP "devices/0000:00:1c.0");
	fake_puts(&k, PORT "/vendor", "0x8086\n");
	fake_puts(&k, PORT "/device", "0xa110\n");
	ck_assert_msg(check(&s) == 0, "%s", e.text);
	ck_assert_int_eq(s, VFM_WARN);
	ck_assert_msg(strstr(warnings(), "web: 0000:01:00.0: acs-path: ") != NULL, "%s", said);
}
END_TEST

START_TEST(function_that_is_not_there_is_left_to_who_opens_it)
{
	enum vfm_status s;

	ck_assert_int_eq(check(&s), 0);
	ck_assert_int_eq(s, VFM_SKIP);
	machine(0x1d);
	fake_puts(&k, DEV "/class", "0x060400\n");
	ck_assert_int_eq(check(&s), 0);
	ck_assert_int_eq(s, VFM_SKIP);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("run-isolate");
	TCase *t = tcase_create("isolate");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, host_must_remap_or_the_kernel_insist_or_the_user_take_the_risk, 0,
		(int)ARRAY_SIZE(hosts));
	tcase_add_test(t, host_that_does_not_remap_is_refused_with_what_it_shows);
	tcase_add_loop_test(
		t, function_that_is_not_isolated_is_refused, 0, (int)ARRAY_SIZE(functions));
	tcase_add_test(t, only_what_reaches_out_of_the_group_is_warned_of);
	tcase_add_test(t, function_that_is_not_there_is_left_to_who_opens_it);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
