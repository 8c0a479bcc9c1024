// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct switch run */
#include <signal.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "cli/switch.h"
#include "vswitch/vswitch.h"

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *info, void *ctx)
{
	return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int signals_watch(sd_event *loop, struct err *e)
{
	sigset_t set;
	int r;

	/* Before any other thread: they inherit it. */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	r = sd_event_add_signal(loop, NULL, SIGINT, on_signal, NULL);
	if (r >= 0)
		r = sd_event_add_signal(loop, NULL, SIGTERM, on_signal, NULL);
	return r < 0 ? err_sys(e, -r, "watch signals") : 0;
}

int switch_run(const char *path, struct err *e)
{
	struct switch_config *cfg = NULL;
	struct control *control = NULL;
	struct vswitch *sw = NULL;
	sd_event *loop = NULL;
	int r;

	r = switch_config_load(path, e, &cfg);
	if (r >= 0) {
		r = sd_event_new(&loop);
		if (r < 0)
			err_sys(e, -r, "make an event loop");
	}
	if (r >= 0)
		r = signals_watch(loop, e);
	if (r >= 0)
		r = vswitch_create(cfg, loop, e, &sw);
	if (r >= 0)
		r = control_create(sw, cfg->socket, loop, e, &control);
	if (r >= 0) {
		sd_notify(0, "READY=1");
		r = sd_event_loop(loop);
		if (r < 0)
			err_sys(e, -r, "run the event loop");
		sd_notify(0, "STOPPING=1");
	}
	control_destroy(control);
	vswitch_destroy(sw);
	sd_event_unref(loop);
	switch_config_destroy(cfg);
	return r;
}
