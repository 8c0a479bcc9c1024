// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An assigned device: opened, read and put together here; what the guest does with it afterwards is
 * in config.c, bars.c and vectors.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <linux/pci_regs.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "passthrough/internal.h"

static struct assigned *of(struct pci_func *f)
{
	return container_of(f, struct assigned, func);
}

static uint32_t op_cfg_read(struct pci_func *f, unsigned int off, unsigned int len)
{
	return config_read(of(f), off, len);
}

static void op_cfg_write(struct pci_func *f, unsigned int off, unsigned int len, uint32_t val)
{
	config_write(of(f), off, len, val);
}

static uint64_t op_bar_read(struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len)
{
	return bars_read(of(f), bar, off, len);
}

static void op_bar_write(
	struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len, uint64_t val)
{
	bars_write(of(f), bar, off, len, val);
}

static void op_bar_map(struct pci_func *f, unsigned int bar, uint64_t addr)
{
	bars_map(of(f), bar, addr);
}

static void op_bar_unmap(struct pci_func *f, unsigned int bar)
{
	bars_unmap(of(f), bar);
}

/*
 * Guest reboot; vmm has unmapped the BARs and turned MSI and MSI-X off. Bus mastering goes off
 * before the reset, for the kernel restores the header it finds.
 */
static void op_reset(struct pci_func *f)
{
	struct assigned *a = of(f);
	struct err e = {0};
	int r;

	if (!a->dev)
		return;
	vectors_disarm(a);
	config_quiesce(a);
	r = vdev_reset(a->dev, true, &e);
	if (r < 0)
		log_warn("%s; the guest starts with the device as it was left", e.text);
	errors_reset(a, r);
	if (a->state != ASSIGNED_PRESENT)
		return;
	config_quiesce(a);
	/* The kernel brings it back to D0 for the reset. */
	bars_suspend(a, false);
	intx_command(a, 0);
	vectors_reset(a);
}

static void assigned_destroy(struct assigned *a)
{
	if (!a)
		return;
	if (a->dev) {
		config_quiesce(a);
		bars_finish(a);
	}
	vectors_disarm(a);
	intx_finish(a);
	vectors_finish(a);
	vdev_close(a->dev);
	errors_finish(a);
	pthread_rwlock_destroy(&a->gate);
	sysfs_close(&a->sysfs);
	free(a);
}

static void op_destroy(struct pci_func *f)
{
	assigned_destroy(of(f));
}

static void op_dma_allow(struct pci_func *f, bool allowed)
{
	struct assigned *a = of(f);
	struct err e = {0};

	if (!a->dma)
		return;
	a->dma_blocked = !allowed;
	if (dma_map_block(a->dma, !allowed, &e) == 0)
		return;
	log_warn("%s: %s by the guest's remapping unit: %s", a->name,
		allowed ? "its DMA stays blocked though allowed" : "its DMA is not wholly blocked",
		e.text);
}

static const struct pci_func_ops assigned_ops = {
	.cfg_read = op_cfg_read,
	.cfg_write = op_cfg_write,
	.bar_read = op_bar_read,
	.bar_write = op_bar_write,
	.bar_map = op_bar_map,
	.bar_unmap = op_bar_unmap,
	.dma_allow = op_dma_allow,
	.reset = op_reset,
	.destroy = op_destroy,
};

/* Everything up to the point where the PCI root takes it over. */
static int assigned_build(struct assigned *a, struct ioas *io, const struct sysfs *sysfs,
	struct bdf b, uint8_t devfn, struct err *e)
{
	const struct pci_ids none = {0};
	int r;

	pci_func_init(&a->func, &assigned_ops, a->name, &none);
	a->func.devfn = devfn;
	a->sysfs.root_fd = fcntl(sysfs->root_fd, F_DUPFD_CLOEXEC, 0);
	if (a->sysfs.root_fd < 0)
		return err_sys(e, errno, "%s: keep the file system root", a->name);
	r = vdev_open(io, sysfs, b, &a->host.group, e, &a->dev);
	if (r < 0)
		return r;
	r = errors_init(a, e);
	if (r < 0)
		return r;
	r = config_init(a, e);
	if (r < 0)
		return r;
	r = bars_init(a, e);
	if (r < 0)
		return r;
	r = intx_init(a, e);
	if (r < 0)
		return r;
	r = vectors_init(a, e);
	if (r < 0)
		return r;
	bars_mmap(a);
	vectors_reset(a);
	return 0;
}

int assigned_create(const struct assigned_host *host, struct ioas *io, const struct sysfs *sysfs,
	struct bdf b, int devfn, struct err *e, struct assigned **ret)
{
	struct assigned *a;
	char name[BDF_STRLEN];
	uint8_t slot;
	int r;

	bdf_format(b, name);
	if (devfn > 0xff)
		return err_set(e, EINVAL, "assign %s: guest slot %#x does not exist", name, devfn);
	slot = (uint8_t)devfn;
	if (devfn < 0 && pci_root_slot(host->pci, &slot) < 0)
		return err_set(e, ENOSPC,
			"assign %s: no slot is free on the guest's PCI bus; assign fewer devices",
			name);
	a = calloc(1, sizeof(*a));
	if (!a)
		return err_sys(e, ENOMEM, "assign %s", name);
	memcpy(a->name, name, sizeof(name));
	a->bdf = b;
	a->host = *host;
	a->sysfs.root_fd = -1;
	a->vec.index = -1;
	a->intx.fd = a->intx.unmask_fd = a->intx.stop_fd = -1;
	for (unsigned int i = 0; i < ASSIGNED_SIGNALS; i++)
		a->signal[i].fd = -1;
	a->kind_msi = (struct vectors_kind){a, VFIO_PCI_MSI_IRQ_INDEX};
	a->kind_msix = (struct vectors_kind){a, VFIO_PCI_MSIX_IRQ_INDEX};
	pthread_mutex_init(&a->vec.lock, NULL);
	pthread_rwlock_init(&a->gate, NULL);
	r = assigned_build(a, io, sysfs, b, slot, e);
	if (r < 0) {
		msix_destroy(a->func.msix);
		msi_destroy(a->func.msi);
		assigned_destroy(a);
		return err_wrap(e, r, "assign %s", name);
	}
	/* From here it is the root's, also when this fails. */
	r = pci_root_add(host->pci, &a->func, e);
	if (r < 0)
		return err_wrap(e, r, "assign %s", name);
	*ret = a;
	return 0;
}

static int group_added(void *ctx, int group_fd)
{
	struct err e = {0};
	int r = vm_vfio_group(ctx, group_fd, true, &e);

	if (r < 0)
		log_warn("tell KVM of the VFIO group: %s", e.text);
	return r;
}

static void group_removed(void *ctx, int group_fd)
{
	struct err e = {0};

	if (vm_vfio_group(ctx, group_fd, false, &e) < 0)
		log_debug("%s", e.text);
}

int assigned_add(struct vm *vm, struct ioas *io, const struct sysfs *sysfs, struct bdf b, int devfn,
	struct err *e, struct assigned **ret)
{
	const struct assigned_host host = {
		.pci = vm->pci,
		.slots = vm->slots,
		.irq = vm->irq,
		.lines = vm->lines,
		.group = {.group_added = group_added, .group_removed = group_removed, .ctx = vm},
	};

	return assigned_create(&host, io, sysfs, b, devfn, e, ret);
}

void assigned_set_dma(struct assigned *a, struct dma_map *m)
{
	a->dma = m;
}

bool assigned_dma_fault(struct assigned *a, uint64_t iova, bool write)
{
	return !pci_func_dma(&a->func, iova, write);
}

struct bdf assigned_bdf(const struct assigned *a)
{
	return a->bdf;
}

uint8_t assigned_devfn(const struct assigned *a)
{
	return a->func.devfn;
}

void assigned_stats(struct assigned *a, struct assigned_stats *ret)
{
	*ret = (struct assigned_stats){
		.cfg_accesses = atomic_load_explicit(&a->cfg_accesses, memory_order_relaxed),
		.bar_accesses = atomic_load_explicit(&a->bar_accesses, memory_order_relaxed),
		.state = assigned_state(a),
		.user_irqs = atomic_load_explicit(&a->intx.raised, memory_order_relaxed),
	};
	for (unsigned int i = 0; i < ASSIGNED_SIGNALS; i++)
		ret->signals[i] = atomic_load_explicit(&a->signal[i].count, memory_order_relaxed);
	vectors_stats(a, ret);
}
