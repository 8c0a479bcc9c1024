/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket of a guest: JSON-RPC 2.0, a request a line, an answer a line; it is served by the
 * event loop behind everything else and changes nothing. What a client sends is not trusted: its
 * line, the number of clients and what waits for each are bounded, and a batch is refused.
 */
#ifndef VIADUCT_CLI_RUN_CONTROL_H
#define VIADUCT_CLI_RUN_CONTROL_H

#include <stdint.h>

#include "common/err.h"
#include "common/rpc.h"

#define CONTROL_CLIENTS_MAX 8
#define CONTROL_REQUEST_MAX 4096 /* bytes of a line */

struct sd_event;
struct control;

struct control_stats {
	uint64_t connections; /* since the start */
	uint64_t requests;    /* lines answered */
	uint64_t refused;     /* of them, with an error; lines that were too long, too */
	uint64_t displaced;   /* connections that made way for another: the longest silent */
};

/*
 * Serve @listen_fd (borrowed, non-blocking) with @methods, whose context is @ctx, on @loop. -ENOMEM or
 * what sd-event says.
 */
int control_create(struct sd_event *loop, int listen_fd, const struct rpc_method *methods,
	void *ctx, struct err *e, struct control **ret);
/* Ends all connections. NULL is allowed. */
void control_destroy(struct control *c);
void control_stats(const struct control *c, struct control_stats *ret);

#endif
