// SPDX-License-Identifier: GPL-2.0-or-later
#include "vswitch/vhost_offer.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "common/cleanup.h"
#include "vswitch/offload.h"

#define BIT(n) (1ull << (n))

/* Virtio 1.2 §5.1.3, §6: what asks nothing of other ports. Some are the front end's own business and
 * are offered so that it need not ask. */
#define ALWAYS                                                                                     \
	(VRING_FEATURES | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_MTU) |                    \
		BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | \
		BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT(VHOST_F_PROTOCOL_FEATURES))

/* What the guest may leave to us, and what we may leave to it, by kind. */
static const struct {
	uint32_t offload;
	unsigned int from_guest, to_guest; /* feature bits */
} kinds[] = {
	{OFFLOAD_CSUM, VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM},
	{OFFLOAD_TSO4, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4},
	{OFFLOAD_TSO6, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6},
	{OFFLOAD_ECN, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_GUEST_ECN},
};

void vhost_offer_init(struct vhost_offer *o, const struct port_config *cfg)
{
	*o = (struct vhost_offer){
		.features = ALWAYS,
		.protocol = VHOST_PROTOCOL_FEATURES,
		.pairs = cfg->queues,
		.mtu = cfg->forward.mtu,
	};
	if (!cfg->packed)
		o->features &= ~BIT(VIRTIO_F_RING_PACKED);
	if (cfg->queues > 1)
		o->features |= BIT(VIRTIO_NET_F_MQ);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (cfg->offloads & kinds[i].offload)
			o->features |= BIT(kinds[i].from_guest) | BIT(kinds[i].to_guest);
}

uint32_t vhost_offer_takes(uint64_t features)
{
	uint32_t offloads = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (features & BIT(kinds[i].to_guest))
			offloads |= kinds[i].offload;
	return offloads;
}
