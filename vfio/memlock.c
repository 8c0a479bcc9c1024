// SPDX-License-Identifier: GPL-2.0-or-later
/* May this process pin that much memory? Asked before anything is set up, so that it can be said. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <linux/capability.h>

#include "common/cleanup.h"
#include "vfio/internal.h"

/* The number after "@key:" at the start of a line; 0 when there is none. */
static uint64_t status_field(const char *text, const char *key, int base)
{
	size_t n = strlen(key);

	for (const char *l = text; l; l = strchr(l, '\n')) {
		l += *l == '\n';
		if (!strncmp(l, key, n) && l[n] == ':')
			return strtoull(l + n + 1, NULL, base);
	}
	return 0;
}

/* The kernel asks for CAP_IPC_LOCK in the first user namespace; one gained in another is void. */
static bool may_lock_all(const char *status, const char *uid_map)
{
	unsigned long in, out, len;

	if (!(status_field(status, "CapEff", 16) & (1ull << CAP_IPC_LOCK)))
		return false;
	return sscanf(uid_map, "%lu %lu %lu", &in, &out, &len) == 3 && in == 0 && out == 0 &&
	       len == UINT32_MAX;
}

int memlock_check(
	const char *status, const char *uid_map, uint64_t limit, uint64_t size, struct err *e)
{
	uint64_t used, need;

	if (limit == RLIM_INFINITY || may_lock_all(status, uid_map))
		return 0;
	used = (status_field(status, "VmLck", 10) + status_field(status, "VmPin", 10)) << 10;
	if (!__builtin_add_overflow(used, size, &need) && need <= limit)
		return 0;
	need = (need + 1023) >> 10;
	return err_set(e, ENOMEM,
		"RLIMIT_MEMLOCK is %" PRIu64 " KiB, but %" PRIu64 " KiB must stay locked for the "
		"device's DMA (%" PRIu64 " KiB of it are locked already): raise it with `ulimit -l "
		"%" PRIu64 "`, `prlimit --pid $$ --memlock=%" PRIu64 "` or LimitMEMLOCK=%" PRIu64
		"K in the systemd unit, or give the process CAP_IPC_LOCK",
		limit >> 10, need, used >> 10, need, need << 10, need);
}

static void file_read(const char *path, char *buf, size_t size)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

	buf[n > 0 ? n : 0] = '\0';
}

int ioas_memlock_check(uint64_t size, struct err *e)
{
	char status[8192], uid_map[128];
	struct rlimit rl;

	if (getrlimit(RLIMIT_MEMLOCK, &rl) < 0)
		return err_sys(e, errno, "read RLIMIT_MEMLOCK");
	file_read("/proc/self/status", status, sizeof(status));
	file_read("/proc/self/uid_map", uid_map, sizeof(uid_map));
	return memlock_check(status, uid_map, rl.rlim_cur, size, e);
}
