// SPDX-License-Identifier: GPL-2.0-or-later
/* Everything DPDK has an Ethernet driver for: PCI functions, tap, af_packet, pcap. */
#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vswitch/datapath.h"
#include "vswitch/device.h"

/* Behind ours: it defines container_of() unless somebody has. */
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_vfio.h>

#define DESCRIPTORS 512

static uint16_t dev_rx(struct port *p, uint16_t queue, struct rte_mbuf **m, uint16_t n)
{
	uint16_t got = rte_eth_rx_burst(p->dev, queue, m, n);

	/* What a function has written no CPU has in its cache. */
	for (uint16_t i = 0; i < got; i++)
		rte_prefetch0(rte_pktmbuf_mtod(m[i], void *));
	return got;
}

static uint16_t dev_tx(struct port *p, uint16_t queue, struct rte_mbuf **m, uint16_t n)
{
	uint16_t sent = rte_eth_tx_burst(p->dev, queue, m, n);

	if (sent < n)
		rte_pktmbuf_free_bulk(m + sent, n - sent);
	return sent;
}

static uint16_t dev_tx_copy(struct port *p, uint16_t queue, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, datapath_pool(p->dp), 0, UINT32_MAX);

	return copy ? dev_tx(p, queue, &copy, 1) : 0;
}

static bool dev_arm(struct port *p, uint16_t queue, int *ret_fd, int *timeout_us)
{
	int fd = p->has_interrupt ? rte_eth_dev_rx_intr_ctl_q_get_fd(p->dev, queue) : -1;

	if (fd < 0) {
		*timeout_us = 1000;
		return false;
	}
	*ret_fd = fd;
	/* The drivers of VFs have a descriptor and no way to ask. */
	if (rte_eth_dev_rx_intr_enable(p->dev, queue) < 0)
		*timeout_us = 1000;
	/* Drivers that cannot count are asked again soon. */
	switch (rte_eth_rx_queue_count(p->dev, queue)) {
	case 0: return false;
	case -ENOTSUP: *timeout_us = 1000; return false;
	default: return true;
	}
}

static void dev_disarm(struct port *p, uint16_t queue)
{
	if (p->has_interrupt)
		rte_eth_dev_rx_intr_disable(p->dev, queue);
}

/* Its interface may be in any network namespace; only what we read from knows that it is no more. */
static bool tap_gone(const struct port *p)
{
	int fd = p->has_interrupt ? rte_eth_dev_rx_intr_ctl_q_get_fd(p->dev, 0) : -1;
	struct ifreq ifr;

	return fd >= 0 && ioctl(fd, TUNGETIFF, &ifr) < 0 && errno == EBADFD;
}

static bool dev_up(const struct port *p, const char **ret_why)
{
	struct rte_eth_link link = {0};

	if (device_link_down(&p->cfg, ret_why))
		return false;
	if (p->cfg.kind == PORT_TAP && tap_gone(p)) {
		*ret_why = "the interface is gone: delete the port and add it again";
		return false;
	}
	/* Of these the kernel has just been asked. */
	if (p->cfg.kind == PORT_TAP || p->cfg.kind == PORT_AF_PACKET)
		return true;
	if (rte_eth_link_get_nowait(p->dev, &link) < 0 || link.link_status)
		return true;
	*ret_why = "its driver reports no link";
	return false;
}

static void dev_destroy(struct port *p)
{
	struct rte_eth_dev_info info;

	if (p->has_dev) {
		int known = rte_eth_dev_info_get(p->dev, &info);

		rte_eth_dev_stop(p->dev);
		rte_eth_dev_close(p->dev);
		if (!known)
			rte_dev_remove(info.device);
	}
	free(p);
}

/* An interface that was there before us keeps its own. Not every driver has one to set. */
static int dev_mtu_set(struct port *p, const struct port_config *cfg)
{
	int r = cfg->kind == PORT_AF_PACKET
			? 0
			: rte_eth_dev_set_mtu(p->dev, (uint16_t)cfg->forward.mtu);

	/* A tap that was given to another network namespace has one of its owner's. */
	return r == -ENOTSUP || (r == -ENODEV && cfg->kind == PORT_TAP) ? 0 : r;
}

static int dev_set(struct port *p, const struct port_config *cfg, struct err *e)
{
	int r = cfg->forward.mtu == p->cfg.forward.mtu ? 0 : dev_mtu_set(p, cfg);

	return r < 0 ? err_sys(e, -r,
			       "port '%s': %s cannot take an MTU of %u while it runs; delete the "
			       "port "
			       "and add it again",
			       cfg->name, port_config_backend(cfg), cfg->forward.mtu)
		     : 0;
}

static const struct port_ops dev_ops = {
	.rx = dev_rx,
	.tx = dev_tx,
	.tx_copy = dev_tx_copy,
	.set = dev_set,
	.arm = dev_arm,
	.disarm = dev_disarm,
	.up = dev_up,
	.destroy = dev_destroy,
};

static int dev_start(struct port *p, struct err *e)
{
	struct rte_eth_conf conf = {.intr_conf.rxq = 1};
	struct rte_mempool *pool = datapath_pool(p->dp);
	uint16_t rxd = DESCRIPTORS, txd = DESCRIPTORS;
	const char *name = p->cfg.name;
	int r;

	r = rte_eth_dev_configure(p->dev, 1, 1, &conf);
	p->has_interrupt = !r;
	if (r < 0) {
		conf.intr_conf.rxq = 0;
		r = rte_eth_dev_configure(p->dev, 1, 1, &conf);
	}
	if (r < 0)
		return err_sys(
			e, -r, "port '%s': configure %s", name, port_config_backend(&p->cfg));
	rte_eth_dev_adjust_nb_rx_tx_desc(p->dev, &rxd, &txd);
	r = rte_eth_rx_queue_setup(p->dev, 0, rxd, SOCKET_ID_ANY, NULL, pool);
	if (!r)
		r = rte_eth_tx_queue_setup(p->dev, 0, txd, SOCKET_ID_ANY, NULL);
	if (!r) {
		/* Not every driver can; frames over it are dropped before they come here. */
		dev_mtu_set(p, &p->cfg);
		r = rte_eth_dev_start(p->dev);
	}
	if (r < 0)
		return err_sys(e, -r, "port '%s': start %s", name, port_config_backend(&p->cfg));
	if (p->has_interrupt && rte_eth_dev_rx_intr_ctl_q_get_fd(p->dev, 0) < 0)
		p->has_interrupt = false;
	/* A switch takes what is addressed to others; pcap and the like do so anyway. */
	rte_eth_promiscuous_enable(p->dev);
	rte_eth_allmulticast_enable(p->dev);
	datapath_queues_set(p, 1, 1);
	return 0;
}

int port_dev_create(
	const struct port_config *cfg, struct datapath *dp, struct err *e, struct port **ret)
{
	char args[DEVICE_ARGS_MAX];
	struct port *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(e, ENOMEM, "port '%s': out of memory", cfg->name);
	p->ops = &dev_ops;
	p->dp = dp;
	p->cfg = *cfg;
	r = device_check(cfg, e, args);
	if (r < 0) {
		free(p);
		return r;
	}
#ifdef VFIO_PRESENT
	/* The module may have been loaded after us. */
	if (strchr(args, ':') && !rte_vfio_is_enabled("vfio"))
		rte_vfio_enable("vfio");
#endif
	r = rte_dev_probe(args);
	if (r < 0) {
		free(p);
		return device_explain(cfg, -r, e);
	}
	/* The name ends where the driver's own arguments begin. */
	args[strcspn(args, ",")] = '\0';
	p->has_dev = !rte_eth_dev_get_port_by_name(args, &p->dev);
	if (!p->has_dev) {
		free(p);
		return err_set(e, ENODEV, "port '%s': '%s' is no network device", cfg->name,
			port_config_backend(cfg));
	}
	r = dev_start(p, e);
	if (r < 0) {
		dev_destroy(p);
		return r;
	}
	*ret = p;
	return 0;
}
