// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct switch run: from the file to the event loop, and what systemd(1) is told on the way. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "cli/switch.h"
#include "common/cleanup.h"
#include "vswitch/metrics_http.h"
#include "vswitch/vswitch.h"

#define STATUS_US 5000000

struct run {
	const char *path;
	struct switch_config *cfg;
	struct vswitch *sw;
	struct control *control;
	struct metrics_http *metrics;
	sd_event *loop;
	sd_event_source *timer;
	unsigned int ports, up; /* as last told */
};

static int on_end(sd_event_source *s, const struct signalfd_siginfo *info, void *ctx)
{
	return sd_event_exit(sd_event_source_get_event(s), 0);
}

static void status_tell(struct run *r)
{
	struct vswitch_port p;
	unsigned int cursor = 0, ports = 0, up = 0;

	vswitch_lock(r->sw);
	while (vswitch_port_next(r->sw, &cursor, &p)) {
		ports++;
		up += p.up;
	}
	vswitch_unlock(r->sw);
	if (ports != r->ports || up != r->up)
		sd_notifyf(0, "STATUS=%u of %u ports have a link", up, ports);
	r->ports = ports;
	r->up = up;
}

static int on_status(sd_event_source *s, uint64_t now_us, void *ctx)
{
	status_tell(ctx);
	sd_event_source_set_time_relative(s, STATUS_US);
	return 0;
}

/* Become what the file says now; when it cannot be, stay. */
static int on_reload(sd_event_source *s, const struct signalfd_siginfo *info, void *ctx)
{
	struct switch_config *want = NULL;
	struct run *run = ctx;
	struct err e = {0};
	struct timespec now;
	json_t *steps = NULL;
	int r;

	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		(uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	r = switch_config_load(run->path, &e, &want);
	if (r >= 0) {
		vswitch_lock(run->sw);
		r = vswitch_apply(run->sw, want, false, &e, &steps);
		vswitch_unlock(run->sw);
	}
	if (r < 0) {
		fprintf(stderr, "viaduct switch: not reloaded: %s\n", e.text);
		sd_notifyf(0, "READY=1\nSTATUS=not reloaded: %s", e.text);
		run->ports = UINT_MAX;
	} else {
		fprintf(stderr, "viaduct switch: reloaded %s: %zu changes\n", run->path,
			json_array_size(steps));
		sd_notify(0, "READY=1");
	}
	json_decref(steps);
	switch_config_destroy(want);
	return 0;
}

static int loop_prepare(struct run *run, struct err *e)
{
	sigset_t set;
	int r;

	/* Before any other thread: they inherit it. */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	r = sd_event_new(&run->loop);
	if (r >= 0)
		r = sd_event_add_signal(run->loop, NULL, SIGINT, on_end, NULL);
	if (r >= 0)
		r = sd_event_add_signal(run->loop, NULL, SIGTERM, on_end, NULL);
	if (r >= 0)
		r = sd_event_add_signal(run->loop, NULL, SIGHUP, on_reload, run);
	if (r >= 0)
		r = sd_event_add_time_relative(
			run->loop, &run->timer, CLOCK_MONOTONIC, STATUS_US, 100000, on_status, run);
	if (r >= 0)
		r = sd_event_source_set_enabled(run->timer, SD_EVENT_ON);
	/* Only if the unit asks for it. */
	if (r >= 0)
		r = sd_event_set_watchdog(run->loop, 1);
	return r < 0 ? err_sys(e, -r, "make an event loop") : 0;
}

static int run_start(struct run *run, struct err *e)
{
	const struct switch_config *cfg = run->cfg;
	int r, fd = -1;

	r = control_listen(cfg->socket, cfg->group, e, &fd);
	/* Nothing else is invalid: the path has been looked at. */
	if (r < 0)
		return switch_config_blame(cfg, r, e, "%s", r == -EINVAL ? "group" : "socket");
	r = vswitch_create(cfg, run->loop, e, &run->sw);
	if (r < 0) {
		unlink(cfg->socket);
		fd_close(fd);
		return r;
	}
	r = control_create(run->sw, cfg->socket, &fd, run->loop, e, &run->control);
	if (r >= 0 && cfg->prometheus[0])
		r = switch_config_blame(cfg,
			metrics_http_create(run->sw, cfg->prometheus, run->loop, e, &run->metrics),
			e, "prometheus");
	return r;
}

int switch_run(const char *path, struct err *e)
{
	struct run run = {.path = path, .ports = UINT_MAX};
	int r;

	r = switch_config_load(path, e, &run.cfg);
	if (r >= 0)
		r = loop_prepare(&run, e);
	if (r >= 0)
		r = run_start(&run, e);
	if (r >= 0) {
		sd_notify(0, "READY=1");
		status_tell(&run);
		r = sd_event_loop(run.loop);
		if (r < 0)
			err_sys(e, -r, "run the event loop");
		sd_notify(0, "STOPPING=1");
	} else {
		sd_notifyf(0, "STATUS=%s\nERRNO=%d", e->text, -r);
	}
	metrics_http_destroy(run.metrics);
	control_destroy(run.control);
	vswitch_destroy(run.sw);
	sd_event_source_unref(run.timer);
	sd_event_unref(run.loop);
	switch_config_destroy(run.cfg);
	return r;
}
