// SPDX-License-Identifier: GPL-2.0-or-later
#include "vswitch/control.h"

static double percent(uint64_t part, uint64_t whole)
{
	uint64_t tenths = whole ? part * 1000 / whole : 0;

	return (double)tenths / 10;
}

json_t *control_threads_json(const struct vswitch_stats *s)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < s->nr_cores; i++) {
		const struct vswitch_core *c = &s->cores[i];

		json_array_append_new(list,
			json_pack("{s:i, s:f, s:I, s:I, s:I, s:I}", "core", c->core, "busy",
				percent(c->load, c->cycles_per_s), "rounds", (json_int_t)c->rounds,
				"busy-rounds", (json_int_t)c->busy_rounds, "busy-cycles",
				(json_int_t)c->busy_cycles, "sleeps", (json_int_t)c->sleeps));
	}
	return list;
}

json_t *control_queues_json(const struct vswitch_port *p)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < p->nr_queues; i++)
		json_array_append_new(list, json_pack("{s:i, s:i, s:f}", "queue", p->queues[i].no,
						    "core", p->queues[i].core, "busy",
						    percent(p->queues[i].load, p->cycles_per_s)));
	return list;
}

static void balance_method(void *ctx, const json_t *params, struct rpc_answer *a)
{
	int n = vswitch_balance(ctx, &a->e);

	if (n < 0)
		rpc_done(a, n);
	else
		a->result = json_integer(n);
}

const struct rpc_method control_threads_methods[] = {
	{"balance", balance_method, {NULL}},
	{NULL},
};
