/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Eventfds that another process has too. */
#ifndef VIADUCT_COMMON_EVENT_H
#define VIADUCT_COMMON_EVENT_H

#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

/*
 * Signal @fd (-1: nobody) without ever waiting. Whoever shares an eventfd can take O_NONBLOCK from
 * it and fill its counter, and the next write would then not return: it is set again first. A full
 * counter is signalled already. Any thread.
 */
static inline void event_signal(int fd)
{
	const uint64_t one = 1;

	if (fd < 0)
		return;
	(void)!fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	(void)!write(fd, &one, sizeof(one));
}

#endif
