/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Can this host's hardware put a device's interrupts into a guest by itself ("posted", by VT-d's
 * posted-interrupt descriptors or AMD's AVIC)? The kernel does not say of a single vector whether it
 * does, so this is worked out from what has to be true, and where one of it is not known the answer is
 * no.
 */
#ifndef VIADUCT_PASSTHROUGH_POSTING_H
#define VIADUCT_PASSTHROUGH_POSTING_H

#include <stdbool.h>

#include "common/sysfs.h"
#include "irqremap/snapshot.h"

struct posting {
	bool possible;
	char why[160]; /* what speaks for it, or the first thing that speaks against it */
};

/*
 * Every remapping unit of the host posts (VT-d: CAP bit 59; AMD: EFR GASup and guest virtual APIC
 * mode), KVM's APICv or AVIC is on, AVIC also for x2APIC guests, and the kernel's command line does
 * not turn posting off.
 */
void posting_read(const struct sysfs *sysfs, struct posting *ret);

/*
 * Does KVM post a message of this kind: fixed or lowest priority, to one vCPU
 * (vmx_pi_update_irte(), avic_pi_update_irte())? Of logical destinations only a single bit is
 * taken to be one vCPU.
 */
bool posting_takes(struct irq_target t);

#endif
