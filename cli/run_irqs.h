/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interrupts of a running guest, and how each is delivered. Control thread. */
#ifndef VIADUCT_CLI_RUN_IRQS_H
#define VIADUCT_CLI_RUN_IRQS_H

#include <jansson.h>

#include "cli/run.h"
#include "passthrough/host_irqs.h"
#include "passthrough/posting.h"

/* Of a vector or pin, as its state is told: docs/man/viaduct-info.1.scd. */
enum irq_delivery {
	IRQ_POSTED,   /* by the host's hardware */
	IRQ_IRQFD,    /* by the host's kernel */
	IRQ_USER,     /* by this program */
	IRQ_MASKED,   /* by the guest */
	IRQ_DISABLED, /* the guest uses another kind, or none */
	IRQ_BLOCKED,  /* by the guest's remapping unit */
	IRQ_NOWHERE,  /* its message is no interrupt */
	IRQ_FAILED,   /* the guest unmasked it and the host could not */
	IRQ_SILENT,   /* the guest unmasked it and the host has no interrupt for it */
};
const char *irq_delivery_name(enum irq_delivery d);

/*
 * How a vector of MSI or MSI-X that fires is delivered. @posting: the host posts interrupts of this
 * device, as far as the device and the host go.
 */
enum irq_delivery irq_vector_delivery(const struct msi_vector *v, bool posting);
enum irq_delivery irq_pin_delivery(const struct ioapic_pin *p);

/* "posting", "vectors" and "pins"; a new reference. */
json_t *run_irqs_json(const struct guest *g);

/* Shared with "guest". Absent text is null. */
void info_put(json_t *o, const char *key, uint64_t v);
void info_put_text(json_t *o, const char *key, const char *text);
const char *info_guest_bdf(uint8_t devfn, char buf[static BDF_STRLEN]);

#endif
