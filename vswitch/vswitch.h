/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The switch as a whole: its ports by name, its table of addresses, and the socket that controls it.
 * One thread at a time, which holds vswitch_lock() when there may be others (DPDK's telemetry has its
 * own threads); the datapath's need not.
 */
#ifndef VIADUCT_VSWITCH_VSWITCH_H
#define VIADUCT_VSWITCH_VSWITCH_H

#include "common/err.h"
#include "vswitch/config.h"
#include "vswitch/counters.h"
#include "vswitch/fdb.h"
#include "vswitch/vhost_link.h"

struct vswitch;
struct sd_event;

#define VSWITCH_QUEUES 16

struct vswitch_queue {
	int no, core;
	uint64_t load; /* of the last seconds, cycles a second; 0 when there is but one thread */
};

struct vswitch_port {
	struct port_config cfg;
	bool up;
	const char *why_down; /* until the next call; NULL when up */
	struct port_counters counters;
	struct fdb_port_stats fdb;
	struct vhost_link_stats link;                /* PORT_VHOST_USER */
	struct vswitch_queue queues[VSWITCH_QUEUES]; /* to receive from, that are live */
	unsigned int nr_queues;
	uint64_t cycles_per_s;
};

struct vswitch_core {
	int core;
	uint64_t rounds, busy_rounds;
	uint64_t busy_cycles; /* in rounds that moved frames */
	uint64_t load;        /* of the last seconds, cycles a second */
	uint64_t cycles_per_s;
	uint64_t sleeps;
};

struct vswitch_stats {
	uint64_t rounds, busy_rounds, busy_cycles, sleeps; /* of all threads */
	struct vswitch_core cores[SWITCH_CORES_MAX];
	unsigned int nr_cores;
	uint32_t fdb_entries;
};

/*
 * Once per process: DPDK cannot be started again. Creates the ports of @cfg, or nothing.
 * Front ends are heard from @loop, which outlives it.
 */
int vswitch_create(const struct switch_config *cfg, struct sd_event *loop, struct err *e,
	struct vswitch **ret);
void vswitch_destroy(struct vswitch *sw);

/* Around any number of the calls below. */
void vswitch_lock(struct vswitch *sw);
void vswitch_unlock(struct vswitch *sw);

/* -EEXIST (name, socket or device), -ENOSPC, or why the port cannot be made. */
int vswitch_port_add(struct vswitch *sw, const struct port_config *cfg, struct err *e);
/* For the control methods of what ports do. */
/* switch_config_blame() of @c->ports[@i], whose adding came to @r. */
int vswitch_port_blame(
	const struct vswitch *sw, const struct switch_config *c, size_t i, int r, struct err *e);
struct datapath;
struct datapath *vswitch_datapath(struct vswitch *sw);
/* -ENOENT */
int vswitch_port_del(struct vswitch *sw, const char *name, struct err *e);
/* All of @cfg but what the port is connected to, which must be as it was (-EBUSY). -ENOENT */
int vswitch_port_set(struct vswitch *sw, const struct port_config *cfg, struct err *e);
/* Could it be added, as far as can be told before? As vswitch_port_add(), and changes nothing. */
int vswitch_port_check(const struct port_config *cfg, struct err *e);
/* -ENOENT */
int vswitch_port_config(
	const struct vswitch *sw, const char *name, struct err *e, struct port_config *ret);
/* Learned entries are forgotten after so long without a frame; 0 = never. */
void vswitch_ageing_set(struct vswitch *sw, uint32_t seconds);

/* What the switch is like now, as a description. -ENOMEM. The caller owns *@ret. */
int vswitch_config_get(struct vswitch *sw, struct switch_config **ret);

/*
 * Become what @want says by the smallest change, or, when part of it fails, be as before. *@ret_steps,
 * a JSON list that the caller unreferences, is what was done, or with @dry_run would be: empty when
 * there is nothing to do. Returns 0; -EBUSY: something cannot change while it runs; or as the calls for
 * one port and entry.
 */
struct json_t;
int vswitch_apply(struct vswitch *sw, const struct switch_config *want, bool dry_run, struct err *e,
	struct json_t **ret_steps);

/* The first port numbered @*cursor or higher; false at the end. Start with 0. */
bool vswitch_port_next(struct vswitch *sw, unsigned int *cursor, struct vswitch_port *ret);
void vswitch_stats_get(struct vswitch *sw, struct vswitch_stats *ret);

/* Give the receive queues to the threads by what they cost now. Returns how many moved, or -ENOMEM. */
int vswitch_balance(struct vswitch *sw, struct err *e);

/* All entries as they are at one moment; ages in seen_s. The caller frees *@ret. -ENOMEM */
int vswitch_fdb_list(struct vswitch *sw, struct fdb_entry **ret, size_t *ret_n);
/* NULL when there is no such port. Lives until the next change of ports. */
const char *vswitch_port_name(const struct vswitch *sw, uint16_t no);
/* -ENOENT: no such port; otherwise as fdb_add_static() */
int vswitch_fdb_add(
	struct vswitch *sw, uint64_t mac, uint16_t vlan, const char *port, struct err *e);
int vswitch_fdb_del(struct vswitch *sw, uint64_t mac, uint16_t vlan, struct err *e);
/* @port may be NULL, @vlan FDB_ANY_VLAN. Static entries stay. */
int vswitch_fdb_flush(
	struct vswitch *sw, const char *port, uint16_t vlan, struct err *e, uint32_t *ret_n);

/* The control socket: one JSON-RPC 2.0 request a line, answered by one line. */
struct control;
/*
 * Listen for clients, before the switch is made: who has the socket is the only one of its kind. @group
 * may use it besides this user, if not "". The caller owns *@ret_fd. Returns 0 or as socket_listen().
 */
int control_listen(const char *path, const char *group, struct err *e, int *ret_fd);

/* Serve them. *@fd is taken and set to -1; @path goes with it. */
int control_create(struct vswitch *sw, const char *path, int *fd, struct sd_event *loop,
	struct err *e, struct control **ret);
void control_destroy(struct control *c);

/* Send @request, wait for the line that answers it. The caller frees *@ret_answer. */
int control_ask(const char *path, const char *request, struct err *e, char **ret_answer);

#endif
