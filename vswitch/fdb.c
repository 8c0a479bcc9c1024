// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/fdb.h"

#define WAYS 4
#define NIL  UINT32_MAX

struct slot {
	uint16_t port;
	uint16_t is_static;
	uint32_t seen_s;
};

struct bucket {
	uint64_t key[WAYS]; /* 0 = free */
	struct slot slot[WAYS];
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct bucket) == 64, "a bucket is one cache line");

struct link {
	uint32_t prev, next;
};

struct port {
	uint32_t head, tail; /* learned entries, least recently seen first */
	uint32_t learned, statics;
	uint32_t limit;
	struct fdb_port_stats stats;
};

struct fdb {
	struct bucket *buckets;
	struct link *links;
	struct port *ports;
	uint64_t seed;
	uint32_t mask; /* of buckets */
	uint32_t capacity, count;
	uint32_t ageing_s;
	uint16_t nr_ports;
};

struct place {
	uint32_t first, second;
};

/* splitmix64's finaliser over a secret: addresses are chosen by guests. */
static struct place key_place(const struct fdb *f, uint64_t key)
{
	uint64_t z = key ^ f->seed;
	struct place p;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	z ^= z >> 31;
	p.first = (uint32_t)z & f->mask;
	p.second = (p.first ^ ((uint32_t)(z >> 32) | 1)) & f->mask;
	return p;
}

static struct slot *slot_at(const struct fdb *f, uint32_t i)
{
	return &f->buckets[i / WAYS].slot[i % WAYS];
}

static uint64_t *key_at(const struct fdb *f, uint32_t i)
{
	return &f->buckets[i / WAYS].key[i % WAYS];
}

static uint32_t bucket_find(const struct fdb *f, uint32_t b, uint64_t key)
{
	const struct bucket *bucket = &f->buckets[b];

	for (unsigned int w = 0; w < WAYS; w++)
		if (bucket->key[w] == key)
			return b * WAYS + w;
	return NIL;
}

static uint32_t key_find(const struct fdb *f, uint64_t key)
{
	struct place p = key_place(f, key);
	uint32_t i = bucket_find(f, p.first, key);

	return i != NIL ? i : bucket_find(f, p.second, key);
}

static void list_append(struct fdb *f, struct port *p, uint32_t i)
{
	f->links[i] = (struct link){.prev = p->tail, .next = NIL};
	if (p->tail != NIL)
		f->links[p->tail].next = i;
	else
		p->head = i;
	p->tail = i;
}

static void list_remove(struct fdb *f, struct port *p, uint32_t i)
{
	struct link l = f->links[i];

	if (l.prev != NIL)
		f->links[l.prev].next = l.next;
	else
		p->head = l.next;
	if (l.next != NIL)
		f->links[l.next].prev = l.prev;
	else
		p->tail = l.prev;
}

static void entry_free(struct fdb *f, uint32_t i)
{
	struct slot *s = slot_at(f, i);
	struct port *p = &f->ports[s->port];

	if (s->is_static) {
		p->statics--;
	} else {
		list_remove(f, p, i);
		p->learned--;
	}
	*key_at(f, i) = 0;
	f->count--;
}

static void entry_fill(
	struct fdb *f, uint32_t i, uint64_t key, uint16_t port, bool is_static, uint32_t now_s)
{
	struct port *p = &f->ports[port];

	*key_at(f, i) = key;
	*slot_at(f, i) = (struct slot){.port = port, .is_static = is_static, .seen_s = now_s};
	if (is_static) {
		p->statics++;
	} else {
		list_append(f, p, i);
		p->learned++;
	}
	f->count++;
}

static void entry_evict(struct fdb *f, uint32_t i)
{
	f->ports[slot_at(f, i)->port].stats.evicted++;
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
	entry_evict(f, most->head);
	return true;
}

/* A free slot for @key, or one whose learned entry is of the port that has most; else NIL. */
static uint32_t slot_find(struct fdb *f, uint64_t key)
{
	struct place p = key_place(f, key);
	const uint32_t both[] = {p.first, p.second};
	uint32_t victim = NIL;

	for (unsigned int b = 0; b < 2; b++) {
		uint32_t i = bucket_find(f, both[b], 0);

		if (i != NIL)
			return i;
	}
	for (unsigned int n = 0; n < 2 * WAYS; n++) {
		uint32_t i = both[n / WAYS] * WAYS + n % WAYS;
		const struct slot *s = slot_at(f, i), *v;

		if (s->is_static)
			continue;
		v = victim == NIL ? NULL : slot_at(f, victim);
		if (!v || f->ports[s->port].learned > f->ports[v->port].learned ||
			(s->port == v->port && s->seen_s < v->seen_s))
			victim = i;
	}
	if (victim != NIL)
		entry_evict(f, victim);
	return victim;
}

static bool key_valid(uint64_t key)
{
	return (key & 0xffffffffffffull) && !(key >> 40 & 1);
}

int fdb_create(const struct fdb_config *cfg, struct fdb **ret)
{
	struct fdb *f;
	uint32_t buckets = 2;

	if (!cfg->capacity || cfg->capacity > 1u << 20 || !cfg->nr_ports ||
		cfg->nr_ports == FDB_NO_PORT)
		return -EINVAL;
	/* At most half full: both buckets of a key are then hardly ever full. */
	while (buckets * WAYS < cfg->capacity * 2)
		buckets *= 2;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->buckets = aligned_alloc(64, buckets * sizeof(struct bucket));
	f->links = calloc((size_t)buckets * WAYS, sizeof(struct link));
	f->ports = calloc(cfg->nr_ports, sizeof(struct port));
	if (!f->buckets || !f->links || !f->ports) {
		fdb_destroy(f);
		return -ENOMEM;
	}
	memset(f->buckets, 0, buckets * sizeof(struct bucket));
	f->mask = buckets - 1;
	f->capacity = cfg->capacity;
	f->nr_ports = cfg->nr_ports;
	f->ageing_s = cfg->ageing_s;
	f->seed = cfg->seed;
	for (uint16_t i = 0; i < f->nr_ports; i++) {
		f->ports[i].head = f->ports[i].tail = NIL;
		f->ports[i].limit = FDB_LIMIT_NONE;
	}
	*ret = f;
	return 0;
}

void fdb_destroy(struct fdb *f)
{
	if (!f)
		return;
	free(f->buckets);
	free(f->links);
	free(f->ports);
	free(f);
}

uint16_t fdb_lookup(const struct fdb *f, uint64_t key)
{
	uint32_t i = key ? key_find(f, key) : NIL;

	return i == NIL ? FDB_NO_PORT : slot_at(f, i)->port;
}

void fdb_prefetch(const struct fdb *f, uint64_t key)
{
	__builtin_prefetch(&f->buckets[key_place(f, key).first]);
}

void fdb_lookup_batch(const struct fdb *f, const uint64_t *keys, uint16_t *ports, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		fdb_prefetch(f, keys[i]);
	for (unsigned int i = 0; i < n; i++)
		ports[i] = fdb_lookup(f, keys[i]);
}

enum fdb_learned fdb_learn(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s)
{
	struct port *p = &f->ports[port];
	enum fdb_learned what = FDB_NEW;
	struct slot *s;
	uint32_t i;

	if (!key_valid(key))
		return FDB_REFUSED;
	i = key_find(f, key);
	if (i != NIL) {
		s = slot_at(f, i);
		if (s->port == port) {
			/* Once a second is enough, and keeps the line clean in between. */
			if (s->seen_s != now_s && !s->is_static) {
				s->seen_s = now_s;
				list_remove(f, p, i);
				list_append(f, p, i);
			}
			return FDB_KNOWN;
		}
		if (s->is_static) {
			p->stats.refused++;
			return FDB_REFUSED;
		}
		entry_free(f, i);
		what = FDB_MOVED;
	}
	if (!p->limit)
		return FDB_FULL;
	if (p->learned >= p->limit)
		entry_evict(f, p->head);
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

int fdb_add_static(struct fdb *f, uint64_t key, uint16_t port)
{
	uint32_t i;

	if (!key_valid(key) || port >= f->nr_ports)
		return -EINVAL;
	i = key_find(f, key);
	if (i != NIL)
		entry_free(f, i);
	else if (f->count >= f->capacity && !room_make(f))
		return -ENOSPC;
	i = slot_find(f, key);
	if (i == NIL)
		return -ENOSPC;
	entry_fill(f, i, key, port, true, 0);
	return 0;
}

int fdb_remove(struct fdb *f, uint64_t key)
{
	uint32_t i = key ? key_find(f, key) : NIL;

	if (i == NIL)
		return -ENOENT;
	entry_free(f, i);
	return 0;
}

uint32_t fdb_flush(struct fdb *f, uint16_t port, uint16_t vlan, bool statics_too)
{
	uint32_t n = 0, slots = (f->mask + 1) * WAYS;

	for (uint32_t i = 0; i < slots; i++) {
		const struct slot *s = slot_at(f, i);
		uint64_t key = *key_at(f, i);

		if (!key || (port != FDB_NO_PORT && s->port != port) ||
			(vlan != FDB_ANY_VLAN && key >> 48 != vlan) ||
			(s->is_static && !statics_too))
			continue;
		entry_free(f, i);
		n++;
	}
	return n;
}

uint32_t fdb_age(struct fdb *f, uint32_t now_s)
{
	uint32_t n = 0;

	if (!f->ageing_s)
		return 0;
	for (uint16_t i = 0; i < f->nr_ports; i++) {
		struct port *p = &f->ports[i];

		while (p->head != NIL && now_s - slot_at(f, p->head)->seen_s > f->ageing_s) {
			entry_free(f, p->head);
			p->stats.aged++;
			n++;
		}
	}
	return n;
}

void fdb_limit_set(struct fdb *f, uint16_t port, uint32_t limit)
{
	struct port *p = &f->ports[port];

	p->limit = limit;
	while (p->learned > limit)
		entry_evict(f, p->head);
}

void fdb_ageing_set(struct fdb *f, uint32_t ageing_s)
{
	f->ageing_s = ageing_s;
}

uint32_t fdb_count(const struct fdb *f)
{
	return f->count;
}

void fdb_port_stats_get(const struct fdb *f, uint16_t port, struct fdb_port_stats *ret)
{
	const struct port *p = &f->ports[port];

	*ret = p->stats;
	ret->entries = p->learned + p->statics;
}

bool fdb_next(const struct fdb *f, size_t *cursor, struct fdb_entry *ret)
{
	size_t slots = (size_t)(f->mask + 1) * WAYS;

	while (*cursor < slots) {
		uint32_t i = (uint32_t)(*cursor)++;
		uint64_t key = *key_at(f, i);
		const struct slot *s = slot_at(f, i);

		if (!key)
			continue;
		*ret = (struct fdb_entry){
			.mac = key & 0xffffffffffffull,
			.vlan = (uint16_t)(key >> 48),
			.port = s->port,
			.seen_s = s->seen_s,
			.is_static = s->is_static,
		};
		return true;
	}
	return false;
}
