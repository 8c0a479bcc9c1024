// SPDX-License-Identifier: GPL-2.0-or-later
/* The doctor's checks that ask more than files: KVM itself, and whether the lab would run. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/doctor_cli.h"
#include "common/cleanup.h"

#define KVM_TIMEOUT_MS  20000
#define QEMU_TIMEOUT_MS 10000

#define QEMU "qemu-system-x86_64"
/* What `viaduct lab run` gives its machine, and QEMU beside it. */
#define LAB_MEMORY_MIB (2560 + 256)

/* ---- KVM ---- */

static void kvm_linux_run(struct doctor *d)
{
	static const enum vfm_status status[] = {
		[KVM_BOOTS] = VFM_PASS,
		[KVM_SLOW] = VFM_WARN,
		[KVM_CANNOT] = VFM_FAIL,
		[KVM_ABSENT] = VFM_FAIL,
	};
	struct kvm_probe p;

	if (!doctor_is_here(d)) {
		doctor_say(d, VFM_SKIP, "a recorded tree has no KVM to try");
		return;
	}
	kvm_probe(KVM_TIMEOUT_MS, &p);
	doctor_say(d, status[p.answer], "%s", p.text);
	if (p.answer == KVM_ABSENT)
		doctor_fix(d, "see kvm-access; the lab brings a KVM of its own: viaduct lab run");
	else if (p.answer != KVM_BOOTS)
		doctor_fix(d,
			"run guests in the lab, which brings a KVM of its own: viaduct lab run -- "
			"viaduct run ...");
}

const struct doctor_check doctor_kvm_linux = {
	.id = "kvm-linux",
	.title = "a guest on this KVM can boot Linux",
	.scope = DOCTOR_HOST,
	.stop = true,
	.needs = "kvm-access",
	.run = kvm_linux_run,
};

/* ---- the lab ---- */

/* All of what @argv prints, at most @size - 1 bytes. 0 or -errno. */
static int output_of(char *const *argv, char *buf, size_t size)
{
	posix_spawn_file_actions_t actions;
	int p[2], r, status;
	size_t n = 0;
	pid_t pid;

	if (pipe(p) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, p[1], 1);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addclose(&actions, p[0]);
	posix_spawn_file_actions_addclose(&actions, p[1]);
	r = -posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(p[1]);
	while (r == 0) {
		struct pollfd pfd = {.fd = p[0], .events = POLLIN};
		char rest[4096];
		ssize_t got;

		if (poll(&pfd, 1, QEMU_TIMEOUT_MS) <= 0) {
			kill(pid, SIGKILL);
			r = -ETIMEDOUT;
			break;
		}
		got = n < size - 1 ? read(p[0], buf + n, size - 1 - n)
				   : read(p[0], rest, sizeof(rest));
		if (got <= 0)
			break;
		n += n < size - 1 ? (size_t)got : 0;
	}
	close(p[0]);
	buf[n] = '\0';
	if (r == 0 || r == -ETIMEDOUT) {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	return r;
}

/* MiB that are free for a new process; 0: cannot be told. */
static uint64_t memory_available(void)
{
	_cleanup_file_ FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kib;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			return kib >> 10;
	}
	return 0;
}

/* Why the lab cannot run here, with the fix; false when it can. */
static bool lab_is_missing(char *why, size_t why_size, char *fix, size_t fix_size)
{
	static const char *const devices[] = {"igb", "intel-iommu", "nvme"};
	char *argv[] = {(char *)QEMU, (char *)"-device", (char *)"help", NULL};
	_cleanup_free_ char *text = malloc(1 << 18);
	uint64_t mib = memory_available();
	int r = text ? output_of(argv, text, 1 << 18) : -ENOMEM;

	snprintf(fix, fix_size,
		"apt-get install qemu-system-x86 (8.0 or later), or run "
		"./scripts/setup");
	if (r < 0) {
		snprintf(why, why_size, "%s does not run: %s", QEMU, strerror(-r));
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		char name[32];

		snprintf(name, sizeof(name), "name \"%s\"", devices[i]);
		if (!strstr(text, name)) {
			snprintf(why, why_size, "this QEMU has no device %s", devices[i]);
			return true;
		}
	}
	if (mib && mib < LAB_MEMORY_MIB) {
		snprintf(why, why_size,
			"it takes %d MiB, and %" PRIu64 " MiB of memory are available",
			LAB_MEMORY_MIB, mib);
		snprintf(fix, fix_size, "free some, or give it less: viaduct lab run --memory %d",
			mib > 1024 ? (int)(mib - 512) / 256 * 256 : 512);
		return true;
	}
	return false;
}

static void lab_run(struct doctor *d)
{
	char lacks[128] = "", why[160], fix[192];
	const struct {
		const char *what;
		bool lacking;
	} needs[] = {
		{"SR-IOV", !doctor_pfs(d)},
		{"an IOMMU", doctor_status_of(d, "iommu") == VFM_FAIL},
		/* One that this user may not open is put right otherwise. */
		{"a KVM that boots Linux", access("/dev/kvm", F_OK) < 0 ||
						   doctor_status_of(d, "kvm-linux") > VFM_SKIP},
	};
	bool missing;

	if (!doctor_is_here(d)) {
		doctor_say(d, VFM_SKIP, "a recorded tree says nothing about QEMU here");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		size_t n = strlen(lacks);

		if (needs[i].lacking)
			snprintf(
				lacks + n, sizeof(lacks) - n, "%s%s", n ? ", " : "", needs[i].what);
	}
	missing = lab_is_missing(why, sizeof(why), fix, sizeof(fix));
	if (!*lacks) {
		doctor_say(d, VFM_PASS,
			"not needed: this machine has what guests with devices "
			"take");
	} else if (getenv("VIADUCT_IN_LAB")) {
		doctor_say(d, VFM_SKIP, "this is the lab, and it lacks %s", lacks);
		doctor_fix(d, "leave it, and start it with other options: viaduct lab run --help");
	} else if (missing) {
		doctor_say(d, VFM_FAIL, "this machine lacks %s, and the lab cannot stand in: %s",
			lacks, why);
		doctor_fix(d, "%s", fix);
	} else {
		doctor_say(d, VFM_PASS,
			"this machine lacks %s; the lab has all of it: viaduct lab "
			"run --nic igb -- COMMAND",
			lacks);
	}
}

const struct doctor_check doctor_lab = {
	.id = "lab",
	.title = "where this machine lacks something, the lab can stand in",
	.scope = DOCTOR_HOST,
	.run = lab_run,
};
