/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the schema fills: text and numbers as they stand in the file. Private to config*.c. */
#ifndef VIADUCT_VSWITCH_CONFIG_RAW_H
#define VIADUCT_VSWITCH_CONFIG_RAW_H

#include "vswitch/config.h"
#include "common/config_yaml.h"

struct raw_vlan {
	uint16_t access, native;
	char **trunk;
	unsigned int trunk_count;
};

struct raw_guard {
	char **mac, **ipv4, **ipv6;
	unsigned int mac_count, ipv4_count, ipv6_count;
	bool no_dhcp_server, no_router;
};

struct raw_police {
	uint64_t kbit, burst_kb;
};

struct raw_storm {
	uint32_t *broadcast, *multicast, *unknown;
};

struct raw_shape {
	char *rate, *burst, *limit;
};

struct raw_mcast_port {
	int router;
	bool fast_leave;
	uint16_t *limit;
};

struct raw_pcap {
	char *rx, *tx;
};

struct raw_port {
	char *name, *vhost_user, *pci, *tap, *af_packet, *device;
	struct raw_pcap *pcap;
	bool client, isolated, no_learning;
	uint16_t *queues;
	int *offloads;
	bool *packed;
	char *socket_mode;
	int no_flood;
	uint32_t *mtu;
	uint32_t *fdb_limit;
	int *rx_cores;
	unsigned int rx_cores_count;
	struct raw_vlan *vlan;
	struct raw_guard *guard;
	struct raw_police *police;
	struct raw_storm *storm;
	struct raw_shape *shape;
	struct raw_mcast_port *mcast;
};

struct raw_mirror {
	char *name, *to, *rate;
	char **from;
	unsigned int from_count;
	int direction; /* MIRROR_*; 0 = both */
	uint16_t vlan;
	bool reserved;
};

extern const cyaml_schema_value_t config_mirror_schema;
extern const cyaml_schema_value_t config_port_schema;     /* in a list */
extern const cyaml_schema_value_t config_port_top_schema; /* alone */

/* Names are words on a command line, columns of tables and labels of counters. */
bool config_is_name(const char *text);

int config_mirror_take(
	const struct raw_mirror *raw, struct config_at *at, struct mirror_config *ret);
/* Check @raw, which stands at @at->base, into @ret. Returns 0 or -EINVAL with @at saying where. */
int config_port_take(const struct raw_port *raw, struct config_at *at, struct port_config *ret);

#endif
