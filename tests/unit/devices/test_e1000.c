// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The card as a driver sees it: config space, registers, rings, the pin through an IOAPIC. The other
 * end of the wire is a port of this file. Section numbers: see devices/e1000.h.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "devices/e1000_internal.h"
#include "devices/net_rings.h"
#include "tests/fakes/irq_recorder.h"

#define MEM    0x400000u
#define WIN    0xc0000000ull
#define VECTOR 0x51u
#define RING_N 8u
#define FRAMES 128u

enum { TX_RING = 0x10000, RX_RING = 0x20000, TX_BUF = 0x100000, RX_BUF = 0x200000 };

static const uint8_t our_mac[6] = {0x52, 0x54, 0, 1, 2, 3};

/* ---- the wire ---- */

struct wire_frame {
	struct virtio_net_hdr_v1 hdr;
	size_t len;
	uint8_t data[NET_FRAME_MAX];
};

static struct {
	struct net_backend be;
	const struct net_events *ev;
	int fd;
	pthread_mutex_t lock;
	struct wire_frame *in, *out; /* towards the card, from it */
	unsigned int n_in, taken, n_out;
	uint64_t offloads;
	bool destroyed;
} wire;

static int wire_send(void *ctx, unsigned int pair, const struct virtio_net_hdr_v1 *hdr,
	const struct iovec *iov, unsigned int n)
{
	struct wire_frame *f;

	ck_assert_uint_eq(pair, 0);
	pthread_mutex_lock(&wire.lock);
	ck_assert_uint_lt(wire.n_out, FRAMES);
	f = &wire.out[wire.n_out];
	f->hdr = *hdr;
	f->len = 0;
	for (unsigned int i = 0; i < n; i++) {
		ck_assert_uint_le(f->len + iov[i].iov_len, sizeof(f->data));
		memcpy(f->data + f->len, iov[i].iov_base, iov[i].iov_len);
		f->len += iov[i].iov_len;
	}
	wire.n_out++;
	pthread_mutex_unlock(&wire.lock);
	return 0;
}

static ssize_t wire_recv(void *ctx, unsigned int pair, void *buf, size_t len)
{
	ssize_t got = -EAGAIN;

	pthread_mutex_lock(&wire.lock);
	if (wire.taken < wire.n_in) {
		const struct wire_frame *f = &wire.in[wire.taken++];

		ck_assert_uint_ge(len, sizeof(f->hdr) + f->len);
		memcpy(buf, &f->hdr, sizeof(f->hdr));
		memcpy((uint8_t *)buf + sizeof(f->hdr), f->data, f->len);
		got = (ssize_t)(sizeof(f->hdr) + f->len);
	}
	pthread_mutex_unlock(&wire.lock);
	return got;
}

static int wire_poll_fd(void *ctx, unsigned int pair)
{
	return wire.fd;
}

static const struct net_port_ops wire_port = {
	.send = wire_send,
	.recv = wire_recv,
	.poll_fd = wire_poll_fd,
};

static void wire_attach(struct net_backend *be, const struct net_events *ev)
{
	wire.ev = ev;
	ev->link(ev->ctx, true);
}

static int wire_offloads(struct net_backend *be, uint64_t offloads)
{
	wire.offloads = offloads;
	return 0;
}

static void wire_destroy(struct net_backend *be)
{
	wire.destroyed = true;
}

static const struct net_backend_ops wire_ops = {
	.attach = wire_attach,
	.set_offloads = wire_offloads,
	.destroy = wire_destroy,
};

/* A frame comes in; its bytes are the caller's. */
static void wire_in(const void *data, size_t len)
{
	pthread_mutex_lock(&wire.lock);
	ck_assert_uint_lt(wire.n_in, FRAMES);
	memset(&wire.in[wire.n_in].hdr, 0, sizeof(wire.in->hdr));
	memcpy(wire.in[wire.n_in].data, data, len);
	wire.in[wire.n_in++].len = len;
	pthread_mutex_unlock(&wire.lock);
	eventfd_write(wire.fd, 1);
}

/* ---- the machine ---- */

static struct gmem *mem;
static struct bus *mmio, *pio;
static struct irq_recorder rec;
static struct irq_router *router;
static struct vtd *vtd;
static struct ioapic *io;
static struct irq_lines *lines;
static struct pci_root *root;
static struct e1000 *nic;
static uint64_t bar;
static unsigned int tx_tail, rx_tail;

static uint32_t cfg(unsigned int off, unsigned int len)
{
	return pci_cfg_read(root, 0, e1000_devfn(nic), off, len);
}

static void command(uint16_t v)
{
	pci_cfg_write(root, 0, e1000_devfn(nic), 4, 2, v);
}

static uint32_t rd(uint32_t off)
{
	return (uint32_t)bus_read(mmio, bar + off, 4);
}

static void wr(uint32_t off, uint32_t val)
{
	bus_write(mmio, bar + off, 4, val);
}

static void pin_program(void)
{
	unsigned int pin = pci_intx_gsi(e1000_devfn(nic), 1);

	ioapic_write(io, 0, 4, 0x10 + 2 * pin);
	ioapic_write(io, 0x10, 4, 0x8000 | VECTOR);
}

/* Rings on, everything for us taken, as a driver leaves them. */
static void driver_up(void)
{
	command(7);
	wr(R_TDBAL, TX_RING);
	wr(R_TDLEN, RING_N * 16);
	wr(R_TCTL, TCTL_EN | TCTL_PSP);
	memset(gmem_hva(mem, TX_RING, 0x2000), 0, 0x2000);
	memset(gmem_hva(mem, RX_RING, 0x2000), 0, 0x2000);
	for (unsigned int i = 0; i < RING_N; i++)
		le_store(gmem_hva(mem, RX_RING + i * 16, 8), 8, RX_BUF + i * 0x10000);
	wr(R_RDBAL, RX_RING);
	wr(R_RDLEN, RING_N * 16);
	wr(R_RDT, RING_N - 1);
	wr(R_RXCSUM, RXCSUM_IPOFL | RXCSUM_TUOFL | RXCSUM_IP6OFL | 14);
	wr(R_RCTL, RCTL_EN | RCTL_BAM);
	rd(R_ICR); /* the link came up */
	tx_tail = 0;
	rx_tail = 0;
}

static int tables_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	return gmem_read(mem, gpa, buf, len);
}

static int tables_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
	return gmem_write(mem, gpa, buf, len);
}

static void setup(void)
{
	const struct vtd_memory tables = {tables_read, tables_write, NULL};
	const struct gmem_config mc = {.size = MEM};
	struct pci_root_config rc = {
		.mmio32 = {WIN, WIN + 0x10000000},
		.mmio64 = {0x800000000, 0x900000000},
		.pio_window = {0xc000, 0x10000},
	};
	struct e1000_host host;
	struct irq_backend be;
	struct err e = {0};

	log_level_set(LOG_LEVEL_ERROR);
	memset(&wire, 0, sizeof(wire));
	wire.fd = eventfd(0, EFD_NONBLOCK);
	wire.in = calloc(FRAMES, sizeof(*wire.in));
	wire.out = calloc(FRAMES, sizeof(*wire.out));
	pthread_mutex_init(&wire.lock, NULL);
	wire.be = (struct net_backend){
		.ops = &wire_ops,
		.name = "wire",
		.features = 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
			    1ull << VIRTIO_NET_F_HOST_TSO6,
		.max_pairs = 1,
		.port = &wire_port,
	};
	wire.offloads = ~0ull;
	irq_recorder_init(&rec);
	be = irq_recorder_backend(&rec);
	ck_assert_int_eq(gmem_create(&mc, &e, &mem), 0);
	ck_assert_int_eq(bus_create("mmio", &e, &mmio), 0);
	ck_assert_int_eq(bus_create("pio", &e, &pio), 0);
	ck_assert_int_eq(irq_router_create(&be, 256, &e, &router), 0);
	ck_assert_int_eq(vtd_create(router, &tables, &e, &vtd), 0);
	vtd_dma_offer(vtd);
	rc.vtd = vtd;
	ck_assert_int_eq(ioapic_create(router, 0xf0f8, &e, &io), 0);
	ck_assert_int_eq(irq_lines_create(io, &e, &lines), 0);
	rc.mmio = mmio;
	rc.pio = pio;
	ck_assert_int_eq(pci_root_create(&rc, &e, &root), 0);
	host = (struct e1000_host){.pci = root, .mem = mem, .lines = lines};
	ck_assert_msg(e1000_create(&host, our_mac, &wire.be, &e, &nic) == 0, "%s", e.text);
	ck_assert_int_eq(pci_root_place(root, &e), 0);
	bar = cfg(0x10, 4) & ~0xfu;
	pin_program();
	driver_up();
}

static void teardown(void)
{
	pci_root_destroy(root);
	ck_assert(wire.destroyed);
	irq_lines_destroy(lines);
	ioapic_destroy(io);
	vtd_destroy(vtd);
	irq_router_destroy(router);
	bus_destroy(pio);
	bus_destroy(mmio);
	gmem_destroy(mem);
	irq_recorder_finish(&rec);
	close(wire.fd);
	free(wire.in);
	free(wire.out);
}

/* The card works on a thread of its own: wait for what must come. Some reads clear: no second look. */
#define eventually(cond)                                              \
	do {                                                          \
		bool _ok = false;                                     \
		for (unsigned int _n = 0; !_ok && _n < 20000; _n++) { \
			_ok = (cond);                                 \
			if (!_ok)                                     \
				usleep(500);                          \
		}                                                     \
		ck_assert_msg(_ok, "never came: %s", #cond);          \
	} while (0)

static unsigned int sent(void)
{
	unsigned int n;

	pthread_mutex_lock(&wire.lock);
	n = wire.n_out;
	pthread_mutex_unlock(&wire.lock);
	return n;
}

static unsigned int taken(void)
{
	unsigned int n;

	pthread_mutex_lock(&wire.lock);
	n = wire.taken;
	pthread_mutex_unlock(&wire.lock);
	return n;
}

static unsigned int irqs(void)
{
	unsigned int n;

	pthread_mutex_lock(&rec.lock);
	n = rec.n_msi;
	pthread_mutex_unlock(&rec.lock);
	return n;
}

static struct e1000_stats stats(void)
{
	struct e1000_stats s;

	e1000_stats(nic, &s);
	return s;
}

/* ---- transmit ---- */

#define LEGACY(len, cso, cmd) ((uint64_t)(len) | (uint64_t)(cso) << 16 | (uint64_t)(cmd) << 24)
#define DATA(len, cmd)        ((uint64_t)(len) | 1ull << 20 | (uint64_t)((cmd) | 0x20) << 24)
#define CONTEXT(len, cmd)     ((uint64_t)(len) | (uint64_t)((cmd) | 0x20) << 24)

enum { EOP = 1, IC = 4, TSE = 4, RS = 8, VLE = 0x40 };

static void tx_desc(uint64_t addr, uint64_t low, uint32_t high)
{
	uint8_t *d = gmem_hva(mem, TX_RING + tx_tail * 16, 16);

	le_store(d, 8, addr);
	le_store(d + 8, 8, (low & 0xffffffff) | (uint64_t)high << 32);
	tx_tail = (tx_tail + 1) % RING_N;
}

static void tx_go(void)
{
	wr(R_TDT, tx_tail);
}

static uint8_t tx_status(unsigned int i)
{
	return __atomic_load_n(
		(uint8_t *)gmem_hva(mem, TX_RING + i * 16 + 12, 1), __ATOMIC_ACQUIRE);
}

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)(p[0] << 8 | p[1]);
}

/* A frame of TCP over IPv4, checksums right; returns its length. */
static size_t tcp4(uint8_t *f, size_t payload)
{
	uint8_t *ip = f + 14, *tcp = f + 34;
	uint32_t sum;

	memset(f, 0, 54);
	memcpy(f, our_mac, 6);
	memcpy(f + 6, (const uint8_t[]){2, 0, 0, 0, 0, 9}, 6);
	put16(f + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned int)(40 + payload));
	ip[8] = 64;
	ip[9] = 6;
	memcpy(ip + 12, (const uint8_t[]){10, 0, 0, 1, 10, 0, 0, 2}, 8);
	put16(ip + 10, (uint16_t)~e1000_sum(ip, 20));
	put16(tcp, 80);
	put16(tcp + 2, 1234);
	tcp[12] = 0x50;
	tcp[13] = 0x10;
	for (size_t i = 0; i < payload; i++)
		tcp[20 + i] = (uint8_t)(i * 7);
	sum = e1000_sum(ip + 12, 8) + 6 + 20 + (uint32_t)payload + e1000_sum(tcp, 20 + payload);
	put16(tcp + 16, (uint16_t)~e1000_fold(sum));
	return 54 + payload;
}

static uint8_t *tx_buf(void)
{
	return gmem_hva(mem, TX_BUF, 0x40000);
}

START_TEST(a_legacy_frame_goes_out_padded_and_is_written_back)
{
	memset(tx_buf(), 0xab, 20);
	tx_desc(TX_BUF, LEGACY(20, 0, EOP | RS), 0);
	tx_go();
	eventually(sent() == 1);
	ck_assert_uint_eq(wire.out[0].len, 60);
	ck_assert_uint_eq(wire.out[0].data[19], 0xab);
	ck_assert_uint_eq(wire.out[0].data[20], 0);
	ck_assert_uint_eq(wire.out[0].hdr.flags, 0);
	eventually(rd(R_ICR) & ICR_TXDW);
	ck_assert_uint_eq(tx_status(0) & 1, 1);
	ck_assert_uint_eq(rd(R_TDH), 1);
	ck_assert_uint_eq(rd(R_GPTC), 1);
	ck_assert_uint_eq(rd(R_GPTC), 0);
	ck_assert_uint_eq(rd(R_GOTCL), 64);
}
END_TEST

START_TEST(a_frame_of_several_descriptors_is_one_frame)
{
	size_t len = tcp4(tx_buf(), 100);

	tx_desc(TX_BUF, LEGACY(10, 0, 0), 0);
	tx_desc(TX_BUF + 10, LEGACY(0, 0, 0), 0);
	tx_desc(TX_BUF + 10, LEGACY(len - 10, 0, EOP), 0);
	tx_go();
	eventually(sent() == 1);
	ck_assert_uint_eq(wire.out[0].len, len);
	ck_assert_mem_eq(wire.out[0].data, tx_buf(), len);
	/* No report was asked for. */
	ck_assert_uint_eq(tx_status(2) & 1, 0);
}
END_TEST

START_TEST(more_frames_than_a_turn_takes_all_go_out)
{
	memset(tx_buf(), 0x11, 60);
	for (unsigned int i = 0; i < 100; i++) {
		tx_desc(TX_BUF, LEGACY(60, 0, EOP | RS), 0);
		tx_go();
		eventually(sent() == i + 1);
	}
}
END_TEST

/* §3.3.3: CSO, CSS */
START_TEST(a_legacy_checksum_is_inserted)
{
	size_t len = tcp4(tx_buf(), 33);
	uint32_t pseudo = e1000_sum(tx_buf() + 26, 8) + 6 + 20 + 33;
	unsigned int right = get16(tx_buf() + 50);

	put16(tx_buf() + 50, e1000_fold(pseudo));
	tx_desc(TX_BUF, LEGACY(len, 50, EOP | IC), 34u << 8);
	tx_go();
	eventually(sent() == 1);
	ck_assert_uint_eq(get16(wire.out[0].data + 50), right);
}
END_TEST

static void tx_context(unsigned int hdrlen, unsigned int mss, uint8_t tucmd)
{
	tx_desc(14 | 24u << 8 | 33u << 16 | 34ull << 32 | 50ull << 40, CONTEXT(0, tucmd),
		hdrlen << 8 | mss << 16);
}

/* §3.3.7: IXSM is made here, TXSM is handed on. */
START_TEST(checksums_of_data_descriptors_are_made_or_handed_on)
{
	size_t len = tcp4(tx_buf(), 33);
	unsigned int ip = get16(tx_buf() + 24);

	put16(tx_buf() + 24, 0);
	tx_context(0, 0, 3);
	tx_desc(TX_BUF, DATA(len, EOP | RS), 3u << 8);
	tx_go();
	eventually(sent() == 1);
	ck_assert_uint_eq(get16(wire.out[0].data + 24), ip);
	ck_assert_uint_eq(wire.out[0].hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	ck_assert_uint_eq(le16toh(wire.out[0].hdr.csum_start), 34);
	ck_assert_uint_eq(le16toh(wire.out[0].hdr.csum_offset), 16);
	ck_assert_uint_eq(wire.out[0].hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
}
END_TEST

/* §3.5: the driver leaves out the length, the back end gets it. */
START_TEST(segmentation_is_handed_on_with_sound_headers)
{
	size_t payload = 4000, len = tcp4(tx_buf(), payload);
	const struct virtio_net_hdr_v1 *h = &wire.out[0].hdr;
	const uint8_t *f = wire.out[0].data;

	put16(tx_buf() + 16, 0);
	put16(tx_buf() + 24, 0);
	put16(tx_buf() + 50, e1000_fold(e1000_sum(tx_buf() + 26, 8) + 6));
	tx_context(54, 1000, 7);
	tx_desc(TX_BUF, DATA(54, TSE), 3u << 8);
	tx_desc(TX_BUF + 54, DATA(len - 54, TSE | EOP | RS), 0);
	tx_go();
	eventually(sent() == 1);
	ck_assert_uint_eq(h->gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	ck_assert_uint_eq(le16toh(h->gso_size), 1000);
	ck_assert_uint_eq(le16toh(h->hdr_len), 54);
	ck_assert_uint_eq(le16toh(h->csum_start), 34);
	ck_assert_uint_eq(get16(f + 16), len - 14);
	ck_assert_uint_eq(e1000_sum(f + 14, 20), 0xffff);
	ck_assert_uint_eq(
		get16(f + 50), e1000_fold(e1000_sum(f + 26, 8) + 6 + 20 + (uint32_t)payload));
	ck_assert_uint_eq(rd(R_TSCTC), 1);
	ck_assert_uint_eq(rd(R_GPTC), 4);
	ck_assert_uint_eq(rd(R_GOTCL), payload + 4 * 58);
}
END_TEST

START_TEST(a_tag_is_inserted_when_the_card_has_them)
{
	for (unsigned int i = 0; i < 60; i++)
		tx_buf()[i] = (uint8_t)i;
	tx_desc(TX_BUF, LEGACY(60, 0, EOP | VLE), 0x2064u << 16);
	tx_go();
	eventually(sent() == 1);
	ck_assert_uint_eq(wire.out[0].len, 60);
	wr(R_CTRL, CTRL_VME);
	tx_desc(TX_BUF, LEGACY(60, 0, EOP | VLE), 0x2064u << 16);
	tx_go();
	eventually(sent() == 2);
	ck_assert_uint_eq(wire.out[1].len, 64);
	ck_assert_uint_eq(get16(wire.out[1].data + 12), 0x8100);
	ck_assert_uint_eq(get16(wire.out[1].data + 14), 0x2064);
	ck_assert_mem_eq(wire.out[1].data, tx_buf(), 12);
	ck_assert_mem_eq(wire.out[1].data + 16, tx_buf() + 12, 48);
}
END_TEST

/* One frame a driver may send; the card must still do it. */
static void still_works(void)
{
	unsigned int before;

	command(7);
	wr(R_CTRL, CTRL_RST);
	driver_up();
	before = sent();
	memset(tx_buf(), 0x22, 60);
	tx_desc(TX_BUF, LEGACY(60, 0, EOP), 0);
	tx_go();
	eventually(sent() == before + 1);
}

static const struct {
	const char *what;
	uint64_t addr, low;
	uint32_t high;
	uint64_t ctx_addr, ctx_low; /* if not 0: before it */
	uint32_t ctx_high;
} bad_tx[] = {
	{"a buffer outside memory", 0x10000000, LEGACY(60, 0, EOP), 0, 0, 0, 0},
	{"a buffer over the end of memory", MEM - 30, LEGACY(60, 0, EOP), 0, 0, 0, 0},
	{"a buffer at the end of all addresses", ~0ull - 8, LEGACY(60, 0, EOP), 0, 0, 0, 0},
	{"a buffer in the card's own registers", WIN, LEGACY(60, 0, EOP), 0, 0, 0, 0},
	{"no data", TX_BUF, LEGACY(0, 0, EOP), 0, 0, 0, 0},
	{"less than a header", TX_BUF, LEGACY(13, 0, EOP), 0, 0, 0, 0},
	{"more than the card's largest", TX_BUF, LEGACY(16300, 0, EOP), 0, 0, 0, 0},
	{"more than any frame", TX_BUF, DATA(0xfffff, EOP), 0, 0, 0, 0},
	{"a checksum from behind the end", TX_BUF, LEGACY(60, 10, EOP | IC), 200u << 8, 0, 0, 0},
	{"a checksum to behind the end", TX_BUF, LEGACY(60, 59, EOP | IC), 14u << 8, 0, 0, 0},
	{"TCP's checksum behind the end", TX_BUF, DATA(60, EOP), 2u << 8, 34ull << 32 | 90ull << 40,
		CONTEXT(0, 1), 0},
	{"IP's checksum behind the end", TX_BUF, DATA(60, EOP), 1u << 8, 14 | 255u << 8,
		CONTEXT(0, 1), 0},
	{"an IP checksum that ends before it begins", TX_BUF, DATA(60, EOP), 1u << 8,
		40 | 10u << 8 | 20u << 16, CONTEXT(0, 1), 0},
	{"segmentation without a context", TX_BUF, DATA(2000, EOP | TSE), 3u << 8, 0, 0, 0},
	{"segments of nothing", TX_BUF, DATA(2000, EOP | TSE), 3u << 8,
		14 | 24u << 8 | 34ull << 32 | 50ull << 40, CONTEXT(0, 7), 54u << 8},
	{"headers longer than the frame", TX_BUF, DATA(100, EOP | TSE), 3u << 8,
		14 | 24u << 8 | 34ull << 32 | 50ull << 40, CONTEXT(0, 7), 200u << 8 | 10u << 16},
	{"TCP before IP", TX_BUF, DATA(2000, EOP | TSE), 3u << 8,
		34 | 24u << 8 | 14ull << 32 | 50ull << 40, CONTEXT(0, 7), 54u << 8 | 10u << 16},
	{"a sum behind the headers", TX_BUF, DATA(2000, EOP | TSE), 3u << 8,
		14 | 24u << 8 | 34ull << 32 | 250ull << 40, CONTEXT(0, 7), 54u << 8 | 10u << 16},
	{"UDP in segments", TX_BUF, DATA(2000, EOP | TSE), 3u << 8,
		14 | 24u << 8 | 34ull << 32 | 50ull << 40, CONTEXT(0, 6), 54u << 8 | 10u << 16},
	{"an IPv4 packet above 64 KiB", TX_BUF, DATA(65549, EOP | TSE), 3u << 8,
		0 | 24u << 8 | 34ull << 32 | 50ull << 40, CONTEXT(0, 7), 54u << 8 | 10u << 16},
};

START_TEST(a_frame_that_cannot_be_is_dropped_and_counted)
{
	unsigned int at;

	if (bad_tx[_i].ctx_low)
		tx_desc(bad_tx[_i].ctx_addr, bad_tx[_i].ctx_low, bad_tx[_i].ctx_high);
	at = tx_tail;
	tx_desc(bad_tx[_i].addr, bad_tx[_i].low | (uint64_t)RS << 24, bad_tx[_i].high);
	tx_go();
	eventually(stats().tx_dropped == 1);
	/* It is the guest's again all the same. */
	eventually(tx_status(at) & 1);
	ck_assert_msg(sent() == 0, "%s", bad_tx[_i].what);
	still_works();
}
END_TEST

START_TEST(a_frame_that_never_ends_costs_nothing)
{
	for (unsigned int round = 0; round < 40; round++) {
		for (unsigned int i = 0; i < RING_N - 1; i++)
			tx_desc(TX_BUF, LEGACY(0x4000, 0, 0), 0);
		tx_go();
		eventually(rd(R_TDH) == tx_tail);
	}
	ck_assert_uint_eq(sent(), 0);
	still_works();
}
END_TEST

static const struct {
	const char *what;
	uint32_t bal, bah, len, head, tail;
	bool dma; /* counted as that */
} bad_rings[] = {
	{"a ring outside memory", 0x10000000, 0, 128, 0, 1, true},
	{"a ring at the end of all addresses", 0xfffffff0, 0xffffffff, 128, 0, 1, true},
	{"a ring over the end of memory", MEM - 16, 0, 128, 1, 2, true},
	{"a ring in the card's registers", (uint32_t)WIN, 0, 128, 0, 1, true},
	{"a ring without descriptors", TX_RING, 0, 0, 0, 1, false},
	{"a tail behind the end", TX_RING, 0, 128, 0, 8, false},
	{"a tail far behind the end", TX_RING, 0, 128, 0, 0xffff, false},
	{"a head behind the end", TX_RING, 0, 128, 0xffff, 1, false},
};

START_TEST(a_ring_that_cannot_be_is_not_served)
{
	bool rx = _i >= (int)ARRAY_SIZE(bad_rings);
	unsigned int i = (unsigned int)_i % ARRAY_SIZE(bad_rings);
	uint32_t to = rx ? R_RDBAL - R_TDBAL : 0;
	struct e1000_stats was = stats();

	wr(R_TDBAL + to, bad_rings[i].bal);
	wr(R_TDBAH + to, bad_rings[i].bah);
	wr(R_TDLEN + to, bad_rings[i].len);
	wr(R_TDH + to, bad_rings[i].head);
	wr(R_TDT - R_TDBAL + R_TDBAL + to, bad_rings[i].tail);
	if (rx)
		wire_in("\xff\xff\xff\xff\xff\xff......\x08\x06...........", 25);
	if (bad_rings[i].dma)
		eventually(stats().bad_dma > was.bad_dma);
	else
		eventually(stats().bad_rings > was.bad_rings);
	ck_assert_msg(sent() == 0, "%s", bad_rings[i].what);
	still_works();
}
END_TEST

START_TEST(nothing_moves_without_bus_mastering)
{
	command(3);
	tx_desc(TX_BUF, LEGACY(60, 0, EOP | RS), 0);
	tx_go();
	wire_in("\xff\xff\xff\xff\xff\xff......\x08\x06...........", 25);
	eventually(taken() == 1);
	ck_assert_uint_eq(rd(R_TDH), 0);
	ck_assert_uint_eq(rd(R_RDH), 0);
	ck_assert_uint_eq(sent(), 0);
	command(7);
	eventually(sent() == 1);
}
END_TEST

/* Translation on without tables, and off again: the card stops as at a master abort. */
START_TEST(a_card_that_the_guests_unit_blocks_stops_until_its_driver_starts_it)
{
	vtd_write(vtd, 0x20, 8, 0x1000);
	vtd_write(vtd, 0x18, 4, 1u << 31);
	tx_desc(TX_BUF, LEGACY(60, 0, EOP | RS), 0);
	tx_go();
	eventually(stats().bad_dma == 1);
	wire_in("\xff\xff\xff\xff\xff\xff......\x08\x06...........", 25);
	eventually(stats().bad_dma == 2);
	ck_assert_uint_eq(sent(), 0);
	ck_assert_uint_eq(rd(R_TDH), 0);
	ck_assert_uint_eq(rd(R_RDH), 0);
	ck_assert(!(rd(R_TCTL) & TCTL_EN) && !(rd(R_RCTL) & RCTL_EN));
	/* Both were reads of a ring. */
	ck_assert_uint_eq(vtd_read(vtd, 0x220, 8), TX_RING);
	ck_assert_uint_eq(vtd_read(vtd, 0x228, 8) >> 62, 3);
	ck_assert_uint_eq(vtd_read(vtd, 0x230, 8), RX_RING);
	vtd_write(vtd, 0x18, 4, 0);
	ck_assert_uint_eq(sent(), 0);
	still_works();
}
END_TEST

/* ---- receive ---- */

struct got {
	unsigned int len, csum, status, errors, special;
};

/* The descriptor the card has filled next. */
static struct got rx_got(void)
{
	uint8_t *d = gmem_hva(mem, RX_RING + rx_tail * 16, 16);
	struct got g;

	eventually(__atomic_load_n((uint64_t *)(d + 8), __ATOMIC_ACQUIRE) >> 32 & 1);
	g = (struct got){
		.len = (unsigned int)le_load(d + 8, 2),
		.csum = (unsigned int)le_load(d + 10, 2),
		.status = d[12],
		.errors = d[13],
		.special = (unsigned int)le_load(d + 14, 2),
	};
	rx_tail = (rx_tail + 1) % RING_N;
	return g;
}

static uint8_t *rx_buf(unsigned int i)
{
	return gmem_hva(mem, RX_BUF + i * 0x10000, 0x10000);
}

START_TEST(a_frame_comes_in_with_its_fcs)
{
	uint8_t f[256];
	size_t len = tcp4(f, 100);
	struct got g;

	wire_in(f, len);
	g = rx_got();
	ck_assert_uint_eq(wire.offloads, 0);
	ck_assert_uint_eq(g.len, len + 4);
	ck_assert_uint_eq(g.status, 0x63); /* DD, EOP, TCPCS, IPCS */
	ck_assert_uint_eq(g.errors, 0);
	ck_assert_mem_eq(rx_buf(0), f, len);
	/* What a receiver computes over frame and FCS is always this. */
	ck_assert_uint_eq(e1000_crc(nic->crc_table, rx_buf(0), len + 4), 0x2144df1c);
	ck_assert_uint_eq(g.csum, htobe16((uint16_t)e1000_sum(f + 14, len - 14)));
	ck_assert_uint_eq(rd(R_RDH), 1);
	eventually(rd(R_ICR) & ICR_RXT0);
	ck_assert_uint_eq(rd(R_GPRC), 1);
	ck_assert_uint_eq(rd(R_GORCL), len + 4);
}
END_TEST

START_TEST(a_short_frame_is_padded_and_the_fcs_can_be_left_out)
{
	struct got g;

	wr(R_RCTL, RCTL_EN | RCTL_BAM | RCTL_SECRC);
	wire_in("\xff\xff\xff\xff\xff\xff......\x08\x06...........", 25);
	g = rx_got();
	ck_assert_uint_eq(g.len, 60);
	ck_assert_uint_eq(g.status, 0x07); /* DD, EOP, IXSM */
	ck_assert_uint_eq(rx_buf(0)[25], 0);
}
END_TEST

START_TEST(a_large_frame_takes_several_buffers)
{
	static uint8_t f[9100];
	size_t len = tcp4(f, 9000), done = 0;

	wr(R_RCTL, RCTL_EN | RCTL_LPE | RCTL_SECRC);
	wire_in(f, len);
	for (unsigned int i = 0; done < len; i++) {
		struct got g = rx_got();

		ck_assert_uint_eq(g.len, len - done < 2048 ? len - done : 2048);
		ck_assert_uint_eq((g.status & 2) != 0, done + g.len == len);
		ck_assert_mem_eq(rx_buf(i), f + done, g.len);
		done += g.len;
	}
}
END_TEST

static const struct {
	uint32_t rctl;
	size_t size;
} sizes[] = {
	{0, 2048},
	{1u << 16, 1024},
	{2u << 16, 512},
	{3u << 16, 256},
	{RCTL_BSEX | 1u << 16, 16384},
	{RCTL_BSEX | 2u << 16, 8192},
	{RCTL_BSEX | 3u << 16, 4096},
};

/* §13.4.22 */
START_TEST(a_buffer_has_the_size_that_rctl_says)
{
	static uint8_t f[1600];
	size_t len = tcp4(f, 1400);
	struct got g;

	wr(R_RCTL, RCTL_EN | RCTL_LPE | RCTL_SECRC | sizes[_i].rctl);
	wire_in(f, len);
	g = rx_got();
	ck_assert_uint_eq(g.len, len < sizes[_i].size ? len : sizes[_i].size);
	ck_assert_uint_eq(rx_buf(0)[g.len], 0);
}
END_TEST

START_TEST(frames_wait_for_buffers)
{
	uint8_t f[256];
	size_t len = tcp4(f, 10);

	for (unsigned int i = 0; i < RING_N + 3; i++)
		wire_in(f, len);
	for (unsigned int i = 0; i < RING_N - 1; i++)
		rx_got();
	eventually(rd(R_RNBC) == 1);
	eventually(rd(R_ICR) & ICR_RXDMT0);
	ck_assert_uint_eq(rd(R_RDH), RING_N - 1);
	memset(gmem_hva(mem, RX_RING + 12, 1), 0, 1);
	wr(R_RDT, 3);
	rx_got();
	eventually(rd(R_RDH) == 3);
	ck_assert_uint_eq(stats().rx_packets, RING_N + 3);
	ck_assert_uint_eq(stats().rx_dropped, 0);
}
END_TEST

START_TEST(what_comes_while_nobody_listens_is_gone)
{
	uint8_t f[256];
	size_t len = tcp4(f, 10);

	wr(R_RCTL, 0);
	wire_in(f, len);
	eventually(taken() == 1);
	wr(R_RCTL, RCTL_EN);
	f[14] = 0x46;
	wire_in(f, len);
	rx_got();
	ck_assert_uint_eq(rx_buf(0)[14], 0x46);
	ck_assert_uint_eq(rd(R_RDH), 1);
}
END_TEST

static const struct {
	const char *what;
	uint8_t dst[6];
	uint32_t rctl;
	unsigned int vlan; /* 0: no tag */
	int takes;         /* 2: by a filter that is not exact */
} filters[] = {
	{"ours", {0x52, 0x54, 0, 1, 2, 3}, 0, 0, 1},
	{"another's", {0x52, 0x54, 0, 1, 2, 4}, 0, 0, 0},
	{"another's, promiscuous", {0x52, 0x54, 0, 1, 2, 4}, RCTL_UPE, 0, 2},
	{"a second address", {2, 9, 9, 9, 9, 9}, 0, 0, 1},
	{"an address that is not valid", {2, 8, 8, 8, 8, 8}, 0, 0, 0},
	{"broadcast", {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, RCTL_BAM, 0, 1},
	{"broadcast, not asked for", {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0, 0, 0},
	{"multicast", {1, 0, 0x5e, 0, 0, 1}, 0, 0, 0},
	{"all multicast", {1, 0, 0x5e, 0, 0, 1}, RCTL_MPE, 0, 2},
	{"hashed multicast", {1, 0, 0x5e, 0, 0x50, 0x12}, 0, 0, 2},
	{"hashed, by other bits", {1, 0, 0x5e, 0, 0x50, 0x12}, 3u << 12, 0, 0},
	{"a tag, no filter", {0x52, 0x54, 0, 1, 2, 3}, 0, 100, 1},
	{"a tag that passes", {0x52, 0x54, 0, 1, 2, 3}, RCTL_VFE, 100, 1},
	{"a tag that does not", {0x52, 0x54, 0, 1, 2, 3}, RCTL_VFE, 101, 0},
	{"a tag that does not, promiscuous", {0x52, 0x54, 0, 1, 2, 3}, RCTL_VFE | RCTL_UPE, 101, 0},
};

/* §3.2.1 */
START_TEST(the_filters_take_what_they_should)
{
	uint8_t f[64] = {0};
	struct got g;

	wr(R_RA + 8, 0x09090902);
	wr(R_RA + 12, RAH_AV | 0x0909);
	wr(R_RA + 16, 0x08080802);
	wr(R_RA + 20, 0x0808);
	wr(R_MTA + 0x125 / 32 * 4, 1u << 0x125 % 32); /* 12:50 >> 4 */
	wr(R_VFTA + 100 / 32 * 4, 1u << 100 % 32);
	wr(R_RCTL, RCTL_EN | filters[_i].rctl);
	memcpy(f, filters[_i].dst, 6);
	if (filters[_i].vlan) {
		put16(f + 12, 0x8100);
		put16(f + 14, filters[_i].vlan);
	}
	wire_in(f, 64);
	/* And one that always comes, to know when the first is past. */
	memcpy(f, our_mac, 6);
	memset(f + 12, 0, 4);
	f[30] = 0x77;
	wire_in(f, 64);
	g = rx_got();
	ck_assert_msg((rx_buf(0)[30] != 0x77) == (filters[_i].takes > 0), "%s", filters[_i].what);
	if (filters[_i].takes)
		ck_assert_msg(
			(g.status & 0x80 ? 2 : 1) == filters[_i].takes, "%s", filters[_i].what);
}
END_TEST

static const struct {
	const char *what;
	unsigned int at; /* this byte is changed ... */
	uint8_t by;
	unsigned int status, errors; /* TCPCS 0x20, IPCS 0x40, IXSM 4 */
} csums[] = {
	{"sound", 0, 0, 0x60, 0},
	{"a wrong TCP checksum", 60, 1, 0x60, 0x20},
	{"a wrong IP checksum", 22, 1, 0x60, 0x40},
	{"no IP", 12, 0xff, 0x04, 0},
	{"IP of another version", 14, 0x10, 0x04, 0},
	{"an IP header that is too short", 14, 0x01, 0x04, 0},
	{"an IP packet longer than the frame", 16, 0x40, 0x04, 0},
	{"another protocol", 23, 0x20, 0x40, 0x40},
	{"a fragment", 20, 0x20, 0x40, 0x40},
};

/* §3.2.9 */
START_TEST(a_descriptor_says_what_was_checked)
{
	uint8_t f[256];
	size_t len = tcp4(f, 40);
	struct got g;

	f[csums[_i].at] ^= csums[_i].by;
	wire_in(f, len);
	g = rx_got();
	ck_assert_msg(
		(g.status & 0x64) == csums[_i].status, "%s: status %x", csums[_i].what, g.status);
	ck_assert_msg(g.errors == csums[_i].errors, "%s: errors %x", csums[_i].what, g.errors);
}
END_TEST

START_TEST(nothing_is_checked_unasked)
{
	uint8_t f[256];
	size_t len = tcp4(f, 40);
	struct got g;

	wr(R_RXCSUM, 0);
	wire_in(f, len);
	g = rx_got();
	ck_assert_uint_eq(g.status & 0x64, 4);
}
END_TEST

START_TEST(a_tag_is_taken_out_when_the_card_has_them)
{
	uint8_t f[64];
	struct got g;

	for (unsigned int i = 0; i < 64; i++)
		f[i] = (uint8_t)i;
	memcpy(f, our_mac, 6);
	put16(f + 12, 0x8100);
	put16(f + 14, 0x6064);
	wr(R_CTRL, CTRL_VME);
	wr(R_RCTL, RCTL_EN | RCTL_SECRC);
	wire_in(f, 64);
	g = rx_got();
	ck_assert_uint_eq(g.len, 60);
	ck_assert_uint_eq(g.status & 8, 8);
	ck_assert_uint_eq(g.special, 0x6064);
	ck_assert_mem_eq(rx_buf(0), f, 12);
	ck_assert_mem_eq(rx_buf(0) + 12, f + 16, 48);
}
END_TEST

START_TEST(an_oversized_frame_is_dropped_unless_asked_for)
{
	static uint8_t f[17000];

	memcpy(f, our_mac, 6);
	wire_in(f, 1515);
	eventually(rd(R_ROC) == 1);
	wire_in(f, 1514);
	ck_assert_uint_eq(rx_got().len, 1518);
	wr(R_RCTL, RCTL_EN | RCTL_LPE);
	wire_in(f, 16285);
	eventually(rd(R_ROC) == 1);
	ck_assert_uint_eq(stats().rx_dropped, 2);
}
END_TEST

START_TEST(a_frame_larger_than_the_ring_is_dropped)
{
	static uint8_t f[9000];

	memcpy(f, our_mac, 6);
	wr(R_RCTL, RCTL_EN | RCTL_LPE | 3u << 16);
	wire_in(f, 9000);
	eventually(rd(R_MPC) == 1);
	wire_in(f, 60);
	rx_got();
}
END_TEST

START_TEST(a_receive_buffer_outside_memory_loses_the_frame_alone)
{
	uint8_t f[256];
	size_t len = tcp4(f, 10);

	le_store(gmem_hva(mem, RX_RING, 8), 8, WIN);
	wire_in(f, len);
	wire_in(f, len);
	rx_got();
	rx_got();
	ck_assert_uint_eq(stats().bad_dma, 1);
	ck_assert_mem_eq(rx_buf(1), f, len);
}
END_TEST

/* A back end may leave a checksum open (the loop does). */
START_TEST(an_open_checksum_is_completed)
{
	uint8_t f[256];
	size_t len = tcp4(f, 41);
	struct got g;

	put16(f + 50, e1000_fold(e1000_sum(f + 26, 8) + 6 + 20 + 41));
	pthread_mutex_lock(&wire.lock);
	wire.in[0].hdr = (struct virtio_net_hdr_v1){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = htole16(34),
		.csum_offset = htole16(16),
	};
	memcpy(wire.in[0].data, f, len);
	wire.in[0].len = len;
	wire.n_in = 1;
	pthread_mutex_unlock(&wire.lock);
	eventfd_write(wire.fd, 1);
	g = rx_got();
	ck_assert_uint_eq(g.status & 0x60, 0x60);
	ck_assert_uint_eq(g.errors, 0);
}
END_TEST

/* ---- config space, registers ---- */

START_TEST(config_space_is_an_82540em)
{
	ck_assert_uint_eq(cfg(0, 4), 0x100e8086);
	ck_assert_uint_eq(cfg(9, 1) | cfg(10, 2) << 8, 0x020000);
	ck_assert_uint_eq(cfg(0x3d, 1), 1);
	ck_assert_uint_eq(cfg(0x3c, 1), pci_intx_gsi(e1000_devfn(nic), 1));
	ck_assert_uint_eq(cfg(6, 2) & 0x10, 0); /* no capabilities: no MSI */
	ck_assert_uint_eq(nic->pci.bar[0].size, 0x20000);
	ck_assert_uint_eq(nic->pci.bar[1].size, 64);
	ck_assert_uint_eq(cfg(0x14, 4) & 1, 1);
}
END_TEST

static const struct {
	uint32_t off, value;
} at_reset[] = {
	{R_STATUS, 0x83},
	{R_VET, 0x8100},
	{R_ICR, 0},
	{R_IMS, 0},
	{R_RCTL, 0},
	{R_TCTL, 0},
	{R_TDT, 0},
	{R_RDT, 0},
	{R_RA, 0x01005452},
	{R_RA + 4, 0x80000302},
	{R_RA + 8, 0},
	{0x10000, 0}, /* packet buffer memory */
	{0x1fffc, 0},
};

START_TEST(a_software_reset_puts_registers_back)
{
	for (uint32_t off = 0; off < 0x20000; off += 4) {
		if (off != R_CTRL && off != R_CTRL_DUP)
			wr(off, 0xffffffff);
	}
	wr(R_CTRL, CTRL_RST);
	for (size_t i = 0; i < ARRAY_SIZE(at_reset); i++)
		ck_assert_msg(rd(at_reset[i].off) == at_reset[i].value, "%05x: %08x",
			at_reset[i].off, rd(at_reset[i].off));
	ck_assert_uint_eq(rd(R_CTRL) & CTRL_RST, 0);
	still_works();
}
END_TEST

START_TEST(a_reboot_puts_the_whole_card_back)
{
	unsigned int before = irqs();
	struct err e = {0};

	wr(R_IMS, ICR_TXDW);
	wr(R_ICS, ICR_TXDW);
	eventually(irqs() == before + 1);
	wr(R_RA, 0x12345678);
	pci_root_reset(root);
	ck_assert_int_eq(pci_root_place(root, &e), 0);
	ck_assert_uint_eq(cfg(4, 2) & 4, 0);
	command(7);
	ck_assert_uint_eq(rd(R_RA), 0x01005452);
	ck_assert_uint_eq(rd(R_IMS), 0);
	/* The line is low: no interrupt comes again at its end. */
	ioapic_eoi(io, VECTOR);
	ck_assert_uint_eq(irqs(), before + 1);
	still_works();
}
END_TEST

START_TEST(registers_are_dwords)
{
	bus_write(mmio, bar + R_VET, 2, 0x1234);
	bus_write(mmio, bar + R_VET, 1, 0x12);
	bus_write(mmio, bar + R_VET + 1, 4, 0x12);
	ck_assert_uint_eq(rd(R_VET), 0x8100);
	ck_assert_uint_eq(bus_read(mmio, bar + R_VET, 2), 0);
	bus_write(mmio, bar + R_TDBAL, 8, 0x1122334455667780);
	ck_assert_uint_eq(rd(R_TDBAH), 0x11223344);
	ck_assert_uint_eq(bus_read(mmio, bar + R_TDBAL, 8), 0x1122334455667780);
}
END_TEST

/* §13.3.4 */
START_TEST(the_io_window_reaches_the_same_registers)
{
	uint64_t port = cfg(0x14, 4) & ~3u;

	bus_write(pio, port, 4, R_VET);
	ck_assert_uint_eq(bus_read(pio, port, 4), R_VET);
	ck_assert_uint_eq(bus_read(pio, port + 4, 4), 0x8100);
	bus_write(pio, port + 4, 4, 0x88a8);
	ck_assert_uint_eq(rd(R_VET), 0x88a8);
	for (uint32_t bad = 0x20000; bad; bad <<= 1) {
		bus_write(pio, port, 4, bad);
		bus_write(pio, port + 4, 4, 0xffffffff);
		ck_assert_uint_eq(bus_read(pio, port + 4, 4), 0);
	}
	bus_write(pio, port, 4, R_VET + 1);
	ck_assert_uint_eq(bus_read(pio, port + 4, 4), 0);
}
END_TEST

/* ---- EEPROM and PHY ---- */

static void clock_bit(bool in)
{
	uint32_t pins = 0x42 | (in ? 4 : 0); /* REQ, CS */

	wr(R_EECD, pins);
	wr(R_EECD, pins | 1);
	wr(R_EECD, pins);
}

/* As Linux does it, §5.3: start bit, opcode 10, six bits of address, sixteen of data. */
static unsigned int microwire_read(unsigned int word)
{
	unsigned int cmd = 6u << 6 | word, v = 0;

	wr(R_EECD, 0x40);
	ck_assert_uint_eq(rd(R_EECD) & 0x380, 0x180); /* granted, present, 64 words */
	wr(R_EECD, 0x42);
	for (unsigned int i = 9; i-- > 0;)
		clock_bit(cmd >> i & 1);
	ck_assert_uint_eq(rd(R_EECD) & 8, 0);
	for (unsigned int i = 0; i < 16; i++) {
		wr(R_EECD, 0x43);
		v = v << 1 | (rd(R_EECD) >> 3 & 1);
		wr(R_EECD, 0x42);
	}
	wr(R_EECD, 0x40);
	wr(R_EECD, 0);
	return v;
}

static unsigned int eerd(unsigned int word)
{
	wr(R_EERD, word << 8 | 1);
	ck_assert_uint_eq(rd(R_EERD) & 0x10, 0x10);
	return rd(R_EERD) >> 16;
}

START_TEST(the_eeprom_reads_the_same_both_ways)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < 64; i++) {
		ck_assert_uint_eq(microwire_read(i), eerd(i));
		sum += eerd(i);
	}
	ck_assert_uint_eq(sum & 0xffff, 0xbaba);
	ck_assert_uint_eq(eerd(0), 0x5452);
	ck_assert_uint_eq(eerd(2), 0x0302);
}
END_TEST

START_TEST(the_eeprom_is_write_protected)
{
	unsigned int before = eerd(5);

	for (unsigned int op = 4; op < 8; op++) {
		wr(R_EECD, 0x42);
		for (unsigned int i = 9; i-- > 0;)
			clock_bit((op << 6 | 5) >> i & 1);
		for (unsigned int i = 0; i < 40; i++)
			clock_bit(i & 1);
		wr(R_EECD, 0x40);
	}
	ck_assert_uint_eq(eerd(5), before);
	ck_assert_uint_eq(microwire_read(1), eerd(1));
}
END_TEST

static uint32_t mdic(unsigned int phy, unsigned int op, unsigned int reg, uint16_t val)
{
	wr(R_MDIC, op << 26 | phy << 21 | reg << 16 | val);
	ck_assert_uint_eq(rd(R_MDIC) >> 28 & 1, 1);
	return rd(R_MDIC);
}

START_TEST(the_phy_follows_the_link)
{
	ck_assert_uint_eq(mdic(1, 2, 2, 0) & 0xffff, 0x0141);
	ck_assert_uint_eq(mdic(1, 2, 3, 0) & 0xfff0, 0x0c20);
	ck_assert_uint_eq(mdic(1, 2, 1, 0) & 0x24, 0x24);
	ck_assert_uint_eq(mdic(1, 2, 17, 0) & 0xac00, 0xac00);
	rd(R_ICR);
	wire.ev->link(wire.ev->ctx, false);
	ck_assert_uint_eq(rd(R_ICR), ICR_LSC);
	ck_assert_uint_eq(rd(R_STATUS) & 2, 0);
	ck_assert_uint_eq(mdic(1, 2, 1, 0) & 0x24, 0);
	wire.ev->link(wire.ev->ctx, false);
	ck_assert_uint_eq(rd(R_ICR), 0);
	wire.ev->link(wire.ev->ctx, true);
	ck_assert_uint_eq(rd(R_ICR), ICR_LSC);
	ck_assert_uint_eq(rd(R_STATUS) & 2, 2);
}
END_TEST

START_TEST(the_phy_refuses_what_is_not_its_own)
{
	ck_assert_uint_eq(mdic(2, 2, 2, 0) >> 30 & 1, 1);
	ck_assert_uint_eq(mdic(1, 0, 2, 0) >> 30 & 1, 1);
	ck_assert_uint_eq(mdic(1, 3, 2, 0) >> 30 & 1, 1);
	mdic(1, 1, 2, 0xffff); /* the id is read-only */
	ck_assert_uint_eq(mdic(1, 2, 2, 0) & 0xffff, 0x0141);
	mdic(1, 1, 0, 0x9200); /* reset, restart: both clear themselves */
	ck_assert_uint_eq(mdic(1, 2, 0, 0) & 0x8200, 0);
	for (unsigned int reg = 0; reg < 32; reg++) {
		mdic(1, 1, reg, 0xffff);
		mdic(1, 2, reg, 0);
	}
	rd(R_ICR);
	wr(R_MDIC, 1u << 29 | 2u << 26 | 1u << 21 | 2u << 16);
	ck_assert_uint_eq(rd(R_ICR), ICR_MDAC);
}
END_TEST

/* ---- interrupts ---- */

/* §13.4.17: the pin is a level, and reading ICR takes it back. */
START_TEST(the_pin_is_high_until_icr_is_read)
{
	unsigned int before = irqs();

	wr(R_ICS, ICR_RXT0);
	ck_assert_uint_eq(irqs(), before);
	ck_assert_uint_eq(cfg(6, 2) & 8, 0);
	wr(R_IMS, ICR_RXT0 | ICR_LSC);
	ck_assert_uint_eq(rd(R_IMS), ICR_RXT0 | ICR_LSC);
	ck_assert_uint_eq(irqs(), before + 1);
	ck_assert_uint_eq(cfg(6, 2) & 8, 8);
	ck_assert_uint_eq(cfg(4, 4) >> 16 & 8, 8);
	/* Not served: it comes again. */
	ioapic_eoi(io, VECTOR);
	ck_assert_uint_eq(irqs(), before + 2);
	ck_assert_uint_eq(rd(R_ICR), ICR_RXT0);
	ck_assert_uint_eq(rd(R_ICR), 0);
	ioapic_eoi(io, VECTOR);
	ck_assert_uint_eq(irqs(), before + 2);
	wr(R_IMC, ICR_RXT0);
	wr(R_ICS, ICR_RXT0);
	ck_assert_uint_eq(irqs(), before + 2);
	wr(R_ICS, ICR_LSC);
	ck_assert_uint_eq(irqs(), before + 3);
	ck_assert_uint_eq(stats().irqs, 2);
}
END_TEST

START_TEST(intx_disable_holds_the_pin_down)
{
	unsigned int before = irqs();

	command(0x407);
	wr(R_IMS, ICR_LSC);
	wr(R_ICS, ICR_LSC);
	ck_assert_uint_eq(irqs(), before);
	/* PCI 3.0 §6.2.3: the status bit says what would be. */
	ck_assert_uint_eq(cfg(6, 2) & 8, 8);
	command(7);
	ck_assert_uint_eq(irqs(), before + 1);
}
END_TEST

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* §13.4.18, in 256 ns */
START_TEST(the_throttle_puts_interrupts_off_and_loses_none)
{
	unsigned int before = irqs();
	int64_t start;

	wr(R_ITR, 0xffff); /* 16.8 ms */
	wr(R_IMS, ICR_LSC);
	start = now_ms();
	for (unsigned int i = 0; i < 4; i++) {
		wr(R_ICS, ICR_LSC);
		eventually(irqs() == before + i + 1);
		ck_assert_uint_eq(rd(R_ICR), ICR_LSC);
		ioapic_eoi(io, VECTOR);
	}
	ck_assert_int_ge(now_ms() - start, 48);
}
END_TEST

START_TEST(a_received_frame_interrupts)
{
	uint8_t f[256];
	size_t len = tcp4(f, 10);
	unsigned int before = irqs();

	wr(R_IMS, ICR_RXT0);
	wire_in(f, len);
	rx_got();
	eventually(irqs() == before + 1);
}
END_TEST

/* ---- making ---- */

static const struct {
	uint8_t mac[6];
	bool port;
	int error;
	const char *says;
} refusals[] = {
	{{0x52, 0x54, 0, 0, 0, 1}, false, -EOPNOTSUPP, "use model=virtio"},
	{{1, 0, 0x5e, 0, 0, 1}, true, -EINVAL, "no address for one interface"},
	{{0}, true, -EINVAL, "no address for one interface"},
};

START_TEST(what_cannot_be_is_refused_and_the_back_end_goes)
{
	const struct e1000_host host = {.pci = root, .mem = mem, .lines = lines};
	struct net_backend be = wire.be;
	struct err e = {0};
	struct e1000 *n = NULL;

	if (!refusals[_i].port)
		be.port = NULL;
	ck_assert_int_eq(e1000_create(&host, refusals[_i].mac, &be, &e, &n), refusals[_i].error);
	ck_assert_ptr_nonnull(strstr(e.text, refusals[_i].says));
	ck_assert(wire.destroyed);
	ck_assert_ptr_null(n);
	wire.destroyed = false;
}
END_TEST

/* Everything written with anything, and then it works. */
START_TEST(garbage_in_every_register_harms_nobody)
{
	unsigned int seed = (unsigned int)_i + 1;

	for (unsigned int i = 0; i < 30000; i++) {
		uint32_t off = (uint32_t)rand_r(&seed) % 0x6100 & ~3u;
		uint32_t val = (uint32_t)rand_r(&seed) << 16 ^ (uint32_t)rand_r(&seed);

		if (i % 3)
			wr(off, i % 5 ? val : val & 0x1fff0);
		else
			(void)rd(off);
	}
	wr(R_RCTL, 0);
	wr(R_TCTL, 0);
	wr(R_CTRL, CTRL_RST);
	pthread_mutex_lock(&wire.lock);
	wire.n_out = 0;
	pthread_mutex_unlock(&wire.lock);
	still_works();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("e1000");
	TCase *t = tcase_create("e1000");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_legacy_frame_goes_out_padded_and_is_written_back);
	tcase_add_test(t, a_frame_of_several_descriptors_is_one_frame);
	tcase_add_test(t, more_frames_than_a_turn_takes_all_go_out);
	tcase_add_test(t, a_legacy_checksum_is_inserted);
	tcase_add_test(t, checksums_of_data_descriptors_are_made_or_handed_on);
	tcase_add_test(t, segmentation_is_handed_on_with_sound_headers);
	tcase_add_test(t, a_tag_is_inserted_when_the_card_has_them);
	tcase_add_loop_test(
		t, a_frame_that_cannot_be_is_dropped_and_counted, 0, (int)ARRAY_SIZE(bad_tx));
	tcase_add_test(t, a_frame_that_never_ends_costs_nothing);
	tcase_add_loop_test(
		t, a_ring_that_cannot_be_is_not_served, 0, 2 * (int)ARRAY_SIZE(bad_rings));
	tcase_add_test(t, nothing_moves_without_bus_mastering);
	tcase_add_test(t, a_card_that_the_guests_unit_blocks_stops_until_its_driver_starts_it);
	tcase_add_test(t, a_frame_comes_in_with_its_fcs);
	tcase_add_test(t, a_short_frame_is_padded_and_the_fcs_can_be_left_out);
	tcase_add_test(t, a_large_frame_takes_several_buffers);
	tcase_add_loop_test(t, a_buffer_has_the_size_that_rctl_says, 0, (int)ARRAY_SIZE(sizes));
	tcase_add_test(t, frames_wait_for_buffers);
	tcase_add_test(t, what_comes_while_nobody_listens_is_gone);
	tcase_add_loop_test(t, the_filters_take_what_they_should, 0, (int)ARRAY_SIZE(filters));
	tcase_add_loop_test(t, a_descriptor_says_what_was_checked, 0, (int)ARRAY_SIZE(csums));
	tcase_add_test(t, nothing_is_checked_unasked);
	tcase_add_test(t, a_tag_is_taken_out_when_the_card_has_them);
	tcase_add_test(t, an_oversized_frame_is_dropped_unless_asked_for);
	tcase_add_test(t, a_frame_larger_than_the_ring_is_dropped);
	tcase_add_test(t, a_receive_buffer_outside_memory_loses_the_frame_alone);
	tcase_add_test(t, an_open_checksum_is_completed);
	tcase_add_test(t, config_space_is_an_82540em);
	tcase_add_test(t, a_software_reset_puts_registers_back);
	tcase_add_test(t, a_reboot_puts_the_whole_card_back);
	tcase_add_test(t, registers_are_dwords);
	tcase_add_test(t, the_io_window_reaches_the_same_registers);
	tcase_add_test(t, the_eeprom_reads_the_same_both_ways);
	tcase_add_test(t, the_eeprom_is_write_protected);
	tcase_add_test(t, the_phy_follows_the_link);
	tcase_add_test(t, the_phy_refuses_what_is_not_its_own);
	tcase_add_test(t, the_pin_is_high_until_icr_is_read);
	tcase_add_test(t, intx_disable_holds_the_pin_down);
	tcase_add_test(t, the_throttle_puts_interrupts_off_and_loses_none);
	tcase_add_test(t, a_received_frame_interrupts);
	tcase_add_loop_test(
		t, what_cannot_be_is_refused_and_the_back_end_goes, 0, (int)ARRAY_SIZE(refusals));
	tcase_add_loop_test(t, garbage_in_every_register_harms_nobody, 0, 4);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
