// SPDX-License-Identifier: GPL-2.0-or-later
/* Wired-OR of the devices on one IOAPIC pin, as PCI shares its interrupt pins (PCI 3.0 §2.2.6). */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "irqremap/irqremap.h"
#include "irqremap/snapshot.h"

struct irq_lines {
	struct ioapic *io;
	pthread_mutex_t eoi_lock;   /* the lists, also while listeners are told */
	pthread_mutex_t level_lock; /* the levels; inside eoi_lock */
	struct irq_line *head[IRQ_IOAPIC_PINS];
	unsigned int high[IRQ_IOAPIC_PINS]; /* how many hold the pin up */
};

static void pin_ended(void *ctx, unsigned int pin)
{
	struct irq_lines *ls = ctx;

	pthread_mutex_lock(&ls->eoi_lock);
	for (struct irq_line *l = ls->head[pin]; l; l = l->next)
		l->eoi(l->ctx);
	pthread_mutex_unlock(&ls->eoi_lock);
}

int irq_lines_create(struct ioapic *io, struct err *e, struct irq_lines **ret)
{
	struct irq_lines *ls = calloc(1, sizeof(*ls));

	if (!ls)
		return err_sys(e, ENOMEM, "interrupt lines");
	ls->io = io;
	pthread_mutex_init(&ls->eoi_lock, NULL);
	pthread_mutex_init(&ls->level_lock, NULL);
	*ret = ls;
	return 0;
}

void irq_lines_destroy(struct irq_lines *ls)
{
	if (!ls)
		return;
	for (unsigned int pin = 0; pin < IRQ_IOAPIC_PINS; pin++)
		assert(!ls->head[pin]);
	pthread_mutex_destroy(&ls->eoi_lock);
	pthread_mutex_destroy(&ls->level_lock);
	free(ls);
}

void irq_line_attach(
	struct irq_lines *ls, unsigned int pin, irq_line_eoi_fn eoi, void *ctx, struct irq_line *l)
{
	assert(pin < IRQ_IOAPIC_PINS);
	*l = (struct irq_line){.lines = ls, .pin = pin, .eoi = eoi, .ctx = ctx};
	pthread_mutex_lock(&ls->eoi_lock);
	l->next = ls->head[pin];
	ls->head[pin] = l;
	pthread_mutex_unlock(&ls->eoi_lock);
	ioapic_on_eoi(ls->io, pin, pin_ended, ls);
}

void irq_line_detach(struct irq_line *l)
{
	struct irq_lines *ls = l->lines;

	if (!ls)
		return;
	irq_line_set(l, false);
	pthread_mutex_lock(&ls->eoi_lock);
	for (struct irq_line **p = &ls->head[l->pin]; *p; p = &(*p)->next) {
		if (*p == l) {
			*p = l->next;
			break;
		}
	}
	pthread_mutex_unlock(&ls->eoi_lock);
	l->lines = NULL;
}

bool irq_line_level(const struct irq_line *l)
{
	bool level;

	if (!l->lines)
		return false;
	pthread_mutex_lock(&l->lines->level_lock);
	level = l->level;
	pthread_mutex_unlock(&l->lines->level_lock);
	return level;
}

bool irq_line_set(struct irq_line *l, bool level)
{
	struct irq_lines *ls = l->lines;
	unsigned int *high = &ls->high[l->pin];
	bool before;

	pthread_mutex_lock(&ls->level_lock);
	before = l->level;
	l->level = level;
	if (before != level) {
		*high = level ? *high + 1 : *high - 1;
		/* Under the lock, so that the pin's last change is the last that happened. */
		ioapic_set(ls->io, l->pin, *high > 0);
	}
	pthread_mutex_unlock(&ls->level_lock);
	return before;
}
