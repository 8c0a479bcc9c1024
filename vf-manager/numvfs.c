// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/numvfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define UNREAD (MAX_VFS + 1) /* written, but the number cannot be read back */

int numvfs_note(struct vfm *v, struct numvfs *nv, unsigned n, struct err *e)
{
	struct bdf *vf = calloc(n + 1, sizeof(*vf));
	unsigned found = 0;

	if (!vf)
		return err_sys(e, ENOMEM, "list its VFs");
	for (unsigned i = 0; i < n; i++)
		found += vf_bdf(v, nv->pf, i, &vf[found]) == 0;
	free(nv->vf);
	nv->vf = vf;
	nv->n_vfs = found;
	nv->count = n;
	return 0;
}

void numvfs_finish(struct numvfs *nv)
{
	free(nv->vf);
	nv->vf = NULL;
	nv->klog_fd = fd_close(nv->klog_fd);
}

bool numvfs_gone(struct vfm *v, const struct numvfs *nv)
{
	char path[PATH_MAX];

	return !sysfs_exists(&v->sys, sysfs_pci_path(nv->pf, "sriov_numvfs", path, sizeof(path)));
}

static int count_read(struct vfm *v, struct bdf pf)
{
	uint64_t n;
	int r = dev_read_u64(v, pf, "sriov_numvfs", &n);

	if (r < 0)
		return r;
	return n > MAX_VFS ? -EINVAL : (int)n;
}

static int read_do(struct vfm *v, const void *arg, void *reply)
{
	const struct bdf *pf = arg;

	return count_read(v, *pf);
}

static int gone(struct err *e)
{
	return err_set(e, ENODEV,
		"it went away meanwhile (pulled out?), and its VFs with it: 'viaduct vf list' "
		"shows what is there");
}

/* Some kernels make the reader wait for a carve under way. */
int numvfs_read(struct vfm *v, struct numvfs *nv, unsigned *ret, struct err *e)
{
	const struct worker_call c = {
		.what = "the kernel to tell the number of VFs",
		.fn = read_do,
		.arg = &nv->pf,
		.arg_size = sizeof(nv->pf),
		.timeout_ms = v->timeout_ms,
		.with_locks = true,
		.ret_stuck = &nv->stuck,
	};
	int r = worker_run(v, &c);

	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT,
			"read sriov_numvfs: no answer in %u s: another process is changing it",
			v->timeout_ms / 1000);
	if (r < 0 && numvfs_gone(v, nv))
		return gone(e);
	if (r < 0)
		return err_sys(e, -r, "read sriov_numvfs");
	*ret = (unsigned)r;
	return 0;
}

struct write_arg {
	struct bdf pf;
	unsigned n;
};

/* Reads back too: both may block. */
static int write_do(struct vfm *v, const void *arg, void *reply)
{
	const struct write_arg *a = arg;
	char text[16];
	int r;

	snprintf(text, sizeof(text), "%u", a->n);
	r = dev_write(v, a->pf, "sriov_numvfs", text);
	if (r < 0)
		return r;
	r = count_read(v, a->pf);
	return r < 0 ? (int)UNREAD : r;
}

/* What the kernel's log says of the PF or a VF, and what the two together mean. */
static void explain_append(struct vfm *v, struct numvfs *nv, int code, struct err *e)
{
	_cleanup_free_ struct bdf *of = calloc(nv->n_vfs + 1, sizeof(*of));
	char klog[256] = "";
	const char *why;

	if (of) {
		if (nv->n_vfs)
			memcpy(of, nv->vf, nv->n_vfs * sizeof(*of));
		of[nv->n_vfs] = nv->pf;
		klog_last_of(nv->klog_fd, of, nv->n_vfs + 1, klog, sizeof(klog));
	}
	why = explain(VFM_AT_NUMVFS, code, klog);
	if (*why)
		err_append(e, "%s", why);
	if (*klog)
		err_append(e, "kernel log: %s", klog);
}

int numvfs_write(struct vfm *v, struct numvfs *nv, unsigned n, struct err *e)
{
	const struct write_arg a = {nv->pf, n};
	char what[64];
	const struct worker_call c = {
		.what = what,
		.fn = write_do,
		.arg = &a,
		.arg_size = sizeof(a),
		.timeout_ms = v->timeout_ms,
		.with_locks = true,
		.ret_stuck = &nv->stuck,
	};
	int r;

	snprintf(what, sizeof(what),
		n ? "the kernel to make %u VFs" : "the kernel to destroy the VFs", n);
	nv->wrote = true;
	r = worker_run(v, &c);
	if (r == (int)n)
		return 0;
	if (r == -ETIMEDOUT && nv->stuck) {
		err_set(e, ETIMEDOUT,
			"write %u to sriov_numvfs: not done after %u s; process %d still waits for "
			"the kernel, which waits for whoever uses a VF",
			n, v->timeout_ms / 1000, (int)nv->stuck);
		explain_append(v, nv, ETIMEDOUT, e);
		return -ETIMEDOUT;
	}
	if (numvfs_gone(v, nv))
		return gone(e);
	if (r == UNREAD)
		return err_set(e, EIO, "sriov_numvfs was written, but cannot be read back");
	if (r >= 0) {
		err_set(e, ENOSPC,
			"%u VFs asked for, the kernel made %d: bus numbers or memory are short "
			"(dmesg tells), ask for fewer",
			n, r);
		explain_append(v, nv, ENOSPC, e);
		return -ENOSPC;
	}
	err_sys(e, -r, "write %u to sriov_numvfs", n);
	explain_append(v, nv, -r, e);
	return r;
}

struct links_arg {
	const struct numvfs *nv;
	unsigned n;
};

static int are_there(struct vfm *v, void *arg)
{
	const struct links_arg *a = arg;
	char path[PATH_MAX];

	if (numvfs_gone(v, a->nv))
		return -ENODEV;
	for (unsigned i = 0; i < a->n; i++) {
		struct bdf b;

		if (vf_bdf(v, a->nv->pf, i, &b) < 0 ||
			!sysfs_exists(&v->sys, sysfs_pci_path(b, "physfn", path, sizeof(path))))
			return 0;
		if (a->nv->group >= 0 && !sysfs_exists(&v->sys, sysfs_pci_path(b, "iommu_group",
									path, sizeof(path))))
			return 0;
	}
	return 1;
}

static int are_gone(struct vfm *v, void *arg)
{
	const struct links_arg *a = arg;
	char path[PATH_MAX], attr[32];

	for (unsigned i = 0; i < a->nv->count; i++) {
		snprintf(attr, sizeof(attr), "virtfn%u", i);
		if (sysfs_exists(&v->sys, sysfs_pci_path(a->nv->pf, attr, path, sizeof(path))))
			return 0;
	}
	for (unsigned i = 0; i < a->nv->n_vfs; i++)
		if (sysfs_exists(
			    &v->sys, sysfs_pci_path(a->nv->vf[i], "physfn", path, sizeof(path))))
			return 0;
	return 1;
}

int numvfs_links_wait(struct vfm *v, struct numvfs *nv, unsigned n, struct err *e)
{
	struct links_arg a = {nv, n};
	int r = wait_until(v, n ? "the VFs to appear" : "the VFs to go", v->timeout_ms,
		n ? are_there : are_gone, &a);

	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "%u VFs: their links in sysfs did not %s in %u s", n,
			n ? "appear" : "go", v->timeout_ms / 1000);
	if (r == -ENODEV)
		return gone(e);
	if (r < 0)
		return err_sys(e, -r, "wait for the VFs");
	return 0;
}
