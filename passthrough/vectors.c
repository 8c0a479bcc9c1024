// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Interrupts: the eventfds of the guest's vectors, lent to VFIO. The same eventfd is the trigger in
 * VFIO and the irqfd in KVM, so an interrupt goes from the host's handler into the guest with no
 * code of ours, and hardware that can post interrupts pairs the two by it (include/linux/irqbypass.h).
 *
 * Masking by the guest detaches the irqfd in vmm and does not come here: VFIO stays armed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <linux/pci_regs.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "passthrough/host_irqs.h"
#include "passthrough/internal.h"

/* ---- statistics ---- */

uint64_t vectors_count_line(const char *line, const char *bdf)
{
	struct host_irq irq[HOST_IRQ_SHARED];
	unsigned int n = host_irq_parse(line, irq);
	struct bdf b;

	for (unsigned int i = 0; i < n && bdf_parse(bdf, &b) == 0; i++)
		if (bdf_equal(irq[i].bdf, b))
			return irq[i].count;
	return 0;
}

/* What the host has counted since the vectors were armed: the kernel forgets with the disarm. */
static uint64_t host_irqs(const struct assigned *a)
{
	_cleanup_free_ struct host_irq *irq = NULL;
	int n = host_irqs_read(&a->sysfs, &irq);
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		if (bdf_equal(irq[i].bdf, a->bdf))
			sum += irq[i].count;
	return sum;
}

void vectors_stats(struct assigned *a, struct assigned_stats *ret)
{
	struct vectors *v = &a->vec;
	unsigned int armed = 0;

	pthread_mutex_lock(&v->lock);
	for (unsigned int i = 0; i < v->armed; i++)
		armed += v->fds[i] >= 0;
	ret->vectors_armed = v->index == VFIO_PCI_INTX_IRQ_INDEX ? 1 : armed;
	ret->vectors_silent = v->silent;
	ret->host_irqs = v->past + (v->index >= 0 ? host_irqs(a) : 0);
	pthread_mutex_unlock(&v->lock);
}

const char *assigned_silence(struct assigned *a, bool msix, unsigned int i)
{
	const int index = msix ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX;
	struct vectors *v = &a->vec;
	const char *why = NULL;

	pthread_mutex_lock(&v->lock);
	if (v->index != index)
		why = "VFIO did not arm the device's interrupts: see the log";
	else if (i >= v->armed || v->fds[i] < 0)
		why = "the host has no interrupt left for it";
	pthread_mutex_unlock(&v->lock);
	return why;
}

/* ---- arming ---- */

static void disarm_locked(struct assigned *a)
{
	struct vectors *v = &a->vec;
	struct err e = {0};

	if (v->index < 0)
		return;
	v->past += host_irqs(a);
	if (vdev_irq_disarm(a->dev, (unsigned int)v->index, &e) < 0)
		log_warn("%s", e.text);
	if (v->index == VFIO_PCI_INTX_IRQ_INDEX)
		intx_drop(a);
	v->index = -1;
	v->armed = 0;
	v->silent = 0;
}

/* The vectors the guest uses now: up to the last with an fd, one at least, so that the device's own
 * enable bit follows the guest's (mailboxes of PF and VF drivers rely on it). */
static unsigned int used(unsigned int count, const int *fds)
{
	while (count > 1 && fds[count - 1] < 0)
		count--;
	return count;
}

/* The kernel has taken @fds for vectors [start, start + n). */
static void armed(struct vectors *v, unsigned int start, unsigned int n, const int *fds)
{
	/* What lies in between is not used by the guest and not allocated in the kernel. */
	for (; v->armed < start; v->armed++)
		v->fds[v->armed] = -1;
	memcpy(v->fds + start, fds, n * sizeof(*fds));
	if (v->armed < start + n)
		v->armed = start + n;
}

/*
 * Of vectors [start, start + n), as many from the front as the host has interrupts for. Allocating
 * them reserves none: the kernel looks for a place on a processor when it is given the eventfd, and
 * then refuses the whole range. MSI is a block and goes together.
 */
static int arm_range(
	struct assigned *a, unsigned int start, unsigned int n, const int *fds, struct err *e)
{
	struct vectors *v = &a->vec;
	int r;

	r = vdev_irq_arm(a->dev, (unsigned int)v->index, start, n, fds + start, e);
	if (r == 0)
		armed(v, start, n, fds + start);
	if (r != -ENOSPC || n == 1 || v->index != VFIO_PCI_MSIX_IRQ_INDEX)
		return r;
	r = arm_range(a, start, n / 2, fds, e);
	return r < 0 ? r : arm_range(a, start + n / 2, n - n / 2, fds, e);
}

/* Make the device use @index, with @n vectors and the eventfds of @fds, of which @need are used. */
static int arm_first(struct assigned *a, int index, unsigned int n, unsigned int need,
	const int *fds, struct err *e)
{
	struct vectors *v = &a->vec;
	unsigned int offer;
	int r;

	r = vdev_irq_arm_offer(a->dev, (unsigned int)index, 0, n, fds, e, &offer);
	/* Fewer than asked for, and by the time it is asked again, perhaps fewer than that. */
	while (r == -ENOSPC && offer && offer < n &&
		(need <= offer || index == VFIO_PCI_MSIX_IRQ_INDEX)) {
		n = need < offer ? need : offer;
		r = vdev_irq_arm_offer(a->dev, (unsigned int)index, 0, n, fds, e, &offer);
	}
	if (r == 0) {
		v->index = index;
		armed(v, 0, n, fds);
		return 0;
	}
	if (r != -ENOSPC || offer || index != VFIO_PCI_MSIX_IRQ_INDEX)
		return r;
	/* Silent ones first: they are allocated, and the device's enable bit follows the guest's. */
	for (unsigned int i = 0; i < n; i++)
		v->fds[i] = -1;
	r = vdev_irq_arm(a->dev, (unsigned int)index, 0, n, v->fds, e);
	if (r < 0)
		return r;
	v->index = index;
	v->armed = n;
	return arm_range(a, 0, n, fds, e);
}

/*
 * Nothing is armed. With NORESIZE the kernel cannot add vectors later without dropping all, so the
 * whole range is taken at once, most of it silent; when the host has too few, what is used now.
 */
static int arm_all(struct assigned *a, int index, unsigned int count, const int *fds, bool fixed,
	struct err *e)
{
	unsigned int need = used(count, fds);

	return arm_first(a, index, fixed ? count : need, need, fds, e);
}

static bool changed(const struct vectors *v, unsigned int i, const int *fds)
{
	return i < v->armed ? fds[i] != v->fds[i] : fds[i] >= 0;
}

/*
 * The end of the run of vectors from @i that one call can tell the kernel of. It goes over silent
 * ones, but not over those in use: the kernel would take them down and make them anew.
 */
static unsigned int run_end(
	const struct vectors *v, unsigned int i, unsigned int limit, const int *fds)
{
	unsigned int end = i + 1;

	for (unsigned int j = end; j < limit; j++) {
		if (changed(v, j, fds))
			end = j + 1;
		else if (fds[j] >= 0)
			break;
	}
	return end;
}

/* Some are armed: tell the kernel of the fds that are new, in runs. */
static int arm_changed(
	struct assigned *a, unsigned int count, const int *fds, bool fixed, struct err *e)
{
	struct vectors *v = &a->vec;
	/* Where the host had no more before, one is tried before many. */
	bool probe = v->silent;
	unsigned int end;
	int r;

	for (unsigned int i = 0; i < count; i = end) {
		end = i + 1;
		if (!changed(v, i, fds))
			continue;
		if (fixed && i >= v->armed) {
			int index = v->index;
			unsigned int need = used(count, fds);

			disarm_locked(a);
			return arm_first(a, index, need, need, fds, e);
		}
		if (!probe)
			end = run_end(v, i, fixed ? v->armed : count, fds);
		probe = false;
		r = arm_range(a, i, end - i, fds, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Vectors of the guest's that the host has no interrupt for. They are as on hardware that fires none. */
static void count_silent(struct assigned *a, unsigned int count, const int *fds)
{
	struct vectors *v = &a->vec;
	unsigned int n = 0, wanted = 0;

	for (unsigned int i = 0; i < count; i++) {
		wanted += fds[i] >= 0;
		n += fds[i] >= 0 && (i >= v->armed || v->fds[i] < 0);
	}
	if (n > v->silent)
		log_guest(&a->limit,
			"%s: the host has no interrupts left for %u of the %u MSI-X vectors the "
			"guest uses: they stay silent; let it use fewer queues, give the host more "
			"processors (each has about 200), or free other devices",
			a->name, n, wanted);
	v->silent = n;
}

static int vectors_arm(void *ctx, unsigned int count, const int *fds)
{
	const struct vectors_kind *k = ctx;
	struct assigned *a = k->a;
	struct vectors *v = &a->vec;
	struct err e = {0};
	struct vdev_irq irq;
	bool fixed;
	int r;

	r = vdev_irq(a->dev, (unsigned int)k->index, &irq);
	if (r < 0 || count > v->max)
		return -EINVAL;
	/* Only MSI-X can grow: the number of MSI vectors is written in the capability. */
	fixed = irq.noresize || k->index == VFIO_PCI_MSI_IRQ_INDEX;
	pthread_mutex_lock(&v->lock);
	/* VFIO has one kind armed at a time (drivers/vfio/pci/vfio_pci_intrs.c, is_irq_none()). */
	if (v->index != k->index)
		disarm_locked(a);
	if (v->index < 0)
		r = arm_all(a, k->index, count, fds, fixed, &e);
	else
		r = arm_changed(a, count, fds, fixed, &e);
	if (k->index == VFIO_PCI_MSIX_IRQ_INDEX && v->index >= 0 && (r == 0 || r == -ENOSPC)) {
		count_silent(a, count, fds);
		r = 0;
	}
	pthread_mutex_unlock(&v->lock);
	if (r < 0)
		log_guest(&a->limit, "%s", e.text);
	return r;
}

static void vectors_disarm_op(void *ctx)
{
	const struct vectors_kind *k = ctx;
	struct vectors *v = &k->a->vec;

	pthread_mutex_lock(&v->lock);
	if (v->index == k->index)
		disarm_locked(k->a);
	intx_arm(k->a);
	pthread_mutex_unlock(&v->lock);
}

void vectors_disarm(struct assigned *a)
{
	pthread_mutex_lock(&a->vec.lock);
	disarm_locked(a);
	pthread_mutex_unlock(&a->vec.lock);
}

void vectors_reset(struct assigned *a)
{
	pthread_mutex_lock(&a->vec.lock);
	disarm_locked(a);
	intx_arm(a);
	pthread_mutex_unlock(&a->vec.lock);
}

/* ---- building ---- */

static struct range hole(uint64_t off, uint64_t size)
{
	return (struct range){off, off + size};
}

static int msix_build(struct assigned *a, unsigned int n, struct err *e)
{
	const uint8_t *cap = &a->func.cfg[a->cfg.msix.off];
	uint32_t table = (uint32_t)le_load(cap + PCI_MSIX_TABLE, 4);
	uint32_t pba = (uint32_t)le_load(cap + PCI_MSIX_PBA, 4);
	unsigned int table_bar = table & PCI_MSIX_TABLE_BIR, pba_bar = pba & PCI_MSIX_PBA_BIR;
	const struct msi_ops ops = {vectors_arm, vectors_disarm_op, &a->kind_msix};
	const struct quirk *q;
	int r;

	table &= PCI_MSIX_TABLE_OFFSET;
	pba &= PCI_MSIX_PBA_OFFSET;
	q = quirk_find((uint16_t)le_load(&a->func.cfg[PCI_VENDOR_ID], 2),
		(uint16_t)le_load(&a->func.cfg[PCI_DEVICE_ID], 2));
	if (q && q->pba_off_fixed && pba_bar < PCI_BARS && pba >= a->bar[pba_bar].region.size) {
		log_debug("%s: pending bits at %#x instead of %#x: %s", a->name, q->pba_off, pba,
			q->why);
		pba = q->pba_off;
	}
	r = pci_func_msix(
		&a->func, a->host.irq, a->cfg.msix.off, n, table_bar, table, pba_bar, pba, &ops, e);
	if (r < 0)
		return r;
	a->bar[table_bar].hole[0] = hole(table, (uint64_t)n * PCI_MSIX_ENTRY_SIZE);
	a->bar[pba_bar].hole[1] = hole(pba, (n + 63) / 64 * 8);
	return 0;
}

int vectors_init(struct assigned *a, struct err *e)
{
	const struct msi_ops msi_ops = {vectors_arm, vectors_disarm_op, &a->kind_msi};
	struct vdev_irq irq_msi = {0}, irq_msix = {0};
	const uint8_t *cfg = a->func.cfg;
	unsigned int n_msi = 0, n_msix = 0;
	int r = 0;

	vdev_irq(a->dev, VFIO_PCI_MSI_IRQ_INDEX, &irq_msi);
	vdev_irq(a->dev, VFIO_PCI_MSIX_IRQ_INDEX, &irq_msix);
	if (a->cfg.msi.off) {
		n_msi = 1u << ((cfg[a->cfg.msi.off + PCI_MSI_FLAGS] & PCI_MSI_FLAGS_QMASK) >> 1);
		while (n_msi > MSI_MAX || n_msi > irq_msi.count)
			n_msi >>= 1;
	}
	if (a->cfg.msix.off) {
		n_msix = ((uint32_t)le_load(&cfg[a->cfg.msix.off + PCI_MSIX_FLAGS], 2) &
				 PCI_MSIX_FLAGS_QSIZE) +
			 1;
		/* The table has as many entries as it says: all of them must be kept from the guest. */
		if (n_msix > irq_msix.count)
			return err_set(e, EPROTO,
				"%s: its MSI-X table has %u entries, VFIO offers %u interrupts",
				a->name, n_msix, irq_msix.count);
	}
	/* Then we would not know which pages of its BARs to keep from the guest. */
	if (irq_msix.count && !n_msix)
		return err_set(e, EPROTO,
			"%s: VFIO offers %u MSI-X interrupts, but its MSI-X capability was not "
			"found",
			a->name, irq_msix.count);
	a->vec.max = n_msi > n_msix ? n_msi : n_msix;
	if (!a->vec.max) {
		if (!a->intx.pin)
			log_warn("%s: it has no kind of interrupt and will not interrupt the guest",
				a->name);
		return 0;
	}
	a->vec.fds = calloc(a->vec.max, sizeof(*a->vec.fds));
	if (!a->vec.fds)
		return err_sys(e, ENOMEM, "%s: %u vectors", a->name, a->vec.max);
	if (n_msix)
		r = msix_build(a, n_msix, e);
	if (r == 0 && n_msi)
		r = pci_func_msi(&a->func, a->host.irq, a->cfg.msi.off, n_msi, &msi_ops, e);
	return r;
}

void vectors_finish(struct assigned *a)
{
	vectors_disarm(a);
	free(a->vec.fds);
	a->vec.fds = NULL;
	pthread_mutex_destroy(&a->vec.lock);
}
