// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Several vectors, one commit. KVM takes the routing table as a whole, so the routes of all go into
 * the book first, then to the kernel once, and last come the irqfds, which need their routes there.
 */
#include "irqremap/internal.h"

int vector_stage(struct irq_stages *s, struct irq_vector *v, struct irq_msi out, struct err *e)
{
	struct irq_router *r = v->r;
	int err;

	if (!v->has_gsi) {
		err = irq_route_find(r, e, &v->gsi);
		if (err)
			return err_wrap(e, err, "interrupt vector of %02x:%02x.%u", v->rid >> 8,
				v->rid >> 3 & 0x1f, v->rid & 7);
		v->has_gsi = true;
	}
	v->stage_old = r->routes[v->gsi];
	s->moved |= irq_route_put(r, v->gsi, out);
	v->stage_err = 0;
	v->stage_next = s->first;
	s->first = v;
	return 0;
}

static void stage_undo(struct irq_vector *v, int err)
{
	irq_route_restore(v->r, v->gsi, v->stage_old);
	v->has_gsi = v->stage_old.used;
	v->stage_err = err;
}

static int stage_attach(struct irq_vector *v, struct err *e)
{
	/*
	 * From the irqfd on KVM injects, also what the eventfd holds already. A signal from elsewhere
	 * in the very moment may come twice: KVM reads the count without the eventfd's lock
	 * (kvm_irqfd_assign(), as of Linux 6.18). Our own devices signal under the lock of their
	 * MSI or MSI-X.
	 */
	v->stage_err = v->attached ? 0 : vector_irqfd(v, true);
	if (v->stage_err)
		return err_sys(e, -v->stage_err,
			"interrupt vector of %02x:%02x.%u: attach to GSI %u (KVM_IRQFD)",
			v->rid >> 8, v->rid >> 3 & 0x1f, v->rid & 7, v->gsi);
	return 0;
}

int vector_stages_end(struct irq_router *r, struct irq_stages *s, struct err *e)
{
	int err = s->moved ? irq_route_commit(r, e) : 0, first = err;

	if (err && s->first)
		err_wrap(e, err, "interrupt vector of %02x:%02x.%u", s->first->rid >> 8,
			s->first->rid >> 3 & 0x1f, s->first->rid & 7);
	for (struct irq_vector *v = s->first; v; v = v->stage_next) {
		if (err)
			stage_undo(v, err);
		else if (stage_attach(v, first ? NULL : e) < 0 && !first)
			first = v->stage_err;
	}
	return first;
}

/* ---- for owners ---- */

void irq_batch_begin(struct irq_router *r, struct irq_batch *b)
{
	*b = (struct irq_batch){.router = r};
	b->end = &b->first;
}

void irq_batch_add(struct irq_batch *b, struct irq_vector *v, struct irq_msi m)
{
	v->wanted = m;
	v->batch_next = NULL;
	*b->end = v;
	b->end = &v->batch_next;
}

/* It may have been live with its old message, which would raise what the guest has given away. */
static void vector_fail(struct irq_vector *v)
{
	v->masked = true;
	vector_watch(v, false);
	vector_detach(v);
}

/* Everything but what staged vectors wait for. */
static int vector_start(struct irq_stages *s, struct irq_vector *v, struct err *e)
{
	bool same = v->msg.addr == v->wanted.addr && v->msg.data == v->wanted.data;
	struct irq_msi out;
	int err;

	if (!v->masked && same)
		return 0;
	v->msg = v->wanted;
	if (irq_translate(v->r, v->rid, v->msg, false, &out)) {
		vector_block(v);
		v->masked = false;
		return 0;
	}
	if (!v->masked) {
		vector_watch(v, false);
		/* What was signalled while the message was no interrupt has gone to nowhere. */
		vector_drain(v);
	}
	err = vector_stage(s, v, out, e);
	if (err)
		vector_fail(v);
	return err;
}

int irq_batch_end(struct irq_batch *b, struct err *e)
{
	struct irq_router *r = b->router;
	struct irq_stages s = {0};
	int err, first = 0;

	pthread_mutex_lock(&r->lock);
	for (struct irq_vector *v = b->first; v; v = v->batch_next) {
		err = vector_start(&s, v, first ? NULL : e);
		if (!first)
			first = err;
	}
	err = vector_stages_end(r, &s, first ? NULL : e);
	if (!first)
		first = err;
	for (struct irq_vector *v = s.first; v; v = v->stage_next) {
		if (v->stage_err)
			vector_fail(v);
		else
			v->masked = false;
	}
	pthread_mutex_unlock(&r->lock);
	irq_batch_begin(r, b);
	return first;
}
