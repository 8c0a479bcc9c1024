// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/vfio/world.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void dirs_make(const struct world *w, const char *path)
{
	char buf[256];

	snprintf(buf, sizeof(buf), "%s", path);
	for (char *p = buf; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		mkdirat(w->sysfs.root_fd, buf, 0755);
	}
}

void world_write(struct world *w, const char *path, const char *text)
{
	int fd;

	dirs_make(w, path);
	fd = openat(w->sysfs.root_fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

void world_link(struct world *w, const char *path, const char *target)
{
	dirs_make(w, path);
	unlinkat(w->sysfs.root_fd, path, 0);
	ck_assert_int_eq(symlinkat(target, w->sysfs.root_fd, path), 0);
}

static void function_add(
	struct world *w, const char *bdf, const char *class, int group, const char *driver)
{
	char path[128], to[128];

	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/class", bdf);
	world_write(w, path, class);
	if (driver) {
		snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/driver", bdf);
		snprintf(to, sizeof(to), "../../drivers/%s", driver);
		world_link(w, path, to);
	}
	if (group < 0)
		return;
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/iommu_group", bdf);
	snprintf(to, sizeof(to), "../../../../kernel/iommu_groups/%d", group);
	world_link(w, path, to);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%d/devices/%s", group, bdf);
	snprintf(to, sizeof(to), "../../../../bus/pci/devices/%s", bdf);
	world_link(w, path, to);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%d/reserved_regions", group);
	world_write(w, path, "0x00000000fee00000 0x00000000feefffff msi\n");
}

void world_init(struct world *w)
{
	strcpy(w->root, "/tmp/viaduct-vfio-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(w->root));
	ck_assert_int_eq(sysfs_open(w->root, &w->sysfs), 0);
	function_add(w, "0000:01:10.0", "0x020000\n", 6, "vfio-pci");
	function_add(w, "0000:01:10.2", "0x020000\n", 6, "mlx5_vfio_pci");
	function_add(w, "0000:02:00.0", "0x020000\n", 7, "vfio-pci");
	function_add(w, "0000:00:10.0", "0x060400\n", 3, "pcieport");
	function_add(w, "0000:03:00.0", "0x020000\n", 8, "igb");
	function_add(w, "0000:03:00.1", "0x020000\n", 9, NULL);
	function_add(w, "0000:04:00.0", "0x020000\n", -1, "igb");
	function_add(w, "0000:05:00.0", "0x020000\n", 10, "vfio-pci");
	function_add(w, "0000:05:00.1", "0x020000\n", 10, "igb");
	function_add(w, "0000:05:00.2", "0x020000\n", 10, NULL);
	function_add(w, "0000:00:11.0", "0x060400\n", 10, "pcieport");
	function_add(w, "0000:06:00.0", "0x020000\n", 11, "vfio-pci");
	world_write(w, "sys/kernel/iommu_groups/11/name", "vfio-noiommu\n");
	function_add(w, "0000:07:00.0", "0x020000\n", 12, "vfio-pci");
	world_write(w, "sys/kernel/iommu_groups/12/reserved_regions",
		"0x00000000dd000000 0x00000000ddffffff direct\n"
		"0x00000000fee00000 0x00000000feefffff msi\n");
	world_write(w, "proc/4242/comm", "qemu\n");
	world_link(w, "proc/4242/fd/7", "/dev/vfio/7");

	vfio_kernel_init(&w->k);
	vfio_kernel_group(&w->k, 6);
	vfio_kernel_group(&w->k, 7);
	vfio_kernel_group(&w->k, 10)->viable = false;
	vfio_kernel_group(&w->k, 12);
	vfio_kernel_device(&w->k, "0000:01:10.0", 6);
	vfio_kernel_device(&w->k, "0000:01:10.2", 6);
	vfio_kernel_device(&w->k, "0000:02:00.0", 7);
	vfio_kernel_device(&w->k, "0000:05:00.0", 10);
	vfio_kernel_device(&w->k, "0000:07:00.0", 12);
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

void world_finish(struct world *w)
{
	vfio_kernel_finish(&w->k);
	sysfs_close(&w->sysfs);
	nftw(w->root, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

struct bdf world_bdf(const char *s)
{
	struct bdf b;

	ck_assert_int_eq(bdf_parse(s, &b), 0);
	return b;
}

struct fk_device *world_device(struct world *w, const char *bdf)
{
	for (int i = 0; i < FK_DEVICES; i++) {
		if (w->k.devices[i].bdf && !strcmp(w->k.devices[i].bdf, bdf))
			return &w->k.devices[i];
	}
	abort();
}
