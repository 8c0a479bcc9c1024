/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration file and the description of one port: YAML (of which JSON is a part) against a
 * schema. What these calls return has been checked; nothing else in the folder reads text.
 */
#ifndef VIADUCT_VSWITCH_CONFIG_H
#define VIADUCT_VSWITCH_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "vswitch/forward.h"
#include "vswitch/shaper.h"

#define CONFIG_NAME_MAX 32  /* with its terminating zero */
#define CONFIG_PATH_MAX 108 /* sun_path, unix(7) */
#define CONFIG_DEV_MAX  256

enum port_kind { PORT_VHOST_USER, PORT_DEVICE };

struct port_config {
	char name[CONFIG_NAME_MAX];
	enum port_kind kind;
	char path[CONFIG_PATH_MAX]; /* PORT_VHOST_USER */
	bool client;
	char device[CONFIG_DEV_MAX]; /* PORT_DEVICE: as DPDK takes it */
	uint32_t fdb_limit;
	struct shape shape;
	struct forward_port forward; /* without state: its meters are full at time 0 */
};

struct switch_config {
	char socket[CONFIG_PATH_MAX];
	int core; /* -1 = any */
	uint32_t memory_mib;
	bool hugepages;
	uint32_t fdb_capacity, fdb_ageing_s;
	struct port_config *ports;
	size_t nr_ports;
};

/*
 * Read @path. Returns 0; -EINVAL: the file says something it may not, @e names the line where it
 * can; -ENOMEM; or what open(2) and read(2) say. The caller owns *@ret: switch_config_destroy().
 */
int switch_config_load(const char *path, struct err *e, struct switch_config **ret);

/* As switch_config_load(), from @len bytes that @what names in messages. */
int switch_config_parse(
	const char *what, const void *text, size_t len, struct err *e, struct switch_config **ret);
void switch_config_destroy(struct switch_config *cfg);

/* One entry of "ports". Returns as switch_config_parse(); *@ret holds nothing to free. */
int port_config_parse(
	const char *what, const void *text, size_t len, struct err *e, struct port_config *ret);

/* "02:00:00:00:00:01". Returns 0 or -EINVAL. */
int mac_parse(const char *text, uint64_t *ret);
void mac_format(uint64_t mac, char ret[18]);

#endif
