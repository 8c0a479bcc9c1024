/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM memory slots: guest RAM and the mapped parts of assigned BARs. Thread-safe.
 * Linux Documentation/virt/kvm/api.rst, KVM_SET_USER_MEMORY_REGION.
 */
#ifndef VIADUCT_VMM_SLOTS_H
#define VIADUCT_VMM_SLOTS_H

#include <stdint.h>
#include <linux/kvm.h>

#include "common/err.h"

struct slots_backend {
	int (*set)(void *ctx, const struct kvm_userspace_memory_region *r); /* 0 or -errno */
	void *ctx;
};

struct slots;

struct slots_backend slots_backend_kvm(int vm_fd);
/* @max: KVM_CAP_NR_MEMSLOTS. */
int slots_create(
	const struct slots_backend *be, unsigned int max, struct err *e, struct slots **ret);
void slots_destroy(struct slots *s);
/* -ENOSPC: no slot left; -EEXIST: overlaps a slot; -EINVAL: not page aligned; kernel's errnos. */
int slots_add(struct slots *s, uint64_t gpa, uint64_t size, void *hva, struct err *e,
	unsigned int *ret_slot);
void slots_del(struct slots *s, unsigned int slot);

#endif
