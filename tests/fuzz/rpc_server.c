// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Clients of a JSON-RPC socket that come, send, read and go in any order: each byte pair is a client and
 * what it does. No more are connected than there are places, no line is longer than the limit, and what a
 * client holds ends once.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/rpc_server.h"
#include "tests/fuzz/fuzz_check.h"

#define CLIENTS  8
#define PLACES   4
#define LINE_MAX 64

struct world {
	int listen_fd, event_fd;
	int client[CLIENTS]; /* -1: not connected */
	struct rpc_server *server;
	sd_event *loop;
	char holds[CLIENTS];
	unsigned int held, gone;
};

static int serve(void *ctx, struct rpc_client *c, const char *line, size_t len, char **ret)
{
	struct world *w = ctx;

	CHECK(len < LINE_MAX && !memchr(line, '\n', len) && !line[len]);
	switch (*line) {
	case 'd': return -1;
	case 'q': return 0;
	case 'h':
		if (!rpc_client_held(c))
			rpc_client_hold(c, &w->holds[w->held++ % CLIENTS]);
		break;
	case 'p': rpc_client_pass(c, &w->event_fd, 1); break;
	case 'b': len = 100000; break;
	}
	*ret = calloc(1, len + 1);
	CHECK(*ret);
	memset(*ret, 'a', len);
	return 0;
}

static void gone(void *ctx, void *what)
{
	struct world *w = ctx;

	CHECK((char *)what >= w->holds && (char *)what < w->holds + CLIENTS);
	w->gone++;
}

static void world_init(struct world *w)
{
	/* Bound to no more than a family, it gets a name of its own, which is no file's. */
	const struct sockaddr_un a = {.sun_family = AF_UNIX};
	const struct rpc_server_config cfg = {.clients_max = PLACES,
		.line_max = LINE_MAX,
		.serve = serve,
		.gone = gone,
		.ctx = w};

	CHECK(sd_event_new(&w->loop) >= 0);
	w->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	w->event_fd = eventfd(0, EFD_CLOEXEC);
	CHECK(w->listen_fd >= 0 && w->event_fd >= 0);
	CHECK(bind(w->listen_fd, (const struct sockaddr *)&a, sizeof(a.sun_family)) == 0);
	CHECK(listen(w->listen_fd, CLIENTS) == 0);
	CHECK(rpc_server_create(w->loop, w->listen_fd, &cfg, NULL, &w->server) == 0);
	for (int i = 0; i < CLIENTS; i++)
		w->client[i] = -1;
}

static void world_finish(struct world *w)
{
	for (int i = 0; i < CLIENTS; i++)
		fd_close(w->client[i]);
	rpc_server_destroy(w->server);
	CHECK(w->gone == w->held);
	fd_close(w->event_fd);
	fd_close(w->listen_fd);
	sd_event_unref(w->loop);
}

static void client_connect(struct world *w, int *fd)
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);

	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	CHECK(getsockname(w->listen_fd, (struct sockaddr *)&a, &len) == 0);
	if (connect(*fd, (const struct sockaddr *)&a, len) < 0)
		*fd = fd_close(*fd);
}

/* Returns how many bytes of @data it used. */
static size_t client_act(struct world *w, int *fd, unsigned int act, const uint8_t *data, size_t n)
{
	/* What serve() knows, ends of lines, and what is just long. */
	static const char words[] = "\n\nhqpbdxxxxxxxxx";
	char text[4096];

	if (*fd < 0) {
		client_connect(w, fd);
		return 0;
	}
	switch (act & 3) {
	case 0: (void)!recv(*fd, text, sizeof(text), 0); return 0;
	case 1:
		if (act & 4)
			shutdown(*fd, SHUT_WR);
		else
			*fd = fd_close(*fd);
		return 0;
	default: n = n < (act >> 2) * 2u ? n : (act >> 2) * 2u;
	}
	for (size_t i = 0; i < n; i++)
		text[i] = words[data[i] & 15];
	(void)!send(*fd, text, n, MSG_NOSIGNAL);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct world w = {0};
	struct rpc_server_stats s;

	world_init(&w);
	while (n >= 2) {
		int *fd = &w.client[data[0] % CLIENTS];
		unsigned int act = data[1];
		size_t used;

		data += 2;
		n -= 2;
		used = client_act(&w, fd, act, data, n);
		data += used;
		n -= used;
		/* Now and then several have acted before the server looks. */
		while (act & 0x80 && sd_event_run(w.loop, 0) > 0)
			;
		CHECK(w.held - w.gone <= PLACES);
	}
	rpc_server_stats(w.server, &s);
	CHECK(s.displaced <= s.connections);
	world_finish(&w);
	return 0;
}
