// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/kvmstat.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

/* KVM has some sixty statistics with names of 48 bytes; these bound what we allocate for them. */
#define KVMSTAT_NAME_MAX 256u
#define KVMSTAT_DESC_MAX 4096u

static int pread_full(int fd, void *buf, size_t len, uint64_t off)
{
	ssize_t n;

	if (off > INT64_MAX)
		return -EBADMSG;
	n = pread(fd, buf, len, (off_t)off);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EBADMSG;
}

int kvmstat_read(int stats_fd, const char *name, uint64_t *ret)
{
	struct kvm_stats_header h;
	_cleanup_free_ uint8_t *all = NULL;
	uint64_t value;
	size_t one;
	int r;

	r = pread_full(stats_fd, &h, sizeof(h), 0);
	if (r < 0)
		return r;
	if (h.name_size == 0 || h.name_size > KVMSTAT_NAME_MAX || h.num_desc > KVMSTAT_DESC_MAX)
		return -EBADMSG;
	one = sizeof(struct kvm_stats_desc) + h.name_size;
	all = malloc(one * h.num_desc + 1);
	if (!all)
		return -ENOMEM;
	r = pread_full(stats_fd, all, one * h.num_desc, h.desc_offset);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < h.num_desc; i++) {
		const uint8_t *at = all + one * i;
		const char *its = (const char *)at + offsetof(struct kvm_stats_desc, name);
		struct kvm_stats_desc d;

		memcpy(&d, at, sizeof(d));
		if (strlen(name) >= h.name_size || memchr(its, '\0', h.name_size) == NULL ||
			strcmp(its, name) != 0)
			continue;
		if (d.size == 0)
			return -EBADMSG;
		r = pread_full(stats_fd, &value, sizeof(value), (uint64_t)h.data_offset + d.offset);
		if (r == 0)
			*ret = value;
		return r;
	}
	return -ENOENT;
}
