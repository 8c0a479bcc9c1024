// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest that changes descriptors, lengths, indexes and headers while they are read: another
 * process with the same memory, as a guest is. What reaches the port was checked and does not
 * change any more; whatever happens to a ring, it stays inside guest memory and can be reset.
 */
#include <check.h>
#include <endian.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "devices/net_rings.h"

#define MEM    0x100000u
#define SIZE   32u
#define INDIR  (1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT  (1ull << VIRTIO_RING_F_EVENT_IDX)
#define PACKED (1ull << VIRTIO_F_RING_PACKED)
#define MERGE  (1ull << VIRTIO_NET_F_MRG_RXBUF)
#define OFFLOADS                                                      \
	(1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 | \
		1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4)
#define ROUND_MS 600
#define BUFS     2u /* few, so that each is changed often */

enum { RING = 0x1000, STEP = 0x3000, AVAIL = 0x1000, USED = 0x2000, TABLE = 0x8000, BUF = 0x10000 };

static struct gmem *mem;
static struct net_rings *rings;
static uint64_t features;
static uint8_t *low, *high; /* of guest memory */
static int kick[2], port_fd;
static _Atomic unsigned int frames, wrong, breaks;
static pid_t guest;

/* ---- the port: it must never see what was not checked ---- */

static int port_send(void *ctx, unsigned int pair, const struct virtio_net_hdr_v1 *hdr,
	const struct iovec *iov, unsigned int n)
{
	struct virtio_net_hdr_v1 again = *hdr;
	size_t len = 0;
	unsigned int sum = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint8_t *p = iov[i].iov_base;

		if (p < low || p > high || iov[i].iov_len > (size_t)(high - p)) {
			wrong++;
			return -1;
		}
		len += iov[i].iov_len;
		if (iov[i].iov_len)
			sum += p[0] + p[iov[i].iov_len - 1];
	}
	/* Twice: our copy stays as it was found good. */
	for (unsigned int i = 0; i < 50; i++) {
		if (!net_hdr_ok(hdr, features, len, true) || memcmp(&again, hdr, sizeof(again)))
			wrong++;
	}
	frames++;
	return sum == UINT32_MAX ? -1 : 0;
}

static ssize_t port_recv(void *ctx, unsigned int pair, void *buf, size_t len)
{
	static const size_t lens[] = {60, 1514, 9000, 65000};

	memset(buf, 0, len);
	return (ssize_t)(NET_HDR_LEN + lens[frames % ARRAY_SIZE(lens)]);
}

static int port_poll(void *ctx, unsigned int pair)
{
	return port_fd;
}

static const struct net_port_ops port = {port_send, port_recv, port_poll};

static void on_broken(void *ctx, unsigned int index, const char *why)
{
	breaks++;
}

static void on_link(void *ctx, bool up)
{
}

static void on_announce(void *ctx)
{
}

static const struct net_events events = {on_link, on_announce, on_broken, NULL};

/* ---- the guest ---- */

static uint64_t next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static uint64_t pick(uint64_t *s)
{
	static const uint64_t values[] = {0, 1, 12, 13, 72, 112, 0xfff0, 0xffff, MEM - 1, MEM, BUF,
		BUF + 100, TABLE, 16, 64, 0xffffffff, UINT64_MAX, 0x8000, 0x80, 0x8080};

	return values[next(s) % ARRAY_SIZE(values)];
}

static void header_flip(uint64_t *s)
{
	struct virtio_net_hdr_v1 *h =
		(struct virtio_net_hdr_v1 *)gmem_hva(mem, BUF + next(s) % BUFS * 0x800, 12);

	*(volatile uint8_t *)&h->flags = next(s) & 1;
	*(volatile uint8_t *)&h->gso_type = next(s) & 1;
	*(volatile uint16_t *)&h->gso_size = (uint16_t)(next(s) & 1 ? 1000 : 0);
	*(volatile uint16_t *)&h->csum_start = (uint16_t)(next(s) & 1 ? 34 : 0xfff0);
	*(volatile uint16_t *)&h->csum_offset = (uint16_t)(next(s) & 1 ? 16 : 0xfff0);
}

static void desc_flip(uint64_t *s, volatile struct vring_desc *d)
{
	switch (next(s) % 8) {
	case 0: d->addr = pick(s); break;
	case 1: d->len = (uint32_t)pick(s); break;
	case 2: d->next = (uint16_t)(next(s) % SIZE); break;
	case 3: d->flags = (uint16_t)(next(s) & 7); break;
	default:
		/* Mostly well, or nothing would be read beyond the first one. */
		d->addr = BUF + next(s) % BUFS * 0x800;
		d->len = 112;
		if (!(features & PACKED))
			d->flags = 0;
	}
}

/* Rings as they should be, and headers and lengths that change all the time. */
static void guest_of_headers(uint64_t s)
{
	struct vring_desc *d = gmem_hva(mem, RING + STEP, SIZE * 16);
	struct vring_avail *a = gmem_hva(mem, RING + STEP + AVAIL, 6 + SIZE * 2);
	struct vring_used *u = gmem_hva(mem, RING + STEP + USED, 6 + SIZE * 8);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint16_t i = 0; i < SIZE; i++) {
		d[i] = (struct vring_desc){BUF + i % BUFS * 0x800, 112, 0, 0};
		a->ring[i] = i;
	}
	for (;;) {
		uint16_t used = __atomic_load_n(&u->idx, __ATOMIC_ACQUIRE);

		__atomic_store_n(&a->idx, (uint16_t)(used + SIZE), __ATOMIC_RELEASE);
		eventfd_write(kick[1], 1);
		for (unsigned int i = 0; i < 64; i++) {
			header_flip(&s);
			*(volatile uint32_t *)&d[next(&s) % SIZE].len =
				(uint32_t)(next(&s) & 1 ? 112 : 40);
		}
	}
}

/* Anything anywhere. */
static void guest_of_chaos(uint64_t s)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		unsigned int q = next(&s) & 1;
		struct vring_desc *d = gmem_hva(mem, RING + q * STEP, SIZE * 16);
		struct vring_avail *a = gmem_hva(mem, RING + q * STEP + AVAIL, 6 + SIZE * 2);

		for (unsigned int i = 0; i < 512; i++)
			header_flip(&s);
		desc_flip(&s, &d[next(&s) % SIZE]);
		desc_flip(&s, gmem_hva(mem, TABLE + next(&s) % 64 * 16, 16));
		if (features & PACKED) {
			*(volatile uint16_t *)&d[next(&s) % SIZE].next =
				(uint16_t)(next(&s) & (VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT |
							      VRING_DESC_F_NEXT)) |
				(uint16_t)(next(&s) & 1 ? 0x80 : 0x8000);
		} else {
			*(volatile uint16_t *)&a->ring[next(&s) % SIZE] =
				(uint16_t)(next(&s) % (next(&s) % 64 ? SIZE : SIZE + 1));
			*(volatile uint16_t *)&a->idx =
				(uint16_t)(a->idx + next(&s) % (next(&s) % 512 ? 4 : 999));
		}
		eventfd_write(kick[q], 1);
	}
}

/* ---- the tests ---- */

static void setup(void)
{
	const struct gmem_config cfg = {.size = MEM, .sealed = true};
	struct err e = {0};

	log_level_set(LOG_LEVEL_ERROR);
	ck_assert_int_eq(gmem_create(&cfg, &e, &mem), 0);
	low = gmem_hva(mem, 0, MEM);
	high = low + MEM;
	for (unsigned int i = 0; i < 2; i++)
		kick[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	port_fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	frames = wrong = breaks = 0;
	ck_assert_int_eq(net_rings_create("race", mem, 1, &port, NULL, &e, &rings), 0);
	net_rings_attach(rings, &events);
}

static void teardown(void)
{
	net_rings_destroy(rings);
	gmem_destroy(mem);
	for (unsigned int i = 0; i < 2; i++)
		close(kick[i]);
	close(port_fd);
}

static void start(void)
{
	struct net_ring ring[2];
	const struct net_start s = {.features = features, .n = 2, .pairs = 1, .ring = ring};
	struct err e = {0};

	for (unsigned int i = 0; i < 2; i++)
		ring[i] = (struct net_ring){
			.index = i,
			.size = SIZE,
			.desc = RING + i * STEP,
			.avail = RING + i * STEP + AVAIL,
			.used = RING + i * STEP + USED,
			.last_avail = features & PACKED ? 0x8000 : 0,
			.kick_fd = kick[i],
		};
	/* Not the descriptors: the guest is at them. A ring begins at its index. */
	for (unsigned int i = 0; i < 2; i++) {
		struct vring_avail *a = gmem_hva(mem, ring[i].avail, 4);

		__atomic_store_n(&a->idx, 0, __ATOMIC_RELEASE);
		__atomic_store_n(
			(uint16_t *)gmem_hva(mem, ring[i].used + 2, 2), 0, __ATOMIC_RELEASE);
	}
	ck_assert_msg(net_rings_start(rings, &s, &e) == 0, "%s", e.text);
	eventfd_write(port_fd, 1);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

static void race(void (*run)(uint64_t seed), unsigned int *ret_lives)
{
	uint64_t seed = (uint64_t)time(NULL) * 2 + 1;
	unsigned int before;
	int64_t until;

	printf("seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	guest = fork();
	ck_assert_int_ge(guest, 0);
	if (!guest)
		run(seed);
	*ret_lives = 0;
	for (until = now_ms() + ROUND_MS; now_ms() < until || !*ret_lives; (*ret_lives)++) {
		before = breaks;
		start();
		while (breaks == before && now_ms() < until)
			usleep(200);
		net_rings_stop(rings, NULL);
	}
	kill(guest, SIGKILL);
	waitpid(guest, NULL, 0);
	printf("%u frames, %u rings broke\n", frames, breaks);
	ck_assert_uint_eq(wrong, 0);
}

/* 285e6b8b18: a header looked at twice is two headers. */
START_TEST(a_header_that_changes_is_read_once)
{
	unsigned int lives;

	features = OFFLOADS | (_i ? EVENT : 0);
	race(guest_of_headers, &lives);
	ck_assert_uint_gt(frames, 0);
	ck_assert_uint_eq(breaks, 0);
}
END_TEST

static const uint64_t worlds[] = {
	OFFLOADS,
	OFFLOADS | INDIR | EVENT | MERGE,
	OFFLOADS | PACKED | EVENT,
	OFFLOADS | PACKED | INDIR | MERGE,
};

START_TEST(a_ring_that_changes_stays_inside_memory)
{
	unsigned int lives;

	features = worlds[_i];
	race(guest_of_chaos, &lives);
	ck_assert_uint_gt(lives, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("virtq race");
	TCase *tc = tcase_create("race");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, a_header_that_changes_is_read_once, 0, 2);
	tcase_add_loop_test(
		tc, a_ring_that_changes_stays_inside_memory, 0, (int)ARRAY_SIZE(worlds));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
