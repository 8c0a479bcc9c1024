/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pools: PFs whose VFs are alike, so that whoever needs one asks for any. Which PF is in which pool is
 * what the kernel cannot know: `viaduct vf apply` writes it into the runtime directory, and it is gone
 * with the PF or the boot.
 */
#ifndef VIADUCT_VFM_POOL_H
#define VIADUCT_VFM_POOL_H

#include "vf-manager/vfm.h"

/* Put @pf into pool @name, "" into none. Already so: nothing is written. -EINVAL no plain name, -ENODEV,
 * or the errno of the runtime directory. */
int vfm_pool_set(struct vfm *v, struct bdf pf, const char *name, struct err *e);

/* The pool of @pf into @ret (VFM_NAME_MAX bytes), "" when it is in none. */
void vfm_pool_get(struct vfm *v, struct bdf pf, char *ret);

/* The PFs of pool @name in address order; free *ret. Their number or -errno. */
int vfm_pool_members(struct vfm *v, const char *name, struct bdf **ret, struct err *e);

enum vfm_numa {
	VFM_NUMA_ANY,
	VFM_NUMA_PREFER, /* first those on the nodes this process runs on */
	VFM_NUMA_STRICT, /* only those */
};

/*
 * Lease a VF of pool @name that nobody uses or has leased (usage.h): of the PF of which the fewest are
 * used. Two who ask at once get two different ones; while one is free nobody gets none. The nodes
 * this process runs on are those of its memory policy (mbind, numactl) if it has one, else those
 * of the CPUs it may use; a VF of an unknown node is on none unless the machine has but one.
 *
 * -ENOENT no PF is in the pool, -EBUSY all its VFs are in use (some users named), -ENODEV it has none,
 * or with VFM_NUMA_STRICT none on these nodes; else as vfm_usage() and vfm_lease_take().
 */
int vfm_pool_take(struct vfm *v, const char *name, enum vfm_numa numa, const char *owner,
	struct bdf *ret, int *ret_fd, struct err *e);

#endif
