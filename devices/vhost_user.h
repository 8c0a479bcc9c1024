/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vhost-user front end: a network back end that is another process, met at a Unix socket. It
 * gets the guest's memory, the doorbells and the interrupts' eventfds, and from then on guest and
 * process are on their own: no code of ours runs per packet.
 *
 * A thread of its own talks to it, so neither a vCPU nor the control thread waits for more than a
 * bounded time. A back end that dies, hangs or breaks the protocol costs its connection, for a
 * reason that is logged and counted; the guest keeps its device, and the next one is told all that
 * the last one was and goes on where the used rings end.
 *
 * "Vhost-user Protocol", QEMU docs/interop/vhost-user.rst.
 */
#ifndef VIADUCT_DEVICES_VHOST_USER_H
#define VIADUCT_DEVICES_VHOST_USER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "devices/net_backend.h"
#include "vmm/gmem.h"

struct vhost_user_config {
	const char *path; /* of the socket; copied */
	bool client;      /* connect to it; else listen there */
	unsigned int pairs;
	uint16_t mtu;     /* told to a back end that can be told; 0 = nothing */
	uint64_t without; /* features not to be offered to the guest */
	/*
	 * Made with gmem_config.sealed: a back end must not be able to cut pages from it. Must
	 * outlive the back end.
	 */
	struct gmem *mem;
	/*
	 * How long creation waits for a first back end, to offer the guest what that can do. Without
	 * one the guest is offered what each of them can: MRG_RXBUF and the rings' basics.
	 */
	unsigned int wait_ms;
	/* Asked while creation waits; true: wait no longer. May be NULL. */
	bool (*interrupted)(void *ctx);
	void *interrupted_ctx;
	unsigned int reply_ms; /* the most one answer may take; 0 = 5000 */
	unsigned int grace_ms; /* pause after which the guest sees its link go down; 0 = 3000 */
};

/*
 * -EINVAL: 0 or more than NET_MAX_PAIRS pairs, or memory that is not sealed; -ENOSPC: more than 8
 * regions of memory; the errors of the socket's path (text has the remedy): -EADDRINUSE, -EEXIST, -EPERM,
 * -ENOTSOCK, -ENAMETOOLONG, -ENOENT, -EACCES; -ENOMEM, -EMFILE, -EAGAIN (no thread).
 * No back end, or one that will not do, is no error.
 */
int vhost_user_create(const struct vhost_user_config *cfg, struct err *e, struct net_backend **ret);

struct vhost_user_stats {
	bool connected; /* and past the first questions */
	bool running;   /* it serves the guest's rings */
	uint64_t connections;
	uint64_t losses;          /* it went away */
	uint64_t protocol_errors; /* dropped: what it sent is not in the protocol */
	uint64_t timeouts;        /* dropped: it did not answer or read */
	uint64_t refusals;        /* dropped: it lacks what the guest uses, or said no */
	uint64_t starts;          /* times the rings were handed over */
	uint64_t replays;         /* ... to one that came after a dead one */
	uint64_t messages;        /* sent to back ends */
	uint64_t announces;       /* addresses that a back end was asked to announce */
	uint64_t ring_errors;     /* rings a back end gave up, or that did not say where to go on */
	char last_reason[256];    /* why the last one was dropped; "" */
};

/* Any thread. @be is from vhost_user_create(). */
void vhost_user_stats(struct net_backend *be, struct vhost_user_stats *ret);

#endif
