// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Packed virtqueues, Virtio 1.2 §2.8.
 *
 * A packed ring keeps no count of what was used, so who comes after a back end that died needs the
 * inflight area. Chains are used in the order in which they were made available, and so the area need
 * not describe each of them: they are still in the ring, behind those that are used. It holds
 *
 *	used_idx, used_wrap          where a burst will end, written before the burst is published
 *	old_used_idx, old_used_wrap  the same, written after it
 *	desc[slot].num               entries of the chain at @slot, where it was ever more than one
 *	desc[slot].flags, .len       what the guest had written there, where frames of many chains go
 *
 * and a burst that was cut short is found by looking at the entries between the two: one that is no
 * longer available in its lap is done (the guest may have made it available for the next since), and
 * next is the one behind its chain; the first that is still available ends what was published. Entries
 * marked used behind that are of a frame of many chains, the first of which is marked last: the guest
 * has not looked at them, and they are made available again.
 */
#include <errno.h>
#include <string.h>

#include "vswitch/vring_internal.h"

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1u << VRING_PACKED_DESC_F_USED)
#define WRAP  VRING_PACKED_EVENT_F_WRAP_CTR

struct pos {
	uint16_t idx;
	bool wrap;
};

static inline struct pos pos_add(const struct vring_dev *r, struct pos p, uint16_t n)
{
	uint32_t idx = (uint32_t)p.idx + n;

	if (idx >= r->size)
		return (struct pos){(uint16_t)(idx - r->size), !p.wrap};
	return (struct pos){(uint16_t)idx, p.wrap};
}

static inline bool pos_equal(struct pos a, struct pos b)
{
	return a.idx == b.idx && a.wrap == b.wrap;
}

static inline bool flags_available(uint16_t flags, bool wrap)
{
	return (flags & (AVAIL | USED)) == (wrap ? AVAIL : USED);
}

static inline bool flags_used(uint16_t flags, bool wrap)
{
	return (flags & (AVAIL | USED)) == (wrap ? AVAIL | USED : 0);
}

static inline uint16_t flags_load(const struct vring_packed_desc *d)
{
	return __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);
}

/* Virtio 1.2 §2.8.6; what the device has written to is marked as the driver had. One store. */
static inline void slot_use(const struct vring_dev *r, struct pos p, uint16_t id, uint32_t len)
{
	union vring_word w = {.packed = {
				      .len = len,
				      .id = id,
				      .flags = (uint16_t)((p.wrap ? AVAIL | USED : 0) |
							  (len ? VRING_DESC_F_WRITE : 0)),
			      }};

	__atomic_store_n((uint64_t *)&r->pdesc[p.idx] + 1, w.word[1], __ATOMIC_RELEASE);
}

int vring_packed_begin(struct vring_dev *r, uint32_t base, struct err *e)
{
	r->next = base & 0x7fff;
	r->wrap = base >> 15 & 1;
	if (r->next >= r->size)
		return err_set(e, EINVAL, "base %u of a ring of %u entries", r->next, r->size);
	return 0;
}

/* ---- inflight ---- */

static uint16_t area_num(
	const struct vring_dev *r, const struct vring_inflight_packed *area, uint16_t slot)
{
	uint16_t num = __atomic_load_n(&area->desc[slot].num, __ATOMIC_RELAXED);

	return num && num <= r->size ? num : 1;
}

/*
 * From @p, where everything before is used, to @end. What another kind of back end has left in flight
 * is not looked for: none that serves a network device keeps such an area.
 */
static struct pos burst_recover(const struct vring_dev *r, const struct vring_inflight_packed *area,
	struct pos p, struct pos end)
{
	struct pos done;
	unsigned int steps;

	for (steps = 0; steps < r->size && !pos_equal(p, end) &&
			!flags_available(flags_load(&r->pdesc[p.idx]), p.wrap);
		steps++)
		p = pos_add(r, p, area_num(r, area, p.idx));
	done = p;
	for (; steps < r->size && !pos_equal(p, end); steps++) {
		struct vring_packed_desc *d = &r->pdesc[p.idx];

		if (flags_used(flags_load(d), p.wrap)) {
			d->len = area->desc[p.idx].len;
			__atomic_store_n(&d->flags,
				(uint16_t)((area->desc[p.idx].flags & ~(AVAIL | USED)) |
					   (p.wrap ? AVAIL : USED)),
				__ATOMIC_RELEASE);
		}
		p = pos_add(r, p, area_num(r, area, p.idx));
	}
	return done;
}

static void area_commit(struct vring_dev *r)
{
	struct vring_inflight_packed *area = r->inflight_packed;

	/* Who dies between the two is a lap behind: all of it is done, which recovery finds. */
	__atomic_store_n(&area->old_used_idx, r->next, __ATOMIC_RELEASE);
	__atomic_store_n(&area->old_used_wrap, (uint8_t)r->wrap, __ATOMIC_RELEASE);
}

int vring_packed_inflight(struct vring_dev *r, const struct vring_setup *s, struct err *e)
{
	struct vring_inflight_packed *area = s->inflight;
	struct pos from, end;

	if (area->version != VRING_INFLIGHT_VERSION ||
		__atomic_load_n(&area->desc_num, __ATOMIC_RELAXED) != r->size) {
		memset(area, 0, sizeof(*area) + r->size * sizeof(area->desc[0]));
		for (uint16_t i = 0; i + 1u < r->size; i++)
			area->desc[i].next = (uint16_t)(i + 1);
		area->desc_num = r->size;
		area->used_idx = area->old_used_idx = r->next;
		area->used_wrap = area->old_used_wrap = r->wrap;
		area->version = VRING_INFLIGHT_VERSION;
		r->inflight_packed = area;
		return 0;
	}
	from.idx = __atomic_load_n(&area->old_used_idx, __ATOMIC_RELAXED);
	from.wrap = area->old_used_wrap & 1;
	end.idx = __atomic_load_n(&area->used_idx, __ATOMIC_RELAXED);
	end.wrap = area->used_wrap & 1;
	if (from.idx >= r->size || end.idx >= r->size)
		return err_set(e, EINVAL, "inflight area: index %u and %u in a ring of %u entries",
			from.idx, end.idx, r->size);
	r->inflight_packed = area;
	from = burst_recover(r, area, from, end);
	r->next = from.idx;
	r->wrap = from.wrap;
	r->multi = true; /* it may be marked so somewhere */
	area->used_idx = r->next;
	area->used_wrap = r->wrap;
	area_commit(r);
	return 0;
}

/* What burst_recover() will need of chains [0, @n), before the first of them is marked. */
static void area_prepare(
	struct vring_dev *r, const struct vring_burst *b, unsigned int n, struct pos p, bool many)
{
	struct vring_inflight_packed *area = r->inflight_packed;

	for (unsigned int i = 0; i < n; i++) {
		struct vring_inflight_desc_packed *a = &area->desc[p.idx];
		const struct vring_packed_desc *d = &r->pdesc[p.idx];

		r->multi |= b->chain[i].slots > 1;
		if (r->multi)
			a->num = b->chain[i].slots;
		if (many) {
			a->flags = d->flags;
			a->len = d->len;
		}
		p = pos_add(r, p, b->chain[i].slots);
	}
	__atomic_store_n(&area->used_wrap, (uint8_t)p.wrap, __ATOMIC_RELEASE);
	__atomic_store_n(&area->used_idx, p.idx, __ATOMIC_RELEASE);
}

/* ---- fetch ---- */

static enum vring_error part_add(const struct vring_dev *r, struct vring_burst *b,
	struct vring_chain *c, const struct vring_packed_desc *d)
{
	if (!!(d->flags & VRING_DESC_F_WRITE) != r->to_guest)
		return VRING_ERROR_DIRECTION;
	return vring_seg_add(r, b, c, d->addr, d->len);
}

/* Virtio 1.2 §2.8.7: all its entries, in order. */
static enum vring_error table_add(const struct vring_dev *r, struct vring_burst *b,
	struct vring_chain *c, const struct vring_packed_desc *d)
{
	struct vring_table t;
	enum vring_error error = vring_table_open(r, d->addr, d->len, &t);

	for (unsigned int i = 0; error == VRING_OK && i < t.n; i++) {
		union vring_word w;

		error = vring_table_read(r, &t, i, &w);
		if (error != VRING_OK)
			break;
		if (w.packed.flags & VRING_DESC_F_INDIRECT)
			return VRING_ERROR_INDIRECT;
		error = part_add(r, b, c, &w.packed);
	}
	return error;
}

/*
 * A chain that is not one descriptor in one region. Also one that makes no sense must be followed to
 * its end: there is its id, and the next one begins behind it. Sets slots to 0 when it has no end.
 */
static __attribute__((noinline)) enum vring_error chain_add(const struct vring_dev *r,
	struct vring_burst *b, struct vring_chain *c, struct pos p, union vring_word w,
	unsigned int room)
{
	enum vring_error error = VRING_OK;

	for (c->slots = 1;; c->slots++) {
		uint16_t flags = w.packed.flags;

		c->id = w.packed.id;
		if (error != VRING_OK)
			;
		else if (!(flags & VRING_DESC_F_INDIRECT))
			error = part_add(r, b, c, &w.packed);
		else if (flags & VRING_DESC_F_NEXT || c->slots > 1)
			error = VRING_ERROR_INDIRECT;
		else
			error = table_add(r, b, c, &w.packed);
		if (!(flags & VRING_DESC_F_NEXT))
			break;
		if (c->slots == room) {
			c->slots = 0;
			return error;
		}
		p = pos_add(r, p, 1);
		w = vring_word_load(&r->pdesc[p.idx]);
	}
	return error != VRING_OK ? error : vring_len_check(r, c->len);
}

/* Returns false when the burst has no room for it. @room: entries of the ring not in the burst. */
static inline bool chain_fetch(const struct vring_dev *r, struct vring_burst *b, struct pos p,
	union vring_word w, unsigned int room, bool to_guest)
{
	struct vring_chain *c = &b->chain[b->n];
	unsigned int first = b->nr_segs;
	enum vring_error error;
	uint8_t *hva = NULL;

	*c = (struct vring_chain){
		.id = w.packed.id, .slots = 1, .seg = (uint16_t)first, .error = VRING_OK};
	if (likely(first < VRING_SEGS && w.packed.len &&
		    (w.packed.flags &
			    (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE)) ==
			    (to_guest ? VRING_DESC_F_WRITE : 0)))
		hva = vmem_gpa(r->mem, w.packed.addr, w.packed.len);
	if (likely(hva)) {
		b->seg[first] = (struct vring_seg){hva, w.packed.len};
		b->nr_segs = first + 1;
		c->nr_segs = 1;
		c->len = w.packed.len;
		error = vring_len_check(r, c->len);
	} else {
		error = chain_add(r, b, c, p, w, room);
		if (!c->slots || (error == VRING_ERROR_LOOP && b->nr_segs == VRING_SEGS && b->n)) {
			b->nr_segs = first;
			return false;
		}
	}
	if (unlikely(error != VRING_OK)) {
		b->nr_segs = first;
		b->nr_bad++;
		c->error = (uint8_t)error;
		c->nr_segs = 0;
		c->len = 0;
	} else {
		vring_prefetch_frame(r->header, b->seg[first].hva, to_guest);
	}
	b->n++;
	return true;
}

static inline unsigned int fetch(
	struct vring_dev *r, struct vring_burst *b, unsigned int max, bool to_guest)
{
	struct pos p = {r->next, r->wrap};
	unsigned int room = r->size;

	while (b->n < max && room) {
		const uint64_t *d = (const uint64_t *)&r->pdesc[p.idx];
		union vring_word w;

		/* Pairs with the guest's release, behind the rest of the chain. */
		w.word[1] = __atomic_load_n(d + 1, __ATOMIC_ACQUIRE);
		if (!flags_available(w.packed.flags, p.wrap))
			break;
		w.word[0] = __atomic_load_n(d, __ATOMIC_RELAXED);
		/* Four lie in a line; the guest writes, and we will write, those further on. */
		vring_prefetch_write(&r->pdesc[p.idx + 8 < r->size ? p.idx + 8 : 0]);
		if (unlikely(!chain_fetch(r, b, p, w, room, to_guest))) {
			if (!b->n)
				return vring_break(r, b, VRING_ERROR_LOOP,
					"a chain of more descriptors than the ring's %u", r->size);
			break;
		}
		room -= b->chain[b->n - 1].slots;
		p = pos_add(r, p, b->chain[b->n - 1].slots);
	}
	return b->n;
}

unsigned int vring_packed_fetch(struct vring_dev *r, struct vring_burst *b, unsigned int max)
{
	return r->to_guest ? fetch(r, b, max, true) : fetch(r, b, max, false);
}

/* ---- publish ---- */

/* A frame of chains [@i, @end): the first is marked last. */
static void frame_publish(const struct vring_dev *r, const struct vring_burst *b, unsigned int i,
	unsigned int end, struct pos first)
{
	struct pos p = first;

	for (unsigned int k = i + 1; k < end; k++) {
		p = pos_add(r, p, b->chain[k - 1].slots);
		slot_use(r, p, b->chain[k].id, b->chain[k].used_len);
	}
	slot_use(r, first, b->chain[i].id, b->chain[i].used_len);
}

void vring_packed_publish(struct vring_dev *r, const struct vring_burst *b, unsigned int n)
{
	struct pos p = {r->next, r->wrap};
	bool many = false;

	if (r->inflight_packed) {
		for (unsigned int i = 0; i < n; i++)
			many |= b->chain[i].more;
		area_prepare(r, b, n, p, many);
	}
	for (unsigned int i = 0; i < n;) {
		unsigned int end = i + 1;

		if (unlikely(b->chain[i].more)) {
			while (end < n && b->chain[end - 1].more)
				end++;
			frame_publish(r, b, i, end, p);
		} else {
			slot_use(r, p, b->chain[i].id, b->chain[i].used_len);
		}
		for (; i < end; i++)
			p = pos_add(r, p, b->chain[i].slots);
	}
	r->next = p.idx;
	r->wrap = p.wrap;
	if (r->inflight_packed)
		area_commit(r);
}

/* ---- notifications, Virtio 1.2 §2.8.10, §2.8.14 ---- */

bool vring_packed_wanted(const struct vring_dev *r)
{
	/* One load: the two fields belong together. */
	uint32_t both = __atomic_load_n((const uint32_t *)r->driver, __ATOMIC_RELAXED);
	uint16_t off = (uint16_t)both & 0x7fff, flags = (uint16_t)(both >> 16) & 3;
	uint16_t next = r->next, told = r->told;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !r->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	if ((both >> WRAP & 1) != r->wrap)
		off = (uint16_t)(off - r->size);
	/* A burst is never more than a ring; what is exactly one is told, see vring_notify(). */
	if (next <= told)
		told = (uint16_t)(told - r->size);
	return (uint16_t)(next - off - 1) < (uint16_t)(next - told);
}

void vring_packed_kicks(struct vring_dev *r, bool on)
{
	uint32_t flags = VRING_PACKED_EVENT_FLAG_DISABLE, off = 0;

	if (on && r->event_idx) {
		flags = VRING_PACKED_EVENT_FLAG_DESC;
		off = r->next | (uint32_t)r->wrap << WRAP;
	} else if (on) {
		flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	}
	__atomic_store_n((uint32_t *)r->device, flags << 16 | off, __ATOMIC_RELAXED);
}

bool vring_packed_pending(const struct vring_dev *r)
{
	return flags_available(flags_load(&r->pdesc[r->next]), r->wrap);
}
