/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a port is connected to, as DPDK takes it, and what is in the way of having it. Private to vswitch. */
#ifndef VIADUCT_VSWITCH_DEVICE_H
#define VIADUCT_VSWITCH_DEVICE_H

#include "vswitch/config.h"

#define DEVICE_ARGS_MAX (2 * CONFIG_DEV_MAX + 64)

/*
 * Look at what @cfg (not PORT_VHOST_USER) wants and write it as DPDK takes it: a name, and behind a
 * comma the driver's arguments. Returns 0; -ENODEV, -EBUSY, -ENOENT, -EACCES, ... with what is missing
 * and the remedy in @e.
 */
int device_check(const struct port_config *cfg, struct err *e, char ret_args[DEVICE_ARGS_MAX]);

/* After DPDK refused it with @code, a positive errno: say why as well as can be told. Returns -@code. */
int device_explain(const struct port_config *cfg, int code, struct err *e);

/* Has the kernel's interface of @cfg no carrier? *@ret_why says. Any thread. */
bool device_link_down(const struct port_config *cfg, const char **ret_why);

#endif
