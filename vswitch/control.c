// SPDX-License-Identifier: GPL-2.0-or-later
/* The control socket: a request a line. What a client sends is not trusted to be that. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "vswitch/control.h"
#include "vswitch/socket.h"
#include "vswitch/taps.h"

#define CLIENTS_MAX  16
#define REQUEST_MAX  (4u << 20) /* a configuration of a MiB, quoted */
#define REQUEST_STEP 65536

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

struct client {
	struct control *control;
	sd_event_source *source;
	int fd;
	char *in, *out;
	size_t in_len, in_max, out_len, out_at;
	uint64_t seen;           /* when it last sent something, in events */
	bool leaving;            /* once it has its answer */
	bool passes;             /* what @capture needs goes with the next answer */
	struct capture *capture; /* ends with the connection */
};

struct control {
	struct vswitch *sw;
	sd_event *loop;
	sd_event_source *source;
	char *path;
	int fd;
	struct client *clients[CLIENTS_MAX];
	uint64_t events;
};

static void client_destroy(struct client *c)
{
	struct control *control = c->control;

	for (unsigned int i = 0; i < CLIENTS_MAX; i++)
		if (control->clients[i] == c)
			control->clients[i] = NULL;
	if (c->capture)
		taps_capture_del(vswitch_datapath(control->sw), c->capture);
	sd_event_source_unref(c->source);
	fd_close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

static ssize_t client_push(struct client *c)
{
	const int fds[2] = {
		c->passes ? c->capture->memory_fd : -1, c->passes ? c->capture->event_fd : -1};
	struct iovec iov = {c->out + c->out_at, c->out_len - c->out_at};
	char control[CMSG_SPACE(sizeof(fds))] = {0};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (c->passes) {
		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		*CMSG_FIRSTHDR(&m) = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(fds)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, sizeof(fds));
	}
	n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
	c->passes = c->passes && n < 0;
	return n;
}

/* A request may have begun a capture. A second one of the same client takes the place of the first. */
static void client_capture(struct client *c)
{
	struct datapath *dp = vswitch_datapath(c->control->sw);
	struct capture *fresh = taps_capture_take(dp);

	if (!fresh)
		return;
	if (c->capture)
		taps_capture_del(dp, c->capture);
	c->capture = fresh;
	c->passes = true;
}

/* Returns false when the client is to go. */
static bool client_write(struct client *c)
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

/* Answer whole lines, one at a time: the next waits until the client has taken the answer. */
static bool client_serve(struct client *c)
{
	char *end, *text;
	int r;

	while (!c->out && !c->leaving && (end = memchr(c->in, '\n', c->in_len))) {
		size_t len = (size_t)(end - c->in);

		vswitch_lock(c->control->sw);
		r = rpc_serve(groups, c->control->sw, c->in, len, &text);
		client_capture(c);
		vswitch_unlock(c->control->sw);
		if (r < 0)
			return false;
		c->in_len -= len + 1;
		memmove(c->in, end + 1, c->in_len);
		if (text && !client_send(c, text))
			return false;
	}
	if (!c->out && !c->leaving && c->in_len >= REQUEST_MAX) {
		c->leaving = true;
		if (!client_send(c, rpc_error(RPC_INVALID, "the request is too long")))
			return false;
	}
	return c->out || !c->leaving;
}

static bool client_read(struct client *c)
{
	ssize_t n;

	if (c->in_len == c->in_max) {
		char *more = realloc(c->in, c->in_max + REQUEST_STEP);

		if (!more)
			return false;
		c->in = more;
		c->in_max += REQUEST_STEP;
	}
	n = recv(c->fd, c->in + c->in_len, c->in_max - c->in_len, 0);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	c->in_len += (size_t)n;
	c->seen = ++c->control->events;
	return true;
}

static int on_client(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	struct client *c = ctx;
	bool stays = true;

	if (c->out)
		stays = client_write(c);
	else
		stays = client_read(c);
	if (stays)
		stays = client_serve(c);
	if (stays)
		sd_event_source_set_io_events(s, c->out ? EPOLLOUT : EPOLLIN);
	else
		client_destroy(c);
	return 0;
}

/*
 * A place for one more. Who sits there and asks nothing makes way, the longest silent first; but not who
 * captures, of whom there are fewer.
 */
static unsigned int place_make(struct control *control)
{
	unsigned int place = 0;

	for (unsigned int i = 0; i < CLIENTS_MAX; i++) {
		if (!control->clients[i])
			return i;
		if (control->clients[place]->capture ||
			(!control->clients[i]->capture &&
				control->clients[i]->seen < control->clients[place]->seen))
			place = i;
	}
	client_destroy(control->clients[place]);
	return place;
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
	*c = (struct client){
		.control = control,
		.fd = fd,
		.in = malloc(REQUEST_STEP),
		.in_max = REQUEST_STEP,
		.seen = ++control->events,
	};
	control->clients[place_make(control)] = c;
	if (!c->in || sd_event_add_io(control->loop, &c->source, fd, EPOLLIN, on_client, c) < 0)
		client_destroy(c);
	return 0;
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
	int r;

	if (!c)
		return err_set(e, ENOMEM, "out of memory");
	c->sw = sw;
	c->loop = loop;
	c->fd = fd_steal(fd);
	c->path = strdup(path);
	r = c->path ? sd_event_add_io(loop, &c->source, c->fd, EPOLLIN, on_accept, c) : -ENOMEM;
	if (r < 0)
		err_sys(e, -r, "watch the control socket");
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
	for (unsigned int i = 0; i < CLIENTS_MAX; i++)
		if (c->clients[i])
			client_destroy(c->clients[i]);
	sd_event_source_unref(c->source);
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
