// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/mirror.h"
#include "vswitch/vlan.h"

int mirror_config_check(const struct mirror_config *cfg, struct err *e)
{
	if (!cfg->name[0] || !cfg->nr_from)
		return err_set(e, EINVAL, "a mirror has a name and at least one port in from");
	if (!cfg->to[0] == !cfg->vlan)
		return err_set(
			e, EINVAL, "mirror '%s': give one of to (a port) and vlan", cfg->name);
	if (cfg->vlan > VLAN_MAX)
		return err_set(e, EINVAL, "mirror '%s': vlan must be 1 to %d", cfg->name, VLAN_MAX);
	if (cfg->reserved && !cfg->to[0])
		return err_set(
			e, EINVAL, "mirror '%s': reserved goes with a port in to", cfg->name);
	if (!cfg->directions || cfg->directions > (MIRROR_IN | MIRROR_OUT))
		return err_set(
			e, EINVAL, "mirror '%s': direction must be in, out or both", cfg->name);
	for (unsigned int i = 0; i < cfg->nr_from; i++) {
		if (!strcmp(cfg->from[i], cfg->to))
			return err_set(e, EINVAL,
				"mirror '%s': port '%s' cannot be mirrored to itself", cfg->name,
				cfg->to);
		for (unsigned int j = 0; j < i; j++)
			if (!strcmp(cfg->from[i], cfg->from[j]))
				return err_set(e, EINVAL, "mirror '%s': port '%s' is there twice",
					cfg->name, cfg->from[i]);
	}
	return 0;
}

int mirrors_add(struct mirrors *ms, const struct mirror_config *cfg, uint64_t now_ns, struct err *e)
{
	int r = mirror_config_check(cfg, e);
	struct mirror *m;

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < ms->nr; i++)
		if (!strcmp(ms->list[i]->cfg.name, cfg->name))
			return err_set(e, EEXIST, "there is a mirror '%s' already", cfg->name);
	if (ms->nr == MIRRORS_MAX)
		return err_set(e, ENOSPC, "mirror '%s': there are %d mirrors already", cfg->name,
			MIRRORS_MAX);
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(e, ENOMEM, "mirror '%s': out of memory", cfg->name);
	m->cfg = *cfg;
	m->to = MIRROR_NO_PORT;
	/* A tenth of a second's worth at once, and any one frame. */
	meter_init(&m->meter, cfg->rate, cfg->rate / 10 > 65536 ? cfg->rate / 10 : 65536, now_ns);
	pthread_spin_init(&m->lock, PTHREAD_PROCESS_PRIVATE);
	ms->list[ms->nr++] = m;
	return 0;
}

static void mirror_free(struct mirror *m)
{
	pthread_spin_destroy(&m->lock);
	free(m);
}

int mirrors_del(struct mirrors *ms, const char *name, struct err *e)
{
	for (unsigned int i = 0; i < ms->nr; i++) {
		if (strcmp(ms->list[i]->cfg.name, name) != 0)
			continue;
		mirror_free(ms->list[i]);
		memmove(&ms->list[i], &ms->list[i + 1], (--ms->nr - i) * sizeof(struct mirror *));
		return 0;
	}
	return err_set(e, ENOENT, "there is no mirror '%s'", name);
}

void mirrors_finish(struct mirrors *ms)
{
	while (ms->nr)
		mirror_free(ms->list[--ms->nr]);
}

void mirrors_resolve(struct mirrors *ms, uint16_t (*find)(void *ctx, const char *name), void *ctx)
{
	for (unsigned int i = 0; i < ms->nr; i++) {
		struct mirror *m = ms->list[i];

		m->to = m->cfg.to[0] ? find(ctx, m->cfg.to) : MIRROR_NO_PORT;
		m->from = (struct port_set){0};
		for (unsigned int j = 0; j < m->cfg.nr_from; j++) {
			uint16_t port = find(ctx, m->cfg.from[j]);

			if (port != MIRROR_NO_PORT)
				port_set_put(&m->from, port, true);
		}
	}
}

uint8_t mirrors_directions(const struct mirrors *ms, uint16_t port)
{
	uint8_t directions = 0;

	for (unsigned int i = 0; i < ms->nr; i++)
		if (port_set_has(&ms->list[i]->from, port))
			directions |= ms->list[i]->cfg.directions;
	return directions;
}

bool mirrors_reserve(const struct mirrors *ms, uint16_t port)
{
	for (unsigned int i = 0; i < ms->nr; i++)
		if (ms->list[i]->cfg.reserved && ms->list[i]->to == port)
			return true;
	return false;
}

bool mirror_takes(
	struct mirror *m, uint16_t port, uint8_t dir, uint16_t vid, uint32_t len, uint64_t now_ns)
{
	bool takes;

	if (!(m->cfg.directions & dir) || !port_set_has(&m->from, port))
		return false;
	if (m->cfg.vlan) {
		/* A copy that comes back from another switch is not copied again. */
		if (vid == m->cfg.vlan)
			return false;
	} else if (m->to == MIRROR_NO_PORT) {
		return false;
	}
	pthread_spin_lock(&m->lock);
	takes = meter_take(&m->meter, len, now_ns);
	pthread_spin_unlock(&m->lock);
	__atomic_fetch_add(takes ? &m->frames : &m->limited, 1, __ATOMIC_RELAXED);
	if (takes)
		__atomic_fetch_add(&m->bytes, len, __ATOMIC_RELAXED);
	return takes;
}
