/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual machine: memory, vCPUs and the things they run against. Building one is plain code in
 * cli/run: vm_create(), add devices, pci_root_place(), acpi_build(), boot_load(), vm_start().
 * One control thread owns the structure; vCPU threads only run guests and buses.
 */
#ifndef VIADUCT_VMM_VM_H
#define VIADUCT_VMM_VM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "irqremap/irqremap.h"
#include "vmm/boot.h"
#include "vmm/bus.h"
#include "vmm/gmem.h"
#include "vmm/pci.h"
#include "vmm/slots.h"

/* Why the guest is not running. */
enum vm_end {
	VM_END_NONE,     /* it runs */
	VM_END_POWEROFF, /* ACPI S5 */
	VM_END_REBOOT,   /* ACPI reset register, port 0xCF9, i8042 */
	VM_END_CRASH,    /* triple fault */
	VM_END_STOPPED,  /* asked from outside */
	VM_END_ERROR,    /* KVM could not go on; vm_end_text() says why */
};

struct vm_config {
	const char *name;
	unsigned int cpus; /* 1..KVM_CAP_MAX_VCPUS */
	struct gmem_config mem;
	bool irq_remap; /* the guest gets a remapping unit (VT-d) */
	bool dma_remap; /* and its DMA side offers pass-through */
	/* APIC ids of the vCPUs, one each and no two alike; NULL: 0, 1, 2, ... */
	const uint32_t *apic_ids;
};

struct vcpu; /* vmm/vcpu.h, private to vmm */

struct vm {
	char *name;
	int kvm_fd, fd;
	unsigned int cpus;
	uint32_t *apic_ids;
	struct gmem *mem;
	struct slots *slots;
	struct bus *mmio, *pio;
	struct irq_router *irq;
	struct ioapic *ioapic;
	struct irq_lines *lines; /* of PCI INTx */
	struct vtd *vtd;         /* NULL: none */
	struct pci_root *pci;
	struct range pci_mmio32, pci_mmio64, pci_pio;

	/* private to vmm */
	struct vcpu **vcpu;
	struct gmem_listener slot_listener;
	unsigned int ram_slot[2]; /* below and above 4 GiB */
	pthread_mutex_t end_lock; /* orders vm_stop() calls; vCPUs read end without it */
	_Atomic int end;
	int end_fd;
	char end_text[256];
	int vfio_fd;    /* KVM_DEV_TYPE_VFIO, made when first used */
	bool vfio_told; /* KVM knows of a group: it may post the interrupts of its devices */
};

/* KVM exits seen by our process, by reason (index: KVM_EXIT_*). */
#define VM_EXIT_REASONS 64
struct vm_stats {
	uint64_t exits[VM_EXIT_REASONS];
	uint64_t total;
};

/*
 * Open /dev/kvm, make the VM with split irqchip, memory and its slots, buses, IOAPIC, PCI root and
 * vCPUs (not running). -ENOENT/-EACCES on /dev/kvm with the remedy; -EOPNOTSUPP names the missing
 * capability; errors of gmem_create(); -EINVAL: vCPU count (text says the limit), or an APIC id that
 * KVM does not take or that two have.
 */
int vm_create(const struct vm_config *cfg, struct err *e, struct vm **ret);
/* Stops vCPUs if they run; PCI functions are destroyed first. NULL is allowed. */
void vm_destroy(struct vm *vm);

/*
 * Set the boot vCPU to @entry, the others wait for SIPI, and start the threads. Uses the signal
 * SIGRTMIN. On failure no thread is left.
 */
int vm_start(struct vm *vm, const struct boot_entry *entry, struct err *e);
/*
 * Any thread, also a vCPU's, at any time from vm_create() on: the guest ended for @why. The first
 * call counts. Makes vm_end_fd() readable; a vCPU stops at its next exit, or when vm_join() kicks
 * it. A VM that is stopped before vm_start() ends without running an instruction.
 */
void vm_stop(struct vm *vm, enum vm_end why, const char *text);
/* Becomes readable when the guest ended, for the event loop. */
int vm_end_fd(const struct vm *vm);
/*
 * Kick every vCPU out of KVM_RUN and join the threads; a guest that still runs is stopped first
 * (VM_END_STOPPED). Returns why it ended. Control thread; harmless when nothing was started.
 */
enum vm_end vm_join(struct vm *vm);
const char *vm_end_text(const struct vm *vm);
/*
 * After vm_join(): vCPUs, IOAPIC and PCI functions back to power-on. Memory is as the guest left
 * it. Before vm_start(): pci_root_place(), acpi_build(), boot_load() again.
 */
int vm_reset(struct vm *vm, struct err *e);

void vm_stats(const struct vm *vm, struct vm_stats *ret);
/* "io", "mmio", "hlt", ... or "exit-<n>"; static. */
const char *vm_exit_name(unsigned int reason);

/*
 * One KVM-side statistic summed over the VM and its vCPUs (KVM_GET_STATS_FD), e.g. "exits",
 * "io_exits", "mmio_exits", "irq_injections". Any time, running vCPUs included: it waits for none.
 * -ENOENT: this kernel has none by that name.
 */
int vm_kvm_stat(const struct vm *vm, const char *name, uint64_t *ret);

/* Tell KVM of a VFIO group fd (KVM_DEV_VFIO_GROUP_ADD/DEL). */
int vm_vfio_group(struct vm *vm, int group_fd, bool add, struct err *e);

#endif
