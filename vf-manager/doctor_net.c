// SPDX-License-Identifier: GPL-2.0-or-later
/* A PF as a network interface: what a carve would cut off, its link, what its driver can set. */
#include "vf-manager/doctor_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/routes.h"

#define CLASS_NETWORK 0x02 /* PCI Code and ID Assignment 1.11 §1.3 */

static bool is_network(const struct vfm_function *f)
{
	return f->class >> 16 == CLASS_NETWORK;
}

/* ---- what a carve would cut off ---- */

static void pf_safety_run(struct doctor *d)
{
	char route[128], text[448] = "";
	struct iface_stack s;
	unsigned ssh;
	size_t n;
	bool seen;

	if (!*d->f->netdev) {
		doctor_say(
			d, VFM_PASS, "it has no network interface here that a carve could cut off");
		return;
	}
	iface_stack_read(d->v, d->f->netdev, &s);
	routes_default(d->v, &s, route, sizeof(route));
	ssh = routes_ssh(d->v, &s, &seen);
	if (*route)
		snprintf(text, sizeof(text), "%s", route);
	n = strlen(text);
	if (ssh)
		snprintf(text + n, sizeof(text) - n, "%s%u SSH session%s", n ? ", " : "", ssh,
			ssh == 1 ? "" : "s");
	n = strlen(text);
	if (d->use && d->use->uses & (VFM_USE_ADDRESS | VFM_USE_MASTER | VFM_USE_CHILD))
		snprintf(text + n, sizeof(text) - n, "%s%s", n ? "; " : "", d->use->text);
	if (*text) {
		doctor_say(d, VFM_WARN, "%s carries %s%s", d->f->netdev, text,
			strcmp(d->f->driver, "igb")
				? "; a carve may take its link away for a moment"
				: "; igb closes and reopens it for each carve, without a link for "
				  "a "
				  "second or two");
		doctor_fix(
			d, ssh ? "carve from the console, or with a script that cannot be cut off"
			       : "carve before it is used, or when a pause does no harm");
	} else if (!seen) {
		doctor_say(d, VFM_SKIP, "sessions and routes cannot be read (/proc/net)");
	} else {
		doctor_say(d, VFM_PASS,
			"%s carries no route, session or address that a carve could "
			"cut off",
			d->f->netdev);
	}
}

const struct doctor_check doctor_pf_safety = {
	.id = "pf-safety",
	.title = "a carve cuts nobody off",
	.scope = DOCTOR_DEVICE,
	.kinds = KIND_PF,
	.run = pf_safety_run,
};

/* ---- link ---- */

static void pf_link_run(struct doctor *d)
{
	const struct vfm_function *f = d->f;

	if (!*f->netdev && !is_network(f)) {
		doctor_say(d, VFM_SKIP, "it is no network card");
	} else if (!*f->netdev) {
		doctor_say(d, VFM_WARN, "a network card without an interface here: %s",
			*f->driver ? "it is in another network namespace, or its driver makes none"
				   : "it has no driver");
		doctor_fix(d,
			"bring it back (ip netns), or bind its driver: its VFs are set through "
			"that interface");
	} else if (!f->admin_up) {
		doctor_say(d, VFM_WARN,
			"%s is down: some drivers (bnxt) do not carve then, and VFs do not hear of "
			"what they are given",
			f->netdev);
		doctor_fix(d, "ip link set %s up (viaduct vf carve does it)", f->netdev);
	} else {
		if (function_carrier(d->v, f) == 1) {
			doctor_say(d, VFM_PASS, "%s is up and has a link", f->netdev);
			return;
		}
		doctor_say(d, VFM_WARN,
			"%s is up without a link: the 82576 takes no rate limit then, and VFs "
			"reach "
			"each other only",
			f->netdev);
		doctor_fix(d, "plug the cable in, or look at the switch");
	}
}

const struct doctor_check doctor_pf_link = {
	.id = "pf-link",
	.title = "its interface is up and has a link",
	.scope = DOCTOR_DEVICE,
	.kinds = KIND_PF,
	.run = pf_link_run,
};

/* ---- what its driver can set ---- */

/* What one message sets; a rate and a VLAN are each set as a whole. */
static const struct {
	uint32_t bits;
	const char *name;
} attribute_groups[] = {
	{VFM_BIT(MAC), "mac"},
	{VFM_VLAN_BITS, "vlan"},
	{VFM_RATE_BITS, "rate"},
	{VFM_BIT(SPOOFCHK), "spoofchk"},
	{VFM_BIT(LINK_STATE), "link-state"},
	{VFM_BIT(RSS_QUERY), "rss-query"},
	{VFM_BIT(TRUST), "trust"},
	{VFM_BIT(NODE_GUID), "node-guid"},
	{VFM_BIT(PORT_GUID), "port-guid"},
};

enum answer { ANSWER_YES, ANSWER_NO, ANSWER_UNKNOWN, ANSWERS };

/* Give the VF what it has. A value that is not reported cannot be given back. */
static enum answer attribute_probe(
	struct doctor *d, unsigned vf, const struct vfm_settings *have, uint32_t group)
{
	int r;

	if (!(have->set & group))
		return ANSWER_UNKNOWN;
	r = link_set_vf(d->v, d->f->ifindex, vf, have, group, NULL);
	if (r == 0)
		return ANSWER_YES;
	return r == -EOPNOTSUPP ? ANSWER_NO : ANSWER_UNKNOWN;
}

/* The first VF of the PF that nobody uses; -1 when there is none. */
static int idle_vf(const struct doctor *d)
{
	for (size_t i = 0; d->usage && i < d->n; i++) {
		if (d->all[i].kind == VFM_VF && bdf_equal(d->all[i].pf, d->f->bdf) &&
			d->all[i].index >= 0 && !d->usage[i].uses)
			return d->all[i].index;
	}
	return -1;
}

static void attributes_probe(struct doctor *d, unsigned vf, struct vfm_settings *all)
{
	static const char *const heads[ANSWERS] = {
		[ANSWER_YES] = "can set", [ANSWER_NO] = "cannot set", [ANSWER_UNKNOWN] = "unknown"};
	char list[ANSWERS][160] = {"", "", ""}, text[512] = "";

	for (size_t i = 0; i < ARRAY_SIZE(attribute_groups); i++) {
		char *to = list[attribute_probe(d, vf, &all[vf], attribute_groups[i].bits)];
		size_t n = strlen(to);

		snprintf(to + n, sizeof(list[0]) - n, "%s%s", n ? ", " : "",
			attribute_groups[i].name);
	}
	for (size_t i = 0; i < ANSWERS; i++) {
		size_t n = strlen(text);

		if (*list[i])
			snprintf(text + n, sizeof(text) - n, "%s%s %s", n ? "; " : "", heads[i],
				list[i]);
	}
	doctor_say(d, VFM_PASS, "%s %s", d->f->driver, text);
}

static void attributes_run(struct doctor *d)
{
	_cleanup_free_ struct vfm_settings *all = NULL;
	struct err e = {0};
	int vf = idle_vf(d), r;

	if (!*d->f->netdev) {
		doctor_say(d, VFM_SKIP, "it has no interface through which its VFs are set");
	} else if (!d->cfg->probe) {
		doctor_say(d, VFM_SKIP,
			"what its driver can set is found out by setting what is set "
			"already");
		doctor_fix(d, "viaduct doctor --probe");
	} else if (!d->f->num_vfs) {
		doctor_say(d, VFM_SKIP, "it has no VF to ask with");
		doctor_fix(d, "carve one first");
	} else if (vf < 0) {
		doctor_say(
			d, VFM_SKIP, "each of its VFs is in use, and a running one is not touched");
	} else {
		all = calloc((size_t)vf + 1, sizeof(*all));
		r = all ? link_get_vfs(d->v, d->f->ifindex, all, (size_t)vf + 1, &e) : -ENOMEM;
		if (r < 0)
			doctor_say(d, VFM_SKIP, "what its VFs have cannot be read: %s",
				all ? e.text : strerror(ENOMEM));
		else
			attributes_probe(d, (unsigned)vf, all);
	}
}

const struct doctor_check doctor_attributes = {
	.id = "attributes",
	.title = "what its driver can set of a VF",
	.scope = DOCTOR_DEVICE,
	.kinds = KIND_PF,
	.run = attributes_run,
};
