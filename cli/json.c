// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/json.h"

#include <stdio.h>

json_t *json_text(const char *s)
{
	/* NULL: no UTF-8, such as a name cut short within a character. */
	json_t *text = s && *s ? json_string(s) : NULL;

	return text ? text : json_null();
}

json_t *json_number(int n)
{
	return n >= 0 ? json_integer(n) : json_null();
}

static int print(json_t *top, size_t flags)
{
	int r = top ? json_dumpf(top, stdout, flags | JSON_ENSURE_ASCII | JSON_ENCODE_ANY) : -1;

	json_decref(top);
	putchar('\n');
	return r < 0 || fflush(stdout) ? 1 : 0;
}

int json_print(json_t *top)
{
	return print(top, JSON_INDENT(2));
}

int json_print_line(json_t *top)
{
	return print(top, JSON_COMPACT);
}
