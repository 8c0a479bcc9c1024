// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pci/pci.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"

#define CLASS_BRIDGE 0x06 /* base class: PCI Code and ID Assignment 1.11 §1.7 */

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

static void link_read(struct vfm *v, struct bdf b, const char *attr, char *buf, size_t size)
{
	char path[PATH_MAX];

	if (sysfs_link_name(&v->sys, sysfs_pci_path(b, attr, path, sizeof(path)), buf, size) < 0 ||
		!name_is_plain(buf))
		*buf = '\0';
}

static unsigned number_read(struct vfm *v, struct bdf b, const char *attr, unsigned max)
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

static void netdev_read(struct vfm *v, struct vfm_function *f)
{
	char attr[VFM_NAME_MAX + 32], mac[32];
	uint64_t n;

	first_name(v, f->bdf, "net", "", f->netdev, sizeof(f->netdev));
	if (!*f->netdev)
		return;
	snprintf(attr, sizeof(attr), "net/%s/ifindex", f->netdev);
	f->ifindex = (int)number_read(v, f->bdf, attr, INT_MAX);
	snprintf(attr, sizeof(attr), "net/%s/operstate", f->netdev);
	dev_read_text(v, f->bdf, attr, f->link, sizeof(f->link));
	snprintf(attr, sizeof(attr), "net/%s/flags", f->netdev);
	f->admin_up = dev_read_u64(v, f->bdf, attr, &n) == 0 && (n & 1);
	snprintf(attr, sizeof(attr), "net/%s/address", f->netdev);
	dev_read_text(v, f->bdf, attr, mac, sizeof(mac));
	f->has_mac = f->kind != VFM_VF && mac_parse(mac, f->mac);
}

/* libpci wants this never to return. Only a damaged pci.ids gets here. */
static void __attribute__((noreturn, format(printf, 1, 2))) ids_error(char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error("libpci: %s (reinstall the package pci.ids)", text);
	exit(1);
}

static void ids_silent(char *fmt, ...)
{
}

static void name_lookup(struct vfm *v, struct vfm_function *f)
{
	char buf[128];
	const char *s;

	if (!v->ids) {
		/* No pci_init(), which would set these, scan for a bus, and exit without one. */
		v->ids = pci_alloc();
		if (!v->ids)
			return;
		v->ids->error = ids_error;
		v->ids->warning = v->ids->debug = ids_silent;
	}
	/* libudev's hwdb holds the same file, and libpci leaks a context for each name not in it. */
	s = pci_lookup_name(v->ids, buf, sizeof(buf),
		PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE | PCI_LOOKUP_NO_NUMBERS | PCI_LOOKUP_NO_HWDB,
		f->vendor, f->device);
	snprintf(f->name, sizeof(f->name), "%s", s ? s : "");
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

/* What needs neither /proc nor netlink nor pci.ids. */
int function_read(struct vfm *v, struct bdf b, struct vfm_function *ret)
{
	struct vfm_function f = {.bdf = b, .index = -1};
	char path[PATH_MAX], phys[BDF_STRLEN + 1];
	struct journal_entry entry;

	if (!sysfs_exists(&v->sys, sysfs_pci_path(b, "", path, sizeof(path))))
		return -ENODEV;
	f.vendor = (uint16_t)number_read(v, b, "vendor", UINT16_MAX);
	f.device = (uint16_t)number_read(v, b, "device", UINT16_MAX);
	f.class = number_read(v, b, "class", 0xffffff);
	link_read(v, b, "driver", f.driver, sizeof(f.driver));
	dev_read_text(v, b, "driver_override", f.driver_override, sizeof(f.driver_override));
	if (is_unset(f.driver_override))
		f.driver_override[0] = '\0';
	f.iommu_group = group_read(v, b);
	f.numa_node = numa_read(v, b);
	first_name(v, b, "vfio-dev", "vfio", f.vfio_cdev, sizeof(f.vfio_cdev));

	link_read(v, b, "physfn", phys, sizeof(phys));
	if (*phys && bdf_parse(phys, &f.pf) == 0) {
		f.kind = VFM_VF;
		f.index = vf_index(v, f.pf, b);
	} else if (sysfs_exists(&v->sys, sysfs_pci_path(b, "sriov_totalvfs", path, sizeof(path)))) {
		f.kind = VFM_PF;
		f.total_vfs = number_read(v, b, "sriov_totalvfs", MAX_VFS);
		f.num_vfs = vf_count(v, b);
		f.autoprobe = number_read(v, b, "sriov_drivers_autoprobe", 1) == 1;
	}
	netdev_read(v, &f);
	if (journal_read(v, b, JOURNAL_DRIVER, &entry) == 0) {
		f.taken = true;
		memcpy(f.original_driver, entry.value, sizeof(f.original_driver));
	}
	*ret = f;
	return 0;
}

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

/* The addresses the PF gives its VFs: @f is the PF, followed by @n of its VFs. */
static void vf_macs_read(struct vfm *v, struct vfm_function *f, size_t n)
{
	_cleanup_free_ struct vfm_settings *attr = NULL;
	unsigned max = 0;

	for (size_t i = 1; i <= n; i++)
		max = f[i].index >= (int)max ? (unsigned)f[i].index + 1 : max;
	attr = calloc(max ? max : 1, sizeof(*attr));
	if (!attr || !max || !f->ifindex || link_get_vfs(v, f->ifindex, attr, max, NULL) < 0)
		return;
	for (size_t i = 1; i <= n; i++) {
		if (f[i].index < 0)
			continue;
		f[i].has_mac = attr[f[i].index].set & VFM_BIT(MAC);
		memcpy(f[i].mac, attr[f[i].index].mac, 6);
	}
}

struct list {
	struct vfm_function *v;
	size_t n, cap;
};

static int list_add(struct vfm *v, struct list *l, struct bdf b)
{
	struct vfm_function f;

	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		void *p = realloc(l->v, cap * sizeof(*l->v));

		if (!p)
			return -ENOMEM;
		l->v = p;
		l->cap = cap;
	}
	/* Gone since its name was read: not an error. */
	if (function_read(v, b, &f) < 0)
		return 0;
	if (function_holder(v, &f, &f.holder) <= 0)
		f.holder.pid = 0;
	name_lookup(v, &f);
	l->v[l->n++] = f;
	return 0;
}

static int list_add_pf(struct vfm *v, struct list *l, struct bdf pf)
{
	size_t at = l->n;
	unsigned found = 0, count;
	int r = list_add(v, l, pf);

	if (r < 0 || l->n == at)
		return r;
	/* Links may have gaps while a carve is under way: look no further than the device has. */
	count = l->v[at].num_vfs;
	for (unsigned i = 0; found < count && i < MAX_VFS && i < l->v[at].total_vfs; i++) {
		struct bdf b;

		if (vf_bdf(v, pf, i, &b) < 0)
			continue;
		found++;
		r = list_add(v, l, b);
		if (r < 0)
			return r;
	}
	vf_macs_read(v, &l->v[at], l->n - at - 1);
	return 0;
}

static int bdf_cmp(const void *a, const void *b)
{
	const struct bdf *x = a, *y = b;

	if (x->domain != y->domain)
		return x->domain < y->domain ? -1 : 1;
	return (int)bdf_rid(*x) - (int)bdf_rid(*y);
}

int functions_list(struct vfm *v, struct bdf **ret)
{
	_cleanup_names_ char **names = NULL;
	struct bdf *all;
	int r, n = 0;

	r = sysfs_list(&v->sys, "sys/bus/pci/devices", &names);
	if (r < 0)
		return r;
	all = calloc((size_t)r + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (char **name = names; *name; name++) {
		if (bdf_parse(*name, &all[n]) == 0)
			n++;
	}
	qsort(all, (size_t)n, sizeof(*all), bdf_cmp);
	*ret = all;
	return n;
}

int vfm_list(struct vfm *v, unsigned flags, struct vfm_function **ret, struct err *e)
{
	_cleanup_free_ struct bdf *all = NULL;
	struct list l = {0};
	int n, r = 0;

	n = functions_list(v, &all);
	if (n < 0)
		return err_sys(
			e, -n, "list PCI devices in /sys/bus/pci/devices (is sysfs mounted?)");
	for (int i = 0; i < n && r >= 0; i++) {
		char path[PATH_MAX];

		if (sysfs_exists(&v->sys, sysfs_pci_path(all[i], "physfn", path, sizeof(path))))
			continue; /* with its PF */
		if (sysfs_exists(
			    &v->sys, sysfs_pci_path(all[i], "sriov_totalvfs", path, sizeof(path))))
			r = list_add_pf(v, &l, all[i]);
		else if ((flags & VFM_LIST_ALL) &&
			 number_read(v, all[i], "class", 0xffffff) >> 16 != CLASS_BRIDGE)
			r = list_add(v, &l, all[i]);
	}
	if (r < 0) {
		free(l.v);
		return err_sys(e, -r, "list PCI devices");
	}
	*ret = l.v;
	return (int)l.n;
}

int vfm_show(struct vfm *v, struct bdf b, struct vfm_function *ret, struct err *e)
{
	char name[BDF_STRLEN];
	struct vfm_function f;

	if (function_read(v, b, &f) < 0)
		return err_set(e, ENODEV, "%s: no such PCI function ('viaduct vf list' shows them)",
			bdf_format(b, name));
	if (function_holder(v, &f, &f.holder) <= 0)
		f.holder.pid = 0;
	name_lookup(v, &f);
	if (f.kind == VFM_VF && f.index >= 0) {
		struct vfm_function pair[2] = {{.ifindex = 0}, f};

		if (function_read(v, f.pf, &pair[0]) == 0)
			vf_macs_read(v, pair, 1);
		f = pair[1];
	}
	*ret = f;
	return 0;
}
