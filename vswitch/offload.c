// SPDX-License-Identifier: GPL-2.0-or-later
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "common/bytes.h"
#include "vswitch/frame.h"
#include "vswitch/offload.h"

/* struct virtio_net_hdr, Virtio 1.2 §5.1.6: little endian */
#define HDR_FLAGS       0
#define HDR_GSO_TYPE    1
#define HDR_LEN         2
#define HDR_GSO_SIZE    4
#define HDR_CSUM_START  6
#define HDR_CSUM_OFFSET 8
#define FLAG_NEEDS_CSUM 1
#define GSO_NONE        0
#define GSO_TCPV4       1
#define GSO_TCPV6       4
#define GSO_ECN         0x80

#define TYPE_SERVICE_VLAN 0x88a8

#define PROTO_HOPOPTS 0
#define PROTO_IPIP    4
#define PROTO_TCP     6
#define PROTO_UDP     17
#define PROTO_IPV6    41
#define PROTO_ROUTING 43
#define PROTO_GRE     47
#define PROTO_DSTOPTS 60

#define IPV6_HEADER     40
#define IPV6_EXTENSIONS 8 /* more in a row than this are nobody's honest packet */
#define TCP_HEADER      20
#define TCP_CSUM        16
#define UDP_HEADER      8
#define UDP_CSUM        6

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

struct layers {
	uint32_t l3, l4;
	bool v6, routed;
	uint8_t proto;
};

static int ipv4_parse(const uint8_t *b, uint32_t n, struct layers *l)
{
	uint32_t ihl;

	if (n < l->l3 + 20)
		return -EBADMSG;
	b += l->l3;
	ihl = (b[0] & 15u) * 4;
	/* A fragment's checksum is the whole packet's. */
	if (b[0] >> 4 != 4 || ihl < 20 || frame_be16(b + 6) & 0x3fff)
		return -EBADMSG;
	l->v6 = l->routed = false;
	l->proto = b[9];
	l->l4 = l->l3 + ihl;
	return 0;
}

static int ipv6_parse(const uint8_t *b, uint32_t n, struct layers *l)
{
	if (n < l->l3 + IPV6_HEADER || b[l->l3] >> 4 != 6)
		return -EBADMSG;
	l->v6 = true;
	l->routed = false;
	l->proto = b[l->l3 + 6];
	l->l4 = l->l3 + IPV6_HEADER;
	for (unsigned int i = 0; i <= IPV6_EXTENSIONS; i++) {
		if (l->proto != PROTO_HOPOPTS && l->proto != PROTO_ROUTING &&
			l->proto != PROTO_DSTOPTS)
			return 0;
		if (n < l->l4 + 8)
			return -EBADMSG;
		l->routed |= l->proto == PROTO_ROUTING;
		l->proto = b[l->l4];
		l->l4 += (b[l->l4 + 1] + 1u) * 8;
	}
	return -EBADMSG;
}

static int layers_parse(const uint8_t *b, uint32_t n, struct layers *ret)
{
	uint16_t type;

	ret->l3 = FRAME_HEADER;
	for (unsigned int tags = 0;; tags++) {
		if (n < ret->l3)
			return -EBADMSG;
		type = frame_be16(b + ret->l3 - 2);
		if (type != FRAME_TYPE_VLAN && type != TYPE_SERVICE_VLAN)
			break;
		if (tags == 2)
			return -EBADMSG;
		ret->l3 += FRAME_TAG;
	}
	if (type == FRAME_TYPE_IPV4)
		return ipv4_parse(b, n, ret);
	if (type == FRAME_TYPE_IPV6)
		return ipv6_parse(b, n, ret);
	return -EBADMSG;
}

/* Is what the guest calls a checksum one? */
static bool csum_plausible(const struct layers *l, uint32_t start, uint32_t offset)
{
	switch (l->proto) {
	case PROTO_TCP: return start == l->l4 && offset == TCP_CSUM;
	case PROTO_UDP:
		/* Its own, or in what it carries. */
		return (start == l->l4 && offset == UDP_CSUM) || start >= l->l4 + UDP_HEADER;
	case PROTO_IPIP:
	case PROTO_IPV6:
	case PROTO_GRE: return start >= l->l4;
	default: return false;
	}
}

static void be16_put(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static int tso_read(const uint8_t *wire, const struct layers *l, const uint8_t *b, uint32_t linear,
	uint32_t len, struct offload *o)
{
	uint32_t doff;

	o->gso_size = (uint16_t)le_load(wire + HDR_GSO_SIZE, 2);
	/* With a routing header the pseudo header's destination is none of the fixed fields. */
	if (!o->gso_size || l->routed || l->proto != PROTO_TCP || o->csum_start != l->l4 ||
		linear < l->l4 + TCP_HEADER || l->v6 != !!(o->needs & OFFLOAD_TSO6))
		return -EBADMSG;
	doff = (b[l->l4 + 12] >> 4) * 4u;
	if (doff < TCP_HEADER || l->l4 + doff > linear || l->l4 + doff > UINT8_MAX * 4)
		return -EBADMSG;
	o->hdr_len = (uint16_t)(l->l4 + doff);
	if (len == o->hdr_len)
		o->needs = OFFLOAD_CSUM;
	else if (offload_segments(o, len) > OFFLOAD_SEGMENTS_MAX)
		return -EBADMSG;
	return 0;
}

int offload_read(const uint8_t wire[OFFLOAD_WIRE_HEADER], uint32_t allowed, const uint8_t *bytes,
	uint32_t linear, uint32_t len, struct offload *ret)
{
	struct offload o = {0};
	struct layers l;
	uint8_t gso = wire[HDR_GSO_TYPE];

	if (!(wire[HDR_FLAGS] & FLAG_NEEDS_CSUM)) {
		/* Segments cannot be cut without making checksums. */
		if (gso != GSO_NONE)
			return -EBADMSG;
		*ret = o;
		return 0;
	}
	o.needs = OFFLOAD_CSUM;
	switch (gso & ~GSO_ECN) {
	case GSO_NONE: break;
	case GSO_TCPV4: o.needs |= OFFLOAD_TSO4; break;
	case GSO_TCPV6: o.needs |= OFFLOAD_TSO6; break;
	default: return -EBADMSG;
	}
	if (gso & GSO_ECN) {
		if (gso == GSO_ECN)
			return -EBADMSG;
		o.needs |= OFFLOAD_ECN;
	}
	o.csum_start = (uint16_t)le_load(wire + HDR_CSUM_START, 2);
	o.csum_offset = (uint16_t)le_load(wire + HDR_CSUM_OFFSET, 2);
	if ((o.needs & ~allowed) || (uint32_t)o.csum_start + o.csum_offset + 2 > linear ||
		linear > len || layers_parse(bytes, linear, &l) < 0 ||
		!csum_plausible(&l, o.csum_start, o.csum_offset))
		return -EBADMSG;
	o.l3 = (uint8_t)l.l3;
	if (gso != GSO_NONE && tso_read(wire, &l, bytes, linear, len, &o) < 0)
		return -EBADMSG;
	*ret = o;
	return 0;
}

void offload_write(const struct offload *o, uint8_t wire[OFFLOAD_WIRE_HEADER])
{
	memset(wire, 0, OFFLOAD_WIRE_HEADER);
	if (!o->needs)
		return;
	wire[HDR_FLAGS] = FLAG_NEEDS_CSUM;
	le_store(wire + HDR_CSUM_START, 2, o->csum_start);
	le_store(wire + HDR_CSUM_OFFSET, 2, o->csum_offset);
	if (!(o->needs & (OFFLOAD_TSO4 | OFFLOAD_TSO6)))
		return;
	wire[HDR_GSO_TYPE] = (o->needs & OFFLOAD_TSO4) ? GSO_TCPV4 : GSO_TCPV6;
	if (o->needs & OFFLOAD_ECN)
		wire[HDR_GSO_TYPE] |= GSO_ECN;
	le_store(wire + HDR_LEN, 2, o->hdr_len);
	le_store(wire + HDR_GSO_SIZE, 2, o->gso_size);
}

void csum_add(struct csum *c, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t sum = 0;
	uint32_t word;
	uint16_t half;

	if (c->odd && len) {
		/* The second byte of a pair whose first ended the piece before. */
		c->sum += (uint64_t)*p++ << 8;
		len--;
		c->odd = false;
	}
	for (; len >= 4; p += 4, len -= 4) {
		memcpy(&word, p, 4);
		sum += word;
	}
	if (len >= 2) {
		memcpy(&half, p, 2);
		sum += half;
		p += 2;
		len -= 2;
	}
	if (len) {
		sum += *p;
		c->odd = true;
	}
	c->sum += sum;
}

uint16_t csum_fold(const struct csum *c)
{
	uint64_t sum = c->sum;

	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htobe16((uint16_t)sum);
}

void offload_segment_header(
	const struct offload *o, uint32_t i, uint32_t payload, bool last, uint8_t *header)
{
	uint8_t *ip = header + o->l3, *tcp = header + o->csum_start;
	uint16_t tcp_len = (uint16_t)(o->hdr_len - o->csum_start + payload);
	struct csum c = {0};
	uint8_t pseudo[4] = {0, PROTO_TCP, (uint8_t)(tcp_len >> 8), (uint8_t)tcp_len};
	uint32_t seq = frame_be32(tcp + 4) + i * o->gso_size;

	if (o->needs & OFFLOAD_TSO4) {
		struct csum h = {0};

		be16_put(ip + 2, (uint16_t)(o->hdr_len - o->l3 + payload));
		be16_put(ip + 4, (uint16_t)(frame_be16(ip + 4) + i));
		be16_put(ip + 10, 0);
		csum_add(&h, ip, (size_t)(o->csum_start - o->l3));
		be16_put(ip + 10, (uint16_t)~csum_fold(&h));
		csum_add(&c, ip + 12, 8);
	} else {
		be16_put(ip + 4, (uint16_t)(o->hdr_len - o->l3 - IPV6_HEADER + payload));
		csum_add(&c, ip + 8, 32);
	}
	be16_put(tcp + 4, (uint16_t)(seq >> 16));
	be16_put(tcp + 6, (uint16_t)seq);
	if (!last)
		tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	/* RFC 3168 §6.1.2: once per window, so on the first only. */
	if (i)
		tcp[13] &= (uint8_t)~TCP_CWR;
	csum_add(&c, pseudo, sizeof(pseudo));
	be16_put(tcp + TCP_CSUM, csum_fold(&c));
}
