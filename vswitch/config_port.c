// SPDX-License-Identifier: GPL-2.0-or-later
/* One port's description: its schema, and the checks a schema cannot express. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bdf.h"
#include "common/cleanup.h"
#include "vswitch/config_raw.h"
#include "vswitch/offload.h"
#include "vswitch/units.h"

enum { FLOOD_UNKNOWN = 1, FLOOD_BROADCAST = 2, FLOOD_MULTICAST = 4 };

static const cyaml_strval_t flood_names[] = {
	{"unknown", FLOOD_UNKNOWN},
	{"broadcast", FLOOD_BROADCAST},
	{"multicast", FLOOD_MULTICAST},
};

static const cyaml_strval_t offload_names[] = {
	{"csum", OFFLOAD_CSUM},
	{"tso", OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN},
};

static const cyaml_schema_value_t text_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CONFIG_DEV_MAX - 1)};

static const cyaml_schema_value_t core_schema = {CYAML_VALUE_INT(CYAML_FLAG_DEFAULT, int)};

static const cyaml_schema_field_t vlan_fields[] = {
	CYAML_FIELD_UINT("access", CYAML_FLAG_OPTIONAL, struct raw_vlan, access),
	CYAML_FIELD_UINT("native", CYAML_FLAG_OPTIONAL, struct raw_vlan, native),
	CYAML_FIELD_SEQUENCE("trunk", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_vlan,
		trunk, &text_schema, 0, 4094),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t guard_fields[] = {
	CYAML_FIELD_SEQUENCE("mac", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_guard, mac,
		&text_schema, 0, GUARD_LIST_MAX),
	CYAML_FIELD_SEQUENCE("ipv4", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_guard,
		ipv4, &text_schema, 0, GUARD_LIST_MAX),
	CYAML_FIELD_SEQUENCE("ipv6", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_guard,
		ipv6, &text_schema, 0, GUARD_LIST_MAX),
	CYAML_FIELD_BOOL("no-dhcp-server", CYAML_FLAG_OPTIONAL, struct raw_guard, no_dhcp_server),
	CYAML_FIELD_BOOL("no-router", CYAML_FLAG_OPTIONAL, struct raw_guard, no_router),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t police_fields[] = {
	CYAML_FIELD_UINT("kbit", CYAML_FLAG_DEFAULT, struct raw_police, kbit),
	CYAML_FIELD_UINT("burst-kb", CYAML_FLAG_OPTIONAL, struct raw_police, burst_kb),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t shape_fields[] = {
	CYAML_FIELD_STRING_PTR("rate", CYAML_FLAG_POINTER, struct raw_shape, rate, 1, 31),
	CYAML_FIELD_STRING_PTR(
		"burst", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_shape, burst, 1, 31),
	CYAML_FIELD_STRING_PTR(
		"limit", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_shape, limit, 1, 31),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t storm_fields[] = {
	CYAML_FIELD_UINT_PTR(
		"broadcast", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_storm, broadcast),
	CYAML_FIELD_UINT_PTR(
		"multicast", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_storm, multicast),
	CYAML_FIELD_UINT_PTR(
		"unknown", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_storm, unknown),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t pcap_fields[] = {
	CYAML_FIELD_STRING_PTR("rx", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_pcap, rx,
		1, CONFIG_PATH_MAX - 1),
	CYAML_FIELD_STRING_PTR("tx", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_pcap, tx,
		1, CONFIG_PATH_MAX - 1),
	CYAML_FIELD_END,
};

static const cyaml_strval_t router_names[] = {
	{"auto", SNOOP_ROUTER_AUTO},
	{"never", SNOOP_ROUTER_NEVER},
	{"always", SNOOP_ROUTER_ALWAYS},
};

static const cyaml_schema_field_t mcast_fields[] = {
	CYAML_FIELD_ENUM("router", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct raw_mcast_port,
		router, router_names, ARRAY_SIZE(router_names)),
	CYAML_FIELD_BOOL("fast-leave", CYAML_FLAG_OPTIONAL, struct raw_mcast_port, fast_leave),
	CYAML_FIELD_UINT_PTR(
		"limit", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_mcast_port, limit),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t port_fields[] = {
	CYAML_FIELD_MAPPING_PTR("multicast", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct raw_port, mcast, mcast_fields),
	CYAML_FIELD_STRING_PTR(
		"name", CYAML_FLAG_POINTER, struct raw_port, name, 1, CONFIG_NAME_MAX - 1),
	CYAML_FIELD_STRING_PTR("vhost-user", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct raw_port, vhost_user, 1, CONFIG_PATH_MAX - 1),
	CYAML_FIELD_BOOL("client", CYAML_FLAG_OPTIONAL, struct raw_port, client),
	CYAML_FIELD_UINT_PTR(
		"queues", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port, queues),
	CYAML_FIELD_FLAGS_PTR("offloads",
		CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct raw_port,
		offloads, offload_names, ARRAY_SIZE(offload_names)),
	CYAML_FIELD_BOOL_PTR(
		"packed", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port, packed),
	CYAML_FIELD_STRING_PTR("socket-mode", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct raw_port, socket_mode, 1, 7),
	CYAML_FIELD_STRING_PTR("pci", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port,
		pci, 1, BDF_STRLEN),
	CYAML_FIELD_STRING_PTR("tap", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port,
		tap, 1, IFNAMSIZ - 1),
	CYAML_FIELD_STRING_PTR("af-packet", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct raw_port, af_packet, 1, IFNAMSIZ - 1),
	CYAML_FIELD_MAPPING_PTR("pcap", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port,
		pcap, pcap_fields),
	CYAML_FIELD_STRING_PTR("device", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port,
		device, 1, CONFIG_DEV_MAX - 1),
	CYAML_FIELD_UINT_PTR("mtu", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port, mtu),
	CYAML_FIELD_BOOL("isolated", CYAML_FLAG_OPTIONAL, struct raw_port, isolated),
	CYAML_FIELD_BOOL("no-learning", CYAML_FLAG_OPTIONAL, struct raw_port, no_learning),
	CYAML_FIELD_FLAGS("no-flood", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct raw_port,
		no_flood, flood_names, ARRAY_SIZE(flood_names)),
	CYAML_FIELD_UINT_PTR(
		"fdb-limit", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port, fdb_limit),
	CYAML_FIELD_SEQUENCE("rx-cores", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port,
		rx_cores, &core_schema, 1, SWITCH_CORES_MAX),
	CYAML_FIELD_MAPPING_PTR("vlan", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port,
		vlan, vlan_fields),
	CYAML_FIELD_MAPPING_PTR("anti-spoofing", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct raw_port, guard, guard_fields),
	CYAML_FIELD_MAPPING_PTR("police", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port,
		police, police_fields),
	CYAML_FIELD_MAPPING_PTR("storm", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port,
		storm, storm_fields),
	CYAML_FIELD_MAPPING_PTR("shape", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port,
		shape, shape_fields),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t config_port_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_port, port_fields)};
const cyaml_schema_value_t config_port_top_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_port, port_fields)};

/* As config_bad(), of the @i-th entry of the list @key. */
#define bad_entry(at, key, i, ...)                               \
	({                                                       \
		char path_[64];                                  \
		snprintf(path_, sizeof(path_), "%s/%u", key, i); \
		config_bad(at, path_, __VA_ARGS__);              \
	})

/* "10" or "10-20" */
static int trunk_add(struct vlan_port *p, const char *text)
{
	unsigned int first, last;
	int end = 0;

	if (sscanf(text, "%4u%n-%4u%n", &first, &end, &last, &end) < 2)
		last = first;
	if (!isdigit((unsigned char)text[0]) || !end || text[end] || first > VLAN_MAX ||
		last > VLAN_MAX)
		return -EINVAL;
	return vlan_port_add(p, (uint16_t)first, (uint16_t)last);
}

static int vlan_take(
	const struct raw_vlan *raw, const char *name, struct config_at *at, struct vlan_port *p)
{
	if (raw->access && (raw->trunk_count || raw->native))
		return config_bad(at, "vlan",
			"port '%s': vlan: access goes with neither trunk nor native", name);
	if (!raw->access && !raw->trunk_count && !raw->native)
		return config_bad(at, "vlan", "port '%s': vlan: give access or trunk, from 1 to %d",
			name, VLAN_MAX);
	if (raw->access > VLAN_MAX || raw->native > VLAN_MAX)
		return config_bad(at, raw->access ? "vlan/access" : "vlan/native",
			"port '%s': vlan: VLANs are 1 to %d", name, VLAN_MAX);
	if (raw->access) {
		vlan_port_access(p, raw->access);
		return 0;
	}
	vlan_port_trunk(p, raw->native);
	for (unsigned int i = 0; i < raw->trunk_count; i++)
		if (trunk_add(p, raw->trunk[i]) < 0)
			return bad_entry(at, "vlan/trunk", i,
				"port '%s': vlan: trunk: '%s' is no VLAN from 1 to %d and no range "
				"such as 10-20",
				name, raw->trunk[i], VLAN_MAX);
	return 0;
}

static int guard_take(
	const struct raw_guard *raw, const char *name, struct config_at *at, struct guard *g)
{
	for (unsigned int i = 0; i < raw->mac_count; i++) {
		uint64_t mac;

		if (mac_parse(raw->mac[i], &mac) < 0 || frame_cast(mac) != FRAME_UNICAST || !mac)
			return bad_entry(at, "anti-spoofing/mac", i,
				"port '%s': anti-spoofing: '%s' is no address of one station", name,
				raw->mac[i]);
		g->mac[g->nr_mac++] = mac;
	}
	for (unsigned int i = 0; i < raw->ipv4_count; i++) {
		struct in_addr a;

		if (inet_pton(AF_INET, raw->ipv4[i], &a) != 1)
			return bad_entry(at, "anti-spoofing/ipv4", i,
				"port '%s': anti-spoofing: '%s' is no IPv4 address", name,
				raw->ipv4[i]);
		g->ipv4[g->nr_ipv4++] = ntohl(a.s_addr);
	}
	for (unsigned int i = 0; i < raw->ipv6_count; i++)
		if (inet_pton(AF_INET6, raw->ipv6[i], g->ipv6[g->nr_ipv6++]) != 1)
			return bad_entry(at, "anti-spoofing/ipv6", i,
				"port '%s': anti-spoofing: '%s' is no IPv6 address", name,
				raw->ipv6[i]);
	g->no_dhcp_server = raw->no_dhcp_server;
	g->no_router = raw->no_router;
	return 0;
}

/* None a second is no rate: to who asks for it, letting all in would be the opposite. */
static int storm_take(const uint32_t *raw, const char *key, const char *name, struct config_at *at,
	struct meter *ret)
{
	char path[32];

	snprintf(path, sizeof(path), "storm/%s", key);
	if (raw && !*raw)
		return config_bad(at, path,
			"port '%s': storm: %s must be 1 at least; without it there is no limit",
			name, key);
	if (raw)
		meter_init(ret, *raw, *raw, 0);
	return 0;
}

static int meters_take(
	const struct raw_port *raw, const char *name, struct config_at *at, struct forward_port *p)
{
	const struct raw_police *police = raw->police;
	const struct raw_storm *storm = raw->storm;
	int r;

	if (police) {
		/* The bucket must hold the largest frame, or none would ever pass. */
		uint64_t burst = police->burst_kb ? police->burst_kb * 1000 : 128000;

		if (!police->kbit || police->kbit > 1000000000u || burst > 1000000000u)
			return config_bad(at, "police",
				"port '%s': police: kbit must be 1 to 1000000000 and burst-kb at "
				"most 1000000",
				name);
		if (burst < p->mtu + 18)
			return config_bad(at, "police/burst-kb",
				"port '%s': police: burst-kb is less than one frame", name);
		meter_init(&p->police, police->kbit * 125, burst, 0);
	}
	if (!storm)
		return 0;
	r = storm_take(storm->broadcast, "broadcast", name, at, &p->storm_broadcast);
	if (r >= 0)
		r = storm_take(storm->multicast, "multicast", name, at, &p->storm_multicast);
	return r < 0 ? r : storm_take(storm->unknown, "unknown", name, at, &p->storm_unknown);
}

static int shape_take(const struct raw_shape *raw, const char *name, uint32_t mtu,
	struct config_at *at, struct shape *s)
{
	if (rate_parse(raw->rate, &s->rate) < 0)
		return config_bad(at, "shape/rate",
			"port '%s': shape: rate: '%s' is no rate such as 100mbit or 2.5gbit", name,
			raw->rate);
	/* What the rate sends in 4 ms, and at least two frames: a sleep may be that long. */
	s->burst = s->rate / 250 > 2 * mtu ? s->rate / 250 : 2 * mtu;
	s->limit = s->rate / 20 > 65536 ? s->rate / 20 : 65536;
	if (s->limit < 2 * mtu)
		s->limit = 2 * mtu;
	if (raw->burst && size_parse(raw->burst, &s->burst) < 0)
		return config_bad(at, "shape/burst",
			"port '%s': shape: burst: '%s' is no size such as 15000 or 32kb", name,
			raw->burst);
	if (raw->limit && size_parse(raw->limit, &s->limit) < 0)
		return config_bad(at, "shape/limit",
			"port '%s': shape: limit: '%s' is no size such as 64kb", name, raw->limit);
	if (s->limit < mtu + FRAME_HEADER + FRAME_TAG)
		return config_bad(at, "shape/limit",
			"port '%s': shape: limit: %s is less than one frame of its MTU", name,
			raw->limit);
	return 0;
}

bool config_is_name(const char *text)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("-_.", *text))
			return false;
	return true;
}

/* A kernel interface's name, as it goes into a list that commas separate. */
static bool is_ifname(const char *s)
{
	for (const char *p = s; *p; p++)
		if (!isgraph((unsigned char)*p) || strchr("/:,=[]%\"\\", *p))
			return false;
	return strcmp(s, ".") && strcmp(s, "..");
}

static int path_take(
	const char *raw, const char *key, const char *name, struct config_at *at, char *ret)
{
	if (raw[0] != '/')
		return config_bad(at, key, "port '%s': the path '%s' must begin with /", name, raw);
	if (!strncmp(key, "pcap", 4) && strpbrk(raw, ",=[]\""))
		return config_bad(at, key,
			"port '%s': DPDK takes no ',', '=', '[', ']' or '\"' in the path '%s'",
			name, raw);
	strcpy(ret, raw);
	return 0;
}

static int ifname_take(
	const char *raw, const char *key, struct config_at *at, struct port_config *c)
{
	if (!is_ifname(raw))
		return config_bad(at, key, "port '%s': %s: '%s' is no name of an interface",
			c->name, key, raw);
	strcpy(c->device, raw);
	return 0;
}

static int pci_take(const char *raw, struct config_at *at, struct port_config *c)
{
	struct bdf bdf;

	if (bdf_parse(raw, &bdf) < 0)
		return config_bad(at, "pci",
			"port '%s': pci: '%s' is no PCI address such as 0000:3b:02.1", c->name,
			raw);
	bdf_format(bdf, c->device);
	return 0;
}

/* "0660" */
static int mode_take(const char *raw, struct config_at *at, struct port_config *c)
{
	char *end;
	unsigned long mode = strtoul(raw, &end, 8);

	if (*end || raw[0] < '0' || raw[0] > '7' || mode > 0777 || !mode)
		return config_bad(at, "socket-mode",
			"port '%s': socket-mode: '%s' is no mode such as \"0660\"", c->name, raw);
	c->socket_mode = mode == 0600 ? 0 : (unsigned int)mode;
	return 0;
}

/* What the guest is offered. */
static int vhost_take(const struct raw_port *raw, struct config_at *at, struct port_config *c)
{
	if (c->kind != PORT_VHOST_USER && (raw->queues || raw->offloads || raw->packed))
		return config_bad(at,
			raw->queues     ? "queues"
			: raw->offloads ? "offloads"
					: "packed",
			"port '%s': queues, offloads and packed go with vhost-user", c->name);
	if (raw->socket_mode && (c->kind != PORT_VHOST_USER || c->client))
		return config_bad(at, "socket-mode",
			"port '%s': socket-mode goes with vhost-user, and not with client",
			c->name);
	if (c->kind != PORT_VHOST_USER)
		return 0;
	c->queues = raw->queues ? *raw->queues : CONFIG_QUEUES;
	if (c->queues < 1 || c->queues > CONFIG_QUEUES)
		return config_bad(
			at, "queues", "port '%s': queues must be 1 to %d", c->name, CONFIG_QUEUES);
	/* Whoever cannot take what comes of them is sent whole frames: see frame_make_whole(). */
	c->offloads = raw->offloads ? (uint32_t)*raw->offloads : OFFLOAD_ALL;
	c->packed = raw->packed ? *raw->packed : true;
	return raw->socket_mode ? mode_take(raw->socket_mode, at, c) : 0;
}

/* What the port is connected to: one of several keys. */
static int backend_take(const struct raw_port *raw, struct config_at *at, struct port_config *c)
{
	int r = 0;

	if (!!raw->vhost_user + !!raw->pci + !!raw->tap + !!raw->af_packet + !!raw->pcap +
			!!raw->device !=
		1)
		return config_bad(at, "",
			"port '%s': give one of vhost-user (a socket's path), pci, tap, af-packet, "
			"pcap and device",
			c->name);
	if (raw->client && !raw->vhost_user)
		return config_bad(at, "client", "port '%s': client goes with vhost-user", c->name);
	if (raw->vhost_user) {
		c->kind = PORT_VHOST_USER;
		c->client = raw->client;
		r = path_take(raw->vhost_user, "vhost-user", c->name, at, c->path);
	} else if (raw->pci) {
		c->kind = PORT_PCI;
		r = pci_take(raw->pci, at, c);
	} else if (raw->tap) {
		c->kind = PORT_TAP;
		r = ifname_take(raw->tap, "tap", at, c);
	} else if (raw->af_packet) {
		c->kind = PORT_AF_PACKET;
		r = ifname_take(raw->af_packet, "af-packet", at, c);
	} else if (raw->pcap) {
		c->kind = PORT_PCAP;
		if (!raw->pcap->rx && !raw->pcap->tx)
			return config_bad(
				at, "pcap", "port '%s': pcap: give rx, tx or both", c->name);
		if (raw->pcap->rx)
			r = path_take(raw->pcap->rx, "pcap/rx", c->name, at, c->path);
		if (r >= 0 && raw->pcap->tx)
			r = path_take(raw->pcap->tx, "pcap/tx", c->name, at, c->device);
	} else {
		c->kind = PORT_DEVICE;
		strcpy(c->device, raw->device);
	}
	return r;
}

int config_port_take(const struct raw_port *raw, struct config_at *at, struct port_config *c)
{
	struct forward_port *p = &c->forward;
	int r;

	/* Padding too, so that equal descriptions are equal bytes. */
	memset(c, 0, sizeof(*c));
	c->fdb_limit = raw->fdb_limit ? *raw->fdb_limit : FDB_LIMIT_NONE;
	c->nr_rx_cores = raw->rx_cores_count;
	for (unsigned int i = 0; i < raw->rx_cores_count; i++)
		c->rx_cores[i] = raw->rx_cores[i];
	if (!config_is_name(raw->name))
		return config_bad(at, "name",
			"port '%s': a name has letters, digits, '-', '_' and '.'", raw->name);
	strcpy(c->name, raw->name);
	r = backend_take(raw, at, c);
	if (r >= 0)
		r = vhost_take(raw, at, c);
	if (r < 0)
		return r;
	forward_port_init(p);
	p->mtu = raw->mtu ? *raw->mtu : 1500;
	if (p->mtu < 68 || p->mtu > 65535)
		return config_bad(at, "mtu", "port '%s': mtu must be 68 to 65535", c->name);
	p->isolated = raw->isolated;
	p->no_learning = raw->no_learning;
	p->no_unknown = raw->no_flood & FLOOD_UNKNOWN;
	p->no_broadcast = raw->no_flood & FLOOD_BROADCAST;
	p->no_multicast = raw->no_flood & FLOOD_MULTICAST;
	r = raw->vlan ? vlan_take(raw->vlan, c->name, at, &p->vlan) : 0;
	if (r >= 0 && raw->guard)
		r = guard_take(raw->guard, c->name, at, &p->guard);
	if (r >= 0 && raw->mcast) {
		p->mcast = (struct snoop_port){.router = (enum snoop_router)raw->mcast->router,
			.fast_leave = raw->mcast->fast_leave,
			.limit = raw->mcast->limit ? *raw->mcast->limit : 0};
		if (raw->mcast->limit && (!p->mcast.limit || p->mcast.limit > SNOOP_LIMIT_MAX))
			r = config_bad(at, "multicast/limit",
				"port '%s': multicast: limit must be 1 to %d", c->name,
				SNOOP_LIMIT_MAX);
		if (p->mcast.limit == SNOOP_LIMIT_DEFAULT)
			p->mcast.limit = 0;
	}
	if (r >= 0 && raw->shape)
		r = shape_take(raw->shape, c->name, p->mtu, at, &c->shape);
	return r < 0 ? r : meters_take(raw, c->name, at, p);
}

const char *port_config_backend(const struct port_config *c)
{
	if (c->kind == PORT_VHOST_USER)
		return c->path;
	return c->kind == PORT_PCAP && !c->device[0] ? c->path : c->device;
}

const char *port_config_shared(const struct port_config *a, const struct port_config *b)
{
	switch (a->kind) {
	case PORT_VHOST_USER:
		return b->kind == a->kind && !strcmp(a->path, b->path) ? "socket" : NULL;
	case PORT_PCAP:
		return b->kind == a->kind && a->device[0] && !strcmp(a->device, b->device)
			       ? "file to write"
			       : NULL;
	case PORT_PCI:
	case PORT_TAP:
	case PORT_AF_PACKET:
	case PORT_DEVICE: break;
	}
	return b->kind != PORT_VHOST_USER && b->kind != PORT_PCAP && !strcmp(a->device, b->device)
		       ? "device"
		       : NULL;
}

bool port_config_same_backend(const struct port_config *a, const struct port_config *b)
{
	return a->kind == b->kind && a->client == b->client && a->queues == b->queues &&
	       a->offloads == b->offloads && a->packed == b->packed &&
	       a->socket_mode == b->socket_mode && !strcmp(a->path, b->path) &&
	       !strcmp(a->device, b->device);
}

const char *port_kind_name(enum port_kind kind)
{
	switch (kind) {
	case PORT_VHOST_USER: return "vhost-user";
	case PORT_PCI: return "pci";
	case PORT_TAP: return "tap";
	case PORT_AF_PACKET: return "af-packet";
	case PORT_PCAP: return "pcap";
	case PORT_DEVICE: return "device";
	}
	return NULL;
}
