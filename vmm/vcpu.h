/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vCPU: its KVM file, its thread, and what it does on each exit. Private to vmm. */
#ifndef VIADUCT_VMM_VCPU_H
#define VIADUCT_VMM_VCPU_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/kvm.h>

#include "common/err.h"
#include "vmm/boot.h"
#include "vmm/cpuid.h"
#include "vmm/vcpu_state.h"
#include "vmm/vm.h"

/* Gets a vCPU thread out of KVM_RUN; no other use in this process. */
#define VCPU_KICK_SIGNAL SIGRTMIN

/* What all vCPUs of a VM are made from. */
struct vcpu_config {
	struct cpuid_config cpuid; /* tsc_khz is filled per vCPU */
	const struct kvm_cpuid2 *host;
	const struct kvm_msr_list *msrs;
	size_t run_size; /* KVM_GET_VCPU_MMAP_SIZE */
};

struct vcpu {
	struct vm *vm;
	unsigned int id;
	int fd;
	/* KVM's counters, or -1; opened while nothing runs, for the ioctl waits for KVM_RUN to end. */
	int stats_fd;
	struct kvm_run *run;
	size_t run_size;
	struct vcpu_state *power_on;
	pthread_t thread;
	bool started;
	/* Written by the vCPU's thread only, read by anyone, so no lock and no locked instruction. */
	_Atomic uint64_t exits[VM_EXIT_REASONS];
};

/* Make vCPU @id in the state after power-on. -ENOMEM; errnos of the ioctls. */
int vcpu_create(struct vm *vm, unsigned int id, const struct vcpu_config *cfg, struct err *e,
	struct vcpu **ret);
/* The thread must have been joined. NULL is allowed. */
void vcpu_destroy(struct vcpu *v);
/* Put a stopped vCPU at @entry. */
int vcpu_enter(struct vcpu *v, const struct boot_entry *entry, struct err *e);
/* Start the thread; it runs the guest until the VM has ended or a kick. -EAGAIN: no thread left. */
int vcpu_start(struct vcpu *v, struct err *e);
/* The thread leaves KVM_RUN now, or does not enter it; never lost, also before it first enters. */
void vcpu_kick(struct vcpu *v);
void vcpu_join(struct vcpu *v);
/* Back to power-on; the thread must have been joined. */
int vcpu_reset(struct vcpu *v, struct err *e);

#endif
