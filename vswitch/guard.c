// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "vswitch/guard.h"

#define IPPROTO_NUM_UDP    17
#define IPPROTO_NUM_ICMPV6 58
#define IPV6_HOP           0
#define IPV6_ROUTING       43
#define IPV6_FRAGMENT      44
#define IPV6_DESTINATION   60
#define DHCP_SERVER        67
#define DHCPV6_SERVER      547
#define ND_ROUTER_ADVERT   134
#define ND_NEIGH_ADVERT    136

struct view {
	const uint8_t *p;
	uint32_t len;
};

static bool mac_allowed(const struct guard *g, uint64_t mac)
{
	for (unsigned int i = 0; i < g->nr_mac; i++)
		if (g->mac[i] == mac)
			return true;
	return !g->nr_mac;
}

static bool ipv4_allowed(const struct guard *g, uint32_t ip)
{
	for (unsigned int i = 0; i < g->nr_ipv4; i++)
		if (g->ipv4[i] == ip)
			return true;
	return !g->nr_ipv4;
}

/* The listed ones, and the link-local one made from the MAC, RFC 4291 §2.5.6 and appendix A. */
static bool ipv6_allowed(const struct guard *g, uint64_t mac, const uint8_t *ip)
{
	uint8_t local[16] = {0xfe, 0x80};

	if (!g->nr_ipv6)
		return true;
	for (unsigned int i = 0; i < g->nr_ipv6; i++)
		if (!memcmp(g->ipv6[i], ip, 16))
			return true;
	local[8] = (uint8_t)(mac >> 40) ^ 2;
	local[9] = (uint8_t)(mac >> 32);
	local[10] = (uint8_t)(mac >> 24);
	local[11] = 0xff;
	local[12] = 0xfe;
	local[13] = (uint8_t)(mac >> 16);
	local[14] = (uint8_t)(mac >> 8);
	local[15] = (uint8_t)mac;
	return !memcmp(local, ip, 16);
}

/* RFC 826: Ethernet and IPv4 only; anything else in ARP is nobody's. */
static int arp_check(const struct guard *g, struct view v)
{
	uint32_t ip;

	if (v.len < 28)
		return DROP_BAD_HEADERS;
	if (frame_be16(v.p) != 1 || frame_be16(v.p + 2) != FRAME_TYPE_IPV4 || v.p[4] != 6 ||
		v.p[5] != 4)
		return DROP_SPOOF_ARP;
	ip = frame_be32(v.p + 14);
	/* 0.0.0.0 asks whether an address is free, RFC 5227 §1.1. */
	if (!mac_allowed(g, frame_mac(v.p + 8)) || (ip && !ipv4_allowed(g, ip)))
		return DROP_SPOOF_ARP;
	return -1;
}

static int ipv4_check(const struct guard *g, struct view v)
{
	uint32_t src, ihl;
	bool is_first;

	if (v.len < 20)
		return DROP_BAD_HEADERS;
	ihl = (v.p[0] & 15u) * 4;
	if (v.p[0] >> 4 != 4 || ihl < 20)
		return DROP_BAD_HEADERS;
	src = frame_be32(v.p + 12);
	is_first = !(frame_be16(v.p + 6) & 0x1fff);
	if (v.p[9] == IPPROTO_NUM_UDP && is_first) {
		/* Less than the ports could hide them in what a receiver puts together. */
		if (v.len < ihl + 4)
			return DROP_BAD_HEADERS;
		if (g->no_dhcp_server && frame_be16(v.p + ihl) == DHCP_SERVER)
			return DROP_ROGUE_DHCP;
	}
	if (!src && v.p[9] == IPPROTO_NUM_UDP && is_first && frame_be16(v.p + ihl) == 68 &&
		frame_be16(v.p + ihl + 2) == DHCP_SERVER)
		return -1;
	return ipv4_allowed(g, src) ? -1 : DROP_SPOOF_IPV4;
}

/* Behind the extension headers, of which there may be as many as the frame holds. */
static int ipv6_upper(struct view v, uint8_t *ret_proto, struct view *ret)
{
	uint8_t next = v.p[6];
	uint32_t at = 40, len;

	while (next == IPV6_HOP || next == IPV6_ROUTING || next == IPV6_DESTINATION ||
		next == IPV6_FRAGMENT) {
		if (v.len < at + 8)
			return -EBADMSG;
		if (next == IPV6_FRAGMENT && frame_be16(v.p + at + 2) & 0xfff8) {
			*ret_proto = 59; /* not the first one: no header here */
			*ret = (struct view){0};
			return 0;
		}
		len = next == IPV6_FRAGMENT ? 8 : 8 + v.p[at + 1] * 8u;
		next = v.p[at];
		at += len;
		if (v.len < at)
			return -EBADMSG;
	}
	*ret_proto = next;
	*ret = (struct view){v.p + at, v.len - at};
	return 0;
}

static int ipv6_check(const struct guard *g, uint64_t mac, struct view v)
{
	static const uint8_t none[16];
	struct view up;
	uint8_t proto;

	if (v.len < 40 || v.p[0] >> 4 != 6 || ipv6_upper(v, &proto, &up) < 0)
		return DROP_BAD_HEADERS;
	if (proto == IPPROTO_NUM_UDP) {
		if (up.len < 4)
			return DROP_BAD_HEADERS;
		if (g->no_dhcp_server && frame_be16(up.p) == DHCPV6_SERVER)
			return DROP_ROGUE_DHCP;
	}
	if (proto == IPPROTO_NUM_ICMPV6) {
		if (up.len < 4)
			return DROP_BAD_HEADERS;
		if (g->no_router && up.p[0] == ND_ROUTER_ADVERT)
			return DROP_ROGUE_RA;
		if (up.p[0] == ND_NEIGH_ADVERT) {
			if (up.len < 24)
				return DROP_BAD_HEADERS;
			if (!ipv6_allowed(g, mac, up.p + 8))
				return DROP_SPOOF_ND;
		}
	}
	/* "::" asks whether an address is free, RFC 4862 §5.4.2, and joins its group. */
	if (!memcmp(v.p + 8, none, 16))
		return proto == IPPROTO_NUM_ICMPV6 ? -1 : DROP_SPOOF_IPV6;
	return ipv6_allowed(g, mac, v.p + 8) ? -1 : DROP_SPOOF_IPV6;
}

int guard_check(const struct guard *g, const struct frame *f, const uint8_t *bytes, uint32_t len,
	enum drop_reason *ret_reason)
{
	struct view v = {bytes + f->l3, len - f->l3};
	int r = -1;

	if (!mac_allowed(g, f->src))
		r = DROP_SPOOF_MAC;
	else if (f->type == FRAME_TYPE_ARP)
		r = arp_check(g, v);
	else if (f->type == FRAME_TYPE_IPV4)
		r = ipv4_check(g, v);
	else if (f->type == FRAME_TYPE_IPV6)
		r = ipv6_check(g, f->src, v);
	if (r < 0)
		return 0;
	*ret_reason = (enum drop_reason)r;
	return -EACCES;
}
