/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames on their way from the switch to who captures them: a ring in memory both share, sealed so that
 * nobody can take it away. The switch writes and never waits: what the reader leaves no room for is
 * counted and left out. The reader may write what it likes into the memory; it spoils its own capture.
 *
 * A reader that finds nothing sets @waiting, looks again, and waits for the eventfd; the writer looks at
 * @waiting behind what it published. Both put a full barrier in between.
 */
#ifndef VIADUCT_VSWITCH_CAPTURE_H
#define VIADUCT_VSWITCH_CAPTURE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define CAPTURE_BYTES   (4u << 20) /* of the ring, a power of two */
#define CAPTURE_SNAPLEN 65535
#define CAPTURE_PAD     UINT32_MAX /* len of a record that only fills up the ring */

struct capture_shared {
	_Atomic uint64_t head;    /* bytes written; the switch's */
	_Atomic uint64_t dropped; /* frames left out; the switch's */
	_Atomic uint64_t tail;    /* bytes read; the reader's */
	_Atomic uint32_t waiting; /* wake me */
	_Atomic uint32_t ended;   /* the port is gone; the switch's */
	uint8_t pad[4096 - 32];
	uint8_t data[CAPTURE_BYTES];
};

/* Each begins at a multiple of 8. */
struct capture_record {
	uint32_t size; /* of the record, with this, a multiple of 8 */
	uint32_t len;  /* of the frame */
	uint32_t caplen;
	uint32_t direction; /* as pcapng has it: 1 = came in at the port, 2 = left by it */
	uint64_t time_ns;   /* since 1970 */
	uint64_t dropped;   /* frames left out so far */
};

/* The switch's end. */
struct capture {
	pthread_spinlock_t lock; /* several threads write */
	struct capture_shared *shared;
	uint64_t head, dropped; /* what we wrote there; never read back */
	uint32_t snaplen;
	uint16_t port;
	uint8_t directions; /* MIRROR_* */
	int memory_fd, event_fd;
};

/* The reader's end. */
struct capture_reader {
	struct capture_shared *shared;
	int event_fd;
	uint64_t tail;
	uint32_t size; /* of the record that is being read */
};

/* @snaplen bytes of each frame. Returns 0 or a negative errno. */
int capture_create(
	uint16_t port, uint8_t directions, uint32_t snaplen, struct err *e, struct capture **ret);
void capture_destroy(struct capture *c);

/*
 * Room for a frame of @len bytes. Returns where its first *@ret_caplen bytes go, to be followed by
 * capture_commit(), or NULL: it is left out and counted. With the lock held.
 */
uint8_t *capture_begin(struct capture *c, uint32_t direction, uint64_t time_ns, uint32_t len,
	uint32_t *ret_caplen);
void capture_commit(struct capture *c);
/* Wake the reader if it sleeps. Behind the last capture_commit() of a burst. */
void capture_wake(struct capture *c);

/* Nothing more will come: the port is gone. */
void capture_end(struct capture *c);

/* Take the two descriptors the switch gave. Returns 0 or a negative errno; then they are the caller's. */
int capture_reader_init(struct capture_reader *r, int memory_fd, int event_fd, struct err *e);
void capture_reader_finish(struct capture_reader *r);
/* The next record, its bytes in *@ret_bytes until the next call. Returns false when there is none. */
bool capture_reader_next(
	struct capture_reader *r, struct capture_record *ret, const uint8_t **ret_bytes);
/* Ask to be woken. Returns false when there is something to read already. */
bool capture_reader_arm(struct capture_reader *r);

#endif
