/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VIADUCT_VFM_NUMA_H
#define VIADUCT_VFM_NUMA_H

#include "vf-manager/internal.h"

#define NODE_MAX 1024 /* the kernel's limit: CONFIG_NODES_SHIFT is at most 10 */

struct node_set {
	unsigned count; /* nodes of this machine, 0 = it does not say */
	unsigned long bits[NODE_MAX / (8 * sizeof(unsigned long))];
};

/* Those of the memory policy of this process, else those of the CPUs it may use. */
void node_set_read(struct vfm *v, struct node_set *ret);
/* A machine of one node has all on it, whatever a device says. */
bool node_set_has(const struct node_set *n, int node);
/* "0,2"; returns @buf. */
char *node_set_format(const struct node_set *n, char *buf, size_t size);

#endif
