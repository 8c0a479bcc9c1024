/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the time of an apply goes: each moment is in one phase. */
#ifndef VIADUCT_VFM_PHASES_H
#define VIADUCT_VFM_PHASES_H

#include <stdint.h>

/* In the order in which they come first. */
enum vfm_phase {
	VFM_PHASE_CHECK,      /* what is there, what has to be done, may it be done; locks */
	VFM_PHASE_UP,         /* the PF's interface is switched on */
	VFM_PHASE_OTHER,      /* the switch's mode, autoprobe, the pool */
	VFM_PHASE_DESTROY,    /* 0 is written to sriov_numvfs, until the VFs' links are gone */
	VFM_PHASE_WRITE,      /* the number is written to sriov_numvfs */
	VFM_PHASE_LINKS,      /* until the VFs' links are there */
	VFM_PHASE_LINK_UP,    /* until the PF's link, which some carves take down, is back */
	VFM_PHASE_ATTRIBUTES, /* what VFs are given, read back too */
	VFM_PHASE_BIND,       /* drivers */
	VFM_PHASE_NODE,       /* until the nodes in /dev/vfio are there */
	VFM_PHASE_VERIFY,     /* is all as the file says? */
	VFM_PHASE_UNDO,
	VFM_PHASES
};

struct vfm_phases {
	uint64_t us[VFM_PHASES];
	uint64_t total_us; /* their sum */
};

/* "link-up", as in JSON. Lives for ever. */
const char *vfm_phase_name(enum vfm_phase p);

#endif
