/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost-user messages: their layout on the wire, which sizes and how many fds each may have, and
 * moving them over a Unix stream socket with the fds as SCM_RIGHTS.
 * "Vhost-user Protocol", QEMU docs/interop/vhost-user.rst; the section names below are its own.
 *
 * The peer is hostile input: a length is checked before anything is read for it, a message that
 * breaks a rule is refused with the reason in struct err, and an fd that came with it is closed.
 * No state beyond what is passed in; each connection is used by one thread at a time.
 */
#ifndef VIADUCT_DEVICES_VHOST_USER_MSG_H
#define VIADUCT_DEVICES_VHOST_USER_MSG_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* "Header": request, flags, size; numbers in the machine's own byte order. */
#define VU_VERSION          1u
#define VU_FLAG_VERSION     3u /* mask */
#define VU_FLAG_REPLY       (1u << 2)
#define VU_FLAG_NEED_REPLY  (1u << 3)
#define VU_HEADER_SIZE      12u
#define VU_MAX_REGIONS      8u
#define VU_MAX_FDS          8u
#define VU_VRING_INDEX_MASK 0xffu
#define VU_VRING_NOFD       (1u << 8)

/* "Front-end message types"; what we neither send nor answer is left out. */
enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SEND_RARP = 19,
	VU_NET_SET_MTU = 20,
	VU_GET_INFLIGHT_FD = 31,
	VU_SET_INFLIGHT_FD = 32,
	VU_RESET_DEVICE = 34,
	VU_SET_STATUS = 39,
};

/* "Protocol features" */
#define VU_PF_MQ             0
#define VU_PF_RARP           2
#define VU_PF_REPLY_ACK      3
#define VU_PF_MTU            4
#define VU_PF_INFLIGHT_SHMFD 12
#define VU_PF_RESET_DEVICE   13
#define VU_PF_STATUS         16

/* Virtio feature bit of the protocol itself: the peer has GET/SET_PROTOCOL_FEATURES. */
#define VU_F_PROTOCOL_FEATURES 30

struct vu_vring_state {
	uint32_t index, num;
};

struct vu_vring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log; /* "user addresses", see struct vu_region */
};

/* @user: where the region begins in the address space the ring addresses are given in. */
struct vu_region {
	uint64_t gpa, size, user, fd_offset;
};

struct vu_mem_table {
	uint32_t regions, padding;
	struct vu_region region[VU_MAX_REGIONS];
};

struct vu_inflight {
	uint64_t size, offset;
	uint16_t queues, queue_size;
	uint8_t padding[4]; /* C's, and so on the wire since QEMU began it */
};

struct vu_msg {
	uint32_t request, flags;
	uint32_t size; /* of the payload, bytes */
	union {
		uint64_t u64;
		struct vu_vring_state state;
		struct vu_vring_addr addr;
		struct vu_mem_table mem;
		struct vu_inflight inflight;
		uint8_t bytes[sizeof(struct vu_mem_table)];
	};
	/* Received: owned, close them with vu_msg_finish(). To be sent: borrowed. */
	int fd[VU_MAX_FDS];
	unsigned int fds;
};

#define VU_PAYLOAD_MAX ((uint32_t)sizeof(struct vu_mem_table))

/* Who wrote it decides which rules hold. */
enum vu_side {
	VU_FRONT_END, /* a request */
	VU_BACK_END,  /* the answer to one: what it may be follows from the request's number */
};

/* "SET_VRING_KICK"; "message <n>" for one we do not know. @buf is used for the latter. */
const char *vu_request_name(uint32_t request, char *buf, size_t size);

/*
 * Is @m well formed for @side: known request, version, reply flag, payload size, number of fds,
 * counts inside the payload? -EPROTO: no, the text says which rule it breaks. A reply to a request
 * without an answer of its own is that of REPLY_ACK: a u64.
 */
int vu_msg_check(const struct vu_msg *m, enum vu_side side, struct err *e);

/* A request with its header set and nothing else. */
struct vu_msg vu_msg_make(uint32_t request, uint32_t payload_size);
/* Close the fds of a received message. */
void vu_msg_finish(struct vu_msg *m);

/* A message on its way in. Zero-initialise; vu_rx_finish() closes fds that came early. */
struct vu_rx {
	uint8_t buf[VU_HEADER_SIZE + sizeof(struct vu_mem_table)];
	size_t have;
	int fd[VU_MAX_FDS];
	unsigned int fds;
};
void vu_rx_finish(struct vu_rx *rx);

/*
 * Take what @sock has, without waiting. 1: *@ret is a whole message (not checked beyond its size);
 * 0: more has to come; -EPIPE: the peer closed the connection between two messages; -EPROTO: it
 * closed it inside one, announced a payload over VU_PAYLOAD_MAX, sent more fds than VU_MAX_FDS or
 * sent fds in the middle of a message; or the errno of recvmsg(2). After an error the connection is
 * of no more use.
 */
int vu_recv(int sock, struct vu_rx *rx, struct err *e, struct vu_msg *ret);

/* CLOCK_MONOTONIC, milliseconds. */
int64_t vu_now_ms(void);
/*
 * Send @m with its fds. Waits for room until @deadline_ms (vu_now_ms() time) at most: -ETIMEDOUT;
 * else the errno of sendmsg(2), e.g. -EPIPE. After an error the connection is of no more use.
 */
int vu_send(int sock, const struct vu_msg *m, int64_t deadline_ms, struct err *e);

#endif
