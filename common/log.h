/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages to stderr. Libraries log at debug; a guest's misbehaviour goes through log_guest(),
 * which is limited in rate and counted, so that a guest cannot fill the host's disk.
 * The level comes from VIADUCT_LOG=error|warn|info|debug (default warn). Thread-safe.
 */
#ifndef VIADUCT_COMMON_LOG_H
#define VIADUCT_COMMON_LOG_H

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_level_set(enum log_level level);
enum log_level log_level_get(void);

void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_msg(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* One per source of guest-caused messages; zero-initialised. */
struct log_limit {
	_Atomic uint64_t count;  /* how often it happened, logged or not */
	_Atomic int64_t next_ns; /* CLOCK_MONOTONIC time of the next message that may be printed */
};

/* Warn at most once a second per @lim; always counts. */
void log_guest(struct log_limit *lim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
