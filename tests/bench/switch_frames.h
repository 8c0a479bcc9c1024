/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frames that go round in the switch benchmark: what is in one when it is made, and what a guest
 * changes before it sends one back. Both kinds of guest do the same.
 */
#ifndef VIADUCT_TESTS_BENCH_SWITCH_FRAMES_H
#define VIADUCT_TESTS_BENCH_SWITCH_FRAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FRAME_MIN 60u
#define FRAME_MAX 1514u
/* The number of a frame whose only purpose is to show the switch where its sender is. */
#define FRAME_TEACHES UINT32_MAX

#define FRAME_NUMBER 38u /* where a frame has it: behind addresses, IPv4 and UDP ports */
#define FRAME_BODY   42u

struct frames {
	uint32_t size;  /* of each, without FCS */
	uint32_t pairs; /* of addresses, taken in turn */
	uint32_t next;
};

/* @side 0 = A */
static inline void mac_of(uint8_t *mac, unsigned int side, uint32_t pair)
{
	/* An odd multiplier scatters them: neighbours in number are not neighbours in address. */
	uint32_t v = pair * 2654435761u;

	mac[0] = 2;
	mac[1] = (uint8_t)side;
	memcpy(mac + 2, &v, 4);
}

static inline uint32_t frames_next_pair(struct frames *f)
{
	uint32_t pair = f->next;

	f->next = pair + 1 == f->pairs ? 0 : pair + 1;
	return pair;
}

/* The frame @number from @side, for the other one. @b has room for @size bytes. */
static inline void frame_fill(
	uint8_t *b, uint32_t size, unsigned int side, uint32_t pair, uint32_t number)
{
	static const uint8_t ip[] = {0x08, 0x00, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17};

	memset(b, 0, FRAME_BODY);
	mac_of(b, !side, pair);
	mac_of(b + 6, side, pair);
	memcpy(b + 12, ip, sizeof(ip));
	b[16] = (uint8_t)((size - 14) >> 8);
	b[17] = (uint8_t)(size - 14);
	memcpy(b + 26, "\x0a\0\0\1\x0a\0\0\2\0\7\0\7", 12);
	memcpy(b + FRAME_NUMBER, &number, 4);
	for (uint32_t i = FRAME_BODY; i < size; i++)
		b[i] = (uint8_t)(number * 7 + (number >> 8) + i);
}

/* For the way back: from A to the next pair of addresses, from B to where it came from. */
static inline void frame_readdress(struct frames *f, uint8_t *b, unsigned int side)
{
	uint8_t mac[6];

	if (side || f->pairs == 1) {
		memcpy(mac, b, 6);
		memcpy(b, b + 6, 6);
		memcpy(b + 6, mac, 6);
		return;
	}
	mac_of(b, 1, f->next);
	mac_of(b + 6, 0, f->next);
	frames_next_pair(f);
}

static inline uint32_t frame_number(const uint8_t *b)
{
	uint32_t number;

	memcpy(&number, b + FRAME_NUMBER, 4);
	return number;
}

/* Is this, of @len bytes, what frame_fill() made, but for its addresses, which are those of a pair? */
static inline bool frame_is_whole(const uint8_t *b, uint32_t len, uint32_t size)
{
	uint8_t want[FRAME_MAX];

	if (len != size)
		return false;
	frame_fill(want, size, 0, 0, frame_number(b));
	return memcmp(b + 12, want + 12, size - 12) == 0 && memcmp(b + 2, b + 8, 4) == 0 &&
	       b[0] == 2 && b[6] == 2 && b[1] + b[7] == 1;
}

#endif
