/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table for people: columns as wide as what is in them, colour where it is wanted. */
#ifndef VIADUCT_CLI_TABLE_H
#define VIADUCT_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#define TABLE_COLUMNS_MAX 24

enum table_mark { TABLE_PLAIN, TABLE_HEAD, TABLE_NOTED };

struct table {
	unsigned columns;
	struct table_row {
		char *cell[TABLE_COLUMNS_MAX];
		enum table_mark mark;
	} * row;
	size_t n, cap;
	bool failed; /* out of memory: nothing is printed */
};

/* @heads: @columns of them. */
void table_init(struct table *t, const char *const *heads, unsigned columns);
void table_finish(struct table *t);
/* A new row; its cells are "-" until they are set. */
void table_row(struct table *t, enum table_mark mark);
/* Set a cell of the last row; an empty text leaves "-". */
void table_set(struct table *t, unsigned column, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* To stdout; 0 or -errno. A column in which all rows are "-" can be left out. */
int table_print(const struct table *t, bool drop_empty);

/* Is stdout a terminal, and has nobody set NO_COLOR? */
bool colour_wanted(void);

#endif
