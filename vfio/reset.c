// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which reset a device gets. VFIO_DEVICE_RESET is whatever the kernel has first in reset_method. For
 * a function without FLR that is the way through D3hot (PCI PM 1.2 §5.4.1), although not every device
 * that says so (No_Soft_Reset clear) forgets its registers on that way: one that does not goes on
 * receiving into the next guest's memory, at the addresses of the last guest's rings. Such a device
 * is reset by its bus instead, when nothing but it is there.
 */
#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "vfio/internal.h"

/* Does the kernel come to the way through D3hot before any better one? */
static bool reset_is_weak(const struct sysfs *s, struct bdf b)
{
	char path[160], methods[128], *save = NULL;
	const char *first;

	/* Not there: no reset at all, or a kernel before 5.15, which keeps its order to itself. */
	if (sysfs_read(s, sysfs_pci_path(b, "reset_method", path, sizeof(path)), methods,
		    sizeof(methods)) <= 0)
		return false;
	first = strtok_r(methods, " \n", &save);
	return first && !strcmp(first, "pm");
}

/* Would a reset of the bus meet this function alone? The kernel counts all, whatever their drivers. */
static bool alone_on_bus(const struct vdev *d)
{
	union {
		struct vfio_pci_hot_reset_info head;
		uint8_t room[sizeof(struct vfio_pci_hot_reset_info) +
			     sizeof(struct vfio_pci_dependent_device)];
	} info = {.head.argsz = sizeof(info)};
	const struct vfio_pci_dependent_device *one = info.head.devices;

	/* -ENOSPC: there are more; -ENODEV: neither its slot nor its bus can be reset. */
	if (d->sys->ioctl(d->sys->ctx, d->at.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info) < 0)
		return false;
	return info.head.count == 1 && one->segment == d->bdf.domain &&
	       (one->bus << 8 | one->devfn) == bdf_rid(d->bdf);
}

static int reset_by_bus(struct vdev *d, bool wait)
{
	/* Asked each time: a function may have been plugged in beside it. */
	return alone_on_bus(d) ? d->io->ops->hot_reset(d->io, &d->at, wait) : -EBUSY;
}

int vdev_reset_try(struct vdev *d, bool wait)
{
	int r;

	if (d->weak_reset) {
		r = reset_by_bus(d, wait);
		if (r >= 0 || r == -EAGAIN)
			return r;
		log_debug("%s: reset through D3hot, its bus cannot be reset: %s", d->name,
			strerror(-r));
	}
	if (wait)
		return ioctl_retry(d->sys, d->at.fd, VFIO_DEVICE_RESET, NULL);
	return d->sys->ioctl(d->sys->ctx, d->at.fd, VFIO_DEVICE_RESET, NULL);
}

int vdev_reset(struct vdev *d, struct err *e)
{
	int r;

	if (!d->can_reset)
		return err_set(e, EOPNOTSUPP, "%s: it has no function-level reset", d->name);
	r = vdev_reset_try(d, true);
	if (r == -EAGAIN)
		return err_set(e, EAGAIN,
			"%s: not reset: it stayed locked by another reset for a second", d->name);
	if (r < 0)
		return err_sys(e, -r, "%s: reset (%s)", d->name,
			d->weak_reset ? "VFIO_DEVICE_PCI_HOT_RESET and VFIO_DEVICE_RESET"
				      : "VFIO_DEVICE_RESET");
	return 0;
}

int vdev_reset_open(struct vdev *d, const struct sysfs *sysfs, struct err *e)
{
	/*
	 * vfio-pci just did one, as we are the first to open the device, and can_reset is how it says
	 * that it worked. Another would cost 100 ms (PCIe 5.0 §6.6.2): only where that one is not
	 * enough.
	 */
	d->weak_reset = d->can_reset && reset_is_weak(sysfs, d->bdf);
	log_debug("%s: %s", d->name,
		d->weak_reset  ? "is reset by its bus or through D3hot"
		: d->can_reset ? "can be reset"
			       : "has no reset");
	if (!d->weak_reset)
		return 0;
	if (!alone_on_bus(d))
		log_info("%s: its one reset is the way through D3hot (reset_method pm), which some "
			 "devices do not obey: the guest may find it as the last one left it",
			d->name);
	return vdev_reset(d, e);
}
