// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/rpc.h"
#include "common/rpc_server.h"

#define BUFFER_FIRST 4096

struct rpc_client {
	struct rpc_server *server;
	sd_event_source *source;
	int fd;
	char *in;
	/* Of @in: where the next line begins, how far its end was looked for, what is read, its size. */
	size_t in_at, in_seen, in_len, in_max;
	char *out; /* one answer at most: the next request waits until it is taken */
	size_t out_at, out_len;
	int pass[RPC_PASS_MAX];
	unsigned int n_pass;
	void *held;
	uint64_t active; /* when it last did something, in events */
	bool leaving;    /* once it has its answer */
};

struct rpc_server {
	struct rpc_server_config cfg;
	sd_event *loop;
	sd_event_source *source;
	uint64_t events;
	struct rpc_server_stats stats;
	struct rpc_client *clients[];
};

static void client_destroy(struct rpc_client *c)
{
	struct rpc_server *s = c->server;

	for (unsigned int i = 0; i < s->cfg.clients_max; i++)
		if (s->clients[i] == c)
			s->clients[i] = NULL;
	if (c->held)
		s->cfg.gone(s->cfg.ctx, c->held);
	sd_event_source_unref(c->source);
	fd_close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

/* ---- answers ---- */

static ssize_t client_push(struct rpc_client *c)
{
	struct iovec iov = {c->out + c->out_at, c->out_len - c->out_at};
	char control[CMSG_SPACE(sizeof(c->pass))] = {0};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	const size_t len = c->n_pass * sizeof(*c->pass);
	ssize_t n;

	if (len) {
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(len);
		*CMSG_FIRSTHDR(&m) = (struct cmsghdr){.cmsg_len = CMSG_LEN(len),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), c->pass, len);
	}
	n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
	if (n > 0)
		c->n_pass = 0;
	return n;
}

/* Returns false when the client is to go. */
static bool client_write(struct rpc_client *c)
{
	while (c->out_at < c->out_len) {
		ssize_t n = client_push(c);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		c->out_at += (size_t)n;
	}
	free(c->out);
	c->out = NULL;
	return true;
}

static bool client_send(struct rpc_client *c, char *text)
{
	if (!text)
		return false;
	c->out_len = strlen(text) + 1;
	c->out_at = 0;
	text[c->out_len - 1] = '\n';
	c->out = text;
	return client_write(c);
}

/* ---- requests ---- */

static bool line_serve(struct rpc_client *c, const char *line, size_t len)
{
	struct rpc_server *s = c->server;
	char *text = NULL;

	s->stats.requests++;
	if (s->cfg.serve(s->cfg.ctx, c, line, len, &text) < 0)
		return false;
	return !text || client_send(c, text);
}

/* Where the next line ends, or NULL: no byte is looked at twice, however slowly they come. */
static char *line_end(struct rpc_client *c)
{
	char *end = memchr(c->in + c->in_seen, '\n', c->in_len - c->in_seen);

	c->in_seen = end ? (size_t)(end - c->in) + 1 : c->in_len;
	return end;
}

/* Answer whole lines, one at a time: the next waits until the client has taken the answer. */
static bool client_serve(struct rpc_client *c)
{
	char *line, *end;

	while (!c->out && !c->leaving && (end = line_end(c))) {
		line = c->in + c->in_at;
		c->in_at = c->in_seen;
		*end = '\0';
		if (!line_serve(c, line, (size_t)(end - line)))
			return false;
	}
	if (!c->out && !c->leaving && c->in_len - c->in_at == c->server->cfg.line_max) {
		c->leaving = true;
		c->server->stats.too_long++;
		if (!client_send(c, rpc_error(RPC_INVALID, "the request is too long")))
			return false;
	}
	return c->out || !c->leaving;
}

static bool buffer_grow(struct rpc_client *c)
{
	const size_t limit = c->server->cfg.line_max;
	size_t max = c->in_max ? c->in_max * 2 : BUFFER_FIRST;
	char *more;

	if (max > limit)
		max = limit;
	more = realloc(c->in, max);
	if (!more)
		return false;
	c->in = more;
	c->in_max = max;
	return true;
}

static bool client_read(struct rpc_client *c)
{
	ssize_t n;

	if (c->in_at) {
		c->in_len -= c->in_at;
		c->in_seen -= c->in_at;
		memmove(c->in, c->in + c->in_at, c->in_len);
		c->in_at = 0;
	}
	if (c->in_len == c->in_max && !buffer_grow(c))
		return false;
	n = recv(c->fd, c->in + c->in_len, c->in_max - c->in_len, 0);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	c->in_len += (size_t)n;
	return true;
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct rpc_client *c = ctx;
	bool stays = c->out ? client_write(c) : client_read(c);

	c->active = ++c->server->events;
	if (stays && c->in)
		stays = client_serve(c);
	if (stays)
		sd_event_source_set_io_events(source, c->out ? EPOLLOUT : EPOLLIN);
	else
		client_destroy(c);
	return 0;
}

/* ---- connections ---- */

static bool goes_before(const struct rpc_client *a, const struct rpc_client *b)
{
	return !a->held != !b->held ? !a->held : a->active < b->active;
}

/* A place for one more: who was silent longest makes way. */
static unsigned int place_make(struct rpc_server *s)
{
	unsigned int place = 0;

	for (unsigned int i = 0; i < s->cfg.clients_max; i++) {
		if (!s->clients[i])
			return i;
		if (goes_before(s->clients[i], s->clients[place]))
			place = i;
	}
	client_destroy(s->clients[place]);
	s->stats.displaced++;
	return place;
}

static int source_add(
	struct rpc_server *s, sd_event_source **ret, int fd, sd_event_io_handler_t fn, void *ctx)
{
	int r = sd_event_add_io(s->loop, ret, fd, EPOLLIN, fn, ctx);

	return r < 0 ? r : sd_event_source_set_priority(*ret, s->cfg.priority);
}

static int on_accept(sd_event_source *source, int listen_fd, uint32_t events, void *ctx)
{
	struct rpc_server *s = ctx;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct rpc_client *c;

	if (fd < 0)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c) {
		fd_close(fd);
		return 0;
	}
	c->server = s;
	c->fd = fd;
	c->active = ++s->events;
	s->stats.connections++;
	s->clients[place_make(s)] = c;
	if (source_add(s, &c->source, fd, on_client, c) < 0)
		client_destroy(c);
	return 0;
}

int rpc_server_create(struct sd_event *loop, int listen_fd, const struct rpc_server_config *cfg,
	struct err *e, struct rpc_server **ret)
{
	struct rpc_server *s =
		calloc(1, sizeof(*s) + cfg->clients_max * sizeof(struct rpc_client *));
	int r;

	if (!s)
		return err_sys(e, ENOMEM, "control socket");
	s->cfg = *cfg;
	s->loop = loop;
	r = source_add(s, &s->source, listen_fd, on_accept, s);
	if (r < 0) {
		rpc_server_destroy(s);
		return err_sys(e, -r, "watch the control socket");
	}
	*ret = s;
	return 0;
}

void rpc_server_destroy(struct rpc_server *s)
{
	if (!s)
		return;
	for (unsigned int i = 0; i < s->cfg.clients_max; i++)
		if (s->clients[i])
			client_destroy(s->clients[i]);
	sd_event_source_unref(s->source);
	free(s);
}

void rpc_server_stats(const struct rpc_server *s, struct rpc_server_stats *ret)
{
	*ret = s->stats;
}

void rpc_client_hold(struct rpc_client *c, void *held)
{
	c->held = held;
}

void *rpc_client_held(const struct rpc_client *c)
{
	return c->held;
}

void rpc_client_pass(struct rpc_client *c, const int *fds, unsigned int n)
{
	assert(n <= RPC_PASS_MAX);
	memcpy(c->pass, fds, n * sizeof(*fds));
	c->n_pass = n;
}
