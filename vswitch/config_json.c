// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vswitch/config_json.h"
#include "vswitch/offload.h"

static json_t *vlan_json(const struct vlan_port *v)
{
	json_t *trunk, *o;

	if (v->access)
		return json_pack("{s:i}", "access", v->native);
	trunk = json_array();
	for (int vid = 1; vid <= VLAN_MAX; vid++) {
		int last = vid;

		if (!vlan_port_has(v, (uint16_t)vid) || vid == v->native)
			continue;
		while (last < VLAN_MAX && last + 1 != v->native &&
			vlan_port_has(v, (uint16_t)(last + 1)))
			last++;
		json_array_append_new(trunk,
			last == vid ? json_sprintf("%d", vid) : json_sprintf("%d-%d", vid, last));
		vid = last;
	}
	o = json_pack("{s:o}", "trunk", trunk);
	if (v->native)
		json_object_set_new(o, "native", json_integer(v->native));
	return o;
}

static void list_set(json_t *o, const char *key, json_t *list)
{
	if (json_array_size(list))
		json_object_set_new(o, key, list);
	else
		json_decref(list);
}

static void flag_set(json_t *o, const char *key, bool value)
{
	if (value)
		json_object_set_new(o, key, json_true());
}

static void number_set(json_t *o, const char *key, uint64_t value)
{
	if (value)
		json_object_set_new(o, key, json_integer((json_int_t)value));
}

static json_t *guard_json(const struct guard *g)
{
	json_t *o = json_object(), *list = json_array();
	char text[INET6_ADDRSTRLEN];

	for (unsigned int i = 0; i < g->nr_mac; i++) {
		mac_format(g->mac[i], text);
		json_array_append_new(list, json_string(text));
	}
	list_set(o, "mac", list);
	list = json_array();
	for (unsigned int i = 0; i < g->nr_ipv4; i++) {
		struct in_addr a = {htonl(g->ipv4[i])};

		inet_ntop(AF_INET, &a, text, sizeof(text));
		json_array_append_new(list, json_string(text));
	}
	list_set(o, "ipv4", list);
	list = json_array();
	for (unsigned int i = 0; i < g->nr_ipv6; i++) {
		inet_ntop(AF_INET6, g->ipv6[i], text, sizeof(text));
		json_array_append_new(list, json_string(text));
	}
	list_set(o, "ipv6", list);
	flag_set(o, "no-dhcp-server", g->no_dhcp_server);
	flag_set(o, "no-router", g->no_router);
	return o;
}

static json_t *backend_json(const struct port_config *c)
{
	json_t *o;

	if (c->kind != PORT_PCAP)
		return json_string(port_config_backend(c));
	o = json_object();
	if (c->path[0])
		json_object_set_new(o, "rx", json_string(c->path));
	if (c->device[0])
		json_object_set_new(o, "tx", json_string(c->device));
	return o;
}

static void vhost_set(json_t *o, const struct port_config *c)
{
	json_t *offloads = json_array();

	if (c->offloads & OFFLOAD_CSUM)
		json_array_append_new(offloads, json_string("csum"));
	if (c->offloads & OFFLOAD_TSO4)
		json_array_append_new(offloads, json_string("tso"));
	json_object_set_new(o, "client", json_boolean(c->client));
	json_object_set_new(o, "queues", json_integer(c->queues));
	json_object_set_new(o, "offloads", offloads);
	json_object_set_new(o, "packed", json_boolean(c->packed));
	if (c->socket_mode)
		json_object_set_new(o, "socket-mode", json_sprintf("%04o", c->socket_mode));
}

static void rates_set(json_t *o, const struct port_config *c)
{
	const struct forward_port *p = &c->forward;
	json_t *storm;

	if (p->police.rate)
		json_object_set_new(o, "police",
			json_pack("{s:I, s:I}", "kbit", (json_int_t)(p->police.rate / 125),
				"burst-kb", (json_int_t)(p->police.burst / 1000)));
	if (c->shape.rate)
		json_object_set_new(o, "shape",
			json_pack("{s:o, s:o, s:o}", "rate",
				json_sprintf("%" PRIu64 "bps", c->shape.rate), "burst",
				json_sprintf("%" PRIu64 "b", c->shape.burst), "limit",
				json_sprintf("%" PRIu64 "b", c->shape.limit)));
	storm = json_object();
	number_set(storm, "broadcast", p->storm_broadcast.rate);
	number_set(storm, "multicast", p->storm_multicast.rate);
	number_set(storm, "unknown", p->storm_unknown.rate);
	if (json_object_size(storm))
		json_object_set_new(o, "storm", storm);
	else
		json_decref(storm);
}

static json_t *cores_json(const int *cores, unsigned int n)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < n; i++)
		json_array_append_new(list, json_integer(cores[i]));
	return list;
}

static void mcast_set(json_t *o, const struct snoop_port *m)
{
	static const char *const routers[] = {"auto", "never", "always"};
	json_t *mcast = json_object();

	if (m->router != SNOOP_ROUTER_AUTO)
		json_object_set_new(mcast, "router", json_string(routers[m->router]));
	flag_set(mcast, "fast-leave", m->fast_leave);
	number_set(mcast, "limit", m->limit);
	if (json_object_size(mcast))
		json_object_set_new(o, "multicast", mcast);
	else
		json_decref(mcast);
}

json_t *port_config_json(const struct port_config *c)
{
	const struct forward_port *p = &c->forward;
	json_t *o = json_object(), *list = json_array();

	json_object_set_new(o, "name", json_string(c->name));
	json_object_set_new(o, port_kind_name(c->kind), backend_json(c));
	if (c->kind == PORT_VHOST_USER)
		vhost_set(o, c);
	json_object_set_new(o, "mtu", json_integer(p->mtu));
	json_object_set_new(o, "vlan", vlan_json(&p->vlan));
	flag_set(o, "isolated", p->isolated);
	flag_set(o, "no-learning", p->no_learning);
	if (p->no_unknown)
		json_array_append_new(list, json_string("unknown"));
	if (p->no_broadcast)
		json_array_append_new(list, json_string("broadcast"));
	if (p->no_multicast)
		json_array_append_new(list, json_string("multicast"));
	list_set(o, "no-flood", list);
	if (c->fdb_limit != FDB_LIMIT_NONE)
		json_object_set_new(o, "fdb-limit", json_integer(c->fdb_limit));
	if (guard_active(&p->guard))
		json_object_set_new(o, "anti-spoofing", guard_json(&p->guard));
	mcast_set(o, &p->mcast);
	list_set(o, "rx-cores", cores_json(c->rx_cores, c->nr_rx_cores));
	rates_set(o, c);
	return o;
}

static json_t *statics_json(const struct switch_config *c)
{
	json_t *list = json_array();
	char mac[18];

	for (size_t i = 0; i < c->nr_statics; i++) {
		mac_format(c->statics[i].mac, mac);
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:i}", "mac", mac, "port", c->statics[i].port,
				      "vlan", c->statics[i].vlan));
	}
	return list;
}

json_t *mirror_config_json(const struct mirror_config *c)
{
	static const char *const directions[] = {"", "in", "out", "both"};
	json_t *from = json_array(), *o = json_pack("{s:s, s:o, s:s}", "name", c->name, "from",
					     from, "direction", directions[c->directions & 3]);

	for (unsigned int i = 0; i < c->nr_from; i++)
		json_array_append_new(from, json_string(c->from[i]));
	if (c->vlan)
		json_object_set_new(o, "vlan", json_integer(c->vlan));
	else
		json_object_set_new(o, "to", json_string(c->to));
	flag_set(o, "reserved", c->reserved);
	if (c->rate)
		json_object_set_new(o, "rate", json_sprintf("%" PRIu64 "bps", c->rate));
	return o;
}

json_t *switch_config_json(const struct switch_config *c)
{
	json_t *o = json_object(), *fdb = json_object(), *ports = json_array(),
	       *mirrors = json_array();

	json_object_set_new(o, "socket", json_string(c->socket));
	if (c->group[0])
		json_object_set_new(o, "group", json_string(c->group));
	if (c->prometheus[0])
		json_object_set_new(o, "prometheus", json_string(c->prometheus));
	list_set(o, "cores", cores_json(c->cores, c->nr_cores));
	json_object_set_new(o, "memory-mib", json_integer(c->memory_mib));
	flag_set(o, "hugepages", c->hugepages);
	json_object_set_new(fdb, "capacity", json_integer(c->fdb_capacity));
	json_object_set_new(fdb, "ageing", json_integer(c->fdb_ageing_s));
	list_set(fdb, "static", statics_json(c));
	json_object_set_new(o, "fdb", fdb);
	if (c->mcast.enabled)
		json_object_set_new(o, "multicast",
			json_pack("{s:b, s:s, s:i}", "snooping", 1, "unregistered",
				c->mcast.drop_unregistered ? "drop" : "flood", "ageing",
				(int)c->mcast.ageing_s));
	for (size_t i = 0; i < c->nr_ports; i++)
		json_array_append_new(ports, port_config_json(&c->ports[i]));
	json_object_set_new(o, "ports", ports);
	for (size_t i = 0; i < c->nr_mirrors; i++)
		json_array_append_new(mirrors, mirror_config_json(&c->mirrors[i]));
	list_set(o, "mirrors", mirrors);
	return o;
}

static json_t *value_json(const char *key, const char *text)
{
	static const char *const lists[] = {"trunk", "mac", "ipv4", "ipv6", "no-flood", "rx-cores"};
	_cleanup_free_ char *copy = NULL;
	char *rest, *item;
	json_t *list;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (strcmp(key, lists[i]))
			continue;
		copy = rest = strdup(text);
		list = json_array();
		while (rest && (item = strsep(&rest, ",")))
			json_array_append_new(list, json_string(item));
		return list;
	}
	return json_string(text);
}

/* What cannot stand beside @key of a VLAN goes when that is given. */
static void vlan_make_way(json_t *vlan, const char *key)
{
	if (!strcmp(key, "access")) {
		json_object_del(vlan, "trunk");
		json_object_del(vlan, "native");
	} else {
		json_object_del(vlan, "access");
	}
}

static int word_apply(json_t *port, const char *word, struct err *e)
{
	const char *equals = strchr(word, '=');
	_cleanup_free_ char *key = equals ? strndup(word, (size_t)(equals - word)) : NULL;
	char *sub = key ? strchr(key, '.') : NULL;
	json_t *o = port, *value;

	if (!key || !*key || (sub && (!sub[1] || sub == key)))
		return err_set(e, EINVAL,
			"'%s' is no word such as mtu=9000 or vlan.access=7; see "
			"viaduct-switch(1)",
			word);
	if (sub) {
		*sub++ = '\0';
		o = json_object_get(port, key);
		if (!json_is_object(o)) {
			o = json_object();
			json_object_set_new(port, key, o);
		}
	}
	if (!equals[1]) {
		json_object_del(o, sub ? sub : key);
	} else {
		value = value_json(sub ? sub : key, equals + 1);
		if (!value || json_object_set_new(o, sub ? sub : key, value) < 0)
			return err_set(e, EINVAL, "'%s': text must be in UTF-8", key);
		if (sub && !strcmp(key, "vlan"))
			vlan_make_way(o, sub);
	}
	if (sub && !json_object_size(o))
		json_object_del(port, key);
	return 0;
}

int port_words_apply(json_t *port, const char *const *words, size_t n, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++)
		r = word_apply(port, words[i], e);
	return r;
}
