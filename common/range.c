// SPDX-License-Identifier: GPL-2.0-or-later
#include "common/range.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool range_make(uint64_t start, uint64_t size, struct range *ret)
{
	uint64_t end;

	if (__builtin_add_overflow(start, size, &end))
		return false;
	*ret = (struct range){start, end};
	return true;
}

static int range_list_reserve(struct range_list *l, size_t n)
{
	struct range *v;

	if (n <= l->cap)
		return 0;
	v = realloc(l->v, (n + 8) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	l->v = v;
	l->cap = n + 8;
	return 0;
}

int range_list_add(struct range_list *l, struct range r)
{
	size_t i = 0, j;
	int ret;

	if (r.start >= r.end)
		return 0;
	ret = range_list_reserve(l, l->n + 1);
	if (ret < 0)
		return ret;
	while (i < l->n && l->v[i].end < r.start)
		i++;
	/* [i, j) touch or overlap r: they become one with it. */
	for (j = i; j < l->n && l->v[j].start <= r.end; j++) {
		if (l->v[j].start < r.start)
			r.start = l->v[j].start;
		if (l->v[j].end > r.end)
			r.end = l->v[j].end;
	}
	memmove(l->v + i + 1, l->v + j, (l->n - j) * sizeof(*l->v));
	l->v[i] = r;
	l->n = l->n + 1 - (j - i);
	return 0;
}

int range_list_sub(struct range_list *l, struct range r)
{
	size_t out = 0;
	int ret;

	if (r.start >= r.end)
		return 0;
	/* Only a hole punched into one interval makes the list longer, and only by one. */
	ret = range_list_reserve(l, l->n + 1);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < l->n; i++) {
		struct range c = l->v[i];

		if (!range_overlaps(c, r)) {
			l->v[out++] = c;
			continue;
		}
		if (c.start < r.start && r.end < c.end) {
			memmove(l->v + i + 2, l->v + i + 1, (l->n - i - 1) * sizeof(*l->v));
			l->v[i] = (struct range){c.start, r.start};
			l->v[i + 1] = (struct range){r.end, c.end};
			l->n++;
			return 0;
		}
		if (c.start < r.start)
			l->v[out++] = (struct range){c.start, r.start};
		else if (r.end < c.end)
			l->v[out++] = (struct range){r.end, c.end};
	}
	l->n = out;
	return 0;
}

bool range_list_contains(const struct range_list *l, struct range r)
{
	if (r.start >= r.end)
		return true;
	for (size_t i = 0; i < l->n; i++) {
		if (range_contains(l->v[i], r))
			return true;
	}
	return false;
}

const struct range *range_list_find(const struct range_list *l, struct range r)
{
	for (size_t i = 0; i < l->n; i++) {
		if (range_overlaps(l->v[i], r))
			return &l->v[i];
	}
	return NULL;
}

void range_list_finish(struct range_list *l)
{
	free(l->v);
	*l = (struct range_list){0};
}
