// SPDX-License-Identifier: GPL-2.0-or-later
#include <pthread.h>
#include <stdlib.h>

#include "vswitch/datapath.h"
#include "vswitch/egress.h"
#include "vswitch/shaper.h"

/* Behind ours: it defines container_of() unless somebody has. */
#include <rte_mbuf.h>
#include <rte_mempool.h>

struct egress {
	/* Held while it sends, so that two threads do not swap frames. */
	pthread_spinlock_t lock;
	_Atomic uint32_t *waiting; /* buffers that wait at all ports */
	struct shaper shaper;
};

int egress_prepare(struct port *p, const struct port_config *cfg, struct err *e)
{
	if (!cfg->shape.rate || p->egress)
		return 0;
	p->egress = calloc(1, sizeof(*p->egress));
	if (!p->egress)
		return err_set(e, ENOMEM, "port '%s': out of memory", cfg->name);
	pthread_spin_init(&p->egress->lock, PTHREAD_PROCESS_PRIVATE);
	p->egress->waiting = datapath_waiting(p->dp);
	return 0;
}

void egress_apply(struct port *p, uint64_t now_ns)
{
	const struct shape none = {.limit = UINT64_MAX};

	if (p->egress)
		shaper_set(&p->egress->shaper, p->cfg.shape.rate ? &p->cfg.shape : &none, now_ns);
	/* A queue that is to go serves until it is empty: frames keep their order. */
	p->shaped = p->egress && (p->cfg.shape.rate || p->egress->shaper.count);
}

void egress_finish(struct port *p)
{
	struct rte_mbuf *m;

	if (!p->egress)
		return;
	while ((m = shaper_take(&p->egress->shaper))) {
		atomic_fetch_sub(p->egress->waiting, m->nb_segs);
		rte_pktmbuf_free(m);
	}
	pthread_spin_destroy(&p->egress->lock);
	free(p->egress);
	p->egress = NULL;
	p->shaped = false;
}

static void locked_run(struct worker *w, struct port *p, uint64_t now_ns, egress_send *send)
{
	struct rte_mbuf *out[PORT_BURST];
	uint16_t n;

	do {
		n = 0;
		while (n < PORT_BURST && (out[n] = shaper_pop(&p->egress->shaper, now_ns)))
			atomic_fetch_sub(p->egress->waiting, out[n++]->nb_segs);
		if (n)
			send(w, p, out, n);
	} while (n == PORT_BURST);
}

void egress_push(struct worker *w, struct port *p, struct rte_mbuf **m, uint16_t n, uint64_t now_ns,
	egress_send *send)
{
	uint64_t over = 0;

	pthread_spin_lock(&p->egress->lock);
	for (uint16_t i = 0; i < n; i++) {
		/* What waits must leave the others buffers to receive into. */
		if (atomic_load(p->egress->waiting) > m[i]->pool->size / 4 ||
			shaper_push(&p->egress->shaper, m[i], m[i]->pkt_len) < 0) {
			rte_pktmbuf_free(m[i]);
			over++;
		} else {
			atomic_fetch_add(p->egress->waiting, m[i]->nb_segs);
		}
	}
	locked_run(w, p, now_ns, send);
	pthread_spin_unlock(&p->egress->lock);
	if (over)
		port_drop(p, DROP_SHAPED, over);
}

void egress_run(struct worker *w, struct port *p, uint64_t now_ns, egress_send *send)
{
	/* Who has it runs it. */
	if (pthread_spin_trylock(&p->egress->lock))
		return;
	locked_run(w, p, now_ns, send);
	pthread_spin_unlock(&p->egress->lock);
}

uint64_t egress_wait_ns(struct port *p, uint64_t now_ns)
{
	uint64_t wait;

	pthread_spin_lock(&p->egress->lock);
	wait = shaper_wait_ns(&p->egress->shaper, now_ns);
	pthread_spin_unlock(&p->egress->lock);
	return wait;
}
