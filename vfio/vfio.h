/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VFIO devices and the I/O address spaces they translate through.
 *
 * Two nouns:
 *   struct ioas  an I/O address space: the iova -> host memory mappings that every device attached
 *                to it sees. Behind one ops table; the type1v2 container is its first back end,
 *                iommufd will be the second.
 *   struct vdev  an open device: its regions (BARs, config space), its interrupts, its reset.
 *
 * This module issues every /dev/vfio ioctl of the project and knows neither KVM nor PCI emulation.
 * All calls are made by the control thread unless a call says otherwise. Units are bytes.
 * Reference: Linux include/uapi/linux/vfio.h, Documentation/driver-api/vfio.rst.
 */
#ifndef VIADUCT_VFIO_H
#define VIADUCT_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <linux/vfio.h>

#include "common/bdf.h"
#include "common/err.h"
#include "common/range.h"
#include "common/sysfs.h"

/*
 * The system calls this module makes, so that tests put a fake kernel underneath. Each returns what
 * the system call returns, but a negative errno in place of -1/errno.
 */
struct vfio_sys {
	int (*open)(void *ctx, const char *path, int flags);
	int (*close)(void *ctx, int fd);
	int (*ioctl)(void *ctx, int fd, unsigned long req, void *arg);
	ssize_t (*pread)(void *ctx, int fd, void *buf, size_t len, uint64_t off);
	ssize_t (*pwrite)(void *ctx, int fd, const void *buf, size_t len, uint64_t off);
	/* @addr is a hint (NULL = anywhere); *ret is written on success only. */
	int (*mmap)(void *ctx, void *addr, size_t len, int prot, int flags, int fd, uint64_t off,
		void **ret);
	int (*munmap)(void *ctx, void *addr, size_t len);
	/* Wait @msec before asking again a device that is being reset by someone else. */
	void (*pause)(void *ctx, unsigned int msec);
	void *ctx;
};

/* The real kernel. */
extern const struct vfio_sys vfio_sys_linux;

struct ioas;
struct vdev;

enum ioas_prot {
	IOAS_READ = 1 << 0,  /* the device may read */
	IOAS_WRITE = 1 << 1, /* the device may write */
};

/* Counted since ioas_create_*(); for --stats and benchmarks. */
struct ioas_stats {
	uint64_t map_calls, map_bytes;
	uint64_t unmap_calls, unmap_bytes;
};

/*
 * Open /dev/vfio/vfio and check its API version and the type1v2 extension. @sys must outlive the
 * ioas. -ENOENT/-EACCES: the node is missing (vfio module) or may not be opened; -EPROTO: another
 * API version; -EOPNOTSUPP: no type1v2 (module vfio_iommu_type1).
 */
int ioas_create_type1(const struct vfio_sys *sys, struct err *e, struct ioas **ret);
/*
 * Every vdev must be closed before; remaining mappings go with it. NULL is allowed.
 *
 * When the last vdev closes, the kernel forgets all mappings; the ioas remembers them and puts them
 * back when the next vdev opens. In between ioas_unmap() works and ioas_map() says -ENODEV.
 */
void ioas_destroy(struct ioas *io);

/*
 * The iova intervals a mapping may use: the IOMMU's width minus reserved windows such as the MSI
 * doorbell. Known once the first device is open (-ENODEV before). Caller finishes the list.
 */
int ioas_windows(const struct ioas *io, struct range_list *ret);
/* Bitmap of page sizes; the smallest is the granule of every mapping. 0 before the first device. */
uint64_t ioas_page_sizes(const struct ioas *io);

/*
 * Map [iova, iova+size) to @hva. The memory must stay mapped until ioas_unmap().
 * -EINVAL: not aligned to the granule, or size 0; -ERANGE: wraps, or touches a reserved window
 * (the text names it); -EEXIST: overlaps a mapping (the text names it); -ENODEV: no device yet;
 * -ENOMEM: RLIMIT_MEMLOCK or dma_entry_limit reached (the text says the figure needed);
 * -EFAULT and others as the kernel gives them.
 */
int ioas_map(struct ioas *io, uint64_t iova, uint64_t size, void *hva, enum ioas_prot prot,
	struct err *e);
/*
 * Unmap exactly one earlier mapping. -ENOENT: none starts there with that size; -EIO: the kernel
 * unmapped another number of bytes than asked.
 */
int ioas_unmap(struct ioas *io, uint64_t iova, uint64_t size, struct err *e);

void ioas_stats(const struct ioas *io, struct ioas_stats *ret);

/*
 * Is RLIMIT_MEMLOCK enough to pin @size bytes, given what the process has locked? Root with
 * CAP_IPC_LOCK always may. -ENOMEM with a text that says the limit, the figure needed and how to
 * raise it.
 */
int ioas_memlock_check(uint64_t size, struct err *e);

/* ---- devices ---- */

struct vdev_opts {
	/*
	 * Called with each group fd (legacy) after it joined the container and before the device
	 * fd is taken, for KVM_DEV_VFIO_GROUP_ADD. May be NULL. A negative return fails the open.
	 */
	int (*group_added)(void *ctx, int group_fd);
	/* Called before that group leaves the container. May be NULL. */
	void (*group_removed)(void *ctx, int group_fd);
	void *ctx; /* of the first device opened in a group; both run once per group */
	/*
	 * The UUID that a PF bound to vfio-pci demands of whoever opens its VFs, or NULL. Read
	 * during the call.
	 */
	const char *vf_token;
};

/*
 * Open the function @b, bound to vfio-pci (or a variant driver), and attach its group to @io.
 * The device is reset when it can be, see vdev_can_reset(). Errors, each with a text that names the
 * BDF and the remedy:
 * -ENODEV: no such PCI function; -ENXIO: not bound to a VFIO driver (the text names the driver it
 * is bound to) or a bridge; -EXDEV: its group is not viable (the text names the sibling and its
 * driver); -EBUSY: open elsewhere (the text names the process); -EPERM: no interrupt remapping, or
 * an RMRR; -EACCES: no permission on the group node, or a VF token is demanded; -ENOSYS: no IOMMU
 * group; -EAGAIN: someone else keeps resetting it; -EPROTO: the kernel's answers contradict
 * themselves. Others as the kernel gives them.
 */
int vdev_open(struct ioas *io, const struct sysfs *sysfs, struct bdf b,
	const struct vdev_opts *opts, struct err *e, struct vdev **ret);
/* Disables interrupts, resets, unmaps regions, closes. NULL is allowed. */
void vdev_close(struct vdev *d);
/*
 * The same for a device that the host waits for: who takes it away holds its lock, so a reset is tried
 * once and not for a second. It may be left unreset then; the next who opens it resets it.
 */
void vdev_close_wanted(struct vdev *d);

struct bdf vdev_bdf(const struct vdev *d);
/* The device fd, borrowed. */
int vdev_fd(const struct vdev *d);
/*
 * Is there a way to reset it? Then vdev_open() did it and vdev_close() will, though those that can
 * only be reset together are by the first opened and the last closed.
 */
bool vdev_can_reset(const struct vdev *d);

/* One part of a region that may be mmapped. */
struct vdev_area {
	uint64_t offset, size; /* within the region */
};

#define VDEV_MAX_AREAS 16

struct vdev_region {
	uint64_t size;   /* 0 = not there */
	uint64_t offset; /* of its first byte in the device fd */
	bool readable, writable, mappable;
	/* mappable, but the MSI-X table inside may be mapped too (VFIO_REGION_INFO_CAP_MSIX_MAPPABLE) */
	bool msix_mappable;
	/* What may be mapped: the sparse areas the kernel names, else one area for the whole. */
	unsigned int n_areas;
	struct vdev_area areas[VDEV_MAX_AREAS];
};

/* @index: VFIO_PCI_BAR0_REGION_INDEX and so on. -EINVAL: no such index. */
int vdev_region(const struct vdev *d, unsigned int index, struct vdev_region *ret);
/*
 * Read or write @len bytes at @off of a region. Thread-safe. -EINVAL: outside the region;
 * -EIO: short transfer; other errnos from the kernel. On a failed read @buf is filled with ones,
 * which is what a bus answers.
 */
int vdev_read(const struct vdev *d, unsigned int index, uint64_t off, void *buf, size_t len);
int vdev_write(const struct vdev *d, unsigned int index, uint64_t off, const void *buf, size_t len);
/*
 * mmap [off, off+size) of a region, which must lie inside one of its areas; @off is a multiple of
 * the page size, @size is rounded up to it (a BAR smaller than a page gets the whole page). The
 * address is congruent to @off modulo the power of two at or above @size, up to 1 GiB, so that the
 * kernel can use huge pages. Never touch the memory from the VMM: the kernel takes it away while
 * memory decode is off. Undo with vdev_region_munmap() and the same size, or leave it to
 * vdev_close(). -EINVAL: no such area; others from mmap(2).
 */
int vdev_region_mmap(
	struct vdev *d, unsigned int index, uint64_t off, uint64_t size, struct err *e, void **ret);
void vdev_region_munmap(struct vdev *d, void *hva, uint64_t size);

struct vdev_irq {
	unsigned int count;
	bool eventfd, maskable, automasked;
	/* Armed vectors beyond those of the first vdev_irq_arm() need a vdev_irq_disarm() first. */
	bool noresize;
};

/*
 * The calls below for one device are serialised by the caller (its device lock); they may come from
 * any thread. INTx, MSI and MSI-X exclude each other: disarm one before arming the next.
 */
/* @index: VFIO_PCI_INTX_IRQ_INDEX, _MSI_, _MSIX_, _ERR_, _REQ_. -EINVAL: no such index. */
int vdev_irq(const struct vdev *d, unsigned int index, struct vdev_irq *ret);
/*
 * Arm vectors [start, start+count) with @fds (-1 = armed with none, i.e. allocated but silent).
 * The fds stay the caller's. -EINVAL: outside the count; -ENOSPC: the host has too few vectors
 * (text says how many it would give); other errnos from the kernel.
 */
int vdev_irq_arm(struct vdev *d, unsigned int index, unsigned int start, unsigned int count,
	const int *fds, struct err *e);
/* As above; with -ENOSPC, @ret_offer is the number of vectors the kernel would give, 0: it says none. */
int vdev_irq_arm_offer(struct vdev *d, unsigned int index, unsigned int start, unsigned int count,
	const int *fds, struct err *e, unsigned int *ret_offer);
/* Disarm all vectors of @index. Disarming what is not armed is no error. */
int vdev_irq_disarm(struct vdev *d, unsigned int index, struct err *e);
/* Kernel-side loopback: fire the eventfds of [start, start+count) as the device would. */
int vdev_irq_fire(
	struct vdev *d, unsigned int index, unsigned int start, unsigned int count, struct err *e);
/*
 * The kernel masks INTx when it fires; from now on it unmasks it, and fires again if the device
 * still asserts, when @fd is signalled (-1: nobody). INTx must be armed; a disarm forgets it. The fd
 * stays the caller's. Errnos of the kernel.
 */
int vdev_irq_unmask_fd(struct vdev *d, int fd, struct err *e);
/* Mask or unmask INTx. */
int vdev_irq_mask(struct vdev *d, unsigned int index, bool mask, struct err *e);

/*
 * Reset @d: by what the kernel has first for it (FLR and so on), or by its bus where it has nothing,
 * or only the way through D3hot, which not every device obeys. The bus may have more functions that
 * are open in the same address space: they are met only when @all says that they are being reset as
 * well; elsewhere open ones never are. The caller disarms interrupts before. With the lock under
 * which devices of this address space are opened and closed. -EOPNOTSUPP: there is no way; -EAGAIN:
 * someone else kept resetting it for a second; others as the kernel gives them.
 */
int vdev_reset(struct vdev *d, bool all, struct err *e);

#endif
