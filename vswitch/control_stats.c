// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>

#include "common/cleanup.h"
#include "vswitch/control.h"
#include "vswitch/prometheus.h"

static void stats(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const json_t *name = json_object_get(params, "name");
	struct vswitch_stats s;

	if (name) {
		control_port_show(ctx, params, a);
		return;
	}
	vswitch_stats_get(ctx, &s);
	a->result = json_pack("{s:I, s:I, s:I, s:I, s:i, s:o}", "rounds", (json_int_t)s.rounds,
		"busy-rounds", (json_int_t)s.busy_rounds, "busy-cycles", (json_int_t)s.busy_cycles,
		"sleeps", (json_int_t)s.sleeps, "addresses", (int)s.fdb_entries, "ports",
		control_ports_json(ctx, true));
	json_object_set_new(a->result, "threads", control_threads_json(&s));
}

static void stats_prometheus(void *ctx, const json_t *params, struct rpc_answer *a)
{
	_cleanup_free_ char *text = prometheus_text(ctx);

	a->result = text ? json_string(text) : NULL;
}

const struct rpc_method control_stats_methods[] = {
	{"stats", stats, {"name"}},
	{"stats.prometheus", stats_prometheus, {NULL}},
	{NULL},
};
