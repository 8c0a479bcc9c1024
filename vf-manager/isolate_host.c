// SPDX-License-Identifier: GPL-2.0-or-later
/* What holds for every function of a host. */
#include "vf-manager/isolate.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"
#include "vf-manager/remapping_priv.h"

#define GROUPS "sys/kernel/iommu_groups"

static const char fix_iommu[] =
	"switch on VT-d or AMD-Vi in the firmware; on Intel start the kernel with intel_iommu=on";

/* Everything read once, as later findings depend on earlier ones. */
struct host {
	struct remap_facts facts;
	int groups, no_iommu_groups; /* -1: cannot be listed */
	char no_iommu_group[16];     /* one of them */
	enum vfm_tri remapping;
};

const char *vfm_status_name(enum vfm_status status)
{
	static const char *const names[] = {
		[VFM_PASS] = "PASS", [VFM_SKIP] = "SKIP", [VFM_WARN] = "WARN", [VFM_FAIL] = "FAIL"};

	return names[status];
}

enum vfm_status vfm_findings_verdict(const struct vfm_findings *f)
{
	enum vfm_status worst = VFM_PASS;

	for (size_t i = 0; i < f->n; i++) {
		enum vfm_status s = f->finding[i].status;

		if (s == VFM_SKIP)
			s = f->finding[i].proof ? VFM_WARN : VFM_PASS;
		if (s > worst)
			worst = s;
	}
	return worst;
}

struct vfm_finding *vfm_finding_add(struct vfm_findings *to, const char *id, enum vfm_status status,
	const char *source, const char *remedy, const char *fmt, ...)
{
	struct vfm_finding *f;
	va_list ap;

	if (to->n == VFM_FINDINGS_MAX)
		return NULL;
	f = &to->finding[to->n++];
	*f = (struct vfm_finding){.id = id, .status = status};
	snprintf(f->source, sizeof(f->source), "%s", source ? source : "");
	if (status == VFM_SKIP && !remedy)
		snprintf(f->remedy, sizeof(f->remedy), "run as root, with %s to be read",
			*f->source ? f->source : "sysfs");
	else
		snprintf(f->remedy, sizeof(f->remedy), "%s",
			remedy && status != VFM_PASS ? remedy : "");
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return f;
}

static void prove(struct vfm_finding *f)
{
	if (f)
		f->proof = true;
}

static void groups_read(struct vfm *v, struct host *h)
{
	_cleanup_names_ char **names = NULL;

	h->groups = sysfs_list(&v->sys, GROUPS, &names);
	if (h->groups < 0) {
		/* A kernel without IOMMUs may lack the directory, but not all of sysfs. */
		h->groups = h->groups == -ENOENT && sysfs_exists(&v->sys, "sys/bus") ? 0 : -1;
		return;
	}
	for (char **n = names; *n; n++) {
		char path[PATH_MAX], name[32];

		snprintf(path, sizeof(path), GROUPS "/%s/name", *n);
		if (sysfs_read(&v->sys, path, name, sizeof(name)) < 0 ||
			strcmp(name, "vfio-noiommu"))
			continue;
		h->no_iommu_groups++;
		copy_printable(h->no_iommu_group, sizeof(h->no_iommu_group), *n);
	}
}

static bool iommu_in_use(const struct host *h)
{
	return h->groups > h->no_iommu_groups;
}

static void iommu_find(const struct host *h, struct vfm_findings *to)
{
	static const char source[] = "/sys/class/iommu, /" GROUPS;

	if (h->groups < 0)
		prove(vfm_finding_add(to, "iommu", VFM_SKIP, source, "mount sysfs on /sys",
			"IOMMU groups cannot be listed, so it is unknown whether there is an "
			"IOMMU"));
	else if (iommu_in_use(h))
		vfm_finding_add(to, "iommu", VFM_PASS, source, NULL,
			"the kernel uses an IOMMU: %d groups of devices, %u unit%s",
			h->groups - h->no_iommu_groups, h->facts.units,
			h->facts.units == 1 ? "" : "s");
	else
		vfm_finding_add(to, "iommu", VFM_FAIL, source,
			*h->facts.cmdline.iommu_off ? "take that word off the kernel's command line"
						    : fix_iommu,
			"%s%s%s: nothing keeps a device from the host's memory",
			h->facts.units
				? "there is an IOMMU that the kernel does not use for devices"
				: "no IOMMU is in use",
			*h->facts.cmdline.iommu_off ? ", as its command line says " : "",
			h->facts.cmdline.iommu_off);
}

static void options_find(const struct host *h, struct vfm_findings *to)
{
	static const char source[] = "/proc/cmdline";
	const struct cmdline_facts *c = &h->facts.cmdline;

	if (!h->facts.cmdline_seen)
		vfm_finding_add(to, "iommu-options", VFM_SKIP, source, "mount proc on /proc",
			"the kernel's command line cannot be read");
	else if (*c->iommu_off)
		vfm_finding_add(to, "iommu-options", iommu_in_use(h) ? VFM_WARN : VFM_FAIL, source,
			"take the word off the kernel's command line",
			"%s switches the IOMMU off%s", c->iommu_off,
			iommu_in_use(h) ? ", yet there are IOMMU groups" : "");
	else if (*c->acs_by_hand)
		vfm_finding_add(to, "iommu-options", VFM_WARN, source,
			"take the word off the kernel's command line, or check acs-path of each "
			"function as root",
			"pci=%s changes ACS of some ports by hand", c->acs_by_hand);
	else if (c->passthrough)
		vfm_finding_add(to, "iommu-options", VFM_PASS, source, NULL,
			"iommu=pt: the host's own devices are not translated; those of guests "
			"are");
	else
		vfm_finding_add(to, "iommu-options", VFM_PASS, source, NULL,
			"no word on the kernel's command line weakens the IOMMU");
}

static void no_iommu_find(struct vfm *v, const struct host *h, struct vfm_findings *to)
{
	static const char source[] =
		"/sys/module/vfio/parameters/enable_unsafe_noiommu_mode, /" GROUPS "/*/name";
	static const char fix[] =
		"load vfio without enable_unsafe_noiommu_mode, and release what it has";
	bool loaded;
	enum vfm_tri on = switch_read(
		v, "vfio", "enable_unsafe_noiommu_mode", h->facts.cmdline.unsafe_noiommu, &loaded);

	/* Kernels that cannot do it do not have the switch. */
	if (loaded &&
		!sysfs_exists(&v->sys, "sys/module/vfio/parameters/enable_unsafe_noiommu_mode"))
		on = VFM_NO;

	if (h->no_iommu_groups > 0)
		vfm_finding_add(to, "no-iommu", VFM_FAIL, source, fix,
			"VFIO gives out %d function%s without an IOMMU (group %s): nothing keeps "
			"their DMA in bounds",
			h->no_iommu_groups, h->no_iommu_groups == 1 ? "" : "s", h->no_iommu_group);
	else if (on == VFM_YES)
		vfm_finding_add(to, "no-iommu", iommu_in_use(h) ? VFM_WARN : VFM_FAIL, source, fix,
			"VFIO's no-IOMMU mode is on%s: functions without an IOMMU group can be "
			"given away with nothing to keep their DMA in bounds",
			loaded ? "" : " once its module is loaded");
	else if (on == VFM_NO)
		vfm_finding_add(
			to, "no-iommu", VFM_PASS, source, NULL, "VFIO's no-IOMMU mode is off");
	else
		vfm_finding_add(to, "no-iommu", VFM_SKIP, source,
			loaded ? NULL : "'modprobe vfio' shows it",
			loaded ? "VFIO's switch for no-IOMMU mode cannot be read"
			       : "vfio is not loaded, so its switch for no-IOMMU mode is unknown");
}

static void unsafe_find(struct vfm *v, const struct host *h, struct vfm_findings *to)
{
	static const char name[] = VFM_UNSAFE_INTERRUPTS;
	static const char source[] =
		"/sys/module/{vfio_iommu_type1,iommufd}/parameters/allow_unsafe_interrupts";
	bool loaded[2];
	enum vfm_tri type1 = switch_read(v, "vfio_iommu_type1", name,
			     h->facts.cmdline.unsafe_interrupts, &loaded[0]),
		     fd = switch_read(v, "iommufd", name,
			     h->facts.cmdline.unsafe_interrupts_iommufd, &loaded[1]);
	const char *module = type1 == VFM_YES ? "vfio_iommu_type1" : "iommufd";

	if (type1 == VFM_YES || fd == VFM_YES)
		vfm_finding_add(to, "unsafe-interrupts",
			h->remapping == VFM_YES ? VFM_WARN : VFM_FAIL, source,
			"set allow_unsafe_interrupts to N, also in /etc/modprobe.d and on the "
			"kernel's command line",
			"%s.%s is on: functions are given away %s", module, name,
			h->remapping == VFM_YES
				? "even where interrupts are not remapped, which they are here"
				: "though their interrupts may not be remapped");
	else if ((loaded[0] && type1 == VFM_UNKNOWN) || (loaded[1] && fd == VFM_UNKNOWN))
		vfm_finding_add(
			to, "unsafe-interrupts", VFM_SKIP, source, NULL, "%s cannot be read", name);
	else if (!loaded[0] && !loaded[1])
		vfm_finding_add(to, "unsafe-interrupts", VFM_SKIP, source,
			"'modprobe vfio_iommu_type1' shows it",
			"neither vfio_iommu_type1 nor iommufd is loaded, so their switch is "
			"unknown");
	else
		vfm_finding_add(to, "unsafe-interrupts", VFM_PASS, source, NULL,
			"%s is off: VFIO gives nothing away whose interrupts are not remapped",
			name);
}

static void override_find(const struct host *h, struct vfm_findings *to)
{
	static const char source[] = "/proc/cmdline, /dev/kmsg";

	if (h->facts.cmdline.acs_override || h->facts.acs_warned)
		vfm_finding_add(to, "acs-override", VFM_WARN, source,
			"take pcie_acs_override off the kernel's command line; believe acs-path, "
			"not the groups",
			"pcie_acs_override%s%s is given: IOMMU groups are not proof, as the kernel "
			"takes ports for separate that may not be",
			*h->facts.cmdline.acs_override_value ? "=" : "",
			h->facts.cmdline.acs_override_value);
	else if (!h->facts.cmdline_seen)
		vfm_finding_add(to, "acs-override", VFM_SKIP, source, "mount proc on /proc",
			"the kernel's command line cannot be read");
	else
		vfm_finding_add(to, "acs-override", VFM_PASS, source, NULL,
			"no pcie_acs_override: IOMMU groups are as the hardware has them");
}

int vfm_isolate_host(struct vfm *v, struct vfm_findings *to, struct err *e)
{
	_cleanup_free_ struct host *h = calloc(1, sizeof(*h));

	if (!h)
		return err_sys(e, ENOMEM, "look at the IOMMU");
	remap_facts_read(v, &h->facts);
	groups_read(v, h);
	iommu_find(h, to);
	options_find(h, to);
	no_iommu_find(v, h, to);
	h->remapping = remapping_find(&h->facts, to);
	unsafe_find(v, h, to);
	override_find(h, to);
	return 0;
}
