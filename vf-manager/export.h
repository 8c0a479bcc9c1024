/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What others want to be told about functions that were made ready here, in their own words:
 *
 *   device-plugin  config.json of Kubernetes' SR-IOV network device plugin
 *   cdi            a Container Device Interface specification, for podman, containerd and CRI-O
 *   libvirt        <hostdev> of one function, a <network> of several
 *   nova           [pci] device_spec of nova.conf
 *
 * Each is told that the function is bound already and to leave its driver alone. Pure functions of
 * what vfm_list() found.
 */
#ifndef VIADUCT_VFM_EXPORT_H
#define VIADUCT_VFM_EXPORT_H

#include "vf-manager/vfm.h"

enum vfm_export_format {
	VFM_EXPORT_DEVICE_PLUGIN,
	VFM_EXPORT_CDI,
	VFM_EXPORT_LIBVIRT,
	VFM_EXPORT_NOVA,
	VFM_EXPORT_COUNT
};

/* "device-plugin", ... Lives for ever. */
const char *vfm_export_name(enum vfm_export_format format);
/* -EINVAL with what there is. */
int vfm_export_parse(const char *name, enum vfm_export_format *ret, struct err *e);

struct vfm_export {
	enum vfm_export_format format;
	const struct vfm_function *f; /* in the order in which they are to be named */
	size_t n;
	/*
	 * What they are called together: the plugin's resource, CDI's class, libvirt's network, Nova's
	 * physical network. NULL: a name of ours; Nova's network cards have none then.
	 */
	const char *name;
	bool iommufd; /* CDI: nodes of iommufd instead of the VFIO group's */
};

/*
 * Can it be told of @f? 0, or -ENOTSUP with why not and what to do: not bound to VFIO, no network
 * card, an address that the format has no room for, a bridge.
 */
int vfm_export_check(const struct vfm_export *x, const struct vfm_function *f, struct err *e);

/*
 * Write the text into *ret (malloc'd). -ENOTSUP as above, for the first function that cannot be told
 * of, and when two share what only one can have; -EINVAL a name that the format does not allow, or
 * nothing to tell of; -ENOMEM.
 */
int vfm_export(const struct vfm_export *x, char **ret, struct err *e);

#endif
