// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The front end's thread, and the calls from the device that tell it what is wanted. In order: the
 * wanted state, the rings' own state, the thread (find a back end, serve it, lose it), the ops.
 */
#include "devices/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "common/cleanup.h"
#include "common/event.h"
#include "common/log.h"
#include "devices/vhost_user_packed.h"
#include "devices/vhost_user_session.h"
#include "devices/vhost_user_socket.h"

#define BIT(n) (UINT64_C(1) << (n))

/* Every back end for Virtio 1 in use has these. */
#define FEATURES_BASIC                                                    \
	(BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_RING_F_INDIRECT_DESC) | \
		BIT(VIRTIO_RING_F_EVENT_IDX))
#define FEATURES_MOST                                                             \
	(FEATURES_BASIC | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | \
		BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |     \
		BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_GUEST_UFO) |       \
		BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |       \
		BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_HOST_UFO) |         \
		BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER))

/*
 * "User addresses" are gpas from here on: the protocol wants an address space of the front end's,
 * and a back end need not learn where our process has anything.
 */
#define USER_BASE (UINT64_C(1) << 44)

#define REPLY_MS      5000
#define GRACE_MS      3000
#define RETRY_MIN_MS  20
#define RETRY_MAX_MS  200
#define RING_SIZE_MAX 32768u

/* Fields stand together by who may touch them. */
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding)
struct vhost_user {
	struct net_backend be;
	struct vhost_user_config cfg; /* path is NULL: the socket has it */
	struct vu_socket socket;
	struct gmem_listener listener;
	bool listening;
	int wake_fd;
	pthread_t thread;
	bool has_thread;
	struct log_limit limit;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool quit;
	int peer;          /* the session's socket, for shutdown(); -1 = there is no session */
	bool known;        /* a back end was asked what it can do ... */
	uint64_t features; /* ... and this was the answer */
	bool keeps_record; /* of descriptors in flight */
	/* What the device wants, in want.n, .pairs, .features, .ring; and how far the thread is. */
	bool want_on, is_on;
	unsigned int is_pairs;
	bool restart; /* the next start follows a loss */
	bool stuck;   /* a ring does not say where it goes on: nothing starts before a reset */
	bool hung;    /* the session was ended because it held up the device */
	bool inflight_stale;
	struct vu_plan want;
	uint8_t mac[6];
	int call[VU_RINGS]; /* owned */
	bool call_new[VU_RINGS];
	struct vhost_user_stats stats;

	/* Held while an event is told, so that they are told in order. Never with lock held. */
	pthread_mutex_t event_lock;
	struct net_events events;
	bool attached, link_up;

	/* the thread's own */
	struct vu_session session;
	struct vu_inflight_region inflight;
	struct vu_plan plan; /* what the session was started with; ring state is kept up to date */
	bool running;
	int err_fd[VU_RINGS]; /* owned, made when first needed */
	int64_t link_down_at; /* when the guest is to see it, 0 = not pending */
};

static struct vhost_user *vhost_user(struct net_backend *be)
{
	return container_of(be, struct vhost_user, be);
}

static void wake(struct vhost_user *vu)
{
	const uint64_t one = 1;
	ssize_t n = write(vu->wake_fd, &one, sizeof(one));

	(void)n; /* a full counter is as good */
}

/* ---- guest memory ---- */

static int mem_add(struct gmem_listener *l, const struct gmem_region *r, struct err *e)
{
	struct vhost_user *vu = container_of(l, struct vhost_user, listener);
	struct vu_mem_table *t = &vu->want.mem;
	int seals = fcntl(r->fd, F_GET_SEALS);

	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return err_set(e, EINVAL,
			"%s: the guest's memory is not sealed: a back end could cut pages from it",
			vu->be.name);
	if (t->regions == VU_MAX_REGIONS)
		return err_set(e, ENOSPC, "%s: more than %u regions of guest memory", vu->be.name,
			VU_MAX_REGIONS);
	vu->want.mem_fd[t->regions] = r->fd;
	t->region[t->regions++] = (struct vu_region){
		.gpa = r->gpa,
		.size = r->size,
		.user = USER_BASE + r->gpa,
		.fd_offset = r->fd_offset,
	};
	return 0;
}

static void mem_del(struct gmem_listener *l, const struct gmem_region *r)
{
	struct vhost_user *vu = container_of(l, struct vhost_user, listener);

	/* Removed in reverse. */
	if (vu->want.mem.regions)
		vu->want.mem.regions--;
}

/* ---- the rings ---- */

/* Where the parts of a ring lie, Virtio 1.2 §2.7 and §2.8.10.1. */
struct layout {
	uint64_t desc, avail, used; /* bytes */
	unsigned int avail_align;
};

static struct layout layout_of(uint64_t features, uint64_t size)
{
	if (features & BIT(VIRTIO_F_RING_PACKED))
		return (struct layout){16 * size, 4, 4, 4};
	return (struct layout){16 * size, 6 + 2 * size, 6 + 8 * size, 2};
}

/* Alignments and sizes; inside memory, so that it can be read how far a dead back end came. */
static int ring_check(
	const struct vhost_user *vu, uint64_t features, const struct net_ring *n, struct err *e)
{
	const struct layout l = layout_of(features, n->size);
	bool packed = features & BIT(VIRTIO_F_RING_PACKED);

	if (n->index >= 2 * vu->be.max_pairs)
		return err_set(e, EINVAL, "%s: ring %u of %u", vu->be.name, n->index,
			2 * vu->be.max_pairs);
	if (!n->size || n->size > RING_SIZE_MAX || (!packed && (n->size & (n->size - 1))))
		return err_set(
			e, EINVAL, "%s: ring %u has %u entries", vu->be.name, n->index, n->size);
	if (packed && (n->last_avail & 0x7fff) >= n->size)
		return err_set(e, EINVAL, "%s: ring %u of %u entries goes on at %u", vu->be.name,
			n->index, n->size, n->last_avail & 0x7fff);
	if ((n->desc & 15) || (n->avail & (l.avail_align - 1)) || (n->used & 3))
		return err_set(e, EINVAL, "%s: ring %u is not aligned", vu->be.name, n->index);
	if (!gmem_hva(vu->cfg.mem, n->desc, l.desc) || !gmem_hva(vu->cfg.mem, n->avail, l.avail) ||
		!gmem_hva(vu->cfg.mem, n->used, l.used))
		return err_set(e, EFAULT, "%s: ring %u lies outside the guest's memory",
			vu->be.name, n->index);
	return 0;
}

/*
 * Where a ring goes on that nobody told us the end of: what is used is done, all after it is not.
 * Descriptors are used in order or, where they are not, the inflight region knows. -EUCLEAN: it
 * cannot be told.
 */
static int ring_resume(const struct vhost_user *vu, const struct net_ring *n, uint16_t *ret)
{
	bool inflight = vu->inflight.fd >= 0;
	const uint16_t *idx;
	int r;

	if (vu->plan.features & BIT(VIRTIO_F_RING_PACKED)) {
		r = vu_packed_resume(gmem_hva(vu->cfg.mem, n->desc - USER_BASE, 16ull * n->size),
			n->size, vu->plan.features, !inflight, ret);
		/* Its own record is the better one; ours only says where to begin looking. */
		return inflight ? 0 : r;
	}
	idx = gmem_hva(vu->cfg.mem, n->used - USER_BASE + 2, 2);
	/* Pairs with the back end's release of used->idx; it is dead or has stopped. */
	*ret = __atomic_load_n(idx, __ATOMIC_ACQUIRE);
	return 0;
}

/* ---- events ---- */

static void link_set(struct vhost_user *vu, bool up)
{
	vu->link_down_at = 0;
	pthread_mutex_lock(&vu->event_lock);
	if (vu->link_up != up) {
		vu->link_up = up;
		if (vu->attached)
			vu->events.link(vu->events.ctx, up);
	}
	pthread_mutex_unlock(&vu->event_lock);
}

/* The next switch does not know where the guest is: the guest says so, or the switch for it. */
static int announce(struct vhost_user *vu, const uint8_t *mac, struct err *e)
{
	static const uint8_t unknown[6];

	if (!(vu->plan.features & BIT(VIRTIO_NET_F_GUEST_ANNOUNCE))) {
		if (!memcmp(mac, unknown, sizeof(unknown)))
			return 0;
		return vu_session_announce(&vu->session, mac, e);
	}
	pthread_mutex_lock(&vu->event_lock);
	if (vu->attached && vu->events.announce)
		vu->events.announce(vu->events.ctx);
	pthread_mutex_unlock(&vu->event_lock);
	return 0;
}

static void ring_broken(struct vhost_user *vu, unsigned int index, const char *why)
{
	pthread_mutex_lock(&vu->event_lock);
	if (vu->attached)
		vu->events.broken(vu->events.ctx, index, why);
	pthread_mutex_unlock(&vu->event_lock);
}

/* ---- serving a back end ---- */

/* New for each start: one that was signalled, or given away, is of no more use. */
static int errs_make(struct vhost_user *vu, struct err *e)
{
	for (unsigned int i = 0; i < VU_RINGS; i++) {
		vu->err_fd[i] = fd_close(vu->err_fd[i]);
		vu->plan.err[i] = -1;
	}
	for (unsigned int i = 0; i < vu->plan.n; i++) {
		unsigned int index = vu->plan.ring[i].index;

		vu->err_fd[index] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vu->err_fd[index] < 0)
			return err_sys(e, errno, "%s: make an eventfd", vu->be.name);
		vu->plan.err[index] = vu->err_fd[index];
	}
	return 0;
}

static int apply_start(struct vhost_user *vu, struct err *e)
{
	int r;

	r = errs_make(vu, e);
	if (r < 0)
		return r;
	r = vu_session_start(&vu->session, &vu->plan, &vu->inflight, e);
	if (r < 0)
		return r;
	vu->running = true;
	/* Doorbells rung while nobody listened, or read by the dead. */
	for (unsigned int i = 0; i < vu->plan.n; i++)
		event_signal(vu->plan.ring[i].kick_fd);
	return 0;
}

static int apply_pairs(struct vhost_user *vu, unsigned int pairs, struct err *e)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < vu->plan.n; i++) {
		unsigned int index = vu->plan.ring[i].index;
		bool was = index / 2 < vu->plan.pairs, is = index / 2 < pairs;

		if (was != is)
			r = vu_session_enable(&vu->session, index, is, e);
	}
	vu->plan.pairs = pairs;
	return r;
}

/* The device's new interrupt eventfds are the thread's from here on. */
static void calls_take(struct vhost_user *vu, bool *ret_new)
{
	for (unsigned int i = 0; i < VU_RINGS; i++) {
		ret_new[i] = vu->call_new[i];
		if (!ret_new[i])
			continue;
		fd_close(vu->plan.call[i]);
		vu->plan.call[i] = fd_steal(&vu->call[i]);
		vu->call_new[i] = false;
	}
}

static int apply_calls(struct vhost_user *vu, const bool *call_new, struct err *e)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < vu->plan.n; i++) {
		unsigned int index = vu->plan.ring[i].index;

		if (!call_new[index])
			continue;
		r = vu_session_call(&vu->session, index, vu->plan.call[index], e);
		/* What was signalled to the old one in the meantime may have gone nowhere. */
		if (r == 0)
			event_signal(vu->plan.call[index]);
	}
	return r;
}

/* With the lock held. */
static void messages_count(struct vhost_user *vu)
{
	vu->stats.messages += vu->session.messages;
	vu->session.messages = 0;
}

/* Bring the back end to what the device wants. */
static int session_apply(struct vhost_user *vu, struct err *e)
{
	uint16_t base[VU_RINGS] = {0};
	bool call_new[VU_RINGS], on, start, restart;
	unsigned int pairs;
	uint8_t mac[6];
	int r = 0;

	pthread_mutex_lock(&vu->lock);
	memcpy(mac, vu->mac, sizeof(mac));
	on = vu->want_on && !vu->stuck;
	pairs = vu->want.pairs;
	restart = vu->restart;
	calls_take(vu, call_new);
	start = on && !vu->running;
	if (start) {
		memcpy(vu->want.call, vu->plan.call, sizeof(vu->want.call));
		vu->plan = vu->want;
		/* From the first message on they may be in the back end's hands. */
		vu->is_on = true;
	}
	if (vu->inflight_stale)
		vu_inflight_drop(&vu->inflight);
	vu->inflight_stale = false;
	pthread_mutex_unlock(&vu->lock);

	if (start) {
		r = apply_start(vu, e);
		if (r == 0 && restart)
			r = announce(vu, mac, e);
	} else if (!on && vu->running) {
		r = vu_session_stop(&vu->session, &vu->plan, base, e);
	} else if (on) {
		if (pairs != vu->plan.pairs)
			r = apply_pairs(vu, pairs, e);
		if (r == 0)
			r = apply_calls(vu, call_new, e);
	}
	if (r < 0)
		return r;

	pthread_mutex_lock(&vu->lock);
	if (!on && vu->running) {
		for (unsigned int i = 0; i < vu->plan.n; i++)
			vu->want.ring[i].last_avail = base[i];
		vu->running = false;
	}
	messages_count(vu);
	vu->stats.starts += start;
	vu->stats.replays += start && restart;
	vu->stats.announces += start && restart;
	vu->restart = false;
	vu->is_on = vu->running;
	vu->is_pairs = vu->plan.pairs;
	vu->stats.running = vu->running;
	pthread_cond_broadcast(&vu->changed);
	pthread_mutex_unlock(&vu->lock);
	return 0;
}

static bool quitting(struct vhost_user *vu)
{
	bool quit;

	pthread_mutex_lock(&vu->lock);
	quit = vu->quit;
	pthread_mutex_unlock(&vu->lock);
	return quit;
}

/* The back end found in a ring what no driver may write. Told once per start. */
static void errs_take(struct vhost_user *vu, const struct pollfd *p)
{
	for (unsigned int i = 0; i < vu->plan.n; i++) {
		unsigned int index = vu->plan.ring[i].index;

		if (!(p[i].revents & POLLIN))
			continue;
		vu->err_fd[index] = fd_close(vu->err_fd[index]);
		pthread_mutex_lock(&vu->lock);
		vu->stats.ring_errors++;
		pthread_mutex_unlock(&vu->lock);
		ring_broken(vu, index, "its back end gave it up");
	}
}

/* Until a wake-up, @sock readable (-1 = none) or @ms (-1 = for ever). */
static void sleep_poll(struct vhost_user *vu, int sock, int ms)
{
	struct pollfd p[2 + VU_RINGS] = {
		{.fd = vu->wake_fd, .events = POLLIN},
		{.fd = sock, .events = POLLIN},
	};
	unsigned int rings = vu->running ? vu->plan.n : 0;
	uint64_t n;

	for (unsigned int i = 0; i < rings; i++)
		p[2 + i] = (struct pollfd){
			.fd = vu->err_fd[vu->plan.ring[i].index],
			.events = POLLIN,
		};
	if (vu->link_down_at) {
		int64_t left = vu->link_down_at - vu_now_ms();

		if (left <= 0)
			link_set(vu, false);
		else if (ms < 0 || left < ms)
			ms = (int)left;
	}
	if (poll(p, 2 + rings, ms) <= 0)
		return;
	if (p[0].revents & POLLIN) {
		ssize_t r = read(vu->wake_fd, &n, sizeof(n));

		(void)r;
	}
	if (rings)
		errs_take(vu, p + 2);
}

/* From connection to loss; always ends in an error, or in 0 when the front end itself ends. */
static int session_run(struct vhost_user *vu, int *sock, struct err *e)
{
	int r;

	r = vu_session_open(
		&vu->session, sock, (int)vu->cfg.reply_ms, vu->be.max_pairs, vu->cfg.mtu, e);
	if (r < 0)
		return r;
	pthread_mutex_lock(&vu->lock);
	vu->known = true;
	vu->features = vu->session.features;
	vu->keeps_record = vu->session.protocol & BIT(VU_PF_INFLIGHT_SHMFD);
	vu->stats.connected = true;
	pthread_cond_broadcast(&vu->changed);
	pthread_mutex_unlock(&vu->lock);
	log_info("%s: back end connected, features 0x%" PRIx64 ", protocol 0x%" PRIx64, vu->be.name,
		vu->session.features, vu->session.protocol);

	while (!quitting(vu)) {
		r = session_apply(vu, e);
		if (r < 0)
			return r;
		link_set(vu, true);
		sleep_poll(vu, vu->session.sock, -1);
		r = vu_session_unasked(&vu->session, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static void session_count(struct vhost_user *vu, int r, const struct err *e)
{
	switch (-r) {
	case 0: return;
	case EPROTO: vu->stats.protocol_errors++; break;
	case ETIMEDOUT: vu->stats.timeouts++; break;
	case ENOTSUP:
	case EREMOTEIO: vu->stats.refusals++; break;
	default: vu->stats.losses++; break;
	}
	snprintf(vu->stats.last_reason, sizeof(vu->stats.last_reason), "%.255s", e->text);
}

/*
 * The back end is gone, for reason @r: the rings are ours until the next one comes. Returns what
 * the reason was in truth.
 */
static int session_end(struct vhost_user *vu, int r, struct err *e)
{
	unsigned int broken = VU_RINGS;
	bool lost;

	pthread_mutex_lock(&vu->lock);
	if (vu->hung)
		r = err_set(e, ETIMEDOUT, "it did not do as told within %u ms", vu->cfg.reply_ms);
	vu->hung = false;
	vu->peer = -1;
	messages_count(vu);
	/* Closed before the rings are looked at: a live one knows from here on. */
	vu_session_close(&vu->session);
	for (unsigned int i = 0; vu->is_on && i < vu->plan.n; i++) {
		if (ring_resume(vu, &vu->plan.ring[i], &vu->want.ring[i].last_avail) < 0)
			broken = vu->plan.ring[i].index;
	}
	lost = vu->is_on && vu->want_on;
	vu->restart |= lost;
	vu->stuck |= lost && broken < VU_RINGS;
	vu->stats.ring_errors += lost && broken < VU_RINGS;
	vu->running = vu->is_on = false;
	vu->stats.connected = vu->stats.running = false;
	session_count(vu, vu->quit ? 0 : r, e);
	pthread_cond_broadcast(&vu->changed);
	pthread_mutex_unlock(&vu->lock);

	/* It may have died between using a buffer and saying so. */
	for (unsigned int i = 0; lost && i < vu->plan.n; i++)
		event_signal(vu->plan.call[vu->plan.ring[i].index]);
	if (lost && broken < VU_RINGS)
		ring_broken(vu, broken,
			"its back end died, keeps no record of buffers in flight, and the ring "
			"does not tell which were used");
	if (vu->link_up && !vu->link_down_at)
		vu->link_down_at = vu_now_ms() + vu->cfg.grace_ms;
	return r;
}

/* ---- the thread ---- */

/* A connection, or -1 when the front end ends. */
static int peer_wait(struct vhost_user *vu, int *backoff_ms)
{
	while (!quitting(vu)) {
		int fd = vu_socket_peer(&vu->socket);
		bool listening = !vu->socket.client;

		if (fd >= 0) {
			pthread_mutex_lock(&vu->lock);
			vu->peer = fd;
			vu->stats.connections++;
			pthread_mutex_unlock(&vu->lock);
			return fd;
		}
		if (listening && fd == -EAGAIN) {
			sleep_poll(vu, vu->socket.listener, -1);
			continue;
		}
		sleep_poll(vu, -1, *backoff_ms);
		if (*backoff_ms < RETRY_MAX_MS)
			*backoff_ms *= 2;
	}
	return -1;
}

/* A back end that fails at once must not keep a core busy. */
static void pause_after(struct vhost_user *vu, int64_t since, int *backoff_ms)
{
	int64_t until;

	if (vu_now_ms() - since > 1000)
		*backoff_ms = RETRY_MIN_MS;
	until = vu_now_ms() + *backoff_ms;
	if (*backoff_ms < RETRY_MAX_MS)
		*backoff_ms *= 2;
	while (!quitting(vu) && vu_now_ms() < until)
		sleep_poll(vu, -1, (int)(until - vu_now_ms()));
}

static void *thread_main(void *arg)
{
	struct vhost_user *vu = arg;
	int backoff_ms = RETRY_MIN_MS;

	for (;;) {
		int sock = peer_wait(vu, &backoff_ms);
		int64_t since = vu_now_ms();
		struct err e = {0};
		int r;

		if (sock < 0)
			return NULL;
		r = session_run(vu, &sock, &e);
		r = session_end(vu, r, &e);
		if (r < 0 && !quitting(vu))
			log_guest(&vu->limit, "%s: back end dropped: %s", vu->be.name, e.text);
		pause_after(vu, since, &backoff_ms);
	}
}

static int thread_start(struct vhost_user *vu, struct err *e)
{
	sigset_t all, old;
	int r;

	/* Signals are for the control thread and the vCPUs. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&vu->thread, NULL, thread_main, vu);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return err_sys(e, r, "%s: start a thread", vu->be.name);
	vu->has_thread = true;
	pthread_setname_np(vu->thread, "vhost-user");
	return 0;
}

/* ---- what the device calls ---- */

static struct timespec deadline_in(unsigned int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

/*
 * With the lock held: wait until @done says so or there is no session. One that takes longer than
 * an answer may is ended.
 */
static void session_wait(struct vhost_user *vu, bool (*done)(const struct vhost_user *vu))
{
	struct timespec until = deadline_in(vu->cfg.reply_ms);

	while (vu->peer >= 0 && !done(vu)) {
		if (pthread_cond_timedwait(&vu->changed, &vu->lock, &until) != ETIMEDOUT)
			continue;
		vu->hung = true;
		shutdown(vu->peer, SHUT_RDWR);
		/* Its calls on the socket fail now, one after the other: it will come here. */
		while (vu->peer >= 0 && !done(vu))
			pthread_cond_wait(&vu->changed, &vu->lock);
	}
}

static bool is_stopped(const struct vhost_user *vu)
{
	return !vu->is_on;
}

static bool has_pairs(const struct vhost_user *vu)
{
	return !vu->want_on || (vu->is_on && vu->is_pairs == vu->want.pairs);
}

static void vu_attach(struct net_backend *be, const struct net_events *ev)
{
	struct vhost_user *vu = vhost_user(be);

	pthread_mutex_lock(&vu->event_lock);
	vu->events = *ev;
	vu->attached = true;
	ev->link(ev->ctx, vu->link_up);
	pthread_mutex_unlock(&vu->event_lock);
}

static int vu_start(struct net_backend *be, const struct net_start *s, struct err *e)
{
	struct vhost_user *vu = vhost_user(be);

	if (s->n > VU_RINGS)
		return err_set(e, EINVAL, "%s: %u rings", be->name, s->n);
	for (unsigned int i = 0; i < s->n; i++) {
		int r = ring_check(vu, s->features, &s->ring[i], e);

		if (r < 0)
			return r;
	}
	pthread_mutex_lock(&vu->lock);
	vu->want.features = s->features;
	vu->want.n = s->n;
	vu->want.pairs = s->pairs;
	for (unsigned int i = 0; i < s->n; i++) {
		vu->want.ring[i] = s->ring[i];
		vu->want.ring[i].desc += USER_BASE;
		vu->want.ring[i].avail += USER_BASE;
		vu->want.ring[i].used += USER_BASE;
	}
	vu->want_on = true;
	vu->restart = vu->stuck = false;
	/* A new life of the device: what was in flight in the last one is no more. */
	vu->inflight_stale = true;
	pthread_mutex_unlock(&vu->lock);
	wake(vu);
	return 0;
}

static void vu_stop(struct net_backend *be, uint16_t *ret_last_avail)
{
	struct vhost_user *vu = vhost_user(be);

	pthread_mutex_lock(&vu->lock);
	if (vu->want_on) {
		vu->want_on = false;
		wake(vu);
		session_wait(vu, is_stopped);
		for (unsigned int i = 0; ret_last_avail && i < vu->want.n; i++)
			ret_last_avail[i] = vu->want.ring[i].last_avail;
	}
	pthread_mutex_unlock(&vu->lock);
}

static void vu_set_call(struct net_backend *be, unsigned int index, int fd)
{
	struct vhost_user *vu = vhost_user(be);
	int copy = -1;

	if (index >= 2 * be->max_pairs)
		return;
	if (fd >= 0) {
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (copy < 0)
			log_warn("%s: ring %u has no interrupt: %s", be->name, index,
				strerror(errno));
	}
	pthread_mutex_lock(&vu->lock);
	fd_close(vu->call[index]);
	vu->call[index] = copy;
	vu->call_new[index] = true;
	pthread_mutex_unlock(&vu->lock);
	wake(vu);
}

static int vu_set_pairs(struct net_backend *be, unsigned int pairs)
{
	struct vhost_user *vu = vhost_user(be);

	if (!pairs || pairs > be->max_pairs)
		return -EINVAL;
	pthread_mutex_lock(&vu->lock);
	vu->want.pairs = pairs;
	wake(vu);
	if (vu->want_on)
		session_wait(vu, has_pairs);
	pthread_mutex_unlock(&vu->lock);
	return 0;
}

/* The back end is not told what to filter; a guest gets more than it asked for, §5.1.6.5.1. */
static void vu_set_filter(struct net_backend *be, const struct net_filter *f)
{
	struct vhost_user *vu = vhost_user(be);

	pthread_mutex_lock(&vu->lock);
	memcpy(vu->mac, f->mac, sizeof(vu->mac));
	pthread_mutex_unlock(&vu->lock);
}

static void vu_destroy(struct net_backend *be)
{
	struct vhost_user *vu = vhost_user(be);

	vu_stop(be, NULL);
	if (vu->has_thread) {
		pthread_mutex_lock(&vu->lock);
		vu->quit = true;
		if (vu->peer >= 0)
			shutdown(vu->peer, SHUT_RDWR);
		pthread_mutex_unlock(&vu->lock);
		wake(vu);
		pthread_join(vu->thread, NULL);
	}
	if (vu->listening)
		gmem_unlisten(vu->cfg.mem, &vu->listener);
	vu_socket_finish(&vu->socket);
	vu_inflight_drop(&vu->inflight);
	for (unsigned int i = 0; i < VU_RINGS; i++) {
		fd_close(vu->call[i]);
		fd_close(vu->plan.call[i]);
		fd_close(vu->err_fd[i]);
	}
	fd_close(vu->wake_fd);
	pthread_cond_destroy(&vu->changed);
	pthread_mutex_destroy(&vu->event_lock);
	pthread_mutex_destroy(&vu->lock);
	free(vu);
}

static const struct net_backend_ops vhost_user_ops = {
	.attach = vu_attach,
	.start = vu_start,
	.stop = vu_stop,
	.set_call = vu_set_call,
	.set_pairs = vu_set_pairs,
	.set_filter = vu_set_filter,
	.destroy = vu_destroy,
};

/* ---- creation ---- */

/* What the guest is offered is settled here, once: by the first back end if one comes in time. */
static void features_settle(struct vhost_user *vu)
{
	const int64_t until = vu_now_ms() + vu->cfg.wait_ms;

	pthread_mutex_lock(&vu->lock);
	while (!vu->known && vu_now_ms() < until) {
		struct timespec turn = deadline_in(50);

		if (vu->cfg.interrupted && vu->cfg.interrupted(vu->cfg.interrupted_ctx))
			break;
		pthread_cond_timedwait(&vu->changed, &vu->lock, &turn);
	}
	vu->be.features = vu->known ? vu->features & FEATURES_MOST : FEATURES_BASIC;
	vu->be.features &= ~vu->cfg.without;
	/* A packed ring that is used in order does not tell how far a dead back end came. */
	if (vu->be.features & BIT(VIRTIO_F_RING_PACKED) && !vu->keeps_record)
		vu->be.features &= ~BIT(VIRTIO_F_IN_ORDER);
	pthread_mutex_unlock(&vu->lock);
}

static struct vhost_user *vhost_user_alloc(const struct vhost_user_config *cfg)
{
	struct vhost_user *vu = calloc(1, sizeof(*vu));
	pthread_condattr_t attr;

	if (!vu)
		return NULL;
	vu->be.ops = &vhost_user_ops;
	vu->be.max_pairs = cfg->pairs;
	snprintf(vu->be.name, sizeof(vu->be.name), "vhost-user:%s", cfg->path);
	vu->cfg = *cfg;
	vu->cfg.path = NULL;
	if (!vu->cfg.reply_ms)
		vu->cfg.reply_ms = REPLY_MS;
	if (!vu->cfg.grace_ms)
		vu->cfg.grace_ms = GRACE_MS;
	vu->socket.listener = vu->wake_fd = vu->peer = -1;
	vu->session.sock = vu->inflight.fd = -1;
	for (unsigned int i = 0; i < VU_RINGS; i++)
		vu->call[i] = vu->plan.call[i] = vu->err_fd[i] = -1;
	vu->listener = (struct gmem_listener){.add = mem_add, .del = mem_del};
	pthread_mutex_init(&vu->lock, NULL);
	pthread_mutex_init(&vu->event_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&vu->changed, &attr);
	pthread_condattr_destroy(&attr);
	return vu;
}

int vhost_user_create(const struct vhost_user_config *cfg, struct err *e, struct net_backend **ret)
{
	struct vhost_user *vu;
	int r;

	if (!cfg->pairs || cfg->pairs > NET_MAX_PAIRS)
		return err_set(e, EINVAL, "vhost-user:%s: %u queue pairs; 1 to %u are possible",
			cfg->path, cfg->pairs, NET_MAX_PAIRS);
	vu = vhost_user_alloc(cfg);
	if (!vu)
		return err_sys(e, ENOMEM, "vhost-user:%s", cfg->path);
	r = gmem_listen(cfg->mem, &vu->listener, e);
	vu->listening = r == 0;
	if (r == 0) {
		vu->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vu->wake_fd < 0)
			r = err_sys(e, errno, "%s: make an eventfd", vu->be.name);
	}
	if (r == 0)
		r = vu_socket_init(&vu->socket, cfg->path, cfg->client, e);
	if (r == 0)
		r = thread_start(vu, e);
	if (r < 0) {
		vu_destroy(&vu->be);
		return r;
	}
	features_settle(vu);
	*ret = &vu->be;
	return 0;
}

void vhost_user_stats(struct net_backend *be, struct vhost_user_stats *ret)
{
	struct vhost_user *vu = vhost_user(be);

	pthread_mutex_lock(&vu->lock);
	*ret = vu->stats;
	pthread_mutex_unlock(&vu->lock);
}
