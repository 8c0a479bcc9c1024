/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's remapping unit: a VT-d register block ("VT-d" below: Intel Virtualization Technology
 * for Directed I/O, revision 4.1) with interrupt remapping, queued invalidation and extended interrupt
 * mode. Every message of the VM passes it (translate.c); what it lets through is an ordinary message
 * with a 32-bit destination, and a route or an injection of KVM.
 *
 * Its DMA side says that it supports no address width, so a guest leaves it alone. One that turns it on
 * all the same gets pass-through: nothing is translated, whatever the tables say. After
 * vtd_dma_offer() the guest's root and context tables count (legacy mode): a requester that they
 * give pass-through reaches all memory, as while translation is off; the DMA of any other one, also of
 * one for which the guest has made page tables, is blocked.
 *
 * Interrupt entries are cached as routes of KVM: one that the guest changes takes effect at its
 * invalidation (VT-d §6.5.3). An entry that was not usable is not cached: it is read again when the
 * next interrupt asks for it, and that is also when its fault is recorded.
 *
 * Thread-safe; vCPU threads call in on register accesses.
 */
#ifndef VIADUCT_IRQREMAP_VTD_H
#define VIADUCT_IRQREMAP_VTD_H

#include "irqremap/irqremap.h"

#define VTD_SIZE 0x1000u /* of the register block */

/* Guest memory: 0, or -EFAULT when it is not all RAM. */
struct vtd_memory {
	int (*read)(void *ctx, uint64_t gpa, void *buf, size_t len);
	int (*write)(void *ctx, uint64_t gpa, const void *buf, size_t len);
	void *ctx;
};

struct vtd;

struct vtd_stats {
	uint64_t faults; /* requests blocked by a fault, recorded or not */
	uint64_t
		faults_lost; /* of them, not recorded: the registers were full or it was disabled */
	uint64_t invalidations;   /* of interrupt entries: descriptors carried out */
	uint64_t descriptors;     /* all that the queue carried out */
	uint64_t dma_faults;      /* of faults, DMA requests */
	unsigned int dma_blocked; /* requesters that are blocked now */
	uint64_t queue_errors;
	bool enabled;  /* the guest's interrupts are remapped now */
	bool extended; /* 32-bit destinations: x2APIC mode */
	bool dma_on;   /* the guest's context tables count now */
};

/*
 * Make the unit of @r's messages; off, as at power-on, until the guest turns it on. One per router,
 * before any vector. @mem is copied and must outlive it. -ENOMEM, -EMFILE.
 */
int vtd_create(struct irq_router *r, const struct vtd_memory *mem, struct err *e, struct vtd **ret);
/* After the vectors and the IOAPIC. NULL is allowed. */
void vtd_destroy(struct vtd *v);
/*
 * The register block, VT-d §11. Aligned accesses of 4 and 8 bytes; others read as 0 and write
 * nothing. Carries out commands and the invalidation queue before it returns.
 */
uint64_t vtd_read(struct vtd *v, uint64_t off, unsigned int len);
void vtd_write(struct vtd *v, uint64_t off, unsigned int len, uint64_t val);
/* Power-on state; messages pass untouched again. */
void vtd_reset(struct vtd *v);
void vtd_stats(struct vtd *v, struct vtd_stats *ret);

/* ---- DMA ---- */

/*
 * Offer pass-through translation (VT-d §3.9): CAP gets an address width and caching mode. Before the
 * guest runs; stays over a reset.
 */
void vtd_dma_offer(struct vtd *v);

/*
 * The requester's DMA passes from now on (@allowed), or must have stopped when this returns. On the
 * thread of the vCPU that wrote a register, with the register lock held: it must not access
 * registers, attach or detach. Called for changes only; a requester starts as allowed.
 */
typedef void (*vtd_dma_fn)(void *ctx, bool allowed);

/* What the guest's tables say of a requester; zero: its requests pass untranslated. */
struct vtd_context {
	int fault;       /* why they are blocked: an enum vtd_dma_fault (irqremap/vtd_context.h) */
	bool quiet;      /* fault processing disabled: nothing is recorded */
	uint16_t domain; /* while not blocked */
};

/* What the unit remembers of a requester; the device's memory. All private. */
struct vtd_requester {
	struct vtd *vtd;
	struct vtd_requester *next;
	uint16_t rid;
	vtd_dma_fn fn;
	void *ctx;
	struct vtd_context context;
	uint64_t opened;
};

/* Fill @q and have @fn called as the guest's tables for @rid want it, maybe before this returns. */
void vtd_dma_attach(struct vtd *v, uint16_t rid, vtd_dma_fn fn, void *ctx, struct vtd_requester *q);
/* When this returns @fn is not running and will not be called. Zeroed memory is fine. */
void vtd_dma_detach(struct vtd_requester *q);
/*
 * The requester wants to access @gpa. False: it must not; the fault is recorded for the guest, unless its
 * entry says not to. Any thread, also from @fn.
 */
bool vtd_dma_request(struct vtd_requester *q, uint64_t gpa, bool write);

#endif
