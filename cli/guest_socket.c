// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/guest_socket.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/sysfs.h"

#define ROOT_DIR   "/run/viaduct"
#define SUFFIX     ".sock"
#define ANSWER_MAX (256u << 20) /* 31 devices of 2048 vectors take a quarter of it */
#define TAKE_TRIES 100

bool guest_name_valid(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");

	return n && n <= GUEST_NAME_MAX && !s[n] && s[0] != '.' && s[0] != '-';
}

static int dir_enter(const char *path, bool create, mode_t mode, struct err *e)
{
	_cleanup_fd_ int fd = -1;
	struct stat st;

	if (create && mkdir(path, mode) < 0 && errno != EEXIST)
		return err_sys(e, errno, "make the directory %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "open the directory %s", path);
	if ((st.st_uid != geteuid() && st.st_uid != 0) || st.st_mode & 022)
		return err_set(e, EPERM,
			"%s: others may write there; it must be yours and of mode 0755 or less",
			path);
	return fd_steal(&fd);
}

int guest_dir_open(bool create, struct err *e)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	char above[PATH_MAX], path[PATH_MAX + 8];
	_cleanup_fd_ int fd = -1;

	if (geteuid() == 0) {
		snprintf(above, sizeof(above), ROOT_DIR);
	} else {
		if (!xdg || *xdg != '/')
			return err_set(e, ENOENT,
				"XDG_RUNTIME_DIR is not set: log in, or set it to a directory of "
				"yours");
		if (snprintf(above, sizeof(above), "%s/viaduct", xdg) >= (int)sizeof(above))
			return err_set(e, ENAMETOOLONG, "XDG_RUNTIME_DIR is too long");
	}
	snprintf(path, sizeof(path), "%s/guest", above);
	fd = dir_enter(above, create, geteuid() ? 0700 : 0755, e);
	return fd < 0 ? fd : dir_enter(path, create, 0700, e);
}

/* ---- names ---- */

static void file_name(const char *name, const char *suffix, char buf[NAME_MAX])
{
	snprintf(buf, NAME_MAX, "%s%s", name, suffix);
}

static int socket_address(int dir_fd, const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%.*s" SUFFIX, dir_fd,
		GUEST_NAME_MAX, name);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

pid_t guest_pid(int dir_fd, const char *name)
{
	char file[NAME_MAX], text[16] = "";
	_cleanup_fd_ int fd = -1;
	long pid;

	file_name(name, ".lock", file);
	fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || !isdigit((unsigned char)*text))
		return 0;
	pid = strtol(text, NULL, 10);
	return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

/* 1: locked, and it is still the file of that name. 0: it went away meanwhile. */
static int lock_try(int dir_fd, const char *file, int *ret_fd)
{
	_cleanup_fd_ int fd =
		openat(dir_fd, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct stat mine, there;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &mine) < 0)
		return -errno;
	if (fstatat(dir_fd, file, &there, AT_SYMLINK_NOFOLLOW) < 0 || mine.st_ino != there.st_ino)
		return 0;
	*ret_fd = fd_steal(&fd);
	return 1;
}

static int name_lock(int dir_fd, const char *name, struct err *e, int *ret_fd)
{
	char file[NAME_MAX], pid[16];
	int r = 0;

	file_name(name, ".lock", file);
	for (int i = 0; r == 0 && i < TAKE_TRIES; i++)
		r = lock_try(dir_fd, file, ret_fd);
	if (r == -EWOULDBLOCK) {
		pid_t holder = guest_pid(dir_fd, name);

		return err_set(e, EEXIST,
			"a guest '%s' runs already, as process %d; end it, or give this one "
			"another "
			"--name",
			name, (int)holder);
	}
	if (r <= 0)
		return err_sys(e, r ? -r : EAGAIN, "lock the name '%s'", name);
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(*ret_fd, 0) < 0 || pwrite(*ret_fd, pid, strlen(pid), 0) < 0) {
		r = err_sys(e, errno, "write the lock of the name '%s'", name);
		*ret_fd = fd_close(*ret_fd);
	}
	return r < 0 ? r : 0;
}

static int socket_listen(int dir_fd, const char *name, struct err *e, int *ret_fd)
{
	char file[NAME_MAX];
	struct sockaddr_un sa;
	_cleanup_fd_ int fd = socket_address(dir_fd, name, &sa);

	if (fd < 0)
		return err_sys(e, errno, "control socket of '%s'", name);
	/* We have the lock: what is there was left by one that was killed. */
	file_name(name, SUFFIX, file);
	unlinkat(dir_fd, file, 0);
	/* The file gets the mode of the socket it is made of: never a moment open to others. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		listen(fd, 16) < 0)
		return err_sys(e, errno, "control socket of '%s'", name);
	*ret_fd = fd_steal(&fd);
	return 0;
}

int guest_name_take(int dir_fd, const char *name, struct err *e, struct guest_name *ret)
{
	struct guest_name n = {.dir_fd = -1, .lock_fd = -1, .listen_fd = -1};
	int r = name_lock(dir_fd, name, e, &n.lock_fd);

	if (r < 0)
		return r;
	snprintf(n.name, sizeof(n.name), "%s", name);
	n.dir_fd = dir_fd;
	r = socket_listen(dir_fd, name, e, &n.listen_fd);
	if (r < 0) {
		/* The directory stays the caller's. */
		n.dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
		guest_name_drop(&n);
		return r;
	}
	*ret = n;
	return 0;
}

void guest_name_drop(struct guest_name *n)
{
	char file[NAME_MAX];

	if (n->lock_fd >= 0 && n->dir_fd >= 0) {
		file_name(n->name, SUFFIX, file);
		unlinkat(n->dir_fd, file, 0);
		file_name(n->name, ".lock", file);
		unlinkat(n->dir_fd, file, 0);
	}
	n->listen_fd = fd_close(n->listen_fd);
	n->lock_fd = fd_close(n->lock_fd);
	n->dir_fd = fd_close(n->dir_fd);
}

int guest_names(int dir_fd, char ***ret)
{
	const struct sysfs dir = {.root_fd = dir_fd};
	char **all;
	int n = sysfs_list(&dir, ".", &all), kept = 0;

	for (int i = 0; i < n; i++) {
		size_t len = strlen(all[i]), tail = strlen(SUFFIX);

		if (len > tail && !strcmp(all[i] + len - tail, SUFFIX)) {
			all[i][len - tail] = '\0';
			if (guest_name_valid(all[i])) {
				all[kept++] = all[i];
				continue;
			}
		}
		free(all[i]);
	}
	if (n < 0)
		return n;
	all[kept] = NULL;
	*ret = all;
	return kept;
}

/* ---- asking ---- */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t until)
{
	struct pollfd p = {.fd = fd, .events = events};
	int64_t left = until - now_ms();
	int r = poll(&p, 1, left > 0 ? (int)left : 0);

	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	return r ? 0 : -ETIMEDOUT;
}

static int line_send(int fd, const char *text, int64_t until)
{
	size_t len = strlen(text);

	for (size_t at = 0; at < len;) {
		ssize_t n = send(fd, text + at, len - at, MSG_NOSIGNAL);
		int r = 0;

		if (n >= 0)
			at += (size_t)n;
		else
			r = errno == EAGAIN || errno == EINTR ? wait_for(fd, POLLOUT, until)
							      : -errno;
		if (r < 0)
			return r;
	}
	return 0;
}

static int line_receive(int fd, int64_t until, char **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0, max = 0;

	for (;;) {
		ssize_t n;
		int r;

		if (len + 1 >= max) {
			char *more = max < ANSWER_MAX ? realloc(text, max = max * 2 + 65536) : NULL;

			if (!more)
				return max < ANSWER_MAX ? -ENOMEM : -EMSGSIZE;
			text = more;
		}
		r = wait_for(fd, POLLIN, until);
		if (r < 0)
			return r;
		n = recv(fd, text + len, max - len - 1, 0);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
		if (n > 0 && text[len - 1] == '\n')
			break;
	}
	text[len - 1] = '\0';
	*ret = ptr_steal(text);
	return 0;
}

int guest_ask(int dir_fd, const char *name, const char *request, int timeout_ms, struct err *e,
	char **ret_answer)
{
	int64_t until = now_ms() + timeout_ms;
	struct sockaddr_un sa;
	_cleanup_fd_ int fd = socket_address(dir_fd, name, &sa);
	int r;

	if (fd < 0)
		return err_sys(e, errno, "guest '%s'", name);
	/* EAGAIN: its queue of those who wait is full. */
	while (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		if (errno == ENOENT || errno == ECONNREFUSED)
			return err_set(e, ENOENT,
				"no guest '%s' runs; viaduct info lists those that do", name);
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(e, errno, "connect to guest '%s'", name);
		if (now_ms() >= until)
			return err_set(e, ETIMEDOUT, "guest '%s' does not answer", name);
		(void)poll(NULL, 0, 10);
	}
	r = line_send(fd, request, until);
	if (r == 0)
		r = line_receive(fd, until, ret_answer);
	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT,
			"guest '%s' (process %d) does not answer within %d s: it is being built, "
			"or "
			"stopped",
			name, (int)guest_pid(dir_fd, name), timeout_ms / 1000);
	return r < 0 ? err_sys(e, -r, "ask guest '%s'", name) : 0;
}
