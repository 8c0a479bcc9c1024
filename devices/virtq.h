/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtqueue seen from the device: takes the guest's buffers, gives them back used. Split and
 * packed rings behind one set of calls. Virtio 1.2 §2.7, §2.8.
 *
 * The ring is the guest's and changes while it is looked at. Every field is read once into a local,
 * checked, then used; a chain is at most VIRTQ_IOV buffers; every buffer lies inside guest memory.
 * A ring that no driver may write breaks the queue: virtq_pop() says -EPROTO from then on and
 * virtq.broken says why. Nothing else is harmed.
 *
 * One thread at a time; it knows no lock.
 */
#ifndef VIADUCT_DEVICES_VIRTQ_H
#define VIADUCT_DEVICES_VIRTQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/gmem.h"

#define VIRTQ_MAX_SIZE 1024u
/*
 * Buffers of one chain. Virtio 1.2 §2.7.5.3.1 bounds a chain by the queue size; Linux exceeds that
 * in indirect tables of small rings, so those are bounded by what writev() takes.
 */
#define VIRTQ_IOV 1024u

struct virtq_setup {
	uint16_t size;
	uint64_t desc, driver, device; /* gpa; split: descriptors, avail, used */
	uint64_t features;             /* negotiated */
	uint16_t last_avail;           /* as net_ring.last_avail */
};

/* A place in the ring. */
struct virtq_pos {
	uint16_t idx; /* split: free running; packed: entry */
	bool wrap;    /* packed: wrap counter */
};

struct virtq {
	const struct gmem *mem;
	uint16_t size;
	bool packed, indirect, event_idx;
	void *desc, *driver, *device; /* hva */
	struct virtq_pos next;        /* where the next chain is taken */
	struct virtq_pos seen;        /* how far chains were seen, past a rewind */
	struct virtq_pos used;        /* where the next used element goes */
	uint16_t staged;              /* split: elements pushed and not yet published */
	struct virtq_pos first;       /* packed: the first of those */
	uint16_t first_flags;
	bool first_staged;
	uint16_t signalled; /* used index when the guest was last interrupted */
	bool signalled_valid;
	const char *broken; /* static text; NULL while it works */
};

/* A chain of buffers; readable ones (driver to device) come first. */
struct virtq_chain {
	uint16_t id;    /* head (split) or buffer id (packed) */
	uint16_t slots; /* ring entries it takes (packed) */
	unsigned int n_out, n_in;
	uint32_t out_len, in_len; /* bytes */
	struct iovec *out, *in;   /* into iov */
	struct iovec iov[VIRTQ_IOV];
};

/*
 * Look at a ring the guest described. -EINVAL: a size no ring can have (Virtio 1.2 §2.7, §2.8.10.1)
 * or misaligned addresses (§2.7 table); -EFAULT: it does not lie in guest memory.
 */
int virtq_init(struct virtq *q, const struct gmem *mem, const struct virtq_setup *s, struct err *e);
/* Where a device that goes on with this ring starts: as net_ring.last_avail. */
uint16_t virtq_last_avail(const struct virtq *q);

/* Take the next chain: 1 with *ret filled, 0 when there is none, -EPROTO: the ring is broken. */
int virtq_pop(struct virtq *q, struct virtq_chain *ret);
/* Give back what was taken since @mark = q->next: the chains were not touched. */
void virtq_rewind(struct virtq *q, struct virtq_pos mark);
/* @len bytes were written to @c's writable buffers. The guest sees it at the next flush. */
void virtq_push(struct virtq *q, const struct virtq_chain *c, uint32_t len);
/* As above when of the chain only id and slots were kept. */
void virtq_push_id(struct virtq *q, uint16_t id, uint16_t slots, uint32_t len);
/* Publish all pushed chains at once. True: the guest wants an interrupt for them. */
bool virtq_flush(struct virtq *q);

/* Ask the guest not to ring the doorbell; it may do so all the same. */
void virtq_quiet(struct virtq *q);
/*
 * Ask for a doorbell at the next chain that is new, and look again: true when one came meanwhile,
 * so whoever is about to sleep must not.
 */
bool virtq_listen(struct virtq *q);

/* Copy between a buffer and an iovec, from @off bytes into it. Returns the bytes copied. */
size_t iov_take(const struct iovec *iov, unsigned int n, size_t off, void *buf, size_t len);
size_t iov_put(const struct iovec *iov, unsigned int n, size_t off, const void *buf, size_t len);

#endif
