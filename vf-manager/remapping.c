// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/remapping.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"
#include "vf-manager/remapping_priv.h"

#define INTERRUPTS_MAX ((size_t)8 << 20) /* 512 processors with a thousand interrupts */
#define ECAP_IR        (1u << 3)         /* VT-d 4.0 §11.4.3 */

/* The number of IOMMUs, and what Intel's say they can do. */
static void units_read(struct vfm *v, struct remap_facts *f)
{
	_cleanup_names_ char **names = NULL;

	if (sysfs_list(&v->sys, "sys/class/iommu", &names) < 0)
		return;
	for (char **n = names; *n; n++) {
		char path[PATH_MAX], text[32], *end;
		unsigned long long ecap;

		f->units++;
		snprintf(path, sizeof(path), "sys/class/iommu/%s/intel-iommu/ecap", *n);
		if (sysfs_read(&v->sys, path, text, sizeof(text)) <= 0)
			continue;
		ecap = strtoull(text, &end, 16);
		if (*end || !isxdigit((unsigned char)*text))
			continue;
		if (ecap & ECAP_IR)
			f->can_ir++;
		else
			f->no_ir++;
	}
}

/*
 * A message starts with who says it: what a device or a user named may stand anywhere behind that.
 * @text may have the time in front, as dmesg prints it.
 */
static bool message_starts(const char *text, const char *const *starts)
{
	if (*text == '[') {
		const char *end = text + 1 + strspn(text + 1, " .0123456789");

		if (end[0] == ']' && end[1] == ' ')
			text = end + 2;
	}
	for (; *starts; starts++) {
		if (!strncmp(text, *starts, strlen(*starts)))
			return true;
	}
	return false;
}

static void klog_line(void *arg, const char *text)
{
	/* drivers/iommu/intel/irq_remapping.c, drivers/iommu/amd/init.c */
	static const char *const on[] = {
		"DMAR-IR: Enabled IRQ remapping", "AMD-Vi: Interrupt remapping enabled", NULL};
	static const char *const off[] = {"DMAR-IR: Failed to enable irq remapping",
		"DMAR-IR: Not enabling interrupt remapping",
		"DMAR-IR: This system BIOS has enabled interrupt remapping",
		"AMD-Vi: Disabling interrupt remapping", NULL};
	static const char *const acs[] = {"Warning: PCIe ACS overrides enabled", NULL};
	struct remap_facts *f = arg;

	if (message_starts(text, on))
		copy_printable(f->ir_on, sizeof(f->ir_on), text);
	else if (message_starts(text, off))
		copy_printable(f->ir_off, sizeof(f->ir_off), text);
	else if (message_starts(text, acs))
		f->acs_warned = true;
}

/* The same from another place; sandboxes hide /proc/interrupts. */
static void irq_chips_read(struct vfm *v, struct remap_facts *f)
{
	_cleanup_names_ char **names = NULL;

	if (sysfs_list(&v->sys, "sys/kernel/irq", &names) < 0)
		return;
	for (char **n = names; *n; n++) {
		char path[PATH_MAX], chip[64], what[64];

		snprintf(path, sizeof(path), "sys/kernel/irq/%s/chip_name", *n);
		if (sysfs_read(&v->sys, path, chip, sizeof(chip)) <= 0)
			continue;
		snprintf(path, sizeof(path), "sys/kernel/irq/%s/actions", *n);
		if (sysfs_read(&v->sys, path, what, sizeof(what)) < 0)
			*what = '\0';
		interrupt_count(chip, what, &f->irq);
	}
}

static void irq_read(struct vfm *v, struct remap_facts *f)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	f->irq_source = "/proc/interrupts";
	f->irq_code = head_read(v, "proc/interrupts", INTERRUPTS_MAX, &text, &len);
	if (f->irq_code == 0)
		interrupts_parse(text, len, &f->irq);
	if (f->irq.remapped || f->irq.plain || f->irq.its)
		return;
	f->irq_source = "/sys/kernel/irq/*/chip_name";
	irq_chips_read(v, f);
}

void remap_facts_read(struct vfm *v, struct remap_facts *ret)
{
	*ret = (struct remap_facts){0};
	ret->cmdline_seen = cmdline_read(v, &ret->cmdline) == 0;
	if (!ret->cmdline_seen)
		cmdline_parse("", &ret->cmdline);
	units_read(v, ret);
	irq_read(v, ret);
	ret->klog_code = klog_walk(v, klog_line, ret);
}

static const char *remapping_reason(const struct remap_facts *f)
{
	if (f->no_ir)
		return ", as an IOMMU of this machine cannot";
	if (f->cmdline.intremap_off)
		return ", as intremap=off on the kernel's command line says";
	if (!f->units)
		return ", as the kernel uses no IOMMU";
	return "";
}

/* Nothing but the log to go by, and nothing that says otherwise. */
static bool no_word_against(const struct remap_facts *f)
{
	return !f->irq.plain && !*f->ir_off && !f->no_ir && !f->cmdline.intremap_off;
}

static void remapped_find(const struct remap_facts *f, struct vfm_findings *to)
{
	bool seen = f->irq.remapped || f->irq.its;

	vfm_finding_add(to, "interrupt-remapping", f->cmdline.intremap_nosid ? VFM_WARN : VFM_PASS,
		seen ? f->irq_source : "/dev/kmsg",
		"take intremap=nosid off the kernel's command line",
		"interrupts are remapped%s%s%s: %s%s%s", *f->irq.remapped_name ? " (" : "",
		f->irq.remapped_name, *f->irq.remapped_name ? ")" : "",
		f->cmdline.intremap_nosid ? "but intremap=nosid lets a device raise those of others"
					  : "a device raises none but its own",
		*f->ir_on ? "; log: " : "", f->ir_on);
}

static void unknown_find(const struct remap_facts *f, struct vfm_findings *to)
{
	char hidden[128] = "";
	size_t n = 0;

	if (f->irq_code < 0)
		n = (size_t)snprintf(
			hidden, sizeof(hidden), "; /proc/interrupts: %s", strerror(-f->irq_code));
	if (f->klog_code < 0 && n < sizeof(hidden))
		snprintf(
			hidden + n, sizeof(hidden) - n, "; /dev/kmsg: %s", strerror(-f->klog_code));
	vfm_finding_add(to, "interrupt-remapping", VFM_SKIP,
		"/proc/interrupts, /sys/kernel/irq, /dev/kmsg, "
		"/sys/class/iommu/*/intel-iommu/ecap",
		f->klog_code == -EPERM || f->klog_code == -EACCES
			? "run as root, so that the kernel log can be read"
			: "look for 'remapping' in the log since boot (journalctl -k -b) and in "
			  "the firmware set-up",
		"unknown: neither the interrupts nor the log tell%s%s",
		f->can_ir ? ", only that the IOMMU could remap them" : "", hidden);
}

enum vfm_tri remapping_find(const struct remap_facts *f, struct vfm_findings *to)
{
	static const char fix[] =
		"switch on interrupt remapping (VT-d, x2APIC) in the firmware; take intremap=off "
		"off the kernel's command line";
	size_t n = to->n;
	enum vfm_tri on;

	if (f->irq.remapped && f->irq.plain) {
		on = VFM_UNKNOWN;
		vfm_finding_add(to, "interrupt-remapping", VFM_WARN, f->irq_source, fix,
			"%u interrupts are remapped, %u are not (%s)", f->irq.remapped,
			f->irq.plain, f->irq.plain_name);
	} else if (f->irq.remapped || f->irq.its || (no_word_against(f) && *f->ir_on)) {
		on = VFM_YES;
		remapped_find(f, to);
	} else if (f->irq.plain) {
		on = VFM_NO;
		vfm_finding_add(to, "interrupt-remapping", VFM_FAIL, f->irq_source, fix,
			"interrupts are not remapped (%s)%s: a guest's device can raise any "
			"interrupt of the host",
			f->irq.plain_name, remapping_reason(f));
	} else if (*f->ir_off || f->no_ir || f->cmdline.intremap_off) {
		on = VFM_NO;
		vfm_finding_add(to, "interrupt-remapping", VFM_FAIL,
			*f->ir_off ? "/dev/kmsg"
			: f->no_ir ? "/sys/class/iommu/*/intel-iommu/ecap"
				   : "/proc/cmdline",
			fix, "interrupts are not remapped%s%s%s", remapping_reason(f),
			*f->ir_off ? "; log: " : "", f->ir_off);
	} else {
		on = VFM_UNKNOWN;
		unknown_find(f, to);
	}
	if (on == VFM_UNKNOWN && to->n > n)
		to->finding[n].proof = true;
	return on;
}

enum vfm_tri switch_read(
	struct vfm *v, const char *module, const char *name, int cmdline, bool *ret_loaded)
{
	char path[PATH_MAX], text[16];

	snprintf(path, sizeof(path), "sys/module/%s", module);
	*ret_loaded = sysfs_exists(&v->sys, path);
	snprintf(path, sizeof(path), "sys/module/%s/parameters/%s", module, name);
	if (sysfs_read(&v->sys, path, text, sizeof(text)) >= 0)
		return switch_parse(text);
	if (*ret_loaded)
		return VFM_UNKNOWN;
	return cmdline < 0 ? VFM_UNKNOWN : cmdline ? VFM_YES : VFM_NO;
}

const char *vfm_remapping_name(enum vfm_tri on)
{
	return on == VFM_YES ? "on" : on == VFM_NO ? "off" : "unknown";
}

int vfm_remapping_read(struct vfm *v, struct vfm_remapping *ret, struct err *e)
{
	_cleanup_free_ struct vfm_findings *to = calloc(1, sizeof(*to));
	struct vfm_remapping r = {.kernel_insists = VFM_UNKNOWN};
	struct remap_facts f;
	enum vfm_tri allowed;
	bool type1, loaded;

	if (!to)
		return err_sys(e, ENOMEM, "look at the host's interrupts");
	remap_facts_read(v, &f);
	r.on = remapping_find(&f, to);
	r.finding = to->finding[0];
	/* A kernel has one of them behind /dev/vfio/vfio. */
	type1 = sysfs_exists(&v->sys, "sys/module/vfio_iommu_type1") ||
		!sysfs_exists(&v->sys, "sys/module/iommufd");
	r.module = type1 ? "vfio_iommu_type1" : "iommufd";
	allowed = switch_read(v, r.module, VFM_UNSAFE_INTERRUPTS, -1, &loaded);
	if (allowed != VFM_UNKNOWN)
		r.kernel_insists = allowed == VFM_NO ? VFM_YES : VFM_NO;
	*ret = r;
	return 0;
}
