// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>

#include "vswitch/forward.h"

int forward_create(const struct fdb_config *cfg, struct forward **ret)
{
	struct forward *fw = calloc(1, sizeof(*fw));
	int r;

	if (!fw)
		return -ENOMEM;
	if (cfg->nr_ports > FORWARD_PORTS_MAX)
		r = -EINVAL;
	else
		r = fdb_create(cfg, &fw->fdb);
	if (r < 0) {
		forward_destroy(fw);
		return r;
	}
	*ret = fw;
	return 0;
}

void forward_destroy(struct forward *fw)
{
	if (!fw)
		return;
	fdb_destroy(fw->fdb);
	snoop_destroy(fw->snoop);
	free(fw);
}

void forward_port_init(struct forward_port *p)
{
	*p = (struct forward_port){.present = true};
	vlan_port_access(&p->vlan, VLAN_DEFAULT);
}

static struct verdict drop(enum drop_reason reason, uint16_t port)
{
	return (struct verdict){.kind = VERDICT_DROP, .reason = reason, .reason_port = port};
}

static inline bool meter_pass(
	const struct forward *fw, struct meter *m, uint64_t units, uint64_t now_ns)
{
	return fw->shared ? meter_take_shared(m, units, now_ns) : meter_take(m, units, now_ns);
}

/* What the frame says and whether the port may say it. Returns false with *@v filled: drop it. */
static inline bool frame_admit(const struct forward *fw, struct forward_port *p, uint16_t in,
	const struct forward_frame *ff, uint64_t now_ns, struct frame *f, struct verdict *v)
{
	enum drop_reason reason;
	uint16_t vid = 0;

	if (frame_parse(ff->bytes, ff->header_len, f) < 0) {
		*v = drop(DROP_RUNT, in);
		return false;
	}
	if (frame_cast(f->src) != FRAME_UNICAST || !f->src) {
		*v = drop(DROP_BAD_SOURCE, in);
		return false;
	}
	switch (vlan_ingress(&p->vlan, f, &vid)) {
	case VLAN_OK: break;
	case VLAN_NOT_ALLOWED:
		*v = drop(p->reserved ? DROP_MIRROR_PORT : DROP_VLAN, in);
		return false;
	case VLAN_TAGGED_ON_ACCESS: *v = drop(DROP_TAGGED, in); return false;
	}
	if (frame_reserved(f->dst)) {
		*v = drop(DROP_RESERVED, in);
		return false;
	}
	/*
	 * Behind a tag that is taken off, or none, a further one would choose the VLAN at the next
	 * switch, and hide from the guard what the frame holds.
	 */
	if (__builtin_expect(frame_type_is_tag(f->type), 0) &&
		(!f->vid || guard_active(&p->guard))) {
		*v = drop(DROP_NESTED_TAG, in);
		return false;
	}
	if (guard_active(&p->guard) &&
		guard_check(&p->guard, f, ff->bytes, ff->header_len, &reason) < 0) {
		*v = drop(reason, in);
		return false;
	}
	/* A frame to be cut up later may be longer than the bucket, which it then empties. */
	if (!meter_pass(fw, &p->police, ff->len < p->police.burst ? ff->len : p->police.burst,
		    now_ns)) {
		*v = drop(DROP_POLICED, in);
		return false;
	}
	v->vlan = vid;
	v->nested = frame_type_is_tag(f->type);
	v->tagged = f->tagged;
	v->priority_tag = f->tagged && !f->vid;
	return true;
}

static void flood_decide(const struct forward *fw, struct forward_port *p, uint16_t in,
	enum frame_cast cast, uint64_t now_ns, struct verdict *v)
{
	v->kind = VERDICT_FLOOD;
	v->cast = cast;
	v->only = NULL;
	switch (cast) {
	case FRAME_UNICAST:
		if (!meter_pass(fw, &p->storm_unknown, 1, now_ns))
			*v = drop(DROP_STORM_UNKNOWN, in);
		break;
	case FRAME_BROADCAST:
		if (!meter_pass(fw, &p->storm_broadcast, 1, now_ns))
			*v = drop(DROP_STORM_BROADCAST, in);
		break;
	case FRAME_MULTICAST:
		if (!meter_pass(fw, &p->storm_multicast, 1, now_ns))
			*v = drop(DROP_STORM_MULTICAST, in);
		break;
	}
}

/* To those who listen to the group. */
static void group_decide(struct forward *fw, uint16_t in, const struct frame *f,
	const struct forward_frame *ff, uint32_t now_s, struct verdict *v)
{
	v->only = snoop_frame(fw->snoop, in, v->vlan, f, ff->bytes, ff->header_len, now_s);
	if (v->only && port_set_empty(v->only))
		*v = drop(DROP_NO_MEMBER, in);
}

/* To a known address, on port @out. */
static void unicast_decide(
	struct forward *fw, uint16_t in, uint16_t out, uint32_t len, struct verdict *v)
{
	const struct forward_port *from = &fw->ports[in], *to = &fw->ports[out];

	if (out == in)
		*v = drop(DROP_SAME_PORT, in);
	else if (from->isolated && to->isolated)
		*v = drop(DROP_ISOLATED, in);
	/* A static entry may name a VLAN the port has since left. */
	else if (!vlan_port_has(&to->vlan, v->vlan))
		*v = drop(to->reserved ? DROP_MIRROR_PORT : DROP_VLAN, out);
	else if (__builtin_expect(v->nested, 0) && !forward_egress_tagged(fw, out, v->vlan))
		*v = drop(DROP_NESTED_TAG, in);
	else if (!forward_fits(fw, out, len, v->tagged))
		*v = drop(DROP_OVERSIZE, out);
	else {
		v->kind = VERDICT_PORT;
		v->port = out;
	}
}

/* Do two frames, both of FRAME_HEADER bytes at least, begin with the same addresses and type? */
static inline bool header_equal(const uint8_t *a, const uint8_t *b)
{
	uint64_t a0, a1, b0, b1;

	memcpy(&a0, a, 8);
	memcpy(&b0, b, 8);
	memcpy(&a1, a + FRAME_HEADER - 8, 8);
	memcpy(&b1, b + FRAME_HEADER - 8, 8);
	return !((a0 ^ b0) | (a1 ^ b1));
}

struct place {
	uint64_t src, dst;
};

/*
 * Read all headers and ask for the memory of their addresses. @like[i]: the frame whose header this
 * one has, which is parsed; itself when it has its own; n when it is not admitted. @at: where the table
 * has its addresses.
 */
static void batch_admit(struct forward *fw, uint16_t in, const struct forward_frame *frames,
	unsigned int n, uint64_t now_ns, struct frame *parsed, struct place *at, uint8_t *like,
	struct verdict *ret)
{
	struct forward_port *p = &fw->ports[in];
	/* Neither the rest of a frame nor its length is looked at. */
	bool plain = !guard_active(&p->guard) && !p->police.rate;
	unsigned int last = n;

	for (unsigned int i = 0; i < n; i++) {
		struct frame *f = &parsed[i];

		if (last < n && frames[i].header_len >= FRAME_HEADER &&
			header_equal(frames[i].bytes, frames[last].bytes)) {
			like[i] = (uint8_t)last;
			ret[i] = ret[last];
			continue;
		}
		like[i] = (uint8_t)n;
		if (!frame_admit(fw, p, in, &frames[i], now_ns, f, &ret[i]))
			continue;
		like[i] = (uint8_t)i;
		if (plain && !f->tagged)
			last = i;
		at[i].src = fdb_prefetch(fw->fdb, fdb_key(f->src, ret[i].vlan));
		at[i].dst = fdb_prefetch(fw->fdb, fdb_key(f->dst, ret[i].vlan));
	}
}

void forward_decide(struct forward *fw, uint16_t in, const struct forward_frame *frames,
	unsigned int n, uint64_t now_ns, struct verdict *ret)
{
	struct forward_port *p = &fw->ports[in];
	uint32_t now_s = (uint32_t)(now_ns / 1000000000u);
	uint64_t last_src = 0, last_dst = 0;
	struct frame parsed[FORWARD_BATCH_MAX];
	uint16_t last_out = FDB_NO_PORT;
	struct place at[FORWARD_BATCH_MAX];
	uint8_t like[FORWARD_BATCH_MAX];
	unsigned int changed = 0; /* the frame that last changed the table */

	batch_admit(fw, in, frames, n, now_ns, parsed, at, like, ret);
	for (unsigned int i = 0; i < n; i++) {
		struct verdict *v = &ret[i];
		const struct frame *f;
		uint64_t src, dst;

		if (like[i] == n)
			continue;
		/* Neighbours in a batch mostly belong to one conversation. */
		if (like[i] < i && like[i] >= changed && ret[like[i]].kind == VERDICT_PORT &&
			frames[i].wire_len == frames[like[i]].wire_len) {
			v->kind = VERDICT_PORT;
			v->port = ret[like[i]].port;
			continue;
		}
		f = &parsed[like[i]];
		src = fdb_key(f->src, v->vlan);
		dst = fdb_key(f->dst, v->vlan);
		if (src != last_src && !p->no_learning) {
			enum fdb_learned what =
				fdb_learn_at(fw->fdb, src, at[like[i]].src, in, now_s);

			if (what == FDB_REFUSED) {
				*v = drop(DROP_STATIC_MAC, in);
				continue;
			}
			if (what != FDB_KNOWN)
				changed = i;
			last_src = src;
			last_dst = 0; /* what was learned may have pushed it out */
		}
		if (frame_cast(f->dst) != FRAME_UNICAST) {
			flood_decide(fw, p, in, frame_cast(f->dst), now_ns, v);
			if (fw->snoop && v->kind == VERDICT_FLOOD && v->cast == FRAME_MULTICAST)
				group_decide(fw, in, f, &frames[i], now_s, v);
			continue;
		}
		if (dst != last_dst) {
			last_out = fdb_lookup_at(fw->fdb, dst, at[like[i]].dst);
			last_dst = dst;
		}
		if (last_out == FDB_NO_PORT)
			flood_decide(fw, p, in, FRAME_UNICAST, now_ns, v);
		else
			unicast_decide(fw, in, last_out, frames[i].wire_len, v);
	}
}

bool forward_floods(
	const struct forward *fw, uint16_t in, uint16_t out, uint16_t vlan, enum frame_cast cast)
{
	const struct forward_port *from = &fw->ports[in], *to = &fw->ports[out];

	if (out == in || !to->present || !vlan_port_has(&to->vlan, vlan) ||
		(from->isolated && to->isolated))
		return false;
	switch (cast) {
	case FRAME_UNICAST: return !to->no_unknown;
	case FRAME_BROADCAST: return !to->no_broadcast;
	case FRAME_MULTICAST: return !to->no_multicast;
	}
	return false;
}
