// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Both guests of the switch benchmark, so light that the switch is what is measured: one thread, two
 * ports (ring_port.h) whose frames go round and round, A to B, readdressed, B to A. WINDOW of them are
 * under way each way, so nobody's ring overflows and what comes back is what the switch carried.
 * Every frame that comes back to A goes out for the next of N pairs of addresses.
 *
 *   switch-ring-guest SOCKET-A SOCKET-B huge|small SIZE PAIRS WINDOW WARM-SECONDS SECONDS
 *
 * Each frame has a number and a content of its own that no guest writes again. In the end all are
 * collected: one that is missing, there twice or changed anywhere on its thousands of ways is counted.
 *
 * Prints one line of JSON: frames through the switch, seconds, the share of polls and of time that found
 * nothing, what a frame costs the guest in TSC cycles, how fast the TSC is, and those three counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

#include "tests/bench/ring_port.h"
#include "tests/bench/switch_frames.h"

struct guests {
	struct ring_port port[2];
	struct frames frames;
	uint32_t window;
	uint64_t hz;
	uint64_t at; /* TSC at the end of the last poll */
	uint64_t count, polls, empty, busy_cycles, empty_cycles;
	double cpu; /* share of the time that it ran */
	uint64_t lost, doubled, damaged;
	uint8_t *seen; /* by number; 2 * window of them */
};

static void __attribute__((noreturn)) give_up(const char *what)
{
	fprintf(stderr, "switch-ring-guest: %s\n", what);
	exit(1);
}

static double clock_seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t tsc_hz(void)
{
	struct timespec pause = {.tv_nsec = 50000000};
	double a = clock_seconds(CLOCK_MONOTONIC), b;
	uint64_t begin = __rdtsc();

	nanosleep(&pause, NULL);
	b = clock_seconds(CLOCK_MONOTONIC);
	return (uint64_t)((double)(__rdtsc() - begin) / (b - a));
}

static void send_new(struct guests *g, unsigned int side, uint32_t pair, uint32_t number)
{
	struct port_frame f = port_frame_new(&g->port[side]);

	f.len = g->frames.size;
	frame_fill(f.data, f.len, side, pair, number);
	port_frame_send(&g->port[side], &f);
}

/* Look at what came to @side and send nothing. */
static unsigned int collect(struct guests *g, unsigned int side)
{
	struct port_frame f[PORT_BURST];
	unsigned int n = port_receive(&g->port[side], f);

	for (unsigned int i = 0; i < n; i++) {
		uint32_t number = frame_number(f[i].data);

		if (number == FRAME_TEACHES && f[i].len == g->frames.size)
			continue;
		if (!frame_is_whole(f[i].data, f[i].len, g->frames.size) || number >= 2 * g->window)
			g->damaged++;
		else
			g->doubled += g->seen[number]++ > 0;
	}
	port_discard(&g->port[side], f, n);
	return n;
}

/* Until nothing has come for so long. */
static unsigned int collect_all(struct guests *g, double seconds)
{
	uint64_t patience = (uint64_t)(seconds * (double)g->hz), end = __rdtsc() + patience;
	unsigned int all = 0;

	while (__rdtsc() < end) {
		unsigned int n = collect(g, 0) + collect(g, 1);

		if (n)
			end = __rdtsc() + patience;
		all += n;
	}
	return all;
}

static void connect_both(struct guests *g)
{
	uint64_t end = __rdtsc() + 20 * g->hz;
	struct timespec pause = {.tv_nsec = 1000000};

	for (;;) {
		bool a = port_connect(&g->port[0]), b = port_connect(&g->port[1]);

		if (a && b)
			return;
		if (__rdtsc() > end)
			give_up("no switch came");
		nanosleep(&pause, NULL);
	}
}

/* Wait until the switch carries frames, then show it all addresses. */
static void teach(struct guests *g)
{
	uint64_t end = __rdtsc() + 20 * g->hz;

	do {
		if (__rdtsc() > end)
			give_up("the switch carries nothing");
		send_new(g, 0, 0, FRAME_TEACHES);
	} while (!collect_all(g, 0.01));
	/* Once is not enough under Open vSwitch: it learns by a slow path that may be full. */
	for (unsigned int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < g->frames.pairs; i++) {
			send_new(g, 1, i, FRAME_TEACHES);
			send_new(g, 0, i, FRAME_TEACHES);
			if (i % 32 == 31)
				collect_all(g, 0.0001);
		}
	}
	collect_all(g, 0.05);
}

static void bounce(struct guests *g, unsigned int side)
{
	struct port_frame f[PORT_BURST];
	unsigned int n = port_receive(&g->port[side], f);
	uint64_t now;

	for (unsigned int i = 0; i < n; i++)
		frame_readdress(&g->frames, f[i].data, side);
	if (n)
		port_send_back(&g->port[side], f, n);
	now = __rdtsc();
	g->polls++;
	g->count += n;
	g->empty += !n;
	*(n ? &g->busy_cycles : &g->empty_cycles) += now - g->at;
	g->at = now;
}

static void run(struct guests *g, double seconds)
{
	uint64_t end = __rdtsc() + (uint64_t)(seconds * (double)g->hz);
	double begin = clock_seconds(CLOCK_MONOTONIC), ran = clock_seconds(CLOCK_THREAD_CPUTIME_ID);

	g->count = g->polls = g->empty = g->busy_cycles = g->empty_cycles = 0;
	g->at = __rdtsc();
	while (g->at < end) {
		for (unsigned int i = 0; i < 16; i++) {
			bounce(g, 0);
			bounce(g, 1);
		}
	}
	g->cpu = (clock_seconds(CLOCK_THREAD_CPUTIME_ID) - ran) /
		 (clock_seconds(CLOCK_MONOTONIC) - begin);
}

/* All frames on their way, for so long, and back again. */
static void go_round(struct guests *g, double seconds)
{
	memset(g->seen, 0, 2 * g->window);
	g->lost = g->doubled = g->damaged = 0;
	for (uint32_t i = 0; i < 2 * g->window; i++)
		send_new(g, i & 1, frames_next_pair(&g->frames), i);
	run(g, seconds);
	collect_all(g, 0.2);
	for (uint32_t i = 0; i < 2 * g->window; i++)
		g->lost += !g->seen[i];
}

static void report(const struct guests *g)
{
	double cycles = (double)(g->busy_cycles + g->empty_cycles);

	printf("{\"frames\":%llu,\"seconds\":%.3f,\"empty\":%.4f,\"idle\":%.4f,\"cpu\":%.4f,"
	       "\"cycles_guest\":%."
	       "1f,"
	       "\"burst\":%.1f,"
	       "\"tsc_hz\":%llu,\"lost\":%llu,\"doubled\":%llu,\"damaged\":%llu,\"kicks\":%llu}\n",
		(unsigned long long)g->count, cycles / (double)g->hz,
		(double)g->empty / (double)g->polls, (double)g->empty_cycles / cycles, g->cpu,
		g->count ? (double)g->busy_cycles / (double)g->count : 0,
		g->polls > g->empty ? (double)g->count / (double)(g->polls - g->empty) : 0,
		(unsigned long long)g->hz, (unsigned long long)g->lost,
		(unsigned long long)g->doubled, (unsigned long long)g->damaged,
		(unsigned long long)(g->port[0].kicks + g->port[1].kicks));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct guests g;

	if (argc != 9)
		give_up("usage: SOCKET-A SOCKET-B huge|small SIZE PAIRS WINDOW WARM SECONDS");
	g.frames.size = (uint32_t)atoi(argv[4]);
	g.frames.pairs = (uint32_t)atoi(argv[5]);
	g.window = (uint32_t)atoi(argv[6]);
	if (g.frames.size < FRAME_MIN || g.frames.size > FRAME_MAX || !g.frames.pairs ||
		!g.window || g.window > PORT_RING / 2)
		give_up("a size of 60 to 1514, a window of up to 512");
	g.hz = tsc_hz();
	g.seen = calloc(2, g.window);
	if (!g.seen)
		give_up("out of memory");
	for (unsigned int i = 0; i < 2; i++)
		port_open(&g.port[i], argv[1 + i], strcmp(argv[3], "huge") == 0);
	connect_both(&g);
	teach(&g);
	go_round(&g, atof(argv[7]));
	go_round(&g, atof(argv[8]));
	report(&g);
	/* The sockets go with the process. */
	_Exit(0);
}
