// SPDX-License-Identifier: GPL-2.0-or-later
#include <stddef.h>

#include "vswitch/counters.h"

const char *drop_reason_name(enum drop_reason r)
{
	static const char *const names[] = {
#define X(name, text, what) [DROP_##name] = (text),
		DROP_REASONS(X)
#undef X
	};

	return r < DROP_REASON_COUNT ? names[r] : "unknown";
}

const char *drop_reason_text(enum drop_reason r)
{
	static const char *const texts[] = {
#define X(name, text, what) [DROP_##name] = (what),
		DROP_REASONS(X)
#undef X
	};

	return r < DROP_REASON_COUNT ? texts[r] : "unknown";
}

void port_counters_add(struct port_counters *sum, const struct port_counters *c)
{
	const uint64_t *from = (const uint64_t *)c;
	uint64_t *to = (uint64_t *)sum;

	/* It holds nothing else. */
	for (size_t i = 0; i < sizeof(*c) / sizeof(*from); i++)
		to[i] += counter_read(&from[i]);
}
