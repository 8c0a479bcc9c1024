/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Emulated chips every guest has: a 16550A on COM1, the ACPI sleep register, reset by port 0xCF9
 * and by the i8042. Each takes the buses it sits on, knows no VM, and reports upward by callback.
 * Thread-safe: one lock per chip.
 */
#ifndef VIADUCT_DEVICES_H
#define VIADUCT_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "vmm/bus.h"

struct uart;

struct uart_ops {
	/* The guest sent bytes. Called with the chip's lock held; must not block for long. */
	void (*out)(void *ctx, const uint8_t *buf, size_t len);
	/* Drive the interrupt line. */
	void (*irq)(void *ctx, bool level);
	/* The receive FIFO has room again after uart_input() took less than offered. May be NULL. */
	void (*room)(void *ctx);
	void *ctx;
};

/* PC16550D datasheet. Occupies 8 ports at @port. */
int uart_create(struct bus *pio, uint16_t port, const struct uart_ops *ops, struct err *e,
	struct uart **ret);
void uart_destroy(struct uart *u);
/* Bytes for the guest; returns how many the FIFO took. */
size_t uart_input(struct uart *u, const uint8_t *buf, size_t len);
void uart_reset(struct uart *u);

enum pm_event { PM_POWEROFF, PM_RESET };

struct pm;

/*
 * ACPI sleep control/status registers (ACPI 6.4 §4.8.3.7), reset register 0xCF9 (bit 2 with bit 1),
 * i8042 command 0xFE (pulse reset) with an otherwise empty controller. @event is called from the
 * vCPU thread.
 */
int pm_create(struct bus *pio, void (*event)(void *ctx, enum pm_event ev), void *ctx, struct err *e,
	struct pm **ret);
void pm_destroy(struct pm *p);

#endif
