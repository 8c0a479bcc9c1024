// SPDX-License-Identifier: GPL-2.0-or-later
/* What the kernel has logged since boot and explain.c knows the cause of. */
#include "vf-manager/doctor_priv.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vf-manager/explain.h"
#include "vf-manager/hostfacts.h"

#define RECORD_MAX  8192   /* of /dev/kmsg, printk.h: CONSOLE_EXT_LOG_MAX */
#define RECORDS_MAX 200000 /* others go on logging while it is read */
#define SHOWN_MAX   16

struct seen {
	const struct vfm_cause *cause;
	bool has_bdf;
	struct bdf bdf;
	unsigned times;
	char line[192]; /* the last */
};

struct log {
	struct seen seen[SHOWN_MAX];
	size_t n;
	unsigned more; /* kinds that found no room */
};

/* The first PCI address in @line. */
static bool line_bdf(const char *line, struct bdf *ret)
{
	for (const char *p = line; (p = strchr(p, '.')); p++) {
		const char *start = p, *end = p + 1;
		char name[BDF_STRLEN];

		while (start > line && (isxdigit((unsigned char)start[-1]) || start[-1] == ':'))
			start--;
		while (isxdigit((unsigned char)*end))
			end++;
		if (end - start >= BDF_STRLEN)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(end - start), start);
		if (strchr(name, ':') && bdf_parse(name, ret) == 0)
			return true;
	}
	return false;
}

static void line_note(struct doctor *d, struct log *l, const char *line)
{
	const struct vfm_cause *cause = vfm_explain_line(line);
	struct bdf b = {0};
	bool has;
	size_t i;

	if (!cause)
		return;
	has = line_bdf(line, &b);
	if (d->cfg->only && (!has || !bdf_equal(b, d->cfg->device)))
		return;
	for (i = 0; i < l->n; i++) {
		if (l->seen[i].cause == cause && l->seen[i].has_bdf == has &&
			bdf_equal(l->seen[i].bdf, b))
			break;
	}
	if (i == SHOWN_MAX) {
		l->more++;
		return;
	}
	if (i == l->n)
		l->seen[l->n++] = (struct seen){.cause = cause, .has_bdf = has, .bdf = b};
	l->seen[i].times++;
	snprintf(l->seen[i].line, sizeof(l->seen[i].line), "%s", line);
}

/* /dev/kmsg gives a record to a read(2); a file (a recorded tree) as much as fits. 0 or -errno. */
static int log_read(struct doctor *d, struct log *l, int fd)
{
	_cleanup_free_ char *buf = malloc(RECORD_MAX + 1);
	size_t have = 0;

	if (!buf)
		return -ENOMEM;
	for (unsigned i = 0; i < RECORDS_MAX; i++) {
		ssize_t n = read(fd, buf + have, RECORD_MAX - have);
		char *line = buf, *end;
		const char *text;

		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue; /* overwritten meanwhile */
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (n == 0)
			return 0;
		have += (size_t)n;
		for (size_t k = have - (size_t)n; k < have; k++) {
			if (!buf[k])
				buf[k] = '?';
		}
		buf[have] = '\0';
		while ((end = strchr(line, '\n'))) {
			*end = '\0';
			text = klog_line_text(line);
			if (text)
				line_note(d, l, text);
			line = end + 1;
		}
		have -= (size_t)(line - buf);
		memmove(buf, line, have);
		if (have == RECORD_MAX)
			have = 0; /* no line is that long: drop it */
	}
	return 0;
}

static void kernel_log_run(struct doctor *d)
{
	_cleanup_fd_ int fd =
		openat(d->v->sys.root_fd, "dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	_cleanup_free_ struct log *l = calloc(1, sizeof(*l));
	int r = fd < 0 ? -errno : l ? log_read(d, l, fd) : -ENOMEM;

	if (r < 0) {
		doctor_say(
			d, VFM_SKIP, "the kernel log (/dev/kmsg) cannot be read: %s", strerror(-r));
		doctor_fix(d, "run as root");
		return;
	}
	for (size_t i = 0; i < l->n; i++) {
		const struct seen *s = &l->seen[i];
		char name[BDF_STRLEN] = "";

		doctor_say(d, VFM_WARN, "%s%s%s (%u time%s; \"%s\")",
			s->has_bdf ? bdf_format(s->bdf, name) : "", s->has_bdf ? ": " : "",
			s->cause->cause, s->times, s->times == 1 ? "" : "s", s->line);
		doctor_fix(d, "%s", s->cause->fix);
	}
	if (l->more)
		doctor_say(d, VFM_WARN, "and %u lines of other kinds", l->more);
	if (!l->n)
		doctor_say(d, VFM_PASS, "nothing in the kernel log speaks of trouble%s",
			d->cfg->only ? " with it" : "");
}

const struct doctor_check doctor_kernel_log = {
	.id = "kernel-log",
	.title = "the kernel has logged no trouble that is known",
	.scope = DOCTOR_HOST,
	.run = kernel_log_run,
};
