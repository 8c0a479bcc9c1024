// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct switch capture: frames of a port into a pcapng file. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <pcap/pcap.h>

#include "cli/switch.h"
#include "common/cleanup.h"
#include "vswitch/capture.h"
#include "vswitch/pcapng.h"
#include "vswitch/socket.h"

enum { OPT_SOCKET = 256, OPT_JSON, OPT_DIRECTION, OPT_COUNT, OPT_SIZE, OPT_FILTER };

struct capture_arguments {
	const char *socket, *port, *direction, *filter, *file;
	uint64_t count; /* 0 = no end */
	uint32_t size;
	bool json, has_noun;
};

struct session {
	const struct capture_arguments *a;
	struct bpf_program filter;
	bool has_filter;
	int fd; /* to the switch; while it is open it captures */
	int signal_fd;
	struct capture_reader reader;
	FILE *out;
	uint64_t seen, written, dropped;
	uint64_t told; /* of the dropped, in the file */
	uint64_t start_ns;
};

static const struct argp_option options[] = {
	{"socket", OPT_SOCKET, "PATH", 0,
		"Control socket of the switch that runs (default: $VIADUCT_SWITCH)", 0},
	{"json", OPT_JSON, NULL, 0, "Say as JSON what was captured", 0},
	{"direction", OPT_DIRECTION, "in|out|both", 0,
		"Frames that come in at the port, leave by it, or both (default)", 0},
	{"count", OPT_COUNT, "N", 0, "End after so many frames", 0},
	{"size", OPT_SIZE, "BYTES", 0, "Keep so much of each frame (default: all)", 0},
	{"filter", OPT_FILTER, "EXPRESSION", 0, "Only what pcap-filter(7) lets pass", 0},
	{"write", 'w', "FILE", 0, "Where to; - is the standard output", 0},
	{0},
};

static uint64_t number_parse(
	const char *what, const char *text, uint64_t max, struct argp_state *state)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || end == text || *text == '-' || n < 1 || n > max)
		argp_error(state, "%s must be 1 to %" PRIu64 ", not '%s'", what, max, text);
	return n;
}

static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct capture_arguments *a = state->input;

	switch (key) {
	case OPT_SOCKET: a->socket = arg; break;
	case OPT_JSON: a->json = true; break;
	case OPT_DIRECTION:
		if (strcmp(arg, "in") != 0 && strcmp(arg, "out") != 0 && strcmp(arg, "both") != 0)
			argp_error(state, "--direction must be in, out or both, not '%s'", arg);
		a->direction = arg;
		break;
	case OPT_COUNT: a->count = number_parse("--count", arg, INT64_MAX, state); break;
	case OPT_SIZE:
		a->size = (uint32_t)number_parse("--size", arg, CAPTURE_SNAPLEN, state);
		break;
	case OPT_FILTER: a->filter = arg; break;
	case 'w': a->file = arg; break;
	case ARGP_KEY_ARG:
		if (!a->has_noun)
			a->has_noun = true; /* "capture" */
		else if (!a->port)
			a->port = arg;
		else
			argp_error(state, "too many arguments: '%s'", arg);
		break;
	case ARGP_KEY_END:
		if (!a->port || !a->file)
			argp_error(state, "give a port, and -w FILE or -w -");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = option_parse,
	.args_doc = "capture PORT -w FILE",
	.doc = "Write what is seen at a port to a file (pcapng) until interrupted.\v"
	       "The switch waits for nobody: what is not taken in time is left out and counted, in "
	       "the file and at the end.",
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int filter_compile(struct session *s, struct err *e)
{
	pcap_t *p;
	int r;

	if (!s->a->filter)
		return 0;
	p = pcap_open_dead(DLT_EN10MB, CAPTURE_SNAPLEN);
	if (!p)
		return err_set(e, ENOMEM, "out of memory");
	r = pcap_compile(p, &s->filter, s->a->filter, 1, PCAP_NETMASK_UNKNOWN);
	if (r < 0)
		err_set(e, EINVAL, "filter '%s': %s; see pcap-filter(7)", s->a->filter,
			pcap_geterr(p));
	s->has_filter = r >= 0;
	pcap_close(p);
	return r < 0 ? -EINVAL : 0;
}

/* The answer, up to its end of line, and what comes with it. */
static int answer_receive(int fd, struct err *e, char *text, size_t size, int fds[2])
{
	size_t at = 0;

	while (!at || text[at - 1] != '\n') {
		char control[CMSG_SPACE(2 * sizeof(int))];
		struct iovec iov = {text + at, size - 1 - at};
		struct msghdr m = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		ssize_t n = iov.iov_len ? recvmsg(fd, &m, MSG_CMSG_CLOEXEC) : 0;
		struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;

		if (n <= 0)
			return err_sys(e, n < 0 ? errno : ECONNRESET, "wait for the switch");
		if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
			c->cmsg_len == CMSG_LEN(2 * sizeof(int)) && fds[0] < 0)
			memcpy(fds, CMSG_DATA(c), 2 * sizeof(int));
		at += (size_t)n;
	}
	text[at - 1] = '\0';
	return 0;
}

static int session_start(struct session *s, struct err *e)
{
	const struct capture_arguments *a = s->a;
	const char *path = switch_socket(a->socket, e);
	/* The filter may look at more than is kept. */
	uint32_t size = s->has_filter || !a->size ? CAPTURE_SNAPLEN : a->size;
	_cleanup_free_ char *line = switch_request_line("capture.start",
		json_pack("{s:s, s:s, s:i}", "port", a->port, "direction",
			a->direction ? a->direction : "both", "size", (int)size),
		e);
	int fds[2] = {-1, -1}, r;
	json_t *result = NULL;
	char answer[4096];

	if (!path || !line)
		return -e->code;
	r = socket_connect(path, e, &s->fd);
	if (r < 0)
		return r;
	if (send(s->fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line))
		return err_sys(e, errno, "send to %s", path);
	r = answer_receive(s->fd, e, answer, sizeof(answer), fds);
	if (r >= 0)
		r = switch_answer(answer, e, &result);
	json_decref(result);
	if (r >= 0 && fds[0] < 0)
		r = err_set(e, EPROTO, "the switch gave nothing to read from");
	if (r >= 0)
		r = capture_reader_init(&s->reader, fds[0], fds[1], e);
	if (r < 0) {
		fd_close(fds[0]);
		fd_close(fds[1]);
	}
	return r;
}

static int signals_take(struct session *s, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	return s->signal_fd < 0 ? err_sys(e, errno, "signalfd") : 0;
}

static int record_take(struct session *s, struct capture_record *r, const uint8_t *bytes)
{
	const struct pcap_pkthdr h = {.caplen = r->caplen, .len = r->len};
	uint64_t lost = r->dropped - s->told;
	int ret;

	s->seen++;
	if (s->has_filter && !pcap_offline_filter(&s->filter, &h, bytes))
		return 0;
	if (s->a->size && r->caplen > s->a->size)
		r->caplen = s->a->size;
	ret = pcapng_frame(s->out, r, bytes, lost);
	if (ret < 0)
		return ret;
	s->told = r->dropped;
	s->written++;
	return 0;
}

static bool session_full(const struct session *s)
{
	return s->a->count && s->written == s->a->count;
}

/* What is there now. Returns 0 or a negative errno of writing. */
static int session_drain(struct session *s)
{
	struct capture_record rec;
	const uint8_t *bytes;
	int r = 0;

	while (r >= 0 && !session_full(s) && capture_reader_next(&s->reader, &rec, &bytes))
		r = record_take(s, &rec, bytes);
	if (r >= 0 && fflush(s->out))
		r = -errno;
	return r;
}

static int session_run(struct session *s, struct err *e)
{
	struct pollfd fds[] = {
		{s->reader.event_fd, POLLIN, 0}, {s->fd, POLLIN, 0}, {s->signal_fd, POLLIN, 0}};
	int r = pcapng_header(
		s->out, s->a->port, s->a->size ? s->a->size : CAPTURE_SNAPLEN, s->a->filter);
	uint64_t count;
	bool ends = false;

	if (r >= 0 && fflush(s->out))
		r = -errno;
	while (r >= 0 && !session_full(s)) {
		r = session_drain(s);
		if (ends || r < 0 || session_full(s))
			break;
		if (!capture_reader_arm(&s->reader))
			continue;
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return err_sys(e, errno, "poll");
		if (fds[0].revents)
			(void)!read(s->reader.event_fd, &count, sizeof(count));
		/* What came before the end is still there. */
		ends = fds[1].revents || fds[2].revents || atomic_load(&s->reader.shared->ended);
	}
	s->dropped = atomic_load(&s->reader.shared->dropped);
	if (r >= 0)
		r = pcapng_statistics(s->out, s->start_ns, now_ns(), s->seen, s->dropped);
	if (r >= 0 && fflush(s->out))
		r = -errno;
	if (r < 0)
		return err_sys(e, -r, "write %s", s->a->file);
	if (atomic_load(&s->reader.shared->ended))
		return err_set(e, ENODEV, "port '%s' was deleted", s->a->port);
	return fds[1].revents ? err_set(e, ECONNRESET, "the switch ended") : 0;
}

static void summary_print(const struct session *s)
{
	if (s->a->json)
		fprintf(stderr,
			"{\"frames\": %" PRIu64 ", \"seen\": %" PRIu64 ", \"dropped\": %" PRIu64
			"}\n",
			s->written, s->seen, s->dropped);
	else
		fprintf(stderr,
			"%" PRIu64 " frames written, %" PRIu64 " seen, %" PRIu64 " left out\n",
			s->written, s->seen, s->dropped);
}

static int capture_run(const struct capture_arguments *a, struct err *e)
{
	struct session s = {.a = a, .fd = -1, .signal_fd = -1, .start_ns = now_ns()};
	int r = filter_compile(&s, e);

	s.reader.event_fd = -1;
	if (r >= 0)
		r = session_start(&s, e);
	if (r >= 0) {
		s.out = strcmp(a->file, "-") ? fopen(a->file, "wbe") : stdout;
		if (!s.out)
			r = err_sys(e, errno, "open %s", a->file);
	}
	if (r >= 0)
		r = signals_take(&s, e);
	if (r >= 0) {
		r = session_run(&s, e);
		summary_print(&s);
	}
	if (s.out && s.out != stdout && fclose(s.out) && r >= 0)
		r = err_sys(e, errno, "write %s", a->file);
	capture_reader_finish(&s.reader);
	fd_close(s.fd);
	fd_close(s.signal_fd);
	if (s.has_filter)
		pcap_freecode(&s.filter);
	return r;
}

int switch_capture(int argc, char **argv)
{
	struct capture_arguments a = {0};
	struct err e = {0};

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (capture_run(&a, &e) >= 0)
		return 0;
	switch_complain(&e);
	return e.code == EDESTADDRREQ ? SWITCH_EXIT_USAGE : 1;
}
