/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IGMP (RFC 1112, 2236, 3376) and MLD (RFC 2710, 3810) snooping, as RFC 4541 wants it: which ports of a
 * VLAN listen to which multicast group, learned from the reports of stations, and which have routers
 * behind them, learned from queries. A group somebody listens to goes to its listeners and the routers;
 * others are flooded or, if so configured, go to routers only. Reports go to routers only. Groups of the
 * link itself (224.0.0.0/24, ff02::/16) and what is no IP are flooded. Sources are not told apart.
 *
 * A port has a share of the table of its own, so a guest that joins everything keeps nobody out.
 * Any datapath thread may call snoop_frame(); it locks. Times are those of forward_decide().
 */
#ifndef VIADUCT_VSWITCH_SNOOP_H
#define VIADUCT_VSWITCH_SNOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "vswitch/frame.h"
#include "vswitch/port_set.h"

#define SNOOP_RECORDS_MAX   16384 /* memberships and router ports of all ports */
#define SNOOP_LIMIT_DEFAULT 64
#define SNOOP_LIMIT_MAX     1024
#define SNOOP_AGEING_S      260 /* RFC 2236 §8.4: 2 * 125 + 10 */
#define SNOOP_LAST_S        2   /* RFC 2236 §8.8: until who else listens has answered */

enum snoop_router { SNOOP_ROUTER_AUTO, SNOOP_ROUTER_NEVER, SNOOP_ROUTER_ALWAYS };

struct snoop_port {
	enum snoop_router router; /* is a router behind it? AUTO: when queries come in */
	bool fast_leave;          /* one station only: who leaves is gone at once */
	uint16_t limit;           /* entries; 0 = SNOOP_LIMIT_DEFAULT */
};

struct snoop_config {
	bool enabled;
	bool drop_unregistered;
	uint32_t ageing_s; /* 0 = SNOOP_AGEING_S */
	uint64_t seed;     /* random, so that nobody can aim at one bucket */
};

struct snoop_entry {
	uint16_t vlan;
	uint16_t port;
	bool router;       /* no group: a router is behind the port */
	uint8_t group[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint32_t left_s;   /* until it is forgotten */
};

struct snoop_port_stats {
	uint64_t joins, leaves, queries;
	uint64_t malformed; /* messages that are none */
	uint64_t refused;   /* joins over the port's limit */
	uint32_t entries;
};

struct snoop;

/* Returns 0 or -ENOMEM. The caller owns *@ret: snoop_destroy(). */
int snoop_create(const struct snoop_config *cfg, struct snoop **ret);
void snoop_destroy(struct snoop *s);

/* The datapath is paused: @port is new or changed, or gone with all that was learned of it. */
void snoop_port_set(struct snoop *s, uint16_t port, const struct snoop_port *cfg);
void snoop_port_remove(struct snoop *s, uint16_t port);

/*
 * Where a multicast frame of @vlan goes that came in at @port; @bytes are its first @len. Learns from it.
 * Returns the ports, which live as long as the caller's burst of frames, or NULL: flood it.
 */
const struct port_set *snoop_frame(struct snoop *s, uint16_t port, uint16_t vlan,
	const struct frame *f, const uint8_t *bytes, uint32_t len, uint32_t now_s);

/* Forget what has not been heard of for the ageing time. Returns how many entries. */
uint32_t snoop_age(struct snoop *s, uint32_t now_s);

/* Walk, paused: start with *@cursor 0; false at the end. */
bool snoop_next(const struct snoop *s, uint32_t *cursor, uint32_t now_s, struct snoop_entry *ret);
void snoop_stats_get(const struct snoop *s, uint16_t port, struct snoop_port_stats *ret);

#endif
