// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"

#define CARRIER_TIMEOUT_MS 5000
#define UNDO_TIMEOUT_MS    10000

struct carve {
	struct vfm_function pf;
	char name[BDF_STRLEN];
	unsigned before, want;
	bool brought_up;    /* the interface was off and we switched it on */
	bool autoprobe_off; /* we switched it off */
	bool had_carrier;   /* before the carve */
	bool wrote;         /* sriov_numvfs was written, whatever the outcome */
	pid_t stuck;        /* the child that still waits for a write, 0 = none */
	int klog_fd;
};

static int carrier_is_on(struct vfm *v, void *arg)
{
	struct carve *c = arg;
	char attr[VFM_NAME_MAX + 16];
	uint64_t on;

	snprintf(attr, sizeof(attr), "net/%s/carrier", c->pf.netdev);
	return dev_read_u64(v, c->pf.bdf, attr, &on) == 0 && on == 1;
}

struct read_arg {
	const struct carve *c;
};

static int numvfs_read_child(struct vfm *v, void *arg)
{
	const struct read_arg *a = arg;
	uint64_t n;
	int r = dev_read_u64(v, a->c->pf.bdf, "sriov_numvfs", &n);

	if (r < 0)
		return r;
	return n > MAX_VFS ? -EINVAL : (int)n;
}

/* Some kernels make the reader wait for a carve under way. */
static int numvfs_read(struct vfm *v, struct carve *c, unsigned *ret, struct err *e)
{
	struct read_arg a = {c};
	int r = call_in_child(
		v, "the kernel to tell the number of VFs", numvfs_read_child, &a, &c->stuck);

	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT,
			"read sriov_numvfs: no answer in %u s: another process is changing it",
			v->timeout_ms / 1000);
	if (r < 0)
		return err_sys(e, -r, "read sriov_numvfs");
	*ret = (unsigned)r;
	return 0;
}

static int check_pf(struct vfm *v, struct carve *c, struct err *e)
{
	char pf[BDF_STRLEN];

	if (c->pf.kind == VFM_VF)
		return err_set(e, ENOTSUP, "this is VF %d of %s: carve the PF", c->pf.index,
			bdf_format(c->pf.pf, pf));
	if (c->pf.kind != VFM_PF)
		return err_set(e, ENOTSUP,
			"no SR-IOV here (device %04x:%04x, driver %s): 'viaduct vf list' shows the "
			"devices that have it",
			c->pf.vendor, c->pf.device, *c->pf.driver ? c->pf.driver : "none");
	if (c->pf.total_vfs == 0)
		return err_set(e, ENOTSUP,
			"the device offers 0 VFs: turn SR-IOV on in the firmware set-up or with "
			"the "
			"card's own tool");
	if (c->want > c->pf.total_vfs)
		return err_set(
			e, ERANGE, "%u VFs asked for, it has %u at most", c->want, c->pf.total_vfs);
	if (!*c->pf.driver)
		return err_set(e, ENOTSUP,
			"it has no driver: load its driver first, only that can make VFs");
	return 0;
}

/* A carve that was killed left the switch off: what it had been is in the journal. */
static void autoprobe_recover(struct vfm *v, struct carve *c)
{
	struct journal_entry entry;

	if (journal_read(v, c->pf.bdf, JOURNAL_AUTOPROBE, &entry) < 0)
		return;
	if (!c->pf.autoprobe && !strcmp(entry.value, "1") &&
		dev_write(v, c->pf.bdf, "sriov_drivers_autoprobe", "1") == 0) {
		c->pf.autoprobe = 1;
		vfm_note(v,
			"%s: an interrupted carve had left sriov_drivers_autoprobe off: on again",
			c->name);
	}
	journal_remove(v, c->pf.bdf, JOURNAL_AUTOPROBE);
}

static int autoprobe_off(struct vfm *v, struct carve *c, struct err *e)
{
	struct journal_entry entry = {.value = "1"};
	int r;

	if (c->pf.autoprobe <= 0)
		return 0;
	r = journal_write(v, c->pf.bdf, JOURNAL_AUTOPROBE, &entry, e);
	if (r < 0)
		return r;
	r = dev_write(v, c->pf.bdf, "sriov_drivers_autoprobe", "0");
	if (r < 0) {
		journal_remove(v, c->pf.bdf, JOURNAL_AUTOPROBE);
		return err_sys(e, -r, "write 0 to sriov_drivers_autoprobe (%s)",
			explain(VFM_AT_AUTOPROBE, -r, ""));
	}
	c->autoprobe_off = true;
	return 0;
}

static int autoprobe_restore(struct vfm *v, struct carve *c)
{
	int r;

	if (!c->autoprobe_off)
		return 0;
	r = dev_write(v, c->pf.bdf, "sriov_drivers_autoprobe", "1");
	if (r < 0)
		return r; /* the journal stays: the next carve tries again */
	c->autoprobe_off = false;
	journal_remove(v, c->pf.bdf, JOURNAL_AUTOPROBE);
	return 0;
}

static int pf_up(struct vfm *v, struct carve *c, struct err *e)
{
	int r;

	if (!*c->pf.netdev || c->pf.ifindex <= 0)
		return 0;
	if (!c->pf.admin_up) {
		r = link_set_up(v, c->pf.ifindex, true, e);
		if (r < 0)
			return err_wrap(e, r, "bring interface %s up", c->pf.netdev);
		c->brought_up = true;
		vfm_note(v, "%s: brought %s up: its VFs work only then", c->name, c->pf.netdev);
	}
	r = wait_until(v, "link", c->brought_up ? CARRIER_TIMEOUT_MS : 0, carrier_is_on, c);
	if (r < 0 && r != -ETIMEDOUT)
		return err_sys(e, -r, "wait for the link of %s", c->pf.netdev);
	c->had_carrier = r == 0;
	return 0;
}

static int numvfs_write(struct vfm *v, struct carve *c, unsigned n, struct err *e)
{
	char path[PATH_MAX], text[16], what[64], klog[256];
	const char *why;
	int r;

	snprintf(text, sizeof(text), "%u", n);
	snprintf(what, sizeof(what),
		n ? "the kernel to make %u VFs" : "the kernel to destroy the VFs", n);
	sysfs_pci_path(c->pf.bdf, "sriov_numvfs", path, sizeof(path));
	c->wrote = true;
	r = write_in_child(v, what, path, text, &c->stuck);
	if (r >= 0)
		return 0;
	if (r == -ETIMEDOUT) {
		err_set(e, ETIMEDOUT,
			"write %u to sriov_numvfs: not done after %u s; process %d still waits for "
			"the kernel, which waits for whoever uses a VF",
			n, v->timeout_ms / 1000, (int)c->stuck);
		return -ETIMEDOUT;
	}
	klog_last(c->klog_fd, c->pf.bdf, klog, sizeof(klog));
	why = explain(VFM_AT_NUMVFS, -r, klog);
	err_sys(e, -r, "write %u to sriov_numvfs", n);
	if (*why)
		err_append(e, "%s", why);
	if (*klog)
		err_append(e, "kernel log: %s", klog);
	return r;
}

struct links_arg {
	struct carve *c;
	unsigned n;
};

/* Every virtfn link leads to a device, and that is in a group if its PF is in one. */
static int links_are_there(struct vfm *v, void *arg)
{
	struct links_arg *a = arg;
	char path[PATH_MAX];

	for (unsigned i = 0; i < a->n; i++) {
		struct bdf b;

		if (vf_bdf(v, a->c->pf.bdf, i, &b) < 0 ||
			!sysfs_exists(&v->sys, sysfs_pci_path(b, "physfn", path, sizeof(path))))
			return 0;
		if (a->c->pf.iommu_group >= 0 &&
			!sysfs_exists(
				&v->sys, sysfs_pci_path(b, "iommu_group", path, sizeof(path))))
			return 0;
	}
	return 1;
}

static int links_are_gone(struct vfm *v, void *arg)
{
	struct links_arg *a = arg;
	char path[PATH_MAX], attr[32];

	for (unsigned i = 0; i < a->c->pf.total_vfs; i++) {
		snprintf(attr, sizeof(attr), "virtfn%u", i);
		if (sysfs_exists(&v->sys, sysfs_pci_path(a->c->pf.bdf, attr, path, sizeof(path))))
			return 0;
	}
	return 1;
}

static int links_wait(struct vfm *v, struct carve *c, unsigned n, struct err *e)
{
	struct links_arg a = {c, n};
	int r = wait_until(v, n ? "the VFs to appear" : "the VFs to go", v->timeout_ms,
		n ? links_are_there : links_are_gone, &a);

	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "%u VFs: their links in sysfs did not %s in %u s", n,
			n ? "appear" : "go", v->timeout_ms / 1000);
	if (r < 0)
		return err_sys(e, -r, "wait for the VFs");
	return 0;
}

/* Write, then believe what can be read: the kernel calls a short count a success. */
static int count_set(struct vfm *v, struct carve *c, unsigned n, struct err *e)
{
	unsigned got;
	int r = numvfs_write(v, c, n, e);

	if (r < 0)
		return r;
	r = numvfs_read(v, c, &got, e);
	if (r < 0)
		return r;
	if (got != n)
		return err_set(e, ENOSPC,
			"%u VFs asked for, the kernel made %u: bus numbers or memory are short "
			"(dmesg tells), ask for fewer",
			n, got);
	return links_wait(v, c, n, e);
}

/*
 * The records of its VFs go when the VFs have gone, not before: if the kernel keeps them, release
 * must still find them.
 */
static int vfs_destroy(struct vfm *v, struct carve *c, struct err *e)
{
	_cleanup_free_ struct bdf *vfs = calloc(c->before, sizeof(*vfs));
	unsigned n = 0;
	int r;

	if (!vfs)
		return err_sys(e, ENOMEM, "list its VFs");
	for (unsigned i = 0; i < c->before; i++)
		n += vf_bdf(v, c->pf.bdf, i, &vfs[n]) == 0;
	r = count_set(v, c, 0, e);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < n; i++)
		journal_forget(v, vfs[i]);
	return 0;
}

int refuse_if_any_used(
	struct vfm *v, const struct vfm_function *pf, const char *doing, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < pf->num_vfs; i++) {
		struct bdf b;

		if (vf_bdf(v, pf->bdf, i, &b) == 0)
			r = refuse_if_held(v, b, doing, e);
	}
	return r;
}

static int refuse_destroy(struct vfm *v, const struct carve *c, struct err *e)
{
	char doing[64];

	snprintf(doing, sizeof(doing), "its %u VFs would be destroyed", c->pf.num_vfs);
	return refuse_if_any_used(v, &c->pf, doing, e);
}

/* Back to c->before VFs. They are new ones: what their predecessors were given is lost. */
static void count_undo(struct vfm *v, struct carve *c, struct err *e)
{
	unsigned got = 0;
	struct err why = {0};
	int r;

	if (!c->wrote)
		return;
	if (c->stuck) {
		err_append(e, "the number of VFs is left to that write");
		return;
	}
	v->timeout_ms = v->timeout_ms < UNDO_TIMEOUT_MS ? v->timeout_ms : UNDO_TIMEOUT_MS;
	r = numvfs_read(v, c, &got, &why);
	if (r == 0 && got == c->before && got == 0)
		return;
	if (r == 0 && got == c->before && links_wait(v, c, got, NULL) == 0)
		return;
	if (r == 0 && got)
		r = numvfs_write(v, c, 0, &why);
	if (r == 0)
		r = links_wait(v, c, 0, &why);
	if (r == 0 && c->before) {
		r = numvfs_write(v, c, c->before, &why);
		if (r == 0)
			r = links_wait(v, c, c->before, &why);
		if (r == 0)
			err_append(e,
				"%u VFs were made again, without the addresses and drivers "
				"the earlier ones had",
				c->before);
	}
	if (r < 0)
		err_append(e, "not undone: it had %u VFs: %s", c->before, why.text);
}

static void undo(struct vfm *v, struct carve *c, struct err *e)
{
	const volatile sig_atomic_t *cancel = v->cancel;
	unsigned timeout = v->timeout_ms;
	struct err why = {0};
	int r;

	/* What was begun before a cancel must still be undone. */
	v->cancel = NULL;
	count_undo(v, c, e);
	r = autoprobe_restore(v, c);
	if (r < 0)
		err_append(e, "not undone: sriov_drivers_autoprobe is left at 0: %s", strerror(-r));
	if (c->brought_up && link_set_up(v, c->pf.ifindex, false, &why) < 0)
		err_append(e, "not undone: %s is left up: %s", c->pf.netdev, why.text);
	v->cancel = cancel;
	v->timeout_ms = timeout;
}

/* The carve resets some PFs (igb closes and reopens): they are of use again with their link. */
static void link_wait(struct vfm *v, struct carve *c)
{
	if (!c->had_carrier)
		return;
	if (wait_until(v, "the PF's link to come back", CARRIER_TIMEOUT_MS, carrier_is_on, c) < 0)
		vfm_note(v, "%s: %s has no link since the carve", c->name, c->pf.netdev);
}

static int carve_steps(struct vfm *v, struct carve *c, struct vfm_carve_result *res, struct err *e)
{
	unsigned start;
	int r;

	if (c->want) {
		r = pf_up(v, c, e);
		if (r < 0)
			return r;
		r = autoprobe_off(v, c, e);
		if (r < 0)
			return r;
		/* Records of VFs that a killed carve destroyed: the new ones are others. */
		journal_sweep(v, c->pf.bdf.domain, false);
	}
	start = now_ms();
	if (c->before) {
		r = vfs_destroy(v, c, e);
		if (r < 0)
			return r;
	}
	if (c->want) {
		r = count_set(v, c, c->want, e);
		if (r < 0)
			return r;
	}
	res->ready_ms = now_ms() - start;
	r = autoprobe_restore(v, c);
	if (r < 0)
		return err_sys(e, -r, "write 1 to sriov_drivers_autoprobe");
	link_wait(v, c);
	return 0;
}

static int carve_locked(struct vfm *v, struct carve *c, struct vfm_carve_result *res, struct err *e)
{
	int r;

	if (function_read(v, c->pf.bdf, &c->pf) < 0)
		return err_set(e, ENODEV, "no such PCI function ('viaduct vf list' shows them)");
	r = check_pf(v, c, e);
	if (r < 0)
		return r;
	/* Before anything that may wait for the device's lock. */
	if (c->pf.num_vfs != c->want) {
		r = refuse_destroy(v, c, e);
		if (r < 0)
			return r;
	}
	r = lock_domain(v, c->pf.bdf, true, e);
	if (r < 0)
		return r;
	autoprobe_recover(v, c);
	r = numvfs_read(v, c, &c->before, e);
	if (r < 0)
		return r;
	res->before = res->after = c->before;
	if (c->before == c->want)
		return links_wait(v, c, c->want, e);
	/* Again under the lock: no bind of ours can be under way now. */
	function_read(v, c->pf.bdf, &c->pf);
	r = refuse_destroy(v, c, e);
	if (r < 0)
		return r;
	c->klog_fd = klog_open(v);
	r = carve_steps(v, c, res, e);
	if (r < 0) {
		undo(v, c, e);
		return r;
	}
	res->after = c->want;
	res->changed = true;
	return 0;
}

int vfm_carve(struct vfm *v, struct bdf pf, unsigned n, unsigned flags,
	struct vfm_carve_result *ret, struct err *e)
{
	_drops_locks_ struct vfm *locked = v;
	struct carve c = {.pf.bdf = pf, .want = n, .klog_fd = -1};
	struct vfm_carve_result res = {0};
	int r;

	bdf_format(pf, c.name);
	r = carve_locked(v, &c, &res, e);
	fd_close(c.klog_fd);
	if (r < 0)
		return err_wrap(e, r, "carve %s", c.name);
	if (ret)
		*ret = res;
	return 0;
}
