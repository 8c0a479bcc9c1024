/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost-user messages as a back end meets them: their layout on the wire, what each may carry, and
 * moving them over a Unix stream socket with descriptors as SCM_RIGHTS.
 * "Vhost-user Protocol", QEMU docs/interop/vhost-user.rst; the section names below are its own.
 *
 * Who is at the other end is not trusted: lengths are checked before anything is read for them, and a
 * descriptor that came along is closed unless somebody takes it. No call waits. One thread per
 * connection. Private to vswitch.
 */
#ifndef VIADUCT_VSWITCH_VHOST_MSG_H
#define VIADUCT_VSWITCH_VHOST_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* "Header": request, flags, size; numbers in the machine's own byte order. */
#define VHOST_VERSION         1u
#define VHOST_FLAG_VERSION    3u /* mask */
#define VHOST_FLAG_REPLY      (1u << 2)
#define VHOST_FLAG_NEED_REPLY (1u << 3)
#define VHOST_HEADER_SIZE     12u
#define VHOST_REGIONS_MAX     8u
#define VHOST_FDS_MAX         8u
#define VHOST_RING_MASK       0xffu /* in the u64 of SET_VRING_KICK, _CALL and _ERR */
#define VHOST_RING_NOFD       (1u << 8)

/* "Front-end message types" that this back end acts upon. */
enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4,
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_SEND_RARP = 19,
	VHOST_NET_SET_MTU = 20,
	VHOST_GET_INFLIGHT_FD = 31,
	VHOST_SET_INFLIGHT_FD = 32,
	VHOST_RESET_DEVICE = 34,
	VHOST_GET_MAX_MEM_SLOTS = 36,
	VHOST_ADD_MEM_REG = 37,
	VHOST_REM_MEM_REG = 38,
	VHOST_SET_STATUS = 39,
	VHOST_GET_STATUS = 40,
};

/* "Protocol features", bit numbers */
enum vhost_protocol {
	VHOST_PF_MQ = 0,
	VHOST_PF_RARP = 2,
	VHOST_PF_REPLY_ACK = 3,
	VHOST_PF_MTU = 4,
	VHOST_PF_INFLIGHT_SHMFD = 12,
	VHOST_PF_RESET_DEVICE = 13,
	VHOST_PF_CONFIGURE_MEM_SLOTS = 15,
	VHOST_PF_STATUS = 16,
	VHOST_PF_NONE = 64, /* not a bit: needs none */
};

/* Virtio feature bit of the protocol itself. */
#define VHOST_F_PROTOCOL_FEATURES 30

struct vhost_ring_state {
	uint32_t index, num;
};

struct vhost_ring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};

/* @user: where the region begins in the address space that ring addresses are given in. */
struct vhost_region {
	uint64_t gpa, size, user, offset;
};

struct vhost_mem_table {
	uint32_t regions, padding;
	struct vhost_region region[VHOST_REGIONS_MAX];
};

struct vhost_mem_reg {
	uint64_t padding;
	struct vhost_region region;
};

struct vhost_inflight_desc {
	uint64_t size, offset;
	uint16_t queues, queue_size;
	uint8_t padding[4]; /* C's, and on the wire of some */
};

struct vhost_msg {
	uint32_t request, flags;
	uint32_t size; /* of the payload, bytes */
	union {
		uint64_t u64;
		struct vhost_ring_state state;
		struct vhost_ring_addr addr;
		struct vhost_mem_table mem;
		struct vhost_mem_reg reg;
		struct vhost_inflight_desc inflight;
		uint8_t bytes[sizeof(struct vhost_mem_table)];
	};
	int fd[VHOST_FDS_MAX]; /* owned; whoever takes one leaves -1 */
	unsigned int fds;
};

#define VHOST_PAYLOAD_MAX ((uint32_t)sizeof(struct vhost_mem_table))

/* "SET_VRING_KICK"; "message <n>" for one that is not in the enum, for which @buf is used. */
const char *vhost_request_name(uint32_t request, char *buf, size_t size);

/*
 * Is @m a well-formed request: version, no reply flag, size of payload, number of descriptors, counts
 * inside the payload? 0; -EPROTO, @e says which rule it breaks; -EOPNOTSUPP: a request that is not in
 * the enum.
 */
int vhost_msg_check(const struct vhost_msg *m, struct err *e);

/* The protocol feature without which @m, which has been checked, may not be sent. */
enum vhost_protocol vhost_msg_needs(const struct vhost_msg *m);

/* Does @m, which has been checked, have an answer of its own? */
bool vhost_msg_has_reply(const struct vhost_msg *m);

/* Close the descriptors nobody took. */
void vhost_msg_finish(struct vhost_msg *m);

/* A message on its way in. Zero-initialise. */
struct vhost_rx {
	uint8_t buf[VHOST_HEADER_SIZE + sizeof(struct vhost_mem_table)];
	size_t have;
	int fd[VHOST_FDS_MAX];
	unsigned int fds;
};

/* Closes descriptors that came early. */
void vhost_rx_finish(struct vhost_rx *rx);

/*
 * Take what @sock has. 1: *@ret is a whole message, not checked beyond its size, the caller's to
 * finish; 0: more has to come; -EPIPE: the peer closed between two messages; -EPROTO: it closed inside
 * one, announced more than VHOST_PAYLOAD_MAX, or sent more than VHOST_FDS_MAX descriptors or some in
 * the middle of a message; or the errno of recvmsg(2). After an error the connection is of no use.
 */
int vhost_rx_read(struct vhost_rx *rx, int sock, struct err *e, struct vhost_msg *ret);

/* An answer on its way out. Zero-initialise. */
struct vhost_tx {
	uint8_t buf[VHOST_HEADER_SIZE + sizeof(struct vhost_inflight_desc)];
	size_t len, at;
	bool has_fd;
	int fd;
};

static inline bool vhost_tx_pending(const struct vhost_tx *tx)
{
	return tx->at < tx->len;
}

/* Drop what has not been sent. */
void vhost_tx_finish(struct vhost_tx *tx);

/*
 * Begin to answer @m with its own payload as it now is, @size bytes, and *@fd (NULL = none), which is
 * set to -1. The last answer has been sent.
 */
void vhost_tx_reply(struct vhost_tx *tx, const struct vhost_msg *m, uint32_t size, int *fd);

/* 1: all is sent; 0: the socket is full; or the errno of sendmsg(2). */
int vhost_tx_write(struct vhost_tx *tx, int sock, struct err *e);

#endif
