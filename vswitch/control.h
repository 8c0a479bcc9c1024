/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the control socket understands: one group of methods a file, all listed in control.c. Their
 * context is the struct vswitch. Private to vswitch.
 */
#ifndef VIADUCT_VSWITCH_CONTROL_H
#define VIADUCT_VSWITCH_CONTROL_H

#include "common/rpc.h"
#include "vswitch/vswitch.h"

extern const struct rpc_method control_apply_methods[];
extern const struct rpc_method control_port_methods[];
extern const struct rpc_method control_fdb_methods[];
extern const struct rpc_method control_stats_methods[];
extern const struct rpc_method control_mirror_methods[];
extern const struct rpc_method control_mcast_methods[];
extern const struct rpc_method control_threads_methods[];
extern const struct rpc_method control_capture_methods[];

/* All ports, with their counters or without. A new reference. */
json_t *control_ports_json(struct vswitch *sw, bool counters);

/* The method that shows the port "name", with its counters. */
void control_port_show(void *ctx, const json_t *params, struct rpc_answer *a);

/* The datapath threads; the receive queues of a port and who polls them. New references. */
json_t *control_threads_json(const struct vswitch_stats *s);
json_t *control_queues_json(const struct vswitch_port *p);

/* Optional "vlan": *@ret is left alone when it is not there. Returns 0 or -EINVAL with @a set. */
int control_vlan_param(const json_t *params, struct rpc_answer *a, uint16_t *ret);

#endif
