// SPDX-License-Identifier: GPL-2.0-or-later
#include "vswitch/bus_guard.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* 256 ports with the regions and the inflight area of each. */
#define GUARDS_MAX (256 * 9)

/* The kernel hands a signal handler no context, so this one has to be found by name. */
static _Atomic(struct bus_guard *) bus_guards[GUARDS_MAX];

/* In a signal handler: system calls only. */
static bool memory_replace(struct bus_guard *g, uintptr_t at)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
	uint8_t *page = g->base + (at - (uintptr_t)g->base) / g->page * g->page;

	if (mmap(g->base, g->len, PROT_READ | PROT_WRITE, flags, -1, 0) != MAP_FAILED)
		return true;
	/* A host that promises no more than it has may refuse the whole. */
	return mmap(page, g->page, PROT_READ | PROT_WRITE, flags, -1, 0) != MAP_FAILED;
}

static void on_sigbus(int signal_no, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	uint64_t one = 1;
	int saved = errno;

	for (size_t i = 0; i < GUARDS_MAX; i++) {
		struct bus_guard *g = atomic_load_explicit(&bus_guards[i], memory_order_acquire);

		if (!g || at - (uintptr_t)g->base >= g->len || !memory_replace(g, at))
			continue;
		atomic_store(&g->gone, true);
		(void)!write(g->wake_fd, &one, sizeof(one));
		errno = saved;
		return;
	}
	/* Not ours: the instruction is tried again, and this time it ends us. */
	signal(SIGBUS, SIG_DFL);
}

static int handler_install(struct err *e)
{
	struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO}, old;

	if (sigaction(SIGBUS, NULL, &old) < 0)
		return err_sys(e, errno, "read what SIGBUS does");
	if ((old.sa_flags & SA_SIGINFO) && old.sa_sigaction == on_sigbus)
		return 0;
	sigemptyset(&sa.sa_mask);
	return sigaction(SIGBUS, &sa, NULL) < 0 ? err_sys(e, errno, "handle SIGBUS") : 0;
}

int bus_guard_add(struct bus_guard *g, struct err *e)
{
	int r = handler_install(e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < GUARDS_MAX; i++)
		if (!atomic_load_explicit(&bus_guards[i], memory_order_relaxed)) {
			atomic_store_explicit(&bus_guards[i], g, memory_order_release);
			return 0;
		}
	return err_set(e, ENOSPC, "more than %d pieces of shared memory", GUARDS_MAX);
}

void bus_guard_remove(struct bus_guard *g)
{
	for (size_t i = 0; i < GUARDS_MAX; i++)
		if (atomic_load_explicit(&bus_guards[i], memory_order_relaxed) == g) {
			atomic_store_explicit(&bus_guards[i], NULL, memory_order_release);
			return;
		}
}
