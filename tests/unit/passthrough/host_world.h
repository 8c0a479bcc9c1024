/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host of host.h for a Check program: one for each test, by host_up() and host_down(). */
#ifndef VIADUCT_TESTS_PASSTHROUGH_HOST_WORLD_H
#define VIADUCT_TESTS_PASSTHROUGH_HOST_WORLD_H

#include <check.h>
#include <stdlib.h>
#include <linux/pci_regs.h>

#include "tests/unit/passthrough/host.h"

#define MSIX_CTL (CAP_MSIX + PCI_MSIX_FLAGS)

static struct host *h;
static char root[HOST_ROOT_LEN];

static inline void host_up(void)
{
	h = malloc(sizeof(*h));
	ck_assert_ptr_nonnull(h);
	host_root_make(root);
	host_init(h, root);
}

static inline void host_down(void)
{
	host_finish(h);
	host_root_remove(root);
	free(h);
}

static inline void open_ok(void)
{
	struct err e = {0};

	ck_assert_msg(host_open(h, &e) == 0, "%s", e.text);
}

static inline void open_placed(void)
{
	open_ok();
	host_place(h);
}

#endif
