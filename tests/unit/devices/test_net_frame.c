// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "devices/net_frame.h"

#define B(n)   (1ull << (n))
#define TX_ALL (B(VIRTIO_NET_F_CSUM) | B(VIRTIO_NET_F_HOST_TSO4) | B(VIRTIO_NET_F_HOST_ECN))
#define RX_ALL (B(VIRTIO_NET_F_GUEST_CSUM) | B(VIRTIO_NET_F_GUEST_TSO4))
#define CSUM   VIRTIO_NET_HDR_F_NEEDS_CSUM
#define TSO4   VIRTIO_NET_HDR_GSO_TCPV4
#define TSO6   VIRTIO_NET_HDR_GSO_TCPV6

static const struct {
	const char *name;
	uint8_t flags, gso;
	uint16_t gso_size, start, offset;
	size_t len;
	uint64_t features;
	bool tx, want;
} headers[] = {
	{"plain", 0, 0, 0, 0, 0, 60, 0, true, true},
	{"too short", 0, 0, 0, 0, 0, 13, 0, true, false},
	{"longest", 0, 0, 0, 0, 0, NET_FRAME_MAX, 0, true, true},
	{"too long", 0, 0, 0, 0, 0, NET_FRAME_MAX + 1, 0, true, false},
	{"checksum", CSUM, 0, 0, 34, 16, 60, TX_ALL, true, true},
	{"checksum not negotiated", CSUM, 0, 0, 34, 16, 60, RX_ALL, true, false},
	{"checksum just inside", CSUM, 0, 0, 42, 16, 60, TX_ALL, true, true},
	{"checksum past the end", CSUM, 0, 0, 43, 16, 60, TX_ALL, true, false},
	{"checksum far", CSUM, 0, 0, 0xffff, 0xffff, 60, TX_ALL, true, false},
	{"tso", CSUM, TSO4, 1400, 34, 16, 3000, TX_ALL, true, true},
	{"tso with ecn", CSUM, TSO4 | 0x80, 1400, 34, 16, 3000, TX_ALL, true, true},
	{"tso of size 0", CSUM, TSO4, 0, 34, 16, 3000, TX_ALL, true, false},
	{"tso without checksum", 0, TSO4, 1400, 34, 16, 3000, TX_ALL, true, false},
	{"tso6 not negotiated", CSUM, TSO6, 1400, 34, 16, 3000, TX_ALL, true, false},
	{"unknown gso", CSUM, 9, 1400, 34, 16, 3000, UINT64_MAX, true, false},
	{"received checksum", CSUM, 0, 0, 34, 16, 60, RX_ALL, false, true},
	{"guest takes none", CSUM, 0, 0, 34, 16, 60, TX_ALL, false, false},
	{"guest takes tso4", CSUM, TSO4, 1400, 34, 16, 3000, RX_ALL, false, true},
	{"guest takes no ecn", CSUM, TSO4 | 0x80, 1400, 34, 16, 3000, RX_ALL, false, false},
};

START_TEST(only_what_was_negotiated_and_fits_passes)
{
	const struct virtio_net_hdr_v1 h = {
		.flags = headers[_i].flags,
		.gso_type = headers[_i].gso,
		.gso_size = headers[_i].gso_size,
		.csum_start = headers[_i].start,
		.csum_offset = headers[_i].offset,
	};

	ck_assert_msg(net_hdr_ok(&h, headers[_i].features, headers[_i].len, headers[_i].tx) ==
			      headers[_i].want,
		"%s", headers[_i].name);
}
END_TEST

enum { OWN, OTHER, LISTED, BCAST, MULTI, MULTI_LISTED, VLAN5, VLAN6, FRAMES };

static const uint8_t frame[FRAMES][16] = {
	[OWN] = {2, 0, 0, 0, 0, 1},
	[OTHER] = {2, 0, 0, 0, 0, 2},
	[LISTED] = {2, 0, 0, 0, 0, 3},
	[BCAST] = {255, 255, 255, 255, 255, 255},
	[MULTI] = {1, 0, 0x5e, 0, 0, 1},
	[MULTI_LISTED] = {1, 0, 0x5e, 0, 0, 2},
	[VLAN5] = {2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x81, 0, 0xf0, 5},
	[VLAN6] = {2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x81, 0, 0xf0, 6},
};

static const struct {
	const char *name;
	struct net_filter f;
	const char *pass; /* a character per frame, '1' passes */
} filters[] = {
	{"own, listed, broadcast, its VLAN", {.vlan_filter = true}, "10110110"},
	{"promiscuous", {.promisc = true, .vlan_filter = true}, "11111111"},
	{"no VLAN filter", {0}, "10110111"},
	{"all multicast", {.allmulti = true}, "10111111"},
	{"all unicast", {.alluni = true}, "11110111"},
	{"no multicast", {.nomulti = true, .allmulti = true}, "10110011"},
	{"no unicast", {.nouni = true}, "00010100"},
	{"no broadcast", {.nobcast = true}, "10100111"},
	{"too many unicast", {.mac_overflow_uni = true}, "11110111"},
	{"too many multicast", {.mac_overflow_multi = true}, "10111111"},
};

START_TEST(frames_pass_as_the_guest_asked)
{
	struct net_filter f = filters[_i].f;

	memcpy(f.mac, frame[OWN], 6);
	memcpy(f.uni[0], frame[LISTED], 6);
	memcpy(f.multi[0], frame[MULTI_LISTED], 6);
	f.n_uni = f.n_multi = 1;
	f.vlan[0] = 1 << 5;
	for (unsigned int i = 0; i < FRAMES; i++)
		ck_assert_msg(net_filter_pass(&f, frame[i], 16) == (filters[_i].pass[i] == '1'),
			"%s, frame %u", filters[_i].name, i);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_frame");
	TCase *t = tcase_create("net_frame");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(
		t, only_what_was_negotiated_and_fits_passes, 0, (int)ARRAY_SIZE(headers));
	tcase_add_loop_test(t, frames_pass_as_the_guest_asked, 0, (int)ARRAY_SIZE(filters));
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
