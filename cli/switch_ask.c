// SPDX-License-Identifier: GPL-2.0-or-later
/* Ask a switch that runs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/switch.h"
#include "common/cleanup.h"
#include "vswitch/vswitch.h"

static void done_print(const json_t *result)
{
	if (json_is_integer(result))
		printf("%" PRId64 " removed\n", (int64_t)json_integer_value(result));
}

static const struct {
	const char *noun, *verb;
	const char *method, *param; /* what the word behind them is */
	void (*print)(const json_t *result);
} commands[] = {
	{"port", "list", "port.list", NULL, switch_ports_print},
	{"port", "add", "port.add", "config", done_print},
	{"port", "set", "port.set", "config", done_print},
	{"port", "del", "port.del", "name", done_print},
	{"fdb", "show", "fdb.show", NULL, switch_fdb_print},
	{"fdb", "add", "fdb.add", "mac", done_print},
	{"fdb", "del", "fdb.del", "mac", done_print},
	{"fdb", "flush", "fdb.flush", NULL, done_print},
	{"stats", NULL, "stats", NULL, switch_stats_print},
};

/* The command @a names, or -1 with a message. */
static int command_find(const struct switch_arguments *a)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		unsigned int want = 1 + !!commands[i].verb + !!commands[i].param;

		if (strcmp(a->words[0], commands[i].noun) ||
			(commands[i].verb &&
				(a->nr_words < 2 || strcmp(a->words[1], commands[i].verb))))
			continue;
		if (a->nr_words == want)
			return (int)i;
		fprintf(stderr, "viaduct switch %s %s: %s\n", a->words[0],
			commands[i].verb ? commands[i].verb : "",
			a->nr_words > want ? "too many arguments"
					   : "one more argument is needed; see --help");
		return -1;
	}
	fprintf(stderr, "viaduct switch: unknown command '%s%s%s'; see --help\n", a->words[0],
		a->nr_words > 1 ? " " : "", a->nr_words > 1 ? a->words[1] : "");
	return -1;
}

int switch_ask(const struct switch_arguments *a)
{
	const char *socket = a->socket ? a->socket : getenv("VIADUCT_SWITCH");
	_cleanup_free_ char *line = NULL, *text = NULL, *answer = NULL;
	json_t *params = json_object(), *request, *reply, *result;
	struct err e = {0};
	const char *message;
	int command = command_find(a);

	if (command < 0) {
		json_decref(params);
		return SWITCH_EXIT_USAGE;
	}
	if (!socket) {
		fputs("viaduct switch: give --socket PATH or set VIADUCT_SWITCH\n", stderr);
		json_decref(params);
		return SWITCH_EXIT_USAGE;
	}
	if (commands[command].param)
		json_object_set_new(params, commands[command].param,
			json_string(a->words[1 + !!commands[command].verb]));
	if (a->port)
		json_object_set_new(params, "port", json_string(a->port));
	if (a->vlan)
		json_object_set_new(params, "vlan", json_integer(a->vlan));
	request = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id", 1, "method",
		commands[command].method, "params", params);
	text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	json_decref(request);
	if (!text || asprintf(&line, "%s\n", text) < 0) {
		fputs("viaduct switch: arguments must be text in UTF-8\n", stderr);
		return SWITCH_EXIT_USAGE;
	}
	if (control_ask(socket, line, &e, &answer) < 0)
		return switch_complain(&e);
	reply = json_loads(answer, 0, NULL);
	result = json_object_get(reply, "result");
	message = json_string_value(json_object_get(json_object_get(reply, "error"), "message"));
	if (!result) {
		err_set(&e, EPROTO, "%s", message ? message : "no answer that can be read");
		json_decref(reply);
		return switch_complain(&e);
	}
	if (a->json) {
		json_dumpf(result, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
		putchar('\n');
	} else {
		commands[command].print(result);
	}
	json_decref(reply);
	return fflush(stdout) ? 1 : 0;
}
