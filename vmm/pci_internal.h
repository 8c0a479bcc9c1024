/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the pci_*.c files. Every call is made with the root's lock held unless it says more. */
#ifndef VIADUCT_VMM_PCI_INTERNAL_H
#define VIADUCT_VMM_PCI_INTERNAL_H

#include <pthread.h>

#include "common/log.h"
#include "vmm/pci.h"

/* Type 0 header, PCIe 5.0 §7.5.1. */
#define PCI_REG_ID         0x00u
#define PCI_REG_COMMAND    0x04u
#define PCI_REG_STATUS     0x06u
#define PCI_REG_REVISION   0x08u
#define PCI_REG_CLASS      0x09u
#define PCI_REG_CACHE_LINE 0x0cu
#define PCI_REG_HEADER     0x0eu
#define PCI_REG_BAR0       0x10u
#define PCI_REG_SUBSYSTEM  0x2cu
#define PCI_REG_ROM        0x30u
#define PCI_REG_CAPS       0x34u
#define PCI_REG_IRQ_LINE   0x3cu

#define PCI_COMMAND_IO       0x0001u
#define PCI_COMMAND_MEMORY   0x0002u
#define PCI_COMMAND_MASTER   0x0004u
#define PCI_COMMAND_INTX_OFF 0x0400u
#define PCI_STATUS_CAPS      0x0010u
#define PCI_STATUS_ERRORS    0xf900u /* write 1 to clear */
#define PCI_HEADER_MULTI     0x80u
#define PCI_ROM_ENABLE       0x1u

#define PCI_DEVFNS 256u

struct pci_root {
	pthread_mutex_t lock; /* config space and BARs of all functions, and what is below */
	struct pci_root_config cfg;
	struct pci_func *func[PCI_DEVFNS];
	struct pci_func *last; /* most recently added */
	uint32_t cf8;
	uint64_t refused; /* atomic */
	struct log_limit limit;
	struct pci_func bridge;
};

static inline bool pci_touches(unsigned int off, unsigned int len, unsigned int reg, unsigned int n)
{
	return off < reg + n && reg < off + len;
}

/* One access that lies inside a dword. */
uint32_t pci_func_read(struct pci_func *f, unsigned int off, unsigned int len);
void pci_func_write(struct pci_func *f, unsigned int off, unsigned int len, uint32_t val);
void pci_func_reset(struct pci_func *f);

static inline unsigned int pci_bar_reg(unsigned int bar)
{
	return bar == PCI_ROM ? PCI_REG_ROM : PCI_REG_BAR0 + bar * 4;
}

/* The address in the registers of @bar, whatever it is worth. */
uint64_t pci_bar_get(const struct pci_func *f, unsigned int bar);
void pci_bar_set(struct pci_func *f, unsigned int bar, uint64_t addr);
/* Would a write to [off, off + len) change what decodes? */
bool pci_bar_touched(unsigned int off, unsigned int len);
/* Take away the mappings that command and BAR registers no longer ask for; then make new ones. */
void pci_bars_unmap_stale(struct pci_func *f);
void pci_bars_map(struct pci_func *f);
void pci_bars_unmap_all(struct pci_func *f);

#endif
