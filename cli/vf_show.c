// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf show: gather what is known of the functions asked for. */
#include "cli/vf_show.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/vf.h"
#include "common/cleanup.h"
#include "vf-manager/pool.h"

struct show {
	struct shown_pf *pf;
	size_t n_pfs;
	struct shown *other;
	size_t n_other;
	/* Each group once: VFs of one PF may share it. */
	struct vfm_group **group;
	size_t n_groups;
	struct vfm_lease *lease;
	int n_leases; /* negative: not to be seen */
};

static void show_finish(struct show *s)
{
	for (size_t i = 0; i < s->n_pfs; i++) {
		for (size_t j = 0; j < s->pf[i].n; j++) {
			free(s->pf[i].fn[j].selectors);
			free(s->pf[i].fn[j].port);
		}
		free(s->pf[i].fn);
	}
	for (size_t i = 0; i < s->n_other; i++)
		free(s->other[i].selectors);
	for (size_t i = 0; i < s->n_groups; i++)
		free(s->group[i]);
	free(s->pf);
	free(s->other);
	free(s->group);
	free(s->lease);
}

static const struct vfm_group *group_of(struct vfm *v, struct show *s, const struct vfm_function *f)
{
	struct vfm_group *g, **grown;

	if (f->iommu_group < 0)
		return NULL;
	for (size_t i = 0; i < s->n_groups; i++)
		if (s->group[i]->number == f->iommu_group)
			return s->group[i];
	if (vfm_group(v, f->bdf, &g, NULL) < 0)
		return NULL;
	grown = realloc(s->group, (s->n_groups + 1) * sizeof(struct vfm_group *));
	if (!grown) {
		free(g);
		return NULL;
	}
	s->group = grown;
	return s->group[s->n_groups++] = g;
}

/* The ports of its VFs, where it has them. */
static struct vfm_port *ports_of(struct vfm *v, const struct vfm_function *pf)
{
	struct vfm_port *port = calloc(pf->num_vfs + 1, sizeof(*port));

	if (port && vfm_ports_get(v, pf->bdf, port, pf->num_vfs, NULL) < 0) {
		free(port);
		port = NULL;
	}
	return port;
}

/* What is not in struct vfm_function. */
static void shown_fill(struct vfm *v, struct show *s, struct shown *to)
{
	enum vfm_eswitch mode;

	to->has_caps = vfm_caps(v, to->f.bdf, &to->caps, NULL) == 0;
	to->group = group_of(v, s, &to->f);
	to->lease = lease_of(s->lease, s->n_leases, to->f.bdf);
	to->eswitch = -1;
	if (to->f.kind == VFM_VF)
		return;
	to->n_selectors = vfm_selectors(v, to->f.bdf, &to->selectors);
	if (to->f.kind == VFM_PF && vfm_eswitch_get(v, to->f.bdf, &mode, NULL) == 0)
		to->eswitch = (int)mode;
	if (to->eswitch == VFM_ESWITCH_SWITCHDEV)
		to->port = ports_of(v, &to->f);
	if (to->f.kind == VFM_PF)
		vfm_pool_get(v, to->f.bdf, to->pool);
}

static struct shown_pf *pf_find(struct show *s, struct bdf pf)
{
	for (size_t i = 0; i < s->n_pfs; i++)
		if (bdf_equal(s->pf[i].fn[0].f.bdf, pf))
			return &s->pf[i];
	return NULL;
}

/* The PF and its VFs, without what is filled in later. */
static int pf_read(struct vfm *v, struct bdf pf, struct shown_pf *ret, struct err *e)
{
	_cleanup_free_ struct vfm_settings *settings = NULL;
	_cleanup_free_ struct vfm_function *f = NULL;
	int n = vfm_list_pf(v, pf, &f, &settings, e);

	if (n < 0)
		return n;
	*ret = (struct shown_pf){.fn = calloc((size_t)n, sizeof(*ret->fn)), .n = (size_t)n};
	if (!ret->fn)
		return err_set(e, ENOMEM, "out of memory");
	for (int i = 0; i < n; i++) {
		ret->fn[i].f = f[i];
		ret->fn[i].settings = settings[i];
		ret->fn[i].eswitch = -1;
	}
	return 0;
}

/*
 * Add a PF whole (@vf NULL), or one VF of it. Asked for twice, it is there once: the file that the
 * output can be has room for a PF once.
 */
static int pf_add(struct vfm *v, struct show *s, struct bdf pf, const struct bdf *vf, struct err *e)
{
	struct shown_pf *have = pf_find(s, pf), read, *grown;
	size_t kept = have ? have->n : 1;
	int r;

	if (have && have->whole)
		return 0;
	r = pf_read(v, pf, &read, e);
	if (r < 0)
		return r;
	read.whole = !vf;
	if (vf) {
		size_t n = 1;

		for (size_t i = 1; i < read.n; i++) {
			bool keep = bdf_equal(read.fn[i].f.bdf, *vf);

			for (size_t j = 1; have && j < kept; j++)
				keep = keep || have->fn[j].f.index == read.fn[i].f.index;
			if (keep)
				read.fn[n++] = read.fn[i];
		}
		read.n = n;
	}
	if (have) {
		free(have->fn);
		*have = read;
		return 0;
	}
	grown = realloc(s->pf, (s->n_pfs + 1) * sizeof(*s->pf));
	if (!grown) {
		free(read.fn);
		return err_set(e, ENOMEM, "out of memory");
	}
	s->pf = grown;
	s->pf[s->n_pfs++] = read;
	return 0;
}

static int other_add(struct show *s, const struct vfm_function *f, struct err *e)
{
	struct shown *grown;

	for (size_t i = 0; i < s->n_other; i++)
		if (bdf_equal(s->other[i].f.bdf, f->bdf))
			return 0;
	grown = realloc(s->other, (s->n_other + 1) * sizeof(*s->other));
	if (!grown)
		return err_set(e, ENOMEM, "out of memory");
	s->other = grown;
	s->other[s->n_other++] = (struct shown){.f = *f, .eswitch = -1};
	return 0;
}

static int selector_add(struct vfm *v, struct show *s, const char *selector, struct err *e)
{
	struct vfm_function f;
	struct bdf b;
	int r = vfm_select(v, selector, &b, e);

	if (r >= 0)
		r = vfm_show(v, b, &f, e);
	if (r < 0)
		return r;
	if (f.kind == VFM_PF)
		return pf_add(v, s, b, NULL, e);
	if (f.kind == VFM_VF)
		return pf_add(v, s, f.pf, &b, e);
	return other_add(s, &f, e);
}

static int all_pfs_add(struct vfm *v, struct show *s, struct err *e)
{
	_cleanup_free_ struct vfm_function *f = NULL;
	int n = vfm_list(v, VFM_LIST_QUICK, &f, e), r = 0;

	for (int i = 0; i < n && r >= 0; i++) {
		if (f[i].kind == VFM_PF)
			r = pf_add(v, s, f[i].bdf, NULL, e);
		if (r == -ENODEV)
			r = 0; /* gone since */
	}
	return n < 0 ? n : r;
}

static void print_text(const struct show *s)
{
	bool first = true;

	for (size_t i = 0; i < s->n_pfs; i++) {
		const struct shown_pf *pf = &s->pf[i];

		/* A VF that was asked for is told of at length, its PF in a line. */
		for (size_t j = pf->whole ? 0 : 1; j < (pf->whole ? 1 : pf->n); j++) {
			if (!first)
				putchar('\n');
			first = false;
			shown_print(&pf->fn[j]);
		}
		if (pf->whole && pf->n > 1) {
			putchar('\n');
			vfs_print(&pf->fn[1], pf->n - 1);
		}
	}
	for (size_t i = 0; i < s->n_other; i++) {
		if (!first)
			putchar('\n');
		first = false;
		shown_print(&s->other[i]);
	}
}

static int show(struct vfm *v, struct show *s, const struct vf_args *a)
{
	struct err e = {0};
	int r = 0;

	for (unsigned i = 0; i < a->n && r >= 0; i++)
		r = selector_add(v, s, a->pos[i], &e);
	if (a->n == 0)
		r = all_pfs_add(v, s, &e);
	if (r == -EINVAL)
		return vf_usage("%s", e.text);
	if (r < 0)
		return vf_fail(r, &e);
	s->n_leases = vfm_lease_list(v, &s->lease, NULL);
	for (size_t i = 0; i < s->n_pfs; i++)
		for (size_t j = 0; j < s->pf[i].n; j++)
			shown_fill(v, s, &s->pf[i].fn[j]);
	for (size_t i = 0; i < s->n_other; i++)
		shown_fill(v, s, &s->other[i]);
	if (vf_flag(a, VF_OPT_JSON))
		return json_print(shown_json(s->pf, s->n_pfs, s->other, s->n_other));
	if (s->n_pfs + s->n_other == 0 && !vf_flag(a, VF_OPT_QUIET))
		fputs("no SR-IOV devices; name the functions to show\n", stderr);
	print_text(s);
	return EXIT_DONE;
}

int vf_show(struct vfm *v, const struct vf_args *a)
{
	struct show s = {0};
	int r = show(v, &s, a);

	show_finish(&s);
	return r;
}
