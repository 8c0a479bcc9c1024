// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/vhost_user_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"

static int unix_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

static int unix_connect(const struct sockaddr_un *addr)
{
	_cleanup_fd_ int fd = unix_socket();

	if (fd < 0)
		return fd;
	/* A full backlog is EAGAIN on a non-blocking socket, never a wait. */
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		return -errno;
	return fd_steal(&fd);
}

static int addr_init(struct sockaddr_un *addr, const char *path, struct err *e)
{
	size_t len = strlen(path);

	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (!len)
		return err_set(e, EINVAL, "the socket's path is empty");
	if (len >= sizeof(addr->sun_path))
		return err_set(e, ENAMETOOLONG,
			"socket %s: a path of %zu bytes; a Unix socket's has at most %zu", path,
			len, sizeof(addr->sun_path) - 1);
	memcpy(addr->sun_path, path, len);
	return 0;
}

static void pid_name(pid_t pid, char *ret, size_t size)
{
	char path[64];
	_cleanup_file_ FILE *f = NULL;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (!f || !fgets(ret, (int)size, f))
		snprintf(ret, size, "?");
	ret[strcspn(ret, "\n")] = '\0';
}

/* Is a socket file left by the dead, or does someone live there? 0: dead. */
static int socket_is_stale(const struct vu_socket *s, struct err *e)
{
	_cleanup_fd_ int fd = unix_connect(&s->addr);
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	char comm[32];

	if (fd == -ECONNREFUSED || fd == -ENOENT)
		return 0;
	if (fd < 0 && fd != -EAGAIN)
		return err_sys(
			e, -fd, "socket %s: find out whether it is in use", s->addr.sun_path);
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || !peer.pid)
		return err_set(
			e, EADDRINUSE, "socket %s: in use by another process", s->addr.sun_path);
	pid_name(peer.pid, comm, sizeof(comm));
	return err_set(e, EADDRINUSE,
		"socket %s: process %d (%s) listens there: choose another path, or connect to it "
		"with mode=client",
		s->addr.sun_path, (int)peer.pid, comm);
}

static int place_clear(const struct vu_socket *s, struct err *e)
{
	const char *path = s->addr.sun_path;
	struct stat st;
	int r;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_sys(e, errno, "socket %s", path);
	}
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, s->client ? ENOTSOCK : EEXIST,
			"socket %s: there is something else than a socket; it is left alone, "
			"choose another path",
			path);
	if (s->client)
		return 0;
	r = socket_is_stale(s, e);
	if (r < 0)
		return r;
	if (st.st_uid != geteuid())
		return err_set(e, EPERM,
			"socket %s: it belongs to user %u; choose another path or remove it", path,
			st.st_uid);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(e, errno, "socket %s: remove what a dead process left", path);
	return 0;
}

int vu_socket_init(struct vu_socket *s, const char *path, bool client, struct err *e)
{
	struct stat st;
	int r;

	*s = (struct vu_socket){.client = client, .listener = -1};
	r = addr_init(&s->addr, path, e);
	if (r == 0)
		r = place_clear(s, e);
	if (r < 0 || client)
		return r;
	s->listener = unix_socket();
	if (s->listener < 0) {
		r = s->listener;
		return err_sys(e, -r, "socket %s: make one", path);
	}
	r = bind(s->listener, (const struct sockaddr *)&s->addr, sizeof(s->addr)) < 0 ? -errno : 0;
	if (r == 0 && lstat(path, &st) == 0) {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
	}
	/* One waits its turn: the next back end while the last one's end is being noticed. */
	if (r == 0 && listen(s->listener, 1) < 0)
		r = -errno;
	if (r < 0) {
		vu_socket_finish(s);
		return err_sys(e, -r, "socket %s: listen there", path);
	}
	return 0;
}

void vu_socket_finish(struct vu_socket *s)
{
	struct stat st;

	if (s->client || s->addr.sun_family != AF_UNIX)
		return;
	if (s->ino && lstat(s->addr.sun_path, &st) == 0 && st.st_dev == s->dev &&
		st.st_ino == s->ino)
		unlink(s->addr.sun_path);
	s->ino = 0;
	s->listener = fd_close(s->listener);
}

int vu_socket_peer(struct vu_socket *s)
{
	int fd;

	if (s->client)
		return unix_connect(&s->addr);
	fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return fd < 0 ? -errno : fd;
}
