// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * boot-probe MARKER COMMAND...: start COMMAND (a VMM), wait for a line of its output that holds
 * MARKER, and print what it took until then as one line of JSON: milliseconds, the exits KVM counted
 * for this process's VMs, and its memory. Then kill it.
 * Exit status: 0, 1 the marker never came, 2 usage.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS  120000
#define KVM_DEBUGFS "/sys/kernel/debug/kvm"

static const char *const counters[] = {
	"exits", "io_exits", "mmio_exits", "irq_exits", "halt_exits", "pf_fixed", "insn_emulation"};

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* KVM keeps the counters of each VM in a directory called <pid>-<fd>. */
static bool counters_print(pid_t pid)
{
	uint64_t sum[sizeof(counters) / sizeof(*counters)] = {0};
	char prefix[32], path[512];
	struct dirent *d;
	bool found = false;
	DIR *dir = opendir(KVM_DEBUGFS);

	snprintf(prefix, sizeof(prefix), "%d-", (int)pid);
	while (dir && (d = readdir(dir))) {
		if (strncmp(d->d_name, prefix, strlen(prefix)))
			continue;
		for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++) {
			unsigned long v = 0;
			FILE *f;

			snprintf(path, sizeof(path), KVM_DEBUGFS "/%s/%s", d->d_name, counters[i]);
			f = fopen(path, "re");
			if (f && fscanf(f, "%lu", &v) == 1) {
				sum[i] += v;
				found = true;
			}
			if (f)
				fclose(f);
		}
	}
	if (dir)
		closedir(dir);
	for (size_t i = 0; i < sizeof(counters) / sizeof(*counters) && found; i++)
		printf(", \"%s\": %" PRIu64, counters[i], sum[i]);
	return found;
}

/* "Key:  123 kB" of a line, or false. */
static bool kb_line(const char *line, const char *key, unsigned long *ret)
{
	size_t n = strlen(key);

	return !strncmp(line, key, n) && line[n] == ':' && sscanf(line + n + 1, "%lu", ret) == 1;
}

/*
 * Resident file pages, and what is private to the process beside the guest's memory: that is the
 * largest writable mapping in every VMM here.
 */
static void memory_print(pid_t pid)
{
	unsigned long file = 0, anon = 0, private = 0, guest = 0, guest_private = 0, v;
	unsigned long size = 0, vma_private = 0;
	char path[64], line[512], perms[8] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (kb_line(line, "RssFile", &v))
			file = v;
		else if (kb_line(line, "RssAnon", &v))
			anon = v;
	}
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*x-%*x %7s", perms) == 1) {
			size = vma_private = 0;
		} else if (kb_line(line, "Size", &v)) {
			size = v;
		} else if (kb_line(line, "Private_Clean", &v) ||
			   kb_line(line, "Private_Dirty", &v)) {
			private += v;
			vma_private += v;
		} else if (!strncmp(line, "VmFlags", 7) && perms[1] == 'w' && size > guest) {
			guest = size;
			guest_private = vma_private;
		}
	}
	if (f)
		fclose(f);
	printf(", \"rss_file_kb\": %lu, \"rss_anon_kb\": %lu, \"private_kb\": %lu, \"guest_kb\": "
	       "%lu",
		file, anon, private - guest_private, guest);
}

static pid_t start(char **argv, int out)
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(null, STDIN_FILENO);
		dup2(out, STDOUT_FILENO);
		execvp(argv[0], argv);
		fprintf(stderr, "boot-probe: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	return pid;
}

/* Read @fd until @marker comes; false when it ends, or takes too long. Leaves the output's tail. */
static bool marker_wait(
	int fd, const char *marker, int64_t since, char *buf, size_t size, size_t *ret_len)
{
	size_t len = 0;
	bool seen = false;

	buf[0] = '\0';
	while (!seen) {
		struct pollfd p = {fd, POLLIN, 0};
		int left = TIMEOUT_MS - (int)((now_us() - since) / 1000);
		ssize_t n;

		if (left <= 0 || poll(&p, 1, left) <= 0)
			break;
		n = read(fd, buf + len, size - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
		buf[len] = '\0';
		seen = strstr(buf, marker) != NULL;
		/* Keep the tail: the marker may be cut in two. */
		if (!seen && len > size / 2) {
			memmove(buf, buf + len - size / 4, size / 4);
			len = size / 4;
		}
	}
	*ret_len = len;
	return seen;
}

int main(int argc, char **argv)
{
	char buf[16384];
	size_t len;
	int p[2], status;
	int64_t since;
	bool seen;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: boot-probe MARKER COMMAND...\n");
		return 2;
	}
	if (pipe2(p, O_CLOEXEC) < 0) {
		perror("boot-probe: pipe");
		return 1;
	}
	since = now_us();
	pid = start(argv + 2, p[1]);
	if (pid < 0) {
		perror("boot-probe: fork");
		return 1;
	}
	close(p[1]);
	seen = marker_wait(p[0], argv[1], since, buf, sizeof(buf), &len);
	if (seen) {
		/* A stopped VMM counts no more exits while its memory is looked at. */
		printf("{\"ms\": %" PRId64, (now_us() - since) / 1000);
		kill(pid, SIGSTOP);
		if (!counters_print(pid))
			fprintf(stderr, "boot-probe: no counters in " KVM_DEBUGFS "\n");
		memory_print(pid);
		printf("}\n");
	} else {
		fprintf(stderr, "boot-probe: '%s' never came; last output:\n%s\n", argv[1],
			buf + (len < 2000 ? 0 : len - 2000));
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return seen ? 0 : 1;
}
