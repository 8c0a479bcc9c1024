// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"

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

static int int_cmp(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void child_isolate(struct vfm *v, int result_fd, bool keep_locks)
{
	int keep[] = {result_fd, v->sys.root_fd, keep_locks ? v->lock_fd[0] : -1,
		keep_locks ? v->lock_fd[1] : -1};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	unsigned next = 3;

	setsid();
	for (int i = 0; null >= 0 && i < 3; i++)
		dup2(null, i);
	qsort(keep, ARRAY_SIZE(keep), sizeof(keep[0]), int_cmp);
	for (size_t i = 0; i < ARRAY_SIZE(keep); i++) {
		if (keep[i] < (int)next)
			continue;
		if (keep[i] > (int)next)
			close_range(next, (unsigned)keep[i] - 1, 0);
		next = (unsigned)keep[i] + 1;
	}
	close_range(next, ~0u, 0);
}

int call_in_child(struct vfm *v, const char *what, int (*fn)(struct vfm *v, void *arg), void *arg,
	pid_t *ret_pid)
{
	unsigned start = now_ms();
	int p[2], r = 0, answer;
	ssize_t n;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		r = -errno;
		fd_close(p[0]);
		fd_close(p[1]);
		return r;
	}
	if (pid == 0) {
		child_isolate(v, p[1], true);
		answer = fn(v, arg);
		n = write(p[1], &answer, sizeof(answer));
		_exit(n == sizeof(answer) ? 0 : 1);
	}
	fd_close(p[1]);
	/* A cancel does not end this wait: the write cannot be taken back half-way. */
	for (;;) {
		struct pollfd pfd = {.fd = p[0], .events = POLLIN};
		unsigned elapsed = now_ms() - start;

		if (elapsed >= v->timeout_ms) {
			r = -ETIMEDOUT;
			break;
		}
		if (poll(&pfd, 1,
			    v->timeout_ms - elapsed < 250 ? (int)(v->timeout_ms - elapsed) : 250) >
			0) {
			n = read(p[0], &answer, sizeof(answer));
			r = n == sizeof(answer) ? answer : -EIO;
			break;
		}
		if (v->progress && elapsed >= 500)
			v->progress(v->arg, what, elapsed);
	}
	fd_close(p[0]);
	if (r == -ETIMEDOUT) {
		/* Not killed: a signal turns VFIO's wait into one that cannot be interrupted. */
		log_debug("vf-manager: process %d still waits: %s", (int)pid, what);
		*ret_pid = pid;
		lock_hand_over(v, pid);
	} else {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	return r;
}

void *shared_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void shared_free(void *p, size_t size)
{
	munmap(p, size);
}

struct child_write {
	const char *path, *text;
};

static int child_write(struct vfm *v, void *arg)
{
	const struct child_write *w = arg;

	return v->ops->write(v->ops_ctx, &v->sys, w->path, w->text, strlen(w->text));
}

int write_in_child(
	struct vfm *v, const char *what, const char *path, const char *text, pid_t *ret_pid)
{
	struct child_write w = {.path = path, .text = text};

	log_debug("vf-manager: write '%s' to %s", text, path);
	return call_in_child(v, what, child_write, &w, ret_pid);
}
