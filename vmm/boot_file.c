// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vmm/boot_priv.h"

int boot_file_open(const char *path, const char *what, struct err *e, struct boot_file *ret)
{
	_cleanup_fd_ int fd = -1;
	struct stat st;

	/* O_NONBLOCK: opening a FIFO would wait for a writer before we could see that it is one. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return err_sys(e, errno, "%s %s: open", what, path);
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "%s %s: stat", what, path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ENOEXEC, "%s %s: not a regular file", what, path);
	ret->fd = fd_steal(&fd);
	ret->path = path;
	ret->size = (uint64_t)st.st_size;
	return 0;
}

void boot_file_close(struct boot_file *f)
{
	f->fd = fd_close(f->fd);
}

int boot_file_read(const struct boot_file *f, uint64_t off, void *buf, size_t len, struct err *e)
{
	uint8_t *p = buf;

	if (off > f->size || len > f->size - off)
		return err_set(e, ENOEXEC,
			"%s: truncated: %zu bytes at offset %" PRIu64
			" needed, the file has %" PRIu64,
			f->path, len, off, f->size);
	while (len) {
		ssize_t n = pread(f->fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "%s: read at offset %" PRIu64, f->path, off);
		if (n == 0) /* it shrank since it was opened */
			return err_set(
				e, ENOEXEC, "%s: truncated: ends at offset %" PRIu64, f->path, off);
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}
