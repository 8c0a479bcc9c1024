/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio PCI transport, modern only (Virtio 1.2 §4.1): config regions in BAR 0, MSI-X, and a
 * doorbell of its own per queue. A device embeds struct vpci first and fills its ops.
 *
 * Interrupts: the guest's MSI-X vectors come as eventfds (vmm/msi.h). Which queue uses which vector
 * is kept here, and each change reaches the device as ops->set_call; whoever uses buffers writes
 * that fd and KVM delivers. There is no INTx: a driver that cannot use MSI-X has to poll.
 *
 * Locks: `lock` holds transport and device state and is held in ops but for set_call; PCI root
 * comes before it. `vec_lock` holds vectors; MSI-X table and `lock` come before it, nothing but a
 * short lock of a back end after it. vpci_config_changed() and vpci_broken() take
 * vec_lock alone, so that any thread may call them.
 */
#ifndef VIADUCT_DEVICES_VIRTIO_PCI_H
#define VIADUCT_DEVICES_VIRTIO_PCI_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/log.h"
#include "irqremap/irqremap.h"
#include "vmm/doorbell.h"
#include "vmm/gmem.h"
#include "vmm/pci.h"

#define VPCI_QUEUES 129u /* 64 pairs and a control queue */

struct vpci;

struct vpci_ops {
	/* May this set be negotiated? A subset of what is offered, VERSION_1 included. */
	bool (*features_ok)(struct vpci *v, uint64_t features);
	/* DRIVER_OK. A failure becomes DEVICE_NEEDS_RESET. */
	int (*start)(struct vpci *v, struct err *e);
	/* Back to power-on, also when never started. Nobody touches the rings afterwards. */
	void (*stop)(struct vpci *v);
	/* The doorbell of a queue without kick_fd. */
	void (*notify)(struct vpci *v, unsigned int queue);
	/* The queue's interrupt is @fd from now on, -1 none. vec_lock held, lock maybe not. */
	void (*set_call)(struct vpci *v, unsigned int queue, int fd);
	/* Device config; bytes outside cfg_len never reach it. */
	void (*cfg_read)(struct vpci *v, unsigned int off, void *buf, unsigned int len);
	void (*cfg_write)(struct vpci *v, unsigned int off, const void *buf, unsigned int len);
	/* vpci_finish() was not called yet. */
	void (*destroy)(struct vpci *v);
};

struct vpci_queue {
	uint16_t size, max_size;
	bool enabled;
	uint64_t desc, driver, device; /* gpa, unchecked */
	int kick_fd;                   /* doorbell's eventfd; -1: ops->notify */
	bool bell;                     /* KVM signals kick_fd */
	uint16_t vector;               /* vec_lock */
};

struct vpci_config {
	const char *name;   /* lives as long as the device */
	uint16_t device_id; /* Virtio 1.2 §5 */
	uint32_t class_code;
	uint8_t devfn;
	uint64_t features; /* offered */
	unsigned int queues, vectors;
	unsigned int cfg_len;
	struct irq_router *irq;
	struct doorbell_backend bell;
};

struct vpci {
	struct pci_func pci;
	const struct vpci_ops *ops;
	struct doorbell_backend bell;
	pthread_mutex_t lock, vec_lock;
	uint64_t offered, driver_features;
	uint32_t feature_sel, driver_feature_sel;
	_Atomic uint8_t status;
	_Atomic uint8_t generation, isr;
	uint16_t queue_sel;
	unsigned int n_queues, cfg_len, cfg_cap;
	bool started;
	uint64_t bar_addr; /* where BAR 0 decodes, 0 = nowhere */
	struct vpci_queue queue[VPCI_QUEUES];
	/* vec_lock */
	unsigned int n_vectors;
	uint16_t config_vector;
	bool config_pending;
	int *vec_fd;
	/* figures */
	_Atomic uint64_t trapped_kicks, config_irqs, resets, broken;
	struct log_limit limit;
};

/* @v is the owner's memory, zeroed here. On failure nothing is left to finish. */
int vpci_init(
	struct vpci *v, const struct vpci_ops *ops, const struct vpci_config *cfg, struct err *e);
/* After the function left the root, or was never added. MSI-X is destroyed by whoever owns pci. */
void vpci_finish(struct vpci *v);

static inline uint64_t vpci_features(const struct vpci *v)
{
	return v->driver_features;
}

/* Device config changed: the guest reads it again. Any thread; lock may be held. */
void vpci_config_changed(struct vpci *v);
/* Interrupt for a queue that the device serves itself. Any thread. */
void vpci_call(struct vpci *v, unsigned int queue);
/* The driver did what none may do: DEVICE_NEEDS_RESET (§2.1.2), counted, told. Any thread. */
void vpci_broken(struct vpci *v, const char *what, const char *why);

#endif
