/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does this host remap the interrupts of its devices, so that one that a guest has can raise none but
 * its own? What is believed, in this order: the chips that deliver interrupts now, what the IOMMUs
 * can do, the kernel's log and command line. `viaduct doctor`, `viaduct vf isolate` and
 * `viaduct run` all ask here.
 */
#ifndef VIADUCT_VFM_REMAPPING_H
#define VIADUCT_VFM_REMAPPING_H

#include "vf-manager/caps.h"
#include "vf-manager/isolate.h"

/* The switch of VFIO, which by itself gives nothing away on a host that does not remap. */
#define VFM_UNSAFE_INTERRUPTS "allow_unsafe_interrupts"

struct vfm_remapping {
	/* VFM_UNKNOWN: nothing proves either, or some interrupts are remapped and some are not. */
	enum vfm_tri on;
	/* As the finding "interrupt-remapping" of vfm_isolate_host() has it. */
	struct vfm_finding finding;
	/* VFIO's switch is off (VFM_YES), so the kernel refuses where it does not remap; VFM_UNKNOWN:
	 * no module has it, or it cannot be read. */
	enum vfm_tri kernel_insists;
	const char *module; /* which has the switch that counts; lives for ever */
};

/* "on", "off" or "unknown". */
const char *vfm_remapping_name(enum vfm_tri on);

/* Needs no root, which sees more. 0 or -ENOMEM. */
int vfm_remapping_read(struct vfm *v, struct vfm_remapping *ret, struct err *e);

#endif
