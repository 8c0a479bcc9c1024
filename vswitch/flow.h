/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which frames belong together: those of one flow must not overtake each other, so they go to a guest by
 * one of its queues. Any bytes will do; what cannot be read does not count.
 */
#ifndef VIADUCT_VSWITCH_FLOW_H
#define VIADUCT_VSWITCH_FLOW_H

#include "vswitch/frame.h"

static inline uint32_t flow_mix(uint32_t hash, const uint8_t *bytes, uint32_t n)
{
	uint32_t word;

	/* MurmurHash3's steps: every bit of the input reaches every bit of the output. */
	for (; n >= 4; bytes += 4, n -= 4) {
		memcpy(&word, bytes, 4);
		word *= 0xcc9e2d51;
		word = word << 15 | word >> 17;
		hash ^= word * 0x1b873593;
		hash = (hash << 13 | hash >> 19) * 5 + 0xe6546b64;
	}
	return hash;
}

/* The ports, where the protocol has some in the same place: TCP, UDP, DCCP, SCTP, UDP-Lite. */
static inline bool flow_has_ports(uint8_t proto)
{
	return proto == 6 || proto == 17 || proto == 33 || proto == 132 || proto == 136;
}

/* Of the frame whose first @len bytes are @b. Fragments of one packet have one hash, as they have one. */
static inline uint32_t flow_hash(const uint8_t *b, uint32_t len)
{
	uint32_t hash = 0, l3 = FRAME_HEADER;
	uint16_t type;

	if (len < FRAME_HEADER)
		return 0;
	hash = flow_mix(hash, b, 12);
	type = frame_be16(b + 12);
	if (type == FRAME_TYPE_VLAN && len >= FRAME_HEADER + FRAME_TAG) {
		type = frame_be16(b + 16);
		l3 += FRAME_TAG;
	}
	if (type == FRAME_TYPE_IPV4 && len >= l3 + 20) {
		uint32_t l4 = l3 + (b[l3] & 15u) * 4;

		hash = flow_mix(hash, b + l3 + 12, 8);
		if (flow_has_ports(b[l3 + 9]) && !(frame_be16(b + l3 + 6) & 0x3fff) &&
			len >= l4 + 4)
			hash = flow_mix(hash, b + l4, 4);
	} else if (type == FRAME_TYPE_IPV6 && len >= l3 + 40) {
		hash = flow_mix(hash, b + l3 + 8, 32);
		if (flow_has_ports(b[l3 + 6]) && len >= l3 + 44)
			hash = flow_mix(hash, b + l3 + 40, 4);
	}
	hash ^= hash >> 16;
	hash *= 0x85ebca6b;
	hash ^= hash >> 13;
	return hash;
}

#endif
