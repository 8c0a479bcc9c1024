// SPDX-License-Identifier: GPL-2.0-or-later
/* What guests leave to their cards: checksums and segmentation, read, refused and made good. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/offload.h"

#define ALL  (OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN)
#define LEN4 3054 /* 14 + 20 + 20 + 3000 */
#define LEN6 3074

struct case_ {
	const char *what;
	uint32_t allowed;
	uint8_t wire[OFFLOAD_WIRE_HEADER];
	/* up to three bytes of the frame changed */
	struct {
		uint16_t at;
		uint8_t value;
	} patch[3];
	bool v6;
	uint32_t linear;   /* 0 = all */
	int needs;         /* -1 = refused */
	uint32_t segments; /* when it is not */
};

/* flags, type, hdr_len, gso_size, csum_start, csum_offset */
#define WIRE(f, t, h, g, s, o)                                                                   \
	{                                                                                        \
		f, t, (h)&255, (h) >> 8, (g)&255, (g) >> 8, (s)&255, (s) >> 8, (o)&255, (o) >> 8 \
	}

static const struct case_ cases[] = {
	{"nothing asked for", 0, WIRE(0, 0, 0, 0, 0, 0), .needs = 0, .segments = 1},
	{"lengths without a wish mean nothing", 0, WIRE(0, 0, 9, 9, 9, 9), .segments = 1},
	{"data valid is not a guest's to say, and asks for nothing", 0, WIRE(2, 0, 0, 0, 0, 0),
		.segments = 1},
	{"TCP checksum", ALL, WIRE(1, 0, 0, 0, 34, 16), .needs = OFFLOAD_CSUM, .segments = 1},
	{"not negotiated", 0, WIRE(1, 0, 0, 0, 34, 16), .needs = -1},
	{"past the frame", ALL, WIRE(1, 0, 0, 0, 34, 3019), .needs = -1},
	{"sum past 16 bits", ALL, WIRE(1, 0, 0, 0, 65535, 65535), .needs = -1},
	{"onto the source address", ALL, WIRE(1, 0, 0, 0, 14, 12), .needs = -1},
	{"onto the ports", ALL, WIRE(1, 0, 0, 0, 34, 0), .needs = -1},
	{"onto the Ethernet header", ALL, WIRE(1, 0, 0, 0, 0, 6), .needs = -1},
	{"of ARP", ALL, WIRE(1, 0, 0, 0, 34, 16), {{13, 6}}, .needs = -1},
	{"of a fragment", ALL, WIRE(1, 0, 0, 0, 34, 16), {{20, 0x20}}, .needs = -1},
	{"of ICMP", ALL, WIRE(1, 0, 0, 0, 34, 2), {{23, 1}}, .needs = -1},
	{"of UDP", ALL, WIRE(1, 0, 0, 0, 34, 6), {{23, 17}}, .needs = OFFLOAD_CSUM, .segments = 1},
	{"within UDP", ALL, WIRE(1, 0, 0, 0, 80, 16), {{23, 17}}, .needs = OFFLOAD_CSUM,
		.segments = 1},
	{"onto UDP's ports", ALL, WIRE(1, 0, 0, 0, 34, 2), {{23, 17}}, .needs = -1},
	{"header length shorter than IPv4's", ALL, WIRE(1, 0, 0, 0, 34, 16), {{14, 0x44}},
		.needs = -1},
	{"TSO", ALL, WIRE(1, 1, 54, 1448, 34, 16), .needs = OFFLOAD_CSUM | OFFLOAD_TSO4,
		.segments = 3},
	{"TSO that divides", ALL, WIRE(1, 1, 54, 1500, 34, 16),
		.needs = OFFLOAD_CSUM | OFFLOAD_TSO4, .segments = 2},
	{"TSO of one segment", ALL, WIRE(1, 1, 54, 9000, 34, 16),
		.needs = OFFLOAD_CSUM | OFFLOAD_TSO4, .segments = 1},
	{"TSO whose header length lies", ALL, WIRE(1, 1, 65535, 1448, 34, 16),
		.needs = OFFLOAD_CSUM | OFFLOAD_TSO4, .segments = 3},
	{"TSO with ECN", ALL, WIRE(1, 0x81, 54, 1448, 34, 16),
		.needs = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_ECN, .segments = 3},
	{"ECN not negotiated", ALL & ~OFFLOAD_ECN, WIRE(1, 0x81, 54, 1448, 34, 16), .needs = -1},
	{"ECN of nothing", ALL, WIRE(1, 0x80, 54, 1448, 34, 16), .needs = -1},
	{"TSO not negotiated", OFFLOAD_CSUM, WIRE(1, 1, 54, 1448, 34, 16), .needs = -1},
	{"TSO without a checksum", ALL, WIRE(0, 1, 54, 1448, 34, 16), .needs = -1},
	{"segments of nothing", ALL, WIRE(1, 1, 54, 0, 34, 16), .needs = -1},
	{"segments of two bytes", ALL, WIRE(1, 1, 54, 2, 34, 16), .needs = -1},
	{"TSO of IPv6 that is IPv4", ALL, WIRE(1, 4, 54, 1448, 34, 16), .needs = -1},
	{"TSO of UDP", ALL, WIRE(1, 1, 54, 1448, 34, 6), {{23, 17}}, .needs = -1},
	{"UFO", ALL, WIRE(1, 3, 42, 1448, 34, 6), {{23, 17}}, .needs = -1},
	{"TCP header shorter than itself", ALL, WIRE(1, 1, 54, 1448, 34, 16), {{46, 0x40}},
		.needs = -1},
	{"TCP header past what is in one piece", ALL, WIRE(1, 1, 54, 1448, 34, 16), {{46, 0xf0}},
		.linear = 60, .needs = -1},
	{"headers not in one piece", ALL, WIRE(1, 0, 0, 0, 34, 16), .linear = 40, .needs = -1},
	{"IPv6 checksum", ALL, WIRE(1, 0, 0, 0, 54, 16), .v6 = true, .needs = OFFLOAD_CSUM,
		.segments = 1},
	{"IPv6 TSO", ALL, WIRE(1, 4, 74, 1000, 54, 16), .v6 = true,
		.needs = OFFLOAD_CSUM | OFFLOAD_TSO6, .segments = 3},
	{"behind a routing header", ALL, WIRE(1, 4, 74, 1000, 62, 16), {{20, 43}, {54, 6}, {55, 0}},
		.v6 = true, .needs = -1},
	{"extension header past the end", ALL, WIRE(1, 0, 0, 0, 54, 16), {{20, 60}, {55, 255}},
		.v6 = true, .linear = 200, .needs = -1},
};

static uint32_t frame_make(uint8_t *b, bool v6)
{
	uint32_t at = v6 ? 54 : 34;

	memset(b, 0, at + 20);
	memcpy(b, "\x02\0\0\0\0\2\x02\0\0\0\0\1", 12);
	memcpy(b + 12, v6 ? "\x86\xdd\x60" : "\x08\0\x45", 3);
	b[v6 ? 20 : 23] = 6;
	b[v6 ? 38 : 29] = 9;
	b[at + 4] = 0xff, b[at + 5] = 0xff, b[at + 6] = 0xff, b[at + 7] = 0xf0;
	b[at + 12] = 0x50;
	b[at + 13] = 0x99; /* CWR, ACK, PSH, FIN */
	for (uint32_t i = 0; i < 3000; i++)
		b[at + 20 + i] = (uint8_t)(i * 7);
	return at + 3020;
}

START_TEST(offload_takes_what_is_true_of_the_frame)
{
	const struct case_ *c = &cases[_i];
	uint8_t b[LEN6];
	uint32_t len = frame_make(b, c->v6);
	struct offload o = {.needs = 99};
	int r;

	for (unsigned int i = 0; i < 3 && c->patch[i].at; i++)
		b[c->patch[i].at] = c->patch[i].value;
	r = offload_read(c->wire, c->allowed, b, c->linear ? c->linear : len, len, &o);
	ck_assert_msg(r == (c->needs < 0 ? -EBADMSG : 0), "%s: %d", c->what, r);
	ck_assert_msg(o.needs == (c->needs < 0 ? 99 : c->needs), "%s: needs %u", c->what, o.needs);
	if (!r)
		ck_assert_msg(offload_segments(&o, len) == c->segments, "%s", c->what);
}
END_TEST

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

START_TEST(segments_carry_the_right_numbers_and_flags)
{
	static const uint8_t wires[2][OFFLOAD_WIRE_HEADER] = {
		WIRE(1, 1, 54, 1448, 34, 16), WIRE(1, 4, 74, 1448, 54, 16)};
	/* sequence number 0xfffffff0 + i * 1448, CWR in the first, PSH and FIN in the last */
	static const uint32_t seq[3] = {0xfffffff0, 0x598, 0xb40};
	static const uint8_t flags[3] = {0x90, 0x10, 0x19};
	bool v6 = _i;
	uint8_t b[LEN6], h[LEN6];
	uint32_t len = frame_make(b, v6), l4 = v6 ? 54 : 34, payload;
	struct offload o;

	ck_assert_int_eq(offload_read(wires[v6], ALL, b, len, len, &o), 0);
	ck_assert_uint_eq(offload_wire_len(&o, len), l4 + 20 + 1448);
	for (uint32_t i = 0; i < 3; i++) {
		payload = i < 2 ? 1448 : 104;
		memcpy(h, b, o.hdr_len);
		offload_segment_header(&o, i, payload, i == 2, h);
		ck_assert_uint_eq((uint32_t)be16(h + l4 + 4) << 16 | be16(h + l4 + 6), seq[i]);
		ck_assert_uint_eq(h[l4 + 13], flags[i]);
		if (v6) {
			ck_assert_uint_eq(be16(h + 18), 20 + payload);
		} else {
			ck_assert_uint_eq(be16(h + 16), 40 + payload);
			ck_assert_uint_eq(be16(h + 18), i); /* identification */
		}
	}
}
END_TEST

START_TEST(a_tag_moves_what_lies_behind_it)
{
	static const uint8_t wire[] = WIRE(1, 1, 54, 1448, 34, 16);
	uint8_t b[LEN6], back[OFFLOAD_WIRE_HEADER];
	uint32_t len = frame_make(b, false);
	struct offload o;

	ck_assert_int_eq(offload_read(wire, ALL, b, len, len, &o), 0);
	offload_shift(&o, 4);
	offload_write(&o, back);
	ck_assert_uint_eq(back[6], 38);
	ck_assert_uint_eq(back[8], 16);
	ck_assert_uint_eq(back[2], 58);
	offload_shift(&o, -4);
	offload_write(&o, back);
	ck_assert_mem_eq(back, wire, sizeof(wire));
}
END_TEST

/* RFC 1071 §3's example, and the same in pieces cut anywhere. */
START_TEST(checksum_does_not_mind_how_it_is_cut)
{
	static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	for (size_t i = 0; i <= sizeof(bytes); i++)
		for (size_t j = i; j <= sizeof(bytes); j++) {
			struct csum c = {0};

			csum_add(&c, bytes, i);
			csum_add(&c, bytes + i, j - i);
			csum_add(&c, bytes + j, sizeof(bytes) - j);
			ck_assert_uint_eq(csum_fold(&c), 0xddf2);
		}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("offload");
	TCase *tc = tcase_create("offload");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(
		tc, offload_takes_what_is_true_of_the_frame, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_loop_test(tc, segments_carry_the_right_numbers_and_flags, 0, 2);
	tcase_add_test(tc, a_tag_moves_what_lies_behind_it);
	tcase_add_test(tc, checksum_does_not_mind_how_it_is_cut);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
