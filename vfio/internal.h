/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files of this module only.
 *
 * struct ioas is what every back end shares (the record of mappings, the windows, the statistics);
 * a back end embeds it and fills struct ioas_ops. A device reaches its back end only through the
 * ops, so vdev.c, region.c and irq.c do not know whether a group or a cdev is underneath.
 */
#ifndef VIADUCT_VFIO_INTERNAL_H
#define VIADUCT_VFIO_INTERNAL_H

#include "vfio/vfio.h"

/* ---- capability chains of the *_INFO ioctls (caps.c) ---- */

/* One capability: @data points at its header, @len bytes are left in the buffer from there. */
struct info_cap {
	uint16_t id, version;
	const uint8_t *data;
	size_t len;
};

struct info_caps {
	const uint8_t *buf;
	size_t len, head;
	uint32_t next;
	size_t budget; /* headers that fit into the buffer: a longer chain is a loop */
};

/* Walk the chain in @buf, whose fixed part is @head bytes and whose first offset is @first. */
void info_caps_init(struct info_caps *c, const void *buf, size_t len, size_t head, uint32_t first);
/* 1 and *ret, 0 at the end, -EPROTO when an offset leaves the buffer or the chain loops. */
int info_caps_next(struct info_caps *c, struct info_cap *ret);

/*
 * Issue @req with a copy of the @head_size bytes at @head (which start with argsz), with as much
 * room as the kernel asks for. Caller frees *ret. -EPROTO: it asks for an absurd size.
 */
int info_query(const struct vfio_sys *sys, int fd, unsigned long req, const void *head,
	size_t head_size, void **ret, size_t *ret_len);

/* ---- address spaces ---- */

/* A window of a group's reserved_regions, kept to say its name in an error. */
struct ioas_resv {
	struct range r;
	char type[20];
};

#define IOAS_MAX_RESV 64

struct ioas_mapping {
	struct range iova;
	void *hva;
	enum ioas_prot prot;
};

struct ioas_info {
	struct range_list windows;
	bool windows_known; /* false: the kernel is too old to say */
	uint64_t page_sizes;
	bool avail_known;
	uint32_t avail; /* further mappings the kernel would take */
};

struct ioas_group;

/* What a back end hands out for one device. */
struct attachment {
	int fd; /* the device's; -1 = not attached */
	struct ioas_group *group;
};

struct attach_req {
	const struct sysfs *sysfs;
	struct bdf bdf;
	char name[BDF_STRLEN]; /* of @bdf */
	unsigned int group;    /* its IOMMU group */
	const struct vdev_opts *opts;
};

struct ioas_ops {
	const char *name;
	/* Join the address space and take the device fd; calls ioas_joined() in between. */
	int (*attach)(struct ioas *io, const struct attach_req *req, struct err *e,
		struct attachment *ret);
	/* The inverse; closes the fd. */
	void (*detach)(struct ioas *io, struct attachment *a);
	/*
	 * VFIO_DEVICE_PCI_HOT_RESET of the device's slot or bus, on which are functions of the @n IOMMU
	 * groups @groups; @wait: out the lock of another reset, for about a second. -EPERM: one of the
	 * groups is not ours; or the kernel's errno.
	 */
	int (*hot_reset)(struct ioas *io, const struct attachment *a, const unsigned int *groups,
		unsigned int n, bool wait);
	/* *ret is zeroed by the caller, who finishes its list whatever comes back. */
	int (*info)(struct ioas *io, struct err *e, struct ioas_info *ret);
	int (*map)(struct ioas *io, const struct ioas_mapping *m);
	/* *ret is the number of bytes the kernel says it unmapped. */
	int (*unmap)(struct ioas *io, struct range iova, uint64_t *ret);
	void (*destroy)(struct ioas *io);
};

struct ioas {
	const struct ioas_ops *ops;
	const struct vfio_sys *sys;
	bool live;         /* at least one device joined: the kernel has our mappings */
	bool known;        /* windows and page sizes were read once */
	struct vdev *open; /* a list */
	struct range_list windows;
	uint64_t page_sizes;
	struct ioas_resv resv[IOAS_MAX_RESV];
	size_t n_resv;
	struct ioas_mapping *maps; /* sorted by iova */
	size_t n_maps, cap_maps;
	struct ioas_stats stats;
};

void ioas_init(struct ioas *io, const struct ioas_ops *ops, const struct vfio_sys *sys);
void ioas_finish(struct ioas *io);
/* A device joined: read windows and page sizes; the first one gets every recorded mapping. */
int ioas_joined(struct ioas *io, const struct attach_req *req, struct err *e);
/* The last device left: the kernel forgot the mappings, we remember them for the next one. */
void ioas_left(struct ioas *io);

/* As ioas_memlock_check(), from given texts: /proc/self/status, /proc/self/uid_map, the limit. */
int memlock_check(
	const char *status, const char *uid_map, uint64_t limit, uint64_t size, struct err *e);

/* ---- what sysfs says about a function and its group (group.c) ---- */

/* Is @b a function that can be opened? As vdev_open(); *ret is its IOMMU group. */
int function_check(const struct sysfs *s, struct bdf b, struct err *e, unsigned int *ret);
/*
 * Why group @group may not be used: names the members whose driver is in the way.
 * -EXDEV with the text in @e, or 0 when nothing is seen in the way.
 */
int group_blockers(const struct sysfs *s, unsigned int group, const char *name, struct err *e);
/* Read reserved_regions into @v; returns how many (0 when it cannot be read). */
size_t group_resv(const struct sysfs *s, unsigned int group, struct ioas_resv *v, size_t max);

/* ---- devices ---- */

struct vdev_mapping {
	void *hva;
	uint64_t size; /* rounded up to pages */
	struct vdev_mapping *next;
};

/* PCI 3.0 §6.8.2.3: the MSI-X table size field has 11 bits. */
#define VDEV_MAX_VECTORS 2048

struct vdev {
	struct ioas *io;
	const struct vfio_sys *sys;
	struct bdf bdf;
	char name[BDF_STRLEN];
	struct attachment at;
	/* What VFIO_DEVICE_RESET is: weak means the way through D3hot (reset.c). */
	enum { VDEV_RESET_NONE, VDEV_RESET_WEAK, VDEV_RESET_GOOD } own_reset;
	unsigned int n_regions, n_irqs;
	struct vdev_region regions[VFIO_PCI_NUM_REGIONS];
	struct vdev_irq irqs[VFIO_PCI_NUM_IRQS];
	bool armed[VFIO_PCI_NUM_IRQS];
	struct vdev_mapping *maps;
	struct vdev *next; /* of ioas.open */
};

int vdev_regions_read(struct vdev *d, struct err *e);
int vdev_irqs_read(struct vdev *d, struct err *e);
void vdev_regions_unmap(struct vdev *d);
/* The device was just opened, and so reset by the kernel: once more, and better, where needed. */
int vdev_reset_open(struct vdev *d, const struct sysfs *sysfs, struct err *e);
/* vdev_reset() without its words; @wait: out the lock of another one, for about a second. */
int vdev_reset_try(struct vdev *d, bool all, bool wait);

/*
 * The region that @len bytes of struct vfio_region_info and its capabilities describe. -EPROTO when
 * they contradict themselves. Hostile input: this is a fuzz target.
 */
int region_info_parse(const void *buf, size_t len, uint64_t page, struct vdev_region *ret);

/* The type1 counterpart: windows, page sizes and free mappings. */
int type1_info_parse(const void *buf, size_t len, struct ioas_info *ret);

/* Repeat @req while it says -EAGAIN (another reset holds the device), for about a second. */
int ioctl_retry(const struct vfio_sys *sys, int fd, unsigned long req, void *arg);
/* The same if @wait, else @req once. */
int ioctl_reset(const struct vfio_sys *sys, int fd, unsigned long req, void *arg, bool wait);

#endif
