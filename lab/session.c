// SPDX-License-Identifier: GPL-2.0-or-later
#include "lab/lab.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "lab/hotplug.h"
#include "lab/proto.h"

/*
 * QEMU's software CPUs lose a timer interrupt now and then while a kernel boots on a busy machine, and
 * the kernel then waits for ever ("rcu_preempt kthread starved"). A boot that takes much longer
 * than one does is given up for another; the last has all the time a slow machine may need.
 * QEMU before 10.0.4 may also crash while the kernel sizes BARs: a CPU looks into a memory map that
 * was freed ("iotlb_to_section", QEMU's issue 3040). Nothing of the caller's has run then.
 */
#define BOOT_TRIES           3
#define BOOT_FIRST_S         60u
#define BOOT_LAST_S          180u
#define POWER_OFF_TIMEOUT_MS 5000
#define QEMU_END_TIMEOUT_MS  2000 /* from its last word to its end */
#define DISK_BYTES           (64LL << 20)
#define EXEC_FAILED          127
/* Never blocks on a pipe that poll(2) calls writable. */
#define WRITE_CHUNK 4096
#define ESCAPE_KEY  0x1d /* Ctrl-], three times within a second */

struct buffer {
	char *data;
	size_t len;
	size_t off;
	size_t size;
};

struct session {
	const struct lab_config *cfg;
	pid_t qemu;
	int control;
	int signals;
	int console;
	int messages; /* QEMU's own output */
	struct hotplug hotplug;
	unsigned int boot_s; /* this boot may take */
	bool ready;
	bool exited;
	bool hung_up;    /* QEMU closed the control channel */
	int qemu_status; /* as of waitpid(2), of the last QEMU that ended by itself, or -1 */
	uint32_t status;
	int signal;
	uint64_t deadline_ms; /* for the boot, then for the power-off */
	struct buffer out;    /* frames to L1 */
	struct buffer in;     /* at most one frame from L1, not complete yet */
	struct buffer shown;  /* bytes for our stdout or stderr (shown_fd) */
	int shown_fd;
	uint32_t credit;
	bool stdin_eof;
	unsigned escapes;
	uint64_t escape_ms;
	bool raw;
	struct termios saved;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int buffer_add(struct buffer *b, const void *data, size_t len)
{
	if (b->off) {
		memmove(b->data, b->data + b->off, b->len);
		b->off = 0;
	}
	if (b->len + len > b->size) {
		size_t size = (b->len + len) * 2;
		char *p = realloc(b->data, size);

		if (!p)
			return -ENOMEM;
		b->data = p;
		b->size = size;
	}
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

static void buffer_take(struct buffer *b, size_t len)
{
	b->off += len;
	b->len -= len;
}

static int frame_queue(struct session *s, uint32_t type, const void *data, size_t len)
{
	struct lab_frame frame = {.type = type, .len = (uint32_t)len};
	int r;

	if (len > LAB_FRAME_MAX)
		return -E2BIG;
	r = buffer_add(&s->out, &frame, sizeof(frame));
	return r < 0 ? r : buffer_add(&s->out, data, len);
}

static int string_queue(struct session *s, uint32_t type, const char *text)
{
	return frame_queue(s, type, text, strlen(text));
}

static struct lab_size terminal_size(void)
{
	struct winsize ws = {0};

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) < 0)
		return (struct lab_size){.rows = 24, .cols = 80};
	return (struct lab_size){.rows = ws.ws_row, .cols = ws.ws_col};
}

/* The caller's environment, with our directories in front of its PATH. */
static int environment_queue(struct session *s)
{
	_cleanup_free_ char *path = NULL;
	const char *old = getenv("PATH");
	int r = 0;

	if (asprintf(&path, "PATH=%s:%s", s->cfg->path,
		    old && *old ? old : "/usr/sbin:/usr/bin:/sbin:/bin") < 0)
		return -ENOMEM;
	for (char **v = environ; *v && r >= 0; v++)
		if (strncmp(*v, "PATH=", 5) && strncmp(*v, "VIADUCT_IN_LAB=", 15))
			r = string_queue(s, LAB_ENV, *v);
	if (r >= 0)
		r = string_queue(s, LAB_ENV, path);
	return r < 0 ? r : string_queue(s, LAB_ENV, "VIADUCT_IN_LAB=1");
}

static int shares_queue(struct session *s)
{
	for (size_t i = 0; i < s->cfg->nr_shares; i++) {
		const char *path = s->cfg->shares[i];
		char text[16 + 4096];
		int n = snprintf(text, sizeof(text), "share%zu", i), r;

		if (strlen(path) >= 4096)
			return -ENAMETOOLONG;
		strcpy(text + n + 1, path);
		r = frame_queue(s, LAB_SHARE, text, (size_t)n + 1 + strlen(path));
		if (r < 0)
			return r;
	}
	return 0;
}

static int command_queue(struct session *s, const char *modules, struct err *e)
{
	_cleanup_free_ char *cwd = getcwd(NULL, 0);
	struct lab_size size = terminal_size();
	int r;

	if (!cwd)
		return err_sys(e, errno, "working directory");
	r = string_queue(s, LAB_DIR, cwd);
	if (r >= 0)
		r = environment_queue(s);
	for (char *const *v = s->cfg->command; *v && r >= 0; v++)
		r = string_queue(s, LAB_ARG, *v);
	if (r >= 0)
		r = string_queue(s, LAB_MODULES, modules);
	if (r >= 0)
		r = shares_queue(s);
	if (r >= 0 && s->cfg->tty)
		r = frame_queue(s, LAB_TTY, &size, sizeof(size));
	if (r >= 0)
		r = frame_queue(s, LAB_START, NULL, 0);
	return r < 0 ? err_sys(e, -r, "prepare the command") : 0;
}

static void __attribute__((noreturn))
qemu_exec(char *const argv[], const struct machine_files *files, int messages, pid_t parent)
{
	const int inherited[] = {files->control, files->hotplug, files->monitor};
	_cleanup_fd_ int null = open("/dev/null", O_RDONLY);
	sigset_t none;

	/* The terminal's Ctrl-C is ours to answer; our death, of any kind, is the machine's. */
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(inherited); i++)
		fcntl(inherited[i], F_SETFD, 0);
	dup2(null, STDIN_FILENO);
	dup2(messages, STDOUT_FILENO);
	dup2(messages, STDERR_FILENO);
	execvp(argv[0], argv);
	fprintf(stderr, "%s: %m\n", argv[0]);
	_exit(EXEC_FAILED);
}

static int file_anonymous(const char *name, long long size, struct err *e)
{
	/* Inherited on purpose: QEMU opens it through its own /proc/self/fd. */
	int fd = memfd_create(name, 0);

	if (fd < 0 || ftruncate(fd, size) < 0) {
		int code = errno;

		fd_close(fd);
		return err_sys(e, code, "create %s in memory", name);
	}
	return fd;
}

static int console_open(const char *path, struct err *e)
{
	int fd;

	if (!path)
		return file_anonymous("lab-console", 0, e);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	return fd < 0 ? err_sys(e, errno, "console log %s", path) : fd;
}

/* A stream socket, our end non-blocking. */
static int pair_open(int *ret_near, int *ret_far, struct err *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "control socket");
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	*ret_near = pair[0];
	*ret_far = pair[1];
	return 0;
}

static int qemu_start(struct session *s, const char *kernel, const char *initrd, struct err *e)
{
	const char *qemu = getenv("VIADUCT_QEMU") ?: "qemu-system-x86_64";
	struct machine_files files = {.kernel = kernel, .initrd = initrd, .disk = -1};
	_cleanup_fd_ int disk = -1, far = -1, port = -1, far_port = -1, monitor = -1,
			 far_monitor = -1;
	struct strv argv = {0};
	pid_t parent = getpid();
	int r;

	if (lab_has_nvme(s->cfg)) {
		disk = file_anonymous("lab-disk", DISK_BYTES, e);
		if (disk < 0)
			return disk;
	}
	r = pair_open(&s->control, &far, e);
	if (r >= 0)
		r = pair_open(&port, &far_port, e);
	if (r >= 0)
		r = pair_open(&monitor, &far_monitor, e);
	if (r < 0)
		return r;
	r = hotplug_init(&s->hotplug, s->cfg, fd_steal(&port), fd_steal(&monitor));
	if (r < 0)
		return err_sys(e, -r, "hotplug");
	files.control = far;
	files.hotplug = far_port;
	files.monitor = far_monitor;
	files.console = s->console;
	files.disk = disk;
	r = machine_argv(s->cfg, &files, qemu, &argv);
	if (r < 0)
		return err_sys(e, -r, "QEMU's arguments");
	s->qemu = fork();
	if (s->qemu < 0)
		r = err_sys(e, errno, "start %s", qemu);
	else if (!s->qemu)
		qemu_exec(argv.v, &files, s->messages, parent);
	strv_finish(&argv);
	return r;
}

/* One that hung up is ending by itself: wait for that, it tells what of. */
static void qemu_kill(struct session *s)
{
	uint64_t end = now_ms() + (s->hung_up ? QEMU_END_TIMEOUT_MS : 0);
	siginfo_t ended = {0};
	int status;

	if (s->qemu <= 0)
		return;
	/* Not reaped yet: until then no other process can have its number. */
	while (waitid(P_PID, (id_t)s->qemu, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		!ended.si_pid && now_ms() < end)
		usleep(5000);
	kill(-s->qemu, SIGKILL); /* its own session, if it came so far */
	kill(s->qemu, SIGKILL);
	while (waitpid(s->qemu, &status, 0) < 0 && errno == EINTR)
		;
	s->qemu_status = ended.si_pid ? status : -1;
	s->qemu = -1;
}

static bool qemu_exited(const struct session *s, int code)
{
	return s->qemu_status >= 0 && WIFEXITED(s->qemu_status) &&
	       WEXITSTATUS(s->qemu_status) == code;
}

static bool qemu_crashed(const struct session *s)
{
	return s->qemu_status >= 0 && WIFSIGNALED(s->qemu_status);
}

static void terminal_raw(struct session *s)
{
	struct termios t;

	if (!s->cfg->tty || s->raw || tcgetattr(STDIN_FILENO, &s->saved) < 0)
		return;
	t = s->saved;
	cfmakeraw(&t);
	s->raw = !tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
}

static void terminal_restore(struct session *s)
{
	if (s->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &s->saved);
	s->raw = false;
}

/* One complete frame of L1. L1 runs the caller's own command as root, yet check what it says. */
static int frame_handle(
	struct session *s, uint32_t type, const char *data, uint32_t len, struct err *e)
{
	uint32_t value = 0;

	if (len == sizeof(value))
		memcpy(&value, data, sizeof(value));
	switch (type) {
	case LAB_READY:
		s->ready = true;
		s->credit = LAB_STDIN_WINDOW;
		s->deadline_ms = 0;
		log_debug("lab: L1 is ready");
		terminal_raw(s);
		return 0;
	case LAB_STDOUT:
	case LAB_STDERR:
		s->shown_fd = type == LAB_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
		return buffer_add(&s->shown, data, len) < 0 ? err_sys(e, ENOMEM, "output") : 0;
	case LAB_CREDIT:
		if (value > LAB_STDIN_WINDOW - s->credit)
			return err_set(e, EPROTO, "L1 gave credit for input it never got");
		s->credit += value;
		return 0;
	case LAB_EXIT:
		s->exited = true;
		s->status = value & 0xff;
		s->deadline_ms = now_ms() + POWER_OFF_TIMEOUT_MS;
		return 0;
	case LAB_ERROR: return err_set(e, EIO, "L1: %.*s", (int)len, data);
	default: return err_set(e, EPROTO, "L1 sent an unknown frame %u", type);
	}
}

/* Handle whole frames until one has output to show: that goes out before more is read. */
static int frames_parse(struct session *s, struct err *e)
{
	while (!s->shown.len && s->in.len >= sizeof(struct lab_frame)) {
		struct lab_frame frame;
		int r;

		memcpy(&frame, s->in.data + s->in.off, sizeof(frame));
		if (frame.len > LAB_FRAME_MAX)
			return err_set(e, EPROTO, "L1 sent a frame of %u bytes", frame.len);
		if (s->in.len < sizeof(frame) + frame.len)
			return 0;
		r = frame_handle(
			s, frame.type, s->in.data + s->in.off + sizeof(frame), frame.len, e);
		buffer_take(&s->in, sizeof(frame) + frame.len);
		if (r < 0)
			return r;
	}
	return 0;
}

static int control_read(struct session *s, struct err *e)
{
	char buf[32768];
	ssize_t n = read(s->control, buf, sizeof(buf));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		s->control = fd_close(s->control);
		s->hung_up = true;
		if (s->exited)
			return 0;
		return err_set(e, EIO,
			s->ready ? "L1 went down while the command ran" : "L1 did not boot");
	}
	if (buffer_add(&s->in, buf, (size_t)n) < 0)
		return err_sys(e, ENOMEM, "output of L1");
	return frames_parse(s, e);
}

static void control_write(struct session *s)
{
	ssize_t n = send(s->control, s->out.data + s->out.off, s->out.len, MSG_NOSIGNAL);

	if (n > 0)
		buffer_take(&s->out, (size_t)n);
}

static int output_write(struct session *s, struct err *e)
{
	size_t len = s->shown.len < WRITE_CHUNK ? s->shown.len : WRITE_CHUNK;
	ssize_t n = write(s->shown_fd, s->shown.data + s->shown.off, len);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0) {
		if (errno == EPIPE) {
			s->signal = SIGPIPE; /* as the command itself would have ended */
			return 0;
		}
		return err_sys(e, errno, "write the command's output");
	}
	buffer_take(&s->shown, (size_t)n);
	return s->shown.len ? 0 : frames_parse(s, e);
}

/* True once the escape key came three times in a row, within a second. */
static bool escape_seen(struct session *s, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] != ESCAPE_KEY) {
			s->escapes = 0;
			continue;
		}
		if (!s->escapes || now_ms() - s->escape_ms > 1000) {
			s->escapes = 0;
			s->escape_ms = now_ms();
		}
		if (++s->escapes == 3)
			return true;
	}
	return false;
}

static int input_read(struct session *s, struct err *e)
{
	char buf[8192];
	size_t max = s->credit < sizeof(buf) ? s->credit : sizeof(buf);
	ssize_t n = read(STDIN_FILENO, buf, max);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		s->stdin_eof = true;
		n = 0;
	}
	if (s->raw && escape_seen(s, buf, (size_t)n)) {
		s->signal = SIGTERM;
		return 0;
	}
	s->credit -= (uint32_t)n;
	return frame_queue(s, LAB_STDIN, buf, (size_t)n) < 0 ? err_sys(e, ENOMEM, "input") : 0;
}

/* A job in the background must not read the terminal: it would be stopped. */
static bool input_allowed(void)
{
	pid_t foreground = tcgetpgrp(STDIN_FILENO);

	return foreground < 0 || foreground == getpgrp();
}

static int signal_read(struct session *s)
{
	struct signalfd_siginfo si;
	struct lab_size size;

	if (read(s->signals, &si, sizeof(si)) != sizeof(si))
		return 0;
	switch (si.ssi_signo) {
	case SIGWINCH:
		size = terminal_size();
		return s->ready && s->cfg->tty ? frame_queue(s, LAB_RESIZE, &size, sizeof(size))
					       : 0;
	case SIGCONT: return 0; /* perhaps in the foreground again: look at the input once more */
	default: s->signal = (int)si.ssi_signo; return 0;
	}
}

static int session_step(struct session *s, struct err *e)
{
	bool want_in = s->ready && !s->exited && !s->stdin_eof && s->credit && input_allowed();
	struct pollfd p[] = {
		{.fd = s->signals, .events = POLLIN},
		{.fd = s->control,
			.events = (short)((s->shown.len ? 0 : POLLIN) |
					  (s->ready && s->out.len ? POLLOUT : 0))},
		{.fd = s->shown.len ? s->shown_fd : -1, .events = POLLOUT},
		{.fd = want_in ? STDIN_FILENO : -1, .events = POLLIN},
		{.fd = s->hotplug.monitor, .events = POLLIN},
		{.fd = s->hotplug.waiting ? -1 : s->hotplug.port, .events = POLLIN},
	};
	int timeout = -1, r = 0;

	if (s->deadline_ms) {
		uint64_t now = now_ms();

		timeout = now < s->deadline_ms ? (int)(s->deadline_ms - now) : 0;
	}
	/* With nothing asked of it, a hung-up socket would only make poll spin. */
	if (!p[1].events)
		p[1].fd = -1;
	r = poll(p, ARRAY_SIZE(p), timeout);
	if (r < 0)
		return errno == EINTR ? 0 : err_sys(e, errno, "poll");
	if (!r && s->deadline_ms && now_ms() >= s->deadline_ms) {
		if (!s->exited)
			return err_set(e, ETIMEDOUT, "L1 was not ready after %u s", s->boot_s);
		log_debug("lab: L1 did not power off in time");
		s->control = fd_close(s->control);
		s->deadline_ms = 0;
		return 0;
	}
	r = 0;
	if (p[0].revents)
		r = signal_read(s);
	if (r >= 0 && p[2].revents)
		r = output_write(s, e);
	if (r >= 0 && p[1].revents & POLLOUT)
		control_write(s);
	if (r >= 0 && p[1].revents & (POLLIN | POLLHUP | POLLERR))
		r = control_read(s, e);
	if (r >= 0 && p[3].revents)
		r = input_read(s, e);
	if (p[4].revents)
		hotplug_monitor_ready(&s->hotplug);
	if (p[5].revents)
		hotplug_port_ready(&s->hotplug);
	return r;
}

/*
 * The last line of @fd that holds @with (NULL: any) and not @without (NULL: any), or "". Only the
 * end of a long file is looked at.
 */
static void line_find(int fd, const char *with, const char *without, char *ret, size_t size)
{
	char buf[16384], *save = NULL;
	off_t end = lseek(fd, 0, SEEK_END);
	off_t from = end > (off_t)sizeof(buf) - 1 ? end - (off_t)sizeof(buf) + 1 : 0;
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, from);

	*ret = '\0';
	buf[n > 0 ? n : 0] = '\0';
	for (char *line = strtok_r(buf, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
		if ((!with || strstr(line, with)) && (!without || !strstr(line, without)))
			snprintf(ret, size, "%s", line);
}

/* Give the console's log a name; returns it, or NULL. */
static char *console_keep(struct session *s)
{
	const char *tmp = getenv("TMPDIR") ?: "/tmp";
	_cleanup_fd_ int fd = -1;
	char *path = NULL, buf[8192];
	off_t off = 0;
	ssize_t n;

	if (s->cfg->console)
		return strdup(s->cfg->console);
	if (asprintf(&path, "%s/viaduct-lab-console-XXXXXX.log", tmp) < 0)
		return NULL;
	fd = mkstemps(path, 4);
	while (fd >= 0 && (n = pread(s->console, buf, sizeof(buf), off)) > 0) {
		if (write(fd, buf, (size_t)n) != n)
			break;
		off += n;
	}
	if (fd < 0)
		free(ptr_steal(path));
	return path;
}

/* Say why in words the reader can act on: QEMU's own complaint, and where the console's log is. */
static int failure_explain(struct session *s, int r, struct err *e)
{
	_cleanup_free_ char *log = NULL;
	char qemu[240], panic[160], rip[120], why[200], end[64] = "";

	if (!e)
		return r;
	line_find(s->messages, NULL, "warning:", qemu, sizeof(qemu));
	if (!s->ready && strstr(qemu, "is not a valid device model name"))
		return err_set(e, ENODEV,
			"this QEMU lacks a device the lab needs (%s): install the Debian package "
			"qemu-system-x86 8.0 or newer, on Debian 12 from backports; "
			"./scripts/setup does it",
			qemu);
	if (qemu_exited(s, EXEC_FAILED))
		return err_set(e, ENOENT,
			"%s: install the Debian package qemu-system-x86 (8.0 or newer) or run "
			"./scripts/setup",
			qemu);
	line_find(s->console, "Kernel panic", NULL, panic, sizeof(panic));
	/* Where the kernel was; the log may be gone with its directory when somebody reads this. */
	line_find(s->console, "RIP: 0010:", NULL, rip, sizeof(rip));
	log = console_keep(s);
	snprintf(why, sizeof(why), "%.199s", e->text);
	if (qemu_crashed(s))
		snprintf(end, sizeof(end), "; QEMU crashed (SIG%s)",
			sigabbrev_np(WTERMSIG(s->qemu_status)) ?: "?");
	return err_set(e, -r, "%s%s%s%s%s%s%s%s; L1's console: %s", why, end,
		*qemu ? "; QEMU: " : "", qemu, *panic ? "; " : "", panic, *rip ? "; " : "", rip,
		log ? log : "not kept");
}

static int session_loop(struct session *s, struct err *e)
{
	int r = 0;

	s->deadline_ms = now_ms() + s->boot_s * 1000ull;
	while (r >= 0 && !s->signal && (s->control >= 0 || s->shown.len))
		r = session_step(s, e);
	return r;
}

/* VIADUCT_LAB_BOOT, for a machine that is slower or quicker than ours. */
static unsigned int boot_first_s(void)
{
	const char *text = getenv("VIADUCT_LAB_BOOT");
	unsigned long n = text ? strtoul(text, NULL, 10) : 0;

	return n > 0 && n <= 3600 ? (unsigned int)n : BOOT_FIRST_S;
}

/* Forget the machine that ended; what the next is to be told is still queued. */
static void machine_drop(struct session *s)
{
	s->control = fd_close(s->control);
	s->hung_up = false;
	hotplug_finish(&s->hotplug);
	s->in.len = s->in.off = 0;
	s->shown.len = s->shown.off = 0;
}

/*
 * Why the boot that ended with @r is worth another, or NULL. QEMU ends with 0 when L1 resets itself,
 * as it does after a panic; a QEMU that ends with anything else does not like its arguments.
 */
static const char *boot_lost(const struct session *s, int r)
{
	if (s->ready || r >= 0)
		return NULL;
	if (r == -ETIMEDOUT)
		return "was not ready in time";
	return qemu_crashed(s) ? "crashed QEMU" : qemu_exited(s, 0) ? "reset itself" : NULL;
}

static int session_boot(struct session *s, const char *kernel, const char *initrd, struct err *e)
{
	const char *lost;
	uint64_t start;
	int r;

	for (unsigned int n = 1;; n++) {
		start = now_ms();
		s->boot_s = n < BOOT_TRIES ? boot_first_s() * n : BOOT_LAST_S;
		r = qemu_start(s, kernel, initrd, e);
		if (r < 0)
			return r;
		r = session_loop(s, e);
		qemu_kill(s);
		lost = boot_lost(s, r);
		if (!lost || n == BOOT_TRIES)
			return r;
		log_info("lab: L1 %s after %.1f s: booting it anew", lost,
			(double)(now_ms() - start) / 1000);
		machine_drop(s);
	}
}

static int session_run(struct session *s, struct err *e)
{
	const struct lab_config *cfg = s->cfg;
	_cleanup_free_ char *script = NULL, *kernel = NULL, *initrd = NULL, *modules = NULL;
	char *paths[3] = {0};
	int r;

	if (asprintf(&script, "%s/host/build.sh", cfg->data) < 0)
		return err_sys(e, ENOMEM, "lab");
	r = image_build((char *[]){script, (char *)cfg->init, (char *)cfg->kernel, NULL}, paths, 3,
		&s->signal, e);
	if (r < 0)
		return s->signal ? 0 : r;
	kernel = paths[0];
	initrd = paths[1];
	modules = paths[2];
	s->messages = file_anonymous("lab-messages", 0, e);
	if (s->messages < 0)
		return s->messages;
	s->console = console_open(cfg->console, e);
	if (s->console < 0)
		return s->console;
	r = command_queue(s, modules, e);
	if (r < 0)
		return r;
	r = session_boot(s, kernel, initrd, e);
	terminal_restore(s);
	return r < 0 ? failure_explain(s, r, e) : 0;
}

/* Block what the session watches for, which *ret_watch then holds. */
static void signals_block(sigset_t *ret_watch, sigset_t *ret_old)
{
	static const int watched[] = {SIGINT, SIGTERM, SIGWINCH, SIGCONT};
	struct sigaction hup;

	sigemptyset(ret_watch);
	for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
		sigaddset(ret_watch, watched[i]);
	/* Ignored by nohup(1), and then meant to be. */
	if (!sigaction(SIGHUP, NULL, &hup) && hup.sa_handler != SIG_IGN)
		sigaddset(ret_watch, SIGHUP);
	/* Blocked and not watched, SIGPIPE is an EPIPE of the write that caused it. */
	sigaddset(ret_watch, SIGPIPE);
	sigprocmask(SIG_BLOCK, ret_watch, ret_old);
	sigdelset(ret_watch, SIGPIPE);
}

int lab_session(const struct lab_config *cfg, int *ret_status, struct err *e)
{
	struct session s = {.cfg = cfg,
		.qemu = -1,
		.qemu_status = -1,
		.control = -1,
		.signals = -1,
		.console = -1,
		.messages = -1,
		.hotplug = {.port = -1, .monitor = -1}};
	sigset_t set, old;
	int r;

	signals_block(&set, &old);
	s.signals = signalfd(-1, &set, SFD_CLOEXEC);
	r = s.signals < 0 ? err_sys(e, errno, "signalfd") : session_run(&s, e);
	if (r >= 0)
		*ret_status = s.signal ? 128 + s.signal : (int)s.status;
	fd_close(s.signals);
	fd_close(s.control);
	fd_close(s.console);
	fd_close(s.messages);
	hotplug_finish(&s.hotplug);
	free(s.out.data);
	free(s.in.data);
	free(s.shown.data);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return r;
}
