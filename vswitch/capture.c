// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vswitch/capture.h"

static int memory_create(struct capture *c, struct err *e)
{
	void *p;

	c->memory_fd = memfd_create("viaduct-capture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (c->memory_fd < 0 || ftruncate(c->memory_fd, sizeof(struct capture_shared)) < 0)
		return err_sys(e, errno, "make memory for a capture");
	/* Whoever shrinks it would have the switch killed by SIGBUS. */
	if (fcntl(c->memory_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(e, errno, "seal the memory of a capture");
	p = mmap(NULL, sizeof(struct capture_shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_POPULATE, c->memory_fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "map the memory of a capture");
	c->shared = p;
	c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->event_fd < 0)
		return err_sys(e, errno, "eventfd");
	return 0;
}

int capture_create(
	uint16_t port, uint8_t directions, uint32_t snaplen, struct err *e, struct capture **ret)
{
	struct capture *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, ENOMEM, "out of memory");
	*c = (struct capture){
		.port = port,
		.directions = directions,
		.snaplen = snaplen,
		.memory_fd = -1,
		.event_fd = -1,
	};
	pthread_spin_init(&c->lock, PTHREAD_PROCESS_PRIVATE);
	r = memory_create(c, e);
	if (r < 0) {
		capture_destroy(c);
		return r;
	}
	*ret = c;
	return 0;
}

void capture_destroy(struct capture *c)
{
	if (!c)
		return;
	if (c->shared)
		munmap(c->shared, sizeof(*c->shared));
	fd_close(c->memory_fd);
	fd_close(c->event_fd);
	pthread_spin_destroy(&c->lock);
	free(c);
}

static uint8_t *record_put(struct capture *c, const struct capture_record *r)
{
	uint8_t *p = c->shared->data + (c->head & (CAPTURE_BYTES - 1));

	memcpy(p, r, sizeof(*r) < r->size ? sizeof(*r) : r->size);
	c->head += r->size;
	return p + sizeof(*r);
}

uint8_t *capture_begin(
	struct capture *c, uint32_t direction, uint64_t time_ns, uint32_t len, uint32_t *ret_caplen)
{
	uint32_t caplen = len < c->snaplen ? len : c->snaplen;
	uint32_t size = (uint32_t)(sizeof(struct capture_record) + caplen + 7) & ~7u;
	uint64_t at = c->head & (CAPTURE_BYTES - 1), need = size;
	uint64_t used = c->head - atomic_load_explicit(&c->shared->tail, memory_order_acquire);

	if (at + size > CAPTURE_BYTES)
		need += CAPTURE_BYTES - at;
	/* A tail that makes no sense leaves no room. */
	if (used > CAPTURE_BYTES || CAPTURE_BYTES - used < need) {
		atomic_store_explicit(&c->shared->dropped, ++c->dropped, memory_order_relaxed);
		return NULL;
	}
	if (need > size) {
		const struct capture_record pad = {
			.size = (uint32_t)(need - size), .len = CAPTURE_PAD};

		record_put(c, &pad);
	}
	*ret_caplen = caplen;
	return record_put(
		c, &(struct capture_record){size, len, caplen, direction, time_ns, c->dropped});
}

void capture_commit(struct capture *c)
{
	atomic_store_explicit(&c->shared->head, c->head, memory_order_release);
}

void capture_wake(struct capture *c)
{
	const uint64_t one = 1;

	atomic_thread_fence(memory_order_seq_cst); /* capture_reader_arm() has the other */
	if (!atomic_load_explicit(&c->shared->waiting, memory_order_relaxed))
		return;
	atomic_store_explicit(&c->shared->waiting, 0, memory_order_relaxed);
	(void)!write(c->event_fd, &one, sizeof(one));
}

void capture_end(struct capture *c)
{
	const uint64_t one = 1;

	atomic_store(&c->shared->ended, 1);
	(void)!write(c->event_fd, &one, sizeof(one));
}

int capture_reader_init(struct capture_reader *r, int memory_fd, int event_fd, struct err *e)
{
	void *p = mmap(NULL, sizeof(struct capture_shared), PROT_READ | PROT_WRITE, MAP_SHARED,
		memory_fd, 0);

	if (p == MAP_FAILED)
		return err_sys(e, errno, "map the memory of a capture");
	fd_close(memory_fd);
	*r = (struct capture_reader){.shared = p, .event_fd = event_fd};
	return 0;
}

void capture_reader_finish(struct capture_reader *r)
{
	if (r->shared)
		munmap(r->shared, sizeof(*r->shared));
	r->shared = NULL;
	r->event_fd = fd_close(r->event_fd);
}

/* The one that was read may be overwritten from now on. */
static void record_release(struct capture_reader *r)
{
	r->tail += r->size;
	r->size = 0;
	atomic_store_explicit(&r->shared->tail, r->tail, memory_order_release);
}

bool capture_reader_next(
	struct capture_reader *r, struct capture_record *ret, const uint8_t **ret_bytes)
{
	for (;;) {
		const uint8_t *p;
		uint64_t at;

		record_release(r);
		at = r->tail & (CAPTURE_BYTES - 1);
		if (r->tail == atomic_load_explicit(&r->shared->head, memory_order_acquire))
			return false;
		p = r->shared->data + at;
		/* What fills up the ring may be as short as 8 bytes. */
		memcpy(ret, p, 8);
		if (ret->size < 8 || ret->size > CAPTURE_BYTES - at || ret->size & 7)
			return false;
		r->size = ret->size;
		if (ret->len == CAPTURE_PAD)
			continue;
		if (ret->size < sizeof(*ret))
			return false;
		memcpy(ret, p, sizeof(*ret));
		if (ret->caplen > r->size - sizeof(*ret))
			return false;
		*ret_bytes = p + sizeof(*ret);
		return true;
	}
}

bool capture_reader_arm(struct capture_reader *r)
{
	atomic_store_explicit(&r->shared->waiting, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst); /* capture_wake() has the other */
	return r->tail + r->size == atomic_load_explicit(&r->shared->head, memory_order_relaxed);
}
