// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/usage.h"

#define CLASS_BRIDGE    0x06
#define NODE_TIMEOUT_MS 10000

/* What a function is bound to; "" = none. */
struct binding {
	char driver[VFM_NAME_MAX];
	char override[VFM_NAME_MAX];
	bool by_id; /* only if the driver knows the device: no override may force it */
};

struct move {
	struct bdf bdf;
	char name[BDF_STRLEN];
	pid_t stuck;
};

static void binding_of(const struct vfm_function *f, struct binding *ret)
{
	*ret = (struct binding){0};
	memcpy(ret->driver, f->driver, sizeof(ret->driver));
	memcpy(ret->override, f->driver_override, sizeof(ret->override));
}

static int override_write(struct vfm *v, struct move *m, const char *driver, struct err *e)
{
	/* A lone newline clears it; an empty write would do nothing. */
	int r = dev_write(v, m->bdf, "driver_override", *driver ? driver : "\n");

	if (r < 0) {
		err_sys(e, -r, "write '%s' to driver_override", driver);
		if (*explain(VFM_AT_OVERRIDE, -r, ""))
			err_append(e, "%s", explain(VFM_AT_OVERRIDE, -r, ""));
	}
	return r;
}

static int bus_write(
	struct vfm *v, struct move *m, const char *path, const char *what, struct err *e)
{
	int r = worker_write(v, what, path, m->name, &m->stuck);

	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT,
			"%s: not done after %u s; process %d still waits for the kernel", what,
			v->timeout_ms / 1000, (int)m->stuck);
	if (r < 0) {
		err_sys(e, -r, "%s", what);
		if (*explain(VFM_AT_PROBE, -r, ""))
			err_append(e, "%s", explain(VFM_AT_PROBE, -r, ""));
	}
	return r;
}

static int driver_unbind(struct vfm *v, struct move *m, const char *driver, struct err *e)
{
	char path[PATH_MAX], what[128], now[VFM_NAME_MAX];
	int r;

	snprintf(path, sizeof(path), "sys/bus/pci/drivers/%s/unbind", driver);
	snprintf(what, sizeof(what), "unbind it from %s", driver);
	r = bus_write(v, m, path, what, e);
	if (r < 0)
		return r;
	if (!function_driver(v, m->bdf, now))
		return err_set(e, ENODEV, "%s: the device is gone", what);
	if (*now)
		return err_set(e, EIO, "%s: it is bound to %s now", what, now);
	return 0;
}

static int driver_probe(
	struct vfm *v, struct move *m, const char *driver, bool by_id, struct err *e)
{
	char what[128], klog[256], path[PATH_MAX] = "sys/bus/pci/drivers_probe";
	char now[VFM_NAME_MAX];
	int fd = klog_open(v), r;

	if (by_id)
		snprintf(path, sizeof(path), "sys/bus/pci/drivers/%s/bind", driver);
	snprintf(what, sizeof(what), "bind it to %s", *driver ? driver : "the kernel's choice");
	r = bus_write(v, m, path, what, e);
	klog_last(fd, m->bdf, klog, sizeof(klog));
	fd_close(fd);
	if (r < 0) {
		if (*klog)
			err_append(e, "kernel log: %s", klog);
		return r;
	}
	if (!function_driver(v, m->bdf, now))
		return err_set(e, ENODEV, "%s: the device is gone", what);
	/* The probe file says success whatever came of it: the link is the answer. */
	if (!*driver || !strcmp(now, driver))
		return 0;
	err_set(e, EIO, "%s: the driver did not take it (driver now: %s)", what,
		*now ? now : "none");
	if (*klog)
		err_append(e, "kernel log: %s", klog);
	return -EIO;
}

/* One way from any binding to any other. Stops at the first failure. */
static int binding_set(struct vfm *v, struct move *m, const struct binding *to, struct err *e)
{
	const char *force = to->by_id ? "" : to->driver;
	char driver[VFM_NAME_MAX], override[VFM_NAME_MAX];
	int r;

	if (!function_driver(v, m->bdf, driver))
		return err_set(e, ENODEV, "the device is gone");
	function_override(v, m->bdf, override);
	/*
	 * Even a driver that had it, and so matches by its id, needs the override: with autoprobe
	 * off the kernel probes a VF for nothing else.
	 */
	if (strcmp(driver, to->driver)) {
		if (strcmp(override, force)) {
			r = override_write(v, m, force, e);
			if (r < 0)
				return r;
		}
		if (*driver) {
			r = driver_unbind(v, m, driver, e);
			if (r < 0)
				return r;
		}
		if (*to->driver) {
			r = driver_probe(v, m, to->driver, to->by_id, e);
			if (r < 0)
				return r;
		}
		function_override(v, m->bdf, override);
	}
	if (strcmp(override, to->override))
		return override_write(v, m, to->override, e);
	return 0;
}

/* After a failure: back to @from, or say in @e what is different now. 0 when it is as it was. */
static int binding_undo(struct vfm *v, struct move *m, const struct binding *from, struct err *e)
{
	const volatile sig_atomic_t *cancel = v->cancel;
	struct err why = {0};
	struct vfm_function f = {0};
	int r = -EBUSY;

	v->cancel = NULL;
	if (m->stuck)
		err_set(&why, EBUSY, "left to that write");
	else
		r = binding_set(v, m, from, &why);
	v->cancel = cancel;
	if (r == 0)
		return 0;
	function_read(v, m->bdf, &f);
	err_append(e, "not undone: driver '%s' was '%s', driver_override '%s' was '%s': %s",
		f.driver, from->driver, f.driver_override, from->override, why.text);
	return r;
}

static int check_bindable(const struct vfm_function *f, const char *driver, unsigned flags,
	bool is_vfio, struct err *e)
{
	if (f->class >> 16 == CLASS_BRIDGE)
		return err_set(e, ENOTSUP, "a bridge cannot be assigned");
	if (f->kind == VFM_PF && f->num_vfs)
		return err_set(e, EBUSY, "it has %u VFs, which would lose their PF: carve 0 first",
			f->num_vfs);
	if (f->kind != VFM_VF && !(flags & VFM_BIND_WHOLE))
		return err_set(e, ENOTSUP,
			"not a virtual function: the host would lose the whole device; say --whole "
			"if that is wanted");
	if (f->kind != VFM_VF && f->admin_up)
		return err_set(e, EBUSY, "its interface %s is up: 'ip link set %s down' first",
			f->netdev, f->netdev);
	if (is_vfio && f->iommu_group < 0)
		return err_set(e, ENOTSUP,
			"it is in no IOMMU group: turn on VT-d or AMD-Vi in the firmware set-up "
			"and "
			"boot with intel_iommu=on");
	return 0;
}

/*
 * Drivers made to be forced on a device. Any other, told by an override to take a device it does
 * not know, pokes at registers it misreads.
 */
bool driver_takes_any(struct vfm *v, const char *driver)
{
	static const char *const names[] = {"pci-stub", "uio_pci_generic", "igb_uio"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(driver, names[i]))
			return true;
	}
	return driver_is_vfio(v, driver);
}

static int driver_available(struct vfm *v, const char *driver, struct err *e)
{
	char path[PATH_MAX];

	if (!name_is_plain(driver))
		return err_set(e, ENOENT, "'%s' is no driver's name", driver);
	snprintf(path, sizeof(path), "sys/bus/pci/drivers/%s", driver);
	if (sysfs_exists(&v->sys, path))
		return 0;
	/* Its module may have another name; then the user loads it. */
	if (v->ops->load(v->ops_ctx, driver) == 0 && sysfs_exists(&v->sys, path))
		return 0;
	return err_set(e, ENOENT, "the kernel has no PCI driver %s: 'modprobe %s' did not bring it",
		driver, driver);
}

/* The kernel gives the VFs of a PF to no driver while the PF's autoprobe is off. */
static bool driver_may_probe(struct vfm *v, const struct vfm_function *f)
{
	uint64_t on;

	return f->kind != VFM_VF || dev_read_u64(v, f->pf, "sriov_drivers_autoprobe", &on) < 0 ||
	       on;
}

static bool is_word(const char *driver)
{
	return !strcmp(driver, VFM_DRIVER_NONE) || !strcmp(driver, VFM_DRIVER_DEFAULT);
}

bool binding_is(struct vfm *v, const struct vfm_function *f, const char *driver, bool may_probe)
{
	if (!is_word(driver))
		return !strcmp(f->driver, driver);
	if (*f->driver_override)
		return false;
	if (!strcmp(driver, VFM_DRIVER_NONE))
		return !*f->driver;
	return *f->driver ? !driver_is_vfio(v, f->driver) : !may_probe;
}

static int node_is_there(struct vfm *v, void *arg)
{
	const struct bdf *b = arg;
	char path[PATH_MAX];

	if (!sysfs_exists(&v->sys, sysfs_pci_path(*b, "", path, sizeof(path))))
		return -ENODEV;
	return function_has_node(v, *b);
}

static int bind_steps(
	struct vfm *v, struct move *m, const struct binding *to, bool is_vfio, struct err *e)
{
	enum vfm_phase outer;
	int r = binding_set(v, m, to, e);

	if (r < 0 || !is_vfio)
		return r;
	outer = phase_enter(v, VFM_PHASE_NODE);
	r = wait_until(v, "its node in /dev/vfio",
		v->timeout_ms < NODE_TIMEOUT_MS ? v->timeout_ms : NODE_TIMEOUT_MS, node_is_there,
		&m->bdf);
	phase_enter(v, outer);
	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT,
			"bound, but no node appeared in /dev/vfio: is devtmpfs mounted, udev "
			"running?");
	return r < 0 ? err_sys(e, -r, "wait for its node in /dev/vfio") : 0;
}

/* The kernel's choice, of a function that has no driver and no override any more. */
static int choice_probe(struct vfm *v, struct move *m, struct err *e)
{
	struct vfm_function f;
	int r;

	if (function_read(v, m->bdf, &f) < 0)
		return err_set(e, ENODEV, "the device is gone");
	if (!driver_may_probe(v, &f))
		return 0;
	r = driver_probe(v, m, "", false, e);
	if (r < 0)
		return r;
	function_read(v, m->bdf, &f);
	return *f.driver ? 0
			 : err_set(e, EIO,
				   "no driver of this kernel takes it: load one (modprobe), or say "
				   "none");
}

static int bind_locked(
	struct vfm *v, struct move *m, const char *driver, unsigned flags, struct err *e)
{
	bool is_vfio = driver_is_vfio(v, driver), had_entry;
	struct journal_entry entry = {0};
	struct binding from, to = {0};
	struct vfm_function f;
	char path[PATH_MAX];
	int r;

	if (!sysfs_exists(&v->sys, sysfs_pci_path(m->bdf, "", path, sizeof(path))))
		return err_set(e, ENODEV, "no such PCI function ('viaduct vf list' shows them)");
	r = lock_domain(v, m->bdf, false, e);
	if (r == 0)
		r = lock_function(v, m->bdf, e);
	if (r < 0)
		return r;
	if (function_read(v, m->bdf, &f) < 0)
		return err_set(e, ENODEV, "the device is gone");
	r = check_bindable(&f, driver, flags, is_vfio, e);
	if (r < 0)
		return r;
	if (!is_word(driver)) {
		r = driver_available(v, driver, e);
		if (r < 0)
			return r;
		if (!driver_takes_any(v, driver) && !driver_may_probe(v, &f))
			return err_set(e, ENOTSUP,
				"sriov_drivers_autoprobe of its PF is off: the kernel gives its "
				"VFs to no host driver until 1 is written there");
	}
	if (binding_is(v, &f, driver, driver_may_probe(v, &f)))
		return 0;
	r = vfm_refuse_if_used(
		v, m->bdf, "its driver would be taken away", flags & VFM_BIND_FORCE, e);
	if (r < 0)
		return r;
	binding_of(&f, &from);
	if (!is_word(driver))
		snprintf(to.driver, sizeof(to.driver), "%s", driver);
	to.by_id = !driver_takes_any(v, driver);
	/* Kept while bound, so that no rescan gives it back to its own driver. */
	if (!to.by_id)
		snprintf(to.override, sizeof(to.override), "%s", driver);
	had_entry = journal_read(v, m->bdf, JOURNAL_DRIVER, &entry) == 0;
	if (!had_entry) {
		memcpy(entry.value, from.driver, sizeof(entry.value));
		memcpy(entry.override, from.override, sizeof(entry.override));
		r = journal_write(v, m->bdf, JOURNAL_DRIVER, &entry, e);
		if (r < 0)
			return r;
	}
	r = bind_steps(v, m, &to, is_vfio, e);
	if (r == 0 && !strcmp(driver, VFM_DRIVER_DEFAULT))
		r = choice_probe(v, m, e);
	if (r < 0 && binding_undo(v, m, &from, e) == 0 && !had_entry)
		journal_remove(v, m->bdf, JOURNAL_DRIVER);
	return r;
}

int vfm_bind(struct vfm *v, struct bdf b, const char *driver, unsigned flags, struct err *e)
{
	_drops_locks_ struct vfm *locked = v;
	struct move m = {.bdf = b};
	int r;

	bdf_format(b, m.name);
	r = bind_locked(v, &m, driver, flags, e);
	return r < 0 ? err_wrap(e, r, "bind %s to %s", m.name, driver) : 0;
}

int binding_restore(struct vfm *v, struct bdf b, const struct vfm_function *before,
	const struct journal_entry *record, struct err *e)
{
	_drops_locks_ struct vfm *locked = v;
	struct move m = {.bdf = b};
	struct binding from, to;
	struct vfm_function f;
	int r;

	bdf_format(b, m.name);
	r = lock_domain(v, b, false, e);
	if (r == 0)
		r = lock_function(v, b, e);
	if (r == 0 && function_read(v, b, &f) < 0)
		r = err_set(e, ENODEV, "the device is gone");
	if (r == 0)
		r = refuse_if_held(v, b, "its driver would be taken away", e);
	binding_of(before, &to);
	/* A record of what it had first has to be there before a driver of ours is. */
	if (r == 0 && record)
		r = journal_write(v, b, JOURNAL_DRIVER, record, e);
	if (r < 0)
		return err_wrap(e, r, "give %s back", m.name);
	binding_of(&f, &from);
	r = binding_set(v, &m, &to, e);
	if (r < 0)
		binding_undo(v, &m, &from, e);
	else if (!record)
		journal_remove(v, b, JOURNAL_DRIVER);
	return r < 0 ? err_wrap(e, r, "give %s back", m.name) : 0;
}

/* What a release has to do. */
struct release {
	struct vfm_function f;
	struct journal_entry entry;
	bool recorded; /* entry is the driver it had */
	bool settings; /* there is a record of those it had */
};

static int release_read(struct vfm *v, struct move *m, unsigned flags, struct release *ret)
{
	struct vfm_settings s;

	if (function_read(v, m->bdf, &ret->f) < 0)
		return -ENODEV;
	ret->recorded = journal_read(v, m->bdf, JOURNAL_DRIVER, &ret->entry) == 0;
	ret->settings =
		!(flags & VFM_RELEASE_DRIVER_ONLY) && journal_read_settings(v, m->bdf, &s) == 0;
	return 0;
}

static bool release_moves(struct vfm *v, const struct release *r)
{
	if (r->recorded)
		return strcmp(r->f.driver, r->entry.value) ||
		       strcmp(r->f.driver_override, r->entry.override);
	return driver_is_vfio(v, r->f.driver) || driver_is_vfio(v, r->f.driver_override);
}

/* No record of ours: VFIO got it from someone else, so the kernel chooses. */
static int release_unrecorded(
	struct vfm *v, struct move *m, const struct vfm_function *f, struct err *e)
{
	static const struct binding none;
	int r;

	if (!driver_is_vfio(v, f->driver) && !driver_is_vfio(v, f->driver_override))
		return 0;
	if (!driver_is_vfio(v, f->driver))
		return override_write(v, m, "", e);
	vfm_note(v, "%s: no record of the driver it had: the kernel chooses", m->name);
	r = binding_set(v, m, &none, e);
	return r < 0 ? r : driver_probe(v, m, "", false, e);
}

static int release_driver(struct vfm *v, struct move *m, const struct release *rel, struct err *e)
{
	struct binding from, to = {0};
	int r;

	binding_of(&rel->f, &from);
	if (rel->recorded) {
		memcpy(to.driver, rel->entry.value, sizeof(to.driver));
		memcpy(to.override, rel->entry.override, sizeof(to.override));
		r = binding_set(v, m, &to, e);
		if (r == 0)
			journal_remove(v, m->bdf, JOURNAL_DRIVER);
	} else {
		r = release_unrecorded(v, m, &rel->f, e);
	}
	if (r < 0)
		binding_undo(v, m, &from, e);
	return r;
}

static int release_check(
	struct vfm *v, struct move *m, const struct release *rel, bool force, struct err *e)
{
	bool moves = release_moves(v, rel);

	if (!moves && !rel->settings)
		return 0;
	if (moves && rel->f.kind == VFM_PF && rel->f.num_vfs)
		return err_set(e, EBUSY, "it has %u VFs, which would lose their PF: carve 0 first",
			rel->f.num_vfs);
	return vfm_refuse_if_used(v, m->bdf,
		moves ? "its driver would be taken away" : "its settings would change", force, e);
}

static int release_locked(
	struct vfm *v, struct move *m, unsigned flags, struct release *rel, struct err *e)
{
	_drops_locks_ struct vfm *locked = v;
	int r = lock_domain(v, m->bdf, false, e);

	if (r == 0)
		r = lock_function(v, m->bdf, e);
	if (r < 0)
		return r;
	if (release_read(v, m, flags, rel) < 0)
		return err_set(e, ENODEV, "the device is gone");
	/* Forced, it was said before; and somebody may have come since. */
	if (!(flags & VFM_RELEASE_FORCE))
		r = release_check(v, m, rel, false, e);
	return r < 0 ? r : release_driver(v, m, rel, e);
}

static int release_steps(
	struct vfm *v, struct move *m, unsigned flags, char *ret_driver, struct err *e)
{
	bool force = flags & VFM_RELEASE_FORCE;
	struct vfm_settings had = {0};
	struct release rel = {0};
	struct err why = {0};
	int r;

	if (release_read(v, m, flags, &rel) < 0)
		return err_set(e, ENODEV, "no such PCI function ('viaduct vf list' shows them)");
	/* Before the locks, so that whoever waits for the holder is told at once. */
	r = release_check(v, m, &rel, force, e);
	if (r < 0)
		return r;
	/* First what its PF gives it: the driver it gets back reads that as it is bound. */
	if (rel.settings)
		r = settings_release(v, m->bdf, &had, e);
	if (r < 0 && !force)
		return r;
	if (r < 0)
		vfm_note(v, "%s: forced though its settings stay as they are: %s", m->name,
			e ? e->text : strerror(-r));
	r = release_locked(v, m, flags, &rel, e);
	if (r < 0 && had.set && vfm_set(v, m->bdf, &had, NULL, &why) < 0)
		err_append(e, "not undone: its settings were put back already: %s", why.text);
	if (r < 0)
		return r;
	if (ret_driver && function_read(v, m->bdf, &rel.f) == 0)
		memcpy(ret_driver, rel.f.driver, VFM_NAME_MAX);
	return 0;
}

int vfm_release(struct vfm *v, struct bdf b, unsigned flags, char *ret_driver, struct err *e)
{
	struct move m = {.bdf = b};
	int r;

	bdf_format(b, m.name);
	r = release_steps(v, &m, flags, ret_driver, e);
	return r < 0 ? err_wrap(e, r, "release %s", m.name) : 0;
}
