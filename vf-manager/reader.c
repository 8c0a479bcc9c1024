// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Attributes that the kernel shows under the device's lock: driver_override and sriov_vf_total_msix
 * (drivers/pci). Whoever removes the device has that lock, and has it for as long as somebody does not
 * let go of a VF; a reader then cannot even be killed. So another process reads them, one for the
 * life of the context, and is left behind when it does not answer.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"

#define ANSWER_TIMEOUT_MS 250
#define LEFT_MAX          4 /* a machine where more than that are stuck is not asked any more */

struct question {
	uint32_t number;
	struct bdf bdf;
	char attr[48];
};

struct reply {
	uint32_t number;
	int r;
	char text[VFM_NAME_MAX];
};

static void __attribute__((noreturn)) reader_main(struct vfm *v, int fd)
{
	struct question q;

	child_isolate(v, fd, false);
	while (recv(fd, &q, sizeof(q), 0) == sizeof(q)) {
		struct reply a = {.number = q.number};
		char path[PATH_MAX];

		a.r = sysfs_read(&v->sys, sysfs_pci_path(q.bdf, q.attr, path, sizeof(path)), a.text,
			sizeof(a.text));
		if (send(fd, &a, sizeof(a), MSG_NOSIGNAL) != sizeof(a))
			break;
	}
	_exit(0);
}

static int reader_start(struct vfm *v)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	v->reader_pid = fork();
	if (v->reader_pid < 0) {
		fd_close(pair[0]);
		fd_close(pair[1]);
		return -errno;
	}
	if (v->reader_pid == 0)
		reader_main(v, pair[1]);
	fd_close(pair[1]);
	v->reader_fd = pair[0];
	return 0;
}

/* It ends when its socket does, or when the kernel lets it. */
static void reader_leave(struct vfm *v)
{
	v->reader_fd = fd_close(v->reader_fd);
	v->readers_left++;
}

void reader_finish(struct vfm *v)
{
	if (v->reader_fd < 0)
		return;
	v->reader_fd = fd_close(v->reader_fd);
	/* It waits for a question and nothing else, so this does not last. */
	while (waitpid(v->reader_pid, NULL, 0) < 0 && errno == EINTR)
		;
}

int dev_read_guarded(struct vfm *v, struct bdf b, const char *attr, char *buf, size_t size)
{
	struct question q = {.bdf = b};
	struct reply a = {0};
	struct pollfd p;
	int n, r;

	*buf = '\0';
	if (v->readers_left >= LEFT_MAX)
		return -ETIMEDOUT;
	r = v->reader_fd < 0 ? reader_start(v) : 0;
	if (r < 0)
		return r;
	q.number = ++v->questions;
	snprintf(q.attr, sizeof(q.attr), "%s", attr);
	if (send(v->reader_fd, &q, sizeof(q), MSG_NOSIGNAL) != sizeof(q)) {
		reader_leave(v);
		return -EIO;
	}
	p = (struct pollfd){.fd = v->reader_fd, .events = POLLIN};
	do
		n = poll(&p, 1, ANSWER_TIMEOUT_MS);
	while (n < 0 && errno == EINTR);
	if (n <= 0 || recv(v->reader_fd, &a, sizeof(a), 0) != sizeof(a) || a.number != q.number) {
		reader_leave(v);
		return n <= 0 ? -ETIMEDOUT : -EIO;
	}
	a.text[sizeof(a.text) - 1] = '\0';
	if (a.r >= 0)
		copy_printable(buf, size, a.text);
	return a.r < 0 ? a.r : 0;
}
