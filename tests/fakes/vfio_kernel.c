// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/fakes/vfio_kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/cleanup.h"

#define FIRST_FD 1000

static int fk_fail(struct vfio_kernel *k, const char *name)
{
	k->calls++;
	if (k->calls == k->fail_call)
		return -k->fail_errno;
	if (k->fail_name && k->fail_times && !strcmp(k->fail_name, name)) {
		k->fail_times--;
		return -k->fail_errno;
	}
	return 0;
}

static void fk_log(struct vfio_kernel *k, const char *name)
{
	size_t n = strlen(k->log);

	snprintf(k->log + n, sizeof(k->log) - n, "%s;", name);
}

static int fd_new(struct vfio_kernel *k, int kind, int index)
{
	for (int i = 0; i < FK_FDS; i++) {
		if (k->fds[i].kind == FK_FREE) {
			k->fds[i].kind = kind;
			k->fds[i].index = index;
			return FIRST_FD + i;
		}
	}
	return -EMFILE;
}

static int fk_open(void *ctx, const char *path, int flags)
{
	struct vfio_kernel *k = ctx;
	char name[64];
	unsigned int id;
	int r;

	snprintf(name, sizeof(name), "open %s", path);
	r = fk_fail(k, name);
	if (r < 0)
		return r;
	fk_log(k, name);
	if (!strcmp(path, "/dev/vfio/vfio"))
		return fd_new(k, FK_CONTAINER, 0);
	if (sscanf(path, "/dev/vfio/%u", &id) != 1)
		return -ENOENT;
	for (int i = 0; i < FK_GROUPS; i++) {
		struct fk_group *g = &k->groups[i];

		if (!g->present || g->id != id)
			continue;
		if (g->open)
			return -EBUSY;
		g->open = true;
		return fd_new(k, FK_GROUP, i);
	}
	return -ENOENT;
}

static void group_leave(struct vfio_kernel *k, struct fk_group *g)
{
	g->joined = false;
	for (int i = 0; i < FK_GROUPS; i++) {
		if (k->groups[i].joined)
			return;
	}
	k->iommu_set = false;
	k->n_dma = 0;
	range_list_finish(&k->dma);
	k->dma = (struct range_list){0};
}

static int fk_close(void *ctx, int fd)
{
	struct vfio_kernel *k = ctx;
	int i = fd - FIRST_FD;

	if (i < 0 || i >= FK_FDS || k->fds[i].kind == FK_FREE) {
		fprintf(stderr, "fake kernel: close of fd %d, which is not open\n", fd);
		abort();
	}
	fk_log(k, "close");
	if (k->fds[i].kind == FK_GROUP) {
		group_leave(k, &k->groups[k->fds[i].index]);
		k->groups[k->fds[i].index].open = false;
	}
	if (k->fds[i].kind == FK_DEVICE) {
		struct fk_device *d = &k->devices[k->fds[i].index];

		/* As vfio_pci_core_disable() does with the last fd. */
		if (--d->open == 0) {
			memset(d->armed, 0, sizeof(d->armed));
			d->resets += (d->flags & VFIO_DEVICE_FLAGS_RESET) != 0;
		}
	}
	k->fds[i].kind = FK_FREE;
	return 0;
}

static int info_reply(const struct fk_info *i, void *arg)
{
	uint32_t room, say = i->argsz ? i->argsz : (uint32_t)i->len;

	memcpy(&room, arg, sizeof(room));
	memcpy(arg, i->bytes, room < i->len ? room : i->len);
	memcpy(arg, &say, sizeof(say));
	return 0;
}

static int container_ioctl(struct vfio_kernel *k, unsigned long req, void *arg)
{
	struct vfio_iommu_type1_dma_unmap *u = arg;
	struct vfio_iommu_type1_dma_map *m = arg;
	struct range r;

	switch (req) {
	case VFIO_GET_API_VERSION: return k->api;
	case VFIO_CHECK_EXTENSION: return (uintptr_t)arg == VFIO_TYPE1v2_IOMMU && k->type1v2;
	case VFIO_SET_IOMMU:
		for (int i = 0; i < FK_GROUPS; i++) {
			if (k->groups[i].joined && !k->iommu_set) {
				k->iommu_set = true;
				return 0;
			}
		}
		return -EINVAL;
	}
	if (!k->iommu_set)
		return -EINVAL;
	switch (req) {
	case VFIO_IOMMU_GET_INFO: return info_reply(&k->iommu_info, arg);
	case VFIO_IOMMU_MAP_DMA:
		r = (struct range){m->iova, m->iova + m->size};
		if (m->argsz != sizeof(*m) || !m->size || !(m->flags & 3) || (m->vaddr & 0xfff))
			return -EINVAL;
		if (range_list_find(&k->dma, r))
			return -EEXIST;
		if (k->n_dma == k->dma_limit)
			return -ENOSPC;
		k->n_dma++;
		return range_list_add(&k->dma, r);
	case VFIO_IOMMU_UNMAP_DMA:
		r = (struct range){u->iova, u->iova + u->size};
		if (u->argsz != sizeof(*u) || u->flags)
			return -EINVAL;
		u->size += k->unmap_lie;
		k->n_dma--;
		return range_list_sub(&k->dma, r);
	}
	return -ENOTTY;
}

static int device_get(struct vfio_kernel *k, const struct fk_group *g, const char *arg)
{
	if (!g->joined || !k->iommu_set)
		return -EINVAL;
	for (int i = 0; i < FK_DEVICES; i++) {
		struct fk_device *d = &k->devices[i];
		char with[128];
		int fd;

		if (!d->bdf || d->group != g->id || strncmp(d->bdf, arg, strlen(d->bdf)))
			continue;
		snprintf(with, sizeof(with), "%s vf_token=%s", d->bdf, d->token ? d->token : "");
		if (d->token && strcmp(arg, with))
			return -EACCES;
		if (!d->token && strcmp(arg, d->bdf))
			return -EINVAL;
		fd = fd_new(k, FK_DEVICE, i);
		/* As vfio_pci_core_enable(): the first to open it finds it reset. */
		if (fd >= 0 && !d->open++ && (d->flags & VFIO_DEVICE_FLAGS_RESET))
			d->resets++;
		return fd;
	}
	return -ENODEV;
}

static int group_ioctl(struct vfio_kernel *k, struct fk_group *g, unsigned long req, void *arg)
{
	struct vfio_group_status *st = arg;
	int fd;

	switch (req) {
	case VFIO_GROUP_GET_STATUS: st->flags = g->viable ? VFIO_GROUP_FLAGS_VIABLE : 0; return 0;
	case VFIO_GROUP_SET_CONTAINER:
		fd = *(int *)arg - FIRST_FD;
		if (g->joined || fd < 0 || fd >= FK_FDS || k->fds[fd].kind != FK_CONTAINER)
			return -EINVAL;
		g->joined = true;
		return 0;
	case VFIO_GROUP_UNSET_CONTAINER:
		if (!g->joined)
			return -EINVAL;
		for (int i = 0; i < FK_DEVICES; i++) {
			if (k->devices[i].open && k->devices[i].group == g->id)
				return -EBUSY;
		}
		group_leave(k, g);
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD: return device_get(k, g, arg);
	}
	return -ENOTTY;
}

static int irqs_set(struct fk_device *d, const struct vfio_irq_set *s)
{
	uint32_t action = s->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	uint32_t data = s->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	struct vfio_irq_info *q = &d->irqs[s->index];

	if (s->index >= d->num_irqs || (s->count && s->start + s->count > q->count))
		return -EINVAL;
	if (action != VFIO_IRQ_SET_ACTION_TRIGGER) {
		d->masked = action == VFIO_IRQ_SET_ACTION_MASK;
		return s->index == VFIO_PCI_INTX_IRQ_INDEX ? 0 : -ENOTTY;
	}
	if (data == VFIO_IRQ_SET_DATA_EVENTFD) {
		if (s->argsz != sizeof(*s) + s->count * 4)
			return -EINVAL;
		if (s->index < VFIO_PCI_ERR_IRQ_INDEX && s->start + s->count > d->host_vectors)
			return (int)d->host_vectors;
		memcpy(d->fds[s->index] + s->start, s->data, s->count * 4);
		d->armed[s->index] = s->start + s->count;
		return 0;
	}
	if (!d->armed[s->index])
		return -EINVAL;
	if (s->count)
		d->fired[s->index] += s->count;
	else
		d->armed[s->index] = 0;
	return 0;
}

static bool same_bus(const struct fk_device *a, const struct fk_device *b)
{
	return a->bdf && b->bdf && !strncmp(a->bdf, b->bdf, strlen("0000:00:"));
}

/* As vfio_pci_ioctl_get_pci_hot_reset_info(), whose list has every function of the bus. */
static int hot_reset_info(
	const struct vfio_kernel *k, const struct fk_device *d, struct vfio_pci_hot_reset_info *i)
{
	struct vfio_pci_dependent_device one;
	unsigned int domain, bus, dev, fn, n = 0;

	if (d->root_bus)
		return -ENODEV;
	i->count = d->neighbours;
	for (int o = 0; o < FK_DEVICES; o++)
		i->count += same_bus(d, &k->devices[o]);
	if (i->argsz < sizeof(*i) + i->count * sizeof(one))
		return -ENOSPC;
	for (int o = 0; o < FK_DEVICES; o++) {
		if (!same_bus(d, &k->devices[o]))
			continue;
		sscanf(k->devices[o].bdf, "%x:%x:%x.%x", &domain, &bus, &dev, &fn);
		one = (struct vfio_pci_dependent_device){k->devices[o].group, (uint16_t)domain,
			(uint8_t)bus, (uint8_t)(dev << 3 | fn)};
		i->devices[n++] = one;
	}
	for (; n < i->count; n++) {
		one.devfn ^= 1;
		i->devices[n] = one;
	}
	switch (d->met) {
	case FK_HONEST: break;
	case FK_NOBODY: i->count = 0; break;
	case FK_FLAGS: i->flags = 1u << 31; break;
	case FK_ENDLESS: i->count = UINT32_MAX; break;
	case FK_NOT_ITSELF: i->devices[0].bus ^= 0xff; break;
	}
	return 0;
}

/* As vfio_pci_ioctl_pci_hot_reset(): who asks shows the groups of all that it meets. */
static int hot_reset(
	struct vfio_kernel *k, const struct fk_device *d, const struct vfio_pci_hot_reset *h)
{
	if (d->root_bus)
		return -ENODEV;
	if (h->argsz < sizeof(*h) + h->count * sizeof(int32_t) || h->flags || !h->count ||
		h->count > FK_DEVICES || d->neighbours)
		return -EINVAL;
	for (int o = 0; o < FK_DEVICES; o++) {
		bool shown = false;

		for (unsigned int i = 0; i < h->count; i++) {
			int fd = h->group_fds[i] - FIRST_FD;

			if (fd < 0 || fd >= FK_FDS || k->fds[fd].kind != FK_GROUP)
				return -EBADF;
			shown |= k->groups[k->fds[fd].index].id == k->devices[o].group;
		}
		if (same_bus(d, &k->devices[o]) && !shown)
			return -EINVAL;
	}
	for (int o = 0; o < FK_DEVICES; o++)
		k->devices[o].hot_resets += same_bus(d, &k->devices[o]);
	return 0;
}

static int device_ioctl(struct vfio_kernel *k, struct fk_device *d, unsigned long req, void *arg)
{
	struct vfio_device_info *di = arg;
	struct vfio_irq_info *qi = arg;
	struct vfio_region_info *ri = arg;
	uint32_t argsz;

	switch (req) {
	case VFIO_DEVICE_GET_INFO:
		di->flags = d->flags;
		di->num_regions = d->num_regions;
		di->num_irqs = d->num_irqs;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		if (ri->index >= VFIO_PCI_NUM_REGIONS || !d->regions[ri->index].len)
			return -EINVAL;
		return info_reply(&d->regions[ri->index], arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		if (qi->index >= VFIO_PCI_NUM_IRQS || !d->irqs[qi->index].argsz)
			return -EINVAL;
		argsz = qi->argsz;
		*qi = d->irqs[qi->index];
		qi->argsz = argsz;
		return 0;
	case VFIO_DEVICE_SET_IRQS: return irqs_set(d, arg);
	case VFIO_DEVICE_RESET: d->resets++; return 0;
	case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: return hot_reset_info(k, d, arg);
	case VFIO_DEVICE_PCI_HOT_RESET: return hot_reset(k, d, arg);
	}
	return -ENOTTY;
}

static const struct {
	unsigned long req;
	const char *name;
} ioctl_names[] = {
	{VFIO_GET_API_VERSION, "GET_API_VERSION"},
	{VFIO_CHECK_EXTENSION, "CHECK_EXTENSION"},
	{VFIO_SET_IOMMU, "SET_IOMMU"},
	{VFIO_GROUP_GET_STATUS, "GROUP_GET_STATUS"},
	{VFIO_GROUP_SET_CONTAINER, "SET_CONTAINER"},
	{VFIO_GROUP_UNSET_CONTAINER, "UNSET_CONTAINER"},
	{VFIO_GROUP_GET_DEVICE_FD, "GET_DEVICE_FD"},
	{VFIO_DEVICE_GET_INFO, "DEVICE_GET_INFO"},
	{VFIO_DEVICE_GET_REGION_INFO, "GET_REGION_INFO"},
	{VFIO_DEVICE_GET_IRQ_INFO, "GET_IRQ_INFO"},
	{VFIO_DEVICE_SET_IRQS, "SET_IRQS"},
	{VFIO_DEVICE_RESET, "RESET"},
	{VFIO_IOMMU_GET_INFO, "IOMMU_GET_INFO"},
	{VFIO_IOMMU_MAP_DMA, "MAP_DMA"},
	{VFIO_IOMMU_UNMAP_DMA, "UNMAP_DMA"},
};

static const char *ioctl_name(unsigned long req, bool device)
{
	/* The numbers of these are those of GET_INFO and MAP_DMA of a container, too. */
	if (device && req == VFIO_DEVICE_GET_PCI_HOT_RESET_INFO)
		return "GET_PCI_HOT_RESET_INFO";
	if (device && req == VFIO_DEVICE_PCI_HOT_RESET)
		return "PCI_HOT_RESET";
	for (size_t i = 0; i < ARRAY_SIZE(ioctl_names); i++) {
		if (ioctl_names[i].req == req)
			return ioctl_names[i].name;
	}
	return "?";
}

static int fk_ioctl(void *ctx, int fd, unsigned long req, void *arg)
{
	struct vfio_kernel *k = ctx;
	int i = fd - FIRST_FD, r;
	const char *name;

	if (i < 0 || i >= FK_FDS)
		return -EBADF;
	name = ioctl_name(req, k->fds[i].kind == FK_DEVICE);
	r = fk_fail(k, name);
	if (r < 0)
		return r;
	switch (k->fds[i].kind) {
	case FK_FREE: r = -EBADF; break;
	case FK_CONTAINER: r = container_ioctl(k, req, arg); break;
	case FK_GROUP: r = group_ioctl(k, &k->groups[k->fds[i].index], req, arg); break;
	case FK_DEVICE: r = device_ioctl(k, &k->devices[k->fds[i].index], req, arg); break;
	}
	if (r >= 0)
		fk_log(k, name);
	return r;
}

/* Config space only: a whole-device offset as vfio-pci has it, index << 40. */
static ssize_t config_access(struct vfio_kernel *k, int fd, uint64_t off, size_t len, uint8_t **ret)
{
	int i = fd - FIRST_FD;
	uint64_t at = off - ((uint64_t)VFIO_PCI_CONFIG_REGION_INDEX << 40);

	if (i < 0 || i >= FK_FDS || k->fds[i].kind != FK_DEVICE)
		return -EBADF;
	if (at >= 4096)
		return -EINVAL;
	*ret = k->devices[k->fds[i].index].config + at;
	return (ssize_t)(len < 4096 - at ? len : 4096 - at);
}

static ssize_t fk_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	struct vfio_kernel *k = ctx;
	uint8_t *p = NULL;
	ssize_t n;
	int r = fk_fail(k, "pread");

	n = r < 0 ? r : config_access(k, fd, off, len, &p);
	if (n > 0)
		memcpy(buf, p, (size_t)n);
	return n;
}

static ssize_t fk_pwrite(void *ctx, int fd, const void *buf, size_t len, uint64_t off)
{
	struct vfio_kernel *k = ctx;
	uint8_t *p = NULL;
	ssize_t n;
	int r = fk_fail(k, "pwrite");

	n = r < 0 ? r : config_access(k, fd, off, len, &p);
	if (n > 0)
		memcpy(p, buf, (size_t)n);
	return n;
}

/* Real address space, anonymous memory: what matters is where it lies and that it goes away. */
static int fk_mmap(
	void *ctx, void *addr, size_t len, int prot, int flags, int fd, uint64_t off, void **ret)
{
	struct vfio_kernel *k = ctx;
	int r = fk_fail(k, fd >= 0 ? "mmap device" : "mmap");
	void *p;

	if (r < 0)
		return r;
	p = mmap(addr, len, prot,
		(flags & ~MAP_SHARED) | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	r = range_list_add(&k->mapped, (struct range){(uintptr_t)p, (uintptr_t)p + len});
	if (r < 0)
		return r;
	*ret = p;
	return 0;
}

static int fk_munmap(void *ctx, void *addr, size_t len)
{
	struct vfio_kernel *k = ctx;
	struct range r = {(uintptr_t)addr, (uintptr_t)addr + len};

	if (!range_list_contains(&k->mapped, r)) {
		fprintf(stderr, "fake kernel: munmap of what is not mapped\n");
		abort();
	}
	munmap(addr, len);
	return range_list_sub(&k->mapped, r);
}

static void fk_pause(void *ctx, unsigned int msec)
{
	((struct vfio_kernel *)ctx)->pauses++;
}

void vfio_kernel_init(struct vfio_kernel *k)
{
	struct vfio_iommu_type1_info info = {
		.argsz = sizeof(info),
		.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
		.iova_pgsizes = ~0xfffull,
	};
	const struct vfio_iova_range vtd[] = {
		{0, 0xfedfffff}, {0xfef00000, 0xffffffffffff}}; /* VT-d, 48 bits */

	*k = (struct vfio_kernel){
		.sys = {fk_open, fk_close, fk_ioctl, fk_pread, fk_pwrite, fk_mmap, fk_munmap,
			fk_pause, k},
		.api = VFIO_API_VERSION,
		.type1v2 = true,
		.dma_limit = 65535,
	};
	memcpy(k->iommu_info.bytes, &info, sizeof(info));
	k->iommu_info.len = sizeof(info);
	fk_windows(k, 2, vtd);
}

void vfio_kernel_finish(struct vfio_kernel *k)
{
	range_list_finish(&k->dma);
	range_list_finish(&k->mapped);
}

struct fk_group *vfio_kernel_group(struct vfio_kernel *k, unsigned int id)
{
	for (int i = 0; i < FK_GROUPS; i++) {
		if (k->groups[i].present)
			continue;
		k->groups[i] = (struct fk_group){.id = id, .present = true, .viable = true};
		return &k->groups[i];
	}
	abort();
}

struct fk_device *vfio_kernel_device(struct vfio_kernel *k, const char *bdf, unsigned int group)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	struct fk_device *d = k->devices;

	while (d->bdf)
		d++;
	*d = (struct fk_device){
		.bdf = bdf,
		.group = group,
		.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET,
		.num_regions = VFIO_PCI_NUM_REGIONS,
		.num_irqs = VFIO_PCI_NUM_IRQS,
		.host_vectors = 16,
	};
	for (uint32_t i = 0; i <= VFIO_PCI_CONFIG_REGION_INDEX; i++)
		fk_region(&d->regions[i], i, 0, 0);
	fk_region(&d->regions[0], 0, rw | VFIO_REGION_INFO_FLAG_MMAP, 0x4000);
	fk_region(&d->regions[3], 3, rw | VFIO_REGION_INFO_FLAG_MMAP, 0x4000);
	fk_cap(&d->regions[3], fk_region_first(&d->regions[3]), VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
		NULL, 0);
	fk_region(
		&d->regions[VFIO_PCI_CONFIG_REGION_INDEX], VFIO_PCI_CONFIG_REGION_INDEX, rw, 4096);
	for (uint32_t i = 0; i < VFIO_PCI_NUM_IRQS; i++)
		d->irqs[i] = (struct vfio_irq_info){.argsz = sizeof(d->irqs[i]), .index = i};
	d->irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = 3;
	d->irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
	d->irqs[VFIO_PCI_ERR_IRQ_INDEX].count = 1;
	d->irqs[VFIO_PCI_REQ_IRQ_INDEX].count = 1;
	return d;
}

bool vfio_kernel_leaks(const struct vfio_kernel *k)
{
	bool leak = false;

	for (int i = 0; i < FK_FDS; i++) {
		if (k->fds[i].kind == FK_FREE)
			continue;
		fprintf(stderr, "leak: fd of kind %d\n", k->fds[i].kind);
		leak = true;
	}
	for (size_t i = 0; i < k->mapped.n; i++) {
		fprintf(stderr, "leak: %zu bytes mapped\n", (size_t)range_size(k->mapped.v[i]));
		leak = true;
	}
	if (k->dma.n || k->n_dma) {
		fprintf(stderr, "leak: DMA mapping\n");
		leak = true;
	}
	return leak;
}

void fk_region(struct fk_info *i, uint32_t index, uint32_t flags, uint64_t size)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.flags = flags,
		.index = index,
		.size = size,
		.offset = (uint64_t)index << 40,
	};

	memcpy(i->bytes, &info, sizeof(info));
	i->len = sizeof(info);
	i->argsz = 0;
}

uint32_t *fk_region_first(struct fk_info *i)
{
	struct vfio_region_info *info = (void *)i->bytes;

	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	return &info->cap_offset;
}

uint32_t *fk_iommu_first(struct fk_info *i)
{
	return &((struct vfio_iommu_type1_info *)(void *)i->bytes)->cap_offset;
}

uint32_t fk_cap(struct fk_info *i, uint32_t *first, uint16_t id, const void *body, size_t len)
{
	struct vfio_info_cap_header h = {.id = id, .version = 1};
	uint32_t *link = first, at = (uint32_t)(i->len + 7) & ~7u;

	while (*link)
		link = &((struct vfio_info_cap_header *)(void *)(i->bytes + *link))->next;
	if (at + sizeof(h) + len > sizeof(i->bytes))
		abort();
	*link = at;
	memcpy(i->bytes + at, &h, sizeof(h));
	if (len)
		memcpy(i->bytes + at + sizeof(h), body, len);
	i->len = at + sizeof(h) + len;
	return at;
}

void fk_sparse(struct fk_info *i, uint32_t n, const struct vfio_region_sparse_mmap_area *areas)
{
	uint8_t body[400] = {0};

	memcpy(body, &n, sizeof(n));
	memcpy(body + 8, areas, n * sizeof(*areas));
	fk_cap(i, fk_region_first(i), VFIO_REGION_INFO_CAP_SPARSE_MMAP, body,
		8 + n * sizeof(*areas));
}

void fk_windows(struct vfio_kernel *k, uint32_t n, const struct vfio_iova_range *v)
{
	struct fk_info *i = &k->iommu_info;
	uint8_t body[256] = {0};

	i->len = sizeof(struct vfio_iommu_type1_info);
	i->argsz = 0;
	*fk_iommu_first(i) = 0;
	memcpy(body, &n, sizeof(n));
	if (n)
		memcpy(body + 8, v, n * sizeof(*v));
	fk_cap(i, fk_iommu_first(i), VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, body,
		8 + n * sizeof(*v));
}
