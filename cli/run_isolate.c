// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/run_isolate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"

/* A line of its own; @fmt is a literal. */
#define warn(t, fmt, ...) \
	fprintf((t)->warnings, "viaduct run: %s: " fmt "\n", (t)->name, __VA_ARGS__)

int run_remapping_read(struct vfm_remapping *ret, struct err *e)
{
	struct vfm *v;
	int r = vfm_create(NULL, &v, e);

	if (r < 0)
		return r;
	r = vfm_remapping_read(v, ret, e);
	vfm_destroy(v);
	return r;
}

int run_remapping_check(
	const struct run_trust *t, const struct vfm_remapping *remapping, struct err *e)
{
	const struct vfm_finding *f = &remapping->finding;

	log_info("interrupt remapping of this host: %s: %s (%s)", vfm_remapping_name(remapping->on),
		f->text, f->source);
	if (remapping->on == VFM_YES) {
		if (f->status != VFM_PASS)
			warn(t, "%s (%s); %s", f->text, f->source, f->remedy);
		return 0;
	}
	if (t->unsafe_interrupts) {
		warn(t,
			"--unsafe-interrupts: %s (%s): this guest may be able to crash or take "
			"over the host",
			f->text, f->source);
		return 0;
	}
	/* Then it is the kernel that knows, and that refuses. */
	if (remapping->on == VFM_UNKNOWN && remapping->kernel_insists == VFM_YES) {
		warn(t,
			"whether this host remaps interrupts: %s (%s); going on, as the kernel "
			"refuses if not: " VFM_UNSAFE_INTERRUPTS " of %s is N",
			f->text, f->source, remapping->module);
		return 0;
	}
	return err_set(e, EPERM,
		"--assign: interrupt remapping of this host is %s: %s (%s); %s%sor, where the "
		"guest is trusted like the host itself, give --unsafe-interrupts and set "
		"/sys/module/%s/parameters/" VFM_UNSAFE_INTERRUPTS " to Y",
		vfm_remapping_name(remapping->on), f->text, f->source, f->remedy,
		*f->remedy ? "; " : "", remapping->module);
}

/* Holes that the kernel does not see, or lets pass: a user may decide. */
static bool may_be_waived(const struct vfm_finding *f)
{
	return !strcmp(f->id, "acs-path") || !strcmp(f->id, "pf-vf-group");
}

static int finding_check(
	const struct run_trust *t, const char *name, const struct vfm_finding *f, struct err *e)
{
	bool waive = may_be_waived(f);

	if (f->status == VFM_WARN && !f->contained && waive) {
		warn(t, "%s: %s: %s", name, f->id, f->text);
	} else if (f->status == VFM_FAIL && waive && t->unsafe_isolation) {
		warn(t, "--unsafe-isolation: %s: %s: %s", name, f->id, f->text);
	} else if (f->status == VFM_FAIL) {
		return err_set(e, EPERM,
			"%s: not isolated (%s): %s; %s%s ('viaduct vf isolate %s' shows all of "
			"it)",
			name, f->id, f->text, f->remedy,
			waive ? "; or, at the risk of this guest reaching other devices, give "
				"--unsafe-isolation"
			      : "",
			name);
	}
	return 0;
}

int run_isolation_check(
	const struct run_trust *t, struct vfm *v, struct bdf b, enum vfm_status *ret, struct err *e)
{
	_cleanup_free_ struct vfm_findings *to = calloc(1, sizeof(*to));
	struct err why = {0};
	char name[BDF_STRLEN];
	int r;

	*ret = VFM_SKIP;
	if (!to)
		return err_sys(e, ENOMEM, "look at the isolation of %s", bdf_format(b, name));
	r = vfm_isolate_assign(v, b, to, &why);
	if (r == -ENODEV || r == -ENOTSUP)
		return 0;
	if (r < 0)
		return err_set(e, -r, "%s", why.text);
	bdf_format(b, name);
	/* What no option helps against comes first. */
	for (int waivable = 0; r == 0 && waivable < 2; waivable++) {
		for (size_t i = 0; r == 0 && i < to->n; i++) {
			if (may_be_waived(&to->finding[i]) == waivable)
				r = finding_check(t, name, &to->finding[i], e);
		}
	}
	*ret = vfm_findings_verdict(to);
	return r;
}
