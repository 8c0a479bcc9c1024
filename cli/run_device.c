// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/run_device.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "cli/run.h"

static void say(const struct guest *g, unsigned int i, const char *what)
{
	char name[BDF_STRLEN];

	fprintf(stderr, "viaduct run: %s: %s: %s\n", g->opt->name,
		bdf_format(assigned_bdf(g->assigned[i]), name), what);
}

static void on_error(struct run_devices *d, unsigned int i)
{
	struct guest *g = d->guest;
	bool first = assigned_state(g->assigned[i]) == ASSIGNED_PRESENT;

	/* One that is isolated already is only counted: broken hardware may go on and on. */
	if (!first)
		return;
	/* Either way it does nothing more from here on. */
	assigned_isolate(g->assigned[i]);
	if (g->opt->on_device_error == DEVICE_END) {
		say(g, i,
			"the hardware reported an uncorrectable error; the guest is stopped "
			"(--on-device-error stop). The host's kernel log names the error");
		d->quit(d->ctx, RUN_DEVICE_ERROR);
		return;
	}
	say(g, i,
		"the hardware reported an uncorrectable error; the device is isolated and the "
		"guest "
		"reads all ones from it. The host's kernel log names the error; a reboot of the "
		"guest "
		"resets the device");
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct run_devices *d = ctx;

	fprintf(stderr,
		"viaduct run: %s: the guest did not shut down in %u s; it is ended, for the host "
		"wants a "
		"device back\n",
		d->guest->opt->name, d->guest->opt->device_timeout);
	d->quit(d->ctx, RUN_DEVICE_WANTED);
	return 0;
}

static void shut_down(struct run_devices *d, unsigned int i)
{
	struct guest *g = d->guest;
	char what[160];

	/* The host asks every ten seconds: a guest that was not listening yet gets another chance. */
	guest_power_button(g);
	if (d->deadline)
		return;
	snprintf(what, sizeof(what),
		"the host wants the device back; the guest is asked to shut down and ended after "
		"%u s "
		"(--device-timeout)",
		g->opt->device_timeout);
	say(g, i, what);
	if (sd_event_add_time_relative(d->event, &d->deadline, CLOCK_MONOTONIC,
		    (uint64_t)g->opt->device_timeout * 1000000, 100000, on_deadline, d) < 0)
		d->quit(d->ctx, RUN_DEVICE_WANTED);
}

static void detach(struct run_devices *d, unsigned int i)
{
	struct guest *g = d->guest;

	if (assigned_state(g->assigned[i]) == ASSIGNED_DETACHED)
		return;
	assigned_detach(g->assigned[i]);
	/* Whoever took it waits no more, so what he has locked comes free. */
	run_leases_forget(g->leases, assigned_bdf(g->assigned[i]));
	say(g, i,
		"the host wanted the device back and has it; the guest goes on without it. To give "
		"it "
		"again, bind it to vfio-pci (`viaduct vf bind`) and start the guest anew");
}

static void device_check(struct run_devices *d, unsigned int i)
{
	struct assigned *a = d->guest->assigned[i];

	if (assigned_signal_take(a, ASSIGNED_ERROR))
		on_error(d, i);
	if (!assigned_signal_take(a, ASSIGNED_REQUEST))
		return;
	if (d->guest->opt->on_device_request == DEVICE_END)
		shut_down(d, i);
	else
		detach(d, i);
}

static int on_signal_fd(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	struct run_device *of = ctx;

	device_check(of->all, of->i);
	return 0;
}

int run_devices_watch(struct run_devices *d, sd_event *event, struct err *e)
{
	struct guest *g = d->guest;

	d->event = event;
	for (unsigned int i = 0; i < g->opt->n_assign && g->assigned[i]; i++) {
		d->of[i] = (struct run_device){d, i};
		for (unsigned int k = 0; k < ASSIGNED_SIGNALS; k++) {
			int fd = assigned_signal_fd(g->assigned[i], k), r;

			if (fd < 0)
				continue;
			r = sd_event_add_io(event, NULL, fd, EPOLLIN, on_signal_fd, &d->of[i]);
			if (r < 0)
				return err_sys(e, -r, "watch the assigned devices");
		}
	}
	return 0;
}

bool run_devices_poll(struct run_devices *d)
{
	struct guest *g = d->guest;
	bool end = false;

	for (unsigned int i = 0; i < g->opt->n_assign && g->assigned[i]; i++) {
		if (assigned_signal_take(g->assigned[i], ASSIGNED_ERROR)) {
			on_error(d, i);
			end |= g->opt->on_device_error == DEVICE_END;
		}
		if (!assigned_signal_take(g->assigned[i], ASSIGNED_REQUEST))
			continue;
		if (g->opt->on_device_request == DEVICE_LET_GO) {
			detach(d, i);
			continue;
		}
		/* Nobody is there to press a button for. */
		say(g, i, "the host wants the device back; the guest, which is starting, is ended");
		d->quit(d->ctx, RUN_DEVICE_WANTED);
		end = true;
	}
	return end;
}

bool run_devices_ending(const struct run_devices *d)
{
	return d->deadline != NULL;
}

void run_devices_finish(struct run_devices *d)
{
	d->deadline = sd_event_source_unref(d->deadline);
}
