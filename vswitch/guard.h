/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a port may claim to be: its addresses, and whether it may act as a DHCP server or a router.
 * No controller is asked; the list is the port's configuration.
 */
#ifndef VIADUCT_VSWITCH_GUARD_H
#define VIADUCT_VSWITCH_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "vswitch/counters.h"
#include "vswitch/frame.h"

#define GUARD_LIST_MAX 16

struct guard {
	/* Empty: any address may be used. Set: only these, and in ARP and ND too. */
	uint64_t mac[GUARD_LIST_MAX];
	uint32_t ipv4[GUARD_LIST_MAX]; /* host order */
	uint8_t ipv6[GUARD_LIST_MAX][16];
	uint8_t nr_mac, nr_ipv4, nr_ipv6;
	bool no_dhcp_server, no_router;
};

/* Is there anything to check? */
static inline bool guard_active(const struct guard *g)
{
	return g->nr_mac || g->nr_ipv4 || g->nr_ipv6 || g->no_dhcp_server || g->no_router;
}

/*
 * Check the first @len bytes of a frame whose Ethernet header is @f.
 * Returns 0, or -EACCES with the reason in *@ret_reason.
 */
int guard_check(const struct guard *g, const struct frame *f, const uint8_t *bytes, uint32_t len,
	enum drop_reason *ret_reason);

#endif
