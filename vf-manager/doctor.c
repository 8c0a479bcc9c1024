// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/doctor.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/doctor_priv.h"

static const struct doctor_check *const table[] = {
#define X(name) &doctor_##name,
	DOCTOR_TABLE(X)
#undef X
};

const struct doctor_check *const *doctor_checks(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(table);
	return table;
}

/* ---- findings ---- */

/* What was read may hold anything: nothing of it moves a terminal's cursor. */
static void make_printable(char *s)
{
	for (; *s; s++) {
		if (!isprint((unsigned char)*s))
			*s = '?';
	}
}

static void finding_flush(struct doctor *d)
{
	struct doctor_finding *f = &d->pending;

	if (!d->has_pending)
		return;
	d->has_pending = false;
	make_printable(f->text);
	make_printable(f->fix);
	if (f->status > d->worst[d->at])
		d->worst[d->at] = f->status;
	if (d->cfg->found)
		d->cfg->found(d->cfg->arg, f);
}

void doctor_say(struct doctor *d, enum vfm_status status, const char *fmt, ...)
{
	va_list ap;

	finding_flush(d);
	d->pending = (struct doctor_finding){
		.check = d->checks[d->at],
		.status = status,
		.has_device = d->f,
	};
	if (d->f)
		d->pending.device = d->f->bdf;
	va_start(ap, fmt);
	vsnprintf(d->pending.text, sizeof(d->pending.text), fmt, ap);
	va_end(ap);
	d->has_pending = true;
	d->said++;
}

void doctor_fix(struct doctor *d, const char *fmt, ...)
{
	va_list ap;

	assert(d->has_pending);
	va_start(ap, fmt);
	vsnprintf(d->pending.fix, sizeof(d->pending.fix), fmt, ap);
	va_end(ap);
}

static int check_find(const struct doctor *d, const char *id)
{
	for (size_t i = 0; i < d->n_checks; i++) {
		if (!strcmp(d->checks[i]->id, id))
			return (int)i;
	}
	return -1;
}

enum vfm_status doctor_status_of(const struct doctor *d, const char *id)
{
	int i = check_find(d, id);

	return i >= 0 && d->ran[i] ? d->worst[i] : VFM_SKIP;
}

size_t doctor_pfs(const struct doctor *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n; i++)
		n += d->all[i].kind == VFM_PF;
	return n;
}

bool doctor_is_here(const struct doctor *d)
{
	return d->cfg->here;
}

void isolation_relay(struct doctor *d)
{
	for (size_t i = 0; i < d->isolation->n; i++) {
		const struct vfm_finding *f = &d->isolation->finding[i];

		if (strcmp(f->id, d->checks[d->at]->id))
			continue;
		/* What isolation rests on and was not to be seen is not as good as proven. */
		doctor_say(
			d, f->status == VFM_SKIP && f->proof ? VFM_WARN : f->status, "%s", f->text);
		if (*f->remedy)
			doctor_fix(d, "%s", f->remedy);
	}
	if (!d->said)
		doctor_say(d, VFM_SKIP, "does not apply here");
}

/* ---- running ---- */

static void check_run(struct doctor *d, size_t at)
{
	const struct doctor_check *c = d->checks[at];

	d->at = at;
	d->said = 0;
	/* What a device shows counts for more than what the host should. */
	if (c->needs && doctor_status_of(d, c->needs) == VFM_FAIL &&
		(!d->f || d->f->iommu_group < 0))
		doctor_say(d, VFM_SKIP, "not looked at: %s failed", c->needs);
	else
		c->run(d);
	if (!d->said)
		doctor_say(d, VFM_PASS, "%s", c->title);
	finding_flush(d);
	d->ran[at] = true;
}

/* PFs, their VFs, and other functions that VFIO has; with one asked for, that one. */
static bool is_looked_at(const struct doctor *d, const struct vfm_function *f)
{
	if (d->cfg->only)
		return bdf_equal(f->bdf, d->cfg->device);
	return f->kind != VFM_OTHER || driver_is_vfio(d->v, f->driver);
}

static int functions_load(struct doctor *d, struct err *e)
{
	int n = vfm_list(d->v, VFM_LIST_ALL, &d->all, e);
	_cleanup_free_ struct bdf *b = NULL;

	if (n < 0) {
		d->list_error = n;
		return n == -ENOMEM || d->cfg->only ? n : 0;
	}
	d->n = (size_t)n;
	b = calloc(d->n + 1, sizeof(*b));
	d->usage = calloc(d->n + 1, sizeof(*d->usage));
	if (!b || !d->usage)
		return err_sys(e, ENOMEM, "doctor");
	for (size_t i = 0; i < d->n; i++)
		b[i] = d->all[i].bdf;
	if (vfm_usage_many(d->v, b, d->n, d->usage, &d->usage_error) < 0) {
		free(d->usage);
		d->usage = NULL;
	}
	return 0;
}

static int devices_run(struct doctor *d, struct err *e)
{
	struct vfm_function f;
	char name[BDF_STRLEN];
	bool seen = false;

	for (size_t i = 0; i < d->n; i++) {
		if (!is_looked_at(d, &d->all[i]))
			continue;
		seen = true;
		d->f = &d->all[i];
		d->use = d->usage ? &d->usage[i] : NULL;
		if (vfm_caps(d->v, d->f->bdf, &d->caps, NULL) < 0)
			continue; /* gone meanwhile */
		d->isolation->n = 0;
		(void)vfm_isolate_function(d->v, d->f->bdf, d->isolation, NULL);
		for (size_t k = 0; k < d->n_checks; k++) {
			if (d->checks[k]->scope == DOCTOR_DEVICE &&
				d->checks[k]->kinds & KIND(d->f->kind))
				check_run(d, k);
		}
	}
	d->f = NULL;
	d->use = NULL;
	if (d->cfg->only && !seen && function_read(d->v, d->cfg->device, &f) == 0)
		return err_set(e, ENOTSUP, "%s: a bridge is never given to a guest",
			bdf_format(d->cfg->device, name));
	if (d->cfg->only && !seen)
		return err_set(e, ENODEV, "%s: no such PCI function ('viaduct vf list' shows them)",
			bdf_format(d->cfg->device, name));
	return 0;
}

static void doctor_finish(struct doctor *d)
{
	free(d->all);
	free(d->usage);
	free(d->isolation);
}

int doctor_run(struct vfm *v, const struct doctor_config *c, struct err *e)
{
	_cleanup_(doctor_finish) struct doctor d = {
		.v = v,
		.cfg = c,
		.checks = c->checks ? c->checks : table,
		.n_checks = c->checks ? c->n_checks : ARRAY_SIZE(table),
	};
	enum vfm_status worst = VFM_PASS;
	int r;

	assert(d.n_checks <= DOCTOR_CHECKS_MAX);
	r = functions_load(&d, e);
	if (r < 0)
		return r;
	d.isolation = calloc(1, sizeof(*d.isolation));
	if (!d.isolation)
		return err_sys(e, ENOMEM, "doctor");
	(void)vfm_isolate_host(v, d.isolation, NULL);
	for (size_t k = 0; k < d.n_checks; k++) {
		if (d.checks[k]->scope == DOCTOR_HOST)
			check_run(&d, k);
	}
	r = devices_run(&d, e);
	if (r < 0)
		return r;
	for (size_t k = 0; k < d.n_checks; k++)
		worst = d.worst[k] > worst ? d.worst[k] : worst;
	return (int)worst;
}
