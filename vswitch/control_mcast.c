// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <string.h>

#include "vswitch/control.h"
#include "vswitch/datapath.h"

static void group_text(const uint8_t group[16], char ret[INET6_ADDRSTRLEN])
{
	if (group[0])
		inet_ntop(AF_INET6, group, ret, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET, group + 12, ret, INET6_ADDRSTRLEN);
}

static json_t *entries_json(struct vswitch *sw, const struct snoop *s)
{
	json_t *list = json_array();
	struct snoop_entry e;
	uint32_t cursor = 0, now_s = datapath_now_s(vswitch_datapath(sw));

	while (snoop_next(s, &cursor, now_s, &e)) {
		const char *port = vswitch_port_name(sw, e.port);
		char group[INET6_ADDRSTRLEN];
		json_t *o = json_pack("{s:i, s:s, s:i, s:b}", "vlan", e.vlan, "port",
			port ? port : "?", "left", (int)e.left_s, "router", (int)e.router);

		if (!e.router) {
			group_text(e.group, group);
			json_object_set_new(o, "group", json_string(group));
		}
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *ports_json(struct vswitch *sw, const struct snoop *s)
{
	json_t *list = json_array();

	for (uint16_t i = 0; i < FORWARD_PORTS_MAX; i++) {
		const char *name = vswitch_port_name(sw, i);
		struct snoop_port_stats st;

		if (!name)
			continue;
		snoop_stats_get(s, i, &st);
		json_array_append_new(list,
			json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:i}", "port", name, "joins",
				(json_int_t)st.joins, "leaves", (json_int_t)st.leaves, "queries",
				(json_int_t)st.queries, "malformed", (json_int_t)st.malformed,
				"refused", (json_int_t)st.refused, "entries", (int)st.entries));
	}
	return list;
}

static void mcast_show(void *ctx, const json_t *params, struct rpc_answer *a)
{
	struct datapath *dp = vswitch_datapath(ctx);
	const struct snoop *s = datapath_forward(dp)->snoop;

	if (!s) {
		a->result = json_pack("{s:b, s:[], s:[]}", "snooping", 0, "entries", "ports");
		return;
	}
	datapath_pause(dp);
	a->result = json_pack("{s:b, s:o, s:o}", "snooping", 1, "entries", entries_json(ctx, s),
		"ports", ports_json(ctx, s));
	datapath_resume(dp);
}

const struct rpc_method control_mcast_methods[] = {
	{"mcast.show", mcast_show, {NULL}},
	{NULL},
};
