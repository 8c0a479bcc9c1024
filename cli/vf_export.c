// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf export: the functions that were made ready here, in the words of others. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/vf.h"
#include "common/cleanup.h"
#include "vf-manager/export.h"
#include "vf-manager/pool.h"
#include "vf-manager/select.h"

const struct argp_option vf_export_options[] = {
	{"name", VF_KEY(VF_OPT_NAME), "NAME", 0,
		"of the plugin's resource, CDI's class, libvirt's network or Nova's physical "
		"network",
		0},
	{"pool", VF_KEY(VF_OPT_POOL), "POOL", 0, "the VFs of this pool's PFs, and their name", 0},
	{"iommufd", VF_KEY(VF_OPT_IOMMUFD), NULL, 0, "cdi: nodes of iommufd, not of the VFIO group",
		0},
	VF_COMMON_OPTIONS,
};

struct chosen {
	struct vfm_function *f;
	size_t n;
};

static int choose(struct chosen *c, const struct vfm_function *f)
{
	void *p = realloc(c->f, (c->n + 1) * sizeof(*c->f));

	if (!p)
		return -ENOMEM;
	c->f = p;
	c->f[c->n++] = *f;
	return 0;
}

/* @b itself, or its VFs. */
static int choose_family(
	struct chosen *c, const struct vfm_function *all, int n, struct bdf b, struct err *e)
{
	bool found = false;
	char name[BDF_STRLEN];
	int r = 0;

	for (int i = 0; r == 0 && i < n; i++) {
		bool vf_of = all[i].kind == VFM_VF && bdf_equal(all[i].pf, b);
		bool itself =
			bdf_equal(all[i].bdf, b) && !(all[i].kind == VFM_PF && all[i].num_vfs > 0);

		if (bdf_equal(all[i].bdf, b) && all[i].kind == VFM_PF && !all[i].num_vfs)
			return err_set(e, ENOTSUP,
				"%s is a PF without VFs: make some with 'viaduct vf carve %s N'",
				bdf_format(b, name), name);
		if (vf_of || itself) {
			r = choose(c, &all[i]);
			found = true;
		}
	}
	if (r < 0)
		return err_sys(e, -r, "export");
	return found ? 0
		     : err_set(e, ENOTSUP, "%s is a bridge, which nobody can be given",
			       bdf_format(b, name));
}

static int choose_named(struct vfm *v, const struct vf_args *a, struct chosen *c,
	const struct vfm_function *all, int n, struct err *e)
{
	int r = 0;

	for (unsigned i = 1; r == 0 && i < a->n; i++) {
		struct bdf b;

		r = vfm_select(v, a->pos[i], &b, e);
		if (r == 0)
			r = choose_family(c, all, n, b, e);
	}
	return r;
}

static int choose_pool(struct vfm *v, const char *name, struct chosen *c,
	const struct vfm_function *all, int n, struct err *e)
{
	_cleanup_free_ struct bdf *pf = NULL;
	int members = vfm_pool_members(v, name, &pf, e), r = 0;

	if (members == 0)
		return err_set(e, ENOENT,
			"no PF is in pool %s: write 'pool: %s' to one in a file and run 'viaduct "
			"vf "
			"apply'",
			name, name);
	for (int i = 0; r == 0 && i < members; i++)
		r = choose_family(c, all, n, pf[i], e);
	return members < 0 ? members : r;
}

/* All VFs that can be told of; when there is none, why the first cannot. */
static int choose_fit(struct chosen *c, const struct vfm_export *x, const struct vfm_function *all,
	int n, struct err *e)
{
	struct err why = {0};
	bool any = false;

	for (int i = 0; i < n; i++) {
		if (all[i].kind != VFM_VF)
			continue;
		any = true;
		if (vfm_export_check(x, &all[i], why.code ? NULL : &why) < 0)
			continue;
		if (choose(c, &all[i]) < 0)
			return err_sys(e, ENOMEM, "export");
	}
	if (c->n)
		return 0;
	if (!any)
		return err_set(e, ENOTSUP,
			"there are no VFs: make some with 'viaduct vf carve PF N' ('viaduct vf "
			"list' shows PFs)");
	*e = why;
	return -e->code;
}

int vf_export(struct vfm *v, const struct vf_args *a)
{
	struct vfm_export x = {.name = a->opt[VF_OPT_NAME], .iommufd = vf_flag(a, VF_OPT_IOMMUFD)};
	_cleanup_free_ struct vfm_function *all = NULL;
	_cleanup_free_ char *text = NULL;
	const char *pool = a->opt[VF_OPT_POOL];
	struct chosen c = {0};
	struct err e = {0};
	int n, r;

	if (!x.name)
		x.name = pool;
	if (pool && a->n > 1)
		return vf_usage("--pool, or functions: '%s' is one too many", a->pos[1]);
	if (vfm_export_parse(a->pos[0], &x.format, &e) < 0)
		return vf_usage("%s", e.text);
	if (x.iommufd && x.format != VFM_EXPORT_CDI)
		return vf_usage("--iommufd is for cdi");
	n = vfm_list(v, VFM_LIST_ALL, &all, &e);
	if (n < 0)
		return vf_fail(n, &e);
	if (pool)
		r = choose_pool(v, pool, &c, all, n, &e);
	else if (a->n > 1)
		r = choose_named(v, a, &c, all, n, &e);
	else
		r = choose_fit(&c, &x, all, n, &e);
	if (r == 0) {
		x.f = c.f;
		x.n = c.n;
		r = vfm_export(&x, &text, &e);
	}
	free(c.f);
	if (r < 0)
		return vf_fail(r, &e);
	fputs(text, stdout);
	return EXIT_DONE;
}
