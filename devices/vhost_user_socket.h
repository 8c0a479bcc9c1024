/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where front end and back end meet: a Unix socket we listen on (server) or connect to (client).
 * Private to vhost_user*.c.
 */
#ifndef VIADUCT_DEVICES_VHOST_USER_SOCKET_H
#define VIADUCT_DEVICES_VHOST_USER_SOCKET_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/err.h"

struct vu_socket {
	struct sockaddr_un addr;
	bool client;
	int listener; /* server: owned, non-blocking */
	dev_t dev;    /* server: the file we made, to remove no other */
	ino_t ino;
};

/*
 * Server: listen at @path. A socket a dead process left there is replaced; -EADDRINUSE: a live one
 * listens there (named); -EEXIST: there is something that is no socket; -EPERM: another user's;
 * -ENAMETOOLONG, -ENOENT (its directory), -EACCES. Client: only looks at @path, which need not exist yet: -ENOTSOCK,
 * -ENAMETOOLONG.
 */
int vu_socket_init(struct vu_socket *s, const char *path, bool client, struct err *e);
/* Close, and remove the file if it is still ours. Harmless on a zeroed one. */
void vu_socket_finish(struct vu_socket *s);
/*
 * A connection to a back end, without waiting: a non-blocking fd, or -EAGAIN (server: nobody asks),
 * -ENOENT, -ECONNREFUSED (client: nobody there), ...
 */
int vu_socket_peer(struct vu_socket *s);

#endif
