// SPDX-License-Identifier: GPL-2.0-or-later
/* IGMP and MLD snooping: who gets which group, for how long, and what hostile messages can do. */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/snoop.h"

#define VLAN 7

static struct snoop *s;
static uint32_t now;

static void open_with(bool drop)
{
	const struct snoop_config cfg = {.enabled = true, .drop_unregistered = drop, .seed = 5};

	snoop_destroy(s);
	ck_assert_int_eq(snoop_create(&cfg, &s), 0);
	now = 100;
}

static void setup(void)
{
	s = NULL;
	open_with(false);
}

static void teardown(void)
{
	snoop_destroy(s);
}

static uint32_t add_up(const uint8_t *p, uint32_t len, uint32_t v)
{
	for (uint32_t i = 0; i < len; i++)
		v += i & 1 ? p[i] : (uint32_t)(p[i] << 8);
	return v;
}

static void csum_put(uint8_t *p, uint32_t v)
{
	while (v >> 16)
		v = (v & 0xffff) + (v >> 16);
	v = ~v;
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static const struct port_set *frame(uint16_t port, uint16_t type, const uint8_t *l3, uint32_t len)
{
	uint8_t b[2048] = {1, 0, 0x5e, 0, 0, 1, 2, 0, 0, 0, 0, 1};
	struct frame f;

	b[12] = (uint8_t)(type >> 8);
	b[13] = (uint8_t)type;
	memcpy(b + 14, l3, len);
	ck_assert_int_eq(frame_parse(b, 14 + len, &f), 0);
	return snoop_frame(s, port, VLAN, &f, b, 14 + len, now);
}

/* From 10.0.0.@port, with the router alert option. */
static const struct port_set *ipv4(
	uint16_t port, uint8_t proto, const char *dst, const uint8_t *up, uint32_t n)
{
	uint8_t p[1500] = {0x46, 0, (uint8_t)((24 + n) >> 8), (uint8_t)(24 + n), 0, 0, 0, 0, 1,
		proto, 0, 0, 10, 0, 0, (uint8_t)port, 0, 0, 0, 0, 0x94, 4};

	inet_pton(AF_INET, dst, p + 16);
	memcpy(p + 24, up, n);
	return frame(port, FRAME_TYPE_IPV4, p, 24 + n);
}

static const struct port_set *igmp(uint16_t port, uint8_t type, const char *group)
{
	uint8_t m[8] = {type, 10};

	inet_pton(AF_INET, group, m + 4);
	csum_put(m + 2, add_up(m, sizeof(m), 0));
	return ipv4(port, 2, type == 0x11 ? "224.0.0.1" : group, m, sizeof(m));
}

/* Version 3: one record. */
static const struct port_set *igmp3(uint16_t port, uint8_t type, const char *group, uint8_t sources)
{
	uint8_t m[8 + 8 + 1020] = {0x22, 0, 0, 0, 0, 0, 0, 1, type, 0, 0, sources};
	uint32_t n = 16 + sources * 4u;

	inet_pton(AF_INET, group, m + 12);
	csum_put(m + 2, add_up(m, n, 0));
	return ipv4(port, 2, "224.0.0.22", m, n);
}

static const struct port_set *data(uint16_t port, const char *group)
{
	static const uint8_t udp[8] = {1, 1, 1, 1, 0, 8};

	return ipv4(port, 17, group, udp, sizeof(udp));
}

static const struct port_set *ipv6(
	uint16_t port, uint8_t hops, uint8_t next, const char *dst, const uint8_t *up, uint32_t n)
{
	uint8_t p[1500] = {0x60, 0, 0, 0, 0, (uint8_t)(8 + n), 0, hops, 0xfe, 0x80};

	p[23] = (uint8_t)port;
	inet_pton(AF_INET6, dst, p + 24);
	p[40] = next; /* hop-by-hop: router alert */
	p[42] = 5;
	p[43] = 2;
	memcpy(p + 48, up, n);
	if (next == 58)
		csum_put(p + 50, add_up(p + 48, n, add_up(p + 8, 32, n + 58)));
	return frame(port, FRAME_TYPE_IPV6, p, 48 + n);
}

static const struct port_set *mld(uint16_t port, uint8_t type, const char *group)
{
	uint8_t m[24] = {type};

	inet_pton(AF_INET6, group, m + 8);
	return ipv6(port, 1, 58, type == 130 ? "ff02::1" : group, m, sizeof(m));
}

static const struct port_set *mld2(uint16_t port, uint8_t type, const char *group)
{
	uint8_t m[28] = {143, 0, 0, 0, 0, 0, 0, 1, type};

	inet_pton(AF_INET6, group, m + 12);
	return ipv6(port, 1, 58, "ff02::16", m, sizeof(m));
}

static const struct port_set *data6(uint16_t port, const char *group)
{
	static const uint8_t udp[8] = {1, 1, 1, 1, 0, 8};

	return ipv6(port, 9, 17, group, udp, sizeof(udp));
}

/* @ports: "1 2"; NULL = flooded */
static void assert_to(const struct port_set *to, const char *ports)
{
	char text[64] = "";

	ck_assert_msg(!to == !ports, "%s, not %s", to ? "chosen ports" : "flooded",
		ports ? ports : "flooded");
	for (uint16_t i = 0; to && i < 16; i++)
		if (port_set_has(to, i))
			snprintf(text + strlen(text), 8, "%s%u", text[0] ? " " : "", i);
	if (to)
		ck_assert_str_eq(text, ports);
}

static void assert_entries(uint32_t want)
{
	struct snoop_entry e;
	uint32_t cursor = 0, n = 0;

	while (snoop_next(s, &cursor, now, &e))
		n++;
	ck_assert_uint_eq(n, want);
}

START_TEST(snoop_sends_groups_to_listeners_and_routers)
{
	assert_to(data(9, "239.1.1.1"), NULL);
	assert_to(igmp(1, 0x16, "239.1.1.1"), ""); /* no router: to nobody */
	assert_to(data(9, "239.1.1.1"), "1");
	assert_to(igmp(2, 0x12, "239.1.1.1"), "");
	assert_to(data(9, "239.1.1.1"), "1 2");
	assert_to(data(9, "239.1.1.2"), NULL);
	assert_to(igmp(3, 0x11, "0.0.0.0"), NULL); /* a query goes everywhere */
	assert_to(data(9, "239.1.1.1"), "1 2 3");
	assert_to(igmp(4, 0x16, "239.1.1.3"), "3");
	assert_to(data(9, "239.1.1.3"), "3 4");
	assert_entries(4);
}
END_TEST

START_TEST(snoop_sends_ipv6_groups_to_listeners_and_routers)
{
	assert_to(mld(1, 131, "ff05::1"), "");
	assert_to(mld2(2, 4, "ff05::1"), "");
	assert_to(data6(9, "ff05::1"), "1 2");
	assert_to(mld(3, 130, "::"), NULL);
	assert_to(data6(9, "ff05::1"), "1 2 3");
	assert_to(mld(1, 132, "ff05::1"), "3");
	now += 3;
	snoop_age(s, now);
	assert_to(data6(9, "ff05::1"), "2 3");
	assert_to(data6(9, "ff1e::1:2"), NULL);
}
END_TEST

START_TEST(snoop_floods_what_belongs_to_the_link)
{
	open_with(true);
	assert_to(igmp(1, 0x16, "224.0.0.251"), "");
	assert_to(data(9, "224.0.0.251"), NULL);
	assert_to(mld(1, 131, "ff02::fb"), "");
	assert_to(data6(9, "ff02::fb"), NULL);
	assert_to(data6(9, "ff02::1:ff00:1"), NULL);
	assert_to(frame(9, 0x88b5, (const uint8_t *)"x", 1), NULL);
	assert_entries(0);
	assert_to(data(9, "239.1.1.1"), "");
	assert_to(data6(9, "ff05::1"), "");
	igmp(3, 0x11, "0.0.0.0");
	assert_to(data(9, "239.1.1.1"), "3");
}
END_TEST

static const struct {
	uint8_t type, sources;
	bool joins;
} records[] = {
	{1, 0, false},
	{1, 2, true},
	{2, 0, true},
	{2, 255, true},
	{3, 2, true},
	{4, 0, true},
	{5, 1, true},
	{6, 1, false},
	{77, 1, false},
};

START_TEST(snoop_reads_the_records_of_version_3)
{
	igmp3(1, records[_i].type, "239.1.1.1", records[_i].sources);
	assert_to(data(9, "239.1.1.1"), records[_i].joins ? "1" : NULL);
	/* "Include nobody" is how one leaves. */
	igmp3(1, 3, "239.1.1.1", 0);
	now += SNOOP_LAST_S;
	snoop_age(s, now);
	assert_to(data(9, "239.1.1.1"), NULL);
}
END_TEST

START_TEST(snoop_forgets_who_is_not_heard_of)
{
	igmp(1, 0x16, "239.1.1.1");
	igmp(3, 0x11, "0.0.0.0");
	now += SNOOP_AGEING_S - 1;
	ck_assert_uint_eq(snoop_age(s, now), 0);
	igmp(1, 0x16, "239.1.1.1");
	now++;
	ck_assert_uint_eq(snoop_age(s, now), 1); /* the router */
	assert_to(data(9, "239.1.1.1"), "1");
	now += SNOOP_AGEING_S;
	ck_assert_uint_eq(snoop_age(s, now), 1);
	assert_to(data(9, "239.1.1.1"), NULL);
	assert_entries(0);
}
END_TEST

START_TEST(snoop_waits_for_other_listeners_unless_told_not_to)
{
	const struct snoop_port fast = {.fast_leave = true};

	snoop_port_set(s, 2, &fast);
	igmp(1, 0x16, "239.1.1.1");
	igmp(2, 0x16, "239.1.1.1");
	igmp(1, 0x17, "239.1.1.1");
	igmp(2, 0x17, "239.1.1.1");
	assert_to(data(9, "239.1.1.1"), "1");
	/* Another listener behind the same port answers the router's question. */
	igmp(1, 0x16, "239.1.1.1");
	now += SNOOP_LAST_S;
	ck_assert_uint_eq(snoop_age(s, now), 0);
	igmp(1, 0x17, "239.1.1.1");
	now += SNOOP_LAST_S;
	ck_assert_uint_eq(snoop_age(s, now), 1);
}
END_TEST

START_TEST(snoop_hurries_when_the_router_asks_for_a_group)
{
	igmp(1, 0x16, "239.1.1.1");
	igmp(2, 0x16, "239.1.1.1");
	igmp(3, 0x11, "239.1.1.1");
	igmp(2, 0x16, "239.1.1.1");
	now += SNOOP_LAST_S;
	snoop_age(s, now);
	assert_to(data(9, "239.1.1.1"), "2 3");
}
END_TEST

START_TEST(snoop_believes_configured_routers)
{
	const struct snoop_port always = {.router = SNOOP_ROUTER_ALWAYS},
				never = {.router = SNOOP_ROUTER_NEVER}, automatic = {0};

	igmp(1, 0x16, "239.1.1.1");
	snoop_port_set(s, 5, &always);
	snoop_port_set(s, 6, &never);
	igmp(6, 0x11, "0.0.0.0");
	assert_to(data(9, "239.1.1.1"), "1 5");
	igmp(3, 0x11, "0.0.0.0");
	assert_to(data(9, "239.1.1.1"), "1 3 5");
	assert_to(igmp(1, 0x16, "239.1.1.2"), "3 5");
	snoop_port_set(s, 5, &automatic);
	snoop_port_set(s, 3, &never);
	assert_to(data(9, "239.1.1.1"), "1");
	snoop_port_remove(s, 1);
	assert_to(data(9, "239.1.1.1"), NULL);
	assert_entries(0);
}
END_TEST

/* A guest that joins everything fills its own share, not others'. */
START_TEST(snoop_gives_each_port_its_share)
{
	const struct snoop_port two = {.limit = 2};
	struct snoop_port_stats st;

	snoop_port_set(s, 2, &two);
	for (unsigned int i = 0; i < 3000; i++) {
		char group[32];

		snprintf(group, sizeof(group), "239.2.%u.%u", i >> 8, i & 255);
		igmp(1, 0x16, group);
		igmp(2, 0x16, group);
	}
	snoop_stats_get(s, 1, &st);
	ck_assert_uint_eq(st.entries, SNOOP_LIMIT_DEFAULT);
	ck_assert_uint_eq(st.refused, 3000 - SNOOP_LIMIT_DEFAULT);
	snoop_stats_get(s, 2, &st);
	ck_assert_uint_eq(st.entries, 2);
	igmp(3, 0x16, "239.9.9.9");
	assert_to(data(9, "239.9.9.9"), "3");
	now += SNOOP_AGEING_S;
	ck_assert_uint_eq(snoop_age(s, now), SNOOP_LIMIT_DEFAULT + 3);
	snoop_stats_get(s, 1, &st);
	ck_assert_uint_eq(st.entries, 0);
}
END_TEST

START_TEST(snoop_counts_messages_that_are_none)
{
	uint8_t m[24] = {0x16, 10, 0, 0, 239, 1, 1, 1}, v3[16] = {0x22, 0, 0, 0, 0, 0, 0, 9};
	struct snoop_port_stats st;

	ipv4(1, 2, "239.1.1.1", m, 8); /* checksum */
	ipv4(1, 2, "239.1.1.1", m, 7);
	csum_put(v3 + 2, add_up(v3, 16, 0)); /* nine records, room for one */
	ipv4(1, 2, "224.0.0.22", v3, 16);
	ipv6(1, 64, 58, "ff05::1", m, 24); /* type 22: other ICMPv6 */
	m[0] = 131;
	ipv6(1, 64, 58, "ff05::1", m, 24); /* from further away */
	ipv6(1, 1, 58, "ff05::1", m, 8);
	snoop_stats_get(s, 1, &st);
	ck_assert_uint_eq(st.malformed, 5);
	assert_entries(0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vswitch-snoop");
	TCase *tc = tcase_create("core");
	SRunner *sr = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, snoop_sends_groups_to_listeners_and_routers);
	tcase_add_test(tc, snoop_sends_ipv6_groups_to_listeners_and_routers);
	tcase_add_test(tc, snoop_floods_what_belongs_to_the_link);
	tcase_add_loop_test(tc, snoop_reads_the_records_of_version_3, 0,
		(int)(sizeof(records) / sizeof(records[0])));
	tcase_add_test(tc, snoop_forgets_who_is_not_heard_of);
	tcase_add_test(tc, snoop_waits_for_other_listeners_unless_told_not_to);
	tcase_add_test(tc, snoop_hurries_when_the_router_asks_for_a_group);
	tcase_add_test(tc, snoop_believes_configured_routers);
	tcase_add_test(tc, snoop_gives_each_port_its_share);
	tcase_add_test(tc, snoop_counts_messages_that_are_none);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
