// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The type1v2 back end: /dev/vfio/vfio is the address space ("container"), /dev/vfio/N the group
 * that joins it. Order, fixed by the kernel (Documentation/driver-api/vfio.rst):
 * container, group, SET_CONTAINER, SET_IOMMU (first group only), MAP_DMA, GET_DEVICE_FD.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/holder.h"
#include "common/log.h"
#include "vfio/internal.h"

#define CONTAINER "/dev/vfio/vfio"

struct ioas_group {
	unsigned int id;
	int fd;
	unsigned int refs; /* devices of it that are open or being opened */
	bool in_container, announced;
	int (*added)(void *ctx, int group_fd);
	void (*removed)(void *ctx, int group_fd);
	void *ctx;
	struct ioas_group *next;
};

struct type1 {
	struct ioas io;
	int fd;
	unsigned int joined; /* groups in the container */
	struct ioas_group *groups;
};

static struct type1 *type1_of(struct ioas *io)
{
	return container_of(io, struct type1, io);
}

static int type1_map(struct ioas *io, const struct ioas_mapping *m)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = (m->prot & IOAS_READ ? VFIO_DMA_MAP_FLAG_READ : 0u) |
			 (m->prot & IOAS_WRITE ? VFIO_DMA_MAP_FLAG_WRITE : 0u),
		.vaddr = (uintptr_t)m->hva,
		.iova = m->iova.start,
		.size = range_size(m->iova),
	};
	int r = io->sys->ioctl(io->sys->ctx, type1_of(io)->fd, VFIO_IOMMU_MAP_DMA, &arg);

	return r < 0 ? r : 0;
}

static int type1_unmap(struct ioas *io, struct range iova, uint64_t *ret)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.iova = iova.start,
		.size = range_size(iova),
	};
	int r = io->sys->ioctl(io->sys->ctx, type1_of(io)->fd, VFIO_IOMMU_UNMAP_DMA, &arg);

	if (r < 0)
		return r;
	*ret = arg.size;
	return 0;
}

static int windows_parse(const struct info_cap *cap, struct ioas_info *ret)
{
	const size_t head = offsetof(struct vfio_iommu_type1_info_cap_iova_range, iova_ranges);
	uint32_t n;

	if (cap->len < head)
		return -EPROTO;
	memcpy(&n, cap->data + offsetof(struct vfio_iommu_type1_info_cap_iova_range, nr_iovas),
		sizeof(n));
	if (n > (cap->len - head) / sizeof(struct vfio_iova_range))
		return -EPROTO;
	for (uint32_t i = 0; i < n; i++) {
		struct vfio_iova_range v; /* its end is the last byte */
		int r;

		memcpy(&v, cap->data + head + i * sizeof(v), sizeof(v));
		if (v.end < v.start)
			return -EPROTO;
		r = range_list_add(&ret->windows,
			(struct range){v.start, v.end == UINT64_MAX ? v.end : v.end + 1});
		if (r < 0)
			return r;
	}
	ret->windows_known = true;
	return 0;
}

int type1_info_parse(const void *buf, size_t len, struct ioas_info *ret)
{
	struct vfio_iommu_type1_info head = {0};
	const size_t head_len =
		offsetof(struct vfio_iommu_type1_info, cap_offset) + sizeof(uint32_t);
	struct info_caps caps;
	struct info_cap cap;
	int r;

	if (len < head_len)
		return -EPROTO;
	memcpy(&head, buf, head_len);
	if (head.flags & VFIO_IOMMU_INFO_PGSIZES)
		ret->page_sizes = head.iova_pgsizes;
	if (!(head.flags & VFIO_IOMMU_INFO_CAPS))
		return 0;
	info_caps_init(&caps, buf, len, head_len, head.cap_offset);
	while ((r = info_caps_next(&caps, &cap)) > 0) {
		if (cap.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
			r = windows_parse(&cap, ret);
			if (r < 0)
				return r;
		} else if (cap.id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
			struct vfio_iommu_type1_info_dma_avail a;

			if (cap.len < sizeof(a))
				return -EPROTO;
			memcpy(&a, cap.data, sizeof(a));
			ret->avail_known = true;
			ret->avail = a.avail;
		}
	}
	return r;
}

static int type1_info(struct ioas *io, struct err *e, struct ioas_info *ret)
{
	struct vfio_iommu_type1_info head = {.argsz = sizeof(head)};
	_cleanup_free_ void *buf = NULL;
	size_t len;
	int r;

	r = info_query(
		io->sys, type1_of(io)->fd, VFIO_IOMMU_GET_INFO, &head, sizeof(head), &buf, &len);
	if (r < 0)
		return err_sys(e, -r, "ask the IOMMU for its windows (VFIO_IOMMU_GET_INFO)");
	r = type1_info_parse(buf, len, ret);
	if (r < 0)
		return err_sys(e, -r, "understand the IOMMU's windows (VFIO_IOMMU_GET_INFO)");
	return 0;
}

/* ---- groups ---- */

/*
 * A group has one opener at a time, and who asks whether it has one (`viaduct vf`) opens it for a
 * moment: that must not cost a guest its start.
 */
static int group_open(struct ioas *io, const char *node)
{
	int r = io->sys->open(io->sys->ctx, node, O_RDWR | O_CLOEXEC);

	for (int i = 0; r == -EBUSY && i < 10; i++) {
		if (io->sys->pause)
			io->sys->pause(io->sys->ctx, 5);
		r = io->sys->open(io->sys->ctx, node, O_RDWR | O_CLOEXEC);
	}
	return r;
}

static int group_open_failed(
	const struct attach_req *req, const char *node, int code, struct err *e)
{
	struct holder h;

	switch (-code) {
	case EBUSY:
		if (holder_find(req->sysfs, node, &h) == 1)
			return err_set(e, EBUSY,
				"%s: in use: process %d (%s) holds its IOMMU group %u (%s); stop "
				"it first",
				req->name, (int)h.pid, h.comm, req->group, node);
		return err_set(e, EBUSY,
			"%s: in use: this process, or one it may not look into, holds its IOMMU "
			"group "
			"%u (%s)",
			req->name, req->group, node);
	case EACCES:
	case EPERM:
		return err_set(e, EACCES,
			"%s: no permission to open %s: run as root, or give your user the node "
			"(chown, "
			"or a udev rule)",
			req->name, node);
	case ENOENT:
		return err_set(e, ENOENT,
			"%s: %s does not exist although a VFIO driver is bound: is /dev complete "
			"in "
			"this container or chroot?",
			req->name, node);
	}
	return err_sys(e, -code, "%s: open %s", req->name, node);
}

/*
 * EPERM with nothing wrong in the group: VFIO gives nothing away on a host that does not remap
 * interrupts, unless its module is told to.
 */
static int unsafe_refused(const struct attach_req *req, const char *what, struct err *e)
{
	static const char path[] = "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";
	char text[16];
	int r = sysfs_read(req->sysfs, path, text, sizeof(text));

	if (r > 0 && *text == 'Y')
		return err_set(e, EPERM,
			"%s: the kernel refuses %s of IOMMU group %u, though "
			"allow_unsafe_interrupts of vfio_iommu_type1 is Y; dmesg may say why",
			req->name, what, req->group);
	return err_set(e, EPERM,
		"%s: the kernel refuses %s of IOMMU group %u: most likely this host has no "
		"interrupt remapping, without which a guest's device can raise any interrupt of "
		"the host%s; switch it on (VT-d, AMD-Vi) in the firmware, or, where the guest is "
		"trusted like the host, set the module parameter allow_unsafe_interrupts=1 of "
		"vfio_iommu_type1: echo Y >/%s, for good by a line 'options vfio_iommu_type1 "
		"allow_unsafe_interrupts=1' in /etc/modprobe.d",
		req->name, what, req->group,
		r > 0 && *text == 'N' ? ", and allow_unsafe_interrupts is N" : "", path);
}

/* The group may not join the container (@code is negative): say why as well as we can. */
static int join_failed(const struct attach_req *req, const char *what, int code, struct err *e)
{
	struct ioas_resv resv[IOAS_MAX_RESV];
	size_t n;

	if (code == -EPERM || code == -EINVAL || code == -EBUSY) {
		int r = group_blockers(req->sysfs, req->group, req->name, e);

		if (r < 0)
			return r;
	}
	if (code == -EPERM || code == -EINVAL) {
		n = group_resv(req->sysfs, req->group, resv, IOAS_MAX_RESV);
		for (size_t i = 0; i < n; i++) {
			if (!strcmp(resv[i].type, "direct"))
				return err_set(e, EPERM,
					"%s: the firmware demands that memory [%#llx, %#llx) stays "
					"mapped for it (RMRR), so the kernel does not give it "
					"away; "
					"see the firmware's settings, or use another device",
					req->name, (unsigned long long)resv[i].r.start,
					(unsigned long long)resv[i].r.end);
		}
	}
	if (code == -EPERM)
		return unsafe_refused(req, what, e);
	return err_sys(e, -code, "%s: %s of IOMMU group %u", req->name, what, req->group);
}

static int group_check_viable(
	struct ioas *io, const struct attach_req *req, const struct ioas_group *g, struct err *e)
{
	struct vfio_group_status st = {.argsz = sizeof(st)};
	int r;

	r = io->sys->ioctl(io->sys->ctx, g->fd, VFIO_GROUP_GET_STATUS, &st);
	if (r < 0)
		return err_sys(e, -r, "%s: VFIO_GROUP_GET_STATUS of IOMMU group %u", req->name,
			req->group);
	if (st.flags & VFIO_GROUP_FLAGS_VIABLE)
		return 0;
	r = group_blockers(req->sysfs, req->group, req->name, e);
	if (r < 0)
		return r;
	return err_set(e, EXDEV,
		"%s: its IOMMU group %u is not viable: another device in it is used by the host; "
		"bind "
		"all of /sys/kernel/iommu_groups/%u/devices to vfio-pci",
		req->name, req->group, req->group);
}

static int group_join(
	struct ioas *io, const struct attach_req *req, struct ioas_group *g, struct err *e)
{
	struct type1 *t = type1_of(io);
	int r;

	r = io->sys->ioctl(io->sys->ctx, g->fd, VFIO_GROUP_SET_CONTAINER, &t->fd);
	if (r < 0)
		return join_failed(req, "VFIO_GROUP_SET_CONTAINER", r, e);
	g->in_container = true;
	if (t->joined++ == 0) {
		r = io->sys->ioctl(
			io->sys->ctx, t->fd, VFIO_SET_IOMMU, (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU);
		if (r < 0)
			return join_failed(req, "VFIO_SET_IOMMU", r, e);
	}
	return ioas_joined(io, req, e);
}

static int group_announce(const struct attach_req *req, struct ioas_group *g, struct err *e)
{
	int r = g->added ? g->added(g->ctx, g->fd) : 0;

	if (r < 0)
		return err_sys(
			e, -r, "%s: register IOMMU group %u with the VM", req->name, req->group);
	g->announced = true;
	return 0;
}

/* Drop one reference; the last one undoes group_get() in reverse, from wherever it got to. */
static void group_put(struct ioas *io, struct ioas_group *g)
{
	struct type1 *t = type1_of(io);
	struct ioas_group **p = &t->groups;

	if (!g || --g->refs)
		return;
	if (g->announced && g->removed)
		g->removed(g->ctx, g->fd);
	if (g->in_container) {
		io->sys->ioctl(io->sys->ctx, g->fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
		if (--t->joined == 0)
			ioas_left(io);
	}
	if (g->fd >= 0)
		io->sys->close(io->sys->ctx, g->fd);
	while (*p != g)
		p = &(*p)->next;
	*p = g->next;
	free(g);
}

static int group_get(
	struct ioas *io, const struct attach_req *req, struct err *e, struct ioas_group **ret)
{
	struct type1 *t = type1_of(io);
	struct ioas_group *g;
	char node[32];
	int r;

	for (g = t->groups; g; g = g->next) {
		if (g->id == req->group) {
			g->refs++;
			*ret = g;
			return 0;
		}
	}
	g = calloc(1, sizeof(*g));
	if (!g)
		return err_sys(e, ENOMEM, "%s", req->name);
	*g = (struct ioas_group){.id = req->group, .fd = -1, .refs = 1, .next = t->groups};
	t->groups = g;
	if (req->opts) {
		g->added = req->opts->group_added;
		g->removed = req->opts->group_removed;
		g->ctx = req->opts->ctx;
	}
	snprintf(node, sizeof(node), "/dev/vfio/%u", req->group);
	r = group_open(io, node);
	if (r < 0) {
		r = group_open_failed(req, node, r, e);
		goto fail;
	}
	g->fd = r;
	r = group_check_viable(io, req, g, e);
	if (r < 0)
		goto fail;
	r = group_join(io, req, g, e);
	if (r < 0)
		goto fail;
	r = group_announce(req, g, e);
	if (r < 0)
		goto fail;
	*ret = g;
	return 0;
fail:
	group_put(io, g);
	return r;
}

/* ---- devices ---- */

static int type1_attach(
	struct ioas *io, const struct attach_req *req, struct err *e, struct attachment *ret)
{
	const char *token = req->opts ? req->opts->vf_token : NULL;
	struct ioas_group *g = NULL;
	char arg[128];
	int r;

	if (snprintf(arg, sizeof(arg), "%s%s%s", req->name, token ? " vf_token=" : "",
		    token ? token : "") >= (int)sizeof(arg))
		return err_set(e, EINVAL, "%s: the VF token is not a UUID", req->name);
	r = group_get(io, req, e, &g);
	if (r < 0)
		return r;
	/* vfio-pci resets at open and says EAGAIN when the function is locked, e.g. by a sysfs
	 * write that changes the VFs of its PF. */
	r = ioctl_retry(io->sys, g->fd, VFIO_GROUP_GET_DEVICE_FD, arg);
	if (r >= 0) {
		*ret = (struct attachment){r, g};
		return 0;
	}
	group_put(io, g);
	switch (-r) {
	case EACCES:
		return err_set(e, EACCES,
			"%s: the kernel demands a VF token: its PF is bound to vfio-pci; give the "
			"token "
			"set on the PF, or put the PF back on its own driver",
			req->name);
	case EAGAIN:
		return err_set(e, EAGAIN,
			"%s: it stayed locked by a reset or a change of its PF for a second; try "
			"again",
			req->name);
	}
	return err_sys(
		e, -r, "%s: VFIO_GROUP_GET_DEVICE_FD on IOMMU group %u", req->name, req->group);
}

static void type1_detach(struct ioas *io, struct attachment *a)
{
	if (a->fd >= 0)
		io->sys->close(io->sys->ctx, a->fd);
	group_put(io, a->group);
	*a = (struct attachment){.fd = -1};
}

static int group_fd(const struct type1 *t, unsigned int id)
{
	for (const struct ioas_group *g = t->groups; g; g = g->next) {
		if (g->id == id)
			return g->fd;
	}
	return -EPERM;
}

static int type1_hot_reset(struct ioas *io, const struct attachment *a, const unsigned int *groups,
	unsigned int n, bool wait)
{
	const size_t size = sizeof(struct vfio_pci_hot_reset) + n * sizeof(int32_t);
	_cleanup_free_ struct vfio_pci_hot_reset *arg = calloc(1, size);
	int r;

	if (!arg)
		return -ENOMEM;
	arg->argsz = (uint32_t)size;
	arg->count = n;
	for (unsigned int i = 0; i < n; i++) {
		arg->group_fds[i] = group_fd(type1_of(io), groups[i]);
		if (arg->group_fds[i] < 0)
			return arg->group_fds[i];
	}
	r = ioctl_reset(io->sys, a->fd, VFIO_DEVICE_PCI_HOT_RESET, arg, wait);
	return r < 0 ? r : 0;
}

static void type1_destroy(struct ioas *io)
{
	struct type1 *t = type1_of(io);

	if (t->fd >= 0)
		io->sys->close(io->sys->ctx, t->fd);
	ioas_finish(io);
	free(t);
}

static const struct ioas_ops type1_ops = {
	.name = "type1",
	.attach = type1_attach,
	.detach = type1_detach,
	.hot_reset = type1_hot_reset,
	.info = type1_info,
	.map = type1_map,
	.unmap = type1_unmap,
	.destroy = type1_destroy,
};

static int container_open(struct type1 *t, struct err *e)
{
	const struct vfio_sys *sys = t->io.sys;
	int r;

	r = sys->open(sys->ctx, CONTAINER, O_RDWR | O_CLOEXEC);
	switch (-r) {
	case ENOENT:
	case ENODEV: /* the node is static, the module that answers is not loaded */
		return err_set(e, ENOENT,
			"open " CONTAINER ": %s: load VFIO with `modprobe vfio-pci`", strerror(-r));
	case EACCES:
	case EPERM:
		return err_set(e, EACCES, "open " CONTAINER ": %s: run as root, or chmod 666 it",
			strerror(-r));
	}
	if (r < 0)
		return err_sys(e, -r, "open " CONTAINER);
	t->fd = r;
	r = sys->ioctl(sys->ctx, t->fd, VFIO_GET_API_VERSION, NULL);
	if (r < 0)
		return err_sys(e, -r, CONTAINER ": VFIO_GET_API_VERSION");
	if (r != VFIO_API_VERSION)
		return err_set(e, EPROTO,
			CONTAINER ": the kernel speaks VFIO version %d, we speak %d", r,
			VFIO_API_VERSION);
	r = sys->ioctl(
		sys->ctx, t->fd, VFIO_CHECK_EXTENSION, (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU);
	if (r < 0)
		return err_sys(e, -r, CONTAINER ": VFIO_CHECK_EXTENSION");
	if (!r)
		return err_set(e, EOPNOTSUPP,
			CONTAINER ": the kernel has no type1v2 IOMMU: `modprobe vfio_iommu_type1`");
	return 0;
}

int ioas_create_type1(const struct vfio_sys *sys, struct err *e, struct ioas **ret)
{
	struct type1 *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_sys(e, ENOMEM, "open " CONTAINER);
	ioas_init(&t->io, &type1_ops, sys);
	t->fd = -1;
	r = container_open(t, e);
	if (r < 0) {
		type1_destroy(&t->io);
		return r;
	}
	*ret = &t->io;
	return 0;
}
