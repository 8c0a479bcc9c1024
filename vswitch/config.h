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
#include "vswitch/mirror.h"
#include "vswitch/shaper.h"

#define CONFIG_NAME_MAX 32  /* with its terminating zero */
#define CONFIG_PATH_MAX 108 /* sun_path, unix(7) */
#define CONFIG_DEV_MAX  256
#define CONFIG_QUEUES   16 /* pairs, at most */

#define CONFIG_STATICS_MAX 4096
#define SWITCH_CORES_MAX   16

enum port_kind { PORT_VHOST_USER, PORT_PCI, PORT_TAP, PORT_AF_PACKET, PORT_PCAP, PORT_DEVICE };

struct port_config {
	char name[CONFIG_NAME_MAX];
	enum port_kind kind;
	char path[CONFIG_PATH_MAX]; /* PORT_VHOST_USER: socket; PORT_PCAP: file to read, or "" */
	bool client;
	/* PORT_VHOST_USER: what is offered to the guest, and the mode of a server's socket, 0 = 0600 */
	unsigned int queues; /* pairs */
	uint32_t offloads;   /* OFFLOAD_* */
	bool packed;
	unsigned int socket_mode;
	/* A PCI address, an interface's name, a file to write or "" (PORT_PCAP), or what DPDK takes */
	char device[CONFIG_DEV_MAX];
	uint32_t fdb_limit;
	struct shape shape;
	/* Its receive queue N is polled by the thread on [N % nr_rx_cores]; none = balanced */
	int rx_cores[SWITCH_CORES_MAX];
	unsigned int nr_rx_cores;
	struct forward_port forward; /* without state: its meters are full at time 0 */
};

/* An address that is on a port whatever is seen. */
struct static_config {
	uint64_t mac;
	uint16_t vlan;
	char port[CONFIG_NAME_MAX];
};

struct switch_config {
	char socket[CONFIG_PATH_MAX];
	char group[CONFIG_NAME_MAX];      /* may use the control socket; "" = nobody else */
	char prometheus[CONFIG_PATH_MAX]; /* where counters are served, "" = nowhere */
	int cores[SWITCH_CORES_MAX];      /* a datapath thread on each; none = one, on any */
	unsigned int nr_cores;
	const char *cores_key; /* that they were given by */
	uint32_t memory_mib;
	bool hugepages;
	uint32_t fdb_capacity, fdb_ageing_s;
	struct port_config *ports;
	size_t nr_ports;
	struct static_config *statics;
	size_t nr_statics;
	struct snoop_config mcast;
	struct mirror_config *mirrors;
	size_t nr_mirrors;
	/* What it was read from, for switch_config_blame(); NULL = nothing */
	char *what, *text;
	size_t text_len;
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

/*
 * @r, if that is an error, is the fault of the value that the path names, such as "ports/3/tap": put
 * "FILE:LINE:COLUMN: " in front of what @e says, or "FILE: " for an empty path. Returns @r.
 */
int switch_config_blame(const struct switch_config *c, int r, struct err *e, const char *path, ...)
	__attribute__((format(printf, 4, 5)));

/* One entry of "ports". Returns as switch_config_parse(); *@ret holds nothing to free. */
int port_config_parse(
	const char *what, const void *text, size_t len, struct err *e, struct port_config *ret);

/* One entry of "mirrors", the same way. */
int mirror_config_parse(
	const char *what, const void *text, size_t len, struct err *e, struct mirror_config *ret);

/* The port @name, or NULL. */
const struct port_config *switch_config_port(const struct switch_config *c, const char *name);

/* What a port is connected to, for messages: a path, an address, a name. */
const char *port_config_backend(const struct port_config *c);
/* What the guest was offered is the same too: it cannot be changed while the port lives. */
bool port_config_same_backend(const struct port_config *a, const struct port_config *b);

/* What ports @a and @b both want for themselves ("socket", "device"), or NULL. */
const char *port_config_shared(const struct port_config *a, const struct port_config *b);

/* As it is written in a description: "vhost-user". */
const char *port_kind_name(enum port_kind kind);

/* "02:00:00:00:00:01". Returns 0 or -EINVAL. */
int mac_parse(const char *text, uint64_t *ret);
void mac_format(uint64_t mac, char ret[18]);

#endif
