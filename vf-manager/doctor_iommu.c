// SPDX-License-Identifier: GPL-2.0-or-later
/* The IOMMU of this machine: announced by firmware, switched on, remapping interrupts. */
#include "vf-manager/doctor_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define TABLES "sys/firmware/acpi/tables/"

/* The firmware's table that describes an IOMMU; NULL when it has none. */
static const char *iommu_table_name(struct vfm *v)
{
	static const char *const names[] = {"DMAR", "IVRS", "VIOT", "IORT"};
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), TABLES "%s", names[i]);
		if (sysfs_exists(&v->sys, path))
			return names[i];
	}
	return NULL;
}

static void iommu_table_run(struct doctor *d)
{
	const char *name = iommu_table_name(d->v);

	if (name) {
		doctor_say(d, VFM_PASS, "firmware announces an IOMMU (ACPI table %s)", name);
		return;
	}
	if (!sysfs_exists(&d->v->sys, TABLES)) {
		doctor_say(d, VFM_SKIP, "no ACPI tables are to be seen in sysfs");
		return;
	}
	doctor_say(d, VFM_FAIL, "firmware announces no IOMMU (neither ACPI table DMAR nor IVRS)");
	if (cpu_flag(d->v, "hypervisor"))
		doctor_fix(d, "give this virtual machine an IOMMU (QEMU: -device "
			      "intel-iommu,intremap=on), "
			      "or use the lab: viaduct lab run");
	else
		doctor_fix(d, "turn %s on in the firmware set-up",
			cpu_is_amd(d->v) ? "AMD-Vi (IOMMU)" : "VT-d");
}

const struct doctor_check doctor_iommu_table = {
	.id = "iommu-table",
	.title = "firmware announces an IOMMU",
	.scope = DOCTOR_HOST,
	.stop = true,
	.run = iommu_table_run,
};

static void iommu_off_fix(struct doctor *d)
{
	const char *table = iommu_table_name(d->v);
	bool amd = table ? !strcmp(table, "IVRS") : cpu_is_amd(d->v);
	const char *config = amd ? "CONFIG_AMD_IOMMU" : "CONFIG_INTEL_IOMMU";
	char value[64] = "";

	if (cmdline_value(d->v, amd ? "amd_iommu" : "intel_iommu", value, sizeof(value)) &&
		!strncmp(value, "off", 3))
		doctor_fix(d, "take %s=off off the kernel's command line",
			amd ? "amd_iommu" : "intel_iommu");
	else if (cmdline_value(d->v, "iommu", value, sizeof(value)) && strstr(value, "off"))
		doctor_fix(d, "take iommu=%s off the kernel's command line", value);
	else if (!table)
		doctor_fix(d, "see iommu-table: without it the kernel finds no IOMMU");
	else if (kernel_config(d->v, config) == 'n')
		doctor_fix(d, "run a kernel with %s: this one was built without", config);
	else if (amd)
		doctor_fix(d, "look for AMD-Vi in dmesg: firmware announces it, the kernel does "
			      "not use it");
	else
		doctor_fix(d, "boot with intel_iommu=on iommu=pt (/etc/default/grub, "
			      "GRUB_CMDLINE_LINUX; then update-grub)");
}

static void iommu_run(struct doctor *d)
{
	isolation_relay(d);
	if (d->pending.status == VFM_FAIL)
		iommu_off_fix(d);
}

const struct doctor_check doctor_iommu = {
	.id = "iommu",
	.title = "the kernel uses an IOMMU",
	.scope = DOCTOR_HOST,
	.stop = true,
	.run = iommu_run,
};

/* What `viaduct vf isolate` knows; its ids are ours. */
#define RELAY_HOST(name, id_, title_, stop_)        \
	const struct doctor_check doctor_##name = { \
		.id = (id_),                        \
		.title = (title_),                  \
		.scope = DOCTOR_HOST,               \
		.stop = (stop_),                    \
		.run = isolation_relay,             \
	}
#define RELAY_DEVICE(name, id_, title_, stop_)      \
	const struct doctor_check doctor_##name = { \
		.id = (id_),                        \
		.title = (title_),                  \
		.scope = DOCTOR_DEVICE,             \
		.stop = (stop_),                    \
		.kinds = KIND_ANY,                  \
		.needs = "iommu",                   \
		.run = isolation_relay,             \
	}

RELAY_HOST(iommu_options, "iommu-options", "boot options that change the IOMMU", false);
RELAY_HOST(interrupt_remapping, "interrupt-remapping", "interrupts of devices are remapped", true);
RELAY_HOST(unsafe_interrupts, "unsafe-interrupts", "VFIO insists on that", true);
RELAY_HOST(no_iommu, "no-iommu", "VFIO insists on an IOMMU", true);
RELAY_HOST(acs_override, "acs-override", "IOMMU groups are proof", true);

RELAY_DEVICE(group_viable, "group-viable", "no driver of the host is in its IOMMU group", true);
RELAY_DEVICE(group_shared, "group-shared", "it is alone in its IOMMU group", false);
RELAY_DEVICE(pf_vf_group, "pf-vf-group", "PF and VFs are in groups of their own", true);
RELAY_DEVICE(acs_path, "acs-path", "no port on its way lets requests turn aside", true);
RELAY_DEVICE(reserved_regions, "reserved-regions", "firmware reserves no memory for it", true);
RELAY_DEVICE(vf_token, "vf-token", "the token of a PF that VFIO has", false);
RELAY_DEVICE(peer_to_peer, "peer-to-peer", "what VFs of one PF can do to each other", false);
RELAY_DEVICE(dma_fault, "dma-fault", "no DMA faults of it in the kernel log", false);
