// SPDX-License-Identifier: GPL-2.0-or-later
/* What earlier work left behind. */
#include "vf-manager/doctor_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/lease.h"

static void stale_override_run(struct doctor *d)
{
	const struct vfm_function *f = d->f;
	char path[128];
	bool there;

	if (!*f->driver_override) {
		doctor_say(d, VFM_PASS, "no driver is forced on it");
		return;
	}
	snprintf(path, sizeof(path), "sys/bus/pci/drivers/%s", f->driver_override);
	there = name_is_plain(f->driver_override) && sysfs_exists(&d->v->sys, path);
	if (!strcmp(f->driver, f->driver_override)) {
		doctor_say(d, VFM_PASS, "%s is forced on it, and has it", f->driver);
		return;
	}
	doctor_say(d, VFM_WARN, "driver_override says %s, but %s%s has it%s", f->driver_override,
		*f->driver ? "" : "no driver", f->driver,
		there ? "" : "; there is no driver of that name");
	if (there)
		doctor_fix(d, "viaduct vf bind it to %s, or viaduct vf release it",
			f->driver_override);
	else
		doctor_fix(d, "modprobe %s, or viaduct vf release it", f->driver_override);
}

const struct doctor_check doctor_stale_override = {
	.id = "stale-override",
	.title = "no driver is forced on it that does not have it",
	.scope = DOCTOR_DEVICE,
	.kinds = KIND_ANY,
	.run = stale_override_run,
};

static void stale_leases_run(struct doctor *d)
{
	_cleanup_free_ struct vfm_lease *l = NULL;
	struct err e = {0};
	int n = vfm_lease_list(d->v, &l, &e);
	unsigned stale = 0;

	if (n < 0) {
		doctor_say(d, VFM_SKIP, "leases cannot be read: %s", e.text);
		doctor_fix(d, "run as root");
		return;
	}
	for (int i = 0; i < n; i++) {
		char name[BDF_STRLEN];

		if (l[i].held || (d->cfg->only && !bdf_equal(l[i].bdf, d->cfg->device)))
			continue;
		stale++;
		doctor_say(d, VFM_WARN, "%s: leased to %s, whose process %d is gone",
			bdf_format(l[i].bdf, name), l[i].owner, (int)l[i].pid);
		doctor_fix(d, "viaduct vf lease gc");
	}
	if (!stale)
		doctor_say(
			d, VFM_PASS, "%d lease%s, each with a living owner", n, n == 1 ? "" : "s");
}

const struct doctor_check doctor_stale_leases = {
	.id = "stale-leases",
	.title = "every lease has a living owner",
	.scope = DOCTOR_HOST,
	.run = stale_leases_run,
};

static void unused_vfs_run(struct doctor *d)
{
	unsigned idle = 0, first = 0;

	if (!d->f->num_vfs) {
		doctor_say(d, VFM_PASS, "it has no VFs now");
		return;
	}
	for (size_t i = 0; i < d->n; i++) {
		const struct vfm_function *f = &d->all[i];

		if (f->kind != VFM_VF || !bdf_equal(f->pf, d->f->bdf) || *f->driver || f->taken ||
			*f->driver_override || f->holder.pid || (d->usage && d->usage[i].uses))
			continue;
		if (!idle++)
			first = f->index < 0 ? 0 : (unsigned)f->index;
	}
	if (idle < d->f->num_vfs) {
		doctor_say(d, VFM_PASS, "in use or made ready: %u of its %u VFs",
			d->f->num_vfs - idle, d->f->num_vfs);
		return;
	}
	doctor_say(d, VFM_WARN,
		"it has %u VFs (from VF %u on) that nobody uses: no driver, no lease, no record of "
		"ours",
		d->f->num_vfs, first);
	doctor_fix(d,
		"viaduct vf carve it to 0, or bind them; managed-elsewhere tells who may have "
		"made them");
}

const struct doctor_check doctor_unused_vfs = {
	.id = "unused-vfs",
	.title = "somebody has a use for its VFs",
	.scope = DOCTOR_DEVICE,
	.kinds = KIND_PF,
	.run = unused_vfs_run,
};
