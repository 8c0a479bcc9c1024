// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The e1000 under a guest that writes anything to any register, and anything into its rings and
 * buffers, while frames come in and the card's thread runs. What goes out must be a frame with a
 * header that is sound, and a reset must give a card that works. Input: operations of 8 bytes.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/bytes.h"
#include "devices/e1000_internal.h"
#include "devices/net_rings.h"
#include "tests/fakes/irq_recorder.h"
#include "tests/fuzz/fuzz_check.h"

#define MEM  0x40000u
#define WIN  0xc0000000ull
#define RING 0x1000u /* of transmit; of receive: the page behind it */

struct wire {
	struct net_backend be;
	int fd;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	unsigned int asked, sent, waiting;
	uint8_t fill;
	size_t len;
};

static int wire_send(void *ctx, unsigned int pair, const struct virtio_net_hdr_v1 *hdr,
	const struct iovec *iov, unsigned int n)
{
	struct wire *w = ctx;

	CHECK(n == 1 && net_hdr_ok(hdr, w->be.features, iov->iov_len, true));
	CHECK(hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE ||
		(le16toh(hdr->hdr_len) < iov->iov_len && le16toh(hdr->gso_size)));
	pthread_mutex_lock(&w->lock);
	w->sent++;
	pthread_cond_signal(&w->moved);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

static ssize_t wire_recv(void *ctx, unsigned int pair, void *buf, size_t len)
{
	struct wire *w = ctx;
	ssize_t got = -EAGAIN;

	pthread_mutex_lock(&w->lock);
	w->asked++;
	if (w->waiting) {
		w->waiting--;
		CHECK(len >= NET_HDR_LEN + w->len);
		memset(buf, 0, NET_HDR_LEN);
		memset((uint8_t *)buf + NET_HDR_LEN, w->fill, w->len);
		got = (ssize_t)(NET_HDR_LEN + w->len);
	}
	pthread_cond_signal(&w->moved);
	pthread_mutex_unlock(&w->lock);
	return got;
}

static int wire_poll_fd(void *ctx, unsigned int pair)
{
	return ((struct wire *)ctx)->fd;
}

static const struct net_port_ops wire_port = {
	.send = wire_send,
	.recv = wire_recv,
	.poll_fd = wire_poll_fd,
};

static void wire_attach(struct net_backend *be, const struct net_events *ev)
{
	ev->link(ev->ctx, true);
}

static void wire_destroy(struct net_backend *be)
{
}

static const struct net_backend_ops wire_ops = {.attach = wire_attach, .destroy = wire_destroy};

/* Have the thread take a turn: it asks for frames, unless it holds one (then not for long). */
static void turn(struct wire *w, unsigned int ms)
{
	struct timespec until;
	unsigned int before;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += ms * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&w->lock);
	before = w->asked;
	CHECK(eventfd_write(w->fd, 1) == 0);
	while (w->asked == before && pthread_cond_timedwait(&w->moved, &w->lock, &until) == 0)
		;
	pthread_mutex_unlock(&w->lock);
}

static void one(struct bus *mmio, uint64_t bar, struct gmem *mem, struct wire *w, const uint8_t *op)
{
	uint32_t off = (uint32_t)le_load(op + 1, 2) % (R_END + 8) & ~3u,
		 val = (uint32_t)le_load(op + 4, 4);
	/* Where a driver writes most, so that something happens. */
	static const uint16_t often[] = {R_TDT, R_RDT, R_TDH, R_TDLEN, R_RDLEN, R_TCTL, R_RCTL,
		R_CTRL, R_RXCSUM, R_RDH, R_ICS, R_IMS, R_ITR, R_EECD, R_EERD, R_MDIC};

	switch (op[0] % 8) {
	case 0: bus_write(mmio, bar + off, 4, val); break;
	case 1: bus_write(mmio, bar + often[op[1] % 16], 4, val); break;
	case 2: bus_write(mmio, bar + often[op[1] % 16], 4, val & 7); break;
	case 3: (void)bus_read(mmio, bar + off, 4); break;
	case 4: CHECK(gmem_write(mem, RING + op[1] % 64 * 8u, op + 2, 6) == 0); break;
	case 5: CHECK(gmem_write(mem, RING + op[1] % 64 * 8u + op[2] % 8, op + 4, 4) == 0); break;
	case 6:
		pthread_mutex_lock(&w->lock);
		w->waiting += op[3] % 4;
		w->fill = op[1];
		w->len = le_load(op + 4, 2) % 20000;
		pthread_mutex_unlock(&w->lock);
		break;
	default:
		if (op[1] % 4 == 0)
			turn(w, 1);
		break;
	}
}

/* A driver's start after a reset: one frame goes out. */
static void must_work(struct bus *mmio, uint64_t bar, struct gmem *mem, struct wire *w)
{
	uint8_t desc[16] = {0};
	unsigned int before;
	struct timespec until;

	bus_write(mmio, bar + R_CTRL, 4, CTRL_RST);
	/* What was ready to go when the reset came goes. */
	turn(w, 1);
	CHECK(bus_read(mmio, bar + R_TDT, 4) == 0 && bus_read(mmio, bar + R_STATUS, 4) == 0x83);
	le_store(desc + 8, 4, 60 | 1u << 24);
	CHECK(gmem_write(mem, RING, desc, 16) == 0);
	pthread_mutex_lock(&w->lock);
	before = w->sent;
	pthread_mutex_unlock(&w->lock);
	bus_write(mmio, bar + R_TDBAL, 4, RING);
	bus_write(mmio, bar + R_TDLEN, 4, 128);
	bus_write(mmio, bar + R_TCTL, 4, TCTL_EN);
	bus_write(mmio, bar + R_TDT, 4, 1);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&w->lock);
	while (w->sent == before)
		CHECK(pthread_cond_timedwait(&w->moved, &w->lock, &until) == 0);
	pthread_mutex_unlock(&w->lock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3};
	const struct gmem_config mc = {.size = MEM};
	struct wire w = {
		.be = {.ops = &wire_ops, .name = "wire", .max_pairs = 1, .port = &wire_port},
		.fd = eventfd(0, EFD_NONBLOCK),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.moved = PTHREAD_COND_INITIALIZER,
	};
	struct pci_root_config rc = {
		.mmio32 = {WIN, WIN + 0x10000000},
		.mmio64 = {0x800000000, 0x900000000},
		.pio_window = {0xc000, 0x10000},
	};
	struct irq_recorder rec;
	struct irq_backend be;
	struct irq_router *router;
	struct irq_lines *lines;
	struct ioapic *io;
	struct pci_root *root;
	struct e1000_host host;
	struct gmem *mem;
	struct e1000 *n;
	uint64_t bar;

	log_level_set(LOG_LEVEL_ERROR);
	w.be.port_ctx = &w;
	w.be.features = 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
			1ull << VIRTIO_NET_F_HOST_TSO6;
	irq_recorder_init(&rec);
	be = irq_recorder_backend(&rec);
	CHECK(gmem_create(&mc, NULL, &mem) == 0 && bus_create("mmio", NULL, &rc.mmio) == 0 &&
		bus_create("pio", NULL, &rc.pio) == 0);
	CHECK(irq_router_create(&be, 64, NULL, &router) == 0 &&
		ioapic_create(router, 0xf0f8, NULL, &io) == 0 &&
		irq_lines_create(io, NULL, &lines) == 0 && pci_root_create(&rc, NULL, &root) == 0);
	host = (struct e1000_host){.pci = root, .mem = mem, .lines = lines};
	CHECK(e1000_create(&host, mac, &w.be, NULL, &n) == 0);
	CHECK(pci_root_place(root, NULL) == 0);
	pci_cfg_write(root, 0, e1000_devfn(n), 4, 2, 7);
	bar = pci_bar_addr(&n->pci, 0);
	bus_write(rc.mmio, bar + R_TDBAL, 4, RING);
	bus_write(rc.mmio, bar + R_TDLEN, 4, 256);
	bus_write(rc.mmio, bar + R_RDBAL, 4, RING + 256);
	bus_write(rc.mmio, bar + R_RDLEN, 4, 256);
	bus_write(rc.mmio, bar + R_TCTL, 4, TCTL_EN);
	bus_write(rc.mmio, bar + R_RCTL, 4, RCTL_EN | RCTL_UPE | RCTL_MPE | RCTL_LPE);
	for (size_t i = 0; i + 8 <= size; i += 8)
		one(rc.mmio, bar, mem, &w, data + i);
	turn(&w, 1);
	must_work(rc.mmio, bar, mem, &w);

	pci_root_destroy(root);
	irq_lines_destroy(lines);
	ioapic_destroy(io);
	irq_router_destroy(router);
	bus_destroy(rc.pio);
	bus_destroy(rc.mmio);
	gmem_destroy(mem);
	irq_recorder_finish(&rec);
	close(w.fd);
	return 0;
}
