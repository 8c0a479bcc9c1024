/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A second reading of netlink attributes, with nothing but offsets and lengths: what fuzz targets compare
 * the decoders with.
 */
#ifndef VIADUCT_FUZZ_NLWALK_H
#define VIADUCT_FUZZ_NLWALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct walk {
	const uint8_t *p;
	size_t left;
};

/* The next attribute's type and payload; false at the end or where lengths make no sense. */
static inline bool attr_next(struct walk *w, unsigned *ret_type, struct walk *ret)
{
	uint16_t len, type;
	size_t step;

	if (w->left < 4)
		return false;
	memcpy(&len, w->p, 2);
	memcpy(&type, w->p + 2, 2);
	if (len < 4 || len > w->left)
		return false;
	*ret_type = type & 0x3fff;
	*ret = (struct walk){w->p + 4, len - 4u};
	step = (len + 3u) & ~3u;
	step = step < w->left ? step : w->left;
	w->p += step;
	w->left -= step;
	return true;
}

#endif
