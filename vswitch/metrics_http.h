/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters over HTTP, for Prometheus: GET /metrics, from this machine alone. */
#ifndef VIADUCT_VSWITCH_METRICS_HTTP_H
#define VIADUCT_VSWITCH_METRICS_HTTP_H

#include "common/err.h"

struct sd_event;
struct vswitch;
struct metrics_http;

/*
 * Serve @sw's counters at @address ("127.0.0.1:9100", "[::1]:9100" or a socket's path, as checked by
 * config.h) from @loop's thread. Connections, their memory and their time are bounded. The caller owns
 * *@ret. Returns 0 or what bind(2) and listen(2) say.
 */
int metrics_http_create(struct vswitch *sw, const char *address, struct sd_event *loop,
	struct err *e, struct metrics_http **ret);
void metrics_http_destroy(struct metrics_http *m);

#endif
