/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the JSON of `viaduct vf` is made of. */
#ifndef VIADUCT_CLI_VF_JSON_H
#define VIADUCT_CLI_VF_JSON_H

#include <jansson.h>

#include "vf-manager/group.h"

/* null for "", NULL, and what is no UTF-8. */
json_t *json_text(const char *s);
/* null for a negative number. */
json_t *json_number(int n);
json_t *group_members_json(const struct vfm_group *g);
/* To stdout; an exit status. Takes @top, NULL is out of memory. */
int json_print(json_t *top);

#endif
