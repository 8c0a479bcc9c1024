/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a PCI function can do, read from its config space: the capabilities that matter to SR-IOV and
 * to isolation. Without root the kernel shows the first 64 bytes only; what could not be seen is
 * "unknown", never "no".
 */
#ifndef VIADUCT_VFM_CAPS_H
#define VIADUCT_VFM_CAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bdf.h"
#include "vf-manager/vfm.h"

enum vfm_tri { VFM_NO, VFM_YES, VFM_UNKNOWN };

/* PCIe 5.0 §7.5.3.2, device/port type, and what is no PCI Express function. */
enum vfm_port_type {
	VFM_PORT_ENDPOINT,
	VFM_PORT_ROOT,       /* root port */
	VFM_PORT_UPSTREAM,   /* of a switch */
	VFM_PORT_DOWNSTREAM, /* of a switch */
	VFM_PORT_TO_PCI,     /* PCI Express to conventional PCI bridge */
	VFM_PORT_FROM_PCI,
	VFM_PORT_INTEGRATED, /* root complex integrated endpoint */
	VFM_PORT_CONVENTIONAL,
	VFM_PORT_UNKNOWN
};

#define VFM_RESETS_MAX 96

struct vfm_caps {
	bool extended_seen; /* config space was readable beyond 256 bytes */
	enum vfm_port_type port;
	bool bridge; /* header type 1 */
	bool multifunction;
	enum vfm_tri sriov;
	uint16_t total_vfs, initial_vfs, vf_offset, vf_stride, vf_device;
	bool vf_ari_hierarchy;           /* SR-IOV control: ARI capable hierarchy */
	enum vfm_tri ari;                /* the function's ARI capability */
	enum vfm_tri ari_forwarding_cap; /* a port's: it could */
	enum vfm_tri ari_forwarding;     /* ... and it is enabled in device control 2 */
	enum vfm_tri acs;
	uint16_t acs_cap, acs_ctl; /* PCI_ACS_* bits, valid with acs == VFM_YES */
	enum vfm_tri flr;
	char resets[VFM_RESETS_MAX];      /* the kernel's reset_method, "" = none or unknown */
	unsigned msi, msix;               /* vectors, 0 = none */
	int vf_total_msix, vf_msix_count; /* sysfs; -1 = the driver does not say */
};

/*
 * Read the first @len bytes of a config space, which are hostile: chains may loop or lead out of it.
 * Fills all but resets, vf_total_msix and vf_msix_count, which only sysfs knows. What lies behind a
 * damaged link or beyond @len is unknown.
 */
void vfm_caps_decode(const void *config, size_t len, struct vfm_caps *ret);

/* -ENODEV no such function. What cannot be read stays unknown. */
int vfm_caps(struct vfm *v, struct bdf b, struct vfm_caps *ret, struct err *e);

/*
 * Where a device with the capability @f puts VF @index of @pf, whether or not it is there: -ENODATA
 * offset or stride is unknown, -ERANGE beyond the last bus.
 */
int vfm_caps_vf(const struct vfm_caps *f, struct bdf pf, unsigned index, struct bdf *ret);

/*
 * The address VF @index of @pf has or would have (PCIe 5.0 §9.3.3.9, offset and stride; a device may
 * change both with the number of VFs). -ENODEV no such function, -ENOTSUP no PF, -ENODATA offset and
 * stride cannot be read, -ERANGE more than it has, or beyond the last bus.
 */
int vfm_predict(struct vfm *v, struct bdf pf, unsigned index, struct bdf *ret, struct err *e);

/* The same by capabilities that were read before: where it would be. Same errors, but for -ENODEV. */
int vfm_predict_by(
	const struct vfm_caps *f, struct bdf pf, unsigned index, struct bdf *ret, struct err *e);

#endif
