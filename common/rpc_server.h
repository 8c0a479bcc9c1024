/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections of a JSON-RPC socket: a request a line, an answer a line, served by an event loop.
 * Who connects is not trusted: the length of a line and the number of clients are bounded, and while an
 * answer waits to be taken the client's next request is not read. What a line is answered is its owner's
 * affair; rpc.h has the answers. All calls: the loop's thread.
 */
#ifndef VIADUCT_COMMON_RPC_SERVER_H
#define VIADUCT_COMMON_RPC_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define RPC_PASS_MAX 2 /* fds with an answer */

struct sd_event;
struct rpc_client;
struct rpc_server;

struct rpc_server_config {
	unsigned int clients_max; /* 1.. */
	size_t line_max;          /* bytes, its end included */
	int64_t priority;         /* among the loop's sources, SD_EVENT_PRIORITY_* */
	/*
	 * Answer the @len bytes at @line, without their end; a NUL follows them. *@ret comes as NULL;
	 * it is a line without its end, which the server frees, or stays NULL: no answer. Negative:
	 * the connection ends.
	 */
	int (*serve)(void *ctx, struct rpc_client *c, const char *line, size_t len, char **ret);
	/* The connection that held @held has ended. NULL when clients hold nothing. */
	void (*gone)(void *ctx, void *held);
	void *ctx;
};

struct rpc_server_stats {
	uint64_t connections; /* since the start */
	uint64_t requests;    /* lines that were served */
	uint64_t too_long;    /* lines that were not; their connections ended */
	uint64_t displaced;   /* connections that made way for another: the longest silent */
};

/* Serve @listen_fd (borrowed, non-blocking) on @loop. -ENOMEM or what sd-event says. */
int rpc_server_create(struct sd_event *loop, int listen_fd, const struct rpc_server_config *cfg,
	struct err *e, struct rpc_server **ret);
/* Ends all connections; @listen_fd stays open. NULL is allowed. */
void rpc_server_destroy(struct rpc_server *s);
void rpc_server_stats(const struct rpc_server *s, struct rpc_server_stats *ret);

/*
 * From serve(): @held, not NULL, ends with the connection; gone() hears of it. It takes the place of what
 * @c held before, which is the caller's again. A client that holds something makes way last.
 */
void rpc_client_hold(struct rpc_client *c, void *held);
/* What it holds, or NULL. */
void *rpc_client_held(const struct rpc_client *c);
/*
 * From serve(): the @n <= RPC_PASS_MAX @fds go to @c with its next answer, instead of any that still wait.
 * They are borrowed until then.
 */
void rpc_client_pass(struct rpc_client *c, const int *fds, unsigned int n);

#endif
