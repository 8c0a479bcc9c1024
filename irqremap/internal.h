/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of irqremap/ share; nobody else includes it. */
#ifndef VIADUCT_IRQREMAP_INTERNAL_H
#define VIADUCT_IRQREMAP_INTERNAL_H

#include <pthread.h>

#include "common/log.h"
#include "irqremap/irqremap.h"

/* One GSI. A used route is always one that KVM has: a refused commit is taken back. */
struct irq_route {
	bool used;
	struct irq_msi msg; /* as KVM gets it, after irq_translate() */
};

struct vtd;
struct irq_watch;

struct irq_router {
	pthread_mutex_t lock;    /* everything below but be, and every vector's state */
	struct vtd *vtd;         /* the guest's remapping unit, or NULL; constant once there */
	struct irq_watch *watch; /* with it */
	struct ioapic *ioapic;   /* whose pins are translated, too */
	struct irq_vector *vectors;
	uint64_t next_id;
	struct irq_backend be;
	unsigned int max_routes;
	struct irq_route *routes; /* max_routes, by GSI */
	unsigned int n_routes;
	unsigned int gsi_end; /* no route at or above was ever used */
	unsigned int users;   /* vectors and IOAPICs alive */
	struct kvm_irq_routing *table;
	unsigned int table_cap;
	struct irq_stats stats; /* but sent */
	_Atomic uint64_t sent;
	struct log_limit not_msi;
};

/*
 * What the platform makes of the write @in by requester @rid: the message that reaches the
 * processors. -EINVAL: it is no interrupt (counted and told at most once a second), or the guest's
 * remapping unit blocks it. @request: an interrupt asks now, so a fault is recorded; else a route is
 * being made.
 */
int irq_translate(
	struct irq_router *r, uint16_t rid, struct irq_msi in, bool request, struct irq_msi *ret);
/* Deliver what irq_translate() gave. > 0 delivered, 0 blocked by the guest, or -errno. No locks. */
int irq_router_inject(struct irq_router *r, const struct irq_msi *m);

/* vtd.c: the unit's part of irq_translate(). */
int vtd_translate(
	struct vtd *v, uint16_t rid, struct irq_msi in, bool request, struct irq_msi *ret);
/*
 * The entries [first, last] of the guest's table changed, or all that is translated (0, UINT32_MAX):
 * bring routes and pins in step, with one commit for the vectors. No locks held.
 */
void irq_router_retranslate(struct irq_router *r, uint32_t first, uint32_t last);
/* Its parts. */
void irq_vectors_retranslate(struct irq_router *r, uint32_t first, uint32_t last);
void ioapic_retranslate(struct ioapic *io);

/* watch.c */
int irq_watch_create(struct irq_router *r, struct err *e, struct irq_watch **ret);
void irq_watch_destroy(struct irq_watch *w);
int irq_watch_add(struct irq_watch *w, int fd, uint64_t id);
void irq_watch_remove(struct irq_watch *w, int fd);
/* A blocked vector was signalled. */
void irq_vector_requested(struct irq_router *r, uint64_t id);

/* The calls below want the router's lock. */

/* Point @gsi at @m and commit. A no-op when it points there already. Unchanged on failure. */
int irq_route_set(struct irq_router *r, unsigned int gsi, struct irq_msi m, struct err *e);
/* Take a free GSI for @m and commit. -ENOSPC: the table is full. */
int irq_route_take(struct irq_router *r, struct irq_msi m, struct err *e, unsigned int *ret_gsi);
/*
 * Give @gsi back without a commit: KVM forgets it with the next one. Harmless for a vector, as
 * nothing is attached to it. Returns whether it was used.
 */
bool irq_route_drop(struct irq_router *r, unsigned int gsi);
int irq_route_commit(struct irq_router *r, struct err *e);

#endif
