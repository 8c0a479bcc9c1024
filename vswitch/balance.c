// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "vswitch/balance.h"

struct share {
	uint64_t load;
	size_t count;
};

struct plan {
	struct share shares[BALANCE_THREADS_MAX];
	unsigned int threads;
};

struct order {
	uint64_t load;
	size_t queue;
};

/* The heaviest first; else in the order given. */
static int order_compare(const void *a, const void *b)
{
	const struct order *x = a, *y = b;

	if (x->load != y->load)
		return x->load > y->load ? -1 : 1;
	return x->queue < y->queue ? -1 : x->queue > y->queue;
}

static void plan_add(struct plan *p, unsigned int thread, uint64_t load)
{
	p->shares[thread].load += load;
	p->shares[thread].count++;
}

/* The thread with least to do; of those with as little, @now, else who has the fewest queues. */
static uint16_t plan_least(const struct plan *p, uint16_t now)
{
	unsigned int best = 0;

	for (unsigned int i = 1; i < p->threads; i++) {
		const struct share *a = &p->shares[i], *b = &p->shares[best];

		if (a->load < b->load ||
			(a->load == b->load && (i == now || (best != now && a->count < b->count))))
			best = i;
	}
	return (uint16_t)best;
}

static uint64_t plan_busiest(const struct plan *p)
{
	uint64_t most = 0;

	for (unsigned int i = 0; i < p->threads; i++)
		most = p->shares[i].load > most ? p->shares[i].load : most;
	return most;
}

/* Fill *@p and @to with what is fixed and, when @keep, what has a thread; place the others. */
static void plan_make(struct plan *p, const struct balance_queue *queues, const struct order *order,
	size_t n, bool keep, uint16_t *to)
{
	for (size_t i = 0; i < n; i++) {
		const struct balance_queue *q = &queues[i];

		to[i] = q->fixed;
		if (to[i] == BALANCE_NONE && keep && q->thread < p->threads)
			to[i] = q->thread;
		if (to[i] != BALANCE_NONE)
			plan_add(p, to[i], q->load);
	}
	for (size_t i = 0; i < n; i++) {
		size_t q = order[i].queue;

		if (to[q] != BALANCE_NONE)
			continue;
		to[q] = plan_least(p, queues[q].thread);
		plan_add(p, to[q], queues[q].load);
	}
}

int balance(struct balance_queue *queues, size_t n, unsigned int threads)
{
	_cleanup_free_ struct order *order = calloc(n + 1, sizeof(*order));
	_cleanup_free_ uint16_t *stay = calloc(n + 1, sizeof(*stay));
	_cleanup_free_ uint16_t *move = calloc(n + 1, sizeof(*move));
	struct plan a = {.threads = threads}, b = {.threads = threads};
	const uint16_t *to;
	int moved = 0;

	if (!order || !stay || !move)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		order[i] = (struct order){queues[i].load, i};
	qsort(order, n, sizeof(*order), order_compare);
	plan_make(&a, queues, order, n, true, stay);
	plan_make(&b, queues, order, n, false, move);
	to = plan_busiest(&b) < plan_busiest(&a) - plan_busiest(&a) / 8 ? move : stay;
	for (size_t i = 0; i < n; i++) {
		moved += queues[i].thread != BALANCE_NONE && queues[i].thread != to[i];
		queues[i].thread = to[i];
	}
	return moved;
}
