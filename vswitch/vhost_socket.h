/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a vhost-user port finds its front ends: a socket it listens on, or one it connects to, again
 * and again. No call waits; all is done from the event loop of the control thread. Private to vswitch.
 */
#ifndef VIADUCT_VSWITCH_VHOST_SOCKET_H
#define VIADUCT_VSWITCH_VHOST_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

struct sd_event;
struct sd_event_source;

#define VHOST_RETRY_FIRST_US 50000u
#define VHOST_RETRY_LAST_US  500000u

struct vhost_socket {
	const char *path;
	bool client;
	/* Takes *@fd, nonblocking, or leaves it to be closed. */
	void (*peer)(void *ctx, int *fd);
	void *ctx;
	int listen_fd;
	dev_t dev; /* of what we made at @path */
	ino_t ino;
	struct sd_event_source *io, *timer;
	uint64_t retry_us;
	struct err why; /* what came of the last attempt; code 0: nothing to say */
};

/*
 * @path and @ctx outlive @s. A server listens at once, though nobody is let in before start; @mode is
 * the socket's, or 0 for this user alone. Returns as socket_listen(); a client cannot fail.
 */
int vhost_socket_init(
	struct vhost_socket *s, const char *path, bool client, mode_t mode, struct err *e);

/* Let front ends in, or look for one. Negative errno of sd_event. */
int vhost_socket_start(struct vhost_socket *s, struct sd_event *loop, struct err *e);

/*
 * A client's connection is gone: look for another one, soon if it has @worked, else later than the
 * last time. A server's goes on listening.
 */
void vhost_socket_again(struct vhost_socket *s, bool worked);

/* Removes a server's socket if it still is ours. */
void vhost_socket_finish(struct vhost_socket *s);

#endif
