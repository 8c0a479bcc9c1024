// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The ways a PC turns itself off or starts again: ACPI sleep registers, reset control register,
 * keyboard controller, and the system control port Linux reads beside them.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "devices/devices.h"
#include "vmm/layout.h"

/* ACPI 6.4 §4.8.3.7, table 4.24; the type for S5 is in the DSDT's _S5. */
#define SLEEP_ENABLE   0x20u
#define SLEEP_TYPE(v)  (((v) >> 2) & 7u)
#define SLEEP_S5       5u
#define SLEEP_CTL      0u
#define SLEEP_WAKE_STS 0x80u

/* Intel 8-series chipset datasheet §13.7.5 (RST_CNT) */
#define RESET_SYS 0x02u
#define RESET_CPU 0x04u

/* Intel 8042AH / IBM PS/2 technical reference, keyboard controller commands */
#define KBD_STATUS_OBF   0x01u
#define KBD_STATUS_SYS   0x04u /* the self test passed */
#define KBD_READ_CTR     0x20u
#define KBD_WRITE_CTR    0x60u
#define KBD_TEST_AUX     0xa9u
#define KBD_SELF_TEST    0xaau
#define KBD_TEST_KBD     0xabu
#define KBD_READ_OUTPUT  0xd0u
#define KBD_WRITE_OUTPUT 0xd1u
#define KBD_PULSE        0xf0u /* to 0xff: pulse the output bits that are 0 */
#define KBD_OUTPUT_RUN   0x01u /* output port bit 0: 0 resets the CPU */
#define KBD_PORT_ABSENT  0x01u /* clock line stuck low: nothing is plugged in */

/* System control port B (IBM PS/2 technical reference, "Port hex 0061") */
#define PORT_B         0x61u
#define PORT_B_GATES   0x0fu
#define PORT_B_REFRESH 0x10u
#define PORT_B_TIMER2  0x20u

struct pm {
	struct bus *pio;
	void (*event)(void *ctx, enum pm_event ev);
	void *ctx;
	pthread_mutex_t lock;
	uint8_t reset_reg;
	uint8_t port_b;
	uint8_t kbd_command; /* the command whose data byte comes next, or 0 */
	uint8_t kbd_ctr, kbd_out;
	bool kbd_out_full;
};

enum pm_ask { PM_ASK_NOTHING, PM_ASK_POWEROFF, PM_ASK_RESET };

/* The callback stops the VM and may take its locks: not under ours. */
static void pm_tell(struct pm *p, enum pm_ask ask)
{
	if (ask != PM_ASK_NOTHING)
		p->event(p->ctx, ask == PM_ASK_POWEROFF ? PM_POWEROFF : PM_RESET);
}

static uint64_t sleep_read(void *ctx, uint64_t off, unsigned int len)
{
	/* The control register's defined bits are write-only or 0; no wake ever happened. */
	return 0;
}

static void sleep_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	if (off == SLEEP_CTL && (val & SLEEP_ENABLE) && SLEEP_TYPE(val) == SLEEP_S5)
		pm_tell(ctx, PM_ASK_POWEROFF);
}

static uint64_t reset_read(void *ctx, uint64_t off, unsigned int len)
{
	struct pm *p = ctx;
	uint8_t v;

	pthread_mutex_lock(&p->lock);
	v = p->reset_reg;
	pthread_mutex_unlock(&p->lock);
	return v;
}

static void reset_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	struct pm *p = ctx;
	enum pm_ask ask = PM_ASK_NOTHING;

	pthread_mutex_lock(&p->lock);
	/* Bit 1 chooses the whole system over the CPU alone. Without firmware to start from, a
	 * CPU reset can only end in the same place. */
	if ((val & RESET_CPU) && !(p->reset_reg & RESET_CPU))
		ask = PM_ASK_RESET;
	p->reset_reg = ask == PM_ASK_RESET ? 0 : (uint8_t)(val & (RESET_SYS | RESET_CPU | 0x08));
	pthread_mutex_unlock(&p->lock);
	pm_tell(p, ask);
}

static void kbd_answer(struct pm *p, uint8_t v)
{
	p->kbd_out = v;
	p->kbd_out_full = true;
}

static enum pm_ask kbd_command(struct pm *p, uint8_t v)
{
	p->kbd_command = 0;
	if (v >= KBD_PULSE)
		return v & KBD_OUTPUT_RUN ? PM_ASK_NOTHING : PM_ASK_RESET;
	switch (v) {
	case KBD_READ_CTR: kbd_answer(p, p->kbd_ctr); break;
	case KBD_SELF_TEST: kbd_answer(p, 0x55); break;
	case KBD_TEST_KBD:
	case KBD_TEST_AUX: kbd_answer(p, KBD_PORT_ABSENT); break;
	case KBD_READ_OUTPUT: kbd_answer(p, KBD_OUTPUT_RUN); break;
	case KBD_WRITE_CTR:
	case KBD_WRITE_OUTPUT: p->kbd_command = v; break;
	default: break;
	}
	return PM_ASK_NOTHING;
}

static enum pm_ask kbd_data(struct pm *p, uint8_t v)
{
	uint8_t command = p->kbd_command;

	p->kbd_command = 0;
	if (command == KBD_WRITE_CTR)
		p->kbd_ctr = v;
	return command == KBD_WRITE_OUTPUT && !(v & KBD_OUTPUT_RUN) ? PM_ASK_RESET : PM_ASK_NOTHING;
}

static uint64_t kbd_data_read(void *ctx, uint64_t off, unsigned int len)
{
	struct pm *p = ctx;
	uint8_t v;

	pthread_mutex_lock(&p->lock);
	v = p->kbd_out;
	p->kbd_out_full = false;
	pthread_mutex_unlock(&p->lock);
	return v;
}

static void kbd_data_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	struct pm *p = ctx;
	enum pm_ask ask;

	pthread_mutex_lock(&p->lock);
	ask = kbd_data(p, (uint8_t)val);
	pthread_mutex_unlock(&p->lock);
	pm_tell(p, ask);
}

static uint64_t kbd_status_read(void *ctx, uint64_t off, unsigned int len)
{
	struct pm *p = ctx;
	uint8_t v;

	pthread_mutex_lock(&p->lock);
	/* The input buffer is never full: a guest that waits before 0xFE goes on at once. */
	v = KBD_STATUS_SYS | (p->kbd_out_full ? KBD_STATUS_OBF : 0);
	pthread_mutex_unlock(&p->lock);
	return v;
}

static void kbd_command_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	struct pm *p = ctx;
	enum pm_ask ask;

	pthread_mutex_lock(&p->lock);
	ask = kbd_command(p, (uint8_t)val);
	pthread_mutex_unlock(&p->lock);
	pm_tell(p, ask);
}

static uint64_t port_b_read(void *ctx, uint64_t off, unsigned int len)
{
	struct pm *p = ctx;
	uint8_t v;

	pthread_mutex_lock(&p->lock);
	/* Bits 6 and 7 clear: no parity or bus error was the cause of an NMI. Timer 2 reads as
	 * expired and refresh as moving, so that nobody waits for a PIT that is not there. */
	p->port_b ^= PORT_B_REFRESH;
	v = p->port_b | PORT_B_TIMER2;
	pthread_mutex_unlock(&p->lock);
	return v;
}

static void port_b_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	struct pm *p = ctx;

	pthread_mutex_lock(&p->lock);
	p->port_b = (uint8_t)((p->port_b & ~PORT_B_GATES) | (val & PORT_B_GATES));
	pthread_mutex_unlock(&p->lock);
}

static const struct bus_region regions[] = {
	{LAYOUT_PORT_SLEEP_CTL, 2, sleep_read, sleep_write, NULL, "acpi sleep"},
	{LAYOUT_PORT_RESET, 1, reset_read, reset_write, NULL, "reset control"},
	{LAYOUT_PORT_I8042, 1, kbd_data_read, kbd_data_write, NULL, "i8042 data"},
	{LAYOUT_PORT_I8042 + 4, 1, kbd_status_read, kbd_command_write, NULL, "i8042 command"},
	{PORT_B, 1, port_b_read, port_b_write, NULL, "system control port"},
};

int pm_create(struct bus *pio, void (*event)(void *ctx, enum pm_event ev), void *ctx, struct err *e,
	struct pm **ret)
{
	struct pm *p = calloc(1, sizeof(*p));

	if (!p)
		return err_sys(e, ENOMEM, "reset and sleep registers");
	p->pio = pio;
	p->event = event;
	p->ctx = ctx;
	pthread_mutex_init(&p->lock, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(regions); i++) {
		struct bus_region region = regions[i];
		int r;

		region.ctx = p;
		r = bus_add(pio, &region, e);
		if (r < 0) {
			pm_destroy(p);
			return err_wrap(e, r, "%s", region.name);
		}
	}
	*ret = p;
	return 0;
}

void pm_destroy(struct pm *p)
{
	if (!p)
		return;
	for (size_t i = ARRAY_SIZE(regions); i-- > 0;)
		bus_remove(p->pio, regions[i].base, p);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
