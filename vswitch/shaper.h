/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Egress shaping: frames wait in a bounded queue, first in first out, until the port's rate lets them
 * go. A frame may leave when its time has come: each moves the time of the next by what it takes at the
 * rate, and @burst may go ahead of it. What holds a frame is the caller's; here it is a pointer.
 *
 * Not thread-safe: egress.c locks.
 */
#ifndef VIADUCT_VSWITCH_SHAPER_H
#define VIADUCT_VSWITCH_SHAPER_H

#include <stdbool.h>
#include <stdint.h>

#define SHAPER_FRAMES_MAX 512
#define SHAPER_NEVER      UINT64_MAX

struct shape {
	uint64_t rate;  /* bytes a second; 0 = no limit */
	uint64_t burst; /* bytes that may leave at once after a pause */
	uint64_t limit; /* bytes that may wait */
};

struct shaper_frame {
	void *frame;
	uint32_t len;
};

struct shaper {
	struct shape cfg;
	uint64_t burst_ns; /* what cfg.burst takes at the rate */
	uint64_t next_ns, rest;
	uint64_t bytes; /* that wait */
	uint32_t head, count;
	struct shaper_frame ring[SHAPER_FRAMES_MAX];
};

void shaper_init(struct shaper *s, const struct shape *cfg, uint64_t now_ns);

/* From now on by @cfg; what waits stays. */
void shaper_set(struct shaper *s, const struct shape *cfg, uint64_t now_ns);

/* Let a frame of @len bytes wait. Returns 0, or -ENOBUFS when the queue is full. */
int shaper_push(struct shaper *s, void *frame, uint32_t len);

/* The next frame, if it may leave at @now_ns, or NULL. */
void *shaper_pop(struct shaper *s, uint64_t now_ns);

/* The next frame whatever the rate, or NULL: to empty the queue. */
void *shaper_take(struct shaper *s);

/* How long until shaper_pop() has something: 0 = now, SHAPER_NEVER = nothing waits. */
uint64_t shaper_wait_ns(const struct shaper *s, uint64_t now_ns);

#endif
