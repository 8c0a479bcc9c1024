/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a function in use, and by whom? Asked before a VF is destroyed, taken from its driver or given
 * to someone else.
 */
#ifndef VIADUCT_VFM_USAGE_H
#define VIADUCT_VFM_USAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "vf-manager/vfm.h"

enum vfm_use {
	VFM_USE_VFIO = 1 << 0,    /* its VFIO group or device node is open */
	VFM_USE_ADDRESS = 1 << 1, /* its interface has an address that somebody gave it */
	VFM_USE_MASTER =
		1 << 2, /* ... is in a bridge, bond, ... or has a VLAN, macvlan, ... on it */
	VFM_USE_NETNS = 1 << 3, /* ... is in another network namespace */
	VFM_USE_LEASE = 1 << 4, /* another process holds its lease */
	VFM_USE_CHILD = 1 << 5, /* an RDMA or vDPA device, a mounted disk, ... is on it */
	VFM_USE_CLAIM = 1 << 6, /* another manager (sriov-cni, libvirt) has given it to somebody */
};

struct vfm_usage {
	unsigned uses;        /* VFM_USE_* */
	struct holder holder; /* with VFM_USE_VFIO or VFM_USE_LEASE; pid 0 = not seen */
	char text[256]; /* "open in VFIO by viaduct-run[412], interface eth3 has 10.0.0.2/24" */
	char consequence[256]; /* "viaduct-run[412] loses its device; 10.0.0.2/24 goes" */
};

/*
 * Not in use: uses is 0. -ENODEV; -ENOMEM; the errno of asking the kernel for addresses. Never waits
 * for a user. Seeing other users' processes takes root; the VFIO group is opened for a moment where
 * /proc shows no holder, as only that tells of a device passed on.
 */
int vfm_usage(struct vfm *v, struct bdf b, struct vfm_usage *ret, struct err *e);

/*
 * The same for @n functions with one walk over /proc; ret[i] belongs to b[i]. A function that went
 * away is not in use.
 */
int vfm_usage_many(
	struct vfm *v, const struct bdf *b, size_t n, struct vfm_usage *ret, struct err *e);

/*
 * 0 when @b is not in use or @force. With @force what that costs is noted (struct vfm_config) before
 * it returns. Else -EBUSY, "<doing>: <bdf> is <text>; end that first, ...", or as vfm_usage().
 */
int vfm_refuse_if_used(struct vfm *v, struct bdf b, const char *doing, bool force, struct err *e);

#endif
