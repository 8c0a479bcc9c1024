// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest's side of a vhost-user link, without a guest: the front end of devices/ and rings driven
 * by hand. Sends numbered frames as fast as they come back, from a back end that loops them
 * (testpmd, forward mode macswap with one port), or from one link to another one of a switch. No KVM
 * is needed.
 *
 *   vhost-user-probe PATH[,PATH] server|client LOSSES [split|packed][,mrg][,pairs=N]
 *
 * Goes on until the back end was lost LOSSES times and is back, then resets the device and sends
 * some more. Of every frame it is known whether it was still in a ring when the back end was gone:
 * those have to come back, as has all that is sent to a back end that lives on; nothing may come
 * twice; every buffer has to be given back, and those for receiving have to be used again. A frame
 * the dead one had taken may be lost. A switch drops what it takes before the other link is up, so
 * there only what is sent after a while has to come.
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
#define PAIRS     2u
#define LINKS     2u
#define SETTLE_MS 1500 /* for a switch to have all links and to know all addresses */
/* Frames of all pairs: with as many again in the switch's hands they fit one receive ring, to which all
 * of a flow go. */
#define UNDER_WAY 64u
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
	uint64_t bufs; /* gpa */
	struct desc *desc;
	struct avail *avail;
	struct used *used;
	uint16_t seen, put; /* packed: entries */
	bool seen_wrap, put_wrap;
	uint16_t id[SIZE]; /* free ones */
	unsigned int n_free;
	uint32_t frame[SIZE];   /* what was sent in this buffer */
	uint32_t used_at[SIZE]; /* rx: the last turn a frame came in it */
};

static uint64_t buf_gpa(const struct ring *r, unsigned int id)
{
	return r->bufs + 2048ull * id;
}

static struct ring ring_make(
	struct gmem *mem, unsigned int link, unsigned int index, bool packed, int kick)
{
	uint64_t at = link * 2 * PAIRS + index, gpa = 0x10000 * (at + 1);
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
		.bufs = 0x100000 * (at + 2),
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

struct link {
	struct net_backend *be;
	int kick[2 * PAIRS], call[2 * PAIRS];
	struct ring ring[2 * PAIRS];
	uint32_t came;
};

struct probe {
	struct gmem *mem;
	unsigned int links, pairs;
	bool packed;
	uint64_t features;
	struct link link[LINKS];
	uint8_t *frame; /* FRAMES of them */
	uint32_t sent, came, twice, alien;
};

/* From link @from to the next one. */
static void frame_fill(uint8_t *p, uint32_t n, unsigned int from, unsigned int links)
{
	memset(p, 0, HDR + FRAME);
	memcpy(p + HDR, "\x52\x54\0\0\0", 5);
	p[HDR + 5] = (uint8_t)((from + 1) % links);
	memcpy(p + HDR + 6, "\x52\x54\0\0\0", 5);
	p[HDR + 11] = (uint8_t)from;
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

static bool rx_turn(struct probe *t, struct link *l, struct ring *rx)
{
	bool any = false;
	int id;

	while ((id = ring_take(rx)) >= 0) {
		frame_count(t, gmem_hva(t->mem, buf_gpa(rx, (unsigned int)id), HDR + FRAME));
		rx->used_at[id] = ++l->came;
		ring_give(rx, (uint16_t)id);
		any = true;
	}
	if (any)
		eventfd_write(rx->net.kick_fd, 1);
	return any;
}

static bool tx_turn(struct probe *t, unsigned int link, struct ring *tx, bool send, uint8_t mark)
{
	bool any = false, put = false;
	int id;

	while ((id = ring_take(tx)) >= 0) {
		tx->id[tx->n_free++ % SIZE] = (uint16_t)id;
		any = true;
	}
	while (send && tx->n_free > SIZE - UNDER_WAY / t->pairs && t->sent < FRAMES) {
		uint16_t d = tx->id[--tx->n_free];

		tx->frame[d] = t->sent;
		t->frame[t->sent] = SENT | mark;
		frame_fill(
			gmem_hva(t->mem, buf_gpa(tx, d), HDR + FRAME), t->sent++, link, t->links);
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

	for (unsigned int k = 0; k < t->links; k++) {
		struct link *l = &t->link[k];

		for (unsigned int i = 0; i < t->pairs; i++) {
			any |= rx_turn(t, l, &l->ring[2 * i]);
			any |= tx_turn(t, k, &l->ring[2 * i + 1], send, mark);
		}
	}
	return any;
}

/* The back end is gone: what is in the rings now is the next one's. */
static void in_rings_must_come(struct probe *t)
{
	for (unsigned int i = 0; i < t->pairs; i++) {
		struct ring *tx = &t->link[0].ring[2 * i + 1];
		bool is_free[SIZE] = {false};

		for (unsigned int k = 0; k < tx->n_free; k++)
			is_free[tx->id[k]] = true;
		for (unsigned int k = 0; k < SIZE; k++) {
			if (!is_free[k])
				t->frame[tx->frame[k]] |= MUST_COME;
		}
	}
}

/* Receive buffers that no frame came in though plenty came since. */
static unsigned int forgotten(const struct probe *t)
{
	unsigned int n = 0;

	for (unsigned int k = 0; k < t->links; k++) {
		const struct link *l = &t->link[k];

		/* With several queues a switch may use but one of them. */
		for (unsigned int id = 0; t->pairs == 1 && id < SIZE; id++)
			n += l->came - l->ring[0].used_at[id] > 2 * SIZE;
	}
	return n;
}

static unsigned int not_given_back(const struct probe *t)
{
	unsigned int n = 0;

	for (unsigned int k = 0; k < t->links; k++) {
		for (unsigned int i = 0; i < t->pairs; i++)
			n += SIZE - t->link[k].ring[2 * i + 1].n_free;
	}
	return n;
}

/* The first link's figures; running is of all. */
static struct vhost_user_stats stats_of(struct probe *t)
{
	struct vhost_user_stats s, other;

	vhost_user_stats(t->link[0].be, &s);
	for (unsigned int k = 1; k < t->links; k++) {
		vhost_user_stats(t->link[k].be, &other);
		s.running &= other.running;
		s.timeouts += other.timeouts;
		s.protocol_errors += other.protocol_errors;
		s.refusals += other.refusals;
	}
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
	int64_t settle = t->links == 1 ? 0 : SETTLE_MS;

	for (;;) {
		const struct vhost_user_stats s = stats_of(t);
		int64_t now = vu_now_ms();
		bool last = s.losses == until;

		if (s.losses != seen) {
			seen = s.losses;
			/* What it published is ours first. */
			turn(t, false, 0);
			if (t->links == 1)
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
		if ((last && s.running && now - live > settle + 700) || now - moved > 30000)
			break;
		if (turn(t, !gone, last && !gone && now - live >= settle ? MUST_COME : 0))
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

static bool link_start(struct probe *t, unsigned int link, struct err *e)
{
	struct net_ring net[2 * PAIRS];
	const struct net_start start = {
		.features = t->features, .n = 2 * t->pairs, .pairs = t->pairs, .ring = net};
	struct link *l = &t->link[link];

	l->came = 0;
	for (unsigned int i = 0; i < 2 * t->pairs; i++) {
		struct ring *r = &l->ring[i];

		*r = ring_make(t->mem, link, i, t->packed, l->kick[i]);
		net[i] = r->net;
		while (r->rx && r->n_free)
			ring_give(r, r->id[--r->n_free]);
	}
	return l->be->ops->start(l->be, &start, e) == 0;
}

/* One life of the guest's driver: fresh rings, traffic, a reset. */
static bool life(struct probe *t, uint64_t losses, struct err *e)
{
	struct vhost_user_stats s;
	unsigned int lost = 0, missing = 0;
	int64_t pause;
	bool ok;

	t->sent = t->came = t->twice = t->alien = 0;
	for (unsigned int k = 0; k < t->links; k++) {
		if (!link_start(t, k, e))
			return false;
	}
	printf("link %s\n", wait_running(t) ? "up" : "down");
	fflush(stdout);
	pause = traffic(t, losses);
	for (uint32_t i = 0; i < t->sent; i++) {
		lost += !(t->frame[i] & CAME);
		missing += (t->frame[i] & (CAME | MUST_COME)) == MUST_COME;
	}
	s = stats_of(t);
	ok = t->sent && t->sent < FRAMES && !t->twice && !t->alien && !missing &&
	     !not_given_back(t) && !forgotten(t) && !s.timeouts && !s.protocol_errors &&
	     !s.refusals;
	printf("%s sent %u lost %u missing %u twice %u alien %u held %u forgotten %u starts "
	       "%" PRIu64 " losses %" PRIu64 " other %" PRIu64 " pause %" PRId64 " reason %s\n",
		ok ? "ok" : "FAIL", t->sent, lost, missing, t->twice, t->alien, not_given_back(t),
		forgotten(t), s.starts, s.losses, s.timeouts + s.protocol_errors + s.refusals,
		pause, s.last_reason);
	fflush(stdout);
	for (unsigned int k = 0; k < t->links; k++)
		t->link[k].be->ops->stop(t->link[k].be, (uint16_t[2 * PAIRS]){0});
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

static int link_make(struct probe *t, const struct vhost_user_config *cfg, struct err *e)
{
	static const struct net_events events = {on_link, on_announce, on_broken, NULL};
	struct link *l = &t->link[t->links];
	int r;

	r = vhost_user_create(cfg, e, &l->be);
	if (r < 0)
		return r;
	t->links++;
	l->be->ops->attach(l->be, &events);
	for (unsigned int i = 0; i < 2 * PAIRS; i++) {
		l->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		l->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		l->be->ops->set_call(l->be, i, l->call[i]);
	}
	return 0;
}

static void probe_finish(struct probe *t)
{
	while (t->links) {
		struct link *l = &t->link[--t->links];

		net_backend_destroy(l->be);
		for (unsigned int i = 0; i < 2 * PAIRS; i++) {
			close(l->kick[i]);
			close(l->call[i]);
		}
	}
	gmem_destroy(t->mem);
	free(t->frame);
}

int main(int argc, char **argv)
{
	const struct gmem_config mcfg = {.size = 32 * MIB, .sealed = true};
	struct vhost_user_config cfg = {.grace_ms = 1000};
	struct probe t = {.frame = calloc(FRAMES, 1)};
	struct err e = {0};
	bool ok;

	if (argc < 4 || !t.frame || !options(&t, argc > 4 ? argv[4] : argv[0] + strlen(argv[0])))
		return 2;
	cfg.client = !strcmp(argv[2], "client");
	cfg.pairs = t.pairs;
	ok = gmem_create(&mcfg, &e, &t.mem) == 0;
	cfg.mem = t.mem;
	for (char *s = strtok(argv[1], ","); ok && s && t.links < LINKS; s = strtok(NULL, ",")) {
		cfg.path = s;
		ok = link_make(&t, &cfg, &e) == 0;
	}
	ok = ok && life(&t, strtoul(argv[3], NULL, 10), &e);
	/* The guest resets its device and starts anew, with the same back end. */
	ok = ok && life(&t, 0, &e);
	if (e.text[0])
		fprintf(stderr, "%s\n", e.text);
	probe_finish(&t);
	return ok ? 0 : 1;
}
