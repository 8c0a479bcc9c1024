/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a PF and its VFs are and have, read once: what a plan starts from, and what an undo goes back to. */
#ifndef VIADUCT_VFM_PLAN_STATE_H
#define VIADUCT_VFM_PLAN_STATE_H

#include "vf-manager/devlink.h"
#include "vf-manager/internal.h"

struct vf_state {
	bool there;
	struct vfm_function f;
	struct vfm_settings settings; /* what the PF's driver reports */
	struct vfm_settings original; /* what it had of those that vfm_set() has changed */
	bool recorded;                /* bind took it: */
	struct journal_entry record;
};

struct pf_state {
	struct vfm_function f;
	unsigned num_vfs;
	bool autoprobe;   /* as it is when no carve is under way, or was interrupted */
	bool interrupted; /* a carve was, and has left its record */
	bool has_eswitch;
	enum vfm_eswitch eswitch;
	char pool[VFM_NAME_MAX]; /* "" = none */
	struct vf_state *vf;     /* num_vfs of them */
};

/*
 * @eswitch: ask for its mode too. -ENODEV, -ENOTSUP no PF, -ENOMEM, or the errno of asking. pf_state_free()
 * takes NULL.
 */
int pf_state_read(struct vfm *v, struct bdf pf, bool eswitch, struct pf_state **ret, struct err *e);
void pf_state_free(struct pf_state *s);

#endif
