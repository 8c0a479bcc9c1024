/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which thread polls which receive queue, by what the queues cost. A move costs too: frames of one flow
 * may leave by two transmit queues for a moment, and a receiver may then see them out of order. So what
 * runs stays where it is unless the busiest thread gets clearly less to do.
 */
#ifndef VIADUCT_VSWITCH_BALANCE_H
#define VIADUCT_VSWITCH_BALANCE_H

#include <stddef.h>
#include <stdint.h>

#define BALANCE_THREADS_MAX 64
#define BALANCE_NONE        UINT16_MAX

struct balance_queue {
	uint64_t load;   /* in any unit */
	uint16_t fixed;  /* the only thread that may poll it, or BALANCE_NONE */
	uint16_t thread; /* that polls it now, or BALANCE_NONE; then, that shall */
};

/*
 * Give each of @n queues one of @threads threads, [1, BALANCE_THREADS_MAX]. Returns how many that had
 * a thread got another, or -ENOMEM; nothing has changed then.
 */
int balance(struct balance_queue *queues, size_t n, unsigned int threads);

#endif
