// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/cpuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"

#define CPUID_ENTRIES_MAX 4096u
/* Entries cpuid_guest() may add: leaf 0xB and 0x1F with three subleaves each, 0x40000010. */
#define CPUID_ENTRIES_OWN 7u

#define L1_ECX_TSC_DEADLINE (1u << 24)
#define L1_ECX_VMX          (1u << 5)
#define L1_ECX_PDCM         (1u << 15)
#define L1_ECX_X2APIC       (1u << 21)
#define L1_ECX_OSXSAVE      (1u << 27)
#define L1_ECX_HYPERVISOR   (1u << 31)
#define L1_EDX_DS           (1u << 21)
#define L1_EDX_HTT          (1u << 28)
#define L7_ECX_OSPKE        (1u << 4)
#define X1_ECX_CMP_LEGACY   (1u << 1)
#define X1_ECX_SVM          (1u << 2)
#define X1_ECX_PERFCTR_CORE (1u << 23)
#define X1_ECX_PERFCTR_NB   (1u << 24)
#define X1_ECX_PERFCTR_LLC  (1u << 28)

#define LEAF_KVM        0x40000000u
#define LEAF_KVM_TIMING 0x40000010u

#define APIC_TIMER_KHZ 1000000u /* KVM's APIC bus is 1 GHz */

int cpuid_supported(int kvm_fd, struct err *e, struct kvm_cpuid2 **ret)
{
	for (uint32_t n = 128; n <= CPUID_ENTRIES_MAX; n *= 2) {
		_cleanup_free_ struct kvm_cpuid2 *c =
			calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));

		if (!c)
			return err_sys(e, ENOMEM, "CPUID");
		c->nent = n;
		if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, c) == 0) {
			*ret = ptr_steal(c);
			return 0;
		}
		if (errno != E2BIG)
			return err_sys(e, errno, "KVM_GET_SUPPORTED_CPUID");
	}
	return err_sys(e, E2BIG, "KVM_GET_SUPPORTED_CPUID");
}

const struct kvm_cpuid_entry2 *cpuid_find(
	const struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < c->nent; i++) {
		const struct kvm_cpuid_entry2 *x = &c->entries[i];
		bool indexed = x->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;

		if (x->function == function && (!indexed || x->index == index))
			return x;
	}
	return NULL;
}

unsigned int cpuid_phys_bits(const struct kvm_cpuid2 *c)
{
	const struct kvm_cpuid_entry2 *x = cpuid_find(c, 0x80000008, 0);
	unsigned int bits = x ? x->eax & 0xff : 36;

	return bits < 32 || bits > 52 ? 36 : bits;
}

static bool cpuid_is_amd(const struct kvm_cpuid2 *c)
{
	const struct kvm_cpuid_entry2 *x = cpuid_find(c, 0, 0);

	/* "Auth"enticAMD or "Hygo"nGenuine */
	return x && (x->ebx == 0x68747541 || x->ebx == 0x6f677948);
}

/* Bits needed to number @cpus. */
static unsigned int id_bits(unsigned int cpus)
{
	unsigned int bits = 0;

	while ((1u << bits) < cpus)
		bits++;
	return bits;
}

static void cpuid_drop(struct kvm_cpuid2 *c, uint32_t function)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->nent; i++)
		if (c->entries[i].function != function)
			c->entries[n++] = c->entries[i];
	c->nent = n;
}

static struct kvm_cpuid_entry2 *cpuid_push(struct kvm_cpuid2 *c, uint32_t function)
{
	struct kvm_cpuid_entry2 *x = &c->entries[c->nent++];

	*x = (struct kvm_cpuid_entry2){.function = function};
	return x;
}

/* Leaves 0xB and 0x1F: levels thread (one per core), core, end. */
static void cpuid_x2apic_topology(
	struct kvm_cpuid2 *c, uint32_t function, unsigned int cpus, uint32_t apic_id)
{
	cpuid_drop(c, function);
	for (uint32_t level = 0; level < 3; level++) {
		struct kvm_cpuid_entry2 *x = cpuid_push(c, function);

		x->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		x->index = level;
		x->eax = level == 1 ? id_bits(cpus) : 0;
		x->ebx = level == 2 ? 0 : level == 1 ? cpus : 1;
		x->ecx = level | (level == 2 ? 0 : (level + 1) << 8);
		x->edx = apic_id;
	}
}

/* Deterministic cache parameters: level 3 is shared by the socket, the others by nobody. */
static void cpuid_cache(struct kvm_cpuid_entry2 *x, unsigned int cpus, bool intel)
{
	unsigned int level = x->eax >> 5 & 7;
	uint32_t sharing = level >= 3 ? (1u << id_bits(cpus)) - 1 : 0;

	if ((x->eax & 0x1f) == 0) /* no more caches */
		return;
	x->eax = (x->eax & ~(0xfffu << 14)) | (sharing & 0xfff) << 14;
	if (intel)
		x->eax = (x->eax & ~(0x3fu << 26)) | (((1u << id_bits(cpus)) - 1) & 0x3f) << 26;
}

static void cpuid_patch(
	struct kvm_cpuid_entry2 *x, const struct cpuid_config *cfg, uint32_t apic_id, bool amd)
{
	unsigned int cpus = cfg->cpus;

	switch (x->function) {
	case 0:
		if (x->eax < 0xb) /* x2APIC ids are read from leaf 0xB */
			x->eax = 0xb;
		break;
	case 1:
		x->ebx = (x->ebx & 0x0000ffff) | (cpus > 255 ? 255 : cpus) << 16 |
			 (apic_id & 0xff) << 24;
		x->ecx &= ~(L1_ECX_VMX | L1_ECX_PDCM | L1_ECX_OSXSAVE | L1_ECX_TSC_DEADLINE);
		x->ecx |= L1_ECX_HYPERVISOR | L1_ECX_X2APIC;
		if (cfg->tsc_deadline)
			x->ecx |= L1_ECX_TSC_DEADLINE;
		x->edx &= ~(L1_EDX_DS | L1_EDX_HTT);
		if (cpus > 1)
			x->edx |= L1_EDX_HTT;
		break;
	case 4: cpuid_cache(x, cpus, true); break;
	case 7:
		if (x->index == 0)
			x->ecx &= ~L7_ECX_OSPKE;
		break;
	case 0xa: /* no performance counters: probing them costs an exit an access */
	case 0x80000022: x->eax = x->ebx = x->ecx = x->edx = 0; break;
	case LEAF_KVM:
		if (cfg->tsc_khz && x->eax < LEAF_KVM_TIMING)
			x->eax = LEAF_KVM_TIMING;
		break;
	case 0x80000001:
		x->ecx &= ~(X1_ECX_SVM | X1_ECX_PERFCTR_CORE | X1_ECX_PERFCTR_NB |
			    X1_ECX_PERFCTR_LLC | X1_ECX_CMP_LEGACY);
		if (amd && cpus > 1)
			x->ecx |= X1_ECX_CMP_LEGACY;
		break;
	case 0x80000008:
		if (amd)
			x->ecx = (x->ecx & ~0xf0ffu) | ((cpus - 1) & 0xff) |
				 (id_bits(cpus) & 0xf) << 12;
		break;
	case 0x8000000a: /* SVM */ x->eax = x->ebx = x->ecx = x->edx = 0; break;
	case 0x8000001d: cpuid_cache(x, cpus, false); break;
	case 0x8000001e:
		x->eax = apic_id;
		x->ebx = apic_id & 0xff; /* core id, one thread per core */
		x->ecx = 0;              /* node 0 of 1 */
		break;
	default: break;
	}
}

int cpuid_guest(const struct kvm_cpuid2 *host, const struct cpuid_config *cfg, uint32_t apic_id,
	struct err *e, struct kvm_cpuid2 **ret)
{
	size_t size = sizeof(*host) + host->nent * sizeof(host->entries[0]);
	struct kvm_cpuid2 *c = calloc(1, size + CPUID_ENTRIES_OWN * sizeof(host->entries[0]));
	bool amd = cpuid_is_amd(host);
	const struct kvm_cpuid_entry2 *top;

	if (!c)
		return err_sys(e, ENOMEM, "CPUID");
	memcpy(c, host, size);
	for (uint32_t i = 0; i < c->nent; i++)
		cpuid_patch(&c->entries[i], cfg, apic_id, amd);
	cpuid_x2apic_topology(c, 0xb, cfg->cpus, apic_id);
	top = cpuid_find(c, 0, 0);
	if (top && top->eax >= 0x1f && !amd)
		cpuid_x2apic_topology(c, 0x1f, cfg->cpus, apic_id);
	if (cfg->tsc_khz && cpuid_find(c, LEAF_KVM, 0)) {
		struct kvm_cpuid_entry2 *x;

		cpuid_drop(c, LEAF_KVM_TIMING);
		x = cpuid_push(c, LEAF_KVM_TIMING);
		x->eax = cfg->tsc_khz;
		x->ebx = APIC_TIMER_KHZ;
	}
	*ret = c;
	return 0;
}
