/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An rtnetlink that answers for every interface that it is a PF with so many VFs, and counts. */
#ifndef VIADUCT_FAKES_VF_LINK_H
#define VIADUCT_FAKES_VF_LINK_H

#include "vf-manager/vfm.h"

struct vf_link {
	unsigned vfs; /* records in an answer, each as large as a driver that reports all has it */
	unsigned requests; /* so far */
};

/* For vfm_config.ops, with a struct vf_link as ops_ctx. Writes go into the tree below the root. */
extern const struct vfm_ops vf_link_ops;

#endif
