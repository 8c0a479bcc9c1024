// SPDX-License-Identifier: GPL-2.0-or-later
/* A vhost-user session, the front end played by hand over a socket pair with memory of a memfd. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vswitch/vhost_session.h"

#define BIT(n) (1ull << (n))
#define PF     BIT(VHOST_F_PROTOCOL_FEATURES)
#define PACKED BIT(34)
#define UVA    0x7f0000000000ull
#define MEM    0x40000u
#define SIZE   16u /* of the rings */

static const struct vhost_offer offer = {
	.features = VRING_FEATURES | PF | BIT(15) | BIT(22),
	.protocol = VHOST_PROTOCOL_FEATURES,
	.pairs = 2,
	.mtu = 1500,
};

static struct vhost_session s;
static struct vring_dev dev[VHOST_RINGS_MAX];
static struct err err;
static int peer, mem_fd, fds_before;
static uint8_t *mem;
static struct {
	int depth, pauses;
	uint64_t mac;
} fake;

/* The calls that fail, from the nth on once; 0 = none. */
static unsigned int fail_at, calls;

static bool fails(void)
{
	return ++calls == fail_at;
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	if (fails()) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return __real_mmap(at, len, prot, flags, fd, offset);
}

int __real_memfd_create(const char *name, unsigned int flags);
int __wrap_memfd_create(const char *name, unsigned int flags);
int __wrap_memfd_create(const char *name, unsigned int flags)
{
	if (fails()) {
		errno = EMFILE;
		return -1;
	}
	return __real_memfd_create(name, flags);
}

static void on_pause(void *ctx)
{
	ck_assert_int_eq(fake.depth++, 0);
	fake.pauses++;
}

static void on_resume(void *ctx)
{
	ck_assert_int_eq(--fake.depth, 0);
}

static void on_changed(void *ctx)
{
	ck_assert_int_eq(fake.depth, 1);
}

static void on_announce(void *ctx, uint64_t mac)
{
	fake.mac = mac;
}

static const struct vhost_session_ops ops = {
	.pause = on_pause,
	.resume = on_resume,
	.changed = on_changed,
	.announce = on_announce,
};

static int fd_count(void)
{
	_cleanup_dir_ DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	return n;
}

static void open_peer(void)
{
	int pair[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	peer = pair[1];
	vhost_session_open(&s, &pair[0]);
	ck_assert_int_eq(pair[0], -1);
}

static void setup(void)
{
	fail_at = 0;
	fake.mac = 0;
	err = (struct err){0};
	memset(dev, 0, sizeof(dev));
	mem_fd = memfd_create("guest", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(mem_fd, MEM), 0);
	mem = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_SHARED, mem_fd, 0);
	fds_before = fd_count();
	ck_assert_int_eq(vhost_session_init(&s, &offer, &ops, NULL, dev, &err), 0);
	open_peer();
}

static void teardown(void)
{
	fail_at = 0;
	vhost_session_close(&s);
	vhost_session_finish(&s);
	peer = fd_close(peer);
	ck_assert_int_eq(fake.depth, 0);
	ck_assert_int_eq(fd_count(), fds_before);
	munmap(mem, MEM);
	fd_close(mem_fd);
}

static void again(void)
{
	vhost_session_close(&s);
	fd_close(peer);
	open_peer();
}

static int serve(void)
{
	err = (struct err){0};
	return vhost_session_serve(&s, 1000, &err);
}

/* A message with @n copies of @fd. */
static void post(uint32_t request, uint32_t flags, const void *payload, uint32_t size, int fd,
	unsigned int n)
{
	uint32_t header[3] = {request, VHOST_VERSION | flags, size};
	struct iovec iov[2] = {{header, sizeof(header)}, {(void *)(uintptr_t)payload, size}};
	union {
		char buf[CMSG_SPACE(sizeof(int) * 16)];
		struct cmsghdr align;
	} control = {0};
	struct msghdr h = {.msg_iov = iov, .msg_iovlen = 2};

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
	ck_assert_int_eq(sendmsg(peer, &h, MSG_NOSIGNAL), sizeof(header) + size);
}

static int send_u64(uint32_t request, uint64_t v)
{
	post(request, 0, &v, sizeof(v), -1, 0);
	return serve();
}

static int send_state(uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_ring_state v = {index, num};

	post(request, 0, &v, sizeof(v), -1, 0);
	return serve();
}

static int send_fd(uint32_t request, uint64_t v, int fd)
{
	post(request, 0, &v, sizeof(v), fd, fd >= 0);
	return serve();
}

static int send_addr(uint32_t index, uint64_t desc, uint64_t avail, uint64_t used)
{
	struct vhost_ring_addr a = {.index = index, .desc = desc, .avail = avail, .used = used};

	post(VHOST_SET_VRING_ADDR, 0, &a, sizeof(a), -1, 0);
	return serve();
}

static int send_mem(uint64_t gpa, uint64_t size, uint64_t user, uint64_t offset, int fd)
{
	struct vhost_mem_table t = {.regions = 1, .region[0] = {gpa, size, user, offset}};

	post(VHOST_SET_MEM_TABLE, 0, &t, 8 + 32, fd, 1);
	return serve();
}

/* The answer, which must be there: its u64, and its descriptor in *@ret_fd. */
static uint64_t answer(uint32_t request, int *ret_fd)
{
	struct {
		uint32_t request, flags, size;
		uint64_t payload[3];
	} __attribute__((packed)) reply;
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {&reply, sizeof(reply)};
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf)};
	ssize_t n = recvmsg(peer, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	ck_assert_int_ge(n, 12);
	ck_assert_uint_eq(reply.request, request);
	ck_assert_uint_eq(reply.flags, VHOST_VERSION | VHOST_FLAG_REPLY);
	ck_assert_uint_eq(reply.size, n - 12);
	if (ret_fd && CMSG_FIRSTHDR(&h))
		memcpy(ret_fd, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(int));
	return reply.payload[0];
}

static uint64_t ring_at(unsigned int i)
{
	return UVA + 0x1000 * i;
}

static int ring_setup(unsigned int i)
{
	_cleanup_fd_ int kick = eventfd(0, EFD_CLOEXEC), call = eventfd(0, EFD_CLOEXEC);
	int r = send_state(VHOST_SET_VRING_NUM, i, SIZE);

	if (r >= 0)
		r = send_state(VHOST_SET_VRING_BASE, i, 0);
	if (r >= 0)
		r = send_addr(i, ring_at(i), ring_at(i) + 0x400, ring_at(i) + 0x800);
	if (r >= 0)
		r = send_fd(VHOST_SET_VRING_CALL, i, call);
	return r >= 0 ? send_fd(VHOST_SET_VRING_KICK, i, kick) : r;
}

static int negotiate(uint64_t features)
{
	int r = send_u64(VHOST_SET_PROTOCOL_FEATURES, offer.protocol);

	return r < 0 ? r : send_u64(VHOST_SET_FEATURES, features | PF | BIT(32));
}

static void make_ready(uint64_t features)
{
	ck_assert_int_ge(negotiate(features), 0);
	ck_assert_msg(send_mem(0, MEM, UVA, 0, mem_fd) >= 0, "%s", err.text);
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_msg(ring_setup(i) >= 0, "%s", err.text);
		ck_assert_int_ge(send_state(VHOST_SET_VRING_ENABLE, i, 1), 0);
	}
}

static uint32_t live(void)
{
	uint32_t rx, tx;

	vhost_session_live(&s, &rx, &tx);
	return rx << 16 | tx;
}

START_TEST(rings_start_with_a_kick_and_stop_with_get_vring_base)
{
	ck_assert_ptr_nonnull(vhost_session_missing(&s));
	make_ready(_i ? PACKED : 0);
	ck_assert_ptr_null(vhost_session_missing(&s));
	ck_assert_uint_eq(live(), 0x10001);
	ck_assert_int_ge(send_state(VHOST_GET_VRING_BASE, 1, 0), 0);
	ck_assert_uint_eq(answer(VHOST_GET_VRING_BASE, NULL) >> 32, 0);
	ck_assert_uint_eq(live(), 0x00001);
	ck_assert(!vring_running(&dev[1]));
	ck_assert_int_ge(send_state(VHOST_SET_VRING_ENABLE, 0, 0), 0);
	ck_assert_uint_eq(live(), 0);
	ck_assert(vring_running(&dev[0]));
}
END_TEST

/* "Ring states": the feature bit of the protocol decides. */
START_TEST(rings_start_enabled_without_protocol_features)
{
	ck_assert_int_ge(send_u64(VHOST_SET_FEATURES, BIT(32)), 0);
	ck_assert_int_ge(send_mem(0, MEM, UVA, 0, mem_fd), 0);
	ck_assert_int_ge(ring_setup(0), 0);
	ck_assert_uint_eq(live(), 1);
}
END_TEST

START_TEST(a_message_may_come_byte_by_byte)
{
	uint32_t m[5] = {VHOST_SET_FEATURES, VHOST_VERSION, 8, 0, 1};

	for (size_t i = 0; i < sizeof(m); i++) {
		ck_assert(!s.has_features);
		ck_assert_int_eq(vhost_session_halfway(&s), i > 0);
		ck_assert_int_eq(send(peer, (uint8_t *)m + i, 1, 0), 1);
		ck_assert_int_ge(serve(), 0);
	}
	ck_assert(s.has_features);
	ck_assert_uint_eq(s.features, BIT(32));
}
END_TEST

START_TEST(base_goes_out_as_it_came_in)
{
	static const uint32_t bases[][2] = {{7, 7}, {0x8003, 0x8003}, {0x80038003, 0x8003}};

	ck_assert_int_ge(negotiate(PACKED), 0);
	ck_assert_int_ge(send_state(VHOST_SET_VRING_BASE, 3, bases[_i][0]), 0);
	ck_assert_int_ge(send_state(VHOST_GET_VRING_BASE, 3, 0), 0);
	ck_assert_uint_eq(answer(VHOST_GET_VRING_BASE, NULL), (uint64_t)bases[_i][1] << 32 | 3);
}
END_TEST

START_TEST(memory_is_replaced_under_running_rings)
{
	make_ready(0);
	memset(mem + 0x8000, 0, 0x1000);
	/* The same memory, in two regions; both rings lie in the first. */
	struct vhost_mem_table t = {.regions = 2,
		.region = {{0, 0x4000, UVA, 0}, {0x4000, MEM - 0x4000, UVA + 0x4000, 0x4000}}};

	post(VHOST_SET_MEM_TABLE, 0, &t, 8 + 64, mem_fd, 2);
	ck_assert_msg(serve() >= 0, "%s", err.text);
	ck_assert_uint_eq(live(), 0x10001);
	ck_assert_uint_eq(s.mem.vmem.nr, 2);
	/* Without the region of the rings: the front end is wrong. */
	t.regions = 1;
	t.region[0] = t.region[1];
	post(VHOST_SET_MEM_TABLE, 0, &t, 8 + 32, mem_fd, 1);
	ck_assert_int_eq(serve(), -EFAULT);
	ck_assert_ptr_nonnull(strstr(err.text, "lies in no shared memory"));
}
END_TEST

START_TEST(memory_slots_come_and_go_one_by_one)
{
	struct vhost_mem_reg reg = {.region = {0, 0x4000, UVA, 0}};

	ck_assert_int_ge(negotiate(0), 0);
	post(VHOST_ADD_MEM_REG, 0, &reg, sizeof(reg), mem_fd, 1);
	ck_assert_int_eq(serve(), 1);
	ck_assert_int_ge(ring_setup(0), 0);
	ck_assert(vring_running(&dev[0]));
	reg.region = (struct vhost_region){0x10000, 0x4000, UVA + 0x10000, 0x10000};
	post(VHOST_ADD_MEM_REG, 0, &reg, sizeof(reg), mem_fd, 1);
	ck_assert_int_eq(serve(), 1);
	ck_assert(vring_running(&dev[0]));
	post(VHOST_REM_MEM_REG, 0, &reg, sizeof(reg), mem_fd, 1);
	ck_assert_int_eq(serve(), 1);
	ck_assert(vring_running(&dev[0]));
	ck_assert_uint_eq(s.mem.vmem.nr, 1);
	post(VHOST_REM_MEM_REG, 0, &reg, sizeof(reg), -1, 0);
	ck_assert_int_eq(serve(), -ENOENT);
}
END_TEST

/* Who has the file can cut it short: nobody else may suffer for it. */
START_TEST(memory_cut_short_ends_the_session_and_nothing_else)
{
	uint8_t *hva;

	make_ready(0);
	ck_assert_int_eq(vhost_session_check(&s, &err), 0);
	hva = vmem_gpa(&s.mem.vmem, MEM - 1, 1);
	ck_assert_ptr_nonnull(hva);
	ck_assert_int_eq(ftruncate(mem_fd, 0), 0);
	*(volatile uint8_t *)hva = 1;
	(void)*(volatile uint8_t *)(hva - MEM + 1);
	ck_assert_int_eq(vhost_session_check(&s, &err), -EFAULT);
}
END_TEST

START_TEST(inflight_area_is_made_and_taken_back)
{
	struct vhost_inflight_desc d = {.queues = 2, .queue_size = SIZE};
	int fd = -1;

	ck_assert_int_ge(negotiate(_i ? PACKED : 0), 0);
	post(VHOST_GET_INFLIGHT_FD, 0, &d, sizeof(d), -1, 0);
	ck_assert_int_eq(serve(), 1);
	d.size = answer(VHOST_GET_INFLIGHT_FD, &fd);
	ck_assert_uint_eq(d.size, vring_inflight_size(_i, SIZE) * 2);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), d.size);
	ck_assert_int_lt(ftruncate(fd, 0), 0);
	post(VHOST_SET_INFLIGHT_FD, 0, &d, 20, fd, 1);
	ck_assert_msg(serve() == 1, "%s", err.text);
	ck_assert_int_ge(send_mem(0, MEM, UVA, 0, mem_fd), 0);
	ck_assert_msg(ring_setup(0) >= 0, "%s", err.text);
	ck_assert(vring_running(&dev[0]));
	post(VHOST_SET_INFLIGHT_FD, 0, &d, 20, fd, 1);
	ck_assert_int_eq(serve(), -EBUSY);
	fd_close(fd);
}
END_TEST

START_TEST(inflight_lies_are_refused)
{
	static const struct vhost_inflight_desc lies[] = {
		{.size = 1 << 20, .queues = 0, .queue_size = 16},
		{.size = 1 << 20, .queues = 5, .queue_size = 16},
		{.size = 1 << 20, .queues = 0xffff, .queue_size = 16},
		{.size = 1 << 20, .queues = 2, .queue_size = 0},
		{.size = 1 << 20, .queues = 2, .queue_size = 0xffff},
		{.size = 1, .queues = 2, .queue_size = 16},
		{.size = ~0ull, .offset = ~0ull, .queues = 2, .queue_size = 16},
		{.size = ~0ull, .offset = ~7ull, .queues = 2, .queue_size = 16},
		{.size = 1 << 20, .offset = 4, .queues = 2, .queue_size = 16},
		{.size = 1 << 20, .offset = MEM, .queues = 2, .queue_size = 16},
		{.size = 1 << 20, .offset = 1ull << 63, .queues = 2, .queue_size = 16},
	};
	bool makes = lies[_i].queues >= 1 && lies[_i].queues <= 4 && lies[_i].queue_size == 16;

	ck_assert_int_ge(negotiate(0), 0);
	post(VHOST_SET_INFLIGHT_FD, 0, &lies[_i], sizeof(lies[0]), mem_fd, 1);
	ck_assert_int_lt(serve(), 0);
	ck_assert_ptr_null(s.inflight.map);
	again();
	ck_assert_int_ge(negotiate(0), 0);
	post(VHOST_GET_INFLIGHT_FD, 0, &lies[_i], sizeof(lies[0]), -1, 0);
	ck_assert_int_eq(serve() > 0, makes);
}
END_TEST

START_TEST(memory_tables_that_cannot_be_are_refused)
{
	static const struct {
		struct vhost_region r[2];
		unsigned int n;
	} bad[] = {
		{{{0, 0, UVA, 0}}, 1},
		{{{0, MEM + 1, UVA, 0}}, 1},
		{{{0, MEM, UVA, 1}}, 1},
		{{{0, ~0ull, UVA, 0}}, 1},
		{{{0, 1, UVA, ~0ull}}, 1},
		{{{0, ~0ull, UVA, ~0ull}}, 1},
		{{{0, 0x1000, UVA, 1ull << 63}}, 1},
		{{{~0ull, 0x1000, UVA, 0}}, 1},
		{{{0, 0x1000, ~0ull, 0}}, 1},
		{{{0, 0x2000, UVA, 0}, {0x1000, 0x2000, UVA + 0x10000, 0}}, 2},
		{{{0, 0x2000, UVA, 0}, {0x10000, 0x2000, UVA + 0x1000, 0}}, 2},
	};
	struct vhost_mem_table t = {.regions = bad[_i].n};

	memcpy(t.region, bad[_i].r, sizeof(bad[_i].r));
	post(VHOST_SET_MEM_TABLE, 0, &t, 8 + 32 * bad[_i].n, mem_fd, bad[_i].n);
	ck_assert_int_lt(serve(), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "SET_MEM_TABLE"));
	ck_assert_uint_eq(s.mem.vmem.nr, 0);
}
END_TEST

START_TEST(memory_that_is_no_file_is_refused)
{
	_cleanup_fd_ int event = eventfd(0, EFD_CLOEXEC);
	_cleanup_fd_ int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	_cleanup_fd_ int readonly = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int fds[] = {event, zero, readonly};

	ck_assert_int_lt(send_mem(0, 0x1000, UVA, 0, fds[_i]), 0);
}
END_TEST

/* CVE-2020-10725: every address of a ring, outside, at the edge, wrapping. */
START_TEST(ring_addresses_outside_memory_are_refused)
{
	static const uint64_t bad[] = {
		0, UVA - 1, UVA + MEM, UVA + MEM - 8, ~0ull, 1ull << 63, UVA + 1};
	uint64_t a[3] = {ring_at(0), ring_at(0) + 0x400, ring_at(0) + 0x800};
	_cleanup_fd_ int kick = eventfd(0, EFD_CLOEXEC);

	a[_i % 3] = bad[_i / 3];
	ck_assert_int_ge(negotiate(0), 0);
	ck_assert_int_ge(send_mem(0, MEM, UVA, 0, mem_fd), 0);
	ck_assert_int_ge(send_state(VHOST_SET_VRING_NUM, 0, SIZE), 0);
	ck_assert_int_ge(send_addr(0, a[0], a[1], a[2]), 0);
	ck_assert_int_lt(send_fd(VHOST_SET_VRING_KICK, 0, kick), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "ring 0"));
	ck_assert(!vring_running(&dev[0]));
}
END_TEST

/* CVE-2020-10723: an index that would be good once its high bits are cut off. */
START_TEST(ring_indexes_that_are_none_are_refused)
{
	static const uint64_t bad[] = {4, 255, 256, 0x10000, 0x80000000, 0xffffffff, 0x100000000};
	static const uint32_t requests[] = {VHOST_SET_VRING_NUM, VHOST_SET_VRING_BASE,
		VHOST_GET_VRING_BASE, VHOST_SET_VRING_ENABLE, VHOST_SET_VRING_ADDR,
		VHOST_SET_VRING_KICK, VHOST_SET_VRING_CALL, VHOST_SET_VRING_ERR};
	_cleanup_fd_ int fd = eventfd(0, EFD_CLOEXEC);

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		ck_assert_int_ge(negotiate(0), 0);
		if (requests[i] == VHOST_SET_VRING_ADDR) {
			ck_assert_int_lt(send_addr((uint32_t)bad[_i] | 4, 0, 0, 0), 0);
		} else if (i >= 5) {
			ck_assert_int_lt(
				send_fd(requests[i], bad[_i] == 256 ? 512 : bad[_i], fd), 0);
		} else {
			uint32_t index = bad[_i] > UINT32_MAX ? 1u << 31 : (uint32_t)bad[_i];

			ck_assert_int_lt(send_state(requests[i], index, 1), 0);
		}
		again();
	}
}
END_TEST

START_TEST(numbers_that_are_none_are_refused)
{
	static const struct {
		uint32_t request;
		uint64_t v;
	} bad[] = {
		{VHOST_SET_FEATURES, BIT(26)},
		{VHOST_SET_FEATURES, ~0ull},
		{VHOST_SET_FEATURES, BIT(63)},
		{VHOST_SET_PROTOCOL_FEATURES, BIT(1)},
		{VHOST_SET_PROTOCOL_FEATURES, ~0ull},
		{VHOST_SET_VRING_NUM, 0},
		{VHOST_SET_VRING_NUM, 32769ull << 32},
		{VHOST_SET_VRING_NUM, 0xffffffffull << 32},
		{VHOST_SET_VRING_ENABLE, 2ull << 32},
		{VHOST_SET_STATUS, 256},
		{VHOST_SEND_RARP, 0},
		{VHOST_SEND_RARP, 1},
	};

	ck_assert_int_ge(negotiate(0), 0);
	ck_assert_int_lt(send_u64(bad[_i].request, bad[_i].v), 0);
	ck_assert(err.text[0]);
}
END_TEST

START_TEST(a_ring_size_that_is_no_power_of_two_is_refused_for_split_rings)
{
	ck_assert_int_ge(negotiate(0), 0);
	ck_assert_int_ge(send_mem(0, MEM, UVA, 0, mem_fd), 0);
	ck_assert_int_ge(ring_setup(0), 0);
	ck_assert_int_ge(send_state(VHOST_SET_VRING_NUM, 0, 15), 0);
	ck_assert(!vring_running(&dev[0]));
	ck_assert_int_lt(
		ring_setup(1) < 0 ? 0 : send_fd(VHOST_SET_VRING_KICK, 0 | VHOST_RING_NOFD, -1), 0);
}
END_TEST

START_TEST(requests_of_features_not_agreed_upon_are_refused)
{
	static const uint32_t requests[] = {0, VHOST_GET_INFLIGHT_FD, VHOST_GET_STATUS,
		VHOST_RESET_DEVICE, VHOST_GET_MAX_MEM_SLOTS, 6, 7, 21, 22, 24, 28, 33, 35, 41,
		1000};
	struct vhost_inflight_desc d = {.queues = 1, .queue_size = 1};
	uint64_t v = 0;
	bool inflight = requests[_i] == VHOST_GET_INFLIGHT_FD;
	uint32_t size = inflight ? sizeof(d) : requests[_i] == 6 ? 8 : 0;

	post(requests[_i], VHOST_FLAG_NEED_REPLY, inflight ? (void *)&d : &v, size, mem_fd,
		requests[_i] == 6);
	ck_assert_int_eq(serve(), -EOPNOTSUPP);
	if (inflight || requests[_i] == VHOST_GET_STATUS || requests[_i] == VHOST_GET_MAX_MEM_SLOTS)
		return;
	/* With acknowledgements it is told and may go on. */
	again();
	ck_assert_int_ge(send_u64(VHOST_SET_PROTOCOL_FEATURES, BIT(VHOST_PF_REPLY_ACK)), 0);
	post(requests[_i], VHOST_FLAG_NEED_REPLY, &v, size, mem_fd, requests[_i] == 6);
	ck_assert_int_eq(serve(), 1);
	ck_assert_uint_eq(answer(requests[_i], NULL), 1);
}
END_TEST

START_TEST(what_is_asked_to_be_acknowledged_is)
{
	uint64_t v = BIT(32);

	ck_assert_int_ge(negotiate(0), 0);
	post(VHOST_SET_FEATURES, VHOST_FLAG_NEED_REPLY, &v, 8, -1, 0);
	ck_assert_int_eq(serve(), 1);
	ck_assert_uint_eq(answer(VHOST_SET_FEATURES, NULL), 0);
	v = BIT(63);
	post(VHOST_SET_FEATURES, VHOST_FLAG_NEED_REPLY, &v, 8, -1, 0);
	ck_assert_int_eq(serve(), -EINVAL);
	ck_assert_uint_eq(answer(VHOST_SET_FEATURES, NULL), 1);
}
END_TEST

START_TEST(mtu_beyond_the_ports_is_refused_and_the_session_stays)
{
	uint64_t v = 1501;

	ck_assert_int_ge(negotiate(0), 0);
	ck_assert_int_eq(send_u64(VHOST_NET_SET_MTU, 1400), 1);
	ck_assert_uint_eq(s.mtu, 1400);
	post(VHOST_NET_SET_MTU, VHOST_FLAG_NEED_REPLY, &v, 8, -1, 0);
	ck_assert_int_eq(serve(), 1);
	ck_assert_uint_eq(answer(VHOST_NET_SET_MTU, NULL), 1);
	ck_assert_int_eq(send_u64(VHOST_NET_SET_MTU, ~0ull), 1);
	ck_assert_uint_eq(s.mtu, 1400);
}
END_TEST

START_TEST(features_do_not_change_under_running_rings)
{
	make_ready(0);
	ck_assert_int_eq(send_u64(VHOST_SET_FEATURES, PF | BIT(32)), 1);
	ck_assert_int_eq(send_u64(VHOST_SET_FEATURES, PF | BIT(32) | PACKED), -EBUSY);
}
END_TEST

START_TEST(a_reset_stops_the_rings)
{
	make_ready(0);
	if (_i)
		post(VHOST_RESET_DEVICE, 0, NULL, 0, -1, 0);
	else
		post(VHOST_SET_STATUS, 0, &(uint64_t){0}, 8, -1, 0);
	ck_assert_int_eq(serve(), 1);
	ck_assert(!vhost_rings_running(&s));
	ck_assert_uint_eq(live(), 0);
	make_ready(0);
	ck_assert_uint_eq(live(), 0x10001);
}
END_TEST

START_TEST(announcement_carries_the_address)
{
	const uint8_t payload[8] = {0x02, 0, 0, 0, 0, 0x17};

	ck_assert_int_ge(negotiate(0), 0);
	post(VHOST_SEND_RARP, 0, payload, 8, -1, 0);
	ck_assert_int_eq(serve(), 1);
	ck_assert_uint_eq(fake.mac, 0x020000000017);
}
END_TEST

/* A write to one, or a read, could make the datapath wait. */
START_TEST(kick_and_call_are_eventfds_or_pipes_that_do_not_block)
{
	int pipes[2], sock[2];
	_cleanup_fd_ int event = eventfd(0, EFD_CLOEXEC);
	_cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
	for (uint32_t req = VHOST_SET_VRING_KICK; req <= VHOST_SET_VRING_ERR; req++) {
		int bad[] = {mem_fd, null, sock[0]};

		ck_assert_int_eq(send_fd(req, 0, event), 1);
		ck_assert(fcntl(event, F_GETFL) & O_NONBLOCK);
		ck_assert_int_eq(send_fd(req, 0, pipes[0]), 1);
		ck_assert(fcntl(pipes[0], F_GETFL) & O_NONBLOCK);
		ck_assert_int_eq(send_fd(req, VHOST_RING_NOFD, -1), 1);
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
			ck_assert_int_eq(send_fd(req, 0, bad[i]), -EINVAL);
			again();
		}
	}
	for (int i = 0; i < 2; i++) {
		fd_close(pipes[i]);
		fd_close(sock[i]);
	}
}
END_TEST

/* CVE-2019-14818: said a thousand times it takes no more than said once. */
START_TEST(repeated_messages_keep_nothing)
{
	_cleanup_fd_ int fd = eventfd(0, EFD_CLOEXEC);
	int before;

	make_ready(0);
	before = fd_count();
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_ge(send_fd(VHOST_SET_VRING_CALL, 1, fd), 0);
		ck_assert_int_ge(send_fd(VHOST_SET_VRING_KICK, 1, fd), 0);
		ck_assert_int_ge(send_fd(VHOST_SET_VRING_ERR, 1, fd), 0);
		ck_assert_int_ge(send_state(VHOST_SET_VRING_NUM, 1, SIZE), 0);
		ck_assert_int_ge(send_mem(0, MEM, UVA, 0, mem_fd), 0);
	}
	ck_assert_int_eq(fd_count(), before);
	ck_assert_uint_eq(live(), 0x10001);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_ge(send_state(VHOST_SET_VRING_NUM, 1, i & 1 ? 16 : 32), 0);
	ck_assert_int_eq(fd_count(), before - 1); /* its kick went when it stopped */
}
END_TEST

/* CVE-2021-3839, CVE-2022-0669: teardown() counts. */
START_TEST(every_message_with_any_number_of_descriptors_leaks_none)
{
	static const uint32_t sizes[] = {0, 1, 8, 20, 24, 40, 264};
	uint8_t payload[264] = {0};
	int before;

	for (int set = 0; set < 2; set++) {
		memset(payload, set ? 0xff : 0, sizeof(payload));
		for (unsigned int n = 0; n <= 9; n++)
			for (size_t z = 0; z < ARRAY_SIZE(sizes); z++) {
				again();
				ck_assert_int_ge(negotiate(0), 0);
				before = fd_count();
				post((uint32_t)_i, 0, payload, sizes[z], mem_fd, n);
				if (serve() < 0)
					ck_assert_msg(err.text[0], "says nothing");
				if (n > 8)
					ck_assert(err.text[0]);
				vhost_rx_finish(&s.rx);
				vhost_tx_finish(&s.tx);
				ck_assert_int_le(fd_count(), before + 1);
			}
	}
}
END_TEST

START_TEST(a_payload_longer_than_any_is_not_waited_for)
{
	static const uint32_t sizes[] = {265, 4096, 0x7fffffff, 0x80000000, 0xffffffff};
	uint32_t header[3] = {VHOST_SET_FEATURES, VHOST_VERSION, sizes[_i]};

	ck_assert_int_eq(send(peer, header, sizeof(header), 0), sizeof(header));
	ck_assert_int_eq(serve(), -EPROTO);
}
END_TEST

START_TEST(a_peer_that_hangs_up_is_told_from_one_that_stops_halfway)
{
	uint32_t header[3] = {VHOST_SET_FEATURES, VHOST_VERSION, 8};

	if (_i)
		ck_assert_int_eq(send(peer, header, sizeof(header), 0), sizeof(header));
	peer = fd_close(peer);
	ck_assert_int_eq(serve(), _i ? -EPROTO : -EPIPE);
}
END_TEST

/* Otherwise its answers would take memory, or the control thread would wait. */
START_TEST(a_peer_that_does_not_read_is_not_read_from)
{
	uint32_t header[3] = {VHOST_GET_FEATURES, VHOST_VERSION, 0};
	uint64_t answered;

	while (send(peer, header, sizeof(header), MSG_DONTWAIT) == sizeof(header) ||
		s.messages == 0)
		if (vhost_session_blocked(&s) || serve() < 0)
			break;
	for (int i = 0; i < 100000 && !vhost_session_blocked(&s); i++) {
		(void)!send(peer, header, sizeof(header), MSG_DONTWAIT);
		ck_assert_int_ge(serve(), 0);
	}
	ck_assert(vhost_session_blocked(&s));
	answered = s.messages;
	ck_assert_int_eq(serve(), 0);
	ck_assert_uint_eq(s.messages, answered);
	for (uint64_t i = 0; i < answered; i++) {
		uint8_t buf[20];

		if (recv(peer, buf, sizeof(buf), MSG_DONTWAIT) < 0) {
			ck_assert_int_ge(serve(), 0);
			ck_assert_int_eq(recv(peer, buf, sizeof(buf), MSG_DONTWAIT), sizeof(buf));
		}
	}
}
END_TEST

/* Every allocation of a start fails once; nothing stays behind, the next start works. */
START_TEST(a_failure_anywhere_leaves_nothing)
{
	int before = fd_count();
	bool whole = false;

	for (unsigned int n = 1; !whole; n++) {
		struct vhost_inflight_desc d = {.queues = 2, .queue_size = SIZE};
		int fd = -1, r;

		calls = 0;
		fail_at = n;
		r = negotiate(0);
		if (r >= 0) {
			post(VHOST_GET_INFLIGHT_FD, 0, &d, sizeof(d), -1, 0);
			r = serve();
		}
		if (r >= 0) {
			d.size = answer(VHOST_GET_INFLIGHT_FD, &fd);
			post(VHOST_SET_INFLIGHT_FD, 0, &d, sizeof(d), fd, 1);
			r = serve();
		}
		if (r >= 0)
			r = send_mem(0, MEM, UVA, 0, mem_fd);
		if (r >= 0)
			r = ring_setup(0);
		fail_at = 0;
		fd_close(fd);
		whole = r >= 0;
		ck_assert_int_eq(whole, calls < n);
		ck_assert_uint_lt(n, 50);
		vhost_session_close(&s);
		peer = fd_close(peer);
		open_peer();
		ck_assert_int_eq(fd_count(), before);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vhost_session");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, rings_start_with_a_kick_and_stop_with_get_vring_base, 0, 2);
	tcase_add_test(t, rings_start_enabled_without_protocol_features);
	tcase_add_test(t, a_message_may_come_byte_by_byte);
	tcase_add_loop_test(t, base_goes_out_as_it_came_in, 0, 3);
	tcase_add_test(t, memory_is_replaced_under_running_rings);
	tcase_add_test(t, memory_slots_come_and_go_one_by_one);
	tcase_add_test(t, memory_cut_short_ends_the_session_and_nothing_else);
	tcase_add_loop_test(t, inflight_area_is_made_and_taken_back, 0, 2);
	tcase_add_loop_test(t, inflight_lies_are_refused, 0, 11);
	tcase_add_loop_test(t, memory_tables_that_cannot_be_are_refused, 0, 11);
	tcase_add_loop_test(t, memory_that_is_no_file_is_refused, 0, 3);
	tcase_add_loop_test(t, ring_addresses_outside_memory_are_refused, 0, 21);
	tcase_add_loop_test(t, ring_indexes_that_are_none_are_refused, 0, 7);
	tcase_add_loop_test(t, numbers_that_are_none_are_refused, 0, 12);
	tcase_add_test(t, a_ring_size_that_is_no_power_of_two_is_refused_for_split_rings);
	tcase_add_loop_test(t, requests_of_features_not_agreed_upon_are_refused, 0, 15);
	tcase_add_test(t, what_is_asked_to_be_acknowledged_is);
	tcase_add_test(t, mtu_beyond_the_ports_is_refused_and_the_session_stays);
	tcase_add_test(t, features_do_not_change_under_running_rings);
	tcase_add_loop_test(t, a_reset_stops_the_rings, 0, 2);
	tcase_add_test(t, announcement_carries_the_address);
	tcase_add_test(t, kick_and_call_are_eventfds_or_pipes_that_do_not_block);
	tcase_add_test(t, repeated_messages_keep_nothing);
	tcase_add_loop_test(t, every_message_with_any_number_of_descriptors_leaks_none, 0, 45);
	tcase_add_loop_test(t, a_payload_longer_than_any_is_not_waited_for, 0, 5);
	tcase_add_loop_test(t, a_peer_that_hangs_up_is_told_from_one_that_stops_halfway, 0, 2);
	tcase_add_test(t, a_peer_that_does_not_read_is_not_read_from);
	tcase_add_test(t, a_failure_anywhere_leaves_nothing);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
