// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vswitch/worker.h"

/* Behind ours: it defines container_of() unless somebody has. */
#include <rte_cycles.h>
#include <rte_launch.h>

#define QUIET_NS    50000     /* a queue that had nothing for so long rests: it has to wake us */
#define LOOK_NS     20000     /* how soon a busy thread sees that */
#define SLOW_NS     1000000   /* how often queues are asked that cannot wake us */
#define SLEEP_NS    100000000 /* the clock of the table goes on */
#define EVENTS      32
#define AGE_AT_ONCE 64 /* entries in one round */

static void queue_heat(struct worker *w, struct queue_rx *rx)
{
	if (!rx->resting)
		return;
	rx->resting = false;
	rx->busy_ns = w->now_ns;
	w->hot[w->nr_hot++] = rx;
}

/* Returns whether it rests; if not, something has come in. */
static bool queue_rest(struct worker *w, struct queue_rx *rx)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = rx};
	int fd = -1, timeout_us = INT_MAX;

	rx->armed = true;
	if (rx->port->ops->arm(rx->port, rx->queue, &fd, &timeout_us)) {
		rx->busy_ns = w->now_ns;
		return false;
	}
	/* A peer may give a descriptor of any kind; some cannot be waited for. */
	if (fd >= 0 && fd != rx->fd) {
		if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 && errno != EEXIST)
			timeout_us = 0;
		else
			rx->fd = fd;
	}
	if (rx->deaf)
		timeout_us = 0;
	rx->resting = true;
	if (timeout_us != INT_MAX) {
		if (!w->nr_slow)
			w->slow_ns = w->now_ns + SLOW_NS;
		w->slow[w->nr_slow++] = rx;
	}
	return true;
}

static unsigned int queue_poll(struct worker *w, struct queue_rx *rx)
{
	struct port *p = rx->port;
	struct rte_mbuf *m[PORT_BURST];
	uint16_t n;

	if (rx->armed) {
		rx->armed = false;
		p->ops->disarm(p, rx->queue);
	}
	n = p->ops->rx(p, rx->queue, m, PORT_BURST);
	if (n)
		worker_frames(w, p, m, n);
	return n;
}

/* Returns how many frames came in. */
static unsigned int round_do(struct worker *w)
{
	uint64_t start = rte_rdtsc(), at = start;
	bool measure = w->dp->nr_workers > 1;
	unsigned int got = 0, i = 0;

	w->now_ns = datapath_now_ns(w->dp);
	while (i < w->nr_hot) {
		struct queue_rx *rx = w->hot[i];
		unsigned int n = queue_poll(w, rx);

		if (n) {
			rx->busy_ns = w->now_ns;
			got += n;
			if (measure) {
				uint64_t now = rte_rdtsc();

				counter_add(&rx->cycles, now - at);
				at = now;
			}
		} else if (w->now_ns - rx->busy_ns > QUIET_NS && queue_rest(w, rx)) {
			w->hot[i] = w->hot[--w->nr_hot];
			continue;
		}
		i++;
	}
	worker_flush(w);
	if (atomic_load_explicit(&w->dp->waiting, memory_order_relaxed))
		worker_run_shaped(w);
	counter_add(&w->stats.rounds, 1);
	if (got) {
		counter_add(&w->stats.busy_rounds, 1);
		counter_add(&w->stats.busy_cycles, rte_rdtsc() - start);
	}
	return got;
}

/* Which queues are ours. All are polled at first, and told that they need not wake us. */
static int layout_take(struct worker *w, uint32_t layout)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	struct datapath *dp = w->dp;

	/* A new one: a descriptor that a port has closed stays in the old one while its peer has it. */
	fd_close(w->epoll_fd);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &ev) < 0)
		return -errno;
	w->layout = layout;
	w->nr_hot = w->nr_slow = 0;
	for (unsigned int i = 0; i < dp->nr_active; i++) {
		struct port *p = dp->active[i];
		uint32_t rx = atomic_load_explicit(&p->rx_live, memory_order_acquire);

		worker_tx_queues_take(w, p);
		for (; rx; rx &= rx - 1) {
			struct queue_rx *q = &dp->rx[p->no][__builtin_ctz(rx)];

			if (q->worker != w->no)
				continue;
			q->fd = -1;
			q->deaf = false;
			q->armed = q->resting = true;
			queue_heat(w, q);
		}
	}
	return 0;
}

/* Once a second: half of what it was, half of what it is. */
static void load_take(struct worker *w, uint32_t now_s)
{
	struct datapath *dp = w->dp;
	uint32_t passed = now_s - w->load_s;
	uint64_t busy = w->stats.busy_cycles;

	w->load_s = now_s;
	counter_set(&w->stats.load, (w->stats.load + (busy - w->busy_at) / passed) / 2);
	w->busy_at = busy;
	for (unsigned int i = 0; i < dp->nr_active && dp->nr_workers > 1; i++)
		for (unsigned int j = 0; j < PORT_QUEUES; j++) {
			struct queue_rx *rx = &dp->rx[dp->active[i]->no][j];

			if (rx->worker != w->no)
				continue;
			counter_set(
				&rx->load, (rx->load + (rx->cycles - rx->cycles_at) / passed) / 2);
			rx->cycles_at = rx->cycles;
		}
}

static void let_go(struct worker *w)
{
	pthread_mutex_unlock(&w->lock);
	while (atomic_load(&w->dp->wanted))
		sched_yield();
	pthread_mutex_lock(&w->lock);
}

static void events_take(struct worker *w, const struct epoll_event *events, int n)
{
	uint64_t count;

	for (int i = 0; i < n; i++) {
		struct queue_rx *rx = events[i].data.ptr;

		if (!rx) {
			(void)!read(w->wake_fd, &count, sizeof(count));
			continue;
		}
		/* A tap that was deleted, the end of a pipe: it would never let us sleep. */
		if (!(events[i].events & EPOLLIN)) {
			epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, rx->fd, NULL);
			rx->deaf = true;
		}
		queue_heat(w, rx);
	}
}

static void slow_heat(struct worker *w)
{
	for (unsigned int i = 0; i < w->nr_slow; i++) {
		struct queue_rx *rx = w->slow[i];

		queue_heat(w, rx);
		/* One look is enough. */
		rx->busy_ns = w->now_ns - QUIET_NS;
	}
	w->nr_slow = 0;
}

/*
 * All queues rest. Each was asked to wake us, then, behind a barrier, looked at (arm() does these): what
 * came in between was seen or ends the sleep.
 */
static void worker_sleep(struct worker *w)
{
	struct epoll_event events[EVENTS] = {0};
	uint64_t ns = SLEEP_NS;
	struct timespec ts;
	int n;

	if (w->nr_slow)
		ns = w->slow_ns > w->now_ns ? w->slow_ns - w->now_ns : 0;
	if (atomic_load_explicit(&w->dp->waiting, memory_order_relaxed)) {
		uint64_t wait = worker_run_shaped(w);

		ns = wait < ns ? wait : ns;
	}
	ts = (struct timespec){.tv_nsec = (long)ns};
	counter_add(&w->stats.sleeps, 1);
	pthread_mutex_unlock(&w->lock);
	n = epoll_pwait2(w->epoll_fd, events, EVENTS, &ts, NULL);
	/* As under valgrind. */
	if (n < 0 && errno == ENOSYS)
		n = epoll_wait(w->epoll_fd, events, EVENTS, (int)(ns / 1000000) + 1);
	while (atomic_load(&w->dp->wanted))
		sched_yield();
	pthread_mutex_lock(&w->lock);
	w->now_ns = datapath_now_ns(w->dp);
	/* What the events point to may be gone when the layout is another. */
	if (atomic_load_explicit(&w->dp->layout, memory_order_acquire) == w->layout)
		events_take(w, events, n);
}

/* What a busy thread does now and then: see who is to be woken. */
static void worker_look(struct worker *w)
{
	struct epoll_event events[EVENTS] = {0};

	w->look_ns = w->now_ns + LOOK_NS;
	events_take(w, events, epoll_wait(w->epoll_fd, events, EVENTS, 0));
}

static int worker_loop(void *arg)
{
	struct worker *w = arg;
	struct datapath *dp = w->dp;

	pthread_mutex_lock(&w->lock);
	while (!atomic_load_explicit(&dp->stop, memory_order_relaxed)) {
		uint32_t layout, now_s;

		if (atomic_load_explicit(&dp->wanted, memory_order_relaxed))
			let_go(w);
		layout = atomic_load_explicit(&dp->layout, memory_order_acquire);
		if (layout != w->layout && layout_take(w, layout) < 0)
			sched_yield(); /* no descriptors left: until there are */
		round_do(w);
		if (w->now_ns >= w->look_ns && w->nr_hot)
			worker_look(w);
		if (w->nr_slow && w->now_ns >= w->slow_ns)
			slow_heat(w);
		if (!w->nr_hot && w->layout == layout)
			worker_sleep(w);
		now_s = (uint32_t)(w->now_ns / 1000000000u);
		if (now_s != w->load_s)
			load_take(w, now_s);
		if (!w->no && now_s != w->aged_s) {
			if (fdb_age(dp->fw->fdb, now_s, AGE_AT_ONCE) < AGE_AT_ONCE) {
				w->aged_s = now_s;
				if (dp->fw->snoop)
					snoop_age(dp->fw->snoop, now_s);
			}
		}
	}
	pthread_mutex_unlock(&w->lock);
	return 0;
}

void worker_wake(struct worker *w)
{
	uint64_t one = 1;

	(void)!write(w->wake_fd, &one, sizeof(one));
}

int worker_create(
	struct datapath *dp, unsigned int no, int core, struct err *e, struct worker **ret)
{
	struct worker *w = aligned_alloc(64, sizeof(*w));

	if (!w)
		return err_set(e, ENOMEM, "out of memory");
	memset(w, 0, sizeof(*w));
	w->dp = dp;
	w->no = no;
	w->core = core;
	w->epoll_fd = -1;
	w->layout = UINT32_MAX;
	pthread_mutex_init(&w->lock, NULL);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake_fd < 0) {
		int r = err_sys(e, errno, "eventfd");

		worker_destroy(w);
		return r;
	}
	*ret = w;
	return 0;
}

int worker_launch(struct worker *w, struct err *e)
{
	/* DPDK's first thread is the one that started it. */
	int r = rte_eal_remote_launch(worker_loop, w, w->no + 1);

	if (r < 0)
		return err_sys(e, -r, "start the datapath thread on CPU %d", w->core);
	w->launched = true;
	return 0;
}

void worker_destroy(struct worker *w)
{
	if (!w)
		return;
	if (w->launched) {
		worker_wake(w);
		rte_eal_wait_lcore(w->no + 1);
	}
	fd_close(w->wake_fd);
	fd_close(w->epoll_fd);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
