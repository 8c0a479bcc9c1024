// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "vfio/internal.h"

static int device_info(struct vdev *d, struct err *e)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};
	int r;

	r = d->sys->ioctl(d->sys->ctx, d->at.fd, VFIO_DEVICE_GET_INFO, &info);
	if (r < 0)
		return err_sys(e, -r, "%s: VFIO_DEVICE_GET_INFO", d->name);
	if (!(info.flags & VFIO_DEVICE_FLAGS_PCI))
		return err_set(e, EPROTO, "%s: the kernel says it is no PCI device (flags %#x)",
			d->name, info.flags);
	if (info.num_regions <= VFIO_PCI_CONFIG_REGION_INDEX)
		return err_set(e, EPROTO, "%s: the kernel gives it %u regions, no config space",
			d->name, info.num_regions);
	d->own_reset = info.flags & VFIO_DEVICE_FLAGS_RESET ? VDEV_RESET_GOOD : VDEV_RESET_NONE;
	/* Those above are the vendor's own; nobody here knows what they are. */
	d->n_regions =
		info.num_regions < VFIO_PCI_NUM_REGIONS ? info.num_regions : VFIO_PCI_NUM_REGIONS;
	d->n_irqs = info.num_irqs < VFIO_PCI_NUM_IRQS ? info.num_irqs : VFIO_PCI_NUM_IRQS;
	return 0;
}

int vdev_open(struct ioas *io, const struct sysfs *sysfs, struct bdf b,
	const struct vdev_opts *opts, struct err *e, struct vdev **ret)
{
	struct attach_req req = {.sysfs = sysfs, .bdf = b, .opts = opts};
	struct vdev *d;
	int r;

	bdf_format(b, req.name);
	r = function_check(sysfs, b, e, &req.group);
	if (r < 0)
		return r;
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_sys(e, ENOMEM, "%s", req.name);
	*d = (struct vdev){.io = io, .sys = io->sys, .bdf = b, .at.fd = -1};
	bdf_format(b, d->name);
	d->next = io->open;
	io->open = d;
	r = io->ops->attach(io, &req, e, &d->at);
	if (r < 0)
		goto fail;
	r = device_info(d, e);
	if (r < 0)
		goto fail;
	r = vdev_regions_read(d, e);
	if (r < 0)
		goto fail;
	r = vdev_irqs_read(d, e);
	if (r < 0)
		goto fail;
	r = vdev_reset_open(d, sysfs, e);
	if (r < 0)
		goto fail;
	log_debug("%s: open, IOMMU group %u", d->name, req.group);
	*ret = d;
	return 0;
fail:
	vdev_close(d);
	return r;
}

static void vdev_end(struct vdev *d, bool wanted)
{
	struct err e = {0};
	struct vdev **p;

	if (!d)
		return;
	if (d->at.fd >= 0) {
		for (unsigned int i = 0; i < d->n_irqs; i++) {
			if (vdev_irq_disarm(d, i, &e) < 0)
				log_debug("close: %s", e.text);
		}
		/* The kernel resets at close too, but gives up when someone holds the lock. */
		if (wanted)
			vdev_reset_try(d, false, false);
		else if (vdev_reset(d, false, &e) < 0)
			log_debug("close: %s", e.text);
		vdev_regions_unmap(d);
		d->io->ops->detach(d->io, &d->at);
	}
	for (p = &d->io->open; *p != d;)
		p = &(*p)->next;
	*p = d->next;
	free(d);
}

void vdev_close(struct vdev *d)
{
	vdev_end(d, false);
}

void vdev_close_wanted(struct vdev *d)
{
	vdev_end(d, true);
}

struct bdf vdev_bdf(const struct vdev *d)
{
	return d->bdf;
}

int vdev_fd(const struct vdev *d)
{
	return d->at.fd;
}
