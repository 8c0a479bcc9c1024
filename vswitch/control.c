// SPDX-License-Identifier: GPL-2.0-or-later
/* The control socket: what its clients ask is done under the switch's lock. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/rpc_server.h"
#include "vswitch/control.h"
#include "vswitch/socket.h"
#include "vswitch/taps.h"

#define CLIENTS_MAX 16
#define REQUEST_MAX (4u << 20) /* a configuration of a MiB, quoted */

static const struct rpc_method *const groups[] = {
	control_apply_methods,
	control_port_methods,
	control_fdb_methods,
	control_stats_methods,
	control_mirror_methods,
	control_mcast_methods,
	control_threads_methods,
	control_capture_methods,
	NULL,
};

struct control {
	struct vswitch *sw;
	struct rpc_server *server;
	char *path;
	int fd;
};

/*
 * A request may have begun a capture: what it needs goes with the answer, and it ends with the
 * connection. A second one of the same client takes the place of the first.
 */
static void capture_give(struct control *c, struct rpc_client *client)
{
	struct datapath *dp = vswitch_datapath(c->sw);
	struct capture *fresh = taps_capture_take(dp), *old = rpc_client_held(client);

	if (!fresh)
		return;
	if (old)
		taps_capture_del(dp, old);
	rpc_client_hold(client, fresh);
	rpc_client_pass(client, (const int[]){fresh->memory_fd, fresh->event_fd}, 2);
}

static void capture_gone(void *ctx, void *held)
{
	const struct control *c = ctx;

	taps_capture_del(vswitch_datapath(c->sw), held);
}

static int request_serve(
	void *ctx, struct rpc_client *client, const char *line, size_t len, char **ret)
{
	struct control *c = ctx;
	int r;

	vswitch_lock(c->sw);
	r = rpc_serve(groups, c->sw, line, len, ret);
	capture_give(c, client);
	vswitch_unlock(c->sw);
	return r;
}

int control_listen(const char *path, const char *group, struct err *e, int *ret_fd)
{
	int r = socket_listen(path, group, e, ret_fd);

	return r < 0 ? err_wrap(e, r, "control socket") : 0;
}

int control_create(struct vswitch *sw, const char *path, int *fd, struct sd_event *loop,
	struct err *e, struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	const struct rpc_server_config cfg = {
		.clients_max = CLIENTS_MAX,
		.line_max = REQUEST_MAX,
		.priority = SD_EVENT_PRIORITY_NORMAL,
		.serve = request_serve,
		.gone = capture_gone,
		.ctx = c,
	};
	int r;

	if (!c)
		return err_set(e, ENOMEM, "out of memory");
	c->sw = sw;
	c->fd = fd_steal(fd);
	c->path = strdup(path);
	r = c->path ? rpc_server_create(loop, c->fd, &cfg, e, &c->server)
		    : err_set(e, ENOMEM, "out of memory");
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
	if (c->fd >= 0 && c->path)
		unlink(c->path);
	fd_close(c->fd);
	free(c->path);
	free(c);
}

int control_ask(const char *path, const char *request, struct err *e, char **ret_answer)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_fd_ int fd = -1;
	size_t len = strlen(request), at = 0, max = 0;
	int r = socket_connect(path, e, &fd);

	if (r < 0)
		return r;
	while (at < len) {
		ssize_t n = send(fd, request + at, len - at, MSG_NOSIGNAL);

		if (n < 0)
			return err_sys(e, errno, "send to %s", path);
		at += (size_t)n;
	}
	for (at = 0;;) {
		ssize_t n;

		if (at + 1 >= max) {
			char *more = realloc(text, max = max * 2 + 65536);

			if (!more)
				return err_set(e, ENOMEM, "out of memory");
			text = more;
		}
		n = recv(fd, text + at, max - at - 1, 0);
		if (n <= 0)
			return err_sys(
				e, n < 0 ? errno : ECONNRESET, "wait for an answer of %s", path);
		at += (size_t)n;
		if (text[at - 1] == '\n')
			break;
	}
	text[at - 1] = '\0';
	*ret_answer = ptr_steal(text);
	return 0;
}
