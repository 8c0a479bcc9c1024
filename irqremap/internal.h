/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of irqremap/ share; nobody else includes it. */
#ifndef VIADUCT_IRQREMAP_INTERNAL_H
#define VIADUCT_IRQREMAP_INTERNAL_H

#include <pthread.h>

#include "common/log.h"
#include "irqremap/irqremap.h"
#include "irqremap/snapshot.h"

/* One GSI. A used route is always one that KVM has: a refused commit is taken back. */
struct irq_route {
	bool used;
	struct irq_msi msg; /* as KVM gets it, after irq_translate() */
};

struct vtd;
struct irq_watch;

struct irq_vector {
	struct irq_router *r;
	int fd;
	uint16_t rid;
	/* its owner's, from irq_batch_add() to irq_batch_end(): */
	struct irq_msi wanted;
	struct irq_vector *batch_next;
	/* under the router's lock: */
	bool masked;
	bool attached;
	bool has_gsi;
	unsigned int gsi;
	struct irq_msi msg; /* as the guest wrote it */
	bool watched;       /* its signals are requests to the remapping unit */
	uint64_t id;
	struct irq_vector *next, **link;
	/* from vector_stage() to vector_stages_end(): */
	struct irq_vector *stage_next;
	struct irq_route stage_old; /* what the kernel has at its GSI */
	int stage_err;
};

/* Vectors whose routes are in the book, for one commit to bring them to the kernel. */
struct irq_stages {
	struct irq_vector *first;
	bool moved; /* there is something to commit */
};

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
	unsigned int gsi_end;  /* no route at or above was ever used */
	unsigned int gsi_free; /* those of vectors below are all used */
	unsigned int users;    /* vectors and IOAPICs alive */
	struct kvm_irq_routing *table;
	unsigned int table_cap;
	struct irq_stats stats; /* but sent */
	_Atomic uint64_t sent;
	struct log_limit not_msi, no_route;
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

/* snapshot.c: what would become of @msg now. Nothing is recorded. */
void irq_way_find(struct irq_router *r, uint16_t rid, struct irq_msi msg, struct irq_way *ret);

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

/* vector.c; with the router's lock. */

/* No irqfd; refused by the kernel it stays attached. */
void vector_detach(struct irq_vector *v);
/* Its signals are requests from now on, or no more; nothing without a remapping unit. */
void vector_watch(struct irq_vector *v, bool on);
/* Its message reaches nobody. */
void vector_block(struct irq_vector *v);
/* Forget signals; nothing while attached. */
void vector_drain(struct irq_vector *v);
int vector_irqfd(struct irq_vector *v, bool assign);

/* batch.c; with the router's lock. */

/* Put the route of @v, for @out, into the book, with a GSI if it has none. -ENOSPC: not staged. */
int vector_stage(struct irq_stages *s, struct irq_vector *v, struct irq_msi out, struct err *e);
/*
 * One commit for all, then the irqfds of those that lack one. Every staged vector's stage_err says
 * how it fared; one that failed has the route and the irqfd it had before, but may keep a GSI.
 * Returns the first error, with its text.
 */
int vector_stages_end(struct irq_router *r, struct irq_stages *s, struct err *e);

/* watch.c */
int irq_watch_create(struct irq_router *r, struct err *e, struct irq_watch **ret);
void irq_watch_destroy(struct irq_watch *w);
int irq_watch_add(struct irq_watch *w, int fd, uint64_t id);
void irq_watch_remove(struct irq_watch *w, int fd);
/* A blocked vector was signalled. */
void irq_vector_requested(struct irq_router *r, uint64_t id);

/* The calls below want the router's lock. */

/* Change the book; irq_route_commit() makes it the kernel's. Returns whether there was a change. */
bool irq_route_put(struct irq_router *r, unsigned int gsi, struct irq_msi m);
/*
 * Harmless for a vector even if no commit follows, as nothing is attached to it: KVM forgets it with
 * the next one.
 */
bool irq_route_drop(struct irq_router *r, unsigned int gsi);
/* The commit failed: what the kernel still has. */
void irq_route_restore(struct irq_router *r, unsigned int gsi, struct irq_route old);
/* A free GSI above the pins'; it is the caller's once put. -ENOSPC (counted): the table is full. */
int irq_route_find(struct irq_router *r, struct err *e, unsigned int *ret_gsi);
int irq_route_commit(struct irq_router *r, struct err *e);

#endif
