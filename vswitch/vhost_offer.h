/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a vhost-user port offers to its guest. It follows from the port's configuration alone and stays
 * as it is for the port's life: a guest that was given a feature cannot be made to do without.
 * Private to vswitch.
 */
#ifndef VIADUCT_VSWITCH_VHOST_OFFER_H
#define VIADUCT_VSWITCH_VHOST_OFFER_H

#include "vswitch/config.h"
#include "vswitch/vhost_session.h"

void vhost_offer_init(struct vhost_offer *o, const struct port_config *cfg);

/* OFFLOAD_* that frames to a guest may ask for, which has agreed to @features. */
uint32_t vhost_offer_takes(uint64_t features);

#endif
