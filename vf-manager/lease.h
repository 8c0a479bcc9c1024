/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lease says who a function is promised to. It is a flock on a file of the runtime directory, so
 * it ends with its holder however that ends; the text in the file (owner, pid, since when, what for)
 * only explains it. A lease without a live lock is stale and free to take.
 */
#ifndef VIADUCT_VFM_LEASE_H
#define VIADUCT_VFM_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "vf-manager/vfm.h"

#define VFM_OWNER_MAX 64

struct vfm_lease {
	struct bdf bdf;
	char owner[VFM_OWNER_MAX]; /* a name for people: the VM's, the unit's */
	pid_t pid;
	uint64_t since; /* seconds of CLOCK_REALTIME */
	bool held;      /* false: stale, its holder is gone */
};

/*
 * Take the lease of @b for @owner. *ret_fd holds it until it is closed by every process that has it
 * (close-on-exec is set). -EBUSY: held, its owner named. -EINVAL: owner is no plain name. -ENODEV.
 */
int vfm_lease_take(struct vfm *v, struct bdf b, const char *owner, int *ret_fd, struct err *e);

/* Who has the lease of @b: 1 and *ret when there is one, held or stale; 0 when there is none. */
int vfm_lease_get(struct vfm *v, struct bdf b, struct vfm_lease *ret);

/* All leases, held and stale, in address order; free() it. The number of them or -errno. */
int vfm_lease_list(struct vfm *v, struct vfm_lease **ret, struct err *e);

/* Remove stale leases; the number removed or -errno. */
int vfm_lease_gc(struct vfm *v, struct err *e);

#endif
