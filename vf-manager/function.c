// SPDX-License-Identifier: GPL-2.0-or-later
/* One function, from sysfs. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"

void dev_read_text(struct vfm *v, struct bdf b, const char *attr, char *buf, size_t size)
{
	char path[PATH_MAX];

	if (sysfs_read(&v->sys, sysfs_pci_path(b, attr, path, sizeof(path)), buf, size) < 0)
		*buf = '\0';
	for (char *c = buf; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
}

/* The last name of a link's target; "" when there is no link, "?" when that is no name. */
static void link_read(struct vfm *v, struct bdf b, const char *attr, char *buf, size_t size)
{
	char path[PATH_MAX];

	int r = sysfs_link_name(&v->sys, sysfs_pci_path(b, attr, path, sizeof(path)), buf, size);

	if (r == -ENOENT)
		*buf = '\0';
	else if (r < 0 || !name_is_plain(buf))
		snprintf(buf, size, "?");
}

unsigned dev_read_number(struct vfm *v, struct bdf b, const char *attr, unsigned max)
{
	uint64_t n;

	return dev_read_u64(v, b, attr, &n) < 0 || n > max ? 0 : (unsigned)n;
}

/* "-1" is how the kernel writes "no node". */
static int numa_read(struct vfm *v, struct bdf b)
{
	uint64_t n;

	return dev_read_u64(v, b, "numa_node", &n) < 0 || n > 65535 ? -1 : (int)n;
}

static int group_read(struct vfm *v, struct bdf b)
{
	char name[16], *end;
	long n;

	link_read(v, b, "iommu_group", name, sizeof(name));
	if (!isdigit((unsigned char)*name))
		return -1;
	n = strtol(name, &end, 10);
	return *end || n > INT_MAX ? -1 : (int)n;
}

/* The first name in directory @attr that starts with @prefix. */
static void first_name(
	struct vfm *v, struct bdf b, const char *attr, const char *prefix, char *buf, size_t size)
{
	_cleanup_names_ char **names = NULL;
	char path[PATH_MAX];

	*buf = '\0';
	if (sysfs_list(&v->sys, sysfs_pci_path(b, attr, path, sizeof(path)), &names) < 0)
		return;
	for (char **n = names; *n; n++) {
		if (!strncmp(*n, prefix, strlen(prefix)) && strlen(*n) < size &&
			name_is_plain(*n)) {
			snprintf(buf, size, "%s", *n);
			return;
		}
	}
}

bool mac_parse(const char *s, uint8_t ret[static 6])
{
	uint8_t mac[6];

	for (int i = 0; i < 6; i++, s += 3) {
		char pair[3] = {s[0], s[0] ? s[1] : '\0', '\0'};

		if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1]) ||
			s[2] != (i == 5 ? '\0' : ':'))
			return false;
		mac[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	memcpy(ret, mac, 6);
	return true;
}

/*
 * In switchdev mode a PF's directory has an interface for each VF too ("pf0vf3", "c1pf0vf3"), and for
 * each sub-function.
 */
static bool is_representor(struct vfm *v, struct bdf b, const char *netdev)
{
	char attr[VFM_NAME_MAX + 32], port[64];

	snprintf(attr, sizeof(attr), "net/%s/phys_port_name", netdev);
	dev_read_text(v, b, attr, port, sizeof(port));
	return strstr(port, "vf") || strstr(port, "sf");
}

/* The first of its interfaces that is its own. */
static void netdev_find(struct vfm *v, struct bdf b, char *buf, size_t size)
{
	_cleanup_names_ char **names = NULL;
	char path[PATH_MAX];
	int n = sysfs_list(&v->sys, sysfs_pci_path(b, "net", path, sizeof(path)), &names);

	*buf = '\0';
	for (int i = 0; i < n; i++) {
		if (strlen(names[i]) >= size || !netdev_name_is_plain(names[i]) ||
			(n > 1 && is_representor(v, b, names[i])))
			continue;
		snprintf(buf, size, "%s", names[i]);
		return;
	}
}

static void netdev_read(struct vfm *v, struct vfm_function *f)
{
	char attr[VFM_NAME_MAX + 32], mac[32];
	uint64_t n;

	netdev_find(v, f->bdf, f->netdev, sizeof(f->netdev));
	if (!*f->netdev)
		return;
	snprintf(attr, sizeof(attr), "net/%s/ifindex", f->netdev);
	f->ifindex = (int)dev_read_number(v, f->bdf, attr, INT_MAX);
	snprintf(attr, sizeof(attr), "net/%s/operstate", f->netdev);
	dev_read_text(v, f->bdf, attr, f->link, sizeof(f->link));
	snprintf(attr, sizeof(attr), "net/%s/flags", f->netdev);
	f->admin_up = dev_read_u64(v, f->bdf, attr, &n) == 0 && (n & 1);
	if (f->kind == VFM_VF)
		return; /* what its PF gives it counts */
	snprintf(attr, sizeof(attr), "net/%s/address", f->netdev);
	dev_read_text(v, f->bdf, attr, mac, sizeof(mac));
	f->has_mac = mac_parse(mac, f->mac);
}

static bool is_unset(const char *override)
{
	return !*override || !strcmp(override, "(null)");
}

int vf_bdf(struct vfm *v, struct bdf pf, unsigned index, struct bdf *ret)
{
	char attr[32], name[64], path[PATH_MAX];
	int r;

	snprintf(attr, sizeof(attr), "virtfn%u", index);
	r = sysfs_link_name(
		&v->sys, sysfs_pci_path(pf, attr, path, sizeof(path)), name, sizeof(name));
	return r < 0 ? r : bdf_parse(name, ret);
}

/* Which virtfnN of @pf leads to @vf: -1 when none does. */
static int vf_index(struct vfm *v, struct bdf pf, struct bdf vf)
{
	_cleanup_names_ char **names = NULL;
	char path[PATH_MAX];

	if (sysfs_list(&v->sys, sysfs_pci_path(pf, "", path, sizeof(path)), &names) < 0)
		return -1;
	for (char **n = names; *n; n++) {
		struct bdf b;
		char *end;
		unsigned long i;

		if (strncmp(*n, "virtfn", 6) || !isdigit((unsigned char)(*n)[6]))
			continue;
		i = strtoul(*n + 6, &end, 10);
		if (*end || i >= MAX_VFS || vf_bdf(v, pf, (unsigned)i, &b) < 0)
			continue;
		if (bdf_equal(b, vf))
			return (int)i;
	}
	return -1;
}

/*
 * Counted from the links: on some kernels reading sriov_numvfs waits for the device's lock, that
 * is, for a carve under way.
 */
static unsigned vf_count(struct vfm *v, struct bdf pf)
{
	_cleanup_names_ char **names = NULL;
	char path[PATH_MAX];
	unsigned count = 0;

	if (sysfs_list(&v->sys, sysfs_pci_path(pf, "", path, sizeof(path)), &names) < 0)
		return 0;
	for (char **n = names; *n; n++)
		count += !strncmp(*n, "virtfn", 6) && isdigit((unsigned char)(*n)[6]);
	return count;
}

/* What is known beforehand, or not wanted. */
struct hints {
	const struct bdf *pf; /* it is VF @index of this one; NULL: look */
	unsigned index;
	unsigned leave; /* FUNCTION_NO_* */
};

static int read_at(struct vfm *v, struct bdf b, const struct hints *h, struct vfm_function *ret)
{
	struct vfm_function f = {.bdf = b, .index = -1};
	char path[PATH_MAX], phys[BDF_STRLEN + 1];
	struct journal_entry entry;
	uint64_t n;

	if (dev_read_u64(v, b, "vendor", &n) == 0)
		f.vendor = n > UINT16_MAX ? 0 : (uint16_t)n;
	else if (!sysfs_exists(&v->sys, sysfs_pci_path(b, "", path, sizeof(path))))
		return -ENODEV;
	f.device = (uint16_t)dev_read_number(v, b, "device", UINT16_MAX);
	f.class = dev_read_number(v, b, "class", 0xffffff);
	link_read(v, b, "driver", f.driver, sizeof(f.driver));
	if (!(h->leave & FUNCTION_NO_OVERRIDE))
		function_override(v, b, f.driver_override);
	f.iommu_group = group_read(v, b);
	f.numa_node = numa_read(v, b);
	/* Both are its driver's work: no need to look for them at VFs that have none. */
	if (*f.driver || !h->pf)
		first_name(v, b, "vfio-dev", "vfio", f.vfio_cdev, sizeof(f.vfio_cdev));

	if (!h->pf)
		link_read(v, b, "physfn", phys, sizeof(phys));
	if (h->pf) {
		f.kind = VFM_VF;
		f.pf = *h->pf;
		f.index = (int)h->index;
	} else if (*phys && bdf_parse(phys, &f.pf) == 0) {
		f.kind = VFM_VF;
		f.index = vf_index(v, f.pf, b);
	} else if (sysfs_exists(&v->sys, sysfs_pci_path(b, "sriov_totalvfs", path, sizeof(path)))) {
		f.kind = VFM_PF;
		f.total_vfs = dev_read_number(v, b, "sriov_totalvfs", MAX_VFS);
		f.num_vfs = vf_count(v, b);
		f.autoprobe = -1;
		if (dev_read_u64(v, b, "sriov_drivers_autoprobe", &n) == 0 && n < 2)
			f.autoprobe = (int)n;
	}
	if (*f.driver || !h->pf)
		netdev_read(v, &f);
	if (!(h->leave & FUNCTION_NO_RECORD) && journal_read(v, b, JOURNAL_DRIVER, &entry) == 0) {
		f.taken = true;
		memcpy(f.original_driver, entry.value, sizeof(f.original_driver));
	}
	*ret = f;
	return 0;
}

bool function_driver(struct vfm *v, struct bdf b, char ret[static VFM_NAME_MAX])
{
	char path[PATH_MAX];

	link_read(v, b, "driver", ret, VFM_NAME_MAX);
	return *ret || sysfs_exists(&v->sys, sysfs_pci_path(b, "", path, sizeof(path)));
}

void function_override(struct vfm *v, struct bdf b, char ret[static VFM_NAME_MAX])
{
	dev_read_guarded(v, b, "driver_override", ret, VFM_NAME_MAX);
	if (is_unset(ret))
		*ret = '\0';
}

bool function_has_node(struct vfm *v, struct bdf b)
{
	char path[128], cdev[VFM_NAME_MAX];

	snprintf(path, sizeof(path), "dev/vfio/%d", group_read(v, b));
	if (sysfs_exists(&v->sys, path))
		return true;
	first_name(v, b, "vfio-dev", "vfio", cdev, sizeof(cdev));
	snprintf(path, sizeof(path), "dev/vfio/devices/%s", cdev);
	return *cdev && sysfs_exists(&v->sys, path);
}

int function_carrier(struct vfm *v, const struct vfm_function *f)
{
	char attr[VFM_NAME_MAX + 16];
	uint64_t on;
	int r;

	snprintf(attr, sizeof(attr), "net/%s/carrier", f->netdev);
	r = dev_read_u64(v, f->bdf, attr, &on);
	return r < 0 ? r : on == 1;
}

int function_read(struct vfm *v, struct bdf b, struct vfm_function *ret)
{
	return read_at(v, b, &(struct hints){.pf = NULL}, ret);
}

int function_read_vf(
	struct vfm *v, struct bdf b, struct bdf pf, unsigned index, struct vfm_function *ret)
{
	return read_at(v, b, &(struct hints){.pf = &pf, .index = index}, ret);
}

int function_read_some(struct vfm *v, struct bdf b, const struct bdf *pf, unsigned index,
	unsigned leave, struct vfm_function *ret)
{
	return read_at(v, b, &(struct hints){pf, index, leave}, ret);
}
