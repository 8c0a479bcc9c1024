// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/datapath.h"
#include "vswitch/device.h"
#include "vswitch/eal.h"
#include "vswitch/egress.h"
#include "vswitch/port_vhost.h"
#include "vswitch/socket.h"
#include "vswitch/taps.h"
#include "vswitch/telemetry.h"
#include "vswitch/vswitch.h"

struct vswitch {
	struct datapath *dp;
	struct switch_config cfg; /* but ports and static entries */
	struct sd_event *loop;
	pthread_mutex_t lock;
	struct port *ports[FORWARD_PORTS_MAX];
};

static struct port *port_find(const struct vswitch *sw, const char *name)
{
	for (unsigned int i = 0; i < FORWARD_PORTS_MAX; i++)
		if (sw->ports[i] && !strcmp(sw->ports[i]->cfg.name, name))
			return sw->ports[i];
	return NULL;
}

static int port_missing(const char *name, struct err *e)
{
	return err_set(e, ENOENT, "there is no port '%s'", name);
}

static int slot_choose(struct vswitch *sw, const struct port_config *cfg, struct err *e)
{
	int slot = -1;

	for (int i = 0; i < FORWARD_PORTS_MAX; i++) {
		const struct port *p = sw->ports[i];

		if (!p) {
			slot = slot < 0 ? i : slot;
			continue;
		}
		if (!strcmp(p->cfg.name, cfg->name))
			return err_set(e, EEXIST, "there is a port '%s' already", cfg->name);
		if (port_config_shared(&p->cfg, cfg))
			return err_set(e, EEXIST, "port '%s' has the %s %s already", p->cfg.name,
				port_config_shared(&p->cfg, cfg), port_config_backend(cfg));
	}
	if (slot < 0)
		return err_set(e, ENOSPC, "port '%s': there are %d ports already", cfg->name,
			FORWARD_PORTS_MAX);
	return slot;
}

static void port_take_out(struct vswitch *sw, struct port *p)
{
	datapath_pause(sw->dp);
	datapath_port_remove(sw->dp, p);
	datapath_resume(sw->dp);
	sw->ports[p->no] = NULL;
	p->ops->destroy(p);
}

struct datapath *vswitch_datapath(struct vswitch *sw)
{
	return sw->dp;
}

int vswitch_port_add(struct vswitch *sw, const struct port_config *cfg, struct err *e)
{
	int slot = slot_choose(sw, cfg, e), r = -EINVAL;
	struct port *p;

	if (slot < 0)
		return slot;
	r = datapath_cores_check(sw->dp, cfg, e);
	if (r < 0)
		return r;
	switch (cfg->kind) {
	case PORT_VHOST_USER: r = port_vhost_create(cfg, sw->dp, sw->loop, e, &p); break;
	case PORT_PCI:
	case PORT_TAP:
	case PORT_AF_PACKET:
	case PORT_PCAP:
	case PORT_DEVICE: r = port_dev_create(cfg, sw->dp, e, &p); break;
	}
	if (r < 0)
		return r;
	p->no = (uint16_t)slot;
	sw->ports[slot] = p;
	r = egress_prepare(p, cfg, e);
	if (r < 0) {
		sw->ports[slot] = NULL;
		p->ops->destroy(p);
		return r;
	}
	datapath_pause(sw->dp);
	datapath_port_insert(sw->dp, p);
	datapath_resume(sw->dp);
	r = p->ops->start ? p->ops->start(p, e) : 0;
	if (r < 0)
		port_take_out(sw, p);
	return r;
}

int vswitch_port_blame(
	const struct vswitch *sw, const struct switch_config *c, size_t i, int r, struct err *e)
{
	const struct port_config *p = &c->ports[i];

	return switch_config_blame(c, r, e, "ports/%zu/%s", i,
		datapath_cores_check(sw->dp, p, NULL) < 0 ? "rx-cores" : port_kind_name(p->kind));
}

int vswitch_port_del(struct vswitch *sw, const char *name, struct err *e)
{
	struct port *p = port_find(sw, name);

	if (!p)
		return port_missing(name, e);
	port_take_out(sw, p);
	return 0;
}

int vswitch_port_set(struct vswitch *sw, const struct port_config *cfg, struct err *e)
{
	struct port *p = port_find(sw, cfg->name);
	int r;

	if (!p)
		return port_missing(cfg->name, e);
	if (!port_config_same_backend(&p->cfg, cfg))
		return err_set(e, EBUSY,
			"port '%s' is connected to %s; delete it and add it again to change that "
			"or what "
			"its guest is offered",
			cfg->name, port_config_backend(&p->cfg));
	r = datapath_cores_check(sw->dp, cfg, e);
	if (r >= 0)
		r = egress_prepare(p, cfg, e);
	if (r >= 0 && p->ops->set)
		r = p->ops->set(p, cfg, e);
	if (r < 0)
		return r;
	datapath_pause(sw->dp);
	datapath_port_set(sw->dp, p, cfg);
	datapath_resume(sw->dp);
	return 0;
}

void vswitch_lock(struct vswitch *sw)
{
	pthread_mutex_lock(&sw->lock);
}

void vswitch_unlock(struct vswitch *sw)
{
	pthread_mutex_unlock(&sw->lock);
}

int vswitch_port_check(const struct port_config *cfg, struct err *e)
{
	char args[DEVICE_ARGS_MAX];
	int r;

	if (cfg->kind != PORT_VHOST_USER)
		return device_check(cfg, e, args);
	if (cfg->client)
		return 0;
	r = socket_path_check(cfg->path, e);
	return r < 0 ? err_wrap(e, r, "port '%s'", cfg->name) : 0;
}

int vswitch_port_config(
	const struct vswitch *sw, const char *name, struct err *e, struct port_config *ret)
{
	const struct port *p = port_find(sw, name);

	if (!p)
		return port_missing(name, e);
	*ret = p->cfg;
	return 0;
}

void vswitch_ageing_set(struct vswitch *sw, uint32_t seconds)
{
	sw->cfg.fdb_ageing_s = seconds;
	datapath_pause(sw->dp);
	fdb_ageing_set(datapath_forward(sw->dp)->fdb, seconds);
	datapath_resume(sw->dp);
}

static int statics_get(struct vswitch *sw, struct switch_config *c)
{
	struct fdb_entry *list;
	size_t n;
	int r = vswitch_fdb_list(sw, &list, &n);

	if (r < 0)
		return r;
	c->statics = calloc(n + 1, sizeof(*c->statics));
	for (size_t i = 0; c->statics && i < n; i++)
		if (list[i].is_static && sw->ports[list[i].port]) {
			struct static_config *s = &c->statics[c->nr_statics++];

			s->mac = list[i].mac;
			s->vlan = list[i].vlan;
			strcpy(s->port, sw->ports[list[i].port]->cfg.name);
		}
	free(list);
	return c->statics ? 0 : -ENOMEM;
}

static int mirrors_get(struct vswitch *sw, struct switch_config *c)
{
	const struct mirrors *ms = taps_mirrors(sw->dp);

	c->mirrors = calloc(ms->nr + 1, sizeof(*c->mirrors));
	for (; c->mirrors && c->nr_mirrors < ms->nr; c->nr_mirrors++)
		c->mirrors[c->nr_mirrors] = ms->list[c->nr_mirrors]->cfg;
	return c->mirrors ? 0 : -ENOMEM;
}

int vswitch_config_get(struct vswitch *sw, struct switch_config **ret)
{
	struct switch_config *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = sw->cfg;
	c->ports = calloc(FORWARD_PORTS_MAX, sizeof(*c->ports));
	if (!c->ports || statics_get(sw, c) < 0 || mirrors_get(sw, c) < 0) {
		switch_config_destroy(c);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < FORWARD_PORTS_MAX; i++)
		if (sw->ports[i])
			c->ports[c->nr_ports++] = sw->ports[i]->cfg;
	*ret = c;
	return 0;
}

bool vswitch_port_next(struct vswitch *sw, unsigned int *cursor, struct vswitch_port *ret)
{
	struct port *p;

	while (*cursor < FORWARD_PORTS_MAX && !sw->ports[*cursor])
		(*cursor)++;
	if (*cursor >= FORWARD_PORTS_MAX)
		return false;
	p = sw->ports[(*cursor)++];
	*ret = (struct vswitch_port){.cfg = p->cfg};
	ret->up = p->ops->up(p, &ret->why_down);
	datapath_counters_get(sw->dp, p, &ret->counters);
	if (p->vhost)
		port_vhost_state(p, &ret->up, &ret->why_down, &ret->link);
	ret->cycles_per_s = datapath_hz();
	for (unsigned int i = 0; i < VSWITCH_QUEUES; i++) {
		struct vswitch_queue *q = &ret->queues[ret->nr_queues];

		q->no = (int)i;
		if (datapath_queue_get(sw->dp, p, i, &q->core, &q->load))
			ret->nr_queues++;
	}
	fdb_port_stats_get(datapath_forward(sw->dp)->fdb, p->no, &ret->fdb);
	return true;
}

void vswitch_stats_get(struct vswitch *sw, struct vswitch_stats *ret)
{
	*ret = (struct vswitch_stats){.nr_cores = datapath_cores(sw->dp)};
	for (unsigned int i = 0; i < ret->nr_cores; i++) {
		struct datapath_stats s;

		datapath_stats_get(sw->dp, i, &s);
		ret->cores[i] = (struct vswitch_core){
			.core = s.core,
			.rounds = s.rounds,
			.busy_rounds = s.busy_rounds,
			.busy_cycles = s.busy_cycles,
			.load = s.load,
			.cycles_per_s = datapath_hz(),
			.sleeps = s.sleeps,
		};
		ret->rounds += s.rounds;
		ret->busy_rounds += s.busy_rounds;
		ret->busy_cycles += s.busy_cycles;
		ret->sleeps += s.sleeps;
	}
	ret->fdb_entries = fdb_count(datapath_forward(sw->dp)->fdb);
}

int vswitch_balance(struct vswitch *sw, struct err *e)
{
	int n = datapath_balance(sw->dp);

	return n < 0 ? err_set(e, -n, "out of memory") : n;
}

int vswitch_fdb_list(struct vswitch *sw, struct fdb_entry **ret, size_t *ret_n)
{
	struct fdb *fdb = datapath_forward(sw->dp)->fdb;
	uint32_t now = datapath_now_s(sw->dp);
	struct fdb_entry *list = NULL;
	size_t cursor = 0, n = 0, max;

	max = fdb_count(fdb);
	list = calloc(max + 1, sizeof(*list));
	while (list && n < max && fdb_next(fdb, &cursor, &list[n])) {
		uint32_t seen = list[n].seen_s;

		list[n].seen_s = seen < now ? now - seen : 0;
		n++;
	}
	if (!list)
		return -ENOMEM;
	*ret = list;
	*ret_n = n;
	return 0;
}

const char *vswitch_port_name(const struct vswitch *sw, uint16_t no)
{
	return no < FORWARD_PORTS_MAX && sw->ports[no] ? sw->ports[no]->cfg.name : NULL;
}

int vswitch_fdb_add(
	struct vswitch *sw, uint64_t mac, uint16_t vlan, const char *port, struct err *e)
{
	struct port *p = port_find(sw, port);
	char text[18];
	int r;

	if (!p)
		return port_missing(port, e);
	mac_format(mac, text);
	if (!vlan_port_has(&p->cfg.forward.vlan, vlan))
		return err_set(e, EINVAL, "add %s: port '%s' is not in VLAN %u", text, port, vlan);
	r = fdb_add_static(datapath_forward(sw->dp)->fdb, fdb_key(mac, vlan), p->no);
	if (r == -EINVAL)
		return err_set(e, EINVAL, "%s is no address of one station", text);
	if (r < 0)
		return err_set(e, -r, "add %s: the table is full of static entries", text);
	return 0;
}

int vswitch_fdb_del(struct vswitch *sw, uint64_t mac, uint16_t vlan, struct err *e)
{
	char text[18];
	int r;

	mac_format(mac, text);
	r = fdb_remove(datapath_forward(sw->dp)->fdb, fdb_key(mac, vlan));
	return r < 0 ? err_set(e, ENOENT, "%s is not known in VLAN %u", text, vlan) : 0;
}

int vswitch_fdb_flush(
	struct vswitch *sw, const char *port, uint16_t vlan, struct err *e, uint32_t *ret_n)
{
	struct port *p = port ? port_find(sw, port) : NULL;

	if (port && !p)
		return port_missing(port, e);
	*ret_n = fdb_flush(datapath_forward(sw->dp)->fdb, p ? p->no : FDB_NO_PORT, vlan, false);
	return 0;
}

int vswitch_create(
	const struct switch_config *cfg, struct sd_event *loop, struct err *e, struct vswitch **ret)
{
	struct vswitch *sw = calloc(1, sizeof(*sw));
	int r;

	if (!sw)
		return err_set(e, ENOMEM, "out of memory");
	pthread_mutex_init(&sw->lock, NULL);
	sw->cfg = *cfg;
	sw->cfg.ports = NULL;
	sw->cfg.statics = NULL;
	sw->cfg.mirrors = NULL;
	sw->cfg.nr_mirrors = 0;
	sw->cfg.nr_ports = sw->cfg.nr_statics = 0;
	sw->cfg.what = sw->cfg.text = NULL;
	sw->loop = loop;
	r = datapath_create(cfg, e, &sw->dp);
	for (size_t i = 0; i < cfg->nr_ports && r >= 0; i++)
		r = vswitch_port_blame(sw, cfg, i, vswitch_port_add(sw, &cfg->ports[i], e), e);
	for (size_t i = 0; i < cfg->nr_statics && r >= 0; i++)
		r = switch_config_blame(cfg,
			vswitch_fdb_add(sw, cfg->statics[i].mac, cfg->statics[i].vlan,
				cfg->statics[i].port, e),
			e, "fdb/static/%zu", i);
	for (size_t i = 0; i < cfg->nr_mirrors && r >= 0; i++)
		r = switch_config_blame(
			cfg, taps_mirror_add(sw->dp, &cfg->mirrors[i], e), e, "mirrors/%zu", i);
	if (r >= 0)
		r = telemetry_start(sw, e);
	if (r < 0) {
		vswitch_destroy(sw);
		return r;
	}
	*ret = sw;
	return 0;
}

void vswitch_destroy(struct vswitch *sw)
{
	if (!sw)
		return;
	telemetry_stop();
	for (unsigned int i = FORWARD_PORTS_MAX; i-- > 0;)
		if (sw->ports[i])
			port_take_out(sw, sw->ports[i]);
	datapath_destroy(sw->dp);
	eal_finish(&sw->cfg);
	pthread_mutex_destroy(&sw->lock);
	free(sw);
}
