// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/plan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/plan_make.h"
#include "vf-manager/usage.h"

static const char *const step_names[] = {
	[VFM_STEP_RECOVER] = "recover",
	[VFM_STEP_UP] = "bring-up",
	[VFM_STEP_DESTROY] = "destroy-vfs",
	[VFM_STEP_ESWITCH] = "set-eswitch",
	[VFM_STEP_AUTOPROBE] = "set-autoprobe",
	[VFM_STEP_CARVE] = "make-vfs",
	[VFM_STEP_SET] = "set-vf",
	[VFM_STEP_RELEASE] = "release-vf",
	[VFM_STEP_BIND] = "bind-vf",
	[VFM_STEP_POOL] = "set-pool",
};

const char *vfm_step_name(enum vfm_step_kind kind)
{
	return kind < ARRAY_SIZE(step_names) ? step_names[kind] : "unknown";
}

/* One more at the end of an array of @n that grows by powers of two. NULL: out of memory. */
static void *grown(void *array, size_t n, size_t size)
{
	return n & (n - 1) ? array : realloc(array, (n ? n * 2 : 1) * size);
}

void text_add(char *text, const char *fmt, ...)
{
	size_t n = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + n, VFM_STEP_MAX - n, fmt, ap);
	va_end(ap);
}

/* Where VF @index is or will be. The PF's config space is read once for all of them: it is slow. */
static bool vf_place(struct make *m, unsigned index, struct bdf *ret)
{
	if (vf_bdf(m->v, m->pf->bdf, index, ret) == 0)
		return true;
	if (!m->caps_read && vfm_caps(m->v, m->pf->bdf, &m->caps, NULL) < 0)
		return false;
	m->caps_read = true;
	return vfm_predict_by(&m->caps, m->pf->bdf, index, ret, NULL) == 0;
}

struct vfm_step *step_add(struct make *m, enum vfm_step_kind kind, int index)
{
	const struct pf_state *s = m->pf->state;
	struct vfm_plan *p = m->p;
	struct vfm_step *step = grown(p->step, p->n_steps, sizeof(*step));
	char name[BDF_STRLEN];

	if (!step)
		return NULL;
	p->step = step;
	step += p->n_steps++;
	*step = (struct vfm_step){.kind = kind, .pf = (size_t)(m->pf - p->pf), .index = index};
	text_add(step->text, "%s: ", m->name);
	if (index < 0)
		return step;
	text_add(step->text, "VF %d", index);
	if (!m->remade && (unsigned)index < s->num_vfs && s->vf[index].there) {
		step->vf = s->vf[index].f.bdf;
		step->has_vf = true;
	} else {
		step->has_vf = vf_place(m, (unsigned)index, &step->vf);
	}
	if (step->has_vf)
		text_add(step->text, " (%s)", bdf_format(step->vf, name));
	text_add(step->text, ": ");
	return step;
}

int differ(struct make *m, int index, const char *key, const char *have, const char *want)
{
	const struct pf_state *s = m->pf->state;
	struct vfm_plan *p = m->p;
	struct vfm_difference *d = grown(p->difference, p->n_differences, sizeof(*d));

	if (!d)
		return -ENOMEM;
	p->difference = d;
	d += p->n_differences++;
	*d = (struct vfm_difference){.pf = (size_t)(m->pf - p->pf), .index = index};
	if (index >= 0 && (unsigned)index < s->num_vfs && s->vf[index].there) {
		d->vf = s->vf[index].f.bdf;
		d->has_vf = true;
	}
	snprintf(d->key, sizeof(d->key), "%s", key);
	snprintf(d->have, sizeof(d->have), "%s", have);
	snprintf(d->want, sizeof(d->want), "%s", want);
	return 0;
}

int refuse(struct make *m, const struct vfm_desired_vf *vf, int code, const char *fmt, ...)
{
	const struct vfm_desired_pf *pf = m->pf->want;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(&m->pf->why, code, "%s:%u:%u: %s: %s", m->d->file, vf ? vf->line : pf->line,
		vf ? vf->column : pf->column, m->name, text);
}

const struct vfm_desired_vf *entry_find(const struct vfm_desired_pf *w, unsigned index)
{
	size_t lo = 0, hi = w->n_vfs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (w->vf[mid].index < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < w->n_vfs && w->vf[lo].index == index ? &w->vf[lo] : NULL;
}

static int check(struct make *m)
{
	const struct vfm_desired_pf *w = m->pf->want;
	const struct pf_state *s = m->pf->state;
	const struct vfm_desired_vf *last = w->n_vfs ? &w->vf[w->n_vfs - 1] : NULL;

	if (m->n > s->f.total_vfs && m->n != s->num_vfs)
		return refuse(m, NULL, ERANGE, "num-vfs is %u, it can have %u at most%s", m->n,
			s->f.total_vfs,
			s->f.total_vfs ? ""
				       : ": turn SR-IOV on in the firmware set-up or with the "
					 "card's own tool");
	if (m->n != s->num_vfs && !*s->f.driver)
		return refuse(m, NULL, ENOTSUP,
			"it has no driver: load its driver first, only that can make VFs");
	if (last && last->index >= m->n)
		return refuse(m, last, ERANGE,
			"there is no VF %u: it has %u, and the file says no num-vfs", last->index,
			m->n);
	for (size_t i = 0; i < w->n_vfs; i++)
		if (w->vf[i].settings.set && s->f.ifindex <= 0)
			return refuse(m, &w->vf[i], ENOTSUP,
				"%s of VF %u: the PF has no network interface here (driver %s), "
				"through which VFs are given that: only 'driver' can be said of "
				"its "
				"VFs",
				vfm_setting_name((unsigned)__builtin_ctz(w->vf[i].settings.set)),
				w->vf[i].index, *s->f.driver ? s->f.driver : "none");
	return 0;
}

static int eswitch_plan(struct make *m)
{
	const struct pf_state *s = m->pf->state;
	const char *want = m->pf->want->eswitch;
	struct vfm_step *step;
	int r;

	if (!*want || !strcmp(want, vfm_eswitch_name(s->eswitch)))
		return 0;
	r = differ(m, -1, "eswitch", vfm_eswitch_name(s->eswitch), want);
	if (r < 0)
		return r;
	/* Some drivers change it without VFs only, and with others the VFs must have no driver. */
	if (s->num_vfs) {
		step = step_add(m, VFM_STEP_DESTROY, -1);
		if (!step)
			return -ENOMEM;
		step->destroys = s->num_vfs;
		text_add(step->text, "destroy its %u VFs, so that its switch can change",
			s->num_vfs);
	}
	step = step_add(m, VFM_STEP_ESWITCH, -1);
	if (!step)
		return -ENOMEM;
	text_add(step->text, "set its switch to %s (is %s)", want, vfm_eswitch_name(s->eswitch));
	return 0;
}

static int autoprobe_plan(struct make *m)
{
	int want = m->pf->want->autoprobe;
	bool have = m->pf->state->autoprobe;
	struct vfm_step *step;

	m->autoprobe = want < 0 ? have : want;
	if (m->autoprobe == have)
		return 0;
	step = step_add(m, VFM_STEP_AUTOPROBE, -1);
	if (!step)
		return -ENOMEM;
	step->autoprobe = want;
	text_add(step->text, "set sriov_drivers_autoprobe %s", want ? "on" : "off");
	return differ(m, -1, "autoprobe", have ? "true" : "false", want ? "true" : "false");
}

static int carve_plan(struct make *m)
{
	const struct pf_state *s = m->pf->state;
	unsigned before = s->num_vfs;
	char have[16], want[16];
	struct vfm_step *step;
	int r;

	if (m->n != s->num_vfs) {
		snprintf(have, sizeof(have), "%u", s->num_vfs);
		snprintf(want, sizeof(want), "%u", m->n);
		r = differ(m, -1, "num-vfs", have, want);
		if (r < 0)
			return r;
	}
	/* After a change of the switch they are gone already. */
	for (size_t i = m->pf->first; i < m->p->n_steps; i++)
		if (m->p->step[i].kind == VFM_STEP_DESTROY)
			before = 0;
	if (m->n == before)
		return 0;
	step = step_add(m, VFM_STEP_CARVE, -1);
	if (!step)
		return -ENOMEM;
	step->num_vfs = m->n;
	step->destroys = before;
	/* With no word on any VF the kernel is left to do what the switch says. */
	step->autoprobe = m->pf->want->autoprobe == 1 && !m->pf->want->n_vfs;
	if (!m->n)
		text_add(step->text, "destroy its %u VFs", before);
	else if (before)
		text_add(step->text, "make %u VFs (destroys %u)", m->n, before);
	else
		text_add(step->text, "make %u VFs", m->n);
	return 0;
}

/* Last of what others see: a pool gives away what is ready. */
static int pool_plan(struct make *m)
{
	const char *have = m->pf->state->pool, *want = m->pf->want->pool;
	bool out = !strcmp(want, VFM_POOL_NONE);
	struct vfm_step *step;

	if (!*want || !strcmp(have, out ? "" : want))
		return 0;
	step = step_add(m, VFM_STEP_POOL, -1);
	if (!step)
		return -ENOMEM;
	if (out)
		text_add(step->text, "take it out of pool %s", have);
	else
		text_add(step->text, "put it into pool %s", want);
	if (*have && !out)
		text_add(step->text, " (is in %s)", have);
	return differ(m, -1, "pool", or_none(have), want);
}

/* Before the steps that need it, if there are any; the rest moves up. */
static int up_plan(struct make *m)
{
	const struct vfm_function *f = &m->pf->state->f;
	struct vfm_plan *p = m->p;
	size_t at = m->pf->first;
	struct vfm_step up;
	bool needed = false;

	for (size_t i = at; i < p->n_steps; i++)
		needed |= p->step[i].kind == VFM_STEP_SET ||
			  (p->step[i].kind == VFM_STEP_CARVE && p->step[i].num_vfs);
	if (!needed || f->ifindex <= 0 || f->admin_up)
		return 0;
	if (!step_add(m, VFM_STEP_UP, -1))
		return -ENOMEM;
	up = p->step[p->n_steps - 1];
	text_add(up.text, "bring %s up", f->netdev);
	if (p->step[at].kind == VFM_STEP_RECOVER)
		at++;
	memmove(&p->step[at + 1], &p->step[at], (p->n_steps - 1 - at) * sizeof(up));
	p->step[at] = up;
	return 0;
}

/* Does @step cost VF @index something that its user would notice? */
static bool step_affects(const struct make *m, const struct vfm_step *step, unsigned index)
{
	if (step->destroys)
		return true;
	return !m->remade && step->index == (int)index &&
	       (step->kind == VFM_STEP_BIND || step->kind == VFM_STEP_RELEASE);
}

/* The first users of a step's VFs are in its text, all are in the plan. */
#define USERS_IN_TEXT 2

static int affected_add(struct make *m, size_t step, const struct vf_state *vf,
	const struct vfm_usage *u, size_t nth)
{
	struct vfm_plan *p = m->p;
	struct vfm_affected *a = grown(p->affected, p->n_affected, sizeof(*a));
	struct vfm_step *s = &p->step[step];

	if (!a)
		return -ENOMEM;
	p->affected = a;
	a += p->n_affected++;
	*a = (struct vfm_affected){.step = step, .vf = vf->f.bdf, .index = vf->f.index};
	memcpy(a->text, u->text, sizeof(a->text));
	memcpy(a->consequence, u->consequence, sizeof(a->consequence));
	if (s->index >= 0)
		text_add(s->text, ", in use: %s", u->text);
	else if (nth < USERS_IN_TEXT)
		text_add(
			s->text, "%s VF %d (%.100s)", nth ? "," : ": in use", vf->f.index, u->text);
	else if (nth == USERS_IN_TEXT)
		text_add(s->text, ", ...");
	return 0;
}

/* Who would notice, asked once for all of this PF's VFs. */
static int affected_plan(struct make *m)
{
	const struct pf_state *s = m->pf->state;
	_cleanup_free_ struct bdf *b = calloc(s->num_vfs + 1, sizeof(*b));
	_cleanup_free_ unsigned *which = calloc(s->num_vfs + 1, sizeof(*which));
	_cleanup_free_ struct vfm_usage *u = calloc(s->num_vfs + 1, sizeof(*u));
	size_t n = 0;
	int r;

	if (!b || !which || !u)
		return -ENOMEM;
	for (unsigned i = 0; i < s->num_vfs; i++)
		for (size_t j = m->pf->first; s->vf[i].there && j < m->p->n_steps; j++)
			if (step_affects(m, &m->p->step[j], i)) {
				b[n] = s->vf[i].f.bdf;
				which[n++] = i;
				break;
			}
	if (!n)
		return 0;
	r = vfm_usage_many(m->v, b, n, u, &m->pf->why);
	/* A recorded machine has no network to ask: then each may be in use. */
	if (r == -EOPNOTSUPP) {
		m->pf->why = (struct err){0};
		for (size_t i = 0; i < n; i++) {
			u[i] = (struct vfm_usage){.uses = VFM_USE_ADDRESS};
			snprintf(u[i].text, sizeof(u[i].text), "by whom cannot be seen here");
			snprintf(u[i].consequence, sizeof(u[i].consequence),
				"whoever uses it loses it");
		}
	} else if (r < 0) {
		return err_wrap(&m->pf->why, r, "%s: who uses its VFs", m->name);
	}
	for (size_t j = m->pf->first; j < m->p->n_steps; j++) {
		size_t nth = 0;

		for (size_t i = 0; i < n; i++) {
			if (!u[i].uses || !step_affects(m, &m->p->step[j], which[i]))
				continue;
			r = affected_add(m, j, &s->vf[which[i]], &u[i], nth++);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int steps_plan(struct make *m)
{
	static int (*const parts[])(struct make *) = {eswitch_plan, autoprobe_plan, carve_plan,
		settings_plan, drivers_plan, rates_plan, pool_plan, up_plan, affected_plan};
	const struct pf_state *s = m->pf->state;
	struct vfm_step *step;
	int r = check(m);

	if (r < 0)
		return r;
	if (s->interrupted) {
		step = step_add(m, VFM_STEP_RECOVER, -1);
		if (!step)
			return -ENOMEM;
		step->num_vfs = s->num_vfs;
		text_add(step->text, "put right what an interrupted carve left");
	}
	for (size_t i = 0; i < ARRAY_SIZE(parts) && r >= 0; i++)
		r = parts[i](m);
	return r;
}

static int pf_read(struct make *m, const char *only_name, struct bdf only)
{
	struct vfm_plan_pf *pf = m->pf;
	const struct vfm_desired_pf *w = pf->want;
	struct err e = {0};
	int r = vfm_select(m->v, w->selector, &pf->bdf, &e);

	snprintf(m->name, sizeof(m->name), "%.23s", w->selector);
	if (r < 0)
		return err_set(
			&pf->why, -r, "%s:%u:%u: %s", m->d->file, w->line, w->column, e.text);
	pf->found = true;
	bdf_format(pf->bdf, m->name);
	if (only_name && !bdf_equal(pf->bdf, only))
		return 0;
	for (const struct vfm_plan_pf *o = m->p->pf; o < pf; o++)
		if (o->found && bdf_equal(o->bdf, pf->bdf))
			return refuse(m, NULL, EEXIST,
				"%s is the PF of line %u too: one entry holds all of a PF",
				w->selector, o->want->line);
	r = pf_state_read(m->v, pf->bdf, *w->eswitch, &pf->state, &e);
	return r < 0 ? refuse(m, NULL, -r, "%s", e.text) : 0;
}

static int pf_plan(struct make *m)
{
	const struct vfm_desired_pf *w = m->pf->want;
	size_t differences = m->p->n_differences, affected = m->p->n_affected;
	const struct pf_state *s = m->pf->state;
	int r;

	m->caps_read = false;
	m->pf->first = m->p->n_steps;
	m->n = w->num_vfs >= 0 ? (unsigned)w->num_vfs : s->num_vfs;
	m->remade = m->n != s->num_vfs ||
		    (*w->eswitch && strcmp(w->eswitch, vfm_eswitch_name(s->eswitch)));
	r = steps_plan(m);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		m->p->n_steps = m->pf->first;
		m->p->n_differences = differences;
		m->p->n_affected = affected;
	}
	m->pf->n = m->p->n_steps - m->pf->first;
	for (size_t i = m->pf->first; i < m->p->n_steps; i++)
		m->p->recreates |= m->p->step[i].destroys;
	return 0;
}

int vfm_plan(struct vfm *v, const struct vfm_desired *want, const char *only, struct vfm_plan **ret,
	struct err *e)
{
	struct make m = {.v = v, .d = want};
	struct bdf only_bdf = {0};
	int r = only ? vfm_select(v, only, &only_bdf, e) : 0;

	if (r < 0)
		return r;
	m.p = calloc(1, sizeof(*m.p));
	if (m.p)
		m.p->pf = calloc(want->n_pfs + 1, sizeof(*m.p->pf));
	if (!m.p || !m.p->pf) {
		r = -ENOMEM;
		goto fail;
	}
	for (size_t i = 0; i < want->n_pfs; i++) {
		m.pf = &m.p->pf[m.p->n_pfs];
		*m.pf = (struct vfm_plan_pf){.want = &want->pf[i]};
		r = pf_read(&m, only, only_bdf);
		/* Another's entry, there or not, is of no concern. */
		if (only && (!m.pf->found || !bdf_equal(m.pf->bdf, only_bdf)))
			continue;
		m.p->n_pfs++;
		if (r >= 0)
			r = pf_plan(&m);
		if (r == -ENOMEM)
			goto fail;
		m.p->n_bad += m.pf->why.code != 0;
	}
	*ret = m.p;
	return 0;
fail:
	vfm_plan_free(m.p);
	return err_sys(e, -r, "plan");
}

void vfm_plan_free(struct vfm_plan *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_pfs; i++)
		pf_state_free(p->pf[i].state);
	for (size_t i = 0; i < p->n_steps; i++)
		free(p->step[i].why);
	free(p->pf);
	free(p->step);
	free(p->affected);
	free(p->difference);
	free(p);
}
