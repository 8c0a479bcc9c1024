/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The headers of one Ethernet frame, read once from memory a guest may have filled with anything.
 * Bytes in, facts out; nothing here knows where the bytes came from.
 */
#ifndef VIADUCT_VSWITCH_FRAME_H
#define VIADUCT_VSWITCH_FRAME_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FRAME_HEADER    14 /* IEEE 802.3 §3.1.1: two addresses and the type */
#define FRAME_TAG       4  /* IEEE 802.1Q §9.6 */
#define FRAME_TYPE_IPV4 0x0800
#define FRAME_TYPE_ARP  0x0806
#define FRAME_TYPE_VLAN 0x8100
#define FRAME_TYPE_QINQ 0x88a8 /* IEEE 802.1ad; before it, 0x9100 */
#define FRAME_TYPE_IPV6 0x86dd

enum frame_cast { FRAME_UNICAST, FRAME_BROADCAST, FRAME_MULTICAST };

struct frame {
	uint64_t dst, src; /* 48 bits, first byte on the wire is the most significant */
	uint16_t type;     /* behind the tag, if there is one */
	uint16_t vid;      /* of the tag, 0 = priority only */
	bool tagged;
	uint8_t l3; /* offset of what follows the type */
};

static inline uint16_t frame_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t frame_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t frame_mac(const uint8_t *p)
{
	uint64_t v = 0;

	memcpy(&v, p, 6);
	return __builtin_bswap64(v) >> 16;
}

/* As frame_mac() where two more bytes follow: one load. */
static inline uint64_t frame_mac_fast(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return __builtin_bswap64(v) >> 16;
}

static inline enum frame_cast frame_cast(uint64_t dst)
{
	if (!(dst >> 40 & 1))
		return FRAME_UNICAST;
	return dst == 0xffffffffffffull ? FRAME_BROADCAST : FRAME_MULTICAST;
}

/* A tag where the type should be, of whatever kind a station might take off. */
static inline bool frame_type_is_tag(uint16_t type)
{
	return type == FRAME_TYPE_VLAN || type == FRAME_TYPE_QINQ || type == 0x9100;
}

/* IEEE 802.1Q §8.6.3: 01-80-C2-00-00-00 to -0F never leave the link they are on. */
static inline bool frame_reserved(uint64_t dst)
{
	return (dst & ~0xfull) == 0x0180c2000000ull;
}

/*
 * Read the Ethernet header and one 802.1Q tag from the first @len bytes of a frame.
 * Returns 0, or -EBADMSG when @len is too short for them; *@ret is then not written.
 */
static inline int frame_parse(const uint8_t *bytes, uint32_t len, struct frame *ret)
{
	uint16_t type;

	if (__builtin_expect(len < FRAME_HEADER, 0))
		return -EBADMSG;
	type = frame_be16(bytes + 12);
	if (__builtin_expect(type == FRAME_TYPE_VLAN, 0)) {
		if (len < FRAME_HEADER + FRAME_TAG)
			return -EBADMSG;
		ret->tagged = true;
		ret->vid = frame_be16(bytes + 14) & 0xfff;
		ret->type = frame_be16(bytes + 16);
		ret->l3 = FRAME_HEADER + FRAME_TAG;
	} else {
		ret->tagged = false;
		ret->vid = 0;
		ret->type = type;
		ret->l3 = FRAME_HEADER;
	}
	ret->dst = frame_mac_fast(bytes);
	ret->src = frame_mac_fast(bytes + 6);
	return 0;
}

#endif
