/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a refusal of the kernel, or a line of its log, means for a user of SR-IOV and VFIO: a constant
 * table, and two ways to look things up in it.
 */
#ifndef VIADUCT_VFM_EXPLAIN_H
#define VIADUCT_VFM_EXPLAIN_H

#include <stddef.h>

/* Where the kernel refused. */
enum vfm_where {
	VFM_AT_NUMVFS,    /* write of sriov_numvfs */
	VFM_AT_AUTOPROBE, /* write of sriov_drivers_autoprobe */
	VFM_AT_OVERRIDE,  /* write of driver_override */
	VFM_AT_PROBE,     /* bind, unbind, drivers_probe */
	VFM_AT_RTNETLINK, /* a VF's settings, an interface's state */
	VFM_AT_DEVLINK,   /* eswitch, port function, rate */
	VFM_AT_VFIO_OPEN, /* a group is put into a container, an IOMMU chosen */
	VFM_AT_VFIO_DEVICE,
	VFM_AT_ATTACH, /* a group or device is given to an IOMMU domain */
	VFM_AT_RUNNING /* no call: the kernel's log alone says it */
};

struct vfm_cause {
	const char *id; /* "numvfs-no-mmio": never changes, for programs */
	enum vfm_where where;
	int code;         /* positive errno; 0: none, the log line is enough */
	const char *klog; /* what the kernel's log then has; NULL: nothing special */
	const char *cause, *fix;
	const char *text; /* "cause: fix" */
};

/* The cause of errno @code (positive) at @where; @klog is what the kernel logged, "" or NULL when
 * nothing was seen. NULL when we do not know. */
const struct vfm_cause *vfm_explain(enum vfm_where where, int code, const char *klog);

/* The cause that a line of the kernel's log tells of; NULL when it is about something else. */
const struct vfm_cause *vfm_explain_line(const char *line);

/* Row @i of the table; NULL behind the last. */
const struct vfm_cause *vfm_cause_at(size_t i);

#endif
