/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `viaduct run`: what the host tells of assigned devices while the guest runs (errors of the hardware,
 * and that it wants a device back), and what the user wants done about it. Control thread only.
 */
#ifndef VIADUCT_CLI_RUN_DEVICE_H
#define VIADUCT_CLI_RUN_DEVICE_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "cli/run_assign.h"
#include "common/err.h"

enum device_policy {
	DEVICE_LET_GO, /* isolate (error) or detach (request); the guest goes on */
	DEVICE_END,    /* stop (error) or shut down (request) */
};

#define DEVICE_TIMEOUT_DEFAULT 30u
#define DEVICE_TIMEOUT_MAX     3600u

struct guest;

struct run_devices {
	struct guest *guest;
	/* End the guest with this exit status. */
	void (*quit)(void *ctx, int status);
	void *ctx;
	/* private */
	sd_event *event;
	sd_event_source *deadline; /* the guest was asked to shut down */
	struct run_device {
		struct run_devices *all;
		unsigned int i;
	} of[RUN_MAX_ASSIGN];
};

/* The devices are assigned: hear of them on @event from now on. */
int run_devices_watch(struct run_devices *d, sd_event *event, struct err *e);
/* While the loop does not run: do what must not wait. True: the guest is to end. */
bool run_devices_poll(struct run_devices *d);
/* Was the guest asked to shut down? Then it must not start again. */
bool run_devices_ending(const struct run_devices *d);
/* Before the event loop goes. */
void run_devices_finish(struct run_devices *d);

#endif
