/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forwarding database: which port an address of a VLAN was last seen on.
 *
 * Buckets of four keys and four results fill one cache line each; a key may lie in either of two
 * buckets and never moves once stored. Entries of a port form a list, least recently seen first: it
 * is what ages and what is evicted. A port over its limit pays itself; a full table takes from the
 * port that has most, so one guest that invents addresses cannot push out another's.
 *
 * Any thread may call anything at any time. Looking up takes no lock and writes nothing. Learning takes
 * one when there is something new to learn, and once a second for what is known, and does without when
 * somebody else has it for long: the next frame will do. Flushing a port marks its entries as gone,
 * however many, and fdb_age() clears them away.
 *
 * Seconds are any monotonic count.
 */
#ifndef VIADUCT_VSWITCH_FDB_H
#define VIADUCT_VSWITCH_FDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FDB_NO_PORT    UINT16_MAX
#define FDB_ANY_VLAN   UINT16_MAX
#define FDB_LIMIT_NONE UINT32_MAX

struct fdb;

struct fdb_config {
	uint32_t capacity; /* entries, 1 to 1 << 20 */
	uint16_t nr_ports; /* ports are [0, nr_ports) */
	uint32_t ageing_s; /* 0 = learned entries stay */
	uint64_t seed;     /* random, so that nobody can aim at one bucket */
};

enum fdb_learned {
	FDB_KNOWN,   /* was there */
	FDB_NEW,     /* is there now */
	FDB_MOVED,   /* was on another port */
	FDB_REFUSED, /* static on another port */
	FDB_FULL,    /* no room that may be taken */
	FDB_BUSY,    /* somebody else changes the table: not now */
};

struct fdb_entry {
	uint64_t mac;
	uint16_t vlan;
	uint16_t port;
	uint32_t seen_s;
	bool is_static;
};

struct fdb_port_stats {
	uint32_t entries;
	uint64_t learned, moved, refused, evicted, aged;
};

/* The key of @mac (48 bits) in @vlan (12 bits). 0 is no key: nothing has the address 0 in VLAN 0. */
static inline uint64_t fdb_key(uint64_t mac, uint16_t vlan)
{
	return mac | (uint64_t)vlan << 48;
}

/* Returns 0, -EINVAL (a number out of range) or -ENOMEM. The caller owns *@ret: fdb_destroy(). */
int fdb_create(const struct fdb_config *cfg, struct fdb **ret);
void fdb_destroy(struct fdb *f);

/* The port of @key or FDB_NO_PORT. Does not refresh it. */
uint16_t fdb_lookup(const struct fdb *f, uint64_t key);

/*
 * Ask for the memory a later call with @key will read. Returns where that is, for the calls that end in
 * _at; it holds as long as the table does.
 */
uint64_t fdb_prefetch(const struct fdb *f, uint64_t key);
uint16_t fdb_lookup_at(const struct fdb *f, uint64_t key, uint64_t at);

/* @key was seen on @port at @now_s. */
enum fdb_learned fdb_learn(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s);
enum fdb_learned fdb_learn_at(
	struct fdb *f, uint64_t key, uint64_t at, uint16_t port, uint32_t now_s);

/*
 * @key is on @port until removed, whatever is seen. Replaces what was learned, or an older static
 * entry. Returns 0, -EINVAL (port, group address or key 0) or -ENOSPC.
 */
int fdb_add_static(struct fdb *f, uint64_t key, uint16_t port);

/* Returns 0 or -ENOENT. */
int fdb_remove(struct fdb *f, uint64_t key);

/* Remove entries of @port (or FDB_NO_PORT = all) in @vlan (or FDB_ANY_VLAN). Returns how many. */
uint32_t fdb_flush(struct fdb *f, uint16_t port, uint16_t vlan, bool statics_too);

/*
 * Remove what was last seen longer ago than the ageing time, at most @max entries, so that nobody waits
 * for long. Returns how many; call again when that is @max.
 */
uint32_t fdb_age(struct fdb *f, uint32_t now_s, uint32_t max);

/* At most @limit learned entries for @port; what is over goes at once, oldest first. */
void fdb_limit_set(struct fdb *f, uint16_t port, uint32_t limit);
void fdb_ageing_set(struct fdb *f, uint32_t ageing_s);

uint32_t fdb_count(struct fdb *f);
void fdb_port_stats_get(struct fdb *f, uint16_t port, struct fdb_port_stats *ret);

/* Walk: start with *@cursor 0; false at the end. Changes in between may repeat or skip entries. */
bool fdb_next(const struct fdb *f, size_t *cursor, struct fdb_entry *ret);

#endif
