// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/pf_vfs.h"

/* What one message sets. The kernel carries a message of several out in part and does not say. */
static const uint32_t groups[] = {
	VFM_BIT(MAC),
	VFM_VLAN_BITS,
	VFM_RATE_BITS,
	VFM_BIT(SPOOFCHK),
	VFM_BIT(LINK_STATE),
	VFM_BIT(RSS_QUERY),
	VFM_BIT(TRUST),
	VFM_BIT(NODE_GUID),
	VFM_BIT(PORT_GUID),
};

/* A VF while it is given something. */
struct given {
	struct settings_change *c;
	int lock_fd; /* of the function */
	struct vfm_settings before;
	struct vfm_settings
		whole; /* what it has to have: what is wanted, and the rest of its groups */
	struct vfm_settings record; /* in the journal, valid with recorded */
	bool recorded;
	uint32_t differ; /* what has to be set; 0 = all is there already */
};

/* VFs of one PF that are given something together. */
struct batch {
	struct pf_vfs p;
	struct given *vf;
	size_t n;
	bool restoring; /* what they had before the first change */
};

static void batch_finish(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		fd_close(b->vf[i].lock_fd);
	free(b->vf);
	pf_vfs_finish(&b->p);
}

static struct vfm_settings *now_of(struct batch *b, const struct given *g)
{
	return &b->p.vf[g->c->index];
}

/* Two functions with one address on one wire: their frames go to either. */
static int check_unique(
	const struct pf_vfs *p, unsigned index, const uint8_t mac[static 6], struct err *e)
{
	static const uint8_t none[6];
	struct vfm_settings s = {.set = VFM_BIT(MAC)};
	char text[VFM_VALUE_MAX];

	if (!memcmp(mac, none, 6))
		return 0;
	memcpy(s.mac, mac, 6);
	vfm_setting_format(&s, VFM_SET_MAC, text);
	if (p->pf.has_mac && !memcmp(p->pf.mac, mac, 6))
		return err_set(e, EADDRINUSE, "%s is the address of its PF's interface %s", text,
			p->pf.netdev);
	for (size_t i = 0; i < p->n; i++) {
		if (i != index && p->vf[i].set & VFM_BIT(MAC) && !memcmp(p->vf[i].mac, mac, 6))
			return err_set(e, EADDRINUSE, "%s is the address of VF %zu of %s", text, i,
				p->pf.netdev);
	}
	return 0;
}

/* "vlan 100, qos 3" of @bits. */
static char *group_format(const struct vfm_settings *s, uint32_t bits, char *buf, size_t size)
{
	char value[VFM_VALUE_MAX];
	size_t len = 0;

	*buf = '\0';
	for (unsigned int i = 0; i < VFM_SETTING_COUNT; i++)
		if (bits & s->set & 1u << i && len < size)
			len += (size_t)snprintf(buf + len, size - len, "%s%s %s", len ? ", " : "",
				vfm_setting_name(i), vfm_setting_format(s, i, value));
	return buf;
}

/*
 * Put back what the groups in @done had, and the one in @failed if it was changed all the same. What
 * the driver did not report before cannot be told. Writes what is left as it was set, and why, behind
 * @e; false when there is such.
 */
static bool undo(struct batch *b, struct given *g, uint32_t done, uint32_t failed, struct err *e)
{
	uint32_t differ = done;
	bool whole = true;

	if (pf_vfs_read(&b->p, NULL) == 0)
		differ = vfm_settings_differ(
				 &g->before, now_of(b, g), (done | failed) & g->before.set) |
			 (done & ~g->before.set);
	for (size_t i = ARRAY_SIZE(groups); i-- > 0;) {
		struct err why = {0};
		char text[96];
		int r;

		if (!(differ & groups[i]))
			continue;
		group_format(&g->before, groups[i], text, sizeof(text));
		r = g->before.set & groups[i]
			    ? pf_vfs_set(&b->p, g->c->index, &g->before, groups[i], &why)
			    : err_set(&why, ENOTSUP, "it was not reported");
		if (r < 0)
			err_append(e, "not undone: %s before: %s",
				*text ? text : vfm_setting_name((unsigned)__builtin_ctz(groups[i])),
				why.text);
		whole &= r >= 0;
	}
	return whole;
}

void settings_whole(const struct vfm_settings *before, const struct vfm_settings *want,
	struct vfm_settings *ret)
{
	*ret = *before;
	if (want->set & VFM_BIT(VLAN) && !want->vlan) {
		ret->qos = 0;
		ret->proto = VFM_PROTO_8021Q;
		ret->set |= VFM_VLAN_BITS;
	}
	vfm_settings_merge(ret, want, want->set);
}

/* Is all of it there, as was read last? A switch the driver does not report could be anything. */
static int verify(struct batch *b, const struct given *g, struct err *e)
{
	const struct vfm_settings *have = now_of(b, g), *want = &g->c->want;
	char x[VFM_VALUE_MAX], y[VFM_VALUE_MAX];
	uint32_t differ = vfm_settings_differ(want, have, want->set);
	unsigned int first;

	if (!differ)
		return 0;
	first = (unsigned int)__builtin_ctz(differ);
	vfm_setting_format(have, first, y);
	return err_set(e, EIO, "%s %s set, but %s reports %s for it", vfm_setting_name(first),
		vfm_setting_format(want, first, x), b->p.pf.netdev, *y ? y : "nothing");
}

static void record_load(struct batch *b, struct given *g)
{
	if (g->recorded)
		return;
	if (journal_read_settings(b->p.v, g->c->bdf, &g->record) < 0)
		g->record = (struct vfm_settings){0};
	g->recorded = true;
}

/* Write down what the settings in @bits have, of those that were not changed before. */
static int record_add(struct batch *b, struct given *g, uint32_t bits, struct err *e)
{
	struct vfm_settings s;
	uint32_t new;
	int r;

	record_load(b, g);
	s = g->record;
	new = bits & g->before.set & ~s.set;
	if (!new)
		return 0;
	vfm_settings_merge(&s, &g->before, new);
	r = journal_write_settings(b->p.v, g->c->bdf, &s, e);
	/* Whether it was written is not known after a failure. */
	g->recorded = r == 0;
	g->record = s;
	return r;
}

/*
 * After a change, whatever came of it: a setting that has again what it had at first needs no record. What
 * was read last has to be of after that.
 */
static void record_trim(struct batch *b, struct given *g)
{
	struct vfm_settings s;
	uint32_t same;

	record_load(b, g);
	s = g->record;
	same = s.set & ~vfm_settings_differ(&s, now_of(b, g), s.set);
	if (!same)
		return;
	s.set &= ~same;
	journal_write_settings(b->p.v, g->c->bdf, &s, NULL);
}

/* All settings that change when those in @bits are set. */
static uint32_t groups_of(uint32_t bits)
{
	uint32_t all = 0;

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		all |= bits & groups[i] ? groups[i] : 0;
	return all;
}

/* What has to be set, and may it be? What it had is written down before anything is. */
static int given_prepare(struct batch *b, struct given *g, struct err *e)
{
	const struct vfm_settings *want = &g->c->want;
	int r;

	g->before = *now_of(b, g);
	g->differ = vfm_settings_differ(want, &g->before, want->set);
	settings_whole(&g->before, want, &g->whole);
	r = vfm_settings_check(&g->whole, e);
	if (r < 0 || !g->differ)
		return r;
	if (!b->p.pf.admin_up && !b->restoring)
		return err_set(e, ENETDOWN,
			"the PF's interface %s is down, its VFs do not hear of the change: 'ip "
			"link set %s up' first",
			b->p.pf.netdev, b->p.pf.netdev);
	if (g->differ & VFM_BIT(MAC)) {
		r = check_unique(&b->p, g->c->index, want->mac, e);
		if (r < 0)
			return r;
		/* For those that come after it. */
		vfm_settings_merge(now_of(b, g), want, VFM_BIT(MAC));
	}
	return b->restoring ? 0 : record_add(b, g, groups_of(g->differ), e);
}

/* A failure is undone. */
static int given_set(struct batch *b, struct given *g, struct err *e)
{
	uint32_t done = 0;
	char text[96];

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		int r;

		if (!(g->differ & groups[i]))
			continue;
		r = pf_vfs_set(&b->p, g->c->index, &g->whole, groups[i], e);
		if (r < 0) {
			err_wrap(e, r, "VF %u of %s: %s", g->c->index, b->p.pf.netdev,
				group_format(
					&g->whole, groups[i] & g->c->want.set, text, sizeof(text)));
			undo(b, g, done, groups[i], e);
			return r;
		}
		done |= groups[i];
	}
	return 0;
}

/*
 * Take back what those after @bad of the first @set were given, as if they had not been begun: in which
 * order VFs let go of an address and get it may matter.
 */
static void take_back(struct batch *b, size_t bad, size_t set, struct err *e)
{
	for (size_t i = set; i-- > bad + 1;) {
		struct given *g = &b->vf[i];
		struct err *why = &g->c->why;

		if (!g->differ)
			continue;
		err_set(why, ECANCELED, "taken back, as VF %u failed", b->vf[bad].c->index);
		g->c->outcome = SETTINGS_TAKEN_BACK;
		if (undo(b, g, groups_of(g->differ), 0, why))
			continue;
		g->c->outcome = SETTINGS_STUCK;
		err_append(e, "VF %u: %s", g->c->index, why->text);
	}
}

/*
 * One reading for the first @set. An acknowledgement is not believed: from the first on that has not all
 * of it they are taken back.
 */
static int batch_verify(struct batch *b, size_t set, struct err *e)
{
	size_t bad = 0;
	int r;

	while (bad < set && !b->vf[bad].differ)
		bad++;
	if (bad == set)
		return 0;
	r = pf_vfs_read(&b->p, e);
	for (; r == 0 && bad < set; bad++) {
		r = b->vf[bad].differ ? verify(b, &b->vf[bad], e) : 0;
		if (r < 0)
			break;
	}
	if (r == 0)
		return 0;
	take_back(b, bad, set, e);
	undo(b, &b->vf[bad], groups_of(b->vf[bad].differ), 0, e);
	b->vf[bad].c->outcome = SETTINGS_FAILED;
	b->vf[bad].c->why = *e;
	return r;
}

/* Up to the first that fails. */
static int batch_set(struct batch *b, size_t n, size_t *ret_begun, struct err *e)
{
	const volatile sig_atomic_t *cancel = b->p.v->cancel;
	struct err late = {0};
	size_t set = 0;
	int r = 0, verified;

	while (set < n) {
		struct given *g = &b->vf[set];

		/* Whether the first should be begun was asked before. */
		if (set && cancel && *cancel)
			break;
		r = given_set(b, g, e);
		g->c->outcome = r < 0 ? SETTINGS_FAILED : SETTINGS_GIVEN;
		g->c->changed = g->differ;
		if (r < 0) {
			g->c->why = *e;
			break;
		}
		set++;
	}
	*ret_begun = set + (r < 0);
	verified = batch_verify(b, set, &late);
	if (verified == 0)
		return r;
	if (r < 0)
		err_append(&late, "%s", e->text);
	*e = late;
	return verified;
}

/* Locked, so that what it has does not change between looking and setting. */
static int given_open(struct vfm *v, struct given *g, struct settings_change *c, struct err *e)
{
	const struct vfm_settings mac = {
		.set = c->want.set & VFM_BIT(MAC), .mac = {c->want.mac[0]}};
	int r = vfm_settings_check(&mac, e);

	*g = (struct given){.c = c, .lock_fd = -1};
	if (r == 0)
		r = lock_function(v, c->bdf, e);
	if (r == 0) {
		g->lock_fd = v->lock_fd[1];
		v->lock_fd[1] = -1;
	}
	return r;
}

static int batch_open(struct batch *b, struct vfm *v, struct bdf pf, struct settings_change *c,
	size_t n, struct err *e)
{
	size_t most = 0;
	int r = lock_domain(v, pf, false, e);

	b->vf = calloc(n, sizeof(*b->vf));
	if (!b->vf)
		return err_sys(e, ENOMEM, "set VFs");
	while (r == 0 && b->n < n) {
		r = given_open(v, &b->vf[b->n], &c[b->n], e);
		if (r < 0)
			break;
		most = c[b->n].index > most ? c[b->n].index : most;
		b->n++;
	}
	/* One that cannot be begun yet is the next call's. */
	return b->n ? pf_vfs_init(&b->p, v, pf, most + 1, e) : r;
}

static int batch_run(struct batch *b, struct err *e)
{
	size_t looked = 0, ready = 0, begun = 0;
	struct err why = {0};
	int r = 0;

	for (; looked < b->n && r == 0; looked++) {
		r = given_prepare(b, &b->vf[looked], &why);
		ready += r == 0;
	}
	if (ready) {
		r = batch_set(b, ready, &begun, e);
	} else {
		*e = why;
		b->vf->c->outcome = SETTINGS_FAILED;
		b->vf->c->why = why;
	}
	/* What was read last is so no more, or is what it was to become. */
	if ((r < 0 || begun < looked) && pf_vfs_read(&b->p, NULL) < 0)
		return r;
	for (size_t i = 0; i < looked; i++)
		record_trim(b, &b->vf[i]);
	return r;
}

int settings_give(struct vfm *v, struct bdf pf, struct settings_change *c, size_t n, struct err *e)
{
	_drops_locks_ struct vfm *locked = v;
	_cleanup_(batch_finish) struct batch b = {0};
	struct err why = {0};
	int r;

	for (size_t i = 0; i < n; i++) {
		c[i].outcome = SETTINGS_NOT_BEGUN;
		c[i].why = (struct err){0};
	}
	r = batch_open(&b, v, pf, c, n, &why);
	if (r == 0) {
		r = batch_run(&b, &why);
	} else {
		c->outcome = SETTINGS_FAILED;
		c->why = why;
	}
	if (r < 0 && e)
		*e = why;
	return r;
}

/* The VF at @b, which has to be one. */
static int vf_find(struct vfm *v, struct bdf b, struct vfm_function *ret, struct err *e)
{
	if (function_read_some(v, b, NULL, 0, FUNCTION_NO_OVERRIDE | FUNCTION_NO_RECORD, ret) < 0)
		return err_set(e, ENODEV, "no such PCI function ('viaduct vf list' shows them)");
	if (ret->kind != VFM_VF || ret->index < 0)
		return err_set(
			e, ENOTSUP, "not a virtual function: only a PF's VFs are set this way");
	return 0;
}

int vfm_set(struct vfm *v, struct bdf vf, const struct vfm_settings *want, uint32_t *ret_changed,
	struct err *e)
{
	struct settings_change c = {.bdf = vf, .want = *want};
	struct vfm_function f;
	char name[BDF_STRLEN];
	int r = vf_find(v, vf, &f, e);

	if (ret_changed)
		*ret_changed = 0;
	if (r == 0) {
		c.index = (unsigned)f.index;
		r = settings_give(v, f.pf, &c, 1, e);
	}
	if (r < 0)
		return err_wrap(e, r, "set %s", bdf_format(vf, name));
	if (ret_changed)
		*ret_changed = c.changed;
	return 0;
}

int vfm_set_mac(struct vfm *v, struct bdf vf, const uint8_t mac[static 6], struct err *e)
{
	struct vfm_settings want = {.set = VFM_BIT(MAC)};

	memcpy(want.mac, mac, 6);
	return vfm_set(v, vf, &want, NULL, e);
}

int vfm_get(struct vfm *v, struct bdf vf, struct vfm_settings *ret, struct err *e)
{
	_drops_locks_ struct vfm *locked = v;
	_cleanup_(pf_vfs_finish) struct pf_vfs p = {0};
	struct vfm_function f;
	char name[BDF_STRLEN];
	int r = vf_find(v, vf, &f, e);

	if (r == 0)
		r = lock_domain(v, vf, false, e);
	if (r == 0)
		r = pf_vfs_init(&p, v, f.pf, (size_t)f.index + 1, e);
	if (r < 0)
		return err_wrap(e, r, "read the settings of %s", bdf_format(vf, name));
	*ret = p.vf[f.index];
	return 0;
}

int settings_release(struct vfm *v, struct bdf b, struct vfm_settings *ret, struct err *e)
{
	_drops_locks_ struct vfm *locked = v;
	_cleanup_(batch_finish) struct batch batch = {.restoring = true};
	struct settings_change c = {.bdf = b};
	struct vfm_function f;
	struct err why = {0};
	int r;

	*ret = (struct vfm_settings){0};
	if (journal_read_settings(v, b, &c.want) < 0)
		return 0;
	r = vf_find(v, b, &f, &why);
	if (r == 0) {
		c.index = (unsigned)f.index;
		r = batch_open(&batch, v, f.pf, &c, 1, &why);
	}
	/* Again under the lock. */
	if (r == 0 && journal_read_settings(v, b, &c.want) < 0)
		return 0;
	if (r == 0)
		r = batch_run(&batch, &why);
	if (r < 0) {
		if (e)
			*e = why;
		return err_wrap(e, r, "put its settings back");
	}
	vfm_settings_merge(ret, &batch.vf->before, c.want.set & batch.vf->before.set);
	journal_remove(v, b, JOURNAL_SETTINGS);
	return 0;
}
