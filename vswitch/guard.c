// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "vswitch/guard.h"
#include "vswitch/ip.h"

#define DHCP_SERVER   67
#define DHCP_CLIENT   68
#define DHCPV6_CLIENT 546
#define DHCPV6_SERVER 547

#define ND_SOURCE_LLA 1 /* RFC 4861 §4.6.1 */
#define ND_TARGET_LLA 2

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

/*
 * RFC 826: Ethernet and IPv4 only; anything else in ARP is nobody's. What it says of its sender must
 * be what Ethernet says, or the caches of all who hear it are poisoned.
 */
static int arp_check(const struct guard *g, uint64_t src, struct ip_view v)
{
	uint32_t ip;

	if (v.len < 28)
		return DROP_BAD_HEADERS;
	if (frame_be16(v.p) != 1 || frame_be16(v.p + 2) != FRAME_TYPE_IPV4 || v.p[4] != 6 ||
		v.p[5] != 4)
		return DROP_SPOOF_ARP;
	if ((g->nr_mac || g->nr_ipv4) && frame_mac(v.p + 8) != src)
		return DROP_SPOOF_ARP;
	ip = frame_be32(v.p + 14);
	/* A request from 0.0.0.0 asks whether an address is free, RFC 5227 §1.1. */
	if (!ip && frame_be16(v.p + 6) == 1)
		return -1;
	return ipv4_allowed(g, ip) ? -1 : DROP_SPOOF_ARP;
}

/* Servers are told by both ports: clients take what comes to theirs from anywhere. */
static bool dhcp_serves(const uint8_t *udp, uint16_t server, uint16_t client)
{
	return frame_be16(udp) == server || frame_be16(udp + 2) == client;
}

static int ipv4_check(const struct guard *g, struct ip_view v)
{
	struct ip_view up;
	uint32_t src;
	uint8_t proto;

	if (ip4_upper(v, &proto, &up) < 0)
		return DROP_BAD_HEADERS;
	src = frame_be32(v.p + 12);
	if (proto == IP_PROTO_UDP) {
		/* Less than the ports could hide them in what a receiver puts together. */
		if (up.len < 4)
			return DROP_BAD_HEADERS;
		if (g->no_dhcp_server && dhcp_serves(up.p, DHCP_SERVER, DHCP_CLIENT))
			return DROP_ROGUE_DHCP;
		if (!src && frame_be16(up.p) == DHCP_CLIENT && frame_be16(up.p + 2) == DHCP_SERVER)
			return -1;
	}
	return ipv4_allowed(g, src) ? -1 : DROP_SPOOF_IPV4;
}

/* Link-layer addresses in the options of a neighbour message must be the frame's own. */
static int nd_options_check(const struct guard *g, uint64_t src, struct ip_view v, uint32_t at)
{
	if (!g->nr_mac && !g->nr_ipv6)
		return -1;
	while (at + 8 <= v.len) {
		const uint8_t *o = v.p + at;

		if (!o[1])
			return DROP_BAD_HEADERS; /* RFC 4861 §4.6: to be discarded */
		if ((o[0] == ND_SOURCE_LLA || o[0] == ND_TARGET_LLA) && frame_mac(o + 2) != src)
			return DROP_SPOOF_ND;
		at += o[1] * 8u;
	}
	return -1;
}

static int icmpv6_check(const struct guard *g, uint64_t src, bool no_source, struct ip_view v)
{
	uint8_t type;

	if (v.len < 4)
		return DROP_BAD_HEADERS;
	type = v.p[0];
	if (g->no_router && (type == ND_ROUTER_ADVERT || type == ND_REDIRECT))
		return DROP_ROGUE_RA;
	switch (type) {
	case ND_NEIGH_SOLICIT:
	case ND_NEIGH_ADVERT:
		if (v.len < 24)
			return DROP_BAD_HEADERS;
		/*
		 * Without a source, a solicitation asks whether the address is free, RFC 4862 §5.4.2:
		 * to ask for another's keeps it from using it.
		 */
		if ((type == ND_NEIGH_ADVERT || no_source) && !ipv6_allowed(g, src, v.p + 8))
			return DROP_SPOOF_ND;
		return nd_options_check(g, src, v, 24);
	case ND_ROUTER_SOLICIT: return nd_options_check(g, src, v, 8);
	case MLD_REPORT:
	case MLD_DONE:
	case MLD2_REPORT: return -1;
	default: return no_source ? DROP_SPOOF_IPV6 : -1;
	}
}

static int ipv6_check(const struct guard *g, uint64_t mac, struct ip_view v)
{
	static const uint8_t none[16];
	bool no_source;
	struct ip_view up;
	uint8_t proto;
	int r = -1;

	if (ip6_upper(v, &proto, &up) < 0)
		return DROP_BAD_HEADERS;
	no_source = !memcmp(v.p + 8, none, 16);
	if (proto == IP_PROTO_UDP) {
		if (up.len < 4)
			return DROP_BAD_HEADERS;
		if (g->no_dhcp_server && dhcp_serves(up.p, DHCPV6_SERVER, DHCPV6_CLIENT))
			return DROP_ROGUE_DHCP;
	}
	if (proto == IP_PROTO_ICMPV6)
		r = icmpv6_check(g, mac, no_source, up);
	if (r >= 0)
		return r;
	if (no_source)
		return proto == IP_PROTO_ICMPV6 || !g->nr_ipv6 ? -1 : DROP_SPOOF_IPV6;
	return ipv6_allowed(g, mac, v.p + 8) ? -1 : DROP_SPOOF_IPV6;
}

/*
 * IEEE 802.2 with SNAP, RFC 1042, or a bridge tunnel, IEEE 802.1H: some stations, or bridges to a
 * wireless LAN, take IP and ARP from it, which nobody here checks.
 */
static bool snap_hides(const struct frame *f, struct ip_view v)
{
	static const uint8_t snap[5] = {0xaa, 0xaa, 3};
	uint16_t type;

	if (f->type >= 0x600 || v.len < 8 || memcmp(v.p, snap, sizeof(snap)) != 0 ||
		(v.p[5] != 0 && v.p[5] != 0xf8))
		return false;
	type = frame_be16(v.p + 6);
	return type == FRAME_TYPE_ARP || type == FRAME_TYPE_IPV4 || type == FRAME_TYPE_IPV6 ||
	       frame_type_is_tag(type);
}

int guard_check(const struct guard *g, const struct frame *f, const uint8_t *bytes, uint32_t len,
	enum drop_reason *ret_reason)
{
	struct ip_view v = {bytes + f->l3, len - f->l3};
	int r = -1;

	if (!mac_allowed(g, f->src))
		r = DROP_SPOOF_MAC;
	else if (f->type == FRAME_TYPE_ARP)
		r = arp_check(g, f->src, v);
	else if (f->type == FRAME_TYPE_IPV4)
		r = ipv4_check(g, v);
	else if (f->type == FRAME_TYPE_IPV6)
		r = ipv6_check(g, f->src, v);
	else if (snap_hides(f, v))
		r = DROP_BAD_HEADERS;
	if (r < 0)
		return 0;
	*ret_reason = (enum drop_reason)r;
	return -EACCES;
}
