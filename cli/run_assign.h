/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct run --assign`: which functions a guest gets, and their leases while it lives. */
#ifndef VIADUCT_CLI_RUN_ASSIGN_H
#define VIADUCT_CLI_RUN_ASSIGN_H

#include "common/bdf.h"
#include "common/err.h"
#include "vf-manager/pool.h"

#include "cli/run_isolate.h"

#define RUN_MAX_ASSIGN 31 /* device numbers of bus 0 beside the host bridge */

/* One function: a certain one, or any of a pool. */
struct assign_option {
	struct bdf bdf;
	char pool[VFM_NAME_MAX]; /* "" = bdf */
	enum vfm_numa numa;
};

/*
 * "BDF[,BDF...]" or "pool=NAME[,numa=prefer|strict]", added to @list, which has *@n of
 * RUN_MAX_ASSIGN. -EINVAL: the text says what is wrong; -ENOMEM.
 */
int assign_option_parse(
	const char *text, struct assign_option *list, unsigned int *n, struct err *e);

/*
 * Lease what @list asks for, for guest @t->name, those named first, ask whether each is isolated
 * (run_isolation_check()), and bind what a pool gave to vfio-pci. bdf[i] is what list[i] got. Without
 * the right to write /run/viaduct (no root) a named function is taken without a lease: VFIO itself
 * gives a group to one process alone.
 */
struct run_leases;
int run_leases_take(const struct assign_option *list, unsigned int n, const struct run_trust *t,
	struct bdf *bdf, struct err *e, struct run_leases **ret);
/* Of list[i]: is it leased, and how well is it isolated? */
bool run_lease_held(const struct run_leases *l, unsigned int i);
enum vfm_status run_lease_isolation(const struct run_leases *l, unsigned int i);
/* @b is closed and the host's again, with whatever driver it wants: its lease goes now. */
void run_leases_forget(struct run_leases *l, struct bdf b);
/* Once the devices are closed: what was bound here goes back, then the leases go. Takes NULL. */
void run_leases_drop(struct run_leases *l);

#endif
