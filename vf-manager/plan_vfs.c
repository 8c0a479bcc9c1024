// SPDX-License-Identifier: GPL-2.0-or-later
/* The part of a plan that is about VFs: what each is given, and its driver. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/plan_make.h"

/* A step that gives VF @index those of @want in @bits, and what it has (@have may be NULL). */
static int set_add(struct make *m, unsigned index, const struct vfm_settings *want,
	const struct vfm_settings *have, uint32_t bits)
{
	struct vfm_step *step = step_add(m, VFM_STEP_SET, (int)index);
	char a[VFM_VALUE_MAX], b[VFM_VALUE_MAX];
	const char *comma = "";

	if (!step)
		return -ENOMEM;
	vfm_settings_merge(&step->settings, want, bits);
	for (unsigned int i = 0; i < VFM_SETTING_COUNT; i++) {
		if (!(bits & 1u << i))
			continue;
		text_add(step->text, "%s%s %s", comma, vfm_setting_name(i),
			vfm_setting_format(want, i, a));
		if (have)
			text_add(step->text, " (is %s)",
				*vfm_setting_format(have, i, b) ? b : "not reported");
		comma = ", ";
	}
	return 0;
}

static int settings_differ(struct make *m, unsigned index, const struct vfm_settings *want,
	const struct vfm_settings *have, uint32_t bits)
{
	char a[VFM_VALUE_MAX], b[VFM_VALUE_MAX];
	int r = 0;

	for (unsigned int i = 0; i < VFM_SETTING_COUNT && r >= 0; i++)
		if (bits & 1u << i)
			r = differ(m, (int)index, vfm_setting_name(i),
				have ? vfm_setting_format(have, i, a) : "",
				vfm_setting_format(want, i, b));
	return r;
}

/*
 * What a VF of an exclusive PF that is not in the file has to get: what a new VF has, and of what a new VF
 * may have either way, what it had before vfm_set().
 */
static void settings_reset(struct vfm *v, const struct vf_state *vf, struct vfm_settings *ret)
{
	const struct vfm_settings *s = &vf->settings;
	struct vfm_settings to = {.proto = VFM_PROTO_8021Q};
	uint32_t bits;

	vfm_settings_merge(&to, &vf->original, VFM_ALL_BITS);
	to.vlan = to.qos = 0;
	to.proto = VFM_PROTO_8021Q;
	to.min_rate = to.max_rate = 0;
	to.link_state = VFM_LINK_AUTO;
	to.rss_query = to.trust = false;
	to.set |= VFM_VLAN_BITS | VFM_RATE_BITS | VFM_BIT(LINK_STATE) | VFM_BIT(RSS_QUERY) |
		  VFM_BIT(TRUST);
	/* With a driver of this host the address can be one that it chose. */
	if (!*vf->f.driver || driver_is_vfio(v, vf->f.driver)) {
		memset(to.mac, 0, sizeof(to.mac));
		to.set |= VFM_BIT(MAC);
	}
	bits = vfm_settings_differ(&to, s, to.set & s->set);
	*ret = (struct vfm_settings){0};
	vfm_settings_merge(ret, &to, bits);
}

static int exclusive_settings_plan(struct make *m, uint8_t (*mac)[6])
{
	const struct pf_state *s = m->pf->state;
	int r = 0;

	for (unsigned i = 0; i < s->num_vfs && r >= 0; i++) {
		struct vfm_settings want;

		if (!s->vf[i].there || entry_find(m->pf->want, i))
			continue;
		settings_reset(m->v, &s->vf[i], &want);
		if (!want.set)
			continue;
		if (want.set & VFM_BIT(MAC))
			memcpy(mac[i], want.mac, 6);
		r = settings_differ(m, i, &want, &s->vf[i].settings, want.set);
		if (r >= 0)
			r = set_add(m, i, &want, &s->vf[i].settings, want.set);
	}
	return r;
}

/* Another VF that has this address now has to let go of it first; only if it is to have another. */
static int mac_make_free(
	struct make *m, const struct vfm_desired_vf *w, uint8_t (*mac)[6], unsigned n)
{
	static const struct vfm_settings none = {.set = VFM_BIT(MAC)};
	const struct vfm_desired_vf *other;
	char text[VFM_VALUE_MAX];

	for (unsigned i = 0; i < n; i++) {
		if (i == w->index || memcmp(mac[i], w->settings.mac, 6))
			continue;
		other = entry_find(m->pf->want, i);
		if (!other || !(other->settings.set & VFM_BIT(MAC)))
			return refuse(m, w, EADDRINUSE,
				"mac %s is VF %u's already, of which the file says no other",
				vfm_setting_format(&w->settings, VFM_SET_MAC, text), i);
		memset(mac[i], 0, 6);
		return set_add(m, i, &none, &m->pf->state->vf[i].settings, VFM_BIT(MAC));
	}
	return 0;
}

/* What vfm_set() would refuse is refused before anything is changed. @have is NULL of a new VF. */
static int settings_fit(struct make *m, const struct vfm_desired_vf *w,
	const struct vfm_settings *have, uint32_t bits)
{
	static const struct vfm_settings fresh = {
		.set = VFM_VLAN_BITS | VFM_RATE_BITS, .proto = VFM_PROTO_8021Q};
	const struct vfm_function *pf = &m->pf->state->f;
	struct vfm_settings whole;
	char text[VFM_VALUE_MAX];
	struct err why = {0};

	settings_whole(have ? have : &fresh, &w->settings, &whole);
	if (vfm_settings_check(&whole, &why) < 0)
		return refuse(m, w, EINVAL, "VF %u%s: %s", w->index,
			have ? ", with what it has" : "", why.text);
	if (bits & VFM_BIT(MAC) && pf->has_mac && !memcmp(pf->mac, w->settings.mac, 6))
		return refuse(m, w, EADDRINUSE,
			"mac %s of VF %u is the address of the PF's "
			"interface %s",
			vfm_setting_format(&w->settings, VFM_SET_MAC, text), w->index, pf->netdev);
	return 0;
}

/*
 * The rates that come last: of new VFs, since igb takes a rate only of a PF with a link, and a carve has
 * just taken that down for a second and a half. All else is done in that time.
 */
static uint32_t rates_later(const struct make *m, const struct vfm_settings *want)
{
	return m->remade && want->set & VFM_BIT(MAX_RATE) && want->max_rate
		       ? want->set & VFM_RATE_BITS
		       : 0;
}

int rates_plan(struct make *m)
{
	const struct vfm_desired_pf *w = m->pf->want;
	int r = 0;

	for (size_t i = 0; i < w->n_vfs && r >= 0; i++) {
		const struct vfm_settings *want = &w->vf[i].settings;
		uint32_t bits = rates_later(m, want);

		if (bits)
			r = set_add(m, w->vf[i].index, want, NULL, bits);
	}
	return r;
}

static int listed_settings_plan(struct make *m, uint8_t (*mac)[6])
{
	static const uint8_t none[6];
	const struct vfm_desired_pf *w = m->pf->want;
	const struct pf_state *s = m->pf->state;
	int r = 0;

	for (size_t i = 0; i < w->n_vfs && r >= 0; i++) {
		const struct vfm_desired_vf *vf = &w->vf[i];
		const struct vfm_settings *want = &vf->settings, *have = NULL;
		uint32_t bits = want->set, todo;

		if (!m->remade) {
			have = &s->vf[vf->index].settings;
			bits = vfm_settings_differ(want, have, want->set);
		}
		r = bits ? settings_fit(m, vf, have, bits) : 0;
		if (r == 0)
			r = settings_differ(m, vf->index, want, have, bits);
		if (r < 0 || !bits)
			continue;
		todo = bits & ~rates_later(m, want);
		if (!m->remade && bits & VFM_BIT(MAC)) {
			if (!memcmp(want->mac, none, 6)) {
				/* Has let go of it, for another's sake. */
				if (!memcmp(mac[vf->index], none, 6))
					todo &= ~VFM_BIT(MAC);
			} else {
				r = mac_make_free(m, vf, mac, s->num_vfs);
			}
			memcpy(mac[vf->index], want->mac, 6);
		}
		if (r >= 0 && todo)
			r = set_add(m, vf->index, want, have, todo);
	}
	return r;
}

int settings_plan(struct make *m)
{
	const struct pf_state *s = m->pf->state;
	/* The address of each VF as the steps go. */
	_cleanup_free_ uint8_t(*mac)[6] = calloc(s->num_vfs + 1, sizeof(*mac));
	int r = 0;

	if (!mac)
		return -ENOMEM;
	for (unsigned i = 0; i < s->num_vfs; i++)
		if (s->vf[i].settings.set & VFM_BIT(MAC))
			memcpy(mac[i], s->vf[i].settings.mac, 6);
	if (m->pf->want->exclusive && !m->remade)
		r = exclusive_settings_plan(m, mac);
	return r < 0 ? r : listed_settings_plan(m, mac);
}

const char *or_none(const char *driver)
{
	return *driver ? driver : VFM_DRIVER_NONE;
}

/*
 * The PF goes on reporting the address that a driver of this host chose, when that driver has gone: then
 * it can be taken off, and not before.
 */
static int chosen_mac_plan(struct make *m, unsigned i, const struct vf_state *vf)
{
	static const uint8_t none[6];
	struct vfm_settings want = {.set = VFM_BIT(MAC)};
	int r;

	if (!(vf->settings.set & VFM_BIT(MAC)) || !memcmp(vf->settings.mac, none, 6) ||
		!*vf->f.driver || driver_is_vfio(m->v, vf->f.driver))
		return 0;
	r = settings_differ(m, i, &want, &vf->settings, want.set);
	return r < 0 ? r : set_add(m, i, &want, &vf->settings, want.set);
}

static int exclusive_drivers_plan(struct make *m)
{
	const struct pf_state *s = m->pf->state;

	for (unsigned i = 0; i < s->num_vfs; i++) {
		const struct vf_state *vf = &s->vf[i];
		const char *before = vf->recorded ? or_none(vf->record.value) : VFM_DRIVER_DEFAULT;
		struct vfm_step *step;
		int r;

		if (!vf->there || entry_find(m->pf->want, i) ||
			(!vf->recorded && !driver_is_vfio(m->v, vf->f.driver) &&
				!driver_is_vfio(m->v, vf->f.driver_override)))
			continue;
		r = differ(m, (int)i, "driver", or_none(vf->f.driver), before);
		step = step_add(m, VFM_STEP_RELEASE, (int)i);
		if (r < 0 || !step)
			return -ENOMEM;
		text_add(step->text, "not in the file: take it from %s, give it back to %s",
			or_none(vf->f.driver),
			vf->recorded ? before : "the driver that the kernel chooses");
		if (!strcmp(before, VFM_DRIVER_NONE))
			r = chosen_mac_plan(m, i, vf);
		if (r < 0)
			return r;
	}
	return 0;
}

static int driver_plan(struct make *m, const struct vfm_desired_vf *w)
{
	const struct vf_state *vf = m->remade ? NULL : &m->pf->state->vf[w->index];
	/* A new VF has no driver, and no override. */
	bool done = vf ? binding_is(m->v, &vf->f, w->driver, m->autoprobe)
		       : !strcmp(w->driver, VFM_DRIVER_NONE) ||
				    (!strcmp(w->driver, VFM_DRIVER_DEFAULT) && !m->autoprobe);
	struct vfm_step *step;
	int r;

	if (done)
		return 0;
	r = differ(m, (int)w->index, "driver", vf ? or_none(vf->f.driver) : "", w->driver);
	step = step_add(m, VFM_STEP_BIND, (int)w->index);
	if (r < 0 || !step)
		return -ENOMEM;
	snprintf(step->driver, sizeof(step->driver), "%s", w->driver);
	if (!strcmp(w->driver, VFM_DRIVER_NONE))
		text_add(step->text, "take it from %s", vf ? or_none(vf->f.driver) : "its driver");
	else if (!strcmp(w->driver, VFM_DRIVER_DEFAULT))
		text_add(step->text, "let the kernel choose its driver");
	else
		text_add(step->text, "bind to %s", w->driver);
	if (vf && *vf->f.driver && strcmp(w->driver, VFM_DRIVER_NONE))
		text_add(step->text, " (is %s)", vf->f.driver);
	return 0;
}

int drivers_plan(struct make *m)
{
	const struct vfm_desired_pf *w = m->pf->want;
	int r = w->exclusive && !m->remade ? exclusive_drivers_plan(m) : 0;

	for (size_t i = 0; i < w->n_vfs && r >= 0; i++)
		if (*w->vf[i].driver)
			r = driver_plan(m, &w->vf[i]);
	return r;
}
