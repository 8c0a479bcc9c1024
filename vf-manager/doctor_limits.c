// SPDX-License-Identifier: GPL-2.0-or-later
/* What a guest's process may lock, map and open. */
#include "vf-manager/doctor_priv.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static uint64_t guest_memory(const struct doctor *d)
{
	return d->cfg->memory ? d->cfg->memory : GUEST_DEFAULT;
}

/* ---- locked memory ---- */

/* "Max locked memory  8388608  8388608  bytes" of /proc/self/limits; false when not there. */
static bool memlock_of_caller(struct vfm *v, uint64_t *ret)
{
	static const char key[] = "Max locked memory";
	_cleanup_free_ char *text = NULL;
	char *next, *line, word[32];

	if (text_load(v, "proc/self/limits", 16384, &text) < 0)
		return false;
	next = text;
	while ((line = line_next(&next))) {
		char *end;

		if (strncmp(line, key, sizeof(key) - 1) ||
			sscanf(line + sizeof(key) - 1, "%31s", word) != 1)
			continue;
		if (!strcmp(word, "unlimited")) {
			*ret = UINT64_MAX;
			return true;
		}
		errno = 0;
		*ret = strtoull(word, &end, 10);
		return word[0] >= '0' && word[0] <= '9' && !*end && !errno;
	}
	return false;
}

static bool user_in_group(const char *user, const char *group)
{
	_cleanup_free_ gid_t *groups = NULL;
	struct passwd p, *found = NULL;
	struct group g, *got = NULL;
	char pbuf[4096], *gbuf;
	bool in = false;
	int n = 4096;

	if (getpwnam_r(user, &p, pbuf, sizeof(pbuf), &found) || !found)
		return false;
	groups = calloc((size_t)n, sizeof(*groups));
	gbuf = malloc(65536);
	if (groups && gbuf && getgrnam_r(group, &g, gbuf, 65536, &got) == 0 && got &&
		getgrouplist(user, p.pw_gid, groups, &n) >= 0) {
		for (int i = 0; i < n; i++)
			in |= groups[i] == g.gr_gid;
	}
	free(gbuf);
	return in;
}

/*
 * One line of limits.conf(5): "<domain> <type> <item> <value>", KiB. True when it sets the soft limit
 * of @user; a user's own line goes before a group's, and that before "*".
 */
static bool limits_line(char *line, const char *user, unsigned *ret_rank, uint64_t *ret)
{
	char domain[64], type[16], item[32], value[32], *end;
	unsigned rank;

	line[strcspn(line, "#")] = '\0';
	if (sscanf(line, "%63s %15s %31s %31s", domain, type, item, value) != 4 ||
		strcmp(item, "memlock") || (strcmp(type, "soft") && strcmp(type, "-")))
		return false;
	if (!strcmp(domain, user))
		rank = 3;
	else if (domain[0] == '@' && user_in_group(user, domain + 1))
		rank = 2;
	else if (!strcmp(domain, "*") && strcmp(user, "root"))
		rank = 1;
	else
		return false;
	if (!strcmp(value, "unlimited") || !strcmp(value, "infinity") || !strcmp(value, "-1")) {
		*ret = UINT64_MAX;
	} else {
		errno = 0;
		*ret = strtoull(value, &end, 10);
		if (value[0] < '0' || value[0] > '9' || *end || errno || *ret > UINT64_MAX >> 10)
			return false;
		*ret <<= 10;
	}
	*ret_rank = rank;
	return true;
}

/* What PAM would give @user; false when no file says anything of him. */
static bool memlock_of_user(struct vfm *v, const char *user, uint64_t *ret)
{
	char path[400], **names = NULL;
	unsigned best = 0, rank;
	int n = sysfs_list(&v->sys, "etc/security/limits.d", &names);

	for (int i = -1; i < (n < 0 ? 0 : n) && i < (int)CONF_FILES_MAX; i++) {
		_cleanup_free_ char *text = NULL;
		char *next, *line;
		uint64_t limit;

		if (i >= 0 && !strstr(names[i], ".conf"))
			continue;
		snprintf(path, sizeof(path), "etc/security/limits.%s%s", i < 0 ? "conf" : "d/",
			i < 0 ? "" : names[i]);
		if (text_load(v, path, CONF_FILE_MAX, &text) < 0)
			continue;
		next = text;
		while ((line = line_next(&next))) {
			if (limits_line(line, user, &rank, &limit) && rank >= best) {
				best = rank;
				*ret = limit;
			}
		}
	}
	if (n >= 0)
		sysfs_list_free(names);
	return best > 0;
}

static void memlock_fix(struct doctor *d, uint64_t need_kib)
{
	char name[USER_MAX];

	doctor_fix(d,
		"add '%s - memlock %" PRIu64 "' to /etc/security/limits.conf and log in again, or "
		"LimitMEMLOCK=%" PRIu64 "K to the unit",
		user_account(d, name), need_kib, need_kib);
}

static void memlock_run(struct doctor *d)
{
	uint64_t want = guest_memory(d), limit;
	bool known = d->cfg->user ? memlock_of_user(d->v, d->cfg->user, &limit)
				  : memlock_of_caller(d->v, &limit);

	if (d->cfg->user ? !strcmp(d->cfg->user, "root")
			 : capability_has(d->v, CAP_IPC_LOCK) == 1) {
		doctor_say(d, VFM_PASS, "%s may lock all memory (CAP_IPC_LOCK)", user_name(d));
	} else if (!known) {
		doctor_say(d, d->cfg->user ? VFM_WARN : VFM_SKIP,
			d->cfg->user
				? "no limits.conf gives %s locked memory: systemd's default is "
				  "8 MiB, and VFIO locks all of a guest's"
				: "how much memory %s may lock cannot be told",
			user_name(d));
		if (d->cfg->user)
			memlock_fix(d, want >> 10);
	} else if (limit == UINT64_MAX) {
		doctor_say(d, VFM_PASS, "%s may lock any amount of memory", user_name(d));
	} else if (limit < want) {
		doctor_say(d, d->cfg->memory ? VFM_FAIL : VFM_WARN,
			"%s may lock %" PRIu64 " MiB; VFIO locks all of a guest's %" PRIu64 " MiB",
			user_name(d), limit >> 20, want >> 20);
		memlock_fix(d, want >> 10);
	} else {
		doctor_say(d, VFM_PASS,
			"%s may lock %" PRIu64 " MiB, a guest of %" PRIu64 " MiB fits",
			user_name(d), limit >> 20, want >> 20);
	}
}

const struct doctor_check doctor_memlock = {
	.id = "memlock",
	.title = "a guest's memory may be locked",
	.scope = DOCTOR_HOST,
	.run = memlock_run,
};

/* ---- DMA mappings ---- */

/* A guest of ours takes one for each block of its memory and each BAR: a few dozen. */
#define ENTRIES_FEW 1024

static void dma_entry_limit_run(struct doctor *d)
{
	uint64_t n;
	int r = sysfs_read_u64(
		&d->v->sys, "sys/module/vfio_iommu_type1/parameters/dma_entry_limit", &n);

	if (r == -ENOENT) {
		doctor_say(d, VFM_SKIP, "vfio_iommu_type1 is not loaded");
	} else if (r < 0) {
		doctor_say(d, VFM_SKIP, "dma_entry_limit cannot be read: %s", strerror(-r));
	} else if (n < ENTRIES_FEW) {
		doctor_say(d, VFM_WARN,
			"vfio_iommu_type1 allows %" PRIu64 " mappings in an address space (its "
			"default is 65535)",
			n);
		doctor_fix(
			d, "echo 65535 > /sys/module/vfio_iommu_type1/parameters/dma_entry_limit");
	} else {
		doctor_say(d, VFM_PASS, "%" PRIu64 " mappings in an address space", n);
	}
}

const struct doctor_check doctor_dma_entry_limit = {
	.id = "dma-entry-limit",
	.title = "VFIO allows enough mappings",
	.scope = DOCTOR_HOST,
	.run = dma_entry_limit_run,
};

/* ---- huge pages ---- */

#define HUGE "sys/kernel/mm/hugepages/hugepages-2048kB/"

static void hugepages_run(struct doctor *d)
{
	uint64_t total, free_, want = (guest_memory(d) + (2u << 20) - 1) >> 21;
	int r = sysfs_read_u64(&d->v->sys, HUGE "nr_hugepages", &total);

	if (r == 0)
		r = sysfs_read_u64(&d->v->sys, HUGE "free_hugepages", &free_);
	if (r < 0) {
		doctor_say(d, VFM_SKIP, "the kernel shows no huge pages of 2 MiB");
	} else if (!total) {
		doctor_say(d, VFM_PASS,
			"no huge pages are reserved; guests get those that the kernel "
			"makes by itself");
	} else if (free_ > total || free_ < want) {
		doctor_say(d, VFM_WARN,
			"%" PRIu64 " of %" PRIu64 " huge pages are free, a guest of %" PRIu64
			" MiB takes %" PRIu64,
			free_, total, guest_memory(d) >> 20, want);
		doctor_fix(d,
			"sysctl vm.nr_hugepages=%" PRIu64 ", or do without: viaduct run takes "
			"them only when told so",
			total + want - (free_ < want ? free_ : want));
	} else {
		doctor_say(d, VFM_PASS, "%" PRIu64 " of %" PRIu64 " huge pages are free", free_,
			total);
	}
}

const struct doctor_check doctor_hugepages = {
	.id = "hugepages",
	.title = "huge pages that are reserved suffice",
	.scope = DOCTOR_HOST,
	.run = hugepages_run,
};

/* ---- cgroup ---- */

/* Is character device @major:@minor allowed by a line "c 10:196 rwm", "a *:* rwm" of devices.list? */
static bool device_line_allows(const char *line, unsigned major)
{
	char type, majors[16], minors[16], how[8];

	if (sscanf(line, "%c %15[^:]:%15s %7s", &type, majors, minors, how) != 4)
		return false;
	if (type != 'a' && type != 'c')
		return false;
	if (strcmp(majors, "*") && (unsigned long)major != strtoul(majors, NULL, 10))
		return false;
	return type == 'a' || (strchr(how, 'r') && strchr(how, 'w'));
}

/* The number of VFIO's character devices, from /proc/devices; 0: none yet. */
static unsigned vfio_major(struct vfm *v)
{
	_cleanup_free_ char *text = NULL;
	char *next, *line, name[32];
	unsigned major;

	if (text_load(v, "proc/devices", 65536, &text) < 0)
		return 0;
	next = text;
	while ((line = line_next(&next))) {
		if (sscanf(line, "%9u %31s", &major, name) == 2 && !strcmp(name, "vfio"))
			return major;
	}
	return 0;
}

/* The caller's place in the v1 hierarchy of devices; false when there is none. */
static bool devices_cgroup(struct vfm *v, char *buf, size_t size)
{
	_cleanup_free_ char *text = NULL;
	char *next, *line, *path;

	if (text_load(v, "proc/self/cgroup", 65536, &text) < 0)
		return false;
	next = text;
	while ((line = line_next(&next))) {
		path = strstr(line, ":devices:");
		if (!path || strstr(path, "/.."))
			continue;
		snprintf(buf, size, "sys/fs/cgroup/devices%s/devices.list", path + 9);
		return true;
	}
	return false;
}

static void device_cgroup_run(struct doctor *d)
{
	_cleanup_free_ char *text = NULL;
	unsigned major = vfio_major(d->v);
	char path[PATH_MAX], *next, *line;
	bool allowed = false;

	if (!devices_cgroup(d->v, path, sizeof(path)) ||
		text_load(d->v, path, CONF_FILE_MAX, &text) < 0) {
		doctor_say(d, VFM_SKIP,
			"which devices this control group may open cannot be read "
			"(version 2 keeps it in a program)");
		return;
	}
	if (!major) {
		doctor_say(d, VFM_SKIP, "VFIO has no device nodes yet");
		return;
	}
	next = text;
	while ((line = line_next(&next)))
		allowed |= device_line_allows(line, major);
	if (allowed) {
		doctor_say(d, VFM_PASS, "this control group may open VFIO's nodes");
		return;
	}
	doctor_say(d, VFM_FAIL, "this control group may not open VFIO's nodes (c %u:*)", major);
	doctor_fix(d, "DeviceAllow=char-vfio rw in the unit, or --device /dev/vfio/GROUP for the "
		      "container");
}

const struct doctor_check doctor_device_cgroup = {
	.id = "device-cgroup",
	.title = "the control group allows VFIO's nodes",
	.scope = DOCTOR_HOST,
	.run = device_cgroup_run,
};
