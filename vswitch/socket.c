// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vswitch/socket.h"

static int socket_make(const char *path, int flags, struct err *e, struct sockaddr_un *ret)
{
	int fd;

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret->sun_path))
		return err_set(e, ENAMETOOLONG, "%s: a socket's path has at most %zu bytes", path,
			sizeof(ret->sun_path) - 1);
	strcpy(ret->sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	return fd < 0 ? err_sys(e, errno, "make a socket for %s", path) : fd;
}

/* 1: nobody listens on the socket there. */
static int socket_path_look(const char *path, struct err *e)
{
	_cleanup_fd_ int fd = -1;
	struct sockaddr_un sa;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "look at %s", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, EEXIST,
			"%s exists and is no socket; choose another path or remove it", path);
	if (st.st_uid != geteuid())
		return err_set(e, EPERM, "the socket %s belongs to user %u; choose another path",
			path, st.st_uid);
	fd = socket_make(path, SOCK_NONBLOCK, e, &sa);
	if (fd < 0)
		return fd;
	if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)) || errno != ECONNREFUSED)
		return err_set(e, EADDRINUSE,
			"somebody listens on %s; choose another path or end that program", path);
	return 1;
}

int socket_path_clear(const char *path, struct err *e)
{
	int r = socket_path_look(path, e);

	if (r > 0 && unlink(path) < 0 && errno != ENOENT)
		return err_sys(e, errno, "remove the stale socket %s", path);
	return r < 0 ? r : 0;
}

int socket_path_check(const char *path, struct err *e)
{
	char dir[PATH_MAX];
	int r = socket_path_look(path, e);

	if (r < 0)
		return r;
	snprintf(dir, sizeof(dir), "%s", path);
	if (access(dirname(dir), W_OK | X_OK) < 0)
		return err_sys(e, errno, "make the socket %s: its directory", path);
	return 0;
}

static int socket_group_set(const char *path, const char *group, struct err *e)
{
	const struct group *g = getgrnam(group);

	if (!g)
		return err_set(e, EINVAL, "%s: there is no group '%s'", path, group);
	if (chown(path, (uid_t)-1, g->gr_gid) < 0 || chmod(path, 0660) < 0)
		return err_sys(e, errno, "give the socket %s to the group '%s'", path, group);
	return 0;
}

int socket_listen(const char *path, const char *group, struct err *e, int *ret_fd)
{
	_cleanup_fd_ int fd = -1;
	struct sockaddr_un sa;
	mode_t mask;
	int r = socket_path_clear(path, e);

	if (r < 0)
		return r;
	fd = socket_make(path, SOCK_NONBLOCK, e, &sa);
	if (fd < 0)
		return fd;
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return err_sys(e, -r, "make the socket %s", path);
	if (group && *group)
		r = socket_group_set(path, group, e);
	if (r >= 0 && listen(fd, SOMAXCONN) < 0)
		r = err_sys(e, errno, "listen on %s", path);
	if (r < 0) {
		unlink(path);
		return r;
	}
	*ret_fd = fd_steal(&fd);
	return 0;
}

int socket_connect(const char *path, struct err *e, int *ret_fd)
{
	_cleanup_fd_ int fd = -1;
	struct sockaddr_un sa;

	fd = socket_make(path, 0, e, &sa);
	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_sys(e, errno, "connect to %s; is `viaduct switch run` there", path);
	*ret_fd = fd_steal(&fd);
	return 0;
}
