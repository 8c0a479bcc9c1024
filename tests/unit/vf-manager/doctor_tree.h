/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine with which the doctor finds nothing wrong, as a directory, and changes to it. One PF (igb)
 * with two VFs, one bound to vfio-pci, behind a root port with ACS and ARI.
 */
#ifndef VIADUCT_TEST_DOCTOR_TREE_H
#define VIADUCT_TEST_DOCTOR_TREE_H

#include "tests/unit/vf-manager/topologies/topology.h"
#include "vf-manager/doctor.h"

#define PF    "sys/bus/pci/devices/0000:01:00.0/"
#define VF0   "sys/bus/pci/devices/0000:01:10.0/"
#define PORT  "sys/bus/pci/devices/0000:00:1c.0/"
#define MODS  6
#define FOUND 128

/* A file with this text; "->TARGET" makes a link; NULL removes what is there. */
struct mod {
	const char *path, *text;
};

struct doctor_tree {
	struct topology t;
	struct doctor_finding found[FOUND];
	size_t n;
};

void doctor_tree_init(struct doctor_tree *d);
void doctor_tree_finish(struct doctor_tree *d);
/* What it removes may be a folder. */
void doctor_tree_mod(struct doctor_tree *d, const struct mod *mod);
void doctor_tree_put(struct doctor_tree *d, const char *path, const void *data, size_t len);
/* Run the doctor; @c may be NULL. What doctor_run() returned. */
int doctor_tree_run(struct doctor_tree *d, const struct doctor_config *c, struct err *e);
/* Notes a finding; @arg is a struct doctor_tree. */
void doctor_tree_found(void *arg, const struct doctor_finding *f);
/* The worst finding of check @id about @device (NULL: about the host), or NULL. */
const struct doctor_finding *doctor_tree_worst(
	const struct doctor_tree *d, const char *id, const char *device);

#endif
