// SPDX-License-Identifier: GPL-2.0-or-later
#include "common/holder.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Does process @pid have @node open? A process may go away while it is read: that is a no. */
static bool pid_holds(const struct sysfs *s, const char *pid, const char *node)
{
	char dir[64], path[400], target[PATH_MAX];
	char **fds;
	bool found = false;

	snprintf(dir, sizeof(dir), "proc/%s/fd", pid);
	if (sysfs_list(s, dir, &fds) < 0)
		return false;
	for (char **f = fds; *f && !found; f++) {
		ssize_t n;

		snprintf(path, sizeof(path), "%s/%s", dir, *f);
		n = readlinkat(s->root_fd, path, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		found = !strcmp(target, node);
	}
	sysfs_list_free(fds);
	return found;
}

int holder_find(const struct sysfs *s, const char *node, struct holder *ret)
{
	char **pids;
	int r, found = 0;

	r = sysfs_list(s, "proc", &pids);
	if (r < 0)
		return r;
	for (char **p = pids; *p && !found; p++) {
		char path[320];

		if (!isdigit((unsigned char)**p) || strlen(*p) > 10 || atoi(*p) == getpid())
			continue;
		if (!pid_holds(s, *p, node))
			continue;
		*ret = (struct holder){.pid = atoi(*p)};
		snprintf(path, sizeof(path), "proc/%s/comm", *p);
		if (sysfs_read(s, path, ret->comm, sizeof(ret->comm)) < 0)
			snprintf(ret->comm, sizeof(ret->comm), "?");
		for (char *c = ret->comm; *c; c++) {
			if (!isprint((unsigned char)*c))
				*c = '?';
		}
		found = 1;
	}
	sysfs_list_free(pids);
	return found;
}
