// SPDX-License-Identifier: GPL-2.0-or-later
#include "lab/lab.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

#define OUTPUT_MAX 16384

static void __attribute__((noreturn)) script_exec(char *const argv[], int out, pid_t parent)
{
	sigset_t none;

	/* A group of its own, so that one signal ends the script and whatever it waits for. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(out, STDOUT_FILENO);
	execv(argv[0], argv);
	fprintf(stderr, "lab: %s: %m\n", argv[0]);
	_exit(127);
}

/* Collect the output until it ends. Returns its length, -EINTR on a signal, -E2BIG. */
static ssize_t output_read(int fd, int sfd, char *buf, size_t size, int *ret_signal)
{
	size_t len = 0;

	for (;;) {
		struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = sfd, .events = POLLIN}};
		struct signalfd_siginfo si;
		ssize_t n;

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents && read(sfd, &si, sizeof(si)) == sizeof(si)) {
			*ret_signal = (int)si.ssi_signo;
			return -EINTR;
		}
		if (!p[0].revents)
			continue;
		n = read(fd, buf + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : (ssize_t)len;
		len += (size_t)n;
		if (len == size)
			return -E2BIG;
	}
}

static int lines_split(char *text, char **ret, size_t nr, struct err *e)
{
	char *save = NULL, *line = strtok_r(text, "\n", &save);
	size_t n = 0;

	for (; line && n < nr; line = strtok_r(NULL, "\n", &save))
		ret[n++] = strdup(line);
	for (size_t i = 0; i < n; i++)
		if (!ret[i])
			n = 0;
	if (n == nr)
		return 0;
	for (size_t i = 0; i < nr; i++)
		free(ptr_steal(ret[i]));
	return err_set(e, EPROTO, "a build script gave fewer results than expected");
}

int image_build(char *const argv[], char **ret, size_t nr, int *ret_signal, struct err *e)
{
	_cleanup_fd_ int out = -1, in = -1, sfd = -1;
	_cleanup_free_ char *buf = calloc(1, OUTPUT_MAX + 1);
	pid_t pid, parent = getpid();
	sigset_t set;
	int fds[2], status;
	ssize_t n;

	if (!buf)
		return err_sys(e, ENOMEM, "run %s", argv[0]);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sfd = signalfd(-1, &set, SFD_CLOEXEC);
	if (sfd < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, errno, "run %s", argv[0]);
	in = fds[0];
	out = fds[1];
	pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "run %s", argv[0]);
	if (!pid)
		script_exec(argv, out, parent);
	out = fd_close(out);
	n = output_read(in, sfd, buf, OUTPUT_MAX, ret_signal);
	if (n < 0)
		kill(-pid, SIGTERM);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n < 0)
		return err_sys(e, (int)-n, "read the output of %s", argv[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return err_set(e, EIO, "%s failed", argv[0]);
	return lines_split(buf, ret, nr, e);
}
