/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IOMMU groups: who is in one, and who of them keeps it from being assigned. */
#ifndef VIADUCT_VFM_GROUP_H
#define VIADUCT_VFM_GROUP_H

#include <stdbool.h>

#include "vf-manager/vfm.h"

struct vfm_member {
	struct bdf bdf;
	char driver[VFM_NAME_MAX]; /* "" = none */
	bool bridge;
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
	size_t n;
	struct vfm_member member[];
};

/* The group of @b, members in address order; free() it. -ENODEV, -ENOENT it is in none, -ENOMEM. */
int vfm_group(struct vfm *v, struct bdf b, struct vfm_group **ret, struct err *e);

#endif
