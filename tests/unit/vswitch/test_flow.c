// SPDX-License-Identifier: GPL-2.0-or-later
/* Which frames go by one queue. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/flow.h"

#define LEN 64

static void frame_make(uint8_t *b, bool v6, bool tagged)
{
	uint32_t l3 = tagged ? 18 : 14;

	memset(b, 0, LEN);
	memcpy(b, "\x02\0\0\0\0\2\x02\0\0\0\0\1", 12);
	if (tagged)
		memcpy(b + 12, "\x81\0\0\7", 4);
	memcpy(b + l3 - 2, v6 ? "\x86\xdd\x60" : "\x08\0\x45", 3);
	b[l3 + (v6 ? 6 : 9)] = 6;
}

static const struct {
	const char *what;
	bool v6, tagged;
	uint8_t proto; /* 0 = TCP */
	uint32_t at;   /* this byte changes */
	bool same;
} changes[] = {
	{"destination address", false, false, 0, 5, false},
	{"source address", false, false, 0, 11, false},
	{"identification", false, false, 0, 19, true},
	{"time to live", false, false, 0, 22, true},
	{"IPv4 source", false, false, 0, 29, false},
	{"IPv4 destination", false, false, 0, 33, false},
	{"source port", false, false, 0, 35, false},
	{"destination port", false, false, 0, 37, false},
	{"sequence number", false, false, 0, 40, true},
	{"port with a tag", false, true, 0, 39, false},
	{"number with a tag", false, true, 0, 44, true},
	{"what are no ports", false, false, 1, 35, true},
	{"IPv6 flow label", true, false, 0, 17, true},
	{"IPv6 source", true, false, 0, 37, false},
	{"IPv6 destination", true, false, 0, 53, false},
	{"port over IPv6", true, false, 0, 55, false},
	{"UDP port", false, false, 17, 37, false},
};

START_TEST(a_flow_is_its_addresses_and_ports)
{
	uint8_t b[LEN];
	uint32_t before;

	frame_make(b, changes[_i].v6, changes[_i].tagged);
	if (changes[_i].proto)
		b[23] = changes[_i].proto;
	before = flow_hash(b, LEN);
	b[changes[_i].at] ^= 4;
	ck_assert_msg((flow_hash(b, LEN) == before) == changes[_i].same, "%s", changes[_i].what);
}
END_TEST

START_TEST(fragments_of_a_packet_go_together)
{
	uint8_t b[LEN];
	uint32_t first;

	frame_make(b, false, false);
	b[20] = 0x20; /* the first one, with ports */
	b[35] = 99;
	first = flow_hash(b, LEN);
	b[20] = 0, b[21] = 5; /* the last one, with anything there */
	b[35] = 1;
	ck_assert_uint_eq(flow_hash(b, LEN), first);
}
END_TEST

START_TEST(flows_spread_over_queues)
{
	unsigned int count[4] = {0};
	uint8_t b[LEN];

	frame_make(b, false, false);
	for (unsigned int i = 0; i < 4000; i++) {
		b[34] = (uint8_t)(i >> 8);
		b[35] = (uint8_t)i;
		count[flow_hash(b, LEN) % 4]++;
	}
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_gt(count[i], 800);
}
END_TEST

/* Nothing is read behind the end, which the sanitizers see. */
START_TEST(short_frames_have_a_hash_too)
{
	for (unsigned int kind = 0; kind < 4; kind++)
		for (uint32_t len = 0; len < LEN; len++) {
			uint8_t whole[LEN], *b = malloc(len ? len : 1);

			frame_make(whole, kind & 1, kind & 2);
			memcpy(b, whole, len);
			ck_assert_uint_eq(flow_hash(b, len), flow_hash(whole, len));
			free(b);
		}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow");
	TCase *tc = tcase_create("flow");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(
		tc, a_flow_is_its_addresses_and_ports, 0, sizeof(changes) / sizeof(changes[0]));
	tcase_add_test(tc, fragments_of_a_packet_go_together);
	tcase_add_test(tc, flows_spread_over_queues);
	tcase_add_test(tc, short_frames_have_a_hash_too);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
