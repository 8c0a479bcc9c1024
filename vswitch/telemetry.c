// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * DPDK calls these from a thread per connection, with nothing but text. The switch is found by the name
 * of a memory zone, which outlives it: its lock keeps the switch while it is being asked.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vswitch/telemetry.h"
#include "vswitch/vswitch.h"

/* Behind ours: it defines container_of() unless somebody has. */
#include <rte_memzone.h>
#include <rte_telemetry.h>

#define ZONE_NAME "viaduct-telemetry"

struct room {
	pthread_mutex_t lock;
	struct vswitch *sw; /* NULL: it has gone */
};

static struct room *room_enter(void)
{
	const struct rte_memzone *mz = rte_memzone_lookup(ZONE_NAME);
	struct room *room = mz ? mz->addr : NULL;

	if (!room)
		return NULL;
	pthread_mutex_lock(&room->lock);
	if (room->sw) {
		vswitch_lock(room->sw);
		return room;
	}
	pthread_mutex_unlock(&room->lock);
	return NULL;
}

static void room_leave(struct room *room)
{
	vswitch_unlock(room->sw);
	pthread_mutex_unlock(&room->lock);
}

/* Telemetry's names have no '-'. */
static void u64_add(struct rte_tel_data *d, const char *name, uint64_t value)
{
	char text[RTE_TEL_MAX_STRING_LEN];

	snprintf(text, sizeof(text), "%s", name);
	for (char *p = text; *p; p++)
		*p = *p == '-' ? '_' : *p;
	rte_tel_data_add_dict_u64(d, text, value);
}

static int on_ports(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct room *room = room_enter();
	struct vswitch_port p;
	unsigned int cursor = 0;

	if (!room)
		return -ENODEV;
	rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
	while (vswitch_port_next(room->sw, &cursor, &p))
		rte_tel_data_add_array_string(d, p.cfg.name);
	room_leave(room);
	return 0;
}

static void port_fill(struct rte_tel_data *d, const struct vswitch_port *p)
{
	struct rte_tel_data *drops = rte_tel_data_alloc();

	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "name", p->cfg.name);
	rte_tel_data_add_dict_string(d, "kind", port_kind_name(p->cfg.kind));
	rte_tel_data_add_dict_string(d, "link", p->up ? "up" : "down");
	if (!p->up && p->why_down)
		rte_tel_data_add_dict_string(d, "why_down", p->why_down);
	u64_add(d, "mtu", p->cfg.forward.mtu);
	u64_add(d, "rx_packets", p->counters.rx_packets);
	u64_add(d, "rx_bytes", p->counters.rx_bytes);
	u64_add(d, "tx_packets", p->counters.tx_packets);
	u64_add(d, "tx_bytes", p->counters.tx_bytes);
	u64_add(d, "flooded", p->counters.flooded);
	u64_add(d, "addresses", p->fdb.entries);
	u64_add(d, "learned", p->fdb.learned);
	u64_add(d, "moved", p->fdb.moved);
	u64_add(d, "evicted", p->fdb.evicted);
	u64_add(d, "aged", p->fdb.aged);
	if (!drops)
		return;
	rte_tel_data_start_dict(drops);
	for (enum drop_reason r = 0; r < DROP_REASON_COUNT; r++)
		if (p->counters.drops[r])
			u64_add(drops, drop_reason_name(r), p->counters.drops[r]);
	if (rte_tel_data_add_dict_container(d, "drops", drops, 0) < 0)
		rte_tel_data_free(drops);
}

static int on_port(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct room *room = room_enter();
	struct vswitch_port p;
	unsigned int cursor = 0;
	int r = -ENOENT;

	if (!room)
		return -ENODEV;
	while (params && r < 0 && vswitch_port_next(room->sw, &cursor, &p)) {
		if (strcmp(p.cfg.name, params))
			continue;
		port_fill(d, &p);
		r = 0;
	}
	room_leave(room);
	return r;
}

/* As many as a reply takes; their number is that of all. */
static int on_fdb(const char *cmd, const char *params, struct rte_tel_data *d)
{
	_cleanup_free_ struct fdb_entry *list = NULL;
	struct rte_tel_data *entries = rte_tel_data_alloc();
	struct room *room = room_enter();
	size_t n = 0;

	if (!room || !entries || vswitch_fdb_list(room->sw, &list, &n) < 0) {
		rte_tel_data_free(entries);
		if (room)
			room_leave(room);
		return -ENODEV;
	}
	rte_tel_data_start_dict(d);
	u64_add(d, "count", n);
	rte_tel_data_start_array(entries, RTE_TEL_STRING_VAL);
	for (size_t i = 0; i < n && i < RTE_TEL_MAX_ARRAY_ENTRIES; i++) {
		const char *port = vswitch_port_name(room->sw, list[i].port);
		char mac[18], text[RTE_TEL_MAX_STRING_LEN];

		mac_format(list[i].mac, mac);
		snprintf(text, sizeof(text), "%s vlan %u port %s%s", mac, list[i].vlan,
			port ? port : "?", list[i].is_static ? " static" : "");
		if (rte_tel_data_add_array_string(entries, text) < 0)
			break;
	}
	if (rte_tel_data_add_dict_container(d, "entries", entries, 0) < 0)
		rte_tel_data_free(entries);
	room_leave(room);
	return 0;
}

static int on_stats(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct room *room = room_enter();
	struct vswitch_stats s;

	if (!room)
		return -ENODEV;
	vswitch_stats_get(room->sw, &s);
	room_leave(room);
	rte_tel_data_start_dict(d);
	u64_add(d, "rounds", s.rounds);
	u64_add(d, "busy_rounds", s.busy_rounds);
	u64_add(d, "busy_cycles", s.busy_cycles);
	u64_add(d, "sleeps", s.sleeps);
	u64_add(d, "fdb_entries", s.fdb_entries);
	return 0;
}

int telemetry_start(struct vswitch *sw, struct err *e)
{
	static const struct {
		const char *name, *help;
		telemetry_cb call;
	} commands[] = {
		{"/viaduct/ports", "Names of the switch's ports. No parameters", on_ports},
		{"/viaduct/port", "One port: link, counters, drops. Parameter: its name", on_port},
		{"/viaduct/fdb", "Addresses and their ports. No parameters", on_fdb},
		{"/viaduct/stats", "What the datapath does. No parameters", on_stats},
	};
	const struct rte_memzone *mz =
		rte_memzone_reserve(ZONE_NAME, sizeof(struct room), SOCKET_ID_ANY, 0);
	struct room *room = mz ? mz->addr : NULL;

	if (!room)
		return err_set(e, ENOMEM, "no memory for telemetry");
	pthread_mutex_init(&room->lock, NULL);
	room->sw = sw;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		rte_telemetry_register_cmd(commands[i].name, commands[i].call, commands[i].help);
	return 0;
}

void telemetry_stop(void)
{
	const struct rte_memzone *mz = rte_memzone_lookup(ZONE_NAME);
	struct room *room = mz ? mz->addr : NULL;

	if (!room)
		return;
	pthread_mutex_lock(&room->lock);
	room->sw = NULL;
	pthread_mutex_unlock(&room->lock);
}
