// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vswitch/datapath.h"
#include "vswitch/eal.h"
#include "vswitch/egress.h"
#include "vswitch/offload_mbuf.h"
#include "vswitch/shaper.h"

/* Behind ours: it defines container_of() unless somebody has. */
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_mbuf.h>
#include <rte_memzone.h>

#define WORKER     1
#define MZ_NAME    "viaduct-switch"
#define MBUFS      8191
#define MBUF_CACHE 256

#define SPIN_NS      50000 /* nothing moved for so long: sleep */
#define SLEEP_MAX_US 100000
#define QUIET_POLLS  64 /* after so many empty polls a port is asked in every 16th round only */
#define QUIET_MASK   15

struct datapath {
	struct forward *fw;
	struct rte_mempool *pool;
	const struct rte_memzone *mz;

	/* The datapath holds @lock while it works; @wanted makes it let go between two rounds. */
	pthread_mutex_t lock;
	_Atomic unsigned int wanted;
	_Atomic bool stop;
	int wake_fd;
	bool running;

	struct port *active[FORWARD_PORTS_MAX];
	struct port *by_no[FORWARD_PORTS_MAX];
	unsigned int nr_active;
	struct datapath_stats stats;
	uint64_t now_ns, start_cycles;
	uint64_t ns_per_cycle; /* times 2^32 */
	uint64_t round;

	_Atomic uint32_t waiting;                /* buffers in front of ports with a rate limit */
	struct port *touched[FORWARD_PORTS_MAX]; /* ports something was staged for in this round */
	unsigned int nr_touched;
	struct pollfd fds[FORWARD_PORTS_MAX * PORT_QUEUES + 1];
};

static void port_drop(struct port *p, enum drop_reason reason, uint64_t n)
{
	counter_add(&p->counters.drops[reason], n);
}

/* The first live one; 0 when there is none, which takes nothing. */
static uint16_t tx_queue(const struct port *p)
{
	uint32_t live = atomic_load_explicit(&p->tx_live, memory_order_relaxed);

	return live ? (uint16_t)__builtin_ctz(live) : 0;
}

static void frames_send(struct port *p, struct rte_mbuf **m, uint16_t n)
{
	uint32_t bytes[PORT_BURST];
	uint64_t sum = 0;
	uint16_t sent;
	const char *why;

	for (uint16_t i = 0; i < n; i++)
		bytes[i] = m[i]->pkt_len;
	sent = p->ops->tx(p, tx_queue(p), m, n);
	for (uint16_t i = 0; i < sent; i++)
		sum += bytes[i];
	counter_add(&p->counters.tx_packets, sent);
	counter_add(&p->counters.tx_bytes, sum);
	if (sent < n)
		port_drop(p, p->ops->up(p, &why) ? DROP_TX_FULL : DROP_PORT_DOWN, n - sent);
}

static void stage_flush(struct port *p)
{
	uint16_t n = p->staged;

	if (!n)
		return;
	p->staged = 0;
	if (p->shaped)
		egress_push(p, p->stage, n, p->dp->now_ns, frames_send);
	else
		frames_send(p, p->stage, n);
}

/* Send what @m holds and leave it as it is. */
static void frame_send_copy(struct port *p, struct rte_mbuf *m)
{
	const char *why;

	/* What is staged for it came earlier. */
	stage_flush(p);
	if (p->shaped) {
		struct rte_mbuf *copy = rte_pktmbuf_copy(m, p->dp->pool, 0, UINT32_MAX);

		if (copy)
			egress_push(p, &copy, 1, p->dp->now_ns, frames_send);
		else
			port_drop(p, DROP_NO_MEMORY, 1);
	} else if (p->ops->tx_copy(p, tx_queue(p), m)) {
		counter_add(&p->counters.tx_packets, 1);
		counter_add(&p->counters.tx_bytes, m->pkt_len);
	} else {
		port_drop(p, p->ops->up(p, &why) ? DROP_TX_FULL : DROP_PORT_DOWN, 1);
	}
}

static void stage_add(struct datapath *dp, struct port *p, struct rte_mbuf *m)
{
	if (!p->listed) {
		p->listed = true;
		dp->touched[dp->nr_touched++] = p;
	}
	p->stage[p->staged++] = m;
	if (p->staged == PORT_BURST)
		stage_flush(p);
}

/* Both change the frame in place; it is ours alone. */
static bool tag_remove(struct rte_mbuf *m)
{
	uint8_t *b = rte_pktmbuf_mtod(m, uint8_t *);

	memmove(b + FRAME_TAG, b, 12);
	if (mbuf_needs(m))
		offload_shift(mbuf_offload(m), -FRAME_TAG);
	return rte_pktmbuf_adj(m, FRAME_TAG) != NULL;
}

static bool tag_insert(struct rte_mbuf *m, uint16_t vlan)
{
	uint8_t *b = (uint8_t *)rte_pktmbuf_prepend(m, FRAME_TAG);

	if (!b)
		return false;
	memmove(b, b + FRAME_TAG, 12);
	b[12] = FRAME_TYPE_VLAN >> 8;
	b[13] = FRAME_TYPE_VLAN & 255;
	b[14] = (uint8_t)(vlan >> 8);
	b[15] = (uint8_t)vlan;
	if (mbuf_needs(m))
		offload_shift(mbuf_offload(m), FRAME_TAG);
	return true;
}

static bool tag_convert(struct rte_mbuf *m, bool from, bool to, uint16_t vlan)
{
	if (from == to)
		return true;
	return to ? tag_insert(m, vlan) : tag_remove(m);
}

static uint32_t frame_wire_len(struct rte_mbuf *m)
{
	return mbuf_needs(m) ? offload_wire_len(mbuf_offload(m), m->pkt_len) : m->pkt_len;
}

static bool needs_cutting(struct rte_mbuf *m)
{
	return mbuf_needs(m) & (OFFLOAD_TSO4 | OFFLOAD_TSO6);
}

static void flood_one(struct port *p, struct rte_mbuf *m, bool tagged, const struct forward *fw)
{
	if (!forward_fits(fw, p->no, frame_wire_len(m), tagged)) {
		port_drop(p, DROP_OVERSIZE, 1);
		return;
	}
	frame_send_copy(p, m);
}

/*
 * To all ports the frame floods to that take @needs as it is, or (@whole) to all that do not and for
 * which it has been made whole. Two passes: those who want it in the form of *@tagged, then the
 * others, which leaves it in theirs. Returns to how many, or -1 when a tag could not be put in.
 */
static int flood_to(struct datapath *dp, struct port *in, struct rte_mbuf *m,
	const struct verdict *v, bool *tagged, uint32_t needs, bool whole)
{
	bool first = *tagged;
	int reached = 0;

	for (unsigned int pass = 0; pass < 2; pass++) {
		bool form = pass ? !first : first;

		for (unsigned int i = 0; i < dp->nr_active; i++) {
			struct port *p = dp->active[i];

			if (!(needs & ~p->takes) == whole ||
				!forward_reaches(dp->fw, in->no, p->no, v) ||
				forward_egress_tagged(dp->fw, p->no, v->vlan) != form)
				continue;
			if (!tag_convert(m, *tagged, form, v->vlan))
				return -1;
			*tagged = form;
			flood_one(p, m, form, dp->fw);
			reached++;
		}
	}
	return reached;
}

/* What flood_to() left out because it does not take @m as it is. */
static int flood_whole(struct datapath *dp, struct port *in, struct rte_mbuf *m,
	const struct verdict *v, bool tagged, uint32_t needs)
{
	struct rte_mbuf *s;
	int n = 0;

	if (!needs_cutting(m)) {
		mbuf_complete(m);
		return flood_to(dp, in, m, v, &tagged, needs, true);
	}
	for (uint32_t i = 0; n >= 0 && (s = mbuf_segment(m, i, dp->pool)); i++) {
		bool form = tagged;

		n = flood_to(dp, in, s, v, &form, needs, true);
		rte_pktmbuf_free(s);
	}
	return n;
}

static void frame_flood(struct datapath *dp, struct port *in, struct rte_mbuf *m,
	const struct verdict *v, bool tagged)
{
	uint32_t needs = mbuf_needs(m);
	int reached = flood_to(dp, in, m, v, &tagged, needs, false), more = 0;

	if (needs && reached >= 0)
		more = flood_whole(dp, in, m, v, tagged, needs);
	if (reached < 0 || more < 0)
		port_drop(in, DROP_NO_MEMORY, 1);
	else if (reached + more)
		counter_add(&in->counters.flooded, 1);
	else
		port_drop(in, DROP_NO_DESTINATION, 1);
	rte_pktmbuf_free(m);
}

/* @out does not take the frame as it is: make it whole, or frames that are. */
static void frame_make_whole(
	struct datapath *dp, struct port *in, struct port *out, struct rte_mbuf *m)
{
	uint32_t n = offload_segments(mbuf_offload(m), m->pkt_len), i;

	if (!needs_cutting(m)) {
		mbuf_complete(m);
		counter_add(&out->counters.completed, 1);
		stage_add(dp, out, m);
		return;
	}
	for (i = 0; i < n; i++) {
		struct rte_mbuf *s = mbuf_segment(m, i, dp->pool);

		if (!s)
			break;
		stage_add(dp, out, s);
	}
	if (i == n)
		counter_add(&out->counters.cut, 1);
	else
		port_drop(in, DROP_NO_MEMORY, 1);
	rte_pktmbuf_free(m);
}

static void frame_do(
	struct datapath *dp, struct port *in, struct rte_mbuf *m, const struct verdict *v)
{
	bool tagged = v->tagged, form;
	struct port *out;

	if (v->kind == VERDICT_DROP) {
		struct port *at = dp->by_no[v->reason_port];

		port_drop(at ? at : in, v->reason, 1);
		rte_pktmbuf_free(m);
		return;
	}
	if (v->priority_tag) {
		tag_remove(m);
		tagged = false;
	}
	if (v->kind == VERDICT_FLOOD) {
		frame_flood(dp, in, m, v, tagged);
		return;
	}
	out = dp->by_no[v->port];
	form = forward_egress_tagged(dp->fw, v->port, v->vlan);
	if (!out || !tag_convert(m, tagged, form, v->vlan)) {
		port_drop(in, DROP_NO_MEMORY, 1);
		rte_pktmbuf_free(m);
		return;
	}
	if (mbuf_needs(m) & ~out->takes)
		frame_make_whole(dp, in, out, m);
	else
		stage_add(dp, out, m);
}

static unsigned int queue_poll(struct datapath *dp, struct port *p, uint16_t queue)
{
	struct rte_mbuf *m[PORT_BURST];
	struct forward_frame frames[PORT_BURST];
	struct verdict v[PORT_BURST];
	uint64_t bytes = 0;
	uint16_t n;

	if (p->rx[queue].armed) {
		p->rx[queue].armed = false;
		p->ops->disarm(p, queue);
	}
	n = p->ops->rx(p, queue, m, PORT_BURST);
	if (!n)
		return 0;
	for (uint16_t i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(m[i], void *));
	for (uint16_t i = 0; i < n; i++) {
		frames[i] = (struct forward_frame){
			.bytes = rte_pktmbuf_mtod(m[i], const uint8_t *),
			.header_len = m[i]->data_len,
			.len = m[i]->pkt_len,
			.wire_len = frame_wire_len(m[i]),
		};
		bytes += m[i]->pkt_len;
	}
	counter_add(&p->counters.rx_packets, n);
	counter_add(&p->counters.rx_bytes, bytes);
	forward_decide(dp->fw, p->no, frames, n, dp->now_ns, v);
	for (uint16_t i = 0; i < n; i++)
		frame_do(dp, p, m[i], &v[i]);
	return n;
}

/* Send what waits and may leave; returns how long until there is more to send. */
static uint64_t shaped_run(struct datapath *dp)
{
	uint64_t wait, least = SHAPER_NEVER;

	for (unsigned int i = 0; i < dp->nr_active; i++) {
		struct port *p = dp->active[i];

		if (!p->shaped)
			continue;
		egress_run(p, dp->now_ns, frames_send);
		wait = egress_wait_ns(p, dp->now_ns);
		least = wait < least ? wait : least;
	}
	return least;
}

/* Returns how many frames came in. */
static unsigned int round_do(struct datapath *dp)
{
	uint64_t start = rte_rdtsc();
	unsigned int got = 0;

	dp->now_ns =
		(uint64_t)((unsigned __int128)(start - dp->start_cycles) * dp->ns_per_cycle >> 32);
	for (unsigned int i = 0; i < dp->nr_active; i++) {
		struct port *p = dp->active[i];
		uint32_t live = atomic_load_explicit(&p->rx_live, memory_order_acquire);

		for (; live; live &= live - 1) {
			uint16_t queue = (uint16_t)__builtin_ctz(live);
			struct port_rx *rx = &p->rx[queue];
			unsigned int n;

			/* Asking costs a lock and two cache lines: ask the quiet ones in turn. */
			if (rx->quiet >= QUIET_POLLS && ((dp->round ^ p->no) & QUIET_MASK))
				continue;
			n = queue_poll(dp, p, queue);
			rx->quiet = n ? 0 : rx->quiet + (rx->quiet < QUIET_POLLS);
			got += n;
		}
	}
	while (dp->nr_touched) {
		struct port *p = dp->touched[--dp->nr_touched];

		p->listed = false;
		stage_flush(p);
	}
	if (atomic_load_explicit(&dp->waiting, memory_order_relaxed))
		shaped_run(dp);
	dp->round++;
	counter_add(&dp->stats.rounds, 1);
	if (got) {
		counter_add(&dp->stats.busy_rounds, 1);
		counter_add(&dp->stats.busy_cycles, rte_rdtsc() - start);
	}
	return got;
}

/* Returns whether something came in at @p; otherwise what to wait for is behind dp->fds[*@n]. */
static bool port_arm(struct datapath *dp, struct port *p, unsigned int *n, int *timeout_us)
{
	uint32_t live = atomic_load_explicit(&p->rx_live, memory_order_acquire);

	for (; live; live &= live - 1) {
		uint16_t queue = (uint16_t)__builtin_ctz(live);
		int fd = -1;

		p->rx[queue].armed = true;
		if (p->ops->arm(p, queue, &fd, timeout_us)) {
			p->rx[queue].quiet = 0;
			return true;
		}
		if (fd >= 0)
			dp->fds[(*n)++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	return false;
}

static void queues_wake(struct datapath *dp)
{
	for (unsigned int i = 0; i < dp->nr_active; i++)
		for (unsigned int q = 0; q < PORT_QUEUES; q++)
			dp->active[i]->rx[q].quiet = 0;
}

/*
 * The order is: ask each port to wake us, barrier, look again (arm() does these), sleep. Something
 * that comes in between is seen by the look or wakes the sleep.
 */
static void idle_sleep(struct datapath *dp)
{
	struct timespec ts;
	int timeout_us = SLEEP_MAX_US;
	unsigned int n = 0;
	bool again = false;
	uint64_t count;

	dp->fds[n++] = (struct pollfd){.fd = dp->wake_fd, .events = POLLIN};
	for (unsigned int i = 0; i < dp->nr_active && !again; i++)
		again = port_arm(dp, dp->active[i], &n, &timeout_us);
	if (!again && atomic_load_explicit(&dp->waiting, memory_order_relaxed)) {
		uint64_t wait_us = shaped_run(dp) / 1000;

		timeout_us = wait_us < (uint64_t)timeout_us ? (int)wait_us : timeout_us;
	}
	if (!again) {
		counter_add(&dp->stats.sleeps, 1);
		ts = (struct timespec){.tv_nsec = timeout_us * 1000};
		pthread_mutex_unlock(&dp->lock);
		ppoll(dp->fds, n, &ts, NULL);
		while (atomic_load(&dp->wanted))
			sched_yield();
		pthread_mutex_lock(&dp->lock);
		if (dp->fds[0].revents & POLLIN)
			(void)!read(dp->wake_fd, &count, sizeof(count));
	}
	queues_wake(dp);
}

static int datapath_loop(void *arg)
{
	struct datapath *dp = arg;
	uint64_t busy_at = 0, aged_s = 0;

	pthread_mutex_lock(&dp->lock);
	while (!atomic_load_explicit(&dp->stop, memory_order_relaxed)) {
		if (atomic_load_explicit(&dp->wanted, memory_order_relaxed)) {
			pthread_mutex_unlock(&dp->lock);
			while (atomic_load(&dp->wanted))
				sched_yield();
			pthread_mutex_lock(&dp->lock);
		}
		if (round_do(dp))
			busy_at = dp->now_ns;
		else if (dp->now_ns - busy_at > SPIN_NS)
			idle_sleep(dp);
		if (dp->now_ns / 1000000000u != aged_s) {
			aged_s = dp->now_ns / 1000000000u;
			fdb_age(dp->fw->fdb, (uint32_t)aged_s);
		}
	}
	pthread_mutex_unlock(&dp->lock);
	return 0;
}

void datapath_pause(struct datapath *dp)
{
	/* A sleeping datapath has let go of the lock. */
	atomic_fetch_add(&dp->wanted, 1);
	pthread_mutex_lock(&dp->lock);
}

void datapath_resume(struct datapath *dp)
{
	uint64_t one = 1;

	atomic_fetch_sub(&dp->wanted, 1);
	pthread_mutex_unlock(&dp->lock);
	/* What it sleeps upon may have changed. */
	(void)!write(dp->wake_fd, &one, sizeof(one));
}

uint32_t datapath_now_s(const struct datapath *dp)
{
	uint64_t cycles = rte_rdtsc() - dp->start_cycles;

	return (uint32_t)(((unsigned __int128)cycles * dp->ns_per_cycle >> 32) / 1000000000u);
}

struct datapath *datapath_of_process(void)
{
	const struct rte_memzone *mz = rte_memzone_lookup(MZ_NAME);

	return mz ? *(struct datapath **)mz->addr : NULL;
}

static int datapath_init(struct datapath *dp, const struct switch_config *cfg, struct err *e)
{
	struct fdb_config fdb = {
		.capacity = cfg->fdb_capacity,
		.nr_ports = FORWARD_PORTS_MAX,
		.ageing_s = cfg->fdb_ageing_s,
		.seed = rte_rdtsc() * 0x9e3779b97f4a7c15ull ^ (uint64_t)getpid(),
	};
	int core, r;

	r = forward_create(&fdb, &dp->fw);
	if (r < 0)
		return err_sys(e, -r, "make a table of %u addresses", cfg->fdb_capacity);
	dp->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (dp->wake_fd < 0)
		return err_sys(e, errno, "eventfd");
	r = eal_start(cfg, e, &core);
	if (r < 0)
		return r;
	dp->pool = rte_pktmbuf_pool_create("frames", MBUFS, MBUF_CACHE, MBUF_PRIVATE,
		RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	dp->mz = rte_memzone_reserve(MZ_NAME, sizeof(void *), SOCKET_ID_ANY, 0);
	if (!dp->pool || !dp->mz)
		return err_set(e, ENOMEM,
			"%u MiB are too few for %d buffers; give memory-mib a larger number",
			cfg->memory_mib, MBUFS);
	*(struct datapath **)dp->mz->addr = dp;
	dp->ns_per_cycle = (1000000000ull << 32) / rte_get_tsc_hz();
	dp->start_cycles = rte_rdtsc();
	r = rte_eal_remote_launch(datapath_loop, dp, WORKER);
	if (r < 0)
		return err_sys(e, -r, "start the datapath thread on CPU %d", core);
	dp->running = true;
	return 0;
}

int datapath_create(const struct switch_config *cfg, struct err *e, struct datapath **ret)
{
	struct datapath *dp = calloc(1, sizeof(*dp));
	int r;

	if (!dp)
		return err_set(e, ENOMEM, "out of memory");
	dp->wake_fd = -1;
	pthread_mutex_init(&dp->lock, NULL);
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
	uint64_t one = 1;

	if (!dp)
		return;
	if (dp->running) {
		atomic_store(&dp->stop, true);
		(void)!write(dp->wake_fd, &one, sizeof(one));
		rte_eal_wait_lcore(WORKER);
	}
	rte_memzone_free(dp->mz);
	rte_mempool_free(dp->pool);
	fd_close(dp->wake_fd);
	forward_destroy(dp->fw);
	pthread_mutex_destroy(&dp->lock);
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

void datapath_stats_get(const struct datapath *dp, struct datapath_stats *ret)
{
	ret->rounds = counter_read(&dp->stats.rounds);
	ret->busy_rounds = counter_read(&dp->stats.busy_rounds);
	ret->busy_cycles = counter_read(&dp->stats.busy_cycles);
	ret->sleeps = counter_read(&dp->stats.sleeps);
}

void datapath_port_insert(struct datapath *dp, struct port *p)
{
	dp->by_no[p->no] = p;
	dp->active[dp->nr_active++] = p;
	dp->fw->ports[p->no] = p->cfg.forward;
	egress_apply(p, dp->now_ns);
	fdb_limit_set(dp->fw->fdb, p->no, p->cfg.fdb_limit);
}

void datapath_port_set(struct datapath *dp, struct port *p, const struct port_config *cfg)
{
	p->cfg = *cfg;
	dp->fw->ports[p->no] = cfg->forward;
	egress_apply(p, dp->now_ns);
	/* What was learned in VLANs the port has left would draw frames to where they are dropped. */
	fdb_flush(dp->fw->fdb, p->no, FDB_ANY_VLAN, false);
	fdb_limit_set(dp->fw->fdb, p->no, cfg->fdb_limit);
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
}

void datapath_queues_set(struct port *p, uint32_t rx, uint32_t tx)
{
	uint64_t one = 1;

	atomic_store_explicit(&p->tx_live, tx, memory_order_release);
	atomic_store_explicit(&p->rx_live, rx, memory_order_release);
	(void)!write(p->dp->wake_fd, &one, sizeof(one));
}

struct port *datapath_port_of_path(struct datapath *dp, const char *path)
{
	struct port *found = NULL;

	for (unsigned int i = 0; i < FORWARD_PORTS_MAX && !found; i++) {
		struct port *p = dp->by_no[i];

		if (p && p->cfg.kind == PORT_VHOST_USER && !strcmp(p->cfg.path, path))
			found = p;
	}
	return found;
}
