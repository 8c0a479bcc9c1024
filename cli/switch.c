// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct switch: run it, or ask one that runs. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "vswitch/vswitch.h"

#define EXIT_USAGE 2

enum { OPT_CONFIG = 256, OPT_SOCKET, OPT_JSON, OPT_PORT, OPT_VLAN };

struct arguments {
	const char *config, *socket, *port;
	int vlan; /* 0 = not given */
	bool json;
	char *words[4];
	unsigned int nr_words;
};

static const struct argp_option options[] = {
	{"config", OPT_CONFIG, "FILE", 0, "run: the switch's description, YAML or JSON", 0},
	{"socket", OPT_SOCKET, "PATH", 0,
		"Control socket of the switch that runs (default: $VIADUCT_SWITCH)", 0},
	{"json", OPT_JSON, NULL, 0, "Print JSON", 0},
	{"port", OPT_PORT, "NAME", 0, "fdb: the port meant", 0},
	{"vlan", OPT_VLAN, "N", 0, "fdb: the VLAN meant", 0},
	{0},
};

static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	char *end;

	switch (key) {
	case OPT_CONFIG: a->config = arg; break;
	case OPT_SOCKET: a->socket = arg; break;
	case OPT_PORT: a->port = arg; break;
	case OPT_JSON: a->json = true; break;
	case OPT_VLAN:
		a->vlan = (int)strtol(arg, &end, 10);
		if (*end || a->vlan < 1 || a->vlan > VLAN_MAX)
			argp_error(state, "--vlan must be 1 to %d, not '%s'", VLAN_MAX, arg);
		break;
	case ARGP_KEY_ARG:
		if (a->nr_words == ARRAY_SIZE(a->words))
			argp_error(state, "too many arguments: '%s'", arg);
		a->words[a->nr_words++] = arg;
		break;
	case ARGP_KEY_END:
		if (!a->nr_words)
			argp_error(state, "say what to do: run, port, fdb or stats");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = option_parse,
	.args_doc = "run --config FILE\n"
		    "port list\n"
		    "port add|set DESCRIPTION\n"
		    "port del NAME\n"
		    "fdb show\n"
		    "fdb add MAC --port NAME [--vlan N]\n"
		    "fdb del MAC [--vlan N]\n"
		    "fdb flush [--port NAME] [--vlan N]\n"
		    "stats",
	.doc = "A switch between guests' virtio network cards and other ports.\v"
	       "DESCRIPTION is one entry of the file's \"ports\", such as "
	       "'{name: a, vhost-user: /run/a.sock}'.",
};

static int complain(const struct err *e)
{
	fprintf(stderr, "viaduct switch: %s\n", e->text);
	return 1;
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *info, void *ctx)
{
	return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int signals_watch(sd_event *loop, struct err *e)
{
	sigset_t set;
	int r;

	/* Before any other thread: they inherit it. */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	r = sd_event_add_signal(loop, NULL, SIGINT, on_signal, NULL);
	if (r >= 0)
		r = sd_event_add_signal(loop, NULL, SIGTERM, on_signal, NULL);
	return r < 0 ? err_sys(e, -r, "watch signals") : 0;
}

static int switch_run(const char *path, struct err *e)
{
	struct switch_config *cfg = NULL;
	struct control *control = NULL;
	struct vswitch *sw = NULL;
	sd_event *loop = NULL;
	int r;

	r = switch_config_load(path, e, &cfg);
	if (r >= 0) {
		r = sd_event_new(&loop);
		if (r < 0)
			err_sys(e, -r, "make an event loop");
	}
	if (r >= 0)
		r = signals_watch(loop, e);
	if (r >= 0)
		r = vswitch_create(cfg, e, &sw);
	if (r >= 0)
		r = control_create(sw, cfg->socket, loop, e, &control);
	if (r >= 0) {
		sd_notify(0, "READY=1");
		r = sd_event_loop(loop);
		if (r < 0)
			err_sys(e, -r, "run the event loop");
		sd_notify(0, "STOPPING=1");
	}
	control_destroy(control);
	vswitch_destroy(sw);
	sd_event_unref(loop);
	switch_config_destroy(cfg);
	return r;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static int64_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void ports_print(const json_t *list)
{
	const json_t *p;
	size_t i;

	printf("%-16s %-5s %-6s %-9s %s\n", "NAME", "LINK", "MTU", "ADDRESSES", "CONNECTED TO");
	json_array_foreach(list, i, p)
	{
		bool up = json_is_true(json_object_get(p, "up"));
		const char *to = text_of(p, "vhost-user");

		printf("%-16s %-5s %-6" PRId64 " %-9" PRId64 " %s%s%s\n", text_of(p, "name"),
			up ? "up" : "down", number_of(p, "mtu"), number_of(p, "addresses"),
			*to ? to : text_of(p, "device"), up ? "" : ": ",
			up ? "" : text_of(p, "why-down"));
	}
}

static void fdb_print(const json_t *list)
{
	const json_t *entry;
	size_t i;

	printf("%-17s %-5s %-16s %s\n", "ADDRESS", "VLAN", "PORT", "AGE");
	json_array_foreach(list, i, entry)
	{
		printf("%-17s %-5" PRId64 " %-16s ", text_of(entry, "mac"),
			number_of(entry, "vlan"), text_of(entry, "port"));
		if (json_is_true(json_object_get(entry, "static")))
			puts("static");
		else
			printf("%" PRId64 " s\n", number_of(entry, "age"));
	}
}

static void stats_print(const json_t *o)
{
	const json_t *p, *n;
	const char *reason;
	size_t i;

	printf("%-16s %12s %12s %12s %12s  %s\n", "PORT", "RX FRAMES", "RX BYTES", "TX FRAMES",
		"TX BYTES", "DROPS");
	json_array_foreach(json_object_get(o, "ports"), i, p)
	{
		printf("%-16s %12" PRId64 " %12" PRId64 " %12" PRId64 " %12" PRId64 " ",
			text_of(p, "name"), number_of(p, "rx-packets"), number_of(p, "rx-bytes"),
			number_of(p, "tx-packets"), number_of(p, "tx-bytes"));
		json_object_foreach(json_object_get(p, "drops"), reason, n)
			printf(" %s=%" PRId64, reason, (int64_t)json_integer_value(n));
		putchar('\n');
	}
}

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
	{"port", "list", "port.list", NULL, ports_print},
	{"port", "add", "port.add", "config", done_print},
	{"port", "set", "port.set", "config", done_print},
	{"port", "del", "port.del", "name", done_print},
	{"fdb", "show", "fdb.show", NULL, fdb_print},
	{"fdb", "add", "fdb.add", "mac", done_print},
	{"fdb", "del", "fdb.del", "mac", done_print},
	{"fdb", "flush", "fdb.flush", NULL, done_print},
	{"stats", NULL, "stats", NULL, stats_print},
};

/* The command @a names, or -1 with a message. */
static int command_find(const struct arguments *a)
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

static int switch_ask(const struct arguments *a, int command)
{
	const char *socket = a->socket ? a->socket : getenv("VIADUCT_SWITCH");
	_cleanup_free_ char *line = NULL, *text = NULL, *answer = NULL;
	json_t *params = json_object(), *request, *reply, *result;
	struct err e = {0};
	const char *message;

	if (!socket) {
		fputs("viaduct switch: give --socket PATH or set VIADUCT_SWITCH\n", stderr);
		json_decref(params);
		return EXIT_USAGE;
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
		return EXIT_USAGE;
	}
	if (control_ask(socket, line, &e, &answer) < 0)
		return complain(&e);
	reply = json_loads(answer, 0, NULL);
	result = json_object_get(reply, "result");
	message = text_of(json_object_get(reply, "error"), "message");
	if (!result) {
		err_set(&e, EPROTO, "%s", *message ? message : "no answer that can be read");
		json_decref(reply);
		return complain(&e);
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

int main(int argc, char **argv)
{
	struct arguments a = {0};
	struct err e = {0};
	int command;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (!strcmp(a.words[0], "run")) {
		if (!a.config || a.nr_words > 1) {
			fputs("viaduct switch run: --config FILE is needed, and nothing else\n",
				stderr);
			return EXIT_USAGE;
		}
		return switch_run(a.config, &e) < 0 ? complain(&e) : 0;
	}
	command = command_find(&a);
	return command < 0 ? EXIT_USAGE : switch_ask(&a, command);
}
