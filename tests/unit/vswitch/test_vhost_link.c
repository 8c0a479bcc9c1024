// SPDX-License-Identifier: GPL-2.0-or-later
/* The line between a port and its front ends: an event loop, real sockets, who comes and who goes. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vswitch/vhost_link.h"
#include "vswitch/vhost_socket.h"

static char dir[] = "/tmp/vhost-link-XXXXXX", path[64];
static sd_event *loop;
static struct vhost_link *l;
static struct vring_dev dev[VHOST_RINGS_MAX];
static struct err err;

static void nothing(void *ctx)
{
}

static void announce(void *ctx, uint64_t mac)
{
}

static const struct vhost_session_ops ops = {nothing, nothing, nothing, announce};

static int link_make(bool client, unsigned int mode)
{
	const struct vhost_link_config cfg = {
		.name = "a",
		.path = path,
		.client = client,
		.mode = mode,
		.offer = {.features = 1ull << 32 | 1ull << 30,
			.protocol = VHOST_PROTOCOL_FEATURES,
			.pairs = 1,
			.mtu = 1500},
	};
	int r = vhost_link_create(&cfg, loop, &ops, NULL, dev, &err, &l);

	return r < 0 ? r : vhost_link_start(l, &err);
}

static void setup(void)
{
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	ck_assert_int_ge(sd_event_new(&loop), 0);
	err = (struct err){0};
	l = NULL;
}

static void teardown(void)
{
	vhost_link_destroy(l);
	sd_event_unref(loop);
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static struct vhost_link_stats stats(void)
{
	struct vhost_link_stats st;

	vhost_link_stats_get(l, &st);
	return st;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Run the loop until @cond, which must come true. */
#define RUN_UNTIL(cond)                                                          \
	do {                                                                     \
		uint64_t end_ = now_ms() + 20000;                                \
		bool good_;                                                      \
		while (!(good_ = (cond)) && now_ms() < end_)                     \
			ck_assert_int_ge(sd_event_run(loop, 10000), 0);          \
		ck_assert_msg(good_, "%s, though: %s", #cond,                    \
			vhost_link_why_down(l) ? vhost_link_why_down(l) : "up"); \
	} while (0)

static int call(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sa.sun_path, path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static int listen_there(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(sa.sun_path, path);
	unlink(path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(fd, 4), 0);
	return fd;
}

static bool says(const char *words)
{
	const char *why = vhost_link_why_down(l);

	return why && strstr(why, words);
}

/* What it closed: end of file, or a reset when it had not read all. */
static bool hung_up(int fd)
{
	char b;
	ssize_t n = recv(fd, &b, 1, MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

START_TEST(a_second_front_end_is_refused_while_the_first_stays)
{
	int first, second;

	ck_assert_int_ge(link_make(false, 0), 0);
	ck_assert(says("nobody has connected"));
	first = call();
	RUN_UNTIL(stats().connections == 1);
	ck_assert(says("has not said which features"));
	second = call();
	RUN_UNTIL(stats().refused == 1);
	ck_assert(hung_up(second));
	ck_assert(!hung_up(first));
	/* When it has gone the next one comes in, at once. */
	fd_close(first);
	fd_close(second);
	second = call();
	RUN_UNTIL(stats().connections == 2);
	ck_assert_uint_eq(stats().refused, 1);
	ck_assert(!hung_up(second));
	ck_assert_uint_eq(stats().errors, 0);
	fd_close(second);
}
END_TEST

START_TEST(who_breaks_a_rule_is_named_and_the_next_one_served)
{
	const uint32_t bad[3] = {2, 1, 0xffffffff};
	int fd;

	ck_assert_int_ge(link_make(false, 0), 0);
	fd = call();
	ck_assert_int_eq(send(fd, bad, sizeof(bad), 0), sizeof(bad));
	RUN_UNTIL(stats().errors == 1);
	ck_assert(hung_up(fd));
	fd_close(fd);
	ck_assert(says("announces 4294967295 bytes"));
	ck_assert_ptr_nonnull(strstr(stats().last_error, "announces"));
	fd = call();
	RUN_UNTIL(stats().connections == 2);
	fd_close(fd);
}
END_TEST

START_TEST(a_client_waits_for_its_server_and_says_for_what)
{
	int server, fd;

	ck_assert_int_ge(link_make(true, 0), 0);
	RUN_UNTIL(says("No such file"));
	ck_assert(says(path));
	server = listen_there();
	RUN_UNTIL((fd = accept(server, NULL, NULL)) >= 0);
	RUN_UNTIL(stats().connections == 1);
	/* The server ends, and comes again. */
	fd_close(fd);
	fd_close(server);
	RUN_UNTIL(says("Connection refused"));
	server = listen_there();
	RUN_UNTIL((fd = accept(server, NULL, NULL)) >= 0);
	fd_close(fd);
	fd_close(server);
}
END_TEST

/* Nothing of what happened meanwhile makes it wait longer than the last of its intervals. */
START_TEST(a_client_finds_its_server_soon_however_long_that_was_away)
{
	uint64_t from;
	int server, fd;

	ck_assert_int_ge(link_make(true, 0), 0);
	for (from = now_ms(); now_ms() - from < 1500;)
		ck_assert_int_ge(sd_event_run(loop, 10000), 0);
	server = listen_there();
	/* Attempts, not time: the machine may be slow. */
	for (from = 0; (fd = accept(server, NULL, NULL)) < 0 && from < 2; from++)
		ck_assert_int_ge(sd_event_run(loop, VHOST_RETRY_LAST_US * 4), 0);
	ck_assert_int_ge(fd, 0);
	fd_close(fd);
	fd_close(server);
}
END_TEST

START_TEST(who_stops_in_the_middle_of_a_message_is_not_waited_for)
{
	const uint32_t half[2] = {2, 1};
	int fd;

	ck_assert_int_ge(link_make(false, 0), 0);
	fd = call();
	ck_assert_int_eq(send(fd, half, sizeof(half), 0), sizeof(half));
	RUN_UNTIL(stats().errors == 1);
	ck_assert(says("stopped in the middle of a message"));
	fd_close(fd);
}
END_TEST

/* Others need the control thread, and each message may stop the traffic for a moment. */
START_TEST(who_floods_is_slowed)
{
	uint32_t m[5] = {18, 1, 8, 0, 0};
	uint64_t from;
	int fd;

	ck_assert_int_ge(link_make(false, 0), 0);
	fd = call();
	from = now_ms();
	while (now_ms() - from < 1000) {
		while (send(fd, m, sizeof(m), MSG_DONTWAIT) == sizeof(m))
			;
		ck_assert_int_ge(sd_event_run(loop, 10000), 0);
	}
	/* A burst, and what the time since allows. */
	ck_assert_uint_le(stats().messages, 4096 + (now_ms() - from) * 2 + 2000);
	ck_assert_uint_ge(stats().messages, 4096);
	ck_assert_uint_eq(stats().errors, 0);
	fd_close(fd);
}
END_TEST

START_TEST(a_socket_has_the_mode_it_was_given_and_goes_with_the_port)
{
	struct stat st;

	ck_assert_int_ge(link_make(false, _i ? 0660 : 0), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, _i ? 0660 : 0600);
	vhost_link_destroy(l);
	l = NULL;
	ck_assert_int_lt(stat(path, &st), 0);
}
END_TEST

START_TEST(a_stale_socket_is_replaced_and_a_live_one_is_not)
{
	int fd = listen_there();

	ck_assert_int_eq(link_make(false, 0), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(err.text, "somebody listens"));
	fd_close(fd);
	ck_assert_int_ge(link_make(false, 0), 0);
	fd_close(call());
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vhost_link");
	TCase *t = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 40);
	tcase_add_test(t, a_second_front_end_is_refused_while_the_first_stays);
	tcase_add_test(t, who_breaks_a_rule_is_named_and_the_next_one_served);
	tcase_add_test(t, a_client_waits_for_its_server_and_says_for_what);
	tcase_add_test(t, a_client_finds_its_server_soon_however_long_that_was_away);
	tcase_add_test(t, who_stops_in_the_middle_of_a_message_is_not_waited_for);
	tcase_add_test(t, who_floods_is_slowed);
	tcase_add_loop_test(t, a_socket_has_the_mode_it_was_given_and_goes_with_the_port, 0, 2);
	tcase_add_test(t, a_stale_socket_is_replaced_and_a_live_one_is_not);
	suite_add_tcase(suite, t);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
