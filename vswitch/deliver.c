// SPDX-License-Identifier: GPL-2.0-or-later
/* What a datapath thread does with frames that came in: decide, stage, copy, finish, send, count. */
#include <errno.h>
#include <string.h>

#include "vswitch/egress.h"
#include "vswitch/flow.h"
#include "vswitch/offload_mbuf.h"
#include "vswitch/shaper.h"
#include "vswitch/worker.h"

/* Behind ours: it defines container_of() unless somebody has. */
#include <rte_cycles.h>
#include <rte_mbuf.h>

void worker_drop(struct worker *w, struct port *p, enum drop_reason reason, uint64_t n)
{
	counter_add(&w->ports[p->no].counters.drops[reason], n);
}

/* The first live one; 0 where nothing is live and nothing is taken. */
static uint16_t first_queue(const struct port *p)
{
	uint32_t live = atomic_load_explicit(&p->tx_live, memory_order_acquire);

	return live ? (uint16_t)__builtin_ctz(live) : 0;
}

void worker_tx_queues_take(struct worker *w, const struct port *p)
{
	uint32_t live = atomic_load_explicit(&p->tx_live, memory_order_acquire);
	unsigned int n = (unsigned int)__builtin_popcount(live), i = 0;
	struct worker_port *wp = &w->ports[p->no];

	wp->nr_tx_queues = 0;
	for (; live; live &= live - 1, i++)
		/* With more threads than queues some share one. */
		if (i % w->dp->nr_workers == w->no || i == w->no % n)
			wp->tx_queues[wp->nr_tx_queues++] = (uint8_t)__builtin_ctz(live);
	if (!wp->nr_tx_queues)
		wp->tx_queues[0] = 0;
}

static uint16_t queue_of(const struct worker *w, const struct port *p, const struct rte_mbuf *m)
{
	const struct worker_port *wp = &w->ports[p->no];
	uint32_t hash;

	/* What waits for its rate is sent by any thread: by one queue, to keep its order. */
	if (p->shaped)
		return first_queue(p);
	if (wp->nr_tx_queues <= 1)
		return wp->tx_queues[0];
	hash = flow_hash(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
	return wp->tx_queues[(uint64_t)hash * wp->nr_tx_queues >> 32];
}

/*
 * Several threads may send to one queue, and may for a moment while the number of live ones changes.
 * Nobody waits for a lock that has no other taker, and one thread alone takes none.
 */
static void queue_lock(struct worker *w, struct port *p, uint16_t queue)
{
	if (w->dp->nr_workers > 1)
		pthread_spin_lock(&w->dp->tx[p->no][queue].lock);
}

static void queue_unlock(struct worker *w, struct port *p, uint16_t queue)
{
	if (w->dp->nr_workers > 1)
		pthread_spin_unlock(&w->dp->tx[p->no][queue].lock);
}

static void send_count(struct worker *w, struct port *p, uint16_t n, uint16_t sent, uint64_t bytes)
{
	struct port_counters *c = &w->ports[p->no].counters;
	const char *why;

	counter_add(&c->tx_packets, sent);
	counter_add(&c->tx_bytes, bytes);
	if (sent < n)
		worker_drop(w, p, p->ops->up(p, &why) ? DROP_TX_FULL : DROP_PORT_DOWN, n - sent);
}

static void frames_send_by(
	struct worker *w, struct port *p, uint16_t queue, struct rte_mbuf **m, uint16_t n)
{
	uint32_t bytes[PORT_BURST + 1]; /* of those before: they are gone when we know how many */
	uint32_t sum = 0;
	uint16_t sent;

	bytes[0] = 0;
	for (uint16_t i = 0; i < n; i++) {
		sum += m[i]->pkt_len;
		bytes[i + 1] = sum;
	}
	queue_lock(w, p, queue);
	sent = p->ops->tx(p, queue, m, n);
	queue_unlock(w, p, queue);
	send_count(w, p, n, sent, bytes[sent]);
}

/* By as many queues as the guest has given us, those of a flow by one. */
static void frames_spread(struct worker *w, struct port *p, struct rte_mbuf **m, uint16_t n)
{
	const struct worker_port *wp = &w->ports[p->no];
	struct rte_mbuf *part[PORT_BURST];
	uint16_t queue[PORT_BURST];

	for (uint16_t i = 0; i < n; i++)
		queue[i] = queue_of(w, p, m[i]);
	for (unsigned int q = 0; q < wp->nr_tx_queues; q++) {
		uint16_t k = 0;

		for (uint16_t i = 0; i < n; i++)
			if (queue[i] == wp->tx_queues[q])
				part[k++] = m[i];
		if (k)
			frames_send_by(w, p, wp->tx_queues[q], part, k);
	}
}

static void frames_send(struct worker *w, struct port *p, struct rte_mbuf **m, uint16_t n)
{
	const struct worker_port *wp = &w->ports[p->no];

	if (__builtin_expect(p->tapped & MIRROR_OUT, 0))
		taps_see(w, p, MIRROR_OUT, m, n);
	if (wp->nr_tx_queues > 1 && !p->shaped)
		frames_spread(w, p, m, n);
	else
		frames_send_by(w, p, queue_of(w, p, m[0]), m, n);
}

static void stage_flush(struct worker *w, struct port *p)
{
	struct worker_port *wp = &w->ports[p->no];
	uint16_t n = wp->staged;

	if (!n)
		return;
	wp->staged = 0;
	if (p->shaped)
		egress_push(w, p, wp->stage, n, w->now_ns, frames_send);
	else
		frames_send(w, p, wp->stage, n);
}

void worker_send_copy(struct worker *w, struct port *p, struct rte_mbuf *m)
{
	uint16_t queue = queue_of(w, p, m), sent;

	queue_lock(w, p, queue);
	sent = p->ops->tx_copy(p, queue, m);
	queue_unlock(w, p, queue);
	send_count(w, p, 1, sent, sent ? m->pkt_len : 0);
}

/* Send what @m holds and leave it as it is. */
static void frame_send_copy(struct worker *w, struct port *p, struct rte_mbuf *m)
{
	/* What is staged for it came earlier. */
	stage_flush(w, p);
	if (p->shaped) {
		struct rte_mbuf *copy = mbuf_copy(m, w->dp->pool);

		if (copy)
			egress_push(w, p, &copy, 1, w->now_ns, frames_send);
		else
			worker_drop(w, p, DROP_NO_MEMORY, 1);
		return;
	}
	if (__builtin_expect(p->tapped & MIRROR_OUT, 0))
		taps_see(w, p, MIRROR_OUT, &m, 1);
	worker_send_copy(w, p, m);
}

/* @wp, which is @p's, is listed. */
static inline void stage_put(
	struct worker *w, struct port *p, struct worker_port *wp, struct rte_mbuf *m)
{
	wp->stage[wp->staged++] = m;
	if (wp->staged == PORT_BURST)
		stage_flush(w, p);
}

static void stage_add(struct worker *w, struct port *p, struct rte_mbuf *m)
{
	struct worker_port *wp = &w->ports[p->no];

	if (!wp->listed) {
		wp->listed = true;
		w->touched[w->nr_touched++] = p;
	}
	stage_put(w, p, wp, m);
}

/* Both change the frame in place; it is ours alone. */
static bool tag_remove(struct rte_mbuf *m)
{
	uint8_t *b = rte_pktmbuf_mtod(m, uint8_t *);

	memmove(b + FRAME_TAG, b, 12);
	if (mbuf_needs(m))
		offload_shift(mbuf_offload(m), -FRAME_TAG);
	return rte_pktmbuf_adj(m, FRAME_TAG) != NULL;
}

bool worker_tag_insert(struct rte_mbuf *m, uint16_t vlan)
{
	uint8_t *b = (uint8_t *)rte_pktmbuf_prepend(m, FRAME_TAG);

	if (!b)
		return false;
	memmove(b, b + FRAME_TAG, 12);
	b[12] = FRAME_TYPE_VLAN >> 8;
	b[13] = FRAME_TYPE_VLAN & 255;
	b[14] = (uint8_t)(vlan >> 8);
	b[15] = (uint8_t)vlan;
	if (mbuf_needs(m))
		offload_shift(mbuf_offload(m), FRAME_TAG);
	return true;
}

static bool tag_convert(struct rte_mbuf *m, bool from, bool to, uint16_t vlan)
{
	if (from == to)
		return true;
	return to ? worker_tag_insert(m, vlan) : tag_remove(m);
}

static uint32_t frame_wire_len(struct rte_mbuf *m)
{
	return mbuf_needs(m) ? offload_wire_len(mbuf_offload(m), m->pkt_len) : m->pkt_len;
}

static bool needs_cutting(struct rte_mbuf *m)
{
	return mbuf_needs(m) & (OFFLOAD_TSO4 | OFFLOAD_TSO6);
}

static void flood_one(struct worker *w, struct port *p, struct rte_mbuf *m, bool tagged)
{
	if (!forward_fits(w->dp->fw, p->no, frame_wire_len(m), tagged)) {
		worker_drop(w, p, DROP_OVERSIZE, 1);
		return;
	}
	frame_send_copy(w, p, m);
}

/*
 * To all ports the frame floods to that take @needs as it is, or (@whole) to all that do not and for
 * which it has been made whole. Two passes: those who want it in the form of *@tagged, then the
 * others, which leaves it in theirs. Returns to how many, or -1 when a tag could not be put in.
 */
static int flood_to(struct worker *w, struct port *in, struct rte_mbuf *m, const struct verdict *v,
	bool *tagged, uint32_t needs, bool whole)
{
	bool first = *tagged;
	int reached = 0;

	for (unsigned int pass = 0; pass < 2; pass++) {
		bool form = pass ? !first : first;

		for (unsigned int i = 0; i < w->dp->nr_active; i++) {
			struct port *p = w->dp->active[i];

			if (!(needs & ~p->takes) == whole ||
				!forward_reaches(w->dp->fw, in->no, p->no, v) ||
				forward_egress_tagged(w->dp->fw, p->no, v->vlan) != form)
				continue;
			if (!tag_convert(m, *tagged, form, v->vlan))
				return -1;
			*tagged = form;
			flood_one(w, p, m, form);
			reached++;
		}
	}
	return reached;
}

/* What flood_to() left out because it does not take @m as it is. */
static int flood_whole(struct worker *w, struct port *in, struct rte_mbuf *m,
	const struct verdict *v, bool tagged, uint32_t needs)
{
	struct rte_mbuf *s;
	int n = 0;

	if (!needs_cutting(m)) {
		mbuf_complete(m);
		return flood_to(w, in, m, v, &tagged, needs, true);
	}
	for (uint32_t i = 0; n >= 0 && (s = mbuf_segment(m, i, w->dp->pool)); i++) {
		bool form = tagged;

		n = flood_to(w, in, s, v, &form, needs, true);
		rte_pktmbuf_free(s);
	}
	return n;
}

static void frame_flood(
	struct worker *w, struct port *in, struct rte_mbuf *m, const struct verdict *v, bool tagged)
{
	uint32_t needs = mbuf_needs(m);
	int reached = flood_to(w, in, m, v, &tagged, needs, false), more = 0;

	if (needs && reached >= 0)
		more = flood_whole(w, in, m, v, tagged, needs);
	if (reached < 0 || more < 0)
		worker_drop(w, in, DROP_NO_MEMORY, 1);
	else if (reached + more)
		counter_add(&w->ports[in->no].counters.flooded, 1);
	else
		worker_drop(w, in, DROP_NO_DESTINATION, 1);
	rte_pktmbuf_free(m);
}

/* @out does not take the frame as it is: make it whole, or frames that are. */
static void frame_make_whole(
	struct worker *w, struct port *in, struct port *out, struct rte_mbuf *m)
{
	uint32_t n = offload_segments(mbuf_offload(m), m->pkt_len), i;

	if (!needs_cutting(m)) {
		mbuf_complete(m);
		counter_add(&w->ports[out->no].counters.completed, 1);
		stage_add(w, out, m);
		return;
	}
	for (i = 0; i < n; i++) {
		struct rte_mbuf *s = mbuf_segment(m, i, w->dp->pool);

		if (!s)
			break;
		stage_add(w, out, s);
	}
	if (i == n)
		counter_add(&w->ports[out->no].counters.cut, 1);
	else
		worker_drop(w, in, DROP_NO_MEMORY, 1);
	rte_pktmbuf_free(m);
}

/*
 * Whatever becomes of @m. Returns the port that frames with this verdict go to as they are, but for what
 * they need of it; or NULL.
 */
static __attribute__((noinline)) struct port *frame_do(
	struct worker *w, struct port *in, struct rte_mbuf *m, const struct verdict *v)
{
	bool tagged = v->tagged, form;
	struct port *out;

	if (v->kind == VERDICT_DROP) {
		struct port *at = w->dp->by_no[v->reason_port];

		worker_drop(w, at ? at : in, v->reason, 1);
		rte_pktmbuf_free(m);
		return NULL;
	}
	if (v->priority_tag) {
		tag_remove(m);
		tagged = false;
	}
	if (v->kind == VERDICT_FLOOD) {
		frame_flood(w, in, m, v, tagged);
		return NULL;
	}
	out = w->dp->by_no[v->port];
	form = forward_egress_tagged(w->dp->fw, v->port, v->vlan);
	if (!out || !tag_convert(m, tagged, form, v->vlan)) {
		worker_drop(w, in, DROP_NO_MEMORY, 1);
		rte_pktmbuf_free(m);
		return NULL;
	}
	if (mbuf_needs(m) & ~out->takes) {
		/* Nothing of it may have been staged: then @out is not listed. */
		frame_make_whole(w, in, out, m);
		return NULL;
	}
	stage_add(w, out, m);
	return v->priority_tag || tagged != form ? NULL : out;
}

void worker_frames(struct worker *w, struct port *in, struct rte_mbuf **m, uint16_t n)
{
	struct port_counters *c = &w->ports[in->no].counters;
	struct forward_frame frames[PORT_BURST];
	struct verdict v[PORT_BURST];
	uint64_t bytes = 0, way = VERDICT_NO_WAY;
	struct worker_port *to = NULL;
	struct port *out = NULL;

	if (__builtin_expect(in->tapped & MIRROR_IN, 0))
		taps_see(w, in, MIRROR_IN, m, n);
	for (uint16_t i = 0; i < n; i++) {
		frames[i] = (struct forward_frame){
			.bytes = rte_pktmbuf_mtod(m[i], const uint8_t *),
			.header_len = m[i]->data_len,
			.len = m[i]->pkt_len,
			.wire_len = frame_wire_len(m[i]),
		};
		bytes += m[i]->pkt_len;
	}
	counter_add(&c->rx_packets, n);
	counter_add(&c->rx_bytes, bytes);
	forward_decide(w->dp->fw, in->no, frames, n, w->now_ns, v);
	for (uint16_t i = 0; i < n; i++) {
		/* Mostly all go the way of the one before. */
		if (verdict_way(&v[i]) == way && !mbuf_needs(m[i])) {
			stage_put(w, out, to, m[i]);
			continue;
		}
		out = frame_do(w, in, m[i], &v[i]);
		if (out)
			to = &w->ports[out->no];
		way = out ? verdict_way(&v[i]) : VERDICT_NO_WAY;
	}
}

void worker_flush(struct worker *w)
{
	while (w->nr_touched) {
		struct port *p = w->touched[--w->nr_touched];

		w->ports[p->no].listed = false;
		stage_flush(w, p);
	}
}

int datapath_inject(struct datapath *dp, struct port *p, const void *bytes, uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(dp->pool);
	void *at = m ? rte_pktmbuf_append(m, len) : NULL;

	if (!at) {
		rte_pktmbuf_free(m);
		port_drop(p, DROP_NO_MEMORY, 1);
		return -ENOMEM;
	}
	memcpy(at, bytes, len);
	/* All are paused: anyone's place will do. */
	worker_frames(dp->workers[0], p, &m, 1);
	worker_flush(dp->workers[0]);
	return 0;
}

/* Who pushed sees to it that the rest leaves; that others do as well does no harm. */
uint64_t worker_run_shaped(struct worker *w)
{
	uint64_t wait, least = SHAPER_NEVER;

	for (unsigned int i = 0; i < w->dp->nr_active; i++) {
		struct port *p = w->dp->active[i];

		if (!p->shaped)
			continue;
		egress_run(w, p, w->now_ns, frames_send);
		wait = egress_wait_ns(p, w->now_ns);
		least = wait < least ? wait : least;
	}
	return least;
}
