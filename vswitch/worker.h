/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One datapath thread, and what all of them share. A thread polls the receive queues that are its own,
 * sends at the end of each round, and sleeps when its queues rest. What it writes per frame is in its
 * own struct worker; others read its counters. Private to datapath.c, deliver.c and worker.c.
 */
#ifndef VIADUCT_VSWITCH_WORKER_H
#define VIADUCT_VSWITCH_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "vswitch/datapath.h"
#include "vswitch/taps.h"

#define WORKER_QUEUES (FORWARD_PORTS_MAX * PORT_QUEUES)

/* A receive queue; the thread that polls it writes it. */
struct queue_rx {
	struct port *port;
	uint16_t queue;
	uint16_t worker; /* who polls it; changes while all are paused */
	int fd;          /* what would wake us, once it is watched */
	bool armed, resting;
	bool deaf;                  /* @fd is ready for ever: whoever was to wake us has gone */
	uint64_t busy_ns;           /* it had something then */
	uint64_t cycles, cycles_at; /* spent on its frames; then, when @load was made */
	uint64_t load;              /* of the last seconds, cycles a second */
} __attribute__((aligned(64)));

struct queue_tx {
	pthread_spinlock_t lock; /* for one of several threads */
} __attribute__((aligned(64)));

/* A port as one thread uses it. */
struct worker_port {
	struct rte_mbuf *stage[PORT_BURST];
	uint16_t staged;
	/* What we send by: our share of the live ones, one for each flow. The first means something
	 * even if there is none. */
	uint8_t tx_queues[PORT_QUEUES], nr_tx_queues;
	bool listed; /* in touched[] */
	struct port_counters counters;
} __attribute__((aligned(64)));

struct worker {
	struct datapath *dp;
	unsigned int no;
	int core;
	bool launched;
	int wake_fd, epoll_fd;

	uint64_t now_ns;
	uint32_t layout;  /* of which hot[] was made */
	uint64_t look_ns; /* when to look for queues that are to be woken */
	uint64_t slow_ns; /* when to ask those that cannot wake us */
	uint32_t aged_s, load_s;
	uint64_t busy_at; /* of stats.busy_cycles, when stats.load was made */

	/* Receive queues: polled in every round, and resting with nothing that would wake us. */
	struct queue_rx *hot[WORKER_QUEUES], *slow[WORKER_QUEUES];
	unsigned int nr_hot, nr_slow;

	struct port *touched[FORWARD_PORTS_MAX]; /* something is staged for them */
	unsigned int nr_touched;
	struct worker_port ports[FORWARD_PORTS_MAX]; /* by number */

	/* Held while it works. On a line of its own: others take it. */
	pthread_mutex_t lock __attribute__((aligned(64)));
	struct datapath_stats stats __attribute__((aligned(64)));
};

struct datapath {
	struct forward *fw;
	struct rte_mempool *pool;
	uint64_t start_cycles;
	uint64_t ns_per_cycle; /* times 2^32 */

	/* What each thread reads in each round and hardly anybody writes. */
	_Atomic unsigned int wanted __attribute__((aligned(64))); /* let go between two rounds */
	_Atomic uint32_t layout; /* changes with the queues and with who polls them */
	_Atomic bool stop;
	_Atomic uint32_t waiting; /* buffers in front of ports with a rate limit */
	unsigned int nr_workers;

	/* Change while all threads are paused. */
	struct taps taps;
	struct port *active[FORWARD_PORTS_MAX];
	struct port *by_no[FORWARD_PORTS_MAX];
	unsigned int nr_active;
	struct worker *workers[SWITCH_CORES_MAX];
	struct queue_rx rx[FORWARD_PORTS_MAX][PORT_QUEUES]; /* by the port's number */
	struct queue_tx tx[FORWARD_PORTS_MAX][PORT_QUEUES];
};

uint64_t datapath_now_ns(const struct datapath *dp);

/* Returns 0 or a negative errno. It runs from worker_launch() until dp->stop. */
int worker_create(
	struct datapath *dp, unsigned int no, int core, struct err *e, struct worker **ret);
int worker_launch(struct worker *w, struct err *e);
/* Waits for its end. */
void worker_destroy(struct worker *w);
/* Out of its sleep. Any thread. */
void worker_wake(struct worker *w);

/* Decide upon @n frames that came in at @in and stage, send or drop them. */
void worker_frames(struct worker *w, struct port *in, struct rte_mbuf **m, uint16_t n);
/* Send what waits and may leave; returns how long until there is more to send. */
uint64_t worker_run_shaped(struct worker *w);
/* Which queues we send to @p by: all that are live but those that other threads take. */
void worker_tx_queues_take(struct worker *w, const struct port *p);
/* Send what @m holds by @p, as it is and at once, and leave it to the caller; for copies. */
void worker_send_copy(struct worker *w, struct port *p, struct rte_mbuf *m);
void worker_drop(struct worker *w, struct port *p, enum drop_reason reason, uint64_t n);
/* Put the tag in. Returns false when there is no room. */
bool worker_tag_insert(struct rte_mbuf *m, uint16_t vlan);
/* Send what is staged. */
void worker_flush(struct worker *w);

#endif
