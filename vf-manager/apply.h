/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Make the machine what a file says: plan, and carry the plan out.
 *
 * One apply at a time works on a PCI domain; it holds RUN_DIR/apply-DOMAIN.lock. It plans under that
 * lock, takes the steps in the order of the plan, and plans again afterwards: what is left then is a
 * failure. Nothing is kept between two applies, so one that was killed is finished by the next.
 *
 * Steps in a row that give VFs of one PF something are taken together, up to 64: the VFs are locked and read,
 * set one after the other, and read once more and compared. One that has not what was acknowledged is
 * undone, and so are those behind it (outcome UNDONE, and why).
 *
 * A step that fails undoes what it began, as vfm_carve(), vfm_set() and vfm_bind() say, and ends the
 * work on its PF. Then either
 *  - the steps before it stay, and the other PFs are done; or
 *  - with rollback the whole file is one change: all steps of all PFs are undone in reverse.
 */
#ifndef VIADUCT_VFM_APPLY_H
#define VIADUCT_VFM_APPLY_H

#include "vf-manager/phases.h"
#include "vf-manager/plan.h"

struct vfm_apply_options {
	bool recreate; /* VFs may be destroyed for another number of them */
	bool force;    /* also VFs that are in use: plan.affected names who loses what */
	bool rollback;
	bool dry_run; /* up to the first change: refusals too, without a lock */
	/* Wait for PFs of the file that are not there yet, or have no driver; those that do not come fail. */
	unsigned wait_ms;
	/* Before a step (outcome PLANNED), after it, and after it was undone. May be NULL. */
	void (*on_step)(void *arg, const struct vfm_plan *p, const struct vfm_step *s);
	void *arg;
	struct vfm_phases *phases; /* NULL, or where the time went: written whatever came of it */
};

/*
 * Apply @want (its entry for @only alone, if that is not NULL). Without differences nothing is written,
 * no lock is taken. *ret says what was done, step by step; it is written on failure too as soon as there
 * is a plan, else NULL. vfm_plan_free() it.
 *
 * -EBUSY: VFs would be destroyed without options.recreate, or are in use and not options.force, or
 * another apply did not end in the context's time (its process is named); nothing was changed. -EINTR:
 * cancelled. Else the errno of the first PF that failed; pf[].why has those of all.
 */
int vfm_apply(struct vfm *v, const struct vfm_desired *want, const char *only,
	const struct vfm_apply_options *options, struct vfm_plan **ret, struct err *e);

#endif
