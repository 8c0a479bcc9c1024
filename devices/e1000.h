/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An emulated network card for guests without virtio drivers: the Intel 82540EM ("e1000"), which
 * every operating system of the last twenty years has a driver for. A PCI device of the old kind:
 * its interrupt is a pin into the IOAPIC and no message. Its frames are those of a back end that
 * moves them in this process (devices/net_backend.h).
 *
 * "SDM" in the files is Intel's "PCI/PCI-X Family of Gigabit Ethernet Controllers Software
 * Developer's Manual" (317453).
 */
#ifndef VIADUCT_DEVICES_E1000_H
#define VIADUCT_DEVICES_E1000_H

#include <stdint.h>

#include "common/err.h"
#include "devices/net_backend.h"
#include "irqremap/irqremap.h"
#include "vmm/gmem.h"
#include "vmm/pci.h"

/* What the card needs of a VM; all of it outlives the card. */
struct e1000_host {
	struct pci_root *pci;
	struct gmem *mem;
	struct irq_lines *lines;
};

struct e1000_stats {
	uint64_t rx_packets, rx_bytes,
		rx_dropped; /* towards the guest; filtered ones are no drops */
	uint64_t tx_packets, tx_bytes, tx_dropped; /* from the guest */
	uint64_t kicks;                            /* doorbells */
	uint64_t irqs;                             /* how often the pin rose */
	uint64_t resets;                           /* by the guest or with it */
	uint64_t bad_rings;                        /* doorbells of a ring that cannot be */
	uint64_t bad_dma;                          /* descriptors and buffers outside RAM */
};

struct e1000;

/*
 * A card with address @mac (unicast) in a free slot of @host->pci, which owns it: it goes with the
 * root. @be is taken, also when the call fails. Control thread. -EINVAL: a MAC that cannot be;
 * -EOPNOTSUPP: @be has no frames for us (vhost-user); -ENOSPC: no slot; -ENOMEM, -EMFILE, -EAGAIN.
 */
int e1000_create(const struct e1000_host *host, const uint8_t *mac, struct net_backend *be,
	struct err *e, struct e1000 **ret);
/* Any thread while the card lives. */
void e1000_stats(struct e1000 *n, struct e1000_stats *ret);
uint8_t e1000_devfn(const struct e1000 *n);

#endif
