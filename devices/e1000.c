// SPDX-License-Identifier: GPL-2.0-or-later
/* The card as a PCI function, its two BARs, and its thread. */
#include "devices/e1000.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <linux/pci_regs.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "devices/e1000_internal.h"
#include "devices/net_rings.h"

#define CLASS_ETHERNET 0x020000u

#define BAR_MEM      0u
#define BAR_IO       1u
#define BAR_MEM_SIZE 0x20000u
#define BAR_IO_SIZE  64u
#define IO_ADDR      0u /* SDM §13.3.4 */
#define IO_DATA      4u

/* SDM §4.1: what the card says of itself in config space. */
static const struct pci_ids ids = {
	.vendor = 0x8086,
	.device = 0x100e, /* 82540EM */
	.sub_vendor = 0x8086,
	.sub_device = 0x001e,
	.class_code = CLASS_ETHERNET,
	.revision = 2,
};

static struct e1000 *e1000_of(struct pci_func *f)
{
	return container_of(f, struct e1000, pci);
}

/* ---- registers: dwords, SDM §13.3; anything else reads 0 and writes nothing ---- */

static uint64_t mem_read(struct e1000 *n, uint64_t off, unsigned int len)
{
	if (len == 8 && off % 4 == 0)
		return mem_read(n, off, 4) | mem_read(n, off + 4, 4) << 32;
	return len == 4 && off % 4 == 0 ? e1000_reg_read(n, (uint32_t)off) : 0;
}

static void mem_write(struct e1000 *n, uint64_t off, unsigned int len, uint64_t val)
{
	if (len == 8 && off % 4 == 0) {
		e1000_reg_write(n, (uint32_t)off, (uint32_t)val);
		e1000_reg_write(n, (uint32_t)off + 4, (uint32_t)(val >> 32));
	} else if (len == 4 && off % 4 == 0) {
		e1000_reg_write(n, (uint32_t)off, (uint32_t)val);
	}
}

/* The address register goes on being one when it holds no register's address. */
static bool io_addr_ok(const struct e1000 *n)
{
	return n->io_addr < BAR_MEM_SIZE && n->io_addr % 4 == 0;
}

static uint64_t bar_read(struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len)
{
	struct e1000 *n = e1000_of(f);
	uint64_t v = 0;

	pthread_mutex_lock(&n->lock);
	if (bar == BAR_MEM)
		v = mem_read(n, off, len);
	else if (off == IO_ADDR && len == 4)
		v = n->io_addr;
	else if (off == IO_DATA && len == 4 && io_addr_ok(n))
		v = e1000_reg_read(n, n->io_addr);
	pthread_mutex_unlock(&n->lock);
	return v;
}

static void bar_write(
	struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len, uint64_t val)
{
	struct e1000 *n = e1000_of(f);

	pthread_mutex_lock(&n->lock);
	if (bar == BAR_MEM)
		mem_write(n, off, len, val);
	else if (off == IO_ADDR && len == 4)
		n->io_addr = (uint32_t)val;
	else if (off == IO_DATA && len == 4 && io_addr_ok(n))
		e1000_reg_write(n, n->io_addr, (uint32_t)val);
	pthread_mutex_unlock(&n->lock);
}

/* ---- config space ---- */

/* The one bit that is not core's: the pin wants to be high. */
static uint32_t cfg_read(struct pci_func *f, unsigned int off, unsigned int len)
{
	struct e1000 *n = e1000_of(f);
	uint32_t v = 0;

	if (off > PCI_STATUS || off + len <= PCI_STATUS)
		return 0;
	pthread_mutex_lock(&n->lock);
	if (*e1000_reg(n, R_ICR) & *e1000_reg(n, R_IMS))
		v = PCI_STATUS_INTERRUPT << (PCI_STATUS - off) * 8;
	pthread_mutex_unlock(&n->lock);
	return v;
}

static void command_follow(struct e1000 *n)
{
	uint16_t command = (uint16_t)le_load(n->pci.cfg + PCI_COMMAND, 2);

	n->master = command & PCI_COMMAND_MASTER;
	n->intx_off = command & PCI_COMMAND_INTX_DISABLE;
	e1000_irq_update(n);
	(void)eventfd_write(n->kick_fd, 1);
}

static void cfg_write(struct pci_func *f, unsigned int off, unsigned int len, uint32_t val)
{
	struct e1000 *n = e1000_of(f);

	if (off > PCI_COMMAND + 1 || off + len <= PCI_COMMAND)
		return;
	pthread_mutex_lock(&n->lock);
	command_follow(n);
	pthread_mutex_unlock(&n->lock);
}

/* The thread asks at each descriptor, with the lock held: what it was about is over when we have it. */
static void dma_allow(struct pci_func *f, bool allowed)
{
	struct e1000 *n = e1000_of(f);

	pthread_mutex_lock(&n->lock);
	pthread_mutex_unlock(&n->lock);
}

static void reset(struct pci_func *f)
{
	struct e1000 *n = e1000_of(f);

	pthread_mutex_lock(&n->lock);
	n->io_addr = 0;
	e1000_phy_reset(n);
	e1000_reset(n);
	command_follow(n);
	pthread_mutex_unlock(&n->lock);
}

/* ---- from the back end ---- */

static void on_link(void *ctx, bool up)
{
	struct e1000 *n = ctx;

	pthread_mutex_lock(&n->lock);
	e1000_link_set(n, up);
	pthread_mutex_unlock(&n->lock);
}

/* Only rings of the back end could be broken, and only a peer moves. */
static void on_announce(void *ctx)
{
}

static void on_broken(void *ctx, unsigned int index, const char *why)
{
}

/* ---- the thread ---- */

enum wake { WAKE_KICK, WAKE_TIMER, WAKE_PORT, WAKE_NEWS };

static void wake(struct e1000 *n, enum wake what)
{
	uint64_t v;

	switch (what) {
	case WAKE_KICK: (void)!read(n->kick_fd, &v, sizeof(v)); break;
	case WAKE_TIMER:
		(void)!read(n->timer_fd, &v, sizeof(v));
		pthread_mutex_lock(&n->lock);
		e1000_irq_update(n);
		pthread_mutex_unlock(&n->lock);
		break;
	case WAKE_PORT: n->port_ready = true; break;
	case WAKE_NEWS: n->be->port->on_news(n->be->port_ctx); break;
	}
}

static void *run(void *ctx)
{
	struct e1000 *n = ctx;
	struct epoll_event ev[4];
	bool again = true;

	while (!atomic_load(&n->stop)) {
		int got = epoll_wait(n->epoll_fd, ev, (int)ARRAY_SIZE(ev), again ? 0 : -1);

		for (int i = 0; i < got; i++)
			wake(n, (enum wake)ev[i].data.u32);
		again = e1000_tx_serve(n);
		again |= e1000_rx_serve(n);
	}
	return NULL;
}

/* Edge-triggered, as a port whose interface is gone reports that for ever. */
static int watch(struct e1000 *n, int fd, enum wake what, struct err *e)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u32 = what};

	if (epoll_ctl(n->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_sys(e, errno, "%s: watch", n->be->name);
	return 0;
}

static int thread_start(struct e1000 *n, struct err *e)
{
	const struct net_port_ops *port = n->be->port;
	int r = watch(n, n->kick_fd, WAKE_KICK, e);

	if (r == 0)
		r = watch(n, n->timer_fd, WAKE_TIMER, e);
	if (r == 0)
		r = watch(n, port->poll_fd(n->be->port_ctx, 0), WAKE_PORT, e);
	if (r == 0 && port->news_fd && port->news_fd(n->be->port_ctx) >= 0)
		r = watch(n, port->news_fd(n->be->port_ctx), WAKE_NEWS, e);
	if (r < 0)
		return r;
	r = pthread_create(&n->thread, NULL, run, n);
	if (r)
		return err_sys(e, r, "%s: thread", n->be->name);
	pthread_setname_np(n->thread, "e1000");
	n->running = true;
	return 0;
}

/* ---- making ---- */

static void e1000_free(struct e1000 *n)
{
	if (n->running) {
		atomic_store(&n->stop, true);
		(void)eventfd_write(n->kick_fd, 1);
		pthread_join(n->thread, NULL);
	}
	irq_line_detach(&n->line);
	net_backend_destroy(n->be);
	fd_close(n->epoll_fd);
	fd_close(n->kick_fd);
	fd_close(n->timer_fd);
	free(n->tx.buf);
	free(n->held.buf);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

static void destroy(struct pci_func *f)
{
	e1000_free(e1000_of(f));
}

static const struct pci_func_ops e1000_ops = {
	.cfg_read = cfg_read,
	.cfg_write = cfg_write,
	.bar_read = bar_read,
	.bar_write = bar_write,
	.dma_allow = dma_allow,
	.reset = reset,
	.destroy = destroy,
};

/* Whether the pin is high is known here at any time: it falls when the guest reads ICR. */
static void on_eoi(void *ctx)
{
}

static int resources(struct e1000 *n, struct err *e)
{
	n->tx.buf = malloc(NET_FRAME_MAX);
	n->held.buf = malloc(NET_HDR_LEN + NET_FRAME_MAX + E1000_FCS);
	n->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	n->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	n->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (!n->tx.buf || !n->held.buf)
		return err_sys(e, ENOMEM, "%s: e1000", n->be->name);
	if (n->epoll_fd < 0 || n->kick_fd < 0 || n->timer_fd < 0)
		return err_sys(e, errno, "%s: eventfd", n->be->name);
	return 0;
}

static int e1000_init(struct e1000 *n, const struct e1000_host *host, struct err *e)
{
	static const uint8_t zero[6];
	struct net_backend *be = n->be;
	unsigned int gsi;
	uint8_t devfn;
	int r;

	if (n->mac[0] & 1 || !memcmp(n->mac, zero, 6))
		return err_set(e, EINVAL,
			"%s: %02x:%02x:%02x:%02x:%02x:%02x is no address for one interface",
			be->name, n->mac[0], n->mac[1], n->mac[2], n->mac[3], n->mac[4], n->mac[5]);
	if (!be->port)
		return err_set(e, EOPNOTSUPP,
			"%s: an e1000 has rings that no other process serves; use model=virtio",
			be->name);
	r = resources(n, e);
	if (r < 0)
		return r;
	/* What the card has no way to tell the guest must be finished when it comes. */
	if (be->ops->set_offloads) {
		r = be->ops->set_offloads(be, 0);
		if (r < 0)
			return err_sys(e, -r, "%s: offloads", be->name);
	}
	r = pci_root_slot(host->pci, &devfn);
	if (r < 0)
		return err_set(e, -r, "%s: no free slot on the PCI bus", be->name);
	snprintf(n->name, sizeof(n->name), "e1000 00:%02x.0", devfn >> 3);
	pci_func_init(&n->pci, &e1000_ops, n->name, &ids);
	n->pci.devfn = devfn;
	pci_func_bar(&n->pci, BAR_MEM, PCI_BAR_MEM32, false, BAR_MEM_SIZE);
	pci_func_bar(&n->pci, BAR_IO, PCI_BAR_IO, false, BAR_IO_SIZE);
	gsi = pci_intx_gsi(devfn, 1);
	n->pci.cfg[PCI_INTERRUPT_PIN] = 1;
	n->pci.cfg[PCI_INTERRUPT_LINE] = (uint8_t)gsi;
	n->pci.emu[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	e1000_crc_table(n->crc_table);
	irq_line_attach(host->lines, gsi, on_eoi, n, &n->line);
	e1000_phy_reset(n);
	e1000_reset(n);
	n->stat.resets = 0;
	be->ops->attach(be, &n->events);
	return thread_start(n, e);
}

int e1000_create(const struct e1000_host *host, const uint8_t *mac, struct net_backend *be,
	struct err *e, struct e1000 **ret)
{
	struct e1000 *n = calloc(1, sizeof(*n));
	int r;

	if (!n) {
		net_backend_destroy(be);
		return err_sys(e, ENOMEM, "e1000");
	}
	n->be = be;
	n->mem = host->mem;
	n->epoll_fd = n->kick_fd = n->timer_fd = -1;
	memcpy(n->mac, mac, 6);
	pthread_mutex_init(&n->lock, NULL);
	n->events = (struct net_events){
		.link = on_link,
		.announce = on_announce,
		.broken = on_broken,
		.ctx = n,
	};
	r = e1000_init(n, host, e);
	if (r < 0) {
		e1000_free(n);
		return r;
	}
	r = pci_root_add(host->pci, &n->pci, e);
	if (r < 0)
		return r; /* the root destroyed it */
	*ret = n;
	return 0;
}

void e1000_stats(struct e1000 *n, struct e1000_stats *ret)
{
	*ret = (struct e1000_stats){
		.rx_packets = n->stat.rx_packets,
		.rx_bytes = n->stat.rx_bytes,
		.rx_dropped = n->stat.rx_dropped,
		.tx_packets = n->stat.tx_packets,
		.tx_bytes = n->stat.tx_bytes,
		.tx_dropped = n->stat.tx_dropped,
		.kicks = n->stat.kicks,
		.irqs = n->stat.irqs,
		.resets = n->stat.resets,
		.bad_rings = n->stat.bad_rings,
		.bad_dma = n->stat.bad_dma,
	};
}

uint8_t e1000_devfn(const struct e1000 *n)
{
	return n->pci.devfn;
}
