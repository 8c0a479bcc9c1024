// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vf-manager/lease_dir.h"
#include "vf-manager/numa.h"
#include "vf-manager/usage.h"

static int name_check(const char *name, struct err *e)
{
	if (name_is_plain(name))
		return 0;
	return err_set(e, EINVAL,
		"'%s' is no pool's name: use letters, digits, '-', '_', '.', ':' and '@'", name);
}

void vfm_pool_get(struct vfm *v, struct bdf pf, char *ret)
{
	struct journal_entry entry;

	*ret = '\0';
	if (journal_read(v, pf, JOURNAL_POOL, &entry) == 0)
		memcpy(ret, entry.value, VFM_NAME_MAX);
}

int vfm_pool_set(struct vfm *v, struct bdf pf, const char *name, struct err *e)
{
	char now[VFM_NAME_MAX], path[PATH_MAX], bdf[BDF_STRLEN];
	struct journal_entry entry = {0};
	int r = *name ? name_check(name, e) : 0;

	if (r < 0)
		return r;
	vfm_pool_get(v, pf, now);
	if (!strcmp(now, name))
		return 0;
	if (!*name) {
		journal_remove(v, pf, JOURNAL_POOL);
		return 0;
	}
	bdf_format(pf, bdf);
	if (!sysfs_exists(&v->sys, sysfs_pci_path(pf, "", path, sizeof(path))))
		return err_set(e, ENODEV, "put %s into pool %s: no such PCI function", bdf, name);
	snprintf(entry.value, sizeof(entry.value), "%s", name);
	r = journal_write(v, pf, JOURNAL_POOL, &entry, e);
	return r < 0 ? err_wrap(e, r, "put %s into pool %s", bdf, name) : 0;
}

int vfm_pool_members(struct vfm *v, const char *name, struct bdf **ret, struct err *e)
{
	_cleanup_names_ char **names = NULL;
	_cleanup_free_ struct bdf *list = NULL;
	int r = name_check(name, e), n = 0;

	if (r < 0)
		return r;
	/* sysfs has them by name, which is address order. */
	r = sysfs_list(&v->sys, "sys/bus/pci/devices", &names);
	if (r < 0)
		return err_sys(
			e, -r, "list PCI devices in /sys/bus/pci/devices (is sysfs mounted?)");
	list = calloc((size_t)r + 1, sizeof(*list));
	if (!list)
		return err_sys(e, ENOMEM, "list PCI devices");
	for (char **at = names; *at; at++) {
		char path[PATH_MAX], pool[VFM_NAME_MAX];
		struct bdf b;

		if (bdf_parse(*at, &b) < 0 ||
			!sysfs_exists(
				&v->sys, sysfs_pci_path(b, "sriov_totalvfs", path, sizeof(path))))
			continue;
		vfm_pool_get(v, b, pool);
		if (!strcmp(pool, name))
			list[n++] = b;
	}
	*ret = ptr_steal(list);
	return n;
}

struct candidate {
	struct bdf bdf;
	size_t pf; /* which member it is of */
	bool near, used;
};

struct pool {
	struct vfm *v;
	const char *name;
	struct bdf *pf;
	unsigned *used; /* VFs of each */
	size_t n_pfs;
	struct bdf *vf;
	struct candidate *c;
	struct vfm_usage *usage;
	size_t n, cap;
};

static void pool_finish(struct pool *p)
{
	free(p->pf);
	free(p->used);
	free(p->vf);
	free(p->c);
	free(p->usage);
}

static int numa_node(struct vfm *v, struct bdf b)
{
	uint64_t n;

	return dev_read_u64(v, b, "numa_node", &n) < 0 || n > INT_MAX ? -1 : (int)n;
}

static int vf_add(struct pool *p, size_t pf, struct bdf b, const struct node_set *nodes)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 16;
		void *vf = realloc(p->vf, cap * sizeof(*p->vf)), *c;

		if (!vf)
			return -ENOMEM;
		p->vf = vf;
		c = realloc(p->c, cap * sizeof(*p->c));
		if (!c)
			return -ENOMEM;
		p->c = c;
		p->cap = cap;
	}
	p->vf[p->n] = b;
	p->c[p->n++] = (struct candidate){
		.bdf = b, .pf = pf, .near = node_set_has(nodes, numa_node(p->v, b))};
	return 0;
}

/*
 * Of those that nobody has leased: the others are taken anyway, and looking at one means to open its
 * VFIO group for a moment, perhaps just when its holder wants to.
 */
static int usage_read(struct pool *p, struct err *e)
{
	_cleanup_free_ struct vfm_usage *u = calloc(p->n, sizeof(*u));
	_cleanup_free_ struct bdf *b = calloc(p->n, sizeof(*b));
	_cleanup_free_ size_t *of = calloc(p->n, sizeof(*of));
	size_t n = 0;
	int r;

	if (!u || !b || !of)
		return err_sys(e, ENOMEM, "pool %s", p->name);
	for (size_t i = 0; i < p->n; i++) {
		struct vfm_lease l;
		char who[VFM_LEASE_WHO_MAX];

		if (vfm_lease_get(p->v, p->vf[i], &l) > 0 && l.held) {
			p->usage[i].uses = VFM_USE_LEASE;
			snprintf(p->usage[i].text, sizeof(p->usage[i].text), "leased by %s",
				vfm_lease_who(&l, who));
			continue;
		}
		of[n] = i;
		b[n++] = p->vf[i];
	}
	r = vfm_usage_many(p->v, b, n, u, e);
	for (size_t i = 0; r == 0 && i < n; i++)
		p->usage[of[i]] = u[i];
	return r;
}

static int pool_read(struct pool *p, const struct node_set *nodes, struct err *e)
{
	int r = vfm_pool_members(p->v, p->name, &p->pf, e);

	if (r < 0)
		return r;
	p->n_pfs = (size_t)r;
	if (!r)
		return err_set(e, ENOENT,
			"no PF is in pool %s: write 'pool: %s' to one in a file and 'viaduct vf "
			"apply' that",
			p->name, p->name);
	p->used = calloc(p->n_pfs, sizeof(*p->used));
	if (!p->used)
		return err_sys(e, ENOMEM, "pool %s", p->name);
	for (size_t i = 0; r >= 0 && i < p->n_pfs; i++) {
		uint64_t total;

		if (dev_read_u64(p->v, p->pf[i], "sriov_totalvfs", &total) < 0)
			continue;
		for (unsigned j = 0; r >= 0 && j < total && j < MAX_VFS; j++) {
			struct bdf b;

			/* None is missing between two that are there. */
			if (vf_bdf(p->v, p->pf[i], j, &b) < 0)
				break;
			r = vf_add(p, i, b, nodes);
		}
	}
	p->usage = calloc(p->n + 1, sizeof(*p->usage));
	if (!p->usage || r < 0)
		return err_sys(e, ENOMEM, "pool %s", p->name);
	if (!p->n)
		return err_set(
			e, ENODEV, "no PF of pool %s has a VF: 'viaduct vf carve' one", p->name);
	return usage_read(p, e);
}

/* With the directory of leases locked: what is leased now, whatever it was a moment ago. */
static int leases_look(struct pool *p, int dir, struct err *e)
{
	_cleanup_free_ struct vfm_lease *l = NULL;
	int n = lease_list_locked(dir, true, &l);

	if (n < 0)
		return err_sys(e, -n, "read the leases");
	for (size_t i = 0; i < p->n_pfs; i++)
		p->used[i] = 0;
	for (size_t i = 0; i < p->n; i++) {
		struct candidate *c = &p->c[i];

		c->used = p->usage[i].uses & ~(unsigned)VFM_USE_LEASE;
		for (int j = 0; j < n; j++)
			c->used |= l[j].held && bdf_equal(l[j].bdf, c->bdf);
		p->used[c->pf] += c->used;
	}
	return 0;
}

static bool better(const struct pool *p, const struct candidate *a, const struct candidate *b,
	enum vfm_numa numa)
{
	if (numa == VFM_NUMA_PREFER && a->near != b->near)
		return a->near;
	/* Else the first stays: of the lower address, and the lower index. */
	return p->used[a->pf] < p->used[b->pf];
}

static const struct candidate *pool_choose(const struct pool *p, enum vfm_numa numa)
{
	const struct candidate *best = NULL;

	for (size_t i = 0; i < p->n; i++) {
		const struct candidate *c = &p->c[i];

		if (c->used || (numa == VFM_NUMA_STRICT && !c->near))
			continue;
		if (!best || better(p, c, best, numa))
			best = c;
	}
	return best;
}

static int none_is_free(
	const struct pool *p, enum vfm_numa numa, const struct node_set *nodes, struct err *e)
{
	char name[BDF_STRLEN], where[64] = "", list[48];
	unsigned named = 0, near = 0;

	for (size_t i = 0; i < p->n; i++)
		near += p->c[i].near;
	if (numa == VFM_NUMA_STRICT) {
		node_set_format(nodes, list, sizeof(list));
		if (!near)
			return err_set(e, ENODEV,
				"pool %s: none of its %zu VFs is on NUMA node %s, where this "
				"process runs (numa=prefer takes another)",
				p->name, p->n, list);
		snprintf(where, sizeof(where), " on NUMA node %s", list);
	}
	err_set(e, EBUSY, "pool %s: none of its %zu VFs%s is free", p->name,
		numa == VFM_NUMA_STRICT ? near : p->n, where);
	for (size_t i = 0; i < p->n && named < 3; i++) {
		if (!p->usage[i].uses)
			continue;
		err_append(e, "%s: %.100s", bdf_format(p->vf[i], name), p->usage[i].text);
		named++;
	}
	return -EBUSY;
}

/* 0, 1 when there was none, -errno. */
static int take_once(struct vfm *v, const char *name, enum vfm_numa numa, const char *owner,
	struct bdf *ret, int *ret_fd, struct err *e)
{
	_cleanup_(pool_finish) struct pool p = {.v = v, .name = name};
	const struct candidate *c;
	_cleanup_fd_ int dir = -1;
	struct node_set nodes;
	int r;

	node_set_read(v, &nodes);
	r = pool_read(&p, &nodes, e);
	if (r == 0)
		r = lease_dir_lock(v, &dir, e);
	if (r == 0)
		r = leases_look(&p, dir, e);
	if (r < 0)
		return r;
	c = pool_choose(&p, numa);
	if (!c) {
		r = none_is_free(&p, numa, &nodes, e);
		return r == -EBUSY ? 1 : r;
	}
	r = lease_take_locked(v, dir, c->bdf, owner, getpid(), ret_fd, e);
	if (r == 0)
		*ret = c->bdf;
	return r;
}

int vfm_pool_take(struct vfm *v, const char *name, enum vfm_numa numa, const char *owner,
	struct bdf *ret, int *ret_fd, struct err *e)
{
	int r = lease_owner_check(owner, e);

	/*
	 * Who uses what was looked up before the leases were locked: somebody may have let one go
	 * since. So none is none only when it is so twice.
	 */
	for (int i = 0; r == 0 && i < 2; i++) {
		r = take_once(v, name, numa, owner, ret, ret_fd, e);
		if (r <= 0)
			return r;
		r = i ? -EBUSY : 0;
	}
	return r;
}
