// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/vhost_user_msg.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "common/cleanup.h"

static_assert(sizeof(struct vu_vring_state) == 8, "vring state description");
static_assert(sizeof(struct vu_vring_addr) == 40, "vring address description");
static_assert(sizeof(struct vu_mem_table) == 8 + 32 * VU_MAX_REGIONS, "memory regions description");
static_assert(sizeof(struct vu_inflight) == 24, "inflight description");

enum kind { NONE, U64, STATE, ADDR, MEM, INFLIGHT, VRING_FD };

/* "Communication": what each request carries and what answers it; fds of both. */
struct rule {
	const char *name;
	enum kind request, reply;
	uint8_t fds_min, fds_max, reply_fds_max;
};

static const struct rule rules[] = {
	[VU_GET_FEATURES] = {"GET_FEATURES", NONE, U64},
	[VU_SET_FEATURES] = {"SET_FEATURES", U64, U64},
	[VU_SET_OWNER] = {"SET_OWNER", NONE, U64},
	[VU_SET_MEM_TABLE] = {"SET_MEM_TABLE", MEM, U64, 0, VU_MAX_REGIONS},
	[VU_SET_VRING_NUM] = {"SET_VRING_NUM", STATE, U64},
	[VU_SET_VRING_ADDR] = {"SET_VRING_ADDR", ADDR, U64},
	[VU_SET_VRING_BASE] = {"SET_VRING_BASE", STATE, U64},
	[VU_GET_VRING_BASE] = {"GET_VRING_BASE", STATE, STATE},
	[VU_SET_VRING_KICK] = {"SET_VRING_KICK", VRING_FD, U64, 0, 1},
	[VU_SET_VRING_CALL] = {"SET_VRING_CALL", VRING_FD, U64, 0, 1},
	[VU_SET_VRING_ERR] = {"SET_VRING_ERR", VRING_FD, U64, 0, 1},
	[VU_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", NONE, U64},
	[VU_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", U64, U64},
	[VU_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", NONE, U64},
	[VU_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", STATE, U64},
	[VU_SEND_RARP] = {"SEND_RARP", U64, U64},
	[VU_NET_SET_MTU] = {"NET_SET_MTU", U64, U64},
	[VU_GET_INFLIGHT_FD] = {"GET_INFLIGHT_FD", INFLIGHT, INFLIGHT, 0, 0, 1},
	[VU_SET_INFLIGHT_FD] = {"SET_INFLIGHT_FD", INFLIGHT, U64, 1, 1},
	[VU_RESET_DEVICE] = {"RESET_DEVICE", NONE, U64},
	[VU_SET_STATUS] = {"SET_STATUS", U64, U64},
};

static const struct rule *rule_find(uint32_t request)
{
	return request < ARRAY_SIZE(rules) && rules[request].name ? &rules[request] : NULL;
}

const char *vu_request_name(uint32_t request, char *buf, size_t size)
{
	const struct rule *r = rule_find(request);

	if (r)
		return r->name;
	snprintf(buf, size, "message %u", request);
	return buf;
}

static bool payload_valid(const struct vu_msg *m, enum kind kind)
{
	switch (kind) {
	case NONE: return m->size == 0;
	case U64: return m->size == sizeof(uint64_t);
	case STATE: return m->size == sizeof(struct vu_vring_state);
	case ADDR: return m->size == sizeof(struct vu_vring_addr);
	case MEM:
		return m->size >= 8 && m->mem.regions <= VU_MAX_REGIONS &&
		       m->mem.regions == m->fds &&
		       m->size == 8 + m->mem.regions * sizeof(struct vu_region);
	case INFLIGHT:
		/* With or without the padding at its end: the text has none, QEMU's struct has. */
		return m->size == sizeof(struct vu_inflight) ||
		       m->size == offsetof(struct vu_inflight, padding);
	case VRING_FD:
		return m->size == sizeof(uint64_t) &&
		       (m->u64 & ~(uint64_t)(VU_VRING_INDEX_MASK | VU_VRING_NOFD)) == 0 &&
		       m->fds == (m->u64 & VU_VRING_NOFD ? 0 : 1);
	}
	return false;
}

int vu_msg_check(const struct vu_msg *m, enum vu_side side, struct err *e)
{
	const struct rule *r = rule_find(m->request);
	unsigned int min, max;

	if (!r)
		return err_set(e, EPROTO, "unknown message %u", m->request);
	if ((m->flags & VU_FLAG_VERSION) != VU_VERSION)
		return err_set(e, EPROTO, "%s: protocol version %u, not %u", r->name,
			m->flags & VU_FLAG_VERSION, VU_VERSION);
	if (!(m->flags & VU_FLAG_REPLY) != (side != VU_BACK_END))
		return err_set(e, EPROTO, "%s: %s", r->name,
			side == VU_BACK_END ? "not marked as a reply" : "marked as a reply");
	min = side == VU_BACK_END ? 0 : r->fds_min;
	max = side == VU_BACK_END ? r->reply_fds_max : r->fds_max;
	if (m->fds < min || m->fds > max)
		return err_set(e, EPROTO, "%s: %u file descriptors, expected %u to %u", r->name,
			m->fds, min, max);
	if (!payload_valid(m, side == VU_BACK_END ? r->reply : r->request))
		return err_set(e, EPROTO, "%s: malformed payload of %u bytes", r->name, m->size);
	return 0;
}

struct vu_msg vu_msg_make(uint32_t request, uint32_t payload_size)
{
	assert(payload_size <= VU_PAYLOAD_MAX);
	return (struct vu_msg){.request = request, .flags = VU_VERSION, .size = payload_size};
}

static void fds_close(int *fd, unsigned int *fds)
{
	while (*fds)
		fd_close(fd[--*fds]);
}

void vu_msg_finish(struct vu_msg *m)
{
	fds_close(m->fd, &m->fds);
}

void vu_rx_finish(struct vu_rx *rx)
{
	fds_close(rx->fd, &rx->fds);
	rx->have = 0;
}

/* Whatever else it holds: a kernel that installed an fd for us has only told us here. */
static int fds_take(struct vu_rx *rx, struct msghdr *h, struct err *e)
{
	unsigned int came = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			came++;
			if (rx->fds < VU_MAX_FDS)
				rx->fd[rx->fds++] = fd;
			else
				fd_close(fd);
		}
	}
	if ((h->msg_flags & MSG_CTRUNC) || came > VU_MAX_FDS)
		return err_set(
			e, EPROTO, "more than %u file descriptors in one message", VU_MAX_FDS);
	if (came && rx->have)
		return err_set(e, EPROTO, "file descriptors in the middle of a message");
	return 0;
}

/* Read until rx->have is @want: 1, 0 when there is no more now, or a negative errno. */
static int fill(int sock, struct vu_rx *rx, size_t want, struct err *e)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * VU_MAX_FDS)];
		struct cmsghdr align;
	} control;

	while (rx->have < want) {
		struct iovec iov = {.iov_base = rx->buf + rx->have, .iov_len = want - rx->have};
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
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n < 0)
			return err_sys(e, errno, "receive a message");
		r = fds_take(rx, &h, e);
		if (r < 0)
			return r;
		if (n == 0 && rx->have)
			return err_set(e, EPROTO, "connection closed inside a message");
		if (n == 0)
			return err_set(e, EPIPE, "connection closed by the back end");
		rx->have += (size_t)n;
	}
	return 1;
}

int vu_recv(int sock, struct vu_rx *rx, struct err *e, struct vu_msg *ret)
{
	uint32_t header[3];
	int r;

	r = fill(sock, rx, VU_HEADER_SIZE, e);
	if (r <= 0)
		return r;
	memcpy(header, rx->buf, sizeof(header));
	if (header[2] > VU_PAYLOAD_MAX)
		return err_set(e, EPROTO, "message %u announces %u bytes, more than the %u of any",
			header[0], header[2], VU_PAYLOAD_MAX);
	r = fill(sock, rx, VU_HEADER_SIZE + header[2], e);
	if (r <= 0)
		return r;
	*ret = (struct vu_msg){.request = header[0], .flags = header[1], .size = header[2]};
	memcpy(ret->bytes, rx->buf + VU_HEADER_SIZE, header[2]);
	memcpy(ret->fd, rx->fd, sizeof(ret->fd));
	ret->fds = rx->fds;
	rx->fds = 0;
	rx->have = 0;
	return 1;
}

int64_t vu_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static int wait_room(int sock, int64_t deadline_ms, struct err *e)
{
	struct pollfd p = {.fd = sock, .events = POLLOUT};
	int64_t left = deadline_ms - vu_now_ms();
	int r;

	if (left <= 0)
		return err_set(e, ETIMEDOUT, "the back end does not read its socket");
	r = poll(&p, 1, left > 1000 ? 1000 : (int)left);
	if (r < 0 && errno != EINTR)
		return err_sys(e, errno, "wait for room in the socket");
	return 0;
}

int vu_send(int sock, const struct vu_msg *m, int64_t deadline_ms, struct err *e)
{
	const uint32_t header[3] = {m->request, m->flags, m->size};
	uint8_t buf[VU_HEADER_SIZE + VU_PAYLOAD_MAX];
	size_t len = VU_HEADER_SIZE + m->size, sent = 0;
	union {
		char buf[CMSG_SPACE(sizeof(int) * VU_MAX_FDS)];
		struct cmsghdr align;
	} control = {0};
	char unknown[32];

	assert(m->size <= VU_PAYLOAD_MAX && m->fds <= VU_MAX_FDS);
	memcpy(buf, header, sizeof(header));
	memcpy(buf + VU_HEADER_SIZE, m->bytes, m->size);
	while (sent < len) {
		struct iovec iov = {.iov_base = buf + sent, .iov_len = len - sent};
		struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n;

		/* With the first byte, and once. */
		if (m->fds && sent == 0) {
			struct cmsghdr *c;

			h.msg_control = control.buf;
			h.msg_controllen = CMSG_SPACE(sizeof(int) * m->fds);
			c = CMSG_FIRSTHDR(&h);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(sizeof(int) * m->fds);
			memcpy(CMSG_DATA(c), m->fd, sizeof(int) * m->fds);
		}
		n = sendmsg(sock, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			int r = wait_room(sock, deadline_ms, e);

			if (r < 0)
				return r;
		} else if (errno != EINTR) {
			return err_sys(e, errno, "send %s",
				vu_request_name(m->request, unknown, sizeof(unknown)));
		}
	}
	return 0;
}
