// SPDX-License-Identifier: GPL-2.0-or-later
#include "vswitch/vhost_msg.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/cleanup.h"

static_assert(sizeof(struct vhost_ring_state) == 8, "vring state description");
static_assert(sizeof(struct vhost_ring_addr) == 40, "vring address description");
static_assert(sizeof(struct vhost_mem_table) == 264, "memory regions description");
static_assert(sizeof(struct vhost_mem_reg) == 40, "single memory region description");
static_assert(sizeof(struct vhost_inflight_desc) == 24, "inflight description");

enum payload { EMPTY, NUMBER, RING_STATE, RING_ADDR, RING_FD, TABLE, REGION, INFLIGHT };

/* "Communication" and "Front-end message types". @needs: the protocol feature plus one. */
struct rule {
	const char *name;
	enum payload payload;
	uint8_t fds_max;
	bool reply;
	uint8_t needs;
};

#define NEEDS(pf) ((pf) + 1)

static const struct rule rules[] = {
	[VHOST_GET_FEATURES] = {"GET_FEATURES", EMPTY, 0, true},
	[VHOST_SET_FEATURES] = {"SET_FEATURES", NUMBER},
	[VHOST_SET_OWNER] = {"SET_OWNER", EMPTY},
	[VHOST_RESET_OWNER] = {"RESET_OWNER", EMPTY},
	[VHOST_SET_MEM_TABLE] = {"SET_MEM_TABLE", TABLE, VHOST_REGIONS_MAX},
	[VHOST_SET_VRING_NUM] = {"SET_VRING_NUM", RING_STATE},
	[VHOST_SET_VRING_ADDR] = {"SET_VRING_ADDR", RING_ADDR},
	[VHOST_SET_VRING_BASE] = {"SET_VRING_BASE", RING_STATE},
	[VHOST_GET_VRING_BASE] = {"GET_VRING_BASE", RING_STATE, 0, true},
	[VHOST_SET_VRING_KICK] = {"SET_VRING_KICK", RING_FD, 1},
	[VHOST_SET_VRING_CALL] = {"SET_VRING_CALL", RING_FD, 1},
	[VHOST_SET_VRING_ERR] = {"SET_VRING_ERR", RING_FD, 1},
	[VHOST_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", EMPTY, 0, true},
	[VHOST_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", NUMBER},
	[VHOST_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", EMPTY, 0, true, NEEDS(VHOST_PF_MQ)},
	[VHOST_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", RING_STATE},
	[VHOST_SEND_RARP] = {"SEND_RARP", NUMBER, 0, false, NEEDS(VHOST_PF_RARP)},
	[VHOST_NET_SET_MTU] = {"NET_SET_MTU", NUMBER, 0, false, NEEDS(VHOST_PF_MTU)},
	[VHOST_GET_INFLIGHT_FD] = {"GET_INFLIGHT_FD", INFLIGHT, 0, true,
		NEEDS(VHOST_PF_INFLIGHT_SHMFD)},
	[VHOST_SET_INFLIGHT_FD] = {"SET_INFLIGHT_FD", INFLIGHT, 1, false,
		NEEDS(VHOST_PF_INFLIGHT_SHMFD)},
	[VHOST_RESET_DEVICE] = {"RESET_DEVICE", EMPTY, 0, false, NEEDS(VHOST_PF_RESET_DEVICE)},
	[VHOST_GET_MAX_MEM_SLOTS] = {"GET_MAX_MEM_SLOTS", EMPTY, 0, true,
		NEEDS(VHOST_PF_CONFIGURE_MEM_SLOTS)},
	[VHOST_ADD_MEM_REG] = {"ADD_MEM_REG", REGION, 1, false,
		NEEDS(VHOST_PF_CONFIGURE_MEM_SLOTS)},
	/* One descriptor is allowed for the sake of old front ends, and closed. */
	[VHOST_REM_MEM_REG] = {"REM_MEM_REG", REGION, 1, false,
		NEEDS(VHOST_PF_CONFIGURE_MEM_SLOTS)},
	[VHOST_SET_STATUS] = {"SET_STATUS", NUMBER, 0, false, NEEDS(VHOST_PF_STATUS)},
	[VHOST_GET_STATUS] = {"GET_STATUS", EMPTY, 0, true, NEEDS(VHOST_PF_STATUS)},
};

static const struct rule *rule_find(uint32_t request)
{
	return request < ARRAY_SIZE(rules) && rules[request].name ? &rules[request] : NULL;
}

const char *vhost_request_name(uint32_t request, char *buf, size_t size)
{
	const struct rule *r = rule_find(request);

	if (r)
		return r->name;
	snprintf(buf, size, "message %u", request);
	return buf;
}

static bool payload_valid(const struct vhost_msg *m, enum payload payload)
{
	switch (payload) {
	case EMPTY: return m->size == 0;
	case NUMBER: return m->size == sizeof(m->u64);
	case RING_STATE: return m->size == sizeof(m->state);
	case RING_ADDR: return m->size == sizeof(m->addr);
	case RING_FD:
		return m->size == sizeof(m->u64) &&
		       !(m->u64 & ~(uint64_t)(VHOST_RING_MASK | VHOST_RING_NOFD)) &&
		       m->fds == (m->u64 & VHOST_RING_NOFD ? 0 : 1);
	case TABLE:
		return m->size >= 8 && m->mem.regions <= VHOST_REGIONS_MAX &&
		       m->mem.regions == m->fds &&
		       m->size == 8 + m->mem.regions * sizeof(m->mem.region[0]);
	case REGION: return m->size == sizeof(m->reg);
	case INFLIGHT:
		return m->size == sizeof(m->inflight) ||
		       m->size == offsetof(struct vhost_inflight_desc, padding);
	}
	return false;
}

int vhost_msg_check(const struct vhost_msg *m, struct err *e)
{
	const struct rule *r = rule_find(m->request);

	if ((m->flags & VHOST_FLAG_VERSION) != VHOST_VERSION)
		return err_set(e, EPROTO, "message %u: protocol version %u, not %u", m->request,
			m->flags & VHOST_FLAG_VERSION, VHOST_VERSION);
	if (m->flags & VHOST_FLAG_REPLY)
		return err_set(e, EPROTO, "message %u is marked as a reply", m->request);
	if (!r)
		return err_set(e, EOPNOTSUPP, "message %u is not supported", m->request);
	if (m->fds > r->fds_max)
		return err_set(e, EPROTO, "%s: %u file descriptors, where at most %u may come",
			r->name, m->fds, r->fds_max);
	if (!payload_valid(m, r->payload))
		return err_set(e, EPROTO,
			"%s: a payload of %u bytes and %u descriptors is none of "
			"its forms",
			r->name, m->size, m->fds);
	if ((m->request == VHOST_SET_INFLIGHT_FD || m->request == VHOST_ADD_MEM_REG) && !m->fds)
		return err_set(e, EPROTO, "%s came without its descriptor", r->name);
	return 0;
}

enum vhost_protocol vhost_msg_needs(const struct vhost_msg *m)
{
	uint8_t needs = rules[m->request].needs;

	return needs ? (enum vhost_protocol)(needs - 1) : VHOST_PF_NONE;
}

bool vhost_msg_has_reply(const struct vhost_msg *m)
{
	return rules[m->request].reply;
}

static void fds_close(int *fd, unsigned int *fds)
{
	while (*fds)
		fd_close(fd[--*fds]);
}

void vhost_msg_finish(struct vhost_msg *m)
{
	fds_close(m->fd, &m->fds);
}

void vhost_rx_finish(struct vhost_rx *rx)
{
	fds_close(rx->fd, &rx->fds);
	rx->have = 0;
}

/* Take them all before judging: the kernel has put them into our table already. */
static int fds_take(struct vhost_rx *rx, struct msghdr *h, struct err *e)
{
	unsigned int came = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		const unsigned char *data = CMSG_DATA(c);
		int fd;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(fd) <= c->cmsg_len; at += sizeof(fd)) {
			memcpy(&fd, data, sizeof(fd));
			data += sizeof(fd);
			came++;
			if (rx->fds < VHOST_FDS_MAX)
				rx->fd[rx->fds++] = fd;
			else
				fd_close(fd);
		}
	}
	if ((h->msg_flags & MSG_CTRUNC) || came > VHOST_FDS_MAX)
		return err_set(e, EPROTO,
			"more than %u file descriptors came with one message, or "
			"more than this process may open",
			VHOST_FDS_MAX);
	if (came && rx->have)
		return err_set(e, EPROTO, "file descriptors came in the middle of a message");
	return 0;
}

/* Read until there are @want bytes: 1, 0 when there are no more now, or a negative errno. */
static int rx_fill(struct vhost_rx *rx, int sock, size_t want, struct err *e)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * VHOST_FDS_MAX)];
		struct cmsghdr align;
	} control;

	while (rx->have < want) {
		struct iovec iov = {rx->buf + rx->have, want - rx->have};
		struct msghdr h = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.buf,
			.msg_controllen = sizeof(control.buf),
		};
		ssize_t n = recvmsg(sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return err_sys(e, errno, "read from the front end");
		r = fds_take(rx, &h, e);
		if (r < 0)
			return r;
		if (n == 0 && rx->have)
			return err_set(e, EPROTO, "the front end hung up inside a message");
		if (n == 0)
			return err_set(e, EPIPE, "the front end hung up");
		rx->have += (size_t)n;
	}
	return 1;
}

int vhost_rx_read(struct vhost_rx *rx, int sock, struct err *e, struct vhost_msg *ret)
{
	uint32_t header[3];
	int r;

	r = rx_fill(rx, sock, VHOST_HEADER_SIZE, e);
	if (r <= 0)
		return r;
	memcpy(header, rx->buf, sizeof(header));
	if (header[2] > VHOST_PAYLOAD_MAX)
		return err_set(e, EPROTO, "message %u announces %u bytes, more than the %u of any",
			header[0], header[2], VHOST_PAYLOAD_MAX);
	r = rx_fill(rx, sock, VHOST_HEADER_SIZE + header[2], e);
	if (r <= 0)
		return r;
	*ret = (struct vhost_msg){
		.request = header[0], .flags = header[1], .size = header[2], .fds = rx->fds};
	memcpy(ret->bytes, rx->buf + VHOST_HEADER_SIZE, header[2]);
	memcpy(ret->fd, rx->fd, sizeof(ret->fd));
	rx->fds = 0;
	rx->have = 0;
	return 1;
}

void vhost_tx_finish(struct vhost_tx *tx)
{
	if (tx->has_fd)
		fd_close(tx->fd);
	*tx = (struct vhost_tx){0};
}

void vhost_tx_reply(struct vhost_tx *tx, const struct vhost_msg *m, uint32_t size, int *fd)
{
	uint32_t header[3] = {m->request, VHOST_VERSION | VHOST_FLAG_REPLY, size};

	assert(!vhost_tx_pending(tx) && !tx->has_fd && VHOST_HEADER_SIZE + size <= sizeof(tx->buf));
	memcpy(tx->buf, header, sizeof(header));
	memcpy(tx->buf + VHOST_HEADER_SIZE, m->bytes, size);
	tx->len = VHOST_HEADER_SIZE + size;
	tx->at = 0;
	tx->has_fd = fd;
	if (fd)
		tx->fd = fd_steal(fd);
}

int vhost_tx_write(struct vhost_tx *tx, int sock, struct err *e)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};

	while (tx->at < tx->len) {
		struct iovec iov = {tx->buf + tx->at, tx->len - tx->at};
		struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n;

		if (tx->has_fd) {
			struct cmsghdr *c;

			h.msg_control = control.buf;
			h.msg_controllen = sizeof(control.buf);
			c = CMSG_FIRSTHDR(&h);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(c), &tx->fd, sizeof(int));
		}
		n = sendmsg(sock, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return err_sys(e, errno, "answer the front end");
		tx->at += (size_t)n;
		/* It went with the first byte. */
		if (tx->has_fd)
			fd_close(tx->fd);
		tx->has_fd = false;
	}
	return 1;
}
