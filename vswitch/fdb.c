// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/fdb.h"

#define WAYS 4
#define NIL  UINT32_MAX

#define TRIES 64 /* some microseconds */

/* Written with one store, so that readers see one whole slot or another. */
struct slot {
	uint16_t port;
	uint16_t state; /* STATIC, or the generation of the port's learned entries it is of */
	uint32_t seen_s;
};

#define STATIC      0x8000u
#define GENERATIONS 0x8000u

/*
 * Readers take no lock. A key is stored after its slot and taken away before the slot changes, so
 * whoever sees the key, then the slot, then still the key, has what belongs together.
 */
struct bucket {
	uint64_t key[WAYS];  /* 0 = free */
	uint64_t slot[WAYS]; /* struct slot */
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct bucket, slot) == WAYS * sizeof(uint64_t), "see key_at()");
_Static_assert(WAYS == 4, "see bucket_find()");
_Static_assert(sizeof(struct bucket) == 64, "a bucket is one cache line");
_Static_assert(sizeof(struct slot) == sizeof(uint64_t), "a slot is one word");

struct link {
	uint32_t prev, next;
};

struct list {
	uint32_t head, tail;
};

struct port {
	struct list list; /* learned entries, least recently seen first */
	uint32_t learned, statics;
	uint32_t limit;
	struct fdb_port_stats stats;
};

/* What is read by all and what is written has lines of its own. */
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding)
struct fdb {
	/* Read by everybody; never written behind fdb_create() but for what they point to. */
	struct bucket *buckets;
	uint16_t *generations; /* by port: entries of another one are gone */
	uint64_t seed;
	uint32_t mask; /* of buckets */
	uint32_t capacity;
	uint16_t nr_ports;

	/* Everything else, and every write to buckets and generations */
	pthread_mutex_t lock __attribute__((aligned(64)));
	struct link *links;
	struct port *ports;
	struct list gone; /* flushed; still in their slots */
	uint32_t count;   /* that are not */
	uint32_t ageing_s;
};

/*
 * Where @key lies, as one number: its low half chooses the first bucket, the high half the second.
 * splitmix64's finaliser over a secret: addresses are chosen by guests.
 */
static inline uint64_t key_place(const struct fdb *f, uint64_t key)
{
	uint64_t z = key ^ f->seed;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline uint32_t place_first(const struct fdb *f, uint64_t at)
{
	return (uint32_t)at & f->mask;
}

static inline uint32_t place_second(const struct fdb *f, uint64_t at)
{
	return ((uint32_t)at ^ ((uint32_t)(at >> 32) | 1)) & f->mask;
}

/* Where the key of slot @i is, its slot being WAYS behind it: f->buckets as words. */
static inline uint64_t *key_at(const struct fdb *f, uint32_t i)
{
	return (uint64_t *)f->buckets + i + (i & ~(WAYS - 1u));
}

static inline uint64_t key_get(const struct fdb *f, uint32_t i)
{
	return __atomic_load_n(key_at(f, i), __ATOMIC_ACQUIRE);
}

static void key_put(struct fdb *f, uint32_t i, uint64_t key)
{
	__atomic_store_n(key_at(f, i), key, __ATOMIC_RELEASE);
}

static inline struct slot slot_get(const struct fdb *f, uint32_t i)
{
	uint64_t v = __atomic_load_n(key_at(f, i) + WAYS, __ATOMIC_ACQUIRE);
	struct slot s;

	memcpy(&s, &v, sizeof(s));
	return s;
}

/* A release: whoever sees it sees that the key before it is gone. */
static void slot_put(struct fdb *f, uint32_t i, struct slot s)
{
	uint64_t v;

	memcpy(&v, &s, sizeof(v));
	__atomic_store_n(key_at(f, i) + WAYS, v, __ATOMIC_RELEASE);
}

static bool slot_is_gone(const struct fdb *f, struct slot s)
{
	return !(s.state & STATIC) &&
	       s.state != __atomic_load_n(&f->generations[s.port], __ATOMIC_RELAXED);
}

static inline unsigned int way_hit(const uint64_t *keys, unsigned int w, uint64_t key)
{
	return (unsigned int)(__atomic_load_n(&keys[w], __ATOMIC_ACQUIRE) == key) << w;
}

/* Which way has @key is not predictable: one branch for all of them. */
static inline uint32_t bucket_find(const struct fdb *f, uint32_t b, uint64_t key)
{
	const uint64_t *keys = f->buckets[b].key;
	unsigned int hit = way_hit(keys, 0, key) | way_hit(keys, 1, key) | way_hit(keys, 2, key) |
			   way_hit(keys, 3, key);

	return hit ? b * WAYS + (uint32_t)__builtin_ctz(hit) : NIL;
}

static inline uint32_t key_find(const struct fdb *f, uint64_t key, uint64_t at)
{
	uint32_t i = bucket_find(f, place_first(f, at), key);

	return i != NIL ? i : bucket_find(f, place_second(f, at), key);
}

/* Without the lock: whether there is an entry for @key, and what it says. */
static inline bool key_read(const struct fdb *f, uint64_t key, uint64_t at, struct slot *ret)
{
	uint32_t i = key ? key_find(f, key, at) : NIL;

	if (i == NIL)
		return false;
	*ret = slot_get(f, i);
	/* To be fooled the slot would have to change hands twice and back between three loads. */
	return key_get(f, i) == key && !slot_is_gone(f, *ret);
}

/* --- what follows is under the lock */

static void list_append(struct fdb *f, struct list *l, uint32_t i)
{
	f->links[i] = (struct link){.prev = l->tail, .next = NIL};
	if (l->tail != NIL)
		f->links[l->tail].next = i;
	else
		l->head = i;
	l->tail = i;
}

static void list_remove(struct fdb *f, struct list *l, uint32_t i)
{
	struct link k = f->links[i];

	if (k.prev != NIL)
		f->links[k.prev].next = k.next;
	else
		l->head = k.next;
	if (k.next != NIL)
		f->links[k.next].prev = k.prev;
	else
		l->tail = k.prev;
}

static void entry_free(struct fdb *f, uint32_t i)
{
	struct slot s = slot_get(f, i);
	struct port *p = &f->ports[s.port];

	if (slot_is_gone(f, s)) {
		list_remove(f, &f->gone, i);
	} else {
		if (s.state & STATIC) {
			p->statics--;
		} else {
			list_remove(f, &p->list, i);
			p->learned--;
		}
		f->count--;
	}
	key_put(f, i, 0);
}

static void entry_fill(
	struct fdb *f, uint32_t i, uint64_t key, uint16_t port, bool is_static, uint32_t now_s)
{
	struct port *p = &f->ports[port];
	uint16_t state = is_static ? STATIC : f->generations[port];

	slot_put(f, i, (struct slot){.port = port, .state = state, .seen_s = now_s});
	key_put(f, i, key);
	if (is_static) {
		p->statics++;
	} else {
		list_append(f, &p->list, i);
		p->learned++;
	}
	f->count++;
}

static void entry_evict(struct fdb *f, uint32_t i)
{
	f->ports[slot_get(f, i).port].stats.evicted++;
	entry_free(f, i);
}

/* Take the oldest entry of the port that has most. Returns false when all are static. */
static bool room_make(struct fdb *f)
{
	struct port *most = NULL;

	for (uint16_t i = 0; i < f->nr_ports; i++)
		if (f->ports[i].learned && (!most || f->ports[i].learned > most->learned))
			most = &f->ports[i];
	if (!most)
		return false;
	entry_evict(f, most->list.head);
	return true;
}

/* A free slot for @key, or one whose learned entry is of the port that has most; else NIL. */
static uint32_t slot_find(struct fdb *f, uint64_t key)
{
	uint64_t at = key_place(f, key);
	const uint32_t both[] = {place_first(f, at), place_second(f, at)};
	uint32_t victim = NIL;
	struct slot v = {0};

	for (unsigned int b = 0; b < 2; b++) {
		uint32_t i = bucket_find(f, both[b], 0);

		if (i != NIL)
			return i;
	}
	for (unsigned int n = 0; n < 2 * WAYS; n++) {
		uint32_t i = both[n / WAYS] * WAYS + n % WAYS;
		struct slot s = slot_get(f, i);

		if (slot_is_gone(f, s)) {
			entry_free(f, i);
			return i;
		}
		if (s.state & STATIC)
			continue;
		if (victim == NIL || f->ports[s.port].learned > f->ports[v.port].learned ||
			(s.port == v.port && s.seen_s < v.seen_s)) {
			victim = i;
			v = s;
		}
	}
	if (victim != NIL)
		entry_evict(f, victim);
	return victim;
}

/* The entry of @key; one that is gone is made free. */
static uint32_t entry_find(struct fdb *f, uint64_t key)
{
	uint32_t i = key ? key_find(f, key, key_place(f, key)) : NIL;

	if (i != NIL && slot_is_gone(f, slot_get(f, i))) {
		entry_free(f, i);
		return NIL;
	}
	return i;
}

static bool key_valid(uint64_t key)
{
	return (key & 0xffffffffffffull) && !(key >> 40 & 1);
}

int fdb_create(const struct fdb_config *cfg, struct fdb **ret)
{
	uint32_t buckets = 2;
	struct fdb *f;

	if (!cfg->capacity || cfg->capacity > 1u << 20 || !cfg->nr_ports ||
		cfg->nr_ports == FDB_NO_PORT)
		return -EINVAL;
	/* At most half full: both buckets of a key are then hardly ever full. */
	while (buckets * WAYS < cfg->capacity * 2)
		buckets *= 2;
	f = aligned_alloc(64, sizeof(*f));
	if (!f)
		return -ENOMEM;
	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	f->buckets = aligned_alloc(64, buckets * sizeof(struct bucket));
	f->links = calloc((size_t)buckets * WAYS, sizeof(*f->links));
	f->ports = calloc(cfg->nr_ports, sizeof(*f->ports));
	f->generations = calloc(cfg->nr_ports, sizeof(*f->generations));
	if (!f->buckets || !f->links || !f->ports || !f->generations) {
		fdb_destroy(f);
		return -ENOMEM;
	}
	memset(f->buckets, 0, buckets * sizeof(struct bucket));
	f->mask = buckets - 1;
	f->capacity = cfg->capacity;
	f->nr_ports = cfg->nr_ports;
	f->ageing_s = cfg->ageing_s;
	f->seed = cfg->seed;
	f->gone = (struct list){NIL, NIL};
	for (uint16_t i = 0; i < f->nr_ports; i++) {
		f->ports[i].list = (struct list){NIL, NIL};
		f->ports[i].limit = FDB_LIMIT_NONE;
	}
	*ret = f;
	return 0;
}

void fdb_destroy(struct fdb *f)
{
	if (!f)
		return;
	pthread_mutex_destroy(&f->lock);
	free(f->buckets);
	free(f->generations);
	free(f->links);
	free(f->ports);
	free(f);
}

uint16_t fdb_lookup_at(const struct fdb *f, uint64_t key, uint64_t at)
{
	struct slot s;

	return key_read(f, key, at, &s) ? s.port : FDB_NO_PORT;
}

uint16_t fdb_lookup(const struct fdb *f, uint64_t key)
{
	return fdb_lookup_at(f, key, key_place(f, key));
}

uint64_t fdb_prefetch(const struct fdb *f, uint64_t key)
{
	uint64_t at = key_place(f, key);

	__builtin_prefetch(&f->buckets[place_first(f, at)]);
	return at;
}

static void refused_count(struct port *p)
{
	__atomic_fetch_add(&p->stats.refused, 1, __ATOMIC_RELAXED);
}

/* @key is not on @port, or not yet. Under the lock. */
static enum fdb_learned entry_learn(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s)
{
	struct port *p = &f->ports[port];
	enum fdb_learned what = FDB_NEW;
	uint32_t i = entry_find(f, key);

	if (i != NIL) {
		struct slot s = slot_get(f, i);

		/* Another thread was faster. */
		if (s.port == port)
			return FDB_KNOWN;
		if (s.state & STATIC) {
			refused_count(p);
			return FDB_REFUSED;
		}
		entry_free(f, i);
		what = FDB_MOVED;
	}
	if (!p->limit)
		return FDB_FULL;
	if (p->learned >= p->limit)
		entry_evict(f, p->list.head);
	else if (f->count >= f->capacity && !room_make(f))
		return FDB_FULL;
	i = slot_find(f, key);
	if (i == NIL)
		return FDB_FULL;
	entry_fill(f, i, key, port, false, now_s);
	if (what == FDB_MOVED)
		p->stats.moved++;
	else
		p->stats.learned++;
	return what;
}

/* @key was seen again. Under the lock. */
static void entry_refresh(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s)
{
	uint32_t i = entry_find(f, key);
	struct slot s;

	if (i == NIL)
		return;
	s = slot_get(f, i);
	if (s.port != port || s.state & STATIC || s.seen_s >= now_s)
		return;
	s.seen_s = now_s;
	slot_put(f, i, s);
	list_remove(f, &f->ports[port].list, i);
	list_append(f, &f->ports[port].list, i);
}

/* Who moves frames waits for nobody; the lock is mostly held for some hundred cycles. */
static bool lock_try(struct fdb *f)
{
	for (unsigned int i = 0; i < TRIES; i++)
		if (!pthread_mutex_trylock(&f->lock))
			return true;
	return false;
}

/* What is left when @s, which the table has for @key if @known, is not on @port and fresh. */
static __attribute__((noinline)) enum fdb_learned slot_learn(
	struct fdb *f, uint64_t key, bool known, struct slot s, uint16_t port, uint32_t now_s)
{
	enum fdb_learned what;

	if (known && s.port == port) {
		/*
		 * Once a second is enough, and keeps the line clean in between. If somebody else has
		 * the lock, the next frame will do.
		 */
		if (!pthread_mutex_trylock(&f->lock)) {
			entry_refresh(f, key, port, now_s);
			pthread_mutex_unlock(&f->lock);
		}
		return FDB_KNOWN;
	}
	if (known && s.state & STATIC) {
		refused_count(&f->ports[port]);
		return FDB_REFUSED;
	}
	if (!lock_try(f))
		return FDB_BUSY;
	what = entry_learn(f, key, port, now_s);
	pthread_mutex_unlock(&f->lock);
	return what;
}

enum fdb_learned fdb_learn_at(
	struct fdb *f, uint64_t key, uint64_t at, uint16_t port, uint32_t now_s)
{
	struct slot s = {0};
	bool known;

	if (!key_valid(key))
		return FDB_REFUSED;
	known = key_read(f, key, at, &s);
	if (known && s.port == port && (s.seen_s >= now_s || s.state & STATIC))
		return FDB_KNOWN;
	return slot_learn(f, key, known, s, port, now_s);
}

enum fdb_learned fdb_learn(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s)
{
	return fdb_learn_at(f, key, key_place(f, key), port, now_s);
}

int fdb_add_static(struct fdb *f, uint64_t key, uint16_t port)
{
	int r = -ENOSPC;
	uint32_t i;

	if (!key_valid(key) || port >= f->nr_ports)
		return -EINVAL;
	pthread_mutex_lock(&f->lock);
	i = entry_find(f, key);
	if (i != NIL)
		entry_free(f, i);
	if (f->count < f->capacity || room_make(f)) {
		i = slot_find(f, key);
		if (i != NIL) {
			entry_fill(f, i, key, port, true, 0);
			r = 0;
		}
	}
	pthread_mutex_unlock(&f->lock);
	return r;
}

int fdb_remove(struct fdb *f, uint64_t key)
{
	uint32_t i;

	pthread_mutex_lock(&f->lock);
	i = entry_find(f, key);
	if (i != NIL)
		entry_free(f, i);
	pthread_mutex_unlock(&f->lock);
	return i == NIL ? -ENOENT : 0;
}

static void gone_free(struct fdb *f, uint32_t max)
{
	while (max-- && f->gone.head != NIL)
		entry_free(f, f->gone.head);
}

/* All that @port has learned, at once: its entries are now of a generation that has passed. */
static uint32_t port_flush(struct fdb *f, uint16_t port)
{
	struct port *p = &f->ports[port];
	uint16_t next = (uint16_t)((f->generations[port] + 1) % GENERATIONS);
	uint32_t n = p->learned;

	if (!n)
		return 0;
	/* Before a number comes round again, the last that had it must be gone for good. */
	if (!next)
		gone_free(f, UINT32_MAX);
	__atomic_store_n(&f->generations[port], next, __ATOMIC_RELEASE);
	f->links[p->list.head].prev = f->gone.tail;
	if (f->gone.tail != NIL)
		f->links[f->gone.tail].next = p->list.head;
	else
		f->gone.head = p->list.head;
	f->gone.tail = p->list.tail;
	p->list = (struct list){NIL, NIL};
	p->learned = 0;
	f->count -= n;
	return n;
}

/* One by one; others may take the lock in between. */
static uint32_t slots_flush(struct fdb *f, uint16_t port, uint16_t vlan, bool statics_too)
{
	uint32_t n = 0;

	for (uint32_t b = 0; b <= f->mask; b++) {
		pthread_mutex_lock(&f->lock);
		for (uint32_t i = b * WAYS; i < (b + 1) * WAYS; i++) {
			struct slot s = slot_get(f, i);
			uint64_t key = key_get(f, i);

			if (!key || slot_is_gone(f, s) || (port != FDB_NO_PORT && s.port != port) ||
				(vlan != FDB_ANY_VLAN && key >> 48 != vlan) ||
				(s.state & STATIC && !statics_too))
				continue;
			entry_free(f, i);
			n++;
		}
		pthread_mutex_unlock(&f->lock);
	}
	return n;
}

uint32_t fdb_flush(struct fdb *f, uint16_t port, uint16_t vlan, bool statics_too)
{
	bool statics = false;
	uint32_t n = 0;

	if (vlan != FDB_ANY_VLAN)
		return slots_flush(f, port, vlan, statics_too);
	pthread_mutex_lock(&f->lock);
	for (uint16_t i = 0; i < f->nr_ports; i++)
		if (port == FDB_NO_PORT || port == i) {
			n += port_flush(f, i);
			statics |= f->ports[i].statics > 0;
		}
	pthread_mutex_unlock(&f->lock);
	return statics && statics_too ? n + slots_flush(f, port, vlan, true) : n;
}

uint32_t fdb_age(struct fdb *f, uint32_t now_s, uint32_t max)
{
	uint32_t n = 0;

	pthread_mutex_lock(&f->lock);
	for (uint16_t i = 0; f->ageing_s && i < f->nr_ports; i++) {
		struct port *p = &f->ports[i];

		/* What another thread has just seen may be newer than @now_s. */
		while (n < max && p->list.head != NIL &&
			(int64_t)now_s - slot_get(f, p->list.head).seen_s > f->ageing_s) {
			entry_free(f, p->list.head);
			p->stats.aged++;
			n++;
		}
	}
	gone_free(f, max - n);
	pthread_mutex_unlock(&f->lock);
	return n;
}

void fdb_limit_set(struct fdb *f, uint16_t port, uint32_t limit)
{
	struct port *p = &f->ports[port];

	pthread_mutex_lock(&f->lock);
	p->limit = limit;
	while (p->learned > limit)
		entry_evict(f, p->list.head);
	pthread_mutex_unlock(&f->lock);
}

void fdb_ageing_set(struct fdb *f, uint32_t ageing_s)
{
	pthread_mutex_lock(&f->lock);
	f->ageing_s = ageing_s;
	pthread_mutex_unlock(&f->lock);
}

uint32_t fdb_count(struct fdb *f)
{
	uint32_t n;

	pthread_mutex_lock(&f->lock);
	n = f->count;
	pthread_mutex_unlock(&f->lock);
	return n;
}

void fdb_port_stats_get(struct fdb *f, uint16_t port, struct fdb_port_stats *ret)
{
	const struct port *p = &f->ports[port];

	pthread_mutex_lock(&f->lock);
	*ret = (struct fdb_port_stats){
		.learned = p->stats.learned,
		.moved = p->stats.moved,
		.refused = __atomic_load_n(&p->stats.refused, __ATOMIC_RELAXED),
		.evicted = p->stats.evicted,
		.aged = p->stats.aged,
	};
	ret->entries = p->learned + p->statics;
	pthread_mutex_unlock(&f->lock);
}

bool fdb_next(const struct fdb *f, size_t *cursor, struct fdb_entry *ret)
{
	size_t slots = (size_t)(f->mask + 1) * WAYS;

	while (*cursor < slots) {
		uint32_t i = (uint32_t)(*cursor)++;
		uint64_t key = key_get(f, i);
		struct slot s = slot_get(f, i);

		if (!key || key_get(f, i) != key || slot_is_gone(f, s))
			continue;
		*ret = (struct fdb_entry){
			.mac = key & 0xffffffffffffull,
			.vlan = (uint16_t)(key >> 48),
			.port = s.port,
			.seen_s = s.seen_s,
			.is_static = s.state & STATIC,
		};
		return true;
	}
	return false;
}
