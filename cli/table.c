// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool colour_wanted(void)
{
	const char *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no && *no);
}

void table_init(struct table *t, const char *const *heads, unsigned columns)
{
	*t = (struct table){.columns = columns};
	table_row(t, TABLE_HEAD);
	for (unsigned i = 0; i < columns; i++)
		table_set(t, i, "%s", heads[i]);
}

void table_finish(struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		for (unsigned c = 0; c < t->columns; c++)
			free(t->row[i].cell[c]);
	free(t->row);
	*t = (struct table){0};
}

void table_row(struct table *t, enum table_mark mark)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 16;
		void *p = realloc(t->row, cap * sizeof(*t->row));

		t->failed = t->failed || !p;
		if (!p)
			return;
		t->row = p;
		t->cap = cap;
	}
	t->row[t->n++] = (struct table_row){.mark = mark};
}

void table_set(struct table *t, unsigned column, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (r < 0 || t->failed) {
		if (r >= 0)
			free(text);
		t->failed = true;
		return;
	}
	if (!*text) {
		free(text);
		return;
	}
	free(t->row[t->n - 1].cell[column]);
	t->row[t->n - 1].cell[column] = text;
}

static const char *cell(const struct table *t, size_t row, unsigned column)
{
	return t->row[row].cell[column] ? t->row[row].cell[column] : "-";
}

int table_print(const struct table *t, bool drop_empty)
{
	static const char *const on[] = {
		[TABLE_PLAIN] = "", [TABLE_HEAD] = "\033[1m", [TABLE_NOTED] = "\033[33m"};
	bool colour = colour_wanted(), empty[TABLE_COLUMNS_MAX];
	int width[TABLE_COLUMNS_MAX] = {0};
	unsigned last = 0;

	if (t->failed)
		return -ENOMEM;
	for (unsigned c = 0; c < t->columns; c++) {
		empty[c] = drop_empty;
		for (size_t i = 0; i < t->n; i++) {
			int w = (int)strlen(cell(t, i, c));

			width[c] = w > width[c] ? w : width[c];
			empty[c] = empty[c] && (i == 0 || !t->row[i].cell[c]);
		}
		if (!empty[c])
			last = c;
	}
	for (size_t i = 0; i < t->n; i++) {
		const char *start = colour ? on[t->row[i].mark] : "";

		fputs(start, stdout);
		for (unsigned c = 0; c < last; c++)
			if (!empty[c])
				printf("%-*s  ", width[c], cell(t, i, c));
		printf("%s%s\n", cell(t, i, last), *start ? "\033[0m" : "");
	}
	return fflush(stdout) ? -EIO : 0;
}
