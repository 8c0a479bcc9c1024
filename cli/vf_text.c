// SPDX-License-Identifier: GPL-2.0-or-later
/* What `viaduct vf show` tells people. */
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/table.h"
#include "cli/vf_show.h"
#include "common/cleanup.h"

void mac_text(const struct vfm_function *f, char buf[static 18])
{
	static const uint8_t zero[6];

	*buf = '\0';
	if (f->has_mac && memcmp(f->mac, zero, 6))
		snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x", f->mac[0], f->mac[1], f->mac[2],
			f->mac[3], f->mac[4], f->mac[5]);
}

const struct vfm_lease *lease_of(const struct vfm_lease *l, int n, struct bdf b)
{
	for (int i = 0; i < n; i++)
		if (bdf_equal(l[i].bdf, b))
			return &l[i];
	return NULL;
}

const char *lease_text(const struct vfm_lease *l, char buf[static VFM_LEASE_WHO_MAX + 8])
{
	char who[VFM_LEASE_WHO_MAX] = "";

	snprintf(buf, VFM_LEASE_WHO_MAX + 8, "%s%s", l && !l->held ? "stale: " : "",
		l ? vfm_lease_who(l, who) : "");
	return buf;
}

static void line(const char *name, const char *text)
{
	printf("%-16s%s\n", name, *text ? text : "-");
}

#define LINE(name, ...)                                      \
	do {                                                 \
		char text_[512];                             \
                                                             \
		snprintf(text_, sizeof(text_), __VA_ARGS__); \
		line(name, text_);                           \
	} while (0)

static const char *tri_text(enum vfm_tri t)
{
	switch (t) {
	case VFM_NO: return "no";
	case VFM_YES: return "yes";
	case VFM_UNKNOWN: break;
	}
	return geteuid() ? "not seen (run as root)" : "not seen";
}

static void acs_line(const struct vfm_caps *c)
{
	static const struct {
		unsigned bit;
		const char *name;
	} bits[] = {{PCI_ACS_SV, "source validation"}, {PCI_ACS_TB, "translation blocking"},
		{PCI_ACS_RR, "request redirect"}, {PCI_ACS_CR, "completion redirect"},
		{PCI_ACS_UF, "upstream forwarding"}, {PCI_ACS_EC, "egress control"},
		{PCI_ACS_DT, "direct translated"}};
	char text[400] = "";
	size_t n = 0;

	if (c->acs != VFM_YES) {
		line("ACS", tri_text(c->acs));
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++)
		if (c->acs_cap & bits[i].bit)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%s", n ? ", " : "",
				bits[i].name, c->acs_ctl & bits[i].bit ? "" : " (off)");
	line("ACS", n ? text : "yes, but it controls nothing");
}

static void sriov_lines(const struct shown *s)
{
	const struct vfm_caps *c = &s->caps;
	char first[BDF_STRLEN], last[BDF_STRLEN];
	struct bdf a, b;

	if (c->sriov != VFM_YES) {
		line("SR-IOV", tri_text(c->sriov));
		return;
	}
	if (c->vf_offset)
		LINE("SR-IOV", "%u VFs, offset %u, stride %u, device %04x%s", c->total_vfs,
			c->vf_offset, c->vf_stride, c->vf_device,
			c->vf_ari_hierarchy ? ", ARI hierarchy" : "");
	else
		LINE("SR-IOV", "%u VFs", c->total_vfs);
	if (!s->f.total_vfs)
		return;
	if (vfm_caps_vf(c, s->f.bdf, 0, &a) < 0 ||
		vfm_caps_vf(c, s->f.bdf, s->f.total_vfs - 1, &b) < 0)
		line("VF addresses", "not to be told: no offset and stride, or beyond bus ff");
	else if (s->f.total_vfs == 1)
		line("VF addresses", bdf_format(a, first));
	else
		LINE("VF addresses", "%s to %s", bdf_format(a, first), bdf_format(b, last));
}

static void caps_lines(const struct shown *s)
{
	const struct vfm_caps *c = &s->caps;

	if (s->f.kind != VFM_VF)
		sriov_lines(s);
	line("ARI", tri_text(c->ari));
	if (c->port == VFM_PORT_ROOT || c->port == VFM_PORT_DOWNSTREAM)
		line("ARI forwarding", tri_text(c->ari_forwarding));
	acs_line(c);
	line("FLR", tri_text(c->flr));
	line("reset methods", c->resets);
	LINE("MSI", "%u", c->msi);
	LINE("MSI-X", "%u", c->msix);
	if (c->vf_total_msix >= 0)
		LINE("MSI-X of VFs", "%d to share among them", c->vf_total_msix);
	if (c->vf_msix_count >= 0)
		LINE("MSI-X set", "%d", c->vf_msix_count);
}

static void group_lines(const struct shown *s)
{
	if (!s->group) {
		line("IOMMU group", "");
		return;
	}
	LINE("IOMMU group", "%d%s%s%s", s->group->number, *s->group->type ? ", " : "",
		s->group->type, s->group->rmrr ? ", firmware maps memory for it (RMRR)" : "");
	for (size_t i = 0; i < s->group->n; i++) {
		const struct vfm_member *m = &s->group->member[i];

		printf("%-16s%s %s%s%s\n", i ? "" : "  with", m->name,
			*m->driver ? m->driver : "no driver", m->bridge ? ", bridge" : "",
			m->blocks ? ", keeps the group from guests" : "");
	}
}

static void settings_lines(const struct shown *s)
{
	char value[VFM_VALUE_MAX];

	for (unsigned i = 0; i < VFM_SETTING_COUNT; i++)
		line(vfm_setting_name(i), s->settings.set & 1u << i
						  ? vfm_setting_format(&s->settings, i, value)
						  : "not reported");
}

void shown_print(const struct shown *s)
{
	const struct vfm_function *f = &s->f;
	char bdf[BDF_STRLEN], mac[18], who[VFM_LEASE_WHO_MAX + 8];

	printf("%s%s %s%s\n", colour_wanted() ? "\033[1m" : "", bdf_format(f->bdf, bdf),
		*f->name ? f->name : "", colour_wanted() ? "\033[0m" : "");
	LINE("device", "%04x:%04x, class %06x", f->vendor, f->device, f->class);
	if (f->kind == VFM_PF)
		LINE("kind", "PF %u/%u", f->num_vfs, f->total_vfs);
	else if (f->kind == VFM_VF)
		LINE("kind", "VF %d", f->index);
	if (f->kind == VFM_PF && f->autoprobe >= 0)
		line("autoprobe", f->autoprobe ? "on" : "off");
	if (s->eswitch >= 0)
		line("eswitch", vfm_eswitch_name(s->eswitch));
	line("driver", f->driver);
	line("interface", f->netdev);
	mac_text(f, mac);
	if (f->kind != VFM_VF)
		line("mac", mac);
	line("link", f->link);
	for (int i = 1; i < s->n_selectors; i++)
		if (strcmp(s->selectors[i], f->netdev))
			line("also named", s->selectors[i]);
	group_lines(s);
	if (f->numa_node >= 0)
		LINE("NUMA node", "%d", f->numa_node);
	else
		line("NUMA node", "");
	if (f->holder.pid)
		LINE("used by", "%s[%d]", f->holder.comm, (int)f->holder.pid);
	else
		line("used by", "");
	line("lease", lease_text(s->lease, who));
	if (f->taken)
		line("driver before", *f->original_driver ? f->original_driver : "none");
	if (f->kind == VFM_VF)
		line("PF", bdf_format(f->pf, bdf));
	if (s->has_caps)
		caps_lines(s);
	if (f->kind == VFM_VF)
		settings_lines(s);
}

void vfs_print(const struct shown *vf, size_t n)
{
	enum { VF, BDF, DRIVER, NETDEV, GROUP, USE, LEASE, FIXED };
	const char *heads[FIXED + VFM_SETTING_COUNT] = {
		"VF", "ADDRESS", "DRIVER", "NETDEV", "GROUP", "USED BY", "LEASE"};
	char text[BDF_STRLEN], value[VFM_VALUE_MAX], who[VFM_LEASE_WHO_MAX + 8];
	struct table t;

	_Static_assert(FIXED + VFM_SET_NODE_GUID <= TABLE_COLUMNS_MAX, "columns");
	/* InfiniBand's are in the JSON. */
	for (unsigned i = 0; i < VFM_SET_NODE_GUID; i++)
		heads[FIXED + i] = vfm_setting_name(i);
	table_init(&t, heads, FIXED + VFM_SET_NODE_GUID);
	for (size_t i = 0; i < n; i++) {
		const struct vfm_function *f = &vf[i].f;

		table_row(&t, f->holder.pid ? TABLE_NOTED : TABLE_PLAIN);
		table_set(&t, VF, "%d", f->index);
		table_set(&t, BDF, "%s", bdf_format(f->bdf, text));
		table_set(&t, DRIVER, "%s", f->driver);
		table_set(&t, NETDEV, "%s", f->netdev);
		if (f->iommu_group >= 0)
			table_set(&t, GROUP, "%d", f->iommu_group);
		if (f->holder.pid)
			table_set(&t, USE, "%s[%d]", f->holder.comm, (int)f->holder.pid);
		table_set(&t, LEASE, "%s", lease_text(vf[i].lease, who));
		for (unsigned c = 0; c < VFM_SET_NODE_GUID; c++)
			if (vf[i].settings.set & 1u << c)
				table_set(&t, FIXED + c, "%s",
					vfm_setting_format(&vf[i].settings, c, value));
	}
	table_print(&t, true);
	table_finish(&t);
}
