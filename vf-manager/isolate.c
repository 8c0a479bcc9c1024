// SPDX-License-Identifier: GPL-2.0-or-later
/* What holds for one function. */
#include "vf-manager/isolate.h"

#include <errno.h>
#include <inttypes.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/dmafault.h"
#include "vf-manager/acs.h"
#include "vf-manager/group.h"
#include "vf-manager/hostfacts.h"
#include "vf-manager/internal.h"

#define GROUPS       "/sys/kernel/iommu_groups"
#define REGIONS_MAX  65536
#define CLASS_BRIDGE 0x06 /* base class: PCI Code and ID Assignment 1.11 §1.7 */
#define NAMES_MAX    200  /* bytes of text for names of functions */

struct subject {
	struct vfm_function f;
	char name[BDF_STRLEN];
	struct vfm_group *group; /* NULL: none */
	int group_code;          /* why */
	struct err group_err;
	size_t others; /* members that are neither it nor a bridge */
	char source[64];
	char label[64]; /* "group 3 (DMA-FQ)" */
};

static void cleanup_subject(struct subject *s)
{
	free(s->group);
}

#define _cleanup_subject_ _cleanup_(cleanup_subject)

static void prove(struct vfm_finding *f)
{
	if (f)
		f->proof = true;
}

static void contain(struct vfm_finding *f)
{
	if (f)
		f->contained = true;
}

static bool member_is(const struct vfm_member *m, struct bdf b)
{
	return m->pci && bdf_equal(m->bdf, b);
}

static bool group_has(const struct vfm_group *g, struct bdf b)
{
	for (size_t i = 0; g && i < g->n; i++) {
		if (member_is(&g->member[i], b))
			return true;
	}
	return false;
}

/* Append to a list of names that ends in "..." when it is full. */
__attribute__((format(printf, 2, 3))) static void names_add(
	char buf[NAMES_MAX], const char *fmt, ...)
{
	size_t n = strlen(buf);
	char one[160];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(one, sizeof(one), fmt, ap);
	va_end(ap);
	if (n >= 3 && !strcmp(buf + n - 3, "..."))
		return;
	if (n + (size_t)len + 8 > NAMES_MAX)
		snprintf(buf + n, NAMES_MAX - n, ", ...");
	else
		snprintf(buf + n, NAMES_MAX - n, "%s%s", n ? ", " : "", one);
}

/* No group, or one that proves nothing. False: it is a group like others. */
static bool groupless_find(const struct subject *s, struct vfm_findings *to)
{
	if (!s->group && s->group_code == -ENOENT)
		vfm_finding_add(to, "group-viable", VFM_FAIL, s->source,
			"switch on VT-d or AMD-Vi in the firmware; on Intel start the kernel with "
			"intel_iommu=on",
			"%s is in no IOMMU group: nothing would keep its DMA in bounds", s->name);
	else if (!s->group)
		prove(vfm_finding_add(to, "group-viable", VFM_SKIP, s->source, NULL, "unknown: %s",
			s->group_err.text));
	else if (s->group->no_iommu)
		vfm_finding_add(to, "group-viable", VFM_FAIL, s->source,
			"switch the IOMMU on; release the function and load vfio without "
			"enable_unsafe_noiommu_mode",
			"%s is in VFIO's no-IOMMU mode (group %d): nothing keeps its DMA in bounds",
			s->name, s->group->number);
	else
		return false;
	return true;
}

static void viable_find(struct vfm *v, const struct subject *s, struct vfm_findings *to)
{
	unsigned release = release_read(v), n = 0;
	/* Kernels before did not ask for a bridge's driver. */
	bool bridges_pass = release && release < RELEASE(5, 19);
	bool hosts = *s->f.driver && !vfm_driver_manages_no_dma(s->f.driver);
	char names[NAMES_MAX] = "", remedy[256];
	const struct vfm_member *first = NULL;

	if (groupless_find(s, to))
		return;
	for (size_t i = 0; i < s->group->n; i++) {
		const struct vfm_member *m = &s->group->member[i];

		if (!m->blocks || member_is(m, s->f.bdf) || (m->bridge && bridges_pass))
			continue;
		first = first ? first : m;
		n++;
		names_add(names, "%s (%s%s)", m->name, m->driver, m->bridge ? ", a bridge" : "");
	}
	if (!n) {
		vfm_finding_add(to, "group-viable", VFM_PASS, s->source, NULL,
			"%s: no other function of it is with a driver of the host%s%s%s", s->label,
			hosts ? "; this one is with " : "", hosts ? s->f.driver : "",
			hosts ? ", which bind changes" : "");
		return;
	}
	snprintf(remedy, sizeof(remedy),
		first->bridge ? "unbind %s from its driver"
			      : "bind %s to vfio-pci too (viaduct vf bind --whole), or move the "
				"device to another slot",
		first->name);
	vfm_finding_add(to, "group-viable", VFM_FAIL, s->source, remedy,
		"%s cannot be given to a guest: %s %s", s->label, names,
		n == 1 ? "does DMA of its own" : "do DMA of their own");
}

static void shared_find(const struct subject *s, struct vfm_findings *to)
{
	char names[NAMES_MAX] = "";

	if (!s->group)
		return;
	for (size_t i = 0; i < s->group->n; i++) {
		const struct vfm_member *m = &s->group->member[i];

		if (!m->bridge && !member_is(m, s->f.bdf))
			names_add(names, "%s (%s)", m->name, *m->driver ? m->driver : "no driver");
	}
	if (s->others)
		contain(vfm_finding_add(to, "group-shared", VFM_WARN, s->source,
			"give them all to the same guest, or leave the others without a driver",
			"%zu other function%s in group %d can reach it, and it them: %s", s->others,
			s->others == 1 ? "" : "s", s->group->number, names));
	else
		vfm_finding_add(to, "group-shared", VFM_PASS, s->source, NULL,
			"it has group %d for itself", s->group->number);
}

static void pf_vf_find(struct vfm *v, const struct subject *s, struct vfm_findings *to)
{
	char names[NAMES_MAX] = "", pf[BDF_STRLEN];
	unsigned n = 0;

	if (!s->group || s->f.kind == VFM_OTHER)
		return;
	if (s->f.kind == VFM_VF) {
		bool shared = group_has(s->group, s->f.pf);

		bdf_format(s->f.pf, pf);
		vfm_finding_add(to, "pf-vf-group", shared ? VFM_FAIL : VFM_PASS, s->source,
			"use a slot whose port has ACS, or a newer platform",
			shared ? "it shares group %d with its PF %s, which it can reach by DMA"
			       : "it is not in the group of its PF (group %d is not that of %s)",
			s->group->number, pf);
		return;
	}
	for (size_t i = 0; i < s->group->n; i++) {
		const struct vfm_member *m = &s->group->member[i];
		struct vfm_function f;

		if (m->pci && function_read(v, m->bdf, &f) == 0 && f.kind == VFM_VF &&
			bdf_equal(f.pf, s->f.bdf)) {
			n++;
			names_add(names, "%s", m->name);
		}
	}
	if (n)
		vfm_finding_add(to, "pf-vf-group", VFM_FAIL, s->source,
			"use a slot whose port has ACS, or a newer platform",
			"it shares group %d with %u VF%s of its own: %s", s->group->number, n,
			n == 1 ? "" : "s", names);
	else
		vfm_finding_add(to, "pf-vf-group", VFM_PASS, s->source, NULL,
			"none of its VFs is in its group %d", s->group->number);
}

/* Intel's 100, 200 and 7th and 8th mobile series have ACS registers of twice the size. */
static bool acs_is_odd(struct vfm *v, struct bdf b)
{
	static const struct {
		uint16_t first, last;
	} ids[] = {{0xa110, 0xa11f}, {0xa167, 0xa16a}, {0xa290, 0xa29f}, {0xa2e7, 0xa2ee},
		{0x9d10, 0x9d1b}};
	uint64_t vendor, device;

	if (dev_read_u64(v, b, "vendor", &vendor) < 0 || vendor != 0x8086 ||
		dev_read_u64(v, b, "device", &device) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		if (device >= ids[i].first && device <= ids[i].last)
			return true;
	}
	return false;
}

/* Does the group own up to what is open at @step, that is, hold what could be reached? */
static bool group_accounts(const struct subject *s, const struct acs_step *step)
{
	if (!bdf_equal(step->bdf, s->f.bdf))
		return group_has(s->group, step->bdf);
	for (size_t i = 0; i < s->group->n; i++) {
		const struct vfm_member *m = &s->group->member[i];

		if (m->pci && !member_is(m, s->f.bdf) && m->bdf.domain == s->f.bdf.domain &&
			m->bdf.bus == s->f.bdf.bus && m->bdf.dev == s->f.bdf.dev)
			return true;
	}
	return false;
}

struct path_result {
	enum vfm_status status;
	bool outside;         /* a step is open to what the function's group does not hold */
	char open[NAMES_MAX]; /* steps and what is wrong with them */
	const char *meaning, *remedy;
};

static void result_set(
	struct path_result *r, enum vfm_status status, const char *meaning, const char *remedy)
{
	if (status <= r->status)
		return;
	r->status = status;
	r->meaning = meaning;
	r->remedy = remedy;
}

/* What an open step means depends on whether the groups, which were made of it, show it. */
static void step_judge(struct vfm *v, const struct subject *s, const struct acs_step *step,
	bool override, struct path_result *r)
{
	static const char slot[] =
		"switch on ACS in the firmware, or use a slot whose ports have it";

	switch (step->state) {
	case ACS_KEEPS: return;
	case ACS_DOUBT:
		r->outside = true;
		result_set(r, VFM_WARN, "", slot);
		return;
	case ACS_UNKNOWN:
		result_set(r, VFM_SKIP, "", "run as root: config space is hidden from others");
		return;
	case ACS_OPEN: break;
	}
	r->outside |= !s->group || !group_accounts(s, step);
	if (!s->group && s->group_code != -ENOENT)
		result_set(r, VFM_WARN, "", slot);
	else if (!s->group)
		result_set(r, VFM_WARN, "; Linux switches ACS on only with an IOMMU in use",
			"switch the IOMMU on");
	else if (group_accounts(s, step))
		result_set(r, VFM_WARN,
			"; its IOMMU group holds what can reach it: all of that goes together",
			slot);
	else if (override)
		result_set(r, VFM_FAIL,
			"; the IOMMU groups hide it, as pcie_acs_override tells the kernel to",
			"take pcie_acs_override off the kernel's command line");
	else if (step->has_cap && !acs_is_odd(v, step->bdf))
		result_set(r, VFM_FAIL,
			"; the IOMMU groups do not show it, so it was switched off after boot",
			"reboot, and find what writes to the port's ACS control register");
	else
		result_set(r, VFM_WARN,
			"; the kernel counts it as separate all the same: it knows the device "
			"(a quirk), or was patched",
			slot);
}

static void path_open_find(const struct path_result *r, const char *source, struct vfm_findings *to)
{
	struct vfm_finding *f = vfm_finding_add(to, "acs-path", r->status, source, r->remedy,
		"%s%s%s", r->status == VFM_SKIP ? "unknown: " : "", r->open, r->meaning);

	prove(f);
	if (f)
		f->contained = r->status == VFM_WARN && !r->outside;
}

static void path_find(struct vfm *v, const struct subject *s, struct vfm_findings *to)
{
	static const char source[] = "/sys/bus/pci/devices/*/config";
	struct path_result r = {.status = VFM_PASS, .meaning = ""};
	struct cmdline_facts cmdline;
	struct acs_path path;
	char name[BDF_STRLEN];
	bool override;

	override = cmdline_read(v, &cmdline) == 0 && cmdline.acs_override;
	if (acs_path_read(v, s->f.bdf, &path, NULL) < 0 || !path.known) {
		prove(vfm_finding_add(to, "acs-path", VFM_SKIP, source, NULL,
			"unknown: sysfs does not tell which ports are above it"));
		return;
	}
	for (size_t i = 0; i < path.n; i++) {
		const struct acs_step *step = &path.step[i];

		if (step->state == ACS_KEEPS)
			continue;
		names_add(r.open, "%s (%s) %s", bdf_format(step->bdf, name),
			acs_port_name(step->port), step->why);
		step_judge(v, s, step, override, &r);
	}
	if (r.status == VFM_PASS && path.n == 1)
		vfm_finding_add(to, "acs-path", VFM_PASS, source, NULL,
			"it is on the root bus and %s: no port is above it", path.step[0].why);
	else if (r.status == VFM_PASS)
		vfm_finding_add(to, "acs-path", VFM_PASS, source, NULL,
			"nothing turns aside at the %zu port%s above it, up to %s", path.n - 1,
			path.n == 2 ? "" : "s", bdf_format(path.step[0].bdf, name));
	else
		path_open_find(&r, source, to);
}

static void regions_find(struct vfm *v, const struct subject *s, struct vfm_findings *to)
{
	_cleanup_free_ char *text = malloc(REGIONS_MAX);
	char path[PATH_MAX], source[96];
	struct vfm_regions g;

	if (!s->group || s->group->no_iommu)
		return;
	snprintf(source, sizeof(source), GROUPS "/%d/reserved_regions", s->group->number);
	snprintf(path, sizeof(path), "%s", source + 1);
	if (!text || sysfs_read(&v->sys, path, text, REGIONS_MAX) < 0 ||
		vfm_regions_parse(text, &g) < 0) {
		prove(vfm_finding_add(to, "reserved-regions", VFM_SKIP, source, NULL,
			"unknown: the reserved regions of group %d cannot be read",
			s->group->number));
		return;
	}
	if (g.direct)
		vfm_finding_add(to, "reserved-regions", VFM_FAIL, source,
			"switch off in the firmware what uses the device (RMRR: management, "
			"shared memory), or use another slot",
			"firmware keeps 0x%" PRIx64 "-0x%" PRIx64 "%s mapped for group %d (RMRR), "
			"so the kernel does not give it away",
			g.direct_start, g.direct_end, g.direct > 1 ? " and more" : "",
			s->group->number);
	else if (g.msi)
		vfm_finding_add(to, "reserved-regions", VFM_PASS, source, NULL,
			"no RMRR%s; interrupts are at 0x%" PRIx64 "-0x%" PRIx64
			", where a guest has no memory",
			g.relaxable ? " but one that ends with the host's driver" : "", g.msi_start,
			g.msi_end);
	else
		vfm_finding_add(to, "reserved-regions", VFM_PASS, source, NULL, "no RMRR%s",
			g.relaxable ? " but one that ends with the host's driver" : "");
}

static void token_find(struct vfm *v, const struct subject *s, struct vfm_findings *to)
{
	const char *driver = s->f.driver;
	char name[BDF_STRLEN];
	struct vfm_function pf;
	unsigned release;
	bool cdev;

	if (s->f.kind == VFM_PF && vfm_driver_manages_no_dma(driver) && strstr(driver, "vfio"))
		vfm_finding_add(to, "vf-token", VFM_WARN, "/sys/bus/pci/devices/*/driver",
			"give VFs only to those who trust whoever has the PF",
			"it is a PF with %s: its user sets the token that guards its VFs, and can "
			"see and change what they do",
			driver);
	if (s->f.kind != VFM_VF)
		return;
	bdf_format(s->f.pf, name);
	if (function_read(v, s->f.pf, &pf) < 0) {
		vfm_finding_add(to, "vf-token", VFM_SKIP, "/sys/bus/pci/devices/*/physfn", NULL,
			"its PF %s cannot be read", name);
		return;
	}
	if (!vfm_driver_manages_no_dma(pf.driver) || !strstr(pf.driver, "vfio")) {
		vfm_finding_add(to, "vf-token", VFM_PASS, "/sys/bus/pci/devices/*/driver", NULL,
			"its PF %s is with %s, so no token guards it", name,
			*pf.driver ? pf.driver : "no driver");
		return;
	}
	release = release_read(v);
	cdev = *s->f.vfio_cdev != '\0';
	vfm_finding_add(to, "vf-token", VFM_WARN,
		"/sys/bus/pci/devices/*/driver, /proc/sys/kernel/osrelease",
		release < RELEASE(6, 17)
			? "use it through its group, or a kernel from 6.17 on; keep "
			  "/dev/vfio/devices closed to others; trust whoever has the PF"
			: "give its user the token, and only if he trusts whoever has the PF",
		"its PF %s is with %s: a token guards it, which cannot be read back, and the PF's "
		"user can see and change what it does%s%s%s",
		name, pf.driver,
		release < RELEASE(6, 17)
			? "; kernels before 6.17 open it without the token through "
			  "/dev/vfio/devices/"
			: "",
		release >= RELEASE(6, 17) ? ""
		: cdev                    ? s->f.vfio_cdev
					  : "vfio*",
		release ? "" : " (the kernel's release is unknown)");
}

static void peer_find(const struct subject *s, struct vfm_findings *to)
{
	char name[BDF_STRLEN];

	if (s->f.kind == VFM_VF)
		vfm_finding_add(to, "peer-to-peer", VFM_PASS, NULL, NULL,
			"frames between VFs of %s are passed on inside it, where no IOMMU sees "
			"them; a VLAN of its own and spoofchk keep a VF apart",
			bdf_format(s->f.pf, name));
}

struct faults {
	struct bdf bdf;
	unsigned n;
	struct dma_fault last;
};

static void fault_line(void *arg, const char *text)
{
	struct faults *f = arg;
	struct dma_fault one;

	/* VT-d prints no domain. */
	if (!dma_fault_parse(text, &one) || bdf_rid(one.bdf) != bdf_rid(f->bdf) ||
		(one.bdf.domain && one.bdf.domain != f->bdf.domain))
		return;
	f->n++;
	f->last = one;
}

static void fault_find(struct vfm *v, const struct subject *s, struct vfm_findings *to)
{
	static const char source[] = "/dev/kmsg";
	struct faults f = {.bdf = s->f.bdf};
	int r = klog_walk(v, fault_line, &f);

	if (r < 0)
		vfm_finding_add(to, "dma-fault", VFM_SKIP, source,
			r == -EPERM || r == -EACCES ? "run as root" : NULL,
			"the kernel log cannot be read: %s", strerror(-r));
	else if (f.n)
		vfm_finding_add(to, "dma-fault", VFM_WARN, source,
			"if it is not an old one: stop what uses the function, and reset it",
			"the kernel log has %u DMA fault%s of it, the last a %s at 0x%" PRIx64, f.n,
			f.n == 1 ? "" : "s",
			f.last.interrupt ? "blocked interrupt"
			: f.last.write   ? "write"
					 : "read",
			f.last.iova);
	else
		vfm_finding_add(to, "dma-fault", VFM_PASS, source, NULL,
			"the kernel log has no DMA fault of it");
}

static int isolate(struct vfm *v, struct bdf b, bool all, struct vfm_findings *to, struct err *e)
{
	_cleanup_subject_ struct subject s = {0};
	uint64_t class;

	bdf_format(b, s.name);
	if (function_read(v, b, &s.f) < 0)
		return err_set(e, ENODEV, "%s: no such PCI function ('viaduct vf list' shows them)",
			s.name);
	if (dev_read_u64(v, b, "class", &class) == 0 && class >> 16 == CLASS_BRIDGE)
		return err_set(e, ENOTSUP,
			"%s: a bridge cannot be given to a guest; ask about a function behind it",
			s.name);
	s.group_code = vfm_group(v, b, &s.group, &s.group_err);
	if (s.group_code == -ENODEV || s.group_code == -ENOMEM)
		return err_set(e, -s.group_code, "%s", s.group_err.text);
	if (s.group) {
		snprintf(s.source, sizeof(s.source), GROUPS "/%d", s.group->number);
		snprintf(s.label, sizeof(s.label), "group %d%s%s%s", s.group->number,
			*s.group->type ? " (" : "", s.group->type, *s.group->type ? ")" : "");
	} else {
		snprintf(s.source, sizeof(s.source), "/sys/bus/pci/devices/*/iommu_group");
	}
	for (size_t i = 0; s.group && i < s.group->n; i++) {
		const struct vfm_member *m = &s.group->member[i];

		s.others += !m->bridge && !member_is(m, b);
	}
	viable_find(v, &s, to);
	shared_find(&s, to);
	pf_vf_find(v, &s, to);
	path_find(v, &s, to);
	regions_find(v, &s, to);
	token_find(v, &s, to);
	if (!all)
		return 0;
	peer_find(&s, to);
	fault_find(v, &s, to);
	return 0;
}

int vfm_isolate_function(struct vfm *v, struct bdf b, struct vfm_findings *to, struct err *e)
{
	return isolate(v, b, true, to, e);
}

int vfm_isolate_assign(struct vfm *v, struct bdf b, struct vfm_findings *to, struct err *e)
{
	return isolate(v, b, false, to, e);
}
