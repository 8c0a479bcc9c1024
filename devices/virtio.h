/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio devices a guest may have, and the back ends of this process. Control thread.
 *
 * virtio-net (Virtio 1.2 §5.1): features, config space and the control queue are the device's; the
 * packets are the back end's, see devices/net_backend.h.
 */
#ifndef VIADUCT_DEVICES_VIRTIO_H
#define VIADUCT_DEVICES_VIRTIO_H

#include <stdint.h>

#include "common/err.h"
#include "devices/net_backend.h"
#include "irqremap/irqremap.h"
#include "vmm/doorbell.h"
#include "vmm/gmem.h"
#include "vmm/pci.h"

/* What a virtio device needs of a VM; all of it outlives the device. */
struct vnet_host {
	struct pci_root *pci;
	struct gmem *mem;
	struct irq_router *irq;
	struct doorbell_backend bell;
};

struct vnet;

#define VNET_MTU_MIN 68u
#define VNET_MTU_MAX 65535u

struct vnet_config {
	uint8_t mac[6];      /* unicast */
	uint16_t mtu;        /* told to the guest, at least 68; 0 = not told */
	unsigned int pairs;  /* 1 .. be->max_pairs */
	uint64_t without;    /* features not to be offered though the back end has them */
	uint16_t queue_size; /* largest ring the guest may have, a power of two; 0 = 256 */
};

struct vnet_stats {
	struct net_backend_stats data;
	uint64_t trapped_kicks; /* doorbells that reached us and not KVM's eventfd */
	uint64_t config_irqs, resets;
	uint64_t broken;                   /* how often the guest was told DEVICE_NEEDS_RESET */
	uint64_t commands, command_errors; /* control queue */
	uint64_t features;                 /* negotiated now */
	unsigned int pairs;                /* in use now */
};

/*
 * A virtio-net function in a free slot of @host->pci, which owns it: it goes with the root. @be is
 * taken, also when the call fails. -EINVAL: a MAC, MTU or number of queues that cannot be;
 * -ENOSPC: no slot; -ENOMEM, -EMFILE.
 */
int vnet_create(const struct vnet_host *host, const struct vnet_config *cfg, struct net_backend *be,
	struct err *e, struct vnet **ret);
/* Any thread while the device lives. */
void vnet_stats(struct vnet *n, struct vnet_stats *ret);
uint8_t vnet_devfn(const struct vnet *n);
/* What it was made with, for figures only that kind has. */
struct net_backend *vnet_backend(const struct vnet *n);

/*
 * A tap interface of the host: @name is taken if it exists, else made, and goes with us then.
 * Checksum and segmentation offloads are the kernel's. -EINVAL: a name no interface can have, or
 * it is there with another number of queues; -EBUSY: someone has it; -EPERM; -ENOENT: no tun
 * driver. Texts say the remedy.
 */
int net_tap_create(const char *name, unsigned int pairs, const struct gmem *mem, struct err *e,
	struct net_backend **ret);

/* What the guest sends on a pair comes back on it. For tests. */
int net_loop_create(
	unsigned int pairs, const struct gmem *mem, struct err *e, struct net_backend **ret);

#endif
