// SPDX-License-Identifier: GPL-2.0-or-later
/* The JSON of `viaduct vf list` and `show`: docs/schema/vf-list.json and vf-show.json. */
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>

#include "cli/json.h"
#include "cli/vf.h"
#include "cli/vf_show.h"
#include "common/cleanup.h"

json_t *function_json(const struct vfm_function *f, const struct vfm_lease *lease)
{
	static const char *const kinds[] = {
		[VFM_OTHER] = "other", [VFM_PF] = "pf", [VFM_VF] = "vf"};
	char bdf[BDF_STRLEN], pf[BDF_STRLEN], mac[18], vendor[5], device[5];
	json_t *holder = f->holder.pid ? json_pack("{s:i, s:s}", "pid", (int)f->holder.pid, "comm",
						 f->holder.comm)
				       : json_null();
	json_t *o;

	mac_text(f, mac);
	snprintf(vendor, sizeof(vendor), "%04x", f->vendor);
	snprintf(device, sizeof(device), "%04x", f->device);
	o = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "bdf",
		bdf_format(f->bdf, bdf), "kind", kinds[f->kind], "vendor", vendor, "device", device,
		"name", json_text(f->name), "driver", json_text(f->driver), "netdev",
		json_text(f->netdev), "mac", json_text(mac), "link", json_text(f->link),
		"iommu_group", json_number(f->iommu_group), "numa_node", json_number(f->numa_node),
		"holder", holder);
	if (!o)
		return NULL;
	json_object_set_new(o, "lease",
		lease ? json_pack("{s:s, s:i, s:I, s:b}", "owner", lease->owner, "pid",
				(int)lease->pid, "since", (json_int_t)lease->since, "held",
				lease->held)
		      : json_null());
	json_object_set_new(o, "taken", json_boolean(f->taken));
	json_object_set_new(
		o, "original_driver", f->taken ? json_text(f->original_driver) : json_null());
	if (f->kind == VFM_PF) {
		json_object_set_new(o, "total_vfs", json_integer(f->total_vfs));
		json_object_set_new(o, "num_vfs", json_integer(f->num_vfs));
		json_object_set_new(o, "autoprobe",
			f->autoprobe < 0 ? json_null() : json_boolean(f->autoprobe));
	} else if (f->kind == VFM_VF) {
		json_object_set_new(o, "pf", json_string(bdf_format(f->pf, pf)));
		json_object_set_new(o, "index", json_number(f->index));
	}
	return o;
}

static json_t *tri_json(enum vfm_tri t)
{
	return t == VFM_UNKNOWN ? json_null() : json_boolean(t == VFM_YES);
}

static json_t *acs_bits_json(unsigned bits)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {{PCI_ACS_SV, "source-validation"}, {PCI_ACS_TB, "translation-blocking"},
		{PCI_ACS_RR, "request-redirect"}, {PCI_ACS_CR, "completion-redirect"},
		{PCI_ACS_UF, "upstream-forwarding"}, {PCI_ACS_EC, "egress-control"},
		{PCI_ACS_DT, "direct-translated"}};
	json_t *all = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (bits & names[i].bit)
			json_array_append_new(all, json_string(names[i].name));
	return all;
}

static json_t *words_json(const char *text)
{
	json_t *all = json_array();

	while (*text) {
		size_t n = strcspn(text, " ");

		if (n)
			json_array_append_new(all, json_stringn(text, n));
		text += n + strspn(text + n, " ");
	}
	return all;
}

static json_t *sriov_json(const struct vfm_caps *c)
{
	char device[5];

	if (c->sriov != VFM_YES)
		return tri_json(c->sriov);
	snprintf(device, sizeof(device), "%04x", c->vf_device);
	return json_pack("{s:i, s:i, s:o, s:o, s:o, s:o}", "total_vfs", (int)c->total_vfs,
		"initial_vfs", (int)c->initial_vfs, "offset",
		json_number(c->vf_offset ? c->vf_offset : -1), "stride",
		json_number(c->vf_offset ? c->vf_stride : -1), "device",
		json_text(c->vf_device ? device : ""), "ari_hierarchy",
		c->extended_seen ? json_boolean(c->vf_ari_hierarchy) : json_null());
}

static json_t *caps_json(const struct vfm_caps *c)
{
	static const char *const ports[] = {
		[VFM_PORT_ENDPOINT] = "endpoint",
		[VFM_PORT_ROOT] = "root-port",
		[VFM_PORT_UPSTREAM] = "upstream-port",
		[VFM_PORT_DOWNSTREAM] = "downstream-port",
		[VFM_PORT_TO_PCI] = "bridge-to-pci",
		[VFM_PORT_FROM_PCI] = "bridge-from-pci",
		[VFM_PORT_INTEGRATED] = "integrated",
		[VFM_PORT_CONVENTIONAL] = "conventional",
		[VFM_PORT_UNKNOWN] = "",
	};
	json_t *acs = c->acs == VFM_YES ? json_pack("{s:o, s:o}", "able", acs_bits_json(c->acs_cap),
						  "enabled", acs_bits_json(c->acs_ctl))
					: tri_json(c->acs);

	return json_pack("{s:b, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:o, s:o}",
		"extended_seen", c->extended_seen, "port", json_text(ports[c->port]), "bridge",
		c->bridge, "multifunction", c->multifunction, "sriov", sriov_json(c), "ari",
		tri_json(c->ari), "ari_forwarding", tri_json(c->ari_forwarding), "acs", acs, "flr",
		tri_json(c->flr), "reset_methods", words_json(c->resets), "msi", (int)c->msi,
		"msix", (int)c->msix, "vf_total_msix", json_number(c->vf_total_msix),
		"vf_msix_count", json_number(c->vf_msix_count));
}

json_t *group_members_json(const struct vfm_group *g)
{
	json_t *members = json_array();

	for (size_t i = 0; i < g->n; i++) {
		const struct vfm_member *m = &g->member[i];

		json_array_append_new(members,
			json_pack("{s:s, s:o, s:b, s:b}", "name", m->name, "driver",
				json_text(m->driver), "bridge", m->bridge, "blocks", m->blocks));
	}
	return members;
}

static json_t *group_json(const struct vfm_group *g)
{
	if (!g)
		return json_null();
	return json_pack("{s:i, s:o, s:b, s:o}", "number", g->number, "type", json_text(g->type),
		"rmrr", g->rmrr, "members", group_members_json(g));
}

/* Addresses of all VFs that it could have, by index; null when the device does not tell. */
static json_t *predicted_json(const struct shown *s)
{
	json_t *all = json_array();
	char name[BDF_STRLEN];

	for (unsigned i = 0; i < s->f.total_vfs; i++) {
		struct bdf b;

		if (!s->has_caps || vfm_caps_vf(&s->caps, s->f.bdf, i, &b) < 0) {
			json_decref(all);
			return json_null();
		}
		json_array_append_new(all, json_string(bdf_format(b, name)));
	}
	return all;
}

/* By VF; rates in bytes/s, as devlink has them. */
static json_t *ports_json(const struct shown *s)
{
	json_t *all;

	if (!s->port)
		return json_null();
	all = json_array();
	for (unsigned i = 0; i < s->f.num_vfs; i++) {
		const struct vfm_port *p = &s->port[i];
		const uint8_t *m = p->mac;
		char mac[18] = "";

		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
			m[4], m[5]);
		json_array_append_new(all,
			p->there ? json_pack("{s:i, s:I, s:o, s:o, s:o}", "vf", (int)i, "port",
					   (json_int_t)p->index, "hw_addr",
					   p->has_mac ? json_string(mac) : json_null(), "tx_share",
					   p->has_rate ? json_integer((json_int_t)p->tx_share)
						       : json_null(),
					   "tx_max",
					   p->has_rate ? json_integer((json_int_t)p->tx_max)
						       : json_null())
				 : json_null());
	}
	return all;
}

static json_t *status_json(const struct shown *s)
{
	json_t *o = function_json(&s->f, s->lease);

	json_object_set_new(o, "capabilities", s->has_caps ? caps_json(&s->caps) : json_null());
	json_object_set_new(o, "group", group_json(s->group));
	if (s->n_selectors > 0) {
		json_t *all = json_array();

		for (int i = 0; i < s->n_selectors; i++)
			json_array_append_new(all, json_string(s->selectors[i]));
		json_object_set_new(o, "selectors", all);
		/* The one that outlives renumbering comes last. */
		if (!strncmp(s->selectors[s->n_selectors - 1], "path=", 5))
			json_object_set_new(
				o, "path", json_string(s->selectors[s->n_selectors - 1]));
	}
	if (s->f.kind == VFM_PF) {
		json_object_set_new(o, "eswitch",
			s->eswitch < 0 ? json_null() : json_string(vfm_eswitch_name(s->eswitch)));
		json_object_set_new(o, "ports", ports_json(s));
		json_object_set_new(o, "predicted_vfs", predicted_json(s));
	}
	return o;
}

/* As the file wants it: numbers and switches are such, the rest is words. */
static json_t *setting_json(const struct vfm_settings *s, enum vfm_setting setting)
{
	char value[VFM_VALUE_MAX];

	switch (setting) {
	case VFM_SET_VLAN: return json_integer(s->vlan);
	case VFM_SET_QOS: return json_integer(s->qos);
	case VFM_SET_MIN_RATE: return json_integer(s->min_rate);
	case VFM_SET_MAX_RATE: return json_integer(s->max_rate);
	case VFM_SET_SPOOFCHK: return json_boolean(s->spoofchk);
	case VFM_SET_RSS_QUERY: return json_boolean(s->rss_query);
	case VFM_SET_TRUST: return json_boolean(s->trust);
	case VFM_SET_MAC:
	case VFM_SET_PROTO:
	case VFM_SET_LINK_STATE:
	case VFM_SET_NODE_GUID:
	case VFM_SET_PORT_GUID:
	case VFM_SETTING_COUNT: break;
	}
	return json_string(vfm_setting_format(s, setting, value));
}

static json_t *vf_json(const struct shown *s)
{
	json_t *o = json_object();

	json_object_set_new(o, "index", json_integer(s->f.index));
	for (unsigned i = 0; i < VFM_SETTING_COUNT; i++) {
		/* Without a VLAN there is no tag that they could be about. */
		if (!(s->settings.set & 1u << i) ||
			(!s->settings.vlan && (1u << i & (VFM_BIT(QOS) | VFM_BIT(PROTO)))))
			continue;
		json_object_set_new(o, vfm_setting_name(i), setting_json(&s->settings, i));
	}
	if (strcmp(s->f.driver, "?"))
		json_object_set_new(o, "driver", json_string(*s->f.driver ? s->f.driver : "none"));
	json_object_set_new(o, "status", status_json(s));
	return o;
}

static json_t *pf_json(const struct shown_pf *pf)
{
	const struct shown *s = &pf->fn[0];
	json_t *o = json_object(), *vfs = json_array();
	char name[BDF_STRLEN];

	json_object_set_new(o, "pf", json_string(bdf_format(s->f.bdf, name)));
	if (pf->whole) {
		json_object_set_new(o, "num-vfs", json_integer(s->f.num_vfs));
		if (s->f.autoprobe >= 0)
			json_object_set_new(o, "autoprobe", json_boolean(s->f.autoprobe));
		if (s->eswitch >= 0)
			json_object_set_new(
				o, "eswitch", json_string(vfm_eswitch_name(s->eswitch)));
		if (*s->pool)
			json_object_set_new(o, "pool", json_string(s->pool));
	}
	for (size_t i = 1; i < pf->n; i++)
		json_array_append_new(vfs, vf_json(&pf->fn[i]));
	json_object_set_new(o, "vfs", vfs);
	json_object_set_new(o, "status", status_json(s));
	return o;
}

json_t *shown_json(const struct shown_pf *pf, size_t n, const struct shown *other, size_t n_other)
{
	json_t *pfs = json_array(), *others = json_array(), *top;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(pfs, pf_json(&pf[i]));
	for (size_t i = 0; i < n_other; i++)
		json_array_append_new(others, status_json(&other[i]));
	top = json_pack("{s:o}", "pfs", pfs);
	if (n_other)
		json_object_set_new(top, "status", json_pack("{s:o}", "functions", others));
	else
		json_decref(others);
	return top;
}
