/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Half-open address intervals [start, end). An address 2^64-1 is never inside one. */
#ifndef VIADUCT_COMMON_RANGE_H
#define VIADUCT_COMMON_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct range {
	uint64_t start;
	uint64_t end; /* first byte after it; end >= start */
};

/* Sorted, non-overlapping, merged where they touch. Zero-initialise; range_list_finish() frees. */
struct range_list {
	struct range *v;
	size_t n, cap;
};

/* [start, start + size); false when that wraps. */
bool range_make(uint64_t start, uint64_t size, struct range *ret);

static inline uint64_t range_size(struct range r)
{
	return r.end - r.start;
}

/* Do they share a byte? An empty interval shares none. */
static inline bool range_overlaps(struct range a, struct range b)
{
	uint64_t start = a.start > b.start ? a.start : b.start;
	uint64_t end = a.end < b.end ? a.end : b.end;

	return start < end;
}

static inline bool range_contains(struct range outer, struct range inner)
{
	return outer.start <= inner.start && inner.end <= outer.end;
}

/* 0, or -ENOMEM with the list unchanged. */
int range_list_add(struct range_list *l, struct range r);
int range_list_sub(struct range_list *l, struct range r);
/* Is every byte of @r in the list? An empty @r is. */
bool range_list_contains(const struct range_list *l, struct range r);
/* The first interval of the list that shares a byte with @r, or NULL. */
const struct range *range_list_find(const struct range_list *l, struct range r);
void range_list_finish(struct range_list *l);

#endif
