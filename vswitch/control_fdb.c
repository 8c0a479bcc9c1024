// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>

#include "common/cleanup.h"
#include "vswitch/control.h"

static void fdb_show(void *ctx, const json_t *params, struct rpc_answer *a)
{
	_cleanup_free_ struct fdb_entry *list = NULL;
	size_t n;

	if (vswitch_fdb_list(ctx, &list, &n) < 0) {
		rpc_fail(a, RPC_INTERNAL, "out of memory");
		return;
	}
	a->result = json_array();
	for (size_t i = 0; i < n; i++) {
		const char *port = vswitch_port_name(ctx, list[i].port);
		char mac[18];

		mac_format(list[i].mac, mac);
		json_array_append_new(
			a->result, json_pack("{s:s, s:i, s:s, s:i, s:b}", "mac", mac, "vlan",
					   list[i].vlan, "port", port ? port : "?", "age",
					   list[i].is_static ? 0 : (int)list[i].seen_s, "static",
					   (int)list[i].is_static));
	}
}

int control_vlan_param(const json_t *params, struct rpc_answer *a, uint16_t *ret)
{
	const json_t *v = json_object_get(params, "vlan");
	json_int_t n = json_integer_value(v);

	if (!v)
		return 0;
	if (n < 1 || n > VLAN_MAX) {
		rpc_fail(a, RPC_PARAMS, "\"vlan\" must be a number from 1 to 4094");
		return -EINVAL;
	}
	*ret = (uint16_t)n;
	return 0;
}

/* VLAN 1 unless "vlan" says another. */
static int address_param(const json_t *params, struct rpc_answer *a, uint64_t *mac, uint16_t *vlan)
{
	const char *text = rpc_text(params, "mac", "an address such as 02:00:00:00:00:01", a);

	if (!text)
		return -EINVAL;
	if (mac_parse(text, mac) < 0) {
		rpc_fail(a, RPC_PARAMS, "\"mac\" must be an address such as 02:00:00:00:00:01");
		return -EINVAL;
	}
	*vlan = VLAN_DEFAULT;
	return control_vlan_param(params, a, vlan);
}

static void fdb_add(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const char *port = rpc_text(params, "port", "a port's name", a);
	uint16_t vlan = 0;
	uint64_t mac;

	if (port && !address_param(params, a, &mac, &vlan))
		rpc_done(a, vswitch_fdb_add(ctx, mac, vlan, port, &a->e));
}

static void fdb_del(void *ctx, const json_t *params, struct rpc_answer *a)
{
	uint16_t vlan = 0;
	uint64_t mac;

	if (!address_param(params, a, &mac, &vlan))
		rpc_done(a, vswitch_fdb_del(ctx, mac, vlan, &a->e));
}

static void fdb_flush_learned(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const json_t *port = json_object_get(params, "port");
	uint16_t vlan = FDB_ANY_VLAN;
	uint32_t n;

	if (port && !json_is_string(port)) {
		rpc_fail(a, RPC_PARAMS, "\"port\" must be a port's name");
		return;
	}
	if (control_vlan_param(params, a, &vlan) < 0)
		return;
	if (vswitch_fdb_flush(ctx, json_string_value(port), vlan, &a->e, &n) < 0)
		a->code = RPC_REFUSED;
	else
		a->result = json_integer(n);
}

const struct rpc_method control_fdb_methods[] = {
	{"fdb.show", fdb_show, {NULL}},
	{"fdb.add", fdb_add, {"mac", "port", "vlan"}},
	{"fdb.del", fdb_del, {"mac", "vlan"}},
	{"fdb.flush", fdb_flush_learned, {"port", "vlan"}},
	{NULL},
};
