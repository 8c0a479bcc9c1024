// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The IOAPIC: Intel 82093AA datasheet (290566-001, 1996), "DS" below, with the EOI register of its
 * successors (Intel 82801BA datasheet, "ICH2" below, §9.5.5).
 *
 * The chip holds no latch. An edge on a masked pin is ignored (DS §3.2.4, "Interrupt Mask"; Linux
 * knows: startup_ioapic_irq() asks the 8259 for it), and a level is there as long as the line is:
 * what is owed to the guest is worked out anew from line, mask and remote IRR at each event.
 *
 * Level interrupts end with an EOI in the LAPIC, in the kernel. KVM leaves for user space at the
 * EOI of those vectors only that it finds, level-triggered, in the routes of GSI 0..23. So each
 * level pin has such a route, committed before its first message is sent. It stays when the pin is
 * masked, because the EOI of an interrupt under way is still to come.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "irqremap/internal.h"
#include "irqremap/message.h"

/* Register window, DS §3.1; EOIR from ICH2 §9.5.5. */
#define IOREGSEL 0x00
#define IOWIN    0x10
#define IOEOI    0x40

/* Behind IOWIN, DS §3.2. */
#define REG_ID      0x00
#define REG_VER     0x01
#define REG_ARB     0x02
#define REG_RTE     0x10
#define REG_RTE_END (REG_RTE + 2 * IRQ_IOAPIC_PINS)

#define ID_MASK 0x0f000000u
/*
 * 0x20 says that there is an EOI register; Linux then ends a stuck interrupt with it, else by
 * switching the pin to edge and back. Both work here.
 */
#define VERSION ((IRQ_IOAPIC_PINS - 1) << 16 | 0x20)

/* Redirection table entry, DS §3.2.4. */
#define RTE_VECTOR     0xffull
#define RTE_MODE_SHIFT 8
#define RTE_LOGICAL    (1ull << 11)
#define RTE_PENDING    (1ull << 12) /* delivery status: read-only, not stored */
#define RTE_LOW        (1ull << 13) /* polarity */
#define RTE_REMOTE     (1ull << 14) /* remote IRR: read-only */
#define RTE_LEVEL      (1ull << 15)
#define RTE_MASKED     (1ull << 16)
#define RTE_DEST_SHIFT 56
/* Bits 55:48 are bits 11:4 of the message's address (ICH2 §9.5.8), of which remapping has need. */
#define RTE_EXT_SHIFT 48
#define RTE_REMAP     (0xffull << RTE_EXT_SHIFT) /* writable where there is remapping: VT-d §5.1.5.1 */
#define RTE_WRITABLE  (0xffull << RTE_DEST_SHIFT | 0x1afffull)

enum rte_mode {
	RTE_FIXED,
	RTE_LOWEST,
	RTE_SMI,
	RTE_RESERVED_3,
	RTE_NMI,
	RTE_INIT,
	RTE_RESERVED_6,
	RTE_EXTINT,
};

#define ALL_PINS ((1u << IRQ_IOAPIC_PINS) - 1)

struct pin_eoi {
	ioapic_eoi_fn fn;
	void *ctx;
};

struct ioapic {
	pthread_mutex_t lock; /* all below but router and rid */
	struct irq_router *router;
	uint16_t rid;
	uint8_t sel;
	uint32_t id;
	uint32_t arb;
	uint32_t line;                          /* pins asserted */
	uint32_t stale;                         /* pins whose route the kernel has refused so far */
	uint32_t blocked;                       /* level pins whose fault has been recorded */
	uint32_t routed;                        /* pins with a route ... */
	uint8_t routed_vector[IRQ_IOAPIC_PINS]; /* ... of this vector */
	uint32_t ending;                        /* pins whose listener is being told */
	uint64_t rte[IRQ_IOAPIC_PINS];
	uint64_t sent[IRQ_IOAPIC_PINS]; /* messages that a processor took */
	struct pin_eoi eoi[IRQ_IOAPIC_PINS];
};

static enum rte_mode rte_mode(uint64_t rte)
{
	return rte >> RTE_MODE_SHIFT & 7;
}

/* SMI, NMI and INIT are edges even when programmed as level: no EOI follows them (DS §3.2.4). */
static bool rte_is_level(uint64_t rte)
{
	return rte & RTE_LEVEL && (rte_mode(rte) == RTE_FIXED || rte_mode(rte) == RTE_LOWEST);
}

static bool rte_sends(uint64_t rte)
{
	switch (rte_mode(rte)) {
	case RTE_FIXED:
	case RTE_LOWEST:
	case RTE_SMI:
	case RTE_NMI:
	case RTE_INIT: return true;
	/* In a message 3 and 6 would be remote read and start-up, which no IOAPIC sends. */
	case RTE_RESERVED_3:
	case RTE_RESERVED_6:
	/* There is no 8259 that would answer the acknowledge cycle. */
	case RTE_EXTINT: return false;
	}
	return false;
}

/* ICH2 §5.8.5.5: the message of an entry; the redirection hint is set for lowest priority. */
static struct irq_msi rte_message(uint64_t rte)
{
	return (struct irq_msi){
		.addr = MSI_BASE | (uint32_t)(rte >> RTE_EXT_SHIFT) << MSI_EXT_SHIFT |
			(rte_mode(rte) == RTE_LOWEST ? MSI_REDIRECT : 0) |
			(rte & RTE_LOGICAL ? MSI_LOGICAL : 0),
		.data = (uint32_t)(rte & RTE_VECTOR) | (uint32_t)rte_mode(rte) << MSI_MODE_SHIFT |
			MSI_ASSERT | (rte_is_level(rte) ? MSI_LEVEL : 0),
	};
}

/* ---- routes ---- */

static void pin_unroute(struct ioapic *io, unsigned int pin)
{
	struct irq_router *r = io->router;

	io->routed &= ~(1u << pin);
	pthread_mutex_lock(&r->lock);
	irq_route_drop(r, pin);
	/* Should it fail: the kernel's stale route costs an exit per EOI, and no more. */
	irq_route_commit(r, NULL);
	pthread_mutex_unlock(&r->lock);
}

/* Does the entry of @pin ask for a route, and for which message? */
static bool pin_wants_route(const struct ioapic *io, unsigned int pin, struct irq_msi *ret)
{
	uint64_t rte = io->rte[pin];

	if (!rte_is_level(rte) || irq_translate(io->router, io->rid, rte_message(rte), false, ret))
		return false;
	/*
	 * An EOI in the LAPIC ends the pin with that vector in its entry. A remapped one may have
	 * another: then the guest writes the EOI register, and an exit for the LAPIC's would be wasted.
	 */
	return (ret->data & RTE_VECTOR) == (rte & RTE_VECTOR);
}

/* Bring the routes of @pins in step with their entries, by one commit. While masked, that can wait. */
static void pins_route(struct ioapic *io, uint32_t pins)
{
	struct irq_router *r = io->router;
	struct irq_route old[IRQ_IOAPIC_PINS];
	uint8_t vector[IRQ_IOAPIC_PINS];
	uint32_t moved = 0, wanted = 0;
	struct irq_msi out;
	int err = 0;

	pins &= ALL_PINS;
	for (unsigned int pin = 0; pin < IRQ_IOAPIC_PINS; pin++) {
		if (io->rte[pin] & RTE_MASKED)
			pins &= ~(1u << pin);
	}
	pthread_mutex_lock(&r->lock);
	for (unsigned int pin = 0; pin < IRQ_IOAPIC_PINS; pin++) {
		bool changed;

		if (!(pins & 1u << pin))
			continue;
		old[pin] = r->routes[pin];
		if (pin_wants_route(io, pin, &out)) {
			wanted |= 1u << pin;
			changed = irq_route_put(r, pin, out);
			vector[pin] = out.data & RTE_VECTOR;
		} else {
			changed = irq_route_drop(r, pin);
		}
		moved |= (uint32_t)changed << pin;
	}
	if (moved)
		err = irq_route_commit(r, NULL);
	for (unsigned int pin = 0; pin < IRQ_IOAPIC_PINS; pin++) {
		if (err && moved & 1u << pin)
			irq_route_restore(r, pin, old[pin]);
		else if (wanted & 1u << pin)
			io->routed_vector[pin] = vector[pin];
	}
	pthread_mutex_unlock(&r->lock);
	if (err)
		log_debug("ioapic: routes of pins 0x%x refused: %s", moved, strerror(-err));
	else
		moved = 0;
	/* A route too many does no harm, as above; a pin that lacks its own must wait. */
	io->stale = (io->stale & ~pins) | (moved & wanted);
	io->routed = (io->routed & ~(pins & ~moved)) | (wanted & ~moved);
}

static void pin_route(struct ioapic *io, unsigned int pin)
{
	pins_route(io, 1u << pin);
}

/* ---- delivery ---- */

/* Is a level interrupt of @pin owed to the guest? */
static bool pin_owes(const struct ioapic *io, unsigned int pin)
{
	uint64_t rte = io->rte[pin];

	return io->line & ~io->ending & 1u << pin && rte_is_level(rte) &&
	       !(rte & (RTE_MASKED | RTE_REMOTE));
}

/*
 * A level that the remapping unit blocks asks once, so its fault is recorded once until line or entry
 * change. It is tried further in silence, as what blocks it may go.
 */
static bool level_send(struct ioapic *io, unsigned int pin)
{
	uint32_t bit = 1u << pin;
	struct irq_msi out;

	if (irq_translate(
		    io->router, io->rid, rte_message(io->rte[pin]), !(io->blocked & bit), &out)) {
		io->blocked |= bit;
		return false;
	}
	io->blocked &= ~bit;
	return irq_router_inject(io->router, &out) > 0;
}

/*
 * Send what level pins owe. What no LAPIC accepted is tried again at the next event, as remote IRR
 * tells acceptance (DS §3.2.4); until then the delivery status reads as "send pending".
 */
static void pins_service(struct ioapic *io)
{
	unsigned int pin;

	for (pin = 0; pin < IRQ_IOAPIC_PINS; pin++) {
		if (!pin_owes(io, pin))
			continue;
		/* Without its route the EOI would not reach us, and the pin would be stuck. */
		if (io->stale & 1u << pin)
			pin_route(io, pin);
		if (io->stale & 1u << pin)
			continue;
		if (level_send(io, pin)) {
			io->rte[pin] |= RTE_REMOTE;
			io->sent[pin]++;
		}
	}
}

/*
 * Last step of every event: tell who listens that the interrupts of @ended are over, then deliver.
 * In that order, as the listener of a line that is low by now lowers it in its call; nobody else's
 * event delivers these pins meanwhile. Drops the lock.
 */
static void ioapic_settle(struct ioapic *io, uint32_t ended)
{
	struct pin_eoi eoi[IRQ_IOAPIC_PINS];
	unsigned int pin;

	if (ended) {
		memcpy(eoi, io->eoi, sizeof(eoi));
		io->ending |= ended;
		pthread_mutex_unlock(&io->lock);
		for (pin = 0; pin < IRQ_IOAPIC_PINS; pin++)
			if (ended & 1u << pin && eoi[pin].fn)
				eoi[pin].fn(eoi[pin].ctx, pin);
		pthread_mutex_lock(&io->lock);
		io->ending &= ~ended;
	}
	pins_service(io);
	pthread_mutex_unlock(&io->lock);
}

void ioapic_set(struct ioapic *io, unsigned int pin, bool level)
{
	uint32_t bit = 1u << pin;
	uint64_t rte;
	bool rise;

	assert(pin < IRQ_IOAPIC_PINS);
	pthread_mutex_lock(&io->lock);
	rte = io->rte[pin];
	rise = level && !(io->line & bit);
	io->line = level ? io->line | bit : io->line & ~bit;
	if (!level)
		io->blocked &= ~bit;
	if (rise && !rte_is_level(rte) && rte_sends(rte) && !(rte & RTE_MASKED) &&
		irq_router_send(io->router, io->rid, rte_message(rte)) > 0)
		io->sent[pin]++;
	ioapic_settle(io, 0);
}

/* ---- end of interrupt ---- */

/* Returns the pins whose interrupt @vector ended. */
static uint32_t pins_end(struct ioapic *io, uint8_t vector)
{
	uint32_t ended = 0;
	unsigned int pin;

	for (pin = 0; pin < IRQ_IOAPIC_PINS; pin++) {
		if (!(io->rte[pin] & RTE_REMOTE) || (io->rte[pin] & RTE_VECTOR) != vector)
			continue;
		io->rte[pin] &= ~RTE_REMOTE;
		ended |= 1u << pin;
	}
	return ended;
}

void ioapic_eoi(struct ioapic *io, uint8_t vector)
{
	uint32_t ended;
	unsigned int pin;

	pthread_mutex_lock(&io->lock);
	ended = pins_end(io, vector);
	/*
	 * An exit for nothing: a pin masked for good left its route, and the guest gave the vector
	 * to another device, whose every EOI would exit.
	 */
	for (pin = 0; !ended && pin < IRQ_IOAPIC_PINS; pin++)
		if (io->routed & 1u << pin && io->routed_vector[pin] == vector &&
			io->rte[pin] & RTE_MASKED)
			pin_unroute(io, pin);
	ioapic_settle(io, ended);
}

void ioapic_retranslate(struct ioapic *io)
{
	pthread_mutex_lock(&io->lock);
	pins_route(io, ALL_PINS);
	/* What was blocked may be allowed now. */
	ioapic_settle(io, 0);
}

void ioapic_on_eoi(struct ioapic *io, unsigned int pin, ioapic_eoi_fn fn, void *ctx)
{
	assert(pin < IRQ_IOAPIC_PINS);
	pthread_mutex_lock(&io->lock);
	io->eoi[pin] = (struct pin_eoi){fn, ctx};
	pthread_mutex_unlock(&io->lock);
}

/* ---- registers ---- */

static uint32_t reg_read(const struct ioapic *io)
{
	unsigned int pin = (io->sel - REG_RTE) / 2;
	uint64_t rte;

	if (io->sel == REG_ID)
		return io->id;
	if (io->sel == REG_VER)
		return VERSION;
	if (io->sel == REG_ARB)
		return io->arb;
	if (io->sel < REG_RTE || io->sel >= REG_RTE_END)
		return 0;
	rte = io->rte[pin] | (pin_owes(io, pin) ? RTE_PENDING : 0);
	return (uint32_t)(io->sel & 1 ? rte >> 32 : rte);
}

/* Returns the pins whose interrupt the write ended. */
static uint32_t reg_write(struct ioapic *io, uint32_t val)
{
	unsigned int pin = (io->sel - REG_RTE) / 2;
	uint64_t writable = RTE_WRITABLE | (io->router->vtd ? RTE_REMAP : 0);
	uint64_t mask = writable & (io->sel & 1 ? ~0xffffffffull : 0xffffffffull);
	uint64_t rte;

	/* DS §3.2.3: the arbitration id is loaded when the id is written. */
	if (io->sel == REG_ID)
		io->id = io->arb = val & ID_MASK;
	if (io->sel < REG_RTE || io->sel >= REG_RTE_END)
		return 0;
	rte = io->rte[pin];
	rte = (rte & ~mask) | ((io->sel & 1 ? (uint64_t)val << 32 : val) & mask);
	/* Remote IRR has no meaning for edges (DS §3.2.4): Linux ends a stuck interrupt this way. */
	if (!(rte & RTE_LEVEL))
		rte &= ~RTE_REMOTE;
	mask = io->rte[pin] & ~rte & RTE_REMOTE;
	io->rte[pin] = rte;
	io->blocked &= ~(1u << pin);
	pin_route(io, pin);
	return mask ? 1u << pin : 0;
}

uint64_t ioapic_read(struct ioapic *io, uint64_t off, unsigned int len)
{
	uint64_t val = 0;

	pthread_mutex_lock(&io->lock);
	if (off == IOREGSEL && (len == 1 || len == 2 || len == 4))
		val = io->sel;
	else if (off == IOWIN && len == 4)
		val = reg_read(io);
	pthread_mutex_unlock(&io->lock);
	return val;
}

void ioapic_write(struct ioapic *io, uint64_t off, unsigned int len, uint64_t val)
{
	uint32_t ended = 0;

	pthread_mutex_lock(&io->lock);
	if (off == IOREGSEL && (len == 1 || len == 2 || len == 4))
		io->sel = (uint8_t)val;
	else if (off == IOWIN && len == 4)
		ended = reg_write(io, (uint32_t)val);
	else if (off == IOEOI && len == 4)
		ended = pins_end(io, (uint8_t)val);
	ioapic_settle(io, ended);
}

void ioapic_snapshot(struct ioapic *io, unsigned int pin, struct ioapic_pin *ret)
{
	uint64_t rte;

	assert(pin < IRQ_IOAPIC_PINS);
	pthread_mutex_lock(&io->lock);
	rte = io->rte[pin];
	*ret = (struct ioapic_pin){
		.masked = rte & RTE_MASKED,
		.level = rte_is_level(rte),
		.asserted = io->line >> pin & 1,
		.remote_irr = rte & RTE_REMOTE,
		.pending = pin_owes(io, pin),
		.sends = rte_sends(rte),
		.sent = io->sent[pin],
	};
	irq_way_find(io->router, io->rid, rte_message(rte), &ret->way);
	pthread_mutex_unlock(&io->lock);
}

/* ---- life ---- */

/* DS §3.2: all entries masked, the rest 0. The lines are the devices', not ours. */
static void regs_reset(struct ioapic *io)
{
	unsigned int pin;

	io->sel = 0;
	io->id = io->arb = 0;
	io->stale = 0;
	io->blocked = 0;
	for (pin = 0; pin < IRQ_IOAPIC_PINS; pin++)
		io->rte[pin] = RTE_MASKED;
}

static bool pins_drop(struct ioapic *io)
{
	bool any = false;
	unsigned int pin;

	for (pin = 0; pin < IRQ_IOAPIC_PINS; pin++)
		any |= irq_route_drop(io->router, pin);
	io->routed = 0;
	return any;
}

int ioapic_create(struct irq_router *r, uint16_t rid, struct err *e, struct ioapic **ret)
{
	struct ioapic *io = calloc(1, sizeof(*io));

	if (!io)
		return err_sys(e, ENOMEM, "ioapic");
	pthread_mutex_init(&io->lock, NULL);
	io->router = r;
	io->rid = rid;
	regs_reset(io);
	pthread_mutex_lock(&r->lock);
	r->users++;
	r->ioapic = io;
	pthread_mutex_unlock(&r->lock);
	*ret = io;
	return 0;
}

void ioapic_destroy(struct ioapic *io)
{
	if (!io)
		return;
	pthread_mutex_lock(&io->router->lock);
	pins_drop(io);
	io->router->users--;
	io->router->ioapic = NULL;
	pthread_mutex_unlock(&io->router->lock);
	pthread_mutex_destroy(&io->lock);
	free(io);
}

void ioapic_reset(struct ioapic *io)
{
	pthread_mutex_lock(&io->lock);
	regs_reset(io);
	pthread_mutex_lock(&io->router->lock);
	if (pins_drop(io))
		irq_route_commit(io->router, NULL);
	pthread_mutex_unlock(&io->router->lock);
	pthread_mutex_unlock(&io->lock);
}
