// SPDX-License-Identifier: GPL-2.0-or-later
/* One function as it stands: who uses it, where it is, how it is reset, who may open it. */
#include "vf-manager/doctor_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* ---- in use ---- */

static void in_use_run(struct doctor *d)
{
	/* Of a whole machine it is news, of the one device that was asked for an obstacle. */
	enum vfm_status busy = d->cfg->only ? VFM_WARN : VFM_PASS;

	if (!d->use && d->f->holder.pid) {
		doctor_say(d, busy, "in use: open in VFIO by %s[%d]", d->f->holder.comm,
			(int)d->f->holder.pid);
		if (busy == VFM_WARN)
			doctor_fix(d, "end that first");
	} else if (!d->use) {
		doctor_say(d, VFM_SKIP, "who uses it cannot be told: %s", d->usage_error.text);
	} else if (!d->use->uses) {
		doctor_say(d, effective_uid(d->v) == 0 ? VFM_PASS : VFM_SKIP, "%s",
			effective_uid(d->v) == 0
				? "nobody uses it"
				: "nobody is seen to use it; other users' processes are not seen");
		if (effective_uid(d->v) != 0)
			doctor_fix(d, "run as root");
	} else {
		doctor_say(d, busy, "in use: %s", d->use->text);
		if (busy == VFM_WARN)
			doctor_fix(d, "end that first; else: %s", d->use->consequence);
	}
}

const struct doctor_check doctor_in_use = {
	.id = "in-use",
	.title = "nobody uses it",
	.scope = DOCTOR_DEVICE,
	.kinds = KIND_ASSIGNED,
	.run = in_use_run,
};

/* ---- NUMA ---- */

#define NODES_MAX 1024

/* Number of NUMA nodes, and whether @node is one that has processors. */
static unsigned nodes_count(struct vfm *v, int node, bool *ret_exists, bool *ret_cpus)
{
	char **names, path[96], text[256];
	unsigned n = 0;

	*ret_exists = *ret_cpus = false;
	if (sysfs_list(&v->sys, "sys/devices/system/node", &names) < 0)
		return 0;
	for (char **p = names; *p; p++) {
		char *end;
		long k;

		if (strncmp(*p, "node", 4) || (*p)[4] < '0' || (*p)[4] > '9')
			continue;
		k = strtol(*p + 4, &end, 10);
		if (*end || k > NODES_MAX)
			continue;
		n++;
		if (k != node)
			continue;
		*ret_exists = true;
		snprintf(path, sizeof(path), "sys/devices/system/node/node%d/cpulist", node);
		*ret_cpus = sysfs_read(&v->sys, path, text, sizeof(text)) > 0;
	}
	sysfs_list_free(names);
	return n;
}

static void numa_run(struct doctor *d)
{
	int node = d->f->numa_node;
	bool exists, cpus;
	unsigned n = nodes_count(d->v, node, &exists, &cpus);

	if (!n) {
		doctor_say(d, VFM_SKIP, "this kernel shows no NUMA nodes");
	} else if (n == 1) {
		doctor_say(d, VFM_PASS, "the machine has one NUMA node");
	} else if (node < 0) {
		doctor_say(d, VFM_WARN,
			"firmware does not say on which of %u NUMA nodes it is (-1): nothing can "
			"be "
			"placed beside it",
			n);
		doctor_fix(d, "update the firmware, or turn its NUMA and cluster options on");
	} else if (!exists) {
		doctor_say(
			d, VFM_WARN, "it is said to be on NUMA node %d, which is not there", node);
		doctor_fix(d, "update the firmware");
	} else if (!cpus) {
		doctor_say(d, VFM_WARN, "it is on NUMA node %d, which has no processors", node);
		doctor_fix(d, "put the card into a slot of another processor");
	} else {
		doctor_say(d, VFM_PASS, "NUMA node %d of %u: run its guest's vCPUs there", node, n);
	}
}

const struct doctor_check doctor_numa = {
	.id = "numa",
	.title = "its NUMA node is known",
	.scope = DOCTOR_DEVICE,
	.kinds = KIND(VFM_PF) | KIND(VFM_OTHER),
	.run = numa_run,
};

/* ---- reset ---- */

static void reset_run(struct doctor *d)
{
	char path[PATH_MAX], text[VFM_RESETS_MAX];
	const char *attr = sysfs_pci_path(d->f->bdf, "reset_method", path, sizeof(path));
	int r = sysfs_read(&d->v->sys, attr, text, sizeof(text));

	/* Before 5.15 there is a file "reset", without the ways. */
	if (r == -ENOENT &&
		sysfs_exists(&d->v->sys, sysfs_pci_path(d->f->bdf, "reset", path, sizeof(path)))) {
		doctor_say(d, VFM_PASS, "the kernel can reset it%s",
			d->caps.flr == VFM_YES ? " (FLR)" : "");
	} else if (r == -ENOENT && d->caps.flr == VFM_YES) {
		doctor_say(d, VFM_SKIP, "it has FLR, but sysfs has neither reset_method nor reset");
	} else if (r == -ENOENT || r == 0) {
		doctor_say(d, VFM_WARN,
			"the kernel has no way to reset it: what one guest left in "
			"it the next one finds");
		doctor_fix(d, "give it to one guest only, or power the machine off in between");
	} else if (r < 0) {
		doctor_say(d, VFM_SKIP, "how it is reset cannot be read: %s", strerror(-r));
	} else if (word_in(text, "flr") || word_in(text, "af_flr") ||
		   word_in(text, "device_specific")) {
		doctor_say(d, VFM_PASS, "reset by %s", text);
	} else {
		doctor_say(d, VFM_WARN, "reset by %s alone, which may not clear all of it%s", text,
			word_in(text, "bus") ? ", and resets what shares its bus" : "");
		doctor_fix(d,
			"give it to guests that trust each other, or power the machine off in "
			"between");
	}
}

const struct doctor_check doctor_reset_method = {
	.id = "reset-method",
	.title = "it is reset between guests",
	.scope = DOCTOR_DEVICE,
	.kinds = KIND_ASSIGNED,
	.run = reset_run,
};

/* ---- nodes ---- */

static void vfio_node_run(struct doctor *d)
{
	char node[128], name[USER_MAX];
	int r;

	if (!driver_is_vfio(d->v, d->f->driver)) {
		doctor_say(d, VFM_SKIP, "VFIO does not have it (driver %s)",
			*d->f->driver ? d->f->driver : "none");
		doctor_fix(d, "viaduct vf bind ADDRESS vfio-pci, when a guest is to have it");
		return;
	}
	if (*d->f->vfio_cdev)
		snprintf(node, sizeof(node), "dev/vfio/devices/%s", d->f->vfio_cdev);
	if (!*d->f->vfio_cdev || !sysfs_exists(&d->v->sys, node))
		snprintf(node, sizeof(node), "dev/vfio/%d", d->f->iommu_group);
	if (d->f->iommu_group < 0 || !sysfs_exists(&d->v->sys, node)) {
		doctor_say(d, VFM_FAIL, "VFIO has it, but there is no node /%s", node);
		doctor_fix(d, "is udev running, and /dev a devtmpfs?");
		return;
	}
	r = user_may_write(d, node);
	/* A group is opened into a container. */
	if (r == 1 && strncmp(node, "dev/vfio/devices/", 17) &&
		sysfs_exists(&d->v->sys, "dev/vfio/vfio")) {
		r = user_may_write(d, "dev/vfio/vfio");
		if (r != 1)
			snprintf(node, sizeof(node), "dev/vfio/vfio");
	}
	if (r == 1) {
		doctor_say(d, VFM_PASS, "%s may open /%s", user_name(d), node);
	} else if (r == 0) {
		doctor_say(d, VFM_FAIL, "%s may not open /%s", user_name(d), node);
		doctor_fix(d, "chown %s /%s (for good: a udev rule for SUBSYSTEM==\"vfio\")",
			user_account(d, name), node);
	} else {
		doctor_say(d, VFM_SKIP, "whether %s may open /%s cannot be told: %s", user_name(d),
			node, strerror(-r));
		doctor_fix(d, "run as root to ask for another user");
	}
}

const struct doctor_check doctor_vfio_node = {
	.id = "vfio-node",
	.title = "its VFIO node may be opened",
	.scope = DOCTOR_DEVICE,
	.kinds = KIND_ASSIGNED,
	.needs = "iommu",
	.run = vfio_node_run,
};
