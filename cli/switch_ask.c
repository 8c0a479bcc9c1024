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

#define FILE_BYTES_MAX (1u << 20)

/* What stands behind the words of a command: each fills "params" from @a->words[@from...]. */
typedef int params_fn(const struct switch_arguments *a, unsigned int from, json_t *params);

static int more_needed(const struct switch_arguments *a, const char *what)
{
	fprintf(stderr, "viaduct switch %s %s: %s is needed; see --help\n", a->words[0],
		a->nr_words > 1 ? a->words[1] : "", what);
	return -EINVAL;
}

static int none_params(const struct switch_arguments *a, unsigned int from, json_t *params)
{
	if (a->nr_words <= from)
		return 0;
	fprintf(stderr, "viaduct switch %s: too many arguments: '%s'\n", a->words[0],
		a->words[from]);
	return -EINVAL;
}

static int word_param(const struct switch_arguments *a, unsigned int from, json_t *params,
	const char *key, const char *what)
{
	if (a->nr_words <= from)
		return more_needed(a, what);
	json_object_set_new(params, key, json_string(a->words[from]));
	return none_params(a, from + 1, params);
}

static int name_params(const struct switch_arguments *a, unsigned int from, json_t *params)
{
	return word_param(a, from, params, "name", "a port's name");
}

static int name_or_none_params(const struct switch_arguments *a, unsigned int from, json_t *params)
{
	return a->nr_words <= from ? 0 : name_params(a, from, params);
}

static int mac_params(const struct switch_arguments *a, unsigned int from, json_t *params)
{
	return word_param(a, from, params, "mac", "an address");
}

/* A description, which is YAML, or a name and words. */
static int port_params(const struct switch_arguments *a, unsigned int from, json_t *params)
{
	json_t *words;

	if (a->nr_words <= from)
		return more_needed(a, "a description, or a name and words such as mtu=9000,");
	if (a->nr_words == from + 1)
		return word_param(a, from, params, "config", "a description");
	words = json_array();
	json_object_set_new(params, "name", json_string(a->words[from]));
	for (unsigned int i = from + 1; i < a->nr_words; i++)
		json_array_append_new(words, json_string(a->words[i]));
	json_object_set_new(params, "words", words);
	return 0;
}

static int file_params(const struct switch_arguments *a, unsigned int from, json_t *params)
{
	_cleanup_free_ char *text = malloc(FILE_BYTES_MAX + 1);
	json_t *config;
	FILE *f;
	size_t n;

	if (word_param(a, from, params, "file", "a file") < 0 || !text)
		return -EINVAL;
	f = strcmp(a->words[from], "-") ? fopen(a->words[from], "re") : stdin;
	n = f ? fread(text, 1, FILE_BYTES_MAX + 1, f) : 0;
	if (!f || ferror(f)) {
		fprintf(stderr, "viaduct switch: read %s: %s\n", a->words[from], strerror(errno));
		if (f && f != stdin)
			fclose(f);
		return -EIO;
	}
	if (f != stdin)
		fclose(f);
	config = n <= FILE_BYTES_MAX ? json_stringn(text, n) : NULL;
	if (!config) {
		fprintf(stderr, "viaduct switch: %s is no text in UTF-8 of at most 1 MiB\n",
			a->words[from]);
		return -EIO;
	}
	json_object_set_new(params, "config", config);
	if (a->dry_run)
		json_object_set_new(params, "dry-run", json_true());
	return 0;
}

static void done_print(const json_t *result)
{
	if (json_is_integer(result))
		printf("%" PRId64 " removed\n", (int64_t)json_integer_value(result));
}

static void text_print(const json_t *result)
{
	fputs(json_is_string(result) ? json_string_value(result) : "", stdout);
}

static void balance_print(const json_t *result)
{
	printf("%" PRId64 " moved\n", (int64_t)json_integer_value(result));
}

static const struct command {
	const char *noun, *verb;
	const char *method;
	params_fn *params;
	void (*print)(const json_t *result);
} commands[] = {
	{"show", NULL, "show", none_params, switch_json_print},
	{"apply", NULL, "apply", file_params, switch_apply_print},
	{"port", "list", "port.list", none_params, switch_ports_print},
	{"port", "show", "port.show", name_params, switch_port_print},
	{"port", "add", "port.add", port_params, done_print},
	{"port", "set", "port.set", port_params, done_print},
	{"port", "del", "port.del", name_params, done_print},
	{"fdb", "show", "fdb.show", none_params, switch_fdb_print},
	{"fdb", "add", "fdb.add", mac_params, done_print},
	{"fdb", "del", "fdb.del", mac_params, done_print},
	{"fdb", "flush", "fdb.flush", none_params, done_print},
	{"balance", NULL, "balance", none_params, balance_print},
	{"mcast", "show", "mcast.show", none_params, switch_mcast_print},
	{"stats", NULL, "stats", name_or_none_params, switch_stats_print},
};

static const struct command prometheus_command = {
	"stats", NULL, "stats.prometheus", none_params, text_print};

/* The command @a names, or NULL with a message. */
static const struct command *command_find(const struct switch_arguments *a)
{
	if (a->prometheus && !strcmp(a->words[0], "stats"))
		return &prometheus_command;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(a->words[0], commands[i].noun) &&
			(!commands[i].verb ||
				(a->nr_words > 1 && !strcmp(a->words[1], commands[i].verb))))
			return &commands[i];
	fprintf(stderr, "viaduct switch: unknown command '%s%s%s'; see --help\n", a->words[0],
		a->nr_words > 1 ? " " : "", a->nr_words > 1 ? a->words[1] : "");
	return NULL;
}

static int request_send(
	const char *socket, const struct command *c, json_t *params, struct err *e, json_t **ret)
{
	_cleanup_free_ char *line = NULL, *text = NULL, *answer = NULL;
	json_t *request = json_pack("{s:s, s:i, s:s, s:O}", "jsonrpc", "2.0", "id", 1, "method",
		c->method, "params", params);
	const char *message;
	int r;

	text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	json_decref(request);
	if (!text || asprintf(&line, "%s\n", text) < 0)
		return err_set(e, EILSEQ, "arguments must be text in UTF-8");
	r = control_ask(socket, line, e, &answer);
	if (r < 0)
		return r;
	*ret = json_loads(answer, JSON_DECODE_ANY, NULL);
	if (json_object_get(*ret, "result"))
		return 0;
	message = json_string_value(json_object_get(json_object_get(*ret, "error"), "message"));
	r = err_set(e, EPROTO, "%s", message ? message : "no answer that can be read");
	json_decref(*ret);
	return r;
}

int switch_ask(const struct switch_arguments *a)
{
	const char *socket = a->socket ? a->socket : getenv("VIADUCT_SWITCH");
	const struct command *c = command_find(a);
	json_t *params, *reply = NULL, *result;
	struct err e = {0};
	int r;

	if (!c)
		return SWITCH_EXIT_USAGE;
	if (!socket) {
		fputs("viaduct switch: give --socket PATH or set VIADUCT_SWITCH\n", stderr);
		return SWITCH_EXIT_USAGE;
	}
	params = json_object();
	r = c->params(a, 1 + !!c->verb, params);
	if (r < 0) {
		json_decref(params);
		return r == -EIO ? 1 : SWITCH_EXIT_USAGE;
	}
	if (a->port)
		json_object_set_new(params, "port", json_string(a->port));
	if (a->vlan)
		json_object_set_new(params, "vlan", json_integer(a->vlan));
	r = request_send(socket, c, params, &e, &reply);
	json_decref(params);
	if (r < 0)
		return switch_complain(&e);
	result = json_object_get(reply, "result");
	if (a->json)
		switch_json_print(result);
	else
		c->print(result);
	json_decref(reply);
	return 0;
}
