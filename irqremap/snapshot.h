/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vectors and pins are at this moment, for people and programs that look. Nothing is changed,
 * no fault is recorded, and a lock is held for one of them at a time, so that a vCPU which wants it
 * does not wait for the whole picture. Two of a picture may therefore be of different moments.
 */
#ifndef VIADUCT_IRQREMAP_SNAPSHOT_H
#define VIADUCT_IRQREMAP_SNAPSHOT_H

#include "irqremap/irqremap.h"

/* A message as the processors take it: Intel SDM vol. 3 §10.11, destinations of 32 bits. */
struct irq_target {
	uint32_t dest; /* APIC id, or with logical set a logical destination */
	uint8_t vector;
	uint8_t mode; /* delivery mode, see irq_mode_name() */
	bool logical, level;
};

/* The fields of @m, which must be one that irq_translate() lets through (0xfeexxxxx below bit 32). */
struct irq_target irq_target_of(struct irq_msi m);
/* "fixed", "lowest-priority", "smi", "nmi", "init", "extint", "reserved"; static. */
const char *irq_mode_name(unsigned int mode);

/* Where a message goes. */
struct irq_way {
	struct irq_msi msg; /* as the guest wrote it; IOAPIC: as its entry sends it */
	bool remapped;      /* it names an entry of the guest's remapping unit, which is on */
	uint32_t handle;    /* that entry's index */
	bool reaches;       /* the processors, as out */
	struct irq_msi out;
};

enum irq_vector_state {
	IRQ_VECTOR_MASKED,   /* no irqfd; signals gather in the eventfd */
	IRQ_VECTOR_ATTACHED, /* KVM has the eventfd and injects way.out, which is its route */
	IRQ_VECTOR_NOWHERE,  /* unmasked, but its message is no interrupt */
	IRQ_VECTOR_BLOCKED,  /* unmasked, and the guest's remapping unit blocks its message */
};

struct irq_vector_info {
	enum irq_vector_state state;
	bool pending; /* signalled while masked */
	int gsi;      /* -1: none was taken yet */
	/* While not attached, out is what the message would become now. */
	struct irq_way way;
};

/* Any thread; takes the router's lock. @v must not be destroyed meanwhile. */
void irq_vector_snapshot(struct irq_vector *v, struct irq_vector_info *ret);

/*
 * What would become of @msg now if requester @rid sent it, for a vector that does not exist yet. Any
 * thread; takes the router's lock.
 */
void irq_msi_snapshot(struct irq_router *r, uint16_t rid, struct irq_msi msg, struct irq_way *ret);

struct ioapic_pin {
	bool masked, level; /* of the redirection entry */
	bool asserted;      /* the line is high */
	bool remote_irr;    /* delivered and not ended */
	bool pending;       /* a level is owed to the guest: "delivery status" */
	bool sends;         /* its delivery mode is one that sends */
	struct irq_way way; /* out is valid when reaches is set, masked or not */
	uint64_t sent;      /* messages a processor took, since the start */
};

/* Any thread; takes the IOAPIC's lock. @pin < IRQ_IOAPIC_PINS. */
void ioapic_snapshot(struct ioapic *io, unsigned int pin, struct ioapic_pin *ret);

/* The line's level now. Any thread. Zeroed memory is a line that is low. */
bool irq_line_level(const struct irq_line *l);

#endif
