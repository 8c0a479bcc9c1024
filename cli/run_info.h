/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a running guest says of itself on its control socket; docs/schema/info-*.json. */
#ifndef VIADUCT_CLI_RUN_INFO_H
#define VIADUCT_CLI_RUN_INFO_H

#include "cli/run.h"
#include "cli/run_control.h"

/* The context of its methods. */
struct run_info {
	struct guest *guest;
	const struct control *control; /* NULL: no figures of it */
};

/* Of the host: are interrupts of its devices remapped, and who says so? */
json_t *info_host_json(struct guest *g);

/* Of the guest's remapping unit: is it on, in which mode, how many faults? null: there is none. */
json_t *info_remap_json(const struct guest *g);

/* "guest": what it is and has. "irqs": each of its interrupt vectors and pins now. */
extern const struct rpc_method run_info_methods[];

#endif
