// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The vhost-user receiver against a model that has the whole stream at once. Input: pieces of
 * (length, number of fds, bytes), each sent in one call and drained before the next. The messages
 * that come out are the model's, an error comes exactly where the model sees one, and at the end no
 * fd is left.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/vhost_user_msg.h"
#include "tests/fuzz/fuzz_check.h"

#define FDS 12u

static void piece_send(int sock, const uint8_t *buf, size_t len, int fd, unsigned int fds)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	union {
		char buf[CMSG_SPACE(sizeof(int) * FDS)];
		struct cmsghdr align;
	} control = {0};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fds) {
		struct cmsghdr *c;

		h.msg_control = control.buf;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * fds);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fds);
		for (unsigned int i = 0; i < fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
	}
	CHECK(sendmsg(sock, &h, 0) == (ssize_t)len);
}

/* All that is known of a message that was accepted, for whichever side wrote it. */
static void message_check(const struct vu_msg *m)
{
	for (int side = VU_FRONT_END; side <= VU_BACK_END; side++) {
		struct err e = {0};

		if (vu_msg_check(m, (enum vu_side)side, &e) < 0) {
			CHECK(e.text[0]);
			continue;
		}
		CHECK((m->flags & 3) == 1);
		CHECK(!!(m->flags & 4) == (side == VU_BACK_END));
		CHECK(m->request >= 1 && m->request <= 40);
		CHECK(m->size == 0 || m->size == 8 || m->size == 20 || m->size == 24 ||
			m->size == 40 || (m->size - 8) % 32 == 0);
		if (side == VU_BACK_END)
			CHECK(m->fds == 0 || m->request == VU_GET_INFLIGHT_FD);
		if (side == VU_FRONT_END && m->request == VU_SET_MEM_TABLE)
			CHECK(m->mem.regions == m->fds && m->size == 8 + 32 * m->fds);
	}
}

struct model {
	uint8_t buf[VU_HEADER_SIZE + VU_PAYLOAD_MAX];
	size_t have, want;
	unsigned int fds;
	bool dead;
};

/* One byte more: true when it completes a message. */
static bool model_byte(struct model *m, uint8_t b)
{
	uint32_t size;

	m->buf[m->have++] = b;
	if (m->have < VU_HEADER_SIZE)
		return false;
	memcpy(&size, m->buf + 8, sizeof(size));
	if (size > VU_PAYLOAD_MAX) {
		m->dead = true;
		return false;
	}
	m->want = VU_HEADER_SIZE + size;
	return m->have == m->want;
}

/* Most input should get beyond the header: give pieces that begin a message a plausible one. */
static void header_tame(uint8_t *p, size_t len)
{
	static const uint16_t sizes[] = {0, 8, 8, 20, 24, 40, 264, 300};
	uint32_t header[3] = {p[0] % 44u, p[1] & 15u, sizes[p[2] & 7]};

	if (len >= sizeof(header) && !(p[3] & 7))
		return;
	memcpy(p, header, len < sizeof(header) ? len : sizeof(header));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model model = {0};
	struct vu_rx rx = {0};
	struct pollfd p;
	int pair[2], probe[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(probe) == 0);
	while (size > 2 && !model.dead) {
		size_t len = data[0] + 1u < size - 2 ? data[0] + 1u : size - 2;
		unsigned int fds = data[1] & 15 ? 0 : (data[1] >> 4) % (FDS + 1);
		uint8_t piece[256];
		struct vu_msg m;
		int r = 1;

		memcpy(piece, data + 2, len);
		data += 2 + len;
		size -= 2 + len;
		if (!model.have && len > 3)
			header_tame(piece, len);
		piece_send(pair[1], piece, len, probe[1], fds);
		if (fds > VU_MAX_FDS || (fds && model.have))
			model.dead = true;
		model.fds = fds ? fds : model.fds;
		for (size_t i = 0; i < len && !model.dead; i++) {
			struct err e = {0};

			if (!model_byte(&model, piece[i]))
				continue;
			CHECK(vu_recv(pair[0], &rx, &e, &m) == 1);
			CHECK(m.fds == model.fds);
			CHECK(!memcmp(&m.request, model.buf, 4));
			CHECK(!memcmp(&m.flags, model.buf + 4, 4));
			CHECK(m.size == model.want - VU_HEADER_SIZE);
			CHECK(!memcmp(m.bytes, model.buf + VU_HEADER_SIZE, m.size));
			message_check(&m);
			vu_msg_finish(&m);
			model.have = 0;
			model.fds = 0;
		}
		r = vu_recv(pair[0], &rx, NULL, &m);
		CHECK(model.dead ? r < 0 : r == 0);
	}
	vu_rx_finish(&rx);
	close(pair[0]);
	close(pair[1]);
	close(probe[1]);
	p = (struct pollfd){.fd = probe[0], .events = POLLIN};
	CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLHUP);
	close(probe[0]);
	return 0;
}
