/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's serial console on our stdin and stdout. On a terminal stdin goes raw, so that every
 * key reaches the guest, and Ctrl-A is the escape key; piped, bytes pass as they are.
 */
#ifndef VIADUCT_CLI_CONSOLE_H
#define VIADUCT_CLI_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct console;

enum console_key {
	CONSOLE_NONE,
	CONSOLE_QUIT, /* Ctrl-A x */
};

/* Does not touch the terminal yet. */
int console_create(struct err *e, struct console **ret);
/* Restores the terminal. NULL is allowed. */
void console_destroy(struct console *c);
/* Take the terminal (raw). Call when the guest is about to run; a no-op when stdin is no tty. */
int console_enter(struct console *c, struct err *e);
/* Give it back: safe at any time, also twice. */
void console_leave(struct console *c);

/*
 * Guest output; from a vCPU thread. Waits while stdout is full, until console_stop(). Output to a
 * closed pipe is dropped.
 */
void console_write(struct console *c, const uint8_t *buf, size_t len);
/* Wake and release every writer: the guest is being stopped. Undone by console_enter(). */
void console_stop(struct console *c);

/*
 * Read what stdin has, at most @size bytes, with escape sequences taken out. Returns the number of
 * bytes for the guest (may be 0), -EPIPE at end of file, or another -errno.
 */
int console_read(struct console *c, uint8_t *buf, size_t size, enum console_key *ret_key);
bool console_is_tty(const struct console *c);

#endif
