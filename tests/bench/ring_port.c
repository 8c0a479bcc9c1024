// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/bench/ring_port.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/memfd.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#define BIT(n)   (UINT64_C(1) << (n))
#define FEATURES (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF))
#define MASK     (PORT_RING - 1)
#define HEADER   ((uint32_t)sizeof(struct virtio_net_hdr_v1))

/*
 * A frame begins at a cache line, its header right before it, as in DPDK's driver. An odd number of lines
 * from one to the next: the first lines of all of them do not share a few sets of the caches.
 */
#define HEADROOM    64u
#define BUFFER      (HEADROOM + 2048u)
#define RING_MEMORY (64u << 10) /* of one ring: 16 KiB descriptors, 2 KiB available, 8 KiB used */
#define HUGE_PAGE   (UINT64_C(2) << 20)

static_assert(BUFFER / 64 % 2 == 1, "an odd number of lines");

static void __attribute__((noreturn, cold, format(printf, 1, 2))) give_up(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("switch-ring-guest: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static void desc_write(struct vring_desc *d, uint32_t buffer, uint32_t len, uint16_t flags)
{
	uint64_t rest = len | (uint64_t)flags << 32; /* and no next one */

	d->addr = buffer + HEADROOM - HEADER;
	memcpy(&d->len, &rest, sizeof(rest));
}

/* What the switch may fill: all of a buffer from its header on. */
static void buffer_post(struct port_ring *rx, uint32_t id)
{
	desc_write(&rx->desc[id], rx->buffer[id], BUFFER - HEADROOM + HEADER, VRING_DESC_F_WRITE);
	rx->avail->ring[rx->next_avail++ & MASK] = (uint16_t)id;
}

/* Let the switch see what was made available in both rings; notify it where it wants that. */
static void port_publish(struct ring_port *p)
{
	struct port_ring *const rings[] = {&p->tx, &p->rx};

	for (unsigned int i = 0; i < 2; i++)
		__atomic_store_n(&rings[i]->avail->idx, rings[i]->next_avail, __ATOMIC_RELEASE);
	/* 2.7.13.4: it goes to sleep by clearing its flag and then looking at our index. */
	atomic_thread_fence(memory_order_seq_cst);
	for (unsigned int i = 0; i < 2; i++) {
		if (__atomic_load_n(&rings[i]->used->flags, __ATOMIC_RELAXED) &
			VRING_USED_F_NO_NOTIFY)
			continue;
		p->kicks++;
		if (eventfd_write(rings[i]->kick, 1) < 0 && errno != EAGAIN)
			give_up("notify the switch: %s", strerror(errno));
	}
}

unsigned int port_receive(struct ring_port *p, struct port_frame *f)
{
	struct port_ring *rx = &p->rx;
	uint16_t n = (uint16_t)(__atomic_load_n(&rx->used->idx, __ATOMIC_ACQUIRE) - rx->next_used);

	if (n > PORT_BURST)
		n = PORT_BURST;
	for (unsigned int i = 0; i < n; i++) {
		struct vring_used_elem e = rx->used->ring[rx->next_used++ & MASK];

		if (e.id > MASK || e.len < HEADER || e.len > BUFFER - HEADROOM + HEADER)
			give_up("the switch used descriptor %u for %u bytes", e.id, e.len);
		f[i] = (struct port_frame){
			.data = p->memory + rx->buffer[e.id] + HEADROOM,
			.len = e.len - HEADER,
			.id = e.id,
		};
		__builtin_prefetch(f[i].data - HEADER, 1);
		__builtin_prefetch(f[i].data, 1);
	}
	return n;
}

void port_discard(struct ring_port *p, const struct port_frame *f, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		buffer_post(&p->rx, f[i].id);
	if (n)
		port_publish(p);
}

/*
 * A descriptor to send by. The used ring is the list of the free ones; before the first lap the driver
 * wrote it. Read when its entries were used, so seldom that a line of it is moved once.
 */
static inline uint32_t tx_id(struct ring_port *p)
{
	struct port_ring *tx = &p->tx;
	uint32_t id;

	while (tx->next_used == p->tx_used) {
		p->tx_used = __atomic_load_n(&tx->used->idx, __ATOMIC_ACQUIRE);
		__builtin_ia32_pause();
	}
	id = tx->used->ring[tx->next_used++ & MASK].id;
	if (id > MASK)
		give_up("the switch used descriptor %u to send", id);
	return id;
}

static inline void tx_post(struct ring_port *p, uint32_t id, uint32_t len)
{
	struct port_ring *tx = &p->tx;

	memset(p->memory + tx->buffer[id] + HEADROOM - HEADER, 0, HEADER);
	desc_write(&tx->desc[id], tx->buffer[id], len + HEADER, 0);
	tx->avail->ring[tx->next_avail++ & MASK] = (uint16_t)id;
}

void port_send_back(struct ring_port *p, const struct port_frame *f, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct virtio_net_hdr_v1 *h = (void *)(f[i].data - HEADER);
		uint32_t id = tx_id(p), sent = p->tx.buffer[id];

		if (h->num_buffers != 1)
			give_up("a frame in %u buffers that fits into one", h->num_buffers);
		p->tx.buffer[id] = p->rx.buffer[f[i].id];
		tx_post(p, id, f[i].len);
		p->rx.buffer[f[i].id] = sent;
		buffer_post(&p->rx, f[i].id);
	}
	port_publish(p);
}

struct port_frame port_frame_new(struct ring_port *p)
{
	uint32_t id = tx_id(p);

	return (struct port_frame){.data = p->memory + p->tx.buffer[id] + HEADROOM, .id = id};
}

void port_frame_send(struct ring_port *p, const struct port_frame *f)
{
	tx_post(p, f->id, f->len);
	port_publish(p);
}

static void ring_make(struct port_ring *r, uint8_t *memory, uint32_t buffers)
{
	*r = (struct port_ring){
		.desc = (void *)memory,
		.avail = (void *)(memory + sizeof(struct vring_desc) * PORT_RING),
		.used = (void *)(memory + RING_MEMORY / 2),
		.kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
	};
	if (r->kick < 0)
		give_up("make an eventfd: %s", strerror(errno));
	r->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	for (uint32_t i = 0; i < PORT_RING; i++)
		r->buffer[i] = buffers + i * BUFFER;
}

void port_open(struct ring_port *p, const char *path, bool huge)
{
	uint64_t size = 2 * RING_MEMORY + 2 * PORT_RING * BUFFER;
	struct err e = {0};

	*p = (struct ring_port){.memory_size = (size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1)};
	p->memory_fd = memfd_create("guest", MFD_CLOEXEC | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
	if (p->memory_fd < 0 || ftruncate(p->memory_fd, (off_t)p->memory_size) < 0)
		give_up("make memory of %llu bytes: %s", (unsigned long long)p->memory_size,
			strerror(errno));
	p->memory = mmap(NULL, p->memory_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		p->memory_fd, 0);
	if (p->memory == MAP_FAILED)
		give_up("map memory of %llu bytes: %s%s", (unsigned long long)p->memory_size,
			strerror(errno), huge ? ": are there 2 MiB pages to be had?" : "");
	ring_make(&p->rx, p->memory, 2 * RING_MEMORY);
	ring_make(&p->tx, p->memory + RING_MEMORY, 2 * RING_MEMORY + PORT_RING * BUFFER);
	for (uint32_t i = 0; i < PORT_RING; i++) {
		buffer_post(&p->rx, i);
		p->tx.used->ring[i].id = i;
	}
	p->rx.avail->idx = p->rx.next_avail;
	p->tx.next_used = (uint16_t)-PORT_RING;
	if (vu_socket_init(&p->socket, path, false, &e) < 0)
		give_up("%s", e.text);
}

static struct net_ring ring_of(const struct port_ring *r, unsigned int index)
{
	return (struct net_ring){
		.index = index,
		.size = PORT_RING,
		.desc = (uintptr_t)r->desc,
		.avail = (uintptr_t)r->avail,
		.used = (uintptr_t)r->used,
		.kick_fd = r->kick,
	};
}

bool port_connect(struct ring_port *p)
{
	struct vu_inflight_region inflight = {.fd = -1};
	struct vu_plan plan = {
		.features = FEATURES,
		.mem = {.regions = 1,
			.region = {{.size = p->memory_size, .user = (uintptr_t)p->memory}}},
		.mem_fd = {p->memory_fd},
		.n = 2,
		.pairs = 1,
		.ring = {ring_of(&p->rx, 0), ring_of(&p->tx, 1)},
		.call = {-1, -1},
		.err = {-1, -1},
	};
	int sock = p->connected ? -EALREADY : vu_socket_peer(&p->socket);
	struct err e = {0};

	if (sock < 0)
		return p->connected;
	if (vu_session_open(&p->session, &sock, 20000, 1, 0, &e) < 0)
		give_up("%s", e.text);
	/* Only viaduct has it: a guest that does not ask for it is the same to all. */
	p->session.protocol &= ~BIT(VU_PF_INFLIGHT_SHMFD);
	if (vu_session_start(&p->session, &plan, &inflight, &e) < 0)
		give_up("%s", e.text);
	p->connected = true;
	return true;
}
