/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May a guest be given devices of this host at all, and this one? What vf-manager found decides; here
 * is what `viaduct run` makes of it.
 */
#ifndef VIADUCT_CLI_RUN_ISOLATE_H
#define VIADUCT_CLI_RUN_ISOLATE_H

#include <stdbool.h>
#include <stdio.h>

#include "common/bdf.h"
#include "common/err.h"
#include "vf-manager/remapping.h"

struct run_trust {
	const char *name;       /* the guest's, in front of warnings */
	bool unsafe_interrupts; /* --unsafe-interrupts */
	bool unsafe_isolation;  /* --unsafe-isolation */
	FILE *warnings;         /* stderr */
};

/* Read into *ret whether the host remaps interrupts. */
int run_remapping_read(struct vfm_remapping *ret, struct err *e);

/*
 * Go on only when the interrupts of this host are remapped, or it is unknown and VFIO itself would
 * refuse; --unsafe-interrupts goes on in any case. Warns when it goes on with less than a yes.
 * -EPERM: refused, and the text says what was seen and what to do.
 */
int run_remapping_check(
	const struct run_trust *t, const struct vfm_remapping *remapping, struct err *e);

/*
 * Ask vf-manager about @b. -EPERM: FAIL, for what it names; with --unsafe-isolation only what the
 * kernel would refuse itself. Warns of what can be reached from outside its IOMMU group. What is not
 * there or a bridge passes: opening it says so. *ret is the verdict.
 */
int run_isolation_check(const struct run_trust *t, struct vfm *v, struct bdf b,
	enum vfm_status *ret, struct err *e);

#endif
