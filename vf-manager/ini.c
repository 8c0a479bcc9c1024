// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/ini.h"

#include <stdio.h>
#include <string.h>

#include "vf-manager/doctor_priv.h"

void ini_init(struct ini *i, char *text)
{
	*i = (struct ini){.next = text};
}

/* The next line with those it goes on in; the backslash becomes a blank, as systemd has it. */
static char *logical_line(struct ini *i, unsigned *ret_line)
{
	char *line = i->next, *end = line;

	if (!line || !*line)
		return NULL;
	*ret_line = ++i->line;
	while ((end = strchr(end, '\n')) && end > line && end[-1] == '\\') {
		end[-1] = end[0] = ' ';
		i->line++;
	}
	if (end)
		*end = '\0';
	i->next = end ? end + 1 : NULL;
	return line;
}

int ini_next(struct ini *i, struct ini_entry *ret)
{
	char *line, *sign;
	unsigned at;

	while ((line = logical_line(i, &at))) {
		line = line_trim(line);
		if (*line == '#' || *line == ';')
			continue;
		if (*line == '[') {
			sign = strchr(line, ']');
			if (!sign)
				continue;
			*sign = '\0';
			snprintf(i->section, sizeof(i->section), "%s", line + 1);
			*ret = (struct ini_entry){i->section, "", "", at};
			return 1;
		}
		sign = strchr(line, '=');
		if (!sign)
			continue;
		*sign = '\0';
		*ret = (struct ini_entry){i->section, line_trim(line), line_trim(sign + 1), at};
		if (*ret->key)
			return 1;
	}
	return 0;
}
