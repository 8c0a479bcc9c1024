/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One step of a plan, forwards and backwards. Private to apply*.c. */
#ifndef VIADUCT_VFM_APPLY_STEP_H
#define VIADUCT_VFM_APPLY_STEP_H

#include "vf-manager/plan.h"
#include "vf-manager/plan_state.h"

/* 0, or the errno of what it calls; a step that fails is as if it had not been begun, or @e says. */
int step_run(struct vfm *v, const struct vfm_plan *p, const struct vfm_step *s, bool force,
	struct err *e);

/*
 * The same of @n steps of one PF, each of which gives another VF something, in this order. What became of
 * them is in @c, for those that it says are begun; @c: room for @n.
 */
int steps_set(struct vfm *v, const struct vfm_plan *p, const struct vfm_step *s, size_t n,
	struct settings_change *c, struct err *e);

/* Back to what the plan found. 0, or what is left is said in @e. */
int step_undo(struct vfm *v, const struct vfm_plan *p, const struct vfm_step *s, struct err *e);

/* 0 when the PF is as @before says, else -EIO and each thing that is not in @e. */
int state_compare(struct vfm *v, const struct pf_state *before, struct err *e);

#endif
