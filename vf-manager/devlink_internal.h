/* SPDX-License-Identifier: GPL-2.0-or-later */
/* devlink by handle, for configure.c and for devices that are no PCI functions (netdevsim). */
#ifndef VIADUCT_VFM_DEVLINK_INTERNAL_H
#define VIADUCT_VFM_DEVLINK_INTERNAL_H

#include "vf-manager/devmsg.h"

void devlink_handle_of(struct bdf b, struct devlink_handle *ret);

/* Errnos as those of devlink.h; a device that devlink does not have is -EOPNOTSUPP. */
int devlink_eswitch_get(
	struct vfm *v, const struct devlink_handle *h, enum vfm_eswitch *ret, struct err *e);
/* -ETIMEDOUT: process *ret_stuck still waits for the kernel, with our locks. */
int devlink_eswitch_set(struct vfm *v, const struct devlink_handle *h, enum vfm_eswitch mode,
	pid_t *ret_stuck, struct err *e);
int devlink_ports_get(struct vfm *v, const struct devlink_handle *h, unsigned pf_number,
	struct vfm_port *ret, size_t n, struct err *e);
int devlink_port_set_mac(struct vfm *v, const struct devlink_handle *h, uint32_t port,
	const uint8_t mac[static 6], struct err *e);
/* Bytes/s, 0 = none. */
int devlink_port_set_rate(struct vfm *v, const struct devlink_handle *h, uint32_t port,
	uint64_t tx_share, uint64_t tx_max, struct err *e);

#endif
