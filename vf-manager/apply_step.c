// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/apply_step.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/pool.h"

static const struct pf_state *state_of(const struct vfm_plan *p, const struct vfm_step *s)
{
	return p->pf[s->pf].state;
}

/* The VF the step is about, as it is numbered now. */
static int vf_of(struct vfm *v, const struct vfm_plan *p, const struct vfm_step *s, struct bdf *ret,
	struct err *e)
{
	if (vf_bdf(v, p->pf[s->pf].bdf, (unsigned)s->index, ret) < 0)
		return err_set(e, ENODEV, "there is no VF %d any more", s->index);
	return 0;
}

static int autoprobe_write(struct vfm *v, struct bdf pf, bool on, struct err *e)
{
	_drops_locks_ struct vfm *locked = v;
	uint64_t now;
	int r = lock_domain(v, pf, true, e);

	if (r < 0)
		return r;
	r = dev_write(v, pf, "sriov_drivers_autoprobe", on ? "1" : "0");
	if (r < 0) {
		err_sys(e, -r, "write %d to sriov_drivers_autoprobe", on);
		if (*explain(VFM_AT_AUTOPROBE, -r, ""))
			err_append(e, "%s", explain(VFM_AT_AUTOPROBE, -r, ""));
		return r;
	}
	if (dev_read_u64(v, pf, "sriov_drivers_autoprobe", &now) < 0 || now != on)
		return err_set(e, EIO, "sriov_drivers_autoprobe set to %d, it reads otherwise", on);
	return 0;
}

static int eswitch_write(struct vfm *v, struct bdf pf, const char *mode, struct err *e)
{
	enum vfm_eswitch want;
	int r = vfm_eswitch_parse(mode, &want, e);

	return r < 0 ? r : vfm_eswitch_set(v, pf, want, NULL, e);
}

/* Driver, override and record of @vf as @before has them. */
static bool binding_same(const struct vf_state *before, const struct vf_state *now)
{
	return !strcmp(before->f.driver, now->f.driver) &&
	       !strcmp(before->f.driver_override, now->f.driver_override) &&
	       before->recorded == now->recorded &&
	       (!before->recorded ||
		       (!strcmp(before->record.value, now->record.value) &&
			       !strcmp(before->record.override, now->record.override)));
}

/* Two VFs that changed addresses: the other still has this one's, and gives it up in its turn. */
static bool mac_is_taken(const struct pf_state *now, unsigned index, const uint8_t mac[static 6])
{
	static const uint8_t none[6];

	for (unsigned i = 0; i < now->num_vfs && memcmp(mac, none, 6); i++)
		if (i != index && now->vf[i].settings.set & VFM_BIT(MAC) &&
			!memcmp(now->vf[i].settings.mac, mac, 6))
			return true;
	return false;
}

/* VF @index of @p_now as it is in @p_before; 1 when something had to be done, 0, or -errno. */
static int vf_restore(struct vfm *v, const struct pf_state *p_before, const struct pf_state *p_now,
	unsigned index, struct err *e)
{
	const struct vf_state *before = &p_before->vf[index], *now = &p_now->vf[index];
	const uint32_t bits = vfm_settings_differ(
		&before->settings, &now->settings, before->settings.set & now->settings.set);
	struct vfm_settings want = {0};
	int r = 0;

	/* A VLAN's three and a rate's two go together. */
	vfm_settings_merge(&want, &before->settings,
		bits | (bits & VFM_VLAN_BITS ? VFM_VLAN_BITS & now->settings.set : 0) |
			(bits & VFM_RATE_BITS ? VFM_RATE_BITS & now->settings.set : 0));
	if (bits & VFM_BIT(MAC) && mac_is_taken(p_now, index, want.mac))
		memset(want.mac, 0, 6);
	if (bits)
		r = vfm_set(v, now->f.bdf, &want, NULL, e);
	if (r == 0 && !binding_same(before, now)) {
		r = binding_restore(
			v, now->f.bdf, &before->f, before->recorded ? &before->record : NULL, e);
		return r < 0 ? r : 1;
	}
	return r < 0 ? r : bits != 0;
}

/*
 * What VFs were given and bound to, for those that were made in the place of the plan's. How many of
 * them had to be given something, or -errno.
 */
static int vfs_restore(struct vfm *v, const struct pf_state *before, struct err *e)
{
	struct pf_state *now;
	unsigned failed = 0, changed = 0;
	int r = pf_state_read(v, before->f.bdf, false, &now, e);

	if (r < 0)
		return r;
	if (now->num_vfs != before->num_vfs)
		failed = before->num_vfs;
	for (unsigned i = 0; i < before->num_vfs && i < now->num_vfs; i++) {
		struct err why = {0};
		int one = 0;

		if (before->vf[i].there && now->vf[i].there)
			one = vf_restore(v, before, now, i, &why);
		changed += one > 0;
		if (one >= 0)
			continue;
		if (!failed++)
			r = err_set(e, -one, "VF %u: %s", i, why.text);
		else
			err_append(e, "VF %u: %s", i, why.text);
	}
	if (now->num_vfs != before->num_vfs)
		r = err_set(e, EIO, "it had %u VFs and has %u", before->num_vfs, now->num_vfs);
	pf_state_free(now);
	return r < 0 ? r : (int)changed;
}

/*
 * vfm_carve() puts the number back when it fails, and cannot know what the VFs had; the plan does.
 */
static int carve_run(struct vfm *v, const struct vfm_plan *p, const struct vfm_step *s, bool force,
	struct err *e)
{
	const volatile sig_atomic_t *cancel = v->cancel;
	unsigned flags = (force ? VFM_CARVE_FORCE : 0) | (s->autoprobe ? VFM_CARVE_AUTOPROBE : 0);
	struct err why = {0};
	int r = vfm_carve(v, p->pf[s->pf].bdf, s->num_vfs, flags, NULL, e), undone;

	if (r == 0 || !s->destroys)
		return r;
	v->cancel = NULL;
	undone = vfs_restore(v, state_of(p, s), &why);
	v->cancel = cancel;
	if (undone < 0)
		err_append(e, "not undone: %s", why.text);
	else if (undone > 0)
		err_append(e, "they have been given what the earlier ones had");
	return r;
}

int step_run(struct vfm *v, const struct vfm_plan *p, const struct vfm_step *s, bool force,
	struct err *e)
{
	const struct vfm_plan_pf *pf = &p->pf[s->pf];
	struct bdf vf = {0};
	int r = s->index >= 0 ? vf_of(v, p, s, &vf, e) : 0;

	if (r < 0)
		return r;
	switch (s->kind) {
	case VFM_STEP_RECOVER: return vfm_carve(v, pf->bdf, s->num_vfs, 0, NULL, e);
	case VFM_STEP_UP: return link_set_up(v, pf->state->f.ifindex, true, e);
	case VFM_STEP_DESTROY:
	case VFM_STEP_CARVE: return carve_run(v, p, s, force, e);
	case VFM_STEP_ESWITCH: return eswitch_write(v, pf->bdf, pf->want->eswitch, e);
	case VFM_STEP_AUTOPROBE: return autoprobe_write(v, pf->bdf, s->autoprobe, e);
	case VFM_STEP_SET: break; /* steps_set() */
	case VFM_STEP_RELEASE:
		return vfm_release(
			v, vf, VFM_RELEASE_DRIVER_ONLY | (force ? VFM_RELEASE_FORCE : 0), NULL, e);
	case VFM_STEP_BIND: return vfm_bind(v, vf, s->driver, force ? VFM_BIND_FORCE : 0, e);
	case VFM_STEP_POOL:
		return vfm_pool_set(
			v, pf->bdf, strcmp(pf->want->pool, VFM_POOL_NONE) ? pf->want->pool : "", e);
	}
	return -EINVAL;
}

int steps_set(struct vfm *v, const struct vfm_plan *p, const struct vfm_step *s, size_t n,
	struct settings_change *c, struct err *e)
{
	char name[BDF_STRLEN];
	size_t found = 0;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		c[i] = (struct settings_change){
			.index = (unsigned)s[i].index, .want = s[i].settings};
	while (r == 0 && found < n) {
		r = vf_of(v, p, &s[found], &c[found].bdf, e);
		found += r == 0;
	}
	if (!found) {
		c->outcome = SETTINGS_FAILED;
		c->why = *e;
		return r;
	}
	r = settings_give(v, p->pf[s->pf].bdf, c, found, e);
	for (size_t i = 0; i < found && r < 0; i++)
		if (c[i].outcome == SETTINGS_FAILED)
			return err_wrap(e, r, "set %s", bdf_format(c[i].bdf, name));
	return r;
}

/* What a VF had before the step. One that the plan did not find goes with the carve that made it. */
static int vf_undo(struct vfm *v, const struct vfm_plan *p, const struct vfm_step *s, struct err *e)
{
	const struct pf_state *before = state_of(p, s);
	struct pf_state *now;
	int r;

	for (size_t i = p->pf[s->pf].first; &p->step[i] != s; i++)
		if (p->step[i].kind == VFM_STEP_CARVE || p->step[i].kind == VFM_STEP_DESTROY)
			return 0;
	r = pf_state_read(v, before->f.bdf, false, &now, e);
	if (r < 0)
		return r;
	if ((unsigned)s->index >= now->num_vfs || !now->vf[s->index].there)
		r = err_set(e, ENODEV, "there is no VF %d any more", s->index);
	else
		r = vf_restore(v, before, now, (unsigned)s->index, e);
	pf_state_free(now);
	return r < 0 ? r : 0;
}

static int carve_undo(
	struct vfm *v, const struct vfm_plan *p, const struct vfm_step *s, struct err *e)
{
	int r = vfm_carve(v, p->pf[s->pf].bdf, s->destroys, 0, NULL, e);

	if (r == 0 && s->destroys)
		r = vfs_restore(v, state_of(p, s), e);
	return r < 0 ? r : 0;
}

int step_undo(struct vfm *v, const struct vfm_plan *p, const struct vfm_step *s, struct err *e)
{
	const struct vfm_plan_pf *pf = &p->pf[s->pf];

	switch (s->kind) {
	case VFM_STEP_RECOVER: return 0; /* what was right before the carve that broke off */
	case VFM_STEP_UP: return link_set_up(v, pf->state->f.ifindex, false, e);
	case VFM_STEP_DESTROY:
	case VFM_STEP_CARVE: return carve_undo(v, p, s, e);
	case VFM_STEP_ESWITCH:
		return eswitch_write(v, pf->bdf, vfm_eswitch_name(pf->state->eswitch), e);
	case VFM_STEP_AUTOPROBE: return autoprobe_write(v, pf->bdf, !s->autoprobe, e);
	case VFM_STEP_SET:
	case VFM_STEP_RELEASE:
	case VFM_STEP_BIND: return vf_undo(v, p, s, e);
	case VFM_STEP_POOL: return vfm_pool_set(v, pf->bdf, pf->state->pool, e);
	}
	return -EINVAL;
}

static void left(struct err *e, size_t *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void left(struct err *e, size_t *n, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if ((*n)++)
		err_append(e, "%s", text);
	else
		err_set(e, EIO, "%s", text);
}

static void vf_compare(const struct pf_state *before, const struct pf_state *now, unsigned index,
	struct err *e, size_t *n)
{
	const struct vf_state *a = &before->vf[index], *b = &now->vf[index];
	const uint32_t bits = vfm_settings_differ(&a->settings, &b->settings, a->settings.set);
	char x[VFM_VALUE_MAX], y[VFM_VALUE_MAX];

	for (unsigned int i = 0; i < VFM_SETTING_COUNT; i++)
		if (bits & 1u << i)
			left(e, n, "VF %u: %s is %s, was %s", index, vfm_setting_name(i),
				vfm_setting_format(&b->settings, i, x),
				vfm_setting_format(&a->settings, i, y));
	if (strcmp(a->f.driver, b->f.driver) || strcmp(a->f.driver_override, b->f.driver_override))
		left(e, n, "VF %u: driver is '%s' (override '%s'), was '%s' ('%s')", index,
			b->f.driver, b->f.driver_override, a->f.driver, a->f.driver_override);
	else if (a->recorded != b->recorded)
		left(e, n, "VF %u: the record of its first driver %s", index,
			b->recorded ? "is still there" : "is gone");
}

int state_compare(struct vfm *v, const struct pf_state *before, struct err *e)
{
	struct pf_state *now;
	struct err why = {0};
	size_t n = 0;

	if (pf_state_read(v, before->f.bdf, before->has_eswitch, &now, &why) < 0) {
		left(e, &n, "what it is now cannot be read: %s", why.text);
		return -EIO;
	}
	if (before->f.admin_up != now->f.admin_up)
		left(e, &n, "%s is %s", now->f.netdev, now->f.admin_up ? "up" : "down");
	if (before->has_eswitch && before->eswitch != now->eswitch)
		left(e, &n, "its switch is in mode %s, was %s", vfm_eswitch_name(now->eswitch),
			vfm_eswitch_name(before->eswitch));
	if (before->autoprobe != (now->f.autoprobe > 0))
		left(e, &n, "sriov_drivers_autoprobe is %d", now->f.autoprobe);
	if (strcmp(before->pool, now->pool))
		left(e, &n, "it is in pool '%s', was in '%s'", now->pool, before->pool);
	if (before->num_vfs != now->num_vfs)
		left(e, &n, "it has %u VFs, had %u", now->num_vfs, before->num_vfs);
	for (unsigned i = 0; i < before->num_vfs && i < now->num_vfs; i++)
		if (before->vf[i].there && now->vf[i].there)
			vf_compare(before, now, i, e, &n);
	pf_state_free(now);
	return n ? -EIO : 0;
}
