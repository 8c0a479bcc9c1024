// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf lease take, list, free and gc. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cli/json.h"
#include "cli/vf.h"
#include "common/cleanup.h"
#include "vf-manager/lease.h"

const struct argp_option vf_lease_options[] = {
	{"owner", VF_KEY(VF_OPT_OWNER), "NAME", 0,
		"take: whose it is, for messages (default: the command's name)", 0},
	{"pid", VF_KEY(VF_OPT_PID), "PID", 0, "take: until this process has ended", 0},
	{"force", VF_KEY(VF_OPT_FORCE), NULL, 0,
		"free: also one that is held; what that costs is said before", 0},
	{"json", 'j', NULL, 0, "list: print JSON", 0},
	VF_COMMON_OPTIONS,
};

/* A name made of what @text has that a name can have. */
static void owner_from(const char *text, char *buf, size_t size)
{
	const char *base = strrchr(text, '/');
	size_t n = 0;

	for (base = base ? base + 1 : text; *base && n + 1 < size; base++) {
		if (strchr("-_.:@", *base) || (*base >= '0' && *base <= '9') ||
			((*base | 32) >= 'a' && (*base | 32) <= 'z'))
			buf[n++] = *base;
	}
	buf[n] = '\0';
	if (!n)
		snprintf(buf, size, "lease");
}

/*
 * COMMAND takes our place and keeps the descriptor, so the lease ends when it and all that inherited
 * it have ended, with no process of ours between them.
 */
static int take_for_command(struct vfm *v, const struct vf_args *a, struct bdf b)
{
	char owner[VFM_OWNER_MAX];
	struct err e = {0};
	int fd = -1, r;

	owner_from(
		a->opt[VF_OPT_OWNER] ? a->opt[VF_OPT_OWNER] : a->command[0], owner, sizeof(owner));
	r = vfm_lease_take(v, b, a->opt[VF_OPT_OWNER] ? a->opt[VF_OPT_OWNER] : owner, 0, &fd, &e);
	if (r < 0)
		return r == -EINVAL ? vf_usage("%s", e.text) : vf_fail(r, &e);
	if (fcntl(fd, F_SETFD, 0) == 0)
		execvp(a->command[0], a->command);
	r = errno;
	vfm_lease_drop(v, b, &fd);
	fprintf(stderr, "viaduct vf: %s: %s\n", a->command[0], strerror(r));
	return r == ENOENT ? 127 : 126;
}

/* In a child of its own that nobody waits for, until the process behind @pidfd has ended. */
static void watch(struct vfm *v, struct bdf b, int fd, int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int lo = fd < pidfd ? fd : pidfd, hi = fd < pidfd ? pidfd : fd;

	setsid();
	prctl(PR_SET_NAME, "viaduct:lease");
	for (int i = 0; null >= 0 && i < 3; i++)
		dup2(null, i);
	/* Whoever waits for the end of our caller's pipes must not wait for this one. */
	if (lo > 3)
		close_range(3, (unsigned)lo - 1, 0);
	if (hi > lo + 1)
		close_range((unsigned)lo + 1, (unsigned)hi - 1, 0);
	close_range((unsigned)hi + 1, ~0u, 0);
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	vfm_lease_drop(v, b, &fd);
}

static int take_for_process(struct vfm *v, const struct vf_args *a, struct bdf b)
{
	char path[64], comm[32] = "", owner[VFM_OWNER_MAX], *end;
	unsigned long pid = strtoul(a->opt[VF_OPT_PID], &end, 10);
	_cleanup_fd_ int pidfd = -1;
	struct err e = {0};
	int fd = -1, r;
	pid_t child;
	FILE *f;

	if (*end || *a->opt[VF_OPT_PID] < '1' || *a->opt[VF_OPT_PID] > '9' || pid > INT32_MAX)
		return vf_usage("'%s' is no process", a->opt[VF_OPT_PID]);
	/* From here on it is this process, whoever gets its number later. */
	pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	if (pidfd < 0)
		return vf_fail(-errno, (err_sys(&e, errno, "process %lu", pid), &e));
	snprintf(path, sizeof(path), "/proc/%lu/comm", pid);
	f = fopen(path, "re");
	if (f) {
		(void)!fgets(comm, sizeof(comm), f);
		fclose(f);
	}
	owner_from(comm, owner, sizeof(owner));
	r = vfm_lease_take(
		v, b, a->opt[VF_OPT_OWNER] ? a->opt[VF_OPT_OWNER] : owner, (pid_t)pid, &fd, &e);
	if (r < 0)
		return r == -EINVAL ? vf_usage("%s", e.text) : vf_fail(r, &e);
	child = fork();
	if (child < 0) {
		err_sys(&e, errno, "start the process that keeps the lease");
		vfm_lease_drop(v, b, &fd);
		return vf_fail(-e.code, &e);
	}
	if (child == 0) {
		watch(v, b, fd, pidfd);
		_exit(0);
	}
	fd_close(fd);
	if (!vf_flag(a, VF_OPT_QUIET))
		printf("%s: leased until process %lu ends (kept by process %d)\n", a->pos[1], pid,
			(int)child);
	return EXIT_DONE;
}

static int lease_take(struct vfm *v, const struct vf_args *a)
{
	bool pid = a->opt[VF_OPT_PID];
	struct bdf b;
	int r;

	if (a->n != 2 || !!a->command == pid)
		return vf_usage(
			"lease take VF takes '-- COMMAND...' or --pid PID: a lease lasts as "
			"long as a process");
	r = vf_function(v, a->pos[1], &b);
	if (r)
		return r;
	return pid ? take_for_process(v, a, b) : take_for_command(v, a, b);
}

static int list_json(const struct vfm_lease *l, int n)
{
	json_t *list = json_array();
	char name[BDF_STRLEN];

	for (int i = 0; i < n; i++) {
		json_t *o = json_object();

		json_object_set_new(o, "bdf", json_string(bdf_format(l[i].bdf, name)));
		json_object_set_new(o, "owner", json_string(l[i].owner));
		json_object_set_new(o, "pid", l[i].pid ? json_integer(l[i].pid) : json_null());
		json_object_set_new(o, "since",
			l[i].since ? json_integer((json_int_t)l[i].since) : json_null());
		json_object_set_new(o, "held", json_boolean(l[i].held));
		json_array_append_new(list, o);
	}
	return json_print(json_pack("{s:o}", "leases", list));
}

static int lease_list(struct vfm *v, const struct vf_args *a)
{
	_cleanup_free_ struct vfm_lease *l = NULL;
	struct err e = {0};
	int n = vfm_lease_list(v, &l, &e);

	if (n < 0)
		return vf_fail(n, &e);
	if (vf_flag(a, VF_OPT_JSON))
		return list_json(l, n);
	if (n)
		printf("%-13s %-20s %8s %-20s %s\n", "FUNCTION", "OWNER", "PROCESS", "SINCE",
			"STATE");
	for (int i = 0; i < n; i++) {
		char name[BDF_STRLEN], when[32] = "?", pid[16] = "?";
		time_t t = (time_t)l[i].since;
		struct tm tm;

		if (l[i].since && localtime_r(&t, &tm))
			strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
		if (l[i].pid)
			snprintf(pid, sizeof(pid), "%d", (int)l[i].pid);
		printf("%-13s %-20s %8s %-20s %s\n", bdf_format(l[i].bdf, name), l[i].owner, pid,
			when, l[i].held ? "held" : "stale");
	}
	return EXIT_DONE;
}

static int lease_free(struct vfm *v, const struct vf_args *a)
{
	struct vfm_lease l;
	struct err e = {0};
	struct bdf b;
	int r;

	if (a->n != 2)
		return vf_usage("lease free takes one VF");
	/* Its function may be gone: an address needs none. */
	r = bdf_parse(a->pos[1], &b) < 0 ? vf_function(v, a->pos[1], &b) : 0;
	if (r)
		return r;
	r = vfm_lease_free(v, b, vf_flag(a, VF_OPT_FORCE), &l, &e);
	if (r < 0)
		return vf_fail(r, &e);
	if (!vf_flag(a, VF_OPT_QUIET))
		printf("%s: lease of %s freed%s\n", a->pos[1], l.owner,
			l.held ? "" : " (its holder was gone)");
	return EXIT_DONE;
}

static int lease_gc(struct vfm *v, const struct vf_args *a)
{
	struct err e = {0};
	int n = vfm_lease_gc(v, &e);

	if (n < 0)
		return vf_fail(n, &e);
	if (!vf_flag(a, VF_OPT_QUIET))
		printf("%d stale lease%s removed\n", n, n == 1 ? "" : "s");
	return EXIT_DONE;
}

int vf_lease(struct vfm *v, const struct vf_args *a)
{
	static const struct {
		const char *name;
		int (*run)(struct vfm *v, const struct vf_args *a);
		unsigned max;
	} verbs[] = {{"take", lease_take, 2}, {"list", lease_list, 1}, {"free", lease_free, 2},
		{"gc", lease_gc, 1}};

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(verbs[i].name, a->pos[0]))
			continue;
		if (a->command && i)
			return vf_usage("only 'lease take' takes a command");
		if (a->n > verbs[i].max)
			return vf_usage("'%s' is one argument too many", a->pos[a->n - 1]);
		return verbs[i].run(v, a);
	}
	return vf_usage("'%s': lease take, list, free or gc", a->pos[0]);
}
