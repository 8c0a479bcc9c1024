/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vhost-user port's own: the rings, which the datapath works on, and the link, which the control
 * thread talks over. Private to vswitch.
 */
#ifndef VIADUCT_VSWITCH_PORT_VHOST_H
#define VIADUCT_VSWITCH_PORT_VHOST_H

#include <stdatomic.h>

#include "vswitch/port.h"
#include "vswitch/vhost_link.h"
#include "vswitch/vring.h"

struct port_vhost {
	/* Virtio 1.2 §5.1.2: the guest receives on ring 2 * queue and sends on 2 * queue + 1. Changed
	 * by the control thread while the datapath is paused. A queue is live, see
	 * datapath_queues_set(), when its ring runs and the guest has enabled it. */
	struct vring_dev ring[PORT_QUEUES * 2];
	struct vhost_link *link;
	_Atomic bool up;
};

static inline struct vring_dev *port_vhost_guest_rx(struct port_vhost *v, uint16_t queue)
{
	return &v->ring[queue * 2];
}

static inline struct vring_dev *port_vhost_guest_tx(struct port_vhost *v, uint16_t queue)
{
	return &v->ring[queue * 2 + 1];
}

/* port_vhost_frames.c: the datapath's half, as in struct port_ops. */
uint16_t port_vhost_rx(struct port *p, uint16_t queue, struct rte_mbuf **m, uint16_t n);
uint16_t port_vhost_tx(struct port *p, uint16_t queue, struct rte_mbuf **m, uint16_t n);
uint16_t port_vhost_tx_copy(struct port *p, uint16_t queue, struct rte_mbuf *m);
bool port_vhost_arm(struct port *p, uint16_t queue, int *ret_fd, int *timeout_us);
void port_vhost_disarm(struct port *p, uint16_t queue);

/* Whether frames can move, *@ret_why says why not; and the link's figures. Control thread; the texts
 * last until the next call. */
void port_vhost_state(
	struct port *p, bool *ret_up, const char **ret_why, struct vhost_link_stats *ret_stats);

#endif
