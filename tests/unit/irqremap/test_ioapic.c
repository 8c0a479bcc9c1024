// SPDX-License-Identifier: GPL-2.0-or-later
/* The IOAPIC, rule by rule of the 82093AA datasheet. */
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/irqremap/world.h"

#define LEVEL  0x8000u
#define MASKED 0x10000u
#define REMOTE 0x4000u
#define STATUS 0x1000u

static struct ioapic *io;

static void ioapic_up(void)
{
	world_up();
	ck_assert_int_eq(ioapic_create(router, 0xf0f8, NULL, &io), 0);
}

static void ioapic_down(void)
{
	ioapic_destroy(io);
	world_down();
}

static uint32_t reg_get(uint8_t reg)
{
	ioapic_write(io, 0x00, 4, reg);
	return (uint32_t)ioapic_read(io, 0x10, 4);
}

static void reg_put(uint8_t reg, uint32_t val)
{
	ioapic_write(io, 0x00, 4, reg);
	ioapic_write(io, 0x10, 4, val);
}

static uint32_t low_get(unsigned int pin)
{
	return reg_get(0x10 + 2 * pin);
}

static void low_put(unsigned int pin, uint32_t val)
{
	reg_put(0x10 + 2 * pin, val);
}

static void dest_put(unsigned int pin, uint8_t dest)
{
	reg_put(0x11 + 2 * pin, (uint32_t)dest << 24);
}

/* ---- registers ---- */

/* DS §3.2: what the guest finds at power-on. Linux counts pins and versions with it. */
START_TEST(ioapic_comes_up_with_masked_entries)
{
	unsigned int pin;

	ck_assert_uint_eq(reg_get(0), 0);
	ck_assert_uint_eq(reg_get(1), 0x00170020);
	ck_assert_uint_eq(reg_get(2), 0);
	for (pin = 0; pin < 24; pin++) {
		ck_assert_uint_eq(low_get(pin), MASKED);
		ck_assert_uint_eq(reg_get(0x11 + 2 * pin), 0);
	}
	ck_calls(0, 0, 0);
}
END_TEST

static const struct {
	uint8_t reg;
	uint32_t write, read;
} reg_cases[] = {
	{0x00, 0xffffffff, 0x0f000000}, /* id: bits 27:24 */
	{0x01, 0xffffffff, 0x00170020}, /* version: read-only */
	{0x02, 0xffffffff, 0x00000000}, /* arbitration: read-only */
	{0x03, 0xffffffff, 0},          /* no register */
	{0x0f, 0xffffffff, 0},
	{0x10, 0xffffffff, 0x0001afff}, /* status and remote IRR are read-only */
	{0x11, 0xffffffff, 0xff000000},
	{0x3e, 0xffffffff, 0x0001afff},
	{0x3f, 0xffffffff, 0xff000000},
	{0x40, 0xffffffff, 0},
	{0xff, 0xffffffff, 0},
};

START_TEST(ioapic_register_keeps_its_writable_bits)
{
	reg_put(reg_cases[_i].reg, reg_cases[_i].write);
	ck_assert_uint_eq(reg_get(reg_cases[_i].reg), reg_cases[_i].read);
	ck_calls(0, 0, 0);
}
END_TEST

/* DS §3.2.3 */
START_TEST(ioapic_arbitration_id_follows_the_id)
{
	reg_put(0, 0x05000000);
	ck_assert_uint_eq(reg_get(2), 0x05000000);
}
END_TEST

START_TEST(ioapic_answers_odd_accesses_with_zero)
{
	static const unsigned int lens[] = {1, 2, 3, 8};
	unsigned int i;
	uint64_t off;

	reg_put(0, 0x0f000000);
	for (i = 0; i < 4; i++) {
		ck_assert_uint_eq(ioapic_read(io, 0x10, lens[i]), 0);
		ioapic_write(io, 0x10, lens[i], 0);
	}
	for (off = 0; off < IOAPIC_SIZE; off++) {
		if (off == 0x00 || off == 0x10 || off == 0x40)
			continue;
		ck_assert_uint_eq(ioapic_read(io, off, 4), 0);
		ioapic_write(io, off, 4, 0xffffffff);
	}
	ck_assert_uint_eq(ioapic_read(io, 0x40, 4), 0);
	ck_assert_uint_eq(ioapic_read(io, 0x10, 4), 0x0f000000);
	/* the select register is 8 bits, at any size */
	ioapic_write(io, 0x00, 1, 0x01);
	ck_assert_uint_eq(ioapic_read(io, 0x00, 2), 0x01);
	ioapic_write(io, 0x00, 4, 0xffffff02);
	ck_assert_uint_eq(ioapic_read(io, 0x00, 4), 0x02);
	ioapic_write(io, 0x00, 8, 0x01);
	ck_assert_uint_eq(ioapic_read(io, 0x00, 4), 0x02);
	ck_assert_uint_eq(ioapic_read(io, 0x00, 3), 0);
}
END_TEST

/* ---- messages ---- */

static const struct {
	uint32_t low;
	uint8_t dest;
	uint64_t addr;
	uint32_t data;
} message_cases[] = {
	{0x0031, 0x00, 0xfee00000, 0x4031},
	{0x0031, 0xff, 0xfeeff000, 0x4031},
	{0x0831, 0x03, 0xfee03004, 0x4031}, /* logical */
	{0x0931, 0x03, 0xfee0300c, 0x4131}, /* lowest priority: redirection hint */
	{0x2031, 0x01, 0xfee01000, 0x4031}, /* polarity is not in the message */
	{0x8031, 0x01, 0xfee01000, 0xc031}, /* level */
	{0x8931, 0x01, 0xfee0100c, 0xc131}, /* level, lowest priority, logical */
	{0x0200, 0x01, 0xfee01000, 0x4200}, /* SMI */
	{0x0400, 0x01, 0xfee01000, 0x4400}, /* NMI */
	{0x8400, 0x01, 0xfee01000, 0x4400}, /* NMI is an edge, whatever is said */
	{0x0500, 0x01, 0xfee01000, 0x4500}, /* INIT */
	{0x8500, 0x01, 0xfee01000, 0x4500},
	{0x0331, 0x01, 0, 0}, /* reserved: KVM would see remote read */
	{0x0631, 0x01, 0, 0}, /* reserved: KVM would see start-up */
	{0x0700, 0x01, 0, 0}, /* ExtINT: there is no 8259 */
	{0x8331, 0x01, 0, 0},
};

START_TEST(ioapic_message_is_made_of_its_entry)
{
	bool sent = message_cases[_i].addr != 0;

	dest_put(4, message_cases[_i].dest);
	low_put(4, message_cases[_i].low);
	ioapic_set(io, 4, true);
	ck_assert_uint_eq(rec.n_msi, sent);
	if (sent) {
		ck_assert_uint_eq(rec.msi[0].addr, message_cases[_i].addr);
		ck_assert_uint_eq(rec.msi[0].data, message_cases[_i].data);
	}
	/* only what ends with an EOI has a remote IRR and a route, and the route says the same */
	ck_assert_int_eq((low_get(4) & REMOTE) != 0, (message_cases[_i].data & LEVEL) != 0);
	ck_assert_uint_eq(rec.n_routes, (message_cases[_i].data & LEVEL) != 0);
	if (rec.n_routes) {
		ck_assert_uint_eq(rec.route[4].addr, message_cases[_i].addr);
		ck_assert_uint_eq(rec.route[4].data, message_cases[_i].data);
	}
}
END_TEST

/* ---- edges ---- */

START_TEST(edge_pin_fires_on_each_rise_only)
{
	low_put(4, 0x31);
	ioapic_set(io, 4, true);
	ioapic_set(io, 4, true);
	ck_calls(0, 0, 1);
	ioapic_set(io, 4, false);
	ck_calls(0, 0, 0);
	ioapic_set(io, 4, true);
	ck_calls(0, 0, 1);
}
END_TEST

/* DS §3.2.4: "not delivered or held pending". */
START_TEST(edge_on_a_masked_pin_is_lost)
{
	low_put(4, 0x31 | MASKED);
	ioapic_set(io, 4, true);
	low_put(4, 0x31);
	ck_calls(0, 0, 0);
	ioapic_set(io, 4, false);
	ioapic_set(io, 4, true);
	ck_calls(0, 0, 1);
}
END_TEST

/* A message that a LAPIC did not take is gone, as any MSI; nothing of it must come later. */
START_TEST(edge_that_is_blocked_is_not_repeated)
{
	low_put(4, 0x31);
	rec.msi_result = 0;
	ioapic_set(io, 4, true);
	rec.msi_result = 1;
	ck_assert_uint_eq(low_get(4), 0x31);
	low_put(4, 0x31);
	ioapic_set(io, 5, true);
	ck_calls(0, 0, 1);
}
END_TEST

/* ---- levels ---- */

START_TEST(level_pin_delivers_once_until_its_eoi)
{
	low_put(9, 0x39 | LEVEL);
	ck_calls(1, 0, 0);
	ioapic_set(io, 9, true);
	ioapic_set(io, 9, true);
	ck_calls(0, 0, 1);
	ck_assert_uint_eq(low_get(9), 0x39 | LEVEL | REMOTE);
	ioapic_eoi(io, 0x38);
	ck_calls(0, 0, 0);
	/* still asserted: again */
	ioapic_eoi(io, 0x39);
	ck_calls(0, 0, 1);
	ioapic_set(io, 9, false);
	ioapic_eoi(io, 0x39);
	ck_calls(0, 0, 0);
	ck_assert_uint_eq(low_get(9), 0x39 | LEVEL);
	ioapic_set(io, 9, true);
	ck_calls(0, 0, 1);
}
END_TEST

/* Linux ends a level interrupt this way while it is masked (EOI register, version 0x20). */
START_TEST(level_ends_by_the_eoi_register)
{
	low_put(9, 0x39 | LEVEL);
	ioapic_set(io, 9, true);
	low_put(9, 0x39 | LEVEL | MASKED);
	ck_assert_uint_eq(low_get(9), 0x39 | LEVEL | MASKED | REMOTE);
	ioapic_write(io, 0x40, 1, 0x39);
	ioapic_write(io, 0x40, 8, 0x39);
	ck_assert_uint_eq(low_get(9), 0x39 | LEVEL | MASKED | REMOTE);
	ioapic_write(io, 0x40, 4, 0x39);
	ck_assert_uint_eq(low_get(9), 0x39 | LEVEL | MASKED);
}
END_TEST

/* One EOI ends every pin with its vector. */
START_TEST(level_pins_that_share_a_vector_end_together)
{
	low_put(9, 0x39 | LEVEL);
	low_put(10, 0x39 | LEVEL);
	low_put(11, 0x3a | LEVEL);
	ioapic_set(io, 9, true);
	ioapic_set(io, 10, true);
	ioapic_set(io, 11, true);
	irq_recorder_clear(&rec);
	ioapic_eoi(io, 0x39);
	ck_calls(0, 0, 2);
	ck_assert(low_get(11) & REMOTE);
}
END_TEST

START_TEST(level_pin_delivers_at_its_unmask)
{
	low_put(9, 0x39 | LEVEL | MASKED);
	ioapic_set(io, 9, true);
	ck_calls(0, 0, 0);
	low_put(9, 0x39 | LEVEL);
	ck_calls(1, 0, 1);
	/* a level that went away while masked has no side effect (DS §3.2.4) */
	ioapic_set(io, 9, false);
	ioapic_eoi(io, 0x39);
	low_put(9, 0x39 | LEVEL | MASKED);
	ioapic_set(io, 9, true);
	ioapic_set(io, 9, false);
	low_put(9, 0x39 | LEVEL);
	ck_calls(0, 0, 0);
}
END_TEST

/* As older Linux, and Xen: mask and edge, then level again. */
START_TEST(level_ends_by_a_switch_to_edge_and_back)
{
	low_put(9, 0x39 | LEVEL);
	ioapic_set(io, 9, true);
	low_put(9, 0x39 | MASKED);
	ck_assert_uint_eq(low_get(9), 0x39 | MASKED);
	irq_recorder_clear(&rec);
	low_put(9, 0x39 | LEVEL);
	ck_calls(0, 0, 1);
	ck_assert(low_get(9) & REMOTE);
}
END_TEST

/* A LAPIC that is off takes nothing: remote IRR tells acceptance, and the line is still high. */
START_TEST(level_that_is_blocked_is_repeated_at_the_next_event)
{
	low_put(9, 0x39 | LEVEL);
	rec.msi_result = 0;
	ioapic_set(io, 9, true);
	ck_assert_uint_eq(low_get(9), 0x39 | LEVEL | STATUS);
	rec.msi_result = -EIO;
	ioapic_set(io, 4, true);
	ck_assert_uint_eq(low_get(9), 0x39 | LEVEL | STATUS);
	rec.msi_result = 1;
	irq_recorder_clear(&rec);
	ioapic_set(io, 4, false);
	ck_calls(0, 0, 1);
	ck_assert_uint_eq(low_get(9), 0x39 | LEVEL | REMOTE);
}
END_TEST

START_TEST(level_that_is_blocked_and_released_is_forgotten)
{
	low_put(9, 0x39 | LEVEL);
	rec.msi_result = 0;
	ioapic_set(io, 9, true);
	ioapic_set(io, 9, false);
	rec.msi_result = 1;
	irq_recorder_clear(&rec);
	ioapic_set(io, 4, true);
	ck_assert_uint_eq(low_get(9), 0x39 | LEVEL);
	ck_calls(0, 0, 0);
}
END_TEST

/* PCI pins are "active low" in ACPI; the line we are given is its logical state. */
START_TEST(polarity_does_not_invert_the_line)
{
	low_put(16, 0x41 | LEVEL | 0x2000);
	ck_calls(1, 0, 0);
	ioapic_set(io, 16, true);
	ck_calls(0, 0, 1);
	ck_assert_uint_eq(low_get(16), 0x41 | LEVEL | 0x2000 | REMOTE);
}
END_TEST

/* ---- routes ---- */

/* Linux rewrites all entries several times at boot: only level ones may cost an ioctl. */
START_TEST(edge_pins_cost_no_route)
{
	unsigned int pin;

	for (pin = 0; pin < 24; pin++) {
		low_put(pin, MASKED);
		dest_put(pin, pin);
		low_put(pin, 0x30 + pin);
		low_put(pin, MASKED);
	}
	ck_calls(0, 0, 0);
}
END_TEST

/* The guest masks, writes both halves, unmasks: one commit, at the unmask, before the message. */
START_TEST(level_pin_retarget_under_mask_is_one_commit)
{
	low_put(9, 0x39 | LEVEL);
	irq_recorder_clear(&rec);
	low_put(9, 0x39 | LEVEL | MASKED);
	dest_put(9, 5);
	low_put(9, 0x4a | LEVEL | MASKED);
	ck_calls(0, 0, 0);
	low_put(9, 0x4a | LEVEL);
	ck_calls(1, 0, 0);
	ck_assert_uint_eq(rec.route[9].addr, 0xfee05000);
	ck_assert_uint_eq(rec.route[9].data, 0xc04a);
	low_put(9, 0x4a | LEVEL | MASKED);
	low_put(9, 0x4a | LEVEL);
	ck_calls(0, 0, 0);
}
END_TEST

/* Masked between delivery and EOI (IRQF_ONESHOT): without the route KVM would not tell the EOI. */
START_TEST(level_pin_keeps_its_route_while_masked)
{
	low_put(9, 0x39 | LEVEL);
	ioapic_set(io, 9, true);
	low_put(9, 0x39 | LEVEL | MASKED);
	ck_assert_uint_eq(rec.route[9].data, 0xc039);
	ioapic_eoi(io, 0x39);
	ck_assert_uint_eq(rec.route[9].data, 0xc039);
	ck_assert_uint_eq(low_get(9), 0x39 | LEVEL | MASKED);
}
END_TEST

START_TEST(level_pin_loses_its_route_when_it_becomes_edge)
{
	low_put(9, 0x39 | LEVEL);
	ck_assert_uint_eq(rec.n_routes, 1);
	low_put(9, 0x39);
	ck_assert_uint_eq(rec.n_routes, 0);
	ck_calls(2, 0, 0);
}
END_TEST

/* The vector of a pin masked for good goes to an MSI: its EOIs must not exit for ever. */
START_TEST(eoi_of_nothing_removes_the_route_that_caused_it)
{
	low_put(9, 0x39 | LEVEL);
	low_put(10, 0x39 | LEVEL);
	low_put(9, 0x39 | LEVEL | MASKED);
	irq_recorder_clear(&rec);
	ioapic_eoi(io, 0x40);
	ck_calls(0, 0, 0);
	ioapic_eoi(io, 0x39);
	ck_calls(1, 0, 0);
	ck_assert_uint_eq(rec.route[9].addr, 0);
	ck_assert_uint_ne(rec.route[10].addr, 0);
	ioapic_eoi(io, 0x39);
	ck_calls(0, 0, 0);
	/* and it comes back when needed */
	low_put(9, 0x39 | LEVEL);
	ck_calls(1, 0, 0);
}
END_TEST

/* Sent without its route, the EOI would never come back: better late than stuck. */
START_TEST(level_pin_waits_for_a_route_that_was_refused)
{
	ioapic_set(io, 9, true);
	rec.fail_at = 1;
	rec.fail_errno = ENOMEM;
	rec.fail_n = 3;
	low_put(9, 0x39 | LEVEL); /* refused, and once more when the line is looked at */
	ck_assert_uint_eq(rec.routes_set, 2);
	ck_assert_uint_eq(rec.msi_send, 0);
	ioapic_set(io, 4, true);
	ck_assert_uint_eq(rec.msi_send, 0);
	ioapic_set(io, 4, false);
	ck_calls(4, 0, 1);
	ck_assert_uint_eq(rec.route[9].data, 0xc039);
	ck_assert_uint_eq(low_get(9), 0x39 | LEVEL | REMOTE);
}
END_TEST

/* ---- end of interrupt ---- */

struct listener {
	unsigned int calls;
	unsigned int pin;
	bool lower;
};

static void on_eoi(void *ctx, unsigned int pin)
{
	struct listener *l = ctx;

	l->calls++;
	l->pin = pin;
	/* without the lock: these would hang */
	if (l->lower)
		ioapic_set(io, pin, false);
	ioapic_on_eoi(io, pin, on_eoi, ctx);
}

START_TEST(eoi_tells_the_listener_before_it_delivers_again)
{
	struct listener l = {.lower = true}, other = {0};

	ioapic_on_eoi(io, 9, on_eoi, &l);
	ioapic_on_eoi(io, 10, on_eoi, &other);
	low_put(9, 0x39 | LEVEL);
	low_put(10, 0x3a | LEVEL);
	ioapic_set(io, 9, true);
	ck_assert_uint_eq(l.calls, 0);
	irq_recorder_clear(&rec);
	ioapic_eoi(io, 0x39);
	ck_assert_uint_eq(l.calls, 1);
	ck_assert_uint_eq(l.pin, 9);
	ck_assert_uint_eq(other.calls, 0);
	/* the listener lowered the line: nothing is sent */
	ck_calls(0, 0, 0);
	/* no interrupt is under way: nothing to tell */
	ioapic_eoi(io, 0x39);
	ck_assert_uint_eq(l.calls, 1);
}
END_TEST

/* Assigned devices rest until told: each of the three ways to end an interrupt must tell. */
START_TEST(every_way_to_end_an_interrupt_tells_the_listener)
{
	struct listener l = {0};

	ioapic_on_eoi(io, 9, on_eoi, &l);
	low_put(9, 0x39 | LEVEL);
	ioapic_set(io, 9, true);
	ioapic_eoi(io, 0x39);
	ck_assert_uint_eq(l.calls, 1);
	ioapic_write(io, 0x40, 4, 0x39);
	ck_assert_uint_eq(l.calls, 2);
	low_put(9, 0x39 | MASKED);
	ck_assert_uint_eq(l.calls, 3);
	ioapic_on_eoi(io, 9, NULL, NULL);
	low_put(9, 0x39 | LEVEL);
	ioapic_eoi(io, 0x39);
	ck_assert_uint_eq(l.calls, 3);
}
END_TEST

START_TEST(reset_masks_all_and_drops_the_routes_in_one_commit)
{
	unsigned int pin;

	for (pin = 0; pin < 24; pin++) {
		low_put(pin, (0x30 + pin) | LEVEL);
		ioapic_set(io, pin, true);
	}
	irq_recorder_clear(&rec);
	ioapic_reset(io);
	ck_calls(1, 0, 0);
	ck_assert_uint_eq(rec.n_routes, 0);
	for (pin = 0; pin < 24; pin++)
		ck_assert_uint_eq(low_get(pin), MASKED);
	/* the lines are the devices' */
	low_put(9, 0x39 | LEVEL);
	ck_calls(1, 0, 1);
	ioapic_reset(io);
	irq_recorder_clear(&rec);
	ioapic_reset(io);
	ck_calls(0, 0, 0);
}
END_TEST

/* Pins and vectors share one table: neither may lose the other's routes. */
START_TEST(pins_and_vectors_share_the_table)
{
	struct irq_vector *v = NULL;

	ck_assert_int_eq(irq_vector_create(router, RID, NULL, &v), 0);
	ck_assert_int_eq(irq_vector_set(v, MSI(0x51), NULL), 0);
	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	low_put(9, 0x39 | LEVEL);
	ck_assert_uint_eq(rec.n_routes, 2);
	ck_assert_uint_eq(rec.route[24].data, 0x51);
	ck_assert_uint_eq(rec.route[9].data, 0xc039);
	ioapic_reset(io);
	ck_assert_uint_eq(rec.n_routes, 1);
	irq_vector_destroy(v);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("irqremap ioapic");
	TCase *t = tcase_create("ioapic");

	tcase_add_checked_fixture(t, ioapic_up, ioapic_down);
	tcase_add_test(t, ioapic_comes_up_with_masked_entries);
	tcase_add_loop_test(t, ioapic_register_keeps_its_writable_bits, 0,
		sizeof(reg_cases) / sizeof(reg_cases[0]));
	tcase_add_test(t, ioapic_arbitration_id_follows_the_id);
	tcase_add_test(t, ioapic_answers_odd_accesses_with_zero);
	tcase_add_loop_test(t, ioapic_message_is_made_of_its_entry, 0,
		sizeof(message_cases) / sizeof(message_cases[0]));
	tcase_add_test(t, edge_pin_fires_on_each_rise_only);
	tcase_add_test(t, edge_on_a_masked_pin_is_lost);
	tcase_add_test(t, edge_that_is_blocked_is_not_repeated);
	tcase_add_test(t, level_pin_delivers_once_until_its_eoi);
	tcase_add_test(t, level_ends_by_the_eoi_register);
	tcase_add_test(t, level_pins_that_share_a_vector_end_together);
	tcase_add_test(t, level_pin_delivers_at_its_unmask);
	tcase_add_test(t, level_ends_by_a_switch_to_edge_and_back);
	tcase_add_test(t, level_that_is_blocked_is_repeated_at_the_next_event);
	tcase_add_test(t, level_that_is_blocked_and_released_is_forgotten);
	tcase_add_test(t, polarity_does_not_invert_the_line);
	tcase_add_test(t, edge_pins_cost_no_route);
	tcase_add_test(t, level_pin_retarget_under_mask_is_one_commit);
	tcase_add_test(t, level_pin_keeps_its_route_while_masked);
	tcase_add_test(t, level_pin_loses_its_route_when_it_becomes_edge);
	tcase_add_test(t, eoi_of_nothing_removes_the_route_that_caused_it);
	tcase_add_test(t, level_pin_waits_for_a_route_that_was_refused);
	tcase_add_test(t, eoi_tells_the_listener_before_it_delivers_again);
	tcase_add_test(t, every_way_to_end_an_interrupt_tells_the_listener);
	tcase_add_test(t, reset_masks_all_and_drops_the_routes_in_one_commit);
	tcase_add_test(t, pins_and_vectors_share_the_table);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	int failed;

	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
