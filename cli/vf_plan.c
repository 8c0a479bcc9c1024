// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf plan, apply and diff. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/table.h"
#include "cli/vf.h"
#include "common/cleanup.h"
#include "vf-manager/apply.h"

#define DEFAULT_FILE "/etc/viaduct/vf.yaml"

#define PF_OPTION                                                                               \
	{                                                                                       \
		"pf", VF_KEY(VF_OPT_PF), "SELECTOR", 0, "the file's entry for this PF alone", 0 \
	}

const struct argp_option vf_plan_options[] = {
	PF_OPTION,
	{"json", 'j', NULL, 0, "print JSON", 0},
	VF_COMMON_OPTIONS,
};

const struct argp_option vf_apply_options[] = {
	PF_OPTION,
	{"dry-run", VF_KEY(VF_OPT_DRY_RUN), NULL, 0, "show what would be done and stop there", 0},
	{"rollback-on-fail", VF_KEY(VF_OPT_ROLLBACK), NULL, 0,
		"all or nothing: when a step fails, undo those before it", 0},
	{"recreate", VF_KEY(VF_OPT_RECREATE), NULL, 0,
		"VFs may be destroyed where the file wants another number of them", 0},
	{"force", VF_KEY(VF_OPT_FORCE), NULL, 0, "also VFs that are in use", 0},
	{"wait", VF_KEY(VF_OPT_WAIT), "SECONDS", 0,
		"wait this long for PFs that are not there yet, or have no driver", 0},
	{"timing", VF_KEY(VF_OPT_TIMING), NULL, 0, "show at the end where the time went", 0},
	{"json", 'j', NULL, 0, "print JSON, with how long each part took", 0},
	VF_COMMON_OPTIONS,
};

static json_t *bdf_json(bool has, struct bdf b)
{
	char name[BDF_STRLEN];

	return has ? json_string(bdf_format(b, name)) : json_null();
}

static json_t *pfs_json(const struct vfm_plan *p)
{
	json_t *all = json_array();

	for (size_t i = 0; i < p->n_pfs; i++) {
		const struct vfm_plan_pf *pf = &p->pf[i];

		json_array_append_new(
			all, json_pack("{s:s, s:o, s:i, s:o}", "pf", pf->want->selector, "bdf",
				     bdf_json(pf->found, pf->bdf), "line", (int)pf->want->line,
				     "error", json_text(pf->why.code ? pf->why.text : NULL)));
	}
	return all;
}

static json_t *affected_json(const struct vfm_plan *p, size_t step)
{
	json_t *all = json_array();

	for (size_t i = 0; i < p->n_affected; i++) {
		const struct vfm_affected *a = &p->affected[i];

		if (a->step == step)
			json_array_append_new(all, json_pack("{s:i, s:o, s:s, s:s}", "vf", a->index,
							   "bdf", bdf_json(true, a->vf), "use",
							   a->text, "consequence", a->consequence));
	}
	return all;
}

static json_t *steps_json(const struct vfm_plan *p)
{
	static const char *const outcomes[] = {
		[VFM_STEP_PLANNED] = "planned",
		[VFM_STEP_DONE] = "done",
		[VFM_STEP_FAILED] = "failed",
		[VFM_STEP_UNDONE] = "undone",
		[VFM_STEP_STUCK] = "not-undone",
	};
	json_t *all = json_array();

	for (size_t i = 0; i < p->n_steps; i++) {
		const struct vfm_step *s = &p->step[i];

		json_array_append_new(
			all, json_pack("{s:o, s:s, s:o, s:o, s:i, s:s, s:o, s:s, s:o}", "pf",
				     bdf_json(true, p->pf[s->pf].bdf), "step",
				     vfm_step_name(s->kind), "vf", json_number(s->index), "bdf",
				     bdf_json(s->has_vf, s->vf), "destroys", (int)s->destroys,
				     "text", s->text, "affected", affected_json(p, i), "outcome",
				     outcomes[s->outcome], "why", json_text(s->why)));
	}
	return all;
}

static json_t *phases_json(const struct vfm_phases *t)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < VFM_PHASES; i++)
		json_object_set_new(o, vfm_phase_name(i), json_integer((json_int_t)t->us[i]));
	json_object_set_new(o, "total", json_integer((json_int_t)t->total_us));
	return o;
}

/* @phases: of an apply, else NULL. */
static int plan_json(const struct vfm_plan *p, const struct vfm_phases *phases)
{
	json_t *needs = json_array(), *top;

	if (p->recreates)
		json_array_append_new(needs, json_string("recreate"));
	if (p->n_affected)
		json_array_append_new(needs, json_string("force"));
	top = json_pack(
		"{s:o, s:o, s:o}", "pfs", pfs_json(p), "steps", steps_json(p), "needs", needs);
	if (top && phases)
		json_object_set_new(top, "phases_us", phases_json(phases));
	return json_print(top);
}

static int diff_json(const struct vfm_plan *p)
{
	json_t *all = json_array();

	for (size_t i = 0; i < p->n_differences; i++) {
		const struct vfm_difference *d = &p->difference[i];

		json_array_append_new(
			all, json_pack("{s:o, s:o, s:o, s:s, s:o, s:s}", "pf",
				     bdf_json(true, p->pf[d->pf].bdf), "vf", json_number(d->index),
				     "bdf", bdf_json(d->has_vf, d->vf), "key", d->key, "have",
				     json_text(d->have), "want", d->want));
	}
	return json_print(json_pack("{s:o, s:o}", "pfs", pfs_json(p), "differences", all));
}

static void plan_print(const struct vfm_plan *p)
{
	for (size_t i = 0; i < p->n_steps; i++)
		puts(p->step[i].text);
	for (size_t i = 0; i < p->n_affected; i++)
		printf("  VF %d of %s: then %s\n", p->affected[i].index,
			p->pf[p->step[p->affected[i].step].pf].want->selector,
			p->affected[i].consequence);
	if (p->recreates || p->n_affected)
		printf("needs%s%s\n", p->recreates ? " --recreate" : "",
			p->n_affected ? " --force" : "");
}

static void diff_print(const struct vfm_plan *p)
{
	for (size_t i = 0; i < p->n_differences; i++) {
		const struct vfm_difference *d = &p->difference[i];
		char name[BDF_STRLEN];

		printf("%s", bdf_format(p->pf[d->pf].bdf, name));
		if (d->index >= 0)
			printf(" VF %d", d->index);
		if (d->has_vf)
			printf(" (%s)", bdf_format(d->vf, name));
		printf(" %s: %s -> %s\n", d->key, *d->have ? d->have : "-", d->want);
	}
}

/* The PFs of the file that nothing can be done for; EXIT_DONE if there are none. */
static int errors_print(const struct vfm_plan *p)
{
	int status = EXIT_DONE;

	for (size_t i = 0; i < p->n_pfs; i++)
		if (p->pf[i].why.code)
			status = vf_fail(-p->pf[i].why.code, &p->pf[i].why);
	return status;
}

static int load(const struct vf_args *a, struct vfm_desired **ret)
{
	struct err e = {0};
	int r = vfm_desired_load(a->n ? a->pos[0] : DEFAULT_FILE, ret, &e);

	return r < 0 ? vf_fail(r, &e) : 0;
}

static void cleanup_desired(struct vfm_desired **d)
{
	vfm_desired_free(*d);
}

static void cleanup_plan(struct vfm_plan **p)
{
	vfm_plan_free(*p);
}

/* The file and the steps to it; 0, or an exit status after a message. */
static int plan_make(struct vfm *v, const struct vf_args *a, struct vfm_desired **ret_want,
	struct vfm_plan **ret_plan)
{
	struct err e = {0};
	int r = load(a, ret_want);

	if (r)
		return r;
	r = vfm_plan(v, *ret_want, a->opt[VF_OPT_PF], ret_plan, &e);
	return r < 0 ? vf_fail(r, &e) : 0;
}

int vf_plan(struct vfm *v, const struct vf_args *a)
{
	_cleanup_(cleanup_desired) struct vfm_desired *want = NULL;
	_cleanup_(cleanup_plan) struct vfm_plan *p = NULL;
	int r = plan_make(v, a, &want, &p), status;

	if (r)
		return r;
	status = errors_print(p);
	if (vf_flag(a, VF_OPT_JSON))
		r = plan_json(p, NULL);
	else if (p->n_steps)
		plan_print(p);
	else if (status == EXIT_DONE && !vf_flag(a, VF_OPT_QUIET))
		puts("nothing to do");
	return status ? status : r;
}

int vf_diff(struct vfm *v, const struct vf_args *a)
{
	_cleanup_(cleanup_desired) struct vfm_desired *want = NULL;
	_cleanup_(cleanup_plan) struct vfm_plan *p = NULL;
	int r = plan_make(v, a, &want, &p), status;

	if (r)
		return r;
	status = errors_print(p);
	if (vf_flag(a, VF_OPT_JSON))
		r = diff_json(p);
	else if (!vf_flag(a, VF_OPT_QUIET))
		diff_print(p);
	if (status || r)
		return status ? status : r;
	/* What an interrupted carve left, a link that is down: no key of the file, but not right. */
	return p->n_differences || p->n_steps ? EXIT_DIFFERENT : EXIT_DONE;
}

static void on_step(void *arg, const struct vfm_plan *p, const struct vfm_step *s)
{
	const struct vf_args *a = arg;

	if (vf_flag(a, VF_OPT_JSON))
		return;
	switch (s->outcome) {
	case VFM_STEP_PLANNED:
	case VFM_STEP_FAILED: break;
	case VFM_STEP_DONE:
		if (!vf_flag(a, VF_OPT_QUIET))
			printf("%s\n", s->text);
		break;
	case VFM_STEP_UNDONE: fprintf(stderr, "undone: %s\n", s->text); break;
	case VFM_STEP_STUCK: fprintf(stderr, "not undone: %s: %s\n", s->text, s->why); break;
	}
	fflush(stdout);
}

/* Where a failure left off. */
static void rest_print(const struct vfm_plan *p)
{
	size_t done = 0, left = 0;

	for (size_t i = 0; i < p->n_steps; i++) {
		const struct vfm_step *s = &p->step[i];

		done += s->outcome == VFM_STEP_DONE;
		if (s->outcome != VFM_STEP_PLANNED && s->outcome != VFM_STEP_FAILED)
			continue;
		left++;
		fprintf(stderr, "%s: %s\n", s->outcome == VFM_STEP_FAILED ? "failed" : "not done",
			s->text);
	}
	if (done && left)
		fprintf(stderr, "%zu steps are done and stay; the same command goes on from here\n",
			done);
}

static unsigned wait_of(const struct vf_args *a)
{
	return a->opt[VF_OPT_WAIT] ? (unsigned)strtoul(a->opt[VF_OPT_WAIT], NULL, 10) : 0;
}

/* The phases that there were. */
static int phases_print(const struct vfm_phases *phases)
{
	static const char *const heads[] = {"PHASE", "MS", "SHARE"};
	struct table t;
	int r;

	table_init(&t, heads, ARRAY_SIZE(heads));
	for (unsigned i = 0; i <= VFM_PHASES; i++) {
		uint64_t us = i < VFM_PHASES ? phases->us[i] : phases->total_us;

		if (!us)
			continue;
		table_row(&t, TABLE_PLAIN);
		table_set(&t, 0, "%s", i < VFM_PHASES ? vfm_phase_name(i) : "total");
		table_set(&t, 1, "%.1f", (double)us / 1000);
		table_set(&t, 2, "%.0f %%", 100.0 * (double)us / (double)phases->total_us);
	}
	r = table_print(&t, false);
	table_finish(&t);
	return r;
}

static int apply_result(const struct vf_args *a, const struct vfm_plan *p,
	const struct vfm_phases *phases, int r, const struct err *e)
{
	bool all_tried = false;
	int status;

	if (vf_flag(a, VF_OPT_JSON)) {
		plan_json(p, phases);
		return r < 0 ? vf_fail(r, e) : EXIT_DONE;
	}
	for (size_t i = 0; i < p->n_steps; i++)
		all_tried |= p->step[i].outcome != VFM_STEP_PLANNED;
	if (vf_flag(a, VF_OPT_DRY_RUN) || (r < 0 && !all_tried))
		plan_print(p);
	if (vf_flag(a, VF_OPT_TIMING))
		phases_print(phases);
	fflush(stdout);
	if (r < 0) {
		status = vf_fail(r, e);
		for (size_t i = 0; i < p->n_pfs; i++)
			if (p->pf[i].why.code && strcmp(p->pf[i].why.text, e->text))
				vf_fail(r, &p->pf[i].why);
		if (all_tried)
			rest_print(p);
		return status;
	}
	if (!p->n_steps && !vf_flag(a, VF_OPT_QUIET))
		puts(p->n_pfs || !a->opt[VF_OPT_PF]
				? "nothing to do"
				: "nothing to do: the file has no entry for it");
	return EXIT_DONE;
}

int vf_apply(struct vfm *v, const struct vf_args *a)
{
	_cleanup_(cleanup_desired) struct vfm_desired *want = NULL;
	_cleanup_(cleanup_plan) struct vfm_plan *p = NULL;
	struct vfm_phases phases;
	const struct vfm_apply_options options = {
		.recreate = vf_flag(a, VF_OPT_RECREATE),
		.force = vf_flag(a, VF_OPT_FORCE),
		.rollback = vf_flag(a, VF_OPT_ROLLBACK),
		.dry_run = vf_flag(a, VF_OPT_DRY_RUN),
		.wait_ms = wait_of(a) * 1000,
		.on_step = on_step,
		.arg = (void *)a,
		.phases = &phases,
	};
	struct err e = {0};
	int r;

	if (a->opt[VF_OPT_WAIT] && (wait_of(a) == 0 || wait_of(a) > 3600))
		return vf_usage("--wait takes 1 to 3600 seconds, not '%s'", a->opt[VF_OPT_WAIT]);
	r = load(a, &want);
	if (r)
		return r;
	r = vfm_apply(v, want, a->opt[VF_OPT_PF], &options, &p, &e);
	return p ? apply_result(a, p, &phases, r, &e) : vf_fail(r, &e);
}
