/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The threads that move frames, each on a core of its own. One takes bursts from the receive queues it
 * has been given, has them decided upon, stages what goes where, and sends at the end of the round. When
 * nothing moves it sleeps.
 *
 * Everybody else changes ports and tables between datapath_pause() and datapath_resume(), which cost
 * the traffic one round: what comes in meanwhile waits where it came in. Private to vswitch.
 */
#ifndef VIADUCT_VSWITCH_DATAPATH_H
#define VIADUCT_VSWITCH_DATAPATH_H

#include "common/err.h"
#include "vswitch/forward.h"
#include "vswitch/port.h"

struct rte_mempool;

struct datapath_stats {
	int core;
	uint64_t rounds, busy_rounds, sleeps;
	uint64_t busy_cycles; /* of the TSC; in rounds that moved something */
	uint64_t load;        /* the same, a second, of the last seconds */
};

/* Start DPDK as @cfg says and a datapath without ports. Once per process. */
int datapath_create(const struct switch_config *cfg, struct err *e, struct datapath **ret);

/* Ends the threads. Ports must be gone. */
void datapath_destroy(struct datapath *dp);

/* Any thread but the datapath's. Does not nest. */
void datapath_pause(struct datapath *dp);
void datapath_resume(struct datapath *dp);

struct forward *datapath_forward(struct datapath *dp);
struct rte_mempool *datapath_pool(struct datapath *dp);
/* Buffers that wait in front of ports with a rate limit. */
_Atomic uint32_t *datapath_waiting(struct datapath *dp);
/* How many threads there are; what thread @i, below that, has done. Any thread. */
unsigned int datapath_cores(const struct datapath *dp);
void datapath_stats_get(const struct datapath *dp, unsigned int i, struct datapath_stats *ret);
/* Of all threads together. Any thread. */
void datapath_counters_get(
	const struct datapath *dp, const struct port *p, struct port_counters *ret);
/*
 * The CPU of the thread that polls receive queue @queue of @p, and what it costs, cycles a second.
 * Returns whether it is live. Control thread.
 */
bool datapath_queue_get(const struct datapath *dp, const struct port *p, unsigned int queue,
	int *ret_core, uint64_t *ret_load);
uint64_t datapath_hz(void);

/* Divide the queues anew. Returns how many moved, or -ENOMEM. Control thread, not paused. */
int datapath_balance(struct datapath *dp);

/* Is there a thread on each CPU that @cfg names? -EINVAL if not. */
int datapath_cores_check(const struct datapath *dp, const struct port_config *cfg, struct err *e);
/* The clock the table's entries are stamped by. */
uint32_t datapath_now_s(const struct datapath *dp);

/* Paused. The port must not be destroyed before it is taken out. */
void datapath_port_insert(struct datapath *dp, struct port *p);
void datapath_port_remove(struct datapath *dp, struct port *p);
void datapath_port_set(struct datapath *dp, struct port *p, const struct port_config *cfg);

/*
 * @p can receive from the queues in @rx and send by those in @tx from now on, bits of masks. Also when
 * what arm() gives for a queue has changed. Any thread at any time, even with locks that rx and tx
 * take: it does not wait. Who takes a queue away for good pauses and resumes afterwards; then nobody
 * uses it.
 */
void datapath_queues_set(struct port *p, uint32_t rx, uint32_t tx);

/*
 * Paused. As if the frame of @len bytes (at most an mbuf's) had come in at @p.
 * Returns 0 or -ENOMEM, counted.
 */
int datapath_inject(struct datapath *dp, struct port *p, const void *bytes, uint16_t len);

#endif
