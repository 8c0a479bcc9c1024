// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/run_assign.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "vf-manager/lease.h"

#define BIND_DRIVER     "vfio-pci"
#define BIND_TIMEOUT_MS 20000

static int pool_parse(char *text, struct assign_option *ret, struct err *e)
{
	struct assign_option o = {.numa = VFM_NUMA_ANY};
	char *save = NULL;

	for (char *s = strtok_r(text, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
		if (!strncmp(s, "pool=", 5)) {
			if (*o.pool || !s[5] || strlen(s + 5) >= sizeof(o.pool))
				return err_set(e, EINVAL, "'%s': one pool's name", s);
			snprintf(o.pool, sizeof(o.pool), "%s", s + 5);
		} else if (!strcmp(s, "numa=prefer")) {
			o.numa = VFM_NUMA_PREFER;
		} else if (!strcmp(s, "numa=strict")) {
			o.numa = VFM_NUMA_STRICT;
		} else {
			return err_set(e, EINVAL,
				"'%s': with a pool only numa=prefer or numa=strict may stand", s);
		}
	}
	*ret = o;
	return 0;
}

static int bdf_add(const char *s, struct assign_option *list, unsigned int n, struct err *e)
{
	struct bdf b;

	if (bdf_parse(s, &b) < 0)
		return err_set(e, EINVAL,
			"'%s' is no PCI address; write it as lspci does, e.g. 0000:3b:02.1, or "
			"pool=NAME",
			s);
	for (unsigned int i = 0; i < n; i++) {
		if (!*list[i].pool && bdf_equal(list[i].bdf, b))
			return err_set(e, EINVAL, "%s is given twice", s);
	}
	list[n] = (struct assign_option){.bdf = b};
	return 0;
}

int assign_option_parse(
	const char *text, struct assign_option *list, unsigned int *n, struct err *e)
{
	_cleanup_free_ char *copy = strdup(text);
	char *save = NULL;
	int r = 0;

	if (!copy)
		return err_sys(e, ENOMEM, "--assign");
	if (!strncmp(text, "pool=", 5)) {
		if (*n == RUN_MAX_ASSIGN)
			return err_set(e, EINVAL, "at most %u devices", RUN_MAX_ASSIGN);
		r = pool_parse(copy, &list[*n], e);
		*n += r == 0;
		return r;
	}
	for (char *s = strtok_r(copy, ",", &save); s && r == 0; s = strtok_r(NULL, ",", &save)) {
		if (*n == RUN_MAX_ASSIGN)
			return err_set(e, EINVAL, "at most %u devices", RUN_MAX_ASSIGN);
		r = bdf_add(s, list, *n, e);
		*n += r == 0;
	}
	return r;
}

struct run_lease {
	struct bdf bdf;
	int fd;     /* -1 = none */
	bool bound; /* by us: goes back at the end */
	enum vfm_status isolation;
};

struct run_leases {
	struct vfm *v;
	const struct run_trust *trust; /* while they are taken */
	char owner[VFM_OWNER_MAX];
	struct run_lease of[RUN_MAX_ASSIGN];
	unsigned int n;
};

/* A function that is named: whoever has no lease to take or may take none goes on as before. */
static int lease_named(struct run_leases *l, struct run_lease *of, struct bdf b, struct err *e)
{
	int r = vfm_lease_take(l->v, b, l->owner, 0, &of->fd, e);

	of->bdf = b;
	switch (r) {
	case -EACCES:
	case -EPERM:
	case -EROFS: log_info("%s", e->text); break;
	case 0:
	case -ENODEV: break; /* opening it says the same, and what to do */
	default: return r;
	}
	return run_isolation_check(l->trust, l->v, b, &of->isolation, e);
}

static int lease_pool(
	struct run_leases *l, struct run_lease *of, const struct assign_option *o, struct err *e)
{
	struct vfm_function f;
	char name[BDF_STRLEN];
	int r = vfm_pool_take(l->v, o->pool, o->numa, l->owner, &of->bdf, &of->fd, e);

	if (r == 0)
		r = run_isolation_check(l->trust, l->v, of->bdf, &of->isolation, e);
	if (r == 0)
		r = vfm_show(l->v, of->bdf, &f, e);
	/* Any VFIO driver will do: some cards have one of their own. */
	if (r < 0 || strstr(f.driver, "vfio"))
		return r;
	r = vfm_bind(l->v, of->bdf, BIND_DRIVER, 0, e);
	of->bound = r == 0;
	return r < 0 ? err_wrap(e, r, "pool %s gave %s", o->pool, bdf_format(of->bdf, name)) : 0;
}

int run_leases_take(const struct assign_option *list, unsigned int n, const struct run_trust *t,
	struct bdf *bdf, struct err *e, struct run_leases **ret)
{
	const struct vfm_config cfg = {.timeout_ms = BIND_TIMEOUT_MS};
	struct run_leases *l = calloc(1, sizeof(*l));
	struct err own = {0};
	int r;

	e = e ? e : &own;
	if (!l)
		return err_sys(e, ENOMEM, "--assign");
	snprintf(l->owner, sizeof(l->owner), "%.*s", VFM_OWNER_MAX - 1, t->name);
	l->trust = t;
	l->n = n;
	for (unsigned int i = 0; i < n; i++)
		l->of[i].fd = -1;
	r = vfm_create(&cfg, &l->v, e);
	/* First those that can be no other, so that a pool does not take one of them. */
	for (unsigned int i = 0; r == 0 && i < n; i++) {
		if (!*list[i].pool)
			r = lease_named(l, &l->of[i], list[i].bdf, e);
	}
	for (unsigned int i = 0; r == 0 && i < n; i++) {
		if (*list[i].pool)
			r = lease_pool(l, &l->of[i], &list[i], e);
	}
	if (r < 0) {
		run_leases_drop(l);
		return r;
	}
	for (unsigned int i = 0; i < n; i++)
		bdf[i] = l->of[i].bdf;
	l->trust = NULL;
	*ret = l;
	return 0;
}

bool run_lease_held(const struct run_leases *l, unsigned int i)
{
	return l->of[i].fd >= 0;
}

enum vfm_status run_lease_isolation(const struct run_leases *l, unsigned int i)
{
	return l->of[i].isolation;
}

void run_leases_forget(struct run_leases *l, struct bdf b)
{
	for (unsigned int i = 0; l && i < l->n; i++) {
		if (!bdf_equal(l->of[i].bdf, b))
			continue;
		l->of[i].bound = false;
		vfm_lease_drop(l->v, b, &l->of[i].fd);
	}
}

void run_leases_drop(struct run_leases *l)
{
	if (!l)
		return;
	for (unsigned int i = l->n; i-- > 0;) {
		struct run_lease *of = &l->of[i];
		struct err e = {0};

		/* Its settings are the pool's, not this guest's. */
		if (of->bound && vfm_release(l->v, of->bdf, VFM_RELEASE_DRIVER_ONLY, NULL, &e) < 0)
			log_warn("%s", e.text);
		vfm_lease_drop(l->v, of->bdf, &of->fd);
	}
	vfm_destroy(l->v);
	free(l);
}
