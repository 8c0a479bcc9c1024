/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Error context: a function that fails returns a negative errno and, when the caller passed a
 * struct err, leaves one sentence in it that names the thing, the attempt, the system's answer and
 * the remedy. The place that knows fills it once; callers may put their own name in front.
 */
#ifndef VIADUCT_COMMON_ERR_H
#define VIADUCT_COMMON_ERR_H

struct err {
	int code; /* the errno (positive), 0 = nothing went wrong */
	char text[768];
};

/* Fill @e (may be NULL) with @code (positive errno) and the formatted text. Returns -@code. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set(), and append ": <strerror(code)>". */
int err_sys(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * Put "<formatted>: " in front of the text of @e (may be NULL). Returns @ret unchanged, so that
 * `return err_wrap(e, r, "assign %s", bdf)` reads well.
 */
int err_wrap(struct err *e, int ret, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
