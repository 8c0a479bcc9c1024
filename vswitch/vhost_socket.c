// SPDX-License-Identifier: GPL-2.0-or-later
#include "vswitch/vhost_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vswitch/socket.h"

#define ACCURACY_US    5000
#define ACCEPT_WAIT_US 100000

int vhost_socket_init(
	struct vhost_socket *s, const char *path, bool client, mode_t mode, struct err *e)
{
	struct stat st;
	int r;

	*s = (struct vhost_socket){
		.path = path, .client = client, .listen_fd = -1, .retry_us = VHOST_RETRY_FIRST_US};
	if (client)
		return 0;
	r = socket_listen(path, NULL, e, &s->listen_fd);
	if (r < 0)
		return r;
	if (lstat(path, &st) == 0) {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
	}
	if (mode && chmod(path, mode) < 0) {
		r = err_sys(e, errno, "give the socket %s mode %04o", path, (unsigned)mode);
		vhost_socket_finish(s);
		return r;
	}
	return 0;
}

void vhost_socket_finish(struct vhost_socket *s)
{
	struct stat st;

	s->io = sd_event_source_unref(s->io);
	s->timer = sd_event_source_unref(s->timer);
	if (s->listen_fd >= 0 && lstat(s->path, &st) == 0 && st.st_dev == s->dev &&
		st.st_ino == s->ino)
		unlink(s->path);
	s->listen_fd = fd_close(s->listen_fd);
}

static int path_connect(const char *path, int *ret_fd)
{
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	/* It is there, it is not, or its backlog is full (EAGAIN): a Unix socket never takes time. */
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	*ret_fd = fd_steal(&fd);
	return 0;
}

static void timer_set(struct vhost_socket *s, uint64_t us)
{
	sd_event_source_set_time_relative(s->timer, us);
	sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static void retry_later(struct vhost_socket *s)
{
	timer_set(s, s->retry_us);
	s->retry_us = s->retry_us * 2 < VHOST_RETRY_LAST_US ? s->retry_us * 2 : VHOST_RETRY_LAST_US;
}

static int on_connect_time(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct vhost_socket *s = ctx;
	_cleanup_fd_ int fd = -1;
	int r = path_connect(s->path, &fd);

	if (r < 0) {
		err_sys(&s->why, -r, "connect to %s", s->path);
		retry_later(s);
		return 0;
	}
	s->why = (struct err){0};
	s->peer(s->ctx, &fd);
	return 0;
}

static int on_listen(sd_event_source *source, int listen_fd, uint32_t events, void *ctx)
{
	struct vhost_socket *s = ctx;
	_cleanup_fd_ int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		s->why = (struct err){0};
		s->peer(s->ctx, &fd);
		return 0;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return 0;
	/* Too many open files, most likely: the loop would find it readable for ever. */
	err_sys(&s->why, errno, "accept a connection on %s", s->path);
	sd_event_source_set_enabled(s->io, SD_EVENT_OFF);
	timer_set(s, ACCEPT_WAIT_US);
	return 0;
}

static int on_listen_time(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct vhost_socket *s = ctx;

	sd_event_source_set_enabled(s->io, SD_EVENT_ON);
	return 0;
}

int vhost_socket_start(struct vhost_socket *s, struct sd_event *loop, struct err *e)
{
	int r = sd_event_add_time_relative(loop, &s->timer, CLOCK_MONOTONIC, 0, ACCURACY_US,
		s->client ? on_connect_time : on_listen_time, s);

	if (r >= 0 && !s->client)
		r = sd_event_add_io(loop, &s->io, s->listen_fd, EPOLLIN, on_listen, s);
	return r < 0 ? err_sys(e, -r, "watch the socket %s", s->path) : 0;
}

void vhost_socket_again(struct vhost_socket *s, bool worked)
{
	if (!s->client || !s->timer)
		return;
	if (worked)
		s->retry_us = VHOST_RETRY_FIRST_US;
	retry_later(s);
}
