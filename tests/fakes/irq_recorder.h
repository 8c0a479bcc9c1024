/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A struct irq_backend that behaves as KVM's interrupt ioctls do, and remembers what it was asked.
 * It refuses what KVM refuses and what no caller may do: a detach of what is not attached, a second
 * attach of one eventfd, an attach to a GSI without a route, a route outside 0xfeexxxxx.
 * Thread-safe; the counters are to be read when nobody else runs.
 */
#ifndef VIADUCT_TESTS_IRQ_RECORDER_H
#define VIADUCT_TESTS_IRQ_RECORDER_H

#include <pthread.h>

#include "irqremap/irqremap.h"

#define IRQ_RECORDER_GSIS 4096
#define IRQ_RECORDER_MSIS 4096
#define IRQ_RECORDER_FDS  4096

struct irq_recorder {
	pthread_mutex_t lock;
	/* the kernel's state */
	struct irq_msi route[IRQ_RECORDER_GSIS]; /* addr 0: none */
	unsigned int n_routes;
	struct {
		int fd;
		uint32_t gsi;
	} attached[IRQ_RECORDER_FDS];
	unsigned int n_attached;
	/* calls */
	unsigned int routes_set, irqfd, msi_send;
	unsigned int calls; /* sum of the three */
	/* messages that reached the guest: msi_send's, and irqfds' as irq_recorder_run() sees them */
	struct irq_msi msi[IRQ_RECORDER_MSIS];
	unsigned int n_msi; /* may exceed the array */
	/* knobs */
	int msi_result;       /* what msi_send answers; 1 at first */
	unsigned int fail_at; /* the n-th call from 1 fails with fail_errno; 0: none */
	unsigned int fail_n;  /* and so many from there on; 1 at first */
	int fail_errno;
};

void irq_recorder_init(struct irq_recorder *rec);
void irq_recorder_finish(struct irq_recorder *rec);
struct irq_backend irq_recorder_backend(struct irq_recorder *rec);
/* Do KVM's part: deliver the message of every attached eventfd that is signalled, and read it. */
void irq_recorder_run(struct irq_recorder *rec);
/* Forget calls and messages; routes, attachments and knobs stay. */
void irq_recorder_clear(struct irq_recorder *rec);

#endif
