// SPDX-License-Identifier: GPL-2.0-or-later
/* What a PF needs before it can have VFs: a capability, a driver, bus numbers, memory for their BARs. */
#include "vf-manager/doctor_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* ---- is there any ---- */

/* Functions with the capability that the kernel does not offer as PFs. */
static unsigned hidden_pfs(struct doctor *d)
{
	struct vfm_caps caps;
	unsigned n = 0;

	for (size_t i = 0; i < d->n; i++) {
		if (d->all[i].kind == VFM_OTHER && vfm_caps(d->v, d->all[i].bdf, &caps, NULL) == 0)
			n += caps.sriov == VFM_YES;
	}
	return n;
}

static void sriov_devices_run(struct doctor *d)
{
	size_t n = doctor_pfs(d);
	unsigned hidden;

	if (d->list_error) {
		doctor_say(d, VFM_FAIL, "there is no PCI bus in sysfs");
		doctor_fix(d, "mount /sys; a machine without PCI has no devices to give away");
	} else if (n) {
		doctor_say(d, VFM_PASS, "%zu device%s with SR-IOV", n, n == 1 ? "" : "s");
	} else if ((hidden = hidden_pfs(d))) {
		doctor_say(d, VFM_FAIL, "%u device%s SR-IOV that this kernel does not offer",
			hidden, hidden == 1 ? " has" : "s have");
		doctor_fix(d, "run a kernel with CONFIG_PCI_IOV; turn SR-IOV on in the firmware "
			      "set-up");
	} else {
		doctor_say(d, VFM_WARN,
			"no device here has SR-IOV%s: whole functions can be given "
			"away, VFs not",
			capability_has(d->v, CAP_SYS_ADMIN) == 1 ? "" : " that can be seen");
		doctor_fix(d,
			"turn SR-IOV on in the firmware set-up, add a card that has it, or use "
			"the lab: viaduct lab run --nic igb");
	}
}

const struct doctor_check doctor_sriov_devices = {
	.id = "sriov-devices",
	.title = "there are devices with SR-IOV",
	.scope = DOCTOR_HOST,
	.run = sriov_devices_run,
};

/* ---- capability and number ---- */

static void sriov_capability_run(struct doctor *d)
{
	uint64_t total;
	int r = dev_read_u64(d->v, d->f->bdf, "sriov_totalvfs", &total);

	if (d->f->kind != VFM_PF && d->caps.sriov == VFM_UNKNOWN) {
		doctor_say(d, VFM_SKIP, "not a PF in sysfs; its config space is not to be read");
		doctor_fix(d, "run as root");
	} else if (d->f->kind != VFM_PF && d->caps.sriov == VFM_NO) {
		doctor_say(d, VFM_SKIP, "it has no SR-IOV");
	} else if (d->f->kind != VFM_PF) {
		doctor_say(d, VFM_FAIL, "it has an SR-IOV capability, but the kernel offers none");
		doctor_fix(d, "run a kernel with CONFIG_PCI_IOV; turn SR-IOV on in the firmware "
			      "set-up");
	} else if (r < 0 || total > MAX_VFS) {
		doctor_say(d, VFM_SKIP, "sriov_totalvfs cannot be read: %s",
			strerror(r < 0 ? -r : ERANGE));
	} else if (total == 0) {
		doctor_say(d, VFM_FAIL, "it has SR-IOV, with 0 VFs to make");
		doctor_fix(d,
			"turn SR-IOV on in the firmware set-up; on a Mellanox card set SRIOV_EN "
			"and NUM_OF_VFS with mstconfig");
	} else {
		doctor_say(d, VFM_PASS, "it has SR-IOV and can make %u VFs", (unsigned)total);
	}
}

const struct doctor_check doctor_sriov_capability = {
	.id = "sriov-capability",
	.title = "it can make VFs",
	.scope = DOCTOR_DEVICE,
	.stop = true,
	.kinds = KIND(VFM_PF) | KIND(VFM_OTHER),
	.run = sriov_capability_run,
};

/* ---- driver ---- */

static void pf_driver_run(struct doctor *d)
{
	int enabled = module_switch(d->v, "vfio_pci", "enable_sriov");

	if (!*d->f->driver) {
		doctor_say(d, VFM_FAIL, "no driver is bound to it, so nobody can carve VFs");
		doctor_fix(d, "load the module of its driver (lspci -k -s ADDRESS names it)");
	} else if (!driver_is_vfio(d->v, d->f->driver)) {
		/* Only a carve tells: the kernel shows a PF whose driver cannot like any other. */
		doctor_say(d, VFM_PASS, "its driver is %s%s", d->f->driver,
			d->f->num_vfs ? ", which has made VFs" : "");
	} else if (strcmp(d->f->driver, "vfio-pci") || enabled == 1) {
		doctor_say(d, VFM_WARN,
			"%s has the PF itself: each opening of a VF needs the PF's "
			"token",
			d->f->driver);
		doctor_fix(d, "viaduct vf release it, unless a program drives the PF through VFIO");
	} else {
		doctor_say(d, enabled ? VFM_WARN : VFM_FAIL,
			"vfio-pci has the PF itself, %s enable_sriov: VFs cannot be carved",
			enabled ? "perhaps without" : "without");
		doctor_fix(d, "viaduct vf release it, or load vfio-pci with enable_sriov=1");
	}
}

const struct doctor_check doctor_pf_driver = {
	.id = "pf-driver",
	.title = "a driver that can carve is bound to the PF",
	.scope = DOCTOR_DEVICE,
	.stop = true,
	.kinds = KIND_PF,
	.run = pf_driver_run,
};

/* ---- bus numbers ---- */

struct bridge {
	struct bdf bdf;
	unsigned secondary, subordinate;
};

/* Header type 1 has them at 0x19 and 0x1a: PCIe 5.0 §7.5.1.3. */
static bool config_bridge(struct vfm *v, struct bdf b, struct bridge *ret)
{
	uint8_t config[64];
	char path[PATH_MAX];

	if (sysfs_read_bytes(&v->sys, sysfs_pci_path(b, "config", path, sizeof(path)), config,
		    sizeof(config)) < (int)sizeof(config) ||
		(config[0x0e] & 0x7f) != 1)
		return false;
	*ret = (struct bridge){b, config[0x19], config[0x1a]};
	return true;
}

/* The buses behind @b, from sysfs or the bytes of its config space; false when it is no bridge. */
static bool bridge_read(struct vfm *v, struct bdf b, struct bridge *ret)
{
	uint64_t secondary, subordinate;

	if (dev_read_u64(v, b, "secondary_bus_number", &secondary) < 0 ||
		dev_read_u64(v, b, "subordinate_bus_number", &subordinate) < 0)
		return config_bridge(v, b, ret);
	if (secondary > 255 || subordinate > 255)
		return false;
	*ret = (struct bridge){b, (unsigned)secondary, (unsigned)subordinate};
	return true;
}

/* The bridge whose secondary bus @b is on; false when it is on a root bus. */
static bool bridge_above(struct vfm *v, struct bdf b, struct bridge *ret)
{
	char **names;
	bool found = false;

	if (sysfs_list(&v->sys, "sys/bus/pci/devices", &names) < 0)
		return false;
	for (char **n = names; *n && !found; n++) {
		struct bridge br;
		struct bdf at;

		if (bdf_parse(*n, &at) < 0 || at.domain != b.domain || bdf_equal(at, b) ||
			!bridge_read(v, at, &br) || !br.secondary || br.secondary != b.bus)
			continue;
		*ret = br;
		found = true;
	}
	sysfs_list_free(names);
	return found;
}

static void bus_numbers_run(struct doctor *d)
{
	char last[BDF_STRLEN], name[BDF_STRLEN];
	struct vfm_caps port = {.ari_forwarding = VFM_UNKNOWN};
	struct bridge br = {0};
	struct err e = {0};
	bool has_bridge;
	struct bdf b;
	int r;

	if (!d->f->total_vfs) {
		doctor_say(d, VFM_SKIP, "it has no VFs to make");
		return;
	}
	r = vfm_predict(d->v, d->f->bdf, d->f->total_vfs - 1, &b, &e);
	if (r == -ERANGE) {
		doctor_say(d, VFM_FAIL, "its last VF would lie beyond the last bus");
		doctor_fix(d, "put the card into another slot, or turn ARI on in the firmware "
			      "set-up");
		return;
	}
	if (r < 0) {
		doctor_say(d, VFM_SKIP, "where its VFs would be cannot be told: %s", e.text);
		doctor_fix(d, "run as root");
		return;
	}
	has_bridge = bridge_above(d->v, d->f->bdf, &br);
	if (has_bridge)
		(void)vfm_caps(d->v, br.bdf, &port, NULL);
	if (has_bridge && b.bus > br.subordinate) {
		doctor_say(d, VFM_FAIL,
			"its last VF would be %s, but the port %s has the buses up to %02x only%s",
			bdf_format(b, last), bdf_format(br.bdf, name), br.subordinate,
			port.ari_forwarding == VFM_NO ? ", and does not forward ARI" : "");
		doctor_fix(d, "turn ARI on in the firmware set-up, boot with pci=assign-busses, or "
			      "carve fewer VFs");
		return;
	}
	doctor_say(d, VFM_PASS, "its last VF, %s, %s%s", bdf_format(b, last),
		b.bus == d->f->bdf.bus ? "is on its own bus"
		: has_bridge           ? "is within the buses of its port"
				       : "is on a bus that no port limits",
		port.ari_forwarding == VFM_YES ? " (the port forwards ARI)" : "");
}

const struct doctor_check doctor_bus_numbers = {
	.id = "bus-numbers",
	.title = "there are bus numbers for all its VFs",
	.scope = DOCTOR_DEVICE,
	.kinds = KIND_PF,
	.run = bus_numbers_run,
};

/* ---- VF BARs ---- */

#define RESOURCES_BEFORE_IOV 7 /* six BARs and the expansion ROM */
#define RESOURCES_IOV        6
#define IORESOURCE_UNSET     0x20000000u /* linux/ioport.h */

static void vf_bars_run(struct doctor *d)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX], *next, *line;
	unsigned row = 0, assigned = 0, unset = 0;
	int r = text_load(
		d->v, sysfs_pci_path(d->f->bdf, "resource", path, sizeof(path)), 8192, &text);

	next = text;
	while (r >= 0 && (line = line_next(&next))) {
		uint64_t start, end, flags;

		if (sscanf(line, "0x%16" SCNx64 " 0x%16" SCNx64 " 0x%16" SCNx64, &start, &end,
			    &flags) != 3) {
			r = -EILSEQ;
			break;
		}
		if (row >= RESOURCES_BEFORE_IOV && row < RESOURCES_BEFORE_IOV + RESOURCES_IOV) {
			if (flags && (!start || flags & IORESOURCE_UNSET))
				unset++;
			else if (start && end > start)
				assigned++;
		}
		row++;
	}
	if (r < 0 || row < RESOURCES_BEFORE_IOV + RESOURCES_IOV) {
		doctor_say(d, VFM_SKIP, "its list of resources %s",
			r < 0 ? "cannot be read" : "has no rows for VF BARs");
	} else if (unset || !assigned) {
		doctor_say(d, VFM_FAIL,
			"%s have no memory: a carve ends with \"Cannot allocate "
			"memory\"",
			assigned ? "some of its VF BARs" : "its VF BARs");
		doctor_fix(d,
			"turn SR-IOV and above-4G decoding on in the firmware set-up, or boot "
			"with pci=realloc");
	} else {
		doctor_say(d, VFM_PASS, "its %u VF BAR%s ha%s memory", assigned,
			assigned == 1 ? "" : "s", assigned == 1 ? "s" : "ve");
	}
}

const struct doctor_check doctor_vf_bars = {
	.id = "vf-bars",
	.title = "there is memory for the BARs of its VFs",
	.scope = DOCTOR_DEVICE,
	.stop = true,
	.kinds = KIND_PF,
	.run = vf_bars_run,
};
