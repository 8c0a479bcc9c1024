/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine of a back end that runs the rings in this process: one thread that sleeps on the
 * doorbells and on what the port has to give. A back end (tap, loop) adds the port: how a frame is
 * sent and how one is received. Locks and threads as devices/net_backend.h says.
 */
#ifndef VIADUCT_DEVICES_NET_RINGS_H
#define VIADUCT_DEVICES_NET_RINGS_H

#include <sys/types.h>
#include <sys/uio.h>

#include "devices/net_backend.h"
#include "devices/net_frame.h"
#include "vmm/gmem.h"

struct net_port_ops {
	/*
	 * Send a frame from the guest on pair @pair: @hdr was copied and checked, @iov is guest
	 * memory and may be changed by the guest meanwhile. 0, or -errno: dropped and counted.
	 */
	int (*send)(void *ctx, unsigned int pair, const struct virtio_net_hdr_v1 *hdr,
		const struct iovec *iov, unsigned int n);
	/* Bytes of the next frame, its header in front; -EAGAIN: none now; other -errno: skip. */
	ssize_t (*recv)(void *ctx, unsigned int pair, void *buf, size_t len);
	/* Becomes readable when recv() has something; constant. */
	int (*poll_fd)(void *ctx, unsigned int pair);
	/* News of the port itself; may be NULL. Constant, -1 = none; on_news() has to read it. */
	int (*news_fd)(void *ctx);
	void (*on_news)(void *ctx);
};

struct net_rings;

/* @ctx is the port's. @name and @mem live longer. */
int net_rings_create(const char *name, const struct gmem *mem, unsigned int max_pairs,
	const struct net_port_ops *ops, void *ctx, struct err *e, struct net_rings **ret);
void net_rings_destroy(struct net_rings *r);

/* As in struct net_backend_ops. */
void net_rings_attach(struct net_rings *r, const struct net_events *ev);
int net_rings_start(struct net_rings *r, const struct net_start *s, struct err *e);
void net_rings_stop(struct net_rings *r, uint16_t *ret_last_avail);
void net_rings_set_call(struct net_rings *r, unsigned int index, int fd);
int net_rings_set_pairs(struct net_rings *r, unsigned int pairs);
void net_rings_set_filter(struct net_rings *r, const struct net_filter *f);
void net_rings_stats(struct net_rings *r, struct net_backend_stats *ret);

/* What an in-process back end can do with a ring, for net_backend.features. */
#define NET_RINGS_FEATURES                                                       \
	(1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_RING_F_EVENT_IDX | \
		1ull << VIRTIO_F_RING_PACKED | 1ull << VIRTIO_F_IN_ORDER |       \
		1ull << VIRTIO_NET_F_MRG_RXBUF)

#endif
