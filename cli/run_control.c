// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/run_control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "common/rpc_server.h"

struct control {
	struct rpc_server *server;
	const struct rpc_method *groups[2];
	void *ctx;
	uint64_t refused;
};

static int request_serve(
	void *ctx, struct rpc_client *client, const char *line, size_t len, char **ret)
{
	struct control *c = ctx;
	int r;

	/* An answer may be long, and a batch has many. */
	if (line[strspn(line, " \t\r")] == '[') {
		*ret = rpc_error(RPC_INVALID, "a guest takes no batches: one request a line");
		r = *ret ? 0 : -ENOMEM;
	} else {
		r = rpc_serve(c->groups, c->ctx, line, len, ret);
	}
	/* Quotes within strings are escaped, so this is no text of somebody else. */
	c->refused += *ret && strstr(*ret, "\"error\":{\"code\":");
	return r;
}

int control_create(struct sd_event *loop, int listen_fd, const struct rpc_method *methods,
	void *ctx, struct err *e, struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	/* The guest's own affairs come first, however many ask. */
	const struct rpc_server_config cfg = {
		.clients_max = CONTROL_CLIENTS_MAX,
		.line_max = CONTROL_REQUEST_MAX,
		.priority = SD_EVENT_PRIORITY_IDLE,
		.serve = request_serve,
		.ctx = c,
	};
	int r;

	if (!c)
		return err_sys(e, ENOMEM, "control socket");
	c->groups[0] = methods;
	c->ctx = ctx;
	r = rpc_server_create(loop, listen_fd, &cfg, e, &c->server);
	if (r < 0) {
		control_destroy(c);
		return r;
	}
	*ret = c;
	return 0;
}

void control_destroy(struct control *c)
{
	if (!c)
		return;
	rpc_server_destroy(c->server);
	free(c);
}

void control_stats(const struct control *c, struct control_stats *ret)
{
	struct rpc_server_stats s;

	rpc_server_stats(c->server, &s);
	*ret = (struct control_stats){
		.connections = s.connections,
		.requests = s.requests,
		.refused = c->refused + s.too_long,
		.displaced = s.displaced,
	};
}
