// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the host tells of a device beside its interrupts: that an uncorrectable error was reported for
 * it (the error interrupt; AER, PCIe 5.0 §6.2) and that it wants the device back (the request
 * interrupt, repeated every 10 s until the device is closed; drivers/vfio/vfio_main.c,
 * vfio_unregister_group_dev()). Both are eventfds for the control thread; what is done about them is
 * its decision.
 *
 * The guest's root bus has no hot-plug and no containment of its own, so it learns of either as it
 * does behind a port without them: every read answers all ones and nothing interrupts any more.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <linux/pci_regs.h>

#include "common/cleanup.h"
#include "passthrough/internal.h"

static const struct {
	unsigned int index;
	const char *what;
} kinds[ASSIGNED_SIGNALS] = {
	[ASSIGNED_ERROR] = {VFIO_PCI_ERR_IRQ_INDEX, "errors of the hardware"},
	[ASSIGNED_REQUEST] = {VFIO_PCI_REQ_IRQ_INDEX, "the host's requests for it"},
};

int errors_init(struct assigned *a, struct err *e)
{
	for (unsigned int i = 0; i < ASSIGNED_SIGNALS; i++) {
		struct assigned_signal *s = &a->signal[i];
		struct vdev_irq irq;
		struct err own = {0};

		/* No error interrupt: it is not PCI Express. */
		if (vdev_irq(a->dev, kinds[i].index, &irq) < 0 || !irq.count)
			continue;
		s->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (s->fd < 0)
			return err_sys(e, errno, "%s: eventfd for %s", a->name, kinds[i].what);
		if (vdev_irq_arm(a->dev, kinds[i].index, 0, 1, &s->fd, &own) < 0) {
			log_warn("%s; %s will not be heard", own.text, kinds[i].what);
			s->fd = fd_close(s->fd);
		}
	}
	return 0;
}

void errors_finish(struct assigned *a)
{
	for (unsigned int i = 0; i < ASSIGNED_SIGNALS; i++)
		a->signal[i].fd = fd_close(a->signal[i].fd);
}

int assigned_signal_fd(const struct assigned *a, enum assigned_signal_kind kind)
{
	return a->signal[kind].fd;
}

uint64_t assigned_signal_take(struct assigned *a, enum assigned_signal_kind kind)
{
	struct assigned_signal *s = &a->signal[kind];
	uint64_t n;

	if (s->fd < 0 || read(s->fd, &n, sizeof(n)) != sizeof(n))
		return 0;
	atomic_fetch_add_explicit(&s->count, n, memory_order_relaxed);
	return n;
}

enum assigned_state assigned_state(const struct assigned *a)
{
	return (enum assigned_state)a->state;
}

void assigned_isolate(struct assigned *a)
{
	if (a->state != ASSIGNED_PRESENT)
		return;
	/* First, so that INTx is not armed when MSI or MSI-X goes. */
	a->state = ASSIGNED_ISOLATED;
	pci_func_gone(&a->func);
	vectors_disarm(a);
	config_quiesce(a);
}

void assigned_detach(struct assigned *a)
{
	struct vdev *dev;

	if (a->state == ASSIGNED_DETACHED)
		return;
	assigned_isolate(a);
	vtd_dma_detach(&a->func.dma);
	/* A mapping of its registers holds the device as its fd does. */
	bars_finish(a);
	pthread_rwlock_wrlock(&a->gate);
	dev = a->dev;
	a->dev = NULL;
	pthread_rwlock_unlock(&a->gate);
	dma_map_leave(a->dma, dev, a->dma_blocked);
	a->state = ASSIGNED_DETACHED;
}

void errors_reset(struct assigned *a, int reset)
{
	if (a->state != ASSIGNED_ISOLATED)
		return;
	if (reset < 0 || (uint8_t)dev_cfg_read(a, PCI_HEADER_TYPE, 1) == 0xff ||
		(uint16_t)dev_cfg_read(a, PCI_STATUS, 2) == 0xffff) {
		log_warn("%s: the guest starts without it: after its error it %s", a->name,
			reset < 0 ? "could not be reset" : "does not answer");
		return;
	}
	log_info("%s: reset after its error, the guest has it again", a->name);
	a->state = ASSIGNED_PRESENT;
	pci_func_back(&a->func);
}
