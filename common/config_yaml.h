/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * YAML against a schema, and where in the text something stands, so that what is wrong with a value
 * can be said with its line. A library of its own: only who reads files is linked with libcyaml.
 */
#ifndef VIADUCT_COMMON_CONFIG_YAML_H
#define VIADUCT_COMMON_CONFIG_YAML_H

#include <cyaml/cyaml.h>
#include <stddef.h>

#include "common/err.h"

/* Text as it stands in a file, or came over the control socket. */
struct config_text {
	const char *what; /* its name in messages */
	const void *bytes;
	size_t len;
};

/* Which value is being looked at, as in "ports/3/vlan/access"; "" is all of it. */
struct config_at {
	struct err *e;
	char base[64];
	char bad[160];
};

/* The value @key below @at->base is wrong. Returns -EINVAL. */
int config_bad(struct config_at *at, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Read @t as @schema says into *@ret: config_yaml_free(). Keys that are not in the schema or come twice
 * are refused, as is what is neither true nor false where that is wanted, or no number to its end, and
 * text with a zero byte. Returns 0, -EINVAL with "WHAT:LINE:COLUMN: reason" in @e, or -ENOMEM.
 */
int config_yaml_load(
	const struct config_text *t, const cyaml_schema_value_t *schema, struct err *e, void **ret);
void config_yaml_free(const cyaml_schema_value_t *schema, void *data);

/*
 * The text once more, to ask for the line and column of many values by their path; what is not there is
 * where it is missing. 0, -EINVAL (no YAML) or -ENOMEM; close takes NULL.
 */
struct config_doc;
int config_doc_open(const struct config_text *t, struct config_doc **ret, struct err *e);
void config_doc_find(
	struct config_doc *d, const char *path, unsigned int *ret_line, unsigned int *ret_column);
void config_doc_close(struct config_doc *d);

/* Put "WHAT:LINE:COLUMN: " of the value @at names in front of what @at->e says. Returns @r. */
int config_yaml_blame(const struct config_text *t, const struct config_at *at, int r);

#endif
