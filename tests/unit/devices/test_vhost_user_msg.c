// SPDX-License-Identifier: GPL-2.0-or-later
/* The vhost-user wire format over a socket pair, one end played by hand. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "devices/vhost_user_msg.h"

static int pair[2];
static int probe[2]; /* its write end is what is sent about: hung up when no copy is left */
static struct vu_rx rx;
static struct err err;

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(pipe2(probe, O_CLOEXEC), 0);
	rx = (struct vu_rx){0};
	err = (struct err){0};
}

static void teardown(void)
{
	struct pollfd p = {.fd = probe[0], .events = POLLIN};

	vu_rx_finish(&rx);
	fd_close(pair[0]);
	fd_close(pair[1]);
	fd_close(probe[1]);
	ck_assert_int_eq(poll(&p, 1, 0), 1); /* every fd that came was closed */
	ck_assert_int_eq(p.revents, POLLHUP);
	fd_close(probe[0]);
}

/* @fds copies of the probe with the first byte. */
static void send_raw(const void *buf, size_t len, unsigned int fds)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	union {
		char buf[CMSG_SPACE(sizeof(int) * 64)];
		struct cmsghdr align;
	} control = {0};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fds) {
		struct cmsghdr *c;
		int *fd;

		h.msg_control = control.buf;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * fds);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fds);
		fd = (int *)CMSG_DATA(c);
		for (unsigned int i = 0; i < fds; i++)
			fd[i] = probe[1];
	}
	ck_assert_int_eq(sendmsg(pair[1], &h, 0), (ssize_t)len);
}

struct wire {
	uint32_t request, flags, size;
	uint8_t payload[300];
};

/* What a back end sends crosses the socket as it was, with its fds. */
START_TEST(messages_arrive_with_payload_and_fds)
{
	struct vu_msg m = vu_msg_make(VU_SET_MEM_TABLE, 8 + 2 * sizeof(struct vu_region)), got;
	struct stat a, b;

	m.mem.regions = 2;
	m.mem.region[1] = (struct vu_region){.gpa = 1ull << 32, .size = 4096, .user = 7};
	m.fds = 2;
	m.fd[0] = m.fd[1] = probe[1];
	ck_assert_int_eq(vu_send(pair[1], &m, vu_now_ms() + 1000, &err), 0);
	ck_assert_int_eq(vu_recv(pair[0], &rx, &err, &got), 1);
	ck_assert_uint_eq(got.request, VU_SET_MEM_TABLE);
	ck_assert_uint_eq(got.size, m.size);
	ck_assert_mem_eq(got.bytes, m.bytes, m.size);
	ck_assert_uint_eq(got.fds, 2);
	ck_assert_int_eq(vu_msg_check(&got, VU_FRONT_END, &err), 0);
	ck_assert_int_eq(fstat(got.fd[1], &a), 0);
	ck_assert_int_eq(fstat(probe[1], &b), 0);
	ck_assert_uint_eq(a.st_ino, b.st_ino);
	ck_assert_int_eq(fcntl(got.fd[0], F_GETFD), FD_CLOEXEC);
	vu_msg_finish(&got);
	ck_assert_int_eq(vu_recv(pair[0], &rx, &err, &got), 0);
}
END_TEST

START_TEST(a_message_may_come_byte_by_byte)
{
	struct wire w = {VU_GET_FEATURES, VU_VERSION | VU_FLAG_REPLY, 8, {1, 2, 3}};
	struct vu_msg got;

	for (unsigned int i = 0; i < 20; i++) {
		ck_assert_int_eq(vu_recv(pair[0], &rx, &err, &got), 0);
		send_raw((uint8_t *)&w + i, 1, 0);
	}
	ck_assert_int_eq(vu_recv(pair[0], &rx, &err, &got), 1);
	ck_assert_uint_eq(got.u64, 0x030201);
	ck_assert_int_eq(vu_msg_check(&got, VU_BACK_END, &err), 0);
}
END_TEST

START_TEST(two_messages_in_one_piece_are_two)
{
	struct wire w[2] = {{VU_GET_FEATURES, 5, 0}, {0}};
	struct vu_msg got;
	uint8_t buf[24];

	memcpy(buf, w, 12);
	w[0].request = VU_GET_QUEUE_NUM;
	memcpy(buf + 12, w, 12);
	send_raw(buf, 24, 1);
	ck_assert_int_eq(vu_recv(pair[0], &rx, &err, &got), 1);
	ck_assert_uint_eq(got.request, VU_GET_FEATURES);
	ck_assert_uint_eq(got.fds, 1);
	vu_msg_finish(&got);
	ck_assert_int_eq(vu_recv(pair[0], &rx, &err, &got), 1);
	ck_assert_uint_eq(got.request, VU_GET_QUEUE_NUM);
	ck_assert_uint_eq(got.fds, 0);
}
END_TEST

START_TEST(a_length_beyond_any_payload_is_refused_before_it_is_read)
{
	static const uint32_t sizes[] = {VU_PAYLOAD_MAX + 1, 0x7fffffff, 0x80000000, UINT32_MAX};
	struct wire w = {VU_GET_FEATURES, 5, sizes[_i]};
	struct vu_msg got;

	send_raw(&w, 12, 1);
	ck_assert_int_eq(vu_recv(pair[0], &rx, &err, &got), -EPROTO);
}
END_TEST

START_TEST(the_end_of_the_connection_is_told_from_a_cut_message)
{
	struct wire w = {VU_GET_FEATURES, 5, 8, {0}};
	struct vu_msg got;

	if (_i)
		send_raw(&w, (size_t)_i, 2);
	ck_assert_int_eq(vu_recv(pair[0], &rx, &err, &got), 0);
	pair[1] = fd_close(pair[1]);
	ck_assert_int_eq(vu_recv(pair[0], &rx, &err, &got), _i ? -EPROTO : -EPIPE);
}
END_TEST

/* CVE-2019-14818, CVE-2021-3839: a message may carry any number, and none may stay. */
START_TEST(stray_fds_are_closed)
{
	struct wire w = {VU_GET_FEATURES, 5, 8, {0}};
	struct vu_msg got;
	int r;

	send_raw(&w, 20, (unsigned int)_i);
	r = vu_recv(pair[0], &rx, &err, &got);
	if (_i > (int)VU_MAX_FDS) {
		ck_assert_int_eq(r, -EPROTO);
		return;
	}
	ck_assert_int_eq(r, 1);
	ck_assert_uint_eq(got.fds, (unsigned int)_i);
	ck_assert_int_eq(vu_msg_check(&got, VU_BACK_END, &err), _i ? -EPROTO : 0);
	vu_msg_finish(&got);
}
END_TEST

START_TEST(fds_inside_a_message_are_refused)
{
	struct wire w = {VU_GET_FEATURES, 5, 8, {0}};
	struct vu_msg got;

	send_raw(&w, 12, 0);
	ck_assert_int_eq(vu_recv(pair[0], &rx, &err, &got), 0);
	send_raw(w.payload, 8, 1);
	ck_assert_int_eq(vu_recv(pair[0], &rx, &err, &got), -EPROTO);
}
END_TEST

static const struct {
	enum vu_side side;
	uint32_t request, flags, size;
	uint64_t first; /* payload bytes 0-7 */
	unsigned int fds;
	bool good;
} cases[] = {
	{VU_BACK_END, VU_GET_FEATURES, 5, 8, 0, 0, true},
	{VU_BACK_END, VU_GET_FEATURES, 1, 8, 0, 0, false},  /* no reply */
	{VU_BACK_END, VU_GET_FEATURES, 4, 8, 0, 0, false},  /* version 0 */
	{VU_BACK_END, VU_GET_FEATURES, 6, 8, 0, 0, false},  /* version 2 */
	{VU_BACK_END, VU_GET_FEATURES, 5, 4, 0, 0, false},  /* short */
	{VU_BACK_END, VU_GET_FEATURES, 5, 16, 0, 0, false}, /* long */
	{VU_BACK_END, VU_GET_FEATURES, 5, 8, 0, 1, false},  /* an fd */
	{VU_BACK_END, VU_GET_VRING_BASE, 5, 8, 0, 0, true},
	{VU_BACK_END, VU_GET_VRING_BASE, 5, 0, 0, 0, false},
	{VU_BACK_END, VU_SET_MEM_TABLE, 5, 8, 0, 0, true}, /* REPLY_ACK's */
	{VU_BACK_END, VU_SET_MEM_TABLE, 5, 40, 1, 1, false},
	{VU_BACK_END, VU_GET_INFLIGHT_FD, 5, 24, 4096, 1, true},
	{VU_BACK_END, VU_GET_INFLIGHT_FD, 5, 20, 4096, 1, true},
	{VU_BACK_END, VU_GET_INFLIGHT_FD, 5, 24, 4096, 0, true}, /* whether it may: the session */
	{VU_BACK_END, VU_GET_INFLIGHT_FD, 5, 24, 4096, 2, false},
	{VU_BACK_END, VU_GET_INFLIGHT_FD, 5, 8, 4096, 1, false},
	{VU_BACK_END, 0, 5, 8, 0, 0, false},
	{VU_BACK_END, 4, 5, 8, 0, 0, false},
	{VU_BACK_END, 63, 5, 8, 0, 0, false},
	{VU_BACK_END, UINT32_MAX, 5, 8, 0, 0, false},
	{VU_FRONT_END, VU_GET_FEATURES, 1, 0, 0, 0, true},
	{VU_FRONT_END, VU_GET_FEATURES, 5, 0, 0, 0, false},
	{VU_FRONT_END, VU_SET_MEM_TABLE, 1, 40, 1, 1, true},
	{VU_FRONT_END, VU_SET_MEM_TABLE, 1, 40, 2, 2, false},
	{VU_FRONT_END, VU_SET_MEM_TABLE, 1, 40, 1, 0, false},
	{VU_FRONT_END, VU_SET_MEM_TABLE, 1, 4, 0, 0, false},
	{VU_FRONT_END, VU_SET_MEM_TABLE, 1, 264, 8, 8, true},
	{VU_FRONT_END, VU_SET_MEM_TABLE, 1, 264, 9, 8, false},
	{VU_FRONT_END, VU_SET_MEM_TABLE, 1, 40, 0xffffffff, 1, false},
	{VU_FRONT_END, VU_SET_VRING_KICK, 1, 8, 3, 1, true},
	{VU_FRONT_END, VU_SET_VRING_KICK, 1, 8, 3, 0, false},
	{VU_FRONT_END, VU_SET_VRING_KICK, 1, 8, 0x103, 0, true},
	{VU_FRONT_END, VU_SET_VRING_KICK, 1, 8, 0x103, 1, false},
	{VU_FRONT_END, VU_SET_VRING_KICK, 1, 8, 0x203, 1, false},
	{VU_FRONT_END, VU_SET_VRING_KICK, 1, 8, 1ull << 63, 1, false},
};

START_TEST(malformed_messages_are_refused)
{
	struct vu_msg m = vu_msg_make(cases[_i].request, cases[_i].size);

	m.flags = cases[_i].flags;
	m.u64 = cases[_i].first;
	m.fds = cases[_i].fds; /* never closed here: vu_msg_check() only counts them */
	ck_assert_msg(vu_msg_check(&m, cases[_i].side, &err) == (cases[_i].good ? 0 : -EPROTO),
		"case %d: %s", _i, err.text);
	ck_assert(cases[_i].good == !err.text[0]);
}
END_TEST

/* A back end that stops reading must not stop us. */
START_TEST(sending_to_one_who_does_not_read_ends_in_time)
{
	struct vu_msg m = vu_msg_make(VU_SET_MEM_TABLE, VU_PAYLOAD_MAX);
	int64_t t = vu_now_ms();
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < 100000; i++)
		r = vu_send(pair[1], &m, t + 100, &err);
	ck_assert_int_eq(r, -ETIMEDOUT);
	ck_assert_int_lt(vu_now_ms() - t, 5000);
}
END_TEST

START_TEST(sending_to_one_who_is_gone_is_an_error_and_no_signal)
{
	struct vu_msg m = vu_msg_make(VU_GET_FEATURES, 0);

	pair[0] = fd_close(pair[0]);
	ck_assert_int_eq(vu_send(pair[1], &m, vu_now_ms() + 1000, &err), -EPIPE);
	ck_assert_ptr_nonnull(strstr(err.text, "GET_FEATURES"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user messages");
	TCase *tc = tcase_create("wire");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, messages_arrive_with_payload_and_fds);
	tcase_add_test(tc, a_message_may_come_byte_by_byte);
	tcase_add_test(tc, two_messages_in_one_piece_are_two);
	tcase_add_loop_test(tc, a_length_beyond_any_payload_is_refused_before_it_is_read, 0, 4);
	tcase_add_loop_test(tc, the_end_of_the_connection_is_told_from_a_cut_message, 0, 20);
	tcase_add_loop_test(tc, stray_fds_are_closed, 0, 20);
	tcase_add_test(tc, fds_inside_a_message_are_refused);
	tcase_add_loop_test(tc, malformed_messages_are_refused, 0, ARRAY_SIZE(cases));
	tcase_add_test(tc, sending_to_one_who_does_not_read_ends_in_time);
	tcase_add_test(tc, sending_to_one_who_is_gone_is_an_error_and_no_signal);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
