/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters in Prometheus' text exposition format, version 0.0.4. */
#ifndef VIADUCT_VSWITCH_PROMETHEUS_H
#define VIADUCT_VSWITCH_PROMETHEUS_H

#include <stdio.h>

#include "vswitch/vswitch.h"

/* Write @n ports and the switch's own figures to @f. */
void prometheus_write(
	FILE *f, const struct vswitch_port *ports, size_t n, const struct vswitch_stats *stats);

/* A label's value as the format wants it: backslash, quote and line feed are escaped. */
void prometheus_label_write(FILE *f, const char *value);

/* All of @sw as it is now, or NULL: out of memory. The caller frees it. @sw is locked by the caller. */
char *prometheus_text(struct vswitch *sw);

#endif
