/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IPv4 and IPv6 headers as far as the switch looks at them, in bytes a guest may have made up. What
 * lies behind the length an IP header gives is padding: a receiver does not look there, nor do we.
 */
#ifndef VIADUCT_VSWITCH_IP_H
#define VIADUCT_VSWITCH_IP_H

#include <stdbool.h>
#include <stdint.h>

#define IP_PROTO_IGMP   2
#define IP_PROTO_UDP    17
#define IP_PROTO_ICMPV6 58
#define IP_PROTO_NONE   59 /* also: not the first fragment, so no header here */

#define ND_ROUTER_SOLICIT 133
#define ND_ROUTER_ADVERT  134
#define ND_NEIGH_SOLICIT  135
#define ND_NEIGH_ADVERT   136
#define ND_REDIRECT       137
#define MLD_QUERY         130
#define MLD_REPORT        131
#define MLD_DONE          132
#define MLD2_REPORT       143

struct ip_view {
	const uint8_t *p;
	uint32_t len;
};

/*
 * What is behind the IPv4 header (RFC 791 §3.1) in @v, or behind the IPv6 header and its extensions
 * (RFC 8200 §4), and its protocol. Each step moves on by 8 bytes or more, so a walk ends with the
 * frame. Returns 0, or -EBADMSG: the headers are wrong or go past the end; nothing is then written.
 */
int ip4_upper(struct ip_view v, uint8_t *ret_proto, struct ip_view *ret);
int ip6_upper(struct ip_view v, uint8_t *ret_proto, struct ip_view *ret);

#endif
