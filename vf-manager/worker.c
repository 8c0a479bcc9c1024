// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Calls that the kernel may keep for ever, and whoever makes them with it: another process makes them,
 * one for the life of the context since a process costs more than most of these calls. When it does not
 * answer in time it is left behind, and the next call gets a new one. A call that changes something
 * takes our locks along, so that nobody else starts what is not done yet.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "vf-manager/internal.h"

#define LOCKS 2

struct request {
	uint64_t number;
	worker_fn fn; /* the worker is a fork of us: it has the same functions */
	uint32_t reply_size;
	_Alignas(8) unsigned char arg[WORKER_ARG_MAX];
};

struct answer {
	uint64_t number;
	int r;
	_Alignas(8) unsigned char reply[WORKER_REPLY_MAX];
};

union lock_space {
	struct cmsghdr align;
	char space[CMSG_SPACE(LOCKS * sizeof(int))];
};

static int int_cmp(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* It may outlive us: it must not hold our caller's pipes and locks open. */
static void isolate(struct vfm *v, int fd)
{
	int keep[] = {fd, v->sys.root_fd};
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

/* The next request and the locks that came with it; false: there will be none. */
static bool request_take(int fd, struct request *q, int lock[static LOCKS])
{
	struct iovec io = {q, sizeof(*q)};
	union lock_space c;
	struct msghdr m = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};
	struct cmsghdr *h;
	ssize_t n;

	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	lock[0] = lock[1] = -1;
	h = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
		memcpy(lock, CMSG_DATA(h), h->cmsg_len - CMSG_LEN(0));
	return n > 0;
}

static void __attribute__((noreturn)) worker_main(struct vfm *v, int fd)
{
	struct request q = {0};
	int lock[LOCKS];

	isolate(v, fd);
	while (request_take(fd, &q, lock)) {
		struct answer a = {.number = q.number};

		a.r = q.fn(v, q.arg, a.reply);
		/* Before the answer: who is answered finds them free. */
		for (size_t i = 0; i < LOCKS; i++)
			fd_close(lock[i]);
		if (send(fd, &a, offsetof(struct answer, reply) + q.reply_size, MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

static int worker_start(struct vfm *v)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		fd_close(pair[0]);
		fd_close(pair[1]);
		return -errno;
	}
	if (pid == 0)
		worker_main(v, pair[1]);
	fd_close(pair[1]);
	v->worker_pid = pid;
	v->worker_owner = getpid();
	v->worker_fd = pair[0];
	return 0;
}

/* It ends when its socket does, or when the kernel lets it. */
static void worker_leave(struct vfm *v)
{
	v->worker_fd = fd_close(v->worker_fd);
}

void worker_finish(struct vfm *v)
{
	if (v->worker_fd < 0)
		return;
	v->worker_fd = fd_close(v->worker_fd);
	/* It is gone, or waits for a request and nothing else: this does not last. */
	while (v->worker_owner == getpid() && waitpid(v->worker_pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int request_send(struct vfm *v, const struct request *q, size_t size, bool with_locks)
{
	struct iovec io = {(void *)q, size};
	union lock_space c = {0};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
	int lock[LOCKS];
	size_t n = 0;

	for (size_t i = 0; with_locks && i < LOCKS; i++)
		if (v->lock_fd[i] >= 0)
			lock[n++] = v->lock_fd[i];
	if (n) {
		m.msg_control = &c;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		*CMSG_FIRSTHDR(&m) = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(n * sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), lock, n * sizeof(int));
	}
	return sendmsg(v->worker_fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* To a worker of our own that is there: one may have been killed while it had nothing to do. */
static int request_hand(struct vfm *v, const struct request *q, size_t size, bool with_locks)
{
	int r = -EPIPE;

	if (v->worker_fd >= 0 && v->worker_owner == getpid())
		r = request_send(v, q, size, with_locks);
	if (r == 0)
		return 0;
	worker_finish(v);
	r = worker_start(v);
	return r < 0 ? r : request_send(v, q, size, with_locks);
}

static int answer_take(struct vfm *v, const struct worker_call *c, uint64_t number)
{
	struct answer a;
	ssize_t n = recv(v->worker_fd, &a, sizeof(a), 0);

	/* It died. Whether before or after the kernel's work is for the caller to find out. */
	if (n != (ssize_t)(offsetof(struct answer, reply) + c->reply_size) || a.number != number) {
		worker_leave(v);
		return -EIO;
	}
	if (c->reply_size)
		memcpy(c->reply, a.reply, c->reply_size);
	return a.r;
}

int worker_run(struct vfm *v, const struct worker_call *c)
{
	struct request q = {
		.number = ++v->questions,
		.fn = c->fn,
		.reply_size = (uint32_t)c->reply_size,
	};
	unsigned start = now_ms();
	int r;

	assert(c->arg_size <= sizeof(q.arg) && c->reply_size <= WORKER_REPLY_MAX);
	memcpy(q.arg, c->arg, c->arg_size);
	r = request_hand(v, &q, offsetof(struct request, arg) + c->arg_size, c->with_locks);
	if (r < 0)
		return r;
	/* A cancel does not end this wait: what was begun cannot be taken back half-way. */
	for (;;) {
		struct pollfd p = {.fd = v->worker_fd, .events = POLLIN};
		unsigned elapsed = now_ms() - start;
		unsigned left = elapsed < c->timeout_ms ? c->timeout_ms - elapsed : 0;

		if (!left)
			break;
		if (poll(&p, 1, left < 250 ? (int)left : 250) > 0)
			return answer_take(v, c, q.number);
		if (c->what && v->progress && elapsed >= 500)
			v->progress(v->arg, c->what, elapsed);
	}
	/* Not killed: a signal turns VFIO's wait into one that cannot be interrupted. */
	log_debug("vf-manager: process %d still waits: %s", (int)v->worker_pid,
		c->what ? c->what : "a reader");
	if (c->ret_stuck)
		*c->ret_stuck = v->worker_pid;
	if (c->with_locks)
		lock_hand_over(v, v->worker_pid);
	worker_leave(v);
	return -ETIMEDOUT;
}

struct write_arg {
	char path[WORKER_PATH_MAX], text[128];
};

static int write_do(struct vfm *v, const void *arg, void *reply)
{
	const struct write_arg *w = arg;

	return v->ops->write(v->ops_ctx, &v->sys, w->path, w->text, strlen(w->text));
}

int worker_write(
	struct vfm *v, const char *what, const char *path, const char *text, pid_t *ret_stuck)
{
	struct write_arg w = {0};
	const struct worker_call c = {
		.what = what,
		.fn = write_do,
		.arg = &w,
		.arg_size = sizeof(w),
		.timeout_ms = v->timeout_ms,
		.with_locks = true,
		.ret_stuck = ret_stuck,
	};

	if (strlen(path) >= sizeof(w.path) || strlen(text) >= sizeof(w.text))
		return -ENAMETOOLONG;
	memcpy(w.path, path, strlen(path));
	memcpy(w.text, text, strlen(text));
	log_debug("vf-manager: write '%s' to %s", text, path);
	return worker_run(v, &c);
}
