/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's side of struct vfio_sys: a container, groups and devices that keep the rules which
 * drivers/vfio keeps (order of joining, one opener per group, no overlap, mappings forgotten with
 * the last group), count what is open and fail where told to.
 */
#ifndef VIADUCT_FAKES_VFIO_KERNEL_H
#define VIADUCT_FAKES_VFIO_KERNEL_H

#include "common/range.h"
#include "vfio/vfio.h"

#define FK_GROUPS  8
#define FK_DEVICES 8
#define FK_FDS     64

/* What an *_INFO ioctl answers: @len bytes, after which argsz says @argsz (0 = @len). */
struct fk_info {
	uint8_t bytes[512];
	size_t len;
	uint32_t argsz;
};

struct fk_group {
	unsigned int id;
	bool present, viable, open, joined;
};

struct fk_device {
	const char *bdf;
	const char *token; /* demanded VF token, or NULL */
	unsigned int group;
	unsigned int open; /* fds */
	uint32_t flags, num_regions, num_irqs;
	struct fk_info regions[VFIO_PCI_NUM_REGIONS];
	struct vfio_irq_info irqs[VFIO_PCI_NUM_IRQS];
	unsigned int host_vectors; /* what the host would give, MSI and MSI-X */
	unsigned int armed[VFIO_PCI_NUM_IRQS];
	int32_t fds[VFIO_PCI_NUM_IRQS][16];
	unsigned int fired[VFIO_PCI_NUM_IRQS];
	bool masked;
	unsigned int resets;
	unsigned int hot_resets;
	/* Functions on its bus besides those of this host, bound to other drivers. */
	unsigned int neighbours;
	bool root_bus; /* no bus reset at all */
	/* Or lie of whom it would meet. */
	enum { FK_HONEST, FK_NOBODY, FK_FLAGS, FK_ENDLESS, FK_NOT_ITSELF } met;
	uint8_t config[4096];
};

struct vfio_kernel {
	struct vfio_sys sys; /* give &k->sys to the code under test */
	int api;
	bool type1v2, iommu_set;
	struct fk_info iommu_info;
	uint32_t dma_limit; /* mappings allowed */
	uint64_t unmap_lie; /* added to the size an unmap reports */
	struct fk_group groups[FK_GROUPS];
	struct fk_device devices[FK_DEVICES];
	struct {
		enum { FK_FREE, FK_CONTAINER, FK_GROUP, FK_DEVICE } kind;
		int index;
	} fds[FK_FDS];
	struct range_list dma;    /* iova, as the IOMMU has it */
	struct range_list mapped; /* hva of mmap() */
	size_t n_dma;
	unsigned int pauses;

	/* Fail system call number @fail_call (1 = the first; 0 = none) with @fail_errno. */
	unsigned int calls, fail_call;
	int fail_errno;
	/* Or fail the next @fail_times calls named @fail_name ("open /dev/vfio/7", "SET_IOMMU"). */
	const char *fail_name;
	unsigned int fail_times;

	char log[4096]; /* names of the calls that succeeded, ";" after each */
};

void vfio_kernel_init(struct vfio_kernel *k);
void vfio_kernel_finish(struct vfio_kernel *k);
/* A group, and a device with a 16 KiB BAR0, a BAR3 with 3 MSI-X vectors, config, error, request. */
struct fk_group *vfio_kernel_group(struct vfio_kernel *k, unsigned int id);
struct fk_device *vfio_kernel_device(struct vfio_kernel *k, const char *bdf, unsigned int group);
/* Is anything still open, mapped or armed? Says what on stderr. */
bool vfio_kernel_leaks(const struct vfio_kernel *k);

/* ---- info structures ---- */
void fk_region(struct fk_info *i, uint32_t index, uint32_t flags, uint64_t size);
/* Append a capability: header plus @len bytes at @body; returns its offset. Links from the last. */
uint32_t fk_cap(struct fk_info *i, uint32_t *first, uint16_t id, const void *body, size_t len);
uint32_t *fk_region_first(struct fk_info *i);
uint32_t *fk_iommu_first(struct fk_info *i);
void fk_sparse(struct fk_info *i, uint32_t n, const struct vfio_region_sparse_mmap_area *areas);
/* @last is inclusive, as the kernel says it. */
void fk_windows(struct vfio_kernel *k, uint32_t n, const struct vfio_iova_range *v);

#endif
