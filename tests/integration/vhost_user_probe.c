// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest's side of a vhost-user link, without a guest: the front end of devices/ and rings driven
 * by hand. Sends numbered frames as fast as they come back, from a back end that loops them
 * (testpmd, forward mode macswap with one port). No KVM
 * is needed.
 *
 *   vhost-user-probe PATH server|client LOSSES [split|packed][,mrg][,pairs=N]
 *
 * Goes on until the back end was lost LOSSES times and is back, then resets the device and sends
 * some more. Of every frame it is known whether it was still in a ring when the back end was gone:
 * those have to come back, as has all that is sent to a back end that lives on; nothing may come
 * twice; every buffer has to be given back. A frame the dead one had taken may be lost.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "devices/vhost_user.h"
#include "devices/vhost_user_msg.h"

#define MIB       (1024ull * 1024)
#define SIZE      256u
#define HDR       12u
#define FRAME     64u
#define PAIRS     4u
#define UNDER_WAY 128u /* frames per pair; fewer than there are receive buffers */
#define FRAMES    (32u << 20)

#define F_MRG_RXBUF (1ull << 15)
#define F_INDIRECT  (1ull << 28)
#define F_VERSION_1 (1ull << 32)
#define F_PACKED    (1ull << 34)

#define P_AVAIL (1u << 7)
#define P_USED  (1u << 15)

/* Virtio 1.2 §2.7, §2.8 */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next; /* packed: id, flags */
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
	bool packed, rx;
	struct desc *desc;
	struct avail *avail;
	struct used *used;
	uint16_t seen, put; /* packed: entries */
	bool seen_wrap, put_wrap;
	uint16_t id[SIZE]; /* free ones */
	unsigned int n_free;
	uint32_t frame[SIZE]; /* what was sent in this buffer */
};

static uint64_t buf_gpa(const struct ring *r, unsigned int id)
{
	return 0x100000 * (r->net.index + 1) + 2048ull * id;
}

static struct ring ring_make(struct gmem *mem, unsigned int index, bool packed, int kick)
{
	uint64_t gpa = 0x10000 * (index + 1);
	struct ring r = {
		.net = {.index = index,
			.size = SIZE,
			.desc = gpa,
			.avail = gpa + 0x4000,
			.used = gpa + 0x8000,
			.last_avail = packed ? 0x8000 : 0,
			.kick_fd = kick},
		.packed = packed,
		.rx = index % 2 == 0,
		.desc = gmem_hva(mem, gpa, sizeof(struct desc) * SIZE),
		.avail = gmem_hva(mem, gpa + 0x4000, sizeof(struct avail)),
		.used = gmem_hva(mem, gpa + 0x8000, sizeof(struct used)),
		.seen_wrap = true,
		.put_wrap = true,
	};

	memset(r.desc, 0, sizeof(struct desc) * SIZE);
	memset(r.avail, 0, sizeof(*r.avail));
	memset(r.used, 0, sizeof(*r.used));
	for (unsigned int i = 0; i < SIZE; i++)
		r.id[r.n_free++] = (uint16_t)i;
	return r;
}

static void ring_give(struct ring *r, uint16_t id)
{
	const struct desc d = {
		.addr = buf_gpa(r, id),
		.len = r->rx ? 2048 : HDR + FRAME,
		.flags = r->rx ? 2 : 0,
	};

	if (r->packed) {
		struct desc *p = &r->desc[r->put];
		unsigned int flags = d.flags | (r->put_wrap ? P_AVAIL : P_USED);

		p->addr = d.addr;
		p->len = d.len;
		p->flags = id;
		/* Pairs with the back end's acquire of the flags. */
		__atomic_store_n(&p->next, (uint16_t)flags, __ATOMIC_RELEASE);
		if (++r->put == SIZE) {
			r->put = 0;
			r->put_wrap = !r->put_wrap;
		}
		return;
	}
	r->desc[id] = d;
	r->avail->ring[r->put % SIZE] = id;
	/* Pairs with the back end's acquire of avail->idx. */
	__atomic_store_n(&r->avail->idx, ++r->put, __ATOMIC_RELEASE);
}

/* A buffer that was used, or -1. */
static int ring_take(struct ring *r)
{
	unsigned int flags, want = r->seen_wrap ? P_AVAIL | P_USED : 0;
	int id;

	if (!r->packed) {
		if (__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) == r->seen)
			return -1;
		return (int)(r->used->ring[r->seen++ % SIZE].id % SIZE);
	}
	flags = __atomic_load_n(&r->desc[r->seen].next, __ATOMIC_ACQUIRE);
	if ((flags & (P_AVAIL | P_USED)) != want)
		return -1;
	id = r->desc[r->seen].flags % SIZE;
	if (++r->seen == SIZE) {
		r->seen = 0;
		r->seen_wrap = !r->seen_wrap;
	}
	return id;
}

static void on_link(void *ctx, bool up)
{
}

static void on_announce(void *ctx)
{
}

static void on_broken(void *ctx, unsigned int index, const char *why)
{
	printf("FAIL ring %u: %s\n", index, why);
	fflush(stdout);
	_exit(1);
}

/* What became of a frame. */
enum { SENT = 1, MUST_COME = 2, CAME = 4 };

struct probe {
	struct gmem *mem;
	struct net_backend *be;
	unsigned int pairs;
	bool packed;
	uint64_t features;
	int kick[2 * PAIRS], call[2 * PAIRS];

	struct ring ring[2 * PAIRS];
	uint8_t *frame; /* FRAMES of them */
	uint32_t sent, came, twice, alien;
};

static void frame_fill(uint8_t *p, uint32_t n)
{
	memset(p, 0, HDR + FRAME);
	memset(p + HDR, 0xff, 6);
	memcpy(p + HDR + 6, "\x52\x54\0\0\0\1", 6);
	memcpy(p + HDR + 12, "\x88\xb5", 2);
	memcpy(p + HDR + 14, &n, sizeof(n));
}

static void frame_count(struct probe *t, const uint8_t *p)
{
	uint32_t n;

	memcpy(&n, p + HDR + 14, sizeof(n));
	if (memcmp(p + HDR + 12, "\x88\xb5", 2) || n >= t->sent) {
		t->alien++;
		return;
	}
	t->twice += !!(t->frame[n] & CAME);
	t->came += !(t->frame[n] & CAME);
	t->frame[n] |= CAME;
}

static void pause_us(long us)
{
	nanosleep(&(struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000}, NULL);
}

static bool rx_turn(struct probe *t, struct ring *rx)
{
	bool any = false;
	int id;

	while ((id = ring_take(rx)) >= 0) {
		frame_count(t, gmem_hva(t->mem, buf_gpa(rx, (unsigned int)id), HDR + FRAME));
		ring_give(rx, (uint16_t)id);
		any = true;
	}
	if (any)
		eventfd_write(rx->net.kick_fd, 1);
	return any;
}

static bool tx_turn(struct probe *t, struct ring *tx, bool send, uint8_t mark)
{
	bool any = false, put = false;
	int id;

	while ((id = ring_take(tx)) >= 0) {
		tx->id[tx->n_free++ % SIZE] = (uint16_t)id;
		any = true;
	}
	while (send && tx->n_free > SIZE - UNDER_WAY && t->sent < FRAMES) {
		uint16_t d = tx->id[--tx->n_free];

		tx->frame[d] = t->sent;
		t->frame[t->sent] = SENT | mark;
		frame_fill(gmem_hva(t->mem, buf_gpa(tx, d), HDR + FRAME), t->sent++);
		ring_give(tx, d);
		put = true;
	}
	if (put)
		eventfd_write(tx->net.kick_fd, 1);
	return any || put;
}

static bool turn(struct probe *t, bool send, uint8_t mark)
{
	bool any = false;

	for (unsigned int i = 0; i < t->pairs; i++) {
		any |= rx_turn(t, &t->ring[2 * i]);
		any |= tx_turn(t, &t->ring[2 * i + 1], send, mark);
	}
	return any;
}

/* The back end is gone: what is in the rings now is the next one's. */
static void in_rings_must_come(struct probe *t)
{
	for (unsigned int i = 0; i < t->pairs; i++) {
		struct ring *tx = &t->ring[2 * i + 1];
		bool is_free[SIZE] = {false};

		for (unsigned int k = 0; k < tx->n_free; k++)
			is_free[tx->id[k]] = true;
		for (unsigned int k = 0; k < SIZE; k++) {
			if (!is_free[k])
				t->frame[tx->frame[k]] |= MUST_COME;
		}
	}
}

static unsigned int not_given_back(const struct probe *t)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < t->pairs; i++)
		n += SIZE - t->ring[2 * i + 1].n_free;
	return n;
}

static struct vhost_user_stats stats_of(struct probe *t)
{
	struct vhost_user_stats s;

	vhost_user_stats(t->be, &s);
	return s;
}

static bool wait_running(struct probe *t)
{
	for (unsigned int i = 0; i < 3000 && !stats_of(t).running; i++)
		pause_us(10000);
	return stats_of(t).running;
}

/* Traffic until @losses and a while after; the longest pause between two back ends in ms. */
static int64_t traffic(struct probe *t, uint64_t losses)
{
	int64_t gone = 0, longest = 0, live = vu_now_ms(), moved = live;
	uint64_t seen = stats_of(t).losses, until = seen + losses;

	for (;;) {
		const struct vhost_user_stats s = stats_of(t);
		int64_t now = vu_now_ms();
		bool last = s.losses == until;

		if (s.losses != seen) {
			seen = s.losses;
			/* What it published is ours first. */
			turn(t, false, 0);
			in_rings_must_come(t);
			gone = now;
			printf("gone\n");
			fflush(stdout);
		}
		if (gone && s.running) {
			longest = now - gone > longest ? now - gone : longest;
			gone = 0;
			live = now;
			printf("link up\n");
			fflush(stdout);
		}
		if ((last && s.running && now - live > 700) || now - moved > 30000)
			break;
		if (turn(t, !gone, last && !gone ? MUST_COME : 0))
			moved = now;
		else
			pause_us(200);
	}
	/* The rest comes, and every buffer is given back. */
	for (moved = vu_now_ms(); vu_now_ms() - moved < 1500;) {
		if (turn(t, false, 0))
			moved = vu_now_ms();
		else if (t->came == t->sent && !not_given_back(t))
			break;
		else
			pause_us(1000);
	}
	return longest;
}

/* One life of the guest's driver: fresh rings, traffic, a reset. */
static bool life(struct probe *t, uint64_t losses, struct err *e)
{
	struct net_ring net[2 * PAIRS];
	const struct net_start start = {
		.features = t->features, .n = 2 * t->pairs, .pairs = t->pairs, .ring = net};
	struct vhost_user_stats s;
	unsigned int lost = 0, missing = 0;
	int64_t pause;
	bool ok;

	t->sent = t->came = t->twice = t->alien = 0;
	for (unsigned int i = 0; i < 2 * t->pairs; i++) {
		t->ring[i] = ring_make(t->mem, i, t->packed, t->kick[i]);
		net[i] = t->ring[i].net;
		while (t->ring[i].rx && t->ring[i].n_free)
			ring_give(&t->ring[i], t->ring[i].id[--t->ring[i].n_free]);
	}
	if (t->be->ops->start(t->be, &start, e) < 0)
		return false;
	printf("link %s\n", wait_running(t) ? "up" : "down");
	fflush(stdout);
	pause = traffic(t, losses);
	for (uint32_t i = 0; i < t->sent; i++) {
		lost += !(t->frame[i] & CAME);
		missing += (t->frame[i] & (CAME | MUST_COME)) == MUST_COME;
	}
	s = stats_of(t);
	ok = t->sent && t->sent < FRAMES && !t->twice && !t->alien && !missing &&
	     !not_given_back(t);
	printf("%s sent %u lost %u missing %u twice %u alien %u held %u starts %" PRIu64
	       " losses %" PRIu64 " pause %" PRId64 " reason %s\n",
		ok ? "ok" : "FAIL", t->sent, lost, missing, t->twice, t->alien, not_given_back(t),
		s.starts, s.losses, pause, s.last_reason);
	fflush(stdout);
	t->be->ops->stop(t->be, (uint16_t[2 * PAIRS]){0});
	return ok;
}

static bool options(struct probe *t, char *text)
{
	t->features = F_VERSION_1;
	t->pairs = 1;
	for (char *s = strtok(text, ","); s; s = strtok(NULL, ",")) {
		if (!strcmp(s, "split"))
			continue;
		t->packed |= !strcmp(s, "packed");
		if (!strcmp(s, "packed"))
			t->features |= F_PACKED | F_INDIRECT;
		else if (!strcmp(s, "mrg"))
			t->features |= F_MRG_RXBUF;
		else if (sscanf(s, "pairs=%u", &t->pairs) != 1 || !t->pairs || t->pairs > PAIRS)
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	static const struct net_events events = {on_link, on_announce, on_broken, NULL};
	const struct gmem_config mcfg = {.size = 32 * MIB, .sealed = true};
	struct vhost_user_config cfg = {.grace_ms = 1000};
	struct probe t = {.frame = calloc(FRAMES, 1)};
	struct err e = {0};
	bool ok;

	if (argc < 4 || !t.frame || !options(&t, argc > 4 ? argv[4] : argv[0] + strlen(argv[0])))
		return 2;
	cfg.path = argv[1];
	cfg.client = !strcmp(argv[2], "client");
	cfg.pairs = t.pairs;
	if (gmem_create(&mcfg, &e, &cfg.mem) < 0 || vhost_user_create(&cfg, &e, &t.be) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	t.mem = cfg.mem;
	t.be->ops->attach(t.be, &events);
	for (unsigned int i = 0; i < 2 * t.pairs; i++) {
		t.kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		t.call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		t.be->ops->set_call(t.be, i, t.call[i]);
	}
	ok = life(&t, strtoul(argv[3], NULL, 10), &e);
	/* The guest resets its device and starts anew, with the same back end. */
	ok = ok && life(&t, 0, &e);
	if (e.text[0])
		fprintf(stderr, "%s\n", e.text);
	net_backend_destroy(t.be);
	gmem_destroy(t.mem);
	for (unsigned int i = 0; i < 2 * t.pairs; i++) {
		close(t.kick[i]);
		close(t.call[i]);
	}
	free(t.frame);
	return ok ? 0 : 1;
}
