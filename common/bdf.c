// SPDX-License-Identifier: GPL-2.0-or-later
#include "common/bdf.h"

#include <errno.h>
#include <stdio.h>

/* One to @max hex digits at *@s; advances *@s. False when there is none or there are more. */
static bool hex_field(const char **s, int max, uint32_t *ret)
{
	uint32_t v = 0;
	int n = 0;

	for (;; n++, (*s)++) {
		char c = **s;
		int d;

		if (c >= '0' && c <= '9')
			d = c - '0';
		else if (c >= 'a' && c <= 'f')
			d = c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			d = c - 'A' + 10;
		else
			break;
		if (n == max)
			return false;
		v = v << 4 | (uint32_t)d;
	}
	*ret = v;
	return n > 0;
}

int bdf_parse(const char *s, struct bdf *ret)
{
	uint32_t domain = 0, bus, dev, fn;

	if (!s || !hex_field(&s, 8, &bus) || *s++ != ':' || !hex_field(&s, 4, &dev))
		return -EINVAL;
	if (*s == ':') {
		s++;
		domain = bus;
		bus = dev;
		if (!hex_field(&s, 2, &dev))
			return -EINVAL;
	}
	if (*s++ != '.' || !hex_field(&s, 1, &fn) || *s)
		return -EINVAL;
	if (bus > 0xff || dev > 0x1f || fn > 7)
		return -EINVAL;
	*ret = (struct bdf){domain, (uint8_t)bus, (uint8_t)dev, (uint8_t)fn};
	return 0;
}

const char *bdf_format(struct bdf b, char buf[static BDF_STRLEN])
{
	snprintf(buf, BDF_STRLEN, "%04x:%02x:%02x.%x", b.domain, b.bus, b.dev, b.fn);
	return buf;
}
