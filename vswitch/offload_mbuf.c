// SPDX-License-Identifier: GPL-2.0-or-later
#include <endian.h>
#include <string.h>

#include "vswitch/offload_mbuf.h"

#define UDP_CSUM 6

static uint16_t chain_csum(const struct rte_mbuf *m, uint32_t start)
{
	struct csum c = {0};

	for (; m && start >= m->data_len; m = m->next)
		start -= m->data_len;
	for (; m; m = m->next) {
		csum_add(&c, rte_pktmbuf_mtod_offset(m, const uint8_t *, start),
			m->data_len - start);
		start = 0;
	}
	return (uint16_t)~csum_fold(&c);
}

static void csum_put(struct rte_mbuf *m, uint32_t start, uint32_t offset)
{
	uint16_t sum = chain_csum(m, start);

	/* RFC 768: to UDP zero means there is none. To TCP both are the same. */
	if (!sum && offset == UDP_CSUM)
		sum = 0xffff;
	sum = htobe16(sum);
	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, start + offset), &sum, sizeof(sum));
}

void mbuf_complete(struct rte_mbuf *m)
{
	const struct offload *o = mbuf_offload(m);

	csum_put(m, o->csum_start, o->csum_offset);
	m->ol_flags &= ~MBUF_OFFLOAD;
}

struct rte_mbuf *mbuf_copy(struct rte_mbuf *m, struct rte_mempool *pool)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);

	/* It leaves the private area behind. */
	if (copy)
		*mbuf_offload(copy) = *mbuf_offload(m);
	return copy;
}

/* @len bytes from @at of @from to the end of @to, in as many buffers as it takes. */
static bool chain_append(struct rte_mbuf *to, const struct rte_mbuf *from, uint32_t at,
	uint32_t len, struct rte_mempool *pool)
{
	struct rte_mbuf *last = to;

	while (len) {
		uint32_t room = rte_pktmbuf_tailroom(last), n = len < room ? len : room;
		const void *bytes;
		uint8_t *dst;

		if (!room) {
			struct rte_mbuf *more = rte_pktmbuf_alloc(pool);

			if (!more)
				return false;
			last->next = more;
			to->nb_segs++;
			last = more;
			continue;
		}
		dst = rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len);
		bytes = rte_pktmbuf_read(from, at, n, dst);
		if (!bytes)
			return false;
		if (bytes != dst)
			memcpy(dst, bytes, n);
		last->data_len = (uint16_t)(last->data_len + n);
		to->pkt_len += n;
		at += n;
		len -= n;
	}
	return true;
}

struct rte_mbuf *mbuf_segment(struct rte_mbuf *m, uint32_t i, struct rte_mempool *pool)
{
	const struct offload *o = mbuf_offload(m);
	uint32_t at = o->hdr_len + i * o->gso_size, n;
	struct rte_mbuf *s;

	if (at >= m->pkt_len)
		return NULL;
	n = m->pkt_len - at < o->gso_size ? m->pkt_len - at : o->gso_size;
	s = rte_pktmbuf_alloc(pool);
	if (!s)
		return NULL;
	if (o->hdr_len > rte_pktmbuf_tailroom(s) || !chain_append(s, m, 0, o->hdr_len, pool) ||
		!chain_append(s, m, at, n, pool)) {
		rte_pktmbuf_free(s);
		return NULL;
	}
	offload_segment_header(o, i, n, at + n == m->pkt_len, rte_pktmbuf_mtod(s, uint8_t *));
	csum_put(s, o->csum_start, o->csum_offset);
	return s;
}
