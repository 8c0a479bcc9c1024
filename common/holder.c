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

/* One open file of a process: its link's target. True ends the walk. */
typedef bool (*fd_fn)(void *arg, const struct sysfs *s, const char *pid, const char *target);

/* A process may go away while it is read: then it has nothing open. */
static bool pid_walk(const struct sysfs *s, const char *pid, fd_fn fn, void *arg)
{
	char dir[64], path[400], target[PATH_MAX];
	char **fds;
	bool done = false;

	snprintf(dir, sizeof(dir), "proc/%s/fd", pid);
	if (sysfs_list(s, dir, &fds) < 0)
		return false;
	for (char **f = fds; *f && !done; f++) {
		ssize_t n;

		snprintf(path, sizeof(path), "%s/%s", dir, *f);
		n = readlinkat(s->root_fd, path, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		done = fn(arg, s, pid, target);
	}
	sysfs_list_free(fds);
	return done;
}

/* 1 when @fn ended it, 0 at the end, -errno. */
static int walk(const struct sysfs *s, fd_fn fn, void *arg)
{
	char **pids;
	int r, done = 0;

	r = sysfs_list(s, "proc", &pids);
	if (r < 0)
		return r;
	for (char **p = pids; *p && !done; p++) {
		if (isdigit((unsigned char)**p) && strlen(*p) <= 10 && atoi(*p) != getpid())
			done = pid_walk(s, *p, fn, arg);
	}
	sysfs_list_free(pids);
	return done;
}

static void holder_read(const struct sysfs *s, const char *pid, struct holder *ret)
{
	char path[320];

	*ret = (struct holder){.pid = atoi(pid)};
	snprintf(path, sizeof(path), "proc/%s/comm", pid);
	if (sysfs_read(s, path, ret->comm, sizeof(ret->comm)) < 0)
		snprintf(ret->comm, sizeof(ret->comm), "?");
	for (char *c = ret->comm; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
}

struct find {
	const char *node;
	struct holder *ret;
};

static bool fd_is(void *arg, const struct sysfs *s, const char *pid, const char *target)
{
	struct find *f = arg;

	if (strcmp(target, f->node))
		return false;
	holder_read(s, pid, f->ret);
	return true;
}

int holder_find(const struct sysfs *s, const char *node, struct holder *ret)
{
	struct find f = {node, ret};

	return walk(s, fd_is, &f);
}

struct holder_entry {
	char *node;
	struct holder holder;
};

struct holder_table {
	const char *prefix; /* while it is made */
	struct holder_entry *v;
	size_t n, cap;
	bool failed;
};

static bool fd_add(void *arg, const struct sysfs *s, const char *pid, const char *target)
{
	struct holder_table *t = arg;

	if (strncmp(target, t->prefix, strlen(t->prefix)))
		return false;
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 16;
		void *p = realloc(t->v, cap * sizeof(*t->v));

		t->failed = !p;
		if (!p)
			return true;
		t->v = p;
		t->cap = cap;
	}
	t->v[t->n].node = strdup(target);
	t->failed = !t->v[t->n].node;
	if (t->failed)
		return true;
	holder_read(s, pid, &t->v[t->n++].holder);
	return false;
}

static int entry_cmp(const void *a, const void *b)
{
	const struct holder_entry *x = a, *y = b;
	int r = strcmp(x->node, y->node);

	return r ? r : (x->holder.pid > y->holder.pid) - (x->holder.pid < y->holder.pid);
}

/* Of several holders of a node the first stays. */
static void entries_unique(struct holder_table *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (n && !strcmp(t->v[n - 1].node, t->v[i].node))
			free(t->v[i].node);
		else
			t->v[n++] = t->v[i];
	}
	t->n = n;
}

int holder_table_create(const struct sysfs *s, const char *prefix, struct holder_table **ret)
{
	struct holder_table *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->prefix = prefix;
	r = walk(s, fd_add, t);
	t->prefix = NULL;
	if (t->failed)
		r = -ENOMEM;
	if (r < 0) {
		holder_table_destroy(t);
		return r;
	}
	if (t->n)
		qsort(t->v, t->n, sizeof(*t->v), entry_cmp);
	entries_unique(t);
	*ret = t;
	return 0;
}

void holder_table_destroy(struct holder_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i].node);
	free(t->v);
	free(t);
}

static int node_cmp(const void *key, const void *entry)
{
	return strcmp(key, ((const struct holder_entry *)entry)->node);
}

const struct holder *holder_table_find(const struct holder_table *t, const char *node)
{
	const struct holder_entry *e =
		t && t->n ? bsearch(node, t->v, t->n, sizeof(*t->v), node_cmp) : NULL;

	return e ? &e->holder : NULL;
}
