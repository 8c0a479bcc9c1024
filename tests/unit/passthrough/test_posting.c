// SPDX-License-Identifier: GPL-2.0-or-later
/* Which hosts are said to post interrupts, and lines of /proc/interrupts. */
#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "passthrough/host_irqs.h"
#include "passthrough/posting.h"
#include "tests/unit/check_run.h"

static char root[64];
static struct sysfs fs;

static void put(const char *path, const char *text)
{
	char full[512], *p;
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (p = full + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		mkdir(full, 0755);
	}
	f = fopen(full, "we");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static int gone(const char *path, const struct stat *st, int kind, struct FTW *w)
{
	return remove(path);
}

static void setup(void)
{
	strcpy(root, "/tmp/viaduct-posting-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	ck_assert_int_eq(sysfs_open(root, &fs), 0);
	put("proc/cmdline", "quiet intel_iommu=on\n");
}

static void teardown(void)
{
	sysfs_close(&fs);
	nftw(root, gone, 16, FTW_DEPTH | FTW_PHYS);
}

#define CAP(unit) "sys/class/iommu/" unit "/intel-iommu/cap"
#define EFR(unit) "sys/class/iommu/" unit "/amd-iommu/features"
#define PI        "8d2008c40660462\n" /* bit 59 set */
#define NO_PI     "d2008c40660462\n"
#define APICV     "sys/module/kvm_intel/parameters/enable_apicv"
#define DEVICE    "sys/module/kvm_intel/parameters/enable_device_posted_irqs"
#define AVIC      "sys/module/kvm_amd/parameters/avic"
#define X2AVIC    "processor : 0\nflags\t\t: fpu avic x2avic vnmi\n\nprocessor : 1\n"

static const struct {
	const char *file[9]; /* path, text, ... */
	bool possible;
	const char *why;
} hosts[] = {
	{{NULL}, false, "no remapping unit"},
	{{CAP("dmar0"), PI, APICV, "Y\n"}, true, "APICv is on"},
	{{CAP("dmar0"), PI, CAP("dmar1"), PI, APICV, "1\n", DEVICE, "Y\n"}, true, "APICv"},
	{{CAP("dmar0"), NO_PI, APICV, "Y\n"}, false, "dmar0 does not post"},
	{{CAP("dmar0"), PI, CAP("dmar1"), NO_PI, APICV, "Y\n"}, false, "dmar1"},
	{{CAP("dmar0"), NO_PI, CAP("dmar1"), PI, APICV, "Y\n"}, false, "dmar0"},
	{{CAP("dmar0"), "garbage\n", APICV, "Y\n"}, false, "dmar0"},
	{{CAP("dmar0"), PI, APICV, "N\n"}, false, "APICv is off"},
	{{CAP("dmar0"), PI}, false, "APICv is off"},
	{{CAP("dmar0"), PI, APICV, "Y\n", DEVICE, "N\n"}, false, "enable_device_posted_irqs"},
	{{CAP("dmar0"), PI, APICV, "Y\n", "proc/cmdline", "a intremap=on,nopost b\n"}, false,
		"command line"},
	{{CAP("dmar0"), PI, APICV, "Y\n", "proc/cmdline", "xintremap=nopost\n"}, true, "APICv"},
	{{EFR("ivhd0"), "2000a5:0\n", AVIC, "Y\n", "proc/cpuinfo", X2AVIC}, true, "x2AVIC"},
	{{EFR("ivhd0"), "a5\n", AVIC, "Y\n", "proc/cpuinfo", X2AVIC}, false, "ivhd0"},
	{{EFR("ivhd0"), "2000a5\n", AVIC, "N\n", "proc/cpuinfo", X2AVIC}, false, "AVIC is off"},
	{{EFR("ivhd0"), "2000a5\n", AVIC, "Y\n", "proc/cpuinfo", "p : 0\nflags : avic\n"}, false,
		"x2APIC"},
};

START_TEST(host_posts_only_when_all_of_it_says_so)
{
	struct posting p;

	for (size_t i = 0; hosts[_i].file[i]; i += 2)
		put(hosts[_i].file[i], hosts[_i].file[i + 1]);
	posting_read(&fs, &p);
	ck_assert_msg(p.possible == hosts[_i].possible, "host %d: %s", _i, p.why);
	ck_assert_msg(strstr(p.why, hosts[_i].why), "host %d: %s", _i, p.why);
}
END_TEST

static const struct {
	struct irq_target t;
	bool taken;
} targets[] = {
	{{.dest = 0, .vector = 0x31}, true},
	{{.dest = 300, .vector = 0x31, .mode = 1}, true},
	{{.dest = 0xff, .vector = 0x31}, false},
	{{.dest = UINT32_MAX, .vector = 0x31}, false},
	{{.dest = 4, .logical = true}, true},
	{{.dest = 5, .logical = true}, false},
	{{.dest = 0, .mode = 4}, false},
	{{.dest = 0, .level = true}, false},
};

START_TEST(message_is_posted_only_to_one_processor)
{
	ck_assert_int_eq(posting_takes(targets[_i].t), targets[_i].taken);
}
END_TEST

static const struct {
	const char *line;
	unsigned int n, irq, index;
	enum host_irq_kind kind;
	uint64_t count;
} lines[] = {
	{" 24:  5  7  IR-PCI-MSIX-0000:01:10.0 3-edge  vfio-msix[3](0000:01:10.0)\n", 1, 24, 3,
		HOST_IRQ_MSIX, 12},
	{"124:  0  8254x vfio-msi[0](0000:01:10.0)\n", 1, 124, 0, HOST_IRQ_MSI, 0},
	{" 17:  9  IO-APIC 17-fasteoi  ehci, vfio-intx(0000:01:10.0), vfio-intx(0000:02:00.0)\n", 2,
		17, 0, HOST_IRQ_INTX, 9},
	{"NMI:  1  vfio-intx(0000:01:10.0)\n", 0},
	{" 24:  5  x vfio-msix[](0000:01:10.0)\n", 0},
	{" 24:  5  x vfio-msix[3](0000:01:10.0\n", 0},
	{" 24:  5  x vfio-msix[99999999999](0000:01:10.0)\n", 0},
	{" 24:  5  x vfio-msix[3](0000:01:10.00000000000000000000000000000000)\n", 0},
	{" 24:  5  x igbvf(0000:01:10.0)\n", 0},
	{"", 0},
};

START_TEST(line_of_the_host_is_read_or_passed_over)
{
	struct host_irq irq[HOST_IRQ_SHARED];
	unsigned int n = host_irq_parse(lines[_i].line, irq);

	ck_assert_uint_eq(n, lines[_i].n);
	if (!n)
		return;
	ck_assert_uint_eq(irq[0].irq, lines[_i].irq);
	ck_assert_uint_eq(irq[0].index, lines[_i].index);
	ck_assert_int_eq(irq[0].kind, lines[_i].kind);
	ck_assert_uint_eq(irq[0].count, lines[_i].count);
	ck_assert_uint_eq(bdf_rid(irq[0].bdf), 0x180);
}
END_TEST

START_TEST(all_lines_are_found)
{
	_cleanup_free_ struct host_irq *irq = NULL;
	char text[40000] = "           CPU0       CPU1\n";
	size_t len = strlen(text);

	ck_assert_int_eq(host_irqs_read(&fs, &irq), -ENOENT);
	for (int i = 0; i < 500; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
			"%3d: %d 1 IR-PCI-MSI x vfio-msix[%d](0000:01:10.0)\n", 24 + i, i, i);
	put("proc/interrupts", text);
	ck_assert_int_eq(host_irqs_read(&fs, &irq), 500);
	ck_assert_uint_eq(irq[499].count, 500);
	ck_assert_uint_eq(irq[499].irq, 523);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("passthrough posting");
	TCase *t = tcase_create("posting");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, host_posts_only_when_all_of_it_says_so, 0, ARRAY_SIZE(hosts));
	tcase_add_loop_test(t, message_is_posted_only_to_one_processor, 0, ARRAY_SIZE(targets));
	tcase_add_loop_test(t, line_of_the_host_is_read_or_passed_over, 0, ARRAY_SIZE(lines));
	tcase_add_test(t, all_lines_are_found);
	suite_add_tcase(s, t);
	return suite_run(s);
}
