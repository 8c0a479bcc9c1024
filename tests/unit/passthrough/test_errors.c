// SPDX-License-Identifier: GPL-2.0-or-later
/* The error and the request interrupt: a device that is isolated, detached, and what is left of it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/pci_regs.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/passthrough/host_world.h"

#define PIN      19
#define LEVEL    0x8000u
#define OTHER    "0000:01:10.2"
#define OTHER_AT 0x20

/* SET_IRQS with DATA_NONE: the kernel fires the vector as the hardware would. */
static void fire(enum assigned_signal_kind kind)
{
	const unsigned int index[] = {VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX};
	struct err e = {0};

	ck_assert_msg(vdev_irq_fire(h->a->dev, index[kind], 0, 1, &e) == 0, "%s", e.text);
}

static bool readable(enum assigned_signal_kind kind)
{
	struct pollfd p = {assigned_signal_fd(h->a, kind), POLLIN, 0};

	return poll(&p, 1, 0) == 1;
}

static uint64_t count(enum assigned_signal_kind kind)
{
	struct assigned_stats s;

	assigned_stats(h->a, &s);
	return s.signals[kind];
}

/* ---- what a guest may have the device doing ---- */

static void idle(void)
{
}

static void use_msix(void)
{
	uint64_t one = 1;

	msix_entry_set(h, 0, 0x41, false);
	msix_entry_set(h, 1, 0x42, false);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	/* One is pending behind its mask. */
	msix_entry_set(h, 1, 0x42, true);
	ck_assert_int_eq(write(h->fds[1], &one, sizeof(one)), sizeof(one));
}

static void use_msi(void)
{
	cfg_set(h, CAP_MSI + PCI_MSI_ADDRESS_LO, 4, 0xfee00000);
	cfg_set(h, CAP_MSI + PCI_MSI_DATA_64, 2, 0x50);
	cfg_set(h, CAP_MSI + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | 2 << 4);
}

/* Its level is up and the guest has not ended it. */
static void use_intx(void)
{
	struct assigned_stats s = {0};
	uint64_t one = 1;

	ioapic_write(h->ioapic, 0, 4, 0x10 + 2 * PIN);
	ioapic_write(h->ioapic, 0x10, 4, LEVEL | 0x41);
	ck_assert_int_eq(write(h->fds[0], &one, sizeof(one)), sizeof(one));
	while (!s.user_irqs)
		assigned_stats(h->a, &s);
}

static void use_d3hot(void)
{
	cfg_set(h, CAP_PM + PCI_PM_CTRL, 2, 3);
}

static void be_isolated(void)
{
	assigned_isolate(h->a);
}

static const struct {
	void (*use)(void);
	bool pin;
} uses[] = {
	{idle, false},
	{use_msix, false},
	{use_msi, false},
	{use_intx, true},
	{use_msix, true},
	{use_d3hot, false},
	{be_isolated, false},
};

static uint64_t at[PCI_ROM]; /* where the BARs were */

static void open_used(int i)
{
	h->dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].count = uses[i].pin;
	open_placed();
	cfg_set(h, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (unsigned int b = 0; b < PCI_ROM; b++)
		at[b] = pci_bar_addr(&h->a->func, b);
	ck_assert_uint_ne(at[0], 0);
	uses[i].use();
}

/* To the guest the slot is empty, and nothing it does there reaches the device. */
static void is_gone(void)
{
	unsigned int writes = h->n_writes, reads = h->bar_reads, wrote = h->bar_writes;
	struct assigned_stats s;

	ck_assert_uint_eq(cfg_get(h, PCI_VENDOR_ID, 4), 0xffffffff);
	ck_assert_uint_eq(cfg_get(h, PCI_STATUS, 2), 0xffff);
	ck_assert_uint_eq(cfg_get(h, EXT_AER, 1), 0xff);
	cfg_set(h, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	cfg_set(h, CAP_MSI + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
	cfg_set(h, CAP_EXP + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	cfg_set(h, CAP_PM + PCI_PM_CTRL, 2, 0);
	ck_assert_uint_eq(bus_read(h->mmio, at[0], 4), 0xffffffff);
	ck_assert_uint_eq(bus_read(h->mmio, at[3] + 0x800, 8), UINT64_MAX);
	bus_write(h->mmio, at[3] + 0x800, 4, 1);
	bus_write(h->mmio, at[3] + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
	/* A vCPU that had found the BAR before it went. */
	ck_assert(h->a->dev || bars_read(h->a, 3, 0x800, 4) == 0xffffffff);
	if (!h->a->dev)
		bars_write(h->a, 3, 0x800, 4, 1);
	ck_assert_uint_eq(h->n_writes, writes);
	ck_assert_uint_eq(h->bar_reads, reads);
	ck_assert_uint_eq(h->bar_writes, wrote);
	ck_assert_uint_eq(h->flrs, 0);
	ck_assert_uint_eq(host_slots(h), 0);
	ck_assert_int_eq(h->armed_index, -1);
	ck_assert_uint_eq(h->rec.n_attached, 0);
	assigned_stats(h->a, &s);
	ck_assert_uint_eq(s.vectors_armed, 0);
}

/* ---- the signals ---- */

START_TEST(each_loopback_arrives_once)
{
	open_placed();
	for (unsigned int k = 0; k < ASSIGNED_SIGNALS; k++) {
		ck_assert(!readable(k));
		ck_assert_uint_eq(assigned_signal_take(h->a, k), 0);
		for (unsigned int n = 1; n <= 100; n++) {
			fire(k);
			ck_assert(readable(k));
			ck_assert_uint_eq(assigned_signal_take(h->a, k), 1);
			ck_assert(!readable(k));
			ck_assert_uint_eq(count(k), n);
		}
		/* Together they are two, not one. */
		fire(k);
		fire(k);
		ck_assert_uint_eq(assigned_signal_take(h->a, k), 2);
		ck_assert_uint_eq(count(k), 102);
	}
	/* Nothing of this was an interrupt of the guest's. */
	ck_assert_uint_eq(h->rec.n_msi, 0);
}
END_TEST

START_TEST(device_without_them_is_assigned_all_the_same)
{
	h->dev->irqs[VFIO_PCI_ERR_IRQ_INDEX].count = 0;
	h->dev->irqs[VFIO_PCI_REQ_IRQ_INDEX].count = 0;
	open_placed();
	for (unsigned int k = 0; k < ASSIGNED_SIGNALS; k++) {
		ck_assert_int_lt(assigned_signal_fd(h->a, k), 0);
		ck_assert_uint_eq(assigned_signal_take(h->a, k), 0);
	}
}
END_TEST

START_TEST(kernel_that_refuses_them_is_survived)
{
	h->k.fail_name = "SET_IRQS";
	h->k.fail_times = 2;
	h->k.fail_errno = EBUSY;
	open_placed();
	ck_assert_int_lt(assigned_signal_fd(h->a, ASSIGNED_ERROR), 0);
	ck_assert_int_lt(assigned_signal_fd(h->a, ASSIGNED_REQUEST), 0);
}
END_TEST

START_TEST(destroyed_while_a_signal_waits)
{
	open_placed();
	fire(ASSIGNED_ERROR);
	fire(ASSIGNED_REQUEST);
}
END_TEST

/* ---- isolate, detach ---- */

START_TEST(isolated_device_is_stopped_and_reads_all_ones)
{
	unsigned int resets;

	open_used(_i);
	resets = h->dev->resets;
	assigned_isolate(h->a);
	ck_assert_int_eq(assigned_state(h->a), ASSIGNED_ISOLATED);
	is_gone();
	ck_assert_uint_eq(dev_get(h, PCI_COMMAND, 2), 0);
	/* It stays ours, with its state: whoever looks for the cause may. */
	ck_assert_uint_eq(h->dev->open, 1);
	ck_assert_uint_eq(h->dev->resets, resets);
	/* A second error changes nothing, and is counted. */
	fire(ASSIGNED_ERROR);
	ck_assert_uint_eq(assigned_signal_take(h->a, ASSIGNED_ERROR), 1);
	assigned_isolate(h->a);
	is_gone();
}
END_TEST

START_TEST(detached_device_is_the_hosts_again)
{
	open_used(_i);
	fire(ASSIGNED_REQUEST);
	ck_assert_uint_eq(assigned_signal_take(h->a, ASSIGNED_REQUEST), 1);
	assigned_detach(h->a);
	ck_assert_int_eq(assigned_state(h->a), ASSIGNED_DETACHED);
	ck_assert_uint_eq(h->dev->open, 0);
	ck_assert_uint_eq(h->k.mapped.n, 0);
	ck_assert_uint_eq(h->dev->armed[VFIO_PCI_ERR_IRQ_INDEX], 0);
	ck_assert_uint_eq(h->dev->armed[VFIO_PCI_REQ_IRQ_INDEX], 0);
	is_gone();
	ck_assert_uint_eq(dev_get(h, PCI_COMMAND, 2), 0);
	/* What is asked of it afterwards, and figures. */
	assigned_detach(h->a);
	assigned_isolate(h->a);
	ck_assert_int_eq(assigned_state(h->a), ASSIGNED_DETACHED);
	ck_assert_uint_eq(assigned_devfn(h->a), HOST_DEVFN);
	ck_assert_uint_eq(assigned_bdf(h->a).dev, 0x10);
	ck_assert_uint_eq(count(ASSIGNED_REQUEST), 1);
	pci_root_reset(h->pci);
	host_place(h);
	is_gone();
}
END_TEST

START_TEST(interrupts_under_way_are_dropped)
{
	uint64_t one = 1;
	int fd;

	open_used(1);
	fd = fcntl(h->fds[0], F_DUPFD_CLOEXEC, 0);
	irq_recorder_clear(&h->rec);
	assigned_isolate(h->a);
	ck_assert_int_eq(write(fd, &one, sizeof(one)), sizeof(one));
	irq_recorder_run(&h->rec);
	ck_assert_uint_eq(h->rec.n_msi, 0);
	close(fd);
}
END_TEST

/* The kernel cannot lock what is being taken away; asking again and again would cost a second. */
START_TEST(detach_does_not_wait_for_a_reset)
{
	unsigned int pauses;

	open_placed();
	pauses = h->pauses;
	h->k.fail_name = "RESET";
	h->k.fail_times = 1000;
	h->k.fail_errno = EAGAIN;
	assigned_detach(h->a);
	ck_assert_uint_eq(h->pauses, pauses);
	ck_assert_uint_eq(h->k.fail_times, 999);
	ck_assert_uint_eq(h->dev->open, 0);
}
END_TEST

/* ---- a reboot ---- */

START_TEST(reboot_gives_an_isolated_device_back)
{
	open_used(_i);
	assigned_isolate(h->a);
	pci_root_reset(h->pci);
	ck_assert_int_eq(assigned_state(h->a), ASSIGNED_PRESENT);
	host_place(h);
	ck_assert_uint_eq(cfg_get(h, PCI_VENDOR_ID, 4), 0x10ca8086);
	ck_assert_uint_eq(dev_get(h, PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
	ck_assert_uint_gt(host_slots(h), 0);
	ck_assert_int_eq(h->armed_index, uses[_i].pin ? VFIO_PCI_INTX_IRQ_INDEX : -1);
	use_msix();
	ck_assert_int_eq(h->armed_index, VFIO_PCI_MSIX_IRQ_INDEX);
	/* And it may fail anew. */
	fire(ASSIGNED_ERROR);
	ck_assert_uint_eq(assigned_signal_take(h->a, ASSIGNED_ERROR), 1);
	assigned_isolate(h->a);
	is_gone();
}
END_TEST

START_TEST(reboot_without_a_good_reset_does_not)
{
	open_used(1);
	assigned_isolate(h->a);
	h->k.fail_name = "RESET";
	h->k.fail_times = 1;
	h->k.fail_errno = EIO;
	pci_root_reset(h->pci);
	host_place(h);
	ck_assert_int_eq(assigned_state(h->a), ASSIGNED_ISOLATED);
	is_gone();
	/* Reset, but silent. */
	dev_set(h, PCI_STATUS, 2, 0xffff);
	pci_root_reset(h->pci);
	host_place(h);
	ck_assert_int_eq(assigned_state(h->a), ASSIGNED_ISOLATED);
	is_gone();
	dev_set(h, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
	pci_root_reset(h->pci);
	ck_assert_int_eq(assigned_state(h->a), ASSIGNED_PRESENT);
}
END_TEST

/* ---- others ---- */

/* A second VF; its BARs are not mapped, for the fake host watches the slots of the first. */
static struct assigned *other_open(void)
{
	struct fk_device *d;
	struct assigned *a = NULL;
	struct err e = {0};
	struct bdf b;

	vfio_kernel_group(&h->k, 7);
	d = vfio_kernel_device(&h->k, OTHER, 7);
	memcpy(d->config, h->dev->config, sizeof(d->config));
	fk_region(&d->regions[0], 0, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
		0x4000);
	fk_region(&d->regions[3], 3, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
		0x4000);
	bdf_parse(OTHER, &b);
	ck_assert_msg(
		assigned_create(&h->ah, h->io, &h->sysfs, b, OTHER_AT, &e, &a) == 0, "%s", e.text);
	return a;
}

START_TEST(other_device_and_its_dma_stay)
{
	struct gmem_config cfg = {.size = 32 << 20};
	struct dma_map *m = NULL;
	struct assigned *other;
	struct gmem *g = NULL;
	struct err e = {0};
	uint64_t bar;

	ck_assert_msg(host_open(h, &e) == 0, "%s", e.text);
	other = other_open();
	host_place(h);
	ck_assert_msg(gmem_create(&cfg, &e, &g) == 0, "%s", e.text);
	ck_assert_msg(dma_map_create(h->io, g, &e, &m) == 0, "%s", e.text);
	assigned_isolate(h->a);
	assigned_detach(h->a);
	ck_assert_uint_eq(h->k.dma.n, 1);
	ck_assert_int_eq(assigned_state(other), ASSIGNED_PRESENT);
	ck_assert_uint_eq(pci_cfg_read(h->pci, 0, OTHER_AT, PCI_VENDOR_ID, 4), 0x10ca8086);
	bar = pci_bar_addr(&other->func, 0);
	ck_assert_uint_ne(bar, 0);
	ck_assert_uint_eq(bus_read(h->mmio, bar, 4), 0);
	/* The last one takes the IOMMU's mappings with it; ours are only forgotten later. */
	assigned_detach(other);
	ck_assert_uint_eq(h->k.dma.n, 0);
	pci_root_clear(h->pci);
	dma_map_destroy(m);
	gmem_destroy(g);
}
END_TEST

/* The guest's remapping unit blocks both, and lets the one that stays through again. */
START_TEST(device_that_is_blocked_leaves_the_other_its_dma)
{
	struct gmem_config cfg = {.size = 32 << 20};
	struct dma_map *m = NULL;
	struct assigned *other;
	struct gmem *g = NULL;
	struct err e = {0};

	ck_assert_msg(host_open(h, &e) == 0, "%s", e.text);
	other = other_open();
	host_place(h);
	ck_assert_msg(gmem_create(&cfg, &e, &g) == 0, "%s", e.text);
	ck_assert_msg(dma_map_create(h->io, g, &e, &m) == 0, "%s", e.text);
	assigned_set_dma(h->a, m);
	assigned_set_dma(other, m);
	vtd_write(h->vtd, 0x18, 4, 1u << 31);
	ck_assert_uint_eq(h->k.dma.n, 0);
	assigned_detach(h->a);
	ck_assert_uint_eq(h->k.dma.n, 0);
	vtd_write(h->vtd, 0x18, 4, 0);
	ck_assert_uint_eq(h->k.dma.n, 1);
	pci_root_clear(h->pci);
	dma_map_destroy(m);
	gmem_destroy(g);
}
END_TEST

static _Atomic bool stop;

static void *guest_run(void *arg)
{
	while (!stop) {
		cfg_get(h, PCI_STATUS, 2);
		bus_read(h->mmio, at[3] + 0x800, 4);
		bus_write(h->mmio, at[3] + 0x800, 4, 1);
		bus_write(h->mmio, at[3] + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
		bars_read(h->a, 3, 0x800, 4);
	}
	return NULL;
}

START_TEST(detach_under_a_guest_that_uses_it)
{
	pthread_t t[2];

	stop = false;
	open_used(1);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, guest_run, NULL), 0);
	while (h->bar_reads < 100)
		sched_yield();
	assigned_isolate(h->a);
	assigned_detach(h->a);
	ck_assert_uint_eq(h->dev->open, 0);
	stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	is_gone();
}
END_TEST

/* Whatever the kernel refuses meanwhile: closed is closed, and host_finish() finds nothing left. */
START_TEST(any_failing_call_still_detaches)
{
	unsigned int n = 0;
	bool done;

	do {
		open_used(1);
		h->k.fail_call = h->k.calls + ++n;
		h->k.fail_errno = EIO;
		assigned_isolate(h->a);
		assigned_detach(h->a);
		ck_assert_uint_eq(h->dev->open, 0);
		ck_assert_uint_eq(h->k.mapped.n, 0);
		done = h->k.calls < h->k.fail_call;
		/* The fake host's own books, when it was the disarm that failed. */
		h->armed_index = -1;
		host_finish(h);
		host_init(h, root);
		ck_assert_uint_lt(n, 200);
	} while (!done);
	ck_assert_uint_gt(n, 4);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("passthrough-errors");
	TCase *t = tcase_create("errors");

	tcase_add_checked_fixture(t, host_up, host_down);
	tcase_set_timeout(t, 50);
	tcase_add_test(t, each_loopback_arrives_once);
	tcase_add_test(t, device_without_them_is_assigned_all_the_same);
	tcase_add_test(t, kernel_that_refuses_them_is_survived);
	tcase_add_test(t, destroyed_while_a_signal_waits);
	tcase_add_loop_test(
		t, isolated_device_is_stopped_and_reads_all_ones, 0, (int)ARRAY_SIZE(uses));
	tcase_add_loop_test(t, detached_device_is_the_hosts_again, 0, (int)ARRAY_SIZE(uses));
	tcase_add_test(t, interrupts_under_way_are_dropped);
	tcase_add_test(t, detach_does_not_wait_for_a_reset);
	tcase_add_loop_test(t, reboot_gives_an_isolated_device_back, 0, (int)ARRAY_SIZE(uses));
	tcase_add_test(t, reboot_without_a_good_reset_does_not);
	tcase_add_test(t, other_device_and_its_dma_stay);
	tcase_add_test(t, device_that_is_blocked_leaves_the_other_its_dma);
	tcase_add_test(t, detach_under_a_guest_that_uses_it);
	tcase_add_test(t, any_failing_call_still_detaches);
	suite_add_tcase(s, t);
	return suite_run(s);
}
