// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The eventfds of vectors that the remapping unit blocks. KVM must not have them, and yet each of their
 * signals is a request that has to be looked at: it may be allowed by now, or it is a fault.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "common/cleanup.h"
#include "common/event.h"
#include "irqremap/internal.h"

#define STOP UINT64_MAX /* no vector's id */

struct irq_watch {
	struct irq_router *r;
	int epoll_fd, stop_fd;
	pthread_t thread;
	bool running;
};

static void *watch_run(void *arg)
{
	struct irq_watch *w = arg;
	struct epoll_event ev;
	int n;

	for (;;) {
		n = epoll_wait(w->epoll_fd, &ev, 1, -1);
		if (n < 1)
			continue;
		if (ev.data.u64 == STOP)
			return NULL;
		irq_vector_requested(w->r, ev.data.u64);
	}
}

int irq_watch_create(struct irq_router *r, struct err *e, struct irq_watch **ret)
{
	struct irq_watch *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return err_sys(e, ENOMEM, "remapping unit");
	w->r = r;
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	err = w->epoll_fd < 0 || w->stop_fd < 0 ? -errno : 0;
	if (err == 0)
		err = irq_watch_add(w, w->stop_fd, STOP);
	if (err == 0)
		err = -pthread_create(&w->thread, NULL, watch_run, w);
	w->running = err == 0;
	if (err < 0) {
		irq_watch_destroy(w);
		return err_sys(e, -err, "remapping unit: watch blocked interrupts");
	}
	pthread_setname_np(w->thread, "irq-blocked");
	*ret = w;
	return 0;
}

void irq_watch_destroy(struct irq_watch *w)
{
	if (!w)
		return;
	if (w->running) {
		event_signal(w->stop_fd);
		pthread_join(w->thread, NULL);
	}
	fd_close(w->stop_fd);
	fd_close(w->epoll_fd);
	free(w);
}

int irq_watch_add(struct irq_watch *w, int fd, uint64_t id)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = id};

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

void irq_watch_remove(struct irq_watch *w, int fd)
{
	(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}
