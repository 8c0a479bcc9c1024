// SPDX-License-Identifier: GPL-2.0-or-later
/* The tables are read back by a parser of their own: offsets from ACPI 6.4, not from acpi.c. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "irqremap/irqremap.h"
#include "vmm/acpi.h"
#include "vmm/layout.h"

#define MEMORY   (16ull << 20)
#define INFO_GPA 0xff000ull
#define CPUS_MAX 9000u
#define BUSES    (LAYOUT_ECAM_SIZE >> 20)

static struct gmem *mem;
static uint32_t ids[CPUS_MAX];

static void setup(void)
{
	struct err e = {0};

	ck_assert_msg(
		gmem_create(&(struct gmem_config){.size = MEMORY}, &e, &mem) == 0, "%s", e.text);
	for (unsigned int i = 0; i < CPUS_MAX; i++)
		ids[i] = i;
}

static void teardown(void)
{
	gmem_destroy(mem);
}

static const struct acpi_config base = {
	.cpus = 2,
	.apic_ids = ids,
	.mmio32 = {LAYOUT_PCI_MMIO32, LAYOUT_PCI_MMIO32 + LAYOUT_PCI_MMIO32_SIZE},
	.mmio64 = {0x4000000000, 0x8000000000},
	.pio = {LAYOUT_PCI_PIO, LAYOUT_PCI_PIO + LAYOUT_PCI_PIO_SIZE},
};

static uint8_t *at(uint64_t gpa, uint64_t len)
{
	uint8_t *p = gmem_hva(mem, gpa, len);

	ck_assert_ptr_nonnull(p);
	return p;
}

static unsigned int sum(const uint8_t *p, size_t len)
{
	unsigned int s = 0;

	while (len--)
		s += *p++;
	return s & 0xff;
}

static void build(const struct acpi_config *cfg)
{
	struct err e = {0};
	uint64_t rsdp;

	ck_assert_msg(acpi_build(cfg, mem, &e, &rsdp) == 0, "%s", e.text);
	ck_assert_uint_eq(rsdp, LAYOUT_ACPI);
}

/* A table by its address, with length and checksum proved. */
static uint8_t *table(uint64_t gpa, const char *signature)
{
	uint8_t *p = at(gpa, 36);
	uint64_t len = le_load(p + 4, 4);

	ck_assert_msg(memcmp(p, signature, 4) == 0, "%.4s is not %s", (char *)p, signature);
	ck_assert_uint_ge(gpa, LAYOUT_ACPI);
	ck_assert_uint_le(gpa + len, INFO_GPA);
	p = at(gpa, len);
	ck_assert_uint_eq(sum(p, len), 0);
	ck_assert_uint_eq(gpa & 7, 0);
	return p;
}

/* From the RSDP through the XSDT, as a kernel goes. */
static uint8_t *find(const char *signature)
{
	uint8_t *rsdp = at(LAYOUT_ACPI, 36), *xsdt;

	ck_assert(memcmp(rsdp, "RSD PTR ", 8) == 0);
	ck_assert_uint_eq(rsdp[15], 2);
	ck_assert_uint_eq(le_load(rsdp + 20, 4), 36);
	ck_assert_uint_eq(sum(rsdp, 20), 0);
	ck_assert_uint_eq(sum(rsdp, 36), 0);
	xsdt = table(le_load(rsdp + 24, 8), "XSDT");
	for (uint64_t off = 36; off < le_load(xsdt + 4, 4); off += 8) {
		uint64_t gpa = le_load(xsdt + off, 8);

		if (memcmp(at(gpa, 4), signature, 4) == 0)
			return table(gpa, signature);
	}
	ck_abort_msg("no %s", signature);
}

static void gas_is_port(const uint8_t *gas, uint64_t port)
{
	ck_assert_uint_eq(gas[0], 1); /* system I/O */
	ck_assert_uint_eq(gas[1], 8);
	ck_assert_uint_eq(gas[2], 0);
	ck_assert_uint_eq(gas[3], 1);
	ck_assert_uint_eq(le_load(gas + 4, 8), port);
}

/* Without these a guest cannot turn itself off or restart, or waits for chips we do not have. */
START_TEST(fadt_is_hardware_reduced_with_reset_and_sleep_registers)
{
	uint8_t *f;
	uint32_t flags;

	build(&base);
	f = find("FACP");
	ck_assert_uint_eq(le_load(f + 4, 4), 276);
	ck_assert_uint_eq(f[8], 6);
	flags = (uint32_t)le_load(f + 112, 4);
	ck_assert(flags & 1u << 20); /* HW_REDUCED_ACPI */
	ck_assert(flags & 1u << 10); /* RESET_REG_SUP */
	gas_is_port(f + 116, 0xcf9);
	ck_assert_uint_eq(f[128], 6);
	gas_is_port(f + 244, LAYOUT_PORT_SLEEP_CTL);
	gas_is_port(f + 256, LAYOUT_PORT_SLEEP_STS);
	/* boot flags: no i8042, no VGA, MSI allowed, no CMOS clock */
	ck_assert_uint_eq(le_load(f + 109, 2) & 0x2e, 0x24);
	/* no fixed hardware at all */
	for (unsigned int i = 46; i < 108; i++)
		ck_assert_uint_eq(f[i], 0);
	table(le_load(f + 140, 8), "DSDT");
	ck_assert_uint_eq(le_load(f + 140, 8), le_load(f + 40, 4));
}
END_TEST

struct madt_seen {
	unsigned int lapic, x2apic, ioapic, nmi, x2nmi;
};

static struct madt_seen madt_walk(const uint8_t *m)
{
	struct madt_seen s = {0};
	uint64_t len = le_load(m + 4, 4), off = 44;

	ck_assert_uint_eq(le_load(m + 36, 4), LAYOUT_LAPIC);
	ck_assert_uint_eq(le_load(m + 40, 4), 0); /* no 8259s */
	while (off < len) {
		const uint8_t *p = m + off;
		unsigned int cpu = s.lapic + s.x2apic;

		ck_assert_uint_ge(p[1], 6);
		ck_assert_uint_le(off + p[1], len);
		switch (p[0]) {
		case 0:
			ck_assert_uint_eq(p[1], 8);
			ck_assert_uint_eq(p[3], ids[cpu]);
			ck_assert_uint_lt(p[3], 255);
			ck_assert_uint_eq(le_load(p + 4, 4), 1);
			s.lapic++;
			break;
		case 1:
			ck_assert_uint_eq(p[1], 12);
			ck_assert_uint_eq(le_load(p + 4, 4), IOAPIC_BASE);
			ck_assert_uint_eq(le_load(p + 8, 4), 0);
			s.ioapic++;
			break;
		case 4:
			ck_assert_uint_eq(p[1], 6);
			ck_assert_uint_eq(p[2], 0xff);
			ck_assert_uint_eq(p[5], 1);
			s.nmi++;
			break;
		case 9:
			ck_assert_uint_eq(p[1], 16);
			ck_assert_uint_eq(le_load(p + 4, 4), ids[cpu]);
			ck_assert_uint_eq(le_load(p + 8, 4), 1);
			ck_assert_uint_eq(le_load(p + 12, 4), cpu);
			s.x2apic++;
			break;
		case 10: s.x2nmi++; break;
		default: ck_abort_msg("entry type %u", p[0]);
		}
		off += p[1];
	}
	ck_assert_uint_eq(off, len);
	return s;
}

static const struct {
	unsigned int cpus;
	struct madt_seen want;
} madt_cases[] = {
	{1, {.lapic = 1, .ioapic = 1, .nmi = 1}},
	{255, {.lapic = 255, .ioapic = 1, .nmi = 1}},
	{256, {.lapic = 255, .x2apic = 1, .ioapic = 1, .nmi = 1, .x2nmi = 1}},
	{1024, {.lapic = 255, .x2apic = 769, .ioapic = 1, .nmi = 1, .x2nmi = 1}},
};

/* APIC id 255 is the 8-bit broadcast id: from there on only an x2APIC entry can name a CPU. */
START_TEST(madt_lists_every_cpu_once)
{
	struct acpi_config cfg = base;
	struct madt_seen got;

	cfg.cpus = madt_cases[_i].cpus;
	build(&cfg);
	got = madt_walk(find("APIC"));
	ck_assert_mem_eq(&got, &madt_cases[_i].want, sizeof(got));
}
END_TEST

START_TEST(too_many_cpus_are_refused_and_nothing_is_written)
{
	struct acpi_config cfg = base;
	struct err e = {0};
	uint64_t rsdp = 7;

	cfg.cpus = CPUS_MAX;
	ck_assert_int_eq(acpi_build(&cfg, mem, &e, &rsdp), -E2BIG);
	ck_assert_ptr_nonnull(strstr(e.text, "9000"));
	ck_assert_uint_eq(rsdp, 7);
	ck_assert_uint_eq(sum(at(LAYOUT_ACPI, 0x20000), 0x20000), 0);
}
END_TEST

START_TEST(mcfg_names_the_buses_there_are)
{
	uint8_t *m;

	build(&base);
	m = find("MCFG");
	ck_assert_uint_eq(le_load(m + 4, 4), 60);
	ck_assert_uint_eq(le_load(m + 44, 8), LAYOUT_ECAM);
	ck_assert_uint_eq(le_load(m + 52, 2), 0);
	ck_assert_uint_eq(m[54], 0);
	ck_assert_uint_eq(((uint64_t)m[55] + 1) << 20, LAYOUT_ECAM_SIZE);
}
END_TEST

static const struct {
	struct range mmio64;
	uint64_t want_size;
} info_cases[] = {
	{{0x4000000000, 0x8000000000}, 0x4000000000},
	{{0, 0}, 0}, /* the DSDT leaves the window out */
};

/* The DSDT reads the windows from here. */
START_TEST(windows_are_where_the_dsdt_reads_them)
{
	struct acpi_config cfg = base;
	uint8_t *p;

	cfg.mmio64 = info_cases[_i].mmio64;
	build(&cfg);
	p = at(INFO_GPA, 48);
	ck_assert_uint_eq(le_load(p, 8), LAYOUT_PCI_MMIO32);
	ck_assert_uint_eq(le_load(p + 8, 8), LAYOUT_PCI_MMIO32_SIZE);
	ck_assert_uint_eq(le_load(p + 16, 8), cfg.mmio64.start);
	ck_assert_uint_eq(le_load(p + 24, 8), info_cases[_i].want_size);
	ck_assert_uint_eq(le_load(p + 32, 8), LAYOUT_PCI_PIO);
	ck_assert_uint_eq(le_load(p + 40, 8), LAYOUT_PCI_PIO_SIZE);
}
END_TEST

static bool dsdt_has(const void *bytes, size_t len)
{
	uint8_t *d = table(le_load(find("FACP") + 140, 8), "DSDT");

	return memmem(d, le_load(d + 4, 4), bytes, len) != NULL;
}

/* dsdt.asl repeats constants of layout.h: here they are compared, as AML bytes. */
START_TEST(dsdt_agrees_with_the_layout)
{
	uint8_t ecam[] = {0x86, 9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
	uint8_t sleep[] = {0x47, 1, 0, 0, 0, 0, 1, 2}, com1[] = {0x47, 1, 0, 0, 0, 0, 1, 8};
	/* Interrupt(ResourceConsumer, Edge, ActiveHigh, Exclusive) { 4 } */
	uint8_t irq[] = {0x89, 6, 0, 3, 1, LAYOUT_GSI_COM1, 0, 0, 0};
	uint8_t button[] = {0x89, 6, 0, 3, 1, LAYOUT_GSI_BUTTON, 0, 0, 0};
	uint8_t region[] = {0x5b, 0x80, 'I', 'N', 'F', 'O', 0, 0x0c, 0, 0, 0, 0};

	/* WordBusNumber 0 .. BUSES - 1 */
	uint8_t buses[] = {0x88, 13, 0, 2, 12, 0, 0, 0, 0, 0, BUSES - 1, 0, 0, 0, BUSES, 0};

	build(&base);
	ck_assert(dsdt_has(buses, sizeof(buses)));
	le_store(ecam + 4, 4, LAYOUT_ECAM);
	le_store(ecam + 8, 4, LAYOUT_ECAM_SIZE);
	le_store(sleep + 2, 2, LAYOUT_PORT_SLEEP_CTL);
	le_store(sleep + 4, 2, LAYOUT_PORT_SLEEP_CTL);
	le_store(com1 + 2, 2, LAYOUT_PORT_COM1);
	le_store(com1 + 4, 2, LAYOUT_PORT_COM1);
	le_store(region + 8, 4, INFO_GPA);
	ck_assert(dsdt_has(ecam, sizeof(ecam)));
	ck_assert(dsdt_has(sleep, sizeof(sleep)));
	ck_assert(dsdt_has(com1, sizeof(com1)));
	ck_assert(dsdt_has(irq, sizeof(irq)));
	ck_assert(dsdt_has(button, sizeof(button)));
	ck_assert(dsdt_has(region, sizeof(region)));
	ck_assert(dsdt_has("_S5_\x12", 5));
}
END_TEST

/* An independent reader: iasl must be able to take every table apart without complaint. */
START_TEST(iasl_disassembles_every_table)
{
	static const char *const names[] = {"FACP", "APIC", "MCFG"};
	char dir[] = "/tmp/viaduct-acpi-XXXXXX";
	_cleanup_free_ char *cmd = NULL, *clean = NULL;
	uint8_t *t[4];

	build(&base);
	for (unsigned int i = 0; i < 3; i++)
		t[i] = find(names[i]);
	t[3] = table(le_load(t[0] + 140, 8), "DSDT");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (unsigned int i = 0; i < 4; i++) {
		_cleanup_free_ char *path = NULL;
		_cleanup_file_ FILE *f = NULL;

		ck_assert_int_gt(asprintf(&path, "%s/t%u.dat", dir, i), 0);
		f = fopen(path, "w");
		ck_assert_ptr_nonnull(f);
		ck_assert_uint_eq(fwrite(t[i], le_load(t[i] + 4, 4), 1, f), 1);
	}
	ck_assert_int_gt(
		asprintf(&cmd,
			"cd %s && for t in t?.dat; do iasl -d $t >log 2>&1 || exit 1; "
			"! grep -iE 'error|warning|invalid|corrupt|unknown' log $t ${t%%.dat}.dsl "
			"|| exit 2; done; grep -q '_PRT' t3.dsl && grep -q 'Reset Register' t0.dsl",
			dir),
		0);
	ck_assert_int_eq(system(cmd), 0);
	ck_assert_int_gt(asprintf(&clean, "rm -rf %s", dir), 0);
	ck_assert_int_eq(system(clean), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("acpi");
	TCase *t = tcase_create("tables");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, fadt_is_hardware_reduced_with_reset_and_sleep_registers);
	tcase_add_loop_test(t, madt_lists_every_cpu_once, 0, (int)ARRAY_SIZE(madt_cases));
	tcase_add_test(t, too_many_cpus_are_refused_and_nothing_is_written);
	tcase_add_test(t, mcfg_names_the_buses_there_are);
	tcase_add_loop_test(
		t, windows_are_where_the_dsdt_reads_them, 0, (int)ARRAY_SIZE(info_cases));
	tcase_add_test(t, dsdt_agrees_with_the_layout);
	tcase_add_test(t, iasl_disassembles_every_table);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
