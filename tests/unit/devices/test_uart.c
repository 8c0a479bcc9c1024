// SPDX-License-Identifier: GPL-2.0-or-later
/* Reached through the bus, as a guest does. PC16550D datasheet. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "devices/devices.h"

#define COM 0x3f8u
enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define FCR IIR

static struct bus *bus;
static struct uart *uart;
static uint8_t sent[256];
static size_t sent_len;
static bool line;
static unsigned int edges, rooms;
static bool refill;

static void out(void *ctx, const uint8_t *buf, size_t len)
{
	ck_assert_uint_le(sent_len + len, sizeof(sent));
	memcpy(sent + sent_len, buf, len);
	sent_len += len;
}

static void irq(void *ctx, bool level)
{
	ck_assert(level != line); /* only changes are told */
	line = level;
	edges++;
}

static void room(void *ctx)
{
	rooms++;
	if (refill) /* the console does so: it must not deadlock */
		uart_input(uart, (const uint8_t *)"r", 1);
}

static uint8_t in(unsigned int reg)
{
	return (uint8_t)bus_read(bus, COM + reg, 1);
}

static void wr(unsigned int reg, uint8_t v)
{
	bus_write(bus, COM + reg, 1, v);
}

static void setup(void)
{
	const struct uart_ops ops = {.out = out, .irq = irq, .room = room};
	struct err e = {0};

	sent_len = 0;
	line = refill = false;
	edges = rooms = 0;
	ck_assert_int_eq(bus_create("pio", &e, &bus), 0);
	ck_assert_int_eq(uart_create(bus, COM, &ops, &e, &uart), 0);
	wr(MCR, 0x0b); /* DTR, RTS, OUT2: how a driver runs it */
}

static void teardown(void)
{
	uart_destroy(uart);
	bus_destroy(bus);
}

START_TEST(bytes_reach_the_output_in_order)
{
	for (const char *p = "hello"; *p; p++) {
		ck_assert_uint_eq(in(LSR)&0x60, 0x60);
		wr(DATA, (uint8_t)*p);
	}
	ck_assert_uint_eq(sent_len, 5);
	ck_assert_mem_eq(sent, "hello", 5);
}
END_TEST

/* Linux autoconfig: IER, IIR and scratch answer as a 16550A, not as its larger relatives. */
START_TEST(linux_recognises_a_16550a)
{
	wr(IER, 0);
	ck_assert_uint_eq(in(IER), 0);
	wr(IER, 0xff);
	ck_assert_uint_eq(in(IER), 0x0f);
	wr(IER, 0);
	wr(FCR, 0);
	ck_assert_uint_eq(in(IIR), 0x01);
	wr(FCR, 0x01);
	ck_assert_uint_eq(in(IIR)&0xf0, 0xc0); /* FIFOs, no 64-byte flag */
	wr(SCR, 0x5a);
	ck_assert_uint_eq(in(SCR), 0x5a);
	wr(LCR, 0xbf);
	ck_assert_uint_ne(in(FCR), 0); /* no EFR */
	wr(LCR, 0);
	/* loopback: the modem lines come back */
	wr(MCR, 0x1a);
	ck_assert_uint_eq(in(MSR)&0xf0, 0x90);
}
END_TEST

START_TEST(divisor_latch_hides_data_and_ier)
{
	wr(IER, 0x05);
	wr(LCR, 0x83);
	wr(DATA, 0x01);
	wr(IER, 0x02);
	ck_assert_uint_eq(in(DATA), 0x01);
	ck_assert_uint_eq(in(IER), 0x02);
	wr(LCR, 0x03);
	ck_assert_uint_eq(in(IER), 0x05);
	ck_assert_uint_eq(sent_len, 0);
	ck_assert_uint_eq(in(LCR), 0x03);
}
END_TEST

/* The driver starts a transmission by enabling the interrupt; each byte raises it anew. */
START_TEST(transmitter_empty_interrupts_until_read)
{
	wr(IER, 0x02);
	ck_assert(line);
	ck_assert_uint_eq(in(IIR), 0x02);
	ck_assert(!line);
	ck_assert_uint_eq(in(IIR), 0x01);
	wr(DATA, 'a');
	ck_assert(line);
	ck_assert_uint_eq(in(IIR), 0x02);
	wr(IER, 0x00);
	wr(IER, 0x02); /* off and on: Linux tests for chips that forget this */
	ck_assert_uint_eq(in(IIR), 0x02);
	wr(IER, 0x02); /* already on: nothing new */
	ck_assert_uint_eq(in(IIR), 0x01);
}
END_TEST

START_TEST(receiver_interrupts_by_trigger_level_and_time_out)
{
	static const unsigned int level[] = {1, 4, 8, 14};
	uint8_t data[16];

	for (unsigned int i = 0; i < 16; i++)
		data[i] = (uint8_t)('A' + i);
	for (unsigned int t = 0; t < 4; t++) {
		wr(FCR, (uint8_t)(t << 6 | 0x07));
		wr(IER, 0x01);
		ck_assert_uint_eq(uart_input(uart, data, level[t] - 1), level[t] - 1);
		if (level[t] > 1)
			ck_assert_uint_eq(in(IIR), 0xcc);
		ck_assert_uint_eq(uart_input(uart, data + level[t] - 1, 1), 1);
		ck_assert(line);
		ck_assert_uint_eq(in(IIR), 0xc4);
		for (unsigned int i = 0; i < level[t]; i++) {
			ck_assert_uint_eq(in(LSR)&1, 1);
			ck_assert_uint_eq(in(DATA), data[i]);
		}
		ck_assert(!line);
		ck_assert_uint_eq(in(LSR)&1, 0);
		ck_assert_uint_eq(in(IIR), 0xc1);
	}
}
END_TEST

/* What does not fit waits with the caller, who is told when it may go on. */
START_TEST(input_beyond_the_fifo_is_refused_and_room_is_told_once)
{
	uint8_t data[20] = "0123456789abcdefghi";

	ck_assert_uint_eq(uart_input(uart, data, 20), 1); /* no FIFO: one byte */
	ck_assert_uint_eq(rooms, 0);
	ck_assert_uint_eq(in(DATA), '0');
	ck_assert_uint_eq(rooms, 1);
	wr(FCR, 0x01);
	ck_assert_uint_eq(uart_input(uart, data, 20), 16);
	ck_assert_uint_eq(uart_input(uart, data + 16, 4), 0);
	ck_assert_uint_eq(in(LSR)&2, 0); /* refused, not overrun */
	refill = true;
	ck_assert_uint_eq(in(DATA), '0');
	ck_assert_uint_eq(rooms, 2);
	for (unsigned int i = 1; i < 16; i++)
		ck_assert_uint_eq(in(DATA), data[i]);
	ck_assert_uint_eq(in(DATA), 'r');
	ck_assert_uint_eq(rooms, 2);
	uart_input(uart, data, 20);
	wr(FCR, 0x03); /* clearing makes room too */
	ck_assert_uint_eq(rooms, 3);
}
END_TEST

START_TEST(interrupt_sources_come_by_priority)
{
	wr(FCR, 0x81); /* trigger 8 */
	wr(MCR, 0x1b); /* loopback, to make an overrun and modem changes */
	wr(IER, 0x0f);
	for (unsigned int i = 0; i < 17; i++)
		wr(DATA, (uint8_t)i);
	ck_assert(!line); /* OUT2 is disconnected in loopback */
	ck_assert_uint_eq(in(IIR), 0xc6);
	ck_assert_uint_eq(in(LSR), 0x63);
	ck_assert_uint_eq(in(LSR), 0x61); /* reading cleared the overrun */
	ck_assert_uint_eq(in(IIR), 0xc4);
	for (unsigned int i = 0; i < 9; i++)
		ck_assert_uint_eq(in(DATA), i); /* the byte too many was the lost one */
	ck_assert_uint_eq(in(IIR), 0xcc);
	for (unsigned int i = 9; i < 16; i++)
		ck_assert_uint_eq(in(DATA), i);
	ck_assert_uint_eq(in(IIR), 0xc2);
	wr(MCR, 0x18); /* RTS and DTR fall */
	ck_assert_uint_eq(in(IIR), 0xc0);
	ck_assert_uint_eq(in(MSR), 0x83);
	ck_assert_uint_eq(in(MSR), 0x80);
	ck_assert_uint_eq(in(IIR), 0xc1);
	ck_assert_uint_eq(sent_len, 0);
}
END_TEST

START_TEST(ring_counts_only_when_it_ends)
{
	wr(MCR, 0x10);
	in(MSR);
	wr(MCR, 0x14);
	ck_assert_uint_eq(in(MSR), 0x40);
	wr(MCR, 0x10);
	ck_assert_uint_eq(in(MSR), 0x04);
}
END_TEST

START_TEST(out2_gates_the_interrupt)
{
	wr(MCR, 0x03);
	wr(IER, 0x01);
	uart_input(uart, (const uint8_t *)"x", 1);
	ck_assert(!line);
	ck_assert_uint_eq(in(IIR), 0x04);
	wr(MCR, 0x0b);
	ck_assert(line);
	uart_reset(uart);
	ck_assert(!line);
	ck_assert_uint_eq(in(LSR), 0x60);
}
END_TEST

START_TEST(wide_accesses_are_bytes_in_port_order)
{
	bus_write(bus, COM + LCR, 4, 0x00000b03);
	ck_assert_uint_eq(in(LCR), 0x03);
	ck_assert_uint_eq(in(MCR), 0x0b);
	ck_assert_uint_eq(bus_read(bus, COM + LCR, 4), 0xb0600b03);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("uart");
	TCase *t = tcase_create("uart");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, bytes_reach_the_output_in_order);
	tcase_add_test(t, linux_recognises_a_16550a);
	tcase_add_test(t, divisor_latch_hides_data_and_ier);
	tcase_add_test(t, transmitter_empty_interrupts_until_read);
	tcase_add_test(t, receiver_interrupts_by_trigger_level_and_time_out);
	tcase_add_test(t, input_beyond_the_fifo_is_refused_and_room_is_told_once);
	tcase_add_test(t, interrupt_sources_come_by_priority);
	tcase_add_test(t, ring_counts_only_when_it_ends);
	tcase_add_test(t, out2_gates_the_interrupt);
	tcase_add_test(t, wide_accesses_are_bytes_in_port_order);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
