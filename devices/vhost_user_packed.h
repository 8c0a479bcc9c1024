/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a packed ring goes on after the back end that served it died. A split ring says so in its
 * used index; here it has to be read from the descriptors' flags (Virtio 1.2 §2.8.1). Private to
 * vhost_user*.c.
 *
 * The driver goes round the ring and flips the AVAIL bit of each entry it makes available, so its
 * place is where that bit changes. The device turns entries into used ones in the same order; the
 * first entry that is available and not used is where the device was. Two things blur that:
 *
 *   a hole    a device may mark a batch as used and its first entry last, so that the driver sees
 *             all or nothing. One that died in between has dealt with all of them.
 *   tails     only the first entry of a used chain is marked. With indirect tables each chain is one
 *             entry (Linux then makes no other); without them a tail cannot always be told from a
 *             chain of its own.
 *
 * With VIRTIO_F_IN_ORDER only the last of a batch is marked at all, and a full ring does not tell.
 *
 * A back end is taken to use buffers in the order in which they came, as those without an inflight
 * region do; one that does not must have that region.
 */
#ifndef VIADUCT_DEVICES_VHOST_USER_PACKED_H
#define VIADUCT_DEVICES_VHOST_USER_PACKED_H

#include <stdbool.h>
#include <stdint.h>

/*
 * @ring: @size descriptors of guest memory, which the guest may change meanwhile; nobody else may.
 * @features: as negotiated. @publish: let the driver see a batch that a hole kept from it; of a
 * receive ring that first buffer comes back with nothing in it. *ret_pos: as net_ring.last_avail.
 * -EUCLEAN: the ring does not tell; -ENOMEM.
 */
int vu_packed_resume(
	void *ring, unsigned int size, uint64_t features, bool publish, uint16_t *ret_pos);

#endif
