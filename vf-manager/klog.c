// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <ctype.h>
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

void klog_last(int fd, struct bdf b, char *buf, size_t size)
{
	char rec[2048], name[BDF_STRLEN], *text, *end;
	ssize_t n;

	*buf = '\0';
	bdf_format(b, name);
	/* One read(2) gives one record; bounded, as others go on logging meanwhile. */
	for (int i = 0; fd >= 0 && i < 1000; i++) {
		n = read(fd, rec, sizeof(rec) - 1);
		if (n <= 0)
			break;
		rec[n] = '\0';
		text = strchr(rec, ';');
		if (!text || !strstr(text, name))
			continue;
		end = strchr(++text, '\n');
		if (end)
			*end = '\0';
		snprintf(buf, size, "%s", text);
		for (char *c = buf; *c; c++) {
			if (!isprint((unsigned char)*c))
				*c = '?';
		}
	}
}
