/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that somebody else's file is mapped to may go away under us: who has the file can cut it
 * short, and whoever touches the mapping then gets SIGBUS. Within guarded memory that signal puts
 * memory of our own in the mapping's place, which nobody else sees, and tells its owner, who gives the
 * peer up. Outside it a SIGBUS is our own mistake and ends the process as ever.
 *
 * Add and remove from one thread; memory is removed when nobody touches it any more. Private to
 * vswitch.
 */
#ifndef VIADUCT_VSWITCH_BUS_GUARD_H
#define VIADUCT_VSWITCH_BUS_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct bus_guard {
	uint8_t *base;
	size_t len, page; /* bytes, both multiples of the mapping's page size */
	int wake_fd;      /* eventfd, nonblocking: signalled when the memory went away */
	_Atomic bool gone;
};

/* Guard @g, which must stay where it is. Returns 0, -ENOSPC or what sigaction(2) says. */
int bus_guard_add(struct bus_guard *g, struct err *e);

/* No longer; nothing if it was not. */
void bus_guard_remove(struct bus_guard *g);

#endif
