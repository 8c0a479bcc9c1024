/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a virtio-net back end decides about one frame; pure functions. Virtio 1.2 §5.1.6. */
#ifndef VIADUCT_DEVICES_NET_FRAME_H
#define VIADUCT_DEVICES_NET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "devices/net_backend.h"

#define NET_HDR_LEN   12u /* struct virtio_net_hdr_v1: always with num_buffers since 1.0 */
#define NET_FRAME_MIN 14u
#define NET_FRAME_MAX 65553u /* 64 KiB - 1 of IP behind an Ethernet header and a VLAN tag */

/*
 * May a frame of @len bytes (header not counted) come with @hdr? From the guest (@tx): only what it
 * negotiated, and offsets inside the frame (§5.1.6.2). Towards it: only what it said it takes.
 */
bool net_hdr_ok(const struct virtio_net_hdr_v1 *hdr, uint64_t features, size_t len, bool tx);

/* Does the guest want the frame? @len at least NET_FRAME_MIN. §5.1.6.5.1 to .3 */
bool net_filter_pass(const struct net_filter *f, const uint8_t *frame, size_t len);

#endif
