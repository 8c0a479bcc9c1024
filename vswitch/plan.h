/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The smallest change that makes a running switch what a description says, as steps in an order in which
 * they can be carried out: what may fail comes before what cannot be undone without loss. Decides
 * only; vswitch_apply() carries out.
 */
#ifndef VIADUCT_VSWITCH_PLAN_H
#define VIADUCT_VSWITCH_PLAN_H

#include <jansson.h>

#include "vswitch/config.h"

enum plan_kind {
	PLAN_MIRROR_DEL,
	PLAN_STATIC_DEL,
	PLAN_PORT_ADD,
	PLAN_PORT_SET, /* in place: who is connected notices nothing */
	PLAN_PORT_DEL,
	PLAN_PORT_REPLACE, /* what it is connected to changes: it goes, and comes with an ADD */
	PLAN_STATIC_ADD,
	PLAN_MIRROR_ADD,
	PLAN_AGEING,
};

struct plan_step {
	enum plan_kind kind;
	const struct port_config *port;     /* PLAN_PORT_*: as it is to be, or as it was (DEL) */
	const struct static_config *entry;  /* PLAN_STATIC_* */
	const struct mirror_config *mirror; /* PLAN_MIRROR_* */
	json_t *keys;                       /* {key: [before, after]}, PLAN_PORT_SET and REPLACE */
};

struct plan {
	struct plan_step *steps;
	size_t nr_steps;
	uint32_t ageing_s;
};

/*
 * From @now to @want, both of which must live as long as the plan. Returns 0; -EBUSY: something cannot
 * change while the switch runs, @e names every such key and the remedy; or -ENOMEM. The caller owns
 * *@ret: plan_destroy().
 */
int plan_create(const struct switch_config *now, const struct switch_config *want, struct err *e,
	struct plan **ret);
void plan_destroy(struct plan *p);

/* The steps as a list for programs, each {"do": ...}. A new reference. */
json_t *plan_json(const struct plan *p);

#endif
