/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where frames go. A batch that came in at one port is decided upon by its bytes and the port's
 * number; nothing here knows what holds the bytes or how a port sends them. For each frame the answer
 * is one port, all ports of its VLAN (ask forward_floods() for each), or a reason to drop it.
 *
 * Several threads may decide at once, if @shared says so. Ports change while none of them does.
 */
#ifndef VIADUCT_VSWITCH_FORWARD_H
#define VIADUCT_VSWITCH_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vswitch/counters.h"
#include "vswitch/fdb.h"
#include "vswitch/guard.h"
#include "vswitch/meter.h"
#include "vswitch/port_set.h"
#include "vswitch/snoop.h"
#include "vswitch/vlan.h"

#define FORWARD_PORTS_MAX PORT_SET_MAX
#define FORWARD_BATCH_MAX 64

struct forward_port {
	bool present;
	bool isolated; /* no frames to and from other isolated ports */
	bool no_learning;
	bool reserved; /* a mirror's own: in no VLAN, whatever its configuration says */
	bool no_unknown, no_broadcast, no_multicast; /* do not flood these to it */
	uint32_t mtu; /* of what is behind the Ethernet header and tag, in bytes; 0 = any */
	struct vlan_port vlan;
	struct snoop_port mcast;
	struct guard guard;
	struct meter police;                                          /* bytes */
	struct meter storm_broadcast, storm_multicast, storm_unknown; /* frames */
};

enum verdict_kind { VERDICT_PORT, VERDICT_FLOOD, VERDICT_DROP };

/* Up to @reason_port it says which way a frame goes, see verdict_way(). */
struct verdict {
	uint8_t kind;      /* enum verdict_kind */
	bool tagged;       /* as it came in; see forward_egress_tagged() */
	bool nested;       /* there is another tag: the first is never taken off */
	bool priority_tag; /* its tag names no VLAN: take it off first */
	uint16_t vlan;
	union {
		uint16_t port;   /* VERDICT_PORT */
		uint16_t cast;   /* VERDICT_FLOOD: enum frame_cast; FRAME_UNICAST = unknown */
		uint16_t reason; /* VERDICT_DROP: enum drop_reason; counted at @reason_port */
	};
	uint16_t reason_port;
	const struct port_set *only; /* VERDICT_FLOOD: no others; NULL = any */
};

_Static_assert(offsetof(struct verdict, reason_port) == sizeof(uint64_t), "a way is one word");

/*
 * The same number of two frames with VERDICT_PORT: whatever is done to the one because of where it goes
 * is to be done to the other. Never VERDICT_NO_WAY.
 */
static inline uint64_t verdict_way(const struct verdict *v)
{
	uint64_t way;

	memcpy(&way, v, sizeof(way));
	return way;
}

#define VERDICT_NO_WAY UINT64_MAX /* no such kind */

struct forward_frame {
	const uint8_t *bytes; /* the first @header_len of it */
	uint32_t header_len;
	uint32_t len;
	uint32_t wire_len; /* of the longest frame it is cut into for a wire; @len if it is not */
};

struct forward {
	struct fdb *fdb;
	struct snoop *snoop; /* NULL: multicast is flooded */
	bool shared;         /* by several threads */
	struct forward_port ports[FORWARD_PORTS_MAX];
};

/* Returns 0, -EINVAL or -ENOMEM. The caller owns *@ret: forward_destroy(). */
int forward_create(const struct fdb_config *fdb, struct forward **ret);
void forward_destroy(struct forward *fw);

/* A port as it is without configuration: access port of VLAN_DEFAULT, no limits. */
void forward_port_init(struct forward_port *p);

/*
 * Port @no becomes @to. What need not be forgotten is not: learned addresses stay but those in VLANs
 * the port has left and those it may not have any more, static ones go only with their VLAN, and a
 * meter whose rate stays goes on where it was.
 */
void forward_port_set(struct forward *fw, uint16_t no, const struct forward_port *to);

/*
 * Decide on @n frames, at most FORWARD_BATCH_MAX, that came in at @in, and learn from them.
 * @now_ns is monotonic. Fills @ret[0..n).
 */
void forward_decide(struct forward *fw, uint16_t in, const struct forward_frame *frames,
	unsigned int n, uint64_t now_ns, struct verdict *ret);

/* Does a frame from @in that is flooded, see VERDICT_FLOOD, go to @out? */
bool forward_floods(
	const struct forward *fw, uint16_t in, uint16_t out, uint16_t vlan, enum frame_cast cast);

/* Does a frame from @in with the verdict @v, which is VERDICT_FLOOD, go to @out? */
static inline bool forward_reaches(
	const struct forward *fw, uint16_t in, uint16_t out, const struct verdict *v)
{
	return (!v->only || port_set_has(v->only, out)) &&
	       !(v->nested && !vlan_egress_tagged(&fw->ports[out].vlan, v->vlan)) &&
	       forward_floods(fw, in, out, v->vlan, v->cast);
}

/* Does @vlan leave @out with a tag? */
static inline bool forward_egress_tagged(const struct forward *fw, uint16_t out, uint16_t vlan)
{
	return vlan_egress_tagged(&fw->ports[out].vlan, vlan);
}

/* May a frame of @len bytes, @tagged or not, leave by @out? */
static inline bool forward_fits(const struct forward *fw, uint16_t out, uint32_t len, bool tagged)
{
	uint32_t mtu = fw->ports[out].mtu;

	return !mtu || len <= mtu + FRAME_HEADER + (tagged ? FRAME_TAG : 0);
}

#endif
