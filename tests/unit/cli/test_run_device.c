// SPDX-License-Identifier: GPL-2.0-or-later
/* What `viaduct run` does about errors and requests of devices, on devices that only write down. */
#include "cli/run_device.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli/run.h"
#include "common/cleanup.h"

struct assigned {
	enum assigned_state state;
	int fd[ASSIGNED_SIGNALS];
	unsigned int isolated, detached, forgotten;
};

static struct assigned dev[2];
static unsigned int pressed, quits;
static int quit_status;
static struct guest guest;
static struct run_options opt;
static struct run_devices devices;
static sd_event *event;

int assigned_signal_fd(const struct assigned *a, enum assigned_signal_kind kind)
{
	return a->fd[kind];
}

uint64_t assigned_signal_take(struct assigned *a, enum assigned_signal_kind kind)
{
	uint64_t n;

	return read(a->fd[kind], &n, sizeof(n)) == sizeof(n) ? n : 0;
}

enum assigned_state assigned_state(const struct assigned *a)
{
	return a->state;
}

void assigned_isolate(struct assigned *a)
{
	a->isolated++;
	a->state = ASSIGNED_ISOLATED;
}

void assigned_detach(struct assigned *a)
{
	a->detached++;
	a->state = ASSIGNED_DETACHED;
}

struct bdf assigned_bdf(const struct assigned *a)
{
	return (struct bdf){.bus = 1, .dev = (uint8_t)(a - dev)};
}

void run_leases_forget(struct run_leases *l, struct bdf b)
{
	dev[b.dev].forgotten++;
}

void guest_power_button(struct guest *g)
{
	pressed++;
}

static void quit(void *ctx, int status)
{
	quits++;
	quit_status = status;
	sd_event_exit(event, 0);
}

static void setup(void)
{
	memset(dev, 0, sizeof(dev));
	pressed = quits = 0;
	quit_status = -1;
	opt = (struct run_options){.name = "g", .n_assign = 2, .device_timeout = 1};
	guest = (struct guest){.opt = &opt};
	for (size_t i = 0; i < ARRAY_SIZE(dev); i++) {
		guest.assigned[i] = &dev[i];
		for (unsigned int k = 0; k < ASSIGNED_SIGNALS; k++)
			dev[i].fd[k] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	}
	ck_assert_int_ge(sd_event_new(&event), 0);
	devices = (struct run_devices){.guest = &guest, .quit = quit};
	ck_assert_int_eq(run_devices_watch(&devices, event, NULL), 0);
}

static void teardown(void)
{
	run_devices_finish(&devices);
	event = sd_event_unref(event);
	for (size_t i = 0; i < ARRAY_SIZE(dev); i++)
		for (unsigned int k = 0; k < ASSIGNED_SIGNALS; k++)
			close(dev[i].fd[k]);
}

static void tell(unsigned int i, enum assigned_signal_kind kind)
{
	const uint64_t one = 1;

	ck_assert_int_eq(write(dev[i].fd[kind], &one, sizeof(one)), sizeof(one));
}

/* What is there to be done now. */
static void settle(void)
{
	while (sd_event_run(event, 0) > 0)
		;
}

START_TEST(error_isolates_once_and_alone)
{
	tell(1, ASSIGNED_ERROR);
	settle();
	tell(1, ASSIGNED_ERROR);
	settle();
	ck_assert_uint_eq(dev[1].isolated, 1);
	ck_assert_uint_eq(dev[0].isolated, 0);
	ck_assert_uint_eq(quits, 0);
	ck_assert_uint_eq(pressed, 0);
}
END_TEST

START_TEST(error_stops_the_guest_by_policy)
{
	opt.on_device_error = DEVICE_END;
	tell(0, ASSIGNED_ERROR);
	settle();
	ck_assert_uint_eq(dev[0].isolated, 1);
	ck_assert_uint_eq(quits, 1);
	ck_assert_int_eq(quit_status, RUN_DEVICE_ERROR);
}
END_TEST

START_TEST(request_detaches_also_after_an_error_and_only_once)
{
	tell(0, ASSIGNED_ERROR);
	settle();
	tell(0, ASSIGNED_REQUEST);
	tell(0, ASSIGNED_REQUEST);
	settle();
	tell(0, ASSIGNED_REQUEST);
	settle();
	/* Too late for it to matter. */
	tell(0, ASSIGNED_ERROR);
	settle();
	ck_assert_uint_eq(dev[0].detached, 1);
	ck_assert_uint_eq(dev[0].isolated, 1);
	ck_assert_uint_eq(dev[0].forgotten, 1);
	ck_assert_uint_eq(dev[1].detached + dev[1].forgotten, 0);
	ck_assert_uint_eq(quits, 0);
	ck_assert(!run_devices_ending(&devices));
}
END_TEST

START_TEST(request_shuts_down_and_ends_the_guest_in_time)
{
	opt.on_device_request = DEVICE_END;
	tell(0, ASSIGNED_REQUEST);
	settle();
	ck_assert_uint_eq(pressed, 1);
	ck_assert(run_devices_ending(&devices));
	/* Ten seconds later, or of another device: once more, and not from the beginning. */
	tell(1, ASSIGNED_REQUEST);
	settle();
	ck_assert_uint_eq(pressed, 2);
	ck_assert_uint_eq(dev[0].detached + dev[1].detached, 0);
	/* Ends by the deadline. */
	ck_assert_int_ge(sd_event_loop(event), 0);
	ck_assert_uint_eq(quits, 1);
	ck_assert_int_eq(quit_status, RUN_DEVICE_WANTED);
}
END_TEST

/* The loop does not run while a kernel is being loaded. */
START_TEST(request_is_heard_while_the_guest_starts)
{
	opt.on_device_request = _i ? DEVICE_END : DEVICE_LET_GO;
	ck_assert(!run_devices_poll(&devices));
	tell(1, ASSIGNED_ERROR);
	tell(1, ASSIGNED_REQUEST);
	ck_assert_int_eq(run_devices_poll(&devices), _i);
	ck_assert_uint_eq(dev[1].isolated, 1);
	ck_assert_uint_eq(dev[1].detached, !_i);
	ck_assert_uint_eq(quits, (unsigned int)_i);
	ck_assert_uint_eq(pressed, 0);
	if (_i)
		ck_assert_int_eq(quit_status, RUN_DEVICE_WANTED);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("run-device");
	TCase *t = tcase_create("policies");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, error_isolates_once_and_alone);
	tcase_add_test(t, error_stops_the_guest_by_policy);
	tcase_add_test(t, request_detaches_also_after_an_error_and_only_once);
	tcase_add_test(t, request_shuts_down_and_ends_the_guest_in_time);
	tcase_add_loop_test(t, request_is_heard_while_the_guest_starts, 0, 2);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
