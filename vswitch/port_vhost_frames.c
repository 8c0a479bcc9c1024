// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Frames between a guest's rings and mbufs: the one place where the two meet. Every frame is copied
 * out of guest memory before anything looks at it.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vswitch/datapath.h"
#include "vswitch/offload_mbuf.h"
#include "vswitch/port_vhost.h"

#define HEADER_MAX 12   /* struct virtio_net_hdr_mrg_rxbuf */
#define LINE       64   /* of the cache */
#define NO_KICK_US 1000 /* how often to look at a ring whose guest gave no eventfd */

static_assert(DROP_RING_INDEX - DROP_RING_ADDRESS == VRING_ERROR_INDEX - VRING_ERROR_ADDRESS,
	"drop reasons are in the order of ring errors");

/*
 * While a long frame is copied, ask for the rest of the chain behind it, as far as @len: the other CPU
 * has it, vring_fetch() asked for where it begins, and no CPU guesses which buffer comes next.
 */
static inline void next_prefetch(
	const struct vring_burst *b, unsigned int next, uint32_t len, bool write)
{
	const struct vring_chain *c = &b->chain[next];
	const uint8_t *hva;

	if (next >= b->n || c->nr_segs != 1)
		return;
	if (len > c->len)
		len = c->len;
	hva = b->seg[c->seg].hva;
	for (uint32_t at = 2 * LINE; at < len; at += LINE)
		if (write)
			vring_prefetch_write(hva + at);
		else
			__builtin_prefetch(hva + at);
}

/*
 * Of chain @i of @b, or to it (@write). Most frames are short, and a call costs more than the copy. Where
 * two pieces overlap the guest may have changed the bytes in between, which it could have done before as
 * well.
 */
static inline void bytes_copy(const struct vring_burst *b, unsigned int i, bool write, uint8_t *to,
	const uint8_t *from, uint32_t n)
{
	if (n - 32 > 128 - 32) {
		next_prefetch(b, i + 1, n, write);
		memcpy(to, from, n);
		return;
	}
	if (n > 64) {
		memcpy(to + 32, from + 32, 32);
		memcpy(to + n - 64, from + n - 64, 32);
	}
	memcpy(to, from, 32);
	memcpy(to + n - 32, from + n - 32, 32);
}

static void errors_count(struct port *p, const struct vring_burst *b, unsigned int n)
{
	if (b->broke != VRING_OK)
		port_drop(p, DROP_RING_ADDRESS + b->broke, 1);
	for (unsigned int i = 0; i < n; i++)
		if (b->chain[i].error != VRING_OK)
			port_drop(p, DROP_RING_ADDRESS + b->chain[i].error, 1);
}

/* ---- from the guest ---- */

/* A place in the bytes of a chain. */
struct reader {
	const struct vring_seg *seg;
	uint32_t offset;
};

/* The chain has @n more bytes. */
static void chain_read(struct reader *at, uint8_t *to, uint32_t n)
{
	while (n) {
		uint32_t part = at->seg->len - at->offset;

		if (!part) {
			at->seg++;
			at->offset = 0;
			continue;
		}
		if (part > n)
			part = n;
		memcpy(to, at->seg->hva + at->offset, part);
		at->offset += part;
		to += part;
		n -= part;
	}
}

static inline void mbuf_begin(struct rte_mbuf *m, uint32_t len)
{
	/* The pool's are single, unshared and unchained. */
	m->data_off = RTE_PKTMBUF_HEADROOM;
	m->ol_flags = 0;
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
}

/* The frame of @c into @m and as many more as it takes; its header into @header. */
static __attribute__((noinline)) int frame_gather(const struct vring_burst *b,
	const struct vring_chain *c, uint8_t header_len, struct rte_mempool *pool,
	struct rte_mbuf *m, uint8_t *header)
{
	struct reader at = {&b->seg[c->seg], 0};
	uint32_t left = c->len - header_len;
	struct rte_mbuf *last = m;

	chain_read(&at, header, header_len);
	mbuf_begin(m, 0);
	m->pkt_len = left;
	for (;;) {
		uint32_t room = last->buf_len - RTE_PKTMBUF_HEADROOM;
		uint32_t part = left < room ? left : room;
		struct rte_mbuf *next;

		chain_read(&at, rte_pktmbuf_mtod(last, uint8_t *), part);
		last->data_len = (uint16_t)part;
		left -= part;
		if (!left)
			return 0;
		next = rte_mbuf_raw_alloc(pool);
		if (!next)
			return -ENOMEM;
		mbuf_begin(next, 0);
		last->next = next;
		last = next;
		m->nb_segs++;
	}
}

/* What the driver has negotiated for frames it sends, Virtio 1.2 §5.1.3. */
static uint32_t offloads_allowed(uint64_t features)
{
	static const struct {
		unsigned int feature;
		uint32_t offload;
	} table[] = {
		{VIRTIO_NET_F_CSUM, OFFLOAD_CSUM},
		{VIRTIO_NET_F_HOST_TSO4, OFFLOAD_TSO4},
		{VIRTIO_NET_F_HOST_TSO6, OFFLOAD_TSO6},
		{VIRTIO_NET_F_HOST_ECN, OFFLOAD_ECN},
	};
	uint32_t allowed = 0;

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (features >> table[i].feature & 1)
			allowed |= table[i].offload;
	return allowed;
}

static inline int offload_take(struct rte_mbuf *m, const uint8_t *header, uint32_t allowed)
{
	struct offload *o = mbuf_offload(m);
	int r = offload_read(
		header, allowed, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len, o);

	if (r >= 0 && o->needs)
		m->ol_flags = MBUF_OFFLOAD;
	return r;
}

/* Returns 0 or the reason why not, negative. */
static inline int frame_take(const struct vring_dev *r, const struct vring_burst *b, unsigned int i,
	uint32_t allowed, struct rte_mempool *pool, struct rte_mbuf *m)
{
	const struct vring_chain *c = &b->chain[i];
	uint32_t len = c->len - r->header;
	uint8_t header[HEADER_MAX];

	if (likely(c->nr_segs == 1 && len <= RTE_MBUF_DEFAULT_DATAROOM)) {
		const uint8_t *from = b->seg[c->seg].hva;

		mbuf_begin(m, len);
		bytes_copy(b, i, false, rte_pktmbuf_mtod(m, uint8_t *), from + r->header, len);
		if (!allowed)
			return 0;
		memcpy(header, from, OFFLOAD_WIRE_HEADER);
	} else if (frame_gather(b, c, r->header, pool, m, header) < 0) {
		return -DROP_NO_MEMORY;
	}
	/* A guest that negotiated nothing has nothing to say there. */
	if (allowed && offload_take(m, header, allowed) < 0)
		return -DROP_BAD_OFFLOAD;
	return 0;
}

uint16_t port_vhost_rx(struct port *p, uint16_t queue, struct rte_mbuf **m, uint16_t n)
{
	struct vring_dev *r = port_vhost_guest_tx(p->vhost, queue);
	struct rte_mempool *pool = datapath_pool(p->dp);
	uint32_t allowed = offloads_allowed(r->features);
	struct vring_burst b;
	unsigned int chains = vring_fetch(r, &b, n);
	uint16_t got = 0;

	if (!chains) {
		if (unlikely(b.broke != VRING_OK))
			errors_count(p, &b, 0);
		return 0;
	}
	/* Without memory the frames stay where they are. */
	if (unlikely(rte_mempool_get_bulk(pool, (void **)m, chains) < 0))
		return 0;
	for (unsigned int i = 0; i < chains; i++) {
		int why;

		if (unlikely(b.chain[i].error != VRING_OK))
			continue;
		why = frame_take(r, &b, i, allowed, pool, m[got]);
		if (likely(!why)) {
			got++;
			continue;
		}
		port_drop(p, (enum drop_reason) - why, 1);
		/* What it chained goes; it is used for the next one. */
		rte_pktmbuf_free(m[got]->next);
		m[got]->next = NULL;
		m[got]->nb_segs = 1;
	}
	if (unlikely(got < chains))
		rte_mempool_put_bulk(pool, (void **)(m + got), chains - got);
	if (unlikely(b.nr_bad || b.broke != VRING_OK))
		errors_count(p, &b, chains);
	vring_publish(r, &b, chains);
	vring_notify(r);
	return got;
}

/* ---- to the guest ---- */

/* A place in the room of chains that follow each other. */
struct writer {
	struct vring_burst *b;
	unsigned int chain, seg;
	uint32_t offset;
};

/* There is room for @n more bytes. */
static void chain_write(struct writer *at, const uint8_t *from, uint32_t n)
{
	while (n) {
		struct vring_chain *c = &at->b->chain[at->chain];
		const struct vring_seg *seg;
		uint32_t part;

		if (at->seg == c->nr_segs) {
			at->chain++;
			at->seg = 0;
			continue;
		}
		seg = &at->b->seg[c->seg + at->seg];
		part = seg->len - at->offset < n ? seg->len - at->offset : n;
		memcpy(seg->hva + at->offset, from, part);
		c->used_len += part;
		at->offset += part;
		if (at->offset == seg->len) {
			at->seg++;
			at->offset = 0;
		}
		from += part;
		n -= part;
	}
}

static inline void header_fill(const struct rte_mbuf *m, uint16_t chains, uint8_t *header)
{
	memset(header, 0, HEADER_MAX);
	if (unlikely(m->ol_flags & MBUF_OFFLOAD))
		offload_write(rte_mbuf_to_priv((struct rte_mbuf *)m), header);
	/* Virtio 1.2 §5.1.6.4.1: 1 also where buffers do not merge. */
	header[10] = (uint8_t)chains;
	header[11] = (uint8_t)(chains >> 8);
}

/* The header of a frame in one chain, @len bytes of it. */
static inline void header_put(const struct rte_mbuf *m, uint8_t *to, uint32_t len)
{
	static const uint8_t plain[HEADER_MAX] = {[10] = 1};
	uint8_t header[HEADER_MAX];

	if (unlikely(m->ol_flags & MBUF_OFFLOAD)) {
		header_fill(m, 1, header);
		memcpy(to, header, len);
	} else if (likely(len == HEADER_MAX)) {
		memcpy(to, plain, HEADER_MAX);
	} else {
		memcpy(to, plain, 10);
	}
}

/*
 * @m into the chains of @b from *@k on, which is moved behind them. Returns 0, -EAGAIN (not enough
 * chains) or -EMSGSIZE (does not fit a chain).
 */
static __attribute__((noinline)) int frame_scatter(const struct vring_dev *r, struct vring_burst *b,
	unsigned int *k, bool mergeable, const struct rte_mbuf *m)
{
	uint32_t need = m->pkt_len + r->header, room = 0;
	struct writer at = {.b = b};
	uint8_t header[HEADER_MAX];
	unsigned int end = *k;

	while (room < need) {
		if (end == b->n)
			return -EAGAIN;
		if (b->chain[end].error != VRING_OK) {
			/* It and those before it go back empty: chains are used in order. */
			*k = end + 1;
			room = 0;
		} else if (mergeable) {
			room += b->chain[end].len;
		} else if (b->chain[end].len < need) {
			return -EMSGSIZE;
		} else {
			room = need;
		}
		end++;
	}
	header_fill(m, (uint16_t)(end - *k), header);
	at.chain = *k;
	chain_write(&at, header, r->header);
	for (; m; m = m->next)
		chain_write(&at, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
	for (unsigned int i = *k; i + 1 < end; i++)
		b->chain[i].more = true;
	*k = end;
	return 0;
}

static inline bool frame_put(
	uint32_t header, struct vring_burst *b, unsigned int k, const struct rte_mbuf *m)
{
	struct vring_chain *c = &b->chain[k];
	uint32_t len = m->pkt_len;
	uint8_t *to;

	if (unlikely(k >= b->n || c->nr_segs != 1 || c->len < len + header || m->nb_segs != 1))
		return false;
	to = b->seg[c->seg].hva;
	header_put(m, to, header);
	bytes_copy(b, k, true, to + header, rte_pktmbuf_mtod(m, const uint8_t *), len);
	c->used_len = len + header;
	return true;
}

/* Copies @m to @r; returns how many, which are the first ones. */
static uint16_t frames_send(
	struct port *p, struct vring_dev *r, struct rte_mbuf *const *m, uint16_t n)
{
	bool mergeable = r->features >> VIRTIO_NET_F_MRG_RXBUF & 1;
	const uint32_t header = r->header;
	unsigned int want = n;
	struct vring_burst b;
	uint16_t done = 0;

	while (done < n) {
		unsigned int chains = vring_fetch(r, &b, want), k = 0;
		int why = chains ? 0 : -ENOBUFS;

		while (!why && done < n) {
			if (likely(frame_put(header, &b, k, m[done])))
				k++;
			else
				why = frame_scatter(r, &b, &k, mergeable, m[done]);
			if (unlikely(why == -EMSGSIZE)) {
				port_drop(p, DROP_NO_ROOM, 1);
				why = 0;
			}
			done += !why;
		}
		if (unlikely(b.nr_bad || b.broke != VRING_OK))
			errors_count(p, &b, k);
		vring_publish(r, &b, k);
		/* Frames of several chains take more of them than there are frames. */
		if (!why || chains < want || (want == VRING_BURST && !k))
			break;
		want = VRING_BURST;
	}
	vring_notify(r);
	return done;
}

static_assert(offsetof(struct rte_mbuf, nb_segs) == offsetof(struct rte_mbuf, refcnt) + 2,
	"both are read at once");

/* One buffer, unshared and its own. */
static inline bool mbuf_is_plain(const struct rte_mbuf *m, const struct rte_mempool *pool)
{
	uint32_t both;

	memcpy(&both, &m->refcnt, sizeof(both));
	return both == 0x10001 && m->pool == pool && RTE_MBUF_DIRECT(m);
}

/* Plain buffers go back in one piece. */
static void frames_free(struct rte_mbuf **m, uint16_t n)
{
	struct rte_mempool *pool = m[0]->pool;
	unsigned int i = 0;

	while (i < n && likely(mbuf_is_plain(m[i], pool)))
		i++;
	if (likely(i))
		rte_mempool_put_bulk(pool, (void **)m, i);
	if (unlikely(i < n))
		rte_pktmbuf_free_bulk(m + i, n - i);
}

uint16_t port_vhost_tx(struct port *p, uint16_t queue, struct rte_mbuf **m, uint16_t n)
{
	uint16_t sent = frames_send(p, port_vhost_guest_rx(p->vhost, queue), m, n);

	frames_free(m, n);
	return sent;
}

uint16_t port_vhost_tx_copy(struct port *p, uint16_t queue, struct rte_mbuf *m)
{
	return frames_send(p, port_vhost_guest_rx(p->vhost, queue), &m, 1);
}

/* ---- sleep ---- */

bool port_vhost_arm(struct port *p, uint16_t queue, int *ret_fd, int *timeout_us)
{
	struct vring_dev *r = port_vhost_guest_tx(p->vhost, queue);

	if (vring_arm(r))
		return true;
	if (!vring_running(r))
		return false;
	if (r->kick_fd >= 0)
		*ret_fd = r->kick_fd;
	else if (*timeout_us > NO_KICK_US)
		*timeout_us = NO_KICK_US;
	return false;
}

void port_vhost_disarm(struct port *p, uint16_t queue)
{
	vring_disarm(port_vhost_guest_tx(p->vhost, queue));
}
