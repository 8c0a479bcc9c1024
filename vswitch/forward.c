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

/* What @v says of the frame's tags and VLAN stays: others may have the same header. */
static void drop(struct verdict *v, enum drop_reason reason, uint16_t port)
{
	v->kind = VERDICT_DROP;
	v->reason = reason;
	v->reason_port = port;
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

	*v = (struct verdict){0};
	if (frame_parse(ff->bytes, ff->header_len, f) < 0) {
		drop(v, DROP_RUNT, in);
		return false;
	}
	if (frame_cast(f->src) != FRAME_UNICAST || !f->src) {
		drop(v, DROP_BAD_SOURCE, in);
		return false;
	}
	switch (vlan_ingress(&p->vlan, f, &vid)) {
	case VLAN_OK: break;
	case VLAN_NOT_ALLOWED:
		drop(v, p->reserved ? DROP_MIRROR_PORT : DROP_VLAN, in);
		return false;
	case VLAN_TAGGED_ON_ACCESS: drop(v, DROP_TAGGED, in); return false;
	}
	if (frame_reserved(f->dst)) {
		drop(v, DROP_RESERVED, in);
		return false;
	}
	/*
	 * Behind a tag that is taken off, or none, a further one would choose the VLAN at the next
	 * switch, and hide from the guard what the frame holds.
	 */
	if (__builtin_expect(frame_type_is_tag(f->type), 0) &&
		(!f->vid || guard_active(&p->guard))) {
		drop(v, DROP_NESTED_TAG, in);
		return false;
	}
	if (guard_active(&p->guard) &&
		guard_check(&p->guard, f, ff->bytes, ff->header_len, &reason) < 0) {
		drop(v, reason, in);
		return false;
	}
	/* A frame to be cut up later may be longer than the bucket, which it then empties. */
	if (!meter_pass(fw, &p->police, ff->len < p->police.burst ? ff->len : p->police.burst,
		    now_ns)) {
		drop(v, DROP_POLICED, in);
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
			drop(v, DROP_STORM_UNKNOWN, in);
		break;
	case FRAME_BROADCAST:
		if (!meter_pass(fw, &p->storm_broadcast, 1, now_ns))
			drop(v, DROP_STORM_BROADCAST, in);
		break;
	case FRAME_MULTICAST:
		if (!meter_pass(fw, &p->storm_multicast, 1, now_ns))
			drop(v, DROP_STORM_MULTICAST, in);
		break;
	}
}

/* To those who listen to the group. */
static void group_decide(struct forward *fw, uint16_t in, const struct frame *f,
	const struct forward_frame *ff, uint32_t now_s, struct verdict *v)
{
	v->only = snoop_frame(fw->snoop, in, v->vlan, f, ff->bytes, ff->header_len, now_s);
	if (v->only && port_set_empty(v->only))
		drop(v, DROP_NO_MEMBER, in);
}

/* To a known address, on port @out. */
static void unicast_decide(
	struct forward *fw, uint16_t in, uint16_t out, uint32_t len, struct verdict *v)
{
	const struct forward_port *from = &fw->ports[in], *to = &fw->ports[out];

	if (out == in)
		drop(v, DROP_SAME_PORT, in);
	else if (from->isolated && to->isolated)
		drop(v, DROP_ISOLATED, in);
	/* A static entry may name a VLAN the port has since left. */
	else if (!vlan_port_has(&to->vlan, v->vlan))
		drop(v, to->reserved ? DROP_MIRROR_PORT : DROP_VLAN, out);
	else if (__builtin_expect(v->nested, 0) && !forward_egress_tagged(fw, out, v->vlan))
		drop(v, DROP_NESTED_TAG, in);
	else if (!forward_fits(fw, out, len, v->tagged))
		drop(v, DROP_OVERSIZE, out);
	else {
		v->kind = VERDICT_PORT;
		v->port = out;
	}
}

/* The addresses and type of a frame, to compare. */
struct head {
	uint64_t first, last;
};

/* @bytes are FRAME_HEADER at least. */
static inline struct head head_read(const uint8_t *bytes)
{
	struct head h;

	memcpy(&h.first, bytes, 8);
	memcpy(&h.last, bytes + FRAME_HEADER - 8, 8);
	return h;
}

static inline bool head_equal(struct head a, struct head b)
{
	return !((a.first ^ b.first) | (a.last ^ b.last));
}

/* A header, its addresses as keys, and where the table has them. */
struct admitted {
	struct frame f;
	uint64_t src, dst;
	uint64_t src_at, dst_at;
};

/*
 * Read all headers and ask for the memory of their addresses. @like[i]: the frame whose header this
 * one has, of which alone there are @admitted[] and @ret[]; itself when it has its own; n when it is not
 * admitted.
 */
static void batch_admit(struct forward *fw, uint16_t in, const struct forward_frame *frames,
	unsigned int n, uint64_t now_ns, struct admitted *admitted, uint8_t *like,
	struct verdict *ret)
{
	struct forward_port *p = &fw->ports[in];
	/* Neither the rest of a frame nor its length is looked at. */
	bool plain = !guard_active(&p->guard) && !p->police.rate;
	struct head last_head = {0};
	unsigned int last = n;

	for (unsigned int i = 0; i < n; i++) {
		struct admitted *a = &admitted[i];

		if (last < n && frames[i].header_len >= FRAME_HEADER &&
			head_equal(head_read(frames[i].bytes), last_head)) {
			like[i] = (uint8_t)last;
			continue;
		}
		like[i] = (uint8_t)n;
		if (!frame_admit(fw, p, in, &frames[i], now_ns, &a->f, &ret[i]))
			continue;
		like[i] = (uint8_t)i;
		if (plain && !a->f.tagged) {
			last = i;
			last_head = head_read(frames[i].bytes);
		}
		a->src = fdb_key(a->f.src, ret[i].vlan);
		a->dst = fdb_key(a->f.dst, ret[i].vlan);
		a->src_at = fdb_prefetch(fw->fdb, a->src);
		a->dst_at = fdb_prefetch(fw->fdb, a->dst);
	}
}

/*
 * The frames behind the first, of @n, that have its header and length go where @v, its verdict, says.
 * Returns how many.
 */
static inline unsigned int run_decide(
	const struct forward_frame *frames, const uint8_t *like, unsigned int n, struct verdict *v)
{
	const struct verdict first = *v;
	unsigned int i = 1;

	for (; i < n && like[i] == like[0] && frames[i].wire_len == frames[0].wire_len; i++)
		v[i] = first;
	return i - 1;
}

void forward_decide(struct forward *fw, uint16_t in, const struct forward_frame *frames,
	unsigned int n, uint64_t now_ns, struct verdict *ret)
{
	struct forward_port *p = &fw->ports[in];
	uint32_t now_s = (uint32_t)(now_ns / 1000000000u);
	uint64_t last_src = 0, last_dst = 0;
	struct admitted admitted[FORWARD_BATCH_MAX];
	uint16_t last_out = FDB_NO_PORT;
	uint8_t like[FORWARD_BATCH_MAX];

	batch_admit(fw, in, frames, n, now_ns, admitted, like, ret);
	for (unsigned int i = 0; i < n; i++) {
		const struct admitted *a = &admitted[like[i]];
		struct verdict *v = &ret[i];

		if (like[i] == n)
			continue;
		if (like[i] < i)
			*v = ret[like[i]];
		if (a->src != last_src && !p->no_learning) {
			enum fdb_learned what = fdb_learn_at(fw->fdb, a->src, a->src_at, in, now_s);

			if (what == FDB_REFUSED) {
				drop(v, DROP_STATIC_MAC, in);
				continue;
			}
			last_src = a->src;
			last_dst = 0; /* what was learned may have pushed it out */
		}
		if (frame_cast(a->f.dst) != FRAME_UNICAST) {
			flood_decide(fw, p, in, frame_cast(a->f.dst), now_ns, v);
			if (fw->snoop && v->kind == VERDICT_FLOOD && v->cast == FRAME_MULTICAST)
				group_decide(fw, in, &a->f, &frames[i], now_s, v);
			continue;
		}
		if (a->dst != last_dst) {
			last_out = fdb_lookup_at(fw->fdb, a->dst, a->dst_at);
			last_dst = a->dst;
		}
		if (last_out == FDB_NO_PORT) {
			flood_decide(fw, p, in, FRAME_UNICAST, now_ns, v);
			continue;
		}
		unicast_decide(fw, in, last_out, frames[i].wire_len, v);
		/* Neighbours in a batch mostly belong to one conversation. */
		if (v->kind == VERDICT_PORT)
			i += run_decide(&frames[i], &like[i], n - i, v);
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
