/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSI and MSI-X as the guest sees them: the one implementation, below emulated and assigned devices
 * alike. The capability bytes live in the function's config space; the table lives here.
 * PCI 3.0 §6.8; PCIe 5.0 §6.1.4, §7.7.1, §7.7.2.
 *
 * An MSI-X vector is made when the guest first unmasks it with the capability enabled, those of MSI
 * when it is enabled; they go when it is disabled. A device's owner learns of them through struct
 * msi_ops and lends their fds to whatever raises the interrupt.
 *
 * What cannot be done (no fd, no route, a refusing kernel) leaves the vector masked, is counted, and
 * is tried again at the next write that concerns it.
 *
 * Thread-safe: a lock per object; ops are called with it held, so they must not take a lock that is
 * held around msix_fire()/msi_fire().
 */
#ifndef VIADUCT_VMM_MSI_H
#define VIADUCT_VMM_MSI_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "irqremap/irqremap.h"
#include "irqremap/snapshot.h"

struct msi_ops {
	/*
	 * Vectors [0, count) exist from now on with these fds (-1 = not used by the guest yet).
	 * Called when the capability is enabled with the fds of then, and again whenever vectors
	 * gain their fds: the earlier ones keep theirs. An assigned device arms VFIO here. 0 or
	 * -errno; a failure leaves the vector masked. @fds stays ours.
	 */
	int (*arm)(void *ctx, unsigned int count, const int *fds);
	/*
	 * The capability was disabled, or the device reset; the fds are closed after the call.
	 * Called once after one or more arm, also when the last of them failed.
	 */
	void (*disarm)(void *ctx);
	void *ctx;
};

#define MSIX_ENTRY_SIZE 16u
#define MSIX_MAX        2048u
#define MSI_MAX         32u

struct msix;
struct msi;

/* @n: 1..2048 vectors; @rid: guest requester id; @ops may have NULL members. */
int msix_create(struct irq_router *r, uint16_t rid, unsigned int n, const struct msi_ops *ops,
	struct err *e, struct msix **ret);
void msix_destroy(struct msix *m);
/*
 * Table and PBA accesses; @off is relative to their start. Only aligned 4 and 8 byte accesses have
 * an effect, others read as 0 (PCIe 5.0 §7.7.2 leaves them undefined). An address or data write to
 * an unmasked entry takes effect at once, each dword by itself; guests mask first.
 */
uint64_t msix_table_read(struct msix *m, uint64_t off, unsigned int len);
void msix_table_write(struct msix *m, uint64_t off, unsigned int len, uint64_t val);
uint64_t msix_pba_read(struct msix *m, uint64_t off, unsigned int len);
/* Message control changed: bit 15 enable, bit 14 function mask. */
void msix_control(struct msix *m, uint16_t ctl);
/* Raise vector @i from an emulated device. Ignored while disabled, pending while masked. */
void msix_fire(struct msix *m, unsigned int i);
void msix_reset(struct msix *m);
/* How often a vector could not be made, armed or routed. */
uint64_t msix_errors(struct msix *m);

/* What one vector is at this moment. */
struct msi_vector {
	bool enabled; /* the capability is, and covers this vector */
	bool masked;  /* by the guest: its mask bit, or the function's */
	bool pending;
	bool made; /* there is a vector behind it, which is: */
	/*
	 * MSI-X: way is of what the table says, also when there is none, and while not unmasked what the
	 * message would become.
	 */
	struct irq_vector_info vec;
};

/* Vector @i < @n. Any thread; the lock is held for this one only. */
void msix_snapshot(struct msix *m, unsigned int i, struct msi_vector *ret);

/* @n: 1, 2, 4, .. 32 vectors the capability offers. */
int msi_create(struct irq_router *r, uint16_t rid, unsigned int n, const struct msi_ops *ops,
	struct err *e, struct msi **ret);
void msi_destroy(struct msi *m);
/*
 * The capability's registers as the guest wrote them. @mask: 0 when it has no per-vector masking.
 * @count: vectors enabled (2 to the power of Multiple Message Enable); more than offered, or a
 * reserved encoding, gets what is offered.
 */
void msi_update(struct msi *m, bool enable, uint64_t addr, uint16_t data, unsigned int count,
	uint32_t mask);
uint32_t msi_pending(struct msi *m);
void msi_fire(struct msi *m, unsigned int i);
/* As msix_snapshot(). */
void msi_snapshot(struct msi *m, unsigned int i, struct msi_vector *ret);
/* Vectors the capability offers. */
unsigned int msi_count(const struct msi *m);
void msi_reset(struct msi *m);
uint64_t msi_errors(struct msi *m);

#endif
