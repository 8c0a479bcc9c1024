// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/monitor_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define LEVEL_WARNING 4 /* <linux/kern_levels.h> */

const char *vfm_event_name(enum vfm_event_kind kind)
{
	static const char *const names[] = {
#define X(name, word, text) word,
		VFM_EVENTS(X)
#undef X
	};

	return names[kind];
}

const char *vfm_event_text(enum vfm_event_kind kind)
{
	static const char *const texts[] = {
#define X(name, word, text) text,
		VFM_EVENTS(X)
#undef X
	};

	return texts[kind];
}

void monitor_state_finish(struct monitor_state *s)
{
	free(s->f);
	free(s->lease);
	s->f = NULL;
	s->lease = NULL;
	s->n = s->cap = s->n_leases = 0;
}

static int order(struct bdf a, struct bdf b)
{
	if (a.domain != b.domain)
		return a.domain < b.domain ? -1 : 1;
	return (int)bdf_rid(a) - (int)bdf_rid(b);
}

/* Where @b is, or would have to be put. */
static size_t position(const struct monitor_state *s, struct bdf b)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (order(s->f[mid].bdf, b) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct vfm_watched *monitor_find(struct monitor_state *s, struct bdf b)
{
	size_t i = position(s, b);

	return i < s->n && bdf_equal(s->f[i].bdf, b) ? &s->f[i] : NULL;
}

struct vfm_watched *monitor_find_ifindex(struct monitor_state *s, int ifindex)
{
	for (size_t i = 0; ifindex > 0 && i < s->n; i++)
		if (s->f[i].ifindex == ifindex)
			return &s->f[i];
	return NULL;
}

static const struct vfm_lease *lease_find(const struct vfm_lease *l, size_t n, struct bdf b)
{
	for (size_t i = 0; i < n; i++)
		if (bdf_equal(l[i].bdf, b))
			return &l[i];
	return NULL;
}

static bool in_family(const struct vfm_watched *f, struct bdf root)
{
	return bdf_equal(f->bdf, root) || (f->kind == VFM_VF && bdf_equal(f->pf, root));
}

static bool wanted(const struct monitor_state *s, struct bdf b, const struct vfm_watched *f)
{
	return !s->has_only || bdf_equal(b, s->only) || (f && in_family(f, s->only));
}

static void emit(struct monitor_state *s, struct vfm_event *ev)
{
	s->changes++;
	if (!s->live)
		return;
	ev->realtime_us = s->realtime_us;
	ev->monotonic_us = s->monotonic_us;
	if (ev->has_bdf) {
		if (!ev->function)
			ev->function = monitor_find(s, ev->bdf);
		if (!wanted(s, ev->bdf, ev->function))
			return;
		if (!ev->lease)
			ev->lease = lease_find(s->lease, s->n_leases, ev->bdf);
	}
	s->event(s->arg, ev);
}

static void emit_change(struct monitor_state *s, enum vfm_event_kind kind,
	const struct vfm_watched *f, const char *name, const char *before, const char *after)
{
	struct vfm_event ev = {.kind = kind,
		.has_bdf = true,
		.bdf = f->bdf,
		.function = f,
		.name = name,
		.before = before,
		.after = after};

	emit(s, &ev);
}

/* --- one function against what was known of it; each step takes over what it has told --- */

static void interface_set(struct monitor_state *s, struct vfm_watched *f, const char *netdev,
	int ifindex, const char *link, bool has_mac, const uint8_t *mac)
{
	char before[VFM_NAME_MAX];

	if (!strcmp(f->netdev, netdev) && f->ifindex == ifindex)
		return;
	memcpy(before, f->netdev, sizeof(before));
	snprintf(f->netdev, sizeof(f->netdev), "%s", netdev);
	f->ifindex = ifindex;
	snprintf(f->link, sizeof(f->link), "%s", link);
	f->has_mac = has_mac;
	memcpy(f->mac, mac, sizeof(f->mac));
	emit_change(s, VFM_EVENT_INTERFACE, f, NULL, before, f->netdev);
}

static void interface_drop(struct monitor_state *s, struct vfm_watched *f)
{
	static const uint8_t none[6];

	interface_set(s, f, "", 0, "", false, none);
}

static void driver_set(struct monitor_state *s, struct vfm_watched *f, const char *driver)
{
	char before[VFM_NAME_MAX];

	if (!strcmp(f->driver, driver))
		return;
	memcpy(before, f->driver, sizeof(before));
	f->driver[0] = '\0';
	if (*before)
		emit_change(s, VFM_EVENT_UNBIND, f, before, NULL, NULL);
	snprintf(f->driver, sizeof(f->driver), "%s", driver);
	if (*driver)
		emit_change(s, VFM_EVENT_BIND, f, f->driver, NULL, NULL);
}

static void vfs_set(struct monitor_state *s, struct vfm_watched *f, unsigned n)
{
	char before[12], after[12];

	if (f->num_vfs == n)
		return;
	snprintf(before, sizeof(before), "%u", f->num_vfs);
	snprintf(after, sizeof(after), "%u", n);
	f->num_vfs = n;
	emit_change(s, VFM_EVENT_VFS, f, NULL, before, after);
}

static void link_set(struct monitor_state *s, struct vfm_watched *f, const char *link)
{
	char before[sizeof(f->link)];

	if (!*link || !strcmp(f->link, link))
		return;
	memcpy(before, f->link, sizeof(before));
	snprintf(f->link, sizeof(f->link), "%s", link);
	emit_change(s, VFM_EVENT_LINK, f, f->netdev, before, f->link);
}

static void mac_text(bool has, const uint8_t mac[static 6], char buf[static 18])
{
	*buf = '\0';
	if (has)
		snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
			mac[4], mac[5]);
}

static void mac_set(
	struct monitor_state *s, struct vfm_watched *f, bool has, const uint8_t mac[static 6])
{
	char before[18], after[18];

	if (!has || (f->has_mac && !memcmp(f->mac, mac, sizeof(f->mac))))
		return;
	mac_text(f->has_mac, f->mac, before);
	mac_text(has, mac, after);
	f->has_mac = true;
	memcpy(f->mac, mac, sizeof(f->mac));
	emit_change(s, VFM_EVENT_MAC, f, f->netdev, before, after);
}

/* What is not reported now is not known to have changed. */
static void settings_set(
	struct monitor_state *s, struct vfm_watched *f, const struct vfm_settings *now)
{
	uint32_t differ = vfm_settings_differ(&f->settings, now, now->set);
	struct vfm_settings old = f->settings;
	char before[VFM_VALUE_MAX], after[VFM_VALUE_MAX];

	vfm_settings_merge(&f->settings, now, now->set);
	/* A PF that has just made VFs may be busy with itself; a dozen lines for each say no more. */
	if (!old.set && now->set) {
		emit_change(s, VFM_EVENT_SETTINGS, f, NULL, NULL, NULL);
		return;
	}
	for (unsigned i = 0; i < VFM_SETTING_COUNT; i++)
		if (differ & 1u << i)
			emit_change(s, VFM_EVENT_SETTING, f, vfm_setting_name(i),
				vfm_setting_format(&old, i, before),
				vfm_setting_format(now, i, after));
}

/* In the order in which the kernel does it: an interface goes before its driver does. */
static void function_set(
	struct monitor_state *s, struct vfm_watched *f, const struct vfm_watched *now)
{
	f->index = now->index >= 0 ? now->index : f->index;
	if (strcmp(f->driver, now->driver) != 0)
		interface_drop(s, f);
	driver_set(s, f, now->driver);
	interface_set(s, f, now->netdev, now->ifindex, now->link, now->has_mac, now->mac);
	vfs_set(s, f, now->num_vfs);
	link_set(s, f, now->link);
	mac_set(s, f, now->has_mac, now->mac);
	settings_set(s, f, &now->settings);
}

static int function_add(struct monitor_state *s, const struct vfm_watched *now)
{
	size_t at = position(s, now->bdf);
	struct vfm_watched bare = {
		.bdf = now->bdf,
		.kind = now->kind,
		.pf = now->pf,
		.index = now->index,
		.settings = now->settings,
	};

	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		void *p = realloc(s->f, cap * sizeof(*s->f));

		if (!p)
			return -ENOMEM;
		s->f = p;
		s->cap = cap;
	}
	memmove(&s->f[at + 1], &s->f[at], (s->n - at) * sizeof(*s->f));
	s->n++;
	s->f[at] = bare;
	emit_change(s, VFM_EVENT_ADD, &s->f[at], NULL, NULL, NULL);
	function_set(s, &s->f[at], now);
	return 0;
}

static void function_remove(struct monitor_state *s, size_t at)
{
	struct vfm_watched f;

	interface_drop(s, &s->f[at]);
	driver_set(s, &s->f[at], "");
	f = s->f[at];
	s->n--;
	memmove(&s->f[at], &s->f[at + 1], (s->n - at) * sizeof(*s->f));
	emit_change(s, VFM_EVENT_REMOVE, &f, NULL, NULL, NULL);
}

static const struct vfm_watched *among(const struct vfm_watched *f, size_t n, struct bdf b)
{
	for (size_t i = 0; i < n; i++)
		if (bdf_equal(f[i].bdf, b))
			return &f[i];
	return NULL;
}

int monitor_family(
	struct monitor_state *s, struct bdf root, const struct vfm_watched *now, size_t n)
{
	int r = 0;

	for (size_t i = s->n; i-- > 0;) {
		const struct vfm_watched *f = &s->f[i], *same;

		if (!in_family(f, root))
			continue;
		/* Another device at the same address, or the same with another role. */
		same = among(now, n, f->bdf);
		if (!same || same->kind != f->kind)
			function_remove(s, i);
	}
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct vfm_watched *f = monitor_find(s, now[i].bdf);

		if (!f)
			r = function_add(s, &now[i]);
		else
			function_set(s, f, &now[i]);
	}
	return r;
}

void monitor_gone(struct monitor_state *s, struct bdf b)
{
	for (size_t i = s->n; i-- > 0;)
		if (in_family(&s->f[i], b))
			function_remove(s, i);
}

/* --- leases --- */

static bool lease_same(const struct vfm_lease *a, const struct vfm_lease *b)
{
	return a->pid == b->pid && a->since == b->since && !strcmp(a->owner, b->owner);
}

static void lease_tell(
	struct monitor_state *s, enum vfm_event_kind kind, const struct vfm_lease *lease)
{
	struct vfm_event ev = {.kind = kind, .has_bdf = true, .bdf = lease->bdf, .lease = lease};

	emit(s, &ev);
}

void monitor_leases(struct monitor_state *s, struct vfm_lease *now, size_t n)
{
	struct vfm_lease *old = s->lease;
	size_t n_old = s->n_leases;

	s->lease = now;
	s->n_leases = n;
	for (size_t i = 0; i < n_old; i++) {
		const struct vfm_lease *l = lease_find(now, n, old[i].bdf);

		if (!l || !lease_same(l, &old[i]))
			lease_tell(s, VFM_EVENT_LEASE_FREED, &old[i]);
		else if (old[i].held && !l->held)
			lease_tell(s, VFM_EVENT_LEASE_STALE, l);
		else if (!old[i].held && l->held)
			lease_tell(s, VFM_EVENT_LEASE_TAKEN, l);
	}
	for (size_t i = 0; i < n; i++) {
		const struct vfm_lease *l = lease_find(old, n_old, now[i].bdf);

		if (!l || !lease_same(l, &now[i])) {
			lease_tell(s, VFM_EVENT_LEASE_TAKEN, &now[i]);
			if (!now[i].held)
				lease_tell(s, VFM_EVENT_LEASE_STALE, &now[i]);
		}
	}
	free(old);
}

/* --- messages --- */

bool monitor_uevent(struct monitor_state *s, const struct uevent *u, struct bdf *ret)
{
	struct vfm_watched *f = monitor_find(s, u->bdf);

	*ret = f && f->kind == VFM_VF ? f->pf : u->bdf;
	if (!f || u->net)
		return true;
	switch (u->action) {
	case UEVENT_REMOVE: monitor_gone(s, u->bdf); break;
	case UEVENT_UNBIND:
		interface_drop(s, f);
		driver_set(s, f, "");
		break;
	case UEVENT_BIND:
		if (*u->driver)
			driver_set(s, f, u->driver);
		break;
	case UEVENT_ADD:
	case UEVENT_OTHER: break;
	}
	return true;
}

bool monitor_link(struct monitor_state *s, const struct link_note *n, struct bdf *ret)
{
	struct vfm_watched *f = monitor_find_ifindex(s, n->ifindex);

	if (!f)
		return false;
	*ret = f->kind == VFM_VF ? f->pf : f->bdf;
	if (n->gone) {
		interface_drop(s, f);
		return true;
	}
	if (*n->name && strcmp(f->netdev, n->name) != 0) {
		struct vfm_watched old = *f;

		interface_set(s, f, n->name, old.ifindex, old.link, old.has_mac, old.mac);
	}
	link_set(s, f, n->link);
	mac_set(s, f, n->has_mac, n->mac);
	return true;
}

void monitor_klog(struct monitor_state *s, const struct klog_record *k,
	const struct vfm_cause *cause, const struct holder *holder)
{
	struct vfm_event ev = {
		.kind = VFM_EVENT_LOG,
		.has_bdf = true,
		.text = k->text,
		.cause = cause,
		.kernel_us = k->us,
	};
	const char *line = k->text;

	if (dma_fault_parse(k->text, &ev.fault)) {
		ev.kind = VFM_EVENT_DMA_FAULT;
		ev.bdf = ev.fault.bdf;
		ev.holder = *holder;
		emit(s, &ev);
		return;
	}
	if (!cause && k->level > LEVEL_WARNING)
		return;
	while (line_next_bdf(&line, &ev.bdf)) {
		if (!monitor_find(s, ev.bdf))
			continue;
		emit(s, &ev);
		return;
	}
}

void monitor_snapshot(struct monitor_state *s, const char *unseen)
{
	struct vfm_watched *f = NULL;
	struct vfm_event ev = {
		.kind = VFM_EVENT_SNAPSHOT,
		.functions = s->f,
		.n_functions = s->n,
		.leases = s->lease,
		.n_leases = s->n_leases,
		.unseen = unseen,
	};

	if (s->has_only) {
		f = calloc(s->n + 1, sizeof(*f));
		ev.functions = f;
		ev.n_functions = 0;
		for (size_t i = 0; f && i < s->n; i++)
			if (wanted(s, s->f[i].bdf, &s->f[i]))
				f[ev.n_functions++] = s->f[i];
	}
	emit(s, &ev);
	free(f);
}

void monitor_lost(struct monitor_state *s, const char *where)
{
	struct vfm_event ev = {.kind = VFM_EVENT_LOST, .name = where};

	emit(s, &ev);
}
