/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devlink messages of devlink.c, built and read by hand. Pure functions of bytes. */
#ifndef VIADUCT_VFM_DEVMSG_H
#define VIADUCT_VFM_DEVMSG_H

#include <stddef.h>
#include <stdint.h>

#include "vf-manager/devlink.h"

struct nl_msg;

/* What devlink calls a device: "pci/0000:01:00.0", "netdevsim/netdevsim1". */
struct devlink_handle {
	char bus[16];
	char dev[64];
};

/* Requests. NULL when out of memory; free with nlmsg_free(). @family is devlink's number. */
struct nl_msg *devmsg_family(void);
struct nl_msg *devmsg_eswitch_get(uint16_t family, const struct devlink_handle *h);
struct nl_msg *devmsg_eswitch_set(
	uint16_t family, const struct devlink_handle *h, enum vfm_eswitch mode);
/* Dumps of all devices: kernels before 6.5 know no other. */
struct nl_msg *devmsg_ports(uint16_t family);
struct nl_msg *devmsg_rates(uint16_t family);
struct nl_msg *devmsg_port_mac(uint16_t family, const struct devlink_handle *h, uint32_t port,
	const uint8_t mac[static 6]);
struct nl_msg *devmsg_port_rate(uint16_t family, const struct devlink_handle *h, uint32_t port,
	uint64_t tx_share, uint64_t tx_max);

/*
 * Answers, which are hostile. All give 0, the kernel's negative errno with its words in @e (may be
 * NULL), or -EBADMSG and the others of nlreply_next().
 */
int devmsg_ack_decode(const void *reply, size_t len, struct err *e);
int devmsg_family_decode(const void *reply, size_t len, uint16_t *ret, struct err *e);
int devmsg_eswitch_decode(const void *reply, size_t len, const struct devlink_handle *h,
	enum vfm_eswitch *ret, struct err *e);
/*
 * The ports of device @h that are VFs' of this host; @pf_number: of those of several PFs, take this
 * one's. Others stay as they are.
 */
int devmsg_ports_decode(const void *reply, size_t len, const struct devlink_handle *h,
	unsigned pf_number, struct vfm_port *port, size_t n, struct err *e);
/* The rates of the ports that are there. */
int devmsg_rates_decode(const void *reply, size_t len, const struct devlink_handle *h,
	struct vfm_port *port, size_t n, struct err *e);

#endif
