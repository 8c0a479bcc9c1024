// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "tests/fakes/irq_recorder.h"
#include "vmm/layout.h"
#include "vmm/pci.h"

#define ECAM(devfn, off) (LAYOUT_ECAM + ((uint64_t)(devfn) << 12) + (off))
#define HIGH             0x800000000ull
#define COMMAND          0x04u
#define IO               0x1u
#define MEM              0x2u
#define MASTER           0x4u

/* ---- a device that writes down what happens to it ---- */

#define EVENTS 64

struct dev {
	struct pci_func f;
	char events[EVENTS][32]; /* "map 0 c0000000", "cfg 4/2 7", ... */
	unsigned int n;
	uint8_t hw[PCI_CFG_SIZE];
	uint64_t reg;
};

static struct bus *mmio, *pio;
static struct pci_root *root;
static struct irq_recorder rec;
static struct irq_router *router;
static char order[16]; /* names of destroyed devices */
static unsigned int alive;

#define dev_log(d, ...)                                                                       \
	do {                                                                                  \
		if ((d)->n < EVENTS)                                                          \
			snprintf((d)->events[(d)->n++], sizeof((d)->events[0]), __VA_ARGS__); \
	} while (0)

static struct dev *dev_of(struct pci_func *f)
{
	return container_of(f, struct dev, f);
}

static uint32_t dev_cfg_read(struct pci_func *f, unsigned int off, unsigned int len)
{
	ck_assert_uint_eq(off % len, 0);
	return (uint32_t)le_load(dev_of(f)->hw + off, len);
}

static void dev_cfg_write(struct pci_func *f, unsigned int off, unsigned int len, uint32_t val)
{
	ck_assert_uint_eq(off % len, 0);
	le_store(dev_of(f)->hw + off, len, val);
	dev_log(dev_of(f), "cfg %x/%u %x", off, len, val);
}

static uint64_t dev_bar_read(struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len)
{
	return (bar << 16 | off | len << 24) & ones(len);
}

static void dev_bar_write(
	struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len, uint64_t val)
{
	dev_log(dev_of(f), "bar %u+%x/%u %x", bar, (unsigned int)off, len, (unsigned int)val);
}

static void dev_bar_map(struct pci_func *f, unsigned int bar, uint64_t addr)
{
	ck_assert_uint_eq(pci_bar_addr(f, bar), addr);
	dev_log(dev_of(f), "map %u %llx", bar, (unsigned long long)addr);
}

static void dev_bar_unmap(struct pci_func *f, unsigned int bar)
{
	ck_assert_uint_eq(pci_bar_addr(f, bar), 0);
	dev_log(dev_of(f), "unmap %u", bar);
}

static void dev_reset(struct pci_func *f)
{
	dev_log(dev_of(f), "reset");
}

static void dev_destroy(struct pci_func *f)
{
	strncat(order, f->name, sizeof(order) - strlen(order) - 1);
	alive--;
	free(dev_of(f));
}

static const struct pci_func_ops dev_ops = {
	.cfg_read = dev_cfg_read,
	.cfg_write = dev_cfg_write,
	.bar_read = dev_bar_read,
	.bar_write = dev_bar_write,
	.bar_map = dev_bar_map,
	.bar_unmap = dev_bar_unmap,
	.reset = dev_reset,
	.destroy = dev_destroy,
};

static struct dev *dev_new(const char *name, uint8_t devfn)
{
	const struct pci_ids ids = {0x1234, 0x5678, 0x9abc, 0xdef0, 0x020000, 3};
	struct dev *d = calloc(1, sizeof(*d));

	ck_assert_ptr_nonnull(d);
	pci_func_init(&d->f, &dev_ops, name, &ids);
	d->f.devfn = devfn;
	alive++;
	return d;
}

static void dev_add(struct dev *d)
{
	ck_assert_int_eq(pci_root_add(root, &d->f, NULL), 0);
}

static int arm_log(void *ctx, unsigned int count, const int *fds)
{
	dev_log((struct dev *)ctx, "arm %u", count);
	return 0;
}

static void disarm_log(void *ctx)
{
	dev_log((struct dev *)ctx, "disarm");
}

/* All events since the last call, joined by ", ". */
static const char *events(struct dev *d)
{
	static char buf[EVENTS * 34];

	buf[0] = '\0';
	for (unsigned int i = 0; i < d->n; i++) {
		if (i)
			strcat(buf, ", ");
		strcat(buf, d->events[i]);
	}
	d->n = 0;
	return buf;
}

static const struct pci_root_config *config(void)
{
	static struct pci_root_config c;

	c = (struct pci_root_config){
		.mmio = mmio,
		.pio = pio,
		.mmio32 = {LAYOUT_PCI_MMIO32, LAYOUT_PCI_MMIO32 + LAYOUT_PCI_MMIO32_SIZE},
		.mmio64 = {HIGH, HIGH + 0x100000000ull},
		.pio_window = {LAYOUT_PCI_PIO, LAYOUT_PCI_PIO + LAYOUT_PCI_PIO_SIZE},
	};
	return &c;
}

static void setup(void)
{
	struct irq_backend be;

	log_level_set(LOG_LEVEL_ERROR);
	order[0] = '\0';
	alive = 0;
	irq_recorder_init(&rec);
	be = irq_recorder_backend(&rec);
	ck_assert_int_eq(irq_router_create(&be, IRQ_RECORDER_GSIS, NULL, &router), 0);
	ck_assert_int_eq(bus_create("mmio", NULL, &mmio), 0);
	ck_assert_int_eq(bus_create("pio", NULL, &pio), 0);
	ck_assert_int_eq(pci_root_create(config(), NULL, &root), 0);
}

static void teardown(void)
{
	pci_root_destroy(root);
	ck_assert_uint_eq(alive, 0);
	/* Nothing of ours answers any more. */
	ck_assert_uint_eq(bus_read(mmio, ECAM(0, 0), 4), UINT32_MAX);
	ck_assert_uint_eq(bus_read(pio, 0xcfc, 4), UINT32_MAX);
	bus_destroy(mmio);
	bus_destroy(pio);
	irq_router_destroy(router);
	irq_recorder_finish(&rec);
}

static uint32_t rd(uint8_t devfn, unsigned int off, unsigned int len)
{
	return pci_cfg_read(root, 0, devfn, off, len);
}

static void wr(uint8_t devfn, unsigned int off, unsigned int len, uint32_t val)
{
	pci_cfg_write(root, 0, devfn, off, len, val);
}

/* ---- ways in ---- */

static const struct {
	uint64_t addr;
	unsigned int len;
	uint64_t want;
} ecam_cases[] = {
	{ECAM(8, 0), 1, 0x34},
	{ECAM(8, 1), 1, 0x12},
	{ECAM(8, 0), 2, 0x1234},
	{ECAM(8, 1), 2, 0x7812},
	{ECAM(8, 2), 2, 0x5678},
	{ECAM(8, 0), 4, 0x56781234},
	{ECAM(8, 8), 4, 0x02000003},
	{ECAM(8, 0), 8, 0x0000000056781234},
	{ECAM(8, 8), 8, 0x0000000002000003},
	/* Over the end of a dword, a quadword, a function, the space. */
	{ECAM(8, 3), 2, UINT16_MAX},
	{ECAM(8, 1), 4, UINT32_MAX},
	{ECAM(8, 4), 8, UINT64_MAX},
	{ECAM(8, 0xffe), 4, UINT32_MAX},
	{ECAM(8, 0xffc), 4, 0},
	{ECAM(8, 0xfff), 1, 0},
	{LAYOUT_ECAM + LAYOUT_ECAM_SIZE - 1, 1, UINT8_MAX},
	{LAYOUT_ECAM + LAYOUT_ECAM_SIZE - 2, 4, UINT32_MAX},
	/* Nobody there, and other buses. */
	{ECAM(0x10, 0), 4, UINT32_MAX},
	{ECAM(0x10, 0), 8, UINT64_MAX},
	{ECAM(0x108, 0), 4, UINT32_MAX},
	{LAYOUT_ECAM + LAYOUT_ECAM_SIZE - 4, 4, UINT32_MAX},
	/* The host bridge. */
	{ECAM(0, 0), 4, 0x00081b36},
	{ECAM(0, 8), 4, 0x06000000},
};

START_TEST(ecam_answers_every_size_and_alignment)
{
	dev_add(dev_new("a", 8));
	ck_assert_uint_eq(
		bus_read(mmio, ecam_cases[_i].addr, ecam_cases[_i].len), ecam_cases[_i].want);
}
END_TEST

START_TEST(ecam_writes_reach_the_register)
{
	dev_add(dev_new("a", 8));
	bus_write(mmio, ECAM(8, 0x3c), 1, 0x5a);
	ck_assert_uint_eq(rd(8, 0x3c, 4), 0x5a);
	bus_write(mmio, ECAM(8, 0x38), 8, 0x77ull << 32);
	ck_assert_uint_eq(rd(8, 0x3c, 4), 0x77);
	/* Read-only ones stay; one that crosses a dword does nothing. */
	bus_write(mmio, ECAM(8, 0), 4, 0);
	ck_assert_uint_eq(rd(8, 0, 4), 0x56781234);
	bus_write(mmio, ECAM(8, 0x3b), 2, 0x1111);
	ck_assert_uint_eq(rd(8, 0x3c, 1), 0x77);
	bus_write(mmio, ECAM(0x10, 0x3c), 1, 0x5a);
}
END_TEST

START_TEST(cf8_needs_its_enable_bit_and_a_dword)
{
	dev_add(dev_new("a", 8));
	ck_assert_uint_eq(bus_read(pio, 0xcfc, 4), UINT32_MAX);
	bus_write(pio, 0xcf8, 4, 0x800 | 0x80000003u);
	ck_assert_uint_eq(bus_read(pio, 0xcf8, 4), 0x80000800);
	ck_assert_uint_eq(bus_read(pio, 0xcfc, 4), 0x56781234);
	ck_assert_uint_eq(bus_read(pio, 0xcfd, 1), 0x12);
	ck_assert_uint_eq(bus_read(pio, 0xcfe, 2), 0x5678);
	ck_assert_uint_eq(bus_read(pio, 0xcfd, 2), 0x7812);
	ck_assert_uint_eq(bus_read(pio, 0xcfe, 4), UINT32_MAX);
	bus_write(pio, 0xcf8, 2, 0);
	bus_write(pio, 0xcf8, 1, 0);
	bus_write(pio, 0xcfa, 2, 0);
	ck_assert_uint_eq(bus_read(pio, 0xcf8, 4), 0x80000800);
	bus_write(pio, 0xcf8, 4, 0x8000083c);
	bus_write(pio, 0xcfc, 1, 0x5a);
	ck_assert_uint_eq(rd(8, 0x3c, 1), 0x5a);
	bus_write(pio, 0xcf8, 4, 0x0000083c);
	ck_assert_uint_eq(bus_read(pio, 0xcfc, 4), UINT32_MAX);
	bus_write(pio, 0xcfc, 1, 0x11);
	ck_assert_uint_eq(rd(8, 0x3c, 1), 0x5a);
	/* Another bus. */
	bus_write(pio, 0xcf8, 4, 0x80010800);
	ck_assert_uint_eq(bus_read(pio, 0xcfc, 4), UINT32_MAX);
}
END_TEST

static uint64_t cf9_read(void *ctx, uint64_t off, unsigned int len)
{
	return 0x99;
}

static void cf9_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	*(uint64_t *)ctx = val;
}

/* A guest that reboots by CF9 must get there whoever registered first. */
START_TEST(cf9_belongs_to_the_reset_register)
{
	uint64_t got = 0;
	const struct bus_region r = {.base = 0xcf9,
		.size = 1,
		.read = cf9_read,
		.write = cf9_write,
		.ctx = &got,
		.name = "reset"};

	if (_i) {
		pci_root_destroy(root);
		ck_assert_int_eq(bus_add(pio, &r, NULL), 0);
		ck_assert_int_eq(pci_root_create(config(), NULL, &root), 0);
	} else {
		ck_assert_int_eq(bus_add(pio, &r, NULL), 0);
	}
	bus_write(pio, 0xcf9, 1, 6);
	ck_assert_uint_eq(got, 6);
	ck_assert_uint_eq(bus_read(pio, 0xcf9, 1), 0x99);
	bus_write(pio, 0xcf8, 4, 0x80000000);
	ck_assert_uint_eq(got, 6);
	ck_assert_uint_eq(bus_read(pio, 0xcfc, 4), 0x00081b36);
	bus_remove(pio, 0xcf9, &got);
}
END_TEST

/* ---- functions ---- */

START_TEST(functions_hide_behind_function_0)
{
	dev_add(dev_new("b", 0x19));
	ck_assert_uint_eq(rd(0x19, 0, 4), UINT32_MAX);
	ck_assert_uint_eq(rd(0x18, 0, 4), UINT32_MAX);
	dev_add(dev_new("a", 0x18));
	ck_assert_uint_eq(rd(0x19, 0, 4), 0x56781234);
	ck_assert_uint_eq(rd(0x18, 0x0e, 1), 0x80);
	ck_assert_uint_eq(rd(0x19, 0x0e, 1), 0x80);
	ck_assert_uint_eq(rd(0, 0x0e, 1), 0);
	pci_root_reset(root);
	ck_assert_uint_eq(rd(0x18, 0x0e, 1), 0x80);
}
END_TEST

/* The caller hands the function over for good: on failure too it must not leak. */
START_TEST(taken_slot_is_refused_and_the_function_destroyed)
{
	struct dev *d;
	struct err e = {0};

	dev_add(dev_new("a", 8));
	d = dev_new("b", 8);
	pci_func_bar(&d->f, 0, PCI_BAR_MEM32, false, 0x1000);
	ck_assert_int_eq(
		pci_func_msix(&d->f, router, 0, 4, 0, 0, 0, 0x800, &(struct msi_ops){0}, NULL), 0);
	ck_assert_int_eq(pci_root_add(root, &d->f, &e), -EEXIST);
	ck_assert_ptr_nonnull(strstr(e.text, "taken by a"));
	ck_assert_str_eq(order, "b");
	ck_assert_uint_eq(alive, 1);
}
END_TEST

START_TEST(slots_run_out_at_32_devices)
{
	uint8_t devfn = 0;

	for (unsigned int i = 1; i < 32; i++) {
		ck_assert_int_eq(pci_root_slot(root, &devfn), 0);
		ck_assert_uint_eq(devfn, i << 3);
		/* A lone function 1 takes its device too. */
		dev_add(dev_new("x", (uint8_t)(devfn | (i & 1))));
	}
	ck_assert_int_eq(pci_root_slot(root, &devfn), -ENOSPC);
	ck_assert_uint_eq(devfn, 31 << 3);
}
END_TEST

START_TEST(functions_are_destroyed_last_added_first)
{
	dev_add(dev_new("a", 0x20));
	dev_add(dev_new("b", 0x10));
	dev_add(dev_new("c", 0x18));
	pci_root_destroy(root);
	ck_assert_str_eq(order, "cba");
	ck_assert_int_eq(pci_root_create(config(), NULL, &root), 0);
}
END_TEST

/* ---- config space ---- */

START_TEST(command_bits_follow_the_bars)
{
	struct dev *d = dev_new("a", 8), *m = dev_new("m", 0x10), *i = dev_new("i", 0x18);

	pci_func_bar(&m->f, 0, PCI_BAR_MEM32, false, 0x1000);
	pci_func_bar(&i->f, 5, PCI_BAR_IO, false, 0x20);
	dev_add(d);
	dev_add(m);
	dev_add(i);
	wr(8, COMMAND, 2, 0xffff);
	wr(0x10, COMMAND, 2, 0xffff);
	wr(0x18, COMMAND, 2, 0xffff);
	ck_assert_uint_eq(rd(8, COMMAND, 2), 0x0404);
	ck_assert_uint_eq(rd(0x10, COMMAND, 2), 0x0406);
	ck_assert_uint_eq(rd(0x18, COMMAND, 2), 0x0405);
}
END_TEST

START_TEST(status_errors_are_cleared_by_writing_ones)
{
	struct dev *d = dev_new("a", 8);

	ck_assert_uint_eq(pci_func_cap(&d->f, 0x09, 4), 0x40);
	le_store(d->f.cfg + 6, 2, le_load(d->f.cfg + 6, 2) | 0x9100);
	dev_add(d);
	wr(8, 6, 2, 0x0110);
	ck_assert_uint_eq(rd(8, 6, 2), 0x9010);
	wr(8, COMMAND, 4, 0x80000000);
	ck_assert_uint_eq(rd(8, 6, 2), 0x1010);
}
END_TEST

/* Which bits come from the device and which are ours is told bit by bit. */
START_TEST(partial_emulation_merges_bit_by_bit)
{
	struct dev *d = dev_new("a", 8);

	memset(d->hw, 0xa5, sizeof(d->hw));
	memset(d->f.emu, 0, sizeof(d->f.emu));
	le_store(d->f.emu + 0x80, 2, 0x0ff0);
	le_store(d->f.cfg + 0x80, 2, 0x1234);
	le_store(d->f.wmask + 0x80, 2, 0x00f0);
	dev_add(d);
	ck_assert_uint_eq(rd(8, 0x80, 2), 0xa235);
	ck_assert_uint_eq(rd(8, 0x80, 4), 0xa5a5a235);
	ck_assert_uint_eq(rd(8, 0x81, 2), 0xa5a2);
	ck_assert_uint_eq(rd(8, 0x84, 4), 0xa5a5a5a5);
	wr(8, 0x80, 2, 0xffff);
	ck_assert_str_eq(events(d), "cfg 80/2 ffff");
	ck_assert_uint_eq(rd(8, 0x80, 2), 0xf2ff);
	wr(8, 0x81, 2, 0x1122);
	ck_assert_str_eq(events(d), "cfg 81/1 22, cfg 82/1 11");
	/* BARs and what gates them are ours whatever emu says. */
	ck_assert_uint_eq(rd(8, 0x14, 4), 0);
	ck_assert_uint_eq(rd(8, 0x30, 4), 0);
	ck_assert_uint_eq(rd(8, COMMAND, 2), 0xa5a0);
}
END_TEST

START_TEST(capabilities_chain_until_there_is_no_room)
{
	struct dev *d = dev_new("a", 8);
	unsigned int off;

	ck_assert_uint_eq(pci_func_cap(&d->f, 0x01, 8), 0x40);
	ck_assert_uint_eq(pci_func_cap(&d->f, 0x09, 5), 0x48);
	ck_assert_uint_eq(pci_func_cap(&d->f, 0x10, 0x3c), 0x50);
	ck_assert_uint_eq(pci_func_cap(&d->f, 0x11, 0x74 + 1), 0);
	ck_assert_uint_eq(pci_func_cap(&d->f, 0x11, 0x74), 0x8c);
	ck_assert_uint_eq(pci_func_cap(&d->f, 0x09, 4), 0);
	dev_add(d);
	ck_assert_uint_eq(rd(8, 6, 2) & 0x10, 0x10);
	off = rd(8, 0x34, 1);
	for (unsigned int i = 0; i < 4; i++) {
		ck_assert_uint_eq(rd(8, off, 1), ((uint8_t[]){0x01, 0x09, 0x10, 0x11})[i]);
		off = rd(8, off + 1, 1);
	}
	ck_assert_uint_eq(off, 0);
}
END_TEST

START_TEST(reset_restores_power_on_values)
{
	struct dev *d = dev_new("a", 8);

	pci_func_bar(&d->f, 0, PCI_BAR_MEM32, false, 0x1000);
	dev_add(d);
	ck_assert_int_eq(pci_root_place(root, NULL), 0);
	wr(8, 0x3c, 1, 0x5a);
	events(d);
	pci_root_reset(root);
	ck_assert_str_eq(events(d), "unmap 0, reset");
	ck_assert_uint_eq(rd(8, 0x3c, 1), 0);
	ck_assert_uint_eq(rd(8, 0x10, 4), 0);
	ck_assert_uint_eq(rd(8, COMMAND, 2), 0);
	ck_assert_int_eq(pci_root_place(root, NULL), 0);
	ck_assert_str_eq(events(d), "cfg 4/2 2, map 0 c0000000");
}
END_TEST

/* A reset leaves it away unless its owner brings it back. */
START_TEST(function_that_is_gone_reads_all_ones)
{
	struct dev *d = dev_new("a", 8);

	pci_func_bar(&d->f, 0, PCI_BAR_MEM32, false, 0x1000);
	dev_add(d);
	ck_assert_int_eq(pci_root_place(root, NULL), 0);
	events(d);
	pci_func_gone(&d->f);
	ck_assert_str_eq(events(d), "unmap 0");
	ck_assert_uint_eq(rd(8, 0, 4), 0xffffffff);
	wr(8, COMMAND, 2, 0);
	wr(8, COMMAND, 2, MEM);
	pci_func_gone(&d->f);
	ck_assert_str_eq(events(d), "");
	ck_assert_uint_eq(pci_bar_addr(&d->f, 0), 0);
	pci_root_reset(root);
	ck_assert_int_eq(pci_root_place(root, NULL), 0);
	ck_assert_str_eq(events(d), "reset");
	ck_assert_uint_eq(rd(8, 0, 4), 0xffffffff);
	pci_func_back(&d->f);
	ck_assert_int_eq(pci_root_place(root, NULL), 0);
	ck_assert_str_eq(events(d), "cfg 4/2 2, map 0 c0000000");
}
END_TEST

/* ---- BARs ---- */

static const struct {
	unsigned int bar;
	enum pci_bar_kind kind;
	bool prefetch;
	uint64_t size;
	uint32_t low, high; /* read back after all ones */
} size_cases[] = {
	{0, PCI_BAR_MEM32, false, 0x10, 0xfffffff0, 0},
	{0, PCI_BAR_MEM32, false, 0x1000, 0xfffff000, 0},
	{1, PCI_BAR_MEM32, true, 0x80000000, 0x80000008, 0},
	{2, PCI_BAR_MEM64, false, 0x4000, 0xffffc004, 0xffffffff},
	{4, PCI_BAR_MEM64, true, 0x100000000, 0x0000000c, 0xffffffff},
	{0, PCI_BAR_MEM64, true, 0x4000000000, 0x0000000c, 0xffffffc0},
	{5, PCI_BAR_IO, false, 4, 0xfffffffd, 0},
	{3, PCI_BAR_IO, false, 0x100, 0xffffff01, 0},
	{PCI_ROM, PCI_BAR_MEM32, false, 0x800, 0xfffff801, 0},
	{PCI_ROM, PCI_BAR_MEM32, false, 0x10000, 0xffff0001, 0},
};

START_TEST(bar_reads_back_its_size)
{
	struct dev *d = dev_new("a", 8);
	unsigned int bar = size_cases[_i].bar, reg = bar == PCI_ROM ? 0x30 : 0x10 + bar * 4;

	pci_func_bar(&d->f, bar, size_cases[_i].kind, size_cases[_i].prefetch, size_cases[_i].size);
	dev_add(d);
	wr(8, reg, 4, 0xffffffff);
	ck_assert_uint_eq(rd(8, reg, 4), size_cases[_i].low);
	if (size_cases[_i].kind == PCI_BAR_MEM64) {
		wr(8, reg + 4, 4, 0xffffffff);
		ck_assert_uint_eq(rd(8, reg + 4, 4), size_cases[_i].high);
	} else if (bar != PCI_ROM) {
		/* The next register is not implemented. */
		wr(8, reg + 4, 4, 0xffffffff);
		ck_assert_uint_eq(rd(8, reg + 4, 4), 0);
	}
	wr(8, reg, 4, 0);
	/* What is left are the bits that tell its kind. */
	ck_assert_uint_eq(rd(8, reg, 4), size_cases[_i].kind == PCI_BAR_IO ? 1
					 : bar == PCI_ROM                  ? 0
							  : size_cases[_i].low & 0xc);
}
END_TEST

START_TEST(bar_decodes_only_while_enabled)
{
	struct dev *d = dev_new("a", 8);

	pci_func_bar(&d->f, 0, PCI_BAR_MEM32, false, 0x1000);
	pci_func_bar(&d->f, 1, PCI_BAR_IO, false, 0x20);
	pci_func_bar(&d->f, PCI_ROM, PCI_BAR_MEM32, false, 0x1000);
	dev_add(d);
	wr(8, 0x10, 4, 0xc0004000);
	wr(8, 0x14, 4, 0xc020);
	wr(8, 0x30, 4, 0xc0005001);
	events(d);
	ck_assert_uint_eq(bus_read(mmio, 0xc0004010, 4), UINT32_MAX);
	wr(8, COMMAND, 1, MEM);
	ck_assert_str_eq(events(d), "cfg 4/1 2, map 0 c0004000, map 6 c0005000");
	ck_assert_uint_eq(bus_read(mmio, 0xc0004010, 4), 0x04000010);
	ck_assert_uint_eq(bus_read(mmio, 0xc0005ffc, 4), 0x04060ffc);
	ck_assert_uint_eq(bus_read(pio, 0xc020, 1), UINT8_MAX);
	bus_write(mmio, 0xc0004020, 4, 7);
	ck_assert_str_eq(events(d), "bar 0+20/4 7");
	wr(8, 0x30, 4, 0xc0005000);
	ck_assert_str_eq(events(d), "unmap 6, cfg 30/4 c0005000");
	wr(8, COMMAND, 1, IO);
	ck_assert_str_eq(events(d), "unmap 0, cfg 4/1 1, map 1 c020");
	ck_assert_uint_eq(bus_read(mmio, 0xc0004010, 4), UINT32_MAX);
	ck_assert_uint_eq(bus_read(pio, 0xc03e, 2), 0x001e);
	ck_assert_uint_eq(pci_bar_addr(&d->f, 1), 0xc020);
	ck_assert_uint_eq(pci_bar_addr(&d->f, 0), 0);
	ck_assert_uint_eq(pci_bar_addr(&d->f, 99), 0);
	ck_assert_uint_eq(pci_root_refused(root), 0);
}
END_TEST

static const struct {
	uint32_t low, high;
	bool decodes, refused;
} window_cases[] = {
	{0xc0000000, 0, true, false},
	{0xdfffc000, 0, true, false},
	{0x00000000, HIGH >> 32, true, false},
	{0xffffc000, HIGH >> 32, true, false},
	/* RAM, ECAM, IOAPIC, LAPIC and doorbell, past the windows, nothing, sizing. */
	{0x00000000, 0, false, true},
	{0x00100000, 0, false, true},
	{0xbfffc000, 0, false, true},
	{0xe0000000, 0, false, true},
	{0xfec00000, 0, false, true},
	{0xfee00000, 0, false, true},
	{0xc0000000, 1, false, true},
	{0x00000000, (HIGH >> 32) + 1, false, true},
	{0xffffffff, 0xffffffff, false, false},
	{0xffffffff, 0, false, false},
	{0xc0000000, 0xffffffff, false, false},
};

/* A BAR over RAM or the doorbell would let the guest shadow what is not its own. */
START_TEST(bar_decodes_only_inside_the_windows)
{
	struct dev *d = dev_new("a", 8);

	pci_func_bar(&d->f, 0, PCI_BAR_MEM64, true, 0x4000);
	dev_add(d);
	wr(8, 0x10, 4, window_cases[_i].low);
	wr(8, 0x14, 4, window_cases[_i].high);
	wr(8, COMMAND, 2, MEM);
	ck_assert_int_eq(pci_bar_addr(&d->f, 0) != 0, window_cases[_i].decodes);
	ck_assert_uint_eq(pci_root_refused(root), window_cases[_i].refused);
	ck_assert_uint_eq(rd(8, 0x10, 4), (window_cases[_i].low & ~0x3fffu) | 0xc);
	ck_assert_uint_eq(rd(8, 0x14, 4), window_cases[_i].high);
}
END_TEST

/* Sizing with decode on, as some guests do, and a move: the old place must go first. */
START_TEST(bar_moves_unmap_before_they_map)
{
	struct dev *d = dev_new("a", 8);

	pci_func_bar(&d->f, 0, PCI_BAR_MEM32, false, 0x1000);
	pci_func_bar(&d->f, 1, PCI_BAR_MEM32, false, 0x1000);
	dev_add(d);
	ck_assert_int_eq(pci_root_place(root, NULL), 0);
	ck_assert_str_eq(events(d), "cfg 4/2 2, map 0 c0000000, map 1 c0001000");
	wr(8, 0x10, 4, 0xffffffff);
	ck_assert_str_eq(events(d), "unmap 0, cfg 10/4 ffffffff");
	wr(8, 0x10, 4, 0xc0000000);
	ck_assert_str_eq(events(d), "cfg 10/4 c0000000, map 0 c0000000");
	wr(8, 0x10, 4, 0xc0000000);
	ck_assert_str_eq(events(d), "cfg 10/4 c0000000");
	/* Swap by way of decode off. */
	wr(8, COMMAND, 2, 0);
	wr(8, 0x10, 4, 0xc0001000);
	wr(8, 0x14, 4, 0xc0000000);
	events(d);
	wr(8, COMMAND, 2, MEM);
	ck_assert_str_eq(events(d), "cfg 4/2 2, map 0 c0001000, map 1 c0000000");
	ck_assert_uint_eq(bus_read(mmio, 0xc0001004, 4), 0x04000004);
	ck_assert_uint_eq(bus_read(mmio, 0xc0000004, 4), 0x04010004);
	/* And with decode on: for a moment one is over the other, then both are right. */
	wr(8, 0x10, 4, 0xc0000000);
	wr(8, 0x14, 4, 0xc0001000);
	ck_assert_uint_eq(bus_read(mmio, 0xc0000004, 4), 0x04000004);
	ck_assert_uint_eq(bus_read(mmio, 0xc0001004, 4), 0x04010004);
}
END_TEST

START_TEST(place_puts_largest_first_and_prefetchable_high)
{
	struct dev *a = dev_new("a", 8), *b = dev_new("b", 0x10);

	pci_func_bar(&a->f, 0, PCI_BAR_MEM32, false, 0x100);
	pci_func_bar(&a->f, 1, PCI_BAR_IO, false, 0x20);
	pci_func_bar(&a->f, 2, PCI_BAR_MEM64, true, 0x1000000);
	pci_func_bar(&a->f, 4, PCI_BAR_MEM64, false, 0x4000);
	pci_func_bar(&b->f, 0, PCI_BAR_MEM32, false, 0x20000);
	pci_func_bar(&b->f, 1, PCI_BAR_MEM64, false, 0x20000000);
	pci_func_bar(&b->f, 3, PCI_BAR_IO, false, 0x100);
	pci_func_bar(&b->f, PCI_ROM, PCI_BAR_MEM32, false, 0x800);
	dev_add(a);
	dev_add(b);
	wr(8, COMMAND, 2, MASTER);
	ck_assert_int_eq(pci_root_place(root, NULL), 0);
	ck_assert_uint_eq(pci_bar_addr(&b->f, 0), 0xc0000000);
	ck_assert_uint_eq(pci_bar_addr(&a->f, 0), 0xc0020000);
	ck_assert_uint_eq(rd(0x10, 0x30, 4), 0xc0021000);
	ck_assert_uint_eq(pci_bar_addr(&a->f, 4), 0xc0024000);
	ck_assert_uint_eq(pci_bar_addr(&a->f, 2), HIGH + 0x20000000);
	/* Not prefetchable, but the low window cannot take it any more. */
	ck_assert_uint_eq(pci_bar_addr(&b->f, 1), HIGH);
	ck_assert_uint_eq(pci_bar_addr(&b->f, 3), LAYOUT_PCI_PIO);
	ck_assert_uint_eq(pci_bar_addr(&a->f, 1), LAYOUT_PCI_PIO + 0x100);
	/* The ROM has a place but is off, and nobody may do DMA yet. */
	ck_assert_uint_eq(pci_bar_addr(&b->f, PCI_ROM), 0);
	ck_assert_uint_eq(rd(8, COMMAND, 2), IO | MEM);
	ck_assert_int_eq(pci_root_place(root, NULL), 0);
	ck_assert_uint_eq(pci_bar_addr(&b->f, 1), HIGH);
}
END_TEST

START_TEST(place_names_what_does_not_fit)
{
	struct dev *a = dev_new("a", 8), *b = dev_new("bigone", 0x18);
	struct err e = {0};

	pci_func_bar(&a->f, 0, PCI_BAR_MEM32, false, 0x1000);
	pci_func_bar(&b->f, 2, PCI_BAR_MEM32, false, 0x20000000);
	dev_add(a);
	dev_add(b);
	ck_assert_int_eq(pci_root_place(root, &e), -ENOSPC);
	/* The large one got the window, so the small one is named. */
	ck_assert_ptr_nonnull(strstr(e.text, "a (00:01.0)"));
	ck_assert_ptr_nonnull(strstr(e.text, "BAR 0"));
	ck_assert_str_eq(events(a), "");
	ck_assert_str_eq(events(b), "");
}
END_TEST

/* ---- MSI-X and MSI in config space and BARs ---- */

static struct dev *msix_dev(void)
{
	struct dev *d = dev_new("a", 8);
	const struct msi_ops ops = {arm_log, disarm_log, d};

	pci_func_bar(&d->f, 0, PCI_BAR_MEM32, false, 0x4000);
	ck_assert_int_eq(pci_func_msix(&d->f, router, 0, 5, 0, 0x1000, 0, 0x2000, &ops, NULL), 0);
	dev_add(d);
	ck_assert_int_eq(pci_root_place(root, NULL), 0);
	events(d);
	return d;
}

START_TEST(msix_capability_describes_the_table)
{
	struct dev *d = msix_dev();
	unsigned int cap = d->f.msix_cap;

	ck_assert_uint_eq(rd(8, cap, 1), 0x11);
	ck_assert_uint_eq(rd(8, cap + 2, 2), 4);
	ck_assert_uint_eq(rd(8, cap + 4, 4), 0x1000);
	ck_assert_uint_eq(rd(8, cap + 8, 4), 0x2000);
	wr(8, cap + 2, 2, 0xffff);
	ck_assert_uint_eq(rd(8, cap + 2, 2), 0xc004);
	wr(8, cap + 4, 4, 0xffffffff);
	ck_assert_uint_eq(rd(8, cap + 4, 4), 0x1000);
}
END_TEST

/* The kernel enables the real MSI-X when vectors are armed; the device's bit comes after. */
START_TEST(msix_is_armed_before_the_device_sees_enable)
{
	struct dev *d = msix_dev();
	unsigned int cap = d->f.msix_cap;
	char want[64];

	wr(8, cap + 3, 1, 0xc0);
	snprintf(want, sizeof(want), "arm 5, cfg %x/1 c0", cap + 3);
	ck_assert_str_eq(events(d), want);
	wr(8, cap, 4, 0);
	snprintf(want, sizeof(want), "disarm, cfg %x/4 0", cap);
	ck_assert_str_eq(events(d), want);
}
END_TEST

START_TEST(msix_table_and_pba_are_answered_by_core)
{
	struct dev *d = msix_dev();
	uint64_t bar = pci_bar_addr(&d->f, 0), table = bar + 0x1000, pba = bar + 0x2000;

	wr(8, d->f.msix_cap + 2, 2, 0x8000);
	bus_write(mmio, table + 16, 4, 0xfee00000);
	bus_write(mmio, table + 24, 8, 0x41);
	ck_assert_uint_eq(rec.n_attached, 1);
	ck_assert_uint_eq(rec.route[rec.attached[0].gsi].data, 0x41);
	events(d);
	msix_fire(d->f.msix, 0);
	ck_assert_uint_eq(bus_read(mmio, pba, 8), 1);
	bus_write(mmio, pba, 8, 0);
	ck_assert_uint_eq(bus_read(mmio, pba, 4), 1);
	ck_assert_uint_eq(bus_read(mmio, pba, 1), 0);
	ck_assert_str_eq(events(d), "");
	/* Beside them the device answers; across an edge nobody does. */
	ck_assert_uint_eq(bus_read(mmio, table - 4, 4), 0x04000ffc);
	ck_assert_uint_eq(bus_read(mmio, table - 4, 8), 0);
	ck_assert_uint_eq(bus_read(mmio, table + 5 * 16, 4), 0x04001050);
	ck_assert_uint_eq(bus_read(mmio, table + 5 * 16 - 4, 8), 0);
	ck_assert_uint_eq(bus_read(mmio, pba + 8, 4), 0x04002008);
	bus_write(mmio, table + 5 * 16, 4, 1);
	ck_assert_str_eq(events(d), "bar 0+1050/4 1");
	/* Destroying with all of this on must let go of everything: see teardown. */
}
END_TEST

static const struct {
	unsigned int n, table_bar, pba_bar;
	uint64_t table, pba;
} msix_bad[] = {
	{0, 0, 0, 0, 0x800},
	{2049, 1, 1, 0, 0x8000},
	{256, 0, 0, 0x1000, 0},
	{257, 0, 0, 0, 0},
	{4, 0, 0, 0, 0x1000},
	{4, 0, 0, 4, 0x800},
	{4, 0, 0, UINT64_MAX - 7, 0x800},
	{4, 2, 0, 0, 0},
	{4, 3, 0, 0, 0},
	{4, 0, 7, 0, 0},
};

/* Offsets come from a device's capability, which may say anything. */
START_TEST(msix_table_outside_its_bar_is_refused)
{
	struct dev *d = dev_new("a", 8);
	struct err e = {0};

	pci_func_bar(&d->f, 0, PCI_BAR_MEM32, false, 0x1000);
	pci_func_bar(&d->f, 1, PCI_BAR_MEM32, false, 0x10000);
	pci_func_bar(&d->f, 2, PCI_BAR_IO, false, 0x100);
	ck_assert_int_eq(pci_func_msix(&d->f, router, 0, msix_bad[_i].n, msix_bad[_i].table_bar,
				 msix_bad[_i].table, msix_bad[_i].pba_bar, msix_bad[_i].pba,
				 &(struct msi_ops){0}, &e),
		-EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "a"));
	ck_assert_ptr_null(d->f.msix);
	dev_add(d);
	ck_assert_uint_eq(rd(8, 0x34, 1), 0);
}
END_TEST

static struct dev *msi_dev(unsigned int n, uint16_t ctl)
{
	struct dev *d = dev_new("a", 8);
	const struct msi_ops ops = {arm_log, disarm_log, d};

	if (ctl) {
		d->f.cfg[0x34] = 0x60;
		d->f.cfg[0x60] = 0x05;
		le_store(d->f.cfg + 0x62, 2, ctl & 0x180);
	}
	ck_assert_int_eq(pci_func_msi(&d->f, router, ctl ? 0x60 : 0, n, &ops, NULL), 0);
	dev_add(d);
	return d;
}

static const struct {
	uint16_t ctl; /* layout of an existing capability, 1 = 32-bit without masking */
	unsigned int data, mask;
} msi_layouts[] = {
	{0, 12, 16},
	{1, 8, 0},
	{0x80, 12, 0},
	{0x100, 8, 12},
	{0x180, 12, 16},
};

START_TEST(msi_capability_works_in_every_layout)
{
	struct dev *d = msi_dev(4, msi_layouts[_i].ctl);
	unsigned int cap = d->f.msi_cap;

	ck_assert_uint_eq(rd(8, cap, 1), 0x05);
	ck_assert_uint_eq(rd(8, cap + 2, 2) & 0x7f, 2 << 1);
	wr(8, cap + 4, 4, 0xfee01003);
	ck_assert_uint_eq(rd(8, cap + 4, 4), 0xfee01000);
	wr(8, cap + msi_layouts[_i].data, 2, 0x40);
	events(d);
	/* 32 vectors asked for, 4 offered. */
	wr(8, cap + 2, 2, 0x51);
	ck_assert_uint_eq(rec.n_attached, 4);
	ck_assert_ptr_nonnull(strstr(events(d), "arm 4, cfg"));
}
END_TEST

START_TEST(msi_takes_writes_in_any_order_and_width)
{
	struct dev *d = msi_dev(2, 0);
	unsigned int cap = d->f.msi_cap;

	wr(8, cap + 2, 1, 0x11);
	for (unsigned int i = 0; i < 4; i++)
		wr(8, cap + 4 + i, 1, 0xfee02000u >> (i * 8) & 0xff);
	wr(8, cap + 13, 1, 0x01);
	wr(8, cap + 12, 1, 0x42);
	ck_assert_uint_eq(rec.n_attached, 2);
	msi_fire(d->f.msi, 1);
	irq_recorder_run(&rec);
	ck_assert_uint_eq(rec.n_msi, 1);
	ck_assert_uint_eq(rec.msi[0].addr, 0xfee02000);
	ck_assert_uint_eq(rec.msi[0].data, 0x143);
	/* Masked: pending shows in the capability. Bits of vectors that are not there stay 0. */
	wr(8, cap + 16, 4, 0xffffffff);
	ck_assert_uint_eq(rd(8, cap + 16, 4), 3);
	msi_fire(d->f.msi, 0);
	ck_assert_uint_eq(rd(8, cap + 20, 4), 1);
	wr(8, cap + 20, 4, 0);
	ck_assert_uint_eq(rd(8, cap + 20, 1), 1);
	wr(8, cap + 2, 2, 0x10);
	ck_assert_uint_eq(rec.n_attached, 0);
	ck_assert_uint_eq(rd(8, cap + 20, 4), 0);
}
END_TEST

START_TEST(msix_survives_failing_kernel_calls_through_config_space)
{
	struct dev *d = msix_dev();
	uint64_t table = pci_bar_addr(&d->f, 0) + 0x1000;

	for (unsigned int at = 1;; at++) {
		bool failed;

		irq_recorder_clear(&rec);
		rec.fail_at = at;
		wr(8, d->f.msix_cap + 2, 2, 0x8000);
		bus_write(mmio, table, 8, 0xfee00000);
		bus_write(mmio, table + 8, 8, 0x41);
		failed = rec.calls >= at;
		ck_assert_uint_eq(rec.n_attached, !failed);
		wr(8, d->f.msix_cap + 2, 2, 0);
		rec.fail_at = 0;
		bus_write(mmio, table + 12, 4, 1);
		ck_assert_uint_eq(rec.n_attached, 0);
		if (!failed)
			break;
		ck_assert_uint_lt(at, 20);
	}
}
END_TEST

/* ---- many vCPUs ---- */

#define ROUNDS 3000

static void *thread_moves(void *arg)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		bus_write(mmio, ECAM(8, COMMAND), 2, i & 1 ? MEM : 0);
		bus_write(mmio, ECAM(8, 0x10), 4, 0xc0000000 + (i % 3) * 0x4000);
	}
	bus_write(mmio, ECAM(8, 0x10), 4, 0xc0000000);
	bus_write(mmio, ECAM(8, COMMAND), 2, MEM);
	return NULL;
}

static void *thread_uses(void *arg)
{
	struct dev *d = arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t bar = 0xc0000000 + (i % 3) * 0x4000, v;

		v = bus_read(mmio, bar + 0x10, 4);
		ck_assert(v == UINT32_MAX || v == 0x04000010);
		bus_write(mmio, bar + 0x1000, 4, 0xfee00000 | (i & 0xff) << 12);
		bus_write(mmio, bar + 0x100c, 4, i & 1);
		bus_read(mmio, bar + 0x2000, 8);
		pci_bar_addr(&d->f, 0);
	}
	return NULL;
}

static void *thread_fires(void *arg)
{
	struct dev *d = arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		bus_write(mmio, ECAM(8, d->f.msix_cap + 2), 2, (i & 3) << 14);
		msix_fire(d->f.msix, 0);
		rd(8, 0x10, 4);
	}
	bus_write(mmio, ECAM(8, d->f.msix_cap + 2), 2, 0x8000);
	return NULL;
}

/* What moves, uses and silences a device at once; the thread sanitizer looks for races in it. */
START_TEST(vcpus_may_move_use_and_mask_a_device_at_once)
{
	struct dev *d = msix_dev();
	pthread_t t[3];

	ck_assert_int_eq(pthread_create(&t[0], NULL, thread_moves, d), 0);
	ck_assert_int_eq(pthread_create(&t[1], NULL, thread_uses, d), 0);
	ck_assert_int_eq(pthread_create(&t[2], NULL, thread_fires, d), 0);
	for (unsigned int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(pci_bar_addr(&d->f, 0), 0xc0000000);
	bus_write(mmio, 0xc0001000, 8, 0xfee00000);
	bus_write(mmio, 0xc0001008, 8, 0x41);
	ck_assert_uint_eq(rec.n_attached, 1);
	rec.n_msi = 0;
	msix_fire(d->f.msix, 0);
	irq_recorder_run(&rec);
	ck_assert_uint_ge(rec.n_msi, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vmm-pci");
	TCase *t = tcase_create("pci");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(
		t, ecam_answers_every_size_and_alignment, 0, (int)ARRAY_SIZE(ecam_cases));
	tcase_add_test(t, ecam_writes_reach_the_register);
	tcase_add_test(t, cf8_needs_its_enable_bit_and_a_dword);
	tcase_add_loop_test(t, cf9_belongs_to_the_reset_register, 0, 2);
	tcase_add_test(t, functions_hide_behind_function_0);
	tcase_add_test(t, taken_slot_is_refused_and_the_function_destroyed);
	tcase_add_test(t, slots_run_out_at_32_devices);
	tcase_add_test(t, functions_are_destroyed_last_added_first);
	tcase_add_test(t, command_bits_follow_the_bars);
	tcase_add_test(t, status_errors_are_cleared_by_writing_ones);
	tcase_add_test(t, partial_emulation_merges_bit_by_bit);
	tcase_add_test(t, capabilities_chain_until_there_is_no_room);
	tcase_add_test(t, reset_restores_power_on_values);
	tcase_add_test(t, function_that_is_gone_reads_all_ones);
	tcase_add_loop_test(t, bar_reads_back_its_size, 0, (int)ARRAY_SIZE(size_cases));
	tcase_add_test(t, bar_decodes_only_while_enabled);
	tcase_add_loop_test(
		t, bar_decodes_only_inside_the_windows, 0, (int)ARRAY_SIZE(window_cases));
	tcase_add_test(t, bar_moves_unmap_before_they_map);
	tcase_add_test(t, place_puts_largest_first_and_prefetchable_high);
	tcase_add_test(t, place_names_what_does_not_fit);
	tcase_add_test(t, msix_capability_describes_the_table);
	tcase_add_test(t, msix_is_armed_before_the_device_sees_enable);
	tcase_add_test(t, msix_table_and_pba_are_answered_by_core);
	tcase_add_loop_test(t, msix_table_outside_its_bar_is_refused, 0, (int)ARRAY_SIZE(msix_bad));
	tcase_add_loop_test(
		t, msi_capability_works_in_every_layout, 0, (int)ARRAY_SIZE(msi_layouts));
	tcase_add_test(t, msi_takes_writes_in_any_order_and_width);
	tcase_add_test(t, msix_survives_failing_kernel_calls_through_config_space);
	tcase_add_test(t, vcpus_may_move_use_and_mask_a_device_at_once);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
