/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rtnetlink messages that set and report VF attributes, built and read by hand: libnl-route 3.7
 * writes some of them wrongly and cannot read others. Pure functions of bytes.
 */
#ifndef VIADUCT_VFM_VFATTR_H
#define VIADUCT_VFM_VFATTR_H

#include <stddef.h>
#include <stdint.h>

#include "vf-manager/internal.h"
#include "vf-manager/stats.h"

struct nl_msg;

/* RTM_SETLINK with the interface's flags. NULL when out of memory; free with nlmsg_free(). */
struct nl_msg *link_up_encode(int ifindex, bool up);
/*
 * RTM_SETLINK with the one attribute that holds @bits of @s: a VLAN's three and a rate's two go
 * together. A message of several would be carried out in part when one of them is refused.
 */
struct nl_msg *vf_set_encode(int ifindex, unsigned vf, const struct vfm_settings *s, uint32_t bits);
/* RTM_GETLINK for the VF records of one interface, without their statistics. */
struct nl_msg *vf_query_encode(int ifindex);

/* The same with their statistics. */
struct nl_msg *vf_stats_encode(int ifindex);

/*
 * Read the answer to a request: @reply is hostile. An error message gives its negative errno, and
 * the kernel's own words in @e when it sent some; an acknowledgement 0. An RTM_NEWLINK of @ifindex
 * fills those of vf[0..n) that it reports, in each what its driver does, and gives 0. -EBADMSG
 * otherwise. The list of more than about 222 VFs is longer than the 16 bits of its length can say;
 * its records are read to the end of the message as long as they are in order.
 */
int vf_reply_decode(const void *reply, size_t len, int ifindex, struct vfm_settings *vf, size_t n,
	struct err *e);
/* The same for statistics: vf[i].seen tells whether there was a record of VF i. */
int vf_stats_decode(const void *reply, size_t len, int ifindex, struct vfm_counters *vf, size_t n,
	struct err *e);

#endif
