// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf isolate: the verdict on one function. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "cli/vf.h"
#include "cli/vf_json.h"
#include "common/cleanup.h"
#include "vf-manager/group.h"
#include "vf-manager/isolate.h"
#include "vf-manager/select.h"

static json_t *findings_json(const struct vfm_findings *f)
{
	json_t *all = json_array();

	for (size_t i = 0; i < f->n; i++) {
		const struct vfm_finding *one = &f->finding[i];

		json_array_append_new(
			all, json_pack("{s:s, s:s, s:s, s:o, s:o}", "id", one->id, "status",
				     vfm_status_name(one->status), "text", one->text, "source",
				     json_text(one->source), "remedy", json_text(one->remedy)));
	}
	return all;
}

static json_t *group_json(const struct vfm_group *g)
{
	if (!g)
		return json_null();
	return json_pack("{s:i, s:o, s:o}", "number", g->number, "type", json_text(g->type),
		"members", group_members_json(g));
}

static int print_json(const char *name, const struct vfm_group *g, const struct vfm_findings *f)
{
	json_t *top = json_pack("{s:s, s:s, s:o, s:o}", "bdf", name, "verdict",
		vfm_status_name(vfm_findings_verdict(f)), "group", group_json(g), "findings",
		findings_json(f));

	return json_print(top) ? -EIO : 0;
}

static const char *colour_of(enum vfm_status s)
{
	static const char *const colours[] = {[VFM_PASS] = "\033[32m",
		[VFM_SKIP] = "\033[2m",
		[VFM_WARN] = "\033[33m",
		[VFM_FAIL] = "\033[31m"};

	return colour_wanted() ? colours[s] : "";
}

static void status_print(enum vfm_status s)
{
	const char *on = colour_of(s);

	printf("%s%s%s", on, vfm_status_name(s), *on ? "\033[0m" : "");
}

static void findings_print(const struct vfm_findings *f)
{
	int width = 0;

	for (size_t i = 0; i < f->n; i++) {
		int w = (int)strlen(f->finding[i].id);

		width = w > width ? w : width;
	}
	for (size_t i = 0; i < f->n; i++) {
		const struct vfm_finding *one = &f->finding[i];

		status_print(one->status);
		printf("  %-*s  %s\n", width, one->id, one->text);
		if (*one->remedy)
			printf("      %-*s  to do: %s\n", width, "", one->remedy);
	}
}

static int verdict_exit(enum vfm_status verdict)
{
	switch (verdict) {
	case VFM_PASS:
	case VFM_SKIP: return EXIT_DONE;
	case VFM_WARN: return EXIT_WARN;
	case VFM_FAIL: return EXIT_FAIL;
	}
	return EXIT_FAILED;
}

int vf_isolate(struct vfm *v, const struct vf_args *a)
{
	_cleanup_free_ struct vfm_findings *f = calloc(1, sizeof(*f));
	_cleanup_free_ struct vfm_group *g = NULL;
	char name[BDF_STRLEN];
	enum vfm_status verdict;
	struct err e = {0};
	struct bdf b;
	int r;

	if (!f)
		return vf_fail(err_sys(&e, ENOMEM, "isolate"), &e);
	r = vfm_selector_check(a->pos[0], &e);
	if (r < 0)
		return vf_usage("%s", e.text);
	r = vfm_select(v, a->pos[0], &b, &e);
	if (r < 0)
		return vf_fail(r, &e);
	r = vfm_isolate_host(v, f, &e);
	if (r == 0)
		r = vfm_isolate_function(v, b, f, &e);
	if (r < 0)
		return vf_fail(r, &e);
	bdf_format(b, name);
	verdict = vfm_findings_verdict(f);
	if (vf_flag(a, VF_OPT_JSON)) {
		if (vfm_group(v, b, &g, NULL) < 0)
			g = NULL;
		r = print_json(name, g, f);
	} else if (!vf_flag(a, VF_OPT_QUIET)) {
		findings_print(f);
		printf("%s: ", name);
		status_print(verdict);
		putchar('\n');
	}
	return r < 0 ? EXIT_FAILED : verdict_exit(verdict);
}
