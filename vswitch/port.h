/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A port as the datapath sees it. Only port_*.c, datapath.c and eal.c call DPDK. Private to vswitch.
 */
#ifndef VIADUCT_VSWITCH_PORT_H
#define VIADUCT_VSWITCH_PORT_H

#include <poll.h>
#include <stdatomic.h>

#include "common/err.h"
#include "vswitch/config.h"
#include "vswitch/counters.h"

#define PORT_BURST  32
#define PORT_QUEUES 16 /* pairs */

struct rte_mbuf;
struct port;
struct datapath;

struct port_ops {
	/* Once it is in the datapath; until then nothing arrives. */
	int (*start)(struct port *p, struct err *e);
	/* Take up to @n frames. */
	uint16_t (*rx)(struct port *p, struct rte_mbuf **m, uint16_t n);
	/* Send @n frames and consume them all; returns how many were taken. */
	uint16_t (*tx)(struct port *p, struct rte_mbuf **m, uint16_t n);
	/* Send what @m holds and leave it as it is; 0 or 1. */
	uint16_t (*tx_copy)(struct port *p, struct rte_mbuf *m);
	/*
	 * Before a sleep: ask to be woken, add to @fds, *@n of @max. Returns whether something came in
	 * meanwhile; lowers *@timeout_us when there is nothing to be woken by.
	 */
	bool (*arm)(struct port *p, struct pollfd *fds, unsigned int *n, unsigned int max,
		int *timeout_us);
	void (*disarm)(struct port *p);
	/* Is there somebody at the other end? *@ret_why says, if not. Any thread. */
	bool (*up)(const struct port *p, const char **ret_why);
	void (*destroy)(struct port *p);
};

struct port {
	const struct port_ops *ops;
	struct datapath *dp;
	struct port_config cfg;
	uint16_t no; /* in struct forward */
	struct port_counters counters;

	/* the datapath's */
	struct rte_mbuf *stage[PORT_BURST];
	uint16_t staged;
	uint32_t quiet; /* polls in a row that found nothing */
	bool armed, listed;

	/* PORT_VHOST_USER; written by librte_vhost's thread */
	_Atomic int vid;            /* -1 = nobody there */
	_Atomic uint32_t rx_queues; /* mask of pairs whose guest side may send */
	bool started;

	/* PORT_DEVICE */
	uint16_t dev;
	bool has_dev, has_interrupt;
};

int port_vhost_create(
	const struct port_config *cfg, struct datapath *dp, struct err *e, struct port **ret);
int port_dev_create(
	const struct port_config *cfg, struct datapath *dp, struct err *e, struct port **ret);

#endif
