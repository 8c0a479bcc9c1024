// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From what a device writes to what the processors see. Every message of the VM passes here, be it
 * a vector's, a pin's or one sent by our own code; the guest's remapping unit joins here.
 */
#include <errno.h>

#include "irqremap/internal.h"
#include "irqremap/message.h"

int irq_translate(
	struct irq_router *r, uint16_t rid, struct irq_msi in, bool request, struct irq_msi *ret)
{
	/*
	 * On hardware such a write goes to memory, or is refused by the IOMMU, but interrupts
	 * nobody. KVM would take it: without x2APIC ids it looks at bits 19:2 of the address only.
	 */
	if ((in.addr & MSI_ADDR_MASK) != MSI_BASE) {
		/* 0 is what Linux leaves when it frees a vector: nothing to warn of. */
		if (in.addr)
			log_guest(&r->not_msi,
				"function %02x:%02x.%u: message address 0x%llx is outside "
				"0xfee00000-0xfeefffff: no interrupt",
				rid >> 8, rid >> 3 & 0x1f, rid & 7, (unsigned long long)in.addr);
		return -EINVAL;
	}
	if (r->vtd)
		return vtd_translate(r->vtd, rid, in, request, ret);
	*ret = in;
	return 0;
}

void irq_router_retranslate(struct irq_router *r, uint32_t first, uint32_t last)
{
	struct ioapic *io;

	irq_vectors_retranslate(r, first, last);
	pthread_mutex_lock(&r->lock);
	io = r->ioapic;
	pthread_mutex_unlock(&r->lock);
	if (io)
		ioapic_retranslate(io);
}
