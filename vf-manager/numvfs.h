/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The number of a PF's VFs: reading it, writing it, and what must then be seen in sysfs. */
#ifndef VIADUCT_VFM_NUMVFS_H
#define VIADUCT_VFM_NUMVFS_H

#include "vf-manager/internal.h"

struct numvfs {
	struct bdf pf;
	int group;   /* the PF's IOMMU group, -1 = none */
	pid_t stuck; /* the child that still waits for the kernel, 0 = none */
	bool wrote;  /* sriov_numvfs was written, whatever the outcome */
	int klog_fd; /* -1 = none */
	/* Those it has or had: the kernel's log speaks of them too. */
	struct bdf *vf;
	unsigned n_vfs;
	unsigned count; /* their number as the kernel told it: links may be on their way */
};

/* Note which of @n VFs there are now, from their links. -ENOMEM. */
int numvfs_note(struct vfm *v, struct numvfs *nv, unsigned n, struct err *e);
void numvfs_finish(struct numvfs *nv);

/* Is the PF no longer there? */
bool numvfs_gone(struct vfm *v, const struct numvfs *nv);

/* Both wait for a change under way: with the context's deadline, in a child. */
int numvfs_read(struct vfm *v, struct numvfs *nv, unsigned *ret, struct err *e);
/*
 * Write @n, then believe what can be read: the kernel calls a short count a success. -ENOSPC that,
 * -ETIMEDOUT nv->stuck still waits, -ENODEV the PF is gone, else the kernel's errno with its meaning.
 */
int numvfs_write(struct vfm *v, struct numvfs *nv, unsigned n, struct err *e);

/*
 * Wait until links of @n VFs lead to devices, which are in a group if the PF is in one; for 0 until
 * those noted have gone.
 */
int numvfs_links_wait(struct vfm *v, struct numvfs *nv, unsigned n, struct err *e);

#endif
