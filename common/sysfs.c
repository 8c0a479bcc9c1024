// SPDX-License-Identifier: GPL-2.0-or-later
#include "common/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

int sysfs_open(const char *root, struct sysfs *ret)
{
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ret->root_fd = fd;
	return 0;
}

void sysfs_close(struct sysfs *s)
{
	s->root_fd = fd_close(s->root_fd);
}

int sysfs_read(const struct sysfs *s, const char *path, char *buf, size_t size)
{
	_cleanup_fd_ int fd = openat(s->root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	/* sysfs gives an attribute with one read, other file systems as they like. */
	bool one_read = !strncmp(path, "sys/", 4);
	size_t n = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t r = read(fd, buf + n, size - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
		if (n == size)
			return -EOVERFLOW;
		if (one_read)
			break;
	}
	if (n && buf[n - 1] == '\n')
		n--;
	if (memchr(buf, '\0', n))
		return -EILSEQ;
	buf[n] = '\0';
	return (int)n;
}

int sysfs_read_bytes(const struct sysfs *s, const char *path, void *buf, size_t size)
{
	_cleanup_fd_ int fd = openat(s->root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t n = 0;

	if (fd < 0)
		return -errno;
	while (n < size) {
		ssize_t r = read(fd, (char *)buf + n, size - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
	}
	return (int)n;
}

int sysfs_read_u64(const struct sysfs *s, const char *path, uint64_t *ret)
{
	char buf[64], *end;
	uint64_t v;
	int r;

	r = sysfs_read(s, path, buf, sizeof(buf));
	if (r < 0)
		return r;
	/* strtoull would take a sign and leading blanks. */
	if (buf[0] < '0' || buf[0] > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(buf, &end, buf[0] == '0' && buf[1] == 'x' ? 16 : 10);
	if (errno || *end)
		return -EINVAL;
	*ret = v;
	return 0;
}

int sysfs_write(const struct sysfs *s, const char *path, const char *text, size_t len)
{
	_cleanup_fd_ int fd = openat(s->root_fd, path, O_WRONLY | O_CLOEXEC | O_TRUNC);
	ssize_t r;

	if (fd < 0)
		return -errno;
	/* A retry after EINTR could repeat an action such as a probe; sysfs stores do not return
	 * it half done. */
	r = write(fd, text, len);
	if (r < 0)
		return -errno;
	return (size_t)r == len ? 0 : -EIO;
}

int sysfs_link_name(const struct sysfs *s, const char *path, char *buf, size_t size)
{
	char target[PATH_MAX];
	const char *base;
	ssize_t n;

	n = readlinkat(s->root_fd, path, target, sizeof(target));
	if (n < 0)
		return -errno;
	if (n == sizeof(target))
		return -EOVERFLOW;
	target[n] = '\0';
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	if (strlen(base) >= size)
		return -EOVERFLOW;
	memcpy(buf, base, strlen(base) + 1);
	return (int)strlen(base);
}

bool sysfs_exists(const struct sysfs *s, const char *path)
{
	return faccessat(s->root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int sysfs_list(const struct sysfs *s, const char *path, char ***ret)
{
	_cleanup_fd_ int fd = openat(s->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *d = NULL;
	char **v = NULL;
	size_t n = 0, cap = 0;
	struct dirent *de;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d)
		return -errno;
	fd = -1;
	for (;;) {
		errno = 0;
		de = readdir(d);
		if (!de)
			break;
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (n + 2 > cap) {
			size_t want = cap ? cap * 2 : 16;
			char **w = realloc(v, want * sizeof(*v));

			if (!w)
				goto nomem;
			v = w;
			cap = want;
		}
		v[n] = strdup(de->d_name);
		if (!v[n])
			goto nomem;
		v[++n] = NULL;
	}
	if (errno) {
		int r = -errno;

		sysfs_list_free(v);
		return r;
	}
	if (!v) {
		v = calloc(1, sizeof(*v));
		if (!v)
			return -ENOMEM;
	}
	qsort(v, n, sizeof(*v), name_cmp);
	*ret = v;
	return (int)n;
nomem:
	sysfs_list_free(v);
	return -ENOMEM;
}

void sysfs_list_free(char **names)
{
	for (char **p = names; p && *p; p++)
		free(*p);
	free(names);
}

const char *sysfs_pci_path(struct bdf b, const char *attr, char *buf, size_t size)
{
	char name[BDF_STRLEN];

	snprintf(buf, size, "sys/bus/pci/devices/%s%s%s", bdf_format(b, name), *attr ? "/" : "",
		attr);
	return buf;
}
