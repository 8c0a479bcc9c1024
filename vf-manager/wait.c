// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define POLL_MIN_US 200
#define POLL_MAX_US 50000

uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

unsigned now_ms(void)
{
	return (unsigned)(now_us() / 1000);
}

int wait_until(struct vfm *v, const char *what, unsigned timeout_ms,
	int (*cond)(struct vfm *v, void *arg), void *arg)
{
	uint64_t start = now_us();
	unsigned said = 0;

	/*
	 * Polls: sysfs links and interface states give no event that all kernels send, and udev's
	 * order against ours is not defined. Each step is a hundredth of what was waited already, so
	 * that no more than that is waited in vain.
	 */
	for (;;) {
		uint64_t us = now_us() - start;
		unsigned elapsed = (unsigned)(us / 1000), step;
		int r = cond(v, arg);

		if (r)
			return r < 0 ? r : 0;
		if (v->cancel && *v->cancel)
			return -EINTR;
		if (elapsed >= timeout_ms)
			return -ETIMEDOUT;
		if (v->progress && elapsed - said >= 500) {
			v->progress(v->arg, what, elapsed);
			said = elapsed;
		}
		step = us / 100 > POLL_MAX_US ? POLL_MAX_US : (unsigned)(us / 100);
		usleep(step < POLL_MIN_US ? POLL_MIN_US : step);
	}
}
