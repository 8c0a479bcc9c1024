/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of systemd and NetworkManager: "[section]" and "key=value" lines, as systemd.syntax(7) and
 * GLib's key files have them. One pass, no copy.
 */
#ifndef VIADUCT_VFM_INI_H
#define VIADUCT_VFM_INI_H

#include <stddef.h>

#define INI_NAME_MAX 64

struct ini {
	char *next;
	unsigned line; /* of the last entry, from 1 */
	char section[INI_NAME_MAX];
};

struct ini_entry {
	const char *section; /* "" before the first */
	const char *key;     /* "" when the line only opens the section */
	const char *value;
	unsigned line;
};

/* @text is cut up while it is read, and must outlive the entries. */
void ini_init(struct ini *i, char *text);

/*
 * The next section or entry, 0 at the end. What is neither (comments, blank lines, other text) is
 * skipped. A line that ends in a backslash goes on in the next one.
 */
int ini_next(struct ini *i, struct ini_entry *ret);

#endif
