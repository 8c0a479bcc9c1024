/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KVM's binary statistics, Linux Documentation/virt/kvm/api.rst 4.133 (KVM_GET_STATS_FD). */
#ifndef VIADUCT_VMM_KVMSTAT_H
#define VIADUCT_VMM_KVMSTAT_H

#include <stdint.h>

/*
 * Read the first value of the statistic @name from a statistics fd (any seekable file with that
 * layout). -ENOENT: there is none by that name; -EBADMSG: the file is not laid out as documented;
 * errnos of pread(2).
 */
int kvmstat_read(int stats_fd, const char *name, uint64_t *ret);

#endif
