/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * devlink, the generic netlink family by which a network card's driver shows the switch inside the
 * card: its mode, and in switchdev mode a port for each VF, with the VF's address and rates. The
 * messages are built and read by hand over libnl; devlink answers with words (extended ack), which
 * are passed on.
 *
 * What a driver has no call for is -EOPNOTSUPP, and never taken for a default.
 */
#ifndef VIADUCT_VFM_DEVLINK_H
#define VIADUCT_VFM_DEVLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vf-manager/vfm.h"

/* As DEVLINK_ESWITCH_MODE_*. */
enum vfm_eswitch {
	VFM_ESWITCH_LEGACY,    /* the PF's driver configures VFs: rtnetlink */
	VFM_ESWITCH_SWITCHDEV, /* each VF has a port and a representor on the host */
};

/* "legacy", "switchdev". Lives for ever. */
const char *vfm_eswitch_name(enum vfm_eswitch mode);
/* -EINVAL with what would be right. */
int vfm_eswitch_parse(const char *text, enum vfm_eswitch *ret, struct err *e);

/*
 * The mode of @pf's switch. -ENODEV no such function, -EOPNOTSUPP this kernel, or the driver, has no
 * such switch; else the kernel's errno. Takes no lock.
 */
int vfm_eswitch_get(struct vfm *v, struct bdf pf, enum vfm_eswitch *ret, struct err *e);

/*
 * Give @pf's switch this mode; no-op when it has it. Read back: -EIO when the kernel reports another
 * one afterwards, which is then put back, or the text says what is left. The ports of all VFs and
 * what they were given are new after a change, and traffic of VFs stops meanwhile: -EBUSY while one
 * is open in VFIO (named). Else as vfm_eswitch_get(), and -EBUSY another viaduct vf is at work.
 * *ret_changed (may be NULL): whether it had to be changed.
 */
int vfm_eswitch_set(
	struct vfm *v, struct bdf pf, enum vfm_eswitch mode, bool *ret_changed, struct err *e);

/* The port of one VF on its PF's switch. */
struct vfm_port {
	bool there;     /* the rest means nothing without */
	uint32_t index; /* devlink's number of it */
	bool has_mac;
	uint8_t mac[6]; /* port function hw_addr; all zero: its driver chooses */
	bool has_rate;
	uint64_t tx_share, tx_max; /* bytes/s, 0 = none */
};

/*
 * The ports of VFs 0..n) of @pf. In legacy mode most drivers show none. -EOPNOTSUPP as above.
 * Takes no lock.
 */
int vfm_ports_get(struct vfm *v, struct bdf pf, struct vfm_port *ret, size_t n, struct err *e);

#endif
