/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dialogue with one back end, from its connection to its loss: what is said in which order, and
 * what the answers may be. Every call sends requests and waits for their answers, each until a
 * deadline; after an error the connection is of no more use and the text says why.
 * Used by the front end's thread alone. Private to vhost_user*.c.
 */
#ifndef VIADUCT_DEVICES_VHOST_USER_SESSION_H
#define VIADUCT_DEVICES_VHOST_USER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/net_backend.h"
#include "devices/vhost_user_msg.h"

#define VU_RINGS (2 * NET_MAX_PAIRS)

struct vu_session {
	int sock; /* owned */
	struct vu_rx rx;
	int reply_ms;      /* how long to wait for one answer */
	uint64_t features; /* virtio features the back end has */
	uint64_t protocol; /* VU_PF_* bits in use */
	uint64_t messages; /* sent */
};

/* The region the back end keeps its inflight descriptors in; it outlives the back end. */
struct vu_inflight_region {
	int fd; /* owned; -1 = none */
	struct vu_inflight desc;
};

/* Everything a back end is told to serve the rings; filled by the front end. */
struct vu_plan {
	uint64_t features; /* negotiated with the guest */
	struct vu_mem_table mem;
	int mem_fd[VU_MAX_REGIONS]; /* borrowed */
	unsigned int n, pairs;
	struct net_ring ring[VU_RINGS]; /* addresses in the table's user space */
	int call[VU_RINGS];             /* by ring index; -1 = none */
	int err[VU_RINGS];              /* borrowed, by ring index: eventfd of a ring given up */
};

/*
 * Take over @sock (closed by vu_session_close(), also after a failure here) and find out what the
 * back end can do. @pairs: queue pairs it must have; @mtu: told to it when it can be, 0 = nothing.
 */
int vu_session_open(struct vu_session *s, int *sock, int reply_ms, unsigned int pairs, uint16_t mtu,
	struct err *e);
void vu_session_close(struct vu_session *s);

/*
 * Hand over memory, rings, doorbells and interrupts, and start. -ENOTSUP: the guest uses features
 * the back end lacks (they are named). @inf is filled at the first start and replayed later.
 */
int vu_session_start(struct vu_session *s, const struct vu_plan *p, struct vu_inflight_region *inf,
	struct err *e);
/* Stop the rings; ret_base[i] is where the i-th of the plan goes on. */
int vu_session_stop(
	struct vu_session *s, const struct vu_plan *p, uint16_t *ret_base, struct err *e);
/* Ring @index interrupts by @fd from now on, -1 = not at all. */
int vu_session_call(struct vu_session *s, unsigned int index, int fd, struct err *e);
/* Ring @index is (not) to be served. No effect on a back end without protocol features. */
int vu_session_enable(struct vu_session *s, unsigned int index, bool on, struct err *e);
/* The switch is to learn that @mac is here, for a guest that does not say so itself. */
int vu_session_announce(struct vu_session *s, const uint8_t *mac, struct err *e);
/* Something arrived though nothing was asked: always an error, what it is is in @e. 0: nothing. */
int vu_session_unasked(struct vu_session *s, struct err *e);

void vu_inflight_drop(struct vu_inflight_region *inf);

#endif
