// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vf-manager/lease.h"
#include "vf-manager/usage_parts.h"

#define CLASS_STORAGE 0x01
#define CLASS_NETWORK 0x02
#define CLASS_IB      0x0207 /* may have no interface of its own */

/* Device nodes whose openers use the function. */
struct node {
	char path[96]; /* "/dev/vfio/12" */
	size_t of;     /* index of the function */
	bool group;    /* a VFIO group, which one process at a time can open */
	bool vfio;
};

/* Everything that is asked once, however many functions there are. */
struct look {
	struct vfm *v;
	const struct bdf *b;
	size_t n;
	struct node *node;
	size_t n_nodes;
	struct holder_table *holders;
	struct disk *disk;
	int n_disks;
	struct address *address;
	int n_addresses;
	struct claim *claim;
	struct vfm_lease *lease;
	int n_leases;
};

static void look_finish(struct look *l)
{
	free(l->node);
	holder_table_destroy(l->holders);
	free(l->disk);
	free(l->address);
	free(l->claim);
	free(l->lease);
}

__attribute__((format(printf, 3, 4))) static void add(char *buf, size_t size, const char *fmt, ...)
{
	size_t n = strlen(buf);
	va_list ap;

	if (n && n + 2 < size)
		n += (size_t)snprintf(buf + n, size - n, ", ");
	va_start(ap, fmt);
	vsnprintf(buf + n, size - n, fmt, ap);
	va_end(ap);
}

#define SAY(u, ...)  add((u)->text, sizeof((u)->text), __VA_ARGS__)
#define COST(u, ...) add((u)->consequence, sizeof((u)->consequence), __VA_ARGS__)

static bool exists(struct vfm *v, struct bdf b, const char *attr)
{
	char path[PATH_MAX];

	return sysfs_exists(&v->sys, sysfs_pci_path(b, attr, path, sizeof(path)));
}

/* Names in a directory of the function; their number, or 0. */
static int names_read(struct vfm *v, struct bdf b, const char *attr, char ***ret)
{
	char path[PATH_MAX];
	int r = sysfs_list(&v->sys, sysfs_pci_path(b, attr, path, sizeof(path)), ret);

	return r < 0 ? 0 : r;
}

static unsigned class_read(struct vfm *v, struct bdf b)
{
	uint64_t n;

	return dev_read_u64(v, b, "class", &n) < 0 || n > 0xffffff ? 0 : (unsigned)n;
}

static void node_add(
	struct look *l, size_t of, bool vfio, bool group, const char *dir, const char *name)
{
	struct node *node = &l->node[l->n_nodes];
	int n;

	*node = (struct node){.of = of, .vfio = vfio, .group = group};
	n = snprintf(node->path, sizeof(node->path), "%s%s", dir, name);
	if (n > 0 && (size_t)n < sizeof(node->path) && name_is_plain(name) &&
		sysfs_exists(&l->v->sys, node->path + 1))
		l->n_nodes++;
}

#define NODES_EACH 8 /* per function, beside its disks */

static void nodes_of(struct look *l, size_t i)
{
	static const char *const dir[] = {"vfio-dev", "uio"};
	char path[PATH_MAX], group[32];

	for (size_t d = 0; d < ARRAY_SIZE(dir); d++) {
		_cleanup_names_ char **names = NULL;
		int n = names_read(l->v, l->b[i], dir[d], &names);

		for (int j = 0; j < n && j < 3; j++)
			node_add(l, i, d == 0, false, d == 0 ? "/dev/vfio/devices/" : "/dev/",
				names[j]);
	}
	if (sysfs_link_name(&l->v->sys, sysfs_pci_path(l->b[i], "iommu_group", path, sizeof(path)),
		    group, sizeof(group)) < 0)
		return;
	node_add(l, i, true, true, "/dev/vfio/", group);
	node_add(l, i, true, true, "/dev/vfio/noiommu-", group);
}

static int nodes_read(struct look *l)
{
	size_t max = l->n * NODES_EACH + (size_t)l->n_disks;
	bool vfio = true;

	l->node = calloc(max + 1, sizeof(*l->node));
	if (!l->node)
		return -ENOMEM;
	for (size_t i = 0; i < l->n; i++)
		nodes_of(l, i);
	for (int d = 0; d < l->n_disks; d++) {
		for (size_t i = 0; i < l->n; i++)
			if (bdf_equal(l->b[i], l->disk[d].bdf))
				node_add(l, i, false, false, "/dev/", l->disk[d].node);
	}
	for (size_t i = 0; i < l->n_nodes; i++)
		vfio &= l->node[i].vfio;
	/* No /proc: then no holder is seen, and the group has to tell. */
	if (l->n_nodes && holder_table_create(&l->v->sys, vfio ? "/dev/vfio/" : "/dev/",
				  &l->holders) == -ENOMEM)
		return -ENOMEM;
	return 0;
}

/* A group has one opener at a time, and stays open as long as a device fd of it. */
static bool group_is_busy(struct look *l, const struct node *node)
{
	_cleanup_fd_ int fd =
		openat(l->v->sys.root_fd, node->path + 1, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	return fd < 0 && errno == EBUSY;
}

static void look_nodes(struct look *l, size_t i, struct vfm_usage *u)
{
	for (size_t j = 0; j < l->n_nodes; j++) {
		const struct node *node = &l->node[j];
		const struct holder *h = holder_table_find(l->holders, node->path);

		if (node->of != i || (node->vfio && u->uses & VFM_USE_VFIO))
			continue;
		if (h && node->vfio) {
			u->uses |= VFM_USE_VFIO;
			u->holder = *h;
			SAY(u, "open in VFIO by %s (process %d)", h->comm, (int)h->pid);
			COST(u, "%s (process %d) loses its device", h->comm, (int)h->pid);
		} else if (h) {
			u->uses |= VFM_USE_CHILD;
			SAY(u, "%s is open by %s (process %d)", node->path, h->comm, (int)h->pid);
			COST(u, "%s (process %d) loses %s", h->comm, (int)h->pid, node->path);
		} else if (node->group && group_is_busy(l, node)) {
			u->uses |= VFM_USE_VFIO;
			SAY(u, "open in VFIO by a process that /proc does not show (another PID "
			       "namespace, or a device fd passed on; run as root)");
			COST(u, "whoever has it open loses it");
		}
	}
}

/* Names of interfaces can be anything: none may hide a use, and none harm a terminal. */
static void look_link(struct look *l, size_t i, const char *name, struct vfm_usage *u)
{
	_cleanup_names_ char **names = NULL;
	char netdev[VFM_NAME_MAX], of[VFM_NAME_MAX];
	char attr[VFM_NAME_MAX + 32], path[PATH_MAX], master[VFM_NAME_MAX];
	uint64_t ifindex;

	copy_printable(netdev, sizeof(netdev), name);
	snprintf(attr, sizeof(attr), "net/%s/ifindex", name);
	if (dev_read_u64(l->v, l->b[i], attr, &ifindex) == 0) {
		for (int a = 0; a < l->n_addresses; a++) {
			if ((uint64_t)l->address[a].ifindex != ifindex)
				continue;
			u->uses |= VFM_USE_ADDRESS;
			SAY(u, "its interface %s has the address %s", netdev, l->address[a].text);
			COST(u, "the host loses the address %s", l->address[a].text);
		}
	}
	snprintf(attr, sizeof(attr), "net/%s/master", name);
	if (sysfs_link_name(&l->v->sys, sysfs_pci_path(l->b[i], attr, path, sizeof(path)), master,
		    sizeof(master)) >= 0) {
		u->uses |= VFM_USE_MASTER;
		copy_printable(of, sizeof(of), master);
		SAY(u, "its interface %s is in %s", netdev, of);
		COST(u, "%s loses %s", of, netdev);
	}
	snprintf(attr, sizeof(attr), "net/%s", name);
	names_read(l->v, l->b[i], attr, &names);
	for (char **entry = names; entry && *entry; entry++) {
		const char *upper = *entry + strlen("upper_");

		/* The master is an upper one too. */
		if (strncmp(*entry, "upper_", 6) ||
			(u->uses & VFM_USE_MASTER && !strcmp(upper, master)))
			continue;
		u->uses |= VFM_USE_MASTER;
		copy_printable(of, sizeof(of), upper);
		SAY(u, "%s is on its interface %s", of, netdev);
		COST(u, "%s goes", of);
	}
}

static void look_network(struct look *l, size_t i, struct vfm_usage *u)
{
	_cleanup_names_ char **names = NULL;
	char path[PATH_MAX], driver[VFM_NAME_MAX];
	unsigned class = class_read(l->v, l->b[i]);

	if (names_read(l->v, l->b[i], "net", &names)) {
		for (char **name = names; *name; name++)
			look_link(l, i, *name, u);
		return;
	}
	/* Every driver of a network card makes an interface: when none is here, it is elsewhere. */
	if (class >> 16 != CLASS_NETWORK || class >> 8 == CLASS_IB ||
		sysfs_link_name(&l->v->sys, sysfs_pci_path(l->b[i], "driver", path, sizeof(path)),
			driver, sizeof(driver)) < 0 ||
		!name_is_plain(driver) || driver_takes_any(l->v, driver))
		return;
	u->uses |= VFM_USE_NETNS;
	SAY(u, "its interface is in another network namespace (driver %s has it, none is here)",
		driver);
	COST(u, "that network namespace loses its interface");
}

/* Whoever makes a vDPA device chooses its name. */
static bool vdpa_is_on(struct vfm *v, struct bdf b, const char *name)
{
	char path[PATH_MAX], target[PATH_MAX], bdf[BDF_STRLEN], part[BDF_STRLEN + 2];
	ssize_t n;

	snprintf(path, sizeof(path), "sys/bus/vdpa/devices/%s", name);
	n = readlinkat(v->sys.root_fd, path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	snprintf(part, sizeof(part), "/%s/", bdf_format(b, bdf));
	return strstr(target, part);
}

static void look_children(struct look *l, size_t i, struct vfm_usage *u)
{
	_cleanup_names_ char **rdma = NULL, **vdpa = NULL;
	char shown[VFM_NAME_MAX];

	names_read(l->v, l->b[i], "infiniband", &rdma);
	for (char **name = rdma; name && *name; name++) {
		copy_printable(shown, sizeof(shown), *name);
		u->uses |= VFM_USE_CHILD;
		SAY(u, "the RDMA device %s is on it", shown);
		COST(u, "the RDMA device %s goes", shown);
	}
	sysfs_list(&l->v->sys, "sys/bus/vdpa/devices", &vdpa);
	for (char **name = vdpa; name && *name; name++) {
		if (!vdpa_is_on(l->v, l->b[i], *name))
			continue;
		copy_printable(shown, sizeof(shown), *name);
		u->uses |= VFM_USE_CHILD;
		SAY(u, "the vDPA device %s is on it", shown);
		COST(u, "the vDPA device %s goes", shown);
	}
	for (int d = 0; d < l->n_disks; d++) {
		char use[160];

		if (!bdf_equal(l->disk[d].bdf, l->b[i]))
			continue;
		disk_use(l->v, &l->disk[d], use, sizeof(use));
		if (!*use)
			continue;
		u->uses |= VFM_USE_CHILD;
		SAY(u, "its disk %s is %s", l->disk[d].name, use);
		COST(u, "the disk %s goes while it is %s", l->disk[d].name, use);
	}
}

static void look_lease(struct look *l, size_t i, struct vfm_usage *u)
{
	for (int j = 0; j < l->n_leases; j++) {
		const struct vfm_lease *lease = &l->lease[j];
		char who[VFM_LEASE_WHO_MAX];

		if (!bdf_equal(lease->bdf, l->b[i]) || !lease->held || lease->ours)
			continue;
		u->uses |= VFM_USE_LEASE;
		if (!u->holder.pid) {
			u->holder.pid = lease->pid;
			snprintf(u->holder.comm, sizeof(u->holder.comm), "%.31s", lease->owner);
		}
		vfm_lease_who(lease, who);
		SAY(u, "leased by %s", who);
		COST(u, "%s loses what it leased", who);
	}
}

static int look_read(struct look *l, struct err *e)
{
	bool interfaces = false, storage = false;
	int r;

	for (size_t i = 0; i < l->n; i++) {
		interfaces |= exists(l->v, l->b[i], "net");
		storage |= class_read(l->v, l->b[i]) >> 16 == CLASS_STORAGE;
	}
	l->claim = calloc(l->n + 1, sizeof(*l->claim));
	if (!l->claim)
		return err_sys(e, ENOMEM, "see who uses it");
	claims_read(l->v, l->b, l->n, l->claim);
	if (storage) {
		l->n_disks = disks_read(l->v, l->b, l->n, &l->disk);
		if (l->n_disks < 0)
			return err_sys(e, -l->n_disks, "read the disks in /sys/class/block");
	}
	r = nodes_read(l);
	if (r < 0)
		return err_sys(e, -r, "see who uses it");
	if (interfaces) {
		l->n_addresses = addresses_read(l->v, &l->address, e);
		if (l->n_addresses < 0)
			return l->n_addresses;
	}
	/* Without root the leases are not to be seen, and nothing can be changed either. */
	l->n_leases = vfm_lease_list(l->v, &l->lease, NULL);
	return 0;
}

static void usage_of(struct look *l, size_t i, struct vfm_usage *ret)
{
	struct vfm_usage u = {0};

	if (exists(l->v, l->b[i], "")) {
		look_nodes(l, i, &u);
		look_network(l, i, &u);
		look_lease(l, i, &u);
		look_children(l, i, &u);
		if (*l->claim[i].text) {
			u.uses |= VFM_USE_CLAIM;
			SAY(&u, "%s", l->claim[i].text);
			COST(&u, "whoever has it there loses it");
		}
	}
	*ret = u;
}

int vfm_usage_many(
	struct vfm *v, const struct bdf *b, size_t n, struct vfm_usage *ret, struct err *e)
{
	_cleanup_(look_finish) struct look l = {.v = v, .b = b, .n = n};
	int r = look_read(&l, e);

	for (size_t i = 0; r == 0 && i < n; i++)
		usage_of(&l, i, &ret[i]);
	return r;
}

int vfm_usage(struct vfm *v, struct bdf b, struct vfm_usage *ret, struct err *e)
{
	char name[BDF_STRLEN];

	if (!exists(v, b, ""))
		return err_set(e, ENODEV, "%s: no such PCI function ('viaduct vf list' shows them)",
			bdf_format(b, name));
	return vfm_usage_many(v, &b, 1, ret, e);
}

int vfm_refuse_if_used(struct vfm *v, struct bdf b, const char *doing, bool force, struct err *e)
{
	char name[BDF_STRLEN];
	struct vfm_usage u = {0};
	int r = vfm_usage(v, b, &u, e);

	bdf_format(b, name);
	if (r == -ENODEV)
		return 0;
	if (r < 0)
		return err_wrap(e, r, "%s: is %s in use?", doing, name);
	if (!u.uses)
		return 0;
	if (!force)
		return err_set(e, EBUSY,
			"%s: %s is in use: %s; end that first, or say --force and %s", doing, name,
			u.text, u.consequence);
	vfm_note(v, "%s: forced though %s: %s", name, u.text, u.consequence);
	return 0;
}
