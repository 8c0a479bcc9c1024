/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI as the guest sees it: a root bus reached by ECAM and by ports CF8/CFC, and functions on it.
 * An emulated and an assigned device are the same thing here: a struct pci_func.
 *
 * Config space is four byte arrays: the value of the bits we answer (cfg), which bits of it the
 * guest may write (wmask), which it clears by writing 1 (w1c), and which bits are ours at all
 * (emu); the others come from and go to ops->cfg_read/cfg_write. An emulated function has emu all
 * ones.
 *
 * Functions are added and removed by the control thread; config and BAR accesses come from vCPU
 * threads and are serialised by one lock per root, which also orders BAR moves: all stale mappings
 * are taken away before any new one is made.
 *
 * A BAR decodes while its space is enabled in the command register and all of it lies inside one of
 * the root's windows. Anywhere else (over RAM, ECAM, the interrupt controllers) it reads back what
 * the guest wrote and answers nothing: the guest must not be able to shadow what is not its own.
 *
 * PCIe 5.0 §7.2 (ECAM), §7.5.1 (header); PCI 3.0 §3.2.2.3.2 (CF8/CFC), §6.2.5.1 (BARs).
 */
#ifndef VIADUCT_VMM_PCI_H
#define VIADUCT_VMM_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/range.h"
#include "irqremap/irqremap.h"
#include "irqremap/vtd.h"
#include "vmm/bus.h"
#include "vmm/msi.h"

#define PCI_CFG_SIZE 4096u
#define PCI_BARS     6u
#define PCI_ROM      6u /* index of the expansion ROM BAR */

struct pci_func;

struct pci_func_ops {
	/*
	 * Config operations and bar_map/bar_unmap are called with the root's lock held: they must
	 * not access config space through the root.
	 */
	/* Bits that are not ours. @len 1, 2 or 4, aligned. NULL: they read 0 and ignore writes. */
	uint32_t (*cfg_read)(struct pci_func *f, unsigned int off, unsigned int len);
	/*
	 * Called after our own bits took the write; @val is all that the guest wrote. By now stale
	 * BAR mappings are gone and vectors armed or disarmed; new BAR mappings follow the call, so
	 * the device's memory enable is on before bar_map.
	 */
	void (*cfg_write)(struct pci_func *f, unsigned int off, unsigned int len, uint32_t val);
	/* Trapped accesses to a BAR (outside the MSI-X table and PBA, which core answers). */
	uint64_t (*bar_read)(struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len);
	void (*bar_write)(
		struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len, uint64_t val);
	/*
	 * The BAR now decodes at @addr / no longer decodes. For direct mappings; may be NULL. @addr
	 * is aligned to the BAR's size, less than a page if the BAR is and the guest moved it.
	 * The two alternate strictly.
	 */
	void (*bar_map)(struct pci_func *f, unsigned int bar, uint64_t addr);
	void (*bar_unmap)(struct pci_func *f, unsigned int bar);
	/*
	 * The guest's remapping unit lets the function's DMA through, or it must have stopped when
	 * this returns; see vtd_dma_fn, whose locks it has. The root's is not held. NULL: no DMA.
	 */
	void (*dma_allow)(struct pci_func *f, bool allowed);
	/*
	 * After core put cfg back to what it was at pci_root_add() (BARs 0) and reset MSI, MSI-X. A
	 * function that is gone may come back here with pci_func_back().
	 */
	void (*reset)(struct pci_func *f);
	/* Free the owner's structure; core has detached it from the buses. */
	void (*destroy)(struct pci_func *f);
};

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_UPPER };

struct pci_bar {
	enum pci_bar_kind kind; /* UPPER: second half of a MEM64 */
	bool prefetch;
	uint64_t size; /* power of two; memory at least 16, I/O at least 4, ROM at least 2048 */
	/* private to pci_bar.c */
	struct pci_func *func;
	uint64_t addr; /* where it decodes, 0 = it does not; atomic */
};

struct pci_func {
	const struct pci_func_ops *ops;
	const char *name; /* for messages; the owner's memory */
	uint8_t devfn;    /* on bus 0 */
	uint8_t cfg[PCI_CFG_SIZE], wmask[PCI_CFG_SIZE], w1c[PCI_CFG_SIZE], emu[PCI_CFG_SIZE];
	struct pci_bar bar[PCI_BARS + 1];

	/* NULL when absent; owned by the function, destroyed with it before ops->destroy. */
	struct msix *msix;
	struct msi *msi;
	uint16_t msix_cap, msi_cap; /* config offsets, 0 = none */
	unsigned int msix_n;        /* vectors in the MSI-X table */
	unsigned int msix_table_bar, msix_pba_bar;
	uint64_t msix_table_off, msix_pba_off;

	/* private to vmm */
	struct pci_root *root; /* NULL until added */
	struct pci_func *next; /* added before this one */
	unsigned int cap_end;  /* first byte free for pci_func_cap() */
	uint8_t *power_on;     /* cfg at pci_root_add(), for a reset */
	struct vtd_requester dma;
	bool gone; /* pci_func_gone() */
};

struct pci_ids {
	uint16_t vendor, device, sub_vendor, sub_device;
	uint32_t class_code; /* 24 bits: base, sub, interface */
	uint8_t revision;
};

/* Fill the header for an emulated function (emu all ones). @f is the owner's memory, zeroed here. */
void pci_func_init(struct pci_func *f, const struct pci_func_ops *ops, const char *name,
	const struct pci_ids *ids);
/*
 * Declare a BAR before the function is added. MEM64 takes @bar and @bar+1; PCI_ROM must be MEM32.
 * BAR registers and the command bits that gate them are always ours, whatever emu says.
 */
void pci_func_bar(
	struct pci_func *f, unsigned int bar, enum pci_bar_kind kind, bool prefetch, uint64_t size);
/*
 * Append a capability of @len bytes (header included) to the chain (emulated functions); returns
 * its offset, with id and next filled, body zero. 0 when there is no room. The extended
 * capabilities from 0x100 on are the owner's.
 */
unsigned int pci_func_cap(struct pci_func *f, uint8_t id, unsigned int len);
/*
 * Give the function an MSI-X table. @cap_off: an existing capability (its header stays, the rest is
 * filled from the arguments and becomes ours), or 0 to append one. The table and PBA ranges inside
 * their BARs are answered by core. Call after pci_func_bar() and before pci_root_add(); @devfn must
 * be set. -EINVAL: @n, or a table that does not lie in its BAR; -ENOSPC: no room for the capability;
 * -ENOMEM.
 */
int pci_func_msix(struct pci_func *f, struct irq_router *r, unsigned int cap_off, unsigned int n,
	unsigned int table_bar, uint64_t table_off, unsigned int pba_bar, uint64_t pba_off,
	const struct msi_ops *ops, struct err *e);
/*
 * As above for MSI, @n a power of two up to 32. @cap_off: an existing capability, whose control
 * word in cfg says whether it has 64-bit addresses and masking, or 0 to append one with both.
 */
int pci_func_msi(struct pci_func *f, struct irq_router *r, unsigned int cap_off, unsigned int n,
	const struct msi_ops *ops, struct err *e);

/*
 * The function's own code wants to access @gpa: may it? False also records the fault. True for a
 * function that was not added yet. Any thread.
 */
bool pci_func_dma(struct pci_func *f, uint64_t gpa, bool write);

/* The IOAPIC pin that _PRT gives interrupt @pin (1 = INTA#) of @devfn on bus 0. */
unsigned int pci_intx_gsi(uint8_t devfn, unsigned int pin);

struct pci_root_config {
	struct bus *mmio, *pio;
	struct vtd *vtd; /* whose tables decide on DMA, or NULL; outlives the root */
	struct range mmio32, mmio64, pio_window; /* gpa / port windows BARs are placed in */
};

struct pci_root;

/*
 * Registers ECAM and CF8/CFC on the buses and puts a host bridge at 00:00.0. Only accesses that
 * begin at port CF8 itself are ours (and of them only a dword is the address register), so that a
 * byte access to the reset register at CF9 reaches whoever registers that port, before or after.
 * -ENOMEM.
 */
int pci_root_create(const struct pci_root_config *cfg, struct err *e, struct pci_root **ret);
/* Destroys the functions too, last added first. NULL is allowed. */
void pci_root_destroy(struct pci_root *root);
/*
 * Destroy the functions, last added first, and keep the root: assigned devices are closed here,
 * before the DMA mappings they use are taken away.
 */
void pci_root_clear(struct pci_root *root);
/*
 * The function at @devfn, NULL: none. Control thread, as only it adds and removes functions; what vCPUs
 * change of it is not to be read without the root's lock.
 */
struct pci_func *pci_root_function(const struct pci_root *root, uint8_t devfn);
/* First free device number on bus 0 (function 0). -ENOSPC. */
int pci_root_slot(const struct pci_root *root, uint8_t *ret_devfn);
/*
 * Put @f at f->devfn. From now on the root owns it, also when the call fails: it is destroyed.
 * The guest sees functions 1..7 of a device only when it has a function 0.
 * -EEXIST: the slot is taken; -ENOMEM.
 */
int pci_root_add(struct pci_root *root, struct pci_func *f, struct err *e);
/*
 * Take @f from the guest without asking, as a pulled card goes: from now on its slot answers all
 * ones, its BARs decode nowhere, its vectors are disarmed and what they had pending is dropped. When
 * this returns no config operation is under way and none will come but reset and destroy; a trapped
 * BAR access that began before may still be. Nothing happens when it is gone already. Control thread.
 */
void pci_func_gone(struct pci_func *f);
/* From ops->reset only: it answers again. */
void pci_func_back(struct pci_func *f);
/*
 * Place every BAR in the windows and turn on decode, as firmware does; bus mastering stays off.
 * Largest first; memory at 4 KiB steps at least. 64-bit prefetchable BARs go high when they fit,
 * the other 64-bit ones when the low window is full. Called again it gives the same addresses.
 * -ENOSPC names the function and BAR that found no room (nothing is changed then); -ENOMEM.
 */
int pci_root_place(struct pci_root *root, struct err *e);
/* Reset every function (guest reboot); BARs must be placed again by pci_root_place(). */
void pci_root_reset(struct pci_root *root);

/* How often a BAR with decode on was given an address outside the windows. */
uint64_t pci_root_refused(const struct pci_root *root);

/*
 * Direct entry for tests and fuzzing: what ECAM does. All ones where there is no function, and for
 * an access that crosses a dword, which no config request can express (PCIe 5.0 §2.2.4.1).
 */
uint32_t pci_cfg_read(
	struct pci_root *root, uint8_t bus, uint8_t devfn, unsigned int off, unsigned int len);
void pci_cfg_write(struct pci_root *root, uint8_t bus, uint8_t devfn, unsigned int off,
	unsigned int len, uint32_t val);

/* Where the BAR decodes, 0 when it does not. Any thread. */
uint64_t pci_bar_addr(const struct pci_func *f, unsigned int bar);

#endif
