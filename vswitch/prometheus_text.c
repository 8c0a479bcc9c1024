// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>

#include "common/cleanup.h"
#include "vswitch/prometheus.h"

char *prometheus_text(struct vswitch *sw)
{
	_cleanup_free_ struct vswitch_port *ports = calloc(FORWARD_PORTS_MAX, sizeof(*ports));
	struct vswitch_stats stats;
	unsigned int cursor = 0;
	char *text = NULL;
	size_t len, n = 0;
	FILE *f = ports ? open_memstream(&text, &len) : NULL;

	if (!f)
		return NULL;
	while (n < FORWARD_PORTS_MAX && vswitch_port_next(sw, &cursor, &ports[n]))
		n++;
	vswitch_stats_get(sw, &stats);
	prometheus_write(f, ports, n, &stats);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
