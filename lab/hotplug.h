/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices of L1 that come and go while it runs: L1 asks by a port of its own (proto.h), and QEMU's
 * monitor (QMP) is told to plug or unplug one of the devices it was started with. L1 never speaks to
 * the monitor itself, which could open any file of this machine.
 */
#ifndef VIADUCT_LAB_HOTPLUG_H
#define VIADUCT_LAB_HOTPLUG_H

#include "lab/lab.h"

/* Longest line QEMU sends that is looked at; a longer one ends the conversation. */
#define LAB_QMP_MAX 16384

struct line_buffer {
	char *data;
	size_t len, size;
};

struct hotplug {
	const struct lab_config *cfg;
	int port;     /* L1's end, or -1 */
	int monitor;  /* QEMU's, or -1 */
	bool waiting; /* for the monitor's answer; until it came no other request is read */
	struct line_buffer in, qmp;
};

/* @port and @monitor are non-blocking stream sockets and become @h's. 0 or -ENOMEM. */
int hotplug_init(struct hotplug *h, const struct lab_config *cfg, int port, int monitor);
void hotplug_finish(struct hotplug *h);

/*
 * Call these when poll(2) reports something of @h->port, which is not to be polled while
 * @h->waiting, or of @h->monitor. A peer that misbehaves is not spoken to again.
 */
void hotplug_port_ready(struct hotplug *h);
void hotplug_monitor_ready(struct hotplug *h);

/*
 * The QMP command for a request of L1's, without its newline: malloc'd text in *ret. -EINVAL: no
 * such request or device, or one that cannot be plugged again (NVMe); @e says which there are.
 */
int hotplug_command(const struct lab_config *cfg, const char *request, char **ret, struct err *e);

#endif
