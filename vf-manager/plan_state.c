// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/plan_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/pool.h"

static int vfs_read(struct vfm *v, struct pf_state *s, struct err *e)
{
	_cleanup_free_ struct vfm_settings *settings = calloc(s->num_vfs, sizeof(*settings));
	struct bdf b;
	int r;

	s->vf = calloc(s->num_vfs, sizeof(*s->vf));
	if (!settings || !s->vf)
		return err_sys(e, ENOMEM, "read its VFs");
	if (s->f.ifindex > 0) {
		/* Below another root there is no netlink: then nothing is known, and nothing assumed. */
		r = settings_read_all(v, &s->f, settings, s->num_vfs, e);
		if (r < 0 && r != -EOPNOTSUPP)
			return r;
	}
	for (unsigned i = 0; i < s->num_vfs; i++) {
		struct vf_state *vf = &s->vf[i];

		if (vf_bdf(v, s->f.bdf, i, &b) < 0 ||
			function_read_vf(v, b, s->f.bdf, i, &vf->f) < 0)
			continue;
		vf->there = true;
		vf->settings = settings[i];
		journal_read_settings(v, b, &vf->original);
		vf->recorded = journal_read(v, b, JOURNAL_DRIVER, &vf->record) == 0;
	}
	return 0;
}

int pf_state_read(struct vfm *v, struct bdf pf, bool eswitch, struct pf_state **ret, struct err *e)
{
	struct pf_state *s = calloc(1, sizeof(*s));
	struct journal_entry entry;
	int r;

	if (!s)
		return err_sys(e, ENOMEM, "read what it is");
	r = function_read(v, pf, &s->f);
	if (r < 0) {
		r = err_set(e, ENODEV, "no such PCI function ('viaduct vf list' shows them)");
		goto fail;
	}
	if (s->f.kind != VFM_PF) {
		r = err_set(e, ENOTSUP,
			s->f.kind == VFM_VF ? "this is a VF: an entry of 'pfs' is a PF"
					    : "it has no SR-IOV ('viaduct vf list' shows what "
					      "has)");
		goto fail;
	}
	s->num_vfs = s->f.num_vfs;
	s->autoprobe = s->f.autoprobe > 0;
	vfm_pool_get(v, pf, s->pool);
	s->interrupted = journal_read(v, pf, JOURNAL_AUTOPROBE, &entry) == 0;
	if (s->interrupted)
		s->autoprobe = !strcmp(entry.value, "1");
	if (eswitch) {
		r = vfm_eswitch_get(v, pf, &s->eswitch, e);
		if (r < 0)
			goto fail;
		s->has_eswitch = true;
	}
	r = s->num_vfs ? vfs_read(v, s, e) : 0;
	if (r < 0)
		goto fail;
	*ret = s;
	return 0;
fail:
	pf_state_free(s);
	return r;
}

void pf_state_free(struct pf_state *s)
{
	if (!s)
		return;
	free(s->vf);
	free(s);
}
