/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the JSON of `viaduct vf` is made of. */
#ifndef VIADUCT_CLI_VF_JSON_H
#define VIADUCT_CLI_VF_JSON_H

#include "cli/json.h"
#include "vf-manager/group.h"

json_t *group_members_json(const struct vfm_group *g);

#endif
