// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "vswitch/forward.h"

static void meter_keep(const struct meter *from, struct meter *to)
{
	if (from->rate == to->rate && from->burst == to->burst)
		*to = *from;
}

static bool guard_allows(const struct guard *g, uint64_t mac)
{
	for (unsigned int i = 0; i < g->nr_mac; i++)
		if (g->mac[i] == mac)
			return true;
	return !g->nr_mac;
}

/* Entries that would draw frames to where they are dropped, or to who has no right to them. */
static void entries_forget(struct fdb *fdb, uint16_t no, const struct forward_port *to)
{
	struct fdb_entry entry;
	size_t cursor = 0;

	while (fdb_next(fdb, &cursor, &entry))
		if (entry.port == no &&
			(!vlan_port_has(&to->vlan, entry.vlan) ||
				(!entry.is_static && !guard_allows(&to->guard, entry.mac))))
			fdb_remove(fdb, fdb_key(entry.mac, entry.vlan));
}

void forward_port_set(struct forward *fw, uint16_t no, const struct forward_port *to)
{
	struct forward_port *p = &fw->ports[no], from = *p;

	*p = *to;
	meter_keep(&from.police, &p->police);
	meter_keep(&from.storm_broadcast, &p->storm_broadcast);
	meter_keep(&from.storm_multicast, &p->storm_multicast);
	meter_keep(&from.storm_unknown, &p->storm_unknown);
	if (memcmp(&from.vlan.members, &to->vlan.members, sizeof(to->vlan.members)) ||
		memcmp(&from.guard.mac, &to->guard.mac, sizeof(to->guard.mac)))
		entries_forget(fw->fdb, no, to);
}
