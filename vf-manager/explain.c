// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"

/* First match wins; klog NULL matches any. */
static const struct {
	const char *attr;
	int code;
	const char *klog, *text;
} table[] = {
	{"sriov_numvfs", EBUSY, NULL,
		"it has VFs, or another tool is changing it: carve 0 first, or wait for that tool"},
	{"sriov_numvfs", ENOMEM, "not enough MMIO",
		"firmware gave the VF BARs no memory: turn on SR-IOV and above-4G decoding in the "
		"firmware set-up, or boot with pci=realloc"},
	{"sriov_numvfs", ENOMEM, "IOV BARS not allocated",
		"firmware gave the VF BARs no memory: turn on SR-IOV and above-4G decoding in the "
		"firmware set-up, or boot with pci=realloc"},
	{"sriov_numvfs", ENOMEM, "out of range",
		"the VFs do not fit the bus numbers of the slot: turn on ARI in the firmware "
		"set-up, "
		"ask for fewer VFs, or boot with pci=assign-busses"},
	{"sriov_numvfs", ENOMEM, NULL,
		"no memory or bus numbers for the VFs: turn on SR-IOV, ARI and above-4G decoding "
		"in "
		"the firmware set-up, or boot with pci=realloc; dmesg tells which"},
	{"sriov_numvfs", EPERM, NULL,
		"the PF's driver refuses: VFs assigned to a guest, more than the driver allows, or "
		"no "
		"MSI-X"},
	{"sriov_numvfs", ENOENT, NULL,
		"its driver cannot make VFs: bind its own driver, or load vfio-pci with "
		"enable_sriov=1"},
	{"sriov_numvfs", ERANGE, NULL, "more VFs than the device has"},
	{"sriov_numvfs", EIO, NULL, "its SR-IOV capability is broken"},
	{"sriov_numvfs", ENODEV, NULL, "it is not an SR-IOV PF any more"},
	{"probe", ENODEV, NULL, "the driver does not know this device"},
	{"probe", EINVAL, NULL,
		"VFIO refuses a device with no IOMMU: turn on VT-d or AMD-Vi in the firmware "
		"set-up "
		"and boot with intel_iommu=on"},
	{"probe", EBUSY, NULL, "another driver has it"},
	{"rtnetlink", EOPNOTSUPP, NULL, "the PF's driver cannot do this"},
	{"rtnetlink", EINVAL, NULL, "the PF's driver refuses the value, or the PF is down"},
	{"rtnetlink", EPERM, NULL, "run as root (CAP_NET_ADMIN)"},
	{"rtnetlink", ETIMEDOUT, NULL,
		"something holds the kernel's network lock: is a carve under way?"},
	{"rtnetlink", ENODEV, NULL, "the interface went away"},
	{"*", EACCES, NULL, "run as root"},
	{"*", EPERM, NULL, "run as root"},
	{"*", EROFS, NULL, "sysfs is read-only here (a container?): run on the host"},
};

const char *explain(const char *attr, int code, const char *klog)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].code != code || (strcmp(table[i].attr, attr) && *table[i].attr != '*'))
			continue;
		if (table[i].klog && !strstr(klog, table[i].klog))
			continue;
		return table[i].text;
	}
	return "";
}
