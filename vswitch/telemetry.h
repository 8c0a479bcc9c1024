/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The switch as DPDK's telemetry shows it: /viaduct/... for dpdk-telemetry.py. Private to vswitch. */
#ifndef VIADUCT_VSWITCH_TELEMETRY_H
#define VIADUCT_VSWITCH_TELEMETRY_H

#include "common/err.h"

struct vswitch;

/* Answer from now on. Once per process. Returns 0 or a negative errno. */
int telemetry_start(struct vswitch *sw, struct err *e);

/* Answer no more; who is being answered is waited for. */
void telemetry_stop(void);

#endif
