// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest's side of a vhost-user link, without a guest: the front end of devices/ and two split
 * rings driven by hand. Sends numbered frames and expects each back, from a back end that loops
 * them (testpmd, forward mode macswap or io with one port). No KVM is needed.
 *
 *   vhost-user-probe PATH server|client FRAMES STALL_MS
 *
 * Prints "lost L twice T restarts R"; frames may be lost and come twice only where the back end was
 * ended in between (it has no inflight region). Exit 0: the last tenth came back whole.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "devices/vhost_user.h"
#include "devices/vhost_user_msg.h"

#define MIB   (1024ull * 1024)
#define SIZE  256u
#define HDR   12u
#define FRAME 64u
#define RX    0
#define TX    1

/* Virtio 1.2 §2.7 */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
struct avail {
	uint16_t flags, idx, ring[SIZE];
};
struct used {
	uint16_t flags, idx;
	struct {
		uint32_t id, len;
	} ring[SIZE];
};

struct ring {
	struct net_ring net;
	struct desc *desc;
	struct avail *avail;
	struct used *used;
	uint16_t seen;
	int kick, call;
};

static struct ring ring_make(struct gmem *mem, unsigned int index)
{
	uint64_t gpa = 0x10000 * (index + 1);
	struct ring r = {
		.net = {.index = index,
			.size = SIZE,
			.desc = gpa,
			.avail = gpa + 0x4000,
			.used = gpa + 0x8000},
		.desc = gmem_hva(mem, gpa, sizeof(struct desc) * SIZE),
		.avail = gmem_hva(mem, gpa + 0x4000, sizeof(struct avail)),
		.used = gmem_hva(mem, gpa + 0x8000, sizeof(struct used)),
		.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	};

	r.net.kick_fd = r.kick;
	memset(r.avail, 0, sizeof(*r.avail));
	memset(r.used, 0, sizeof(*r.used));
	for (unsigned int i = 0; i < SIZE; i++)
		r.desc[i] = (struct desc){
			.addr = 0x100000 * (index + 1) + 2048 * i,
			.len = index == TX ? HDR + FRAME : 2048,
			.flags = index == TX ? 0 : 2,
		};
	return r;
}

static void ring_give(struct ring *r, uint16_t id)
{
	uint16_t idx = r->avail->idx;

	r->avail->ring[idx % SIZE] = id;
	/* Pairs with the back end's acquire of avail->idx. */
	__atomic_store_n(&r->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

static int ring_take(struct ring *r)
{
	if (__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) == r->seen)
		return -1;
	return (int)(r->used->ring[r->seen++ % SIZE].id % SIZE);
}

static void on_link(void *ctx, bool up)
{
	*(_Atomic int *)ctx = up;
}

static void on_announce(void *ctx)
{
}

static void on_broken(void *ctx, unsigned int index, const char *why)
{
	fprintf(stderr, "ring %u: %s\n", index, why);
	exit(1);
}

struct tally {
	unsigned int frames, sent;
	uint8_t *came;
	unsigned int lost, twice;
};

static void frame_fill(uint8_t *p, uint32_t n)
{
	memset(p, 0, HDR + FRAME);
	memset(p + HDR, 0xff, 6);
	memcpy(p + HDR + 6, "\x52\x54\0\0\0\1", 6);
	memcpy(p + HDR + 12, "\x88\xb5", 2);
	memcpy(p + HDR + 14, &n, sizeof(n));
}

static void frame_count(struct tally *t, const uint8_t *p)
{
	uint32_t n;

	memcpy(&n, p + HDR + 14, sizeof(n));
	if (memcmp(p + HDR + 12, "\x88\xb5", 2) || n >= t->frames)
		return;
	t->twice += t->came[n];
	t->came[n] = 1;
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Send all frames, a few at a time; wait @stall_ms for what is still under way at the end. */
static void traffic(
	struct gmem *mem, struct ring *rx, struct ring *tx, struct tally *t, int64_t stall_ms)
{
	int64_t moved = vu_now_ms();
	unsigned int free_tx = SIZE;
	uint16_t free_id[SIZE];
	int id;

	for (unsigned int i = 0; i < SIZE; i++) {
		free_id[i] = (uint16_t)i;
		ring_give(rx, (uint16_t)i);
	}
	eventfd_write(rx->kick, 1);
	while (vu_now_ms() - moved < stall_ms) {
		bool any = false;

		while ((id = ring_take(tx)) >= 0)
			free_id[free_tx++ % SIZE] = (uint16_t)id;
		for (unsigned int burst = 0; free_tx && t->sent < t->frames && burst < 8; burst++) {
			uint16_t d = free_id[--free_tx];

			frame_fill(gmem_hva(mem, tx->desc[d].addr, HDR + FRAME), t->sent++);
			ring_give(tx, d);
			any = true;
		}
		if (any)
			eventfd_write(tx->kick, 1);
		while ((id = ring_take(rx)) >= 0) {
			frame_count(t, gmem_hva(mem, rx->desc[id].addr, HDR + FRAME));
			ring_give(rx, (uint16_t)id);
			any = true;
		}
		if (any) {
			eventfd_write(rx->kick, 1);
			moved = vu_now_ms();
		}
		pause_ms(1);
	}
}

/* One life of the guest's driver: fresh rings, @frames of traffic, a reset. */
static bool life(struct net_backend *be, struct gmem *mem, unsigned int frames, int64_t stall_ms,
	struct err *e)
{
	struct tally t = {.frames = frames, .came = calloc(frames + 1, 1)};
	struct ring ring[2] = {ring_make(mem, RX), ring_make(mem, TX)};
	struct net_ring net[2] = {ring[RX].net, ring[TX].net};
	const struct net_start start = {
		.features = 1ull << 32 | 1 << 15, .n = 2, .pairs = 1, .ring = net};
	struct vhost_user_stats stats = {0};
	unsigned int late = 0;
	bool ok;

	if (!t.came)
		exit(1);
	for (unsigned int i = 0; i < 2; i++)
		be->ops->set_call(be, i, ring[i].call);
	if (be->ops->start(be, &start, e) < 0)
		return false;
	for (unsigned int i = 0; i < 300 && !stats.running; i++) {
		pause_ms(100);
		vhost_user_stats(be, &stats);
	}
	printf("link %s\n", stats.running ? "up" : "down");
	fflush(stdout);
	traffic(mem, &ring[RX], &ring[TX], &t, stall_ms);
	be->ops->stop(be, (uint16_t[2]){0});
	for (unsigned int i = 0; i < frames; i++) {
		t.lost += !t.came[i];
		late += i >= frames - frames / 10 && !t.came[i];
	}
	vhost_user_stats(be, &stats);
	printf("sent %u lost %u late %u twice %u starts %" PRIu64 " losses %" PRIu64 " reason %s\n",
		t.sent, t.lost, late, t.twice, stats.starts, stats.losses, stats.last_reason);
	fflush(stdout);
	ok = t.sent == frames && !late;
	for (unsigned int i = 0; i < 2; i++) {
		close(ring[i].kick);
		close(ring[i].call);
	}
	free(t.came);
	return ok;
}

int main(int argc, char **argv)
{
	const struct gmem_config mcfg = {.size = 16 * MIB, .sealed = true};
	struct vhost_user_config cfg = {.pairs = 1, .grace_ms = 1000};
	_Atomic int up = 0;
	const struct net_events events = {on_link, on_announce, on_broken, &up};
	struct net_backend *be;
	struct err e = {0};
	bool ok;

	if (argc < 5)
		return 2;
	cfg.path = argv[1];
	cfg.client = !strcmp(argv[2], "client");
	if (gmem_create(&mcfg, &e, &cfg.mem) < 0 || vhost_user_create(&cfg, &e, &be) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	be->ops->attach(be, &events);
	ok = life(be, cfg.mem, (unsigned int)strtoul(argv[3], NULL, 10), atoi(argv[4]), &e);
	/* The guest resets its device and starts anew, with the same back end. */
	if (ok)
		ok = life(be, cfg.mem, 2000, 1500, &e);
	if (e.text[0])
		fprintf(stderr, "%s\n", e.text);
	net_backend_destroy(be);
	gmem_destroy(cfg.mem);
	return ok ? 0 : 1;
}
