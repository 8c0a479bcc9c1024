/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access Control Services on the way from a function to its root: PCIe 5.0 §6.12. A request that
 * one function sends to another's address must go up to the IOMMU, not turn aside at a port; that
 * takes Source Validation, Request Redirect, Completion Redirect and Upstream Forwarding wherever a
 * port or a multifunction device could turn it.
 */
#ifndef VIADUCT_VFM_ACS_H
#define VIADUCT_VFM_ACS_H

#include <stdbool.h>
#include <stddef.h>

#include "vf-manager/caps.h"
#include "vf-manager/vfm.h"

/* From best to worst. */
enum acs_state {
	ACS_KEEPS,   /* nothing can turn aside here */
	ACS_DOUBT,   /* as far as Linux goes, but a register is missing that the spec wants */
	ACS_UNKNOWN, /* cannot be seen */
	ACS_OPEN     /* it can */
};

struct acs_step {
	struct bdf bdf;
	enum vfm_port_type port;
	enum acs_state state;
	bool has_cap;  /* it has the capability */
	uint16_t off;  /* PCI_ACS_* bits that are wanted and not on */
	char why[160]; /* about it: "does not have RR CR on" */
};

#define ACS_STEPS_MAX 32

struct acs_path {
	bool known; /* false: where it hangs cannot be told, no steps */
	size_t n;   /* from the root to the function itself, which is the last */
	struct acs_step step[ACS_STEPS_MAX];
};

/*
 * What a step on the path does, from its capabilities: the rule of Linux, pci_acs_enabled(), in
 * which what a port does not offer counts as built in. @through: the path leads through it, so it is
 * a port or bridge; else it is the function, and @siblings says whether its device has others.
 * Fills all but bdf.
 */
void acs_rule(const struct vfm_caps *c, uint16_t vendor, bool through, bool siblings,
	struct acs_step *ret);

/* -ENODEV, -ENOMEM. */
int acs_path_read(struct vfm *v, struct bdf b, struct acs_path *ret, struct err *e);

/* "root port", "conventional bridge", ... */
const char *acs_port_name(enum vfm_port_type port);

#endif
