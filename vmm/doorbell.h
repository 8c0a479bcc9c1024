/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Doorbells: guest writes that KVM turns into a signal on an eventfd, with no exit to us. They lie
 * over a bus region, which answers when the kernel takes no more of them.
 * Linux Documentation/virt/kvm/api.rst, KVM_IOEVENTFD. Thread-safe.
 */
#ifndef VIADUCT_VMM_DOORBELL_H
#define VIADUCT_VMM_DOORBELL_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/kvm.h>

#include "common/err.h"

/* The ioctl; tests put a fake here. 0 or -errno. */
struct doorbell_backend {
	int (*set)(void *ctx, const struct kvm_ioeventfd *io);
	void *ctx;
	bool any_length; /* KVM_CAP_IOEVENTFD_ANY_LENGTH */
};

struct doorbell {
	uint64_t gpa;
	unsigned int len; /* 1, 2, 4, 8, or 0 = a write of any length at gpa */
	bool match;       /* only writes of @data, which needs a length */
	uint64_t data;
	int fd; /* borrowed until doorbell_del() */
};

/* @vm_fd is borrowed and must outlive all doorbells. */
struct doorbell_backend doorbell_backend_kvm(int vm_fd);

/*
 * -EINVAL: a length or match that cannot be; -EEXIST: there is one at this place; -ENOSPC: the
 * kernel takes no more; its other answers. Where it knows no "any length", 0 becomes 2 bytes, as a
 * virtio driver writes.
 */
int doorbell_add(const struct doorbell_backend *be, const struct doorbell *d, struct err *e);
/* The same values as for doorbell_add(). No effect when there is none. */
void doorbell_del(const struct doorbell_backend *be, const struct doorbell *d);

#endif
