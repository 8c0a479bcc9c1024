// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/console.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include "common/cleanup.h"

#define ESCAPE_KEY 0x01 /* Ctrl-A, as QEMU and kvmtool have it */

struct console {
	bool tty;
	bool raw;
	struct termios saved;
	bool escaped;      /* the escape key was the last one pressed */
	_Atomic bool gone; /* stdout was closed by its reader */
	int stop_fd;       /* eventfd: readable while writers must not wait */
};

int console_create(struct err *e, struct console **ret)
{
	struct console *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, ENOMEM, "out of memory");
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->stop_fd < 0) {
		int r = err_sys(e, errno, "make the console's eventfd");

		free(c);
		return r;
	}
	c->tty = isatty(STDIN_FILENO);
	*ret = c;
	return 0;
}

void console_destroy(struct console *c)
{
	if (!c)
		return;
	console_leave(c);
	fd_close(c->stop_fd);
	free(c);
}

int console_enter(struct console *c, struct err *e)
{
	struct termios t;
	uint64_t n;

	if (read(c->stop_fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		return err_sys(e, errno, "reset the console");
	if (!c->tty || c->raw)
		return 0;
	if (tcgetattr(STDIN_FILENO, &c->saved) < 0)
		return err_sys(e, errno, "read the terminal's settings");
	t = c->saved;
	cfmakeraw(&t);
	/* The guest sends CR LF itself, but our own messages need the CR added. */
	t.c_oflag |= OPOST;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &t) < 0)
		return err_sys(e, errno, "put the terminal into raw mode");
	c->raw = true;
	return 0;
}

void console_leave(struct console *c)
{
	if (!c->raw)
		return;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &c->saved);
	c->raw = false;
}

void console_stop(struct console *c)
{
	uint64_t one = 1;

	(void)!write(c->stop_fd, &one, sizeof(one));
}

void console_write(struct console *c, const uint8_t *buf, size_t len)
{
	struct pollfd p[2] = {{STDOUT_FILENO, POLLOUT, 0}, {c->stop_fd, POLLIN, 0}};

	while (len && !c->gone) {
		ssize_t n;

		/* Waiting is done in poll(), where console_stop() reaches us; a write(2) that blocks
		 * would hold this vCPU for as long as the reader likes. */
		if (poll(p, 2, -1) < 0) {
			if (errno != EINTR)
				return;
			continue;
		}
		if (!(p[0].revents & POLLOUT)) {
			if (p[0].revents)
				c->gone = true;
			else if (p[1].revents)
				return;
			continue;
		}
		/* A pipe that polls writable takes at least PIPE_BUF; stay well below. */
		n = write(STDOUT_FILENO, buf, len < 256 ? len : 256);
		if (n < 0) {
			if (errno != EINTR && errno != EAGAIN)
				c->gone = true;
			continue;
		}
		buf += n;
		len -= (size_t)n;
	}
}

int console_read(struct console *c, uint8_t *buf, size_t size, enum console_key *ret_key)
{
	uint8_t in[256];
	size_t out = 0;
	ssize_t n;

	*ret_key = CONSOLE_NONE;
	n = read(STDIN_FILENO, in, size < sizeof(in) ? size : sizeof(in));
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	for (ssize_t i = 0; i < n; i++) {
		if (!c->tty) {
			buf[out++] = in[i];
			continue;
		}
		if (c->escaped) {
			c->escaped = false;
			if (in[i] == 'x' || in[i] == 'X') {
				*ret_key = CONSOLE_QUIT;
				break;
			}
			/* Ctrl-A twice sends one; another key was no escape after all. */
			if (in[i] == ESCAPE_KEY || in[i] == 'a')
				buf[out++] = ESCAPE_KEY;
			continue;
		}
		if (in[i] == ESCAPE_KEY) {
			c->escaped = true;
			continue;
		}
		buf[out++] = in[i];
	}
	return (int)out;
}

bool console_is_tty(const struct console *c)
{
	return c->tty;
}
