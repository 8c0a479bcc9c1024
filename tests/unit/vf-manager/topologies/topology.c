// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/vf-manager/topologies/topology.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/pci_regs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bdf.h"
#include "common/bytes.h"
#include "common/cleanup.h"

#define FUNCTIONS_MAX 8192
#define WORDS_MAX     24
#define CONFIG_MAX    4096

/* One function while the file is read; written when the next one begins. */
struct function {
	struct bdf bdf;
	char name[BDF_STRLEN];
	char dir[512]; /* below the root */
	unsigned vendor, device, class;
	int group;
	uint8_t config[CONFIG_MAX];
	size_t size;      /* 0: as the capabilities have it */
	size_t std, next; /* the last capability's link, where the next one goes */
	size_t ext_last, ext_next;
	bool express;
	char driver[64], net[64];
};

struct maker {
	const char *root;
	unsigned line;
	struct function *f; /* NULL: none yet */
	size_t n;
	struct known {
		struct bdf bdf;
		char dir[512];
	} * known;
	unsigned ifindex;
};

__attribute__((format(printf, 2, 3), noreturn)) static void die(
	const struct maker *m, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "topology, line %u: ", m->line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

static void make_parents(char *path)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST) {
			perror(path);
			abort();
		}
		*p = '/';
	}
}

__attribute__((format(printf, 4, 0))) static void path_of(
	const struct maker *m, char *buf, size_t size, const char *fmt, va_list ap)
{
	size_t n = (size_t)snprintf(buf, size, "%s/", m->root);

	if ((size_t)vsnprintf(buf + n, size - n, fmt, ap) >= size - n)
		die(m, "path too long");
	make_parents(buf);
}

/* Write @len bytes to the file whose path follows; @flags 0 or O_APPEND. */
__attribute__((format(printf, 5, 6))) static void put(
	const struct maker *m, const void *data, size_t len, int flags, const char *fmt, ...)
{
	char path[1024];
	va_list ap;
	int fd;

	va_start(ap, fmt);
	path_of(m, path, sizeof(path), fmt, ap);
	va_end(ap);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (flags ? flags : O_TRUNC), 0644);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		die(m, "%s: %s", path, strerror(errno));
	close(fd);
}

#define PUTS(m, text, ...) put(m, text, strlen(text), 0, __VA_ARGS__)

/* A link whose target is below the root, relative as sysfs makes them. */
__attribute__((format(printf, 3, 4))) static void put_link(
	const struct maker *m, const char *target, const char *fmt, ...)
{
	char path[1024], up[1024] = "";
	size_t n = 0;
	va_list ap;

	va_start(ap, fmt);
	path_of(m, path, sizeof(path), fmt, ap);
	va_end(ap);
	for (const char *p = path + strlen(m->root) + 1; *p; p++) {
		if (*p == '/')
			n += (size_t)snprintf(up + n, sizeof(up) - n, "../");
	}
	snprintf(up + n, sizeof(up) - n, "%s", target);
	unlink(path);
	if (symlink(up, path) < 0)
		die(m, "%s: %s", path, strerror(errno));
}

/* --- config space --- */

static void std_cap_add(struct maker *m, uint8_t id, const void *body, size_t len)
{
	struct function *f = m->f;

	if (f->next + 2 + len > 256)
		die(m, "no room for capability %#x", id);
	f->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	f->config[f->std] = (uint8_t)f->next;
	f->config[f->next] = id;
	memcpy(f->config + f->next + 2, body, len);
	f->std = f->next + 1;
	f->next = (f->next + 2 + len + 3) & ~(size_t)3;
}

static void ext_cap_add(struct maker *m, unsigned id, const void *body, size_t len)
{
	struct function *f = m->f;

	if (f->ext_last)
		le_store(f->config + f->ext_last, 4,
			le_load(f->config + f->ext_last, 4) | f->ext_next << 20);
	le_store(f->config + f->ext_next, 4, id | 1u << 16);
	memcpy(f->config + f->ext_next + 4, body, len);
	f->ext_last = f->ext_next;
	f->ext_next += (4 + len + 15) & ~(size_t)15;
}

static bool has_word(char **w, int n, const char *word)
{
	for (int i = 0; i < n; i++) {
		if (!strcmp(w[i], word))
			return true;
	}
	return false;
}

static void exp_add(struct maker *m, char **w, int n)
{
	static const struct {
		const char *word;
		unsigned type;
	} types[] = {{"endpoint", PCI_EXP_TYPE_ENDPOINT}, {"legacy", PCI_EXP_TYPE_LEG_END},
		{"root", PCI_EXP_TYPE_ROOT_PORT}, {"up", PCI_EXP_TYPE_UPSTREAM},
		{"down", PCI_EXP_TYPE_DOWNSTREAM}, {"pcie-pci", PCI_EXP_TYPE_PCI_BRIDGE},
		{"pci-pcie", PCI_EXP_TYPE_PCIE_BRIDGE}, {"rcie", PCI_EXP_TYPE_RC_END}};
	uint8_t cap[0x3c] = {0};
	size_t i = 0;

	while (i < ARRAY_SIZE(types) && (n < 1 || strcmp(types[i].word, w[0])))
		i++;
	if (i == ARRAY_SIZE(types))
		die(m, "cap exp takes a type");
	/* Offsets are from the capability's start, the body begins two bytes later. */
	le_store(cap + PCI_EXP_FLAGS - 2, 2, types[i].type << 4 | (has_word(w, n, "v1") ? 1 : 2));
	if (has_word(w, n, "flr"))
		le_store(cap + PCI_EXP_DEVCAP - 2, 4, PCI_EXP_DEVCAP_FLR);
	if (has_word(w, n, "ari-cap") || has_word(w, n, "ari-fwd"))
		le_store(cap + PCI_EXP_DEVCAP2 - 2, 4, PCI_EXP_DEVCAP2_ARI);
	if (has_word(w, n, "ari-fwd"))
		le_store(cap + PCI_EXP_DEVCTL2 - 2, 2, PCI_EXP_DEVCTL2_ARI);
	std_cap_add(m, PCI_CAP_ID_EXP, cap, has_word(w, n, "v1") ? 0x12 : 0x3a);
	m->f->express = true;
}

static unsigned number(const struct maker *m, const char *s, int base)
{
	char *end;
	unsigned long n = strtoul(s, &end, base);

	if (!*s || *end || n > UINT32_MAX)
		die(m, "'%s' is no number", s);
	return (unsigned)n;
}

static void sriov_add(struct maker *m, char **w, int n)
{
	uint8_t cap[PCI_SRIOV_VFM] = {0};
	unsigned total;

	if (n < 4)
		die(m, "cap sriov TOTAL OFFSET STRIDE DEVICE");
	total = number(m, w[0], 10);
	le_store(cap + PCI_SRIOV_CTRL - 4, 2, has_word(w, n, "ari") ? PCI_SRIOV_CTRL_ARI : 0);
	le_store(cap + PCI_SRIOV_INITIAL_VF - 4, 2, total);
	le_store(cap + PCI_SRIOV_TOTAL_VF - 4, 2, total);
	le_store(cap + PCI_SRIOV_VF_OFFSET - 4, 2, number(m, w[1], 10));
	le_store(cap + PCI_SRIOV_VF_STRIDE - 4, 2, number(m, w[2], 10));
	le_store(cap + PCI_SRIOV_VF_DID - 4, 2, number(m, w[3], 16));
	ext_cap_add(m, PCI_EXT_CAP_ID_SRIOV, cap, sizeof(cap));
}

static void cap_line(struct maker *m, char **w, int n)
{
	uint8_t body[16] = {0};
	unsigned log = 0;

	if (n < 1)
		die(m, "cap what?");
	if (!strcmp(w[0], "exp")) {
		exp_add(m, w + 1, n - 1);
	} else if (!strcmp(w[0], "sriov")) {
		sriov_add(m, w + 1, n - 1);
	} else if (!strcmp(w[0], "ari")) {
		ext_cap_add(m, PCI_EXT_CAP_ID_ARI, body, 4);
	} else if (!strcmp(w[0], "acs") && n == 3) {
		le_store(body, 2, number(m, w[1], 16));
		le_store(body + 2, 2, number(m, w[2], 16));
		ext_cap_add(m, PCI_EXT_CAP_ID_ACS, body, 4);
	} else if (!strcmp(w[0], "msi") && n == 2) {
		while (1u << log < number(m, w[1], 10))
			log++;
		le_store(body, 2, 0x80 | log << 1);
		std_cap_add(m, PCI_CAP_ID_MSI, body, 14);
	} else if (!strcmp(w[0], "msix") && n == 2) {
		le_store(body, 2, number(m, w[1], 10) - 1);
		std_cap_add(m, PCI_CAP_ID_MSIX, body, 10);
	} else if (!strcmp(w[0], "af")) {
		body[0] = 6;
		body[1] = PCI_AF_CAP_FLR | PCI_AF_CAP_TP;
		std_cap_add(m, PCI_CAP_ID_AF, body, 4);
	} else {
		die(m, "unknown capability '%s'", w[0]);
	}
}

static void hex_line(struct maker *m, unsigned at, char **w, int n)
{
	for (int i = 0; i < n; i++, at++) {
		if (at >= CONFIG_MAX || strlen(w[i]) != 2)
			die(m, "'%s' is no config byte", w[i]);
		m->f->config[at] = (uint8_t)number(m, w[i], 16);
		/* Bytes beyond the first 256 are PCI Express's. */
		m->f->express = m->f->express || at >= 256;
	}
}

/* --- functions --- */

static struct known *known_find(struct maker *m, struct bdf b)
{
	for (size_t i = m->n; i > 0; i--) {
		if (bdf_equal(m->known[i - 1].bdf, b))
			return &m->known[i - 1];
	}
	return NULL;
}

static void function_begin(
	struct maker *m, struct bdf b, unsigned vendor, unsigned device, unsigned class)
{
	struct function *f = calloc(1, sizeof(*f));

	if (!f || m->n == FUNCTIONS_MAX)
		die(m, "too many functions");
	f->bdf = b;
	bdf_format(b, f->name);
	f->vendor = vendor;
	f->device = device;
	f->class = class;
	f->group = -1;
	f->std = PCI_CAPABILITY_LIST;
	f->next = 0x40;
	f->ext_next = 0x100;
	le_store(f->config, 2, vendor);
	le_store(f->config + 2, 2, device);
	le_store(f->config + PCI_CLASS_REVISION + 1, 3, class);
	snprintf(f->dir, sizeof(f->dir), "sys/devices/pci%04x:%02x/%s", b.domain, b.bus, f->name);
	m->f = f;
}

static void text_put(
	struct maker *m, const char *dir, const char *attr, const char *fmt, unsigned value)
{
	char text[32];

	/* The formats are this file's. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), fmt, value);
#pragma GCC diagnostic pop
	PUTS(m, text, "%s/%s", dir, attr);
}

static bool file_exists(const struct maker *m, const char *dir, const char *attr)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s/%s", m->root, dir, attr);
	return access(path, F_OK) == 0;
}

static void driver_put(struct maker *m, const struct function *f)
{
	char target[128];

	if (!*f->driver)
		return;
	snprintf(target, sizeof(target), "sys/bus/pci/drivers/%s", f->driver);
	PUTS(m, "", "%s/bind", target);
	PUTS(m, "", "%s/unbind", target);
	put_link(m, target, "%s/driver", f->dir);
	put_link(m, f->dir, "%s/%s", target, f->name);
}

static void group_put(struct maker *m, const struct function *f)
{
	char target[64];

	if (f->group < 0)
		return;
	snprintf(target, sizeof(target), "sys/kernel/iommu_groups/%d", f->group);
	put_link(m, f->dir, "%s/devices/%s", target, f->name);
	put_link(m, target, "%s/iommu_group", f->dir);
	if (!file_exists(m, target, "type"))
		PUTS(m, "DMA-FQ\n", "%s/type", target);
	if (!file_exists(m, target, "reserved_regions"))
		PUTS(m, "0x00000000fee00000 0x00000000feefffff msi\n", "%s/reserved_regions",
			target);
	if (strstr(f->driver, "vfio")) {
		char path[32];

		snprintf(path, sizeof(path), "dev/vfio/%d", f->group);
		PUTS(m, "", "%s", path);
	}
}

/* Where the SR-IOV capability is, made or given as bytes; 0: nowhere. */
static size_t sriov_find(const struct function *f)
{
	size_t at = 0x100;

	for (int i = 0; i < 64 && at >= 0x100 && f->express; i++) {
		uint32_t head = (uint32_t)le_load(f->config + at, 4);

		if (PCI_EXT_CAP_ID(head) == PCI_EXT_CAP_ID_SRIOV)
			return at;
		at = PCI_EXT_CAP_NEXT(head);
	}
	return 0;
}

static void sriov_attr_put(struct maker *m, size_t field, const char *attr, const char *fmt)
{
	const struct function *f = m->f;

	if (!file_exists(m, f->dir, attr))
		text_put(m, f->dir, attr, fmt,
			(unsigned)le_load(f->config + sriov_find(f) + field, 2));
}

/* What the kernel makes of that capability. */
static void sriov_put(struct maker *m)
{
	if (!sriov_find(m->f))
		return;
	sriov_attr_put(m, PCI_SRIOV_TOTAL_VF, "sriov_totalvfs", "%u\n");
	sriov_attr_put(m, PCI_SRIOV_VF_OFFSET, "sriov_offset", "%u\n");
	sriov_attr_put(m, PCI_SRIOV_VF_STRIDE, "sriov_stride", "%u\n");
	sriov_attr_put(m, PCI_SRIOV_VF_DID, "sriov_vf_device", "%x\n");
	sriov_attr_put(m, PCI_SRIOV_NUM_VF, "sriov_numvfs", "%u\n");
	if (!file_exists(m, m->f->dir, "sriov_drivers_autoprobe"))
		PUTS(m, "1\n", "%s/sriov_drivers_autoprobe", m->f->dir);
}

static void function_end(struct maker *m)
{
	struct function *f = m->f;
	char path[64];

	if (!f)
		return;
	if (!f->size)
		f->size = f->express ? CONFIG_MAX : 256;
	put(m, f->config, f->size, 0, "%s/config", f->dir);
	sriov_put(m);
	text_put(m, f->dir, "vendor", "0x%04x\n", f->vendor);
	text_put(m, f->dir, "device", "0x%04x\n", f->device);
	text_put(m, f->dir, "class", "0x%06x\n", f->class);
	if (!file_exists(m, f->dir, "driver_override"))
		PUTS(m, "(null)\n", "%s/driver_override", f->dir);
	if (!file_exists(m, f->dir, "numa_node"))
		PUTS(m, "-1\n", "%s/numa_node", f->dir);
	driver_put(m, f);
	group_put(m, f);
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s", f->name);
	put_link(m, f->dir, "%s", path);
	m->known[m->n].bdf = f->bdf;
	memcpy(m->known[m->n++].dir, f->dir, sizeof(f->dir));
	free(f);
	m->f = NULL;
}

static void net_line(struct maker *m, char **w, int n)
{
	struct function *f = m->f;
	char dir[700], path[128];
	bool up;

	if (n < 3 || strlen(w[0]) >= sizeof(f->net))
		die(m, "net NAME MAC up|down [IFINDEX]");
	up = !strcmp(w[2], "up");
	snprintf(dir, sizeof(dir), "%s/net/%s", f->dir, w[0]);
	text_put(m, dir, "ifindex", "%u\n", n > 3 ? number(m, w[3], 10) : ++m->ifindex);
	PUTS(m, w[1], "%s/address", dir);
	put(m, "\n", 1, O_APPEND, "%s/address", dir);
	PUTS(m, up ? "up\n" : "down\n", "%s/operstate", dir);
	PUTS(m, up ? "0x1003\n" : "0x1002\n", "%s/flags", dir);
	PUTS(m, up ? "1\n" : "0\n", "%s/carrier", dir);
	PUTS(m, "0\n", "%s/addr_assign_type", dir);
	put_link(m, f->dir, "%s/device", dir);
	snprintf(path, sizeof(path), "sys/class/net/%s", w[0]);
	put_link(m, dir, "%s", path);
}

/* What a VF is to its PF. */
static void vf_link(struct maker *m, const char *pf_dir, unsigned i)
{
	put_link(m, pf_dir, "%s/physfn", m->f->dir);
	put_link(m, m->f->dir, "%s/virtfn%u", pf_dir, i);
}

static void vf_make(
	struct maker *m, const struct function *pf, unsigned i, int group, char **w, int n)
{
	const uint8_t *cap = pf->config + sriov_find(pf);
	unsigned rid = bdf_rid(pf->bdf) + (unsigned)le_load(cap + PCI_SRIOV_VF_OFFSET, 2) +
		       (unsigned)le_load(cap + PCI_SRIOV_VF_STRIDE, 2) * i;
	struct bdf b = {pf->bdf.domain, (uint8_t)(rid >> 8), rid >> 3 & 31, rid & 7};
	char *exp[] = {(char *)"endpoint", (char *)"flr"};
	char *msix[] = {(char *)"msix", (char *)"3"};
	int parent = (int)(strrchr(pf->dir, '/') - pf->dir);

	function_begin(m, b, pf->vendor, (unsigned)le_load(cap + PCI_SRIOV_VF_DID, 2), pf->class);
	if (snprintf(m->f->dir, sizeof(m->f->dir), "%.*s/%s", parent, pf->dir, m->f->name) >=
		(int)sizeof(m->f->dir))
		die(m, "path too long");
	le_store(m->f->config, 4, UINT32_MAX);
	exp_add(m, exp, 2);
	cap_line(m, msix, 2);
	m->f->group = group;
	if (n > 2)
		snprintf(m->f->driver, sizeof(m->f->driver), "%s", w[2]);
	if (n > 3) {
		char name[32], mac[24];
		char *net[] = {name, mac, (char *)"up"};

		snprintf(name, sizeof(name), "%s%u", w[3], i);
		snprintf(mac, sizeof(mac), "02:00:00:%02x:%02x:%02x", pf->bdf.bus, i >> 8, i & 255);
		net_line(m, net, 3);
	}
	vf_link(m, pf->dir, i);
	function_end(m);
}

static void vfs_line(struct maker *m, char **w, int n)
{
	size_t cap = sriov_find(m->f);
	struct function pf;
	unsigned count;
	int group;

	if (n < 2 || !cap)
		die(m, "vfs COUNT GROUP|same|none [DRIVER [NET]], after cap sriov");
	count = number(m, w[0], 10);
	m->f->config[cap + PCI_SRIOV_CTRL] |= PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE;
	le_store(m->f->config + cap + PCI_SRIOV_NUM_VF, 2, count);
	pf = *m->f;
	function_end(m);
	for (unsigned i = 0; i < count; i++) {
		if (!strcmp(w[1], "same"))
			group = pf.group;
		else if (!strcmp(w[1], "none"))
			group = -1;
		else
			group = (int)(number(m, w[1], 10) + i);
		vf_make(m, &pf, i, group, w, n);
	}
}

static void below_line(struct maker *m, const char *bridge)
{
	struct known *k;
	struct bdf b;

	if (bdf_parse(bridge, &b) < 0 || !(k = known_find(m, b)))
		die(m, "below what? '%s' must come before", bridge);
	if (snprintf(m->f->dir, sizeof(m->f->dir), "%s/%s", k->dir, m->f->name) >=
		(int)sizeof(m->f->dir))
		die(m, "path too long");
}

/* "\n" and "\t" in the rest of a line. */
static char *unescape(char *s)
{
	char *to = s;

	for (char *from = s; *from; from++) {
		if (from[0] == '\\' && (from[1] == 'n' || from[1] == 't' || from[1] == '\\')) {
			*to++ = from[1] == 'n' ? '\n' : from[1] == 't' ? '\t' : '\\';
			from++;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return s;
}

static void function_line(struct maker *m, char **w, int n, char *rest)
{
	struct function *f = m->f;
	size_t len = strlen(w[0]);

	if (!f)
		die(m, "'%s' belongs to no function", w[0]);
	if (w[0][len - 1] == ':') {
		w[0][len - 1] = '\0';
		hex_line(m, number(m, w[0], 16), w + 1, n - 1);
	} else if (!strcmp(w[0], "below") && n == 2) {
		below_line(m, w[1]);
	} else if (!strcmp(w[0], "driver") && n == 2) {
		snprintf(f->driver, sizeof(f->driver), "%s", w[1]);
	} else if (!strcmp(w[0], "group") && n == 2) {
		f->group = (int)number(m, w[1], 10);
	} else if (!strcmp(w[0], "node") && n == 2) {
		text_put(m, f->dir, "numa_node", "%u\n", number(m, w[1], 10));
	} else if (!strcmp(w[0], "multi")) {
		f->config[PCI_HEADER_TYPE] |= 0x80;
	} else if (!strcmp(w[0], "bridge") && n == 3) {
		f->config[PCI_HEADER_TYPE] |= PCI_HEADER_TYPE_BRIDGE;
		f->config[PCI_PRIMARY_BUS] = f->bdf.bus;
		f->config[PCI_SECONDARY_BUS] = (uint8_t)number(m, w[1], 16);
		f->config[PCI_SUBORDINATE_BUS] = (uint8_t)number(m, w[2], 16);
	} else if (!strcmp(w[0], "size") && n == 2) {
		f->size = number(m, w[1], 10);
		if (f->size > CONFIG_MAX)
			die(m, "size %zu", f->size);
	} else if (!strcmp(w[0], "net")) {
		net_line(m, w + 1, n - 1);
	} else if (!strcmp(w[0], "cap")) {
		cap_line(m, w + 1, n - 1);
	} else if (!strcmp(w[0], "vfs")) {
		vfs_line(m, w + 1, n - 1);
	} else if (!strcmp(w[0], "vf-of") && n == 3) {
		struct known *k;
		struct bdf b;

		if (bdf_parse(w[1], &b) < 0 || !(k = known_find(m, b)))
			die(m, "vf-of what? '%s' must come before", w[1]);
		vf_link(m, k->dir, number(m, w[2], 10));
	} else if (!strcmp(w[0], "attr") && n >= 2) {
		char *text = unescape(rest);

		PUTS(m, text, "%s/%s", f->dir, w[1]);
		put(m, "\n", 1, O_APPEND, "%s/%s", f->dir, w[1]);
	} else {
		die(m, "'%s' is not understood", w[0]);
	}
}

static void iommu_line(struct maker *m, const char *kind)
{
	if (!strcmp(kind, "none"))
		return;
	if (!strcmp(kind, "intel")) {
		PUTS(m, "DMAR", "sys/firmware/acpi/tables/DMAR");
		PUTS(m, "10000\n", "sys/devices/virtual/iommu/dmar0/intel-iommu/version");
		put_link(m, "sys/devices/virtual/iommu/dmar0", "sys/class/iommu/dmar0");
	} else if (!strcmp(kind, "amd")) {
		PUTS(m, "IVRS", "sys/firmware/acpi/tables/IVRS");
		PUTS(m, "0\n", "sys/devices/virtual/iommu/ivhd0/amd-iommu/features");
		put_link(m, "sys/devices/virtual/iommu/ivhd0", "sys/class/iommu/ivhd0");
	} else {
		die(m, "iommu intel, amd or none");
	}
}

static void top_line(struct maker *m, char **w, int n, char *rest)
{
	unsigned vendor, device;
	struct bdf b;

	if (!strcmp(w[0], "iommu") && n == 2) {
		iommu_line(m, w[1]);
	} else if (!strcmp(w[0], "cmdline")) {
		PUTS(m, unescape(rest), "proc/cmdline");
		put(m, "\n", 1, O_APPEND, "proc/cmdline");
	} else if (!strcmp(w[0], "file") && n >= 2) {
		PUTS(m, unescape(rest), "%s", w[1]);
	} else if (!strcmp(w[0], "link") && n == 3) {
		put_link(m, w[2], "%s", w[1]);
	} else if (!strcmp(w[0], "group") && n == 4 && !strcmp(w[2], "type")) {
		PUTS(m, w[3], "sys/kernel/iommu_groups/%u/type", number(m, w[1], 10));
		put(m, "\n", 1, O_APPEND, "sys/kernel/iommu_groups/%s/type", w[1]);
	} else if (!strcmp(w[0], "group") && n == 6 && !strcmp(w[2], "reserved")) {
		char text[128];

		snprintf(text, sizeof(text), "0x%016llx 0x%016llx %s\n", strtoull(w[3], NULL, 16),
			strtoull(w[4], NULL, 16), w[5]);
		put(m, text, strlen(text), O_APPEND, "sys/kernel/iommu_groups/%u/reserved_regions",
			number(m, w[1], 10));
	} else if (n == 3 && bdf_parse(w[0], &b) == 0 &&
		   sscanf(w[1], "%4x:%4x", &vendor, &device) == 2) {
		function_end(m);
		function_begin(m, b, vendor, device, number(m, w[2], 16));
	} else {
		die(m, "'%s' is not understood", w[0]);
	}
}

static void line_read(struct maker *m, char *line)
{
	bool indented = *line == '\t';
	char *w[WORDS_MAX], *rest, *save = NULL, *s;
	char copy[8192];
	int n = 0;

	line[strcspn(line, "#")] = '\0';
	if (snprintf(copy, sizeof(copy), "%s", line) >= (int)sizeof(copy))
		die(m, "line too long");
	for (s = strtok_r(line, " \t", &save); s && n < WORDS_MAX; s = strtok_r(NULL, " \t", &save))
		w[n++] = s;
	if (n == 0)
		return;
	/* What follows the second word, or the first where there is one, as it is. */
	rest = copy;
	for (int i = 0; i < (!strcmp(w[0], "cmdline") ? 1 : 2); i++) {
		rest += strspn(rest, " \t");
		rest += strcspn(rest, " \t");
	}
	rest += strspn(rest, " \t");
	if (indented)
		function_line(m, w, n, rest);
	else
		top_line(m, w, n, rest);
}

void topology_make(const char *root, const char *text)
{
	struct maker m = {.root = root, .ifindex = 1};
	char *copy = strdup(text), *save = NULL;

	m.known = calloc(FUNCTIONS_MAX, sizeof(*m.known));
	if (!copy || !m.known)
		abort();
	PUTS(&m, "", "sys/bus/pci/drivers_probe");
	PUTS(&m, "", "sys/bus/pci/drivers/vfio-pci/bind");
	PUTS(&m, "boot-one\n", "proc/sys/kernel/random/boot_id");
	PUTS(&m, "\n", "proc/cmdline");
	PUTS(&m, "crw", "dev/null");
	/* strtok would leave empty lines out of the count. */
	for (char *line = copy; line; line = save) {
		save = strchr(line, '\n');
		if (save)
			*save++ = '\0';
		m.line++;
		line_read(&m, line);
	}
	function_end(&m);
	free(m.known);
	free(copy);
}

static char *file_read(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t len = 0;

	if (!f || getdelim(&text, &len, '\0', f) < 0) {
		perror(path);
		abort();
	}
	fclose(f);
	return text;
}

void topology_load(struct topology *t, const char *name)
{
	char path[512], *text;

	snprintf(path, sizeof(path), "%s%s%s", strchr(name, '/') ? "" : TOPOLOGY_DIR "/", name,
		strchr(name, '/') ? "" : ".topo");
	text = file_read(path);
	snprintf(t->root, sizeof(t->root), "/tmp/viaduct-topology-XXXXXX");
	if (!mkdtemp(t->root)) {
		perror("mkdtemp");
		abort();
	}
	snprintf(t->run_dir, sizeof(t->run_dir), "%s/run/viaduct/vf", t->root);
	topology_make(t->root, text);
	free(text);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void topology_finish(struct topology *t)
{
	nftw(t->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
