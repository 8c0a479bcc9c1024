/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI addresses: domain:bus:device.function, as lspci and sysfs write them. */
#ifndef VIADUCT_COMMON_BDF_H
#define VIADUCT_COMMON_BDF_H

#include <stdbool.h>
#include <stdint.h>

struct bdf {
	uint32_t domain; /* 16 bits everywhere but behind VMD, which uses more */
	uint8_t bus;
	uint8_t dev; /* 0..31 */
	uint8_t fn;  /* 0..7 */
};

#define BDF_STRLEN 24

/*
 * Parse "0000:3b:02.1" or "3b:02.1" (domain 0); nothing may follow. 0, or -EINVAL.
 */
int bdf_parse(const char *s, struct bdf *ret);
/* Write "0000:3b:02.1" into @buf and return @buf. */
const char *bdf_format(struct bdf b, char buf[static BDF_STRLEN]);

/* bus:8 | dev:5 | fn:3, the requester id on the wire. */
static inline uint16_t bdf_rid(struct bdf b)
{
	return (uint16_t)(b.bus << 8 | b.dev << 3 | b.fn);
}

static inline bool bdf_equal(struct bdf a, struct bdf b)
{
	return a.domain == b.domain && bdf_rid(a) == bdf_rid(b);
}

#endif
