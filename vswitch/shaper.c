// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "vswitch/shaper.h"

#define NS_PER_S 1000000000u

void shaper_init(struct shaper *s, const struct shape *cfg, uint64_t now_ns)
{
	memset(s, 0, sizeof(*s));
	shaper_set(s, cfg, now_ns);
}

void shaper_set(struct shaper *s, const struct shape *cfg, uint64_t now_ns)
{
	s->cfg = *cfg;
	s->rest = 0;
	s->next_ns = now_ns;
	s->burst_ns = 0;
	if (cfg->rate)
		s->burst_ns = (uint64_t)((unsigned __int128)cfg->burst * NS_PER_S / cfg->rate);
}

int shaper_push(struct shaper *s, void *frame, uint32_t len)
{
	if (s->count == SHAPER_FRAMES_MAX || s->bytes + len > s->cfg.limit)
		return -ENOBUFS;
	s->ring[(s->head + s->count++) % SHAPER_FRAMES_MAX] = (struct shaper_frame){frame, len};
	s->bytes += len;
	return 0;
}

void *shaper_take(struct shaper *s)
{
	const struct shaper_frame *f = &s->ring[s->head];

	if (!s->count)
		return NULL;
	s->head = (s->head + 1) % SHAPER_FRAMES_MAX;
	s->count--;
	s->bytes -= f->len;
	return f->frame;
}

uint64_t shaper_wait_ns(const struct shaper *s, uint64_t now_ns)
{
	if (!s->count)
		return SHAPER_NEVER;
	if (!s->cfg.rate || s->next_ns <= now_ns + s->burst_ns)
		return 0;
	return s->next_ns - s->burst_ns - now_ns;
}

void *shaper_pop(struct shaper *s, uint64_t now_ns)
{
	unsigned __int128 cost;

	if (shaper_wait_ns(s, now_ns))
		return NULL;
	if (!s->cfg.rate)
		return shaper_take(s);
	/* A pause earns no more than the burst. */
	if (s->next_ns < now_ns) {
		s->next_ns = now_ns;
		s->rest = 0;
	}
	cost = (unsigned __int128)s->ring[s->head].len * NS_PER_S + s->rest;
	s->next_ns += (uint64_t)(cost / s->cfg.rate);
	s->rest = (uint64_t)(cost % s->cfg.rate);
	return shaper_take(s);
}
