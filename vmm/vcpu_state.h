/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything KVM keeps for a vCPU, saved and put back: how a vCPU returns to power-on, since KVM
 * cannot delete one. Only while the vCPU does not run.
 */
#ifndef VIADUCT_VMM_VCPU_STATE_H
#define VIADUCT_VMM_VCPU_STATE_H

#include <linux/kvm.h>

#include "common/err.h"

struct vcpu_state;

/*
 * The MSRs to save: KVM_GET_MSR_INDEX_LIST of @kvm_fd without Hyper-V's, and the memory type range
 * registers, which KVM leaves out of its list. free() it. -ENOMEM and the ioctl's errnos.
 */
int vcpu_state_msrs(int kvm_fd, struct err *e, struct kvm_msr_list **ret);
/* MSRs of @list that this vCPU does not have are left out. -ENOMEM; the ioctls' errnos. */
int vcpu_state_save(
	int vcpu_fd, const struct kvm_msr_list *list, struct err *e, struct vcpu_state **ret);
/* The time stamp counter restarts at 0, as at a reset. Errnos of the ioctls. */
int vcpu_state_restore(int vcpu_fd, const struct vcpu_state *s, struct err *e);
/* NULL is allowed. */
void vcpu_state_free(struct vcpu_state *s);

#endif
