/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts on their way into the guest.
 *
 *   struct irq_router  owns the VM's GSI numbers and its one routing table; every interrupt ioctl
 *                      of the project is made here.
 *   struct irq_vector  an eventfd plus a route: the one way a device interrupts the guest by
 *                      message. VFIO, a vhost-user peer or an emulated device signals the eventfd;
 *                      KVM delivers it with no code of ours in between.
 *   struct ioapic      the 82093AA, in user space because the VM has a split irqchip.
 *
 * Every message passes irq_translate() before it becomes a route: the identity while no guest
 * remapping table is on, so there is one path and not two.
 *
 * Thread-safe: vCPU threads call in on MSI-X and IOAPIC accesses, the router and the IOAPIC have a
 * lock each (order: IOAPIC, then router).
 */
#ifndef VIADUCT_IRQREMAP_H
#define VIADUCT_IRQREMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvm.h>

#include "common/err.h"

/* What a device writes to raise an interrupt (PCI 3.0 §6.8, Intel SDM vol. 3 §10.11). */
struct irq_msi {
	uint64_t addr;
	uint32_t data;
};

/* The interrupt ioctls of a VM; tests put a recorder here. 0 or -errno each. */
struct irq_backend {
	/* KVM_SET_GSI_ROUTING: replaces the whole table. */
	int (*routes_set)(void *ctx, const struct kvm_irq_routing *routes);
	/* KVM_IRQFD: attach (@assign) or detach @fd and @gsi. */
	int (*irqfd)(void *ctx, int fd, uint32_t gsi, bool assign);
	/* KVM_SIGNAL_MSI. Returns > 0 delivered, 0 blocked by the guest, or -errno. */
	int (*msi_send)(void *ctx, const struct irq_msi *m);
	void *ctx;
};

/* The back end for a KVM VM with split irqchip. @vm_fd is borrowed and must outlive the router. */
struct irq_backend irq_backend_kvm(int vm_fd);

/* Pins of the IOAPIC, and the GSIs reserved for them: 0..23. MSI GSIs start above. */
#define IRQ_IOAPIC_PINS 24

struct irq_router;
struct irq_vector;
struct ioapic;

struct irq_stats {
	uint64_t routes;        /* now in the table */
	uint64_t route_commits; /* KVM_SET_GSI_ROUTING calls */
	uint64_t irqfd_calls;   /* KVM_IRQFD calls */
	uint64_t refused;       /* vectors that found the routing table full */
	uint64_t sent;          /* interrupts our own code injected (IOAPIC, irq_router_send) */
};

/*
 * @be is copied. @max_routes: KVM_CAP_IRQ_ROUTING's answer (4096 on x86); the pins of the IOAPIC
 * count. -ENOMEM; -EINVAL: no place for anything but the pins.
 */
int irq_router_create(const struct irq_backend *be, unsigned int max_routes, struct err *e,
	struct irq_router **ret);
/* Vectors and the IOAPIC must be gone. NULL is allowed. */
void irq_router_destroy(struct irq_router *r);
/*
 * Deliver @m now, from our own code; @rid is the requester. > 0 delivered (counted in stats.sent),
 * 0 blocked by the guest or no interrupt at all (not 0xfeexxxxx), or -errno of KVM_SIGNAL_MSI.
 */
int irq_router_send(struct irq_router *r, uint16_t rid, struct irq_msi m);
void irq_router_stats(struct irq_router *r, struct irq_stats *ret);

/* ---- message vectors ---- */

/*
 * Make a vector of requester @rid (its guest BDF): an eventfd, nothing in KVM yet. It starts
 * masked. -EMFILE/-ENOMEM.
 */
int irq_vector_create(struct irq_router *r, uint16_t rid, struct err *e, struct irq_vector **ret);
/* Detaches, frees the GSI. NULL is allowed. */
void irq_vector_destroy(struct irq_vector *v);
/* The eventfd to lend to VFIO or a peer; stays the vector's. */
int irq_vector_fd(const struct irq_vector *v);
/*
 * Set the message. While unmasked the new route is committed before the call returns, without a
 * moment in which an interrupt is lost: it reaches the old or the new target. A message that is no
 * interrupt (not 0xfeexxxxx) is what the guest asked for, not an error: signals go nowhere then.
 * -ENOSPC as irq_vector_unmask(), -ENOMEM or the kernel's answer: the old message stays.
 */
int irq_vector_set(struct irq_vector *v, struct irq_msi m, struct err *e);
/*
 * Attach the irqfd; a GSI and a route are taken at the first unmask. What was signalled while
 * masked is delivered now. -ENOSPC: the routing table is full (the text says the limit); -ENOMEM
 * or the kernel's answer: it stays masked.
 */
int irq_vector_unmask(struct irq_vector *v, struct err *e);
/* Detach the irqfd: signals stay in the eventfd, irq_vector_pending() shows them. */
void irq_vector_mask(struct irq_vector *v);
bool irq_vector_masked(const struct irq_vector *v);
/* Was it signalled while masked? (PBA bit.) Always false while unmasked. */
bool irq_vector_pending(const struct irq_vector *v);
/* Signal it from our own code, as an emulated device does. */
void irq_vector_fire(struct irq_vector *v);
/* Forget signals received while masked (device reset). */
void irq_vector_clear(struct irq_vector *v);

/*
 * Several vectors at once, for one KVM_SET_GSI_ROUTING: a function with 2048 vectors is enabled by
 * one. Nothing happens before irq_batch_end(), which works under one hold of the router's lock. The
 * batch is the caller's memory; batches of several threads, or one begun inside another, are
 * independent, but a vector is in one at a time and is not changed otherwise meanwhile.
 */
struct irq_batch {
	/* private */
	struct irq_router *router;
	struct irq_vector *first, **end;
};

void irq_batch_begin(struct irq_router *r, struct irq_batch *b);
/* Let @v have the message @m and be unmasked. At most once per batch. */
void irq_batch_add(struct irq_batch *b, struct irq_vector *v, struct irq_msi m);
/*
 * Carry it out. A vector that fails is masked afterwards, with its new message (what it was signalled
 * is pending): irq_vector_masked(). The others are not affected, unless the kernel refused the
 * routes, which concerns every vector that needed a change. 0, or the first failure as of
 * irq_vector_unmask(); the text names its vector's function.
 */
int irq_batch_end(struct irq_batch *b, struct err *e);

/* ---- IOAPIC (Intel 82093AA datasheet, 1996) ---- */

/* Called when the guest ends a level interrupt of @pin that is still registered; see ioapic_eoi. */
typedef void (*ioapic_eoi_fn)(void *ctx, unsigned int pin);

#define IOAPIC_BASE 0xfec00000u /* gpa */
#define IOAPIC_SIZE 0x1000u

/* @rid: requester id of its messages (DMAR scope). Commits the routes of its pins as they change. */
int ioapic_create(struct irq_router *r, uint16_t rid, struct err *e, struct ioapic **ret);
void ioapic_destroy(struct ioapic *io);
/* Register window: @off is the offset from IOAPIC_BASE. Odd sizes read as 0 and write nothing. */
uint64_t ioapic_read(struct ioapic *io, uint64_t off, unsigned int len);
void ioapic_write(struct ioapic *io, uint64_t off, unsigned int len, uint64_t val);
/*
 * Assert (@level) or release pin @pin. Level pins follow, edge pins fire on the rise. This is the
 * line's logical state: the guest sets the polarity bit of PCI pins to active low because ACPI says
 * so, and nothing here has a voltage; the bit is kept and changes nothing (as in KVM and QEMU).
 */
void ioapic_set(struct ioapic *io, unsigned int pin, bool level);
/* KVM_EXIT_IOAPIC_EOI: clear remote IRR of the pins with @vector, call @fn, re-deliver if high. */
void ioapic_eoi(struct ioapic *io, uint8_t vector);
/*
 * @fn is called without the IOAPIC's lock held, on the thread of the vCPU whose write or exit ended
 * the interrupt. NULL removes it; a call under way on another thread may still finish afterwards,
 * so @ctx lives until the vCPUs have stopped.
 */
void ioapic_on_eoi(struct ioapic *io, unsigned int pin, ioapic_eoi_fn fn, void *ctx);
/* Power-on registers; the lines stay as the devices drive them. */
void ioapic_reset(struct ioapic *io);

/* ---- lines: several devices on one level pin (PCI 3.0 §2.2.6) ---- */

/*
 * Called for every line of a pin whose level interrupt the guest ended, on that vCPU's thread,
 * before the pin is delivered again if it is still high: a device that has been served lowers its
 * line here. It may call irq_line_set(), not attach or detach.
 */
typedef void (*irq_line_eoi_fn)(void *ctx);

struct irq_lines;

/* A device's wire to a pin; the device's memory. All private. */
struct irq_line {
	struct irq_lines *lines;
	struct irq_line *next;
	unsigned int pin;
	bool level;
	irq_line_eoi_fn eoi;
	void *ctx;
};

/* Lines into @io, which must outlive them. -ENOMEM. */
int irq_lines_create(struct ioapic *io, struct err *e, struct irq_lines **ret);
/* Every line must be detached. NULL is allowed. */
void irq_lines_destroy(struct irq_lines *ls);
/* Fill @l and wire it to @pin, low. Pins that have lines are driven by lines alone. */
void irq_line_attach(
	struct irq_lines *ls, unsigned int pin, irq_line_eoi_fn eoi, void *ctx, struct irq_line *l);
/* Lowers it; when this returns @eoi is not running and will not be called. Zeroed memory is fine. */
void irq_line_detach(struct irq_line *l);
/* Raise or lower the line: the pin is high while one of its lines is. Returns the level it had. */
bool irq_line_set(struct irq_line *l, bool level);

#endif
