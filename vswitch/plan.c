// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vswitch/config_json.h"
#include "vswitch/plan.h"

/* Keys of a port that are settled when somebody connects, or are what it is connected to. */
static const char *const lasting_keys[] = {"vhost-user", "client", "pci", "tap", "af-packet",
	"pcap", "device", "queues", "offloads", "packed", "socket-mode"};

static bool is_lasting(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(lasting_keys); i++)
		if (!strcmp(key, lasting_keys[i]))
			return true;
	return false;
}

/* {key: [before, after]} of all keys in which the two differ; null where there is none. */
static json_t *objects_diff(const json_t *before, const json_t *after)
{
	json_t *diff = json_object(), *value;
	const char *key;

	json_object_foreach((json_t *)before, key, value)
	{
		json_t *other = json_object_get(after, key);

		if (!json_equal(value, other))
			json_object_set_new(
				diff, key, json_pack("[O, O]", value, other ? other : json_null()));
	}
	json_object_foreach((json_t *)after, key, value) if (!json_object_get(before, key))
		json_object_set_new(diff, key, json_pack("[n, O]", value));
	return diff;
}

static json_t *ports_diff(const struct port_config *a, const struct port_config *b)
{
	json_t *x = port_config_json(a), *y = port_config_json(b), *diff = objects_diff(x, y);

	json_decref(x);
	json_decref(y);
	return diff;
}

static void step_add(struct plan *p, enum plan_kind kind, const struct port_config *port,
	const struct static_config *entry, json_t *keys)
{
	p->steps[p->nr_steps++] =
		(struct plan_step){.kind = kind, .port = port, .entry = entry, .keys = keys};
}

static bool needs_replacing(const json_t *diff)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)diff, key, v) if (is_lasting(key)) return true;
	return false;
}

/* Does @want need what a port of @now has that is to go or to be replaced? */
static bool must_wait(const struct switch_config *now, const struct port_config *want)
{
	if (now->nr_ports >= FORWARD_PORTS_MAX)
		return true;
	for (size_t i = 0; i < now->nr_ports; i++)
		if (port_config_shared(&now->ports[i], want))
			return true;
	return false;
}

static bool is_replaced(const struct plan *p, const struct port_config *port)
{
	for (size_t i = 0; i < p->nr_steps; i++)
		if (p->steps[i].kind == PLAN_PORT_REPLACE && p->steps[i].port == port)
			return true;
	return false;
}

static void ports_plan(
	const struct switch_config *now, const struct switch_config *want, struct plan *p)
{
	json_t *diff;

	for (size_t i = 0; i < want->nr_ports; i++)
		if (!switch_config_port(now, want->ports[i].name) &&
			!must_wait(now, &want->ports[i]))
			step_add(p, PLAN_PORT_ADD, &want->ports[i], NULL, NULL);
	for (size_t i = 0; i < want->nr_ports; i++) {
		const struct port_config *old = switch_config_port(now, want->ports[i].name);

		diff = old ? ports_diff(old, &want->ports[i]) : NULL;
		if (diff && json_object_size(diff) && !needs_replacing(diff))
			step_add(p, PLAN_PORT_SET, &want->ports[i], NULL, json_incref(diff));
		json_decref(diff);
	}
	for (size_t i = 0; i < now->nr_ports; i++)
		if (!switch_config_port(want, now->ports[i].name))
			step_add(p, PLAN_PORT_DEL, &now->ports[i], NULL, NULL);
	/* All that is replaced goes before any of it comes: two may change places. */
	for (size_t i = 0; i < want->nr_ports; i++) {
		const struct port_config *old = switch_config_port(now, want->ports[i].name);

		diff = old ? ports_diff(old, &want->ports[i]) : NULL;
		if (diff && needs_replacing(diff))
			step_add(p, PLAN_PORT_REPLACE, &want->ports[i], NULL, json_incref(diff));
		json_decref(diff);
	}
	for (size_t i = 0; i < want->nr_ports; i++)
		if (is_replaced(p, &want->ports[i]) ||
			(!switch_config_port(now, want->ports[i].name) &&
				must_wait(now, &want->ports[i])))
			step_add(p, PLAN_PORT_ADD, &want->ports[i], NULL, NULL);
}

/* Is the entry in @c, and on a port that is not replaced in between? */
static bool static_stays(
	const struct switch_config *c, const struct static_config *s, const struct plan *p)
{
	bool found = false;

	for (size_t i = 0; i < c->nr_statics && !found; i++)
		found = c->statics[i].mac == s->mac && c->statics[i].vlan == s->vlan &&
			!strcmp(c->statics[i].port, s->port);
	for (size_t i = 0; p && found && i < p->nr_steps; i++)
		found = p->steps[i].kind != PLAN_PORT_REPLACE ||
			strcmp(p->steps[i].port->name, s->port);
	return found;
}

static bool mirror_in(const struct switch_config *c, const struct mirror_config *m)
{
	bool found = false;

	for (size_t i = 0; i < c->nr_mirrors && !found; i++) {
		json_t *a = mirror_config_json(m), *b = mirror_config_json(&c->mirrors[i]);

		found = json_equal(a, b);
		json_decref(a);
		json_decref(b);
	}
	return found;
}

/* One that changes goes and comes: no frame of the ports it copies from is touched. */
static void mirrors_plan(const struct switch_config *of, const struct switch_config *other,
	enum plan_kind kind, struct plan *p)
{
	for (size_t i = 0; i < of->nr_mirrors; i++)
		if (!mirror_in(other, &of->mirrors[i]))
			p->steps[p->nr_steps++] =
				(struct plan_step){.kind = kind, .mirror = &of->mirrors[i]};
}

/* What cannot change while it runs, as "memory-mib (128, not 256)". */
static int fixed_check(
	const struct switch_config *now, const struct switch_config *want, struct err *e)
{
	json_t *a = switch_config_json(now), *b = switch_config_json(want), *diff, *pair;
	char text[512] = "", first[64] = "";
	const char *key;
	size_t n = 0;

	/* Live ones are compared elsewhere; the capacity is not one. */
	json_object_set(a, "fdb capacity", json_object_get(json_object_get(a, "fdb"), "capacity"));
	json_object_set(b, "fdb capacity", json_object_get(json_object_get(b, "fdb"), "capacity"));
	diff = objects_diff(a, b);
	json_object_del(diff, "ports");
	json_object_del(diff, "fdb");
	json_object_del(diff, "mirrors");
	json_object_foreach(diff, key, pair)
	{
		_cleanup_free_ char *is =
			json_dumps(json_array_get(pair, 0), JSON_ENCODE_ANY | JSON_COMPACT);
		_cleanup_free_ char *should =
			json_dumps(json_array_get(pair, 1), JSON_ENCODE_ANY | JSON_COMPACT);

		if (!n)
			snprintf(first, sizeof(first), "%s", key);
		if (n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s (%s, not %s)",
				n ? ", " : "", key, is && strcmp(is, "null") ? is : "unset",
				should && strcmp(should, "null") ? should : "unset");
	}
	json_decref(diff);
	json_decref(a);
	json_decref(b);
	if (!n)
		return 0;
	return switch_config_blame(want,
		err_set(e, EBUSY,
			"cannot be changed while the switch runs: %s; end it and start it again "
			"with this description",
			text),
		e, "%s", strcmp(first, "fdb capacity") ? first : "fdb/capacity");
}

int plan_create(const struct switch_config *now, const struct switch_config *want, struct err *e,
	struct plan **ret)
{
	struct plan *p;
	int r = fixed_check(now, want, e);

	if (r < 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (p)
		p->steps = calloc(now->nr_ports + 2 * want->nr_ports + now->nr_statics +
					  want->nr_statics + now->nr_mirrors + want->nr_mirrors + 1,
			sizeof(*p->steps));
	if (!p || !p->steps) {
		plan_destroy(p);
		return err_set(e, ENOMEM, "out of memory");
	}
	p->ageing_s = want->fdb_ageing_s;
	mirrors_plan(now, want, PLAN_MIRROR_DEL, p);
	for (size_t i = 0; i < now->nr_statics; i++)
		if (!static_stays(want, &now->statics[i], NULL))
			step_add(p, PLAN_STATIC_DEL, NULL, &now->statics[i], NULL);
	ports_plan(now, want, p);
	for (size_t i = 0; i < want->nr_statics; i++)
		if (!static_stays(now, &want->statics[i], p))
			step_add(p, PLAN_STATIC_ADD, NULL, &want->statics[i], NULL);
	mirrors_plan(want, now, PLAN_MIRROR_ADD, p);
	if (now->fdb_ageing_s != want->fdb_ageing_s)
		step_add(p, PLAN_AGEING, NULL, NULL, NULL);
	*ret = p;
	return 0;
}

void plan_destroy(struct plan *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nr_steps; i++)
		json_decref(p->steps[i].keys);
	free(p->steps);
	free(p);
}

static json_t *step_json(const struct plan *p, const struct plan_step *s)
{
	static const char *const names[] = {
		[PLAN_MIRROR_DEL] = "mirror-del",
		[PLAN_STATIC_DEL] = "fdb-del",
		[PLAN_PORT_ADD] = "port-add",
		[PLAN_PORT_SET] = "port-set",
		[PLAN_PORT_DEL] = "port-del",
		[PLAN_PORT_REPLACE] = "port-replace",
		[PLAN_STATIC_ADD] = "fdb-add",
		[PLAN_MIRROR_ADD] = "mirror-add",
		[PLAN_AGEING] = "fdb-ageing",
	};
	json_t *o = json_pack("{s:s}", "do", names[s->kind]);
	char mac[18];

	if (s->port)
		json_object_set_new(o, "port", json_string(s->port->name));
	if (s->keys)
		json_object_set(o, "keys", s->keys);
	if (s->entry) {
		mac_format(s->entry->mac, mac);
		json_object_set_new(o, "mac", json_string(mac));
		json_object_set_new(o, "vlan", json_integer(s->entry->vlan));
		json_object_set_new(o, "port", json_string(s->entry->port));
	}
	if (s->mirror)
		json_object_set_new(o, "mirror", json_string(s->mirror->name));
	if (s->kind == PLAN_AGEING)
		json_object_set_new(o, "ageing", json_integer(p->ageing_s));
	return o;
}

json_t *plan_json(const struct plan *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->nr_steps; i++)
		json_array_append_new(list, step_json(p, &p->steps[i]));
	return list;
}
