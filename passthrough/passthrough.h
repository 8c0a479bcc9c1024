/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An assigned device as a PCI function of the guest: config-space policy, BARs, vectors, DMA of
 * guest RAM, reset. The only module that sees both vfio and vmm.
 * Created and destroyed by the control thread.
 */
#ifndef VIADUCT_PASSTHROUGH_H
#define VIADUCT_PASSTHROUGH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bdf.h"
#include "common/err.h"
#include "common/sysfs.h"
#include "vfio/vfio.h"
#include "vmm/vm.h"

/* Guest RAM in an I/O address space (gpa = iova). */
struct dma_map;

/*
 * Map guest RAM into @io, which must have its first device, and follow it as a gmem listener. One
 * mapping per region; the device may read and write all of it. @io and @mem must outlive the map.
 * Control thread. -ENOMEM: RLIMIT_MEMLOCK is too small for all of it, checked before the first
 * mapping (text says the figure); -ERANGE: RAM overlaps a reserved window or ends above what the
 * IOMMU translates (text names the window); others as ioas_map(). On failure nothing is mapped.
 */
int dma_map_create(struct ioas *io, struct gmem *mem, struct err *e, struct dma_map **ret);
/* Unmaps; after the devices were told to stop. NULL is allowed. */
void dma_map_destroy(struct dma_map *m);

/*
 * The guest's remapping unit blocks a device of this address space, or lets it through again. While one
 * is blocked no guest RAM is mapped: when the call returns the device reaches nothing. Blocks are counted.
 * Any thread; the map must not be created or destroyed meanwhile. Unblocking: errors of ioas_map(), and it is not mapped then;
 * blocking: -EIO when the kernel keeps a mapping.
 */
int dma_map_block(struct dma_map *m, bool block, struct err *e);

enum assigned_state {
	ASSIGNED_PRESENT,
	ASSIGNED_ISOLATED, /* the guest reads all ones until it reboots, see assigned_isolate() */
	ASSIGNED_DETACHED, /* the host has it back */
};

/* What the host tells of a device beside its interrupts. */
enum assigned_signal_kind {
	ASSIGNED_ERROR,   /* an uncorrectable error of it was reported (AER) */
	ASSIGNED_REQUEST, /* someone takes its driver or itself away, and waits until it is closed */
	ASSIGNED_SIGNALS
};

struct assigned_stats {
	enum assigned_state state;
	uint64_t signals[ASSIGNED_SIGNALS]; /* how often, as taken by assigned_signal_take() */
	uint64_t cfg_accesses;              /* trapped config accesses that reached the device */
	uint64_t bar_accesses;              /* trapped BAR accesses (not the MSI-X table) */
	uint64_t host_irqs; /* interrupts the host counted for the device's vectors (/proc) */
	/*
	 * Of them, passed on by our code: INTx. What comes while a vector is masked waits in its
	 * eventfd, and KVM delivers it at the unmask.
	 */
	uint64_t user_irqs;
	unsigned int vectors_armed;  /* with an eventfd of the guest's */
	unsigned int vectors_silent; /* MSI-X, the guest's that the host had no interrupt for */
};

struct assigned;

/*
 * Open @b, build its PCI function and add it to the VM at the next free slot, or at @devfn when that
 * is >= 0. The function is owned by vm->pci and goes with it (reset and closed); the handle stays
 * valid until then. @io and @sysfs: @io must outlive the VM, @sysfs is not kept.
 *
 * Errors name the BDF: those of vdev_open(); -EIO: the device does not answer, or its capability
 * lists are broken; -EPROTO: the kernel describes it in a way that cannot be (BARs, vectors);
 * -EINVAL: its MSI-X table does not lie in its BARs, or no such @devfn; -ENOSPC, -EEXIST: no slot
 * is free, or @devfn is taken; -ENOMEM.
 */
int assigned_add(struct vm *vm, struct ioas *io, const struct sysfs *sysfs, struct bdf b, int devfn,
	struct err *e, struct assigned **ret);
/*
 * The map of the address space that @a is in; it must outlive the device's life in a running guest.
 * Before the guest runs.
 */
void assigned_set_dma(struct assigned *a, struct dma_map *m);
/*
 * The host's IOMMU stopped an access of @a to @iova: tell the guest if it is its own unit that blocks
 * the device. Returns whether it is. Any thread.
 */
bool assigned_dma_fault(struct assigned *a, uint64_t iova, bool write);
/* The host's address, and the guest's (device << 3 | function on bus 0). */
struct bdf assigned_bdf(const struct assigned *a);
uint8_t assigned_devfn(const struct assigned *a);

/*
 * An eventfd that is readable when the host has told @kind, to be watched; -1: this host or device has
 * no such thing. It stays the device's, and open as long as the handle is valid.
 */
int assigned_signal_fd(const struct assigned *a, enum assigned_signal_kind kind);
/* Take what came of @kind: how often since the last call. Control thread; never waits. */
uint64_t assigned_signal_take(struct assigned *a, enum assigned_signal_kind kind);
/*
 * Stop the device as the containment of a root port would (PCIe 5.0 §6.2.10): its bus mastering is off,
 * its interrupts are disarmed and what was pending is dropped, its registers are unmapped, config space
 * and BARs read all ones. A reboot of the guest resets it, and gives it back if it then answers.
 * Control thread, while the guest runs; may be repeated.
 */
void assigned_isolate(struct assigned *a);
/*
 * Isolate it and close it for good: the host has it back when this returns, after the time of one
 * config access of the guest that may be under way, whatever the guest does. To the guest it was pulled out.
 * Other devices in the address space are not touched. Control thread, while the guest runs; may be repeated.
 */
void assigned_detach(struct assigned *a);
enum assigned_state assigned_state(const struct assigned *a);
/* Any thread, but it reads /proc/interrupts: not for a loop. */
void assigned_stats(struct assigned *a, struct assigned_stats *ret);

/*
 * Why vector @i of MSI-X, or of MSI, does not fire although the guest has it unmasked: NULL, it does. A
 * static text. Any thread.
 */
const char *assigned_silence(struct assigned *a, bool msix, unsigned int i);

/* The device's interrupt pin at this moment. */
struct assigned_intx {
	unsigned int pin; /* 1 = INTA#; 0 = it has none, and the rest is 0 */
	unsigned int gsi; /* IOAPIC pin */
	bool armed;       /* VFIO signals it: neither MSI nor MSI-X is on */
	bool disabled;    /* by the guest's COMMAND */
	bool asserted;    /* its line is high: delivered and not ended, or waiting for the pin */
	uint64_t raised;  /* interrupts passed on since the start */
};
/* Any thread. */
void assigned_intx(struct assigned *a, struct assigned_intx *ret);

#endif
