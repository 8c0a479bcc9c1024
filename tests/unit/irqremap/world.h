/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A router on the recorder, for the Check programs of irqremap. */
#ifndef VIADUCT_TESTS_IRQ_WORLD_H
#define VIADUCT_TESTS_IRQ_WORLD_H

#include <check.h>

#include "tests/fakes/irq_recorder.h"

#define RID      0x0108 /* 01:01.0 */
#define MSI(vec) ((struct irq_msi){0xfee00000u, (vec)})

static struct irq_recorder rec;
static struct irq_router *router;

static inline void world_up(void)
{
	struct irq_backend be;

	irq_recorder_init(&rec);
	be = irq_recorder_backend(&rec);
	ck_assert_int_eq(irq_router_create(&be, 4096, NULL, &router), 0);
}

static inline void world_down(void)
{
	ck_assert_uint_eq(rec.n_attached, 0);
	irq_router_destroy(router);
	irq_recorder_finish(&rec);
}

static inline void ck_calls(unsigned int routes_set, unsigned int irqfd, unsigned int msi_send)
{
	ck_assert_uint_eq(rec.routes_set, routes_set);
	ck_assert_uint_eq(rec.irqfd, irqfd);
	ck_assert_uint_eq(rec.msi_send, msi_send);
	irq_recorder_clear(&rec);
}

#endif
