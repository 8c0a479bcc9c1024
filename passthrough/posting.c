// SPDX-License-Identifier: GPL-2.0-or-later
#include "passthrough/posting.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define UNITS_DIR "sys/class/iommu"
#define CAP_PI    (1ull << 59) /* VT-d §11.4.2 */
#define EFR_GA    (1ull << 7)  /* AMD I/O Virtualization Technology §3.4.9: guest APIC support */
#define EFR_GAM   (1ull << 21) /* its mode, lowest bit: guest virtual APIC mode */

static bool parameter_is_on(const struct sysfs *s, const char *path)
{
	char text[16];

	return sysfs_read(s, path, text, sizeof(text)) > 0 && (*text == 'Y' || *text == '1');
}

/* Is @word one of the blank-separated words of the file, or part of one that begins with @key? */
static bool cmdline_has(const char *line, const char *key, const char *word)
{
	const char *p = line;

	while ((p = strstr(p, key))) {
		const char *end = p + strcspn(p, " "), *at = strstr(p, word);

		if ((p == line || p[-1] == ' ') && at && at < end)
			return true;
		p = end;
	}
	return false;
}

/* A flag of /proc/cpuinfo's first CPU. */
static bool cpu_flag(const struct sysfs *s, const char *flag)
{
	char text[8192], *p, *end;
	size_t n = strlen(flag);
	int len = sysfs_read_bytes(s, "proc/cpuinfo", text, sizeof(text) - 1);

	if (len <= 0)
		return false;
	text[len] = '\0';
	p = strstr(text, "\nflags");
	if (!p)
		return false;
	end = strchr(p + 1, '\n');
	if (end)
		*end = '\0';
	for (; (p = strstr(p, flag)); p += n)
		if (p[-1] == ' ' && (p[n] == ' ' || !p[n]))
			return true;
	return false;
}

static bool fail(struct posting *ret, const char *why)
{
	ret->possible = false;
	snprintf(ret->why, sizeof(ret->why), "%s", why);
	return false;
}

/* Does the unit @name post? */
static bool unit_posts(const struct sysfs *s, const char *name, bool *ret_amd)
{
	char path[PATH_MAX], text[64];
	char *end;
	uint64_t v;

	*ret_amd = !strncmp(name, "ivhd", 4);
	snprintf(path, sizeof(path), UNITS_DIR "/%s/%s", name,
		*ret_amd ? "amd-iommu/features" : "intel-iommu/cap");
	if (sysfs_read(s, path, text, sizeof(text)) <= 0)
		return false;
	v = strtoull(text, &end, 16);
	/* AMD's second feature register follows behind a colon. */
	if (end == text || (*end && *end != ':' && *end != ' '))
		return false;
	return *ret_amd ? (v & EFR_GA) && (v & EFR_GAM) : (v & CAP_PI) != 0;
}

static bool units_post(const struct sysfs *s, struct posting *ret, bool *ret_amd)
{
	char **names = NULL;
	int n = sysfs_list(s, UNITS_DIR, &names), units = 0;
	bool all = true;

	for (int i = 0; i < n; i++) {
		bool known = !strncmp(names[i], "dmar", 4) || !strncmp(names[i], "ivhd", 4);

		units += known;
		if (known && !unit_posts(s, names[i], ret_amd) && all) {
			all = false;
			snprintf(ret->why, sizeof(ret->why),
				"the host's remapping unit %.32s does not post interrupts",
				names[i]);
		}
	}
	if (n >= 0)
		sysfs_list_free(names);
	if (!units)
		return fail(ret, "the host shows no remapping unit (/sys/class/iommu)");
	return all;
}

void posting_read(const struct sysfs *s, struct posting *ret)
{
	char cmdline[4096];
	bool amd = false;

	*ret = (struct posting){0};
	if (!units_post(s, ret, &amd))
		return;
	if (sysfs_read(s, "proc/cmdline", cmdline, sizeof(cmdline)) < 0) {
		fail(ret, "the kernel's command line cannot be read");
		return;
	}
	if (cmdline_has(cmdline, "intremap=", "nopost") ||
		cmdline_has(cmdline, "intremap=", "off") ||
		cmdline_has(cmdline, "amd_iommu_guest_ir=", "legacy")) {
		fail(ret, "the kernel's command line turns posting off");
		return;
	}
	if (amd && !parameter_is_on(s, "sys/module/kvm_amd/parameters/avic")) {
		fail(ret, "KVM's AVIC is off (module kvm_amd, parameter avic)");
		return;
	}
	/* A guest with a remapping unit runs its APICs in x2APIC mode, which stops older AVIC. */
	if (amd && !cpu_flag(s, "x2avic")) {
		fail(ret, "the host's AVIC knows no x2APIC mode");
		return;
	}
	if (!amd && !parameter_is_on(s, "sys/module/kvm_intel/parameters/enable_apicv")) {
		fail(ret, "KVM's APICv is off (module kvm_intel, parameter enable_apicv)");
		return;
	}
	/* Newer kernels have a switch for just this. */
	if (!amd && sysfs_exists(s, "sys/module/kvm_intel/parameters/enable_device_posted_irqs") &&
		!parameter_is_on(s, "sys/module/kvm_intel/parameters/enable_device_posted_irqs")) {
		fail(ret, "KVM's posting is off (module kvm_intel, enable_device_posted_irqs)");
		return;
	}
	ret->possible = true;
	snprintf(ret->why, sizeof(ret->why), "%s",
		amd ? "all IOMMUs have guest virtual APIC mode, AVIC and x2AVIC are on"
		    : "all remapping units post interrupts, APICv is on");
}

bool posting_takes(struct irq_target t)
{
	enum { FIXED, LOWEST };
	bool one = t.logical ? __builtin_popcount(t.dest & 0xffff) == 1
			     : t.dest != 0xff && t.dest != UINT32_MAX;

	return one && t.mode <= LOWEST && !t.level;
}
