// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <cyaml/cyaml.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vswitch/config.h"
#include "vswitch/units.h"

#define CONFIG_BYTES_MAX (1u << 20)

/* What the schema fills: text and numbers as they stand in the file. */
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

struct raw_shape {
	char *rate, *burst, *limit;
};

struct raw_storm {
	uint32_t broadcast, multicast, unknown;
};

struct raw_port {
	char *name, *vhost_user, *device;
	bool client, isolated, no_learning;
	int no_flood;
	uint32_t mtu;
	uint32_t *fdb_limit;
	struct raw_vlan *vlan;
	struct raw_guard *guard;
	struct raw_police *police;
	struct raw_storm *storm;
	struct raw_shape *shape;
};

struct raw_fdb {
	uint32_t capacity, ageing;
};

struct raw {
	char *socket;
	int *core;
	uint32_t memory_mib;
	bool hugepages;
	struct raw_fdb fdb;
	struct raw_port *ports;
	unsigned int ports_count;
};

enum { FLOOD_UNKNOWN = 1, FLOOD_BROADCAST = 2, FLOOD_MULTICAST = 4 };

static const cyaml_strval_t flood_names[] = {
	{"unknown", FLOOD_UNKNOWN},
	{"broadcast", FLOOD_BROADCAST},
	{"multicast", FLOOD_MULTICAST},
};

static const cyaml_schema_value_t text_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CONFIG_DEV_MAX - 1)};

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
	CYAML_FIELD_UINT("broadcast", CYAML_FLAG_OPTIONAL, struct raw_storm, broadcast),
	CYAML_FIELD_UINT("multicast", CYAML_FLAG_OPTIONAL, struct raw_storm, multicast),
	CYAML_FIELD_UINT("unknown", CYAML_FLAG_OPTIONAL, struct raw_storm, unknown),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t port_fields[] = {
	CYAML_FIELD_STRING_PTR(
		"name", CYAML_FLAG_POINTER, struct raw_port, name, 1, CONFIG_NAME_MAX - 1),
	CYAML_FIELD_STRING_PTR("vhost-user", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct raw_port, vhost_user, 1, CONFIG_PATH_MAX - 1),
	CYAML_FIELD_BOOL("client", CYAML_FLAG_OPTIONAL, struct raw_port, client),
	CYAML_FIELD_STRING_PTR("device", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port,
		device, 1, CONFIG_DEV_MAX - 1),
	CYAML_FIELD_UINT("mtu", CYAML_FLAG_OPTIONAL, struct raw_port, mtu),
	CYAML_FIELD_BOOL("isolated", CYAML_FLAG_OPTIONAL, struct raw_port, isolated),
	CYAML_FIELD_BOOL("no-learning", CYAML_FLAG_OPTIONAL, struct raw_port, no_learning),
	CYAML_FIELD_FLAGS("no-flood", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct raw_port,
		no_flood, flood_names, ARRAY_SIZE(flood_names)),
	CYAML_FIELD_UINT_PTR(
		"fdb-limit", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_port, fdb_limit),
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

static const cyaml_schema_value_t port_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_port, port_fields)};
static const cyaml_schema_value_t port_top_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_port, port_fields)};

static const cyaml_schema_field_t fdb_fields[] = {
	CYAML_FIELD_UINT("capacity", CYAML_FLAG_OPTIONAL, struct raw_fdb, capacity),
	CYAML_FIELD_UINT("ageing", CYAML_FLAG_OPTIONAL, struct raw_fdb, ageing),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t top_fields[] = {
	CYAML_FIELD_STRING_PTR(
		"socket", CYAML_FLAG_POINTER, struct raw, socket, 1, CONFIG_PATH_MAX - 1),
	CYAML_FIELD_INT_PTR("core", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, core),
	CYAML_FIELD_UINT("memory-mib", CYAML_FLAG_OPTIONAL, struct raw, memory_mib),
	CYAML_FIELD_BOOL("hugepages", CYAML_FLAG_OPTIONAL, struct raw, hugepages),
	CYAML_FIELD_MAPPING("fdb", CYAML_FLAG_OPTIONAL, struct raw, fdb, fdb_fields),
	CYAML_FIELD_SEQUENCE("ports", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, ports,
		&port_schema, 0, FORWARD_PORTS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t top_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, top_fields)};

/* What libcyaml says on the way, one line behind the other: the only place it names the line. */
struct messages {
	char text[512];
	size_t len;
};

static void message_take(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct messages *m = ctx;
	char line[256], *p = line;

	vsnprintf(line, sizeof(line), fmt, args);
	if (!strncmp(p, "Load: ", 6))
		p += 6;
	while (isspace((unsigned char)*p))
		p++;
	p[strcspn(p, "\n")] = '\0';
	if (!strncmp(p, "Backtrace", 9) || !*p || m->len >= sizeof(m->text) - 1)
		return;
	m->len += (size_t)snprintf(
		m->text + m->len, sizeof(m->text) - m->len, "%s%s", m->len ? "; " : "", p);
	if (m->len >= sizeof(m->text))
		m->len = sizeof(m->text) - 1;
}

static int schema_load(const char *what, const void *text, size_t len,
	const cyaml_schema_value_t *schema, struct err *e, void **ret)
{
	struct messages m = {0};
	const cyaml_config_t cfg = {
		.log_fn = message_take,
		.log_ctx = &m,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_WARNING,
		/* An alias can unfold to more than memory holds. */
		.flags = CYAML_CFG_NO_ALIAS,
	};
	void *data = NULL;
	cyaml_err_t r = cyaml_load_data(text, len, &cfg, schema, &data, NULL);

	if (r == CYAML_ERR_OOM)
		return err_set(e, ENOMEM, "%s: out of memory", what);
	if (r != CYAML_OK)
		return err_set(e, EINVAL, "%s: %s%s%s", what, cyaml_strerror(r), m.len ? ": " : "",
			m.text);
	if (!data)
		return err_set(e, EINVAL, "%s is empty", what);
	*ret = data;
	return 0;
}

static void schema_free(const cyaml_schema_value_t *schema, void *data)
{
	const cyaml_config_t cfg = {.mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};

	cyaml_free(&cfg, schema, data, 0);
}

int mac_parse(const char *text, uint64_t *ret)
{
	uint64_t mac = 0;

	for (unsigned int i = 0; i < 6; i++, text += 3) {
		unsigned int v;

		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
			text[2] != (i < 5 ? ':' : '\0') || sscanf(text, "%2x", &v) != 1)
			return -EINVAL;
		mac = mac << 8 | v;
	}
	*ret = mac;
	return 0;
}

void mac_format(uint64_t mac, char ret[18])
{
	snprintf(ret, 18, "%02x:%02x:%02x:%02x:%02x:%02x", (unsigned)(mac >> 40 & 255),
		(unsigned)(mac >> 32 & 255), (unsigned)(mac >> 24 & 255),
		(unsigned)(mac >> 16 & 255), (unsigned)(mac >> 8 & 255), (unsigned)(mac & 255));
}

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
	const struct raw_vlan *raw, const char *name, struct err *e, struct vlan_port *p)
{
	if (raw->access && (raw->trunk_count || raw->native))
		return err_set(e, EINVAL,
			"port '%s': vlan: access goes with neither trunk nor native", name);
	if (!raw->access && !raw->trunk_count && !raw->native)
		return err_set(e, EINVAL, "port '%s': vlan: access or trunk must be given", name);
	if (raw->access > VLAN_MAX || raw->native > VLAN_MAX)
		return err_set(e, EINVAL, "port '%s': vlan: VLANs are 1 to %d", name, VLAN_MAX);
	if (raw->access) {
		vlan_port_access(p, raw->access);
		return 0;
	}
	vlan_port_trunk(p, raw->native);
	for (unsigned int i = 0; i < raw->trunk_count; i++)
		if (trunk_add(p, raw->trunk[i]) < 0)
			return err_set(e, EINVAL,
				"port '%s': vlan: trunk: '%s' is no VLAN from 1 to %d and no range "
				"such as 10-20",
				name, raw->trunk[i], VLAN_MAX);
	return 0;
}

static int guard_take(const struct raw_guard *raw, const char *name, struct err *e, struct guard *g)
{
	for (unsigned int i = 0; i < raw->mac_count; i++) {
		uint64_t mac;

		if (mac_parse(raw->mac[i], &mac) < 0 || frame_cast(mac) != FRAME_UNICAST || !mac)
			return err_set(e, EINVAL,
				"port '%s': anti-spoofing: '%s' is no address of one station", name,
				raw->mac[i]);
		g->mac[g->nr_mac++] = mac;
	}
	for (unsigned int i = 0; i < raw->ipv4_count; i++) {
		struct in_addr a;

		if (inet_pton(AF_INET, raw->ipv4[i], &a) != 1)
			return err_set(e, EINVAL,
				"port '%s': anti-spoofing: '%s' is no IPv4 address", name,
				raw->ipv4[i]);
		g->ipv4[g->nr_ipv4++] = ntohl(a.s_addr);
	}
	for (unsigned int i = 0; i < raw->ipv6_count; i++)
		if (inet_pton(AF_INET6, raw->ipv6[i], g->ipv6[g->nr_ipv6++]) != 1)
			return err_set(e, EINVAL,
				"port '%s': anti-spoofing: '%s' is no IPv6 address", name,
				raw->ipv6[i]);
	g->no_dhcp_server = raw->no_dhcp_server;
	g->no_router = raw->no_router;
	return 0;
}

static int meters_take(
	const struct raw_port *raw, const char *name, struct err *e, struct forward_port *p)
{
	const struct raw_police *police = raw->police;
	const struct raw_storm *storm = raw->storm;

	if (police) {
		/* The bucket must hold the largest frame, or none would ever pass. */
		uint64_t burst = police->burst_kb ? police->burst_kb * 1000 : 128000;

		if (!police->kbit || police->kbit > 1000000000u || burst > 1000000000u)
			return err_set(e, EINVAL,
				"port '%s': police: kbit must be 1 to 1000000000 and burst-kb at "
				"most 1000000",
				name);
		if (burst < p->mtu + 18)
			return err_set(e, EINVAL,
				"port '%s': police: burst-kb is less than one frame", name);
		meter_init(&p->police, police->kbit * 125, burst, 0);
	}
	if (storm) {
		meter_init(&p->storm_broadcast, storm->broadcast, storm->broadcast, 0);
		meter_init(&p->storm_multicast, storm->multicast, storm->multicast, 0);
		meter_init(&p->storm_unknown, storm->unknown, storm->unknown, 0);
	}
	return 0;
}

static int shape_take(
	const struct raw_shape *raw, const char *name, uint32_t mtu, struct err *e, struct shape *s)
{
	if (rate_parse(raw->rate, &s->rate) < 0)
		return err_set(e, EINVAL,
			"port '%s': shape: rate: '%s' is no rate such as 100mbit or 2.5gbit", name,
			raw->rate);
	/* What the rate sends in 4 ms, and at least two frames: a sleep may be that long. */
	s->burst = s->rate / 250 > 2 * mtu ? s->rate / 250 : 2 * mtu;
	s->limit = s->rate / 20 > 65536 ? s->rate / 20 : 65536;
	if (s->limit < 2 * mtu)
		s->limit = 2 * mtu;
	if (raw->burst && size_parse(raw->burst, &s->burst) < 0)
		return err_set(e, EINVAL,
			"port '%s': shape: burst: '%s' is no size such as 15000 or 32kb", name,
			raw->burst);
	if (raw->limit && size_parse(raw->limit, &s->limit) < 0)
		return err_set(e, EINVAL, "port '%s': shape: limit: '%s' is no size such as 64kb",
			name, raw->limit);
	if (s->limit < mtu + FRAME_HEADER + FRAME_TAG)
		return err_set(e, EINVAL,
			"port '%s': shape: limit: %s is less than one frame of its MTU", name,
			raw->limit);
	return 0;
}

static int port_take(const struct raw_port *raw, struct err *e, struct port_config *c)
{
	struct forward_port *p = &c->forward;
	int r;

	*c = (struct port_config){.fdb_limit = raw->fdb_limit ? *raw->fdb_limit : FDB_LIMIT_NONE};
	for (const char *s = raw->name; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("-_.", *s))
			return err_set(e, EINVAL,
				"port '%s': a name has letters, digits, '-', '_' and '.'",
				raw->name);
	strcpy(c->name, raw->name);
	if (!raw->vhost_user == !raw->device)
		return err_set(e, EINVAL,
			"port '%s': give one of vhost-user (a socket's path) and device", c->name);
	if (raw->device && raw->client)
		return err_set(e, EINVAL, "port '%s': client goes with vhost-user", c->name);
	if (raw->vhost_user) {
		if (raw->vhost_user[0] != '/')
			return err_set(e, EINVAL, "port '%s': the path '%s' must begin with /",
				c->name, raw->vhost_user);
		c->kind = PORT_VHOST_USER;
		c->client = raw->client;
		strcpy(c->path, raw->vhost_user);
	} else {
		c->kind = PORT_DEVICE;
		strcpy(c->device, raw->device);
	}
	forward_port_init(p);
	p->mtu = raw->mtu ? raw->mtu : 1500;
	if (p->mtu < 68 || p->mtu > 65535)
		return err_set(e, EINVAL, "port '%s': mtu must be 68 to 65535", c->name);
	p->isolated = raw->isolated;
	p->no_learning = raw->no_learning;
	p->no_unknown = raw->no_flood & FLOOD_UNKNOWN;
	p->no_broadcast = raw->no_flood & FLOOD_BROADCAST;
	p->no_multicast = raw->no_flood & FLOOD_MULTICAST;
	if (raw->vlan) {
		r = vlan_take(raw->vlan, c->name, e, &p->vlan);
		if (r < 0)
			return r;
	}
	if (raw->guard) {
		r = guard_take(raw->guard, c->name, e, &p->guard);
		if (r < 0)
			return r;
	}
	if (raw->shape) {
		r = shape_take(raw->shape, c->name, p->mtu, e, &c->shape);
		if (r < 0)
			return r;
	}
	return meters_take(raw, c->name, e, p);
}

int port_config_parse(
	const char *what, const void *text, size_t len, struct err *e, struct port_config *ret)
{
	struct port_config c;
	void *raw;
	int r = schema_load(what, text, len, &port_top_schema, e, &raw);

	if (r < 0)
		return r;
	r = port_take(raw, e, &c);
	schema_free(&port_top_schema, raw);
	if (r < 0)
		return err_wrap(e, r, "%s", what);
	*ret = c;
	return 0;
}

void switch_config_destroy(struct switch_config *cfg)
{
	if (!cfg)
		return;
	free(cfg->ports);
	free(cfg);
}

static int ports_take(const struct raw *raw, struct err *e, struct switch_config *c)
{
	int r;

	c->ports = calloc(raw->ports_count + 1, sizeof(*c->ports));
	if (!c->ports)
		return err_set(e, ENOMEM, "out of memory");
	for (; c->nr_ports < raw->ports_count; c->nr_ports++) {
		struct port_config *p = &c->ports[c->nr_ports];

		r = port_take(&raw->ports[c->nr_ports], e, p);
		if (r < 0)
			return r;
		for (size_t i = 0; i < c->nr_ports; i++) {
			const struct port_config *o = &c->ports[i];

			if (!strcmp(o->name, p->name))
				return err_set(e, EINVAL, "there are two ports '%s'", p->name);
			if (p->kind == PORT_VHOST_USER && !strcmp(o->path, p->path))
				return err_set(e, EINVAL, "ports '%s' and '%s' have one socket, %s",
					o->name, p->name, p->path);
			if (p->kind == PORT_DEVICE && !strcmp(o->device, p->device))
				return err_set(e, EINVAL, "ports '%s' and '%s' have one device, %s",
					o->name, p->name, p->device);
		}
	}
	return 0;
}

static int top_take(const struct raw *raw, struct err *e, struct switch_config *c)
{
	if (raw->socket[0] != '/')
		return err_set(e, EINVAL, "socket: the path '%s' must begin with /", raw->socket);
	strcpy(c->socket, raw->socket);
	c->core = raw->core ? *raw->core : -1;
	c->memory_mib = raw->memory_mib ? raw->memory_mib : 128;
	c->hugepages = raw->hugepages;
	c->fdb_capacity = raw->fdb.capacity ? raw->fdb.capacity : 16384;
	c->fdb_ageing_s = raw->fdb.ageing ? raw->fdb.ageing : 300;
	if (raw->core && (*raw->core < 0 || *raw->core > 1023))
		return err_set(e, EINVAL, "core: %d is no CPU", *raw->core);
	if (c->memory_mib < 64 || c->memory_mib > 65536)
		return err_set(e, EINVAL, "memory-mib must be 64 to 65536");
	if (c->fdb_capacity > 1u << 20)
		return err_set(e, EINVAL, "fdb: capacity must be at most %u", 1u << 20);
	return ports_take(raw, e, c);
}

int switch_config_parse(
	const char *what, const void *text, size_t len, struct err *e, struct switch_config **ret)
{
	struct switch_config *c = NULL;
	void *raw;
	int r = schema_load(what, text, len, &top_schema, e, &raw);

	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	r = c ? top_take(raw, e, c) : err_set(e, ENOMEM, "out of memory");
	schema_free(&top_schema, raw);
	if (r < 0) {
		switch_config_destroy(c);
		return err_wrap(e, r, "%s", what);
	}
	*ret = c;
	return 0;
}

int switch_config_load(const char *path, struct err *e, struct switch_config **ret)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	size_t len = 0;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "open %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "%s is no regular file", path);
	text = malloc(CONFIG_BYTES_MAX);
	if (!text)
		return err_set(e, ENOMEM, "read %s: out of memory", path);
	while ((n = read(fd, text + len, CONFIG_BYTES_MAX - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return err_sys(e, errno, "read %s", path);
	if (len == CONFIG_BYTES_MAX)
		return err_set(e, EINVAL, "%s has more than %u bytes", path, CONFIG_BYTES_MAX);
	return switch_config_parse(path, text, len, e, ret);
}
