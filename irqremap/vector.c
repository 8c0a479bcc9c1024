// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Message vectors. A vector is in one of three states:
 *
 *   masked               no irqfd; signals gather in the eventfd and are the pending bit
 *   unmasked, attached   KVM has the eventfd and injects the route's message
 *   unmasked, detached   its message is no interrupt, or is blocked: what is signalled goes nowhere,
 *                        or to the guest's remapping unit, which is asked each time (watch.c)
 */
#include <assert.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/cleanup.h"
#include "irqremap/internal.h"
#include "irqremap/irte.h"
#include "irqremap/message.h"

int irq_vector_create(struct irq_router *r, uint16_t rid, struct err *e, struct irq_vector **ret)
{
	struct irq_vector *v = calloc(1, sizeof(*v));

	if (!v)
		return err_sys(e, ENOMEM, "interrupt vector of %02x:%02x.%u", rid >> 8,
			rid >> 3 & 0x1f, rid & 7);
	v->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (v->fd < 0) {
		int err = errno;

		free(v);
		return err_sys(e, err,
			"interrupt vector of %02x:%02x.%u: eventfd (EMFILE: raise RLIMIT_NOFILE)",
			rid >> 8, rid >> 3 & 0x1f, rid & 7);
	}
	v->r = r;
	v->rid = rid;
	v->masked = true;
	pthread_mutex_lock(&r->lock);
	r->users++;
	v->id = r->next_id++;
	v->next = r->vectors;
	v->link = &r->vectors;
	if (v->next)
		v->next->link = &v->next;
	r->vectors = v;
	pthread_mutex_unlock(&r->lock);
	*ret = v;
	return 0;
}

int vector_irqfd(struct irq_vector *v, bool assign)
{
	struct irq_router *r = v->r;
	int err;

	r->stats.irqfd_calls++;
	err = r->be.irqfd(r->be.ctx, v->fd, v->gsi, assign);
	if (!err)
		v->attached = assign;
	return err;
}

void vector_detach(struct irq_vector *v)
{
	int err;

	if (!v->attached)
		return;
	/*
	 * KVM refuses only what it does not know. Should it ever, the vector stays attached in our
	 * book, too, so that the next unmask does not attach it twice.
	 */
	err = vector_irqfd(v, false);
	if (err)
		log_debug("irqfd: detach from GSI %u: %s", v->gsi, strerror(-err));
}

void vector_watch(struct irq_vector *v, bool on)
{
	struct irq_router *r = v->r;

	if (!r->watch || v->watched == on)
		return;
	if (!on)
		irq_watch_remove(r->watch, v->fd);
	else if (irq_watch_add(r->watch, v->fd, v->id) < 0)
		return; /* then its faults are not recorded, and it is looked at when it changes */
	v->watched = on;
}

void vector_block(struct irq_vector *v)
{
	vector_detach(v);
	vector_watch(v, true);
}

void vector_drain(struct irq_vector *v)
{
	uint64_t n;

	/* Never while attached: reading in user space would take signals from KVM. */
	if (!v->attached && read(v->fd, &n, sizeof(n)) < 0)
		assert(errno == EAGAIN || errno == EINTR);
}

/* Give the vector its route and its irqfd. On failure it is as it was, but may keep a GSI. */
static int vector_attach(struct irq_vector *v, struct irq_msi out, struct err *e)
{
	struct irq_stages s = {0};
	int err = vector_stage(&s, v, out, e);

	return err ? err : vector_stages_end(v->r, &s, e);
}

void irq_vector_destroy(struct irq_vector *v)
{
	if (!v)
		return;
	pthread_mutex_lock(&v->r->lock);
	vector_watch(v, false);
	vector_detach(v);
	if (v->has_gsi)
		irq_route_drop(v->r, v->gsi);
	*v->link = v->next;
	if (v->next)
		v->next->link = v->link;
	v->r->users--;
	pthread_mutex_unlock(&v->r->lock);
	fd_close(v->fd);
	free(v);
}

int irq_vector_fd(const struct irq_vector *v)
{
	return v->fd;
}

static int vector_set(struct irq_vector *v, struct irq_msi m, struct err *e)
{
	struct irq_msi old = v->msg;
	struct irq_msi out;
	int err;

	if (old.addr == m.addr && old.data == m.data)
		return 0;
	v->msg = m;
	if (v->masked)
		return 0;
	if (irq_translate(v->r, v->rid, m, false, &out)) {
		vector_block(v);
		return 0;
	}
	vector_watch(v, false);
	/* What was signalled while the message was no interrupt has gone to nowhere. */
	vector_drain(v);
	err = vector_attach(v, out, e);
	if (err)
		v->msg = old;
	return err;
}

int irq_vector_set(struct irq_vector *v, struct irq_msi m, struct err *e)
{
	int err;

	pthread_mutex_lock(&v->r->lock);
	err = vector_set(v, m, e);
	pthread_mutex_unlock(&v->r->lock);
	return err;
}

int irq_vector_unmask(struct irq_vector *v, struct err *e)
{
	struct irq_msi out;
	int err = 0;

	pthread_mutex_lock(&v->r->lock);
	if (v->masked) {
		if (!irq_translate(v->r, v->rid, v->msg, false, &out))
			err = vector_attach(v, out, e);
		else
			vector_block(v);
		if (!err)
			v->masked = false;
	}
	pthread_mutex_unlock(&v->r->lock);
	return err;
}

void irq_vector_mask(struct irq_vector *v)
{
	pthread_mutex_lock(&v->r->lock);
	if (!v->masked) {
		v->masked = true;
		vector_watch(v, false);
		if (v->attached)
			vector_detach(v);
		else
			vector_drain(v);
	}
	pthread_mutex_unlock(&v->r->lock);
}

bool irq_vector_masked(const struct irq_vector *v)
{
	bool masked;

	pthread_mutex_lock(&v->r->lock);
	masked = v->masked;
	pthread_mutex_unlock(&v->r->lock);
	return masked;
}

bool irq_vector_pending(const struct irq_vector *v)
{
	struct pollfd p = {.fd = v->fd, .events = POLLIN};

	return irq_vector_masked(v) && poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

void irq_vector_fire(struct irq_vector *v)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is full, so the interrupt is pending already. */
	if (write(v->fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN || errno == EINTR);
}

void irq_vector_clear(struct irq_vector *v)
{
	pthread_mutex_lock(&v->r->lock);
	if (v->masked)
		vector_drain(v);
	pthread_mutex_unlock(&v->r->lock);
}

void irq_vector_snapshot(struct irq_vector *v, struct irq_vector_info *ret)
{
	pthread_mutex_lock(&v->r->lock);
	*ret = (struct irq_vector_info){.gsi = v->has_gsi ? (int)v->gsi : -1};
	irq_way_find(v->r, v->rid, v->msg, &ret->way);
	if (v->masked) {
		ret->state = IRQ_VECTOR_MASKED;
	} else if (v->attached) {
		ret->state = IRQ_VECTOR_ATTACHED;
		/* KVM's route is what counts: the guest's entry may have changed since. */
		ret->way.reaches = true;
		ret->way.out = v->r->routes[v->gsi].msg;
	} else {
		ret->state = (v->msg.addr & MSI_ADDR_MASK) == MSI_BASE ? IRQ_VECTOR_BLOCKED
								       : IRQ_VECTOR_NOWHERE;
	}
	pthread_mutex_unlock(&v->r->lock);
	ret->pending = irq_vector_pending(v);
}

/* ---- the guest's remapping unit ---- */

void irq_vector_requested(struct irq_router *r, uint64_t id)
{
	struct irq_vector *v;
	struct irq_msi out;
	struct err e = {0};

	pthread_mutex_lock(&r->lock);
	for (v = r->vectors; v && v->id != id; v = v->next)
		;
	/* It may have gone, or been allowed, since epoll said so. */
	if (v && v->watched) {
		vector_drain(v);
		if (!irq_translate(r, v->rid, v->msg, true, &out)) {
			vector_watch(v, false);
			if (vector_attach(v, out, &e) < 0) {
				log_guest(&r->no_route, "%s", e.text);
				vector_watch(v, true);
			} else {
				irq_vector_fire(v);
			}
		}
	}
	pthread_mutex_unlock(&r->lock);
}

static bool vector_concerned(const struct irq_vector *v, uint32_t first, uint32_t last)
{
	uint32_t index;

	if (v->masked)
		return false;
	if (first == 0 && last == UINT32_MAX)
		return true;
	return irte_is_request(v->msg) && !irte_index(v->msg, &index) && index >= first &&
	       index <= last;
}

void irq_vectors_retranslate(struct irq_router *r, uint32_t first, uint32_t last)
{
	struct irq_stages s = {0};
	struct irq_msi out;
	struct err e = {0};

	pthread_mutex_lock(&r->lock);
	for (struct irq_vector *v = r->vectors; v; v = v->next) {
		if (!vector_concerned(v, first, last))
			continue;
		if (irq_translate(r, v->rid, v->msg, false, &out)) {
			vector_block(v);
			continue;
		}
		vector_watch(v, false);
		if (vector_stage(&s, v, out, &e) < 0) {
			log_guest(&r->no_route, "%s", e.text);
			vector_block(v);
		}
	}
	if (vector_stages_end(r, &s, &e) < 0) {
		log_guest(&r->no_route, "%s", e.text);
		for (struct irq_vector *v = s.first; v; v = v->stage_next) {
			/* With no irqfd each signal is a request, which tries again. */
			if (!v->attached)
				vector_watch(v, true);
		}
	}
	pthread_mutex_unlock(&r->lock);
}
