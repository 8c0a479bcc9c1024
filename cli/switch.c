// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct switch: run it, or ask one that runs. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/switch.h"
#include "common/cleanup.h"
#include "vswitch/vlan.h"

enum { OPT_CONFIG = 256, OPT_SOCKET, OPT_JSON, OPT_PORT, OPT_VLAN, OPT_DRY_RUN, OPT_PROMETHEUS };

static const struct argp_option options[] = {
	{"config", OPT_CONFIG, "FILE", 0, "run: the switch's description, YAML or JSON", 0},
	{"socket", OPT_SOCKET, "PATH", 0,
		"Control socket of the switch that runs (default: $VIADUCT_SWITCH)", 0},
	{"json", OPT_JSON, NULL, 0, "Print JSON", 0},
	{"port", OPT_PORT, "NAME", 0, "fdb: the port meant", 0},
	{"vlan", OPT_VLAN, "N", 0, "fdb: the VLAN meant", 0},
	{"dry-run", OPT_DRY_RUN, NULL, 0, "apply: say what would be done", 0},
	{"prometheus", OPT_PROMETHEUS, NULL, 0, "stats: in the text format of Prometheus", 0},
	{0},
};

static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct switch_arguments *a = state->input;
	char *end;

	switch (key) {
	case OPT_CONFIG: a->config = arg; break;
	case OPT_SOCKET: a->socket = arg; break;
	case OPT_PORT: a->port = arg; break;
	case OPT_JSON: a->json = true; break;
	case OPT_DRY_RUN: a->dry_run = true; break;
	case OPT_PROMETHEUS: a->prometheus = true; break;
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
			argp_error(state, "say what to do: run, show, apply, port, fdb or stats");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = option_parse,
	.args_doc = "run --config FILE\n"
		    "show\n"
		    "apply FILE [--dry-run]\n"
		    "port list\n"
		    "port show NAME\n"
		    "port add|set NAME KEY=VALUE...\n"
		    "port add|set DESCRIPTION\n"
		    "port del NAME\n"
		    "fdb show\n"
		    "fdb add MAC --port NAME [--vlan N]\n"
		    "fdb del MAC [--vlan N]\n"
		    "fdb flush [--port NAME] [--vlan N]\n"
		    "balance\n"
		    "stats [NAME] [--prometheus]\n"
		    "mcast show\n"
		    "mirror add|del|list ... (see mirror --help)\n"
		    "capture PORT -w FILE ... (see capture --help)",
	.doc = "A switch between guests' virtio network cards and other ports.\v"
	       "KEY=VALUE is such as vhost-user=/run/a.sock, mtu=9000, vlan.access=7 or "
	       "vlan.trunk=10,20-30; DESCRIPTION is one entry of the file's \"ports\", such as "
	       "'{name: a, vhost-user: /run/a.sock}'. See viaduct-switch(1).",
};

int switch_complain(const struct err *e)
{
	fprintf(stderr, "viaduct switch: %s\n", e->text);
	return 1;
}

static const struct {
	const char *noun;
	int (*run)(int argc, char **argv);
} own_options[] = {
	{"mirror", switch_mirror},
	{"capture", switch_capture},
};

/* The first word that is neither an option nor the path behind --socket. */
static const char *noun_find(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--socket"))
			i++;
		else if (argv[i][0] != '-')
			return argv[i];
	}
	return "";
}

int main(int argc, char **argv)
{
	const char *noun = noun_find(argc, argv);
	struct switch_arguments a = {0};
	struct err e = {0};

	argp_err_exit_status = SWITCH_EXIT_USAGE;
	output_guard("viaduct switch");
	for (size_t i = 0; i < ARRAY_SIZE(own_options); i++)
		if (!strcmp(noun, own_options[i].noun))
			return own_options[i].run(argc, argv);
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (!strcmp(a.words[0], "run")) {
		if (!a.config || a.nr_words > 1) {
			fputs("viaduct switch run: --config FILE is needed, and nothing else\n",
				stderr);
			return SWITCH_EXIT_USAGE;
		}
		return switch_run(a.config, &e) < 0 ? switch_complain(&e) : 0;
	}
	return switch_ask(&a);
}
