/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan while it is made. Private to plan*.c. */
#ifndef VIADUCT_VFM_PLAN_MAKE_H
#define VIADUCT_VFM_PLAN_MAKE_H

#include "vf-manager/caps.h"
#include "vf-manager/plan.h"
#include "vf-manager/plan_state.h"

struct make {
	struct vfm *v;
	const struct vfm_desired *d;
	struct vfm_plan *p;
	struct vfm_plan_pf *pf; /* the one being planned */
	char name[BDF_STRLEN];  /* its address */
	unsigned n;             /* VFs it is to have */
	bool remade;            /* all of them new ones */
	bool autoprobe;         /* as it will be */
	struct vfm_caps caps;   /* of the PF, valid with caps_read */
	bool caps_read;
};

/* Add to a step's text. */
void text_add(char *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A step of this PF, or of its VF @index; its text begins with whose it is. NULL: out of memory. */
struct vfm_step *step_add(struct make *m, enum vfm_step_kind kind, int index);
/* A difference: 0 or -ENOMEM. */
int differ(struct make *m, int index, const char *key, const char *have, const char *want);
/* Why there can be no plan for this PF, with the place it comes from (@vf NULL: the PF's entry): -@code. */
int refuse(struct make *m, const struct vfm_desired_vf *vf, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The VF's entry in the file, or NULL. */
const struct vfm_desired_vf *entry_find(const struct vfm_desired_pf *w, unsigned index);
/* "none" for "". */
const char *or_none(const char *name);

/* plan_vfs.c: 0, -ENOMEM, or what refuse() returned. */
int settings_plan(struct make *m);
int drivers_plan(struct make *m);
int rates_plan(struct make *m);

#endif
