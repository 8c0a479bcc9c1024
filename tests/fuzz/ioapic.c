// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The IOAPIC against a model written from the 82093AA datasheet: whatever the guest writes and the
 * devices do, registers, messages and calls to listeners are the model's, and a level message is
 * never sent without the route that makes KVM tell its end.
 *
 * Every other input has a remapping unit, too, whose few entries and switches change on the way: what
 * then becomes of a pin's message is the model's as well, and so is the number of faults.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "irqremap/vtd.h"
#include "tests/fakes/irq_recorder.h"
#include "tests/fuzz/fuzz_check.h"

#define PINS    24
#define RID     0xf0f8
#define ENTRIES 8

/* ---- the model ---- */

struct model_pin {
	unsigned int vector, mode, dest, ext;
	bool logical, low, level, masked;
	bool remote, line;
	bool telling;
	bool faulted; /* this assertion, as programmed now */
	unsigned int told;
};

struct model_entry {
	bool present, reserved, ours, level;
	unsigned int vector, dest;
};

struct model {
	unsigned int sel, id;
	/* the remapping unit */
	bool unit, remaps, compat, wide;
	struct model_entry entry[ENTRIES];
	uint64_t faults;
	struct model_pin pin[PINS];
	struct irq_msi msg[64];
	unsigned int n_msg;
	int accepts;
};

static void pin_reset(struct model_pin *p)
{
	struct model_pin was = *p;

	memset(p, 0, sizeof(*p));
	p->masked = true;
	p->line = was.line;
	p->told = was.told;
}

/* fixed and lowest priority are the modes with an end of interrupt */
static bool pin_level(const struct model_pin *p)
{
	return p->level && p->mode <= 1;
}

static bool pin_waits(const struct model_pin *p)
{
	return pin_level(p) && p->line && !p->masked && !p->remote && !p->telling;
}

static struct irq_msi pin_message(const struct model_pin *p)
{
	struct irq_msi m;

	m.addr = 0xfee00000 + p->dest * 4096 + p->ext * 16 + (p->mode == 1) * 8 + p->logical * 4;
	m.data = p->vector + p->mode * 256 + 16384 + pin_level(p) * 32768;
	return m;
}

/* VT-d 5.1.5.1: with bit 48 set the entry is index 14:0 in 63:49, and index 15 in bit 11. */
static bool model_translate(const struct model *m, const struct model_pin *p, struct irq_msi *out)
{
	unsigned int index = p->dest * 128 + p->ext / 2 + p->logical * 32768;
	const struct model_entry *e;

	*out = pin_message(p);
	if (!m->remaps)
		return true;
	if (p->ext % 2 == 0)
		return m->compat && !m->wide;
	/* Lowest priority sets the bit that makes the data a subhandle: far beyond the table. */
	if (p->mode == 1 || index >= ENTRIES)
		return false;
	e = &m->entry[index];
	out->addr = 0xfee00000 + (e->dest % 256) * 4096 + ((uint64_t)(e->dest / 256) << 40);
	out->data = e->vector + 16384 + e->level * 32768;
	return e->present && !e->reserved && e->ours;
}

static bool model_send(struct model *m, struct model_pin *p)
{
	struct irq_msi out;

	if (p->mode == 3 || p->mode == 6 || p->mode == 7)
		return false;
	if (!model_translate(m, p, &out)) {
		m->faults += !p->faulted;
		p->faulted = pin_level(p);
		return false;
	}
	p->faulted = false;
	if (m->accepts <= 0)
		return false;
	m->msg[m->n_msg++] = out;
	return true;
}

static void model_retry(struct model *m)
{
	unsigned int i;

	for (i = 0; i < PINS; i++)
		if (pin_waits(&m->pin[i]))
			m->pin[i].remote = model_send(m, &m->pin[i]);
}

static void model_line(struct model *m, unsigned int i, bool line)
{
	struct model_pin *p = &m->pin[i];
	bool rise = line && !p->line;

	p->line = line;
	if (!line)
		p->faulted = false;
	if (rise && !pin_level(p) && !p->masked)
		model_send(m, p);
	model_retry(m);
}

/* Listeners of even pins lower their line. */
static void model_tell(struct model *m, const bool *ended)
{
	unsigned int i;

	for (i = 0; i < PINS; i++)
		m->pin[i].telling = ended[i];
	for (i = 0; i < PINS; i++) {
		if (!ended[i])
			continue;
		m->pin[i].told++;
		if (i % 2 == 0)
			model_line(m, i, false);
	}
	for (i = 0; i < PINS; i++)
		m->pin[i].telling = false;
	model_retry(m);
}

static void model_eoi(struct model *m, unsigned int vector)
{
	bool ended[PINS] = {false};
	unsigned int i;

	for (i = 0; i < PINS; i++) {
		ended[i] = m->pin[i].remote && m->pin[i].vector == vector;
		if (ended[i])
			m->pin[i].remote = false;
	}
	model_tell(m, ended);
}

static uint32_t model_window(const struct model *m)
{
	const struct model_pin *p;

	if (m->sel == 0 || m->sel == 2)
		return m->id << 24;
	if (m->sel == 1)
		return 23 << 16 | 0x20;
	if (m->sel < 16 || m->sel >= 16 + 2 * PINS)
		return 0;
	p = &m->pin[(m->sel - 16) / 2];
	if (m->sel % 2)
		return p->dest << 24 | p->ext << 16;
	return p->vector + (p->mode << 8) + (p->logical << 11) + (pin_waits(p) << 12) +
	       (p->low << 13) + (p->remote << 14) + (p->level << 15) + (p->masked << 16);
}

static void model_window_write(struct model *m, uint32_t v)
{
	bool ended[PINS] = {false};
	struct model_pin *p;

	if (m->sel == 0)
		m->id = v >> 24 & 15;
	if (m->sel >= 16 && m->sel < 16 + 2 * PINS) {
		p = &m->pin[(m->sel - 16) / 2];
		p->faulted = false;
		if (m->sel % 2) {
			p->dest = v >> 24;
			p->ext = m->unit ? v >> 16 & 255 : 0;
		} else {
			p->vector = v & 255;
			p->mode = v >> 8 & 7;
			p->logical = v >> 11 & 1;
			p->low = v >> 13 & 1;
			p->level = v >> 15 & 1;
			p->masked = v >> 16 & 1;
			if (p->remote && !p->level) {
				p->remote = false;
				ended[(m->sel - 16) / 2] = true;
			}
		}
	}
	model_tell(m, ended);
}

static void model_write(struct model *m, uint64_t off, unsigned int len, uint64_t v)
{
	if (off == 0 && (len == 1 || len == 2 || len == 4))
		m->sel = v & 255;
	if (off == 0x10 && len == 4)
		model_window_write(m, (uint32_t)v);
	else if (off == 0x40 && len == 4)
		model_eoi(m, v & 255);
	else
		model_retry(m);
}

static uint64_t model_read(const struct model *m, uint64_t off, unsigned int len)
{
	if (off == 0 && (len == 1 || len == 2 || len == 4))
		return m->sel;
	return off == 0x10 && len == 4 ? model_window(m) : 0;
}

/* ---- the two side by side ---- */

struct pair {
	struct irq_recorder rec;
	struct irq_router *router;
	struct ioapic *io;
	struct vtd *vtd;
	uint8_t mem[0x2000]; /* the table, and from 0x1000 the queue */
	struct model m;
	unsigned int told[PINS];
	const uint8_t *data;
	size_t left;
};

static void on_eoi(void *ctx, unsigned int pin)
{
	struct pair *p = ctx;

	p->told[pin]++;
	if (pin % 2 == 0)
		ioapic_set(p->io, pin, false);
}

static uint32_t take(struct pair *p, unsigned int bytes)
{
	uint32_t v = 0;

	while (bytes--) {
		v = v << 8 | (p->left ? *p->data : 0);
		p->data += p->left != 0;
		p->left -= p->left != 0;
	}
	return v;
}

static void compare(struct pair *p)
{
	struct vtd_stats s = {0};
	struct irq_msi out;
	unsigned int i;

	if (p->vtd)
		vtd_stats(p->vtd, &s);
	CHECK(s.faults == p->m.faults);
	CHECK(p->rec.n_msi == p->m.n_msg);
	for (i = 0; i < p->m.n_msg; i++) {
		CHECK(p->rec.msi[i].addr == p->m.msg[i].addr);
		CHECK(p->rec.msi[i].data == p->m.msg[i].data);
	}
	CHECK(ioapic_read(p->io, 0x10, 4) == model_window(&p->m));
	for (i = 0; i < PINS; i++) {
		const struct model_pin *pin = &p->m.pin[i];

		CHECK(p->told[i] == pin->told);
		if (pin->masked)
			continue;
		/* KVM knows each unmasked level pin as it is, if its EOI can end it, and no other */
		if (!pin_level(pin) || !model_translate(&p->m, pin, &out) ||
			out.data % 256 != pin->vector)
			out = (struct irq_msi){0};
		CHECK(p->rec.route[i].addr == out.addr);
		CHECK(!out.addr || p->rec.route[i].data == out.data);
	}
	irq_recorder_clear(&p->rec);
	p->m.n_msg = 0;
}

static void both_write(struct pair *p, uint64_t off, unsigned int len, uint64_t v)
{
	ioapic_write(p->io, off, len, v);
	model_write(&p->m, off, len, v);
	compare(p);
}

/* Few vectors, so that pins share them and EOIs hit. */
static uint32_t entry(struct pair *p)
{
	uint32_t v = take(p, 2);

	return (v & 3) + 0x30 + (v >> 2 & 1 ? v & 0x700 : 0) + (v & 0x3800) +
	       (v & 0x8000 ? 0 : 0x8000) + ((v & 0x18) == 0x18 ? 0x10000 : 0);
}

/* The upper half: now and then what names an entry that there is. */
static uint32_t upper(struct pair *p)
{
	uint32_t v = take(p, 4);

	return v & 1 ? (v & 0xf0000) | 0x10000 : v;
}

/* ---- the remapping unit ---- */

static int mem_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	struct pair *p = ctx;

	if (gpa >= sizeof(p->mem) || len > sizeof(p->mem) - gpa)
		return -EFAULT;
	memcpy(buf, p->mem + gpa, len);
	return 0;
}

static int mem_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
	return -EFAULT;
}

static void unit_switch(struct pair *p, bool remaps, bool compat)
{
	vtd_write(p->vtd, 0x18, 4, 1u << 26 | (uint32_t)remaps << 25 | (uint32_t)compat << 23);
	if (remaps == p->m.remaps && compat == p->m.compat)
		return;
	p->m.remaps = remaps;
	p->m.compat = compat;
	model_retry(&p->m);
}

/* Change an entry and invalidate it, as an index or all. */
static void unit_entry(struct pair *p, unsigned int i, uint32_t v)
{
	struct model_entry *e = &p->m.entry[i];
	uint32_t tail = (uint32_t)vtd_read(p->vtd, 0x88, 4);

	*e = (struct model_entry){
		.present = v & 7,
		.reserved = (v >> 3 & 7) == 7,
		.ours = (v >> 6 & 7) != 7,
		.level = v >> 9 & 1,
		.vector = 0x30 + (v >> 10 & 3),
		.dest = v >> 12 & (p->m.wide ? 0xfffff : 0xff),
	};
	le_store(p->mem + 16 * i, 8,
		(uint64_t)e->present | e->level << 4 | (uint64_t)e->reserved << 31 |
			(uint64_t)e->vector << 16 | (uint64_t)e->dest << (p->m.wide ? 32 : 40));
	le_store(p->mem + 16 * i + 8, 8, 1 << 18 | (e->ours ? RID : RID + 1));
	le_store(p->mem + 0x1000 + tail, 8, v >> 31 ? 4 : 4 | 1 << 4 | (uint64_t)i << 32);
	le_store(p->mem + 0x1000 + tail + 8, 8, 0);
	vtd_write(p->vtd, 0x88, 4, (tail + 16) % 4096);
	model_retry(&p->m);
}

static void unit_up(struct pair *p, bool wide)
{
	const struct vtd_memory mem = {mem_read, mem_write, p};

	CHECK(!vtd_create(p->router, &mem, NULL, &p->vtd));
	p->m.unit = true;
	p->m.wide = wide;
	vtd_write(p->vtd, 0x90, 8, 0x1000);
	vtd_write(p->vtd, 0x18, 4, 1u << 26);
	vtd_write(p->vtd, 0xb8, 8, (uint64_t)wide << 11 | 2);
	vtd_write(p->vtd, 0x18, 4, 1u << 26 | 1u << 24);
}

static void unit_step(struct pair *p, uint32_t op, uint32_t a)
{
	uint32_t v = take(p, 4);

	if (op & 16)
		unit_switch(p, a & 3, a & 4);
	else
		unit_entry(p, a % ENTRIES, v);
}

static void step(struct pair *p)
{
	uint32_t op = take(p, 1), a = take(p, 1), v;

	if (p->vtd && (op & 0xe0) == 0xe0) {
		unit_step(p, op, a);
		compare(p);
		return;
	}
	switch (op % 12) {
	case 0:
	case 1:
	case 2:
		ioapic_set(p->io, a % PINS, op & 16);
		model_line(&p->m, a % PINS, op & 16);
		break;
	case 3:
	case 4:
		both_write(p, 0, 4, 16 + 2 * (a % PINS));
		both_write(p, 0x10, 4, entry(p));
		break;
	case 5:
		both_write(p, 0, 4, 16 + 2 * (a % PINS) + 1);
		both_write(p, 0x10, 4, upper(p));
		break;
	case 6:
		both_write(p, 0, 1, a);
		both_write(p, 0x10, 4, take(p, 4));
		break;
	case 7:
	case 8:
		ioapic_eoi(p->io, 0x30 + a % 4);
		model_eoi(&p->m, 0x30 + a % 4);
		break;
	case 9: both_write(p, 0x40, 4, op & 16 ? a : 0x30 + a % 4); break;
	case 10: p->rec.msi_result = p->m.accepts = a % 8 == 0 ? -5 : a % 8 < 3 ? 0 : 1; break;
	case 11:
		v = take(p, 2);
		if (a % 32 == 0) {
			unsigned int i;

			ioapic_reset(p->io);
			p->m.sel = p->m.id = 0;
			for (i = 0; i < PINS; i++)
				pin_reset(&p->m.pin[i]);
			break;
		}
		both_write(p, op & 16 ? a : v, a % 9, v);
		CHECK(ioapic_read(p->io, op & 16 ? a : v, a % 9) ==
			model_read(&p->m, op & 16 ? a : v, a % 9));
		break;
	}
	compare(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct irq_backend be;
	unsigned int i;

	CHECK(p);
	p->data = data;
	p->left = size;
	p->m.accepts = 1;
	irq_recorder_init(&p->rec);
	be = irq_recorder_backend(&p->rec);
	CHECK(!irq_router_create(&be, 4096, NULL, &p->router));
	i = take(p, 1);
	if (i % 2)
		unit_up(p, i & 2);
	CHECK(!ioapic_create(p->router, RID, NULL, &p->io));
	for (i = 0; i < PINS; i++) {
		pin_reset(&p->m.pin[i]);
		ioapic_on_eoi(p->io, i, on_eoi, p);
	}
	while (p->left)
		step(p);
	for (i = 0; i < 256; i++)
		both_write(p, 0, 4, i);
	ioapic_destroy(p->io);
	vtd_destroy(p->vtd);
	irq_router_destroy(p->router);
	irq_recorder_finish(&p->rec);
	free(p);
	return 0;
}
