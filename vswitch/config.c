// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vswitch/address.h"
#include "vswitch/config_raw.h"

#define CONFIG_BYTES_MAX (1u << 20)

struct raw_static {
	char *mac, *port;
	uint16_t *vlan;
};

struct raw_fdb {
	uint32_t *capacity, *ageing;
	struct raw_static *statics;
	unsigned int statics_count;
};

struct raw_mcast {
	bool snooping;
	int unregistered;
	uint32_t *ageing;
};

struct raw {
	char *socket, *group, *prometheus;
	int *core, *cores;
	unsigned int cores_count;
	uint32_t *memory_mib;
	bool hugepages;
	struct raw_fdb fdb;
	struct raw_mcast mcast;
	struct raw_port *ports;
	unsigned int ports_count;
	struct raw_mirror *mirrors;
	unsigned int mirrors_count;
};

static const cyaml_schema_field_t static_fields[] = {
	CYAML_FIELD_STRING_PTR("mac", CYAML_FLAG_POINTER, struct raw_static, mac, 17, 17),
	CYAML_FIELD_STRING_PTR(
		"port", CYAML_FLAG_POINTER, struct raw_static, port, 1, CONFIG_NAME_MAX - 1),
	CYAML_FIELD_UINT_PTR(
		"vlan", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_static, vlan),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t static_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_static, static_fields)};

static const cyaml_schema_field_t fdb_fields[] = {
	CYAML_FIELD_UINT_PTR(
		"capacity", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_fdb, capacity),
	CYAML_FIELD_UINT_PTR(
		"ageing", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_fdb, ageing),
	CYAML_FIELD_SEQUENCE("static", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_fdb,
		statics, &static_schema, 0, CONFIG_STATICS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t core_schema = {CYAML_VALUE_INT(CYAML_FLAG_DEFAULT, int)};

static const cyaml_strval_t unregistered_names[] = {
	{"flood", 0},
	{"drop", 1},
};

static const cyaml_schema_field_t mcast_fields[] = {
	CYAML_FIELD_BOOL("snooping", CYAML_FLAG_OPTIONAL, struct raw_mcast, snooping),
	CYAML_FIELD_ENUM("unregistered", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct raw_mcast,
		unregistered, unregistered_names, ARRAY_SIZE(unregistered_names)),
	CYAML_FIELD_UINT_PTR(
		"ageing", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_mcast, ageing),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t top_fields[] = {
	CYAML_FIELD_STRING_PTR(
		"socket", CYAML_FLAG_POINTER, struct raw, socket, 1, CONFIG_PATH_MAX - 1),
	CYAML_FIELD_STRING_PTR("group", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, group,
		1, CONFIG_NAME_MAX - 1),
	CYAML_FIELD_STRING_PTR("prometheus", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw,
		prometheus, 1, CONFIG_PATH_MAX - 1),
	CYAML_FIELD_INT_PTR("core", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, core),
	CYAML_FIELD_SEQUENCE("cores", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, cores,
		&core_schema, 1, SWITCH_CORES_MAX),
	CYAML_FIELD_UINT_PTR(
		"memory-mib", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, memory_mib),
	CYAML_FIELD_BOOL("hugepages", CYAML_FLAG_OPTIONAL, struct raw, hugepages),
	CYAML_FIELD_MAPPING("fdb", CYAML_FLAG_OPTIONAL, struct raw, fdb, fdb_fields),
	CYAML_FIELD_SEQUENCE("ports", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, ports,
		&config_port_schema, 0, FORWARD_PORTS_MAX),
	CYAML_FIELD_SEQUENCE("mirrors", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw,
		mirrors, &config_mirror_schema, 0, MIRRORS_MAX),
	CYAML_FIELD_MAPPING("multicast", CYAML_FLAG_OPTIONAL, struct raw, mcast, mcast_fields),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t top_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, top_fields)};

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

int port_config_parse(
	const char *what, const void *text, size_t len, struct err *e, struct port_config *ret)
{
	const struct config_text t = {what, text, len};
	struct err own = {0};
	struct config_at at = {.e = e ? e : &own};
	struct port_config c;
	void *raw;
	int r = config_yaml_load(&t, &config_port_top_schema, e, &raw);

	if (r < 0)
		return r;
	r = config_port_take(raw, &at, &c);
	config_yaml_free(&config_port_top_schema, raw);
	if (r < 0)
		return config_yaml_blame(&t, &at, r);
	*ret = c;
	return 0;
}

void switch_config_destroy(struct switch_config *cfg)
{
	if (!cfg)
		return;
	free(cfg->ports);
	free(cfg->mirrors);
	free(cfg->statics);
	free(cfg->what);
	free(cfg->text);
	free(cfg);
}

static int ports_take(const struct raw *raw, struct config_at *at, struct switch_config *c)
{
	int r;

	c->ports = calloc(raw->ports_count + 1, sizeof(*c->ports));
	if (!c->ports)
		return err_set(at->e, ENOMEM, "out of memory");
	for (; c->nr_ports < raw->ports_count; c->nr_ports++) {
		struct port_config *p = &c->ports[c->nr_ports];

		snprintf(at->base, sizeof(at->base), "ports/%zu", c->nr_ports);
		r = config_port_take(&raw->ports[c->nr_ports], at, p);
		if (r < 0)
			return r;
		for (size_t i = 0; i < c->nr_ports; i++) {
			const char *same;

			if (!strcmp(c->ports[i].name, p->name))
				return config_bad(at, "name", "there are two ports '%s'", p->name);
			same = port_config_shared(&c->ports[i], p);
			if (same)
				return config_bad(at, "", "ports '%s' and '%s' have one %s, %s",
					c->ports[i].name, p->name, same, port_config_backend(p));
		}
	}
	at->base[0] = '\0';
	return 0;
}

const struct port_config *switch_config_port(const struct switch_config *c, const char *name)
{
	for (size_t i = 0; i < c->nr_ports; i++)
		if (!strcmp(c->ports[i].name, name))
			return &c->ports[i];
	return NULL;
}

static int statics_take(const struct raw_fdb *raw, struct config_at *at, struct switch_config *c)
{
	c->statics = calloc(raw->statics_count + 1, sizeof(*c->statics));
	if (!c->statics)
		return err_set(at->e, ENOMEM, "out of memory");
	for (; c->nr_statics < raw->statics_count; c->nr_statics++) {
		const struct raw_static *r = &raw->statics[c->nr_statics];
		struct static_config *s = &c->statics[c->nr_statics];
		const struct port_config *p = switch_config_port(c, r->port);

		snprintf(at->base, sizeof(at->base), "fdb/static/%zu", c->nr_statics);
		strcpy(s->port, r->port);
		s->vlan = r->vlan ? *r->vlan : VLAN_DEFAULT;
		if (mac_parse(r->mac, &s->mac) < 0 || frame_cast(s->mac) != FRAME_UNICAST ||
			!s->mac)
			return config_bad(
				at, "mac", "fdb: '%s' is no address of one station", r->mac);
		if (!p)
			return config_bad(at, "port", "fdb: there is no port '%s'", r->port);
		if (s->vlan < 1 || s->vlan > VLAN_MAX)
			return config_bad(at, "vlan", "fdb: VLANs are 1 to %d", VLAN_MAX);
		if (!vlan_port_has(&p->forward.vlan, s->vlan))
			return config_bad(at, "vlan", "fdb: %s: port '%s' is not in VLAN %u",
				r->mac, r->port, s->vlan);
		for (size_t i = 0; i < c->nr_statics; i++)
			if (c->statics[i].mac == s->mac && c->statics[i].vlan == s->vlan)
				return config_bad(at, "mac", "fdb: %s is given twice in VLAN %u",
					r->mac, s->vlan);
	}
	at->base[0] = '\0';
	return 0;
}

#define CPU_MAX 1023 /* of a cpu_set_t */

static int cores_take(const struct raw *raw, struct config_at *at, struct switch_config *c)
{
	const int *cores = raw->core ? raw->core : raw->cores;
	const char *key = raw->core ? "core" : "cores";

	if (raw->core && raw->cores)
		return config_bad(at, "cores", "core and cores say the same; give one of them");
	c->cores_key = key;
	c->nr_cores = raw->core ? 1 : raw->cores_count;
	for (unsigned int i = 0; i < c->nr_cores; i++) {
		if (cores[i] < 0 || cores[i] > CPU_MAX)
			return config_bad(at, key, "%s: %d is no CPU", key, cores[i]);
		for (unsigned int j = 0; j < i; j++)
			if (cores[j] == cores[i])
				return config_bad(
					at, key, "cores: CPU %d is there twice", cores[i]);
		c->cores[i] = cores[i];
	}
	return 0;
}

static int mirrors_take(const struct raw *raw, struct config_at *at, struct switch_config *c)
{
	c->mirrors = calloc(raw->mirrors_count + 1, sizeof(*c->mirrors));
	if (!c->mirrors)
		return err_set(at->e, ENOMEM, "out of memory");
	for (; c->nr_mirrors < raw->mirrors_count; c->nr_mirrors++) {
		struct mirror_config *m = &c->mirrors[c->nr_mirrors];
		int r;

		snprintf(at->base, sizeof(at->base), "mirrors/%zu", c->nr_mirrors);
		r = config_mirror_take(&raw->mirrors[c->nr_mirrors], at, m);
		if (r < 0)
			return r;
		for (size_t i = 0; i < c->nr_mirrors; i++)
			if (!strcmp(c->mirrors[i].name, m->name))
				return config_bad(
					at, "name", "there are two mirrors '%s'", m->name);
		for (unsigned int i = 0; i < m->nr_from; i++)
			if (!switch_config_port(c, m->from[i]))
				return config_bad(at, "from", "mirror '%s': there is no port '%s'",
					m->name, m->from[i]);
		if (m->to[0] && !switch_config_port(c, m->to))
			return config_bad(
				at, "to", "mirror '%s': there is no port '%s'", m->name, m->to);
	}
	at->base[0] = '\0';
	return 0;
}

static int prometheus_take(const char *raw, struct config_at *at, struct switch_config *c)
{
	struct address a;
	int r = raw[0] == '/' ? 0 : address_parse(raw, &a);

	if (r == -EACCES)
		return config_bad(at, "prometheus",
			"prometheus: anybody could reach '%s': give an address of this machine "
			"alone, such as 127.0.0.1:9100",
			raw);
	if (r < 0)
		return config_bad(at, "prometheus",
			"prometheus: '%s' is no address such as 127.0.0.1:9100 or [::1]:9100 and "
			"no socket's path",
			raw);
	strcpy(c->prometheus, raw);
	return 0;
}

static int top_take(const struct raw *raw, struct config_at *at, struct switch_config *c)
{
	int r;

	if (raw->socket[0] != '/')
		return config_bad(
			at, "socket", "socket: the path '%s' must begin with /", raw->socket);
	strcpy(c->socket, raw->socket);
	if (raw->group)
		strcpy(c->group, raw->group);
	r = raw->prometheus ? prometheus_take(raw->prometheus, at, c) : 0;
	if (r < 0)
		return r;
	c->memory_mib = raw->memory_mib ? *raw->memory_mib : 128;
	c->hugepages = raw->hugepages;
	c->fdb_capacity = raw->fdb.capacity ? *raw->fdb.capacity : 16384;
	c->fdb_ageing_s = raw->fdb.ageing ? *raw->fdb.ageing : 300;
	c->mcast = (struct snoop_config){
		.enabled = raw->mcast.snooping,
		.drop_unregistered = raw->mcast.unregistered,
		.ageing_s = raw->mcast.ageing ? *raw->mcast.ageing : SNOOP_AGEING_S,
	};
	if (!c->mcast.ageing_s || c->mcast.ageing_s > 86400)
		return config_bad(
			at, "multicast/ageing", "multicast: ageing must be 1 to 86400 seconds");
	r = cores_take(raw, at, c);
	if (r < 0)
		return r;
	if (c->memory_mib < 64 || c->memory_mib > 65536)
		return config_bad(at, "memory-mib", "memory-mib must be 64 to 65536");
	if (!c->fdb_capacity || c->fdb_capacity > 1u << 20)
		return config_bad(at, "fdb/capacity", "fdb: capacity must be 1 to %u", 1u << 20);
	r = ports_take(raw, at, c);
	if (r >= 0)
		r = statics_take(&raw->fdb, at, c);
	return r < 0 ? r : mirrors_take(raw, at, c);
}

static int source_keep(const struct config_text *t, struct err *e, struct switch_config *c)
{
	c->what = strdup(t->what);
	c->text = malloc(t->len + 1);
	if (!c->what || !c->text)
		return err_set(e, ENOMEM, "out of memory");
	memcpy(c->text, t->bytes, t->len);
	c->text_len = t->len;
	return 0;
}

int switch_config_blame(const struct switch_config *c, int r, struct err *e, const char *path, ...)
{
	const struct config_text t = {c->what, c->text, c->text_len};
	struct config_at at = {.e = e};
	va_list args;

	if (r >= 0 || !c->what)
		return r;
	va_start(args, path);
	vsnprintf(at.base, sizeof(at.base), path, args);
	va_end(args);
	if (at.base[0])
		config_yaml_blame(&t, &at, -EINVAL);
	else
		err_wrap(e, r, "%s", c->what);
	return r;
}

int switch_config_parse(
	const char *what, const void *text, size_t len, struct err *e, struct switch_config **ret)
{
	const struct config_text t = {what, text, len};
	struct err own = {0};
	struct config_at at = {.e = e ? e : &own};
	struct switch_config *c = NULL;
	void *raw;
	int r = config_yaml_load(&t, &top_schema, e, &raw);

	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	r = c ? source_keep(&t, e, c) : err_set(e, ENOMEM, "out of memory");
	if (c && r >= 0)
		r = top_take(raw, &at, c);
	config_yaml_free(&top_schema, raw);
	if (r < 0) {
		switch_config_destroy(c);
		return config_yaml_blame(&t, &at, r);
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
