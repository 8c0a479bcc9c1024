// SPDX-License-Identifier: GPL-2.0-or-later
/* Interrupts: VFIO_DEVICE_SET_IRQS in its few useful shapes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vfio/internal.h"

static const char *const irq_names[VFIO_PCI_NUM_IRQS] = {
	[VFIO_PCI_INTX_IRQ_INDEX] = "INTx",
	[VFIO_PCI_MSI_IRQ_INDEX] = "MSI",
	[VFIO_PCI_MSIX_IRQ_INDEX] = "MSI-X",
	[VFIO_PCI_ERR_IRQ_INDEX] = "error",
	[VFIO_PCI_REQ_IRQ_INDEX] = "request",
};

int vdev_irqs_read(struct vdev *d, struct err *e)
{
	for (unsigned int i = 0; i < d->n_irqs; i++) {
		struct vfio_irq_info info = {.argsz = sizeof(info), .index = i};
		int r;

		r = d->sys->ioctl(d->sys->ctx, d->at.fd, VFIO_DEVICE_GET_IRQ_INFO, &info);
		/* The error interrupt of a function that is not PCIe; it stays at count 0. */
		if (r == -EINVAL && i >= VFIO_PCI_ERR_IRQ_INDEX)
			continue;
		if (r < 0)
			return err_sys(
				e, -r, "%s: VFIO_DEVICE_GET_IRQ_INFO of %s", d->name, irq_names[i]);
		if (info.count > VDEV_MAX_VECTORS)
			return err_set(e, EPROTO,
				"%s: the kernel gives it %u %s vectors, more than PCI knows",
				d->name, info.count, irq_names[i]);
		d->irqs[i] = (struct vdev_irq){
			.count = info.count,
			.eventfd = info.flags & VFIO_IRQ_INFO_EVENTFD,
			.maskable = info.flags & VFIO_IRQ_INFO_MASKABLE,
			.automasked = info.flags & VFIO_IRQ_INFO_AUTOMASKED,
			.noresize = info.flags & VFIO_IRQ_INFO_NORESIZE,
		};
	}
	return 0;
}

int vdev_irq(const struct vdev *d, unsigned int index, struct vdev_irq *ret)
{
	if (index >= d->n_irqs)
		return -EINVAL;
	*ret = d->irqs[index];
	return 0;
}

static int irq_check(const struct vdev *d, unsigned int index, unsigned int start,
	unsigned int count, struct err *e)
{
	if (index >= d->n_irqs)
		return err_set(e, EINVAL, "%s: no interrupt index %u", d->name, index);
	if (!count || start >= d->irqs[index].count || count > d->irqs[index].count - start)
		return err_set(e, EINVAL, "%s: %s vectors [%u, +%u): it has %u", d->name,
			irq_names[index], start, count, d->irqs[index].count);
	return 0;
}

static int irq_set(
	struct vdev *d, uint32_t flags, unsigned int index, unsigned int start, unsigned int count)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = flags,
		.index = index,
		.start = start,
		.count = count,
	};

	return d->sys->ioctl(d->sys->ctx, d->at.fd, VFIO_DEVICE_SET_IRQS, &set);
}

/* Lend the kernel @count eventfds for @action. The caller has checked the range. */
static int irq_set_fds(struct vdev *d, uint32_t action, unsigned int index, unsigned int start,
	unsigned int count, const int *fds)
{
	_cleanup_free_ struct vfio_irq_set *set = NULL;
	size_t size = sizeof(*set) + count * sizeof(int32_t); /* count <= VDEV_MAX_VECTORS */

	set = calloc(1, size);
	if (!set)
		return -ENOMEM;
	*set = (struct vfio_irq_set){
		.argsz = (uint32_t)size,
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | action,
		.index = index,
		.start = start,
		.count = count,
	};
	for (unsigned int i = 0; i < count; i++) {
		int32_t fd = fds[i];

		memcpy(set->data + i * sizeof(fd), &fd, sizeof(fd));
	}
	return d->sys->ioctl(d->sys->ctx, d->at.fd, VFIO_DEVICE_SET_IRQS, set);
}

int vdev_irq_arm_offer(struct vdev *d, unsigned int index, unsigned int start, unsigned int count,
	const int *fds, struct err *e, unsigned int *ret_offer)
{
	int r = irq_check(d, index, start, count, e);

	*ret_offer = 0;
	if (r < 0)
		return r;
	r = irq_set_fds(d, VFIO_IRQ_SET_ACTION_TRIGGER, index, start, count, fds);
	/* For MSI and MSI-X a positive answer is the number of vectors it could get instead. */
	if (r > 0) {
		*ret_offer = (unsigned int)r;
		return err_set(e, ENOSPC,
			"%s: the host has no %u %s vectors left for it, it would give %d", d->name,
			start + count, irq_names[index], r);
	}
	if (r < 0)
		return err_sys(e, -r, "%s: arm %s vectors [%u, +%u)", d->name, irq_names[index],
			start, count);
	d->armed[index] = true;
	return 0;
}

int vdev_irq_arm(struct vdev *d, unsigned int index, unsigned int start, unsigned int count,
	const int *fds, struct err *e)
{
	unsigned int offer;

	return vdev_irq_arm_offer(d, index, start, count, fds, e, &offer);
}

int vdev_irq_unmask_fd(struct vdev *d, int fd, struct err *e)
{
	int r = irq_check(d, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, e);

	if (r < 0)
		return r;
	r = irq_set_fds(d, VFIO_IRQ_SET_ACTION_UNMASK, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &fd);
	if (r < 0)
		return err_sys(e, -r, "%s: lend the kernel an eventfd that unmasks INTx", d->name);
	return 0;
}

int vdev_irq_disarm(struct vdev *d, unsigned int index, struct err *e)
{
	int r;

	if (index >= d->n_irqs)
		return err_set(e, EINVAL, "%s: no interrupt index %u", d->name, index);
	/* The kernel says EINVAL to an index that is not in use. */
	if (!d->armed[index])
		return 0;
	r = irq_set(d, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, index, 0, 0);
	if (r < 0)
		return err_sys(e, -r, "%s: disarm %s", d->name, irq_names[index]);
	d->armed[index] = false;
	return 0;
}

int vdev_irq_fire(
	struct vdev *d, unsigned int index, unsigned int start, unsigned int count, struct err *e)
{
	int r;

	r = irq_check(d, index, start, count, e);
	if (r < 0)
		return r;
	r = irq_set(d, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, index, start, count);
	if (r < 0)
		return err_sys(e, -r, "%s: fire %s vectors [%u, +%u)", d->name, irq_names[index],
			start, count);
	return 0;
}

int vdev_irq_mask(struct vdev *d, unsigned int index, bool mask, struct err *e)
{
	int r;

	r = irq_check(d, index, 0, 1, e);
	if (r < 0)
		return r;
	if (index != VFIO_PCI_INTX_IRQ_INDEX)
		return err_set(
			e, EINVAL, "%s: VFIO masks INTx only, not %s", d->name, irq_names[index]);
	r = irq_set(d,
		VFIO_IRQ_SET_DATA_NONE |
			(mask ? VFIO_IRQ_SET_ACTION_MASK : VFIO_IRQ_SET_ACTION_UNMASK),
		index, 0, 1);
	if (r < 0)
		return err_sys(e, -r, "%s: %s INTx", d->name, mask ? "mask" : "unmask");
	return 0;
}
