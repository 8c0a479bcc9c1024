// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/phases.h"

#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"

static const char *const names[] = {
	[VFM_PHASE_CHECK] = "check",
	[VFM_PHASE_UP] = "up",
	[VFM_PHASE_OTHER] = "other",
	[VFM_PHASE_DESTROY] = "destroy",
	[VFM_PHASE_WRITE] = "write",
	[VFM_PHASE_LINKS] = "links",
	[VFM_PHASE_LINK_UP] = "link-up",
	[VFM_PHASE_ATTRIBUTES] = "attributes",
	[VFM_PHASE_BIND] = "bind",
	[VFM_PHASE_NODE] = "node",
	[VFM_PHASE_VERIFY] = "verify",
	[VFM_PHASE_UNDO] = "undo",
};

const char *vfm_phase_name(enum vfm_phase p)
{
	return p < ARRAY_SIZE(names) ? names[p] : "unknown";
}

void phases_start(struct vfm *v)
{
	memset(v->phase_us, 0, sizeof(v->phase_us));
	v->phase = VFM_PHASE_CHECK;
	v->phase_since = now_us();
}

enum vfm_phase phase_enter(struct vfm *v, enum vfm_phase p)
{
	enum vfm_phase last = v->phase;
	uint64_t now = now_us();

	/* What is done to undo is no part of the way there. */
	if (last == VFM_PHASE_UNDO)
		return last;
	v->phase_us[last] += now - v->phase_since;
	v->phase_since = now;
	v->phase = p;
	return last;
}

void phases_end(struct vfm *v, struct vfm_phases *ret)
{
	v->phase_us[v->phase] += now_us() - v->phase_since;
	*ret = (struct vfm_phases){0};
	for (size_t i = 0; i < VFM_PHASES; i++) {
		ret->us[i] = v->phase_us[i];
		ret->total_us += v->phase_us[i];
	}
}
