/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of an assigned device. Read assigned.c first.
 *
 * Locking: config accesses, BAR moves and reset come with the root's lock held, so cfg and bars
 * need none of their own; trapped BAR accesses touch only what is constant after assigned_create().
 * The vectors have a lock because a table access on one vCPU and the statistics of the control
 * thread meet there.
 */
#ifndef VIADUCT_PASSTHROUGH_INTERNAL_H
#define VIADUCT_PASSTHROUGH_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/log.h"
#include "passthrough/passthrough.h"
#include "vmm/pci.h"
#include "vmm/slots.h"

/* What an assigned device needs of a VM; tests build one without a VM. */
struct assigned_host {
	struct pci_root *pci;
	struct slots *slots;
	struct irq_router *irq;
	struct irq_lines *lines;
	struct vdev_opts group; /* hooks for KVM_DEV_VFIO_GROUP_ADD/DEL */
};

/* ---- quirks.c ---- */

/* What is known to be wrong with a device; zero = nothing. */
struct quirk {
	uint16_t vendor, device, device_mask;
	bool pba_off_fixed;
	uint32_t pba_off; /* the true offset of the pending bits, in the BAR the device names */
	const char *why;
};

/* The entry for a device, or NULL. */
const struct quirk *quirk_find(uint16_t vendor, uint16_t device);

/* ---- config.c ---- */

struct config_cap {
	uint8_t off, len; /* 0 = absent */
};

/* Which bits of a guest's write reach the device; everything else stays here. */
struct config {
	uint16_t size; /* of the device's config space: 256 or 4096 */
	uint8_t pass[PCI_CFG_SIZE];
	uint16_t command; /* what the device's COMMAND register has */
	struct {
		uint16_t off; /* 0 = none */
		uint8_t bit;
	} flr[2];       /* bytes in which a bit starts a function-level reset */
	uint16_t pmcsr; /* offset of the low byte; 0 = no power management */
	struct config_cap msi, msix;
};

struct assigned;

/* Read the device's config space through VFIO and fill a->func and a->cfg. -EIO: it is dead. */
int config_init(struct assigned *a, struct err *e);
uint32_t config_read(struct assigned *a, unsigned int off, unsigned int len);
void config_write(struct assigned *a, unsigned int off, unsigned int len, uint32_t val);
/* Make the device decode what @bits (PCI_COMMAND_IO/MEMORY) says, before it is mapped. Does it? */
bool config_decode(struct assigned *a, uint16_t bits);
/* COMMAND to 0: no decode, no bus mastering. */
void config_quiesce(struct assigned *a);

/* ---- bars.c ---- */

#define BAR_MAX_PIECES (VDEV_MAX_AREAS + 2) /* each hole adds one at most: table and PBA */

/* A run of pages of a BAR that the guest reaches without an exit. */
struct bar_piece {
	uint64_t off, size;
	void *hva;
	int slot; /* KVM memory slot, -1 while the guest has it nowhere */
};

struct bar {
	struct vdev_region region; /* size 0 = not there */
	bool io;
	struct range hole[2]; /* MSI-X table and PBA: core's, never the device's */
	unsigned int n_pieces;
	struct bar_piece piece[BAR_MAX_PIECES];
	uint64_t gpa; /* where it decodes, 0 = nowhere */
};

/* Declare the BARs of a->func from the region info and the BAR registers VFIO shows. */
int bars_init(struct assigned *a, struct err *e);
/* mmap what may be mapped; after bars_init() and once the holes are known. Never fails: what
 * cannot be mapped is trapped. */
void bars_mmap(struct assigned *a);
void bars_finish(struct assigned *a);
void bars_map(struct assigned *a, unsigned int bar, uint64_t gpa);
void bars_unmap(struct assigned *a, unsigned int bar);
/* Take every slot away, and do not make new ones, while the device is in a low-power state. */
void bars_suspend(struct assigned *a, bool suspend);
uint64_t bars_read(struct assigned *a, unsigned int bar, uint64_t off, unsigned int len);
void bars_write(struct assigned *a, unsigned int bar, uint64_t off, unsigned int len, uint64_t val);

/* ---- vectors.c ---- */

struct vectors {
	pthread_mutex_t lock;
	int index;           /* VFIO_PCI_INTX_IRQ_INDEX, _MSI_, _MSIX_, or -1: nothing armed */
	unsigned int armed;  /* MSI, MSI-X: vectors [0, armed) are armed with fds[] */
	unsigned int silent; /* of the guest's, vectors that the host had no interrupt for */
	int *fds;
	unsigned int max; /* room in fds */
	uint64_t past;    /* interrupts the host counted before the last disarm */
};

/* One per interrupt kind: the ctx of its struct msi_ops. */
struct vectors_kind {
	struct assigned *a;
	int index;
};

/* Build a->func's MSI and MSI-X from the capabilities config_init() found. */
int vectors_init(struct assigned *a, struct err *e);
/* Disarm everything; the guest's tables keep what they say. */
void vectors_disarm(struct assigned *a);
/* As after power-on: MSI and MSI-X disarmed, INTx armed anew. */
void vectors_reset(struct assigned *a);
void vectors_finish(struct assigned *a);
/* Fills vectors_armed, vectors_silent and host_irqs. */
void vectors_stats(struct assigned *a, struct assigned_stats *ret);
/*
 * Sum the interrupts of lines that name a vfio-msi, vfio-msix or vfio-intx interrupt of @bdf in
 * text of the form of /proc/interrupts.
 */
uint64_t vectors_count_line(const char *line, const char *bdf);

/* ---- intx.c ---- */

struct intx {
	unsigned int pin; /* 1 = INTA#; 0 = it has none */
	struct irq_line line;
	int fd, unmask_fd, stop_fd; /* signalled by the kernel, by us at the guest's EOI, to end */
	pthread_t thread;
	bool running;
	bool disabled;           /* by the guest's COMMAND; under the vectors' lock */
	_Atomic uint64_t raised; /* interrupts passed on */
};

/* After config_init(): find the pin, start its thread. Nothing is armed. */
int intx_init(struct assigned *a, struct err *e);
void intx_finish(struct assigned *a);
/* With the vectors' lock: arm it if nothing else is; forget what it signalled and lower the line. */
void intx_arm(struct assigned *a);
void intx_drop(struct assigned *a);
/* The guest wrote COMMAND. */
void intx_command(struct assigned *a, uint16_t command);

/* ---- dma.c ---- */

/*
 * Close @d, which leaves the address space of @m (NULL: none known) while the guest runs and may have
 * others blocked or let through. @blocked: it was itself, so the others wait for it no more.
 */
void dma_map_leave(struct dma_map *m, struct vdev *d, bool blocked);

/* ---- errors.c ---- */

struct assigned_signal {
	int fd; /* -1 = the host offers none */
	_Atomic uint64_t count;
};

/* Make and arm the eventfds of errors and requests. A device without them is no error. */
int errors_init(struct assigned *a, struct err *e);
void errors_finish(struct assigned *a);
/* It was reset with the result @reset: does an isolated device come back? With the root's lock. */
void errors_reset(struct assigned *a, int reset);

/* ---- assigned.c ---- */

struct assigned {
	struct pci_func func;
	struct assigned_host host;
	struct vdev *dev; /* NULL: detached */
	/*
	 * Held for reading by trapped BAR accesses, which may outlive the mapping they came by, and for
	 * writing while dev is taken away.
	 */
	pthread_rwlock_t gate;
	_Atomic int state; /* enum assigned_state; the control thread's */
	struct assigned_signal signal[ASSIGNED_SIGNALS];
	struct bdf bdf;
	struct sysfs sysfs; /* our own fd of the root, for /proc/interrupts */
	char name[BDF_STRLEN];

	struct config cfg;
	struct bar bar[PCI_BARS + 1];
	bool suspended;
	struct vectors vec;
	struct vectors_kind kind_msi, kind_msix;
	struct intx intx;
	struct dma_map *dma; /* NULL: not known yet */
	bool dma_blocked;    /* by the guest's remapping unit; under its register lock */

	_Atomic uint64_t cfg_accesses, bar_accesses;
	_Atomic int cfg_errno; /* of the last config read that failed; looked at when opening */
	struct log_limit limit;
};

int assigned_create(const struct assigned_host *host, struct ioas *io, const struct sysfs *sysfs,
	struct bdf b, int devfn, struct err *e, struct assigned **ret);

/* 1, 2 or 4 bytes of config space through VFIO; all ones on failure. */
uint32_t dev_cfg_read(struct assigned *a, unsigned int off, unsigned int len);
int dev_cfg_write(const struct assigned *a, unsigned int off, unsigned int len, uint32_t val);

#endif
