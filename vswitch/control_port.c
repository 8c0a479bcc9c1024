// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "vswitch/config_json.h"
#include "vswitch/control.h"

#define WORDS_MAX 64

static json_t *drops_json(const struct port_counters *c)
{
	json_t *o = json_object();

	for (enum drop_reason i = 0; i < DROP_REASON_COUNT; i++)
		if (c->drops[i])
			json_object_set_new(
				o, drop_reason_name(i), json_integer((json_int_t)c->drops[i]));
	return o;
}

static json_t *counters_json(const struct port_counters *c)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "rx-packets", (json_int_t)c->rx_packets,
		"rx-bytes", (json_int_t)c->rx_bytes, "tx-packets", (json_int_t)c->tx_packets,
		"tx-bytes", (json_int_t)c->tx_bytes, "flooded", (json_int_t)c->flooded, "drops",
		drops_json(c));
}

/* What a front end has agreed to, and what became of all of them. */
static void link_set(json_t *o, const struct vhost_link_stats *s, bool counters)
{
	json_object_set_new(o, "agreed-features", json_sprintf("0x%" PRIx64, s->features));
	if (s->last_error)
		json_object_set_new(o, "last-error", json_string(s->last_error));
	if (!counters)
		return;
	json_object_set_new(o, "connections", json_integer((json_int_t)s->connections));
	json_object_set_new(o, "connections-refused", json_integer((json_int_t)s->refused));
	json_object_set_new(o, "peer-errors", json_integer((json_int_t)s->errors));
	json_object_set_new(o, "messages", json_integer((json_int_t)s->messages));
}

/* What it is to be, and what it is. */
static json_t *port_json(const struct vswitch_port *p, bool counters)
{
	json_t *o = port_config_json(&p->cfg), *more;

	json_object_set_new(o, "kind", json_string(port_kind_name(p->cfg.kind)));
	json_object_set_new(o, "up", json_boolean(p->up));
	if (p->why_down && !p->up)
		json_object_set_new(o, "why-down", json_string(p->why_down));
	json_object_set_new(o, "addresses", json_integer(p->fdb.entries));
	json_object_set_new(o, "rx-queues", control_queues_json(p));
	if (p->cfg.kind == PORT_VHOST_USER)
		link_set(o, &p->link, counters);
	if (!counters)
		return o;
	more = counters_json(&p->counters);
	json_object_update(o, more);
	json_decref(more);
	json_object_set_new(o, "learned", json_integer((json_int_t)p->fdb.learned));
	json_object_set_new(o, "moved", json_integer((json_int_t)p->fdb.moved));
	json_object_set_new(o, "evicted", json_integer((json_int_t)p->fdb.evicted));
	json_object_set_new(o, "aged", json_integer((json_int_t)p->fdb.aged));
	return o;
}

static json_t *port_json_find(struct vswitch *sw, const char *name)
{
	struct vswitch_port p;
	unsigned int cursor = 0;

	while (vswitch_port_next(sw, &cursor, &p))
		if (!strcmp(p.cfg.name, name))
			return port_json(&p, true);
	return NULL;
}

json_t *control_ports_json(struct vswitch *sw, bool counters)
{
	json_t *list = json_array();
	struct vswitch_port p;
	unsigned int cursor = 0;

	while (vswitch_port_next(sw, &cursor, &p))
		json_array_append_new(list, port_json(&p, counters));
	return list;
}

static void port_list(void *ctx, const json_t *params, struct rpc_answer *a)
{
	a->result = control_ports_json(ctx, false);
}

void control_port_show(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const char *name = rpc_text(params, "name", "a port's name", a);

	if (!name)
		return;
	a->result = port_json_find(ctx, name);
	if (a->result)
		return;
	a->code = RPC_REFUSED;
	err_set(&a->e, ENOENT, "there is no port '%s'", name);
}

/* @base, whose reference is taken, changed by the words "key=value" in @list, as text. */
static char *words_text(json_t *base, const json_t *list, struct err *e)
{
	const char *words[WORDS_MAX];
	char *text = NULL;
	size_t i, n = json_array_size(list);
	const json_t *word;

	if (n > WORDS_MAX) {
		err_set(e, EINVAL, "there are more than %d words", WORDS_MAX);
		json_decref(base);
		return NULL;
	}
	json_array_foreach(list, i, word) words[i] =
		json_is_string(word) ? json_string_value(word) : "";
	if (port_words_apply(base, words, n, e) >= 0)
		text = json_dumps(base, JSON_COMPACT);
	json_decref(base);
	return text;
}

/* Of a text that nobody has seen. */
static void place_remove(struct err *e)
{
	int end = 0;

	sscanf(e->text, "description:%*d:%*d: %n", &end);
	memmove(e->text, e->text + end, strlen(e->text + end) + 1);
}

/*
 * The description of a port: as YAML text, read by the parser of the file, or as a name and words
 * that change the port as it is, when it @exists.
 */
static int port_param(const json_t *params, bool exists, struct vswitch *sw, struct rpc_answer *a,
	struct port_config *ret)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	const json_t *words = json_object_get(params, "words");
	const char *text = json_string_value(json_object_get(params, "config"));
	_cleanup_free_ char *made = NULL;
	struct port_config now;

	a->code = RPC_PARAMS;
	if (!text && (!name || !json_is_array(words)))
		return err_set(&a->e, EINVAL,
			"\"config\" must be the port's description, as text, or \"name\" its name "
			"and \"words\" a list of key=value");
	if (!text && exists && vswitch_port_config(sw, name, &a->e, &now) < 0) {
		a->code = RPC_REFUSED;
		return -ENOENT;
	}
	if (!text) {
		made = words_text(
			exists ? port_config_json(&now) : json_pack("{s:s}", "name", name), words,
			&a->e);
		if (!made)
			return -EINVAL;
	}
	if (port_config_parse("description", text ? text : made, strlen(text ? text : made), &a->e,
		    ret) < 0) {
		if (!text)
			place_remove(&a->e);
		return -EINVAL;
	}
	a->code = 0;
	return 0;
}

static void port_add(void *ctx, const json_t *params, struct rpc_answer *a)
{
	struct port_config cfg;

	if (!port_param(params, false, ctx, a, &cfg))
		rpc_done(a, vswitch_port_add(ctx, &cfg, &a->e));
}

static void port_set(void *ctx, const json_t *params, struct rpc_answer *a)
{
	struct port_config cfg;

	if (!port_param(params, true, ctx, a, &cfg))
		rpc_done(a, vswitch_port_set(ctx, &cfg, &a->e));
}

static void port_del(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const char *name = rpc_text(params, "name", "a port's name", a);

	if (name)
		rpc_done(a, vswitch_port_del(ctx, name, &a->e));
}

const struct rpc_method control_port_methods[] = {
	{"port.add", port_add, {"config", "name", "words"}},
	{"port.del", port_del, {"name"}},
	{"port.set", port_set, {"config", "name", "words"}},
	{"port.show", control_port_show, {"name"}},
	{"port.list", port_list, {NULL}},
	{NULL},
};
