// SPDX-License-Identifier: GPL-2.0-or-later
/* Carry out a plan. If a step fails, a plan back to what was is made and carried out. */
#include <errno.h>
#include <string.h>

#include "vswitch/plan.h"
#include "vswitch/taps.h"
#include "vswitch/vswitch.h"

static int step_do(
	struct vswitch *sw, const struct plan *p, const struct plan_step *s, struct err *e)
{
	const struct static_config *entry = s->entry;

	switch (s->kind) {
	case PLAN_PORT_ADD: return vswitch_port_add(sw, s->port, e);
	case PLAN_PORT_SET: return vswitch_port_set(sw, s->port, e);
	case PLAN_PORT_REPLACE:
	case PLAN_PORT_DEL: return vswitch_port_del(sw, s->port->name, e);
	case PLAN_STATIC_DEL: return vswitch_fdb_del(sw, entry->mac, entry->vlan, e);
	case PLAN_STATIC_ADD: return vswitch_fdb_add(sw, entry->mac, entry->vlan, entry->port, e);
	case PLAN_MIRROR_DEL: return taps_mirror_del(vswitch_datapath(sw), s->mirror->name, e);
	case PLAN_MIRROR_ADD: return taps_mirror_add(vswitch_datapath(sw), s->mirror, e);
	case PLAN_AGEING: vswitch_ageing_set(sw, p->ageing_s); return 0;
	}
	return -EINVAL;
}

/* Say where in @want step @s, which came to @r, stands; of what goes it has nothing to say. */
static int step_blame(const struct vswitch *sw, const struct switch_config *want,
	const struct plan_step *s, int r, struct err *e)
{
	if (s->port >= want->ports && s->port < want->ports + want->nr_ports)
		return vswitch_port_blame(sw, want, (size_t)(s->port - want->ports), r, e);
	if (s->entry >= want->statics && s->entry < want->statics + want->nr_statics)
		return switch_config_blame(
			want, r, e, "fdb/static/%zu", (size_t)(s->entry - want->statics));
	if (s->mirror >= want->mirrors && s->mirror < want->mirrors + want->nr_mirrors)
		return switch_config_blame(
			want, r, e, "mirrors/%zu", (size_t)(s->mirror - want->mirrors));
	return switch_config_blame(want, r, e, "%s", "");
}

/* Would a port that comes be in the way of nobody but those who go? */
static int plan_check(const struct vswitch *sw, const struct switch_config *now,
	const struct switch_config *want, const struct plan *p, struct err *e)
{
	for (size_t i = 0; i < p->nr_steps; i++) {
		const struct port_config *cfg = p->steps[i].port;
		bool taken = false;
		int r;

		if (p->steps[i].kind != PLAN_PORT_ADD)
			continue;
		/* Its socket or file is ours for now. */
		for (size_t j = 0; j < now->nr_ports; j++)
			taken = taken || port_config_shared(&now->ports[j], cfg);
		r = taken ? 0 : vswitch_port_check(cfg, e);
		if (r < 0)
			return step_blame(sw, want, &p->steps[i], r, e);
	}
	return 0;
}

static void plan_undo(struct vswitch *sw, const struct switch_config *before, struct err *e)
{
	struct switch_config *now = NULL;
	struct plan *back = NULL;
	/* A copy: nothing may be written from where it stands. */
	const struct err first = e ? *e : (struct err){0};
	struct err why = {0};
	int r = vswitch_config_get(sw, &now);

	if (r >= 0)
		r = plan_create(now, before, &why, &back);
	for (size_t i = 0; r >= 0 && i < back->nr_steps; i++)
		r = step_do(sw, back, &back->steps[i], &why);
	if (r < 0 && e)
		err_set(e, e->code, "%s; and then, on the way back: %s", first.text,
			why.text[0] ? why.text : strerror(-r));
	else if (e)
		err_set(e, e->code, "%s; all is as before", first.text);
	plan_destroy(back);
	switch_config_destroy(now);
}

int vswitch_apply(struct vswitch *sw, const struct switch_config *want, bool dry_run, struct err *e,
	json_t **ret_steps)
{
	struct switch_config *now = NULL;
	struct plan *plan = NULL;
	int r = vswitch_config_get(sw, &now);

	if (r < 0)
		return err_sys(e, -r, "apply");
	r = plan_create(now, want, e, &plan);
	if (r >= 0)
		r = plan_check(sw, now, want, plan, e);
	for (size_t i = 0; r >= 0 && !dry_run && i < plan->nr_steps; i++) {
		r = step_blame(sw, want, &plan->steps[i], step_do(sw, plan, &plan->steps[i], e), e);
		if (r < 0)
			plan_undo(sw, now, e);
	}
	if (r >= 0)
		*ret_steps = plan_json(plan);
	plan_destroy(plan);
	switch_config_destroy(now);
	return r;
}
