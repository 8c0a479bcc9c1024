/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lease says who a function is promised to. It is a flock on a file of the runtime directory, so
 * it ends with its holder however that ends; the text in the file (owner, pid, since when) only
 * explains it. A lease without a live lock is stale and free to take.
 *
 * The files are in RUN_DIR/lease, which only root can enter: whoever can open a file can lock it.
 * All that is done with them is done under a lock of that directory, held for microseconds, so
 * looking at a lease never gets in the way of taking it.
 */
#ifndef VIADUCT_VFM_LEASE_H
#define VIADUCT_VFM_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "vf-manager/vfm.h"

#define VFM_OWNER_MAX 64

struct vfm_lease {
	struct bdf bdf;
	char owner[VFM_OWNER_MAX]; /* a name for people: the VM's, the unit's; "?" = unreadable */
	pid_t pid;                 /* 0 = unreadable */
	uint64_t since;            /* seconds of CLOCK_REALTIME */
	bool held;                 /* false: stale, its holder is gone */
	bool ours;                 /* the lock is held through a descriptor of this process */
};

/*
 * Take the lease of @b for @owner (a plain name), which process @pid is (0: the caller). *ret_fd
 * holds it until it is closed by every process that has it (close-on-exec is set). A process that
 * has it already, taken or inherited, gets another descriptor of the same lock. -EBUSY: held, its
 * owner named, or the directory is locked for too long. -EINVAL: owner is no plain name. -ENODEV.
 * -EACCES and other errnos of the runtime directory.
 */
int vfm_lease_take(
	struct vfm *v, struct bdf b, const char *owner, pid_t pid, int *ret_fd, struct err *e);

/* Give back what vfm_lease_take() gave; *@fd is closed and -1 afterwards, and may be -1 before. */
void vfm_lease_drop(struct vfm *v, struct bdf b, int *fd);

/*
 * Who has the lease of @b: 1 and *ret when there is one, held or stale; 0 when there is none;
 * -EACCES and other errnos when that cannot be seen.
 */
int vfm_lease_get(struct vfm *v, struct bdf b, struct vfm_lease *ret);

/* All leases, held and stale, in address order; free() it. The number of them or -errno. */
int vfm_lease_list(struct vfm *v, struct vfm_lease **ret, struct err *e);

/*
 * Remove the lease of @b. A held one only with @force: its holder keeps what it has open and is not
 * told, but somebody else can lease the function from now on, which is noted before it is done.
 * *ret (may be NULL) is the lease that was removed. -ENOENT there is none, -EBUSY held.
 */
int vfm_lease_free(struct vfm *v, struct bdf b, bool force, struct vfm_lease *ret, struct err *e);

/* Remove stale leases; the number removed or -errno. */
int vfm_lease_gc(struct vfm *v, struct err *e);

/* "vm1 (process 412)", as messages name a holder. Returns @buf. */
#define VFM_LEASE_WHO_MAX (VFM_OWNER_MAX + 32)
char *vfm_lease_who(const struct vfm_lease *l, char buf[VFM_LEASE_WHO_MAX]);

#endif
