/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What would be cut off with an interface, read from /proc/net. Private to vf-manager. */
#ifndef VIADUCT_VFM_ROUTES_H
#define VIADUCT_VFM_ROUTES_H

#include "vf-manager/internal.h"

#define STACK_MAX 16

/* An interface and those that rest on it: bond, bridge, VLANs, ... */
struct iface_stack {
	size_t n;
	char name[STACK_MAX][VFM_NAME_MAX];
};

void iface_stack_read(struct vfm *v, const char *netdev, struct iface_stack *ret);

/* "the default route", "the default IPv6 route" through one of them into @buf; "" when there is none. */
void routes_default(struct vfm *v, const struct iface_stack *s, char *buf, size_t size);

/*
 * Sessions on TCP port 22 of this machine whose way back leads through one of them; *ret_seen is
 * false when the list cannot be read.
 */
unsigned routes_ssh(struct vfm *v, const struct iface_stack *s, bool *ret_seen);

#endif
