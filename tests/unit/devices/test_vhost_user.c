// SPDX-License-Identifier: GPL-2.0-or-later
/* The front end against a back end of our own (vhost_peer.c), over the socket as in production. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "devices/vhost_user.h"
#include "tests/unit/devices/vhost_peer.h"

#define MIB   (1024ull * 1024)
#define RINGS 4
#define HIGH  (4096 * MIB)

/* ---- libc faults: the n-th call of a kind fails ---- */

static _Atomic long fault_in = -1; /* calls left before the one that fails; -1 = none does */

static bool fault(void)
{
	if (fault_in < 0)
		return false;
	return fault_in-- == 0;
}

#define WRAP(type, name, failure, code, params, ...) \
	type __real_##name params;                   \
	type __wrap_##name params;                   \
	type __wrap_##name params                    \
	{                                            \
		if (fault()) {                       \
			errno = (code);              \
			return failure;              \
		}                                    \
		return __real_##name(__VA_ARGS__);   \
	}

WRAP(void *, calloc, NULL, ENOMEM, (size_t n, size_t size), n, size)
WRAP(int, eventfd, -1, EMFILE, (unsigned int n, int flags), n, flags)
WRAP(int, socket, -1, EMFILE, (int domain, int type, int protocol), domain, type, protocol)
WRAP(int, bind, -1, EACCES, (int fd, const struct sockaddr *a, socklen_t len), fd, a, len)
WRAP(int, listen, -1, ENOBUFS, (int fd, int n), fd, n)
WRAP(int, accept4, -1, EMFILE, (int fd, struct sockaddr *a, socklen_t *len, int flags), fd, a, len,
	flags)
WRAP(ssize_t, sendmsg, -1, EPIPE, (int fd, const struct msghdr *m, int flags), fd, m, flags)
WRAP(ssize_t, recvmsg, -1, ECONNRESET, (int fd, struct msghdr *m, int flags), fd, m, flags)

/* ---- the world ---- */

static char dir[64], path[96];
static struct gmem *mem;
static struct net_backend *be;
static struct err err;
static int kick[RINGS], call[RINGS];
static struct net_ring rings[RINGS];
static _Atomic int link_state; /* -1 = never told */
static _Atomic unsigned int links_down, announces;
static unsigned int fds_before;

static unsigned int fds_open(void)
{
	_cleanup_dir_ DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	return n;
}

static void on_link(void *ctx, bool up)
{
	link_state = up;
	links_down += !up;
}

static void on_announce(void *ctx)
{
	announces++;
}

static bool may_break;
static _Atomic unsigned int breaks;

static void on_broken(void *ctx, unsigned int index, const char *why)
{
	if (!may_break)
		ck_abort_msg("%s", why);
	breaks++;
}

static const struct net_events events = {on_link, on_announce, on_broken, NULL};

static const struct peer_config good = {PEER_FEATURES, PEER_PROTOCOL, 2, WELL_BEHAVED, 0, 4096, 0};

static struct vhost_user_config config(void)
{
	return (struct vhost_user_config){
		.path = path,
		.pairs = 2,
		.mtu = 1400,
		.mem = mem,
		.reply_ms = 2000,
		.grace_ms = 60000,
	};
}

static void create(const struct vhost_user_config *cfg)
{
	ck_assert_msg(vhost_user_create(cfg, &err, &be) == 0, "%s", err.text);
	link_state = -1;
	be->ops->attach(be, &events);
	links_down = 0;
}

static void start(unsigned int n, uint64_t features)
{
	struct net_start s = {.features = 1ull << 32 | features, .n = n, .pairs = 1, .ring = rings};

	ck_assert_msg(be->ops->start(be, &s, &err) == 0, "%s", err.text);
}

static void used_idx_set(unsigned int ring, uint16_t v)
{
	__atomic_store_n((uint16_t *)gmem_hva(mem, rings[ring].used + 2, 2), v, __ATOMIC_RELEASE);
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 5000) == 1;
}

static uint64_t count_take(int fd)
{
	eventfd_t v = 0;

	eventfd_read(fd, &v);
	return v;
}

static struct vhost_user_stats stats(void)
{
	struct vhost_user_stats s;

	vhost_user_stats(be, &s);
	return s;
}

#define UNTIL(cond)                                                        \
	do {                                                               \
		for (int _n = 0; _n < 15000 && !(cond); _n++)              \
			usleep(2000);                                      \
		ck_assert_msg(cond, "%s: %s", #cond, stats().last_reason); \
	} while (0)

static void setup(void)
{
	const struct gmem_config m = {.size = 8 * MIB, .low_max = 4 * MIB, .sealed = true};

	log_level_set(LOG_LEVEL_ERROR);
	fault_in = -1;
	fds_before = fds_open();
	strcpy(dir, "/tmp/vhost-user-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	ck_assert_int_eq(gmem_create(&m, &err, &mem), 0);
	for (unsigned int i = 0; i < RINGS; i++) {
		uint64_t base = (i & 1 ? HIGH : 0) + 0x10000 * (i + 1);

		kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		rings[i] = (struct net_ring){
			.index = i,
			.size = 256,
			.desc = base,
			.avail = base + 0x4000,
			.used = base + 0x8000,
			.kick_fd = kick[i],
		};
	}
	be = NULL;
	may_break = false;
	breaks = announces = 0;
	err = (struct err){0};
}

static void teardown(void)
{
	net_backend_destroy(be);
	gmem_destroy(mem);
	for (unsigned int i = 0; i < RINGS; i++) {
		fd_close(kick[i]);
		fd_close(call[i]);
	}
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
	ck_assert_uint_eq(fds_open(), fds_before);
}

static struct peer *peer_new(const struct peer_config *cfg)
{
	return peer_create(cfg, peer_connect(path));
}

/* ---- handing over ---- */

START_TEST(the_back_end_gets_memory_rings_doorbells_and_interrupts)
{
	struct vhost_user_config cfg = config();
	struct peer *p;
	uint32_t *window;

	create(&cfg);
	ck_assert_int_eq(link_state, 0);
	for (unsigned int i = 0; i < RINGS; i++)
		be->ops->set_call(be, i, call[i]);
	start(2, 0);
	p = peer_new(&good);
	ck_assert(peer_saw(p, VU_SET_STATUS, 1));
	UNTIL(link_state == 1);

	ck_assert_uint_eq(p->features, 1ull << 32 | 1ull << 30);
	ck_assert_uint_eq(p->status, 15);
	ck_assert_uint_eq(p->mem.regions, 2);
	ck_assert_uint_eq(p->mem.region[1].gpa, HIGH);
	ck_assert_uint_eq(p->mem.region[1].size, 4 * MIB);
	ck_assert_uint_eq(p->mem.region[1].fd_offset, 4 * MIB);
	window = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, p->mem_fd[1], 0);
	ck_assert_ptr_ne(window, MAP_FAILED);
	window[MIB] = 0x12345678; /* 4 MiB in: the first word of the second region */
	ck_assert_uint_eq(*(uint32_t *)gmem_hva(mem, HIGH, 4), 0x12345678);
	munmap(window, 8 * MIB);

	for (unsigned int i = 0; i < 2; i++) {
		const struct vu_region *r = &p->mem.region[i & 1];

		ck_assert_uint_eq(p->ring[i].num, 256);
		ck_assert_uint_eq(p->ring[i].base, 0);
		ck_assert(p->ring[i].enabled);
		ck_assert_uint_eq(p->ring[i].addr.desc - r->user + r->gpa, rings[i].desc);
		ck_assert_uint_eq(p->ring[i].addr.avail - r->user + r->gpa, rings[i].avail);
		ck_assert_uint_eq(p->ring[i].addr.used - r->user + r->gpa, rings[i].used);
		/* The guest's doorbell rings at the back end; rung once at the start. */
		ck_assert(readable(p->ring[i].kick));
		ck_assert_uint_eq(count_take(p->ring[i].kick), 1);
		eventfd_write(kick[i], 1);
		ck_assert(readable(p->ring[i].kick));
		count_take(call[i]);
		eventfd_write(p->ring[i].call, 3);
		ck_assert_uint_eq(count_take(call[i]), 3);
	}
	ck_assert_int_eq(p->ring[2].kick, -1);
	peer_destroy(p);
}
END_TEST

#define ABLE (PEER_FEATURES | 1 | 1ull << 35 | 1ull << 34 | 1ull << 63)

/* CSUM too; nothing we do not know. In order and packed only if a dead one's place is known. */
static const struct {
	struct peer_config peer;
	uint64_t without, offered;
} offers[] = {
	{{ABLE, PEER_PROTOCOL, 2}, 0, 1 | 1ull << 15 | 3ull << 28 | 1ull << 34},
	{{ABLE, PEER_PROTOCOL | 1ull << VU_PF_INFLIGHT_SHMFD, 2}, 0,
		1 | 1ull << 15 | 3ull << 28 | 3ull << 34},
	{{ABLE, PEER_PROTOCOL, 2}, 1ull << 34, 1 | 1ull << 15 | 3ull << 28 | 1ull << 35},
	{{ABLE, PEER_PROTOCOL, 2}, 1 | 1ull << 15, 3ull << 28 | 1ull << 34},
	{{PEER_FEATURES, PEER_PROTOCOL, 2}, 1ull << 28, 1ull << 15 | 1ull << 29},
};

struct comer {
	const struct peer_config *cfg;
	int listener;
};

static void *able_comes(void *arg)
{
	const struct comer *c = arg;

	return peer_create(c->cfg, peer_accept(c->listener));
}

START_TEST(what_the_first_back_end_can_do_is_offered)
{
	struct vhost_user_config cfg = config();
	struct comer c = {&offers[_i].peer, peer_listen(path)};
	pthread_t t;
	void *p;

	cfg.client = true;
	cfg.wait_ms = 5000;
	cfg.without = offers[_i].without;
	ck_assert_int_eq(pthread_create(&t, NULL, able_comes, &c), 0);
	create(&cfg);
	ck_assert_uint_eq(be->features, offers[_i].offered);
	pthread_join(t, &p);
	peer_destroy(p);
	fd_close(c.listener);
}
END_TEST

START_TEST(without_a_back_end_the_guest_gets_what_all_can_do)
{
	struct vhost_user_config cfg = config();
	int64_t t = vu_now_ms();

	cfg.wait_ms = 50;
	create(&cfg);
	ck_assert_uint_eq(be->features, 1ull << 15 | 3ull << 28);
	ck_assert_int_ge(vu_now_ms() - t, 50);
	ck_assert_int_lt(vu_now_ms() - t, 3000);
}
END_TEST

static bool at_once(void *ctx)
{
	return true;
}

/* A signal must not wait for a switch. */
START_TEST(waiting_for_the_first_back_end_can_be_given_up)
{
	struct vhost_user_config cfg = config();
	int64_t t = vu_now_ms();

	cfg.wait_ms = 10000;
	cfg.interrupted = at_once;
	create(&cfg);
	ck_assert_int_lt(vu_now_ms() - t, 5000);
}
END_TEST

START_TEST(a_back_end_of_the_oldest_kind_is_served)
{
	struct peer_config old = good;
	struct vhost_user_config cfg = config();
	struct peer *p;

	old.features &= ~(1ull << VU_F_PROTOCOL_FEATURES);
	cfg.pairs = 1;
	create(&cfg);
	start(2, 0);
	p = peer_new(&old);
	ck_assert(peer_saw(p, VU_GET_FEATURES, 2)); /* the second ends the start */
	UNTIL(stats().running);
	ck_assert_uint_eq(p->count[VU_GET_PROTOCOL_FEATURES], 0);
	ck_assert_uint_eq(p->count[VU_SET_VRING_ENABLE], 0);
	ck_assert_uint_eq(p->features, 1ull << 32);
	peer_destroy(p);
}
END_TEST

START_TEST(the_mtu_is_told_to_who_can_be_told)
{
	struct peer_config can = good;
	struct vhost_user_config cfg = config();
	struct peer *p;

	can.features |= 8;
	create(&cfg);
	p = peer_new(&can);
	UNTIL(stats().connected);
	ck_assert_uint_eq(p->mtu, 1400);
	peer_destroy(p);
}
END_TEST

/* ---- while it runs ---- */

START_TEST(stopping_returns_where_the_back_end_is)
{
	struct peer_config at = good;
	struct vhost_user_config cfg = config();
	uint16_t base[2] = {0};
	struct peer *p;

	at.base = 0xfffe;
	create(&cfg);
	start(2, 0);
	p = peer_new(&at);
	UNTIL(stats().running);
	be->ops->stop(be, base);
	ck_assert_uint_eq(base[0], 0xfffe);
	ck_assert_uint_eq(base[1], 0xfffe);
	ck_assert(!p->ring[0].enabled);
	ck_assert_uint_eq(p->status, 0);
	ck_assert_uint_eq(p->count[VU_GET_VRING_BASE], 2);
	/* and starts again where it is told to */
	rings[0].last_avail = 77;
	start(2, 0);
	UNTIL(stats().starts == 2);
	ck_assert_uint_eq(p->ring[0].base, 77);
	be->ops->stop(be, NULL);
	be->ops->stop(be, NULL);
	peer_destroy(p);
}
END_TEST

START_TEST(stopping_without_a_back_end_returns_where_the_rings_are)
{
	struct vhost_user_config cfg = config();
	uint16_t base[2] = {9, 9};

	create(&cfg);
	rings[0].last_avail = 5;
	start(2, 0);
	be->ops->stop(be, base);
	ck_assert_uint_eq(base[0], 5);
	ck_assert_uint_eq(base[1], 0);
}
END_TEST

START_TEST(interrupts_follow_the_guests_vectors)
{
	struct vhost_user_config cfg = config();
	struct peer *p;

	create(&cfg);
	start(2, 0);
	p = peer_new(&good);
	UNTIL(stats().running);
	ck_assert_int_eq(p->ring[1].call, -1);
	be->ops->set_call(be, 1, call[1]);
	ck_assert(peer_saw(p, VU_SET_VRING_CALL, 3));
	/* What happened in between may have gone to nobody: the guest is told to look. */
	ck_assert(readable(call[1]));
	count_take(call[1]);
	eventfd_write(p->ring[1].call, 5);
	ck_assert_uint_eq(count_take(call[1]), 5);
	be->ops->set_call(be, 1, -1);
	ck_assert(peer_saw(p, VU_SET_VRING_CALL, 4));
	ck_assert_int_eq(p->ring[1].call, -1);
	peer_destroy(p);
}
END_TEST

START_TEST(queue_pairs_are_switched_on_and_off)
{
	struct vhost_user_config cfg = config();
	struct peer *p;

	create(&cfg);
	start(4, 0);
	p = peer_new(&good);
	UNTIL(stats().running);
	ck_assert(p->ring[1].enabled && !p->ring[2].enabled);
	ck_assert_int_eq(be->ops->set_pairs(be, 2), 0);
	ck_assert(p->ring[1].enabled && p->ring[2].enabled && p->ring[3].enabled);
	ck_assert_int_eq(be->ops->set_pairs(be, 1), 0);
	ck_assert(p->ring[1].enabled && !p->ring[2].enabled && !p->ring[3].enabled);
	ck_assert_int_eq(be->ops->set_pairs(be, 3), -EINVAL);
	ck_assert_int_eq(be->ops->set_pairs(be, 0), -EINVAL);
	peer_destroy(p);
}
END_TEST

/* ---- back ends come and go ---- */

START_TEST(the_next_back_end_goes_on_where_the_used_ring_ends)
{
	struct vhost_user_config cfg = config();
	struct peer *p;

	create(&cfg);
	be->ops->set_call(be, 0, call[0]);
	start(2, 1ull << 15 | 1ull << VIRTIO_NET_F_GUEST_ANNOUNCE);
	p = peer_new(&good);
	UNTIL(stats().running);
	used_idx_set(0, 7);
	used_idx_set(1, 0xffff);
	count_take(kick[0]);
	peer_destroy(p);
	UNTIL(!stats().connected);
	/* It may have died before it told the guest of its last buffer. */
	ck_assert(readable(call[0]));
	eventfd_write(kick[0], 1); /* the guest goes on sending */

	p = peer_new(&good);
	UNTIL(stats().running);
	ck_assert_uint_eq(p->features, 1ull << 32 | 1ull << 30 | 1ull << 15);
	ck_assert_uint_eq(p->mem.regions, 2);
	ck_assert_uint_eq(p->ring[0].num, 256);
	ck_assert_uint_eq(p->ring[0].base, 7);
	ck_assert_uint_eq(p->ring[1].base, 0xffff);
	ck_assert(readable(p->ring[0].kick));
	ck_assert_int_ge(p->ring[0].call, 0);
	ck_assert_int_eq(p->ring[1].call, -1);
	UNTIL(announces == 1);
	ck_assert_uint_eq(stats().losses, 1);
	ck_assert_uint_eq(stats().starts, 2);
	ck_assert_uint_eq(stats().replays, 1);
	ck_assert_uint_gt(stats().messages, 20);
	ck_assert_uint_eq(links_down, 0); /* a pause within the grace */
	peer_destroy(p);
}
END_TEST

/* The switch that comes after a dead one does not know where the guest is. */
START_TEST(a_guest_that_does_not_announce_itself_is_announced)
{
	const struct net_filter f = {.promisc = true, .mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56}};
	struct peer_config can = good;
	struct vhost_user_config cfg = config();
	struct peer *p;

	can.protocol |= 1ull << VU_PF_RARP;
	create(&cfg);
	be->ops->set_filter(be, &f);
	start(2, 0);
	p = peer_new(&can);
	UNTIL(stats().running);
	ck_assert_uint_eq(p->count[VU_SEND_RARP], 0);
	peer_destroy(p);
	UNTIL(!stats().connected);
	p = peer_new(&can);
	ck_assert(peer_saw(p, VU_SEND_RARP, 1));
	ck_assert_uint_eq(p->rarp, 0x563412005452);
	ck_assert_uint_eq(announces, 0);
	peer_destroy(p);
}
END_TEST

START_TEST(a_ring_the_back_end_gives_up_needs_a_reset)
{
	struct vhost_user_config cfg = config();
	struct peer *p;

	create(&cfg);
	may_break = true;
	start(2, 0);
	p = peer_new(&good);
	UNTIL(stats().running);
	eventfd_write(p->ring[1].err, 1);
	UNTIL(breaks == 1);
	/* Once is enough, also for one that does not stop. */
	eventfd_write(p->ring[1].err, 1);
	be->ops->set_pairs(be, 1);
	be->ops->stop(be, NULL);
	start(2, 0);
	UNTIL(stats().starts == 2);
	ck_assert_uint_eq(breaks, 1);
	ck_assert_uint_eq(stats().ring_errors, 1);
	eventfd_write(p->ring[0].err, 1);
	UNTIL(breaks == 2);
	peer_destroy(p);
}
END_TEST

START_TEST(the_guests_reset_is_passed_on)
{
	struct peer_config can = good;
	struct vhost_user_config cfg = config();
	struct peer *p;

	can.protocol |= 1ull << VU_PF_RESET_DEVICE;
	if (_i)
		can.protocol &= ~(1ull << VU_PF_STATUS);
	create(&cfg);
	start(2, 0);
	p = peer_new(&can);
	UNTIL(stats().running);
	be->ops->stop(be, NULL);
	ck_assert_uint_eq(p->count[VU_RESET_DEVICE], (unsigned int)_i);
	ck_assert_uint_eq(p->count[VU_SET_STATUS], _i ? 0 : 2);
	start(2, 0);
	UNTIL(stats().starts == 2);
	peer_destroy(p);
}
END_TEST

#define PACKED 1ull << 34

static const struct peer_config packed_peer = {
	PEER_FEATURES | PACKED, PEER_PROTOCOL, 2, WELL_BEHAVED, 0, 4096, 0};

static void packed_desc(unsigned int ring, unsigned int i, uint16_t id, uint16_t flags)
{
	struct vring_packed_desc *d = gmem_hva(mem, rings[ring].desc, 256 * sizeof(*d));

	__atomic_store_n(&d[i].addr, 0x1000, __ATOMIC_RELAXED);
	__atomic_store_n(&d[i].len, 64, __ATOMIC_RELAXED);
	__atomic_store_n(&d[i].id, id, __ATOMIC_RELAXED);
	__atomic_store_n(&d[i].flags, flags, __ATOMIC_RELEASE);
}

START_TEST(the_next_back_end_goes_on_where_the_packed_ring_says)
{
	struct vhost_user_config cfg = config();
	struct peer *p;

	create(&cfg);
	for (unsigned int i = 0; i < 2; i++)
		rings[i].last_avail = 0x8000;
	start(2, PACKED | 1ull << 28);
	p = peer_new(&packed_peer);
	UNTIL(stats().running);
	ck_assert_uint_eq(p->features, 1ull << 32 | 1ull << 30 | PACKED | 1ull << 28);
	ck_assert_uint_eq(p->ring[0].base, 0x80008000);
	/* Ring 0: three used, one available. Ring 1: of a batch of three all but the first. */
	for (uint16_t i = 0; i < 4; i++)
		packed_desc(0, i, i, i < 3 ? 0x8080 : 0x80);
	for (uint16_t i = 0; i < 4; i++)
		packed_desc(1, i, i, i == 1 || i == 2 ? 0x8080 : 0x80);
	peer_destroy(p);
	UNTIL(!stats().connected);
	p = peer_new(&packed_peer);
	UNTIL(stats().running);
	ck_assert_uint_eq(p->ring[0].base, 0x80038003);
	ck_assert_uint_eq(p->ring[1].base, 0x80038003);
	be->ops->stop(be, NULL);
	peer_destroy(p);
}
END_TEST

/* Rather a reset than a frame twice or a buffer written after it was given back. */
START_TEST(a_packed_ring_that_does_not_tell_needs_a_reset)
{
	struct vhost_user_config cfg = config();
	struct peer *p;

	create(&cfg);
	may_break = true;
	for (unsigned int i = 0; i < 2; i++)
		rings[i].last_avail = 0x8000;
	start(2, PACKED);
	p = peer_new(&packed_peer);
	UNTIL(stats().running);
	packed_desc(1, 0, 5, 0x8080);
	packed_desc(1, 1, 5, 0x80);
	peer_destroy(p);
	UNTIL(breaks == 1);
	p = peer_new(&packed_peer);
	UNTIL(stats().connected);
	be->ops->set_call(be, 0, call[0]);
	ck_assert_uint_eq(p->count[VU_SET_VRING_KICK], 0);
	be->ops->stop(be, NULL);
	start(2, PACKED);
	UNTIL(stats().running);
	ck_assert_uint_eq(p->count[VU_SET_VRING_KICK], 2);
	peer_destroy(p);
}
END_TEST

/* Any size, and parts of four bytes; split rings of the same would be refused. */
START_TEST(packed_rings_are_checked_as_such)
{
	const struct net_ring ring = {.size = 100,
		.desc = 0x1000,
		.avail = 4 * MIB - 4,
		.used = 0x4,
		.last_avail = 0x8063};
	struct vhost_user_config cfg = config();
	struct net_ring r = ring;
	struct net_start s = {.features = 1ull << 32 | PACKED, .n = 1, .pairs = 1, .ring = &r};

	create(&cfg);
	ck_assert_int_eq(be->ops->start(be, &s, &err), 0);
	be->ops->stop(be, NULL);
	r.last_avail = 0x8064;
	ck_assert_int_eq(be->ops->start(be, &s, &err), -EINVAL);
	r = ring;
	r.avail = 4 * MIB - 2;
	ck_assert_int_eq(be->ops->start(be, &s, &err), -EINVAL);
	r.avail = 4 * MIB;
	ck_assert_int_eq(be->ops->start(be, &s, &err), -EFAULT);
	r = ring;
	r.desc = 4 * MIB - 16 * 99;
	ck_assert_int_lt(be->ops->start(be, &s, &err), 0);
	s.features = 1ull << 32;
	r = ring;
	ck_assert_int_eq(be->ops->start(be, &s, &err), -EINVAL);
}
END_TEST

START_TEST(the_link_goes_down_when_the_pause_is_long)
{
	struct vhost_user_config cfg = config();
	struct peer *p;

	cfg.grace_ms = 100;
	create(&cfg);
	start(2, 0);
	p = peer_new(&good);
	UNTIL(link_state == 1);
	peer_destroy(p);
	UNTIL(link_state == 0);
	p = peer_new(&good);
	UNTIL(link_state == 1);
	peer_destroy(p);
}
END_TEST

START_TEST(a_client_finds_a_back_end_that_comes_late_and_comes_back)
{
	struct vhost_user_config cfg = config();
	struct peer *p;
	int l;

	cfg.client = true;
	create(&cfg);
	start(2, 0);
	for (unsigned int i = 0; i < 3; i++) {
		usleep(120000);
		l = peer_listen(path);
		p = peer_create(&good, peer_accept(l));
		ck_assert(peer_saw(p, VU_SET_STATUS, 1));
		UNTIL(stats().running);
		fd_close(l);
		unlink(path);
		peer_destroy(p);
	}
	UNTIL(stats().losses == 3);
}
END_TEST

START_TEST(what_was_in_flight_is_handed_to_the_next_back_end)
{
	struct peer_config can = good;
	struct vhost_user_config cfg = config();
	struct stat a, b, c;
	struct peer *p;

	can.protocol |= 1ull << VU_PF_INFLIGHT_SHMFD;
	create(&cfg);
	start(2, 0);
	p = peer_new(&can);
	UNTIL(stats().running);
	ck_assert_uint_eq(p->inflight.queues, 2);
	ck_assert_uint_eq(p->inflight.queue_size, 256);
	ck_assert_int_eq(fstat(p->inflight_fd, &a), 0);
	peer_destroy(p);
	UNTIL(!stats().connected);

	p = peer_new(&can);
	UNTIL(stats().running);
	ck_assert_int_eq(fstat(p->inflight_fd, &b), 0);
	ck_assert_uint_eq(a.st_ino, b.st_ino);
	ck_assert_uint_eq(p->count[VU_GET_INFLIGHT_FD], 0);
	/* After the guest's reset nothing is in flight: a new region. */
	be->ops->stop(be, NULL);
	start(2, 0);
	UNTIL(stats().starts == 3);
	ck_assert_uint_eq(p->count[VU_GET_INFLIGHT_FD], 1);
	ck_assert_int_eq(fstat(p->inflight_fd, &c), 0);
	ck_assert_uint_ne(a.st_ino, c.st_ino);
	peer_destroy(p);
}
END_TEST

/* ---- back ends that will not do ---- */

START_TEST(a_back_end_that_lacks_what_the_guest_uses_is_refused_by_name)
{
	struct peer_config less = good;
	struct vhost_user_config cfg = config();
	struct peer *p;

	less.features &= ~(1ull << 15);
	create(&cfg);
	start(2, 1ull << 15);
	p = peer_new(&less);
	ck_assert(peer_dropped(p));
	peer_destroy(p);
	UNTIL(stats().refusals == 1);
	ck_assert_ptr_nonnull(strstr(stats().last_reason, "MRG_RXBUF"));
	p = peer_new(&good);
	UNTIL(stats().running);
	peer_destroy(p);
}
END_TEST

START_TEST(a_back_end_with_too_few_queues_is_refused)
{
	struct peer_config less = good;
	struct vhost_user_config cfg = config();
	struct peer *p;

	less.queues = 1;
	create(&cfg);
	p = peer_new(&less);
	ck_assert(peer_dropped(p));
	UNTIL(stats().refusals == 1);
	ck_assert_ptr_nonnull(strstr(stats().last_reason, "queue pairs"));
	peer_destroy(p);
}
END_TEST

START_TEST(an_inflight_region_that_is_none_is_refused)
{
	static const unsigned int sizes[] = {0, 4097, UINT32_MAX};
	struct peer_config bad = good;
	struct vhost_user_config cfg = config();
	struct peer *p;

	bad.protocol |= 1ull << VU_PF_INFLIGHT_SHMFD;
	bad.inflight_size = sizes[_i];
	create(&cfg);
	start(2, 0);
	p = peer_new(&bad);
	ck_assert(peer_dropped(p));
	UNTIL(stats().protocol_errors == 1);
	peer_destroy(p);
}
END_TEST

static const uint32_t answered[] = {VU_GET_FEATURES, VU_GET_PROTOCOL_FEATURES, VU_GET_QUEUE_NUM,
	VU_SET_OWNER, VU_SET_FEATURES, VU_SET_MEM_TABLE, VU_GET_INFLIGHT_FD, VU_SET_INFLIGHT_FD,
	VU_SET_VRING_NUM, VU_SET_VRING_BASE, VU_SET_VRING_ADDR, VU_SET_VRING_CALL, VU_SET_VRING_ERR,
	VU_SET_VRING_KICK, VU_SET_VRING_ENABLE, VU_SET_STATUS, VU_GET_VRING_BASE};

/*
 * Every wrong answer to every request: the connection goes, no fd stays (teardown counts), stop()
 * returns, the next back end is served.
 */
START_TEST(wrong_answers_cost_the_connection_and_nothing_else)
{
	struct peer_config bad = good;
	struct vhost_user_config cfg = config();
	struct vhost_user_stats s;
	struct peer *p;
	uint16_t base[2];

	bad.protocol |= 1ull << VU_PF_INFLIGHT_SHMFD;
	bad.at = answered[_i % (int)ARRAY_SIZE(answered)];
	bad.mischief = (enum mischief)(1 + _i / (int)ARRAY_SIZE(answered));
	/* Only bad answers are bad: all ones is a fine number of queues. */
	if (bad.mischief == REFUSES && bad.at < VU_SET_INFLIGHT_FD &&
		(bad.at == VU_GET_FEATURES || bad.at == VU_GET_PROTOCOL_FEATURES ||
			bad.at == VU_GET_QUEUE_NUM))
		return;
	cfg.reply_ms = bad.mischief == SAYS_NOTHING ? 200 : 2000;
	create(&cfg);
	start(2, 0);
	p = peer_new(&bad);
	if (bad.at == VU_GET_VRING_BASE) {
		UNTIL(stats().running);
		be->ops->stop(be, base);
		ck_assert_uint_eq(base[0], 0); /* the used ring's */
		start(2, 0);
	}
	ck_assert(peer_dropped(p));
	peer_destroy(p);
	UNTIL(stats().last_reason[0]);
	s = stats();
	ck_assert_uint_eq(s.protocol_errors + s.timeouts + s.refusals + s.losses, 1);
	ck_assert(!s.connected);
	if (bad.mischief == SAYS_NOTHING)
		ck_assert_uint_eq(s.timeouts, 1);
	p = peer_new(&good);
	UNTIL(stats().running);
	peer_destroy(p);
}
END_TEST

START_TEST(a_message_nobody_asked_for_costs_the_connection)
{
	struct vhost_user_config cfg = config();
	struct vu_msg m = vu_msg_make(VU_GET_FEATURES, 8);
	struct peer *p;

	create(&cfg);
	start(2, 0);
	p = peer_new(&good);
	UNTIL(stats().running);
	m.fds = 1;
	m.fd[0] = kick[0];
	ck_assert_int_eq(vu_send(p->sock, &m, vu_now_ms() + 1000, NULL), 0);
	ck_assert(peer_dropped(p));
	UNTIL(stats().protocol_errors == 1);
	peer_destroy(p);
}
END_TEST

/* A vCPU waits in stop(): a silent back end must not hold it. */
START_TEST(a_hung_back_end_does_not_hold_the_guest)
{
	struct peer_config hung = good;
	struct vhost_user_config cfg = config();
	struct peer *p;
	int64_t t;

	hung.mischief = SAYS_NOTHING;
	hung.at = VU_GET_VRING_BASE;
	cfg.reply_ms = 200;
	create(&cfg);
	start(2, 0);
	p = peer_new(&hung);
	UNTIL(stats().running);
	used_idx_set(1, 3);
	t = vu_now_ms();
	be->ops->stop(be, (uint16_t[2]){0});
	ck_assert_int_lt(vu_now_ms() - t, 3000);
	ck_assert(peer_dropped(p));
	peer_destroy(p);
}
END_TEST

/* It has the eventfds too, and may make them such that a write waits. */
START_TEST(a_back_end_that_fills_our_eventfds_does_not_hold_us)
{
	struct vhost_user_config cfg = config();
	struct peer *p;

	create(&cfg);
	may_break = true;
	for (unsigned int i = 0; i < 2; i++)
		be->ops->set_call(be, i, call[i]);
	start(2, 0);
	p = peer_new(&good);
	UNTIL(stats().running);
	for (unsigned int i = 0; i < 2; i++) {
		const int fds[] = {p->ring[i].kick, p->ring[i].call, p->ring[i].err};

		for (unsigned int k = 0; k < ARRAY_SIZE(fds); k++) {
			count_take(fds[k]);
			ck_assert_int_eq(fcntl(fds[k], F_SETFL, O_RDWR), 0);
			ck_assert_int_eq(eventfd_write(fds[k], UINT64_MAX - 1), 0);
		}
	}
	be->ops->set_call(be, 0, call[0]);
	UNTIL(breaks == 2);
	peer_destroy(p);
	UNTIL(!stats().connected);
	p = peer_new(&good);
	UNTIL(stats().running);
	be->ops->stop(be, NULL);
	start(2, 0);
	UNTIL(stats().starts == 3);
	peer_destroy(p);
}
END_TEST

/* Without an end, or byte by byte: the time for an answer is the bound. */
START_TEST(a_back_end_that_trickles_does_not_hold_us)
{
	struct vhost_user_config cfg = config();
	const uint32_t header[3] = {VU_GET_FEATURES, VU_VERSION | VU_FLAG_REPLY, 8};
	int sock;
	int64_t t = vu_now_ms();

	cfg.reply_ms = 300;
	create(&cfg);
	start(2, 0);
	sock = peer_connect(path);
	for (unsigned int i = 0; i < 19 && stats().timeouts == 0; i++) {
		usleep(50000);
		if (send(sock, (const uint8_t *)header + i % 12, 1, MSG_NOSIGNAL) < 0)
			break;
	}
	UNTIL(stats().timeouts == 1);
	ck_assert_int_lt(vu_now_ms() - t, 2000);
	fd_close(sock);
}
END_TEST

START_TEST(a_back_end_that_talks_without_end_is_dropped)
{
	struct vhost_user_config cfg = config();
	uint8_t junk[4096];
	int sock;

	memset(junk, 0xa5 * _i, sizeof(junk));
	create(&cfg);
	start(2, 0);
	sock = peer_connect(path);
	fcntl(sock, F_SETFL, O_NONBLOCK);
	for (unsigned int i = 0; i < 20000; i++) {
		if (send(sock, junk, sizeof(junk), MSG_NOSIGNAL) < 0 && errno != EAGAIN)
			break;
	}
	UNTIL(stats().protocol_errors == 1);
	be->ops->stop(be, NULL);
	fd_close(sock);
}
END_TEST

/* Connections that come and break at once are paced, and each is forgotten wholly. */
START_TEST(a_flood_of_bad_connections_is_paced)
{
	struct vhost_user_config cfg = config();
	int64_t t = vu_now_ms();
	uint64_t n;

	create(&cfg);
	while (vu_now_ms() - t < 1000) {
		struct sockaddr_un a = {.sun_family = AF_UNIX};
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		strcpy(a.sun_path, path);
		connect(fd, (struct sockaddr *)&a, sizeof(a));
		fd_close(fd);
	}
	n = stats().connections;
	ck_assert_uint_ge(n, 2);
	ck_assert_uint_le(n, 10);
}
END_TEST

/* ---- what the guest wrote ---- */

START_TEST(rings_no_device_could_serve_are_refused)
{
	static const struct net_ring bad[] = {
		{.index = 4, .size = 256, .desc = 0, .avail = 0x4000, .used = 0x8000},
		{.index = 0, .size = 0, .desc = 0, .avail = 0x4000, .used = 0x8000},
		{.index = 0, .size = 100, .desc = 0, .avail = 0x4000, .used = 0x8000},
		{.index = 0, .size = 256, .desc = 8, .avail = 0x4000, .used = 0x8000},
		{.index = 0, .size = 256, .desc = 0, .avail = 0x4001, .used = 0x8000},
		{.index = 0, .size = 256, .desc = 0, .avail = 0x4000, .used = 0x8002},
		{.index = 0, .size = 256, .desc = 4 * MIB - 16, .avail = 0x4000, .used = 0x8000},
		{.index = 0, .size = 256, .desc = 0, .avail = 4 * MIB - 2, .used = 0x8000},
		{.index = 0, .size = 256, .desc = 0, .avail = 0x4000, .used = UINT64_MAX - 3},
		{.index = 0, .size = 256, .desc = UINT64_MAX - 15, .avail = 0, .used = 0},
	};
	struct vhost_user_config cfg = config();
	struct net_ring r = bad[_i];
	struct net_start s = {.features = 1ull << 32, .n = 1, .pairs = 1, .ring = &r};

	create(&cfg);
	ck_assert_int_lt(be->ops->start(be, &s, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "ring"));
}
END_TEST

/* ---- the socket's place ---- */

START_TEST(a_dead_processs_socket_is_replaced_and_ours_removed)
{
	struct vhost_user_config cfg = config();

	fd_close(peer_listen(path)); /* the file stays */
	ck_assert_int_eq(access(path, F_OK), 0);
	create(&cfg);
	net_backend_destroy(be);
	be = NULL;
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(a_socket_in_use_is_refused_and_its_owner_named)
{
	struct vhost_user_config cfg = config();
	int l = peer_listen(path);
	char pid[32];

	snprintf(pid, sizeof(pid), "process %d", getpid());
	ck_assert_int_eq(vhost_user_create(&cfg, &err, &be), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(err.text, pid));
	ck_assert_ptr_nonnull(strstr(err.text, path));
	ck_assert_int_eq(access(path, F_OK), 0);
	fd_close(l);
}
END_TEST

START_TEST(a_dead_socket_of_another_user_is_left_alone)
{
	struct vhost_user_config cfg = config();

	fd_close(peer_listen(path));
	/* Only root can give it away; others have no socket of another user's to try it with. */
	if (chown(path, 65534, (gid_t)-1) < 0)
		return;
	ck_assert_int_eq(vhost_user_create(&cfg, &err, &be), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "belongs to user 65534"));
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(what_is_no_socket_is_left_alone)
{
	struct vhost_user_config cfg = config();

	fd_close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	ck_assert_int_eq(vhost_user_create(&cfg, &err, &be), -EEXIST);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	cfg.client = true;
	ck_assert_int_eq(vhost_user_create(&cfg, &err, &be), -ENOTSOCK);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_socket_that_took_our_place_is_not_removed)
{
	struct vhost_user_config cfg = config();
	int l;

	create(&cfg);
	l = peer_listen(path);
	net_backend_destroy(be);
	be = NULL;
	ck_assert_int_eq(access(path, F_OK), 0);
	fd_close(l);
}
END_TEST

START_TEST(impossible_configurations_are_refused)
{
	struct vhost_user_config cfg = config();
	const struct gmem_config open_mem = {.size = MIB, .hugepages = false};
	char longer[200];
	struct gmem *other;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[199] = '\0';
	cfg.path = longer;
	ck_assert_int_eq(vhost_user_create(&cfg, &err, &be), -ENAMETOOLONG);
	cfg.path = "/nonexistent/dir/sock";
	ck_assert_int_eq(vhost_user_create(&cfg, &err, &be), -ENOENT);
	cfg.path = "";
	ck_assert_int_eq(vhost_user_create(&cfg, &err, &be), -EINVAL);
	cfg = config();
	cfg.pairs = 0;
	ck_assert_int_eq(vhost_user_create(&cfg, &err, &be), -EINVAL);
	cfg.pairs = NET_MAX_PAIRS + 1;
	ck_assert_int_eq(vhost_user_create(&cfg, &err, &be), -EINVAL);
	/* Where the file gives huge pages it is no memfd and cannot be sealed. */
	ck_assert_int_eq(gmem_create(&open_mem, &err, &other), 0);
	cfg = config();
	cfg.mem = other;
	if (vhost_user_create(&cfg, &err, &be) == 0) {
		net_backend_destroy(be);
		be = NULL;
	} else {
		ck_assert_ptr_nonnull(strstr(err.text, "not sealed"));
	}
	gmem_destroy(other);
}
END_TEST

/* ---- faults ---- */

START_TEST(creation_that_fails_leaves_nothing)
{
	struct vhost_user_config cfg = config();
	unsigned int before = fds_open();

	for (long n = 0;; n++) {
		int r;

		fault_in = n;
		r = vhost_user_create(&cfg, &err, &be);
		if (fault_in >= 0) {
			fault_in = -1;
			ck_assert_int_eq(r, 0);
			ck_assert_int_ge(n, 5);
			return;
		}
		fault_in = -1;
		/* accept4() may have been the one: that is no failure of creation. */
		if (r == 0)
			net_backend_destroy(be);
		be = NULL;
		ck_assert_uint_eq(fds_open(), before);
		ck_assert_int_eq(access(path, F_OK), -1);
	}
}
END_TEST

START_TEST(a_session_that_fails_anywhere_is_followed_by_one_that_works)
{
	struct vhost_user_config cfg = config();
	struct peer_config can = good;
	unsigned int before = fds_open();
	long n = 0;

	can.protocol |= 1ull << VU_PF_INFLIGHT_SHMFD;
	/* The peer's own calls are among those that fail: it dies then, as good a fault. */
	/* Where the fault comes too late for a session that was quick, the next one is tried. */
	for (bool through = false; !through || n < 60; n++) {
		struct peer *p;

		create(&cfg);
		start(2, 0);
		p = peer_new(&can);
		fault_in = n;
		for (int i = 0; i < 2500 && !stats().running && !p->over; i++)
			usleep(1000);
		through = fault_in >= 0;
		fault_in = -1;
		peer_destroy(p);
		p = peer_new(&can);
		UNTIL(stats().running);
		net_backend_destroy(be);
		peer_destroy(p);
		ck_assert_uint_eq(fds_open(), before);
		ck_assert_int_lt(n, 1000);
	}
	be = NULL;
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user");
	TCase *tc = tcase_create("front end");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, the_back_end_gets_memory_rings_doorbells_and_interrupts);
	tcase_add_loop_test(
		tc, what_the_first_back_end_can_do_is_offered, 0, (int)ARRAY_SIZE(offers));
	tcase_add_test(tc, without_a_back_end_the_guest_gets_what_all_can_do);
	tcase_add_test(tc, waiting_for_the_first_back_end_can_be_given_up);
	tcase_add_test(tc, a_back_end_of_the_oldest_kind_is_served);
	tcase_add_test(tc, the_mtu_is_told_to_who_can_be_told);
	tcase_add_test(tc, stopping_returns_where_the_back_end_is);
	tcase_add_test(tc, stopping_without_a_back_end_returns_where_the_rings_are);
	tcase_add_test(tc, interrupts_follow_the_guests_vectors);
	tcase_add_test(tc, queue_pairs_are_switched_on_and_off);
	tcase_add_test(tc, the_next_back_end_goes_on_where_the_used_ring_ends);
	tcase_add_test(tc, a_guest_that_does_not_announce_itself_is_announced);
	tcase_add_test(tc, a_ring_the_back_end_gives_up_needs_a_reset);
	tcase_add_loop_test(tc, the_guests_reset_is_passed_on, 0, 2);
	tcase_add_test(tc, the_next_back_end_goes_on_where_the_packed_ring_says);
	tcase_add_test(tc, a_packed_ring_that_does_not_tell_needs_a_reset);
	tcase_add_test(tc, packed_rings_are_checked_as_such);
	tcase_add_test(tc, the_link_goes_down_when_the_pause_is_long);
	tcase_add_test(tc, a_client_finds_a_back_end_that_comes_late_and_comes_back);
	tcase_add_test(tc, what_was_in_flight_is_handed_to_the_next_back_end);
	tcase_add_test(tc, a_back_end_that_lacks_what_the_guest_uses_is_refused_by_name);
	tcase_add_test(tc, a_back_end_with_too_few_queues_is_refused);
	tcase_add_loop_test(tc, an_inflight_region_that_is_none_is_refused, 0, 3);
	tcase_add_loop_test(tc, wrong_answers_cost_the_connection_and_nothing_else, 0,
		(MISCHIEFS - 1) * (int)ARRAY_SIZE(answered));
	tcase_add_test(tc, a_message_nobody_asked_for_costs_the_connection);
	tcase_add_test(tc, a_hung_back_end_does_not_hold_the_guest);
	tcase_add_test(tc, a_back_end_that_fills_our_eventfds_does_not_hold_us);
	tcase_add_test(tc, a_back_end_that_trickles_does_not_hold_us);
	tcase_add_loop_test(tc, a_back_end_that_talks_without_end_is_dropped, 0, 2);
	tcase_add_test(tc, a_flood_of_bad_connections_is_paced);
	tcase_add_loop_test(tc, rings_no_device_could_serve_are_refused, 0, 10);
	tcase_add_test(tc, a_dead_processs_socket_is_replaced_and_ours_removed);
	tcase_add_test(tc, a_socket_in_use_is_refused_and_its_owner_named);
	tcase_add_test(tc, a_dead_socket_of_another_user_is_left_alone);
	tcase_add_test(tc, what_is_no_socket_is_left_alone);
	tcase_add_test(tc, a_socket_that_took_our_place_is_not_removed);
	tcase_add_test(tc, impossible_configurations_are_refused);
	tcase_add_test(tc, creation_that_fails_leaves_nothing);
	tcase_add_test(tc, a_session_that_fails_anywhere_is_followed_by_one_that_works);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
