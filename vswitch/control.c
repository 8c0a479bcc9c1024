// SPDX-License-Identifier: GPL-2.0-or-later
/* JSON-RPC 2.0 over a Unix socket, one request a line. What a client sends is not trusted to be that. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "vswitch/socket.h"
#include "vswitch/vswitch.h"

#define CLIENTS_MAX 16
#define REQUEST_MAX 65536

/* JSON-RPC 2.0 §5.1; what the switch itself refuses is 1. */
enum {
	RPC_PARSE = -32700,
	RPC_INVALID = -32600,
	RPC_NO_METHOD = -32601,
	RPC_PARAMS = -32602,
	RPC_INTERNAL = -32603,
	RPC_REFUSED = 1
};

struct client {
	struct control *control;
	sd_event_source *source;
	int fd;
	char *in, *out;
	size_t in_len, out_len, out_at;
};

struct control {
	struct vswitch *sw;
	sd_event *loop;
	sd_event_source *source;
	char *path;
	int fd;
	struct client *clients[CLIENTS_MAX];
};

struct answer {
	json_t *result;
	int code;
	struct err e;
};

static void answer_fail(struct answer *a, int code, const char *text)
{
	a->code = code;
	err_set(&a->e, EINVAL, "%s", text);
}

static void answer_done(struct answer *a, int r)
{
	if (r < 0)
		a->code = RPC_REFUSED;
	else
		a->result = json_true();
}

static json_t *drops_json(const struct port_counters *c)
{
	json_t *o = json_object();

	for (enum drop_reason i = 0; i < DROP_REASON_COUNT; i++)
		if (c->drops[i])
			json_object_set_new(
				o, drop_reason_name(i), json_integer((json_int_t)c->drops[i]));
	return o;
}

static json_t *vlan_json(const struct vlan_port *v)
{
	json_t *trunk;

	if (v->access)
		return json_pack("{s:i}", "access", v->native);
	trunk = json_array();
	for (int vid = 1; vid <= VLAN_MAX; vid++) {
		int last = vid;

		if (!vlan_port_has(v, (uint16_t)vid))
			continue;
		while (last < VLAN_MAX && vlan_port_has(v, (uint16_t)(last + 1)))
			last++;
		json_array_append_new(trunk,
			last == vid ? json_sprintf("%d", vid) : json_sprintf("%d-%d", vid, last));
		vid = last;
	}
	return json_pack("{s:o, s:i}", "trunk", trunk, "native", v->native);
}

static json_t *port_json(const struct vswitch_port *p, bool counters)
{
	const struct port_config *cfg = &p->cfg;
	json_t *o = json_pack("{s:s, s:s, s:b, s:i, s:b, s:o, s:i}", "name", cfg->name,
		cfg->kind == PORT_VHOST_USER ? "vhost-user" : "device",
		cfg->kind == PORT_VHOST_USER ? cfg->path : cfg->device, "up", (int)p->up, "mtu",
		(int)cfg->forward.mtu, "isolated", (int)cfg->forward.isolated, "vlan",
		vlan_json(&cfg->forward.vlan), "addresses", (int)p->fdb.entries);

	if (p->why_down && !p->up)
		json_object_set_new(o, "why-down", json_string(p->why_down));
	if (cfg->fdb_limit != FDB_LIMIT_NONE)
		json_object_set_new(o, "fdb-limit", json_integer(cfg->fdb_limit));
	if (cfg->kind == PORT_VHOST_USER)
		json_object_set_new(o, "client", json_boolean(cfg->client));
	if (!counters)
		return o;
	json_object_set_new(o, "rx-packets", json_integer((json_int_t)p->counters.rx_packets));
	json_object_set_new(o, "rx-bytes", json_integer((json_int_t)p->counters.rx_bytes));
	json_object_set_new(o, "tx-packets", json_integer((json_int_t)p->counters.tx_packets));
	json_object_set_new(o, "tx-bytes", json_integer((json_int_t)p->counters.tx_bytes));
	json_object_set_new(o, "flooded", json_integer((json_int_t)p->counters.flooded));
	json_object_set_new(o, "drops", drops_json(&p->counters));
	json_object_set_new(o, "learned", json_integer((json_int_t)p->fdb.learned));
	json_object_set_new(o, "moved", json_integer((json_int_t)p->fdb.moved));
	json_object_set_new(o, "evicted", json_integer((json_int_t)p->fdb.evicted));
	json_object_set_new(o, "aged", json_integer((json_int_t)p->fdb.aged));
	return o;
}

static json_t *ports_json(struct vswitch *sw, bool counters)
{
	json_t *list = json_array();
	struct vswitch_port p;
	unsigned int cursor = 0;

	while (vswitch_port_next(sw, &cursor, &p))
		json_array_append_new(list, port_json(&p, counters));
	return list;
}

static void port_list(struct vswitch *sw, const json_t *params, struct answer *a)
{
	a->result = ports_json(sw, false);
}

static void stats(struct vswitch *sw, const json_t *params, struct answer *a)
{
	struct vswitch_stats s;

	vswitch_stats_get(sw, &s);
	a->result = json_pack("{s:I, s:I, s:I, s:I, s:i, s:o}", "rounds", (json_int_t)s.rounds,
		"busy-rounds", (json_int_t)s.busy_rounds, "busy-cycles", (json_int_t)s.busy_cycles,
		"sleeps", (json_int_t)s.sleeps, "addresses", (int)s.fdb_entries, "ports",
		ports_json(sw, true));
}

/* The port's description as YAML text: the same parser as for the file. */
static int port_param(const json_t *params, struct answer *a, struct port_config *ret)
{
	const json_t *text = json_object_get(params, "config");

	if (!json_is_string(text)) {
		answer_fail(a, RPC_PARAMS, "\"config\" must be the port's description, as text");
		return -EINVAL;
	}
	if (port_config_parse("the port's description", json_string_value(text),
		    json_string_length(text), &a->e, ret) < 0) {
		a->code = RPC_PARAMS;
		return -EINVAL;
	}
	return 0;
}

static void port_add(struct vswitch *sw, const json_t *params, struct answer *a)
{
	struct port_config cfg;

	if (!port_param(params, a, &cfg))
		answer_done(a, vswitch_port_add(sw, &cfg, &a->e));
}

static void port_set(struct vswitch *sw, const json_t *params, struct answer *a)
{
	struct port_config cfg;

	if (!port_param(params, a, &cfg))
		answer_done(a, vswitch_port_set(sw, &cfg, &a->e));
}

static void port_del(struct vswitch *sw, const json_t *params, struct answer *a)
{
	const char *name = json_string_value(json_object_get(params, "name"));

	if (!name)
		answer_fail(a, RPC_PARAMS, "\"name\" must be a port's name");
	else
		answer_done(a, vswitch_port_del(sw, name, &a->e));
}

static void fdb_show(struct vswitch *sw, const json_t *params, struct answer *a)
{
	_cleanup_free_ struct fdb_entry *list = NULL;
	size_t n;

	if (vswitch_fdb_list(sw, &list, &n) < 0) {
		answer_fail(a, RPC_INTERNAL, "out of memory");
		return;
	}
	a->result = json_array();
	for (size_t i = 0; i < n; i++) {
		const char *port = vswitch_port_name(sw, list[i].port);
		char mac[18];

		mac_format(list[i].mac, mac);
		json_array_append_new(
			a->result, json_pack("{s:s, s:i, s:s, s:i, s:b}", "mac", mac, "vlan",
					   list[i].vlan, "port", port ? port : "?", "age",
					   list[i].is_static ? 0 : (int)list[i].seen_s, "static",
					   (int)list[i].is_static));
	}
}

/* VLAN 1 unless "vlan" says another. */
static int address_param(const json_t *params, struct answer *a, uint64_t *mac, uint16_t *vlan)
{
	const json_t *v = json_object_get(params, "vlan");
	const char *text = json_string_value(json_object_get(params, "mac"));
	json_int_t n = v ? json_integer_value(v) : VLAN_DEFAULT;

	if (!text || mac_parse(text, mac) < 0)
		answer_fail(a, RPC_PARAMS, "\"mac\" must be an address such as 02:00:00:00:00:01");
	else if (n < 1 || n > VLAN_MAX)
		answer_fail(a, RPC_PARAMS, "\"vlan\" must be 1 to 4094");
	else
		*vlan = (uint16_t)n;
	return a->code ? -EINVAL : 0;
}

static void fdb_add(struct vswitch *sw, const json_t *params, struct answer *a)
{
	const char *port = json_string_value(json_object_get(params, "port"));
	uint16_t vlan = 0;
	uint64_t mac;

	if (!port)
		answer_fail(a, RPC_PARAMS, "\"port\" must be a port's name");
	else if (!address_param(params, a, &mac, &vlan))
		answer_done(a, vswitch_fdb_add(sw, mac, vlan, port, &a->e));
}

static void fdb_del(struct vswitch *sw, const json_t *params, struct answer *a)
{
	uint16_t vlan = 0;
	uint64_t mac;

	if (!address_param(params, a, &mac, &vlan))
		answer_done(a, vswitch_fdb_del(sw, mac, vlan, &a->e));
}

static void fdb_flush_method(struct vswitch *sw, const json_t *params, struct answer *a)
{
	const json_t *port = json_object_get(params, "port"), *v = json_object_get(params, "vlan");
	json_int_t vlan = v ? json_integer_value(v) : FDB_ANY_VLAN;
	uint32_t n;

	if (port && !json_is_string(port))
		answer_fail(a, RPC_PARAMS, "\"port\" must be a port's name");
	else if (v && (vlan < 1 || vlan > VLAN_MAX))
		answer_fail(a, RPC_PARAMS, "\"vlan\" must be 1 to 4094");
	else if (vswitch_fdb_flush(sw, json_string_value(port), (uint16_t)vlan, &a->e, &n) < 0)
		a->code = RPC_REFUSED;
	else
		a->result = json_integer(n);
}

static const struct {
	const char *name;
	void (*call)(struct vswitch *sw, const json_t *params, struct answer *a);
} methods[] = {
	{"port.add", port_add},
	{"port.del", port_del},
	{"port.set", port_set},
	{"port.list", port_list},
	{"fdb.show", fdb_show},
	{"fdb.add", fdb_add},
	{"fdb.del", fdb_del},
	{"fdb.flush", fdb_flush_method},
	{"stats", stats},
};

static void request_do(struct vswitch *sw, const json_t *request, struct answer *a)
{
	const char *method = json_string_value(json_object_get(request, "method"));
	const json_t *params = json_object_get(request, "params");

	if (!method || (params && !json_is_object(params))) {
		answer_fail(
			a, RPC_INVALID, "a request has \"method\" and, as an object, \"params\"");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (!strcmp(methods[i].name, method)) {
			methods[i].call(sw, params, a);
			return;
		}
	answer_fail(a, RPC_NO_METHOD, "there is no such method");
}

/* Returns the line that answers, or NULL when there is no memory. */
static char *line_answer(struct vswitch *sw, const char *line, size_t len)
{
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL), *id, *reply;
	struct answer a = {0};
	char *text;

	if (!json_is_object(request))
		answer_fail(&a, RPC_PARSE, "one JSON object a line is expected");
	else
		request_do(sw, request, &a);
	id = json_object_get(request, "id");
	id = id ? json_incref(id) : json_null();
	if (a.code)
		reply = json_pack("{s:s, s:o, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id, "error",
			"code", a.code, "message", a.e.text);
	else
		reply = json_pack(
			"{s:s, s:o, s:o}", "jsonrpc", "2.0", "id", id, "result", a.result);
	text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	json_decref(reply);
	json_decref(request);
	return text;
}

static void client_destroy(struct client *c)
{
	struct control *control = c->control;

	for (unsigned int i = 0; i < CLIENTS_MAX; i++)
		if (control->clients[i] == c)
			control->clients[i] = NULL;
	sd_event_source_unref(c->source);
	fd_close(c->fd);
	free(c->in);
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

/* Answer whole lines, one at a time: the next waits until the client has taken the answer. */
static bool client_serve(struct client *c)
{
	char *end;

	while (!c->out && (end = memchr(c->in, '\n', c->in_len))) {
		size_t len = (size_t)(end - c->in);
		char *text = line_answer(c->control->sw, c->in, len);

		if (!text)
			return false;
		c->in_len -= len + 1;
		memmove(c->in, end + 1, c->in_len);
		c->out_len = strlen(text) + 1;
		c->out_at = 0;
		text[c->out_len - 1] = '\n';
		c->out = text;
		if (!client_write(c))
			return false;
	}
	return c->out || c->in_len < REQUEST_MAX;
}

static bool client_read(struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, REQUEST_MAX - c->in_len, 0);

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	c->in_len += (size_t)n;
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

static int on_accept(sd_event_source *s, int listen_fd, uint32_t events, void *ctx)
{
	struct control *control = ctx;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;
	unsigned int i = 0;

	if (fd < 0)
		return 0;
	while (i < CLIENTS_MAX && control->clients[i])
		i++;
	c = i < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		fd_close(fd);
		return 0;
	}
	*c = (struct client){.control = control, .fd = fd, .in = malloc(REQUEST_MAX)};
	control->clients[i] = c;
	if (!c->in || sd_event_add_io(control->loop, &c->source, fd, EPOLLIN, on_client, c) < 0)
		client_destroy(c);
	return 0;
}

int control_create(struct vswitch *sw, const char *path, struct sd_event *loop, struct err *e,
	struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, ENOMEM, "out of memory");
	c->sw = sw;
	c->loop = loop;
	c->fd = -1;
	r = socket_listen(path, e, &c->fd);
	if (r < 0) {
		err_wrap(e, r, "control socket");
	} else {
		c->path = strdup(path);
		r = sd_event_add_io(loop, &c->source, c->fd, EPOLLIN, on_accept, c);
		if (r < 0)
			err_sys(e, -r, "watch the control socket");
	}
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
