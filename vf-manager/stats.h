/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What VFs have received and sent: as their PF's driver counts it, and as their own interfaces do. */
#ifndef VIADUCT_VFM_STATS_H
#define VIADUCT_VFM_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "vf-manager/caps.h"
#include "vf-manager/lease.h"
#include "vf-manager/vfm.h"

/* As the kernel's IFLA_VF_STATS_*; received and sent by the VF. */
enum vfm_counter {
	VFM_RX_PACKETS,
	VFM_TX_PACKETS,
	VFM_RX_BYTES,
	VFM_TX_BYTES,
	VFM_BROADCAST,
	VFM_MULTICAST,
	VFM_RX_DROPPED,
	VFM_TX_DROPPED,
	VFM_COUNTERS
};

/* "rx_packets", ... Lives for ever. */
const char *vfm_counter_name(enum vfm_counter counter);

struct vfm_counters {
	bool seen;    /* somebody told of this VF at all */
	uint32_t set; /* bit N: value[N] was told */
	uint64_t value[VFM_COUNTERS];
};

struct vfm_stats {
	struct bdf bdf, pf;
	int index;
	char driver[VFM_NAME_MAX]; /* the PF's; "" = none */
	/*
	 * The PF's driver counts for its VFs. Where it has no such call the kernel reports zeros, so
	 * zeros alone are no answer: VFM_NO is said when the driver was seen to have none (then
	 * counted.set is 0), VFM_UNKNOWN when that could not be seen.
	 */
	enum vfm_tri reported;
	struct vfm_counters counted;
	char netdev[VFM_NAME_MAX]; /* its own interface on this host, "" = none */
	struct vfm_counters own;   /* what that counts; no broadcasts */
	bool leased;
	struct vfm_lease lease; /* with leased */
};

/*
 * All VFs of @pf in index order; free() it. Their number; -ENODEV no such function, -ENOTSUP not an
 * SR-IOV PF, -ENOMEM, else why its interface cannot be asked.
 */
int vfm_stats(struct vfm *v, struct bdf pf, struct vfm_stats **ret, struct err *e);

#endif
