// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct switch mirror: copies of what is seen at ports. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/switch.h"
#include "common/cleanup.h"

enum {
	OPT_SOCKET = 256,
	OPT_JSON,
	OPT_FROM,
	OPT_DIRECTION,
	OPT_TO,
	OPT_VLAN,
	OPT_RESERVED,
	OPT_RATE
};

struct mirror_arguments {
	const char *socket, *verb, *name, *from;
	bool json, describes;
	json_t *config; /* as in the file */
};

static const struct argp_option options[] = {
	{"socket", OPT_SOCKET, "PATH", 0,
		"Control socket of the switch that runs (default: $VIADUCT_SWITCH)", 0},
	{"json", OPT_JSON, NULL, 0, "Print JSON", 0},
	{"from", OPT_FROM, "PORT[,PORT...]", 0, "add: the ports looked at", 0},
	{"direction", OPT_DIRECTION, "in|out|both", 0,
		"add: frames that come in at them, leave by them, or both (default)", 0},
	{"to", OPT_TO, "PORT", 0, "add: copies go to this port", 0},
	{"vlan", OPT_VLAN, "N", 0, "add: copies are flooded in this VLAN", 0},
	{"reserved", OPT_RESERVED, NULL, 0, "add: the port of --to carries nothing else", 0},
	{"rate", OPT_RATE, "RATE", 0, "add: copy no more than this, such as 100mbit", 0},
	{0},
};

static void list_set(json_t *config, char *names)
{
	json_t *list = json_array();

	for (char *save, *s = strtok_r(names, ",", &save); s; s = strtok_r(NULL, ",", &save))
		json_array_append_new(list, json_string(s));
	json_object_set_new(config, "from", list);
}

static void word_take(struct mirror_arguments *m, const char *word, struct argp_state *state)
{
	/* argp leaves the command's own name in front. */
	if (!m->verb && !strcmp(word, "mirror") && state->arg_num == 0)
		return;
	if (!m->verb)
		m->verb = word;
	else if (!m->name)
		m->name = word;
	else
		argp_error(state, "too many arguments: '%s'", word);
}

static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct mirror_arguments *m = state->input;
	char *end;
	long n;

	m->describes |= key >= OPT_FROM && key <= OPT_RATE;
	switch (key) {
	case OPT_SOCKET: m->socket = arg; break;
	case OPT_JSON: m->json = true; break;
	case OPT_FROM: list_set(m->config, arg); break;
	case OPT_DIRECTION: json_object_set_new(m->config, "direction", json_string(arg)); break;
	case OPT_TO: json_object_set_new(m->config, "to", json_string(arg)); break;
	case OPT_VLAN:
		n = strtol(arg, &end, 10);
		if (*end || n < 1 || n > 4094)
			argp_error(state, "--vlan must be 1 to 4094, not '%s'", arg);
		json_object_set_new(m->config, "vlan", json_integer(n));
		break;
	case OPT_RESERVED: json_object_set_new(m->config, "reserved", json_true()); break;
	case OPT_RATE: json_object_set_new(m->config, "rate", json_string(arg)); break;
	case ARGP_KEY_ARG: word_take(m, arg, state); break;
	case ARGP_KEY_END:
		if (!m->verb) {
			argp_error(state, "say what to do: add, del or list");
			break;
		}
		if (strcmp(m->verb, "list") != 0 && !m->name)
			argp_error(state, "%s: give the mirror's name", m->verb);
		if (!strcmp(m->verb, "list") && m->name)
			argp_error(state, "too many arguments: '%s'", m->name);
		if (strcmp(m->verb, "add") != 0 && m->describes)
			argp_error(state, "%s: --from and the like go with add", m->verb);
		if (!strcmp(m->verb, "add") && !json_object_get(m->config, "from"))
			argp_error(state, "add: give --from, and --to or --vlan");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = option_parse,
	.args_doc = "mirror add NAME --from PORT[,PORT...] (--to PORT | --vlan N)\n"
		    "mirror del NAME\n"
		    "mirror list",
	.doc = "Copies of the frames seen at some ports, to another port or into a VLAN.",
};

static void mirrors_print(const json_t *list)
{
	const json_t *m, *p;
	size_t i, j;

	printf("%-16s %-5s %-16s %12s %12s %12s  %s\n", "NAME", "DIR", "TO", "FRAMES", "BYTES",
		"OVER RATE", "FROM");
	json_array_foreach(list, i, m)
	{
		const char *to = json_string_value(json_object_get(m, "to"));
		char vlan[16];

		snprintf(vlan, sizeof(vlan), "VLAN %d",
			(int)json_integer_value(json_object_get(m, "vlan")));
		printf("%-16s %-5s %-16s %12" PRId64 " %12" PRId64 " %12" PRId64 "  ",
			json_string_value(json_object_get(m, "name")),
			json_string_value(json_object_get(m, "direction")), to ? to : vlan,
			(int64_t)json_integer_value(json_object_get(m, "frames")),
			(int64_t)json_integer_value(json_object_get(m, "bytes")),
			(int64_t)json_integer_value(json_object_get(m, "limited")));
		json_array_foreach(json_object_get(m, "from"), j, p)
			printf("%s%s", j ? "," : "", json_string_value(p));
		putchar('\n');
	}
}

static json_t *params_of(const struct mirror_arguments *m)
{
	_cleanup_free_ char *text = NULL;

	if (!strcmp(m->verb, "list"))
		return json_object();
	if (strcmp(m->verb, "add") != 0)
		return json_pack("{s:s}", "name", m->name);
	json_object_set_new(m->config, "name", json_string(m->name));
	text = json_dumps(m->config, JSON_COMPACT);
	return text ? json_pack("{s:s}", "config", text) : NULL;
}

int switch_mirror(int argc, char **argv)
{
	struct mirror_arguments m = {.config = json_object()};
	char method[32];
	json_t *result;
	struct err e = {0};
	int r;

	argp_parse(&argp, argc, argv, 0, NULL, &m);
	if (strcmp(m.verb, "add") != 0 && strcmp(m.verb, "del") != 0 &&
		strcmp(m.verb, "list") != 0) {
		fprintf(stderr, "viaduct switch: unknown command 'mirror %s'; see --help\n",
			m.verb);
		return SWITCH_EXIT_USAGE;
	}
	snprintf(method, sizeof(method), "mirror.%s", m.verb);
	r = switch_request(m.socket, method, params_of(&m), &e, &result);
	json_decref(m.config);
	if (r < 0)
		return e.code == EDESTADDRREQ ? (switch_complain(&e), SWITCH_EXIT_USAGE)
					      : switch_complain(&e);
	if (m.json) {
		switch_json_print(result);
	} else if (json_is_array(result)) {
		mirrors_print(result);
	}
	json_decref(result);
	return 0;
}

void switch_mcast_print(const json_t *result)
{
	const json_t *e;
	size_t i;

	if (!json_is_true(json_object_get(result, "snooping"))) {
		puts("multicast is flooded: the configuration has no multicast: {snooping: true}");
		return;
	}
	printf("%-5s %-39s %-16s %s\n", "VLAN", "GROUP", "PORT", "FORGOTTEN IN");
	json_array_foreach(json_object_get(result, "entries"), i, e)
	{
		const char *group = json_string_value(json_object_get(e, "group"));

		printf("%-5d %-39s %-16s %d s\n",
			(int)json_integer_value(json_object_get(e, "vlan")),
			group ? group : "(router)", json_string_value(json_object_get(e, "port")),
			(int)json_integer_value(json_object_get(e, "left")));
	}
}
