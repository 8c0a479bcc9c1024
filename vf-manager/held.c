// SPDX-License-Identifier: GPL-2.0-or-later
/* Which process has a function open in VFIO. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"

bool driver_is_vfio(struct vfm *v, const char *driver)
{
	/* vfio-pci and its variants (mlx5_vfio_pci, ...): all carry the name. */
	return strstr(driver, "vfio") != NULL;
}

static bool node_exists(struct vfm *v, const char *node)
{
	return sysfs_exists(&v->sys, node + 1);
}

int function_holder(struct vfm *v, const struct vfm_function *f, struct holder *ret)
{
	static const char *const group_prefix[] = {"", "noiommu-"};
	char node[128];
	int r;

	if (*f->vfio_cdev) {
		snprintf(node, sizeof(node), "/dev/vfio/devices/%s", f->vfio_cdev);
		if (node_exists(v, node) && holder_find(&v->sys, node, ret) > 0)
			return 1;
	}
	for (size_t i = 0; f->iommu_group >= 0 && i < ARRAY_SIZE(group_prefix); i++) {
		_cleanup_fd_ int fd = -1;

		snprintf(node, sizeof(node), "/dev/vfio/%s%d", group_prefix[i], f->iommu_group);
		if (!node_exists(v, node))
			continue;
		r = holder_find(&v->sys, node, ret);
		if (r > 0)
			return 1;
		/* A group has one opener at a time, and stays open as long as a device fd of it. */
		fd = openat(v->sys.root_fd, node + 1, O_RDWR | O_CLOEXEC);
		if (fd < 0 && errno == EBUSY) {
			*ret = (struct holder){0};
			return 1;
		}
	}
	return 0;
}

int refuse_if_held(struct vfm *v, struct bdf b, const char *doing, struct err *e)
{
	char name[BDF_STRLEN];
	struct vfm_function f;
	struct holder h;

	if (function_read(v, b, &f) < 0 || function_holder(v, &f, &h) <= 0)
		return 0;
	if (h.pid)
		return err_set(e, EBUSY, "%s: %s is open in VFIO by %s (process %d): end it first",
			doing, bdf_format(b, name), h.comm, (int)h.pid);
	return err_set(e, EBUSY,
		"%s: %s is open in VFIO by a process that /proc does not show (another PID "
		"namespace, "
		"or a device fd passed on; run as root): end it first",
		doing, bdf_format(b, name));
}

/* Does the directory hold anything but the container's node and the directory of devices? */
static bool has_nodes(struct vfm *v, const char *dir)
{
	char **names;
	bool found = false;

	if (sysfs_list(&v->sys, dir, &names) < 0)
		return false;
	for (char **n = names; *n; n++)
		found = found || (strcmp(*n, "vfio") && strcmp(*n, "devices"));
	sysfs_list_free(names);
	return found;
}

struct holder_table *vfio_holders(struct vfm *v)
{
	struct holder_table *t = NULL;

	if (!has_nodes(v, "dev/vfio") && !has_nodes(v, "dev/vfio/devices"))
		return NULL;
	return holder_table_create(&v->sys, "/dev/vfio/", &t) < 0 ? NULL : t;
}

void function_holder_in(
	const struct holder_table *t, const struct vfm_function *f, struct holder *ret)
{
	static const char *const prefix[] = {
		"/dev/vfio/devices/", "/dev/vfio/", "/dev/vfio/noiommu-"};
	const struct holder *h = NULL;
	char node[128];

	for (size_t i = 0; t && !h && i < ARRAY_SIZE(prefix); i++) {
		if (i == 0 ? !*f->vfio_cdev : f->iommu_group < 0)
			continue;
		if (i == 0)
			snprintf(node, sizeof(node), "%s%s", prefix[i], f->vfio_cdev);
		else
			snprintf(node, sizeof(node), "%s%d", prefix[i], f->iommu_group);
		h = holder_table_find(t, node);
	}
	*ret = h ? *h : (struct holder){0};
}
