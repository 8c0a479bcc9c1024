/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bus: trapped address ranges, the one way a guest's access reaches a device. One for MMIO, one
 * for I/O ports.
 *
 * Thread-safe. An access is carried out without the bus lock held (a config write may move a
 * region), so a region's owner must outlive the vCPU threads, and its callbacks take the device's
 * own lock.
 */
#ifndef VIADUCT_VMM_BUS_H
#define VIADUCT_VMM_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct bus_region {
	uint64_t base, size;
	/* @off is relative to base; len 1, 2, 4 or 8; off + len is inside the region. */
	uint64_t (*read)(void *ctx, uint64_t off, unsigned int len);
	void (*write)(void *ctx, uint64_t off, unsigned int len, uint64_t val);
	void *ctx;
	const char *name; /* for messages, static */
	/*
	 * Only accesses that begin in the first @starts bytes are the region's; 0 = all of it. For
	 * port CF8, a dword register with an unrelated byte register inside (CF9).
	 */
	uint64_t starts;
};

struct bus;

int bus_create(const char *name, struct err *e, struct bus **ret);
/* Regions still there are forgotten. NULL is allowed. */
void bus_destroy(struct bus *b);
/*
 * Add a region; *@r is copied. Where regions overlap the one added first answers (guests move BARs
 * over each other; hardware would answer from both). -EINVAL: size 0 or wraps; -ENOMEM.
 */
int bus_add(struct bus *b, const struct bus_region *r, struct err *e);
/* Remove the region with this base and ctx; no effect when there is none. */
void bus_remove(struct bus *b, uint64_t base, void *ctx);
/*
 * Carry out an access. Unclaimed reads are all ones, unclaimed writes go nowhere; both are counted.
 * An access that crosses the end of its region is treated as unclaimed.
 */
uint64_t bus_read(struct bus *b, uint64_t addr, unsigned int len);
void bus_write(struct bus *b, uint64_t addr, unsigned int len, uint64_t val);
uint64_t bus_unclaimed(const struct bus *b);

#endif
