/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has to be done so that the machine is as a file wants it: the smallest change, as steps in the
 * order in which they are made. Of each PF:
 *
 *   what an interrupted carve left, the PF's interface up, the mode of its switch, its autoprobe,
 *   the number of VFs, what each is given, the driver of each, maximum rates of new VFs (for which the
 *   PF's link has to be back), the pool
 *
 * and only what differs. Attributes and drivers never cost a VF its life; another number of VFs, or
 * another mode of the switch while there are VFs, destroys all of a PF. VFs that are not in the file
 * are left alone, unless the PF is exclusive: then they get the VLAN, rates, link state and trust of a
 * new VF, the driver and the spoof check they had before this tool changed them, and no address, but
 * for one that a driver of this host may have chosen.
 *
 * Planning only reads.
 */
#ifndef VIADUCT_VFM_PLAN_H
#define VIADUCT_VFM_PLAN_H

#include "vf-manager/desired.h"
#include "vf-manager/vfm.h"

#define VFM_STEP_MAX 256 /* of a step's text */

enum vfm_step_kind {
	VFM_STEP_RECOVER,   /* put right what an interrupted carve left */
	VFM_STEP_UP,        /* the PF's interface */
	VFM_STEP_DESTROY,   /* all VFs, before the switch gets another mode */
	VFM_STEP_ESWITCH,   /* the mode of the PF's switch */
	VFM_STEP_AUTOPROBE, /* sriov_drivers_autoprobe */
	VFM_STEP_CARVE,     /* the number of VFs */
	VFM_STEP_SET,       /* what a VF is given */
	VFM_STEP_RELEASE,   /* a VF of an exclusive PF that is not in the file: its driver */
	VFM_STEP_BIND,      /* the driver of a VF */
	VFM_STEP_POOL,      /* the pool the PF is in */
};

/* "make-vfs", as in JSON. Lives for ever. */
const char *vfm_step_name(enum vfm_step_kind kind);

enum vfm_outcome {
	VFM_STEP_PLANNED, /* not begun */
	VFM_STEP_DONE,
	VFM_STEP_FAILED, /* its own change is undone, or why says what is not */
	VFM_STEP_UNDONE, /* done, and taken back */
	VFM_STEP_STUCK,  /* done, and could not be taken back, or not wholly: see why */
};

struct vfm_step {
	enum vfm_step_kind kind;
	size_t pf; /* which of vfm_plan.pf */
	int index; /* the VF, or -1: the PF itself */
	struct bdf
		vf; /* its address, valid with has_vf: the VF is there, or known where it comes */
	bool has_vf;
	unsigned num_vfs;  /* wanted: RECOVER, DESTROY, CARVE */
	unsigned destroys; /* VFs that go: DESTROY, CARVE */
	bool autoprobe;
	struct vfm_settings settings;
	char driver[VFM_NAME_MAX];
	char text[VFM_STEP_MAX]; /* "0000:01:00.0: make 7 VFs (destroys 3)" */
	/* apply.h */
	enum vfm_outcome outcome;
	char *why; /* NULL, or what happened */
};

/* A VF that a step destroys or takes from its driver, and somebody who would notice. */
struct vfm_affected {
	size_t step;
	struct bdf vf;
	int index;
	char text[256];        /* "open in VFIO by viaduct-run[412]" */
	char consequence[256]; /* "viaduct-run[412] loses its device" */
};

struct vfm_difference {
	size_t pf;
	int index;     /* the VF, or -1 */
	struct bdf vf; /* valid with has_vf */
	bool has_vf;
	char key[16];                                /* of the file: "num-vfs", "mac", ... */
	char have[VFM_POOL_MAX], want[VFM_POOL_MAX]; /* have "" = not known, or no such VF yet */
};

/* One entry of the file and the PF it is about. */
struct vfm_plan_pf {
	const struct vfm_desired_pf *want;
	struct bdf bdf; /* valid with found */
	bool found;
	/* Why nothing can be planned for it; code 0: it can. "FILE:LINE: ...". */
	struct err why;
	size_t first, n;        /* its steps */
	struct pf_state *state; /* what was read */
};

struct vfm_plan {
	struct vfm_plan_pf *pf;
	size_t n_pfs;
	struct vfm_step *step;
	size_t n_steps;
	struct vfm_affected *affected;
	size_t n_affected;
	struct vfm_difference *difference;
	size_t n_differences;
	size_t n_bad;   /* PFs with a why */
	bool recreates; /* VFs are destroyed */
};

/*
 * Plan from the machine as it is to @want, which has to outlive the plan; with @only (a selector, or
 * NULL) the entry for that PF alone, and no entry is no PF. A PF that nothing can be planned for keeps
 * its reason in pf[].why and costs the others nothing. -ENODEV, -ENOTUNIQ, -EINVAL of @only, -ENOMEM.
 */
int vfm_plan(struct vfm *v, const struct vfm_desired *want, const char *only, struct vfm_plan **ret,
	struct err *e);
void vfm_plan_free(struct vfm_plan *p); /* takes NULL */

#endif
