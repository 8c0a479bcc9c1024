// SPDX-License-Identifier: GPL-2.0-or-later
/* The isolation verdict on machines of several kinds, made of files. */
#include <check.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/kernel_world.h"
#include "tests/unit/vf-manager/topologies/topology.h"
#include "vf-manager/acs.h"
#include "vf-manager/isolate.h"

#define GROUPS "sys/kernel/iommu_groups/"
#define ALL    (PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF)
#define NONE   (-1) /* no ACS capability */

/* What PCI_EXP_FLAGS_TYPE holds; CONVENTIONAL: no PCI Express capability. */
enum { EP = 0, ROOT = 4, UP = 5, DOWN = 6, TO_PCI = 7, RC = 9, CONVENTIONAL = 16 };

static struct vfm_findings f;

struct device {
	const char *path; /* below /sys/devices */
	int type;
	bool multifunction;
	int acs_cap, acs_ctl;
	int group; /* -1 = none */
	const char *driver, *pf;
	unsigned ids; /* vendor and device; 0: 8086 10c9 */
	bool hidden;  /* config space as others than root see it */
};

static const char interrupts_ir[] =
	"           CPU0       CPU1       \n"
	"   1:          0          9  IR-IO-APIC   1-edge      i8042\n"
	"  24:         17          0  IR-PCI-MSI 458752-edge      eth0\n"
	" NMI:          0          0   Non-maskable interrupts\n";
static const char interrupts_plain[] =
	"           CPU0       CPU1       \n"
	"   1:          0          9  IO-APIC   1-edge      i8042\n"
	"  24:         17          0  PCI-MSI 458752-edge      eth0\n";

static struct bdf bdf(const char *s)
{
	struct bdf b;

	ck_assert_int_eq(bdf_parse(s, &b), 0);
	return b;
}

__attribute__((format(printf, 2, 3))) static void put(const char *text, const char *fmt, ...)
{
	char path[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	fake_puts(&k, path, text);
}

__attribute__((format(printf, 2, 3))) static void link_to(const char *target, const char *fmt, ...)
{
	char path[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	fake_link(&k, path, target);
}

static void config_put(const struct device *d, uint32_t ids, bool bridge)
{
	uint8_t c[4096] = {0};
	char path[256];

	le_store(c, 4, (uint64_t)(ids >> 16 | ids << 16));
	c[PCI_HEADER_TYPE] = (uint8_t)((bridge ? 1 : 0) | (d->multifunction ? 0x80 : 0));
	if (d->type != CONVENTIONAL) {
		c[PCI_STATUS] = PCI_STATUS_CAP_LIST;
		c[PCI_CAPABILITY_LIST] = 0x40;
		c[0x40] = PCI_CAP_ID_EXP;
		le_store(c + 0x40 + PCI_EXP_FLAGS, 2, (unsigned)d->type << 4 | 2);
	}
	if (d->acs_cap != NONE) {
		le_store(c + 256, 4, PCI_EXT_CAP_ID_ACS | 1 << 16);
		le_store(c + 256 + PCI_ACS_CAP, 2, (unsigned)d->acs_cap);
		le_store(c + 256 + PCI_ACS_CTRL, 2, (unsigned)d->acs_ctl);
	}
	snprintf(path, sizeof(path), "sys/devices/%s/config", d->path);
	fake_put(&k, path, c, d->hidden ? 64 : sizeof(c));
}

static void device_add(const struct device *d)
{
	const char *name = strrchr(d->path, '/') + 1;
	bool bridge = d->type == ROOT || d->type == UP || d->type == DOWN || d->type == TO_PCI;
	uint32_t ids = d->ids ? d->ids : 0x808610c9;
	char text[128];

	put(bridge ? "0x060400\n" : "0x020000\n", "sys/devices/%s/class", d->path);
	snprintf(text, sizeof(text), "0x%04x\n", ids >> 16);
	put(text, "sys/devices/%s/vendor", d->path);
	snprintf(text, sizeof(text), "0x%04x\n", ids & 0xffff);
	put(text, "sys/devices/%s/device", d->path);
	put("-1\n", "sys/devices/%s/numa_node", d->path);
	config_put(d, ids, bridge);
	snprintf(text, sizeof(text), "../../../devices/%s", d->path);
	link_to(text, "sys/bus/pci/devices/%s", name);
	if (d->driver) {
		snprintf(text, sizeof(text), "../../bus/pci/drivers/%s", d->driver);
		link_to(text, "sys/devices/%s/driver", d->path);
	}
	if (d->pf) {
		snprintf(text, sizeof(text), "../%s", d->pf);
		link_to(text, "sys/devices/%s/physfn", d->path);
	}
	if (d->group < 0)
		return;
	snprintf(text, sizeof(text), "../../kernel/iommu_groups/%d", d->group);
	link_to(text, "sys/devices/%s/iommu_group", d->path);
	snprintf(text, sizeof(text), "../../../../devices/%s", d->path);
	link_to(text, GROUPS "%d/devices/%s", d->group, name);
	put("DMA-FQ\n", GROUPS "%d/type", d->group);
	put("0x00000000fee00000 0x00000000feefffff msi\n", GROUPS "%d/reserved_regions", d->group);
}

/* A host on which nothing is wrong, without devices. */
static void setup(void)
{
	pci_kernel_init(&k);
	fake_remove(&k, "sys");
	put("", "sys/bus/pci/devices/.keep");
	fake_remove(&k, "sys/bus/pci/devices/.keep");
	put("quiet intel_iommu=on iommu=pt\n", "proc/cmdline");
	put("6.1.0-28-amd64\n", "proc/sys/kernel/osrelease");
	put(interrupts_ir, "proc/interrupts");
	put("6,1,0,-;Linux version 6.1\n", "dev/kmsg");
	put("f020df\n", "sys/class/iommu/dmar0/intel-iommu/ecap");
	put("N\n", "sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
	put("N\n", "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts");
	manager_make();
	f.n = 0;
}

static const struct vfm_finding *find(const char *id)
{
	for (size_t i = 0; i < f.n; i++) {
		if (!strcmp(f.finding[i].id, id))
			return &f.finding[i];
	}
	return NULL;
}

static const struct vfm_finding *expect(const char *id, enum vfm_status status, const char *text)
{
	const struct vfm_finding *one = find(id);

	ck_assert_msg(one != NULL, "no %s", id);
	ck_assert_msg(one->status == status && strstr(one->text, text), "%s: %s %s (%s)", id,
		vfm_status_name(one->status), one->text, text);
	ck_assert_msg(
		(one->status == VFM_PASS) == !*one->remedy, "%s: remedy '%s'", id, one->remedy);
	return one;
}

static enum vfm_status isolate(const char *name)
{
	f.n = 0;
	ck_assert_int_eq(vfm_isolate_host(v, &f, &e), 0);
	ck_assert_msg(vfm_isolate_function(v, bdf(name), &f, &e) == 0, "%s", e.text);
	return vfm_findings_verdict(&f);
}

#define RP "pci0000:00/0000:00:1c.0"

struct machine {
	const char *name;
	struct device d[8];
	const char *ask;
	enum vfm_status verdict;
	struct {
		const char *id;
		enum vfm_status status;
		const char *text;
	} expect[4];
};

static const struct machine machines[] = {
	{"a VF behind a root port with ACS",
		{{RP, ROOT, true, ALL, ALL, 1, "pcieport"},
			{RP "/0000:01:00.0", EP, false, NONE, 0, 2, "igb"},
			{RP "/0000:01:10.0", EP, false, NONE, 0, 3, NULL, "0000:01:00.0"}},
		"0000:01:10.0", VFM_PASS,
		{{"acs-path", VFM_PASS, "0000:00:1c.0"}, {"pf-vf-group", VFM_PASS, "group 3"},
			{"group-shared", VFM_PASS, "group 3"}, {"vf-token", VFM_PASS, "with igb"}}},
	{"a function bound to a driver of the host that nothing else shares",
		{{RP, ROOT, false, ALL, ALL, 1, "pcieport"},
			{RP "/0000:01:00.0", EP, false, NONE, 0, 2, "igb"}},
		"0000:01:00.0", VFM_PASS, {{"group-viable", VFM_PASS, "with igb"}}},
	{"a root port without ACS that two functions share",
		{{RP, ROOT, false, NONE, 0, 1, "pcieport"},
			{RP "/0000:01:00.0", EP, true, NONE, 0, 1, "igb"},
			{RP "/0000:01:00.1", EP, true, NONE, 0, 1, "vfio-pci"}},
		"0000:01:00.1", VFM_FAIL,
		{{"group-viable", VFM_FAIL, "0000:01:00.0 (igb)"},
			{"group-shared", VFM_WARN, "0000:01:00.0 (igb)"},
			{"acs-path", VFM_WARN, "0000:00:1c.0 (root port) has no ACS"},
			{"acs-path", VFM_WARN, "0000:01:00.1 (endpoint) has no ACS"}}},
	{"a VF in the group of its PF",
		{{RP, ROOT, false, NONE, 0, 1, "pcieport"},
			{RP "/0000:01:00.0", EP, false, NONE, 0, 1, "igb"},
			{RP "/0000:01:10.0", EP, false, NONE, 0, 1, NULL, "0000:01:00.0"}},
		"0000:01:10.0", VFM_FAIL,
		{{"pf-vf-group", VFM_FAIL, "0000:01:00.0"},
			{"group-viable", VFM_FAIL, "0000:01:00.0 (igb)"}}},
	{"a PF without a driver in the group of its VF",
		{{RP, ROOT, false, NONE, 0, 1, "pcieport"},
			{RP "/0000:01:00.0", EP, false, NONE, 0, 1},
			{RP "/0000:01:10.0", EP, false, NONE, 0, 1, NULL, "0000:01:00.0"}},
		"0000:01:10.0", VFM_FAIL,
		{{"pf-vf-group", VFM_FAIL, "0000:01:00.0"}, {"group-viable", VFM_PASS, "group 1"}}},
	{"several functions without ACS in a device",
		{{RP, ROOT, false, ALL, ALL, 1, "pcieport"},
			{RP "/0000:01:00.0", EP, true, NONE, 0, 2},
			{RP "/0000:01:00.1", EP, true, NONE, 0, 2, "pci-stub"}},
		"0000:01:00.0", VFM_WARN,
		{{"group-viable", VFM_PASS, "group 2"},
			{"group-shared", VFM_WARN, "0000:01:00.1 (pci-stub)"},
			{"acs-path", VFM_WARN, "has no ACS, and its device has other functions"}}},
	{"several functions with ACS in a device",
		{{RP, ROOT, false, ALL, ALL, 1, "pcieport"},
			{RP "/0000:01:00.0", EP, true, PCI_ACS_RR | PCI_ACS_CR,
				PCI_ACS_RR | PCI_ACS_CR, 2},
			{RP "/0000:01:00.1", EP, true, PCI_ACS_RR | PCI_ACS_CR,
				PCI_ACS_RR | PCI_ACS_CR, 3, "ixgbe"}},
		"0000:01:00.0", VFM_PASS, {{"acs-path", VFM_PASS, "0000:00:1c.0"}}},
	{"VFs of a PF with ARI that reach into its own slot",
		{{RP, ROOT, false, ALL, ALL, 1, "pcieport"},
			{RP "/0000:01:00.0", EP, false, NONE, 0, 2, "ice"},
			{RP "/0000:01:00.1", EP, false, NONE, 0, 3, NULL, "0000:01:00.0"},
			{RP "/0000:01:00.2", EP, false, NONE, 0, 4, NULL, "0000:01:00.0"}},
		"0000:01:00.0", VFM_PASS, {{"acs-path", VFM_PASS, "0000:00:1c.0"}}},
	{"a switch with ACS",
		{{RP, ROOT, false, ALL, ALL, 1, "pcieport"},
			{RP "/0000:01:00.0", UP, false, NONE, 0, 2, "pcieport"},
			{RP "/0000:01:00.0/0000:02:01.0", DOWN, false, ALL | PCI_ACS_TB, ALL, 3,
				"pcieport"},
			{RP "/0000:01:00.0/0000:02:01.0/0000:03:00.0", EP, false, NONE, 0, 4}},
		"0000:03:00.0", VFM_PASS, {{"acs-path", VFM_PASS, "3 ports above it"}}},
	{"a switch with a register of ACS off",
		{{RP, ROOT, false, ALL, ALL, 1, "pcieport"},
			{RP "/0000:01:00.0", UP, false, NONE, 0, 2, "pcieport"},
			{RP "/0000:01:00.0/0000:02:01.0", DOWN, false, ALL, PCI_ACS_SV | PCI_ACS_UF,
				3, "pcieport"},
			{RP "/0000:01:00.0/0000:02:01.0/0000:03:00.0", EP, false, NONE, 0, 3}},
		"0000:03:00.0", VFM_WARN,
		{{"acs-path", VFM_WARN,
			"0000:02:01.0 (switch downstream port) does not have ACS RR CR on"}}},
	{"a switch that cannot forward upstream",
		{{RP, ROOT, false, PCI_ACS_SV, PCI_ACS_SV, 1, "pcieport"},
			{RP "/0000:01:00.0", UP, false, NONE, 0, 2, "pcieport"},
			{RP "/0000:01:00.0/0000:02:01.0", DOWN, false, ALL & ~PCI_ACS_UF,
				ALL & ~PCI_ACS_UF, 3, "pcieport"},
			{RP "/0000:01:00.0/0000:02:01.0/0000:03:00.0", EP, false, NONE, 0, 4}},
		"0000:03:00.0", VFM_WARN, {{"acs-path", VFM_WARN, "does not offer ACS UF"}}},
	{"ACS switched off after the groups were made",
		{{RP, ROOT, false, ALL, PCI_ACS_SV, 1, "pcieport"},
			{RP "/0000:01:00.0", EP, false, NONE, 0, 2}},
		"0000:01:00.0", VFM_FAIL, {{"acs-path", VFM_FAIL, "off after boot"}}},
	{"a root port that Linux knows to have ACS elsewhere",
		{{RP, ROOT, false, ALL, 0, 1, "pcieport", NULL, 0x8086a110},
			{RP "/0000:01:00.0", EP, false, NONE, 0, 2}},
		"0000:01:00.0", VFM_WARN, {{"acs-path", VFM_WARN, "quirk"}}},
	{"two functions behind a conventional bridge",
		{{RP, ROOT, false, ALL, ALL, 1, "pcieport"},
			{RP "/0000:01:00.0", TO_PCI, false, NONE, 0, 2},
			{RP "/0000:01:00.0/0000:02:01.0", CONVENTIONAL, false, NONE, 0, 2},
			{RP "/0000:01:00.0/0000:02:02.0", CONVENTIONAL, false, NONE, 0, 2,
				"e1000"}},
		"0000:02:01.0", VFM_FAIL,
		{{"group-viable", VFM_FAIL, "0000:02:02.0 (e1000)"},
			{"acs-path", VFM_WARN,
				"0000:01:00.0 (PCI Express to PCI bridge) makes all"}}},
	{"a bridge whose driver does DMA",
		{{RP, ROOT, false, NONE, 0, 1, "shpchp"},
			{RP "/0000:01:00.0", EP, false, NONE, 0, 1}},
		"0000:01:00.0", VFM_FAIL,
		{{"group-viable", VFM_FAIL, "0000:00:1c.0 (shpchp, a bridge)"}}},
	{"functions of Intel's root complex",
		{{"pci0000:00/0000:00:1f.0", RC, true, NONE, 0, 1, "lpc_ich"},
			{"pci0000:00/0000:00:1f.4", RC, true, NONE, 0, 2}},
		"0000:00:1f.4", VFM_PASS, {{"acs-path", VFM_PASS, "root complex"}}},
	{"functions of another root complex",
		{{"pci0000:00/0000:00:1f.0", RC, true, NONE, 0, 1, "x", NULL, 0x10221000},
			{"pci0000:00/0000:00:1f.4", RC, true, NONE, 0, 1, NULL, NULL, 0x10221001}},
		"0000:00:1f.4", VFM_FAIL, {{"acs-path", VFM_WARN, "has no ACS, and its device"}}},
	{"a function on the root bus",
		{{"pci0000:00/0000:00:05.0", CONVENTIONAL, false, NONE, 0, 1}}, "0000:00:05.0",
		VFM_PASS, {{"acs-path", VFM_PASS, "on the root bus"}}},
	{"a function behind VMD",
		{{"pci0000:00/0000:00:0e.0", RC, false, NONE, 0, 1, "vmd"},
			{"pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0", ROOT, false, ALL, ALL,
				1, "pcieport"},
			{"pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0", EP,
				false, NONE, 0, 1}},
		"10000:e1:00.0", VFM_FAIL,
		{{"group-viable", VFM_FAIL, "0000:00:0e.0 (vmd)"},
			{"acs-path", VFM_WARN, "0000:00:0e.0 (root complex integrated endpoint)"}}},
	{"config space hidden from all but root",
		{{RP, ROOT, false, ALL, ALL, 1, "pcieport", NULL, 0, true},
			{RP "/0000:01:00.0", EP, false, NONE, 0, 2, NULL, NULL, 0, true}},
		"0000:01:00.0", VFM_WARN, {{"acs-path", VFM_SKIP, "unknown: 0000:00:1c.0"}}},
	{"no IOMMU group",
		{{RP, ROOT, false, ALL, 0, -1, "pcieport"},
			{RP "/0000:01:00.0", EP, false, NONE, 0, -1}},
		"0000:01:00.0", VFM_FAIL,
		{{"group-viable", VFM_FAIL, "in no IOMMU group"},
			{"iommu", VFM_FAIL, "does not use"}}},
};

START_TEST(machine_gets_its_verdict)
{
	const struct machine *t = &machines[_i];
	enum vfm_status got;

	for (size_t i = 0; i < ARRAY_SIZE(t->d) && t->d[i].path; i++)
		device_add(&t->d[i]);
	got = isolate(t->ask);
	for (size_t i = 0; i < ARRAY_SIZE(t->expect) && t->expect[i].id; i++)
		expect(t->expect[i].id, t->expect[i].status, t->expect[i].text);
	ck_assert_msg(got == t->verdict, "%s: %s", t->name, vfm_status_name(got));
}
END_TEST

static void plain_host(void)
{
	static const struct device d[] = {{RP, ROOT, true, ALL, ALL, 1, "pcieport"},
		{RP "/0000:01:00.0", EP, false, NONE, 0, 2, "igb"},
		{RP "/0000:01:10.0", EP, false, NONE, 0, 3, "vfio-pci", "0000:01:00.0"}};

	for (size_t i = 0; i < ARRAY_SIZE(d); i++)
		device_add(&d[i]);
}

START_TEST(host_where_nothing_is_wrong_passes)
{
	plain_host();
	ck_assert_int_eq(isolate("0000:01:10.0"), VFM_PASS);
	for (size_t i = 0; i < f.n; i++)
		ck_assert_msg(f.finding[i].status == VFM_PASS, "%s: %s", f.finding[i].id,
			f.finding[i].text);
	ck_assert_uint_eq(f.n, 14);
}
END_TEST

/* One file changed on that host. */
static const struct {
	const char *path, *text;
	enum vfm_status verdict, status;
	const char *id, *expect;
} changes[] = {
	{"proc/cmdline", "pcie_acs_override=downstream,multifunction", VFM_WARN, VFM_WARN,
		"acs-override", "not proof"},
	{"proc/cmdline", "pcie-acs-override=id:8086:10c9", VFM_WARN, VFM_WARN, "acs-override",
		"id:8086:10c9"},
	{"proc/cmdline", "x=\"a pcie_acs_override=downstream\" -- pcie_acs_override=downstream",
		VFM_PASS, VFM_PASS, "acs-override", "no pcie_acs_override"},
	{"dev/kmsg", "4,7,1,-;Warning: PCIe ACS overrides enabled; This may allow\n", VFM_WARN,
		VFM_WARN, "acs-override", "not proof"},
	{"dev/kmsg", "12,7,1,-;Warning: PCIe ACS overrides enabled; a process said so\n", VFM_PASS,
		VFM_PASS, "acs-override", ""},
	{"proc/cmdline", "intel_iommu=off", VFM_WARN, VFM_WARN, "iommu-options", "intel_iommu=off"},
	{"proc/cmdline", "intel_iommu=off intel_iommu=on", VFM_PASS, VFM_PASS, "iommu-options", ""},
	{"proc/cmdline", "iommu=pt", VFM_PASS, VFM_PASS, "iommu-options", "iommu=pt"},
	{"proc/cmdline", "pci=noaer,disable_acs_redir=0000:00:1c.0", VFM_WARN, VFM_WARN,
		"iommu-options", "disable_acs_redir"},
	{"proc/cmdline", "intremap=nosid", VFM_WARN, VFM_WARN, "interrupt-remapping", "nosid"},
	{"proc/interrupts", interrupts_plain, VFM_FAIL, VFM_FAIL, "interrupt-remapping",
		"IO-APIC of i8042"},
	{"proc/interrupts", "", VFM_WARN, VFM_SKIP, "interrupt-remapping", "only that the IOMMU"},
	/* The text after the number of one processor would be the chip of another. */
	{"proc/interrupts", " CPU0 CPU1\n 1: 0 IR-IO-APIC 1-edge x\n", VFM_WARN, VFM_SKIP,
		"interrupt-remapping", "unknown"},
	{"proc/interrupts", "  CPU0\n  1: 0 IR-IO-APIC 1-edge x\n  2: 0 PCI-MSI 2-edge nvme0q0\n",
		VFM_WARN, VFM_WARN, "interrupt-remapping", "nvme0q0"},
	{"proc/interrupts", "  CPU0\n  1: 0 IR-IO-APIC 1-edge x\n  2: 0 PCI-MSI 4096-edge AMD-Vi\n",
		VFM_PASS, VFM_PASS, "interrupt-remapping", ""},
	/* An interface may be called anything. */
	{"proc/interrupts", "  CPU0\n  1: 0 IO-APIC 1-edge IR-IO-APIC\n", VFM_FAIL, VFM_FAIL,
		"interrupt-remapping", ""},
	{"sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n", VFM_WARN,
		VFM_WARN, "unsafe-interrupts", "vfio_iommu_type1"},
	{"sys/module/iommufd/parameters/allow_unsafe_interrupts", "Y\n", VFM_WARN, VFM_WARN,
		"unsafe-interrupts", "iommufd"},
	{"sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "perhaps", VFM_PASS,
		VFM_SKIP, "unsafe-interrupts", "cannot be read"},
	{"sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n", VFM_WARN, VFM_WARN,
		"no-iommu", "no-IOMMU mode is on"},
	{GROUPS "9/name", "vfio-noiommu\n", VFM_FAIL, VFM_FAIL, "no-iommu", "group 9"},
	{GROUPS "3/name", "vfio-noiommu\n", VFM_FAIL, VFM_FAIL, "group-viable", "no-IOMMU mode"},
	{GROUPS "3/reserved_regions", "0xe0000 0xfffff direct\n", VFM_FAIL, VFM_FAIL,
		"reserved-regions", "0xe0000-0xfffff"},
	{GROUPS "3/reserved_regions", "0xe0000 0xfffff direct-relaxable\n", VFM_PASS, VFM_PASS,
		"reserved-regions", "ends with"},
	{GROUPS "3/reserved_regions", "garbage\n", VFM_WARN, VFM_SKIP, "reserved-regions",
		"unknown"},
	{"dev/kmsg",
		"3,9,1,-;DMAR: [DMA Write NO_PASID] Request device [01:10.0] fault addr 0x1000 "
		"[fault reason 0x05] PTE Write access is not set\n",
		VFM_WARN, VFM_WARN, "dma-fault", "0x1000"},
	{"dev/kmsg",
		"3,9,1,-;DMAR: [DMA Write NO_PASID] Request device [01:10.2] fault addr 0x1000 "
		"[fault reason 0x05] PTE Write access is not set\n",
		VFM_PASS, VFM_PASS, "dma-fault", ""},
	{"dev/kmsg",
		"3,9,1,-;vfio-pci 0001:01:10.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000c "
		"address=0x2000 flags=0x0020]\n",
		VFM_PASS, VFM_PASS, "dma-fault", ""},
	{"dev/kmsg",
		"3,9,1,-;vfio-pci 0000:01:10.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000c "
		"address=0x2000 flags=0x0020]\n",
		VFM_WARN, VFM_WARN, "dma-fault", "write at 0x2000"},
};

/* Where /proc/interrupts is hidden. */
START_TEST(interrupt_remapping_is_read_from_sysfs_too)
{
	plain_host();
	fake_remove(&k, "proc/interrupts");
	put("IR-PCI-MSI-0000:01:00.0\n", "sys/kernel/irq/24/chip_name");
	put("PCI-MSI\n", "sys/kernel/irq/25/chip_name");
	put("AMD-Vi0-Evt\n", "sys/kernel/irq/25/actions");
	put("\n", "sys/kernel/irq/26/chip_name");
	ck_assert_int_eq(isolate("0000:01:10.0"), VFM_PASS);
	ck_assert_str_eq(
		expect("interrupt-remapping", VFM_PASS, "")->source, "/sys/kernel/irq/*/chip_name");
	put("PCI-MSI-0000:02:00.0\n", "sys/kernel/irq/27/chip_name");
	put("nvme0q0\n", "sys/kernel/irq/27/actions");
	ck_assert_int_eq(isolate("0000:01:10.0"), VFM_WARN);
	expect("interrupt-remapping", VFM_WARN, "nvme0q0");
}
END_TEST

/* With nothing to see at all the log is believed, but no process that writes into it. */
START_TEST(interrupt_remapping_is_read_from_the_kernels_log_last)
{
	plain_host();
	fake_remove(&k, "proc/interrupts");
	fake_puts(&k, "dev/kmsg", "12,1,1,-;DMAR-IR: Enabled IRQ remapping in x2apic mode\n");
	ck_assert_int_eq(isolate("0000:01:10.0"), VFM_WARN);
	expect("interrupt-remapping", VFM_SKIP, "unknown");
	fake_puts(&k, "dev/kmsg", "6,1,1,-;DMAR-IR: Enabled IRQ remapping in x2apic mode\n");
	ck_assert_int_eq(isolate("0000:01:10.0"), VFM_PASS);
	expect("interrupt-remapping", VFM_PASS, "x2apic");
	fake_puts(&k, "dev/kmsg", "[    0.5] AMD-Vi: Interrupt remapping enabled\n");
	ck_assert_int_eq(isolate("0000:01:10.0"), VFM_PASS);
	/* A unit that cannot says more than a line of the log. */
	fake_puts(&k, "sys/class/iommu/dmar1/intel-iommu/ecap", "f020d7\n");
	ck_assert_int_eq(isolate("0000:01:10.0"), VFM_FAIL);
	expect("interrupt-remapping", VFM_FAIL, "cannot");
}
END_TEST

/* Linux's rule in other words: drivers/pci/pci.c, pci_acs_enabled(), without its quirks. */
static enum acs_state acs_by_hand(const struct vfm_caps *c, bool through, bool siblings)
{
	bool flags = c->port == VFM_PORT_ROOT || c->port == VFM_PORT_DOWNSTREAM;

	if (!through && !siblings)
		return ACS_KEEPS;
	if (c->port == VFM_PORT_UNKNOWN)
		return ACS_UNKNOWN;
	if (c->port == VFM_PORT_TO_PCI || c->port == VFM_PORT_FROM_PCI ||
		c->port == VFM_PORT_CONVENTIONAL)
		return ACS_OPEN;
	if (through && (c->port == VFM_PORT_ENDPOINT || c->port == VFM_PORT_INTEGRATED))
		return ACS_OPEN;
	if (!flags && !siblings && !c->multifunction)
		return ACS_KEEPS;
	if (c->acs == VFM_UNKNOWN)
		return ACS_UNKNOWN;
	if (c->acs == VFM_NO)
		return ACS_OPEN;
	for (unsigned bit = 0; bit < 16; bit++) {
		if ((ALL >> bit & 1) && (c->acs_cap >> bit & 1) && !(c->acs_ctl >> bit & 1))
			return ACS_OPEN;
	}
	return ACS_KEEPS;
}

START_TEST(acs_rule_is_that_of_linux)
{
	unsigned checked = 0;

	for (unsigned n = 0; n < 9u << 13; n++) {
		struct vfm_caps c = {.port = (enum vfm_port_type)(n >> 13),
			.multifunction = n >> 12 & 1,
			.acs = (enum vfm_tri)(n >> 10 & 3)};
		/* SV, RR, CR and UF are bits 0, 2, 3, 4; TB, which nobody asks for, is bit 1. */
		static const uint16_t sets[] = {0, ALL, PCI_ACS_SV, ALL & ~PCI_ACS_SV,
			PCI_ACS_RR | PCI_ACS_CR, ALL & ~PCI_ACS_RR, ALL & ~PCI_ACS_CR,
			ALL & ~PCI_ACS_UF, ALL | PCI_ACS_TB, PCI_ACS_TB};
		bool through = n & 1, siblings = n >> 1 & 1;
		enum acs_state want;

		if (n >> 10 & 1 && n >> 11 & 1)
			continue;
		if ((n >> 2 & 0xf) >= ARRAY_SIZE(sets) || (n >> 6 & 0xf) >= ARRAY_SIZE(sets))
			continue;
		c.acs_cap = sets[n >> 2 & 0xf];
		c.acs_ctl = sets[n >> 6 & 0xf];
		want = acs_by_hand(&c, through, siblings);
		for (unsigned intel = 0; intel < 2; intel++) {
			struct acs_step got = {0};

			acs_rule(&c, intel ? 0x8086 : 0x1022, through, siblings, &got);
			checked++;
			if (intel && !through && c.port == VFM_PORT_INTEGRATED)
				want = ACS_KEEPS;
			/* Doubt is ours: Linux is content there. */
			if (got.state == ACS_DOUBT)
				got.state = ACS_KEEPS;
			ck_assert_msg(got.state == want, "%x: %d, not %d (%s)", n, got.state, want,
				got.why);
			ck_assert(*got.why);
		}
	}
	ck_assert_uint_gt(checked, 10000);
}
END_TEST

/* Recorded machines: topologies/. */
static const struct {
	const char *topology, *bdf, *id;
	enum vfm_status status;
	const char *text;
} recorded[] = {
	{"shared-root-port", "0000:02:00.0", "group-viable", VFM_FAIL, "0000:01:00.0 (igb)"},
	{"shared-root-port", "0000:02:00.0", "acs-path", VFM_WARN,
		"0000:00:02.3 (root port) has no ACS"},
	{"shared-root-port", "0000:00:10.0", "group-viable", VFM_PASS, "with xhci_hcd"},
	{"multifunction", "0000:01:00.0", "group-viable", VFM_FAIL, "0000:01:00.1 (i40e)"},
	{"multifunction", "0000:01:00.0", "acs-path", VFM_WARN,
		"0000:00:01.0 (root port) has no ACS;"},
	{"multifunction", "0000:03:00.0", "acs-path", VFM_PASS, "0000:00:1b.0"},
	{"conventional-bridge", "0000:06:0d.1", "group-viable", VFM_FAIL, "snd_emu10k1"},
	{"conventional-bridge", "0000:06:0d.0", "group-shared", VFM_WARN, "0000:06:0d.1"},
	{"conventional-bridge", "0000:06:0d.0", "acs-path", VFM_WARN, "0000:00:1e.0"},
	{"rmrr", "0000:01:00.0", "reserved-regions", VFM_FAIL, "0x79efd000-0x79efffff"},
	{"rmrr", "0000:00:1a.0", "reserved-regions", VFM_PASS, "ends with the host's driver"},
	{"sriov-64", "0000:5e:00.0", "acs-path", VFM_PASS, "0000:5d:00.0"},
	{"sriov-64", "0000:5e:04.7", "pf-vf-group", VFM_PASS, "0000:5e:00.0"},
	{"sriov-64", "0000:5e:04.7", "group-shared", VFM_PASS, "group"},
	{"sriov-64", "0000:5e:02.0", "acs-path", VFM_PASS, "0000:5d:00.0"},
	{"next-bus", "0000:3c:10.0", "acs-path", VFM_PASS, "0000:3a:00.0"},
	{"x58-82576", "0000:09:10.0", "group-viable", VFM_FAIL, "in no IOMMU group"},
	{"x58-82576", "0000:09:10.0", "iommu", VFM_FAIL, "no IOMMU"},
	{"x58-82576", "0000:09:10.0", "acs-path", VFM_WARN, "SV RR CR UF"},
};

static const char *const recordings[] = {"shared-root-port", "multifunction", "conventional-bridge",
	"rmrr", "sriov-64", "next-bus", "x58-82576"};

START_TEST(recorded_machine_gets_its_findings)
{
	struct topology t;
	unsigned checked = 0;

	vfm_destroy(v);
	topology_load(&t, recordings[_i]);
	ck_assert_int_eq(
		vfm_create(&(struct vfm_config){.root = t.root, .run_dir = t.run_dir}, &v, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(recorded); i++) {
		if (strcmp(recorded[i].topology, recordings[_i]))
			continue;
		isolate(recorded[i].bdf);
		expect(recorded[i].id, recorded[i].status, recorded[i].text);
		checked++;
	}
	ck_assert_uint_gt(checked, 0);
	topology_finish(&t);
}
END_TEST

START_TEST(one_change_to_a_good_host_is_found)
{
	plain_host();
	fake_puts(&k, changes[_i].path, changes[_i].text);
	ck_assert_msg(isolate("0000:01:10.0") == changes[_i].verdict, "%s: %s", changes[_i].path,
		changes[_i].text);
	expect(changes[_i].id, changes[_i].status, changes[_i].expect);
}
END_TEST

/* Every file that is read becomes something else: never a crash, and nothing bad looks good. */
/* pcie_acs_override splits what hangs together: the groups look good, the ports are not. */
START_TEST(override_that_hides_an_open_port_fails)
{
	static const struct device d[] = {{RP, ROOT, false, NONE, 0, 1, "pcieport"},
		{RP "/0000:01:00.0", EP, true, NONE, 0, 2, "igb"},
		{RP "/0000:01:00.1", EP, true, NONE, 0, 3}};

	for (size_t i = 0; i < ARRAY_SIZE(d); i++)
		device_add(&d[i]);
	ck_assert_int_eq(isolate("0000:01:00.1"), VFM_WARN);
	expect("acs-path", VFM_WARN, "quirk");
	fake_puts(&k, "proc/cmdline", "pcie_acs_override=downstream,multifunction\n");
	ck_assert_int_eq(isolate("0000:01:00.1"), VFM_FAIL);
	expect("acs-path", VFM_FAIL, "0000:00:1c.0 (root port) has no ACS");
	expect("acs-path", VFM_FAIL, "pcie_acs_override tells");
	expect("group-viable", VFM_PASS, "");
	expect("acs-override", VFM_WARN, "not proof");
}
END_TEST

/* A recorded tree of plain directories: ports are found by their buses, or not at all. */
START_TEST(path_is_found_by_buses_where_there_are_no_links)
{
	static const char dev[] = "sys/bus/pci/devices/";
	uint8_t port[4096] = {0}, end[4096] = {0};
	char path[128];

	port[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
	port[PCI_SECONDARY_BUS] = 1;
	port[PCI_SUBORDINATE_BUS] = 2;
	port[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	port[PCI_CAPABILITY_LIST] = 0x40;
	port[0x40] = PCI_CAP_ID_EXP;
	port[0x42] = ROOT << 4 | 2;
	snprintf(path, sizeof(path), "%s0000:00:1c.0/config", dev);
	fake_put(&k, path, port, sizeof(port));
	snprintf(path, sizeof(path), "%s0000:00:1f.0/class", dev);
	fake_puts(&k, path, "0x020000\n");
	snprintf(path, sizeof(path), "%s0000:02:10.0/config", dev);
	fake_put(&k, path, end, sizeof(end));
	snprintf(path, sizeof(path), "%s0000:04:00.0/config", dev);
	fake_put(&k, path, end, sizeof(end));
	isolate("0000:02:10.0");
	expect("acs-path", VFM_WARN, "0000:00:1c.0 (root port) has no ACS");
	/* No bridge leads to bus 4, and it is no root bus. */
	isolate("0000:04:00.0");
	expect("acs-path", VFM_SKIP, "does not tell");
	put("", "sys/devices/pci0000:04/uevent");
	isolate("0000:04:00.0");
	expect("acs-path", VFM_PASS, "root bus");
	/* One that may be a bridge and does not show its header. */
	snprintf(path, sizeof(path), "%s0000:00:1f.0/class", dev);
	fake_puts(&k, path, "0x060400\n");
	isolate("0000:02:10.0");
	expect("acs-path", VFM_SKIP, "does not tell");
}
END_TEST

START_TEST(bridge_with_a_driver_blocks_since_linux_5_19)
{
	static const struct device d[] = {{RP, ROOT, false, NONE, 0, 1, "shpchp"},
		{RP "/0000:01:00.0", EP, false, NONE, 0, 1}};

	for (size_t i = 0; i < ARRAY_SIZE(d); i++)
		device_add(&d[i]);
	fake_puts(&k, "proc/sys/kernel/osrelease", "5.10.0-32-amd64\n");
	isolate("0000:01:00.0");
	expect("group-viable", VFM_PASS, "group 1");
	fake_puts(&k, "proc/sys/kernel/osrelease", "5.19.0-rc1\n");
	isolate("0000:01:00.0");
	expect("group-viable", VFM_FAIL, "shpchp");
	fake_puts(&k, "proc/sys/kernel/osrelease", "who knows\n");
	isolate("0000:01:00.0");
	expect("group-viable", VFM_FAIL, "shpchp");
}
END_TEST

/* VFIO's token, as the PF's driver and the kernel's age make it matter. */
START_TEST(vf_of_a_pf_with_vfio_is_warned_of)
{
	static const struct device d[] = {{RP, ROOT, false, ALL, ALL, 1, "pcieport"},
		{RP "/0000:01:00.0", EP, false, NONE, 0, 2, "vfio-pci"},
		{RP "/0000:01:10.0", EP, false, NONE, 0, 3, "vfio-pci", "0000:01:00.0"}};

	for (size_t i = 0; i < ARRAY_SIZE(d); i++)
		device_add(&d[i]);
	put("", "sys/devices/" RP "/0000:01:10.0/vfio-dev/vfio7/dev");
	ck_assert_int_eq(isolate("0000:01:10.0"), VFM_WARN);
	expect("vf-token", VFM_WARN, "/dev/vfio/devices/vfio7");
	fake_puts(&k, "proc/sys/kernel/osrelease", "6.17.0\n");
	ck_assert_int_eq(isolate("0000:01:10.0"), VFM_WARN);
	ck_assert(!strstr(expect("vf-token", VFM_WARN, "0000:01:00.0")->text, "vfio7"));
	put("4\n", "sys/devices/" RP "/0000:01:00.0/sriov_totalvfs");
	isolate("0000:01:00.0");
	expect("vf-token", VFM_WARN, "its user sets the token");
}
END_TEST

START_TEST(hostile_file_makes_nothing_look_good)
{
	static const char *const files[] = {"proc/cmdline", "proc/interrupts",
		"proc/sys/kernel/osrelease", "dev/kmsg", "sys/class/iommu/dmar0/intel-iommu/ecap",
		"sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
		"sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", GROUPS "1/type",
		GROUPS "1/reserved_regions", GROUPS "1/name", GROUPS "1/devices/0000:01:00.0",
		GROUPS "1/devices/x", "sys/devices/" RP "/config", "sys/devices/" RP "/class",
		"sys/devices/" RP "/driver", "sys/devices/" RP "/0000:01:00.0/driver",
		"sys/devices/" RP "/0000:01:00.0/class",
		"sys/devices/" RP "/0000:01:00.1/iommu_group",
		"sys/devices/" RP "/0000:01:00.1/config", "sys/devices/" RP "/0000:01:00.1/vendor",
		"sys/devices/" RP "/0000:01:00.1/physfn", "sys/kernel/irq/1/chip_name"};
	static const struct device d[] = {{RP, ROOT, false, NONE, 0, 1, "pcieport"},
		{RP "/0000:01:00.0", EP, true, NONE, 0, 1, "igb"},
		{RP "/0000:01:00.1", EP, true, NONE, 0, 1, "vfio-pci"}};
	_cleanup_free_ char *junk = malloc(200000);
	struct bdf b = bdf("0000:01:00.1");

	for (size_t i = 0; i < ARRAY_SIZE(d); i++)
		device_add(&d[i]);
	for (int i = 0; i < 200000; i++)
		junk[i] = (char)(i * 7919 >> 3);
	for (int kind = 0; kind < 7; kind++) {
		fake_remove(&k, files[_i]);
		switch (kind) {
		case 0: fake_put(&k, files[_i], "", 0); break;
		case 1: fake_put(&k, files[_i], junk, 200000); break;
		case 2: fake_put(&k, files[_i], "\n\n\0\n", 4); break;
		case 3: fake_put(&k, files[_i], "-1", 2); break;
		case 4: fake_link(&k, files[_i], "../../../../../../../../nowhere"); break;
		case 5: fake_link(&k, files[_i], "."); break;
		case 6: break;
		}
		f.n = 0;
		ck_assert_int_eq(vfm_isolate_host(v, &f, &e), 0);
		if (vfm_isolate_function(v, b, &f, &e) == 0)
			ck_assert_msg(
				vfm_findings_verdict(&f) >= VFM_WARN, "%s, %d", files[_i], kind);
		for (size_t i = 0; i < f.n; i++) {
			for (const char *c = f.finding[i].text; *c; c++)
				ck_assert_msg(*c >= ' ' && *c <= '~', "%s: %s", files[_i],
					f.finding[i].text);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("isolate");
	TCase *t = tcase_create("isolate");

	tcase_set_timeout(t, 60); /* files, thousands of them */
	tcase_add_checked_fixture(t, setup, world_down);
	tcase_add_loop_test(t, machine_gets_its_verdict, 0, (int)ARRAY_SIZE(machines));
	tcase_add_test(t, host_where_nothing_is_wrong_passes);
	tcase_add_test(t, interrupt_remapping_is_read_from_sysfs_too);
	tcase_add_test(t, interrupt_remapping_is_read_from_the_kernels_log_last);
	tcase_add_test(t, acs_rule_is_that_of_linux);
	tcase_add_loop_test(t, recorded_machine_gets_its_findings, 0, (int)ARRAY_SIZE(recordings));
	tcase_add_loop_test(t, one_change_to_a_good_host_is_found, 0, (int)ARRAY_SIZE(changes));
	tcase_add_test(t, override_that_hides_an_open_port_fails);
	tcase_add_test(t, path_is_found_by_buses_where_there_are_no_links);
	tcase_add_test(t, bridge_with_a_driver_blocks_since_linux_5_19);
	tcase_add_test(t, vf_of_a_pf_with_vfio_is_warned_of);
	tcase_add_loop_test(t, hostile_file_makes_nothing_look_good, 0, 22);
	suite_add_tcase(s, t);
	return suite_run(s);
}
