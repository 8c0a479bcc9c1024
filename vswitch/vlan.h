/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which VLANs a port takes part in and which of them it carries with a tag. IEEE 802.1Q §6.9. */
#ifndef VIADUCT_VSWITCH_VLAN_H
#define VIADUCT_VSWITCH_VLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "vswitch/frame.h"

#define VLAN_DEFAULT 1
#define VLAN_MAX     4094 /* 0 means priority only, 4095 is reserved */

/*
 * Untagged frames belong to @native; 0 = they are not taken. Members other than the native one are
 * carried tagged. An access port is one whose only member is its native VLAN.
 */
struct vlan_port {
	uint16_t native;
	bool access;
	uint64_t members[64];
};

enum vlan_verdict { VLAN_OK, VLAN_NOT_ALLOWED, VLAN_TAGGED_ON_ACCESS };

/* An access port of @vid, [1, VLAN_MAX]. */
void vlan_port_access(struct vlan_port *p, uint16_t vid);

/* A trunk without members; @native as above. */
void vlan_port_trunk(struct vlan_port *p, uint16_t native);

/* Add VLANs [@first, @last + 1) to a trunk. Returns 0 or -EINVAL (outside [1, VLAN_MAX]). */
int vlan_port_add(struct vlan_port *p, uint16_t first, uint16_t last);

static inline bool vlan_port_has(const struct vlan_port *p, uint16_t vid)
{
	return p->members[vid >> 6 & 63] >> (vid & 63) & 1;
}

/* The VLAN of a frame that came in at @p. */
static inline enum vlan_verdict vlan_ingress(
	const struct vlan_port *p, const struct frame *f, uint16_t *ret_vid)
{
	uint16_t vid = f->vid ? f->vid : p->native;

	if (f->vid && p->access)
		return VLAN_TAGGED_ON_ACCESS;
	if (!vid || !vlan_port_has(p, vid))
		return VLAN_NOT_ALLOWED;
	*ret_vid = vid;
	return VLAN_OK;
}

static inline bool vlan_egress_tagged(const struct vlan_port *p, uint16_t vid)
{
	return vid != p->native;
}

#endif
