// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "vswitch/offload_mbuf.h"
#include "vswitch/taps.h"
#include "vswitch/worker.h"

/* Send a copy of @m by @out in a form it takes. */
static void copy_send(struct worker *w, struct port *out, struct rte_mbuf *m)
{
	uint32_t needs = mbuf_needs(m);
	struct rte_mbuf *s;

	if (!(needs & ~out->takes)) {
		worker_send_copy(w, out, m);
	} else if (needs & (OFFLOAD_TSO4 | OFFLOAD_TSO6)) {
		for (uint32_t i = 0; (s = mbuf_segment(m, i, w->dp->pool)); i++) {
			worker_send_copy(w, out, s);
			rte_pktmbuf_free(s);
		}
	} else {
		s = mbuf_copy(m, w->dp->pool);
		if (!s) {
			worker_drop(w, out, DROP_NO_MEMORY, 1);
			return;
		}
		mbuf_complete(s);
		worker_send_copy(w, out, s);
		rte_pktmbuf_free(s);
	}
}

/* Does the frame fit through @out, @tags bytes of tags not counted? */
static bool copy_fits(struct worker *w, struct port *out, struct rte_mbuf *m, uint32_t tags)
{
	uint32_t len = mbuf_needs(m) ? offload_wire_len(mbuf_offload(m), m->pkt_len) : m->pkt_len;

	if (forward_fits(w->dp->fw, out->no, len - tags, false))
		return true;
	worker_drop(w, out, DROP_OVERSIZE, 1);
	return false;
}

/* To all ports of the mirror's VLAN but those it looks at, tagged where they carry it tagged. */
static void copy_flood(struct worker *w, const struct mirror *mi, struct rte_mbuf *m, uint32_t tags)
{
	uint16_t vlan = mi->cfg.vlan;
	struct rte_mbuf *tagged = NULL;

	for (unsigned int i = 0; i < w->dp->nr_active; i++) {
		struct port *out = w->dp->active[i];
		const struct vlan_port *v = &w->dp->fw->ports[out->no].vlan;

		if (!vlan_port_has(v, vlan) || port_set_has(&mi->from, out->no) ||
			!copy_fits(w, out, m, tags))
			continue;
		if (!vlan_egress_tagged(v, vlan)) {
			copy_send(w, out, m);
			continue;
		}
		if (!tagged)
			tagged = mbuf_copy(m, w->dp->pool);
		if (!tagged) {
			worker_drop(w, out, DROP_NO_MEMORY, 1);
			continue;
		}
		/* A copy has the headroom of a new buffer. */
		if (tagged->pkt_len == m->pkt_len)
			worker_tag_insert(tagged, vlan);
		copy_send(w, out, tagged);
	}
	rte_pktmbuf_free(tagged);
}

static void mirrors_see(struct worker *w, struct port *p, uint8_t dir, struct rte_mbuf *m)
{
	struct mirrors *ms = &w->dp->taps.mirrors;
	struct frame f = {0};
	uint32_t tags;

	/* What is too short for a header has no tag. */
	(void)!frame_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &f);
	tags = f.tagged ? FRAME_TAG : 0;
	for (unsigned int i = 0; i < ms->nr; i++) {
		struct mirror *mi = ms->list[i];

		if (!mirror_takes(mi, p->no, dir, f.vid, m->pkt_len, w->now_ns))
			continue;
		if (mi->cfg.vlan)
			copy_flood(w, mi, m, tags);
		else if (copy_fits(w, w->dp->by_no[mi->to], m, tags))
			copy_send(w, w->dp->by_no[mi->to], m);
	}
}

static void capture_see(struct capture *c, uint8_t dir, struct rte_mbuf **m, uint16_t n)
{
	uint32_t direction = dir == MIRROR_IN ? 1 : 2;
	struct timespec ts;
	uint64_t now;

	clock_gettime(CLOCK_REALTIME, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	pthread_spin_lock(&c->lock);
	for (uint16_t i = 0; i < n; i++) {
		uint32_t len, at = 0;
		uint8_t *to = capture_begin(c, direction, now, m[i]->pkt_len, &len);

		if (!to)
			continue;
		for (const struct rte_mbuf *s = m[i]; s && at < len; s = s->next) {
			uint32_t part = s->data_len < len - at ? s->data_len : len - at;

			memcpy(to + at, rte_pktmbuf_mtod(s, const uint8_t *), part);
			at += part;
		}
		capture_commit(c);
	}
	capture_wake(c);
	pthread_spin_unlock(&c->lock);
}

void taps_see(struct worker *w, struct port *p, uint8_t dir, struct rte_mbuf **m, uint16_t n)
{
	struct taps *t = &w->dp->taps;

	for (unsigned int i = 0; i < t->nr_captures; i++)
		if (t->captures[i]->port == p->no && t->captures[i]->directions & dir)
			capture_see(t->captures[i], dir, m, n);
	for (uint16_t i = 0; i < n && t->mirrors.nr; i++)
		mirrors_see(w, p, dir, m[i]);
}

static uint16_t port_no(void *ctx, const char *name)
{
	struct datapath *dp = ctx;

	for (unsigned int i = 0; i < dp->nr_active; i++)
		if (!strcmp(dp->active[i]->cfg.name, name))
			return dp->active[i]->no;
	return MIRROR_NO_PORT;
}

/* A port in no VLAN neither takes frames nor gets any. */
static void reserve_apply(struct datapath *dp, struct port *p)
{
	struct forward_port *f = &dp->fw->ports[p->no];
	bool reserved = mirrors_reserve(&dp->taps.mirrors, p->no);

	if (f->reserved && !reserved)
		f->vlan = p->cfg.forward.vlan;
	f->reserved = reserved;
	if (!reserved)
		return;
	vlan_port_trunk(&f->vlan, 0);
	fdb_flush(dp->fw->fdb, p->no, FDB_ANY_VLAN, false);
}

void taps_apply(struct datapath *dp)
{
	struct taps *t = &dp->taps;

	mirrors_resolve(&t->mirrors, port_no, dp);
	for (unsigned int i = 0; i < dp->nr_active; i++) {
		struct port *p = dp->active[i];
		uint8_t tapped = mirrors_directions(&t->mirrors, p->no);

		for (unsigned int j = 0; j < t->nr_captures; j++)
			if (t->captures[j]->port == p->no)
				tapped |= t->captures[j]->directions;
		p->tapped = tapped;
		reserve_apply(dp, p);
	}
	/* Another port may get the number of one that has gone. */
	for (unsigned int j = 0; j < t->nr_captures; j++)
		if (t->captures[j]->port != MIRROR_NO_PORT && !dp->by_no[t->captures[j]->port]) {
			t->captures[j]->port = MIRROR_NO_PORT;
			capture_end(t->captures[j]);
		}
}

void taps_finish(struct taps *t)
{
	mirrors_finish(&t->mirrors);
	while (t->nr_captures)
		capture_destroy(t->captures[--t->nr_captures]);
}

static int name_missing(struct datapath *dp, const char *name, struct err *e)
{
	if (port_no(dp, name) != MIRROR_NO_PORT)
		return 0;
	return err_set(e, ENOENT, "there is no port '%s'", name);
}

int taps_mirror_add(struct datapath *dp, const struct mirror_config *cfg, struct err *e)
{
	int r = cfg->to[0] ? name_missing(dp, cfg->to, e) : 0;

	for (unsigned int i = 0; i < cfg->nr_from && r >= 0; i++)
		r = name_missing(dp, cfg->from[i], e);
	if (r < 0)
		return err_wrap(e, r, "mirror '%s'", cfg->name);
	datapath_pause(dp);
	r = mirrors_add(&dp->taps.mirrors, cfg, datapath_now_ns(dp), e);
	taps_apply(dp);
	datapath_resume(dp);
	return r;
}

int taps_mirror_del(struct datapath *dp, const char *name, struct err *e)
{
	int r;

	datapath_pause(dp);
	r = mirrors_del(&dp->taps.mirrors, name, e);
	taps_apply(dp);
	datapath_resume(dp);
	return r;
}

const struct mirrors *taps_mirrors(const struct datapath *dp)
{
	return &dp->taps.mirrors;
}

int taps_capture_add(struct datapath *dp, const char *port, uint8_t directions, uint32_t snaplen,
	struct err *e, struct capture **ret)
{
	struct taps *t = &dp->taps;
	int r = name_missing(dp, port, e);

	if (r < 0)
		return r;
	if (t->nr_captures == CAPTURES_MAX)
		return err_set(e, ENOSPC, "there are %d captures already", CAPTURES_MAX);
	r = capture_create(port_no(dp, port), directions, snaplen, e, ret);
	if (r < 0)
		return r;
	/* One of the same batch of requests. */
	if (t->fresh)
		taps_capture_del(dp, taps_capture_take(dp));
	t->fresh = *ret;
	datapath_pause(dp);
	t->captures[t->nr_captures++] = *ret;
	taps_apply(dp);
	datapath_resume(dp);
	return 0;
}

struct capture *taps_capture_take(struct datapath *dp)
{
	return ptr_steal(dp->taps.fresh);
}

void taps_capture_del(struct datapath *dp, struct capture *c)
{
	struct taps *t = &dp->taps;

	datapath_pause(dp);
	for (unsigned int i = 0; i < t->nr_captures; i++)
		if (t->captures[i] == c)
			t->captures[i] = t->captures[--t->nr_captures];
	taps_apply(dp);
	datapath_resume(dp);
	capture_destroy(c);
}
