// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf list. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/json.h"
#include "cli/table.h"
#include "cli/vf.h"
#include "cli/vf_show.h"
#include "common/cleanup.h"

struct leases {
	struct vfm_lease *v;
	int n;
};

static int list_json(const struct vfm_function *f, int n, const struct leases *l)
{
	json_t *all = json_array();

	for (int i = 0; i < n; i++)
		json_array_append_new(all, function_json(&f[i], lease_of(l->v, l->n, f[i].bdf)));
	return json_print(json_pack("{s:o}", "functions", all));
}

enum {
	COL_BDF,
	COL_KIND,
	COL_DRIVER,
	COL_NETDEV,
	COL_MAC,
	COL_LINK,
	COL_GROUP,
	COL_NUMA,
	COL_USE,
	COL_LEASE,
	COL_NAME,
	COLS
};

static void row_add(struct table *t, const struct vfm_function *f, const struct vfm_lease *lease)
{
	char bdf[BDF_STRLEN], mac[18], who[VFM_LEASE_WHO_MAX + 8];

	table_row(t, f->holder.pid ? TABLE_NOTED : TABLE_PLAIN);
	table_set(t, COL_BDF, "%s%s", f->kind == VFM_VF ? "  " : "", bdf_format(f->bdf, bdf));
	if (f->kind == VFM_PF)
		table_set(t, COL_KIND, "PF %u/%u", f->num_vfs, f->total_vfs);
	else if (f->kind == VFM_VF)
		table_set(t, COL_KIND, "VF %d", f->index);
	table_set(t, COL_DRIVER, "%s", f->driver);
	table_set(t, COL_NETDEV, "%s", f->netdev);
	mac_text(f, mac);
	table_set(t, COL_MAC, "%s", mac);
	table_set(t, COL_LINK, "%s", f->link);
	if (f->iommu_group >= 0)
		table_set(t, COL_GROUP, "%d", f->iommu_group);
	if (f->numa_node >= 0)
		table_set(t, COL_NUMA, "%d", f->numa_node);
	if (f->holder.pid)
		table_set(t, COL_USE, "%s[%d]", f->holder.comm, (int)f->holder.pid);
	table_set(t, COL_LEASE, "%s", lease_text(lease, who));
	if (*f->name)
		table_set(t, COL_NAME, "%s", f->name);
	else
		table_set(t, COL_NAME, "%04x:%04x", f->vendor, f->device);
}

static int list_table(const struct vfm_function *f, int n, const struct leases *l)
{
	static const char *const heads[COLS] = {"ADDRESS", "KIND", "DRIVER", "NETDEV", "MAC",
		"LINK", "GROUP", "NUMA", "USED BY", "LEASE", "NAME"};
	struct table t;
	int r;

	table_init(&t, heads, COLS);
	for (int i = 0; i < n; i++)
		row_add(&t, &f[i], lease_of(l->v, l->n, f[i].bdf));
	r = table_print(&t, false);
	table_finish(&t);
	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}

int vf_list(struct vfm *v, const struct vf_args *a)
{
	_cleanup_free_ struct vfm_function *f = NULL;
	_cleanup_free_ struct vfm_lease *lease = NULL;
	struct leases l;
	struct err e = {0};
	int n = vfm_list(v, VFM_LIST_QUICK | (vf_flag(a, VF_OPT_ALL) ? VFM_LIST_ALL : 0), &f, &e);

	if (n < 0)
		return vf_fail(n, &e);
	/* Only root sees them. */
	l.n = vfm_lease_list(v, &lease, NULL);
	l.v = lease;
	if (vf_flag(a, VF_OPT_JSON))
		return list_json(f, n, &l);
	if (n == 0) {
		if (!vf_flag(a, VF_OPT_QUIET))
			fputs("no SR-IOV devices; --all lists every PCI function\n", stderr);
		return EXIT_DONE;
	}
	return list_table(f, n, &l);
}
