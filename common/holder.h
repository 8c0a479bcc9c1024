/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who holds a device node open: read from /proc/<pid>/fd, so another user's needs root. */
#ifndef VIADUCT_COMMON_HOLDER_H
#define VIADUCT_COMMON_HOLDER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/sysfs.h"

struct holder {
	pid_t pid;
	char comm[32]; /* the process's name, printable characters only */
};

/*
 * Find a process other than the caller that has @node (an absolute path such as "/dev/vfio/12")
 * open. @s is the root below which proc/ is read. 1 and *ret when found, 0 when none was seen,
 * -errno when /proc cannot be read.
 */
int holder_find(const struct sysfs *s, const char *node, struct holder *ret);

/* Who has which of many nodes open, from one walk over /proc. */
struct holder_table;

/*
 * All nodes whose path begins with @prefix ("/dev/vfio/"), and for each a process other than the
 * caller that has it open. -errno when /proc cannot be read, -ENOMEM. Destroy takes NULL.
 */
int holder_table_create(const struct sysfs *s, const char *prefix, struct holder_table **ret);
void holder_table_destroy(struct holder_table *t);

/* The holder of @node; NULL when none was seen (or @t is NULL). It lives as long as the table. */
const struct holder *holder_table_find(const struct holder_table *t, const char *node);

#endif
