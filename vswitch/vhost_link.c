// SPDX-License-Identifier: GPL-2.0-or-later
#include "vswitch/vhost_link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "vswitch/vhost_socket.h"

/*
 * A message may cost the traffic of all ports a round. A guest with 16 queue pairs starts with some
 * three hundred; who sends thousands waits.
 */
#define MESSAGES_BURST   4096
#define MESSAGES_PER_S   2000
#define MESSAGES_AT_ONCE 32
#define TICK_US          50000
#define HALFWAY_US       5000000 /* from a message's first byte to its last */

struct vhost_link {
	char *name, *path;
	struct vhost_offer offer;
	struct vhost_socket socket;
	struct vhost_session session;
	sd_event *loop;
	sd_event_source *io, *wake, *tick;
	bool worked; /* frames could move in this session */

	uint64_t tokens, tokens_at_us;
	uint64_t halfway_at_us; /* 0 = at no message */
	uint64_t messages_seen;

	struct log_limit limit;
	uint64_t connections, refused, errors;
	struct err last;
	char why[2048];
};

static uint64_t now_us(const struct vhost_link *l)
{
	uint64_t t = 0;

	sd_event_now(l->loop, CLOCK_MONOTONIC, &t);
	return t;
}

static void session_end(struct vhost_link *l, int reason, const struct err *e)
{
	l->io = sd_event_source_disable_unref(l->io);
	sd_event_source_set_enabled(l->tick, SD_EVENT_OFF);
	vhost_session_close(&l->session);
	l->halfway_at_us = 0;
	if (reason == -EPIPE || reason == -ECONNRESET) {
		log_debug("port '%s': %s", l->name, e->text);
	} else {
		l->errors++;
		l->last = *e;
		log_guest(&l->limit, "port '%s': connection ended: %s", l->name, e->text);
	}
	vhost_socket_again(&l->socket, l->worked);
}

/* Whether the session may take another message now. */
static bool tokens_take(struct vhost_link *l, uint64_t now)
{
	uint64_t used = l->session.messages - l->messages_seen;
	uint64_t more = (now - l->tokens_at_us) * MESSAGES_PER_S / 1000000;

	if (more) {
		l->tokens = l->tokens + more < MESSAGES_BURST ? l->tokens + more : MESSAGES_BURST;
		l->tokens_at_us = now;
	}
	l->messages_seen = l->session.messages;
	l->tokens -= used < l->tokens ? used : l->tokens;
	return l->tokens;
}

/* What to wait for next. */
static void session_watch(struct vhost_link *l, bool progress)
{
	uint64_t now = now_us(l);
	bool may = tokens_take(l, now);
	bool halfway = vhost_session_halfway(&l->session);

	if (!halfway)
		l->halfway_at_us = 0;
	else if (progress || !l->halfway_at_us)
		l->halfway_at_us = now;
	sd_event_source_set_io_events(
		l->io, vhost_session_blocked(&l->session) ? EPOLLOUT : EPOLLIN);
	sd_event_source_set_enabled(l->io, may ? SD_EVENT_ON : SD_EVENT_OFF);
	if (may && !halfway) {
		sd_event_source_set_enabled(l->tick, SD_EVENT_OFF);
	} else {
		sd_event_source_set_time_relative(l->tick, TICK_US);
		sd_event_source_set_enabled(l->tick, SD_EVENT_ONESHOT);
	}
}

static int on_tick(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct vhost_link *l = ctx;
	struct err e = {0};

	if (l->session.sock < 0)
		return 0;
	if (l->halfway_at_us && now_us(l) - l->halfway_at_us > HALFWAY_US) {
		err_set(&e, ETIMEDOUT, "the front end %s",
			vhost_session_blocked(&l->session) ? "does not read our answers"
							   : "stopped in the middle of a message");
		session_end(l, -ETIMEDOUT, &e);
		return 0;
	}
	session_watch(l, false);
	return 0;
}

static int on_message(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct vhost_link *l = ctx;
	struct err e = {0};
	int r = vhost_session_serve(&l->session, MESSAGES_AT_ONCE, &e);

	if (r < 0) {
		session_end(l, r, &e);
		return 0;
	}
	if (!vhost_session_missing(&l->session))
		l->worked = true;
	session_watch(l, r > 0);
	return 0;
}

static int on_wake(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct vhost_link *l = ctx;
	struct err e = {0};
	int r = vhost_session_check(&l->session, &e);

	if (r < 0)
		session_end(l, r, &e);
	return 0;
}

static bool peer_is_gone(int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

static void on_peer(void *ctx, int *fd)
{
	struct vhost_link *l = ctx;
	struct err e = {0};
	int r;

	/* It may have hung up and called again before we were told of the former. */
	if (l->session.sock >= 0 && peer_is_gone(l->session.sock)) {
		err_set(&e, EPIPE, "the front end hung up");
		session_end(l, -EPIPE, &e);
	}
	if (l->session.sock >= 0) {
		l->refused++;
		log_guest(&l->limit, "port '%s': a second connection to %s is refused", l->name,
			l->path);
		return;
	}
	l->connections++;
	l->worked = false;
	l->messages_seen = l->session.messages;
	r = sd_event_add_io(l->loop, &l->io, *fd, EPOLLIN, on_message, l);
	if (r < 0) {
		err_sys(&e, -r, "watch the connection");
		session_end(l, r, &e);
		return;
	}
	vhost_session_open(&l->session, fd);
}

int vhost_link_create(const struct vhost_link_config *cfg, struct sd_event *loop,
	const struct vhost_session_ops *ops, void *ctx, struct vring_dev *dev, struct err *e,
	struct vhost_link **ret)
{
	struct vhost_link *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return err_set(e, ENOMEM, "out of memory");
	l->session.sock = l->session.wake_fd = l->socket.listen_fd = -1;
	l->loop = loop;
	l->offer = cfg->offer;
	l->tokens = MESSAGES_BURST;
	l->name = strdup(cfg->name);
	l->path = strdup(cfg->path);
	r = l->name && l->path ? 0 : err_set(e, ENOMEM, "out of memory");
	if (r == 0)
		r = vhost_session_init(&l->session, &l->offer, ops, ctx, dev, e);
	if (r == 0)
		r = vhost_socket_init(&l->socket, l->path, cfg->client, (mode_t)cfg->mode, e);
	if (r < 0) {
		vhost_link_destroy(l);
		return r;
	}
	l->socket.peer = on_peer;
	l->socket.ctx = l;
	*ret = l;
	return 0;
}

int vhost_link_start(struct vhost_link *l, struct err *e)
{
	int r = sd_event_add_time_relative(
		l->loop, &l->tick, CLOCK_MONOTONIC, 0, TICK_US / 10, on_tick, l);

	if (r >= 0)
		r = sd_event_source_set_enabled(l->tick, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_io(l->loop, &l->wake, l->session.wake_fd, EPOLLIN, on_wake, l);
	if (r < 0)
		return err_sys(e, -r, "watch the connection");
	return vhost_socket_start(&l->socket, l->loop, e);
}

void vhost_link_destroy(struct vhost_link *l)
{
	if (!l)
		return;
	vhost_socket_finish(&l->socket);
	sd_event_source_disable_unref(l->io);
	sd_event_source_disable_unref(l->wake);
	sd_event_source_disable_unref(l->tick);
	if (l->session.sock >= 0)
		vhost_session_close(&l->session);
	vhost_session_finish(&l->session);
	free(l->name);
	free(l->path);
	free(l);
}

void vhost_link_live(const struct vhost_link *l, uint32_t *ret_rx, uint32_t *ret_tx)
{
	vhost_session_live(&l->session, ret_rx, ret_tx);
}

const char *vhost_link_why_down(struct vhost_link *l)
{
	const char *last = l->last.code ? "; the last connection ended: " : "";
	const char *what = NULL;

	if (l->session.sock < 0) {
		if (l->socket.why.code)
			what = l->socket.why.text;
		else
			what = l->socket.client ? "not connected yet" : "nobody has connected";
		snprintf(l->why, sizeof(l->why), "%s%s%s", what, last,
			l->last.code ? l->last.text : "");
		return l->why;
	}
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++) {
		what = vring_broken(&l->session.dev[i]);
		if (what) {
			snprintf(l->why, sizeof(l->why), "ring %u is broken: %s", i, what);
			return l->why;
		}
	}
	return vhost_session_missing(&l->session);
}

void vhost_link_stats_get(const struct vhost_link *l, struct vhost_link_stats *ret)
{
	*ret = (struct vhost_link_stats){
		.connections = l->connections,
		.refused = l->refused,
		.errors = l->errors,
		.messages = l->session.messages,
		.features = l->session.features,
		.mtu = l->session.mtu,
		.last_error = l->last.code ? l->last.text : NULL,
	};
}
