/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest left to its card: a checksum to be completed, a TCP segment to be cut. The header in
 * front of each frame says so (Virtio 1.2 §5.1.6); what it says is checked here once, against the
 * frame, so that nobody behind needs to doubt it, and so that completing a checksum writes where a
 * checksum is and nowhere else: the guard has looked at the other bytes already.
 *
 * Bytes in, bytes out, no DPDK; offload_mbuf.c does the same to chains of buffers.
 */
#ifndef VIADUCT_VSWITCH_OFFLOAD_H
#define VIADUCT_VSWITCH_OFFLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a frame needs of the port it leaves by, and what a port takes. */
#define OFFLOAD_CSUM 1u /* the checksum is that of the pseudo header only */
#define OFFLOAD_TSO4 2u
#define OFFLOAD_TSO6 4u
#define OFFLOAD_ECN  8u /* with OFFLOAD_TSO*: only the first segment may carry CWR */

#define OFFLOAD_ALL (OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN)

#define OFFLOAD_WIRE_HEADER 10 /* of struct virtio_net_hdr; num_buffers may follow */

/* As many as the smallest MSS Linux sends (48) makes of the longest frame there is. */
#define OFFLOAD_SEGMENTS_MAX 1366

struct offload {
	uint8_t needs; /* OFFLOAD_*; 0: the frame is whole, the rest means nothing */
	uint8_t l3;
	uint16_t csum_start, csum_offset;
	uint16_t hdr_len;  /* TSO: from the first byte to TCP's payload */
	uint16_t gso_size; /* TSO: payload of each segment but the last */
};

/*
 * Read the header @wire a guest put before a frame of @len bytes, of which @bytes holds the first
 * @linear (all headers must be among them). @allowed: OFFLOAD_* it has negotiated. Returns 0 or
 * -EBADMSG: not negotiated, or untrue of this frame; *@ret is then not written.
 */
int offload_read(const uint8_t wire[OFFLOAD_WIRE_HEADER], uint32_t allowed, const uint8_t *bytes,
	uint32_t linear, uint32_t len, struct offload *ret);

/* The header for a guest that takes what @o needs, as @wire; zeroes when that is nothing. */
void offload_write(const struct offload *o, uint8_t wire[OFFLOAD_WIRE_HEADER]);

/* A tag was put in (@delta 4) or taken out (-4) before the network header. */
static inline void offload_shift(struct offload *o, int delta)
{
	o->l3 = (uint8_t)(o->l3 + delta);
	o->csum_start = (uint16_t)(o->csum_start + delta);
	o->hdr_len = (uint16_t)(o->hdr_len + delta);
}

/* How many frames a frame of @len bytes is cut into. */
static inline uint32_t offload_segments(const struct offload *o, uint32_t len)
{
	if (!(o->needs & (OFFLOAD_TSO4 | OFFLOAD_TSO6)))
		return 1;
	return (len - o->hdr_len + o->gso_size - 1) / o->gso_size;
}

/* The longest frame that leaves on a wire. */
static inline uint32_t offload_wire_len(const struct offload *o, uint32_t len)
{
	uint32_t cut = (uint32_t)o->hdr_len + o->gso_size;

	if (!(o->needs & (OFFLOAD_TSO4 | OFFLOAD_TSO6)) || len < cut)
		return len;
	return cut;
}

/*
 * Make of @header, a copy of the whole frame's @o->hdr_len first bytes, that of segment @i, whose
 * payload is @payload bytes. Its TCP checksum is left as OFFLOAD_CSUM says.
 */
void offload_segment_header(
	const struct offload *o, uint32_t i, uint32_t payload, bool last, uint8_t *header);

/* The Internet checksum, RFC 1071, over pieces of any length. Begin with zeroes. */
struct csum {
	uint64_t sum;
	bool odd;
};

void csum_add(struct csum *c, const void *bytes, size_t len);
/* As it is stored, host order; not inverted. */
uint16_t csum_fold(const struct csum *c);

#endif
