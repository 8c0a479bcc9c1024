// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * boot-probe MARKER COMMAND...: start COMMAND (a VMM), wait for a line of its output that holds
 * MARKER, and print what it took until then as JSON: milliseconds, KVM exits (from debugfs, so
 * nothing else may use KVM meanwhile) and resident memory of the process. Then kill it.
 * Exit status: 0, 1 the marker never came, 2 usage.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS 120000

static const char *const counters[] = {
	"exits", "io_exits", "mmio_exits", "halt_exits", "irq_exits", "pf_fixed", "insn_emulation"};

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* The sum over the VMs there are now; the total of VMs that are gone is not in it. */
static uint64_t counter(const char *name)
{
	char path[128], buf[64];
	uint64_t v = 0;
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n > 0) {
		buf[n] = '\0';
		v = strtoull(buf, NULL, 10);
	}
	return v;
}

static void rss(pid_t pid)
{
	static const char *const keys[] = {"RssAnon", "RssFile", "RssShmem"};
	char path[64], line[256];
	unsigned long v;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		for (size_t i = 0; i < 3; i++) {
			size_t n = strlen(keys[i]);

			if (!strncmp(line, keys[i], n) && sscanf(line + n, ": %lu", &v) == 1)
				printf(", \"%s_kb\": %lu", keys[i], v);
		}
	}
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	char buf[65536];
	size_t len = 0;
	int p[2], status;
	int64_t start;
	bool seen = false;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: boot-probe MARKER COMMAND...\n");
		return 2;
	}
	if (pipe2(p, O_CLOEXEC) < 0)
		return 1;
	start = now_us();
	pid = fork();
	if (pid < 0)
		return 1;
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(null, STDIN_FILENO);
		dup2(p[1], STDOUT_FILENO);
		execvp(argv[2], argv + 2);
		fprintf(stderr, "boot-probe: %s: %s\n", argv[2], strerror(errno));
		_exit(127);
	}
	close(p[1]);
	while (!seen) {
		struct pollfd pfd = {p[0], POLLIN, 0};
		int left = TIMEOUT_MS - (int)((now_us() - start) / 1000);
		ssize_t n;

		if (left <= 0 || poll(&pfd, 1, left) <= 0)
			break;
		n = read(p[0], buf + len, sizeof(buf) - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
		buf[len] = '\0';
		seen = strstr(buf, argv[1]) != NULL;
		/* Keep the tail: the marker may be cut in two. */
		if (!seen && len > sizeof(buf) / 2) {
			memmove(buf, buf + len - 256, 256);
			len = 256;
		}
	}
	if (seen) {
		printf("{\"ms\": %" PRId64, (now_us() - start) / 1000);
		for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++)
			printf(", \"%s\": %" PRIu64, counters[i], counter(counters[i]));
		rss(pid);
		printf("}\n");
	} else {
		fprintf(stderr, "boot-probe: '%s' never came; last output:\n%.*s\n", argv[1],
			(int)(len < 2000 ? len : 2000), buf + (len < 2000 ? 0 : len - 2000));
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return seen ? 0 : 1;
}
