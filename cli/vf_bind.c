// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf bind and release. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/vf.h"
#include "common/cleanup.h"

int vf_bind(struct vfm *v, const struct vf_args *a)
{
	unsigned flags = (vf_flag(a, VF_OPT_WHOLE) ? VFM_BIND_WHOLE : 0) |
			 (vf_flag(a, VF_OPT_FORCE) ? VFM_BIND_FORCE : 0);
	struct err e = {0};
	struct bdf b;
	int r = vf_function(v, a->pos[0], &b);

	if (r)
		return r;
	r = vfm_bind(v, b, a->pos[1], flags, &e);
	if (r < 0)
		return vf_fail(r, &e);
	if (!vf_flag(a, VF_OPT_QUIET))
		printf("%s: bound to %s\n", a->pos[0], a->pos[1]);
	return EXIT_DONE;
}

static int release_one(struct vfm *v, const struct vf_args *a, struct bdf b)
{
	char driver[VFM_NAME_MAX] = "", name[BDF_STRLEN];
	struct err e = {0};
	int r = vfm_release(v, b, vf_flag(a, VF_OPT_FORCE) ? VFM_RELEASE_FORCE : 0, driver, &e);

	if (r < 0)
		return vf_fail(r, &e);
	if (!vf_flag(a, VF_OPT_QUIET))
		printf("%s: released, %s%s\n", bdf_format(b, name),
			*driver ? "driver " : "no driver", driver);
	return EXIT_DONE;
}

/* One that fails does not keep the others. */
static int release_each(struct vfm *v, const struct vf_args *a, const struct bdf *b, int n)
{
	int status = EXIT_DONE;

	for (int i = 0; i < n; i++) {
		int r = release_one(v, a, b[i]);

		status = status ? status : r;
	}
	return status;
}

static int release_all(struct vfm *v, const struct vf_args *a)
{
	_cleanup_free_ struct bdf *b = NULL;
	struct err e = {0};
	int n = vfm_recorded(v, &b, &e);

	if (n < 0)
		return vf_fail(n, &e);
	if (n == 0 && !vf_flag(a, VF_OPT_QUIET))
		printf("nothing was bound or set\n");
	return release_each(v, a, b, n);
}

/* A PF with VFs stands for them: it is never unbound itself. */
static int release_vfs(struct vfm *v, const struct vf_args *a, struct bdf pf)
{
	_cleanup_free_ struct vfm_function *f = NULL;
	_cleanup_free_ struct bdf *b = NULL;
	struct err e = {0};
	int n = vfm_list(v, 0, &f, &e), count = 0;

	if (n < 0)
		return vf_fail(n, &e);
	b = calloc((size_t)n + 1, sizeof(*b));
	if (!b)
		return vf_fail(-ENOMEM, (err_sys(&e, ENOMEM, "release"), &e));
	for (int i = 0; i < n; i++) {
		if (f[i].kind == VFM_VF && bdf_equal(f[i].pf, pf))
			b[count++] = f[i].bdf;
	}
	return release_each(v, a, b, count);
}

int vf_release(struct vfm *v, const struct vf_args *a)
{
	struct vfm_function f;
	struct err e = {0};
	struct bdf b;
	int r;

	if (vf_flag(a, VF_OPT_ALL) == (a->n == 1))
		return vf_usage("release takes a VF, a PF or --all");
	if (vf_flag(a, VF_OPT_ALL))
		return release_all(v, a);
	r = vf_function(v, a->pos[0], &b);
	if (r)
		return r;
	r = vfm_show(v, b, &f, &e);
	if (r < 0)
		return vf_fail(r, &e);
	return f.kind == VFM_PF && f.num_vfs ? release_vfs(v, a, b) : release_one(v, a, b);
}
