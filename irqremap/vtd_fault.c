// SPDX-License-Identifier: GPL-2.0-or-later
/* Fault records and the two interrupts the unit itself raises: VT-d §7. */
#include "irqremap/message.h"
#include "irqremap/vtd_priv.h"

/* Offsets from an event's control register. */
#define EVENT_DATA  4
#define EVENT_ADDR  8
#define EVENT_UADDR 12

/* Not remapped: VT-d §5.1.6. With the lock; injecting takes no lock of ours. */
static void event_send(struct vtd *v, unsigned int ctl)
{
	struct irq_msi m = {
		.addr = *vtd_reg(v, ctl + EVENT_ADDR) |
			(uint64_t)(*vtd_reg(v, ctl + EVENT_UADDR) & 0xffffff00u) << 32,
		.data = *vtd_reg(v, ctl + EVENT_DATA),
	};

	if ((*vtd_reg(v, ctl + EVENT_ADDR) & MSI_ADDR_MASK) == MSI_BASE)
		irq_router_inject(v->router, &m);
}

void vtd_event_raise(struct vtd *v, unsigned int ctl)
{
	if (*vtd_reg(v, ctl) & EVENT_MASKED)
		*vtd_reg(v, ctl) |= EVENT_PENDING;
	else
		event_send(v, ctl);
}

void vtd_event_control(struct vtd *v, unsigned int ctl, uint32_t val)
{
	uint32_t *reg = vtd_reg(v, ctl);

	*reg = (*reg & EVENT_PENDING) | (val & EVENT_MASKED);
	if (*reg == EVENT_PENDING) {
		*reg = 0;
		event_send(v, ctl);
	}
}

void vtd_fault_status(struct vtd *v, uint32_t bits)
{
	uint32_t *fsts = vtd_reg(v, VTD_FSTS), before = *fsts;

	*fsts |= bits;
	if (!(before & FSTS_ANY))
		vtd_event_raise(v, VTD_FECTL);
}

void vtd_fault_record(struct vtd *v, uint16_t rid, uint64_t info, uint32_t what)
{
	uint32_t *r = vtd_reg(v, VTD_FRCD + 16 * v->next_fault);

	/* Until the guest has read what overflowed, nothing new is recorded. */
	if (*vtd_reg(v, VTD_FSTS) & FSTS_PFO || r[3] & FRCD_F >> 32) {
		v->stats.faults_lost++;
		vtd_fault_status(v, FSTS_PFO);
		return;
	}
	r[0] = (uint32_t)info;
	r[1] = (uint32_t)(info >> 32);
	r[2] = rid;
	r[3] = what | FRCD_F >> 32;
	if (!(*vtd_reg(v, VTD_FSTS) & FSTS_PPF)) {
		*vtd_reg(v, VTD_FSTS) &= ~FSTS_FRI;
		vtd_fault_status(v, FSTS_PPF | v->next_fault << 8);
	}
	v->next_fault = (v->next_fault + 1) % VTD_FRCDS;
}

/* Nothing is left to tell of: an event that waited for its unmask is void (VT-d §11.4.8). */
static void status_settle(struct vtd *v)
{
	if (!(*vtd_reg(v, VTD_FSTS) & FSTS_ANY))
		*vtd_reg(v, VTD_FECTL) &= ~EVENT_PENDING;
}

void vtd_fault_clear(struct vtd *v, uint32_t bits)
{
	*vtd_reg(v, VTD_FSTS) &= ~(bits & FSTS_W1C);
	status_settle(v);
}

void vtd_fault_record_write(struct vtd *v, unsigned int off, uint32_t val)
{
	bool any = false;

	if (val & FRCD_F >> 32)
		*vtd_reg(v, off) &= ~(uint32_t)(FRCD_F >> 32);
	for (unsigned int i = 0; i < VTD_FRCDS; i++)
		any |= *vtd_reg(v, VTD_FRCD + 16 * i + 12) & FRCD_F >> 32;
	if (!any)
		*vtd_reg(v, VTD_FSTS) &= ~FSTS_PPF;
	status_settle(v);
}
