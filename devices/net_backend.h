/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam between the virtio-net device and what moves its packets: a tap, a loop, a vhost-user
 * peer. The device (virtio_net.c) owns features, config space, the control queue and the doorbells;
 * it never touches a data ring. The back end owns the data rings from start() to stop(): either it
 * runs them itself on a thread of its own (tap, loop), or it passes them on to a peer.
 *
 * Rings are numbered as the guest numbers them: receive of pair i is 2i, transmit is 2i+1. All that
 * start() passes was written by the guest: addresses are gpas nobody has checked against memory.
 *
 *   kick  an eventfd of the device, alive as long as it; KVM signals it when the guest writes the
 *         ring's doorbell, with no code of ours. It may be signalled with nothing to do.
 *   call  the eventfd of the ring's interrupt vector; whoever used buffers writes it, and KVM
 *         interrupts the guest, with no code of ours. It comes and goes as the guest arms MSI-X, so
 *         it has a call of its own.
 *
 * Threads and locks: the device calls start, stop, pairs, filter and offloads one at a time, from a vCPU's
 * thread or the control thread, with its lock held; they may wait for the back end's own threads.
 * set_call comes from any thread, at any time between attach and destroy, also during the others,
 * and must not wait for any thread: a short lock of its own at most. Events are called from any
 * thread, also from one that stop() waits for, but never while a lock is held that an op takes.
 */
#ifndef VIADUCT_DEVICES_NET_BACKEND_H
#define VIADUCT_DEVICES_NET_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define NET_MAX_PAIRS 64u

struct net_backend;
struct net_port_ops;

/* A data ring the guest enabled. Virtio 1.2 §2.7 (split), §2.8 (packed). */
struct net_ring {
	unsigned int index;         /* 2i receive, 2i+1 transmit */
	uint16_t size;              /* entries; a power of two when split */
	uint64_t desc, avail, used; /* gpa; packed: descriptor ring, driver and device areas */
	/*
	 * Where the device goes on: split: next avail index (used index is the same or is read from
	 * the ring). Packed: bits 0-14 offset, bit 15 wrap counter. 0 / 0x8000 at the start.
	 */
	uint16_t last_avail;
	int kick_fd; /* borrowed until stop() returned */
};

struct net_start {
	uint64_t features;     /* as negotiated, VIRTIO_F_* and VIRTIO_NET_F_* */
	unsigned int n;        /* rings in @ring, ascending by index */
	unsigned int pairs;    /* pairs in use now; rings from 2 * pairs on wait for set_pairs() */
	struct net_ring *ring; /* the caller's, valid during the call: copy */
};

/* What the guest wants to receive; the back end drops the rest if it can. Virtio 1.2 §5.1.6.5. */
#define NET_FILTER_MACS 64u

struct net_filter {
	bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
	bool mac_overflow_uni,
		mac_overflow_multi; /* the table was too small: take all of the kind */
	uint8_t mac[6];             /* the device's own */
	unsigned int n_uni, n_multi;
	uint8_t uni[NET_FILTER_MACS][6], multi[NET_FILTER_MACS][6];
	bool vlan_filter;         /* VIRTIO_NET_F_CTRL_VLAN negotiated: only these ids */
	uint64_t vlan[4096 / 64]; /* bit per VLAN id */
};

/* Upward. The device's; constant while attached. */
struct net_events {
	/* Carrier. A back end that lost its peer reports down, or keeps it up for a short pause. */
	void (*link)(void *ctx, bool up);
	/* The guest should announce its addresses (its traffic takes another way now). */
	void (*announce)(void *ctx);
	/*
	 * Ring @index holds what no driver may write, or lies outside memory. The back end has
	 * stopped serving it; the device tells the guest DEVICE_NEEDS_RESET (Virtio 1.2 §2.1.1) and
	 * the next call is stop().
	 */
	void (*broken)(void *ctx, unsigned int index, const char *why);
	void *ctx;
};

struct net_backend_stats {
	uint64_t rx_packets, rx_bytes, rx_dropped; /* towards the guest */
	uint64_t tx_packets, tx_bytes, tx_dropped; /* from the guest */
	uint64_t kicks, calls;                     /* doorbells seen, interrupts raised */
	uint64_t bad_rings;                        /* rings given up as impossible */
};

struct net_backend_ops {
	/* Called once, before anything else. Reports the link as it is now, then and later. */
	void (*attach)(struct net_backend *be, const struct net_events *ev);
	/*
	 * The guest's driver is ready (DRIVER_OK). 0, or -errno with @e set: the device answers
	 * DEVICE_NEEDS_RESET. A peer that is away is no failure: the rings start when it comes.
	 */
	int (*start)(struct net_backend *be, const struct net_start *s, struct err *e);
	/*
	 * Stop: when it returns nobody touches the rings, kick fds or guest memory any more. Fills
	 * ret_last_avail[i] for the i-th ring of start() in the form of net_ring.last_avail.
	 * Harmless when not started.
	 */
	void (*stop)(struct net_backend *be, uint16_t *ret_last_avail);
	/*
	 * The interrupt of ring @index is @fd from now on; -1 = none (NO_VECTOR, or MSI-X is off).
	 * Borrowed for the call: keep a dup(). Remembered from before start() and across stop().
	 */
	void (*set_call)(struct net_backend *be, unsigned int index, int fd);
	/* Pairs the guest uses from now on, 1..max_pairs (Virtio 1.2 §5.1.6.5.6). May be NULL: 1. */
	int (*set_pairs)(struct net_backend *be, unsigned int pairs);
	/* May be NULL: everything is passed on. @f is valid during the call. */
	void (*set_filter)(struct net_backend *be, const struct net_filter *f);
	/*
	 * Of the negotiated VIRTIO_NET_F_GUEST_* offloads only these, from now on (Virtio 1.2
	 * §5.1.6.5.7). -errno: as before. May be NULL: it cannot be changed and is not offered.
	 */
	int (*set_offloads)(struct net_backend *be, uint64_t offloads);
	/* May be NULL. Any thread. */
	void (*stats)(struct net_backend *be, struct net_backend_stats *ret);
	/* Stopped first if it runs; everything it owns goes, itself included. */
	void (*destroy)(struct net_backend *be);
};

/* Embedded first in the back end's structure; filled by its create call, constant afterwards. */
struct net_backend {
	const struct net_backend_ops *ops;
	char name[64]; /* for messages: "tap0", "vhost-user:/run/x" */
	/*
	 * Features the data path can do, offered to the guest as they are: VIRTIO_NET_F_CSUM .. ,
	 * MRG_RXBUF, VIRTIO_F_RING_PACKED, IN_ORDER, RING_INDIRECT_DESC, RING_EVENT_IDX, ... The
	 * device adds and owns VERSION_1, MAC, STATUS, MTU, MQ and all that needs the control queue.
	 */
	uint64_t features;
	unsigned int max_pairs; /* 1..NET_MAX_PAIRS */
	/*
	 * For a device whose rings are not virtio's: frames themselves, on pair 0 (devices/net_rings.h),
	 * used from one thread of the device. It calls attach, set_offloads and destroy, and never start.
	 * NULL: frames do not pass this process.
	 */
	const struct net_port_ops *port;
	void *port_ctx;
};

/* NULL is allowed. */
static inline void net_backend_destroy(struct net_backend *be)
{
	if (be)
		be->ops->destroy(be);
}

#endif
