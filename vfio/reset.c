// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which reset a device gets. VFIO_DEVICE_RESET is whatever the kernel has first in reset_method. For
 * a function without FLR that is the way through D3hot (PCI PM 1.2 §5.4.1), although not every device
 * that says so (No_Soft_Reset clear) forgets its registers on that way: one that does not goes on
 * receiving into the next guest's memory, at the addresses of the last guest's rings. Such a device,
 * and one without any reset of its own (two behind one conventional bridge), is reset by its bus,
 * when nobody else uses what is there.
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

#define MAX_MET 64

/* Whom a reset of the bus would meet. */
struct met {
	unsigned int groups[MAX_MET]; /* IOMMU groups, each once */
	unsigned int n;
	bool open; /* another function that is open here */
};

static bool is_open(const struct ioas *io, struct bdf b)
{
	for (const struct vdev *d = io->open; d; d = d->next) {
		if (bdf_equal(d->bdf, b))
			return true;
	}
	return false;
}

static void group_met(struct met *m, unsigned int group)
{
	for (unsigned int i = 0; i < m->n; i++) {
		if (m->groups[i] == group)
			return;
	}
	m->groups[m->n++] = group;
}

/*
 * Asked each time, as a function may have been plugged in. The kernel names all, whatever their
 * drivers, and later refuses unless every one is bound to vfio-pci and of a group shown to it.
 * -ENODEV: neither slot nor bus can be reset; -ENOSPC: more than we look at.
 */
static int bus_look(const struct vdev *d, struct met *ret)
{
	union {
		struct vfio_pci_hot_reset_info head;
		uint8_t room[sizeof(struct vfio_pci_hot_reset_info) +
			     MAX_MET * sizeof(struct vfio_pci_dependent_device)];
	} info = {.head.argsz = sizeof(info)};
	bool self = false;
	int r;

	r = d->sys->ioctl(d->sys->ctx, d->at.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info);
	if (r < 0)
		return r;
	if (!info.head.count || info.head.count > MAX_MET || info.head.flags)
		return -EPROTO;
	*ret = (struct met){0};
	for (unsigned int i = 0; i < info.head.count; i++) {
		const struct vfio_pci_dependent_device *p = &info.head.devices[i];
		const struct bdf b = {p->segment, p->bus, p->devfn >> 3, p->devfn & 7};

		if (bdf_equal(b, d->bdf))
			self = true;
		else if (is_open(d->io, b))
			ret->open = true;
		group_met(ret, p->group_id);
	}
	return self ? 0 : -EPROTO;
}

/* -EBUSY: it would meet another one that is in use, and @all does not say that this is as well. */
static int reset_by_bus(struct vdev *d, bool all, bool wait)
{
	struct met m;
	int r;

	r = bus_look(d, &m);
	if (r < 0)
		return r;
	if (m.open && !all)
		return -EBUSY;
	return d->io->ops->hot_reset(d->io, &d->at, m.groups, m.n, wait);
}

int vdev_reset_try(struct vdev *d, bool all, bool wait)
{
	int r;

	if (d->own_reset == VDEV_RESET_GOOD)
		return ioctl_reset(d->sys, d->at.fd, VFIO_DEVICE_RESET, NULL, wait);
	r = reset_by_bus(d, all, wait);
	if (r >= 0 || r == -EAGAIN)
		return r;
	log_debug("%s: its bus is not reset: %s", d->name, strerror(-r));
	if (d->own_reset == VDEV_RESET_NONE)
		return -EOPNOTSUPP;
	return ioctl_reset(d->sys, d->at.fd, VFIO_DEVICE_RESET, NULL, wait);
}

int vdev_reset(struct vdev *d, bool all, struct err *e)
{
	int r = vdev_reset_try(d, all, true);

	if (r == -EOPNOTSUPP && d->own_reset == VDEV_RESET_NONE)
		return err_set(e, EOPNOTSUPP,
			"%s: it has no reset of its own, and its bus cannot be reset for it",
			d->name);
	if (r == -EAGAIN)
		return err_set(e, EAGAIN,
			"%s: not reset: it stayed locked by another reset for a second", d->name);
	if (r < 0)
		return err_sys(e, -r, "%s: reset (VFIO_DEVICE_RESET)", d->name);
	return 0;
}

int vdev_reset_open(struct vdev *d, const struct sysfs *sysfs, struct err *e)
{
	struct met m;
	int r;

	/*
	 * vfio-pci just did one, as we are the first to open the device. Another would cost 100 ms
	 * (PCIe 5.0 §6.6.2): only where that one is not enough.
	 */
	if (d->own_reset == VDEV_RESET_GOOD && reset_is_weak(sysfs, d->bdf))
		d->own_reset = VDEV_RESET_WEAK;
	if (d->own_reset == VDEV_RESET_GOOD)
		return 0;
	r = bus_look(d, &m);
	/* Who was opened before on this bus had it reset then. */
	if (r == 0 && m.open)
		return 0;
	if (d->own_reset == VDEV_RESET_WEAK && r < 0)
		log_info("%s: its one reset is the way through D3hot (reset_method pm), which some "
			 "devices do not obey: the guest may find it as the last one left it",
			d->name);
	r = vdev_reset(d, false, e);
	return d->own_reset == VDEV_RESET_NONE && r == -EOPNOTSUPP ? 0 : r;
}

bool vdev_can_reset(const struct vdev *d)
{
	struct met m;

	/* Its own group is ours; whether others are is seen when it is tried. */
	return d->own_reset != VDEV_RESET_NONE || (bus_look(d, &m) == 0 && m.n == 1);
}
