/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel of pci_kernel.h with a manager on it for a Check program: one for each test, by world_up() and
 * world_down(). Who changes the kernel first calls pci_kernel_init() and then manager_make() instead.
 */
#ifndef VIADUCT_TESTS_KERNEL_WORLD_H
#define VIADUCT_TESTS_KERNEL_WORLD_H

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/fakes/pci_kernel.h"
#include "vf-manager/vfm.h"

#define DEV "sys/bus/pci/devices/"

static struct pci_kernel k;
static struct vfm *v;
static struct err e;
/* fake_igb and its first VFs. */
static const struct bdf pf = {0, 1, 0, 0}, vf0 = {0, 1, 0x10, 0}, vf1 = {0, 1, 0x10, 2};

static inline void manager_make(void)
{
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	e = (struct err){0};
}

static inline void world_up(void)
{
	pci_kernel_init(&k);
	manager_make();
}

static inline void world_down(void)
{
	vfm_destroy(v);
	v = NULL;
	pci_kernel_finish(&k);
}

static inline void carve(unsigned n)
{
	ck_assert_msg(vfm_carve(v, pf, n, 0, NULL, &e) == 0, "%s", e.text);
}

static inline void assert_says(const char *part)
{
	ck_assert_msg(strstr(e.text, part) != NULL, "'%s' is not in: %s", part, e.text);
}

/* Is there a file of the kernel at @path? */
static inline bool exists(const char *path)
{
	char p[256];

	snprintf(p, sizeof(p), "%s/%s", k.root, path);
	return access(p, F_OK) == 0;
}

#endif
