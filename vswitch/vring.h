/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtqueue seen from the device, split or packed. A burst of chains is fetched as addresses and
 * lengths that are already checked, the caller copies to or from them, and gives the burst back, in
 * the order it came: at any moment only the burst in hand is neither the guest's nor used.
 *
 *	n = vring_fetch(r, &burst, 32);
 *	copy from or to burst.chain[0..n), set used_len of what was written to
 *	vring_publish(r, &burst, n);
 *	vring_notify(r);
 *
 * The guest may write to its rings and buffers at any time, also while they are read. Each descriptor
 * and each header is copied once, then checked, then used. What is malformed is counted; a chain that
 * makes no sense is given back empty, and a ring that makes none stops until it is set up again.
 *
 * A ring belongs to the thread that moves its frames. Others start and stop it, and change fds, while
 * that thread is paused.
 */
#ifndef VIADUCT_VSWITCH_VRING_H
#define VIADUCT_VSWITCH_VRING_H

#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "vswitch/vmem.h"

#define VRING_SIZE_MAX  32768 /* Virtio 1.2 §2.7, §2.8.10.1 */
#define VRING_BURST     64
#define VRING_SEGS      1024  /* of all the chains of one burst, so of one chain too */
#define VRING_FRAME_MAX 65550 /* 64 KiB behind an Ethernet header, without the virtio header */

/* What of the ring itself the device may offer; bits of the 64-bit feature word. */
#define VRING_FEATURES                                                           \
	(1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_RING_F_EVENT_IDX | \
		1ull << 27 /* ANY_LAYOUT */ | 1ull << 32 /* VERSION_1 */ |       \
		1ull << 34 /* RING_PACKED */ | 1ull << 35 /* IN_ORDER */)

/* Why a chain was given back without being used; counters.h has names for them. */
enum vring_error {
	VRING_ERROR_ADDRESS, /* a descriptor points outside the guest's memory */
	VRING_ERROR_INDIRECT, /* a table that is empty, cut, nested, too long, or was not negotiated */
	VRING_ERROR_LOOP,     /* a chain that leaves its table, has no end, or too many parts */
	VRING_ERROR_DIRECTION, /* a buffer to be read where one to be written belongs, or the reverse */
	VRING_ERROR_SHORT,     /* no room for the virtio-net header, or no frame behind it */
	VRING_ERROR_LONG,      /* more than a frame can be */
	VRING_ERROR_INDEX,     /* an index that cannot be; the ring stops */
	VRING_ERROR_COUNT,
	VRING_OK = VRING_ERROR_COUNT
};

struct vring_setup {
	const struct vmem *mem; /* stays where it is while the ring runs */
	uint64_t features;      /* as negotiated */
	bool to_guest;          /* the guest receives on it: its buffers are written to */
	uint16_t size;
	/*
	 * hva; the caller has checked, see vring_extent(), that they lie in memory as a whole.
	 * Packed: the descriptors, the driver's and the device's event suppression structures.
	 */
	void *desc, *avail, *used;
	/*
	 * From SET_VRING_BASE. Split rings go on at used->idx, which is the same unless a back end has
	 * died. Packed: bits [0, 15) index, bit 15 wrap counter; the upper half is not looked at.
	 */
	uint32_t base;
	/* This queue's part of the area of the vhost-user specification, "Inflight I/O tracking", of
	 * vring_inflight_size(), or NULL. 8-byte aligned. It outlives the ring. */
	void *inflight;
	size_t inflight_size;
	int kick_fd, call_fd; /* -1 = none, poll; both stay the caller's */
};

/* Bytes that a ring of @size takes; 4-byte event structures for a packed one's @ret_avail, @ret_used. */
void vring_extent(uint64_t features, uint16_t size, uint64_t *ret_desc, uint64_t *ret_avail,
	uint64_t *ret_used);

/* Bytes of the inflight area that one queue takes, a multiple of 64. */
size_t vring_inflight_size(bool packed, uint16_t size);

/* A contiguous piece of a guest's buffer. */
struct vring_seg {
	uint8_t *hva;
	uint32_t len; /* not 0 */
};

/* What is mostly the same lies together: it is written by one store. */
struct vring_chain {
	uint16_t id;
	uint16_t
		seg; /* of vring_burst.seg, the first of @nr_segs for bytes [0, len) of the chain */
	uint32_t len;
	uint16_t slots; /* packed: entries of the ring it takes */
	uint16_t nr_segs;
	uint32_t used_len; /* 0 from vring_fetch(); how many bytes were written */
	uint8_t error;     /* enum vring_error; VRING_OK, or else there are no segments */
	bool more;         /* false from vring_fetch(); the frame goes on in the next chain */
};

struct vring_burst {
	unsigned int n, nr_segs, nr_bad;
	enum vring_error broke; /* the ring has just stopped, see vring_broken(); or VRING_OK */
	struct vring_chain chain[VRING_BURST];
	struct vring_seg seg[VRING_SEGS];
};

struct vring_inflight_split;
struct vring_inflight_packed;

struct vring_dev {
	bool running, packed, event_idx, indirect, to_guest;
	bool wrap;      /* packed: of @next */
	bool multi;     /* packed: the inflight area knows a chain of more than one entry */
	uint8_t header; /* bytes of the virtio-net header: 10 or 12 */
	uint16_t size;
	uint16_t next;  /* the first entry not consumed. split: free running; packed: position */
	uint16_t ahead; /* split: avail->idx when last read */
	uint16_t told;  /* @next when the guest was last considered for a notification */
	bool told_any;  /* since the ring began */
	bool unsaid;    /* something was published since @told */
	uint64_t features;
	const struct vmem *mem;
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *pdesc;
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device;
	};
	union {
		struct vring_inflight_split *inflight_split;
		struct vring_inflight_packed *inflight_packed;
	};
	int kick_fd, call_fd;
	uint64_t errors[VRING_ERROR_COUNT];
	uint64_t notifications;
	char broken[96]; /* why it stopped; empty unless it did */
};

/*
 * Begin on a ring, where its state says that a back end before us has left off.
 * Returns 0, or -EINVAL with the reason: a size, alignment, base or inflight area that cannot be.
 */
int vring_start(struct vring_dev *r, const struct vring_setup *s, struct err *e);

/* Let go of it. Returns what GET_VRING_BASE answers. Nothing is in flight. */
uint32_t vring_stop(struct vring_dev *r);

static inline bool vring_running(const struct vring_dev *r)
{
	return r->running;
}

/* Why the ring is stuck until it is set up again, or NULL. */
static inline const char *vring_broken(const struct vring_dev *r)
{
	return r->broken[0] ? r->broken : NULL;
}

/* SET_VRING_CALL and SET_VRING_KICK while it runs; the guest is notified once, as it may have waited. */
void vring_call_fd_set(struct vring_dev *r, int fd);
void vring_kick_fd_set(struct vring_dev *r, int fd);

/* Ask for a line that the other CPU has changed and we are about to. */
static inline void vring_prefetch_write(const void *p)
{
#ifdef __x86_64__
	/* The compiler's own asks only to read unless told that the CPU has this one; all have. */
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

/*
 * The next chains, at most @max and VRING_BURST, in @b; returns how many. None are taken from the
 * guest before vring_publish(): fetched again they come again.
 */
unsigned int vring_fetch(struct vring_dev *r, struct vring_burst *b, unsigned int max);

/*
 * Give the first @n chains of @b back, with their used_len. The chains of one frame, all but the last
 * with @more, become visible to the guest together (Virtio 1.2 §5.1.6.4.1).
 */
void vring_publish(struct vring_dev *r, const struct vring_burst *b, unsigned int n);

/* Tell the guest of what was published, if it wants to be told. Does not block. */
void vring_notify(struct vring_dev *r);

/*
 * Ask for a kick when something becomes available, then look again: true = there is something now.
 * Otherwise kick_fd becomes readable, if there is one.
 */
bool vring_arm(struct vring_dev *r);

/* No more kicks, please. Takes what has come; does not block. */
void vring_disarm(struct vring_dev *r);

#endif
