// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/vhost_user_packed.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/cleanup.h"

#define F_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED  (1u << VRING_PACKED_DESC_F_USED)

/* A driver that adds entries meanwhile is done when its ring is full. */
#define TRIES 200u

/* Entries by age: 0 is where the driver goes on, and so the one it filled longest ago. */
struct view {
	struct vring_packed_desc *ring;
	uint16_t *flags; /* by index, copied once */
	unsigned int size, at;
	bool wrap; /* the driver's wrap counter at @at */
};

static unsigned int place(const struct view *v, unsigned int age)
{
	return (v->at + age) % v->size;
}

static bool is_used(const struct view *v, unsigned int age)
{
	uint16_t f = v->flags[place(v, age)];

	return !(f & F_AVAIL) == !(f & F_USED);
}

static uint16_t id_of(const struct view *v, unsigned int age)
{
	return le16toh(__atomic_load_n(&v->ring[place(v, age)].id, __ATOMIC_RELAXED));
}

/* An entry the driver has never filled. */
static bool is_blank(const struct view *v, unsigned int age)
{
	const struct vring_packed_desc *d = &v->ring[place(v, age)];

	return !v->flags[place(v, age)] && !__atomic_load_n(&d->addr, __ATOMIC_RELAXED) &&
	       !__atomic_load_n(&d->len, __ATOMIC_RELAXED);
}

static uint16_t position(const struct view *v, unsigned int age)
{
	unsigned int i = place(v, age);
	/* From @at to the end of the ring it is the round before. */
	bool wrap = age < v->size && i >= v->at ? !v->wrap : v->wrap;

	return (uint16_t)(i | (wrap ? 0x8000 : 0));
}

static bool copy_flags(struct view *v)
{
	bool same = true;

	for (unsigned int i = 0; i < v->size; i++) {
		/* Pairs with the driver's write barrier before a first descriptor's flags. */
		uint16_t f = le16toh(__atomic_load_n(&v->ring[i].flags, __ATOMIC_ACQUIRE));

		same &= f == v->flags[i];
		v->flags[i] = f;
	}
	return same;
}

/* The one place where AVAIL changes; more than one: no driver writes that, or it is at it. */
static bool find_driver(struct view *v)
{
	unsigned int changes = 0;

	v->at = 0;
	for (unsigned int i = 1; i < v->size; i++) {
		if ((v->flags[i] ^ v->flags[i - 1]) & F_AVAIL) {
			v->at = i;
			changes++;
		}
	}
	/* Without a change a round is complete, and the next one has the other wrap counter. */
	v->wrap = !!(v->flags[0] & F_AVAIL) == (v->at != 0);
	return changes <= 1;
}

static bool look(struct view *v)
{
	const struct timespec pause = {.tv_nsec = 100000};

	for (unsigned int i = 0; i < TRIES; i++) {
		if (copy_flags(v) && find_driver(v))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* The age of the last entry of the chain that begins at @age. */
static unsigned int chain_end(const struct view *v, unsigned int age)
{
	while (age + 1 < v->size && v->flags[place(v, age)] & VRING_DESC_F_NEXT)
		age++;
	return age;
}

/*
 * §2.8.9: a used entry stands for all buffers up to the one it names, and the device has gone on
 * behind that one. Where the driver has filled the last such entry again, what is behind it may be
 * the rest of that batch or buffers not looked at yet.
 */
static int find_in_order(const struct view *v, unsigned int *ret_age)
{
	unsigned int last = v->size;
	uint16_t id;

	while (last && !is_used(v, last - 1))
		last--;
	if (!last)
		return -EUCLEAN;
	*ret_age = last;
	if (is_blank(v, last - 1))
		return 0;
	id = id_of(v, last - 1);
	for (unsigned int age = last; age < v->size; age++) {
		if (id_of(v, age) == id) {
			*ret_age = chain_end(v, age) + 1;
			return 0;
		}
	}
	return 0;
}

static int find_device(
	const struct view *v, bool indirect, unsigned int *ret_age, unsigned int *ret_hole)
{
	unsigned int first = 0, next;

	while (first < v->size && is_used(v, first))
		first++;
	next = first;
	if (first < v->size) {
		/* Is it the tail of the chain before it? That one's id is in its last entry. */
		if (!indirect && first && !is_blank(v, first - 1) &&
			id_of(v, chain_end(v, first)) == id_of(v, first - 1))
			return -EUCLEAN;
		for (next = first + 1; next < v->size && is_used(v, next); next++)
			;
	}
	for (unsigned int age = next; age < v->size; age++) {
		if (is_used(v, age))
			return -EUCLEAN;
	}
	*ret_hole = next > first + 1 ? first : v->size;
	*ret_age = next > first + 1 ? next : first;
	return 0;
}

/* All that the batch's first entry was waiting for has happened. */
static void publish_hole(const struct view *v, unsigned int age)
{
	struct vring_packed_desc *d = &v->ring[place(v, age)];
	uint16_t flags = position(v, age) & 0x8000 ? F_AVAIL | F_USED : 0;

	__atomic_store_n(&d->len, 0, __ATOMIC_RELAXED);
	/* Pairs with the driver's read barrier after it saw the flags. */
	__atomic_store_n(&d->flags, htole16(flags), __ATOMIC_RELEASE);
}

int vu_packed_resume(
	void *ring, unsigned int size, uint64_t features, bool publish, uint16_t *ret_pos)
{
	_cleanup_free_ uint16_t *flags = calloc(size, sizeof(*flags));
	struct view v = {.ring = ring, .flags = flags, .size = size};
	unsigned int age, hole = size;
	int r;

	if (!flags)
		return -ENOMEM;
	if (!look(&v))
		return -EUCLEAN;
	if (features >> VIRTIO_F_IN_ORDER & 1)
		r = find_in_order(&v, &age);
	else
		r = find_device(&v, features >> VIRTIO_RING_F_INDIRECT_DESC & 1, &age, &hole);
	if (r < 0)
		return r;
	if (hole < size && publish)
		publish_hole(&v, hole);
	else if (hole < size)
		age = hole;
	*ret_pos = position(&v, age);
	return 0;
}
