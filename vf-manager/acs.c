// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/acs.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"

#define VENDOR_INTEL 0x8086
#define CLASS_BRIDGE 0x06 /* base class: PCI Code and ID Assignment 1.11 §1.7 */
/* Linux's REQ_ACS_FLAGS, drivers/iommu/iommu.c. */
#define ACS_WANTED (PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF)

const char *acs_port_name(enum vfm_port_type port)
{
	static const char *const names[] = {
		[VFM_PORT_ENDPOINT] = "endpoint",
		[VFM_PORT_ROOT] = "root port",
		[VFM_PORT_UPSTREAM] = "switch upstream port",
		[VFM_PORT_DOWNSTREAM] = "switch downstream port",
		[VFM_PORT_TO_PCI] = "PCI Express to PCI bridge",
		[VFM_PORT_FROM_PCI] = "PCI to PCI Express bridge",
		[VFM_PORT_INTEGRATED] = "root complex integrated endpoint",
		[VFM_PORT_CONVENTIONAL] = "conventional PCI",
		[VFM_PORT_UNKNOWN] = "unknown kind",
	};

	return names[port];
}

static void flags_format(uint16_t flags, char *buf, size_t size)
{
	static const struct {
		uint16_t bit;
		const char *name;
	} t[] = {{PCI_ACS_SV, "SV"}, {PCI_ACS_RR, "RR"}, {PCI_ACS_CR, "CR"}, {PCI_ACS_UF, "UF"}};
	size_t n = 0;

	*buf = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(t) && n < size; i++) {
		if (flags & t[i].bit)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? " " : "", t[i].name);
	}
}

__attribute__((format(printf, 3, 4))) static void step_set(
	struct acs_step *s, enum acs_state state, const char *fmt, ...)
{
	va_list ap;

	s->state = state;
	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
}

/* By the registers alone: PCIe 5.0 §7.7.8. */
static void flags_rule(const struct vfm_caps *c, struct acs_step *s)
{
	uint16_t absent = ACS_WANTED & ~c->acs_cap;
	char text[16];

	if (c->acs == VFM_UNKNOWN) {
		step_set(s, ACS_UNKNOWN, "does not show its config space (run as root)");
		return;
	}
	if (c->acs == VFM_NO) {
		s->off = ACS_WANTED;
		step_set(s, ACS_OPEN, "has no ACS");
		return;
	}
	s->has_cap = true;
	s->off = ACS_WANTED & c->acs_cap & ~c->acs_ctl;
	if (s->off) {
		flags_format(s->off, text, sizeof(text));
		step_set(s, ACS_OPEN, "does not have ACS %s on", text);
		return;
	}
	/*
	 * §6.12.1.1: a port of a switch offers all four; a root port SV, and the others only if it
	 * could turn requests to other ports at all.
	 */
	if (c->port == VFM_PORT_ROOT)
		absent &= PCI_ACS_SV;
	else if (c->port != VFM_PORT_DOWNSTREAM)
		absent = 0;
	flags_format(absent, text, sizeof(text));
	if (absent)
		step_set(s, ACS_DOUBT, "does not offer ACS %s, which Linux takes for built in",
			text);
	else
		step_set(s, ACS_KEEPS, "has ACS on");
}

static void function_rule(
	const struct vfm_caps *c, uint16_t vendor, bool siblings, struct acs_step *s)
{
	if (!siblings)
		step_set(s, ACS_KEEPS, "is alone in its device");
	else if (c->port == VFM_PORT_UNKNOWN)
		step_set(s, ACS_UNKNOWN,
			"does not show its config space, and its device has other functions (run "
			"as root)");
	else if (c->port == VFM_PORT_CONVENTIONAL || c->port == VFM_PORT_TO_PCI ||
		 c->port == VFM_PORT_FROM_PCI)
		step_set(s, ACS_OPEN, "is a conventional PCI device of several functions");
	else if (c->port == VFM_PORT_INTEGRATED && vendor == VENDOR_INTEL)
		/* VT-d 3.1 §3.16 wants it of Intel's root complexes. */
		step_set(s, ACS_KEEPS, "is in Intel's root complex, which sends requests up");
	else
		flags_rule(c, s);
	if (s->state == ACS_OPEN && c->acs == VFM_NO && s->off)
		step_set(s, ACS_OPEN, "has no ACS, and its device has other functions");
}

void acs_rule(const struct vfm_caps *c, uint16_t vendor, bool through, bool siblings,
	struct acs_step *ret)
{
	struct acs_step s = {.bdf = ret->bdf, .port = c->port};

	if (!through) {
		function_rule(c, vendor, siblings, &s);
		*ret = s;
		return;
	}
	switch (c->port) {
	case VFM_PORT_UNKNOWN:
		step_set(&s, ACS_UNKNOWN, "does not show its config space (run as root)");
		break;
	case VFM_PORT_ROOT:
	case VFM_PORT_DOWNSTREAM: flags_rule(c, &s); break;
	case VFM_PORT_UPSTREAM:
		if (c->multifunction || siblings)
			flags_rule(c, &s);
		else
			step_set(&s, ACS_KEEPS, "is alone in its device");
		break;
	case VFM_PORT_TO_PCI:
	case VFM_PORT_FROM_PCI:
	case VFM_PORT_CONVENTIONAL:
		step_set(&s, ACS_OPEN, "makes all functions behind it look like one");
		break;
	case VFM_PORT_ENDPOINT:
	case VFM_PORT_INTEGRATED:
		/* Intel VMD: a root bus behind an endpoint, whose address its requests carry. */
		step_set(&s, ACS_OPEN, "makes all functions behind it look like one");
		break;
	}
	*ret = s;
}

/* Another function of the same device, a VF not counted: Linux compares slots, also with ARI. */
static bool has_siblings(struct vfm *v, struct bdf b)
{
	for (uint8_t fn = 0; fn < 8; fn++) {
		struct bdf other = {b.domain, b.bus, b.dev, fn};
		char path[PATH_MAX];

		if (fn != b.fn &&
			sysfs_exists(&v->sys, sysfs_pci_path(other, "", path, sizeof(path))) &&
			!sysfs_exists(&v->sys, sysfs_pci_path(other, "physfn", path, sizeof(path))))
			return true;
	}
	return false;
}

static bool path_add(struct acs_path *p, struct bdf b)
{
	if (p->n == ACS_STEPS_MAX)
		return false;
	p->step[p->n++].bdf = b;
	return true;
}

/*
 * From the link in /sys/bus/pci/devices: ".../pci0000:00/0000:00:1c.0/0000:02:00.0". 1: found, 0: it
 * does not tell, -errno.
 */
static int path_from_link(struct vfm *v, struct bdf b, struct acs_path *p)
{
	char path[PATH_MAX], target[PATH_MAX], *save = NULL;
	bool root_seen = false;
	struct bdf at;
	ssize_t len;

	len = readlinkat(v->sys.root_fd, sysfs_pci_path(b, "", path, sizeof(path)), target,
		sizeof(target) - 1);
	if (len < 0)
		return errno == EINVAL ? 0 : -errno;
	target[len] = '\0';
	for (char *s = strtok_r(target, "/", &save); s; s = strtok_r(NULL, "/", &save)) {
		if (!strncmp(s, "pci", 3) && strchr(s, ':'))
			root_seen = true;
		else if (bdf_parse(s, &at) == 0 && !path_add(p, at))
			return 0;
	}
	return root_seen && p->n && bdf_equal(p->step[p->n - 1].bdf, b);
}

struct bridge {
	struct bdf bdf;
	uint8_t secondary, subordinate;
};

static int bridge_cmp(const void *a, const void *b)
{
	const struct bridge *x = a, *y = b;

	return (int)(y->subordinate - y->secondary) - (int)(x->subordinate - x->secondary);
}

static bool may_be_bridge(struct vfm *v, struct bdf b)
{
	uint64_t class;

	return dev_read_u64(v, b, "class", &class) < 0 || class >> 16 == CLASS_BRIDGE;
}

static bool bus_is_root(struct vfm *v, struct bdf b)
{
	char path[64];

	snprintf(path, sizeof(path), "sys/devices/pci%04" PRIx32 ":%02x", b.domain, b.bus);
	return b.bus == 0 || sysfs_exists(&v->sys, path);
}

/*
 * A tree without links: the bridges above are those whose range of buses has ours, the widest
 * first. 0 when one of the domain's functions does not show its header.
 */
static int path_from_buses(struct vfm *v, struct bdf b, struct acs_path *p)
{
	_cleanup_free_ struct bridge *above = NULL;
	_cleanup_free_ struct bdf *all = NULL;
	int n = functions_list(v, &all), found = 0;

	if (n < 0)
		return n;
	above = calloc((size_t)n + 1, sizeof(*above));
	if (!above)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		uint8_t c[PCI_STD_HEADER_SIZEOF];
		char path[PATH_MAX];

		if (all[i].domain != b.domain || bdf_equal(all[i], b) ||
			sysfs_exists(&v->sys, sysfs_pci_path(all[i], "physfn", path, sizeof(path))))
			continue;
		if (sysfs_read_bytes(&v->sys, sysfs_pci_path(all[i], "config", path, sizeof(path)),
			    c, sizeof(c)) < (int)sizeof(c)) {
			if (may_be_bridge(v, all[i]))
				return 0;
			continue;
		}
		if ((c[PCI_HEADER_TYPE] & 0x7f) == PCI_HEADER_TYPE_BRIDGE && c[PCI_SECONDARY_BUS] &&
			b.bus >= c[PCI_SECONDARY_BUS] && b.bus <= c[PCI_SUBORDINATE_BUS])
			above[found++] = (struct bridge){
				all[i], c[PCI_SECONDARY_BUS], c[PCI_SUBORDINATE_BUS]};
	}
	/* Nothing above it is either a root bus or a tree with holes. */
	if (!found && !bus_is_root(v, b))
		return 0;
	qsort(above, (size_t)found, sizeof(*above), bridge_cmp);
	for (int i = 0; i < found; i++) {
		if (!path_add(p, above[i].bdf))
			return 0;
	}
	return path_add(p, b);
}

int acs_path_read(struct vfm *v, struct bdf b, struct acs_path *ret, struct err *e)
{
	char path[PATH_MAX], name[BDF_STRLEN];
	struct acs_path p = {0};
	int r;

	bdf_format(b, name);
	r = path_from_link(v, b, &p);
	if (r == 0) {
		p.n = 0;
		r = path_from_buses(v, b, &p);
	}
	if (r == -ENOENT)
		return err_set(
			e, ENODEV, "%s: no such PCI function ('viaduct vf list' shows them)", name);
	if (r < 0)
		return err_sys(e, -r, "%s: find the ports above it", name);
	p.known = r > 0;
	if (!p.known)
		p.n = 0;
	for (size_t i = 0; i < p.n; i++) {
		struct acs_step *s = &p.step[i];
		bool through = i + 1 < p.n;
		struct vfm_caps caps;
		uint64_t vendor;

		if (vfm_caps(v, s->bdf, &caps, NULL) < 0)
			vfm_caps_decode(NULL, 0, &caps);
		if (dev_read_u64(v, s->bdf, "vendor", &vendor) < 0)
			vendor = 0;
		/* What VFs of one PF can do to each other is not a matter of the path. */
		acs_rule(&caps, (uint16_t)vendor, through,
			(through || !sysfs_exists(&v->sys, sysfs_pci_path(s->bdf, "physfn", path,
								   sizeof(path)))) &&
				has_siblings(v, s->bdf),
			s);
	}
	*ret = p;
	return 0;
}
