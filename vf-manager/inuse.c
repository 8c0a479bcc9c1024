// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"
#include "vf-manager/usage.h"

int refuse_if_any_used(struct vfm *v, const struct vfm_function *pf, const char *doing,
	bool forceable, bool force, struct err *e)
{
	_cleanup_free_ struct vfm_usage *use = calloc(pf->num_vfs + 1, sizeof(*use));
	_cleanup_free_ struct bdf *vf = calloc(pf->num_vfs + 1, sizeof(*vf));
	unsigned n = 0, used = 0, first = 0;
	char name[BDF_STRLEN];
	int r;

	if (!use || !vf)
		return err_sys(e, ENOMEM, "who uses its VFs");
	for (unsigned i = 0; i < pf->num_vfs; i++)
		n += vf_bdf(v, pf->bdf, i, &vf[n]) == 0;
	r = n ? vfm_usage_many(v, vf, n, use, e) : 0;
	if (r < 0)
		return r;
	for (unsigned i = n; i-- > 0;) {
		if (!use[i].uses)
			continue;
		used++;
		first = i;
		if (force)
			vfm_note(v, "%s: forced though %s: %s", bdf_format(vf[i], name),
				use[i].text, use[i].consequence);
	}
	if (!used || force)
		return 0;
	bdf_format(vf[first], name);
	err_set(e, EBUSY, "%s: %s is in use: %s; end that first%s%s", doing, name, use[first].text,
		forceable ? ", or say --force and " : "", forceable ? use[first].consequence : "");
	if (used > 1)
		err_append(e, "%u more of its VFs are in use, too", used - 1);
	return -EBUSY;
}
