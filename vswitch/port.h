/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A port as the datapath sees it. Only port_*.c, datapath.c and eal.c call DPDK. Private to vswitch.
 *
 * A port has receive and transmit queues, numbered from 0; which of them are live may change at any
 * time (datapath_queues_set()). Each receive queue is polled by one datapath thread. A transmit queue
 * is used by one thread at a time.
 */
#ifndef VIADUCT_VSWITCH_PORT_H
#define VIADUCT_VSWITCH_PORT_H

#include <stdatomic.h>

#include "common/err.h"
#include "vswitch/config.h"
#include "vswitch/counters.h"

#define PORT_BURST  32
#define PORT_QUEUES 16 /* of each direction */

struct rte_mbuf;
struct port;
struct datapath;
struct sd_event;
struct egress;

struct port_ops {
	/* Once it is in the datapath; until then nothing arrives. */
	int (*start)(struct port *p, struct err *e);
	/* Take up to @n frames from @queue. The datapath thread that polls it. */
	uint16_t (*rx)(struct port *p, uint16_t queue, struct rte_mbuf **m, uint16_t n);
	/* Send @n frames by @queue and consume them all; returns how many were taken. */
	uint16_t (*tx)(struct port *p, uint16_t queue, struct rte_mbuf **m, uint16_t n);
	/* Send what @m holds by @queue and leave it as it is; 0 or 1. */
	uint16_t (*tx_copy)(struct port *p, uint16_t queue, struct rte_mbuf *m);
	/*
	 * Before a sleep: ask to be woken when something comes in at @queue. In this order: ask,
	 * barrier, look. Returns whether something is there already. If not, *@ret_fd is what becomes
	 * readable; when it stays as it is (-1) or may fail to, lower *@timeout_us. The thread that
	 * polls @queue.
	 */
	bool (*arm)(struct port *p, uint16_t queue, int *ret_fd, int *timeout_us);
	/* After it, before the next rx: no more waking; what was readable is no more. */
	void (*disarm)(struct port *p, uint16_t queue);
	/* Optional: before @p->cfg becomes @cfg, which has the same backend. Not a datapath thread. */
	int (*set)(struct port *p, const struct port_config *cfg, struct err *e);
	/* Is there somebody at the other end? *@ret_why says, if not. Any thread. */
	bool (*up)(const struct port *p, const char **ret_why);
	void (*destroy)(struct port *p);
};

struct port {
	const struct port_ops *ops;
	struct datapath *dp;
	struct port_config cfg;
	uint16_t no;                   /* in struct forward */
	struct port_counters counters; /* port_drop()'s; the threads have their own */

	/* OFFLOAD_* that may leave by it as they are; changes while the datapath is paused */
	uint32_t takes;

	_Atomic uint32_t rx_live, tx_live; /* masks; by datapath_queues_set() */
	bool shaped;                       /* frames wait in @egress first, see egress.h */
	uint8_t tapped;                    /* MIRROR_*: somebody looks on, see taps.h */
	struct egress *egress;             /* NULL until the port has had a rate */

	struct port_vhost *vhost; /* PORT_VHOST_USER, port_vhost.h */

	/* PORT_DEVICE */
	uint16_t dev;
	bool has_dev, has_interrupt;
};

/* Count @n frames dropped at @p. Any thread; not for what happens to every frame. */
static inline void port_drop(struct port *p, enum drop_reason reason, uint64_t n)
{
	counter_add_shared(&p->counters.drops[reason], n);
}

int port_vhost_create(const struct port_config *cfg, struct datapath *dp, struct sd_event *loop,
	struct err *e, struct port **ret);
int port_dev_create(
	const struct port_config *cfg, struct datapath *dp, struct err *e, struct port **ret);

#endif
