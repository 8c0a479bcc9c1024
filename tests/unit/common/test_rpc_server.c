// SPDX-License-Identifier: GPL-2.0-or-later
/* The clients of a JSON-RPC socket, the hostile ones above all. Both sides are in this one thread. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/rpc_server.h"
#include "tests/unit/check_run.h"

#define CLIENTS  4
#define LINE_MAX 256
#define BIG      (1u << 20) /* an answer no socket takes at once */

#define TOO_LONG                                                                   \
	"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":" \
	"\"the request is too long\"}}\n"

static sd_event *loop;
static struct rpc_server *server;
static int listen_fd, passed[2];
static unsigned int ended; /* what was held */
static char held[2];

/*
 * "big" is answered by BIG bytes, "quiet" by nothing; "die" ends the connection; "hold" makes it hold;
 * "pass" has fds go with the answer. Any other line is answered by its length and itself.
 */
static int serve(void *ctx, struct rpc_client *c, const char *line, size_t len, char **ret)
{
	ck_assert_ptr_eq(ctx, &ended);
	ck_assert_ptr_null(*ret);
	ck_assert_int_eq(line[len], '\0');
	if (!strcmp(line, "die"))
		return -EIO;
	if (!strcmp(line, "quiet"))
		return 0;
	if (!strcmp(line, "big")) {
		*ret = calloc(1, BIG);
		memset(*ret, 'b', BIG - 1);
		return 0;
	}
	if (!strcmp(line, "hold"))
		rpc_client_hold(c, rpc_client_held(c) == &held[0] ? &held[1] : &held[0]);
	if (strstr(line, "pass"))
		rpc_client_pass(c, passed, 2);
	if (!strcmp(line, "pass quiet"))
		return 0;
	ck_assert_int_ge(asprintf(ret, "%zu %s", len, line), 0);
	return 0;
}

static void gone(void *ctx, void *what)
{
	ck_assert(what == &held[0] || what == &held[1]);
	ended++;
}

static unsigned int fds_open(void)
{
	_cleanup_dir_ DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	return n;
}

static void server_make(unsigned int clients, size_t line_max)
{
	const struct rpc_server_config cfg = {
		.clients_max = clients,
		.line_max = line_max,
		.priority = SD_EVENT_PRIORITY_IDLE,
		.serve = serve,
		.gone = gone,
		.ctx = &ended,
	};
	struct err e = {0};

	rpc_server_destroy(server);
	ck_assert_msg(rpc_server_create(loop, listen_fd, &cfg, &e, &server) == 0, "%s", e.text);
}

static void setup(void)
{
	/* Bound to no more than a family, it gets a name of its own, which is no file's. */
	const struct sockaddr_un a = {.sun_family = AF_UNIX};

	ended = 0;
	ck_assert_int_ge(sd_event_new(&loop), 0);
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listen_fd, (const struct sockaddr *)&a, sizeof(a.sun_family)), 0);
	ck_assert_int_eq(listen(listen_fd, 128), 0);
	passed[0] = eventfd(7, EFD_NONBLOCK);
	passed[1] = eventfd(8, EFD_NONBLOCK);
	server_make(CLIENTS, LINE_MAX);
}

static void teardown(void)
{
	rpc_server_destroy(server);
	server = NULL;
	fd_close(passed[0]);
	fd_close(passed[1]);
	fd_close(listen_fd);
	sd_event_unref(loop);
}

/* The server does all it can do now. */
static void turn(void)
{
	int r;

	while ((r = sd_event_run(loop, 0)) > 0)
		;
	ck_assert_int_eq(r, 0);
}

static struct rpc_server_stats stats(void)
{
	struct rpc_server_stats s;

	rpc_server_stats(server, &s);
	return s;
}

static int client(void)
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(getsockname(listen_fd, (struct sockaddr *)&a, &len), 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&a, len), 0);
	turn();
	return fd;
}

static void put(int fd, const char *text, size_t len)
{
	ck_assert_int_eq(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
	turn();
}

static void say(int fd, const char *text)
{
	put(fd, text, strlen(text));
}

static void hears(int fd, const char *want)
{
	char text[512];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	ck_assert_msg(n >= 0, "'%s' was to come: %s", want, strerror(errno));
	text[n] = '\0';
	ck_assert_str_eq(text, want);
}

/* Its answers are read; unread requests make it a reset. */
static void is_out(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, 0);

	ck_assert_msg(n == 0 || (n < 0 && errno == ECONNRESET), "%zd: %s", n, strerror(errno));
	fd_close(fd);
}

/* ---- lines ---- */

static const char lines[] = "one\n\ntwo and a half\nquiet\nfour\n";
static const char answers[] = "3 one\n0 \n14 two and a half\n4 four\n";

START_TEST(lines_are_answered_wherever_they_are_cut)
{
	int fd = client();

	for (size_t i = 0; i < sizeof(lines); i++) {
		if (i)
			put(fd, lines, i);
		say(fd, lines + i);
		hears(fd, answers);
	}
	for (size_t i = 0; lines[i]; i++)
		put(fd, lines + i, 1);
	hears(fd, answers);
	ck_assert_uint_eq(stats().requests, 5 * (sizeof(lines) + 1));
	fd_close(fd);
}
END_TEST

/* The buffer grows to what is needed, up to its limit, and the end of a line is part of it. */
START_TEST(a_line_may_be_as_long_as_the_limit_and_no_longer)
{
	const size_t max[] = {1, 2, 100, 4095, 4096, 4097, 8192, 60000}, n = max[_i];
	_cleanup_free_ char *text = malloc(n + 1);
	char want[64], c;
	size_t got = 0;
	ssize_t r;
	int fd;

	server_make(CLIENTS, n);
	fd = client();
	memset(text, 'x', n);
	text[n - 1] = '\n';
	for (int again = 0; again < 2; again++) {
		put(fd, text, n);
		snprintf(want, sizeof(want), "%zu ", n - 1);
		for (size_t i = 0; want[i]; i++)
			ck_assert(recv(fd, &c, 1, 0) == 1 && c == want[i]);
		for (got = 0; (r = recv(fd, &c, 1, 0)) == 1; got++)
			ck_assert_int_eq(c, got < n - 1 ? 'x' : '\n');
		ck_assert_uint_eq(got, n);
	}
	text[n - 1] = 'x';
	put(fd, text, n);
	hears(fd, TOO_LONG);
	is_out(fd);
}
END_TEST

START_TEST(an_endless_line_is_refused_once_and_ends_the_connection)
{
	const unsigned int fds = fds_open();
	char text[3 * LINE_MAX];
	int fd = client(), other = client();

	memset(text, 'x', sizeof(text));
	say(fd, "one\n");
	hears(fd, "3 one\n");
	if (_i)
		put(fd, text, sizeof(text));
	else
		for (int i = 0; i < LINE_MAX; i++)
			put(fd, text, 1);
	hears(fd, TOO_LONG);
	is_out(fd);
	ck_assert_uint_eq(stats().too_long, 1);
	ck_assert_uint_eq(stats().requests, 1);
	say(other, "still here\n");
	hears(other, "10 still here\n");
	fd_close(other);
	turn();
	ck_assert_uint_eq(fds_open(), fds);
}
END_TEST

/* ---- ends ---- */

START_TEST(a_client_may_go_after_any_byte)
{
	const unsigned int fds = fds_open();

	for (size_t i = 0; i < sizeof(lines); i++) {
		int fd = client();

		if (i)
			ck_assert_int_eq(send(fd, lines, i, 0), (ssize_t)i);
		fd_close(fd);
		turn();
		ck_assert_uint_eq(fds_open(), fds);
	}
	ck_assert_uint_eq(stats().connections, sizeof(lines));
	ck_assert_uint_eq(stats().displaced, 0);
}
END_TEST

START_TEST(who_sends_no_more_still_gets_the_answers)
{
	_cleanup_free_ char *text = malloc(BIG);
	size_t got = 0;
	ssize_t n;
	int fd = client();

	ck_assert_int_eq(send(fd, "big\none\nhalf", 12, 0), 12);
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	turn();
	while ((n = recv(fd, text, BIG, 0)) > 0) {
		got += (size_t)n;
		turn();
	}
	ck_assert_int_eq(n, 0);
	ck_assert_uint_eq(got, BIG + strlen("3 one\n"));
	fd_close(fd);
}
END_TEST

START_TEST(a_request_that_cannot_be_served_ends_its_connection_alone)
{
	int fd = client(), other = client();

	say(fd, "one\ndie\ntwo\n");
	hears(fd, "3 one\n");
	is_out(fd);
	say(other, "one\n");
	hears(other, "3 one\n");
	fd_close(other);
}
END_TEST

/* ---- readers that are slow, or never read ---- */

START_TEST(a_slow_reader_gets_all_in_order_and_is_asked_nothing_meanwhile)
{
	const int small = 1;
	int fd = client(), other = client();
	size_t got = 0;
	char text[4096];
	ssize_t n;

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	say(fd, "big\nbig\none\n");
	ck_assert_uint_eq(stats().requests, 1);
	while (got < BIG) {
		say(other, "one\n");
		hears(other, "3 one\n");
		n = recv(fd, text, got + sizeof(text) < BIG ? sizeof(text) : BIG - got, 0);
		ck_assert_int_gt(n, 0);
		for (ssize_t i = 0; i < n; i++, got++)
			ck_assert_int_eq(text[i], got < BIG - 1 ? 'b' : '\n');
		turn();
	}
	for (got = 0; got < BIG; got += (size_t)n) {
		n = recv(fd, text, got + sizeof(text) < BIG ? sizeof(text) : BIG - got, 0);
		ck_assert_int_gt(n, 0);
		turn();
	}
	hears(fd, "3 one\n");
	fd_close(fd);
	fd_close(other);
}
END_TEST

/* It may send until its socket is full: no more of it is read than one line's buffer. */
START_TEST(who_never_reads_is_answered_no_further_and_keeps_nobody)
{
	char text[LINE_MAX];
	int fd = client(), other = client();

	for (size_t i = 0; i + 4 <= sizeof(text); i += 4)
		memcpy(text + i, "big\n", 4);
	while (send(fd, text, sizeof(text), MSG_NOSIGNAL) > 0)
		turn();
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_uint_eq(stats().requests, 1);
	say(other, "one\n");
	hears(other, "3 one\n");
	/* And it may go so. */
	fd_close(fd);
	turn();
	ck_assert_uint_eq(stats().requests, 2);
	fd_close(other);
}
END_TEST

/* ---- many ---- */

START_TEST(the_longest_silent_makes_way)
{
	int fd[CLIENTS], more;

	for (int i = 0; i < CLIENTS; i++)
		fd[i] = client();
	say(fd[0], "half a li");
	say(fd[2], "quiet\n");
	more = client();
	is_out(fd[1]);
	fd[1] = client();
	is_out(fd[3]);
	fd[3] = client();
	is_out(fd[0]);
	say(fd[2], "one\n");
	hears(fd[2], "3 one\n");
	ck_assert_uint_eq(stats().displaced, 3);
	for (int i = 1; i < CLIENTS; i++)
		fd_close(fd[i]);
	fd_close(more);
}
END_TEST

START_TEST(a_crowd_leaves_as_many_as_there_are_places)
{
	const unsigned int fds = fds_open();
	unsigned int served = 0;
	int fd[100];
	char c;

	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = client();
		ck_assert_uint_le(fds_open(), fds + i + 1 + CLIENTS);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		(void)!send(fd[i], "one\n", 4, MSG_NOSIGNAL);
	turn();
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		served += recv(fd[i], &c, 1, 0) == 1;
		fd_close(fd[i]);
	}
	turn();
	ck_assert_uint_eq(served, CLIENTS);
	ck_assert_uint_eq(stats().connections, ARRAY_SIZE(fd));
	ck_assert_uint_eq(stats().displaced, ARRAY_SIZE(fd) - CLIENTS);
	ck_assert_uint_eq(fds_open(), fds);
}
END_TEST

/* ---- what a client holds ---- */

START_TEST(who_holds_something_makes_way_last_and_it_ends_with_the_connection)
{
	int fd[CLIENTS], more;

	for (int i = 0; i < CLIENTS; i++)
		fd[i] = client();
	say(fd[1], "hold\n");
	say(fd[3], "hold\n");
	say(fd[3], "hold\n"); /* another in its place: that is the owner's affair */
	say(fd[0], "one\n");
	say(fd[2], "one\n");
	hears(fd[0], "3 one\n");
	hears(fd[2], "3 one\n");
	hears(fd[1], "4 hold\n");
	more = client();
	is_out(fd[0]);
	say(more, "hold\n");
	fd[0] = client();
	is_out(fd[2]);
	say(fd[0], "hold\n");
	ck_assert_uint_eq(ended, 0);
	/* All hold: the longest silent, after all. */
	fd[2] = client();
	is_out(fd[1]);
	ck_assert_uint_eq(ended, 1);
	fd_close(more);
	turn();
	ck_assert_uint_eq(ended, 2);
	rpc_server_destroy(server);
	server = NULL;
	ck_assert_uint_eq(ended, 4);
	fd_close(fd[0]);
	fd_close(fd[2]);
	fd_close(fd[3]);
}
END_TEST

/* How many fds came with the next bytes, of which at most @max; they are the ones that were passed. */
static unsigned int fds_come(int fd, char *text, size_t max)
{
	char control[CMSG_SPACE(8 * sizeof(int))];
	struct iovec iov = {text, max - 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t r = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	unsigned int n = 0;
	int got;

	ck_assert_int_gt(r, 0);
	text[r] = '\0';
	if (!CMSG_FIRSTHDR(&m))
		return 0;
	for (; CMSG_LEN((n + 1) * sizeof(int)) <= CMSG_FIRSTHDR(&m)->cmsg_len; n++) {
		uint64_t count = 0;

		memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)) + n * sizeof(int), sizeof(got));
		ck_assert_int_eq(read(got, &count, sizeof(count)), sizeof(count));
		ck_assert_uint_eq(count, 7 + n);
		ck_assert_int_eq(write(got, &count, sizeof(count)), sizeof(count));
		fd_close(got);
	}
	return n;
}

START_TEST(fds_go_with_the_next_answer_and_with_no_other)
{
	int fd = client(), other = client();
	char text[64];

	say(other, "one\n");
	say(fd, _i ? "pass quiet\nquiet\npass me\n" : "pass me\n");
	say(other, "two\n");
	ck_assert_uint_eq(fds_come(fd, text, sizeof(text)), 2);
	ck_assert_str_eq(text, "7 pass me\n");
	say(fd, "one\n");
	ck_assert_uint_eq(fds_come(fd, text, sizeof(text)), 0);
	ck_assert_uint_eq(fds_come(other, text, sizeof(text)), 0);
	fd_close(fd);
	fd_close(other);
}
END_TEST

/* Until the socket is full: some answer has no room for its first byte, with which its fds go. */
START_TEST(fds_wait_with_an_answer_that_has_no_room)
{
	unsigned int asked = 0;
	int fd = client();
	struct rlimit l;
	char text[64];

	/* As many may be under way as a user may have open. */
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &l), 0);
	l.rlim_cur = l.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
	while (send(fd, "pass me\n", 8, MSG_NOSIGNAL) == 8) {
		asked++;
		turn();
	}
	ck_assert_uint_lt(stats().requests, asked);
	for (unsigned int i = 0; i < asked; i++) {
		ck_assert_uint_eq(fds_come(fd, text, sizeof(text)), 2);
		ck_assert_str_eq(text, "7 pass me\n");
		turn();
	}
	fd_close(fd);
}
END_TEST

START_TEST(the_end_of_the_server_ends_all_and_leaves_no_fd)
{
	unsigned int fds;
	int fd[CLIENTS];

	rpc_server_destroy(server);
	server = NULL;
	fds = fds_open();
	server_make(CLIENTS, LINE_MAX);
	for (int i = 0; i < CLIENTS; i++)
		fd[i] = client();
	say(fd[0], "half");
	say(fd[1], "big\nbig\n");
	say(fd[2], "hold\n");
	hears(fd[2], "4 hold\n");
	rpc_server_destroy(server);
	server = NULL;
	rpc_server_destroy(NULL);
	ck_assert_uint_eq(ended, 1);
	fd_close(fd[1]);
	is_out(fd[0]);
	is_out(fd[2]);
	is_out(fd[3]);
	ck_assert_uint_eq(fds_open(), fds);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rpc-server");
	TCase *t = tcase_create("clients");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 100);
	tcase_add_test(t, lines_are_answered_wherever_they_are_cut);
	tcase_add_loop_test(t, a_line_may_be_as_long_as_the_limit_and_no_longer, 0, 8);
	tcase_add_loop_test(t, an_endless_line_is_refused_once_and_ends_the_connection, 0, 2);
	tcase_add_test(t, a_client_may_go_after_any_byte);
	tcase_add_test(t, who_sends_no_more_still_gets_the_answers);
	tcase_add_test(t, a_request_that_cannot_be_served_ends_its_connection_alone);
	tcase_add_test(t, a_slow_reader_gets_all_in_order_and_is_asked_nothing_meanwhile);
	tcase_add_test(t, who_never_reads_is_answered_no_further_and_keeps_nobody);
	tcase_add_test(t, the_longest_silent_makes_way);
	tcase_add_test(t, a_crowd_leaves_as_many_as_there_are_places);
	tcase_add_test(t, who_holds_something_makes_way_last_and_it_ends_with_the_connection);
	tcase_add_loop_test(t, fds_go_with_the_next_answer_and_with_no_other, 0, 2);
	tcase_add_test(t, fds_wait_with_an_answer_that_has_no_room);
	tcase_add_test(t, the_end_of_the_server_ends_all_and_leaves_no_fd);
	suite_add_tcase(s, t);
	return suite_run(s);
}
