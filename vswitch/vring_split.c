// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Split virtqueues, Virtio 1.2 §2.7.
 *
 * Why the inflight area needs nothing of us while frames move: chains are used in the order in which
 * they were made available, and a burst is published by one store to used->idx. So at any moment the
 * chains that a back end that died had taken and not used are those behind used->idx, all of them, and
 * none of them is known to the guest as used; who comes next begins there. What the area must say for
 * a back end that relies on it is that no descriptor is in flight, which stays true, and how far
 * used->idx had come, which is one store per burst to a line nobody else reads.
 */
#include <errno.h>
#include <string.h>

#include "vswitch/vring_internal.h"

static uint16_t load(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static uint16_t *used_event(const struct vring_dev *r)
{
	return &r->avail->ring[r->size];
}

static uint16_t *avail_event(const struct vring_dev *r)
{
	return (uint16_t *)&r->used->ring[r->size];
}

void vring_split_begin(struct vring_dev *r)
{
	r->next = r->ahead = load(&r->used->idx);
}

/*
 * A back end before us may have left descriptors in flight. What it would have done with them nobody
 * knows: give them back empty. Then every descriptor is the guest's again or behind used->idx.
 */
static void inflight_return(struct vring_dev *r, struct vring_inflight_split *area)
{
	uint16_t used = load(&r->used->idx), batch = (uint16_t)(used - load(&area->used_idx));
	uint16_t head = load(&area->last_batch_head);

	/* It died between used->idx and the area: the last batch is used, whatever the area says. */
	for (; batch && batch <= r->size && head < r->size; batch--) {
		area->desc[head].inflight = 0;
		head = load(&area->desc[head].next);
	}
	for (uint16_t i = 0; i < r->size; i++) {
		if (area->desc[i].inflight != 1)
			continue;
		r->used->ring[used & (r->size - 1)] = (struct vring_used_elem){.id = i};
		used++;
		area->desc[i].inflight = 0;
	}
	__atomic_store_n(&r->used->idx, used, __ATOMIC_RELEASE);
	area->used_idx = used;
	r->next = r->ahead = used;
}

int vring_split_inflight(struct vring_dev *r, const struct vring_setup *s, struct err *e)
{
	struct vring_inflight_split *area = s->inflight;

	(void)e;
	if (area->version == VRING_INFLIGHT_VERSION && load(&area->desc_num) == r->size) {
		inflight_return(r, area);
	} else {
		memset(area, 0, sizeof(*area) + r->size * sizeof(area->desc[0]));
		area->desc_num = r->size;
		area->used_idx = r->next;
		area->version = VRING_INFLIGHT_VERSION;
	}
	r->inflight_split = area;
	return 0;
}

static enum vring_error part_add(const struct vring_dev *r, struct vring_burst *b,
	struct vring_chain *c, const struct vring_desc *d)
{
	if (!!(d->flags & VRING_DESC_F_WRITE) != r->to_guest)
		return VRING_ERROR_DIRECTION;
	return vring_seg_add(r, b, c, d->addr, d->len);
}

/* Virtio 1.2 §2.7.5.3: no table within a table, and nothing behind one. */
static enum vring_error table_add(const struct vring_dev *r, struct vring_burst *b,
	struct vring_chain *c, const struct vring_desc *d)
{
	struct vring_table t;
	enum vring_error error;
	unsigned int i = 0;

	if (d->flags & VRING_DESC_F_NEXT)
		return VRING_ERROR_INDIRECT;
	error = vring_table_open(r, d->addr, d->len, &t);
	/* A chain visits an entry once or has no end. */
	for (unsigned int steps = 0; error == VRING_OK; steps++) {
		union vring_word w;

		if (steps == t.n || i >= t.n)
			return VRING_ERROR_LOOP;
		error = vring_table_read(r, &t, i, &w);
		if (error != VRING_OK)
			break;
		if (w.split.flags & VRING_DESC_F_INDIRECT)
			return VRING_ERROR_INDIRECT;
		error = part_add(r, b, c, &w.split);
		if (!(w.split.flags & VRING_DESC_F_NEXT))
			break;
		i = w.split.next;
	}
	return error;
}

/* A chain that is not one descriptor in one region. */
static __attribute__((noinline)) enum vring_error chain_add(
	const struct vring_dev *r, struct vring_burst *b, struct vring_chain *c, union vring_word w)
{
	/* As above, of the ring's own table. */
	for (unsigned int steps = 1;; steps++) {
		enum vring_error error;

		if (w.split.flags & VRING_DESC_F_INDIRECT) {
			error = table_add(r, b, c, &w.split);
			return error != VRING_OK ? error : vring_len_check(r, c->len);
		}
		error = part_add(r, b, c, &w.split);
		if (error != VRING_OK)
			return error;
		if (!(w.split.flags & VRING_DESC_F_NEXT))
			return vring_len_check(r, c->len);
		if (steps == r->size || w.split.next >= r->size)
			return VRING_ERROR_LOOP;
		w = vring_word_load(&r->desc[w.split.next]);
	}
}

/*
 * Chain @i of @b, whatever it is, behind those before it. Returns false when the burst has no room for
 * it.
 */
static __attribute__((noinline)) bool chain_fetch(const struct vring_dev *r, struct vring_burst *b,
	unsigned int i, uint16_t head, union vring_word w)
{
	struct vring_chain *c = &b->chain[i];
	unsigned int first = b->nr_segs;
	enum vring_error error;

	*c = (struct vring_chain){
		.id = head, .seg = (uint16_t)first, .slots = 1, .error = VRING_OK};
	error = chain_add(r, b, c, w);
	if (error == VRING_OK) {
		vring_prefetch_frame(r->header, b->seg[first].hva, r->to_guest);
		return true;
	}
	if (error == VRING_ERROR_LOOP && b->nr_segs == VRING_SEGS && i) {
		b->nr_segs = first;
		return false;
	}
	b->nr_segs = first;
	b->nr_bad++;
	c->error = (uint8_t)error;
	c->nr_segs = 0;
	c->len = 0;
	return true;
}

/* What a descriptor must be to be a chain of its own, as nearly all are. */
struct plain {
	const struct vmem *mem;
	const struct vmem_region *near; /* that the last one was in */
	uint32_t least, most;           /* bytes */
	uint16_t flags;
};

/* Where it is; NULL: it is something else, and may be wrong. */
static inline __attribute__((always_inline)) uint8_t *plain_hva(
	struct plain *p, const struct vring_desc *d)
{
	if (unlikely((d->flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT |
					 VRING_DESC_F_WRITE)) != p->flags ||
		     d->len - p->least > p->most - p->least))
		return NULL;
	return vmem_gpa_near(p->mem, &p->near, d->addr, d->len);
}

/* The @n chains that begin at @heads. What does not change from one to the next is read before. */
static inline __attribute__((always_inline)) void chains_fetch(const struct vring_dev *r,
	struct vring_burst *b, const uint16_t *heads, unsigned int n, bool to_guest)
{
	const struct vring_desc *desc = r->desc;
	const uint32_t header = r->header;
	struct vring_chain *c = b->chain;
	unsigned int segs = 0, i;
	struct plain plain = {
		.mem = r->mem,
		.near = vmem_nowhere(),
		.least = header + !to_guest,
		.most = to_guest ? UINT32_MAX : VRING_FRAME_MAX + header,
		.flags = to_guest ? VRING_DESC_F_WRITE : 0,
	};

	for (i = 0; i < n; i++, c++) {
		union vring_word w = vring_word_load(&desc[heads[i]]);
		uint8_t *hva = plain_hva(&plain, &w.split);

		if (unlikely(!hva || segs == VRING_SEGS)) {
			b->nr_segs = segs;
			if (!chain_fetch(r, b, i, heads[i], w))
				break;
			segs = b->nr_segs;
			continue;
		}
		b->seg[segs].hva = hva;
		b->seg[segs].len = w.split.len;
		c->id = heads[i];
		c->seg = (uint16_t)segs++;
		c->len = w.split.len;
		c->slots = 1;
		c->nr_segs = 1;
		c->used_len = 0;
		c->error = VRING_OK;
		c->more = false;
		vring_prefetch_frame(header, hva, to_guest);
	}
	b->n = i;
	b->nr_segs = segs;
}

static inline __attribute__((always_inline)) unsigned int fetch(
	struct vring_dev *r, struct vring_burst *b, unsigned int max, bool to_guest)
{
	const uint16_t size = r->size, next = r->next, mask = (uint16_t)(size - 1);
	const uint16_t *avail = r->avail->ring;
	const struct vring_desc *desc = r->desc;
	unsigned int n = (uint16_t)(r->ahead - next), waiting;
	uint16_t heads[VRING_BURST];

	if (n < max) {
		/* Pairs with the guest's release, behind the entries and descriptors it counts. */
		r->ahead = __atomic_load_n(&r->avail->idx, __ATOMIC_ACQUIRE);
		n = (uint16_t)(r->ahead - next);
		if (unlikely(n > size))
			return vring_break(r, b, VRING_ERROR_INDEX,
				"the available index is %u ahead in a ring of %u", n, size);
	}
	waiting = n;
	if (n > max)
		n = max;
	for (unsigned int i = 0; i < n; i++) {
		heads[i] = load(&avail[(next + i) & mask]);
		if (unlikely(heads[i] >= size))
			return vring_break(r, b, VRING_ERROR_INDEX,
				"descriptor %u is made available in a ring of %u", heads[i], size);
		__builtin_prefetch(&desc[heads[i]]);
	}
	/*
	 * What is known to come next is wanted next time, which is a round from now. Four descriptors
	 * lie in a line, and drivers mostly take neighbours.
	 */
	for (unsigned int i = n; i < 2 * n && i < waiting; i += 4)
		__builtin_prefetch(&desc[load(&avail[(next + i) & mask]) & mask]);
	for (unsigned int i = 0; i < n; i += 8)
		vring_prefetch_write(&r->used->ring[(next + i) & mask]);
	chains_fetch(r, b, heads, n, to_guest);
	return b->n;
}

unsigned int vring_split_fetch(struct vring_dev *r, struct vring_burst *b, unsigned int max)
{
	return r->to_guest ? fetch(r, b, max, true) : fetch(r, b, max, false);
}

void vring_split_publish(struct vring_dev *r, const struct vring_burst *b, unsigned int n)
{
	struct vring_used_elem *used = r->used->ring;
	const uint32_t mask = r->size - 1u;
	uint32_t next = r->next;

	for (const struct vring_chain *c = b->chain; c < b->chain + n; c++) {
		struct vring_used_elem *u = &used[next++ & mask];

		u->id = c->id;
		u->len = c->used_len;
	}
	/* Pairs with the guest's acquire, before it reads the entries and what they gave back. */
	r->next = (uint16_t)next;
	__atomic_store_n(&r->used->idx, r->next, __ATOMIC_RELEASE);
	if (r->inflight_split)
		__atomic_store_n(&r->inflight_split->used_idx, r->next, __ATOMIC_RELEASE);
}

bool vring_split_wanted(const struct vring_dev *r)
{
	if (r->event_idx) /* Virtio 1.2 §2.7.7.2 */
		return (uint16_t)(r->next - load(used_event(r)) - 1) <
		       (uint16_t)(r->next - r->told);
	return !(load(&r->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
}

void vring_split_kicks(struct vring_dev *r, bool on)
{
	uint16_t *flags = &r->used->flags, *event = avail_event(r);

	/* There is no "never": an index the guest has just left is 65535 entries away. */
	if (r->event_idx)
		__atomic_store_n(event, (uint16_t)(on ? r->next : r->next - 1), __ATOMIC_RELAXED);
	else
		__atomic_store_n(flags, on ? 0 : VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}

bool vring_split_pending(const struct vring_dev *r)
{
	return load(&r->avail->idx) != r->next;
}
