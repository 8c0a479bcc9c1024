// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf stats: what VFs have received and sent. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/vf.h"
#include "common/cleanup.h"
#include "vf-manager/select.h"
#include "vf-manager/stats.h"

/* Counters of the VFs asked for. */
struct chosen {
	struct vfm_stats *vf;
	size_t n;
};

static int chosen_add(struct chosen *to, const struct vfm_stats *vf, size_t n)
{
	struct vfm_stats *p = realloc(to->vf, (to->n + n + 1) * sizeof(*p));

	if (!p)
		return -ENOMEM;
	to->vf = p;
	memcpy(p + to->n, vf, n * sizeof(*p));
	to->n += n;
	return 0;
}

/* The VFs of @pf, or its VF number @index alone. */
static int pf_add(struct vfm *v, struct chosen *to, struct bdf pf, int index, struct err *e)
{
	_cleanup_free_ struct vfm_stats *s = NULL;
	int n = vfm_stats(v, pf, &s, e), r = 0;

	if (n < 0)
		return n;
	if (index < 0)
		r = chosen_add(to, s, (size_t)n);
	else if (index < n)
		r = chosen_add(to, s + index, 1);
	return r < 0 ? err_sys(e, -r, "statistics") : 0;
}

static int selector_add(struct vfm *v, struct chosen *to, const char *text, struct err *e)
{
	struct vfm_function f;
	struct bdf b;
	int r = vfm_select(v, text, &b, e);

	if (r == 0)
		r = vfm_show(v, b, &f, e);
	if (r < 0)
		return r;
	return f.kind == VFM_VF ? pf_add(v, to, f.pf, f.index, e) : pf_add(v, to, b, -1, e);
}

static int all_add(struct vfm *v, struct chosen *to, struct err *e)
{
	_cleanup_free_ struct vfm_function *f = NULL;
	int n = vfm_list(v, 0, &f, e), r = 0;

	for (int i = 0; r == 0 && i < n; i++)
		if (f[i].kind == VFM_PF && f[i].num_vfs)
			r = pf_add(v, to, f[i].bdf, -1, e);
	return n < 0 ? n : r;
}

static json_t *counters_json(const struct vfm_counters *c)
{
	json_t *o;

	if (!c->set)
		return json_null();
	o = json_object();
	for (unsigned i = 0; i < VFM_COUNTERS; i++)
		json_object_set_new(o, vfm_counter_name(i),
			c->set & 1u << i ? json_integer((json_int_t)c->value[i]) : json_null());
	return o;
}

static json_t *tri_json(enum vfm_tri t)
{
	return t == VFM_UNKNOWN ? json_null() : json_boolean(t == VFM_YES);
}

static int print_json(const struct chosen *c)
{
	json_t *all = json_array();
	char bdf[BDF_STRLEN], pf[BDF_STRLEN];

	for (size_t i = 0; i < c->n; i++) {
		const struct vfm_stats *s = &c->vf[i];

		json_array_append_new(all,
			json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "bdf",
				bdf_format(s->bdf, bdf), "pf", bdf_format(s->pf, pf), "index",
				s->index, "owner",
				s->leased && s->lease.held ? json_string(s->lease.owner)
							   : json_null(),
				"pf_driver", json_text(s->driver), "reported",
				tri_json(s->reported), "counters", counters_json(&s->counted),
				"netdev", json_text(s->netdev), "own", counters_json(&s->own)));
	}
	return json_print(json_pack("{s:o}", "vfs", all));
}

static void print_counters(const struct vfm_counters *c)
{
	char text[24];

	for (unsigned i = 0; i < VFM_COUNTERS; i++) {
		if (c->set & 1u << i)
			snprintf(text, sizeof(text), "%" PRIu64, c->value[i]);
		else
			strcpy(text, "-");
		printf(" %12s", text);
	}
	putchar('\n');
}

static void print_row(const struct vfm_stats *s)
{
	char bdf[BDF_STRLEN];

	bdf_format(s->bdf, bdf);
	printf("%-13s %-16s %-12s", bdf, s->leased && s->lease.held ? s->lease.owner : "-", "PF");
	if (s->reported == VFM_NO)
		printf(" not reported by %s\n", *s->driver ? s->driver : "a PF without a driver");
	else if (!s->counted.set)
		puts(" not reported");
	else
		print_counters(&s->counted);
	if (s->reported == VFM_UNKNOWN && s->counted.set)
		printf("%-13s %-16s %-12s all zero: %s may not count for its VFs\n", "", "", "",
			s->driver);
	if (!*s->netdev)
		return;
	printf("%-13s %-16s %-12s", "", "", s->netdev);
	print_counters(&s->own);
}

static int print_table(const struct chosen *c)
{
	if (!c->n) {
		puts("no VFs");
		return EXIT_DONE;
	}
	printf("%-13s %-16s %-12s", "VF", "OWNER", "COUNTED BY");
	for (unsigned i = 0; i < VFM_COUNTERS; i++)
		printf(" %12s", vfm_counter_name(i));
	putchar('\n');
	for (size_t i = 0; i < c->n; i++)
		print_row(&c->vf[i]);
	return EXIT_DONE;
}

int vf_stats(struct vfm *v, const struct vf_args *a)
{
	struct chosen c = {0};
	struct err e = {0};
	int r = a->n ? 0 : all_add(v, &c, &e);

	for (unsigned i = 0; r == 0 && i < a->n; i++)
		r = selector_add(v, &c, a->pos[i], &e);
	if (r < 0)
		r = vf_fail(r, &e);
	else
		r = vf_flag(a, VF_OPT_JSON) ? print_json(&c) : print_table(&c);
	free(c.vf);
	return r;
}
