// SPDX-License-Identifier: GPL-2.0-or-later
/* What sysfs says about a function and its IOMMU group: the diagnosis behind vdev_open()'s texts. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vfio/internal.h"

#define NAME_LEN 64

/* Variant drivers are called mlx5_vfio_pci, hisi-acc-vfio-pci, ...: all carry the word. */
static bool driver_is_vfio(const char *driver)
{
	return strstr(driver, "vfio") != NULL;
}

/*
 * Drivers that never use the DMA API for their device and so leave the group to userspace (those
 * with driver_managed_dma in the kernel).
 */
static bool driver_is_harmless(const char *driver)
{
	return driver_is_vfio(driver) || !strcmp(driver, "pcieport") || !strcmp(driver, "pci-stub");
}

/* PCI Code and ID Assignment 1.11 §1.7: bridges to another bus, with a type 1 or 2 header. */
static bool class_is_bridge(uint64_t class)
{
	switch (class >> 8) {
	case 0x0604: /* PCI-to-PCI, includes PCIe root and switch ports */
	case 0x0607: /* CardBus */
	case 0x0609: /* semi-transparent PCI-to-PCI */ return true;
	}
	return false;
}

static int function_group(
	const struct sysfs *s, struct bdf b, const char *name, struct err *e, unsigned int *ret)
{
	char path[160], link[NAME_LEN], *end;
	unsigned long id;
	int r;

	r = sysfs_link_name(
		s, sysfs_pci_path(b, "iommu_group", path, sizeof(path)), link, sizeof(link));
	if (r == -ENOENT)
		return err_set(e, ENOSYS,
			"%s: it has no IOMMU group: switch the IOMMU on in the firmware (VT-d, "
			"AMD-Vi) "
			"and, on Intel, boot with intel_iommu=on",
			name);
	if (r < 0)
		return err_sys(e, -r, "%s: read %s", name, path);
	errno = 0;
	id = strtoul(link, &end, 10);
	if (errno || *end || end == link || id > INT32_MAX)
		return err_set(e, EPROTO, "%s: IOMMU group \"%s\" is not a number", name, link);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%lu/name", id);
	if (sysfs_read(s, path, link, sizeof(link)) > 0 && !strcmp(link, "vfio-noiommu"))
		return err_set(e, ENOSYS,
			"%s: its group %lu is a no-IOMMU group, which isolates nothing: switch the "
			"IOMMU "
			"on and reload vfio without enable_unsafe_noiommu_mode",
			name, id);
	*ret = (unsigned int)id;
	return 0;
}

int function_check(const struct sysfs *s, struct bdf b, struct err *e, unsigned int *ret)
{
	char name[BDF_STRLEN], path[160], driver[NAME_LEN];
	unsigned int group = 0;
	uint64_t class;
	int r;

	bdf_format(b, name);
	if (!sysfs_exists(s, sysfs_pci_path(b, "", path, sizeof(path))))
		return err_set(e, ENODEV,
			"%s: there is no such PCI function; see `viaduct vf list` or `lspci -D`",
			name);
	r = sysfs_read_u64(s, sysfs_pci_path(b, "class", path, sizeof(path)), &class);
	if (r < 0)
		return err_sys(e, -r, "%s: read %s", name, path);
	if (class_is_bridge(class))
		return err_set(e, ENXIO,
			"%s: it is a bridge (class %06" PRIx64
			"), which VFIO cannot assign; name a device behind it",
			name, class);
	r = function_group(s, b, name, e, &group);
	if (r < 0)
		return r;
	r = sysfs_link_name(
		s, sysfs_pci_path(b, "driver", path, sizeof(path)), driver, sizeof(driver));
	if (r < 0 && r != -ENOENT)
		return err_sys(e, -r, "%s: read %s", name, path);
	if (r < 0)
		return err_set(e, ENXIO,
			"%s: no driver is bound to it; run `viaduct vf bind %s vfio-pci` first",
			name, name);
	if (!driver_is_vfio(driver))
		return err_set(e, ENXIO,
			"%s: it is bound to %s, not to vfio-pci; run `viaduct vf bind %s vfio-pci` "
			"first",
			name, driver, name);
	*ret = group;
	return 0;
}

int group_blockers(const struct sysfs *s, unsigned int group, const char *name, struct err *e)
{
	char dir[80], path[400], driver[NAME_LEN], list[320] = "";
	size_t used = 0;
	char **members;
	int n = 0;

	snprintf(dir, sizeof(dir), "sys/kernel/iommu_groups/%u/devices", group);
	if (sysfs_list(s, dir, &members) < 0)
		return 0;
	for (char **m = members; *m; m++) {
		snprintf(path, sizeof(path), "%s/%s/driver", dir, *m);
		if (sysfs_link_name(s, path, driver, sizeof(driver)) < 0 ||
			driver_is_harmless(driver))
			continue;
		n++;
		if (used + strlen(*m) + strlen(driver) + 16 < sizeof(list))
			used += (size_t)snprintf(list + used, sizeof(list) - used,
				"%s%s (bound to %s)", used ? ", " : "", *m, driver);
	}
	sysfs_list_free(members);
	if (!n)
		return 0;
	return err_set(e, EXDEV,
		"%s: its IOMMU group %u is not viable: %s %s in it, with a driver that does DMA "
		"for "
		"the host; bind %s to vfio-pci too, or unbind %s",
		name, group, list, n == 1 ? "is" : "are", n == 1 ? "it" : "them",
		n == 1 ? "it" : "them");
}

size_t group_resv(const struct sysfs *s, unsigned int group, struct ioas_resv *v, size_t max)
{
	char path[80], buf[4096], *save = NULL;
	size_t n = 0;

	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u/reserved_regions", group);
	if (sysfs_read(s, path, buf, sizeof(buf)) < 0)
		return 0;
	for (char *l = strtok_r(buf, "\n", &save); l && n < max; l = strtok_r(NULL, "\n", &save)) {
		struct ioas_resv *r = &v[n];
		uint64_t start, last;

		if (sscanf(l, "%" SCNx64 " %" SCNx64 " %19s", &start, &last, r->type) != 3 ||
			last < start)
			continue;
		r->r = (struct range){start, last == UINT64_MAX ? last : last + 1};
		n++;
	}
	return n;
}
