// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"

#define CLASS_BRIDGE 0x06 /* base class: PCI Code and ID Assignment 1.11 §1.7 */

static void cleanup_holders(struct holder_table **t)
{
	holder_table_destroy(*t);
}

/*
 * What the PF gives its VFs: @f is the PF, followed by @n of its VFs; @s likewise, or NULL. One
 * question for all of them.
 */
static void vf_settings_read(
	struct vfm *v, struct vfm_function *f, size_t n, struct vfm_settings *s)
{
	_cleanup_free_ struct vfm_settings *attr = NULL;
	unsigned max = 0;

	for (size_t i = 1; i <= n; i++)
		max = f[i].index >= (int)max ? (unsigned)f[i].index + 1 : max;
	attr = calloc(max ? max : 1, sizeof(*attr));
	if (!attr || !max || !f->ifindex || settings_read_all(v, f, attr, max, NULL) < 0)
		return;
	for (size_t i = 1; i <= n; i++) {
		if (f[i].index < 0)
			continue;
		f[i].has_mac = attr[f[i].index].set & VFM_BIT(MAC);
		memcpy(f[i].mac, attr[f[i].index].mac, 6);
		if (s)
			s[i] = attr[f[i].index];
	}
}

/* Without any record of a driver there is none to look for. */
static unsigned records_wanted(struct vfm *v)
{
	_cleanup_fd_ int dir = run_dir_open(v, false);
	unsigned leave = FUNCTION_NO_RECORD;
	char **names;

	if (dir < 0 || sysfs_list(&(struct sysfs){.root_fd = dir}, ".", &names) < 0)
		return leave;
	for (char **n = names; *n; n++)
		if (strstr(*n, ".driver"))
			leave = 0;
	sysfs_list_free(names);
	return leave;
}

struct list {
	struct vfm_function *v;
	size_t n, cap;
	struct holder_table *holders;
	unsigned leave; /* FUNCTION_NO_* */
};

/* @pf: NULL where @b is no VF, or nobody knows. */
static int list_add(
	struct vfm *v, struct list *l, struct bdf b, const struct bdf *pf, unsigned index)
{
	struct vfm_function f;

	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		void *p = realloc(l->v, cap * sizeof(*l->v));

		if (!p)
			return -ENOMEM;
		l->v = p;
		l->cap = cap;
	}
	/* Gone since its name was read: not an error. */
	if (function_read_some(v, b, pf, index, l->leave, &f) < 0)
		return 0;
	function_holder_in(l->holders, &f, &f.holder);
	name_lookup(v, &f);
	l->v[l->n++] = f;
	return 0;
}

static int list_add_pf(struct vfm *v, struct list *l, struct bdf pf)
{
	size_t at = l->n;
	unsigned found = 0, count;
	int r = list_add(v, l, pf, NULL, 0);

	if (r < 0 || l->n == at)
		return r;
	/* Links may have gaps while a carve is under way: look no further than the device has. */
	count = l->v[at].num_vfs;
	for (unsigned i = 0; found < count && i < MAX_VFS && i < l->v[at].total_vfs; i++) {
		struct bdf b;

		if (vf_bdf(v, pf, i, &b) < 0)
			continue;
		found++;
		r = list_add(v, l, b, &pf, i);
		if (r < 0)
			return r;
	}
	return 0;
}

static int bdf_cmp(const void *a, const void *b)
{
	const struct bdf *x = a, *y = b;

	if (x->domain != y->domain)
		return x->domain < y->domain ? -1 : 1;
	return (int)bdf_rid(*x) - (int)bdf_rid(*y);
}

int functions_list(struct vfm *v, struct bdf **ret)
{
	_cleanup_names_ char **names = NULL;
	struct bdf *all;
	int r, n = 0;

	r = sysfs_list(&v->sys, "sys/bus/pci/devices", &names);
	if (r < 0)
		return r;
	all = calloc((size_t)r + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (char **name = names; *name; name++) {
		if (bdf_parse(*name, &all[n]) == 0)
			n++;
	}
	qsort(all, (size_t)n, sizeof(*all), bdf_cmp);
	*ret = all;
	return n;
}

static bool attr_exists(struct vfm *v, struct bdf b, const char *attr)
{
	char path[PATH_MAX];

	return sysfs_exists(&v->sys, sysfs_pci_path(b, attr, path, sizeof(path)));
}

int vfm_list(struct vfm *v, unsigned flags, struct vfm_function **ret, struct err *e)
{
	_cleanup_(cleanup_holders) struct holder_table *holders = NULL;
	_cleanup_free_ struct bdf *all = NULL;
	struct list l = {0};
	int n, r = 0;

	n = functions_list(v, &all);
	if (n < 0)
		return err_sys(
			e, -n, "list PCI devices in /sys/bus/pci/devices (is sysfs mounted?)");
	l.holders = holders = vfio_holders(v);
	l.leave = records_wanted(v) | (flags & VFM_LIST_QUICK ? FUNCTION_NO_OVERRIDE : 0);
	for (int i = 0; i < n && r >= 0; i++) {
		size_t at = l.n;

		if (attr_exists(v, all[i], "physfn"))
			continue; /* with its PF */
		if (attr_exists(v, all[i], "sriov_totalvfs")) {
			r = list_add_pf(v, &l, all[i]);
			if (r >= 0 && l.n > at)
				vf_settings_read(v, &l.v[at], l.n - at - 1, NULL);
		} else if ((flags & VFM_LIST_ALL) &&
			   dev_read_number(v, all[i], "class", 0xffffff) >> 16 != CLASS_BRIDGE) {
			r = list_add(v, &l, all[i], NULL, 0);
		}
	}
	if (r < 0) {
		free(l.v);
		return err_sys(e, -r, "list PCI devices");
	}
	*ret = l.v;
	return (int)l.n;
}

static int no_such_function(struct bdf b, struct err *e)
{
	char name[BDF_STRLEN];

	return err_set(e, ENODEV, "%s: no such PCI function ('viaduct vf list' shows them)",
		bdf_format(b, name));
}

int vfm_list_pf(struct vfm *v, struct bdf pf, struct vfm_function **ret,
	struct vfm_settings **ret_settings, struct err *e)
{
	_cleanup_(cleanup_holders) struct holder_table *holders = vfio_holders(v);
	_cleanup_free_ struct vfm_settings *settings = NULL;
	struct list l = {.holders = holders, .leave = records_wanted(v) | FUNCTION_NO_OVERRIDE};
	int r = list_add_pf(v, &l, pf);

	if (r >= 0)
		settings = calloc(l.n ? l.n : 1, sizeof(*settings));
	if (r < 0 || !settings)
		r = err_sys(e, ENOMEM, "list VFs");
	else if (l.n == 0)
		r = no_such_function(pf, e);
	if (r < 0) {
		free(l.v);
		return r;
	}
	vf_settings_read(v, l.v, l.n - 1, settings);
	*ret = l.v;
	if (ret_settings)
		*ret_settings = ptr_steal(settings);
	return (int)l.n;
}

int vfm_show(struct vfm *v, struct bdf b, struct vfm_function *ret, struct err *e)
{
	struct vfm_function f;

	if (function_read(v, b, &f) < 0)
		return no_such_function(b, e);
	if (function_holder(v, &f, &f.holder) <= 0)
		f.holder.pid = 0;
	name_lookup(v, &f);
	if (f.kind == VFM_VF && f.index >= 0) {
		struct vfm_function pair[2] = {{.ifindex = 0}, f};

		if (function_read(v, f.pf, &pair[0]) == 0)
			vf_settings_read(v, pair, 1, NULL);
		f = pair[1];
	}
	*ret = f;
	return 0;
}
