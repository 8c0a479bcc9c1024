// SPDX-License-Identifier: GPL-2.0-or-later
/* Decisions on frames: learning, VLANs, flooding, isolation, guards, meters. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/forward.h"

#define A      0x020000000001ull
#define B      0x020000000002ull
#define C      0x020000000003ull
#define ALL    0xffffffffffffull
#define GROUP  0x01005e000001ull
#define SECOND 1000000000ull

static struct forward *fw;

static void setup(void)
{
	const struct fdb_config cfg = {
		.capacity = 64, .nr_ports = FORWARD_PORTS_MAX, .ageing_s = 300, .seed = 7};

	ck_assert_int_eq(forward_create(&cfg, &fw), 0);
	for (unsigned int i = 0; i < 4; i++)
		forward_port_init(&fw->ports[i]);
}

static void teardown(void)
{
	forward_destroy(fw);
}

static void mac_put(uint8_t *p, uint64_t mac)
{
	for (unsigned int i = 0; i < 6; i++)
		p[i] = (uint8_t)(mac >> (40 - 8 * i));
}

/* vid < 0 = untagged. Returns the header's length. */
static unsigned int frame_put(uint8_t *b, uint64_t dst, uint64_t src, int vid, uint16_t type)
{
	unsigned int at = 12;

	mac_put(b, dst);
	mac_put(b + 6, src);
	if (vid >= 0) {
		b[at++] = 0x81;
		b[at++] = 0;
		b[at++] = (uint8_t)(vid >> 8);
		b[at++] = (uint8_t)vid;
	}
	b[at++] = (uint8_t)(type >> 8);
	b[at++] = (uint8_t)type;
	return at;
}

static struct verdict decide_bytes(
	uint16_t in, const uint8_t *bytes, uint32_t header, uint32_t len, uint64_t now)
{
	struct forward_frame f = {bytes, header, len, len};
	struct verdict v;

	forward_decide(fw, in, &f, 1, now, &v);
	return v;
}

static struct verdict decide(uint16_t in, uint64_t dst, uint64_t src, int vid)
{
	uint8_t b[64] = {0};

	frame_put(b, dst, src, vid, 0x88b5);
	return decide_bytes(in, b, sizeof(b), sizeof(b), SECOND);
}

static void assert_drop(struct verdict v, enum drop_reason reason, uint16_t port)
{
	ck_assert_int_eq(v.kind, VERDICT_DROP);
	ck_assert_str_eq(drop_reason_name(v.reason), drop_reason_name(reason));
	ck_assert_uint_eq(v.reason_port, port);
}

static void assert_port(struct verdict v, uint16_t port)
{
	ck_assert_int_eq(v.kind, VERDICT_PORT);
	ck_assert_uint_eq(v.port, port);
}

static void assert_flood(struct verdict v, enum frame_cast cast)
{
	ck_assert_int_eq(v.kind, VERDICT_FLOOD);
	ck_assert_int_eq(v.cast, cast);
}

START_TEST(forward_floods_until_it_has_learned)
{
	assert_flood(decide(0, B, A, -1), FRAME_UNICAST);
	assert_port(decide(1, A, B, -1), 0);
	assert_port(decide(0, B, A, -1), 1);
	assert_flood(decide(0, ALL, A, -1), FRAME_BROADCAST);
	assert_flood(decide(0, GROUP, A, -1), FRAME_MULTICAST);
	assert_drop(decide(1, B, C, -1), DROP_SAME_PORT, 1);
}
END_TEST

START_TEST(forward_learns_within_one_batch)
{
	struct forward_frame f[2];
	struct verdict v[2];
	uint8_t b[2][64] = {{0}};

	frame_put(b[0], C, A, -1, 0x88b5);
	frame_put(b[1], A, B, -1, 0x88b5);
	for (unsigned int i = 0; i < 2; i++)
		f[i] = (struct forward_frame){b[i], 64, 64, 64};
	forward_decide(fw, 0, f, 2, SECOND, v);
	assert_flood(v[0], FRAME_UNICAST);
	assert_drop(v[1], DROP_SAME_PORT, 0);
}
END_TEST

/* Frames whose header was seen before in the batch take a shorter way to the same answer. */
START_TEST(forward_decides_on_a_batch_as_on_its_frames_one_by_one)
{
	static const uint64_t macs[] = {A, B, C, C + 1, ALL, GROUP, 0, 0x0180c2000000ull};
	static uint8_t bytes[FORWARD_BATCH_MAX][64];
	struct forward_frame f[FORWARD_BATCH_MAX];
	struct verdict v[FORWARD_BATCH_MAX], w;
	struct forward *one = fw;

	srand(1);
	setup();
	for (unsigned int round = 0; round < 4000; round++) {
		uint16_t in = (uint16_t)(rand() % 3);
		unsigned int n = 1 + (unsigned int)rand() % FORWARD_BATCH_MAX;

		for (unsigned int i = 0; i < n; i++) {
			bool again = i && rand() % 4;

			if (again)
				memcpy(bytes[i], bytes[rand() % i], 64);
			else
				frame_put(bytes[i], macs[rand() % 8], macs[rand() % 5],
					rand() % 5 - 3, rand() % 9 ? FRAME_TYPE_ARP : 0x88a8);
			bytes[i][31] = (uint8_t)(rand() % 3);
			f[i] = (struct forward_frame){.bytes = bytes[i],
				.header_len = rand() % 30 ? 60 : 13,
				.len = rand() % 5 ? 60 : 1600};
			f[i].wire_len = f[i].len;
		}
		if (rand() % 50 == 0) {
			fdb_flush(fw->fdb, FDB_NO_PORT, FDB_ANY_VLAN, true);
			fdb_flush(one->fdb, FDB_NO_PORT, FDB_ANY_VLAN, true);
		}
		/* Changes what a port is at times. */
		fw->ports[in].mtu = one->ports[in].mtu = rand() % 2 ? 1500 : 0;
		fw->ports[in].guard.nr_ipv4 = one->ports[in].guard.nr_ipv4 = rand() % 8 == 0;
		fw->ports[in].no_learning = one->ports[in].no_learning = rand() % 8 == 0;
		forward_decide(fw, in, f, n, SECOND, v);
		for (unsigned int i = 0; i < n; i++) {
			forward_decide(one, in, &f[i], 1, SECOND, &w);
			ck_assert_int_eq(v[i].kind, w.kind);
			switch (w.kind) {
			case VERDICT_PORT: ck_assert_uint_eq(v[i].port, w.port); break;
			case VERDICT_FLOOD: ck_assert_int_eq(v[i].cast, w.cast); break;
			case VERDICT_DROP:
				ck_assert_int_eq(v[i].reason, w.reason);
				ck_assert_uint_eq(v[i].reason_port, w.reason_port);
				continue;
			}
			ck_assert_uint_eq(v[i].vlan, w.vlan);
			ck_assert_int_eq(v[i].tagged, w.tagged);
			ck_assert_int_eq(v[i].nested, w.nested);
			ck_assert_int_eq(v[i].priority_tag, w.priority_tag);
		}
	}
	teardown();
	fw = one;
}
END_TEST

START_TEST(forward_drops_what_no_station_sends)
{
	uint8_t b[64] = {0};

	assert_drop(decide_bytes(0, b, 13, 13, 0), DROP_RUNT, 0);
	assert_drop(decide_bytes(0, b, 0, 0, 0), DROP_RUNT, 0);
	frame_put(b, B, A, 1, 0x88b5);
	assert_drop(decide_bytes(0, b, 17, 17, 0), DROP_RUNT, 0);
	assert_drop(decide(0, B, ALL, -1), DROP_BAD_SOURCE, 0);
	assert_drop(decide(0, B, GROUP, -1), DROP_BAD_SOURCE, 0);
	assert_drop(decide(0, B, 0, -1), DROP_BAD_SOURCE, 0);
	assert_drop(decide(0, 0x0180c2000000ull, A, -1), DROP_RESERVED, 0);
	assert_drop(decide(0, 0x0180c200000full, A, -1), DROP_RESERVED, 0);
	assert_flood(decide(0, 0x0180c2000010ull, A, -1), FRAME_MULTICAST);
	ck_assert_uint_eq(fdb_count(fw->fdb), 1);
}
END_TEST

START_TEST(forward_keeps_vlans_apart)
{
	vlan_port_access(&fw->ports[0].vlan, 10);
	vlan_port_access(&fw->ports[1].vlan, 20);
	vlan_port_trunk(&fw->ports[2].vlan, 0);
	ck_assert_int_eq(vlan_port_add(&fw->ports[2].vlan, 10, 12), 0);
	vlan_port_trunk(&fw->ports[3].vlan, 10);

	assert_flood(decide(0, B, A, -1), FRAME_UNICAST);
	ck_assert(!forward_floods(fw, 0, 1, 10, FRAME_UNICAST));
	ck_assert(forward_floods(fw, 0, 2, 10, FRAME_UNICAST));
	ck_assert(forward_floods(fw, 0, 3, 10, FRAME_UNICAST));
	ck_assert(forward_egress_tagged(fw, 2, 10));
	ck_assert(!forward_egress_tagged(fw, 3, 10));

	assert_drop(decide(0, B, A, 10), DROP_TAGGED, 0);
	assert_flood(decide(0, B, A, 0), FRAME_UNICAST); /* priority only */
	ck_assert(decide(0, B, A, 0).priority_tag);
	assert_drop(decide(2, A, B, -1), DROP_VLAN, 2);
	assert_drop(decide(2, A, B, 20), DROP_VLAN, 2);
	assert_port(decide(2, A, B, 10), 0);
	/* The address is known in VLAN 10 alone. */
	assert_flood(decide(2, A, B, 11), FRAME_UNICAST);
	assert_flood(decide(1, A, C, -1), FRAME_UNICAST);
}
END_TEST

static struct verdict decide_nested(uint16_t in, uint64_t dst, int vid, uint16_t type)
{
	uint8_t b[64] = {0};
	unsigned int at = frame_put(b, dst, A, vid, type);

	b[at + 1] = 20; /* the VLAN it would hop to */
	return decide_bytes(in, b, sizeof(b), sizeof(b), SECOND);
}

/* A switch behind ours would take a tag that becomes the first for the frame's VLAN. */
START_TEST(forward_lets_no_second_tag_become_the_first)
{
	static const uint16_t types[] = {0x8100, 0x88a8, 0x9100};
	struct verdict v;

	vlan_port_trunk(&fw->ports[0].vlan, 1);
	vlan_port_add(&fw->ports[0].vlan, 10, 10);
	vlan_port_trunk(&fw->ports[1].vlan, 10);
	vlan_port_add(&fw->ports[1].vlan, 1, 1);
	vlan_port_trunk(&fw->ports[2].vlan, 0);
	vlan_port_add(&fw->ports[2].vlan, 1, 10);
	fdb_add_static(fw->fdb, fdb_key(B, 10), 1);
	fdb_add_static(fw->fdb, fdb_key(C, 10), 2);
	for (unsigned int i = 0; i < 3; i++) {
		assert_drop(decide_nested(3, ALL, 0, types[i]), DROP_NESTED_TAG, 3);
		assert_drop(decide_nested(0, ALL, 0, types[i]), DROP_NESTED_TAG, 0);
		assert_drop(decide_nested(0, B, 10, types[i]), DROP_NESTED_TAG, 0);
		assert_port(decide_nested(0, C, 10, types[i]), 2);
		v = decide_nested(0, ALL, 10, types[i]);
		assert_flood(v, FRAME_BROADCAST);
		ck_assert(!forward_reaches(fw, 0, 1, &v));
		ck_assert(forward_reaches(fw, 0, 2, &v));
	}
	/* Without a first tag, 0x8100 is the first. */
	assert_drop(decide_nested(3, ALL, -1, 0x88a8), DROP_NESTED_TAG, 3);
	assert_drop(decide_nested(0, ALL, -1, 0x88a8), DROP_NESTED_TAG, 0);
	fw->ports[0].guard.no_router = true;
	assert_drop(decide_nested(0, C, 10, 0x8100), DROP_NESTED_TAG, 0);
}
END_TEST

START_TEST(vlan_port_takes_only_numbers_that_exist)
{
	struct vlan_port p;

	vlan_port_trunk(&p, 0);
	ck_assert_int_eq(vlan_port_add(&p, 0, 1), -EINVAL);
	ck_assert_int_eq(vlan_port_add(&p, 5, 4), -EINVAL);
	ck_assert_int_eq(vlan_port_add(&p, 1, 4095), -EINVAL);
	ck_assert_int_eq(vlan_port_add(&p, 1, 4094), 0);
	ck_assert(vlan_port_has(&p, 1) && vlan_port_has(&p, 4094) && !vlan_port_has(&p, 4095) &&
		  !vlan_port_has(&p, 0));
}
END_TEST

START_TEST(forward_isolates_ports_from_each_other)
{
	fw->ports[0].isolated = fw->ports[1].isolated = true;
	ck_assert(!forward_floods(fw, 0, 1, 1, FRAME_BROADCAST));
	ck_assert(forward_floods(fw, 0, 2, 1, FRAME_BROADCAST));
	decide(0, C, A, -1);
	assert_drop(decide(1, A, B, -1), DROP_ISOLATED, 1);
	assert_port(decide(2, A, C, -1), 0);
}
END_TEST

START_TEST(forward_floods_only_what_a_port_takes)
{
	fw->ports[1].no_unknown = true;
	fw->ports[2].no_broadcast = true;
	fw->ports[3].no_multicast = true;
	for (uint16_t out = 1; out < 4; out++) {
		ck_assert(forward_floods(fw, 0, out, 1, FRAME_UNICAST) == (out != 1));
		ck_assert(forward_floods(fw, 0, out, 1, FRAME_BROADCAST) == (out != 2));
		ck_assert(forward_floods(fw, 0, out, 1, FRAME_MULTICAST) == (out != 3));
	}
	ck_assert(!forward_floods(fw, 0, 0, 1, FRAME_BROADCAST));
	ck_assert(!forward_floods(fw, 0, 9, 1, FRAME_BROADCAST)); /* no such port */
}
END_TEST

START_TEST(forward_drops_frames_over_the_destination_mtu)
{
	uint8_t b[64] = {0};
	struct forward_frame f = {b, 64, 30000, 1514};
	struct verdict v;

	fw->ports[1].mtu = 1500;
	decide(1, ALL, B, -1);
	frame_put(b, B, A, -1, 0x88b5);
	assert_port(decide_bytes(0, b, 64, 1514, SECOND), 1);
	assert_drop(decide_bytes(0, b, 64, 1515, SECOND), DROP_OVERSIZE, 1);
	/* What is cut up before a wire is as long as its pieces. */
	forward_decide(fw, 0, &f, 1, SECOND, &v);
	assert_port(v, 1);
	f.wire_len = 1515;
	forward_decide(fw, 0, &f, 1, SECOND, &v);
	assert_drop(v, DROP_OVERSIZE, 1);
	ck_assert(forward_fits(fw, 1, 1518, true));
	ck_assert(!forward_fits(fw, 1, 1519, true));
}
END_TEST

START_TEST(forward_refuses_a_static_address_from_elsewhere)
{
	ck_assert_int_eq(fdb_add_static(fw->fdb, fdb_key(A, 1), 2), 0);
	assert_drop(decide(0, B, A, -1), DROP_STATIC_MAC, 0);
	assert_flood(decide(2, B, A, -1), FRAME_UNICAST);
	fw->ports[3].no_learning = true;
	assert_flood(decide(3, B, C, -1), FRAME_UNICAST);
	ck_assert_uint_eq(fdb_lookup(fw->fdb, fdb_key(C, 1)), FDB_NO_PORT);
}
END_TEST

START_TEST(forward_polices_bytes_and_storms)
{
	uint8_t b[64] = {0};

	meter_init(&fw->ports[0].police, 6400, 128, 0);
	frame_put(b, B, A, -1, 0x88b5);
	assert_flood(decide_bytes(0, b, 64, 64, 0), FRAME_UNICAST);
	assert_flood(decide_bytes(0, b, 64, 64, 0), FRAME_UNICAST);
	assert_drop(decide_bytes(0, b, 64, 64, 0), DROP_POLICED, 0);
	assert_drop(decide_bytes(0, b, 64, 64, SECOND / 200), DROP_POLICED, 0);
	assert_flood(decide_bytes(0, b, 64, 64, SECOND / 100), FRAME_UNICAST);

	meter_init(&fw->ports[1].storm_broadcast, 1, 1, 0);
	meter_init(&fw->ports[1].storm_multicast, 1, 1, 0);
	meter_init(&fw->ports[1].storm_unknown, 1, 1, 0);
	assert_flood(decide(1, ALL, B, -1), FRAME_BROADCAST);
	assert_drop(decide(1, ALL, B, -1), DROP_STORM_BROADCAST, 1);
	assert_flood(decide(1, GROUP, B, -1), FRAME_MULTICAST);
	assert_drop(decide(1, GROUP, B, -1), DROP_STORM_MULTICAST, 1);
	assert_flood(decide(1, C, B, -1), FRAME_UNICAST);
	assert_drop(decide(1, C, B, -1), DROP_STORM_UNKNOWN, 1);
	assert_port(decide(1, A, B, -1), 0);
}
END_TEST

START_TEST(meter_neither_loses_nor_makes_tokens)
{
	uint64_t passed = 0;
	struct meter m;

	meter_init(&m, 3, 1, 0);
	for (uint64_t now = 0; now < 10 * SECOND; now += 1001)
		passed += meter_take(&m, 1, now);
	ck_assert_uint_ge(passed, 30);
	ck_assert_uint_le(passed, 31);
	/* A clock that stands or goes back gives nothing. */
	ck_assert(!meter_take(&m, 1, 0));
}
END_TEST

#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

struct guard_case {
	const char *what;
	uint16_t type;
	const char *hex; /* behind the Ethernet header */
	int reason;      /* -1 = passes */
};

#define ARP_HEAD "0001080006040001"
/* version, length..., protocol, checksum, source, destination; then UDP ports */
#define IP_UDP(src, ports) "4500001c0000000040110000" src "ffffffff" ports "00080000"
#define V6(next, src)      "6000000000200" next "ff" src "ff020000000000000000000000000001"
#define LL_A               "fe80000000000000000000fffe000001"
#define LL_X               "fe800000000000000000000000000bad"
#define UNSPEC             "00000000000000000000000000000000"
#define V6_A               "20010db8000000000000000000000001"
#define V6_X               "20010db8000000000000000000000bad"

/* @len: what is behind the header, two digits of hex */
#define ICMP6(src, len) \
	"60000000"      \
	"00" len "3aff" src "ff020000000000000000000000000001"

static const struct guard_case guard_cases[] = {
	{"other types", 0x88b5, "", -1},
	{"ARP of its own", 0x0806, ARP_HEAD "0200000000010a0000010000000000000a000002", -1},
	{"ARP probe", 0x0806, ARP_HEAD "020000000001000000000000000000000a000001", -1},
	{"ARP of another MAC", 0x0806, ARP_HEAD "0200000000020a0000010000000000000a000002",
		DROP_SPOOF_ARP},
	{"ARP of another IP", 0x0806, ARP_HEAD "0200000000010a0000630000000000000a000002",
		DROP_SPOOF_ARP},
	{"ARP cut short", 0x0806, ARP_HEAD "0200000000010a000001", DROP_BAD_HEADERS},
	{"ARP for no Ethernet", 0x0806, "00060800060400010200000000010a0000010000000000000a000002",
		DROP_SPOOF_ARP},
	{"IPv4 of its own", 0x0800, IP_UDP("0a000001", "00500050"), -1},
	{"IPv4 of another", 0x0800, IP_UDP("0a000002", "00500050"), DROP_SPOOF_IPV4},
	{"DHCP client", 0x0800, IP_UDP("00000000", "00440043"), -1},
	{"source 0 otherwise", 0x0800, IP_UDP("00000000", "00500043"), DROP_SPOOF_IPV4},
	{"DHCP server", 0x0800, IP_UDP("0a000001", "00430044"), DROP_ROGUE_DHCP},
	{"UDP ports cut off", 0x0800, "4500001c00002000401100000a000001ffffffff00",
		DROP_BAD_HEADERS},
	{"IPv4 cut short", 0x0800, "4500001c", DROP_BAD_HEADERS},
	{"IPv4 header length 4", 0x0800, "4100001c00000000400600000a000001ffffffff",
		DROP_BAD_HEADERS},
	{"IPv6 of its own", 0x86dd, V6("6", V6_A), -1},
	{"IPv6 link-local of its MAC", 0x86dd, V6("6", LL_A), -1},
	{"IPv6 link-local of another", 0x86dd, V6("6", LL_X), DROP_SPOOF_IPV6},
	{"IPv6 of another", 0x86dd, V6("6", V6_X), DROP_SPOOF_IPV6},
	{"neighbour advertisement of its own", 0x86dd,
		"60000000002"
		"03aff" LL_A "ff020000000000000000000000000001"
		"88000000"
		"00000000" V6_A,
		-1},
	{"neighbour advertisement for another", 0x86dd,
		"60000000002"
		"03aff" LL_A "ff020000000000000000000000000001"
		"88000000"
		"00000000" V6_X,
		DROP_SPOOF_ND},
	{"router advertisement", 0x86dd,
		"60000000002"
		"03aff" LL_A "ff020000000000000000000000000001"
		"86000000"
		"00000000",
		DROP_ROGUE_RA},
	{"router advertisement behind options", 0x86dd,
		"60000000002"
		"000ff" LL_A "ff020000000000000000000000000001"
		"3a00000000000000"
		"86000000"
		"00000000",
		DROP_ROGUE_RA},
	{"router advertisement in a first fragment", 0x86dd,
		"60000000002"
		"02cff" LL_A "ff020000000000000000000000000001"
		"3a00000100000001"
		"86000000"
		"00000000",
		DROP_ROGUE_RA},
	{"options past the end", 0x86dd,
		"60000000002"
		"000ff" LL_A "ff020000000000000000000000000001"
		"3aff000000000000",
		DROP_BAD_HEADERS},
	{"duplicate address detection", 0x86dd, ICMP6(UNSPEC, "20") "8700000000000000" V6_A, -1},
	{"duplicate address detection of another's", 0x86dd,
		ICMP6(UNSPEC, "20") "8700000000000000" V6_X, DROP_SPOOF_ND},
	{"duplicate address detection cut short", 0x86dd, ICMP6(UNSPEC, "08") "8700000000000000",
		DROP_BAD_HEADERS},
	{"multicast report without an address", 0x86dd, ICMP6(UNSPEC, "08") "8f00000000000000", -1},
	{"echo without an address", 0x86dd, ICMP6(UNSPEC, "08") "8000000000000000",
		DROP_SPOOF_IPV6},
	{"solicitation of anybody", 0x86dd, ICMP6(LL_A, "20") "8700000000000000" V6_X, -1},
	{"solicitation with its link address", 0x86dd,
		ICMP6(LL_A, "28") "8700000000000000" V6_X "0101020000000001", -1},
	{"solicitation with another's link address", 0x86dd,
		ICMP6(LL_A, "28") "8700000000000000" V6_X "0101020000000002", DROP_SPOOF_ND},
	{"advertisement with another's link address", 0x86dd,
		ICMP6(LL_A, "30") "8800000000000000" V6_A "0e01000000000000"
				  "0201020000000002",
		DROP_SPOOF_ND},
	{"router solicitation with another's link address", 0x86dd,
		ICMP6(LL_A, "18") "8500000000000000"
				  "0101020000000002",
		DROP_SPOOF_ND},
	{"an option of no length", 0x86dd,
		ICMP6(LL_A, "28") "8700000000000000" V6_X "0100020000000001", DROP_BAD_HEADERS},
	{"redirect", 0x86dd, ICMP6(LL_A, "08") "8900000000000000", DROP_ROGUE_RA},
	/* The type is in the second fragment; what seems to be one in the first is padding. */
	{"router advertisement behind a fragment of options", 0x86dd,
		"60000000001"
		"02cff" LL_A "ff020000000000000000000000000001"
		"3c00000100000001"
		"3a00000000000000"
		"8000000000000000",
		DROP_BAD_HEADERS},
	{"router advertisement behind an authentication header", 0x86dd,
		"60000000002"
		"033ff" LL_A "ff020000000000000000000000000001"
		"3a01000000000000"
		"00000000"
		"86000000"
		"00000000",
		DROP_ROGUE_RA},
	{"router advertisement behind mobility and options", 0x86dd,
		"60000000002"
		"087ff" LL_A "ff020000000000000000000000000001"
		"3c00000000000000"
		"3a00000000000000"
		"86000000"
		"00000000",
		DROP_ROGUE_RA},
	{"DHCP server on another port", 0x0800, IP_UDP("0a000001", "12340044"), DROP_ROGUE_DHCP},
	{"DHCPv6 server on another port", 0x86dd,
		"60000000000"
		"811ff" LL_A "ff020000000000000000000000000001"
		"12340222"
		"00080000",
		DROP_ROGUE_DHCP},
	{"UDP ports in the padding", 0x0800,
		"450000140000000040110000"
		"0a000001"
		"ffffffff"
		"00500050",
		DROP_BAD_HEADERS},
	{"gratuitous ARP", 0x0806, ARP_HEAD "0200000000010a000001ffffffffffff0a000001", -1},
	{"gratuitous ARP for another", 0x0806, ARP_HEAD "0200000000010a000063ffffffffffff0a000063",
		DROP_SPOOF_ARP},
	{"ARP answer of nobody", 0x0806,
		"0001080006040002"
		"020000000001000000000000000000000a000001",
		DROP_SPOOF_ARP},
	{"a tag behind the first", 0x8100, "0000080045", DROP_NESTED_TAG},
	{"a provider's tag", 0x88a8, "0000080045", DROP_NESTED_TAG},
	{"IPv4 in SNAP", 46,
		"aaaa030000000800"
		"4500001c",
		DROP_BAD_HEADERS},
	{"ARP in a bridge tunnel, IEEE 802.1H", 46,
		"aaaa030000f80806"
		"0001",
		DROP_BAD_HEADERS},
	{"SNAP of a maker's own", 46, "aaaa030000f70806", -1},
	{"spanning tree in LLC", 38, "4242030000000000", -1},
	{"no source otherwise", 0x86dd, V6("6", UNSPEC), DROP_SPOOF_IPV6},
	{"DHCPv6 server", 0x86dd,
		"60000000002"
		"011ff" LL_A "ff020000000000000000000000000001"
		"02230222"
		"00080000",
		DROP_ROGUE_DHCP},
};

static unsigned int hex_put(uint8_t *p, const char *hex)
{
	unsigned int n = 0, v;

	for (; hex[0] && hex[1]; hex += 2) {
		ck_assert_int_eq(sscanf(hex, "%2x", &v), 1);
		p[n++] = (uint8_t)v;
	}
	return n;
}

START_TEST(guard_lets_a_port_be_itself_and_nobody_else)
{
	const struct guard_case *c = &guard_cases[_i];
	struct guard *g = &fw->ports[0].guard;

	g->mac[g->nr_mac++] = A;
	g->ipv4[g->nr_ipv4++] = IP4(10, 0, 0, 1);
	hex_put(g->ipv6[g->nr_ipv6++], V6_A);
	g->no_dhcp_server = g->no_router = true;
	for (int vid = -1; vid < 1; vid++) { /* and behind a priority tag */
		uint8_t b[256] = {0};
		unsigned int n = frame_put(b, ALL, A, vid, c->type);
		struct verdict v;

		if (vid < 0 && c->type == FRAME_TYPE_VLAN)
			continue; /* it would be the first */
		n += hex_put(b + n, c->hex);
		v = decide_bytes(0, b, n, n, SECOND);
		ck_assert_msg((c->reason < 0) == (v.kind != VERDICT_DROP), "%s: %s", c->what,
			v.kind == VERDICT_DROP ? drop_reason_name(v.reason) : "passed");
		if (c->reason >= 0)
			ck_assert_msg((int)v.reason == c->reason, "%s: %s", c->what,
				drop_reason_name(v.reason));
	}
	assert_drop(decide(0, ALL, B, -1), DROP_SPOOF_MAC, 0);
	ck_assert_uint_eq(fdb_lookup(fw->fdb, fdb_key(B, 1)), FDB_NO_PORT);
}
END_TEST

START_TEST(drop_reasons_have_names_of_their_own)
{
	for (enum drop_reason i = 0; i < DROP_REASON_COUNT; i++) {
		ck_assert_str_ne(drop_reason_text(i), "unknown");
		for (enum drop_reason j = 0; j < i; j++)
			ck_assert_str_ne(drop_reason_name(i), drop_reason_name(j));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("forward");
	TCase *tc = tcase_create("forward");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, forward_floods_until_it_has_learned);
	tcase_add_test(tc, forward_learns_within_one_batch);
	tcase_add_test(tc, forward_decides_on_a_batch_as_on_its_frames_one_by_one);
	tcase_add_test(tc, forward_drops_what_no_station_sends);
	tcase_add_test(tc, forward_keeps_vlans_apart);
	tcase_add_test(tc, vlan_port_takes_only_numbers_that_exist);
	tcase_add_test(tc, forward_isolates_ports_from_each_other);
	tcase_add_test(tc, forward_floods_only_what_a_port_takes);
	tcase_add_test(tc, forward_lets_no_second_tag_become_the_first);
	tcase_add_test(tc, forward_drops_frames_over_the_destination_mtu);
	tcase_add_test(tc, forward_refuses_a_static_address_from_elsewhere);
	tcase_add_test(tc, forward_polices_bytes_and_storms);
	tcase_add_test(tc, meter_neither_loses_nor_makes_tokens);
	tcase_add_loop_test(tc, guard_lets_a_port_be_itself_and_nobody_else, 0,
		sizeof(guard_cases) / sizeof(guard_cases[0]));
	tcase_add_test(tc, drop_reasons_have_names_of_their_own);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
