// SPDX-License-Identifier: GPL-2.0-or-later
/* "guest": what a running guest is and has. */
#include "cli/run_info.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/run_irqs.h"
#include "irqremap/vtd.h"

static json_t *link_name(const struct sysfs *s, struct bdf b, const char *link)
{
	char path[PATH_MAX], name[NAME_MAX + 1];
	json_t *text = NULL;

	if (sysfs_link_name(s, sysfs_pci_path(b, link, path, sizeof(path)), name, sizeof(name)) > 0)
		text = json_string(name);
	return text ? text : json_null();
}

static json_t *group_number(const struct sysfs *s, struct bdf b)
{
	json_t *name = link_name(s, b, "iommu_group"), *number = json_null();
	int n;

	if (json_is_string(name) && sscanf(json_string_value(name), "%d", &n) == 1)
		number = json_integer(n);
	json_decref(name);
	return number;
}

static const char *state_name(enum assigned_state s)
{
	switch (s) {
	case ASSIGNED_PRESENT: return "present";
	case ASSIGNED_ISOLATED: return "isolated";
	case ASSIGNED_DETACHED: return "detached";
	}
	return NULL;
}

static json_t *assigned_json(const struct guest *g)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < g->opt->n_assign; i++) {
		char host[BDF_STRLEN], guest[BDF_STRLEN];
		struct bdf b;
		json_t *o;

		if (!g->assigned[i])
			continue;
		b = assigned_bdf(g->assigned[i]);
		o = json_object();
		info_put_text(
			o, "guest_bdf", info_guest_bdf(assigned_devfn(g->assigned[i]), guest));
		info_put_text(o, "bdf", bdf_format(b, host));
		info_put_text(o, "state", state_name(assigned_state(g->assigned[i])));
		json_object_set_new(o, "driver", link_name(&g->sysfs, b, "driver"));
		json_object_set_new(o, "iommu_group", group_number(&g->sysfs, b));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *net_json(const struct guest *g)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < g->opt->n_net; i++) {
		char guest[BDF_STRLEN];
		json_t *o;

		if (!g->net[i] && !g->e1000[i])
			continue;
		o = json_object();
		info_put_text(o, "guest_bdf",
			info_guest_bdf(g->net[i] ? vnet_devfn(g->net[i]) : e1000_devfn(g->e1000[i]),
				guest));
		info_put_text(o, "model", g->net[i] ? "virtio" : "e1000");
		info_put_text(o, "kind", net_kind_name(&g->opt->net[i]));
		info_put_text(o, "name", g->opt->net[i].arg);
		json_array_append_new(list, o);
	}
	return list;
}

json_t *info_remap_json(const struct guest *g)
{
	struct vtd_stats s;
	json_t *o;

	if (!g->vm->vtd)
		return json_null();
	vtd_stats(g->vm->vtd, &s);
	o = json_object();
	json_object_set_new(o, "enabled", json_boolean(s.enabled));
	json_object_set_new(o, "x2apic", json_boolean(s.extended));
	info_put(o, "faults", s.faults);
	return o;
}

json_t *info_host_json(struct guest *g)
{
	const struct vfm_remapping *r = guest_host_irqs(g, NULL);
	json_t *o;

	if (!r)
		return json_null();
	o = json_object();
	json_object_set_new(o, "interrupt_remapping", json_string(vfm_remapping_name(r->on)));
	json_object_set_new(o, "evidence", json_string(r->finding.text));
	json_object_set_new(o, "source", json_string(r->finding.source));
	json_object_set_new(o, "unsafe_interrupts",
		json_boolean(g->opt->unsafe_interrupts && r->on != VFM_YES));
	return o;
}

static json_t *control_json(const struct control *c)
{
	struct control_stats s = {0};
	json_t *o = json_object();

	if (c)
		control_stats(c, &s);
	info_put(o, "connections", s.connections);
	info_put(o, "requests", s.requests);
	info_put(o, "refused", s.refused);
	info_put(o, "displaced", s.displaced);
	return o;
}

static void guest_method(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const struct run_info *info = ctx;
	struct guest *g = info->guest;
	json_t *o = json_object();

	info_put_text(o, "name", g->opt->name);
	info_put(o, "pid", (uint64_t)getpid());
	info_put(o, "cpus", g->vm->cpus);
	info_put(o, "memory", g->opt->memory);
	info_put(o, "uptime", (uint64_t)((run_now() - g->t.start) / 1000000000));
	info_put(o, "reboots", g->reboots);
	json_object_set_new(o, "host", info_host_json(g));
	json_object_set_new(o, "remap", info_remap_json(g));
	json_object_set_new(o, "assigned", assigned_json(g));
	json_object_set_new(o, "net", net_json(g));
	json_object_set_new(o, "control", control_json(info->control));
	a->result = o;
}

static void irqs_method(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const struct run_info *info = ctx;
	json_t *o = run_irqs_json(info->guest);

	info_put_text(o, "name", info->guest->opt->name);
	json_object_set_new(o, "remap", info_remap_json(info->guest));
	a->result = o;
}

const struct rpc_method run_info_methods[] = {
	{"guest", guest_method, {NULL}},
	{"irqs", irqs_method, {NULL}},
	{NULL},
};
