/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IOMMU groups: who is in one, and who of them keeps it from being assigned. */
#ifndef VIADUCT_VFM_GROUP_H
#define VIADUCT_VFM_GROUP_H

#include <stdbool.h>

#include "vf-manager/vfm.h"

struct vfm_member {
	char name[VFM_NAME_MAX]; /* as in sysfs; of a PCI function its address */
	bool pci;                /* bdf is valid; else a platform device or the like */
	struct bdf bdf;
	char driver[VFM_NAME_MAX]; /* "" = none, "?" = cannot be read */
	bool bridge;               /* PCI to PCI, so also a root or switch port */
	/*
	 * Its driver does DMA of its own, so the group cannot be given to a guest: since Linux 5.19
	 * every driver but VFIO's, pci-stub and pcieport (driver_managed_dma).
	 */
	bool blocks;
};

struct vfm_group {
	int number;
	char type[16]; /* identity, DMA, DMA-FQ, ... "" = unknown */
	bool rmrr;     /* reserved_regions has "direct" (not "direct-relaxable") */
	bool no_iommu; /* VFIO made it in no-IOMMU mode: nothing keeps its DMA in bounds */
	size_t n;
	struct vfm_member member[];
};

/*
 * The group of @b, PCI members in address order, then others by name; free() it. -ENODEV, -ENOENT it
 * is in none, -ENOMEM, -EIO its members cannot be listed or @b is not among them.
 */
int vfm_group(struct vfm *v, struct bdf b, struct vfm_group **ret, struct err *e);

/* Does a driver of this name leave the DMA of its device to others? */
bool vfm_driver_manages_no_dma(const char *driver);

/* What reserved_regions of an IOMMU group says. */
struct vfm_regions {
	unsigned direct;    /* firmware wants them mapped 1:1: no assignment */
	unsigned relaxable; /* likewise, but only until a driver has the device */
	unsigned reserved;
	unsigned msi;
	uint64_t direct_start, direct_end; /* of the first "direct", end is inclusive */
	uint64_t msi_start, msi_end;       /* of the first "msi" */
};

/* Parse @text. -EINVAL when a line is no region of a type Linux has: then nothing is known. */
int vfm_regions_parse(const char *text, struct vfm_regions *ret);

#endif
