// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The whole device as a driver sees it: config space, BAR, rings, interrupts; frames go out and
 * come back through the loop. KVM's parts are recorded.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "devices/virtio.h"
#include "tests/fakes/irq_recorder.h"

#define MEM    0x400000u
#define WIN    0xc0000000ull
#define PAIRS  2u
#define QUEUES (PAIRS * 2 + 1)
#define SIZE   16u
#define BIT(n) (1ull << (n))

enum { Q_DESC = 0x10000, Q_AVAIL = 0x20000, Q_USED = 0x30000, Q_STEP = 0x1000, BUFS = 0x100000 };
enum { TABLES = 0x40000 };

static struct gmem *mem;
static struct bus *mmio, *pio;
static struct irq_recorder rec;
static struct irq_router *router;
static struct vtd *vtd;
static struct pci_root *root;
static struct vnet *net;
static uint64_t bar;
static unsigned int common, notify_off, isr, config, notify_mult;

/* Doorbells KVM would have. */
static struct kvm_ioeventfd bell[32];
static unsigned int bells, bell_fail;

static int bell_set(void *ctx, const struct kvm_ioeventfd *io)
{
	if (io->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) {
		for (unsigned int i = 0; i < bells; i++) {
			if (bell[i].addr == io->addr && bell[i].fd == io->fd) {
				bell[i] = bell[--bells];
				return 0;
			}
		}
		return -ENOENT;
	}
	if (bell_fail)
		return -ENOSPC;
	for (unsigned int i = 0; i < bells; i++)
		ck_assert_uint_ne(bell[i].addr, io->addr);
	bell[bells++] = *io;
	return 0;
}

/* What a vCPU's write does: KVM first, then us. */
static void guest_write(uint64_t addr, unsigned int len, uint64_t val)
{
	for (unsigned int i = 0; i < bells; i++) {
		if (bell[i].addr == addr && (!bell[i].len || bell[i].len == len)) {
			eventfd_write(bell[i].fd, 1);
			return;
		}
	}
	bus_write(mmio, addr, len, val);
}

static uint64_t guest_read(uint64_t addr, unsigned int len)
{
	return bus_read(mmio, addr, len);
}

static uint8_t devfn(void)
{
	return vnet_devfn(net);
}

static void find_caps(void)
{
	unsigned int cap = pci_cfg_read(root, 0, devfn(), 0x34, 1);

	for (unsigned int i = 0; cap && i < 32; i++) {
		unsigned int type = pci_cfg_read(root, 0, devfn(), cap + 3, 1);
		unsigned int off = pci_cfg_read(root, 0, devfn(), cap + 8, 4);

		if (pci_cfg_read(root, 0, devfn(), cap, 1) == 0x09) {
			switch (type) {
			case VIRTIO_PCI_CAP_COMMON_CFG: common = off; break;
			case VIRTIO_PCI_CAP_ISR_CFG: isr = off; break;
			case VIRTIO_PCI_CAP_DEVICE_CFG: config = off; break;
			case VIRTIO_PCI_CAP_NOTIFY_CFG:
				notify_off = off;
				notify_mult = pci_cfg_read(root, 0, devfn(), cap + 16, 4);
				break;
			default: break;
			}
		}
		cap = pci_cfg_read(root, 0, devfn(), cap + 1, 1);
	}
}

static void find_function(void)
{
	find_caps();
	bar = (pci_cfg_read(root, 0, devfn(), 0x10, 4) & ~0xfu) |
	      (uint64_t)pci_cfg_read(root, 0, devfn(), 0x14, 4) << 32;
}

/* A loop that can be told of offloads. */
#define RX_OFFLOADS \
	(BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6))

static struct net_backend_ops loop_ops;
static uint64_t offloads;
static int offloads_fail;

static int offloads_set(struct net_backend *be, uint64_t to)
{
	if (offloads_fail)
		return offloads_fail;
	offloads = to;
	return 0;
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
	struct vnet_host host = {.bell = {.set = bell_set, .any_length = true}};
	struct vnet_config cfg = {.mac = {0x52, 0x54, 0, 1, 2, 3}, .mtu = 1400, .pairs = PAIRS};
	struct irq_backend be;
	struct net_backend *loop;
	struct err e = {0};

	bells = bell_fail = 0;
	irq_recorder_init(&rec);
	be = irq_recorder_backend(&rec);
	ck_assert_int_eq(gmem_create(&mc, &e, &mem), 0);
	ck_assert_int_eq(bus_create("mmio", &e, &mmio), 0);
	ck_assert_int_eq(bus_create("pio", &e, &pio), 0);
	ck_assert_int_eq(irq_router_create(&be, 256, &e, &router), 0);
	rc.mmio = mmio;
	rc.pio = pio;
	ck_assert_int_eq(vtd_create(router, &tables, &e, &vtd), 0);
	vtd_dma_offer(vtd);
	rc.vtd = vtd;
	ck_assert_int_eq(pci_root_create(&rc, &e, &root), 0);
	host.pci = root;
	host.mem = mem;
	host.irq = router;
	ck_assert_int_eq(net_loop_create(PAIRS, mem, &e, &loop), 0);
	loop_ops = *loop->ops;
	loop_ops.set_offloads = offloads_set;
	loop->ops = &loop_ops;
	loop->features |= RX_OFFLOADS;
	offloads = offloads_fail = 0;
	ck_assert_msg(vnet_create(&host, &cfg, loop, &e, &net) == 0, "%s", e.text);
	ck_assert_int_eq(pci_root_place(root, &e), 0);
	find_function();
}

static void teardown(void)
{
	pci_root_destroy(root);
	ck_assert_uint_eq(bells, 0);
	vtd_destroy(vtd);
	irq_router_destroy(router);
	bus_destroy(pio);
	bus_destroy(mmio);
	gmem_destroy(mem);
	ck_assert_uint_eq(rec.n_attached, 0);
	irq_recorder_finish(&rec);
}

/* ---- a driver ---- */

#define C(field) (common + offsetof(struct virtio_pci_common_cfg, field))

static uint64_t rd(unsigned int off, unsigned int len)
{
	return guest_read(bar + off, len);
}

static void wr(unsigned int off, unsigned int len, uint64_t val)
{
	guest_write(bar + off, len, val);
}

static uint64_t features(void)
{
	uint64_t f;

	wr(C(device_feature_select), 4, 0);
	f = rd(C(device_feature), 4);
	wr(C(device_feature_select), 4, 1);
	return f | rd(C(device_feature), 4) << 32;
}

static bool negotiate(uint64_t want)
{
	wr(C(device_status), 1, 0);
	wr(C(device_status), 1, 1);
	wr(C(device_status), 1, 3);
	wr(C(guest_feature_select), 4, 0);
	wr(C(guest_feature), 4, (uint32_t)want);
	wr(C(guest_feature_select), 4, 1);
	wr(C(guest_feature), 4, want >> 32);
	wr(C(device_status), 1, 0xb);
	return rd(C(device_status), 1) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static uint16_t last_used[QUEUES];

static void queue_place(unsigned int q, uint64_t desc)
{
	memset(gmem_hva(mem, Q_DESC + q * Q_STEP, Q_STEP), 0, Q_STEP);
	memset(gmem_hva(mem, Q_AVAIL + q * Q_STEP, Q_STEP), 0, Q_STEP);
	memset(gmem_hva(mem, Q_USED + q * Q_STEP, Q_STEP), 0, Q_STEP);
	last_used[q] = 0;
	wr(C(queue_select), 2, q);
	wr(C(queue_size), 2, SIZE);
	wr(C(queue_desc_lo), 4, (uint32_t)desc);
	wr(C(queue_desc_hi), 4, desc >> 32);
	wr(C(queue_avail_lo), 4, Q_AVAIL + q * Q_STEP);
	wr(C(queue_avail_hi), 4, 0);
	wr(C(queue_used_lo), 4, Q_USED + q * Q_STEP);
	wr(C(queue_used_hi), 4, 0);
	wr(C(queue_msix_vector), 2, q + 1);
	wr(C(queue_enable), 2, 1);
}

/* MSI-X on, entry k delivers vector 0x40 + k. */
static void msix_on(void)
{
	unsigned int cap = pci_cfg_read(root, 0, devfn(), 0x34, 1);

	while (pci_cfg_read(root, 0, devfn(), cap, 1) != 0x11)
		cap = pci_cfg_read(root, 0, devfn(), cap + 1, 1);
	for (unsigned int k = 0; k <= QUEUES; k++) {
		uint64_t at = bar + (pci_cfg_read(root, 0, devfn(), cap + 4, 4) & ~7u) + k * 16;

		bus_write(mmio, at, 4, 0xfee00000);
		bus_write(mmio, at + 8, 4, 0x40 + k);
		bus_write(mmio, at + 12, 4, 0);
	}
	pci_cfg_write(root, 0, devfn(), cap + 2, 2, 0x8000);
	wr(C(msix_config), 2, 0);
}

static void start(uint64_t want)
{
	ck_assert(negotiate(want | BIT(VIRTIO_F_VERSION_1)));
	msix_on();
	for (unsigned int q = 0; q < QUEUES; q++)
		queue_place(q, Q_DESC + q * Q_STEP);
	wr(C(device_status), 1, 0xf);
}

static void kick(unsigned int q)
{
	wr(C(queue_select), 2, q);
	wr(notify_off + (unsigned int)rd(C(queue_notify_off), 2) * notify_mult, 2, q);
}

/* Offer a chain of descriptors @first.. of the queue; flags and buffers are set by the caller. */
static struct vring_desc *desc_of(unsigned int q)
{
	return gmem_hva(mem, Q_DESC + q * Q_STEP, Q_STEP);
}

static void offer(unsigned int q, uint16_t head)
{
	struct vring_avail *a = gmem_hva(mem, Q_AVAIL + q * Q_STEP, Q_STEP);

	a->ring[a->idx % SIZE] = head;
	__atomic_store_n(&a->idx, (uint16_t)(a->idx + 1), __ATOMIC_RELEASE);
}

static bool wait_used(unsigned int q, struct vring_used_elem *ret)
{
	struct vring_used *u = gmem_hva(mem, Q_USED + q * Q_STEP, Q_STEP);

	for (unsigned int i = 0; i < 20000; i++) {
		if (__atomic_load_n(&u->idx, __ATOMIC_ACQUIRE) != last_used[q]) {
			if (ret)
				*ret = u->ring[last_used[q] % SIZE];
			last_used[q]++;
			return true;
		}
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}

static bool wait_msg(unsigned int vector)
{
	for (unsigned int i = 0; i < 20000; i++) {
		irq_recorder_run(&rec);
		for (unsigned int k = 0; k < rec.n_msi; k++) {
			if (rec.msi[k].data == vector)
				return true;
		}
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}

static bool wait_status(uint8_t bit)
{
	for (unsigned int i = 0; i < 20000; i++) {
		if (rd(C(device_status), 1) & bit)
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}

/* Post @n receive buffers of @len on queue @q. */
static void rx_post(unsigned int q, unsigned int n, uint32_t len)
{
	for (unsigned int i = 0; i < n; i++) {
		desc_of(q)[i] = (struct vring_desc){
			BUFS + q * 0x40000 + i * 0x4000, len, VRING_DESC_F_WRITE, 0};
		offer(q, (uint16_t)i);
	}
}

static void tx_frame(unsigned int q, size_t len)
{
	uint8_t *b = gmem_hva(mem, BUFS + q * 0x40000, 12 + len);

	memset(b, 0, 12);
	for (size_t i = 0; i < len; i++)
		b[12 + i] = (uint8_t)(i * 7 + q);
	b[12] &= 0xfe;
	desc_of(q)[0] = (struct vring_desc){BUFS + q * 0x40000, (uint32_t)(12 + len), 0, 0};
	offer(q, 0);
	kick(q);
}

/* Send a command; the answer, or -1 when there was none. */
static int command(unsigned int q, uint8_t class, uint8_t cmd, const void *data, uint32_t len)
{
	uint8_t head[2] = {class, cmd}, *ack = gmem_hva(mem, BUFS + q * 0x40000 + 0x3000, 1);

	*ack = 0xee;
	gmem_write(mem, BUFS + q * 0x40000, head, 2);
	gmem_write(mem, BUFS + q * 0x40000 + 0x100, data, len);
	desc_of(q)[0] = (struct vring_desc){BUFS + q * 0x40000, 2, VRING_DESC_F_NEXT, 1};
	desc_of(q)[1] = (struct vring_desc){BUFS + q * 0x40000 + 0x100, len, VRING_DESC_F_NEXT, 2};
	desc_of(q)[2] = (struct vring_desc){BUFS + q * 0x40000 + 0x3000, 1, VRING_DESC_F_WRITE, 0};
	offer(q, 0);
	kick(q);
	return *ack == 0xee ? -1 : *ack;
}

static struct vnet_stats stats(void)
{
	struct vnet_stats s;

	vnet_stats(net, &s);
	return s;
}

/* ---- tests ---- */

START_TEST(it_is_a_modern_virtio_net_function)
{
	uint64_t f = features();

	ck_assert_uint_eq(pci_cfg_read(root, 0, devfn(), 0, 4), 0x10411af4);
	ck_assert_uint_eq(pci_cfg_read(root, 0, devfn(), 8, 4), 0x02000001);
	ck_assert(f & BIT(VIRTIO_F_VERSION_1) && f & BIT(VIRTIO_NET_F_MAC) &&
		  f & BIT(VIRTIO_NET_F_MTU) && f & BIT(VIRTIO_NET_F_MQ));
	ck_assert_uint_eq(rd(C(num_queues), 2), QUEUES);
	ck_assert_uint_eq(rd(config, 4), 0x01005452);
	ck_assert_uint_eq(rd(config + 6, 2), VIRTIO_NET_S_LINK_UP);
	ck_assert_uint_eq(rd(config + 8, 2), PAIRS);
	ck_assert_uint_eq(rd(config + 10, 2), 1400);
	ck_assert_uint_eq(rd(config + 12, 4), 0);
}
END_TEST

/* §4.1.4.9: firmware reaches the BAR through config space. */
START_TEST(the_window_in_config_space_reaches_the_registers)
{
	unsigned int cap = pci_cfg_read(root, 0, devfn(), 0x34, 1);

	while (pci_cfg_read(root, 0, devfn(), cap, 1) != 0x09 ||
		pci_cfg_read(root, 0, devfn(), cap + 3, 1) != VIRTIO_PCI_CAP_PCI_CFG)
		cap = pci_cfg_read(root, 0, devfn(), cap + 1, 1);
	pci_cfg_write(root, 0, devfn(), cap + 8, 4, (uint32_t)C(num_queues));
	pci_cfg_write(root, 0, devfn(), cap + 12, 4, 2);
	ck_assert_uint_eq(pci_cfg_read(root, 0, devfn(), cap + 16, 2), QUEUES);
	pci_cfg_write(root, 0, devfn(), cap + 8, 4, (uint32_t)C(device_status));
	pci_cfg_write(root, 0, devfn(), cap + 12, 4, 1);
	pci_cfg_write(root, 0, devfn(), cap + 16, 1, 1);
	ck_assert_uint_eq(rd(C(device_status), 1), 1);
	pci_cfg_write(root, 0, devfn(), cap + 4, 1, 3); /* no such BAR */
	ck_assert_uint_eq(pci_cfg_read(root, 0, devfn(), cap + 16, 4), UINT32_MAX);
	pci_cfg_write(root, 0, devfn(), cap + 4, 1, 0);
	pci_cfg_write(root, 0, devfn(), cap + 8, 4, 0xfffffffc);
	ck_assert_uint_eq(pci_cfg_read(root, 0, devfn(), cap + 16, 4), UINT32_MAX);
}
END_TEST

static const struct {
	uint64_t f;
	bool want;
} sets[] = {
	{BIT(VIRTIO_F_VERSION_1), true}, {0, false},
	{BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_GUEST_TSO4), false},
	{BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_CSUM),
		true},
	{BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_HOST_TSO6), false},
	{BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MQ), false},
	{BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_CTRL_VQ), true},
	{BIT(VIRTIO_F_VERSION_1) | BIT(50), false}, /* not offered */
};

START_TEST(only_sets_of_features_that_go_together_are_accepted)
{
	ck_assert_int_eq(negotiate(sets[_i].f), sets[_i].want);
	/* DRIVER_OK without FEATURES_OK starts nothing. */
	wr(C(device_status), 1, 0xf);
	ck_assert_int_eq(!!(rd(C(device_status), 1) & 4), sets[_i].want);
	wr(C(device_status), 1, 0);
	ck_assert_uint_eq(rd(C(device_status), 1), 0);
}
END_TEST

static void bare_destroy(struct net_backend *be)
{
	free(be);
}

static void bare_attach(struct net_backend *be, const struct net_events *ev)
{
}

static void bare_stop(struct net_backend *be, uint16_t *ret_last_avail)
{
}

static const struct net_backend_ops bare_ops = {
	.attach = bare_attach, .stop = bare_stop, .destroy = bare_destroy};

static const struct {
	uint64_t has, offered; /* of the offloads */
} back_ends[] = {
	{BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_CSUM), BIT(VIRTIO_NET_F_CSUM)},
	{BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_UFO), 0},
	{BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN), 0},
	{BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN),
		BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO6) |
			BIT(VIRTIO_NET_F_GUEST_ECN)},
};

/* DPDK's net_vhost has HOST_ECN without TSO. Linux takes whatever it is offered. */
START_TEST(what_a_back_end_has_alone_is_not_offered)
{
	const struct vnet_config cfg = {.mac = {2}, .pairs = 1};
	struct vnet_host host = {.pci = root, .mem = mem, .irq = router, .bell = {.set = bell_set}};
	struct net_backend *be = calloc(1, sizeof(*be));
	struct err e = {0};

	ck_assert_ptr_nonnull(be);
	*be = (struct net_backend){
		.ops = &bare_ops, .name = "bare", .features = back_ends[_i].has, .max_pairs = 1};
	ck_assert_msg(vnet_create(&host, &cfg, be, &e, &net) == 0, "%s", e.text);
	pci_root_reset(root);
	ck_assert_int_eq(pci_root_place(root, &e), 0);
	find_function();
	ck_assert_uint_eq(features() & 0x7f83, back_ends[_i].offered); /* the offloads */
	ck_assert(negotiate(features()));
}
END_TEST

START_TEST(a_frame_goes_out_and_comes_back_with_an_interrupt)
{
	struct vring_used_elem el;

	start(0);
	ck_assert_uint_eq(bells, 2); /* the pair in use without MQ; the control queue traps */
	rx_post(0, 2, 2048);
	tx_frame(1, 200);
	ck_assert(wait_used(1, NULL));
	ck_assert(wait_used(0, &el));
	ck_assert_uint_eq(el.len, 212);
	ck_assert_mem_eq(
		gmem_hva(mem, BUFS + 12, 200), gmem_hva(mem, BUFS + 0x40000 + 12, 200), 200);
	ck_assert_uint_eq(*(uint16_t *)gmem_hva(mem, BUFS + 10, 2), 1); /* num_buffers */
	ck_assert(wait_msg(0x41));
	ck_assert(wait_msg(0x42));
	ck_assert_uint_eq(stats().trapped_kicks, 0);
	ck_assert_uint_eq(stats().data.tx_packets, 1);
	ck_assert_uint_eq(stats().data.rx_packets, 1);
}
END_TEST

/* Without room a frame waits; a doorbell for the receive ring brings it. */
START_TEST(a_frame_waits_for_receive_buffers)
{
	start(0);
	tx_frame(1, 100);
	ck_assert(wait_used(1, NULL));
	rx_post(0, 1, 2048);
	kick(0);
	ck_assert(wait_used(0, NULL));
}
END_TEST

START_TEST(a_long_frame_is_spread_over_merged_buffers)
{
	struct vring_used_elem el;
	uint32_t got = 0;

	start(BIT(VIRTIO_NET_F_MRG_RXBUF));
	rx_post(0, 10, 1000);
	tx_frame(1, 4000);
	for (unsigned int i = 0; i < 5; i++) {
		ck_assert(wait_used(0, &el));
		ck_assert_uint_eq(el.id, i);
		got += el.len;
	}
	ck_assert_uint_eq(got, 4012);
	ck_assert_uint_eq(*(uint16_t *)gmem_hva(mem, BUFS + 10, 2), 5);
	/* Without the feature the frame does not fit and is dropped, the buffer is kept. */
	start(0);
	rx_post(0, 2, 1000);
	tx_frame(1, 4000);
	ck_assert(wait_used(1, NULL));
	tx_frame(1, 100);
	ck_assert(wait_used(0, &el));
	ck_assert_uint_eq(el.len, 112);
	ck_assert_uint_eq(stats().data.rx_dropped, 1);
}
END_TEST

/* No layout of descriptors may be assumed (§2.7.4): a header of one byte each, both ways. */
START_TEST(a_header_in_pieces_is_a_header)
{
	struct vring_used_elem el;

	start(0);
	for (unsigned int q = 0; q < 2; q++) {
		uint16_t write = q ? 0 : VRING_DESC_F_WRITE;

		for (uint16_t i = 0; i < 13; i++)
			desc_of(q)[i] =
				(struct vring_desc){BUFS + q * 0x40000 + i, i < 12 ? 1 : 200,
					(uint16_t)(write | (i < 12 ? VRING_DESC_F_NEXT : 0)),
					(uint16_t)(i + 1)};
	}
	offer(0, 0);
	memset(gmem_hva(mem, BUFS + 0x40000, 12), 0, 12);
	memset(gmem_hva(mem, BUFS + 0x40000 + 12, 200), 0x5a, 200);
	offer(1, 0);
	kick(1);
	ck_assert(wait_used(0, &el));
	ck_assert_uint_eq(el.len, 212);
	ck_assert_mem_eq(
		gmem_hva(mem, BUFS + 12, 200), gmem_hva(mem, BUFS + 0x40000 + 12, 200), 200);
	ck_assert_uint_eq(*(uint16_t *)gmem_hva(mem, BUFS + 10, 2), 1);
}
END_TEST

/* A receive buffer that has no room for the header is no receive buffer. */
START_TEST(a_receive_buffer_without_room_for_the_header_needs_a_reset)
{
	start(BIT(VIRTIO_NET_F_MRG_RXBUF));
	rx_post(0, 2, 11);
	tx_frame(1, 100);
	ck_assert(wait_status(VIRTIO_CONFIG_S_NEEDS_RESET));
}
END_TEST

static const struct {
	bool ring; /* else its buffer */
	uint64_t at;
} windows[] = {{false, 0xfee00000}, {false, 0xfee00010 | 9 << 5}, {false, 0xfeeffff0},
	{true, 0xfee00000}, {true, 0xfee01000}};

/* What a device writes is memory or nothing: it interrupts by its vectors alone. */
START_TEST(dma_to_the_interrupt_window_interrupts_nobody)
{
	start(0);
	if (windows[_i].ring) {
		wr(C(device_status), 1, 0);
		ck_assert(negotiate(BIT(VIRTIO_F_VERSION_1)));
		queue_place(0, windows[_i].at);
		wr(C(device_status), 1, 0xf);
	} else {
		desc_of(0)[0] = (struct vring_desc){windows[_i].at, 4096, VRING_DESC_F_WRITE, 0};
		offer(0, 0);
		tx_frame(1, 100);
	}
	ck_assert(wait_status(VIRTIO_CONFIG_S_NEEDS_RESET));
	irq_recorder_run(&rec);
	for (unsigned int k = 0; k < rec.n_msi; k++)
		ck_assert(rec.msi[k].addr == 0xfee00000 && rec.msi[k].data >= 0x40 &&
			  rec.msi[k].data <= 0x40 + QUEUES);
	ck_assert_uint_eq(rec.msi_send, 0);
}
END_TEST

START_TEST(packed_rings_carry_frames_too)
{
	const uint64_t f = BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_NET_F_CTRL_VQ) |
			   BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);
	struct vring_packed_desc *rx = (void *)desc_of(0), *tx = (void *)desc_of(1);
	struct vring_packed_desc *ctrl = (void *)desc_of(2);
	const uint8_t cmd[8] = {
		VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 2, 2, 2, 2, 2, 2};
	const uint16_t avail = 1 << 7, used = 1 << 7 | 1 << 15;

	start(f);
	rx[0] = (struct vring_packed_desc){BUFS, 2048, 77, VRING_DESC_F_WRITE | avail};
	memset(gmem_hva(mem, BUFS + 0x40000, 12), 0, 12);
	memset(gmem_hva(mem, BUFS + 0x40000 + 12, 100), 0x5a, 100);
	tx[0].addr = BUFS + 0x40000;
	tx[0].len = 112;
	tx[0].id = 5;
	__atomic_store_n(&tx[0].flags, avail, __ATOMIC_RELEASE);
	kick(0);
	kick(1);
	ck_assert(wait_msg(0x41));
	ck_assert_uint_eq(rx[0].id, 77);
	ck_assert_uint_eq(rx[0].len, 112);
	ck_assert_uint_eq(rx[0].flags & used, used);
	ck_assert(wait_msg(0x42));
	ck_assert_uint_eq(tx[0].flags & used, used);
	ck_assert_uint_eq(tx[0].id, 5);
	/* The control queue is packed as well. */
	gmem_write(mem, BUFS + 0x80000, cmd, 8);
	ctrl[1] = (struct vring_packed_desc){BUFS + 0x80100, 1, 9, VRING_DESC_F_WRITE | avail};
	ctrl[0] = (struct vring_packed_desc){BUFS + 0x80000, 8, 0, VRING_DESC_F_NEXT | avail};
	kick(2);
	ck_assert_uint_eq(ctrl[0].id, 9);
	ck_assert_uint_eq(ctrl[0].flags & used, used);
	ck_assert_uint_eq(rd(config, 4), 0x02020202);
}
END_TEST

START_TEST(a_bad_header_is_dropped_and_counted)
{
	struct virtio_net_hdr_v1 *h;

	start(0);
	tx_frame(1, 5); /* too short */
	ck_assert(wait_used(1, NULL));
	h = gmem_hva(mem, BUFS + 0x40000, 12);
	desc_of(1)[0].len = 100;
	h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM; /* not negotiated */
	offer(1, 0);
	kick(1);
	ck_assert(wait_used(1, NULL));
	desc_of(1)[0].len = 11; /* no whole header */
	offer(1, 0);
	kick(1);
	ck_assert(wait_used(1, NULL));
	ck_assert_uint_eq(stats().data.tx_dropped, 3);
	ck_assert_uint_eq(stats().data.tx_packets, 0);
}
END_TEST

START_TEST(an_impossible_ring_needs_a_reset_and_the_reset_heals)
{
	start(0);
	offer(1, 999);
	kick(1);
	ck_assert(wait_status(VIRTIO_CONFIG_S_NEEDS_RESET));
	ck_assert(wait_msg(0x40)); /* the config interrupt says so */
	ck_assert_uint_eq(stats().broken, 1);
	ck_assert_uint_eq(stats().data.bad_rings, 1);
	start(0);
	ck_assert_uint_eq(rd(C(device_status), 1), 0xf);
	rx_post(0, 1, 2048);
	tx_frame(1, 100);
	ck_assert(wait_used(0, NULL));
}
END_TEST

/* Translation on, with no entry for anybody; then one for the device, and its invalidation. */
static void dma_block(void)
{
	memset(gmem_hva(mem, TABLES, 0x2000), 0, 0x2000);
	vtd_write(vtd, 0x20, 8, TABLES);
	vtd_write(vtd, 0x18, 4, 1u << 30);
	vtd_write(vtd, 0x18, 4, 1u << 31);
}

static void dma_allow(void)
{
	uint64_t *root_entry = gmem_hva(mem, TABLES, 16);
	uint64_t *context = gmem_hva(mem, TABLES + 0x1000 + devfn() * 16u, 16);

	root_entry[0] = (TABLES + 0x1000) | 1;
	context[0] = 9;
	context[1] = 2;
	vtd_write(vtd, 0x28, 8, 1ull << 63 | 1ull << 61);
}

START_TEST(a_device_that_the_guests_unit_blocks_stops_until_its_next_start)
{
	start(0);
	rx_post(0, 2, 2048);
	tx_frame(1, 100);
	ck_assert(wait_used(0, NULL));
	dma_block();
	ck_assert(rd(C(device_status), 1) & VIRTIO_CONFIG_S_NEEDS_RESET);
	ck_assert_uint_eq(bells, 0);
	/* It looked at its ring, once. */
	ck_assert_uint_eq(vtd_read(vtd, 0x220, 8), Q_DESC);
	ck_assert_uint_eq(vtd_read(vtd, 0x228, 8), 3ull << 62 | 1ull << 32 | devfn());
	ck_assert_uint_eq(vtd_read(vtd, 0x238, 8), 0);
	/* Nothing moves any more, nor after a start while it is blocked. */
	start(0);
	ck_assert(rd(C(device_status), 1) & VIRTIO_CONFIG_S_NEEDS_RESET);
	rx_post(0, 1, 2048);
	tx_frame(1, 100);
	ck_assert_uint_eq(((struct vring_used *)gmem_hva(mem, Q_USED, 64))->idx, 0);
	ck_assert_uint_eq(vtd_read(vtd, 0x238, 8) >> 63, 1);
	dma_allow();
	ck_assert(rd(C(device_status), 1) & VIRTIO_CONFIG_S_NEEDS_RESET);
	start(0);
	ck_assert_uint_eq(rd(C(device_status), 1), 0xf);
	rx_post(0, 1, 2048);
	tx_frame(1, 100);
	ck_assert(wait_used(0, NULL));
}
END_TEST

START_TEST(rings_outside_memory_need_a_reset)
{
	ck_assert(negotiate(BIT(VIRTIO_F_VERSION_1)));
	queue_place(0, MEM - 16);
	wr(C(device_status), 1, 0xf);
	ck_assert(rd(C(device_status), 1) & VIRTIO_CONFIG_S_NEEDS_RESET);
	ck_assert_uint_eq(stats().broken, 1);
}
END_TEST

START_TEST(commands_set_what_they_say)
{
	const uint64_t f = BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ) |
			   BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |
			   BIT(VIRTIO_NET_F_CTRL_VLAN);
	const unsigned int q = QUEUES - 1;
	uint8_t tables[8 + 6] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0};
	static const uint8_t mac[6] = {0x52, 0x54, 0, 9, 9, 9};
	static const uint8_t many[8] = {0xff, 0xff, 0xff, 0xff};

	start(f);
	ck_assert_int_eq(command(q, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "", 1), 0);
	ck_assert_int_eq(command(q, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOBCAST, "", 1), 1);
	ck_assert_int_eq(command(q, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 6), 0);
	ck_assert_uint_eq(rd(config, 4), 0x09005452);
	ck_assert_int_eq(command(q, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 5), 1);
	ck_assert_int_eq(
		command(q, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables, 14), 0);
	ck_assert_int_eq(
		command(q, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, many, 8), 1);
	ck_assert_int_eq(command(q, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\5\0", 2), 0);
	ck_assert_int_eq(
		command(q, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\0\x10", 2), 1);
	ck_assert_int_eq(command(q, VIRTIO_NET_CTRL_MQ, 0, "\2\0", 2), 0);
	ck_assert_uint_eq(stats().pairs, 2);
	ck_assert_int_eq(command(q, VIRTIO_NET_CTRL_MQ, 0, "\3\0", 2), 1);
	ck_assert_int_eq(command(q, VIRTIO_NET_CTRL_MQ, 0, "\0\0", 2), 1);
	ck_assert_int_eq(command(q, 77, 0, "\0\0", 2), 1);
	ck_assert_uint_eq(stats().command_errors, 7);
	ck_assert(wait_msg(0x41 + q));
	/* The second pair works now. */
	rx_post(2, 1, 2048);
	desc_of(3)[0].len = 0;
	memcpy(gmem_hva(mem, BUFS + 3 * 0x40000 + 12, 6), mac, 6);
	tx_frame(3, 100);
	ck_assert(wait_used(3, NULL));
	/* A reset forgets it all. */
	wr(C(device_status), 1, 0);
	ck_assert_uint_eq(rd(config, 4), 0x01005452);
}
END_TEST

static int command_offloads(uint64_t to, uint32_t len)
{
	const uint64_t data[2] = {to};

	return command(
		2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, data, len);
}

/* §5.1.6.5.7 */
START_TEST(the_guest_switches_its_offloads)
{
	const uint64_t csum = BIT(VIRTIO_NET_F_GUEST_CSUM), tso = BIT(VIRTIO_NET_F_GUEST_TSO4);

	ck_assert(features() & BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS));
	start(BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | csum | tso);
	ck_assert_int_eq(command_offloads(csum, 8), 0);
	ck_assert_uint_eq(offloads, csum);
	ck_assert_int_eq(command_offloads(csum | tso, 8), 0);
	ck_assert_uint_eq(offloads, csum | tso);
	ck_assert_int_eq(command_offloads(0, 8), 0);
	ck_assert_uint_eq(offloads, 0);
	offloads = 77;
	ck_assert_int_eq(command_offloads(tso, 8), 1); /* needs csum */
	ck_assert_int_eq(command_offloads(csum | BIT(VIRTIO_NET_F_GUEST_TSO6), 8), 1);
	ck_assert_int_eq(command_offloads(csum | 1, 8), 1);
	ck_assert_int_eq(command_offloads(csum, 7), 1);
	ck_assert_int_eq(command_offloads(csum, 9), 1);
	ck_assert_int_eq(command(2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 1, &csum, 8), 1);
	ck_assert_uint_eq(offloads, 77);
	offloads_fail = -EIO;
	ck_assert_int_eq(command_offloads(csum, 8), 1);
	/* Not to be had without its feature. */
	start(BIT(VIRTIO_NET_F_CTRL_VQ) | csum);
	ck_assert_int_eq(command_offloads(csum, 8), 1);
}
END_TEST

/* Each is answered, none is carried out. */
START_TEST(commands_of_a_wrong_length_are_refused)
{
	static const uint8_t data[64] = {1, 0, 0, 0, 2};
	static const struct {
		uint8_t class, cmd;
		uint32_t right;
	} cmds[] = {
		{VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1},
		{VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOBCAST, 1},
		{VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 14},
		{VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 99},
		{VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 2},
		{VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, 2},
		{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2},
		{VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, 0},
	};

	start(BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_CTRL_RX) |
		BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |
		BIT(VIRTIO_NET_F_CTRL_VLAN) | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE));
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++) {
		for (uint32_t len = 0; len < 40; len++) {
			/* The table of this data: one address, then none. */
			if (cmds[i].right == 14 && len == 14)
				continue;
			ck_assert_int_eq(command(QUEUES - 1, cmds[i].class, cmds[i].cmd, data, len),
				len != cmds[i].right);
		}
	}
	ck_assert_int_eq(command(QUEUES - 1, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET,
				 "\1\0\0\0\0\1", 6),
		1); /* an address of many */
	ck_assert_uint_eq(stats().broken, 0);
}
END_TEST

START_TEST(the_second_pair_waits_until_it_is_used)
{
	start(BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ));
	rx_post(2, 1, 2048);
	tx_frame(3, 100);
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	ck_assert_uint_eq(stats().data.tx_packets, 0);
	ck_assert_int_eq(command(QUEUES - 1, VIRTIO_NET_CTRL_MQ, 0, "\2\0", 2), 0);
	ck_assert(wait_used(3, NULL));
	ck_assert(wait_used(2, NULL));
}
END_TEST

/* A driver with EVENT_IDX rings for the entry it was asked to, and no other: Linux spins for ever. */
START_TEST(a_doorbell_is_asked_for_after_each_command)
{
	const unsigned int q = 2;
	struct vring_used *u = gmem_hva(mem, Q_USED + q * Q_STEP, Q_STEP);

	start(BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_RING_F_EVENT_IDX));
	for (uint16_t i = 0; i < 5; i++) {
		ck_assert_uint_eq(*(uint16_t *)&u->ring[SIZE], i);
		ck_assert_int_eq(
			command(q, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "", 1), 0);
	}
}
END_TEST

/* A circular chain on the control queue hangs nobody. */
START_TEST(a_bad_control_queue_needs_a_reset)
{
	start(BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ));
	desc_of(QUEUES - 1)[0] = (struct vring_desc){BUFS, 2, VRING_DESC_F_NEXT, 0};
	offer(QUEUES - 1, 0);
	kick(QUEUES - 1);
	ck_assert(rd(C(device_status), 1) & VIRTIO_CONFIG_S_NEEDS_RESET);
	kick(QUEUES - 1);
	ck_assert_uint_eq(stats().broken, 1);
}
END_TEST

START_TEST(doorbells_follow_the_bar)
{
	uint64_t old = bar;

	start(0);
	ck_assert_uint_eq(bells, 2);
	pci_cfg_write(root, 0, devfn(), 4, 2, 0);
	ck_assert_uint_eq(bells, 0);
	bar = WIN + 0x8000000;
	pci_cfg_write(root, 0, devfn(), 0x10, 4, (uint32_t)bar);
	pci_cfg_write(root, 0, devfn(), 0x14, 4, 0);
	pci_cfg_write(root, 0, devfn(), 4, 2, 6);
	ck_assert_uint_ne(old, bar);
	ck_assert_uint_eq(bells, 2);
	rx_post(0, 1, 2048);
	tx_frame(1, 100);
	ck_assert(wait_used(0, NULL));
	wr(C(device_status), 1, 0);
	ck_assert_uint_eq(bells, 0);
}
END_TEST

START_TEST(without_ioeventfd_the_trapped_write_rings)
{
	bell_fail = 1;
	start(0);
	rx_post(0, 1, 2048);
	tx_frame(1, 100);
	ck_assert(wait_used(0, NULL));
	ck_assert_uint_ge(stats().trapped_kicks, 1);
}
END_TEST

/* What a driver must not write does nothing. Widths are the field's own. */
START_TEST(registers_ignore_what_no_driver_writes)
{
	ck_assert(negotiate(BIT(VIRTIO_F_VERSION_1)));
	wr(C(queue_select), 2, 0);
	wr(C(queue_size), 2, 0x8000);
	ck_assert_uint_eq(rd(C(queue_size), 2), 256);
	wr(C(queue_size), 4, 8);
	ck_assert_uint_eq(rd(C(queue_size), 2), 256);
	wr(C(queue_msix_vector), 2, 500);
	ck_assert_uint_eq(rd(C(queue_msix_vector), 2), 0xffff);
	wr(C(queue_enable), 2, 2);
	ck_assert_uint_eq(rd(C(queue_enable), 2), 0);
	wr(C(queue_select), 2, 999);
	ck_assert_uint_eq(rd(C(queue_size), 2), 0);
	wr(C(queue_enable), 2, 1);
	wr(C(queue_msix_vector), 2, 0);
	wr(C(guest_feature), 4, UINT32_MAX); /* settled */
	wr(C(guest_feature_select), 4, 7);
	ck_assert_uint_eq(rd(C(guest_feature), 4), 0);
	wr(config, 4, 0); /* read-only */
	ck_assert_uint_eq(rd(config, 4), 0x01005452);
	for (unsigned int off = 0; off < 0x10000; off += 2)
		(void)rd(off, 2);
}
END_TEST

/* Of a device that runs nothing but its doorbells and vectors can be changed. */
START_TEST(a_live_queue_cannot_be_moved)
{
	start(0);
	for (unsigned int q = 0; q < QUEUES; q++) {
		wr(C(queue_select), 2, q);
		for (unsigned int off = 0; off < 24; off += 4)
			wr(C(queue_desc_lo) + off, 4, 0xdeadbee0);
		wr(C(queue_size), 2, 4);
		wr(C(queue_enable), 2, 0);
		ck_assert_uint_eq(rd(C(queue_size), 2), SIZE);
		ck_assert_uint_eq(rd(C(queue_enable), 2), 1);
		ck_assert_uint_eq(rd(C(queue_desc_lo), 4), Q_DESC + q * Q_STEP);
		ck_assert_uint_eq(rd(C(queue_avail_lo), 4), Q_AVAIL + q * Q_STEP);
		ck_assert_uint_eq(rd(C(queue_used_hi), 4), 0);
	}
	/* Features are settled, status bits stay. */
	wr(C(guest_feature_select), 4, 0);
	wr(C(guest_feature), 4, UINT32_MAX);
	wr(C(device_status), 1, 1);
	ck_assert_uint_eq(rd(C(device_status), 1), 0xf);
	rx_post(0, 1, 2048);
	tx_frame(1, 100);
	ck_assert(wait_used(0, NULL));
}
END_TEST

/* 7cc4f260bf: a queue beyond those there are, by every register that takes a number. */
START_TEST(queues_that_are_not_there_do_nothing)
{
	static const uint16_t beyond[] = {
		QUEUES, QUEUES + 1, 128, 129, 255, 256, 257, 0x8000, 0xffff};

	ck_assert(negotiate(BIT(VIRTIO_F_VERSION_1)));
	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++) {
		wr(C(queue_select), 2, beyond[i]);
		ck_assert_uint_eq(rd(C(queue_size), 2), 0);
		wr(C(queue_size), 2, 16);
		wr(C(queue_desc_lo), 4, 0x1000);
		wr(C(queue_msix_vector), 2, 1);
		wr(C(queue_enable), 2, 1);
		ck_assert_uint_eq(rd(C(queue_enable), 2), 0);
	}
	wr(C(device_status), 1, 0xf);
	for (unsigned int off = QUEUES * notify_mult; off < 0x8000; off += 2)
		wr(notify_off + off, 2, off / 4);
	ck_assert_uint_eq(bells, 0);
	ck_assert_uint_eq(stats().trapped_kicks, 0);
	ck_assert_uint_eq(rd(C(device_status), 1), 0xf);
}
END_TEST

START_TEST(a_guest_reboot_is_a_reset)
{
	start(0);
	pci_root_reset(root);
	ck_assert_uint_eq(bells, 0);
	ck_assert_int_eq(pci_root_place(root, NULL), 0);
	ck_assert_uint_eq(rd(C(device_status), 1), 0);
	start(0);
	rx_post(0, 1, 2048);
	tx_frame(1, 100);
	ck_assert(wait_used(0, NULL));
}
END_TEST

static const struct {
	struct vnet_config cfg;
	const char *says;
} refused[] = {
	{{.mac = {1}, .pairs = 1}, "no address"},
	{{.pairs = 1}, "no address"},
	{{.mac = {2}, .mtu = 67, .pairs = 1}, "MTU 67"},
	{{.mac = {2}, .pairs = 0}, "0 queues"},
	{{.mac = {2}, .pairs = 3}, "3 queues"},
	{{.mac = {2}, .pairs = 1, .queue_size = 100}, "power of two"},
	{{.mac = {2}, .pairs = 1, .queue_size = 2048}, "power of two"},
};

START_TEST(impossible_devices_are_refused)
{
	struct vnet_host host = {.pci = root, .mem = mem, .irq = router, .bell = {.set = bell_set}};
	struct net_backend *loop;
	struct vnet *n;
	struct err e = {0};

	ck_assert_int_eq(net_loop_create(PAIRS, mem, &e, &loop), 0);
	ck_assert_int_eq(vnet_create(&host, &refused[_i].cfg, loop, &e, &n), -EINVAL);
	ck_assert_msg(strstr(e.text, refused[_i].says) != NULL, "%s", e.text);
}
END_TEST

static unsigned int fds_open(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Fault sweep: one more fd each time, until the device can be made; nothing is left in between. */
START_TEST(a_device_that_cannot_be_made_leaves_no_fd)
{
	const struct vnet_config cfg = {.mac = {2}, .pairs = PAIRS};
	struct vnet_host host = {.pci = root, .mem = mem, .irq = router, .bell = {.set = bell_set}};
	unsigned int before = fds_open(), failed = 0;
	struct rlimit old, l;
	int r = -1;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (rlim_t n = 3; r < 0 && n < 256; n++) {
		struct net_backend *loop;
		struct vnet *v;
		struct err e = {0};

		l = (struct rlimit){n, old.rlim_max};
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
		r = net_loop_create(PAIRS, mem, &e, &loop);
		if (r == 0)
			r = vnet_create(&host, &cfg, loop, &e, &v);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
		if (r < 0) {
			ck_assert_uint_gt(strlen(e.text), 0);
			ck_assert_uint_eq(fds_open(), before);
			failed++;
		}
	}
	ck_assert_int_eq(r, 0);
	ck_assert_uint_ge(failed, 7); /* a fd per loop pair, its control, a kick per ring */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("virtio_net");
	TCase *t = tcase_create("virtio_net");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 20);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, it_is_a_modern_virtio_net_function);
	tcase_add_test(t, the_window_in_config_space_reaches_the_registers);
	tcase_add_loop_test(
		t, only_sets_of_features_that_go_together_are_accepted, 0, (int)ARRAY_SIZE(sets));
	tcase_add_loop_test(
		t, what_a_back_end_has_alone_is_not_offered, 0, (int)ARRAY_SIZE(back_ends));
	tcase_add_test(t, a_frame_goes_out_and_comes_back_with_an_interrupt);
	tcase_add_test(t, a_frame_waits_for_receive_buffers);
	tcase_add_test(t, a_long_frame_is_spread_over_merged_buffers);
	tcase_add_test(t, a_header_in_pieces_is_a_header);
	tcase_add_test(t, a_receive_buffer_without_room_for_the_header_needs_a_reset);
	tcase_add_loop_test(t, dma_to_the_interrupt_window_interrupts_nobody, 0,
		(int)(sizeof(windows) / sizeof(*windows)));
	tcase_add_test(t, packed_rings_carry_frames_too);
	tcase_add_test(t, a_bad_header_is_dropped_and_counted);
	tcase_add_test(t, an_impossible_ring_needs_a_reset_and_the_reset_heals);
	tcase_add_test(t, a_device_that_the_guests_unit_blocks_stops_until_its_next_start);
	tcase_add_test(t, rings_outside_memory_need_a_reset);
	tcase_add_test(t, commands_set_what_they_say);
	tcase_add_test(t, the_guest_switches_its_offloads);
	tcase_add_test(t, commands_of_a_wrong_length_are_refused);
	tcase_add_test(t, the_second_pair_waits_until_it_is_used);
	tcase_add_test(t, a_doorbell_is_asked_for_after_each_command);
	tcase_add_test(t, a_bad_control_queue_needs_a_reset);
	tcase_add_test(t, doorbells_follow_the_bar);
	tcase_add_test(t, without_ioeventfd_the_trapped_write_rings);
	tcase_add_test(t, registers_ignore_what_no_driver_writes);
	tcase_add_test(t, a_live_queue_cannot_be_moved);
	tcase_add_test(t, queues_that_are_not_there_do_nothing);
	tcase_add_test(t, a_guest_reboot_is_a_reset);
	tcase_add_loop_test(t, impossible_devices_are_refused, 0, (int)ARRAY_SIZE(refused));
	tcase_add_test(t, a_device_that_cannot_be_made_leaves_no_fd);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
