// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/ip.h"
#include "vswitch/snoop.h"

#define BUCKETS 4096u
#define NONE    UINT32_MAX

#define IGMP_QUERY   0x11
#define IGMP1_REPORT 0x12
#define IGMP2_REPORT 0x16
#define IGMP2_LEAVE  0x17
#define IGMP3_REPORT 0x22
#define IP_PROTO_PIM 103
#define PIM_ROUTERS  0xe000000du /* 224.0.0.13 */

/* RFC 3376 §4.2.12, RFC 3810 §5.2.12 */
enum { IS_INCLUDE = 1, IS_EXCLUDE, TO_INCLUDE, TO_EXCLUDE, ALLOW_NEW, BLOCK_OLD };

struct key {
	uint8_t group[16]; /* all zero: the routers of the VLAN */
	uint16_t vlan;
};

/* Never freed while the switch runs, and used again as late as can be: a thread may still look. */
struct group {
	struct port_set members;
	struct port_set reach; /* and the routers of the VLAN: where it goes */
	struct key key;
	bool used;
	uint32_t records; /* first of its list */
	uint32_t next;    /* in the bucket, or in the list of free ones */
};

struct record {
	uint32_t expires_s;
	uint32_t next;
	uint16_t port;
};

struct snoop {
	struct snoop_config cfg;
	pthread_spinlock_t lock;
	struct port_set routers; /* configured ones, and where nothing else was learned */
	struct snoop_port ports[PORT_SET_MAX];
	struct snoop_port_stats stats[PORT_SET_MAX];
	uint32_t buckets[BUCKETS];
	uint32_t free_group, last_free_group, free_record;
	struct group groups[SNOOP_RECORDS_MAX];
	struct record records[SNOOP_RECORDS_MAX];
};

static const struct key no_group;

static bool key_is_router(const struct key *k)
{
	return !memcmp(k->group, no_group.group, sizeof(k->group));
}

static uint32_t key_bucket(const struct snoop *s, const struct key *k)
{
	uint64_t a, b;

	memcpy(&a, k->group, 8);
	memcpy(&b, k->group + 8, 8);
	a = (a ^ s->cfg.seed ^ k->vlan) * 0x9e3779b97f4a7c15ull;
	a = (a ^ a >> 29 ^ b) * 0xbf58476d1ce4e5b9ull;
	return (uint32_t)(a >> 40) % BUCKETS;
}

int snoop_create(const struct snoop_config *cfg, struct snoop **ret)
{
	struct snoop *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->cfg = *cfg;
	if (!s->cfg.ageing_s)
		s->cfg.ageing_s = SNOOP_AGEING_S;
	pthread_spin_init(&s->lock, PTHREAD_PROCESS_PRIVATE);
	for (uint32_t i = 0; i < BUCKETS; i++)
		s->buckets[i] = NONE;
	for (uint32_t i = 0; i < SNOOP_RECORDS_MAX; i++)
		s->groups[i].next = s->records[i].next = i + 1 < SNOOP_RECORDS_MAX ? i + 1 : NONE;
	s->last_free_group = SNOOP_RECORDS_MAX - 1;
	*ret = s;
	return 0;
}

void snoop_destroy(struct snoop *s)
{
	if (!s)
		return;
	pthread_spin_destroy(&s->lock);
	free(s);
}

static struct group *group_find(struct snoop *s, const struct key *k)
{
	for (uint32_t i = s->buckets[key_bucket(s, k)]; i != NONE; i = s->groups[i].next) {
		struct group *g = &s->groups[i];

		if (g->key.vlan == k->vlan && !memcmp(g->key.group, k->group, sizeof(k->group)))
			return g;
	}
	return NULL;
}

/* Where the routers of @vlan are. */
static const struct port_set *routers_of(struct snoop *s, uint16_t vlan)
{
	const struct key k = {.vlan = vlan};
	const struct group *g = group_find(s, &k);

	return g ? &g->reach : &s->routers;
}

static void reach_set(struct group *g, const struct port_set *routers)
{
	for (unsigned int i = 0; i < PORT_SET_MAX / 64; i++)
		__atomic_store_n(
			&g->reach.bits[i], g->members.bits[i] | routers->bits[i], __ATOMIC_RELAXED);
}

/* Routers of @vlan, or of all (0), have come or gone. */
static void reach_update(struct snoop *s, uint16_t vlan)
{
	for (unsigned int pass = 0; pass < 2; pass++)
		for (uint32_t i = 0; i < SNOOP_RECORDS_MAX; i++) {
			struct group *g = &s->groups[i];

			/* First the routers' own, which the others then take from. */
			if (!g->used || (vlan && g->key.vlan != vlan) ||
				key_is_router(&g->key) == (pass > 0))
				continue;
			reach_set(g, pass ? routers_of(s, g->key.vlan) : &s->routers);
		}
}

static struct group *group_make(struct snoop *s, const struct key *k)
{
	uint32_t i = s->free_group, *bucket = &s->buckets[key_bucket(s, k)];
	struct group *g;

	if (i == NONE)
		return NULL;
	g = &s->groups[i];
	s->free_group = g->next;
	*g = (struct group){.key = *k, .used = true, .records = NONE, .next = *bucket};
	*bucket = i;
	return g;
}

static void group_free(struct snoop *s, struct group *g)
{
	uint32_t no = (uint32_t)(g - s->groups), *at = &s->buckets[key_bucket(s, &g->key)];

	while (*at != no)
		at = &s->groups[*at].next;
	*at = g->next;
	g->used = false;
	g->next = NONE;
	if (s->free_group == NONE)
		s->free_group = no;
	else
		s->groups[s->last_free_group].next = no;
	s->last_free_group = no;
}

static uint32_t *record_find(struct snoop *s, struct group *g, uint16_t port)
{
	uint32_t *at = &g->records;

	while (*at != NONE && s->records[*at].port != port)
		at = &s->records[*at].next;
	return at;
}

/* Remove the record that *@at names. The group goes with its last one; returns whether it did. */
static bool record_drop(struct snoop *s, struct group *g, uint32_t *at)
{
	uint32_t i = *at;
	struct record *r = &s->records[i];
	bool router = key_is_router(&g->key), last;
	uint16_t vlan = g->key.vlan;

	*at = r->next;
	r->next = s->free_record;
	s->free_record = i;
	s->stats[r->port].entries--;
	port_set_put(&g->members, r->port, false);
	last = g->records == NONE;
	if (last)
		group_free(s, g);
	if (router)
		reach_update(s, vlan);
	else if (!last)
		reach_set(g, routers_of(s, vlan));
	return last;
}

static uint16_t limit_of(const struct snoop *s, uint16_t port)
{
	return s->ports[port].limit ? s->ports[port].limit : SNOOP_LIMIT_DEFAULT;
}

static void entry_add(struct snoop *s, const struct key *k, uint16_t port, uint32_t now_s)
{
	struct group *g = group_find(s, k);
	uint32_t *at = g ? record_find(s, g, port) : NULL;

	if (at && *at != NONE) {
		s->records[*at].expires_s = now_s + s->cfg.ageing_s;
		return;
	}
	if (s->stats[port].entries >= limit_of(s, port) || s->free_record == NONE ||
		!(g || (g = group_make(s, k)))) {
		s->stats[port].refused++;
		return;
	}
	at = record_find(s, g, port);
	*at = s->free_record;
	s->free_record = s->records[*at].next;
	s->records[*at] = (struct record){now_s + s->cfg.ageing_s, NONE, port};
	s->stats[port].entries++;
	port_set_put(&g->members, port, true);
	if (key_is_router(k))
		reach_update(s, k->vlan);
	else
		reach_set(g, routers_of(s, k->vlan));
}

/* Forget soon who does not answer; @port, or all of them (PORT_SET_MAX). */
static void group_hurry(struct snoop *s, struct group *g, uint16_t port, uint32_t now_s)
{
	for (uint32_t i = g->records; i != NONE; i = s->records[i].next) {
		struct record *r = &s->records[i];

		if ((port == PORT_SET_MAX || r->port == port) &&
			r->expires_s > now_s + SNOOP_LAST_S)
			r->expires_s = now_s + SNOOP_LAST_S;
	}
}

static void group_leave(struct snoop *s, const struct key *k, uint16_t port, uint32_t now_s)
{
	struct group *g = group_find(s, k);
	uint32_t *at = g ? record_find(s, g, port) : NULL;

	s->stats[port].leaves++;
	if (!at || *at == NONE)
		return;
	if (s->ports[port].fast_leave)
		record_drop(s, g, at);
	else
		group_hurry(s, g, port, now_s);
}

static void key_ipv4(struct key *k, uint16_t vlan, const uint8_t *ip)
{
	*k = (struct key){.group = {[10] = 0xff, [11] = 0xff}, .vlan = vlan};
	memcpy(k->group + 12, ip, 4);
}

static void key_ipv6(struct key *k, uint16_t vlan, const uint8_t *ip)
{
	k->vlan = vlan;
	memcpy(k->group, ip, 16);
}

/* What is never learned: no group, or one of the link itself. */
static bool key_is_local(const struct key *k)
{
	if (k->group[0])
		return k->group[0] != 0xff || (k->group[1] & 15) <= 2;
	return (k->group[12] & 0xf0) != 0xe0 ||
	       (k->group[12] == 224 && !k->group[13] && !k->group[14]);
}

static void join(struct snoop *s, const struct key *k, uint16_t port, uint32_t now_s)
{
	if (key_is_local(k))
		return;
	s->stats[port].joins++;
	entry_add(s, k, port, now_s);
}

static void record_take(struct snoop *s, const struct key *k, uint8_t type, uint16_t nr_sources,
	uint16_t port, uint32_t now_s)
{
	switch (type) {
	case IS_EXCLUDE:
	case TO_EXCLUDE: join(s, k, port, now_s); break;
	case IS_INCLUDE:
	case ALLOW_NEW:
		if (nr_sources)
			join(s, k, port, now_s);
		break;
	case TO_INCLUDE:
		if (nr_sources)
			join(s, k, port, now_s);
		else
			group_leave(s, k, port, now_s);
		break;
	default: break; /* others are to be ignored */
	}
}

/* The records of a report of the newer versions; addresses have @size bytes. */
static bool records_take(struct snoop *s, struct ip_view v, uint32_t size, uint16_t port,
	uint16_t vlan, uint32_t now_s)
{
	uint32_t n = frame_be16(v.p + 6), at = 8;

	/* Each takes 8 bytes at least: it ends with the frame. */
	for (; n; n--) {
		struct key k;
		uint32_t sources;

		if (v.len < at + 4 + size)
			return false;
		sources = frame_be16(v.p + at + 2);
		if (v.len < at + 4 + size + sources * size + v.p[at + 1] * 4u)
			return false;
		if (size == 4)
			key_ipv4(&k, vlan, v.p + at + 4);
		else
			key_ipv6(&k, vlan, v.p + at + 4);
		record_take(s, &k, v.p[at], (uint16_t)sources, port, now_s);
		at += 4 + size + sources * size + v.p[at + 1] * 4u;
	}
	return true;
}

static void query_take(struct snoop *s, const struct key *k, bool general, bool has_source,
	uint16_t port, uint32_t now_s)
{
	const struct key router = {.vlan = k->vlan};
	struct group *g;

	s->stats[port].queries++;
	if (s->ports[port].router == SNOOP_ROUTER_NEVER)
		return;
	/* RFC 4541 §2.1.1: who has no address, such as a switch, is no router. */
	if (has_source)
		entry_add(s, &router, port, now_s);
	g = general ? NULL : group_find(s, k);
	if (g)
		group_hurry(s, g, PORT_SET_MAX, now_s);
}

static uint32_t sum(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (; len > 1; p += 2, len -= 2)
		sum += frame_be16(p);
	return len ? sum + (uint32_t)(*p << 8) : sum;
}

static bool sum_is_right(uint32_t v)
{
	while (v >> 16)
		v = (v & 0xffff) + (v >> 16);
	return v == 0xffff;
}

/* Returns where it goes; NULL: everywhere. */
static const struct port_set *igmp_take(struct snoop *s, struct ip_view ip, struct ip_view v,
	uint16_t port, uint16_t vlan, uint32_t now_s)
{
	struct key k;
	bool good = v.len >= 8 && v.len <= 2048 && sum_is_right(sum(v.p, v.len, 0));

	if (!good) {
		s->stats[port].malformed++;
		return NULL;
	}
	key_ipv4(&k, vlan, v.p + 4);
	switch (v.p[0]) {
	case IGMP_QUERY:
		query_take(s, &k, !frame_be32(v.p + 4), frame_be32(ip.p + 12) != 0, port, now_s);
		return NULL;
	case IGMP1_REPORT:
	case IGMP2_REPORT: join(s, &k, port, now_s); break;
	case IGMP2_LEAVE: group_leave(s, &k, port, now_s); break;
	case IGMP3_REPORT: good = records_take(s, v, 4, port, vlan, now_s); break;
	default: return NULL;
	}
	s->stats[port].malformed += !good;
	return routers_of(s, vlan);
}

static const struct port_set *mld_take(struct snoop *s, struct ip_view ip, struct ip_view v,
	uint16_t port, uint16_t vlan, uint32_t now_s)
{
	static const uint8_t none[16];
	bool has_source = memcmp(ip.p + 8, none, 16) != 0, good;
	bool link_local = ip.p[8] == 0xfe && (ip.p[9] & 0xc0) == 0x80;
	uint32_t least = v.p[0] == MLD2_REPORT ? 8 : 24;
	struct key k;

	/* RFC 3810 §5: from the link, and with a hop limit that keeps it there. */
	good = v.len >= least && v.len <= 2048 && ip.p[7] == 1 && (link_local || !has_source);
	if (good)
		good = sum_is_right(sum(v.p, v.len, sum(ip.p + 8, 32, v.len + IP_PROTO_ICMPV6)));
	if (!good) {
		s->stats[port].malformed++;
		return NULL;
	}
	if (least == 24)
		key_ipv6(&k, vlan, v.p + 8);
	switch (v.p[0]) {
	case MLD_QUERY:
		query_take(s, &k, !memcmp(v.p + 8, none, 16), has_source, port, now_s);
		return NULL;
	case MLD_REPORT: join(s, &k, port, now_s); break;
	case MLD_DONE: group_leave(s, &k, port, now_s); break;
	default: good = records_take(s, v, 16, port, vlan, now_s); break;
	}
	s->stats[port].malformed += !good;
	return routers_of(s, vlan);
}

static const struct port_set *data_reach(struct snoop *s, const struct key *k)
{
	const struct group *g;

	if (key_is_local(k))
		return NULL;
	g = group_find(s, k);
	if (g)
		return &g->reach;
	return s->cfg.drop_unregistered ? routers_of(s, k->vlan) : NULL;
}

static const struct port_set *ipv4_take(
	struct snoop *s, struct ip_view v, uint16_t port, uint16_t vlan, uint32_t now_s)
{
	struct ip_view up;
	uint8_t proto;
	struct key k;

	if (ip4_upper(v, &proto, &up) < 0)
		return NULL;
	if (proto == IP_PROTO_IGMP)
		return igmp_take(s, v, up, port, vlan, now_s);
	key_ipv4(&k, vlan, v.p + 16);
	/* RFC 4541 §2.1.1 (1) b: who speaks PIM is a router. */
	if (proto == IP_PROTO_PIM && frame_be32(v.p + 16) == PIM_ROUTERS &&
		s->ports[port].router != SNOOP_ROUTER_NEVER)
		entry_add(s, &(struct key){.vlan = vlan}, port, now_s);
	return data_reach(s, &k);
}

static const struct port_set *ipv6_take(
	struct snoop *s, struct ip_view v, uint16_t port, uint16_t vlan, uint32_t now_s)
{
	struct ip_view up;
	uint8_t proto;
	struct key k;

	if (ip6_upper(v, &proto, &up) < 0)
		return NULL;
	if (proto == IP_PROTO_ICMPV6 && up.len &&
		((up.p[0] >= MLD_QUERY && up.p[0] <= MLD_DONE) || up.p[0] == MLD2_REPORT))
		return mld_take(s, v, up, port, vlan, now_s);
	key_ipv6(&k, vlan, v.p + 24);
	return data_reach(s, &k);
}

const struct port_set *snoop_frame(struct snoop *s, uint16_t port, uint16_t vlan,
	const struct frame *f, const uint8_t *bytes, uint32_t len, uint32_t now_s)
{
	struct ip_view v = {bytes + f->l3, len - f->l3};
	const struct port_set *to = NULL;

	if (f->type != FRAME_TYPE_IPV4 && f->type != FRAME_TYPE_IPV6)
		return NULL;
	pthread_spin_lock(&s->lock);
	if (f->type == FRAME_TYPE_IPV4)
		to = ipv4_take(s, v, port, vlan, now_s);
	else
		to = ipv6_take(s, v, port, vlan, now_s);
	pthread_spin_unlock(&s->lock);
	return to;
}

/* Drop the records @port has (PORT_SET_MAX: anybody) that ended before @now_s, of groups or routers. */
static uint32_t records_end(struct snoop *s, uint16_t port, bool routers_only, uint32_t now_s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SNOOP_RECORDS_MAX; i++) {
		struct group *g = &s->groups[i];
		uint32_t *at = &g->records;

		if (!g->used || (routers_only && !key_is_router(&g->key)))
			continue;
		while (*at != NONE) {
			const struct record *r = &s->records[*at];

			if ((port != PORT_SET_MAX && r->port != port) || r->expires_s > now_s) {
				at = &s->records[*at].next;
				continue;
			}
			n++;
			if (record_drop(s, g, at))
				break;
		}
	}
	return n;
}

uint32_t snoop_age(struct snoop *s, uint32_t now_s)
{
	uint32_t n;

	pthread_spin_lock(&s->lock);
	n = records_end(s, PORT_SET_MAX, false, now_s);
	pthread_spin_unlock(&s->lock);
	return n;
}

void snoop_port_set(struct snoop *s, uint16_t port, const struct snoop_port *cfg)
{
	s->ports[port] = *cfg;
	if (cfg->router == SNOOP_ROUTER_NEVER)
		records_end(s, port, true, UINT32_MAX);
	port_set_put(&s->routers, port, cfg->router == SNOOP_ROUTER_ALWAYS);
	reach_update(s, 0);
}

void snoop_port_remove(struct snoop *s, uint16_t port)
{
	const struct snoop_port none = {0};

	records_end(s, port, false, UINT32_MAX);
	snoop_port_set(s, port, &none);
	s->stats[port] = (struct snoop_port_stats){0};
}

bool snoop_next(const struct snoop *s, uint32_t *cursor, uint32_t now_s, struct snoop_entry *ret)
{
	/* The cursor counts (group, port), of which most are not there. */
	for (; *cursor < SNOOP_RECORDS_MAX * PORT_SET_MAX; (*cursor)++) {
		const struct group *g = &s->groups[*cursor / PORT_SET_MAX];
		uint16_t port = (uint16_t)(*cursor % PORT_SET_MAX);
		uint32_t i;

		if (!g->used) {
			*cursor |= PORT_SET_MAX - 1;
			continue;
		}
		if (!port_set_has(&g->members, port))
			continue;
		for (i = g->records; s->records[i].port != port; i = s->records[i].next)
			;
		*ret = (struct snoop_entry){.vlan = g->key.vlan,
			.port = port,
			.router = key_is_router(&g->key),
			.left_s = s->records[i].expires_s > now_s ? s->records[i].expires_s - now_s
								  : 0};
		memcpy(ret->group, g->key.group, 16);
		(*cursor)++;
		return true;
	}
	return false;
}

void snoop_stats_get(const struct snoop *s, uint16_t port, struct snoop_port_stats *ret)
{
	*ret = s->stats[port];
}
