// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/fakes/pci_kernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PF  "0000:01:00.0"
#define ETH "sys/bus/pci/devices/" PF "/net/eth0/"

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

#define DEV "sys/bus/pci/devices/"

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

static void vf_name(unsigned i, char bdf[16])
{
	snprintf(bdf, 16, "0000:01:%02x.%u", (0x10 + i / 4) & 0x1f, i % 4 * 2);
}

static void vf_add(struct pci_kernel *k, unsigned i)
{
	char bdf[16], path[128], target[64];

	vf_name(i, bdf);
	snprintf(path, sizeof(path), "sys/devices/%s/physfn", bdf);
	fake_link(k, path, "../" PF);
	device_add(k, bdf, "0x8086:0x10ca", "0x020000\n", 10 + (int)i);
	snprintf(path, sizeof(path), "sys/devices/" PF "/virtfn%u", i);
	snprintf(target, sizeof(target), "../%s", bdf);
	fake_link(k, path, target);
}

static void driver_set(struct pci_kernel *k, const char *bdf, const char *driver)
{
	char path[128], target[128], group[16];

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

static void vf_remove(struct pci_kernel *k, unsigned i)
{
	char bdf[16], path[128];

	vf_name(i, bdf);
	driver_set(k, bdf, NULL);
	snprintf(path, sizeof(path), "sys/devices/" PF "/virtfn%u", i);
	fake_remove(k, path);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u", 10 + i);
	fake_remove(k, path);
	snprintf(path, sizeof(path), DEV "%s", bdf);
	fake_remove(k, path);
	snprintf(path, sizeof(path), "sys/devices/%s", bdf);
	fake_remove(k, path);
	memset(k->knobs->mac[i], 0, 6);
	k->knobs->vf[i] = (struct vfm_settings){0};
}

static int numvfs_store(struct pci_kernel *k, unsigned n)
{
	char text[16];
	unsigned now;

	/* One change at a time, however late its links: the store holds the device's lock. */
	while (k->knobs->block_numvfs || k->knobs->late)
		usleep(10000);
	get(k, text, sizeof(text), DEV PF "/sriov_numvfs");
	now = (unsigned)atoi(text);
	if (n > FAKE_TOTAL)
		return -ERANGE;
	if (n == now)
		return 0;
	if (n && now)
		return -EBUSY;
	get(k, text, sizeof(text), DEV PF "/sriov_drivers_autoprobe");
	k->knobs->autoprobe_at_carve = n && !strcmp(text, "1");
	if (k->knobs->short_count && n > k->knobs->short_count)
		n = k->knobs->short_count;
	snprintf(text, sizeof(text), "%u\n", n);
	fake_puts(k, DEV PF "/sriov_numvfs", text);
	if (k->knobs->links_delay_ms) {
		k->knobs->late++;
		if (fork())
			return 0;
	}
	if (k->knobs->links_delay_ms)
		usleep(k->knobs->links_delay_ms * 1000);
	for (unsigned i = n; i < now; i++)
		vf_remove(k, i);
	for (unsigned i = now; i < n; i++) {
		vf_add(k, i);
		if (k->knobs->autoprobe_at_carve) {
			char bdf[16];

			vf_name(i, bdf);
			driver_set(k, bdf, "igbvf");
		}
	}
	if (k->knobs->links_delay_ms) {
		k->knobs->late--;
		_exit(0);
	}
	return 0;
}

/* Does the kernel probe it, and which driver takes it? NULL: none. */
static const char *driver_for(
	struct pci_kernel *k, const char *bdf, const char *only, bool *ret_may)
{
	static char override[64];
	char device[16], phys[32], on[8];

	get(k, override, sizeof(override), DEV "%s/driver_override", bdf);
	get(k, device, sizeof(device), DEV "%s/device", bdf);
	get_link(k, phys, sizeof(phys), DEV "%s/physfn", bdf);
	get(k, on, sizeof(on), DEV PF "/sriov_drivers_autoprobe");
	*ret_may = true;
	if (strcmp(override, "(null)")) {
		if (!strcmp(override, "vfio-pci") && k->knobs->driver_refuses)
			return NULL;
		return !only || !strcmp(only, override) ? override : NULL;
	}
	*ret_may = !*phys || !strcmp(on, "1");
	if (!strcmp(device, "0x10ca"))
		return !only || !strcmp(only, "igbvf") ? "igbvf" : NULL;
	if (!strcmp(device, "0x10d3"))
		return !only || !strcmp(only, "e1000e") ? "e1000e" : NULL;
	return NULL;
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

	if (sscanf(path, DEV "%31[^/]/%63s", bdf, attr) == 2) {
		if (!strcmp(attr, "sriov_numvfs"))
			return numvfs_store(k, (unsigned)atoi(text));
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

/* Counts a call; its errno when it is one that has to fail. */
static int call_begin(struct pci_kernel *k)
{
	struct fake_knobs *n = k->knobs;

	n->calls++;
	if (n->kill_at && n->calls == n->kill_at)
		die(k);
	if (n->fail_at && n->calls >= n->fail_at && n->calls <= n->fail_at + n->fail_for)
		return -n->fail_code;
	return 0;
}

static int fake_write(
	void *ctx, const struct sysfs *s, const char *path, const char *text, size_t len)
{
	struct pci_kernel *k = ctx;
	int r = call_begin(k);

	k->knobs->writes++;
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

static void eth0_flags(struct pci_kernel *k)
{
	bool up = k->knobs->eth0_up;

	fake_puts(k, ETH "flags", up ? "0x1003\n" : "0x1002\n");
	fake_puts(k, ETH "carrier", up ? "1\n" : "");
	fake_puts(k, ETH "operstate", up ? "up\n" : "down\n");
}

/* Setting: the first VF address in the request. */
/* The VF number is the first field of each; then what igb's calls do with the rest. */
static int vf_attr_set(struct pci_kernel *k, struct nlattr *a)
{
	static const struct {
		int type;
		uint32_t bit;
		size_t size;
	} types[] = {
		{IFLA_VF_MAC, VFM_BIT(MAC), sizeof(struct ifla_vf_mac)},
		{IFLA_VF_VLAN, VFM_BIT(VLAN), sizeof(struct ifla_vf_vlan)},
		{IFLA_VF_VLAN_INFO, VFM_BIT(PROTO), sizeof(struct ifla_vf_vlan_info)},
		{IFLA_VF_RATE, VFM_BIT(MAX_RATE), sizeof(struct ifla_vf_rate)},
		{IFLA_VF_SPOOFCHK, VFM_BIT(SPOOFCHK), sizeof(struct ifla_vf_spoofchk)},
		{IFLA_VF_LINK_STATE, VFM_BIT(LINK_STATE), sizeof(struct ifla_vf_link_state)},
		{IFLA_VF_RSS_QUERY_EN, VFM_BIT(RSS_QUERY), sizeof(struct ifla_vf_rss_query_en)},
		{IFLA_VF_TRUST, VFM_BIT(TRUST), sizeof(struct ifla_vf_trust)},
		{IFLA_VF_IB_NODE_GUID, VFM_BIT(NODE_GUID), sizeof(struct ifla_vf_guid)},
		{IFLA_VF_IB_PORT_GUID, VFM_BIT(PORT_GUID), sizeof(struct ifla_vf_guid)},
	};
	const uint32_t *words = nla_data(a);
	struct vfm_settings *vf;
	size_t i = 0;
	bool list = nla_type(a) == IFLA_VF_VLAN_LIST;

	if (list) {
		a = nla_data(a);
		words = nla_data(a);
	}
	while (i < sizeof(types) / sizeof(types[0]) &&
		types[i].type != (list ? IFLA_VF_VLAN_INFO : nla_type(a)))
		i++;
	/* IFLA_VF_VLAN_INFO's number is IFLA_VF_MAC's: it is known by where it stands. */
	if (list)
		i = 2;
	if (i == sizeof(types) / sizeof(types[0]) || (size_t)nla_len(a) != types[i].size ||
		words[0] >= FAKE_TOTAL)
		return -EINVAL;
	if (k->knobs->unsupported & types[i].bit)
		return types[i].bit == VFM_BIT(PROTO) ? -EPROTONOSUPPORT : -EOPNOTSUPP;
	vf = &k->knobs->vf[words[0]];
	switch (types[i].bit) {
	case VFM_BIT(MAC):
		if (k->knobs->mac_code)
			return -k->knobs->mac_code;
		if (!k->knobs->mac_ignored)
			memcpy(k->knobs->mac[words[0]], words + 1, 6);
		break;
	case VFM_BIT(PROTO):
	case VFM_BIT(VLAN):
		if (words[1] > 4095 || words[2] > 7)
			return -EINVAL;
		vf->vlan = (uint16_t)words[1];
		vf->qos = (uint8_t)words[2];
		vf->proto = list ? ntohs(((const struct ifla_vf_vlan_info *)words)->vlan_proto)
				 : VFM_PROTO_8021Q;
		break;
	case VFM_BIT(MAX_RATE):
		if (words[1] && k->knobs->unsupported & VFM_BIT(MIN_RATE))
			return -EINVAL;
		vf->min_rate = words[1];
		if (!k->knobs->rate_ignored)
			vf->max_rate = words[2];
		break;
	case VFM_BIT(SPOOFCHK): vf->spoofchk = words[1]; break;
	case VFM_BIT(LINK_STATE): vf->link_state = (uint8_t)words[1]; break;
	case VFM_BIT(RSS_QUERY): vf->rss_query = words[1]; break;
	case VFM_BIT(TRUST): vf->trust = words[1]; break;
	case VFM_BIT(NODE_GUID):
		memcpy(&vf->node_guid, &((const struct ifla_vf_guid *)words)->guid, 8);
		break;
	default: memcpy(&vf->port_guid, &((const struct ifla_vf_guid *)words)->guid, 8);
	}
	return 0;
}

static void vf_record_put(struct pci_kernel *k, struct nl_msg *m, uint32_t vf)
{
	const struct vfm_settings *s = &k->knobs->vf[vf];
	uint32_t no = k->knobs->unsupported;
	struct ifla_vf_mac mac = {.vf = vf};
	struct ifla_vf_vlan vlan = {.vf = vf, .vlan = s->vlan, .qos = s->qos};
	struct ifla_vf_vlan_info info = {.vf = vf,
		.vlan = s->vlan,
		.qos = s->qos,
		.vlan_proto = htons(s->proto ? s->proto : VFM_PROTO_8021Q)};
	struct ifla_vf_rate rate = {vf, s->min_rate, s->max_rate};
	struct ifla_vf_spoofchk spoof = {vf, no & VFM_BIT(SPOOFCHK) ? UINT32_MAX : s->spoofchk};
	struct ifla_vf_link_state link = {vf, s->link_state};
	struct ifla_vf_rss_query_en rss = {vf, no & VFM_BIT(RSS_QUERY) ? UINT32_MAX : s->rss_query};
	struct ifla_vf_trust trust = {vf, no & VFM_BIT(TRUST) ? UINT32_MAX : s->trust};
	struct ifla_vf_guid guid = {.vf = vf, .guid = s->node_guid};
	struct nlattr *list;

	memcpy(mac.mac, k->knobs->mac[vf], 6);
	nla_put(m, IFLA_VF_MAC, sizeof(mac), &mac);
	nla_put(m, IFLA_VF_VLAN, sizeof(vlan), &vlan);
	nla_put(m, IFLA_VF_RATE, sizeof(rate), &rate);
	nla_put(m, IFLA_VF_SPOOFCHK, sizeof(spoof), &spoof);
	nla_put(m, IFLA_VF_LINK_STATE, sizeof(link), &link);
	nla_put(m, IFLA_VF_RSS_QUERY_EN, sizeof(rss), &rss);
	nla_put(m, IFLA_VF_TRUST, sizeof(trust), &trust);
	if (!(no & VFM_BIT(NODE_GUID))) {
		nla_put(m, IFLA_VF_IB_NODE_GUID, sizeof(guid), &guid);
		guid.guid = s->port_guid;
		nla_put(m, IFLA_VF_IB_PORT_GUID, sizeof(guid), &guid);
	}
	list = nla_nest_start(m, IFLA_VF_VLAN_LIST);
	nla_put(m, IFLA_VF_VLAN_INFO, sizeof(info), &info);
	nla_nest_end(m, list);
}

static int link_set(struct pci_kernel *k, struct nlmsghdr *h)
{
	const struct ifinfomsg *ifi = nlmsg_data(h);
	struct nlattr *list = nlmsg_find_attr(h, sizeof(*ifi), IFLA_VFINFO_LIST);
	struct nlattr *a;
	int rem;

	if (ifi->ifi_index != 5)
		return -ENODEV;
	if (ifi->ifi_change & IFF_UP) {
		k->knobs->eth0_up = ifi->ifi_flags & IFF_UP;
		eth0_flags(k);
	}
	if (!list)
		return 0;
	/* As do_setvfinfo(): in the order in which the kernel looks for them, up to the first error. */
	nla_for_each_attr(a, nla_data(nla_data(list)), nla_len(nla_data(list)), rem)
	{
		int r = vf_attr_set(k, a);

		if (r < 0)
			return r;
	}
	return 0;
}

static struct nl_msg *link_answer(struct pci_kernel *k, int ifindex)
{
	struct nl_msg *m = nlmsg_alloc_simple(RTM_NEWLINK, 0);
	struct ifinfomsg ifi = {.ifi_index = ifindex};
	static const uint8_t zero[6];
	struct nlattr *list, *info;
	char text[16];
	int n;

	get(k, text, sizeof(text), DEV PF "/sriov_numvfs");
	n = atoi(text);
	n = n < 0 || n > FAKE_TOTAL ? FAKE_TOTAL : n;
	nlmsg_append(m, &ifi, sizeof(ifi), NLMSG_ALIGNTO);
	if (ifindex != 5)
		return m;
	if (memcmp(k->knobs->eth0_permanent, zero, 6))
		nla_put(m, IFLA_PERM_ADDRESS, 6, k->knobs->eth0_permanent);
	if (*k->knobs->eth0_altname) {
		list = nla_nest_start(m, IFLA_PROP_LIST);
		nla_put_string(m, IFLA_ALT_IFNAME, k->knobs->eth0_altname);
		nla_nest_end(m, list);
	}
	nla_put_u32(m, IFLA_NUM_VF, (uint32_t)n);
	list = nla_nest_start(m, IFLA_VFINFO_LIST);
	for (int i = 0; i < n; i++) {
		info = nla_nest_start(m, IFLA_VF_INFO);
		vf_record_put(k, m, (uint32_t)i);
		nla_nest_end(m, info);
	}
	nla_nest_end(m, list);
	return m;
}

static struct nl_msg *ack_answer(int code)
{
	struct nl_msg *m =
		nlmsg_alloc_simple(NLMSG_ERROR, NLM_F_CAPPED | (code ? NLM_F_ACK_TLVS : 0));
	struct nlmsgerr ne = {.error = code};

	nlmsg_append(m, &ne, sizeof(ne), NLMSG_ALIGNTO);
	if (code)
		nla_put_string(m, NLMSGERR_ATTR_MSG, "because I said so");
	return m;
}

static int fake_talk(
	void *ctx, void *req, size_t len, unsigned timeout_ms, void **ret_reply, size_t *ret_len)
{
	struct pci_kernel *k = ctx;
	struct nlmsghdr *h = req;
	struct nl_msg *m;
	int r = call_begin(k);

	if (r == 0 && h->nlmsg_type == RTM_GETLINK)
		m = link_answer(k, ((const struct ifinfomsg *)nlmsg_data(h))->ifi_index);
	else
		m = ack_answer(r ? r : link_set(k, h));
	*ret_len = nlmsg_hdr(m)->nlmsg_len;
	*ret_reply = malloc(*ret_len);
	memcpy(*ret_reply, nlmsg_hdr(m), *ret_len);
	nlmsg_free(m);
	return 0;
}

static const struct vfm_ops fake_ops = {
	.write = fake_write,
	.talk = fake_talk,
	.load = fake_load,
};

void pci_kernel_init(struct pci_kernel *k)
{
	*k = (struct pci_kernel){.root = "/tmp/viaduct-pci-XXXXXX"};
	must(mkdtemp(k->root) ? 0 : -1, "mkdtemp");
	snprintf(k->run_dir, sizeof(k->run_dir), "%s/run/vf", k->root);
	k->knobs = mmap(
		NULL, sizeof(*k->knobs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(k->knobs == MAP_FAILED ? -1 : 0, "mmap");
	k->knobs->unsupported = VFM_BIT(PROTO) | VFM_BIT(MIN_RATE) | VFM_BIT(LINK_STATE) |
				VFM_BIT(RSS_QUERY) | VFM_BIT(NODE_GUID) | VFM_BIT(PORT_GUID);
	k->config = (struct vfm_config){
		.root = k->root,
		.run_dir = k->run_dir,
		.ops = &fake_ops,
		.ops_ctx = k,
		.timeout_ms = 20000,
	};
	for (size_t i = 0; i < 3; i++)
		putf(k, "", "sys/bus/pci/drivers/%s/bind",
			((const char *[]){"igb", "igbvf", "e1000e"})[i]);
	fake_puts(k, "sys/bus/pci/drivers_probe", "");
	fake_puts(k, "proc/sys/kernel/random/boot_id", "boot-one\n");
	device_add(k, "0000:00:1c.0", "0x8086:0x3420", "0x060400\n", 1);
	device_add(k, PF, "0x8086:0x10c9", "0x020000\n", 7);
	driver_set(k, PF, "igb");
	fake_puts(k, DEV PF "/sriov_totalvfs", "7\n");
	fake_puts(k, DEV PF "/sriov_numvfs", "0\n");
	fake_puts(k, DEV PF "/sriov_drivers_autoprobe", "1\n");
	fake_puts(k, ETH "ifindex", "5\n");
	fake_puts(k, ETH "address", "52:54:00:00:00:01\n");
	eth0_flags(k);
	device_add(k, "0000:02:00.0", "0x8086:0x10d3", "0x020000\n", 8);
	driver_set(k, "0000:02:00.0", "e1000e");
	fake_puts(k, DEV "0000:02:00.0/net/eth1/ifindex", "6\n");
	fake_puts(k, DEV "0000:02:00.0/net/eth1/flags", "0x1002\n");
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

char *fake_state(struct pci_kernel *k)
{
	char *text = NULL, a[64], b[64], bdf[16];
	size_t len;
	FILE *f = open_memstream(&text, &len);

	get(k, a, sizeof(a), DEV PF "/sriov_numvfs");
	get(k, b, sizeof(b), DEV PF "/sriov_drivers_autoprobe");
	fprintf(f, "numvfs %s autoprobe %s eth0 %s\n", a, b, k->knobs->eth0_up ? "up" : "down");
	for (unsigned i = 0; i < FAKE_TOTAL; i++) {
		vf_name(i, bdf);
		if (access(at(k, DEV "%s", bdf), F_OK) < 0)
			continue;
		get_link(k, a, sizeof(a), DEV "%s/driver", bdf);
		get(k, b, sizeof(b), DEV "%s/driver_override", bdf);
		fprintf(f, "%s driver '%s' override '%s' record %s mac ", bdf, a, b,
			access(at(k, "run/vf/%s.driver", bdf), F_OK) ? "no" : "yes");
		for (int j = 0; j < 6; j++)
			fprintf(f, "%02x", k->knobs->mac[i][j]);
		settings_print(f, &k->knobs->vf[i]);
	}
	fclose(f);
	return text;
}
