// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The tap back end with this machine's kernel, in a network namespace of its own: a guest's rings
 * on one side, the kernel's own ARP and a raw socket on the other. Skipped without the right to
 * make a tap.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "common/cleanup.h"
#include "devices/virtio.h"

#define MEM  0x400000u
#define SIZE 64u
#define TAP  "viatap"

enum { DESC = 0x1000, AVAIL = 0x2000, USED = 0x3000, STEP = 0x4000, BUFS = 0x100000 };

static struct gmem *mem;
static struct net_backend *be;
static int kick[4], call[4];
static uint16_t seen[4];
static _Atomic bool link_up;
static unsigned int broken;

static void on_link(void *ctx, bool up)
{
	link_up = up;
}

static void on_announce(void *ctx)
{
}

static void on_broken(void *ctx, unsigned int index, const char *why)
{
	broken++;
}

static const struct net_events events = {on_link, on_announce, on_broken, NULL};

static void tap_up(void)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_name = TAP};
	struct sockaddr_in *a = (struct sockaddr_in *)&ifr.ifr_addr;

	ck_assert_int_ge(s, 0);
	a->sin_family = AF_INET;
	a->sin_addr.s_addr = htonl(0xc0000201);
	ck_assert_int_eq(ioctl(s, SIOCSIFADDR, &ifr), 0);
	a->sin_addr.s_addr = htonl(0xffffff00);
	ck_assert_int_eq(ioctl(s, SIOCSIFNETMASK, &ifr), 0);
	ifr.ifr_flags = IFF_UP;
	ck_assert_int_eq(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
	close(s);
}

static void tap_flags(short flags)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_name = TAP};

	ifr.ifr_flags = flags;
	ck_assert_int_eq(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
	close(s);
}

static bool link_becomes(bool up)
{
	for (unsigned int i = 0; i < 15000 && link_up != up; i++)
		usleep(2000);
	return link_up == up;
}

static void setup(void)
{
	const struct gmem_config cfg = {.size = MEM};
	struct err e = {0};

	ck_assert_int_eq(gmem_create(&cfg, &e, &mem), 0);
	for (unsigned int i = 0; i < 4; i++) {
		kick[i] = eventfd(0, EFD_NONBLOCK);
		call[i] = eventfd(0, EFD_NONBLOCK);
		seen[i] = 0;
	}
	broken = 0;
}

static void open_tap(unsigned int pairs)
{
	struct err e = {0};

	ck_assert_msg(net_tap_create(TAP, pairs, mem, &e, &be) == 0, "%s", e.text);
	be->ops->attach(be, &events);
	ck_assert(!link_up);
	tap_up();
	for (unsigned int i = 0; i < pairs * 2; i++)
		be->ops->set_call(be, i, call[i]);
}

static void teardown(void)
{
	net_backend_destroy(be);
	be = NULL;
	for (unsigned int i = 0; i < 4; i++) {
		close(kick[i]);
		close(call[i]);
	}
	gmem_destroy(mem);
}

static void start(unsigned int rings, unsigned int pairs, uint64_t features)
{
	struct net_ring ring[4];
	struct net_start s = {.features = features, .n = rings, .pairs = pairs, .ring = ring};
	struct err e = {0};

	for (unsigned int i = 0; i < rings; i++)
		ring[i] = (struct net_ring){
			.index = i,
			.size = SIZE,
			.desc = DESC + i * STEP,
			.avail = AVAIL + i * STEP,
			.used = USED + i * STEP,
			.kick_fd = kick[i],
		};
	ck_assert_msg(be->ops->start(be, &s, &e) == 0, "%s", e.text);
}

static void offer(unsigned int q, unsigned int i, uint32_t len, bool writable)
{
	struct vring_desc *d = gmem_hva(mem, DESC + q * STEP, 1);
	struct vring_avail *a = gmem_hva(mem, AVAIL + q * STEP, 1);

	d[i] = (struct vring_desc){
		BUFS + q * 0x80000 + i * 0x1000, len, writable ? VRING_DESC_F_WRITE : 0, 0};
	a->ring[a->idx % SIZE] = (uint16_t)i;
	__atomic_store_n(&a->idx, (uint16_t)(a->idx + 1), __ATOMIC_RELEASE);
}

static uint8_t *buf(unsigned int q, unsigned int i)
{
	return gmem_hva(mem, BUFS + q * 0x80000 + i * 0x1000, 0x1000);
}

/* The next used buffer, waiting for its interrupt. */
static int next_used(unsigned int q, uint32_t *ret_len)
{
	struct vring_used *u = gmem_hva(mem, USED + q * STEP, 1);

	for (unsigned int i = 0; i < 400; i++) {
		struct pollfd p = {.fd = call[q], .events = POLLIN};
		uint64_t n;

		if (__atomic_load_n(&u->idx, __ATOMIC_ACQUIRE) != seen[q]) {
			if (ret_len)
				*ret_len = u->ring[seen[q] % SIZE].len;
			return (int)u->ring[seen[q]++ % SIZE].id;
		}
		if (poll(&p, 1, 50) > 0)
			(void)!read(call[q], &n, sizeof(n));
	}
	return -1;
}

/* Who has 192.0.2.1? Tell 192.0.2.2 */
static const uint8_t arp[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0, 0, 9, 8, 6, 0,
	1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 0, 0, 9, 192, 0, 2, 2, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1};

static bool arp_answered(unsigned int q)
{
	uint32_t len;
	int i;

	/* The kernel has things of its own to say on a new interface. */
	while ((i = next_used(q, &len)) >= 0) {
		const uint8_t *b = buf(q, (unsigned int)i) + 12;

		if (len >= 12 + 42 && b[12] == 8 && b[13] == 6 && b[21] == 2)
			return !memcmp(b, arp + 6, 6) && !memcmp(b + 28, arp + 38, 4);
	}
	return false;
}

/* Who found the ring empty waits to be told. */
static void receive_into(unsigned int q)
{
	for (unsigned int i = 0; i < SIZE; i++)
		offer(q, i, 0x1000, true);
	eventfd_write(kick[q], 1);
}

static void arp_ask(unsigned int q)
{
	memset(buf(q, 0), 0, 12);
	memcpy(buf(q, 0) + 12, arp, sizeof(arp));
	offer(q, 0, 12 + sizeof(arp), false);
	eventfd_write(kick[q], 1);
}

START_TEST(the_kernel_answers_the_guest)
{
	open_tap(1);
	start(2, 1, 0);
	receive_into(0);
	arp_ask(1);
	ck_assert_int_eq(next_used(1, NULL), 0);
	ck_assert(arp_answered(0));
}
END_TEST

/* The guest sees its cable pulled when the host takes the interface down. */
START_TEST(the_link_is_that_of_the_interface)
{
	open_tap(1);
	start(2, 1, 0);
	ck_assert(link_up);
	tap_flags(0);
	ck_assert(link_becomes(false));
	tap_flags(IFF_UP);
	ck_assert(link_becomes(true));
	/* Also what happened while no driver ran. */
	be->ops->stop(be, NULL);
	tap_flags(0);
	start(2, 1, 0);
	ck_assert(!link_up);
	tap_flags(IFF_UP);
	ck_assert(link_becomes(true));
}
END_TEST

/* What a guest switches off the kernel finishes; what it did not take cannot be switched on. */
START_TEST(offloads_can_be_switched)
{
	const uint64_t csum = 1ull << VIRTIO_NET_F_GUEST_CSUM;
	const uint64_t tso = 1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6;

	open_tap(2);
	start(4, 2, csum | tso | 1ull << VIRTIO_NET_F_GUEST_ECN);
	ck_assert_int_eq(be->ops->set_offloads(be, 0), 0);
	ck_assert_int_eq(be->ops->set_offloads(be, csum), 0);
	ck_assert_int_eq(be->ops->set_offloads(be, csum | tso), 0);
	ck_assert_int_eq(be->ops->set_offloads(be, tso), -EINVAL);
}
END_TEST

/* Every stop gives back where the rings are; a start from there loses nothing. */
START_TEST(stop_tells_where_to_go_on)
{
	uint16_t last[2] = {99, 99};

	open_tap(1);
	start(2, 1, 0);
	for (unsigned int i = 0; i < 3; i++) {
		arp_ask(1);
		ck_assert_int_eq(next_used(1, NULL), 0);
	}
	be->ops->stop(be, last);
	ck_assert_uint_eq(last[1], 3);
	be->ops->stop(be, last); /* harmless */
}
END_TEST

/* A frame of 64 KiB, as the kernel hands it to a guest that takes TSO. */
START_TEST(segmentation_is_left_to_who_can)
{
	struct net_backend_stats s;
	uint64_t f = 1ull << VIRTIO_NET_F_MRG_RXBUF | 1ull << VIRTIO_NET_F_GUEST_CSUM |
		     1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_CSUM |
		     1ull << VIRTIO_NET_F_HOST_TSO4;
	struct virtio_net_hdr_v1 *h;
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	uint8_t *ip, frame[2048];
	int sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	struct pollfd p = {.fd = sock, .events = POLLIN};
	ssize_t n = 0;

	open_tap(1);
	a.sll_ifindex = (int)if_nametoindex(TAP);
	ck_assert_int_eq(bind(sock, (struct sockaddr *)&a, sizeof(a)), 0);
	start(2, 1, f);
	/* A TCP segment of 3000 bytes in pieces of 1000: the kernel takes it whole. */
	h = (struct virtio_net_hdr_v1 *)buf(1, 0);
	memset(h, 0, 12 + 3054);
	h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	h->gso_size = 1000;
	h->hdr_len = 54;
	h->csum_start = 34;
	h->csum_offset = 16;
	memcpy(buf(1, 0) + 12, arp, 12);
	ip = buf(1, 0) + 12 + 12;
	ip[0] = 8;
	ip += 2;
	ip[0] = 0x45;
	ip[2] = 3040 >> 8;
	ip[3] = 3040 & 0xff;
	ip[8] = 64;
	ip[9] = 6;
	memcpy(ip + 12, "\300\0\2\2\300\0\2\1", 8);
	ip[20 + 12] = 0x50;
	offer(1, 0, 12 + 3054, false);
	eventfd_write(kick[1], 1);
	ck_assert_int_eq(next_used(1, NULL), 0);
	be->ops->stats(be, &s);
	ck_assert_uint_eq(s.tx_dropped, 0);
	ck_assert_uint_eq(s.tx_packets, 1);
	for (unsigned int i = 0; i < 20 && poll(&p, 1, 1000) > 0; i++) {
		n = recv(sock, frame, sizeof(frame), MSG_TRUNC);
		if (n == 3054)
			break;
	}
	ck_assert_int_eq(n, 3054);
	close(sock);
}
END_TEST

START_TEST(several_queues_and_how_many_are_used)
{
	open_tap(2);
	start(4, 1, 0);
	receive_into(0);
	receive_into(2);
	arp_ask(1);
	ck_assert(arp_answered(0));
	/* The second pair sleeps until it is asked for. */
	arp_ask(3);
	usleep(50000);
	ck_assert_uint_eq(((struct vring_used *)gmem_hva(mem, USED + 3 * STEP, 1))->idx, 0);
	ck_assert_int_eq(be->ops->set_pairs(be, 2), 0);
	ck_assert_int_eq(next_used(3, NULL), 0);
	ck_assert_int_eq(be->ops->set_pairs(be, 3), -EINVAL);
	ck_assert_int_eq(be->ops->set_pairs(be, 1), 0);
	arp_ask(1);
	ck_assert(arp_answered(0));
}
END_TEST

static const struct {
	const char *name;
	unsigned int pairs;
	int want;
} refused[] = {
	{"", 1, -EINVAL},
	{"a/b", 1, -EINVAL},
	{"tap%d", 1, -EINVAL},
	{"a-name-far-too-long", 1, -EINVAL},
	{"lo", 1, -EINVAL},
	{TAP, 0, -EINVAL},
	{TAP, NET_MAX_PAIRS + 1, -EINVAL},
};

START_TEST(what_cannot_be_a_tap_is_refused)
{
	struct err e = {0};

	ck_assert_int_eq(net_tap_create(refused[_i].name, refused[_i].pairs, mem, &e, &be),
		refused[_i].want);
	ck_assert_uint_gt(strlen(e.text), 10);
	be = NULL;
}
END_TEST

START_TEST(a_tap_that_is_taken_is_refused)
{
	struct net_backend *two;
	struct err e = {0};

	open_tap(1);
	ck_assert_int_eq(net_tap_create(TAP, 1, mem, &e, &two), -EBUSY);
	ck_assert_ptr_nonnull(strstr(e.text, "another process"));
	ck_assert_int_eq(net_tap_create(TAP, 2, mem, &e, &two), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_tap");
	TCase *t = tcase_create("net_tap");
	SRunner *sr;
	int failed;

	if (unshare(CLONE_NEWNET) < 0) {
		printf("skipped: a network namespace: %s\n", strerror(errno));
		return 77;
	}
	if (access("/dev/net/tun", R_OK | W_OK) < 0) {
		printf("skipped: /dev/net/tun: %s\n", strerror(errno));
		return 77;
	}
	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_kernel_answers_the_guest);
	tcase_add_test(t, the_link_is_that_of_the_interface);
	tcase_add_test(t, offloads_can_be_switched);
	tcase_add_test(t, stop_tells_where_to_go_on);
	tcase_add_test(t, segmentation_is_left_to_who_can);
	tcase_add_test(t, several_queues_and_how_many_are_used);
	tcase_add_loop_test(t, what_cannot_be_a_tap_is_refused, 0, (int)ARRAY_SIZE(refused));
	tcase_add_test(t, a_tap_that_is_taken_is_refused);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
