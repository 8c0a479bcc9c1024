// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long vfm_list() takes on 256 VFs of four PFs: sysfs is a tree of files, rtnetlink a fake that
 * answers with 64 records. Prints the fastest and the median of RUNS lists (default 21) as JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/cleanup.h"
#include "tests/fakes/vf_link.h"
#include "tests/unit/vf-manager/topologies/topology.h"
#include "vf-manager/vfm.h"

#define RUNS_MAX 1000

static double ms_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int ms_cmp(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
	struct vf_link kernel = {.vfs = 64};
	int runs = argc > 1 ? atoi(argv[1]) : 21, n = 0;
	double ms[RUNS_MAX];
	struct topology t;
	struct err e = {0};
	struct vfm *v;

	if (runs < 1 || runs > RUNS_MAX)
		return 2;
	topology_load(&t, "synthetic-256");
	if (vfm_create(&(struct vfm_config){.root = t.root,
			       .run_dir = t.run_dir,
			       .ops = &vf_link_ops,
			       .ops_ctx = &kernel},
		    &v, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	for (int i = 0; i < runs; i++) {
		_cleanup_free_ struct vfm_function *f = NULL;

		ms[i] = ms_now();
		n = vfm_list(v, VFM_LIST_QUICK, &f, &e);
		ms[i] = ms_now() - ms[i];
	}
	qsort(ms, (size_t)runs, sizeof(ms[0]), ms_cmp);
	printf("{\"functions\": %d, \"requests\": %u, \"ms_min\": %.2f, \"ms_median\": %.2f}\n", n,
		kernel.requests / (unsigned)runs, ms[0], ms[runs / 2]);
	vfm_destroy(v);
	topology_finish(&t);
	return n == 260 ? 0 : 1;
}
