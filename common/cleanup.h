/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scope-bound cleanup for locals; handing the value on is an explicit steal. */
#ifndef VIADUCT_COMMON_CLEANUP_H
#define VIADUCT_COMMON_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Close @fd if it is open, keep errno, return -1: `fd = fd_close(fd)`. */
static inline int fd_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

static inline void cleanup_fd(int *fd)
{
	*fd = fd_close(*fd);
}

static inline void cleanup_mem(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void cleanup_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static inline int fd_steal(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

#define _cleanup_(fn)  __attribute__((cleanup(fn)))
#define _cleanup_fd_   _cleanup_(cleanup_fd)
#define _cleanup_free_ _cleanup_(cleanup_mem)
#define _cleanup_file_ _cleanup_(cleanup_file)
#define _cleanup_dir_  _cleanup_(cleanup_dir)

#define ptr_steal(p)                       \
	({                                 \
		__typeof__(p) *_pp = &(p); \
		__typeof__(p) _v = *_pp;   \
		*_pp = NULL;               \
		_v;                        \
	})

#define ARRAY_SIZE(a)                 (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

#endif
