// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf carve and set. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/vf.h"
#include "common/cleanup.h"
#include "vf-manager/devlink.h"

int vf_carve(struct vfm *v, const struct vf_args *a)
{
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
	r = vfm_carve(v, pf, (unsigned)n, 0, &res, &e);
	if (r < 0)
		return vf_fail(r, &e);
	if (vf_flag(a, VF_OPT_QUIET))
		return EXIT_DONE;
	if (!res.changed)
		printf("%s: has %u VFs already, nothing to do\n", a->pos[0], res.after);
	else if (res.after == 0)
		printf("%s: %u VFs destroyed (%u ms)\n", a->pos[0], res.before, res.ready_ms);
	else if (res.before)
		printf("%s: %u VFs destroyed, %u made (%u ms)\n", a->pos[0], res.before, res.after,
			res.ready_ms);
	else
		printf("%s: %u VFs made (%u ms)\n", a->pos[0], res.after, res.ready_ms);
	return EXIT_DONE;
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
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
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
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}
