/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a PF gives its VFs, wherever its driver keeps it: with rtnetlink, or in switchdev mode with the
 * VFs' ports on the eswitch. Private to configure.c.
 */
#ifndef VIADUCT_VFM_PF_VFS_H
#define VIADUCT_VFM_PF_VFS_H

#include "vf-manager/devlink_internal.h"
#include "vf-manager/internal.h"

struct pf_vfs {
	struct vfm *v;
	struct vfm_function pf;
	struct vfm_settings *vf; /* of all VFs of the PF, as they were read last */
	struct vfm_port *port;   /* in switchdev mode, else NULL */
	size_t n;
	bool no_link; /* a rate has waited for the PF's link, in vain: the next one does not */
};

/*
 * Read all VFs of @pf, @min of them at least. -ENOTSUP: no interface here, -ENOMEM, or the errno of
 * asking. pf_vfs_finish() after a failure too.
 */
int pf_vfs_init(struct pf_vfs *p, struct vfm *v, struct bdf pf, size_t min, struct err *e);
void pf_vfs_finish(struct pf_vfs *p);
/* All of them again, with one request of rtnetlink whatever their number. */
int pf_vfs_read(struct pf_vfs *p, struct err *e);
/* Give VF @index those of @s in @bits: one group, as vf_set_encode() has them. What was read stays. */
int pf_vfs_set(struct pf_vfs *p, unsigned index, const struct vfm_settings *s, uint32_t bits,
	struct err *e);

#endif
