// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is asked of others about a function: the first byte says whether the input is a lease, a
 * record of settings, a domain of libvirt's, a node's CPUs, or the kernel's answer about addresses.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vf-manager/internal.h"
#include "vf-manager/lease.h"
#include "vf-manager/numa.h"
#include "vf-manager/usage_parts.h"

#define BDF "0000:01:10.0"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

static int talk(void *ctx, int protocol, void *req, size_t len, unsigned timeout_ms,
	void **ret_reply, size_t *ret_len)
{
	const struct input *in = ctx;
	struct nlmsghdr h = {
		.nlmsg_len = (uint32_t)(sizeof(h) + sizeof(struct ifaddrmsg) + in->size),
		.nlmsg_type = RTM_NEWADDR};
	struct ifaddrmsg ifa = {.ifa_family = 2, .ifa_index = 5};
	uint8_t *p = malloc(sizeof(h) + sizeof(ifa) + in->size + 1);
	size_t head = in->size && in->data[0] & 1 ? sizeof(h) + sizeof(ifa) : 0;

	if (!p)
		return -ENOMEM;
	if (head) {
		memcpy(p, &h, sizeof(h));
		memcpy(p + sizeof(h), &ifa, sizeof(ifa));
	}
	memcpy(p + head, in->data, in->size);
	*ret_reply = p;
	*ret_len = head + in->size;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void clean(void);

/* Made once: a directory per input would be all that is measured. */
static const char *root(void)
{
	static char path[64];
	static const char *const dirs[] = {"sys", "sys/bus", "sys/bus/pci", "sys/bus/pci/devices",
		"sys/bus/pci/devices/0000:01:10.0", "run", "run/vf", "run/vf/lease", "run/libvirt",
		"run/libvirt/qemu", "sys/devices", "sys/devices/system", "sys/devices/system/node",
		"sys/devices/system/node/node0"};
	char p[160];

	if (*path)
		return path;
	snprintf(path, sizeof(path), "/tmp/viaduct-fuzz-usage-XXXXXX");
	if (!mkdtemp(path))
		abort();
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(p, sizeof(p), "%s/%s", path, dirs[i]);
		mkdir(p, 0700);
	}
	atexit(clean);
	return path;
}

static void clean(void)
{
	nftw(root(), remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *name, const struct input *in)
{
	char p[160];
	int fd;

	snprintf(p, sizeof(p), "%s/%s", root(), name);
	fd = open(p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, in->data, in->size) != (ssize_t)in->size)
		abort();
	close(fd);
}

static void must_be_text(const char *s, size_t size)
{
	if (strnlen(s, size) == size)
		abort();
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || (unsigned char)*s > '~')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data + 1, size - 1};
	const struct vfm_ops ops = {.talk = talk};
	const struct bdf b = {0, 1, 0x10, 0};
	char run[96];
	struct vfm_config cfg = {
		.root = root(), .run_dir = run, .ops = &ops, .ops_ctx = &in, .timeout_ms = 1000};
	struct vfm_settings s;
	struct vfm_lease l;
	struct claim claim;
	struct address *a = NULL;
	struct node_set nodes;
	struct vfm *v;
	int n;

	if (size < 1 || size > 8192)
		return 0;
	snprintf(run, sizeof(run), "%s/run/vf", root());
	if (vfm_create(&cfg, &v, NULL) < 0)
		return 0;
	switch (data[0] % 5) {
	case 0:
		put("run/vf/lease/" BDF, &in);
		if (vfm_lease_get(v, b, &l) != 1 || l.held || l.pid < 0)
			abort();
		must_be_text(l.owner, sizeof(l.owner));
		break;
	case 1:
		put("run/vf/" BDF ".settings", &in);
		if (journal_read_settings(v, b, &s) == 0 && (!s.set || s.set & ~VFM_ALL_BITS))
			abort();
		break;
	case 2:
		put("run/libvirt/qemu/a.xml", &in);
		claims_read(v, &b, 1, &claim);
		must_be_text(claim.text, sizeof(claim.text));
		break;
	case 3:
		put("sys/devices/system/node/node0/cpulist", &in);
		node_set_read(v, &nodes);
		break;
	default:
		n = addresses_read(v, &a, NULL);
		for (int i = 0; i < n; i++)
			must_be_text(a[i].text, sizeof(a[i].text));
		free(a);
	}
	vfm_destroy(v);
	return 0;
}
