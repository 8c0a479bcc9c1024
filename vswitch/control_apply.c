// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "vswitch/config_json.h"
#include "vswitch/control.h"

static void show(void *ctx, const json_t *params, struct rpc_answer *a)
{
	struct switch_config *c;

	if (vswitch_config_get(ctx, &c) < 0) {
		rpc_fail(a, RPC_INTERNAL, "out of memory");
		return;
	}
	a->result = switch_config_json(c);
	switch_config_destroy(c);
}

static void apply(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const char *text = rpc_text(params, "config", "a description of the switch, as text", a);
	const json_t *file = json_object_get(params, "file");
	const json_t *dry = json_object_get(params, "dry-run");
	const char *what = json_string_value(file);
	bool dry_run = json_is_true(dry);
	struct switch_config *want = NULL;
	json_t *steps;
	int r;

	if (!text)
		return;
	/* Who asks for a rehearsal in words of his own must not get the real thing. */
	if ((dry && !json_is_boolean(dry)) || (file && !what)) {
		rpc_fail(a, RPC_PARAMS, "\"dry-run\" must be true or false, \"file\" a text");
		return;
	}
	if (switch_config_parse(what ? what : "description", text, strlen(text), &a->e, &want) <
		0) {
		a->code = RPC_PARAMS;
		return;
	}
	r = vswitch_apply(ctx, want, dry_run, &a->e, &steps);
	switch_config_destroy(want);
	if (r < 0)
		rpc_done(a, r);
	else
		a->result = json_pack("{s:b, s:b, s:o}", "changed",
			json_array_size(steps) && !dry_run, "dry-run", dry_run, "steps", steps);
}

const struct rpc_method control_apply_methods[] = {
	{"show", show, {NULL}},
	{"apply", apply, {"config", "file", "dry-run"}},
	{NULL},
};
