// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * L1's process 1: loads the modules, puts L0's root (read-only, over 9p) below a throw-away layer,
 * makes it look like a booted host, runs one command and powers off. Static: it starts when there
 * is no library yet.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "lab/proto.h"

#define ARGS_MAX 65536

struct strings {
	char **v;
	size_t n;
};

struct command {
	struct strings args;
	struct strings env;
	char *dir;
	bool tty;
	struct lab_size size;
};

/* A running command: its ends of the pipes (or one terminal), and stdin not yet written to it. */
struct job {
	pid_t pid;
	int in;
	int out;
	int err;
	bool tty;
	bool in_eof;
	char *pending;
	size_t pending_len;
	size_t pending_off;
};

static void port_send(int port, uint32_t type, const void *data, uint32_t len)
{
	struct lab_frame frame = {.type = type, .len = len};
	const char *parts[] = {(const char *)&frame, data};
	size_t lens[] = {sizeof(frame), len};

	for (int i = 0; i < 2; i++) {
		while (lens[i]) {
			ssize_t n = write(port, parts[i], lens[i]);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return; /* L0 is gone, and will take this machine along */
			parts[i] += n;
			lens[i] -= (size_t)n;
		}
	}
}

static void __attribute__((noreturn)) power_off(void)
{
	int fd;

	kill(-1, SIGKILL);
	sync();
	fd = open("/proc/sysrq-trigger", O_WRONLY);
	if (fd < 0 || write(fd, "o", 1) != 1)
		fprintf(stderr, "lab: sysrq: %m\n");
	for (;;)
		pause();
}

static void __attribute__((noreturn, format(printf, 2, 3))) lab_fail(int port, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "lab: %s\n", text);
	if (port >= 0)
		port_send(port, LAB_ERROR, text, (uint32_t)(n < 511 ? n : 511));
	power_off();
}

static bool port_read(int port, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(port, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* Read one frame; the payload is NUL-terminated. */
static uint32_t port_receive(int port, char **buf, uint32_t *ret_len)
{
	struct lab_frame frame;

	if (!port_read(port, &frame, sizeof(frame)))
		power_off();
	if (frame.len > LAB_FRAME_MAX)
		lab_fail(port, "frame of %u bytes", frame.len);
	if (!*buf)
		*buf = malloc(LAB_FRAME_MAX + 1);
	if (!*buf)
		lab_fail(port, "out of memory");
	if (!port_read(port, *buf, frame.len))
		power_off();
	(*buf)[frame.len] = '\0';
	*ret_len = frame.len;
	return frame.type;
}

static void modules_load(void)
{
	_cleanup_file_ FILE *f = fopen("/modules.load", "re");
	char name[256], path[300];

	while (f && fgets(name, sizeof(name), f)) {
		_cleanup_fd_ int fd = -1;

		name[strcspn(name, "\n")] = '\0';
		snprintf(path, sizeof(path), "/modules/%s", name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
			fprintf(stderr, "lab: module %s: %m\n", name);
	}
}

static int port_open(void)
{
	for (int tries = 0; tries < 1000; tries++) {
		_cleanup_dir_ DIR *dir = opendir("/sys/class/virtio-ports");
		struct dirent *de;

		while (dir && (de = readdir(dir))) {
			char path[300], name[64] = "";
			_cleanup_file_ FILE *f = NULL;

			snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", de->d_name);
			f = fopen(path, "re");
			if (!f || !fgets(name, sizeof(name), f))
				continue;
			name[strcspn(name, "\n")] = '\0';
			if (strcmp(name, LAB_PORT_NAME))
				continue;
			snprintf(path, sizeof(path), "/dev/%s", de->d_name);
			return open(path, O_RDWR | O_CLOEXEC);
		}
		/* No event to wait for without a hotplug daemon; the port is there within ms. */
		nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
	}
	return -1;
}

struct fs {
	const char *what;
	const char *where;
	const char *type;
	unsigned long flags;
	const char *data;
};

static void fs_mount(int port, const struct fs *fs, bool required)
{
	mkdir(fs->where, 0755);
	if (!mount(fs->what, fs->where, fs->type, fs->flags, fs->data))
		return;
	if (required)
		lab_fail(port, "mount %s at %s: %s", fs->type, fs->where, strerror(errno));
	fprintf(stderr, "lab: mount %s at %s: %m\n", fs->type, fs->where);
}

#define KERNEL_FS (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static const struct fs early_fs[] = {
	{"proc", "/proc", "proc", KERNEL_FS, NULL},
	{"sysfs", "/sys", "sysfs", KERNEL_FS, NULL},
	{"devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755"},
};

static const struct fs root_fs[] = {
	{LAB_ROOT_TAG, "/lower", "9p", MS_RDONLY,
		"trans=virtio,version=9p2000.L,msize=512000,cache=loose"},
	{"tmpfs", "/rw", "tmpfs", 0, "mode=755,size=75%"},
};

static const struct fs host_fs[] = {
	{"proc", "/proc", "proc", KERNEL_FS, NULL},
	{"sysfs", "/sys", "sysfs", KERNEL_FS, NULL},
	{"devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755"},
	{"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666,gid=5"},
	{"tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"},
	{"hugetlbfs", "/dev/hugepages", "hugetlbfs", MS_NOSUID | MS_NODEV, NULL},
	{"tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"},
	{"debugfs", "/sys/kernel/debug", "debugfs", KERNEL_FS, NULL},
	{"tracefs", "/sys/kernel/tracing", "tracefs", KERNEL_FS, NULL},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", KERNEL_FS, NULL},
};

static void root_enter(int port)
{
	static const struct fs overlay = {"overlay", "/root", "overlay", 0,
		"lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work"};

	for (size_t i = 0; i < ARRAY_SIZE(root_fs); i++)
		fs_mount(port, &root_fs[i], true);
	mkdir("/rw/upper", 0755);
	mkdir("/rw/work", 0755);
	fs_mount(port, &overlay, true);
	if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
		chdir("/") < 0)
		lab_fail(port, "enter the root file system: %s", strerror(errno));
}

static void loopback_up(void)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &req) < 0)
		fprintf(stderr, "lab: loopback: %m\n");
}

static void host_set_up(int port)
{
	static const char *const links[][2] = {
		{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(host_fs); i++)
		fs_mount(port, &host_fs[i], i < 3);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
			fprintf(stderr, "lab: %s: %m\n", links[i][1]);
	/* devtmpfs makes these readable by root alone; everything here is root. */
	mkdir("/run/lock", 01777);
	if (sethostname("viaduct-lab", 11) < 0)
		fprintf(stderr, "lab: hostname: %m\n");
	loopback_up();
	/* As a login on a host has it. */
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = 1024, .rlim_max = 524288});
}

static int directories_make(const char *path)
{
	_cleanup_free_ char *p = strdup(path);

	if (!p)
		return -ENOMEM;
	for (char *s = p + 1; *s; s++) {
		if (*s != '/')
			continue;
		*s = '\0';
		if (mkdir(p, 0755) < 0 && errno != EEXIST)
			return -errno;
		*s = '/';
	}
	return mkdir(p, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* L0's packages know nothing of this kernel: show modprobe its modules where it looks. */
static void modules_bind(const char *tree)
{
	char where[200];
	struct utsname u;

	if (uname(&u) < 0)
		return;
	snprintf(where, sizeof(where), "/lib/modules/%s", u.release);
	if (directories_make(where) < 0 || mount(tree, where, NULL, MS_BIND, NULL) < 0)
		fprintf(stderr, "lab: %s at %s: %m\n", tree, where);
}

static void share_mount(int port, const char *tag, const char *path)
{
	int r = directories_make(path);

	if (r < 0)
		lab_fail(port, "share %s: %s", path, strerror(-r));
	if (mount(tag, path, "9p", 0,
		    "trans=virtio,version=9p2000.L,msize=512000,cache=mmap,access=any") < 0)
		lab_fail(port, "share %s: mount: %s", path, strerror(errno));
}

static void strings_add(int port, struct strings *s, const char *text)
{
	char *copy = strdup(text);

	if (s->n >= ARGS_MAX)
		lab_fail(port, "more than %d arguments or environment variables", ARGS_MAX);
	if (!(s->n & (s->n + 1))) { /* room for one more and the NULL, doubling */
		char **v = realloc(s->v, (s->n + 1) * 2 * sizeof(*v));

		if (!v)
			lab_fail(port, "out of memory");
		s->v = v;
	}
	if (!copy)
		lab_fail(port, "out of memory");
	s->v[s->n++] = copy;
	s->v[s->n] = NULL;
}

static void command_receive(int port, struct command *cmd)
{
	_cleanup_free_ char *buf = NULL;
	uint32_t len;

	for (;;) {
		uint32_t type = port_receive(port, &buf, &len);

		switch (type) {
		case LAB_DIR:
			free(cmd->dir);
			cmd->dir = strdup(buf);
			break;
		case LAB_ENV: strings_add(port, &cmd->env, buf); break;
		case LAB_ARG: strings_add(port, &cmd->args, buf); break;
		case LAB_SHARE:
			if (strlen(buf) < len)
				share_mount(port, buf, buf + strlen(buf) + 1);
			break;
		case LAB_MODULES: modules_bind(buf); break;
		case LAB_TTY:
			cmd->tty = true;
			if (len == sizeof(cmd->size))
				memcpy(&cmd->size, buf, len);
			break;
		case LAB_START:
			if (!cmd->args.n || !cmd->dir)
				lab_fail(port, "no command");
			return;
		default: lab_fail(port, "unexpected frame %u", type);
		}
	}
}

static void __attribute__((noreturn)) command_exec(const struct command *cmd)
{
	sigset_t none;
	int e;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (chdir(cmd->dir) < 0) {
		fprintf(stderr, "lab: working directory %s: %m\n", cmd->dir);
		_exit(126);
	}
	environ = cmd->env.v;
	execvp(cmd->args.v[0], cmd->args.v);
	e = errno;
	fprintf(stderr, "lab: %s: %s\n", cmd->args.v[0], strerror(e));
	_exit(e == ENOENT ? 127 : 126);
}

static void job_start(int port, const struct command *cmd, struct job *job)
{
	int in[2], out[2], err[2];

	job->tty = cmd->tty;
	if (cmd->tty) {
		struct winsize ws = {.ws_row = cmd->size.rows, .ws_col = cmd->size.cols};

		job->pid = forkpty(&job->in, NULL, NULL, &ws);
		if (job->pid < 0)
			lab_fail(port, "terminal: %s", strerror(errno));
		if (!job->pid)
			command_exec(cmd);
		fcntl(job->in, F_SETFL, O_NONBLOCK);
		job->out = job->in;
		return;
	}
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		lab_fail(port, "pipe: %s", strerror(errno));
	job->pid = fork();
	if (job->pid < 0)
		lab_fail(port, "fork: %s", strerror(errno));
	if (!job->pid) {
		setsid();
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		command_exec(cmd);
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	job->in = in[1];
	job->out = out[0];
	job->err = err[0];
	fcntl(job->in, F_SETFL, O_NONBLOCK);
	fcntl(job->out, F_SETFL, O_NONBLOCK);
	fcntl(job->err, F_SETFL, O_NONBLOCK);
}

/* Pass on what is there; false once the other end is closed or nothing is left for now. */
static bool stream_pass(int port, int *fd, uint32_t type)
{
	char buf[32 * 1024];
	ssize_t n;

	if (*fd < 0)
		return false;
	n = read(*fd, buf, sizeof(buf));
	if (n > 0) {
		port_send(port, type, buf, (uint32_t)n);
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		*fd = -1; /* left open: for a terminal it is the input, too */
	return false;
}

static void stdin_flush(int port, struct job *job)
{
	while (job->pending_len) {
		ssize_t n = write(job->in, job->pending + job->pending_off, job->pending_len);
		uint32_t took;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		took = n < 0 ? (uint32_t)job->pending_len : (uint32_t)n; /* gone: nobody reads */
		job->pending_off += took;
		job->pending_len -= took;
		port_send(port, LAB_CREDIT, &took, sizeof(took));
	}
	job->pending_off = 0;
	if (job->in_eof && !job->tty)
		job->in = fd_close(job->in);
}

static void stdin_take(int port, struct job *job, const char *data, uint32_t len)
{
	if (!len)
		job->in_eof = true;
	if (job->in < 0) {
		port_send(port, LAB_CREDIT, &len, sizeof(len));
		return;
	}
	if (job->pending_off) {
		memmove(job->pending, job->pending + job->pending_off, job->pending_len);
		job->pending_off = 0;
	}
	if (len > LAB_STDIN_WINDOW - job->pending_len)
		lab_fail(port, "stdin overran its window");
	memcpy(job->pending + job->pending_len, data, len);
	job->pending_len += len;
	stdin_flush(port, job);
}

static void request_handle(int port, struct job *job, char **buf)
{
	uint32_t len, type = port_receive(port, buf, &len);
	struct lab_size size;

	switch (type) {
	case LAB_STDIN: stdin_take(port, job, *buf, len); break;
	case LAB_RESIZE:
		if (len == sizeof(size) && job->tty) {
			memcpy(&size, *buf, len);
			ioctl(job->in, TIOCSWINSZ,
				&(struct winsize){.ws_row = size.rows, .ws_col = size.cols});
		}
		break;
	default: lab_fail(port, "unexpected frame %u", type);
	}
}

/* Process 1 inherits every orphan; returns true when the command itself ended. */
static bool children_reap(struct job *job, uint32_t *ret_status)
{
	bool done = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != job->pid)
			continue;
		done = true;
		*ret_status = WIFSIGNALED(status) ? 128u + (unsigned)WTERMSIG(status)
						  : (unsigned)WEXITSTATUS(status);
	}
	return done;
}

static uint32_t job_relay(int port, struct job *job, int sfd)
{
	_cleanup_free_ char *buf = NULL;
	uint32_t status = 0;

	for (;;) {
		struct pollfd p[] = {
			{.fd = port, .events = POLLIN},
			{.fd = sfd, .events = POLLIN},
			{.fd = job->out, .events = POLLIN},
			{.fd = job->err, .events = POLLIN},
			{.fd = job->pending_len ? job->in : -1, .events = POLLOUT},
		};
		struct signalfd_siginfo si;

		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			continue;
		if (p[2].revents)
			stream_pass(port, &job->out, LAB_STDOUT);
		if (p[3].revents)
			stream_pass(port, &job->err, LAB_STDERR);
		if (p[4].revents)
			stdin_flush(port, job);
		if (p[0].revents)
			request_handle(port, job, &buf);
		if (!p[1].revents)
			continue;
		if (read(sfd, &si, sizeof(si)) > 0 && children_reap(job, &status))
			break;
	}
	/* All the command wrote is in the pipes now; what its orphans write later is not its own. */
	while (stream_pass(port, &job->out, LAB_STDOUT))
		;
	while (stream_pass(port, &job->err, LAB_STDERR))
		;
	return status;
}

int main(void)
{
	struct command cmd = {0};
	struct job job = {.in = -1, .out = -1, .err = -1};
	sigset_t chld;
	uint32_t status;
	int port, sfd;

	for (size_t i = 0; i < ARRAY_SIZE(early_fs); i++)
		fs_mount(-1, &early_fs[i], true);
	modules_load();
	port = port_open();
	if (port < 0)
		lab_fail(-1, "no virtio port named " LAB_PORT_NAME);
	root_enter(port);
	host_set_up(port);

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	sfd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	job.pending = malloc(LAB_STDIN_WINDOW);
	if (sfd < 0 || !job.pending)
		lab_fail(port, "signalfd or memory: %s", strerror(errno));

	port_send(port, LAB_READY, NULL, 0);
	command_receive(port, &cmd);
	job_start(port, &cmd, &job);
	status = job_relay(port, &job, sfd);
	port_send(port, LAB_EXIT, &status, sizeof(status));
	power_off();
}
