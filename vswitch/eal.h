/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DPDK started for us alone: on disk only its telemetry socket, no other process, no root-only path.
 * Private to vswitch.
 */
#ifndef VIADUCT_VSWITCH_EAL_H
#define VIADUCT_VSWITCH_EAL_H

#include "common/err.h"
#include "vswitch/config.h"

/*
 * Start it; worker N + 1 is pinned to CPU @ret_cores[N], of *@ret_n. Once per process. Returns 0 or a
 * negative errno.
 */
int eal_start(const struct switch_config *cfg, struct err *e, int ret_cores[SWITCH_CORES_MAX],
	unsigned int *ret_n);

/* Remove what it has put beside the control socket. The process is about to end. */
void eal_finish(const struct switch_config *cfg);

#endif
