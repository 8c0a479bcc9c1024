/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What CPUID tells the guest: what this KVM supports, with the topology of our VM put in and the
 * things we do not offer taken out (performance counters, nested virtualisation).
 * Intel SDM vol. 2 "CPUID"; AMD APM vol. 3 appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst.
 */
#ifndef VIADUCT_VMM_CPUID_H
#define VIADUCT_VMM_CPUID_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/kvm.h>

#include "common/err.h"

/* The VM's own facts. */
struct cpuid_config {
	unsigned int cpus; /* one socket, a thread per core, APIC ids 0..cpus-1 */
	bool tsc_deadline; /* KVM_CAP_TSC_DEADLINE_TIMER */
	uint32_t tsc_khz;  /* KVM_GET_TSC_KHZ, 0 = not known */
};

/* KVM_GET_SUPPORTED_CPUID of @kvm_fd; free() it. -ENOMEM and the ioctl's errnos. */
int cpuid_supported(int kvm_fd, struct err *e, struct kvm_cpuid2 **ret);
/* A copy of @host for the vCPU with @apic_id; free() it. -ENOMEM. */
int cpuid_guest(const struct kvm_cpuid2 *host, const struct cpuid_config *cfg, uint32_t apic_id,
	struct err *e, struct kvm_cpuid2 **ret);
/* Guest-physical address bits (leaf 0x80000008), 36 where the leaf is missing. */
unsigned int cpuid_phys_bits(const struct kvm_cpuid2 *c);
/* The entry, or NULL. @index counts only for leaves that have subleaves. */
const struct kvm_cpuid_entry2 *cpuid_find(
	const struct kvm_cpuid2 *c, uint32_t function, uint32_t index);

#endif
