// SPDX-License-Identifier: GPL-2.0-or-later
/* Pictures of vectors and pins: what is told of each state, and that looking changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "irqremap/snapshot.h"
#include "tests/unit/irqremap/world.h"

static const struct {
	struct irq_msi msg;
	struct irq_target want;
	const char *mode;
} messages[] = {
	{{0xfee00000, 0x31}, {.vector = 0x31}, "fixed"},
	{{0xfee03000, 0x4041}, {.dest = 3, .vector = 0x41}, "fixed"},
	{{0xfee0100c, 0x4141}, {.dest = 1, .vector = 0x41, .mode = 1, .logical = true},
		"lowest-priority"},
	{{0x100fee2c000, 0xc051}, {.dest = 300, .vector = 0x51, .level = true}, "fixed"},
	{{0xfee00000, 0x4400}, {.mode = 4}, "nmi"},
};

START_TEST(message_is_told_as_the_processors_take_it)
{
	struct irq_target t = irq_target_of(messages[_i].msg);

	ck_assert_uint_eq(t.dest, messages[_i].want.dest);
	ck_assert_uint_eq(t.vector, messages[_i].want.vector);
	ck_assert_uint_eq(t.mode, messages[_i].want.mode);
	ck_assert_int_eq(t.logical, messages[_i].want.logical);
	ck_assert_int_eq(t.level, messages[_i].want.level);
	ck_assert_str_eq(irq_mode_name(t.mode), messages[_i].mode);
}
END_TEST

START_TEST(vector_is_told_in_each_state)
{
	struct irq_vector_info i;
	struct irq_vector *v;

	ck_assert_int_eq(irq_vector_create(router, RID, NULL, &v), 0);
	irq_vector_snapshot(v, &i);
	ck_assert_int_eq(i.state, IRQ_VECTOR_MASKED);
	ck_assert_int_eq(i.gsi, -1);
	ck_assert(!i.pending && !i.way.reaches && !i.way.remapped);

	ck_assert_int_eq(irq_vector_set(v, MSI(0x31), NULL), 0);
	irq_vector_fire(v);
	irq_vector_snapshot(v, &i);
	ck_assert(i.pending && i.way.reaches);
	ck_assert_uint_eq(i.way.out.data, 0x31);

	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	irq_recorder_run(&rec);
	irq_recorder_clear(&rec);
	irq_vector_snapshot(v, &i);
	ck_assert_int_eq(i.state, IRQ_VECTOR_ATTACHED);
	ck_assert_int_eq(i.gsi, IRQ_IOAPIC_PINS);
	ck_assert(!i.pending);

	ck_assert_int_eq(irq_vector_set(v, (struct irq_msi){0x1000, 1}, NULL), 0);
	irq_recorder_clear(&rec);
	irq_vector_snapshot(v, &i);
	ck_assert_int_eq(i.state, IRQ_VECTOR_NOWHERE);
	ck_assert(!i.way.reaches);
	ck_calls(0, 0, 0);
	irq_vector_destroy(v);
}
END_TEST

static void rte_put(struct ioapic *io, unsigned int pin, uint32_t low)
{
	ioapic_write(io, 0, 4, 0x10 + 2 * pin);
	ioapic_write(io, 0x10, 4, low);
}

START_TEST(pin_is_told_with_what_it_has_sent)
{
	struct ioapic_pin p;
	struct ioapic *io;

	ck_assert_int_eq(ioapic_create(router, 0xf0f8, NULL, &io), 0);
	ioapic_snapshot(io, 5, &p);
	ck_assert(p.masked && !p.level && !p.asserted && !p.remote_irr && p.sent == 0);
	rte_put(io, 5, 0x8045);
	ioapic_set(io, 5, true);
	ioapic_snapshot(io, 5, &p);
	ck_assert(!p.masked && p.level && p.asserted && p.remote_irr && p.sends);
	ck_assert_uint_eq(p.sent, 1);
	ck_assert_uint_eq(irq_target_of(p.way.out).vector, 0x45);
	rte_put(io, 6, 0x46);
	ioapic_set(io, 6, true);
	ioapic_snapshot(io, 6, &p);
	ck_assert(!p.level && !p.remote_irr);
	ck_assert_uint_eq(p.sent, 1);
	/* ExtINT: nobody answers it */
	rte_put(io, 6, 0x746);
	ioapic_snapshot(io, 6, &p);
	ck_assert(!p.sends);
	ioapic_destroy(io);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("irqremap snapshot");
	TCase *t = tcase_create("snapshot");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, world_up, world_down);
	tcase_add_loop_test(t, message_is_told_as_the_processors_take_it, 0,
		sizeof(messages) / sizeof(messages[0]));
	tcase_add_test(t, vector_is_told_in_each_state);
	tcase_add_test(t, pin_is_told_with_what_it_has_sent);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
