/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small host: a sysfs tree in a temporary directory and the fake kernel that belongs to it. */
#ifndef VIADUCT_TESTS_VFIO_WORLD_H
#define VIADUCT_TESTS_VFIO_WORLD_H

#include "tests/fakes/vfio_kernel.h"

struct world {
	char root[64];
	struct sysfs sysfs;
	struct vfio_kernel k;
};

/*
 * 01:10.0, 01:10.2 group 6   on vfio-pci, share a group
 * 02:00.0          group 7   on vfio-pci
 * 00:10.0          group 3   a root port
 * 03:00.0          group 8   on igb
 * 03:00.1          group 9   no driver
 * 04:00.0                    no group
 * 05:00.0          group 10  on vfio-pci; 05:00.1 of it on igb, 05:00.2 free, 00:11.0 a root port
 * 06:00.0          group 11  a no-IOMMU group
 * 07:00.0          group 12  on vfio-pci, has an RMRR
 */
void world_init(struct world *w);
void world_finish(struct world *w);
/* Create a file below the root, with its directories. */
void world_write(struct world *w, const char *path, const char *text);
void world_link(struct world *w, const char *path, const char *target);
struct bdf world_bdf(const char *s);
/* The kernel's side of a device, which has to be there. */
struct fk_device *world_device(struct world *w, const char *bdf);

#endif
