/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets with a path. */
#ifndef VIADUCT_VSWITCH_SOCKET_H
#define VIADUCT_VSWITCH_SOCKET_H

#include "common/err.h"

/*
 * Make way for a socket at @path (shorter than sun_path): one of ours that nobody listens on, such as
 * a killed switch leaves, is removed; anything else stays. Returns 0, -EADDRINUSE (somebody listens),
 * -EEXIST (no socket), -EPERM (another user's) or what the system says.
 */
int socket_path_clear(const char *path, struct err *e);

/* As socket_path_clear(), without removing anything; -ENOENT, -EACCES: its directory. */
int socket_path_check(const char *path, struct err *e);

/*
 * Listen at @path, open to this user alone, or with @group (NULL or "" = none) to its members too. The
 * caller owns *@ret_fd. As socket_path_clear(); -EINVAL: there is no such group.
 */
int socket_listen(const char *path, const char *group, struct err *e, int *ret_fd);

/* Connect to @path. Returns 0 or a negative errno. The caller owns *@ret_fd. */
int socket_connect(const char *path, struct err *e, int *ret_fd);

#endif
