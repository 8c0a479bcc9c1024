// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/explain.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"

#define C(id, where, code, klog, cause, fix)                               \
	{                                                                  \
		id, VFM_AT_##where, code, klog, cause, fix, cause ": " fix \
	}

#define NO_MMIO "firmware gave the VF BARs no memory"
#define NO_MMIO_FIX \
	"turn on SR-IOV and above-4G decoding in the firmware set-up, or boot with pci=realloc"
#define NO_BUS "the VFs do not fit the bus numbers of the slot"
#define NO_BUS_FIX \
	"turn on ARI in the firmware set-up, ask for fewer VFs, or boot with pci=assign-busses"
#define NO_DRIVER_FIX "bind its own driver, or load vfio-pci with enable_sriov=1"
#define NO_IRQ        "no interrupt remapping"
#define NO_IRQ_FIX                                                                           \
	"turn on VT-d or AMD-Vi with x2APIC in the firmware set-up; only if all guests are " \
	"trusted, load vfio_iommu_type1 with allow_unsafe_interrupts=1"
#define RMRR     "the firmware keeps this device's DMA for itself (RMRR)"
#define RMRR_FIX "turn that off in the firmware set-up, or put the card into another slot"
#define HELD     "a process has a VF open in VFIO and the kernel waits for it"
#define HELD_FIX "end that guest ('viaduct vf list' names it)"

/*
 * First match wins: rows with a line of the log before those that go by errno alone. Texts of the
 * log are parts of those in drivers/pci/iov.c, drivers/vfio/, drivers/iommu/ and igb, Linux 5.4-6.12.
 */
static const struct vfm_cause causes[] = {
	C("numvfs-no-mmio", NUMVFS, ENOMEM, "not enough MMIO resources", NO_MMIO, NO_MMIO_FIX),
	C("numvfs-bars-not-allocated", NUMVFS, ENOMEM, "IOV BARS not allocated", NO_MMIO,
		NO_MMIO_FIX),
	C("numvfs-bus-range", NUMVFS, ENOMEM, "VFs (bus", NO_BUS, NO_BUS_FIX),
	C("numvfs-bus-range", NUMVFS, ENOMEM, "bus number out of range", NO_BUS, NO_BUS_FIX),
	C("numvfs-no-memory", NUMVFS, ENOMEM, NULL, "no memory or bus numbers for the VFs",
		"turn on SR-IOV, ARI and above-4G decoding in the firmware set-up, or boot with "
		"pci=realloc; dmesg tells which"),
	C("numvfs-short", NUMVFS, ENOSPC, "VFs requested; only",
		"the driver made fewer VFs than asked for", "ask for fewer"),
	C("numvfs-short", NUMVFS, ENOSPC, NULL, "the driver made fewer VFs than asked for",
		"ask for fewer"),
	C("numvfs-busy", NUMVFS, EBUSY, NULL, "it has VFs, or another tool is changing it",
		"carve 0 first, or wait for that tool (devlink's eswitch lock counts too)"),
	C("numvfs-refused", NUMVFS, EPERM, NULL, "the PF's driver refuses",
		"VFs are assigned to a guest, it has no MSI-X, or allows fewer (igb: 7)"),
	C("numvfs-no-driver", NUMVFS, ENOENT, "no driver bound to device",
		"it has no driver that could make VFs", NO_DRIVER_FIX),
	C("numvfs-driver-cannot", NUMVFS, ENOENT, NULL, "its driver cannot make VFs",
		NO_DRIVER_FIX),
	C("numvfs-too-many", NUMVFS, ERANGE, NULL, "more VFs than the device has",
		"sriov_totalvfs says how many it has"),
	C("numvfs-broken", NUMVFS, EIO, NULL, "its SR-IOV capability is broken",
		"update the card's firmware; a reset of the machine may help"),
	C("numvfs-no-pf", NUMVFS, ENODEV, NULL, "it is not an SR-IOV PF any more",
		"was it pulled out? 'viaduct vf list' shows what is there"),
	C("numvfs-held", NUMVFS, ETIMEDOUT, "Relaying device request to user", HELD, HELD_FIX),
	C("numvfs-held-unasked", NUMVFS, ETIMEDOUT, "blocked until released by user", HELD,
		HELD_FIX),
	C("numvfs-held", NUMVFS, ETIMEDOUT, NULL, HELD, HELD_FIX),

	C("probe-unknown-device", PROBE, ENODEV, NULL, "the driver does not know this device",
		"take one that does, or a VFIO driver"),
	C("probe-no-iommu", PROBE, EINVAL, NULL, "VFIO refuses a device with no IOMMU",
		"turn on VT-d or AMD-Vi in the firmware set-up and boot with intel_iommu=on"),
	C("probe-busy", PROBE, EBUSY, NULL, "another driver has it", "unbind that first"),

	C("vfio-no-irq-remapping", VFIO_OPEN, EPERM, "No interrupt remapping", NO_IRQ, NO_IRQ_FIX),
	C("vfio-rmrr", VFIO_OPEN, EPERM, "RMRR requirement", RMRR, RMRR_FIX),
	C("vfio-rmrr", VFIO_OPEN, EINVAL, "RMRR requirement", RMRR, RMRR_FIX),
	C("vfio-direct-mapping", VFIO_OPEN, EPERM, "1:1 IOMMU mapping", RMRR, RMRR_FIX),
	C("vfio-direct-mapping", VFIO_OPEN, EINVAL, "1:1 IOMMU mapping", RMRR, RMRR_FIX),
	C("vfio-direct-mapping", VFIO_OPEN, EPERM, "1:1 mapping", RMRR, RMRR_FIX),
	C("vfio-direct-mapping", VFIO_OPEN, EINVAL, "1:1 mapping", RMRR, RMRR_FIX),
	C("vfio-refused", VFIO_OPEN, EPERM, NULL, NO_IRQ " or a region the firmware reserves",
		"dmesg tells which; 'viaduct vf isolate' checks both"),
	C("vfio-token-required", VFIO_DEVICE, EACCES, "VF token required",
		"its PF is on vfio-pci, so its VFs need a token",
		"pass the token the PF was given"),
	C("vfio-token-wrong", VFIO_DEVICE, EACCES, "Incorrect VF token", "that is not the VF token",
		"pass the token the PF was given"),
	C("vfio-token", VFIO_DEVICE, EACCES, NULL, "its PF is on vfio-pci, so its VFs need a token",
		"pass the token the PF was given"),
	C("vfio-token-unwanted", VFIO_DEVICE, EINVAL, "VF token incorrectly provided",
		"a VF token was given, but its PF is not on vfio-pci", "leave the token out"),
	C("vfio-reset-contended", VFIO_DEVICE, EAGAIN, NULL, "another reset has the device's lock",
		"try again"),
	C("attach-busy", ATTACH, EBUSY, NULL, "another driver in its IOMMU group owns DMA",
		"'viaduct vf isolate' names it: unbind it or bind it to vfio-pci too"),

	C("rtnetlink-unsupported", RTNETLINK, EOPNOTSUPP, NULL, "the PF's driver cannot do this",
		"leave this setting out"),
	C("rtnetlink-protocol", RTNETLINK, EPROTONOSUPPORT, NULL,
		"the PF's driver cannot tag with that protocol", "use proto=802.1q"),
	C("rtnetlink-invalid", RTNETLINK, EINVAL, NULL,
		"the PF's driver refuses the value, or the PF is down", "dmesg may tell more"),
	C("rtnetlink-permission", RTNETLINK, EPERM, NULL, "no permission",
		"run as root (CAP_NET_ADMIN)"),
	C("rtnetlink-timeout", RTNETLINK, ETIMEDOUT, NULL,
		"something holds the kernel's network lock", "is a carve under way?"),
	C("rtnetlink-gone", RTNETLINK, ENODEV, NULL, "the interface went away",
		"was the PF unplugged, or moved to another network namespace?"),

	C("devlink-unsupported", DEVLINK, EOPNOTSUPP, NULL, "the PF's driver cannot do this",
		"leave this setting out"),
	C("devlink-gone", DEVLINK, ENODEV, NULL, "devlink knows no such device or port",
		"a VF has a port in switchdev mode only"),
	C("devlink-busy", DEVLINK, EBUSY, NULL, "the card is busy with another change",
		"unbind its VFs' drivers and try again"),
	C("devlink-permission", DEVLINK, EPERM, NULL, "no permission",
		"run as root (CAP_NET_ADMIN)"),

	C("dma-fault-intel", RUNNING, 0, "DMAR: [DMA", "a device did DMA where it may not",
		"the guest or its driver that owns the named address is at fault"),
	C("dma-fault-amd", RUNNING, 0, "AMD-Vi: Event logged [IO_PAGE_FAULT",
		"a device did DMA where it may not",
		"the guest or its driver that owns the named address is at fault"),
	C("spoofed-frames", RUNNING, 0, "Spoof event",
		"a VF sent frames from addresses not its own",
		"give it the address (mac=), or trust=on spoofchk=off if that is wanted"),
	C("mac-overridden", RUNNING, 0, "attempting to override administratively set MAC",
		"a guest tried to change an address that its PF gave it",
		"mac=none or trust=on lets it"),
	C("mac-pf-down", RUNNING, 0, "MAC address has been set, but the PF device is not up",
		"the VF does not hear of its address",
		"bring the PF up, then rebind the VF's driver"),
	C("pf-in-reset", RUNNING, 0, "PF still in reset state", "the PF does not answer its VF",
		"bring the PF's interface up, then rebind the VF's driver"),
	C("vfs-left-behind", RUNNING, 0, "driver left SR-IOV enabled",
		"the PF's driver went away and left its VFs", "carve 0 and carve again"),

	C("autoprobe-refused", AUTOPROBE, EINVAL, NULL, "the kernel takes 0 or 1 there",
		"is this sysfs the kernel's own?"),
	C("override-too-long", OVERRIDE, EINVAL, NULL, "the kernel takes no driver name that long",
		"check the name"),
};

/* Anywhere. */
static const struct vfm_cause anywhere[] = {
	C("not-root", RUNNING, EACCES, NULL, "no permission", "run as root"),
	C("not-root", RUNNING, EPERM, NULL, "no permission", "run as root"),
	C("read-only", RUNNING, EROFS, NULL, "sysfs is read-only here (a container?)",
		"run on the host"),
};

const struct vfm_cause *vfm_explain(enum vfm_where where, int code, const char *klog)
{
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		const struct vfm_cause *c = &causes[i];

		if (c->where == where && c->code && c->code == code &&
			(!c->klog || (klog && strstr(klog, c->klog))))
			return c;
	}
	for (size_t i = 0; i < ARRAY_SIZE(anywhere); i++)
		if (anywhere[i].code == code)
			return &anywhere[i];
	return NULL;
}

const struct vfm_cause *vfm_explain_line(const char *line)
{
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++)
		if (causes[i].klog && strstr(line, causes[i].klog))
			return &causes[i];
	return NULL;
}

const struct vfm_cause *vfm_cause_at(size_t i)
{
	if (i < ARRAY_SIZE(causes))
		return &causes[i];
	i -= ARRAY_SIZE(causes);
	return i < ARRAY_SIZE(anywhere) ? &anywhere[i] : NULL;
}

const char *explain(enum vfm_where where, int code, const char *klog)
{
	const struct vfm_cause *c = vfm_explain(where, code, klog);

	return c ? c->text : "";
}
