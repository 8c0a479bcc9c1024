/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by virtq.c (split, and what both kinds do) and virtq_packed.c. */
#ifndef VIADUCT_DEVICES_VIRTQ_INTERNAL_H
#define VIADUCT_DEVICES_VIRTQ_INTERNAL_H

#include <errno.h>

#include "devices/virtq.h"

static inline int virtq_break(struct virtq *q, const char *why)
{
	if (!q->broken)
		q->broken = why;
	return -EPROTO;
}

/* Fields of guest memory that the other side changes: one load, one store. */
static inline uint16_t ring_load(const void *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE));
}

static inline void ring_store(void *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)p, htole16(v), __ATOMIC_RELEASE);
}

/* Add a buffer to the chain; out of order or outside memory breaks the queue. */
int virtq_chain_add(
	struct virtq *q, struct virtq_chain *c, uint64_t gpa, uint32_t len, bool writable);

static inline bool virtq_pos_equal(struct virtq_pos a, struct virtq_pos b)
{
	return a.idx == b.idx && a.wrap == b.wrap;
}

int packed_pop(struct virtq *q, struct virtq_chain *c);
void packed_push(struct virtq *q, uint16_t id, uint16_t slots, uint32_t len);
bool packed_flush(struct virtq *q);
void packed_quiet(struct virtq *q);
bool packed_listen(struct virtq *q);

#endif
