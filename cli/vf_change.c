// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf carve and set. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/vf.h"
#include "common/cleanup.h"
#include "vf-manager/devlink.h"

/* In microseconds, in the order in which they happen. */
static json_t *phases_json(const struct vfm_carve_result *r)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "check",
		(json_int_t)r->check_us, "up", (json_int_t)r->up_us, "destroy",
		(json_int_t)r->destroy_us, "gone", (json_int_t)r->gone_us, "make",
		(json_int_t)r->make_us, "links", (json_int_t)r->links_us, "carrier",
		(json_int_t)r->carrier_us, "total", (json_int_t)r->total_us);
}

static int carve_json(struct bdf pf, const struct vfm_carve_result *res)
{
	char name[BDF_STRLEN];

	return json_print(json_pack("{s:s, s:i, s:i, s:b, s:i, s:o}", "pf", bdf_format(pf, name),
		"before", (int)res->before, "after", (int)res->after, "changed", (int)res->changed,
		"ready_ms", (int)res->ready_ms, "phases_us", phases_json(res)));
}

static int carve_text(const char *pf, const struct vfm_carve_result *res)
{
	if (!res->changed)
		printf("%s: has %u VFs already, nothing to do\n", pf, res->after);
	else if (res->after == 0)
		printf("%s: %u VFs destroyed (%u ms)\n", pf, res->before, res->ready_ms);
	else if (res->before)
		printf("%s: %u VFs destroyed, %u made (%u ms)\n", pf, res->before, res->after,
			res->ready_ms);
	else
		printf("%s: %u VFs made (%u ms)\n", pf, res->after, res->ready_ms);
	return EXIT_DONE;
}

int vf_carve(struct vfm *v, const struct vf_args *a)
{
	unsigned flags = (vf_flag(a, VF_OPT_FORCE) ? VFM_CARVE_FORCE : 0) |
			 (vf_flag(a, VF_OPT_AUTOPROBE) ? VFM_CARVE_AUTOPROBE : 0) |
			 (vf_flag(a, VF_OPT_WAIT_LINK) ? VFM_CARVE_WAIT_LINK : 0);
	struct vfm_carve_result res;
	struct err e = {0};
	struct bdf pf;
	unsigned long n;
	char *end;
	int r = vf_address(a->pos[0], &pf);

	if (r)
		return r;
	n = strtoul(a->pos[1], &end, 10);
	if (*end || *a->pos[1] < '0' || *a->pos[1] > '9' || n > 65535)
		return vf_usage("'%s' is not a number of VFs", a->pos[1]);
	r = vfm_carve(v, pf, (unsigned)n, flags, &res, &e);
	if (r < 0)
		return vf_fail(r, &e);
	if (vf_flag(a, VF_OPT_JSON))
		return carve_json(pf, &res);
	return vf_flag(a, VF_OPT_QUIET) ? EXIT_DONE : carve_text(a->pos[0], &res);
}

/* "eswitch=MODE" of a PF. */
static int eswitch_set(struct vfm *v, const struct vf_args *a, struct bdf pf, const char *text)
{
	enum vfm_eswitch mode;
	struct err e = {0};
	bool changed;
	int r;

	if (a->n > 2)
		return vf_usage("eswitch is a PF's, the other settings are a VF's: one at a time");
	if (vfm_eswitch_parse(text, &mode, &e) < 0)
		return vf_usage("%s", e.text);
	r = vfm_eswitch_set(v, pf, mode, &changed, &e);
	if (r < 0)
		return vf_fail(r, &e);
	if (!vf_flag(a, VF_OPT_QUIET))
		printf("%s: eswitch %s%s\n", a->pos[0], vfm_eswitch_name(mode),
			changed ? "" : " (already)");
	return EXIT_DONE;
}

int vf_set(struct vfm *v, const struct vf_args *a)
{
	static const char eswitch[] = "eswitch=";
	struct vfm_settings want = {0};
	char value[VFM_VALUE_MAX];
	struct err e = {0};
	uint32_t changed;
	struct bdf vf;
	int r = vf_address(a->pos[0], &vf);

	if (r)
		return r;
	for (unsigned int i = 1; i < a->n; i++)
		if (!strncmp(a->pos[i], eswitch, strlen(eswitch)))
			return eswitch_set(v, a, vf, a->pos[i] + strlen(eswitch));
	for (unsigned int i = 1; i < a->n; i++)
		if (vfm_setting_parse(a->pos[i], &want, &e) < 0)
			return vf_usage("%s", e.text);
	r = vfm_set(v, vf, &want, &changed, &e);
	if (r < 0)
		return vf_fail(r, &e);
	if (vf_flag(a, VF_OPT_QUIET))
		return EXIT_DONE;
	printf("%s:", a->pos[0]);
	for (unsigned int i = 0; i < VFM_SETTING_COUNT; i++)
		if (want.set & 1u << i)
			printf(" %s %s%s", vfm_setting_name(i), vfm_setting_format(&want, i, value),
				changed & 1u << i ? "" : " (already)");
	putchar('\n');
	return EXIT_DONE;
}
