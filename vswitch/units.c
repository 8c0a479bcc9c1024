// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "common/cleanup.h"
#include "vswitch/units.h"

struct unit {
	const char *name;
	double bytes;
};

static int number_parse(const char *text, const struct unit *units, size_t nr_units, uint64_t *ret)
{
	char *end;
	double n;

	/* strtod() takes "inf", "0x" and signs too. */
	if (!isdigit((unsigned char)text[0]) || text[1] == 'x' || text[1] == 'X')
		return -EINVAL;
	n = strtod(text, &end);
	for (size_t i = 0; i < nr_units; i++) {
		if (strcasecmp(units[i].name, end))
			continue;
		n *= units[i].bytes;
		if (!(n >= 1 && n <= 1e15))
			return -EINVAL;
		*ret = (uint64_t)n;
		return 0;
	}
	return -EINVAL;
}

int rate_parse(const char *text, uint64_t *ret)
{
	static const struct unit units[] = {
		{"", 0.125},
		{"bit", 0.125},
		{"kbit", 125},
		{"mbit", 125e3},
		{"gbit", 125e6},
		{"tbit", 125e9},
		{"kibit", 128},
		{"mibit", 131072},
		{"gibit", 134217728},
		{"tibit", 137438953472},
		{"bps", 1},
		{"kbps", 1e3},
		{"mbps", 1e6},
		{"gbps", 1e9},
		{"tbps", 1e12},
		{"kibps", 1024},
		{"mibps", 1048576},
		{"gibps", 1073741824},
		{"tibps", 1099511627776},
	};

	return number_parse(text, units, ARRAY_SIZE(units), ret);
}

int size_parse(const char *text, uint64_t *ret)
{
	static const struct unit units[] = {
		{"", 1},
		{"b", 1},
		{"k", 1024},
		{"kb", 1024},
		{"m", 1048576},
		{"mb", 1048576},
		{"g", 1073741824},
		{"gb", 1073741824},
		{"kbit", 125},
		{"mbit", 125e3},
		{"gbit", 125e6},
	};

	return number_parse(text, units, ARRAY_SIZE(units), ret);
}
