// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vfio/internal.h"

static int linux_open(void *ctx, const char *path, int flags)
{
	int fd = open(path, flags);

	return fd < 0 ? -errno : fd;
}

static int linux_close(void *ctx, int fd)
{
	return close(fd) < 0 ? -errno : 0;
}

static int linux_ioctl(void *ctx, int fd, unsigned long req, void *arg)
{
	int r = ioctl(fd, req, arg);

	return r < 0 ? -errno : r;
}

static ssize_t linux_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	ssize_t r = pread(fd, buf, len, (off_t)off);

	return r < 0 ? -errno : r;
}

static ssize_t linux_pwrite(void *ctx, int fd, const void *buf, size_t len, uint64_t off)
{
	ssize_t r = pwrite(fd, buf, len, (off_t)off);

	return r < 0 ? -errno : r;
}

static int linux_mmap(
	void *ctx, void *addr, size_t len, int prot, int flags, int fd, uint64_t off, void **ret)
{
	void *p = mmap(addr, len, prot, flags, fd, (off_t)off);

	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

static int linux_munmap(void *ctx, void *addr, size_t len)
{
	return munmap(addr, len) < 0 ? -errno : 0;
}

static void linux_pause(void *ctx, unsigned int msec)
{
	struct timespec ts = {.tv_sec = msec / 1000, .tv_nsec = msec % 1000 * 1000000L};

	nanosleep(&ts, NULL);
}

const struct vfio_sys vfio_sys_linux = {
	.open = linux_open,
	.close = linux_close,
	.ioctl = linux_ioctl,
	.pread = linux_pread,
	.pwrite = linux_pwrite,
	.mmap = linux_mmap,
	.munmap = linux_munmap,
	.pause = linux_pause,
};

#define RETRIES     20
#define RETRY_PAUSE 50 /* ms */

int ioctl_retry(const struct vfio_sys *sys, int fd, unsigned long req, void *arg)
{
	for (int i = 0;; i++) {
		int r = sys->ioctl(sys->ctx, fd, req, arg);

		if (r != -EAGAIN || i == RETRIES)
			return r;
		if (sys->pause)
			sys->pause(sys->ctx, RETRY_PAUSE);
	}
}

int ioctl_reset(const struct vfio_sys *sys, int fd, unsigned long req, void *arg, bool wait)
{
	return wait ? ioctl_retry(sys, fd, req, arg) : sys->ioctl(sys->ctx, fd, req, arg);
}
