// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <linux/pci_regs.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/passthrough/host_world.h"

#define RW (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

static uint64_t bar_at(unsigned int bar)
{
	return pci_bar_addr(&h->a->func, bar);
}

/* ---- config space ---- */

/* What a guest driver matches on must be the device's, what is the slot's must be ours. */
START_TEST(header_shows_ids_and_hides_the_slot)
{
	open_ok();
	ck_assert_uint_eq(cfg_get(h, PCI_VENDOR_ID, 4), 0x10ca8086);
	ck_assert_uint_eq(cfg_get(h, PCI_CLASS_REVISION, 4), 0x02000001);
	ck_assert_uint_eq(cfg_get(h, PCI_SUBSYSTEM_VENDOR_ID, 4), 0xa03c8086);
	ck_assert_uint_eq(cfg_get(h, PCI_HEADER_TYPE, 1), 0);
	ck_assert_uint_eq(cfg_get(h, PCI_INTERRUPT_PIN, 1), 0);
	ck_assert_uint_eq(cfg_get(h, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
	cfg_set(h, PCI_VENDOR_ID, 4, 0x12345678);
	ck_assert_uint_eq(cfg_get(h, PCI_VENDOR_ID, 4), 0x10ca8086);
	cfg_set(h, PCI_INTERRUPT_LINE, 1, 11);
	ck_assert_uint_eq(cfg_get(h, PCI_INTERRUPT_LINE, 1), 11);
	ck_assert_uint_eq(h->touched[PCI_VENDOR_ID], 0);
	ck_assert_uint_eq(h->touched[PCI_INTERRUPT_LINE], 0);
}
END_TEST

/* Until the guest's driver turns bus mastering on, the device must not be able to. */
START_TEST(open_leaves_the_device_quiet)
{
	open_ok();
	ck_assert_uint_eq(dev_get(h, PCI_COMMAND, 2), 0);
	ck_assert_uint_eq(h->dev->resets, 1);
	ck_assert_uint_eq(host_slots(h), 0);
}
END_TEST

START_TEST(command_reaches_the_device)
{
	open_placed();
	cfg_set(h, PCI_COMMAND, 2, 0xffff);
	ck_assert_uint_eq(dev_get(h, PCI_COMMAND, 2),
		PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
			PCI_COMMAND_INTX_DISABLE);
	ck_assert_uint_eq(cfg_get(h, PCI_COMMAND, 2), dev_get(h, PCI_COMMAND, 2));
	cfg_set(h, PCI_COMMAND, 1, 0);
	ck_assert_uint_eq(dev_get(h, PCI_COMMAND, 2), PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
}
END_TEST

static unsigned int chain(unsigned int *ids, unsigned int max)
{
	unsigned int n = 0, off = cfg_get(h, PCI_CAPABILITY_LIST, 1);

	for (; off && n < max; off = cfg_get(h, off + 1, 1))
		ids[n++] = cfg_get(h, off, 1);
	return n;
}

START_TEST(capabilities_are_shown_by_table)
{
	unsigned int ids[8], n;

	/* AGP between the MSI-X and PCIe capabilities. */
	dev_set(h, CAP_MSIX + 1, 1, 0x90);
	dev_set(h, 0x90, 2, PCI_CAP_ID_AGP | CAP_EXP << 8);
	dev_set(h, 0x94, 4, 0x1234);
	open_ok();
	n = chain(ids, 8);
	ck_assert_uint_eq(n, 4);
	ck_assert_uint_eq(ids[0], PCI_CAP_ID_PM);
	ck_assert_uint_eq(ids[1], PCI_CAP_ID_MSI);
	ck_assert_uint_eq(ids[2], PCI_CAP_ID_MSIX);
	ck_assert_uint_eq(ids[3], PCI_CAP_ID_EXP);
	ck_assert_uint_eq(cfg_get(h, 0x90, 4), 0);
	ck_assert_uint_eq(cfg_get(h, 0x94, 4), 0);
	cfg_set(h, 0x94, 4, UINT32_MAX);
	ck_assert_uint_eq(h->touched[0x94], 0);
}
END_TEST

START_TEST(all_hidden_capabilities_leave_no_list)
{
	dev_set(h, PCI_CAPABILITY_LIST, 1, 0x90);
	dev_set(h, 0x90, 2, PCI_CAP_ID_AGP);
	dev_region(h, 3, RW, 0x4000);
	h->dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = 0;
	open_ok();
	ck_assert_uint_eq(cfg_get(h, PCI_STATUS, 2), 0);
	ck_assert_uint_eq(cfg_get(h, PCI_CAPABILITY_LIST, 1), 0);
}
END_TEST

/* ARI must go: our bus numbers functions otherwise. */
START_TEST(extended_chain_skips_hidden)
{
	open_ok();
	ck_assert_uint_eq(cfg_get(h, EXT_AER, 4), PCI_EXT_CAP_ID_ERR | 1 << 16 | EXT_DSN << 20);
	ck_assert_uint_eq(cfg_get(h, EXT_DSN, 4), PCI_EXT_CAP_ID_DSN | 1 << 16);
	ck_assert_uint_eq(cfg_get(h, EXT_DSN + 4, 4), 0xdeadbeef);
	ck_assert_uint_eq(cfg_get(h, EXT_ARI, 4), 0);
	ck_assert_uint_eq(cfg_get(h, EXT_ARI + 4, 4), 0);
}
END_TEST

/* The head cannot move; id 0 with a next pointer is how the spec lets one skip it. */
START_TEST(hidden_head_of_extended_chain_keeps_its_place)
{
	dev_set(h, EXT_AER, 4, PCI_EXT_CAP_ID_SRIOV | 1 << 16 | EXT_ARI << 20);
	open_ok();
	ck_assert_uint_eq(cfg_get(h, EXT_AER, 4), (uint32_t)EXT_DSN << 20);
}
END_TEST

START_TEST(pcie_endpoint_becomes_integrated)
{
	open_ok();
	ck_assert_uint_eq(cfg_get(h, CAP_EXP + PCI_EXP_FLAGS, 2), PCI_EXP_TYPE_RC_END << 4 | 2);
	ck_assert_uint_eq(
		cfg_get(h, CAP_EXP + PCI_EXP_DEVCAP, 4), dev_get(h, CAP_EXP + PCI_EXP_DEVCAP, 4));
	ck_assert_uint_eq(cfg_get(h, CAP_EXP + PCI_EXP_LNKCAP, 4), 0);
	ck_assert_uint_eq(cfg_get(h, CAP_EXP + PCI_EXP_DEVCAP2, 4), 0x55);
	cfg_set(h, CAP_EXP + PCI_EXP_LNKCTL, 2, 0xffff);
	ck_assert_uint_eq(h->touched[CAP_EXP + PCI_EXP_LNKCTL], 0);
	cfg_set(h, CAP_EXP + PCI_EXP_DEVCTL, 2, 0x0010);
	ck_assert_uint_eq(dev_get(h, CAP_EXP + PCI_EXP_DEVCTL, 2), 0x0010);
}
END_TEST

START_TEST(pcie_version_0_becomes_1)
{
	dev_set(h, CAP_EXP + PCI_EXP_FLAGS, 2, 0);
	open_ok();
	ck_assert_uint_eq(cfg_get(h, CAP_EXP + PCI_EXP_FLAGS, 2), PCI_EXP_TYPE_RC_END << 4 | 1);
}
END_TEST

/* No capability claims these bytes, so the kernel does not guard them. */
START_TEST(bytes_of_no_capability_are_read_only)
{
	dev_set(h, 0xe0, 4, 0xcafe);
	open_ok();
	ck_assert_uint_eq(cfg_get(h, 0xe0, 4), 0xcafe);
	cfg_set(h, 0xe0, 4, UINT32_MAX);
	ck_assert_uint_eq(h->touched[0xe0], 0);
}
END_TEST

/* STATUS bits are cleared by writing 1: bits of another byte of the write must not come along. */
START_TEST(status_errors_are_cleared_alone)
{
	open_ok();
	h->n_writes = 0;
	cfg_set(h, PCI_STATUS, 2, PCI_STATUS_REC_MASTER_ABORT | PCI_STATUS_CAP_LIST);
	ck_assert_uint_eq(h->n_writes, 1);
	ck_assert_uint_eq(h->write[0].val << (8 * (h->write[0].off - PCI_STATUS)),
		PCI_STATUS_REC_MASTER_ABORT);
}
END_TEST

static const struct {
	const char *what;
	struct {
		unsigned int off, len;
		uint32_t val;
	} set[2];
	int want;
	const char *text;
} dead[] = {
	{"ids", {{PCI_VENDOR_ID, 4, UINT32_MAX}}, -EIO, "does not answer"},
	{"status", {{PCI_STATUS, 2, 0xffff}}, -EIO, "does not answer"},
	{"header type", {{PCI_HEADER_TYPE, 1, 0xff}}, -EIO, "does not answer"},
	{"bridge", {{PCI_HEADER_TYPE, 1, 1}}, -ENXIO, "only endpoints"},
	{"loop", {{CAP_EXP + 1, 1, CAP_MSI}}, -EIO, "loops"},
	{"self loop", {{CAP_PM + 1, 1, CAP_PM}}, -EIO, "loops"},
	{"chain into header", {{CAP_EXP + 1, 1, 0x10}}, -EIO, "inside the header"},
	{"capability of all ones", {{CAP_MSIX, 2, 0xffff}}, -EIO, "all ones"},
	{"extended loop", {{EXT_DSN, 4, 0x10003 | EXT_ARI << 20}}, -EIO, "loops"},
	{"extended into header", {{EXT_DSN, 4, 0x10003 | 0x80u << 20}}, -EIO, "first 256"},
	{"extended of all ones", {{EXT_AER, 4, UINT32_MAX}}, -EIO, "all ones"},
	{"table outside its BAR", {{CAP_MSIX + PCI_MSIX_TABLE, 4, 0x4000 | 3}}, -EINVAL, "BAR 3"},
	{"table in no BAR", {{CAP_MSIX + PCI_MSIX_TABLE, 4, 2}}, -EINVAL, "BAR 2"},
	{"table in BAR 7", {{CAP_MSIX + PCI_MSIX_TABLE, 4, 7}}, -EINVAL, "BAR 7"},
	{"pending bits outside", {{CAP_MSIX + PCI_MSIX_PBA, 4, 0xfffffff8 | 3}}, -EINVAL, "BAR 3"},
	{"no room for MSI-X", {{CAP_MSIX + 1, 1, CAP_MSIX + 8}, {CAP_MSIX + 8, 2, 9}}, -EPROTO,
		"MSI-X"},
	{"more entries than vectors", {{CAP_MSIX + PCI_MSIX_FLAGS, 2, 0x7ff}}, -EPROTO, "2048"},
};

/* A dead or lying device is refused by name, and nothing of it stays behind. */
START_TEST(broken_device_is_refused)
{
	struct err e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(dead[_i].set); i++)
		if (dead[_i].set[i].len)
			dev_set(h, dead[_i].set[i].off, dead[_i].set[i].len, dead[_i].set[i].val);
	ck_assert_int_eq(host_open(h, &e), dead[_i].want);
	ck_assert_ptr_nonnull(strstr(e.text, HOST_BDF));
	ck_assert_msg(strstr(e.text, dead[_i].text), "%s: %s", dead[_i].what, e.text);
}
END_TEST

START_TEST(taken_slot_is_an_error_and_no_leak)
{
	struct err e = {0};

	open_ok();
	/* The same device again: VFIO refuses first. Another slot clash is the root's. */
	ck_assert_int_lt(host_open(h, &e), 0);
	ck_assert_ptr_nonnull(strstr(e.text, HOST_BDF));
}
END_TEST

/* ---- BARs ---- */

START_TEST(bars_become_slots_around_the_msix_table)
{
	open_placed();
	ck_assert_uint_eq(host_slots(h), 3);
	ck_assert_ptr_nonnull(host_slot_at(h, bar_at(0)));
	ck_assert_uint_eq(host_slot_at(h, bar_at(0))->size, 0x4000);
	ck_assert_ptr_null(host_slot_at(h, bar_at(3)));
	ck_assert_uint_eq(host_slot_at(h, bar_at(3) + 0x1000)->size, 0x1000);
	ck_assert_ptr_null(host_slot_at(h, bar_at(3) + 0x2000));
	ck_assert_uint_eq(host_slot_at(h, bar_at(3) + 0x3000)->size, 0x1000);
}
END_TEST

/* Both enable and disable order: the fake aborts when a slot is there while decode is off. */
START_TEST(slots_follow_memory_enable)
{
	open_placed();
	cfg_set(h, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	ck_assert_uint_eq(host_slots(h), 0);
	ck_assert_uint_eq(dev_get(h, PCI_COMMAND, 2), PCI_COMMAND_MASTER);
	cfg_set(h, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	ck_assert_uint_eq(host_slots(h), 3);
}
END_TEST

START_TEST(slots_follow_a_moved_bar)
{
	uint64_t was;

	open_placed();
	was = bar_at(0);
	cfg_set(h, PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	cfg_set(h, PCI_BASE_ADDRESS_1, 4, 0);
	ck_assert_uint_eq(bar_at(0), 0xd0000000);
	ck_assert_ptr_null(host_slot_at(h, was));
	ck_assert_uint_eq(host_slot_at(h, 0xd0000000)->size, 0x4000);
	for (unsigned int i = PCI_BASE_ADDRESS_0; i < PCI_BASE_ADDRESS_0 + 24; i++)
		ck_assert_uint_eq(h->touched[i], 0);
}
END_TEST

/* A kernel answer to a touched BAR in D3hot ends KVM_RUN, so nothing may be mapped then. */
START_TEST(slots_go_in_d3hot_and_come_back)
{
	open_placed();
	cfg_set(h, CAP_PM + PCI_PM_CTRL, 2, 3);
	ck_assert_uint_eq(host_slots(h), 0);
	ck_assert_uint_eq(cfg_get(h, CAP_PM + PCI_PM_CTRL, 2), 3);
	cfg_set(h, PCI_COMMAND, 2, 0);
	cfg_set(h, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	ck_assert_uint_eq(host_slots(h), 0);
	cfg_set(h, CAP_PM + PCI_PM_CTRL, 2, 0);
	ck_assert_uint_eq(host_slots(h), 3);
}
END_TEST

START_TEST(unmappable_bars_are_trapped)
{
	h->k.fail_name = "mmap device";
	h->k.fail_times = 100;
	h->k.fail_errno = ENODEV;
	open_placed();
	ck_assert_uint_eq(host_slots(h), 0);
	le_store(&h->bar[0][0x10], 4, 0x600dcafe);
	ck_assert_uint_eq(bus_read(h->mmio, bar_at(0) + 0x10, 4), 0x600dcafe);
	bus_write(h->mmio, bar_at(0) + 0x20, 2, 0xbeef);
	ck_assert_uint_eq(le_load(&h->bar[0][0x20], 4), 0xbeef);
}
END_TEST

START_TEST(refused_slots_are_trapped)
{
	struct assigned_stats st;

	h->slot_errno = ENOSPC;
	open_placed();
	h->bar[0][1] = 0x42;
	ck_assert_uint_eq(bus_read(h->mmio, bar_at(0) + 1, 1), 0x42);
	assigned_stats(h->a, &st);
	ck_assert_uint_eq(st.bar_accesses, 1);
}
END_TEST

/* Registers that share the table's page work; the table itself is never the device's. */
START_TEST(edge_of_the_msix_table_is_out_of_reach)
{
	uint64_t bar;

	open_placed();
	bar = bar_at(3);
	bus_write(h->mmio, bar + 3 * 16 - 4, 8, UINT64_MAX);
	bus_write(h->mmio, bar + 1, 4, UINT64_MAX);
	bus_write(h->mmio, bar + 0x2000, 8, UINT64_MAX);
	bus_write(h->mmio, bar + 0x1ffc, 8, UINT64_MAX);
	ck_assert_uint_eq(h->bar_writes, 0);
	/* vmm answers these before we are asked; we do not rely on it. */
	bars_write(h->a, 3, 3 * 16 - 4, 8, UINT64_MAX);
	bars_write(h->a, 3, 0x2004, 4, UINT64_MAX);
	ck_assert_uint_eq(bars_read(h->a, 3, 0, 4), UINT32_MAX);
	ck_assert_uint_eq(h->bar_writes + h->bar_reads, 0);
	bus_write(h->mmio, bar + 3 * 16, 4, 0x77);
	ck_assert_uint_eq(h->bar_writes, 1);
	ck_assert_uint_eq(h->bar[3][48], 0x77);
}
END_TEST

START_TEST(small_and_io_bars)
{
	dev_set(h, PCI_BASE_ADDRESS_2, 4, PCI_BASE_ADDRESS_SPACE_IO);
	dev_region(h, 2, RW, 32);
	dev_set(h, PCI_BASE_ADDRESS_5, 4, 0);
	dev_region(h, 5, RW, 512);
	dev_set(h, PCI_BASE_ADDRESS_0, 4, 0);
	dev_region(h, 0, RW | VFIO_REGION_INFO_FLAG_MMAP, 256);
	dev_region(h, PCI_ROM, VFIO_REGION_INFO_FLAG_READ, 3000);
	open_placed();
	ck_assert_int_eq(h->a->func.bar[0].kind, PCI_BAR_MEM32);
	ck_assert_uint_eq(h->a->func.bar[0].size, 4096);
	ck_assert_uint_eq(host_slot_at(h, bar_at(0))->size, 4096);
	ck_assert_int_eq(h->a->func.bar[2].kind, PCI_BAR_IO);
	ck_assert_uint_eq(h->a->func.bar[5].size, 512);
	ck_assert_uint_eq(h->a->func.bar[PCI_ROM].size, 4096);
	bus_write(h->pio, bar_at(2) + 4, 4, 0x11223344);
	ck_assert_uint_eq(bus_read(h->pio, bar_at(2) + 4, 4), 0x11223344);
	bus_write(h->mmio, bar_at(5) + 0x10, 1, 0x5a);
	ck_assert_uint_eq(h->bar[5][0x10], 0x5a);
	cfg_set(h, PCI_ROM_ADDRESS, 4, cfg_get(h, PCI_ROM_ADDRESS, 4) | PCI_ROM_ADDRESS_ENABLE);
	le_store(h->bar[PCI_ROM], 2, 0xaa55);
	ck_assert_uint_eq(bus_read(h->mmio, bar_at(PCI_ROM), 2), 0xaa55);
	/* Beyond the image, inside the BAR. */
	ck_assert_uint_eq(bus_read(h->mmio, bar_at(PCI_ROM) + 3072, 4), UINT32_MAX);
	bus_write(h->mmio, bar_at(PCI_ROM), 4, 0);
	ck_assert_uint_eq(h->bar[PCI_ROM][0], 0x55);
}
END_TEST

static const struct {
	unsigned int bar;
	uint32_t reg;
	uint64_t size;
} bad_bars[] = {
	{2, 0, 0x3000},     /* not a power of two */
	{2, 0, 8},          /* too small */
	{2, 1, 0x20000},    /* more than all ports */
	{2, 0, 1ull << 32}, /* does not fit 32 bits */
	{5, 4, 0x1000},     /* a 64-bit BAR without an upper half */
	{1, 0, 0x1000},     /* the upper half of BAR 0 */
};

START_TEST(impossible_bar_is_refused)
{
	struct err e = {0};

	dev_set(h, PCI_BASE_ADDRESS_0 + bad_bars[_i].bar * 4, 4, bad_bars[_i].reg);
	dev_region(h, bad_bars[_i].bar, RW, bad_bars[_i].size);
	ck_assert_int_eq(host_open(h, &e), -EPROTO);
	ck_assert_ptr_nonnull(strstr(e.text, HOST_BDF));
}
END_TEST

START_TEST(quirk_moves_pending_bits_into_the_bar)
{
	dev_set(h, PCI_VENDOR_ID, 4, 0x58011425);
	dev_set(h, CAP_MSIX + PCI_MSIX_PBA, 4, 0x8000 | 3);
	open_ok();
	ck_assert_uint_eq(h->a->func.msix_pba_off, 0x1000);
	ck_assert_uint_eq(cfg_get(h, CAP_MSIX + PCI_MSIX_PBA, 4), 0x1000 | 3);
}
END_TEST

/* ---- interrupts ---- */

/* The kernel cannot add vectors later here, so all are taken at once, most of them silent. */
START_TEST(msix_enable_arms_the_whole_range)
{
	open_placed();
	msix_entry_set(h, 1, 0x41, false);
	ck_assert_int_lt(h->armed_index, 0);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	ck_assert_int_eq(h->armed_index, VFIO_PCI_MSIX_IRQ_INDEX);
	ck_assert_uint_eq(h->armed, 3);
	ck_assert_uint_eq(h->arms, 1);
	ck_assert_int_eq(h->fds[0], -1);
	ck_assert_int_ge(h->fds[1], 0);
	msix_entry_set(h, 2, 0x42, false);
	ck_assert_uint_eq(h->arms, 2);
	ck_assert_int_ge(h->fds[2], 0);
	ck_assert_int_eq(h->fds[0], -1);
	ck_assert_uint_eq(h->disarms, 0);
	cfg_set(h, MSIX_CTL, 2, 0);
	ck_assert_int_lt(h->armed_index, 0);
	ck_assert_uint_eq(h->touched[MSIX_CTL + 1], 0);
}
END_TEST

/* PF and VF drivers talk before any vector is used; the device's enable bit must follow. */
START_TEST(msix_enable_without_vectors_arms_a_silent_one)
{
	h->dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags &= ~(uint32_t)VFIO_IRQ_INFO_NORESIZE;
	h->dynamic = true;
	open_placed();
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	ck_assert_uint_eq(h->armed, 1);
	ck_assert_int_eq(h->fds[0], -1);
	msix_entry_set(h, 2, 0x42, false);
	ck_assert_uint_eq(h->armed, 3);
	ck_assert_int_ge(h->fds[2], 0);
	ck_assert_uint_eq(h->disarms, 0);
	msix_entry_set(h, 1, 0x41, false);
	ck_assert_int_ge(h->fds[1], 0);
}
END_TEST

START_TEST(msix_makes_do_with_few_host_vectors)
{
	h->offer = 1;
	open_placed();
	msix_entry_set(h, 0, 0x40, false);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	ck_assert_uint_eq(h->armed, 1);
	h->offer = 2;
	msix_entry_set(h, 1, 0x41, false);
	ck_assert_uint_eq(h->armed, 2);
	ck_assert_int_ge(h->fds[0], 0);
	ck_assert_int_ge(h->fds[1], 0);
	ck_assert_uint_eq(h->disarms, 1);
}
END_TEST

/* The eventfd VFIO signals is the one KVM listens to: that is what makes interrupts exit-less. */
START_TEST(interrupt_reaches_the_guest_through_one_eventfd)
{
	struct assigned_stats st;
	uint64_t one = 1;

	open_placed();
	msix_entry_set(h, 0, 0x4123, false);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	irq_recorder_clear(&h->rec);
	ck_assert_int_eq(write(h->fds[0], &one, sizeof(one)), sizeof(one));
	irq_recorder_run(&h->rec);
	ck_assert_uint_eq(h->rec.n_msi, 1);
	ck_assert_uint_eq(h->rec.msi[0].data, 0x4123);
	assigned_stats(h->a, &st);
	ck_assert_uint_eq(st.vectors_armed, 1);
	ck_assert_uint_eq(st.host_irqs, 12);
	/* The kernel forgets its count with the disarm, we do not. */
	cfg_set(h, MSIX_CTL, 2, 0);
	assigned_stats(h->a, &st);
	ck_assert_uint_eq(st.vectors_armed, 0);
	ck_assert_uint_eq(st.host_irqs, 12);
}
END_TEST

START_TEST(masked_interrupt_waits_without_touching_vfio)
{
	unsigned int arms;
	uint64_t one = 1;

	open_placed();
	msix_entry_set(h, 0, 0x40, false);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	arms = h->arms;
	msix_entry_set(h, 0, 0x40, true);
	irq_recorder_clear(&h->rec);
	ck_assert_int_eq(write(h->fds[0], &one, sizeof(one)), sizeof(one));
	irq_recorder_run(&h->rec);
	ck_assert_uint_eq(h->rec.n_msi, 0);
	ck_assert_uint_eq(bus_read(h->mmio, bar_at(3) + 0x2000, 8), 1);
	msix_entry_set(h, 0, 0x40, false);
	irq_recorder_run(&h->rec);
	ck_assert_uint_eq(h->rec.n_msi, 1);
	ck_assert_uint_eq(h->arms, arms);
}
END_TEST

static void msi_enable(unsigned int log2)
{
	cfg_set(h, CAP_MSI + PCI_MSI_ADDRESS_LO, 4, 0xfee00000);
	cfg_set(h, CAP_MSI + PCI_MSI_DATA_64, 2, 0x50);
	cfg_set(h, CAP_MSI + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | log2 << 4);
}

START_TEST(msi_and_msix_are_never_armed_together)
{
	open_placed();
	msi_enable(2);
	ck_assert_int_eq(h->armed_index, VFIO_PCI_MSI_IRQ_INDEX);
	ck_assert_uint_eq(h->armed, 4);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_int_ge(h->fds[i], 0);
	msix_entry_set(h, 0, 0x40, false);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	ck_assert_int_eq(h->armed_index, VFIO_PCI_MSIX_IRQ_INDEX);
	/* Turning off what is no longer armed leaves the other alone. */
	cfg_set(h, CAP_MSI + PCI_MSI_FLAGS, 2, 0);
	ck_assert_int_eq(h->armed_index, VFIO_PCI_MSIX_IRQ_INDEX);
	ck_assert_uint_eq(h->touched[CAP_MSI + PCI_MSI_FLAGS], 0);
}
END_TEST

START_TEST(msi_offers_no_more_than_vfio)
{
	h->dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].count = 3;
	open_ok();
	ck_assert_uint_eq(cfg_get(h, CAP_MSI + PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_QMASK, 1 << 1);
}
END_TEST

/* ---- reset ---- */

START_TEST(guest_reboot_resets_the_device)
{
	open_placed();
	cfg_set(h, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	msix_entry_set(h, 0, 0x40, false);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	pci_root_reset(h->pci);
	ck_assert_int_lt(h->armed_index, 0);
	ck_assert_uint_eq(h->dev->resets, 2);
	ck_assert_uint_eq(dev_get(h, PCI_COMMAND, 2), 0);
	ck_assert_uint_eq(host_slots(h), 0);
	ck_assert_uint_eq(cfg_get(h, MSIX_CTL, 2), 2);
	host_place(h);
	ck_assert_uint_eq(host_slots(h), 3);
	msix_entry_set(h, 0, 0x40, false);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	ck_assert_int_eq(h->armed_index, VFIO_PCI_MSIX_IRQ_INDEX);
}
END_TEST

START_TEST(guest_reboot_wakes_a_device_from_d3hot)
{
	open_placed();
	cfg_set(h, CAP_PM + PCI_PM_CTRL, 2, 3);
	pci_root_reset(h->pci);
	host_place(h);
	ck_assert_uint_eq(host_slots(h), 3);
}
END_TEST

/* PCIe 5.0 §6.6.2: the guest's driver finds MSI-X off after the reset it asked for. */
START_TEST(guest_flr_turns_msix_off)
{
	open_placed();
	msix_entry_set(h, 0, 0x40, false);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	cfg_set(h, CAP_EXP + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR | 0x10);
	ck_assert_uint_eq(h->flrs, 1);
	ck_assert_int_lt(h->armed_index, 0);
	ck_assert_uint_eq(cfg_get(h, MSIX_CTL, 2), 2);
	ck_assert_uint_eq(bus_read(h->mmio, bar_at(3) + PCI_MSIX_ENTRY_VECTOR_CTRL, 4), 1);
	/* The kernel put the header back: BARs stay where they are. */
	ck_assert_uint_eq(host_slots(h), 3);
}
END_TEST

/* ---- errors ---- */

static unsigned int life(struct host *x)
{
	struct err e = {0};
	int r = host_open(x, &e);

	if (r < 0) {
		ck_assert_ptr_nonnull(strstr(e.text, HOST_BDF));
		return 0;
	}
	/* A read that failed must not become an id of all ones. */
	ck_assert_uint_eq(pci_cfg_read(x->pci, 0, HOST_DEVFN, PCI_VENDOR_ID, 4), 0x10ca8086);
	ck_assert_uint_eq(
		pci_cfg_read(x->pci, 0, HOST_DEVFN, PCI_SUBSYSTEM_VENDOR_ID, 4), 0xa03c8086);
	if (pci_root_place(x->pci, NULL) < 0)
		return 0;
	msix_entry_set(x, 0, 0x40, false);
	pci_cfg_write(x->pci, 0, HOST_DEVFN, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	msix_entry_set(x, 1, 0x41, false);
	pci_cfg_write(x->pci, 0, HOST_DEVFN, PCI_COMMAND, 2, 0);
	pci_cfg_write(x->pci, 0, HOST_DEVFN, PCI_COMMAND, 2, 6);
	pci_root_reset(x->pci);
	return 1;
}

static unsigned int fds_open(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Every system call fails once; host_finish() aborts when something is left. */
START_TEST(any_failing_call_leaves_nothing_behind)
{
	struct host *x = malloc(sizeof(*x));
	unsigned int n = 0, fds = fds_open();

	do {
		host_init(x, root);
		x->k.fail_call = x->k.calls + ++n;
		x->k.fail_errno = EIO;
		life(x);
		host_finish(x);
		ck_assert_uint_eq(fds_open(), fds);
		ck_assert_uint_lt(n, 2000);
	} while (x->k.calls >= x->k.fail_call);
	ck_assert_uint_gt(n, 50);
	free(x);
}
END_TEST

/* Nothing a guest writes into config space and BARs may get past the policy. */
START_TEST(garbage_stays_inside_the_policy)
{
	open_placed();
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int off = 0; off < PCI_CFG_SIZE; off += 4)
			cfg_set(h, off, 4, round == 0 ? UINT32_MAX : 0x5a5a5a5a * round);
	}
	for (unsigned int i = 0; i < PCI_CFG_SIZE; i++) {
		bool may = i == PCI_COMMAND || i == PCI_COMMAND + 1 || i == PCI_STATUS ||
			   i == PCI_STATUS + 1 || i == PCI_CACHE_LINE_SIZE ||
			   i == PCI_LATENCY_TIMER || (i >= CAP_PM + 4 && i < CAP_PM + 6) ||
			   (i >= CAP_EXP + 8 && i < CAP_EXP + 12) ||
			   (i >= CAP_EXP + 40 && i < CAP_EXP + 44) ||
			   (i >= EXT_AER + 4 && i < EXT_AER + 0x2c);

		ck_assert_msg(may || !h->touched[i], "config byte %#x was written", i);
	}
	ck_assert_uint_eq(h->written[PCI_STATUS], 0);
	ck_assert_uint_eq(h->written[PCI_STATUS + 1] & ~0xf9u, 0);
}
END_TEST

START_TEST(interrupt_lines_are_counted_by_device)
{
	const char *b = "0000:01:10.0";

	ck_assert_uint_eq(
		vectors_count_line(" 24:  5  7  IR-PCI-MSI 1-edge vfio-msix[0](0000:01:10.0)\n", b),
		12);
	ck_assert_uint_eq(
		vectors_count_line(" 24:  5  7  8254x vfio-msi[0](0000:01:10.0)\n", b), 12);
	ck_assert_uint_eq(vectors_count_line(" 24:  5  x vfio-intx(0000:01:10.0)", b), 5);
	ck_assert_uint_eq(vectors_count_line(" 24:  5  x vfio-msi[0](0000:01:10.1)", b), 0);
	ck_assert_uint_eq(vectors_count_line(" 24:  5  x igbvf(0000:01:10.0)", b), 0);
	ck_assert_uint_eq(vectors_count_line("vfio-msi[0](0000:01:10.0)", b), 0);
	ck_assert_uint_eq(vectors_count_line("", b), 0);
}
END_TEST

/* ---- DMA ---- */

static struct gmem *ram(uint64_t size, uint64_t low_max)
{
	const struct gmem_config cfg = {.size = size, .low_max = low_max};
	struct gmem *g = NULL;
	struct err e = {0};

	ck_assert_msg(gmem_create(&cfg, &e, &g) == 0, "%s", e.text);
	return g;
}

START_TEST(guest_ram_is_mapped_in_one_call_per_region)
{
	struct gmem *g = ram(64 << 20, 32 << 20);
	struct dma_map *m = NULL;
	struct ioas_stats st;
	struct err e = {0};

	open_ok();
	ck_assert_msg(dma_map_create(h->io, g, &e, &m) == 0, "%s", e.text);
	ioas_stats(h->io, &st);
	ck_assert_uint_eq(st.map_calls, 2);
	ck_assert_uint_eq(st.map_bytes, 64 << 20);
	ck_assert_uint_eq(h->k.dma.n, 2);
	ck_assert_uint_eq(h->k.dma.v[0].start, 0);
	ck_assert_uint_eq(h->k.dma.v[1].start, 1ull << 32);
	dma_map_destroy(m);
	ck_assert_uint_eq(h->k.dma.n, 0);
	gmem_destroy(g);
}
END_TEST

/* Said before pinning starts, not after seconds of it. Needs a process without CAP_IPC_LOCK. */
START_TEST(small_memlock_limit_is_refused_up_front)
{
	const struct rlimit lim = {4096, 4096};
	struct gmem *g = ram(64 << 20, 0);
	struct dma_map *m = NULL;
	struct ioas_stats st;
	int status;
	pid_t pid;

	open_ok();
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct err e = {0};

		if (setrlimit(RLIMIT_MEMLOCK, &lim) < 0 || (getuid() == 0 && setuid(65534) < 0))
			_exit(2);
		if (dma_map_create(h->io, g, &e, &m) != -ENOMEM || !strstr(e.text, "MEMLOCK"))
			_exit(1);
		ioas_stats(h->io, &st);
		_exit(st.map_calls ? 3 : 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	gmem_destroy(g);
}
END_TEST

START_TEST(ram_over_a_reserved_window_is_refused_by_name)
{
	const struct vfio_iova_range holes[] = {{0, 0xffffff}, {0x2000000, 0xffffffff}};
	const struct vfio_iova_range narrow[] = {{0, 0x1ffffff}};
	struct gmem *g = ram(64 << 20, 0);
	struct dma_map *m = NULL;
	struct err e = {0};

	if (_i)
		fk_windows(&h->k, 1, narrow);
	else
		fk_windows(&h->k, 2, holes);
	open_ok();
	ck_assert_int_eq(dma_map_create(h->io, g, &e, &m), -ERANGE);
	ck_assert_ptr_nonnull(strstr(e.text, "[0, 0x4000000)"));
	if (_i)
		ck_assert_ptr_nonnull(
			strstr(e.text, "above what the IOMMU can translate (0x2000000)"));
	else
		ck_assert_ptr_nonnull(strstr(e.text, "[0x1000000, 0x2000000)"));
	ck_assert_uint_eq(h->k.dma.n, 0);
	gmem_destroy(g);
}
END_TEST

START_TEST(blocked_devices_leave_no_ram_mapped)
{
	struct gmem *g = ram(64 << 20, 32 << 20);
	struct dma_map *m = NULL;
	struct err e = {0};

	open_ok();
	ck_assert_int_eq(dma_map_create(h->io, g, &e, &m), 0);
	ck_assert_int_eq(dma_map_block(m, true, &e), 0);
	ck_assert_uint_eq(h->k.dma.n, 0);
	/* Two devices of a group: both have to be let through again. */
	ck_assert_int_eq(dma_map_block(m, true, &e), 0);
	ck_assert_int_eq(dma_map_block(m, false, &e), 0);
	ck_assert_uint_eq(h->k.dma.n, 0);
	ck_assert_int_eq(dma_map_block(m, false, &e), 0);
	ck_assert_uint_eq(h->k.dma.n, 2);
	/* What cannot be mapped again is not half mapped, and is tried again the next time. */
	ck_assert_int_eq(dma_map_block(m, true, &e), 0);
	h->k.dma_limit = 1;
	ck_assert_int_lt(dma_map_block(m, false, &e), 0);
	ck_assert_ptr_nonnull(strstr(e.text, "guest RAM"));
	ck_assert_uint_eq(h->k.dma.n, 0);
	h->k.dma_limit = 65535;
	ck_assert_int_eq(dma_map_block(m, true, &e), 0);
	ck_assert_int_eq(dma_map_block(m, false, &e), 0);
	ck_assert_uint_eq(h->k.dma.n, 2);
	ck_assert_int_eq(dma_map_block(m, true, &e), 0);
	dma_map_destroy(m);
	ck_assert_uint_eq(h->k.dma.n, 0);
	gmem_destroy(g);
}
END_TEST

START_TEST(the_guests_unit_blocks_its_device_and_hears_of_its_faults)
{
	struct gmem *g = ram(64 << 20, 0);
	struct dma_map *m = NULL;
	struct err e = {0};

	open_ok();
	ck_assert_int_eq(dma_map_create(h->io, g, &e, &m), 0);
	assigned_set_dma(h->a, m);
	ck_assert(!assigned_dma_fault(h->a, 0x1000, true));
	/* Translation without tables. */
	vtd_write(h->vtd, 0x18, 4, 1u << 31);
	ck_assert_uint_eq(h->k.dma.n, 0);
	ck_assert(assigned_dma_fault(h->a, 0x12345678, false));
	ck_assert_uint_eq(vtd_read(h->vtd, 0x220, 8), 0x12345000);
	ck_assert_uint_eq(vtd_read(h->vtd, 0x228, 8), 3ull << 62 | 8ull << 32 | HOST_DEVFN);
	/* A guest that reboots has all its devices. */
	vtd_reset(h->vtd);
	ck_assert_uint_eq(h->k.dma.n, 1);
	vtd_write(h->vtd, 0x18, 4, 1u << 31);
	ck_assert_uint_eq(h->k.dma.n, 0);
	vtd_write(h->vtd, 0x18, 4, 0);
	ck_assert_uint_eq(h->k.dma.n, 1);
	dma_map_destroy(m);
	assigned_set_dma(h->a, NULL);
	gmem_destroy(g);
}
END_TEST

START_TEST(failed_mapping_undoes_the_others)
{
	struct gmem *g = ram(64 << 20, 32 << 20);
	struct dma_map *m = NULL;
	struct err e = {0};

	open_ok();
	h->k.dma_limit = 1;
	ck_assert_int_lt(dma_map_create(h->io, g, &e, &m), 0);
	ck_assert_ptr_nonnull(strstr(e.text, "guest RAM"));
	ck_assert_uint_eq(h->k.dma.n, 0);
	gmem_destroy(g);
	dma_map_destroy(NULL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("passthrough");
	TCase *config = tcase_create("config"), *bars = tcase_create("bars");
	TCase *irq = tcase_create("interrupts"), *life_ = tcase_create("life");
	TCase *dma = tcase_create("dma"), *all[] = {config, bars, irq, life_, dma};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		tcase_add_checked_fixture(all[i], host_up, host_down);
		tcase_set_timeout(all[i], 30);
		suite_add_tcase(s, all[i]);
	}
	tcase_add_test(config, header_shows_ids_and_hides_the_slot);
	tcase_add_test(config, open_leaves_the_device_quiet);
	tcase_add_test(config, command_reaches_the_device);
	tcase_add_test(config, capabilities_are_shown_by_table);
	tcase_add_test(config, all_hidden_capabilities_leave_no_list);
	tcase_add_test(config, extended_chain_skips_hidden);
	tcase_add_test(config, hidden_head_of_extended_chain_keeps_its_place);
	tcase_add_test(config, pcie_endpoint_becomes_integrated);
	tcase_add_test(config, pcie_version_0_becomes_1);
	tcase_add_test(config, bytes_of_no_capability_are_read_only);
	tcase_add_test(config, status_errors_are_cleared_alone);
	tcase_add_loop_test(config, broken_device_is_refused, 0, ARRAY_SIZE(dead));
	tcase_add_test(config, taken_slot_is_an_error_and_no_leak);
	tcase_add_test(config, garbage_stays_inside_the_policy);
	tcase_add_test(bars, bars_become_slots_around_the_msix_table);
	tcase_add_test(bars, slots_follow_memory_enable);
	tcase_add_test(bars, slots_follow_a_moved_bar);
	tcase_add_test(bars, slots_go_in_d3hot_and_come_back);
	tcase_add_test(bars, unmappable_bars_are_trapped);
	tcase_add_test(bars, refused_slots_are_trapped);
	tcase_add_test(bars, edge_of_the_msix_table_is_out_of_reach);
	tcase_add_test(bars, small_and_io_bars);
	tcase_add_loop_test(bars, impossible_bar_is_refused, 0, ARRAY_SIZE(bad_bars));
	tcase_add_test(bars, quirk_moves_pending_bits_into_the_bar);
	tcase_add_test(irq, msix_enable_arms_the_whole_range);
	tcase_add_test(irq, msix_enable_without_vectors_arms_a_silent_one);
	tcase_add_test(irq, msix_makes_do_with_few_host_vectors);
	tcase_add_test(irq, interrupt_reaches_the_guest_through_one_eventfd);
	tcase_add_test(irq, masked_interrupt_waits_without_touching_vfio);
	tcase_add_test(irq, msi_and_msix_are_never_armed_together);
	tcase_add_test(irq, msi_offers_no_more_than_vfio);
	tcase_add_test(irq, interrupt_lines_are_counted_by_device);
	tcase_add_test(life_, guest_reboot_resets_the_device);
	tcase_add_test(life_, guest_reboot_wakes_a_device_from_d3hot);
	tcase_add_test(life_, guest_flr_turns_msix_off);
	tcase_add_test(life_, any_failing_call_leaves_nothing_behind);
	tcase_add_test(dma, guest_ram_is_mapped_in_one_call_per_region);
	tcase_add_test(dma, small_memlock_limit_is_refused_up_front);
	tcase_add_loop_test(dma, ram_over_a_reserved_window_is_refused_by_name, 0, 2);
	tcase_add_test(dma, blocked_devices_leave_no_ram_mapped);
	tcase_add_test(dma, the_guests_unit_blocks_its_device_and_hears_of_its_faults);
	tcase_add_test(dma, failed_mapping_undoes_the_others);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
