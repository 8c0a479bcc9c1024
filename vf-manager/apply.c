// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vf-manager/apply_step.h"

#define SETS_TOGETHER 64 /* VFs that are given something between two readings: locks held at once */

struct apply {
	struct vfm *v;
	const struct vfm_desired *want;
	const char *only;
	const struct vfm_apply_options *o;
	struct vfm_plan *p;
	/* One lock for each PCI domain the plan works on, in ascending order. */
	int *lock;
	uint32_t *domain;
	size_t n_locks;
};

static void locks_free(struct apply *a)
{
	while (a->n_locks)
		fd_close(a->lock[--a->n_locks]);
	free(a->lock);
	free(a->domain);
	a->lock = NULL;
	a->domain = NULL;
}

static int domain_cmp(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int lock_one(struct apply *a, uint32_t domain, int *ret, struct err *e)
{
	_cleanup_fd_ int dir = run_dir_open(a->v, true), fd = -1;
	struct sysfs d = {.root_fd = dir};
	char name[32], pid[16];
	int r;

	snprintf(name, sizeof(name), "apply-%04x.lock", domain);
	if (dir >= 0)
		fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(
			e, dir < 0 ? -dir : errno, "lock %s/%s (run as root)", a->v->run_dir, name);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (sysfs_read(&d, name, pid, sizeof(pid)) <= 0)
			snprintf(pid, sizeof(pid), "unknown");
		vfm_note(a->v, "another viaduct vf apply (process %s) is at work: waiting for it",
			pid);
		r = flock_wait(a->v, fd, LOCK_EX, a->v->timeout_ms);
		if (r == -ETIMEDOUT)
			return err_set(e, EBUSY,
				"another viaduct vf apply (process %s) is still at work after %u "
				"s: "
				"try again when it has ended",
				pid, a->v->timeout_ms / 1000);
		if (r < 0)
			return err_sys(e, -r, "lock %s/%s", a->v->run_dir, name);
	}
	/* For the message of those who wait; a failure costs no more than a name. */
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, strlen(pid), 0) < 0)
		r = ftruncate(fd, 0);
	*ret = fd_steal(&fd);
	return 0;
}

/* All domains of the plan's PFs; always in the same order, so that two never wait for each other. */
static int locks_take(struct apply *a, struct err *e)
{
	_cleanup_free_ uint32_t *all = calloc(a->p->n_pfs + 1, sizeof(*all));
	size_t n = 0;
	int r;

	a->lock = calloc(a->p->n_pfs + 1, sizeof(*a->lock));
	a->domain = calloc(a->p->n_pfs + 1, sizeof(*a->domain));
	if (!all || !a->lock || !a->domain)
		return err_sys(e, ENOMEM, "lock");
	for (size_t i = 0; i < a->p->n_pfs; i++)
		if (a->p->pf[i].found)
			all[n++] = a->p->pf[i].bdf.domain;
	qsort(all, n, sizeof(*all), domain_cmp);
	for (size_t i = 0; i < n; i++) {
		if (i && all[i] == all[i - 1])
			continue;
		r = lock_one(a, all[i], &a->lock[a->n_locks], e);
		if (r < 0)
			return r;
		a->domain[a->n_locks++] = all[i];
	}
	return 0;
}

static bool locks_cover(const struct apply *a)
{
	for (size_t i = 0; i < a->p->n_pfs; i++)
		if (a->p->pf[i].n && !bsearch(&a->p->pf[i].bdf.domain, a->domain, a->n_locks,
					     sizeof(*a->domain), domain_cmp))
			return false;
	return true;
}

static int plan_again(struct apply *a, struct err *e)
{
	vfm_plan_free(a->p);
	a->p = NULL;
	return vfm_plan(a->v, a->want, a->only, &a->p, e);
}

static int consent(struct apply *a, struct err *e)
{
	const struct vfm_plan *p = a->p;

	if (a->o->rollback && p->n_bad) {
		for (size_t i = 0; i < p->n_pfs; i++)
			if (p->pf[i].why.code)
				return err_set(e, p->pf[i].why.code,
					"%s; with --rollback-on-fail it is all or nothing: nothing "
					"was changed",
					p->pf[i].why.text);
	}
	for (size_t i = 0; p->recreates && !a->o->recreate && i < p->n_steps; i++)
		if (p->step[i].destroys)
			return err_set(e, EBUSY,
				"%s: that destroys VFs and what they were given: say --recreate%s; "
				"nothing was changed",
				p->step[i].text,
				p->n_affected && !a->o->force
					? ", and --force too, as VFs are in use"
					: "");
	if (p->n_affected && !a->o->force)
		return err_set(e, EBUSY,
			"%s; then %s: say --force if that is wanted; nothing was changed",
			p->step[p->affected->step].text, p->affected->consequence);
	return 0;
}

static void step_say(struct apply *a, struct vfm_step *s, enum vfm_outcome outcome, const char *why)
{
	s->outcome = outcome;
	if (why) {
		free(s->why);
		s->why = strdup(why);
	}
	if (a->o->on_step)
		a->o->on_step(a->o->arg, a->p, s);
}

/* Not as the file says although every step was done. */
static int verify(struct apply *a, struct vfm_plan_pf *pf, struct err *e)
{
	struct vfm_plan *p;
	char name[BDF_STRLEN];
	int r = vfm_plan(a->v, a->want, bdf_format(pf->bdf, name), &p, e);

	if (r < 0)
		return r;
	if (p->n_bad)
		r = err_set(e, p->pf->why.code, "afterwards: %s", p->pf->why.text);
	else if (p->n_steps)
		r = err_set(e, EIO,
			"all was done, but the machine is not as the file says: still to do: %s",
			p->step->text);
	vfm_plan_free(p);
	return r;
}

static enum vfm_phase phase_of(enum vfm_step_kind kind)
{
	switch (kind) {
	case VFM_STEP_UP: return VFM_PHASE_UP;
	case VFM_STEP_SET: return VFM_PHASE_ATTRIBUTES;
	case VFM_STEP_RELEASE:
	case VFM_STEP_BIND: return VFM_PHASE_BIND;
	case VFM_STEP_ESWITCH:
	case VFM_STEP_AUTOPROBE:
	case VFM_STEP_POOL: return VFM_PHASE_OTHER;
	/* It tells its parts by itself; what is none of them is a look at what is there. */
	case VFM_STEP_RECOVER:
	case VFM_STEP_DESTROY:
	case VFM_STEP_CARVE: break;
	}
	return VFM_PHASE_CHECK;
}

/* The steps from @s on that give each another VF something: those are taken together. */
static size_t sets_count(const struct vfm_step *s, size_t left)
{
	size_t n = 0;

	for (; n < left && n < SETS_TOGETHER && s[n].kind == VFM_STEP_SET; n++)
		for (size_t i = 0; i < n; i++)
			if (s[i].index == s[n].index)
				return n;
	return n;
}

/* Up to @n of them, *ret_n: as many were begun. */
static int sets_run(struct apply *a, struct vfm_step *s, size_t n, size_t *ret_n, struct err *e)
{
	static const enum vfm_outcome outcome[] = {
		[SETTINGS_GIVEN] = VFM_STEP_DONE,
		[SETTINGS_FAILED] = VFM_STEP_FAILED,
		[SETTINGS_TAKEN_BACK] = VFM_STEP_UNDONE,
		[SETTINGS_STUCK] = VFM_STEP_STUCK,
	};
	_cleanup_free_ struct settings_change *c = calloc(SETS_TOGETHER, sizeof(*c));
	enum vfm_phase outer;
	int r;

	*ret_n = n;
	if (!c)
		return err_sys(e, ENOMEM, "set VFs");
	for (size_t i = 0; i < n; i++)
		step_say(a, &s[i], VFM_STEP_PLANNED, NULL);
	outer = phase_enter(a->v, phase_of(VFM_STEP_SET));
	r = steps_set(a->v, a->p, s, n, c, e);
	phase_enter(a->v, outer);
	for (*ret_n = 0; *ret_n < n && c[*ret_n].outcome != SETTINGS_NOT_BEGUN; ++*ret_n) {
		const struct settings_change *one = &c[*ret_n];

		step_say(a, &s[*ret_n], outcome[one->outcome],
			one->outcome == SETTINGS_GIVEN ? NULL : one->why.text);
	}
	return r;
}

static int step_take(struct apply *a, struct vfm_step *s, struct err *e)
{
	enum vfm_phase outer;
	int r;

	step_say(a, s, VFM_STEP_PLANNED, NULL);
	outer = phase_enter(a->v, phase_of(s->kind));
	r = step_run(a->v, a->p, s, a->o->force, e);
	phase_enter(a->v, outer);
	step_say(a, s, r < 0 ? VFM_STEP_FAILED : VFM_STEP_DONE, r < 0 && e ? e->text : NULL);
	return r;
}

static int pf_run(struct apply *a, struct vfm_plan_pf *pf, struct err *e)
{
	const size_t end = pf->first + pf->n;
	size_t n = 1;
	int r = 0;

	for (size_t i = pf->first; i < end; i += n) {
		struct vfm_step *s = &a->p->step[i];

		if (a->v->cancel && *a->v->cancel)
			return err_set(e, EINTR, "cancelled before: %s", s->text);
		n = 1;
		r = s->kind == VFM_STEP_SET ? sets_run(a, s, sets_count(s, end - i), &n, e)
					    : step_take(a, s, e);
		if (r < 0)
			return r;
	}
	phase_enter(a->v, VFM_PHASE_VERIFY);
	r = pf->n ? verify(a, pf, e) : 0;
	phase_enter(a->v, VFM_PHASE_CHECK);
	return r;
}

/* In reverse, everything that was done, on through what cannot be undone. */
static void undo(struct apply *a, struct err *e)
{
	const volatile sig_atomic_t *cancel = a->v->cancel;
	size_t bad = 0;

	a->v->cancel = NULL;
	phase_enter(a->v, VFM_PHASE_UNDO);
	for (size_t i = a->p->n_steps; i-- > 0;) {
		struct vfm_step *s = &a->p->step[i];
		struct err why = {0};

		if (s->outcome != VFM_STEP_DONE || s->kind == VFM_STEP_RECOVER)
			continue;
		if (step_undo(a->v, a->p, s, &why) < 0)
			step_say(a, s, VFM_STEP_STUCK, why.text);
		else
			step_say(a, s, VFM_STEP_UNDONE, NULL);
	}
	/* What counts is what can be read, whatever the steps said. */
	for (size_t i = 0; i < a->p->n_pfs; i++) {
		struct vfm_plan_pf *pf = &a->p->pf[i];
		struct err why = {0};
		char name[BDF_STRLEN];

		if (!pf->state || !pf->n || state_compare(a->v, pf->state, &why) == 0)
			continue;
		if (!pf->why.code)
			err_set(&pf->why, EIO, "not undone: %s: %s", bdf_format(pf->bdf, name),
				why.text);
		else
			err_append(&pf->why, "not undone: %s", why.text);
		err_append(e, "not undone: %s: %s", bdf_format(pf->bdf, name), why.text);
		bad++;
	}
	if (!bad)
		err_append(e, "everything was put back");
	a->v->cancel = cancel;
}

/* Which PFs failed, those that could not be planned among them: the first is the answer. */
static int result(struct apply *a, struct err *e)
{
	const struct vfm_plan_pf *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < a->p->n_pfs; i++) {
		if (!a->p->pf[i].why.code)
			continue;
		if (!n++)
			first = &a->p->pf[i];
	}
	if (!first)
		return 0;
	err_set(e, first->why.code, "%s", first->why.text);
	if (n > 1)
		err_append(e, "%zu of %zu PFs failed", n, a->p->n_pfs);
	return -first->why.code;
}

static int run(struct apply *a, struct err *e)
{
	for (size_t i = 0; i < a->p->n_pfs; i++) {
		struct vfm_plan_pf *pf = &a->p->pf[i];
		int r;

		if (pf->why.code)
			continue;
		r = pf_run(a, pf, &pf->why);
		if (r < 0 && a->o->rollback) {
			err_set(e, -r, "%s", pf->why.text);
			undo(a, e);
			return r;
		}
		if (r == -EINTR)
			break;
	}
	return result(a, e);
}

/* At boot and after a hot plug the PF's driver may still be looking at its device. */
static int pfs_are_there(struct vfm *v, void *arg)
{
	const struct apply *a = arg;
	struct bdf only, b;

	if (a->only && vfm_select(v, a->only, &only, NULL) < 0)
		return 0;
	for (size_t i = 0; i < a->want->n_pfs; i++) {
		struct vfm_function f;
		int r = vfm_select(v, a->want->pf[i].selector, &b, NULL);

		if (a->only && (r < 0 || !bdf_equal(b, only)))
			continue;
		if (r < 0 || function_read(v, b, &f) < 0 || !*f.driver)
			return 0;
	}
	return 1;
}

/* A setting that has what it had at first needs no record: one who was killed could not say so. */
static void settings_trim(struct vfm *v, const struct vf_state *vf)
{
	_drops_locks_ struct vfm *locked = v;
	struct vfm_settings left = vf->original;

	left.set = vfm_settings_differ(&left, &vf->settings, left.set);
	if (left.set != vf->original.set && lock_function(v, vf->f.bdf, NULL) == 0)
		journal_write_settings(v, vf->f.bdf, &left, NULL);
}

/* What earlier ones that were killed left: also of VFs that their carve destroyed. */
static void records_sweep(struct apply *a)
{
	_drops_locks_ struct vfm *locked = a->v;

	for (size_t i = 0; i < a->p->n_pfs; i++) {
		const struct vfm_plan_pf *pf = &a->p->pf[i];

		for (unsigned j = 0; pf->state && j < pf->state->num_vfs; j++)
			if (pf->state->vf[j].there)
				settings_trim(a->v, &pf->state->vf[j]);
		if (!pf->found || !journal_sweep(a->v, pf->bdf.domain, true) ||
			lock_domain(a->v, pf->bdf, true, NULL) < 0)
			continue;
		journal_sweep(a->v, pf->bdf.domain, false);
		locks_drop(&locked);
	}
}

static int apply(struct apply *a, struct err *e)
{
	struct vfm *v = a->v;
	int r;

	if (a->o->wait_ms &&
		wait_until(v, "the file's PFs", a->o->wait_ms, pfs_are_there, a) == -EINTR)
		return err_set(e, EINTR, "cancelled while waiting for the file's PFs");
	r = vfm_plan(v, a->want, a->only, &a->p, e);
	if (r == 0 && a->o->dry_run) {
		r = consent(a, e);
		return r < 0 ? r : result(a, e);
	}
	/* A PF may come or go between looking and locking. */
	while (r == 0 && a->p->n_steps && !(a->n_locks && locks_cover(a))) {
		locks_free(a);
		r = locks_take(a, e);
		if (r == 0)
			r = plan_again(a, e);
	}
	if (r == 0 && a->p->n_steps)
		r = consent(a, e);
	if (r == 0)
		records_sweep(a);
	if (r == 0)
		r = a->p->n_steps ? run(a, e) : result(a, e);
	locks_free(a);
	return r;
}

int vfm_apply(struct vfm *v, const struct vfm_desired *want, const char *only,
	const struct vfm_apply_options *options, struct vfm_plan **ret, struct err *e)
{
	struct err own = {0};
	struct apply a = {.v = v, .want = want, .only = only, .o = options};
	int r;

	phases_start(v);
	r = apply(&a, e ? e : &own);
	*ret = a.p;
	if (options->phases)
		phases_end(v, options->phases);
	return r;
}
