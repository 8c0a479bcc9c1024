// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/net_frame.h"

#include <endian.h>
#include <string.h>

/* Newer than Debian 12's header: Virtio 1.3 §5.1.3. */
#define F_GUEST_USO4 54
#define F_GUEST_USO6 55
#define F_HOST_USO   56
#define GSO_UDP_L4   5

static bool has(uint64_t features, unsigned int bit)
{
	return features >> bit & 1;
}

static bool gso_allowed(uint8_t gso, uint64_t f, bool tx)
{
	bool ecn = gso & VIRTIO_NET_HDR_GSO_ECN;

	if (ecn && !has(f, tx ? VIRTIO_NET_F_HOST_ECN : VIRTIO_NET_F_GUEST_ECN))
		return false;
	switch (gso & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return has(f, tx ? VIRTIO_NET_F_HOST_TSO4 : VIRTIO_NET_F_GUEST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return has(f, tx ? VIRTIO_NET_F_HOST_TSO6 : VIRTIO_NET_F_GUEST_TSO6);
	case VIRTIO_NET_HDR_GSO_UDP:
		return !ecn && has(f, tx ? VIRTIO_NET_F_HOST_UFO : VIRTIO_NET_F_GUEST_UFO);
	case GSO_UDP_L4:
		return !ecn &&
		       (tx ? has(f, F_HOST_USO) : has(f, F_GUEST_USO4) && has(f, F_GUEST_USO6));
	default: return false;
	}
}

bool net_hdr_ok(const struct virtio_net_hdr_v1 *hdr, uint64_t features, size_t len, bool tx)
{
	size_t start = le16toh(hdr->csum_start), offset = le16toh(hdr->csum_offset);
	bool csum = hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

	if (len < NET_FRAME_MIN || len > NET_FRAME_MAX)
		return false;
	if (csum && !has(features, tx ? VIRTIO_NET_F_CSUM : VIRTIO_NET_F_GUEST_CSUM))
		return false;
	if (csum && start + offset + 2 > len)
		return false;
	if (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	/* §5.1.6.2.1: segmentation needs the checksum to be completed per segment. */
	return csum && le16toh(hdr->gso_size) && gso_allowed(hdr->gso_type, features, tx);
}

static bool listed(const uint8_t (*mac)[6], unsigned int n, const uint8_t *dst)
{
	for (unsigned int i = 0; i < n; i++) {
		if (!memcmp(mac[i], dst, 6))
			return true;
	}
	return false;
}

bool net_filter_pass(const struct net_filter *f, const uint8_t *frame, size_t len)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (f->promisc)
		return true;
	if (f->vlan_filter && len >= 16 && frame[12] == 0x81 && frame[13] == 0x00) {
		unsigned int id = (frame[14] & 0xfu) << 8 | frame[15];

		if (!(f->vlan[id / 64] >> (id % 64) & 1))
			return false;
	}
	if (!memcmp(frame, broadcast, 6))
		return !f->nobcast;
	if (frame[0] & 1) {
		if (f->nomulti)
			return false;
		return f->allmulti || f->mac_overflow_multi || listed(f->multi, f->n_multi, frame);
	}
	if (f->nouni)
		return false;
	return f->alluni || f->mac_overflow_uni || !memcmp(frame, f->mac, 6) ||
	       listed(f->uni, f->n_uni, frame);
}
