/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A frame in buffers and what its guest left undone. Its struct offload lies in the first buffer's
 * private area and means something only when MBUF_OFFLOAD is set in ol_flags; whoever fills a buffer
 * from a port that has no such header leaves ol_flags without it. Private to the port files and the
 * datapath.
 */
#ifndef VIADUCT_VSWITCH_OFFLOAD_MBUF_H
#define VIADUCT_VSWITCH_OFFLOAD_MBUF_H

#include "vswitch/offload.h"

/* Behind ours: it defines container_of() unless somebody has. */
#include <rte_mbuf.h>

/* Room for struct offload; the pool's private size, a multiple of RTE_MBUF_PRIV_ALIGN. */
#define MBUF_PRIVATE 16

/* Of DPDK's transmit flags, which no driver looks at before we hand the frame to it. */
#define MBUF_OFFLOAD RTE_MBUF_F_TX_TCP_SEG

static inline struct offload *mbuf_offload(struct rte_mbuf *m)
{
	return (struct offload *)rte_mbuf_to_priv(m);
}

/* OFFLOAD_* that the frame needs of the port it leaves by. */
static inline uint32_t mbuf_needs(struct rte_mbuf *m)
{
	return m->ol_flags & MBUF_OFFLOAD ? mbuf_offload(m)->needs : 0;
}

/* All of it in buffers of its own from @pool, with what the guest left undone; NULL: no memory. */
struct rte_mbuf *mbuf_copy(struct rte_mbuf *m, struct rte_mempool *pool);

/* Put the checksum in; what is in @m needs no segmentation and is ours alone. It is then whole. */
void mbuf_complete(struct rte_mbuf *m);

/*
 * The @i'th of the frames that @m, which needs segmentation, is cut into, whole and in buffers of its
 * own from @pool. NULL: no memory, or there are no more (@i is offload_segments()). @m stays as it is.
 */
struct rte_mbuf *mbuf_segment(struct rte_mbuf *m, uint32_t i, struct rte_mempool *pool);

#endif
