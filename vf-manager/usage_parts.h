/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What usage.c is made of. */
#ifndef VIADUCT_VFM_USAGE_PARTS_H
#define VIADUCT_VFM_USAGE_PARTS_H

#include "vf-manager/internal.h"
#include "vf-manager/usage.h"

struct address {
	int ifindex;
	char text[64]; /* "10.0.0.2/24" */
};

/*
 * The addresses that somebody gave to an interface of this network namespace: not the link-local
 * ones the kernel makes. Free *ret. Their number or -errno.
 */
int addresses_read(struct vfm *v, struct address **ret, struct err *e);

/* A disk or a partition of one. */
struct disk {
	struct bdf bdf; /* whose it is */
	char name[VFM_NAME_MAX];
	char node[VFM_NAME_MAX]; /* in /dev; another name where several controllers reach it */
};

/* All of this machine that are behind a PCI function of @b[0..n); free *ret. The number or -errno. */
int disks_read(struct vfm *v, const struct bdf *b, size_t n, struct disk **ret);
/*
 * Is it mounted, swapped to, or a part of another block device? Then how, as "mounted on /srv"
 * (control characters are '?'), else "".
 */
void disk_use(struct vfm *v, const struct disk *d, char *buf, size_t size);

struct claim {
	char text[128]; /* "sriov-cni gave it to /run/netns/a", or "" */
};

/* What other managers wrote down about @b[0..n). */
void claims_read(struct vfm *v, const struct bdf *b, size_t n, struct claim *ret);

#endif
