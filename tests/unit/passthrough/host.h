/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host with one assignable device, and the guest's side of it: the fake kernel with a device that
 * keeps the rules of vfio-pci (one interrupt kind at a time, the FLR bit, MSI-X table out of reach),
 * a real PCI root, memory slots that are only recorded, and recorded interrupts. Used by the unit
 * tests and by the fuzz target, so it aborts where it finds a rule broken.
 */
#ifndef VIADUCT_TESTS_PASSTHROUGH_HOST_H
#define VIADUCT_TESTS_PASSTHROUGH_HOST_H

#include "passthrough/internal.h"
#include "tests/fakes/irq_recorder.h"
#include "tests/fakes/vfio_kernel.h"

#define HOST_ROOT_LEN 64
#define HOST_BDF      "0000:01:10.0"
#define HOST_DEVFN    0x18 /* 00:03.0, unless told otherwise */
#define HOST_BAR_MAX  0x10000
#define HOST_SLOTS    32
#define HOST_WRITES   256

/* Layout of the standard device, an 82576 VF with a few things more. */
#define CAP_PM   0x40
#define CAP_MSI  0x50
#define CAP_MSIX 0x70
#define CAP_EXP  0xa0
#define EXT_AER  0x100
#define EXT_ARI  0x150
#define EXT_DSN  0x160

struct host_write {
	unsigned int off, len;
	uint32_t val;
};

struct host_slot {
	uint64_t gpa, size; /* size 0 = free */
	void *hva;
};

struct host {
	struct sysfs sysfs;
	struct vfio_kernel k;
	struct vfio_sys sys; /* the fake kernel's, with a livelier device */
	struct fk_device *dev;
	struct ioas *io;

	/* the guest */
	struct bus *mmio, *pio;
	struct pci_root *pci;
	struct slots *slots;
	struct irq_recorder rec;
	struct irq_router *irq;
	struct vtd *vtd; /* its DMA side is offered; memory holds no tables */
	struct ioapic *ioapic;
	struct irq_lines *lines;
	struct assigned_host ah;
	struct assigned *a;

	/* what was asked */
	struct host_slot slot[HOST_SLOTS];
	int slot_errno; /* what adding a slot answers */
	uint8_t bar[PCI_ROM + 1][HOST_BAR_MAX];
	pthread_mutex_t bar_lock; /* a guest has several CPUs */
	_Atomic unsigned int bar_reads, bar_writes;
	struct host_write write[HOST_WRITES]; /* config writes; n_writes may exceed it */
	unsigned int n_writes;
	uint8_t written[PCI_CFG_SIZE]; /* bits set in any write */
	uint8_t touched[PCI_CFG_SIZE]; /* part of any write */
	unsigned int flrs, arms, disarms, pauses;
	int armed_index; /* -1 = none */
	int unmask_fd;   /* of INTx */
	void (*command_written)(
		struct host *h); /* the kernel's part of a write of COMMAND, or NULL */
	unsigned int armed;
	int fds[MSIX_MAX];
	bool dynamic;           /* MSI-X vectors may be added while armed */
	unsigned int offer;     /* vectors the host allocates; 0 = enough */
	unsigned int host_irqs; /* vectors the host can give eventfds; 0 = enough */
	unsigned int irq_calls; /* attempts to give vectors eventfds */
};

/* The host's /sys and /proc in a temporary directory, whose name comes in @root. */
void host_root_make(char root[static HOST_ROOT_LEN]);
void host_root_remove(const char *root);
/* Everything but the device open; change h->dev and its config, then call host_open(). */
void host_init(struct host *h, const char *root);
int host_open(struct host *h, struct err *e);
/* Destroy the guest and the host. Aborts when an fd, mapping, slot or route is left. */
void host_finish(struct host *h);

uint32_t cfg_get(struct host *h, unsigned int off, unsigned int len);
void cfg_set(struct host *h, unsigned int off, unsigned int len, uint32_t val);
/* Values of the device's own config space. */
void dev_set(struct host *h, unsigned int off, unsigned int len, uint64_t val);
uint32_t dev_get(struct host *h, unsigned int off, unsigned int len);
void dev_region(struct host *h, unsigned int index, uint32_t flags, uint64_t size);
/* Place the BARs as firmware does. */
void host_place(struct host *h);
/* The slot that holds @gpa, or NULL. */
const struct host_slot *host_slot_at(const struct host *h, uint64_t gpa);
unsigned int host_slots(const struct host *h);
/* An MSI-X entry as a guest driver writes it. */
void msix_entry_set(struct host *h, unsigned int i, uint32_t data, bool masked);

#endif
