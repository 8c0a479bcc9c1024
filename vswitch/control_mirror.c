// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "vswitch/control.h"
#include "vswitch/datapath.h"
#include "vswitch/taps.h"

static void mirror_add(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const char *text = rpc_text(params, "config", "the mirror's description, as text", a);
	struct mirror_config cfg;

	if (!text)
		return;
	if (mirror_config_parse("description", text, strlen(text), &a->e, &cfg) < 0)
		a->code = RPC_PARAMS;
	else
		rpc_done(a, taps_mirror_add(vswitch_datapath(ctx), &cfg, &a->e));
}

static void mirror_del(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const char *name = rpc_text(params, "name", "a mirror's name", a);

	if (name)
		rpc_done(a, taps_mirror_del(vswitch_datapath(ctx), name, &a->e));
}

static const char *direction_name(uint8_t directions)
{
	static const char *const names[] = {"", "in", "out", "both"};

	return names[directions & 3];
}

static json_t *mirror_json(const struct mirror *m)
{
	json_t *from = json_array(),
	       *o = json_pack("{s:s, s:o, s:s, s:b, s:I, s:I, s:I}", "name", m->cfg.name, "from",
		       from, "direction", direction_name(m->cfg.directions), "reserved",
		       (int)m->cfg.reserved, "frames", (json_int_t)counter_read(&m->frames),
		       "bytes", (json_int_t)counter_read(&m->bytes), "limited",
		       (json_int_t)counter_read(&m->limited));

	for (unsigned int i = 0; i < m->cfg.nr_from; i++)
		json_array_append_new(from, json_string(m->cfg.from[i]));
	if (m->cfg.vlan)
		json_object_set_new(o, "vlan", json_integer(m->cfg.vlan));
	else
		json_object_set_new(o, "to", json_string(m->cfg.to));
	if (m->cfg.rate)
		json_object_set_new(o, "rate",
			json_sprintf("%" JSON_INTEGER_FORMAT "bps", (json_int_t)m->cfg.rate));
	return o;
}

static void mirror_list(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const struct mirrors *ms = taps_mirrors(vswitch_datapath(ctx));

	a->result = json_array();
	for (unsigned int i = 0; i < ms->nr; i++)
		json_array_append_new(a->result, mirror_json(ms->list[i]));
}

const struct rpc_method control_mirror_methods[] = {
	{"mirror.add", mirror_add, {"config"}},
	{"mirror.del", mirror_del, {"name"}},
	{"mirror.list", mirror_list, {NULL}},
	{NULL},
};
