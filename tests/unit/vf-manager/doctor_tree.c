// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/vf-manager/doctor_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char good[] =
	"iommu intel\n"
	"cmdline BOOT_IMAGE=/vmlinuz quiet intel_iommu=on iommu=pt\n"
	"group 5 type DMA-FQ\n"
	"group 5 reserved fee00000 feefffff msi\n"
	"group 10 type DMA-FQ\n"
	"group 10 reserved fee00000 feefffff msi\n"
	"group 11 type DMA-FQ\n"
	"group 11 reserved fee00000 feefffff msi\n"
	"file proc/cpuinfo processor\\t: 0\\nvendor_id\\t: GenuineIntel\\nflags\\t\\t: fpu vme vmx "
	"sse2\\nbugs\\t\\t:\\n\n"
	"file proc/self/status "
	"Name:\\tdoctor\\nUid:\\t0\\t0\\t0\\t0\\nCapEff:\\t000001ffffffffff\\n\n"
	"file proc/self/limits Limit  Soft Limit  Hard Limit  Units\\nMax locked memory 8388608 "
	"8388608 bytes\\n\n"
	"file proc/self/cgroup 5:devices:/user\\n0::/\\n\n"
	"file sys/fs/cgroup/devices/user/devices.list c 1:3 rwm\\nc 511:* rwm\\n\n"
	"file proc/devices Character devices:\\n  1 mem\\n511 vfio\\n\\nBlock devices:\\n  8 "
	"sd\\n\n"
	"file proc/2/comm kthreadd\\n\n"
	"file proc/sys/kernel/osrelease 6.18.2-amd64\\n\n"
	"file proc/interrupts            CPU0\\n   1:  0  IR-IO-APIC   1-edge      i8042\\n  24:  "
	"7  "
	"IR-PCI-MSI 458752-edge      eth0\\n\n"
	"file proc/net/route Iface\\tDestination\\tGateway "
	"\\tFlags\\tRefCnt\\tUse\\tMetric\\tMask\\t"
	"MTU\\tWindow\\tIRTT\\neth9\\t00000000\\t0101A8C0\\t0003\\t0\\t0\\t0\\t00000000\\t0\\t0\\t0"
	"\\n\n"
	"file proc/net/tcp   sl  local_address rem_address   st\\n\n"
	"file sys/kernel/security/lockdown [none] integrity confidentiality\\n\n"
	"file sys/class/dmi/id/sys_vendor ACME\\n\n"
	"file sys/class/dmi/id/product_name Server 9\\n\n"
	"file sys/module/vfio/parameters/enable_unsafe_noiommu_mode N\\n\n"
	"file sys/module/vfio_pci/parameters/enable_sriov N\\n\n"
	"file sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts N\\n\n"
	"file sys/module/vfio_iommu_type1/parameters/dma_entry_limit 65535\\n\n"
	"file sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages 1024\\n\n"
	"file sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages 1024\\n\n"
	"file sys/devices/system/node/node0/cpulist 0-7\\n\n"
	"file dev/kvm x\n"
	"file dev/kmsg 6,1,0,-;Linux version 6.18\\n\n"
	"file dev/vfio/vfio x\n"
	"file dev/vfio/10 x\n"
	"file dev/vfio/11 x\n"
	"file etc/fstab x\n"
	"0000:00:1c.0 8086:3420 060400\n"
	"\tgroup 1\n"
	"\tdriver pcieport\n"
	"\tbridge 01 01\n"
	"\tcap exp root ari-fwd\n"
	"\tcap acs 1d 1d\n"
	"0000:01:00.0 8086:10c9 020000\n"
	"\tbelow 0000:00:1c.0\n"
	"\tgroup 5\n"
	"\tdriver igb\n"
	"\tnode 0\n"
	"\tnet eth0 52:54:00:00:00:01 up 5\n"
	"\tcap exp endpoint flr ari-cap\n"
	"\tcap ari\n"
	"\tcap sriov 7 128 2 10ca ari\n"
	"\tattr net/eth0/carrier 1\n"
	"\tattr reset_method flr bus\n"
	"\tvfs 2 10 vfio-pci\n";

static const char resource[] = "0x00000000fe800000 0x00000000fe81ffff 0x0000000000040200\n"
			       "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
			       "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
			       "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
			       "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
			       "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
			       "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
			       "0x00000000fea00000 0x00000000fea1bfff 0x0000000000140204\n"
			       "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
			       "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
			       "0x00000000fea1c000 0x00000000fea37fff 0x0000000000140204\n"
			       "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
			       "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";

/* rtnetlink has no address to tell of, and can do nothing else; nobody may write. */
static int talk(void *ctx, int protocol, void *req, size_t len, unsigned timeout_ms,
	void **ret_reply, size_t *ret_len)
{
	const struct nlmsghdr *h = req;
	struct nlmsghdr *done;

	if (h->nlmsg_type != RTM_GETADDR)
		return -EOPNOTSUPP;
	done = calloc(1, NLMSG_SPACE(sizeof(int)));
	done->nlmsg_type = NLMSG_DONE;
	done->nlmsg_len = NLMSG_LENGTH(sizeof(int));
	*ret_reply = done;
	*ret_len = NLMSG_SPACE(sizeof(int));
	return 0;
}

static int no_write(
	void *ctx, const struct sysfs *s, const char *path, const char *text, size_t len)
{
	fprintf(stderr, "the doctor wrote '%s' to %s\n", text, path);
	abort();
}

static int no_load(void *ctx, const char *driver)
{
	fprintf(stderr, "the doctor loaded %s\n", driver);
	abort();
}

static const struct vfm_ops ops = {.write = no_write, .talk = talk, .load = no_load};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

static void parents_make(char *path)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		must(mkdir(path, 0755) == 0 || errno == EEXIST, path);
		*p = '/';
	}
}

void doctor_tree_put(struct doctor_tree *d, const char *path, const void *data, size_t len)
{
	char full[PATH_MAX];
	int fd;

	snprintf(full, sizeof(full), "%s/%s", d->t.root, path);
	parents_make(full);
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	must(fd >= 0 && write(fd, data, len) == (ssize_t)len, full);
	close(fd);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void doctor_tree_mod(struct doctor_tree *d, const struct mod *mod)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s/%s", d->t.root, mod->path);
	if (!mod->text) {
		must(nftw(full, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0, full);
	} else if (!strncmp(mod->text, "->", 2)) {
		parents_make(full);
		unlink(full);
		must(symlink(mod->text + 2, full) == 0, full);
	} else {
		doctor_tree_put(d, mod->path, mod->text, strlen(mod->text));
	}
}

void doctor_tree_init(struct doctor_tree *d)
{
	memset(d, 0, sizeof(*d));
	snprintf(d->t.root, sizeof(d->t.root), "/tmp/viaduct-doctor-XXXXXX");
	must(mkdtemp(d->t.root) && chmod(d->t.root, 0755) == 0, "mkdtemp");
	snprintf(d->t.run_dir, sizeof(d->t.run_dir), "%s/run/vf", d->t.root);
	topology_make(d->t.root, good);
	doctor_tree_mod(d, &(struct mod){PF "resource", resource});
	doctor_tree_mod(d, &(struct mod){VF0 "reset_method", "flr bus\n"});
	doctor_tree_mod(d, &(struct mod){"sys/bus/pci/devices/0000:01:10.2/reset_method", "flr\n"});
}

void doctor_tree_finish(struct doctor_tree *d)
{
	topology_finish(&d->t);
}

void doctor_tree_found(void *arg, const struct doctor_finding *f)
{
	struct doctor_tree *d = arg;

	must(d->n < FOUND, "more findings than the test has room for");
	d->found[d->n++] = *f;
}

int doctor_tree_run(struct doctor_tree *d, const struct doctor_config *c, struct err *e)
{
	struct vfm_config cfg = {.root = d->t.root, .run_dir = d->t.run_dir, .ops = &ops};
	struct doctor_config dc = c ? *c : (struct doctor_config){0};
	struct vfm *v;
	int r;

	d->n = 0;
	dc.found = doctor_tree_found;
	dc.arg = d;
	must(vfm_create(&cfg, &v, e) == 0, "vfm_create");
	r = doctor_run(v, &dc, e);
	vfm_destroy(v);
	return r;
}

const struct doctor_finding *doctor_tree_worst(
	const struct doctor_tree *d, const char *id, const char *device)
{
	const struct doctor_finding *worst = NULL;

	for (size_t i = 0; i < d->n; i++) {
		const struct doctor_finding *f = &d->found[i];
		char name[BDF_STRLEN];

		if (strcmp(f->check->id, id) || f->has_device != (device != NULL) ||
			(device && strcmp(bdf_format(f->device, name), device)))
			continue;
		if (!worst || f->status > worst->status)
			worst = f;
	}
	return worst;
}
