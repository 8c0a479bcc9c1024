// SPDX-License-Identifier: GPL-2.0-or-later
/* Disks behind a function (an NVMe VF's namespaces), and what they are used for. */
#include "vf-manager/usage_parts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define CLASS "sys/class/block"

/* The last PCI address in the path of @disk: the function whose driver made it. */
static int disk_function(struct vfm *v, const char *disk, struct bdf *ret)
{
	char path[PATH_MAX], target[PATH_MAX], *part, *save = NULL;
	int r = -ENOENT;
	ssize_t n;

	snprintf(path, sizeof(path), CLASS "/%s", disk);
	n = readlinkat(v->sys.root_fd, path, target, sizeof(target) - 1);
	if (n <= 0)
		return -ENOENT;
	target[n] = '\0';
	for (part = strtok_r(target, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		/* bdf_parse() would take "1:2.3", which no directory of a device is called. */
		if (strlen(part) >= 12 && bdf_parse(part, ret) == 0)
			r = 0;
	}
	return r;
}

/*
 * A namespace that several controllers reach is hidden as nvme0c1n1 at each of them; what is mounted
 * is nvme0n1, which belongs to none.
 */
static void head_name(const char *disk, char *buf, size_t size)
{
	unsigned subsystem, controller, ns;
	int end = 0;

	if (sscanf(disk, "nvme%uc%un%u%n", &subsystem, &controller, &ns, &end) == 3 && !disk[end])
		snprintf(buf, size, "nvme%un%u", subsystem, ns);
	else
		snprintf(buf, size, "%s", disk);
}

int disks_read(struct vfm *v, const struct bdf *b, size_t n, struct disk **ret)
{
	_cleanup_names_ char **names = NULL;
	_cleanup_free_ struct disk *list = NULL;
	size_t found = 0;
	int r = sysfs_list(&v->sys, CLASS, &names);

	if (r < 0 && r != -ENOENT)
		return r;
	list = calloc(r < 0 ? 1 : (size_t)r + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (char **name = names; name && *name; name++) {
		struct bdf at;

		if (strlen(*name) >= VFM_NAME_MAX || disk_function(v, *name, &at) < 0)
			continue;
		for (size_t i = 0; i < n; i++) {
			if (!bdf_equal(b[i], at))
				continue;
			list[found].bdf = at;
			head_name(*name, list[found].node, VFM_NAME_MAX);
			snprintf(list[found++].name, VFM_NAME_MAX, "%s", *name);
			break;
		}
	}
	*ret = ptr_steal(list);
	return (int)found;
}

static bool is_mounted(struct vfm *v, const char *disk, char *where, size_t size)
{
	char path[PATH_MAX], dev[32], line[2 * PATH_MAX];
	unsigned major, minor;
	_cleanup_file_ FILE *f = NULL;
	int fd, end;

	snprintf(path, sizeof(path), CLASS "/%s/dev", disk);
	if (sysfs_read(&v->sys, path, dev, sizeof(dev)) < 0 ||
		sscanf(dev, "%u:%u", &major, &minor) != 2)
		return false;
	fd = openat(v->sys.root_fd, "proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f) {
		fd_close(fd);
		return false;
	}
	/* "ID PARENT MAJOR:MINOR ROOT MOUNTPOINT ..."; blanks in a path are written \040 */
	while (fgets(line, sizeof(line), f)) {
		unsigned x, y;
		size_t n;

		end = 0;
		if (sscanf(line, "%*u %*u %u:%u %*s %n", &x, &y, &end) != 2 || !end || x != major ||
			y != minor)
			continue;
		n = strcspn(line + end, " \n");
		snprintf(where, size, "%.*s", (int)(n < size ? n : size - 1), line + end);
		return true;
	}
	return false;
}

/* What the kernel itself answers whoever wants a disk alone: also for mounts we do not see. */
static bool is_claimed(struct vfm *v, const char *disk)
{
	_cleanup_fd_ int fd = -1;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "dev/%s", disk);
	/* sysfs cannot have a slash in a name and writes '!'. */
	for (char *c = path; *c; c++)
		*c = *c == '!' ? '/' : *c;
	fd = openat(v->sys.root_fd, path, O_RDONLY | O_EXCL | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 && errno == EBUSY;
}

void disk_use(struct vfm *v, const struct disk *d, char *buf, size_t size)
{
	const char *disk = d->node;
	char path[PATH_MAX], where[128];
	_cleanup_names_ char **holders = NULL;

	*buf = '\0';
	snprintf(path, sizeof(path), CLASS "/%s/holders", disk);
	if (is_mounted(v, disk, where, sizeof(where)))
		snprintf(buf, size, "mounted on %s", where);
	else if (sysfs_list(&v->sys, path, &holders) > 0)
		snprintf(buf, size, "part of %s", holders[0]);
	else if (is_claimed(v, disk))
		snprintf(buf, size, "mounted elsewhere, swapped to, or part of another");
	for (char *c = buf; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
}
