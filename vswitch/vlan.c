// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>

#include "vswitch/vlan.h"

static void member_add(struct vlan_port *p, uint16_t vid)
{
	p->members[vid >> 6] |= 1ull << (vid & 63);
}

void vlan_port_access(struct vlan_port *p, uint16_t vid)
{
	*p = (struct vlan_port){.native = vid, .access = true};
	member_add(p, vid);
}

void vlan_port_trunk(struct vlan_port *p, uint16_t native)
{
	*p = (struct vlan_port){.native = native};
	if (native)
		member_add(p, native);
}

int vlan_port_add(struct vlan_port *p, uint16_t first, uint16_t last)
{
	if (!first || first > last || last > VLAN_MAX)
		return -EINVAL;
	for (uint16_t vid = first; vid <= last; vid++)
		member_add(p, vid);
	return 0;
}
