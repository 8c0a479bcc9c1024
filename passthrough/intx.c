// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * INTx of an assigned device. A level needs somebody who knows when the guest has ended it, and with
 * the IOAPIC in user space that is us (KVM refuses resampling irqfds without an IOAPIC of its own):
 *
 *   the device asserts -> the kernel masks it and signals fd -> our thread raises the line
 *   -> IOAPIC -> guest -> EOI exit -> the line falls, unmask_fd is signalled -> the kernel unmasks,
 *   and signals fd again if the device still asserts (drivers/vfio/pci/vfio_pci_intrs.c).
 *
 * One wake-up of the thread and one exit of the vCPU per interrupt. INTx is armed whenever neither
 * MSI nor MSI-X is: that is what the device does (PCIe 5.0 §6.1.4).
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <linux/pci_regs.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/event.h"
#include "passthrough/internal.h"

/* The vCPU's thread, on its EOI. Without the vectors' lock: it is held while VFIO is asked. */
static void intx_ended(void *ctx)
{
	struct assigned *a = ctx;

	/* An interrupt of another device on the same pin ended if ours is low. */
	if (irq_line_set(&a->intx.line, false))
		event_signal(a->intx.unmask_fd);
}

static bool intx_drain(const struct intx *x)
{
	uint64_t n;

	return read(x->fd, &n, sizeof(n)) == sizeof(n);
}

static void intx_fired(struct assigned *a)
{
	struct intx *x = &a->intx;

	/* Under the lock, so that a signal from before a disarm is not taken for one after it. */
	pthread_mutex_lock(&a->vec.lock);
	if (intx_drain(x) && a->vec.index == VFIO_PCI_INTX_IRQ_INDEX && !x->disabled) {
		atomic_fetch_add_explicit(&x->raised, 1, memory_order_relaxed);
		irq_line_set(&x->line, true);
	}
	pthread_mutex_unlock(&a->vec.lock);
}

static void *intx_run(void *arg)
{
	struct assigned *a = arg;
	struct pollfd p[] = {
		{.fd = a->intx.fd, .events = POLLIN}, {.fd = a->intx.stop_fd, .events = POLLIN}};

	while (!p[1].revents) {
		if (poll(p, ARRAY_SIZE(p), -1) > 0 && p[0].revents)
			intx_fired(a);
	}
	return NULL;
}

void intx_arm(struct assigned *a)
{
	struct intx *x = &a->intx;
	struct err e = {0};

	if (!x->pin || a->vec.index >= 0 || a->state != ASSIGNED_PRESENT)
		return;
	if (vdev_irq_arm(a->dev, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &x->fd, &e) < 0) {
		log_guest(&a->limit, "%s", e.text);
		return;
	}
	a->vec.index = VFIO_PCI_INTX_IRQ_INDEX;
	if (vdev_irq_unmask_fd(a->dev, x->unmask_fd, &e) < 0)
		log_guest(&a->limit, "%s", e.text);
}

void intx_drop(struct assigned *a)
{
	if (!a->intx.pin)
		return;
	intx_drain(&a->intx);
	irq_line_set(&a->intx.line, false);
}

void intx_command(struct assigned *a, uint16_t command)
{
	if (!a->intx.pin)
		return;
	/*
	 * The kernel masks and unmasks by the bit we pass on, and signals anew at the unmask if the
	 * device asserts; here the message that was sent is taken back (PCIe 5.0 §7.5.1.1.3).
	 */
	pthread_mutex_lock(&a->vec.lock);
	a->intx.disabled = command & PCI_COMMAND_INTX_DISABLE;
	if (a->intx.disabled)
		irq_line_set(&a->intx.line, false);
	pthread_mutex_unlock(&a->vec.lock);
}

static int fd_make(int *ret)
{
	*ret = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return *ret < 0 ? -errno : 0;
}

int intx_init(struct assigned *a, struct err *e)
{
	struct intx *x = &a->intx;
	unsigned int pin = (uint8_t)dev_cfg_read(a, PCI_INTERRUPT_PIN, 1), gsi;
	struct vdev_irq irq;
	int r;

	/* The kernel says no pin for a VF (SR-IOV 1.1 §3.4.1.18) and for a device whose INTx fails. */
	if (pin < 1 || pin > 4 || vdev_irq(a->dev, VFIO_PCI_INTX_IRQ_INDEX, &irq) < 0 || !irq.count)
		return 0;
	r = fd_make(&x->fd);
	if (r == 0)
		r = fd_make(&x->unmask_fd);
	if (r == 0)
		r = fd_make(&x->stop_fd);
	if (r < 0)
		return err_sys(e, -r, "%s: INTx: eventfd", a->name);
	gsi = pci_intx_gsi(a->func.devfn, pin);
	irq_line_attach(a->host.lines, gsi, intx_ended, a, &x->line);
	r = pthread_create(&x->thread, NULL, intx_run, a);
	if (r)
		return err_sys(e, r, "%s: INTx: thread", a->name);
	pthread_setname_np(x->thread, "intx");
	x->running = true;
	x->pin = pin;
	a->func.cfg[PCI_INTERRUPT_PIN] = (uint8_t)pin;
	a->func.cfg[PCI_INTERRUPT_LINE] = (uint8_t)gsi;
	/* Whether it asserts is the device's to say. */
	a->func.emu[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	return 0;
}

void assigned_intx(struct assigned *a, struct assigned_intx *ret)
{
	struct intx *x = &a->intx;

	*ret = (struct assigned_intx){.pin = x->pin};
	if (!x->pin)
		return;
	ret->gsi = pci_intx_gsi(a->func.devfn, x->pin);
	ret->raised = atomic_load_explicit(&x->raised, memory_order_relaxed);
	pthread_mutex_lock(&a->vec.lock);
	ret->armed = a->vec.index == VFIO_PCI_INTX_IRQ_INDEX;
	ret->disabled = x->disabled;
	pthread_mutex_unlock(&a->vec.lock);
	ret->asserted = irq_line_level(&x->line);
}

void intx_finish(struct assigned *a)
{
	struct intx *x = &a->intx;

	if (x->running) {
		event_signal(x->stop_fd);
		pthread_join(x->thread, NULL);
	}
	irq_line_detach(&x->line);
	fd_close(x->fd);
	fd_close(x->unmask_fd);
	fd_close(x->stop_fd);
}
