// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Towards the guest, SDM §3.2: which frames are taken, and into which buffers. A frame that finds
 * too few waits, and with it those behind it in the back end, as in a card's own packet memory.
 */
#include <errno.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "devices/e1000_internal.h"
#include "devices/net_rings.h"

#define BUDGET 64u /* frames of a turn */

/* SDM §3.2.3.1 and .2 */
#define STA_DD    0x01u
#define STA_EOP   0x02u
#define STA_IXSM  0x04u
#define STA_VP    0x08u
#define STA_TCPCS 0x20u
#define STA_IPCS  0x40u
#define STA_PIF   0x80u
#define ERR_TCPE  0x20u
#define ERR_IPE   0x40u

#define RDMTS(v) ((v) >> 8 & 3u)
#define MO(v)    ((v) >> 12 & 3u)
#define BSIZE(v) ((v) >> 16 & 3u)

#define FRAME_STD 1518u /* with FCS; a tag adds to it */
#define VLAN_LEN  4u

enum match { MATCH_NONE, MATCH_EXACT, MATCH_MAYBE };

enum fate { FATE_DONE, FATE_DROPPED, FATE_FILTERED, FATE_WAITS };

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* ---- filters, SDM §3.2.1 and §13.5 ---- */

static bool tagged(struct e1000 *n, const uint8_t *frame, size_t len)
{
	return len >= NET_FRAME_MIN + VLAN_LEN &&
	       get16(frame + 12) == (uint16_t)*e1000_reg(n, R_VET);
}

/* Bits 47:36 of the address, or those 1, 2 or 4 places lower. */
static bool multicast_hashed(struct e1000 *n, const uint8_t *dst, uint32_t rctl)
{
	static const uint8_t shift[] = {4, 3, 2, 0};
	unsigned int hash = (dst[4] | (unsigned int)dst[5] << 8) >> shift[MO(rctl)] & 0xfff;

	return *e1000_reg(n, R_MTA + hash / 32 * 4) >> hash % 32 & 1;
}

static enum match filter(struct e1000 *n, const uint8_t *frame, size_t len)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint32_t rctl = *e1000_reg(n, R_RCTL);

	if (rctl & RCTL_VFE && tagged(n, frame, len)) {
		unsigned int id = get16(frame + 14) & 0xfff;

		if (!(*e1000_reg(n, R_VFTA + id / 32 * 4) >> id % 32 & 1))
			return MATCH_NONE;
	}
	if (!memcmp(frame, broadcast, 6) && rctl & RCTL_BAM)
		return MATCH_EXACT;
	for (unsigned int i = 0; i < RA_N; i++) {
		uint32_t ral = *e1000_reg(n, R_RA + i * 8), rah = *e1000_reg(n, R_RA + i * 8 + 4);

		/* Address select 0: destination. */
		if (rah & RAH_AV && !(rah >> 16 & 3) && le_load(frame, 4) == ral &&
			le_load(frame + 4, 2) == (rah & 0xffff))
			return MATCH_EXACT;
	}
	if (frame[0] & 1)
		return rctl & RCTL_MPE || multicast_hashed(n, frame, rctl) ? MATCH_MAYBE
									   : MATCH_NONE;
	return rctl & RCTL_UPE ? MATCH_MAYBE : MATCH_NONE;
}

static size_t buffer_size(uint32_t rctl)
{
	size_t s = 2048u >> BSIZE(rctl);

	/* BSIZE 0 with BSEX is reserved. */
	return rctl & RCTL_BSEX && BSIZE(rctl) ? s * 16 : s;
}

/* ---- one frame ---- */

struct arrival {
	uint8_t *data;
	size_t len;
	uint16_t csum, tag;
	uint8_t status, errors; /* of the last descriptor */
};

/* Make of the frame at @data what the descriptors will say. There is room behind it. */
static void arrive(struct e1000 *n, uint8_t *data, size_t len, enum match m, struct arrival *a)
{
	uint32_t rxcsum = *e1000_reg(n, R_RXCSUM), start = rxcsum & 0xff;
	struct e1000_verdict v = e1000_verify(data, len, rxcsum);

	*a = (struct arrival){.data = data, .len = len, .status = STA_EOP};
	if (start < len)
		a->csum = htobe16((uint16_t)e1000_sum(data + start, len - start));
	if (v.ip || v.l4)
		a->status |= (v.ip ? STA_IPCS : 0) | (v.l4 ? STA_TCPCS : 0);
	else
		a->status |= STA_IXSM;
	a->errors = (uint8_t)((v.ip_bad ? ERR_IPE : 0) | (v.l4_bad ? ERR_TCPE : 0));
	if (m == MATCH_MAYBE)
		a->status |= STA_PIF;
	if (!(*e1000_reg(n, R_RCTL) & RCTL_SECRC)) {
		le_store(data + len, E1000_FCS, e1000_crc(n->crc_table, data, len));
		a->len += E1000_FCS;
	}
	if (*e1000_reg(n, R_CTRL) & CTRL_VME && tagged(n, data, len)) {
		a->status |= STA_VP;
		a->tag = get16(data + 14);
		memmove(data + VLAN_LEN, data, 12);
		a->data += VLAN_LEN;
		a->len -= VLAN_LEN;
	}
}

/* Into the next descriptor of @r. -EFAULT: the ring is outside memory, or DMA is blocked. */
static int put(
	struct e1000 *n, struct e1000_ring *r, const struct arrival *a, size_t off, size_t size)
{
	uint64_t at = r->base + r->head * 16ull;
	uint64_t *d = pci_func_dma(&n->pci, at, false) ? gmem_hva(n->mem, at, 16) : NULL;
	size_t part = a->len - off < size ? a->len - off : size;
	bool last = off + part == a->len;
	uint8_t status = (uint8_t)(STA_DD | (last ? a->status : a->status & ~STA_EOP));
	uint64_t addr;

	if (!d)
		return -EFAULT;
	addr = le64toh(__atomic_load_n(d, __ATOMIC_RELAXED));
	if (gmem_write(n->mem, addr, a->data + off, part) < 0) {
		e1000_count(&n->stat.bad_dma, 1);
		log_guest(&n->limit, "%s: a receive buffer outside memory", n->name);
	}
	/* All at once, behind the data. */
	__atomic_store_n(d + 1,
		htole64(part | (uint64_t)a->csum << 16 | (uint64_t)status << 32 |
			(uint64_t)a->errors << 40 | (uint64_t)a->tag << 48),
		__ATOMIC_RELEASE);
	r->head = (r->head + 1) % r->n;
	return 0;
}

static void count(struct e1000 *n, const uint8_t *frame, size_t len)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	e1000_stat_add(n, R_GPRC, 1);
	e1000_stat_add64(n, R_GORCL, len + E1000_FCS);
	e1000_stat_size(n, R_PRC64, len + E1000_FCS, 1);
	if (!memcmp(frame, broadcast, 6))
		e1000_stat_add(n, R_BPRC, 1);
	else if (frame[0] & 1)
		e1000_stat_add(n, R_MPRC, 1);
	e1000_count(&n->stat.rx_packets, 1);
	e1000_count(&n->stat.rx_bytes, len);
}

/* Buffers are there: the frame as it came is counted, then made ready and written. */
static enum fate deliver(struct e1000 *n, struct e1000_ring *r, uint8_t *frame, size_t len,
	enum match m, uint32_t *ret_causes)
{
	uint32_t rctl = *e1000_reg(n, R_RCTL);
	size_t size = buffer_size(rctl);
	struct arrival a;

	count(n, frame, len);
	arrive(n, frame, len, m, &a);
	for (size_t off = 0; off < a.len; off += size) {
		if (put(n, r, &a, off, size) < 0) {
			e1000_count(&n->stat.bad_dma, 1);
			*e1000_reg(n, R_RCTL) &= ~RCTL_EN;
			log_guest(&n->limit, "%s: a receive ring that it cannot reach", n->name);
			return FATE_DROPPED;
		}
	}
	*e1000_reg(n, R_RDH) = r->head;
	*ret_causes |= ICR_RXT0;
	if ((r->tail + r->n - r->head) % r->n <= r->n >> (1 + RDMTS(rctl)))
		*ret_causes |= ICR_RXDMT0;
	return FATE_DONE;
}

/* Decide about the frame that is held. */
static enum fate take(struct e1000 *n, struct e1000_held *h, uint32_t *ret_causes)
{
	uint8_t *frame = h->buf + NET_HDR_LEN;
	size_t len = h->len - NET_HDR_LEN, wire = len + E1000_FCS, need;
	uint32_t rctl = *e1000_reg(n, R_RCTL);
	struct e1000_ring r;
	enum match m;

	/* Nobody listens: it is past, and no loss that anybody would see on a card. */
	if (!(rctl & RCTL_EN) || !n->master)
		return FATE_FILTERED;
	if (!h->counted) {
		e1000_stat_add(n, R_TPR, 1);
		e1000_stat_add64(n, R_TORL, wire);
	}
	m = filter(n, frame, len);
	if (m == MATCH_NONE)
		return FATE_FILTERED;
	if (wire > (rctl & RCTL_LPE ? E1000_FRAME_MAX
				    : FRAME_STD + (tagged(n, frame, len) ? VLAN_LEN : 0))) {
		e1000_stat_add(n, R_ROC, 1);
		return FATE_DROPPED;
	}
	/* A tag that is taken out may spare the last of them: of no matter. */
	need = (wire + buffer_size(rctl) - 1) / buffer_size(rctl);
	if (e1000_ring_get(n, R_RDBAL, &r)) {
		if (need >= r.n) {
			e1000_stat_add(n, R_MPC, 1);
			return FATE_DROPPED;
		}
		if ((r.tail + r.n - r.head) % r.n >= need)
			return deliver(n, &r, frame, len, m, ret_causes);
	}
	if (!h->counted)
		e1000_stat_add(n, R_RNBC, 1);
	h->counted = true;
	return FATE_WAITS;
}

/* What the back end left undone is done here. False: a frame no wire carries. */
static bool complete(struct e1000_held *h)
{
	uint8_t *frame = h->buf + NET_HDR_LEN;
	struct virtio_net_hdr_v1 hdr;
	size_t len, start, at;
	uint16_t sum;

	if (h->len < NET_HDR_LEN + NET_FRAME_MIN)
		return false;
	memcpy(&hdr, h->buf, sizeof(hdr));
	len = h->len - NET_HDR_LEN;
	if (hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE ||
		!net_hdr_ok(&hdr, 1ull << VIRTIO_NET_F_GUEST_CSUM, len, false))
		return false;
	if (hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		start = le16toh(hdr.csum_start);
		at = start + le16toh(hdr.csum_offset);
		sum = (uint16_t)~e1000_sum(frame + start, len - start);
		sum = sum ? sum : 0xffff;
		frame[at] = (uint8_t)(sum >> 8);
		frame[at + 1] = (uint8_t)sum;
	}
	if (len < E1000_FRAME_MIN) {
		memset(frame + len, 0, E1000_FRAME_MIN - len);
		h->len = NET_HDR_LEN + E1000_FRAME_MIN;
	}
	return true;
}

/* Have a frame; false: there is none. */
static bool next(struct e1000 *n, struct e1000_held *h)
{
	ssize_t got;

	if (h->len)
		return true;
	got = n->be->port->recv(n->be->port_ctx, 0, h->buf, NET_HDR_LEN + NET_FRAME_MAX);
	if (got == -EAGAIN)
		n->port_ready = false;
	if (got <= 0)
		return false;
	h->len = (size_t)got;
	h->counted = false;
	if (complete(h))
		return true;
	h->len = 0;
	e1000_count(&n->stat.rx_dropped, 1);
	return false;
}

bool e1000_rx_serve(struct e1000 *n)
{
	struct e1000_held *h = &n->held;
	enum fate f = FATE_DONE;
	uint32_t causes = 0;

	for (unsigned int i = 0; i < BUDGET && f != FATE_WAITS && (h->len || n->port_ready); i++) {
		if (!next(n, h))
			continue;
		pthread_mutex_lock(&n->lock);
		f = take(n, h, &causes);
		pthread_mutex_unlock(&n->lock);
		if (f == FATE_DROPPED)
			e1000_count(&n->stat.rx_dropped, 1);
		if (f != FATE_WAITS)
			h->len = 0;
	}
	if (causes) {
		pthread_mutex_lock(&n->lock);
		e1000_irq_raise(n, causes);
		pthread_mutex_unlock(&n->lock);
	}
	return f != FATE_WAITS && (h->len || n->port_ready);
}
