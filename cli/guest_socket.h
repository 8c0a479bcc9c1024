/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of running guests, and the socket each can be asked on: NAME.sock in a directory of this
 * user's. Who has a name holds a lock (flock) on NAME.lock beside it, so that a name is free again when
 * its process ends, however it ends; the files a killed one leaves hinder nobody.
 *
 * Sockets are bound and connected to by /proc/self/fd/DIR/NAME.sock: any directory's path is short
 * enough, and it is the directory that was checked.
 */
#ifndef VIADUCT_CLI_GUEST_SOCKET_H
#define VIADUCT_CLI_GUEST_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/err.h"

#define GUEST_NAME_MAX 64

/* Letters, digits, '-', '_' and '.', not first '-' or '.', at most GUEST_NAME_MAX. */
bool guest_name_valid(const char *s);

/*
 * Open the directory: /run/viaduct/guest for root, $XDG_RUNTIME_DIR/viaduct/guest for others. @create
 * makes it (0700). -ENOENT: it is not there, or XDG_RUNTIME_DIR is not set; -EPERM: somebody else could
 * write there; others of mkdir(2) and open(2). Text in @e.
 */
int guest_dir_open(bool create, struct err *e);

struct guest_name {
	char name[GUEST_NAME_MAX + 1];
	int dir_fd, lock_fd;
	int listen_fd; /* non-blocking, mode 0600 */
};

/*
 * Take @name in @dir_fd, which becomes @ret's when it succeeds, and listen. -EEXIST: a running guest has
 * it, the text names its process; others of open(2), bind(2). @name is valid.
 */
int guest_name_take(int dir_fd, const char *name, struct err *e, struct guest_name *ret);
/* Give it back; also one that was never taken, if its fds are -1. */
void guest_name_drop(struct guest_name *n);

/*
 * Names that have a socket in @dir_fd, sorted; free with sysfs_list_free(). Returns their number or
 * -errno.
 */
int guest_names(int dir_fd, char ***ret);

/*
 * Send @request, a line with its newline, to the guest and wait for a line. The caller frees
 * *@ret_answer, which has no newline. -ENOENT: no such guest runs; -ETIMEDOUT: it does not answer within
 * @timeout_ms; -EMSGSIZE: it answers more than any guest would; others of connect(2), recv(2).
 */
int guest_ask(int dir_fd, const char *name, const char *request, int timeout_ms, struct err *e,
	char **ret_answer);

/* The process that has the name, as its lock's text says; 0: not known. */
pid_t guest_pid(int dir_fd, const char *name);

#endif
