/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptions as JSON, the other way round from config.h: what these write, config.h reads back as the
 * same. What is not said is the default. Two descriptions mean the same when their JSON is equal, so
 * every key of the schema must be written here too.
 */
#ifndef VIADUCT_VSWITCH_CONFIG_JSON_H
#define VIADUCT_VSWITCH_CONFIG_JSON_H

#include <jansson.h>

#include "vswitch/config.h"

/* A new reference, or NULL: out of memory. */
json_t *port_config_json(const struct port_config *c);

json_t *mirror_config_json(const struct mirror_config *c);

/* All of it, ports and static addresses too. A new reference, or NULL. */
json_t *switch_config_json(const struct switch_config *c);

/*
 * Change @port, as port_config_json() makes it, by @n words "key=value": "mtu=9000", "vlan.access=7",
 * "vlan.trunk=10,20-30" (a list), "police=" (no longer said). Values are not checked here. Returns 0, or
 * -EINVAL: a word that is none.
 */
int port_words_apply(json_t *port, const char *const *words, size_t n, struct err *e);

#endif
