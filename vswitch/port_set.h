/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A set of port numbers. One thread may change it while others ask. */
#ifndef VIADUCT_VSWITCH_PORT_SET_H
#define VIADUCT_VSWITCH_PORT_SET_H

#include <stdbool.h>
#include <stdint.h>

#define PORT_SET_MAX 256

struct port_set {
	uint64_t bits[PORT_SET_MAX / 64];
};

static inline bool port_set_has(const struct port_set *s, uint16_t port)
{
	return port < PORT_SET_MAX &&
	       __atomic_load_n(&s->bits[port >> 6], __ATOMIC_RELAXED) >> (port & 63) & 1;
}

static inline void port_set_put(struct port_set *s, uint16_t port, bool in)
{
	uint64_t *word = &s->bits[port >> 6], bit = 1ull << (port & 63);

	__atomic_store_n(word, in ? *word | bit : *word & ~bit, __ATOMIC_RELAXED);
}

static inline bool port_set_empty(const struct port_set *s)
{
	uint64_t any = 0;

	for (unsigned int i = 0; i < PORT_SET_MAX / 64; i++)
		any |= __atomic_load_n(&s->bits[i], __ATOMIC_RELAXED);
	return !any;
}

#endif
