/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host counts of interrupts that go to guests: /proc/interrupts, lines of vfio-pci. The text
 * is input, as sysfs is: it is bounded, and a line that is no such line is passed over.
 */
#ifndef VIADUCT_PASSTHROUGH_HOST_IRQS_H
#define VIADUCT_PASSTHROUGH_HOST_IRQS_H

#include <stddef.h>
#include <stdint.h>

#include "common/bdf.h"
#include "common/sysfs.h"

enum host_irq_kind { HOST_IRQ_INTX, HOST_IRQ_MSI, HOST_IRQ_MSIX };

struct host_irq {
	struct bdf bdf;
	enum host_irq_kind kind;
	unsigned int index; /* of the vector; 0 for INTx */
	unsigned int irq;   /* Linux's number */
	uint64_t count;     /* of all CPUs; of all that share the line */
};

/* Devices that share a line are on it together; more are not looked at. */
#define HOST_IRQ_SHARED 16

/* The interrupts of vfio-pci on one line of /proc/interrupts; returns how many there are. */
unsigned int host_irq_parse(const char *line, struct host_irq ret[HOST_IRQ_SHARED]);

/*
 * All of them. The caller frees *@ret. Returns their number, or -errno of opening the file, or
 * -ENOMEM.
 */
int host_irqs_read(const struct sysfs *sysfs, struct host_irq **ret);

#endif
