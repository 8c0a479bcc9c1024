// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "vswitch/balance.h"
#include "vswitch/eal.h"
#include "vswitch/egress.h"
#include "vswitch/offload_mbuf.h"
#include "vswitch/worker.h"

/* Behind ours: it defines container_of() unless somebody has. */
#include <rte_cycles.h>
#include <rte_mbuf.h>

#define MBUFS      8191
#define MBUF_CACHE 256

uint64_t datapath_now_ns(const struct datapath *dp)
{
	return (uint64_t)((unsigned __int128)(rte_rdtsc() - dp->start_cycles) * dp->ns_per_cycle >>
			  32);
}

uint32_t datapath_now_s(const struct datapath *dp)
{
	return (uint32_t)(datapath_now_ns(dp) / 1000000000u);
}

void datapath_pause(struct datapath *dp)
{
	/* One that sleeps has let go of its lock. */
	atomic_fetch_add(&dp->wanted, 1);
	for (unsigned int i = 0; i < dp->nr_workers; i++)
		pthread_mutex_lock(&dp->workers[i]->lock);
}

void datapath_resume(struct datapath *dp)
{
	atomic_fetch_sub(&dp->wanted, 1);
	for (unsigned int i = dp->nr_workers; i-- > 0;)
		pthread_mutex_unlock(&dp->workers[i]->lock);
}

static void layout_change(struct datapath *dp)
{
	atomic_fetch_add(&dp->layout, 1);
	for (unsigned int i = 0; i < dp->nr_workers; i++)
		worker_wake(dp->workers[i]);
}

static int datapath_init(struct datapath *dp, const struct switch_config *cfg, struct err *e)
{
	struct fdb_config fdb = {
		.capacity = cfg->fdb_capacity,
		.nr_ports = FORWARD_PORTS_MAX,
		.ageing_s = cfg->fdb_ageing_s,
		.seed = rte_rdtsc() * 0x9e3779b97f4a7c15ull ^ (uint64_t)getpid(),
	};
	struct snoop_config mcast = cfg->mcast;
	int cores[SWITCH_CORES_MAX], r;
	unsigned int n = 0;

	r = forward_create(&fdb, &dp->fw);
	if (r < 0)
		return err_sys(e, -r, "make a table of %u addresses", cfg->fdb_capacity);
	mcast.seed = fdb.seed;
	r = mcast.enabled ? snoop_create(&mcast, &dp->fw->snoop) : 0;
	if (r < 0)
		return err_sys(e, -r, "make a table of multicast groups");
	r = eal_start(cfg, e, cores, &n);
	if (r < 0)
		return r;
	dp->pool = rte_pktmbuf_pool_create("frames", MBUFS, MBUF_CACHE, MBUF_PRIVATE,
		RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!dp->pool)
		return err_set(e, ENOMEM,
			"%u MiB are too few for %d buffers; give memory-mib a larger number",
			cfg->memory_mib, MBUFS);
	dp->ns_per_cycle = (1000000000ull << 32) / rte_get_tsc_hz();
	dp->start_cycles = rte_rdtsc();
	for (; r >= 0 && dp->nr_workers < n; dp->nr_workers += r >= 0) {
		unsigned int no = dp->nr_workers;

		r = worker_create(dp, no, cores[no], e, &dp->workers[no]);
	}
	dp->fw->shared = n > 1;
	for (unsigned int i = 0; r >= 0 && i < n; i++)
		r = worker_launch(dp->workers[i], e);
	return r;
}

int datapath_create(const struct switch_config *cfg, struct err *e, struct datapath **ret)
{
	struct datapath *dp = aligned_alloc(64, sizeof(*dp));
	int r;

	if (!dp)
		return err_set(e, ENOMEM, "out of memory");
	memset(dp, 0, sizeof(*dp));
	for (unsigned int i = 0; i < FORWARD_PORTS_MAX * PORT_QUEUES; i++)
		pthread_spin_init(
			&dp->tx[i / PORT_QUEUES][i % PORT_QUEUES].lock, PTHREAD_PROCESS_PRIVATE);
	r = datapath_init(dp, cfg, e);
	if (r < 0) {
		datapath_destroy(dp);
		return r;
	}
	*ret = dp;
	return 0;
}

void datapath_destroy(struct datapath *dp)
{
	if (!dp)
		return;
	atomic_store(&dp->stop, true);
	for (unsigned int i = 0; i < dp->nr_workers; i++)
		worker_destroy(dp->workers[i]);
	rte_mempool_free(dp->pool);
	taps_finish(&dp->taps);
	forward_destroy(dp->fw);
	free(dp);
}

struct forward *datapath_forward(struct datapath *dp)
{
	return dp->fw;
}

struct rte_mempool *datapath_pool(struct datapath *dp)
{
	return dp->pool;
}

_Atomic uint32_t *datapath_waiting(struct datapath *dp)
{
	return &dp->waiting;
}

unsigned int datapath_cores(const struct datapath *dp)
{
	return dp->nr_workers;
}

void datapath_stats_get(const struct datapath *dp, unsigned int i, struct datapath_stats *ret)
{
	const struct worker *w = dp->workers[i];

	*ret = (struct datapath_stats){
		.core = w->core,
		.rounds = counter_read(&w->stats.rounds),
		.busy_rounds = counter_read(&w->stats.busy_rounds),
		.busy_cycles = counter_read(&w->stats.busy_cycles),
		.sleeps = counter_read(&w->stats.sleeps),
		.load = counter_read(&w->stats.load),
	};
}

void datapath_counters_get(
	const struct datapath *dp, const struct port *p, struct port_counters *ret)
{
	*ret = (struct port_counters){0};
	port_counters_add(ret, &p->counters);
	for (unsigned int i = 0; i < dp->nr_workers; i++)
		port_counters_add(ret, &dp->workers[i]->ports[p->no].counters);
}

bool datapath_queue_get(const struct datapath *dp, const struct port *p, unsigned int queue,
	int *ret_core, uint64_t *ret_load)
{
	const struct queue_rx *rx = &dp->rx[p->no][queue];

	if (queue >= PORT_QUEUES || !(atomic_load(&p->rx_live) >> queue & 1))
		return false;
	*ret_core = dp->workers[rx->worker]->core;
	*ret_load = counter_read(&rx->load);
	return true;
}

uint64_t datapath_hz(void)
{
	return rte_get_tsc_hz();
}

static uint16_t core_worker(const struct datapath *dp, int core)
{
	for (unsigned int i = 0; i < dp->nr_workers; i++)
		if (dp->workers[i]->core == core)
			return (uint16_t)i;
	return BALANCE_NONE;
}

int datapath_cores_check(const struct datapath *dp, const struct port_config *cfg, struct err *e)
{
	for (unsigned int i = 0; i < cfg->nr_rx_cores; i++)
		if (core_worker(dp, cfg->rx_cores[i]) == BALANCE_NONE)
			return err_set(e, EINVAL,
				"port '%s': rx-cores: there is no datapath thread on CPU %d; "
				"cores says where there are some",
				cfg->name, cfg->rx_cores[i]);
	return 0;
}

static struct balance_queue queue_describe(
	const struct datapath *dp, const struct port *p, unsigned int queue)
{
	const struct port_config *cfg = &p->cfg;
	const struct queue_rx *rx = &dp->rx[p->no][queue];

	return (struct balance_queue){
		.load = counter_read(&rx->load),
		.fixed = cfg->nr_rx_cores ? core_worker(dp, cfg->rx_cores[queue % cfg->nr_rx_cores])
					  : BALANCE_NONE,
		.thread = rx->worker,
	};
}

/* Paused. What is not live yet goes to the threads in turn. */
static int queues_assign(struct datapath *dp)
{
	_cleanup_free_ struct balance_queue *q = calloc(WORKER_QUEUES, sizeof(*q));
	uint32_t counts[FORWARD_PORTS_MAX];
	unsigned int n = 0;
	int moved;

	if (!q)
		return -ENOMEM;
	for (unsigned int i = 0; i < dp->nr_active; i++) {
		/* A port whose peer has not come yet will have its first. */
		counts[i] = atomic_load(&dp->active[i]->rx_live) | 1;
		for (unsigned int j = 0; j < PORT_QUEUES; j++)
			if (counts[i] >> j & 1)
				q[n++] = queue_describe(dp, dp->active[i], j);
	}
	moved = balance(q, n, dp->nr_workers);
	if (moved < 0)
		return moved;
	n = 0;
	for (unsigned int i = 0; i < dp->nr_active; i++) {
		struct port *p = dp->active[i];
		uint16_t first = q[n].thread;

		for (unsigned int j = 0; j < PORT_QUEUES; j++) {
			struct queue_rx *rx = &dp->rx[p->no][j];

			if (counts[i] >> j & 1) {
				rx->worker = q[n++].thread;
				continue;
			}
			rx->worker = queue_describe(dp, p, j).fixed;
			if (rx->worker == BALANCE_NONE)
				rx->worker = (uint16_t)((first + j) % dp->nr_workers);
		}
	}
	layout_change(dp);
	return moved;
}

int datapath_balance(struct datapath *dp)
{
	int r;

	datapath_pause(dp);
	r = queues_assign(dp);
	datapath_resume(dp);
	return r;
}

void datapath_port_insert(struct datapath *dp, struct port *p)
{
	for (unsigned int i = 0; i < PORT_QUEUES; i++)
		dp->rx[p->no][i] = (struct queue_rx){
			.port = p,
			.queue = (uint16_t)i,
			.worker = i ? (uint16_t)(i % dp->nr_workers) : BALANCE_NONE,
			.fd = -1,
		};
	for (unsigned int i = 0; i < dp->nr_workers; i++)
		dp->workers[i]->ports[p->no].counters = (struct port_counters){0};
	dp->by_no[p->no] = p;
	dp->active[dp->nr_active++] = p;
	dp->fw->ports[p->no] = p->cfg.forward;
	egress_apply(p, datapath_now_ns(dp));
	fdb_limit_set(dp->fw->fdb, p->no, p->cfg.fdb_limit);
	if (dp->fw->snoop)
		snoop_port_set(dp->fw->snoop, p->no, &p->cfg.forward.mcast);
	taps_apply(dp);
	/* Without memory to plan with, the first thread takes it. */
	if (queues_assign(dp) < 0)
		dp->rx[p->no][0].worker = 0;
	layout_change(dp);
}

void datapath_port_set(struct datapath *dp, struct port *p, const struct port_config *cfg)
{
	p->cfg = *cfg;
	forward_port_set(dp->fw, p->no, &cfg->forward);
	egress_apply(p, datapath_now_ns(dp));
	fdb_limit_set(dp->fw->fdb, p->no, cfg->fdb_limit);
	if (dp->fw->snoop)
		snoop_port_set(dp->fw->snoop, p->no, &cfg->forward.mcast);
	taps_apply(dp);
	queues_assign(dp);
}

void datapath_port_remove(struct datapath *dp, struct port *p)
{
	for (unsigned int i = 0; i < dp->nr_active; i++)
		if (dp->active[i] == p) {
			dp->active[i] = dp->active[--dp->nr_active];
			break;
		}
	dp->by_no[p->no] = NULL;
	egress_finish(p);
	dp->fw->ports[p->no] = (struct forward_port){0};
	fdb_flush(dp->fw->fdb, p->no, FDB_ANY_VLAN, true);
	if (dp->fw->snoop)
		snoop_port_remove(dp->fw->snoop, p->no);
	taps_apply(dp);
	queues_assign(dp);
	layout_change(dp);
}

void datapath_queues_set(struct port *p, uint32_t rx, uint32_t tx)
{
	atomic_store_explicit(&p->tx_live, tx, memory_order_release);
	atomic_store_explicit(&p->rx_live, rx, memory_order_release);
	layout_change(p->dp);
}
