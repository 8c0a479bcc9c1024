/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An assigned device as a PCI function of the guest: config-space policy, BARs, vectors, DMA of
 * guest RAM, reset. The only module that sees both vfio and vmm.
 * Created and destroyed by the control thread.
 */
#ifndef VIADUCT_PASSTHROUGH_H
#define VIADUCT_PASSTHROUGH_H

#include <stdint.h>

#include "common/bdf.h"
#include "common/err.h"
#include "common/sysfs.h"
#include "vfio/vfio.h"
#include "vmm/vm.h"

/* Guest RAM in an I/O address space (gpa = iova). */
struct dma_map;

/*
 * Map guest RAM into @io, which must have its first device, and follow it as a gmem listener.
 * RLIMIT_MEMLOCK is checked first. -ERANGE: RAM overlaps a reserved window (text names it).
 */
int dma_map_create(struct ioas *io, struct gmem *mem, struct err *e, struct dma_map **ret);
void dma_map_destroy(struct dma_map *m);

struct assigned_stats {
	uint64_t cfg_accesses; /* trapped config accesses that reached the device */
	uint64_t bar_accesses; /* trapped BAR accesses (not the MSI-X table) */
	uint64_t host_irqs;    /* interrupts the host counted for the device's vectors */
	uint64_t user_irqs;    /* of them caught while masked, i.e. passed by our code */
	unsigned int vectors_armed;
};

struct assigned;

/*
 * Open @b (see vdev_open() for the errors), reset it, build its PCI function and add it to the VM
 * at the next free slot, or at @devfn when that is >= 0. The function is owned by vm->pci and goes
 * with it; the handle stays valid until then.
 */
int assigned_add(struct vm *vm, struct ioas *io, const struct sysfs *sysfs, struct bdf b, int devfn,
	struct err *e, struct assigned **ret);
struct bdf assigned_bdf(const struct assigned *a);
uint8_t assigned_devfn(const struct assigned *a);
/* Any thread, but it reads /proc/interrupts: not for a loop. */
void assigned_stats(struct assigned *a, struct assigned_stats *ret);

#endif
