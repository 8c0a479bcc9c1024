/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What rtnetlink knows of an interface beyond its VFs: the names it answers to, its own address. */
#ifndef VIADUCT_VFM_LINKINFO_H
#define VIADUCT_VFM_LINKINFO_H

#include "vf-manager/internal.h"

#define LINK_NAME_MAX 128 /* ALTIFNAMSIZ of <linux/if.h> */
#define LINK_ALT_MAX  16  /* alternative names kept; the kernel allows more */

struct link_info {
	uint8_t permanent[6]; /* all zero: it has none, or the kernel is older than 5.6 */
	unsigned n_alt;
	char alt[LINK_ALT_MAX][LINK_NAME_MAX]; /* printable, no blanks */
};

/* 0, or -errno: -EOPNOTSUPP without rtnetlink (another root), -ENODEV no such interface. */
int link_info_get(struct vfm *v, int ifindex, struct link_info *ret);

/* The answer as bytes, which are hostile. 0, the errno in it, or -EBADMSG. */
int link_info_decode(const void *reply, size_t len, int ifindex, struct link_info *ret);

#endif
