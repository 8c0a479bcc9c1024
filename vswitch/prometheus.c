// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <stdlib.h>

#include "vswitch/prometheus.h"

void prometheus_label_write(FILE *f, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", f);
		else if (*value == '\\' || *value == '"')
			fprintf(f, "\\%c", *value);
		else
			fputc(*value, f);
	}
}

static uint64_t up_of(const struct vswitch_port *p)
{
	return p->up;
}

static uint64_t mtu_of(const struct vswitch_port *p)
{
	return p->cfg.forward.mtu;
}

static uint64_t rx_frames_of(const struct vswitch_port *p)
{
	return p->counters.rx_packets;
}

static uint64_t rx_bytes_of(const struct vswitch_port *p)
{
	return p->counters.rx_bytes;
}

static uint64_t tx_frames_of(const struct vswitch_port *p)
{
	return p->counters.tx_packets;
}

static uint64_t tx_bytes_of(const struct vswitch_port *p)
{
	return p->counters.tx_bytes;
}

static uint64_t flooded_of(const struct vswitch_port *p)
{
	return p->counters.flooded;
}

static uint64_t addresses_of(const struct vswitch_port *p)
{
	return p->fdb.entries;
}

static uint64_t learned_of(const struct vswitch_port *p)
{
	return p->fdb.learned;
}

static uint64_t moved_of(const struct vswitch_port *p)
{
	return p->fdb.moved;
}

static uint64_t evicted_of(const struct vswitch_port *p)
{
	return p->fdb.evicted;
}

static uint64_t aged_of(const struct vswitch_port *p)
{
	return p->fdb.aged;
}

static const struct {
	const char *name, *type, *help;
	uint64_t (*value)(const struct vswitch_port *p);
} port_metrics[] = {
	{"viaduct_port_up", "gauge", "Whether the port has a link.", up_of},
	{"viaduct_port_mtu_bytes", "gauge", "The port's MTU.", mtu_of},
	{"viaduct_port_receive_frames_total", "counter", "Frames that came in.", rx_frames_of},
	{"viaduct_port_receive_bytes_total", "counter", "Bytes that came in.", rx_bytes_of},
	{"viaduct_port_transmit_frames_total", "counter", "Frames that went out.", tx_frames_of},
	{"viaduct_port_transmit_bytes_total", "counter", "Bytes that went out.", tx_bytes_of},
	{"viaduct_port_flooded_frames_total", "counter",
		"Frames that came in and went to all ports of their VLAN.", flooded_of},
	{"viaduct_port_addresses", "gauge", "Addresses that are on the port.", addresses_of},
	{"viaduct_port_addresses_learned_total", "counter", "Addresses learned.", learned_of},
	{"viaduct_port_addresses_moved_total", "counter",
		"Addresses that moved here from another port.", moved_of},
	{"viaduct_port_addresses_evicted_total", "counter", "Addresses that made way for others.",
		evicted_of},
	{"viaduct_port_addresses_aged_total", "counter",
		"Addresses forgotten because nothing came from them.", aged_of},
};

static void head_write(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void drops_write(FILE *f, const struct vswitch_port *ports, size_t n)
{
	head_write(f, "viaduct_port_drops_total", "counter", "Frames dropped, by reason.");
	for (size_t i = 0; i < n; i++)
		for (enum drop_reason d = 0; d < DROP_REASON_COUNT; d++) {
			fputs("viaduct_port_drops_total{port=\"", f);
			prometheus_label_write(f, ports[i].cfg.name);
			fprintf(f, "\",reason=\"%s\"} %" PRIu64 "\n", drop_reason_name(d),
				ports[i].counters.drops[d]);
		}
}

void prometheus_write(
	FILE *f, const struct vswitch_port *ports, size_t n, const struct vswitch_stats *stats)
{
	for (size_t m = 0; m < sizeof(port_metrics) / sizeof(port_metrics[0]); m++) {
		head_write(f, port_metrics[m].name, port_metrics[m].type, port_metrics[m].help);
		for (size_t i = 0; i < n; i++) {
			fprintf(f, "%s{port=\"", port_metrics[m].name);
			prometheus_label_write(f, ports[i].cfg.name);
			fprintf(f, "\"} %" PRIu64 "\n", port_metrics[m].value(&ports[i]));
		}
	}
	drops_write(f, ports, n);
	head_write(f, "viaduct_fdb_entries", "gauge", "Addresses known.");
	fprintf(f, "viaduct_fdb_entries %" PRIu32 "\n", stats->fdb_entries);
	head_write(f, "viaduct_datapath_rounds_total", "counter", "Rounds over the ports.");
	fprintf(f, "viaduct_datapath_rounds_total %" PRIu64 "\n", stats->rounds);
	head_write(f, "viaduct_datapath_busy_rounds_total", "counter", "Rounds that found frames.");
	fprintf(f, "viaduct_datapath_busy_rounds_total %" PRIu64 "\n", stats->busy_rounds);
	head_write(f, "viaduct_datapath_sleeps_total", "counter",
		"Times a thread went to sleep because nothing moved.");
	fprintf(f, "viaduct_datapath_sleeps_total %" PRIu64 "\n", stats->sleeps);
}
