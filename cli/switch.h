/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of viaduct-switch. */
#ifndef VIADUCT_CLI_SWITCH_H
#define VIADUCT_CLI_SWITCH_H

#include <stdbool.h>

#include <jansson.h>

#include "common/err.h"

#define SWITCH_EXIT_USAGE 2
#define SWITCH_WORDS_MAX  64

struct switch_arguments {
	const char *config, *socket, *port;
	int vlan; /* 0 = not given */
	bool json, dry_run, prometheus;
	char *words[SWITCH_WORDS_MAX];
	unsigned int nr_words;
};

/* Say what went wrong. Returns the exit status for it. */
int switch_complain(const struct err *e);

/* `run`: be the switch that @path describes until told to end. Returns 0 or a negative errno. */
int switch_run(const char *path, struct err *e);

/* Carry out the other commands. Returns the exit status. */
int switch_ask(const struct switch_arguments *a);

/* Commands with options of their own. Return the exit status. */
int switch_mirror(int argc, char **argv);
int switch_capture(int argc, char **argv);

/* The control socket: @given or the environment's. NULL with EDESTADDRREQ: neither. */
const char *switch_socket(const char *given, struct err *e);
/* The request as a line, or NULL; the reference @params is taken. The caller frees it. */
char *switch_request_line(const char *method, json_t *params, struct err *e);
/* Read an answer: 0 with a reference to its result, or a negative errno with what was said. */
int switch_answer(const char *text, struct err *e, json_t **ret);
/* All of it. @e must not be NULL; the reference @params is taken. */
int switch_request(
	const char *socket, const char *method, json_t *params, struct err *e, json_t **ret);

/* What methods answer, for people, but for the first: for programs. */
void switch_json_print(const json_t *result);
void switch_ports_print(const json_t *result);
void switch_port_print(const json_t *result);
void switch_fdb_print(const json_t *result);
void switch_mcast_print(const json_t *result);
void switch_stats_print(const json_t *result);
void switch_apply_print(const json_t *result);

#endif
