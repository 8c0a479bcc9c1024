// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The 16550A against a model that keeps whole queues and recomputes everything: every value read,
 * every byte sent, the level of the interrupt line. Input: pairs of (operation, value).
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/devices.h"
#include "tests/fuzz/fuzz_check.h"

#define COM 0x3f8u

struct model {
	uint8_t queue[16];
	unsigned int queued;
	uint8_t ier, lcr, mcr, scr, dll, dlm, lines, delta;
	bool fifo, over, empty_event;
	unsigned int level;
	uint8_t sent;
	bool any_sent;
};

struct seen {
	bool line, any_sent;
	uint8_t sent;
};

static void on_out(void *ctx, const uint8_t *buf, size_t len)
{
	struct seen *s = ctx;

	CHECK(len == 1 && !s->any_sent);
	s->sent = buf[0];
	s->any_sent = true;
}

static void on_irq(void *ctx, bool level)
{
	struct seen *s = ctx;

	CHECK(level != s->line);
	s->line = level;
}

static unsigned int model_cap(const struct model *m)
{
	return m->fifo ? 16 : 1;
}

static uint8_t model_iir(const struct model *m)
{
	bool data = m->queued && (m->ier & 1), full = m->queued >= (m->fifo ? m->level : 1);

	if (m->over && (m->ier & 4))
		return 6;
	if (data)
		return full ? 4 : 12;
	if (m->empty_event && (m->ier & 2))
		return 2;
	return m->delta && (m->ier & 8) ? 0 : 1;
}

static bool model_line(const struct model *m)
{
	return (m->mcr & 0x18) == 0x08 && model_iir(m) != 1;
}

static bool model_receive(struct model *m, uint8_t v)
{
	if (m->queued == model_cap(m))
		return false;
	m->queue[m->queued++] = v;
	return true;
}

static uint8_t model_lines(uint8_t mcr)
{
	if (!(mcr & 0x10))
		return 0xb0;
	return (uint8_t)((mcr & 1) << 5 | (mcr & 2) << 3 | (mcr & 4) << 4 | (mcr & 8) << 4);
}

static void model_write(struct model *m, unsigned int reg, uint8_t v)
{
	uint8_t now;

	switch (reg) {
	case 0:
		if (m->lcr & 0x80) {
			m->dll = v;
			break;
		}
		m->empty_event = true;
		if (!(m->mcr & 0x10)) {
			m->sent = v;
			m->any_sent = true;
		} else if (!model_receive(m, v)) {
			m->over = true;
			if (!m->fifo)
				m->queue[0] = v;
		}
		break;
	case 1:
		if (m->lcr & 0x80) {
			m->dlm = v;
			break;
		}
		m->empty_event |= !(m->ier & 2) && (v & 2);
		m->ier = v & 15;
		break;
	case 2:
		if (m->fifo != (v & 1) || (v & 3) == 3)
			m->queued = 0;
		m->fifo = v & 1;
		m->level = (const unsigned int[]){1, 4, 8, 14}[v >> 6];
		break;
	case 3: m->lcr = v; break;
	case 4:
		m->mcr = v & 0x1f;
		now = model_lines(m->mcr);
		for (unsigned int bit = 4; bit < 8; bit++) {
			bool was = m->lines >> bit & 1, is = now >> bit & 1;

			if (bit == 6 ? was && !is : was != is)
				m->delta |= (uint8_t)(1 << (bit - 4));
		}
		m->lines = now;
		break;
	case 7: m->scr = v; break;
	default: break;
	}
}

/* Returns false where the datasheet leaves the value open. */
static bool model_read(struct model *m, unsigned int reg, uint8_t *v)
{
	switch (reg) {
	case 0:
		if (m->lcr & 0x80) {
			*v = m->dll;
			return true;
		}
		if (!m->queued)
			return false;
		*v = m->queue[0];
		memmove(m->queue, m->queue + 1, --m->queued);
		return true;
	case 1: *v = m->lcr & 0x80 ? m->dlm : m->ier; return true;
	case 2:
		*v = model_iir(m) | (m->fifo ? 0xc0 : 0);
		if ((*v & 15) == 2)
			m->empty_event = false;
		return true;
	case 3: *v = m->lcr; return true;
	case 4: *v = m->mcr; return true;
	case 5:
		*v = (uint8_t)(0x60 | (m->queued ? 1 : 0) | (m->over ? 2 : 0));
		m->over = false;
		return true;
	case 6:
		*v = m->lines | m->delta;
		m->delta = 0;
		return true;
	default: *v = m->scr; return true;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen seen = {0};
	const struct uart_ops ops = {.out = on_out, .irq = on_irq, .ctx = &seen};
	struct model m = {.dll = 12, .lines = 0xb0, .level = 1};
	struct bus *bus;
	struct uart *u;

	CHECK(bus_create("pio", NULL, &bus) == 0);
	CHECK(uart_create(bus, COM, &ops, NULL, &u) == 0);
	for (size_t i = 0; i + 1 < size; i += 2) {
		unsigned int op = data[i] >> 3 & 3, reg = data[i] & 7;
		uint8_t v = data[i + 1], want = 0, got;

		seen.any_sent = m.any_sent = false;
		if (op == 3) { /* a few bytes from outside */
			uint8_t in[20];
			size_t n = v % 20, took = 0;

			memset(in, v, sizeof(in));
			while (!(m.mcr & 0x10) && took < n && model_receive(&m, v))
				took++;
			CHECK(uart_input(u, in, n) == took);
		} else if (op == 2) {
			got = (uint8_t)bus_read(bus, COM + reg, 1);
			if (model_read(&m, reg, &want))
				CHECK(got == want);
		} else {
			bus_write(bus, COM + reg, 1, v);
			model_write(&m, reg, v);
		}
		CHECK(seen.line == model_line(&m));
		CHECK(seen.any_sent == m.any_sent);
		CHECK(!seen.any_sent || seen.sent == m.sent);
	}
	uart_destroy(u);
	bus_destroy(bus);
	return 0;
}
