// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int klog_open(struct vfm *v)
{
	int fd = openat(v->sys.root_fd, "dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

static bool names_any(const char *text, const struct bdf *b, size_t n)
{
	char name[BDF_STRLEN];

	for (size_t i = 0; i < n; i++)
		if (strstr(text, bdf_format(b[i], name)))
			return true;
	return false;
}

void klog_last_of(int fd, const struct bdf *b, size_t n, char *buf, size_t size)
{
	char rec[2048], *text, *end;
	ssize_t len;

	*buf = '\0';
	/* One read(2) gives one record; bounded, as others go on logging meanwhile. */
	for (int i = 0; fd >= 0 && i < 1000; i++) {
		len = read(fd, rec, sizeof(rec) - 1);
		/* Records we were too slow for are gone; what follows is not. */
		if (len < 0 && errno == EPIPE)
			continue;
		if (len <= 0)
			break;
		rec[len] = '\0';
		text = strchr(rec, ';');
		if (!text)
			continue;
		end = strchr(++text, '\n');
		if (end)
			*end = '\0';
		if (!names_any(text, b, n))
			continue;
		snprintf(buf, size, "%s", text);
		for (char *c = buf; *c; c++) {
			if (!isprint((unsigned char)*c))
				*c = '?';
		}
	}
}

void klog_last(int fd, struct bdf b, char *buf, size_t size)
{
	klog_last_of(fd, &b, 1, buf, size);
}
