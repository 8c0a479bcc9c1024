// SPDX-License-Identifier: GPL-2.0-or-later
/* Does a host remap interrupts? What hosts of several kinds show, and what only looks like it. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/kernel_world.h"
#include "vf-manager/remapping.h"

#define ECAP  "sys/class/iommu/dmar0/intel-iommu/ecap"
#define TYPE1 "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
#define FD    "sys/module/iommufd/parameters/allow_unsafe_interrupts"

#define HEAD2 "            CPU0       CPU1\n"

/* Intel with remapping on. */
static const char intel_on[] = HEAD2
	"   0:         12          0  IR-IO-APIC    2-edge      timer\n"
	"   8:          0          0  IR-IO-APIC    8-edge      rtc0\n"
	"  16:         29          0  IR-IO-APIC   16-fasteoi   i801_smbus\n"
	" 120:          0          0  DMAR-MSI    0-edge      dmar0\n"
	" 124:      52134        211  IR-PCI-MSI-0000:00:1f.2    0-edge      ahci[0000:00:1f.2]\n"
	" NMI:          1          1   Non-maskable interrupts\n";
static const char intel_off[] = HEAD2
	"   0:         12          0  IO-APIC    2-edge      timer\n"
	" 120:          0          0  DMAR-MSI    0-edge      dmar0\n"
	" 124:      52134        211  PCI-MSI-0000:00:1f.2    0-edge      ahci[0000:00:1f.2]\n";
/* AMD: its own interrupts are not remapped either way. */
static const char amd_on[] =
	HEAD2 "   0:        120          0  IR-IO-APIC    2-edge      timer\n"
	      "  25:          0          0  PCI-MSI 4096-edge      AMD-Vi\n"
	      "  27:          0         77  IR-PCI-MSI 524288-edge      nvme0q0\n";
static const char amd_off[] =
	HEAD2 "   0:        120          0  IO-APIC    2-edge      timer\n"
	      "  25:          0          0  PCI-MSI 4096-edge      AMD-Vi\n"
	      "  27:          0         77  PCI-MSI 524288-edge      nvme0q0\n";
/* Nothing but what has no device behind it. */
static const char silent[] = HEAD2 " NMI:          1          1   Non-maskable interrupts\n"
				   " LOC:        911        822   Local timer interrupts\n";

struct file {
	const char *path, *text;
};

static const struct {
	const char *name;
	struct file file[5];
	enum vfm_tri on;
	const char *text[2]; /* what the evidence names */
	const char *source;
} hosts[] = {
	{"Intel, on",
		{{"proc/interrupts", intel_on}, {ECAP, "f020df\n"},
			{"dev/kmsg", "6,1,0,-;DMAR-IR: Enabled IRQ remapping in x2apic mode\n"}},
		VFM_YES, {"IR-IO-APIC of timer", "log: DMAR-IR: Enabled IRQ remapping in x2apic"},
		"/proc/interrupts"},
	{"Intel, a unit that cannot", {{"proc/interrupts", intel_off}, {ECAP, "f020d7\n"}}, VFM_NO,
		{"IO-APIC of timer", "an IOMMU of this machine cannot"}, "/proc/interrupts"},
	{"Intel, intremap=off",
		{{"proc/interrupts", intel_off}, {ECAP, "f020df\n"},
			{"proc/cmdline", "quiet intel_iommu=on intremap=off\n"}},
		VFM_NO, {"IO-APIC of timer", "intremap=off"}, "/proc/interrupts"},
	{"AMD, on",
		{{"proc/interrupts", amd_on}, {"sys/class/iommu/ivhd0/amd-iommu/cap", "40b\n"},
			{"dev/kmsg", "6,1,0,-;AMD-Vi: Interrupt remapping enabled\n"}},
		VFM_YES, {"IR-IO-APIC of timer", "AMD-Vi: Interrupt remapping enabled"},
		"/proc/interrupts"},
	{"AMD, off",
		{{"proc/interrupts", amd_off}, {"sys/class/iommu/ivhd0/amd-iommu/cap", "40b\n"},
			{"dev/kmsg", "3,1,0,-;AMD-Vi: Disabling interrupt remapping\n"}},
		VFM_NO, {"IO-APIC of timer", ""}, "/proc/interrupts"},
	{"AMD, off, and only the log tells",
		{{"proc/interrupts", silent}, {"sys/class/iommu/ivhd0/amd-iommu/cap", "40b\n"},
			{"dev/kmsg", "[    0.81] AMD-Vi: Disabling interrupt remapping\n"}},
		VFM_NO, {"not remapped", "log: [    0.81] AMD-Vi: Disabling"}, "/dev/kmsg"},
	{"no right to the log", {{"proc/interrupts", intel_on}, {ECAP, "f020df\n"}}, VFM_YES,
		{"IR-IO-APIC of timer", ""}, "/proc/interrupts"},
	{"no /proc, but sysfs",
		{{"sys/kernel/irq/27/chip_name", "IR-PCI-MSI\n"},
			{"sys/kernel/irq/27/actions", "nvme0q0\n"}, {ECAP, "f020df\n"}},
		VFM_YES, {"IR-PCI-MSI of nvme0q0", ""}, "/sys/kernel/irq/*/chip_name"},
	{"no IOMMU at all", {{"proc/interrupts", intel_off}}, VFM_NO,
		{"IO-APIC of timer", "the kernel uses no IOMMU"}, "/proc/interrupts"},
	{"nothing to be seen", {{ECAP, "f020df\n"}}, VFM_UNKNOWN,
		{"only that the IOMMU could", "/dev/kmsg: No such file"}, "/dev/kmsg"},
	{"only the log", {{"dev/kmsg", "6,1,0,-;DMAR-IR: Enabled IRQ remapping in xapic mode\n"}},
		VFM_YES, {"xapic mode", ""}, "/dev/kmsg"},
	{"some and some",
		{{"proc/interrupts",
			HEAD2 " 1: 0 0 IR-IO-APIC 1-edge a\n 2: 0 0 PCI-MSI 2-edge b\n"}},
		VFM_UNKNOWN, {"1 interrupts are remapped, 1 are not", "PCI-MSI of b"},
		"/proc/interrupts"},
	/* What devices, users and drivers may name is not the kernel's word. */
	{"a device with the name of a message",
		{{"proc/interrupts", silent}, {ECAP, "f020df\n"},
			{"dev/kmsg",
				"6,1,0,-;usb 1-1: Product: DMAR-IR: Enabled IRQ remapping\n"
				"6,2,0,-;x AMD-Vi: Interrupt remapping enabled\n"
				"6,3,0,-;[usb] DMAR-IR: Enabled IRQ remapping in x2apic mode\n"}},
		VFM_UNKNOWN, {"neither the interrupts nor the log", ""}, "/dev/kmsg"},
	{"a device that would have it look off",
		{{"proc/interrupts", silent},
			{"dev/kmsg", "6,1,0,-;DMAR-IR: Enabled IRQ remapping in x2apic mode\n"
				     "6,2,0,-;usb 1-1: Product: AMD-Vi: Disabling interrupt "
				     "remapping\n"}},
		VFM_YES, {"x2apic", ""}, "/dev/kmsg"},
	{"a process that writes into the log",
		{{"proc/interrupts", silent},
			{"dev/kmsg", "12,1,0,-;DMAR-IR: Enabled IRQ remapping in x2apic mode\n"}},
		VFM_UNKNOWN, {"neither", ""}, "/dev/kmsg"},
	{"an interface with the name of a chip",
		{{"proc/interrupts", HEAD2 " 27: 0 77 PCI-MSI 1-edge IR-PCI-MSI\n"}}, VFM_NO,
		{"PCI-MSI of IR-PCI-MSI", ""}, "/proc/interrupts"},
	{"text that is no text",
		{{"proc/interrupts", HEAD2 " 27: 0 77 IR-PCI-MSI 1-edge \x1b[2J\xff\x01\n"}},
		VFM_YES, {"IR-PCI-MSI of ?[2J??", ""}, "/proc/interrupts"},
};

static void setup(void)
{
	pci_kernel_init(&k);
	fake_remove(&k, "sys");
	fake_puts(&k, "sys/bus/pci/devices/.keep", "");
	fake_remove(&k, "proc/interrupts");
	fake_remove(&k, "dev/kmsg");
	fake_puts(&k, "proc/cmdline", "quiet\n");
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
}

START_TEST(host_is_told_by_what_it_shows)
{
	struct vfm_remapping r;

	for (size_t i = 0; i < ARRAY_SIZE(hosts[_i].file) && hosts[_i].file[i].path; i++)
		fake_puts(&k, hosts[_i].file[i].path, hosts[_i].file[i].text);
	ck_assert_int_eq(vfm_remapping_read(v, &r, NULL), 0);
	ck_assert_msg(r.on == hosts[_i].on, "%s: %s: %s", hosts[_i].name, vfm_remapping_name(r.on),
		r.finding.text);
	for (int i = 0; i < 2; i++)
		ck_assert_msg(strstr(r.finding.text, hosts[_i].text[i]) != NULL,
			"%s: '%s' has no '%s'", hosts[_i].name, r.finding.text, hosts[_i].text[i]);
	ck_assert_msg(strstr(r.finding.source, hosts[_i].source) != NULL, "%s: source %s",
		hosts[_i].name, r.finding.source);
	for (const char *c = r.finding.text; *c; c++)
		ck_assert_int_ge(*c, ' ');
}
END_TEST

START_TEST(kernel_insists_as_its_module_says)
{
	static const struct {
		struct file file[2];
		enum vfm_tri insists;
		const char *module;
	} cases[] = {
		{{{TYPE1, "N\n"}}, VFM_YES, "vfio_iommu_type1"},
		{{{TYPE1, "Y\n"}}, VFM_NO, "vfio_iommu_type1"},
		{{{TYPE1, "maybe\n"}}, VFM_UNKNOWN, "vfio_iommu_type1"},
		{{{TYPE1, ""}}, VFM_UNKNOWN, "vfio_iommu_type1"},
		{{{NULL, NULL}}, VFM_UNKNOWN, "vfio_iommu_type1"},
		{{{FD, "N\n"}}, VFM_YES, "iommufd"},
		{{{FD, "Y\n"}}, VFM_NO, "iommufd"},
		/* The one behind /dev/vfio/vfio counts. */
		{{{TYPE1, "Y\n"}, {FD, "N\n"}}, VFM_NO, "vfio_iommu_type1"},
		{{{TYPE1, "N\n"}, {FD, "Y\n"}}, VFM_YES, "vfio_iommu_type1"},
	};
	struct vfm_remapping r;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_remove(&k, "sys/module");
		for (int n = 0; n < 2 && cases[i].file[n].path; n++)
			fake_puts(&k, cases[i].file[n].path, cases[i].file[n].text);
		ck_assert_int_eq(vfm_remapping_read(v, &r, NULL), 0);
		ck_assert_msg(r.kernel_insists == cases[i].insists, "%zu", i);
		ck_assert_str_eq(r.module, cases[i].module);
	}
}
END_TEST

/* The word on the command line is of a module that is not there: who loads it may say otherwise. */
START_TEST(command_line_is_no_proof_that_the_kernel_insists)
{
	struct vfm_remapping r;

	fake_puts(&k, "proc/cmdline", "vfio_iommu_type1.allow_unsafe_interrupts=0\n");
	ck_assert_int_eq(vfm_remapping_read(v, &r, NULL), 0);
	ck_assert_int_eq(r.kernel_insists, VFM_UNKNOWN);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-remapping");
	TCase *t = tcase_create("remapping");

	tcase_add_checked_fixture(t, setup, world_down);
	tcase_add_loop_test(t, host_is_told_by_what_it_shows, 0, (int)ARRAY_SIZE(hosts));
	tcase_add_test(t, kernel_insists_as_its_module_says);
	tcase_add_test(t, command_line_is_no_proof_that_the_kernel_insists);
	suite_add_tcase(s, t);
	return suite_run(s);
}
