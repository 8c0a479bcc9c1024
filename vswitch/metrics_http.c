// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "vswitch/address.h"
#include "vswitch/metrics_http.h"
#include "vswitch/prometheus.h"
#include "vswitch/socket.h"

#define CONNECTIONS_MAX 16
#define CONNECTION_S    5
#define TICK_MS         1000
#define MEMORY_MAX      8192 /* of a request's head */

struct metrics_http {
	struct vswitch *sw;
	struct MHD_Daemon *daemon;
	sd_event_source *io, *timer;
	char *path; /* of a socket of ours */
};

static enum MHD_Result answer(
	struct MHD_Connection *c, unsigned int status, const char *type, char *text)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result ok;

	if (!r) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	ok = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
	const char *method, const char *version, const char *body, size_t *body_len, void **state)
{
	struct metrics_http *m = ctx;
	bool get = !strcmp(method, "GET") || !strcmp(method, "HEAD");
	char *text;

	/* A body is not wanted: the connection ends with the answer. */
	if (!get || *body_len)
		text = strdup("only GET\n");
	else if (strcmp(url, "/metrics"))
		text = strdup("there is only /metrics\n");
	else {
		vswitch_lock(m->sw);
		text = prometheus_text(m->sw);
		vswitch_unlock(m->sw);
		return text ? answer(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
				      text)
			    : MHD_NO;
	}
	return text ? answer(c,
			      get && !*body_len ? MHD_HTTP_NOT_FOUND : MHD_HTTP_METHOD_NOT_ALLOWED,
			      "text/plain", text)
		    : MHD_NO;
}

static int on_timer(sd_event_source *s, uint64_t now_us, void *ctx);

static unsigned int connections(struct metrics_http *m)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(m->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info ? info->num_connections : 0;
}

/*
 * Let it work, and come back when a connection's time is up. Nobody listens while there are as
 * many connections as there may be, and only the run after the one that ended some listens again:
 * so the timer rests only when a run found none and left none.
 */
static void metrics_run(struct metrics_http *m)
{
	unsigned int before = connections(m), after;
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(m->daemon);
	after = connections(m);
	if (after < before)
		ms = 0;
	else if (MHD_get_timeout(m->daemon, &ms) != MHD_YES || ms > TICK_MS)
		ms = TICK_MS;
	sd_event_source_set_time_relative(m->timer, (ms + 1) * 1000);
	sd_event_source_set_enabled(m->timer, before || after ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int on_timer(sd_event_source *s, uint64_t now_us, void *ctx)
{
	metrics_run(ctx);
	return 0;
}

static int on_io(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	metrics_run(ctx);
	return 0;
}

static int listen_at(const char *text, struct err *e, int *ret_fd)
{
	_cleanup_fd_ int fd = -1;
	struct address a;
	int one = 1;

	if (text[0] == '/')
		return socket_listen(text, NULL, e, ret_fd);
	if (address_parse(text, &a) < 0)
		return err_set(e, EINVAL, "'%s' is no address", text);
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, errno, "make a socket for %s", text);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &a.any, a.len) < 0 || listen(fd, CONNECTIONS_MAX) < 0)
		return err_sys(e, errno, "listen at %s; choose another port", text);
	*ret_fd = fd_steal(&fd);
	return 0;
}

static int daemon_start(struct metrics_http *m, int fd, sd_event *loop)
{
	const union MHD_DaemonInfo *info;
	int r;

	m->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, m,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned int)CONNECTION_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_MAX,
		MHD_OPTION_END);
	if (!m->daemon) {
		fd_close(fd);
		return -EIO;
	}
	info = MHD_get_daemon_info(m->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	r = info ? sd_event_add_io(loop, &m->io, info->epoll_fd, EPOLLIN, on_io, m) : -EIO;
	if (r >= 0)
		r = sd_event_add_time_relative(
			loop, &m->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, m);
	return r;
}

int metrics_http_create(struct vswitch *sw, const char *address, struct sd_event *loop,
	struct err *e, struct metrics_http **ret)
{
	struct metrics_http *m = calloc(1, sizeof(*m));
	int r, fd;

	if (!m)
		return err_set(e, ENOMEM, "out of memory");
	m->sw = sw;
	r = listen_at(address, e, &fd);
	if (r < 0) {
		err_wrap(e, r, "prometheus");
	} else {
		m->path = address[0] == '/' ? strdup(address) : NULL;
		r = daemon_start(m, fd, loop);
		if (r < 0)
			err_sys(e, -r, "prometheus: serve at %s", address);
	}
	if (r < 0) {
		metrics_http_destroy(m);
		return r;
	}
	*ret = m;
	return 0;
}

void metrics_http_destroy(struct metrics_http *m)
{
	if (!m)
		return;
	sd_event_source_unref(m->io);
	sd_event_source_unref(m->timer);
	/* Closes the listening socket too. */
	if (m->daemon)
		MHD_stop_daemon(m->daemon);
	if (m->path)
		unlink(m->path);
	free(m->path);
	free(m);
}
