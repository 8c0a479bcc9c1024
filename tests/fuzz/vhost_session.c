// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A vhost-user session fed with messages. Input: steps of one message each, most of them nearly right, so
 * that rings do start; some raw bytes. At each step: a ring that runs lies in shared memory as a whole
 * and has a number and a size there are, the datapath was paused and resumed in turn, whoever is refused
 * is told why, and the next session begins. At the end nothing runs, nothing is mapped and no descriptor is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fuzz/fuzz_check.h"
#include "vswitch/vhost_session.h"

#define UVA   0x7f0000000000ull
#define MEM   0x40000u
#define PAIRS 2u

struct input {
	const uint8_t *data;
	size_t size;
};

static uint8_t byte(struct input *in)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++;
}

static uint64_t word(struct input *in)
{
	static const uint64_t edges[] = {0, 1, 16, 256, 0x1000, MEM, MEM - 16, UVA, UVA + 0x1000,
		UVA + MEM, 0x7fffffff, 0xffffffff, 1ull << 47, 1ull << 63, ~0ull - 4095, ~0ull};
	uint8_t b = byte(in);

	return b < 224 ? edges[b % 16] : edges[b % 16] + byte(in) - 128;
}

static int depth;

static void on_pause(void *ctx)
{
	CHECK(depth++ == 0);
}

static void on_resume(void *ctx)
{
	CHECK(--depth == 0);
}

static void on_changed(void *ctx)
{
	CHECK(depth == 1);
}

static void on_announce(void *ctx, uint64_t mac)
{
	CHECK(mac && !(mac >> 40 & 1));
}

static void rings_check(const struct vhost_session *s)
{
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++) {
		const struct vring_dev *r = &s->dev[i];
		uint64_t len[3];
		const uint8_t *at[3] = {
			(uint8_t *)r->desc, (uint8_t *)r->avail, (uint8_t *)r->used};

		if (!vring_running(r))
			continue;
		CHECK(i < PAIRS * 2 && r->size && r->size <= VRING_SIZE_MAX);
		vring_extent(s->features, r->size, &len[0], &len[1], &len[2]);
		for (unsigned int k = 0; k < 3; k++) {
			bool inside = false;

			for (unsigned int m = 0; m < s->mem.vmem.nr; m++) {
				const struct vmem_region *v = &s->mem.vmem.regions[m];

				inside |= at[k] >= v->hva && at[k] + len[k] <= v->hva + v->size;
			}
			CHECK(inside);
		}
	}
}

/* One message as a front end might send it, with what the input changes. Returns its size. */
static size_t message_make(struct input *in, uint32_t m[80], unsigned int *ret_fds)
{
	static const uint8_t usual[] = {VHOST_SET_FEATURES, VHOST_SET_MEM_TABLE,
		VHOST_SET_VRING_NUM, VHOST_SET_VRING_ADDR, VHOST_SET_VRING_KICK,
		VHOST_SET_VRING_CALL, VHOST_SET_VRING_BASE, VHOST_GET_VRING_BASE,
		VHOST_SET_VRING_ENABLE, VHOST_SET_PROTOCOL_FEATURES, VHOST_SET_MEM_TABLE,
		VHOST_SET_VRING_KICK, VHOST_GET_INFLIGHT_FD, VHOST_SET_INFLIGHT_FD,
		VHOST_ADD_MEM_REG, VHOST_REM_MEM_REG, VHOST_SET_STATUS, VHOST_RESET_DEVICE,
		VHOST_SEND_RARP, VHOST_NET_SET_MTU, VHOST_GET_STATUS};
	struct vhost_msg msg = {0};
	uint8_t kind = byte(in), ring = byte(in) & 3, change = byte(in);

	/* What starts rings comes often; what is not supported ends the session. */
	msg.request = kind < 32 ? kind : usual[kind % (sizeof(usual) / sizeof(usual[0]))];
	*ret_fds = 0;
	msg.size = 8;
	switch (msg.request) {
	case VHOST_SET_FEATURES:
		msg.u64 = 1ull << 32 | (uint64_t)(change & 1) << 34 |
			  (uint64_t)(change >> 1 & 1) << 30;
		break;
	case VHOST_SET_PROTOCOL_FEATURES: msg.u64 = VHOST_PROTOCOL_FEATURES; break;
	case VHOST_SET_MEM_TABLE:
		msg.mem.regions = 1 + (change & 3) % 2;
		msg.mem.region[0] = (struct vhost_region){0, MEM / 2, UVA, 0};
		msg.mem.region[1] = (struct vhost_region){MEM / 2, MEM / 2, UVA + MEM / 2, MEM / 2};
		msg.size = 8 + 32 * msg.mem.regions;
		*ret_fds = msg.mem.regions;
		break;
	case VHOST_ADD_MEM_REG:
	case VHOST_REM_MEM_REG:
		msg.reg.region = (struct vhost_region){MEM, 0x1000, UVA + MEM, 0x1000};
		msg.size = 40;
		*ret_fds = 1;
		break;
	case VHOST_SET_VRING_ADDR:
		msg.addr = (struct vhost_ring_addr){.index = ring,
			.desc = UVA + 0x4000u * ring,
			.avail = UVA + 0x4000u * ring + 0x2000,
			.used = UVA + 0x4000u * ring + 0x3000};
		msg.size = 40;
		break;
	case VHOST_SET_VRING_NUM:
		msg.state = (struct vhost_ring_state){ring, 1u << change % 9};
		break;
	case VHOST_SET_VRING_BASE:
		msg.state = (struct vhost_ring_state){ring, change & 8 ? 0x8000 : 0};
		break;
	case VHOST_GET_VRING_BASE: msg.state = (struct vhost_ring_state){ring, 0}; break;
	case VHOST_SET_VRING_ENABLE: msg.state = (struct vhost_ring_state){ring, change & 1}; break;
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		msg.u64 = ring;
		*ret_fds = 1;
		break;
	case VHOST_GET_INFLIGHT_FD:
	case VHOST_SET_INFLIGHT_FD:
		msg.inflight = (struct vhost_inflight_desc){
			.size = MEM, .queues = PAIRS * 2, .queue_size = 256};
		msg.size = 24;
		*ret_fds = msg.request == VHOST_SET_INFLIGHT_FD;
		break;
	case VHOST_SEND_RARP: msg.u64 = 2; break;
	case VHOST_NET_SET_MTU: msg.u64 = 1000; break;
	case VHOST_SET_STATUS: msg.u64 = change & 15; break;
	default: msg.size = 0; break;
	}
	if (change >= 248) { /* a wrong number somewhere */
		uint64_t v = word(in);
		size_t at = byte(in) % 72u;

		memcpy(msg.bytes + at, &v, sizeof(v));
	} else if (change >= 246) {
		msg.size = (uint32_t)word(in);
	} else if (change >= 242) {
		*ret_fds = byte(in) % 10;
	}
	m[0] = msg.request;
	m[1] = VHOST_VERSION | (change & 4 ? VHOST_FLAG_NEED_REPLY : 0);
	m[2] = msg.size;
	memcpy(m + 3, msg.bytes, sizeof(msg.bytes));
	return VHOST_HEADER_SIZE + (msg.size < VHOST_PAYLOAD_MAX ? msg.size : VHOST_PAYLOAD_MAX);
}

static void message_send(int sock, const void *m, size_t len, int fd, unsigned int n)
{
	struct iovec iov = {(void *)(uintptr_t)m, len};
	union {
		char buf[CMSG_SPACE(sizeof(int) * 10)];
		struct cmsghdr align;
	} control = {0};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n) {
		struct cmsghdr *c;

		h.msg_control = control.buf;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		for (unsigned int i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
	}
	(void)!sendmsg(sock, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void answers_drop(int sock)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * 4)];
		struct cmsghdr align;
	} control;
	uint8_t buf[64] = {0};

	for (;;) {
		struct iovec iov = {buf, sizeof(buf)};
		struct msghdr h = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.buf,
			.msg_controllen = sizeof(control.buf)};
		int fd;

		if (recvmsg(sock, &h, MSG_DONTWAIT) <= 0)
			return;
		if (CMSG_FIRSTHDR(&h)) {
			memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(fd));
			close(fd);
		}
	}
}

static int fd_count(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void session_begin(struct vhost_session *s, int *ret_peer, int mem)
{
	const struct vhost_mem_table t = {.regions = 1, .region = {{0, MEM, UVA, 0}}};
	const uint64_t features = 1ull << 32 | 1ull << 30, protocol = VHOST_PROTOCOL_FEATURES;
	uint32_t m[80] = {VHOST_SET_PROTOCOL_FEATURES, VHOST_VERSION, 8};
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	vhost_session_open(s, &pair[0]);
	*ret_peer = pair[1];
	memcpy(m + 3, &protocol, sizeof(protocol));
	message_send(pair[1], m, 20, -1, 0);
	m[0] = VHOST_SET_FEATURES;
	memcpy(m + 3, &features, sizeof(features));
	message_send(pair[1], m, 20, -1, 0);
	m[0] = VHOST_SET_MEM_TABLE;
	m[2] = 8 + 32;
	memcpy(m + 3, &t, m[2]);
	message_send(pair[1], m, 12 + 8 + 32, mem, 1);
	CHECK(vhost_session_serve(s, 3, NULL) == 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vhost_session_ops ops = {on_pause, on_resume, on_changed, on_announce};
	static const struct vhost_offer offer = {.features = VRING_FEATURES | 1ull << 30,
		.protocol = VHOST_PROTOCOL_FEATURES,
		.pairs = PAIRS,
		.mtu = 1500};
	static struct vring_dev dev[VHOST_RINGS_MAX];
	struct input in = {data, size < 1024 ? size : 1024};
	struct vhost_session s;
	int before = fd_count(), peer, mem = memfd_create("guest", MFD_CLOEXEC);
	int event = eventfd(0, EFD_CLOEXEC);

	CHECK(ftruncate(mem, MEM) == 0);
	memset(dev, 0, sizeof(dev));
	CHECK(vhost_session_init(&s, &offer, &ops, NULL, dev, NULL) == 0);
	session_begin(&s, &peer, mem);
	while (in.size) {
		uint32_t m[80] = {0};
		unsigned int fds;
		size_t len = message_make(&in, m, &fds);
		bool events = m[0] >= VHOST_SET_VRING_KICK && m[0] <= VHOST_SET_VRING_ERR;
		struct err e = {0};
		int r;

		message_send(peer, m, len, events ? event : mem, fds);
		r = vhost_session_serve(&s, 100, &e);
		CHECK(depth == 0 && (r >= 0 || e.text[0]));
		rings_check(&s);
		answers_drop(peer);
		if (r >= 0)
			continue;
		vhost_session_close(&s);
		CHECK(!vhost_rings_running(&s) && !s.mem.vmem.nr && !s.inflight.map);
		close(peer);
		session_begin(&s, &peer, mem);
	}
	vhost_session_close(&s);
	CHECK(!vhost_rings_running(&s) && !s.mem.vmem.nr && !s.inflight.map);
	vhost_session_finish(&s);
	answers_drop(peer);
	close(peer);
	close(event);
	close(mem);
	CHECK(fd_count() == before);
	return 0;
}
