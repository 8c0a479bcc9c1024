/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Capability chains of an assigned device: what the guest is shown of them. */
#ifndef VIADUCT_PASSTHROUGH_CAPS_H
#define VIADUCT_PASSTHROUGH_CAPS_H

#include "common/err.h"

struct assigned;

enum span_policy {
	SPAN_HIDE,  /* reads 0, writes go nowhere */
	SPAN_FIXED, /* reads what the device said when it was opened, writes go nowhere */
	SPAN_SHOW,  /* reads come from the device, writes go nowhere */
	SPAN_PASS,  /* reads and writes are the device's */
};

/* Apply @policy to config bytes [off, off+len). */
void config_span(struct assigned *a, unsigned int off, unsigned int len, enum span_policy policy);

/*
 * Walk both chains, apply the policy of each capability and link those the guest may see. -EIO: a
 * chain loops or leaves its area, as those of a dead device do.
 */
int caps_init(struct assigned *a, struct err *e);

#endif
