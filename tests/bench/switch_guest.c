// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Both guests of the switch benchmark: two virtio-user cards whose frames go round and round, A to B,
 * swapped, B to A. WINDOW of them are under way each way, so nobody's ring overflows and what comes
 * back is what the switch carried. Every frame that comes back to A goes out for the next of N pairs
 * of addresses.
 *
 *   switch-guest EAL-OPTIONS -- SIZE PAIRS WINDOW WARM-SECONDS SECONDS
 *
 * Prints one line of JSON: frames through the switch, seconds, the share of polls that found nothing, how
 * fast the TSC is, frames that had to be sent anew because they were lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "tests/bench/switch_frames.h"

#define BURST 32
#define RING  1024

struct guest {
	struct rte_mempool *pool;
	struct frames frames;
	uint32_t window;
	uint64_t count, polls, empty, lost;
};

static struct rte_mbuf *frame_make(
	struct guest *g, unsigned int side, uint32_t pair, uint32_t number)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(g->pool);
	char *b = m ? rte_pktmbuf_append(m, (uint16_t)g->frames.size) : NULL;

	if (!b)
		rte_exit(1, "out of buffers\n");
	frame_fill((uint8_t *)b, g->frames.size, side, pair, number);
	return m;
}

static void port_start(struct guest *g, uint16_t port)
{
	struct rte_eth_conf conf = {0};

	if (rte_eth_dev_configure(port, 1, 1, &conf) < 0 ||
		rte_eth_rx_queue_setup(port, 0, RING, 0, NULL, g->pool) < 0 ||
		rte_eth_tx_queue_setup(port, 0, RING, 0, NULL) < 0 || rte_eth_dev_start(port) < 0)
		rte_exit(1, "port %u does not start\n", port);
	rte_eth_promiscuous_enable(port);
}

static void send_all(uint16_t port, struct rte_mbuf **m, uint16_t n)
{
	for (uint16_t done = 0; done < n;)
		done += rte_eth_tx_burst(port, 0, m + done, n - done);
}

static uint16_t drain(uint16_t port)
{
	struct rte_mbuf *m[BURST];
	uint16_t n = rte_eth_rx_burst(port, 0, m, BURST);

	rte_pktmbuf_free_bulk(m, n);
	return n;
}

/* Wait until the switch carries frames, then show it all addresses. */
static void teach(struct guest *g)
{
	uint64_t end = rte_get_timer_cycles() + 20 * rte_get_timer_hz();
	struct rte_mbuf *m;

	for (;;) {
		uint64_t pause = rte_get_timer_cycles() + rte_get_timer_hz() / 100;
		unsigned int got = 0;

		m = frame_make(g, 0, 0, FRAME_TEACHES);
		send_all(0, &m, 1);
		while (rte_get_timer_cycles() < pause)
			got += drain(1);
		if (got)
			break;
		if (rte_get_timer_cycles() > end)
			rte_exit(1, "the switch carries nothing\n");
	}
	/* A mark is not enough under Open vSwitch: it learns by a slow path that may be full. */
	for (unsigned int round = 0; round < 2; round++)
		for (uint32_t i = 0; i < g->frames.pairs; i++) {
			m = frame_make(g, 1, i, FRAME_TEACHES);
			send_all(1, &m, 1);
			m = frame_make(g, 0, i, FRAME_TEACHES);
			send_all(0, &m, 1);
			for (unsigned int k = 0; k < 4; k++)
				drain(0), drain(1);
			if (i % 32 == 31)
				rte_delay_us(100);
		}
	rte_delay_ms(50);
	while (drain(0) || drain(1))
		;
}

static void bounce(struct guest *g, uint16_t port)
{
	struct rte_mbuf *m[BURST];
	uint16_t n = rte_eth_rx_burst(port, 0, m, BURST);

	g->polls++;
	if (!n) {
		g->empty++;
		return;
	}
	g->count += n;
	for (uint16_t i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(m[i], void *));
	for (uint16_t i = 0; i < n; i++)
		frame_readdress(&g->frames, rte_pktmbuf_mtod(m[i], uint8_t *), port);
	send_all(port, m, n);
}

static void launch(struct guest *g)
{
	for (uint32_t i = 0; i < 2 * g->window; i++) {
		uint16_t side = i & 1;
		struct rte_mbuf *m = frame_make(g, side, frames_next_pair(&g->frames), i);

		send_all(side, &m, 1);
		if (i % BURST == BURST - 1)
			rte_delay_us(20);
	}
}

static void run(struct guest *g, double seconds)
{
	uint64_t hz = rte_get_timer_hz(), now = rte_get_timer_cycles();
	uint64_t end = now + (uint64_t)(seconds * (double)hz), seen = g->count, at = now;

	while ((now = rte_get_timer_cycles()) < end) {
		for (unsigned int i = 0; i < 16; i++) {
			bounce(g, 0);
			bounce(g, 1);
		}
		/* Nothing for 200 ms: all that was under way is lost. */
		if (g->count != seen) {
			seen = g->count;
			at = now;
		} else if (now - at > hz / 5) {
			g->lost += 2 * g->window;
			launch(g);
			at = now;
		}
	}
}

int main(int argc, char **argv)
{
	struct guest g = {0};
	uint64_t begin;
	double took;
	int n = rte_eal_init(argc, argv);

	if (n < 0 || argc - n != 6)
		rte_exit(1, "usage: switch-guest EAL-OPTIONS -- SIZE PAIRS WINDOW WARM SECONDS\n");
	argv += n;
	g.frames.size = (uint32_t)atoi(argv[1]);
	g.frames.pairs = (uint32_t)atoi(argv[2]);
	g.window = (uint32_t)atoi(argv[3]);
	if (g.frames.size < FRAME_MIN || g.frames.size > FRAME_MAX || !g.frames.pairs ||
		!g.window || g.window > RING)
		rte_exit(1, "a size of 60 to 1514, a window of up to %d\n", RING);
	g.pool = rte_pktmbuf_pool_create("g", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (!g.pool || rte_eth_dev_count_avail() != 2)
		rte_exit(1, "two ports and memory for 8191 buffers are needed\n");
	port_start(&g, 0);
	port_start(&g, 1);
	teach(&g);
	launch(&g);
	run(&g, atof(argv[4]));
	g.count = g.polls = g.empty = g.lost = 0;
	begin = rte_get_timer_cycles();
	run(&g, atof(argv[5]));
	took = (double)(rte_get_timer_cycles() - begin) / (double)rte_get_timer_hz();
	printf("{\"frames\":%llu,\"seconds\":%.3f,\"empty\":%.4f,\"tsc_hz\":%llu,"
	       "\"lost\":%llu}\n",
		(unsigned long long)g.count, took, (double)g.empty / (double)g.polls,
		(unsigned long long)rte_get_tsc_hz(), (unsigned long long)g.lost);
	fflush(stdout);
	/* The sockets go with the process. */
	_Exit(0);
}
