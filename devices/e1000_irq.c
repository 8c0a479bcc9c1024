// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From causes to the pin: it is high while ICR & IMS is not 0, INTx is not disabled, and the
 * interval of ITR since it last rose is over (SDM §3.4.3, §13.4.17 to .21). The delay timers of single
 * rings (RDTR, RADV, TIDV, TADV) expire at once; what the thread does in one turn is one interrupt.
 */
#include <sys/timerfd.h>
#include <time.h>

#include "devices/e1000_internal.h"

#define NS_PER_S 1000000000
#define ITR_UNIT 256 /* ns */

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void line_set(struct e1000 *n, bool level)
{
	if (n->level == level)
		return;
	n->level = level;
	if (level)
		e1000_count(&n->stat.irqs, 1);
	irq_line_set(&n->line, level);
}

/* The thread looks again when the interval is over. */
static void wait_until(struct e1000 *n, int64_t t)
{
	const struct itimerspec at = {
		.it_value = {.tv_sec = t / NS_PER_S, .tv_nsec = t % NS_PER_S},
	};

	(void)timerfd_settime(n->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

void e1000_irq_update(struct e1000 *n)
{
	bool want = *e1000_reg(n, R_ICR) & *e1000_reg(n, R_IMS) && !n->intx_off;
	int64_t interval = (int64_t)*e1000_reg(n, R_ITR) * ITR_UNIT, now;

	if (!want || n->level) {
		line_set(n, want);
		return;
	}
	if (interval) {
		now = now_ns();
		/* The guest may have shortened the interval since. */
		if (n->irq_next > now + interval)
			n->irq_next = now + interval;
		if (now < n->irq_next) {
			wait_until(n, n->irq_next);
			return;
		}
		n->irq_next = now + interval;
	}
	line_set(n, true);
}

void e1000_irq_raise(struct e1000 *n, uint32_t causes)
{
	*e1000_reg(n, R_ICR) |= causes & ICR_ALL;
	e1000_irq_update(n);
}
