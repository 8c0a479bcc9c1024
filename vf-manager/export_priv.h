/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What export.c and its formats share. */
#ifndef VIADUCT_VFM_EXPORT_PRIV_H
#define VIADUCT_VFM_EXPORT_PRIV_H

#include <stdio.h>

#include "vf-manager/export.h"

struct export_format {
	const char *name;
	bool needs_vfio; /* a driver of the host is of no use to it */
	const char *default_name;
	/* What the format has no room for in @f; the caller has looked at the driver. */
	int (*check)(const struct vfm_export *x, const struct vfm_function *f, struct err *e);
	/* The same of the name. */
	int (*check_name)(const char *name, struct err *e);
	int (*write)(const struct vfm_export *x, const char *name, FILE *out, struct err *e);
};

extern const struct export_format export_device_plugin, export_cdi, export_libvirt, export_nova;

/* Base classes: PCI Code and ID Assignment 1.11 §1. */
#define CLASS_NETWORK     0x02
#define CLASS_BRIDGE      0x06
#define CLASS_ACCELERATOR 0x12

static inline unsigned class_of(const struct vfm_function *f)
{
	return f->class >> 16;
}

/* Letters, digits and what is in @also; begins with a letter or digit. */
int export_name_check(const char *name, const char *also, const char *what, struct err *e);
/* Domains of more than 16 bits are VMD's; not every format has room for them. */
int export_domain_check(const struct vfm_function *f, const char *who, struct err *e);

#endif
