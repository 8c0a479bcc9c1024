/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One vhost-user connection seen from the back end: takes a front end's messages and starts, changes
 * and stops rings as they say. "Vhost-user Protocol", QEMU docs/interop/vhost-user.rst.
 *
 * The front end is not trusted. Whatever breaks a rule ends the session, with the reason in struct
 * err, and nothing else; nothing here waits for it. A ring starts with SET_VRING_KICK, once its size,
 * addresses, the memory and the features are known, and stops with GET_VRING_BASE. What runs is
 * changed between ops->pause and ops->resume. Control thread. Private to vswitch.
 */
#ifndef VIADUCT_VSWITCH_VHOST_SESSION_H
#define VIADUCT_VSWITCH_VHOST_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "vswitch/vhost_inflight.h"
#include "vswitch/vhost_mem.h"
#include "vswitch/vhost_msg.h"
#include "vswitch/vring.h"

#define VHOST_PAIRS_MAX 16
#define VHOST_RINGS_MAX (VHOST_PAIRS_MAX * 2)

/* VHOST_PF_* this back end can do. */
#define VHOST_PROTOCOL_FEATURES                                                        \
	(1ull << VHOST_PF_MQ | 1ull << VHOST_PF_RARP | 1ull << VHOST_PF_REPLY_ACK |    \
		1ull << VHOST_PF_MTU | 1ull << VHOST_PF_INFLIGHT_SHMFD |               \
		1ull << VHOST_PF_RESET_DEVICE | 1ull << VHOST_PF_CONFIGURE_MEM_SLOTS | \
		1ull << VHOST_PF_STATUS)

/* What a front end is told that there is. */
struct vhost_offer {
	uint64_t features, protocol;
	unsigned int pairs; /* 1 to VHOST_PAIRS_MAX */
	uint32_t mtu;
};

struct vhost_session_ops {
	/* Nobody touches the rings and the memory between these two. Do not nest. */
	void (*pause)(void *ctx);
	void (*resume)(void *ctx);
	/* Between them: vhost_session_live() has another answer, or an fd to wait on is another. */
	void (*changed)(void *ctx);
	/* SEND_RARP: tell the network that @mac is here. */
	void (*announce)(void *ctx, uint64_t mac);
};

struct vhost_ring {
	uint16_t size;
	bool has_addr, kicked, enabled;
	uint32_t base;
	struct vhost_ring_addr addr;
	int kick_fd, call_fd;
};

struct vhost_session {
	const struct vhost_offer *offer;
	const struct vhost_session_ops *ops;
	void *ctx;
	struct vring_dev *dev; /* VHOST_RINGS_MAX */
	int sock;              /* -1 = no connection */
	int wake_fd;           /* readable: vhost_session_check() */

	struct vhost_rx rx;
	struct vhost_tx tx;
	uint64_t features, protocol;
	bool has_features, paused;
	uint8_t status;
	uint16_t mtu; /* 0 = not told */
	struct vhost_mem mem;
	struct vhost_inflight inflight;
	struct vhost_ring ring[VHOST_RINGS_MAX];
	uint64_t messages;
};

/* @offer, @ops, @dev outlive @s. Returns 0 or what eventfd(2) says. */
int vhost_session_init(struct vhost_session *s, const struct vhost_offer *offer,
	const struct vhost_session_ops *ops, void *ctx, struct vring_dev *dev, struct err *e);
/* After vhost_session_close(). */
void vhost_session_finish(struct vhost_session *s);

/* Begin on *@sock, nonblocking, which is set to -1. There is no other connection. */
void vhost_session_open(struct vhost_session *s, int *sock);

/* Stop all rings, let go of all memory and descriptors. May be called without a connection. */
void vhost_session_close(struct vhost_session *s);

/*
 * There is something to be read, or room to write when vhost_session_blocked(): deal with up to @max
 * messages. Returns how many, or a negative errno, and the connection must be closed: -EPIPE, the
 * front end has hung up between two messages; anything else, what it did is in @e.
 */
int vhost_session_serve(struct vhost_session *s, unsigned int max, struct err *e);

/* An answer waits until the front end reads; nothing is read meanwhile. */
bool vhost_session_blocked(const struct vhost_session *s);

/* A message or an answer is under way. */
bool vhost_session_halfway(const struct vhost_session *s);

/* wake_fd is readable. 0, or -EFAULT: shared memory has gone away, close. */
int vhost_session_check(struct vhost_session *s, struct err *e);

/* Masks of queue pairs: rings that run and are enabled, *@ret_rx of those the guest sends on. */
void vhost_session_live(const struct vhost_session *s, uint32_t *ret_rx, uint32_t *ret_tx);

/* What is missing until frames can move; NULL when nothing is. Lives for ever. */
const char *vhost_session_missing(const struct vhost_session *s);

/* ---- between vhost_session.c and vhost_session_ring.c ---- */

void vhost_session_pause(struct vhost_session *s);
void vhost_session_resume(struct vhost_session *s);

/* Stop ring @i until the next kick message; it must be paused when the ring runs. */
void vhost_ring_halt(struct vhost_session *s, unsigned int i);
/* Halt, and forget what was said of it. */
void vhost_ring_forget(struct vhost_session *s, unsigned int i);
/* Start the rings that are ready to. Pauses. */
int vhost_rings_start(struct vhost_session *s, struct err *e);
/* Stop those that run, paused, to be started again by vhost_rings_start(). */
void vhost_rings_suspend(struct vhost_session *s);
bool vhost_rings_running(const struct vhost_session *s);
/* One of the SET_VRING_* messages; GET_VRING_BASE, whose answer is then in @m. */
int vhost_ring_message(struct vhost_session *s, struct vhost_msg *m, struct err *e);

#endif
