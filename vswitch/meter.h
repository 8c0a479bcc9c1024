/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A token bucket: so many units a second, so many at once. Time is any monotonic nanosecond count.
 *
 * One bucket may serve several threads, by meter_take_shared(): it is locked for the few instructions of
 * a take. Shares per thread would have been cheaper and wrong: a port whose frames all come in at one
 * queue would get a part of its rate only.
 */
#ifndef VIADUCT_VSWITCH_METER_H
#define VIADUCT_VSWITCH_METER_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

struct meter {
	uint64_t rate;  /* units a second; 0 = no limit */
	uint64_t burst; /* units */
	uint64_t tokens, last_ns;
	uint64_t rest; /* of a unit, in 1e-9 */
	bool busy;     /* meter_take_shared() */
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

/* The same, from any of several threads. @now_ns of one may be behind that of another. */
static inline bool meter_take_shared(struct meter *m, uint64_t units, uint64_t now_ns)
{
	bool taken;

	if (!m->rate)
		return true;
	while (__atomic_test_and_set(&m->busy, __ATOMIC_ACQUIRE))
		sched_yield();
	taken = meter_take(m, units, now_ns);
	__atomic_clear(&m->busy, __ATOMIC_RELEASE);
	return taken;
}

#endif
