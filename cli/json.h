/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the JSON of all commands has in common. */
#ifndef VIADUCT_CLI_JSON_H
#define VIADUCT_CLI_JSON_H

#include <jansson.h>

/* null for "", NULL, and what is no UTF-8. */
json_t *json_text(const char *s);
/* null for a negative number. */
json_t *json_number(int n);
/*
 * Indented, to stdout, with a newline, flushed; every byte is ASCII. Takes @top, NULL is out of memory.
 * Returns 0, or 1 when it was not written: an exit status.
 */
int json_print(json_t *top);
/* The same on one line, for a stream of them. Returns 0 or 1 as well. */
int json_print_line(json_t *top);

#endif
