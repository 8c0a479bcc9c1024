// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/devlink_internal.h"

#define BYTES_PER_MBIT     125000u
#define CARRIER_TIMEOUT_MS 5000

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

/* A VF and its PF while they are configured. */
struct target {
	struct vfm *v;
	struct vfm_function pf;
	unsigned index;
	struct vfm_settings *vf; /* of all VFs of the PF */
	struct vfm_port *port;   /* in switchdev mode, else NULL: theirs on the eswitch */
	size_t n;
	struct bdf bdf;
	struct vfm_settings before;
	struct vfm_settings record; /* what it had before the first change, from the journal */
	bool restoring;             /* that is what it is given */
};

static void target_finish(struct target *t)
{
	free(t->vf);
	free(t->port);
}

/*
 * In switchdev mode a VF's address and rates are its port's: drivers refuse them through rtnetlink,
 * or take them and forget them. An interface that is no switch's port needs no question.
 */
static int ports_alloc(struct target *t, struct err *e)
{
	char path[PATH_MAX], attr[VFM_NAME_MAX + 24], id[128];
	enum vfm_eswitch mode;
	struct devlink_handle h;
	int r;

	snprintf(attr, sizeof(attr), "net/%s/phys_switch_id", t->pf.netdev);
	if (sysfs_read(&t->v->sys, sysfs_pci_path(t->pf.bdf, attr, path, sizeof(path)), id,
		    sizeof(id)) <= 0)
		return 0;
	devlink_handle_of(t->pf.bdf, &h);
	r = devlink_eswitch_get(t->v, &h, &mode, e);
	if (r == -EOPNOTSUPP || (r == 0 && mode != VFM_ESWITCH_SWITCHDEV))
		return 0;
	if (r < 0)
		return err_wrap(e, r, "eswitch mode of %s", t->pf.netdev);
	t->port = calloc(t->n, sizeof(*t->port));
	return t->port ? 0 : err_sys(e, ENOMEM, "VF ports");
}

static uint32_t mbit_of(uint64_t bytes)
{
	uint64_t mbit = bytes / BYTES_PER_MBIT + (bytes % BYTES_PER_MBIT != 0);

	return mbit > UINT32_MAX ? UINT32_MAX : (uint32_t)mbit;
}

static int ports_read(struct target *t, struct err *e)
{
	struct devlink_handle h;
	int r;

	devlink_handle_of(t->pf.bdf, &h);
	r = devlink_ports_get(t->v, &h, t->pf.bdf.fn, t->port, t->n, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < t->n; i++) {
		struct vfm_settings *s = &t->vf[i];
		const struct vfm_port *p = &t->port[i];

		if (p->there && p->has_mac) {
			memcpy(s->mac, p->mac, 6);
			s->set |= VFM_BIT(MAC);
		}
		if (p->there && p->has_rate) {
			s->min_rate = mbit_of(p->tx_share);
			s->max_rate = mbit_of(p->tx_max);
			s->set |= VFM_RATE_BITS;
		}
	}
	return 0;
}

static int target_read(struct target *t, struct err *e)
{
	int r = link_get_vfs(t->v, t->pf.ifindex, t->vf, t->n, e);

	if (r == 0 && t->port)
		r = ports_read(t, e);
	return r < 0 ? err_wrap(e, r, "read the VFs of %s", t->pf.netdev) : 0;
}

int settings_read_all(struct vfm *v, const struct vfm_function *pf, struct vfm_settings *vf,
	size_t n, struct err *e)
{
	struct target t = {.v = v, .pf = *pf, .vf = vf, .n = n};
	int r = ports_alloc(&t, e);

	if (r == 0)
		r = target_read(&t, e);
	free(t.port);
	return r;
}

static int carrier_is_on(struct vfm *v, void *arg)
{
	const struct vfm_function *pf = arg;
	char attr[VFM_NAME_MAX + 16];
	uint64_t on;

	snprintf(attr, sizeof(attr), "net/%s/carrier", pf->netdev);
	return dev_read_u64(v, pf->bdf, attr, &on) < 0 || on;
}

/*
 * igb takes a rate, also none, only of a PF with a link, which the carve before may just have taken down.
 * One that stays without is the driver's to judge.
 */
static void rate_wait(struct target *t)
{
	unsigned ms = t->v->timeout_ms < CARRIER_TIMEOUT_MS ? t->v->timeout_ms : CARRIER_TIMEOUT_MS;
	enum vfm_phase outer = phase_enter(t->v, VFM_PHASE_LINK_UP);

	wait_until(t->v, "the PF's link", ms, carrier_is_on, &t->pf);
	phase_enter(t->v, outer);
}

/* Set the group @bits of @s where it belongs. */
static int group_set(struct target *t, const struct vfm_settings *s, uint32_t bits, struct err *e)
{
	const struct vfm_port *p = t->port ? &t->port[t->index] : NULL;
	struct devlink_handle h;

	devlink_handle_of(t->pf.bdf, &h);
	if (p && p->there && p->has_mac && bits == VFM_BIT(MAC))
		return devlink_port_set_mac(t->v, &h, p->index, s->mac, e);
	if (p && p->there && p->has_rate && bits == VFM_RATE_BITS)
		return devlink_port_set_rate(t->v, &h, p->index,
			(uint64_t)s->min_rate * BYTES_PER_MBIT,
			(uint64_t)s->max_rate * BYTES_PER_MBIT, e);
	if (bits == VFM_RATE_BITS)
		rate_wait(t);
	return link_set_vf(t->v, t->pf.ifindex, t->index, s, bits, e);
}

static int target_open(struct target *t, struct vfm *v, struct bdf b, bool change, struct err *e)
{
	const unsigned leave = FUNCTION_NO_OVERRIDE | FUNCTION_NO_RECORD;
	char name[BDF_STRLEN];
	struct vfm_function f;
	int r;

	*t = (struct target){.v = v, .bdf = b};
	if (function_read_some(v, b, NULL, 0, leave, &f) < 0)
		return err_set(e, ENODEV, "no such PCI function ('viaduct vf list' shows them)");
	if (f.kind != VFM_VF || f.index < 0)
		return err_set(
			e, ENOTSUP, "not a virtual function: only a PF's VFs are set this way");
	r = lock_domain(v, b, false, e);
	if (r == 0 && change)
		r = lock_function(v, b, e);
	if (r < 0)
		return r;
	if (function_read_some(v, f.pf, NULL, 0, leave, &t->pf) < 0 || !*t->pf.netdev ||
		t->pf.ifindex <= 0)
		return err_set(e, ENOTSUP,
			"its PF %s has no network interface here (driver %s): VFs are set through "
			"that; is it in another network namespace?",
			bdf_format(f.pf, name), *t->pf.driver ? t->pf.driver : "none");
	t->index = (unsigned)f.index;
	t->n = t->pf.num_vfs > t->index ? t->pf.num_vfs : t->index + 1;
	t->vf = calloc(t->n, sizeof(*t->vf));
	if (!t->vf)
		return err_sys(e, ENOMEM, "VF settings");
	r = ports_alloc(t, e);
	if (r == 0)
		r = target_read(t, e);
	t->before = t->vf[t->index];
	return r;
}

/* Two functions with one address on one wire: their frames go to either. */
static int check_unique(const struct target *t, const uint8_t mac[static 6], struct err *e)
{
	static const uint8_t none[6];
	struct vfm_settings s = {.set = VFM_BIT(MAC)};
	char text[VFM_VALUE_MAX];

	if (!memcmp(mac, none, 6))
		return 0;
	memcpy(s.mac, mac, 6);
	vfm_setting_format(&s, VFM_SET_MAC, text);
	if (t->pf.has_mac && !memcmp(t->pf.mac, mac, 6))
		return err_set(e, EADDRINUSE, "%s is the address of its PF's interface %s", text,
			t->pf.netdev);
	for (size_t i = 0; i < t->n; i++) {
		if (i != t->index && t->vf[i].set & VFM_BIT(MAC) && !memcmp(t->vf[i].mac, mac, 6))
			return err_set(e, EADDRINUSE, "%s is the address of VF %zu of %s", text, i,
				t->pf.netdev);
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
 * the driver did not report before cannot be told.
 */
static void undo(struct target *t, uint32_t done, uint32_t failed, struct err *e)
{
	const struct vfm_settings *now = &t->vf[t->index];
	uint32_t differ = done;

	if (target_read(t, NULL) == 0)
		differ = vfm_settings_differ(&t->before, now, (done | failed) & t->before.set) |
			 (done & ~t->before.set);
	for (size_t i = ARRAY_SIZE(groups); i-- > 0;) {
		struct err why = {0};
		char text[96];
		int r;

		if (!(differ & groups[i]))
			continue;
		group_format(&t->before, groups[i], text, sizeof(text));
		r = t->before.set & groups[i] ? group_set(t, &t->before, groups[i], &why)
					      : err_set(&why, ENOTSUP, "it was not reported");
		if (r < 0)
			err_append(e, "not undone: %s before: %s",
				*text ? text : vfm_setting_name((unsigned)__builtin_ctz(groups[i])),
				why.text);
	}
}

/* What the VF has to have: what is wanted, the rest of its groups as it is. */
static void whole_of(
	const struct target *t, const struct vfm_settings *want, struct vfm_settings *ret)
{
	*ret = t->before;
	if (want->set & VFM_BIT(VLAN) && !want->vlan) {
		ret->qos = 0;
		ret->proto = VFM_PROTO_8021Q;
		ret->set |= VFM_VLAN_BITS;
	}
	vfm_settings_merge(ret, want, want->set);
}

/* Is all of @want there? A switch the driver does not report could be anything. */
static int verify(struct target *t, const struct vfm_settings *want, struct err *e)
{
	const struct vfm_settings *have = &t->vf[t->index];
	char a[VFM_VALUE_MAX], b[VFM_VALUE_MAX];
	uint32_t differ;
	unsigned int first;
	int r = target_read(t, e);

	if (r < 0)
		return r;
	differ = vfm_settings_differ(want, have, want->set);
	if (!differ)
		return 0;
	first = (unsigned int)__builtin_ctz(differ);
	vfm_setting_format(have, first, b);
	return err_set(e, EIO, "%s %s set, but %s reports %s for it", vfm_setting_name(first),
		vfm_setting_format(want, first, a), t->pf.netdev, *b ? b : "nothing");
}

/* Write down what the settings in @bits have, of those that were not changed before. */
static int record_add(struct target *t, uint32_t bits, struct err *e)
{
	struct vfm_settings s = {0};
	uint32_t new;

	if (journal_read_settings(t->v, t->bdf, &t->record) < 0)
		t->record = (struct vfm_settings){0};
	s = t->record;
	new = bits & t->before.set & ~s.set;
	if (!new)
		return 0;
	vfm_settings_merge(&s, &t->before, new);
	return journal_write_settings(t->v, t->bdf, &s, e);
}

/*
 * After a change, whatever came of it: a setting that has again what it had at first needs no
 * record. What cannot be read keeps its own.
 */
static void record_trim(struct target *t, bool failed)
{
	struct vfm_settings s;
	uint32_t same;

	if (journal_read_settings(t->v, t->bdf, &s) < 0 || (failed && target_read(t, NULL) < 0))
		return;
	same = s.set & ~vfm_settings_differ(&s, &t->vf[t->index], s.set);
	if (!same)
		return;
	s.set &= ~same;
	journal_write_settings(t->v, t->bdf, &s, NULL);
}

/* All settings that change when those in @bits are set. */
static uint32_t groups_of(uint32_t bits)
{
	uint32_t all = 0;

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		all |= bits & groups[i] ? groups[i] : 0;
	return all;
}

static int target_set(
	struct target *t, const struct vfm_settings *want, uint32_t *ret_changed, struct err *e)
{
	uint32_t differ = vfm_settings_differ(want, &t->before, want->set), done = 0;
	struct vfm_settings whole;
	char text[96];
	int r;

	whole_of(t, want, &whole);
	r = vfm_settings_check(&whole, e);
	if (r < 0)
		return r;
	if (!differ)
		return 0;
	if (!t->pf.admin_up && !t->restoring)
		return err_set(e, ENETDOWN,
			"the PF's interface %s is down, its VFs do not hear of the change: 'ip "
			"link set %s up' first",
			t->pf.netdev, t->pf.netdev);
	if (differ & VFM_BIT(MAC) && (r = check_unique(t, want->mac, e)) < 0)
		return r;
	if (!t->restoring && (r = record_add(t, groups_of(differ), e)) < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (!(differ & groups[i]))
			continue;
		r = group_set(t, &whole, groups[i], e);
		if (r < 0) {
			err_wrap(e, r, "VF %u of %s: %s", t->index, t->pf.netdev,
				group_format(&whole, groups[i] & want->set, text, sizeof(text)));
			undo(t, done, groups[i], e);
			return r;
		}
		done |= groups[i];
	}
	r = verify(t, want, e);
	if (r < 0)
		undo(t, done, 0, e);
	else if (ret_changed)
		*ret_changed = differ;
	return r;
}

static int set_locked(struct vfm *v, struct bdf b, const struct vfm_settings *want,
	uint32_t *ret_changed, struct err *e)
{
	_cleanup_(target_finish) struct target t = {0};
	int r = vfm_settings_check(
		&(struct vfm_settings){.set = want->set & VFM_BIT(MAC), .mac = {want->mac[0]}}, e);

	if (r == 0)
		r = target_open(&t, v, b, true, e);
	if (r < 0)
		return r;
	r = target_set(&t, want, ret_changed, e);
	record_trim(&t, r < 0);
	return r;
}

int vfm_set(struct vfm *v, struct bdf vf, const struct vfm_settings *want, uint32_t *ret_changed,
	struct err *e)
{
	_drops_locks_ struct vfm *locked = v;
	char name[BDF_STRLEN];
	int r;

	if (ret_changed)
		*ret_changed = 0;
	r = set_locked(v, vf, want, ret_changed, e);
	return r < 0 ? err_wrap(e, r, "set %s", bdf_format(vf, name)) : 0;
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
	_cleanup_(target_finish) struct target t = {0};
	char name[BDF_STRLEN];
	int r = target_open(&t, v, vf, false, e);

	if (r < 0)
		return err_wrap(e, r, "read the settings of %s", bdf_format(vf, name));
	*ret = t.before;
	return 0;
}

int settings_release(struct vfm *v, struct bdf b, struct vfm_settings *ret, struct err *e)
{
	_drops_locks_ struct vfm *locked = v;
	_cleanup_(target_finish) struct target t = {0};
	struct vfm_settings first;
	int r;

	*ret = (struct vfm_settings){0};
	if (journal_read_settings(v, b, &first) < 0)
		return 0;
	r = target_open(&t, v, b, true, e);
	/* Again under the lock. */
	if (r == 0 && journal_read_settings(v, b, &first) < 0)
		return 0;
	t.restoring = true;
	if (r == 0)
		r = target_set(&t, &first, NULL, e);
	if (r < 0)
		return err_wrap(e, r, "put its settings back");
	vfm_settings_merge(ret, &t.before, first.set & t.before.set);
	journal_remove(v, b, JOURNAL_SETTINGS);
	return 0;
}
