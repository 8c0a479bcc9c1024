/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lease.c and pool.c share: the directory of leases and its lock. */
#ifndef VIADUCT_VFM_LEASE_DIR_H
#define VIADUCT_VFM_LEASE_DIR_H

#include "vf-manager/lease.h"

/* RUN_DIR/lease, opened. -ENOENT when there is none, -EPERM when others can write there. */
int lease_dir_open(struct vfm *v, bool create);
/* The same, made and locked: nobody takes, frees or looks at a lease until it is closed. */
int lease_dir_lock(struct vfm *v, int *ret_dir, struct err *e);
/* vfm_lease_take() and vfm_lease_list() in the directory @dir; the caller has it locked. */
int lease_take_locked(struct vfm *v, int dir, struct bdf b, const char *owner, pid_t pid,
	int *ret_fd, struct err *e);
int lease_list_locked(int dir, bool guarded, struct vfm_lease **ret);
int lease_owner_check(const char *owner, struct err *e);

#endif
