// SPDX-License-Identifier: GPL-2.0-or-later
/* The VM's GSI numbers and its one routing table. */
#include <assert.h>
#include <stdatomic.h>

#include "common/cleanup.h"
#include "irqremap/internal.h"

/* Far above any KVM's answer (4096), so that a mistaken figure cannot become a huge table. */
#define ROUTES_LIMIT 65536u

int irq_router_create(const struct irq_backend *be, unsigned int max_routes, struct err *e,
	struct irq_router **ret)
{
	struct irq_router *r;

	if (max_routes <= IRQ_IOAPIC_PINS || max_routes > ROUTES_LIMIT)
		return err_set(e, EINVAL,
			"interrupt router: a table of %u routes; more than %u (the IOAPIC's pins) "
			"and "
			"at most %u are needed (KVM_CAP_IRQ_ROUTING tells the kernel's figure)",
			max_routes, IRQ_IOAPIC_PINS, ROUTES_LIMIT);
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_sys(e, ENOMEM, "interrupt router");
	r->be = *be;
	r->max_routes = max_routes;
	pthread_mutex_init(&r->lock, NULL);
	r->routes = calloc(max_routes, sizeof(*r->routes));
	if (!r->routes) {
		irq_router_destroy(r);
		return err_sys(e, ENOMEM, "interrupt router: a table of %u routes", max_routes);
	}
	*ret = r;
	return 0;
}

void irq_router_destroy(struct irq_router *r)
{
	if (!r)
		return;
	assert(r->users == 0);
	pthread_mutex_destroy(&r->lock);
	free(r->table);
	free(r->routes);
	free(r);
}

static int table_reserve(struct irq_router *r, struct err *e)
{
	unsigned int cap = r->table_cap ? r->table_cap : 32;
	struct kvm_irq_routing *table;

	if (r->table && r->n_routes <= r->table_cap)
		return 0;
	while (cap < r->n_routes)
		cap *= 2;
	table = realloc(r->table, sizeof(*table) + cap * sizeof(table->entries[0]));
	if (!table)
		return err_sys(e, ENOMEM, "interrupt router: a table of %u routes", cap);
	r->table = table;
	r->table_cap = cap;
	return 0;
}

int irq_route_commit(struct irq_router *r, struct err *e)
{
	struct kvm_irq_routing *table;
	unsigned int gsi;
	int err;

	err = table_reserve(r, e);
	if (err)
		return err;
	table = r->table;
	table->nr = 0;
	table->flags = 0;
	for (gsi = 0; gsi < r->gsi_end; gsi++) {
		const struct irq_route *route = &r->routes[gsi];

		if (!route->used)
			continue;
		table->entries[table->nr++] = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi.address_lo = (uint32_t)route->msg.addr,
			.u.msi.address_hi = (uint32_t)(route->msg.addr >> 32),
			.u.msi.data = route->msg.data,
		};
	}
	r->stats.route_commits++;
	err = r->be.routes_set(r->be.ctx, table);
	if (err)
		return err_sys(e, -err, "set %u interrupt routes (KVM_SET_GSI_ROUTING)",
			(unsigned int)table->nr);
	return 0;
}

bool irq_route_put(struct irq_router *r, unsigned int gsi, struct irq_msi m)
{
	struct irq_route *route = &r->routes[gsi];

	assert(gsi < r->max_routes);
	if (route->used && route->msg.addr == m.addr && route->msg.data == m.data)
		return false;
	r->n_routes += !route->used;
	*route = (struct irq_route){.used = true, .msg = m};
	if (gsi >= r->gsi_end)
		r->gsi_end = gsi + 1;
	return true;
}

bool irq_route_drop(struct irq_router *r, unsigned int gsi)
{
	bool used = r->routes[gsi].used;

	r->routes[gsi].used = false;
	r->n_routes -= used;
	if (gsi < r->gsi_free)
		r->gsi_free = gsi;
	return used;
}

void irq_route_restore(struct irq_router *r, unsigned int gsi, struct irq_route old)
{
	if (old.used)
		irq_route_put(r, gsi, old.msg);
	else
		irq_route_drop(r, gsi);
}

int irq_route_find(struct irq_router *r, struct err *e, unsigned int *ret_gsi)
{
	unsigned int gsi = r->gsi_free > IRQ_IOAPIC_PINS ? r->gsi_free : IRQ_IOAPIC_PINS;

	while (gsi < r->max_routes && r->routes[gsi].used)
		gsi++;
	r->gsi_free = gsi;
	if (gsi == r->max_routes) {
		r->stats.refused++;
		return err_set(e, ENOSPC,
			"all %u interrupt routes of the VM are taken (%u of them reserved for the "
			"IOAPIC); "
			"assign fewer functions or let the guest use fewer queues",
			r->max_routes, IRQ_IOAPIC_PINS);
	}
	*ret_gsi = gsi;
	return 0;
}

int irq_router_inject(struct irq_router *r, const struct irq_msi *m)
{
	int n = r->be.msi_send(r->be.ctx, m);

	if (n > 0)
		atomic_fetch_add_explicit(&r->sent, 1, memory_order_relaxed);
	return n;
}

int irq_router_send(struct irq_router *r, uint16_t rid, struct irq_msi m)
{
	struct irq_msi out;

	if (irq_translate(r, rid, m, true, &out))
		return 0;
	return irq_router_inject(r, &out);
}

void irq_router_stats(struct irq_router *r, struct irq_stats *ret)
{
	pthread_mutex_lock(&r->lock);
	*ret = r->stats;
	ret->routes = r->n_routes;
	pthread_mutex_unlock(&r->lock);
	ret->sent = atomic_load_explicit(&r->sent, memory_order_relaxed);
}
