/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Would a guest that is given a function be kept from everything else? A list of findings with
 * stable ids, about the host and about the function; the worst of them is the verdict.
 *
 * What is believed comes from where the kernel shows what it does (IOMMU groups, the chips that
 * deliver interrupts, config space), then from what the hardware could do, last from the kernel log
 * and command line; each finding says which. What cannot be seen is SKIP, never PASS.
 */
#ifndef VIADUCT_VFM_ISOLATE_H
#define VIADUCT_VFM_ISOLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "vf-manager/vfm.h"

/* From best to worst. */
enum vfm_status { VFM_PASS, VFM_SKIP, VFM_WARN, VFM_FAIL };

struct vfm_finding {
	const char *id; /* lives for ever */
	enum vfm_status status;
	bool proof;       /* isolation rests on it: SKIP leaves it unproven and counts as WARN */
	bool contained;   /* a WARN of what its IOMMU group holds, and a group goes to one guest */
	char text[512];   /* one sentence, names the functions and files meant */
	char source[128]; /* the files it was read from, "" = none */
	char remedy[256]; /* what to do, "" = nothing to be done */
};

#define VFM_FINDINGS_MAX 32

struct vfm_findings {
	size_t n;
	struct vfm_finding finding[VFM_FINDINGS_MAX];
};

/* "PASS", "SKIP", "WARN" or "FAIL". */
const char *vfm_status_name(enum vfm_status status);

/* The verdict: PASS (also when all else was SKIP that proves nothing), WARN or FAIL. */
enum vfm_status vfm_findings_verdict(const struct vfm_findings *f);

/*
 * Append a finding; @source and @remedy may be NULL, and the remedy of a PASS is left out. Returns it,
 * or NULL when there is no room.
 */
struct vfm_finding *vfm_finding_add(struct vfm_findings *to, const char *id, enum vfm_status status,
	const char *source, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

/*
 * Append what holds for every function of this host, in this order:
 *   iommu                the kernel uses one
 *   iommu-options        words of its command line that change what the IOMMU does
 *   no-iommu             VFIO's no-IOMMU mode (enable_unsafe_noiommu_mode)
 *   interrupt-remapping  a guest's device cannot raise interrupts of others
 *   unsafe-interrupts    VFIO or iommufd would do without that
 *   acs-override         pcie_acs_override, which makes IOMMU groups no proof
 * Needs no root. 0 or -ENOMEM.
 */
int vfm_isolate_host(struct vfm *v, struct vfm_findings *to, struct err *e);

/*
 * Append what holds for @b; what does not apply to it is left out:
 *   group-viable         no other function of its IOMMU group is with a driver of the host
 *   group-shared         functions that can only be given away together with it
 *   pf-vf-group          it shares a group with its PF, or with a VF of its own
 *   acs-path             every port from it up to the root keeps requests from turning aside
 *   reserved-regions     memory that firmware wants mapped for it (RMRR)
 *   vf-token             its PF is with VFIO, so that a token guards it
 *   peer-to-peer         what VFs of one PF can do to each other inside it
 *   dma-fault            its faults in the kernel log
 * acs-path and dma-fault need root. 0, -ENODEV, -ENOTSUP a bridge, -ENOMEM.
 */
int vfm_isolate_function(struct vfm *v, struct bdf b, struct vfm_findings *to, struct err *e);

/*
 * The same without what is no reason to keep it from a guest or is told elsewhere: from group-viable
 * to vf-token. Does not read the kernel log.
 */
int vfm_isolate_assign(struct vfm *v, struct bdf b, struct vfm_findings *to, struct err *e);

#endif
