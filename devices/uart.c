// SPDX-License-Identifier: GPL-2.0-or-later
/* 16550A: National Semiconductor PC16550D datasheet (June 1995), sections 8.1 to 8.9. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "devices/devices.h"

#define PORTS 8u
#define FIFO  16u

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RX    0x01u
#define IER_THRE  0x02u
#define IER_LINE  0x04u
#define IER_MODEM 0x08u

#define IIR_NONE    0x01u
#define IIR_MODEM   0x00u
#define IIR_THRE    0x02u
#define IIR_RX      0x04u
#define IIR_LINE    0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFO    0xc0u

#define FCR_ENABLE   0x01u
#define FCR_CLEAR_RX 0x02u

#define LCR_DLAB 0x80u

#define MCR_DTR  0x01u
#define MCR_RTS  0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u

#define LSR_DR   0x01u
#define LSR_OE   0x02u
#define LSR_THRE 0x20u
#define LSR_TEMT 0x40u

#define MSR_TERI 0x04u
#define MSR_CTS  0x10u
#define MSR_DSR  0x20u
#define MSR_RI   0x40u
#define MSR_DCD  0x80u

/*
 * The transmitter is never busy: bytes go out within the write. So THRE and TEMT always read 1,
 * and "the transmitter became empty" happens at each write.
 */
struct uart {
	struct bus *pio;
	uint16_t port;
	struct uart_ops ops;
	pthread_mutex_t lock;

	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	uint8_t msr_delta, modem; /* modem: the input lines as MSR shows them */
	bool thre_pending, overrun;
	uint8_t rx[FIFO];
	unsigned int rx_head, rx_len;
	bool line;   /* level last given to ops.irq */
	bool choked; /* uart_input() took less than offered */
};

static bool fifo_on(const struct uart *u)
{
	return u->fcr & FCR_ENABLE;
}

static unsigned int rx_room(const struct uart *u)
{
	return (fifo_on(u) ? FIFO : 1) - u->rx_len;
}

static unsigned int rx_trigger(const struct uart *u)
{
	static const uint8_t level[] = {1, 4, 8, 14};

	return fifo_on(u) ? level[u->fcr >> 6] : 1;
}

/* Table IV: the highest-priority source that is enabled. */
static uint8_t source(const struct uart *u)
{
	if ((u->ier & IER_LINE) && u->overrun)
		return IIR_LINE;
	if ((u->ier & IER_RX) && u->rx_len >= rx_trigger(u))
		return IIR_RX;
	/* The datasheet waits four character times; there is no line to wait for. */
	if ((u->ier & IER_RX) && u->rx_len)
		return IIR_TIMEOUT;
	if ((u->ier & IER_THRE) && u->thre_pending)
		return IIR_THRE;
	if ((u->ier & IER_MODEM) && u->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

/* On a PC the pin OUT2 gates the interrupt; in loopback it is inactive. */
static void irq_update(struct uart *u)
{
	bool gate = (u->mcr & MCR_OUT2) && !(u->mcr & MCR_LOOP);
	bool level = gate && source(u) != IIR_NONE;

	if (level != u->line) {
		u->line = level;
		u->ops.irq(u->ops.ctx, level);
	}
}

static void rx_push(struct uart *u, uint8_t v)
{
	if (!rx_room(u)) {
		/* §8.4, bit 1: a full FIFO keeps its bytes, RBR alone is overwritten. */
		u->overrun = true;
		if (!fifo_on(u))
			u->rx[u->rx_head] = v;
		return;
	}
	u->rx[(u->rx_head + u->rx_len++) % FIFO] = v;
}

static void rx_clear(struct uart *u)
{
	u->rx_head = u->rx_len = 0;
}

static uint8_t rx_pop(struct uart *u)
{
	uint8_t v = u->rx[u->rx_head];

	if (u->rx_len) {
		u->rx_head = (u->rx_head + 1) % FIFO;
		u->rx_len--;
	}
	return v;
}

/* In loopback the modem outputs are wired to the inputs; else a terminal is there and ready. */
static uint8_t modem_lines(const struct uart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	return (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void modem_update(struct uart *u)
{
	uint8_t now = modem_lines(u), changed = now ^ u->modem;

	/* The delta bits sit four below their lines; RI counts only when it ends. */
	u->msr_delta |= (changed >> 4) & ~MSR_TERI;
	if ((changed & MSR_RI) && !(now & MSR_RI))
		u->msr_delta |= MSR_TERI;
	u->modem = now;
}

static uint8_t lsr_read(struct uart *u)
{
	uint8_t v = LSR_THRE | LSR_TEMT | (u->rx_len ? LSR_DR : 0) | (u->overrun ? LSR_OE : 0);

	u->overrun = false;
	return v;
}

static uint8_t iir_read(struct uart *u)
{
	uint8_t src = source(u);

	if (src == IIR_THRE)
		u->thre_pending = false;
	return src | (fifo_on(u) ? IIR_FIFO : 0);
}

static uint8_t reg_read(struct uart *u, unsigned int reg)
{
	uint8_t v;

	switch (reg) {
	case REG_DATA: return u->lcr & LCR_DLAB ? u->dll : rx_pop(u);
	case REG_IER: return u->lcr & LCR_DLAB ? u->dlm : u->ier;
	case REG_IIR_FCR: return iir_read(u);
	case REG_LCR: return u->lcr;
	case REG_MCR: return u->mcr;
	case REG_LSR: return lsr_read(u);
	case REG_MSR:
		v = u->modem | u->msr_delta;
		u->msr_delta = 0;
		return v;
	default: return u->scr;
	}
}

static void data_write(struct uart *u, uint8_t v)
{
	if (u->lcr & LCR_DLAB) {
		u->dll = v;
		return;
	}
	if (u->mcr & MCR_LOOP)
		rx_push(u, v);
	else
		u->ops.out(u->ops.ctx, &v, 1);
	u->thre_pending = true;
}

static void ier_write(struct uart *u, uint8_t v)
{
	if (u->lcr & LCR_DLAB) {
		u->dlm = v;
		return;
	}
	v &= IER_RX | IER_THRE | IER_LINE | IER_MODEM;
	/* Enabling it while the transmitter is empty interrupts at once: drivers start so. */
	if ((v & IER_THRE) && !(u->ier & IER_THRE))
		u->thre_pending = true;
	u->ier = v;
}

/* §8.5: the other bits count only together with bit 0; changing bit 0 clears the FIFOs. */
static void fcr_write(struct uart *u, uint8_t v)
{
	if ((v ^ u->fcr) & FCR_ENABLE)
		rx_clear(u);
	if (!(v & FCR_ENABLE)) {
		u->fcr = 0;
		return;
	}
	if (v & FCR_CLEAR_RX)
		rx_clear(u);
	u->fcr = v & (FCR_ENABLE | 0xc0);
}

static void reg_write(struct uart *u, unsigned int reg, uint8_t v)
{
	switch (reg) {
	case REG_DATA: data_write(u, v); break;
	case REG_IER: ier_write(u, v); break;
	case REG_IIR_FCR: fcr_write(u, v); break;
	case REG_LCR: u->lcr = v; break;
	case REG_MCR:
		u->mcr = v & 0x1f;
		modem_update(u);
		break;
	case REG_SCR: u->scr = v; break;
	default: break; /* LSR and MSR: factory test only */
	}
}

/* ops.room may call uart_input(), so it is told without the lock. */
static bool room_take(struct uart *u)
{
	bool tell = u->choked && rx_room(u);

	if (tell)
		u->choked = false;
	return tell;
}

/* An ISA bus carries a wider access out as bytes, lowest port first. */
static uint64_t uart_read(void *ctx, uint64_t off, unsigned int len)
{
	struct uart *u = ctx;
	uint64_t v = 0;
	bool room;

	pthread_mutex_lock(&u->lock);
	for (unsigned int i = 0; i < len; i++)
		v |= (uint64_t)reg_read(u, (unsigned int)off + i) << (8 * i);
	irq_update(u);
	room = room_take(u);
	pthread_mutex_unlock(&u->lock);
	if (room && u->ops.room)
		u->ops.room(u->ops.ctx);
	return v;
}

static void uart_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	struct uart *u = ctx;
	bool room;

	pthread_mutex_lock(&u->lock);
	for (unsigned int i = 0; i < len; i++)
		reg_write(u, (unsigned int)off + i, (uint8_t)(val >> (8 * i)));
	irq_update(u);
	room = room_take(u);
	pthread_mutex_unlock(&u->lock);
	if (room && u->ops.room)
		u->ops.room(u->ops.ctx);
}

/* Master reset, table I; the divisor and the scratch register keep their values. */
static void regs_reset(struct uart *u)
{
	u->ier = u->fcr = u->lcr = u->mcr = 0;
	u->msr_delta = 0;
	u->modem = modem_lines(u);
	u->thre_pending = u->overrun = false;
	rx_clear(u);
}

int uart_create(struct bus *pio, uint16_t port, const struct uart_ops *ops, struct err *e,
	struct uart **ret)
{
	struct uart *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return err_sys(e, ENOMEM, "UART at port 0x%x", port);
	u->pio = pio;
	u->port = port;
	u->ops = *ops;
	pthread_mutex_init(&u->lock, NULL);
	u->dll = 12; /* 9600 baud */
	regs_reset(u);
	r = bus_add(pio,
		&(struct bus_region){.base = port,
			.size = PORTS,
			.read = uart_read,
			.write = uart_write,
			.ctx = u,
			.name = "uart"},
		e);
	if (r < 0) {
		pthread_mutex_destroy(&u->lock);
		free(u);
		return err_wrap(e, r, "UART at port 0x%x", port);
	}
	*ret = u;
	return 0;
}

void uart_destroy(struct uart *u)
{
	if (!u)
		return;
	bus_remove(u->pio, u->port, u);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

size_t uart_input(struct uart *u, const uint8_t *buf, size_t len)
{
	size_t n = 0;

	pthread_mutex_lock(&u->lock);
	/* In loopback the serial input is disconnected (§8.8); it waits instead of being lost. */
	if (!(u->mcr & MCR_LOOP))
		while (n < len && rx_room(u))
			rx_push(u, buf[n++]);
	u->choked = n < len;
	irq_update(u);
	pthread_mutex_unlock(&u->lock);
	return n;
}

void uart_reset(struct uart *u)
{
	bool room;

	pthread_mutex_lock(&u->lock);
	regs_reset(u);
	irq_update(u);
	room = room_take(u);
	pthread_mutex_unlock(&u->lock);
	if (room && u->ops.room)
		u->ops.room(u->ops.ctx);
}
