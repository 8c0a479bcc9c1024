// SPDX-License-Identifier: GPL-2.0-or-later
/* Start and stop of the thread, its sleep, and the two directions. */
#include "devices/net_rings.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "devices/virtq.h"

#define BUDGET  64u /* frames of one direction before the other gets its turn */
#define BUF_LEN (NET_HDR_LEN + NET_FRAME_MAX)

enum wake { WAKE_CONTROL, WAKE_RING, WAKE_PORT, WAKE_NEWS };

struct ring {
	struct virtq q;
	bool on;      /* enabled, and not broken */
	bool pending; /* there may be something to do */
	int call_fd;  /* lock; ours */
};

struct held {
	uint8_t *buf; /* BUF_LEN */
	size_t len;   /* 0: nothing held */
	bool ready;   /* the port may have more */
};

struct used {
	uint16_t id, slots;
	uint32_t len;
};

struct net_rings {
	const char *name;
	const struct gmem *mem;
	const struct net_port_ops *ops;
	void *ctx;
	unsigned int max_pairs;
	const struct net_events *ev;

	pthread_mutex_t lock; /* call_fd of the rings, filter */
	struct net_filter filter;

	bool running;
	pthread_t thread;
	int epoll_fd, control_fd;
	_Atomic bool stop;
	_Atomic unsigned int pairs;
	uint64_t features;
	unsigned int n_started;
	uint16_t started[NET_MAX_PAIRS * 2]; /* ring indexes of start(), in its order */

	/* the thread's while it runs */
	struct ring *ring; /* max_pairs * 2 */
	struct held *held; /* max_pairs */
	struct virtq_chain *chain;
	struct used *used; /* VIRTQ_MAX_SIZE */

	struct {
		_Atomic uint64_t rx_packets, rx_bytes, rx_dropped;
		_Atomic uint64_t tx_packets, tx_bytes, tx_dropped;
		_Atomic uint64_t kicks, calls, bad_rings;
	} stat;
};

static void count(_Atomic uint64_t *c, uint64_t n)
{
	atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

/* ---- common to both directions ---- */

static void ring_publish(struct net_rings *r, struct ring *g)
{
	const uint64_t one = 1;

	if (!virtq_flush(&g->q))
		return;
	pthread_mutex_lock(&r->lock);
	if (g->call_fd >= 0)
		(void)!write(g->call_fd, &one, sizeof(one));
	pthread_mutex_unlock(&r->lock);
	count(&r->stat.calls, 1);
}

static void ring_broken(struct net_rings *r, struct ring *g)
{
	g->on = g->pending = false;
	count(&r->stat.bad_rings, 1);
	if (r->ev)
		r->ev->broken(r->ev->ctx, (unsigned int)(g - r->ring), g->q.broken);
}

/* ---- from the guest ---- */

static void tx_one(struct net_rings *r, unsigned int pair, struct virtq_chain *c)
{
	struct virtio_net_hdr_v1 hdr;
	struct iovec *iov = c->out;
	unsigned int n = c->n_out;
	size_t skip = sizeof(hdr), len;

	/* Once into our own memory, then looked at: the guest may change it at any time. */
	if (iov_take(iov, n, 0, &hdr, sizeof(hdr)) < sizeof(hdr))
		goto drop;
	len = c->out_len - sizeof(hdr);
	if (!net_hdr_ok(&hdr, r->features, len, true))
		goto drop;
	hdr.num_buffers = 0;
	while (n && skip >= iov->iov_len) {
		skip -= iov->iov_len;
		iov++;
		n--;
	}
	iov->iov_base = (uint8_t *)iov->iov_base + skip;
	iov->iov_len -= skip;
	if (r->ops->send(r->ctx, pair, &hdr, iov, n) < 0)
		goto drop;
	count(&r->stat.tx_packets, 1);
	count(&r->stat.tx_bytes, len);
	return;
drop:
	count(&r->stat.tx_dropped, 1);
}

static void tx_serve(struct net_rings *r, unsigned int pair)
{
	struct ring *g = &r->ring[pair * 2 + 1];
	int got = 0;

	virtq_quiet(&g->q);
	for (unsigned int i = 0; i < BUDGET; i++) {
		got = virtq_pop(&g->q, r->chain);
		if (got == 0 && virtq_listen(&g->q)) {
			virtq_quiet(&g->q);
			continue;
		}
		if (got <= 0)
			break;
		tx_one(r, pair, r->chain);
		virtq_push(&g->q, r->chain, 0);
	}
	ring_publish(r, g);
	if (got < 0)
		ring_broken(r, g);
	else
		g->pending = got > 0;
}

/* ---- towards the guest ---- */

/*
 * Put a frame into as many chains as it needs. 1: done or dropped; 0: the guest has too few
 * buffers; -EPROTO.
 */
static int rx_deliver(struct net_rings *r, struct ring *g, uint8_t *buf, size_t len)
{
	bool merge = r->features >> VIRTIO_NET_F_MRG_RXBUF & 1;
	struct virtq_pos mark = g->q.next;
	uint8_t *buffers[2] = {NULL, NULL}; /* where num_buffers went */
	unsigned int n = 0;
	size_t done = 0;

	while (done < len) {
		struct virtq_chain *c = r->chain;
		size_t part = len - done;
		int got;

		/* The whole ring is not enough: it never will be. */
		if (n == g->q.size || (n && !merge)) {
			virtq_rewind(&g->q, mark);
			count(&r->stat.rx_dropped, 1);
			return 1;
		}
		got = virtq_pop(&g->q, c);
		if (got <= 0) {
			if (n)
				virtq_rewind(&g->q, mark);
			return got;
		}
		/* §5.1.6.3.1: the header has its place in the first buffer. */
		if (!n && c->in_len < NET_HDR_LEN) {
			g->q.broken = "a receive buffer smaller than the header";
			return -EPROTO;
		}
		if (!n) {
			size_t off = offsetof(struct virtio_net_hdr_v1, num_buffers), at = 0;

			for (unsigned int i = 0; i < c->n_in; i++) {
				for (unsigned int k = 0; k < 2; k++) {
					if (off + k >= at && off + k - at < c->in[i].iov_len)
						buffers[k] = (uint8_t *)c->in[i].iov_base +
							     (off + k - at);
				}
				at += c->in[i].iov_len;
			}
		}
		part = iov_put(c->in, c->n_in, 0, buf + done, part);
		r->used[n++] = (struct used){c->id, c->slots, (uint32_t)part};
		done += part;
	}
	*buffers[0] = (uint8_t)n;
	*buffers[1] = (uint8_t)(n >> 8);
	for (unsigned int i = 0; i < n; i++)
		virtq_push_id(&g->q, r->used[i].id, r->used[i].slots, r->used[i].len);
	count(&r->stat.rx_packets, 1);
	count(&r->stat.rx_bytes, len - NET_HDR_LEN);
	return 1;
}

/* Does the frame in @h go to the guest? */
static bool rx_wanted(struct net_rings *r, const struct held *h)
{
	const uint8_t *frame = h->buf + NET_HDR_LEN;
	struct virtio_net_hdr_v1 hdr;
	bool pass;

	memcpy(&hdr, h->buf, sizeof(hdr));
	if (h->len < NET_HDR_LEN || !net_hdr_ok(&hdr, r->features, h->len - NET_HDR_LEN, false)) {
		count(&r->stat.rx_dropped, 1);
		return false;
	}
	pthread_mutex_lock(&r->lock);
	pass = net_filter_pass(&r->filter, frame, h->len - NET_HDR_LEN);
	pthread_mutex_unlock(&r->lock);
	return pass;
}

/* Have a frame in @h that the guest wants: false when there is none. */
static bool rx_next(struct net_rings *r, unsigned int pair, struct held *h)
{
	ssize_t n;

	if (h->len)
		return true;
	if (!h->ready)
		return false;
	n = r->ops->recv(r->ctx, pair, h->buf, BUF_LEN);
	if (n == -EAGAIN)
		h->ready = false;
	if (n <= 0)
		return false;
	h->len = (size_t)n;
	if (rx_wanted(r, h))
		return true;
	h->len = 0;
	return false;
}

/* Needed while the port may have frames and the ring may have buffers. */
static void rx_serve(struct net_rings *r, unsigned int pair)
{
	struct ring *g = &r->ring[pair * 2];
	struct held *h = &r->held[pair];
	int got = 1;

	virtq_quiet(&g->q);
	for (unsigned int i = 0; i < BUDGET && (h->len || h->ready); i++) {
		if (!rx_next(r, pair, h))
			continue;
		got = rx_deliver(r, g, h->buf, h->len);
		if (got < 0)
			break;
		if (got > 0) {
			h->len = 0;
			continue;
		}
		/* Ask for a doorbell only now that buffers are missing. */
		if (!virtq_listen(&g->q))
			break;
		virtq_quiet(&g->q);
		got = 1;
	}
	ring_publish(r, g);
	if (got < 0)
		ring_broken(r, g);
	else
		g->pending = got > 0;
}

/* ---- the thread ---- */

static void wake(struct net_rings *r, uint64_t what)
{
	unsigned int i = (uint32_t)what;
	uint64_t n;

	switch ((enum wake)(what >> 32)) {
	case WAKE_CONTROL:
		(void)!read(r->control_fd, &n, sizeof(n));
		for (i = 0; i < r->max_pairs * 2; i++)
			r->ring[i].pending = r->ring[i].on;
		break;
	case WAKE_RING:
		count(&r->stat.kicks, 1);
		r->ring[i].pending = r->ring[i].on;
		break;
	case WAKE_PORT: r->held[i].ready = true; break;
	case WAKE_NEWS: r->ops->on_news(r->ctx); break;
	}
}

/* One turn for every ring that needs it. True when one needs another. */
static bool serve(struct net_rings *r)
{
	unsigned int pairs = atomic_load(&r->pairs);
	bool again = false;

	for (unsigned int i = 0; i < pairs; i++) {
		struct ring *rx = &r->ring[i * 2], *tx = rx + 1;
		struct held *h = &r->held[i];

		if (tx->on && tx->pending)
			tx_serve(r, i);
		if (rx->on && rx->pending && (h->len || h->ready))
			rx_serve(r, i);
		again |= tx->on && tx->pending;
		again |= rx->on && rx->pending && (h->len || h->ready);
	}
	return again;
}

static void *rings_thread(void *ctx)
{
	struct net_rings *r = ctx;
	struct epoll_event ev[32];
	bool again = true;

	while (!atomic_load(&r->stop)) {
		int n = epoll_wait(r->epoll_fd, ev, (int)ARRAY_SIZE(ev), again ? 0 : -1);

		for (int i = 0; i < n; i++)
			wake(r, ev[i].data.u64);
		again = serve(r);
	}
	return NULL;
}

/*
 * Edge-triggered: an eventfd reports each signal without being read, and a port reports what came
 * after recv() said that there is nothing.
 */
static int watch(struct net_rings *r, int fd, enum wake kind, unsigned int i, struct err *e)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLET,
		.data.u64 = (uint64_t)kind << 32 | i,
	};

	if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_sys(e, errno, "%s: watch", r->name);
	return 0;
}

/* ---- start and stop ---- */

static int ring_start(
	struct net_rings *r, const struct net_ring *s, uint64_t features, struct err *e)
{
	const struct virtq_setup setup = {
		.size = s->size,
		.desc = s->desc,
		.driver = s->avail,
		.device = s->used,
		.features = features,
		.last_avail = s->last_avail,
	};
	struct ring *g = &r->ring[s->index];
	int ret;

	ret = virtq_init(&g->q, r->mem, &setup, e);
	if (ret < 0)
		return err_wrap(e, ret, "queue %u", s->index);
	g->on = g->pending = true;
	/* Receive buffers are looked for when a frame is there; a doorbell for them is asked then. */
	if (s->index % 2 == 0)
		virtq_quiet(&g->q);
	return watch(r, s->kick_fd, WAKE_RING, s->index, e);
}

static void rings_forget(struct net_rings *r)
{
	r->epoll_fd = fd_close(r->epoll_fd);
	for (unsigned int i = 0; i < r->max_pairs * 2; i++)
		r->ring[i].on = r->ring[i].pending = false;
	for (unsigned int i = 0; i < r->max_pairs; i++) {
		r->held[i].len = 0;
		r->held[i].ready = false;
	}
	r->n_started = 0;
}

int net_rings_start(struct net_rings *r, const struct net_start *s, struct err *e)
{
	int ret = 0;

	r->features = s->features;
	atomic_store(&r->stop, false);
	atomic_store(&r->pairs, s->pairs);
	r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (r->epoll_fd < 0)
		return err_sys(e, errno, "%s: epoll", r->name);
	ret = watch(r, r->control_fd, WAKE_CONTROL, 0, e);
	for (unsigned int i = 0; ret == 0 && i < r->max_pairs; i++)
		ret = watch(r, r->ops->poll_fd(r->ctx, i), WAKE_PORT, i, e);
	if (ret == 0 && r->ops->news_fd && r->ops->news_fd(r->ctx) >= 0)
		ret = watch(r, r->ops->news_fd(r->ctx), WAKE_NEWS, 0, e);
	for (unsigned int i = 0; ret == 0 && i < s->n; i++) {
		r->started[r->n_started++] = (uint16_t)s->ring[i].index;
		ret = ring_start(r, &s->ring[i], s->features, e);
	}
	if (ret == 0) {
		ret = pthread_create(&r->thread, NULL, rings_thread, r);
		if (ret > 0)
			ret = err_sys(e, ret, "%s: thread", r->name);
	}
	if (ret < 0) {
		rings_forget(r);
		return ret;
	}
	r->running = true;
	return 0;
}

static void control_wake(struct net_rings *r)
{
	const uint64_t one = 1;

	(void)!write(r->control_fd, &one, sizeof(one));
}

void net_rings_stop(struct net_rings *r, uint16_t *ret_last_avail)
{
	if (!r->running)
		return;
	atomic_store(&r->stop, true);
	control_wake(r);
	pthread_join(r->thread, NULL);
	r->running = false;
	for (unsigned int i = 0; ret_last_avail && i < r->n_started; i++)
		ret_last_avail[i] = virtq_last_avail(&r->ring[r->started[i]].q);
	rings_forget(r);
}

void net_rings_attach(struct net_rings *r, const struct net_events *ev)
{
	r->ev = ev;
}

void net_rings_set_call(struct net_rings *r, unsigned int index, int fd)
{
	int copy = -1;

	if (index >= r->max_pairs * 2)
		return;
	if (fd >= 0) {
		copy = dup(fd);
		if (copy < 0)
			log_debug("%s: interrupt of queue %u: %s", r->name, index, strerror(errno));
	}
	pthread_mutex_lock(&r->lock);
	fd_close(r->ring[index].call_fd);
	r->ring[index].call_fd = copy;
	pthread_mutex_unlock(&r->lock);
}

int net_rings_set_pairs(struct net_rings *r, unsigned int pairs)
{
	if (!pairs || pairs > r->max_pairs)
		return -EINVAL;
	atomic_store(&r->pairs, pairs);
	control_wake(r);
	return 0;
}

void net_rings_set_filter(struct net_rings *r, const struct net_filter *f)
{
	pthread_mutex_lock(&r->lock);
	r->filter = *f;
	pthread_mutex_unlock(&r->lock);
}

void net_rings_stats(struct net_rings *r, struct net_backend_stats *ret)
{
	*ret = (struct net_backend_stats){
		.rx_packets = r->stat.rx_packets,
		.rx_bytes = r->stat.rx_bytes,
		.rx_dropped = r->stat.rx_dropped,
		.tx_packets = r->stat.tx_packets,
		.tx_bytes = r->stat.tx_bytes,
		.tx_dropped = r->stat.tx_dropped,
		.kicks = r->stat.kicks,
		.calls = r->stat.calls,
		.bad_rings = r->stat.bad_rings,
	};
}

int net_rings_create(const char *name, const struct gmem *mem, unsigned int max_pairs,
	const struct net_port_ops *ops, void *ctx, struct err *e, struct net_rings **ret)
{
	struct net_rings *r = calloc(1, sizeof(*r));

	if (!r)
		return err_sys(e, ENOMEM, "%s", name);
	r->name = name;
	r->mem = mem;
	r->ops = ops;
	r->ctx = ctx;
	r->filter.promisc = true;
	r->epoll_fd = -1;
	r->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&r->lock, NULL);
	r->ring = calloc(max_pairs * 2, sizeof(*r->ring));
	r->held = calloc(max_pairs, sizeof(*r->held));
	r->chain = malloc(sizeof(*r->chain));
	r->used = calloc(VIRTQ_MAX_SIZE, sizeof(*r->used));
	if (!r->ring || !r->held || !r->chain || !r->used || r->control_fd < 0)
		goto fail;
	for (unsigned int i = 0; i < max_pairs * 2; i++)
		r->ring[i].call_fd = -1;
	r->max_pairs = max_pairs;
	for (unsigned int i = 0; i < max_pairs; i++) {
		r->held[i].buf = malloc(BUF_LEN);
		if (!r->held[i].buf)
			goto fail;
	}
	*ret = r;
	return 0;
fail:
	net_rings_destroy(r);
	return err_sys(e, ENOMEM, "%s: rings", name);
}

void net_rings_destroy(struct net_rings *r)
{
	if (!r)
		return;
	net_rings_stop(r, NULL);
	for (unsigned int i = 0; i < r->max_pairs; i++) {
		fd_close(r->ring[i * 2].call_fd);
		fd_close(r->ring[i * 2 + 1].call_fd);
		free(r->held[i].buf);
	}
	fd_close(r->control_fd);
	pthread_mutex_destroy(&r->lock);
	free(r->ring);
	free(r->held);
	free(r->chain);
	free(r->used);
	free(r);
}
