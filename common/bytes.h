/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Little-endian loads and stores of 1, 2, 4 or 8 bytes at any alignment. */
#ifndef VIADUCT_COMMON_BYTES_H
#define VIADUCT_COMMON_BYTES_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t le_load(const void *p, size_t len)
{
	uint64_t v = 0;

	memcpy(&v, p, len <= 8 ? len : 8);
	return le64toh(v);
}

static inline void le_store(void *p, size_t len, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, len <= 8 ? len : 8);
}

/* All ones in @len bytes: what a bus answers when nobody does. */
static inline uint64_t ones(size_t len)
{
	return len >= 8 ? UINT64_MAX : (1ull << (len * 8)) - 1;
}

#endif
