// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>

#include "vswitch/frame.h"
#include "vswitch/ip.h"

#define IP6_HOP         0
#define IP6_ROUTING     43
#define IP6_FRAGMENT    44
#define IP6_AUTH        51
#define IP6_DESTINATION 60
#define IP6_MOBILITY    135
#define IP6_HIP         139
#define IP6_SHIM6       140

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

int ip4_upper(struct ip_view v, uint8_t *ret_proto, struct ip_view *ret)
{
	uint32_t ihl, len;

	if (v.len < 20 || v.p[0] >> 4 != 4)
		return -EBADMSG;
	ihl = (v.p[0] & 15u) * 4;
	len = least(v.len, frame_be16(v.p + 2));
	if (ihl < 20 || v.len < ihl)
		return -EBADMSG;
	*ret_proto = frame_be16(v.p + 6) & 0x1fff ? IP_PROTO_NONE : v.p[9];
	*ret = (struct ip_view){v.p + ihl, len > ihl ? len - ihl : 0};
	return 0;
}

/* The length of extension header @kind at @p, of which 8 bytes are there, or 0: it is none. */
static uint32_t extension_len(uint8_t kind, const uint8_t *p)
{
	switch (kind) {
	case IP6_HOP:
	case IP6_ROUTING:
	case IP6_DESTINATION:
	case IP6_MOBILITY:
	case IP6_HIP:
	case IP6_SHIM6: return 8 + p[1] * 8u;
	case IP6_FRAGMENT: return 8;
	case IP6_AUTH: return 8 + p[1] * 4u; /* RFC 4302 §2.2 */
	default: return 0;
	}
}

int ip6_upper(struct ip_view v, uint8_t *ret_proto, struct ip_view *ret)
{
	static const uint8_t nothing[8];
	uint32_t at = 40, end, len;
	uint8_t next;

	if (v.len < 40 || v.p[0] >> 4 != 6)
		return -EBADMSG;
	next = v.p[6];
	end = least(v.len, 40u + frame_be16(v.p + 4));
	while (extension_len(next, nothing)) {
		if (end < at + 8)
			return -EBADMSG;
		if (next == IP6_FRAGMENT && frame_be16(v.p + at + 2) & 0xfff8) {
			*ret_proto = IP_PROTO_NONE;
			*ret = (struct ip_view){v.p + at, 0};
			return 0;
		}
		len = extension_len(next, v.p + at);
		next = v.p[at];
		at += len;
		if (end < at)
			return -EBADMSG;
	}
	*ret_proto = next;
	*ret = (struct ip_view){v.p + at, end - at};
	return 0;
}
