/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A token bucket: so many units a second, so many at once. Time is any monotonic nanosecond count. */
#ifndef VIADUCT_VSWITCH_METER_H
#define VIADUCT_VSWITCH_METER_H

#include <stdbool.h>
#include <stdint.h>

struct meter {
	uint64_t rate;  /* units a second; 0 = no limit */
	uint64_t burst; /* units */
	uint64_t tokens, last_ns;
	uint64_t rest; /* of a unit, in 1e-9 */
};

static inline void meter_init(struct meter *m, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	*m = (struct meter){.rate = rate, .burst = burst, .tokens = burst, .last_ns = now_ns};
}

/* May @units pass at @now_ns? */
static inline bool meter_take(struct meter *m, uint64_t units, uint64_t now_ns)
{
	unsigned __int128 gained;

	if (!m->rate)
		return true;
	if (now_ns > m->last_ns) {
		gained = (unsigned __int128)(now_ns - m->last_ns) * m->rate + m->rest;
		m->last_ns = now_ns;
		m->rest = (uint64_t)(gained % 1000000000u);
		gained = gained / 1000000000u + m->tokens;
		m->tokens = gained > m->burst ? m->burst : (uint64_t)gained;
	}
	if (m->tokens < units)
		return false;
	m->tokens -= units;
	return true;
}

#endif
