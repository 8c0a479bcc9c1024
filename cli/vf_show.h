/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `viaduct vf list` and `show` print, gathered; as a table and as JSON. */
#ifndef VIADUCT_CLI_VF_SHOW_H
#define VIADUCT_CLI_VF_SHOW_H

#include "cli/vf_json.h"
#include "vf-manager/caps.h"
#include "vf-manager/devlink.h"
#include "vf-manager/group.h"
#include "vf-manager/lease.h"
#include "vf-manager/select.h"
#include "vf-manager/vfm.h"

/* One function with everything that is known of it. */
struct shown {
	struct vfm_function f;
	struct vfm_settings settings; /* of a VF: what its PF reports it gives it */
	bool has_caps;
	struct vfm_caps caps;
	const struct vfm_group *group;       /* NULL: in none */
	char (*selectors)[VFM_SELECTOR_MAX]; /* owned; of PFs and others, not of VFs */
	int n_selectors;
	int eswitch;             /* enum vfm_eswitch; -1: no such switch */
	struct vfm_port *port;   /* owned; of a PF in switchdev mode, num_vfs of them; or NULL */
	char pool[VFM_NAME_MAX]; /* of a PF; "" = none */
	const struct vfm_lease *lease; /* NULL: none, or not to be seen */
};

/* A PF with those of its VFs that were asked for, or a function that is neither. */
struct shown_pf {
	struct shown *fn; /* owned: the PF, then VFs by index */
	size_t n;
	bool whole; /* the PF was asked for: all its VFs are there */
};

/* vf_json.c */
/* As an element of the list; @lease may be NULL. */
json_t *function_json(const struct vfm_function *f, const struct vfm_lease *lease);
/* {"pfs": ...}: what `viaduct vf apply` reads; @other goes under "status". */
json_t *shown_json(const struct shown_pf *pf, size_t n, const struct shown *other, size_t n_other);

/* vf_text.c */
/* Its address as its PF gives it, "" when none. */
void mac_text(const struct vfm_function *f, char buf[static 18]);
void shown_print(const struct shown *s);
/* "vm1 (process 412)", "" for NULL, "stale: " in front when its holder is gone. */
const char *lease_text(const struct vfm_lease *l, char buf[static VFM_LEASE_WHO_MAX + 8]);
/* That of @b among @n in address order, or NULL. */
const struct vfm_lease *lease_of(const struct vfm_lease *l, int n, struct bdf b);
/* What the PF itself cannot say in a line each. */
void vfs_print(const struct shown *vf, size_t n);

#endif
