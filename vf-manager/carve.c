// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"
#include "vf-manager/numvfs.h"

#define UNDO_TIMEOUT_MS 10000

struct carve {
	struct vfm_function pf;
	char name[BDF_STRLEN];
	unsigned before, want, flags;
	bool brought_up;  /* the interface was off and we switched it on */
	int autoprobe;    /* what we changed it from; -1 = we did not */
	bool had_carrier; /* before the carve */
	struct numvfs numvfs;
	struct vfm_carve_result res;
	uint64_t lap; /* when the phase that runs began */
};

/* The time since the last lap. */
static unsigned lap(struct carve *c)
{
	uint64_t now = now_us();
	unsigned us = (unsigned)(now - c->lap);

	c->lap = now;
	return us;
}

static int carrier_is_on(struct vfm *v, void *pf)
{
	return function_carrier(v, pf) == 1;
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
			"the card's own tool");
	if (c->want > c->pf.total_vfs)
		return err_set(
			e, ERANGE, "%u VFs asked for, it has %u at most", c->want, c->pf.total_vfs);
	if (!*c->pf.driver && c->pf.num_vfs != c->want)
		return err_set(e, ENOTSUP,
			"it has no driver: load its driver first, only that can make VFs");
	return 0;
}

static int autoprobe_write(struct vfm *v, struct carve *c, int to)
{
	return dev_write(v, c->pf.bdf, "sriov_drivers_autoprobe", to ? "1" : "0");
}

/* A carve that was killed left the switch as it needed it: what it had been is in the journal. */
static void autoprobe_recover(struct vfm *v, struct carve *c)
{
	struct journal_entry entry;
	int had;

	if (journal_read(v, c->pf.bdf, JOURNAL_AUTOPROBE, &entry) < 0)
		return;
	had = !strcmp(entry.value, "1");
	if (c->pf.autoprobe >= 0 && !!c->pf.autoprobe != had) {
		if (autoprobe_write(v, c, had) < 0)
			return;
		c->pf.autoprobe = had;
		vfm_note(v,
			"%s: an interrupted carve had left sriov_drivers_autoprobe %s: %s again",
			c->name, had ? "off" : "on", had ? "on" : "off");
	}
	journal_remove(v, c->pf.bdf, JOURNAL_AUTOPROBE);
}

static int autoprobe_set(struct vfm *v, struct carve *c, struct err *e)
{
	int want = c->flags & VFM_CARVE_AUTOPROBE ? 1 : 0, had = c->pf.autoprobe ? 1 : 0, r;
	struct journal_entry entry = {.value = {had ? '1' : '0'}};

	/* A kernel without the switch, or one that does not tell. */
	if (c->pf.autoprobe < 0 || had == want)
		return 0;
	r = journal_write(v, c->pf.bdf, JOURNAL_AUTOPROBE, &entry, e);
	if (r < 0)
		return r;
	r = autoprobe_write(v, c, want);
	if (r < 0) {
		journal_remove(v, c->pf.bdf, JOURNAL_AUTOPROBE);
		return err_sys(e, -r, "write %d to sriov_drivers_autoprobe (%s)", want,
			explain(VFM_AT_AUTOPROBE, -r, ""));
	}
	c->autoprobe = had;
	return 0;
}

static int autoprobe_restore(struct vfm *v, struct carve *c)
{
	int r;

	if (c->autoprobe < 0)
		return 0;
	r = autoprobe_write(v, c, c->autoprobe);
	if (r < 0)
		return r; /* the journal stays: the next carve tries again */
	c->autoprobe = -1;
	journal_remove(v, c->pf.bdf, JOURNAL_AUTOPROBE);
	return 0;
}

static int pf_up(struct vfm *v, struct carve *c, struct err *e)
{
	int r;

	if (!*c->pf.netdev || c->pf.ifindex <= 0)
		return 0;
	c->had_carrier = carrier_is_on(v, &c->pf);
	if (c->pf.admin_up)
		return 0;
	r = link_set_up(v, c->pf.ifindex, true, e);
	if (r < 0) {
		struct vfm_function now;

		/* Its answer may have been lost, not the request. */
		c->brought_up = function_read(v, c->pf.bdf, &now) == 0 && now.admin_up;
		return err_wrap(e, r, "bring interface %s up", c->pf.netdev);
	}
	c->brought_up = true;
	vfm_note(v, "%s: brought %s up: its VFs work only then", c->name, c->pf.netdev);
	return 0;
}

/*
 * The records of its VFs go when the VFs have gone, not before: if the kernel keeps them, release
 * must still find them.
 */
static int vfs_destroy(struct vfm *v, struct carve *c, struct err *e)
{
	enum vfm_phase outer = phase_enter(v, VFM_PHASE_DESTROY);
	int r = numvfs_note(v, &c->numvfs, c->before, e);

	if (r == 0)
		r = numvfs_write(v, &c->numvfs, 0, e);
	c->res.destroy_us = lap(c);
	if (r == 0)
		r = numvfs_links_wait(v, &c->numvfs, 0, e);
	c->res.gone_us = lap(c);
	for (unsigned i = 0; r == 0 && i < c->numvfs.n_vfs; i++)
		journal_forget(v, c->numvfs.vf[i]);
	phase_enter(v, outer);
	return r;
}

static int vfs_make(struct vfm *v, struct carve *c, struct err *e)
{
	enum vfm_phase outer = phase_enter(v, VFM_PHASE_WRITE);
	int r = numvfs_write(v, &c->numvfs, c->want, e);

	c->res.make_us = lap(c);
	phase_enter(v, VFM_PHASE_LINKS);
	if (r == 0)
		r = numvfs_links_wait(v, &c->numvfs, c->want, e);
	c->res.links_us = lap(c);
	phase_enter(v, outer);
	return r;
}

static int refuse_destroy(struct vfm *v, const struct carve *c, struct err *e)
{
	char doing[64];

	snprintf(doing, sizeof(doing), "its %u VFs would be destroyed", c->pf.num_vfs);
	return refuse_if_any_used(v, &c->pf, doing, true, c->flags & VFM_CARVE_FORCE, e);
}

/* Back to c->before VFs. They are new ones: what their predecessors were given is lost. */
static void count_undo(struct vfm *v, struct carve *c, struct err *e)
{
	struct numvfs *nv = &c->numvfs;
	unsigned got = 0;
	struct err why = {0};
	int r;

	if (!nv->wrote)
		return;
	if (nv->stuck) {
		err_append(e, "the number of VFs is left to that write");
		return;
	}
	v->timeout_ms = v->timeout_ms < UNDO_TIMEOUT_MS ? v->timeout_ms : UNDO_TIMEOUT_MS;
	r = numvfs_read(v, nv, &got, &why);
	if (r == 0 && got == c->before && got == 0)
		return;
	if (r == 0 && got == c->before && numvfs_links_wait(v, nv, got, NULL) == 0)
		return;
	if (r == 0 && got) {
		r = numvfs_note(v, nv, got, &why);
		if (r == 0)
			r = numvfs_write(v, nv, 0, &why);
	}
	if (r == 0)
		r = numvfs_links_wait(v, nv, 0, &why);
	if (r == 0 && c->before) {
		r = numvfs_write(v, nv, c->before, &why);
		if (r == 0)
			r = numvfs_links_wait(v, nv, c->before, &why);
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

	/* With the device went all that could be undone; its records are of no device any more. */
	if (numvfs_gone(v, &c->numvfs)) {
		journal_remove(v, c->pf.bdf, JOURNAL_AUTOPROBE);
		for (unsigned i = 0; i < c->numvfs.n_vfs; i++)
			journal_forget(v, c->numvfs.vf[i]);
		return;
	}
	/* What was begun before a cancel must still be undone. */
	v->cancel = NULL;
	count_undo(v, c, e);
	r = autoprobe_restore(v, c);
	if (r < 0)
		err_append(e, "not undone: sriov_drivers_autoprobe was %d: %s", c->autoprobe,
			strerror(-r));
	if (c->brought_up && link_set_up(v, c->pf.ifindex, false, &why) < 0)
		err_append(e, "not undone: %s is left up: %s", c->pf.netdev, why.text);
	v->cancel = cancel;
	v->timeout_ms = timeout;
}

/* The carve resets some PFs (igb closes and reopens): they are of use again with their link. */
static void link_wait(struct vfm *v, struct carve *c)
{
	if (!(c->flags & VFM_CARVE_WAIT_LINK) || !(c->had_carrier || c->brought_up))
		return;
	if (wait_until(v, "the PF's link to come back", CARRIER_TIMEOUT_MS, carrier_is_on, &c->pf) <
		0)
		vfm_note(v, "%s: %s has no link since the carve", c->name, c->pf.netdev);
	c->res.carrier_us = lap(c);
}

static int carve_steps(struct vfm *v, struct carve *c, struct err *e)
{
	uint64_t start;
	int r = 0;

	if (c->want) {
		r = pf_up(v, c, e);
		c->res.up_us = lap(c);
		if (r == 0)
			r = autoprobe_set(v, c, e);
		if (r < 0)
			return r;
		/* Records of VFs that a killed carve destroyed: the new ones are others. */
		journal_sweep(v, c->pf.bdf.domain, false);
	}
	start = c->lap = now_us();
	if (c->before)
		r = vfs_destroy(v, c, e);
	if (r == 0 && c->want)
		r = vfs_make(v, c, e);
	if (r < 0)
		return r;
	c->res.ready_ms = (unsigned)((c->lap - start) / 1000);
	r = autoprobe_restore(v, c);
	if (r < 0)
		return err_sys(e, -r, "write %d to sriov_drivers_autoprobe", c->autoprobe);
	c->lap = now_us();
	link_wait(v, c);
	return 0;
}

static int carve_locked(struct vfm *v, struct carve *c, struct err *e)
{
	int r;

	if (function_read(v, c->pf.bdf, &c->pf) < 0)
		return err_set(e, ENODEV, "no such PCI function ('viaduct vf list' shows them)");
	r = check_pf(v, c, e);
	/* Before anything that may wait for the device's lock; who forces it is told once, below. */
	if (r == 0 && c->pf.num_vfs != c->want && !(c->flags & VFM_CARVE_FORCE))
		r = refuse_destroy(v, c, e);
	if (r == 0)
		r = lock_domain(v, c->pf.bdf, true, e);
	if (r < 0)
		return r;
	c->numvfs.group = c->pf.iommu_group;
	c->numvfs.count = c->pf.num_vfs;
	autoprobe_recover(v, c);
	r = numvfs_read(v, &c->numvfs, &c->before, e);
	if (r < 0)
		return r;
	c->res.before = c->res.after = c->before;
	if (c->before == c->want)
		return numvfs_links_wait(v, &c->numvfs, c->want, e);
	/* Again under the lock: no bind of ours can be under way now. */
	if (c->before && function_read(v, c->pf.bdf, &c->pf) == 0)
		r = refuse_destroy(v, c, e);
	if (r < 0)
		return r;
	c->numvfs.klog_fd = klog_open(v);
	c->res.check_us = lap(c);
	r = carve_steps(v, c, e);
	if (r < 0) {
		undo(v, c, e);
		return r;
	}
	c->res.after = c->want;
	c->res.changed = true;
	return 0;
}

int vfm_carve(struct vfm *v, struct bdf pf, unsigned n, unsigned flags,
	struct vfm_carve_result *ret, struct err *e)
{
	_drops_locks_ struct vfm *locked = v;
	struct carve c = {
		.pf.bdf = pf,
		.want = n,
		.flags = flags,
		.autoprobe = -1,
		.numvfs = {.pf = pf, .group = -1, .klog_fd = -1},
		.lap = now_us(),
	};
	uint64_t start = c.lap;
	int r;

	bdf_format(pf, c.name);
	r = carve_locked(v, &c, e);
	numvfs_finish(&c.numvfs);
	if (r < 0)
		return err_wrap(e, r, "carve %s", c.name);
	c.res.total_us = (unsigned)(now_us() - start);
	if (ret)
		*ret = c.res;
	return 0;
}
