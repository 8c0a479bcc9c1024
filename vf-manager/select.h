/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names for a function that outlive a renumbered slot:
 *   0000:3b:00.0 or 3b:00.0      its address
 *   eth0, enp59s0f0              an interface's name or alternative name
 *   mac=52:54:00:12:34:56        its interface's permanent address
 *   path=0000:00:1c.0/00.0       device.function below the bridges above it, from a root port on
 */
#ifndef VIADUCT_VFM_SELECT_H
#define VIADUCT_VFM_SELECT_H

#include "vf-manager/vfm.h"

#define VFM_SELECTOR_MAX 128

/* The syntax alone. -EINVAL with what is wrong. */
int vfm_selector_check(const char *text, struct err *e);

/* -ENODEV nothing fits, -ENOTUNIQ several do (named), -EINVAL as above. */
int vfm_select(struct vfm *v, const char *text, struct bdf *ret, struct err *e);

/* The path= form of @b; stays the same when buses are renumbered. */
int vfm_path_format(struct vfm *v, struct bdf b, char *buf, size_t size);

/*
 * Every selector that leads to @b, an address first, then names, alternative names, mac= and path=.
 * free() *ret. Their number, -ENODEV, or -ENOMEM.
 */
int vfm_selectors(struct vfm *v, struct bdf b, char (**ret)[VFM_SELECTOR_MAX]);

#endif
