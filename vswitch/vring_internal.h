/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vring.c, vring_split.c and vring_packed.c share. */
#ifndef VIADUCT_VSWITCH_VRING_INTERNAL_H
#define VIADUCT_VSWITCH_VRING_INTERNAL_H

#include <string.h>

#include "vswitch/vring.h"

#ifndef likely
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

#define VRING_INFLIGHT_VERSION 1

/* vhost-user specification, "Inflight I/O tracking": "Queue region for split virtqueue". */
struct vring_inflight_desc_split {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct vring_inflight_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct vring_inflight_desc_split desc[];
};

/* The same for a packed virtqueue. */
struct vring_inflight_desc_packed {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

struct vring_inflight_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head, old_free_head;
	uint16_t used_idx, old_used_idx;
	uint8_t used_wrap, old_used_wrap;
	uint8_t padding[7];
	struct vring_inflight_desc_packed desc[];
};

/* A descriptor in private memory. */
union vring_word {
	struct vring_desc split;
	struct vring_packed_desc packed;
	uint64_t word[2];
};

/* Stops the ring; @b, which is empty, says so. Returns 0. */
unsigned int vring_break(struct vring_dev *r, struct vring_burst *b, enum vring_error error,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Append [@gpa, @gpa + @len) to @c, the chain that is being built at the end of @b. */
static inline enum vring_error vring_seg_add(const struct vring_dev *r, struct vring_burst *b,
	struct vring_chain *c, uint64_t gpa, uint32_t len)
{
	while (len) {
		uint64_t part;
		uint8_t *hva = vmem_gpa_part(r->mem, gpa, len, &part);

		if (unlikely(!hva))
			return VRING_ERROR_ADDRESS;
		if (unlikely(b->nr_segs == VRING_SEGS))
			return VRING_ERROR_LOOP;
		if (unlikely((uint64_t)c->len + part > UINT32_MAX))
			return VRING_ERROR_LONG;
		b->seg[b->nr_segs++] = (struct vring_seg){hva, (uint32_t)part};
		c->nr_segs++;
		c->len += (uint32_t)part;
		gpa += part;
		len -= (uint32_t)part;
	}
	return VRING_OK;
}

/* Can a chain of this length be one of a network device's? */
static inline enum vring_error vring_len_check(const struct vring_dev *r, uint32_t len)
{
	if (unlikely(len < (uint32_t)r->header + !r->to_guest))
		return VRING_ERROR_SHORT;
	if (unlikely(!r->to_guest && len > VRING_FRAME_MAX + (uint32_t)r->header))
		return VRING_ERROR_LONG;
	return VRING_OK;
}

/* The descriptor at @p, in two loads: its fields are not read from there again. */
static inline union vring_word vring_word_load(const void *p)
{
	const uint64_t *from = p;
	union vring_word w;

	w.word[0] = __atomic_load_n(from, __ATOMIC_RELAXED);
	w.word[1] = __atomic_load_n(from + 1, __ATOMIC_RELAXED);
	return w;
}

/* The same where it need not be aligned. */
static inline union vring_word vring_word_read(const void *p)
{
	union vring_word w;

	if (likely(!((uintptr_t)p & 7)))
		return vring_word_load(p);
	memcpy(&w, p, sizeof(w));
	__asm__("" : "+r"(w.word[0]), "+r"(w.word[1]));
	return w;
}

/* An indirect table, see vring_table_open(). */
struct vring_table {
	uint64_t gpa;
	const uint8_t *hva; /* NULL: in more than one region */
	unsigned int n;
};

/* Check the indirect table at @gpa of @len bytes. */
enum vring_error vring_table_open(
	const struct vring_dev *r, uint64_t gpa, uint32_t len, struct vring_table *ret);

/* Its entry @i < n. */
enum vring_error vring_table_read(const struct vring_dev *r, const struct vring_table *t,
	unsigned int i, union vring_word *ret);

/* Ask for where the frame begins, behind @header bytes, @hva being where the chain does. */
static inline void vring_prefetch_frame(uint32_t header, const uint8_t *hva, bool to_guest)
{
	if (to_guest) {
		vring_prefetch_write(hva);
		vring_prefetch_write(hva + header);
	} else {
		__builtin_prefetch(hva + header);
	}
}

void vring_split_begin(struct vring_dev *r);
int vring_packed_begin(struct vring_dev *r, uint32_t base, struct err *e);
int vring_split_inflight(struct vring_dev *r, const struct vring_setup *s, struct err *e);
int vring_packed_inflight(struct vring_dev *r, const struct vring_setup *s, struct err *e);

unsigned int vring_split_fetch(struct vring_dev *r, struct vring_burst *b, unsigned int max);
unsigned int vring_packed_fetch(struct vring_dev *r, struct vring_burst *b, unsigned int max);
void vring_split_publish(struct vring_dev *r, const struct vring_burst *b, unsigned int n);
void vring_packed_publish(struct vring_dev *r, const struct vring_burst *b, unsigned int n);

/* Behind a full barrier: does the guest want to know of what was used since @r->told? */
bool vring_split_wanted(const struct vring_dev *r);
bool vring_packed_wanted(const struct vring_dev *r);

/* Say that kicks are wanted or not, in what concerns @r->next. */
void vring_split_kicks(struct vring_dev *r, bool on);
void vring_packed_kicks(struct vring_dev *r, bool on);
bool vring_split_pending(const struct vring_dev *r);
bool vring_packed_pending(const struct vring_dev *r);

#endif
