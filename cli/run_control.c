// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/run_control.h"

#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

struct client {
	struct control *control;
	sd_event_source *source;
	int fd;
	char in[CONTROL_REQUEST_MAX];
	size_t in_len;
	char *out; /* one answer at most: the next request waits until it is taken */
	size_t out_len, out_at;
	uint64_t seen; /* when it last did something, in events */
	bool leaving;  /* once it has its answer */
};

struct control {
	sd_event *loop;
	sd_event_source *source;
	const struct rpc_method *groups[2];
	void *ctx;
	struct client *clients[CONTROL_CLIENTS_MAX];
	uint64_t events;
	struct control_stats stats;
};

static void client_destroy(struct client *c)
{
	for (unsigned int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->control->clients[i] == c)
			c->control->clients[i] = NULL;
	sd_event_source_unref(c->source);
	fd_close(c->fd);
	free(c->out);
	free(c);
}

/* Returns false when the client is to go. */
static bool client_write(struct client *c)
{
	while (c->out_at < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		c->out_at += (size_t)n;
	}
	free(c->out);
	c->out = NULL;
	return true;
}

static bool client_send(struct client *c, char *text)
{
	if (!text)
		return false;
	c->out_len = strlen(text) + 1;
	c->out_at = 0;
	text[c->out_len - 1] = '\n';
	c->out = text;
	return client_write(c);
}

static bool client_refuse(struct client *c, const char *why)
{
	c->control->stats.refused++;
	return client_send(c, rpc_error(RPC_INVALID, why));
}

static bool line_answer(struct client *c, const char *line, size_t len)
{
	struct control *control = c->control;
	const size_t blank = strspn(line, " \t\r");
	char *text;

	control->stats.requests++;
	/* An answer may be long, and a batch has many. */
	if (line[blank] == '[')
		return client_refuse(c, "a guest takes no batches: one request a line");
	if (rpc_serve(control->groups, control->ctx, line, len, &text) < 0)
		return false;
	if (!text)
		return true;
	/* Quotes within strings are escaped, so this is no text of somebody else. */
	control->stats.refused += strstr(text, "\"error\":{\"code\":") != NULL;
	return client_send(c, text);
}

static bool client_serve(struct client *c)
{
	char *end;

	while (!c->out && !c->leaving && (end = memchr(c->in, '\n', c->in_len))) {
		size_t len = (size_t)(end - c->in);

		*end = '\0';
		if (!line_answer(c, c->in, len))
			return false;
		c->in_len -= len + 1;
		memmove(c->in, end + 1, c->in_len);
	}
	if (!c->out && !c->leaving && c->in_len == sizeof(c->in)) {
		c->leaving = true;
		if (!client_refuse(c, "the request is too long"))
			return false;
	}
	return c->out || !c->leaving;
}

static bool client_read(struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	c->in_len += (size_t)n;
	return true;
}

static int on_client(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	struct client *c = ctx;
	bool stays = c->out ? client_write(c) : client_read(c);

	c->seen = ++c->control->events;
	if (stays)
		stays = client_serve(c);
	if (stays)
		sd_event_source_set_io_events(s, c->out ? EPOLLOUT : EPOLLIN);
	else
		client_destroy(c);
	return 0;
}

/* A place for one more: who was silent longest makes way. */
static unsigned int place_make(struct control *control)
{
	unsigned int place = 0;

	for (unsigned int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (!control->clients[i])
			return i;
		if (control->clients[i]->seen < control->clients[place]->seen)
			place = i;
	}
	client_destroy(control->clients[place]);
	control->stats.displaced++;
	return place;
}

static int source_add(
	struct control *control, sd_event_source **ret, int fd, sd_event_io_handler_t fn, void *ctx)
{
	int r = sd_event_add_io(control->loop, ret, fd, EPOLLIN, fn, ctx);

	/* The guest's own affairs come first, however many ask. */
	return r < 0 ? r : sd_event_source_set_priority(*ret, SD_EVENT_PRIORITY_IDLE);
}

static int on_accept(sd_event_source *s, int listen_fd, uint32_t events, void *ctx)
{
	struct control *control = ctx;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;

	if (fd < 0)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c) {
		fd_close(fd);
		return 0;
	}
	c->control = control;
	c->fd = fd;
	c->seen = ++control->events;
	control->stats.connections++;
	control->clients[place_make(control)] = c;
	if (source_add(control, &c->source, fd, on_client, c) < 0)
		client_destroy(c);
	return 0;
}

int control_create(struct sd_event *loop, int listen_fd, const struct rpc_method *methods,
	void *ctx, struct err *e, struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_sys(e, ENOMEM, "control socket");
	c->loop = loop;
	c->groups[0] = methods;
	c->ctx = ctx;
	r = source_add(c, &c->source, listen_fd, on_accept, c);
	if (r < 0) {
		control_destroy(c);
		return err_sys(e, -r, "watch the control socket");
	}
	*ret = c;
	return 0;
}

void control_destroy(struct control *c)
{
	if (!c)
		return;
	for (unsigned int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i])
			client_destroy(c->clients[i]);
	sd_event_source_unref(c->source);
	free(c);
}

void control_stats(const struct control *c, struct control_stats *ret)
{
	*ret = c->stats;
}
