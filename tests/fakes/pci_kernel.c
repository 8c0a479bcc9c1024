// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/fakes/pci_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEV "sys/bus/pci/devices/"

const struct fake_pf fake_igb = {
	.bdf = {0, 1, 0, 0},
	.ids = "0x8086:0x10c9",
	.class = "0x020000\n",
	.driver = "igb",
	.vf_ids = "0x8086:0x10ca",
	.vf_driver = "igbvf",
	.total = FAKE_TOTAL,
	.offset = 128,
	.stride = 2,
	.netdev = "eth0",
	.ifindex = 5,
	.mac = "52:54:00:00:00:01\n",
	.group = 7,
};

const struct fake_pf fake_igb_domain1 = {
	.bdf = {1, 1, 0, 0},
	.ids = "0x8086:0x10c9",
	.class = "0x020000\n",
	.driver = "igb",
	.vf_ids = "0x8086:0x10ca",
	.vf_driver = "igbvf",
	.total = FAKE_TOTAL,
	.offset = 128,
	.stride = 2,
	.netdev = "eth2",
	.ifindex = 15,
	.mac = "52:54:00:00:01:01\n",
	.group = 30,
};

const struct fake_pf fake_nvme = {
	.bdf = {0, 3, 0, 0},
	.ids = "0x1b36:0x0010",
	.class = "0x010802\n",
	.driver = "nvme",
	.vf_ids = "0x1b36:0x0010",
	.vf_driver = "nvme",
	.total = 4,
	.offset = 1,
	.stride = 1,
	.group = 50,
};

const struct fake_pf fake_switchdev = {
	.bdf = {0, 4, 0, 0},
	.ids = "0x15b3:0x101d",
	.class = "0x020000\n",
	.driver = "mlx5_core",
	.vf_ids = "0x15b3:0x101e",
	.vf_driver = "mlx5_core",
	.total = 64,
	.offset = 2,
	.stride = 1,
	.netdev = "eth3",
	.ifindex = 35,
	.mac = "52:54:00:00:02:01\n",
	.group = 70,
	.devlink = true,
};

const struct fake_pf fake_many = {
	.bdf = {0, 0x40, 0, 0},
	.ids = "0x8086:0x1572",
	.class = "0x020000\n",
	.driver = "i40e",
	.vf_ids = "0x8086:0x154c",
	.vf_driver = "iavf",
	.total = 256,
	.offset = 16,
	.stride = 1,
	.netdev = "eth4",
	.ifindex = 45,
	.mac = "52:54:00:00:03:01\n",
	.group = 200,
};

static void must(int r, const char *what)
{
	if (r < 0) {
		perror(what);
		abort();
	}
}

__attribute__((format(printf, 2, 3))) static char *at(struct pci_kernel *k, const char *fmt, ...)
{
	static char buf[4][512];
	static unsigned next;
	char *p = buf[next++ % 4];
	int n = snprintf(p, sizeof(buf[0]), "%s/", k->root);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p + n, sizeof(buf[0]) - (size_t)n, fmt, ap);
	va_end(ap);
	return p;
}

static void make_parents(char *path)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			must(-1, path);
		*p = '/';
	}
}

void fake_put(struct pci_kernel *k, const char *path, const void *data, size_t len)
{
	char *p = at(k, "%s", path);
	int fd;

	make_parents(p);
	fd = open(p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	must(fd, p);
	must(write(fd, data, len) == (ssize_t)len ? 0 : -1, p);
	close(fd);
}

void fake_puts(struct pci_kernel *k, const char *path, const char *text)
{
	fake_put(k, path, text, strlen(text));
}

__attribute__((format(printf, 3, 4))) static void putf(
	struct pci_kernel *k, const char *text, const char *fmt, ...)
{
	char path[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	fake_puts(k, path, text);
}

void fake_link(struct pci_kernel *k, const char *path, const char *target)
{
	char *p = at(k, "%s", path);

	make_parents(p);
	unlink(p);
	must(symlink(target, p), p);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void fake_remove(struct pci_kernel *k, const char *path)
{
	nftw(at(k, "%s", path), remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

__attribute__((format(printf, 4, 5))) static void get(
	struct pci_kernel *k, char *buf, size_t size, const char *fmt, ...)
{
	char path[256];
	va_list ap;
	ssize_t n;
	int fd;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	fd = open(at(k, "%s", path), O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, buf, size - 1);
	if (fd >= 0)
		close(fd);
	buf[n > 0 ? n : 0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
}

__attribute__((format(printf, 4, 5))) static void get_link(
	struct pci_kernel *k, char *buf, size_t size, const char *fmt, ...)
{
	char path[256], target[256];
	const char *base;
	va_list ap;
	ssize_t n;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	n = readlink(at(k, "%s", path), target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	must(strlen(base) < size ? 0 : -1, base);
	strcpy(buf, base);
}

static void device_add(
	struct pci_kernel *k, const char *bdf, const char *ids, const char *class, int group)
{
	char path[128], target[128], vendor[8], device[8];

	/* The directory before the link, as whoever sees the link looks behind it. */
	sscanf(ids, "%6[^:]:%6s", vendor, device);
	snprintf(path, sizeof(path), "sys/devices/%s", bdf);
	putf(k, vendor, "%s/vendor", path);
	putf(k, device, "%s/device", path);
	putf(k, class, "%s/class", path);
	putf(k, "-1\n", "%s/numa_node", path);
	putf(k, "(null)\n", "%s/driver_override", path);
	if (group >= 0) {
		snprintf(path, sizeof(path), "sys/devices/%s/iommu_group", bdf);
		snprintf(target, sizeof(target), "../../kernel/iommu_groups/%d", group);
		fake_link(k, path, target);
		snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%d/devices/%s", group, bdf);
		snprintf(target, sizeof(target), "../../../../devices/%s", bdf);
		fake_link(k, path, target);
		putf(k, "DMA-FQ\n", "sys/kernel/iommu_groups/%d/type", group);
		putf(k, "0x00000000fee00000 0x00000000feefffff msi\n",
			"sys/kernel/iommu_groups/%d/reserved_regions", group);
	}
	snprintf(path, sizeof(path), DEV "%s", bdf);
	snprintf(target, sizeof(target), "../../../devices/%s", bdf);
	fake_link(k, path, target);
}

struct bdf fake_vf_bdf(const struct fake_pf *pf, unsigned vf)
{
	unsigned id = ((unsigned)pf->bdf.bus << 8 | (unsigned)pf->bdf.dev << 3 | pf->bdf.fn) +
		      pf->offset + vf * pf->stride;

	return (struct bdf){pf->bdf.domain, (uint8_t)(id >> 8), id >> 3 & 0x1f, (uint8_t)(id & 7)};
}

static void vf_add(struct pci_kernel *k, const struct fake_pf *pf, unsigned i)
{
	char vf[BDF_STRLEN], parent[BDF_STRLEN], path[128], target[64];

	bdf_format(pf->bdf, parent);
	bdf_format(fake_vf_bdf(pf, i), vf);
	snprintf(path, sizeof(path), "sys/devices/%s/physfn", vf);
	snprintf(target, sizeof(target), "../%s", parent);
	fake_link(k, path, target);
	device_add(k, vf, pf->vf_ids, pf->class, pf->group + 3 + (int)i);
	snprintf(path, sizeof(path), "sys/devices/%s/virtfn%u", parent, i);
	snprintf(target, sizeof(target), "../%s", vf);
	fake_link(k, path, target);
}

int fake_vf_ifindex(const struct fake_pf *pf, unsigned vf)
{
	return pf->ifindex * 1000 + (int)vf;
}

/* The interface of a VF comes with its own driver and goes with it. */
static void vf_netdev_set(struct pci_kernel *k, const char *bdf, const char *driver)
{
	char path[128], text[32], phys[32];
	const struct fake_pf *pf;
	struct bdf b, parent;

	get_link(k, phys, sizeof(phys), DEV "%s/physfn", bdf);
	if (bdf_parse(phys, &parent) < 0 || bdf_parse(bdf, &b) < 0)
		return;
	snprintf(path, sizeof(path), "sys/devices/%s/net", bdf);
	fake_remove(k, path);
	for (unsigned i = 0; i < k->knobs->n_pfs; i++) {
		pf = k->pf[i];
		if (!bdf_equal(pf->bdf, parent) || !pf->netdev || !driver ||
			strcmp(driver, pf->vf_driver))
			continue;
		for (unsigned vf = 0; vf < pf->total; vf++) {
			if (!bdf_equal(fake_vf_bdf(pf, vf), b))
				continue;
			snprintf(text, sizeof(text), "%d\n", fake_vf_ifindex(pf, vf));
			putf(k, text, "%s/%sv%u/ifindex", path, pf->netdev, vf);
			putf(k, "0x1002\n", "%s/%sv%u/flags", path, pf->netdev, vf);
		}
	}
}

static void driver_set(struct pci_kernel *k, const char *bdf, const char *driver)
{
	char path[128], target[128], group[16];

	vf_netdev_set(k, bdf, driver);

	snprintf(path, sizeof(path), "sys/devices/%s/driver", bdf);
	get_link(k, group, sizeof(group), "sys/devices/%s/iommu_group", bdf);
	if (!driver) {
		fake_remove(k, path);
		snprintf(path, sizeof(path), "dev/vfio/%s", group);
		fake_remove(k, path);
		return;
	}
	snprintf(target, sizeof(target), "../../bus/pci/drivers/%s", driver);
	fake_link(k, path, target);
	if (!strcmp(driver, "vfio-pci") && !k->knobs->no_node)
		putf(k, "", "dev/vfio/%s", group);
}

static void vf_remove(struct pci_kernel *k, unsigned pf, unsigned i)
{
	struct fake_port *port = &k->knobs->pf[pf];
	char vf[BDF_STRLEN], parent[BDF_STRLEN], path[128];

	bdf_format(k->pf[pf]->bdf, parent);
	bdf_format(fake_vf_bdf(k->pf[pf], i), vf);
	driver_set(k, vf, NULL);
	snprintf(path, sizeof(path), "sys/devices/%s/virtfn%u", parent, i);
	fake_remove(k, path);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%d", k->pf[pf]->group + 3 + (int)i);
	fake_remove(k, path);
	snprintf(path, sizeof(path), DEV "%s", vf);
	fake_remove(k, path);
	snprintf(path, sizeof(path), "sys/devices/%s", vf);
	fake_remove(k, path);
	memset(port->mac[i], 0, 6);
	memset(port->hw_addr[i], 0, 6);
	port->tx_share[i] = port->tx_max[i] = 0;
	port->vf[i] = (struct vfm_settings){0};
	port->stats[i] = (struct fake_counters){0};
}

unsigned fake_num_vfs(struct pci_kernel *k, unsigned i)
{
	char text[16], bdf[BDF_STRLEN];
	int n;

	get(k, text, sizeof(text), DEV "%s/sriov_numvfs", bdf_format(k->pf[i]->bdf, bdf));
	n = atoi(text);
	return n < 0 || n > (int)k->pf[i]->total ? k->pf[i]->total : (unsigned)n;
}

void fake_pf_remove(struct pci_kernel *k, unsigned i)
{
	char path[128], bdf[BDF_STRLEN];
	unsigned n = fake_num_vfs(k, i);

	bdf_format(k->pf[i]->bdf, bdf);
	snprintf(path, sizeof(path), DEV "%s", bdf);
	for (unsigned vf = 0; vf < n; vf++)
		vf_remove(k, i, vf);
	driver_set(k, bdf, NULL);
	fake_remove(k, path);
	snprintf(path, sizeof(path), "sys/devices/%s", bdf);
	fake_remove(k, path);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%d", k->pf[i]->group);
	fake_remove(k, path);
}

static int numvfs_store(struct pci_kernel *k, unsigned pf, unsigned n)
{
	char text[16], bdf[BDF_STRLEN], driver[64];
	unsigned now;

	/* One change at a time, however late its links: the store holds the device's lock. */
	while (k->knobs->block_numvfs || k->knobs->late)
		usleep(10000);
	bdf_format(k->pf[pf]->bdf, bdf);
	if (k->knobs->vanish_at_numvfs) {
		fake_pf_remove(k, pf);
		return -ENODEV;
	}
	get_link(k, driver, sizeof(driver), DEV "%s/driver", bdf);
	now = fake_num_vfs(k, pf);
	if (n > k->pf[pf]->total)
		return -ERANGE;
	if (n == now)
		return 0;
	if (strcmp(driver, k->pf[pf]->driver))
		return -ENOENT;
	if (n && now)
		return -EBUSY;
	get(k, text, sizeof(text), DEV "%s/sriov_drivers_autoprobe", bdf);
	k->knobs->autoprobe_at_carve = n && !strcmp(text, "1");
	if (k->knobs->short_count && n > k->knobs->short_count)
		n = k->knobs->short_count;
	snprintf(text, sizeof(text), "%u\n", n);
	putf(k, text, DEV "%s/sriov_numvfs", bdf);
	if (k->knobs->links_missing)
		return 0;
	if (k->knobs->links_delay_ms) {
		k->knobs->late++;
		if (fork())
			return 0;
	}
	if (k->knobs->links_delay_ms)
		usleep(k->knobs->links_delay_ms * 1000);
	for (unsigned i = n; i < now; i++)
		vf_remove(k, pf, i);
	for (unsigned i = now; i < n; i++) {
		vf_add(k, k->pf[pf], i);
		if (k->knobs->autoprobe_at_carve)
			driver_set(k, bdf_format(fake_vf_bdf(k->pf[pf], i), bdf),
				k->pf[pf]->vf_driver);
	}
	if (k->knobs->links_delay_ms) {
		k->knobs->late--;
		_exit(0);
	}
	return 0;
}

static int pf_index(struct pci_kernel *k, const char *name)
{
	char bdf[BDF_STRLEN];

	for (unsigned i = 0; i < k->knobs->n_pfs; i++)
		if (!strcmp(bdf_format(k->pf[i]->bdf, bdf), name))
			return (int)i;
	return -1;
}

/* The driver that knows @ids ("0x8086:0x10ca" of a VF or a PF). */
static const char *driver_by_id(struct pci_kernel *k, const char *ids, bool is_vf)
{
	for (unsigned i = 0; i < k->knobs->n_pfs; i++)
		if (!strcmp(ids, is_vf ? k->pf[i]->vf_ids : k->pf[i]->ids))
			return is_vf ? k->pf[i]->vf_driver : k->pf[i]->driver;
	return strcmp(ids, "0x8086:0x10d3") ? NULL : "e1000e";
}

/* Does the kernel probe it, and which driver takes it? NULL: none. */
static const char *driver_for(
	struct pci_kernel *k, const char *bdf, const char *only, bool *ret_may)
{
	static char override[64];
	char vendor[8], device[8], ids[16], phys[32], on[8];
	const char *driver;

	get(k, override, sizeof(override), DEV "%s/driver_override", bdf);
	get(k, vendor, sizeof(vendor), DEV "%s/vendor", bdf);
	get(k, device, sizeof(device), DEV "%s/device", bdf);
	get_link(k, phys, sizeof(phys), DEV "%s/physfn", bdf);
	get(k, on, sizeof(on), DEV "%s/physfn/sriov_drivers_autoprobe", bdf);
	*ret_may = true;
	if (strcmp(override, "(null)")) {
		if (!strcmp(override, "vfio-pci") && k->knobs->driver_refuses)
			return NULL;
		return !only || !strcmp(only, override) ? override : NULL;
	}
	*ret_may = !*phys || !strcmp(on, "1");
	snprintf(ids, sizeof(ids), "%s:%s", vendor, device);
	driver = driver_by_id(k, ids, *phys);
	return driver && (!only || !strcmp(only, driver)) ? driver : NULL;
}

static int bind_store(struct pci_kernel *k, const char *bdf, const char *only)
{
	char have[64];
	const char *driver;
	bool may;

	get_link(k, have, sizeof(have), DEV "%s/driver", bdf);
	driver = driver_for(k, bdf, only, &may);
	if (only && (!driver || !may))
		return -ENODEV;
	if (!*have && driver && may && access(at(k, "sys/bus/pci/drivers/%s", driver), F_OK) == 0)
		driver_set(k, bdf, driver);
	return 0;
}

static int attribute_store(struct pci_kernel *k, const char *path, const char *text)
{
	char bdf[32], driver[64], attr[64], have[64];
	int pf;

	if (sscanf(path, DEV "%31[^/]/%63s", bdf, attr) == 2) {
		pf = pf_index(k, bdf);
		if (access(at(k, "%s", path), F_OK) < 0)
			return -ENOENT;
		if (!strcmp(attr, "sriov_numvfs"))
			return pf < 0 ? -ENOENT
				      : numvfs_store(k, (unsigned)pf, (unsigned)atoi(text));
		if (!strcmp(attr, "driver_override"))
			putf(k, *text == '\n' ? "(null)\n" : text, "%s", path);
		else if (!strcmp(attr, "sriov_drivers_autoprobe"))
			putf(k, text, "%s", path);
		else
			return -EACCES;
		return 0;
	}
	if (!strcmp(path, "sys/bus/pci/drivers_probe"))
		return bind_store(k, text, NULL);
	if (sscanf(path, "sys/bus/pci/drivers/%63[^/]/%63s", driver, attr) == 2) {
		if (!strcmp(attr, "bind"))
			return bind_store(k, text, driver);
		get_link(k, have, sizeof(have), DEV "%s/driver", text);
		if (strcmp(have, driver))
			return -ENODEV;
		driver_set(k, text, NULL);
		return 0;
	}
	return -ENOENT;
}

static void die(struct pci_kernel *k)
{
	if (k->knobs->kill_pid)
		kill(k->knobs->kill_pid, SIGKILL);
	raise(SIGKILL);
}

/* A record as in /dev/kmsg. */
static void log_append(struct pci_kernel *k, const char *text)
{
	char bdf[BDF_STRLEN];
	FILE *f = fopen(at(k, "dev/kmsg"), "ae");

	must(f ? 0 : -1, "dev/kmsg");
	fprintf(f, "4,100,12345,-;%s %s: %s\n", k->pf[0]->driver, bdf_format(k->pf[0]->bdf, bdf),
		text);
	fclose(f);
}

/* Counts a call; its errno when it is one that has to fail. */
static int call_begin(struct pci_kernel *k)
{
	struct fake_knobs *n = k->knobs;

	n->calls++;
	if (n->kill_at && n->calls == n->kill_at)
		die(k);
	if (n->cancel_at && n->calls == n->cancel_at)
		n->cancel = 1;
	if (n->vanish_at && n->calls == n->vanish_at)
		fake_pf_remove(k, 0);
	if (!n->fail_at || n->calls < n->fail_at || n->calls > n->fail_at + n->fail_for)
		return 0;
	if (n->log)
		log_append(k, n->log);
	return -n->fail_code;
}

static void writer_note(struct fake_knobs *knobs)
{
	for (unsigned i = 0; i < knobs->n_writers; i++)
		if (knobs->writer[i] == getpid())
			return;
	if (knobs->n_writers < sizeof(knobs->writer) / sizeof(*knobs->writer))
		knobs->writer[knobs->n_writers++] = getpid();
}

static int fake_write(
	void *ctx, const struct sysfs *s, const char *path, const char *text, size_t len)
{
	struct pci_kernel *k = ctx;
	int r = call_begin(k);

	k->knobs->writes++;
	k->knobs->changes++;
	writer_note(k->knobs);
	if (r == 0)
		r = attribute_store(k, path, text);
	if (k->knobs->kill_after && k->knobs->calls == k->knobs->kill_after)
		die(k);
	return r;
}

static int fake_load(void *ctx, const char *driver)
{
	struct pci_kernel *k = ctx;
	char path[128];

	if (strcmp(driver, "vfio-pci"))
		return -ENOENT;
	snprintf(path, sizeof(path), "sys/bus/pci/drivers/%s/bind", driver);
	fake_puts(k, path, "");
	return 0;
}

void fake_netdev_flags(struct pci_kernel *k, unsigned i)
{
	const struct fake_pf *pf = k->pf[i];
	bool up = k->knobs->pf[i].up;
	char dir[128], bdf[BDF_STRLEN];

	snprintf(dir, sizeof(dir), DEV "%s/net/%s", bdf_format(pf->bdf, bdf), pf->netdev);
	putf(k, up ? "0x1003\n" : "0x1002\n", "%s/flags", dir);
	putf(k, up ? "1\n" : "", "%s/carrier", dir);
	putf(k, up ? "up\n" : "down\n", "%s/operstate", dir);
}

static int fake_talk(void *ctx, int protocol, void *req, size_t len, unsigned timeout_ms,
	void **ret_reply, size_t *ret_len)
{
	struct pci_kernel *k = ctx;
	int code = call_begin(k);

	k->knobs->changes += fake_is_change(protocol, req);
	fake_answer(k, protocol, req, code, ret_reply, ret_len);
	if (k->knobs->garble_at && k->knobs->calls == k->knobs->garble_at)
		fake_garble(k->knobs->garble, ret_reply, ret_len);
	if (k->knobs->kill_after && k->knobs->calls == k->knobs->kill_after)
		die(k);
	return 0;
}

static const struct vfm_ops fake_ops = {
	.write = fake_write,
	.talk = fake_talk,
	.load = fake_load,
};

void pci_kernel_init(struct pci_kernel *k)
{
	/* In memory: records are synced, which costs a disk more than everything else here. */
	*k = (struct pci_kernel){.root = "/dev/shm/viaduct-pci-XXXXXX"};
	if (!mkdtemp(k->root)) {
		strcpy(k->root, "/tmp/viaduct-pci-XXXXXX");
		must(mkdtemp(k->root) ? 0 : -1, "mkdtemp");
	}
	snprintf(k->run_dir, sizeof(k->run_dir), "%s/run/vf", k->root);
	k->knobs = mmap(
		NULL, sizeof(*k->knobs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(k->knobs == MAP_FAILED ? -1 : 0, "mmap");
	k->pf = k->knobs->plugged;
	k->knobs->unsupported = VFM_BIT(PROTO) | VFM_BIT(MIN_RATE) | VFM_BIT(LINK_STATE) |
				VFM_BIT(RSS_QUERY) | VFM_BIT(NODE_GUID) | VFM_BIT(PORT_GUID);
	k->config = (struct vfm_config){
		.root = k->root,
		.run_dir = k->run_dir,
		.ops = &fake_ops,
		.ops_ctx = k,
		.timeout_ms = 20000,
	};
	fake_puts(k, "sys/bus/pci/drivers/e1000e/bind", "");
	fake_puts(k, "sys/bus/pci/drivers_probe", "");
	fake_puts(k, "dev/kmsg", "");
	fake_puts(k, "proc/sys/kernel/random/boot_id", "boot-one\n");
	device_add(k, "0000:00:1c.0", "0x8086:0x3420", "0x060400\n", 1);
	fake_pf_add(k, &fake_igb);
	device_add(k, "0000:02:00.0", "0x8086:0x10d3", "0x020000\n", 8);
	driver_set(k, "0000:02:00.0", "e1000e");
	fake_puts(k, DEV "0000:02:00.0/net/eth1/ifindex", "6\n");
	fake_puts(k, DEV "0000:02:00.0/net/eth1/flags", "0x1002\n");
}

unsigned fake_pf_add(struct pci_kernel *k, const struct fake_pf *pf)
{
	char dir[64], bdf[BDF_STRLEN], text[32];
	unsigned i = k->knobs->n_pfs++;

	must(i < FAKE_MAX_PFS ? 0 : -1, "too many PFs");
	k->pf[i] = pf;
	bdf_format(pf->bdf, bdf);
	putf(k, "", "sys/bus/pci/drivers/%s/bind", pf->driver);
	putf(k, "", "sys/bus/pci/drivers/%s/bind", pf->vf_driver);
	device_add(k, bdf, pf->ids, pf->class, pf->group);
	driver_set(k, bdf, pf->driver);
	snprintf(dir, sizeof(dir), DEV "%s", bdf);
	snprintf(text, sizeof(text), "%u\n", pf->total);
	putf(k, text, "%s/sriov_totalvfs", dir);
	putf(k, "0\n", "%s/sriov_numvfs", dir);
	putf(k, "1\n", "%s/sriov_drivers_autoprobe", dir);
	snprintf(text, sizeof(text), "%u\n", pf->offset);
	putf(k, text, "%s/sriov_offset", dir);
	snprintf(text, sizeof(text), "%u\n", pf->stride);
	putf(k, text, "%s/sriov_stride", dir);
	snprintf(text, sizeof(text), "%.4s\n", strchr(pf->vf_ids, ':') + 3);
	putf(k, text, "%s/sriov_vf_device", dir);
	if (!pf->netdev)
		return i;
	snprintf(text, sizeof(text), "%d\n", pf->ifindex);
	putf(k, text, "%s/net/%s/ifindex", dir, pf->netdev);
	putf(k, pf->mac, "%s/net/%s/address", dir, pf->netdev);
	if (pf->devlink)
		putf(k, "020000deadbeef\n", "%s/net/%s/phys_switch_id", dir, pf->netdev);
	fake_netdev_flags(k, i);
	return i;
}

void pci_kernel_finish(struct pci_kernel *k)
{
	while (k->knobs->late)
		usleep(1000);
	fake_remove(k, "");
	munmap(k->knobs, sizeof(*k->knobs));
}

void fake_hold(struct pci_kernel *k, int pid, const char *comm, const char *node)
{
	char path[64];

	putf(k, comm, "proc/%d/comm", pid);
	snprintf(path, sizeof(path), "proc/%d/fd/3", pid);
	fake_link(k, path, node);
}

void fake_unhold(struct pci_kernel *k, int pid)
{
	char path[64];

	snprintf(path, sizeof(path), "proc/%d", pid);
	fake_remove(k, path);
}

static void settings_print(FILE *f, const struct vfm_settings *s)
{
	/* 802.1Q is what a VF without a VLAN has, whether or not somebody said so. */
	fprintf(f, " vlan %u.%u%s rate %u-%u spoofchk %d link %u rss %d trust %d\n", s->vlan,
		s->qos, s->proto == VFM_PROTO_8021AD ? "ad" : "", s->min_rate, s->max_rate,
		s->spoofchk, s->link_state, s->rss_query, s->trust);
}

static void vf_print(struct pci_kernel *k, FILE *f, unsigned pf, unsigned i)
{
	const struct fake_port *port = &k->knobs->pf[pf];
	char driver[64], override[64], bdf[BDF_STRLEN];

	bdf_format(fake_vf_bdf(k->pf[pf], i), bdf);
	if (access(at(k, DEV "%s", bdf), F_OK) < 0)
		return;
	get_link(k, driver, sizeof(driver), DEV "%s/driver", bdf);
	get(k, override, sizeof(override), DEV "%s/driver_override", bdf);
	fprintf(f, "%s driver '%s' override '%s' record %s mac ", bdf, driver, override,
		access(at(k, "run/vf/%s.driver", bdf), F_OK) ? "no" : "yes");
	for (int j = 0; j < 6; j++)
		fprintf(f, "%02x", port->mac[i][j]);
	if (k->pf[pf]->devlink) {
		fputs(" hw_addr ", f);
		for (int j = 0; j < 6; j++)
			fprintf(f, "%02x", port->hw_addr[i][j]);
		fprintf(f, " tx %llu-%llu", (unsigned long long)port->tx_share[i],
			(unsigned long long)port->tx_max[i]);
	}
	settings_print(f, &port->vf[i]);
}

char *fake_state(struct pci_kernel *k)
{
	char *text = NULL, a[64], b[64], bdf[BDF_STRLEN];
	size_t len;
	FILE *f = open_memstream(&text, &len);

	for (unsigned pf = 0; pf < k->knobs->n_pfs; pf++) {
		const struct fake_pf *p = k->pf[pf];

		bdf_format(p->bdf, bdf);
		get(k, a, sizeof(a), DEV "%s/sriov_numvfs", bdf);
		get(k, b, sizeof(b), DEV "%s/sriov_drivers_autoprobe", bdf);
		if (pf)
			fprintf(f, "%s ", bdf);
		fprintf(f, "numvfs %s autoprobe %s", a, b);
		if (p->netdev)
			fprintf(f, " %s %s", p->netdev, k->knobs->pf[pf].up ? "up" : "down");
		if (p->devlink)
			fprintf(f, " eswitch %u", k->knobs->pf[pf].eswitch);
		fputc('\n', f);
		for (unsigned i = 0; i < p->total; i++)
			vf_print(k, f, pf, i);
	}
	fclose(f);
	return text;
}
