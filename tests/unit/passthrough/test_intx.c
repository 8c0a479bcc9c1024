// SPDX-License-Identifier: GPL-2.0-or-later
/* INTx of an assigned device, from the kernel's eventfd through the IOAPIC and back at the EOI. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/pci_regs.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/passthrough/host_world.h"

#define VECTOR 0x41
/* HOST_DEVFN is slot 3: its INTA# is pin 19 in _PRT (vmm/dsdt.asl). */
#define PIN    19
#define LEVEL  0x8000u
#define MASKED 0x10000u

/* The device's level and what the kernel does with it (drivers/vfio/pci/vfio_pci_intrs.c). */
static struct {
	bool asserts, masked;
	unsigned int fired;
} dev;

static void setup(void)
{
	host_up();
	h->dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].count = 1;
	memset(&dev, 0, sizeof(dev));
}

/* One step of the kernel: take an unmask, fire if the level asks for it. */
static void kernel_step(void)
{
	uint64_t n, one = 1;

	if (h->armed_index != VFIO_PCI_INTX_IRQ_INDEX)
		return;
	if (read(h->unmask_fd, &n, sizeof(n)) == sizeof(n))
		dev.masked = false;
	if (!dev.asserts || dev.masked || dev_get(h, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE)
		return;
	dev.masked = true;
	dev.fired++;
	ck_assert_int_eq(write(h->fds[0], &one, sizeof(one)), sizeof(one));
}

static void device_set(bool level)
{
	dev.asserts = level;
	kernel_step();
}

static void pin_put(unsigned int pin, uint32_t low)
{
	ioapic_write(h->ioapic, 0, 4, 0x10 + 2 * pin);
	ioapic_write(h->ioapic, 0x10, 4, low);
}

static unsigned int messages(void)
{
	unsigned int n;

	pthread_mutex_lock(&h->rec.lock);
	n = h->rec.n_msi;
	pthread_mutex_unlock(&h->rec.lock);
	return n;
}

/* The thread's turn; a test that waits in vain fails here. */
static void wait_messages(unsigned int n)
{
	const struct timespec step = {0, 20000};

	for (unsigned int i = 0; i < 400000 && messages() < n; i++)
		nanosleep(&step, NULL);
	ck_assert_uint_eq(messages(), n);
}

/* So much has been passed on: what is to come has come. */
static void wait_raised(uint64_t n)
{
	const struct timespec step = {0, 20000};
	struct assigned_stats s = {0};

	for (unsigned int i = 0; i < 400000 && s.user_irqs < n; i++) {
		nanosleep(&step, NULL);
		assigned_stats(h->a, &s);
	}
	ck_assert_uint_eq(s.user_irqs, n);
}

/* The thread has taken the signal: the eventfd reads empty. */
static void wait_taken(void)
{
	const struct timespec step = {0, 20000};
	uint64_t n;

	for (unsigned int i = 0; i < 400000; i++) {
		ssize_t r;

		pthread_mutex_lock(&h->a->vec.lock);
		r = read(h->a->intx.fd, &n, sizeof(n));
		if (r == sizeof(n))
			ck_assert_int_eq(write(h->a->intx.fd, &n, sizeof(n)), sizeof(n));
		pthread_mutex_unlock(&h->a->vec.lock);
		if (r < 0)
			return;
		nanosleep(&step, NULL);
	}
	ck_abort_msg("nobody reads the eventfd");
}

static void eoi(void)
{
	ioapic_eoi(h->ioapic, VECTOR);
	kernel_step();
}

/* ---- what the guest sees ---- */

START_TEST(pin_and_line_are_shown_and_armed_at_once)
{
	struct assigned_stats s;

	open_placed();
	assigned_stats(h->a, &s);
	ck_assert_uint_eq(s.vectors_armed, 1);
	ck_assert_uint_eq(cfg_get(h, PCI_INTERRUPT_PIN, 1), 1);
	ck_assert_uint_eq(cfg_get(h, PCI_INTERRUPT_LINE, 1), PIN);
	ck_assert_int_eq(h->armed_index, VFIO_PCI_INTX_IRQ_INDEX);
	/* The pending bit is the device's. */
	dev_set(h, PCI_STATUS, 2, PCI_STATUS_CAP_LIST | PCI_STATUS_INTERRUPT);
	ck_assert_uint_eq(cfg_get(h, PCI_STATUS, 2), PCI_STATUS_CAP_LIST | PCI_STATUS_INTERRUPT);
	cfg_set(h, PCI_INTERRUPT_PIN, 1, 3);
	ck_assert_uint_eq(cfg_get(h, PCI_INTERRUPT_PIN, 1), 1);
}
END_TEST

static const struct {
	uint8_t pin;
	unsigned int count;
} without[] = {{0, 1}, {5, 1}, {0xff, 1}, {1, 0}};

START_TEST(device_without_a_pin_has_no_intx)
{
	dev_set(h, PCI_INTERRUPT_PIN, 1, without[_i].pin);
	h->dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].count = without[_i].count;
	open_placed();
	ck_assert_uint_eq(cfg_get(h, PCI_INTERRUPT_PIN, 1), 0);
	ck_assert_int_eq(h->armed_index, -1);
	cfg_set(h, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
}
END_TEST

START_TEST(pins_turn_around_the_slots)
{
	/* Against a few rows of _PRT in vmm/dsdt.asl. */
	ck_assert_uint_eq(pci_intx_gsi(0x00, 1), 16);
	ck_assert_uint_eq(pci_intx_gsi(0x08, 1), 17);
	ck_assert_uint_eq(pci_intx_gsi(0x28, 3), 23);
	ck_assert_uint_eq(pci_intx_gsi(0x28, 4), 16);
	ck_assert_uint_eq(pci_intx_gsi(0x3b, 4), 18);
	ck_assert_uint_eq(pci_intx_gsi(0xf8, 4), 18);
}
END_TEST

/* ---- the way of one ---- */

START_TEST(level_is_delivered_once_and_again_after_the_eoi)
{
	open_placed();
	pin_put(PIN, LEVEL | VECTOR);
	device_set(true);
	wait_messages(1);
	ck_assert_uint_eq(h->rec.msi[0].data & 0xff, VECTOR);
	/* Not served: the device still asserts, so the kernel fires again. */
	eoi();
	wait_messages(2);
	device_set(false);
	eoi();
	wait_raised(2);
	ck_assert_uint_eq(messages(), 2);
	ck_assert_uint_eq(dev.fired, 2);
	ck_assert(!dev.masked);
}
END_TEST

START_TEST(ten_thousand_interrupts_do_not_stall)
{
	open_placed();
	pin_put(PIN, LEVEL | VECTOR);
	for (unsigned int i = 1; i <= 10000; i++) {
		device_set(true);
		wait_raised(i);
		dev.asserts = false;
		eoi();
		ck_assert_uint_eq(dev.fired, i);
	}
	ck_assert_uint_eq(messages(), 10000);
}
END_TEST

START_TEST(interrupt_at_a_masked_pin_waits_for_its_unmask)
{
	open_placed();
	pin_put(PIN, LEVEL | MASKED | VECTOR);
	device_set(true);
	wait_raised(1);
	ck_assert_uint_eq(messages(), 0);
	pin_put(PIN, LEVEL | VECTOR);
	ck_assert_uint_eq(messages(), 1);
	dev.asserts = false;
	eoi();
	ck_assert_uint_eq(messages(), 1);
	ck_assert(!dev.masked);
}
END_TEST

static void other_eoi(void *ctx)
{
	++*(unsigned int *)ctx;
}

START_TEST(shared_pin_stays_high_for_the_other_device)
{
	unsigned int ended = 0;
	struct irq_line other;

	open_placed();
	irq_line_attach(h->lines, PIN, other_eoi, &ended, &other);
	pin_put(PIN, LEVEL | VECTOR);
	device_set(true);
	wait_messages(1);
	ck_assert(!irq_line_set(&other, true));
	dev.asserts = false;
	eoi();
	/* Ours fell, the other's did not: delivered again. */
	ck_assert_uint_eq(ended, 1);
	ck_assert_uint_eq(messages(), 2);
	ck_assert(irq_line_set(&other, false));
	eoi();
	ck_assert_uint_eq(messages(), 2);
	/* An EOI of the other's interrupt is no reason to ask the kernel for anything. */
	ck_assert(!irq_line_set(&other, true));
	ck_assert_uint_eq(messages(), 3);
	irq_line_set(&other, false);
	dev.masked = true;
	eoi();
	ck_assert(dev.masked);
	irq_line_detach(&other);
}
END_TEST

START_TEST(intx_disable_takes_the_interrupt_back)
{
	open_placed();
	pin_put(PIN, LEVEL | MASKED | VECTOR);
	device_set(true);
	wait_raised(1);
	cfg_set(h, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	ck_assert_uint_ne(dev_get(h, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE, 0);
	pin_put(PIN, LEVEL | VECTOR);
	ck_assert_uint_eq(messages(), 0);
	/* The kernel unmasks with the bit, and the device asserts still. */
	cfg_set(h, PCI_COMMAND, 2, 0);
	dev.masked = false;
	kernel_step();
	wait_messages(1);
}
END_TEST

/* As vfio_pci_intx_unmask(): the signal is out, and here also taken, before the write returns. */
static void unmask_with_command(struct host *host)
{
	if (dev_get(host, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE || !dev.asserts)
		return;
	dev.masked = false;
	kernel_step();
	wait_taken();
}

START_TEST(signal_at_the_very_enable_is_not_lost)
{
	open_placed();
	pin_put(PIN, LEVEL | VECTOR);
	cfg_set(h, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	dev.asserts = true;
	h->command_written = unmask_with_command;
	cfg_set(h, PCI_COMMAND, 2, 0);
	ck_assert_uint_eq(dev.fired, 1);
	ck_assert_uint_eq(messages(), 1);
	dev.asserts = false;
	eoi();
	ck_assert(!dev.masked);
}
END_TEST

START_TEST(signal_under_way_when_intx_is_disabled_is_dropped)
{
	uint64_t one = 1;

	open_placed();
	pin_put(PIN, LEVEL | VECTOR);
	cfg_set(h, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	ck_assert_int_eq(write(h->fds[0], &one, sizeof(one)), sizeof(one));
	wait_taken();
	ck_assert_uint_eq(messages(), 0);
}
END_TEST

/* ---- among the three kinds ---- */

static void msi_set(bool on)
{
	cfg_set(h, CAP_MSI + PCI_MSI_ADDRESS_LO, 4, 0xfee00000);
	cfg_set(h, CAP_MSI + PCI_MSI_DATA_64, 2, 0x55);
	cfg_set(h, CAP_MSI + PCI_MSI_FLAGS, 2, on ? PCI_MSI_FLAGS_ENABLE : 0);
}

static void msix_set(bool on)
{
	cfg_set(h, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	cfg_set(h, MSIX_CTL, 2, on ? PCI_MSIX_FLAGS_ENABLE : 0);
}

/* VFIO refuses two kinds at once (the fake host aborts); after either, INTx is there again. */
START_TEST(guest_may_switch_kinds_in_any_order)
{
	static const int kinds[] = {
		VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX};
	unsigned int seed = 7, irqs = 0;

	open_placed();
	pin_put(PIN, LEVEL | VECTOR);
	for (unsigned int i = 0; i < 300; i++) {
		int kind;

		seed = seed * 1103515245 + 12345;
		kind = kinds[(seed >> 16) % 3];
		msi_set(kind == VFIO_PCI_MSI_IRQ_INDEX);
		msix_set(kind == VFIO_PCI_MSIX_IRQ_INDEX);
		ck_assert_int_eq(h->armed_index, kind);
		if (kind != VFIO_PCI_INTX_IRQ_INDEX)
			continue;
		dev.masked = false;
		device_set(true);
		wait_raised(++irqs);
		dev.asserts = false;
		eoi();
	}
	ck_assert_uint_gt(irqs, 50);
	ck_assert_uint_eq(messages(), irqs);
}
END_TEST

/* The device raises one interrupt of the kind it has, and the guest gets that one. */
static void one_of(int kind, unsigned int *raised)
{
	static const uint32_t vector[] = {
		[VFIO_PCI_INTX_IRQ_INDEX] = VECTOR,
		[VFIO_PCI_MSI_IRQ_INDEX] = 0x55,
		[VFIO_PCI_MSIX_IRQ_INDEX] = 0x66,
	};
	uint64_t one = 1;

	pthread_mutex_lock(&h->rec.lock);
	h->rec.n_msi = 0;
	pthread_mutex_unlock(&h->rec.lock);
	if (kind == VFIO_PCI_INTX_IRQ_INDEX) {
		dev.masked = false;
		device_set(true);
		wait_raised(++*raised);
		dev.asserts = false;
		eoi();
	} else {
		ck_assert_int_eq(write(h->fds[0], &one, sizeof(one)), sizeof(one));
		irq_recorder_run(&h->rec);
	}
	ck_assert_uint_eq(messages(), 1);
	ck_assert_uint_eq(h->rec.msi[0].data & 0xff, vector[kind]);
}

/* Not only one after the other: the next may be on before the last is off, and masked on the way. */
START_TEST(each_kind_delivers_after_any_number_of_switches)
{
	unsigned int seed = 3, raised = 0, had[3] = {0};
	bool msi = false, msix = false, both = false;

	open_placed();
	pin_put(PIN, LEVEL | VECTOR);
	for (unsigned int i = 0; i < 3000; i++) {
		seed = seed * 1103515245 + 12345;
		switch (seed >> 16 & 7) {
		case 0: msi_set(msi = !msi); break;
		case 1: msix_set(msix = !msix); break;
		case 2: msix_entry_set(h, 0, 0x66, true); break;
		case 3: cfg_set(h, PCI_COMMAND, 2, PCI_COMMAND_MEMORY); break;
		default:
			msix_entry_set(h, 0, 0x66, false);
			one_of(h->armed_index, &raised);
			had[h->armed_index]++;
		}
		/* Both on is forbidden (PCIe 5.0 §6.1.4); then it is what was turned on last. */
		if (!msi && !msix)
			ck_assert_int_eq(h->armed_index, VFIO_PCI_INTX_IRQ_INDEX);
		if (msi != msix && !both)
			ck_assert_int_eq(h->armed_index,
				msi ? VFIO_PCI_MSI_IRQ_INDEX : VFIO_PCI_MSIX_IRQ_INDEX);
		both = (both || (msi && msix)) && (msi || msix);
	}
	for (unsigned int k = 0; k < 3; k++)
		ck_assert_uint_gt(had[k], 100);
}
END_TEST

START_TEST(line_falls_when_the_guest_turns_msi_on)
{
	open_placed();
	pin_put(PIN, LEVEL | MASKED | VECTOR);
	device_set(true);
	wait_raised(1);
	msi_set(true);
	pin_put(PIN, LEVEL | VECTOR);
	ck_assert_uint_eq(messages(), 0);
	/* And a level that is still there comes back with INTx. */
	msi_set(false);
	dev.masked = false;
	kernel_step();
	wait_messages(1);
}
END_TEST

START_TEST(reset_lowers_the_line_and_arms_intx_anew)
{
	open_placed();
	pin_put(PIN, LEVEL | MASKED | VECTOR);
	device_set(true);
	wait_raised(1);
	dev.asserts = false;
	pci_root_reset(h->pci);
	ck_assert_int_eq(h->armed_index, VFIO_PCI_INTX_IRQ_INDEX);
	pin_put(PIN, LEVEL | VECTOR);
	ck_assert_uint_eq(messages(), 0);
	host_place(h);
	msix_set(true);
	ck_assert_int_eq(h->armed_index, VFIO_PCI_MSIX_IRQ_INDEX);
	cfg_set(h, CAP_EXP + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	ck_assert_int_eq(h->armed_index, VFIO_PCI_INTX_IRQ_INDEX);
}
END_TEST

START_TEST(kernel_that_will_not_arm_is_survived)
{
	h->k.fail_name = "SET_IRQS";
	h->k.fail_times = 3; /* errors and requests come first */
	h->k.fail_errno = EBUSY;
	open_placed();
	ck_assert_uint_eq(cfg_get(h, PCI_INTERRUPT_PIN, 1), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("passthrough-intx");
	TCase *t = tcase_create("intx");

	tcase_add_checked_fixture(t, setup, host_down);
	tcase_set_timeout(t, 50);
	tcase_add_test(t, pin_and_line_are_shown_and_armed_at_once);
	tcase_add_loop_test(t, device_without_a_pin_has_no_intx, 0, ARRAY_SIZE(without));
	tcase_add_test(t, pins_turn_around_the_slots);
	tcase_add_test(t, level_is_delivered_once_and_again_after_the_eoi);
	tcase_add_test(t, ten_thousand_interrupts_do_not_stall);
	tcase_add_test(t, interrupt_at_a_masked_pin_waits_for_its_unmask);
	tcase_add_test(t, shared_pin_stays_high_for_the_other_device);
	tcase_add_test(t, intx_disable_takes_the_interrupt_back);
	tcase_add_test(t, signal_at_the_very_enable_is_not_lost);
	tcase_add_test(t, signal_under_way_when_intx_is_disabled_is_dropped);
	tcase_add_test(t, guest_may_switch_kinds_in_any_order);
	tcase_add_test(t, each_kind_delivers_after_any_number_of_switches);
	tcase_add_test(t, line_falls_when_the_guest_turns_msi_on);
	tcase_add_test(t, reset_lowers_the_line_and_arms_intx_anew);
	tcase_add_test(t, kernel_that_will_not_arm_is_survived);
	suite_add_tcase(s, t);
	return suite_run(s);
}
