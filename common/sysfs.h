/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sysfs below a root directory: "/" in production, a recorded tree in tests. Paths are relative to
 * that root ("sys/bus/pci/devices/..."). What sysfs says is input: it is read once into a bounded
 * buffer, and text that is too long or holds a NUL is refused.
 */
#ifndef VIADUCT_COMMON_SYSFS_H
#define VIADUCT_COMMON_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bdf.h"

struct sysfs {
	int root_fd; /* owned; -1 when closed */
};

/* Open @root ("/" in production). 0 or -errno of open(2). */
int sysfs_open(const char *root, struct sysfs *ret);
void sysfs_close(struct sysfs *s);

/*
 * Read a text attribute into @buf without its final newline, NUL-terminated. Returns the length, or
 * -ENOENT and other errnos of open(2)/read(2), -EOVERFLOW when it does not fit, -EILSEQ when it
 * holds a NUL byte.
 */
int sysfs_read(const struct sysfs *s, const char *path, char *buf, size_t size);
/*
 * Read a binary attribute, at most @size bytes of it. Returns the number of bytes, which is less than
 * the file's size where the kernel shows this user less, or -errno.
 */
int sysfs_read_bytes(const struct sysfs *s, const char *path, void *buf, size_t size);
/* Read a number (decimal, or hex with 0x). -EINVAL when it is not one, or anything follows it. */
int sysfs_read_u64(const struct sysfs *s, const char *path, uint64_t *ret);
/* Write @text in one write(2), no newline added. 0 or -errno; a short write is -EIO. */
int sysfs_write(const struct sysfs *s, const char *path, const char *text, size_t len);
/* Last component of the target of a symbolic link, e.g. the driver's name. As sysfs_read(). */
int sysfs_link_name(const struct sysfs *s, const char *path, char *buf, size_t size);
bool sysfs_exists(const struct sysfs *s, const char *path);
/*
 * Names in a directory (no "." and ".."), sorted, NULL-terminated; free with sysfs_list_free().
 * Returns their number or -errno.
 */
int sysfs_list(const struct sysfs *s, const char *path, char ***ret);
void sysfs_list_free(char **names);

/* "sys/bus/pci/devices/<bdf>/<attr>" (@attr may be ""), formatted into @buf; returns @buf. */
const char *sysfs_pci_path(struct bdf b, const char *attr, char *buf, size_t size);

#endif
