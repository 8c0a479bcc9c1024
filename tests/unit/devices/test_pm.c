// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "devices/devices.h"
#include "vmm/layout.h"

static struct bus *bus;
static struct pm *pm;
static unsigned int offs, resets;

static void event(void *ctx, enum pm_event ev)
{
	offs += ev == PM_POWEROFF;
	resets += ev == PM_RESET;
	bus_read(bus, LAYOUT_PORT_RESET, 1); /* not under the chip's lock */
}

static void setup(void)
{
	struct err e = {0};

	offs = resets = 0;
	ck_assert_int_eq(bus_create("pio", &e, &bus), 0);
	ck_assert_int_eq(pm_create(bus, event, NULL, &e, &pm), 0);
}

static void teardown(void)
{
	pm_destroy(pm);
	bus_destroy(bus);
}

struct step {
	uint16_t port;
	uint8_t val;
};

/* The last write of each decides; the ones before it must do nothing. */
static const struct {
	const char *name;
	struct step step[3];
	unsigned int steps, offs, resets;
} cases[] = {
	{"S5", {{0x600, 0x34}}, 1, 1, 0},
	{"S5 without enable", {{0x600, 0x14}}, 1, 0, 0},
	{"S3", {{0x600, 0x2c}}, 1, 0, 0},
	{"status register", {{0x601, 0xb4}}, 1, 0, 0},
	{"ACPI reset value", {{0xcf9, 0x06}}, 1, 0, 1},
	{"two writes", {{0xcf9, 0x02}, {0xcf9, 0x06}}, 2, 0, 1},
	{"full reset", {{0xcf9, 0x0a}, {0xcf9, 0x0e}}, 2, 0, 1},
	{"CPU reset", {{0xcf9, 0x00}, {0xcf9, 0x04}}, 2, 0, 1},
	{"kind alone", {{0xcf9, 0x0a}}, 1, 0, 0},
	{"again after a reset", {{0xcf9, 0x06}, {0xcf9, 0x06}}, 2, 0, 2},
	{"i8042 pulse", {{0x64, 0xfe}}, 1, 0, 1},
	{"i8042 pulse of another line", {{0x64, 0xfd}}, 1, 0, 0},
	{"i8042 no pulse", {{0x64, 0xff}}, 1, 0, 0},
	{"i8042 output port", {{0x64, 0xd1}, {0x60, 0xde}}, 2, 0, 1},
	{"i8042 gate A20", {{0x64, 0xd1}, {0x60, 0xdf}}, 2, 0, 0},
	{"i8042 keyboard data", {{0x60, 0xfe}}, 1, 0, 0},
	{"i8042 forgotten command", {{0x64, 0xd1}, {0x64, 0xaa}, {0x60, 0xfe}}, 3, 0, 0},
};

START_TEST(writes_end_the_guest_only_when_they_should)
{
	for (unsigned int i = 0; i < cases[_i].steps; i++)
		bus_write(bus, cases[_i].step[i].port, 1, cases[_i].step[i].val);
	ck_assert_msg(offs == cases[_i].offs && resets == cases[_i].resets, "%s: %u off, %u resets",
		cases[_i].name, offs, resets);
}
END_TEST

/* A driver that probes it anyway finds a controller with nothing plugged in. */
START_TEST(i8042_is_an_empty_controller)
{
	ck_assert_uint_eq(bus_read(bus, 0x64, 1) & 3, 0);
	bus_write(bus, 0x64, 1, 0xaa);
	ck_assert_uint_eq(bus_read(bus, 0x64, 1) & 3, 1);
	ck_assert_uint_eq(bus_read(bus, 0x60, 1), 0x55);
	ck_assert_uint_eq(bus_read(bus, 0x64, 1) & 3, 0);
	bus_write(bus, 0x64, 1, 0x60);
	bus_write(bus, 0x60, 1, 0x74);
	bus_write(bus, 0x64, 1, 0x20);
	ck_assert_uint_eq(bus_read(bus, 0x60, 1), 0x74);
	bus_write(bus, 0x60, 1, 0xff); /* reset the keyboard: nobody answers */
	ck_assert_uint_eq(bus_read(bus, 0x64, 1) & 1, 0);
	bus_write(bus, 0x64, 1, 0xab);
	ck_assert_uint_ne(bus_read(bus, 0x60, 1), 0);
}
END_TEST

/* Linux reads 0x61 in its NMI handler and in loops that wait for timer 2. */
START_TEST(port_61_blames_nothing_and_holds_nobody_up)
{
	uint64_t a = bus_read(bus, 0x61, 1), b = bus_read(bus, 0x61, 1);

	ck_assert_uint_eq(a & 0xc0, 0);
	ck_assert_uint_eq(a & 0x20, 0x20);
	ck_assert_uint_eq((a ^ b) & 0x10, 0x10);
	bus_write(bus, 0x61, 1, 0xff);
	ck_assert_uint_eq(bus_read(bus, 0x61, 1) & 0xcf, 0x0f);
}
END_TEST

START_TEST(destroy_leaves_the_bus_empty)
{
	pm_destroy(pm);
	pm = NULL;
	pm_destroy(NULL);
	for (unsigned int port = 0; port < 0x1000; port++)
		ck_assert_uint_eq(bus_read(bus, port, 1), 0xff);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pm");
	TCase *t = tcase_create("pm");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(
		t, writes_end_the_guest_only_when_they_should, 0, (int)ARRAY_SIZE(cases));
	tcase_add_test(t, i8042_is_an_empty_controller);
	tcase_add_test(t, port_61_blames_nothing_and_holds_nobody_up);
	tcase_add_test(t, destroy_leaves_the_bus_empty);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
