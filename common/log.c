// SPDX-License-Identifier: GPL-2.0-or-later
#include "common/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* -1 = not yet read from the environment. */
static _Atomic int log_level = -1;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_level_set(enum log_level level)
{
	log_level = (int)level;
}

enum log_level log_level_get(void)
{
	int l = log_level;

	if (l < 0) {
		const char *s = getenv("VIADUCT_LOG");

		l = LOG_LEVEL_WARN;
		for (int i = 0; s && i <= LOG_LEVEL_DEBUG; i++) {
			if (!strcmp(s, level_names[i]))
				l = i;
		}
		log_level = l;
	}
	return (enum log_level)l;
}

/* One write per line: messages of several threads must not mix. */
__attribute__((format(printf, 2, 0))) static void log_write(
	enum log_level level, const char *fmt, va_list ap)
{
	char buf[1024];
	int n, m;

	n = snprintf(buf, sizeof(buf), "viaduct: %s: ", level_names[level]);
	m = vsnprintf(buf + n, sizeof(buf) - (size_t)n - 1, fmt, ap);
	if (m > (int)sizeof(buf) - n - 2)
		m = (int)sizeof(buf) - n - 2;
	if (m < 0)
		m = 0;
	buf[n + m] = '\n';
	fwrite(buf, 1, (size_t)(n + m + 1), stderr);
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > log_level_get())
		return;
	va_start(ap, fmt);
	log_write(level, fmt, ap);
	va_end(ap);
}

void log_guest(struct log_limit *lim, const char *fmt, ...)
{
	struct timespec ts;
	int64_t now, next;
	va_list ap;

	atomic_fetch_add(&lim->count, 1);
	if (log_level_get() < LOG_LEVEL_WARN)
		return;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	next = lim->next_ns;
	if (now < next || !atomic_compare_exchange_strong(&lim->next_ns, &next, now + 1000000000))
		return;
	va_start(ap, fmt);
	log_write(LOG_LEVEL_WARN, fmt, ap);
	va_end(ap);
}
