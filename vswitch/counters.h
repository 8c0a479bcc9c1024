/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What became of every frame, per port. A frame that came in at a port leaves by others or is dropped
 * for exactly one reason there; a frame that could not leave is counted at the port it was meant for.
 * Each datapath thread has its own, written by it alone; others read and add up, and may see one
 * counter newer than the next.
 */
#ifndef VIADUCT_VSWITCH_COUNTERS_H
#define VIADUCT_VSWITCH_COUNTERS_H

#include <stdint.h>

/* X(name, printed name, what it means). docs/man/viaduct-switch.1.scd has the same table. */
#define DROP_REASONS(X)                                                                       \
	X(RUNT, "runt", "shorter than its Ethernet header and tag")                           \
	X(BAD_SOURCE, "bad-source", "source address is a group or zero")                      \
	X(RESERVED, "reserved-destination", "addressed to the bridge group, 802.1Q §8.6.3")   \
	X(TAGGED, "tagged-on-access", "tagged frame on an access port")                       \
	X(NESTED_TAG, "nested-tag", "a further tag that would be taken for the frame's VLAN") \
	X(VLAN, "vlan-not-allowed", "VLAN is not one of the port's")                          \
	X(MIRROR_PORT, "mirror-port", "the port is kept for the copies of a mirror")          \
	X(SPOOF_MAC, "spoofed-mac", "source address is not the port's")                       \
	X(SPOOF_ARP, "spoofed-arp", "ARP sender is not the port's")                           \
	X(SPOOF_IPV4, "spoofed-ipv4", "IPv4 source is not the port's")                        \
	X(SPOOF_IPV6, "spoofed-ipv6", "IPv6 source is not the port's")                        \
	X(SPOOF_ND, "spoofed-nd", "neighbour advertisement for another's address")            \
	X(ROGUE_DHCP, "rogue-dhcp", "DHCP server message from a port that may not serve")     \
	X(ROGUE_RA, "rogue-ra", "router advertisement from a port that is no router")         \
	X(BAD_HEADERS, "bad-headers", "headers too short to be checked")                      \
	X(STATIC_MAC, "static-mac", "source address is static on another port")               \
	X(POLICED, "policed", "over the port's ingress rate")                                 \
	X(STORM_BROADCAST, "storm-broadcast", "over the broadcast limit")                     \
	X(STORM_MULTICAST, "storm-multicast", "over the multicast limit")                     \
	X(STORM_UNKNOWN, "storm-unknown", "over the unknown unicast limit")                   \
	X(SAME_PORT, "same-port", "destination is on the port it came from")                  \
	X(ISOLATED, "isolated", "both ports are isolated")                                    \
	X(NO_DESTINATION, "no-destination", "no port to flood to")                            \
	X(NO_MEMBER, "no-member", "no port has a listener of the group or a router")          \
	X(OVERSIZE, "oversize", "longer than the MTU of the port it was meant for")           \
	X(PORT_DOWN, "port-down", "the port it was meant for has no link")                    \
	X(TX_FULL, "tx-full", "the port it was meant for took no more")                       \
	X(BAD_OFFLOAD, "bad-offload", "asks for a checksum or segments it cannot have")       \
	X(SHAPED, "shaped", "the queue before the port's rate limit was full")                \
	X(RING_ADDRESS, "ring-bad-address", "a descriptor points outside the guest's memory") \
	X(RING_INDIRECT, "ring-bad-indirect", "an indirect table that cannot be")             \
	X(RING_LOOP, "ring-bad-chain",                                                        \
		"a chain without end, of too many parts, or out of its table")                \
	X(RING_DIRECTION, "ring-bad-direction",                                               \
		"a buffer to read where one to write belongs, or the reverse")                \
	X(RING_SHORT, "ring-short", "a chain without room for a header, or without a frame")  \
	X(RING_LONG, "ring-long", "a chain longer than any frame")                            \
	X(RING_INDEX, "ring-bad-index",                                                       \
		"an index that cannot be; the ring stops until it is set up again")           \
	X(NO_ROOM, "no-room", "longer than the buffers of the guest it was meant for")        \
	X(NO_MEMORY, "no-memory", "no buffer for a copy")

enum drop_reason {
#define X(name, text, what) DROP_##name,
	DROP_REASONS(X)
#undef X
		DROP_REASON_COUNT
};

/* As in statistics: "spoofed-mac". Lives for ever. */
const char *drop_reason_name(enum drop_reason r);

/* One line on what it means. Lives for ever. */
const char *drop_reason_text(enum drop_reason r);

struct port_counters {
	uint64_t rx_packets, rx_bytes;
	uint64_t tx_packets, tx_bytes;
	uint64_t completed; /* checksums made for frames that left by it */
	uint64_t cut;       /* frames that left by it as several, which tx_packets counts */
	uint64_t flooded;   /* frames from here that went to more than one port, or might have */
	uint64_t drops[DROP_REASON_COUNT];
};

/* Add what another thread counts. */
void port_counters_add(struct port_counters *sum, const struct port_counters *c);

/* For readers of another thread's counters. */
static inline uint64_t counter_read(const uint64_t *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}

/* By any of several threads. */
static inline void counter_add_shared(uint64_t *c, uint64_t n)
{
	__atomic_fetch_add(c, n, __ATOMIC_RELAXED);
}

/* These by the one thread that writes them. */
static inline void counter_set(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, n, __ATOMIC_RELAXED);
}

static inline void counter_add(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

#endif
