// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/fakes/irq_recorder.h"

static void message_add(struct irq_recorder *rec, struct irq_msi m)
{
	if (rec->n_msi < IRQ_RECORDER_MSIS)
		rec->msi[rec->n_msi] = m;
	rec->n_msi++;
}

/* Counts the call; true: it is one to fail. */
static bool call_fails(struct irq_recorder *rec)
{
	rec->calls++;
	return rec->fail_at && rec->calls >= rec->fail_at &&
	       rec->calls - rec->fail_at < rec->fail_n;
}

static int routes_load(struct irq_recorder *rec, const struct kvm_irq_routing *routes)
{
	struct irq_msi table[IRQ_RECORDER_GSIS] = {0};
	unsigned int i;

	if (routes->nr > IRQ_RECORDER_GSIS || routes->flags)
		return -EINVAL;
	for (i = 0; i < routes->nr; i++) {
		const struct kvm_irq_routing_entry *n = &routes->entries[i];

		if (n->gsi >= IRQ_RECORDER_GSIS || n->type != KVM_IRQ_ROUTING_MSI || n->flags ||
			table[n->gsi].addr || n->u.msi.address_lo >> 20 != 0xfee ||
			n->u.msi.address_hi & 0xff)
			return -EINVAL;
		table[n->gsi].addr = (uint64_t)n->u.msi.address_hi << 32 | n->u.msi.address_lo;
		table[n->gsi].data = n->u.msi.data;
	}
	memcpy(rec->route, table, sizeof(table));
	rec->n_routes = routes->nr;
	return 0;
}

static int recorder_routes_set(void *ctx, const struct kvm_irq_routing *routes)
{
	struct irq_recorder *rec = ctx;
	int err;

	pthread_mutex_lock(&rec->lock);
	rec->routes_set++;
	err = call_fails(rec) ? -rec->fail_errno : routes_load(rec, routes);
	pthread_mutex_unlock(&rec->lock);
	return err;
}

/* As KVM: what the eventfd held before the attach is delivered, and every later signal. */
static void attached_run(struct irq_recorder *rec, unsigned int i)
{
	uint64_t n;

	if (read(rec->attached[i].fd, &n, sizeof(n)) == sizeof(n))
		message_add(rec, rec->route[rec->attached[i].gsi]);
}

static int irqfd_change(struct irq_recorder *rec, int fd, uint32_t gsi, bool assign)
{
	unsigned int i;

	for (i = 0; i < rec->n_attached; i++)
		if (rec->attached[i].fd == fd)
			break;
	if (!assign) {
		if (i == rec->n_attached || rec->attached[i].gsi != gsi)
			return -ENOENT;
		attached_run(rec, i);
		rec->attached[i] = rec->attached[--rec->n_attached];
		return 0;
	}
	if (i < rec->n_attached)
		return -EBUSY;
	if (i == IRQ_RECORDER_FDS || gsi >= IRQ_RECORDER_GSIS || !rec->route[gsi].addr)
		return -EINVAL;
	rec->attached[i].fd = fd;
	rec->attached[i].gsi = gsi;
	rec->n_attached++;
	attached_run(rec, i);
	return 0;
}

static int recorder_irqfd(void *ctx, int fd, uint32_t gsi, bool assign)
{
	struct irq_recorder *rec = ctx;
	int err;

	pthread_mutex_lock(&rec->lock);
	rec->irqfd++;
	err = call_fails(rec) ? -rec->fail_errno : irqfd_change(rec, fd, gsi, assign);
	pthread_mutex_unlock(&rec->lock);
	return err;
}

static int recorder_msi_send(void *ctx, const struct irq_msi *m)
{
	struct irq_recorder *rec = ctx;
	int n;

	pthread_mutex_lock(&rec->lock);
	rec->msi_send++;
	n = call_fails(rec) ? -rec->fail_errno : rec->msi_result;
	if (n > 0)
		message_add(rec, *m);
	pthread_mutex_unlock(&rec->lock);
	return n;
}

void irq_recorder_init(struct irq_recorder *rec)
{
	memset(rec, 0, sizeof(*rec));
	pthread_mutex_init(&rec->lock, NULL);
	rec->msi_result = 1;
	rec->fail_errno = EIO;
	rec->fail_n = 1;
}

void irq_recorder_finish(struct irq_recorder *rec)
{
	pthread_mutex_destroy(&rec->lock);
}

struct irq_backend irq_recorder_backend(struct irq_recorder *rec)
{
	return (struct irq_backend){
		.routes_set = recorder_routes_set,
		.irqfd = recorder_irqfd,
		.msi_send = recorder_msi_send,
		.ctx = rec,
	};
}

void irq_recorder_run(struct irq_recorder *rec)
{
	unsigned int i;

	pthread_mutex_lock(&rec->lock);
	for (i = 0; i < rec->n_attached; i++)
		attached_run(rec, i);
	pthread_mutex_unlock(&rec->lock);
}

void irq_recorder_clear(struct irq_recorder *rec)
{
	pthread_mutex_lock(&rec->lock);
	rec->routes_set = rec->irqfd = rec->msi_send = rec->calls = 0;
	rec->n_msi = 0;
	pthread_mutex_unlock(&rec->lock);
}
