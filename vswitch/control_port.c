// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "vswitch/control.h"

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
		port_kind_name(cfg->kind), port_config_backend(cfg), "up", (int)p->up, "mtu",
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

/* The port's description as YAML text: the same parser as for the file. */
static int port_param(const json_t *params, struct rpc_answer *a, struct port_config *ret)
{
	const char *text = rpc_text(params, "config", "the port's description, as text", a);

	if (!text)
		return -EINVAL;
	if (port_config_parse("the port's description", text, strlen(text), &a->e, ret) < 0) {
		a->code = RPC_PARAMS;
		return -EINVAL;
	}
	return 0;
}

static void port_add(void *ctx, const json_t *params, struct rpc_answer *a)
{
	struct port_config cfg;

	if (!port_param(params, a, &cfg))
		rpc_done(a, vswitch_port_add(ctx, &cfg, &a->e));
}

static void port_set(void *ctx, const json_t *params, struct rpc_answer *a)
{
	struct port_config cfg;

	if (!port_param(params, a, &cfg))
		rpc_done(a, vswitch_port_set(ctx, &cfg, &a->e));
}

static void port_del(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const char *name = rpc_text(params, "name", "a port's name", a);

	if (name)
		rpc_done(a, vswitch_port_del(ctx, name, &a->e));
}

const struct rpc_method control_port_methods[] = {
	{"port.add", port_add, {"config"}},
	{"port.del", port_del, {"name"}},
	{"port.set", port_set, {"config"}},
	{"port.list", port_list, {NULL}},
	{NULL},
};
