/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a PF can give one of its VFs, as values and as the words "key=value" of command line and file.
 * Pure functions; configure.c talks to the kernel.
 */
#ifndef VIADUCT_VFM_SETTINGS_H
#define VIADUCT_VFM_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* X(name, word, meaning) in the order in which they are applied: bit numbers follow it. */
#define VFM_SETTINGS(X)                                                                \
	X(MAC, "mac", "its address, or none: its driver chooses")                      \
	X(VLAN, "vlan", "1 to 4094, 0 or none: frames pass as they are")               \
	X(QOS, "qos", "priority of that VLAN's tag, 0 to 7")                           \
	X(PROTO, "proto", "of that tag: 802.1q or 802.1ad")                            \
	X(MIN_RATE, "min-rate", "Mbit/s it is sure of, 0: none")                       \
	X(MAX_RATE, "max-rate", "Mbit/s it may send at most, 0: no limit")             \
	X(SPOOFCHK, "spoofchk", "on: frames from addresses that are not its own stop") \
	X(LINK_STATE, "link-state", "auto (the PF's), enable or disable")              \
	X(RSS_QUERY, "rss-query", "on: it may read the PF's RSS key and table")        \
	X(TRUST, "trust", "on: it may change its address and be promiscuous")          \
	X(NODE_GUID, "node-guid", "InfiniBand: of its node, 16 hexadecimal digits")    \
	X(PORT_GUID, "port-guid", "InfiniBand: of its port, 16 hexadecimal digits")

enum vfm_setting {
#define X(name, word, text) VFM_SET_##name,
	VFM_SETTINGS(X)
#undef X
		VFM_SETTING_COUNT
};

#define VFM_BIT(name) (1u << VFM_SET_##name)
#define VFM_VLAN_BITS (VFM_BIT(VLAN) | VFM_BIT(QOS) | VFM_BIT(PROTO))
#define VFM_RATE_BITS (VFM_BIT(MIN_RATE) | VFM_BIT(MAX_RATE))
#define VFM_ALL_BITS  ((1u << VFM_SETTING_COUNT) - 1)

#define VFM_PROTO_8021Q  0x8100
#define VFM_PROTO_8021AD 0x88a8

/* As IFLA_VF_LINK_STATE_*. */
enum vfm_link_state { VFM_LINK_AUTO, VFM_LINK_ENABLE, VFM_LINK_DISABLE };

struct vfm_settings {
	uint32_t set; /* VFM_BIT() of each value below that means something */
	uint8_t mac[6];
	uint16_t vlan, proto;
	uint8_t qos;
	uint8_t link_state;
	bool spoofchk, rss_query, trust;
	uint32_t min_rate, max_rate;
	uint64_t node_guid, port_guid;
};

#define VFM_VALUE_MAX 24 /* of vfm_setting_format(), with its NUL */

/* "mac", "vlan", ... Lives for ever. */
const char *vfm_setting_name(enum vfm_setting setting);
const char *vfm_setting_text(enum vfm_setting setting);

/*
 * Add "key=value" to @s. Returns 0, -EINVAL with what is wrong (no such key, no such value), or
 * -EEXIST: it has been set to another value.
 */
int vfm_setting_parse(const char *word, struct vfm_settings *s, struct err *e);

/* The value as it is parsed, "on" or "52:54:00:00:00:01"; "" when it is not set. Returns @buf. */
char *vfm_setting_format(
	const struct vfm_settings *s, enum vfm_setting setting, char buf[VFM_VALUE_MAX]);

/* Those of @bits in which the two differ; one that only one of them has differs. */
uint32_t vfm_settings_differ(
	const struct vfm_settings *a, const struct vfm_settings *b, uint32_t bits);

/* Write over @to what @from has of @bits. */
void vfm_settings_merge(struct vfm_settings *to, const struct vfm_settings *from, uint32_t bits);

/* What cannot be as a whole, whatever the kernel says: a minimum above the maximum, a priority
 * without a VLAN. Returns 0 or -EINVAL. */
int vfm_settings_check(const struct vfm_settings *s, struct err *e);

#endif
