// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From the guest, SDM §3.3: legacy, context and data descriptors. A frame is copied out of guest
 * memory before anything in it is looked at. TCP segmentation and checksums to a frame's end are
 * handed on with the frame where the back end takes them; the other checksums are made here.
 */
#include <linux/virtio_net.h>
#include <string.h>

#include "common/bytes.h"
#include "devices/e1000_internal.h"
#include "devices/net_rings.h"

#define BUDGET 64u /* descriptors of a turn */

/* Command bits, SDM §3.3.3.1 and §3.3.7.1; the second meaning is a data descriptor's. */
#define CMD_EOP  (1u << 0)
#define CMD_IC   (1u << 2)
#define CMD_TSE  (1u << 2)
#define CMD_RS   (1u << 3)
#define CMD_RPS  (1u << 4)
#define CMD_DEXT (1u << 5)
#define CMD_VLE  (1u << 6)

#define DTYP_CONTEXT 0u
#define DTYP_DATA    1u
#define STA_DD       1u

#define POPTS_IXSM 1u
#define POPTS_TXSM 2u

#define TUCMD_TCP (1u << 0)
#define TUCMD_IP4 (1u << 1)
#define TUCMD_TSE (1u << 2)

#define VLAN_LEN 4u
#define TCP_CWR  0x80u

/* A descriptor, read once. */
struct desc {
	uint64_t addr;
	uint32_t low, high; /* second half */
	uint8_t cmd;
};

/* A frame that is ready. */
struct frame {
	struct virtio_net_hdr_v1 hdr;
	size_t len;
	unsigned int segments;
	size_t wire; /* bytes of all segments, FCS included */
};

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* The sum from @start up to and with @last (0: the end) goes to @at. False: that is not in the frame. */
static bool csum_insert(uint8_t *buf, size_t len, size_t start, size_t at, size_t last, bool nozero)
{
	size_t end = last && last < len ? last + 1 : len;
	uint16_t sum;

	if (start >= end || at + 2 > len)
		return false;
	sum = (uint16_t)~e1000_sum(buf + start, end - start);
	put16(buf + at, sum || !nozero ? sum : 0xffff);
	return true;
}

static void context_set(struct e1000 *n, const struct desc *d)
{
	uint32_t ip = (uint32_t)d->addr, tu = (uint32_t)(d->addr >> 32);
	uint8_t tucmd = d->cmd;

	n->tx.ctx[(tucmd & TUCMD_TSE) != 0] = (struct e1000_ctx){
		.ipcss = (uint8_t)ip,
		.ipcso = (uint8_t)(ip >> 8),
		.ipcse = (uint16_t)(ip >> 16),
		.tucss = (uint8_t)tu,
		.tucso = (uint8_t)(tu >> 8),
		.tucse = (uint16_t)(tu >> 16),
		.tucmd = tucmd,
		.hdrlen = (uint8_t)(d->high >> 8),
		.mss = (uint16_t)(d->high >> 16),
	};
	if (tucmd & TUCMD_TSE)
		e1000_stat_add(n, R_TSCTC, 1);
}

/* The checksum from @start to the end, at @at: the back end's work where it takes it. */
static bool csum_hand_on(struct e1000 *n, struct frame *f, const struct e1000_ctx *c)
{
	if (!(n->be->features >> VIRTIO_NET_F_CSUM & 1) || c->tucse || c->tucso < c->tucss)
		return csum_insert(n->tx.buf, f->len, c->tucss, c->tucso, c->tucse, true);
	f->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f->hdr.csum_start = c->tucss;
	f->hdr.csum_offset = c->tucso - c->tucss;
	return true;
}

/*
 * SDM §3.5: the driver leaves the length out of the IP header and of the sum in the TCP header, for
 * they differ from segment to segment. Whoever segments for us wants both of the whole.
 */
static bool tso_hand_on(struct e1000 *n, struct frame *f)
{
	const struct e1000_ctx *c = &n->tx.ctx[1];
	bool v4 = c->tucmd & TUCMD_IP4;
	unsigned int feature = v4 ? VIRTIO_NET_F_HOST_TSO4 : VIRTIO_NET_F_HOST_TSO6;
	size_t ip_len = v4 ? 20 : 40, payload;
	uint8_t *ip = n->tx.buf + c->ipcss, *tcp = n->tx.buf + c->tucss;

	if (!(c->tucmd & TUCMD_TCP) || !(n->be->features >> feature & 1) || !c->mss)
		return false;
	if (c->ipcss < NET_FRAME_MIN || c->ipcss + ip_len > c->tucss ||
		c->tucss + 20u > c->hdrlen || c->hdrlen >= f->len || c->tucso < c->tucss ||
		c->tucso + 2u > c->hdrlen)
		return false;
	payload = f->len - c->ipcss - (v4 ? 0 : 40);
	if (payload > UINT16_MAX)
		return false;
	put16(ip + (v4 ? 2 : 4), (uint16_t)payload);
	if (v4) {
		put16(ip + 10, 0);
		if (!csum_insert(n->tx.buf, f->len, c->ipcss, c->ipcss + 10u, c->tucss - 1u, false))
			return false;
	}
	put16(n->tx.buf + c->tucso,
		e1000_fold(get16(n->tx.buf + c->tucso) + (uint32_t)(f->len - c->tucss)));
	f->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f->hdr.csum_start = c->tucss;
	f->hdr.csum_offset = c->tucso - c->tucss;
	payload = f->len - c->hdrlen;
	f->segments = (unsigned int)((payload + c->mss - 1) / c->mss);
	f->wire = payload + f->segments * (size_t)(c->hdrlen + E1000_FCS);
	if (f->segments == 1)
		return true;
	f->hdr.gso_type = v4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	if (tcp[13] & TCP_CWR)
		f->hdr.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	f->hdr.gso_size = c->mss;
	f->hdr.hdr_len = c->hdrlen;
	return true;
}

/* Offsets are in host order up to here. */
static void vlan_insert(struct e1000 *n, struct frame *f, uint16_t tag)
{
	uint8_t *p = n->tx.buf + 12;

	memmove(p + VLAN_LEN, p, f->len - 12);
	put16(p, (uint16_t)*e1000_reg(n, R_VET));
	put16(p + 2, tag);
	f->len += VLAN_LEN;
	f->wire += f->segments * VLAN_LEN;
	if (f->hdr.flags)
		f->hdr.csum_start = (uint16_t)(f->hdr.csum_start + VLAN_LEN);
	if (f->hdr.hdr_len)
		f->hdr.hdr_len = (uint16_t)(f->hdr.hdr_len + VLAN_LEN);
}

static bool offloads(struct e1000 *n, const struct desc *d, struct frame *f)
{
	const struct e1000_ctx *c = &n->tx.ctx[0];

	if (!(d->cmd & CMD_DEXT)) {
		uint8_t cso = (uint8_t)(d->low >> 16), css = (uint8_t)(d->high >> 8);

		return !(d->cmd & CMD_IC) || csum_insert(n->tx.buf, f->len, css, cso, 0, true);
	}
	if (n->tx.tse) {
		if (tso_hand_on(n, f))
			return true;
		e1000_stat_add(n, R_TSCTFC, 1);
		return false;
	}
	if (n->tx.popts & POPTS_IXSM &&
		!csum_insert(n->tx.buf, f->len, c->ipcss, c->ipcso, c->ipcse, false))
		return false;
	return !(n->tx.popts & POPTS_TXSM) || csum_hand_on(n, f, c);
}

static void frame_count(struct e1000 *n, const struct frame *f)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	e1000_stat_add(n, R_TPT, f->segments);
	e1000_stat_add(n, R_GPTC, f->segments);
	e1000_stat_add64(n, R_TOTL, f->wire);
	e1000_stat_add64(n, R_GOTCL, f->wire);
	e1000_stat_size(n, R_PTC64, f->wire / f->segments, f->segments);
	if (!memcmp(n->tx.buf, broadcast, 6))
		e1000_stat_add(n, R_BPTC, f->segments);
	else if (n->tx.buf[0] & 1)
		e1000_stat_add(n, R_MPTC, f->segments);
}

/* The last descriptor of a frame: make what goes out. False: it cannot. */
static bool frame_finish(struct e1000 *n, const struct desc *d, struct frame *f)
{
	struct e1000_tx *t = &n->tx;
	size_t len = t->len;
	bool bad = t->bad;

	t->len = 0;
	t->begun = t->bad = false;
	*f = (struct frame){.len = len, .segments = 1};
	if (bad || len < NET_FRAME_MIN || (!t->tse && len > E1000_FRAME_MAX - E1000_FCS))
		return false;
	if (*e1000_reg(n, R_TCTL) & TCTL_PSP && f->len < E1000_FRAME_MIN) {
		memset(t->buf + f->len, 0, E1000_FRAME_MIN - f->len);
		f->len = E1000_FRAME_MIN;
	}
	f->wire = f->len + E1000_FCS;
	if (!offloads(n, d, f))
		return false;
	if (d->cmd & CMD_VLE && *e1000_reg(n, R_CTRL) & CTRL_VME)
		vlan_insert(n, f, (uint16_t)(d->high >> 16));
	f->hdr.csum_start = htole16(f->hdr.csum_start);
	f->hdr.csum_offset = htole16(f->hdr.csum_offset);
	f->hdr.gso_size = htole16(f->hdr.gso_size);
	f->hdr.hdr_len = htole16(f->hdr.hdr_len);
	if (!net_hdr_ok(&f->hdr, n->be->features, f->len, true))
		return false;
	frame_count(n, f);
	return true;
}

/* Take the data of a descriptor. */
static void data_take(struct e1000 *n, const struct desc *d)
{
	struct e1000_tx *t = &n->tx;
	bool ext = d->cmd & CMD_DEXT;
	uint32_t len = d->low & (ext ? 0xfffffu : 0xffffu);

	if (!t->begun) {
		t->begun = true;
		t->tse = ext && d->cmd & CMD_TSE;
		t->popts = ext ? (uint8_t)(d->high >> 8) : 0;
	}
	if (t->bad || !len)
		return;
	if (len > NET_FRAME_MAX - VLAN_LEN - t->len) {
		t->bad = true;
	} else if (gmem_read(n->mem, d->addr, t->buf + t->len, len) < 0) {
		e1000_count(&n->stat.bad_dma, 1);
		t->bad = true;
	} else {
		t->len += len;
	}
}

/* SDM §3.3.3.2: only the byte with DD is written. */
static void write_back(struct e1000 *n, uint64_t at, const struct desc *d)
{
	uint8_t *p = gmem_hva(n->mem, at, 16);
	uint8_t sta = (uint8_t)((d->high & 0xff) | STA_DD);

	if (p)
		__atomic_store_n(p + 12, sta, __ATOMIC_RELEASE);
}

enum step { STEP_IDLE, STEP_NEXT, STEP_SEND, STEP_DROP };

/* One descriptor. @ret_causes: what it wants told. */
static enum step step(struct e1000 *n, struct frame *f, uint32_t *ret_causes)
{
	struct e1000_ring r;
	struct desc d;
	uint8_t raw[16];
	uint64_t at;
	bool last = false, ok = false;

	if (!(*e1000_reg(n, R_TCTL) & TCTL_EN) || !e1000_ring_get(n, R_TDBAL, &r))
		return STEP_IDLE;
	at = r.base + r.head * 16ull;
	if (!pci_func_dma(&n->pci, at, false) || gmem_read(n->mem, at, raw, sizeof(raw)) < 0) {
		/* The card stops as it does at a master abort; a reset or another ring heals it. */
		e1000_count(&n->stat.bad_dma, 1);
		*e1000_reg(n, R_TCTL) &= ~TCTL_EN;
		log_guest(&n->limit, "%s: a transmit ring that it cannot reach", n->name);
		return STEP_IDLE;
	}
	d = (struct desc){
		.addr = le_load(raw, 8),
		.low = (uint32_t)le_load(raw + 8, 4),
		.high = (uint32_t)le_load(raw + 12, 4),
	};
	d.cmd = (uint8_t)(d.low >> 24);
	if (d.cmd & CMD_DEXT && (d.low >> 20 & 0xf) == DTYP_CONTEXT) {
		context_set(n, &d);
	} else {
		data_take(n, &d);
		last = d.cmd & CMD_EOP;
		if (last)
			ok = frame_finish(n, &d, f);
	}
	if (d.cmd & (CMD_RS | CMD_RPS)) {
		write_back(n, at, &d);
		*ret_causes |= ICR_TXDW;
	}
	r.head = (r.head + 1) % r.n;
	*e1000_reg(n, R_TDH) = r.head;
	if (r.head == r.tail)
		*ret_causes |= ICR_TXQE;
	return !last ? STEP_NEXT : ok ? STEP_SEND : STEP_DROP;
}

static void frame_send(struct e1000 *n, const struct frame *f)
{
	const struct iovec iov = {n->tx.buf, f->len};

	if (n->be->port->send(n->be->port_ctx, 0, &f->hdr, &iov, 1) < 0) {
		e1000_count(&n->stat.tx_dropped, 1);
		return;
	}
	e1000_count(&n->stat.tx_packets, 1);
	e1000_count(&n->stat.tx_bytes, f->len);
}

bool e1000_tx_serve(struct e1000 *n)
{
	uint32_t causes = 0;
	enum step s = STEP_NEXT;
	struct frame f;

	for (unsigned int i = 0; i < BUDGET && s != STEP_IDLE; i++) {
		pthread_mutex_lock(&n->lock);
		s = step(n, &f, &causes);
		pthread_mutex_unlock(&n->lock);
		if (s == STEP_SEND)
			frame_send(n, &f);
		else if (s == STEP_DROP)
			e1000_count(&n->stat.tx_dropped, 1);
	}
	if (causes) {
		pthread_mutex_lock(&n->lock);
		e1000_irq_raise(n, causes);
		pthread_mutex_unlock(&n->lock);
	}
	return s != STEP_IDLE;
}
